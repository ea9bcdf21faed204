"""Endless loops and huge allocations end with a plain message."""

import contextlib
import signal
import sys
import time

import pytest
import torch

from course_utils.exercises import find
from course_utils.grading.grade import grade
from course_utils.grading.limits import (
    OutOfMemory,
    TimeUp,
    memory_limit,
    time_limit,
    within,
)

EXERCISE = find("squared_error")


def spin():
    while True:
        pass


def spin_in_torch():
    x = torch.ones(3, 3)
    while True:
        x = x @ x / 3


def spin_and_swallow():
    while True:
        try:
            spin()
        except Exception:
            pass


def swallow_once():
    try:
        spin()
    except:  # noqa: E722
        spin()


@pytest.mark.parametrize("loop", [spin, spin_in_torch, spin_and_swallow, swallow_once])
def test_endless_loops_are_stopped(loop):
    with pytest.raises(TimeUp, match="took too long"), time_limit(0.2):
        loop()


def test_a_quick_call_is_left_alone_and_the_alarm_is_given_back():
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(0.2):
        pass
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    time.sleep(0.3)


def test_the_alarm_is_given_back_after_a_stop():
    with contextlib.suppress(TimeUp), time_limit(0.1):
        spin()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_all_calls_together_have_a_limit():
    limited = within(seconds=10.0, together=0.3)
    with contextlib.suppress(TimeUp), limited():
        spin()
    with pytest.raises(TimeUp), limited():
        spin()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux has this limit")
@pytest.mark.parametrize("library", ["torch", "numpy", "python"])
def test_huge_allocations_are_refused(library):
    import numpy as np

    huge = {
        "torch": lambda: torch.ones(20_000, 20_000, 10),
        "numpy": lambda: np.ones((20_000, 20_000, 10)),
        "python": lambda: bytearray(16 * 2**30),
    }
    with pytest.raises(OutOfMemory, match="MemoryError"), memory_limit(1.0):
        huge[library]()
    assert torch.ones(100, 100).sum() == 10_000  # and all is as before


def test_other_runtime_errors_pass_through():
    with pytest.raises(RuntimeError, match="cannot be multiplied"), memory_limit():
        torch.ones(2, 3) @ torch.ones(2, 3)


@pytest.mark.parametrize("limit", [time_limit, memory_limit])
def test_a_limit_must_be_positive(limit):
    with pytest.raises(ValueError, match="more than 0"), limit(0.0):
        pass


def test_a_grade_ends_at_the_first_stop():
    calls = []

    def answer(x, x_hat):
        calls.append(1)
        spin()

    report = grade(EXERCISE, answer, 1, lambda: time_limit(0.2))
    assert report.status == "failed"
    assert len(calls) == 1
    assert all("took too long" in row.message for row in report.rows)
    assert report.diagnosis is None
