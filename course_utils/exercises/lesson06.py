"""Exercises of lesson 06: the two gradients through a sample, a baseline, a full Σ."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from course_utils.grading.criteria import agrees, normal, rows_stand_alone
from course_utils.grading.declare import declare, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial, copied

WORDS = words_beside(__file__)


Pair = tuple[Tensor, Tensor]


def _logvar(generator: torch.Generator, batch: int, K: int) -> Tensor:
    """Log-variances of both signs, away from 0 and from each other's negatives."""
    size = 0.4 + 1.2 * torch.rand(batch, K, generator=generator, dtype=torch.float64)
    sign = torch.where(torch.arange(batch * K).reshape(batch, K) % 2 == 0, 1.0, -1.0)
    return size * sign


def _batch_rows(value: Tensor, index: slice, batch_dim: int) -> Tensor:
    return value[(slice(None),) * batch_dim + (index,)]


# --- gradients reach the inputs -------------------------------------------------------


def _gradient_flows(names: tuple[str, str]) -> Criterion:
    """Backpropagation through the answer gives the reference's gradients.

    The first two arguments are differentiated; the function is called as it is, because
    copies would cut the graph.
    """

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            want = trial.reference(*arguments)
            weight = normal(trial.generator, *want.shape)
            got = _gradients(trial.raw, arguments, weight, names)
            expected = _gradients(trial.exercise.reference, arguments, weight, names)
            for name, mine, theirs in zip(names, got, expected, strict=True):
                trial.expect_close(mine, theirs, f"gradient with respect to {name}")

    first, second = names
    return Criterion(f"the gradient reaches {first} and {second}", 1.0, test)


def _gradients(
    function: Callable[..., Any],
    arguments: Arguments,
    weight: Tensor,
    names: tuple[str, str],
) -> list[Tensor]:
    given = copied(arguments)
    leaves = [given[0].requires_grad_(), given[1].requires_grad_()]
    z = function(*given)
    if not isinstance(z, Tensor) or z.shape != weight.shape:
        raise Refused("no gradient to compare: the answer has the wrong shape.")
    if not z.requires_grad:
        raise Refused(
            "the numbers may be right, but no gradient comes back: z was detached, "
            "sampled under no_grad, or built anew from plain numbers."
        )
    found = torch.autograd.grad((weight * z).sum(), leaves, allow_unused=True)
    for name, gradient in zip(names, found, strict=True):
        if gradient is None:
            raise Refused(
                f"no gradient reaches {name}: it is cut off (detached), or unused."
            )
    return [gradient for gradient in found if gradient is not None]


# --- score_gradient -------------------------------------------------------------------


def score_gradient(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    """Score function estimate of the gradient of E_q[f] in mu and logvar."""
    square = (z - mu) ** 2 / logvar.exp()  # (S, batch, K)
    weight = f_values[..., None]  # (S, batch, 1)
    g_mu = (weight * (z - mu) / logvar.exp()).mean(0)
    g_logvar = (weight * 0.5 * (square - 1)).mean(0)
    return g_mu, g_logvar


def _samples(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for S, batch, K in ((7, 5, 3), (9, 4, 6)):
        mu, logvar = 0.5 + normal(generator, batch, K), _logvar(generator, batch, K)
        z = mu + (0.5 * logvar).exp() * normal(generator, S, batch, K)
        f_values = 2 + ((z - 1) ** 2).sum(2) + normal(generator, S, batch)
        drawn.append((f_values, z, mu, logvar))
    return drawn


def _each_example_alone(dims: tuple[int, ...], out_dim: int) -> Criterion:
    """Build the criterion that an answer depends on its own example only."""

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            whole = trial.call(*arguments)
            parts = whole if isinstance(whole, tuple | list) else (whole,)
            for index in (slice(0, 1), slice(1, 3)):
                few = tuple(
                    _batch_rows(value, index, dim)
                    for value, dim in zip(arguments, dims, strict=True)
                )
                got = trial.call(*few)
                got = got if isinstance(got, tuple | list) else (got,)
                for mine, all_of_it in zip(got, parts, strict=True):
                    trial.expect_close(
                        mine,
                        _batch_rows(all_of_it, index, out_dim),
                        "the answer for an example changes with the others in its "
                        "batch",
                    )

    return Criterion("treats each example on its own, at any batch size", 1.0, test)


def _constant_f_leaves_the_score(trial: Trial) -> None:
    """With f = 1 and noise in pairs ±eps the mean of the score of mu is exactly 0."""
    for _, z, mu, logvar in trial.inputs():
        pairs = torch.cat([z, 2 * mu - z])
        ones = torch.ones(pairs.shape[:2], dtype=z.dtype)
        g_mu, _ = trial.call(ones, pairs, mu, logvar)
        if g_mu.abs().max() > 1e-8:
            raise Refused(
                "with f = 1 and samples that lie symmetrically about mu the gradient "
                f"for mu must be 0; yours reaches {float(g_mu.abs().max()):.3g}."
            )


def _part(place: int, what: str, points: float) -> Criterion:
    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            got, want = trial.call(*arguments), trial.reference(*arguments)
            trial.expect_close(got[place], want[place], what)

    return Criterion(what, points, test)


def _mean_f(f_values: Tensor, score_mu: Tensor, score_logvar: Tensor) -> Pair:
    weight = f_values[..., None]
    return (weight * score_mu).mean(0), (weight * score_logvar).mean(0)


def _scores(z: Tensor, mu: Tensor, variance: Tensor) -> Pair:
    return (z - mu) / variance, 0.5 * ((z - mu) ** 2 / variance - 1)


def _for_sigma(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    score_mu, score_logvar = _scores(z, mu, logvar.exp())
    return _mean_f(f_values, score_mu, 2 * score_logvar / (0.5 * logvar).exp())


def _mu_minus_z(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    g_mu, g_logvar = score_gradient(f_values, z, mu, logvar)
    return -g_mu, g_logvar


def _descent(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    g_mu, g_logvar = score_gradient(f_values, z, mu, logvar)
    return -g_mu, -g_logvar


def _over_sigma(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    score_mu, score_logvar = _scores(z, mu, logvar.exp())
    return _mean_f(f_values, score_mu * (0.5 * logvar).exp(), score_logvar)


def _no_one(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    score_mu, score_logvar = _scores(z, mu, logvar.exp())
    return _mean_f(f_values, score_mu, score_logvar + 0.5)


def _no_half(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    score_mu, score_logvar = _scores(z, mu, logvar.exp())
    return _mean_f(f_values, score_mu, 2 * score_logvar)


def _summed(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    g_mu, g_logvar = score_gradient(f_values, z, mu, logvar)
    return len(z) * g_mu, len(z) * g_logvar


def _product_of_means(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    score_mu, score_logvar = _scores(z, mu, logvar.exp())
    mean = f_values.mean(0)[:, None]
    return mean * score_mu.mean(0), mean * score_logvar.mean(0)


def _log_forgotten(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    log_q = -0.5 * ((z - mu) ** 2 / logvar.exp() + logvar + math.log(2 * math.pi))
    weight = f_values * log_q.sum(2).exp()
    return _mean_f(weight, *_scores(z, mu, logvar.exp()))


def _batch_too(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    g_mu, g_logvar = score_gradient(f_values, z, mu, logvar)
    return g_mu.mean(0), g_logvar.mean(0)


def _not_averaged(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    score_mu, score_logvar = _scores(z, mu, logvar.exp())
    return f_values[..., None] * score_mu, f_values[..., None] * score_logvar


def _swapped(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    g_mu, g_logvar = score_gradient(f_values, z, mu, logvar)
    return g_logvar, g_mu


SCORE_GRADIENT = declare(
    WORDS["score_gradient"],
    score_gradient,
    _samples,
    criteria=(
        _part(0, "the gradient for mu", 2.0),
        _part(1, "the gradient for logvar", 2.0),
        Criterion(
            "f = 1 and symmetric samples give no gradient for mu",
            1.0,
            _constant_f_leaves_the_score,
        ),
        _each_example_alone((1, 1, 0, 0), 0),
    ),
    mistakes={
        "for_sigma": _for_sigma,
        "without_f": lambda f_values, z, mu, logvar: _mean_f(
            torch.ones_like(f_values), *_scores(z, mu, logvar.exp())
        ),
        "not_centred": lambda f_values, z, mu, logvar: _mean_f(
            f_values, *_scores(z, torch.zeros_like(mu), logvar.exp())
        ),
        "mu_minus_z": _mu_minus_z,
        "descent": _descent,
        "over_sigma": _over_sigma,
        "log_sigma": lambda f_values, z, mu, logvar: _mean_f(
            f_values, *_scores(z, mu, (2 * logvar).exp())
        ),
        "no_exp": lambda f_values, z, mu, logvar: _mean_f(
            f_values, *_scores(z, mu, logvar)
        ),
        "no_one": _no_one,
        "no_half": _no_half,
        "summed": _summed,
        "product_of_means": _product_of_means,
        "log_forgotten": _log_forgotten,
        "batch_too": _batch_too,
        "not_averaged": _not_averaged,
        "with_baseline": lambda f_values, z, mu, logvar: score_gradient(
            f_values - f_values.mean(0), z, mu, logvar
        ),
        "swapped": _swapped,
    },
)


# --- reparameterise -------------------------------------------------------------------


def reparameterise(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """Turn noise of N(0, I) into samples of N(mu, diag exp(logvar))."""
    return mu + torch.exp(0.5 * logvar) * eps


def _parameters(generator: torch.Generator) -> list[Arguments]:
    return [
        (
            normal(generator, batch, K),
            _logvar(generator, batch, K),
            normal(generator, batch, K),
        )
        for batch, K in ((5, 3), (4, 7))
    ]


def _own_noise(trial: Trial) -> None:
    for arguments in trial.inputs():
        first, second = trial.call(*arguments), trial.call(*arguments)
        if not torch.equal(first, second):
            raise Refused(
                "two calls with the same eps give different answers: you draw noise "
                "of your own. Use the eps that comes in."
            )
        mu, logvar, eps = arguments
        trial.expect_close(trial.call(mu, logvar, 0 * eps), mu, "with eps = 0")


REPARAMETERISE = declare(
    WORDS["reparameterise"],
    reparameterise,
    _parameters,
    criteria=(
        agrees("z has mean mu and standard deviation σ", 3.0),
        Criterion("uses the noise it is given", 1.0, _own_noise),
        rows_stand_alone(batched=(0, 1, 2)),
        _gradient_flows(("mu", "logvar")),
    ),
    mistakes={
        "times_variance": lambda mu, logvar, eps: mu + logvar.exp() * eps,
        "times_logvar": lambda mu, logvar, eps: mu + logvar * eps,
        "root_of_logvar": lambda mu, logvar, eps: mu + logvar.sqrt() * eps,
        "half_logvar": lambda mu, logvar, eps: mu + 0.5 * logvar * eps,
        "one_for_the_batch": lambda mu, logvar, eps: reparameterise(
            mu, logvar, eps[:1]
        ),
        "one_for_all_units": lambda mu, logvar, eps: reparameterise(
            mu, logvar, eps[:, :1]
        ),
        "one_number": lambda mu, logvar, eps: reparameterise(mu, logvar, eps[0, 0]),
        "no_mu": lambda logvar, eps: torch.exp(0.5 * logvar) * eps,
        "mu_scaled": lambda mu, logvar, eps: torch.exp(0.5 * logvar) * (mu + eps),
        "minus": lambda mu, logvar, eps: mu - torch.exp(0.5 * logvar) * eps,
        "inverse": lambda mu, logvar, eps: mu + torch.exp(-0.5 * logvar) * eps,
        "standardised": lambda mu, logvar, eps: (eps - mu) * torch.exp(-0.5 * logvar),
        "softplus": lambda mu, logvar, eps: mu + functional.softplus(logvar) * eps,
        "relu_on_logvar": lambda mu, logvar, eps: reparameterise(
            mu, functional.relu(logvar), eps
        ),
        "relu_on_mu": lambda mu, logvar, eps: reparameterise(
            functional.relu(mu), logvar, eps
        ),
        "no_noise": lambda mu: mu.clone(),
        "plain_noise": lambda mu, eps: mu + eps,
    },
)


# --- leave_one_out --------------------------------------------------------------------


def leave_one_out(f_values: Tensor) -> Tensor:
    """For each sample the mean of f over the other samples of the same example."""
    others = f_values.sum(0) - f_values  # (S, batch)
    return others / (len(f_values) - 1)


def _values(generator: torch.Generator) -> list[Arguments]:
    return [
        (3 + normal(generator, S, batch).exp() + normal(generator, batch),)
        for S, batch in ((7, 4), (3, 5))
    ]


def _blind_to_its_own(trial: Trial) -> None:
    for (f_values,) in trial.inputs():
        before = trial.call(f_values)
        changed = f_values.clone()
        changed[0] += 10.0
        after = trial.call(changed)
        trial.expect_close(
            after[0],
            before[0],
            "the first sample's own f was changed, and its baseline with it",
        )


def _shift(trial: Trial) -> None:
    for (f_values,) in trial.inputs():
        trial.expect_close(
            trial.call(f_values + 5.0),
            trial.call(f_values) + 5.0,
            "every f is raised by 5",
        )


LEAVE_ONE_OUT = declare(
    WORDS["leave_one_out"],
    leave_one_out,
    _values,
    criteria=(
        agrees("the mean of the other samples", 3.0),
        Criterion("a sample's baseline ignores its own f", 1.0, _blind_to_its_own),
        Criterion("a constant added to f is added to it", 1.0, _shift),
        _each_example_alone((1,), 1),
    ),
    mistakes={
        "mean_of_all": lambda f_values: f_values.mean(0).expand_as(f_values),
        "over_S": lambda f_values: (f_values.sum(0) - f_values) / len(f_values),
        "all_over_S_minus_one": lambda f_values: (
            f_values.sum(0) / (len(f_values) - 1)
        ).expand_as(f_values),
        "minus_the_mean": lambda f_values: f_values.mean(0) - f_values,
        "not_divided": lambda f_values: f_values.sum(0) - f_values,
        "other_examples": lambda f_values: (
            (f_values.sum(1, keepdim=True) - f_values) / (f_values.shape[1] - 1)
        ),
        "all_others": lambda f_values: (
            (f_values.sum() - f_values) / (f_values.numel() - 1)
        ),
        "centred": lambda f_values: f_values - leave_one_out(f_values),
        "next_sample": lambda f_values: f_values.roll(-1, 0),
        "last_sample": lambda f_values: f_values.roll(1, 0),
        "one_mean": lambda f_values: f_values.mean().expand_as(f_values),
    },
)


# --- reparameterise_full --------------------------------------------------------------


def reparameterise_full(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    """Turn noise of N(0, I) into samples of N(mu, L Lᵀ)."""
    return mu + torch.einsum("bij,sbj->sbi", L, eps)


def _roots(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for S, batch, K in ((6, 5, 3), (7, 3, 4)):
        L = normal(generator, batch, K, K).tril(-1)
        diagonal = torch.rand(batch, K, generator=generator, dtype=torch.float64)
        L = L + torch.diag_embed(0.4 + diagonal)
        mu, eps = normal(generator, batch, K), normal(generator, S, batch, K)
        drawn.append((mu, L, eps))
    return drawn


def _columns(trial: Trial) -> None:
    """Require the covariance L Lᵀ: unit vectors as noise give the columns of L."""
    for mu, L, _ in trial.inputs():
        K = mu.shape[1]
        units = torch.eye(K, dtype=mu.dtype)[:, None].expand(K, *mu.shape).clone()
        away = trial.call(mu, L, units) - mu  # (K, batch, K)
        covariance = torch.einsum("sbi,sbj->bij", away, away)
        trial.expect_close(
            covariance, L @ L.mT, "the sum of z zᵀ over unit vectors, mean removed"
        )


def _inverse_root(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    away = torch.linalg.solve_triangular(L, eps.movedim(0, -1), upper=False)
    return mu + away.movedim(-1, 0)


def _diag(L: Tensor) -> Tensor:
    return torch.diagonal(L, dim1=-2, dim2=-1)


REPARAMETERISE_FULL = declare(
    WORDS["reparameterise_full"],
    reparameterise_full,
    _roots,
    criteria=(
        agrees("z = mu + L eps for each sample and example", 3.0),
        Criterion("the covariance is L Lᵀ", 1.0, _columns),
        _each_example_alone((0, 0, 1), 1),
        _gradient_flows(("mu", "L")),
    ),
    mistakes={
        "transposed": lambda mu, L, eps: mu + torch.einsum("bji,sbj->sbi", L, eps),
        "whole_covariance": lambda mu, L, eps: reparameterise_full(mu, L @ L.mT, eps),
        "diagonal_only": lambda mu, L, eps: (
            mu + torch.diagonal(L, dim1=-2, dim2=-1) * eps
        ),
        "marginals": lambda mu, L, eps: mu + (L**2).sum(-1).sqrt() * eps,
        "variances": lambda mu, L, eps: mu + (L**2).sum(-1) * eps,
        "no_mean": lambda L, eps: torch.einsum("bij,sbj->sbi", L, eps),
        "inverse_root": _inverse_root,
        "mean_mapped": lambda mu, L, eps: torch.einsum("bij,sbj->sbi", L, mu + eps),
        "one_root": lambda mu, L, eps: mu + eps @ L[0].T,
        "one_noise": lambda mu, L, eps: reparameterise_full(
            mu, L, eps[:, :1].expand_as(eps)
        ),
        "one_sample": lambda mu, L, eps: reparameterise_full(
            mu, L, eps[:1].expand_as(eps)
        ),
        "symmetric": lambda mu, L, eps: reparameterise_full(
            mu, L + L.mT - torch.diag_embed(_diag(L)), eps
        ),
    },
)

EXERCISES = (SCORE_GRADIENT, REPARAMETERISE, REPARAMETERISE_FULL, LEAVE_ONE_OUT)
