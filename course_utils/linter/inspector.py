"""Measure a loss at inputs of one number each, and fit its two terms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.linter.calling import Caller, Failed, Size
from course_utils.linter.fitting import LEFT_OVER, fit, power_of, row
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


class Inspector:
    """Measures one loss at one size, and fits its two terms."""

    def __init__(self, call: Caller, size: Size):
        self.call, self.size = call, size
        self.generator = torch.Generator().manual_seed(20)
        self.grey = True  # whether the loss takes data strictly between 0 and 1
        self.wide = False  # whether the loss takes x_hat outside (0, 1)
        self.t0 = 0.0  # a value of logvar at which the loss is finite
        self.best = 0.5  # the x_hat at which to look at the KL, for x = 0.5
        self.changes = False  # whether the loss changes from call to call

    @property
    def noise(self) -> float:
        """How much wider the tolerances are than in float64 without random numbers."""
        return 25.0 if self.call.draws > 1 else 5.0 if self.call.single else 1.0

    def at(
        self, a: float, b: float, m: float, t: float, size: Size | None = None
    ) -> float:
        """Call the loss with each argument filled with one number."""
        s, kind = size or self.size, self.call.dtype
        return self.call(
            s.data(a, kind), s.data(b, kind), s.latent(m, kind), s.latent(t, kind)
        )

    def works(self, a: float, b: float, m: float, t: float) -> bool:
        """Whether the loss gives a finite number there."""
        try:
            self.at(a, b, m, t)
        except Failed:
            return False
        return True

    def start(self) -> None:
        """Find inputs that the loss takes; raise Failed if there are none."""
        first = None
        for kind in (torch.float64, torch.float32):
            for a in (0.5, 1.0):
                for t in (0.0, 1.0):
                    self.call.dtype = kind
                    try:
                        self.at(a, 0.4, 0.5, t)
                    except Failed as failed:
                        first = first or failed
                        continue
                    self.grey, self.t0 = a == 0.5, t
                    self._ranges()
                    return
        assert first is not None
        raise first

    def _ranges(self) -> None:
        if not self.grey and not self.works(0.0, 0.4, 0.5, self.t0):
            self.grey = True  # neither grey nor black: leave it to the fits to say so
        if not self.works(0.5, 0.5, 0.5, self.t0):
            self.best = 0.4  # the log of an error, perhaps
        self.wide = all(
            self.works(a, b, 0.5, self.t0) for a in self.greys for b in (-3, 3.0)
        )

    @property
    def greys(self) -> tuple[float, ...]:
        """Values of the data to look at."""
        return (0.2, 0.5, 0.8) if self.grey else (0.0, 1.0)

    def is_random(self) -> bool:
        """Whether two seeds give two values."""
        s, kind = self.size, self.call.dtype
        values = [
            self.call.output(
                s.data(self.greys[0], kind), s.data(0.4, kind), s.latent(0.5, kind),
                s.latent(self.t0, kind), seed,
            ).detach().sum().item()
            for seed in (0, 0, 1)
        ]  # fmt: skip
        self.changes = values[0] != values[1]
        return not self.changes and values[0] != values[2]

    # The reconstruction: x_hat moves, mu and logvar rest.

    def reconstruction(self) -> Reconstruction:
        """Find the reconstruction's shape and weight."""
        inside = (0.1, 0.25, 0.4, 0.6, 0.75, 0.9)
        outside = (-3.0, -1.6, 1.7, 3.0) if self.wide else ()
        count = self.size.N * self.size.D
        table = {
            (a, b): self.at(a, b, 0.0, self.t0) / count
            for a in self.greys
            for b in (*inside, *outside)
        }
        values = list(table.values())
        if max(values) - min(values) <= 1e-12 * max(map(abs, values)):
            return Reconstruction(None, 0.0)
        for grid in ((*inside, *outside), inside):  # some losses clip x_hat
            best = min(
                (
                    (
                        *self._compare(
                            shape, table, inside if not shape.open else grid
                        ),
                        i,
                    )
                    for i, shape in enumerate(SHAPES)
                ),
            )
            if best[0] <= LEFT_OVER * min(self.noise, 5):
                return Reconstruction(SHAPES[best[2]], best[1])
        return Reconstruction(None, math.nan)

    def _compare(
        self,
        shape: Shape,
        table: dict[tuple[float, float], float],
        grid: tuple[float, ...],
    ) -> tuple[float, float]:
        """Share of the variation with x_hat that a shape leaves over; its weight."""
        if shape.finding is SWAPPED and not self.grey:
            return math.inf, 0.0
        b = row(grid)
        seen, told = [], []
        for a in self.greys:
            value = row([table[a, v] for v in grid])
            form = shape.value(torch.full_like(b, a), b)
            seen.append(value - value.mean())
            told.append(form - form.mean())
        y, r = torch.cat(seen), torch.cat(told)
        weight = float(y @ r / (r @ r))
        return float((y - weight * r).norm() / y.norm()), weight

    # The KL: mu and logvar move, x and x_hat rest.

    def rest(self) -> tuple[float, float]:
        """Give x and x_hat where a squared or absolute error is smallest."""
        return (0.5, self.best) if self.grey else (1.0, 0.9)

    def rate(self) -> Rate:
        """Find the KL's shape and weights."""
        rate, count = Rate(), self.size.N * self.size.K
        a, b = self.rest()
        grid = row([-3, -2, -1, -0.5, -0.2, 0, 0.2, 0.5, 1, 2, 3])
        values = row([self.at(a, b, float(m), self.t0) for m in grid]) / count
        floor = 1e-11 if not self.call.single else 1e-6
        size = max(abs(self.at(a, b, 0.0, self.t0)) / count, 1e-300)
        if float(values.max() - values.min()) > floor * size:
            one = torch.ones(len(grid), 1, dtype=torch.float64)
            fits = {
                kind: fit(values, torch.cat([form(grid), one], 1))
                for kind, form in MU_SHAPES.items()
            }
            kinds = [
                k for k, (_, left) in fits.items() if left <= LEFT_OVER * self.noise
            ]
            # A straight line is also a square without its square: prefer the simpler.
            rate.mu_kind = next(
                (k for k in ("linear", "absolute", "square", "relu") if k in kinds),
                "unknown",
            )
            if kinds:
                rate.mu_coefficients = fits[rate.mu_kind][0][:-1]
                rate.mu = 2 * float(rate.mu_coefficients[-1])
        self._spread(rate, floor)
        return rate

    def _spread(self, rate: Rate, floor: float) -> None:
        a, b = self.rest()
        both = [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0]
        grid = row(both if self.t0 == 0 else [0.3, 0.5, 0.8, 1, 1.5, 2, 3])
        count = self.size.N * self.size.K
        values = row([self.at(a, b, 0.0, float(t)) for t in grid]) / count
        if float(values.max() - values.min()) <= floor * float(values.abs().max()):
            return
        names = [
            name for name, (_, positive) in READINGS.items()
            if not positive or self.t0 != 0
        ] + [SQUARED, ROOT]  # fmt: skip
        one = torch.ones(len(grid), 1, dtype=torch.float64)
        line, left = fit(values, torch.cat([grid[:, None], one], 1))
        if left <= LEFT_OVER * self.noise:
            rate.reading, rate.log = LINEAR, -2 * float(line[0])
            return
        fits = {}
        for name in names:
            basis = torch.cat([spread_basis(name, grid), one], 1)
            fits[name] = fit(values, basis)
        best = min(fits, key=lambda name: fits[name][1])
        solution, left = fits[best]
        if left > LEFT_OVER * min(self.noise, 5):
            rate.reading = "unknown"
            return
        rate.reading = best
        rate.log, rate.spread = -2 * float(solution[0]), 2 * float(solution[1])

    # Sizes: what a weight is divided by.

    def powers(self, rate: Rate) -> dict[str, tuple[int | None, int | None]]:
        """Powers of N, D, K that divide the weights of the two terms; None: unknown."""
        s = self.size
        wider = (*s.shape[:-1], 2 * s.shape[-1])
        sizes = {
            "N": Size(2 * s.N, s.shape, s.K),
            "D": Size(s.N, wider, s.K),
            "K": Size(s.N, s.shape, 2 * s.K),
        }
        base = self._weights(s, rate)
        result: dict[str, tuple[int | None, int | None]] = {}
        for name, size in sizes.items():
            try:
                new = self._weights(size, rate)
            except Failed:
                result[name] = (None, None)
                continue
            result[name] = (power_of(base[0], new[0]), power_of(base[1], new[1]))
        return result

    def _weights(self, s: Size, rate: Rate) -> tuple[float, float]:
        """Measure the changes of the two terms for each pixel and for each latent."""
        a = self.greys[-1]
        data = self.at(a, 0.7, 0, self.t0, s) - self.at(a, 0.3, 0, self.t0, s)
        c, b = self.rest()
        if rate.mu_kind != "unused":
            kl = self.at(c, b, 2.0, self.t0, s) - self.at(c, b, 0.0, self.t0, s)
        else:
            kl = self.at(c, b, 0, self.t0 + 1.5, s) - self.at(c, b, 0, self.t0, s)
        return data / (s.N * s.D), kl / (s.N * s.K)

    # Random points.

    def point(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw x, x_hat, mu, logvar."""
        s, kind = self.size, self.call.dtype

        def uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
            draw = torch.rand(shape, generator=self.generator, dtype=torch.float64)
            return (low + (high - low) * draw).to(kind)

        x = uniform((s.N, *s.shape), 0.1, 0.9)
        x = x if self.grey else (x > 0.5).to(kind)
        x_hat = uniform((s.N, *s.shape), 0.1, 0.9)
        mu = uniform((s.N, s.K), -2, 2)
        low = -1.5 if self.t0 == 0 else 0.4
        return x, x_hat, mu, uniform((s.N, s.K), low, 1.8)
