"""The grading holds against functions that misbehave, and says what they did."""

import functools
import itertools
import math
import os
import random
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from course_utils.exercises import find
from course_utils.grading.apart import CourseError, can_copy, grade_apart
from course_utils.grading.criteria import agrees, gradients
from course_utils.grading.exercise import Criterion, Exercise, Misconception
from course_utils.grading.grade import grade
from course_utils.grading.values import example

SQUARED_ERROR = find("squared_error")
linux = pytest.mark.skipif(not can_copy(), reason="a process is copied on Linux only")


def right(x, x_hat):
    return ((x - x_hat) ** 2).sum(1).mean()


def said(report):
    return " ".join(filter(None, [report.diagnosis, *(r.message for r in report.rows)]))


# --- what is raised -----------------------------------------------------------------


class Broken(Exception):
    def __str__(self):
        raise RuntimeError("even its text fails")


class Own(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SystemExit(3), "raises SystemExit: 3 (exit() would end"),
        (Own("mine"), "raises Own: mine"),
        (GeneratorExit(), "raises GeneratorExit"),
        (Broken(), "raises Broken"),
    ],
)
def test_whatever_is_raised_is_said(error, words):
    def answer(x, x_hat):
        raise error

    report = grade(SQUARED_ERROR, answer, 0)
    assert report.status == "failed"
    assert words in said(report)


def test_an_interrupt_by_the_learner_goes_through():
    def answer(x, x_hat):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade(SQUARED_ERROR, answer, 0)


def from_torch(x, x_hat):
    return torch.nn.Module()(x)


def with_a_text(x, x_hat):
    raise NotImplementedError("later")


def deeper(x, x_hat):
    return torch.distributions.Distribution(validate_args=False).sample()


@pytest.mark.parametrize("answer", [from_torch, with_a_text, deeper])
def test_only_the_stubs_own_error_means_not_attempted(answer):
    report = grade(SQUARED_ERROR, answer, 0)
    assert report.status == "failed"
    assert "raises NotImplementedError" in said(report)


def test_a_wrapped_stub_is_a_stub():
    def stub(x, x_hat):
        raise NotImplementedError()

    @functools.wraps(stub)
    def wrapped(*args):
        return stub(*args)

    assert grade(SQUARED_ERROR, wrapped, 0).status == "not attempted"


# --- what never ends ----------------------------------------------------------------


def in_c(x, x_hat):
    return sum(itertools.repeat(0))


def catches_everything(x, x_hat):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


def caught_and_right(x, x_hat):
    try:
        while True:
            pass
    except:  # noqa: E722
        return right(x, x_hat)


class Slow:
    def __float__(self):
        while True:
            pass


@linux
@pytest.mark.parametrize(
    "answer", [in_c, catches_everything, caught_and_right, lambda x, x_hat: Slow()]
)
def test_it_is_stopped_whatever_it_does(answer):
    begun = time.monotonic()
    report = grade_apart(SQUARED_ERROR, answer, 0, seconds=0.3, together=1.0)
    assert (report.status, report.score) == ("failed", 0.0)
    assert "took too long" in said(report)
    assert time.monotonic() - begun < 60  # and it comes back


@linux
def test_the_end_of_the_process_is_not_the_end_of_the_notebook():
    report = grade_apart(SQUARED_ERROR, lambda x, x_hat: os._exit(0), 0)
    assert report.score == 0.0
    assert "ends the whole process" in said(report)


@linux
def test_an_interrupt_in_the_copy_is_an_answer():
    def answer(x, x_hat):
        raise KeyboardInterrupt

    assert "raises KeyboardInterrupt" in said(grade_apart(SQUARED_ERROR, answer, 0))


@linux
@pytest.mark.parametrize(
    "answer", [right, lambda x, x_hat: right(x, x_hat) * 2, lambda x, x_hat: [1]]
)
def test_the_copy_finds_what_the_process_itself_finds(answer):
    assert grade_apart(SQUARED_ERROR, answer, 7) == grade(SQUARED_ERROR, answer, 7)


@linux
def test_the_copy_can_differentiate_and_use_matrices_after_threads_were_used():
    torch.ones(500, 500, requires_grad=True).matmul(
        torch.ones(500, 500)
    ).sum().backward()

    def answer(x, x_hat):
        y = x.clone().requires_grad_()
        (y @ torch.linalg.pinv(y) @ y).sum().backward()
        return right(x, x_hat)

    assert grade_apart(SQUARED_ERROR, answer, 0).status == "passed"


@pytest.mark.parametrize("optimises", [True, False])
def test_what_an_optimiser_loads_is_loaded_before_the_clock_runs(
    monkeypatch, optimises
):
    def with_adam(x, x_hat):
        def step():
            return torch.optim.Adam([x])

        return right(x, x_hat) if x is not None else step()

    loaded = []
    monkeypatch.setattr(torch.optim, "SGD", loaded.append)
    answer = with_adam if optimises else right
    assert grade_apart(SQUARED_ERROR, answer, 0).status == "passed"
    assert len(loaded) == optimises


@linux
def test_a_defect_of_the_course_is_no_fault_of_the_learner():
    def broken(trial):
        raise ZeroDivisionError("a defect of the criterion")

    exercise = Exercise(
        "a", "", right, "", SQUARED_ERROR.inputs, (Criterion("x", 1.0, broken),), (), ()
    )
    with pytest.raises(CourseError, match="a defect of the criterion"):
        grade_apart(exercise, right, 0)


# --- what is left behind ------------------------------------------------------------


def with_a_dtype(x, x_hat):
    torch.set_default_dtype(torch.float64)
    return right(x, x_hat)


def without_gradients(x, x_hat):
    torch.set_grad_enabled(False)
    return right(x, x_hat)


def with_a_seed(x, x_hat):
    torch.manual_seed(0)
    return right(x, x_hat)


def with_threads(x, x_hat):
    torch.set_num_threads(torch.get_num_threads() + 1)
    return right(x, x_hat)


def with_a_patch(x, x_hat):
    torch.exp = torch.log
    math.pi = 3
    torch.Tensor.exp = torch.Tensor.log
    return right(x, x_hat)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (with_a_dtype, "default dtype"),
        (without_gradients, "records gradients"),
        (with_a_seed, "seed"),
        (with_threads, "number of threads"),
        (with_a_patch, "replaces torch.exp"),
        (with_a_patch, "replaces Tensor.exp"),
    ],
)
def test_what_it_changes_is_put_back_and_said(answer, words):
    torch.manual_seed(123)
    before = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.exp, math.pi)
    threads, seed = torch.get_num_threads(), torch.initial_seed()
    report = grade(SQUARED_ERROR, answer, 0)
    assert report.status == "passed"
    assert any(words in note for note in report.notes)
    now = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.exp, math.pi)
    assert now == before
    assert (torch.get_num_threads(), torch.initial_seed()) == (threads, seed)
    assert torch.zeros(1).exp() == 1


def test_drawing_leaves_the_generators_where_they_were_without_a_word():
    def answer(x, x_hat):
        torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
        return right(x, x_hat)

    torch_state, python_state = torch.get_rng_state(), random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002
    report = grade(SQUARED_ERROR, answer, 0)
    assert (report.status, report.notes) == ("passed", ())
    assert torch.equal(torch_state, torch.get_rng_state())
    assert python_state == random.getstate()
    now = np.random.get_state()  # noqa: NPY002
    assert np.array_equal(numpy_state[1], now[1])


# --- values, constants, gradients, names --------------------------------------------


def scaled(x, scale):
    return x * scale


def draw(generator):
    return [
        (torch.randn(N, 3, generator=generator, dtype=torch.float64), 2.0)
        for N in (4, 5)
    ]


def edges(generator):
    return [(torch.full((1, 3), 60.0, dtype=torch.float64), 2.0)]


def exercise(**more):
    settings = {
        "criteria": (agrees("agrees"), agrees("at the edges", inputs=edges)),
        "misconceptions": (
            Misconception("clamped", "You clamp.", lambda x, s: (x * s).clamp(-50, 50)),
            Misconception("cut", "No gradient.", lambda x, s: x.detach() * s),
        ),
        "edges": edges,
        **more,
    }
    return Exercise(
        "scaled", "", scaled, "(N, 3)", draw, hints=("multiply",), **settings
    )


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, s: (x * s).numpy(),
        lambda x, s: (x * s).tolist(),
        lambda x, s: list(x * s),
        lambda x, s: tuple(row.numpy() for row in x * s),
        lambda x, s: (row for row in x * s),
    ],
)
def test_right_values_in_another_container_pass_with_a_remark(answer):
    report = grade(exercise(), answer, 0)
    assert (report.status, report.converted) == ("passed", True)
    assert any("converted" in note for note in report.notes)


@pytest.mark.parametrize(
    "answer", [lambda x, s: torch.zeros_like(x), lambda x, s: torch.ones(len(x), 3) * 2]
)
def test_a_constant_earns_nothing(answer):
    some = Criterion("returns something", 1.0, lambda trial: None)
    report = grade(exercise(criteria=(some, agrees("agrees"))), answer, 0)
    assert report.score == 0.0


def test_a_mistake_that_shows_at_the_edges_only_is_named_by_them():
    answer = lambda x, s: (x * s).clamp(max=50)  # noqa: E731
    assert grade(exercise(), answer, 0).misconception == "clamped"
    assert grade(exercise(edges=lambda g: []), answer, 0).misconception is None


def test_a_missing_gradient_is_refused_and_named_where_it_is_asked_for():
    criteria = (agrees("agrees"), gradients("trains"))
    asked = exercise(criteria=criteria, gradients=(0,))
    assert grade(asked, scaled, 0).status == "passed"
    report = grade(asked, lambda x, s: torch.tensor((x * s).tolist(), dtype=x.dtype), 0)
    assert report.misconception == "cut"
    assert "no gradient reaches x" in said(report)
    report = grade(asked, lambda x, s: x * s + (x - x.detach()), 0)
    assert "the gradient in x" in said(report)


def test_nothing_is_named_where_the_values_are_right():
    same = Misconception("same", "You are right.", scaled)

    def answer(x, scale):
        y = x * scale
        x += 1
        return y

    report = grade(exercise(misconceptions=(same,)), answer, 0)
    assert report.status == "failed"
    assert "changes its inputs" in said(report)
    assert report.misconception is None and report.diagnosis is None


def test_two_mistakes_in_two_values_are_both_named():
    def reference(x, scale):
        return x * scale, x + scale

    asked = exercise(
        criteria=(agrees("agrees"),),
        misconceptions=(
            Misconception("bent", "The first.", lambda x, s: (x**2 * s, x + s)),
            Misconception("moved", "The second.", lambda x, s: (x * s, x - s)),
        ),
        edges=lambda g: [],
    )
    asked = replace(asked, reference=reference)
    report = grade(asked, lambda x, s: (x**2 * s, x - s), 0)
    assert report.misconception == "bent + moved"
    assert report.diagnosis == "The first. The second."
    assert grade(asked, lambda x, s: (x**2 * s, x.exp()), 0).misconception is None


def test_a_mistake_keeps_its_name_where_more_goes_wrong_at_the_edges():
    half = Misconception("half", "You halve.", lambda x, s: x * s / 2)
    asked = exercise(misconceptions=(half,))
    report = grade(asked, lambda x, s: (x * s / 2).clamp(max=10), 0)
    assert report.misconception == "half"


def test_a_wrong_gradient_of_right_values_is_not_explained_by_values():
    asked = exercise(
        criteria=(gradients("trains"),), gradients=(0,), edges=lambda g: []
    )
    report = grade(asked, lambda x, s: x * s + (x - x.detach()), 0)
    assert (report.status, report.diagnosis) == ("failed", None)


def test_a_wrong_value_that_carries_a_gradient_is_shown_without_a_warning(recwarn):
    torch.set_warn_always(True)
    try:
        said = example(torch.ones(2, requires_grad=True), torch.zeros(2))
    finally:
        torch.set_warn_always(False)
    assert "yours is 1" in said
    assert not recwarn.list
