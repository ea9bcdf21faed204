"""Lesson 00's right answers in other words, and what its exercises alone must do."""

import torch
from torch.nn import functional

from course_utils.exercises.lesson00 import SQUARED_ERROR
from course_utils.grading.grade import grade


def by_torch(x, x_hat):
    return functional.mse_loss(x, x_hat, reduction="sum") / len(x)


def by_distance(x, x_hat):
    return torch.linalg.vector_norm(x - x_hat, dim=1).pow(2).mean()


def by_einsum(x, x_hat):
    gap = x_hat - x
    return torch.einsum("nd,nd->", gap, gap) / x.shape[0]


def by_loop(x, x_hat):
    total = 0.0
    for row, row_hat in zip(x, x_hat, strict=True):
        total += torch.dot(row - row_hat, row - row_hat)
    return total / len(x)


def by_numpy(x, x_hat):
    return float(((x.numpy() - x_hat.numpy()) ** 2).sum() / len(x))


def by_expansion(x, x_hat):
    return (x**2 - 2 * x * x_hat + x_hat**2).mean() * x.shape[1]


RIGHT = {
    "squared_error": (
        by_torch,
        by_distance,
        by_einsum,
        by_loop,
        by_numpy,
        by_expansion,
    )
}


def test_batch_and_pixels_differ_in_number():
    """Else a mean over the wrong axis is right by accident."""
    for x, x_hat in SQUARED_ERROR.inputs(torch.Generator().manual_seed(0)):
        assert x.shape == x_hat.shape and x.dtype == torch.float64
        assert x.shape[0] != x.shape[1] and min(x.shape) > 1


def earned(answer, seed=0):
    """Give the points of each criterion, and the misconception that was recognised."""
    report = grade(SQUARED_ERROR, answer, seed)
    return [row.earned for row in report.rows], report.misconception


def test_each_criterion_counts_what_it_says():
    assert earned(by_torch) == ([3.0, 1.0, 1.0], None)
    mean = functional.mse_loss  # forgets to sum over the pixels
    assert earned(mean) == ([0.0, 1.0, 1.0], "mean_over_everything")
    total = lambda x, x_hat: functional.mse_loss(x, x_hat, reduction="sum")  # noqa: E731
    assert earned(total) == ([0.0, 0.0, 1.0], "sum_over_everything")
    never_zero = lambda x, x_hat: by_torch(x, x_hat) + 1  # noqa: E731
    assert earned(never_zero) == ([0.0, 1.0, 0.0], None)


def test_one_number_per_example_is_not_one_number():
    report = grade(SQUARED_ERROR, lambda x, x_hat: ((x - x_hat) ** 2).sum(1), 0)
    assert report.status == "failed" and report.score == 0
    assert "expected one number" in report.rows[0].message


def test_a_change_of_the_inputs_is_refused():
    def in_place(x, x_hat):
        x -= x_hat
        return (x**2).sum(1).mean()

    report = grade(SQUARED_ERROR, in_place, 0)
    assert report.status == "failed"
    assert "changes its inputs in place" in report.rows[0].message


def test_an_empty_stub_is_not_attempted():
    def stub(x, x_hat):
        raise NotImplementedError

    assert grade(SQUARED_ERROR, stub, 0).status == "not attempted"
