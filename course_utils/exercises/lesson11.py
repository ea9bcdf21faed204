"""Exercises of lesson 11: the conditional ELBO, y summed out, leakage in nats."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.grading.criteria import agrees, between, normal, rows_stand_alone
from course_utils.grading.declare import declare, words_beside
from course_utils.grading.exercise import Arguments, Criterion, Exercise, Misconception
from course_utils.grading.trial import Refused, Trial
from course_utils.metrics import leakage
from course_utils.models import conditional
from course_utils.objectives import gaussian_kl

WORDS = words_beside(__file__)


LOG_2PI = math.log(2 * math.pi)


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
    """Distortion and rate of log p(x|y) where p(x|y, z) = N(m_y + W z, σ²I)."""
    z = mu + (logvar / 2).exp() * eps
    return _distortion(x, means[y] + z @ W.T, sigma2), gaussian_kl(mu, logvar)


def _distortion(x: Tensor, mean: Tensor, sigma2: float) -> Tensor:
    square = ((x - mean) ** 2).sum(1)
    return 0.5 * (square / sigma2 + x.shape[1] * (LOG_2PI + math.log(sigma2)))


def _worlds(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for N, D, K, C in ((7, 5, 3, 4), (6, 4, 2, 3)):
        drawn.append(
            (
                normal(generator, N, D),
                _labels(generator, N, C),
                normal(generator, N, K),
                0.7 * normal(generator, N, K) - 0.5,
                normal(generator, N, K),
                2 * normal(generator, C, D),
                normal(generator, D, K),
                between(generator, 0.3, 0.7),
            )
        )
    return drawn


def _part(place: int, text: str, points: float) -> Criterion:
    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            got = trial.call(*arguments)[place]
            trial.expect_close(got, trial.reference(*arguments)[place])

    return Criterion(text, points, test)


def _told_the_label(trial: Trial) -> None:
    """Move x and its class mean together: nothing may change."""
    arguments = list(trial.inputs()[0])
    before = trial.call(*arguments)
    shift = normal(trial.generator, *arguments[5].shape)
    moved = arguments[0] + shift[arguments[1]], arguments[5] + shift
    after = trial.call(moved[0], *arguments[1:5], moved[1], *arguments[6:])
    trial.expect_close(
        after[0], before[0], "x and the mean of its class moved together; distortion"
    )
    other = trial.call(moved[0], *arguments[1:])[0]
    if float((other - before[0]).abs().max()) < 1e-6:
        raise Refused("when x alone is moved, the distortion must change.")


def _wrong_terms(**change: bool) -> object:
    """Conditional terms with one thing done wrong."""

    def wrong(
        x: Tensor,
        y: Tensor,
        mu: Tensor,
        logvar: Tensor,
        eps: Tensor,
        means: Tensor,
        W: Tensor,
        sigma2: float,
    ) -> tuple[Tensor, Tensor]:
        sigma = (logvar / 2).exp()
        if change.get("log_sigma"):
            sigma = logvar.exp()
        z = mu if change.get("no_noise") else mu + sigma * eps
        centre = means[y]
        if change.get("no_label"):
            centre = torch.zeros_like(x)
        if change.get("mean_of_classes"):
            centre = means.mean(0).expand_as(x)
        if change.get("label_of_row"):
            centre = means[torch.arange(len(x)) % len(means)]
        distortion = _distortion(x, centre + z @ W.T, sigma2)
        square = ((x - centre - z @ W.T) ** 2).sum(1)
        if change.get("no_half"):
            distortion = distortion + 0.5 * square / sigma2
        if change.get("by_sigma"):
            distortion = distortion + 0.5 * square * (sigma2**-0.5 - 1 / sigma2)
        if change.get("no_normaliser"):
            distortion = 0.5 * square / sigma2
        if change.get("pixel_mean"):
            distortion = distortion / x.shape[1]
        if change.get("sign"):
            distortion = -distortion
        if change.get("joint"):
            distortion = distortion + math.log(len(means))
        if change.get("marginal"):
            each = torch.stack(
                [-_distortion(x, mean + z @ W.T, sigma2) for mean in means], 1
            )
            distortion = math.log(len(means)) - each.logsumexp(1)
        rate = gaussian_kl(mu, logvar)
        if change.get("normaliser_no_half"):
            distortion = distortion + 0.5 * x.shape[1] * math.log(2 * math.pi * sigma2)
        if change.get("rate_no_exp"):
            rate = 0.5 * (mu**2 - 1).sum(1)
        if change.get("rate_sign"):
            rate = -rate
        if change.get("rate_mean"):
            rate = rate / mu.shape[1]
        if change.get("swapped"):
            return rate, distortion
        return distortion, rate

    return wrong


def _terms_mistake(name: str, diagnosis: str) -> Misconception:
    return Misconception(name, diagnosis, _wrong_terms(**{name: True}))  # type: ignore[arg-type]


CONDITIONAL_TERMS = Exercise(
    name="conditional_terms",
    title="the ELBO of log p(x|y)",
    reference=conditional_terms,
    returns="distortion and rate, each (N,)",
    inputs=_worlds,
    criteria=(
        _part(0, "distortion: −log p(x|y, z) at the drawn z", 2.0),
        _part(1, "rate: KL(q(z|x, y) ‖ p(z))", 1.0),
        Criterion("the decoder is told the label", 1.0, _told_the_label),
        rows_stand_alone("each example by itself", 1.0, batched=(0, 1, 2, 3, 4)),
    ),
    misconceptions=(
        _terms_mistake(
            "no_label",
            "The label is missing in the decoder: the mean of p(x|y, z) is m_y + W z, "
            "with the row of `means` that y names.",
        ),
        _terms_mistake(
            "mean_of_classes",
            "You took the average of all class means. y is known here: take its own "
            "row, means[y].",
        ),
        _terms_mistake(
            "label_of_row",
            "Example i gets the mean of class i here. Its class is y[i]: means[y].",
        ),
        _terms_mistake(
            "marginal",
            "This averages p(x|y, z) over the classes. Here y is given: condition on "
            "it, do not sum it out.",
        ),
        _terms_mistake(
            "joint",
            "This has −log p(y) in it, which belongs to log p(x, y). Given y, the "
            "label costs nothing.",
        ),
        _terms_mistake(
            "no_noise",
            "z = mu: the noise is missing. The distortion is an average over draws "
            "z = mu + sigma · eps.",
        ),
        _terms_mistake(
            "log_sigma",
            "You read logvar as log σ. It is log σ², so sigma = exp(logvar / 2).",
        ),
        _terms_mistake(
            "no_half",
            "The ½ before the squared error is missing.",
        ),
        _terms_mistake(
            "by_sigma",
            "The squared error is divided by σ instead of σ². The argument is σ².",
        ),
        _terms_mistake(
            "no_normaliser",
            "The normaliser (D/2) log(2πσ²) is missing: without it the number is no "
            "log-density.",
        ),
        _terms_mistake(
            "pixel_mean",
            "The distortion was averaged over dimensions. Sum over them.",
        ),
        _terms_mistake(
            "sign",
            "This is +log p(x|y, z). The distortion is its negative.",
        ),
        _terms_mistake(
            "rate_mean",
            "The rate was averaged over the latents. Sum over them: a mean is a β of "
            "1/K.",
        ),
        _terms_mistake(
            "normaliser_no_half",
            "The normaliser is twice too large: it is (D/2) log(2πσ²).",
        ),
        _terms_mistake(
            "rate_no_exp",
            "The rate has logvar where it needs the variance, exp(logvar): the two "
            "then cancel.",
        ),
        _terms_mistake(
            "swapped",
            "Right numbers, wrong order: return the distortion first, then the rate.",
        ),
        _terms_mistake(
            "rate_sign",
            "The rate has the wrong sign: a KL is never negative.",
        ),
    ),
    hints=(
        "It is the ELBO of lesson 05 with one change: the decoder's mean depends on y "
        "too. The prior does not.",
        "z = mu + exp(logvar/2) · eps, mean = means[y] + z @ W.T, and −log N(x; mean, "
        "sigma2 I) summed over D.",
        "distortion = ½ (|x − mean|²/sigma2 + D log(2π sigma2)); rate = "
        "½ Σ (mu² + exp(logvar) − logvar − 1).",
    ),
)


# --- unlabelled_bound ---------------------------------------------------------------


def unlabelled_bound(joint_elbo: Tensor, log_q_y: Tensor) -> Tensor:
    """Σ_y q(y|x) (ELBO(x, y) − log q(y|x)), with log p(y) inside ELBO(x, y)."""
    return conditional.unlabelled_bound(joint_elbo, log_q_y)


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
    unlabelled_bound,
    _bounds,
    criteria=(
        agrees("Σ_y q(y|x) (ELBO(x, y) − log q(y|x))", 3.0),
        Criterion("the best q(y|x) closes the gap of y", 1.0, _best_q_reaches_the_sum),
        Criterion("no class is special", 1.0, _order_of_classes),
    ),
    mistakes={
        "argmax": lambda joint_elbo, log_q_y: joint_elbo.gather(
            1, log_q_y.argmax(1, keepdim=True)
        )[:, 0],
        "argmax_with_entropy": lambda joint_elbo, log_q_y: (
            joint_elbo.gather(1, log_q_y.argmax(1, keepdim=True))[:, 0]
            - (log_q_y.exp() * log_q_y).sum(1)
        ),
        "no_entropy": lambda joint_elbo, log_q_y: (log_q_y.exp() * joint_elbo).sum(1),
        "entropy_sign": lambda joint_elbo, log_q_y: (
            log_q_y.exp() * (joint_elbo + log_q_y)
        ).sum(1),
        "not_weighted": lambda joint_elbo, log_q_y: (joint_elbo - log_q_y).sum(1),
        "mean_over_classes": lambda joint_elbo, log_q_y: (joint_elbo - log_q_y).mean(1),
        "weighted_mean": lambda joint_elbo, log_q_y: (
            log_q_y.exp() * (joint_elbo - log_q_y)
        ).mean(1),
        "log_of_mean": lambda joint_elbo: joint_elbo.logsumexp(1),
        "log_of_mean_likelihood": lambda joint_elbo, log_q_y: (
            joint_elbo + log_q_y
        ).logsumexp(1),
        "prior_twice": lambda joint_elbo, log_q_y: (
            (log_q_y.exp() * (joint_elbo - log_q_y)).sum(1)
            - math.log(joint_elbo.shape[1])
        ),
        "kl_to_uniform_added": lambda joint_elbo, log_q_y: (
            (log_q_y.exp() * (joint_elbo - log_q_y)).sum(1)
            + math.log(joint_elbo.shape[1])
        ),
        "log_weights": lambda joint_elbo, log_q_y: (
            log_q_y * (joint_elbo - log_q_y)
        ).sum(1),
        "softmax_twice": lambda joint_elbo, log_q_y: (
            log_q_y.exp().softmax(1) * (joint_elbo - log_q_y.exp().log_softmax(1))
        ).sum(1),
        "negative": lambda joint_elbo, log_q_y: (
            -(log_q_y.exp() * (joint_elbo - log_q_y)).sum(1)
        ),
        "weights_lost_in_log": lambda joint_elbo, log_q_y: (
            joint_elbo - log_q_y
        ).logsumexp(1),
        "sum_over_batch": lambda joint_elbo, log_q_y: (
            log_q_y.exp() * (joint_elbo - log_q_y)
        ).sum(0),
    },
)


# --- leaked_nats --------------------------------------------------------------------


def leaked_nats(log_probs: Tensor, y: Tensor) -> float:
    """H(y) − cross-entropy of the probe."""
    return leakage.leaked_nats(log_probs, y)


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
    shares = torch.bincount(y).double() / len(y)
    blind = shares.log().expand(len(y), -1)
    got = float(trial.call(blind, y))
    if abs(got) > 1e-6:
        raise Refused(
            f"a probe that answers the shares of the classes, whatever z, leaks 0 "
            f"nats; yours says {got:.3g}."
        )
    sure = torch.full_like(blind, -80.0)
    sure[torch.arange(len(y)), y] = 0.0
    entropy = -(shares * shares.log()).sum()
    trial.expect_close(
        trial.call(sure, y), float(entropy), "a probe that is always right leaks H(y)"
    )


def _may_be_negative(trial: Trial) -> None:
    log_probs, y = trial.inputs()[0]
    wrong = log_probs[:, torch.arange(log_probs.shape[1]).roll(1)]
    got = float(trial.call(wrong, y))
    if got >= 0:
        raise Refused(
            "a probe that names wrong classes with confidence gives less than 0; "
            f"yours says {got:.3g}."
        )


def _entropy(y: Tensor) -> Tensor:
    shares = torch.bincount(y).double() / len(y)
    return -torch.xlogy(shares, shares).sum()


def _right(lp: Tensor, y: Tensor) -> Tensor:
    return lp.gather(1, y[:, None])[:, 0]


LEAKED_NATS = declare(
    WORDS["leaked_nats"],
    leaked_nats,
    _probe_outputs,
    criteria=(
        agrees("H(y) − cross-entropy", 3.0),
        Criterion("0 for a blind probe, H(y) for a perfect one", 1.0, _knows_nothing),
        Criterion("below 0 for one that is wrong", 1.0, _may_be_negative),
    ),
    mistakes={
        "sign": lambda log_probs, y: -_entropy(y) - _right(log_probs, y).mean(),
        "added": lambda log_probs, y: _entropy(y) - _right(log_probs, y).mean(),
        "uniform_entropy": lambda log_probs, y: (
            math.log(log_probs.shape[1]) + _right(log_probs, y).mean()
        ),
        "no_entropy": lambda log_probs, y: _right(log_probs, y).mean(),
        "cross_entropy": lambda log_probs, y: -_right(log_probs, y).mean(),
        "bits": lambda log_probs, y: (
            (_entropy(y) + _right(log_probs, y).mean()) / math.log(2)
        ),
        "log_of_mean": lambda log_probs, y: (
            _entropy(y) + _right(log_probs, y).exp().mean().log()
        ),
        "best_class": lambda log_probs, y: _entropy(y) + log_probs.max(1).values.mean(),
        "own_entropy": lambda log_probs, y: (
            _entropy(y) + (log_probs.exp() * log_probs).sum(1).mean()
        ),
        "mean_over_classes": lambda log_probs, y: _entropy(y) + log_probs.mean(),
        "summed": lambda log_probs, y: _entropy(y) + _right(log_probs, y).sum(),
        "probabilities": lambda log_probs, y: (
            _entropy(y) + _right(log_probs, y).exp().mean()
        ),
        "clamped": lambda log_probs, y: (
            _entropy(y) + _right(log_probs, y).mean()
        ).clamp(min=0),
        "relative": lambda log_probs, y: 1 + _right(log_probs, y).mean() / _entropy(y),
        "counts_not_shares": lambda log_probs, y: (
            _right(log_probs, y).mean()
            - torch.special.xlogy(*[torch.bincount(y).double()] * 2).sum()
        ),
        "accuracy": lambda log_probs, y: (log_probs.argmax(1) == y).double().mean(),
    },
)

EXERCISES = (CONDITIONAL_TERMS, UNLABELLED_BOUND, LEAKED_NATS)
