"""Exercises of lesson 09: a step of dual ascent, the KKT conditions, β for a rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from course_utils.exercises.base import (
    Arguments,
    Criterion,
    Exercise,
    Misconception,
    Refused,
    Trial,
    agrees,
    between,
)
from course_utils.oracles import rate_distortion

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
    arguments = trial.probes()[-1]
    got = float(trial.call(*arguments))
    if got != 0.0:
        raise Refused(
            f"with a small β and a rate far below δ the step gives {got:.3g}, expected "
            "exactly 0: β may not become negative, and 0 is allowed."
        )
    beta, rate, delta, step = trial.probes()[0]
    if float(trial.call(beta, rate, delta, step)) <= beta:
        raise Refused("with a rate above δ, β must rise.")


def _rests_at_the_solution(trial: Trial) -> None:
    beta, _, delta, step = trial.probes()[0]
    trial.expect_close(
        trial.call(beta, delta, delta, step), beta, "where the rate is δ, β must rest"
    )
    if float(trial.call(beta, delta + 1.0, delta, step)) <= beta:
        raise Refused("with a rate one nat above δ, β must rise.")


DUAL_STEP = Exercise(
    name="dual_step",
    title="one step of dual ascent",
    reference=dual_step,
    returns="the new β, a number",
    probes=_steps,
    criteria=(
        agrees("moves by step times what the rate exceeds δ", 3.0, _inside),
        Criterion("never below 0", 1.0, _stops_at_zero),
        Criterion("rests where the rate is δ", 1.0, _rests_at_the_solution),
    ),
    misconceptions=(
        Misconception(
            "not_projected",
            "β can become negative here, and a negative β *pays* for breaking the "
            "constraint: take the larger of 0 and the step.",
            lambda b, r, d, s: b + s * (r - d),
        ),
        Misconception(
            "descends",
            "The sign is turned round: where the rate is above δ this lowers β, and "
            "the rate grows further. It is gradient *ascent* on the Lagrangian.",
            lambda b, r, d, s: max(0.0, b - s * (r - d)),
        ),
        Misconception(
            "descends_unprojected",
            "The sign is turned round, and nothing keeps β at 0 or above.",
            lambda b, r, d, s: b - s * (r - d),
        ),
        Misconception(
            "excess_clamped",
            "You clamp the excess, not β: then β never falls again, even where the "
            "rate is far below δ.",
            lambda b, r, d, s: b + s * max(0.0, r - d),
        ),
        Misconception(
            "absolute_excess",
            "With the absolute value β rises on both sides of δ.",
            lambda b, r, d, s: b + s * abs(r - d),
        ),
        Misconception(
            "forgets_beta",
            "The old β is missing: a step goes from where you are.",
            lambda b, r, d, s: max(0.0, s * (r - d)),
        ),
        Misconception(
            "no_delta",
            "δ is missing: compare the rate with δ. Without it β rises for ever.",
            lambda b, r, d, s: max(0.0, b + s * r),
        ),
        Misconception(
            "log_scale",
            "This moves log β. It is a fine method too, but never reaches 0; the task "
            "is the projected step on β itself.",
            lambda b, r, d, s: b * math.exp(s * (r - d)),
        ),
        Misconception(
            "multiplied",
            "This multiplies β by the step: from β = 0 it could never get away. Add "
            "step · (rate − δ).",
            lambda b, r, d, s: max(0.0, b * (1 + s * (r - d))),
        ),
        Misconception(
            "slackness",
            "This follows β (rate − δ), the product of complementary slackness. The "
            "derivative of the Lagrangian in β is rate − δ alone.",
            lambda b, r, d, s: b + s * b * (r - d),
        ),
        Misconception(
            "at_least_one",
            "β is kept at 1 or above: nothing forbids a β below 1. The constraint is "
            "β ≥ 0.",
            lambda b, r, d, s: max(1.0, b + s * (r - d)),
        ),
        Misconception(
            "relative",
            "You divide the excess by δ. The slope of the dual is rate − δ itself, in "
            "nats.",
            lambda b, r, d, s: max(0.0, b + s * (r - d) / d),
        ),
        Misconception(
            "relative_unprojected",
            "You divide the excess by δ. The slope of the dual is rate − δ itself, in "
            "nats.",
            lambda b, r, d, s: b + s * (r - d) / d,
        ),
        Misconception(
            "mirrored",
            "abs turns a negative β into a positive price. A β that would fall below 0 "
            "belongs at 0: the budget does not bind.",
            lambda b, r, d, s: abs(b + s * (r - d)),
        ),
        Misconception(
            "sign_only",
            "You use the sign of rate − δ only. The step is proportional to its size, "
            "so that it shrinks near the solution.",
            lambda b, r, d, s: max(0.0, b + math.copysign(s, r - d)),
        ),
        Misconception(
            "zero_below",
            "You set β to 0 wherever the rate is below δ. Lower it by a step; 0 is but "
            "the floor.",
            lambda b, r, d, s: b + s * (r - d) if r > d else 0.0,
        ),
        Misconception(
            "min_for_max",
            "min(0, …) keeps β at 0 or *below*. The constraint is β ≥ 0: take the "
            "larger of the two.",
            lambda b, r, d, s: min(0.0, b + s * (r - d)),
        ),
        Misconception(
            "no_step",
            "The step size is missing: multiply the excess rate − δ by step.",
            lambda b, r, d, s: max(0.0, b + (r - d)),
        ),
    ),
    hints=(
        "The Lagrangian is distortion + β (rate − δ). What is its derivative in β?",
        "Ascent goes along that derivative: beta + step * (rate − delta).",
        "Then project onto β ≥ 0: max(0.0, …).",
    ),
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
    away = trial.call(*trial.probes()[2])
    if all(float(residual) == 0 for residual in away):
        raise Refused("away from the solution something must differ from 0.")


def _never_negative(trial: Trial) -> None:
    for arguments in trial.probes():
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


KKT = Exercise(
    name="kkt",
    title="the four conditions as numbers",
    reference=kkt,
    returns="four numbers: stationarity, primal, dual, slackness",
    probes=_points,
    criteria=(
        agrees("the four residuals", 3.0),
        Criterion("all 0 at a solution, binding or not", 1.0, _zero_at_a_solution),
        Criterion("none below 0", 1.0, _never_negative),
    ),
    misconceptions=(
        Misconception(
            "minus_beta",
            "Stationarity has a minus: the Lagrangian is distortion **plus** "
            "β (rate − δ), because both are minimised.",
            _kkt_but(
                STATIONARITY, lambda d, r, rate, b, delta: (d - b * r).abs().max()
            ),
        ),
        Misconception(
            "beta_on_distortion",
            "β weighs the distortion here. It multiplies the *rate* only.",
            _kkt_but(
                STATIONARITY, lambda d, r, rate, b, delta: (b * d + r).abs().max()
            ),
        ),
        Misconception(
            "no_beta",
            "Stationarity without β: only at β = 1 do the slopes add up to 0.",
            _kkt_but(STATIONARITY, lambda d, r, rate, b, delta: (d + r).abs().max()),
        ),
        Misconception(
            "wrong_side",
            "Primal feasibility is turned round: a rate *below* δ is allowed and costs "
            "nothing; one above δ is what is measured.",
            _kkt_but(PRIMAL, lambda d, r, rate, b, delta: max(0.0, delta - rate)),
        ),
        Misconception(
            "equality",
            "You demand rate = δ. The constraint is rate ≤ δ: below δ the primal "
            "residual is 0.",
            _kkt_but(PRIMAL, lambda d, r, rate, b, delta: abs(rate - delta)),
        ),
        Misconception(
            "primal_not_clamped",
            "rate − δ is negative where the constraint holds with room to spare: the "
            "residual there is 0, so take max(0, rate − δ).",
            _kkt_but(PRIMAL, lambda d, r, rate, b, delta: rate - delta),
        ),
        Misconception(
            "dual_wrong_sign",
            "Dual feasibility is β ≥ 0: its residual is max(0, −β), and a positive β "
            "breaks nothing.",
            _kkt_but(DUAL, lambda d, r, rate, b, delta: max(0.0, b)),
        ),
        Misconception(
            "slackness_without_beta",
            "Complementary slackness is a *product*: β (rate − δ) = 0. One factor may "
            "differ from 0 if the other is 0.",
            _kkt_but(SLACKNESS, lambda d, r, rate, b, delta: abs(rate - delta)),
        ),
        Misconception(
            "slackness_signed",
            "Slackness keeps its sign here: return its size.",
            _kkt_but(SLACKNESS, lambda d, r, rate, b, delta: b * (rate - delta)),
        ),
        Misconception(
            "slackness_clamped",
            "You clamp the product at 0 from below: β (rate − δ) < 0, a price paid for "
            "a constraint that does not bind, breaks slackness too. Take its size.",
            _kkt_but(
                SLACKNESS, lambda d, r, rate, b, delta: max(0.0, b * (rate - delta))
            ),
        ),
        Misconception(
            "stationarity_signed",
            "The largest slope may be a negative one: take the largest *size*, "
            ".abs().max().",
            _kkt_but(STATIONARITY, lambda d, r, rate, b, delta: (d + b * r).max()),
        ),
        Misconception(
            "stationarity_summed",
            "Slopes of opposite sign cancel in a sum: stationarity must hold for every "
            "parameter, so take the largest size.",
            _kkt_but(
                STATIONARITY, lambda d, r, rate, b, delta: (d + b * r).sum().abs()
            ),
        ),
        Misconception(
            "sizes_first",
            "You added the sizes of the slopes. They have to cancel: add first, then "
            "take sizes.",
            _kkt_but(
                STATIONARITY,
                lambda d, r, rate, b, delta: (d.abs() + b * r.abs()).abs().max(),
            ),
        ),
        Misconception(
            "stationarity_norm",
            "This is the length of the vector of slopes. The task asks for the largest "
            "single size, so that a residual means the same for any number of weights.",
            _kkt_but(STATIONARITY, lambda d, r, rate, b, delta: (d + b * r).norm()),
        ),
        Misconception(
            "stationarity_averaged",
            "A mean hides one parameter whose slope is far from 0 behind many at rest: "
            "take the largest size.",
            _kkt_but(
                STATIONARITY, lambda d, r, rate, b, delta: (d + b * r).abs().mean()
            ),
        ),
        Misconception(
            "sizes_summed",
            "You added up the sizes over the parameters. The task asks for the largest "
            "one, so that a residual means the same for any number of weights.",
            _kkt_but(
                STATIONARITY, lambda d, r, rate, b, delta: (d + b * r).abs().sum()
            ),
        ),
        Misconception(
            "dual_is_beta",
            "The third number is β itself. Dual feasibility is β ≥ 0: its residual is "
            "what is missing to 0, max(0, −β).",
            _kkt_but(DUAL, lambda d, r, rate, b, delta: b),
        ),
        Misconception(
            "dual_size",
            "|β| calls a positive price a fault. Only a negative β breaks β ≥ 0: "
            "max(0, −β).",
            _kkt_but(DUAL, lambda d, r, rate, b, delta: abs(b)),
        ),
        Misconception(
            "slackness_without_delta",
            "Slackness compares the rate with δ: β (rate − δ), not β · rate.",
            _kkt_but(SLACKNESS, lambda d, r, rate, b, delta: abs(b * rate)),
        ),
    ),  # fmt: skip
    hints=(
        "One number for each condition, in the order of the text. Which of them are "
        "equations, and which are inequalities?",
        "An inequality that holds has the residual 0: max(0, rate − δ), max(0, −β).",
        "An equation's residual is a size: the largest |slope of distortion + β · "
        "slope of rate|, and |β (rate − δ)|.",
    ),
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
    variances, sigma2, _ = trial.probes()[0]
    level = 0.5 * float(variances[-1])
    delta = 0.5 * float((variances / level).log().sum())
    trial.expect_close(
        trial.call(variances, sigma2, delta), level / sigma2, "with all latents active"
    )


def _only_the_product_counts(trial: Trial) -> None:
    variances, sigma2, delta = trial.probes()[1]
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


def _all_active(variances: Tensor, sigma2: float, delta: float) -> float:
    return _level_of(variances, delta, len(variances)) / sigma2


def _first_only(variances: Tensor, sigma2: float, delta: float) -> float:
    return _level_of(variances, delta, 1) / sigma2


def _without_half(variances: Tensor, sigma2: float, delta: float) -> float:
    return _right_level(variances, delta / 2) / sigma2


def _the_level(variances: Tensor, sigma2: float, delta: float) -> float:
    return _right_level(variances, delta)


def _times_sigma2(variances: Tensor, sigma2: float, delta: float) -> float:
    return _right_level(variances, delta) * sigma2


def _by_sigma(variances: Tensor, sigma2: float, delta: float) -> float:
    return _right_level(variances, delta) / math.sqrt(sigma2)


def _one_too_many(variances: Tensor, sigma2: float, delta: float) -> float:
    used = _used(variances, delta) + 1
    return _level_of(variances, delta, used) / sigma2


def _not_divided(variances: Tensor, sigma2: float, delta: float) -> float:
    used = _used(variances, delta)
    return math.exp(float(variances[:used].log().sum()) - 2 * delta) / sigma2


def _delta_each(variances: Tensor, sigma2: float, delta: float) -> float:
    return _right_level(variances, delta * _used(variances, delta)) / sigma2


def _log_returned(variances: Tensor, sigma2: float, delta: float) -> float:
    return math.log(_right_level(variances, delta) / sigma2)


def _sign_of_delta(variances: Tensor, sigma2: float, delta: float) -> float:
    return _right_level(variances, -delta) / sigma2


def _arithmetic(variances: Tensor, sigma2: float, delta: float) -> float:
    used = _used(variances, delta)
    return float(variances[:used].mean()) * math.exp(-2 * delta / used) / sigma2


def _base_two(variances: Tensor, sigma2: float, delta: float) -> float:
    return _right_level(variances, delta * math.log(2)) / sigma2


def _inverse(variances: Tensor, sigma2: float, delta: float) -> float:
    return sigma2 / _right_level(variances, delta)


BETA_FOR_RATE = Exercise(
    name="beta_for_rate",
    title="the β that spends exactly δ nats",
    reference=beta_for_rate,
    returns="β, a number",
    probes=_worlds,
    criteria=(
        agrees("β from δ, with some latents idle", 3.0),
        Criterion("and with every latent active", 1.0, _everything_used),
        Criterion("only the product βσ² matters", 1.0, _only_the_product_counts),
    ),
    misconceptions=(
        Misconception(
            "all_active",
            "All directions were taken to be active. Where λ lies below the level, "
            "½ log λ/(βσ²) is negative and its latent is idle: leave it out, and solve "
            "again.",
            _all_active,
        ),
        Misconception(
            "first_only",
            "Only the first direction spends here. Others may lie above the level too.",
            _first_only,
        ),
        Misconception(
            "without_half",
            "The ½ of ½ log λ/(βσ²) was lost: the sum of logarithms is 2δ.",
            _without_half,
        ),
        Misconception(
            "the_level",
            "This is the level βσ²: divide it by σ².",
            _the_level,
        ),
        Misconception(
            "times_sigma2",
            "The level is βσ², so β is the level *divided* by σ².",
            _times_sigma2,
        ),
        Misconception(
            "by_sigma",
            "You divided by σ. The argument is σ², and so is the divisor.",
            _by_sigma,
        ),
        Misconception(
            "one_too_many",
            "One direction too many is counted as active: its variance lies below the "
            "level that comes out.",
            _one_too_many,
        ),
        Misconception(
            "not_divided",
            "With j active directions the level appears j times in the sum: divide by "
            "j before you exponentiate.",
            _not_divided,
        ),
        Misconception(
            "delta_each",
            "δ is the budget of all latents together, not of each one.",
            _delta_each,
        ),
        Misconception(
            "log_returned",
            "This is log β: exponentiate the logarithm of the level first.",
            _log_returned,
        ),
        Misconception(
            "sign_of_delta",
            "The sign of δ is turned round: spending more nats needs a *lower* level, "
            "so 2δ is subtracted from the sum of logarithms.",
            _sign_of_delta,
        ),
        Misconception(
            "arithmetic",
            "You averaged the variances and then took the logarithm. The rates add "
            "logarithms: average log λ, which gives their geometric mean.",
            _arithmetic,
        ),
        Misconception(
            "base_two",
            "These are logarithms to base 2, so δ was spent in bits. The course counts "
            "in nats: natural logarithms.",
            _base_two,
        ),
        Misconception(
            "inverse",
            "This is 1/β: a larger budget δ must make the price β smaller.",
            _inverse,
        ),
    ),
    hints=(
        "If you knew how many directions, j, are active, the sum of their rates would "
        "be one equation for one unknown, the level βσ².",
        "½ Σ_{i ≤ j} log λ_i − (j/2) log level = δ. Solve for the level.",
        "Try j = 1, 2, …: right is the first j whose level is at least λ_{j+1} (or "
        "j = K). Then β = level / sigma2.",
    ),
)

EXERCISES = (DUAL_STEP, KKT, BETA_FOR_RATE)
