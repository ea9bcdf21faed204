"""An array as the bytes of a picture of a fixed size."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def picture(pixels: Any, size: tuple[int, int] = (280, 280)) -> bytes:
    """Turn an array into the bytes of a PNG of a fixed size.

    Parameters
    ----------
    pixels : array or tensor, (H, W) or (H, W, 3)
        Grey or RGB; floats in [0, 1], or uint8.
    size : (int, int)
        Width and height of the picture in pixels; every array pixel becomes a block.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    ValueError
        If the shape, the range or the size is wrong, or a value is not finite.

    Examples
    --------
    >>> picture(np.zeros((8, 8)), size=(80, 80))[1:4]
    b'PNG'
    """
    width, height = checked_size(size)
    if hasattr(pixels, "detach"):
        pixels = pixels.detach().cpu().numpy()
    array = np.asarray(pixels)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(
            f"pixels must have shape (H, W) or (H, W, 3), got {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"pixels must not be empty, got shape {array.shape}")
    if array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"pixels must be floats in [0, 1] or uint8, got {array.dtype}"
            )
        if not np.isfinite(array).all():
            raise ValueError("pixels must be finite, got NaN or infinity")
        low, high = float(array.min()), float(array.max())
        if low < 0 or high > 1:
            raise ValueError(
                f"pixels must lie in [0, 1], got values from {low:.4g} to {high:.4g}"
            )
        array = np.rint(array * 255).astype(np.uint8)
    image = Image.fromarray(array).resize((width, height), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return width and height as whole numbers of pixels; refuse what is none."""
    try:
        width, height = size
        good = all(int(n) == n and 1 <= n <= 2000 for n in (width, height))
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            f"size must be (width, height) in pixels, each 1 to 2000, got {size!r}"
        )
    return int(width), int(height)
