"""A solved answer that is far too slow for its lesson gives way to the course's own.

A loop over examples is right, and quick on the small inputs of a check; a lesson may
call it with thousands. What takes minutes there is not worth the wait.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from course_utils.grading.exercise import Exercise
from course_utils.grading.trial import copied

PATIENCE = 10.0  # processor seconds of an answer in a lesson before it is compared
TIMES_SLOWER = 20.0  # than the course's version, on the same arguments


def with_patience(
    exercise: Exercise,
    function: Callable[..., Any],
    say: Callable[[str], None],
    patience: float = PATIENCE,
) -> Callable[..., Any]:
    """Wrap a solved answer: when it has cost much time, compare it, and step in.

    Parameters
    ----------
    exercise
        What it answers.
    function
        The learner's version.
    say
        Takes the sentence that tells of the change.
    patience
        Processor seconds of all calls together, after which the two are timed on one
        call. Waiting for a busy machine does not count.

    Returns
    -------
    callable
        Calls ``function``; the course's version once that has proved to be at least
        `TIMES_SLOWER` times as quick.
    """
    spent = 0.0
    now = function

    @functools.wraps(function)
    def answer(*args: Any, **kwargs: Any) -> Any:
        nonlocal spent, now
        begun = time.thread_time()
        result = now(*args, **kwargs)
        took = time.thread_time() - begun
        spent += took
        if now is function and spent > patience:
            spent = 0.0
            begun = time.thread_time()
            exercise.reference(*copied(args), **copied(kwargs))
            own = time.thread_time() - begun
            if took > TIMES_SLOWER * own:
                now = exercise.reference
                say(TEXT.format(times=took / own, seconds=patience))
        return result

    return answer


TEXT = (
    "your version is right, and takes {times:.0f} times as long as the course's on "
    "what this lesson gives it. After {seconds:g} seconds of it the course's own steps "
    "in, so that you need not wait: look for a loop over examples. Your points stay."
)
