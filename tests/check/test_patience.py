"""A right answer that would take minutes in a lesson gives way, and only that one."""

import pytest
import torch

from course_utils.check import patience as module
from course_utils.check.patience import with_patience
from course_utils.exercises import find

EXERCISE = find("squared_error")


class Clock:
    """Stands still but for what the functions here say that they take."""

    now = 0.0

    def thread_time(self):
        self.now += 1e-6
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(module, "time", own := Clock())
    return own


def right(x, x_hat):
    return ((x - x_hat) ** 2).sum(1).mean()


def call(function, times):
    x = torch.randn(20, 5)
    return [float(function(x, 0 * x)) - float(right(x, 0 * x)) for _ in range(times)]


def test_a_slow_answer_gives_way_once_and_says_so(clock):
    said, calls = [], []

    def counted(x, x_hat):
        calls.append(1)
        clock.now += 0.1
        return right(x, x_hat)

    answer = with_patience(EXERCISE, counted, said.append, patience=0.25)
    assert max(map(abs, call(answer, 10))) < 1e-5  # right before and after
    assert len(calls) == 3
    assert len(said) == 1 and "times as long" in said[0]


def test_an_answer_as_quick_as_the_courses_stays_however_often_it_is_called():
    said, calls = [], []

    def counted(x, x_hat):
        calls.append(1)
        return right(x, x_hat)

    answer = with_patience(EXERCISE, counted, said.append, patience=0.000002)
    call(answer, 300)
    assert len(calls) == 300 and said == []


def test_it_keeps_its_name_its_keywords_and_its_gradient():
    answer = with_patience(EXERCISE, right, print)
    assert answer.__name__ == "right" and answer.__wrapped__ is right
    x = torch.randn(4, 3, requires_grad=True)
    answer(x=x, x_hat=torch.zeros(4, 3)).backward()
    torch.testing.assert_close(x.grad, 2 * x.detach() / 4)
