"""Exercises of lesson 10: a traversal, the gap of MIG, a rotation, labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.grading.criteria import (
    agrees,
    at_the_edges,
    gradients,
    normal,
    uniform,
)
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Trial
from course_utils.metrics.disentanglement import (
    information_gap,
    random_rotation,
)

WORDS = words_beside(__file__)


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


# --- traversal_codes ----------------------------------------------------------------


def traversal_codes(start: Tensor, latent: int, values: Tensor) -> Tensor:
    """Return copies of one code (1, K) with one latent set to each value: (V, K)."""
    z = start.repeat(len(values), 1)
    z[:, latent] = values
    return z


def _starts(generator: torch.Generator) -> list[Arguments]:
    """Codes far from 0, values that are not evenly spaced, a latent in the middle."""
    drawn: list[Arguments] = []
    for K, V, latent in ((5, 7, 2), (4, 6, 1)):
        start = 1 + normal(generator, 1, K)
        drawn.append((start, latent, 2 * normal(generator, V)))
    return drawn


def _hard_starts(generator: torch.Generator) -> dict[str, Arguments]:
    (start, _, values), _ = _starts(generator)
    return {
        "the last latent": (start, 4, values),
        "the first latent": (start, 0, values),
        "a single value": (start, 2, values[:1]),
        "a code of one latent": (start[:, :1], 0, values),
    }


def _one_latent_moves(trial: Trial) -> None:
    for start, latent, values in trial.inputs():
        got = trial.call(start, latent, values)
        want = trial.reference(start, latent, values)
        trial.expect_close(
            got[:, latent], values, f"latent {latent} down the rows takes the values"
        )
        others = [k for k in range(start.shape[1]) if k != latent]
        trial.expect_close(
            got[:, others], want[:, others], "the other latents stay where they were"
        )


def _each_row_its_value(trial: Trial) -> None:
    """Test that values in another order are rows in that order."""
    for start, latent, values in trial.inputs():
        before = trial.call(start, latent, values)
        trial.expect_close(
            before, trial.reference(start, latent, values), "before the reordering"
        )
        order = torch.randperm(len(values), generator=trial.generator)
        after = trial.call(start, latent, values[order])
        trial.expect_close(after, before[order], "after the values were reordered")


TRAVERSAL_CODES = declare(
    WORDS["traversal_codes"],
    traversal_codes,
    _starts,
    criteria=(
        agrees("one row a value, one latent changed", points=2.0),
        Criterion("only that latent moves", 1.0, _one_latent_moves),
        Criterion("each row has its own value", 1.0, _each_row_its_value),
        at_the_edges(_hard_starts, "any latent, one value, one latent alone"),
    ),
    steps={
        "copies": lambda start, values: start.repeat(len(values), 1),
        "mask": lambda start, latent: torch.arange(start.shape[1]) == latent,
        "answer": lambda copies, mask, values: torch.where(
            mask, values[:, None], copies
        ),
    },
    mistakes={
        "others_at_zero": instead(copies=lambda copies: torch.zeros_like(copies)),
        "added": lambda copies, mask, values: copies + mask * values[:, None],
        "all_latents": lambda copies, values: values[:, None].expand_as(copies),
        "all_latents_added": lambda copies, values: copies + values[:, None],
        "next_latent": instead(latent=lambda latent: latent + 1),
        "latent_before": instead(latent=lambda latent: latent - 1),
        "all_but_one": instead(mask=lambda mask: ~mask),
        "multiplied": lambda copies, mask, values: torch.where(
            mask, copies * values[:, None], copies
        ),
        "evenly_spaced": instead(
            values=lambda values: torch.linspace(-2, 2, len(values)).to(values)
        ),
        "from_least_to_most": instead(values=lambda values: values.sort().values),
        "backwards": instead(values=lambda values: values.flip(0)),
        "turned": lambda copies, mask, values: (
            torch.where(mask, values[:, None], copies).T
        ),
        "nothing_changed": lambda copies: copies,
        "only_the_value": lambda values: values[:, None],
        "start_first": lambda start, copies, mask, values: torch.cat(
            [start, torch.where(mask, values[:, None], copies)]
        ),
    },
)


# --- factor_loss --------------------------------------------------------------------


def factor_loss(mu: Tensor, told: Tensor, known: Tensor) -> Tensor:
    """½ squared distance of the first means to the factors, where these are known.

    Shapes: mu (N, K), told (N, M), known (N,), 1 for a labelled picture, else 0. The
    mean over the labelled pictures, or 0 if there is none.
    """
    error = 0.5 * ((mu[:, : told.shape[1]] - told) ** 2).sum(1)
    return (known * error).sum() / known.sum().clamp(min=1)


def _labelled(generator: torch.Generator) -> list[Arguments]:
    """More latents than factors; some pictures without labels, whose row is junk."""
    drawn: list[Arguments] = []
    for N, K, M, count in ((7, 5, 3, 4), (9, 6, 2, 5)):
        known = torch.zeros(N, dtype=torch.float64)
        known[torch.randperm(N, generator=generator)[:count]] = 1
        mu, told = 2 * normal(generator, N, K), normal(generator, N, M)
        drawn.append((mu, told, known))
    return drawn


def _without_labels(generator: torch.Generator) -> list[Arguments]:
    (mu, told, known), _ = _labelled(generator)
    return [(mu, told, torch.zeros_like(known))]


def _hard_labelled(generator: torch.Generator) -> dict[str, Arguments]:
    (mu, told, known), _ = _labelled(generator)
    one = torch.zeros_like(known)
    one[3] = 1
    return {
        "a batch without any label (its loss is 0)": _without_labels(generator)[0],
        "one labelled picture": (mu, told, one),
        "all pictures labelled": (mu, told, torch.ones_like(known)),
        "as many factors as latents": (mu[:, :3], told, known),
        "a single factor": (mu, told[:, :1], known),
    }


def _labels_of_others(trial: Trial) -> None:
    """Test that what stands where nothing is known does not matter."""
    for mu, told, known in trial.inputs():
        other = told + 5 * normal(trial.generator, *told.shape) * (1 - known)[:, None]
        before = trial.call(mu, told, known)
        trial.expect_close(before, trial.reference(mu, told, known), "the loss")
        trial.expect_close(
            trial.call(mu, other, known),
            before,
            "with other numbers where no label is known",
        )


FACTOR_LOSS = declare(
    WORDS["factor_loss"],
    factor_loss,
    _labelled,
    criteria=(
        agrees("½ squared distance, a mean over labelled pictures", points=2.0),
        Criterion("rows without a label do not matter", 1.0, _labels_of_others),
        gradients("the encoder can be trained through it"),
        at_the_edges(_hard_labelled, "no label at all, one, or all"),
    ),
    gradients=(0,),
    edges=_without_labels,
    steps={
        "M": lambda told: told.shape[1],
        "own": lambda mu, M: mu[:, :M],
        "distance": lambda own, told: own - told,
        "square": lambda distance: distance**2,
        "error": lambda square: 0.5 * square.sum(1),
        "count": lambda known: known.sum().clamp(min=1),
        "answer": lambda known, error, count: (known * error).sum() / count,
    },
    mistakes={
        "without_half": instead(error=lambda square: square.sum(1)),
        "mean_over_all": instead(count=lambda known: len(known)),
        "summed": instead(count=lambda: 1),
        "labels_ignored": instead(known=lambda known: torch.ones_like(known)),
        "unlabelled_instead": instead(known=lambda known: 1 - known),
        "mean_over_factors": instead(error=lambda square: 0.5 * square.mean(1)),
        "last_latents": instead(own=lambda mu, M: mu[:, -M:]),
        "unknown_as_zero": lambda own, told, known, count: (
            0.5 * ((own - told * known[:, None]) ** 2).sum() / count
        ),
        "all_masked_to_zero": lambda mu, told, known, M, count: (
            0.5 * ((mu[:, :M] * known[:, None]) ** 2).sum() / count
        ),
        "absolute": instead(square=lambda distance: distance.abs()),
        "root": instead(error=lambda square: 0.5 * square.sum(1).sqrt()),
        "nan_without_labels": instead(count=lambda known: known.sum()),
        "each_picture": lambda known, error: known * error,
        "no_gradient": lambda answer: answer.detach(),
        "one_latent": instead(
            own=lambda mu: mu[:, :1], distance=lambda own, told: own - told
        ),
        "flipped": lambda answer: -answer,
        "count_of_numbers": instead(
            count=lambda known, M: (known.sum() * M).clamp(min=1)
        ),
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

EXERCISES = (
    TRAVERSAL_CODES,
    INFORMATION_GAP,
    ROTATE_MODEL,
    FACTOR_LOSS,
)
