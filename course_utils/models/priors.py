"""A learned prior, a mixture of Gaussians, and the VAE that has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from course_utils.arguments import whole_numbers
from course_utils.models.likelihoods import reparameterise
from course_utils.models.vae import VAE


def mixture_log_prob(
    z: torch.Tensor, mean: torch.Tensor, logvar: torch.Tensor, logits: torch.Tensor
) -> torch.Tensor:
    """Log-density of codes under a mixture of diagonal Gaussians, in nats.

    Parameters
    ----------
    z
        Codes (N, K).
    mean, logvar
        Of the C components, both (C, K).
    logits
        (C,), the weights are their softmax. All four may have a first axis more, for S
        mixtures at once.

    Returns
    -------
    Tensor
        (N,), or (S, N).

    Examples
    --------
    >>> zero = torch.zeros(1, 2)
    >>> mixture_log_prob(zero, zero, zero, torch.zeros(1))  # −log 2π
    tensor([-1.8379])
    """
    away = z[..., :, None, :] - mean[..., None, :, :]  # (N, C, K)
    logvar = logvar[..., None, :, :]
    square = away**2 * torch.exp(-logvar)
    log_normal = -0.5 * (square + logvar + math.log(2 * math.pi)).sum(-1)
    weights = torch.log_softmax(logits, -1)[..., None, :]
    return torch.logsumexp(weights + log_normal, -1)


class MixturePrior(nn.Module):
    """A learned prior p(z): a mixture of Gaussians with diagonal covariances.

    log p(z) = log Σ_c π_c N(z; m_c, diag exp(v_c)), in nats. The means m_c start as
    draws from N(0, I), the variances at 1, the weights π_c equal.

    Parameters
    ----------
    K
        Size of the code.
    components
        How many Gaussians; one is N(m, diag exp(v)).

    Raises
    ------
    ValueError
        If a size is not a whole number from 1.

    Examples
    --------
    >>> prior = MixturePrior(K=2, components=5)
    >>> prior.log_prob(torch.zeros(3, 2)).shape, prior.sample(4).shape
    (torch.Size([3]), torch.Size([4, 2]))
    """

    def __init__(self, K: int, components: int) -> None:
        super().__init__()
        whole_numbers(K=K, components=components)
        self.mean = nn.Parameter(torch.randn(components, K))
        self.logvar = nn.Parameter(torch.zeros(components, K))
        self.logits = nn.Parameter(torch.zeros(components))

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """Log-density of codes (N, K), (N,), in nats."""
        return mixture_log_prob(z, self.mean, self.logvar, self.logits)

    def sample(
        self, count: int, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Draw codes (count, K): first the component, then the code."""
        whole_numbers(count=count)
        weights = torch.softmax(self.logits, 0)
        chosen = torch.multinomial(
            weights, count, replacement=True, generator=generator
        )
        return reparameterise(self.mean[chosen], self.logvar[chosen], generator)


class MixturePriorVAE(VAE):
    """A VAE whose prior is learned too, a `MixturePrior`; the rest is as in `VAE`.

    Its rate KL(q(z|x) ‖ p(z)) has no closed form: estimate it by log q(z|x) − log p(z)
    at the drawn z. (J. Tomczak and M. Welling, 2018, learn a mixture of encoded
    pseudo-inputs instead.)

    Parameters
    ----------
    D, K, hidden, likelihood, settings
        As in `VAE`.
    components
        How many Gaussians the prior has.

    Raises
    ------
    ValueError
        As in `VAE`, and if ``components`` is not a whole number from 1.

    Examples
    --------
    >>> model = MixturePriorVAE(D=64, K=2, components=5)
    >>> model.sample(3).shape
    torch.Size([3, 64])
    """

    def __init__(
        self,
        D: int,
        K: int,
        hidden: Sequence[int] = (400,),
        likelihood: str = "bernoulli",
        *,
        components: int,
        **settings: Any,
    ) -> None:
        super().__init__(D, K, hidden, likelihood, **settings)
        self.prior = MixturePrior(K, components)

    def draw_prior(
        self, count: int, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Draw codes from the learned prior, (count, K)."""
        return self.prior.sample(count, generator)
