"""Losses that take their arguments in another order than they were given."""

from __future__ import annotations

from itertools import permutations

from course_utils.linter.calling import ORDER, Caller, Failed, Size
from course_utils.linter.curves import rate_of, reconstruction
from course_utils.linter.inspector import Inspector
from course_utils.linter.kl import POSITIVE, Rate
from course_utils.linter.likelihoods import SWAPPED

USUAL = ("log σ²", "log σ", "σ²", "σ", "softplus gives σ")


def _usual(rate: Rate) -> bool:
    return rate.mu_kind == "square" and rate.reading in USUAL


def _reordered(call: Caller, size: Size, order: tuple[str, ...]) -> Inspector:
    other = Caller(call.loss, call.pack, order)
    return Inspector(other, size)


def code_swapped(inspector: Inspector, spread: str) -> bool:
    """Whether the KL is a Gaussian's with mu and logvar exchanged."""
    exchange = {"mu": "logvar", "logvar": "mu"}
    order = tuple(exchange.get(name, name) for name in inspector.call.order)
    other = _reordered(inspector.call, inspector.size, order)
    try:
        other.start(spread in POSITIVE)
        return _usual(rate_of(other))
    except Failed:
        return False


def other_order(call: Caller, size: Size, spread: str) -> tuple[str, ...] | None:
    """Find an order of the arguments in which the loss is a usual one, if any."""
    for order in permutations(ORDER):
        other = _reordered(call, size, order)
        try:
            other.start(spread in POSITIVE)
            rec = reconstruction(other)
            if rec.shape is None or rec.shape.finding is SWAPPED:
                continue
            if _usual(rate_of(other)):
                return order
        except Failed:
            continue
    return None
