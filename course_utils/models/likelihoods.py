"""What a decoder gives: p(x|z), Bernoulli or Gaussian, and log p(x|z) of data."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

from course_utils.arguments import one_of
from course_utils.objectives import bernoulli_log_prob, gaussian_log_prob, kept_above

# --- variational autoencoders -------------------------------------------------------

LIKELIHOODS = ("bernoulli", "gaussian")


NOISES = ("fixed", "scalar", "pixel")


def reparameterise(
    mu: torch.Tensor,
    logvar: torch.Tensor,
    noise: torch.Tensor | torch.Generator | None = None,
) -> torch.Tensor:
    """Draw z = mu + σ ε with σ = exp(½ logvar) and ε from N(0, I), one ε an element.

    The draw is a smooth function of ``mu`` and ``logvar``, so gradients flow through it
    (D. Kingma and M. Welling, 2014; D. Rezende, S. Mohamed and D. Wierstra, 2014).

    Parameters
    ----------
    mu, logvar
        Mean and log σ² of q(z|x), of one shape, such as (N, K).
    noise
        ε itself, in that shape, or the generator that it is drawn by; torch's global
        one by default.

    Returns
    -------
    Tensor
        A sample in that shape.

    Raises
    ------
    ValueError
        If the shapes differ: broadcasting would share one ε among several elements.

    Examples
    --------
    >>> never = torch.full((2, 3), -torch.inf)  # σ = 0
    >>> reparameterise(torch.ones(2, 3), never)
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    if mu.shape != logvar.shape:
        raise ValueError(
            f"mu has shape {tuple(mu.shape)}, logvar {tuple(logvar.shape)}; expected "
            "one shape for both"
        )
    if not isinstance(noise, torch.Tensor):
        noise = torch.randn(mu.shape, generator=noise, dtype=mu.dtype, device=mu.device)
    if noise.shape != mu.shape:
        raise ValueError(
            f"noise has shape {tuple(noise.shape)}; expected that of mu, "
            f"{tuple(mu.shape)}"
        )
    return mu + torch.exp(0.5 * logvar) * noise


class Bernoulli(NamedTuple):
    """p(x|z) of pixels that are 0 or 1, from the logits of 1, (N, D)."""

    logits: torch.Tensor

    @property
    def mean(self) -> torch.Tensor:
        """The probabilities of 1, (N, D)."""
        return torch.sigmoid(self.logits)

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw zeros and ones, (N, D)."""
        return torch.bernoulli(self.mean, generator=generator)


class Gaussian(NamedTuple):
    """p(x|z) of pixels with independent normal noise around a mean.

    ``mean`` is (N, D); ``logvar`` = log σ² is 0-d (one for all) or (N, D).
    """

    mean: torch.Tensor
    logvar: torch.Tensor

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw pixels, (N, D): the mean with the noise that the model believes in."""
        return reparameterise(self.mean, self.logvar.expand_as(self.mean), generator)


class Likelihood(nn.Module):
    """Turn a decoder's last layer into the parameters of p(x|z)."""

    def __init__(
        self, D: int, likelihood: str, noise: str, sigma: float, least_sigma: float
    ) -> None:
        super().__init__()
        one_of(LIKELIHOODS, likelihood=likelihood)
        one_of(NOISES, noise=noise)
        if likelihood == "bernoulli" and (noise, sigma) != ("fixed", 1.0):
            raise ValueError(
                "a Bernoulli likelihood has no sigma; expected likelihood='gaussian', "
                "or noise and sigma left as they are"
            )
        for name, value in (("sigma", sigma), ("least_sigma", least_sigma)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}; expected a positive number")
        if noise != "fixed" and sigma <= least_sigma:
            raise ValueError(
                f"sigma starts at {sigma}; expected more than least_sigma, "
                f"{least_sigma}"
            )
        self.likelihood, self.noise = likelihood, noise
        self.outputs = 2 * D if noise == "pixel" else D
        self.start, self.least = 2 * math.log(sigma), 2 * math.log(least_sigma)
        if noise != "fixed":
            # Softplus bends no gradient to zero; its inverse gives the start.
            self.start += math.log(-math.expm1(self.least - self.start))
        if noise == "scalar":
            self.raw = nn.Parameter(torch.tensor(self.start))

    def forward(self, outputs: torch.Tensor) -> Bernoulli | Gaussian:
        """Read the decoder's outputs as p(x|z)."""
        if self.likelihood == "bernoulli":
            return Bernoulli(outputs)
        if self.noise == "fixed":
            return Gaussian(outputs, outputs.new_tensor(self.start))
        if self.noise == "scalar":
            return Gaussian(outputs, self.bounded(self.raw))
        mean, raw = outputs.chunk(2, dim=1)
        return Gaussian(mean, self.bounded(raw + self.start))

    def bounded(self, raw: torch.Tensor) -> torch.Tensor:
        """Bend log σ² smoothly so that it stays above the least one."""
        return kept_above(raw, self.least)


def log_likelihood(x: torch.Tensor, x_given_z: Bernoulli | Gaussian) -> torch.Tensor:
    """Log p(x|z) of data (N, D) under what a VAE decoded, (N,), in nats.

    Examples
    --------
    >>> log_likelihood(torch.ones(2, 3), Bernoulli(torch.zeros(2, 3)))
    tensor([-2.0794, -2.0794])
    """
    if isinstance(x_given_z, Bernoulli):
        return bernoulli_log_prob(x, x_given_z.logits)
    return gaussian_log_prob(x, x_given_z.mean, x_given_z.logvar)
