"""Exercises of lesson 04: train by likelihood, and estimate log p(x) from draws."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from course_utils.grading.criteria import agrees, between, normal, uniform
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.descent import slopes
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.objectives import gaussian_log_prob
from course_utils.oracles.linear_gaussian import LinearGaussian

WORDS = words_beside(__file__)
Rule = Callable[[Tensor, Tensor], Tensor]

# --- train_prototypes ---------------------------------------------------------------


def train_prototypes(x: Tensor, logits: Tensor, steps: int, lr: float) -> Tensor:
    """Gradient ascent on the mean log p(x) of M prototypes, logits (M, D).

    p(x) = 1/M Σ_m Π_d Bernoulli(x_d; sigmoid(l_md)), for pictures x (N, D) of 0 and 1.
    """
    for _ in range(steps):
        logits = logits + lr * _slope(mean_log_p)(x, logits)
    return logits


def log_likelihoods(x: Tensor, logits: Tensor) -> Tensor:
    """Return log p(x|m) of each picture under each prototype: (N, M)."""
    return x @ logits.T - softplus(logits).sum(1)


def mean_log_p(x: Tensor, logits: Tensor) -> Tensor:
    """Return the mean over the pictures of log p(x), 0-d, in nats."""
    log_p = torch.logsumexp(log_likelihoods(x, logits), 1) - math.log(len(logits))
    return log_p.mean()


def _slope(objective: Rule) -> Rule:
    def slope(x: Tensor, logits: Tensor) -> Tensor:
        (found,) = slopes(lambda at: objective(x, at), logits)
        return found

    return slope


def _pictures(generator: torch.Generator, steps: tuple[int, ...]) -> list[Arguments]:
    """Draw pictures from prototypes, and others to start from; every size differs."""
    drawn: list[Arguments] = []
    sizes = ((17, 6, 4), (13, 9, 3))
    for count, (N, D, M) in zip(steps, sizes, strict=True):
        ink = uniform(generator, M, D)[torch.arange(N) % M]
        x = (uniform(generator, N, D) < ink).double()
        drawn.append((x, 0.9 * normal(generator, M, D), count, 1.5))
    return drawn


_one_step = functools.partial(_pictures, steps=(1, 1))
_three_steps = functools.partial(_pictures, steps=(3, 3))
_both = functools.partial(_pictures, steps=(1, 3))


def _many_pixels(generator: torch.Generator) -> list[Arguments]:
    """Draw one picture of 1500 pixels: its likelihood is below the smallest float."""
    x = (uniform(generator, 1, 1500) < 0.5).double()
    return [(x, 0.1 * normal(generator, 3, 1500), 2, 1.5), (x, x - 0.5, 0, 1.5)]


def _learns(trial: Trial) -> None:
    for x, logits, _, lr in _pictures(trial.generator, (0, 0)):
        start = mean_log_p(x, logits)
        ended = mean_log_p(x, trial.call(x, logits, 40, lr))
        best = mean_log_p(x, trial.reference(x, logits, 40, lr))
        if not ended >= start + 0.99 * (best - start):
            raise Refused(
                f"in 40 steps the mean log p(x) changes by {float(ended - start):.3f} "
                f"nats, expected {float(best - start):.3f}."
            )


Training = Callable[[Tensor, Tensor, int, float], Tensor]


def _training(slope: Rule) -> Training:
    """Build the loop that goes along another slope."""

    def train(x: Tensor, logits: Tensor, steps: int, lr: float) -> Tensor:
        for _ in range(steps):
            logits = logits + lr * slope(x, logits)
        return logits

    return train


def _of(reduce: Callable[[Tensor], Tensor]) -> Training:
    """Build the loop that raises something else of log p(x|m), (N, M)."""
    return _training(_slope(lambda x, logits: reduce(log_likelihoods(x, logits))))


def _softmaxed(logits: Tensor, x: Tensor) -> Tensor:
    return torch.logsumexp(x @ logits.log_softmax(1).T, 1)


def _sgd_with(momentum: float) -> Training:
    def train(x: Tensor, logits: Tensor, steps: int, lr: float) -> Tensor:
        leaf = logits.clone().requires_grad_()
        optimiser = torch.optim.SGD([leaf], lr=lr, maximize=True, momentum=momentum)
        for _ in range(steps):
            leaf.grad = _slope(mean_log_p)(x, leaf.detach())
            optimiser.step()
        return leaf.detach()

    return train


def _adam(x: Tensor, logits: Tensor, steps: int, lr: float) -> Tensor:
    leaf = logits.clone().requires_grad_()
    optimiser = torch.optim.Adam([leaf], lr=lr, maximize=True)
    for _ in range(steps):
        leaf.grad = _slope(mean_log_p)(x, leaf.detach())
        optimiser.step()
    return leaf.detach()


def _heaped(x: Tensor, logits: Tensor, steps: int, lr: float) -> Tensor:
    heap = torch.zeros_like(logits)
    for _ in range(steps):
        heap = heap + _slope(mean_log_p)(x, logits)
        logits = logits + lr * heap
    return logits


TRAIN_PROTOTYPES = declare(
    WORDS["train_prototypes"],
    train_prototypes,
    _both,
    criteria=(
        agrees("one step, to the digit", 1.5, _one_step),
        agrees("three steps, to the digit", 1.5, _three_steps),
        agrees("right for many pixels, and for no step", 1.0, _many_pixels),
        Criterion("forty steps learn as much as they should", 1.0, _learns),
    ),
    mistakes={
        "descent": lambda x, logits, steps, lr: train_prototypes(x, logits, steps, -lr),
        "summed_over_pictures": lambda x, logits, steps, lr: train_prototypes(
            x, logits, steps, lr * len(x)
        ),
        "averaged_over_everything": lambda x, logits, steps, lr: train_prototypes(
            x, logits, steps, lr / x.shape[1]
        ),
        "mean_of_logs": _of(lambda log_lik: log_lik.mean(1).mean()),
        "sum_of_logs": _of(lambda log_lik: log_lik.sum(1).mean()),
        "underflow": _of(lambda log_lik: log_lik.exp().mean(1).log().mean()),
        "best_prototype_only": _of(lambda log_lik: log_lik.amax(1).mean()),
        "over_the_pictures": _of(lambda log_lik: torch.logsumexp(log_lik, 0).mean()),
        "normaliser_forgotten": _training(
            _slope(lambda x, logits: torch.logsumexp(x @ logits.T, 1).mean())
        ),
        "one_normaliser": _training(
            _slope(
                lambda x, logits: (
                    torch.logsumexp(x @ logits.T, 1).mean()
                    - softplus(logits).sum(1).mean()
                )
            )
        ),
        "normaliser_added": _training(
            _slope(
                lambda x, logits: torch.logsumexp(
                    x @ logits.T + softplus(logits).sum(1), 1
                ).mean()
            )
        ),
        "pixels_compete": _training(
            _slope(lambda x, logits: _softmaxed(logits, x).mean())
        ),
        "probabilities_for_logits": _training(
            _slope(
                lambda x, logits: torch.logsumexp(
                    log_likelihoods(x, logits.sigmoid()), 1
                ).mean()
            )
        ),
        "squared_error": _training(
            _slope(lambda x, logits: -0.5 * _nearest(x, logits.sigmoid()))
        ),
        "log_of_the_mean": _training(
            _slope(
                lambda x, logits: torch.logsumexp(
                    log_likelihoods(x, logits).flatten(), 0
                )
            )
        ),
        "one_step_only": lambda x, logits, lr: train_prototypes(x, logits, 1, lr),
        "one_step_more": lambda x, logits, steps, lr: train_prototypes(
            x, logits, steps + 1, lr
        ),
        "one_step_less": lambda x, logits, steps, lr: train_prototypes(
            x, logits, max(steps - 1, 0), lr
        ),
        "gradient_of_the_start": lambda x, logits, steps, lr: (
            logits + steps * lr * _slope(mean_log_p)(x, logits)
        ),
        "old_gradients_kept": _heaped,
        "with_momentum": _sgd_with(momentum=0.9),
        "by_adam": _adam,
        "start_returned": lambda logits: logits.clone(),
        "probabilities_returned": lambda answer: answer.sigmoid(),
    },
    edges=_many_pixels,
)


def _nearest(x: Tensor, ink: Tensor) -> Tensor:
    return -torch.logsumexp(-(torch.cdist(x, ink) ** 2), 1).mean()


# --- importance_estimate ------------------------------------------------------------


def importance_estimate(
    x: Tensor,
    z: Tensor,
    W: Tensor,
    b: Tensor,
    sigma: float,
    mu: Tensor,
    logvar: Tensor,
) -> Tensor:
    """Estimate log p(x) in the linear-Gaussian world from draws z (S, N, K) of q.

    log (1/S) Σ_s p(x|z_s) p(z_s)/q(z_s), (N,), in nats.
    """
    log_lik = gaussian_log_prob(x, z @ W.T + b, 2 * math.log(sigma))
    zero = torch.zeros_like(z)
    log_w = log_lik + gaussian_log_prob(z, zero, 0.0)
    log_w = log_w - gaussian_log_prob(z, mu, logvar)
    return torch.logsumexp(log_w, 0) - math.log(len(z))


def _proposals(generator: torch.Generator) -> list[Arguments]:
    return [_proposal(generator, *sizes) for sizes in ((8, 5, 4, 3), (11, 4, 6, 2))]


def _proposal(
    generator: torch.Generator, S: int, N: int, D: int, K: int, far: float = 0.0
) -> Arguments:
    W, b = normal(generator, D, K), 1.0 + normal(generator, D)
    sigma = between(generator, 0.5, 0.75, torch.float64)
    x = b + normal(generator, N, K) @ W.T + sigma * normal(generator, N, D) + far
    mu = 0.4 + 0.5 * normal(generator, N, K)
    logvar = -0.7 + 0.4 * normal(generator, N, K)
    z = mu + (logvar / 2).exp() * normal(generator, S, N, K)
    return x, z, W, b, sigma, mu, logvar


def _few(generator: torch.Generator) -> list[Arguments]:
    """Draw one draw and one example; and data so far that p(x|z) underflows."""
    return [
        _proposal(generator, 1, 5, 4, 3),
        _proposal(generator, 7, 1, 4, 1),
        _proposal(generator, 7, 3, 60, 2, far=9.0),
    ]


def _posterior_needs_one_draw(trial: Trial) -> None:
    """With the posterior as q every single weight is p(x), whatever the draw."""
    generator = trial.generator
    for D, N in ((5, 4), (7, 3)):
        W, b = normal(generator, D, 1), normal(generator, D)
        world = LinearGaussian(W, b, 0.7)
        x = b + normal(generator, N, D)
        mean, cov = world.posterior(x)
        logvar = torch.full_like(mean, math.log(float(cov)))
        z = mean + 2 * normal(generator, 1, N, 1)
        got = trial.call(x, z, W, b, 0.7, mean, logvar)
        trial.expect_close(got, world.log_density(x), "q is the posterior, one draw")


IMPORTANCE_ESTIMATE = declare(
    WORDS["importance_estimate"],
    importance_estimate,
    _proposals,
    criteria=(
        agrees("the log of the mean weight", 2.5),
        Criterion(
            "q = the posterior: one draw is enough", 1.0, _posterior_needs_one_draw
        ),
        agrees("right for one draw, one example, and tiny p(x|z)", 1.5, _few),
    ),
    steps={
        "offset": lambda b: b,
        "noise": lambda sigma: 2 * math.log(sigma),
        "decoded": lambda z, W, offset: z @ W.T + offset,
        "log_lik": lambda x, decoded, noise: gaussian_log_prob(x, decoded, noise),
        "log_prior": lambda z: gaussian_log_prob(z, torch.zeros_like(z), 0.0),
        "log_q": lambda z, mu, logvar: gaussian_log_prob(z, mu, logvar),
        "log_w": lambda log_lik, log_prior, log_q: log_lik + log_prior - log_q,
        "S": lambda z: len(z),
        "answer": lambda log_w, S: torch.logsumexp(log_w, 0) - math.log(S),
    },
    mistakes={
        "mean_of_logs": lambda log_w: log_w.mean(0),
        "not_divided": lambda log_w: torch.logsumexp(log_w, 0),
        "divided_after_the_log": lambda log_w, S: torch.logsumexp(log_w, 0) / S,
        "over_the_examples": lambda log_w, answer: (
            torch.logsumexp(log_w, 1).mean().expand_as(answer)
        ),
        "mean_over_examples": lambda answer: answer.mean().expand_as(answer),
        "one_number": lambda answer: answer.mean(),
        "best_draw": lambda log_w: log_w.amax(0),
        "first_draw": lambda log_w: log_w[0],
        "underflow": lambda log_w: log_w.exp().mean(0).log(),
        "weight_returned": lambda answer: answer.exp(),
        "minus": lambda answer: -answer,
        "q_forgotten": instead(log_q=lambda: 0),
        "q_added": instead(log_q=lambda log_q: -log_q),
        "prior_forgotten": instead(log_prior=lambda: 0),
        "likelihood_forgotten": instead(log_lik=lambda: 0),
        "likelihood_alone": instead(log_w=lambda log_lik: log_lik),
        "prior_subtracted": instead(
            log_w=lambda log_lik, log_prior, log_q: log_lik - log_prior + log_q
        ),
        "log_sigma": instead(noise=lambda sigma: math.log(sigma)),
        "sigma_for_logvar": instead(noise=lambda sigma: sigma),
        "variance_for_logvar": instead(noise=lambda sigma: sigma**2),
        "logvar_exponentiated": instead(logvar=lambda logvar: logvar.exp()),
        "logvar_halved": instead(logvar=lambda logvar: logvar / 2),
        "standard_q": instead(
            log_q=lambda z, mu: gaussian_log_prob(z, mu, torch.zeros_like(mu))
        ),
        "q_around_zero": instead(mu=lambda mu: 0 * mu),
        "offset_forgotten": instead(offset=lambda b: 0 * b),
        "mean_decoded": instead(
            decoded=lambda z, mu, W, b: (mu @ W.T + b).expand(len(z), -1, -1)
        ),
        "self_normalised": lambda log_w, log_lik: (log_w.softmax(0) * log_lik).sum(0),
    },
    edges=_few,
)

EXERCISES = (TRAIN_PROTOTYPES, IMPORTANCE_ESTIMATE)
