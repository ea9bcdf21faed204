"""The models, small enough to read in one sitting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn


def _sizes(**named: int) -> None:
    for name, value in named.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a whole number from 1")


class EncoderDecoder(nn.Module):
    """x → z → x̂ by an encoder and a decoder, which the subclass builds."""

    encoder: nn.Module
    decoder: nn.Module

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Map data (N, D) to codes (N, K)."""
        return self.encoder(x)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Map codes (N, K) to data (N, D)."""
        return self.decoder(z)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reconstruct data (N, D)."""
        return self.decode(self.encode(x))


class LinearAutoencoder(EncoderDecoder):
    """x → z → x̂ with one linear map each way.

    Parameters
    ----------
    D, K
        Sizes of the data and of the code.
    bias
        Whether both maps have a bias. Without them the data should be centred.

    Raises
    ------
    ValueError
        If D or K is not a whole number from 1.

    Examples
    --------
    >>> model = LinearAutoencoder(D=64, K=3)
    >>> model(torch.zeros(5, 64)).shape
    torch.Size([5, 64])
    """

    def __init__(self, D: int, K: int, bias: bool = True) -> None:
        super().__init__()
        _sizes(D=D, K=K)
        self.encoder = nn.Linear(D, K, bias=bias)
        self.decoder = nn.Linear(K, D, bias=bias)


def mlp(sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Stack linear layers of the given sizes, with an activation between them.

    Raises
    ------
    ValueError
        If there are fewer than two sizes, or one is not a whole number from 1.

    Examples
    --------
    >>> mlp([64, 32, 2])
    Sequential(
      (0): Linear(in_features=64, out_features=32, bias=True)
      (1): ReLU()
      (2): Linear(in_features=32, out_features=2, bias=True)
    )
    """
    if len(sizes) < 2:
        raise ValueError(
            f"sizes is {list(sizes)}; expected at least an input and output"
        )
    _sizes(**{f"sizes[{place}]": size for place, size in enumerate(sizes)})
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class Autoencoder(EncoderDecoder):
    """x → z → x̂ with a multilayer perceptron each way.

    The encoder has the hidden sizes in order, the decoder in reverse. Codes and
    reconstructions are linear outputs: no activation bounds them.

    Parameters
    ----------
    D, K
        Sizes of the data and of the code.
    hidden
        Sizes of the hidden layers of the encoder.
    activation
        The activation between layers.

    Raises
    ------
    ValueError
        If a size is not a whole number from 1.

    Examples
    --------
    >>> model = Autoencoder(D=64, K=2, hidden=(32,))
    >>> model.encode(torch.zeros(5, 64)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        D: int,
        K: int,
        hidden: Sequence[int] = (64, 32),
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        _sizes(D=D, K=K)
        _sizes(**{f"hidden[{place}]": size for place, size in enumerate(hidden)})
        self.encoder = mlp([D, *hidden, K], activation)
        self.decoder = mlp([K, *reversed(hidden), D], activation)


# --- variational autoencoders -------------------------------------------------------

LIKELIHOODS = ("bernoulli", "gaussian")
NOISES = ("fixed", "scalar", "pixel")


def reparameterise(
    mu: torch.Tensor, logvar: torch.Tensor, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Draw z = mu + σ ε with σ = exp(½ logvar) and ε from N(0, I), one ε an element.

    The draw is a smooth function of ``mu`` and ``logvar``, so gradients flow through it
    (D. Kingma and M. Welling, 2014; D. Rezende, S. Mohamed and D. Wierstra, 2014).

    Parameters
    ----------
    mu, logvar
        Mean and log σ² of q(z|x), of one shape, such as (N, K).
    generator
        Where ε comes from; torch's global one by default.

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
    eps = torch.randn(mu.shape, generator=generator, dtype=mu.dtype, device=mu.device)
    return mu + torch.exp(0.5 * logvar) * eps


def kept_above(raw: torch.Tensor, least: float) -> torch.Tensor:
    """Bend any numbers smoothly so that they stay above the least one.

    ``least + softplus(raw − least)``: its slope is between 0 and 1, and far above
    ``least`` it is ``raw`` itself.

    Examples
    --------
    >>> kept_above(torch.tensor([-5.0, 0.0, 5.0]), least=0.0)
    tensor([0.0067, 0.6931, 5.0067])
    """
    return least + torch.logaddexp(raw - least, torch.zeros_like(raw))


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


class Passed(NamedTuple):
    """One pass through a VAE: p(x|z) at the drawn z, q(z|x), and z itself."""

    x_given_z: Bernoulli | Gaussian
    mu: torch.Tensor
    logvar: torch.Tensor
    z: torch.Tensor


class Likelihood(nn.Module):
    """Turn a decoder's last layer into the parameters of p(x|z)."""

    def __init__(
        self, D: int, likelihood: str, noise: str, sigma: float, least_sigma: float
    ) -> None:
        super().__init__()
        if likelihood not in LIKELIHOODS:
            raise ValueError(
                f"likelihood is {likelihood!r}; expected one of "
                f"{', '.join(LIKELIHOODS)}"
            )
        if noise not in NOISES:
            raise ValueError(f"noise is {noise!r}; expected one of {', '.join(NOISES)}")
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


class _Variational(nn.Module):
    """What every VAE does with its encoder, its decoder and its likelihood."""

    encoder: nn.Module
    decoder: nn.Module
    likelihood: Likelihood
    config: dict[str, object]
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
        _sizes(count=count)
        dtype = next(self.parameters()).dtype
        return torch.randn(count, self.K, generator=generator, dtype=dtype)


class VAE(_Variational):
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
        _sizes(D=D, K=K)
        _sizes(**{f"hidden[{place}]": size for place, size in enumerate(hidden)})
        self.K = K
        self.likelihood = Likelihood(D, likelihood, noise, sigma, least_sigma)
        self.encoder = mlp([D, *hidden, 2 * K], activation)
        outputs = self.likelihood.outputs
        self.decoder = mlp([K, *reversed(hidden), outputs], activation)
        self.config = {
            "D": D, "K": K, "hidden": list(hidden), "likelihood": likelihood,
            "noise": noise, "sigma": sigma, "least_sigma": least_sigma,
            "activation": activation.__name__,
        }  # fmt: skip


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
        _sizes(K=K, components=components)
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
        _sizes(count=count)
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
        self.config["components"] = components

    def draw_prior(
        self, count: int, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Draw codes from the learned prior, (count, K)."""
        return self.prior.sample(count, generator)


class ConvVAE(_Variational):
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
        _sizes(side=side, K=K, colours=colours)
        if side % 4 or not 8 <= side <= 64:
            raise ValueError(f"side is {side}; expected a multiple of 4 from 8 to 64")
        if colours not in (1, 3):
            raise ValueError(f"colours is {colours}; expected 1 or 3")
        if len(channels) != 2:
            raise ValueError(f"channels is {list(channels)}; expected two sizes")
        first, second = channels
        _sizes(**{"channels[0]": first, "channels[1]": second})
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
        self.config = {
            "side": side, "K": K, "channels": list(channels), "colours": colours,
            "likelihood": likelihood, "noise": noise, "sigma": sigma,
            "least_sigma": least_sigma, "activation": activation.__name__,
        }  # fmt: skip


class LinearVAE(_Variational):
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
        _sizes(D=D, K=K)
        if not 0 < sigma2 < math.inf:
            raise ValueError(f"sigma2 is {sigma2}; expected a positive number")
        self.K, self.sigma2 = K, sigma2
        self.encoder = nn.Linear(D, K)
        self.logvar = nn.Parameter(torch.zeros(K))
        self.decoder: nn.Linear = nn.Linear(K, D)
        sigma = math.sqrt(sigma2)
        self.likelihood = Likelihood(D, "gaussian", "fixed", sigma, sigma)
        self.config = {"D": D, "K": K, "sigma2": sigma2}

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
