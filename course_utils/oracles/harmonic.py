"""Filling a hole as smoothly as possible: the classical answer, nothing learned."""

from __future__ import annotations

import torch


def harmonic_fill(images: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Give each missing pixel the mean of its neighbours (discrete Laplace equation).

    The neighbours are the up to four pixels above, below, left and right; missing
    neighbours take part with their own filled values, so that one linear system is
    solved for the hole. Linear in the image, and exact on images of constant slope
    around holes that do not touch the border.

    Parameters
    ----------
    images
        (N, H, W); what stands in the missing pixels is not looked at.
    seen
        Which pixels are seen, bool (H, W).

    Returns
    -------
    Tensor
        (N, H, W): the images, with the hole filled.

    Raises
    ------
    ValueError
        If the shapes do not fit, or nothing is seen.

    Notes
    -----
    The simplest member of the family of M. Bertalmio, G. Sapiro, V. Caselles and
    C. Ballester (2000), Image inpainting.

    Examples
    --------
    >>> ramp = torch.arange(5.0).expand(1, 5, 5)
    >>> seen = torch.ones(5, 5, dtype=torch.bool)
    >>> seen[1:4, 1:4] = False
    >>> torch.allclose(harmonic_fill(ramp * seen, seen), ramp)
    True
    """
    if images.ndim != 3 or seen.shape != images.shape[1:] or seen.dtype != torch.bool:
        raise ValueError(
            f"images has shape {tuple(images.shape)}, seen is {seen.dtype} of shape "
            f"{tuple(seen.shape)}; expected (N, H, W) and bool (H, W)"
        )
    if not seen.any():
        raise ValueError("seen is False everywhere; expected at least one seen pixel")
    laplace = _grid_laplacian(*seen.shape).to(images.dtype)
    is_seen = seen.flatten()
    x = images.flatten(1)  # (N, H·W)
    # For every missing pixel: degree · value − sum of its neighbours = 0.
    inside = laplace[~is_seen][:, ~is_seen]
    border = laplace[~is_seen][:, is_seen]
    filled = x.clone()
    filled[:, ~is_seen] = -torch.linalg.solve(inside, border @ x[:, is_seen].T).T
    return filled.view_as(images)


def _grid_laplacian(height: int, width: int) -> torch.Tensor:
    """Return degree minus adjacency of the grid's pixels, (H·W, H·W)."""
    number = torch.arange(height * width).view(height, width)
    pairs = torch.cat(
        [
            torch.stack([number[:, :-1].flatten(), number[:, 1:].flatten()], 1),
            torch.stack([number[:-1].flatten(), number[1:].flatten()], 1),
        ]
    )
    adjacency = torch.zeros(height * width, height * width)
    adjacency[pairs[:, 0], pairs[:, 1]] = 1
    adjacency = adjacency + adjacency.T
    return torch.diag(adjacency.sum(1)) - adjacency
