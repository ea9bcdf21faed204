"""Probe a loss: inputs that it takes, its randomness, points to look at it."""

from __future__ import annotations

import torch
from torch import Tensor

from course_utils.linter.calling import Caller, Failed, Point, Size

DRAWS = 64  # calls to average where the loss draws random numbers


class Inspector:
    """Calls one loss at one size, at equal inputs and at random ones."""

    def __init__(self, call: Caller, size: Size):
        self.call, self.size = call, size
        self.generator = torch.Generator().manual_seed(20)
        self.grey = True  # whether the loss takes data strictly between 0 and 1
        self.wide = False  # whether the loss takes x_hat outside (0, 1)
        self.t0 = 0.0  # a value of logvar at which the loss is finite
        self.best = 0.5  # the x_hat at which to look at the KL, for x = 0.5
        self.changes = False  # whether the loss changes from call to call
        self.rec_draws = self.rate_draws = 1  # calls to average, for each term

    @property
    def loose(self) -> float:
        """How much wider the tolerances are than in float64."""
        return 5.0 if self.call.single else 1.0

    def dust(self, value: float) -> float:
        """Give the rounding error of a difference of two losses of about this value."""
        return (3e-6 if self.call.single else 1e-12) * abs(value)

    def each(
        self, a: float, b: float, m: float, t: float, size: Size | None = None,
        draws: int = 1,
    ) -> Tensor:  # fmt: skip
        """Call the loss with each argument filled with one number; (draws,)."""
        s, kind = size or self.size, self.call.dtype
        point = s.data(a, kind), s.data(b, kind), s.latent(m, kind), s.latent(t, kind)
        return self.call.each(*point, draws=draws)

    def at(self, a: float, b: float, m: float, t: float) -> float:
        """Give the mean over the draws that the reconstruction needs."""
        return float(self.each(a, b, m, t, draws=self.rec_draws).mean())

    def works(self, a: float, b: float, m: float, t: float) -> bool:
        """Whether the loss gives a finite number there."""
        try:
            self.each(a, b, m, t)
        except Failed:
            return False
        return True

    def start(self, positive: bool) -> None:
        """Find inputs that the loss takes; raise Failed if there are none.

        With ``positive`` the fourth argument is a σ or σ² and is never below 0.3.
        """
        first = None
        for kind in (torch.float64, torch.float32):
            for a in (0.5, 1.0):
                for t in (1.0,) if positive else (0.0, 1.0):
                    self.call.dtype = kind
                    try:
                        self.each(a, 0.4, 0.5, t)
                        if t == 0:
                            self.each(a, 0.4, 0.5, -1.5)
                    except Failed as failed:
                        first = first or failed
                        continue
                    self.grey, self.t0 = a == 0.5, t
                    self._ranges()
                    self._randomness()
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

    def _randomness(self) -> None:
        """Find out which term draws random numbers, and whether the loss drifts."""
        a, t = self.greys[0], self.t0
        base = self.each(a, 0.4, 0.5, t, draws=3)
        self.changes = bool(base[0] != self.each(a, 0.4, 0.5, t)[0])
        if self.changes or bool((base == base[0]).all()):
            return
        dust = 4 * (1e-6 if self.call.single else 1e-11) * float(base.abs().max())
        rec = self.each(a, 0.8, 0.5, t, draws=3) - base
        rate = self.each(a, 0.4, -1.0, t + 0.7, draws=3) - base
        self.rec_draws = DRAWS if float((rec - rec[0]).abs().max()) > dust else 1
        self.rate_draws = DRAWS if float((rate - rate[0]).abs().max()) > dust else 1

    @property
    def is_random(self) -> bool:
        """Whether a term of the loss changes with the seed."""
        return max(self.rec_draws, self.rate_draws) > 1

    def rest(self) -> tuple[float, float]:
        """Give x and x_hat where a squared or absolute error is smallest."""
        return (0.5, self.best) if self.grey else (1.0, 0.9)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        """Draw numbers between two others."""
        draw = torch.rand(shape, generator=self.generator, dtype=torch.float64)
        return (low + (high - low) * draw).to(self.call.dtype)

    def point(self) -> Point:
        """Draw x, x_hat, mu, logvar."""
        s = self.size
        x = self.uniform((s.N, *s.shape), 0.1, 0.9)
        x = x if self.grey else (x > 0.5).to(x)
        x_hat = self.uniform((s.N, *s.shape), 0.1, 0.9)
        mu = self.uniform((s.N, *s.latents), -2, 2)
        low = -1.5 if self.t0 == 0 else 0.4
        return x, x_hat, mu, self.uniform((s.N, *s.latents), low, 1.8)
