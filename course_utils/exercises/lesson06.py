"""Exercises of lesson 06: the two gradients through a sample, a full Σ, a baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import relu, softplus

from course_utils.grading.criteria import (
    agrees,
    normal,
    output,
    rows_stand_alone,
    uniform,
)
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial, copied

Pair = tuple[Tensor, Tensor]
WORDS = words_beside(__file__)


def _logvar(generator: torch.Generator, batch: int, K: int) -> Tensor:
    """Log-variances of both signs, away from 0 and from each other's negatives."""
    size = 0.4 + 1.2 * uniform(generator, batch, K)
    odd = torch.arange(batch * K).reshape(batch, K) % 2
    return size * (1 - 2 * odd)


def _gradient_flows(*names: str) -> Criterion:
    """Backpropagation through the answer gives the reference's gradients.

    The first arguments have these names; the function is called as it is, because
    copies would cut the graph.
    """

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            weight = normal(trial.generator, *trial.reference(*arguments).shape)
            got = _gradients(trial.raw, arguments, weight, names)
            want = _gradients(trial.exercise.reference, arguments, weight, names)
            for name, mine, theirs in zip(names, got, want, strict=True):
                trial.expect_close(mine, theirs, f"gradient with respect to {name}")

    return Criterion(f"the gradient reaches {' and '.join(names)}", 1.0, test)


def _gradients(
    function: Callable[..., Any],
    arguments: Arguments,
    weight: Tensor,
    names: tuple[str, ...],
) -> tuple[Tensor, ...]:
    given = copied(arguments)
    leaves = [value.requires_grad_() for value in given[: len(names)]]
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
    return found


# --- score_gradient -------------------------------------------------------------------


def score_gradient(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    """Estimate the gradients of E_q[f] in mu and logvar by scores: (batch, K) each."""
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


def _constant_f(trial: Trial) -> None:
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


SCORE_GRADIENT = declare(
    WORDS["score_gradient"],
    score_gradient,
    _samples,
    criteria=(
        output(0, "the gradient for mu", 2.0),
        output(1, "the gradient for logvar", 2.0),
        Criterion(
            "f = 1 and symmetric samples give no gradient for mu", 1.0, _constant_f
        ),
        rows_stand_alone(dims=(1, 1, 0, 0)),
    ),
    steps={
        "weight": lambda f_values: f_values[..., None],
        "away": lambda z, mu: z - mu,
        "var": lambda logvar: logvar.exp(),
        "sigma": lambda var: var.sqrt(),
        "density": lambda z, mu, sigma: Normal(mu, sigma).log_prob(z).sum(2).exp(),
        "score_mu": lambda away, var: away / var,
        "score_logvar": lambda away, var: 0.5 * (away**2 / var - 1),
        "each_mu": lambda weight, score_mu: weight * score_mu,
        "each_logvar": lambda weight, score_logvar: weight * score_logvar,
        "g_mu": lambda each_mu: each_mu.mean(0),
        "g_logvar": lambda each_logvar: each_logvar.mean(0),
        "answer": lambda g_mu, g_logvar: (g_mu, g_logvar),
    },
    mistakes={
        "for_sigma": instead(
            score_logvar=lambda score_logvar, sigma: score_logvar * 2 / sigma
        ),
        "without_f": instead(weight=lambda: 1),
        "not_centred": instead(away=lambda z: z),
        "mu_minus_z": instead(score_mu=lambda score_mu: -score_mu),
        "descent": lambda g_mu, g_logvar: (-g_mu, -g_logvar),
        "over_sigma": instead(score_mu=lambda away, sigma: away / sigma),
        "log_sigma": instead(var=lambda logvar: (2 * logvar).exp()),
        "no_exp": instead(var=lambda logvar: logvar),
        "no_one": instead(score_logvar=lambda score_logvar: score_logvar + 0.5),
        "no_half": instead(score_logvar=lambda score_logvar: 2 * score_logvar),
        "summed": lambda g_mu, g_logvar, z: (len(z) * g_mu, len(z) * g_logvar),
        "product_of_means": instead(weight=lambda weight: weight.mean(0)),
        "log_forgotten": instead(f_values=lambda f_values, density: f_values * density),
        "batch_too": lambda g_mu, g_logvar: (g_mu.mean(0), g_logvar.mean(0)),
        "not_averaged": lambda each_mu, each_logvar: (each_mu, each_logvar),
        "with_baseline": instead(f_values=lambda f_values: f_values - f_values.mean(0)),
        "swapped": lambda g_mu, g_logvar: (g_logvar, g_mu),
    },
)


# --- reparameterise -------------------------------------------------------------------


def reparameterise(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """Turn noise of N(0, I) into samples of N(mu, diag exp(logvar)): (batch, K)."""
    return mu + torch.exp(0.5 * logvar) * eps


def _parameters(generator: torch.Generator) -> list[Arguments]:
    return [
        (normal(generator, *size), _logvar(generator, *size), normal(generator, *size))
        for size in ((5, 3), (4, 7))
    ]


def _own_noise(trial: Trial) -> None:
    for mu, logvar, eps in trial.inputs():
        first, second = trial.call(mu, logvar, eps), trial.call(mu, logvar, eps)
        if not torch.equal(first, second):
            raise Refused(
                "two calls with the same eps give different answers: you draw noise "
                "of your own. Use the eps that comes in."
            )
        trial.expect_close(trial.call(mu, logvar, 0 * eps), mu, "with eps = 0")


REPARAMETERISE = declare(
    WORDS["reparameterise"],
    reparameterise,
    _parameters,
    criteria=(
        agrees("z has mean mu and standard deviation σ", 3.0),
        Criterion("uses the noise it is given", 1.0, _own_noise),
        rows_stand_alone(dims=(0, 0, 0)),
        _gradient_flows("mu", "logvar"),
    ),
    steps={
        "sigma": lambda logvar: (0.5 * logvar).exp(),
        "noise": lambda sigma, eps: sigma * eps,
        "answer": lambda mu, noise: mu + noise,
    },
    mistakes={
        "times_variance": instead(sigma=lambda logvar: logvar.exp()),
        "times_logvar": instead(sigma=lambda logvar: logvar),
        "root_of_logvar": instead(sigma=lambda logvar: logvar.sqrt()),
        "half_logvar": instead(sigma=lambda logvar: 0.5 * logvar),
        "one_for_the_batch": instead(eps=lambda eps: eps[:1]),
        "one_for_all_units": instead(eps=lambda eps: eps[:, :1]),
        "one_number": instead(eps=lambda eps: eps[0, 0]),
        "no_mu": lambda noise: noise,
        "mu_scaled": lambda mu, sigma, eps: sigma * (mu + eps),
        "minus": lambda mu, noise: mu - noise,
        "inverse": instead(sigma=lambda sigma: 1 / sigma),
        "standardised": lambda mu, sigma, eps: (eps - mu) / sigma,
        "softplus": instead(sigma=lambda logvar: softplus(logvar)),
        "relu_on_logvar": instead(logvar=lambda logvar: relu(logvar)),
        "relu_on_mu": instead(mu=lambda mu: relu(mu)),
        "no_noise": lambda mu: mu,
        "plain_noise": lambda mu, eps: mu + eps,
    },
)


# --- reparameterise_full --------------------------------------------------------------


def reparameterise_full(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    """Turn noise of N(0, I) into samples of N(mu, L Lᵀ): (S, batch, K)."""
    return mu + torch.einsum("bij,sbj->sbi", L, eps)


def _roots(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for S, batch, K in ((6, 5, 3), (7, 3, 4)):
        below = normal(generator, batch, K, K).tril(-1)
        L = below + torch.diag_embed(0.4 + uniform(generator, batch, K))
        mu, eps = normal(generator, batch, K), normal(generator, S, batch, K)
        drawn.append((mu, L, eps))
    return drawn


def _columns(trial: Trial) -> None:
    """Require the covariance L Lᵀ: unit vectors as noise give the columns of L."""
    for mu, L, _ in trial.inputs():
        units = torch.eye(mu.shape[1], dtype=mu.dtype)[:, None].repeat(1, len(mu), 1)
        away = trial.call(mu, L, units) - mu  # (K, batch, K)
        covariance = torch.einsum("sbi,sbj->bij", away, away)
        trial.expect_close(
            covariance, L @ L.mT, "the sum of z zᵀ over unit vectors, mean removed"
        )


REPARAMETERISE_FULL = declare(
    WORDS["reparameterise_full"],
    reparameterise_full,
    _roots,
    criteria=(
        agrees("z = mu + L eps for each sample and example", 3.0),
        Criterion("the covariance is L Lᵀ", 1.0, _columns),
        rows_stand_alone(dims=(0, 0, 1), out=1),
        _gradient_flows("mu", "L"),
    ),
    steps={
        "noise": lambda L, eps: torch.einsum("bij,sbj->sbi", L, eps),
        "diagonal": lambda L: L.diagonal(dim1=1, dim2=2),
        "variances": lambda L: (L**2).sum(2),
        "answer": lambda mu, noise: mu + noise,
    },
    mistakes={
        "transposed": instead(L=lambda L: L.mT),
        "whole_covariance": instead(L=lambda L: L @ L.mT),
        "diagonal_only": instead(noise=lambda diagonal, eps: diagonal * eps),
        "marginals": instead(noise=lambda variances, eps: variances.sqrt() * eps),
        "variances": instead(noise=lambda variances, eps: variances * eps),
        "no_mean": lambda noise: noise,
        "inverse_root": instead(L=lambda L: L.inverse()),
        "mean_mapped": instead(mu=lambda mu, L: torch.einsum("bij,bj->bi", L, mu)),
        "one_root": instead(L=lambda L: L[:1].expand_as(L)),
        "one_noise": instead(eps=lambda eps: eps[:, :1].expand_as(eps)),
        "one_sample": instead(eps=lambda eps: eps[:1].expand_as(eps)),
        "symmetric": instead(L=lambda L: L + L.tril(-1).mT),
    },
)


# --- leave_one_out --------------------------------------------------------------------


def leave_one_out(f_values: Tensor) -> Tensor:
    """For each sample the mean of f over the example's other ones: (S, batch)."""
    others = f_values.sum(0) - f_values  # (S, batch)
    return others / (len(f_values) - 1)


def _values(generator: torch.Generator) -> list[Arguments]:
    return [
        (3 + normal(generator, S, batch).exp() + normal(generator, batch),)
        for S, batch in ((7, 4), (3, 5))
    ]


def _blind_to_its_own(trial: Trial) -> None:
    for (f_values,) in trial.inputs():
        changed = f_values.clone()
        changed[0] += 10.0
        before, after = trial.call(f_values), trial.call(changed)
        trial.expect_close(
            after[0],
            before[0],
            "the first sample's own f was changed, and its baseline with it",
        )


def _shift(trial: Trial) -> None:
    for (f_values,) in trial.inputs():
        raised, base = trial.call(f_values + 5.0), trial.call(f_values)
        trial.expect_close(raised, base + 5.0, "every f is raised by 5")


LEAVE_ONE_OUT = declare(
    WORDS["leave_one_out"],
    leave_one_out,
    _values,
    criteria=(
        agrees("the mean of the other samples", 3.0),
        Criterion("a sample's baseline ignores its own f", 1.0, _blind_to_its_own),
        Criterion("a constant added to f is added to it", 1.0, _shift),
        rows_stand_alone(dims=(1,), out=1),
    ),
    steps={
        "f": lambda f_values: f_values,
        "S": lambda f: len(f),
        "others": lambda f: f.sum(0) - f,
        "answer": lambda others, S: others / (S - 1),
    },
    mistakes={
        "mean_of_all": lambda f: f.mean(0).expand_as(f),
        "over_S": lambda others, S: others / S,
        "all_over_S_minus_one": instead(others=lambda f: f.sum(0).expand_as(f)),
        "minus_the_mean": lambda f: f.mean(0) - f,
        "not_divided": lambda others: others,
        "other_examples": lambda f: leave_one_out(f.T).T,
        "all_others": lambda f: leave_one_out(f.flatten()).reshape(f.shape),
        "centred": lambda f, answer: f - answer,
        "next_sample": lambda f: f.roll(-1, 0),
        "last_sample": lambda f: f.roll(1, 0),
        "one_mean": lambda f: f.mean().expand_as(f),
    },
)

EXERCISES = (SCORE_GRADIENT, REPARAMETERISE, REPARAMETERISE_FULL, LEAVE_ONE_OUT)
