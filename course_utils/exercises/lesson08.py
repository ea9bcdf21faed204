"""Exercises of lesson 08: a loss to mend, a weighted one, linear rates, free bits."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

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
from course_utils.grading.descent import descended
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.objectives import (
    bernoulli_log_prob,
    gaussian_kl,
    gaussian_log_prob,
    log_mean_exp,
)

WORDS = words_beside(__file__)
Decoder = Any  # codes (…, K) -> logits (…, D)


def _cross_entropies(x: Tensor, logits: Tensor) -> Tensor:
    """Negative log-likelihood of each pixel, (N, D)."""
    return torch.nn.functional.binary_cross_entropy_with_logits(
        logits, x, reduction="none"
    )


# --- mended_loss --------------------------------------------------------------------


def mended_loss(x: Tensor, eps: Tensor, V: Tensor, W: Tensor, b: Tensor) -> Tensor:
    """−ELBO of a batch, in nats: (N, D), (N, K), (D, 2K), (K, D), (D,) -> 0-d.

    μ and log σ² are the two halves of x V, and z W + b are the logits of the pixels.
    """
    mu, logvar = (x @ V).chunk(2, dim=1)
    z = mu + (logvar / 2).exp() * eps
    return (gaussian_kl(mu, logvar) - bernoulli_log_prob(x, z @ W + b)).mean()


def _small_vaes(generator: torch.Generator) -> list[Arguments]:
    """Batches and weights of linear VAEs; N, D and K differ."""
    drawn: list[Arguments] = []
    for N, D, K in ((5, 7, 2), (4, 9, 3)):
        x = (uniform(generator, N, D) < 0.5).double()
        V = 0.4 * normal(generator, D, 2 * K)
        W, b = normal(generator, K, D), normal(generator, D)
        drawn.append((x, normal(generator, N, K), V, W, b))
    return drawn


def _hard_vaes(generator: torch.Generator) -> dict[str, Arguments]:
    (x, eps, V, W, b), _ = _small_vaes(generator)
    narrow = V.clone()
    narrow[:, 2:] = -40 / x.sum(1).clamp(min=1).max()
    return {
        "a batch of one example": (x[:1], eps[:1], V, W, b),
        "one latent": (x, eps[:, :1], V[:, ::2], W[:1], b),
        "logits near ±1000 (leave the logits to torch)": (x, eps, V, 1000 * W, b),
        "a narrow q": (x, eps, narrow, W, b),
    }


def _expect_steps(
    trial: Trial,
    arguments: Arguments,
    loss: Callable[[Callable[..., Tensor], Tensor, Tensor], Tensor],
    start: tuple[Tensor, Tensor],
) -> None:
    """Refuse a loss that leads elsewhere than the course's, in one step or three."""
    trial.call(*arguments)
    for steps, said in ((1, "one step"), (3, "three steps")):
        got, want = (
            descended([functools.partial(loss, of)] * steps, start, lr=0.05)
            for of in (trial.raw, trial.exercise.reference)
        )
        for name, one, other in zip(("V", "W"), got, want, strict=True):
            who = "the encoder's" if name == "V" else "the decoder's"
            trial.expect_close(one, other, f"{name}, {who} weights, after {said}")


def _mended_steps(trial: Trial) -> None:
    for x, eps, V, W, b in trial.inputs():

        def loss(of: Callable[..., Tensor], v: Tensor, w: Tensor) -> Tensor:
            return of(x, eps, v, w, b)  # noqa: B023 (it is called at once)

        _expect_steps(trial, (x, eps, V, W, b), loss, (V, W))


def _no_latent_is_hidden(trial: Trial) -> None:
    for x, eps, V, W, b in trial.inputs():
        prior = x, eps, 0 * V, W, b
        trial.expect_close(
            trial.call(*prior),
            trial.reference(*prior),
            "with V = 0 every q is the prior, the rate is 0, and the loss",
        )


MENDED_LOSS = declare(
    WORDS["mended_loss"],
    mended_loss,
    _small_vaes,
    criteria=(
        agrees("−ELBO of the batch", 2.0),
        Criterion("the weights after one step and after three", 1.0, _mended_steps),
        Criterion("the distortion where the rate is 0", 1.0, _no_latent_is_hidden),
        at_the_edges(_hard_vaes, "for one example, one latent and any logits"),
    ),
    gradients=(2, 3),
    edges=lambda generator: list(_hard_vaes(generator).values()),
    steps={
        "mu": lambda x, V: (x @ V).chunk(2, dim=1)[0],
        "logvar": lambda x, V: (x @ V).chunk(2, dim=1)[1],
        "sigma": lambda logvar: (logvar / 2).exp(),
        "z": lambda mu, sigma, eps: mu + sigma * eps,
        "decoded": lambda z: z,
        "logits": lambda decoded, W, b: decoded @ W + b,
        "pixels": lambda x, logits: _cross_entropies(x, logits),
        "distortion": lambda pixels: pixels.sum(1).mean(),
        "square": lambda mu: mu**2,
        "half": lambda: 0.5,
        "read": lambda logvar: logvar,
        "latents": lambda square, half, read: half * (square + read.exp() - read - 1),
        "rate": lambda latents: latents.sum(1).mean(),
        "answer": lambda distortion, rate: distortion + rate,
    },
    mistakes={
        # The three faults of the ill one, left in: one, two, all.
        "mean_left": instead(distortion=lambda pixels: pixels.mean()),
        "log_sigma_left": instead(read=lambda logvar: 2 * logvar),
        "detached_left": instead(decoded=lambda z: z.detach()),
        "mean_and_log_sigma_left": instead(
            distortion=lambda pixels: pixels.mean(), read=lambda logvar: 2 * logvar
        ),
        "mean_and_detached_left": instead(
            distortion=lambda pixels: pixels.mean(), decoded=lambda z: z.detach()
        ),
        "log_sigma_and_detached_left": instead(
            read=lambda logvar: 2 * logvar, decoded=lambda z: z.detach()
        ),
        "as_it_was": instead(
            distortion=lambda pixels: pixels.mean(),
            read=lambda logvar: 2 * logvar,
            decoded=lambda z: z.detach(),
        ),
        # What goes wrong while mending.
        "bias_left_out": instead(b=lambda: 0),
        "hard_coded_784": instead(distortion=lambda pixels: 784 * pixels.mean()),
        "hard_coded_64": instead(distortion=lambda pixels: 64 * pixels.mean()),
        "summed_over_batch": instead(distortion=lambda pixels: pixels.sum()),
        "everything_summed": instead(
            distortion=lambda pixels: pixels.sum(), rate=lambda latents: latents.sum()
        ),
        "averaged_over_batch_alone": instead(
            distortion=lambda pixels: pixels.mean(0).mean() * len(pixels)
        ),
        "latents_averaged": instead(rate=lambda latents: latents.mean()),
        "both_averaged": instead(
            distortion=lambda pixels: pixels.mean(), rate=lambda latents: latents.mean()
        ),
        "kl_by_pixels": instead(
            distortion=lambda pixels: pixels.mean(),
            rate=lambda rate, pixels: rate / pixels.shape[1],
        ),
        "sigma_is_variance": instead(sigma=lambda logvar: logvar.exp()),
        "all_log_sigma": instead(
            sigma=lambda logvar: logvar.exp(), read=lambda logvar: 2 * logvar
        ),
        "no_noise": instead(z=lambda mu: mu),
        "no_half": instead(half=lambda: 1.0),
        "minus_half": instead(half=lambda: -0.5),
        "rate_subtracted": lambda distortion, rate: distortion - rate,
        "rate_left_out": lambda distortion: distortion,
        "rate_detached": lambda distortion, rate: distortion + rate.detach(),
        "half_read": instead(read=lambda logvar: logvar / 2),
        "squared_error": instead(pixels=lambda x, logits: (x - logits.sigmoid()) ** 2),
        "one_number_each": lambda pixels, latents: pixels.sum(1) + latents.sum(1),
        "probabilities": instead(
            pixels=lambda x, logits: torch.nn.functional.binary_cross_entropy(
                logits.sigmoid(), x, reduction="none"
            )
        ),
        "cut_off": lambda answer: answer.detach(),
    },
)


# --- iwae_loss ----------------------------------------------------------------------


def iwae_loss(
    x: Tensor, eps: Tensor, mu: Tensor, logvar: Tensor, decode: Decoder
) -> Tensor:
    """−IWAE_S of a batch, eps (S, N, K), decode: codes (…, K) -> logits (…, D): 0-d."""
    z = mu + (logvar / 2).exp() * eps  # (S, N, K)
    log_prior = gaussian_log_prob(z, torch.zeros_like(mu), 0.0)
    log_q = gaussian_log_prob(z, mu, logvar)
    log_w = bernoulli_log_prob(x, decode(z)) + log_prior - log_q  # (S, N)
    return -log_mean_exp(log_w, 0).mean()


def _decoder(generator: torch.Generator, K: int, D: int, scale: float = 1.0) -> Decoder:
    """Build a linear decoder without touching torch's own generator."""
    layer = torch.nn.utils.skip_init(torch.nn.Linear, K, D, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(scale * normal(generator, D, K))
        layer.bias.copy_(scale * normal(generator, D))
    return layer


def _weighted(generator: torch.Generator, sizes: Sequence[int]) -> Arguments:
    S, N, D, K = sizes
    return (
        (uniform(generator, N, D) < 0.5).double(),
        normal(generator, S, N, K),
        0.8 * normal(generator, N, K),
        0.7 * normal(generator, N, K) - 0.5,
        _decoder(generator, K, D),
    )


def _batches(generator: torch.Generator) -> list[Arguments]:
    """Batches of draws; no two of S, N, D and K are alike."""
    return [_weighted(generator, sizes) for sizes in ((4, 3, 6, 2), (3, 5, 7, 4))]


def _hard_batches(generator: torch.Generator) -> dict[str, Arguments]:
    (x, eps, mu, logvar, decode), _ = _batches(generator)
    steep = _decoder(generator, 2, 6, scale=700)
    return {
        "S = 1": (x, eps[:1], mu, logvar, decode),
        "a batch of one example": (x[:1], eps[:, :1], mu[:1], logvar[:1], decode),
        "log-weights of −1000 and below": (x, eps, mu, logvar, steep),
    }


def _at_one_draw(trial: Trial) -> None:
    for x, eps, mu, logvar, decode in trial.inputs():
        arguments = x, eps[:1], mu, logvar, decode
        trial.expect_close(
            trial.call(*arguments),
            trial.reference(*arguments),
            "with S = 1 it is −log w, averaged over the batch",
        )


def _weighted_steps(trial: Trial) -> None:
    for arguments in trial.inputs():
        x, eps, mu, _, decode = arguments
        K, D = mu.shape[1], x.shape[1]
        V, W = 0.3 * normal(trial.generator, D, 2 * K), decode.weight.detach().T

        def loss(of: Callable[..., Tensor], v: Tensor, w: Tensor) -> Tensor:
            return of(x, eps, *(x @ v).chunk(2, dim=1), lambda z: z @ w)  # noqa: B023

        _expect_steps(trial, arguments, loss, (V, W))


IWAE_LOSS = declare(
    WORDS["iwae_loss"],
    iwae_loss,
    _batches,
    criteria=(
        agrees("−IWAE of the batch", 2.0),
        Criterion("the weights after one step and after three", 1.0, _weighted_steps),
        Criterion("−log w where S is 1", 1.0, _at_one_draw),
        at_the_edges(_hard_batches, "no overflow, no underflow, any batch"),
    ),
    gradients=(2, 3),
    edges=lambda generator: list(_hard_batches(generator).values()),
    steps={
        "S": lambda eps: len(eps),
        "z": lambda mu, logvar, eps: mu + (logvar / 2).exp() * eps,
        "likelihood": lambda x, z, decode: bernoulli_log_prob(x, decode(z)),
        "prior": lambda z: gaussian_log_prob(z, torch.zeros_like(z), 0.0),
        "q": lambda z, mu, logvar: gaussian_log_prob(z, mu, logvar),
        "log_w": lambda likelihood, prior, q: likelihood + prior - q,
        "bounds": lambda log_w: log_mean_exp(log_w, 0),
        "rate": lambda mu, logvar: gaussian_kl(mu, logvar),
        "share": lambda log_w: log_w.softmax(0),
        "answer": lambda bounds: -bounds.mean(),
    },
    mistakes={
        "mean_of_logs": instead(bounds=lambda log_w: log_w.mean(0)),
        "not_divided": instead(bounds=lambda log_w: log_w.logsumexp(0)),
        "log_added": instead(bounds=lambda log_w, S: log_w.logsumexp(0) + math.log(S)),
        "divided_outside": instead(bounds=lambda log_w, S: log_w.logsumexp(0) / S),
        "batch_size": instead(
            bounds=lambda log_w: log_w.logsumexp(0) - math.log(log_w.shape[1])
        ),
        "summed": lambda bounds: -bounds.sum(),
        "not_averaged": lambda bounds: -bounds,
        "the_bound": lambda bounds: bounds.mean(),
        "batch_inside": lambda log_w: -log_mean_exp(log_w.flatten()),
        "over_examples": instead(bounds=lambda log_w: log_mean_exp(log_w, 1)),
        "overflows": instead(bounds=lambda log_w: log_w.exp().mean(0).log()),
        "largest": instead(bounds=lambda log_w: log_w.amax(0)),
        "without_log": instead(bounds=lambda log_w: log_w.exp().mean(0)),
        "softmax_weighted": instead(bounds=lambda share, log_w: (share * log_w).sum(0)),
        "weights_held_fixed": instead(
            bounds=lambda share, log_w: (share.detach() * log_w).sum(0)
        ),
        "no_prior": instead(prior=lambda: 0),
        "prior_subtracted": instead(prior=lambda prior: -prior),
        "q_left_out": instead(q=lambda: 0),
        "q_added": instead(q=lambda q: -q),
        "likelihood_alone": instead(prior=lambda: 0, q=lambda: 0),
        "closed_form_inside": instead(log_w=lambda likelihood, rate: likelihood - rate),
        "rate_twice": instead(bounds=lambda log_w, rate: log_mean_exp(log_w, 0) - rate),
        "elbo": instead(bounds=lambda likelihood, rate: likelihood.mean(0) - rate),
        "prior_constant_lost": instead(prior=lambda z: -0.5 * (z**2).sum(-1)),
        "q_constant_lost": instead(
            q=lambda eps, logvar: -0.5 * (eps**2 + logvar).sum(-1)
        ),
        "logvar_lost_in_q": instead(q=lambda z, mu: gaussian_log_prob(z, mu, 0.0)),
        "one_eps_for_all_draws": instead(eps=lambda eps: eps[:1].expand_as(eps)),
        "one_eps_for_all_examples": instead(eps=lambda eps: eps[:, :1].expand_as(eps)),
        "sigma_is_variance": instead(z=lambda mu, logvar, eps: mu + logvar.exp() * eps),
        "log_sigma": instead(logvar=lambda logvar: 2 * logvar),
        "mean_decoded": instead(
            likelihood=lambda x, mu, decode, eps: bernoulli_log_prob(
                x, decode(mu + 0 * eps)
            )
        ),
        "pixels_averaged": instead(
            likelihood=lambda likelihood, x: likelihood / x.shape[1]
        ),
        "z_detached": instead(z=lambda z: z.detach()),
        "decoded_detached": instead(
            likelihood=lambda x, z, decode: bernoulli_log_prob(x, decode(z.detach()))
        ),
        "q_held_fixed": instead(
            q=lambda z, mu, logvar: gaussian_log_prob(z, mu.detach(), logvar.detach())
        ),
        "cut_off": lambda answer: answer.detach(),
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
    for count, beta in zip((5, 6), betas, strict=True):
        sigma2 = between(generator, 0.3, 0.8)
        low, high = sorted((sigma2, beta * sigma2))
        fixed = torch.tensor([3 * high, (low * high) ** 0.5, 0.5 * low]).double()
        more = low * torch.exp(2.5 * normal(generator, count - 3).abs() - 1)
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
        "β = 10000, where all have collapsed": (values, 1e4, sigma2),
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


def _nothing_below(trial: Trial) -> None:
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
        Criterion("0 exactly where the direction collapses", 1.0, _nothing_below),
        Criterion("only the product βσ² matters", 1.0, _product_decides),
        at_the_edges(_hard_spectra, "for λ = 0, and for any β"),
    ),
    steps={
        "level": lambda beta, sigma2: beta * sigma2,
        "ratio": lambda eigenvalues, level: eigenvalues / level,
        "rates": lambda ratio: 0.5 * ratio.log(),  # below 0 where collapsed
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
    """Sum over latents of max(floor, mean over the batch of kl), in nats: 0-d."""
    return kl.mean(0).clamp(min=floor).sum()


def _kls(generator: torch.Generator) -> list[Arguments]:
    """KLs as multiples of the floor: some latents above it; one alone; none.

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
        "a model with one latent": (kl[:, :1], floor),
        "a latent that has collapsed": (collapsed, floor),
        "a floor of 0": (kl, 0.0),
        "a floor above all latents": (kl, 40.0),
    }


def _worked(trial: Trial) -> None:
    for kl, floor in trial.inputs():
        means = ", ".join(f"{mean:.3f}" for mean in kl.mean(0).tolist())
        trial.expect_close(
            trial.call(kl, floor),
            trial.reference(kl, floor),
            f"with latents of {means} nats, averaged over the batch, and a floor of "
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
                slope, want, "the slope in kl, 0 for a latent below the floor, else 1/N"
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
        Criterion("the floor holds for each latent's batch mean", 2.0, _worked),
        Criterion("no slope below the floor, 1/N above", 1.0, _slopes),
        Criterion("with floor 0 it is the plain rate", 1.0, _no_floor),
        at_the_edges(_hard_kls, "for one example, one latent and any floor"),
    ),
    gradients=(0,),
    steps={
        "K": lambda kl: kl.shape[1],
        "rate": lambda kl: kl.sum(1).mean(),
        "latents": lambda kl: kl.mean(0),
        "floored": lambda latents, floor: latents.clamp(min=floor),
        "answer": lambda floored: floored.sum(),
    },
    mistakes={
        "per_example": lambda kl, floor: kl.clamp(min=floor).sum(1).mean(),
        "total": lambda rate, floor: rate.clamp(min=floor),
        "total_of_each_example": lambda kl, floor: kl.sum(1).clamp(min=floor).mean(),
        "total_times_k": lambda rate, floor, K: rate.clamp(min=floor * K),
        "ceiling": instead(floored=lambda latents, floor: latents.clamp(max=floor)),
        "batch_sum": instead(latents=lambda kl: kl.sum(0)),
        "added": instead(floored=lambda latents, floor: latents + floor),
        "excess": instead(
            floored=lambda latents, floor: (latents - floor).clamp(min=0)
        ),
        "latent_mean": lambda floored: floored.mean(),
        "shared_floor": instead(floor=lambda floor, K: floor / K),
        "not_summed": lambda floored: floored,
        "dropped": instead(floored=lambda latents, floor: latents * (latents > floor)),
        "over_latents": instead(latents=lambda kl: kl.mean(1)),
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
        "distance": instead(floored=lambda latents, floor: (latents - floor).abs()),
        "softened": instead(
            floored=lambda latents, floor: (
                floor + torch.nn.functional.softplus(latents - floor)
            )
        ),
        "floors_of_active": instead(
            floored=lambda latents, floor: floor * (latents > floor)
        ),
        "largest_latent": lambda floored: floored.max(),
        "largest_of_batch": instead(latents=lambda kl: kl.amax(0)),
        "middle_of_batch": instead(latents=lambda kl: kl.median(0).values),
        "multiplied": instead(floored=lambda latents, floor: latents * floor),
        "total_times_n": lambda kl, rate, floor: rate.clamp(min=floor * len(kl)),
        "cut_off": lambda answer: answer.detach(),
        "slope_everywhere": instead(
            floored=lambda latents, floor: (
                latents + (floor - latents).clamp(min=0).detach()
            )
        ),
    },
)

EXERCISES = (MENDED_LOSS, IWAE_LOSS, LINEAR_VAE_RATES, FREE_BITS)
