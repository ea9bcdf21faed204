"""Procedural sprites: pictures of which every factor of variation is known.

One white shape (square, ellipse or heart) on black, of a scale, an orientation and a
position, on a grid of the factors of `course_utils.data.factors`; the outlines are our
own. Nothing is random and nothing is stored: a picture is drawn when it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from course_utils.arguments import whole_number
from course_utils.data.factors import (
    FACTORS,
    SHAPES,
    FactorGrid,
    archive_levels,
    even_levels,
    factor_table,
)

VALUES = ("binary", "grey")

# The canvas has side 1. At 64 pixels the centre of a sprite goes from 16.5 to 47.5
# pixels, so by one pixel per position; at scale 1 an outline reaches 0.2404 at most.
FIRST, SPAN = 16.5 / 64, 31 / 64
HALF_SIDE = 0.17  # of the square
LONG, SHORT = 0.24, 0.14  # half axes of the ellipse
# The heart is a diamond |u| + |w| <= DIAMOND with a half disc on each upper side, and
# turns about its centroid, which lies higher than the diamond's centre.
DIAMOND = 0.18
CENTROID = DIAMOND * (math.pi / 4 + 1 / 3) / (2 + math.pi / 2)

SUBSAMPLES = 8  # per axis, in a pixel that an outline crosses
_AT_ONCE = 70_000  # pixels; more would leave the processor's cache

Levels = int | float | Sequence[float] | Tensor | None


class Sprites(FactorGrid):
    """White shapes on black with known factors, drawn when asked for.

    Without further arguments the 737 280 sprites of the dSprites grid: place 0 is the
    smallest square, unturned, at the top left; position y changes fastest, then
    position x, orientation, scale, shape. Position x grows to the right and position y
    downwards; orientation turns clockwise as seen. At scale 1 and orientation 0 the
    ellipse lies and the heart stands on its point.

    Parameters
    ----------
    size
        Side of a picture in pixels, 8 to 512.
    shapes
        One name or several of ``"square"``, ``"ellipse"``, ``"heart"``; all of them
        without this argument.
    scales
        A number of scales, evenly spaced from 0.5 to 1, or the scales themselves, above
        0 and up to 1.
    orientations
        A number of *different* orientations, evenly spaced: 8 gives 0, π/4, … 7π/4. Or
        the orientations themselves, in radians. Without this argument the archive's 40,
        of which the last, 2π, repeats the first.
    positions
        A number of positions, evenly spaced from 0 to 1, or the positions themselves,
        for both x and y.
    pos_x, pos_y
        The same for one of the two.
    values
        ``"binary"``: a pixel is 1 where its centre is in the shape, else 0. ``"grey"``:
        the share of the pixel that is in the shape, from 8×8 points in each pixel that
        the outline crosses.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Taken from the archive: factors, values, their order and the numbers it stores for
    them. Our own: the sizes of the outlines, that each turns about its centroid, the
    heart's outline and the sense of rotation. So a picture here is not the archive's
    picture pixel for pixel.

    Examples
    --------
    >>> sprites = Sprites(size=32)
    >>> len(sprites), sprites.sizes
    (737280, (1, 3, 6, 40, 32, 32))
    >>> x, factors = sprites[:100]
    >>> x.shape, factors.values.shape
    (torch.Size([100, 1024]), torch.Size([100, 6]))
    >>> small = Sprites(size=32, shapes="heart", scales=[1.0], orientations=8)
    >>> small.sizes
    (1, 1, 1, 8, 32, 32)
    """

    def __init__(
        self,
        size: int = 64,
        *,
        shapes: str | Sequence[str] | None = None,
        scales: Levels = None,
        orientations: Levels = None,
        positions: Levels = None,
        pos_x: Levels = None,
        pos_y: Levels = None,
        values: str = "binary",
    ) -> None:
        whole_number("size", size, 8, 512)
        if values not in VALUES:
            raise ValueError(f"values is {values!r}; expected {' or '.join(VALUES)}")
        if positions is not None and not (pos_x is None and pos_y is None):
            raise ValueError("positions stand for both axes; expected no pos_x, pos_y")
        self.values = values
        colour, shape, scale, orientation, x, y = archive_levels()
        if shapes is not None:
            shape = _shape_levels(shapes)
        if scales is not None:
            scale = _levels(scales, "scales", lambda n: even_levels(0.5, 1, n))
        if orientations is not None:
            orientation = _levels(orientations, "orientations", _turns)
        if (along_x := positions if pos_x is None else pos_x) is not None:
            x = _levels(along_x, "positions", lambda n: even_levels(0, 1, n))
        if (along_y := positions if pos_y is None else pos_y) is not None:
            y = _levels(along_y, "positions", lambda n: even_levels(0, 1, n))
        super().__init__((colour, shape, scale, orientation, x, y), size)
        _check_ranges(scale, x, y)

    def _pictures(self, rows: Tensor) -> Tensor:
        return _draw(self.factors(rows).values, self.size, self.values)

    def __repr__(self) -> str:
        return (
            f"Sprites({len(self)} of {self.size}×{self.size} pixels, {self.values}: "
            + ", ".join(
                f"{name} {n}" for name, n in zip(FACTORS, self.sizes, strict=True)
            )
            + ")"
        )


def render(factors: Tensor, size: int = 64, values: str = "binary") -> Tensor:
    """Draw sprites of any factor values, also between the levels of a grid.

    Parameters
    ----------
    factors
        float (N, 6): colour 1; shape 1, 2 or 3 (square, ellipse, heart); scale above 0
        and up to 1; orientation in radians; positions in [0, 1].
    size
        Side of a picture in pixels, 8 to 512.
    values
        ``"binary"`` or ``"grey"``, as in `Sprites`.

    Returns
    -------
    Tensor
        float32 (N, size·size), rows of pixels from top to bottom.

    Raises
    ------
    ValueError
        If a shape, a size or a value is out of range.

    Examples
    --------
    >>> heart = torch.tensor([[1, 3, 1, 0, 0.5, 0.5]])
    >>> x = render(heart, size=16).reshape(16, 16).int()
    >>> for row in x[4:13, 3:13].tolist():
    ...     print("".join("-#"[pixel] for pixel in row))
    ----------
    ---#--#---
    --######--
    --######--
    --######--
    ---####---
    ----##----
    ----------
    ----------
    """
    whole_number("size", size, 8, 512)
    if values not in VALUES:
        raise ValueError(f"values is {values!r}; expected {' or '.join(VALUES)}")
    table = factor_table(factors, FACTORS)
    if not (table[:, 0] == 1).all():
        raise ValueError("a colour is not 1; expected 1, white, the only colour")
    if not torch.isin(table[:, 1], torch.arange(1.0, 4.0).double()).all():
        raise ValueError("a shape is not 1, 2 or 3 (square, ellipse, heart)")
    _check_ranges(*(table[:, column] for column in (2, 4, 5)))
    return _draw(table, size, values)


def _check_ranges(scale: Tensor, x: Tensor, y: Tensor) -> None:
    if not ((scale > 0) & (scale <= 1)).all():
        raise ValueError("a scale is outside (0, 1]; a larger sprite would be cut off")
    for position in (x, y):
        if not ((position >= 0) & (position <= 1)).all():
            raise ValueError("a position is outside [0, 1]")


def _turns(count: int) -> Tensor:
    return 2 * math.pi * torch.arange(count, dtype=torch.float64) / count


def _shape_levels(shapes: str | Sequence[str]) -> Tensor:
    names = (shapes,) if isinstance(shapes, str) else tuple(shapes)
    wrong = [name for name in names if name not in SHAPES]
    if wrong or not names or len(set(names)) < len(names):
        raise ValueError(
            f"shapes are {shapes!r}; expected different ones of {', '.join(SHAPES)}"
        )
    return torch.tensor([SHAPES.index(n) + 1 for n in names], dtype=torch.float64)


def _levels(given: Levels, what: str, evenly: Callable[[int], Tensor]) -> Tensor:
    if isinstance(given, bool) or (isinstance(given, int) and given < 2):
        raise ValueError(
            f"{what} is {given!r}; expected how many (at least 2), or the values in a "
            "list, such as [1.0]"
        )
    if isinstance(given, int):
        return evenly(given)
    levels = torch.as_tensor(given, dtype=torch.float64)
    if levels.ndim != 1 or levels.numel() == 0:
        raise ValueError(
            f"{what} are {given!r}; expected how many, or the values in a list"
        )
    if not levels.isfinite().all() or levels.unique().numel() < levels.numel():
        raise ValueError(f"{what} are {given!r}; expected different, finite numbers")
    return levels.clone()


# --- drawing ------------------------------------------------------------------------


# Each outline at scale 1 as a function of u (rightwards) and v (downwards) from the
# centre: negative inside, and nowhere steeper than 1, so that a point at which it is d
# lies at least |d| from the outline.


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) - HALF_SIDE


def _ellipse(u: Tensor, v: Tensor) -> Tensor:
    return torch.hypot(u * (SHORT / LONG), v) - SHORT


def _heart(u: Tensor, v: Tensor) -> Tensor:
    side, height = u.abs(), CENTROID - v  # from the centre of the diamond, upwards
    diamond = (side + height.abs() - DIAMOND) * math.sqrt(0.5)
    disc = torch.hypot(side - DIAMOND / 2, height - DIAMOND / 2)
    return torch.minimum(diamond, disc - DIAMOND * math.sqrt(0.5))


_OUTLINES = (_square, _ellipse, _heart)


def _draw(factors: Tensor, size: int, values: str) -> Tensor:
    """Draw factors (N, 6), known to be in range, as float32 (N, size·size)."""
    window = min(size, 2 * math.ceil(0.241 * size) + 1)  # holds a sprite of scale 1
    x = torch.zeros(len(factors), size * size)
    for number, outline in enumerate(_OUTLINES, start=1):
        rows = (factors[:, 1] == number).nonzero().flatten()
        for part in rows.split(max(1, _AT_ONCE // window**2)):
            x[part] = _draw_alike(outline, factors[part], size, window, values)
    return x


def _draw_alike(
    outline: Callable[[Tensor, Tensor], Tensor],
    factors: Tensor,
    size: int,
    window: int,
    values: str,
) -> Tensor:
    """Draw sprites of one shape: each in a window, the windows then on black."""
    scale, angle = factors[:, 2], factors[:, 3]
    cos, sin = angle.cos() / (scale * size), angle.sin() / (scale * size)  # (N,)
    centre = size * (FIRST + SPAN * factors[:, 4:])  # (N, 2), in pixels
    corner = (centre.floor() - window // 2).clamp(0, size - window)  # of the window
    offset = corner[:, :, None] + torch.arange(window) + 0.5 - centre[:, :, None]
    right, down = offset[:, 0, None, :], offset[:, 1, :, None]  # (N, 1, w), (N, w, 1)
    c, s = cos[:, None, None], sin[:, None, None]
    u, v = c * right + s * down, c * down - s * right  # (N, w, w): turned back
    distance = outline(u, v)
    pixels = (distance <= 0).float()
    if values == "grey":
        reach = math.sqrt(0.5) / (scale * size)  # from a pixel's centre to its corner
        n, i, j = (distance.abs() < reach[:, None, None]).nonzero(as_tuple=True)
        step = (torch.arange(SUBSAMPLES).double() + 0.5) / SUBSAMPLES - 0.5
        right, down = step.repeat(SUBSAMPLES), step.repeat_interleave(SUBSAMPLES)
        c, s = cos[n, None], sin[n, None]
        u = u[n, i, j, None] + c * right + s * down  # (crossed pixels, 64)
        v = v[n, i, j, None] + c * down - s * right
        pixels[n, i, j] = (outline(u, v) <= 0).float().mean(1)
    x = torch.zeros(len(factors), size * size)
    first = (corner[:, 1] * size + corner[:, 0]).long()  # (N,)
    inside = torch.arange(window)[:, None] * size + torch.arange(window)  # (w, w)
    return x.scatter_(1, first[:, None] + inside.flatten(), pixels.flatten(1))
