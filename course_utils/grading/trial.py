"""Call a learner's function safely: on copies, within limits, its errors in words."""

from __future__ import annotations

import contextlib
import io
import linecache
import textwrap
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from course_utils.grading.exercise import Arguments, Exercise
from course_utils.grading.values import difference, example, structure_problem

Limits = Callable[[], contextlib.AbstractContextManager[None]]


class Refused(Exception):
    """A plain message for the learner: what is wrong with one answer."""


class WrongKind(Refused):
    """The answer is of the wrong kind: type, shape, dtype, NaN. Ends the grading."""


class NotAttempted(Exception):
    """The function is still the stub it came as."""


class LearnerError(Exception):
    """The learner's function raised; the message names the error and their line."""


class Stop(BaseException):
    """A call was stopped (time or memory); the message says why. Ends the grading.

    Not an ``Exception``, so that a learner's ``except Exception`` does not swallow it.
    """


# --- calling a learner's function ---------------------------------------------------


def copied(value: Any) -> Any:
    """Copy tensors inside tuples, lists and dicts, for a call to work on."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, tuple | list):
        return type(value)(copied(part) for part in value)
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    return value


def unharmed(value: Any, before: Any) -> bool:
    """Whether a value is what it was before the call, to the bit."""
    if isinstance(before, torch.Tensor):
        same_kind = value.shape == before.shape and value.dtype == before.dtype
        return same_kind and torch.equal(value.detach(), before)
    if isinstance(before, tuple | list):
        return len(value) == len(before) and all(map(unharmed, value, before))
    if isinstance(before, dict):
        return set(value) == set(before) and all(
            unharmed(value[key], before[key]) for key in before
        )
    return bool(value == before)


@contextlib.contextmanager
def quietly(heard: list[str]) -> Iterator[None]:
    """Keep warnings and printed text of a call, and put them into ``heard``."""
    printed = io.StringIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                yield
            finally:
                for warning in caught:
                    text = str(warning.message).split("\n")[0]
                    heard.append(f"it warns: {_shortened(text)}")
                for line in printed.getvalue().splitlines()[:3]:
                    heard.append(f"it prints: {_shortened(line)}")


def _shortened(text: str) -> str:
    return textwrap.shorten(text, 160, placeholder=" …")


def error_message(function: Callable[..., Any], error: BaseException) -> str:
    """Name an error and the learner's line, in one short text."""
    text = str(error).strip().split("\n")[0][:300]
    kind = type(error).__name__
    said = f"your function raises {kind}" + (f": {text}" if text else "")
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType):
        return said
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if frame.filename == code.co_filename]
    if not mine:
        return said
    number = mine[-1].lineno or code.co_firstlineno
    source = linecache.getline(code.co_filename, number).strip()
    place = f"line {number - code.co_firstlineno + 1} of your function"
    return f"{said} (in {place}: `{source}`)" if source else f"{said} (in {place})"


@contextlib.contextmanager
def no_limits() -> Iterator[None]:
    """Run a call without limits on time and memory."""
    yield


class Trial:
    """One grading of one function: calls it safely and compares its answers.

    Parameters
    ----------
    exercise
        The exercise it is graded against.
    function
        The learner's version.
    generator
        Source of fresh random inputs.
    limits
        Builds the context of each call, see `course_utils.grading.limits.within`.

    Attributes
    ----------
    heard
        What the function printed and warned, in lines for the learner.
    """

    def __init__(
        self,
        exercise: Exercise,
        function: Callable[..., Any],
        generator: torch.Generator,
        limits: Limits = no_limits,
    ) -> None:
        self.exercise = exercise
        self.function = function
        self.generator = generator
        self.limits = limits
        self.heard: list[str] = []

    def raw(self, *arguments: Any) -> Any:
        """Call the function within its limits; no judgement of the answer.

        Raises
        ------
        NotAttempted
            If it is still a stub.
        LearnerError
            If it raises.
        Stop
            If it was stopped.
        """
        try:
            with quietly(self.heard), self.limits():
                return self.function(*arguments)
        except NotImplementedError:
            raise NotAttempted from None
        except Exception as error:
            raise LearnerError(error_message(self.function, error)) from None

    def call(self, *arguments: Any) -> Any:
        """Call the function, and refuse an answer of the wrong kind.

        Raises
        ------
        Refused
            If the function changed its inputs in place.
        WrongKind
            If its answer differs from the reference's in type, shape or dtype, or is
            NaN.
        NotAttempted, LearnerError, Stop
            As `raw`.
        """
        given = copied(arguments)
        got = self.raw(*given)
        if not unharmed(given, arguments):
            raise Refused(
                "your function changes its inputs in place: work on new tensors "
                "(x - mean instead of x -= mean), the caller still needs them."
            )
        want = self.reference(*arguments)
        problem = structure_problem(got, want, self.exercise.returns)
        if problem:
            raise WrongKind(problem)
        return got

    def reference(self, *arguments: Any) -> Any:
        """Call the course's own version on copies."""
        return self.exercise.reference(*copied(arguments))

    def inputs(self) -> list[Arguments]:
        """Draw fresh arguments."""
        return self.exercise.inputs(self.generator)

    def expect_close(
        self, got: Any, want: Any, what: str = "", tolerance: float | None = None
    ) -> None:
        """Refuse ``got`` unless it equals ``want`` within the exercise's tolerance.

        Raises
        ------
        Refused
            With the place of the largest difference, and ``what`` before it.
        """
        limit = self.exercise.tolerance if tolerance is None else tolerance
        if difference(got, want) > limit:
            prefix = f"{what}: " if what else ""
            raise Refused(prefix + example(got, want) + ".")
