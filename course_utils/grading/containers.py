"""Turn right values in another container into the kind that was asked for.

A list of rows, a NumPy array, a stacked tensor for a pair: the values may be right, and
the lesson that goes on with them needs the kind that its own version returns. What is
converted is said in a remark.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from course_utils.grading.values import as_float, describe, is_number


class Kind(NamedTuple):
    """What an answer is made of: a tensor, a number, a bool, or parts with kinds."""

    name: str  # "tensor", "scalar tensor", "number", "bool", "parts", "dict", "other"
    dtype: torch.dtype | None = None
    parts: tuple[tuple[Any, Kind], ...] = ()  # keys, or places, and their kinds


def kind_of(value: Any) -> Kind:
    """Return the kind of a right answer.

    Examples
    --------
    >>> kind_of((torch.ones(2), 3.0)).parts[1]
    (1, Kind(name='number', dtype=None, parts=()))
    """
    if isinstance(value, torch.Tensor):
        return Kind("tensor" if value.ndim else "scalar tensor", value.dtype)
    if isinstance(value, tuple | list):
        return Kind("parts", None, tuple((i, kind_of(v)) for i, v in enumerate(value)))
    if isinstance(value, dict):
        return Kind("dict", None, tuple((k, kind_of(v)) for k, v in value.items()))
    if isinstance(value, bool | np.bool_):
        return Kind("bool")
    return Kind("number" if is_number(value) else "other")


def converted(value: Any, kind: Kind) -> Any:
    """Turn a value into a kind where its numbers allow it, else return it as it is.

    Tensors keep their gradient. A tensor of another floating dtype stays what it is:
    that is a fault of the function, not of the container.

    Examples
    --------
    >>> converted([1.0, 2.0], kind_of(torch.ones(2)))
    tensor([1., 2.])
    >>> converted(torch.eye(2), kind_of((torch.ones(2), torch.ones(2))))
    (tensor([1., 0.]), tensor([0., 1.]))
    """
    if kind.name == "tensor":
        return _tensor(value, kind.dtype)
    if kind.name == "scalar tensor":
        return _scalar(value, kind.dtype)
    if kind.name == "bool":
        is_torch = isinstance(value, torch.Tensor) and value.dtype == torch.bool
        is_one = isinstance(value, np.bool_) or (is_torch and value.ndim == 0)
        return bool(value) if is_one else value
    if kind.name == "number":
        plain = isinstance(value, int | float) or not is_number(value)
        return value if plain or _has_gradient(value) else as_float(value)
    if kind.name == "parts":
        return _parts(value, kind)
    if kind.name == "dict" and isinstance(value, dict):
        kinds = dict(kind.parts)
        return {
            k: converted(v, kinds[k]) if k in kinds else v for k, v in value.items()
        }
    return value


def _has_gradient(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


def _tensor(value: Any, dtype: torch.dtype | None) -> Any:
    if isinstance(value, torch.Tensor):
        floats = dtype is not None and dtype.is_floating_point
        return value if floats else _cast(value, dtype)
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "biuf":
        return _cast(torch.from_numpy(value.copy()), dtype)
    if isinstance(value, Iterator):
        value = list(value)
    if isinstance(value, tuple | list) and value:
        return _stacked(value, dtype)
    return value


def _stacked(value: Sequence[Any], dtype: torch.dtype | None) -> Any:
    """Stack rows: tensors keep their dtype and gradient, plain numbers take it."""
    rows = [_row(row, dtype) for row in value]
    if not all(isinstance(row, torch.Tensor) for row in rows):
        return value
    try:
        whole = torch.stack(rows)
    except (RuntimeError, TypeError):  # ragged rows
        return value
    plain = not all(isinstance(row, torch.Tensor) for row in value)
    return _cast(whole, dtype) if plain else _tensor(whole, dtype)


def _row(row: Any, dtype: torch.dtype | None) -> Any:
    if isinstance(row, torch.Tensor) or not is_number(row):
        return _tensor(row, dtype)
    return torch.tensor(float(row), dtype=torch.float64)


def _cast(value: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    """Change the dtype, where whole numbers stay what they are."""
    if dtype is None or dtype.is_floating_point:
        return value.to(dtype or value.dtype)
    cast = value.to(dtype)
    return cast if torch.equal(cast.to(value.dtype), value) else value


def _scalar(value: Any, dtype: torch.dtype | None) -> Any:
    if isinstance(value, torch.Tensor | bool) or not is_number(value):
        return value
    return torch.tensor(float(value), dtype=dtype)


def _parts(value: Any, kind: Kind) -> Any:
    if isinstance(value, Iterator):
        value = list(value)
    if isinstance(value, torch.Tensor | np.ndarray):
        value = tuple(value) if value.ndim and len(value) == len(kind.parts) else value
    if not isinstance(value, tuple | list) or len(value) != len(kind.parts):
        return value
    return tuple(
        converted(v, own) for v, (_, own) in zip(value, kind.parts, strict=True)
    )


def remark(before: Any, after: Any) -> str | None:
    """Say what was converted; nothing where an answer came in its own kind."""
    if after is before:
        return None
    if isinstance(before, tuple | list) and isinstance(after, tuple):
        said = map(remark, before, after)
        return next((one for one in said if one), None)
    if isinstance(before, dict) and isinstance(after, dict):
        parts = (remark(before[key], after[key]) for key in after)
        return next((one for one in parts if one), None)
    return (
        f"it returns {describe(before)} where the course has {describe(after)}: the "
        "values count, and the lesson goes on with them converted."
    )


def converting(function: Callable[..., Any], kind: Kind) -> Callable[..., Any]:
    """Wrap a function so that its answers have the kind that the lesson goes on with.

    Floating numbers take the dtype of the first floating tensor among the arguments.
    """

    @functools.wraps(function)
    def answer(*args: Any, **kwargs: Any) -> Any:
        given = [*args, *kwargs.values()]
        floats = (
            a.dtype
            for a in given
            if isinstance(a, torch.Tensor) and a.is_floating_point()
        )
        dtype = next(floats, torch.get_default_dtype())
        return converted(function(*args, **kwargs), _with_floats(kind, dtype))

    return answer


def _with_floats(kind: Kind, dtype: torch.dtype) -> Kind:
    parts = tuple((key, _with_floats(own, dtype)) for key, own in kind.parts)
    floats = kind.dtype is not None and kind.dtype.is_floating_point
    return Kind(kind.name, dtype if floats else kind.dtype, parts)
