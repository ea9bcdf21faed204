"""Shapes that a reconstruction term can have, one pixel at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, softplus

from course_utils.linter.report import Finding

LIKELIHOODS = ("Bernoulli", "Gaussian", "Laplace")
OUTPUTS = ("probabilities", "logits", "mean")


@dataclass(frozen=True)
class Shape:
    """A known reconstruction term for one pixel, as a function of x and x_hat."""

    likelihood: str
    parametrisation: str
    value: Callable[[Tensor, Tensor], Tensor]
    open: bool = True  # whether x_hat may lie outside (0, 1)
    finding: Finding | None = None


def _cross(target: Tensor, p: Tensor) -> Tensor:
    return -target * p.log() - (1 - target) * (1 - p).log()


def _continuous(x: Tensor, p: Tensor) -> Tensor:
    """Continuous Bernoulli: the cross-entropy less the log of its normaliser."""
    half = (p - 0.5).abs() < 1e-4
    away = torch.where(half, torch.full_like(p, 0.4), p)
    norm = 2 * torch.atanh(1 - 2 * away) / (1 - 2 * away)
    return _cross(x, p) - torch.where(half, torch.full_like(p, 2.0), norm).log()


SWAPPED = Finding(
    "swapped_arguments",
    "x and x_hat have changed places: the cross-entropy takes the reconstruction as "
    "the target. Either your loss takes its arguments in another order than (x, x_hat, "
    'mu, logvar): then say so with order=("x_hat", "x", "mu", "logvar"), or '
    "wrap it: lambda x, x_hat, mu, logvar: loss(x_hat, x, mu, logvar). Or the loss "
    "swaps them itself: torch's cross-entropy takes the reconstruction first, the data "
    "second.",
)
POOLED = "mean (σ² is set to the mean squared error)"
SHAPES = (
    Shape("Gaussian", "mean", lambda a, b: 0.5 * (a - b) ** 2),
    Shape("Laplace", "mean", lambda a, b: (a - b).abs()),
    Shape("Bernoulli", "probabilities", _cross, open=False),
    Shape("Bernoulli", "logits", lambda a, b: softplus(b) - a * b),
    Shape("Gaussian", "logits", lambda a, b: 0.5 * (a - b.sigmoid()) ** 2),
    Shape("Laplace", "logits", lambda a, b: (a - b.sigmoid()).abs()),
    Shape("continuous Bernoulli", "probabilities", _continuous, open=False),
    Shape("continuous Bernoulli", "logits", lambda a, b: _continuous(a, b.sigmoid())),
    Shape(
        "Bernoulli", "logits",
        lambda a, b: softplus(b.sigmoid()) - a * b.sigmoid(),
        finding=Finding(
            "sigmoid_twice",
            "A sigmoid is applied twice: x_hat is squashed, and the cross-entropy from "
            "logits squashes it again. Remove one of the two.",
        ),
    ),
    Shape("Bernoulli", "probabilities", lambda a, b: _cross(b, a), False, SWAPPED),
    Shape("Bernoulli", "logits", lambda a, b: softplus(a) - a * b, True, SWAPPED),
    Shape(
        "Bernoulli", "probabilities", lambda a, b: -a * b.log(), False,
        Finding(
            "cross_entropy_half_missing",
            "The cross-entropy lacks (1 − x)·log(1 − x_hat): dark pixels cost nothing, "
            "and x_hat = 1 everywhere is best. It is right only if x_hat holds "
            "probabilities that sum to 1, of words or classes; no β is stated.",
            certain=False,
        ),
    ),
    Shape("Gaussian", POOLED, lambda a, b: 0.5 * ((a - b) ** 2).log()),
    Shape(
        "Huber", "mean", lambda a, b: huber_loss(b, a, reduction="none"),
        finding=Finding(
            "huber",
            "The reconstruction is a Huber (smooth L1) error: Gaussian near 0, Laplace "
            "far out. No β is stated for it.", certain=False,
        ),
    ),
)  # fmt: skip


# Findings beside which no β is stated: what stands there is no likelihood.
NO_BETA = {"swapped_arguments", "cross_entropy_half_missing"}


@dataclass
class Reconstruction:
    """The reconstruction term: its shape, and its weight for one pixel."""

    shape: Shape | None
    weight: float
    clipped: bool = False  # whether it holds for x_hat in (0, 1) only
