"""Lesson 08's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch
from scipy import special
from torch.distributions import Normal, kl_divergence

from course_utils.objectives import log_mean_exp
from course_utils.oracles.linear_gaussian import active_rates


def bound_by_logsumexp(log_weights):
    return torch.logsumexp(log_weights, dim=0) - math.log(log_weights.shape[0])


def bound_by_own_maximum(log_weights):
    top, _ = log_weights.max(dim=0)
    return top + torch.exp(log_weights - top).mean(dim=0).log()


def bound_by_loops(log_weights):
    S = len(log_weights)
    return torch.stack(
        [torch.logsumexp(column - np.log(S), 0) for column in log_weights.T]
    )


def bound_by_the_library(log_weights):
    return log_mean_exp(log_weights, 0)


def bound_by_logaddexp(log_weights):
    total = log_weights[0]
    for row in log_weights[1:]:
        total = torch.logaddexp(total, row)
    return total - torch.log(torch.tensor(len(log_weights), dtype=total.dtype))


def bound_by_scipy(log_weights):
    S = len(log_weights)
    return torch.tensor(special.logsumexp(log_weights.numpy(), axis=0, b=1 / S))


def units_by_formula(mu, logvar):
    return 0.5 * (mu.pow(2) + logvar.exp() - logvar - 1).mean(0)


def units_by_torch(mu, logvar):
    q = Normal(mu, (logvar / 2).exp())
    return kl_divergence(q, Normal(0.0, 1.0)).mean(dim=0)


def units_by_loops(mu, logvar):
    N, K = mu.shape
    total = torch.zeros(K, dtype=mu.dtype)
    for m, v in zip(mu, logvar, strict=True):
        total = total - 0.5 * (1 + v - m * m - torch.exp(v))
    return total / N


def units_by_sigma(mu, logvar):
    sigma = torch.exp(0.5 * logvar)
    both = (mu**2 + sigma**2) / 2 - torch.log(sigma) - 0.5
    return both.sum(0) / mu.shape[0]


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
    units = kl.mean(0)
    return torch.maximum(units, torch.full_like(units, floor)).sum()


def floor_by_where(kl, floor):
    units = kl.sum(0) / len(kl)
    return torch.where(units > floor, units, floor).sum()


def floor_by_relu(kl, floor):
    return torch.relu(kl.mean(0) - floor).sum() + floor * kl.shape[1]


def floor_by_loops(kl, floor):
    total = torch.zeros((), dtype=kl.dtype)
    for unit in kl.T:
        total = total + (unit.mean() if unit.mean() > floor else floor)
    return total


RIGHT = {
    "iwae_bound": (
        bound_by_logsumexp,
        bound_by_own_maximum,
        bound_by_loops,
        bound_by_the_library,
        bound_by_logaddexp,
        bound_by_scipy,
    ),
    "kl_per_unit": (units_by_formula, units_by_torch, units_by_loops, units_by_sigma),
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


def naive(log_weights):
    return torch.log(torch.exp(log_weights).sum(0) / len(log_weights))


def shifted_by_the_global_maximum(log_weights):
    top = log_weights.max()
    return torch.log(torch.exp(log_weights - top).mean(0)) + top


def rates_with_beta_missing(eigenvalues, beta, sigma2):
    return torch.relu(0.5 * torch.log(eigenvalues / sigma2))


def floor_per_example(kl, floor):
    return torch.maximum(kl, torch.full_like(kl, floor)).sum() / len(kl)


def floor_upside_down(kl, floor):
    units = kl.mean(0)
    return torch.minimum(units, torch.full_like(units, floor)).sum()


def floor_as_a_number(kl, floor):
    return floor_by_clamp(kl, floor).item()


def floor_cut_off(kl, floor):
    return floor_by_clamp(kl, floor).detach()


def rates_never_zero(eigenvalues, beta, sigma2):
    return rates_by_where(eigenvalues, beta, sigma2) + 1e-3


def units_squeezed(mu, logvar):
    return units_by_formula(mu, logvar).squeeze()


def units_with_clamped_logvar(mu, logvar):
    return units_by_formula(mu, logvar.clamp(-20, 20))


def units_sorted(mu, logvar):
    return units_by_formula(mu, logvar).sort(descending=True)[0]


def units_of_mean_codes(mu, logvar):
    return 0.5 * (mu.mean(0) ** 2 + logvar.exp().mean(0) - logvar.mean(0) - 1)


def rates_by_a_mask(eigenvalues, beta, sigma2):
    active = (eigenvalues > beta * sigma2).to(eigenvalues.dtype)
    return active * 0.5 * torch.log(eigenvalues / (beta * sigma2))


def rates_by_plain_loops(eigenvalues, beta, sigma2):
    rates = [max(0.0, math.log(v / beta / sigma2) / 2) for v in eigenvalues.tolist()]
    return torch.tensor(rates, dtype=eigenvalues.dtype)


def rates_with_a_least_beta(eigenvalues, beta, sigma2):
    return rates_by_relu(eigenvalues, max(beta, 0.1), sigma2)


def floor_with_a_slope_below(kl, floor):
    units = kl.mean(0)
    missing = torch.relu(floor - units).detach()
    return (units + missing).sum()


def floor_squeezed(kl, floor):
    return kl.squeeze().mean(0).clamp(min=floor).sum()


def floor_after_the_sum(kl, floor):
    N = kl.shape[0]
    return torch.maximum(kl.sum(0), torch.full_like(kl[0], floor)).sum() / N


NAMED = (
    ("kl_per_unit", units_sorted, "in_falling_order"),
    ("kl_per_unit", units_of_mean_codes, "means_averaged_first"),
    ("free_bits", floor_with_a_slope_below, "slope_everywhere"),
    ("free_bits", floor_as_a_number, "cut_off"),
    ("free_bits", floor_after_the_sum, "floor_by_n"),
    ("iwae_bound", naive, "overflows"),
    ("iwae_bound", shifted_by_the_global_maximum, "one_maximum"),
    ("kl_per_unit", lambda mu, logvar: mu.var(0), "spread_of_means"),
    ("linear_vae_rates", rates_with_beta_missing, "beta_forgotten"),
    ("free_bits", floor_per_example, "per_example"),
    ("free_bits", floor_upside_down, "ceiling"),
)

ROWS = (
    ("iwae_bound", naive, (True, False, False)),
    ("linear_vae_rates", rates_never_zero, (False, False, True, False)),
    ("linear_vae_rates", rates_by_a_mask, (True, True, True, False)),
    ("linear_vae_rates", rates_with_a_least_beta, (True, True, True, False)),
    ("kl_per_unit", units_squeezed, (True, True, True, False)),
    ("kl_per_unit", units_with_clamped_logvar, (True, True, True, False)),
    ("free_bits", floor_as_a_number, (True, False, True, True)),
    ("free_bits", floor_cut_off, (True, False, True, True)),
    ("free_bits", floor_with_a_slope_below, (True, False, True, True)),
)

SAYS = (
    ("kl_per_unit", units_squeezed, "a model with one unit"),
    ("linear_vae_rates", rates_by_a_mask, "whose logarithm is −∞"),
    ("linear_vae_rates", rates_by_plain_loops, "whose logarithm is −∞"),
    ("kl_per_unit", units_with_clamped_logvar, "with no clamp"),
    ("linear_vae_rates", rates_with_a_least_beta, "β = 0.0001"),
    ("linear_vae_rates", rates_never_zero, "λ ="),
    ("free_bits", floor_squeezed, "a batch of one example"),
)
