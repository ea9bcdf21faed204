"""Shapes that a KL can have as a function of mu and logvar, and their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from course_utils.linter.fitting import row
from course_utils.linter.report import Finding

SPREADS = {"logvar": "log σ²", "logsigma": "log σ", "var": "σ²", "sigma": "σ"}
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

    def value(self, mu: Tensor, t: Tensor) -> Tensor:
        """Predict the summed KL term, up to a constant."""
        total = torch.zeros((), dtype=torch.float64)
        if self.mu_coefficients is not None:
            total = total + (MU_SHAPES[self.mu_kind](mu) @ self.mu_coefficients).sum()
        if self.reading != UNUSED:
            weights = row([-self.log, self.spread])
            total = total + 0.5 * (spread_basis(self.reading, t) @ weights).sum()
        return total

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


def kl_findings(rate: Rate, spread: str) -> list[Finding]:
    """Find what is wrong with the KL's own shape."""
    found = []
    if rate.mu_kind == "unused" and rate.reading == UNUSED:
        return [
            Finding(
                "no_kl",
                "The loss depends neither on mu nor on logvar: it is an autoencoder's.",
            )
        ]
    if rate.mu_kind == "unused":
        found.append(
            Finding("mu_missing", "The KL does not depend on mu; ½·mu² is missing.")
        )
    if rate.mu_kind == "relu":
        found.append(
            Finding(
                "mu_relu",
                "Negative values of mu are cut off (a ReLU on mu): half of the latent "
                "space costs nothing. mu has to take both signs.",
            )
        )
    if rate.mu_kind in ("linear", "absolute"):
        found.append(
            Finding("mu_not_squared", "The KL is linear in mu, where mu² is meant.")
        )
    if rate.mu_kind == "unknown" or rate.reading == "unknown":
        which = "mu" if rate.mu_kind == "unknown" else "logvar"
        found.append(
            Finding(
                "kl_shape",
                f"As a function of {which} the term has no Gaussian KL's shape (free "
                "bits, a capacity, a clamp or another divergence?); no β is stated.",
                certain=False,
            )
        )
        return found
    found += _reading_findings(rate, spread)
    if rate.mu_kind == "square" and rate.mu_coefficients is not None and rate.mu:
        mean = -float(rate.mu_coefficients[0]) / rate.mu
        if abs(mean) > 0.1:
            found.append(
                Finding(
                    "prior_mean",
                    f"The KL is smallest at mu = {mean:.3g}: the prior's mean is not "
                    "0.",
                    certain=False,
                )
            )
    return found


def _reading_findings(rate: Rate, spread: str) -> list[Finding]:
    if rate.reading == UNUSED:
        return [
            Finding(
                "logvar_missing",
                "The KL does not depend on logvar: it holds mu² alone, so nothing "
                "keeps the noise from vanishing.",
            )
        ]
    if rate.reading == SQUARED:
        return [
            Finding(
                "logvar_squared",
                "logvar is squared where exp(logvar) is meant.",
            )
        ]
    if rate.reading == ROOT:
        return [
            Finding(
                "std_for_variance",
                "The KL holds σ = exp(logvar / 2) where σ² = exp(logvar) is meant.",
            )
        ]
    if rate.reading == LINEAR:
        return [
            Finding(
                "exp_missing",
                "The KL is linear in logvar: exp(logvar) is missing, so it falls "
                "without end as the noise grows.",
            )
        ]
    if rate.reading == "log σ², negative values cut off":
        return [
            Finding(
                "logvar_relu",
                "Negative values of logvar are cut off (a ReLU on logvar): σ cannot be "
                "smaller than 1.",
            )
        ]
    if rate.reading == "log(1/σ²)":
        return [
            Finding(
                "kl_reversed",
                "The KL stands the wrong way round, KL(prior ‖ q) (or logvar is read "
                "as the log of 1/σ²). The ELBO has KL(q ‖ prior).",
            )
        ]
    return _unequal(rate, spread)


def _unequal(rate: Rate, spread: str) -> list[Finding]:
    found = []
    parts = [part for part in (rate.mu, rate.spread, rate.log) if part]
    signs = {part > 0 for part in parts}
    size = max(map(abs, parts))
    odd = max(parts) - min(parts) > 0.02 * size
    if min(abs(rate.log), abs(rate.spread)) < 1e-3 * size:
        which = "−log σ²" if abs(rate.log) < abs(rate.spread) else "σ²"
        return [
            Finding(
                "kl_term_missing",
                f"The KL lacks its term in {which}: "
                + (
                    "it is smallest without any noise, so nothing stops σ → 0."
                    if which == "−log σ²"
                    else "it falls without end as the noise grows."
                ),
            )
        ]
    if rate.mu_kind == "square" and len(signs) > 1:
        found.append(
            Finding(
                "kl_term_sign",
                f"One of the KL's terms has the wrong sign: the weights of mu², σ² and "
                f"−log σ² are {rate.mu:.3g}, {rate.spread:.3g}, {rate.log:.3g}, and "
                "should be equal.",
            )
        )
    elif rate.mu_kind == "square" and odd:
        prior = rate.log / rate.mu
        same = abs(rate.mu - rate.spread) < 0.02 * size
        if same and rate.reading == SPREADS[spread]:
            other = f"a prior of variance {prior:.3g}, or "
        else:
            other = ""
        found.append(
            Finding(
                "kl_terms_unequal",
                f"The KL's terms have unequal weights: mu² {rate.mu:.3g}, σ² "
                f"{rate.spread:.3g}, −log σ² {rate.log:.3g}. That is {other}logvar "
                "read as log σ² in one place and as log σ in another.",
                certain=not other,
            )
        )
    if rate.reading != SPREADS[spread]:
        name = {"log σ": "reads_log_sigma", "log σ²": "reads_log_variance"}
        found.append(
            Finding(
                name.get(rate.reading, "reads_other"),
                f"The fourth argument is read as “{rate.reading}”, not as "
                f"{SPREADS[spread]}. If that is what your encoder gives, say so with "
                "spread=...; the sampling has to agree with it.",
            )
        )
    return found
