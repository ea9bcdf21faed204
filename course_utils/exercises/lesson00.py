"""Exercise of lesson 00: the squared error, to meet the check."""

from __future__ import annotations

import torch
from torch.nn.functional import smooth_l1_loss

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


def _edges(generator: torch.Generator) -> list[Arguments]:
    """One example, one pixel, and examples that are copied exactly."""
    x, x_hat = normal(generator, 3, 4), normal(generator, 3, 4)
    x_hat[1] = x[1]
    one = [
        (normal(generator, *size), normal(generator, *size))
        for size in ((1, 5), (6, 1))
    ]
    return [*one, (x, x_hat)]


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
        agrees("sums the squared differences over the D pixels", 2.0),
        agrees("holds for one example, and for one pixel", 1.0, inputs=_edges),
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
        "root_of_the_sum": lambda square: square.sum().sqrt(),
        "square_of_the_mean": instead(errors=lambda gap: gap.mean(1) ** 2),
        "square_of_the_mean_of_everything": lambda gap: gap.mean() ** 2,
        "one_half": lambda answer: 0.5 * answer,
        "not_squared": instead(square=lambda gap: gap),
        "difference_of_squares": instead(square=lambda x, x_hat: x**2 - x_hat**2),
        "every_pair": lambda x, x_hat: ((x[:, None] - x_hat) ** 2).sum(2).mean(),
        "images_averaged_first": lambda gap: (gap.mean(0) ** 2).sum(),
        "last_example_only": lambda errors: errors[-1],
        "first_example_only": lambda errors: errors[0],
        "n_minus_one": lambda x, square: square.sum() / (len(x) - 1),
        "median_of_examples": lambda errors: errors.median(),
        "largest_of_examples": lambda errors: errors.max(),
        "fixed_size_64": lambda square: 64 * square.mean(),
        "fixed_size_784": lambda square: 784 * square.mean(),
        "clamped": instead(x_hat=lambda x_hat: x_hat.clamp(0, 1)),
        "relative": lambda x, square: square.sum() / (x**2).sum(),
        "huber": lambda x, x_hat: (
            2 * smooth_l1_loss(x_hat, x, reduction="sum") / len(x)
        ),
        "huber_with_one_half": lambda x, x_hat: (
            smooth_l1_loss(x_hat, x, reduction="sum") / len(x)
        ),
        "squeezed": instead(gap=lambda x, x_hat: (x - x_hat).squeeze()),
        "squeezed_before_the_last": lambda gap: (gap.squeeze() ** 2).sum(-1).mean(),
    },
    edges=_edges,
)

EXERCISES = (SQUARED_ERROR,)
