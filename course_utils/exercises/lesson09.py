"""Exercises of lesson 09: a step of dual ascent, the KKT conditions, β for a rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_utils.grading.criteria import agrees, between
from course_utils.grading.declare import declare, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.oracles import rate_distortion

WORDS = words_beside(__file__)


# --- dual_step ----------------------------------------------------------------------


def dual_step(beta: float, rate: float, delta: float, step: float) -> float:
    """Projected gradient ascent: β + step · (rate − δ), but never below 0."""
    return max(0.0, beta + step * (rate - delta))


def _too_high(generator: torch.Generator) -> Arguments:
    delta = between(generator, 1.5, 4.0)
    rate = delta + between(generator, 1.2, 3.0)
    beta = between(generator, 0.6, 2.0)
    return (beta, rate, delta, between(generator, 0.2, 0.7))


def _too_low(generator: torch.Generator) -> Arguments:
    delta = between(generator, 2.5, 4.0)
    rate = delta - between(generator, 0.6, 1.4)
    return (between(generator, 2.0, 3.0), rate, delta, between(generator, 0.2, 0.6))


def _far_too_high(generator: torch.Generator) -> Arguments:
    """So far that a step the wrong way would end below 0."""
    delta = between(generator, 1.0, 2.0)
    rate = delta + between(generator, 2.0, 3.0)
    return (between(generator, 0.1, 0.4), rate, delta, between(generator, 0.3, 0.6))


def _hits_zero(generator: torch.Generator) -> Arguments:
    delta = between(generator, 3.0, 5.0)
    rate = delta - between(generator, 1.5, 2.5)
    return (between(generator, 0.1, 0.4), rate, delta, between(generator, 0.4, 0.8))


def _steps(generator: torch.Generator) -> list[Arguments]:
    return [*_inside(generator), _hits_zero(generator)]


def _inside(generator: torch.Generator) -> list[Arguments]:
    return [_too_high(generator), _too_low(generator), _far_too_high(generator)]


def _stops_at_zero(trial: Trial) -> None:
    arguments = trial.inputs()[-1]
    got = float(trial.call(*arguments))
    if got != 0.0:
        raise Refused(
            f"with a small β and a rate far below δ the step gives {got:.3g}, expected "
            "exactly 0: β may not become negative, and 0 is allowed."
        )
    beta, rate, delta, step = trial.inputs()[0]
    if float(trial.call(beta, rate, delta, step)) <= beta:
        raise Refused("with a rate above δ, β must rise.")


def _rests_at_the_solution(trial: Trial) -> None:
    beta, _, delta, step = trial.inputs()[0]
    trial.expect_close(
        trial.call(beta, delta, delta, step), beta, "where the rate is δ, β must rest"
    )
    if float(trial.call(beta, delta + 1.0, delta, step)) <= beta:
        raise Refused("with a rate one nat above δ, β must rise.")


DUAL_STEP = declare(
    WORDS["dual_step"],
    dual_step,
    _steps,
    criteria=(
        agrees("moves by step times what the rate exceeds δ", 3.0, _inside),
        Criterion("never below 0", 1.0, _stops_at_zero),
        Criterion("rests where the rate is δ", 1.0, _rests_at_the_solution),
    ),
    mistakes={
        "not_projected": lambda beta, rate, delta, step: beta + step * (rate - delta),
        "descends": lambda beta, rate, delta, step: max(
            0.0, beta - step * (rate - delta)
        ),
        "descends_unprojected": lambda beta, rate, delta, step: (
            beta - step * (rate - delta)
        ),
        "excess_clamped": lambda beta, rate, delta, step: (
            beta + step * max(0.0, rate - delta)
        ),
        "absolute_excess": lambda beta, rate, delta, step: (
            beta + step * abs(rate - delta)
        ),
        "forgets_beta": lambda rate, delta, step: max(0.0, step * (rate - delta)),
        "no_delta": lambda beta, rate, step: max(0.0, beta + step * rate),
        "log_scale": lambda beta, rate, delta, step: (
            beta * math.exp(step * (rate - delta))
        ),
        "multiplied": lambda beta, rate, delta, step: max(
            0.0, beta * (1 + step * (rate - delta))
        ),
        "slackness": lambda beta, rate, delta, step: (
            beta + step * beta * (rate - delta)
        ),
        "at_least_one": lambda beta, rate, delta, step: max(
            1.0, beta + step * (rate - delta)
        ),
        "relative": lambda beta, rate, delta, step: max(
            0.0, beta + step * (rate - delta) / delta
        ),
        "relative_unprojected": lambda beta, rate, delta, step: (
            beta + step * (rate - delta) / delta
        ),
        "mirrored": lambda beta, rate, delta, step: abs(beta + step * (rate - delta)),
        "sign_only": lambda beta, rate, delta, step: max(
            0.0, beta + math.copysign(step, rate - delta)
        ),
        "zero_below": lambda beta, rate, delta, step: (
            beta + step * (rate - delta) if rate > delta else 0.0
        ),
        "min_for_max": lambda beta, rate, delta, step: min(
            0.0, beta + step * (rate - delta)
        ),
        "no_step": lambda beta, rate, delta: max(0.0, beta + (rate - delta)),
    },
)


# --- kkt ----------------------------------------------------------------------------

Four = tuple[float, float, float, float]


def kkt(
    slope_distortion: Tensor,
    slope_rate: Tensor,
    rate: float,
    beta: float,
    delta: float,
) -> Four:
    """How far a point is from stationarity, primal, dual feasibility, slackness."""
    stationarity = float((slope_distortion + beta * slope_rate).abs().max())
    primal, dual = max(0.0, rate - delta), max(0.0, -beta)
    return stationarity, primal, dual, abs(beta * (rate - delta))


def _points(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for size, beta_sign, rate_sign in ((5, 1, 1), (4, 1, -1), (3, -1, 1), (6, -1, -1)):
        slopes = torch.randn(2, size, generator=generator, dtype=torch.float64)
        delta = between(generator, 1.5, 3.0)
        rate = delta + rate_sign * between(generator, 0.3, 1.2)
        beta = beta_sign * between(generator, 0.3, 2.0)
        steepest = -between(generator, 4.0, 7.0)  # and downwards
        slopes[0, 0] = steepest - beta * slopes[1, 0]
        drawn.append((slopes[0], slopes[1], rate, beta, delta))
    return drawn


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


STATIONARITY, PRIMAL, DUAL, SLACKNESS = range(4)


def _kkt_but(place: int, residual: Callable[..., Any]) -> Callable[..., Four]:
    """Return the right residuals, but one of them computed in another way."""

    def wrong(
        slope_distortion: Tensor,
        slope_rate: Tensor,
        rate: float,
        beta: float,
        delta: float,
    ) -> Four:
        four = list(kkt(slope_distortion, slope_rate, rate, beta, delta))
        four[place] = float(residual(slope_distortion, slope_rate, rate, beta, delta))
        return four[0], four[1], four[2], four[3]

    return wrong


KKT = declare(
    WORDS["kkt"],
    kkt,
    _points,
    criteria=(
        agrees("the four residuals", 3.0),
        Criterion("all 0 at a solution, binding or not", 1.0, _zero_at_a_solution),
        Criterion("none below 0", 1.0, _never_negative),
    ),
    mistakes={
        "minus_beta": lambda slope_distortion, slope_rate, rate, beta, delta: _kkt_but(
            STATIONARITY, lambda d, r, rate, b, delta: (d - b * r).abs().max()
        )(slope_distortion, slope_rate, rate, beta, delta),
        "beta_on_distortion": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(
                STATIONARITY, lambda d, r, rate, b, delta: (b * d + r).abs().max()
            )(slope_distortion, slope_rate, rate, beta, delta)
        ),
        "no_beta": lambda slope_distortion, slope_rate, rate, beta, delta: _kkt_but(
            STATIONARITY, lambda d, r, rate, b, delta: (d + r).abs().max()
        )(slope_distortion, slope_rate, rate, beta, delta),
        "wrong_side": lambda slope_distortion, slope_rate, rate, beta, delta: _kkt_but(
            PRIMAL, lambda d, r, rate, b, delta: max(0.0, delta - rate)
        )(slope_distortion, slope_rate, rate, beta, delta),
        "equality": lambda slope_distortion, slope_rate, rate, beta, delta: _kkt_but(
            PRIMAL, lambda d, r, rate, b, delta: abs(rate - delta)
        )(slope_distortion, slope_rate, rate, beta, delta),
        "primal_not_clamped": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(PRIMAL, lambda d, r, rate, b, delta: rate - delta)(
                slope_distortion, slope_rate, rate, beta, delta
            )
        ),
        "dual_wrong_sign": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(DUAL, lambda d, r, rate, b, delta: max(0.0, b))(
                slope_distortion, slope_rate, rate, beta, delta
            )
        ),
        "slackness_without_beta": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(SLACKNESS, lambda d, r, rate, b, delta: abs(rate - delta))(
                slope_distortion, slope_rate, rate, beta, delta
            )
        ),
        "slackness_signed": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(SLACKNESS, lambda d, r, rate, b, delta: b * (rate - delta))(
                slope_distortion, slope_rate, rate, beta, delta
            )
        ),
        "slackness_clamped": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(
                SLACKNESS, lambda d, r, rate, b, delta: max(0.0, b * (rate - delta))
            )(slope_distortion, slope_rate, rate, beta, delta)
        ),
        "stationarity_signed": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(STATIONARITY, lambda d, r, rate, b, delta: (d + b * r).max())(
                slope_distortion, slope_rate, rate, beta, delta
            )
        ),
        "stationarity_summed": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(
                STATIONARITY, lambda d, r, rate, b, delta: (d + b * r).sum().abs()
            )(slope_distortion, slope_rate, rate, beta, delta)
        ),
        "sizes_first": lambda slope_distortion, slope_rate, rate, beta, delta: _kkt_but(
            STATIONARITY,
            lambda d, r, rate, b, delta: (d.abs() + b * r.abs()).abs().max(),
        )(slope_distortion, slope_rate, rate, beta, delta),
        "stationarity_norm": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(STATIONARITY, lambda d, r, rate, b, delta: (d + b * r).norm())(
                slope_distortion, slope_rate, rate, beta, delta
            )
        ),
        "stationarity_averaged": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(
                STATIONARITY, lambda d, r, rate, b, delta: (d + b * r).abs().mean()
            )(slope_distortion, slope_rate, rate, beta, delta)
        ),
        "sizes_summed": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(
                STATIONARITY, lambda d, r, rate, b, delta: (d + b * r).abs().sum()
            )(slope_distortion, slope_rate, rate, beta, delta)
        ),
        "dual_is_beta": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(DUAL, lambda d, r, rate, b, delta: b)(
                slope_distortion, slope_rate, rate, beta, delta
            )
        ),
        "dual_size": lambda slope_distortion, slope_rate, rate, beta, delta: _kkt_but(
            DUAL, lambda d, r, rate, b, delta: abs(b)
        )(slope_distortion, slope_rate, rate, beta, delta),
        "slackness_without_delta": lambda slope_distortion, slope_rate, rate, beta, delta: (
            _kkt_but(SLACKNESS, lambda d, r, rate, b, delta: abs(b * rate))(
                slope_distortion, slope_rate, rate, beta, delta
            )
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
        steps = 0.5 + torch.rand(size, generator=generator, dtype=torch.float64)
        variances = 6 * torch.exp(-steps.cumsum(0))
        share = between(generator, 0.3, 0.7)
        log_level = share * variances[used - 1].log()
        log_level = log_level + (1 - share) * variances[used].log()
        delta = 0.5 * (variances[:used].log() - log_level).sum()
        drawn.append((variances, between(generator, 0.2, 0.7), float(delta)))
    return drawn


def _everything_used(trial: Trial) -> None:
    variances, sigma2, _ = trial.inputs()[0]
    level = 0.5 * float(variances[-1])
    delta = 0.5 * float((variances / level).log().sum())
    trial.expect_close(
        trial.call(variances, sigma2, delta), level / sigma2, "with all latents active"
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


def _level_of(variances: Tensor, delta: float, used: int) -> float:
    return math.exp((float(variances[:used].log().sum()) - 2 * delta) / used)


def _used(variances: Tensor, delta: float) -> int:
    for used in range(1, len(variances) + 1):
        level = _level_of(variances, delta, used)
        if used == len(variances) or level >= float(variances[used]):
            return used
    raise AssertionError("the loop ends above")


def _right_level(variances: Tensor, delta: float) -> float:
    return _level_of(variances, delta, _used(variances, delta))


def _one_too_many(variances: Tensor, sigma2: float, delta: float) -> float:
    used = _used(variances, delta) + 1
    return _level_of(variances, delta, used) / sigma2


def _not_divided(variances: Tensor, sigma2: float, delta: float) -> float:
    used = _used(variances, delta)
    return math.exp(float(variances[:used].log().sum()) - 2 * delta) / sigma2


def _arithmetic(variances: Tensor, sigma2: float, delta: float) -> float:
    used = _used(variances, delta)
    return float(variances[:used].mean()) * math.exp(-2 * delta / used) / sigma2


BETA_FOR_RATE = declare(
    WORDS["beta_for_rate"],
    beta_for_rate,
    _worlds,
    criteria=(
        agrees("β from δ, with some latents idle", 3.0),
        Criterion("and with every latent active", 1.0, _everything_used),
        Criterion("only the product βσ² matters", 1.0, _only_the_product_counts),
    ),
    mistakes={
        "all_active": lambda variances, sigma2, delta: (
            _level_of(variances, delta, len(variances)) / sigma2
        ),
        "first_only": lambda variances, sigma2, delta: (
            _level_of(variances, delta, 1) / sigma2
        ),
        "without_half": lambda variances, sigma2, delta: (
            _right_level(variances, delta / 2) / sigma2
        ),
        "the_level": lambda variances, delta: _right_level(variances, delta),
        "times_sigma2": lambda variances, sigma2, delta: (
            _right_level(variances, delta) * sigma2
        ),
        "by_sigma": lambda variances, sigma2, delta: (
            _right_level(variances, delta) / math.sqrt(sigma2)
        ),
        "one_too_many": _one_too_many,
        "not_divided": _not_divided,
        "delta_each": lambda variances, sigma2, delta: (
            _right_level(variances, delta * _used(variances, delta)) / sigma2
        ),
        "log_returned": lambda variances, sigma2, delta: math.log(
            _right_level(variances, delta) / sigma2
        ),
        "sign_of_delta": lambda variances, sigma2, delta: (
            _right_level(variances, -delta) / sigma2
        ),
        "arithmetic": _arithmetic,
        "base_two": lambda variances, sigma2, delta: (
            _right_level(variances, delta * math.log(2)) / sigma2
        ),
        "inverse": lambda variances, sigma2, delta: (
            sigma2 / _right_level(variances, delta)
        ),
    },
)

EXERCISES = (DUAL_STEP, KKT, BETA_FOR_RATE)
