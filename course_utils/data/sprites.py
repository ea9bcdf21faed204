"""Procedural sprites: pictures of which every factor of variation is known.

One white shape (square, ellipse or heart) on black, of a scale, an orientation and a
position. Factors, their values and their order are those of the dSprites archive
(Matthey, Higgins, Hassabis and Lerchner, 2017), so that code written for it fits; the
outlines are our own. Nothing is random and nothing is stored: a picture is drawn when
it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from course_utils.arguments import one_of, whole_number, whole_numbers
from course_utils.data.embedded import SPLITS

FACTORS = ("colour", "shape", "scale", "orientation", "pos_x", "pos_y")
SHAPES = ("square", "ellipse", "heart")
VALUES = ("binary", "grey")
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}

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
_SAME_ANGLE = 1e-6  # radians


class Factors(NamedTuple):
    """The factors of N sprites, in the order of `FACTORS`.

    ``classes`` int64 (N, 6): the place of each factor's value among its levels.
    ``values`` float64 (N, 6): the value itself; colour is 1, shapes are 1, 2, 3 for
    square, ellipse, heart, orientations are in radians, positions in [0, 1].
    """

    classes: Tensor
    values: Tensor


class Drawn(NamedTuple):
    """Sprites: ``x`` float32 (N, D), rows of pixels from top to bottom; their factors.

    One sprite, asked for by a number, comes without the first axis.
    """

    x: Tensor
    factors: Factors


# --- a grid of factors --------------------------------------------------------------


class FactorGrid:
    """Pictures of all combinations of some factors' levels, position y fastest.

    The base of `Sprites` and of the dSprites archive: what is the same whether pictures
    are drawn or read.

    Attributes
    ----------
    levels
        The values of each factor, six float64 tensors in the order of `FACTORS`.
    sizes
        How many levels each factor has; ``len(grid)`` is their product.
    size
        Side of a picture in pixels.
    """

    def __init__(self, levels: Sequence[Tensor], size: int) -> None:
        self.levels = tuple(levels)
        self.sizes = tuple(len(values) for values in self.levels)
        self.size = size

    def __len__(self) -> int:
        return math.prod(self.sizes)

    def __getitem__(self, index: int | slice | Sequence[int] | Tensor) -> Drawn:
        """Return the sprites at a number, a slice, numbers (N,) or a mask (len,)."""
        rows = self._rows(index)
        factors = self.factors(rows)
        x = self._pictures(rows.reshape(-1))
        return Drawn(x[0] if rows.ndim == 0 else x, factors)

    def _pictures(self, rows: Tensor) -> Tensor:
        raise NotImplementedError

    def factors(self, index: int | slice | Sequence[int] | Tensor) -> Factors:
        """Return the factors of the sprites at these places, without drawing them.

        Parameters
        ----------
        index
            As in ``grid[index]``: a number, a slice, numbers (N,), or a mask (len,).

        Raises
        ------
        IndexError
            If a place is outside the grid.
        ValueError
            If ``index`` is none of these.

        Examples
        --------
        >>> Sprites().factors(33).classes.tolist()
        [0, 0, 0, 0, 1, 1]
        """
        rest = self._rows(index)
        columns = []
        for size in reversed(self.sizes):
            columns.append(rest % size)
            rest = rest // size
        classes = torch.stack(columns[::-1], dim=-1)
        values = [level[classes[..., f]] for f, level in enumerate(self.levels)]
        return Factors(classes, torch.stack(values, dim=-1))

    def index(self, classes: Tensor | Sequence[int] | Factors) -> Tensor:
        """Return the places, int64 (N,), of the sprites with these classes (N, 6).

        The inverse of `factors`. One row (6,) gives one number.

        Raises
        ------
        ValueError
            If ``classes`` are no whole numbers, have not six columns, or are outside
            the levels.

        Examples
        --------
        >>> Sprites().index([0, 2, 5, 39, 31, 31]).item()
        737279
        """
        table = classes.classes if isinstance(classes, Factors) else classes
        table = _whole(table, "classes")
        if table.ndim not in (1, 2) or table.shape[-1] != len(FACTORS):
            raise ValueError(
                f"classes have shape {tuple(table.shape)}; expected (N, 6) or (6,), in "
                f"the order {', '.join(FACTORS)}"
            )
        sizes = torch.tensor(self.sizes)
        wrong = ((table < 0) | (table >= sizes)).reshape(-1, len(FACTORS)).any(0)
        if wrong.any():
            factor = int(wrong.nonzero()[0])
            raise ValueError(
                f"a class of {FACTORS[factor]} is outside its levels; expected 0 to "
                f"{self.sizes[factor] - 1}"
            )
        steps = sizes.flip(0).cumprod(0).flip(0) // sizes  # of position y: 1
        return (table * steps).sum(-1)

    def sample(
        self, count: int, seed: int = 0, rows: Sequence[int] | Tensor | None = None
    ) -> Drawn:
        """Draw sprites with replacement, each place equally likely.

        Parameters
        ----------
        count
            How many.
        seed
            Seed of the draw.
        rows
            Draw from these places only, say those of a `split`.

        Raises
        ------
        ValueError
            If ``count`` is less than 1 or ``rows`` are no places.

        Examples
        --------
        >>> x, factors = Sprites(size=32).sample(5, seed=1)
        >>> x.shape, factors.classes.shape
        (torch.Size([5, 1024]), torch.Size([5, 6]))
        """
        whole_numbers(count=count)
        places = None if rows is None else self._rows(rows)
        if places is not None and places.numel() == 0:
            raise ValueError("rows are empty; expected at least one place to draw from")
        total = len(self) if places is None else len(places)
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(total, (count,), generator=generator)
        return self[drawn if places is None else places[drawn]]

    def split(self, part: str = "train", seed: int = 0) -> Tensor:
        """Return the places of one part of the grid, int64 (N,), in order.

        The parts are 80 % train, 10 % validation and 10 % test of the *different*
        pictures. A square looks the same after a quarter turn and an ellipse after half
        a turn; such twins always share a part, so that no test picture was trained on.
        (Rounded to pixels, two that differ may still come out the same.)

        Parameters
        ----------
        part
            ``"train"``, ``"validation"`` or ``"test"``.
        seed
            Seed of the division; the three parts of one seed are disjoint.

        Raises
        ------
        ValueError
            If ``part`` is none of these.

        Examples
        --------
        >>> grid = Sprites(size=32, shapes="heart", orientations=10, positions=10)
        >>> [len(grid.split(part)) for part in ("train", "validation", "test")]
        [4800, 600, 600]
        """
        one_of(SPLITS, part=part)
        classes = self.factors(slice(None)).classes
        classes[:, 3] = self._first_alike()[classes[:, 1], classes[:, 3]]
        different, picture = self.index(classes).unique(return_inverse=True)
        count = len(different)
        place = torch.empty(count, dtype=torch.int64)
        generator = torch.Generator().manual_seed(seed)
        place[torch.randperm(count, generator=generator)] = torch.arange(count)
        train = round(SHARES["train"] * count)
        validation = train + round(SHARES["validation"] * count)
        first, end = {
            "train": (0, train),
            "validation": (train, validation),
            "test": (validation, count),
        }[part]
        mine = (place >= first) & (place < end)
        return mine[picture].nonzero().flatten()

    def _first_alike(self) -> Tensor:
        """For each shape and orientation, the first orientation of the same outline."""
        alike = []
        for shape in self.levels[1].tolist():
            period = _PERIODS[SHAPES[int(shape) - 1]]
            apart = self.levels[3][:, None] - self.levels[3][None, :]
            apart = (apart + period / 2).remainder(period) - period / 2
            alike.append((apart.abs() < _SAME_ANGLE).int().argmax(dim=1))
        return torch.stack(alike)

    def _rows(self, index: int | slice | Sequence[int] | Tensor) -> Tensor:
        if isinstance(index, slice):
            return torch.arange(*index.indices(len(self)))
        if isinstance(index, Tensor) and index.dtype == torch.bool:
            if index.shape != (len(self),):
                raise ValueError(
                    f"a mask has shape {tuple(index.shape)}; expected ({len(self)},)"
                )
            return index.nonzero().flatten()
        rows = _whole(index, "index")
        if rows.ndim > 1:
            raise ValueError(
                f"index has shape {tuple(rows.shape)}; expected one number or (N,)"
            )
        if rows.numel() and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(
                f"index goes from {int(rows.min())} to {int(rows.max())}; expected "
                f"places 0 to {len(self) - 1}"
            )
        return torch.where(rows < 0, rows + len(self), rows)


def _whole(given: object, what: str) -> Tensor:
    """Return whole numbers as int64, and nothing (which torch calls float) too."""
    try:
        table = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{what}: got {given!r}; expected whole numbers") from error
    if table.dtype == torch.bool or (
        table.numel() and (table.is_floating_point() or table.is_complex())
    ):
        raise ValueError(f"{what}: got type {table.dtype}; expected whole numbers")
    return table.long()


# --- sprites ------------------------------------------------------------------------


def archive_levels() -> tuple[Tensor, ...]:
    """Return the values of the six factors in the dSprites archive.

    One colour; three shapes; 6 scales from 0.5 to 1; 40 orientations from 0 to 2π
    *inclusive*, so that the first and the last are the same; 32 positions from 0 to 1
    along x and along y.

    Examples
    --------
    >>> [len(values) for values in archive_levels()]
    [1, 3, 6, 40, 32, 32]
    """
    position = _even(0, 1, 32)
    return (
        torch.ones(1, dtype=torch.float64),
        torch.arange(1, 4, dtype=torch.float64),
        _even(0.5, 1, 6),
        _even(0, 2 * math.pi, 40),
        position,
        position.clone(),
    )


def _even(first: float, last: float, count: int) -> Tensor:
    return torch.linspace(first, last, count, dtype=torch.float64)


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
            scale = _levels(scales, "scales", lambda n: _even(0.5, 1, n))
        if orientations is not None:
            orientation = _levels(orientations, "orientations", _turns)
        if (along_x := positions if pos_x is None else pos_x) is not None:
            x = _levels(along_x, "positions", lambda n: _even(0, 1, n))
        if (along_y := positions if pos_y is None else pos_y) is not None:
            y = _levels(along_y, "positions", lambda n: _even(0, 1, n))
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
    table = torch.as_tensor(factors).double()
    if table.ndim != 2 or table.shape[1] != len(FACTORS):
        raise ValueError(
            f"factors have shape {tuple(table.shape)}; expected (N, 6), in the order "
            f"{', '.join(FACTORS)}"
        )
    if not table.isfinite().all():
        raise ValueError("factors contain NaN or infinity; expected finite numbers")
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
_PERIODS = {"square": math.pi / 2, "ellipse": math.pi, "heart": 2 * math.pi}


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
