"""Explain a wrong answer that no mistake on file fits, by what it has in common.

Two questions are asked of every answer: is it the expected one changed in a simple way
(twice, negative, averaged, transposed), and is it the expected one of an argument read
in another way (a variance for a deviation, two arguments swapped)? Whatever is said
held on every input that was tried.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from course_utils.grading.exercise import Arguments, Exercise, as_it_is
from course_utils.grading.relations import NEAR, relation
from course_utils.grading.trial import copied
from course_utils.grading.values import difference, structure_problem

LEAST = 2  # calls; what holds for one may be chance


class Probe(NamedTuple):
    """One call: what was given, what came back, and what the course's version says."""

    arguments: Arguments
    got: Any
    want: Any


def explain(exercise: Exercise, probes: list[Probe]) -> str | None:
    """Say in one sentence what a wrong answer is, or nothing.

    Parameters
    ----------
    exercise
        What was asked for.
    probes
        Calls of the learner's function, with answers of any kind.
    """
    probes = [probe for probe in probes if _is_finite(probe.got)]
    if len(probes) < LEAST:  # NaN has a message of its own
        return None
    if all(_near(probe.got, probe.want) for probe in probes):
        return None  # what is wrong are the others
    names = tuple(inspect.signature(exercise.reference).parameters)
    if exercise.fingerprint is as_it_is:
        said = _of_the_output(names, probes)
        if said:
            return said
    return _of_the_arguments(exercise, names, probes)


def _is_finite(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_finite, value))
    if isinstance(value, torch.Tensor):
        return bool(value.isfinite().all())
    return not isinstance(value, float) or math.isfinite(value)


# --- the output ---------------------------------------------------------------------


def _of_the_output(names: tuple[str, ...], probes: list[Probe]) -> str | None:
    if not isinstance(probes[0].want, tuple | list):
        said = relation(names, [(p.arguments, p.got, p.want) for p in probes])
        return f"Your answer is {said}." if said else None
    size = len(probes[0].want)
    if not all(
        isinstance(p.got, tuple | list) and len(p.got) == len(p.want) == size
        for p in probes
    ):
        return None
    if size > 1 and all(_near(p.got, list(p.want)[::-1]) for p in probes):
        return "The values are right, in the reverse order."
    parts = []
    for place in range(size):
        if all(_near(p.got[place], p.want[place]) for p in probes):
            continue
        said = relation(
            names, [(p.arguments, p.got[place], p.want[place]) for p in probes]
        )
        if said is None:
            return None
        parts.append(f"value {place + 1} of your answer is {said}")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "." if parts else None


def _near(got: Any, want: Any) -> bool:
    return difference(got, want) <= NEAR


# --- the arguments ------------------------------------------------------------------

Reading = tuple[str, Callable[[Arguments], Arguments]]

OF_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "{0}² in the place of {0}": lambda value: value**2,
    "the root of {0} in the place of {0}": lambda value: value**0.5,
    "1/{0} in the place of {0}": lambda value: 1 / value,
    "−{0} in the place of {0}": lambda value: -value,
    "2·{0} in the place of {0}": lambda value: 2 * value,
    "{0}/2 in the place of {0}": lambda value: value / 2,
    "{0} + 1 in the place of {0}": lambda value: value + 1,
    "{0} − 1 in the place of {0}": lambda value: value - 1,
    "1 in the place of {0}": lambda value: type(value)(1),
    "0 in the place of {0}": lambda value: type(value)(0),
}
OF_TENSORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "{0}² in the place of {0}": lambda value: value**2,
    "the root of {0} in the place of {0}": lambda value: value.sqrt(),
    "−{0} in the place of {0}": lambda value: -value,
    "2·{0} in the place of {0}": lambda value: 2 * value,
    "{0}/2 in the place of {0}": lambda value: value / 2,
    "exp({0}) in the place of {0}": lambda value: value.exp(),
    "exp({0}/2) in the place of {0}": lambda value: (value / 2).exp(),
    "log({0}) in the place of {0}": lambda value: value.log(),
    "sigmoid({0}) in the place of {0}": lambda value: value.sigmoid(),
    "1/{0} in the place of {0}": lambda value: 1 / value,
    "|{0}| in the place of {0}": lambda value: value.abs(),
    "1 − {0} in the place of {0}": lambda value: 1 - value,
    "zeros in the place of {0}": torch.zeros_like,
    "ones in the place of {0}": torch.ones_like,
    "{0} without its mean over axis 0": lambda value: value - value.mean(0),
    "{0} transposed": lambda value: value.transpose(-1, -2),
    "{0} in the reverse order": lambda value: value.flip(0),
}


def _of_the_arguments(
    exercise: Exercise, names: tuple[str, ...], probes: list[Probe]
) -> str | None:
    for text, read in _readings(names, probes[0].arguments):
        if all(_fits(exercise, probe, read) for probe in probes):
            return f"Your answer is what comes out with {text}."
    return None


def _readings(names: tuple[str, ...], arguments: Arguments) -> Iterator[Reading]:
    for place, value in enumerate(arguments):
        for text, change in _changes(value).items():
            yield text.format(names[place]), _replaced({place: (place, change)})
    for one, first in enumerate(arguments):
        for other, second in enumerate(arguments[:one]):
            if _alike(first, second):
                text = f"{names[other]} and {names[one]} swapped"
                yield text, _replaced({one: (other, _same), other: (one, _same)})


def _same(value: Any) -> Any:
    return value


def _changes(value: Any) -> dict[str, Callable[[Any], Any]]:
    if isinstance(value, torch.Tensor):
        return OF_TENSORS if value.is_floating_point() else {}
    return OF_NUMBERS if isinstance(value, int | float) else {}


def _alike(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first.ndim == second.ndim
    return isinstance(first, int | float) and type(first) is type(second)


def _replaced(
    changes: dict[int, tuple[int, Callable[[Any], Any]]],
) -> Callable[[Arguments], Arguments]:
    """Put changed arguments in places: place -> (taken from, changed by)."""

    def read(arguments: Arguments) -> Arguments:
        new = list(arguments)
        for place, (source, change) in changes.items():
            new[place] = change(arguments[source])
        return tuple(new)

    return read


def _fits(
    exercise: Exercise, probe: Probe, read: Callable[[Arguments], Arguments]
) -> bool:
    """Whether the course's version of the changed arguments gives this answer."""
    try:
        given = read(copied(probe.arguments))
        other = exercise.ask(exercise.reference, given, probe.arguments)
        if structure_problem(probe.got, other, "") is not None:
            return False
        got = exercise.fingerprint(probe.arguments, probe.got)
        other = exercise.fingerprint(probe.arguments, other)
    except Exception:  # the course's version may refuse such arguments
        return False
    return difference(got, other) <= exercise.tolerance
