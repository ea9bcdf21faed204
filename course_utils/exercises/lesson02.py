"""Exercises of lesson 02: denoising loss, Wiener filter, inpainting, smoothed score."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, linalg

from course_utils.grading.criteria import (
    agrees,
    between,
    expect_no_draw,
    gradients,
    normal,
    orthogonal,
    rows_stand_alone,
    uniform,
)
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.descent import descended
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import LearnerError, Refused, Trial
from course_utils.grading.values import difference
from course_utils.oracles import mixture2d, wiener

WORDS = words_beside(__file__)
OWN_NOISE = "you draw noise of your own. Use the eps that comes in."
F64 = torch.float64


def _covariance(generator: torch.Generator, D: int) -> Tensor:
    """Draw a well-conditioned covariance."""
    axes = orthogonal(generator, D)
    values = 0.3 + uniform(generator, D)
    cov = axes @ torch.diag(values.cumsum(0)) @ axes.T
    return (cov + cov.T) / 2


# --- denoising_loss -----------------------------------------------------------------

RATE = 0.05  # of the three steps that a criterion takes


def denoising_loss(
    x: Tensor, eps: Tensor, sigma: float, V: Tensor, c: Tensor, W: Tensor, b: Tensor
) -> Tensor:
    """Squared error of a one-layer autoencoder's answer to x + sigma eps: a number."""
    noisy = x + sigma * eps
    x_hat = torch.relu(noisy @ V.T + c) @ W.T + b
    return ((x - x_hat) ** 2).sum(1).mean()


def _batch(generator: torch.Generator, N: int, D: int, H: int) -> Arguments:
    """Draw data, noise, and weights of which about half the rectifiers are on."""
    x, eps = 0.5 + normal(generator, N, D), normal(generator, N, D)
    V, c = normal(generator, H, D) / math.sqrt(D), 0.3 * normal(generator, H)
    W, b = normal(generator, D, H) / math.sqrt(H), 0.3 * normal(generator, D)
    return x, eps, between(generator, 0.3, 0.8, F64), V, c, W, b


def _batches(generator: torch.Generator) -> list[Arguments]:
    return [_batch(generator, 6, 9, 5), _batch(generator, 3, 8, 7)]


def _one_example(generator: torch.Generator) -> list[Arguments]:
    return [_batch(generator, 1, 6, 5)]


def _copier(D: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights with which the output is the input: u = max(0, u) − max(0, −u)."""
    identity = torch.eye(D, dtype=F64)
    V, W = torch.cat([identity, -identity]), torch.cat([identity, -identity], 1)
    return V, torch.zeros(2 * D, dtype=F64), W, torch.zeros(D, dtype=F64)


def _a_copier_pays(trial: Trial) -> None:
    """Charge a machine that hands on its input for the noise, and for it alone."""
    x, eps, sigma, *weights = trial.inputs()[0]
    expect_no_draw(trial, (x, eps, sigma, *weights), OWN_NOISE)
    got = trial.call(x, eps, sigma, *_copier(x.shape[1]))
    paid = (sigma * eps).square().sum(1).mean()
    trial.expect_close(got, paid, "weights that copy pay Σ (σ ε)², the noise")
    free = trial.call(x, eps, 0.0, *_copier(x.shape[1]))
    trial.expect_close(free, 0 * paid, "weights that copy, and σ = 0")


def _three_steps(trial: Trial) -> None:
    """From the same weights, with the same noise, to the same weights."""
    x, _, sigma, *start = trial.inputs()[0]
    noises = [normal(trial.generator, *x.shape) for _ in range(3)]
    mine, right = (
        descended(_losses(loss, x, noises, sigma), start, RATE)
        for loss in (trial.raw, denoising_loss)
    )
    for name, got, want in zip("VcWb", mine, right, strict=True):
        trial.expect_close(got, want, f"{name} after three steps of gradient descent")


def _losses(
    loss: Callable[..., Any], x: Tensor, noises: list[Tensor], sigma: float
) -> list[Callable[..., Any]]:
    """Give the loss of each step as a function of the weights alone."""
    return [
        lambda *weights, eps=eps: loss(x.clone(), eps.clone(), sigma, *weights)
        for eps in noises
    ]


DENOISING_LOSS = declare(
    WORDS["denoising_loss"],
    denoising_loss,
    _batches,
    criteria=(
        agrees("the loss, from the same weights, data and noise", 2.0),
        Criterion("a copier pays for the noise", 1.0, _a_copier_pays),
        gradients("the gradients reach all four weights", 1.0),
        Criterion("three steps of training end where they should", 1.0, _three_steps),
        agrees("right for a batch of one", 1.0, _one_example),
    ),
    steps={
        "noise": lambda sigma, eps: sigma * eps,
        "noisy": lambda x, noise: x + noise,
        "target": lambda x: x,
        "before": lambda noisy, V, c: noisy @ V.T + c,
        "code": lambda before: before.relu(),
        "x_hat": lambda code, W, b: code @ W.T + b,
        "gap": lambda target, x_hat: target - x_hat,
        "square": lambda gap: gap**2,
        "answer": lambda square: square.sum(1).mean(),
    },
    mistakes={
        "target_noisy": instead(target=lambda noisy: noisy),
        "noise_on_the_target": instead(
            noisy=lambda x: x, target=lambda x, noise: x + noise
        ),
        "no_noise": instead(noisy=lambda x: x),
        "noise_on_the_output": instead(
            noisy=lambda x: x, x_hat=lambda x_hat, noise: x_hat + noise
        ),
        "noise_on_input_and_output": instead(x_hat=lambda x_hat, noise: x_hat + noise),
        "noise_on_the_code": instead(
            noisy=lambda x: x, code=lambda code, noise: code + noise[:, : code.shape[1]]
        ),
        "sigma_squared": instead(noise=lambda sigma, eps: sigma**2 * eps),
        "root_of_sigma": instead(noise=lambda sigma, eps: sigma**0.5 * eps),
        "sigma_forgotten": instead(noise=lambda eps: eps),
        "divided_by_sigma": instead(noise=lambda sigma, eps: eps / sigma),
        "data_scaled_too": instead(noisy=lambda x, eps, sigma: sigma * (x + eps)),
        "variance_kept": instead(
            noisy=lambda x, noise, sigma: math.sqrt(1 - sigma**2) * x + noise
        ),
        "noise_multiplied": instead(noisy=lambda x, noise: x * (1 + noise)),
        "noise_alone": instead(noisy=lambda noise: noise),
        "noise_subtracted": instead(noisy=lambda x, noise: x - noise),
        "sigma_added": instead(noisy=lambda x, eps, sigma: x + eps + sigma),
        "one_noise_for_all": instead(eps=lambda eps: eps[:1].expand_as(eps)),
        "one_number_an_example": instead(eps=lambda eps: eps[:, :1].expand_as(eps)),
        "input_clamped": instead(noisy=lambda noisy: noisy.clamp(0, 1)),
        "output_clamped": instead(x_hat=lambda x_hat: x_hat.clamp(0, 1)),
        "target_is_the_noise": instead(target=lambda noise: noise),
        "target_is_eps": instead(target=lambda eps: eps),
        "bypass": instead(x_hat=lambda noisy, x_hat: noisy - x_hat),
        "mean_over_everything": lambda square: square.mean(),
        "sum_over_everything": lambda square: square.sum(),
        "summed_over_the_batch": lambda square: square.mean(1).sum(),
        "root": lambda square: square.sum(1).sqrt().mean(),
        "root_of_the_mean": lambda answer: answer.sqrt(),
        "absolute": instead(square=lambda gap: gap.abs()),
        "halved": lambda answer: answer / 2,
        "over_the_variance": lambda answer, sigma: answer / sigma**2,
        "half_over_the_variance": lambda answer, sigma: answer / (2 * sigma**2),
        "no_rectifier": instead(code=lambda before: before),
        "rectifier_at_the_end": instead(x_hat=lambda x_hat: x_hat.relu()),
        "no_bias": instead(before=lambda noisy, V: noisy @ V.T),
        "no_bias_at_the_end": instead(x_hat=lambda code, W: code @ W.T),
        "output_detached": instead(x_hat=lambda x_hat: x_hat.detach()),
        "code_detached": instead(code=lambda code: code.detach()),
    },
    edges=_one_example,
    gradients=(3, 4, 5, 6),
)


# --- wiener_filter ------------------------------------------------------------------


def _wiener_inputs(generator: torch.Generator) -> list[Arguments]:
    return [
        (_covariance(generator, D), between(generator, *sigma, F64))
        for D, sigma in ((5, (0.3, 0.8)), (8, (1.2, 2.0)))
    ]


def _dead_pixels(generator: torch.Generator) -> list[Arguments]:
    """Draw Σ with pixels that never change, as in the digits, in float32."""
    drawn: list[Arguments] = []
    for D in (4, 6):
        cov = torch.zeros(D + 2, D + 2, dtype=F64)
        cov[1:-1, 1:-1] = _covariance(generator, D)
        drawn.append((cov.float(), between(generator, 0.4, 0.9)))
    return drawn


def _copes_with_dead_pixels(trial: Trial) -> None:
    for cov, sigma in _dead_pixels(trial.generator):
        try:
            got = trial.call(cov, sigma)
        except LearnerError as problem:
            raise Refused(
                "for Σ in float32, with pixels that never change (only Σ + σ²I has an "
                f"inverse then), {problem}"
            ) from None
        want = trial.reference(cov, sigma)
        trial.expect_close(got, want, "with pixels that never change", 1e-4)


def _best(trial: Trial) -> None:
    """At the minimum the loss has no slope, whatever formula led there."""
    cov, sigma = trial.inputs()[0]
    A = trial.call(cov, sigma).detach().clone().requires_grad_()
    loss = wiener.linear_denoising_loss(A, cov, sigma)
    slope = float(torch.autograd.grad(loss, A)[0].abs().max())
    if slope > 1e-4:
        raise Refused(
            f"at your map the loss still has a slope of {slope:.2g} in one entry: at "
            "the minimum it is 0. Check A(Σ + σ²I) = Σ."
        )


def _shrinks_axis_by_axis(trial: Trial) -> None:
    cov, sigma = trial.inputs()[0]
    values, axes = linalg.eigh(cov)
    got = axes.T @ trial.call(cov, sigma) @ axes
    want = torch.diag(values / (values + sigma**2))
    trial.expect_close(got, want, "in the axes of Σ, λ/(λ + σ²) on the diagonal")


WIENER_FILTER = declare(
    WORDS["wiener_filter"],
    wiener.wiener_filter,
    _wiener_inputs,
    criteria=(
        agrees("is Σ(Σ + σ²I)⁻¹", 1.0),
        Criterion("is where the loss has no slope", 1.0, _best),
        Criterion("keeps λ/(λ + σ²) of each axis", 1.0, _shrinks_axis_by_axis),
        Criterion(
            "needs no inverse of Σ, and keeps its dtype", 1.0, _copes_with_dead_pixels
        ),
    ),
    steps={
        "axes": lambda cov: linalg.eigh(cov).eigenvectors,
        "values": lambda cov: linalg.eigvalsh(cov),
        "kept": lambda values, sigma: values / (values + sigma**2),
        "identity": lambda cov: torch.eye(len(cov), dtype=cov.dtype),
        "D": lambda cov: len(cov),
        "noise": lambda sigma, identity: sigma**2 * identity,
        "noisy": lambda cov, noise: cov + noise,
        "inverse": lambda noisy: linalg.inv(noisy),
        "answer": lambda cov, inverse: cov @ inverse,
    },
    mistakes={
        "sigma_not_squared": instead(noise=lambda sigma, identity: sigma * identity),
        "what_is_removed": lambda noise, inverse: noise @ inverse,
        "upside_down": lambda cov, noisy: noisy @ linalg.inv(cov),
        "only_the_inverse": lambda inverse: inverse,
        "elementwise_division": lambda cov, noisy: cov / noisy,
        "added_everywhere": instead(noise=lambda sigma: sigma**2),
        "covariance_taken_for_the_noisy_one": lambda cov, noise: (
            (cov - noise) @ linalg.inv(cov)
        ),
        "pixel_by_pixel": instead(cov=lambda cov: cov.diag().diag()),
        "noise_doubled": instead(noise=lambda noise: 2 * noise),
        "elementwise_product": lambda cov, inverse: cov * inverse,
        "eigenvectors_transposed": lambda axes, kept: axes.T @ kept.diag() @ axes,
        "not_rotated_back": lambda kept: kept.diag(),
        "not_rotated_back_descending": lambda kept: kept.flip(0).diag(),
        "no_noise": lambda identity: identity,
        "multiplied_back": lambda cov: cov,
        "root_of_the_share": lambda axes, kept: axes @ kept.sqrt().diag() @ axes.T,
        "filtered_twice": lambda answer: answer @ answer,
        "noise_times_d": instead(noise=lambda noise, D: noise * D),
        "noise_over_d": instead(noise=lambda noise, D: noise / D),
        "noise_halved": instead(noise=lambda noise: noise / 2),
        "noise_subtracted": instead(noisy=lambda cov, noise: cov - noise),
        "fixed_sigma": instead(sigma=lambda: 0.1),
        "hard_threshold": lambda axes, values, sigma: (
            axes * (values > sigma**2).to(axes.dtype) @ axes.T
        ),
        "standard_deviations": lambda axes, values, sigma: (
            axes * (values.sqrt() / (values.sqrt() + sigma)) @ axes.T
        ),
        "diagonal_replaced": instead(
            noisy=lambda cov, noise: cov - cov.diag().diag() + noise
        ),
        "correlation": instead(
            cov=lambda cov: cov / torch.outer(cov.diag(), cov.diag()).sqrt()
        ),
        "covariance_squared": instead(cov=lambda cov: cov @ cov),
        "one_share_for_all": lambda cov, noisy, identity: (
            cov.trace() / noisy.trace() * identity
        ),
        "signal_over_noise": lambda cov, sigma: cov / sigma**2,
        "entries_clamped": lambda answer: answer.clamp(0, 1),
    },
)


# --- inpaint_gaussian ---------------------------------------------------------------


def _inpaint_inputs(generator: torch.Generator) -> list[Arguments]:
    return [_masked(generator, 6, 8, 3), _masked(generator, 5, 11, 4)]


def _masked(generator: torch.Generator, N: int, D: int, masked: int) -> Arguments:
    seen = torch.ones(D, dtype=torch.bool)
    seen[torch.randperm(D, generator=generator)[:masked]] = False
    mean = 2.0 + normal(generator, D)
    return 3.0 + normal(generator, N, D), seen, mean, _covariance(generator, D)


def _masks(generator: torch.Generator) -> list[Arguments]:
    """Draw the smallest mask, the largest, and a single example."""
    return [
        _masked(generator, N, D, masked) for N, D, masked in ((6, 5, 1), (7, 4, 3))
    ] + [_masked(generator, 1, 7, 3)]


def _blind_to_the_masked(trial: Trial) -> None:
    x, seen, mean, cov = trial.inputs()[0]
    once, again = (trial.call(x, seen, mean, cov) for _ in range(2))
    if difference(once, again) > 1e-9:
        raise Refused(
            "two calls with the same data give different answers: the conditional mean "
            "is no random draw."
        )
    other = torch.where(seen, x, x + 5 * normal(trial.generator, *x.shape))
    trial.expect_close(
        trial.call(other, seen, mean, cov),
        trial.call(x, seen, mean, cov),
        "what stands in the masked dimensions must not matter",
    )


def _keeps_what_is_seen(trial: Trial) -> None:
    x, seen, mean, cov = trial.inputs()[0]
    got = trial.call(x, seen, mean, cov)
    trial.expect_close(got[:, seen], x[:, seen], "the seen dimensions must stay")


def _is_the_regression(trial: Trial) -> None:
    """Compare with a least-squares fit on data, not with the formula."""
    _, seen, _, _ = trial.inputs()[0]
    D = len(seen)
    x = 1.0 + normal(trial.generator, 60, D) @ normal(trial.generator, D, D)
    centred = x - x.mean(0)
    weights = linalg.lstsq(centred[:, seen], centred[:, ~seen]).solution
    want = x.clone()
    want[:, ~seen] = x.mean(0)[~seen] + centred[:, seen] @ weights
    got = trial.call(x, seen, x.mean(0), centred.T @ centred / 60)
    if difference(got, want) > 1e-5:
        _find_ridge(trial, x, seen, centred.T @ centred / 60)
    trial.expect_close(got, want, "least squares on 60 examples")


def _find_ridge(trial: Trial, x: Tensor, seen: Tensor, cov: Tensor) -> None:
    """Say so if the weights solve W(Σ_ss + εI) = Σ_ms, with an ε of the learner's."""
    zero = torch.zeros(len(seen), dtype=x.dtype)
    got = trial.call(x - x.mean(0), seen, zero, cov)[:, ~seen]
    weights = linalg.lstsq((x - x.mean(0))[:, seen], got).solution.T
    rest = cov[~seen][:, seen] - weights @ cov[seen][:, seen]  # ε W, with a ridge
    ridge = float((rest * weights).sum() / (weights**2).sum())
    if difference(rest, ridge * weights) < 1e-6:
        raise Refused(
            f"your weights solve W(Σ_ss + {ridge:.3g} I) = Σ_ms: a ridge stands on the "
            "diagonal of Σ_ss. Leave it out, the matrix has an inverse."
        )


def _filled(x: Tensor, seen: Tensor, guess: Tensor) -> Tensor:
    out = x.clone()
    out[:, ~seen] = guess
    return out


INPAINT_GAUSSIAN = declare(
    WORDS["inpaint_gaussian"],
    wiener.conditional_mean,
    _inpaint_inputs,
    criteria=(
        agrees("fills in μ_m + Σ_ms Σ_ss⁻¹(x_s − μ_s)", 1.0),
        agrees("fills any mask, small or large", 1.0, inputs=_masks),
        Criterion("leaves the seen dimensions as they are", 1.0, _keeps_what_is_seen),
        Criterion("does not look at what is masked", 1.0, _blind_to_the_masked),
        Criterion("equals a regression fitted to data", 1.0, _is_the_regression),
        rows_stand_alone(),
    ),
    steps={
        "precision": lambda cov: linalg.inv(cov),
        "cov_of_batch": lambda x: torch.cov(x.T, correction=0),
        "correlation": lambda cov_ms, cov, seen: (
            cov_ms / torch.outer(cov.diag()[~seen], cov.diag()[seen]).sqrt()
        ),
        "cov_ss": lambda cov, seen: cov[seen][:, seen],
        "cov_ms": lambda cov, seen: cov[~seen][:, seen],
        "weights": lambda cov_ms, cov_ss: cov_ms @ linalg.inv(cov_ss),
        "deviation": lambda x, mean, seen: (x - mean)[:, seen],
        "centre": lambda mean, seen: mean[~seen],
        "guess": lambda centre, deviation, weights: centre + deviation @ weights.T,
        "answer": _filled,
    },
    mistakes={
        "only_the_mean": instead(guess=lambda centre: centre),
        "no_centring": instead(mean=lambda mean: 0 * mean),
        "mean_not_subtracted": instead(deviation=lambda x, seen: x[:, seen]),
        "mean_not_added": instead(centre=lambda: 0),
        "inverse_forgotten": instead(weights=lambda cov_ms: cov_ms),
        "seen_taken_as_independent": instead(
            weights=lambda cov_ms, cov_ss: cov_ms / cov_ss.diag()
        ),
        "block_of_the_inverse": instead(
            weights=lambda cov_ms, precision, seen: cov_ms @ precision[seen][:, seen]
        ),
        "sign_of_the_precision": instead(weights=lambda weights: -weights),
        "mask_inverted": instead(seen=lambda seen: ~seen),
        "mean_of_the_batch": instead(mean=lambda x: x.mean(0)),
        "added_to_the_masked": instead(
            guess=lambda x, seen, guess: x[:, ~seen] + guess
        ),
        "masked_alone": lambda guess: guess,
        "first_example_only": lambda x, seen, guess: torch.cat(
            [_filled(x[:1], seen, guess[:1]), x[1:]]
        ),
        "seen_replaced_by_the_mean": lambda x, mean, seen, guess: _filled(
            mean.expand_as(x), seen, guess
        ),
        "zeros_where_seen": lambda x, seen, guess: _filled(0 * x, seen, guess),
        "guess_clamped": instead(guess=lambda guess: guess.clamp(0, 1)),
        "guess_reversed": instead(guess=lambda guess: guess.flip(1)),
        "mean_of_what_is_seen": instead(
            guess=lambda x, seen: x[:, seen].mean(1, keepdim=True)
        ),
        "most_alike_pixel": instead(
            guess=lambda x, seen, cov_ms: x[:, seen][:, cov_ms.argmax(1)]
        ),
        "precision_not_inverted": instead(
            weights=lambda precision, seen: -precision[~seen][:, seen]
        ),
        "precision_not_inverted_with_plus": instead(
            weights=lambda precision, seen: precision[~seen][:, seen]
        ),
        "divided_by_the_masked": instead(
            weights=lambda cov_ms, cov, seen: cov_ms / cov.diag()[~seen][:, None]
        ),
        "correlations_as_weights": instead(weights=lambda correlation: correlation),
        "whole_batch": instead(
            mean=lambda x: x.mean(0),
            weights=lambda cov_of_batch, seen: (
                cov_of_batch[~seen][:, seen] @ linalg.pinv(cov_of_batch[seen][:, seen])
            ),
        ),
        "masked_left_as_they_were": lambda x: x,
    },
    edges=_masks,
)


# --- smoothed_score -----------------------------------------------------------------


def _score_inputs(generator: torch.Generator) -> list[Arguments]:
    return [_points(generator, 5, 11, 3), _points(generator, 7, 9, 4)]


def _few_points(generator: torch.Generator) -> list[Arguments]:
    """One place to look at, and one data point."""
    return [_points(generator, 1, 8, 3), _points(generator, 6, 1, 4)]


def _points(generator: torch.Generator, Q: int, N: int, D: int) -> Arguments:
    x = 1.5 * normal(generator, Q, D)
    return x, normal(generator, N, D), between(generator, 0.6, 1.4, F64)


def _far_away(trial: Trial) -> None:
    """Far from all data, in units of σ, the plain exponentials are all 0."""
    x, data, _ = trial.inputs()[0]
    x, sigma = x + 6.0, 0.05
    want = trial.reference(x, data, sigma)
    got = trial.raw(x.clone(), data.clone(), sigma)
    if isinstance(got, Tensor) and not got.isfinite().all():
        raise Refused(
            "far from the data, at small σ, your score is not finite: exp(−‖x − xₙ‖²/"
            "(2σ²)) is 0 for every point. Use softmax, which subtracts the largest."
        )
    trial.expect_close(
        trial.call(x, data, sigma),
        want,
        "far from the data, at small σ: is something added to the weights, or cut off?",
    )


def _gradient_of_log_density(trial: Trial) -> None:
    x, data, sigma = trial.inputs()[0]
    at = x.clone().requires_grad_()
    square = ((at[:, None] - data) ** 2).sum(2)
    log_density = torch.logsumexp(-square / (2 * sigma**2), 1).sum()
    want = torch.autograd.grad(log_density, at)[0]
    trial.expect_close(trial.call(x, data, sigma), want, "autograd of log p_σ")


def _one_point(trial: Trial) -> None:
    x, data, sigma = trial.inputs()[0]
    want = (data[:1] - x) / sigma**2
    got = trial.call(x, data[:1], sigma)
    trial.expect_close(got, want, "with a single data point")


SMOOTHED_SCORE = declare(
    WORDS["smoothed_score"],
    mixture2d.smoothed_score,
    _score_inputs,
    criteria=(
        agrees("is (r(x) − x)/σ² with the best denoiser r", 1.0),
        Criterion(
            "is the gradient of the smoothed log density", 1.0, _gradient_of_log_density
        ),
        Criterion("points straight at a single data point", 1.0, _one_point),
        rows_stand_alone(),
        Criterion("holds far from the data, at small σ", 1.0, _far_away),
    ),
    steps={
        "D": lambda x: x.shape[1],
        "square": lambda x, data: ((x[:, None] - data) ** 2).sum(2),
        "exponent": lambda square, sigma: -square / (2 * sigma**2),
        "heights": lambda exponent: exponent.exp(),
        "density": lambda heights, sigma, D: (
            heights.mean(1, keepdim=True) / (2 * math.pi * sigma**2) ** (D / 2)
        ),
        "weights": lambda exponent: exponent.softmax(1),
        "denoised": lambda weights, data: weights @ data,
        "residual": lambda denoised, x: denoised - x,
        "answer": lambda residual, sigma: residual / sigma**2,
    },
    mistakes={
        "divided_by_sigma": lambda residual, sigma: residual / sigma,
        "not_divided": lambda residual: residual,
        "the_denoiser_itself": lambda denoised: denoised,
        "sign": lambda answer: -answer,
        "half_forgotten": instead(exponent=lambda exponent: 2 * exponent),
        "sigma_not_squared_in_the_weights": instead(
            exponent=lambda square, sigma: -square / (2 * sigma)
        ),
        "distance_not_squared": instead(square=lambda square: square.sqrt()),
        "mean_over_dimensions": instead(square=lambda square, D: square / D),
        "softmax_over_the_wrong_axis": instead(
            weights=lambda exponent: exponent.softmax(0)
        ),
        "nearest_point_only": instead(
            denoised=lambda square, data: data[square.argmin(1)]
        ),
        "equal_weights": instead(denoised=lambda data: data.mean(0)),
        "gradient_of_the_density": lambda answer, density: answer * density,
        "weights_not_normalised": instead(weights=lambda heights: heights),
        "normalised_over_the_table": instead(
            weights=lambda heights: heights / heights.sum()
        ),
        "minus_lost": instead(exponent=lambda exponent: -exponent),
        "halved": lambda answer: answer / 2,
        "all_points_summed": lambda x, data, sigma: (
            (data - x[:, None]).sum(1) / sigma**2
        ),
        "one_gaussian_for_all": lambda x, data, sigma: (
            linalg.solve(
                torch.cov(data.T, correction=0)
                + sigma**2 * torch.eye(x.shape[1]).to(x),
                (data.mean(0) - x).T,
            ).T
        ),
        "data_left_out": instead(denoised=lambda x: 0 * x),
        "sigma_left_out_of_the_weights": instead(exponent=lambda square: -square / 2),
        "half_and_sigma_left_out_of_the_weights": instead(
            exponent=lambda square: -square
        ),
        "logarithms_as_weights": instead(
            weights=lambda exponent: exponent.log_softmax(1)
        ),
        "exponents_as_weights": instead(weights=lambda exponent: exponent),
        "weights_averaged": instead(weights=lambda heights: heights / heights.shape[1]),
        "weights_of_the_density": instead(
            weights=lambda heights, sigma, D: (
                heights / (2 * math.pi * sigma**2) ** (D / 2)
            )
        ),
        "inverse_distances": instead(
            weights=lambda square: 1 / square / (1 / square).sum(1, keepdim=True)
        ),
        "sigma_squared_twice": lambda residual, sigma: residual / sigma**4,
        "multiplied": lambda residual, sigma: residual * sigma**2,
        "noise_not_score": lambda residual, sigma: -residual / sigma,
        "log_density_itself": lambda exponent: exponent.logsumexp(1),
    },
    edges=_few_points,
)

EXERCISES = (DENOISING_LOSS, WIENER_FILTER, INPAINT_GAUSSIAN, SMOOTHED_SCORE)
