"""Exercises of lesson 02: Wiener filter, PSNR, inpainting, the score of a denoiser."""

from __future__ import annotations

import math

import torch

from course_utils.grading.criteria import agrees, normal, rows_stand_alone
from course_utils.grading.declare import declare, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.metrics import images
from course_utils.oracles import mixture2d, wiener

WORDS = words_beside(__file__)


# The inputs are float64, but torch.eye(D) and torch.tensor(sigma) are float32 unless
# one asks: right answers come with rounding of up to 1e-7.
TOLERANCE = 1e-6


def _between(generator: torch.Generator, low: float, high: float) -> float:
    share = torch.rand((), generator=generator, dtype=torch.float64)
    return low + (high - low) * float(share)


def _covariance(generator: torch.Generator, D: int) -> torch.Tensor:
    """Draw a well-conditioned covariance."""
    axes = torch.linalg.qr(normal(generator, D, D)).Q
    values = 0.3 + torch.rand(D, generator=generator, dtype=torch.float64)
    cov = axes @ torch.diag(values.cumsum(0)) @ axes.T
    return (cov + cov.T) / 2


def _identity(cov: torch.Tensor) -> torch.Tensor:
    return torch.eye(len(cov), dtype=cov.dtype)


# --- wiener_filter ------------------------------------------------------------------


def _wiener_inputs(generator: torch.Generator) -> list[Arguments]:
    return [
        (_covariance(generator, D), _between(generator, *sigma))
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
    values, axes = torch.linalg.eigh(cov)
    got = axes.T @ trial.call(cov, sigma) @ axes
    want = torch.diag(values / (values + sigma**2))
    trial.expect_close(got, want, "in the axes of Σ, λ/(λ + σ²) on the diagonal")


def _eigenvectors_transposed(cov: torch.Tensor, sigma: float) -> torch.Tensor:
    values, axes = torch.linalg.eigh(cov)
    return axes.T @ torch.diag(values / (values + sigma**2)) @ axes


WIENER_FILTER = declare(
    WORDS["wiener_filter"],
    wiener.wiener_filter,
    _wiener_inputs,
    criteria=(
        agrees("is Σ(Σ + σ²I)⁻¹", 2.0),
        Criterion("is where the loss has no slope", 1.0, _best),
        Criterion("keeps λ/(λ + σ²) of each axis", 1.0, _shrinks_axis_by_axis),
    ),
    mistakes={
        "sigma_not_squared": lambda cov, sigma: (
            cov @ torch.linalg.inv(cov + sigma * _identity(cov))
        ),
        "what_is_removed": lambda cov, sigma: (
            sigma**2 * torch.linalg.inv(cov + sigma**2 * _identity(cov))
        ),
        "upside_down": lambda cov, sigma: (
            (cov + sigma**2 * _identity(cov)) @ torch.linalg.inv(cov)
        ),
        "only_the_inverse": lambda cov, sigma: torch.linalg.inv(
            cov + sigma**2 * _identity(cov)
        ),
        "elementwise_division": lambda cov, sigma: (
            cov / (cov + sigma**2 * _identity(cov))
        ),
        "added_everywhere": lambda cov, sigma: cov @ torch.linalg.inv(cov + sigma**2),
        "covariance_taken_for_the_noisy_one": lambda cov, sigma: (
            (cov - sigma**2 * _identity(cov)) @ torch.linalg.inv(cov)
        ),
        "pixel_by_pixel": lambda cov, sigma: torch.diag(
            cov.diag() / (cov.diag() + sigma**2)
        ),
        "noise_doubled": lambda cov, sigma: (
            cov @ torch.linalg.inv(cov + 2 * sigma**2 * _identity(cov))
        ),
        "elementwise_product": lambda cov, sigma: (
            torch.linalg.inv(cov + sigma**2 * _identity(cov)) * cov
        ),
        "eigenvectors_transposed": _eigenvectors_transposed,
    },
    tolerance=TOLERANCE,
)


# --- psnr ---------------------------------------------------------------------------


def _psnr_inputs(generator: torch.Generator) -> list[Arguments]:
    def draw(N: int, D: int, peak: float) -> Arguments:
        x = 0.9 * torch.rand(N, D, generator=generator, dtype=torch.float64)
        scale = 0.02 + 0.2 * torch.rand(N, 1, generator=generator, dtype=torch.float64)
        return peak * x, peak * (x + scale * normal(generator, N, D)), peak

    return [draw(4, 9, 1.0), draw(3, 7, 255.0), draw(6, 5, _between(generator, 3, 9))]


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


def _error(x: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    return ((x - x_hat) ** 2).mean()


PSNR = declare(
    WORDS["psnr"],
    images.psnr,
    _psnr_inputs,
    criteria=(
        agrees("is 10 log₁₀(peak² / mean squared error)", 2.0),
        Criterion("rises by 10 dB for a tenth of the error", 1.0, _ten_decibels),
        Criterion("does not depend on the unit of grey", 1.0, _unit_free),
    ),
    mistakes={
        "peak_not_squared": lambda x, x_hat, peak: (
            10 * torch.log10(peak / _error(x, x_hat))
        ),
        "peak_forgotten": lambda x, x_hat: -10 * torch.log10(_error(x, x_hat)),
        "sum_over_pixels": lambda x, x_hat, peak: (
            10 * torch.log10(peak**2 / ((x - x_hat) ** 2).sum())
        ),
        "sum_over_rows": lambda x, x_hat, peak: (
            10 * torch.log10(peak**2 / ((x - x_hat) ** 2).sum(1).mean())
        ),
        "natural_logarithm": lambda x, x_hat, peak: (
            10 * torch.log(peak**2 / _error(x, x_hat))
        ),
        "factor_twenty": lambda x, x_hat, peak: (
            20 * torch.log10(peak**2 / _error(x, x_hat))
        ),
        "factor_ten_with_the_root": lambda x, x_hat, peak: (
            10 * torch.log10(peak / _error(x, x_hat).sqrt())
        ),
        "upside_down": lambda x, x_hat, peak: (
            10 * torch.log10(_error(x, x_hat) / peak**2)
        ),
        "peak_read_off_the_image": lambda x, x_hat: (
            10 * torch.log10(x.max() ** 2 / _error(x, x_hat))
        ),
        "mean_of_the_decibels": lambda x, x_hat, peak: (
            10 * torch.log10(peak**2 / ((x - x_hat) ** 2).mean(1)).mean()
        ),
        "absolute_error": lambda x, x_hat, peak: (
            10 * torch.log10(peak**2 / (x - x_hat).abs().mean())
        ),
        "power_of_the_signal": lambda x, x_hat: (
            10 * torch.log10((x**2).mean() / _error(x, x_hat))
        ),
        "absolute_error_with_twenty": lambda x, x_hat, peak: (
            20 * torch.log10(peak / (x - x_hat).abs().mean())
        ),
        "bels": lambda x, x_hat, peak: torch.log10(peak**2 / _error(x, x_hat)),
        "variance_of_the_error": lambda x, x_hat, peak: (
            10 * torch.log10(peak**2 / torch.var(x - x_hat))
        ),
    },
    tolerance=TOLERANCE,
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
    weights = torch.linalg.lstsq(centred[:, seen], centred[:, ~seen]).solution
    want = x.clone()
    want[:, ~seen] = x.mean(0)[~seen] + centred[:, seen] @ weights
    got = trial.call(x, seen, x.mean(0), centred.T @ centred / 60)
    trial.expect_close(got, want, "least squares on 60 examples", 1e-5)


def _filled(x: torch.Tensor, seen: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    out = x.clone()
    out[:, ~seen] = values
    return out


def _gain(cov: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Σ_ms Σ_ss⁻¹, (missing, seen)."""
    return cov[~seen][:, seen] @ torch.linalg.inv(cov[seen][:, seen])


def _precision_sign(
    x: torch.Tensor, seen: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor
) -> torch.Tensor:
    precision = torch.linalg.inv(cov)
    pull = torch.linalg.solve(precision[~seen][:, ~seen], precision[~seen][:, seen])
    return _filled(x, seen, mean[~seen] + (x - mean)[:, seen] @ pull.T)


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
    mistakes={
        "only_the_mean": lambda x, seen, mean: _filled(
            x, seen, mean[~seen].expand(len(x), -1)
        ),
        "no_centring": lambda x, seen, cov: _filled(
            x, seen, x[:, seen] @ _gain(cov, seen).T
        ),
        "mean_not_subtracted": lambda x, seen, mean, cov: _filled(
            x, seen, mean[~seen] + x[:, seen] @ _gain(cov, seen).T
        ),
        "mean_not_added": lambda x, seen, mean, cov: _filled(
            x, seen, (x - mean)[:, seen] @ _gain(cov, seen).T
        ),
        "inverse_forgotten": lambda x, seen, mean, cov: _filled(
            x, seen, mean[~seen] + (x - mean)[:, seen] @ cov[seen][:, ~seen]
        ),
        "seen_taken_as_independent": lambda x, seen, mean, cov: _filled(
            x,
            seen,
            mean[~seen]
            + (x - mean)[:, seen] @ (cov[~seen][:, seen] / cov.diag()[seen]).T,
        ),
        "block_of_the_inverse": lambda x, seen, mean, cov: _filled(
            x,
            seen,
            mean[~seen]
            + (x - mean)[:, seen]
            @ (cov[~seen][:, seen] @ torch.linalg.inv(cov)[seen][:, seen]).T,
        ),
        "sign_of_the_precision": _precision_sign,
        "mask_inverted": lambda x, seen, mean, cov: wiener.conditional_mean(
            x, ~seen, mean, cov
        ),
        "mean_of_the_batch": lambda x, seen, cov: wiener.conditional_mean(
            x, seen, x.mean(0), cov
        ),
        "added_to_the_hole": lambda x, seen, mean, cov: _filled(
            x,
            seen,
            x[:, ~seen] + mean[~seen] + (x - mean)[:, seen] @ _gain(cov, seen).T,
        ),
    },
    tolerance=TOLERANCE,
)


# --- smoothed_score -----------------------------------------------------------------


def _score_inputs(generator: torch.Generator) -> list[Arguments]:
    def draw(Q: int, N: int, D: int) -> Arguments:
        x = 1.5 * normal(generator, Q, D)
        return x, normal(generator, N, D), _between(generator, 0.6, 1.4)

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


def _square(x: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    return ((x[:, None] - data) ** 2).sum(2)


def _weights(x: torch.Tensor, data: torch.Tensor, sigma: float) -> torch.Tensor:
    return torch.softmax(-_square(x, data) / (2 * sigma**2), 1)


def _wrong_axis(x: torch.Tensor, data: torch.Tensor, sigma: float) -> torch.Tensor:
    weights = torch.softmax(-_square(x, data) / (2 * sigma**2), 0)
    return (weights @ data - x) / sigma**2


def _gradient_of_density(
    x: torch.Tensor, data: torch.Tensor, sigma: float
) -> torch.Tensor:
    D = x.shape[1]
    heights = torch.exp(-_square(x, data) / (2 * sigma**2))
    heights = heights / (2 * math.pi * sigma**2) ** (D / 2) / len(data)
    return (heights @ data - heights.sum(1, keepdim=True) * x) / sigma**2


def _one_sum_for_all(x: torch.Tensor, data: torch.Tensor, sigma: float) -> torch.Tensor:
    heights = torch.exp(-_square(x, data) / (2 * sigma**2))
    return (heights / heights.sum() @ data - x) / sigma**2


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
    mistakes={
        "divided_by_sigma": lambda x, data, sigma: (
            (_weights(x, data, sigma) @ data - x) / sigma
        ),
        "not_divided": lambda x, data, sigma: _weights(x, data, sigma) @ data - x,
        "the_denoiser_itself": lambda x, data, sigma: _weights(x, data, sigma) @ data,
        "sign": lambda x, data, sigma: (x - _weights(x, data, sigma) @ data) / sigma**2,
        "half_forgotten": lambda x, data, sigma: (
            (torch.softmax(-_square(x, data) / sigma**2, 1) @ data - x) / sigma**2
        ),
        "sigma_not_squared_in_the_weights": lambda x, data, sigma: (
            (torch.softmax(-_square(x, data) / (2 * sigma), 1) @ data - x) / sigma**2
        ),
        "distance_not_squared": lambda x, data, sigma: (
            (torch.softmax(-_square(x, data).sqrt() / (2 * sigma**2), 1) @ data - x)
            / sigma**2
        ),
        "mean_over_dimensions": lambda x, data, sigma: (
            (
                torch.softmax(-_square(x, data) / x.shape[1] / (2 * sigma**2), 1) @ data
                - x
            )
            / sigma**2
        ),
        "softmax_over_the_wrong_axis": _wrong_axis,
        "nearest_point_only": lambda x, data, sigma: (
            (data[_square(x, data).argmin(1)] - x) / sigma**2
        ),
        "equal_weights": lambda x, data, sigma: (data.mean(0) - x) / sigma**2,
        "gradient_of_the_density": _gradient_of_density,
        "weights_not_normalised": lambda x, data, sigma: (
            (torch.exp(-_square(x, data) / (2 * sigma**2)) @ data - x) / sigma**2
        ),
        "normalised_over_the_table": _one_sum_for_all,
        "minus_lost": lambda x, data, sigma: (
            (torch.softmax(_square(x, data) / (2 * sigma**2), 1) @ data - x) / sigma**2
        ),
        "halved": lambda x, data, sigma: (
            (_weights(x, data, sigma) @ data - x) / (2 * sigma**2)
        ),
    },
    tolerance=TOLERANCE,
)

EXERCISES = (WIENER_FILTER, PSNR, INPAINT_GAUSSIAN, SMOOTHED_SCORE)
