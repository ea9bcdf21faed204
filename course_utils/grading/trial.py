"""Call a learner's function safely: on copies, within limits, its errors in words."""

from __future__ import annotations

import contextlib
import inspect
import io
import linecache
import textwrap
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch

from course_utils.grading.containers import Kind, converted, kind_of, remark
from course_utils.grading.exercise import Arguments, Exercise
from course_utils.grading.surroundings import restored
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
    """Copy tensors inside tuples, lists and dicts, for a call to work on.

    A generator is copied in its state: every call draws the same.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, torch.Generator):
        return value.clone_state()
    if isinstance(value, tuple | list):
        return type(value)(copied(part) for part in value)
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    return value


def watched(arguments: Arguments, places: tuple[int, ...]) -> Arguments:
    """Copy arguments; those in some places record their gradients."""
    given: Arguments = copied(arguments)
    for place in places:
        given[place].requires_grad_()
    return given


def gradients_of(
    answer: Any, given: Arguments, places: tuple[int, ...]
) -> tuple[torch.Tensor, ...]:
    """Differentiate an answer in some arguments, which must require gradients.

    Parameters
    ----------
    answer
        A tensor, or several; each entry enters with a weight of its own, so that no
        two parts cancel. Parts without a gradient count as constants.
    given
        The arguments of the call.
    places
        Which of them.

    Returns
    -------
    tuple of Tensor
        A gradient for each place; zeros where the answer does not depend on it.
    """
    parts = answer if isinstance(answer, tuple | list) else [answer]
    total = sum(
        (part * _weights(part)).sum()
        for part in parts
        if isinstance(part, torch.Tensor) and part.requires_grad
    )
    wanted = [given[place] for place in places]
    if not isinstance(total, torch.Tensor):
        return tuple(torch.zeros_like(one) for one in wanted)
    found = torch.autograd.grad(total, wanted, allow_unused=True)
    return tuple(
        torch.zeros_like(one) if grad is None else grad
        for grad, one in zip(found, wanted, strict=True)
    )


def _weights(part: torch.Tensor) -> torch.Tensor:
    steps = torch.arange(part.numel(), dtype=part.dtype).reshape(part.shape)
    return 1 + 0.3 * torch.cos(2.4 * steps)


def unharmed(value: Any, before: Any) -> bool:
    """Whether a value is what it was before the call, to the bit.

    A generator may be drawn from.
    """
    if isinstance(before, torch.Generator):
        return True
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
    try:
        text = str(error).strip().split("\n")[0][:300]
    except Exception:  # an exception of the learner's own may fail to say what it is
        text = ""
    kind = type(error).__name__
    said = f"your function raises {kind}" + (f": {text}" if text else "")
    if isinstance(error, SystemExit):
        said += " (exit() would end the whole notebook: return the answer)"
    code = getattr(function, "__code__", None)
    if isinstance(function, type):
        code = next(iter(codes_of(function)), None)
    if not isinstance(code, types.CodeType):
        return said
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if frame.filename == code.co_filename]
    if not mine:
        return said
    number = mine[-1].lineno or code.co_firstlineno
    source = linecache.getline(code.co_filename, number).strip()
    if isinstance(function, type):  # where a class begins is not known
        return f"{said} (in `{source}`)" if source else said
    place = f"line {number - code.co_firstlineno + 1} of your function"
    return f"{said} (in {place}: `{source}`)" if source else f"{said} (in {place})"


def is_stub(function: Callable[..., Any], error: NotImplementedError) -> bool:
    """Whether an error is the stub's own bare ``raise NotImplementedError``.

    It may stand in the function, or in a class: one that the function defines, or that
    stands in its place. torch raises the same error, with a text, for many an honest
    slip.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if error.args or trace is None:
        return False
    return trace.tb_frame.f_code in codes_of(inspect.unwrap(function))


def codes_of(function: Any) -> list[types.CodeType]:
    """List the code of a function, or of a class's methods, and what they define."""
    if isinstance(function, type):
        return [code for part in vars(function).values() for code in codes_of(part)]
    code = function if isinstance(function, types.CodeType) else None
    code = code or getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType):
        return []
    inside = (one for one in code.co_consts if isinstance(one, types.CodeType))
    return [code, *(one for part in inside for one in codes_of(part))]


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
        What the function printed, warned and left behind, in lines for the learner.
    kind
        What its answers are converted to, where they came in another container.
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
        self.kind: Kind | None = None

    def raw(self, *arguments: Any, kind: Kind | None = None) -> Any:
        """Call the function within its limits; no judgement of the answer.

        Parameters
        ----------
        arguments
            What it is called with, as they are.
        kind
            What the answer should be made of; right values in another container are
            converted, with a remark.

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
            with restored(self.heard), quietly(self.heard), self.limits():
                got = self.exercise.ask(self.function, arguments, copied(arguments))
                answer = got if kind is None else converted(got, kind)
                said = remark(got, answer)
        except (Stop, Refused, KeyboardInterrupt):
            raise
        except NotImplementedError as error:
            if is_stub(self.function, error):
                raise NotAttempted from None
            raise LearnerError(error_message(self.function, error)) from None
        except BaseException as error:
            raise LearnerError(error_message(self.function, error)) from None
        if said:
            self.heard.append(said)
            self.kind = kind
        return answer

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
        want = self.reference(*arguments)
        given = copied(arguments)
        got = self.raw(*given, kind=kind_of(want))
        if not unharmed(given, arguments):
            raise Refused(
                "your function changes its inputs in place: work on new tensors "
                "(x - mean instead of x -= mean), the caller still needs them."
            )
        problem = structure_problem(got, want, self.exercise.returns)
        if problem:
            raise WrongKind(problem)
        return got

    def reference(self, *arguments: Any) -> Any:
        """Call the course's own version on copies."""
        exercise = self.exercise
        return exercise.ask(exercise.reference, copied(arguments), arguments)

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
