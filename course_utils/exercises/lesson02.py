"""Exercises of lesson 02: Wiener filter, PSNR, inpainting, the score of a denoiser."""

from __future__ import annotations

import math

import torch

from course_utils.exercises.base import (
    Arguments,
    Criterion,
    Exercise,
    Misconception,
    Refused,
    Trial,
    agrees,
    normal,
    rows_stand_alone,
)
from course_utils.metrics import images
from course_utils.oracles import mixture2d, wiener

# The probes are float64, but torch.eye(D) and torch.tensor(sigma) are float32 unless
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


def _wiener_probes(generator: torch.Generator) -> list[Arguments]:
    return [
        (_covariance(generator, D), _between(generator, *sigma))
        for D, sigma in ((5, (0.3, 0.8)), (8, (1.2, 2.0)))
    ]


def _best(trial: Trial) -> None:
    """At the minimum the loss has no slope, whatever formula led there."""
    cov, sigma = trial.probes()[0]
    A = trial.call(cov, sigma).detach().clone().requires_grad_()
    loss = wiener.linear_denoising_loss(A, cov, sigma)
    slope = float(torch.autograd.grad(loss, A)[0].abs().max())
    if slope > 1e-4:
        raise Refused(
            f"at your map the loss still has a slope of {slope:.2g} in one entry: at "
            "the minimum it is 0."
        )


def _shrinks_axis_by_axis(trial: Trial) -> None:
    cov, sigma = trial.probes()[0]
    values, axes = torch.linalg.eigh(cov)
    got = axes.T @ trial.call(cov, sigma) @ axes
    want = torch.diag(values / (values + sigma**2))
    trial.expect_close(got, want, "in the axes of Σ, λ/(λ + σ²) on the diagonal")


def _eigenvectors_transposed(cov: torch.Tensor, sigma: float) -> torch.Tensor:
    values, axes = torch.linalg.eigh(cov)
    return axes.T @ torch.diag(values / (values + sigma**2)) @ axes


WIENER_FILTER = Exercise(
    name="wiener_filter",
    title="the linear map that denoises best",
    reference=wiener.wiener_filter,
    returns="(D, D) matrix A",
    probes=_wiener_probes,
    criteria=(
        agrees("is Σ(Σ + σ²I)⁻¹", 2.0),
        Criterion("is where the loss has no slope", 1.0, _best),
        Criterion("keeps λ/(λ + σ²) of each axis", 1.0, _shrinks_axis_by_axis),
    ),
    misconceptions=(
        Misconception(
            "sigma_not_squared",
            "You add σ to the diagonal. The noise adds its *variance*, σ².",
            lambda cov, sigma: cov @ torch.linalg.inv(cov + sigma * _identity(cov)),
        ),
        Misconception(
            "what_is_removed",
            "You return σ²(Σ + σ²I)⁻¹, which is I − A: the part the filter removes. "
            "A itself keeps the data.",
            lambda cov, sigma: (
                sigma**2 * torch.linalg.inv(cov + sigma**2 * _identity(cov))
            ),
        ),
        Misconception(
            "upside_down",
            "You have the fraction upside down, (Σ + σ²I)Σ⁻¹: that enlarges every "
            "direction, most where there is hardly any data.",
            lambda cov, sigma: (
                (cov + sigma**2 * _identity(cov)) @ torch.linalg.inv(cov)
            ),
        ),
        Misconception(
            "only_the_inverse",
            "You return (Σ + σ²I)⁻¹ alone. The normal equations have Σ on the other "
            "side: multiply by it.",
            lambda cov, sigma: torch.linalg.inv(cov + sigma**2 * _identity(cov)),
        ),
        Misconception(
            "elementwise_division",
            "You divide element by element. The formula needs the inverse of a matrix: "
            "torch.linalg.solve or torch.linalg.inv.",
            lambda cov, sigma: cov / (cov + sigma**2 * _identity(cov)),
        ),
        Misconception(
            "added_everywhere",
            "You add σ² to every entry of Σ. White noise is independent from pixel to "
            "pixel: it adds to the diagonal only, σ² times the identity.",
            lambda cov, sigma: cov @ torch.linalg.inv(cov + sigma**2),
        ),
        Misconception(
            "covariance_taken_for_the_noisy_one",
            "You use (Σ − σ²I)Σ⁻¹, which is right if Σ is the covariance of the noisy "
            "data. Here it is that of the clean data.",
            lambda cov, sigma: (
                (cov - sigma**2 * _identity(cov)) @ torch.linalg.inv(cov)
            ),
        ),
        Misconception(
            "pixel_by_pixel",
            "You use the variances on the diagonal only, so each pixel is filtered by "
            "itself. The neighbours tell about a pixel too: use the whole matrix.",
            lambda cov, sigma: torch.diag(cov.diag() / (cov.diag() + sigma**2)),
        ),
        Misconception(
            "noise_doubled",
            "You count the noise twice, 2σ²: its covariance is σ²I, once.",
            lambda cov, sigma: (
                cov @ torch.linalg.inv(cov + 2 * sigma**2 * _identity(cov))
            ),
        ),
        Misconception(
            "elementwise_product",
            "You multiply the inverse by Σ element by element, with *, where the "
            "product of two matrices is meant, which is written @.",
            lambda cov, sigma: torch.linalg.inv(cov + sigma**2 * _identity(cov)) * cov,
        ),
        Misconception(
            "eigenvectors_transposed",
            "You have the transpose on the wrong side: torch.linalg.eigh returns the "
            "eigenvectors as columns of U, and so the filter is U diag(s) Uᵀ.",
            _eigenvectors_transposed,
        ),
    ),
    hints=(
        "Set the derivative of E‖x − A(x + σε)‖² with respect to A to zero. Which two "
        "covariances are left?",
        "Clean with noisy has covariance Σ; noisy with noisy has Σ + σ²I. So "
        "A(Σ + σ²I) = Σ.",
        "torch.eye(len(cov), dtype=cov.dtype) is I. Multiply cov by the inverse "
        "(torch.linalg.inv) of cov plus σ² times it.",
    ),
    tolerance=TOLERANCE,
)


# --- psnr ---------------------------------------------------------------------------


def _psnr_probes(generator: torch.Generator) -> list[Arguments]:
    def draw(N: int, D: int, peak: float) -> Arguments:
        x = 0.9 * torch.rand(N, D, generator=generator, dtype=torch.float64)
        scale = 0.02 + 0.2 * torch.rand(N, 1, generator=generator, dtype=torch.float64)
        return peak * x, peak * (x + scale * normal(generator, N, D)), peak

    return [draw(4, 9, 1.0), draw(3, 7, 255.0), draw(6, 5, _between(generator, 3, 9))]


def _ten_decibels(trial: Trial) -> None:
    x, x_hat, peak = trial.probes()[0]
    closer = x + (x_hat - x) / math.sqrt(10)
    gain = trial.call(x, closer, peak) - trial.call(x, x_hat, peak)
    trial.expect_close(
        torch.as_tensor(gain, dtype=x.dtype),
        torch.tensor(10.0, dtype=x.dtype),
        "a tenth of the squared error must give 10 dB more",
        1e-6,
    )


def _unit_free(trial: Trial) -> None:
    x, x_hat, peak = trial.probes()[0]
    trial.expect_close(
        trial.call(255 * x, 255 * x_hat, 255 * peak),
        trial.call(x, x_hat, peak),
        "bytes (peak 255) and grey in [0, 1] (peak 1) must agree",
        1e-6,
    )


def _error(x: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    return ((x - x_hat) ** 2).mean()


PSNR = Exercise(
    name="psnr",
    title="peak signal-to-noise ratio in decibels",
    reference=images.psnr,
    returns="one number, in decibels",
    probes=_psnr_probes,
    criteria=(
        agrees("is 10 log₁₀(peak² / mean squared error)", 2.0),
        Criterion("rises by 10 dB for a tenth of the error", 1.0, _ten_decibels),
        Criterion("does not depend on the unit of grey", 1.0, _unit_free),
    ),
    misconceptions=(
        Misconception(
            "peak_not_squared",
            "You divide the peak by a squared error. Both must be squares: peak² over "
            "the mean squared error.",
            lambda x, x_hat, peak: 10 * torch.log10(peak / _error(x, x_hat)),
        ),
        Misconception(
            "peak_forgotten",
            "You leave the peak out, which is right only where it is 1. Bytes have the "
            "peak 255.",
            lambda x, x_hat, peak: -10 * torch.log10(_error(x, x_hat)),
        ),
        Misconception(
            "sum_over_pixels",
            "You sum the squared error. PSNR takes its mean over all pixels, so that "
            "large and small images can be compared.",
            lambda x, x_hat, peak: 10 * torch.log10(peak**2 / ((x - x_hat) ** 2).sum()),
        ),
        Misconception(
            "sum_over_rows",
            "You sum over the pixels and average over the images, as the course's "
            "loss does. PSNR takes the mean over every pixel of every image.",
            lambda x, x_hat, peak: (
                10 * torch.log10(peak**2 / ((x - x_hat) ** 2).sum(1).mean())
            ),
        ),
        Misconception(
            "natural_logarithm",
            "You use the natural logarithm. Decibels use base 10: torch.log10.",
            lambda x, x_hat, peak: 10 * torch.log(peak**2 / _error(x, x_hat)),
        ),
        Misconception(
            "factor_twenty",
            "Your value is doubled: 20 belongs in front of the logarithm of peak over "
            "*root* mean squared error, 10 in front of that of the squares.",
            lambda x, x_hat, peak: 20 * torch.log10(peak**2 / _error(x, x_hat)),
        ),
        Misconception(
            "factor_ten_with_the_root",
            "Your value is halved: with the root of the error and the plain peak the "
            "factor is 20; 10 belongs to their squares.",
            lambda x, x_hat, peak: 10 * torch.log10(peak / _error(x, x_hat).sqrt()),
        ),
        Misconception(
            "upside_down",
            "Your sign is wrong: you have the error over the peak. A better image must "
            "have more decibels.",
            lambda x, x_hat, peak: 10 * torch.log10(_error(x, x_hat) / peak**2),
        ),
        Misconception(
            "peak_read_off_the_image",
            "You take the largest value in the image as the peak. The peak is the "
            "largest value a pixel *can* have, and it was passed in.",
            lambda x, x_hat, peak: 10 * torch.log10(x.max() ** 2 / _error(x, x_hat)),
        ),
        Misconception(
            "mean_of_the_decibels",
            "You take a PSNR per image and average those. Take one mean squared error "
            "over everything and one logarithm: the two differ, by Jensen.",
            lambda x, x_hat, peak: (
                10 * torch.log10(peak**2 / ((x - x_hat) ** 2).mean(1)).mean()
            ),
        ),
        Misconception(
            "absolute_error",
            "You use the absolute error. PSNR is defined with the squared one.",
            lambda x, x_hat, peak: 10 * torch.log10(peak**2 / (x - x_hat).abs().mean()),
        ),
        Misconception(
            "power_of_the_signal",
            "You divide the mean square of the image by the error: that is the plain "
            "signal-to-noise ratio. The *peak* one has peak² above the line.",
            lambda x, x_hat, peak: 10 * torch.log10((x**2).mean() / _error(x, x_hat)),
        ),
        Misconception(
            "absolute_error_with_twenty",
            "Your factor 20 goes with the *root* of the mean squared error, and you "
            "have the mean absolute error there.",
            lambda x, x_hat, peak: 20 * torch.log10(peak / (x - x_hat).abs().mean()),
        ),
        Misconception(
            "bels",
            "You leave out the factor 10: a decibel is a tenth of a bel, and the "
            "logarithm alone counts bels.",
            lambda x, x_hat, peak: torch.log10(peak**2 / _error(x, x_hat)),
        ),
        Misconception(
            "variance_of_the_error",
            "You use the variance of the error, which leaves out the mean error: an "
            "image that is too bright by the same amount everywhere would be perfect.",
            lambda x, x_hat, peak: 10 * torch.log10(peak**2 / torch.var(x - x_hat)),
        ),
    ),
    hints=(
        "Read the name: peak signal over noise, both as squares, in decibels.",
        "One mean squared error over every pixel; then 10 times a base-10 logarithm.",
        "Inside torch.log10 stands peak² divided by the mean of (x - x_hat)².",
    ),
    tolerance=TOLERANCE,
)


# --- inpaint_gaussian ---------------------------------------------------------------


def _inpaint_probes(generator: torch.Generator) -> list[Arguments]:
    def draw(N: int, D: int, missing: int) -> Arguments:
        seen = torch.ones(D, dtype=torch.bool)
        seen[torch.randperm(D, generator=generator)[:missing]] = False
        mean = 2.0 + normal(generator, D)
        return 3.0 + normal(generator, N, D), seen, mean, _covariance(generator, D)

    return [draw(6, 8, 3), draw(5, 11, 4)]


def _blind_to_the_hole(trial: Trial) -> None:
    x, seen, mean, cov = trial.probes()[0]
    other = torch.where(seen, x, x + 5 * normal(trial.generator, *x.shape))
    trial.expect_close(
        trial.call(other, seen, mean, cov),
        trial.call(x, seen, mean, cov),
        "what stands in the missing dimensions must not matter",
    )


def _keeps_what_is_seen(trial: Trial) -> None:
    x, seen, mean, cov = trial.probes()[0]
    got = trial.call(x, seen, mean, cov)
    trial.expect_close(got[:, seen], x[:, seen], "the seen dimensions must stay")


def _is_the_regression(trial: Trial) -> None:
    """Compare with a least-squares fit on data, not with the formula."""
    _, seen, _, _ = trial.probes()[0]
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


INPAINT_GAUSSIAN = Exercise(
    name="inpaint_gaussian",
    title="fill a hole with the conditional mean",
    reference=wiener.conditional_mean,
    returns="(N, D), the data with the missing dimensions filled in",
    probes=_inpaint_probes,
    criteria=(
        agrees("fills in μ_m + Σ_ms Σ_ss⁻¹(x_s − μ_s)", 2.0),
        Criterion("leaves the seen dimensions as they are", 1.0, _keeps_what_is_seen),
        Criterion("does not look into the hole", 1.0, _blind_to_the_hole),
        Criterion("equals a regression fitted to data", 1.0, _is_the_regression),
        rows_stand_alone(),
    ),
    misconceptions=(
        Misconception(
            "only_the_mean",
            "You fill in the mean of the missing dimensions. What is seen tells more: "
            "add the regression of the missing on the seen.",
            lambda x, seen, mean, cov: _filled(x, seen, mean[~seen].expand(len(x), -1)),
        ),
        Misconception(
            "no_centring",
            "You use x_s as it is and add no mean. The formula works on deviations: "
            "subtract the mean of the seen, add the mean of the missing.",
            lambda x, seen, mean, cov: _filled(
                x, seen, x[:, seen] @ _gain(cov, seen).T
            ),
        ),
        Misconception(
            "mean_not_subtracted",
            "You add the mean of the missing dimensions but do not subtract the mean "
            "of the seen ones before multiplying.",
            lambda x, seen, mean, cov: _filled(
                x, seen, mean[~seen] + x[:, seen] @ _gain(cov, seen).T
            ),
        ),
        Misconception(
            "mean_not_added",
            "You subtract the mean of the seen dimensions but do not add the mean of "
            "the missing ones at the end.",
            lambda x, seen, mean, cov: _filled(
                x, seen, (x - mean)[:, seen] @ _gain(cov, seen).T
            ),
        ),
        Misconception(
            "inverse_forgotten",
            "You multiply by Σ_ms without Σ_ss⁻¹. A covariance has squared units; the "
            "inverse turns it into a regression weight.",
            lambda x, seen, mean, cov: _filled(
                x, seen, mean[~seen] + (x - mean)[:, seen] @ cov[seen][:, ~seen]
            ),
        ),
        Misconception(
            "seen_taken_as_independent",
            "You divide by the variances of the seen dimensions only, as if these did "
            "not depend on each other: evidence is counted several times.",
            lambda x, seen, mean, cov: _filled(
                x,
                seen,
                mean[~seen]
                + (x - mean)[:, seen] @ (cov[~seen][:, seen] / cov.diag()[seen]).T,
            ),
        ),
        Misconception(
            "block_of_the_inverse",
            "You invert the whole Σ and cut out the seen block. Cut first, then "
            "invert: the inverse of a block is not the block of the inverse.",
            lambda x, seen, mean, cov: _filled(
                x,
                seen,
                mean[~seen]
                + (x - mean)[:, seen]
                @ (cov[~seen][:, seen] @ torch.linalg.inv(cov)[seen][:, seen]).T,
            ),
        ),
        Misconception(
            "sign_of_the_precision",
            "Your deviation has the wrong sign. With the precision Λ = Σ⁻¹ the answer "
            "is μ_m *minus* Λ_mm⁻¹Λ_ms(x_s − μ_s).",
            _precision_sign,
        ),
        Misconception(
            "mask_inverted",
            "You have the mask the wrong way round: True marks what is *seen*. You "
            "overwrite the seen dimensions with a guess from the missing ones.",
            lambda x, seen, mean, cov: wiener.conditional_mean(x, ~seen, mean, cov),
        ),
        Misconception(
            "mean_of_the_batch",
            "You centre with the mean of the batch. Use the mean that was passed in: "
            "the answer for one example must not depend on those beside it.",
            lambda x, seen, mean, cov: wiener.conditional_mean(x, seen, x.mean(0), cov),
        ),
        Misconception(
            "added_to_the_hole",
            "You add the guess to what stands in the hole, where nothing is known: "
            "assign with =, not with +=.",
            lambda x, seen, mean, cov: _filled(
                x,
                seen,
                x[:, ~seen] + mean[~seen] + (x - mean)[:, seen] @ _gain(cov, seen).T,
            ),
        ),
    ),
    hints=(
        "For centred data: which matrix W makes W x_s the best linear guess of x_m? It "
        "is the normal equation again, W Σ_ss = Σ_ms.",
        "cov[~seen][:, seen] is Σ_ms, cov[seen][:, seen] is Σ_ss. Work on deviations "
        "from the mean, and put the mean back at the end.",
        "Start from filled = x.clone(), so that the seen part is done; then assign to "
        "filled[:, ~seen]. With rows as examples the weight W is applied as @ W.T.",
    ),
    tolerance=TOLERANCE,
)


# --- smoothed_score -----------------------------------------------------------------


def _score_probes(generator: torch.Generator) -> list[Arguments]:
    def draw(Q: int, N: int, D: int) -> Arguments:
        x = 1.5 * normal(generator, Q, D)
        return x, normal(generator, N, D), _between(generator, 0.6, 1.4)

    return [draw(5, 11, 3), draw(7, 9, 4)]


def _gradient_of_log_density(trial: Trial) -> None:
    x, data, sigma = trial.probes()[0]
    at = x.clone().requires_grad_()
    square = ((at[:, None] - data) ** 2).sum(2)
    log_density = torch.logsumexp(-square / (2 * sigma**2), 1).sum()
    want = torch.autograd.grad(log_density, at)[0]
    trial.expect_close(trial.call(x, data, sigma), want, "autograd of log p_σ")


def _one_point(trial: Trial) -> None:
    x, data, sigma = trial.probes()[0]
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


SMOOTHED_SCORE = Exercise(
    name="smoothed_score",
    title="the score that the best denoiser holds",
    reference=mixture2d.smoothed_score,
    returns="(Q, D), one score vector a point",
    probes=_score_probes,
    criteria=(
        agrees("is (r(x) − x)/σ² with the best denoiser r", 2.0),
        Criterion(
            "is the gradient of the smoothed log density",
            1.0,
            _gradient_of_log_density,
        ),
        Criterion("points straight at a single data point", 1.0, _one_point),
        rows_stand_alone(),
    ),
    misconceptions=(
        Misconception(
            "divided_by_sigma",
            "You divide by σ. Differentiating −‖x − xₙ‖²/(2σ²) gives the *variance* "
            "below the line: divide by σ².",
            lambda x, data, sigma: (_weights(x, data, sigma) @ data - x) / sigma,
        ),
        Misconception(
            "not_divided",
            "You return the residual r(x) − x. Divide it by σ² to get the score.",
            lambda x, data, sigma: _weights(x, data, sigma) @ data - x,
        ),
        Misconception(
            "the_denoiser_itself",
            "You return r(x), the denoised point. The score is its residual "
            "r(x) − x, divided by σ².",
            lambda x, data, sigma: _weights(x, data, sigma) @ data,
        ),
        Misconception(
            "sign",
            "Your arrows point away from the data: the score is (r(x) − x)/σ², from x "
            "to the denoised point.",
            lambda x, data, sigma: (x - _weights(x, data, sigma) @ data) / sigma**2,
        ),
        Misconception(
            "half_forgotten",
            "The weights lack the ½ of the Gaussian: the exponent is −‖x − xₙ‖²/(2σ²).",
            lambda x, data, sigma: (
                (torch.softmax(-_square(x, data) / sigma**2, 1) @ data - x) / sigma**2
            ),
        ),
        Misconception(
            "sigma_not_squared_in_the_weights",
            "The exponent of the weights has σ where σ² is meant: −‖x − xₙ‖²/(2σ²).",
            lambda x, data, sigma: (
                (torch.softmax(-_square(x, data) / (2 * sigma), 1) @ data - x)
                / sigma**2
            ),
        ),
        Misconception(
            "distance_not_squared",
            "The weights use the distance to a data point. A Gaussian falls off with "
            "the *squared* distance.",
            lambda x, data, sigma: (
                (torch.softmax(-_square(x, data).sqrt() / (2 * sigma**2), 1) @ data - x)
                / sigma**2
            ),
        ),
        Misconception(
            "mean_over_dimensions",
            "You average the squared differences over the D dimensions. A squared "
            "distance is their sum.",
            lambda x, data, sigma: (
                (
                    torch.softmax(-_square(x, data) / x.shape[1] / (2 * sigma**2), 1)
                    @ data
                    - x
                )
                / sigma**2
            ),
        ),
        Misconception(
            "softmax_over_the_wrong_axis",
            "Your softmax runs over the points x. For each x the weights of the *data "
            "points* must sum to 1: dim=1 of the (Q, N) table.",
            _wrong_axis,
        ),
        Misconception(
            "nearest_point_only",
            "You take the nearest data point alone. Every point could be the clean "
            "one: weight them all by a softmax.",
            lambda x, data, sigma: (data[_square(x, data).argmin(1)] - x) / sigma**2,
        ),
        Misconception(
            "equal_weights",
            "You weight all data points equally. Those near x are likelier to be the "
            "clean point: use a softmax of −‖x − xₙ‖²/(2σ²).",
            lambda x, data, sigma: (data.mean(0) - x) / sigma**2,
        ),
        Misconception(
            "gradient_of_the_density",
            "You return the gradient of the density. The score is that of its "
            "*logarithm*: divide by the density, which makes the weights sum to 1.",
            _gradient_of_density,
        ),
        Misconception(
            "weights_not_normalised",
            "Your weights do not sum to 1: the exponentials must be divided by their "
            "sum over the data points, which a softmax does.",
            lambda x, data, sigma: (
                (torch.exp(-_square(x, data) / (2 * sigma**2)) @ data - x) / sigma**2
            ),
        ),
        Misconception(
            "normalised_over_the_table",
            "You divide by the sum of the whole table of weights, but they must sum to "
            "1 for *each* x: sum over dim=1, with keepdim=True.",
            _one_sum_for_all,
        ),
        Misconception(
            "minus_lost",
            "The exponent of your weights has lost its minus, so the data points "
            "*farthest* from x count most: it is −‖x − xₙ‖²/(2σ²).",
            lambda x, data, sigma: (
                (torch.softmax(_square(x, data) / (2 * sigma**2), 1) @ data - x)
                / sigma**2
            ),
        ),
        Misconception(
            "halved",
            "You divide the residual by 2σ², but the derivative of the square cancels "
            "the ½ of the exponent: divide by σ².",
            lambda x, data, sigma: (
                (_weights(x, data, sigma) @ data - x) / (2 * sigma**2)
            ),
        ),
    ),
    hints=(
        "Differentiate log Σₙ exp(−‖x − xₙ‖²/(2σ²)). What multiplies each (xₙ − x)/σ²?",
        "The weights of the data points are a softmax over n of −‖x − xₙ‖²/(2σ²). "
        "x[:, None] - examples has shape (Q, N, D).",
        "weights @ examples, with weights (Q, N), is r(x). Subtract x, divide by σ².",
    ),
    tolerance=TOLERANCE,
)

EXERCISES = (WIENER_FILTER, PSNR, INPAINT_GAUSSIAN, SMOOTHED_SCORE)
