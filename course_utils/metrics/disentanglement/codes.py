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
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from course_utils.arguments import matrix

Represent = Callable[[Tensor], Tensor]

ROWS_AT_ONCE = 8192  # how many codes are asked for in one call of represent
STILL = 1e-6  # a latent that varies by less than this share of its size is rounding


def check_levels(levels: Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of levels of the factors, or say what is wrong with them."""
    checked = tuple(int(count) for count in levels)
    if len(checked) < 2 or min(checked) < 2:
        raise ValueError(
            f"levels must name at least two factors of at least two levels each, got "
            f"{checked}; leave out factors that do not vary"
        )
    return checked


def check_codes(z: Tensor, count: int | None = None) -> Tensor:
    """Return codes (N, K) in float64, or say what is wrong with them."""
    matrix("z", z, "(N, K)")
    if count is not None and len(z) != count:
        raise ValueError(f"z has {len(z)} rows; expected {count}")
    return z.detach().double()


def check_factors(factors: Tensor) -> Tensor:
    """Return factors (N, F) as classes 0, 1, …, or say what is wrong with them."""
    if not isinstance(factors, Tensor) or factors.is_floating_point():
        raise ValueError(
            "factors must be an integer tensor of classes, got "
            f"{getattr(factors, 'dtype', type(factors).__name__)}"
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


def check_categorical(categorical: Sequence[int], count: int) -> set[int]:
    """Return which of ``count`` factors have no order, or say what is wrong."""
    chosen = {int(place) for place in categorical}
    if not chosen <= set(range(count)):
        raise ValueError(
            f"categorical must name factors 0 to {count - 1}, got {sorted(chosen)}"
        )
    return chosen


def live_latents(z: Tensor) -> Tensor:
    """Tell which latents vary by more than rounding: (N, K) -> (K,) bool.

    Examples
    --------
    >>> live_latents(torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])).tolist()
    [True, False]
    """
    return z.std(dim=0, correction=0) > STILL * z.abs().amax(dim=0)


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
        Factors (N, F) to codes (N, K), by looking them up.

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
    stride = torch.tensor(steps)

    def represent(factors: Tensor) -> Tensor:
        return codes[(factors * stride).sum(dim=1)]

    return represent


def encode(represent: Represent, factors: Tensor) -> Tensor:
    """Ask for the codes of factors, a part at a time: (N, F) -> float64 (N, K)."""
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
