"""Exercises of lesson 09: a step of dual ascent, the KKT conditions, β for a rate."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_utils.grading.criteria import at_the_edges, between, normal, uniform
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


def _edge_steps(generator: torch.Generator) -> list[Arguments]:
    """β = 0 on both sides of δ, a high price, and steps that are large or none."""
    beta, rate, delta, step = _steps(generator)[0]
    return [
        (0.0, rate, delta, step),
        (0.0, delta - 1.0, delta, step),
        (40.0, delta - 1.0, delta, step),
        (beta, rate, delta, 20.0),
        (beta, rate, delta, 0.0),
        (2, 3, 1, 1),
    ]


def _worked_steps(trial: Trial) -> None:
    for arguments in [*trial.inputs()[:-1], *_edge_steps(trial.generator)]:
        names = zip(("β", "rate", "δ", "step"), arguments, strict=True)
        trial.expect_close(
            trial.call(*arguments),
            trial.reference(*arguments),
            "from " + ", ".join(f"{name} = {value:.3g}" for name, value in names),
        )


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
        Criterion("moves by step times what the rate exceeds δ", 3.0, _worked_steps),
        Criterion("never below 0", 1.0, _stops_at_zero),
        Criterion("rests where the rate is δ", 1.0, _rests_at_the_solution),
    ),
    edges=lambda generator: _edge_steps(generator)[:4],
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
        "half_step": instead(step=lambda step: step / 2),
        "divided_by_step": lambda beta, step, excess: max(0.0, beta + excess / step),
        "brackets_missing": lambda beta, step, rate, delta: max(
            0.0, beta + step * rate - delta
        ),
        "step_on_all": lambda beta, step, excess: max(0.0, step * (beta + excess)),
        "squared_excess": instead(excess=lambda excess: excess**2),
        "halved_square": instead(excess=lambda excess: excess**2 / 2),
        "relative_to_rate": instead(excess=lambda excess, rate: excess / rate),
        "ratio_for_difference": instead(excess=lambda rate, delta: rate / delta),
        "log_ratio": instead(excess=lambda rate, delta: math.log(rate / delta)),
        "at_most_one": lambda moved: min(1.0, max(0.0, moved)),
        "clipped_step": instead(
            moved=lambda beta, step, excess: beta + max(-1.0, min(1.0, step * excess))
        ),
        "small_floor": lambda moved: max(1e-3, moved),
        "rounded": lambda moved: round(max(0.0, moved), 2),
        "excess_alone": instead(moved=lambda excess: excess),
        "step_alone": instead(moved=lambda beta, step: beta + step),
        "at_least_delta": lambda moved, delta: max(delta, moved),
        "decayed": instead(
            moved=lambda beta, step, excess: (1 - step) * beta + step * excess
        ),
        "stays": lambda beta: beta,
        "change_alone": lambda step, excess: step * excess,
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

EXERCISES = (DUAL_STEP, KKT, BETA_FOR_RATE)
