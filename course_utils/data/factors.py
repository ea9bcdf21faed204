"""A grid of factors: every combination of some levels, whether drawn or read.

Factors, their values and their order are those of the dSprites archive (Matthey,
Higgins, Hassabis and Lerchner, 2017), so that code written for it fits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from course_utils.arguments import one_of, whole_numbers
from course_utils.data.embedded import SPLITS

FACTORS = ("colour", "shape", "scale", "orientation", "pos_x", "pos_y")
SHAPES = ("square", "ellipse", "heart")
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
# A turn by so much leaves the outline of a shape as it is.
PERIODS = {"square": math.pi / 2, "ellipse": math.pi, "heart": 2 * math.pi}
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


def factor_table(factors: Tensor, names: Sequence[str]) -> Tensor:
    """Return factor values as a finite float64 table (N, number of names), or raise.

    Examples
    --------
    >>> factor_table(torch.zeros(2, 3), ("scale", "turn"))
    Traceback (most recent call last):
    ValueError: factors have shape (2, 3); expected (N, 2), in the order scale, turn
    """
    table = torch.as_tensor(factors).double()
    if table.ndim != 2 or table.shape[1] != len(names):
        raise ValueError(
            f"factors have shape {tuple(table.shape)}; expected (N, {len(names)}), in "
            f"the order {', '.join(names)}"
        )
    if not table.isfinite().all():
        raise ValueError("factors contain NaN or infinity; expected finite numbers")
    return table


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
        >>> from course_utils.data.sprites import Sprites
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
        >>> from course_utils.data.sprites import Sprites
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
        >>> from course_utils.data.sprites import Sprites
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
        >>> from course_utils.data.sprites import Sprites
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
            period = PERIODS[SHAPES[int(shape) - 1]]
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
    position = even_levels(0, 1, 32)
    return (
        torch.ones(1, dtype=torch.float64),
        torch.arange(1, 4, dtype=torch.float64),
        even_levels(0.5, 1, 6),
        even_levels(0, 2 * math.pi, 40),
        position,
        position.clone(),
    )


def even_levels(first: float, last: float, count: int) -> Tensor:
    """Return so many values in even steps, both ends included, in float64."""
    return torch.linspace(first, last, count, dtype=torch.float64)
