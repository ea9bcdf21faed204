"""Exercises of lesson 04: KL divergences, their estimators, importance sampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

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
    as_float,
    difference,
    normal,
)
from course_utils.objectives import gaussian_kl, gaussian_kl_pair, log_mean_exp


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


# --- kl_discrete --------------------------------------------------------------------


def kl_discrete(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) of distributions on a finite alphabet, in nats: (N, A), (N, A) -> (N,).

    Where p = 0 the term is 0; where q = 0 < p the divergence is infinite.

    Examples
    --------
    >>> kl_discrete(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]]))
    tensor([0.1438])
    """
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum(1)


def _rows(generator: torch.Generator, count: int, size: int) -> Tensor:
    """Distributions in rows, with no probability near 0."""
    weights = _uniform(generator, count, size) + 0.05
    return weights / weights.sum(1, keepdim=True)


def _without(rows: Tensor, *places: tuple[int, int]) -> Tensor:
    """Set some places of the rows to 0, and scale them to sum to 1 again."""
    rows = rows.clone()
    for row, place in places:
        rows[row, place] = 0.0
    return rows / rows.sum(1, keepdim=True)


def _positive_pairs(generator: torch.Generator) -> list[Arguments]:
    return [
        (_rows(generator, count, size), _rows(generator, count, size))
        for count, size in ((5, 4), (3, 7))
    ]


def _zeros_in_p(generator: torch.Generator) -> list[Arguments]:
    """Zeros in p; in the second pair q is zero at the same places."""
    places = ((0, 0), (1, 3), (2, 4), (2, 1))
    p, q = _without(_rows(generator, 4, 5), *places), _rows(generator, 4, 5)
    return [(p, q), (p, _without(q, *places))]


def _zeros_in_q(generator: torch.Generator) -> list[Arguments]:
    """Zeros in q where p has none, in the rows 1 and 3."""
    p, q = _rows(generator, 4, 6), _rows(generator, 4, 6)
    return [(p, _without(q, (1, 3), (3, 0), (3, 5)))]


def _all_pairs(generator: torch.Generator) -> list[Arguments]:
    return [
        *_positive_pairs(generator),
        *_zeros_in_p(generator),
        *_zeros_in_q(generator),
    ]


def _right_values(
    text: str, points: float, probes: Callable[[torch.Generator], list[Arguments]]
) -> Criterion:
    def test(trial: Trial) -> None:
        for p, q in probes(trial.generator):
            trial.expect_close(trial.call(p, q), trial.reference(p, q))

    return Criterion(text, points, test)


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


def _zero_for_equals(trial: Trial) -> None:
    for p, q in _positive_pairs(trial.generator):
        same, other = trial.call(p, p), trial.call(p, q)
        if same.abs().max() > 1e-9:
            raise Refused(
                f"KL(p ‖ p) should be 0; yours is {float(same.abs().max()):.4g}."
            )
        if not (other > 0).all():
            raise Refused(
                "for p ≠ q the divergence is above 0; your smallest is "
                f"{float(other.min()):.4g}."
            )


def _kinds(_arguments: Arguments, value: Tensor) -> tuple[Tensor, ...]:
    """Tell finite values, +∞, −∞ and NaN apart, which a difference does not."""
    signs = torch.where(value.isinf(), value.sign(), torch.zeros_like(value))
    return value.nan_to_num(0.0, 0.0, 0.0), signs, value.isnan().to(value.dtype)


Wrong = Callable[[Tensor, Tensor], Tensor]


def _swapped_discrete(p: Tensor, q: Tensor) -> Tensor:
    return kl_discrete(q, p)


def _wrong_sign(p: Tensor, q: Tensor) -> Tensor:
    return -kl_discrete(p, q)


def _zero_times_infinity(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum(1)


def _product(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Wrong:
    """Build a wrong version on products with logarithms, which are NaN at 0 log 0.

    ``change`` gets the terms of KL(p ‖ q), those of KL(q ‖ p), and p, all (N, A).
    """
    return lambda p, q: change(p * (p / q).log(), q * (q / p).log(), p)


def _skips_zeros_of_q(p: Tensor, q: Tensor) -> Tensor:
    both = (p > 0) & (q > 0)
    terms = torch.special.xlogy(p, p) - torch.special.xlogy(p, q)
    return torch.where(both, terms, 0.0).sum(1)


def _bits(p: Tensor, q: Tensor) -> Tensor:
    return kl_discrete(p, q) / math.log(2)


def _base_ten(p: Tensor, q: Tensor) -> Tensor:
    return kl_discrete(p, q) / math.log(10)


def _largest_float(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).nan_to_num(nan=0.0).sum(1)


def _mean_over_symbols(p: Tensor, q: Tensor) -> Tensor:
    return kl_discrete(p, q) / p.shape[1]


def _without_weights(p: Tensor, q: Tensor) -> Tensor:
    return (p / q).log().sum(1)


def _absolute_terms(p: Tensor, q: Tensor) -> Tensor:
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).abs().sum(1)


def _cross_entropy(p: Tensor, q: Tensor) -> Tensor:
    return -torch.special.xlogy(p, q).sum(1)


def _entropy_difference(p: Tensor, q: Tensor) -> Tensor:
    return (torch.special.xlogy(p, p) - torch.special.xlogy(q, q)).sum(1)


def _both_ways(p: Tensor, q: Tensor) -> Tensor:
    return (kl_discrete(p, q) + kl_discrete(q, p)) / 2


def _one_number_for_all(p: Tensor, q: Tensor) -> Tensor:
    return kl_discrete(p, q).sum().expand(len(p))


def _one_mean_for_all(p: Tensor, q: Tensor) -> Tensor:
    return kl_discrete(p, q).mean().expand(len(p))


def _torch_without_log(p: Tensor, q: Tensor) -> Tensor:
    return functional.kl_div(q, p, reduction="none").sum(1)


def _torch_in_reading_order(p: Tensor, q: Tensor) -> Tensor:
    return functional.kl_div(p, q, reduction="none").sum(1)


def _torch_swapped(p: Tensor, q: Tensor) -> Tensor:
    return functional.kl_div(p.log(), q, reduction="none").sum(1)


def _product_of_zeros(p: Tensor, q: Tensor) -> Tensor:
    return functional.kl_div(q.log(), p, reduction="none").sum(1)


def _small_number(size: float, clip: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def wrong(p: Tensor, q: Tensor) -> Tensor:
        if clip:
            p, q = p.clamp(min=size), q.clamp(min=size)
            return (p * (p / q).log()).sum(1)
        return (p * ((p + size) / (q + size)).log()).sum(1)

    return wrong


PRODUCTS: dict[str, Wrong] = {  # the same mistakes, by those who also meet 0 log 0
    "swapped": _product(lambda forward, backward, p: backward.sum(1)),
    "wrong_sign": _product(lambda forward, backward, p: -forward.sum(1)),
    "bits": _product(lambda forward, backward, p: forward.sum(1) / math.log(2)),
    "mean_over_symbols": _product(lambda forward, backward, p: forward.mean(1)),
    "absolute_terms": _product(lambda forward, backward, p: forward.abs().sum(1)),
    "both_ways": _product(lambda forward, backward, p: (forward + backward).sum(1) / 2),
    "both_ways_added": _product(
        lambda forward, backward, p: (forward + backward).sum(1)
    ),
    "summed_over_batch": _product(
        lambda forward, backward, p: forward.sum().expand(len(p))
    ),
    "mean_over_batch": _product(
        lambda forward, backward, p: forward.sum(1).mean().expand(len(p))
    ),
}

HIDDEN_INFINITY = (
    "A small number keeps the logarithm finite where q = 0 < p: the answer there "
    "depends "
    "on the number that you chose. KL is infinite there; only 0 log 0 needs care."
)
KL_DIV = (
    "torch's kl_div(input, target) computes Σ target (log target − input): its first "
    "argument is the *logarithm* of q, and its second is p, for KL(p ‖ q)."
)

KL_MISTAKES = (
    Misconception(
        "swapped",
        "This is KL(q ‖ p): the weights in KL(p ‖ q) are p, and p stands on top of "
        "the fraction.",
        _swapped_discrete,
    ),
    Misconception(
        "wrong_sign",
        "The sign is flipped: the sum is Σ p log(p/q), with p on top. It comes out "
        "positive.",
        _wrong_sign,
    ),
    Misconception(
        "zero_times_infinity",
        "Where p = 0 you compute 0 · log 0 = 0 · (−∞), which is NaN in floating "
        "point. The term is 0 there: use torch.special.xlogy or torch.where.",
        _zero_times_infinity,
    ),
    Misconception(
        "skips_zeros_of_q",
        "Terms with q = 0 are left out. That is right only where p = 0 too; where "
        "q = 0 < p the model calls impossible what happens, and KL is infinite.",
        _skips_zeros_of_q,
    ),
    Misconception(
        "bits",
        "These are bits (log to base 2): this course counts nats, with the natural "
        "logarithm.",
        _bits,
    ),
    Misconception(
        "base_ten",
        "This is the logarithm to base 10: this course counts nats, with the natural "
        "logarithm.",
        _base_ten,
    ),
    Misconception(
        "largest_float",
        "nan_to_num mends 0 · log 0, but it also turns ∞ into the largest float, "
        "unless you pass posinf=math.inf. Where q = 0 < p the divergence is infinite.",
        _largest_float,
    ),
    Misconception(
        "mean_over_symbols",
        "You averaged over the alphabet: the expectation under p is the *sum* of p "
        "times the logarithm; p is the weight already.",
        _mean_over_symbols,
    ),
    Misconception(
        "without_weights",
        "The log-ratios are added without weights: an expectation under p weighs "
        "each by its p.",
        _without_weights,
    ),
    Misconception(
        "absolute_terms",
        "The absolute value of each term was taken: terms with p < q *are* "
        "negative, and they belong in the sum. Only the sum is at least 0.",
        _absolute_terms,
    ),
    Misconception(
        "cross_entropy",
        "This is the cross-entropy −Σ p log q = H(p) + KL(p ‖ q): the entropy of p "
        "is still in it.",
        _cross_entropy,
    ),
    Misconception(
        "entropy_difference",
        "This is H(q) − H(p): both logarithms are weighted by p, also that of q.",
        _entropy_difference,
    ),
    Misconception(
        "both_ways",
        "The two directions were put together (a symmetric divergence of its own, "
        "Jeffreys'): asked for is KL(p ‖ q) alone.",
        _both_ways,
    ),
    Misconception(
        "both_ways_added",
        "The two directions were put together (a symmetric divergence of its own, "
        "Jeffreys'): asked for is KL(p ‖ q) alone.",
        lambda p, q: 2 * _both_ways(p, q),
    ),
    Misconception(
        "both_ways_in_one",
        "The two directions were put together (a symmetric divergence of its own, "
        "Jeffreys'): asked for is KL(p ‖ q) alone.",
        lambda p, q: ((p - q) * (p / q).log()).sum(1),
    ),
    Misconception(
        "summed_over_batch",
        "All rows were added to one number: sum over the alphabet only (dim 1), "
        "one "
        "divergence for each row.",
        _one_number_for_all,
    ),
    Misconception(
        "mean_over_batch",
        "All rows were averaged to one number: sum over the alphabet only (dim 1), "
        "one divergence for each row.",
        _one_mean_for_all,
    ),
    Misconception(
        "both_zero",
        "Where p = q = 0 this computes 0 · log 0, which is NaN in floating point "
        "(torch's kl_div does so too). The term is 0 there: use "
        "torch.special.xlogy for both parts.",
        _product_of_zeros,
    ),
    Misconception("torch_without_log", KL_DIV, _torch_without_log),
    Misconception("torch_in_reading_order", KL_DIV, _torch_in_reading_order),
    Misconception(
        "torch_swapped",
        "kl_div(p.log(), q) is KL(q ‖ p): its *second* argument is the "
        "distribution "
        "that gives the weights.",
        _torch_swapped,
    ),
    *(
        Misconception(f"{word}_{size:g}", HIDDEN_INFINITY, _small_number(size, clip))
        for size in (1e-6, 1e-8, 1e-9, 1e-10, 1e-12)
        for word, clip in (("added", False), ("clipped", True))
    ),
)

KL_DISCRETE = Exercise(
    name="kl_discrete",
    title="the divergence of two distributions on a finite alphabet",
    reference=kl_discrete,
    returns="(N,) divergences in nats",
    probes=_all_pairs,
    criteria=(
        _right_values(
            "right where all probabilities are positive", 3.0, _positive_pairs
        ),
        _right_values("counts 0 log 0 as 0", 1.0, _zeros_in_p),
        Criterion("infinite where q = 0 < p", 1.0, _infinite_where_it_should),
        Criterion("0 for p = q, positive otherwise", 1.0, _zero_for_equals),
    ),
    misconceptions=KL_MISTAKES
    + tuple(
        replace(item, name=f"{item.name}_by_products", wrong=PRODUCTS[item.name])
        for item in KL_MISTAKES
        if item.name in PRODUCTS
    ),
    hints=(
        "KL(p ‖ q) is an expectation under p. Write the sum over the alphabet first, "
        "for "
        "rows without zeros.",
        "p log(p/q) = p log p − p log q. The first part is 0 where p = 0. What is each "
        "part where q = 0, for p = 0 and for p > 0?",
        "torch.special.xlogy(a, b) is a log b, and 0 where a = 0. Sum xlogy(p, p) − "
        "xlogy(p, q) over dim 1.",
    ),
    fingerprint=_kinds,
)


# --- gaussian_kl_pair ---------------------------------------------------------------

Pair = tuple[Tensor, Tensor, Tensor, Tensor]


def _gaussians(generator: torch.Generator) -> list[Arguments]:
    """Two diagonal Gaussians for each example, with clearly different variances."""
    return [
        (
            normal(generator, count, K),
            0.3 + 0.6 * normal(generator, count, K),
            normal(generator, count, K),
            -0.4 + 0.6 * normal(generator, count, K),
        )
        for count, K in ((5, 3), (7, 4))
    ]


def _zero_for_equal_gaussians(trial: Trial) -> None:
    for mu_q, logvar_q, mu_p, logvar_p in trial.probes():
        same = trial.call(mu_q, logvar_q, mu_q, logvar_q)
        if same.abs().max() > 1e-8:
            raise Refused(
                f"KL(q ‖ q) should be 0; yours is {float(same.abs().max()):.4g}."
            )
        for means in (mu_p, mu_q):  # another mean, and the same one
            other = trial.call(mu_q, logvar_q, means, logvar_p)
            if not (other > 0).all():
                raise Refused(
                    "for two different Gaussians the divergence is above 0; your "
                    f"smallest is {float(other.min()):.4g}."
                )


def _no_unit(trial: Trial) -> None:
    for mu_q, logvar_q, mu_p, logvar_p in trial.probes():
        scale = 0.3 + 3 * _uniform(trial.generator, mu_q.shape[1])
        shift = 3 * normal(trial.generator, mu_q.shape[1])
        more = 2 * scale.log()
        before = trial.call(mu_q, logvar_q, mu_p, logvar_p)
        if before.std() < 1e-6:
            raise Refused("the answer is the same for all examples of the batch.")
        after = trial.call(
            mu_q * scale + shift,
            logvar_q + more,
            mu_p * scale + shift,
            logvar_p + more,
        )
        trial.expect_close(
            after, before, "measured in other units (x times a, plus c)", 1e-6
        )


def _pair_terms(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Difference of log-variances, ratio of variances, scaled square of means."""
    logs = logvar_p - logvar_q
    return logs, (-logs).exp(), (mu_q - mu_p) ** 2 * (-logvar_p).exp()


def _pair(
    combine: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Build a wrong version from the three parts of the formula."""

    def wrong(mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor) -> Tensor:
        return combine(*_pair_terms(mu_q, logvar_q, mu_p, logvar_p))

    return wrong


def _swapped_pair(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> Tensor:
    return gaussian_kl_pair(mu_p, logvar_p, mu_q, logvar_q)


def _log_sigma(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> Tensor:
    return gaussian_kl_pair(mu_q, 2 * logvar_q, mu_p, 2 * logvar_p)


def _standard_normal(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> Tensor:
    return gaussian_kl(mu_q, logvar_q)


def _means_not_squared(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> Tensor:
    logs, ratio, _ = _pair_terms(mu_q, logvar_q, mu_p, logvar_p)
    return 0.5 * (logs + ratio + (mu_q - mu_p) * (-logvar_p).exp() - 1).sum(1)


def _means_not_scaled(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> Tensor:
    logs, ratio, _ = _pair_terms(mu_q, logvar_q, mu_p, logvar_p)
    return 0.5 * (logs + ratio + (mu_q - mu_p) ** 2 - 1).sum(1)


def _means_scaled_by_q(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> Tensor:
    logs, ratio, _ = _pair_terms(mu_q, logvar_q, mu_p, logvar_p)
    return 0.5 * (logs + ratio + (mu_q - mu_p) ** 2 * (-logvar_q).exp() - 1).sum(1)


def _means_scaled_by_sigma(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> Tensor:
    logs, ratio, _ = _pair_terms(mu_q, logvar_q, mu_p, logvar_p)
    return 0.5 * (logs + ratio + (mu_q - mu_p) ** 2 * (-logvar_p / 2).exp() - 1).sum(1)


def _means_scaled_twice(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> Tensor:
    logs, ratio, square = _pair_terms(mu_q, logvar_q, mu_p, logvar_p)
    return 0.5 * (logs + ratio + square * (-logvar_p).exp() - 1).sum(1)


def _variance_not_divided(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> Tensor:
    logs, _, square = _pair_terms(mu_q, logvar_q, mu_p, logvar_p)
    return 0.5 * (logs + logvar_q.exp() + square - 1).sum(1)


def _logvar_squared(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> Tensor:
    inside = (logvar_q**2 + (mu_q - mu_p) ** 2) / logvar_p**2
    return 0.5 * (logvar_p - logvar_q + inside - 1).sum(1)


def _sigma_ratio(
    mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor
) -> Tensor:
    logs, ratio, square = _pair_terms(mu_q, logvar_q, mu_p, logvar_p)
    return 0.5 * (logs + ratio.sqrt() + square - 1).sum(1)


GAUSSIAN_KL_PAIR = Exercise(
    name="gaussian_kl_pair",
    title="the divergence of two diagonal Gaussians",
    reference=gaussian_kl_pair,
    returns="(N,) divergences in nats",
    probes=_gaussians,
    criteria=(
        agrees("agrees with the closed form, KL(q ‖ p)", 3.0),
        Criterion("0 for equals, positive otherwise", 1.0, _zero_for_equal_gaussians),
        Criterion("does not depend on the units of z", 1.0, _no_unit),
    ),
    misconceptions=(
        Misconception(
            "swapped",
            "This is KL(p ‖ q): the expectation is under q, so the variance of p "
            "stands "
            "in the denominators.",
            _swapped_pair,
        ),
        Misconception(
            "half_dropped",
            "This is twice the divergence: the ½ in front is missing.",
            _pair(lambda logs, ratio, square: (logs + ratio + square - 1).sum(1)),
        ),
        Misconception(
            "log_sigma",
            "logvar was read as log σ: it is log σ², so exp(logvar) is the variance "
            "already.",
            _log_sigma,
        ),
        Misconception(
            "one_missing",
            "The −1 in each dimension is missing: two equal Gaussians get K/2 instead "
            "of 0.",
            _pair(lambda logs, ratio, square: 0.5 * (logs + ratio + square).sum(1)),
        ),
        Misconception(
            "one_once",
            "The 1 is subtracted once for all K dimensions: each dimension subtracts "
            "its own.",
            _pair(
                lambda logs, ratio, square: 0.5 * ((logs + ratio + square).sum(1) - 1)
            ),
        ),
        Misconception(
            "one_added",
            "The 1 is added: it comes from −(z − mu_q)²/σ_q², so it is subtracted, and "
            "two equal Gaussians get 0.",
            _pair(lambda logs, ratio, square: 0.5 * (logs + ratio + square + 1).sum(1)),
        ),
        Misconception(
            "logs_flipped",
            "The logarithms have the wrong sign: log σ_p² − log σ_q² is what "
            "log q − log p gives.",
            _pair(
                lambda logs, ratio, square: 0.5 * (-logs + ratio + square - 1).sum(1)
            ),
        ),
        Misconception(
            "logs_not_halved",
            "The logarithms are not halved: log(σ_p/σ_q) is *half* the difference of "
            "the logvars.",
            _pair(
                lambda logs, ratio, square: (logs + 0.5 * (ratio + square - 1)).sum(1)
            ),
        ),
        Misconception(
            "logs_missing",
            "The difference of the logvars is missing: it comes from the normalisers "
            "of the two densities.",
            _pair(lambda logs, ratio, square: 0.5 * (ratio + square - 1).sum(1)),
        ),
        Misconception(
            "ratio_upside_down",
            "The ratio of variances is upside down: E_q of (z − mu_p)²/σ_p² gives "
            "σ_q²/σ_p².",
            _pair(
                lambda logs, ratio, square: 0.5 * (logs + 1 / ratio + square - 1).sum(1)
            ),
        ),
        Misconception(
            "ratio_of_sigmas",
            "The ratio is that of the standard deviations: E_q of (z − mu_p)² holds "
            "the *variance* of q.",
            _sigma_ratio,
        ),
        Misconception(
            "sign_flipped",
            "The whole sign is flipped: this is −KL. A divergence is at least 0.",
            _pair(
                lambda logs, ratio, square: -0.5 * (logs + ratio + square - 1).sum(1)
            ),
        ),
        Misconception(
            "standard_normal",
            "mu_p and logvar_p are not used: this is the divergence from N(0, I), a "
            "special case.",
            _standard_normal,
        ),
        Misconception(
            "means_not_squared",
            "The difference of the means is not squared.",
            _means_not_squared,
        ),
        Misconception(
            "means_not_scaled",
            "The squared difference of the means is not divided by the variance of p: "
            "a distance counts in units of σ_p.",
            _means_not_scaled,
        ),
        Misconception(
            "means_scaled_by_q",
            "The squared difference of the means is divided by the variance of q: it "
            "is p whose exponent is averaged, so divide by the variance of p.",
            _means_scaled_by_q,
        ),
        Misconception(
            "means_scaled_by_sigma",
            "The squared difference of the means is divided by σ_p, not by σ_p²: its "
            "unit does not cancel.",
            _means_scaled_by_sigma,
        ),
        Misconception(
            "means_scaled_twice",
            "The squared difference of the means is divided by σ_p⁴: exp(logvar_p) is "
            "the variance already, so it stays outside the square.",
            _means_scaled_twice,
        ),
        Misconception(
            "variance_not_divided",
            "The variance of q is not divided by that of p: both σ_q² and the squared "
            "difference stand over σ_p² (parentheses?).",
            _variance_not_divided,
        ),
        Misconception(
            "logvar_squared",
            "logvar was squared where a variance is needed: the variance is "
            "exp(logvar).",
            _logvar_squared,
        ),
        Misconception(
            "mean_over_latents",
            "You averaged over the K dimensions: independent dimensions *add* their "
            "divergences.",
            _pair(
                lambda logs, ratio, square: 0.5 * (logs + ratio + square - 1).mean(1)
            ),
        ),
        Misconception(
            "summed_over_batch",
            "All examples were added to one number: sum over dim 1 only, one "
            "divergence "
            "for each example.",
            _pair(
                lambda logs, ratio, square: (
                    (0.5 * (logs + ratio + square - 1)).sum().expand(len(logs))
                )
            ),
        ),
        Misconception(
            "mean_over_batch",
            "All examples were averaged to one number: sum over dim 1 only, one "
            "divergence for each example.",
            _pair(
                lambda logs, ratio, square: (
                    (0.5 * (logs + ratio + square - 1)).sum(1).mean().expand(len(logs))
                )
            ),
        ),
    ),
    hints=(
        "Do one dimension first: log q(z) − log p(z) is a difference of two parabolas "
        "in z. Take its expectation under q.",
        "E_q (z − mu_q)² = σ_q², and E_q (z − mu_p)² = σ_q² + (mu_q − mu_p)². The "
        "normalisers give ½ (logvar_p − logvar_q).",
        "Per dimension: ½ (logvar_p − logvar_q + (exp(logvar_q) + (mu_q − mu_p)²) / "
        "exp(logvar_p) − 1). Sum over dim 1.",
    ),
)


# --- monte_carlo_kl -----------------------------------------------------------------

Estimate = tuple[Tensor, Tensor]


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
    return log_ratio.mean(), log_ratio.std() / math.sqrt(len(log_ratio))


def _log_densities(generator: torch.Generator) -> list[Arguments]:
    """Log-densities at few draws; in the second pair the estimate is negative."""
    drawn: list[Arguments] = []
    for count, target in ((23, 0.4), (37, -0.15)):
        log_p = -1.5 + normal(generator, count)
        ratio = 1.3 * normal(generator, count)
        drawn.append((log_p, log_p - (ratio - ratio.mean() + target)))
    return drawn


def _estimate_is_right(trial: Trial) -> None:
    for arguments in trial.probes():
        got, want = trial.call(*arguments), trial.reference(*arguments)
        trial.expect_close(got[0], want[0], "the estimate")


def _error_is_right(trial: Trial) -> None:
    for arguments in trial.probes():
        got, want = as_float(trial.call(*arguments)[1]), trial.reference(*arguments)[1]
        count = len(arguments[0])
        biased = as_float(want) * math.sqrt((count - 1) / count)  # divisor S: fair too
        if min(difference(got, as_float(want)), difference(got, biased)) > 1e-5:
            raise Refused(
                f"the standard error of {count} draws: yours is {got:.5g}, expected "
                f"{as_float(want):.5g}."
            )


def _shrinks(trial: Trial) -> None:
    for log_p, log_q in trial.probes():
        once = trial.call(log_p, log_q)
        often = trial.call(log_p.repeat(16), log_q.repeat(16))
        trial.expect_close(often[0], once[0], "each draw given 16 times, the estimate")
        ratio = as_float(once[1]) / max(as_float(often[1]), 1e-30)
        if not 3.6 < ratio < 4.4:
            raise Refused(
                "with 16 times as many draws the standard error should be 4 times "
                f"smaller; yours is {ratio:.3g} times smaller."
            )


def _mc(
    change: Callable[[Tensor], Estimate],
) -> Callable[[Tensor, Tensor], Estimate]:
    """Build a wrong version from what it does with log p − log q."""
    return lambda log_p, log_q: change(log_p - log_q)


def _error(values: Tensor) -> Tensor:
    return values.std() / math.sqrt(len(values))


def _mean_and_error(values: Tensor) -> Estimate:
    return values.mean(), _error(values)


def _sorted(log_p: Tensor, log_q: Tensor) -> Estimate:
    return monte_carlo_kl(log_p.sort().values, log_q.sort().values)


def _sorted_with_abs(log_p: Tensor, log_q: Tensor) -> Estimate:
    mean, error = _sorted(log_p, log_q)
    return mean.abs(), error


def _weighted_again(log_p: Tensor, log_q: Tensor) -> Estimate:
    terms = log_p.exp() * (log_p - log_q)
    return terms.mean(), _error(terms)


def _weighted_sum(log_p: Tensor, log_q: Tensor) -> Estimate:
    terms = log_p.exp() * (log_p - log_q)
    return terms.sum(), _error(terms)


def _weighted_sum_own_error(log_p: Tensor, log_q: Tensor) -> Estimate:
    return _weighted_sum(log_p, log_q)[0], _error(log_p - log_q)


def _weighted_by_softmax(log_p: Tensor, log_q: Tensor) -> Estimate:
    weights = log_p.softmax(0)
    return (weights * (log_p - log_q)).sum(), _error(log_p - log_q)


def _ratio_of_means(log_p: Tensor, log_q: Tensor) -> Estimate:
    ratio = log_p.exp().mean() / log_q.exp().mean()
    return ratio.log(), _error(log_p - log_q)


def _errors_added(log_p: Tensor, log_q: Tensor) -> Estimate:
    error = (_error(log_p) ** 2 + _error(log_q) ** 2).sqrt()
    return (log_p - log_q).mean(), error


def _half_width(factor: float) -> Callable[[Tensor, Tensor], Estimate]:
    return _mc(lambda ratio: (ratio.mean(), factor * _error(ratio)))


HALF_WIDTH = (
    "The second number is two (or 1.96) standard errors, the half-width of an "
    "interval: asked for is one standard error."
)
PAIRED = (
    "You sorted the log-densities: sorting p and q apart pairs values of different "
    "draws. Each log p − log q belongs to *one* draw."
)
WEIGHED_TWICE = (
    "The log-ratios are weighted by p once more: the draws come from p, so p is in "
    "their "
    "frequency already. A plain mean is the expectation."
)

MONTE_CARLO_KL = Exercise(
    name="monte_carlo_kl",
    title="a divergence from draws, with its error",
    reference=monte_carlo_kl,
    returns="two numbers: estimate, standard error",
    probes=_log_densities,
    criteria=(
        Criterion("the estimate is right, negative or not", 2.0, _estimate_is_right),
        Criterion("the standard error is right", 2.0, _error_is_right),
        Criterion("16 times the draws, a quarter of the error", 1.0, _shrinks),
    ),
    misconceptions=(
        Misconception("sorted", PAIRED, _sorted),
        Misconception("sorted_with_abs", PAIRED, _sorted_with_abs),
        Misconception(
            "absolute_mean",
            "abs() hides the sign of the estimate: the divergence is at least 0, an "
            "*estimate* of it may fall below. Cut off, it would be biased upwards.",
            _mc(lambda ratio: (ratio.mean().abs(), _error(ratio))),
        ),
        Misconception(
            "clipped_mean",
            "The estimate is cut off at 0: the divergence is at least 0, an *estimate* "
            "of it may fall below. Cut off, it is biased upwards.",
            _mc(lambda ratio: (ratio.mean().clamp(min=0), _error(ratio))),
        ),
        Misconception(
            "absolute_terms",
            "The absolute value of each log-ratio was taken: negative ones belong in "
            "the mean, they are where q is larger than p.",
            _mc(lambda ratio: (ratio.abs().mean(), _error(ratio.abs()))),
        ),
        Misconception(
            "absolute_terms_own_error",
            "The absolute value of each log-ratio was taken: negative ones belong in "
            "the mean, they are where q is larger than p.",
            _mc(lambda ratio: (ratio.abs().mean(), _error(ratio))),
        ),
        Misconception(
            "sign_flipped",
            "The sign is flipped: draws from p average log p − log q to KL(p ‖ q).",
            _mc(lambda ratio: (-ratio.mean(), _error(ratio))),
        ),
        Misconception(
            "summed",
            "You added the log-ratios: an expectation is estimated by their *mean*.",
            _mc(lambda ratio: (ratio.sum(), _error(ratio))),
        ),
        Misconception(
            "spread_of_one_draw",
            "The second number is the standard deviation of one log-ratio: the mean of "
            "S of them varies √S times less.",
            _mc(lambda ratio: (ratio.mean(), ratio.std())),
        ),
        Misconception(
            "divided_by_s",
            "The standard deviation is divided by S: the variance of a mean is divided "
            "by S, its standard deviation by √S.",
            _mc(lambda ratio: (ratio.mean(), ratio.std() / len(ratio))),
        ),
        Misconception(
            "variance_of_mean",
            "The second number is the *variance* of the mean: the standard error is "
            "its square root.",
            _mc(lambda ratio: (ratio.mean(), ratio.var() / len(ratio))),
        ),
        Misconception(
            "variance",
            "The second number is the variance of the log-ratios: the standard error "
            "of their mean is √(variance / S).",
            _mc(lambda ratio: (ratio.mean(), ratio.var())),
        ),
        Misconception(
            "root_of_spread",
            "The root was taken of the standard deviation: √(*variance* / S), that is "
            "the standard deviation over √S.",
            _mc(lambda ratio: (ratio.mean(), (ratio.std() / len(ratio)).sqrt())),
        ),
        Misconception("half_width", HALF_WIDTH, _half_width(1.96)),
        Misconception("half_width_of_two", HALF_WIDTH, _half_width(2.0)),
        Misconception("weighted_again", WEIGHED_TWICE, _weighted_again),
        Misconception("weighted_sum", WEIGHED_TWICE, _weighted_sum),
        Misconception("weighted_sum_own_error", WEIGHED_TWICE, _weighted_sum_own_error),
        Misconception("weighted_by_softmax", WEIGHED_TWICE, _weighted_by_softmax),
        Misconception(
            "no_log",
            "You averaged the ratio p/q itself: the logarithm is missing, KL is the "
            "mean of log p − log q.",
            _mc(lambda ratio: _mean_and_error(ratio.exp())),
        ),
        Misconception(
            "ratio_of_logs",
            "The logarithms were divided: log(p/q) is log p *minus* log q.",
            lambda log_p, log_q: _mean_and_error(log_p / log_q),
        ),
        Misconception(
            "ratio_of_means",
            "The densities were averaged before the logarithm: KL is the mean of the "
            "log-ratios, not the logarithm of a ratio of means.",
            _ratio_of_means,
        ),
        Misconception(
            "extra_term",
            "You averaged (r − 1) − log r with r = q/p: without bias if both densities "
            "are normalised, and less noisy when they are close. Asked for is the "
            "plain mean of log p − log q.",
            _mc(lambda ratio: _mean_and_error(torch.expm1(-ratio) + ratio)),
        ),
        Misconception(
            "outputs_swapped",
            "Both numbers are right and in the wrong order: the estimate comes first, "
            "then its standard error.",
            _mc(lambda ratio: (_error(ratio), ratio.mean())),
        ),
        Misconception(
            "errors_added",
            "The errors of the two means were combined as if they were independent: "
            "both logs are taken at the same draws. Take the spread of the difference.",
            _errors_added,
        ),
    ),
    hints=(
        "KL(p ‖ q) = E_p[log p − log q], and the draws come from p. An expectation is "
        "estimated by a mean.",
        "Make one number for each draw, log_p − log_q. Its mean is the estimate. How "
        "much does a mean of S independent numbers vary?",
        "Return ratio.mean() and ratio.std() / S**0.5, with ratio = log_p − log_q. No "
        "abs(): an estimate may be negative.",
    ),
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
    drawn: list[Arguments] = []
    for S, count in ((5, 3), (3, 6)):
        centres = torch.linspace(-1000, 1000, count, dtype=torch.float64)
        drawn.append((1.5 * normal(generator, S, count) + centres,))
    return drawn


def _with_zeros(generator: torch.Generator) -> list[Arguments]:
    """Draw values of which some are −∞, logarithms of 0; no column is all −∞."""
    values = normal(generator, 6, 4)
    values[0, 1] = values[3, 2] = values[4, 2] = -math.inf
    return [(values,)]


def _naive(values: Tensor) -> Tensor:
    return values.exp().mean(0).log()


def _one_maximum(values: Tensor) -> Tensor:
    largest = values.max()
    return largest + (values - largest).exp().mean(0).log()


def _maximum_not_added(values: Tensor) -> Tensor:
    return (values - values.max(0).values).exp().mean(0).log()


def _maximum_subtracted(values: Tensor) -> Tensor:
    largest = values.max(0).values
    return (values - largest).exp().mean(0).log() - largest


def _log_of_count(values: Tensor) -> Tensor:
    return torch.logsumexp(values, 0) - math.log(values.shape[1])


LOG_MEAN_EXP = Exercise(
    name="log_mean_exp",
    title="the logarithm of a mean, from logarithms",
    reference=log_mean_exp,
    returns="(N,) one for each column",
    probes=lambda generator: _moderate(generator) + _extreme(generator),
    criteria=(
        agrees("right where exp can hold the numbers", 3.0, _moderate),
        agrees("right near −1000 and near +1000", 2.0, _extreme),
        agrees("counts −∞ as the logarithm of 0", 1.0, _with_zeros),
    ),
    misconceptions=(
        Misconception(
            "naive",
            "exp() leaves the range of floats: exp(−1000) is 0 and its logarithm −∞. "
            "Subtract each column's largest value first, and add it again after the "
            "logarithm.",
            _naive,
        ),
        Misconception(
            "one_maximum",
            "One maximum is subtracted for the whole batch: columns far below it "
            "underflow to 0. Each column needs its own.",
            _one_maximum,
        ),
        Misconception(
            "mean_of_logs",
            "This is the mean of the logarithms, which is smaller (or equal): the mean "
            "is taken of the numbers, and then one logarithm.",
            lambda values: values.mean(0),
        ),
        Misconception(
            "sum",
            "This is the logarithm of the *sum*: subtract log S for the mean.",
            lambda values: torch.logsumexp(values, 0),
        ),
        Misconception(
            "divided_after_log",
            "The logarithm of the sum is divided by S: dividing the sum by S means "
            "*subtracting* log S from its logarithm.",
            lambda values: torch.logsumexp(values, 0) / len(values),
        ),
        Misconception(
            "log_added",
            "log S is added: a mean is smaller than a sum, so it is subtracted.",
            lambda values: torch.logsumexp(values, 0) + math.log(len(values)),
        ),
        Misconception(
            "wrong_count",
            "You subtracted the logarithm of the wrong size: S, the number of values "
            "in "
            "a column, is `values.shape[0]`.",
            _log_of_count,
        ),
        Misconception(
            "count_not_logged",
            "You subtracted S, not log S: dividing a number by S takes log S off its "
            "logarithm.",
            lambda values: torch.logsumexp(values, 0) - len(values),
        ),
        Misconception(
            "maximum_not_added",
            "The largest value was subtracted before exp and not added again: log(e^m "
            "· mean) = m + log(mean).",
            _maximum_not_added,
        ),
        Misconception(
            "maximum_subtracted",
            "The largest value is subtracted twice: it is added back after the "
            "logarithm.",
            _maximum_subtracted,
        ),
        Misconception(
            "maximum_only",
            "This is the largest value alone: a good guess of the log of the *sum* "
            "when "
            "one value dominates, not of the mean.",
            lambda values: values.max(0).values,
        ),
        Misconception(
            "no_log",
            "The logarithm at the end is missing.",
            lambda values: values.exp().mean(0),
        ),
        Misconception(
            "all_columns",
            "All values were taken together: one number for each column, over dim 0.",
            lambda values: (
                torch.logsumexp(values.flatten(), 0) - math.log(values.numel())
            ).expand(values.shape[1]),
        ),
    ),
    hints=(
        "log of a mean, when you hold the logs: what does a common factor e^m of all "
        "values do to the logarithm of their mean?",
        "It adds m. So subtract m from all values of a column, and add it at the end. "
        "With m the column's largest value no exp overflows, and one of them is 1.",
        "torch.logsumexp(values, 0) does this for a sum; a mean is the sum divided by "
        "S, so subtract math.log(len(values)).",
    ),
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
    twice, squares = 2 * torch.logsumexp(log_w, 0), torch.logsumexp(2 * log_w, 0)
    return log_mean_exp(log_w, 0), (twice - squares).exp()


def _log_pairs(generator: torch.Generator, *levels: float) -> list[Arguments]:
    """Draw log-weights around a level for each example, the levels in turn."""
    drawn: list[Arguments] = []
    for S, count in ((9, 4), (6, 3)):
        level = torch.tensor(levels, dtype=torch.float64).repeat(count)[:count]
        centres = level + 2 * normal(generator, count)
        log_q = -2 + normal(generator, S, count)
        drawn.append((centres + log_q + 0.8 * normal(generator, S, count), log_q))
    return drawn


def _near_one(generator: torch.Generator) -> list[Arguments]:
    return _log_pairs(generator, -1.0)


def _far_below(generator: torch.Generator) -> list[Arguments]:
    return _log_pairs(generator, -900.0, -1800.0)


def _estimate_part(place: int, text: str, points: float) -> Criterion:
    what = ("log of the mean weight", "effective sample size")[place]

    def test(trial: Trial) -> None:
        for arguments in _near_one(trial.generator):
            got, want = trial.call(*arguments), trial.reference(*arguments)
            trial.expect_close(got[place], want[place], what)

    return Criterion(text, points, test)


def _weights(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return (log_joint - log_q).exp()


def _both(
    estimate: Callable[[Tensor, Tensor], Tensor] | None = None,
    size: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Callable[[Tensor, Tensor], Estimate]:
    """Build a wrong version by replacing one of the two outputs."""

    def wrong(log_joint: Tensor, log_q: Tensor) -> Estimate:
        first, second = importance_estimate(log_joint, log_q)
        if estimate is not None:
            first = estimate(log_joint, log_q)
        if size is not None:
            second = size(log_joint, log_q)
        return first, second

    return wrong


def _normalised(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return (log_joint - log_q).softmax(0)


def _proposal_ignored(log_joint: Tensor, log_q: Tensor) -> Estimate:
    return importance_estimate(log_joint, torch.zeros_like(log_q))


def _proposal_multiplied(log_joint: Tensor, log_q: Tensor) -> Estimate:
    return importance_estimate(log_joint, -log_q)


def _upside_down(log_joint: Tensor, log_q: Tensor) -> Estimate:
    return importance_estimate(log_q, log_joint)


def _naive_log(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return _weights(log_joint, log_q).mean(0).log()


def _naive_size(log_joint: Tensor, log_q: Tensor) -> Tensor:
    w = _weights(log_joint, log_q)
    return w.sum(0) ** 2 / (w**2).sum(0)


def _one_maximum_estimate(log_joint: Tensor, log_q: Tensor) -> Estimate:
    log_w = log_joint - log_q
    w = (log_w - log_w.max()).exp()
    return w.mean(0).log() + log_w.max(), w.sum(0) ** 2 / (w**2).sum(0)


def _one_maximum_log(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return _one_maximum(log_joint - log_q)


def _maximum_forgotten(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return _maximum_not_added(log_joint - log_q)


def _weighted_mean_of_logs(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return (_normalised(log_joint, log_q) * (log_joint - log_q)).sum(0)


def _naive_share(log_joint: Tensor, log_q: Tensor) -> Tensor:
    w = _weights(log_joint, log_q)
    return w.mean(0) ** 2 / (w**2).mean(0)


def _size_by_variance(log_joint: Tensor, log_q: Tensor) -> Tensor:
    w = _normalised(log_joint, log_q) * len(log_q)  # mean 1
    return len(w) / (1 + w.var(0))


def _perplexity(log_joint: Tensor, log_q: Tensor) -> Tensor:
    w = _normalised(log_joint, log_q)
    return (-torch.special.xlogy(w, w).sum(0)).exp()


def _count(log_joint: Tensor, log_q: Tensor) -> Tensor:
    return torch.full_like(log_joint[0], len(log_joint))


UNDERFLOW = (
    "The weights leave the range of floats: exp(−900) is 0. Stay with logarithms: "
    "log_mean_exp for the estimate, and weights divided by their sum (softmax of the "
    "log-weights) for the effective sample size."
)

ONE_MAXIMUM = (
    "One largest log-weight is subtracted for the whole batch: examples with a far "
    "smaller p(x) underflow to 0. Each column needs its own."
)
NOT_DIVIDED = (
    "log_q is not used: the draws come from q, so each p(x, z) must be divided by the "
    "density with which z was drawn."
)
SHARE = (
    "The second output is the effective sample size divided by S: return the number "
    "of draws, between 1 and S."
)

IMPORTANCE_ESTIMATE = Exercise(
    name="importance_estimate",
    title="log p(x) from draws of a proposal",
    reference=importance_estimate,
    returns="two tensors (N,): log of the mean weight, effective sample size",
    probes=lambda generator: _near_one(generator) + _far_below(generator),
    criteria=(
        _estimate_part(0, "the estimate of log p(x) is right", 3.0),
        _estimate_part(1, "the effective sample size is right", 2.0),
        agrees("both are right where p(x) is exp(−900) or less", 1.0, _far_below),
    ),
    misconceptions=(
        Misconception("one_maximum", ONE_MAXIMUM, _one_maximum_estimate),
        Misconception("one_maximum_log", ONE_MAXIMUM, _both(_one_maximum_log)),
        Misconception(
            "maximum_not_added",
            "The largest log-weight was subtracted before exp and not added again to "
            "the first output: log(e^m · mean) = m + log(mean).",
            _both(_maximum_forgotten),
        ),
        Misconception(
            "weighted_mean_of_log_weights",
            "The first output averages the log-weights, weighted by the weights: the "
            "draws come from q already. Average the weights plainly, then take the "
            "logarithm.",
            _both(_weighted_mean_of_logs),
        ),
        Misconception("naive", UNDERFLOW, _both(_naive_log, _naive_size)),
        Misconception("naive_log", UNDERFLOW, _both(_naive_log)),
        Misconception("naive_size", UNDERFLOW, _both(size=_naive_size)),
        Misconception("proposal_ignored", NOT_DIVIDED, _proposal_ignored),
        Misconception(
            "proposal_ignored_in_estimate",
            NOT_DIVIDED,
            _both(lambda log_joint, log_q: log_mean_exp(log_joint, 0)),
        ),
        Misconception(
            "proposal_multiplied",
            "log_q is added: the weight is p(x, z) *divided* by q(z), so subtract it.",
            _proposal_multiplied,
        ),
        Misconception(
            "upside_down",
            "The weights are upside down: p(x, z) goes on top, q(z) below.",
            _upside_down,
        ),
        Misconception(
            "mean_of_log_weights",
            "The first output is the mean of the log-weights: it estimates something "
            "smaller than log p(x). Average the weights, then take the logarithm.",
            _both(lambda log_joint, log_q: (log_joint - log_q).mean(0)),
        ),
        Misconception(
            "sum_of_weights",
            "The first output is the logarithm of the *sum* of the weights: subtract "
            "log S for the mean.",
            _both(lambda log_joint, log_q: torch.logsumexp(log_joint - log_q, 0)),
        ),
        Misconception(
            "not_logged",
            "The first output is the mean weight itself: return its logarithm.",
            _both(lambda log_joint, log_q: _weights(log_joint, log_q).mean(0)),
        ),
        Misconception(
            "normalised_first",
            "The weights were divided by their sum before the mean was taken: then the "
            "mean is 1/S whatever p(x) is. Normalise for the sample size only.",
            _both(lambda log_joint, log_q: _normalised(log_joint, log_q).mean(0).log()),
        ),
        Misconception(
            "outputs_swapped",
            "The two outputs are in the wrong order: the estimate of log p(x) comes "
            "first, then the effective sample size.",
            lambda log_joint, log_q: importance_estimate(log_joint, log_q)[::-1],
        ),
        Misconception(
            "size_upside_down",
            "The effective sample size is upside down: (Σ w)² goes on top, so that "
            "equal "
            "weights give S.",
            _both(size=lambda a, b: (_normalised(a, b) ** 2).sum(0)),
        ),
        Misconception(
            "size_as_share",
            SHARE,
            _both(size=lambda a, b: importance_estimate(a, b)[1] / len(a)),
        ),
        Misconception("size_as_naive_share", SHARE, _both(size=_naive_share)),
        Misconception(
            "size_logged",
            "The second output is the *logarithm* of the effective sample size: take "
            "exp at the end.",
            _both(size=lambda a, b: importance_estimate(a, b)[1].log()),
        ),
        Misconception(
            "size_by_variance",
            "S / (1 + variance of the weights over their squared mean) is the same as "
            "(Σ w)² / Σ w² if the variance has the divisor S: pass correction=0.",
            _both(size=_size_by_variance),
        ),
        Misconception(
            "size_perplexity",
            "The second output is exp of the entropy of the weights, another measure "
            "of how many count: asked for is (Σ w)² / Σ w².",
            _both(size=_perplexity),
        ),
        Misconception(
            "size_of_largest",
            "The second output is one over the largest normalised weight: asked for is "
            "(Σ w)² / Σ w².",
            _both(size=lambda a, b: 1 / _normalised(a, b).max(0).values),
        ),
        Misconception(
            "size_is_count",
            "The second output is S for any weights: equal weights give S, unequal "
            "ones less.",
            _both(size=_count),
        ),
        Misconception(
            "size_not_normalised",
            "The second output is 1 / Σ w² with weights that do not add to 1: divide "
            "them by their sum first.",
            _both(size=lambda a, b: 1 / (_weights(a, b) ** 2).sum(0)),
        ),
        Misconception(
            "size_of_log_weights",
            "The effective sample size is computed from the *logarithms* of the "
            "weights: take exp first (after subtracting the largest).",
            _both(size=lambda a, b: (a - b).sum(0) ** 2 / ((a - b) ** 2).sum(0)),
        ),
        Misconception(
            "size_not_squared",
            "The sum on top is not squared: Σ w / Σ w² changes when all weights are "
            "doubled.",
            _both(
                size=lambda a, b: _weights(a, b).sum(0) / (_weights(a, b) ** 2).sum(0)
            ),
        ),
    ),
    hints=(
        "The logarithm of a weight is log_joint − log_q. The first output is "
        "log_mean_exp of these.",
        "The effective sample size does not change when all weights are multiplied by "
        "a factor. So you may divide them by their sum, or by their largest value.",
        "w = (log_joint − log_q).softmax(0) has sum 1, so the effective sample size is "
        "1 / (w**2).sum(0).",
    ),
)

EXERCISES = (
    KL_DISCRETE,
    GAUSSIAN_KL_PAIR,
    MONTE_CARLO_KL,
    LOG_MEAN_EXP,
    IMPORTANCE_ESTIMATE,
)
