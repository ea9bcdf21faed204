"""Small numbers: least squares, powers of a size, equal up to a tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

NEAR = 2e-3  # two weights are equal when they differ by less, relatively
LEFT_OVER = 4e-3  # a shape fits when this much of its variation, or less, is left over
SURE = 4.0  # standard errors that a difference needs before it is called one


def row(values: Sequence[float]) -> Tensor:
    """Make a float64 tensor of numbers."""
    return torch.tensor(values, dtype=torch.float64)


def fit(values: Tensor, basis: Tensor) -> tuple[Tensor, float]:
    """Coefficients (B, R) of values (M, R) on columns (M, B); share of variation left.

    Each of the R draws is fitted on its own; the share is that of their mean.
    """
    scale = basis.abs().amax(0).clamp_min(1e-300)
    columns = basis / scale
    solution = torch.linalg.lstsq(columns, values, driver="gelsd").solution
    mean = values.mean(1)
    rest = mean - columns @ solution.mean(1)
    left = rest.norm() / (mean - mean.mean()).norm().clamp_min(1e-300)
    return solution / scale[:, None], float(left)


def standard_error(draws: Tensor) -> float:
    """Give the standard error of the mean of draws (R,); 0 of a single one."""
    if len(draws) < 2:
        return 0.0
    return float(draws.std()) / math.sqrt(len(draws))


def power_of(small: Tensor, large: Tensor, ratio: float) -> int | None:
    """Power p in weight ∝ size^(-p), from draws (R,) of it at a size and ratio times.

    None where no whole power fits.
    """
    one, two = float(small.mean()), float(large.mean())
    if one == 0 or two == 0 or one / two <= 0:
        return None
    power = math.log(one / two) / math.log(ratio)
    noise = standard_error(small) / abs(one) + standard_error(large) / abs(two)
    slack = 0.05 + min(0.3, SURE * noise / math.log(ratio))
    return round(power) if abs(power - round(power)) < slack else None


def nearly(value: float, *targets: float) -> bool:
    """Whether a number equals one of the targets, up to the tolerance."""
    return any(abs(value - t) <= NEAR * abs(t) for t in targets)


def is_plain(value: float) -> bool:
    """Whether a weight is one that a formula has by itself: ½, 1 or 2."""
    return nearly(abs(value), 0.5, 1, 2)


def plain(value: float) -> str:
    """Write a number with three digits, and simple fractions as such."""
    for known, text in ((0.5, "½"), (0.25, "¼")):
        if abs(value - known) < 1e-4:
            return text
    return f"{value:.3g}"
