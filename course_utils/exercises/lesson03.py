"""Exercises of lesson 03: whitened codes, the two nearest distances, an interval."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.grading.criteria import normal, rows_stand_alone
from course_utils.grading.declare import declare, words_beside
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
        rotation = torch.linalg.qr(normal(generator, units, units))[0]
        scales = torch.logspace(-0.4, 0.6, units, dtype=torch.float64)
        mixing = rotation * scales @ torch.linalg.qr(normal(generator, units, units))[0]
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


def _axes(codes: Tensor) -> tuple[Tensor, Tensor]:
    return torch.linalg.eigh(torch.cov(codes.T))


def _not_centred(codes: Tensor) -> Tensor:
    values, vectors = _axes(codes)
    return codes @ vectors / values.sqrt()


def _one_mean_for_all(codes: Tensor) -> Tensor:
    values, vectors = _axes(codes)
    return (codes - codes.mean()) @ vectors / values.sqrt()


def _divided_by_variance(codes: Tensor) -> Tensor:
    values, vectors = _axes(codes)
    return (codes - codes.mean(0)) @ vectors / values


def _multiplied_by_root(codes: Tensor) -> Tensor:
    values, vectors = _axes(codes)
    return (codes - codes.mean(0)) @ vectors * values.sqrt()


def _axes_transposed(codes: Tensor) -> Tensor:
    lower = torch.linalg.cholesky(torch.cov(codes.T))
    return (codes - codes.mean(0)) @ torch.linalg.inv(lower)


def _eigenvectors_as_rows(codes: Tensor) -> Tensor:
    values, vectors = _axes(codes)
    return (codes - codes.mean(0)) @ vectors.T / values.sqrt()


def _scatter(codes: Tensor) -> Tensor:
    centred = codes - codes.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    return centred @ vectors / values.sqrt()


def _moment_about_zero(codes: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(codes.T @ codes / len(codes))
    return codes @ vectors / values.sqrt()


WHITEN = declare(
    WORDS["whiten"],
    whiten,
    _codes,
    criteria=(
        Criterion("every unit has mean 0", 1.0, _mean_is_zero),
        Criterion("the covariance is the identity", 2.0, _covariance_is_identity),
        Criterion("one mean and one matrix serve all codes", 1.0, _is_affine),
    ),
    mistakes={
        "standardised": lambda codes: (codes - codes.mean(0)) / codes.std(0),
        "not_centred": _not_centred,
        "one_mean_for_all": _one_mean_for_all,
        "divided_by_variance": _divided_by_variance,
        "multiplied_by_root": _multiplied_by_root,
        "only_rotated": lambda codes: (codes - codes.mean(0)) @ _axes(codes)[1],
        "triangle_transposed": _axes_transposed,
        "eigenvectors_as_rows": _eigenvectors_as_rows,
        "wrong_scale": _scatter,
        "moment_about_zero": _moment_about_zero,
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


def _part(place: int, what: str) -> Criterion:
    texts = (
        "distance to the nearest reference",
        "ratio to the nearest reference of another class",
    )

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            got, want = trial.call(*arguments), trial.reference(*arguments)
            trial.expect_close(got[place], want[place], what)

    return Criterion(texts[place], 1.0 + place, test)


def _same_class(
    distances: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:  # nearest (N,), mask of its class (N, M)
    nearest, index = distances.min(1)
    return nearest, labels[index][:, None] == labels


def _with_distances(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    nearest, same = _same_class(distances, labels)
    return nearest, nearest / distances.masked_fill(same, math.inf).amin(1)


def _second_nearest(
    x: Tensor, reference: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    two = torch.cdist(x, reference).topk(2, largest=False).values
    return two[:, 0], two[:, 0] / two[:, 1]


def _ratio_of_squares(
    x: Tensor, reference: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    nearest, ratio = _with_distances(torch.cdist(x, reference), labels)
    return nearest, ratio.square()


def _upside_down(x: Tensor, reference: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    nearest, ratio = _with_distances(torch.cdist(x, reference), labels)
    return nearest, 1 / ratio


def _class_means(x: Tensor, reference: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    means = torch.stack([reference[labels == c].mean(0) for c in labels.unique()])
    two = torch.cdist(x, means).topk(2, largest=False).values
    return two[:, 0], two[:, 0] / two[:, 1]


def _per_pixel(x: Tensor, reference: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    gaps = (x[:, None] - reference).square().mean(2).sqrt()
    return _with_distances(gaps, labels)


def _difference(x: Tensor, reference: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    nearest, ratio = _with_distances(torch.cdist(x, reference), labels)
    return nearest, nearest / ratio - nearest


def _mean_of_others(
    x: Tensor, reference: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    distances = torch.cdist(x, reference)
    nearest, same = _same_class(distances, labels)
    others = distances.masked_fill(same, math.nan).nanmean(1)
    return nearest, nearest / others


def _own_class(x: Tensor, reference: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    distances = torch.cdist(x, reference)
    nearest, same = _same_class(distances, labels)
    own = distances.masked_fill(~same, math.inf).topk(2, largest=False).values
    return nearest, nearest / own[:, 1]


def _other_distance(
    x: Tensor, reference: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    nearest, ratio = _with_distances(torch.cdist(x, reference), labels)
    return nearest, nearest / ratio


def _index(x: Tensor, reference: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    nearest, index = torch.cdist(x, reference).min(1)
    return nearest, index


def _hidden_with_zero(
    x: Tensor, reference: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    distances = torch.cdist(x, reference)
    nearest, same = _same_class(distances, labels)
    return nearest, nearest / distances.masked_fill(same, 0).amin(1)


def _from_the_nearest(
    x: Tensor, reference: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    nearest, index = torch.cdist(x, reference).min(1)
    between = torch.cdist(reference[index], reference)
    same = labels[index][:, None] == labels
    return nearest, nearest / between.masked_fill(same, math.inf).amin(1)


def _share_of_both(
    x: Tensor, reference: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    nearest, ratio = _with_distances(torch.cdist(x, reference), labels)
    return nearest, ratio / (1 + ratio)  # n / (n + s)


NEAREST_TWO = declare(
    WORDS["nearest_two"],
    nearest_two,
    _images,
    criteria=(_part(0, "distance"), _part(1, "ratio"), rows_stand_alone()),
    mistakes={
        "second_nearest": _second_nearest,
        "squared": lambda x, reference, labels: _with_distances(
            torch.cdist(x, reference).square(), labels
        ),
        "ratio_of_squares": _ratio_of_squares,
        "upside_down": _upside_down,
        "class_means": _class_means,
        "per_pixel": _per_pixel,
        "absolute": lambda x, reference, labels: _with_distances(
            torch.cdist(x, reference, p=1), labels
        ),
        "difference": _difference,
        "mean_of_others": _mean_of_others,
        "own_class": _own_class,
        "other_distance": _other_distance,
        "index": _index,
        "hidden_with_zero": _hidden_with_zero,
        "from_the_nearest": _from_the_nearest,
        "share_of_both": _share_of_both,
    },
    tolerance=1e-07,
)


# --- wilson_interval ----------------------------------------------------------------


def _counts(generator: torch.Generator) -> list[Arguments]:
    """None, all, and some of n; c differs from 1 and 2, n from c**2."""
    drawn: list[Arguments] = []
    for least, most in ((11, 19), (40, 90)):
        n = _whole(generator, least, most)
        c = 1.2 + 1.5 * float(torch.rand((), generator=generator))
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


Interval = tuple[float, float]


def _textbook(k: float, n: float, c: float) -> Interval:
    share = k / n
    half = c * math.sqrt(share * (1 - share) / n)
    return share - half, share + half


def _textbook_clipped(k: float, n: float, c: float) -> Interval:
    low, high = _textbook(k, n, c)
    return max(0.0, low), min(1.0, high)


def _from_parts(
    k: float,
    n: float,
    c: float,
    *,
    shift: bool = True,
    inside: float = 1.0,
    shrink: bool = True,
    power: int = 2,
) -> Interval:
    """Wilson's formula with a part left out."""
    share = k / n
    below = 1 + c**2 / n if shrink else 1.0
    centre = (share + c**power / (2 * n)) / below if shift else share
    half = c * math.sqrt(share * (1 - share) / n + inside * c**2 / (4 * n**2)) / below
    return centre - half, centre + half


def _agresti_coull(k: float, n: float, c: float) -> Interval:
    more = n + c**2
    share = (k + c**2 / 2) / more
    half = c * math.sqrt(share * (1 - share) / more)
    return share - half, share + half


def _no_root(k: float, n: float, c: float) -> Interval:
    share = k / n
    half = c * share * (1 - share) / n
    return share - half, share + half


def _spread_of_one_draw(k: float, n: float, c: float) -> Interval:
    share = k / n
    half = c * math.sqrt(share * (1 - share))
    return share - half, share + half


def _roots(k: float, n: float, c: float) -> tuple[float, float, float]:
    """Return a, b and the root in (b ± root) / (2a)."""
    a, b = 1 + c**2 / n, 2 * k / n + c**2 / n
    return a, b, math.sqrt(max(b**2 - 4 * a * (k / n) ** 2, 0.0))


def _halved_then_multiplied(k: float, n: float, c: float) -> Interval:
    a, b, root = _roots(k, n, c)
    return (b - root) / 2 * a, (b + root) / 2 * a


def _wrong_sign(k: float, n: float, c: float) -> Interval:
    a, b, root = _roots(k, n, c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def _plus_four(k: float, n: float, c: float) -> Interval:
    share = (k + 2) / (n + 4)
    half = c * math.sqrt(share * (1 - share) / (n + 4))
    return share - half, share + half


def _swapped(k: float, n: float, c: float) -> Interval:
    low, high = wilson_interval(k, n, c)
    return high, low


def _percent(k: float, n: float, c: float) -> Interval:
    low, high = wilson_interval(k, n, c)
    return 100 * low, 100 * high


def _centre_and_half(k: float, n: float, c: float) -> Interval:
    low, high = wilson_interval(k, n, c)
    return (low + high) / 2, (high - low) / 2


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
    mistakes={
        "textbook": lambda successes, n, c: _textbook(successes, n, c),
        "textbook_clipped": lambda successes, n, c: _textbook_clipped(successes, n, c),
        "agresti_coull": lambda successes, n, c: _agresti_coull(successes, n, c),
        "plus_four": lambda successes, n, c: _plus_four(successes, n, c),
        "always_95": lambda successes, n: wilson_interval(successes, n, 1.96),
        "halved_then_multiplied": lambda successes, n, c: _halved_then_multiplied(
            successes, n, c
        ),
        "wrong_sign": lambda successes, n, c: _wrong_sign(successes, n, c),
        "no_c_in_root": lambda successes, n, c: _from_parts(
            successes, n, c, inside=0.0
        ),
        "centre_not_moved": lambda successes, n, c: _from_parts(
            successes, n, c, shift=False
        ),
        "not_divided": lambda successes, n, c: _from_parts(
            successes, n, c, shrink=False
        ),
        "c_not_squared": lambda successes, n, c: _from_parts(successes, n, c, power=1),
        "no_root": lambda successes, n, c: _no_root(successes, n, c),
        "spread_of_one_draw": lambda successes, n, c: _spread_of_one_draw(
            successes, n, c
        ),
        "swapped": lambda successes, n, c: _swapped(successes, n, c),
        "percent": lambda successes, n, c: _percent(successes, n, c),
        "centre_and_half": lambda successes, n, c: _centre_and_half(successes, n, c),
    },
    tolerance=1e-05,
)

EXERCISES = (WHITEN, NEAREST_TWO, WILSON)
