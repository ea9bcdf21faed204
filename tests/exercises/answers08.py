"""Lesson 08's answers in other words, as `test_exercises` tries them."""

import math

import torch
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional

from course_utils.objectives import (
    bernoulli_log_prob,
    gaussian_kl,
    gaussian_log_prob,
    log_mean_exp,
)
from course_utils.oracles.linear_gaussian import active_rates


def mended_by_the_library(x, eps, V, W, b):
    mu, logvar = (x @ V).chunk(2, dim=1)
    z = mu + torch.exp(0.5 * logvar) * eps
    return (gaussian_kl(mu, logvar) - bernoulli_log_prob(x, z @ W + b)).mean()


def mended_by_hand(x, eps, V, W, b):
    K = eps.shape[1]
    code = x @ V
    mu, logvar = code[:, :K], code[:, K:]
    logits = (mu + logvar.exp().sqrt() * eps) @ W + b
    reconstruction = functional.binary_cross_entropy_with_logits(
        logits, x, reduction="sum"
    )
    kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum()
    return (reconstruction + kl) / len(x)


def mended_by_a_factor(x, eps, V, W, b):
    mu, logvar = torch.split(x @ V, eps.shape[1], dim=1)
    logits = torch.einsum("nk,kd->nd", mu + (logvar / 2).exp() * eps, W) + b
    mean = functional.binary_cross_entropy_with_logits(logits, x)
    kl = 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(1).mean()
    return x.shape[1] * mean + kl


def mended_by_distributions(x, eps, V, W, b):
    mu, logvar = (x @ V).chunk(2, dim=1)
    q = Normal(mu, (logvar / 2).exp())
    p = Bernoulli(logits=(q.loc + q.scale * eps) @ W + b)
    rate = kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    return torch.mean(rate - p.log_prob(x).sum(1))


def weighted_by_the_library(x, eps, mu, logvar, decode):
    z = mu + (logvar / 2).exp() * eps
    log_w = bernoulli_log_prob(x, decode(z)) - gaussian_log_prob(z, mu, logvar)
    log_w = log_w + gaussian_log_prob(z, torch.zeros_like(z), 0.0)
    return -log_mean_exp(log_w).mean()


def weighted_by_hand(x, eps, mu, logvar, decode):
    z = mu + torch.exp(0.5 * logvar) * eps
    cross = functional.binary_cross_entropy_with_logits(
        decode(z), x.expand(len(eps), *x.shape), reduction="none"
    ).sum(-1)
    # Both normalising constants cancel, and so do they here.
    ratio = 0.5 * (eps**2 + logvar - z**2).sum(-1)
    return math.log(len(eps)) - torch.logsumexp(ratio - cross, dim=0).mean()


def weighted_by_loops(x, eps, mu, logvar, decode):
    found = []
    for noise in eps:
        z = mu + (logvar / 2).exp() * noise
        q = Normal(mu, (logvar / 2).exp())
        log_w = Bernoulli(logits=decode(z)).log_prob(x).sum(1)
        log_w = log_w + Normal(0.0, 1.0).log_prob(z).sum(1) - q.log_prob(z).sum(1)
        found.append(log_w)
    log_w = torch.stack(found, dim=1)  # (N, S)
    top = log_w.max(dim=1, keepdim=True).values.detach()
    bounds = (log_w - top).exp().mean(1).log() + top[:, 0]
    return -bounds.mean()


def weighted_flat(x, eps, mu, logvar, decode):
    S, N, K = eps.shape
    z = (mu + (logvar / 2).exp() * eps).reshape(S * N, K)
    logits = decode(z).reshape(S, N, -1)
    log_p = bernoulli_log_prob(x, logits) - 0.5 * (z**2).reshape(S, N, K).sum(2)
    log_q = -0.5 * (eps**2 + logvar).sum(2)
    return -(torch.logsumexp(log_p - log_q, 0) - math.log(S)).sum() / N


def rates_by_where(eigenvalues, beta, sigma2):
    rates = 0.5 * torch.log(eigenvalues / (beta * sigma2))
    return torch.where(eigenvalues > beta * sigma2, rates, torch.zeros_like(rates))


def rates_by_relu(eigenvalues, beta, sigma2):
    return torch.relu(eigenvalues.log() - math.log(beta * sigma2)) / 2


def rates_by_loops(eigenvalues, beta, sigma2):
    rates = [math.log(max(1.0, v / beta / sigma2)) / 2 for v in eigenvalues.tolist()]
    return torch.tensor(rates, dtype=eigenvalues.dtype)


def rates_by_the_loadings(eigenvalues, beta, sigma2):
    loadings = torch.clamp(eigenvalues - beta * sigma2, min=0)
    return 0.5 * torch.log1p(loadings / (beta * sigma2))


def rates_by_the_oracle(eigenvalues, beta, sigma2):
    cov = torch.diag(eigenvalues)
    return active_rates(cov, K=len(cov), sigma=math.sqrt(sigma2), beta=beta)


def floor_by_clamp(kl, floor):
    return kl.mean(dim=0).clamp(min=floor).sum()


def floor_by_maximum(kl, floor):
    latents = kl.mean(0)
    return torch.maximum(latents, torch.full_like(latents, floor)).sum()


def floor_by_where(kl, floor):
    latents = kl.sum(0) / len(kl)
    return torch.where(latents > floor, latents, floor).sum()


def floor_by_relu(kl, floor):
    return torch.relu(kl.mean(0) - floor).sum() + floor * kl.shape[1]


def floor_by_loops(kl, floor):
    total = torch.zeros((), dtype=kl.dtype)
    for latent in kl.T:
        total = total + (latent.mean() if latent.mean() > floor else floor)
    return total


RIGHT = {
    "mended_loss": (
        mended_by_the_library,
        mended_by_hand,
        mended_by_a_factor,
        mended_by_distributions,
    ),
    "iwae_loss": (
        weighted_by_the_library,
        weighted_by_hand,
        weighted_by_loops,
        weighted_flat,
    ),
    "linear_vae_rates": (
        rates_by_where,
        rates_by_relu,
        rates_by_loops,
        rates_by_the_loadings,
        rates_by_the_oracle,
    ),
    "free_bits": (
        floor_by_clamp,
        floor_by_maximum,
        floor_by_where,
        floor_by_relu,
        floor_by_loops,
    ),
}


def mended_but_detached(x, eps, V, W, b):
    mu, logvar = (x @ V).chunk(2, dim=1)
    with torch.no_grad():
        z = mu + (logvar / 2).exp() * eps
    return (gaussian_kl(mu, logvar) - bernoulli_log_prob(x, z @ W + b)).mean()


def mended_with_clamped_logits(x, eps, V, W, b):
    mu, logvar = (x @ V).chunk(2, dim=1)
    logits = ((mu + (logvar / 2).exp() * eps) @ W + b).clamp(-50, 50)
    return (gaussian_kl(mu, logvar) - bernoulli_log_prob(x, logits)).mean()


def weighted_naively(x, eps, mu, logvar, decode):
    z = mu + (logvar / 2).exp() * eps
    log_w = bernoulli_log_prob(x, decode(z)) - gaussian_log_prob(z, mu, logvar)
    log_w = log_w + gaussian_log_prob(z, torch.zeros_like(z), 0.0)
    return -torch.log(torch.exp(log_w).sum(0) / len(eps)).mean()


def weighted_as_a_number(x, eps, mu, logvar, decode):
    return weighted_by_the_library(x, eps, mu, logvar, decode).item()


def rates_with_beta_missing(eigenvalues, beta, sigma2):
    return torch.relu(0.5 * torch.log(eigenvalues / sigma2))


def floor_per_example(kl, floor):
    return torch.maximum(kl, torch.full_like(kl, floor)).sum() / len(kl)


def floor_upside_down(kl, floor):
    latents = kl.mean(0)
    return torch.minimum(latents, torch.full_like(latents, floor)).sum()


def floor_as_a_number(kl, floor):
    return floor_by_clamp(kl, floor).item()


def floor_cut_off(kl, floor):
    return floor_by_clamp(kl, floor).detach()


def rates_never_zero(eigenvalues, beta, sigma2):
    return rates_by_where(eigenvalues, beta, sigma2) + 1e-3


def rates_by_a_mask(eigenvalues, beta, sigma2):
    active = (eigenvalues > beta * sigma2).to(eigenvalues.dtype)
    return active * 0.5 * torch.log(eigenvalues / (beta * sigma2))


def rates_by_plain_loops(eigenvalues, beta, sigma2):
    rates = [max(0.0, math.log(v / beta / sigma2) / 2) for v in eigenvalues.tolist()]
    return torch.tensor(rates, dtype=eigenvalues.dtype)


def rates_with_a_least_beta(eigenvalues, beta, sigma2):
    return rates_by_relu(eigenvalues, max(beta, 0.1), sigma2)


def floor_with_a_slope_below(kl, floor):
    latents = kl.mean(0)
    missing = torch.relu(floor - latents).detach()
    return (latents + missing).sum()


def floor_squeezed(kl, floor):
    return kl.squeeze().mean(0).clamp(min=floor).sum()


def floor_after_the_sum(kl, floor):
    N = kl.shape[0]
    return torch.maximum(kl.sum(0), torch.full_like(kl[0], floor)).sum() / N


NAMED = (
    ("mended_loss", mended_but_detached, "detached_left"),
    ("iwae_loss", weighted_naively, "overflows"),
    ("iwae_loss", weighted_as_a_number, "cut_off"),
    ("free_bits", floor_with_a_slope_below, "slope_everywhere"),
    ("free_bits", floor_as_a_number, "cut_off"),
    ("free_bits", floor_after_the_sum, "floor_by_n"),
    ("linear_vae_rates", rates_with_beta_missing, "beta_forgotten"),
    ("free_bits", floor_per_example, "per_example"),
    ("free_bits", floor_upside_down, "ceiling"),
)

ROWS = (
    ("mended_loss", mended_but_detached, (True, False, True, True)),
    ("mended_loss", mended_with_clamped_logits, (True, True, True, False)),
    ("iwae_loss", weighted_naively, (True, True, True, False)),
    ("iwae_loss", weighted_as_a_number, (True, False, True, True)),
    ("linear_vae_rates", rates_never_zero, (False, False, True, False)),
    ("linear_vae_rates", rates_by_a_mask, (True, True, True, False)),
    ("linear_vae_rates", rates_with_a_least_beta, (True, True, True, False)),
    ("free_bits", floor_as_a_number, (True, False, True, True)),
    ("free_bits", floor_cut_off, (True, False, True, True)),
    ("free_bits", floor_with_a_slope_below, (True, False, True, True)),
)

SAYS = (
    ("mended_loss", mended_but_detached, "the encoder's weights, after one step"),
    ("mended_loss", mended_with_clamped_logits, "leave the logits to torch"),
    ("iwae_loss", weighted_naively, "log-weights of −1000"),
    ("linear_vae_rates", rates_by_a_mask, "whose logarithm is −∞"),
    ("linear_vae_rates", rates_by_plain_loops, "whose logarithm is −∞"),
    ("linear_vae_rates", rates_with_a_least_beta, "β = 0.0001"),
    ("linear_vae_rates", rates_never_zero, "λ ="),
    ("free_bits", floor_squeezed, "a batch of one example"),
)
