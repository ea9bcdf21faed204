"""The losses and bounds: what is minimised, in plain functions of tensors.

Everywhere: nats, summed over the dimensions. `squared_error` is also averaged over the
batch; all others keep one number per example, so that you see which example costs what,
and average last.

What a function is *given* is checked: shapes, data outside their range. What a model
*computed* is not searched for NaN: a NaN comes out as NaN, and `training.fit` then
names the epoch and the batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional

LEAST_SIGMA = 0.01  # of pixels in [0, 1]: a little over two of 256 grey levels


def squared_error(x: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    """Squared error: summed over the data dimensions, averaged over the batch.

    Parameters
    ----------
    x, x_hat
        Data and reconstruction, both (N, D).

    Returns
    -------
    Tensor
        One number, 0-d.

    Raises
    ------
    ValueError
        If the shapes differ or are not (N, D), or there is no example.

    Examples
    --------
    >>> squared_error(torch.zeros(2, 3), torch.ones(2, 3))
    tensor(3.)
    """
    if x.shape != x_hat.shape or x.ndim != 2 or len(x) == 0:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, x_hat {tuple(x_hat.shape)}; "
            "expected one shape (N, D), N ≥ 1, for both"
        )
    return ((x - x_hat) ** 2).sum(1).mean()


# --- KL divergences -----------------------------------------------------------------


def gaussian_kl(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """KL(N(mu, diag exp(logvar)) ‖ N(0, I)): the rate of an encoder, per example.

    ½ Σ_k (mu_k² + exp(logvar_k) − logvar_k − 1), in nats.

    Parameters
    ----------
    mu, logvar
        Mean and logarithm of the *variance* (log σ², not log σ), both (N, K).

    Returns
    -------
    Tensor
        (N,), each at least 0 up to rounding.

    Raises
    ------
    ValueError
        If the shapes differ or are not (N, K).

    Notes
    -----
    D. P. Kingma and M. Welling (2014), Auto-Encoding Variational Bayes, appendix B.

    Examples
    --------
    >>> gaussian_kl(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
    tensor([12.5000])
    """
    return gaussian_kl_terms(mu, logvar).sum(1)


def gaussian_kl_terms(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """KL(N(mu_k, exp(logvar_k)) ‖ N(0, 1)) of each latent: the summands of the rate.

    Parameters
    ----------
    mu, logvar
        Mean and log σ², both (N, K).

    Returns
    -------
    Tensor
        (N, K), in nats, each at least 0 up to rounding.

    Raises
    ------
    ValueError
        If the shapes differ or are not (N, K).

    Examples
    --------
    >>> gaussian_kl_terms(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
    tensor([[4.5000, 8.0000]])
    """
    _check_latents(mu=mu, logvar=logvar)
    # expm1(v) − v keeps its digits where v is near 0; exp(v) − v − 1 cancels.
    return 0.5 * (mu**2 + torch.expm1(logvar) - logvar)


def gaussian_kl_pair(
    mu_q: torch.Tensor,
    logvar_q: torch.Tensor,
    mu_p: torch.Tensor,
    logvar_p: torch.Tensor,
) -> torch.Tensor:
    """KL(q ‖ p) of two diagonal Gaussians, per example. The order matters.

    ½ Σ_k (logvar_p − logvar_q + (exp(logvar_q) + (mu_q − mu_p)²) / exp(logvar_p) − 1).

    Parameters
    ----------
    mu_q, logvar_q
        Mean and log-variance of the first, both (N, K).
    mu_p, logvar_p
        Mean and log-variance of the second, both (N, K), or both (K,) when it is the
        same for every example, as a learned prior is.

    Returns
    -------
    Tensor
        (N,), in nats.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> zero, log4 = torch.zeros(1, 1), torch.full((1, 1), 4.0).log()
    >>> gaussian_kl_pair(zero, zero, zero, log4)
    tensor([0.3181])
    >>> gaussian_kl_pair(zero, log4, zero, zero)
    tensor([0.8069])
    """
    _check_latents(mu_q=mu_q, logvar_q=logvar_q)
    if mu_p.shape != logvar_p.shape or mu_p.shape not in (mu_q.shape, mu_q.shape[1:]):
        raise ValueError(
            f"mu_p has shape {tuple(mu_p.shape)}, logvar_p {tuple(logvar_p.shape)}; "
            f"expected {tuple(mu_q.shape)} as mu_q, or {tuple(mu_q.shape[1:])}, for "
            "both"
        )
    difference = logvar_q - logvar_p
    square = (mu_q - mu_p) ** 2 * torch.exp(-logvar_p)
    return 0.5 * (square + torch.expm1(difference) - difference).sum(1)


# --- likelihoods --------------------------------------------------------------------


def bernoulli_log_prob(x: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Log-likelihood of binary data under independent coins, per example.

    Σ_d [x_d log π_d + (1 − x_d) log(1 − π_d)] with π = sigmoid(logits), in nats.

    For x in {0, 1} this is log p(x|z). Grey values between 0 and 1 are let through,
    because their cross-entropy is often used as a loss, but then it is **no
    likelihood**: it is not the logarithm of a density that integrates to 1 over [0, 1],
    and even a perfect π = x costs the entropy of x. Do not report it as one.

    Parameters
    ----------
    x
        Data in [0, 1], (N, D), or (S, N, D).
    logits
        log(π / (1 − π)), any real number, (N, D), or (S, N, D) for S samples of z.

    Returns
    -------
    Tensor
        (N,), or (S, N) if one of the two has S.

    Raises
    ------
    ValueError
        If the shapes do not fit, or ``x`` has values outside [0, 1] or NaN.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 0.0]])
    >>> bernoulli_log_prob(x, torch.zeros(1, 2))
    tensor([-1.3863])
    """
    shape = _common_shape(x=x, logits=logits)
    low, high = torch.aminmax(x.detach())
    if not (low >= 0 and high <= 1):  # also refuses NaN
        raise ValueError(
            f"x lies in [{low.item():.4g}, {high.item():.4g}]; expected values in "
            "[0, 1]"
        )
    x = x.to(logits.dtype).expand(shape)
    cross_entropy = functional.binary_cross_entropy_with_logits(
        logits.expand(shape), x, reduction="none"
    )
    return -cross_entropy.sum(-1)


def gaussian_log_prob(
    x: torch.Tensor, mean: torch.Tensor, logvar: torch.Tensor | float
) -> torch.Tensor:
    """Log-density of independent Gaussians, log N(x; mean, diag exp(logvar)).

    −½ Σ_d [log 2π + logvar_d + (x_d − mean_d)² / exp(logvar_d)], in nats. It serves as
    the decoder's log p(x|z), and as log q(z|x) or log p(z) of sampled latents.

    Parameters
    ----------
    x, mean
        (N, D), or (S, N, D) for S samples of z.
    logvar
        Logarithm of the variance. A number: fixed, ``2 * math.log(sigma)``. A 0-d
        tensor: one learned for all pixels. (D,): one learned for each pixel. (N, D) or
        (S, N, D): computed by a network. Pass a *learned* one through `bounded_logvar`,
        or the likelihood has no upper limit.

    Returns
    -------
    Tensor
        (N,), or (S, N) if one of the tensors has S.

    Raises
    ------
    ValueError
        If the shapes do not fit, ``x`` is not finite, or a fixed ``logvar`` is not.

    Examples
    --------
    >>> x = torch.zeros(1, 2)
    >>> gaussian_log_prob(x, x, logvar=0.0)  # −log 2π
    tensor([-1.8379])
    """
    if not isinstance(logvar, torch.Tensor):
        if not math.isfinite(logvar):
            raise ValueError(f"logvar is {logvar}; expected a finite number")
        logvar = torch.tensor(float(logvar), dtype=mean.dtype)
    if logvar.ndim >= 2:
        _common_shape(x=x, mean=mean, logvar=logvar)
    else:
        D = _common_shape(x=x, mean=mean)[-1]
        if logvar.ndim == 1 and logvar.shape != (D,):
            raise ValueError(
                f"logvar has shape {tuple(logvar.shape)}; expected (), ({D},), or the "
                "shape of mean"
            )
    if not x.detach().isfinite().all():
        raise ValueError("x holds NaN or infinite values; expected finite data")
    square = (x - mean) ** 2 * torch.exp(-logvar)
    return -0.5 * (square + logvar + math.log(2 * math.pi)).sum(-1)


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


def bounded_logvar(raw: torch.Tensor, least_sigma: float = LEAST_SIGMA) -> torch.Tensor:
    """Turn any number into a log-variance of at least log(least_sigma²).

    Why: at x = mean the Gaussian density is (2πσ²)^(−½) per pixel. If σ is learned and
    one pixel is reconstructed exactly, for example a corner that is always black, then
    σ → 0 sends the likelihood to infinity, and training follows it there. With the
    bound, log p(x|z) ≤ −D log(least_sigma √(2π)).

    It is ``least + softplus(raw − least)``: smooth, its slope is between 0 and 1, and
    far above the bound it is ``raw`` itself.

    Parameters
    ----------
    raw
        What a parameter or a network gives, any shape.
    least_sigma
        The bound on σ, in the units of the data.

    Returns
    -------
    Tensor
        The log-variance, in the shape of ``raw``.

    Raises
    ------
    ValueError
        If ``least_sigma`` is not positive and finite.

    Notes
    -----
    The soft bound is that of K. Chua, R. Calandra, R. McAllister and S. Levine (2018).

    Examples
    --------
    >>> bounded_logvar(torch.tensor([-1000.0, 0.0, 3.0]), least_sigma=0.01)
    tensor([-9.2103e+00,  1.0014e-04,  3.0000e+00])
    """
    if not 0 < least_sigma < math.inf:
        raise ValueError(
            f"least_sigma is {least_sigma}; expected a positive, finite number"
        )
    return kept_above(raw, 2 * math.log(least_sigma))


# --- bounds on log p(x) -------------------------------------------------------------


class Elbo(NamedTuple):
    """The evidence lower bound and its two terms, each (N,), in nats.

    ``elbo`` is −distortion − rate.
    """

    distortion: torch.Tensor
    rate: torch.Tensor
    elbo: torch.Tensor


def elbo(log_likelihood: torch.Tensor, rate: torch.Tensor) -> Elbo:
    """Put the evidence lower bound together, per example.

    distortion = −E_q log p(x|z), estimated by the mean over the samples;
    elbo = −distortion − rate ≤ log p(x), in expectation.

    Parameters
    ----------
    log_likelihood
        log p(x|z) with z drawn from q(z|x): (N,) for one sample per example, (S, N) for
        S of them.
    rate
        KL(q(z|x) ‖ p(z)), (N,).

    Returns
    -------
    Elbo
        ``distortion``, ``rate``, ``elbo``, each (N,).

    Raises
    ------
    ValueError
        If the shapes do not fit. A log-likelihood that is already summed or averaged
        over the batch is refused, because adding it to each example's rate would count
        it N times.

    Notes
    -----
    With z at the mean of q instead of a sample this is *not* the ELBO: log p(x|z) is
    not linear in z.

    Examples
    --------
    >>> elbo(torch.tensor([-80.0, -90.0]), torch.tensor([20.0, 25.0])).elbo
    tensor([-100., -115.])
    """
    if rate.ndim != 1 or len(rate) == 0:
        raise ValueError(
            f"rate has shape {tuple(rate.shape)}; expected (N,): summed over the "
            "latents, one number per example"
        )
    if log_likelihood.ndim not in (1, 2) or log_likelihood.shape[-1:] != rate.shape:
        raise ValueError(
            f"log_likelihood has shape {tuple(log_likelihood.shape)}; expected "
            f"({len(rate)},) or (S, {len(rate)}) to fit rate: summed over the data "
            "dimensions, one number per example"
        )
    if len(log_likelihood) == 0:
        raise ValueError("log_likelihood holds no sample; expected (S, N) with S ≥ 1")
    if log_likelihood.ndim == 2:
        log_likelihood = log_likelihood.mean(0)
    return Elbo(-log_likelihood, rate, log_likelihood - rate)


def beta_objective(terms: Elbo, beta: float) -> torch.Tensor:
    """Loss of the β-VAE, distortion + β · rate, per example, to be minimised.

    At β = 1 it is −ELBO. At any other β it is no bound that you report: above 1 it
    lies under the ELBO, below 1 it may exceed log p(x). Train with this, report
    ``terms.elbo``.

    Parameters
    ----------
    terms
        From `elbo`.
    beta
        Weight of the rate alone, at least 0.

    Returns
    -------
    Tensor
        (N,), in nats.

    Raises
    ------
    ValueError
        If ``beta`` is negative or not finite.

    Notes
    -----
    I. Higgins et al. (2017), beta-VAE.

    Examples
    --------
    >>> terms = elbo(torch.tensor([-80.0]), torch.tensor([20.0]))
    >>> beta_objective(terms, beta=4.0), terms.elbo
    (tensor([160.]), tensor([-100.]))
    """
    if not 0 <= beta < math.inf:
        raise ValueError(f"beta is {beta}; expected a finite number of at least 0")
    return terms.distortion + beta * terms.rate


def log_mean_exp(values: torch.Tensor, dim: int = 0) -> torch.Tensor:
    """Logarithm of the mean of exponentials along one dimension, without overflow.

    log (1/S) Σ_s exp(v_s) = m + log (1/S) Σ_s exp(v_s − m), with m the largest.

    Parameters
    ----------
    values
        Any shape with at least one dimension; −∞ is the logarithm of 0.
    dim
        The dimension of the S values, which the result lacks.

    Raises
    ------
    ValueError
        If ``values`` has no such dimension, or it is empty.

    Examples
    --------
    >>> log_mean_exp(torch.tensor([-1000.0, -1000.0]))
    tensor(-1000.)
    """
    if not -values.ndim <= dim < values.ndim or values.shape[dim] == 0:
        raise ValueError(
            f"values has shape {tuple(values.shape)}; expected at least one value in "
            f"dimension {dim}"
        )
    return torch.logsumexp(values, dim) - math.log(values.shape[dim])


def iwae_bound(log_weights: torch.Tensor) -> torch.Tensor:
    """Importance-weighted bound on log p(x), per example.

    log (1/S) Σ_s w_s with w_s = p(x|z_s) p(z_s) / q(z_s|x) and z_s drawn from q(z|x).
    The weights' mean is p(x) in expectation, so by Jensen this is a lower bound on
    log p(x) *in expectation*; one draw may lie above. It grows with S in expectation,
    and at S = 1 it is a one-sample ELBO.

    Parameters
    ----------
    log_weights
        log p(x|z_s) + log p(z_s) − log q(z_s|x), (S, N), each log-density summed over
        its dimensions.

    Returns
    -------
    Tensor
        (N,), in nats.

    Raises
    ------
    ValueError
        If ``log_weights`` is not (S, N) with S ≥ 1 and N ≥ 1.

    Notes
    -----
    Y. Burda, R. Grosse and R. Salakhutdinov (2016), Importance Weighted Autoencoders.

    Examples
    --------
    >>> iwae_bound(torch.tensor([[1.0], [3.0]]).log())
    tensor([0.6931])
    """
    if log_weights.ndim != 2 or log_weights.numel() == 0:
        raise ValueError(
            f"log_weights has shape {tuple(log_weights.shape)}; expected (S, N): S ≥ 1 "
            "samples for each of N ≥ 1 examples"
        )
    return log_mean_exp(log_weights, 0)


def _check_latents(**named: torch.Tensor) -> None:
    (first, mu), (second, logvar) = named.items()
    if mu.shape != logvar.shape or mu.ndim != 2 or mu.numel() == 0:
        raise ValueError(
            f"{first} has shape {tuple(mu.shape)}, {second} {tuple(logvar.shape)}; "
            "expected one shape (N, K), N ≥ 1 and K ≥ 1, for both"
        )


def _common_shape(**named: torch.Tensor) -> torch.Size:
    """Return (N, D), or (S, N, D) if one of the tensors has samples."""
    longest = max((value.shape for value in named.values()), key=len)
    fitting = all(value.shape in (longest, longest[-2:]) for value in named.values())
    if len(longest) not in (2, 3) or not fitting or 0 in longest:
        shapes = ", ".join(f"{key} {tuple(v.shape)}" for key, v in named.items())
        raise ValueError(
            f"shapes do not fit: {shapes}; expected one (N, D) for all, or (S, N, D) "
            "for some, none empty"
        )
    if not all(value.is_floating_point() for value in named.values()):
        kinds = ", ".join(f"{key} {value.dtype}" for key, value in named.items())
        raise ValueError(f"expected floating-point numbers, got {kinds}")
    return longest
