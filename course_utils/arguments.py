"""What functions of several rooms ask of their arguments, said in the same words."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from torch import Tensor


def whole_numbers(*, least: int = 1, **named: int) -> None:
    """Raise a ValueError unless each is a whole number from ``least``.

    Examples
    --------
    >>> whole_numbers(D=64, K=2)
    >>> whole_numbers(least=2, levels=1)
    Traceback (most recent call last):
    ValueError: levels is 1; expected a whole number from 2
    """
    for name, value in named.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(
                f"{name} is {value!r}; expected a whole number from {least}"
            )


def whole_number(
    name: str, value: int, least: int, most: int, called: str = ""
) -> None:
    """Raise a ValueError unless a whole number lies between two others.

    ``called`` says what the larger one is, such as ``"D = "``.

    Examples
    --------
    >>> whole_number("K", 9, 1, 4, "D = ")
    Traceback (most recent call last):
    ValueError: K is 9; expected a whole number from 1 to D = 4
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not least <= value <= most:
        raise ValueError(
            f"{name} is {value!r}; expected a whole number from {least} to "
            f"{called}{most}"
        )


def one_of(allowed: Collection[str], **named: str) -> None:
    """Raise a ValueError unless each is one of the allowed names.

    Examples
    --------
    >>> one_of(("train", "test"), split="tset")
    Traceback (most recent call last):
    ValueError: split is 'tset'; expected one of train, test
    """
    for name, value in named.items():
        if value not in allowed:
            expected = ", ".join(allowed)
            raise ValueError(f"{name} is {value!r}; expected one of {expected}")


def kind(value: object) -> str:
    """Say what a value is, for the message that refuses it.

    Examples
    --------
    >>> import torch
    >>> kind(torch.arange(3)), kind(np.arange(3)), kind([1, 2])
    ('torch.int64', 'a NumPy array of int64', 'list')
    """
    if isinstance(value, np.ndarray):
        return f"a NumPy array of {value.dtype}"
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__


def matrix(name: str, value: Tensor, shape: str = "(N, D)") -> Tensor:
    """Return a float tensor of two axes that is finite and not empty, or raise.

    Examples
    --------
    >>> import torch
    >>> matrix("z", torch.ones(3), "(N, K)")
    Traceback (most recent call last):
    ValueError: z has shape (3,); expected (N, K), neither of them 0
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise ValueError(
            f"{name} is {kind(value)}; expected a tensor of floating point"
        )
    if value.ndim != 2 or value.numel() == 0:
        got = tuple(value.shape)
        raise ValueError(f"{name} has shape {got}; expected {shape}, neither of them 0")
    if not value.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinite values; expected finite ones")
    return value
