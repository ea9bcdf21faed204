"""The losses: what is minimised, in plain functions of tensors.

Everywhere: sum over the data dimensions, mean over the batch.
"""

from __future__ import annotations

import torch


def squared_error(x: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    """Squared error: summed over the data dimensions, averaged over the batch.

    Parameters
    ----------
    x, x_hat
        Data and reconstruction, both (N, D).

    Returns
    -------
    Tensor
        One number, 0-d.

    Raises
    ------
    ValueError
        If the shapes differ or are not (N, D), or there is no example.

    Examples
    --------
    >>> squared_error(torch.zeros(2, 3), torch.ones(2, 3))
    tensor(3.)
    """
    if x.shape != x_hat.shape or x.ndim != 2 or len(x) == 0:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, x_hat {tuple(x_hat.shape)}; "
            "expected one shape (N, D), N ≥ 1, for both"
        )
    return ((x - x_hat) ** 2).sum(1).mean()
