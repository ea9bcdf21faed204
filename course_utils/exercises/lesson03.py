"""Exercises of lesson 03: whitened codes, the two nearest distances, an interval."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.grading.criteria import (
    between,
    normal,
    orthogonal,
    output,
    rows_stand_alone,
)
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.grading.values import difference
from course_utils.metrics.holes import nearest_two, whiten
from course_utils.metrics.intervals import wilson_interval

WORDS = words_beside(__file__)


def _whole(generator: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


# --- whiten -------------------------------------------------------------------------


def _codes(generator: torch.Generator) -> list[Arguments]:
    """Codes with a mean, correlations and scales that differ: condition about 10."""
    drawn: list[Arguments] = []
    for count, units in ((41, 3), (59, 5)):
        rotation = orthogonal(generator, units)
        scales = torch.logspace(-0.4, 0.6, units, dtype=torch.float64)
        mixing = rotation * scales @ orthogonal(generator, units)
        mean = 2 + normal(generator, units)
        drawn.append((mean + normal(generator, count, units) @ mixing,))
    return drawn


def _gram(arguments: Arguments, white: Tensor) -> Tensor:
    """Products of all pairs of rows, divided by their size.

    A rotation of the whitened codes does not change them, and neither does dividing by
    N - 1 where another divides by N.
    """
    products = white @ white.T
    return products / products.norm()


def _mean_is_zero(trial: Trial) -> None:
    for (codes,) in trial.inputs():
        mean = trial.call(codes).mean(0)
        if mean.abs().max() > 1e-8:
            raise Refused(
                f"the mean of one unit is {mean[mean.abs().argmax()]:.3g}, expected 0."
            )


def _covariance(white: Tensor, correction: int) -> Tensor:
    return torch.atleast_2d(torch.cov(white.T, correction=correction))


def _covariance_is_identity(trial: Trial) -> None:
    for (codes,) in trial.inputs():
        white = trial.call(codes)
        eye = torch.eye(codes.shape[1], dtype=codes.dtype)
        # Dividing by N and by N - 1 are both fair: judge by the one that fits better.
        both = [_covariance(white, correction) for correction in (0, 1)]
        covariance = min(both, key=lambda matrix: difference(matrix, eye))
        if difference(covariance, eye) <= 1e-8:
            continue
        off_diagonal = (covariance - covariance.diag().diag()).abs().max()
        variances = covariance.diag()
        raise Refused(
            f"the variances of the units run from {variances.min():.3g} to "
            f"{variances.max():.3g}, expected 1; the largest covariance of two units "
            f"is {off_diagonal:.3g} in size, expected 0."
        )


def _is_affine(trial: Trial) -> None:
    for arguments in trial.inputs():
        got = _gram(arguments, trial.call(*arguments))
        want = _gram(arguments, trial.reference(*arguments))
        if difference(got, want) > 1e-8:
            raise Refused(
                "distances between whitened codes are not what subtracting one mean "
                "and multiplying by one matrix gives, up to a rotation."
            )


WHITEN = declare(
    WORDS["whiten"],
    whiten,
    _codes,
    criteria=(
        Criterion("every unit has mean 0", 1.0, _mean_is_zero),
        Criterion("the covariance is the identity", 2.0, _covariance_is_identity),
        Criterion("one mean and one matrix serve all codes", 1.0, _is_affine),
    ),
    steps={
        "mean": lambda codes: codes.mean(0),
        "centred": lambda codes, mean: codes - mean,
        "covariance": lambda codes: torch.cov(codes.T),
        "axes": lambda covariance: torch.linalg.eigh(covariance),
        "sd": lambda axes: axes.eigenvalues.sqrt(),
        "vectors": lambda axes: axes.eigenvectors,
        "rotated": lambda centred, vectors: centred @ vectors,
        "answer": lambda rotated, sd: rotated / sd,
    },
    mistakes={
        "standardised": lambda codes, centred: centred / codes.std(0),
        "not_centred": instead(mean=lambda: 0),
        "one_mean_for_all": instead(mean=lambda codes: codes.mean()),
        "divided_by_variance": instead(sd=lambda sd: sd**2),
        "multiplied_by_root": instead(sd=lambda sd: 1 / sd),
        "only_rotated": lambda rotated: rotated,
        "triangle_transposed": lambda centred, covariance: (
            centred @ torch.linalg.inv(torch.linalg.cholesky(covariance))
        ),
        "eigenvectors_as_rows": instead(vectors=lambda vectors: vectors.T),
        "wrong_scale": instead(covariance=lambda centred: centred.T @ centred),
        "moment_about_zero": instead(
            mean=lambda: 0, covariance=lambda codes: codes.T @ codes / len(codes)
        ),
        "rows_standardised": lambda codes: (
            (codes - codes.mean(1, keepdim=True)) / codes.std(1, keepdim=True)
        ),
    },
    fingerprint=_gram,
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


NEAREST_TWO = declare(
    WORDS["nearest_two"],
    nearest_two,
    _images,
    criteria=(
        output(0, "distance to the nearest reference", 1.0, "distance"),
        output(1, "ratio to the nearest reference of another class", 2.0, "ratio"),
        rows_stand_alone(),
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
    },
    tolerance=1e-7,
)


# --- wilson_interval ----------------------------------------------------------------


def _counts(generator: torch.Generator) -> list[Arguments]:
    """None, all, and some of n; c differs from 1 and 2, n from c**2."""
    drawn: list[Arguments] = []
    for least, most in ((11, 19), (40, 90)):
        n = _whole(generator, least, most)
        c = between(generator, 1.2, 2.7)
        # At 1 of n the textbook interval reaches below 0, whatever c is here.
        some = 1 if least == 11 else _whole(generator, 2, n // 3)
        drawn += [(some, n, c), (0, n, c), (n, n, c), (n - some, n, c)]
    return drawn


def _agrees_at(text: str, places: tuple[int, ...]) -> Criterion:
    def test(trial: Trial) -> None:
        for place, (k, n, c) in enumerate(trial.inputs()):
            if place % 4 in places:
                got, want = trial.call(k, n, c), trial.reference(k, n, c)
                trial.expect_close(got, want, f"{k} of {n} at c = {c:.3f}")

    return Criterion(text, 1.0, test)


def _ends_solve_the_equation(trial: Trial) -> None:
    for k, n, c in trial.inputs():
        for p in trial.call(k, n, c):
            p = float(p)
            gap = abs((k / n - p) ** 2 - c**2 * p * (1 - p) / n)
            if gap > 1e-5:
                raise Refused(
                    f"at the end p = {p:.4f} of the interval for {k} of {n}, the share "
                    f"{k / n:.4f} is not c standard errors of p away."
                )


TEXTBOOK = instead(
    centre=lambda share: share, half=lambda c, variance: c * math.sqrt(variance)
)

WILSON = declare(
    WORDS["wilson_interval"],
    wilson_interval,
    _counts,
    criteria=(
        _agrees_at("right for some of n", (0, 3)),
        _agrees_at("right for none and for all of n", (1, 2)),
        Criterion(
            "both ends lie c standard errors of p from the share",
            1.0,
            _ends_solve_the_equation,
        ),
    ),
    steps={
        "share": lambda successes, n: successes / n,
        "variance": lambda share, n: share * (1 - share) / n,
        "shift": lambda n, c: c**2 / (2 * n),
        "room": lambda n, c: c**2 / (4 * n**2),
        "divisor": lambda n, c: 1 + c**2 / n,
        "centre": lambda share, shift, divisor: (share + shift) / divisor,
        "half": lambda c, variance, room, divisor: (
            c * math.sqrt(variance + room) / divisor
        ),
        "answer": lambda centre, half: (centre - half, centre + half),
    },
    mistakes={
        "textbook": TEXTBOOK,
        "textbook_clipped": TEXTBOOK
        | instead(
            answer=lambda centre, half: (max(0, centre - half), min(1, centre + half))
        ),
        "agresti_coull": instead(
            half=lambda n, c, centre: c * math.sqrt(centre * (1 - centre) / (n + c**2))
        ),
        "plus_four": TEXTBOOK
        | instead(successes=lambda successes: successes + 2, n=lambda n: n + 4),
        "always_95": instead(c=lambda: 1.96),
        "halved_then_multiplied": instead(  # the right ends are (b ± root) / (2 a)
            centre=lambda centre, divisor: centre * divisor**2,
            half=lambda half, divisor: half * divisor**2,
        ),
        "wrong_sign": instead(centre=lambda centre: -centre),
        "no_c_in_root": instead(room=lambda: 0),
        "centre_not_moved": instead(centre=lambda share: share),
        "not_divided": instead(divisor=lambda: 1),
        "c_not_squared": instead(shift=lambda n, c: c / (2 * n)),
        "no_root": TEXTBOOK | instead(half=lambda c, variance: c * variance),
        "spread_of_one_draw": TEXTBOOK
        | instead(half=lambda n, c, variance: c * math.sqrt(n * variance)),
        "swapped": lambda centre, half: (centre + half, centre - half),
        "percent": instead(
            centre=lambda centre: 100 * centre, half=lambda half: 100 * half
        ),
        "centre_and_half": lambda centre, half: (centre, half),
    },
    tolerance=1e-5,
)

EXERCISES = (WHITEN, NEAREST_TWO, WILSON)
