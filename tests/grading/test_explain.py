"""A wrong answer that no mistake on file fits is explained by what it is."""

import math

import pytest
import torch

from course_utils.grading.criteria import agrees, normal, uniform
from course_utils.grading.exercise import Exercise
from course_utils.grading.grade import grade


def weighted(x, y, sigma):
    return (x - y) ** 2 / sigma**2 + y


def per_example(x, y, sigma):
    return weighted(x, y, sigma).sum(1)


def pair(x, y, sigma):
    return x / sigma, y.exp() * sigma


def matrix(x, y, sigma):
    return (x @ y.T).exp() + 2 * x @ y.T / sigma


def draw(generator):
    return [
        (normal(generator, N, D), 0.5 + uniform(generator, N, D), sigma)
        for N, D, sigma in ((7, 3, 0.6), (4, 5, 1.7))
    ]


def square(generator):
    return [
        (normal(generator, N, 2), normal(generator, N, 2), s)
        for N, s in ((3, 0.6), (5, 2))
    ]


def diagnosis(reference, answer, inputs=draw, seed=0):
    exercise = Exercise(
        "e", "", reference, "numbers", inputs, (agrees("agrees"),), (), ("h",)
    )
    report = grade(exercise, answer, seed)
    assert (report.status, report.misconception) == ("failed", None)
    return report.diagnosis


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x, y, s: 2 * weighted(x, y, s), "a factor ½ is missing"),
        (lambda x, y, s: -weighted(x, y, s), "the sign flipped"),
        (lambda x, y, s: weighted(x, y, s) / math.log(2), "in bits"),
        (lambda x, y, s: 3 * weighted(x, y, s), "3 times the expected"),
        (lambda x, y, s: weighted(x, y, s) / s, "divided by sigma"),
        (
            lambda x, y, s: weighted(x, y, s) / len(x),
            "divided by the length of x",
        ),
        (lambda x, y, s: weighted(x, y, s) * (len(x) - 1) / len(x), "n for n − 1"),
        (lambda x, y, s: weighted(x, y, s) + 1, "plus 1"),
        (
            lambda x, y, s: weighted(x, y, s) - x.shape[1] * math.log(2 * math.pi) / 2,
            "minus ½ log 2π times the length of x's axis 1",
        ),
        (lambda x, y, s: weighted(x, y, s).sqrt(), "the root of"),
        (lambda x, y, s: (-weighted(x, y, s)).exp(), "exponential of minus"),
        (lambda x, y, s: weighted(x, y, s).flip(0), "reverse order along axis 0"),
        (lambda x, y, s: weighted(x, y, s).T.reshape(x.shape), "rows read as columns"),
        (lambda x, y, s: weighted(x, y, s).T, "transposed"),
        (
            lambda x, y, s: weighted(x, y, s).mean(1),
            "the mean of the expected one",
        ),
        (lambda x, y, s: weighted(x, y, s).sum(), "the sum of the expected values"),
        (lambda x, y, s: weighted(x, y, s**2), "sigma² in the place of sigma"),
        (lambda x, y, s: weighted(x, y, s**0.5), "the root of sigma"),
        (lambda x, y, s: weighted(y, x, s), "x and y swapped"),
        (lambda x, y, s: weighted(x, y.exp(), s), "exp(y) in the place of y"),
        (lambda x, y, s: weighted(x - x.mean(0), y, s), "x without its mean"),
    ],
)
def test_it_is_explained(answer, words):
    assert words in diagnosis(weighted, answer)


def test_of_several_values_the_wrong_one_is_explained():
    said = diagnosis(pair, lambda x, y, s: (x / s, 2 * y.exp() * s))
    assert said.startswith("Value 2 of your answer is twice the expected")
    said = diagnosis(pair, lambda x, y, s: pair(x, y, s)[::-1])
    assert "in the reverse order" in said


def test_sums_and_square_matrices():
    said = diagnosis(
        per_example, lambda x, y, s: per_example(x, y, s).mean().expand(len(x))
    )
    assert "mean of the expected one over axis 0, repeated" in said
    said = diagnosis(matrix, lambda x, y, s: matrix(x, y, s).T, square)
    assert "transposed" in said


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, y, s: x,
        lambda x, y, s: weighted(x, y, s) + x.sin(),
        lambda x, y, s: weighted(x, y, s) * (2 if len(x) == 7 else 3),
        lambda x, y, s: [x, y],
        lambda x, y, s: "a word",
        lambda x, y, s: x / 0,
    ],
)
def test_nothing_is_said_that_does_not_hold_everywhere(answer):
    assert diagnosis(weighted, answer) is None


def test_right_numbers_beside_nan_are_not_explained():
    def overflows(x, y, sigma):
        return weighted(x, y, sigma) * (1 if len(x) > 1 else math.nan)

    def one_row(generator):
        return [(torch.ones(1, 2), torch.ones(1, 2), 0.7)]

    criteria = (agrees("agrees"), agrees("one row", inputs=one_row))
    exercise = Exercise(
        "e", "", weighted, "numbers", draw, criteria, (), ("h",), edges=one_row
    )
    report = grade(exercise, overflows, 0)
    assert (report.status, report.diagnosis) == ("failed", None)
