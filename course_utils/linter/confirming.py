"""Random points: whether what equal inputs suggest holds everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from course_utils.linter.calling import Failed, Point
from course_utils.linter.fitting import SURE, standard_error
from course_utils.linter.inspector import Inspector
from course_utils.linter.kl import Rate
from course_utils.linter.likelihoods import POOLED, SWAPPED, Reconstruction

CLOSE = 0.01  # a prediction holds when it misses by less, relatively
MIXED = 1e-5  # two changes add up when they miss by less, relatively
SEEDS = 3  # draws in which the parts of a loss have to add up, each


@dataclass
class Verdict:
    """What the random points say."""

    sums: bool = True  # the loss is a reconstruction plus a rate
    reconstruction: bool = True  # the reconstruction is the fitted sum over pixels
    rate: bool = True  # the rate is the fitted sum over latents and examples


def add_up(inspector: Inspector) -> Verdict:
    """Look whether the terms, and the parts of the rate, add up: no fit is needed."""
    sums = _sums(inspector)
    return Verdict(sums, rate=not sums or not _mixes_examples_or_latents(inspector))


def confirm(
    inspector: Inspector, rec: Reconstruction, rate: Rate, verdict: Verdict
) -> None:
    """Compare the loss with its fitted formula, at points it was not fitted on."""
    verdict.reconstruction = _reconstruction_holds(inspector, rec)
    if not verdict.rate or not rate.known:
        return
    verdict.rate = _rate_holds(inspector, rate)
    if not verdict.rate and rate.reading == "log(1/σ²)":
        rate.over_variance = True
        verdict.rate = _rate_holds(inspector, rate)


def parts_of(shape: tuple[int, ...]) -> Iterator[Tensor]:
    """Which entries of (N, ...) to move: all, and parts that a loss may treat apart."""
    ones = torch.ones(shape, dtype=torch.bool)
    yield ones
    index = torch.arange(ones[0].numel()).expand(shape[0], -1).reshape(shape)
    n = ones[0].numel()
    yield (torch.arange(shape[0]) % 2 == 0).view(-1, *[1] * (len(shape) - 1)) & ones
    if n > 1:
        yield index < n // 2
        yield index % 2 == 0
        yield index == n - 1
    for axis in range(2, len(shape)):  # rows and columns of pictures or maps
        half = torch.arange(shape[axis]) < shape[axis] // 2
        if 1 < shape[axis]:
            yield half.view(-1, *[1] * (len(shape) - axis - 1)) & ones


# --- do parts add up? ---------------------------------------------------------------


def _adds_up(inspector: Inspector, start: Point, one: Point, both: Point) -> bool:
    """Whether going from start to both is going to one, and on from there.

    ``one`` has some entries of ``both``, and the others of ``start``. In each draw by
    itself, so that nothing hides in the noise.
    """
    two = tuple(
        torch.where(a == s, b, s) for s, a, b in zip(start, one, both, strict=True)
    )
    draws = SEEDS if inspector.is_random else 1
    values = [inspector.call.each(*p, draws=draws) for p in (start, one, two, both)]
    f, a, b, ab = values
    size = (a - f).abs() + (b - f).abs() + (ab - f).abs()
    share = MIXED if not inspector.call.single else 0.02
    dust = 4 * inspector.dust(float(max(value.abs().max() for value in values)))
    return bool(((ab - a - b + f).abs() <= share * size + dust).all())


def _sums(inspector: Inspector) -> bool:
    """Whether what x and x_hat add is the same whatever mu and logvar are."""
    start, end = inspector.point(), inspector.point()
    return _adds_up(inspector, start, (*end[:2], *start[2:]), end)


def _mixes_examples_or_latents(inspector: Inspector) -> bool:
    """Whether what one example or latent adds depends on another."""
    x, x_hat, mu, t = _resting(inspector)
    _, _, m2, t2 = inspector.point()
    for part in list(parts_of(tuple(mu.shape)))[1:]:
        one = torch.where(part, m2, mu), torch.where(part, t2, t)
        if not _adds_up(
            inspector, (x, x_hat, mu, t), (x, x_hat, *one), (x, x_hat, m2, t2)
        ):
            return True
    return False


# --- do the fitted formulas predict? ------------------------------------------------


def _reconstruction_holds(inspector: Inspector, rec: Reconstruction) -> bool:
    x, x_hat, mu, t = inspector.point()
    near = inspector.point()[1]
    nearer = x + 0.3 * (near - x)  # other sizes of error, not only other errors
    if rec.shape is None:
        if rec.weight != 0:
            return True
        a, b = (_values(inspector, (x, h, mu, t), "rec") for h in (x_hat, near))
        return float((b - a).abs().max()) <= 4 * inspector.dust(float(a[0]))
    moves = [
        (x, x_hat, torch.where(part, nearer, x_hat))
        for part in parts_of(tuple(x.shape))
    ]
    if rec.shape.parametrisation in ("mean", POOLED) and inspector.grey:
        sign = torch.where(x_hat > near, 1.0, -1.0).to(x)
        moves.append((x, x + 0.002 * sign, x + 0.03 * sign))  # the tip of the error
    holds = all(_predicts(inspector, rec, move, mu, t) for move in moves)
    if inspector.grey and rec.shape.finding is not SWAPPED:
        ends = (x > 0.5).to(x)
        try:
            holds &= _predicts(inspector, rec, (ends, x_hat, near), mu, t)
        except Failed:
            pass  # it takes no data at 0 and 1
    return holds


def _predicts(
    inspector: Inspector, rec: Reconstruction, move: tuple[Tensor, Tensor, Tensor],
    mu: Tensor, t: Tensor,
) -> bool:  # fmt: skip
    """Whether the fitted reconstruction tells what moving x_hat does."""
    x, before, after = move
    shape = rec.shape
    assert shape is not None
    if shape.parametrisation == POOLED:
        one, two = ((x - h).double().square().mean().log() for h in (before, after))
        each = rec.weight * x.numel() * 0.5 * (two - one)
    else:
        a = x.double()
        one, two = shape.value(a, before.double()), shape.value(a, after.double())
        each = rec.weight * (two - one)
    start = _values(inspector, (x, before, mu, t), "rec")
    end = _values(inspector, (x, after, mu, t), "rec")
    return _agrees(inspector, start, end, each)


def _resting(inspector: Inspector) -> Point:
    """Draw mu and logvar; x and x_hat are where they cost least, and round least."""
    _, _, mu, t = inspector.point()
    x, x_hat = (inspector.size.data(v, mu.dtype) for v in inspector.rest())
    return x, x_hat, mu, t


def _rate_holds(inspector: Inspector, rate: Rate) -> bool:
    x, x_hat, mu, t = _resting(inspector)
    _, _, m2, t2 = inspector.point()
    moves = [
        (mu, t, torch.where(part, m2, mu), torch.where(part, t2, t))
        for part in parts_of(tuple(mu.shape))
    ]
    moves += [(mu, t, m2, t), (mu, t, mu, t2)]
    if not inspector.call.single:  # small free bits show near the prior only
        t0 = 0 * t + inspector.t0
        moves.append((0 * mu, t0, 0.05 * m2, t0 + 0.05 * mu))
    base: dict[int, Tensor] = {}
    for m1, t1, m3, t3 in moves:
        before = rate.parts(m1.double(), t1.double())
        after = rate.parts(m3.double(), t3.double())
        each = torch.stack([b - a for a, b in zip(before, after, strict=True)])
        if id(m1) not in base:  # nearly all start at the same point
            base[id(m1)] = _values(inspector, (x, x_hat, m1, t1), "rate")
        start, end = base[id(m1)], _values(inspector, (x, x_hat, m3, t3), "rate")
        noise = rate.error("mu", "spread", "log") * float(each.abs().sum())
        noise /= abs(rate.weight) or 1.0
        if not _agrees(inspector, start, end, each, noise):
            return False
    return True


def _values(inspector: Inspector, point: Point, term: str) -> Tensor:
    """Give the loss in each draw that the term needs: (R,)."""
    draws = inspector.rec_draws if term == "rec" else inspector.rate_draws
    return inspector.call.each(*point, draws=draws)


def _agrees(
    inspector: Inspector, start: Tensor, end: Tensor, told: Tensor, noise: float = 0.0
) -> bool:
    """Whether a change (R,) is the sum of what was told for each entry."""
    seen = end - start
    limit = CLOSE * inspector.loose * float(told.abs().sum())
    limit += SURE * standard_error(seen) + noise
    limit += 4 * inspector.dust(float(start[0])) + 4 * inspector.dust(float(end[0]))
    return abs(float(seen.mean()) - float(told.sum())) <= limit
