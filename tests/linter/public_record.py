"""How a loss of a public project is written down, and what their losses share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Public:
    """The formula of a published loss, retyped, and what is true of it.

    Attributes
    ----------
    by
        The project, and whose it is.
    loss, settings
        As `inspect_loss` takes them.
    beta
        The effective β at these settings (at σ² = 1 or scale = 1, where the loss leaves
        that open). None: there is no such number, and the linter must state none.
    says
        Findings that have to be there.
    may
        Further findings that hold, and may be there with certainty.
    """

    by: str
    loss: Callable[..., Any]
    settings: dict[str, Any]
    beta: float | None
    says: tuple[str, ...] = ()
    may: tuple[str, ...] = field(default=())


def kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL of each latent from N(0, 1), of the input's shape."""
    return 0.5 * (mu.square() + logvar.exp() - logvar - 1)


def rows(value: Tensor) -> Tensor:
    """Sum over everything but the examples."""
    return value.flatten(1).sum(1)


def bce(x: Tensor, p: Tensor) -> Tensor:
    """Cross-entropy of each example, from probabilities."""
    return rows(F.binary_cross_entropy(p, x, reduction="none"))


def logits(x: Tensor, h: Tensor) -> Tensor:
    """Cross-entropy of each example, from logits."""
    return rows(F.binary_cross_entropy_with_logits(h, x, reduction="none"))


def draw(mu: Tensor, logvar: Tensor) -> Tensor:
    """Sample z."""
    return mu + (logvar / 2).exp() * torch.randn_like(mu)


def log_normal(z: Tensor, mu: Tensor | float, logvar: Tensor) -> Tensor:
    """Log-density of a normal without its 2π, for each latent."""
    return -0.5 * ((z - mu).square() * (-logvar).exp() + logvar)
