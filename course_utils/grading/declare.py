"""An exercise as its author writes it: words in Markdown, mistakes in a table.

``lesson00.md`` holds the words of ``lesson00.py``: of each exercise the title, what the
function returns, the hints, and a diagnosis for each mistake. `declare` joins the two.

A mistake is the right answer with a step done otherwise. The author names the steps of
the answer once; each step, and each mistake, is a small function that asks for the
arguments and for other steps *by the names of its parameters*.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import torch

from course_utils.grading.exercise import Arguments, Criterion, Exercise, Misconception

Step = Callable[..., Any]
Steps = Mapping[str, Step]

SECTION = re.compile(r"^## (\w+)\n\n(.+)\n→ (.+)\n((?:(?!## ).*\n?)*)", re.MULTILINE)
HINT = re.compile(r"^\d\. (.+(?:\n {3}.+)*)", re.MULTILINE)
DIAGNOSIS = re.compile(r"^- (`.+?`): (.+(?:\n {2}.+)*)", re.MULTILINE)


class Words(NamedTuple):
    """What is said about one exercise; diagnoses by name, or by a pattern of names."""

    name: str
    title: str
    returns: str
    hints: tuple[str, ...]
    diagnoses: dict[str, str]

    def diagnosis(self, mistake: str) -> str:
        """Find the diagnosis of a mistake; the first pattern that fits.

        Raises
        ------
        ValueError
            If none fits.
        """
        for pattern, said in self.diagnoses.items():
            if fnmatchcase(mistake, pattern):
                return said
        raise ValueError(f"the mistake {mistake!r} has no diagnosis in the Markdown")


def words_beside(module: str) -> dict[str, Words]:
    """Read the words of a lesson's exercises, by name, from beside its ``__file__``.

    Raises
    ------
    ValueError
        If a line of an exercise is none of title, return, hint or diagnosis, or an
        exercise or a diagnosis stands twice: it would be lost.
    """
    path = Path(module).with_suffix(".md")
    text = path.read_text(encoding="utf-8")
    found: dict[str, Words] = {}
    for section in re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]:
        match = SECTION.fullmatch(section)
        if match is None:
            name = section.splitlines()[0].removeprefix("## ")
            raise ValueError(
                f"{path.name}, {name}: expected the name, a blank line, the title, "
                "'→' and what is returned"
            )
        name, title, returns, rest = match.groups()
        if name in found:
            raise ValueError(f"{path.name}: {name} stands twice")
        found[name] = _words(name, title, returns, rest, f"{path.name}, {name}")
    return found


def _words(name: str, title: str, returns: str, rest: str, where: str) -> Words:
    left = DIAGNOSIS.sub("", HINT.sub("", rest)).strip()
    if left:
        line = left.splitlines()[0]
        raise ValueError(f"{where}: {line!r} is neither a hint nor a diagnosis")
    diagnoses: dict[str, str] = {}
    for patterns, said in DIAGNOSIS.findall(rest):
        for pattern in re.findall("`(.+?)`", patterns):
            if pattern in diagnoses:
                raise ValueError(f"{where}: {pattern} has two diagnoses")
            diagnoses[pattern] = _joined(said)
    hints = tuple(_joined(hint) for hint in HINT.findall(rest))
    return Words(name, title, returns, hints, diagnoses)


def _joined(text: str) -> str:
    return " ".join(text.split())


def instead(**steps: Step) -> dict[str, Step]:
    """Write a mistake: these steps, or arguments, in place of the right ones.

    A step that asks for its own name gets the right value.

    Examples
    --------
    >>> right = {"square": lambda x: x**2, "answer": lambda square: square.sum()}
    >>> halved = instead(square=lambda square: square / 2)
    >>> evaluate("answer", {"x": torch.ones(4)}, right, halved)
    tensor(2.)
    """
    return steps


def evaluate(
    name: str, arguments: Mapping[str, Any], steps: Steps, changed: Steps
) -> Any:
    """Work out one step, and what it asks for, with some steps changed.

    Raises
    ------
    ValueError
        If a step needs its own value, through others.
    KeyError
        If a step asks for what is neither a step nor an argument.
    """
    known: dict[tuple[str, bool], Any] = {}
    begun: set[tuple[str, bool]] = set()

    def value(name: str, right: bool = False) -> Any:
        step = steps.get(name) if right or name not in changed else changed[name]
        if step is None:
            return arguments[name]
        if (name, right) not in known:
            if (name, right) in begun:
                raise ValueError(f"the step {name!r} needs its own value")
            begun.add((name, right))
            asked = {other: value(other, right=other == name) for other in _asks(step)}
            known[name, right] = step(**asked)
        return known[name, right]

    return value(name)


@functools.cache
def _asks(step: Step) -> tuple[str, ...]:
    parameters = inspect.signature(step).parameters.values()
    return tuple(p.name for p in parameters if p.default is p.empty)


def declare(
    words: Words,
    reference: Step,
    inputs: Callable[[torch.Generator], list[Arguments]],
    criteria: Sequence[Criterion],
    mistakes: Mapping[str, Step | Steps],
    steps: Steps | None = None,
    **more: Any,
) -> Exercise:
    """Build an exercise from its words and its code.

    Parameters
    ----------
    words
        One of `words_beside`.
    reference
        The course's own version.
    inputs
        Draws fresh arguments, see `Exercise.inputs`.
    criteria
        What earns points, see `Criterion`.
    mistakes
        By name, what people return `instead`: a function for another answer, or
        changed steps. Every one has its diagnosis in the Markdown, and none is left.
    steps
        Parts of the right answer by name. ``answer`` is one: the reference's, unless
        the steps say how it is put together.
    more
        ``fingerprint``, ``probe`` and other fields of the `Exercise`.

    Raises
    ------
    ValueError
        If a mistake has no diagnosis, or a diagnosis no mistake.
    """
    names = tuple(inspect.signature(reference).parameters)
    right = {"answer": reference, **(steps or {})}
    for pattern in words.diagnoses:
        if not any(fnmatchcase(mistake, pattern) for mistake in mistakes):
            raise ValueError(f"no mistake is named {pattern!r}, which has a diagnosis")

    def version(mistake: Step | Steps) -> Step:
        changed = mistake if isinstance(mistake, Mapping) else {"answer": mistake}

        def wrong(*given: Any) -> Any:
            # The reference may have more parameters, with defaults.
            arguments = dict(zip(names, given, strict=False))
            return evaluate("answer", arguments, right, changed)

        return wrong

    return Exercise(
        name=words.name,
        title=words.title,
        reference=reference,
        returns=words.returns,
        inputs=inputs,
        criteria=tuple(criteria),
        misconceptions=tuple(
            Misconception(one, words.diagnosis(one), version(mistake))
            for one, mistake in mistakes.items()
        ),
        hints=words.hints,
        **more,
    )
