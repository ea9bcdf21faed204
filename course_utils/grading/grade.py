"""Grade a function against an exercise, and recognise which mistake it makes.

A misconception is recognised by behaviour: the learner's outputs equal those of the
wrong version on the same inputs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch

from course_utils.grading.exercise import (
    Arguments,
    Exercise,
    Misconception,
    Report,
    Row,
)
from course_utils.grading.trial import (
    LearnerError,
    Limits,
    NotAttempted,
    Refused,
    Stop,
    Trial,
    WrongKind,
    copied,
    no_limits,
    quietly,
)
from course_utils.grading.values import difference, structure_problem

DRAWS = 4  # sets of inputs on which a misconception must fit, so that no chance does


def recognise(exercise: Exercise, trial: Trial) -> Misconception | None:
    """Find the misconception whose outputs the function's outputs equal, if any."""
    inputs = [arguments for _ in range(DRAWS) for arguments in trial.inputs()]
    answers = [
        _outcome(trial.function, arguments, trial.limits) for arguments in inputs
    ]
    for misconception in exercise.misconceptions:
        if all(
            _same(exercise, misconception, arguments, answer)
            for arguments, answer in zip(inputs, answers, strict=True)
        ):
            return misconception
    return None


class _Raised(str):
    """What a call raised, in one line: two calls may fail in the same way."""


def _outcome(
    function: Callable[..., Any], arguments: Arguments, limits: Limits = no_limits
) -> Any:
    """Call a function on copies; return its answer, or what it raised."""
    try:
        with quietly([]), limits():
            return function(*copied(arguments))
    except Exception as error:
        return _Raised(f"{type(error).__name__}: {error}")


def _same(
    exercise: Exercise, misconception: Misconception, arguments: Arguments, answer: Any
) -> bool:
    wrong = _outcome(misconception.wrong, arguments)
    if isinstance(wrong, _Raised) or isinstance(answer, _Raised):
        return type(wrong) is type(answer) and wrong == answer
    if structure_problem(answer, wrong, "") is not None:
        return False
    try:
        wrong = exercise.fingerprint(arguments, wrong)
        answer = exercise.fingerprint(arguments, answer)
    except Exception:  # a fingerprint of an answer of the wrong shape may fail
        return False
    return difference(answer, wrong) <= exercise.tolerance


def grade(
    exercise: Exercise,
    function: Callable[..., Any],
    seed: int,
    limits: Limits = no_limits,
) -> Report:
    """Grade a function against an exercise; no display, no side effects.

    Parameters
    ----------
    exercise
        What to grade against.
    function
        The learner's version.
    seed
        Seed of the inputs; a grader passes a secret one.
    limits
        Builds the context of each call, see `course_utils.grading.limits.within`.

    Returns
    -------
    Report
        Status, a row per criterion, and the diagnosis when a misconception fits.
    """
    generator = torch.Generator().manual_seed(seed)
    trial = Trial(exercise, function, generator, limits)
    rows: list[Row] = []
    ended: str | None = None
    stopped = False
    for criterion in exercise.criteria:
        message = ended
        if ended is None:
            try:
                criterion.test(trial)
            except NotAttempted:
                return _untouched(exercise)
            except (Refused, LearnerError, Stop) as problem:
                message = str(problem)
                stopped = isinstance(problem, Stop)
                if stopped or isinstance(problem, WrongKind):
                    ended = message
        earned = criterion.points if message is None else 0.0
        rows.append(Row(criterion.text, earned, criterion.points, message))
    notes = tuple(dict.fromkeys(trial.heard))[:4]
    if all(row.message is None for row in rows):
        return Report(exercise.name, "passed", tuple(rows), notes=notes)
    found = None
    if not stopped:
        with contextlib.suppress(Stop):
            found = recognise(exercise, trial)
    return Report(
        exercise.name,
        "failed",
        tuple(rows),
        misconception=found.name if found else None,
        diagnosis=found.diagnosis if found else None,
        notes=notes,
    )


def _untouched(exercise: Exercise) -> Report:
    rows = tuple(
        Row(criterion.text, 0.0, criterion.points, "not attempted yet")
        for criterion in exercise.criteria
    )
    return Report(exercise.name, "not attempted", rows)
