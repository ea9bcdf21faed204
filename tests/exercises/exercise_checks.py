"""What every exercise must do, tested the same way for all of them.

A lesson's test gives its right answers, written in other words than the reference, and
calls these functions. `SEEDS` fresh draws each; set COURSE_SEEDS=1000 for the long run.
"""

import os
from collections.abc import Callable

from course_utils.grading.exercise import Exercise
from course_utils.grading.grade import grade

SEEDS = int(os.environ.get("COURSE_SEEDS", "8"))


def assert_well_formed(exercise: Exercise) -> None:
    """Enough of everything: criteria, misconceptions, hints, points."""
    assert len(exercise.criteria) >= 2
    assert len(exercise.misconceptions) >= 5
    assert len(exercise.hints) >= 3
    assert exercise.points > 0
    names = [misconception.name for misconception in exercise.misconceptions]
    assert len(set(names)) == len(names)
    for misconception in exercise.misconceptions:
        assert 30 <= len(misconception.diagnosis) <= 320, misconception.name


def assert_accepted(exercise: Exercise, answer: Callable) -> None:
    """A right answer is never refused."""
    for seed in range(SEEDS):
        report = grade(exercise, answer, seed)
        assert report.status == "passed", (seed, report)
        assert report.score == exercise.points


def assert_rejected_and_named(exercise: Exercise, name: str) -> None:
    """A misconception is always refused and never called by another's diagnosis."""
    known = {item.name: item for item in exercise.misconceptions}
    for seed in range(SEEDS):
        report = grade(exercise, known[name].wrong, seed)
        assert report.status == "failed", (seed, name)
        assert report.score < exercise.points
        assert report.diagnosis == known[name].diagnosis, (seed, name, report)


def assert_fresh(exercise: Exercise) -> None:
    """Other seeds give other inputs, the same seed the same."""
    import torch

    def inputs(seed: int) -> str:
        return repr(exercise.inputs(torch.Generator().manual_seed(seed)))

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)


__all__ = [
    "SEEDS",
    "assert_accepted",
    "assert_fresh",
    "assert_rejected_and_named",
    "assert_well_formed",
]
