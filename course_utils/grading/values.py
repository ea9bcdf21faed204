"""Compare two values: what is wrong with the kind of one, and how far it is off."""

from __future__ import annotations

import math
from typing import Any

import torch

SMALLEST_SCALE = 0.1  # differences are relative to the answer's size, at least to this


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

    The size is the largest absolute value in ``want``, at least 0.1. Infinity where
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
    return _gap(got, want)


def _gap(got: Any, want: Any) -> float:
    """Return the difference of two values of the same structure."""
    if isinstance(want, tuple | list):
        return max((_gap(g, w) for g, w in zip(got, want, strict=True)), default=0.0)
    if isinstance(want, dict):
        return max((_gap(got[key], want[key]) for key in want), default=0.0)
    if isinstance(want, bool | str):
        return 0.0 if got == want else math.inf
    if isinstance(want, torch.Tensor) and want.ndim > 0:
        return _gap_of_tensors(got.detach(), want.detach())
    have, need = as_float(got), as_float(want)
    if math.isnan(need) or math.isinf(need):
        return 0.0 if str(have) == str(need) else math.inf
    gap = abs(have - need)
    return gap / max(abs(need), SMALLEST_SCALE) if math.isfinite(gap) else math.inf


def _gap_of_tensors(got: torch.Tensor, want: torch.Tensor) -> float:
    if want.numel() == 0:
        return 0.0
    if not want.is_floating_point():
        return float((got != want).any())
    gap, scale = float((got - want).abs().max()), float(want.abs().max())
    if not (math.isfinite(gap) and math.isfinite(scale)):
        if not torch.equal(got.isfinite(), want.isfinite()):
            return math.inf
        gap = float((got - want).abs().nan_to_num(0.0, 0.0, 0.0).max())
        scale = float(want.abs().nan_to_num(0.0, 0.0, 0.0).max())
    return gap / max(scale, SMALLEST_SCALE)


def example(got: Any, want: Any) -> str:
    """Show the place where two values differ most."""
    if isinstance(want, torch.Tensor) and want.ndim > 0:
        got, want = got.detach(), want.detach()
        gap = (got - want).to(torch.float64).abs()
        place = tuple(int(i) for i in torch.unravel_index(gap.argmax(), gap.shape))
        where = ", ".join(map(str, place))
        return f"at [{where}] {_two(float(got[place]), float(want[place]))}"
    if isinstance(want, tuple | list | dict):
        keys = want if isinstance(want, dict) else range(len(want))
        worst = max(keys, key=lambda key: difference(got[key], want[key]))
        part = repr(worst) if isinstance(want, dict) else f"value {worst + 1}"
        return f"in {part}, " + example(got[worst], want[worst])
    if isinstance(want, bool | str):
        return f"yours is {got!r}, expected {want!r}"
    return _two(as_float(got), as_float(want))


def _two(got: float, want: float) -> str:
    """Two numbers with as many digits as tell them apart, at least five."""
    digits = next((n for n in range(5, 17) if f"{got:.{n}g}" != f"{want:.{n}g}"), 17)
    return f"yours is {got:.{digits}g}, expected {want:.{digits}g}"
