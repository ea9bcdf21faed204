"""Exercises of lesson 06: the two gradients through a sample, and a climb by one."""

from __future__ import annotations

import functools
import math
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
from course_utils.grading.descent import slopes
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import (
    LearnerError,
    Refused,
    Trial,
)
from course_utils.objectives import gaussian_kl, gaussian_log_prob
from course_utils.oracles.linear_gaussian import LinearGaussian

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
            f_values=lambda f_values: (
                (f_values - f_values.mean(0)) * len(f_values) / (len(f_values) - 1)
            )
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


# --- pathwise_ascent ------------------------------------------------------------------


def pathwise_ascent(
    x: Tensor,
    W: Tensor,
    b: Tensor,
    sigma: float,
    mu: Tensor,
    logvar: Tensor,
    eps: Tensor,
    lr: float,
) -> Pair:
    """Raise the ELBO of each example's q by one step for each noise of eps (T, N, K).

    The linear-Gaussian world. The gradient is that of one draw, mu + σ ε, through the
    decoder, and of the rate in closed form. Returns mu and logvar, (N, K) each.
    """
    return _ascent()(x, W, b, sigma, mu, logvar, eps, lr)


Decoder = tuple[Tensor, Tensor, Tensor, float]
Objective = Callable[[Decoder, Tensor, Tensor, Tensor], Tensor]


def _draw_value(
    world: Decoder, mu: Tensor, logvar: Tensor, noise: Tensor, rate: float = 1.0
) -> Tensor:
    """Return each example's ELBO with one draw in the place of the average: (N,)."""
    x, W, b, sigma = world
    z = mu + torch.exp(0.5 * logvar) * noise
    log_lik = gaussian_log_prob(x, z @ W.T + b, 2 * math.log(sigma))
    return log_lik - rate * gaussian_kl(mu, logvar)


def _ascent(
    objective: Objective = _draw_value, up: float = 1.0, how: str = ""
) -> Callable[..., Pair]:
    """Build the climb of another objective, or one that steps in another way."""

    def climb(
        x: Tensor,
        W: Tensor,
        b: Tensor,
        sigma: float,
        mu: Tensor,
        logvar: Tensor,
        eps: Tensor,
        lr: float,
    ) -> Pair:
        world, begin = (x, W, b, sigma), (mu, logvar)
        heap = torch.zeros_like(mu), torch.zeros_like(mu)
        for noise in eps:
            place = begin if how == "start" else (mu, logvar)

            def value(m: Tensor, v: Tensor, noise: Tensor = noise) -> Tensor:
                return objective(world, m, v, noise).sum()

            up_mu, up_logvar = slopes(value, *place)
            if how == "heap":
                up_mu, up_logvar = heap = heap[0] + up_mu, heap[1] + up_logvar
            mu = mu + up * lr * up_mu
            if how == "in turn":
                up_logvar = slopes(value, mu, logvar)[1]
            logvar = logvar + up * lr * up_logvar
        return mu, logvar

    return climb


def _with(
    sigma: Callable[[Tensor], Tensor] | None = None,
    noise: Callable[[Tensor], Tensor] = lambda eps: eps,
    rate: float = 1.0,
    scale: Callable[[float], float] = lambda sigma: sigma,
    offset: float = 1.0,
) -> Callable[..., Pair]:
    """Build the climb with another width of q, noise, rate, decoder noise or offset."""

    def objective(world: Decoder, mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
        x, W, b, own = world
        width = (0.5 * logvar).exp() if sigma is None else sigma(logvar)
        decoded = (mu + width * noise(eps)) @ W.T + offset * b
        log_lik = gaussian_log_prob(x, decoded, 2 * math.log(scale(own)))
        return log_lik - rate * gaussian_kl(mu, logvar)

    return _ascent(objective)


def _two_starts(generator: torch.Generator, steps: tuple[int, int]) -> list[Arguments]:
    sizes = ((5, 7, 3), (4, 6, 2))  # batch, data, latent
    return [
        _start(generator, *size, count)
        for size, count in zip(sizes, steps, strict=True)
    ]


def _start(generator: torch.Generator, N: int, D: int, K: int, count: int) -> Arguments:
    W, b = 0.8 * normal(generator, D, K), 1.0 + normal(generator, D)
    sigma = 0.6 + 0.15 * float(uniform(generator, 1))
    x = b + normal(generator, N, K) @ W.T + sigma * normal(generator, N, D)
    mu, logvar = 0.5 * normal(generator, N, K), -0.6 + 0.3 * normal(generator, N, K)
    return x, W, b, sigma, mu, logvar, normal(generator, count, N, K), 0.02


_one_step = functools.partial(_two_starts, steps=(1, 1))
_three_steps = functools.partial(_two_starts, steps=(3, 3))
_both = functools.partial(_two_starts, steps=(1, 3))


def _small_starts(generator: torch.Generator) -> list[Arguments]:
    return [_start(generator, 1, 4, 1, 2), _start(generator, 3, 5, 2, 0)]


def _climbs_far(trial: Trial) -> None:
    """Ask for the exact bound after many steps: most of the way up."""
    for arguments in _two_starts(trial.generator, (80, 80)):
        x, W, b, sigma, mu, logvar, _, _ = arguments
        world = LinearGaussian(W, b, sigma)

        def bound(q: Pair, world: LinearGaussian = world, x: Tensor = x) -> Tensor:
            return world.diagonal_terms(x, *q).elbo.mean()

        start, got = bound((mu, logvar)), bound(trial.call(*arguments))
        want = bound(trial.reference(*arguments))
        if not got >= start + 0.99 * (want - start):
            raise Refused(
                f"in 80 steps the mean ELBO changes by {float(got - start):.3f} nats, "
                f"expected {float(want - start):.3f}."
            )


def _ends(change: Callable[[Pair], Pair]) -> Callable[..., Pair]:
    return lambda x, W, b, sigma, mu, logvar, eps, lr: change(
        pathwise_ascent(x, W, b, sigma, mu, logvar, eps, lr)
    )


PATHWISE_ASCENT = declare(
    WORDS["pathwise_ascent"],
    pathwise_ascent,
    _both,
    criteria=(
        agrees("one step, to the digit", 1.5, _one_step),
        agrees("three steps, to the digit", 1.5, _three_steps),
        agrees("right for one example, one latent, and no step", 1.0, _small_starts),
        Criterion("eighty steps climb as far as they should", 1.0, _climbs_far),
    ),
    mistakes={
        "descent": _ascent(up=-1.0),
        "rate_forgotten": _with(rate=0.0),
        "rate_added": _with(rate=-1.0),
        "rate_doubled": _with(rate=2.0),
        "z_detached": _ascent(lambda w, mu, logvar, eps: -gaussian_kl(mu, logvar)),
        "mean_decoded": _with(noise=lambda eps: 0 * eps),
        "times_variance": _with(sigma=lambda logvar: logvar.exp()),
        "times_logvar": _with(sigma=lambda logvar: logvar),
        "one_noise_for_the_batch": _with(noise=lambda eps: eps[:1]),
        "one_noise_for_all_latents": _with(noise=lambda eps: eps[:, :1]),
        "log_sigma_of_the_decoder": _with(scale=lambda sigma: math.sqrt(sigma)),
        "squared_error": _with(scale=lambda sigma: 1.0),
        "offset_forgotten": _with(offset=0.0),
        "averaged_over_the_batch": _ascent(
            lambda w, mu, logvar, eps: _draw_value(w, mu, logvar, eps) / len(mu)
        ),
        "averaged_over_the_data": _ascent(
            lambda w, mu, logvar, eps: (
                (_draw_value(w, mu, logvar, eps, 0.0)) / w[0].shape[1]
                - gaussian_kl(mu, logvar)
            )
        ),
        "gradient_of_the_start": _ascent(how="start"),
        "old_gradients_kept": _ascent(how="heap"),
        "one_after_the_other": _ascent(how="in turn"),
        "first_noise_again": lambda x, W, b, sigma, mu, logvar, eps, lr: (
            pathwise_ascent(x, W, b, sigma, mu, logvar, eps[:1].expand_as(eps), lr)
        ),
        "one_step_only": lambda x, W, b, sigma, mu, logvar, eps, lr: pathwise_ascent(
            x, W, b, sigma, mu, logvar, eps[:1], lr
        ),
        "start_returned": lambda mu, logvar: (mu.clone(), logvar.clone()),
        "swapped": _ends(lambda pair: pair[::-1]),
        "sigma_returned": _ends(lambda pair: (pair[0], (pair[1] / 2).exp())),
    },
    edges=_small_starts,
)

EXERCISES = (SCORE_GRADIENT, REPARAMETERISE, PATHWISE_ASCENT)
