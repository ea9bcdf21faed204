"""Variational autoencoders: dense, convolutional and linear, and their loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from course_utils.arguments import whole_numbers
from course_utils.models.autoencoders import mlp
from course_utils.models.likelihoods import (
    Bernoulli,
    Gaussian,
    Likelihood,
    log_likelihood,
    reparameterise,
)
from course_utils.objectives import beta_objective, elbo, gaussian_kl


class Passed(NamedTuple):
    """One pass through a VAE: p(x|z) at the drawn z, q(z|x), and z itself."""

    x_given_z: Bernoulli | Gaussian
    mu: torch.Tensor
    logvar: torch.Tensor
    z: torch.Tensor


class Variational(nn.Module):
    """What every VAE does with its encoder, its decoder and its likelihood."""

    encoder: nn.Module
    decoder: nn.Module
    likelihood: Likelihood
    K: int

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map data (N, D) to mu and logvar of q(z|x), each (N, K)."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: torch.Tensor) -> Bernoulli | Gaussian:
        """Map codes (N, K) to the parameters of p(x|z), of (N, D)."""
        return self.likelihood(self.decoder(z))

    def forward(
        self, x: torch.Tensor, generator: torch.Generator | None = None
    ) -> Passed:
        """Encode data (N, D), draw one z each, decode it."""
        mu, logvar = self.encode(x)
        z = reparameterise(mu, logvar, generator)
        return Passed(self.decode(z), mu, logvar, z)

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """Decode the mean of q(z|x) to the mean of p(x|z), (N, D): no noise at all.

        Right for looking at; the ELBO needs a drawn z (see `forward`).
        """
        return self.decode(self.encode(x)[0]).mean

    def sample(
        self,
        count: int,
        generator: torch.Generator | None = None,
        noise: bool = True,
    ) -> torch.Tensor:
        """Draw z from the prior, then x from p(x|z), (count, D).

        Without ``noise`` it returns the mean of p(x|z), which looks smoother and is no
        sample of the model.

        Raises
        ------
        ValueError
            If ``count`` is not a whole number from 1.
        """
        x_given_z = self.decode(self.draw_prior(count, generator))
        return x_given_z.sample(generator) if noise else x_given_z.mean

    def draw_prior(
        self, count: int, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Draw codes from the prior N(0, I), (count, K)."""
        whole_numbers(count=count)
        dtype = next(self.parameters()).dtype
        return torch.randn(count, self.K, generator=generator, dtype=dtype)


class VAE(Variational):
    """x → (mu, logvar) → z → p(x|z), with a multilayer perceptron each way.

    Parameters
    ----------
    D, K
        Sizes of the data and of the code.
    hidden
        Sizes of the hidden layers of the encoder; the decoder has them in reverse.
    likelihood
        ``"bernoulli"`` for pixels that are 0 or 1: the decoder gives logits.
        ``"gaussian"`` for numbers: it gives the mean, with nothing to bound it.
    noise
        Of the Gaussian. ``"fixed"``: σ is ``sigma``. ``"scalar"``: one σ for all
        pixels is learned. ``"pixel"``: the decoder gives a σ for every pixel.
    sigma
        σ, or where a learned one starts (for ``"pixel"``, about there).
    least_sigma
        A learned σ stays above this: log σ² = log least² + softplus(raw − log least²).
        Without a bound, a pixel that is always black sends the likelihood to infinity.
    activation
        The activation between layers.

    Raises
    ------
    ValueError
        If a size is not a whole number from 1, a name is none of these, a σ is not
        positive or starts below its bound, or a Bernoulli is given a σ.

    Examples
    --------
    >>> model = VAE(D=64, K=2, hidden=(32,))
    >>> x_given_z, mu, logvar, z = model(torch.zeros(5, 64))
    >>> x_given_z.logits.shape, mu.shape, logvar.shape, z.shape
    (torch.Size([5, 64]), torch.Size([5, 2]), torch.Size([5, 2]), torch.Size([5, 2]))
    """

    def __init__(
        self,
        D: int,
        K: int,
        hidden: Sequence[int] = (400,),
        likelihood: str = "bernoulli",
        *,
        noise: str = "fixed",
        sigma: float = 1.0,
        least_sigma: float = 0.01,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        whole_numbers(D=D, K=K)
        whole_numbers(**{f"hidden[{place}]": size for place, size in enumerate(hidden)})
        self.K = K
        self.likelihood = Likelihood(D, likelihood, noise, sigma, least_sigma)
        self.encoder = mlp([D, *hidden, 2 * K], activation)
        outputs = self.likelihood.outputs
        self.decoder = mlp([K, *reversed(hidden), outputs], activation)


class ConvVAE(Variational):
    """A small convolutional VAE for square images; data and results stay rows (N, D).

    Two convolutions of stride 2 with four-by-four kernels and a linear layer each way.
    D is ``colours``·``side``²; a row holds one colour after the other.

    Parameters
    ----------
    side
        Side of an image in pixels: a multiple of 4, from 8 to 64, such as 28 or 32.
    K
        Size of the code.
    channels
        How many feature maps the two convolutions give.
    colours
        Colours of a pixel: 1 (grey) or 3.
    likelihood, noise, sigma, least_sigma, activation
        As in `VAE`.

    Raises
    ------
    ValueError
        As in `VAE`, and if ``side`` or ``colours`` is none of these or there are not
        two ``channels``.

    Examples
    --------
    >>> model = ConvVAE(side=28, K=10)
    >>> model.reconstruct(torch.zeros(2, 784)).shape
    torch.Size([2, 784])
    """

    def __init__(
        self,
        side: int,
        K: int,
        channels: Sequence[int] = (16, 32),
        likelihood: str = "bernoulli",
        *,
        colours: int = 1,
        noise: str = "fixed",
        sigma: float = 1.0,
        least_sigma: float = 0.01,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        whole_numbers(side=side, K=K, colours=colours)
        if side % 4 or not 8 <= side <= 64:
            raise ValueError(f"side is {side}; expected a multiple of 4 from 8 to 64")
        if colours not in (1, 3):
            raise ValueError(f"colours is {colours}; expected 1 or 3")
        if len(channels) != 2:
            raise ValueError(f"channels is {list(channels)}; expected two sizes")
        first, second = channels
        whole_numbers(**{"channels[0]": first, "channels[1]": second})
        self.K = K
        D, small = colours * side**2, side // 4
        self.likelihood = Likelihood(D, likelihood, noise, sigma, least_sigma)
        maps = colours * self.likelihood.outputs // D
        self.encoder = nn.Sequential(
            nn.Unflatten(1, (colours, side, side)),
            nn.Conv2d(colours, first, 4, stride=2, padding=1),  # side / 2
            activation(),
            nn.Conv2d(first, second, 4, stride=2, padding=1),  # side / 4
            activation(),
            nn.Flatten(),
            nn.Linear(second * small**2, 2 * K),
        )
        self.decoder = nn.Sequential(
            nn.Linear(K, second * small**2),
            activation(),
            nn.Unflatten(1, (second, small, small)),
            nn.ConvTranspose2d(second, first, 4, stride=2, padding=1),
            activation(),
            nn.ConvTranspose2d(first, maps, 4, stride=2, padding=1),
            nn.Flatten(),  # all means come before all log-variances
        )


class LinearVAE(Variational):
    """A VAE of affine maps: q(z|x) = N(Vx + c, diag s²), p(x|z) = N(Wz + b, σ²I).

    The model is that of probabilistic PCA (M. Tipping and C. Bishop, 1999); its
    posterior has the same covariance at every x, so nothing is lost by an s² that does
    not depend on x. It is lost by s² being diagonal, unless the columns of W are
    orthogonal. The distortion is an expectation of a quadratic: no sampling is needed.

    Parameters
    ----------
    D, K
        Sizes of the data and of the code.
    sigma2
        σ², fixed.

    Raises
    ------
    ValueError
        If a size is not a whole number from 1, or ``sigma2`` is not positive.

    Examples
    --------
    >>> model = LinearVAE(D=4, K=2, sigma2=0.25)
    >>> distortion, rate = model.terms(torch.zeros(3, 4))
    >>> distortion.shape, rate.shape
    (torch.Size([3]), torch.Size([3]))
    """

    def __init__(self, D: int, K: int, sigma2: float = 1.0) -> None:
        super().__init__()
        whole_numbers(D=D, K=K)
        if not 0 < sigma2 < math.inf:
            raise ValueError(f"sigma2 is {sigma2}; expected a positive number")
        self.K, self.sigma2 = K, sigma2
        self.encoder = nn.Linear(D, K)
        self.logvar = nn.Parameter(torch.zeros(K))
        self.decoder: nn.Linear = nn.Linear(K, D)
        sigma = math.sqrt(sigma2)
        self.likelihood = Likelihood(D, "gaussian", "fixed", sigma, sigma)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map data (N, D) to mu and logvar of q(z|x), each (N, K)."""
        mu = self.encoder(x)
        return mu, self.logvar.expand_as(mu)

    def terms(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Distortion and rate of data (N, D), exact, in nats per example, each (N,).

        With z = μ + s ε the squared error has the mean
        E‖x − Wz − b‖² = ‖x − Wμ − b‖² + Σ_k s_k² ‖w_k‖², where w_k is column k of W:
        the cross term has mean 0. Then distortion = D/2 log 2πσ² + that / 2σ².
        """
        mu, logvar = self.encode(x)
        weights = self.decoder.weight  # W (D, K)
        error = ((x - self.decoder(mu)) ** 2).sum(1)
        error = error + (logvar.exp() * (weights**2).sum(0)).sum(1)
        constant = 0.5 * x.shape[1] * math.log(2 * math.pi * self.sigma2)
        rate = 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(1)
        return constant + error / (2 * self.sigma2), rate


def elbo_loss(
    model: nn.Module,
    batch: torch.Tensor,
    generator: torch.Generator,
    beta: float = 1.0,
) -> dict[str, torch.Tensor]:
    """Distortion + β · rate of a VAE, with one drawn z an example, and both terms.

    At β = 1 the loss is −ELBO; at any other β it is not, whatever it trains. For that,
    use ``functools.partial(elbo_loss, beta=4.0)``.

    Parameters
    ----------
    model
        A `course_utils.models.VAE`, or another that returns what its ``forward`` does.
    batch
        Data (N, D).
    generator
        Where ε comes from.
    beta
        Weight of the rate alone, at least 0.

    Returns
    -------
    dict
        ``loss``, ``distortion`` and ``rate``: means over the batch, in nats.

    Examples
    --------
    >>> from course_utils.models import VAE
    >>> terms = elbo_loss(VAE(4, 2), torch.ones(3, 4), torch.Generator())
    >>> torch.allclose(terms["loss"], terms["distortion"] + terms["rate"])
    True
    """
    x_given_z, mu, logvar, _ = model(batch, generator)
    terms = elbo(log_likelihood(batch, x_given_z), gaussian_kl(mu, logvar))
    return {
        "loss": beta_objective(terms, beta).mean(),
        "distortion": terms.distortion.mean(),
        "rate": terms.rate.mean(),
    }
