"""Small numbers: least squares, powers of a size, equal up to a tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

NEAR = 2e-3  # two weights are equal when they differ by less, relatively
LEFT_OVER = 4e-3  # a shape fits when this much of its variation, or less, is left over


def row(values: Sequence[float]) -> Tensor:
    """Make a float64 tensor of numbers."""
    return torch.tensor(values, dtype=torch.float64)


def fit(values: Tensor, basis: Tensor) -> tuple[Tensor, float]:
    """Coefficients (B,) of values (M,) on columns (M, B); share of variation left."""
    scale = basis.abs().amax(0).clamp_min(1e-300)
    columns = basis / scale
    solution = torch.linalg.lstsq(columns, values[:, None], driver="gelsd").solution
    rest = values - (columns @ solution)[:, 0]
    left = rest.norm() / (values - values.mean()).norm().clamp_min(1e-300)
    return solution[:, 0] / scale, float(left)


def power_of(small: float, large: float) -> int | None:
    """Power p of a size in weight ∝ size^(-p), from the size once and doubled."""
    if small == 0 or large == 0 or small / large <= 0:
        return None
    power = math.log2(small / large)
    return round(power) if abs(power - round(power)) < 0.05 else None


def nearly(value: float, *targets: float) -> bool:
    """Whether a number equals one of the targets, up to the tolerance."""
    return any(abs(value - t) <= NEAR * abs(t) for t in targets)


def plain(value: float) -> str:
    """Write a number with three digits, and simple fractions as such."""
    for known, text in ((0.5, "½"), (0.25, "¼")):
        if abs(value - known) < 1e-4:
            return text
    return f"{value:.3g}"
