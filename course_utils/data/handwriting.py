"""Handwriting at 28 × 28 pixels: strokes drawn here, or real digits by one argument."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from course_utils.arguments import one_of
from course_utils.data.embedded import SPLITS, VALUES, Split
from course_utils.data.mnist import cache_folder, fashion_mnist, mnist
from course_utils.data.strokes import Factors, draw_factors, render
from course_utils.files import write_atomically

SOURCES = ("strokes", "mnist", "fashion")
COUNTS = {"train": 12_000, "validation": 2_000, "test": 2_000}
EDITION = 1  # of the pictures; another one makes the kept files afresh


def handwriting(
    split: str = "train", values: str = "grey", source: str = "strokes"
) -> Split:
    """Digits at 28 × 28 pixels: our own strokes, or the real thing by one argument.

    Parameters
    ----------
    split
        ``"train"``, ``"validation"`` or ``"test"``; fixed. Of the strokes 12 000, 2 000
        and 2 000, with equal shares of the ten classes.
    values
        ``"grey"``: 256 grey levels, scaled to [0, 1]. ``"binary"``: 0 or 1, a pixel is
        1 where its grey is at least one half.
    source
        ``"strokes"`` needs nothing. ``"mnist"`` and ``"fashion"`` are downloaded once,
        or read from the folder that ``VAE_COURSE_DATA`` names, see
        `course_utils.data.mnist`.

    Returns
    -------
    Split
        ``x`` float32 (N, 784), rows of pixels from top to bottom; ``y`` int64 (N,).

    Raises
    ------
    ValueError
        If an argument is none of these.
    ConnectionError
        If a download is asked for and cannot be had.

    Examples
    --------
    >>> x, y = handwriting("test")
    >>> x.shape, y.bincount().tolist()
    (torch.Size([2000, 784]), [200, 200, 200, 200, 200, 200, 200, 200, 200, 200])
    """
    one_of(SPLITS, split=split)
    one_of(VALUES, values=values)
    one_of(SOURCES, source=source)
    if source != "strokes":
        return (mnist if source == "mnist" else fashion_mnist)(split, values)
    grey = _stored(split).float() / 255
    x = (grey >= 0.5).float() if values == "binary" else grey
    return Split(x, factors_of(split).classes[:, 0])


def factors_of(split: str) -> Factors:
    """Return the factors of a split of the strokes, in the order of its pictures.

    Raises
    ------
    ValueError
        If there is no such split.

    Examples
    --------
    >>> factors_of("test").values.shape
    torch.Size([2000, 14])
    """
    one_of(SPLITS, split=split)
    seed = 20 + SPLITS.index(split)
    return draw_factors(COUNTS[split], torch.Generator().manual_seed(seed))


@functools.cache
def _stored(split: str) -> Tensor:
    """Return the pictures of a split, uint8 (N, 784); drawn once, then kept on disk."""
    path = cache_folder() / "strokes" / f"{split}-{EDITION}.npy"
    try:
        images = np.load(path, allow_pickle=False)
        if images.shape == (COUNTS[split], 28 * 28) and images.dtype == np.uint8:
            return torch.from_numpy(images)
    except (OSError, ValueError, EOFError):  # not there yet, or broken
        pass
    x = render(factors_of(split).values, size=28)
    pictures = (x * 255).round().to(torch.uint8)
    _keep(path, pictures.numpy())
    return pictures


def _keep(path: Path, pictures: np.ndarray) -> None:
    """Write pictures where they are found again; a folder may be read-only."""
    content = io.BytesIO()
    np.save(content, pictures, allow_pickle=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())
    except OSError:
        pass  # they are drawn again next time, in seconds
