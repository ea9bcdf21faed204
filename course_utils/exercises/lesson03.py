"""Exercises of lesson 03: images drawn from fitted codes, and a meter's distances."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from course_utils.grading.criteria import (
    agrees,
    expect_no_draw,
    normal,
    orthogonal,
    output,
    rows_stand_alone,
)
from course_utils.grading.declare import Step, declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import LearnerError, Refused, Trial, WrongKind
from course_utils.metrics.holes import nearest_two

WORDS = words_beside(__file__)
OWN_NOISE = "you draw noise of your own. Use the eps that comes in."


# --- sample_images ------------------------------------------------------------------


def sample_images(
    codes: Tensor, eps: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor
) -> Tensor:
    """Decode draws from the Gaussian with the codes' mean and covariance: (S, D)."""
    mean = codes.mean(0)
    centred = codes - mean
    covariance = centred.T @ centred / len(codes)
    L = torch.linalg.cholesky(covariance)
    z = mean + eps @ L.T
    return torch.relu(z @ W1.T + b1) @ W2.T + b2


def _spread_codes(generator: torch.Generator, count: int, K: int) -> Tensor:
    """Draw codes with a mean, correlations and scales that differ."""
    rotation = orthogonal(generator, K)
    scales = torch.logspace(-0.3, 0.5, K, dtype=torch.float64)
    mixing = rotation * scales @ orthogonal(generator, K)
    return 2 + normal(generator, K) + normal(generator, count, K) @ mixing


def _decoder(generator: torch.Generator, K: int, H: int, D: int) -> Arguments:
    W1, b1 = normal(generator, H, K) / math.sqrt(K), normal(generator, H)
    W2, b2 = normal(generator, D, H) / math.sqrt(H), normal(generator, D)
    return W1, b1, W2, b2


def _draws(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for count, draws, K, H, D in ((17, 6, 3, 8, 5), (23, 9, 4, 7, 6)):
        codes, eps = _spread_codes(generator, count, K), normal(generator, draws, K)
        drawn.append((codes, eps, *_decoder(generator, K, H, D)))
    return drawn


def _single_draw(generator: torch.Generator) -> list[Arguments]:
    codes, eps = _spread_codes(generator, 11, 4), normal(generator, 1, 4)
    return [(codes, eps, *_decoder(generator, 4, 6, 3))]


def _passes_on(K: int) -> Arguments:
    """Return the weights of a decoder whose image is the code itself."""
    identity, zero = torch.eye(K, dtype=torch.float64), torch.zeros(K).double()
    both = torch.cat([identity, -identity])
    return both, torch.zeros(2 * K).double(), both.T.contiguous(), zero


def _starts_at_the_mean(trial: Trial) -> None:
    for codes, eps, *decoder in trial.inputs():
        expect_no_draw(trial, (codes, eps, *decoder), OWN_NOISE)
        got = trial.call(codes, 0 * eps, *decoder)
        W1, b1, W2, b2 = decoder
        image = torch.relu(codes.mean(0) @ W1.T + b1) @ W2.T + b2
        trial.expect_close(
            got, image.expand_as(got), "with eps = 0, the image of the mean code"
        )


def _has_the_codes_moments(trial: Trial) -> None:
    """Judge mean and covariance of the drawn codes, seen through a clear decoder."""
    for codes, *_ in trial.inputs():
        K = codes.shape[1]
        eps = normal(trial.generator, 40, K)
        white = torch.linalg.qr(eps - eps.mean(0)).Q * math.sqrt(40)  # moments 0 and I
        z = trial.call(codes, white, *_passes_on(K))
        trial.expect_close(z.mean(0), codes.mean(0), "the mean of the drawn codes")
        want = torch.cov(codes.T, correction=0)
        trial.expect_close(
            torch.cov(z.T, correction=0), want, "the covariance of the drawn codes"
        )


def _twice(**mistakes: Mapping[str, Step]) -> dict[str, Mapping[str, Step]]:
    """Take each mistake twice: dividing by N and by N − 1."""
    unbiased = instead(covariance=lambda codes: torch.cov(codes.T))
    other = {f"{name}_unbiased": {**unbiased, **one} for name, one in mistakes.items()}
    return {**mistakes, **other}


def _in_data_space(
    codes: Tensor, eps: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor
) -> Tensor:
    """Decode all codes, and add to the mean image what the images vary by."""
    images = torch.relu(codes @ W1.T + b1) @ W2.T + b2
    centred = codes - codes.mean(0)
    slopes = torch.linalg.lstsq(centred, images - images.mean(0)).solution  # (K, D)
    root = torch.linalg.cholesky(centred.T @ centred / len(codes))
    return images.mean(0) + eps @ root.T @ slopes


def _decoded_apart(
    moved: Tensor, mean: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor
) -> Tensor:
    """Decode the mean and the noise each by itself, and add the images."""
    both = (torch.relu(part @ W1.T + b1) @ W2.T + b2 for part in (mean, moved))
    return sum(both, torch.zeros(()))


SAMPLE_IMAGES = declare(
    WORDS["sample_images"],
    sample_images,
    _draws,
    criteria=(
        agrees("the images, from the same codes, noise and decoder", 2.0),
        Criterion(
            "no noise gives the image of the mean code", 1.0, _starts_at_the_mean
        ),
        Criterion(
            "the draws have the codes' mean and covariance",
            2.0,
            _has_the_codes_moments,
        ),
        rows_stand_alone("one image a row of eps, even for one row", dims=(None, 0)),
    ),
    steps={
        "mean": lambda codes: codes.mean(0),
        "centred": lambda codes, mean: codes - mean,
        "covariance": lambda codes: torch.cov(codes.T, correction=0),
        "sd": lambda covariance: covariance.diag().sqrt(),
        "axes": lambda covariance: torch.linalg.eigh(covariance),
        "root": lambda covariance: torch.linalg.cholesky(covariance),
        "moved": lambda eps, root: eps @ root.T,
        "z": lambda mean, moved: mean + moved,
        "before": lambda z, W1, b1: z @ W1.T + b1,
        "hidden": lambda before: before.relu(),
        "answer": lambda hidden, W2, b2: hidden @ W2.T + b2,
    },
    mistakes={
        **_twice(
            one_spread_a_latent=instead(root=lambda sd: sd.diag()),
            one_variance_a_latent=instead(root=lambda sd: sd.square().diag()),
            covariance_for_its_root=instead(root=lambda covariance: covariance),
            triangle_transposed=instead(root=lambda root: root.T),
            roots_of_the_entries=instead(
                root=lambda covariance: covariance.abs().sqrt()
            ),
            triangle_inverted=instead(root=lambda root: torch.linalg.inv(root)),
            mean_forgotten=instead(z=lambda moved: moved),
            mean_subtracted=instead(z=lambda mean, moved: moved - mean),
            root_by_eigenvectors=instead(
                root=lambda axes: axes.eigenvectors * axes.eigenvalues.sqrt()
            ),
            symmetric_root=instead(
                root=lambda axes: (
                    axes.eigenvectors
                    @ axes.eigenvalues.sqrt().diag()
                    @ axes.eigenvectors.T
                )
            ),
            around_each_code=instead(
                z=lambda codes, moved: codes[: len(moved)] + moved
            ),
        ),
        "n_minus_one": instead(covariance=lambda codes: torch.cov(codes.T)),
        "not_divided": instead(covariance=lambda centred: centred.T @ centred),
        "divided_by_the_draws": instead(
            covariance=lambda centred, eps: centred.T @ centred / len(eps)
        ),
        "moment_about_zero": instead(
            covariance=lambda codes: codes.T @ codes / len(codes)
        ),
        "correlation": instead(covariance=lambda codes: torch.corrcoef(codes.T)),
        "one_mean_for_all": instead(z=lambda codes, moved: codes.mean() + moved),
        "standard_normal": instead(z=lambda eps: eps),
        "mean_moved_only": instead(z=lambda mean, eps: mean + eps),
        "mean_scaled_too": instead(z=lambda mean, eps, root: (mean + eps) @ root.T),
        "the_mean_alone": instead(z=lambda mean, eps: mean.expand_as(eps)),
        "the_codes_themselves": instead(z=lambda codes, eps: codes[: len(eps)]),
        "in_data_space": _in_data_space,
        "decoded_apart": _decoded_apart,
        "no_rectifier": instead(hidden=lambda before: before),
        "rectifier_at_the_end": lambda answer: answer.relu(),
        "clamped": lambda answer: answer.clamp(0, 1),
        "squashed": lambda answer: answer.sigmoid(),
        "no_first_bias": instead(before=lambda z, W1: z @ W1.T),
        "no_last_bias": lambda hidden, W2: hidden @ W2.T,
    },
    edges=_single_draw,
)


# --- nearest_two --------------------------------------------------------------------


def _images(generator: torch.Generator) -> list[Arguments]:
    """Images and references; the first image lies beside a pair of one class."""
    drawn: list[Arguments] = []
    for count, size, references, classes in ((7, 5, 23, 3), (4, 9, 31, 5)):
        x = normal(generator, count, size)
        reference = normal(generator, references, size)
        shuffled = torch.randperm(references, generator=generator)
        labels = (torch.arange(references) % classes)[shuffled]
        # So that the second-nearest is never of another class by chance everywhere.
        reference[:2] = x[0] + 0.05 * normal(generator, 2, size)
        labels[1] = labels[0]
        drawn.append((x, reference, labels))
    return drawn


def _special_images(generator: torch.Generator) -> list[Arguments]:
    """Exact copies, other names of classes, large values, a single image."""
    reference = normal(generator, 24, 6)
    labels = torch.arange(24) % 3
    few = normal(generator, 5, 6)
    return [
        (reference, reference, labels),
        (few, reference, torch.tensor([2, 7, 90])[labels]),
        (1000 * few, 1000 * reference, labels),
        (few[:1], reference, labels),
    ]


SPECIAL = (
    "for exact copies of references, whose distance is 0",
    "for classes 2, 7 and 90",
    "for values a thousand times as large",
    "for a single image",
)


def _holds_for_special_images(trial: Trial) -> None:
    drawn = _special_images(trial.generator)
    for what, arguments in zip(SPECIAL, drawn, strict=True):
        try:
            got, want = trial.call(*arguments), trial.reference(*arguments)
        except (WrongKind, LearnerError) as problem:
            raise Refused(f"{what}, {problem}") from None
        trial.expect_close(got, want, what)


NEAREST_TWO = declare(
    WORDS["nearest_two"],
    nearest_two,
    _images,
    criteria=(
        output(0, "distance to the nearest reference", 1.0, "distance"),
        output(1, "ratio to the nearest reference of another class", 1.0, "ratio"),
        rows_stand_alone(),
        Criterion(
            "holds for copies, any classes and any scale",
            1.0,
            _holds_for_special_images,
        ),
    ),
    steps={
        "distances": lambda x, reference: torch.cdist(x, reference),  # (N, M)
        "nearest": lambda distances: distances.amin(1),
        "index": lambda distances: distances.argmin(1),
        "same": lambda index, labels: labels[index][:, None] == labels,  # (N, M)
        "hidden": lambda distances, same: distances.masked_fill(same, math.inf),
        "other": lambda hidden: hidden.amin(1),
        "second": lambda distances: distances.kthvalue(2).values,
        "ratio": lambda nearest, other: nearest / other,
        "answer": lambda nearest, ratio: (nearest, ratio),
    },
    mistakes={
        "second_nearest": instead(other=lambda second: second),
        "squared": instead(distances=lambda distances: distances**2),
        "ratio_of_squares": instead(ratio=lambda ratio: ratio**2),
        "upside_down": instead(ratio=lambda ratio: 1 / ratio),
        "class_means": instead(
            reference=lambda reference, labels: torch.stack(
                [reference[labels == one].mean(0) for one in labels.unique()]
            ),
            other=lambda second: second,
        ),
        "per_pixel": instead(
            distances=lambda distances, x: distances / math.sqrt(x.shape[1])
        ),
        "absolute": instead(
            distances=lambda x, reference: torch.cdist(x, reference, p=1)
        ),
        "difference": instead(ratio=lambda nearest, other: other - nearest),
        "mean_of_others": instead(
            other=lambda distances, same: distances.where(~same, math.nan).nanmean(1)
        ),
        "own_class": instead(
            same=lambda same: ~same, other=lambda hidden: hidden.kthvalue(2).values
        ),
        "other_distance": instead(ratio=lambda other: other),
        "index": instead(ratio=lambda index: index),
        "hidden_with_zero": instead(
            hidden=lambda distances, same: distances.masked_fill(same, 0)
        ),
        "from_the_nearest": instead(
            other=lambda reference, index, same: (
                torch.cdist(reference[index], reference).where(~same, math.inf).amin(1)
            )
        ),
        "share_of_both": instead(
            ratio=lambda nearest, other: nearest / (nearest + other)
        ),
        "copies_skipped": instead(
            distances=lambda distances: distances.masked_fill(distances == 0, math.inf)
        ),
        "squeezed": instead(distances=lambda distances: distances.squeeze()),
        "hidden_with_ten": instead(
            hidden=lambda distances, same: distances.masked_fill(same, 10.0)
        ),
        "hidden_with_a_hundred": instead(
            hidden=lambda distances, same: distances.masked_fill(same, 100.0)
        ),
        "hidden_with_999": instead(
            hidden=lambda distances, same: distances.masked_fill(same, 999.0)
        ),
        "hidden_with_1000": instead(
            hidden=lambda distances, same: distances.masked_fill(same, 1000.0)
        ),
        "one_class_for_the_batch": instead(
            same=lambda index, labels: (labels[index[0]] == labels)[None]
        ),
        "one_class_for_the_batch_the_last": instead(
            same=lambda index, labels: (labels[index[-1]] == labels)[None]
        ),
        "farthest_of_others": instead(
            other=lambda distances, same: distances.masked_fill(same, 0).amax(1)
        ),
        "mean_of_the_other_class": instead(
            other=lambda x, reference, labels, index: (
                torch.stack(
                    [
                        torch.cdist(x, reference[labels == one].mean(0, keepdim=True))[
                            :, 0
                        ]
                        for one in labels.unique()
                    ],
                    1,
                )
                .masked_fill(labels[index][:, None] == labels.unique(), math.inf)
                .amin(1)
            )
        ),
        "cosine": instead(
            distances=lambda x, reference: (
                1 - normalize(x, dim=1) @ normalize(reference, dim=1).T
            )
        ),
        "index_for_distance": lambda index, ratio: (index, ratio),
        "label_for_distance": lambda index, labels, ratio: (labels[index], ratio),
        "along_the_references": lambda distances: (
            distances.amin(0),
            distances.amin(0) / distances.amax(0),
        ),
        "gap_over_the_second": instead(
            ratio=lambda nearest, other: (other - nearest) / other
        ),
    },
    edges=_special_images,
)


EXERCISES = (SAMPLE_IMAGES, NEAREST_TWO)
