"""Exercises of lesson 04: KL divergences, their estimators, importance sampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, logsumexp
from torch.nn.functional import kl_div
from torch.special import xlogy

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
from course_utils.grading.trial import Refused, Trial
from course_utils.grading.values import as_float, difference
from course_utils.objectives import gaussian_kl, gaussian_kl_pair, log_mean_exp

Estimate = tuple[Tensor, Tensor]
WORDS = words_beside(__file__)
SMALL = (1e-6, 1e-8, 1e-9, 1e-10, 1e-12)  # added to q, or its least value, by some
CLAMPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 20)  # bounds that people put on log-variances
OVER_BATCH: Steps = {
    "summed_over_batch": lambda answer: answer.sum().expand(len(answer)),
    "mean_over_batch": lambda answer: answer.mean().expand(len(answer)),
    "summed_to_one_number": lambda answer: answer.sum(),
    "averaged_to_one_number": lambda answer: answer.mean(),
    "averaged_over_everything": lambda terms: terms.mean(),
    "added_down_the_batch": lambda terms: terms.sum(0),
    "not_added": lambda terms: terms,
}


def _zero_for(same: Callable[..., Arguments], of: str) -> Callable[[Trial], None]:
    """Build the test that a divergence is 0 for equals and positive for others."""

    def test(trial: Trial) -> None:
        for arguments in trial.inputs()[:2]:
            equal, other = trial.call(*same(*arguments)), trial.call(*arguments)
            expect_no_draw(trial, arguments)
            if equal.abs().max() > 1e-8:
                raise Refused(
                    f"KL({of} ‖ {of}) should be 0; yours is "
                    f"{float(equal.abs().max()):.4g}."
                )
            if not (other > 0).all():
                raise Refused(
                    "for two different distributions the divergence is above 0; your "
                    f"smallest is {float(other.min()):.4g}."
                )

    return test


# --- kl_discrete --------------------------------------------------------------------


def kl_discrete(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) of distributions on a finite alphabet, in nats: (N, A), (N, A) -> (N,).

    Where p = 0 the term is 0; where q = 0 < p the divergence is infinite.

    Examples
    --------
    >>> kl_discrete(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]]))
    tensor([0.1438])
    """
    return (xlogy(p, p) - xlogy(p, q)).sum(1)


def _rows(generator: torch.Generator, count: int, size: int) -> Tensor:
    """Distributions in rows, with no probability near 0."""
    weights = uniform(generator, count, size) + 0.05
    return weights / weights.sum(1, keepdim=True)


def _without(rows: Tensor, *places: tuple[int, int]) -> Tensor:
    """Set some places of the rows to 0, and scale them to sum to 1 again."""
    rows = rows.clone()
    for row, place in places:
        rows[row, place] = 0.0
    return rows / rows.sum(1, keepdim=True)


def _positive_pairs(generator: torch.Generator) -> list[Arguments]:
    sizes = ((5, 4), (3, 7))
    return [(_rows(generator, *size), _rows(generator, *size)) for size in sizes]


def _zeros_in_p(generator: torch.Generator) -> list[Arguments]:
    """Zeros in p; then also in q, at the same places; exact copies; certain events."""
    places = ((0, 0), (1, 3), (2, 4), (2, 1))
    p, q = _without(_rows(generator, 4, 5), *places), _rows(generator, 4, 5)
    certain = torch.eye(5, dtype=p.dtype)[:4]
    return [(p, q), (p, _without(q, *places)), (p, p), (certain, q)]


def _zeros_in_q(generator: torch.Generator) -> list[Arguments]:
    """Zeros in q where p has none, in the rows 1 and 3."""
    p, q = _rows(generator, 4, 6), _rows(generator, 4, 6)
    return [(p, _without(q, (1, 3), (3, 0), (3, 5)))]


def _all_pairs(generator: torch.Generator) -> list[Arguments]:
    draws = (_positive_pairs, _zeros_in_p, _zeros_in_q)
    return [pair for draw in draws for pair in draw(generator)]


def _one_row(generator: torch.Generator) -> list[Arguments]:
    return [(_rows(generator, 1, 6), _rows(generator, 1, 6))]


def _infinite_where_it_should(trial: Trial) -> None:
    for p, q in _zeros_in_q(trial.generator):
        got, want = trial.call(p, q), trial.reference(p, q)
        missed = want.isinf() & (got != math.inf)
        if missed.any():
            raise Refused(
                "where q = 0 and p > 0 the divergence is infinite; yours is "
                f"{float(got[missed][0]):.4g}. (A small number added to q, or a masked "
                "term, hides that q calls impossible what p produces.)"
            )
        trial.expect_close(got[want.isfinite()], want[want.isfinite()])


def _kinds(_arguments: Arguments, value: Tensor) -> tuple[Tensor, ...]:
    """Tell finite values, +∞, −∞ and NaN apart, which a difference does not."""
    signs = torch.where(value.isinf(), value.sign(), torch.zeros_like(value))
    return value.nan_to_num(0.0, 0.0, 0.0), signs, value.isnan().to(value.dtype)


BY_PRODUCTS = instead(  # NaN where p = 0
    terms=lambda p, ratio: p * ratio, reverse_terms=lambda q, ratio: -q * ratio
)
EITHER_WAY: Steps = {  # made by those who think of 0 log 0, and by those who do not
    "swapped": lambda reverse: reverse,
    "wrong_sign": lambda answer: -answer,
    "bits": lambda answer: answer / math.log(2),
    "mean_over_symbols": lambda terms: terms.mean(1),
    "absolute_terms": lambda terms: terms.abs().sum(1),
    "negative_terms_dropped": lambda terms: terms.clamp(min=0).sum(1),
    "weighted_by_q": lambda reverse: -reverse,
    "both_ways": lambda answer, reverse: (answer + reverse) / 2,
    "both_ways_added": lambda answer, reverse: answer + reverse,
    **OVER_BATCH,
}


def _added(size: float) -> Steps:
    return instead(terms=lambda p, q: p * ((p + size) / (q + size)).log())


def _clipped(size: float) -> Steps:
    return BY_PRODUCTS | instead(
        p=lambda p: p.clamp(min=size), q=lambda q: q.clamp(min=size)
    )


def _to_the_middle(p: Tensor, middle: Tensor) -> Tensor:
    return xlogy(p, p) - xlogy(p, middle)


KL_DISCRETE = declare(
    WORDS["kl_discrete"],
    kl_discrete,
    _all_pairs,
    criteria=(
        agrees("right where all probabilities are positive", 2.0, _positive_pairs),
        agrees("counts 0 log 0 as 0", 1.0, _zeros_in_p),
        Criterion("infinite where q = 0 < p", 1.0, _infinite_where_it_should),
        Criterion(
            "0 for p = q, positive otherwise", 1.0, _zero_for(lambda p, q: (p, p), "p")
        ),
        rows_stand_alone(dims=(0, 0)),
    ),
    steps={
        "ratio": lambda p, q: (p / q).log(),
        "terms": lambda p, q: xlogy(p, p) - xlogy(p, q),
        "reverse_terms": lambda p, q: xlogy(q, q) - xlogy(q, p),
        "middle": lambda p, q: (p + q) / 2,
        "answer": lambda terms: terms.sum(1),
        "reverse": lambda reverse_terms: reverse_terms.sum(1),
    },
    mistakes={
        **EITHER_WAY,
        **{
            f"{name}_by_products": BY_PRODUCTS | instead(answer=answer)
            for name, answer in EITHER_WAY.items()
        },
        **{f"added_{size:g}": _added(size) for size in SMALL},
        **{f"clipped_{size:g}": _clipped(size) for size in SMALL},
        "zero_times_infinity": BY_PRODUCTS,
        "skips_zeros_of_q": instead(
            terms=lambda terms, q: torch.where(q > 0, terms, 0.0)
        ),
        "infinite_at_every_zero": lambda answer, q: answer.masked_fill(
            (q == 0).any(1), math.inf
        ),
        "base_ten": lambda answer: answer / math.log(10),
        "largest_float": lambda p, ratio: (p * ratio).nan_to_num(nan=0.0).sum(1),
        "largest_float_after_sum": lambda p, ratio: (p * ratio).sum(1).nan_to_num(),
        "without_weights": lambda ratio: ratio.sum(1),
        "without_weights_masked": lambda p, ratio: torch.where(p > 0, ratio, 0.0).sum(
            1
        ),
        "weight_on_one_log": lambda p, q: (xlogy(p, p) - q.log()).sum(1),
        "ratio_of_logs": lambda p, q: (p * p.log() / q.log()).sum(1),
        "log_outside": lambda p, q: (p * p / q).sum(1).log(),
        "log_outside_masked": lambda p, q: (
            torch.where(p > 0, p * p / q, 0.0).sum(1).log()
        ),
        "entropy": lambda p: -xlogy(p, p).sum(1),
        "negative_entropy": lambda p: xlogy(p, p).sum(1),
        "jensen_shannon": lambda p, q, middle: (
            (_to_the_middle(p, middle) + _to_the_middle(q, middle)).sum(1) / 2
        ),
        "jensen_shannon_by_products": lambda p, q, middle: (
            (p * (p / middle).log() + q * (q / middle).log()).sum(1) / 2
        ),
        "half_the_difference": lambda p, q: (p - q).abs().sum(1) / 2,
        "absolute_difference": lambda p, q: (p - q).abs().sum(1),
        "squared_difference": lambda p, q: ((p - q) ** 2).sum(1),
        "chi_squared": lambda p, q: ((p - q) ** 2 / q).sum(1),
        "read_as_logits": instead(p=lambda p: p.softmax(1), q=lambda q: q.softmax(1)),
        "cross_entropy": lambda p, q: -xlogy(p, q).sum(1),
        "entropy_difference": lambda p, q: (xlogy(p, p) - xlogy(q, q)).sum(1),
        "both_ways_in_one": lambda p, q, ratio: ((p - q) * ratio).sum(1),
        "both_zero": lambda p, q: kl_div(q.log(), p, reduction="none").sum(1),
        "torch_without_log": lambda p, q: kl_div(q, p, reduction="none").sum(1),
        "torch_in_reading_order": lambda p, q: kl_div(p, q, reduction="none").sum(1),
        "torch_swapped": lambda p, q: kl_div(p.log(), q, reduction="none").sum(1),
        "torch_swapped_mended": lambda p, q: (
            kl_div(p.log(), q, reduction="none").nan_to_num(nan=0.0).sum(1)
        ),
    },
    fingerprint=_kinds,
    edges=_one_row,
)


# --- gaussian_kl_pair ---------------------------------------------------------------


def _gaussians(generator: torch.Generator) -> list[Arguments]:
    """Two diagonal Gaussians for each example, with clearly different variances."""

    def draw(count: int, K: int, level: float) -> Arguments:
        return normal(generator, count, K), level + 0.6 * normal(generator, count, K)

    return [draw(*size, 0.3) + draw(*size, -0.4) for size in ((5, 3), (7, 4))]


def _far_gaussians(generator: torch.Generator) -> list[Arguments]:
    """One example with one latent: near N(0, 1), then with a variance far off 1."""
    drawn: list[Arguments] = []
    for q, p in ((0.5, -0.5), (-25.0, 0.0), (21.0, 0.0), (0.0, -21.0), (0.0, 25.0)):
        mu_q, mu_p, logvar_q, logvar_p = normal(generator, 4, 1, 1)
        drawn.append((mu_q, q + 0.3 * logvar_q, 1 + mu_p, p + 0.3 * logvar_p))
    return drawn


def _zero_for_equal_gaussians(trial: Trial) -> None:
    _zero_for(lambda mu, logvar, *_: (mu, logvar, mu, logvar), "q")(trial)
    for mu_q, logvar_q, _, logvar_p in trial.inputs():
        if not (trial.call(mu_q, logvar_q, mu_q, logvar_p) > 0).all():
            raise Refused("for two variances the divergence is above 0; yours is not.")


def _no_unit(trial: Trial) -> None:
    for mu_q, logvar_q, mu_p, logvar_p in trial.inputs():
        K = mu_q.shape[1]
        scale = 0.3 + 3 * uniform(trial.generator, K)
        shift = 3 * normal(trial.generator, K)
        more = 2 * scale.log()
        before = trial.call(mu_q, logvar_q, mu_p, logvar_p)
        if before.std() < 1e-6:
            raise Refused("the answer is the same for all examples of the batch.")
        after = trial.call(
            mu_q * scale + shift, logvar_q + more, mu_p * scale + shift, logvar_p + more
        )
        what = "measured in other units (x times a, plus c)"
        trial.expect_close(after, before, what, 1e-6)


def _clamped(size: float) -> Steps:
    return instead(
        logvar_q=lambda logvar_q: logvar_q.clamp(-size, size),
        logvar_p=lambda logvar_p: logvar_p.clamp(-size, size),
    )


GAUSSIAN_KL_PAIR = declare(
    WORDS["gaussian_kl_pair"],
    gaussian_kl_pair,
    _gaussians,
    criteria=(
        agrees("agrees with the closed form, KL(q ‖ p)", 2.0),
        Criterion("0 for equals, positive otherwise", 0.5, _zero_for_equal_gaussians),
        Criterion("does not depend on the units of z", 0.5, _no_unit),
        agrees(
            "right for one example, and with no bound on the log-variances",
            1.0,
            _far_gaussians,
        ),
        gradients("its gradient is right: no part is cut off", 1.0),
    ),
    steps={
        "logs": lambda logvar_q, logvar_p: logvar_p - logvar_q,
        "var_q": lambda logvar_q: logvar_q.exp(),
        "var_p": lambda logvar_p: logvar_p.exp(),
        "ratio": lambda var_q, var_p: var_q / var_p,
        "gap": lambda mu_q, mu_p: mu_q - mu_p,
        "square": lambda gap, var_p: gap**2 / var_p,
        "terms": lambda logs, ratio, square: 0.5 * (logs + ratio + square - 1),
        "answer": lambda terms: terms.sum(1),
    },
    mistakes={
        "swapped": lambda mu_q, logvar_q, mu_p, logvar_p: gaussian_kl_pair(
            mu_p, logvar_p, mu_q, logvar_q
        ),
        "both_ways": lambda mu_q, logvar_q, mu_p, logvar_p, answer: (
            (answer + gaussian_kl_pair(mu_p, logvar_p, mu_q, logvar_q)) / 2
        ),
        "both_ways_added": lambda mu_q, logvar_q, mu_p, logvar_p, answer: (
            answer + gaussian_kl_pair(mu_p, logvar_p, mu_q, logvar_q)
        ),
        "half_dropped": lambda answer: 2 * answer,
        "half_on_logs_only": instead(
            terms=lambda logs, ratio, square: 0.5 * logs + ratio + square - 1
        ),
        "fractions_not_halved": instead(
            terms=lambda logs, ratio, square: 0.5 * logs + ratio + square - 0.5
        ),
        "half_on_means_only": instead(
            terms=lambda logs, ratio, square: logs + ratio + 0.5 * square - 1
        ),
        "one_not_halved": instead(terms=lambda terms: terms - 0.5),
        "log_sigma": instead(
            logvar_q=lambda logvar_q: 2 * logvar_q,
            logvar_p=lambda logvar_p: 2 * logvar_p,
        ),
        "one_missing": instead(terms=lambda terms: terms + 0.5),
        "one_once": lambda terms: (terms + 0.5).sum(1) - 0.5,
        "one_added": instead(terms=lambda terms: terms + 1),
        "logs_flipped": instead(logs=lambda logs: -logs),
        "logs_not_halved": instead(logs=lambda logs: 2 * logs),
        "logs_halved_twice": instead(logs=lambda logs: logs / 2),
        "logs_missing": instead(logs=lambda: 0),
        "ratio_missing": instead(ratio=lambda: 0),
        "means_missing": instead(square=lambda: 0),
        "means_only": lambda square: 0.5 * square.sum(1),
        "cross_entropy": instead(
            terms=lambda logvar_p, ratio, square: (
                0.5 * (math.log(2 * math.pi) + logvar_p + ratio + square)
            )
        ),
        "difference_of_rates": lambda mu_q, logvar_q, mu_p, logvar_p: (
            gaussian_kl(mu_q, logvar_q) - gaussian_kl(mu_p, logvar_p)
        ),
        "ratio_upside_down": instead(ratio=lambda ratio: 1 / ratio),
        "ratio_of_sigmas": instead(ratio=lambda ratio: ratio.sqrt()),
        "sign_flipped": lambda answer: -answer,
        "standard_normal": lambda mu_q, logvar_q: gaussian_kl(mu_q, logvar_q),
        "means_not_squared": instead(square=lambda gap, var_p: gap / var_p),
        "means_absolute": instead(square=lambda gap, var_p: gap.abs() / var_p),
        "means_added": instead(gap=lambda mu_q, mu_p: mu_q + mu_p),
        "squares_subtracted": instead(
            square=lambda mu_q, mu_p, var_p: (mu_q**2 - mu_p**2) / var_p
        ),
        "means_multiplied": instead(square=lambda gap, var_p: gap**2 * var_p),
        "means_not_scaled": instead(square=lambda gap: gap**2),
        "means_scaled_by_q": instead(square=lambda gap, var_q: gap**2 / var_q),
        "means_scaled_by_sigma": instead(
            square=lambda gap, var_p: gap**2 / var_p.sqrt()
        ),
        "means_scaled_twice": instead(square=lambda square, var_p: square / var_p),
        "over_q_throughout": instead(
            ratio=lambda ratio: 1 / ratio, square=lambda gap, var_q: gap**2 / var_q
        ),
        "variance_not_divided": instead(ratio=lambda var_q: var_q),
        "nothing_divided": instead(var_p=lambda: 1),
        "divided_by_sigma": instead(var_p=lambda var_p: var_p.sqrt()),
        "sigma_on_top": instead(var_q=lambda var_q: var_q.sqrt()),
        "sigmas_for_variances": instead(
            var_q=lambda var_q: var_q.sqrt(), var_p=lambda var_p: var_p.sqrt()
        ),
        "variances_squared": instead(
            var_q=lambda var_q: var_q**2, var_p=lambda var_p: var_p**2
        ),
        "logvar_squared": instead(
            var_q=lambda logvar_q: logvar_q**2, var_p=lambda logvar_p: logvar_p**2
        ),
        "logvar_for_variance": instead(
            var_q=lambda logvar_q: logvar_q, var_p=lambda logvar_p: logvar_p
        ),
        "logvar_for_variance_throughout": instead(
            var_q=lambda logvar_q: logvar_q,
            var_p=lambda logvar_p: logvar_p,
            logs=lambda logvar_q, logvar_p: (logvar_p / logvar_q).abs().log(),
        ),
        "mean_over_latents": lambda terms: terms.mean(1),
        **OVER_BATCH,
        **{f"clamped_{size}": _clamped(size) for size in CLAMPS},
    },
    edges=_far_gaussians,
    gradients=(0, 1, 2, 3),
)


# --- monte_carlo_kl -----------------------------------------------------------------


def monte_carlo_kl(log_p: Tensor, log_q: Tensor) -> Estimate:
    """Estimate KL(p ‖ q) from log-densities at S draws from p: (S,), (S,) -> 2 numbers.

    The estimate, the mean of log p − log q, and its standard error.

    Examples
    --------
    >>> log_ratio = torch.tensor([1.0, -1.0, 3.0])
    >>> monte_carlo_kl(log_ratio, torch.zeros(3))
    (tensor(1.), tensor(1.1547))
    """
    log_ratio = log_p - log_q
    return log_ratio.mean(), _error(log_ratio)


def _error(ratio: Tensor) -> Tensor:
    return ratio.std() / math.sqrt(len(ratio))


def _log_densities(generator: torch.Generator) -> list[Arguments]:
    """Log-densities at few draws; in the second pair the estimate is negative."""
    drawn: list[Arguments] = []
    for count, target in ((23, 0.4), (37, -0.15)):
        log_p = -1.5 + normal(generator, count)
        ratio = 1.3 * normal(generator, count)
        drawn.append((log_p, log_p - (ratio - ratio.mean() + target)))
    return drawn


def _error_is_right(trial: Trial) -> None:
    for arguments in trial.inputs():
        got = as_float(trial.call(*arguments)[1])
        want = as_float(trial.reference(*arguments)[1])
        count = len(arguments[0])
        biased = want * math.sqrt((count - 1) / count)  # divisor S: fair too
        if min(difference(got, want), difference(got, biased)) > 1e-5:
            raise Refused(
                f"the standard error of {count} draws: yours is {got:.5g}, expected "
                f"{want:.5g}."
            )


def _shrinks(trial: Trial) -> None:
    for log_p, log_q in trial.inputs():
        once = trial.call(log_p, log_q)
        often = trial.call(log_p.repeat(16), log_q.repeat(16))
        trial.expect_close(often[0], once[0], "each draw given 16 times, the estimate")
        ratio = as_float(once[1]) / max(as_float(often[1]), 1e-30)
        if not 3.6 < ratio < 4.4:
            raise Refused(
                "with 16 times as many draws the standard error should be 4 times "
                f"smaller; yours is {ratio:.3g} times smaller."
            )


MONTE_CARLO_KL = declare(
    WORDS["monte_carlo_kl"],
    monte_carlo_kl,
    _log_densities,
    criteria=(
        output(0, "the estimate is right, negative or not", 2.0, "the estimate", 2),
        Criterion("the standard error is right", 2.0, _error_is_right),
        Criterion("16 times the draws, a quarter of the error", 1.0, _shrinks),
    ),
    steps={
        "ratio": lambda log_p, log_q: log_p - log_q,
        "count": lambda log_p: len(log_p),
        "spread": lambda ratio: ratio.std(),
        "mean": lambda ratio: ratio.mean(),
        "error": _error,
        "answer": lambda mean, error: (mean, error),
    },
    mistakes={
        "sorted": lambda log_p, log_q: monte_carlo_kl(log_p.sort()[0], log_q.sort()[0]),
        "sorted_with_abs": instead(
            mean=lambda mean: mean.abs(),
            error=lambda log_p, log_q: _error(log_p.sort()[0] - log_q.sort()[0]),
        ),
        "absolute_mean": instead(mean=lambda mean: mean.abs()),
        "clipped_mean": instead(mean=lambda mean: mean.clamp(min=0)),
        "absolute_terms": instead(ratio=lambda ratio: ratio.abs()),
        "absolute_terms_own_error": instead(mean=lambda ratio: ratio.abs().mean()),
        "positive_terms": instead(ratio=lambda ratio: ratio.clamp(min=0)),
        "half_square": instead(ratio=lambda ratio: ratio**2 / 2),
        "half_square_own_error": instead(mean=lambda ratio: (ratio**2).mean() / 2),
        "median": instead(mean=lambda ratio: ratio.median()),
        "sign_flipped": instead(mean=lambda mean: -mean),
        "log_q_ignored": instead(ratio=lambda log_p: log_p),
        "log_p_ignored": instead(ratio=lambda log_q: -log_q),
        "logs_added": instead(ratio=lambda log_p, log_q: log_p + log_q),
        "other_direction": instead(ratio=lambda ratio: -ratio * (-ratio).exp()),
        "other_direction_own_error": instead(
            mean=lambda ratio: (-ratio * (-ratio).exp()).mean()
        ),
        "summed": instead(mean=lambda ratio: ratio.sum()),
        "summed_with_error": lambda mean, error, count: (mean * count, error * count),
        "log_of_mean": instead(mean=lambda ratio: ratio.exp().mean().log()),
        "log_of_sum": instead(mean=lambda ratio: ratio.logsumexp(0)),
        "spread_of_one_draw": instead(error=lambda spread: spread),
        "divided_by_s": instead(error=lambda spread, count: spread / count),
        "variance_of_mean": instead(error=lambda error: error**2),
        "variance": instead(error=lambda spread: spread**2),
        "second_moment": instead(
            error=lambda ratio, count: ((ratio**2).mean() / count).sqrt()
        ),
        "correction_twice": instead(
            error=lambda spread, count: spread / math.sqrt(count - 1)
        ),
        "multiplied_by_root": instead(
            error=lambda spread, count: spread * math.sqrt(count)
        ),
        "variance_over_root": instead(
            error=lambda spread, count: spread**2 / math.sqrt(count)
        ),
        **{
            f"count_fixed_at_{count}": instead(
                error=lambda spread, count=count: spread / math.sqrt(count)
            )
            for count in (100, 1000, 10_000, 100_000)
        },
        "error_zero": instead(error=lambda error: 0 * error),
        "error_of_log_p": instead(error=lambda log_p: _error(log_p)),
        "error_of_log_q": instead(error=lambda log_q: _error(log_q)),
        "root_of_spread": instead(error=lambda spread, count: (spread / count).sqrt()),
        "half_width": instead(error=lambda error: 1.96 * error),
        "half_width_of_two": instead(error=lambda error: 2 * error),
        "interval": lambda mean, error: (mean - 1.96 * error, mean + 1.96 * error),
        "weighted_again": instead(ratio=lambda ratio, log_p: ratio * log_p.exp()),
        "weighted_sum": instead(
            ratio=lambda ratio, log_p: ratio * log_p.exp(),
            mean=lambda ratio: ratio.sum(),
        ),
        "weighted_sum_own_error": instead(
            mean=lambda ratio, log_p: (ratio * log_p.exp()).sum()
        ),
        "weighted_by_softmax": instead(
            mean=lambda ratio, log_p: (ratio * log_p.softmax(0)).sum()
        ),
        "no_log": instead(ratio=lambda ratio: ratio.exp()),
        "ratio_of_logs": instead(ratio=lambda log_p, log_q: log_p / log_q),
        "ratio_of_means": instead(
            mean=lambda log_p, log_q: (log_p.exp().mean() / log_q.exp().mean()).log()
        ),
        "extra_term": instead(ratio=lambda ratio: torch.expm1(-ratio) + ratio),
        "outputs_swapped": lambda mean, error: (error, mean),
        "errors_added": instead(
            error=lambda log_p, log_q: torch.hypot(_error(log_p), _error(log_q))
        ),
    },
)


# --- log_mean_exp -------------------------------------------------------------------


def _moderate(generator: torch.Generator) -> list[Arguments]:
    """Values that exp can hold, with means that differ between columns."""
    return [
        (2 * normal(generator, S, count) + 2 * normal(generator, count),)
        for S, count in ((4, 3), (7, 5))
    ]


def _extreme(generator: torch.Generator) -> list[Arguments]:
    """Columns near −1000 and near +1000, in one batch."""
    return [
        (1.5 * normal(generator, S, count) + torch.linspace(-1000, 1000, count),)
        for S, count in ((5, 3), (3, 6))
    ]


def _with_zeros(generator: torch.Generator) -> list[Arguments]:
    """Draw values of which some are −∞, logarithms of 0; no column is all −∞."""
    values = normal(generator, 6, 4)
    values[0, 1] = values[3, 2] = values[4, 2] = -math.inf
    return [(values,)]


def _with_one_draw(generator: torch.Generator) -> list[Arguments]:
    return [*_moderate(generator), (normal(generator, 1, 3),)]


def _zeros_and_one_column(generator: torch.Generator) -> list[Arguments]:
    return [*_with_zeros(generator), (normal(generator, 4, 1),)]


def _taken_out(values: Tensor, level: Tensor) -> Tensor:
    return level + (values - level).exp().mean(0).log()


def _one_maximum(values: Tensor) -> Tensor:
    return _taken_out(values, values.max())


LOG_MEAN_EXP = declare(
    WORDS["log_mean_exp"],
    log_mean_exp,
    lambda generator: _moderate(generator) + _extreme(generator),
    criteria=(
        agrees("right where exp can hold the numbers", 2.0, _with_one_draw),
        agrees("right near −1000 and near +1000", 2.0, _extreme),
        agrees("counts −∞ as the logarithm of 0", 1.0, _with_zeros),
        rows_stand_alone("treats each column on its own, also a single one", dims=(1,)),
    ),
    steps={
        "S": lambda values: len(values),
        "top": lambda values: values.max(0).values,
        "total": lambda values: logsumexp(values, 0),
    },
    mistakes={
        "naive": lambda values: values.exp().mean(0).log(),
        "one_maximum": _one_maximum,
        "mean_taken_out": lambda values: _taken_out(values, values.mean(0)),
        "largest_absolute": lambda values: _taken_out(values, values.abs().amax(0)),
        "maximum_not_subtracted": lambda values, top: top + values.exp().mean(0).log(),
        **{
            f"clamped_{size}": instead(
                answer=lambda values, size=size: (
                    values.clamp(-size, size).exp().mean(0).log()
                )
            )
            for size in (20, 30, 50, 80, 88, 100, 500, 700, 709)
        },
        **{
            f"epsilon_{size:g}": instead(
                answer=lambda values, size=size: (values.exp().mean(0) + size).log()
            )
            for size in SMALL
        },
        "zeros_left_out": lambda values, total: total - values.isfinite().sum(0).log(),
        "median": lambda values: values.median(0).values,
        "weighted_by_softmax": lambda values: (values.softmax(0) * values).sum(0),
        "values_divided": lambda values, S: logsumexp(values / S, 0),
        "mean_of_logs": lambda values: values.mean(0),
        "sum": lambda total: total,
        "divided_after_log": lambda total, S: total / S,
        "log_added": lambda total, S: total + math.log(S),
        "wrong_count": lambda total, values: total - math.log(values.shape[1]),
        "count_minus_one": lambda total, S: total - math.log(S - 1),
        "count_in_bits": lambda total, S: total - math.log2(S),
        "count_base_ten": lambda total, S: total - math.log10(S),
        "count_not_logged": lambda total, S: total - S,
        "maximum_not_added": lambda answer, top: answer - top,
        "maximum_subtracted": lambda answer, top: answer - 2 * top,
        "maximum_only": lambda top: top,
        "no_log": lambda values: values.exp().mean(0),
        "all_columns": lambda values: log_mean_exp(values.flatten(), 0).expand(
            values.shape[1]
        ),
        "all_columns_to_one_number": lambda values: log_mean_exp(values.flatten(), 0),
        "other_axis": lambda values: log_mean_exp(values, 1),
    },
    edges=_zeros_and_one_column,
)


# --- importance_estimate ------------------------------------------------------------


def importance_estimate(log_joint: Tensor, log_q: Tensor) -> Estimate:
    """Estimate log p(x) from S draws z from q, and how many draws really count.

    With weights w_s = p(x, z_s) / q(z_s): log of their mean, and the effective sample
    size (Σ w)² / Σ w² (Kish, 1965). (S, N), (S, N) -> (N,), (N,).

    Examples
    --------
    >>> log_joint = torch.tensor([[1.0], [3.0]]).log()
    >>> log_p, size = importance_estimate(log_joint, torch.zeros(2, 1))
    >>> round(log_p.exp().item(), 4), round(size.item(), 4)
    (2.0, 1.6)
    """
    log_w = log_joint - log_q
    return log_mean_exp(log_w, 0), (
        2 * logsumexp(log_w, 0) - logsumexp(2 * log_w, 0)
    ).exp()


def _log_pairs(levels: list[float], generator: torch.Generator) -> list[Arguments]:
    """Draw log-weights around a level for each example, the levels in turn."""
    drawn: list[Arguments] = []
    for S, count in ((9, 4), (6, 3)):
        level = torch.tensor(levels, dtype=torch.float64).repeat(count)[:count]
        centres = level + 2 * normal(generator, count)
        log_q = -2 + normal(generator, S, count)
        drawn.append((centres + log_q + 0.8 * normal(generator, S, count), log_q))
    return drawn


def _one_example(generator: torch.Generator) -> list[Arguments]:
    return [(-1 + normal(generator, 5, 1), normal(generator, 5, 1))]


_near_one = partial(_log_pairs, [-1.0])
_far_below = partial(_log_pairs, [-900.0, -1800.0])

IMPORTANCE_ESTIMATE = declare(
    WORDS["importance_estimate"],
    importance_estimate,
    lambda generator: _near_one(generator) + _far_below(generator),
    criteria=(
        output(
            0, "the estimate of log p(x) is right", 2.0, "log of the mean weight", 2
        ),
        output(
            1, "the effective sample size is right", 2.0, "effective sample size", 2
        ),
        agrees("both are right where p(x) is exp(−900) or less", 1.0, _far_below),
        rows_stand_alone(
            "treats each example on its own, also a single one", dims=(1, 1)
        ),
    ),
    steps={
        "log_w": lambda log_joint, log_q: log_joint - log_q,
        "S": lambda log_w: len(log_w),
        "top": lambda log_w: log_w.max(0).values,
        "weights": lambda log_w: log_w.exp(),
        "share": lambda log_w: log_w.softmax(0),
        "log_p": lambda log_w: log_mean_exp(log_w, 0),
        "size": lambda share: 1 / (share**2).sum(0),
        "naive_size": lambda weights: weights.sum(0) ** 2 / (weights**2).sum(0),
        "answer": lambda log_p, size: (log_p, size),
    },
    mistakes={
        "one_maximum": instead(
            log_p=lambda log_w: _one_maximum(log_w),
            weights=lambda log_w: (log_w - log_w.max()).exp(),
            size=lambda naive_size: naive_size,
        ),
        "one_maximum_log": instead(log_p=lambda log_w: _one_maximum(log_w)),
        "maximum_not_added": instead(log_p=lambda log_p, top: log_p - top),
        "weighted_mean_of_log_weights": instead(
            log_p=lambda share, log_w: (share * log_w).sum(0)
        ),
        "naive": instead(
            log_p=lambda weights: weights.mean(0).log(),
            size=lambda naive_size: naive_size,
        ),
        "naive_log": instead(log_p=lambda weights: weights.mean(0).log()),
        "naive_size": instead(size=lambda naive_size: naive_size),
        "proposal_ignored": instead(log_w=lambda log_joint: log_joint),
        "proposal_ignored_in_estimate": instead(
            log_p=lambda log_joint: log_mean_exp(log_joint, 0)
        ),
        "proposal_multiplied": instead(log_q=lambda log_q: -log_q),
        "upside_down": instead(log_w=lambda log_w: -log_w),
        "logs_divided": instead(log_w=lambda log_joint, log_q: log_joint / log_q),
        "cut_off_at_one": instead(log_w=lambda log_w: log_w.clamp(max=0)),
        "other_axis": lambda log_joint, log_q: importance_estimate(
            log_joint.T, log_q.T
        ),
        "self_normalised": instead(
            log_p=lambda share, log_joint: (share * log_joint).sum(0)
        ),
        "largest_weight_only": instead(log_p=lambda top: top),
        "mean_of_log_weights": instead(log_p=lambda log_w: log_w.mean(0)),
        "sum_of_weights": instead(log_p=lambda log_w: logsumexp(log_w, 0)),
        "not_logged": instead(log_p=lambda weights: weights.mean(0)),
        "normalised_first": instead(log_p=lambda share: share.mean(0).log()),
        "outputs_swapped": lambda log_p, size: (size, log_p),
        "size_upside_down": instead(size=lambda size: 1 / size),
        "size_as_share": instead(size=lambda size, S: size / S),
        "size_as_naive_share": instead(size=lambda naive_size, S: naive_size / S),
        "size_logged": instead(size=lambda size: size.log()),
        "size_by_variance": instead(size=lambda share, S: S / (1 + (share * S).var(0))),
        "size_perplexity": instead(
            size=lambda share: (-xlogy(share, share).sum(0)).exp()
        ),
        "size_of_largest": instead(size=lambda share: 1 / share.max(0).values),
        "size_of_softmax_twice": instead(share=lambda share: share.softmax(0)),
        "size_by_largest_weight": instead(
            size=lambda log_w, top: 1 / ((log_w - top).exp() ** 2).sum(0)
        ),
        "size_with_count_on_top": instead(
            size=lambda log_w, top, S: S**2 / ((log_w - top).exp() ** 2).sum(0)
        ),
        "size_of_shares_not_squared": instead(size=lambda share: 1 / share.sum(0)),
        "size_is_count": instead(size=lambda size, S: torch.full_like(size, S)),
        "size_not_normalised": instead(size=lambda weights: 1 / (weights**2).sum(0)),
        "size_of_log_weights": instead(
            weights=lambda log_w: log_w, size=lambda naive_size: naive_size
        ),
        "size_not_squared": instead(
            size=lambda weights: weights.sum(0) / (weights**2).sum(0)
        ),
    },
    edges=_one_example,
)

EXERCISES = (
    KL_DISCRETE,
    GAUSSIAN_KL_PAIR,
    MONTE_CARLO_KL,
    LOG_MEAN_EXP,
    IMPORTANCE_ESTIMATE,
)
