"""Exercises of lesson 02: Wiener filter, PSNR, inpainting, the score of a denoiser."""

from __future__ import annotations

import math

import torch
from torch import Tensor, linalg

from course_utils.grading.criteria import (
    agrees,
    between,
    normal,
    orthogonal,
    rows_stand_alone,
    uniform,
)
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.metrics import images
from course_utils.oracles import mixture2d, wiener

WORDS = words_beside(__file__)
F64 = torch.float64


def _covariance(generator: torch.Generator, D: int) -> Tensor:
    """Draw a well-conditioned covariance."""
    axes = orthogonal(generator, D)
    values = 0.3 + uniform(generator, D)
    cov = axes @ torch.diag(values.cumsum(0)) @ axes.T
    return (cov + cov.T) / 2


# --- wiener_filter ------------------------------------------------------------------


def _wiener_inputs(generator: torch.Generator) -> list[Arguments]:
    return [
        (_covariance(generator, D), between(generator, *sigma, F64))
        for D, sigma in ((5, (0.3, 0.8)), (8, (1.2, 2.0)))
    ]


def _best(trial: Trial) -> None:
    """At the minimum the loss has no slope, whatever formula led there."""
    cov, sigma = trial.inputs()[0]
    A = trial.call(cov, sigma).detach().clone().requires_grad_()
    loss = wiener.linear_denoising_loss(A, cov, sigma)
    slope = float(torch.autograd.grad(loss, A)[0].abs().max())
    if slope > 1e-4:
        raise Refused(
            f"at your map the loss still has a slope of {slope:.2g} in one entry: at "
            "the minimum it is 0."
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
        agrees("is Σ(Σ + σ²I)⁻¹", 2.0),
        Criterion("is where the loss has no slope", 1.0, _best),
        Criterion("keeps λ/(λ + σ²) of each axis", 1.0, _shrinks_axis_by_axis),
    ),
    steps={
        "axes": lambda cov: linalg.eigh(cov).eigenvectors,
        "values": lambda cov: linalg.eigvalsh(cov),
        "kept": lambda values, sigma: values / (values + sigma**2),
        "identity": lambda cov: torch.eye(len(cov), dtype=cov.dtype),
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
    },
)


# --- psnr ---------------------------------------------------------------------------


def _psnr_inputs(generator: torch.Generator) -> list[Arguments]:
    def draw(N: int, D: int, peak: float) -> Arguments:
        x = 0.9 * uniform(generator, N, D)
        scale = 0.02 + 0.2 * uniform(generator, N, 1)
        return peak * x, peak * (x + scale * normal(generator, N, D)), peak

    return [
        draw(4, 9, 1.0),
        draw(3, 7, 255.0),
        draw(6, 5, between(generator, 3, 9, F64)),
    ]


def _ten_decibels(trial: Trial) -> None:
    x, x_hat, peak = trial.inputs()[0]
    closer = x + (x_hat - x) / math.sqrt(10)
    gain = trial.call(x, closer, peak) - trial.call(x, x_hat, peak)
    trial.expect_close(
        torch.as_tensor(gain, dtype=x.dtype),
        torch.tensor(10.0, dtype=x.dtype),
        "a tenth of the squared error must give 10 dB more",
        1e-6,
    )


def _unit_free(trial: Trial) -> None:
    x, x_hat, peak = trial.inputs()[0]
    trial.expect_close(
        trial.call(255 * x, 255 * x_hat, 255 * peak),
        trial.call(x, x_hat, peak),
        "bytes (peak 255) and grey in [0, 1] (peak 1) must agree",
        1e-6,
    )


PSNR = declare(
    WORDS["psnr"],
    images.psnr,
    _psnr_inputs,
    criteria=(
        agrees("is 10 log₁₀(peak² / mean squared error)", 2.0),
        Criterion("rises by 10 dB for a tenth of the error", 1.0, _ten_decibels),
        Criterion("does not depend on the unit of grey", 1.0, _unit_free),
    ),
    steps={
        "gap": lambda x, x_hat: x - x_hat,
        "square": lambda gap: gap**2,
        "error": lambda square: square.mean(),
        "ratio": lambda peak, error: peak**2 / error,
        "answer": lambda ratio: 10 * ratio.log10(),
    },
    mistakes={
        "peak_not_squared": instead(ratio=lambda peak, error: peak / error),
        "peak_forgotten": instead(peak=lambda: 1),
        "sum_over_pixels": instead(error=lambda square: square.sum()),
        "sum_over_rows": instead(error=lambda square: square.sum(1).mean()),
        "natural_logarithm": lambda ratio: 10 * ratio.log(),
        "factor_twenty": lambda ratio: 20 * ratio.log10(),
        "factor_ten_with_the_root": lambda ratio: 10 * ratio.sqrt().log10(),
        "upside_down": instead(ratio=lambda ratio: 1 / ratio),
        "peak_read_off_the_image": instead(peak=lambda x: x.max()),
        "mean_of_the_decibels": lambda peak, square: (
            10 * (peak**2 / square.mean(1)).log10().mean()
        ),
        "absolute_error": instead(error=lambda gap: gap.abs().mean()),
        "power_of_the_signal": instead(ratio=lambda x, error: (x**2).mean() / error),
        "absolute_error_with_twenty": lambda peak, gap: (
            20 * (peak / gap.abs().mean()).log10()
        ),
        "bels": lambda ratio: ratio.log10(),
        "variance_of_the_error": instead(error=lambda gap: gap.var()),
    },
)


# --- inpaint_gaussian ---------------------------------------------------------------


def _inpaint_inputs(generator: torch.Generator) -> list[Arguments]:
    def draw(N: int, D: int, missing: int) -> Arguments:
        seen = torch.ones(D, dtype=torch.bool)
        seen[torch.randperm(D, generator=generator)[:missing]] = False
        mean = 2.0 + normal(generator, D)
        return 3.0 + normal(generator, N, D), seen, mean, _covariance(generator, D)

    return [draw(6, 8, 3), draw(5, 11, 4)]


def _blind_to_the_hole(trial: Trial) -> None:
    x, seen, mean, cov = trial.inputs()[0]
    other = torch.where(seen, x, x + 5 * normal(trial.generator, *x.shape))
    trial.expect_close(
        trial.call(other, seen, mean, cov),
        trial.call(x, seen, mean, cov),
        "what stands in the missing dimensions must not matter",
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
    trial.expect_close(got, want, "least squares on 60 examples", 1e-5)


def _filled(x: Tensor, seen: Tensor, guess: Tensor) -> Tensor:
    out = x.clone()
    out[:, ~seen] = guess
    return out


INPAINT_GAUSSIAN = declare(
    WORDS["inpaint_gaussian"],
    wiener.conditional_mean,
    _inpaint_inputs,
    criteria=(
        agrees("fills in μ_m + Σ_ms Σ_ss⁻¹(x_s − μ_s)", 2.0),
        Criterion("leaves the seen dimensions as they are", 1.0, _keeps_what_is_seen),
        Criterion("does not look into the hole", 1.0, _blind_to_the_hole),
        Criterion("equals a regression fitted to data", 1.0, _is_the_regression),
        rows_stand_alone(),
    ),
    steps={
        "precision": lambda cov: linalg.inv(cov),
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
        "added_to_the_hole": instead(guess=lambda x, seen, guess: x[:, ~seen] + guess),
    },
)


# --- smoothed_score -----------------------------------------------------------------


def _score_inputs(generator: torch.Generator) -> list[Arguments]:
    def draw(Q: int, N: int, D: int) -> Arguments:
        x = 1.5 * normal(generator, Q, D)
        return (
            x,
            normal(generator, N, D),
            between(generator, 0.6, 1.4, F64),
        )

    return [draw(5, 11, 3), draw(7, 9, 4)]


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
        agrees("is (r(x) − x)/σ² with the best denoiser r", 2.0),
        Criterion(
            "is the gradient of the smoothed log density", 1.0, _gradient_of_log_density
        ),
        Criterion("points straight at a single data point", 1.0, _one_point),
        rows_stand_alone(),
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
    },
)

EXERCISES = (WIENER_FILTER, PSNR, INPAINT_GAUSSIAN, SMOOTHED_SCORE)
