"""What an exercise is made of, and what grading one finds out.

An exercise holds the course's own version of a function (the reference), criteria that
test a learner's version on freshly drawn inputs, and misconceptions: wrong versions
that real people write, each with one sentence of diagnosis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

Arguments = tuple[Any, ...]


def as_it_is(arguments: Arguments, output: Any) -> Any:
    """Compare the answer itself: the fingerprint where the right answer is unique."""
    return output


# --- the parts of an exercise -------------------------------------------------------


@dataclass(frozen=True)
class Misconception:
    """A wrong version that a real person would write.

    Parameters
    ----------
    name
        Short identifier, such as ``"mean_not_subtracted"``.
    diagnosis
        One or two sentences for the learner: what was done, and what it should be.
    wrong
        The wrong version: same arguments as the exercise.
    """

    name: str
    diagnosis: str
    wrong: Callable[..., Any]


@dataclass(frozen=True)
class Criterion:
    """One row of the table: what is tested, for how many points, and the test.

    ``test(trial)`` returns nothing when the row is met and raises `Refused` with a
    plain message when it is not.
    """

    text: str
    points: float
    test: Callable[..., None]


@dataclass(frozen=True)
class Exercise:
    """A function to write, and everything needed to say what is wrong with a version.

    Parameters
    ----------
    name
        Name of the function; `course_utils.check.check` finds the exercise by it.
    title
        What it is about, for the table of progress.
    reference
        The course's own version.
    returns
        What the function returns, with its shape in words, such as
        ``"(N, D) reconstruction"``; used in messages.
    inputs
        ``inputs(generator) -> list of argument tuples``, freshly drawn. Batch, data and
        latent sizes must differ from each other, so that a wrong reduction cannot be
        right by accident.
    criteria, misconceptions, hints
        See `Criterion`, `Misconception`; hints go from a nudge to nearly there.
    fingerprint
        ``fingerprint(arguments, output)``: what is compared where the right answer is
        not unique (a basis is known only up to signs, its projection is unique).
    probe
        ``probe(module, arguments)``: where the answer is a module, what is asked of it,
        as tensors (`course_utils.grading.building.Build`). Those are compared.
    edges
        ``edges(generator) -> list of argument tuples``: extreme or small inputs, such
        as a batch of one. A mistake may show on these alone.
    gradients
        Places of the arguments in which the answer is differentiated when a mistake is
        recognised: in a loss, a detached term is as wrong as a missing one.
    tolerance
        Largest difference, relative to the size of the expected answer, that still
        counts as equal. The inputs are float64; a step in float32, such as a plain
        ``torch.eye(D)``, should not cost the points.
    """

    name: str
    title: str
    reference: Callable[..., Any]
    returns: str
    inputs: Callable[[torch.Generator], list[Arguments]]
    criteria: tuple[Criterion, ...]
    misconceptions: tuple[Misconception, ...]
    hints: tuple[str, ...]
    fingerprint: Callable[[Arguments, Any], Any] = as_it_is
    probe: Callable[[Any, Arguments], Any] | None = None
    edges: Callable[[torch.Generator], list[Arguments]] = field(default=lambda g: [])
    gradients: tuple[int, ...] = ()
    tolerance: float = 1e-5

    def ask(
        self, version: Callable[..., Any], given: Arguments, arguments: Arguments
    ) -> Any:
        """Call a version; where it builds a module, ask that for its tensors.

        Parameters
        ----------
        version
            The reference, a learner's, or a wrong one.
        given
            What it is called with: mostly copies of ``arguments``.
        arguments
            What the probe is told, the same for all versions that are compared.
        """
        answer = version(*given)
        return answer if self.probe is None else self.probe(answer, arguments)

    @property
    def points(self) -> float:
        """Points of all criteria together."""
        return float(sum(criterion.points for criterion in self.criteria))


# --- results ------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One criterion's outcome; ``message`` is ``None`` when it was met."""

    text: str
    earned: float
    points: float
    message: str | None


@dataclass(frozen=True)
class Report:
    """Everything `grade` found out about one function."""

    exercise: str
    status: str  # "passed", "failed", "not attempted"
    rows: tuple[Row, ...]
    misconception: str | None = None
    diagnosis: str | None = None
    notes: tuple[str, ...] = ()
    converted: bool = False  # right values came in another container

    @property
    def score(self) -> float:
        """Points earned."""
        return float(sum(row.earned for row in self.rows))

    @property
    def points(self) -> float:
        """Points that could be earned."""
        return float(sum(row.points for row in self.rows))
