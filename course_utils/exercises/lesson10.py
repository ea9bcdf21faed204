"""Exercises of lesson 10: information, its gap, DCI's disentanglement, a rotation."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.special import xlogy

from course_utils.grading.criteria import at_the_edges, normal, uniform
from course_utils.grading.declare import declare, instead, words_beside
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


# --- mutual_information -------------------------------------------------------------


def _tables(generator: torch.Generator) -> list[Arguments]:
    """Probabilities without a zero, and counts with some; A is never B."""
    full = uniform(generator, 3, 5) + 0.05
    full[0, 0] += 2
    counts = torch.randint(1, 20, (6, 4), generator=generator).double()
    counts[1, 2] = counts[5, 0] = counts[3, 3] = 0
    counts[2, 1] += 60
    return [(full / full.sum(),), (counts,)]


def _hard_tables(generator: torch.Generator) -> dict[str, Arguments]:
    (table,), (counts,) = _tables(generator)
    gaps = counts.clone()
    gaps[2], gaps[:, 1] = 0, 0
    rare = torch.tensor([[1e6, 0.0], [0.0, 1.0]], dtype=torch.float64)
    return {
        "an empty row and an empty column (a level that never occurs)": (gaps,),
        "a table of one row": (table[:1],),
        "counts of many millions": (1e6 * counts,),
        "one pair that occurs once beside a million": (rare,),
    }


def _information_is_right(trial: Trial) -> None:
    for place, (table,) in enumerate(trial.inputs()):
        p = table / table.sum()
        parts = _entropy(p.sum(1)), _entropy(p.sum(0)), _entropy(p)
        kind = "counts, some of them 0" if place else "probabilities"
        trial.expect_close(
            trial.call(table),
            trial.reference(table),
            "a table of {} where H(a) = {:.4f}, H(b) = {:.4f} and H(a, b) = {:.4f}; "
            "the information".format(kind, *map(float, parts)),
        )


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
        trial.expect_close(
            trial.call(torch.diag(counts)[:, order]),
            float(_entropy(counts / counts.sum())),
            "where one variable is a renaming of the other, the information is the "
            "entropy",
        )


def _entropy(p: Tensor) -> Tensor:
    return -xlogy(p, p).sum()


MUTUAL_INFORMATION = declare(
    WORDS["mutual_information"],
    mutual_information,
    _tables,
    criteria=(
        Criterion(
            "the mutual information of a table, in nats", 2.0, _information_is_right
        ),
        Criterion("0 for unrelated variables", 1.0, _zero_if_independent),
        Criterion("the entropy for a renaming", 1.0, _entropy_if_one_to_one),
        at_the_edges(_hard_tables, "levels that never occur, and any counts"),
    ),
    steps={
        "p": lambda joint: joint / joint.sum(),
        "rows": lambda p: p.sum(1, keepdim=True),
        "columns": lambda p: p.sum(0),
        "product": lambda rows, columns: rows * columns,
        "ratio": lambda p, product: p / product,
        "terms": lambda p, ratio: xlogy(p, ratio),
        "answer": lambda terms: terms.sum(),
        "of_a": lambda rows: _entropy(rows),
        "of_b": lambda columns: _entropy(columns),
        "of_both": lambda p: _entropy(p),
    },
    mistakes={
        "nan_at_zero": instead(terms=lambda p, ratio: p * ratio.log()),
        "not_normalised": instead(p=lambda joint: joint),
        "bits": lambda answer: answer / math.log(2),
        "joint_entropy": _entropy,
        "flipped": lambda answer: -answer,
        "mean_of_cells": lambda terms: terms.mean(),
        "given_columns": instead(product=lambda columns: columns),
        "given_rows": instead(product=lambda rows: rows),
        "unweighted": lambda p, ratio: ratio[p > 0].log().sum(),
        "other_direction": lambda product, ratio: -(product * ratio.log()).sum(),
        "share_of_entropy": lambda answer, columns: answer / _entropy(columns),
        "share_of_row_entropy": lambda answer, rows: answer / _entropy(rows),
        "product_weighted": instead(
            terms=lambda product, ratio: xlogy(product * (ratio > 0), ratio)
        ),
        "other_direction_where_met": lambda p, product, ratio: (
            -(product * ratio.log())[p > 0].sum()
        ),
        "entropy_of_rows": lambda of_a: of_a,
        "entropy_of_columns": lambda of_b: of_b,
        "conditional_entropy": lambda of_both, of_a: of_both - of_a,
        "conditional_entropy_of_rows": lambda of_both, of_b: of_both - of_b,
        "joint_less_information": lambda of_both, of_a, of_b: 2 * of_both - of_a - of_b,
        "margins_alone": lambda of_a, of_b: of_a + of_b,
        "joint_added": lambda of_a, of_b, of_both: of_a + of_b + of_both,
        "share_of_joint_entropy": lambda answer, of_both: answer / of_both,
        "share_of_smaller": lambda answer, of_a, of_b: answer / min(of_a, of_b),
        "share_of_larger": lambda answer, of_a, of_b: answer / max(of_a, of_b),
        "share_of_mean": lambda answer, of_a, of_b: 2 * answer / (of_a + of_b),
        "share_of_geometric_mean": lambda answer, of_a, of_b: (
            answer / (of_a * of_b) ** 0.5
        ),
        "smoothed": instead(joint=lambda joint: joint + 1),
        "rows_normalised": instead(p=lambda joint: joint / joint.sum(1, keepdim=True)),
        "columns_normalised": instead(p=lambda joint: joint / joint.sum(0)),
        "margins_averaged": instead(
            rows=lambda p: p.mean(1, keepdim=True), columns=lambda p: p.mean(0)
        ),
        "mean_of_met_cells": lambda terms, p: terms[p > 0].mean(),
        "sizes_of_terms": lambda terms: terms.abs().sum(),
        "positive_terms": lambda terms: terms.clamp(min=0).sum(),
        "chi_square": lambda p, product: ((p - product) ** 2 / product).sum(),
        "without_log": lambda p, ratio: (p * ratio).sum(),
        "bias_taken_off": lambda answer, joint: (
            answer - (len(joint) - 1) * (joint.shape[1] - 1) / (2 * joint.sum())
        ),
        "ratio_of_counts": instead(
            ratio=lambda joint: joint / (joint.sum(1, keepdim=True) * joint.sum(0))
        ),
        "margins_added": instead(product=lambda rows, columns: rows + columns),
        "cells_averaged_of_counts": lambda joint: xlogy(
            joint, joint / (joint.sum(1, keepdim=True) * joint.sum(0))
        ).mean(),
        "each_row": lambda terms: terms.sum(1),
        "each_cell": lambda terms: terms,
    },
)


# --- information_gap ----------------------------------------------------------------


def _informations(generator: torch.Generator) -> list[Arguments]:
    """More units than factors, and fewer; entropies all different."""
    drawn: list[Arguments] = []
    for units, factors in ((5, 3), (4, 6)):
        entropy = 0.8 + 3 * uniform(generator, factors)
        information = entropy * (0.05 + 0.9 * uniform(generator, units, factors))
        drawn.append((information, entropy))
    return drawn


def _with_copies(generator: torch.Generator) -> list[Arguments]:
    """Draw a table in which two units know alike of the first factor, and the most."""
    (information, entropy), _ = _informations(generator)
    information[1, 0] = information[3, 0] = information[:, 0].max()
    return [(information, entropy)]


def _hard_informations(generator: torch.Generator) -> dict[str, Arguments]:
    (information, entropy), _ = _informations(generator)
    unknown = information.clone()
    unknown[:, 1] = 0
    return {
        "two units that know exactly alike": _with_copies(generator)[0],
        "a single factor": (information[:, :1], entropy[:1]),
        "only two units": (information[:2], entropy),
        "a factor of which no unit knows anything": (unknown, entropy),
    }


def _gaps_are_right(trial: Trial) -> None:
    for information, entropy in trial.inputs():
        got = trial.call(information, entropy)
        want = trial.reference(information, entropy)
        worst = int((got - want).abs().argmax())
        told = ", ".join(f"{one:.3f}" for one in information[:, worst].tolist())
        trial.expect_close(
            got,
            want,
            f"where the units tell {told} nats of a factor with entropy "
            f"{float(entropy[worst]):.3f}; its gap",
        )


def _units_have_no_order(trial: Trial) -> None:
    for information, entropy in trial.inputs():
        before = trial.call(information, entropy)
        right = trial.reference(information, entropy)
        what = "before the units were put into another order"
        trial.expect_close(before, right, what)
        order = torch.randperm(len(information), generator=trial.generator)
        after = trial.call(information[order], entropy)
        trial.expect_close(after, before, "after the units were reordered")


def _one_and_zero(trial: Trial) -> None:
    """1 where one unit tells all of a factor, 0 where two units tell it alike."""
    for information, entropy in trial.inputs():
        places = torch.arange(3)
        table = torch.zeros_like(information)
        table[places, places] = entropy[:3]
        got = trial.call(table, entropy)[:3]
        trial.expect_close(got, torch.ones_like(got), "one unit tells the factor")
        table[3, :3] = entropy[:3]
        got = trial.call(table, entropy)[:3]
        trial.expect_close(got, torch.zeros_like(got), "two units tell it alike")


INFORMATION_GAP = declare(
    WORDS["information_gap"],
    information_gap,
    _informations,
    criteria=(
        Criterion(
            "best unit minus second best, as a share of the entropy",
            2.0,
            _gaps_are_right,
        ),
        Criterion("the order of the units plays no role", 1.0, _units_have_no_order),
        Criterion("1 for one unit alone, 0 for two alike", 1.0, _one_and_zero),
        at_the_edges(_hard_informations, "ties, one factor, nothing known"),
    ),
    edges=_with_copies,
    steps={
        "ordered": lambda information: information.sort(0, descending=True).values,
        "first": lambda ordered: ordered[0],
        "second": lambda ordered: ordered[1],
        "gap": lambda first, second: first - second,
        "answer": lambda gap, entropy: gap / entropy,
    },
    mistakes={
        "sorted_along_factors": instead(
            ordered=lambda information: information.sort(1, descending=True).values
        ),
        "sorted_ascending": instead(
            ordered=lambda information: information.sort(0).values
        ),
        "sorted_ascending_turned": lambda information, entropy: (
            information.sort(0).values[:2].diff(dim=0)[0] / entropy
        ),
        "not_sorted": instead(ordered=lambda information: information),
        "per_unit": instead(
            information=lambda information: information.T, answer=lambda gap: gap
        ),
        "per_unit_share": instead(
            information=lambda information, entropy: (information / entropy).T,
            answer=lambda gap: gap,
        ),
        "in_nats": lambda gap: gap,
        "of_the_best": lambda gap, first: gap / first,
        "averaged": lambda answer: answer.mean(),
        "ratio": lambda first, second: second / first,
        "others_averaged": instead(second=lambda ordered: ordered[1:].mean(0)),
        "others_summed": instead(second=lambda ordered: ordered[1:].sum(0)),
        "best_alone": instead(second=lambda: 0),
        "against_worst": instead(second=lambda ordered: ordered[-1]),
        "same_units": instead(
            ordered=lambda information: information[
                information.sum(1).argsort(descending=True)
            ]
        ),
        "one_entropy": instead(entropy=lambda entropy: entropy.max()),
        "mean_entropy": instead(entropy=lambda entropy: entropy.mean()),
        "flipped": lambda answer: -answer,
        # Both stop with an error of shapes; the first compares units, not factors.
        "sorted_along_factors_in_columns": instead(
            ordered=lambda information: information.topk(2, dim=1).values.T
        ),
        "sorted_along_factors_in_rows": instead(
            ordered=lambda information: information.topk(2, dim=1).values
        ),
        "against_third": instead(second=lambda ordered: ordered[2]),
        "against_mean": instead(second=lambda ordered: ordered.mean(0)),
        "ties_merged": instead(
            second=lambda information: torch.stack(
                [column.unique()[-2] for column in information.T]
            )
        ),
        "of_both": lambda gap, first, second: gap / (first + second),
        "of_all": lambda gap, information: gap / information.sum(0),
        "second_not_scaled": lambda first, second, entropy: first / entropy - second,
        "share_of_best": lambda first, information: first / information.sum(0),
        "second_and_third": lambda second, ordered, entropy: (
            (second - ordered[2]) / entropy
        ),
        "spread": lambda information, entropy: information.std(0) / entropy,
        "log_units": lambda gap, information: gap / math.log(len(information)),
        "log_factors": lambda gap, entropy: gap / math.log(len(entropy)),
        "sum_of_entropies": lambda gap, entropy: gap / entropy.sum(),
        "times_entropy": lambda gap, entropy: gap * entropy,
        "second_alone": lambda second, entropy: second / entropy,
        "best_of_all": lambda information, entropy: (
            information.flatten().topk(2).values.diff().neg() / entropy
        ),
        "units_normalised": instead(
            information=lambda information: (
                information / information.sum(1, keepdim=True)
            )
        ),
    },
)


# --- disentanglement ----------------------------------------------------------------


def _importances(generator: torch.Generator) -> list[Arguments]:
    """Units of very different weight; in the second table one matters for nothing."""
    drawn: list[Arguments] = []
    for units, factors in ((5, 3), (4, 6)):
        weight = 0.2 + 3 * uniform(generator, units, 1)
        table = weight * uniform(generator, units, factors) ** 3 + 0.01
        drawn.append((table,))
    drawn[1][0][2] = 0
    return drawn


def _with_zeros(generator: torch.Generator) -> list[Arguments]:
    """Draw a table in which each unit is of no use for one factor, none for all."""
    (table,), _ = _importances(generator)
    table[torch.arange(5), torch.arange(5) % 3] = 0
    return [(table,)]


def _hard_importances(generator: torch.Generator) -> dict[str, Arguments]:
    (table,), _ = _importances(generator)
    alone = torch.zeros_like(table)
    alone[1] = table[1]
    return {
        "units of no use at all for some factor (0 · log 0 is 0)": (
            _with_zeros(generator)[0]
        ),
        "one unit that matters, beside idle ones": (alone,),
        "importances near 1e-5 (only their shares count)": (1e-5 * table,),
        "importances near 1e5 (only their shares count)": (1e5 * table,),
        "two units and two factors": (table[:2, :2],),
    }


def _score_is_right(trial: Trial) -> None:
    for (table,) in trial.inputs():
        used = table[table.sum(1) > 0]
        p = used / used.sum(1, keepdim=True)
        scores = 1 + xlogy(p, p).sum(1) / math.log(p.shape[1])
        said = ", ".join(f"{one:.3f}" for one in scores.tolist())
        weights = ", ".join(f"{one:.3f}" for one in used.sum(1).tolist())
        trial.expect_close(
            trial.call(table),
            trial.reference(table),
            f"units with d = {said} and the row sums {weights}; the score",
        )


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
        weight = 0.5 + uniform(generator, units)
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


def _shares(values: Tensor, dim: int = 1) -> Tensor:
    sums = values.sum(dim, keepdim=True)
    return values / sums.where(sums > 0, 1)


def _evenness(p: Tensor) -> Tensor:
    """Entropy of shares, 1 where all are alike."""
    return _entropy(p) / math.log(len(p))


DISENTANGLEMENT = declare(
    WORDS["disentanglement"],
    disentanglement,
    _importances,
    criteria=(
        Criterion("1 − entropy of each unit's shares, weighted", 2.0, _score_is_right),
        Criterion("an idle unit changes nothing", 1.0, _idle_unit),
        Criterion("1 at best, 0 at worst", 1.0, _ends_of_the_scale),
        at_the_edges(_hard_importances, "shares of 0, idle units, any scale"),
    ),
    edges=_with_zeros,
    steps={
        "sums": lambda importance: importance.sum(1),
        "divisor": lambda sums: sums.where(sums > 0, 1),
        "p": lambda importance, divisor: importance / divisor[:, None],
        "first": lambda p: p.amax(1),
        "second": lambda p: p.topk(2).values[:, 1],
        "base": lambda p: p.shape[1],
        "scores": lambda p, base: 1 + xlogy(p, p).sum(1) / math.log(base),
        "weights": lambda sums: sums / sums.sum(),
        "answer": lambda weights, scores: (weights * scores).sum(),
    },
    mistakes={
        "units_alike": lambda scores, sums: scores[sums > 0].mean(),
        "all_units_alike": lambda scores: scores.mean(),
        "completeness": completeness,
        "natural_log": instead(base=lambda: math.e),
        "base_units": instead(base=lambda p: len(p)),
        "base_two": instead(base=lambda: 2),
        "plain_entropy": lambda answer: 1 - answer,
        "nan_for_idle": instead(divisor=lambda sums: sums),
        "shares_of_columns": instead(
            p=lambda importance: importance / importance.sum(0)
        ),
        "shares_of_all": instead(p=lambda importance: importance / importance.sum()),
        "each_unit": lambda scores: scores,
        "sum_of_units": instead(weights=lambda sums: sums),
        "largest_share": instead(scores=lambda first: first),
        "gap_of_shares": instead(scores=lambda first, second: first - second),
        "transposed": lambda importance: disentanglement(importance.T),
        "entropy_added": lambda answer: 2 - answer,
        "nan_at_zero": instead(
            scores=lambda p, base: 1 + (p * p.log()).sum(1) / math.log(base)
        ),
        "softmax": instead(p=lambda importance: importance.softmax(1)),
        "squared_shares": instead(p=lambda p: _shares(p**2)),
        "base_of_used": instead(
            scores=lambda p: (
                1 + xlogy(p, p).sum(1) / (p > 0).sum(1).clamp(min=2).to(p).log()
            )
        ),
        "weighted_by_largest": instead(
            weights=lambda importance: _shares(importance.amax(1), 0)
        ),
        "idle_as_even": instead(
            importance=lambda importance: importance.where(
                importance.sum(1, keepdim=True) > 0, 1.0
            )
        ),
        "of_column_sums": lambda importance: (
            1 - _evenness(_shares(importance.sum(0), 0))
        ),
        "of_row_sums": lambda importance: 1 - _evenness(_shares(importance.sum(1), 0)),
        "entropy_averaged": instead(
            scores=lambda p, base: 1 + xlogy(p, p).mean(1) / math.log(base)
        ),
        "base_less_one": instead(
            scores=lambda p, base: 1 + xlogy(p, p).sum(1) / math.log(base - 1)
        ),
        "entropy_of_table": lambda importance: (
            1 - _evenness(importance.flatten() / importance.sum())
        ),
        "largest_less_mean": instead(scores=lambda p, first: first - p.mean(1)),
        "impurity": instead(scores=lambda p: (p**2).sum(1)),
        "scores_summed": lambda scores: scores.sum(),
        "best_unit": lambda scores: scores.max(),
        "divided_by_units": lambda answer, p: answer / len(p),
    },
)


# --- rotate_model -------------------------------------------------------------------

Model = tuple[Tensor, Tensor, Tensor]


def rotate_model(W: Tensor, mean: Tensor, covariance: Tensor, Q: Tensor) -> Model:
    """Return decoder (D, K), means (N, K), covariance (K, K) in coordinates z Q."""
    return W @ Q, mean @ Q, Q.T @ covariance @ Q


def _models(generator: torch.Generator) -> list[Arguments]:
    """Rotations that are not symmetric, covariances that are not round."""
    drawn: list[Arguments] = []
    for N, D, K in ((5, 7, 3), (6, 9, 4)):
        root = 0.4 * normal(generator, K, K)
        covariance = root @ root.T + torch.diag(0.2 + uniform(generator, K))
        W, mean = normal(generator, D, K), normal(generator, N, K)
        drawn.append((W, mean, covariance, random_rotation(K, generator)))
    return drawn


def _hard_models(generator: torch.Generator) -> dict[str, Arguments]:
    (W, mean, covariance, Q), _ = _models(generator)
    one, round_one = torch.ones(1, 1).to(W), torch.eye(3).to(W)
    return {
        "one example": (W, mean[:1], covariance, Q),
        "fewer dimensions than latents": (W[:2], mean, covariance, Q),
        "one latent, flipped": (W[:, :1], mean[:, :1], 0.3 * one, -one),
        "a covariance that is round": (W, mean, round_one, Q),
    }


PARTS = (
    "the new decoder, which gives z Q the pixels that W gave z",
    "the new means, z Q",
    "the new covariance, turned from both sides",
)


def _three_parts(trial: Trial) -> None:
    for arguments in trial.inputs():
        got, want = trial.call(*arguments), trial.reference(*arguments)
        for said, one, other in zip(PARTS, got, want, strict=True):
            trial.expect_close(one, other, said)


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


ROTATE_MODEL = declare(
    WORDS["rotate_model"],
    rotate_model,
    _models,
    criteria=(
        Criterion(
            "decoder, means and covariance in the new coordinates", 2.0, _three_parts
        ),
        Criterion("the decoder draws what it drew before", 1.0, _same_pictures),
        Criterion("p(x) and the rate are as before", 1.0, _same_rate),
        at_the_edges(_hard_models, "one example, one latent, few dimensions"),
    ),
    steps={
        "decoder": lambda W, Q: W @ Q,
        "means": lambda mean, Q: mean @ Q,
        "turned": lambda covariance, Q: Q.T @ covariance @ Q,
        "answer": lambda decoder, means, turned: (decoder, means, turned),
    },
    mistakes={
        "decoder_kept": instead(decoder=lambda W: W),
        "decoder_inverse": instead(decoder=lambda W, Q: W @ Q.T),
        "all_inverse": instead(Q=lambda Q: Q.T),
        "means_inverse": instead(means=lambda mean, Q: mean @ Q.T),
        "means_kept": instead(means=lambda mean: mean),
        "covariance_kept": instead(turned=lambda covariance: covariance),
        "covariance_inverse": instead(
            turned=lambda covariance, Q: Q @ covariance @ Q.T
        ),
        "covariance_right": instead(turned=lambda covariance, Q: covariance @ Q),
        "covariance_left": instead(turned=lambda covariance, Q: Q.T @ covariance),
        "diagonal_kept": instead(turned=lambda turned: turned.diagonal().diag()),
        "covariance_and_means_kept": instead(
            means=lambda mean: mean, turned=lambda covariance: covariance
        ),
        "only_means": instead(
            decoder=lambda W: W, turned=lambda covariance: covariance
        ),
        "nothing": lambda W, mean, covariance: (W, mean, covariance),
        "transposed_products": instead(turned=lambda covariance, Q: Q @ covariance @ Q),
        "transposed_both": instead(turned=lambda covariance, Q: Q.T @ covariance @ Q.T),
        "covariance_right_inverse": instead(
            turned=lambda covariance, Q: covariance @ Q.T
        ),
        "covariance_left_inverse": instead(turned=lambda covariance, Q: Q @ covariance),
        "variances_mixed": instead(
            turned=lambda covariance, Q: (covariance.diagonal() @ Q**2).diag()
        ),
        "diagonal_turned": instead(
            turned=lambda covariance, Q: Q.T @ covariance.diagonal().diag() @ Q
        ),
        "root_for_covariance": instead(
            turned=lambda covariance, Q: torch.linalg.cholesky(covariance) @ Q
        ),
        "precision": instead(turned=lambda turned: turned.inverse()),
        "elementwise": instead(turned=lambda covariance, Q: Q * covariance * Q),
        "decoder_twice": instead(decoder=lambda decoder, Q: decoder @ Q),
        "means_twice": instead(means=lambda means, Q: means @ Q),
        "own_axes": instead(
            Q=lambda covariance: torch.linalg.eigh(covariance).eigenvectors
        ),
        "decoder_transposed": instead(decoder=lambda decoder: decoder.T),
        "means_and_covariance_inverse": instead(
            means=lambda mean, Q: mean @ Q.T,
            turned=lambda covariance, Q: Q @ covariance @ Q.T,
        ),
        "covariance_forgotten": instead(turned=lambda Q: Q.T @ Q),
        "decoder_and_covariance_inverse": instead(
            decoder=lambda W, Q: W @ Q.T,
            turned=lambda covariance, Q: Q @ covariance @ Q.T,
        ),
    },
)

EXERCISES = (MUTUAL_INFORMATION, INFORMATION_GAP, DISENTANGLEMENT, ROTATE_MODEL)
