"""Exercises of lesson 03: whitened codes, the two nearest distances, an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, normalize

from course_utils.grading.criteria import (
    between,
    normal,
    orthogonal,
    output,
    rows_stand_alone,
)
from course_utils.grading.declare import Step, declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import LearnerError, Refused, Trial, WrongKind
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


def _sized_gram(arguments: Arguments, white: Tensor) -> Tensor:
    """Products of all pairs of rows: a rotation does not change them.

    Where the variances are 1 on average, dividing by N or by N − 1, the size is taken
    out too: both are fair.
    """
    N, K = white.shape
    products = white @ white.T
    total = float(products.trace()) / K
    return products / (total if N - 1.001 < total < N + 0.001 else N)


def _mean_is_zero(trial: Trial) -> None:
    for (codes,) in trial.inputs():
        mean = trial.call(codes).mean(0)
        if mean.abs().max() > 1e-5:
            raise Refused(
                f"the mean of one unit is {mean[mean.abs().argmax()]:.3g}, expected 0: "
                "subtract the mean of each unit first."
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
        if difference(covariance, eye) <= trial.exercise.tolerance:
            continue
        size = covariance.diag().mean()
        if size > 0 and difference(covariance, size * eye) < 1e-6:
            raise Refused(
                f"the covariance is {size:.4g} times the identity: the directions are "
                "right, the scale is not. Divide sums over the examples by N."
            )
        off_diagonal = (covariance - covariance.diag().diag()).abs().max()
        variances = covariance.diag()
        raise Refused(
            f"the variances of the units run from {variances.min():.3g} to "
            f"{variances.max():.3g}, expected 1; the largest covariance of two units "
            f"is {off_diagonal:.3g} in size, expected 0." + _hint(off_diagonal)
        )


def _hint(off_diagonal: Tensor) -> str:
    if off_diagonal > 1e-6:
        return ""
    return (
        " The axes are right: divide each by the root of its own eigenvalue, with "
        "nothing added or cut off."
    )


def _is_affine(trial: Trial) -> None:
    for arguments in trial.inputs():
        got = _gram(arguments, trial.call(*arguments))
        want = _gram(arguments, trial.reference(*arguments))
        if difference(got, want) > trial.exercise.tolerance:
            raise Refused(
                "distances between your codes are not those of whitened codes, up to "
                "a rotation: row n must be Λ^(−1/2) Uᵀ (zₙ − m), with Λ and U of the "
                "covariance, in the order of the codes."
            )


BY_N = instead(covariance=lambda codes: torch.cov(codes.T, correction=0))


def _by_both(**mistakes: Mapping[str, Step]) -> dict[str, Mapping[str, Step]]:
    """Take each mistake twice: dividing by N − 1 and by N."""
    by_n = {f"{name}_by_n": {**BY_N, **steps} for name, steps in mistakes.items()}
    return {**mistakes, **by_n}


WHITEN = declare(
    WORDS["whiten"],
    whiten,
    _codes,
    criteria=(
        Criterion("every unit has mean 0", 1.0, _mean_is_zero),
        Criterion("the covariance is the identity", 2.0, _covariance_is_identity),
        Criterion("the rows are the whitened codes, in their order", 1.0, _is_affine),
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
        **_by_both(
            not_centred=instead(mean=lambda: 0),
            one_mean_for_all=instead(mean=lambda codes: codes.mean()),
            divided_by_variance=instead(sd=lambda sd: sd**2),
            multiplied_by_root=instead(sd=lambda sd: 1 / sd),
            multiplied_by_variance=instead(sd=lambda sd: sd**-2),
            fourth_root=instead(sd=lambda sd: sd.sqrt()),
            eigenvectors_as_rows=instead(vectors=lambda vectors: vectors.T),
            small_variances_clamped=instead(sd=lambda sd: sd.clamp(min=1)),
            triangle_transposed={
                "answer": lambda centred, covariance: (
                    centred @ torch.linalg.inv(torch.linalg.cholesky(covariance))
                )
            },
            elementwise_root={
                "answer": lambda centred, covariance: (
                    centred @ torch.linalg.inv(covariance.abs().sqrt())
                )
            },
            diagonal_alone={
                "answer": lambda centred, covariance: centred / covariance.diag()
            },
            scale_on_the_other_side={
                "answer": lambda centred, sd, vectors: centred / sd @ vectors
            },
        ),
        "one_scale_for_all": lambda centred: centred / centred.square().mean().sqrt(),
        "only_rotated": lambda rotated: rotated,
        "wrong_scale": instead(covariance=lambda centred: centred.T @ centred),
        "divided_by_variance_of_the_sum": instead(
            covariance=lambda centred: centred.T @ centred, sd=lambda sd: sd**2
        ),
        "moment_about_zero": instead(
            mean=lambda: 0, covariance=lambda codes: codes.T @ codes / len(codes)
        ),
        "moment_about_zero_centred_before": instead(
            covariance=lambda codes: codes.T @ codes / len(codes)
        ),
        "correlation": instead(covariance=lambda codes: torch.corrcoef(codes.T)),
        "rows_standardised": lambda codes: (
            (codes - codes.mean(1, keepdim=True)) / codes.std(1, keepdim=True)
        ),
        "rows_standardised_by_layer_norm": lambda codes: layer_norm(
            codes, codes.shape[1:]
        ),
        "rows_of_length_one": lambda centred: normalize(centred, dim=1),
        "scaled_to_the_unit_interval": lambda codes: (
            (codes - codes.amin(0)) / (codes.amax(0) - codes.amin(0))
        ),
    },
    fingerprint=_sized_gram,
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


def _clopper_pearson(successes: int, n: int, c: float) -> tuple[float, float]:
    from scipy.stats import beta, norm  # only here: the package stays light to import

    tail = norm.sf(c)
    low = beta.ppf(tail, successes, n - successes + 1) if successes else 0.0
    high = beta.isf(tail, successes + 1, n - successes) if successes < n else 1.0
    return float(low), float(high)


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
        "half_of_the_textbook": instead(half=TEXTBOOK["half"]),
        "centre_of_the_textbook_divided": instead(shift=lambda: 0),
        "half_not_divided": instead(half=lambda half, divisor: half * divisor),
        "centre_not_divided": instead(centre=lambda centre, divisor: centre * divisor),
        "divided_twice": instead(divisor=lambda divisor: divisor**2),
        "c_not_squared_throughout": instead(
            shift=lambda n, c: c / (2 * n),
            room=lambda n, c: c / (4 * n**2),
            divisor=lambda n, c: 1 + c / n,
        ),
        "c_not_squared_in_the_divisor": instead(divisor=lambda n, c: 1 + c / n),
        "c_not_squared_in_the_root": instead(room=lambda n, c: c / (4 * n**2)),
        "shift_not_halved": instead(shift=lambda shift: 2 * shift),
        "shift_subtracted": instead(shift=lambda shift: -shift),
        "n_not_squared_in_the_root": instead(room=lambda n, c: c**2 / (4 * n)),
        "quarter_forgotten": instead(room=lambda room: 4 * room),
        "four_forgotten": instead(  # b² − a share² under the root
            half=lambda n, c, share, divisor: (
                math.sqrt((2 * share + c**2 / n) ** 2 - divisor * share**2)
                / (2 * divisor)
            )
        ),
        "two_a_not_halved": instead(
            centre=lambda centre: 2 * centre, half=lambda half: 2 * half
        ),
        "no_c_before_the_root": instead(half=lambda half, c: half / c),
        "c_squared_before_the_root": instead(half=lambda half, c: half * c),
        "root_forgotten": instead(
            half=lambda c, variance, room, divisor: c * (variance + room) / divisor
        ),
        "half_of_the_half": instead(half=lambda half: half / 2),
        "n_minus_one": instead(
            variance=lambda share, n: share * (1 - share) / (n - 1),
            shift=lambda n, c: c**2 / (2 * (n - 1)),
            room=lambda n, c: c**2 / (4 * (n - 1) ** 2),
            divisor=lambda n, c: 1 + c**2 / (n - 1),
        ),
        "n_minus_one_in_the_variance": instead(
            variance=lambda share, n: share * (1 - share) / (n - 1)
        ),
        "always_2": instead(c=lambda: 2),
        "clopper_pearson": _clopper_pearson,
        "rounded_to_2": lambda centre, half: (
            round(centre - half, 2),
            round(centre + half, 2),
        ),
        "rounded_to_3": lambda centre, half: (
            round(centre - half, 3),
            round(centre + half, 3),
        ),
    },
)

EXERCISES = (WHITEN, NEAREST_TWO, WILSON)
