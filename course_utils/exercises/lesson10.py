"""Exercises of lesson 10: information, its gap, DCI's disentanglement, a rotation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.exercises.base import (
    Arguments,
    Criterion,
    Exercise,
    Misconception,
    Refused,
    Trial,
    agrees,
    normal,
)
from course_utils.metrics.disentanglement import (
    completeness,
    disentanglement,
    information_gap,
    mutual_information,
    random_rotation,
)


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
    for (table,) in trial.probes():
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


def _bits(joint: Tensor) -> float:
    return mutual_information(joint) / math.log(2)


def _entropy_of(p: Tensor) -> float:
    return -torch.special.xlogy(p, p).sum().item()


def _joint_entropy(joint: Tensor) -> float:
    return _entropy_of(_shares(joint)[0])


def _flipped(joint: Tensor) -> float:
    return -mutual_information(joint)


def _mean_of_cells(joint: Tensor) -> float:
    return mutual_information(joint) / joint.numel()


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


def _share_of_entropy(joint: Tensor) -> float:
    return mutual_information(joint) / _entropy_of(_shares(joint)[0].sum(0))


def _share_of_row_entropy(joint: Tensor) -> float:
    return mutual_information(joint) / _entropy_of(_shares(joint)[0].sum(1))


def _product_weighted(joint: Tensor) -> float:
    p, product = _shares(joint)
    seen = p > 0
    return (product[seen] * (p[seen] / product[seen]).log()).sum().item()


MUTUAL_INFORMATION = Exercise(
    name="mutual_information",
    title="how much one variable tells about another",
    reference=mutual_information,
    returns="one number: the mutual information in nats",
    probes=_tables,
    criteria=(
        agrees("the mutual information of a table, in nats", 3.0),
        Criterion("0 for unrelated variables", 1.0, _zero_if_independent),
        Criterion("the entropy for a renaming", 1.0, _entropy_if_one_to_one),
    ),
    misconceptions=(
        Misconception(
            "nan_at_zero",
            "An empty cell gives 0 · log 0, which is NaN in floating point: its limit "
            "is 0. Sum over the cells with p > 0 only, or use torch.special.xlogy.",
            _nan_at_zero,
        ),
        Misconception(
            "not_normalised",
            "The table may hold counts: divide it by its sum before you use it as "
            "probabilities.",
            _not_normalised,
        ),
        Misconception(
            "bits",
            "These are bits: use the natural logarithm, so that they are nats.",
            _bits,
        ),
        Misconception(
            "joint_entropy",
            "This is the entropy of the pair: compare the joint probability with the "
            "product of the margins.",
            _joint_entropy,
        ),
        Misconception(
            "flipped",
            "The sign is flipped: mutual information is a KL, so it is at least 0.",
            _flipped,
        ),
        Misconception(
            "mean_of_cells",
            "The cells were averaged: the weight p(a, b) is in each term already, so "
            "sum them.",
            _mean_of_cells,
        ),
        Misconception(
            "given_columns",
            "You divided by one margin only: p(a, b) / p(b) is a conditional "
            "probability. Divide by p(a) · p(b).",
            _given_columns,
        ),
        Misconception(
            "given_rows",
            "You divided by one margin only: p(a, b) / p(a) is a conditional "
            "probability. Divide by p(a) · p(b).",
            _given_rows,
        ),
        Misconception(
            "unweighted",
            "The log-ratios were summed without a weight: weigh each with p(a, b).",
            _unweighted,
        ),
        Misconception(
            "other_direction",
            "This is KL(product of margins ‖ joint), and infinite where a cell is "
            "empty: mutual information has the joint in front.",
            _other_direction,
        ),
        Misconception(
            "share_of_entropy",
            "You divided by an entropy: that comes later, in the gap. Return nats.",
            _share_of_entropy,
        ),
        Misconception(
            "share_of_row_entropy",
            "You divided by an entropy: that comes later, in the gap. Return nats.",
            _share_of_row_entropy,
        ),
        Misconception(
            "product_weighted",
            "The log-ratios are weighted with p(a) p(b): the weight is the joint "
            "p(a, b).",
            _product_weighted,
        ),
    ),
    hints=(
        "Three tables of the same shape: p(a, b), then p(a) p(b) from its row and "
        "column sums, then the logarithm of their ratio.",
        "joint / joint.sum() are probabilities. p.sum(1, keepdim=True) is (A, 1) and "
        "p.sum(0, keepdim=True) is (1, B); their product is (A, B) by broadcasting.",
        "Empty cells add nothing: keep = p > 0, then sum "
        "p[keep] * (p[keep] / product[keep]).log().",
    ),
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
    for information, entropy in trial.probes():
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
    for information, entropy in trial.probes():
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


def _not_sorted(information: Tensor, entropy: Tensor) -> Tensor:
    return (information[0] - information[1]) / entropy


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


def _averaged(information: Tensor, entropy: Tensor) -> Tensor:
    return information_gap(information, entropy).mean()


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


def _best_alone(information: Tensor, entropy: Tensor) -> Tensor:
    return information.amax(0) / entropy


def _against_worst(information: Tensor, entropy: Tensor) -> Tensor:
    return (information.amax(0) - information.amin(0)) / entropy


def _same_units(information: Tensor, entropy: Tensor) -> Tensor:
    first, second = information.sum(1).topk(2).indices
    return (information[first] - information[second]) / entropy


def _one_entropy(information: Tensor, entropy: Tensor) -> Tensor:
    first, second = _two_best(information)
    return (first - second) / entropy.max()


def _mean_entropy(information: Tensor, entropy: Tensor) -> Tensor:
    first, second = _two_best(information)
    return (first - second) / entropy.mean()


def _flipped_gap(information: Tensor, entropy: Tensor) -> Tensor:
    return -information_gap(information, entropy)


INFORMATION_GAP = Exercise(
    name="information_gap",
    title="how far the best unit of a factor is ahead",
    reference=information_gap,
    returns="(F,) gap of each factor",
    probes=_informations,
    criteria=(
        agrees("best unit minus second best, as a share of the entropy", 3.0),
        Criterion("the order of the units plays no role", 1.0, _units_have_no_order),
        Criterion("1 for one unit alone, 0 for two alike", 1.0, _one_and_zero),
    ),
    misconceptions=(
        Misconception(
            "sorted_along_factors",
            "The table is sorted along the factors, and then its first two rows, units "
            "0 and 1, are compared. Sort each *column*: dim=0 runs over the units.",
            _sorted_along_factors,
        ),
        Misconception(
            "sorted_ascending",
            "sort goes upwards: these are the two units that tell *least*. Use "
            "descending=True, or topk(2).",
            _sorted_ascending,
        ),
        Misconception(
            "not_sorted",
            "Units 0 and 1 were compared as they stand: sort the units of each factor "
            "first.",
            _not_sorted,
        ),
        Misconception(
            "per_unit",
            "These are gaps between the two best *factors* of each unit: asked for are "
            "the two best *units* of each factor, (F,).",
            _per_unit,
        ),
        Misconception(
            "per_unit_share",
            "These are gaps between the two best *factors* of each unit: asked for are "
            "the two best *units* of each factor, (F,).",
            _per_unit_share,
        ),
        Misconception(
            "in_nats",
            "The gap is in nats still: divide by the factor's entropy, else a factor "
            "of many levels counts for more.",
            _in_nats,
        ),
        Misconception(
            "of_the_best",
            "You divided by the best unit's information: a factor of which all units "
            "know next to nothing may then score 1. Divide by its entropy.",
            _of_the_best,
        ),
        Misconception(
            "averaged",
            "This is the mean over factors, the MIG itself: return one gap each.",
            _averaged,
        ),
        Misconception(
            "ratio",
            "This is second best over best: take the difference, over the entropy.",
            _ratio,
        ),
        Misconception(
            "others_averaged",
            "The best unit was compared with the mean of the others: idle units make "
            "that small. Compare with the second best.",
            _others_averaged,
        ),
        Misconception(
            "others_summed",
            "The best unit was compared with the sum of the others: compare with the "
            "second best.",
            _others_summed,
        ),
        Misconception(
            "best_alone",
            "This says how much the best unit knows: a second unit that knows as much "
            "has to bring the gap to 0.",
            _best_alone,
        ),
        Misconception(
            "against_worst",
            "The best unit was compared with the worst: compare with the second best.",
            _against_worst,
        ),
        Misconception(
            "same_units",
            "You chose two units for all factors: each factor has its own best and "
            "second best.",
            _same_units,
        ),
        Misconception(
            "one_entropy",
            "Every factor was divided by the largest entropy: each by its own.",
            _one_entropy,
        ),
        Misconception(
            "mean_entropy",
            "Every factor was divided by the mean entropy: each by its own.",
            _mean_entropy,
        ),
        Misconception(
            "flipped",
            "The sign is flipped: best minus second best.",
            _flipped_gap,
        ),
    ),
    hints=(
        "information[j, k] is what unit j tells about factor k. Along which dimension "
        "do the units of one factor stand?",
        "information.topk(2, dim=0).values is (2, F): best and second best of each "
        "factor.",
        "Subtract row 1 from row 0, and divide by entropy, which is (F,).",
    ),
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
    (table,), _ = trial.probes()
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


def _all_units_alike(importance: Tensor) -> float:
    return _row_scores(_row_shares(importance), importance.shape[1]).mean().item()


def _natural_log(importance: Tensor) -> float:
    return _weighted(importance, _row_scores(_row_shares(importance), math.e))


def _base_units(importance: Tensor) -> float:
    scores = _row_scores(_row_shares(importance), importance.shape[0])
    return _weighted(importance, scores)


def _base_two(importance: Tensor) -> float:
    return _weighted(importance, _row_scores(_row_shares(importance), 2))


def _plain_entropy(importance: Tensor) -> float:
    return 1 - disentanglement(importance)


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


def _each_unit(importance: Tensor) -> Tensor:
    return _row_scores(_row_shares(importance), importance.shape[1])


def _sum_of_units(importance: Tensor) -> float:
    scores = _row_scores(_row_shares(importance), importance.shape[1])
    return (importance.sum(1) * scores).sum().item()


def _largest_share(importance: Tensor) -> float:
    return _weighted(importance, _row_shares(importance).amax(1))


def _gap_of_shares(importance: Tensor) -> float:
    first, second = _row_shares(importance).topk(2, dim=1).values.T
    return _weighted(importance, first - second)


DISENTANGLEMENT = Exercise(
    name="disentanglement",
    title="whether each unit matters for one factor",
    reference=disentanglement,
    returns="one number: the disentanglement score",
    probes=_importances,
    criteria=(
        agrees("1 − entropy of each unit's shares, weighted", 3.0),
        Criterion("an idle unit changes nothing", 1.0, _idle_unit),
        Criterion("1 at best, 0 at worst", 1.0, _ends_of_the_scale),
    ),
    misconceptions=(
        Misconception(
            "units_alike",
            "All units count alike here: weigh each by its share of the total "
            "importance, or a unit that hardly matters decides as much as the best.",
            _units_alike,
        ),
        Misconception(
            "all_units_alike",
            "All units count alike here, even idle ones, which score 1: weigh each by "
            "its share of the total importance.",
            _all_units_alike,
        ),
        Misconception(
            "completeness",
            "These are entropies along the units, which ask whether a factor needs one "
            "unit only: that score is called completeness.",
            completeness,
        ),
        Misconception(
            "natural_log",
            "The entropy is in nats: divide it by log F, so that a unit that matters "
            "alike for all F factors scores 0.",
            _natural_log,
        ),
        Misconception(
            "base_units",
            "The entropy is over F factors: its base is F, not the number of units.",
            _base_units,
        ),
        Misconception(
            "base_two",
            "The entropy is in bits: divide the one in nats by log F, so that a unit "
            "that matters alike for all F factors scores 0.",
            _base_two,
        ),
        Misconception(
            "plain_entropy",
            "This is the entropy itself, 0 for a perfect code: return 1 minus it.",
            _plain_entropy,
        ),
        Misconception(
            "nan_for_idle",
            "A unit that matters for nothing has a row of zeros, and 0/0 is NaN: such "
            "a unit must not count.",
            _nan_for_idle,
        ),
        Misconception(
            "shares_of_columns",
            "You divided each column by its sum: the shares of one *unit* add up to 1, "
            "so divide each row.",
            _shares_of_columns,
        ),
        Misconception(
            "shares_of_all",
            "You divided by the sum of the whole table: the shares of one *unit* add "
            "up to 1, so divide each row by its sum.",
            _shares_of_all,
        ),
        Misconception(
            "each_unit",
            "This is one score per unit: return their mean, weighted by importance.",
            _each_unit,
        ),
        Misconception(
            "sum_of_units",
            "The weights are importances that do not add up to 1: divide them by "
            "their sum.",
            _sum_of_units,
        ),
        Misconception(
            "largest_share",
            "This is the largest share: a unit that matters alike for F factors then "
            "scores 1/F instead of 0. Use the entropy.",
            _largest_share,
        ),
        Misconception(
            "gap_of_shares",
            "This is the gap between a unit's two best factors, which forgets the "
            "others: use the entropy of all shares.",
            _gap_of_shares,
        ),
    ),
    hints=(
        "First make every row a distribution over the factors. What if a row is all "
        "zeros?",
        "A row's score is 1 + Σ p log p / log F. torch.special.xlogy(p, p) is p log p, "
        "and 0 at p = 0. For a row of zeros divide by 1 instead of its sum.",
        "Weigh the rows' scores by importance.sum(1) / importance.sum(), and add up.",
    ),
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
    for arguments in trial.probes():
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

    for arguments in trial.probes():
        W, mean, covariance, _ = arguments
        W_new, mean_new, covariance_new = _turned(trial, arguments)
        trial.expect_close(W_new @ W_new.T, W @ W.T, "the covariance of x, W Wᵀ + σ²I")
        trial.expect_close(
            rate(mean_new, covariance_new), rate(mean, covariance), "the rate"
        )


def _decoder_kept(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    return W, mean @ Q, Q.T @ covariance @ Q


def _decoder_inverse(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    return W @ Q.T, mean @ Q, Q.T @ covariance @ Q


def _all_inverse(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    return W @ Q.T, mean @ Q.T, Q @ covariance @ Q.T


def _means_inverse(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    return W @ Q, mean @ Q.T, Q.T @ covariance @ Q


def _means_kept(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    return W @ Q, mean, Q.T @ covariance @ Q


def _covariance_kept(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    return W @ Q, mean @ Q, covariance


def _covariance_inverse(
    W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor
) -> Model:
    return W @ Q, mean @ Q, Q @ covariance @ Q.T


def _covariance_right(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    return W @ Q, mean @ Q, covariance @ Q


def _covariance_left(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    return W @ Q, mean @ Q, Q.T @ covariance


def _diagonal_kept(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    turned = Q.T @ covariance @ Q
    return W @ Q, mean @ Q, torch.diag(turned.diagonal())


def _covariance_and_means_kept(
    W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor
) -> Model:
    return W @ Q, mean, covariance


def _only_means(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    return W, mean @ Q, covariance


def _nothing(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    return W, mean, covariance


def _transposed_products(
    W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor
) -> Model:
    return W @ Q, mean @ Q, Q @ covariance @ Q


ROTATE_MODEL = Exercise(
    name="rotate_model",
    title="turn z, and turn the decoder back",
    reference=rotate_model,
    returns="three tensors: W (D, K), means (N, K), covariance (K, K), all rotated",
    probes=_models,
    criteria=(
        agrees("decoder, means and covariance in the new coordinates", 3.0),
        Criterion("the decoder draws what it drew before", 1.0, _same_pictures),
        Criterion("p(x) and the rate are as before", 1.0, _same_rate),
    ),
    misconceptions=(
        Misconception(
            "decoder_kept",
            "The codes were turned and the decoder was not: it now reads other codes "
            "and draws other pictures. It has to undo the turn.",
            _decoder_kept,
        ),
        Misconception(
            "decoder_inverse",
            "The decoder turns the wrong way: z' = z Q gives z = z' Qᵀ, and "
            "z Wᵀ = z' Qᵀ Wᵀ = z' (W Q)ᵀ.",
            _decoder_inverse,
        ),
        Misconception(
            "all_inverse",
            "All is consistent, but turned by Qᵀ: here z' = z Q, with codes as rows.",
            _all_inverse,
        ),
        Misconception(
            "means_inverse",
            "The means were turned by Qᵀ: here z' = z Q, with codes as rows.",
            _means_inverse,
        ),
        Misconception(
            "means_kept",
            "The means stayed where they were: they are codes, so they turn as well.",
            _means_kept,
        ),
        Misconception(
            "covariance_kept",
            "The covariance of q did not turn: with z' = z Q it is Qᵀ S Q.",
            _covariance_kept,
        ),
        Misconception(
            "covariance_inverse",
            "The covariance turned the wrong way: E[z'ᵀ z'] = Qᵀ E[zᵀ z] Q for rows.",
            _covariance_inverse,
        ),
        Misconception(
            "covariance_right",
            "A covariance is turned from both sides, Qᵀ S Q: yours is no longer "
            "symmetric.",
            _covariance_right,
        ),
        Misconception(
            "covariance_left",
            "A covariance is turned from both sides, Qᵀ S Q: yours is no longer "
            "symmetric.",
            _covariance_left,
        ),
        Misconception(
            "diagonal_kept",
            "You kept the diagonal of the turned covariance only: that is another q, "
            "with another rate. What it costs is the next section's question.",
            _diagonal_kept,
        ),
        Misconception(
            "covariance_and_means_kept",
            "Only the decoder turned: q still proposes the old codes, and the decoder "
            "draws other pictures from them.",
            _covariance_and_means_kept,
        ),
        Misconception(
            "only_means",
            "Only the means turned: the decoder has to undo the turn, and q's "
            "covariance turns with its mean.",
            _only_means,
        ),
        Misconception(
            "nothing",
            "Nothing turned: that keeps p(x) as well, but the codes should be z Q.",
            _nothing,
        ),
        Misconception(
            "transposed_products",
            "The covariance needs a transpose on one side, Qᵀ S Q: Q S Q is not "
            "symmetric.",
            _transposed_products,
        ),
    ),
    hints=(
        "Codes are rows: a code z becomes z Q. So which code did a z' come from? Q is "
        "orthogonal, its inverse is Qᵀ.",
        "The decoder must give z' what it gave z = z' Qᵀ: z Wᵀ = z' Qᵀ Wᵀ. Read off "
        "the new matrix: its transpose is Qᵀ Wᵀ.",
        "For rows, cov(z Q) = Qᵀ cov(z) Q. The decoder's matrix and the means are both "
        "multiplied by Q from the right.",
    ),
)

EXERCISES = (MUTUAL_INFORMATION, INFORMATION_GAP, DISENTANGLEMENT, ROTATE_MODEL)
