"""Exercise of lesson 00: the squared error, to meet the check."""

from __future__ import annotations

import torch

from course_utils import objectives
from course_utils.grading.criteria import agrees, normal
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.grading.values import difference

WORDS = words_beside(__file__)


def _inputs(generator: torch.Generator) -> list[Arguments]:
    sizes = ((7, 5), (4, 11))
    return [(normal(generator, *size), normal(generator, *size)) for size in sizes]


def _perfect(trial: Trial) -> None:
    x, x_hat = trial.inputs()[0]
    if not float(trial.call(x, x_hat)) > 0:
        raise Refused("for x_hat ≠ x the error must be positive.")
    zero = torch.zeros((), dtype=x.dtype)
    trial.expect_close(trial.call(x, x.clone()), zero, "for x_hat = x")


def _repeated(trial: Trial) -> None:
    (x, x_hat), (other, other_hat) = trial.inputs()
    once, twice = trial.call(x, x_hat), trial.call(x.repeat(2, 1), x_hat.repeat(2, 1))
    if difference(once, trial.call(other, other_hat)) < 1e-6:
        raise Refused("the same value for different data: it must depend on them.")
    what = "the same examples twice over must give the same mean"
    trial.expect_close(twice, once, what)


SQUARED_ERROR = declare(
    WORDS["squared_error"],
    objectives.squared_error,
    _inputs,
    criteria=(
        agrees("sums the squared differences over the D pixels", 3.0),
        Criterion("is a mean over the batch", 1.0, _repeated),
        Criterion("is zero for a perfect reconstruction only", 1.0, _perfect),
    ),
    steps={
        "gap": lambda x, x_hat: x - x_hat,
        "square": lambda gap: gap**2,
        "errors": lambda square: square.sum(1),
        "answer": lambda errors: errors.mean(),
    },
    mistakes={
        "mean_over_everything": lambda square: square.mean(),
        "sum_over_everything": lambda square: square.sum(),
        "axes_swapped": lambda square: square.sum(0).mean(),
        "absolute": instead(square=lambda gap: gap.abs()),
        "root": instead(errors=lambda errors: errors.sqrt()),
        "root_of_the_mean": lambda answer: answer.sqrt(),
        "root_of_the_mean_of_everything": lambda square: square.mean().sqrt(),
        "square_of_the_sum": instead(errors=lambda gap: gap.sum(1) ** 2),
        "one_half": lambda answer: 0.5 * answer,
    },
)

EXERCISES = (SQUARED_ERROR,)
