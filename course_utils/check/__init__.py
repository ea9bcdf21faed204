"""Check a learner's function, show what was found, and hand on a version that works.

In a lesson::

    gaussian_kl = check(gaussian_kl)
    points("gaussian_kl")

`check` returns the learner's function when it passes, else the course's own, and says
so: every workbook runs to its end. The value of the last line is the score that
nbgrader reads.
"""

from __future__ import annotations

import functools
import reprlib
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from course_utils.check import memory
from course_utils.check.patience import with_patience
from course_utils.check.views import (
    Note,
    ProgressView,
    ReportView,
    SolutionView,
    show,
)
from course_utils.check.written import source_of
from course_utils.exercises import find
from course_utils.grading import limits
from course_utils.grading.apart import can_copy, grade_apart
from course_utils.grading.containers import converting, kind_of
from course_utils.grading.exercise import Exercise

__all__ = ["check", "hint", "points", "progress", "solution"]

_scores: dict[str, float] = {}
_hints_given: dict[str, int] = {}


# --- what the learner calls ---------------------------------------------------------


def check(
    function: Callable[..., Any], *, name: str | None = None, seed: int | None = None
) -> Callable[..., Any]:
    """Test a learner's function and show a table of what it does right.

    Parameters
    ----------
    function
        The learner's version; the exercise is found by its name.
    name
        Name of the exercise, where the function has another one.
    seed
        Seed of the inputs it is tested on; a new one each time by default.

    Returns
    -------
    callable
        ``function`` when it meets every criterion, else the course's own version. Where
        right values come in another container, they are converted; where the lesson
        would wait for minutes, the course's version takes over.

    Raises
    ------
    ValueError
        If ``function`` cannot be called, has no name, or no exercise has its name.
    """
    if not callable(function):
        raise ValueError(
            f"check expects the function itself, without calling it; got {function!r}"
        )
    exercise = find(name or _name_of(function))
    if is_course_version(function, exercise):
        show(Note(exercise.name, COURSE_VERSION_TEXT))
        _scores.setdefault(exercise.name, 0.0)
        return function
    drawn = secrets.randbelow(2**31) if seed is None else seed
    report = grade_apart(exercise, function, drawn)
    if not (can_copy() or limits.can_limit_time()):
        report = replace(report, notes=(*report.notes, NO_LIMIT_TEXT))
    _scores[exercise.name] = report.score
    memory.record(exercise.name, report.status, report.score)
    show(ReportView(report))
    if report.status != "passed":
        return course_version(exercise)
    if report.converted:
        function = _of_the_lessons_kind(exercise, function)
    if isinstance(function, type):
        return function  # it stays a class: wrapped, it would be none
    return with_patience(exercise, function, functools.partial(_tell, exercise.name))


def _tell(name: str, text: str) -> None:
    show(Note(name, text))


def _name_of(function: Callable[..., Any]) -> str:
    marked = getattr(function, "__course_version__", None)
    name = str(marked or getattr(function, "__name__", ""))
    if not name.isidentifier():
        raise ValueError(
            f"{type(function).__name__} {reprlib.repr(function)} has no name of its "
            'own: say which exercise it answers, as in check(f, name="squared_error")'
        )
    return name


def _of_the_lessons_kind(
    exercise: Exercise, function: Callable[..., Any]
) -> Callable[..., Any]:
    """Wrap a solved answer so that the lesson gets the kind it goes on with."""
    (arguments, *_) = exercise.inputs(torch.Generator().manual_seed(0))
    return converting(function, kind_of(exercise.reference(*arguments)))


def points(name: str) -> float:
    """Return the points of the last check of an exercise, 0 where there was none.

    Raises
    ------
    ValueError
        If no exercise has that name.

    Examples
    --------
    >>> points("squared_error")
    0.0
    """
    find(name)
    return _scores.get(name, 0.0)


def hint(name: str) -> None:
    """Show the next hint for an exercise; the last one stays once all were given.

    Raises
    ------
    ValueError
        If no exercise has that name.
    """
    exercise = find(name)
    given = min(_hints_given.get(name, 0) + 1, len(exercise.hints))
    _hints_given[name] = given
    left = len(exercise.hints) - given
    more = f"{left} more" if left else "the last one"
    if not left and memory.solutions_are_open():
        more += f' before solution("{name}")'
    show(Note(f"hint {given}, {more}", exercise.hints[given - 1]))


def solution(name: str) -> None:
    """Show the course's version of an exercise, with its comments, at any time.

    Unless the exercise is solved already, it counts as looked up from then on, which
    `progress` shows. No points are lost. In an assignment released for grading it is
    switched off.

    Raises
    ------
    ValueError
        If no exercise has that name.
    """
    exercise = find(name)
    if not memory.solutions_are_open():
        show(Note(name, CLOSED_TEXT))
        return
    solved = memory.status(name) == "solved"
    memory.look_up(name)
    show(SolutionView(name, source_of(exercise), "" if solved else LOOKED_UP_TEXT))


def progress() -> None:
    """Show which exercises are solved, tried, or not yet begun."""
    show(ProgressView())


# --- the course's own version -------------------------------------------------------

CLOSED_TEXT = "this assignment is graded, so the course's version is not shown here."

LOOKED_UP_TEXT = (
    "It counts as looked up: progress() shows it, and no points are lost. Close it, "
    "write your own, and run the check."
)

COURSE_VERSION_TEXT = (
    "this is the course's own version, which stepped in after an earlier check. "
    "Run the cell that defines yours, then this one again."
)

NO_LIMIT_TEXT = (
    "here a check has no time limit: interrupt the kernel if it runs for very long."
)


def course_version(exercise: Exercise) -> Callable[..., Any]:
    """Wrap the reference so that a later check recognises it."""

    @functools.wraps(exercise.reference)
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        return exercise.reference(*args, **kwargs)

    stand_in.__name__ = exercise.name
    stand_in.__course_version__ = exercise.name  # type: ignore[attr-defined]
    return stand_in


def is_course_version(function: Callable[..., Any], exercise: Exercise) -> bool:
    """Whether a function is the reference itself, wrapped or not."""
    marked = getattr(function, "__course_version__", None) == exercise.name
    return marked or function is exercise.reference
