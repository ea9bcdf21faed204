"""Measuring and mending whole images."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch


def psnr(x: torch.Tensor, x_hat: torch.Tensor, peak: float = 1.0) -> torch.Tensor:
    """Peak signal-to-noise ratio in decibels: 10 log₁₀(peak² / mean squared error).

    Ten decibels more mean a tenth of the squared error. The mean runs over every pixel
    of every image given: one error, then one logarithm.

    Parameters
    ----------
    x, x_hat
        Clean and restored images, of one shape.
    peak
        The largest value a pixel can have: 1 for images in [0, 1], 255 for bytes.

    Returns
    -------
    Tensor
        One number, 0-d, in decibels; infinite where ``x_hat`` equals ``x``.

    Raises
    ------
    ValueError
        If the shapes differ, there is no pixel, or ``peak`` is not positive.

    Examples
    --------
    >>> psnr(torch.zeros(8, 8), torch.full((8, 8), 0.1))
    tensor(20.)
    """
    if x.shape != x_hat.shape or x.numel() == 0:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, x_hat {tuple(x_hat.shape)}; expected one "
            "shape with at least one pixel"
        )
    if not 0 < peak < math.inf:
        raise ValueError(f"peak is {peak}; expected the largest pixel value, above 0")
    return 10 * torch.log10(peak**2 / ((x - x_hat) ** 2).mean())


@torch.no_grad()
def by_patches(
    image: torch.Tensor,
    function: Callable[[torch.Tensor], torch.Tensor],
    size: int = 8,
) -> torch.Tensor:
    """Apply a function of patches to every place of an image and average the answers.

    Each pixel lies in up to size² overlapping patches; its value is the mean of what
    they say.

    Parameters
    ----------
    image
        (H, W).
    function
        Maps patches (N, size·size) to patches of the same shape.
    size
        Side of a patch in pixels.

    Returns
    -------
    Tensor
        (H, W).

    Raises
    ------
    ValueError
        If the image is no (H, W) at least as large as a patch.

    Examples
    --------
    >>> image = torch.arange(12.0).view(3, 4)
    >>> torch.equal(by_patches(image, lambda rows: rows, size=2), image)
    True
    """
    if image.ndim != 2 or min(image.shape) < size or size < 1:
        raise ValueError(
            f"image has shape {tuple(image.shape)}; expected (H, W), both at least the "
            f"patch size {size}"
        )
    fold = torch.nn.functional.fold
    rows = torch.nn.functional.unfold(image[None, None], size)[0].T  # (N, size·size)
    answers = function(rows.contiguous())
    height, width = image.shape
    total = fold(answers.T[None], (height, width), size)
    count = fold(torch.ones_like(answers).T[None], (height, width), size)
    return (total / count)[0, 0]
