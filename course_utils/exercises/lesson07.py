"""Exercises of lesson 07: the two terms, a fair grid, a density, the effective β."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from course_utils import objectives, plots
from course_utils.exercises.base import (
    Arguments,
    Criterion,
    Exercise,
    Misconception,
    Refused,
    Trial,
    agrees,
    as_float,
    between,
    normal,
    rows_stand_alone,
)

Pair = tuple[Tensor, Tensor]
LOG_2PI = math.log(2 * math.pi)


def _own_row(points: float, batched: tuple[int, ...]) -> Criterion:
    """Each example on its own, and not the same answer for all of them."""
    alone = rows_stand_alone(batched=batched)

    def test(trial: Trial) -> None:
        for arguments in trial.probes():
            got = trial.call(*arguments)
            for part in got if isinstance(got, tuple | list) else (got,):
                if part.max() - part.min() < 1e-9:
                    raise Refused("your function gives every example the same number.")
        alone.test(trial)

    return Criterion(alone.text, points, test)


# --- negative_elbo ------------------------------------------------------------------


def _passes(generator: torch.Generator) -> list[Arguments]:
    """Binary data, logits, and codes: batch, D and K all differ."""
    drawn: list[Arguments] = []
    for count, D, K in ((5, 11, 3), (7, 9, 4)):
        chance = torch.rand(count, D, generator=generator, dtype=torch.float64)
        x = torch.bernoulli(chance, generator=generator)
        logits = 1.5 * normal(generator, count, D)
        mu, logvar = normal(generator, count, K), normal(generator, count, K) - 0.7
        drawn.append((x, logits, mu, logvar))
    return drawn


def negative_elbo(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    """Distortion and rate of a batch at one drawn z an example, (N,) each, in nats."""
    distortion = -objectives.bernoulli_log_prob(x, logits)
    return distortion, objectives.gaussian_kl(mu, logvar)


def _part(place: int, text: str, points: float) -> Criterion:
    def test(trial: Trial) -> None:
        for arguments in trial.probes():
            got, want = trial.call(*arguments), trial.reference(*arguments)
            trial.expect_close(got[place], want[place], text)

    return Criterion(text, points, test)


def _entropies(x: Tensor, logits: Tensor) -> Tensor:  # (N, D)
    return functional.binary_cross_entropy_with_logits(logits, x, reduction="none")


def _kls(mu: Tensor, logvar: Tensor) -> Tensor:  # (N, K)
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1)


def _mean_over_pixels(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _entropies(x, logits).mean(1), _kls(mu, logvar).sum(1)


def _mean_over_latents(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _entropies(x, logits).sum(1), _kls(mu, logvar).mean(1)


def _both_means(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _entropies(x, logits).mean(1), _kls(mu, logvar).mean(1)


def _log_likelihood(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return -_entropies(x, logits).sum(1), _kls(mu, logvar).sum(1)


def _negative_kl(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _entropies(x, logits).sum(1), -_kls(mu, logvar).sum(1)


def _sigmoid_twice(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _entropies(x, logits.sigmoid()).sum(1), _kls(mu, logvar).sum(1)


def _squared_error(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return ((x - logits.sigmoid()) ** 2).sum(1), _kls(mu, logvar).sum(1)


def _white_ignored(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    ink = -(x * functional.logsigmoid(logits)).sum(1)
    return ink, _kls(mu, logvar).sum(1)


def _arguments_swapped(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    crossed = functional.binary_cross_entropy(x, logits.sigmoid(), reduction="none")
    return crossed.sum(1), _kls(mu, logvar).sum(1)


def _log_sigma(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _entropies(x, logits).sum(1), _kls(mu, 2 * logvar).sum(1)


def _half_dropped(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _entropies(x, logits).sum(1), 2 * _kls(mu, logvar).sum(1)


def _logvar_squared(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    kl = 0.5 * (mu**2 + logvar**2 - logvar - 1)
    return _entropies(x, logits).sum(1), kl.sum(1)


def _kl_reversed(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    kl = 0.5 * ((1 + mu**2) * torch.exp(-logvar) + logvar - 1)
    return _entropies(x, logits).sum(1), kl.sum(1)


def _sigma_for_variance(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    kl = 0.5 * (mu**2 + torch.exp(0.5 * logvar) - logvar - 1)
    return _entropies(x, logits).sum(1), kl.sum(1)


def _one_subtracted_once(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    kl = 0.5 * ((mu**2 + logvar.exp() - logvar).sum(1) - 1)
    return _entropies(x, logits).sum(1), kl


def _both_signs(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return -_entropies(x, logits).sum(1), -_kls(mu, logvar).sum(1)


def _default_reduction(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _entropies(x, logits).mean(), _kls(mu, logvar).sum(1).mean()


def _batch_mean(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    distortion, rate = negative_elbo(x, logits, mu, logvar)
    return distortion.mean(), rate.mean()


def _batch_sum(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    distortion, rate = negative_elbo(x, logits, mu, logvar)
    return distortion.sum(), rate.sum()


def _scalar_kl(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    distortion, rate = negative_elbo(x, logits, mu, logvar)
    return distortion, rate.sum().expand_as(distortion)


def _scalar_mean_kl(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    distortion, rate = negative_elbo(x, logits, mu, logvar)
    return distortion, rate.mean().expand_as(distortion)


def _kl_sum_beside_rows(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    distortion, rate = negative_elbo(x, logits, mu, logvar)
    return distortion, rate.sum()


def _added(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    distortion, rate = negative_elbo(x, logits, mu, logvar)
    return distortion + rate


def _order_swapped(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    distortion, rate = negative_elbo(x, logits, mu, logvar)
    return rate, distortion


def _per_dimension(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _entropies(x, logits), _kls(mu, logvar)


SUMMED_KL = (
    "The KL is summed over the batch as well, so every example pays for all of them: "
    "sum over the latents only, `.sum(1)`, one number an example."
)

NEGATIVE_ELBO = Exercise(
    name="negative_elbo",
    title="the two terms of a VAE's loss",
    reference=negative_elbo,
    returns="distortion (batch,) and rate (batch,)",
    probes=_passes,
    criteria=(
        _part(0, "distortion", 2.0),
        _part(1, "rate", 2.0),
        _own_row(1.0, batched=(0, 1, 2, 3)),
    ),
    misconceptions=(
        Misconception(
            "mean_over_pixels",
            "The cross-entropy is averaged over the pixels: log p(x|z) of independent "
            "pixels is their *sum*. Beside a summed KL this trains with β = D.",
            _mean_over_pixels,
        ),
        Misconception(
            "mean_over_latents",
            "The KL is averaged over the latents: the KL of independent latents is "
            "their *sum*. Beside a summed cross-entropy this trains with β = 1/K.",
            _mean_over_latents,
        ),
        Misconception(
            "both_means",
            "Both terms are averages over dimensions. Over D pixels and K latents they "
            "are sums; these averages train with β = D/K.",
            _both_means,
        ),
        Misconception(
            "log_likelihood",
            "This is log p(x|z), which is at most 0: the distortion is minus that.",
            _log_likelihood,
        ),
        Misconception(
            "negative_kl",
            "The rate has the wrong sign: a KL is never negative. The KL itself is "
            "½ Σ (μ² + σ² − log σ² − 1).",
            _negative_kl,
        ),
        Misconception(
            "sigmoid_twice",
            "The sigmoid is applied twice: a function `…_with_logits` applies it by "
            "itself and wants the logits as they are.",
            _sigmoid_twice,
        ),
        Misconception(
            "squared_error",
            "This is a squared error: zeros and ones have the likelihood "
            "π^x (1 − π)^(1−x), whose logarithm is the cross-entropy.",
            _squared_error,
        ),
        Misconception(
            "white_ignored",
            "Only the pixels with ink are counted: those with x = 0 contribute "
            "(1 − x) log(1 − π) as well.",
            _white_ignored,
        ),
        Misconception(
            "arguments_swapped",
            "The arguments of the cross-entropy are swapped: torch wants the "
            "prediction first and the data second.",
            _arguments_swapped,
        ),
        Misconception(
            "log_sigma",
            "The KL takes logvar for log σ: it is log σ², so σ² = exp(logvar) and "
            "log σ² is logvar itself.",
            _log_sigma,
        ),
        Misconception(
            "half_dropped",
            "The KL misses its ½, so the rate is twice too large: this trains with "
            "β = 2.",
            _half_dropped,
        ),
        Misconception(
            "logvar_squared",
            "The variance in the KL is exp(logvar): logvar was squared instead.",
            _logvar_squared,
        ),
        Misconception(
            "kl_reversed",
            "This is KL(p(z) ‖ q(z|x)). The rate is KL(q(z|x) ‖ p(z)), with the "
            "expectation under q.",
            _kl_reversed,
        ),
        Misconception(
            "sigma_for_variance",
            "The KL has σ where σ² belongs: σ² is exp(logvar), while "
            "exp(½ logvar) is σ.",
            _sigma_for_variance,
        ),
        Misconception(
            "one_subtracted_once",
            "The 1 of the KL is subtracted once an example: every latent has one, so "
            "it belongs inside the sum and counts K times.",
            _one_subtracted_once,
        ),
        Misconception(
            "both_signs",
            "These are the terms of the ELBO. The loss is minus the ELBO: distortion "
            "= −log p(x|z) and rate = KL, both at least 0 here.",
            _both_signs,
        ),
        Misconception(
            "default_reduction",
            "The cross-entropy is averaged over pixels *and* batch, the default of "
            'torch: ask for reduction="none", then `.sum(1)`, one number an example.',
            _default_reduction,
        ),
        Misconception(
            "batch_mean",
            "Both are averaged over the batch: return one number an example, (batch,); "
            "the mean over the batch is taken later.",
            _batch_mean,
        ),
        Misconception(
            "batch_sum",
            "Both are summed over the batch too: sum over pixels and over latents, "
            "`.sum(1)`, and keep one number an example.",
            _batch_sum,
        ),
        Misconception("scalar_kl", SUMMED_KL, _scalar_kl),
        Misconception(
            "scalar_mean_kl",
            "The KL is one number for the whole batch, its mean: each example has its "
            "own rate, `.sum(1)` over its latents.",
            _scalar_mean_kl,
        ),
        Misconception("kl_sum_beside_rows", SUMMED_KL, _kl_sum_beside_rows),
        Misconception(
            "added",
            "These are the two terms added up. Return them apart, distortion first: "
            "one cannot see what went wrong in a sum.",
            _added,
        ),
        Misconception(
            "order_swapped",
            "The two terms are right and in the wrong order: distortion first, then "
            "rate.",
            _order_swapped,
        ),
        Misconception(
            "per_dimension",
            "The sums are missing: add the cross-entropy over the pixels and the KL "
            "over the latents, `.sum(1)`.",
            _per_dimension,
        ),
    ),
    hints=(
        "Which of the four arguments does each term need? The distortion compares x "
        "with the decoder's logits; the rate looks at mu and logvar alone.",
        "For one pixel, −log p(x|z) = −x log π − (1 − x) log(1 − π) with π = "
        "sigmoid(logit). torch.nn.functional.binary_cross_entropy_with_logits(logits, "
        'x, reduction="none") gives it for all, (batch, D). The KL is the closed form '
        "of lesson 05.",
        "distortion = (that).sum(1), and rate = half of (mu**2 + logvar.exp() − logvar "
        "− 1) summed over dim 1. Return both.",
    ),
)


# --- quantile_grid ------------------------------------------------------------------


def _counts(generator: torch.Generator) -> list[Arguments]:
    drawn = torch.randperm(30, generator=generator)[:3] + 3
    return [(int(n),) for n in drawn]


def _on_axes(axis: Tensor) -> Tensor:
    """Put an axis left to right and, from the top down, in reverse: (n·n, 2)."""
    rows, columns = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    return torch.stack([columns, rows], dim=2).reshape(-1, 2)


def _middles(n: int) -> Tensor:
    return (torch.arange(n) + 0.5) / n


def _equal_mass(trial: Trial) -> None:
    for (n,) in trial.probes():
        got = trial.call(n)
        for axis in (0, 1):
            values = got[:, axis].sort().values.reshape(n, n)
            want = torch.special.ndtri(_middles(n))[:, None].expand(n, n)
            trial.expect_close(values, want, f"the values of z{axis + 1}, sorted")


def _reading_order(trial: Trial) -> None:
    for (n,) in trial.probes():
        z = trial.call(n).reshape(n, n, 2)
        right = z[0, 1:, 0] > z[0, :-1, 0]
        down = z[1:, 0, 1] < z[:-1, 0, 1]
        same = z[:, :, 0].std(0).max() + z[:, :, 1].std(1).max()
        if not (right.all() and down.all() and same < 1e-4):
            raise Refused(
                "the points are not in reading order: within a row z1 grows, z2 stays; "
                "from row to row z2 falls, so that the top row comes first."
            )


def _square_of_one(n: int) -> Tensor:
    return _on_axes(torch.linspace(-1, 1, n))


def _square_of_three(n: int) -> Tensor:
    return _on_axes(torch.linspace(-3, 3, n))


def _square_of_two(n: int) -> Tensor:
    return _on_axes(torch.linspace(-2, 2, n))


def _ends_cut(n: int) -> Tensor:
    return _on_axes(torch.special.ndtri(torch.linspace(0.05, 0.95, n)))


def _narrow_ends_cut(n: int) -> Tensor:
    return _on_axes(torch.special.ndtri(torch.linspace(0.01, 0.99, n)))


def _one_too_many(n: int) -> Tensor:
    return _on_axes(torch.special.ndtri(torch.linspace(0, 1, n + 2)[1:-1]))


def _with_ends(n: int) -> Tensor:
    return _on_axes(torch.special.ndtri(torch.linspace(0, 1, n)))


def _left_edges(n: int) -> Tensor:
    return _on_axes(torch.special.ndtri(torch.arange(n) / n))


def _right_edges(n: int) -> Tensor:
    return _on_axes(torch.special.ndtri(torch.arange(1, n + 1) / n))


def _counted_from_zero(n: int) -> Tensor:
    return _on_axes(torch.special.ndtri((torch.arange(n) - 0.5) / n))


def _double(n: int) -> Tensor:
    return plots.quantile_grid(n).double()


def _not_transformed(n: int) -> Tensor:
    return _on_axes(_middles(n))


def _root_missing(n: int) -> Tensor:
    return _on_axes(torch.erfinv(2 * _middles(n) - 1))


def _logistic(n: int) -> Tensor:
    return _on_axes(torch.logit(_middles(n)))


def _bottom_first(n: int) -> Tensor:
    return plots.quantile_grid(n) * torch.tensor([1.0, -1.0])


def _columns_first(n: int) -> Tensor:
    return plots.quantile_grid(n).reshape(n, n, 2).transpose(0, 1).reshape(-1, 2)


def _axes_swapped(n: int) -> Tensor:
    return plots.quantile_grid(n).flip(1)


def _meshgrid_as_is(n: int) -> Tensor:
    return torch.cartesian_prod(*[torch.special.ndtri(_middles(n))] * 2)


def _diagonal(n: int) -> Tensor:
    axis = torch.special.ndtri(_middles(n))
    return torch.stack([axis, axis], dim=1)


EVEN_STEPS = (
    "These are even steps: they give the rare corners as much room as the crowded "
    "middle. Take the quantiles of N(0, 1), torch.special.ndtri."
)
ENDS = (
    "These quantiles leave the same share out at both ends, whatever n is. Take the "
    "middles of n equal shares, (i − ½)/n: then every tile stands for 1/n²."
)

QUANTILE_GRID = Exercise(
    name="quantile_grid",
    title="a grid on which every tile stands for the same share of the prior",
    reference=plots.quantile_grid,
    returns="(n·n, 2) points of the latent plane, float32",
    probes=_counts,
    criteria=(
        Criterion("every column and row stands for 1/n", 1.0, _equal_mass),
        Criterion("in reading order, the top row first", 1.0, _reading_order),
        agrees("the grid is right", 3.0),
    ),
    misconceptions=(
        Misconception(
            "square_of_one",
            "This is the square [−1, 1]², which holds 46.6 % of the prior: take "
            "quantiles of N(0, 1), torch.special.ndtri.",
            _square_of_one,
        ),
        Misconception("square_of_two", EVEN_STEPS, _square_of_two),
        Misconception("square_of_three", EVEN_STEPS, _square_of_three),
        Misconception("ends_cut", ENDS, _ends_cut),
        Misconception("narrow_ends_cut", ENDS, _narrow_ends_cut),
        Misconception(
            "one_too_many",
            "These are i/(n + 1): n points between n + 1 equal shares, so the outer "
            "tiles stand for more than 1/n. Take the middles of n shares, (i − ½)/n.",
            _one_too_many,
        ),
        Misconception(
            "with_ends",
            "The quantiles at 0 and 1 are −∞ and ∞: take the middles of n equal "
            "shares, (i − ½)/n.",
            _with_ends,
        ),
        Misconception(
            "left_edges",
            "These are the left edges of the n shares, the first at −∞: take their "
            "middles, (i − ½)/n.",
            _left_edges,
        ),
        Misconception(
            "right_edges",
            "These are the right edges of the n shares, the last at ∞: take their "
            "middles, (i − ½)/n.",
            _right_edges,
        ),
        Misconception(
            "counted_from_zero",
            "In (i − ½)/n the i runs from 1 to n, but torch.arange(n) from 0: the "
            "first share is negative, its quantile NaN. Take (arange(n) + 0.5)/n.",
            _counted_from_zero,
        ),
        Misconception(
            "double",
            "The grid is right, but in float64 (numpy's and scipy's choice), and the "
            "decoder's weights are float32: return `.float()`.",
            _double,
        ),
        Misconception(
            "not_transformed",
            "These are the shares (i − ½)/n themselves: the codes are the quantiles "
            "of N(0, 1) at these shares, torch.special.ndtri.",
            _not_transformed,
        ),
        Misconception(
            "root_missing",
            "The quantile of N(0, 1) is √2 · erfinv(2p − 1): the √2 is missing.",
            _root_missing,
        ),
        Misconception(
            "logistic",
            "log(p/(1 − p)) is the quantile of the logistic distribution: for N(0, 1) "
            "it is torch.special.ndtri(p).",
            _logistic,
        ),
        Misconception(
            "bottom_first",
            "The rows come bottom first: images are drawn from the top down, so z2 has "
            "to fall from row to row.",
            _bottom_first,
        ),
        Misconception(
            "columns_first",
            "The points run down the columns first: within a row z1 grows and z2 "
            "stays.",
            _columns_first,
        ),
        Misconception(
            "axes_swapped",
            "z1 and z2 are swapped: z1 is the horizontal axis, the first column.",
            _axes_swapped,
        ),
        Misconception(
            "meshgrid_as_is",
            'A grid with indexing="ij" lets its *first* coordinate run down, and '
            "upwards in value: make the row z2, falling, and the column z1, growing.",
            _meshgrid_as_is,
        ),
        Misconception(
            "diagonal",
            "These are n points on the diagonal: every z1 has to meet every z2, n·n "
            "points.",
            _diagonal,
        ),
    ),
    hints=(
        "First one axis: n numbers that cut a standard normal into shares of 1/n, one "
        "in the middle of each share. Then all pairs.",
        "axis = torch.special.ndtri((torch.arange(n) + 0.5) / n). torch.meshgrid(…, "
        'indexing="ij") gives a value that changes from row to row and one that '
        "changes from column to column.",
        'rows, columns = torch.meshgrid(axis.flip(0), axis, indexing="ij"); the '
        "columns are z1, the rows z2: stack them in the last dimension and reshape to "
        "(n·n, 2).",
    ),
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


def gaussian_log_prob(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """Log-density N(x; mean, exp(logvar) I) of each example, (N,), in nats."""
    return objectives.gaussian_log_prob(x, mean, logvar)


def _integrates_to_one(trial: Trial) -> None:
    for _, _, logvar in trial.probes():
        sigma = float(torch.exp(0.5 * logvar))
        x = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None] * sigma
        density = trial.call(x, torch.zeros_like(x), logvar).exp()
        mass = float(density.sum()) * 24 * sigma / 4000
        if not abs(mass - 1) < 1e-6:
            raise Refused(
                f"for one pixel the density integrates to {mass:.4g}, expected 1."
            )


def _normaliser_once(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    square = ((x - mean) ** 2).sum(1) / logvar.exp()
    return -0.5 * (square + logvar + LOG_2PI)


def _no_2pi(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * ((x - mean) ** 2 / logvar.exp() + logvar).sum(1)


def _no_logvar(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * ((x - mean) ** 2 / logvar.exp() + LOG_2PI).sum(1)


def _no_normaliser(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * ((x - mean) ** 2 / logvar.exp()).sum(1)


def _plain_squares(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -((x - mean) ** 2).sum(1)


def _square_without_half(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    normaliser = 0.5 * (logvar + LOG_2PI)
    return -((x - mean) ** 2 / logvar.exp() + normaliser).sum(1)


def _all_without_half(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return 2 * gaussian_log_prob(x, mean, logvar)


def _half_on_square_only(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -(0.5 * (x - mean) ** 2 / logvar.exp() + logvar + LOG_2PI).sum(1)


def _as_log_sigma(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return gaussian_log_prob(x, mean, 2 * logvar)


def _normaliser_sign(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * ((x - mean) ** 2 / logvar.exp() - logvar - LOG_2PI).sum(1)


def _log_sigma_is_logvar(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -(0.5 * (x - mean) ** 2 / logvar.exp() + logvar + 0.5 * LOG_2PI).sum(1)


def _batch_for_pixels(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    square = ((x - mean) ** 2).sum(1) / logvar.exp()
    return -0.5 * (square + len(x) * (logvar + LOG_2PI))


def _over_sigma(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    square = (x - mean) ** 2 / torch.exp(0.5 * logvar)
    return -0.5 * (square + logvar + LOG_2PI).sum(1)


def _times_variance(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * ((x - mean) ** 2 * logvar.exp() + logvar + LOG_2PI).sum(1)


def _negative_log(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -gaussian_log_prob(x, mean, logvar)


def _pixel_mean(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return gaussian_log_prob(x, mean, logvar) / x.shape[1]


def _density(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return gaussian_log_prob(x, mean, logvar).exp()


def _one_number(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return gaussian_log_prob(x, mean, logvar).mean()


def _each_pixel(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * ((x - mean) ** 2 / logvar.exp() + logvar + LOG_2PI)


GAUSSIAN_LOG_PROB = Exercise(
    name="gaussian_log_prob",
    title="the log-density of grey pixels with a learned σ",
    reference=gaussian_log_prob,
    returns="(batch,) log-density in nats",
    probes=_pixels,
    criteria=(
        agrees("equal to the closed form", 3.0),
        Criterion("a density: it integrates to 1", 1.0, _integrates_to_one),
        _own_row(1.0, batched=(0, 1)),
    ),
    misconceptions=(
        Misconception(
            "normaliser_once",
            "The normaliser log σ² + log 2π is added once an image: every pixel has "
            "one, so it counts D times.",
            _normaliser_once,
        ),
        Misconception(
            "no_2pi",
            "log 2π is missing: without it this is no density, and values of models "
            "with other likelihoods cannot be compared.",
            _no_2pi,
        ),
        Misconception(
            "no_logvar",
            "The normaliser misses log σ². With a learned σ nothing then holds it "
            "back: σ → ∞ makes every error free.",
            _no_logvar,
        ),
        Misconception(
            "no_normaliser",
            "The normaliser −½(log 2π + log σ²) of each pixel is missing. With a "
            "learned σ nothing then holds it back: σ → ∞ makes every error free.",
            _no_normaliser,
        ),
        Misconception(
            "plain_squares",
            "This is minus the squared error: it lacks the division by 2σ² and the "
            "normaliser, so it takes no notice of σ.",
            _plain_squares,
        ),
        Misconception(
            "square_without_half",
            "The squared error misses its ½: the exponent of a Gaussian is "
            "−(x − mean)²/(2σ²).",
            _square_without_half,
        ),
        Misconception(
            "all_without_half",
            "The ½ is missing in front of everything: this is twice the log-density.",
            _all_without_half,
        ),
        Misconception(
            "half_on_square_only",
            "The normaliser misses its ½: log √(2πσ²) is ½(log 2π + log σ²).",
            _half_on_square_only,
        ),
        Misconception(
            "as_log_sigma",
            "logvar was taken for log σ: it is log σ², so σ² = exp(logvar).",
            _as_log_sigma,
        ),
        Misconception(
            "normaliser_sign",
            "The normaliser has the wrong sign: −½ stands before all three parts, "
            "(x − m)²/σ², log σ² and log 2π.",
            _normaliser_sign,
        ),
        Misconception(
            "log_sigma_is_logvar",
            "The normaliser takes logvar for log σ: log σ is ½ logvar, so the sum has "
            "½ logvar for each pixel.",
            _log_sigma_is_logvar,
        ),
        Misconception(
            "batch_for_pixels",
            "The normaliser counts once for each example of the batch: it has to "
            "count once for each of the D pixels, x.shape[1].",
            _batch_for_pixels,
        ),
        Misconception(
            "over_sigma",
            "The squared error is divided by σ: divide by σ² = exp(logvar).",
            _over_sigma,
        ),
        Misconception(
            "times_variance",
            "The squared error is multiplied by σ²: divide by it. A small σ makes an "
            "error costly.",
            _times_variance,
        ),
        Misconception(
            "negative_log",
            "The sign is wrong: this is −log N, the distortion. The log-density is "
            "largest at x = mean.",
            _negative_log,
        ),
        Misconception(
            "pixel_mean",
            "This is the average over the pixels: the log-density of an image of "
            "independent pixels is the *sum*.",
            _pixel_mean,
        ),
        Misconception(
            "density",
            "This is the density itself: return its logarithm. With many pixels the "
            "density over- or underflows.",
            _density,
        ),
        Misconception(
            "one_number",
            "This is the mean over the batch: return one number an example, (batch,).",
            _one_number,
        ),
        Misconception(
            "each_pixel",
            "The sum over the pixels is missing: `.sum(1)`, one number an example.",
            _each_pixel,
        ),
    ),
    hints=(
        "One pixel first: N(x; m, σ²) = exp(−(x − m)²/(2σ²)) / √(2πσ²). Take the "
        "logarithm.",
        "log N = −½[(x − m)²/σ² + log σ² + log 2π], with σ² = exp(logvar) and "
        "log σ² = logvar. Pixels are independent given z: their logarithms add.",
        "Put the three parts of the bracket together *before* the sum over dim 1; then "
        "the normaliser counts once for each pixel by itself.",
    ),
)


# --- effective_beta -----------------------------------------------------------------


def _weights(generator: torch.Generator) -> list[Arguments]:
    """Weights of the two terms and σ²: none is 1, none is twice another."""
    return [
        (
            between(generator, 1.3, 3.0),
            between(generator, 0.2, 0.9),
            between(generator, *spread),
        )
        for spread in ((0.05, 0.4), (1.5, 4.0), (0.05, 0.4))
    ]


def effective_beta(a: float, b: float, sigma2: float) -> float:
    """β that the loss a · Σ_d (x − x̂)² + b · Σ_k KL_k runs, if the noise is σ²."""
    return b / (2 * a * sigma2)


def _scale_free(trial: Trial) -> None:
    for a, b, sigma2 in trial.probes():
        once = as_float(trial.call(a, b, sigma2))
        trial.expect_close(as_float(trial.call(10 * a, 10 * b, sigma2)), once)
        if abs(as_float(trial.call(a, 2 * b, sigma2)) - 2 * once) > 1e-6 * abs(once):
            raise Refused("twice the weight on the KL must give twice the β.")
        if once == 0:
            raise Refused("β is 0 although the KL has a weight.")


def _own_loss(trial: Trial) -> None:
    for _, beta, sigma2 in trial.probes():
        got = trial.call(1 / (2 * sigma2), beta, sigma2)
        trial.expect_close(
            as_float(got), beta, "the loss is already −log p(x|z) + β · KL"
        )


def _only_b(a: float, b: float, sigma2: float) -> float:
    return b


def _ratio(a: float, b: float, sigma2: float) -> float:
    return b / a


def _no_half(a: float, b: float, sigma2: float) -> float:
    return b / (a * sigma2)


def _unit_variance(a: float, b: float, sigma2: float) -> float:
    return b / (2 * a)


def _upside_down(a: float, b: float, sigma2: float) -> float:
    return 2 * a * sigma2 / b


def _ratio_upside_down(a: float, b: float, sigma2: float) -> float:
    return a / b


def _half_wrong_side(a: float, b: float, sigma2: float) -> float:
    return 2 * b / (a * sigma2)


def _variance_wrong_side(a: float, b: float, sigma2: float) -> float:
    return b * sigma2 / (2 * a)


def _both_wrong_side(a: float, b: float, sigma2: float) -> float:
    return 2 * b * sigma2 / a


def _sigma_squared_again(a: float, b: float, sigma2: float) -> float:
    return b / (2 * a * sigma2**2)


def _deviation(a: float, b: float, sigma2: float) -> float:
    return b / (2 * a * math.sqrt(sigma2))


def _scale_alone(a: float, b: float, sigma2: float) -> float:
    return 1 / (2 * a * sigma2)


def _a_wrong_side(a: float, b: float, sigma2: float) -> float:
    return a * b / (2 * sigma2)


def _a_forgotten(a: float, b: float, sigma2: float) -> float:
    return b / (2 * sigma2)


EFFECTIVE_BETA = Exercise(
    name="effective_beta",
    title="the β that a published loss really runs",
    reference=effective_beta,
    returns="β, one number",
    probes=_weights,
    criteria=(
        agrees("right for any weights and any σ²", 3.0),
        Criterion("only the ratio of the two weights counts", 1.0, _scale_free),
        Criterion("a loss that is in order keeps its β", 1.0, _own_loss),
    ),
    misconceptions=(
        Misconception(
            "only_b",
            "This is the number in front of the KL. It says nothing by itself: only "
            "its ratio to the weight of the reconstruction does.",
            _only_b,
        ),
        Misconception(
            "ratio",
            "b/a is the ratio of the weights, but the squared error is not yet −log p: "
            "that would be the squared error times 1/(2σ²).",
            _ratio,
        ),
        Misconception(
            "no_half",
            "The ½ of the Gaussian is missing: −log p(x|z) is the squared error times "
            "1/(2σ²), plus a constant.",
            _no_half,
        ),
        Misconception(
            "unit_variance",
            "σ² was taken for 1: −log p(x|z) is the squared error times 1/(2σ²).",
            _unit_variance,
        ),
        Misconception(
            "upside_down",
            "This is 1/β: β is what multiplies the KL once the reconstruction has its "
            "right weight.",
            _upside_down,
        ),
        Misconception(
            "ratio_upside_down",
            "a/b is upside down, and 2σ² is missing: rescale the loss so that the "
            "squared error has the weight 1/(2σ²), and read off the KL's.",
            _ratio_upside_down,
        ),
        Misconception(
            "half_wrong_side",
            "The 2 is on the wrong side: to get from a to 1/(2σ²) you divide by 2σ²a.",
            _half_wrong_side,
        ),
        Misconception(
            "variance_wrong_side",
            "σ² is on the wrong side: a small σ² makes the reconstruction costly, so "
            "the same b is worth *more* beside it, β = b/(2aσ²).",
            _variance_wrong_side,
        ),
        Misconception(
            "both_wrong_side",
            "2σ² is on the wrong side: the factor that takes a to 1/(2σ²) is "
            "1/(2aσ²), and it multiplies b.",
            _both_wrong_side,
        ),
        Misconception(
            "sigma_squared_again",
            "sigma2 is σ² already: it was squared again.",
            _sigma_squared_again,
        ),
        Misconception(
            "deviation",
            "The square root was taken: −log p(x|z) divides by σ², which is sigma2.",
            _deviation,
        ),
        Misconception(
            "scale_alone",
            "This is the factor that takes a to 1/(2σ²). β is what it makes of the "
            "KL's weight: multiply it by b.",
            _scale_alone,
        ),
        Misconception(
            "a_wrong_side",
            "a is on the wrong side: the heavier the reconstruction, the smaller β.",
            _a_wrong_side,
        ),
        Misconception(
            "a_forgotten",
            "The weight a of the squared error does not appear: half of it would make "
            "β twice as large.",
            _a_forgotten,
        ),
    ),
    hints=(
        "Multiplying a loss by a number changes no minimum. By which number must you "
        "multiply for the squared error to become −log p(x|z), up to a constant?",
        "−log N(x; x̂, σ²I) = Σ_d (x − x̂)²/(2σ²) + a constant. So the factor s has "
        "s · a = 1/(2σ²).",
        "β is what stands in front of the KL afterwards: s · b.",
    ),
)

EXERCISES = (NEGATIVE_ELBO, QUANTILE_GRID, GAUSSIAN_LOG_PROB, EFFECTIVE_BETA)
