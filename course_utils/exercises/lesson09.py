"""Exercises of lesson 09: a step of dual ascent, the KKT conditions, β for a rate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.grading.criteria import agrees, between, normal, uniform
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.oracles import rate_distortion

WORDS = words_beside(__file__)


# --- dual_step ----------------------------------------------------------------------


def dual_step(beta: float, rate: float, delta: float, step: float) -> float:
    """Projected gradient ascent: β + step · (rate − δ), but never below 0."""
    return max(0.0, beta + step * (rate - delta))


# Of δ, of the rate's excess over δ, of β, and of the step: where each is drawn from.
TOO_HIGH = ((1.5, 4.0), (1.2, 3.0), (0.6, 2.0), (0.2, 0.7))
TOO_LOW = ((2.5, 4.0), (-0.6, -1.4), (2.0, 3.0), (0.2, 0.6))
FAR_TOO_HIGH = ((1.0, 2.0), (2.0, 3.0), (0.1, 0.4), (0.3, 0.6))  # descent ends below 0
HITS_ZERO = ((3.0, 5.0), (-1.5, -2.5), (0.1, 0.4), (0.4, 0.8))


def _steps(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for ranges in (TOO_HIGH, TOO_LOW, FAR_TOO_HIGH, HITS_ZERO):
        delta, excess, beta, step = (between(generator, *ends) for ends in ranges)
        drawn.append((beta, delta + excess, delta, step))
    return drawn


def _inside(generator: torch.Generator) -> list[Arguments]:
    return _steps(generator)[:-1]


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
    steps={
        "excess": lambda rate, delta: rate - delta,
        "moved": lambda beta, step, excess: beta + step * excess,
        "answer": lambda moved: max(0.0, moved),
    },
    mistakes={
        "not_projected": lambda moved: moved,
        "descends": instead(excess=lambda excess: -excess),
        "descends_unprojected": lambda beta, step, excess: beta - step * excess,
        "excess_clamped": instead(excess=lambda excess: max(0.0, excess)),
        "absolute_excess": instead(excess=lambda excess: abs(excess)),
        "forgets_beta": instead(beta=lambda: 0.0),
        "no_delta": instead(delta=lambda: 0.0),
        "log_scale": lambda beta, step, excess: beta * math.exp(step * excess),
        "multiplied": instead(excess=lambda beta, excess: beta * excess),
        "slackness": lambda beta, step, excess: beta + step * beta * excess,
        "at_least_one": lambda moved: max(1.0, moved),
        "relative": instead(excess=lambda excess, delta: excess / delta),
        "relative_unprojected": lambda beta, step, excess, delta: (
            beta + step * excess / delta
        ),
        "mirrored": lambda moved: abs(moved),
        "sign_only": instead(excess=lambda excess: math.copysign(1.0, excess)),
        "zero_below": lambda moved, excess: moved if excess > 0 else 0.0,
        "min_for_max": lambda moved: min(0.0, moved),
        "no_step": instead(step=lambda: 1.0),
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
        agrees("the four residuals", 3.0),
        Criterion("all 0 at a solution, binding or not", 1.0, _zero_at_a_solution),
        Criterion("none below 0", 1.0, _never_negative),
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


def _level(variances: Tensor, delta: float, used: int) -> float:
    """Find the level βσ² at which the first `used` directions spend δ."""
    return math.exp((float(variances[:used].log().sum()) - 2 * delta) / used)


def _used(variances: Tensor, delta: float) -> int:
    """Count the directions whose variance is above the level that spends δ."""
    for used in range(1, len(variances)):
        if _level(variances, delta, used) >= float(variances[used]):
            return used
    return len(variances)


BETA_FOR_RATE = declare(
    WORDS["beta_for_rate"],
    beta_for_rate,
    _worlds,
    criteria=(
        agrees("β from δ, with some latents idle", 3.0),
        Criterion("and with every latent active", 1.0, _everything_used),
        Criterion("only the product βσ² matters", 1.0, _only_the_product_counts),
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
        "arithmetic": instead(
            level=lambda variances, delta, used: (
                float(variances[:used].mean()) * math.exp(-2 * delta / used)
            )
        ),
        "base_two": instead(delta=lambda delta: delta * math.log(2)),
        "inverse": lambda answer: 1 / answer,
    },
)

EXERCISES = (DUAL_STEP, KKT, BETA_FOR_RATE)
