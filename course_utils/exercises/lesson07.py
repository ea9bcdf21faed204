"""Exercises of lesson 07: the two terms, a fair grid, a density, the effective β."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from course_utils import objectives, plots
from course_utils.grading.criteria import agrees, between, normal, rows_stand_alone
from course_utils.grading.declare import declare, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.grading.values import as_float

WORDS = words_beside(__file__)


Pair = tuple[Tensor, Tensor]
LOG_2PI = math.log(2 * math.pi)


def _own_row(points: float, batched: tuple[int, ...]) -> Criterion:
    """Each example on its own, and not the same answer for all of them."""
    alone = rows_stand_alone(batched=batched)

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
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
        for arguments in trial.inputs():
            got, want = trial.call(*arguments), trial.reference(*arguments)
            trial.expect_close(got[place], want[place], text)

    return Criterion(text, points, test)


def _entropies(x: Tensor, logits: Tensor) -> Tensor:  # (N, D)
    return functional.binary_cross_entropy_with_logits(logits, x, reduction="none")


def _kls(mu: Tensor, logvar: Tensor) -> Tensor:  # (N, K)
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1)


def _white_ignored(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    ink = -(x * functional.logsigmoid(logits)).sum(1)
    return ink, _kls(mu, logvar).sum(1)


def _arguments_swapped(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    crossed = functional.binary_cross_entropy(x, logits.sigmoid(), reduction="none")
    return crossed.sum(1), _kls(mu, logvar).sum(1)


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


NEGATIVE_ELBO = declare(
    WORDS["negative_elbo"],
    negative_elbo,
    _passes,
    criteria=(
        _part(0, "distortion", 2.0),
        _part(1, "rate", 2.0),
        _own_row(1.0, batched=(0, 1, 2, 3)),
    ),
    mistakes={
        "mean_over_pixels": lambda x, logits, mu, logvar: (
            _entropies(x, logits).mean(1),
            _kls(mu, logvar).sum(1),
        ),
        "mean_over_latents": lambda x, logits, mu, logvar: (
            _entropies(x, logits).sum(1),
            _kls(mu, logvar).mean(1),
        ),
        "both_means": lambda x, logits, mu, logvar: (
            _entropies(x, logits).mean(1),
            _kls(mu, logvar).mean(1),
        ),
        "log_likelihood": lambda x, logits, mu, logvar: (
            -_entropies(x, logits).sum(1),
            _kls(mu, logvar).sum(1),
        ),
        "negative_kl": lambda x, logits, mu, logvar: (
            _entropies(x, logits).sum(1),
            -_kls(mu, logvar).sum(1),
        ),
        "sigmoid_twice": lambda x, logits, mu, logvar: (
            _entropies(x, logits.sigmoid()).sum(1),
            _kls(mu, logvar).sum(1),
        ),
        "squared_error": lambda x, logits, mu, logvar: (
            ((x - logits.sigmoid()) ** 2).sum(1),
            _kls(mu, logvar).sum(1),
        ),
        "white_ignored": _white_ignored,
        "arguments_swapped": _arguments_swapped,
        "log_sigma": lambda x, logits, mu, logvar: (
            _entropies(x, logits).sum(1),
            _kls(mu, 2 * logvar).sum(1),
        ),
        "half_dropped": lambda x, logits, mu, logvar: (
            _entropies(x, logits).sum(1),
            2 * _kls(mu, logvar).sum(1),
        ),
        "logvar_squared": _logvar_squared,
        "kl_reversed": _kl_reversed,
        "sigma_for_variance": _sigma_for_variance,
        "one_subtracted_once": _one_subtracted_once,
        "both_signs": lambda x, logits, mu, logvar: (
            -_entropies(x, logits).sum(1),
            -_kls(mu, logvar).sum(1),
        ),
        "default_reduction": lambda x, logits, mu, logvar: (
            _entropies(x, logits).mean(),
            _kls(mu, logvar).sum(1).mean(),
        ),
        "batch_mean": _batch_mean,
        "batch_sum": _batch_sum,
        "scalar_kl": _scalar_kl,
        "scalar_mean_kl": _scalar_mean_kl,
        "kl_sum_beside_rows": _kl_sum_beside_rows,
        "added": _added,
        "order_swapped": _order_swapped,
        "per_dimension": lambda x, logits, mu, logvar: (
            _entropies(x, logits),
            _kls(mu, logvar),
        ),
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


def _middles(n: int) -> Tensor:
    return (torch.arange(n) + 0.5) / n


def _equal_mass(trial: Trial) -> None:
    for (n,) in trial.inputs():
        got = trial.call(n)
        for axis in (0, 1):
            values = got[:, axis].sort().values.reshape(n, n)
            want = torch.special.ndtri(_middles(n))[:, None].expand(n, n)
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


def _diagonal(n: int) -> Tensor:
    axis = torch.special.ndtri(_middles(n))
    return torch.stack([axis, axis], dim=1)


QUANTILE_GRID = declare(
    WORDS["quantile_grid"],
    plots.quantile_grid,
    _counts,
    criteria=(
        Criterion("every column and row stands for 1/n", 1.0, _equal_mass),
        Criterion("in reading order, the top row first", 1.0, _reading_order),
        agrees("the grid is right", 3.0),
    ),
    mistakes={
        "square_of_one": lambda n: _on_axes(torch.linspace(-1, 1, n)),
        "square_of_two": lambda n: _on_axes(torch.linspace(-2, 2, n)),
        "square_of_three": lambda n: _on_axes(torch.linspace(-3, 3, n)),
        "ends_cut": lambda n: _on_axes(
            torch.special.ndtri(torch.linspace(0.05, 0.95, n))
        ),
        "narrow_ends_cut": lambda n: _on_axes(
            torch.special.ndtri(torch.linspace(0.01, 0.99, n))
        ),
        "one_too_many": lambda n: _on_axes(
            torch.special.ndtri(torch.linspace(0, 1, n + 2)[1:-1])
        ),
        "with_ends": lambda n: _on_axes(torch.special.ndtri(torch.linspace(0, 1, n))),
        "left_edges": lambda n: _on_axes(torch.special.ndtri(torch.arange(n) / n)),
        "right_edges": lambda n: _on_axes(
            torch.special.ndtri(torch.arange(1, n + 1) / n)
        ),
        "counted_from_zero": lambda n: _on_axes(
            torch.special.ndtri((torch.arange(n) - 0.5) / n)
        ),
        "double": lambda n: plots.quantile_grid(n).double(),
        "not_transformed": lambda n: _on_axes(_middles(n)),
        "root_missing": lambda n: _on_axes(torch.erfinv(2 * _middles(n) - 1)),
        "logistic": lambda n: _on_axes(torch.logit(_middles(n))),
        "bottom_first": lambda n: plots.quantile_grid(n) * torch.tensor([1.0, -1.0]),
        "columns_first": lambda n: (
            plots.quantile_grid(n).reshape(n, n, 2).transpose(0, 1).reshape(-1, 2)
        ),
        "axes_swapped": lambda n: plots.quantile_grid(n).flip(1),
        "meshgrid_as_is": lambda n: torch.cartesian_prod(
            *[torch.special.ndtri(_middles(n))] * 2
        ),
        "diagonal": _diagonal,
    },
    tolerance=1e-05,
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
    for _, _, logvar in trial.inputs():
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


def _square_without_half(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    normaliser = 0.5 * (logvar + LOG_2PI)
    return -((x - mean) ** 2 / logvar.exp() + normaliser).sum(1)


def _batch_for_pixels(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    square = ((x - mean) ** 2).sum(1) / logvar.exp()
    return -0.5 * (square + len(x) * (logvar + LOG_2PI))


def _over_sigma(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    square = (x - mean) ** 2 / torch.exp(0.5 * logvar)
    return -0.5 * (square + logvar + LOG_2PI).sum(1)


GAUSSIAN_LOG_PROB = declare(
    WORDS["gaussian_log_prob"],
    gaussian_log_prob,
    _pixels,
    criteria=(
        agrees("equal to the closed form", 3.0),
        Criterion("a density: it integrates to 1", 1.0, _integrates_to_one),
        _own_row(1.0, batched=(0, 1)),
    ),
    mistakes={
        "normaliser_once": _normaliser_once,
        "no_2pi": lambda x, mean, logvar: (
            -0.5 * ((x - mean) ** 2 / logvar.exp() + logvar).sum(1)
        ),
        "no_logvar": lambda x, mean, logvar: (
            -0.5 * ((x - mean) ** 2 / logvar.exp() + LOG_2PI).sum(1)
        ),
        "no_normaliser": lambda x, mean, logvar: (
            -0.5 * ((x - mean) ** 2 / logvar.exp()).sum(1)
        ),
        "plain_squares": lambda x, mean: -((x - mean) ** 2).sum(1),
        "square_without_half": _square_without_half,
        "all_without_half": lambda x, mean, logvar: (
            2 * gaussian_log_prob(x, mean, logvar)
        ),
        "half_on_square_only": lambda x, mean, logvar: (
            -(0.5 * (x - mean) ** 2 / logvar.exp() + logvar + LOG_2PI).sum(1)
        ),
        "as_log_sigma": lambda x, mean, logvar: gaussian_log_prob(x, mean, 2 * logvar),
        "normaliser_sign": lambda x, mean, logvar: (
            -0.5 * ((x - mean) ** 2 / logvar.exp() - logvar - LOG_2PI).sum(1)
        ),
        "log_sigma_is_logvar": lambda x, mean, logvar: (
            -(0.5 * (x - mean) ** 2 / logvar.exp() + logvar + 0.5 * LOG_2PI).sum(1)
        ),
        "batch_for_pixels": _batch_for_pixels,
        "over_sigma": _over_sigma,
        "times_variance": lambda x, mean, logvar: (
            -0.5 * ((x - mean) ** 2 * logvar.exp() + logvar + LOG_2PI).sum(1)
        ),
        "negative_log": lambda x, mean, logvar: -gaussian_log_prob(x, mean, logvar),
        "pixel_mean": lambda x, mean, logvar: (
            gaussian_log_prob(x, mean, logvar) / x.shape[1]
        ),
        "density": lambda x, mean, logvar: gaussian_log_prob(x, mean, logvar).exp(),
        "one_number": lambda x, mean, logvar: gaussian_log_prob(x, mean, logvar).mean(),
        "each_pixel": lambda x, mean, logvar: (
            -0.5 * ((x - mean) ** 2 / logvar.exp() + logvar + LOG_2PI)
        ),
    },
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
        agrees("right for any weights and any σ²", 3.0),
        Criterion("only the ratio of the two weights counts", 1.0, _scale_free),
        Criterion("a loss that is in order keeps its β", 1.0, _own_loss),
    ),
    mistakes={
        "only_b": lambda b: b,
        "ratio": lambda a, b: b / a,
        "no_half": lambda a, b, sigma2: b / (a * sigma2),
        "unit_variance": lambda a, b: b / (2 * a),
        "upside_down": lambda a, b, sigma2: 2 * a * sigma2 / b,
        "ratio_upside_down": lambda a, b: a / b,
        "half_wrong_side": lambda a, b, sigma2: 2 * b / (a * sigma2),
        "variance_wrong_side": lambda a, b, sigma2: b * sigma2 / (2 * a),
        "both_wrong_side": lambda a, b, sigma2: 2 * b * sigma2 / a,
        "sigma_squared_again": lambda a, b, sigma2: b / (2 * a * sigma2**2),
        "deviation": lambda a, b, sigma2: b / (2 * a * math.sqrt(sigma2)),
        "scale_alone": lambda a, sigma2: 1 / (2 * a * sigma2),
        "a_wrong_side": lambda a, b, sigma2: a * b / (2 * sigma2),
        "a_forgotten": lambda b, sigma2: b / (2 * sigma2),
    },
)

EXERCISES = (NEGATIVE_ELBO, QUANTILE_GRID, GAUSSIAN_LOG_PROB, EFFECTIVE_BETA)
