"""From fitted weights to the effective β: what divides them, and which σ² they mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from course_utils.linter.calling import Size
from course_utils.linter.fitting import is_plain, nearly, plain
from course_utils.linter.inspector import Inspector
from course_utils.linter.likelihoods import Reconstruction
from course_utils.linter.sizes import Powers

BATCHES = range(2, 4097)  # sizes that a batch may have


@dataclass
class Term:
    """The weight of one term without what it is divided by: N, D, K to powers."""

    weight: float
    powers: dict[str, int | None]
    written: set[str] = field(default_factory=set)  # sizes told by a constant alone

    def power(self, name: str) -> int:
        """Power of one size, 0 where unknown."""
        return self.powers[name] or 0

    def divide(self, name: str, n: int, power: int) -> None:
        """Take the weight to be divided by n to this power."""
        self.weight *= float(n) ** (power - self.power(name))
        self.powers[name] = power


@dataclass
class Scales:
    """Both terms, and the batch that a constant in one of them seems to stand for."""

    rec: Term
    kl: Term
    averaged: dict[str, int]
    unsure: set[str]
    batch: int | None = None


def without_sizes(rec: float, kl: float, powers: Powers, s: Size) -> Scales:
    """Divide the sizes out of the weights; see a constant 1/D for what it is.

    A constant counts as a size where the weight is plain (½, 1 or 2) with it, and is
    not without it.
    """
    in_rec, in_kl = _term(rec, powers, 0, s), _term(kl, powers, 1, s)
    in_rec.weight *= powers.averaged["D"]
    in_kl.weight *= powers.averaged["K"]
    k = Scales(in_rec, in_kl, powers.averaged, powers.unsure)
    for term in (k.rec, k.kl):
        _see_size(term, "D", s.D)
    _see_size(k.kl, "K", s.K)
    if k.rec.power("N") != k.kl.power("N"):
        _see_batch(k, s)
    for term in (k.rec, k.kl):
        term.powers = {name: power or 0 for name, power in term.powers.items()}
    return k


def _term(weight: float, powers: Powers, i: int, s: Size) -> Term:
    """Divide the measured powers of the sizes out of a weight."""
    term = Term(weight, {"N": 0, "D": 0, "K": 0})
    for name, n in (("N", s.N), ("D", s.D), ("K", s.K)):
        power = powers.of[name][i]
        term.divide(name, n, power or 0)
        term.powers[name] = power
    return term


def _see_size(term: Term, name: str, n: int) -> None:
    power = term.powers[name]
    if n < 16 or is_plain(term.weight):
        return
    if is_plain(term.weight * n) and (power is None or (power == 0 and name == "D")):
        term.divide(name, n, 1)
        term.written.add(name)
    elif is_plain(term.weight / n) and power == 1:
        term.divide(name, n, 0)


def _see_batch(k: Scales, s: Size) -> None:
    """Look for a batch's size, and 1/D with it, among the constants of one term."""
    low, high = sorted((k.rec, k.kl), key=lambda term: term.power("N"))
    if is_plain(low.weight):
        return
    both = s.D if high.power("D") == 1 and low.power("D") == 0 and s.D > 1 else 1
    for size in dict.fromkeys((1, both)):
        weight = low.weight * size
        b = round(1 / abs(weight))
        same = is_plain(weight * s.N)
        if same or (b in BATCHES and abs(b * abs(weight) - 1) < 1e-6):
            if size > 1:
                low.divide("D", s.D, 1)
            if same:
                low.divide("N", s.N, high.power("N"))
                low.written.add("N")
            else:
                k.batch = b
            return


def reduction(power: int | None) -> str:
    """Say in words which reduction divides by a size to this power."""
    if power is None:
        return "unknown"
    if power in (0, 1):
        return ("sum", "mean")[power]
    if power < 0:
        return "sum, then once more for each"
    return f"divided by the number {power} times"


def both_reductions(rec: int | None, kl: int | None) -> str:
    """Say it for two terms, once where they agree."""
    one, two = reduction(rec), reduction(kl)
    return one if one == two else f"reconstruction: {one}; KL: {two}"


def normaliser(s: Size, inspector: Inspector, rec: Reconstruction) -> float | None:
    """σ² (or a Laplace scale) told by the normaliser, or None without one."""
    assert rec.shape is not None
    if rec.shape.likelihood not in ("Gaussian", "Laplace") or not inspector.grey:
        return None
    if rec.shape.parametrisation != "mean" or inspector.t0 != 0:
        return None
    value = inspector.at(0.5, 0.5, 0.0, 0.0) / (s.N * s.D)
    if abs(value) < 1e-9 * abs(rec.weight):
        return None
    for share in (1, 1 / s.N, 1 / (s.N * s.D)):
        for overall in (share, 2 * share):  # both terms may lack their ½
            scale = overall / rec.weight
            if scale <= 0:
                continue
            if rec.shape.likelihood == "Gaussian":
                told = [0.5 * math.log(2 * math.pi * scale), 0.5 * math.log(scale)]
            else:
                told = [math.log(2 * scale), math.log(scale)]
            if any(abs(value - overall * t) < 1e-6 * abs(value) for t in told):
                return scale
    return None


def list_equivalents(
    likelihood: str, ratio: float, rest: float, noise: float | None
) -> list[str]:
    """List the readings that give the same loss."""
    said = []
    symbol = {"Gaussian": "σ²", "Laplace": "scale"}.get(likelihood)
    if symbol and noise is None and not nearly(ratio, 1) and ratio > 0:
        said.append(
            f"β = {ratio:.3g} at {symbol} = 1, or β = 1 at {symbol} = {plain(ratio)}"
        )
    beta = abs(ratio if noise is None else ratio / noise)
    if nearly(rest, 2):
        said.append(f"β = {beta:.3g}, or the KL's ½ was dropped")
    if nearly(rest, 0.5) and likelihood == "Gaussian":
        said.append(f"β = {beta:.3g}, or the squared error's ½ was dropped")
    return said
