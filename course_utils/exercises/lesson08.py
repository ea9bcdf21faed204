"""Exercises of lesson 08: weighted bound, KL per unit, linear rates, free bits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.grading.criteria import agrees, between, normal
from course_utils.grading.declare import declare, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.objectives import gaussian_kl, iwae_bound

WORDS = words_beside(__file__)


# --- iwae_bound ---------------------------------------------------------------------


def _weights(generator: torch.Generator) -> list[Arguments]:
    """Ordinary log-weights, and some that no exponential survives; S is never N."""
    ordinary = 2 * normal(generator, 5, 3) - 1
    extreme = normal(generator, 7, 4)
    # Means far apart: one maximum for the whole batch does not help either.
    far = torch.tensor([-900.0, 900.0, 0.0, -1800.0], dtype=torch.float64)
    return [(ordinary,), (extreme + far + 9 * normal(generator, 4),)]


def _stays_finite(trial: Trial) -> None:
    _, (log_weights,) = trial.inputs()
    got, want = trial.call(log_weights), trial.reference(log_weights)
    trial.expect_close(got, want, "with log-weights near -900 or 900")


def _columns_stand_alone(trial: Trial) -> None:
    for (log_weights,) in trial.inputs():
        whole = trial.call(log_weights)
        for index in (slice(0, 1), slice(1, 3)):
            trial.expect_close(
                trial.call(log_weights[:, index]),
                whole[index],
                "the bound of an example changes with the others in its batch",
            )


def _ordinary(generator: torch.Generator) -> list[Arguments]:
    return _weights(generator)[:1]


def _one_maximum(log_weights: Tensor) -> Tensor:
    top = log_weights.max()
    return top + (log_weights - top).exp().mean(0).log()


IWAE_BOUND = declare(
    WORDS["iwae_bound"],
    iwae_bound,
    _weights,
    criteria=(
        agrees("the logarithm of the mean weight", 3.0, _ordinary),
        Criterion("no overflow, no underflow", 1.0, _stays_finite),
        Criterion("each example on its own", 1.0, _columns_stand_alone),
    ),
    mistakes={
        "mean_of_logs": lambda log_weights: log_weights.mean(0),
        "not_divided": lambda log_weights: torch.logsumexp(log_weights, 0),
        "overflows": lambda log_weights: log_weights.exp().mean(0).log(),
        "over_examples": lambda log_weights: (
            torch.logsumexp(log_weights, 1) - math.log(log_weights.shape[1])
        ),
        "batch_inside": lambda log_weights: (
            torch.logsumexp(log_weights.flatten(), 0) - math.log(log_weights.numel())
        ),
        "batch_mean": lambda log_weights: iwae_bound(log_weights).mean(),
        "largest": lambda log_weights: log_weights.amax(0),
        "divided_outside": lambda log_weights: (
            torch.logsumexp(log_weights, 0) / len(log_weights)
        ),
        "log_added": lambda log_weights: (
            torch.logsumexp(log_weights, 0) + math.log(len(log_weights))
        ),
        "batch_size": lambda log_weights: (
            torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[1])
        ),
        "not_shifted_back": lambda log_weights: (
            (log_weights - log_weights.amax(0)).exp().mean(0).log()
        ),
        "one_maximum": _one_maximum,
        "without_log": lambda log_weights: log_weights.exp().mean(0),
        "as_loss": lambda log_weights: -iwae_bound(log_weights),
        "softmax_weighted": lambda log_weights: (
            torch.softmax(log_weights, 0) * log_weights
        ).sum(0),
    },
)


# --- kl_per_unit --------------------------------------------------------------------


def kl_per_unit(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(q(z_k|x) ‖ N(0, 1)) of each unit, averaged over the batch: -> (K,)."""
    return 0.5 * (mu**2 + torch.expm1(logvar) - logvar).mean(0)


def _posteriors(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for count, units in ((7, 3), (11, 5)):
        mu = normal(generator, count, units) + 0.5
        drawn.append((mu, normal(generator, count, units) - 0.7))
    return drawn


def _zero_at_the_prior(trial: Trial) -> None:
    for mu, logvar in trial.inputs():
        mu[:, 1], logvar[:, 1] = 0, 0  # a collapsed unit
        units = trial.call(mu, logvar)
        if abs(float(units[1])) > 1e-9:
            raise Refused(
                f"a unit with mu = 0 and logvar = 0 has {float(units[1]):.3g} nat, "
                "expected 0: its q is the prior."
            )
        if float(units.min()) < -1e-9 or float(units[0]) < 1e-9:
            raise Refused("a unit whose q is not the prior must have a KL above 0.")


def _adds_up_to_the_rate(trial: Trial) -> None:
    for mu, logvar in trial.inputs():
        total = trial.call(mu, logvar).sum()
        trial.expect_close(total, gaussian_kl(mu, logvar).mean(), "summed over units")


def _aggregate(mu: Tensor, logvar: Tensor) -> Tensor:
    variance = logvar.exp().mean(0) + mu.var(0, correction=0)
    return kl_per_unit(mu.mean(0)[None], variance.log()[None])


KL_PER_UNIT = declare(
    WORDS["kl_per_unit"],
    kl_per_unit,
    _posteriors,
    criteria=(
        agrees("the KL of each unit, averaged over the batch", 3.0),
        Criterion(
            "0 for a unit that equals the prior, else above", 1.0, _zero_at_the_prior
        ),
        Criterion("the units add up to the rate", 1.0, _adds_up_to_the_rate),
    ),
    mistakes={
        "per_example": lambda mu, logvar: gaussian_kl(mu, logvar),
        "total": lambda mu, logvar: gaussian_kl(mu, logvar).mean(),
        "summed_over_batch": lambda mu, logvar: kl_per_unit(mu, logvar) * len(mu),
        "not_reduced": lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - logvar - 1),
        "without_half": lambda mu, logvar: 2 * kl_per_unit(mu, logvar),
        "log_sigma": lambda mu, logvar: kl_per_unit(mu, 2 * logvar),
        "flipped": lambda mu, logvar: -kl_per_unit(mu, logvar),
        "averaged_first": lambda mu, logvar: kl_per_unit(
            mu.mean(0, keepdim=True), logvar.mean(0, keepdim=True)
        ),
        "aggregate": _aggregate,
        "spread_of_means": lambda mu: mu.var(0),
        "other_direction": lambda mu, logvar: (
            0.5 * (logvar + (1 + mu**2) / logvar.exp() - 1).mean(0)
        ),
        "means_alone": lambda mu: 0.5 * (mu**2).mean(0),
        "mean_over_units": lambda mu, logvar: gaussian_kl(mu, logvar) / mu.shape[1],
        "squared_logvar": lambda mu, logvar: (
            0.5 * (mu**2 + logvar**2 - logvar - 1).mean(0)
        ),
        "sigma_for_variance": lambda mu, logvar: (
            0.5 * (mu**2 + (logvar / 2).exp() - logvar - 1).mean(0)
        ),
        "one_missing": lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - logvar).mean(0),
    },
)


# --- linear_vae_rates ---------------------------------------------------------------


def linear_vae_rates(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    """Rate of each direction at the linear VAE's optimum: ½ log(λ/(βσ²)), or 0."""
    return 0.5 * (eigenvalues / (beta * sigma2)).clamp(min=1).log()


def _spectra(generator: torch.Generator) -> list[Arguments]:
    """Eigenvalues on both sides of σ² and of βσ², with β above 1 and below."""
    drawn: list[Arguments] = []
    for units, beta in (
        (5, between(generator, 2.0, 4.0)),
        (6, between(generator, 0.2, 0.45)),
    ):
        sigma2 = between(generator, 0.3, 0.8)
        low, high = sorted((sigma2, beta * sigma2))
        fixed = torch.tensor([3 * high, (low * high) ** 0.5, 0.5 * low]).double()
        more = low * torch.exp(2.5 * normal(generator, units - 3).abs() - 1)
        drawn.append((torch.cat([fixed, more]).sort(descending=True)[0], beta, sigma2))
    return drawn


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


def _beta_in_threshold_only(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    rates = 0.5 * (eigenvalues / sigma2).log()
    return torch.where(eigenvalues > beta * sigma2, rates, torch.zeros_like(rates))


def _beta_in_rate_only(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    rates = 0.5 * (eigenvalues / (beta * sigma2)).log()
    return torch.where(eigenvalues > sigma2, rates, torch.zeros_like(rates))


def _capacity(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return 0.5 * torch.log1p(eigenvalues / (beta * sigma2))


def _capacity_of_active(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    rates = _capacity(eigenvalues, beta, sigma2)
    return torch.where(eigenvalues > beta * sigma2, rates, torch.zeros_like(rates))


LINEAR_VAE_RATES = declare(
    WORDS["linear_vae_rates"],
    linear_vae_rates,
    _spectra,
    criteria=(
        agrees("½ log of what the derivation says", 3.0),
        Criterion("0 exactly where the direction is idle", 1.0, _idle_below),
        Criterion("only the product βσ² matters", 1.0, _product_decides),
    ),
    mistakes={
        "no_half": lambda eigenvalues, beta, sigma2: (
            2 * linear_vae_rates(eigenvalues, beta, sigma2)
        ),
        "negative": lambda eigenvalues, beta, sigma2: (
            0.5 * (eigenvalues / (beta * sigma2)).log()
        ),
        "beta_forgotten": lambda eigenvalues, sigma2: linear_vae_rates(
            eigenvalues, 1.0, sigma2
        ),
        "beta_in_threshold_only": _beta_in_threshold_only,
        "beta_in_rate_only": _beta_in_rate_only,
        "times_beta": lambda eigenvalues, beta, sigma2: (
            beta * linear_vae_rates(eigenvalues, beta, sigma2)
        ),
        "beta_upstairs": lambda eigenvalues, beta, sigma2: linear_vae_rates(
            eigenvalues, 1 / beta, sigma2
        ),
        "loadings": lambda eigenvalues, beta, sigma2: (
            eigenvalues - beta * sigma2
        ).clamp(min=0),
        "capacity": _capacity,
        "capacity_of_active": _capacity_of_active,
        "squared_again": lambda eigenvalues, beta, sigma2: linear_vae_rates(
            eigenvalues, beta, sigma2**2
        ),
        "bits": lambda eigenvalues, beta, sigma2: (
            linear_vae_rates(eigenvalues, beta, sigma2) / math.log(2)
        ),
        "sum_of_rates": lambda eigenvalues, beta, sigma2: linear_vae_rates(
            eigenvalues, beta, sigma2
        ).sum(),
        "upside_down": lambda eigenvalues, beta, sigma2: (
            0.5 * (beta * sigma2 / eigenvalues).clamp(min=1).log()
        ),
        "verdicts": lambda eigenvalues, beta, sigma2: (eigenvalues > beta * sigma2).to(
            eigenvalues.dtype
        ),
        "variances": lambda eigenvalues, beta, sigma2: (
            beta * sigma2 / eigenvalues
        ).clamp(max=1),
    },
)


# --- free_bits ----------------------------------------------------------------------


def free_bits(kl: Tensor, floor: float) -> Tensor:
    """Sum over units of max(floor, mean over the batch of kl): (N, K) -> 0-d."""
    return kl.mean(0).clamp(min=floor).sum()


def _kls(generator: torch.Generator) -> list[Arguments]:
    """KLs in units of the floor: some units above it; one busy, the rest idle; none."""
    drawn: list[Arguments] = []
    for count, sizes in (
        (7, (3.5, 2.0, 0.6)),
        (11, (2.5, 0.3, 0.4, 0.5, 0.2)),
        (9, (0.05, 0.1, 0.1, 0.4)),
    ):
        floor = between(generator, 0.2, 0.5)
        scatter = 0.3 + torch.rand(count, len(sizes), generator=generator).double()
        kl = floor * torch.tensor(sizes).double() * scatter
        kl[0, -1] = 1.5 * floor  # above the floor in one example, below on average
        drawn.append((kl, floor))
    return drawn


def _slopes(trial: Trial) -> None:
    for kl, floor in trial.inputs():
        trial.call(kl, floor)
        given = kl.clone().requires_grad_()
        answer = trial.raw(given, floor)
        want = (kl.mean(0) > floor).double().expand_as(kl) / len(kl)
        if getattr(answer, "requires_grad", False):
            (slope,) = torch.autograd.grad(answer, given, allow_unused=True)
            slope = torch.zeros_like(kl) if slope is None else slope
        elif not want.any():
            continue  # all floors: a constant, and rightly so
        else:
            raise Refused(
                "no gradient comes back from your result: stay in tensors, without "
                ".item(), .detach() or float()."
            )
        trial.expect_close(slope, want, "the slope in kl")


def _no_floor(trial: Trial) -> None:
    for kl, _ in trial.inputs():
        got = trial.call(kl, 0.0)
        trial.expect_close(got, kl.sum(1).mean(), "with the floor at 0, the plain rate")


def _dropped(kl: Tensor, floor: float) -> Tensor:
    units = kl.mean(0)
    return (units * (units > floor)).sum()


FREE_BITS = declare(
    WORDS["free_bits"],
    free_bits,
    _kls,
    criteria=(
        agrees("the floor holds for each unit's batch mean", 3.0),
        Criterion("no slope below the floor, 1/N above", 1.0, _slopes),
        Criterion("with floor 0 it is the plain rate", 1.0, _no_floor),
    ),
    mistakes={
        "per_example": lambda kl, floor: kl.clamp(min=floor).sum(1).mean(),
        "total": lambda kl, floor: kl.sum(1).mean().clamp(min=floor),
        "total_of_each_example": lambda kl, floor: kl.sum(1).clamp(min=floor).mean(),
        "total_times_k": lambda kl, floor: (
            kl.sum(1).mean().clamp(min=floor * kl.shape[1])
        ),
        "ceiling": lambda kl, floor: kl.mean(0).clamp(max=floor).sum(),
        "batch_sum": lambda kl, floor: kl.sum(0).clamp(min=floor).sum(),
        "added": lambda kl, floor: (kl.mean(0) + floor).sum(),
        "excess": lambda kl, floor: (kl.mean(0) - floor).clamp(min=0).sum(),
        "unit_mean": lambda kl, floor: kl.mean(0).clamp(min=floor).mean(),
        "shared_floor": lambda kl, floor: (
            kl.mean(0).clamp(min=floor / kl.shape[1]).sum()
        ),
        "not_summed": lambda kl, floor: kl.mean(0).clamp(min=floor),
        "dropped": _dropped,
        "over_units": lambda kl, floor: kl.mean(1).clamp(min=floor).sum(),
        "ignored": lambda kl: kl.sum(1).mean(),
    },
)

EXERCISES = (IWAE_BOUND, KL_PER_UNIT, LINEAR_VAE_RATES, FREE_BITS)
