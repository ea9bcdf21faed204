"""Strokes: handwritten digits at 28 × 28 pixels of which every factor is known.

A digit is a curve through a few control points. Its hand gives it a slant, a turn, a
width, a height, a pen, and a wobble of its own; a pixel is as bright as the pen covers
it. The style is drawn independently of the class, so here is known what no collection
of real handwriting can tell: how much of a picture is its class, and how much is style.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_utils.arguments import whole_number, whole_numbers
from course_utils.data.factors import factor_table

WOBBLES = 8  # numbers that bend a curve: four waves along it, in x and in y
STYLE = ("slant", "turn", "width", "height", "pen")
FACTORS = ("class", *STYLE, *(f"wobble_{n}" for n in range(1, WOBBLES + 1)))

# Whether normal or uniform, then mean and deviation, or both ends. Slant is a share of
# the height, the turn is in radians, width and height are shares of the box, the pen's
# diameter is a share of the picture.
LAWS = {
    "slant": ("normal", 0.0, 0.22),
    "turn": ("normal", 0.0, 0.12),
    "width": ("uniform", 0.7, 1.0),
    "height": ("uniform", 0.85, 1.05),
    "pen": ("uniform", 0.048, 0.096),
    **{f"wobble_{n}": ("normal", 0.0, 1.0) for n in range(1, WOBBLES + 1)},
}
BOX = 0.72  # share of the picture that an upright digit of width and height 1 may fill
BEND = 0.018  # how far one unit of wobble moves the curve, as a share of the box
POINTS = 64  # of a curve; neighbours are closer than the thinnest pen is wide
_AT_ONCE = 50  # pictures; more would leave the processor's cache
_TENTHS = 10


class Factors(NamedTuple):
    """The factors of N digits, in the order of `FACTORS`.

    ``classes`` int64 (N, 14): the digit; of the others, which tenth of its law the
    value lies in, 0 to 9. ``values`` float64 (N, 14): the digit, and the values.
    """

    classes: Tensor
    values: Tensor


class Drawn(NamedTuple):
    """Digits: ``x`` float32 (N, size·size) in [0, 1], and their factors."""

    x: Tensor
    factors: Factors


# --- the factors ---------------------------------------------------------------------


def draw_factors(count: int, generator: torch.Generator) -> Factors:
    """Draw the factors of some digits: the class in equal shares, the style by `LAWS`.

    Parameters
    ----------
    count
        How many digits.
    generator
        Source of randomness.

    Raises
    ------
    ValueError
        If ``count`` is not a whole number of 1 or more.
    """
    whole_numbers(count=count)
    digits = torch.randperm(count, generator=generator) % 10
    shares = torch.rand(
        count, len(LAWS), generator=generator, dtype=torch.float64
    ).clamp(1e-6, 1 - 1e-6)
    columns = [
        _quantile(law, share)
        for law, share in zip(LAWS.values(), shares.T, strict=True)
    ]
    return Factors(
        torch.column_stack([digits, (shares * _TENTHS).long()]),
        torch.column_stack([digits.double(), *columns]),
    )


def _quantile(law: tuple[str, float, float], share: Tensor) -> Tensor:
    kind, first, second = law
    if kind == "uniform":
        return first + (second - first) * share
    return first + second * torch.special.ndtri(share)


# --- the renderer -------------------------------------------------------------------


def render(factors: Tensor, size: int = 28) -> Tensor:
    """Draw digits of any factor values.

    Nothing is random here: of given factors the picture is known to the last pixel.

    Parameters
    ----------
    factors
        (N, 14), values in the order of `FACTORS`: a digit 0 to 9, slant, turn in
        radians, width, height and pen above 0, eight numbers of wobble.
    size
        Side of a picture in pixels, 8 to 512.

    Returns
    -------
    Tensor
        float32 (N, size·size) in [0, 1], rows of pixels from top to bottom: which share
        of the pixel the pen covers.

    Raises
    ------
    ValueError
        If a digit, a size or a value is out of range.

    Examples
    --------
    >>> two = torch.tensor([[2, 0, 0, 0.9, 1, 0.1, *[0] * WOBBLES]])
    >>> x = render(two, size=16).reshape(16, 16)
    >>> for row in (x[2:14, 3:13] > 0.5).tolist():
    ...     print("".join("-#"[pixel] for pixel in row))
    ----------
    ---####---
    --##--##--
    --#---##--
    ------##--
    ------##--
    -----##---
    ----##----
    ---##-----
    --######--
    --#######-
    ----------
    """
    whole_number("size", size, 8, 512)
    table = _checked(factors)
    at_once = max(1, _AT_ONCE * 28**2 // size**2)
    parts = [_drawn(rows, size) for rows in table.split(at_once)]
    return torch.cat(parts) if parts else torch.zeros(0, size * size)


def pen(
    z: Tensor, digit: int, names: tuple[str, ...] = ("slant", "turn"), size: int = 28
) -> Tensor:
    """Draw one digit by a code: a decoder of which everything is known.

    z ~ N(0, I) gives the named factors exactly the laws that `draw_factors` follows:
    z = 0 is the middle of a law, z = 1 a standard deviation more where it is normal.
    The other factors stay in the middle of theirs.

    Parameters
    ----------
    z
        (N, K) codes, one column a factor; gradients flow back to it.
    digit
        0 to 9.
    names
        K factors' names, of `FACTORS` but the class.
    size
        Side of a picture in pixels.

    Returns
    -------
    Tensor
        (N, size·size) in [0, 1], of z's dtype.

    Raises
    ------
    ValueError
        If ``z`` is not (N, K), a name is unknown, or `render` refuses the rest.

    Examples
    --------
    >>> upright, leaning = pen(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), digit=1)
    >>> upright.shape, bool((upright - leaning).abs().max() > 0.5)
    (torch.Size([784]), True)
    """
    if z.ndim != 2 or z.shape[1] != len(names):
        raise ValueError(
            f"z has shape {tuple(z.shape)}; expected (N, {len(names)}), one column for "
            f"each of {', '.join(names)}"
        )
    unknown = [name for name in names if name not in LAWS]
    if unknown:
        raise ValueError(f"unknown factors {unknown}; expected some of {list(LAWS)}")
    share = torch.special.ndtr(z.double())
    middle = torch.full((len(z),), 0.5, dtype=torch.float64)
    columns = [
        _quantile(law, share[:, names.index(name)] if name in names else middle)
        for name, law in LAWS.items()
    ]
    return render(torch.stack([torch.full_like(middle, digit), *columns], 1), size).to(
        z.dtype
    )


def _checked(factors: Tensor) -> Tensor:
    table = factor_table(factors, FACTORS)
    if not torch.isin(table[:, 0], torch.arange(10.0).double()).all():
        raise ValueError("a class is not one of the digits 0 to 9")
    if not (table[:, 3:6] > 0).all():
        raise ValueError("a width, height or pen is not above 0")
    return table


def _drawn(rows: Tensor, size: int) -> Tensor:
    """Draw some digits (n, 14) as (n, size·size)."""
    curves = (_curves(rows) * size).float()  # (n, P, 2) in pixels, x and y
    centres = torch.arange(size, dtype=torch.float32) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    pixels = torch.stack([x.flatten(), y.flatten()], 1)  # (size², 2)
    # |p − c|² = |c|² − 2 c·p + |p|²: one product of matrices, then the nearest point.
    near = torch.cat(
        [-2 * curves, curves.square().sum(2, keepdim=True)], 2
    )  # (n, P, 3)
    far = torch.cat([pixels.T, torch.ones_like(pixels[None, :, 0])])  # (3, size²)
    square = (near @ far).amin(1) + pixels.square().sum(1)  # (n, size²)
    distance = square.clamp(min=1e-8).sqrt()  # above 0, where a root has a slope
    radius = rows[:, 5:6].float() * size / 2
    return (radius - distance + 0.5).clamp(0, 1)  # one pixel of soft edge


def _curves(rows: Tensor) -> Tensor:
    """Bend and place the curves: (n, P, 2) as shares of the picture."""
    digit, slant, turn, width, height = rows[:, :5].T
    waves = rows[:, 6:].reshape(-1, 2, WOBBLES // 2) @ _waves()  # (n, 2, P)
    curve = _templates()[digit.long()] + BEND * waves.transpose(1, 2)
    x, y = (curve - 0.5).unbind(2)  # y grows downwards
    wide = width[:, None] * x - slant[:, None] * y
    tall = height[:, None] * y
    cos, sin = turn.cos()[:, None], turn.sin()[:, None]
    turned = torch.stack([cos * wide - sin * tall, sin * wide + cos * tall], 2)
    return 0.5 + BOX * turned


@functools.cache
def _waves() -> Tensor:
    """Half a wave along the curve, one, one and a half, two: (4, P)."""
    along = torch.linspace(0, 1, POINTS, dtype=torch.float64)
    halves = torch.arange(1, WOBBLES // 2 + 1, dtype=torch.float64)
    return torch.cos(math.pi * halves[:, None] * along)


# --- the ten digits -----------------------------------------------------------------


def _arc(
    centre: tuple[float, float],
    radii: tuple[float, float],
    degrees: tuple[float, float],
    count: int,
) -> np.ndarray:
    """Return points on an ellipse; 0° lies to the right, 90° below, as y grows down."""
    angles = np.radians(np.linspace(*degrees, count))
    return np.column_stack(
        [
            centre[0] + radii[0] * np.cos(angles),
            centre[1] + radii[1] * np.sin(angles),
        ]
    )


def _points(*pairs: tuple[float, float]) -> np.ndarray:
    return np.array(pairs, dtype=np.float64)


def _control_points() -> list[list[np.ndarray]]:
    """Return the strokes of each digit in a box of side 1, as the pen draws them."""
    arc, points = _arc, _points
    return [
        [arc((0.5, 0.5), (0.27, 0.4), (-90, 270), 13)],
        [points((0.38, 0.25), (0.52, 0.12), (0.52, 0.5), (0.52, 0.9))],
        [
            np.concatenate(
                [
                    arc((0.48, 0.32), (0.24, 0.22), (-170, 35), 7),
                    points((0.42, 0.7), (0.25, 0.88), (0.5, 0.86), (0.78, 0.88)),
                ]
            )
        ],
        [
            np.concatenate(
                [
                    arc((0.46, 0.3), (0.22, 0.2), (-160, 80), 7),
                    arc((0.46, 0.69), (0.26, 0.21), (-80, 160), 8),
                ]
            )
        ],
        [
            points((0.6, 0.12), (0.4, 0.4), (0.22, 0.62), (0.5, 0.62), (0.8, 0.61)),
            points((0.62, 0.4), (0.61, 0.65), (0.6, 0.92)),
        ],
        [
            np.concatenate(
                [
                    points((0.74, 0.13), (0.5, 0.13), (0.36, 0.14), (0.33, 0.3)),
                    points((0.31, 0.45)),
                    arc((0.46, 0.65), (0.25, 0.23), (-110, 150), 8),
                ]
            )
        ],
        [
            np.concatenate(
                [
                    points((0.66, 0.13), (0.45, 0.28), (0.31, 0.52)),
                    arc((0.49, 0.69), (0.2, 0.2), (-200, 160), 11),
                ]
            )
        ],
        [points((0.24, 0.15), (0.5, 0.14), (0.76, 0.15), (0.6, 0.45), (0.45, 0.9))],
        [
            np.concatenate(
                [
                    arc((0.5, 0.3), (0.19, 0.18), (70, -220), 11),
                    arc((0.5, 0.68), (0.23, 0.22), (-70, 290), 12),
                ]
            )
        ],
        [
            np.concatenate(
                [
                    arc((0.5, 0.33), (0.21, 0.2), (-20, -370), 11),
                    points((0.69, 0.5), (0.64, 0.72), (0.58, 0.9)),
                ]
            )
        ],
    ]


@functools.cache
def _templates() -> Tensor:
    """Return P points along each digit, evenly spaced: float64 (10, P, 2)."""
    return torch.from_numpy(np.stack([_sampled(s) for s in _control_points()]))


def _sampled(strokes: list[np.ndarray]) -> np.ndarray:
    fine = [_spline(stroke) for stroke in strokes]
    lengths = np.array([_lengths(curve)[-1] for curve in fine])
    counts = np.round(POINTS * lengths / lengths.sum()).astype(int)
    counts[0] += POINTS - counts.sum()
    return np.concatenate(
        [_evenly(curve, count) for curve, count in zip(fine, counts, strict=True)]
    )


def _spline(points: np.ndarray) -> np.ndarray:
    """Draw a smooth curve through the points: cubic, by the length of their chords."""
    from scipy.interpolate import make_interp_spline

    spline = make_interp_spline(_lengths(points), points, k=min(3, len(points) - 1))
    return spline(np.linspace(0, spline.t[-1], 400))


def _lengths(points: np.ndarray) -> np.ndarray:
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _evenly(curve: np.ndarray, count: int) -> np.ndarray:
    along = _lengths(curve)
    places = np.linspace(0, along[-1], count)
    return np.column_stack([np.interp(places, along, axis) for axis in curve.T])
