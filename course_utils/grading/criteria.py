"""Criteria that many exercises use, and the draws that their inputs are made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch

from course_utils.grading.exercise import Arguments, Criterion, Exercise
from course_utils.grading.trial import (
    LearnerError,
    Refused,
    Trial,
    gradients_of,
    watched,
)
from course_utils.grading.values import difference

ROUNDING = 1e-9  # relative: sums in another order, in float64


# --- draws --------------------------------------------------------------------------


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Draw float64 numbers from N(0, 1), for the inputs of a check."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def uniform(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Draw float64 numbers evenly from [0, 1), for the inputs of a check."""
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def orthogonal(generator: torch.Generator, size: int) -> torch.Tensor:
    """Draw a float64 orthogonal matrix (size, size), for the inputs of a check."""
    return torch.linalg.qr(normal(generator, size, size)).Q


def between(
    generator: torch.Generator,
    low: float,
    high: float,
    dtype: torch.dtype = torch.float32,
) -> float:
    """Draw one number evenly between two others, for the inputs of a check."""
    share = torch.rand((), generator=generator, dtype=dtype)
    return low + (high - low) * float(share)


# --- criteria -----------------------------------------------------------------------


def agrees(
    text: str,
    points: float = 1.0,
    inputs: Callable[[torch.Generator], list[Arguments]] | None = None,
) -> Criterion:
    """Build the criterion that the function agrees with the course's own version."""

    def test(trial: Trial) -> None:
        drawn = inputs(trial.generator) if inputs else trial.inputs()
        for arguments in drawn:
            got = trial.exercise.fingerprint(arguments, trial.call(*arguments))
            want = trial.exercise.fingerprint(arguments, trial.reference(*arguments))
            trial.expect_close(got, want)

    return Criterion(text, points, test)


def output(
    place: int, text: str, points: float = 1.0, what: str = "", draws: int | None = None
) -> Criterion:
    """Build the criterion that one of several outputs is right.

    Parameters
    ----------
    place
        Which output, from 0.
    text, points
        As in `Criterion`.
    what
        The output's name in a message; ``text`` where there is none.
    draws
        How many of the inputs are tried; all by default.
    """

    def test(trial: Trial) -> None:
        for arguments in trial.inputs()[:draws]:
            got, want = trial.call(*arguments), trial.reference(*arguments)
            trial.expect_close(got[place], want[place], what or text)

    return Criterion(text, points, test)


def expect_no_draw(
    trial: Trial,
    arguments: Arguments,
    said: str = "something is drawn at random where the exact value is asked for.",
) -> None:
    """Refuse an answer that differs from call to call by more than rounding.

    Raises
    ------
    Refused
        With ``said`` at its end.
    """
    once, again = trial.call(*arguments), trial.call(*arguments)
    if difference(again, once) > ROUNDING:
        raise Refused(f"two calls with the same inputs differ: {said}")


def at_the_edges(
    edges: Callable[[torch.Generator], Mapping[str, Arguments]],
    text: str,
    points: float = 1.0,
) -> Criterion:
    """Build the criterion that the function agrees on special inputs, too.

    Where ordinary inputs are wrong already, that is all it says.

    Parameters
    ----------
    edges
        ``edges(generator) -> inputs`` by what is special about each, which begins a
        message.
    text, points
        As in `Criterion`.
    """

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            got, want = trial.call(*arguments), trial.reference(*arguments)
            if difference(got, want) > trial.exercise.tolerance:
                raise Refused("it is not right on ordinary inputs yet: see above.")
        for special, arguments in edges(trial.generator).items():
            try:
                got = trial.call(*arguments)
            except (Refused, LearnerError) as problem:
                raise Refused(f"{special}: {problem}") from None
            trial.expect_close(got, trial.reference(*arguments), special)

    return Criterion(text, points, test)


def gradients(
    text: str,
    points: float = 1.0,
    inputs: Callable[[torch.Generator], list[Arguments]] | None = None,
) -> Criterion:
    """Build the criterion that the answer can be trained through.

    Its gradients in the arguments that the exercise names (`Exercise.gradients`) are
    those of the course's own version.
    """

    def test(trial: Trial) -> None:
        exercise = trial.exercise
        for arguments in inputs(trial.generator) if inputs else trial.inputs():
            got = _differentiated(trial, trial.raw, arguments)
            want = _differentiated(trial, exercise.reference, arguments)
            for name, g, w in zip(_names(exercise), got, want, strict=True):
                if not g.any() and w.any():
                    raise Refused(
                        f"no gradient reaches {name}: look for .detach(), .item(), "
                        "float(), NumPy or torch.no_grad() on the way."
                    )
                trial.expect_close(g, w, f"the gradient in {name}")

    return Criterion(text, points, test)


def _names(exercise: Exercise) -> list[str]:
    names = list(inspect.signature(exercise.reference).parameters)
    return [names[place] for place in exercise.gradients]


def _differentiated(
    trial: Trial, function: Callable[..., Any], arguments: Arguments
) -> tuple[torch.Tensor, ...]:
    """Call a function and return its gradients in the arguments that are named."""
    places = trial.exercise.gradients
    given = watched(arguments, places)
    with torch.enable_grad():
        answer = function(*given)
        try:
            return gradients_of(answer, given, places)
        except RuntimeError as error:
            raise Refused(f"no gradient can be taken of your answer: {error}") from None


def rows_stand_alone(
    text: str = "treats each example on its own, at any batch size",
    points: float = 1.0,
    dims: Sequence[int | None] = (0,),
    out: int | Sequence[int | None] = 0,
) -> Criterion:
    """Build the criterion that the answer for an example depends on this one only.

    Parameters
    ----------
    text, points
        As in `Criterion`.
    dims
        Which dimension of each argument counts the examples; ``None`` where none does,
        and so for the arguments after the last.
    out
        The same for each of several outputs; a number is for all of them.
    """

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            whole = trial.call(*arguments)
            for start, count in ((0, 1), (1, 2)):
                part = trial.call(*_examples(arguments, dims, start, count))
                trial.expect_close(
                    part,
                    _examples(whole, out, start, count),
                    "the answer for an example changes with the others in its batch",
                )

    return Criterion(text, points, test)


def _examples(
    value: Any, dim: int | Sequence[int | None] | None, start: int, count: int
) -> Any:
    """Take some examples out of a tensor, or out of each of several."""
    if dim is None:
        return value
    if isinstance(value, tuple | list):
        dims = [dim] * len(value) if isinstance(dim, int) else dim
        pairs = zip_longest(value, dims)
        return tuple(_examples(part, own, start, count) for part, own in pairs)
    return value.narrow(dim, start, count)
