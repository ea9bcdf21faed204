"""The β-VAE as it is meant: the best reconstruction with a rate of at most δ.

    minimise distortion(θ, φ)   subject to   rate(φ) ≤ δ,   both averaged over the data.

Its Lagrangian is distortion + β (rate − δ) with β ≥ 0. **Dual ascent** minimises it
over θ and φ while it raises β where the rate is above δ and lowers it where it is
below, so β is an answer, not a setting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch


class Infeasible(ValueError):
    """No β up to the largest one allowed brings the rate down to δ."""


class Kkt(NamedTuple):
    """How far a point is from each Karush–Kuhn–Tucker condition; 0 is exact.

    Attributes
    ----------
    stationarity
        Largest |∂(distortion + β rate)/∂parameter|.
    primal
        max(0, rate − δ), in nats.
    dual
        max(0, −β).
    slackness
        |β (rate − δ)|, in nats.
    """

    stationarity: float
    primal: float
    dual: float
    slackness: float

    @property
    def worst(self) -> float:
        """The largest of the four."""
        return max(self)


def kkt_residuals(
    distortion: torch.Tensor,
    rate: torch.Tensor,
    beta: float,
    delta: float,
    parameters: Iterable[torch.Tensor],
) -> Kkt:
    """Measure the four KKT conditions at a point.

    Parameters
    ----------
    distortion, rate
        0-d, averages over the data, computed from ``parameters``.
    beta, delta
        Multiplier and bound on the rate.
    parameters
        What is minimised over, with ``requires_grad``.

    Returns
    -------
    Kkt

    Raises
    ------
    ValueError
        If distortion or rate is not one number.

    Notes
    -----
    S. Boyd and L. Vandenberghe (2004), *Convex Optimization*, section 5.5.3.

    Examples
    --------
    Minimise (u − 3)² with u ≤ 1: u = 1, and β = 4 balances the slope −4.

    >>> u = torch.tensor(1.0, requires_grad=True)
    >>> kkt_residuals((u - 3) ** 2, u, beta=4.0, delta=1.0, parameters=[u])
    Kkt(stationarity=0.0, primal=0.0, dual=0.0, slackness=0.0)
    """
    for name, term in (("distortion", distortion), ("rate", rate)):
        if term.ndim > 0:
            raise ValueError(
                f"the {name} has shape {tuple(term.shape)}; expected one number, the "
                "mean over the data"
            )
    lagrangian = distortion + beta * rate
    slopes = torch.autograd.grad(
        lagrangian, list(parameters), retain_graph=True, allow_unused=True
    )
    steepest = max(float(s.abs().max()) for s in slopes if s is not None)
    excess = rate.item() - delta
    return Kkt(steepest, max(0.0, excess), max(0.0, -beta), abs(beta * excess))


@dataclass
class Multiplier:
    """β, and how dual ascent moves it.

    Parameters
    ----------
    delta
        δ, the bound on the rate, at least 0, in nats.
    beta
        Where β starts: at least 0, and above 0 on the log scale.
    step
        How far one nat of excess moves β (``scale="linear"``) or log β (``"log"``).
    scale
        ``"linear"``: β ← max(0, β + step (rate − δ)), gradient ascent projected onto
        β ≥ 0; it can reach 0, which says that the constraint does not bind. ``"log"``:
        β ← β exp(step (rate − δ)), which moves evenly over orders of magnitude and only
        ever comes near 0.
    largest
        A β beyond this is taken as a sign that δ cannot be met.

    Raises
    ------
    ValueError
        If a setting is out of range.

    Examples
    --------
    >>> multiplier = Multiplier(delta=2.0, beta=1.0, step=0.5)
    >>> multiplier.update(rate=4.0), multiplier.update(rate=1.0)
    (2.0, 1.5)
    """

    delta: float
    beta: float = 1.0
    step: float = 0.1
    scale: str = "linear"
    largest: float = 1e4

    def __post_init__(self) -> None:
        if not 0 <= self.delta < math.inf:
            raise ValueError(
                f"delta is {self.delta}; expected a finite number of at least 0: no "
                "rate is negative"
            )
        if self.scale not in ("linear", "log"):
            raise ValueError(f"scale is {self.scale!r}; expected 'linear' or 'log'")
        for name in ("step", "largest"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; expected a positive number"
                )
        least_allowed = self.beta >= 0 if self.scale == "linear" else self.beta > 0
        if not (least_allowed and self.beta <= self.largest):
            raise ValueError(
                f"beta starts at {self.beta}; expected at least 0 (above 0 on the log "
                f"scale) and at most largest, {self.largest}"
            )

    def update(self, rate: float) -> float:
        """Move β by what the rate exceeds δ, and return it.

        Raises
        ------
        Infeasible
            If β would pass ``largest``: its ``beta`` then stays there.
        """
        excess = rate - self.delta
        if self.scale == "linear":
            beta = max(0.0, self.beta + self.step * excess)
        else:
            beta = math.exp(min(math.log(self.beta) + self.step * excess, 700.0))
            beta = max(beta, 1e-300)
        self.beta = min(beta, self.largest)
        if beta > self.largest:
            raise Infeasible(
                f"β has reached {self.largest:g} and the rate is still {rate:.4g} "
                f"nats, above δ = {self.delta:g}: no β up to here makes it meet δ"
            )
        return self.beta
