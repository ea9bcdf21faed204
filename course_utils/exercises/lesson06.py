"""Exercises of lesson 06: the two gradients through a sample, a baseline, a full Σ."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from course_utils.exercises.base import (
    Arguments,
    Criterion,
    Exercise,
    Misconception,
    Refused,
    Trial,
    agrees,
    copied,
    normal,
    rows_stand_alone,
)

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
        for arguments in trial.probes():
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
        for arguments in trial.probes():
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
    for _, z, mu, logvar in trial.probes():
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
        for arguments in trial.probes():
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


def _without_f(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _mean_f(torch.ones_like(f_values), *_scores(z, mu, logvar.exp()))


def _not_centred(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _mean_f(f_values, *_scores(z, torch.zeros_like(mu), logvar.exp()))


def _mu_minus_z(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    g_mu, g_logvar = score_gradient(f_values, z, mu, logvar)
    return -g_mu, g_logvar


def _descent(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    g_mu, g_logvar = score_gradient(f_values, z, mu, logvar)
    return -g_mu, -g_logvar


def _over_sigma(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    score_mu, score_logvar = _scores(z, mu, logvar.exp())
    return _mean_f(f_values, score_mu * (0.5 * logvar).exp(), score_logvar)


def _log_sigma(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _mean_f(f_values, *_scores(z, mu, (2 * logvar).exp()))


def _no_exp(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return _mean_f(f_values, *_scores(z, mu, logvar))


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


def _with_baseline(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    return score_gradient(f_values - f_values.mean(0), z, mu, logvar)


def _swapped(f_values: Tensor, z: Tensor, mu: Tensor, logvar: Tensor) -> Pair:
    g_mu, g_logvar = score_gradient(f_values, z, mu, logvar)
    return g_logvar, g_mu


SCORE_GRADIENT = Exercise(
    name="score_gradient",
    title="the gradient of an expectation from values of f alone",
    reference=score_gradient,
    returns="two tensors (batch, K): the gradient for mu, the gradient for logvar",
    probes=_samples,
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
    misconceptions=(
        Misconception(
            "for_sigma",
            "The second gradient is the one for σ. Here the parameter is logvar = "
            "log σ²: the chain rule multiplies by dσ/dlogvar = σ/2.",
            _for_sigma,
        ),
        Misconception(
            "without_f",
            "This is the mean of the score alone, which estimates 0: multiply each "
            "sample's score by that sample's f before you average.",
            _without_f,
        ),
        Misconception(
            "not_centred",
            "You used z where the score has z − mu: log q falls with the distance "
            "from its own mean.",
            _not_centred,
        ),
        Misconception(
            "mu_minus_z",
            "The gradient for mu has the wrong sign: moving mu towards z raises "
            "log q(z), so the score of mu is (z − mu)/σ², not (mu − z)/σ².",
            _mu_minus_z,
        ),
        Misconception(
            "descent",
            "Both signs are turned round. The gradient of E[f] points uphill; the "
            "minus sign belongs to the descent step, or to a loss that is −f.",
            _descent,
        ),
        Misconception(
            "over_sigma",
            "The score of mu is divided by σ: it is (z − mu)/σ², which is ε/σ. "
            "(z − mu)/σ is ε itself.",
            _over_sigma,
        ),
        Misconception(
            "log_sigma",
            "You read logvar as log σ, so exp(2·logvar) stands where the variance "
            "is exp(logvar).",
            _log_sigma,
        ),
        Misconception(
            "no_exp",
            "logvar stands where the variance should: it is a logarithm, so the "
            "variance is logvar.exp().",
            _no_exp,
        ),
        Misconception(
            "no_one",
            "The −1 of the score of logvar is missing: it comes from the normaliser "
            "−½·logvar of log q, and without it the score's mean is not 0.",
            _no_one,
        ),
        Misconception(
            "no_half",
            "The ½ of the score of logvar is missing (or this is the gradient for "
            "log σ): log q has a ½ in front of both of its terms.",
            _no_half,
        ),
        Misconception(
            "summed",
            "The samples are summed: an expectation is estimated by their mean.",
            _summed,
        ),
        Misconception(
            "product_of_means",
            "This is the mean of f times the mean of the score, which estimates 0: "
            "multiply sample by sample, then average.",
            _product_of_means,
        ),
        Misconception(
            "log_forgotten",
            "You weight by the gradient of q, not of log q. The samples already come "
            "from q, so q is counted twice: divide by it, which is what the log does.",
            _log_forgotten,
        ),
        Misconception(
            "batch_too",
            "You averaged over the batch as well: each example has a q of its own, so "
            "average over dim 0, the samples, only.",
            _batch_too,
        ),
        Misconception(
            "not_averaged",
            "These are the estimates of the single samples: average over dim 0.",
            _not_averaged,
        ),
        Misconception(
            "with_baseline",
            "You subtracted the mean of f over the same samples, which shrinks the "
            "gradient by (S − 1)/S. Use f as it is; section 7 builds a fair baseline.",
            _with_baseline,
        ),
        Misconception(
            "swapped",
            "The two gradients come in the wrong order: mu first, then logvar.",
            _swapped,
        ),
    ),
    hints=(
        "Write log q(z) for one coordinate, with v = logvar: "
        "−½[log 2π + v + (z − mu)² e^(−v)]. Differentiate it in mu, and in v.",
        "The score of mu is (z − mu)/σ². The score of logvar is ½[(z − mu)²/σ² − 1]. "
        "Both have shape (S, batch, K).",
        "f_values is (S, batch): give it a last axis, f_values[..., None], multiply it "
        "with each score, and take the mean over dim 0.",
    ),
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
    for arguments in trial.probes():
        first, second = trial.call(*arguments), trial.call(*arguments)
        if not torch.equal(first, second):
            raise Refused(
                "two calls with the same eps give different answers: you draw noise "
                "of your own. Use the eps that comes in."
            )
        mu, logvar, eps = arguments
        trial.expect_close(trial.call(mu, logvar, 0 * eps), mu, "with eps = 0")


def _times_variance(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return mu + logvar.exp() * eps


def _times_logvar(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return mu + logvar * eps


def _root_of_logvar(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return mu + logvar.sqrt() * eps


def _half_logvar(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return mu + 0.5 * logvar * eps


def _one_for_the_batch(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return reparameterise(mu, logvar, eps[:1])


def _one_for_all_units(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return reparameterise(mu, logvar, eps[:, :1])


def _one_number(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return reparameterise(mu, logvar, eps[0, 0])


def _no_mu(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return torch.exp(0.5 * logvar) * eps


def _mu_scaled(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return torch.exp(0.5 * logvar) * (mu + eps)


def _minus(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return mu - torch.exp(0.5 * logvar) * eps


def _inverse(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return mu + torch.exp(-0.5 * logvar) * eps


def _standardised(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return (eps - mu) * torch.exp(-0.5 * logvar)


def _softplus(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return mu + functional.softplus(logvar) * eps


def _relu_on_logvar(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return reparameterise(mu, functional.relu(logvar), eps)


def _relu_on_mu(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return reparameterise(functional.relu(mu), logvar, eps)


def _no_noise(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return mu.clone()


def _plain_noise(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    return mu + eps


REPARAMETERISE = Exercise(
    name="reparameterise",
    title="a sample as a smooth function of its parameters",
    reference=reparameterise,
    returns="(batch, K) samples",
    probes=_parameters,
    criteria=(
        agrees("z has mean mu and standard deviation σ", 3.0),
        Criterion("uses the noise it is given", 1.0, _own_noise),
        rows_stand_alone(batched=(0, 1, 2)),
        _gradient_flows(("mu", "logvar")),
    ),
    misconceptions=(
        Misconception(
            "times_variance",
            "eps is multiplied by σ² = exp(logvar): logvar is log σ², so σ is "
            "exp(logvar/2). (Reading logvar as log σ gives the same mistake.)",
            _times_variance,
        ),
        Misconception(
            "times_logvar",
            "eps is multiplied by logvar itself, which is a logarithm and often "
            "negative: σ is exp(logvar/2).",
            _times_logvar,
        ),
        Misconception(
            "root_of_logvar",
            "The root of logvar is not σ, and NaN where logvar is negative: take exp "
            "first (the variance), then the root.",
            _root_of_logvar,
        ),
        Misconception(
            "half_logvar",
            "½·logvar is log σ: take its exponential.",
            _half_logvar,
        ),
        Misconception(
            "one_for_the_batch",
            "All examples get the noise of the first: each element of the batch needs "
            "its own eps.",
            _one_for_the_batch,
        ),
        Misconception(
            "one_for_all_units",
            "All latents of an example share one noise: they become fully correlated, "
            "while q has independent ones. Use eps of full shape.",
            _one_for_all_units,
        ),
        Misconception(
            "one_number",
            "One single number of noise serves the whole batch: each element needs "
            "its own eps.",
            _one_number,
        ),
        Misconception(
            "no_mu",
            "The mean is missing: this is the noise around it, σ·eps alone.",
            _no_mu,
        ),
        Misconception(
            "mu_scaled",
            "mu is multiplied by σ as well: scale the noise first, then add mu.",
            _mu_scaled,
        ),
        Misconception(
            "minus",
            "This is mu − σ·eps. Its law is the same, because eps is symmetric, but "
            "the course (and your gradient for logvar) takes mu + σ·eps.",
            _minus,
        ),
        Misconception(
            "inverse",
            "eps is divided by σ: exp(−logvar/2) is 1/σ. Multiply by exp(+logvar/2).",
            _inverse,
        ),
        Misconception(
            "standardised",
            "(eps − mu)/σ goes from z to noise. You have noise and want z: multiply by "
            "σ, then add mu.",
            _standardised,
        ),
        Misconception(
            "softplus",
            "softplus(logvar) as σ is another parametrisation: here logvar is log σ², "
            "so σ = exp(logvar/2), as the KL term also assumes.",
            _softplus,
        ),
        Misconception(
            "relu_on_logvar",
            "A ReLU on logvar forbids σ < 1: no posterior could be narrower than the "
            "prior. logvar may be any real number.",
            _relu_on_logvar,
        ),
        Misconception(
            "relu_on_mu",
            "A ReLU on mu forbids negative means: half of each latent axis becomes "
            "unreachable. mu may be any real number.",
            _relu_on_mu,
        ),
        Misconception(
            "no_noise",
            "This returns the mean: without σ·eps there is no sample, and no gradient "
            "for logvar.",
            _no_noise,
        ),
        Misconception(
            "plain_noise",
            "logvar is not used: the noise must be scaled by σ = exp(logvar/2).",
            _plain_noise,
        ),
    ),
    hints=(
        "If eps has mean 0 and variance 1, which mean and variance has a + b·eps?",
        "You need σ. logvar is log σ², so σ² = exp(logvar); then σ = exp(½·logvar).",
        "mu + exp(0.5·logvar)·eps, all of shape (batch, K), with no detach(), no "
        ".data and no no_grad on the way.",
    ),
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
    for (f_values,) in trial.probes():
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
    for (f_values,) in trial.probes():
        trial.expect_close(
            trial.call(f_values + 5.0),
            trial.call(f_values) + 5.0,
            "every f is raised by 5",
        )


def _mean_of_all(f_values: Tensor) -> Tensor:
    return f_values.mean(0).expand_as(f_values)


def _over_S(f_values: Tensor) -> Tensor:
    return (f_values.sum(0) - f_values) / len(f_values)


def _all_over_S_minus_one(f_values: Tensor) -> Tensor:
    return (f_values.sum(0) / (len(f_values) - 1)).expand_as(f_values)


def _minus_the_mean(f_values: Tensor) -> Tensor:
    return f_values.mean(0) - f_values


def _not_divided(f_values: Tensor) -> Tensor:
    return f_values.sum(0) - f_values


def _other_examples(f_values: Tensor) -> Tensor:
    return (f_values.sum(1, keepdim=True) - f_values) / (f_values.shape[1] - 1)


def _all_others(f_values: Tensor) -> Tensor:
    return (f_values.sum() - f_values) / (f_values.numel() - 1)


def _centred(f_values: Tensor) -> Tensor:
    return f_values - leave_one_out(f_values)


def _next_sample(f_values: Tensor) -> Tensor:
    return f_values.roll(-1, 0)


def _last_sample(f_values: Tensor) -> Tensor:
    return f_values.roll(1, 0)


def _one_mean(f_values: Tensor) -> Tensor:
    return f_values.mean().expand_as(f_values)


LEAVE_ONE_OUT = Exercise(
    name="leave_one_out",
    title="a baseline from the other samples",
    reference=leave_one_out,
    returns="(S, batch) baselines",
    probes=_values,
    criteria=(
        agrees("the mean of the other samples", 3.0),
        Criterion("a sample's baseline ignores its own f", 1.0, _blind_to_its_own),
        Criterion("a constant added to f is added to it", 1.0, _shift),
        _each_example_alone((1,), 1),
    ),
    misconceptions=(
        Misconception(
            "mean_of_all",
            "The mean over all samples contains the sample's own f, which depends on "
            "its score: the estimate shrinks by (S − 1)/S. Leave it out.",
            _mean_of_all,
        ),
        Misconception(
            "over_S",
            "The sum over the others has S − 1 terms: divide by S − 1, not by S.",
            _over_S,
        ),
        Misconception(
            "all_over_S_minus_one",
            "All S samples are summed and divided by S − 1: take the sample's own f "
            "out of the sum first.",
            _all_over_S_minus_one,
        ),
        Misconception(
            "minus_the_mean",
            "This is the mean minus f: take f out of the *sum*, then divide by S − 1.",
            _minus_the_mean,
        ),
        Misconception(
            "not_divided",
            "This is the sum over the other samples: divide by S − 1 for their mean.",
            _not_divided,
        ),
        Misconception(
            "other_examples",
            "You averaged over the other examples of the batch (dim 1): the other "
            "*samples* of the same example lie along dim 0.",
            _other_examples,
        ),
        Misconception(
            "all_others",
            "All other numbers of the table are averaged, also those of other "
            "examples: keep to the samples of the same example, dim 0.",
            _all_others,
        ),
        Misconception(
            "centred",
            "This is f minus the baseline. The exercise asks for the baseline itself.",
            _centred,
        ),
        Misconception(
            "next_sample",
            "This takes one other sample as the baseline. It is unbiased, but noisy: "
            "average all S − 1 others.",
            _next_sample,
        ),
        Misconception(
            "last_sample",
            "This takes one other sample as the baseline. It is unbiased, but noisy: "
            "average all S − 1 others.",
            _last_sample,
        ),
        Misconception(
            "one_mean",
            "One mean over the whole table serves all: it mixes examples, and contains "
            "each sample's own f.",
            _one_mean,
        ),
    ),
    hints=(
        "For sample i of an example: add up f of all samples of that example, then "
        "take away what should not be there.",
        "f_values.sum(0) has shape (batch,) and broadcasts against (S, batch). How "
        "many numbers are left after you take one away?",
        "(f_values.sum(0) − f_values) divided by (S − 1), with S = len(f_values).",
    ),
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
    for mu, L, _ in trial.probes():
        K = mu.shape[1]
        units = torch.eye(K, dtype=mu.dtype)[:, None].expand(K, *mu.shape).clone()
        away = trial.call(mu, L, units) - mu  # (K, batch, K)
        covariance = torch.einsum("sbi,sbj->bij", away, away)
        trial.expect_close(
            covariance, L @ L.mT, "the sum of z zᵀ over unit vectors, mean removed"
        )


def _transposed(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    return mu + torch.einsum("bji,sbj->sbi", L, eps)


def _whole_covariance(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    return reparameterise_full(mu, L @ L.mT, eps)


def _diagonal_only(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    return mu + torch.diagonal(L, dim1=-2, dim2=-1) * eps


def _marginals(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    return mu + (L**2).sum(-1).sqrt() * eps


def _variances(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    return mu + (L**2).sum(-1) * eps


def _no_mean(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    return torch.einsum("bij,sbj->sbi", L, eps)


def _inverse_root(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    away = torch.linalg.solve_triangular(L, eps.movedim(0, -1), upper=False)
    return mu + away.movedim(-1, 0)


def _mean_mapped(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    return torch.einsum("bij,sbj->sbi", L, mu + eps)


def _one_root(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    return mu + eps @ L[0].T


def _one_noise(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    return reparameterise_full(mu, L, eps[:, :1].expand_as(eps))


def _one_sample(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    return reparameterise_full(mu, L, eps[:1].expand_as(eps))


def _symmetric(mu: Tensor, L: Tensor, eps: Tensor) -> Tensor:
    return reparameterise_full(mu, L + L.mT - torch.diag_embed(_diag(L)), eps)


def _diag(L: Tensor) -> Tensor:
    return torch.diagonal(L, dim1=-2, dim2=-1)


REPARAMETERISE_FULL = Exercise(
    name="reparameterise_full",
    title="samples of a Gaussian with correlations",
    reference=reparameterise_full,
    returns="(S, batch, K) samples",
    probes=_roots,
    criteria=(
        agrees("z = mu + L eps for each sample and example", 3.0),
        Criterion("the covariance is L Lᵀ", 1.0, _columns),
        _each_example_alone((0, 0, 1), 1),
        _gradient_flows(("mu", "L")),
    ),
    misconceptions=(
        Misconception(
            "transposed",
            "You multiplied by Lᵀ, so the covariance is Lᵀ L. For noise in rows, "
            "L eps is eps @ L.T (for a batch: L.mT), not eps @ L.",
            _transposed,
        ),
        Misconception(
            "whole_covariance",
            "The noise is multiplied by Σ = L Lᵀ: the covariance would be Σ². L is the "
            "root, as σ is in one dimension.",
            _whole_covariance,
        ),
        Misconception(
            "diagonal_only",
            "Only the diagonal of L is used, so the latents are independent: multiply "
            "by the whole matrix.",
            _diagonal_only,
        ),
        Misconception(
            "marginals",
            "Each latent has the right variance, but they are independent: multiply "
            "the noise vector by the matrix L.",
            _marginals,
        ),
        Misconception(
            "variances",
            "The noise is multiplied by the variances on the diagonal of Σ: neither a "
            "root, nor the correlations. Multiply it by the matrix L.",
            _variances,
        ),
        Misconception(
            "no_mean",
            "The mean is missing: add mu, which broadcasts over the samples.",
            _no_mean,
        ),
        Misconception(
            "inverse_root",
            "The noise is multiplied by the inverse of L: that is the way from z to "
            "eps, the whitening of lesson 03.",
            _inverse_root,
        ),
        Misconception(
            "mean_mapped",
            "mu is multiplied by L too: map the noise first, then add mu.",
            _mean_mapped,
        ),
        Misconception(
            "one_root",
            "All examples use the matrix of the first: each example has an L of its "
            "own.",
            _one_root,
        ),
        Misconception(
            "one_noise",
            "All examples share the noise of the first: each needs its own eps.",
            _one_noise,
        ),
        Misconception(
            "one_sample",
            "All samples are the first one: use eps[s] for sample s.",
            _one_sample,
        ),
        Misconception(
            "symmetric",
            "You filled the upper half of L with its mirror image: L is triangular, "
            "with zeros above the diagonal, and is used as it is.",
            _symmetric,
        ),
    ),
    hints=(
        "For one example and one sample it is a matrix times a vector: "
        "z = mu + L @ eps. Which axis of L is summed over?",
        "z_i = mu_i + Σ_j L_ij eps_j. The samples and the batch come along.",
        'torch.einsum("bij,sbj->sbi", L, eps) is L eps for every sample s and example '
        "b; add mu, which broadcasts.",
    ),
)

EXERCISES = (SCORE_GRADIENT, REPARAMETERISE, REPARAMETERISE_FULL, LEAVE_ONE_OUT)
