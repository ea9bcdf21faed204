"""Exercises of lesson 05: the identity's last line, the rate, a climb of the bound."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_utils.grading.criteria import (
    agrees,
    expect_no_draw,
    gradients,
    normal,
    output,
)
from course_utils.grading.declare import Steps, declare, instead, words_beside
from course_utils.grading.descent import slopes
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.objectives import gaussian_kl

LOG_2PI = math.log(2 * math.pi)
Pair = tuple[Tensor, Tensor]
Objective = Callable[[Tensor, Tensor], Tensor]
WORDS = words_beside(__file__)
CLAMPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 20)  # bounds that people put on log-variances
FAR = (-0.8, -25.0, 21.0)  # levels of logvar: usual, near no variance, far above 1


def _clamped(size: float) -> Steps:
    return instead(logvar=lambda logvar: logvar.clamp(-size, size))


# --- three_terms --------------------------------------------------------------------


def three_terms(
    log_lik: Tensor, log_prior: Tensor, log_posterior: Tensor, log_q: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Split log p(x) at each place: what stands under the three averages, (M,) each.

    log p(x) = orange − purple + red for every z, by Bayes' rule. Averaged under q,
    purple is KL(q ‖ prior) and red KL(q ‖ posterior).
    """
    return log_lik, log_q - log_prior, log_q - log_posterior


def _places(generator: torch.Generator) -> list[Arguments]:
    """Draw two worlds with a discrete z: M places, every distribution adds to 1."""
    drawn: list[Arguments] = []
    for M in (6, 11):
        log_prior = normal(generator, M).log_softmax(0)
        log_q = normal(generator, M).log_softmax(0)
        log_lik = -3 + 1.5 * normal(generator, M)
        log_posterior = (log_lik + log_prior).log_softmax(0)
        drawn.append((log_lik, log_prior, log_posterior, log_q))
    return drawn


def _one_place(generator: torch.Generator) -> list[Arguments]:
    log_lik, log_prior, log_posterior, log_q = _places(generator)[0]
    return [(log_lik[:1], log_prior[:1], log_posterior[:1], log_q[:1])]


def _adds_up(trial: Trial) -> None:
    """Ask for log p(x) at every place, although each term changes from place to place.

    The expected value is a sum over the places that knows no posterior.
    """
    for arguments in trial.inputs():
        orange, purple, red = trial.call(*arguments)
        log_p = torch.logsumexp(arguments[0] + arguments[1], 0)
        off = (orange - purple + red - log_p).abs().max()
        if off > 1e-6:
            raise Refused(
                "orange − purple + red is not log p(x) at every z: it is off by up to "
                f"{float(off):.3g} nats."
            )


def _averages_are_kls(trial: Trial) -> None:
    for log_lik, log_prior, log_posterior, log_q in trial.inputs():
        _, purple, red = trial.call(log_lik, log_prior, log_posterior, log_q)
        q = log_q.exp()
        for name, term, other in (
            ("purple", purple, log_prior),
            ("red", red, log_posterior),
        ):
            kl = torch.nn.functional.kl_div(other, q, reduction="sum")
            average = (q * term).sum()
            if (average - kl).abs() > 1e-6:
                raise Refused(
                    f"averaged under q, {name} is {float(average):.4g} nats; the KL "
                    f"divergence is {float(kl):.4g}."
                )


THREE_TERMS = declare(
    WORDS["three_terms"],
    three_terms,
    _places,
    criteria=(
        Criterion("orange − purple + red is log p(x) at every z", 1.5, _adds_up),
        output(0, "orange is log p(x|z)", 0.5, "orange"),
        Criterion("averaged under q, the others are KLs", 1.5, _averages_are_kls),
        agrees("right at a single place", 0.5, _one_place),
    ),
    steps={
        "orange": lambda log_lik: log_lik,
        "purple": lambda log_q, log_prior: log_q - log_prior,
        "red": lambda log_q, log_posterior: log_q - log_posterior,
        "evidence": lambda log_lik, log_prior, log_posterior: (
            log_lik + log_prior - log_posterior
        ),
        "answer": lambda orange, purple, red: (orange, purple, red),
    },
    mistakes={
        "purple_upside_down": instead(purple=lambda purple: -purple),
        "red_upside_down": instead(red=lambda red: -red),
        "both_upside_down": instead(
            purple=lambda purple: -purple, red=lambda red: -red
        ),
        "averaged_already": lambda orange, purple, red, log_q: tuple(
            (log_q.exp() * term).sum().expand(len(log_q))
            for term in (orange, purple, red)
        ),
        "weighted_already": lambda orange, purple, red, log_q: (
            log_q.exp() * orange,
            log_q.exp() * purple,
            log_q.exp() * red,
        ),
        "swapped": lambda orange, purple, red: (orange, red, purple),
        "prior_in_red": instead(red=lambda purple: purple),
        "posterior_in_purple": instead(purple=lambda red: red),
        "red_of_the_prior": instead(
            red=lambda log_prior, log_posterior: log_prior - log_posterior
        ),
        "ratios_of_logs": instead(
            purple=lambda log_q, log_prior: log_q / log_prior,
            red=lambda log_q, log_posterior: log_q / log_posterior,
        ),
        "not_logged": instead(
            purple=lambda purple: purple.exp(), red=lambda red: red.exp()
        ),
        "all_exponentiated": lambda orange, purple, red: (
            orange.exp(),
            purple.exp(),
            red.exp(),
        ),
        "minus_in_orange": instead(orange=lambda orange: -orange),
        "joint_for_orange": instead(
            orange=lambda log_lik, log_prior: log_lik + log_prior
        ),
        "evidence_for_orange": instead(orange=lambda evidence: evidence),
        "bare_q": instead(purple=lambda log_q: log_q, red=lambda log_q: log_q),
        "bare_prior_and_posterior": instead(
            purple=lambda log_prior: log_prior, red=lambda log_posterior: log_posterior
        ),
        "nothing_missing": instead(red=lambda red: 0 * red),
        "red_as_a_difference": instead(
            red=lambda log_q, log_posterior: log_q.exp() - log_posterior.exp()
        ),
        "absolute_values": instead(
            purple=lambda purple: purple.abs(), red=lambda red: red.abs()
        ),
    },
    edges=_one_place,
)


# --- gaussian_kl --------------------------------------------------------------------


def _encodings(generator: torch.Generator) -> list[Arguments]:
    def draw(batch: int, K: int) -> Arguments:
        mu = 1.2 * normal(generator, batch, K)
        return mu, -0.6 + 0.8 * normal(generator, batch, K)

    return [draw(7, 3), draw(4, 5)]


def _far_encodings(generator: torch.Generator) -> list[Arguments]:
    """One example, one latent, at each level of its log-variance; a mean far off 0."""
    near = [(normal(generator, 1, 1), level + normal(generator, 1, 1)) for level in FAR]
    return [*near, (30 + normal(generator, 1, 1), normal(generator, 1, 1))]


def _zero_only_at_the_prior(trial: Trial) -> None:
    for mu, logvar in trial.inputs():
        zero = torch.zeros_like(mu)
        least = trial.call(zero, zero)
        expect_no_draw(trial, (mu, logvar))
        if least.abs().max() > 1e-5:
            raise Refused(
                "for q = N(0, I), the prior itself, the KL is 0; yours is "
                f"{float(least[0]):.4g} (a floor under the KL, or the −1 missing?)."
            )
        for what, value in (
            ("a mean off 0", trial.call(mu, zero)),
            ("a variance below 1", trial.call(zero, -0.3 - logvar.abs())),
            ("a variance above 1", trial.call(zero, 0.3 + logvar.abs())),
        ):
            if not (value > 1e-3).all():
                raise Refused(
                    f"with {what} the KL is {float(value.min()):.3g}, expected above 0."
                )


def _adds_over_latents(trial: Trial) -> None:
    for mu, logvar in trial.inputs():
        left = trial.call(mu[:, :1], logvar[:, :1])
        right = trial.call(mu[:, 1:], logvar[:, 1:])
        whole = trial.call(mu, logvar)
        what = "the parts of independent latents do not add up"
        trial.expect_close(left + right, whole, what)
        if torch.allclose(whole[0], whole[1]):
            raise Refused("two different encodings get the same KL.")


GAUSSIAN_KL = declare(
    WORDS["gaussian_kl"],
    gaussian_kl,
    _encodings,
    criteria=(
        agrees("agrees with the closed form", 2.0),
        Criterion(
            "zero at the prior, positive elsewhere", 0.5, _zero_only_at_the_prior
        ),
        Criterion("adds up over independent latents", 0.5, _adds_over_latents),
        agrees(
            "right for one example, and with no bound on logvar", 1.0, _far_encodings
        ),
        gradients("its gradient is right: no part is cut off", 1.0),
    ),
    steps={
        "square": lambda mu: mu**2,
        "var": lambda logvar: logvar.exp(),
        "log": lambda logvar: logvar,
        "spread": lambda var, log: var - log - 1,
        "terms": lambda square, spread: 0.5 * (square + spread),
        "reverse": lambda square, var, log: 0.5 * (log + (1 + square) / var - 1),
        "answer": lambda terms: terms.sum(1),
    },
    mistakes={
        "half_dropped": lambda answer: 2 * answer,
        "sign_flipped": lambda answer: -answer,
        "logvar_squared": instead(var=lambda logvar: logvar**2),
        "read_as_log_sigma": instead(logvar=lambda logvar: 2 * logvar),
        "sigma_for_variance": instead(var=lambda var: var.sqrt()),
        "logvar_for_variance": instead(var=lambda logvar: logvar),
        "log_halved": instead(log=lambda log: log / 2),
        "log_doubled": instead(log=lambda log: 2 * log),
        "mean_over_variance": instead(square=lambda square, var: square / var),
        "double_exponent": instead(var=lambda var: var**2),
        "averaged_over_latents": lambda terms: terms.mean(1),
        "averaged_over_everything": lambda terms: terms.mean(),
        "added_down_the_batch": lambda terms: terms.sum(0),
        "not_added": lambda terms: terms,
        "summed_over_batch": lambda answer: answer.sum().expand(len(answer)),
        "summed_to_one_number": lambda answer: answer.sum(),
        "mean_broadcast": lambda answer: answer.mean().expand(len(answer)),
        "averaged_to_one_number": lambda answer: answer.mean(),
        "wrong_direction": instead(terms=lambda reverse: reverse),
        "both_ways": instead(terms=lambda terms, reverse: (terms + reverse) / 2),
        "both_ways_added": instead(terms=lambda terms, reverse: terms + reverse),
        "mean_not_squared": instead(square=lambda mu: mu),
        "absolute_mean": instead(square=lambda mu: mu.abs()),
        "squared_after_sum": lambda mu, spread: 0.5 * (mu.sum(1) ** 2 + spread.sum(1)),
        "one_dropped": instead(spread=lambda spread: spread + 1),
        "one_added": instead(spread=lambda spread: spread + 2),
        "one_only_once": lambda terms: (terms + 0.5).sum(1) - 0.5,
        "log_added": instead(log=lambda log: -log),
        "half_on_mean_only": lambda square, spread: (0.5 * square + spread).sum(1),
        "half_not_on_mean": lambda square, spread: (square + 0.5 * spread).sum(1),
        "one_not_halved": instead(terms=lambda terms: terms - 0.5),
        "in_bits": lambda answer: answer / math.log(2),
        "entropy_forgotten": lambda square, var: 0.5 * (square + var).sum(1),
        "variance_forgotten": lambda square: 0.5 * square.sum(1),
        "mean_missing": instead(square=lambda: 0),
        "variance_missing": instead(var=lambda: 0),
        "log_missing": instead(log=lambda: 0),
        "variance_inverted": instead(var=lambda var: 1 / var),
        "logvar_for_variance_throughout": instead(
            var=lambda logvar: logvar, log=lambda logvar: logvar.abs().log()
        ),
        **{
            f"floor_of_{size:g}": instead(
                terms=lambda terms, size=size: terms.clamp(min=size)
            )
            for size in (0.05, 0.1, 0.2, 0.25, 0.5, 1, 2)
        },
        **{f"clamped_{size}": _clamped(size) for size in CLAMPS},
    },
    edges=_far_encodings,
    gradients=(0, 1),
)


# --- climb_elbo ---------------------------------------------------------------------


def climb_elbo(
    z: Tensor, log_lik: Tensor, mu: Tensor, logvar: Tensor, steps: int, lr: float
) -> Pair:
    """Gradient ascent on the ELBO of q = N(mu, diag exp(logvar)) over a grid.

    The average of log p(x|z) is a sum over the places z (M, K), with weights that are
    proportional to q's density and add to 1. Returns mu and logvar, (K,) each.
    """
    for _ in range(steps):
        up_mu, up_logvar = slopes(_value(z, log_lik), mu, logvar)
        mu, logvar = mu + lr * up_mu, logvar + lr * up_logvar
    return mu, logvar


def _weights(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return (-0.5 * ((z - mu) ** 2 / logvar.exp() + logvar).sum(1)).softmax(0)


def _average(z: Tensor, log_lik: Tensor) -> Objective:
    return lambda mu, logvar: (_weights(z, mu, logvar) * log_lik).sum()


def _rate(mu: Tensor, logvar: Tensor) -> Tensor:
    return gaussian_kl(mu[None], logvar[None])[0]


def _value(z: Tensor, log_lik: Tensor) -> Objective:
    average = _average(z, log_lik)
    return lambda mu, logvar: average(mu, logvar) - _rate(mu, logvar)


def _climbs(generator: torch.Generator, steps: tuple[int, ...]) -> list[Arguments]:
    """Draw two climbs on a plane: a curved decoder, a grid fine enough for its q's."""
    axis = torch.linspace(-7, 7, 57, dtype=torch.float64)
    side = torch.linspace(-6.5, 6.5, 53, dtype=torch.float64)
    z = torch.cartesian_prod(axis, side)  # (3021, 2)
    drawn: list[Arguments] = []
    for count in steps:
        W, x = normal(generator, 4, 2), 1.5 * normal(generator, 4)
        mean = z @ W.T + 0.2 * torch.sin(z @ W.T)
        log_lik = -0.5 * ((x - mean) ** 2 / 2.0 + math.log(2.0) + LOG_2PI).sum(1)
        mu, logvar = 0.6 * normal(generator, 2), -0.5 + 0.3 * normal(generator, 2)
        drawn.append((z, log_lik, mu, logvar, count, 0.06))
    return drawn


_one_step = functools.partial(_climbs, steps=(1, 1))
_three_steps = functools.partial(_climbs, steps=(3, 3))
_both = functools.partial(_climbs, steps=(1, 3))


def _no_step(generator: torch.Generator) -> list[Arguments]:
    """Draw a climb of no step, and one on a line: K = 1."""
    axis = torch.linspace(-7, 7, 141, dtype=torch.float64)[:, None]
    log_lik = -0.5 * (1.2 - axis[:, 0]) ** 2
    mu, logvar = normal(generator, 1), 0.3 * normal(generator, 1)
    return [*_climbs(generator, (0,)), (axis, log_lik, mu, logvar, 2, 0.1)]


def _arrives(trial: Trial) -> None:
    """Ask a longer climb to end where the ELBO's slope is nearly 0."""
    for z, log_lik, mu, logvar, _, lr in _climbs(trial.generator, (0,)):
        given = (z, log_lik, mu, logvar)
        ended, want = trial.call(*given, 60, lr), trial.reference(*given, 60, lr)
        value = _value(z, log_lik)
        start, reached, best = value(mu, logvar), value(*ended), value(*want)
        if not reached >= start + 0.99 * (best - start):
            raise Refused(
                f"after 60 steps the ELBO has changed by {float(reached - start):.3f} "
                f"nats, expected {float(best - start):.3f}."
            )


def _climbing(
    objective: Callable[..., Objective], up: float = 1.0, halves: bool = False
) -> Callable[..., Pair]:
    """Build a climb of another objective, or another way to step."""

    def climb(
        z: Tensor, log_lik: Tensor, mu: Tensor, logvar: Tensor, steps: int, lr: float
    ) -> Pair:
        for _ in range(steps):
            value = objective(z, log_lik)
            up_mu, up_logvar = slopes(value, mu, logvar)
            mu = mu + up * lr * up_mu
            if halves:
                up_logvar = slopes(value, mu, logvar)[1]
            logvar = logvar + up * lr * up_logvar
        return mu, logvar

    return climb


def _log_of_average(z: Tensor, log_lik: Tensor) -> Objective:
    def value(mu: Tensor, logvar: Tensor) -> Tensor:
        log_weight = _weights(z, mu, logvar).log()
        return torch.logsumexp(log_weight + log_lik, 0) - _rate(mu, logvar)

    return value


def _densities(z: Tensor, log_lik: Tensor) -> Objective:
    """Weigh by q's density, which does not add to 1 over the places."""

    def value(mu: Tensor, logvar: Tensor) -> Tensor:
        log_q = -0.5 * ((z - mu) ** 2 / logvar.exp() + logvar + LOG_2PI).sum(1)
        return (log_q.exp() * log_lik).sum() - _rate(mu, logvar)

    return value


def _rescaled(factor: float) -> Callable[..., Objective]:
    """Read logvar as something else in the weights, and not in the rate."""

    def objective(z: Tensor, log_lik: Tensor) -> Objective:
        average = _average(z, log_lik)
        return lambda mu, logvar: (
            average(mu, factor * logvar) - gaussian_kl(mu[None], logvar[None])[0]
        )

    return objective


def _weighted_rate(weight: float) -> Callable[..., Objective]:
    def objective(z: Tensor, log_lik: Tensor) -> Objective:
        average = _average(z, log_lik)
        return lambda mu, logvar: average(mu, logvar) - weight * _rate(mu, logvar)

    return objective


def _from_the_start(
    z: Tensor, log_lik: Tensor, mu: Tensor, logvar: Tensor, steps: int, lr: float
) -> Pair:
    up_mu, up_logvar = slopes(_value(z, log_lik), mu, logvar)
    return mu + steps * lr * up_mu, logvar + steps * lr * up_logvar


def _by_signs(
    z: Tensor, log_lik: Tensor, mu: Tensor, logvar: Tensor, steps: int, lr: float
) -> Pair:
    for _ in range(steps):
        up_mu, up_logvar = slopes(_value(z, log_lik), mu, logvar)
        mu, logvar = mu + lr * up_mu.sign(), logvar + lr * up_logvar.sign()
    return mu, logvar


def _heaped(
    z: Tensor, log_lik: Tensor, mu: Tensor, logvar: Tensor, steps: int, lr: float
) -> Pair:
    """Add each step's gradient to those before it, as backward() does."""
    heap_mu, heap_logvar = torch.zeros_like(mu), torch.zeros_like(logvar)
    for _ in range(steps):
        up_mu, up_logvar = slopes(_value(z, log_lik), mu, logvar)
        heap_mu, heap_logvar = heap_mu + up_mu, heap_logvar + up_logvar
        mu, logvar = mu + lr * heap_mu, logvar + lr * heap_logvar
    return mu, logvar


def _by_adam(
    z: Tensor, log_lik: Tensor, mu: Tensor, logvar: Tensor, steps: int, lr: float
) -> Pair:
    leaves = [mu.clone().requires_grad_(), logvar.clone().requires_grad_()]
    optimiser = torch.optim.Adam(leaves, lr=lr, maximize=True)
    for _ in range(steps):
        leaves[0].grad, leaves[1].grad = slopes(_value(z, log_lik), *leaves)
        optimiser.step()
    return leaves[0].detach(), leaves[1].detach()


def _only(
    z: Tensor,
    log_lik: Tensor,
    mu: Tensor,
    logvar: Tensor,
    steps: int,
    lr: float,
    place: int,
) -> Pair:
    """Move mu alone (place 0), or logvar alone (1)."""
    for _ in range(steps):
        up = slopes(_value(z, log_lik), mu, logvar)
        if place == 0:
            mu = mu + lr * up[0]
        else:
            logvar = logvar + lr * up[1]
    return mu, logvar


CLIMB_ELBO = declare(
    WORDS["climb_elbo"],
    climb_elbo,
    _both,
    criteria=(
        agrees("one step, to the digit", 1.5, _one_step),
        agrees("three steps, to the digit", 1.5, _three_steps),
        agrees("right for no step, and for one latent", 0.5, _no_step),
        Criterion("sixty steps arrive near the top", 0.5, _arrives),
    ),
    mistakes={
        "descent": _climbing(_value, up=-1.0),
        "rate_added": _climbing(_weighted_rate(-1.0)),
        "rate_forgotten": _climbing(_average),
        "rate_doubled": _climbing(_weighted_rate(2.0)),
        "rate_averaged": _climbing(_weighted_rate(0.5)),
        "weights_detached": _climbing(lambda z, log_lik: lambda m, v: -_rate(m, v)),
        "log_of_average": _climbing(_log_of_average),
        "weights_not_normalised": _climbing(_densities),
        "read_as_log_sigma": _climbing(_rescaled(2.0)),
        "sigma_for_variance": _climbing(_rescaled(0.5)),
        "one_after_the_other": _climbing(_value, halves=True),
        "gradient_of_the_start": _from_the_start,
        "old_gradients_kept": _heaped,
        "by_adam": _by_adam,
        "by_signs": _by_signs,
        "one_step_only": lambda z, log_lik, mu, logvar, lr: climb_elbo(
            z, log_lik, mu, logvar, 1, lr
        ),
        "one_step_more": lambda z, log_lik, mu, logvar, steps, lr: climb_elbo(
            z, log_lik, mu, logvar, steps + 1, lr
        ),
        "one_step_less": lambda z, log_lik, mu, logvar, steps, lr: climb_elbo(
            z, log_lik, mu, logvar, max(steps - 1, 0), lr
        ),
        "logvar_kept": lambda z, log_lik, mu, logvar, steps, lr: _only(
            z, log_lik, mu, logvar, steps, lr, place=0
        ),
        "mu_kept": lambda z, log_lik, mu, logvar, steps, lr: _only(
            z, log_lik, mu, logvar, steps, lr, place=1
        ),
        "start_returned": lambda mu, logvar: (mu.clone(), logvar.clone()),
        "swapped": lambda z, log_lik, mu, logvar, steps, lr: climb_elbo(
            z, log_lik, mu, logvar, steps, lr
        )[::-1],
        "step_too_short": lambda z, log_lik, mu, logvar, steps, lr: climb_elbo(
            z, log_lik, mu, logvar, steps, lr / len(z)
        ),
    },
    edges=_no_step,
)

EXERCISES = (THREE_TERMS, GAUSSIAN_KL, CLIMB_ELBO)
