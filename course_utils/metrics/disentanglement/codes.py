"""What the metrics take: codes z, factors of variation, a way from these to those.

Two inputs serve all metrics:

- a *table*: codes z (N, K) and, row by row, the factors (N, F) they belong to, as
  integer classes. Enough for MIG, SAP and DCI.
- ``represent``: a function from factors (N, F) to codes (N, K). The β-VAE and FactorVAE
  scores need it, since they choose examples that share a factor. `from_table` makes one
  from the codes of a full grid, so that a model encodes each image once.

Whether a code is the mean of q(z|x) or a sample from it is up to ``represent``; say
which beside every score.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from course_utils.arguments import kind, matrix, whole_numbers

Represent = Callable[[Tensor], Tensor]

ROWS_AT_ONCE = 8192  # how many codes are asked for in one call of represent
STILL = 2  # a latent that varies by fewer steps of its floating point is rounding
EACH_CLASS = 10  # rows of a class that is to be told apart: half fit, half score


# --- what is refused ----------------------------------------------------------------


def check_levels(levels: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of levels of the factors, or say what is wrong with them."""
    try:
        checked = tuple(operator.index(count) for count in levels)
    except TypeError as error:
        raise ValueError(f"levels are {levels!r}; expected whole numbers") from error
    if len(checked) < 2 or min(checked) < 2:
        raise ValueError(
            f"levels must name at least two factors of at least two levels each, got "
            f"{checked}; leave out factors that do not vary"
        )
    return checked


def check_codes(z: Tensor, count: int | None = None) -> Tensor:
    """Return codes (N, K) as they are, or say what is wrong with them."""
    matrix("z", z, "(N, K)")
    if count is not None and len(z) != count:
        raise ValueError(f"z has {len(z)} rows; expected {count}")
    return z.detach()


def check_factors(factors: Tensor) -> Tensor:
    """Return factors (N, F) as classes 0, 1, …, or say what is wrong with them."""
    if not isinstance(factors, Tensor):
        raise ValueError(
            f"factors must be an integer tensor of classes, got {kind(factors)}: give "
            "torch.as_tensor(factors)"
        )
    if factors.is_floating_point() or factors.is_complex():
        raise ValueError(
            f"factors must be an integer tensor of classes, got {kind(factors)}: cut a "
            "continuous factor into levels first"
        )
    if factors.ndim != 2 or factors.numel() == 0:
        raise ValueError(
            f"factors must have shape (N, F) with N, F >= 1, got {tuple(factors.shape)}"
        )
    classes = [column.unique(return_inverse=True)[1] for column in factors.T]
    for place, column in enumerate(classes):
        if column.max() == 0:
            raise ValueError(
                f"factor {place} does not vary; leave it out: no code can tell it"
            )
    return torch.stack(classes, dim=1)


def check_table(z: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes and factors with the same number of rows, or say what is wrong."""
    factors = check_factors(factors)
    return check_codes(z, factors.shape[0]), factors


def check_categorical(categorical: Sequence[int], factors: Tensor) -> set[int]:
    """Return which factors have no order, once each of their classes is frequent."""
    if isinstance(categorical, int):
        raise ValueError(f"categorical is {categorical}; expected a list of factors")
    chosen, count = set(categorical), factors.shape[1]
    if not chosen <= set(range(count)):
        raise ValueError(
            f"categorical must name factors 0 to {count - 1}, got {sorted(chosen)}"
        )
    for place in chosen:
        rows = torch.bincount(factors[:, place])
        if rows.min() < EACH_CLASS:
            raise ValueError(
                f"factor {place} has a class of {rows.min()} rows; expected at least "
                f"{EACH_CLASS} of each class, half to fit and half to score: give more "
                "rows, or leave that class out"
            )
    return chosen


def halves(classes: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Cut rows into two random halves that share every class: places (⌈N/2⌉, ⌊N/2⌋).

    Examples
    --------
    >>> classes = torch.tensor([0, 1, 0, 1, 0, 0])
    >>> fit, new = halves(classes, seed=0)
    >>> classes[fit].tolist(), classes[new].tolist()
    ([0, 0, 1], [0, 0, 1])
    """
    whole_numbers(least=0, seed=seed)
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))
    order = order[classes[order].argsort(stable=True)]
    return order[::2], order[1::2]


# --- one scale for all --------------------------------------------------------------


class Scale(NamedTuple):
    """Where the values of each latent lie: no metric asks for units or an origin.

    Attributes
    ----------
    middle, reach
        Middle of the least and the greatest value, and how far these are from it, (K,).
    live
        Whether the latent varies by more than rounding, (K,) bool.
    """

    middle: Tensor
    reach: Tensor
    live: Tensor


def scale_of(z: Tensor) -> Scale:
    """Return the scale of codes (N, K)."""
    step = torch.finfo(z.dtype).eps
    z = z.double()
    low, high = z.amin(dim=0), z.amax(dim=0)
    middle = low / 2 + high / 2  # the sum might overflow
    reach = (z - middle).abs().amax(dim=0)
    unit = torch.where(reach > 0, reach, torch.ones_like(reach))
    spread = ((z - middle) / unit).std(dim=0, correction=0) * reach
    return Scale(middle, unit, spread > STILL * step * z.abs().amax(dim=0))


def on_scale(z: Tensor, scale: Scale | None = None) -> Tensor:
    """Put latents between -1 and 1, and still ones at 0: (N, K) -> float64 (N, K).

    Examples
    --------
    >>> on_scale(torch.tensor([[1e6, 7.0], [1e6 + 1, 7.0], [1e6 + 2, 7.0]])).tolist()
    [[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    """
    middle, reach, live = scale_of(z) if scale is None else scale
    moved = (z.double() - middle) / reach
    return torch.where(live, moved, torch.zeros_like(moved))


def live_latents(z: Tensor) -> Tensor:
    """Tell which latents vary by more than rounding: (N, K) -> (K,) bool.

    Rounding is a standard deviation of two steps of the floating point in which the
    codes are given. So give codes as they were computed: float32 codes in float64 keep
    the rounding of float32, and that then counts as variation.

    Examples
    --------
    >>> live_latents(torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])).tolist()
    [True, False]
    """
    return scale_of(check_codes(z)).live


# --- from factors to codes ----------------------------------------------------------


def draw_factors(
    levels: Sequence[int], count: int, generator: torch.Generator
) -> Tensor:
    """Draw factors independently and uniformly, int64 (count, F).

    Examples
    --------
    >>> factors = draw_factors((3, 6), 100, torch.Generator().manual_seed(0))
    >>> factors.shape, factors.amax(dim=0).tolist()
    (torch.Size([100, 2]), [2, 5])
    """
    whole_numbers(count=count)
    levels = check_levels(levels)
    columns = [torch.randint(n, (count,), generator=generator) for n in levels]
    return torch.stack(columns, dim=1)


def from_table(codes: Tensor, levels: Sequence[int]) -> Represent:
    """Make ``represent`` from the codes of a full grid of factors.

    Parameters
    ----------
    codes : Tensor, (product of levels, K)
        One row per combination of factors, the last factor fastest (as in dSprites).
    levels : sequence of int, (F,)
        Number of levels of each factor.

    Returns
    -------
    callable
        Factors (N, F) to codes (N, K), by looking them up. It raises a ValueError for
        factors that are not on the grid.

    Raises
    ------
    ValueError
        If the number of rows is not the product of the levels.

    Examples
    --------
    >>> represent = from_table(torch.arange(6.0)[:, None], (2, 3))
    >>> represent(torch.tensor([[0, 0], [0, 2], [1, 1]])).flatten().tolist()
    [0.0, 2.0, 4.0]
    """
    levels = check_levels(levels)
    codes = check_codes(codes, math.prod(levels))
    steps = [math.prod(levels[place + 1 :]) for place in range(len(levels))]
    stride, sizes = torch.tensor(steps), torch.tensor(levels)

    def represent(factors: Tensor) -> Tensor:
        if factors.ndim != 2 or factors.shape[1] != len(levels):
            raise ValueError(
                f"factors have shape {tuple(factors.shape)}; expected (N, "
                f"{len(levels)})"
            )
        if factors.is_floating_point() or ((factors < 0) | (factors >= sizes)).any():
            raise ValueError(
                f"factors must be whole numbers from 0, below {levels}: these are not "
                "on the grid"
            )
        return codes[(factors * stride).sum(dim=1)]

    return represent


def encode(represent: Represent, factors: Tensor) -> Tensor:
    """Ask for the codes of factors, a part at a time: (N, F) -> (N, K)."""
    parts = factors.split(ROWS_AT_ONCE)
    return torch.cat([check_codes(represent(part), len(part)) for part in parts])


def unrelated(
    represent: Represent, levels: Sequence[int], generator: torch.Generator
) -> Represent:
    """Make the same codes, of factors drawn anew: what a metric gives by chance.

    Permuting the rows of a table does the same. Where a factor is held fixed, permuting
    would not do, as all rows share it.
    """
    levels = check_levels(levels)

    def by_chance(factors: Tensor) -> Tensor:
        return represent(draw_factors(levels, len(factors), generator))

    return by_chance
