"""What the weights of the two terms are divided by: sizes, tried at other sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from course_utils.linter.calling import Failed, Size
from course_utils.linter.fitting import power_of
from course_utils.linter.inspector import Inspector
from course_utils.linter.kl import Rate

Pair = tuple[int | None, int | None]


@dataclass
class Powers:
    """Powers of N, D, K that divide the reconstruction and the KL; None: unknown."""

    of: dict[str, Pair]
    # Size over which D of the reconstruction, K of the KL is averaged, where a sum and
    # a mean share the axes; 1 elsewhere.
    averaged: dict[str, int] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)  # sizes that the loss fixes


def powers_of(inspector: Inspector, rate: Rate) -> Powers:
    """Find the powers from the weights at two sizes, for each axis.

    An axis grows from n to 2n + 1, so that a loss that cuts its inputs into rows of a
    written length, with ``view(-1, 784)``, fails instead of finding more rows. What
    takes one size only is left unknown.
    """
    s = inspector.size
    base = _weights(inspector, s, rate)
    result = Powers({})
    result.of["N"] = _pair(inspector, rate, base, Size(2 * s.N, s.shape, s.latents))
    for name, i, shape in (("D", 0, s.shape), ("K", 1, s.latents)):
        found: dict[int, Pair] = {}
        for axis in range(len(shape)):
            if shape[axis] == 1:
                continue  # a sum and a mean are the same
            new = _longer(shape, axis, s.N)
            size = Size(s.N, *((new, s.latents) if i == 0 else (s.shape, new)))
            found[axis] = _pair(inspector, rate, base, size)
        result.of[name] = _together(found, 0), _together(found, 1)
        result.unsure |= {name} if result.of[name][i] is None else set()
        result.averaged[name] = 1
        if {pair[i] for pair in found.values()} == {0, 1}:
            result.averaged[name] = math.prod(
                shape[axis] for axis, pair in found.items() if pair[i] == 1
            )
    return result


def _together(found: dict[int, Pair], i: int) -> int | None:
    """Give the power that all axes of more than one entry agree on."""
    powers = {pair[i] for pair in found.values()} or {0}
    if None in powers:
        return None
    return powers.pop() if len(powers) == 1 else 0


def _pair(
    inspector: Inspector, rate: Rate, base: tuple[Tensor, Tensor], size: Size
) -> Pair:
    """Give the powers of the two terms at another size, unknown if it is refused."""
    s = inspector.size
    try:
        new = _weights(inspector, size, rate)
    except Failed:
        return None, None
    ratio = (size.N * size.D * size.K) / (s.N * s.D * s.K)
    return power_of(base[0], new[0], ratio), power_of(base[1], new[1], ratio)


def _longer(shape: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    """Lengthen an axis; to no whole number of the old rows, if that can be."""
    old = shape[axis]
    odd = next((k for k in (2 * old + 1, 2 * old + 2) if n * k % old), 2 * old + 1)
    return (*shape[:axis], odd, *shape[axis + 1 :])


def _weights(inspector: Inspector, s: Size, rate: Rate) -> tuple[Tensor, Tensor]:
    """Measure the changes of the two terms for each pixel and for each latent."""
    t, (c, b) = inspector.t0, inspector.rest()
    a, draws = inspector.greys[-1], inspector.rec_draws
    data = inspector.each(a, 0.7, 0, t, s, draws) - inspector.each(
        a, 0.3, 0, t, s, draws
    )

    def at(m: float, t: float) -> Tensor:
        return inspector.each(c, b, m, t, s, inspector.rate_draws)

    if rate.mu_kind == "square":  # free of what a random draw adds in proportion to mu
        kl = at(2.0, t) + at(-2.0, t) - 2 * at(0.0, t)
    elif rate.mu_kind != "unused":
        kl = at(2.0, t) - at(0.0, t)
    else:
        kl = at(0.0, t + 1.5) - at(0.0, t)
    return data / (s.N * s.D), kl / (s.N * s.K)
