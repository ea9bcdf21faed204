"""The exercises of all lessons, found by the name of the function to write.

One module per lesson, ``lesson01`` and so on, each with a tuple ``EXERCISES``, and
beside it a page, ``lesson01.md``, with the words of its exercises.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil

from course_utils.grading.exercise import Exercise

__all__ = ["Exercise", "all_exercises", "find", "lesson_of"]


@functools.cache
def all_exercises() -> dict[str, tuple[Exercise, ...]]:
    """Return the exercises of each lesson, by lesson number such as ``"01"``."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {
        name.removeprefix("lesson"): importlib.import_module(
            f"{__name__}.{name}"
        ).EXERCISES
        for name in names
        if name.startswith("lesson")
    }


def find(name: str) -> Exercise:
    """Find an exercise by the name of its function.

    Raises
    ------
    ValueError
        If there is none of that name; close names are suggested.
    """
    known = {
        exercise.name: exercise
        for exercises in all_exercises().values()
        for exercise in exercises
    }
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=3) or sorted(known)
    raise ValueError(f"no exercise is named {name!r}; did you mean {', '.join(close)}?")


def lesson_of(name: str) -> str:
    """Return the number of the lesson that an exercise stands in.

    Raises
    ------
    ValueError
        If no exercise has that name.

    Examples
    --------
    >>> lesson_of("squared_error")
    '00'
    """
    exercise = find(name)
    lessons = all_exercises().items()
    return next(number for number, exercises in lessons if exercise in exercises)
