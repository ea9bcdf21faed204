"""One latent, any smooth decoder: log p(x) and the bound's terms by quadrature.

z ~ N(0, 1) is one number, and x given z ~ N(f(z), σ²I) for a decoder f of your choice.
Nothing is a closed form any more, but every integral is over a line and can be done to
many digits. All of it is in float64.

Each quantity has a rule of its own, so that log p(x) = −distortion − rate + gap
compares different computations. (On one shared grid it would hold whatever the grid.)

- log p(x): adaptive Gauss–Kronrod, until its own error estimate is small.
- distortion: the trapezoid rule over ε in z = mu + σ_q ε, a grid that moves with q.
- rate: the closed form.
- gap: the trapezoid rule over a fixed wide grid of z, with the posterior normalised by
  that grid and not by log p(x).

The trapezoid rule looks too plain for this, but for smooth functions that fade on both
sides its error falls exponentially with the number of points (L. N. Trefethen and
J. A. C. Weideman, 2014, SIAM Review). Each sum over a grid is also done with every
second point; where the two differ, the grid is refused instead of a wrong number given.
A decoder whose kinks matter, as those of a ReLU network do, is refused so too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from course_utils.oracles._checks import check_double

from ..objectives import gaussian_kl
from .linear_gaussian import Terms

LOG_2PI = math.log(2 * math.pi)
AGREE = 1e-9  # nats by which a value may change when every second point is left out
FADED = -40.0  # nats below its peak where an integrand counts as zero


@dataclass(frozen=True)
class QuadratureWorld:
    """p(z) = N(0, 1), p(x|z) = N(f(z), σ²I), with K = 1 and any smooth f.

    Parameters
    ----------
    decoder
        f, from z (M, 1) to means (M, D), float64 in and out, smooth. Written in torch,
        so that gradients in q pass through it; a model's ``decode`` after ``.double()``
        does.
    sigma
        Standard deviation of the noise, above 0.
    reach
        The fixed grid spans z from −reach to reach.
    points
        How many points it has, odd.

    Raises
    ------
    ValueError
        If an argument is out of range, or the decoder gives another shape or dtype.

    Examples
    --------
    >>> world = QuadratureWorld(lambda z: torch.cat([z, z**2], 1), sigma=0.5)
    >>> x = torch.tensor([[1.0, 1.0]]).double()
    >>> mu, logvar = torch.ones(1, 1).double(), torch.full((1, 1), -3.0).double()
    >>> terms = world.terms(x, mu, logvar)
    >>> residual = world.log_density(x) - (terms.elbo + terms.gap)
    >>> bool(residual.abs() < 1e-8)
    True
    """

    decoder: Callable[[torch.Tensor], torch.Tensor]
    sigma: float
    reach: float = 20.0
    points: int = 8001

    def __post_init__(self) -> None:
        for name, value in (("sigma", self.sigma), ("reach", self.reach)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}; expected a finite number above 0")
        whole = isinstance(self.points, int) and not isinstance(self.points, bool)
        if not whole or self.points < 5 or self.points % 2 == 0:
            raise ValueError(
                f"points is {self.points!r}; expected an odd whole number from 5"
            )
        self._decode(torch.zeros(2, 1, dtype=torch.float64))

    @property
    def grid(self) -> torch.Tensor:
        """The fixed grid of z, (points,)."""
        return torch.linspace(-self.reach, self.reach, self.points, dtype=torch.float64)

    def log_joint(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return log p(x, z) of every x with every z: (N, D), (M,) to (N, M)."""
        _check_data(x)
        mean = self._decode(z[:, None])
        self._check_width(x, mean)
        log_prior = -0.5 * (z**2 + LOG_2PI)
        distance = torch.cdist(x, mean, compute_mode="donot_use_mm_for_euclid_dist")
        return log_prior + self._log_likelihood(distance**2, x.shape[1])

    def log_density(self, x: torch.Tensor) -> torch.Tensor:
        """Return log p(x) by adaptive Gauss–Kronrod quadrature, (N, D) to (N,).

        Not differentiable; for a gradient use ``terms(...)``: elbo + gap.

        Raises
        ------
        ValueError
            If ``x`` does not fit, the integrand has not faded at ±reach, or the rule
            does not reach its error goal.
        """
        from scipy.integrate import quad_vec

        with torch.no_grad():
            on_grid = self.log_joint(x, self.grid)
            peak, where = on_grid.max(1)  # (N,), to keep exp in range
            self._check_faded(on_grid, "x lies where z is beyond the grid")

            def integrand(z: float):  # type: ignore[no-untyped-def]  # numpy, (N,)
                at = torch.tensor([z], dtype=torch.float64)
                return (self.log_joint(x, at)[:, 0] - peak).exp().numpy()

            # Breakpoints: evenly, and at the peaks, so that no narrow one is missed.
            evenly = torch.linspace(-self.reach, self.reach, 25, dtype=torch.float64)
            breaks = torch.cat([evenly[1:-1], self.grid[where]]).unique().tolist()
            value, error, info = quad_vec(
                integrand, -self.reach, self.reach, points=breaks, norm="max",
                epsabs=1e-14, epsrel=1e-11, limit=20_000, full_output=True,
            )  # fmt: skip
            value = torch.as_tensor(value)
            if not info.success or not error < 1e-9 * float(value.min()):
                raise ValueError(
                    "the integral over z does not settle (error estimate "
                    f"{error:.1g}); expected a smooth decoder and a sigma that is not "
                    "too small"
                )
            return peak + value.log()

    def grid_log_density(self, x: torch.Tensor) -> torch.Tensor:
        """Return log p(x) by the trapezoid rule over the fixed grid, (N, D) to (N,).

        Faster than `log_density`, differentiable, and independent of it.
        """
        return self._normaliser(self.log_joint(x, self.grid))

    def posterior(self, x: torch.Tensor) -> torch.Tensor:
        """Return the posterior density p(z|x) on `grid`, (N, D) to (N, points)."""
        log_joint = self.log_joint(x, self.grid)
        return (log_joint - self._normaliser(log_joint)[:, None]).exp()

    def posterior_moments(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance of the posterior, (N, D) to (N, 1) and (N, 1)."""
        weights = self.posterior(x) * (2 * self.reach / (self.points - 1))
        mean = (weights * self.grid).sum(1, keepdim=True)
        variance = (weights * (self.grid - mean) ** 2).sum(1, keepdim=True)
        return mean, variance

    def terms(self, x: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor) -> Terms:
        """Return distortion, rate and gap of q(z|x) = N(mu, exp(logvar)).

        Differentiable in ``mu``, ``logvar`` and whatever the decoder holds.

        Parameters
        ----------
        x
            Data (N, D).
        mu, logvar
            (N, 1) each.

        Returns
        -------
        Terms
            Each (N,), in nats.

        Raises
        ------
        ValueError
            If shapes do not fit, or a grid is too coarse or too short for this q, this
            decoder or this x.
        """
        _check_data(x)
        if mu.shape != (len(x), 1) or logvar.shape != (len(x), 1):
            raise ValueError(
                f"mu has shape {tuple(mu.shape)}, logvar {tuple(logvar.shape)}; "
                f"expected {(len(x), 1)} for both"
            )
        check_double(mu=mu, logvar=logvar)
        return Terms(
            self._distortion(x, mu, logvar),
            gaussian_kl(mu, logvar),
            self._gap(x, mu, logvar),
        )

    def _distortion(
        self, x: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor
    ) -> torch.Tensor:
        """Integrate −log p(x|z) over ε ~ N(0, 1) with z = mu + exp(logvar/2) ε."""
        eps = torch.linspace(-10, 10, 801, dtype=torch.float64)
        z = mu + (logvar / 2).exp() * eps  # (N, M)
        mean = self._decode(z.reshape(-1, 1))
        self._check_width(x, mean)
        square = ((x[:, None] - mean.reshape(*z.shape, -1)) ** 2).sum(2)
        loss = -self._log_likelihood(square, x.shape[1])
        weighted = loss * torch.exp(-0.5 * (eps**2 + LOG_2PI))
        allowed = AGREE + 1e-12 * weighted.detach().abs().sum(1)  # 12 digits at most
        return _trapezoid(weighted, float(eps[1] - eps[0]), allowed, "q is wide")

    def _gap(
        self, x: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor
    ) -> torch.Tensor:
        """Integrate q log(q/posterior) over the fixed grid."""
        log_q = -0.5 * ((self.grid - mu) ** 2 * (-logvar).exp() + logvar + LOG_2PI)
        self._check_faded(log_q, "q lies beyond the grid")
        log_joint = self.log_joint(x, self.grid)
        log_posterior = log_joint - self._normaliser(log_joint)[:, None]
        inside = log_q.exp() * (log_q - log_posterior)  # (N, points)
        return _trapezoid(inside, self._step, AGREE, "q is narrow")

    def _normaliser(self, log_joint: torch.Tensor) -> torch.Tensor:
        self._check_faded(log_joint, "x lies where z is beyond the grid")
        peak = log_joint.detach().max(1).values
        scaled = (log_joint - peak[:, None]).exp()
        allowed = AGREE * scaled.detach().sum(1) * self._step  # nats, after the log
        why = "the posterior is narrow"
        return peak + _trapezoid(scaled, self._step, allowed, why).log()

    @property
    def _step(self) -> float:
        return 2 * self.reach / (self.points - 1)

    def _log_likelihood(self, square: torch.Tensor, D: int) -> torch.Tensor:
        return -0.5 * (
            square / self.sigma**2 + D * (LOG_2PI + 2 * math.log(self.sigma))
        )

    def _decode(self, z: torch.Tensor) -> torch.Tensor:
        mean = self.decoder(z)
        if not isinstance(mean, torch.Tensor) or mean.dtype != torch.float64:
            kind = getattr(mean, "dtype", type(mean).__name__)
            raise ValueError(f"the decoder gives {kind}; expected torch.float64")
        if mean.ndim != 2 or len(mean) != len(z) or mean.shape[1] == 0:
            raise ValueError(
                f"the decoder turns {tuple(z.shape)} into {tuple(mean.shape)}; "
                "expected (M, 1) into (M, D)"
            )
        if not mean.detach().isfinite().all():
            raise ValueError("the decoder gives NaN or infinite values")
        return mean

    def _check_width(self, x: torch.Tensor, mean: torch.Tensor) -> None:
        if x.shape[1] != mean.shape[1]:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; expected (N, {mean.shape[1]}) as the "
                "decoder gives"
            )

    def _check_faded(self, log_values: torch.Tensor, what: str) -> None:
        ends = log_values.detach()[:, [0, -1]].max(1).values
        if (ends - log_values.detach().max(1).values > FADED).any():
            raise ValueError(
                f"{what}, which ends at ±{self.reach:g}; expected a larger reach"
            )


def _trapezoid(
    values: torch.Tensor, step: float, allowed: torch.Tensor | float, why: str
) -> torch.Tensor:
    """Sum (N, M) values that fade at both ends, and compare with every second one."""
    total = values.sum(1) * step
    half = values[:, ::2].sum(1) * (2 * step)
    change = (total - half).detach().abs()
    if not (change <= allowed).all():
        raise ValueError(
            f"the grid is too coarse ({why}, or the decoder is not smooth): leaving "
            f"out every second point changes the sum by {float(change.max()):.1g}; "
            "expected more points"
        )
    return total


def _check_data(x: torch.Tensor) -> None:
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, D), N ≥ 1")
    check_double(x=x)
