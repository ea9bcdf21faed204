"""The two terms at inputs of one number each, fitted by the shapes that are known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.linter.fitting import LEFT_OVER, fit, row, standard_error
from course_utils.linter.inspector import Inspector
from course_utils.linter.kl import (
    LINEAR,
    MU_SHAPES,
    READINGS,
    ROOT,
    SQUARED,
    Rate,
    spread_basis,
)
from course_utils.linter.likelihoods import SHAPES, SWAPPED, Reconstruction, Shape

INSIDE = (0.1, 0.25, 0.4, 0.6, 0.75, 0.9)
OUTSIDE = (-3.0, -1.6, 1.7, 3.0)
MU_GRID = (-3, -2, -1, -0.5, -0.2, 0, 0.2, 0.5, 1, 2, 3)
REAL_GRID = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
POSITIVE_GRID = (0.3, 0.5, 0.8, 1, 1.5, 2, 3)
Table = dict[tuple[float, float], float]


# --- the reconstruction: x_hat moves, mu and logvar rest ----------------------------


def reconstruction(inspector: Inspector) -> Reconstruction:
    """Find the reconstruction's shape and weight."""
    wide = (*INSIDE, *OUTSIDE) if inspector.wide else INSIDE
    count = inspector.size.N * inspector.size.D
    table = {
        (a, b): inspector.at(a, b, 0.0, inspector.t0) / count
        for a in inspector.greys
        for b in wide
    }
    values = list(table.values())
    if max(values) - min(values) <= 1e-12 * max(map(abs, values)):
        return Reconstruction(None, 0.0)
    for grid in dict.fromkeys((wide, INSIDE)):  # some losses clip x_hat
        best = min(
            (*_compare(inspector, shape, table, grid if shape.open else INSIDE), i)
            for i, shape in enumerate(SHAPES)
        )
        if best[0] <= LEFT_OVER * inspector.loose:
            shape = SHAPES[best[2]]
            return Reconstruction(shape, best[1], shape.open and grid != wide)
    return Reconstruction(None, math.nan)


def _compare(
    inspector: Inspector, shape: Shape, table: Table, grid: tuple[float, ...]
) -> tuple[float, float]:
    """Share of the variation with x_hat that a shape leaves over; its weight."""
    if shape.finding is SWAPPED and not inspector.grey:
        return math.inf, 0.0
    b = row(grid)
    seen, told = [], []
    for a in inspector.greys:
        value = row([table[a, v] for v in grid])
        form = shape.value(torch.full_like(b, a), b)
        seen.append(value - value.mean())
        told.append(form - form.mean())
    y, r = torch.cat(seen), torch.cat(told)
    weight = float(y @ r / (r @ r))
    return float((y - weight * r).norm() / y.norm()), weight


# --- the KL: mu and logvar move, x and x_hat rest -----------------------------------


def rate_of(inspector: Inspector) -> Rate:
    """Find the KL's shape and weights, and how far the draws leave them open."""
    rate, one = Rate(), torch.ones(len(MU_GRID), 1, dtype=torch.float64)
    grid = row(MU_GRID)
    values = _curve(inspector, [(m, inspector.t0) for m in MU_GRID])
    if _moves(inspector, values):
        fits = {
            kind: fit(values, torch.cat([form(grid), one], 1))
            for kind, form in MU_SHAPES.items()
        }
        limit = LEFT_OVER * inspector.loose
        # A straight line is also a square without its square: prefer the simpler.
        simple = ("linear", "absolute", "square", "relu")
        kind = next((k for k in simple if fits[k][1] <= limit), "unknown")
        rate.mu_kind = kind
        if kind != "unknown":
            coefficients = fits[kind][0][:-1]
            rate.mu_coefficients = coefficients.mean(1)
            rate.mu = 2 * float(rate.mu_coefficients[-1])
            rate.errors["mu"] = 2 * standard_error(coefficients[-1])
            rate.errors["mean"] = standard_error(coefficients[0])
    _spread(inspector, rate)
    return rate


def _curve(inspector: Inspector, points: list[tuple[float, float]]) -> Tensor:
    """Give the loss for one latent of one example at (mu, logvar): (M, R)."""
    a, b = inspector.rest()
    draws, count = inspector.rate_draws, inspector.size.N * inspector.size.K
    return torch.stack([inspector.each(a, b, m, t, draws=draws) for m, t in points]) / (
        count
    )


def _moves(inspector: Inspector, values: Tensor) -> bool:
    """Whether a curve (M, R) is more than rounding."""
    floor = 1e-11 if not inspector.call.single else 1e-6
    size = max(float(values.abs().max()), 1e-300)
    return float((values.max(0)[0] - values.min(0)[0]).max()) > floor * size


def _spread(inspector: Inspector, rate: Rate) -> None:
    both = inspector.t0 == 0
    grid = row(REAL_GRID if both else POSITIVE_GRID)
    values = _curve(inspector, [(0.0, float(t)) for t in grid])
    if not _moves(inspector, values):
        return
    names = [
        name for name, (_, positive) in READINGS.items() if not (positive and both)
    ]
    one = torch.ones(len(grid), 1, dtype=torch.float64)
    limit = LEFT_OVER * inspector.loose
    line, left = fit(values, torch.cat([grid[:, None], one], 1))
    if left <= limit:
        rate.reading, rate.log = LINEAR, -2 * float(line[0].mean())
        rate.errors["log"] = 2 * standard_error(line[0])
        return
    fits = {
        name: fit(values, torch.cat([spread_basis(name, grid), one], 1))
        for name in (*names, SQUARED, ROOT)
    }
    best = min(fits, key=lambda name: fits[name][1])
    solution, left = fits[best]
    if left > limit:
        rate.reading = "unknown"
        return
    rate.reading = best
    rate.log = -2 * float(solution[0].mean())
    rate.spread = 2 * float(solution[1].mean())
    rate.errors["log"] = 2 * standard_error(solution[0])
    rate.errors["spread"] = 2 * standard_error(solution[1])
