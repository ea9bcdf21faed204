"""Rows of pixels drawn as images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from course_utils.plots.style import IMAGES


def as_images(x: torch.Tensor, size: tuple[int, int] | None = None) -> np.ndarray:
    """Turn rows of pixels (N, D) into images (N, H, W); square by default.

    What is (N, H, W) already stays as it is.

    Raises
    ------
    ValueError
        If ``x`` has another number of axes, or its pixels make no image of the size.

    Examples
    --------
    >>> as_images(torch.zeros(3, 64)).shape
    (3, 8, 8)
    """
    array = np.asarray(x.detach() if isinstance(x, torch.Tensor) else x)
    if array.ndim == 3 and size in (None, array.shape[1:]):
        return array
    if array.ndim != 2:
        wanted = "H, W" if size is None else f"{size[0]}, {size[1]}"
        raise ValueError(f"x has shape {array.shape}; expected (N, D) or (N, {wanted})")
    side = round(array.shape[1] ** 0.5)
    height, width = size or (side, side)
    if height * width != array.shape[1]:
        raise ValueError(f"{array.shape[1]} pixels are no {height}×{width} image")
    return array.reshape(-1, height, width)


def image_rows(
    rows: Sequence[torch.Tensor],
    labels: Sequence[str],
    *,
    limits: Sequence[tuple[float, float]] = ((0.0, 1.0),),
    cmap: str = IMAGES,
    scale: float = 0.62,
) -> Any:
    """Draw rows of images, each row with its label at the left.

    Parameters
    ----------
    rows
        One tensor (N, D) or (N, H, W) a row.
    labels
        One label a row.
    limits
        The values at the two ends of the colour map (white and black by default), a
        pair a row; one pair serves all rows.
    cmap
        Name of a matplotlib colour map.
    scale
        Side of one image in inches.

    Returns
    -------
    matplotlib.figure.Figure
        To be given to `show`.

    Raises
    ------
    ValueError
        If there is no image, rows, labels and limits differ in number, or a row holds
        no images.
    """
    import matplotlib.pyplot as plt

    if len(rows) != len(labels):
        raise ValueError(f"{len(rows)} rows but {len(labels)} labels")
    if len(limits) not in (1, len(rows)):
        raise ValueError(
            f"{len(rows)} rows but {len(limits)} limits; expected one pair, or one a "
            "row"
        )
    images = [as_images(row) for row in rows]
    columns = max((len(row) for row in images), default=0)
    if columns == 0:
        raise ValueError("rows hold no image; expected at least one")
    pairs = list(limits) * (len(rows) if len(limits) == 1 else 1)
    fig, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(scale * columns + 1.3, scale * len(rows) + 0.1),
        squeeze=False,
        gridspec_kw={"wspace": 0.05, "hspace": 0.05},
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for line, row, label, (low, high) in zip(axes, images, labels, pairs, strict=True):
        for ax, image in zip(line, row, strict=False):
            ax.imshow(image, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
        line[0].text(
            -0.15, 0.5, label, transform=line[0].transAxes, ha="right", va="center",
            fontsize=9,
        )  # fmt: skip
    return fig


def tiles(x: torch.Tensor, columns: int, margin: int = 1) -> torch.Tensor:
    """Lay images out in rows as one picture, which draws faster than many axes.

    Parameters
    ----------
    x
        (N, D) or (N, H, W), in reading order; N is a multiple of ``columns``.
    columns
        Images in a row.
    margin
        Empty pixels around each image.

    Returns
    -------
    Tensor
        (rows · (H + 2 margin), columns · (W + 2 margin)).

    Raises
    ------
    ValueError
        If the images do not fill the rows, or are no images.

    Examples
    --------
    >>> tiles(torch.ones(6, 64), columns=3).shape
    torch.Size([20, 30])
    """
    images = torch.as_tensor(as_images(x))
    if columns < 1 or len(images) == 0 or len(images) % columns:
        raise ValueError(
            f"{len(images)} images do not fill rows of {columns}; expected a multiple"
        )
    framed = torch.nn.functional.pad(images, (margin,) * 4)
    _, height, width = framed.shape
    rows = framed.reshape(-1, columns, height, width).transpose(1, 2)
    return rows.reshape(-1, columns * width)
