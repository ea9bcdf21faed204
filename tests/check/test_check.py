"""What a learner sees: the table, the diagnosis, hints, points, progress."""

import functools
import threading
from dataclasses import replace

import pytest
import torch

from course_utils import check as check_module
from course_utils.check import (
    check,
    course_version,
    hint,
    memory,
    points,
    solution,
)
from course_utils.check.views import ProgressView, ReportView
from course_utils.check.written import source_of
from course_utils.exercises import all_exercises, find
from course_utils.grading import apart
from course_utils.grading.building import OUTPUTS, Build, built
from course_utils.grading.criteria import normal
from course_utils.grading.grade import grade

EXERCISE = find("squared_error")


@pytest.fixture(autouse=True)
def seen(monkeypatch, tmp_path):
    """Collect what would be displayed; forget earlier checks; use an empty folder."""
    shown = []
    monkeypatch.setattr(check_module, "show", shown.append)
    monkeypatch.setattr(check_module, "_scores", {})
    monkeypatch.setattr(check_module, "_hints_given", {})
    monkeypatch.setattr(memory, "_memory", {})
    monkeypatch.chdir(tmp_path)
    return shown


def right(x, x_hat):
    return ((x - x_hat) ** 2).sum(1).mean()


def as_exercise(function):
    function.__name__ = "squared_error"
    return function


def test_a_right_answer_is_returned_itself(seen):
    answer = as_exercise(lambda x, x_hat: right(x, x_hat))
    assert check(answer).__wrapped__ is answer
    assert points("squared_error") == EXERCISE.points
    assert "Solved: your version is used" in repr(seen[-1])


def test_the_points_are_a_plain_number_for_the_grader():
    check(as_exercise(lambda x, x_hat: right(x, x_hat)))
    assert repr(points("squared_error")) == "5.0"


def test_a_wrong_answer_is_replaced_and_diagnosed(seen):
    answer = as_exercise(lambda x, x_hat: ((x - x_hat) ** 2).mean())
    stand_in = check(answer)
    x = torch.randn(5, 3)
    assert stand_in is not answer
    assert torch.equal(stand_in(x, 0 * x), right(x, 0 * x))
    assert 0 < points("squared_error") < EXERCISE.points
    text = repr(seen[-1])
    assert "You average over the pixels as well" in text
    assert "✗" in text
    assert "✓" in text
    assert "steps in" in text
    assert 'hint("squared_error")' in text
    assert "You average over the pixels" in seen[-1]._repr_html_()


def test_an_unsolved_stub_is_not_an_error(seen):
    def squared_error(x, x_hat):
        raise NotImplementedError

    stand_in = check(squared_error)
    assert float(stand_in(torch.zeros(2, 3), torch.ones(2, 3))) == 3.0
    text = repr(seen[-1])
    assert "Not attempted yet" in text
    assert "✗" not in text
    assert points("squared_error") == 0.0
    assert memory.load() == {}


def test_the_stand_in_earns_nothing_when_checked_again(seen):
    stand_in = check(as_exercise(lambda x, x_hat: x.sum() * 0 + 1))
    before = points("squared_error")
    assert check(stand_in) is stand_in
    assert points("squared_error") == before
    assert "the course's own version" in repr(seen[-1])


def test_the_library_function_is_no_answer(seen):
    check(EXERCISE.reference)
    assert points("squared_error") == 0.0
    assert "the course's own version" in repr(seen[-1])


def test_the_stand_in_is_found_by_its_mark():
    stand_in = course_version(EXERCISE)
    assert stand_in.__course_version__ == "squared_error"
    assert stand_in.__name__ == "squared_error"


def test_a_call_instead_of_the_function_is_explained():
    with pytest.raises(ValueError, match="the function itself, without calling it"):
        check(torch.zeros(()))


def test_an_unknown_name_is_answered_with_close_ones():
    def squared_eror(x, x_hat):
        return 0.0

    with pytest.raises(ValueError, match="did you mean squared_error"):
        check(squared_eror)


def test_a_lambda_can_be_named():
    answer = lambda x, x_hat: right(x, x_hat)  # noqa: E731
    assert check(answer, name="squared_error").__wrapped__ is answer


@pytest.mark.parametrize(
    "answer",
    [
        lambda x, x_hat: right(x, x_hat),
        functools.partial(right),
        torch.nn.MSELoss(),
    ],
)
def test_what_has_no_name_is_asked_for_it(answer):
    with pytest.raises(ValueError, match='check\\(f, name="squared_error"\\)'):
        check(answer)


def test_a_partial_can_be_named():
    answer = functools.partial(right)
    assert check(answer, name="squared_error").__wrapped__ is answer


def test_right_values_of_another_kind_are_handed_on_in_the_lessons(seen):
    stand_in = check(as_exercise(lambda x, x_hat: float(right(x, x_hat))))
    x = torch.randn(5, 3)
    assert isinstance(stand_in(x, 0 * x), torch.Tensor)
    assert stand_in(x, 0 * x) == pytest.approx(float(right(x, 0 * x)))
    assert points("squared_error") == EXERCISE.points
    assert "it returns a float where the course has a tensor" in repr(seen[-1])


def test_the_seed_can_be_chosen(seen):
    wrong = as_exercise(lambda x, x_hat: ((x - x_hat) ** 2).mean())
    check(wrong, seed=5)
    check(wrong, seed=5)
    check(wrong, seed=6)
    assert repr(seen[0]) == repr(seen[1]) != repr(seen[2])


def test_without_a_seed_the_inputs_are_fresh(seen):
    wrong = as_exercise(lambda x, x_hat: ((x - x_hat) ** 2).mean())
    for _ in range(2):
        check(wrong)
    assert repr(seen[0]) != repr(seen[1])


def test_hints_come_one_after_the_other_and_the_last_stays(seen):
    for _ in range(len(EXERCISE.hints) + 1):
        hint("squared_error")
    texts = [note.text for note in seen]
    assert texts == [*EXERCISE.hints, EXERCISE.hints[-1]]
    assert "2 more" in repr(seen[0])
    assert "the last one" in repr(seen[-1])


def test_points_of_an_unchecked_exercise_are_zero_and_of_an_unknown_one_an_error():
    assert points("squared_error") == 0.0
    with pytest.raises(ValueError, match="no exercise is named"):
        points("no_such_exercise")


def test_where_nothing_can_be_stopped_it_says_so(seen, monkeypatch):
    monkeypatch.setattr(check_module, "can_copy", lambda: False)
    monkeypatch.setattr(apart, "can_copy", lambda: False)
    answer = as_exercise(lambda x, x_hat: right(x, x_hat))
    thread = threading.Thread(target=check, args=(answer,))
    thread.start()
    thread.join()
    assert "no time limit" in repr(seen[-1])


def test_learners_text_cannot_become_markup():
    def squared_error(x, x_hat):
        raise ValueError("<script>alert(1)</script>")

    page = ReportView(grade(EXERCISE, squared_error, 1))._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_messages_are_said_once():
    def squared_error(x, x_hat):
        raise KeyError("here")

    view = ReportView(grade(EXERCISE, squared_error, 1))
    assert len(view.messages()) == 1
    assert len(view.report.rows) == len(EXERCISE.criteria)


def test_progress_shows_every_exercise_with_its_status(seen):
    check(as_exercise(lambda x, x_hat: right(x, x_hat)))
    rows = {name: status for _, name, _, status in ProgressView().rows()}
    assert rows["squared_error"] == "solved"
    assert set(rows.values()) == {"solved", "not yet"}
    assert "1 of" in ProgressView().summary()
    assert "✓ solved" in ProgressView()._repr_html_()


# --- the solution, to read ----------------------------------------------------------


def test_the_solution_is_that_of_the_lesson_with_its_comments(seen):
    solution("squared_error")
    text = repr(seen[-1])
    assert "def squared_error(x, x_hat):" in text
    assert "# One number per example first" in text
    assert "SOLUTION" not in text
    assert "It counts as looked up" in text


def test_what_was_looked_up_is_shown_and_costs_nothing(seen):
    solution("squared_error")
    rows = {name: status for _, name, _, status in ProgressView().rows()}
    assert rows["squared_error"] == "not yet, looked up"
    check(as_exercise(lambda x, x_hat: right(x, x_hat)))
    assert points("squared_error") == EXERCISE.points
    assert memory.status("squared_error") == "solved, looked up"
    assert "1 of" in ProgressView().summary()
    assert "✓ 00 squared_error: solved, looked up" in repr(ProgressView())


def test_after_solving_it_yourself_looking_is_free(seen):
    check(as_exercise(lambda x, x_hat: right(x, x_hat)))
    solution("squared_error")
    assert memory.status("squared_error") == "solved"
    assert "looked up" not in repr(seen[-1])


def test_the_last_hint_says_where_the_solution_is(seen):
    for _ in EXERCISE.hints[:-1]:
        hint("squared_error")
        assert "solution(" not in repr(seen[-1])
    hint("squared_error")
    assert 'the last one before solution("squared_error"):' in repr(seen[-1])


def test_a_graded_assignment_keeps_the_solution_closed(seen, tmp_path):
    (tmp_path / memory.RELEASED).touch()
    solution("squared_error")
    assert "graded" in repr(seen[-1]) and "def " not in repr(seen[-1])
    assert memory.status("squared_error") == "not yet"
    for _ in EXERCISE.hints:
        hint("squared_error")
    assert "solution(" not in repr(seen[-1])


def test_every_exercise_has_a_solution_to_read():
    for exercises in all_exercises().values():
        for exercise in exercises:
            assert f"def {exercise.name}(" in source_of(exercise)


def test_away_from_the_lessons_the_reference_is_shown(tmp_path):
    assert "def squared_error(" in source_of(EXERCISE, folder=tmp_path)


# --- an exercise that asks for a module ---------------------------------------------


def layer(D, K):
    return torch.nn.Linear(D, K)


LAYER = replace(
    EXERCISE,
    name="layer",
    reference=layer,
    inputs=lambda generator: [(3, 2), (5, 4)],
    criteria=(built(OUTPUTS, "its outputs", 2.0),),
    misconceptions=(),
    probe=Build(layer, lambda g, D, K: [(normal(g, 6, D),)] * 3),
)


@pytest.fixture
def asks_for_a_layer(monkeypatch):
    monkeypatch.setattr(check_module, "find", lambda name: LAYER)


def test_a_function_that_builds_a_module_is_kept_or_replaced(asks_for_a_layer, seen):
    kept = check(lambda D, K: torch.nn.Sequential(layer(D, K)), name="layer")
    assert isinstance(kept(3, 2), torch.nn.Sequential)
    assert points("layer") == 2.0
    replaced = check(lambda D, K: torch.nn.Linear(D, K, bias=False), name="layer")
    assert replaced(3, 2).bias is not None
    assert "missing: (2,)" in repr(seen[-1])
    assert check(replaced) is replaced


def test_a_class_is_checked_and_stays_a_class(asks_for_a_layer, seen):
    class Layer(torch.nn.Linear):
        pass

    assert check(Layer, name="layer") is Layer

    class Stub(torch.nn.Module):
        def __init__(self, D, K):
            raise NotImplementedError()

    assert check(Stub, name="layer")(3, 2).weight.shape == (2, 3)
    assert "Not attempted yet" in repr(seen[-1])
