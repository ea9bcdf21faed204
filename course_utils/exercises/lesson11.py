"""Exercises of lesson 11: the conditional ELBO, y summed out, leakage in nats."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.special import entr

from course_utils.grading.criteria import (
    agrees,
    between,
    normal,
    output,
    rows_stand_alone,
)
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.metrics import leakage
from course_utils.models import conditional
from course_utils.objectives import gaussian_kl, log_mean_exp

WORDS = words_beside(__file__)


def _labels(generator: torch.Generator, count: int, classes: int) -> Tensor:
    """Random labels in which every class appears, some more often than others."""
    rest = torch.randint(classes - 1, (count - classes,), generator=generator)
    return torch.cat([torch.arange(classes), rest])[
        torch.randperm(count, generator=generator)
    ]


# --- conditional_terms --------------------------------------------------------------


def conditional_terms(
    x: Tensor,
    y: Tensor,
    mu: Tensor,
    logvar: Tensor,
    eps: Tensor,
    means: Tensor,
    W: Tensor,
    sigma2: float,
) -> tuple[Tensor, Tensor]:
    """Distortion and rate for p(x|y, z) = N(m_y + W z, σ²I), (N,) each, in nats."""
    z = mu + (logvar / 2).exp() * eps
    return _distortion(x, means[y] + z @ W.T, sigma2), gaussian_kl(mu, logvar)


def _distortion(x: Tensor, mean: Tensor, sigma2: float) -> Tensor:
    terms = (x - mean) ** 2 / sigma2 + math.log(2 * math.pi * sigma2)
    return terms.sum(-1) / 2


def _worlds(generator: torch.Generator) -> list[Arguments]:
    def world(N: int, D: int, K: int, C: int) -> Arguments:
        return (
            normal(generator, N, D),
            _labels(generator, N, C),
            normal(generator, N, K),
            0.7 * normal(generator, N, K) - 0.5,
            normal(generator, N, K),
            2 * normal(generator, C, D),
            normal(generator, D, K),
            between(generator, 0.3, 0.7),
        )

    return [world(7, 5, 3, 4), world(6, 4, 2, 3)]


def _told_the_label(trial: Trial) -> None:
    """Move x and its class mean together: nothing may change."""
    x, y, mu, logvar, eps, means, W, sigma2 = trial.inputs()[0]
    rest = (y, mu, logvar, eps)
    before = trial.call(x, *rest, means, W, sigma2)[0]
    shift = normal(trial.generator, *means.shape)
    after = trial.call(x + shift[y], *rest, means + shift, W, sigma2)[0]
    what = "x and the mean of its class moved together; distortion"
    trial.expect_close(after, before, what)
    other = trial.call(x + shift[y], *rest, means, W, sigma2)[0]
    if float((other - before).abs().max()) < 1e-6:
        raise Refused("when x alone is moved, the distortion must change.")


CONDITIONAL_TERMS = declare(
    WORDS["conditional_terms"],
    conditional_terms,
    _worlds,
    criteria=(
        output(0, "distortion: −log p(x|y, z) at the drawn z", 2.0, "distortion"),
        output(1, "rate: KL(q(z|x, y) ‖ p(z))", 1.0, "rate"),
        Criterion("the decoder is told the label", 1.0, _told_the_label),
        rows_stand_alone("each example by itself", dims=(0, 0, 0, 0, 0)),
    ),
    steps={
        "sigma": lambda logvar: (logvar / 2).exp(),
        "z": lambda mu, sigma, eps: mu + sigma * eps,
        "offset": lambda z, W: z @ W.T,
        "centre": lambda means, y: means[y],
        "square": lambda x, centre, offset: ((x - centre - offset) ** 2).sum(1),
        "error": lambda square, sigma2: square / (2 * sigma2),
        "normaliser": lambda x, sigma2: x.shape[1] / 2 * math.log(2 * math.pi * sigma2),
        "distortion": lambda error, normaliser: error + normaliser,
        "rate": gaussian_kl,
        "answer": lambda distortion, rate: (distortion, rate),
    },
    mistakes={
        "no_label": instead(centre=lambda: 0),
        "mean_of_classes": instead(centre=lambda means: means.mean(0)),
        "label_of_row": instead(y=lambda x, means: torch.arange(len(x)) % len(means)),
        "marginal": instead(
            distortion=lambda x, means, offset, sigma2: (
                -log_mean_exp(-_distortion(x, means[:, None] + offset, sigma2), 0)
            )
        ),
        "joint": instead(
            distortion=lambda distortion, means: distortion + math.log(len(means))
        ),
        "no_noise": instead(eps=lambda: 0),
        "log_sigma": instead(sigma=lambda logvar: logvar.exp()),
        "no_half": instead(error=lambda error: 2 * error),
        "by_sigma": instead(error=lambda square, sigma2: square / (2 * sigma2**0.5)),
        "no_normaliser": instead(normaliser=lambda: 0),
        "pixel_mean": instead(distortion=lambda distortion, x: distortion / x.shape[1]),
        "sign": instead(distortion=lambda distortion: -distortion),
        "rate_mean": instead(rate=lambda rate, mu: rate / mu.shape[1]),
        "normaliser_no_half": instead(normaliser=lambda normaliser: 2 * normaliser),
        "rate_no_exp": instead(rate=lambda mu: (mu**2 - 1).sum(1) / 2),
        "swapped": lambda distortion, rate: (rate, distortion),
        "rate_sign": instead(rate=lambda rate: -rate),
    },
)


# --- unlabelled_bound ---------------------------------------------------------------


def _bounds(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for N, C in ((5, 3), (4, 6)):
        elbos = -4 + 1.5 * normal(generator, N, C)
        log_q = (1.2 * normal(generator, N, C)).log_softmax(1)
        drawn.append((elbos, log_q))
    return drawn


def _best_q_reaches_the_sum(trial: Trial) -> None:
    elbos, log_q = trial.inputs()[0]
    best = trial.call(elbos, elbos.log_softmax(1))
    trial.expect_close(
        best, elbos.logsumexp(1), "with q(y|x) ∝ exp ELBO(x, y), log Σ exp ELBO"
    )
    if float((trial.call(elbos, log_q) - best).max()) > -1e-9:
        raise Refused("with another q(y|x) the bound must be lower.")


def _order_of_classes(trial: Trial) -> None:
    elbos, log_q = trial.inputs()[1]
    order = torch.randperm(elbos.shape[1], generator=trial.generator)
    trial.expect_close(
        trial.call(elbos[:, order], log_q[:, order]),
        trial.call(elbos, log_q),
        "the classes in another order",
    )
    raised = trial.call(elbos + 2.0, log_q)
    trial.expect_close(
        raised, trial.call(elbos, log_q) + 2.0, "with every ELBO 2 nats higher"
    )


UNLABELLED_BOUND = declare(
    WORDS["unlabelled_bound"],
    conditional.unlabelled_bound,
    _bounds,
    criteria=(
        agrees("Σ_y q(y|x) (ELBO(x, y) − log q(y|x))", 3.0),
        Criterion("the best q(y|x) closes the gap of y", 1.0, _best_q_reaches_the_sum),
        Criterion("no class is special", 1.0, _order_of_classes),
    ),
    steps={
        "q": lambda log_q_y: log_q_y.exp(),
        "excess": lambda joint_elbo, log_q_y: joint_elbo - log_q_y,
        "terms": lambda q, excess: q * excess,
        "answer": lambda terms: terms.sum(1),
        "top": lambda q: q.argmax(1, keepdim=True),
        "likeliest": lambda joint_elbo, top: joint_elbo.gather(1, top)[:, 0],
        "log_C": lambda q: math.log(q.shape[1]),
    },
    mistakes={
        "argmax": lambda likeliest: likeliest,
        "argmax_with_entropy": lambda likeliest, q: likeliest + entr(q).sum(1),
        "no_entropy": instead(excess=lambda joint_elbo: joint_elbo),
        "entropy_sign": instead(
            excess=lambda joint_elbo, log_q_y: joint_elbo + log_q_y
        ),
        "not_weighted": lambda excess: excess.sum(1),
        "mean_over_classes": lambda excess: excess.mean(1),
        "weighted_mean": lambda terms: terms.mean(1),
        "log_of_mean": lambda joint_elbo: joint_elbo.logsumexp(1),
        "log_of_mean_likelihood": lambda joint_elbo, log_q_y: (
            joint_elbo + log_q_y
        ).logsumexp(1),
        "prior_twice": lambda answer, log_C: answer - log_C,
        "kl_to_uniform_added": lambda answer, log_C: answer + log_C,
        "log_weights": instead(q=lambda log_q_y: log_q_y),
        "softmax_twice": instead(log_q_y=lambda log_q_y: log_q_y.exp().log_softmax(1)),
        "negative": lambda answer: -answer,
        "weights_lost_in_log": lambda excess: excess.logsumexp(1),
        "sum_over_batch": lambda terms: terms.sum(0),
    },
)


# --- leaked_nats --------------------------------------------------------------------


def _probe_outputs(generator: torch.Generator) -> list[Arguments]:
    """Draw outputs of probes that know something, on classes of unequal size."""
    drawn: list[Arguments] = []
    for N, C in ((25, 3), (32, 5)):
        y = _labels(generator, N, C)
        logits = normal(generator, N, C)
        logits[torch.arange(N), y] += 1.5
        drawn.append((logits.log_softmax(1), y))
    return drawn


def _knows_nothing(trial: Trial) -> None:
    _, y = trial.inputs()[0]
    shares = _shares(y)
    blind = shares.log().expand(len(y), -1)
    got = float(trial.call(blind, y))
    if abs(got) > 1e-6:
        raise Refused(
            f"a probe that answers the shares of the classes, whatever z, leaks 0 "
            f"nats; yours says {got:.3g}."
        )
    sure = torch.full_like(blind, -80.0)
    sure[torch.arange(len(y)), y] = 0.0
    what = "a probe that is always right leaks H(y)"
    trial.expect_close(trial.call(sure, y), float(entr(shares).sum()), what)


def _may_be_negative(trial: Trial) -> None:
    log_probs, y = trial.inputs()[0]
    wrong = log_probs[:, torch.arange(log_probs.shape[1]).roll(1)]
    got = float(trial.call(wrong, y))
    if got >= 0:
        raise Refused(
            "a probe that names wrong classes with confidence gives less than 0; "
            f"yours says {got:.3g}."
        )


def _shares(y: Tensor) -> Tensor:
    return torch.bincount(y).double() / len(y)


LEAKED_NATS = declare(
    WORDS["leaked_nats"],
    leakage.leaked_nats,
    _probe_outputs,
    criteria=(
        agrees("H(y) − cross-entropy", 3.0),
        Criterion("0 for a blind probe, H(y) for a perfect one", 1.0, _knows_nothing),
        Criterion("below 0 for one that is wrong", 1.0, _may_be_negative),
    ),
    steps={
        "entropy": lambda y: entr(_shares(y)).sum(),
        "right": lambda log_probs, y: log_probs[torch.arange(len(y)), y],
        "log_score": lambda right: right.mean(),
        "answer": lambda entropy, log_score: entropy + log_score,
    },
    mistakes={
        "sign": lambda answer: -answer,
        "added": lambda entropy, log_score: entropy - log_score,
        "uniform_entropy": instead(
            entropy=lambda log_probs: math.log(log_probs.shape[1])
        ),
        "no_entropy": lambda log_score: log_score,
        "cross_entropy": lambda log_score: -log_score,
        "bits": lambda answer: answer / math.log(2),
        "log_of_mean": instead(log_score=lambda right: right.exp().mean().log()),
        "best_class": instead(right=lambda log_probs: log_probs.amax(1)),
        "own_entropy": instead(
            right=lambda log_probs: (log_probs.exp() * log_probs).sum(1)
        ),
        "mean_over_classes": instead(right=lambda log_probs: log_probs),
        "summed": instead(log_score=lambda right: right.sum()),
        "probabilities": instead(right=lambda right: right.exp()),
        "clamped": lambda answer: answer.clamp(min=0),
        "relative": lambda answer, entropy: answer / entropy,
        "counts_not_shares": instead(entropy=lambda y: entr(_shares(y) * len(y)).sum()),
        "accuracy": lambda log_probs, y: (log_probs.argmax(1) == y).double().mean(),
    },
)

EXERCISES = (CONDITIONAL_TERMS, UNLABELLED_BOUND, LEAKED_NATS)
