"""Lesson 09's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch
from scipy.optimize import brentq

from course_utils.oracles import rate_distortion


def step_by_if(beta, rate, delta, step):
    new = beta + step * (rate - delta)
    if new < 0:
        return 0.0
    return new


def step_by_torch(beta, rate, delta, step):
    return torch.relu(torch.tensor(beta + step * (rate - delta), dtype=torch.float64))


def step_by_descent_on_minus(beta, rate, delta, step):
    return max(beta - step * (delta - rate), 0)


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
    "dual_step": (step_by_if, step_by_torch, step_by_descent_on_minus),
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


def step_clipped(beta, rate, delta, step):
    change = min(1.0, max(-1.0, step * (rate - delta)))
    return max(0.0, beta + change)


def step_rounded(beta, rate, delta, step):
    return float(f"{max(0.0, beta + step * (rate - delta)):.4f}")


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
    ("dual_step", step_clipped, "clipped_step"),
    ("kkt", residuals_of_products, "slackness_of_excess"),
    ("kkt", residuals_with_minus_beta, "dual_minus_beta"),
)

ROWS = (
    ("kkt", residuals_that_forgive, (True, True, True, False)),
    ("beta_for_rate", beta_by_a_float32_product, (True, True, True, False)),
    ("beta_for_rate", beta_on_a_short_interval, (True, True, True, False)),
)

SAYS = (
    ("dual_step", step_rounded, "from β ="),
    ("beta_for_rate", beta_by_arithmetic_means, "You averaged the variances"),
    ("kkt", residuals_that_forgive, "misses as small as 0.003"),
    ("kkt", residuals_of_products, "slackness, the size of β"),
    ("beta_for_rate", beta_by_a_float32_product, "whose product rounds to 0"),
    ("beta_for_rate", beta_on_a_short_interval, "where β is about 1e5"),
)

INPUTS = (("beta_for_rate", uses_as_many_latents_as_planned),)
