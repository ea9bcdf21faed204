"""What an exercise is, and how a function is graded against it.

An exercise holds the course's own version of a function (the reference), criteria that
test a learner's version on freshly drawn inputs, and misconceptions: wrong versions
that real people write, each with one sentence of diagnosis. A misconception is
recognised by behaviour: the learner's outputs equal those of the wrong version on the
same inputs.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import math
import textwrap
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

Arguments = tuple[Any, ...]

DRAWS = 4  # sets of probes on which a misconception must fit, so that no chance does
SMALLEST_SCALE = 0.01  # differences are relative to the answer's size, at least to this


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
    test: Callable[[Trial], None]


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
    probes
        ``probes(generator) -> list of argument tuples``, freshly drawn. Batch, data and
        latent sizes must differ from each other, so that a wrong reduction cannot be
        right by accident.
    criteria, misconceptions, hints
        See `Criterion`, `Misconception`; hints go from a nudge to nearly there.
    fingerprint
        ``fingerprint(arguments, output)``: what is compared where the right answer is
        not unique (a basis is known only up to signs, its projection is unique).
    tolerance
        Largest difference, relative to the size of the expected answer, that still
        counts as equal. The probes are float64; a step in float32, such as a plain
        ``torch.eye(D)``, should not cost the points.
    """

    name: str
    title: str
    reference: Callable[..., Any]
    returns: str
    probes: Callable[[torch.Generator], list[Arguments]]
    criteria: tuple[Criterion, ...]
    misconceptions: tuple[Misconception, ...]
    hints: tuple[str, ...]
    fingerprint: Callable[[Arguments, Any], Any] = field(default=lambda args, out: out)
    tolerance: float = 1e-6

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

    @property
    def score(self) -> float:
        """Points earned."""
        return float(sum(row.earned for row in self.rows))

    @property
    def points(self) -> float:
        """Points that could be earned."""
        return float(sum(row.points for row in self.rows))


# --- comparing values ---------------------------------------------------------------


def describe(value: Any) -> str:
    """Say in words what a value is: its type, shape and dtype."""
    if isinstance(value, torch.Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        return f"a tensor of shape {tuple(value.shape)}, {kind}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if type(value).__module__ == "numpy":
        return f"a NumPy {type(value).__name__}"
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def as_float(value: Any) -> float:
    """Turn one number (Python, NumPy, 0-d tensor with or without gradient) to float."""
    return float(value.detach() if isinstance(value, torch.Tensor) else value)


def is_number(value: Any) -> bool:
    """Whether a value is one number: a Python or NumPy scalar, or a 0-d tensor."""
    if isinstance(value, bool | str):
        return False
    if isinstance(value, torch.Tensor):
        return value.ndim == 0 and not value.is_complex()
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    return not hasattr(value, "__len__")


def structure_problem(got: Any, want: Any, returns: str) -> str | None:
    """Say what is wrong with the kind of a value (type, shape, dtype, NaN), or nothing.

    Examples
    --------
    >>> structure_problem(torch.ones(3), torch.ones(3, 2), "(3, 2) codes")
    'your function returns shape (3,), expected (3, 2): (3, 2) codes.'
    """
    if got is None:
        return "your function returns None: is the `return` missing?"
    if isinstance(want, torch.Tensor) and want.ndim > 0:
        return _tensor_problem(got, want, returns)
    if isinstance(want, tuple | list):
        if not isinstance(got, tuple | list):
            return (
                f"your function returns {describe(got)}, expected {len(want)} values: "
                f"{returns}."
            )
        if len(got) != len(want):
            return (
                f"your function returns {len(got)} values, expected {len(want)}: "
                f"{returns}."
            )
        problems = (
            structure_problem(g, w, returns) for g, w in zip(got, want, strict=True)
        )
        return next((problem for problem in problems if problem), None)
    if isinstance(want, dict):
        if not isinstance(got, dict) or set(got) != set(want):
            keys = ", ".join(map(repr, want))
            return (
                f"your function returns {describe(got)}, expected a dict with {keys}."
            )
        problems = (structure_problem(got[key], want[key], returns) for key in want)
        return next((problem for problem in problems if problem), None)
    if isinstance(want, bool | str):
        if type(got) is not type(want):
            return f"your function returns {describe(got)}, expected {returns}."
        return None
    return _number_problem(got, want, returns)


def _tensor_problem(got: Any, want: torch.Tensor, returns: str) -> str | None:
    if not isinstance(got, torch.Tensor):
        return f"your function returns {describe(got)}, expected a tensor: {returns}."
    if got.shape != want.shape:
        return (
            f"your function returns shape {tuple(got.shape)}, expected "
            f"{tuple(want.shape)}: {returns}."
        )
    if got.dtype != want.dtype:
        have = str(got.dtype).removeprefix("torch.")
        need = str(want.dtype).removeprefix("torch.")
        return (
            f"your function returns {have} where the inputs ask for {need}: "
            "create new tensors with the dtype of the inputs (zeros_like, x.dtype)."
        )
    if want.is_floating_point() and want.isfinite().all():
        bad = int((~got.isfinite()).sum())
        if bad:
            return (
                f"your function returns {bad} of {got.numel()} values that are NaN or "
                "infinite."
            )
    return None


def _number_problem(got: Any, want: Any, returns: str) -> str | None:
    if not is_number(got):
        wanted = returns if "number" in returns else f"one number: {returns}"
        return f"your function returns {describe(got)}, expected {wanted}."
    if math.isfinite(as_float(want)) and not math.isfinite(as_float(got)):
        return f"your function returns {as_float(got)}, expected a finite number."
    return None


def difference(got: Any, want: Any) -> float:
    """Return the largest difference of two like values, relative to their size.

    The size is the largest absolute value in ``want``, at least 0.01. Infinity where
    the structures differ; NaN equals NaN in the same place.

    Examples
    --------
    >>> difference(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5]))
    0.2
    """
    if isinstance(want, bool | str):
        return 0.0 if got == want else math.inf
    if structure_problem(got, want, "") is not None:
        return math.inf
    if isinstance(want, torch.Tensor) and want.ndim > 0:
        if want.numel() == 0:
            return 0.0
        got, want = got.detach(), want.detach()
        if not torch.equal(got.isfinite(), want.isfinite()):
            return math.inf
        gap = (
            (got - want).nan_to_num(0.0, 0.0, 0.0)
            if want.is_floating_point()
            else ((got != want).to(torch.float64))
        )
        scale = want.abs().to(torch.float64).nan_to_num(0.0, 0.0, 0.0).max()
        return float(gap.abs().max()) / max(float(scale), SMALLEST_SCALE)
    if isinstance(want, tuple | list):
        return max(
            (difference(g, w) for g, w in zip(got, want, strict=True)), default=0.0
        )
    if isinstance(want, dict):
        return max((difference(got[key], want[key]) for key in want), default=0.0)
    have, need = as_float(got), as_float(want)
    if math.isnan(need) or math.isinf(need):
        return 0.0 if str(have) == str(need) else math.inf
    gap = abs(have - need)
    return gap / max(abs(need), SMALLEST_SCALE) if math.isfinite(gap) else math.inf


def _example(got: Any, want: Any) -> str:
    """Show the place where two values differ most."""
    if isinstance(want, torch.Tensor) and want.ndim > 0:
        gap = (got.detach() - want.detach()).to(torch.float64).abs()
        place = tuple(int(i) for i in torch.unravel_index(gap.argmax(), gap.shape))
        where = ", ".join(map(str, place))
        return f"at [{where}] {_two(float(got[place]), float(want[place]))}"
    if isinstance(want, tuple | list | dict):
        keys = want if isinstance(want, dict) else range(len(want))
        worst = max(keys, key=lambda key: difference(got[key], want[key]))
        part = repr(worst) if isinstance(want, dict) else f"value {worst + 1}"
        return f"in {part}, " + _example(got[worst], want[worst])
    if isinstance(want, bool | str):
        return f"yours is {got!r}, expected {want!r}"
    return _two(as_float(got), as_float(want))


def _two(got: float, want: float) -> str:
    """Two numbers with as many digits as tell them apart, at least five."""
    digits = next((n for n in range(5, 17) if f"{got:.{n}g}" != f"{want:.{n}g}"), 17)
    return f"yours is {got:.{digits}g}, expected {want:.{digits}g}"


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
    said = (
        f"your function raises {kind}: {text}"
        if text
        else f"your function raises {kind}"
    )
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

    Attributes
    ----------
    exercise
        The exercise it is graded against.
    generator
        Source of fresh random inputs.
    """

    def __init__(
        self,
        exercise: Exercise,
        function: Callable[..., Any],
        generator: torch.Generator,
        limits: Callable[[], contextlib.AbstractContextManager[None]] = no_limits,
    ) -> None:
        self.exercise = exercise
        self.function = function
        self.generator = generator
        self.limits = limits
        self.heard: list[str] = []

    def raw(self, *arguments: Any) -> Any:
        """Call the function within its limits; no judgement of the answer."""
        try:
            with quietly(self.heard), self.limits():
                return self.function(*arguments)
        except NotImplementedError:
            raise NotAttempted from None
        except Exception as error:
            raise LearnerError(error_message(self.function, error)) from None

    def call(self, *arguments: Any) -> Any:
        """Call the function; refuse an answer of the wrong kind and damaged inputs."""
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

    def probes(self) -> list[Arguments]:
        """Draw fresh arguments."""
        return self.exercise.probes(self.generator)

    def expect_close(
        self, got: Any, want: Any, what: str = "", tolerance: float | None = None
    ) -> None:
        """Refuse ``got`` unless it equals ``want`` within the exercise's tolerance."""
        limit = self.exercise.tolerance if tolerance is None else tolerance
        if difference(got, want) > limit:
            prefix = f"{what}: " if what else ""
            raise Refused(prefix + _example(got, want) + ".")


# --- criteria that many exercises use -----------------------------------------------


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Draw float64 numbers from N(0, 1), for the inputs of a check."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def between(generator: torch.Generator, low: float, high: float) -> float:
    """Draw one number evenly between two others, for the inputs of a check."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def agrees(
    text: str,
    points: float = 1.0,
    probes: Callable[[torch.Generator], list[Arguments]] | None = None,
) -> Criterion:
    """Build the criterion that the function agrees with the course's own version."""

    def test(trial: Trial) -> None:
        drawn = probes(trial.generator) if probes else trial.probes()
        for arguments in drawn:
            got = trial.exercise.fingerprint(arguments, trial.call(*arguments))
            want = trial.exercise.fingerprint(arguments, trial.reference(*arguments))
            trial.expect_close(got, want)

    return Criterion(text, points, test)


def rows_stand_alone(
    text: str = "treats each example on its own, at any batch size",
    points: float = 1.0,
    batched: tuple[int, ...] = (0,),
) -> Criterion:
    """Build the criterion that row i of the output depends on row i of the input only.

    ``batched`` names the positions of the arguments that carry the batch.
    """

    def rows(arguments: Arguments, index: slice) -> Arguments:
        return tuple(
            value[index] if place in batched else value
            for place, value in enumerate(arguments)
        )

    def test(trial: Trial) -> None:
        for arguments in trial.probes():
            whole = trial.call(*arguments)
            for index in (slice(0, 1), slice(1, 3)):
                part = trial.call(*rows(arguments, index))
                trial.expect_close(
                    part,
                    _rows_of(whole, index),
                    "the answer for an example changes with the others in its batch",
                )

    return Criterion(text, points, test)


def _rows_of(value: Any, index: slice) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_rows_of(part, index) for part in value)
    if isinstance(value, dict):
        return {key: _rows_of(part, index) for key, part in value.items()}
    return value[index]


# --- grading ------------------------------------------------------------------------


def recognise(exercise: Exercise, trial: Trial) -> Misconception | None:
    """Find the misconception whose outputs the function's outputs equal, if any."""
    probes = [arguments for _ in range(DRAWS) for arguments in trial.probes()]
    answers = [
        _outcome(trial.function, arguments, trial.limits) for arguments in probes
    ]
    for misconception in exercise.misconceptions:
        if all(
            _same(exercise, misconception, arguments, answer)
            for arguments, answer in zip(probes, answers, strict=True)
        ):
            return misconception
    return None


class _Raised(str):
    """What a call raised, in one line: two calls may fail in the same way."""


def _outcome(
    function: Callable[..., Any],
    arguments: Arguments,
    limits: Callable[[], contextlib.AbstractContextManager[None]] = no_limits,
) -> Any:
    """Call a function on copies; return its answer, or what it raised."""
    try:
        with quietly([]), limits():
            return function(*copied(arguments))
    except Exception as error:
        return _Raised(f"{type(error).__name__}: {error}")


def _same(
    exercise: Exercise, misconception: Misconception, arguments: Arguments, answer: Any
) -> bool:
    wrong = _outcome(misconception.wrong, arguments)
    if isinstance(wrong, _Raised) or isinstance(answer, _Raised):
        return type(wrong) is type(answer) and wrong == answer
    if structure_problem(answer, wrong, "") is not None:
        return False
    try:
        wrong = exercise.fingerprint(arguments, wrong)
        answer = exercise.fingerprint(arguments, answer)
    except Exception:  # a fingerprint of an answer of the wrong shape may fail
        return False
    return difference(answer, wrong) <= exercise.tolerance


def grade(
    exercise: Exercise,
    function: Callable[..., Any],
    seed: int,
    limits: Callable[[], contextlib.AbstractContextManager[None]] = no_limits,
) -> Report:
    """Grade a function against an exercise; no display, no side effects.

    Parameters
    ----------
    exercise
        What to grade against.
    function
        The learner's version.
    seed
        Seed of the inputs; a grader passes a secret one.
    limits
        Context manager around each call, see `course_utils.limits`.

    Returns
    -------
    Report
        Status, a row per criterion, and the diagnosis when a misconception fits.
    """
    generator = torch.Generator().manual_seed(seed)
    trial = Trial(exercise, function, generator, limits)
    rows: list[Row] = []
    ended: str | None = None
    stopped = False
    for criterion in exercise.criteria:
        message = ended
        if ended is None:
            try:
                criterion.test(trial)
            except WrongKind as problem:
                message = ended = str(problem)
            except (Refused, LearnerError) as problem:
                message = str(problem)
            except NotAttempted:
                return _untouched(exercise)
            except Stop as problem:
                message = ended = str(problem)
                stopped = True
        earned = criterion.points if message is None else 0.0
        rows.append(Row(criterion.text, earned, criterion.points, message))
    notes = tuple(dict.fromkeys(trial.heard))[:4]
    if all(row.message is None for row in rows):
        return Report(exercise.name, "passed", tuple(rows), notes=notes)
    found = None
    if not stopped:
        with contextlib.suppress(Stop):
            found = recognise(exercise, trial)
    return Report(
        exercise.name,
        "failed",
        tuple(rows),
        misconception=found.name if found else None,
        diagnosis=found.diagnosis if found else None,
        notes=notes,
    )


def _untouched(exercise: Exercise) -> Report:
    rows = tuple(
        Row(criterion.text, 0.0, criterion.points, "not attempted yet")
        for criterion in exercise.criteria
    )
    return Report(exercise.name, "not attempted", rows)
