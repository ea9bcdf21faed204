"""Exercises of lesson 03: whitened codes, the two nearest distances, an interval."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.exercises.base import (
    Arguments,
    Criterion,
    Exercise,
    Misconception,
    Refused,
    Trial,
    difference,
    normal,
    rows_stand_alone,
)
from course_utils.metrics.holes import nearest_two, whiten, wilson_interval


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
    for (codes,) in trial.probes():
        mean = trial.call(codes).mean(0)
        if mean.abs().max() > 1e-8:
            raise Refused(
                f"the mean of one unit is {mean[mean.abs().argmax()]:.3g}, expected 0."
            )


def _covariance(white: Tensor, correction: int) -> Tensor:
    return torch.atleast_2d(torch.cov(white.T, correction=correction))


def _covariance_is_identity(trial: Trial) -> None:
    for (codes,) in trial.probes():
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
    for arguments in trial.probes():
        got = _gram(arguments, trial.call(*arguments))
        want = _gram(arguments, trial.reference(*arguments))
        if difference(got, want) > 1e-8:
            raise Refused(
                "distances between whitened codes are not what subtracting one mean "
                "and multiplying by one matrix gives, up to a rotation."
            )


def _axes(codes: Tensor) -> tuple[Tensor, Tensor]:
    return torch.linalg.eigh(torch.cov(codes.T))


def _standardised(codes: Tensor) -> Tensor:
    return (codes - codes.mean(0)) / codes.std(0)


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


def _only_rotated(codes: Tensor) -> Tensor:
    return (codes - codes.mean(0)) @ _axes(codes)[1]


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


def _rows_standardised(codes: Tensor) -> Tensor:
    return (codes - codes.mean(1, keepdim=True)) / codes.std(1, keepdim=True)


WHITEN = Exercise(
    name="whiten",
    title="codes with mean 0 and covariance I",
    reference=whiten,
    returns="(N, K) whitened codes",
    probes=_codes,
    criteria=(
        Criterion("every unit has mean 0", 1.0, _mean_is_zero),
        Criterion("the covariance is the identity", 2.0, _covariance_is_identity),
        Criterion("one mean and one matrix serve all codes", 1.0, _is_affine),
    ),
    misconceptions=(
        Misconception(
            "standardised",
            "Each unit is divided by its own standard deviation, which leaves the "
            "correlations between units: rotate to the principal axes first.",
            _standardised,
        ),
        Misconception(
            "not_centred",
            "The mean of the codes is still there: subtract it before you multiply.",
            _not_centred,
        ),
        Misconception(
            "one_mean_for_all",
            "`codes.mean()` is one number over all units: each unit has a mean of its "
            "own, `codes.mean(0)`.",
            _one_mean_for_all,
        ),
        Misconception(
            "divided_by_variance",
            "Each axis is divided by its variance (or the codes are multiplied by the "
            "inverse covariance, which is the same but for a rotation): the scale of a "
            "unit is its standard deviation, the square root.",
            _divided_by_variance,
        ),
        Misconception(
            "multiplied_by_root",
            "This multiplies each axis by its standard deviation, which is the way "
            "back, from N(0, I) to codes: whitening divides.",
            _multiplied_by_root,
        ),
        Misconception(
            "only_rotated",
            "The codes are rotated to their principal axes and are uncorrelated now, "
            "but each axis still has its own variance: divide by its square root.",
            _only_rotated,
        ),
        Misconception(
            "triangle_transposed",
            "With covariance = L Lᵀ and codes as rows, the map is (codes − mean) @ "
            "inv(L).T: without the transpose the covariance does not become I.",
            _axes_transposed,
        ),
        Misconception(
            "eigenvectors_as_rows",
            "eigh returns the eigenvectors in *columns*: for codes in rows multiply by "
            "`vectors`, not `vectors.T`.",
            _eigenvectors_as_rows,
        ),
        Misconception(
            "wrong_scale",
            "The shape is right and the size is not: the covariance is a multiple of "
            "I. The covariance is the sum over examples *divided by N* (or N − 1).",
            _scatter,
        ),
        Misconception(
            "moment_about_zero",
            "You whitened by E[z zᵀ], the second moment about zero: the covariance is "
            "taken about the mean, so subtract it first, and from the codes too.",
            _moment_about_zero,
        ),
        Misconception(
            "rows_standardised",
            "Means and deviations were taken along each row, over the units of one "
            "code: they belong to a unit, over the examples (dim 0).",
            _rows_standardised,
        ),
    ),
    hints=(
        "Lesson 01 found axes along which centred data are uncorrelated. What is left "
        "to do once the codes are written in those axes?",
        "Centre the codes, take the covariance (K, K), and its eigenvectors with "
        "torch.linalg.eigh. The eigenvalues are the variances along the axes.",
        "values, vectors = torch.linalg.eigh(covariance), then "
        "(codes − mean) @ vectors gives uncorrelated columns; divide column i by "
        "values[i].sqrt().",
    ),
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
        for arguments in trial.probes():
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


def _squared(x: Tensor, reference: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return _with_distances(torch.cdist(x, reference).square(), labels)


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


def _absolute(x: Tensor, reference: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return _with_distances(torch.cdist(x, reference, p=1), labels)


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


NEAREST_TWO = Exercise(
    name="nearest_two",
    title="how far an image is, and whether it stands between classes",
    reference=nearest_two,
    returns="two tensors (N,): distance, ratio",
    probes=_images,
    criteria=(
        _part(0, "distance"),
        _part(1, "ratio"),
        rows_stand_alone(),
    ),
    misconceptions=(
        Misconception(
            "second_nearest",
            "This divides by the second-nearest reference of any class: two images of "
            "one digit are often close, so leave out the class of the nearest one.",
            _second_nearest,
        ),
        Misconception(
            "squared",
            "These are squared distances: take the square root before anything else.",
            _squared,
        ),
        Misconception(
            "ratio_of_squares",
            "The distance is right; the ratio is that of the squared distances.",
            _ratio_of_squares,
        ),
        Misconception(
            "upside_down",
            "The ratio is upside down: the nearest distance goes on top, so that it "
            "lies between 0 and 1.",
            _upside_down,
        ),
        Misconception(
            "class_means",
            "Distances were taken to the mean of each class: a mean is a blurred image "
            "that nobody wrote; use the single references.",
            _class_means,
        ),
        Misconception(
            "per_pixel",
            "The squares were averaged over pixels: the Euclidean distance is the "
            "square root of their *sum*. (The ratio is right; the average cancels.)",
            _per_pixel,
        ),
        Misconception(
            "absolute",
            "These are sums of absolute differences (p = 1): the Euclidean distance "
            "sums squares and takes the root.",
            _absolute,
        ),
        Misconception(
            "difference",
            "The second output is the difference of the two distances: asked for is "
            "their ratio, which has no unit.",
            _difference,
        ),
        Misconception(
            "mean_of_others",
            "The distances to the other classes were averaged: what counts is the "
            "*nearest* image of another class.",
            _mean_of_others,
        ),
        Misconception(
            "own_class",
            "The second distance is to the same class as the nearest: the mask is the "
            "wrong way round.",
            _own_class,
        ),
        Misconception(
            "other_distance",
            "The second output is the distance to the other class itself: divide the "
            "nearest distance by it.",
            _other_distance,
        ),
        Misconception(
            "index",
            "The second output is the *index* of the nearest reference, which `.min` "
            "returns beside the distance: asked for is the ratio of two distances.",
            _index,
        ),
        Misconception(
            "hidden_with_zero",
            "The ratio is not finite. Did you hide a class with 0? Then the smallest "
            "distance is that 0. Hide it with inf.",
            _hidden_with_zero,
        ),
        Misconception(
            "from_the_nearest",
            "The second distance is measured from the nearest reference r: both "
            "distances are measured from the image x.",
            _from_the_nearest,
        ),
        Misconception(
            "share_of_both",
            "This is the nearest distance over the *sum* of the two: divide by the "
            "second distance alone, so that 1 means equally near.",
            _share_of_both,
        ),
    ),
    hints=(
        "First make the table of all distances, (N, M). It holds both outputs.",
        "torch.cdist(x, reference) is the table; .min(1) gives the nearest distance "
        "and its index. labels[index] is the class that the second search leaves out.",
        "distances.masked_fill(labels[index][:, None] == labels, math.inf) hides that "
        "class; its .min(1).values is the second distance. Return nearest, and nearest "
        "divided by it.",
    ),
    tolerance=1e-7,
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
        for place, (k, n, c) in enumerate(trial.probes()):
            if place % 4 in places:
                got, want = trial.call(k, n, c), trial.reference(k, n, c)
                trial.expect_close(got, want, f"{k} of {n} at c = {c:.3f}")

    return Criterion(text, 1.0, test)


def _ends_solve_the_equation(trial: Trial) -> None:
    for k, n, c in trial.probes():
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


def _no_c_in_root(k: float, n: float, c: float) -> Interval:
    return _from_parts(k, n, c, inside=0.0)


def _centre_not_moved(k: float, n: float, c: float) -> Interval:
    return _from_parts(k, n, c, shift=False)


def _not_divided(k: float, n: float, c: float) -> Interval:
    return _from_parts(k, n, c, shrink=False)


def _c_not_squared(k: float, n: float, c: float) -> Interval:
    return _from_parts(k, n, c, power=1)


def _always_95(k: float, n: float, c: float) -> Interval:
    return wilson_interval(k, n, 1.96)


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


WILSON = Exercise(
    name="wilson_interval",
    title="how sure a share of draws is",
    reference=wilson_interval,
    returns="two numbers: low, high",
    probes=_counts,
    criteria=(
        _agrees_at("right for some of n", (0, 3)),
        _agrees_at("right for none and for all of n", (1, 2)),
        Criterion(
            "both ends lie c standard errors of p from the share",
            1.0,
            _ends_solve_the_equation,
        ),
    ),
    misconceptions=(
        Misconception(
            "textbook",
            "This is share ± c √(share (1 − share) / n), which uses the standard error "
            "of the observed share: it has width 0 for none of n. Wilson uses the "
            "standard error of p and solves for p.",
            _textbook,
        ),
        Misconception(
            "textbook_clipped",
            "This is share ± c √(share (1 − share) / n), cut off at 0 and 1: cutting "
            "does not mend it, for none of n it still has width 0. Wilson uses the "
            "standard error of p and solves for p.",
            _textbook_clipped,
        ),
        Misconception(
            "agresti_coull",
            "This puts Wilson's centre into the textbook formula (Agresti and Coull, "
            "1998): the centre is right and the half-width a little too wide.",
            _agresti_coull,
        ),
        Misconception(
            "plus_four",
            "This is the textbook formula with two successes and two failures added, "
            "(k + 2) / (n + 4): a good approximation of Wilson's interval at c = 2. "
            "Solve the equation instead.",
            _plus_four,
        ),
        Misconception(
            "always_95",
            "You used 1.96: the number of standard errors is the argument c.",
            _always_95,
        ),
        Misconception(
            "halved_then_multiplied",
            "`/ 2 * a` multiplies by a: write `/ (2 * a)`.",
            _halved_then_multiplied,
        ),
        Misconception(
            "wrong_sign",
            "Both ends have the wrong sign. The middle coefficient of the equation is "
            "−(2 share + c²/n), so −b in the formula for the roots is positive.",
            _wrong_sign,
        ),
        Misconception(
            "no_c_in_root",
            "The root misses its term c² / (4n²): for none of n the interval shrinks "
            "to one point.",
            _no_c_in_root,
        ),
        Misconception(
            "centre_not_moved",
            "The half-width is right, but the interval is centred on the observed "
            "share: its centre moves towards ½, to (k + c²/2) / (n + c²).",
            _centre_not_moved,
        ),
        Misconception(
            "not_divided",
            "The division by 1 + c²/n is missing, in the centre and in the half-width.",
            _not_divided,
        ),
        Misconception(
            "c_not_squared",
            "The centre adds c / (2n) to the share: it is c² / (2n).",
            _c_not_squared,
        ),
        Misconception(
            "no_root",
            "c multiplies the variance share (1 − share) / n: a standard error is its "
            "square root; and Wilson's standard error is that of p, not of the share.",
            _no_root,
        ),
        Misconception(
            "spread_of_one_draw",
            "√(share (1 − share)) is the spread of one draw: a share of n draws "
            "varies √n times less; and Wilson's standard error is that of p, not of "
            "the share.",
            _spread_of_one_draw,
        ),
        Misconception(
            "swapped",
            "The two ends are the right ones in the wrong order: low comes first.",
            _swapped,
        ),
        Misconception(
            "percent",
            "The ends are in per cent: give shares between 0 and 1.",
            _percent,
        ),
        Misconception(
            "centre_and_half",
            "These are the centre and the half-width: give centre − half and "
            "centre + half.",
            _centre_and_half,
        ),
    ),
    hints=(
        "Start from (share − p)² = c² p (1 − p) / n. It is a quadratic equation in p; "
        "its two solutions are the ends.",
        "Multiply out: (1 + c²/n) p² − (2 share + c²/n) p + share² = 0. Use the "
        "formula for the roots of a quadratic.",
        "centre = (share + c²/(2n)) / (1 + c²/n) and half = c √(share (1 − share) / n "
        "+ c²/(4n²)) / (1 + c²/n); return centre − half, centre + half.",
    ),
    tolerance=1e-5,  # a right answer may count in float32
)

EXERCISES = (WHITEN, NEAREST_TWO, WILSON)
