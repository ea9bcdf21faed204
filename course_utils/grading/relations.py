"""How a wrong tensor or number is related to the right one, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

from course_utils.grading.exercise import Arguments
from course_utils.grading.values import difference, is_number

Case = tuple[Arguments, Any, Any]  # arguments, the answer, the right answer
NEAR = 1e-5  # relative: a float32 step is still the same answer

FACTORS = {
    -1.0: "the expected one with the sign flipped",
    2.0: "twice the expected one: a factor ½ is missing",
    0.5: "half the expected one: a factor ½ too many, or a 2 missing",
    -2.0: "−2 times the expected one",
    -0.5: "−½ times the expected one",
    4.0: "four times the expected one",
    0.25: "a quarter of the expected one",
    1 / math.log(2): "the expected one in bits: the course counts in nats",
    math.log(2): "log 2 times the expected one",
    math.log(10): "log 10 times the expected one",
    1 / math.log(10): "the expected one with logarithms of base 10",
    100.0: "a hundred times the expected one: in per cent",
}
OFFSETS = {
    1.0: "1",
    0.5: "½",
    2.0: "2",
    math.log(2 * math.pi) / 2: "½ log 2π",
    math.log(2 * math.pi): "log 2π",
    math.log(2 * math.pi * math.e) / 2: "½ log 2πe",
    math.log(2): "log 2",
}
MAPS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "the root of the expected one": torch.sqrt,
    "the square of the expected one": torch.square,
    "the exponential of the expected one": torch.exp,
    "the exponential of minus the expected one": lambda want: (-want).exp(),
    "the logarithm of the expected one": torch.log,
    "minus the logarithm of the expected one": lambda want: -want.log(),
    "1 minus the expected one": lambda want: 1 - want,
    "the expected one minus 1": lambda want: want - 1,
    "1 divided by the expected one": torch.reciprocal,
    "the absolute value of the expected one": torch.abs,
}


def relation(names: tuple[str, ...], cases: list[Case]) -> str | None:
    """Name what turns the right answer into this one, the same in every case.

    Parameters
    ----------
    names
        Names of the arguments.
    cases
        Arguments, answer and right answer of several calls.

    Examples
    --------
    >>> x = torch.tensor([1.0, 2.0])
    >>> relation(("x",), [((x,), -x, x)])
    'the expected one with the sign flipped'
    """
    pairs = [(_tensor(got), _tensor(want)) for _, got, want in cases]
    known = [(got, want) for got, want in pairs if got is not None and want is not None]
    if len(known) < len(cases) or not all(want.numel() for _, want in known):
        return None
    sizes = _shared([_sizes(names, arguments) for arguments, _, _ in cases])
    same_shapes = all(got.shape == want.shape for got, want in known)
    if not same_shapes:
        return _reduced(known)
    if all(_near(got, want) for got, want in known):
        return None  # nothing to explain here: what is wrong shows elsewhere
    return _scaled(known, sizes) or _shifted(known, sizes) or _mapped(known)


def _tensor(value: Any) -> torch.Tensor | None:
    if isinstance(value, torch.Tensor):
        return value.detach().to(torch.float64) if not value.is_complex() else None
    return torch.tensor(float(value), dtype=torch.float64) if is_number(value) else None


def _sizes(names: tuple[str, ...], arguments: Arguments) -> dict[str, float]:
    """Collect the numbers that a factor may be made of, with what they are."""
    found: dict[str, float] = {}
    for name, value in zip(names, arguments, strict=False):
        if isinstance(value, torch.Tensor):
            for axis, size in enumerate(value.shape):
                found[f"the length of {name}'s axis {axis}"] = float(size)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)
    return found


def _shared(sizes: list[dict[str, float]]) -> dict[str, list[float]]:
    """Keep the numbers that every call has: by what they are, one a call."""
    names = [name for name in sizes[0] if all(name in own for own in sizes)]
    return {name: [own[name] for own in sizes] for name in names}


def _near(got: torch.Tensor, want: torch.Tensor) -> bool:
    return got.shape == want.shape and difference(got, want) <= NEAR


Pairs = list[tuple[torch.Tensor, torch.Tensor]]


# --- a factor -----------------------------------------------------------------------


def _scaled(pairs: Pairs, sizes: dict[str, list[float]]) -> str | None:
    factors = []
    for got, want in pairs:
        size = float((want * want).sum())
        factor = float((got * want).sum()) / size if size else math.nan
        if not (math.isfinite(factor) and factor and _near(got, factor * want)):
            return None
        factors.append(factor)
    if _all_are(factors, [1.0] * len(factors)):
        return None
    for value, text in FACTORS.items():
        if _all_are(factors, [value] * len(factors)):
            return text
    for text, values in _products(sizes):
        if _all_are(factors, values):
            return f"the expected one {text}"
    if _all_are(factors, [factors[0]] * len(factors)) and len(pairs) > 1:
        return f"{factors[0]:.4g} times the expected one"
    return None


def _products(sizes: dict[str, list[float]]) -> Iterator[tuple[str, list[float]]]:
    for name, values in sizes.items():
        yield f"times {name}", values
        yield f"times minus {name}", [-value for value in values]
        if 0 in values:
            continue
        yield f"divided by {name}", [1 / value for value in values]
        yield f"divided by minus {name}", [-1 / value for value in values]
        yield f"times {name} squared", [value**2 for value in values]
        yield f"divided by {name} squared", [value**-2.0 for value in values]
        yield f"with n for n − 1, n being {name}", [(n - 1) / n for n in values]
        if 1 not in values:
            yield f"with n − 1 for n, n being {name}", [n / (n - 1) for n in values]


def _all_are(got: list[float], want: list[float]) -> bool:
    return all(math.isclose(a, b, rel_tol=NEAR) for a, b in zip(got, want, strict=True))


# --- a constant added ---------------------------------------------------------------


def _shifted(pairs: Pairs, sizes: dict[str, list[float]]) -> str | None:
    offsets = []
    for got, want in pairs:
        offset = float((got - want).mean())
        if not math.isfinite(offset) or not _near(got, want + offset):
            return None
        offsets.append(offset)
    for value, text in OFFSETS.items():
        for sign, word in ((1.0, "plus"), (-1.0, "minus")):
            if _all_are(offsets, [sign * value] * len(offsets)):
                return f"the expected one {word} {text}"
            for name, own in sizes.items():
                if _all_are(offsets, [sign * value * size for size in own]):
                    return f"the expected one {word} {text} times {name}"
    if _all_are(offsets, [offsets[0]] * len(offsets)) and len(pairs) > 1:
        return f"the expected one plus {offsets[0]:.5g}"
    several = all(want.numel() > 1 for _, want in pairs)
    if several:
        return "the expected one plus a number that is the same in every place"
    return None


# --- other maps of the whole --------------------------------------------------------


def _mapped(pairs: Pairs) -> str | None:
    for text, change in MAPS.items():
        if all(_near(got, change(want)) for got, want in pairs):
            return text
    for text, move in _moves(pairs[0][1].ndim):
        if all(_near(got, move(want)) for got, want in pairs):
            return text
    return None


Change = Callable[[torch.Tensor], torch.Tensor]
ALONG: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "the expected one in the reverse order along axis {}": lambda want, axis: want.flip(
        axis
    ),
    "the mean of the expected one over axis {}, repeated": lambda want, axis: want.mean(
        axis, keepdim=True
    ).expand_as(want),
    "the sum of the expected one over axis {}, repeated": lambda want, axis: want.sum(
        axis, keepdim=True
    ).expand_as(want),
    "the expected one summed step by step along axis {}": torch.cumsum,
    "the expected one sorted along axis {}": lambda want, axis: want.sort(axis).values,
    "the expected one without its mean over axis {}": lambda want, axis: (
        want - want.mean(axis, keepdim=True)
    ),
}


def _moves(ndim: int) -> Iterator[tuple[str, Change]]:
    if ndim > 1:
        yield "the expected one transposed", lambda want: want.transpose(-1, -2)
        yield (
            "the expected values in another order: rows read as columns",
            lambda want: want.transpose(-1, -2).reshape(want.shape),
        )
    for axis in range(ndim):
        for text, change in ALONG.items():
            yield text.format(axis), _on(axis, change)
    if ndim:
        text = "the mean of the expected one, repeated"
        yield text, lambda want: want.mean().expand_as(want)


def _on(axis: int, change: Callable[[torch.Tensor, int], torch.Tensor]) -> Change:
    return lambda want: change(want, axis)


# --- another shape ------------------------------------------------------------------


def _reduced(pairs: Pairs) -> str | None:
    """Recognise the right values in another shape, or a sum or mean of them."""
    for text, change in _shapes(pairs[0][1].ndim):
        if all(_near(got, change(want)) for got, want in pairs):
            return text
    return None


def _shapes(ndim: int) -> Iterator[tuple[str, Change]]:
    yield "the mean of the expected values", torch.mean
    yield "the sum of the expected values", torch.sum
    yield "the expected one without its axes of length 1", torch.squeeze
    yield "the expected values in one long row", torch.flatten
    if ndim == 1:
        yield "the expected values as a diagonal matrix", torch.diag
    if ndim == 2:
        yield "the expected one transposed", torch.t
        yield "the diagonal of the expected one", torch.diag
    for axis in range(ndim):
        yield f"the mean of the expected one over axis {axis}", _on(axis, torch.mean)
        yield f"the sum of the expected one over axis {axis}", _on(axis, torch.sum)
    for axis in range(ndim + 1):
        text = "the expected one with an axis of length 1 more"
        yield text, _on(axis, torch.unsqueeze)
