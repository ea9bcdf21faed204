"""Exercises of lesson 06: the two gradients through a sample, a full Σ, a baseline."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import relu, softplus

from course_utils.grading.criteria import (
    agrees,
    expect_no_draw,
    gradients,
    normal,
    output,
    rows_stand_alone,
    uniform,
)
from course_utils.grading.declare import Steps, declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import (
    LearnerError,
    Refused,
    Trial,
    copied,
    gradients_of,
)

Pair = tuple[Tensor, Tensor]
WORDS = words_beside(__file__)
CLAMPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 20)  # bounds that people put on log-variances
SINGLE = "right for a single sample, example and latent"


def _logvar(generator: torch.Generator, batch: int, K: int) -> Tensor:
    """Log-variances of both signs, away from 0 and from each other's negatives."""
    size = 0.4 + 1.2 * uniform(generator, batch, K)
    odd = torch.arange(batch * K).reshape(batch, K) % 2
    return size * (1 - 2 * odd)


# --- score_gradient -------------------------------------------------------------------


def score_gradient(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    """Estimate the gradients of E_q[f] in mu and logvar by scores: (batch, K) each."""
    square = (z - mu) ** 2 / logvar.exp()  # (S, batch, K)
    weight = f_values[..., None]  # (S, batch, 1)
    g_mu = (weight * (z - mu) / logvar.exp()).mean(0)
    g_logvar = (weight * 0.5 * (square - 1)).mean(0)
    return g_mu, g_logvar


def _samples(generator: torch.Generator) -> list[Arguments]:
    return _samples_of(((7, 5, 3), (9, 4, 6)), generator)


def _single_samples(generator: torch.Generator) -> list[Arguments]:
    return _samples_of(((1, 5, 3), (1, 1, 1)), generator)


def _one_example(generator: torch.Generator) -> list[Arguments]:
    return _samples_of(((6, 1, 1),), generator)


def _samples_of(
    sizes: tuple[tuple[int, int, int], ...], generator: torch.Generator
) -> list[Arguments]:
    drawn: list[Arguments] = []
    for S, batch, K in sizes:
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


def _no_grad(trial: Trial) -> None:
    """Call it as the lesson does, where autograd is switched off."""
    for arguments in trial.inputs():
        try:
            with torch.no_grad():
                got = trial.call(*arguments)
        except LearnerError as error:
            raise Refused(
                f"called under torch.no_grad(), as later in this lesson: {error}. The "
                "formula needs no autograd (which would need torch.enable_grad())."
            ) from None
        want = trial.reference(*arguments)
        trial.expect_close(got, want, "called under torch.no_grad()")


SCORE_GRADIENT = declare(
    WORDS["score_gradient"],
    score_gradient,
    _samples,
    criteria=(
        output(0, "the gradient for mu", 1.5),
        output(1, "the gradient for logvar", 1.5),
        Criterion(
            "f = 1 and symmetric samples give no gradient for mu", 0.5, _constant_f
        ),
        rows_stand_alone(dims=(1, 1, 0, 0)),
        agrees(SINGLE, 0.5, _single_samples),
        Criterion("works under torch.no_grad()", 1.0, _no_grad),
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
        "mean_of_samples": instead(away=lambda z: z - z.mean(0)),
        "law_of_samples": instead(away=lambda z: z - z.mean(0), var=lambda z: z.var(0)),
        "mu_minus_z": instead(score_mu=lambda score_mu: -score_mu),
        "descent": lambda g_mu, g_logvar: (-g_mu, -g_logvar),
        "over_sigma": instead(score_mu=lambda away, sigma: away / sigma),
        "mu_not_divided": instead(score_mu=lambda away: away),
        "mu_times_variance": instead(score_mu=lambda away, var: away * var),
        "logvar_flipped": instead(score_logvar=lambda score_logvar: -score_logvar),
        "log_sigma": instead(var=lambda logvar: (2 * logvar).exp()),
        "no_exp": instead(var=lambda logvar: logvar),
        "no_one": instead(score_logvar=lambda score_logvar: score_logvar + 0.5),
        "one_added": instead(score_logvar=lambda score_logvar: score_logvar + 1),
        "one_not_halved": instead(score_logvar=lambda score_logvar: score_logvar - 0.5),
        "not_squared": instead(score_logvar=lambda away, var: 0.5 * (away / var - 1)),
        "square_over_sigma": instead(
            score_logvar=lambda away, sigma: 0.5 * (away**2 / sigma - 1)
        ),
        "no_half": instead(score_logvar=lambda score_logvar: 2 * score_logvar),
        "summed": lambda g_mu, g_logvar, z: (len(z) * g_mu, len(z) * g_logvar),
        "product_of_means": instead(weight=lambda weight: weight.mean(0)),
        "log_forgotten": instead(f_values=lambda f_values, density: f_values * density),
        "log_forgotten_for_each_latent": instead(
            weight=lambda weight, z, mu, sigma: (
                weight * Normal(mu, sigma).log_prob(z).exp()
            )
        ),
        "along_the_batch": lambda each_mu, each_logvar: (
            each_mu.mean(1),
            each_logvar.mean(1),
        ),
        "batch_too": lambda g_mu, g_logvar: (g_mu.mean(0), g_logvar.mean(0)),
        "not_averaged": lambda each_mu, each_logvar: (each_mu, each_logvar),
        "with_baseline": instead(f_values=lambda f_values: f_values - f_values.mean(0)),
        "with_mean_of_table": instead(
            f_values=lambda f_values: f_values - f_values.mean()
        ),
        "with_leave_one_out": instead(
            f_values=lambda f_values: f_values - leave_one_out(f_values)
        ),
        "standardised": instead(
            f_values=lambda f_values: (f_values - f_values.mean(0)) / f_values.std(0)
        ),
        "swapped": lambda g_mu, g_logvar: (g_logvar, g_mu),
    },
    edges=_one_example,
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


def _far_parameters(generator: torch.Generator) -> list[Arguments]:
    """One number: with a usual log-variance, one near no variance, one far above 1."""
    drawn: list[Arguments] = []
    for mean, level in ((1.0, 0.5), (0.0, -25.0), (1.0, 21.0)):
        mu, logvar, eps = normal(generator, 3, 1, 1)
        drawn.append((mean * mu, level + 0.3 * logvar, eps + eps.sign()))
    return drawn


def _clamped(size: float) -> Steps:
    return instead(logvar=lambda logvar: logvar.clamp(-size, size))


OWN_NOISE = "you draw noise of your own. Use the eps that comes in."


def _own_noise(trial: Trial) -> None:
    for mu, logvar, eps in trial.inputs():
        expect_no_draw(trial, (mu, logvar, eps), OWN_NOISE)
        trial.expect_close(trial.call(mu, logvar, 0 * eps), mu, "with eps = 0")


REPARAMETERISE = declare(
    WORDS["reparameterise"],
    reparameterise,
    _parameters,
    criteria=(
        agrees("z has mean mu and standard deviation σ", 2.0),
        Criterion("uses the noise it is given", 1.0, _own_noise),
        rows_stand_alone(dims=(0, 0, 0)),
        agrees(
            "right for one number, and with no bound on logvar", 1.0, _far_parameters
        ),
        gradients("the gradient reaches mu and logvar", 1.0),
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
        "double_exponent": instead(sigma=lambda logvar: (2 * logvar).exp()),
        "half_the_variance": instead(sigma=lambda logvar: 0.5 * logvar.exp()),
        "root_taken_twice": instead(sigma=lambda sigma: sigma.sqrt()),
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
        **{f"clamped_{size}": _clamped(size) for size in CLAMPS},
    },
    edges=_far_parameters,
    gradients=(0, 1),
)


# --- reparameterise_full --------------------------------------------------------------


def reparameterise_full(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    """Turn noise of N(0, I) into samples of N(mu, L Lᵀ): (S, batch, K)."""
    return mu + torch.einsum("bij,sbj->sbi", L, eps)


def _roots(generator: torch.Generator) -> list[Arguments]:
    return _roots_of(((6, 5, 3), (7, 3, 4)), generator)


def _single_roots(generator: torch.Generator) -> list[Arguments]:
    return _roots_of(((1, 5, 3), (4, 1, 3), (1, 1, 1)), generator)


def _roots_of(
    sizes: tuple[tuple[int, int, int], ...], generator: torch.Generator
) -> list[Arguments]:
    drawn: list[Arguments] = []
    for S, batch, K in sizes:
        below = normal(generator, batch, K, K).tril(-1)
        L = below + torch.diag_embed(0.4 + uniform(generator, batch, K))
        mu, eps = normal(generator, batch, K), normal(generator, S, batch, K)
        drawn.append((mu, L, eps))
    return drawn


def _columns(trial: Trial) -> None:
    """Require the covariance L Lᵀ: unit vectors as noise give the columns of L."""
    for mu, L, eps in trial.inputs():
        expect_no_draw(trial, (mu, L, eps), OWN_NOISE)
        units = torch.eye(mu.shape[1], dtype=mu.dtype)[:, None].repeat(1, len(mu), 1)
        away = trial.call(mu, L, units) - mu  # (K, batch, K)
        covariance = torch.einsum("sbi,sbj->bij", away, away)
        trial.expect_close(
            covariance, L @ L.mT, "the sum of z zᵀ over unit vectors, mean removed"
        )


def _on_diagonal(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Build the step that changes the diagonal of L alone."""
    return lambda L: L.tril(-1) + torch.diag_embed(change(L.diagonal(dim1=1, dim2=2)))


def _reshaped(L: Tensor, eps: Tensor) -> Tensor:
    """Swap samples and examples by a reshape, which mixes them, and back."""
    S, batch, K = eps.shape
    return eps.reshape(batch, S, K).bmm(L.mT).reshape(S, batch, K)


def _gradient_flows(trial: Trial) -> None:
    """Compare gradients in mu and in the lower triangle, all that L is made of."""
    for mu, L, eps in trial.inputs():
        got = _through_the_triangle(trial.raw, mu, L, eps)
        want = _through_the_triangle(reparameterise_full, mu, L, eps)
        for name, mine, theirs in zip(("mu", "L"), got, want, strict=True):
            if not mine.any():
                raise Refused(
                    f"no gradient reaches {name}: look for .detach(), .data, NumPy or "
                    "torch.no_grad() on the way."
                )
            trial.expect_close(mine, theirs, f"the gradient in {name}")


def _through_the_triangle(
    function: Callable[..., Tensor], mu: Tensor, L: Tensor, eps: Tensor
) -> tuple[Tensor, ...]:
    leaves = copied(mu).requires_grad_(), copied(L).requires_grad_()
    with torch.enable_grad():
        z = function(leaves[0], leaves[1].tril(), copied(eps))
        try:
            return gradients_of(z, leaves, (0, 1))
        except RuntimeError as error:
            said = f"no gradient can be taken of your answer: {error}"
            raise Refused(said) from None


REPARAMETERISE_FULL = declare(
    WORDS["reparameterise_full"],
    reparameterise_full,
    _roots,
    criteria=(
        agrees("z = mu + L eps for each sample and example", 2.5),
        Criterion("the covariance is L Lᵀ", 1.0, _columns),
        rows_stand_alone(dims=(0, 0, 1), out=1),
        agrees(SINGLE, 0.5, _single_roots),
        Criterion("the gradient reaches mu and L", 1.0, _gradient_flows),
    ),
    steps={
        "noise": lambda L, eps: torch.einsum("bij,sbj->sbi", L, eps),
        "diagonal": lambda L: L.diagonal(dim1=1, dim2=2),
        "variances": lambda L: (L**2).sum(2),
        "answer": lambda mu, noise: (mu + noise).expand(len(noise), *mu.shape),
    },
    mistakes={
        "transposed": instead(L=lambda L: L.mT),
        "whole_covariance": instead(L=lambda L: L @ L.mT),
        "diagonal_only": instead(noise=lambda diagonal, eps: diagonal * eps),
        "marginals": instead(noise=lambda variances, eps: variances.sqrt() * eps),
        "variances": instead(noise=lambda variances, eps: variances * eps),
        "no_mean": lambda noise: noise,
        "plain_noise": instead(noise=lambda eps: eps),
        "minus": lambda mu, noise: mu - noise,
        "row_sums": instead(noise=lambda L, eps: L.sum(2) * eps),
        "column_norms": instead(noise=lambda L, eps: L.norm(dim=1) * eps),
        "applied_twice": instead(L=lambda L: L @ L),
        "entries_squared": instead(L=lambda L: L**2),
        "diagonal_lost": instead(L=lambda L: L.tril(-1)),
        "diagonal_exponentiated": instead(L=_on_diagonal(torch.exp)),
        "diagonal_softplus": instead(L=_on_diagonal(softplus)),
        "reshaped": instead(noise=_reshaped),
        "averaged_root": instead(L=lambda L: L.mean(0).expand_as(L)),
        "batch_summed": instead(noise=lambda noise: noise.sum(1, keepdim=True)),
        "inverse_root": instead(L=lambda L: L.inverse()),
        "inverse_transposed": instead(L=lambda L: L.inverse().mT),
        "mean_mapped": instead(mu=lambda mu, L: torch.einsum("bij,bj->bi", L, mu)),
        "one_root": instead(L=lambda L: L[:1].expand_as(L)),
        "one_noise": instead(eps=lambda eps: eps[:, :1].expand_as(eps)),
        "one_sample": instead(eps=lambda eps: eps[:1].expand_as(eps)),
        "symmetric": instead(L=lambda L: L + L.tril(-1).mT),
    },
    edges=_single_roots,
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


def _ties(generator: torch.Generator) -> list[Arguments]:
    """Draw samples of which some have exactly the same f; then all of them."""
    (f_values,) = _values(generator)[0]
    f_values[1], f_values[4:, 2] = f_values[0], f_values[3, 2]
    return [(f_values,), (torch.full_like(f_values[:, :1], 2.5),)]


def _few(generator: torch.Generator) -> list[Arguments]:
    return [*_ties(generator), (normal(generator, 2, 3),), (normal(generator, 2, 1),)]


def _others(f: Tensor, what: Callable[[Tensor], Tensor], more: int = 0) -> Tensor:
    """Apply something to the samples before each one and to those after it."""
    return torch.stack(
        [what(torch.cat([f[:i], f[i + 1 + more :]])) for i in range(len(f))]
    )


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
        agrees("the mean of the other samples", 2.0),
        Criterion("a sample's baseline ignores its own f", 1.0, _blind_to_its_own),
        Criterion("a constant added to f is added to it", 1.0, _shift),
        rows_stand_alone(dims=(1,), out=1),
        agrees("right for two samples, one example, and equal values", 1.0, _few),
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
        "one_row": lambda answer: answer[:1],
        "one_row_of_means": lambda f: f.mean(0, keepdim=True),
        "one_number_for_each": lambda f: f.mean(0),
        "deviation": lambda f: f - f.mean(0),
        "own_twice": instead(others=lambda f: f.sum(0) - 2 * f),
        "share_of_own": lambda f, S: f.mean(0) - f / (S - 1),
        "over_S_minus_two": lambda others, S: others / (S - 2),
        **{
            f"over_fixed_{count}": instead(
                answer=lambda others, count=count: others / count
            )
            for count in (3, 4, 5, 7, 8, 9, 10)
        },
        "copies_left_out": lambda f: torch.stack(
            [
                torch.stack(
                    [c[c != own].mean() for own, c in zip(row, f.T, strict=True)]
                )
                for row in f
            ]
        ),
        "two_left_out": lambda f: _others(f, lambda kept: kept.mean(0), more=1),
        "median": lambda f: _others(f, lambda kept: kept.median(0).values),
        "largest": lambda f: _others(f, lambda kept: kept.amax(0)),
        "earlier_samples": lambda f: torch.stack(
            [f[:i].sum(0) / max(i, 1) for i in range(len(f))]
        ),
        "running_mean": lambda f, S: (
            f.cumsum(0) / torch.arange(1, S + 1, dtype=f.dtype)[:, None]
        ),
    },
    edges=_ties,
)

EXERCISES = (SCORE_GRADIENT, REPARAMETERISE, REPARAMETERISE_FULL, LEAVE_ONE_OUT)
