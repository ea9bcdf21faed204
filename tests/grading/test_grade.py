"""The grading: each kind of wrong answer has its own plain message."""

import math
import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.grading.criteria import agrees, rows_stand_alone
from course_utils.grading.exercise import Criterion, Exercise, Misconception
from course_utils.grading.grade import grade
from course_utils.grading.values import (
    describe,
    difference,
    is_number,
    structure_problem,
)


def double(x, scale):
    return 2 * scale * x


def draw(generator):
    return [
        (torch.randn(N, D, generator=generator, dtype=torch.float64), 3.0)
        for N, D in ((7, 5), (4, 6))
    ]


EXERCISE = Exercise(
    name="double",
    title="twice as much",
    reference=double,
    returns="(N, D) doubled data",
    inputs=draw,
    criteria=(agrees("doubles", 2.0), rows_stand_alone()),
    misconceptions=(
        Misconception("half", "You halve instead of doubling.", lambda x, s: x * s / 2),
        Misconception(
            "shape", "You sum away the batch.", lambda x, s: 2 * s * x.sum(0)
        ),
    ),
    hints=("Think of two.",),
)


def messages(answer, seed=0):
    report = grade(EXERCISE, answer, seed)
    assert report.status == "failed"
    return " ".join(row.message for row in report.rows if row.message)


def test_a_right_answer_passes_with_all_points():
    report = grade(EXERCISE, lambda x, s: x * s + x * s, 0)
    assert (report.status, report.score, report.points) == ("passed", 3.0, 3.0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x, s: None, "returns None: is the `return` missing"),
        (lambda x, s: {"x": 2 * s * x}, "a dict, expected a tensor"),
        (lambda x, s: [1, [2, 3]], "a list of"),
        (lambda x, s: 2 * s * x.T, r"expected \(7, 5\): \(N, D\) doubled data"),
        (lambda x, s: (2 * s * x).float(), "float32 where the inputs ask for float64"),
        (lambda x, s: 2 * s * x / 0 * 0, "35 of 35 values that are NaN or infinite"),
        (lambda x, s: x.mul_(2 * s), "changes its inputs in place"),
        (lambda x, s: 2 * s * x + 1e-3, "yours is"),
        (lambda x, s: 2 * s * y, "raises NameError: name 'y' is not defined"),  # noqa: F821
        (lambda x: x, "raises TypeError"),
        (lambda x, s: 2 * s * x - x.mean(0), "changes with the others in its batch"),
        (lambda x, s: 2 * s * torch.ones(7, 5).double() * x, "raises RuntimeError"),
    ],
)
def test_each_kind_of_mistake_has_its_message(answer, words):
    assert re.search(words, messages(answer))


def test_a_mistake_is_named_also_when_its_shape_is_wrong():
    assert grade(EXERCISE, lambda x, s: 2 * s * x.sum(0), 0).misconception == "shape"


def test_a_mistake_is_recognised_by_behaviour_and_not_by_text():
    def answer(x, scale):
        result = torch.zeros_like(x)
        for row in range(len(x)):
            result[row] = x[row] * 0.5 * scale
        return result

    report = grade(EXERCISE, answer, 3)
    assert report.misconception == "half"
    assert report.diagnosis == "You halve instead of doubling."


def test_an_unknown_mistake_gets_no_name():
    assert grade(EXERCISE, lambda x, s: 5 * x, 0).misconception is None


def test_a_mistake_that_fits_on_some_inputs_only_gets_no_name():
    def answer(x, scale):
        return x * scale / 2 if len(x) == 7 else x

    assert grade(EXERCISE, answer, 0).misconception is None


def test_the_line_of_an_error_is_counted_from_the_function():
    def answer(x, scale):
        y = x * scale
        return y.no_such_thing

    said = messages(answer)
    assert "line 3 of your function: `return y.no_such_thing`" in said


def test_an_error_deep_in_a_library_names_the_learners_line():
    def answer(x, scale):
        return torch.nn.functional.linear(x, x)[0] @ torch.ones(3)

    assert "line 2 of your function" in messages(answer)


def test_warnings_and_prints_are_kept_off_the_page(capsys):
    def answer(x, scale):
        warnings.warn("mind the gap", stacklevel=1)
        print("here I am")
        return 2 * scale * x

    report = grade(EXERCISE, answer, 0)
    assert report.status == "passed"
    assert set(report.notes) == {"it warns: mind the gap", "it prints: here I am"}
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_stub_is_not_attempted():
    def answer(x, scale):
        raise NotImplementedError

    report = grade(EXERCISE, answer, 0)
    assert report.status == "not attempted"
    assert report.score == 0.0


def test_criteria_earn_their_points_one_by_one():
    report = grade(EXERCISE, lambda x, s: 7 * x, 0)
    assert [row.earned for row in report.rows] == [0.0, 1.0]


def test_an_error_of_the_course_itself_is_not_blamed_on_the_learner():
    def broken(trial):
        raise ZeroDivisionError("a defect of the criterion")

    exercise = Exercise(
        "double", "", double, "", draw, (Criterion("x", 1.0, broken),), (), ("h",)
    )
    with pytest.raises(ZeroDivisionError):
        grade(exercise, double, 0)


def test_the_seed_decides_the_inputs():
    seen = []

    def answer(x, scale):
        seen.append(x.clone())
        return 2 * scale * x

    for seed in (1, 1, 2):
        grade(EXERCISE, answer, seed)
    third = len(seen) // 3
    assert torch.equal(seen[0], seen[third])
    assert not torch.equal(seen[0], seen[2 * third])


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    grade(EXERCISE, double, 0)
    assert torch.equal(before, torch.get_rng_state())


# --- comparing values ---------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [3, 3.0, np.float32(3), torch.tensor(3.0), np.int64(3)]
)
def test_one_number_comes_in_many_kinds(value):
    assert is_number(value)
    assert structure_problem(value, torch.tensor(3.0), "") is None
    assert difference(value, torch.tensor(3.0)) == 0.0


def test_a_number_with_a_gradient_is_compared_without_warning():
    value = torch.tensor(3.0, requires_grad=True) * 1
    assert difference(value, 3.0) == 0.0


@pytest.mark.parametrize("value", ["3", True, [3.0], torch.ones(1), None, 3j])
def test_what_is_not_one_number(value):
    assert not is_number(value)


def test_tuples_lists_and_dicts_are_compared_part_by_part():
    want = (torch.ones(2), {"a": 1.0, "b": torch.zeros(3)})
    same = [torch.ones(2), {"b": torch.zeros(3), "a": 1.0}]
    assert structure_problem(same, want, "") is None
    assert difference(same, want) == 0.0
    other = (torch.ones(2), {"a": 2.0, "b": torch.zeros(3)})
    assert difference(other, want) == 1.0
    assert "expected a dict with 'a'" in structure_problem({"c": 1}, {"a": 1.0}, "")
    assert "returns 1 values, expected 2" in structure_problem((1,), (1, 2), "")


def test_nan_equals_nan_in_the_same_place_only():
    a = torch.tensor([1.0, math.nan])
    assert difference(a, a.clone()) == 0.0
    assert difference(a, torch.tensor([math.nan, 1.0])) == math.inf
    assert difference(torch.ones(2), a) == math.inf
    assert difference(math.nan, math.nan) == 0.0
    assert difference(1.0, math.nan) == math.inf


def test_integers_and_words_are_compared_exactly():
    assert difference(torch.tensor([1, 2]), torch.tensor([1, 2])) == 0.0
    assert difference(torch.tensor([1, 3]), torch.tensor([1, 2])) > 0.1
    assert difference("a", "a") == 0.0
    assert difference(True, False) == math.inf


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1.0))
def test_the_difference_is_relative_to_the_size(value, change):
    want = torch.tensor([value, 1.0], dtype=torch.float64)
    got = want + torch.tensor([0.0, change], dtype=torch.float64)
    expected = change / max(abs(value), 1.0)
    assert difference(got, want) == pytest.approx(expected, rel=1e-6)


def test_values_are_described_in_words():
    assert describe(torch.ones(2, 3)) == "a tensor of shape (2, 3), float32"
    assert describe(np.ones(2)) == "a NumPy ndarray"
    assert describe((1, 2)) == "a tuple of 2"
    assert describe(3) == "an int"


def test_numbers_are_shown_with_the_digits_that_tell_them_apart():
    said = messages(lambda x, s: 2 * s * x * (1 + 1e-5))
    got, want = re.search(r"yours is (\S+), expected (\S+?)\.(?:\s|$)", said).groups()
    assert got != want


def test_a_step_in_single_precision_does_not_cost_the_points():
    third = torch.tensor(1 / 3)  # float32: off by 1e-8
    answer = lambda x, s: 6 * s * third.double() * x  # noqa: E731
    assert grade(EXERCISE, answer, 0).status == "passed"
