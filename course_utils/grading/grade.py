"""Grade a function against an exercise, and recognise which mistake it makes.

A misconception is recognised by behaviour: the learner's outputs equal those of the
wrong version on the same inputs.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from course_utils.grading.containers import Kind, converted, kind_of
from course_utils.grading.exercise import (
    Arguments,
    Exercise,
    Misconception,
    Report,
    Row,
    as_it_is,
)
from course_utils.grading.explain import Probe, explain
from course_utils.grading.surroundings import generators_kept, restored
from course_utils.grading.trial import (
    LearnerError,
    Limits,
    NotAttempted,
    Refused,
    Stop,
    Trial,
    WrongKind,
    gradients_of,
    no_limits,
    quietly,
    watched,
)
from course_utils.grading.values import difference, structure_problem

DRAWS = 4  # sets of inputs on which a misconception must fit, so that no chance does
CONSTANT = (
    "your function returns the same whatever it is given: its answer must depend on "
    "its arguments."
)


# --- recognising a mistake ----------------------------------------------------------


class _Raised(str):
    """What a call raised, in one line: two calls may fail in the same way."""


class _Call(NamedTuple):
    """One call: what was given, and what the learner's and the right version answer."""

    arguments: Arguments
    got: Any
    want: Any


def _outcome(
    exercise: Exercise, function: Callable[..., Any], arguments: Arguments
) -> Any:
    """Call a version of the course's on copies; return its answer, or what it raised.

    Where the exercise names `gradients`, they are part of the answer.
    """
    given = watched(arguments, exercise.gradients)
    try:
        with quietly([]):
            answer = exercise.ask(function, given, arguments)
            return _with_gradients(exercise, given, answer)
    except Exception as error:
        return _raised(error)


def _learners(
    exercise: Exercise, trial: Trial, arguments: Arguments, kind: Kind
) -> Any:
    """Do the same with the learner's function, within its limits."""
    given = watched(arguments, exercise.gradients)
    try:
        with restored([]), quietly([]), trial.limits():
            got = converted(exercise.ask(trial.function, given, arguments), kind)
            return _with_gradients(exercise, given, got)
    except (Stop, KeyboardInterrupt):
        raise
    except BaseException as error:
        return _raised(error)


def _with_gradients(exercise: Exercise, given: Arguments, answer: Any) -> Any:
    if not exercise.gradients:
        return answer
    return answer, gradients_of(answer, given, exercise.gradients)


def _raised(error: BaseException) -> _Raised:
    try:
        return _Raised(f"{type(error).__name__}: {error}")
    except Exception:  # an exception of the learner's own may fail to say what it is
        return _Raised(type(error).__name__)


def _calls(exercise: Exercise, trial: Trial, given: list[Arguments]) -> list[_Call]:
    calls = []
    for arguments in given:
        want = _outcome(exercise, exercise.reference, arguments)
        right = want if isinstance(want, _Raised) else _answer(exercise, want)
        got = _learners(exercise, trial, arguments, kind_of(right))
        calls.append(_Call(arguments, got, want))
    return calls


def _recognise(exercise: Exercise, calls: list[_Call]) -> Misconception | None:
    """Find the misconception whose outputs the function's outputs equal, if any."""
    for misconception in exercise.misconceptions:
        if all(_same(exercise, call, misconception.wrong) for call in calls):
            return misconception
    return None


def _same(exercise: Exercise, call: _Call, version: Callable[..., Any]) -> bool:
    """Whether the learner's answer, or error, of a call is that of another version."""
    if exercise.gradients and not isinstance(call.got, _Raised):
        plain = replace(exercise, gradients=())  # values first: they mostly decide
        values = call._replace(got=call.got[0])
        if not _equal(plain, values, _outcome(plain, version, call.arguments)):
            return False
    return _equal(exercise, call, _outcome(exercise, version, call.arguments))


def _equal(exercise: Exercise, call: _Call, other: Any) -> bool:
    """Whether the learner's answer, or error, of a call is this one."""
    got = call.got
    if isinstance(other, _Raised) or isinstance(got, _Raised):
        return type(other) is type(got) and other == got
    if structure_problem(got, other, "") is not None:
        return False
    try:
        other = _compared(exercise, call.arguments, other)
        got = _compared(exercise, call.arguments, got)
    except Exception:  # a fingerprint of an answer of the wrong shape may fail
        return False
    return difference(got, other) <= exercise.tolerance


def _compared(exercise: Exercise, arguments: Arguments, outcome: Any) -> Any:
    if not exercise.gradients:
        return exercise.fingerprint(arguments, outcome)
    answer, gradients = outcome
    return exercise.fingerprint(arguments, answer), gradients


def _diagnosed(
    trial: Trial, ordinary: list[_Call], edges: list[_Call]
) -> tuple[str | None, str | None]:
    """Find what a wrong answer is: a mistake on file, or what can be said of it.

    Returns
    -------
    tuple
        The mistake's name, where there is one on file, and the diagnosis.
    """
    exercise = trial.exercise
    calls = [*ordinary, *edges]
    if all(_equal(exercise, call, call.want) for call in calls):
        return None, None  # the values are right: the fault is elsewhere
    found = _recognise(exercise, calls)
    if any(not _equal(exercise, call, call.want) for call in ordinary):
        calls = ordinary  # if more goes wrong at the edges, this comes first
        found = found or _recognise(exercise, ordinary)
    if found:
        return found.name, found.diagnosis
    outcomes = [one for call in calls for one in (call.got, call.want)]
    if any(isinstance(one, _Raised) for one in outcomes):
        return None, None
    probes = [
        Probe(call.arguments, _answer(exercise, call.got), _answer(exercise, call.want))
        for call in calls
    ]
    if all(difference(probe.got, probe.want) <= exercise.tolerance for probe in probes):
        return None, None  # a gradient is wrong, and its criterion says so
    several = _recognise_parts(exercise, probes)
    if several:
        return " + ".join(one.name for one in several), _joined(several)
    with trial.limits():
        return None, explain(exercise, probes)


def _recognise_parts(exercise: Exercise, probes: list[Probe]) -> list[Misconception]:
    """Find a misconception for each wrong one of several values, or none at all."""
    if exercise.fingerprint is not as_it_is or not isinstance(probes[0].want, tuple):
        return []
    found = []
    for place in range(len(probes[0].want)):
        if all(_part_is(exercise, probe, place, probe.want) for probe in probes):
            continue
        for misconception in exercise.misconceptions:
            if all(
                _part_is(exercise, probe, place, misconception.wrong)
                for probe in probes
            ):
                found.append(misconception)
                break
        else:
            return []
    return list(dict.fromkeys(found))


def _part_is(exercise: Exercise, probe: Probe, place: int, other: Any) -> bool:
    """Whether one of several values is that of an answer, or of a wrong version's."""
    if callable(other):
        outcome = _outcome(exercise, other, probe.arguments)
        other = outcome if isinstance(outcome, _Raised) else _answer(exercise, outcome)
    whole = (probe.got, other)
    if not all(isinstance(w, tuple | list) and len(w) > place for w in whole):
        return False
    return difference(probe.got[place], other[place]) <= exercise.tolerance


def _joined(several: list[Misconception]) -> str:
    return " ".join(dict.fromkeys(m.diagnosis for m in several))


def _answer(exercise: Exercise, outcome: Any) -> Any:
    return outcome[0] if exercise.gradients else outcome


def _is_constant(exercise: Exercise, calls: list[_Call]) -> bool:
    """Whether the answers are the same wherever the right ones have the same shape."""
    moved = False
    for one, other in itertools.combinations(calls, 2):
        if math.isinf(difference(one.want, other.want)):
            continue
        if isinstance(one.got, _Raised) or difference(one.got, other.got) > 0:
            return False
        moved = moved or difference(one.want, other.want) > exercise.tolerance
    return moved


# --- the grading --------------------------------------------------------------------


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
        Status, a row per criterion, and the diagnosis: of the misconception that fits,
        or what can be said of the answer. An answer that never changes earns nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    trial = Trial(exercise, function, generator, limits)
    with generators_kept():
        return _graded(exercise, trial)


def _graded(exercise: Exercise, trial: Trial) -> Report:
    try:
        rows, ended = _rows(exercise, trial)
    except NotAttempted:
        return nothing_earned(exercise, "not attempted", "not attempted yet")
    passed = all(row.message is None for row in rows)
    name, diagnosis = None, None
    if not passed and not ended:
        with contextlib.suppress(Stop):
            given = [inputs for _ in range(DRAWS) for inputs in trial.inputs()]
            ordinary = _calls(exercise, trial, given)
            edges = _calls(exercise, trial, exercise.edges(trial.generator))
            if _is_constant(exercise, ordinary):
                rows = [_not_earned(row) for row in rows]
            name, diagnosis = _diagnosed(trial, ordinary, edges)
    return Report(
        exercise.name,
        "passed" if passed else "failed",
        tuple(rows),
        misconception=name,
        diagnosis=diagnosis,
        notes=tuple(dict.fromkeys(trial.heard))[:4],
        converted=trial.kind is not None,
    )


def _rows(exercise: Exercise, trial: Trial) -> tuple[list[Row], bool]:
    """Test every criterion; also whether a call had to be stopped."""
    rows: list[Row] = []
    ended: str | None = None
    stopped = False
    for criterion in exercise.criteria:
        message = ended
        if ended is None:
            try:
                criterion.test(trial)
            except (Refused, LearnerError, Stop) as problem:
                message = str(problem)
                stopped = isinstance(problem, Stop)
                if stopped or isinstance(problem, WrongKind):
                    ended = message
        earned = criterion.points if message is None else 0.0
        rows.append(Row(criterion.text, earned, criterion.points, message))
    return rows, stopped


def _not_earned(row: Row) -> Row:
    return replace(row, earned=0.0, message=row.message or CONSTANT)


def nothing_earned(exercise: Exercise, status: str, message: str) -> Report:
    """Report that no criterion was met, for one reason."""
    rows = tuple(Row(c.text, 0.0, c.points, message) for c in exercise.criteria)
    return Report(exercise.name, status, rows)
