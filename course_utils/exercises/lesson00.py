"""Exercise of lesson 00: the squared error, to meet the check."""

from __future__ import annotations

import torch

from course_utils import objectives
from course_utils.exercises.base import (
    Arguments,
    Criterion,
    Exercise,
    Misconception,
    Refused,
    Trial,
    agrees,
    difference,
)


def _probes(generator: torch.Generator) -> list[Arguments]:
    def draw(N: int, D: int) -> Arguments:
        return tuple(
            torch.randn(N, D, generator=generator, dtype=torch.float64)
            for _ in range(2)
        )

    return [draw(7, 5), draw(4, 11)]


def _perfect(trial: Trial) -> None:
    x, x_hat = trial.probes()[0]
    if not float(trial.call(x, x_hat)) > 0:
        raise Refused("for x_hat ≠ x the error must be positive.")
    zero = torch.zeros((), dtype=x.dtype)
    trial.expect_close(trial.call(x, x.clone()), zero, "for x_hat = x")


def _repeated(trial: Trial) -> None:
    (x, x_hat), (other, other_hat) = trial.probes()
    once, twice = trial.call(x, x_hat), trial.call(x.repeat(2, 1), x_hat.repeat(2, 1))
    if difference(once, trial.call(other, other_hat)) < 1e-6:
        raise Refused("the same value for different data: it must depend on them.")
    what = "the same examples twice over must give the same mean"
    trial.expect_close(twice, once, what)


SQUARED_ERROR = Exercise(
    name="squared_error",
    title="sum over pixels, mean over examples",
    reference=objectives.squared_error,
    returns="one number, the mean over the batch",
    probes=_probes,
    criteria=(
        agrees("sums the squared differences over the D pixels", 3.0),
        Criterion("is a mean over the batch", 1.0, _repeated),
        Criterion("is zero for a perfect reconstruction only", 1.0, _perfect),
    ),
    misconceptions=(
        Misconception(
            "mean_over_everything",
            "You average over the pixels as well (or use mse_loss, whose default "
            "does). "
            "The course sums over the D pixels and averages over the N examples: your "
            "value is D times too small.",
            lambda x, x_hat: ((x - x_hat) ** 2).mean(),
        ),
        Misconception(
            "sum_over_everything",
            "You sum over the batch as well. Sum over the pixels, then take the mean "
            "over "
            "the examples: your value grows with the size of the batch.",
            lambda x, x_hat: ((x - x_hat) ** 2).sum(),
        ),
        Misconception(
            "axes_swapped",
            "You average over the pixels and sum over the examples: dim 0 is the "
            "batch, "
            "dim 1 the pixels. Sum over dim 1, then average.",
            lambda x, x_hat: ((x - x_hat) ** 2).sum(0).mean(),
        ),
        Misconception(
            "absolute",
            "You take the absolute difference. The squared error squares it.",
            lambda x, x_hat: (x - x_hat).abs().sum(1).mean(),
        ),
        Misconception(
            "root",
            "You take a square root: that is the Euclidean distance, averaged. The "
            "squared error stays squared.",
            lambda x, x_hat: (x - x_hat).norm(dim=1).mean(),
        ),
        Misconception(
            "root_of_the_mean",
            "You take a square root at the end. The squared error stays squared.",
            lambda x, x_hat: ((x - x_hat) ** 2).sum(1).mean().sqrt(),
        ),
        Misconception(
            "root_of_the_mean_of_everything",
            "You average over the pixels as well, and take a square root at the end "
            "(the "
            "RMSE). Sum over the D pixels, average over the N examples, no root.",
            lambda x, x_hat: ((x - x_hat) ** 2).mean().sqrt(),
        ),
        Misconception(
            "square_of_the_sum",
            "You square after summing, so that errors of opposite sign cancel. Square "
            "each difference first.",
            lambda x, x_hat: ((x - x_hat).sum(1) ** 2).mean(),
        ),
        Misconception(
            "one_half",
            "You have a factor ½ in front. It belongs to a Gaussian log-likelihood, "
            "which comes later; the squared error itself has none.",
            lambda x, x_hat: 0.5 * ((x - x_hat) ** 2).sum(1).mean(),
        ),
    ),
    hints=(
        "Two axes, two different treatments: which one counts examples, which one "
        "pixels?",
        "Square the difference, sum over dim 1 (the D pixels): one number per example.",
        "((x - x_hat) ** 2).sum(1) has shape (N,); its mean is the answer.",
    ),
)

EXERCISES = (SQUARED_ERROR,)
