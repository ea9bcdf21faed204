"""Exercises of lesson 10: information, its gap, DCI's disentanglement, a rotation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.grading.criteria import agrees, normal
from course_utils.grading.declare import declare, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.metrics.disentanglement import (
    completeness,
    disentanglement,
    information_gap,
    mutual_information,
    random_rotation,
)

WORDS = words_beside(__file__)


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


# --- mutual_information -------------------------------------------------------------


def _tables(generator: torch.Generator) -> list[Arguments]:
    """Probabilities without a zero, and counts with some; A is never B."""
    full = _uniform(generator, 3, 5) + 0.05
    full[0, 0] += 2
    counts = torch.randint(1, 20, (6, 4), generator=generator).double()
    counts[1, 2] = counts[5, 0] = counts[3, 3] = 0
    counts[2, 1] += 60
    return [(full / full.sum(),), (counts,)]


def _zero_if_independent(trial: Trial) -> None:
    for (table,) in trial.inputs():
        # Unrelated, but with the margins of a table that is not.
        unrelated = table.sum(1, keepdim=True) * table.sum(0)
        trial.call(table)
        for scale in (1.0, 1 / float(unrelated.sum())):
            got = float(trial.call(unrelated * scale))
            if abs(got) > 1e-5:
                raise Refused(
                    f"a table of two unrelated variables gives {got:.3g} nats, "
                    "expected 0."
                )


def _entropy_if_one_to_one(trial: Trial) -> None:
    for size in (3, 7):
        counts = torch.randint(1, 30, (size,), generator=trial.generator).double()
        order = torch.randperm(size, generator=trial.generator)
        p = counts / counts.sum()
        trial.expect_close(
            trial.call(torch.diag(counts)[:, order]),
            -float((p * p.log()).sum()),
            "where one variable is a renaming of the other, the information is the "
            "entropy",
        )


def _shares(joint: Tensor) -> tuple[Tensor, Tensor]:
    """Joint probabilities, and the product of their margins."""
    p = joint / joint.sum()
    return p, p.sum(1, keepdim=True) * p.sum(0)


def _nan_at_zero(joint: Tensor) -> float:
    p, product = _shares(joint)
    return (p * (p / product).log()).sum().item()


def _not_normalised(joint: Tensor) -> float:
    product = joint.sum(1, keepdim=True) * joint.sum(0)
    seen = joint > 0
    return (joint[seen] * (joint[seen] / product[seen]).log()).sum().item()


def _entropy_of(p: Tensor) -> float:
    return -torch.special.xlogy(p, p).sum().item()


def _given_columns(joint: Tensor) -> float:
    p, _ = _shares(joint)
    return torch.special.xlogy(p, p / p.sum(0)).nan_to_num().sum().item()


def _given_rows(joint: Tensor) -> float:
    p, _ = _shares(joint)
    return torch.special.xlogy(p, p / p.sum(1, keepdim=True)).nan_to_num().sum().item()


def _unweighted(joint: Tensor) -> float:
    p, product = _shares(joint)
    seen = p > 0
    return (p[seen] / product[seen]).log().sum().item()


def _other_direction(joint: Tensor) -> float:
    p, product = _shares(joint)
    return (product * (product / p).log()).sum().item()


def _product_weighted(joint: Tensor) -> float:
    p, product = _shares(joint)
    seen = p > 0
    return (product[seen] * (p[seen] / product[seen]).log()).sum().item()


MUTUAL_INFORMATION = declare(
    WORDS["mutual_information"],
    mutual_information,
    _tables,
    criteria=(
        agrees("the mutual information of a table, in nats", 3.0),
        Criterion("0 for unrelated variables", 1.0, _zero_if_independent),
        Criterion("the entropy for a renaming", 1.0, _entropy_if_one_to_one),
    ),
    mistakes={
        "nan_at_zero": _nan_at_zero,
        "not_normalised": _not_normalised,
        "bits": lambda joint: mutual_information(joint) / math.log(2),
        "joint_entropy": lambda joint: _entropy_of(_shares(joint)[0]),
        "flipped": lambda joint: -mutual_information(joint),
        "mean_of_cells": lambda joint: mutual_information(joint) / joint.numel(),
        "given_columns": _given_columns,
        "given_rows": _given_rows,
        "unweighted": _unweighted,
        "other_direction": _other_direction,
        "share_of_entropy": lambda joint: (
            mutual_information(joint) / _entropy_of(_shares(joint)[0].sum(0))
        ),
        "share_of_row_entropy": lambda joint: (
            mutual_information(joint) / _entropy_of(_shares(joint)[0].sum(1))
        ),
        "product_weighted": _product_weighted,
    },
)


# --- information_gap ----------------------------------------------------------------


def _informations(generator: torch.Generator) -> list[Arguments]:
    """More units than factors, and fewer; entropies all different."""
    drawn: list[Arguments] = []
    for units, factors in ((5, 3), (4, 6)):
        entropy = 0.8 + 3 * _uniform(generator, factors)
        information = entropy * (0.05 + 0.9 * _uniform(generator, units, factors))
        drawn.append((information, entropy))
    return drawn


def _units_have_no_order(trial: Trial) -> None:
    for information, entropy in trial.inputs():
        before = trial.call(information, entropy)
        trial.expect_close(
            before,
            trial.reference(information, entropy),
            "before the units were put into another order",
        )
        order = torch.randperm(len(information), generator=trial.generator)
        after = trial.call(information[order], entropy)
        trial.expect_close(after, before, "after the units were reordered")


def _one_and_zero(trial: Trial) -> None:
    """1 where one unit tells all of a factor, 0 where two units tell it alike."""
    for information, entropy in trial.inputs():
        places = torch.arange(3)
        perfect = torch.zeros_like(information)
        perfect[places, places] = entropy[:3]
        got = trial.call(perfect, entropy)[:3]
        trial.expect_close(got, torch.ones_like(got), "one unit tells the factor")
        perfect[3, :3] = entropy[:3]
        got = trial.call(perfect, entropy)[:3]
        trial.expect_close(got, torch.zeros_like(got), "two units tell it alike")


def _two_best(information: Tensor) -> tuple[Tensor, Tensor]:
    first, second = information.topk(2, dim=0).values
    return first, second


def _sorted_along_factors(information: Tensor, entropy: Tensor) -> Tensor:
    ordered = information.sort(dim=1, descending=True).values
    return (ordered[0] - ordered[1]) / entropy


def _sorted_ascending(information: Tensor, entropy: Tensor) -> Tensor:
    ordered = information.sort(dim=0).values
    return (ordered[0] - ordered[1]) / entropy


def _per_unit(information: Tensor, entropy: Tensor) -> Tensor:
    first, second = information.topk(2, dim=1).values.T
    return first - second


def _per_unit_share(information: Tensor, entropy: Tensor) -> Tensor:
    first, second = (information / entropy).topk(2, dim=1).values.T
    return first - second


def _in_nats(information: Tensor, entropy: Tensor) -> Tensor:
    first, second = _two_best(information)
    return first - second


def _of_the_best(information: Tensor, entropy: Tensor) -> Tensor:
    first, second = _two_best(information)
    return (first - second) / first


def _ratio(information: Tensor, entropy: Tensor) -> Tensor:
    first, second = _two_best(information)
    return second / first


def _others_averaged(information: Tensor, entropy: Tensor) -> Tensor:
    first, _ = _two_best(information)
    others = (information.sum(0) - first) / (len(information) - 1)
    return (first - others) / entropy


def _others_summed(information: Tensor, entropy: Tensor) -> Tensor:
    first, _ = _two_best(information)
    return (2 * first - information.sum(0)) / entropy


def _same_units(information: Tensor, entropy: Tensor) -> Tensor:
    first, second = information.sum(1).topk(2).indices
    return (information[first] - information[second]) / entropy


def _one_entropy(information: Tensor, entropy: Tensor) -> Tensor:
    first, second = _two_best(information)
    return (first - second) / entropy.max()


def _mean_entropy(information: Tensor, entropy: Tensor) -> Tensor:
    first, second = _two_best(information)
    return (first - second) / entropy.mean()


INFORMATION_GAP = declare(
    WORDS["information_gap"],
    information_gap,
    _informations,
    criteria=(
        agrees("best unit minus second best, as a share of the entropy", 3.0),
        Criterion("the order of the units plays no role", 1.0, _units_have_no_order),
        Criterion("1 for one unit alone, 0 for two alike", 1.0, _one_and_zero),
    ),
    mistakes={
        "sorted_along_factors": _sorted_along_factors,
        "sorted_ascending": _sorted_ascending,
        "not_sorted": lambda information, entropy: (
            (information[0] - information[1]) / entropy
        ),
        "per_unit": _per_unit,
        "per_unit_share": _per_unit_share,
        "in_nats": _in_nats,
        "of_the_best": _of_the_best,
        "averaged": lambda information, entropy: information_gap(
            information, entropy
        ).mean(),
        "ratio": _ratio,
        "others_averaged": _others_averaged,
        "others_summed": _others_summed,
        "best_alone": lambda information, entropy: information.amax(0) / entropy,
        "against_worst": lambda information, entropy: (
            (information.amax(0) - information.amin(0)) / entropy
        ),
        "same_units": _same_units,
        "one_entropy": _one_entropy,
        "mean_entropy": _mean_entropy,
        "flipped": lambda information, entropy: -information_gap(information, entropy),
    },
)


# --- disentanglement ----------------------------------------------------------------


def _importances(generator: torch.Generator) -> list[Arguments]:
    """Units of very different weight; in the second table one matters for nothing."""
    drawn: list[Arguments] = []
    for units, factors in ((5, 3), (4, 6)):
        weight = 0.2 + 3 * _uniform(generator, units, 1)
        table = weight * _uniform(generator, units, factors) ** 3 + 0.01
        drawn.append((table,))
    drawn[1][0][2] = 0
    return drawn


def _idle_unit(trial: Trial) -> None:
    """Test that a unit that matters for nothing changes nothing."""
    (table,), _ = trial.inputs()
    longer = torch.cat([table[:2], torch.zeros_like(table[:1]), table[2:]])
    trial.expect_close(
        trial.call(longer),
        trial.reference(table),
        "with one more unit, which matters for nothing",
    )


def _ends_of_the_scale(trial: Trial) -> None:
    generator = trial.generator
    for units, factors in ((5, 3), (4, 6)):
        weight = 0.5 + _uniform(generator, units)
        one = torch.zeros(units, factors, dtype=torch.float64)
        mine = torch.randint(factors, (units,), generator=generator)
        one[torch.arange(units), mine] = weight
        got = trial.call(one)
        trial.expect_close(got, 1.0, "each unit matters for one factor")
        got = float(trial.call(weight[:, None].expand(-1, factors).clone()))
        if abs(got) > 1e-5:
            raise Refused(
                f"every unit matters alike for all factors: yours is {got:.3g}, "
                "expected 0."
            )


def _row_shares(importance: Tensor) -> Tensor:
    sums = importance.sum(1, keepdim=True)
    return importance / sums.where(sums > 0, torch.ones_like(sums))


def _row_scores(p: Tensor, base: float) -> Tensor:
    return 1 + torch.special.xlogy(p, p).sum(1) / math.log(base)


def _weighted(importance: Tensor, scores: Tensor) -> float:
    sums = importance.sum(1)
    return (sums / sums.sum() * scores).sum().item()


def _units_alike(importance: Tensor) -> float:
    scores = _row_scores(_row_shares(importance), importance.shape[1])
    return scores[importance.sum(1) > 0].mean().item()


def _base_units(importance: Tensor) -> float:
    scores = _row_scores(_row_shares(importance), importance.shape[0])
    return _weighted(importance, scores)


def _nan_for_idle(importance: Tensor) -> float:
    p = importance / importance.sum(1, keepdim=True)
    entropy = -torch.special.xlogy(p, p).sum(1) / math.log(p.shape[1])
    return _weighted(importance, 1 - entropy)


def _shares_of_columns(importance: Tensor) -> float:
    p = importance / importance.sum(0)
    return _weighted(importance, _row_scores(p, importance.shape[1]))


def _shares_of_all(importance: Tensor) -> float:
    p = importance / importance.sum()
    return _weighted(importance, _row_scores(p, importance.shape[1]))


def _sum_of_units(importance: Tensor) -> float:
    scores = _row_scores(_row_shares(importance), importance.shape[1])
    return (importance.sum(1) * scores).sum().item()


def _gap_of_shares(importance: Tensor) -> float:
    first, second = _row_shares(importance).topk(2, dim=1).values.T
    return _weighted(importance, first - second)


DISENTANGLEMENT = declare(
    WORDS["disentanglement"],
    disentanglement,
    _importances,
    criteria=(
        agrees("1 − entropy of each unit's shares, weighted", 3.0),
        Criterion("an idle unit changes nothing", 1.0, _idle_unit),
        Criterion("1 at best, 0 at worst", 1.0, _ends_of_the_scale),
    ),
    mistakes={
        "units_alike": _units_alike,
        "all_units_alike": lambda importance: (
            _row_scores(_row_shares(importance), importance.shape[1]).mean().item()
        ),
        "completeness": completeness,
        "natural_log": lambda importance: _weighted(
            importance, _row_scores(_row_shares(importance), math.e)
        ),
        "base_units": _base_units,
        "base_two": lambda importance: _weighted(
            importance, _row_scores(_row_shares(importance), 2)
        ),
        "plain_entropy": lambda importance: 1 - disentanglement(importance),
        "nan_for_idle": _nan_for_idle,
        "shares_of_columns": _shares_of_columns,
        "shares_of_all": _shares_of_all,
        "each_unit": lambda importance: _row_scores(
            _row_shares(importance), importance.shape[1]
        ),
        "sum_of_units": _sum_of_units,
        "largest_share": lambda importance: _weighted(
            importance, _row_shares(importance).amax(1)
        ),
        "gap_of_shares": _gap_of_shares,
    },
)


# --- rotate_model -------------------------------------------------------------------

Model = tuple[Tensor, Tensor, Tensor]


def rotate_model(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    """Return decoder matrix, means and covariance of q in coordinates z' = z Q."""
    return W @ Q, mean @ Q, Q.T @ covariance @ Q


def _models(generator: torch.Generator) -> list[Arguments]:
    """Rotations that are not symmetric, covariances that are not round."""
    drawn: list[Arguments] = []
    for N, D, K in ((5, 7, 3), (6, 9, 4)):
        root = 0.4 * normal(generator, K, K)
        covariance = root @ root.T + torch.diag(0.2 + _uniform(generator, K))
        drawn.append(
            (
                normal(generator, D, K),
                normal(generator, N, K),
                covariance,
                random_rotation(K, generator),
            )
        )
    return drawn


def _turned(trial: Trial, arguments: Arguments) -> Model:
    """Return the three results, once the means are known to be rotated at all."""
    _, mean, _, Q = arguments
    results = trial.call(*arguments)
    trial.expect_close(results[1], mean @ Q, "the rotated means are z Q")
    return results


def _same_pictures(trial: Trial) -> None:
    for arguments in trial.inputs():
        W, mean, covariance, _ = arguments
        W_new, mean_new, covariance_new = _turned(trial, arguments)
        trial.expect_close(
            mean_new @ W_new.T, mean @ W.T, "the decoded means must not change"
        )
        trial.expect_close(
            W_new @ covariance_new @ W_new.T,
            W @ covariance @ W.T,
            "the spread of the decoded samples must not change",
        )


def _same_rate(trial: Trial) -> None:
    def rate(mean: Tensor, covariance: Tensor) -> Tensor:
        trace, logdet = covariance.trace(), torch.logdet(covariance)
        return 0.5 * (trace + (mean**2).sum(1) - len(covariance) - logdet)

    for arguments in trial.inputs():
        W, mean, covariance, _ = arguments
        W_new, mean_new, covariance_new = _turned(trial, arguments)
        trial.expect_close(W_new @ W_new.T, W @ W.T, "the covariance of x, W Wᵀ + σ²I")
        trial.expect_close(
            rate(mean_new, covariance_new), rate(mean, covariance), "the rate"
        )


def _diagonal_kept(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    turned = Q.T @ covariance @ Q
    return W @ Q, mean @ Q, torch.diag(turned.diagonal())


ROTATE_MODEL = declare(
    WORDS["rotate_model"],
    rotate_model,
    _models,
    criteria=(
        agrees("decoder, means and covariance in the new coordinates", 3.0),
        Criterion("the decoder draws what it drew before", 1.0, _same_pictures),
        Criterion("p(x) and the rate are as before", 1.0, _same_rate),
    ),
    mistakes={
        "decoder_kept": lambda W, mean, covariance, Q: (
            W,
            mean @ Q,
            Q.T @ covariance @ Q,
        ),
        "decoder_inverse": lambda W, mean, covariance, Q: (
            W @ Q.T,
            mean @ Q,
            Q.T @ covariance @ Q,
        ),
        "all_inverse": lambda W, mean, covariance, Q: (
            W @ Q.T,
            mean @ Q.T,
            Q @ covariance @ Q.T,
        ),
        "means_inverse": lambda W, mean, covariance, Q: (
            W @ Q,
            mean @ Q.T,
            Q.T @ covariance @ Q,
        ),
        "means_kept": lambda W, mean, covariance, Q: (
            W @ Q,
            mean,
            Q.T @ covariance @ Q,
        ),
        "covariance_kept": lambda W, mean, covariance, Q: (W @ Q, mean @ Q, covariance),
        "covariance_inverse": lambda W, mean, covariance, Q: (
            W @ Q,
            mean @ Q,
            Q @ covariance @ Q.T,
        ),
        "covariance_right": lambda W, mean, covariance, Q: (
            W @ Q,
            mean @ Q,
            covariance @ Q,
        ),
        "covariance_left": lambda W, mean, covariance, Q: (
            W @ Q,
            mean @ Q,
            Q.T @ covariance,
        ),
        "diagonal_kept": _diagonal_kept,
        "covariance_and_means_kept": lambda W, mean, covariance, Q: (
            W @ Q,
            mean,
            covariance,
        ),
        "only_means": lambda W, mean, covariance, Q: (W, mean @ Q, covariance),
        "nothing": lambda W, mean, covariance: (W, mean, covariance),
        "transposed_products": lambda W, mean, covariance, Q: (
            W @ Q,
            mean @ Q,
            Q @ covariance @ Q,
        ),
    },
)

EXERCISES = (MUTUAL_INFORMATION, INFORMATION_GAP, DISENTANGLEMENT, ROTATE_MODEL)
