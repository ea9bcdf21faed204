"""Grade in a copy of this process, which can be ended whatever the function does.

A timer interrupts Python code, but not a loop inside C (``sum(itertools.repeat(0))``)
nor one that catches everything. Where a process can be copied safely (Linux), the check
runs in a copy: a hopeless call ends the copy, and the learner's kernel lives on.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch

from course_utils.grading.exercise import Exercise, Report, Row
from course_utils.grading.grade import grade, nothing_earned
from course_utils.grading.limits import SECONDS, SECONDS_TOGETHER, TOO_LONG, within
from course_utils.grading.trial import Limits, codes_of

GRACE = 2.0  # seconds for the timer inside, before the copy is ended from outside
BEGUN, ENDED = b"(", b")"  # what the copy writes around each call of the function
ENDS_ITSELF = (
    "your function ends the whole process (os._exit, or a crash inside a library): "
    "the notebook would stop here."
)
INTERRUPTS = "your function raises KeyboardInterrupt, as the stop button does."


class CourseError(RuntimeError):
    """The check itself failed: a defect of the course, with its trace."""


def can_copy() -> bool:
    """Whether this process can be copied safely: Linux."""
    return sys.platform.startswith("linux")


def grade_apart(
    exercise: Exercise,
    function: Callable[..., Any],
    seed: int,
    seconds: float = SECONDS,
    together: float = SECONDS_TOGETHER,
) -> Report:
    """Grade as `course_utils.grading.grade.grade` does, in a copy of this process.

    Parameters
    ----------
    exercise, function, seed
        As in `grade`.
    seconds, together
        Longest time of one call, and of the whole check.

    Raises
    ------
    CourseError
        If the check itself fails.
    """
    if exercise.probe is not None or _optimises(function):
        torch.optim.SGD([torch.zeros(1)])  # loads code before the clock runs
    if not can_copy():
        return grade(exercise, function, seed, within(seconds, together))
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # copying is safe: the copy uses one thread
        child = os.fork()
    if child == 0:
        os.close(reading)
        _work(exercise, function, seed, within(seconds, together), writing)
    os.close(writing)
    try:
        said, stopped = _listen(reading, seconds + GRACE)
    finally:
        os.close(reading)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return _report(exercise, said, stopped)


def _optimises(function: Callable[..., Any]) -> bool:
    """Whether a function names an optimiser of torch, in its own lines."""
    names = {name for code in codes_of(function) for name in code.co_names}
    return bool(names & {"optim", *torch.optim.__all__})


# --- in the copy --------------------------------------------------------------------


def _work(
    exercise: Exercise,
    function: Callable[..., Any],
    seed: int,
    limits: Limits,
    writing: int,
) -> None:
    """Grade, write the outcome, and end the process; never returns."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stop button is the parent's
        torch.set_num_threads(1)  # the threads of the parent are not copied
        outcome: dict[str, Any] = asdict(
            grade(exercise, function, seed, _announced(limits, writing))
        )
    except KeyboardInterrupt:
        outcome = {"refused": INTERRUPTS}
    except BaseException:
        outcome = {"defect": traceback.format_exc()}
    try:
        text = json.dumps(outcome).encode()
        while text:
            text = text[os.write(writing, text) :]
    finally:
        os._exit(0)


def _announced(limits: Limits, writing: int) -> Limits:
    """Write when a call of the learner's function begins and ends."""

    @contextlib.contextmanager
    def announced() -> Iterator[None]:
        os.write(writing, BEGUN)
        try:
            with limits():
                yield
        finally:
            os.write(writing, ENDED)

    return announced


# --- in this process ----------------------------------------------------------------


def _listen(reading: int, patience: float) -> tuple[bytes, bool]:
    """Read what the copy says; give up when one call takes longer than ``patience``."""
    said = b""
    running = False
    while True:
        ready, _, _ = select.select([reading], [], [], patience if running else None)
        if not ready:
            return b"", True
        new = os.read(reading, 65536)
        if not new:
            return said, False
        said = (said + new).lstrip(BEGUN + ENDED)
        running = not said and new.endswith(BEGUN)


def _report(exercise: Exercise, said: bytes, stopped: bool) -> Report:
    if stopped:
        return nothing_earned(exercise, "failed", TOO_LONG)
    if not said:
        return nothing_earned(exercise, "failed", ENDS_ITSELF)
    found = json.loads(said)
    if "defect" in found:
        raise CourseError(f"the check of {exercise.name} failed:\n{found['defect']}")
    if "refused" in found:
        return nothing_earned(exercise, "failed", found["refused"])
    rows = tuple(Row(**row) for row in found.pop("rows"))
    return Report(**{**found, "rows": rows, "notes": tuple(found["notes"])})
