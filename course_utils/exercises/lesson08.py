"""Exercises of lesson 08: weighted bound, KL per unit, linear rates, free bits."""

from __future__ import annotations

import math

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
    normal,
)
from course_utils.objectives import gaussian_kl, iwae_bound

# --- iwae_bound ---------------------------------------------------------------------


def _weights(generator: torch.Generator) -> list[Arguments]:
    """Ordinary log-weights, and some that no exponential survives; S is never N."""
    ordinary = 2 * normal(generator, 5, 3) - 1
    extreme = normal(generator, 7, 4)
    # Means far apart: one maximum for the whole batch does not help either.
    far = torch.tensor([-900.0, 900.0, 0.0, -1800.0], dtype=torch.float64)
    return [(ordinary,), (extreme + far + 9 * normal(generator, 4),)]


def _stays_finite(trial: Trial) -> None:
    _, (log_weights,) = trial.probes()
    got, want = trial.call(log_weights), trial.reference(log_weights)
    trial.expect_close(got, want, "with log-weights near -900 or 900")


def _columns_stand_alone(trial: Trial) -> None:
    for (log_weights,) in trial.probes():
        whole = trial.call(log_weights)
        for index in (slice(0, 1), slice(1, 3)):
            trial.expect_close(
                trial.call(log_weights[:, index]),
                whole[index],
                "the bound of an example changes with the others in its batch",
            )


def _ordinary(generator: torch.Generator) -> list[Arguments]:
    return _weights(generator)[:1]


def _mean_of_logs(log_weights: Tensor) -> Tensor:
    return log_weights.mean(0)


def _not_divided(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0)


def _overflows(log_weights: Tensor) -> Tensor:
    return log_weights.exp().mean(0).log()


def _over_examples(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 1) - math.log(log_weights.shape[1])


def _batch_inside(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights.flatten(), 0) - math.log(log_weights.numel())


def _batch_mean(log_weights: Tensor) -> Tensor:
    return iwae_bound(log_weights).mean()


def _largest(log_weights: Tensor) -> Tensor:
    return log_weights.amax(0)


def _divided_outside(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0) / len(log_weights)


def _log_added(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0) + math.log(len(log_weights))


def _batch_size(log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[1])


def _not_shifted_back(log_weights: Tensor) -> Tensor:
    return (log_weights - log_weights.amax(0)).exp().mean(0).log()


def _one_maximum(log_weights: Tensor) -> Tensor:
    top = log_weights.max()
    return top + (log_weights - top).exp().mean(0).log()


def _without_log(log_weights: Tensor) -> Tensor:
    return log_weights.exp().mean(0)


def _as_loss(log_weights: Tensor) -> Tensor:
    return -iwae_bound(log_weights)


def _softmax_weighted(log_weights: Tensor) -> Tensor:
    return (torch.softmax(log_weights, 0) * log_weights).sum(0)


IWAE_BOUND = Exercise(
    name="iwae_bound",
    title="the bound from S weighted samples",
    reference=iwae_bound,
    returns="(N,) bound of each example, in nats",
    probes=_weights,
    criteria=(
        agrees("the logarithm of the mean weight", 3.0, _ordinary),
        Criterion("no overflow, no underflow", 1.0, _stays_finite),
        Criterion("each example on its own", 1.0, _columns_stand_alone),
    ),
    misconceptions=(
        Misconception(
            "mean_of_logs",
            "This is the mean of the logarithms, an ELBO from S samples: more samples "
            "only lower its noise. Average the *weights*, then take the logarithm.",
            _mean_of_logs,
        ),
        Misconception(
            "not_divided",
            "This is the logarithm of the *sum* of the weights: the mean has 1/S, so "
            "subtract log S.",
            _not_divided,
        ),
        Misconception(
            "overflows",
            "The formula is right, but exp of a log-weight of ±900 is infinite or 0 in "
            "floating point: use torch.logsumexp, or subtract each example's largest "
            "log-weight first and add it at the end.",
            _overflows,
        ),
        Misconception(
            "over_examples",
            "You averaged over the examples: dimension 0 holds the S samples of each "
            "example, dimension 1 the examples.",
            _over_examples,
        ),
        Misconception(
            "batch_inside",
            "The examples were averaged inside the logarithm too: the bound is one "
            "number per example, and the mean over the batch comes after it.",
            _batch_inside,
        ),
        Misconception(
            "batch_mean",
            "This is averaged over the batch already: return one number per example.",
            _batch_mean,
        ),
        Misconception(
            "largest",
            "This is the largest log-weight alone: the other weights count as well.",
            _largest,
        ),
        Misconception(
            "divided_outside",
            "The 1/S stands inside the logarithm: there it is − log S, not a division "
            "of the result by S.",
            _divided_outside,
        ),
        Misconception(
            "log_added",
            "log S has the wrong sign: log(sum / S) = log(sum) − log S.",
            _log_added,
        ),
        Misconception(
            "batch_size",
            "You subtracted the logarithm of the number of examples: divide by the "
            "number of samples S, which is the length of dimension 0.",
            _batch_size,
        ),
        Misconception(
            "not_shifted_back",
            "The largest log-weight was subtracted for safety and never added back.",
            _not_shifted_back,
        ),
        Misconception(
            "one_maximum",
            "One maximum for the whole batch: an example whose weights are far below "
            "it underflows to log 0. Subtract each example's own maximum.",
            _one_maximum,
        ),
        Misconception(
            "without_log",
            "This is the mean weight, an estimate of p(x): the bound is its logarithm.",
            _without_log,
        ),
        Misconception(
            "as_loss",
            "The sign is that of a loss: return the bound itself.",
            _as_loss,
        ),
        Misconception(
            "softmax_weighted",
            "This weights the log-weights by the normalised weights, which is no bound "
            "on log p(x): take the logarithm of the plain mean of the weights.",
            _softmax_weighted,
        ),
    ),
    hints=(
        "In words: exponentiate, average over the S samples, take the logarithm. Then "
        "ask what exp(900) is.",
        "torch.logsumexp(log_weights, 0) is log Σ_s w_s without overflow.",
        "The mean is the sum divided by S, so subtract math.log(len(log_weights)).",
    ),
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
    for mu, logvar in trial.probes():
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
    for mu, logvar in trial.probes():
        total = trial.call(mu, logvar).sum()
        trial.expect_close(total, gaussian_kl(mu, logvar).mean(), "summed over units")


def _per_example(mu: Tensor, logvar: Tensor) -> Tensor:
    return gaussian_kl(mu, logvar)


def _total(mu: Tensor, logvar: Tensor) -> Tensor:
    return gaussian_kl(mu, logvar).mean()


def _summed_over_batch(mu: Tensor, logvar: Tensor) -> Tensor:
    return kl_per_unit(mu, logvar) * len(mu)


def _not_reduced(mu: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1)


def _without_half(mu: Tensor, logvar: Tensor) -> Tensor:
    return 2 * kl_per_unit(mu, logvar)


def _log_sigma(mu: Tensor, logvar: Tensor) -> Tensor:
    return kl_per_unit(mu, 2 * logvar)


def _flipped(mu: Tensor, logvar: Tensor) -> Tensor:
    return -kl_per_unit(mu, logvar)


def _averaged_first(mu: Tensor, logvar: Tensor) -> Tensor:
    return kl_per_unit(mu.mean(0, keepdim=True), logvar.mean(0, keepdim=True))


def _aggregate(mu: Tensor, logvar: Tensor) -> Tensor:
    variance = logvar.exp().mean(0) + mu.var(0, correction=0)
    return kl_per_unit(mu.mean(0)[None], variance.log()[None])


def _spread_of_means(mu: Tensor, logvar: Tensor) -> Tensor:
    return mu.var(0)


def _other_direction(mu: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (logvar + (1 + mu**2) / logvar.exp() - 1).mean(0)


def _means_alone(mu: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (mu**2).mean(0)


def _mean_over_units(mu: Tensor, logvar: Tensor) -> Tensor:
    return gaussian_kl(mu, logvar) / mu.shape[1]


def _sigma_for_variance(mu: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (mu**2 + (logvar / 2).exp() - logvar - 1).mean(0)


def _one_missing(mu: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (mu**2 + logvar.exp() - logvar).mean(0)


def _squared_logvar(mu: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (mu**2 + logvar**2 - logvar - 1).mean(0)


KL_PER_UNIT = Exercise(
    name="kl_per_unit",
    title="which latent units are used",
    reference=kl_per_unit,
    returns="(K,) mean KL of each unit, in nats",
    probes=_posteriors,
    criteria=(
        agrees("the KL of each unit, averaged over the batch", 3.0),
        Criterion(
            "0 for a unit that equals the prior, else above", 1.0, _zero_at_the_prior
        ),
        Criterion("the units add up to the rate", 1.0, _adds_up_to_the_rate),
    ),
    misconceptions=(
        Misconception(
            "per_example",
            "You summed over the units: that is each example's rate. Keep the units "
            "and average over the examples.",
            _per_example,
        ),
        Misconception(
            "total",
            "This is the total rate, one number: it cannot tell one busy unit from ten "
            "idle ones. Return one number per unit.",
            _total,
        ),
        Misconception(
            "summed_over_batch",
            "Summed over the examples, the KL grows with the batch: take their mean.",
            _summed_over_batch,
        ),
        Misconception(
            "not_reduced",
            "This is one number per example and unit: average over the examples.",
            _not_reduced,
        ),
        Misconception(
            "without_half",
            "The factor ½ in front of the KL is missing: this is twice too large.",
            _without_half,
        ),
        Misconception(
            "log_sigma",
            "logvar is log σ², so σ² = exp(logvar): you used exp(2 · logvar), which "
            "reads it as log σ.",
            _log_sigma,
        ),
        Misconception(
            "flipped",
            "The sign is flipped: a KL is never negative.",
            _flipped,
        ),
        Misconception(
            "averaged_first",
            "You averaged mu and logvar over the examples first: means of both signs "
            "cancel, and an active unit looks idle. Average the KLs.",
            _averaged_first,
        ),
        Misconception(
            "aggregate",
            "This compares the mixture of all q(z|x) with the prior, through its mean "
            "and variance: a well used unit has a *small* value there. Average the KL "
            "of each example's q.",
            _aggregate,
        ),
        Misconception(
            "spread_of_means",
            "This is the variance of the means, another sign of activity and in no "
            "nats: asked for is the KL.",
            _spread_of_means,
        ),
        Misconception(
            "other_direction",
            "This is KL(prior ‖ q): the rate is KL(q ‖ prior).",
            _other_direction,
        ),
        Misconception(
            "means_alone",
            "Only the means are in it: a unit with σ² far from 1 has a KL as well.",
            _means_alone,
        ),
        Misconception(
            "mean_over_units",
            "The average runs over the units and leaves the examples: it is the other "
            "way round.",
            _mean_over_units,
        ),
        Misconception(
            "squared_logvar",
            "logvar was squared where it should be exponentiated: σ² = exp(logvar).",
            _squared_logvar,
        ),
        Misconception(
            "sigma_for_variance",
            "exp(logvar / 2) is σ: the KL has σ² = exp(logvar) in this place.",
            _sigma_for_variance,
        ),
        Misconception(
            "one_missing",
            "The −1 is missing: a unit that equals the prior then has ½ nat, not 0.",
            _one_missing,
        ),
    ),
    hints=(
        "Write down the KL of one unit of one example first: mean mu, variance "
        "exp(logvar), against N(0, 1).",
        "½ (mu² + exp(logvar) − logvar − 1), elementwise, has shape (N, K). Which of "
        "the two dimensions has to go?",
        "End with .mean(0): the mean over the examples, one number per unit.",
    ),
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
    for values, beta, sigma2 in trial.probes():
        rates = trial.call(values, beta, sigma2)
        for value, rate in zip(values.tolist(), rates.tolist(), strict=True):
            if (value > beta * sigma2) != (rate > 1e-12) or rate < -1e-12:
                raise Refused(
                    f"λ = {value:.3f}, βσ² = {beta * sigma2:.3f}: your rate is "
                    f"{rate:.3f}. It should be above 0 where λ > βσ², else 0."
                )


def _product_decides(trial: Trial) -> None:
    for values, beta, sigma2 in trial.probes():
        trial.expect_close(
            trial.call(values, 2 * beta, sigma2 / 2),
            trial.call(values, beta, sigma2),
            "the rates change when β doubles and σ² halves",
        )


def _no_half(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return 2 * linear_vae_rates(eigenvalues, beta, sigma2)


def _negative(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return 0.5 * (eigenvalues / (beta * sigma2)).log()


def _beta_forgotten(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return linear_vae_rates(eigenvalues, 1.0, sigma2)


def _beta_in_threshold_only(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    rates = 0.5 * (eigenvalues / sigma2).log()
    return torch.where(eigenvalues > beta * sigma2, rates, torch.zeros_like(rates))


def _beta_in_rate_only(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    rates = 0.5 * (eigenvalues / (beta * sigma2)).log()
    return torch.where(eigenvalues > sigma2, rates, torch.zeros_like(rates))


def _times_beta(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return beta * linear_vae_rates(eigenvalues, beta, sigma2)


def _beta_upstairs(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return linear_vae_rates(eigenvalues, 1 / beta, sigma2)


def _loadings(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return (eigenvalues - beta * sigma2).clamp(min=0)


def _capacity(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return 0.5 * torch.log1p(eigenvalues / (beta * sigma2))


def _capacity_of_active(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    rates = _capacity(eigenvalues, beta, sigma2)
    return torch.where(eigenvalues > beta * sigma2, rates, torch.zeros_like(rates))


def _squared_again(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return linear_vae_rates(eigenvalues, beta, sigma2**2)


def _bits(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return linear_vae_rates(eigenvalues, beta, sigma2) / math.log(2)


def _sum_of_rates(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return linear_vae_rates(eigenvalues, beta, sigma2).sum()


def _upside_down(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return 0.5 * (beta * sigma2 / eigenvalues).clamp(min=1).log()


def _verdicts(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return (eigenvalues > beta * sigma2).to(eigenvalues.dtype)


def _variances(eigenvalues: Tensor, beta: float, sigma2: float) -> Tensor:
    return (beta * sigma2 / eigenvalues).clamp(max=1)


LINEAR_VAE_RATES = Exercise(
    name="linear_vae_rates",
    title="which directions a linear VAE keeps",
    reference=linear_vae_rates,
    returns="(K,) rate of each direction, in nats",
    probes=_spectra,
    criteria=(
        agrees("½ log of what the derivation says", 3.0),
        Criterion("0 exactly where the direction is idle", 1.0, _idle_below),
        Criterion("only the product βσ² matters", 1.0, _product_decides),
    ),
    misconceptions=(
        Misconception(
            "no_half",
            "The factor ½ is missing: the rate is −½ log s with s = βσ²/λ.",
            _no_half,
        ),
        Misconception(
            "negative",
            "Below the threshold this is negative: there the best loading is 0, q is "
            "the prior, and the rate is 0.",
            _negative,
        ),
        Misconception(
            "beta_forgotten",
            "β is not used: the threshold is βσ², and the rate falls with β.",
            _beta_forgotten,
        ),
        Misconception(
            "beta_in_threshold_only",
            "β decides here which directions are active, and is missing in the rate of "
            "those that are: s = βσ²/λ.",
            _beta_in_threshold_only,
        ),
        Misconception(
            "beta_in_rate_only",
            "The rates have β, the threshold has not: it is λ > βσ², which is where "
            "the rate reaches 0.",
            _beta_in_rate_only,
        ),
        Misconception(
            "times_beta",
            "This is β times the rate, the term as it stands in the objective: the "
            "rate is the KL itself.",
            _times_beta,
        ),
        Misconception(
            "beta_upstairs",
            "β stands on the wrong side: a larger β makes the rate smaller.",
            _beta_upstairs,
        ),
        Misconception(
            "loadings",
            "λ − βσ² is the squared loading l² of the decoder: the rate is "
            "½ log(λ/(βσ²)).",
            _loadings,
        ),
        Misconception(
            "capacity",
            "½ log(1 + λ/(βσ²)) puts λ where l² = λ − βσ² belongs: 1 + l²/(βσ²) is "
            "λ/(βσ²).",
            _capacity,
        ),
        Misconception(
            "capacity_of_active",
            "The idle directions are right. In the active ones ½ log(1 + λ/(βσ²)) puts "
            "λ where l² = λ − βσ² belongs: 1 + l²/(βσ²) is λ/(βσ²).",
            _capacity_of_active,
        ),
        Misconception(
            "squared_again",
            "sigma2 is σ² already: it was squared once more.",
            _squared_again,
        ),
        Misconception(
            "bits",
            "These are bits: use the natural logarithm, so that they are nats.",
            _bits,
        ),
        Misconception(
            "sum_of_rates",
            "This is the sum over the directions: return one rate each.",
            _sum_of_rates,
        ),
        Misconception(
            "upside_down",
            "The ratio is upside down: a direction with *large* variance λ is active.",
            _upside_down,
        ),
        Misconception(
            "verdicts",
            "This says which directions are active: return how many nats each has.",
            _verdicts,
        ),
        Misconception(
            "variances",
            "This is the variance s of q in each direction: the rate is −½ log s.",
            _variances,
        ),
    ),
    hints=(
        "The rate of an active direction is −½ log s, where s is the variance of q. "
        "What is s at the optimum?",
        "s = βσ²/λ, so the rate is ½ log(λ/(βσ²)). At λ = βσ² that is 0. And below?",
        "Below the threshold the rate is 0: give the ratio λ/(βσ²) a floor of 1 with "
        ".clamp(min=1) before the logarithm.",
    ),
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
    for kl, floor in trial.probes():
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
    for kl, _ in trial.probes():
        got = trial.call(kl, 0.0)
        trial.expect_close(got, kl.sum(1).mean(), "with the floor at 0, the plain rate")


def _per_example_floor(kl: Tensor, floor: float) -> Tensor:
    return kl.clamp(min=floor).sum(1).mean()


def _total_floor(kl: Tensor, floor: float) -> Tensor:
    return kl.sum(1).mean().clamp(min=floor)


def _total_of_each_example(kl: Tensor, floor: float) -> Tensor:
    return kl.sum(1).clamp(min=floor).mean()


def _total_floor_k(kl: Tensor, floor: float) -> Tensor:
    return kl.sum(1).mean().clamp(min=floor * kl.shape[1])


def _ceiling(kl: Tensor, floor: float) -> Tensor:
    return kl.mean(0).clamp(max=floor).sum()


def _batch_sum(kl: Tensor, floor: float) -> Tensor:
    return kl.sum(0).clamp(min=floor).sum()


def _added(kl: Tensor, floor: float) -> Tensor:
    return (kl.mean(0) + floor).sum()


def _excess(kl: Tensor, floor: float) -> Tensor:
    return (kl.mean(0) - floor).clamp(min=0).sum()


def _unit_mean(kl: Tensor, floor: float) -> Tensor:
    return kl.mean(0).clamp(min=floor).mean()


def _shared_floor(kl: Tensor, floor: float) -> Tensor:
    return kl.mean(0).clamp(min=floor / kl.shape[1]).sum()


def _not_summed(kl: Tensor, floor: float) -> Tensor:
    return kl.mean(0).clamp(min=floor)


def _dropped(kl: Tensor, floor: float) -> Tensor:
    units = kl.mean(0)
    return (units * (units > floor)).sum()


def _over_units(kl: Tensor, floor: float) -> Tensor:
    return kl.mean(1).clamp(min=floor).sum()


def _ignored(kl: Tensor, floor: float) -> Tensor:
    return kl.sum(1).mean()


FREE_BITS = Exercise(
    name="free_bits",
    title="a rate that is free up to a floor",
    reference=free_bits,
    returns="one number: the rate with a floor for each unit",
    probes=_kls,
    criteria=(
        agrees("the floor holds for each unit's batch mean", 3.0),
        Criterion("no slope below the floor, 1/N above", 1.0, _slopes),
        Criterion("with floor 0 it is the plain rate", 1.0, _no_floor),
    ),
    misconceptions=(
        Misconception(
            "per_example",
            "The floor was applied to each example: average over the batch first. A "
            "unit may be quiet on one image and busy on another.",
            _per_example_floor,
        ),
        Misconception(
            "total",
            "The floor was applied to the total: one busy unit then satisfies it, and "
            "all others may die. Each unit has its own floor.",
            _total_floor,
        ),
        Misconception(
            "total_of_each_example",
            "The floor was applied to the total of each example: average over the "
            "batch first, and give each unit its own floor.",
            _total_of_each_example,
        ),
        Misconception(
            "total_times_k",
            "The floor of all units together was applied to the total: one busy unit "
            "can pay for all. Each unit has its own floor.",
            _total_floor_k,
        ),
        Misconception(
            "ceiling",
            "This is a ceiling: clamp(max=floor) or minimum rewards nothing above the "
            "floor. The larger of the two counts.",
            _ceiling,
        ),
        Misconception(
            "batch_sum",
            "The KLs were summed over the examples: the floor is in nats per example, "
            "so average over the batch.",
            _batch_sum,
        ),
        Misconception(
            "added",
            "Adding a constant changes no gradient: the collapse stays. Take the "
            "larger of the mean KL and the floor.",
            _added,
        ),
        Misconception(
            "excess",
            "This counts only what exceeds the floor. The gradient is the same, but "
            "the value is smaller by the floors: take the larger of the two instead.",
            _excess,
        ),
        Misconception(
            "unit_mean",
            "The mean over the units weakens the KL K times: sum over them.",
            _unit_mean,
        ),
        Misconception(
            "shared_floor",
            "The floor was divided by K: `floor` is for each unit.",
            _shared_floor,
        ),
        Misconception(
            "not_summed",
            "This is one number per unit: sum over the units.",
            _not_summed,
        ),
        Misconception(
            "dropped",
            "Units below the floor were set to 0, so the value jumps at the floor: "
            "they count as the floor.",
            _dropped,
        ),
        Misconception(
            "over_units",
            "The average runs over the units and the floor over the examples: it is "
            "the other way round.",
            _over_units,
        ),
        Misconception(
            "ignored",
            "The floor has no effect: this is the plain rate.",
            _ignored,
        ),
    ),
    hints=(
        "Three steps in this order: average over the examples, apply the floor to each "
        "unit, sum over the units.",
        "kl.mean(0) is one number per unit. The larger of it and the floor: clamp, or "
        "torch.maximum.",
        "Careful with the names: a lower limit is clamp(min=floor). Then .sum().",
    ),
)

EXERCISES = (IWAE_BOUND, KL_PER_UNIT, LINEAR_VAE_RATES, FREE_BITS)
