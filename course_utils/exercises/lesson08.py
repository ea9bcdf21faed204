"""Exercises of lesson 08: weighted bound, KL per unit, linear rates, free bits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, logsumexp

from course_utils.exercises.lesson07 import RATE_SLIPS, RATE_STEPS
from course_utils.grading.criteria import (
    agrees,
    at_the_edges,
    between,
    normal,
    rows_stand_alone,
)
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.objectives import gaussian_kl, iwae_bound, log_mean_exp

WORDS = words_beside(__file__)


# --- iwae_bound ---------------------------------------------------------------------


def _weights(generator: torch.Generator) -> list[Arguments]:
    """Ordinary log-weights, and some that no exponential survives; S is never N."""
    ordinary = 2 * normal(generator, 5, 3) - 1
    extreme = normal(generator, 7, 4) + torch.tensor([-900, 900, 0, -1800])
    # Means far apart: one maximum for the whole batch does not help either.
    return [(ordinary,), (extreme + 9 * normal(generator, 4),)]


def _stays_finite(trial: Trial) -> None:
    _, (log_weights,) = trial.inputs()
    got, want = trial.call(log_weights), trial.reference(log_weights)
    trial.expect_close(got, want, "with log-weights near -900 or 900")


IWAE_BOUND = declare(
    WORDS["iwae_bound"],
    iwae_bound,
    _weights,
    criteria=(
        agrees("the logarithm of the mean weight", 3.0, lambda g: _weights(g)[:1]),
        Criterion("no overflow, no underflow", 1.0, _stays_finite),
        rows_stand_alone("each example on its own", dims=(1,)),
    ),
    steps={
        "S": lambda log_weights: len(log_weights),
        "top": lambda log_weights: log_weights.amax(0),
        "answer": lambda log_weights, top: (
            top + (log_weights - top).exp().mean(0).log()
        ),
        "total": lambda log_weights: logsumexp(log_weights, 0),
        "weights": lambda log_weights: log_weights.exp(),  # ∞ or 0 far from 0
        "share": lambda log_weights: log_weights.softmax(0),
    },
    mistakes={
        "mean_of_logs": lambda log_weights: log_weights.mean(0),
        "not_divided": lambda total: total,
        "overflows": lambda weights: weights.mean(0).log(),
        "over_examples": lambda log_weights: iwae_bound(log_weights.T),
        "batch_inside": lambda answer: log_mean_exp(answer, 0),
        "batch_mean": lambda answer: answer.mean(),
        "largest": lambda top: top,
        "divided_outside": lambda total, S: total / S,
        "log_added": lambda total, S: total + math.log(S),
        "batch_size": lambda total: total - math.log(len(total)),
        "not_shifted_back": lambda answer, top: answer - top,
        "one_maximum": instead(top=lambda top: top.max()),
        "without_log": lambda weights: weights.mean(0),
        "as_loss": lambda answer: -answer,
        "softmax_weighted": lambda share, log_weights: (share * log_weights).sum(0),
    },
)


# --- kl_per_unit --------------------------------------------------------------------


def kl_per_unit(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z_k|x) ‖ N(0, 1)) of each unit, averaged over the batch: (K,), in nats."""
    return 0.5 * (mu**2 + torch.expm1(logvar) - logvar).mean(0)


def _posteriors(generator: torch.Generator) -> list[Arguments]:
    return [
        (normal(generator, *size) + 0.5, normal(generator, *size) - 0.7)
        for size in ((7, 3), (11, 5))
    ]


def _hard_posteriors(generator: torch.Generator) -> dict[str, Arguments]:
    (mu, logvar), _ = _posteriors(generator)
    return {
        "a batch of one example": (mu[:1], logvar[:1]),
        "a model with one unit": (mu[:, :1], logvar[:, :1]),
        "logvar about -35 (take it as it is, with no clamp)": (mu, logvar - 35),
        "logvar about 21 (take it as it is, with no clamp)": (mu, logvar + 21),
    }


def _each_unit(trial: Trial) -> None:
    for arguments in trial.inputs():
        trial.expect_close(
            trial.call(*arguments),
            trial.reference(*arguments),
            "the KL of each unit, in its place, averaged over the examples",
        )


def _zero_at_the_prior(trial: Trial) -> None:
    for mu, logvar in trial.inputs():
        mu[:, 1], logvar[:, 1] = 0, 0  # a collapsed unit
        units = trial.call(mu, logvar)
        if abs(float(units[1])) > 1e-6:
            raise Refused(
                f"a unit with mu = 0 and logvar = 0 has {float(units[1]):.3g} nat, "
                "expected 0: its q is the prior."
            )
        if float(units.min()) < -1e-6 or float(units[0]) < 1e-6:
            raise Refused("a unit whose q is not the prior must have a KL above 0.")


def _adds_up_to_the_rate(trial: Trial) -> None:
    for mu, logvar in trial.inputs():
        total = trial.call(mu, logvar).sum()
        trial.expect_close(
            total,
            gaussian_kl(mu, logvar).mean(),
            "your units, summed, must be the rate, the mean over examples",
        )


KL_PER_UNIT = declare(
    WORDS["kl_per_unit"],
    kl_per_unit,
    _posteriors,
    criteria=(
        Criterion("the KL of each unit, averaged over the batch", 2.0, _each_unit),
        Criterion(
            "0 for a unit that equals the prior, else above", 1.0, _zero_at_the_prior
        ),
        Criterion("the units add up to the rate", 1.0, _adds_up_to_the_rate),
        at_the_edges(_hard_posteriors, "for one example, one unit and any variance"),
    ),
    steps={
        **RATE_STEPS,
        "terms": lambda square, variance, log_variance: (
            (square + variance - log_variance - 1) / 2
        ),
        "answer": lambda terms: terms.mean(0),
    },
    mistakes={
        "per_example": lambda terms: terms.sum(1),
        "total": lambda terms: terms.sum(1).mean(),
        "summed_over_batch": lambda terms: terms.sum(0),
        "not_reduced": lambda terms: terms,
        "without_half": lambda answer: 2 * answer,
        "flipped": lambda answer: -answer,
        "averaged_first": lambda mu, logvar: kl_per_unit(
            mu.mean(0)[None], logvar.mean(0)[None]
        ),
        "aggregate": lambda mu, variance: kl_per_unit(
            mu.mean(0)[None], (variance.mean(0) + mu.var(0, correction=0)).log()[None]
        ),
        "variances_averaged_first": lambda mu, variance: kl_per_unit(
            mu.mean(0)[None], variance.mean(0).log()[None]
        ),
        "means_averaged_first": instead(
            square=lambda mu: (mu.mean(0) ** 2).expand_as(mu)
        ),
        "spread_of_means": lambda mu: mu.var(0),
        "spread_of_means_by_n": lambda mu: mu.var(0, correction=0),
        "middle_of_batch": lambda terms: terms.median(0).values,
        "largest_of_batch": lambda terms: terms.amax(0),
        "first_of_batch": lambda terms: terms[0],
        "in_falling_order": lambda answer: answer.sort(descending=True).values,
        "in_rising_order": lambda answer: answer.sort().values,
        "other_direction": lambda square, variance, logvar: (
            (logvar + (1 + square) / variance - 1).mean(0) / 2
        ),
        "means_alone": lambda square: square.mean(0) / 2,
        "mean_over_units": lambda terms: terms.mean(1),
        "squared_logvar": instead(variance=lambda logvar: logvar**2),
        "shares": lambda answer: answer / answer.sum(),
        "squares_and_variances": lambda square, variance: (
            (square + variance).mean(0) / 2
        ),
        "half_minus_logvar": lambda logvar: -logvar.mean(0) / 2,
        "variances_alone": lambda variance: variance.mean(0),
        "spread_of_kls": lambda terms: terms.std(0),
        "precision": instead(logvar=lambda logvar: -logvar),
        "one_missing": lambda answer: answer + 0.5,
        "one_added": lambda answer: answer + 1,
        **RATE_SLIPS,
    },
)


# --- linear_vae_rates ---------------------------------------------------------------


def linear_vae_rates(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    """Rate of each direction at the optimum, in nats: ½ log(λ/(βσ²)), or 0. -> (D,)."""
    return 0.5 * (eigenvalues / (beta * sigma2)).clamp(min=1).log()


def _spectra(generator: torch.Generator) -> list[Arguments]:
    """Eigenvalues on both sides of σ² and of βσ², with β above 1 and below."""
    drawn: list[Arguments] = []
    betas = between(generator, 2.0, 4.0), between(generator, 0.2, 0.45)
    for units, beta in zip((5, 6), betas, strict=True):
        sigma2 = between(generator, 0.3, 0.8)
        low, high = sorted((sigma2, beta * sigma2))
        fixed = torch.tensor([3 * high, (low * high) ** 0.5, 0.5 * low]).double()
        more = low * torch.exp(2.5 * normal(generator, units - 3).abs() - 1)
        drawn.append((torch.cat([fixed, more]).sort(descending=True)[0], beta, sigma2))
    return drawn


def _hard_spectra(generator: torch.Generator) -> dict[str, Arguments]:
    (values, _, sigma2), _ = _spectra(generator)
    some = torch.cat([values, torch.zeros_like(values[:2])])
    return {
        "directions without any variance (λ = 0, whose logarithm is −∞)": (
            some,
            0.5,
            sigma2,
        ),
        "β = 0.0001, where all are active": (values, 1e-4, sigma2),
        "β = 10000, where all are idle": (values, 1e4, sigma2),
        "one direction": (values[:1], 0.5, sigma2),
    }


def _each_direction(trial: Trial) -> None:
    for values, beta, sigma2 in trial.inputs():
        got = trial.call(values, beta, sigma2)
        want = trial.reference(values, beta, sigma2)
        place = int((got - want).abs().argmax())
        trial.expect_close(
            got,
            want,
            f"λ = {float(values[place]):.3f}, β = {beta:.3f}, σ² = {sigma2:.3f}; the "
            "rate",
        )


def _idle_below(trial: Trial) -> None:
    for values, beta, sigma2 in trial.inputs():
        rates = trial.call(values, beta, sigma2)
        for value, rate in zip(values.tolist(), rates.tolist(), strict=True):
            if (value > beta * sigma2) != (rate > 1e-12) or rate < -1e-12:
                raise Refused(
                    f"λ = {value:.3f}, βσ² = {beta * sigma2:.3f}: your rate is "
                    f"{rate:.3f}. It should be above 0 where λ > βσ², else 0."
                )


def _product_decides(trial: Trial) -> None:
    for values, beta, sigma2 in trial.inputs():
        trial.expect_close(
            trial.call(values, 2 * beta, sigma2 / 2),
            trial.call(values, beta, sigma2),
            "the rates change when β doubles and σ² halves",
        )


LINEAR_VAE_RATES = declare(
    WORDS["linear_vae_rates"],
    linear_vae_rates,
    _spectra,
    criteria=(
        Criterion("½ log of what the derivation says", 2.0, _each_direction),
        Criterion("0 exactly where the direction is idle", 1.0, _idle_below),
        Criterion("only the product βσ² matters", 1.0, _product_decides),
        at_the_edges(_hard_spectra, "for λ = 0, and for any β"),
    ),
    steps={
        "level": lambda beta, sigma2: beta * sigma2,
        "ratio": lambda eigenvalues, level: eigenvalues / level,
        "rates": lambda ratio: 0.5 * ratio.log(),  # below 0 where idle
        "capacity": lambda ratio: 0.5 * ratio.log1p(),
        "active": lambda eigenvalues, level: eigenvalues > level,
        "answer": lambda active, rates: torch.where(active, rates, 0.0),
    },
    mistakes={
        "no_half": lambda answer: 2 * answer,
        "negative": lambda rates: rates,
        "beta_forgotten": instead(beta=lambda: 1.0),
        "beta_in_threshold_only": instead(
            rates=lambda eigenvalues, sigma2: 0.5 * (eigenvalues / sigma2).log()
        ),
        "beta_in_rate_only": instead(
            active=lambda eigenvalues, sigma2: eigenvalues > sigma2
        ),
        "times_beta": lambda answer, beta: beta * answer,
        "beta_upstairs": instead(beta=lambda beta: 1 / beta),
        "loadings": lambda eigenvalues, level: (eigenvalues - level).clamp(min=0),
        "capacity": lambda capacity: capacity,
        "capacity_of_active": instead(rates=lambda capacity: capacity),
        "squared_again": instead(sigma2=lambda sigma2: sigma2**2),
        "bits": lambda answer: answer / math.log(2),
        "sum_of_rates": lambda answer: answer.sum(),
        "upside_down": lambda rates: (-rates).clamp(min=0),
        "verdicts": lambda active: active.double(),
        "variances": lambda ratio: (1 / ratio).clamp(max=1),
        "sigma2_forgotten": instead(sigma2=lambda: 1.0),
        "beta_plus_sigma2": instead(level=lambda beta, sigma2: beta + sigma2),
        "by_sigma": instead(sigma2=lambda sigma2: math.sqrt(sigma2)),
        "size_of_log": lambda rates: rates.abs(),
        "clamped_above": lambda rates: rates.clamp(max=0),
        "log_of_loading": instead(
            rates=lambda eigenvalues, level: (
                0.5 * ((eigenvalues - level) / level).clamp(min=1e-12).log()
            )
        ),
        "noise_subtracted": lambda eigenvalues, sigma2, level: (
            0.5 * ((eigenvalues - sigma2) / level).clamp(min=1).log()
        ),
        "saving": lambda answer, ratio: 0.5 * (ratio.clamp(min=1) - 1) - answer,
        "loading_lengths": lambda eigenvalues, level: (
            (eigenvalues - level).clamp(min=0).sqrt()
        ),
        "ratios": lambda active, ratio: torch.where(active, ratio, 0.0),
        "shares_of_variance": instead(
            eigenvalues=lambda eigenvalues: eigenvalues / eigenvalues.sum()
        ),
        "shares_of_largest": instead(
            eigenvalues=lambda eigenvalues: eigenvalues / eigenvalues.max()
        ),
        "capped_at_one": lambda answer: answer.clamp(max=1),
        "times_beta_at_sigma2": lambda eigenvalues, beta, sigma2: (
            0.5 * beta * (eigenvalues / sigma2).clamp(min=1).log()
        ),
        "loading_unscaled": lambda eigenvalues, level: (
            0.5 * (eigenvalues - level).clamp(min=0).log1p()
        ),
        "at_least_one_nat": lambda rates: rates.clamp(min=1),
        "at_least_one_before_half": lambda rates: 0.5 * (2 * rates).clamp(min=1),
        "threshold_beta": instead(active=lambda eigenvalues, beta: eigenvalues > beta),
        "threshold_one": instead(active=lambda eigenvalues: eigenvalues > 1),
        "active_alone": lambda active, rates: rates[active],
    },
)


# --- free_bits ----------------------------------------------------------------------


def free_bits(kl: Tensor, floor: float) -> Tensor:
    """Sum over units of max(floor, mean over the batch of kl), in nats: 0-d."""
    return kl.mean(0).clamp(min=floor).sum()


def _kls(generator: torch.Generator) -> list[Arguments]:
    """KLs in units of the floor: some units above it; one busy, the rest idle; none.

    In the second the totals of the examples lie on both sides of K floors.
    """
    drawn: list[Arguments] = []
    for count, sizes in (
        (7, (3.5, 2.0, 0.6)),
        (11, (4.5, 0.3, 0.4, 0.5, 0.2)),
        (9, (0.05, 0.1, 0.1, 0.4)),
    ):
        floor = between(generator, 0.2, 0.5)
        scatter = 0.3 + torch.rand(count, len(sizes), generator=generator).double()
        kl = floor * torch.tensor(sizes).double() * scatter
        kl[0, -1] = 1.5 * floor  # above the floor in one example, below on average
        drawn.append((kl, floor))
    return drawn


def _hard_kls(generator: torch.Generator) -> dict[str, Arguments]:
    (kl, floor), *_ = _kls(generator)
    collapsed = kl.clone()
    collapsed[:, 1] = 0
    return {
        "a batch of one example": (kl[:1], floor),
        "a model with one unit": (kl[:, :1], floor),
        "a unit that has collapsed": (collapsed, floor),
        "a floor of 0": (kl, 0.0),
        "a floor above all units": (kl, 40.0),
    }


def _worked(trial: Trial) -> None:
    for kl, floor in trial.inputs():
        means = ", ".join(f"{mean:.3f}" for mean in kl.mean(0).tolist())
        trial.expect_close(
            trial.call(kl, floor),
            trial.reference(kl, floor),
            f"with units of {means} nats, averaged over the batch, and a floor of "
            f"{floor:.3f}",
        )


def _slopes(trial: Trial) -> None:
    for kl, floor in trial.inputs():
        trial.call(kl, floor)
        given = kl.clone().requires_grad_()
        answer = trial.raw(given, floor)
        want = (kl.mean(0) > floor).double().expand_as(kl) / len(kl)
        if getattr(answer, "requires_grad", False):
            try:
                (slope,) = torch.autograd.grad(answer, given, materialize_grads=True)
            except RuntimeError as error:
                raise Refused(f"no gradient can be taken: {error}") from None
            trial.expect_close(
                slope, want, "the slope in kl, 0 for a unit below the floor, else 1/N"
            )
        elif want.any():  # else all floors: a constant, and rightly so
            raise Refused(
                "no gradient comes back from your result: stay in tensors, without "
                ".item(), .detach() or float()."
            )


def _no_floor(trial: Trial) -> None:
    for kl, _ in trial.inputs():
        got = trial.call(kl, 0.0)
        trial.expect_close(got, kl.sum(1).mean(), "with the floor at 0, the plain rate")


FREE_BITS = declare(
    WORDS["free_bits"],
    free_bits,
    _kls,
    criteria=(
        Criterion("the floor holds for each unit's batch mean", 2.0, _worked),
        Criterion("no slope below the floor, 1/N above", 1.0, _slopes),
        Criterion("with floor 0 it is the plain rate", 1.0, _no_floor),
        at_the_edges(_hard_kls, "for one example, one unit and any floor"),
    ),
    gradients=(0,),
    steps={
        "K": lambda kl: kl.shape[1],
        "rate": lambda kl: kl.sum(1).mean(),
        "units": lambda kl: kl.mean(0),
        "floored": lambda units, floor: units.clamp(min=floor),
        "answer": lambda floored: floored.sum(),
    },
    mistakes={
        "per_example": lambda kl, floor: kl.clamp(min=floor).sum(1).mean(),
        "total": lambda rate, floor: rate.clamp(min=floor),
        "total_of_each_example": lambda kl, floor: kl.sum(1).clamp(min=floor).mean(),
        "total_times_k": lambda rate, floor, K: rate.clamp(min=floor * K),
        "ceiling": instead(floored=lambda units, floor: units.clamp(max=floor)),
        "batch_sum": instead(units=lambda kl: kl.sum(0)),
        "added": instead(floored=lambda units, floor: units + floor),
        "excess": instead(floored=lambda units, floor: (units - floor).clamp(min=0)),
        "unit_mean": lambda floored: floored.mean(),
        "shared_floor": instead(floor=lambda floor, K: floor / K),
        "not_summed": lambda floored: floored,
        "dropped": instead(floored=lambda units, floor: units * (units > floor)),
        "over_units": instead(units=lambda kl: kl.mean(1)),
        "ignored": lambda rate: rate,
        "total_of_each_example_times_k": lambda kl, floor, K: (
            kl.sum(1).clamp(min=floor * K).mean()
        ),
        "floor_by_n": instead(floor=lambda kl, floor: floor / len(kl)),
        "floor_times_n": instead(floor=lambda kl, floor: floor * len(kl)),
        "floor_0.1": instead(floor=lambda: 0.1),
        "floor_0.3": instead(floor=lambda: 0.3),
        "added_once": lambda rate, floor: rate + floor,
        "subtracted": lambda rate, floor: rate - floor,
        "distance": instead(floored=lambda units, floor: (units - floor).abs()),
        "softened": instead(
            floored=lambda units, floor: (
                floor + torch.nn.functional.softplus(units - floor)
            )
        ),
        "floors_of_active": instead(
            floored=lambda units, floor: floor * (units > floor)
        ),
        "largest_unit": lambda floored: floored.max(),
        "largest_of_batch": instead(units=lambda kl: kl.amax(0)),
        "middle_of_batch": instead(units=lambda kl: kl.median(0).values),
        "multiplied": instead(floored=lambda units, floor: units * floor),
        "total_times_n": lambda kl, rate, floor: rate.clamp(min=floor * len(kl)),
        "cut_off": lambda answer: answer.detach(),
        "slope_everywhere": instead(
            floored=lambda units, floor: units + (floor - units).clamp(min=0).detach()
        ),
    },
)

EXERCISES = (IWAE_BOUND, KL_PER_UNIT, LINEAR_VAE_RATES, FREE_BITS)
