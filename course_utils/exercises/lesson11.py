"""Exercises of lesson 11: the conditional ELBO, y summed out, leakage in nats."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.special import entr

from course_utils.grading.criteria import (
    at_the_edges,
    between,
    expect_no_draw,
    gradients,
    normal,
    output,
    rows_stand_alone,
)
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial, gradients_of
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


def _hard_worlds(generator: torch.Generator) -> dict[str, Arguments]:
    (x, y, mu, logvar, eps, means, W, sigma2), _ = _worlds(generator)
    rest = (means, W, sigma2)
    few = tuple(value[:2] for value in (x, y, mu, logvar, eps))
    low = (x, y, mu, logvar - 35, eps, *rest)
    high = (x, y, mu, logvar + 21, eps, *rest)
    return {
        "all examples of one class": (x, 0 * y + 2, mu, logvar, eps, *rest),
        "fewer examples than classes": (*few, *rest),
        "logvar about -35 (take it as it is, with no clamp)": low,
        "logvar about 21 (take it as it is, with no clamp)": high,
        "sigma2 = 1e-8": (x, y, mu, logvar, eps, means, W, 1e-8),
    }


def _distortion_is_right(trial: Trial) -> None:
    expect_no_draw(
        trial, trial.inputs()[0], "the noise is given, eps, so draw none of your own."
    )
    for arguments in trial.inputs():
        got, want = trial.call(*arguments), trial.reference(*arguments)
        trial.expect_close(
            got[0], want[0], "the distortion, −log N(x; m_y + W z, σ²I) with D pixels"
        )


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


def _marginal(x: Tensor, mean: Tensor, W: Tensor, sigma2: float) -> Tensor:
    """Give log N(x; mean, W Wᵀ + σ²I), with no z in it: (N,)."""
    covariance = W @ W.T + sigma2 * torch.eye(len(W)).to(W)
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(x)


CONDITIONAL_TERMS = declare(
    WORDS["conditional_terms"],
    conditional_terms,
    _worlds,
    criteria=(
        Criterion(
            "distortion: −log p(x|y, z) at the drawn z", 1.0, _distortion_is_right
        ),
        output(
            1,
            "rate: KL(q(z|x, y) ‖ p(z))",
            what="the rate, the KL to the prior N(0, I)",
        ),
        Criterion("the decoder is told the label", 1.0, _told_the_label),
        at_the_edges(_hard_worlds, "any label, any variance", 0.5),
        gradients("both terms can be trained through"),
        rows_stand_alone("each example by itself", 0.5, dims=(0, 0, 0, 0, 0)),
    ),
    gradients=(2, 3, 5, 6),
    steps={
        "sigma": lambda logvar: (logvar / 2).exp(),
        "variance": lambda logvar: logvar.exp(),
        "log_variance": lambda logvar: logvar,
        "code": lambda mu: mu,
        "kls": lambda code, variance, log_variance: (
            (code**2 + variance - log_variance - 1) / 2
        ),
        "z": lambda mu, sigma, eps: mu + sigma * eps,
        "offset": lambda z, W: z @ W.T,
        "centre": lambda means, y: means[y],
        "square": lambda x, centre, offset: ((x - centre - offset) ** 2).sum(1),
        "error": lambda square, sigma2: square / (2 * sigma2),
        "normaliser": lambda x, sigma2: x.shape[1] / 2 * math.log(2 * math.pi * sigma2),
        "distortion": lambda error, normaliser: error + normaliser,
        "rate": lambda kls: kls.sum(1),
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
        "label_shifted": instead(centre=lambda means, y: means[y - 1]),
        "label_shifted_up": instead(
            centre=lambda means, y: means[(y + 1) % len(means)]
        ),
        "no_code": instead(offset=lambda: 0),
        "mu_lost": instead(z=lambda sigma, eps: sigma * eps),
        "shared_noise": instead(eps=lambda eps: eps[0]),
        "z_integrated_out": instead(
            distortion=lambda x, centre, W, sigma2: -_marginal(x, centre, W, sigma2)
        ),
        "z_cut_off": instead(z=lambda z: z.detach()),
        "rate_cut_off": instead(rate=lambda rate: rate.detach()),
        "both_cut_off": lambda distortion, rate: (distortion.detach(), rate.detach()),
        "sigma2_squared": instead(sigma2=lambda sigma2: sigma2**2),
        "no_sigma2": instead(error=lambda square: square / 2),
        "plain_squares": instead(distortion=lambda square: square),
        "half_squares": instead(distortion=lambda square: square / 2),
        "normaliser_once": instead(
            normaliser=lambda normaliser, x: normaliser / x.shape[1]
        ),
        "normaliser_without_sigma2": instead(
            normaliser=lambda x: x.shape[1] / 2 * math.log(2 * math.pi)
        ),
        "normaliser_without_2pi": instead(
            normaliser=lambda x, sigma2: x.shape[1] / 2 * math.log(sigma2)
        ),
        "normaliser_sign": instead(normaliser=lambda normaliser: -normaliser),
        "log_sigma_throughout": instead(logvar=lambda logvar: 2 * logvar),
        "both_averaged": lambda distortion, rate, x, mu: (
            distortion / x.shape[1],
            rate / mu.shape[1],
        ),
        "logvar_for_sigma": instead(sigma=lambda logvar: logvar),
        "sigma2_once": instead(
            normaliser=lambda x, sigma2: (
                (x.shape[1] * math.log(2 * math.pi) + math.log(sigma2)) / 2
            )
        ),
        "constant_once": instead(
            normaliser=lambda x, sigma2: (
                (math.log(2 * math.pi) + x.shape[1] * math.log(sigma2)) / 2
            )
        ),
        "label_multiplied": instead(
            centre=lambda means, y, offset: means[y] * offset - offset
        ),
        "rate_of_z": instead(code=lambda z: z),
        "rate_with_label": instead(
            rate=lambda kls, means: kls.sum(1) + math.log(len(means))
        ),
        "rate_mu_not_squared": instead(code=lambda mu: mu.abs().sqrt()),
        "rate_mu_signed": instead(
            kls=lambda mu, variance, logvar: (mu + variance - logvar - 1) / 2
        ),
        "rate_no_half": instead(rate=lambda rate: 2 * rate),
        "rate_reversed": instead(
            kls=lambda mu, variance, logvar: ((1 + mu**2) / variance + logvar - 1) / 2
        ),
        "rate_sigma": instead(variance=lambda sigma: sigma),
        "rate_variance_squared": instead(variance=lambda variance: variance**2),
        "rate_one_missing": instead(kls=lambda kls: kls + 0.5),
        "rate_logvar_added": instead(log_variance=lambda logvar: -logvar),
        "rate_of_class": instead(code=lambda mu, centre, W: mu - centre @ W),
        "rate_of_one_draw": instead(
            rate=lambda z, eps, logvar: ((z**2 - eps**2 - logvar) / 2).sum(1)
        ),
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


def _hard_bounds(generator: torch.Generator) -> dict[str, Arguments]:
    (elbos, log_q), _ = _bounds(generator)
    sure = (900 * log_q).log_softmax(1)
    even = torch.zeros_like(log_q).log_softmax(1)
    return {
        "a batch of one": (elbos[:1], log_q[:1]),
        "a classifier that is sure, so that q(y|x) rounds to 0 (its logarithm is "
        "given)": (elbos, sure),
        "a classifier that knows nothing": (elbos, even),
        "ELBOs about -900": (elbos - 900, log_q),
    }


def _bound_is_right(trial: Trial) -> None:
    expect_no_draw(
        trial, trial.inputs()[0], "sum over all classes, so that no y is drawn."
    )
    for elbos, log_q in trial.inputs():
        got, want = trial.call(elbos, log_q), trial.reference(elbos, log_q)
        worst = int((got - want).abs().argmax())
        q = log_q.exp()
        elbo, entropy = float((q * elbos).sum(1)[worst]), float(entr(q).sum(1)[worst])
        trial.expect_close(
            got, want, f"where Σ q·ELBO = {elbo:.4g} and −Σ q·log q = {entropy:.4g}"
        )


def _trains_both(trial: Trial) -> None:
    """Through the classifier's logits, where every way to write q(y|x) is the same."""
    for elbos, log_q in trial.inputs():
        trial.call(elbos, log_q)
        slopes = []
        for version in (trial.raw, trial.exercise.reference):
            given = elbos.clone().requires_grad_(), log_q.clone().requires_grad_()
            answer = version(given[0], given[1].log_softmax(1))
            try:
                slopes.append(gradients_of(answer, given, (0, 1)))
            except RuntimeError as error:
                raise Refused(f"no gradient can be taken: {error}") from None
        what = (
            "the gradient in joint_elbo (is the ELBO cut off?)",
            "the gradient in the classifier (is q(y|x) cut off in a place?)",
        )
        for got, want, said in zip(*slopes, what, strict=True):
            trial.expect_close(got, want, said)


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
        Criterion("Σ_y q(y|x) (ELBO(x, y) − log q(y|x))", 1.0, _bound_is_right),
        Criterion("the best q(y|x) closes the gap of y", 1.0, _best_q_reaches_the_sum),
        Criterion("no class is special", 1.0, _order_of_classes),
        Criterion("classifier and model can be trained through it", 1.0, _trains_both),
        at_the_edges(_hard_bounds, "one example; a classifier sure or blind"),
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
        "argmax_bound": lambda excess, top: excess.gather(1, top)[:, 0],
        "best_class": lambda excess: excess.amax(1),
        "best_elbo": lambda joint_elbo: joint_elbo.amax(1),
        "entropy_in_bits": instead(
            excess=lambda joint_elbo, log_q_y: joint_elbo - log_q_y / math.log(2)
        ),
        "entropy_unweighted": lambda q, joint_elbo, log_q_y: (
            q * joint_elbo - log_q_y
        ).sum(1),
        "entropy_averaged": lambda q, joint_elbo: (
            (q * joint_elbo).sum(1) + entr(q).mean(1)
        ),
        "entropy_of_batch": lambda q, joint_elbo: (
            (q * joint_elbo).sum(1) + entr(q).sum()
        ),
        "best_term": lambda terms: terms.amax(1),
        "even_prior_for_entropy": lambda q, joint_elbo, log_C: (
            (q * joint_elbo).sum(1) - log_C
        ),
        "even_entropy": lambda q, joint_elbo, log_C: (q * joint_elbo).sum(1) + log_C,
        "weights_squared": instead(q=lambda q: q**2),
        "log_q_for_q": lambda joint_elbo, log_q_y: (joint_elbo * log_q_y).sum(1),
        "likelihoods_for_weights": instead(q=lambda joint_elbo: joint_elbo.exp()),
        "entropy_sign_unweighted": lambda q, joint_elbo, log_q_y: (
            q * joint_elbo + log_q_y
        ).sum(1),
        "entropy_twice": instead(
            excess=lambda joint_elbo, log_q_y: joint_elbo - 2 * log_q_y
        ),
        "entropy_alone": lambda q: entr(q).sum(1),
        "q_for_log_q": instead(excess=lambda joint_elbo, q: joint_elbo - q),
        "elbos_summed": lambda joint_elbo, q: joint_elbo.sum(1) + entr(q).sum(1),
        "elbos_averaged": lambda joint_elbo, q: joint_elbo.mean(1) + entr(q).sum(1),
        "plain_average": lambda joint_elbo: joint_elbo.mean(1),
        "own_posterior": instead(q=lambda joint_elbo: joint_elbo.softmax(1)),
        "log_of_even_mean": lambda joint_elbo, log_C: joint_elbo.logsumexp(1) - log_C,
        "exponentiated": lambda q, joint_elbo: (q * joint_elbo.exp()).sum(1),
        "last_class_left_out": lambda terms: terms[:, :-1].sum(1),
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


def _hard_probes(generator: torch.Generator) -> dict[str, Arguments]:
    (log_probs, y), _ = _probe_outputs(generator)
    more = normal(generator, len(y), 6).log_softmax(1)
    sure = (60 * more).log_softmax(1)
    return {
        "with classes that no example has (0 · log 0 is 0)": (more, 2 * y),
        "with one example": (log_probs[:1], y[:1]),
        "with a probe that is sure of a wrong class": (sure, y),
        "with a probe that knows nearly nothing": ((1e-3 * more).log_softmax(1), y),
    }


def _misled(generator: torch.Generator) -> list[Arguments]:
    """Draw a probe that names wrong classes with confidence: it leaks less than 0."""
    log_probs, y = _probe_outputs(generator)[0]
    return [(log_probs[:, torch.arange(log_probs.shape[1]).roll(1)], y)]


def _leak_is_right(trial: Trial) -> None:
    for log_probs, y in trial.inputs():
        entropy = float(entr(_shares(y)).sum())
        score = float(log_probs[torch.arange(len(y)), y].mean())
        trial.expect_close(
            trial.call(log_probs, y),
            trial.reference(log_probs, y),
            f"where H(y) = {entropy:.4f} and the mean log r of the true class is "
            f"{score:.4f}",
        )


def _knows_nothing(trial: Trial) -> None:
    _, y = trial.inputs()[0]
    shares = _shares(y)
    blind = shares.log().expand(len(y), -1)
    got = float(trial.call(blind, y))
    if abs(got) > 1e-5:
        raise Refused(
            f"a probe that answers the shares of the classes, whatever z, leaks 0 "
            f"nats; yours says {got:.3g}."
        )
    sure = torch.full_like(blind, -80.0)
    sure[torch.arange(len(y)), y] = 0.0
    what = "a probe that is always right leaks H(y)"
    trial.expect_close(trial.call(sure, y), float(entr(shares).sum()), what)


def _may_be_negative(trial: Trial) -> None:
    ((wrong, y),) = _misled(trial.generator)
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
        Criterion("H(y) − cross-entropy", 2.0, _leak_is_right),
        Criterion("0 for a blind probe, H(y) for a perfect one", 1.0, _knows_nothing),
        Criterion("below 0 for one that is wrong", 1.0, _may_be_negative),
        at_the_edges(_hard_probes, "absent classes, one example, any probe"),
    ),
    edges=_misled,
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
        "ten_classes": instead(entropy=lambda: math.log(10)),
        "predicted_shares": instead(
            entropy=lambda log_probs: entr(log_probs.exp().mean(0)).sum()
        ),
        "shares_lost": instead(entropy=lambda y: -_shares(y).log().sum()),
        "log_shares_averaged": instead(entropy=lambda y: -_shares(y).log().mean()),
        "entropy_averaged": instead(entropy=lambda y: entr(_shares(y)).mean()),
        "entropy_in_bits": instead(entropy=lambda entropy: entropy / math.log(2)),
        "impurity": instead(entropy=lambda y: 1 - (_shares(y) ** 2).sum()),
        "commonest_class": instead(entropy=lambda y: -_shares(y).max().log()),
        "entropy_sign": lambda entropy, log_score: log_score - entropy,
        "classes_alike": instead(
            log_score=lambda right, y: torch.stack(
                [right[y == c].mean() for c in y.unique()]
            ).mean()
        ),
        "all_pairs": instead(right=lambda log_probs, y: log_probs[:, y]),
        "softmax_twice": instead(
            log_probs=lambda log_probs: log_probs.exp().log_softmax(1)
        ),
        "predicted_information": lambda log_probs: (
            entr(log_probs.exp().mean(0)).sum() - entr(log_probs.exp()).sum(1).mean()
        ),
        "examples_for_classes": instead(entropy=lambda y: math.log(len(y))),
        "diagonal": instead(right=lambda log_probs: log_probs.diagonal()),
        "middle_example": instead(log_score=lambda right: right.median()),
        "log_of_sum": instead(log_score=lambda right: right.logsumexp(0)),
        "multiplied": lambda entropy, log_score: entropy * log_score,
        "ratio": lambda entropy, log_score: -entropy / log_score,
        "perplexity": lambda answer: answer.exp(),
    },
)

EXERCISES = (CONDITIONAL_TERMS, UNLABELLED_BOUND, LEAKED_NATS)
