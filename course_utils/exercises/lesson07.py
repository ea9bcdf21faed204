"""Exercises of lesson 07: the two terms, a fair grid, a density, the effective β."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from torch.special import ndtri

from course_utils import objectives, plots
from course_utils.grading.criteria import (
    agrees,
    at_the_edges,
    between,
    gradients,
    normal,
    output,
    rows_stand_alone,
    uniform,
)
from course_utils.grading.declare import Step, Steps, declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.grading.values import as_float

Pair = tuple[Tensor, Tensor]
LOG_2PI = math.log(2 * math.pi)
WORDS = words_beside(__file__)


def _own_row(dims: tuple[int, ...]) -> Criterion:
    """Each example on its own, and not the same answer for all of them."""
    alone = rows_stand_alone(dims=dims)

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            got = trial.call(*arguments)
            for part in got if isinstance(got, tuple | list) else (got,):
                if part.max() - part.min() < 1e-9:
                    raise Refused("your function gives every example the same number.")
        alone.test(trial)

    return Criterion(alone.text, alone.points, test)


# The rate in named steps, and the slips in them; lesson 08 has both again.
RATE_STEPS: dict[str, Step] = {
    "square": lambda mu: mu**2,
    "variance": lambda logvar: logvar.exp(),
    "log_variance": lambda logvar: logvar,
}
RATE_SLIPS: dict[str, Steps] = {
    "log_sigma": instead(logvar=lambda logvar: 2 * logvar),
    "variance_squared": instead(variance=lambda variance: variance**2),
    "sigma_for_variance": instead(variance=lambda variance: variance.sqrt()),
    "no_exp": instead(variance=lambda logvar: logvar),
    "mu_not_squared": instead(square=lambda mu: mu),
    "mu_size": instead(square=lambda mu: mu.abs()),
    "mu_left_out": instead(square=lambda: 0),
    "logvar_left_out": instead(log_variance=lambda: 0),
    "logvar_added": instead(log_variance=lambda logvar: -logvar),
    "logvar_halved": instead(log_variance=lambda logvar: logvar / 2),
    "logvar_doubled": instead(log_variance=lambda logvar: 2 * logvar),
}


# --- negative_elbo ------------------------------------------------------------------


def _passes(generator: torch.Generator) -> list[Arguments]:
    """Binary data, logits, and codes: batch, D and K all differ."""
    drawn: list[Arguments] = []
    for count, D, K in ((5, 11, 3), (7, 9, 4)):
        chance = uniform(generator, count, D)
        x = torch.bernoulli(chance, generator=generator)
        logits = 1.5 * normal(generator, count, D)
        mu, logvar = normal(generator, count, K), normal(generator, count, K) - 0.7
        drawn.append((x, logits, mu, logvar))
    return drawn


def _hard_passes(generator: torch.Generator) -> dict[str, Arguments]:
    (x, logits, mu, logvar), _ = _passes(generator)
    steep = torch.tensor([-800.0, -60.0, 60.0, 800.0], dtype=torch.float64)
    places = torch.randint(4, logits.shape, generator=generator)
    low, high = (x, logits, mu, logvar - 35), (x, logits, mu, logvar + 21)
    return {
        "logits of ±60 and ±800, where a sigmoid rounds to 0 or 1 and an exponential "
        "overflows (work on the logits themselves)": (x, steep[places], mu, logvar),
        "logvar about -35 (take it as it is, with no clamp)": low,
        "logvar about 21 (take it as it is, with no clamp)": high,
    }


def negative_elbo(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    """Distortion and rate of a batch at one drawn z an example, (N,) each, in nats."""
    distortion = -objectives.bernoulli_log_prob(x, logits)
    return distortion, objectives.gaussian_kl(mu, logvar)


def _cut(value: Tensor) -> Tensor:
    return value.detach()


NEGATIVE_ELBO = declare(
    WORDS["negative_elbo"],
    negative_elbo,
    _passes,
    criteria=(
        output(0, "distortion", what="the distortion, the cross-entropy"),
        output(1, "rate", what="the rate, the KL to the prior"),
        at_the_edges(_hard_passes, "exact at extreme logits and variances"),
        gradients("both terms can be trained through"),
        _own_row((0, 0, 0, 0)),
    ),
    gradients=(1, 2, 3),
    steps={
        "entropies": lambda x, logits: functional.binary_cross_entropy_with_logits(
            logits, x, reduction="none"
        ),
        "shares": lambda logits: logits.sigmoid(),
        **RATE_STEPS,
        "kls": lambda square, variance, log_variance: (
            0.5 * (square + variance - log_variance - 1)
        ),
        "distortion": lambda entropies: entropies.sum(1),
        "rate": lambda kls: kls.sum(1),
        "answer": lambda distortion, rate: (distortion, rate),
    },
    mistakes={
        "mean_over_pixels": instead(distortion=lambda entropies: entropies.mean(1)),
        "mean_over_latents": instead(rate=lambda kls: kls.mean(1)),
        "both_means": lambda entropies, kls: (entropies.mean(1), kls.mean(1)),
        "log_likelihood": instead(distortion=lambda distortion: -distortion),
        "negative_kl": instead(rate=lambda rate: -rate),
        "sigmoid_twice": instead(logits=lambda logits: logits.sigmoid()),
        "logits_as_probabilities": instead(
            entropies=lambda x, logits: -x * logits.log() - (1 - x) * (1 - logits).log()
        ),
        "squared_error": instead(entropies=lambda x, shares: (x - shares) ** 2),
        "half_squared_error": instead(
            entropies=lambda x, shares: (x - shares) ** 2 / 2
        ),
        "squared_error_of_logits": instead(
            entropies=lambda x, logits: (x - logits) ** 2
        ),
        "absolute_error": instead(entropies=lambda x, shares: (x - shares).abs()),
        "white_ignored": instead(
            entropies=lambda x, logits: -x * functional.logsigmoid(logits)
        ),
        "ink_ignored": instead(
            entropies=lambda x, logits: (1 - x) * functional.softplus(logits)
        ),
        "arguments_swapped": instead(
            entropies=lambda x, shares: functional.binary_cross_entropy(
                x, shares, reduction="none"
            )
        ),
        "arguments_swapped_with_logits": instead(
            entropies=lambda x, logits: functional.softplus(x) - x * logits
        ),
        "pixels_784": instead(distortion=lambda entropies: 784 * entropies.mean(1)),
        "pixels_64": instead(distortion=lambda entropies: 64 * entropies.mean(1)),
        "distortion_detached": instead(distortion=lambda distortion: _cut(distortion)),
        "rate_detached": instead(rate=lambda rate: _cut(rate)),
        "both_detached": lambda distortion, rate: (_cut(distortion), _cut(rate)),
        "distortion_of_batch": instead(
            distortion=lambda x, entropies: entropies.mean().expand(len(x))
        ),
        "softmax_over_pixels": instead(
            distortion=lambda x, logits: -(x * logits.log_softmax(1)).sum(1)
        ),
        "white_sign": instead(
            entropies=lambda x, logits: (
                -x * functional.logsigmoid(logits)
                + (1 - x) * functional.logsigmoid(-logits)
            )
        ),
        "loss_and_rate": lambda distortion, rate: (distortion + rate, rate),
        "mean_of_all_kls": instead(rate=lambda x, kls: kls.mean().expand(len(x))),
        "half_dropped": instead(rate=lambda rate: 2 * rate),
        "logvar_squared": instead(variance=lambda logvar: logvar**2),
        "one_missing": instead(kls=lambda kls: kls + 0.5),
        "one_added": instead(kls=lambda kls: kls + 1),
        "kl_reversed": instead(
            kls=lambda mu, logvar, variance: 0.5 * ((1 + mu**2) / variance + logvar - 1)
        ),
        "one_subtracted_once": instead(rate=lambda kls: (kls + 0.5).sum(1) - 0.5),
        "both_signs": lambda distortion, rate: (-distortion, -rate),
        "default_reduction": lambda entropies, rate: (entropies.mean(), rate.mean()),
        "batch_mean": lambda distortion, rate: (distortion.mean(), rate.mean()),
        "batch_sum": lambda distortion, rate: (distortion.sum(), rate.sum()),
        "scalar_kl": instead(rate=lambda rate: rate.sum().expand_as(rate)),
        "scalar_mean_kl": instead(rate=lambda rate: rate.mean().expand_as(rate)),
        "kl_sum_beside_rows": instead(rate=lambda rate: rate.sum()),
        "added": lambda distortion, rate: distortion + rate,
        "order_swapped": lambda distortion, rate: (rate, distortion),
        "per_dimension": lambda entropies, kls: (entropies, kls),
        **RATE_SLIPS,
    },
)


# --- quantile_grid ------------------------------------------------------------------


def _counts(generator: torch.Generator) -> list[Arguments]:
    drawn = torch.randperm(30, generator=generator)[:3] + 3
    return [(int(n),) for n in drawn]


def _on_axes(axis: Tensor) -> Tensor:
    """Put an axis left to right and, from the top down, in reverse: (n·n, 2)."""
    rows, columns = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    return torch.stack([columns, rows], dim=2).reshape(-1, 2)


def _equal_mass(trial: Trial) -> None:
    for (n,) in trial.inputs():
        got = trial.call(n)
        want = ndtri((torch.arange(n) + 0.5) / n)[:, None].expand(n, n)
        for axis in (0, 1):
            values = got[:, axis].sort().values.reshape(n, n)
            trial.expect_close(values, want, f"the values of z{axis + 1}, sorted")


def _reading_order(trial: Trial) -> None:
    for (n,) in trial.inputs():
        z = trial.call(n).reshape(n, n, 2)
        right = z[0, 1:, 0] > z[0, :-1, 0]
        down = z[1:, 0, 1] < z[:-1, 0, 1]
        same = z[:, :, 0].std(0).max() + z[:, :, 1].std(1).max()
        if not (right.all() and down.all() and same < 1e-4):
            raise Refused(
                "the points are not in reading order: within a row z1 grows, z2 stays; "
                "from row to row z2 falls, so that the top row comes first."
            )


QUANTILE_GRID = declare(
    WORDS["quantile_grid"],
    plots.quantile_grid,
    _counts,
    criteria=(
        Criterion("every column and row stands for 1/n", 1.0, _equal_mass),
        Criterion("in reading order, the top row first", 1.0, _reading_order),
        agrees("the grid is right", 3.0),
    ),
    steps={
        "shares": lambda n: (torch.arange(n) + 0.5) / n,
        "axis": lambda shares: ndtri(shares),
        "answer": _on_axes,
    },
    mistakes={
        "square_of_one": instead(axis=lambda n: torch.linspace(-1, 1, n)),
        "square_of_two": instead(axis=lambda n: torch.linspace(-2, 2, n)),
        "square_of_three": instead(axis=lambda n: torch.linspace(-3, 3, n)),
        "ends_cut": instead(shares=lambda n: torch.linspace(0.05, 0.95, n)),
        "narrow_ends_cut": instead(shares=lambda n: torch.linspace(0.01, 0.99, n)),
        "one_too_many": instead(shares=lambda n: torch.linspace(0, 1, n + 2)[1:-1]),
        "with_ends": instead(shares=lambda n: torch.linspace(0, 1, n)),
        "left_edges": instead(shares=lambda n: torch.arange(n) / n),
        "right_edges": instead(shares=lambda n: torch.arange(1, n + 1) / n),
        "counted_from_zero": instead(shares=lambda n: (torch.arange(n) - 0.5) / n),
        "double": lambda answer: answer.double(),
        "not_transformed": instead(axis=lambda shares: shares),
        "root_missing": instead(axis=lambda shares: torch.erfinv(2 * shares - 1)),
        "logistic": instead(axis=lambda shares: torch.logit(shares)),
        "bottom_first": lambda answer: answer * torch.tensor([1.0, -1.0]),
        "columns_first": lambda answer, n: (
            answer.reshape(n, n, 2).transpose(0, 1).reshape(-1, 2)
        ),
        "axes_swapped": lambda answer: answer.flip(1),
        "meshgrid_as_is": lambda axis: torch.cartesian_prod(axis, axis),
        "diagonal": lambda axis: torch.stack([axis, axis], dim=1),
    },
    tolerance=1e-5,
)


# --- gaussian_log_prob --------------------------------------------------------------


def _pixels(generator: torch.Generator) -> list[Arguments]:
    """Draw data, means and one logvar for all pixels, not near 0."""
    drawn: list[Arguments] = []
    for count, D, sign in ((5, 7, -1.0), (4, 11, 1.0)):
        mean = normal(generator, count, D)
        logvar = torch.tensor(sign * between(generator, 0.4, 1.6), dtype=torch.float64)
        x = mean + normal(generator, count, D)
        drawn.append((x, mean, logvar))
    return drawn


def _hard_pixels(generator: torch.Generator) -> dict[str, Arguments]:
    (_, _, logvar), _ = _pixels(generator)
    eps = normal(generator, 4, 5)
    tiny, huge = logvar - 40, logvar.abs() + 30
    near = (tiny / 2).exp() * eps, 0 * eps, tiny
    wide = (huge / 2).exp() * eps, 0 * eps, huge
    far = 30 * normal(generator, 3, 12)
    return {
        f"logvar = {float(tiny):.0f} (take it as it is, with no clamp)": near,
        f"logvar = {float(huge):.0f} (take it as it is, with no clamp)": wide,
        "pixels far from their mean, whose density rounds to 0 (add logarithms, do "
        "not take the logarithm of a density)": (far, 0 * far, 0 * logvar),
    }


def _integrates_to_one(trial: Trial) -> None:
    """Over the plane of two pixels, where what counts once and what D times differ."""
    for _, _, logvar in trial.inputs():
        sigma = float(torch.exp(0.5 * logvar))
        axis = torch.linspace(-10, 10, 81, dtype=torch.float64) * sigma
        x = torch.cartesian_prod(axis, axis)
        density = trial.call(x, torch.zeros_like(x), logvar).exp()
        mass = float(density.sum()) * (sigma / 4) ** 2
        if not abs(mass - 1) < 1e-5:
            raise Refused(
                f"for images of two pixels the density integrates to {mass:.4g}, "
                "expected 1: is every pixel's normaliser there, and right?"
            )


GAUSSIAN_LOG_PROB = declare(
    WORDS["gaussian_log_prob"],
    objectives.gaussian_log_prob,
    _pixels,
    criteria=(
        agrees("equal to the closed form"),
        Criterion("a density: it integrates to 1", 1.0, _integrates_to_one),
        at_the_edges(_hard_pixels, "at any σ, and far from the mean"),
        gradients("the mean and σ can be trained through it"),
        _own_row((0, 0)),
    ),
    gradients=(1, 2),
    steps={
        "D": lambda x: x.shape[1],
        "variance": lambda logvar: logvar.exp(),
        "square": lambda x, mean: (x - mean) ** 2,
        "error": lambda square, variance: square / variance,
        "errors": lambda error: error.sum(1),
        "normaliser": lambda logvar: logvar + LOG_2PI,
        "pixels": lambda error, normaliser: -0.5 * (error + normaliser),
        "answer": lambda pixels: pixels.sum(1),
    },
    mistakes={
        "normaliser_once": lambda errors, normaliser: -0.5 * (errors + normaliser),
        "logvar_once": lambda errors, logvar, D: -0.5 * (errors + logvar + D * LOG_2PI),
        "constant_once": lambda errors, logvar, D: (
            -0.5 * (errors + D * logvar + LOG_2PI)
        ),
        "normaliser_64": lambda errors, normaliser: -0.5 * (errors + 64 * normaliser),
        "normaliser_784": lambda errors, normaliser: -0.5 * (errors + 784 * normaliser),
        "batch_times_pixels": lambda x, errors, normaliser: (
            -0.5 * (errors + x.numel() * normaliser)
        ),
        "no_2pi": instead(normaliser=lambda logvar: logvar),
        "no_logvar": instead(normaliser=lambda: LOG_2PI),
        "no_normaliser": instead(normaliser=lambda: 0),
        "plain_squares": lambda x, mean: -((x - mean) ** 2).sum(1),
        "square_without_half": instead(error=lambda error: 2 * error),
        "all_without_half": lambda answer: 2 * answer,
        "half_on_square_only": instead(normaliser=lambda normaliser: 2 * normaliser),
        "as_log_sigma": instead(logvar=lambda logvar: 2 * logvar),
        "normaliser_sign": instead(normaliser=lambda normaliser: -normaliser),
        "log_sigma_is_logvar": instead(normaliser=lambda logvar: 2 * logvar + LOG_2PI),
        "batch_for_pixels": lambda x, errors, normaliser: (
            -0.5 * (errors + len(x) * normaliser)
        ),
        "sigma_in_normaliser": instead(normaliser=lambda logvar: logvar / 2 + LOG_2PI),
        "logvar_sign": instead(normaliser=lambda logvar: LOG_2PI - logvar),
        "constant_sign": instead(normaliser=lambda logvar: logvar - LOG_2PI),
        "pi_without_log": instead(normaliser=lambda logvar: logvar + 2 * math.pi),
        "variance_without_log": instead(normaliser=lambda variance: variance + LOG_2PI),
        "two_missing": instead(normaliser=lambda logvar: logvar + math.log(math.pi)),
        "error_sign": instead(error=lambda error: -error),
        "error_not_squared": instead(square=lambda x, mean: (x - mean).abs()),
        "distance_not_squared": instead(
            errors=lambda square, variance: square.sum(1).sqrt() / variance,
            answer=lambda errors, normaliser, D: -0.5 * (errors + D * normaliser),
        ),
        "over_variance_squared": instead(variance=lambda variance: variance**2),
        "mean_cut": instead(mean=lambda mean: _cut(mean)),
        "logvar_cut": instead(logvar=lambda logvar: _cut(logvar)),
        "over_sigma": instead(variance=lambda variance: variance.sqrt()),
        "times_variance": instead(variance=lambda variance: 1 / variance),
        "negative_log": lambda answer: -answer,
        "pixel_mean": lambda pixels: pixels.mean(1),
        "half_squares": lambda square: -0.5 * square.sum(1),
        "laplace": lambda x, mean, logvar: (
            torch.distributions.Laplace(mean, (logvar / 2).exp()).log_prob(x).sum(1)
        ),
        "density": lambda answer: answer.exp(),
        "one_number": lambda answer: answer.mean(),
        "each_pixel": lambda pixels: pixels,
    },
)


# --- effective_beta -----------------------------------------------------------------


def _weights(generator: torch.Generator) -> list[Arguments]:
    """Weights of the two terms and σ²: none is 1, none is twice another."""
    small, large = (0.05, 0.4), (1.5, 4.0)
    return [
        tuple(between(generator, *span) for span in ((1.3, 3.0), (0.2, 0.9), noise))
        for noise in (small, large, small)
    ]


def effective_beta(a: float, b: float, sigma2: float) -> float:
    """β that the loss a · Σ_d (x − x̂)² + b · Σ_k KL_k runs, if the noise is σ²."""
    return b / (2 * a * sigma2)


def _edge_weights(generator: torch.Generator) -> list[Arguments]:
    """No KL at all, whole numbers, a mean over many pixels, and a heavy KL."""
    sigma2 = between(generator, 0.2, 0.8)
    return [
        (1.7, 0.0, sigma2),
        (1, 1, 1),
        (1, 3, 2),
        (1 / 12288, 0.00025, sigma2),
        (0.5, 250.0, sigma2),
    ]


def _for_any_weights(trial: Trial) -> None:
    for a, b, sigma2 in [*trial.inputs(), *_edge_weights(trial.generator)]:
        got, want = trial.call(a, b, sigma2), trial.reference(a, b, sigma2)
        trial.expect_close(
            got, want, f"with a = {a:.4g}, b = {b:.4g} and sigma2 = {sigma2:.4g}"
        )


def _scale_free(trial: Trial) -> None:
    for a, b, sigma2 in trial.inputs():
        once = as_float(trial.call(a, b, sigma2))
        trial.expect_close(as_float(trial.call(10 * a, 10 * b, sigma2)), once)
        if abs(as_float(trial.call(a, 2 * b, sigma2)) - 2 * once) > 1e-6 * abs(once):
            raise Refused("twice the weight on the KL must give twice the β.")
        if once == 0:
            raise Refused("β is 0 although the KL has a weight.")


def _own_loss(trial: Trial) -> None:
    for _, beta, sigma2 in trial.inputs():
        got = trial.call(1 / (2 * sigma2), beta, sigma2)
        trial.expect_close(
            as_float(got), beta, "the loss is already −log p(x|z) + β · KL"
        )


EFFECTIVE_BETA = declare(
    WORDS["effective_beta"],
    effective_beta,
    _weights,
    criteria=(
        Criterion("right for any weights and any σ²", 3.0, _for_any_weights),
        Criterion("only the ratio of the two weights counts", 1.0, _scale_free),
        Criterion("a loss that is in order keeps its β", 1.0, _own_loss),
    ),
    mistakes={
        "only_b": lambda b: b,
        "ratio": lambda a, b: b / a,
        "no_half": lambda a, b, sigma2: b / (a * sigma2),
        "unit_variance": instead(sigma2=lambda: 1),
        "upside_down": lambda answer: 1 / answer,
        "ratio_upside_down": lambda a, b: a / b,
        "half_wrong_side": lambda a, b, sigma2: 2 * b / (a * sigma2),
        "variance_wrong_side": instead(sigma2=lambda sigma2: 1 / sigma2),
        "both_wrong_side": lambda a, b, sigma2: 2 * sigma2 * b / a,
        "sigma_squared_again": instead(sigma2=lambda sigma2: sigma2**2),
        "deviation": instead(sigma2=lambda sigma2: math.sqrt(sigma2)),
        "scale_alone": instead(b=lambda: 1),
        "a_wrong_side": instead(a=lambda a: 1 / a),
        "a_forgotten": instead(a=lambda: 1),
        "brackets_missing": lambda a, b, sigma2: b / 2 * a * sigma2,
        "all_multiplied": lambda a, b, sigma2: 2 * a * b * sigma2,
        "half_too_many": lambda answer: answer / 2,
        "at_least_one": lambda answer: max(1.0, answer),
        "at_most_one": lambda answer: min(1.0, answer),
        "whole": lambda answer: float(math.floor(answer)),
        "rounded": lambda answer: round(answer, 1),
        "rounded_twice": lambda answer: round(answer, 2),
        "rounded_thrice": lambda answer: round(answer, 3),
        "share": lambda a, b, sigma2: b / (b + 2 * a * sigma2),
        "share_of_weights": lambda a, b: b / (a + b),
        "pixels_64": lambda answer: 64 * answer,
        "pixels_784": lambda answer: 784 * answer,
        "pixels_averaged": lambda answer: answer / 64,
    },
)

EXERCISES = (NEGATIVE_ELBO, QUANTILE_GRID, GAUSSIAN_LOG_PROB, EFFECTIVE_BETA)
