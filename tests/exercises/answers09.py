"""Lesson 09's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch
from scipy.optimize import brentq
from torch.distributions import Normal, kl_divergence

from course_utils.objectives import gaussian_kl, gaussian_log_prob
from course_utils.oracles import rate_distortion


def step_by_the_library(x, eps, weights, beta, delta, sigma2, lr, step):
    V, logvar, W = (one.clone().requires_grad_() for one in weights)
    mu = x @ V
    z = mu + (logvar / 2).exp() * eps
    distortion = -gaussian_log_prob(x, z @ W, math.log(sigma2)).mean()
    rate = gaussian_kl(mu, logvar.expand_as(mu)).mean()
    slopes = torch.autograd.grad(distortion + beta * rate, (V, logvar, W))
    with torch.no_grad():
        V, logvar, W = (w - lr * s for w, s in zip((V, logvar, W), slopes, strict=True))
    return V, logvar, W, max(0.0, beta + step * (rate.item() - delta))


def step_by_backward(x, eps, weights, beta, delta, sigma2, lr, step):
    V, logvar, W = (torch.nn.Parameter(one.clone()) for one in weights)
    optimiser = torch.optim.SGD([V, logvar, W], lr=lr)
    mu = x @ V
    x_hat = (mu + torch.exp(0.5 * logvar) * eps) @ W
    distortion = ((x - x_hat) ** 2).sum(1).mean() / (2 * sigma2)
    rate = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
    (distortion + beta * (rate - delta)).backward()
    optimiser.step()
    beta = beta + step * (float(rate) - delta)
    return V.detach(), logvar.detach(), W.detach(), 0.0 if beta < 0 else beta


def step_by_tensors(x, eps, weights, beta, delta, sigma2, lr, step):
    V, logvar, W = [one.detach().clone().requires_grad_(True) for one in weights]
    q = Normal(x @ V, (logvar / 2).exp().expand(len(x), -1))
    p = Normal((q.loc + q.scale * eps) @ W, math.sqrt(sigma2))
    rate = kl_divergence(q, Normal(0.0, 1.0)).sum(1).mean()
    loss = beta * rate - p.log_prob(x).sum(1).mean()
    loss.backward()
    new = [one.detach() - lr * one.grad for one in (V, logvar, W)]
    price = torch.relu(beta + step * (rate.detach() - delta))
    return [*new, price]


def slacks_by_costs(dist_low, rate_low, dist_high, rate_high, low, high):
    def cost(D, R, price):
        return D + price * R

    return (
        cost(dist_high, rate_high, low) - cost(dist_low, rate_low, low),
        cost(dist_low, rate_low, high) - cost(dist_high, rate_high, high),
    )


def slacks_by_differences(dist_low, rate_low, dist_high, rate_high, low, high):
    lost, saved = dist_high - dist_low, rate_low - rate_high
    return lost - low * saved, high * saved - lost


def slacks_by_arrays(dist_low, rate_low, dist_high, rate_high, low, high):
    points = np.array([[dist_low, rate_low], [dist_high, rate_high]])
    costs = points @ np.array([[1.0, 1.0], [low, high]])  # (point, price)
    return costs[1, 0] - costs[0, 0], costs[0, 1] - costs[1, 1]


def kkt_by_clamps(slope_distortion, slope_rate, rate, beta, delta):
    excess = torch.tensor(rate - delta, dtype=torch.float64)
    beta = torch.tensor(beta, dtype=torch.float64)
    stationarity = torch.linalg.vector_norm(
        slope_distortion + beta * slope_rate, ord=math.inf
    )
    inequalities = excess.clamp(min=0), (-beta).clamp(min=0)
    return stationarity, *inequalities, (beta * excess).abs()


def kkt_by_ifs(slope_distortion, slope_rate, rate, beta, delta):
    both = (slope_distortion, slope_rate)
    slopes = [abs(d + beta * r) for d, r in zip(*both, strict=True)]
    primal = rate - delta if rate > delta else 0.0
    dual = -beta if beta < 0 else 0.0
    return max(slopes), primal, dual, abs(beta) * abs(rate - delta)


def kkt_by_relu(slope_distortion, slope_rate, rate, beta, delta):
    both = torch.relu(torch.tensor([rate - delta, -beta]))  # in float32
    total = slope_distortion + beta * slope_rate
    worst = torch.maximum(total.max(), -total.min())
    return [worst.item(), *both.tolist(), abs(beta * (delta - rate))]


def beta_by_the_library(variances, sigma2, delta):
    return rate_distortion.beta_for_rate(variances, len(variances), sigma2, delta)


def beta_by_root_finding(variances, sigma2, delta):
    values = variances.numpy()

    def excess(log_level):
        return 0.5 * np.maximum(np.log(values) - log_level, 0).sum() - delta

    top = math.log(values[0])
    return math.exp(brentq(excess, top - 2 * delta - 60, top, xtol=1e-14)) / sigma2


def beta_by_removal(variances, sigma2, delta):
    active = variances
    while True:
        level = torch.exp((active.log().sum() - 2 * delta) / len(active))
        if active[-1] >= level:
            return (level / sigma2).item()
        active = active[:-1]


def beta_by_geometric_mean(variances, sigma2, delta):
    for j in range(len(variances), 0, -1):
        mean = math.exp(sum(math.log(v) for v in variances[:j].tolist()) / j)
        level = mean * math.exp(-2 * delta / j)
        if level <= variances[j - 1]:
            return level / sigma2
    return None


RIGHT = {
    "budget_step": (step_by_the_library, step_by_backward, step_by_tensors),
    "price_slacks": (slacks_by_costs, slacks_by_differences, slacks_by_arrays),
    "kkt": (kkt_by_clamps, kkt_by_ifs, kkt_by_relu),
    "beta_for_rate": (
        beta_by_the_library,
        beta_by_root_finding,
        beta_by_removal,
        beta_by_geometric_mean,
    ),
}


def uses_as_many_latents_as_planned(variances, sigma2, delta):
    level = sigma2 * beta_by_root_finding(variances, sigma2, delta)
    return int((variances > level).sum()) == {5: 2, 4: 3, 6: 1}[len(variances)]


def step_that_charges_the_new_price(x, eps, weights, beta, delta, sigma2, lr, step):
    mu = x @ weights[0]
    rate = gaussian_kl(mu, weights[1].expand_as(mu)).mean().item()
    beta = max(0.0, beta + step * (rate - delta))
    moved = step_by_the_library(x, eps, weights, beta, delta, sigma2, lr, 0.0)
    return *moved[:3], beta


def step_with_rounded_price(x, eps, weights, beta, delta, sigma2, lr, step):
    *moved, price = step_by_the_library(x, eps, weights, beta, delta, sigma2, lr, step)
    return *moved, round(price, 3)


def residuals_that_forgive(slope_distortion, slope_rate, rate, beta, delta):
    four = kkt_by_ifs(slope_distortion, slope_rate, rate, beta, delta)
    return [0.0 if abs(one) < 0.005 else one for one in four]


def residuals_of_products(slope_distortion, slope_rate, rate, beta, delta):
    stationarity, primal, dual, _ = kkt_by_ifs(
        slope_distortion, slope_rate, rate, beta, delta
    )
    return stationarity, primal, dual, abs(beta) * max(rate - delta, 0.0)


def residuals_with_minus_beta(slope_distortion, slope_rate, rate, beta, delta):
    stationarity, primal, _, slackness = kkt_by_ifs(
        slope_distortion, slope_rate, rate, beta, delta
    )
    return stationarity, primal, -beta, slackness


def beta_by_a_float32_product(variances, sigma2, delta):
    for j in range(len(variances), 0, -1):
        product = variances[:j].float().prod() * math.exp(-2 * delta)
        level = product ** (1 / j)
        if level < variances[j - 1]:
            return float(level / sigma2)
    return 0.0


def beta_on_a_short_interval(variances, sigma2, delta):
    low, high = 1e-9, 1000.0
    for _ in range(200):
        beta = (low + high) / 2
        rate = 0.5 * (variances / (beta * sigma2)).clamp(min=1).log().sum()
        low, high = (beta, high) if rate > delta else (low, beta)
    return beta


def beta_by_arithmetic_means(variances, sigma2, delta):
    for j in range(len(variances), 0, -1):
        level = variances[:j].mean().item() * math.exp(-2 * delta / j)
        if level < variances[j - 1]:
            break
    return level / sigma2


NAMED = (
    ("budget_step", step_that_charges_the_new_price, "new_price_charged"),
    ("kkt", residuals_of_products, "slackness_of_excess"),
    ("kkt", residuals_with_minus_beta, "dual_minus_beta"),
)

ROWS = (
    ("budget_step", step_with_rounded_price, (True, False, False, False)),
    ("kkt", residuals_that_forgive, (True, True, True, False)),
    ("beta_for_rate", beta_by_a_float32_product, (True, True, True, False)),
    ("beta_for_rate", beta_on_a_short_interval, (True, True, True, False)),
)

SAYS = (
    ("budget_step", step_with_rounded_price, "β after one step from"),
    ("beta_for_rate", beta_by_arithmetic_means, "You averaged the variances"),
    ("kkt", residuals_that_forgive, "misses as small as 0.003"),
    ("kkt", residuals_of_products, "slackness, the size of β"),
    ("beta_for_rate", beta_by_a_float32_product, "whose product rounds to 0"),
    ("beta_for_rate", beta_on_a_short_interval, "where β is about 1e5"),
)

INPUTS = (("beta_for_rate", uses_as_many_latents_as_planned),)
