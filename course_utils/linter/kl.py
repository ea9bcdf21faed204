"""Shapes that a KL can have as a function of mu and logvar."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import softplus

from course_utils.linter.fitting import SURE, row

SPREADS = {
    "logvar": "log σ²", "logsigma": "log σ", "var": "σ²", "sigma": "σ",
    "softplus": "softplus gives σ",
}  # fmt: skip
POSITIVE = ("var", "sigma")  # spreads that are never negative
# How the fourth argument t gives σ²: the KL's part is then ½(σ² − log σ²).
READINGS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "log σ²": (lambda t: t.exp(), False),
    "log σ": (lambda t: (2 * t).exp(), False),
    "log(1/σ²)": (lambda t: (-t).exp(), False),
    "softplus gives σ": (lambda t: softplus(t) ** 2, False),
    "softplus gives σ²": (softplus, False),
    "log σ², negative values cut off": (lambda t: t.relu().exp(), False),
    "σ²": (lambda t: t, True),
    "σ": (lambda t: t**2, True),
}
SQUARED, LINEAR, UNUSED = "log σ², squared", "log σ², without exp", "unused"
ROOT = "log σ², with σ where σ² is meant"
MU_SHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "square": lambda t: torch.stack([t, t**2], -1),
    "relu": lambda t: torch.stack([t.relu(), t.relu() ** 2], -1),
    "absolute": lambda t: t.abs()[..., None],
    "linear": lambda t: t[..., None],
}


@dataclass
class Rate:
    """The KL: weights of mu², σ² and -log σ² for one latent (1 each if β = 1)."""

    mu_kind: str = "unused"
    mu_coefficients: Tensor | None = None
    mu: float = 0.0
    reading: str = UNUSED
    spread: float = 0.0
    log: float = 0.0
    errors: dict[str, float] = field(default_factory=dict)  # their standard errors
    over_variance: bool = False  # whether mu² is divided by σ², as in KL(prior ‖ q)

    def parts(self, mu: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Predict what mu and logvar add, of the shape of mu, up to a constant."""
        one, two = torch.zeros_like(mu), torch.zeros_like(mu)
        if self.mu_coefficients is not None:
            one = MU_SHAPES[self.mu_kind](mu) @ self.mu_coefficients
        if self.over_variance:
            one = one * (-t).exp()
        if self.reading != UNUSED:
            weights = row([-self.log, self.spread])
            two = 0.5 * (spread_basis(self.reading, t) @ weights)
        return one, two

    def error(self, *names: str) -> float:
        """Give the width within which weights may differ by their random draws."""
        return SURE * sum(self.errors.get(name, 0.0) for name in names)

    @property
    def known(self) -> bool:
        """Whether both curves have a shape that is known here."""
        return "unknown" not in (self.mu_kind, self.reading)

    @property
    def unused(self) -> bool:
        """Whether neither mu nor logvar does anything."""
        return self.mu_kind == "unused" and self.reading == UNUSED

    @property
    def weight(self) -> float:
        """One weight for the whole term: the one of mu² where it has one."""
        return self.mu or self.spread or self.log


def spread_basis(reading: str, t: Tensor) -> Tensor:
    """Columns log σ² and σ² (or what stands in their place) at t: (..., 2)."""
    if reading == SQUARED:
        return torch.stack([t, t**2], -1)
    if reading == ROOT:
        return torch.stack([t, (t / 2).exp()], -1)
    if reading == LINEAR:
        return torch.stack([t, torch.zeros_like(t)], -1)
    variance = READINGS[reading][0](t)
    return torch.stack([variance.log(), variance], -1)
