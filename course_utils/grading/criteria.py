"""Criteria that many exercises use, and the draws that their inputs are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Trial

# --- criteria that many exercises use -----------------------------------------------


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Draw float64 numbers from N(0, 1), for the inputs of a check."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def uniform(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Draw float64 numbers evenly from [0, 1), for the inputs of a check."""
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def between(
    generator: torch.Generator,
    low: float,
    high: float,
    dtype: torch.dtype = torch.float32,
) -> float:
    """Draw one number evenly between two others, for the inputs of a check."""
    share = torch.rand((), generator=generator, dtype=dtype)
    return low + (high - low) * float(share)


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
        for arguments in trial.inputs():
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
