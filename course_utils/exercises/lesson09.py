"""Exercises of lesson 09: a step under a budget, two slacks, KKT, β for a rate."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_utils.grading.criteria import (
    agrees,
    at_the_edges,
    between,
    normal,
    uniform,
)
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.objectives import gaussian_kl, gaussian_log_prob
from course_utils.oracles import rate_distortion

WORDS = words_beside(__file__)
Weights = tuple[Tensor, Tensor, Tensor]


# --- budget_step --------------------------------------------------------------------


def budget_step(
    x: Tensor,
    eps: Tensor,
    weights: Weights,
    beta: float,
    delta: float,
    sigma2: float,
    lr: float,
    step: float,
) -> tuple[Tensor, Tensor, Tensor, float]:
    """One step down in V, logvar and W, one step up in β: the four after it.

    q(z|x) = N(x V, diag exp(logvar)), p(x|z) = N(z W, σ² I): x (N, D), eps (N, K),
    weights V (D, K), logvar (K,), W (K, D).
    """
    V, logvar, W = (one.detach().clone().requires_grad_() for one in weights)
    mu = x @ V
    z = mu + (logvar / 2).exp() * eps
    distortion = -gaussian_log_prob(x, z @ W, math.log(sigma2)).mean()
    rate = gaussian_kl(mu, logvar.expand_as(mu)).mean()
    slopes = torch.autograd.grad(distortion + beta * rate, (V, logvar, W))
    moved = [
        (one - lr * slope).detach()
        for one, slope in zip((V, logvar, W), slopes, strict=True)
    ]
    price = max(0.0, beta + step * (rate.item() - delta))
    return moved[0], moved[1], moved[2], price


def _batch_and_weights(
    generator: torch.Generator, N: int, D: int, K: int
) -> tuple[Tensor, Tensor, Weights, float]:
    """Draw a batch, its noise, weights, and the rate that these have."""
    x = normal(generator, N, D)
    weights = (
        0.5 * normal(generator, D, K),
        0.5 * normal(generator, K) - 0.6,
        0.5 * normal(generator, K, D),
    )
    mu = x @ weights[0]
    rate = float(gaussian_kl(mu, weights[1].expand_as(mu)).mean())
    return x, normal(generator, N, K), weights, rate


def _budgets(generator: torch.Generator) -> list[Arguments]:
    """Draw a rate above δ, one below, and one so far below that β ends at 0."""
    drawn: list[Arguments] = []
    for sizes, above, price in (
        ((6, 5, 2), (0.5, 0.9), (1.2, 2.5)),
        ((4, 7, 3), (-0.5, -0.9), (1.2, 2.5)),
        ((5, 4, 2), (-1.5, -2.5), (0.1, 0.3)),
    ):
        x, eps, weights, rate = _batch_and_weights(generator, *sizes)
        beta, delta = between(generator, *price), rate - between(generator, *above)
        sigma2, lr = between(generator, 0.3, 0.7), between(generator, 0.02, 0.05)
        step = between(generator, 0.3, 0.6)
        drawn.append((x, eps, weights, beta, delta, sigma2, lr, step))
    return drawn


def _hard_budgets(generator: torch.Generator) -> dict[str, Arguments]:
    (x, eps, weights, beta, delta, *rest), *_ = _budgets(generator)
    narrow = weights[0], weights[1] - 30, weights[2]
    return {
        "with β = 0 (the loss is the distortion alone)": (
            x, eps, weights, 0.0, delta, *rest
        ),
        "with a batch of one": (x[:1], eps[:1], weights, beta, delta, *rest),
        "with β = 40": (x, eps, weights, 40.0, delta, *rest),
        "with a narrow q": (x, eps, narrow, beta, delta, *rest),
    }  # fmt: skip


def _weights_moved(trial: Trial) -> None:
    for arguments in trial.inputs():
        got, want = trial.call(*arguments), trial.reference(*arguments)
        for name, one, other in zip(("V", "logvar", "W"), got, want, strict=False):
            trial.expect_close(one, other, f"{name} after one step")


def _price_moved(trial: Trial) -> None:
    for arguments in trial.inputs()[:2]:
        trial.expect_close(
            trial.call(*arguments)[3],
            trial.reference(*arguments)[3],
            f"β after one step from {arguments[3]:.3g}",
        )


def _three_steps(trial: Trial) -> None:
    for x, eps, weights, beta, *rest in trial.inputs()[:2]:
        noises = [eps, eps.flip(0), -eps]
        found = []
        for function in (trial.call, trial.reference):
            now = (*weights, beta)
            for noise in noises:
                now = function(x, noise, tuple(now[:3]), float(now[3]), *rest)
            found.append(now)
        for name, one, other in zip(("V", "logvar", "W", "β"), *found, strict=True):
            trial.expect_close(one, other, f"{name} after three steps")


def _no_price_below_zero(trial: Trial) -> None:
    arguments = trial.inputs()[2]
    got = float(trial.call(*arguments)[3])
    if got != 0:
        raise Refused(
            f"with a small β and a rate far below δ the step gives {got:.3g}, expected "
            "exactly 0: β may not become negative, and 0 is allowed."
        )
    hard = _hard_budgets(trial.generator)
    for said, arguments in hard.items():
        trial.expect_close(trial.call(*arguments), trial.reference(*arguments), said)


BUDGET_STEP = declare(
    WORDS["budget_step"],
    budget_step,
    _budgets,
    criteria=(
        Criterion("the weights after one step", 2.0, _weights_moved),
        Criterion("β after one step", 1.0, _price_moved),
        Criterion("weights and β after three steps", 1.0, _three_steps),
        Criterion("β never below 0, and β = 0 works", 1.0, _no_price_below_zero),
    ),
    edges=lambda generator: list(_hard_budgets(generator).values()),
    steps={
        "watched": lambda weights: tuple(
            one.clone().requires_grad_() for one in weights
        ),
        "V": lambda watched: watched[0],
        "logvar": lambda watched: watched[1],
        "W": lambda watched: watched[2],
        "mu": lambda x, V: x @ V,
        "sigma": lambda logvar: (logvar / 2).exp(),
        "z": lambda mu, sigma, eps: mu + sigma * eps,
        "half": lambda: 0.5,
        "error": lambda x, z, W: ((x - z @ W) ** 2).sum(1),
        "distortion": lambda error, half, sigma2: half * error.mean() / sigma2,
        "read": lambda logvar: logvar,
        "kl": lambda mu, read: 0.5 * (mu**2 + torch.expm1(read) - read).sum(1),
        "rate": lambda kl: kl.mean(),
        "loss": lambda distortion, beta, rate: distortion + beta * rate,
        "slopes": lambda loss, watched: torch.autograd.grad(
            loss, watched, retain_graph=True, materialize_grads=True
        ),
        "moved": lambda watched, slopes, lr: tuple(
            (one - lr * slope).detach()
            for one, slope in zip(watched, slopes, strict=True)
        ),
        "measured": lambda rate: rate.item(),
        "excess": lambda measured, delta: measured - delta,
        "price": lambda beta, step, excess: max(0.0, beta + step * excess),
        "answer": lambda moved, price: (*moved, price),
    },
    mistakes={
        # In the price.
        "not_projected": instead(price=lambda beta, step, excess: beta + step * excess),
        "price_descends": instead(excess=lambda excess: -excess),
        "no_delta": instead(excess=lambda measured: measured),
        "absolute_excess": instead(excess=lambda excess: abs(excess)),
        "excess_clamped": instead(excess=lambda excess: max(0.0, excess)),
        "relative": instead(excess=lambda excess, delta: excess / delta),
        "sign_only": instead(excess=lambda excess: math.copysign(1.0, excess)),
        "log_scale": instead(
            price=lambda beta, step, excess: beta * math.exp(step * excess)
        ),
        "slackness": instead(
            price=lambda beta, step, excess: max(0.0, beta + step * beta * excess)
        ),
        "forgets_beta": instead(price=lambda step, excess: max(0.0, step * excess)),
        "price_stays": instead(price=lambda beta: beta),
        "at_least_one": instead(
            price=lambda beta, step, excess: max(1.0, beta + step * excess)
        ),
        "lr_for_step": instead(
            price=lambda beta, lr, excess: max(0.0, beta + lr * excess)
        ),
        "distortion_for_rate": instead(measured=lambda distortion: distortion.item()),
        "rate_summed": instead(measured=lambda kl: kl.sum().item()),
        "rate_by_latents": instead(measured=lambda rate, V: rate.item() / V.shape[1]),
        "rate_after_the_step": instead(
            measured=lambda x, moved: float(
                gaussian_kl(x @ moved[0], moved[1].expand(len(x), -1)).mean()
            )
        ),
        # In the weights.
        "new_price_charged": instead(
            loss=lambda distortion, price, rate: distortion + price * rate
        ),
        "no_price_charged": instead(loss=lambda distortion, rate: distortion + rate),
        "distortion_alone": instead(loss=lambda distortion: distortion),
        "beta_on_distortion": instead(
            loss=lambda distortion, beta, rate: beta * distortion + rate
        ),
        "rate_subtracted": instead(
            loss=lambda distortion, beta, rate: distortion - beta * rate
        ),
        "rate_detached": instead(
            loss=lambda distortion, beta, rate: distortion + beta * rate.detach()
        ),
        "absolute_miss": instead(
            loss=lambda distortion, beta, rate, delta: (
                distortion + beta * (rate - delta).abs()
            )
        ),
        "hinge": instead(
            loss=lambda distortion, beta, rate, delta: (
                distortion + beta * (rate - delta).clamp(min=0)
            )
        ),
        "climbs": instead(slopes=lambda slopes: tuple(-one for one in slopes)),
        "step_for_lr": instead(lr=lambda step: step),
        "logvar_stays": instead(
            moved=lambda moved, weights: (moved[0], weights[1], moved[2])
        ),
        "encoder_stays": instead(moved=lambda moved, weights: (*weights[:2], moved[2])),
        "decoder_stays": instead(moved=lambda moved, weights: (*moved[:2], weights[2])),
        "nothing_moves": instead(moved=lambda weights: weights),
        "z_detached": instead(z=lambda z: z.detach()),
        "no_noise": instead(z=lambda mu: mu),
        "sigma_is_variance": instead(sigma=lambda logvar: logvar.exp()),
        "log_sigma": instead(
            sigma=lambda logvar: logvar.exp(), read=lambda logvar: 2 * logvar
        ),
        "no_half": instead(half=lambda: 1.0),
        "sigma2_left_out": instead(sigma2=lambda: 1.0),
        "sigma2_squared": instead(sigma2=lambda sigma2: sigma2**2),
        "by_sigma": instead(sigma2=lambda sigma2: math.sqrt(sigma2)),
        "pixels_averaged": instead(error=lambda error, x: error / x.shape[1]),
        "batch_summed": instead(
            loss=lambda loss, x: len(x) * loss,
        ),
    },
)


# --- price_slacks -------------------------------------------------------------------


def price_slacks(
    dist_low: float,
    rate_low: float,
    dist_high: float,
    rate_high: float,
    low: float,
    high: float,
) -> tuple[float, float]:
    """By how much each point is worse than the other at the other's price, in nats."""
    first = (dist_high + low * rate_high) - (dist_low + low * rate_low)
    second = (dist_low + high * rate_low) - (dist_high + high * rate_high)
    return first, second


def _prices(generator: torch.Generator) -> list[Arguments]:
    """Draw any two points and prices; their slacks may have either sign."""
    drawn: list[Arguments] = []
    for sign in (1, -1, 1):
        low = between(generator, 0.3, 1.5)
        points = [between(generator, 1.0, 6.0) for _ in range(4)]
        points[3] = points[1] - sign * between(generator, 0.7, 3.0)
        drawn.append((*points, low, low + between(generator, 0.5, 2.0)))
    return drawn


def _minimisers(generator: torch.Generator) -> Arguments:
    """Find the best of a cloud of points at a low price, and at a high one."""
    cloud = 6 * uniform(generator, 60, 2)  # distortions, rates
    low = between(generator, 0.2, 0.6)
    high = low + between(generator, 1.5, 3.0)
    best = [cloud[(cloud[:, 0] + b * cloud[:, 1]).argmin()] for b in (low, high)]
    return (*best[0].tolist(), *best[1].tolist(), low, high)


def _never_negative_at_the_best(trial: Trial) -> None:
    for _ in range(20):
        arguments = _minimisers(trial.generator)
        got = [float(one) for one in trial.call(*arguments)]
        if min(got) < -1e-9:
            raise Refused(
                f"each point is the best of 60 at its own price, and a slack is "
                f"{min(got):.3g}: it must be at least 0."
            )
        trial.expect_close(
            tuple(got), trial.reference(*arguments), "at the best points"
        )


def _add_up(trial: Trial) -> None:
    for arguments in trial.inputs():
        _, rate_low, _, rate_high, low, high = arguments
        trial.expect_close(
            sum(float(one) for one in trial.call(*arguments)),
            (high - low) * (rate_low - rate_high),
            "the two together are (high − low) (rate_low − rate_high), and yours",
        )


def _one_point(trial: Trial) -> None:
    D, R, _, _, low, high = trial.inputs()[0]
    trial.expect_close(
        trial.call(D, R, D, R, low, high), (0.0, 0.0), "where both points are one"
    )
    got = trial.call(D, R, D + low, R - 1.0, low, high)
    trial.expect_close(
        got, (0.0, high - low), "where both points cost the same at the low price"
    )


PRICE_SLACKS = declare(
    WORDS["price_slacks"],
    price_slacks,
    _prices,
    criteria=(
        agrees("the two differences", 2.0),
        Criterion("at least 0 at the best points", 1.0, _never_negative_at_the_best),
        Criterion("together (high − low) (rate_low − rate_high)", 1.0, _add_up),
        Criterion("0 where the points agree", 1.0, _one_point),
    ),
    steps={
        "first": lambda dist_low, rate_low, dist_high, rate_high, low: (
            dist_high + low * rate_high - dist_low - low * rate_low
        ),
        "second": lambda dist_low, rate_low, dist_high, rate_high, high: (
            dist_low + high * rate_low - dist_high - high * rate_high
        ),
        "answer": lambda first, second: (first, second),
    },
    mistakes={
        "signs_flipped": lambda first, second: (-first, -second),
        "second_flipped": lambda first, second: (first, -second),
        "first_flipped": lambda first, second: (-first, second),
        "prices_swapped": lambda dist_low, rate_low, dist_high, rate_high, low, high: (
            price_slacks(dist_low, rate_low, dist_high, rate_high, high, low)
        ),
        "low_twice": instead(high=lambda low: low),
        "high_twice": instead(low=lambda high: high),
        "order_swapped": lambda first, second: (second, first),
        "own_prices": lambda dist_low, rate_low, dist_high, rate_high, low, high: (
            (dist_high + high * rate_high) - (dist_low + low * rate_low),
            (dist_low + low * rate_low) - (dist_high + high * rate_high),
        ),
        "no_rate": lambda dist_low, dist_high: (
            dist_high - dist_low,
            dist_low - dist_high,
        ),
        "no_price": lambda dist_low, rate_low, dist_high, rate_high: (
            dist_high + rate_high - dist_low - rate_low,
            dist_low + rate_low - dist_high - rate_high,
        ),
        "clamped": lambda first, second: (max(0.0, first), max(0.0, second)),
        "sizes": lambda first, second: (abs(first), abs(second)),
        "slopes": lambda first, second, rate_low, rate_high: (
            first / (rate_low - rate_high),
            second / (rate_low - rate_high),
        ),
        "totals": lambda dist_low, rate_low, dist_high, rate_high, low, high: (
            dist_low + low * rate_low,
            dist_high + high * rate_high,
        ),
        "price_on_distortion": instead(
            first=lambda dist_low, rate_low, dist_high, rate_high, low: (
                low * dist_high + rate_high - low * dist_low - rate_low
            ),
            second=lambda dist_low, rate_low, dist_high, rate_high, high: (
                high * dist_low + rate_low - high * dist_high - rate_high
            ),
        ),
        "by_the_price": lambda first, second, low, high: (first / low, second / high),
        "verdicts": lambda first, second: (float(first >= 0), float(second >= 0)),
    },
)


# --- kkt ----------------------------------------------------------------------------


def kkt(
    slope_distortion: Tensor, slope_rate: Tensor, rate: float, beta: float, delta: float
) -> tuple[float, float, float, float]:
    """How far a point is from stationarity, primal, dual feasibility, slackness."""
    stationarity = float((slope_distortion + beta * slope_rate).abs().max())
    primal, dual = max(0.0, rate - delta), max(0.0, -beta)
    return stationarity, primal, dual, abs(beta * (rate - delta))


def _points(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for size, beta_sign, rate_sign in ((5, 1, 1), (4, 1, -1), (3, -1, 1), (6, -1, -1)):
        slopes = normal(generator, 2, size)
        delta = between(generator, 1.5, 3.0)
        rate = delta + rate_sign * between(generator, 0.3, 1.2)
        beta = beta_sign * between(generator, 0.3, 2.0)
        steepest = -between(generator, 4.0, 7.0)  # and downwards
        slopes[0, 0] = steepest - beta * slopes[1, 0]
        drawn.append((slopes[0], slopes[1], rate, beta, delta))
    return drawn


def _hard_points(generator: torch.Generator) -> dict[str, Arguments]:
    (down, up, _, beta, delta), *_ = _points(generator)
    slopes = 0.006 * up - 0.002 * up.sign(), up
    return {
        "misses as small as 0.003 count too": (*slopes, delta + 0.004, -0.003, delta),
        "with one parameter": (down[:1], up[:1], delta - 0.5, beta, delta),
        "with β = 0": (down, up, delta - 0.5, 0.0, delta),
        "with the rate at δ": (down, up, delta, beta, delta),
        "with β = 5000": (down, up, delta - 0.5, 5000.0, delta),
    }


RESIDUALS = (
    "stationarity, the largest size in slope_distortion + β · slope_rate",
    "primal feasibility, how far the rate exceeds δ",
    "dual feasibility, how far β falls short of 0",
    "slackness, the size of β · (rate − δ)",
)


def _four_residuals(trial: Trial) -> None:
    for arguments in trial.inputs():
        *_, rate, beta, delta = arguments
        where = f"(rate {rate:.3g}, β {beta:.3g}, δ {delta:.3g})"
        got, want = trial.call(*arguments), trial.reference(*arguments)
        for said, one, other in zip(RESIDUALS, got, want, strict=True):
            trial.expect_close(one, other, f"{said} {where}")


def _zero_at_a_solution(trial: Trial) -> None:
    slope = torch.tensor([1.5, -0.6, 2.1], dtype=torch.float64)
    got = trial.call(-2.0 * slope, slope, 1.5, 2.0, 1.5)
    trial.expect_close(got, (0.0,) * 4, "where all four conditions hold")
    # Inactive: the rate is below δ, β is 0, the distortion is at its minimum.
    got = trial.call(0 * slope, slope, 0.5, 0.0, 1.5)
    trial.expect_close(got, (0.0,) * 4, "where the constraint does not bind and β is 0")
    away = trial.call(*trial.inputs()[2])
    if all(float(residual) == 0 for residual in away):
        raise Refused("away from the solution something must differ from 0.")


def _never_negative(trial: Trial) -> None:
    for arguments in trial.inputs():
        got = trial.call(*arguments)
        least = min(float(residual) for residual in got)
        if least < 0:
            raise Refused(f"a residual is {least:.3g}: it is a size, at least 0.")
        if float(got[0]) == 0:
            raise Refused("the slopes do not cancel here: stationarity is not 0.")


KKT = declare(
    WORDS["kkt"],
    kkt,
    _points,
    criteria=(
        Criterion("the four residuals", 2.0, _four_residuals),
        Criterion("all 0 at a solution, binding or not", 1.0, _zero_at_a_solution),
        Criterion("none below 0", 1.0, _never_negative),
        at_the_edges(_hard_points, "small misses, β = 0, the rate at δ"),
    ),
    steps={
        "priced": lambda beta, slope_rate: beta * slope_rate,
        "slope": lambda slope_distortion, priced: slope_distortion + priced,
        "excess": lambda rate, delta: rate - delta,
        "product": lambda beta, excess: beta * excess,
        "stationarity": lambda slope: slope.abs().max(),
        "primal": lambda excess: max(0.0, excess),
        "dual": lambda beta: max(0.0, -beta),
        "slackness": lambda product: abs(product),
        "answer": lambda stationarity, primal, dual, slackness: (
            float(stationarity),
            primal,
            dual,
            slackness,
        ),
    },
    mistakes={
        "minus_beta": instead(priced=lambda priced: -priced),
        "beta_on_distortion": instead(
            slope_distortion=lambda beta, slope_distortion: beta * slope_distortion,
            priced=lambda slope_rate: slope_rate,
        ),
        "no_beta": instead(priced=lambda slope_rate: slope_rate),
        "wrong_side": instead(primal=lambda excess: max(0.0, -excess)),
        "equality": instead(primal=lambda excess: abs(excess)),
        "primal_not_clamped": instead(primal=lambda excess: excess),
        "dual_wrong_sign": instead(dual=lambda beta: max(0.0, beta)),
        "slackness_without_beta": instead(slackness=lambda excess: abs(excess)),
        "slackness_signed": instead(slackness=lambda product: product),
        "slackness_clamped": instead(slackness=lambda product: max(0.0, product)),
        "stationarity_signed": instead(stationarity=lambda slope: slope.max()),
        "stationarity_summed": instead(stationarity=lambda slope: slope.sum().abs()),
        "sizes_first": instead(
            slope_distortion=lambda slope_distortion: slope_distortion.abs(),
            slope_rate=lambda slope_rate: slope_rate.abs(),
        ),
        "stationarity_norm": instead(stationarity=lambda slope: slope.norm()),
        "stationarity_averaged": instead(stationarity=lambda slope: slope.abs().mean()),
        "sizes_summed": instead(stationarity=lambda slope: slope.abs().sum()),
        "dual_is_beta": instead(dual=lambda beta: beta),
        "dual_size": instead(dual=lambda beta: abs(beta)),
        "slackness_without_delta": instead(
            slackness=lambda beta, rate: abs(beta * rate)
        ),
        "stationarity_squared": instead(stationarity=lambda slope: (slope**2).sum()),
        "stationarity_mean_square": instead(
            stationarity=lambda slope: (slope**2).mean()
        ),
        "stationarity_root_mean_square": instead(
            stationarity=lambda slope: (slope**2).mean().sqrt()
        ),
        "stationarity_least": instead(stationarity=lambda slope: slope.abs().min()),
        "stationarity_mean": instead(stationarity=lambda slope: slope.mean().abs()),
        "maxima_added": instead(
            stationarity=lambda slope_distortion, beta, slope_rate: (
                slope_distortion.abs().max() + beta * slope_rate.abs().max()
            )
        ),
        "primal_squared": instead(primal=lambda excess: max(0.0, excess) ** 2),
        "primal_relative": instead(
            primal=lambda excess, delta: max(0.0, excess) / delta
        ),
        "primal_below_alone": instead(primal=lambda excess: min(0.0, excess)),
        "primal_as_verdict": instead(primal=lambda excess: float(excess > 0)),
        "verdicts": instead(
            primal=lambda excess: float(excess > 0), dual=lambda beta: float(beta < 0)
        ),
        "dual_wrong_sign_and_slackness_signed": instead(
            dual=lambda beta: max(0.0, beta), slackness=lambda product: product
        ),
        "nothing_clamped": instead(
            primal=lambda excess: excess,
            dual=lambda beta: -beta,
            slackness=lambda product: product,
        ),
        "left_as_they_are": instead(
            primal=lambda excess: excess,
            dual=lambda beta: beta,
            slackness=lambda product: product,
        ),
        "slackness_squared": instead(slackness=lambda product: product**2),
        "dual_minus_beta": instead(dual=lambda beta: -beta),
        "dual_signed": instead(dual=lambda beta: min(0.0, beta)),
        "beta_clamped_first": instead(
            priced=lambda beta, slope_rate: max(0.0, beta) * slope_rate,
            product=lambda beta, excess: max(0.0, beta) * excess,
        ),
        "slackness_of_excess": instead(
            slackness=lambda beta, primal: abs(beta * primal)
        ),
        "slackness_of_residuals": instead(slackness=lambda primal, dual: primal * dual),
        "slackness_of_clamped": instead(
            slackness=lambda beta, primal: max(0.0, beta) * primal
        ),
        "slackness_brackets": instead(
            slackness=lambda beta, rate, delta: abs(beta * rate - delta)
        ),
        "slackness_minimum": instead(
            slackness=lambda beta, excess: abs(min(beta, -excess))
        ),
        "slackness_flipped": instead(slackness=lambda product: -product),
        "primal_and_dual_swapped": lambda stationarity, primal, dual, slackness: (
            float(stationarity),
            dual,
            primal,
            slackness,
        ),
    },
)


# --- beta_for_rate ------------------------------------------------------------------


def beta_for_rate(variances: Tensor, sigma2: float, delta: float) -> float:
    """β whose optimum has the rate δ, with one latent for each of the variances."""
    return rate_distortion.beta_for_rate(variances, len(variances), sigma2, delta)


def _worlds(generator: torch.Generator) -> list[Arguments]:
    """Variances in falling order, and a δ for which 2 of 5, 3 of 4, 1 of 6 are used."""
    drawn: list[Arguments] = []
    for size, used in ((5, 2), (4, 3), (6, 1)):
        steps = 0.5 + uniform(generator, size)
        variances = 6 * torch.exp(-steps.cumsum(0))
        share = between(generator, 0.3, 0.7)
        above, below = variances[used - 1 : used + 1].log()
        log_level = share * above + (1 - share) * below
        delta = 0.5 * (variances[:used].log() - log_level).sum()
        drawn.append((variances, between(generator, 0.2, 0.7), float(delta)))
    return drawn


def _hard_worlds(generator: torch.Generator) -> dict[str, Arguments]:
    (variances, sigma2, delta), *_ = _worlds(generator)
    copies = variances[:1].expand(4).clone()
    many = 1e-7 * torch.linspace(9, 3, 60, dtype=torch.float64)
    level = 4.1e-7
    spent = 0.5 * float((many / level).clamp(min=1).log().sum())
    sixty = many, 1e-7, spent
    return {
        "with one latent": (variances[:1], sigma2, delta),
        "with latents of the same variance": (copies, sigma2, delta),
        "with a budget of 0.001 nats": (variances, sigma2, 0.001),
        "with sixty latents of variances below 1e-6, whose product rounds to 0": sixty,
        "where β is about 1e5": (1e5 * variances, sigma2, delta),
        "where β is about 0.1": (variances, 10 * sigma2, delta),
    }


def _spends_delta(trial: Trial) -> None:
    for variances, sigma2, delta in trial.inputs():
        got = float(trial.call(variances, sigma2, delta))
        want = trial.reference(variances, sigma2, delta)
        ratio = variances / (max(got, 1e-300) * sigma2)
        spent = 0.5 * float(ratio.clamp(min=1).log().sum())
        trial.expect_close(
            got,
            want,
            f"at your β = {got:.4g} the rates add up to {spent:.4g} nats, where δ = "
            f"{delta:.4g}; β",
        )


def _everything_used(trial: Trial) -> None:
    variances, sigma2, _ = trial.inputs()[0]
    level = 0.5 * float(variances[-1])
    delta = 0.5 * float((variances / level).log().sum())
    trial.expect_close(
        trial.call(variances, sigma2, delta),
        level / sigma2,
        "with δ so large that all latents are active, β",
    )


def _only_the_product_counts(trial: Trial) -> None:
    variances, sigma2, delta = trial.inputs()[1]
    one = float(trial.call(variances, sigma2, delta))
    other = float(trial.call(variances, 2 * sigma2, delta))
    trial.expect_close(
        2 * other, one, "βσ² must not change when σ² doubles, so β halves"
    )
    if not one > 0:
        raise Refused(f"β is {one:.3g}, expected a positive number.")


def _level(variances: Tensor, delta: float, used: int) -> float:
    """Find the level βσ² at which the first `used` directions spend δ."""
    return math.exp((float(variances[:used].log().sum()) - 2 * delta) / used)


def _used(variances: Tensor, delta: float) -> int:
    """Count the directions whose variance is above the level that spends δ."""
    for used in range(1, len(variances)):
        if _level(variances, delta, used) >= float(variances[used]):
            return used
    return len(variances)


Level = Callable[[Tensor, float, int], float]


def _upwards(level: Level) -> Callable[[Tensor, float], float]:
    """Build a search from one active direction up, with a level of its own."""

    def found(variances: Tensor, delta: float) -> float:
        K = len(variances)
        tried = ((j, level(variances, delta, j)) for j in range(1, K))
        fits = (one for j, one in tried if one >= float(variances[j]))
        return next(fits, level(variances, delta, K))

    return found


def _downwards(level: Level) -> Callable[[Tensor, float], float]:
    """Build a search from all directions down, with a level of its own."""

    def found(variances: Tensor, delta: float) -> float:
        K = len(variances)
        tried = ((j, level(variances, delta, j)) for j in range(K, 0, -1))
        fits = (one for j, one in tried if one < float(variances[j - 1]))
        return next(fits, level(variances, delta, 1))

    return found


def _arithmetic(variances: Tensor, delta: float, used: int) -> float:
    return float(variances[:used].mean()) * math.exp(-2 * delta / used)


def _one_more(variances: Tensor, delta: float, used: int) -> float:
    return math.exp((float(variances[:used].log().sum()) - 2 * delta) / (used + 1))


def _delta_undivided(variances: Tensor, delta: float, used: int) -> float:
    return math.exp(float(variances[:used].log().mean()) - 2 * delta)


def _product(variances: Tensor, delta: float, used: int) -> float:
    return math.exp(float(variances[:used].log().sum()) - 2 * delta)


BETA_FOR_RATE = declare(
    WORDS["beta_for_rate"],
    beta_for_rate,
    _worlds,
    criteria=(
        Criterion("β from δ, with some latents idle", 2.0, _spends_delta),
        Criterion("and with every latent active", 1.0, _everything_used),
        Criterion("only the product βσ² matters", 1.0, _only_the_product_counts),
        at_the_edges(_hard_worlds, "one latent, many, equal ones, any size of β"),
    ),
    steps={
        "used": _used,
        "level": _level,
        "answer": lambda level, sigma2: level / sigma2,
    },
    mistakes={
        "all_active": instead(used=lambda variances: len(variances)),
        "first_only": instead(used=lambda: 1),
        "without_half": instead(delta=lambda delta: delta / 2),
        "the_level": lambda level: level,
        "times_sigma2": lambda level, sigma2: level * sigma2,
        "by_sigma": lambda level, sigma2: level / math.sqrt(sigma2),
        "one_too_many": instead(used=lambda used: used + 1),
        "not_divided": instead(level=lambda level, used: level**used),
        "delta_each": lambda variances, sigma2, delta, used: beta_for_rate(
            variances, sigma2, delta * used
        ),
        "log_returned": lambda answer: math.log(answer),
        "sign_of_delta": instead(delta=lambda delta: -delta),
        "arithmetic": instead(level=_arithmetic),
        "arithmetic_upwards": instead(level=_upwards(_arithmetic)),
        "arithmetic_downwards": instead(level=_downwards(_arithmetic)),
        "one_more": instead(level=_one_more),
        "one_more_upwards": instead(level=_upwards(_one_more)),
        "one_more_downwards": instead(level=_downwards(_one_more)),
        "delta_undivided": instead(level=_delta_undivided),
        "delta_undivided_upwards": instead(level=_upwards(_delta_undivided)),
        "delta_undivided_downwards": instead(level=_downwards(_delta_undivided)),
        "product_upwards": instead(level=_upwards(_product)),
        "product_downwards": instead(level=_downwards(_product)),
        "one_too_few": instead(used=lambda used: max(1, used - 1)),
        "half_twice": instead(delta=lambda delta: 2 * delta),
        "lowest_level": instead(
            level=lambda variances, delta: min(
                _level(variances, delta, j) for j in range(1, len(variances) + 1)
            )
        ),
        "last_active": instead(
            level=lambda variances, used: float(variances[used - 1])
        ),
        "first_idle": instead(
            level=lambda variances, used: float(variances[: used + 1][-1])
        ),
        "last_variance": instead(level=lambda variances: float(variances[-1])),
        "first_without_half": instead(
            level=lambda variances, delta: float(variances[0]) * math.exp(-delta)
        ),
        "mean_variance": instead(
            level=lambda variances, delta: (
                float(variances.mean()) * math.exp(-2 * delta / len(variances))
            )
        ),
        "mean_variance_delta_undivided": instead(
            level=lambda variances, delta: (
                float(variances.mean()) * math.exp(-2 * delta)
            )
        ),
        "delta_each_latent": lambda variances, sigma2, delta: beta_for_rate(
            variances, sigma2, delta * len(variances)
        ),
        "noise_subtracted": instead(
            variances=lambda variances, sigma2: (variances - sigma2).clamp(min=1e-12)
        ),
        "divided_twice": lambda level, sigma2: level / sigma2**2,
        "rate_at_one": lambda variances, sigma2: (
            0.5 * float((variances / sigma2).clamp(min=1).log().sum())
        ),
        "bisection_reversed": lambda variances, sigma2: float(variances[0]) / sigma2,
        "base_two": instead(delta=lambda delta: delta * math.log(2)),
        "inverse": lambda answer: 1 / answer,
    },
)

EXERCISES = (BUDGET_STEP, KKT, PRICE_SLACKS, BETA_FOR_RATE)
