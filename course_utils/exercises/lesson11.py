"""Exercises of lesson 11: a conditional VAE, M2's bound and step, leakage in nats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
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
from course_utils.objectives import bernoulli_log_prob, log_mean_exp

WORDS = words_beside(__file__)


def _labels(generator: torch.Generator, count: int, classes: int) -> Tensor:
    """Random labels in which every class appears, some more often than others."""
    rest = torch.randint(classes - 1, (count - classes,), generator=generator)
    return torch.cat([torch.arange(classes), rest])[
        torch.randperm(count, generator=generator)
    ]


# --- conditional_terms --------------------------------------------------------------


def _networks(
    generator: torch.Generator, *sizes: tuple[int, int, int]
) -> list[list[Tensor]]:
    """Draw the weights of networks of one hidden layer: inputs, hidden, outputs."""
    return [
        [
            normal(generator, hidden, inputs) / math.sqrt(inputs),
            normal(generator, hidden),
            normal(generator, outputs, hidden) / math.sqrt(hidden),
            0.5 * normal(generator, outputs),
        ]
        for inputs, hidden, outputs in sizes
    ]


def _binary(generator: torch.Generator, *shape: int) -> Tensor:
    return (normal(generator, *shape) > 0.3).double()


def _told(generator: torch.Generator) -> list[Arguments]:
    def drawn(N: int, D: int, K: int, C: int) -> Arguments:
        encoder, decoder = _networks(generator, (D + C, 6, 2 * K), (K + C, 7, D))
        return (
            _binary(generator, N, D),
            _labels(generator, N, C),
            normal(generator, N, K),
            encoder,
            decoder,
        )

    return [drawn(7, 5, 3, 4), drawn(6, 8, 2, 3)]


def _hard_told(generator: torch.Generator) -> dict[str, Arguments]:
    (x, y, eps, encoder, decoder), _ = _told(generator)
    K = eps.shape[1]
    low, high = (
        [*encoder[:3], encoder[3] + shift * (torch.arange(2 * K) >= K)]
        for shift in (-35, 12)
    )
    sure = [*decoder[:3], 300 * decoder[3]]
    deep = [*_networks(generator, (9, 6, 5))[0], *_networks(generator, (5, 4, 6))[0]]
    return {
        "all examples of one class": (x, 0 * y + 2, eps, encoder, decoder),
        "fewer examples than classes": (x[:2], y[:2], eps[:2], encoder, decoder),
        "a decoder that is sure (go from logits, not from probabilities)": (
            x, y, eps, encoder, sure
        ),
        "logvar about -35 (take it as it is, with no clamp)": (
            x, y, eps, low, decoder
        ),
        "logvar about 12 (take it as it is, with no clamp)": (x, y, eps, high, decoder),
        "an encoder of four layers": (x, y, eps, deep, decoder),
    }  # fmt: skip


def _distortion_is_right(trial: Trial) -> None:
    expect_no_draw(
        trial, trial.inputs()[0], "the noise is given, eps, so draw none of your own."
    )
    for arguments in trial.inputs():
        got, want = trial.call(*arguments), trial.reference(*arguments)
        trial.expect_close(
            got[0], want[0], "the distortion, −log p(x|y, z) summed over D pixels"
        )


def _told_the_label(trial: Trial) -> None:
    """Renumber the classes, and the columns of the weights with them."""
    x, y, eps, encoder, decoder = trial.inputs()[0]
    before = trial.call(x, y, eps, encoder, decoder)
    C = encoder[0].shape[1] - x.shape[1]
    order = torch.arange(C).roll(1)

    def renumbered(weights: list[Tensor]) -> list[Tensor]:
        columns = weights[0].shape[1] - C
        W = torch.cat([weights[0][:, :columns], weights[0][:, columns:][:, order]], 1)
        return [W, *weights[1:]]

    for place, name in ((0, "encoder"), (1, "decoder")):
        weights = [encoder, decoder]
        weights[place] = renumbered(weights[place])
        after = trial.call(x, y, eps, *weights)
        if float((after[0] - before[0]).abs().max()) < 1e-6:
            raise Refused(f"the {name}'s weights of the label change nothing.")
    new = (y + 1) % C
    trial.expect_close(
        trial.call(x, new, eps, renumbered(encoder), renumbered(decoder)),
        before,
        "classes renumbered, and the weights with them; terms",
    )


def _averaged_over_classes(
    x: Tensor, z: Tensor, classes: int, decoder: list[Tensor]
) -> Tensor:
    """Give −log of the mean over the classes of p(x|y, z): (N,)."""
    each = []
    for c in range(classes):
        hot = torch.eye(classes).to(x)[c].expand(len(x), -1)
        logits = conditional.network(torch.cat([z, hot], 1), decoder)
        each.append(bernoulli_log_prob(x, logits))
    return -log_mean_exp(torch.stack(each), 0)


CONDITIONAL_TERMS = declare(
    WORDS["conditional_terms"],
    conditional.conditional_terms,
    _told,
    criteria=(
        Criterion(
            "distortion: −log p(x|y, z) at the drawn z", 1.0, _distortion_is_right
        ),
        output(
            1,
            "rate: KL(q(z|x, y) ‖ p(z))",
            what="the rate, the KL to the prior N(0, I)",
        ),
        Criterion("encoder and decoder are told the label", 1.0, _told_the_label),
        at_the_edges(_hard_told, "any label, any variance, any depth", 0.5),
        gradients("both terms can be trained through"),
        rows_stand_alone("each example by itself", 0.5, dims=(0, 0, 0)),
    ),
    gradients=(0, 2),
    steps={
        "classes": lambda x, encoder: encoder[0].shape[1] - x.shape[1],
        "hot": lambda y, classes, x: F.one_hot(y, classes).to(x),
        "hot_in": lambda hot: hot,
        "hot_out": lambda hot: hot,
        "seen": lambda x, hot_in: torch.cat([x, hot_in], 1),
        "halves": lambda seen, encoder: conditional.network(seen, encoder).chunk(2, 1),
        "mu": lambda halves: halves[0],
        "logvar": lambda halves: halves[1],
        "sigma": lambda logvar: (logvar / 2).exp(),
        "z": lambda mu, sigma, eps: mu + sigma * eps,
        "told": lambda z, hot_out: torch.cat([z, hot_out], 1),
        "logits": lambda told, decoder: conditional.network(told, decoder),
        "distortion": lambda x, logits: -bernoulli_log_prob(x, logits),
        "code": lambda mu: mu,
        "variance": lambda logvar: logvar.exp(),
        "kls": lambda code, variance, logvar: (code**2 + variance - logvar - 1) / 2,
        "rate": lambda kls: kls.sum(1),
        "answer": lambda distortion, rate: (distortion, rate),
    },
    mistakes={
        "encoder_blind": instead(hot_in=lambda hot: 0 * hot),
        "decoder_blind": instead(hot_out=lambda hot: 0 * hot),
        "both_blind": instead(hot=lambda hot: 0 * hot),
        "label_first": instead(
            seen=lambda x, hot_in: torch.cat([hot_in, x], 1),
            told=lambda z, hot_out: torch.cat([hot_out, z], 1),
        ),
        "label_first_in": instead(seen=lambda x, hot_in: torch.cat([hot_in, x], 1)),
        "label_first_out": instead(told=lambda z, hot_out: torch.cat([hot_out, z], 1)),
        "label_shifted": instead(hot=lambda hot: hot.roll(1, 1)),
        "label_shifted_down": instead(hot=lambda hot: hot.roll(-1, 1)),
        "label_of_batch": instead(hot=lambda hot: hot.mean(0).expand_as(hot)),
        "label_of_row": instead(
            hot=lambda x, classes: torch.eye(classes).to(x)[
                torch.arange(len(x)) % classes
            ]
        ),
        "marginal": instead(
            distortion=lambda x, z, classes, decoder: _averaged_over_classes(
                x, z, classes, decoder
            )
        ),
        "joint": instead(
            distortion=lambda distortion, classes: distortion + math.log(classes)
        ),
        "rate_with_label": instead(rate=lambda rate, classes: rate + math.log(classes)),
        "halves_swapped": instead(
            mu=lambda halves: halves[1], logvar=lambda halves: halves[0]
        ),
        "no_noise": instead(eps=lambda eps: 0 * eps),
        "mu_lost": instead(z=lambda sigma, eps: sigma * eps),
        "log_sigma": instead(sigma=lambda logvar: logvar.exp()),
        "log_sigma_throughout": instead(logvar=lambda logvar: 2 * logvar),
        "logvar_for_sigma": instead(sigma=lambda logvar: logvar),
        "shared_noise": instead(eps=lambda eps: eps[:1].expand_as(eps)),
        "z_cut_off": instead(z=lambda z: z.detach()),
        "rate_cut_off": instead(rate=lambda rate: rate.detach()),
        "both_cut_off": lambda distortion, rate: (distortion.detach(), rate.detach()),
        "pixel_mean": instead(distortion=lambda distortion, x: distortion / x.shape[1]),
        "rate_mean": instead(rate=lambda rate, eps: rate / eps.shape[1]),
        "both_averaged": lambda distortion, rate, x, eps: (
            distortion / x.shape[1],
            rate / eps.shape[1],
        ),
        "sign": instead(distortion=lambda distortion: -distortion),
        "rate_sign": instead(rate=lambda rate: -rate),
        "swapped": lambda distortion, rate: (rate, distortion),
        "sigmoid_twice": instead(logits=lambda logits: logits.sigmoid()),
        "plain_squares": instead(
            distortion=lambda x, logits: ((x - logits.sigmoid()) ** 2).sum(1)
        ),
        "squares_of_logits": instead(
            distortion=lambda x, logits: ((x - logits) ** 2).sum(1)
        ),
        "ink_alone": instead(
            distortion=lambda x, logits: -(x * F.logsigmoid(logits)).sum(1)
        ),
        "rate_no_half": instead(rate=lambda rate: 2 * rate),
        "rate_no_exp": instead(variance=lambda logvar: logvar),
        "rate_reversed": instead(
            kls=lambda mu, variance, logvar: ((1 + mu**2) / variance + logvar - 1) / 2
        ),
        "rate_sigma": instead(variance=lambda sigma: sigma),
        "rate_one_missing": instead(kls=lambda kls: kls + 0.5),
        "rate_logvar_added": instead(kls=lambda kls, logvar: kls + logvar),
        "rate_of_z": instead(code=lambda z: z),
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
    many = tuple(given.repeat(8, 1) for given in trial.inputs()[0])
    expect_no_draw(trial, many, "sum over all classes, so that no y is drawn.")
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


# --- m2_step ------------------------------------------------------------------------

Weights = list[Tensor]
STEPS = 3


def m2_step(
    x: Tensor,
    y: Tensor,
    eps: Tensor,
    encoder: Weights,
    decoder: Weights,
    classifier: Weights,
    alpha: float,
    lr: float,
) -> tuple[Weights, Weights, Weights]:
    """Take one step of gradient descent on M2's loss: the new weights of each network.

    x (N, D), y (N,) with −1 where it is not known, eps (N, C, K).
    """
    with torch.enable_grad():
        networks = _watched(encoder), _watched(decoder), _watched(classifier)
        elbos = conditional.elbos_by_class(x, eps, networks[0], networks[1])
        log_q_y = conditional.network(x, networks[2]).log_softmax(1)
        bound = conditional.unlabelled_bound(elbos, log_q_y)
        own = torch.arange(len(y)), y.clamp(min=0)
        named = elbos[own] + alpha * log_q_y[own]
        loss = -torch.where(y >= 0, named, bound).mean()
        return _moved(loss, networks, lr)


def _watched(weights: Weights) -> Weights:
    return [w.detach().clone().requires_grad_() for w in weights]


def _moved(
    loss: Tensor, networks: Sequence[Weights], lr: float
) -> tuple[Weights, Weights, Weights]:
    every = [w for weights in networks for w in weights]
    slopes = torch.autograd.grad(loss, every, materialize_grads=True)
    moved = iter(
        w.detach() - lr * slope for w, slope in zip(every, slopes, strict=True)
    )
    first, second, third = ([next(moved) for _ in weights] for weights in networks)
    return first, second, third


def _batches(generator: torch.Generator) -> list[Arguments]:
    def drawn(N: int, D: int, K: int, C: int) -> Arguments:
        y = _labels(generator, N, C)
        unknown = torch.arange(N) % 5 < 3
        encoder, decoder, classifier = _networks(
            generator, (D + C, 6, 2 * K), (K + C, 7, D), (D, 9, C)
        )
        return (
            _binary(generator, N, D),
            torch.where(unknown[torch.randperm(N, generator=generator)], -1, y),
            normal(generator, N, C, K),
            encoder,
            decoder,
            classifier,
            between(generator, 1.5, 4.0),
            between(generator, 0.02, 0.06),
        )

    return [drawn(10, 5, 3, 4), drawn(15, 8, 2, 3)]


def _hard_batches(generator: torch.Generator) -> dict[str, Arguments]:
    (x, y, eps, *networks, alpha, lr), _ = _batches(generator)
    told = torch.arange(len(y)) % eps.shape[1]
    return {
        "a batch without a label": (x, 0 * y - 1, eps, *networks, alpha, lr),
        "a batch with every label": (x, told, eps, *networks, alpha, lr),
        "one example": (x[:1], y[:1], eps[:1], *networks, alpha, lr),
        "alpha = 0": (x, y, eps, *networks, 0.0, lr),
    }


def _networks_are_right(*places: int) -> Callable[[Trial], None]:
    names = ("encoder", "decoder", "classifier")

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            got, want = trial.call(*arguments), trial.reference(*arguments)
            for place in places:
                what = f"the {names[place]} after one step"
                old = arguments[3 + place]
                mine, right = (_changes(new[place], old) for new in (got, want))
                trial.expect_close(mine, right, f"{what}: new weights less old ones")

    return test


def _changes(new: Sequence[Tensor], old: Sequence[Tensor]) -> list[Tensor]:
    return [after.detach() - before for after, before in zip(new, old, strict=True)]


def _goes_on(trial: Trial) -> None:
    """Feed the weights back; they must not drag the graph of earlier steps along."""
    for x, y, eps, *networks, alpha, lr in trial.inputs():
        mine, right = networks, networks
        for step in range(1, STEPS + 1):
            noise = normal(trial.generator, *eps.shape)
            mine = trial.call(x, y, noise, *mine, alpha, lr)
            if any(w.requires_grad for weights in mine for w in weights):
                raise Refused(
                    "the new weights still hang on the graph of the step: detach them, "
                    "or the memory grows from step to step."
                )
            right = trial.reference(x, y, noise, *right, alpha, lr)
            trial.expect_close(mine, right, f"the weights after {step} steps")


M2_STEP = declare(
    WORDS["m2_step"],
    m2_step,
    _batches,
    criteria=(
        Criterion("encoder and decoder take the step", 2.0, _networks_are_right(0, 1)),
        Criterion("the classifier takes the step", 1.0, _networks_are_right(2)),
        Criterion("three steps, each from the last", 1.0, _goes_on),
        at_the_edges(_hard_batches, "all labels, none, one example, alpha = 0"),
    ),
    steps={
        "networks": lambda encoder, decoder, classifier: (
            _watched(encoder),
            _watched(decoder),
            _watched(classifier),
        ),
        "elbos": lambda x, eps, networks: conditional.elbos_by_class(
            x, eps, networks[0], networks[1]
        ),
        "log_q": lambda x, networks: conditional.network(x, networks[2]).log_softmax(1),
        "bound": lambda elbos, log_q: conditional.unlabelled_bound(elbos, log_q),
        "known": lambda y: y >= 0,
        "own": lambda y: (torch.arange(len(y)), y.clamp(min=0)),
        "joint": lambda elbos, own: elbos[own],
        "naming": lambda log_q, own: log_q[own],
        "named": lambda joint, naming, alpha: joint + alpha * naming,
        "rows": lambda known, named, bound: torch.where(known, named, bound),
        "loss": lambda rows: -rows.mean(),
        "answer": lambda loss, networks, lr: _moved(loss, networks, lr),
    },
    mistakes={
        "classifier_untrained": instead(named=lambda joint: joint),
        "alpha_lost": instead(alpha=lambda: 1.0),
        "alpha_sign": instead(
            named=lambda joint, naming, alpha: joint - alpha * naming
        ),
        "alpha_on_all": instead(
            named=lambda joint, naming, alpha: alpha * (joint + naming)
        ),
        "labels_ignored": instead(rows=lambda bound: bound),
        "unlabelled_left_out": instead(
            rows=lambda known, named: torch.where(known, named, 0 * named)
        ),
        "labelled_alone": instead(loss=lambda known, named: -named[known].mean()),
        "bound_for_labelled_too": instead(
            rows=lambda known, named, bound: bound + torch.where(known, named, 0)
        ),
        "unknown_is_last_class": instead(
            own=lambda y: (torch.arange(len(y)), y), rows=lambda named: named
        ),
        "unknown_is_first_class": instead(rows=lambda named: named),
        "likeliest_class": instead(
            bound=lambda elbos, log_q: elbos.gather(1, log_q.argmax(1, keepdim=True))[
                :, 0
            ]
        ),
        "no_entropy": instead(bound=lambda elbos, log_q: (log_q.exp() * elbos).sum(1)),
        "entropy_sign": instead(
            bound=lambda elbos, log_q: (log_q.exp() * (elbos + log_q)).sum(1)
        ),
        "weights_cut_off": instead(
            bound=lambda elbos, log_q: (log_q.exp().detach() * (elbos - log_q)).sum(1)
        ),
        "unweighted": instead(bound=lambda elbos: elbos.mean(1)),
        "summed": instead(loss=lambda rows: -rows.sum()),
        "two_means": instead(
            loss=lambda known, named, bound: (
                -(
                    named[known].sum() / known.sum().clamp(min=1)
                    + bound[~known].sum() / (~known).sum().clamp(min=1)
                )
            )
        ),
        "uphill": instead(lr=lambda lr: -lr),
        "no_lr": instead(lr=lambda: 1.0),
        "classifier_kept": lambda answer, classifier: (*answer[:2], classifier),
        "encoder_kept": lambda answer, encoder: (encoder, *answer[1:]),
        "decoder_kept": lambda answer, decoder: (answer[0], decoder, answer[2]),
        "nothing_moved": lambda encoder, decoder, classifier: (
            encoder,
            decoder,
            classifier,
        ),
        "slopes": lambda loss, networks, lr: tuple(
            _changes(new, [w.detach() for w in old])
            for new, old in zip(_moved(loss, networks, -1.0), networks, strict=True)
        ),
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

EXERCISES = (CONDITIONAL_TERMS, UNLABELLED_BOUND, M2_STEP, LEAKED_NATS)
