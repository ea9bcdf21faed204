"""Codes in the latent plane: where to decode, and where digits fell."""

from __future__ import annotations

from typing import Any

import torch

from course_utils.arguments import whole_numbers
from course_utils.plots.style import CLASSES


def scatter_digits(
    ax: Any, codes: torch.Tensor, labels: torch.Tensor, size: float = 18
) -> None:
    """Draw each code (N, 2) as its digit, in one colour a class.

    Parameters
    ----------
    ax
        A matplotlib axes.
    codes, labels
        (N, 2), and digits 0 to 9 (N,).
    size
        Of a digit, in square points.
    """
    for label, colour in enumerate(CLASSES):
        z = codes[labels == label]
        marker = f"${label}$"
        ax.scatter(
            z[:, 0], z[:, 1], s=size, linewidths=0.3, marker=marker, color=colour
        )


def quantile_grid(n: int) -> torch.Tensor:
    """Points of the latent plane, each in the middle of one of n² equal shares of it.

    Along each axis stand the quantiles of N(0, 1) at (i − ½)/n, so that every point
    stands for the share 1/n² of draws from N(0, I). Even steps over [−1, 1]² would show
    46.6 % of them.

    Parameters
    ----------
    n
        Points along each axis, from 1.

    Returns
    -------
    Tensor
        (n·n, 2) in reading order: z₁ grows within a row, z₂ falls from row to row.

    Raises
    ------
    ValueError
        If ``n`` is not a whole number from 1.

    Examples
    --------
    >>> quantile_grid(2)
    tensor([[-0.6745,  0.6745],
            [ 0.6745,  0.6745],
            [-0.6745, -0.6745],
            [ 0.6745, -0.6745]])
    """
    whole_numbers(n=n)
    axis = torch.special.ndtri((torch.arange(n) + 0.5) / n)
    rows, columns = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    return torch.stack([columns, rows], dim=2).reshape(-1, 2)
