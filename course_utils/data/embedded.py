"""Handwritten digits and photograph patches: on the disk already, with scikit-learn.

Splits are fixed; nothing trains on the test part.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch

from course_utils.arguments import one_of, whole_number, whole_numbers

SPLITS = ("train", "validation", "test")
VALUES = ("grey", "binary")
DIGIT_COUNTS = {"train": 1200, "validation": 297, "test": 300}
# Columns of a photograph (as shares of its width) that each split may use.
PHOTO_COLUMNS = {"train": (0.0, 0.6), "validation": (0.6, 0.75), "test": (0.75, 1.0)}


class Split(NamedTuple):
    """One part of a data set: examples (N, D) and their labels (N,)."""

    x: torch.Tensor
    y: torch.Tensor


# --- handwritten digits -------------------------------------------------------------


@functools.cache
def _digits_arrays() -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images / 16.0, dtype=torch.float32)
    y = torch.tensor(labels, dtype=torch.int64)
    order = list(range(len(y)))
    train, rest = train_test_split(
        order, train_size=DIGIT_COUNTS["train"], stratify=labels, random_state=0
    )
    validation, test = train_test_split(
        rest, test_size=DIGIT_COUNTS["test"], stratify=labels[rest], random_state=0
    )
    index = {"train": train, "validation": validation, "test": test}
    return x, y, {name: torch.tensor(rows) for name, rows in index.items()}


def digits(split: str = "train", values: str = "grey") -> Split:
    """Handwritten digits, 8×8 pixels, of scikit-learn's ``load_digits``.

    Parameters
    ----------
    split
        ``"train"`` (1200 images), ``"validation"`` (297) or ``"test"`` (300); fixed,
        with equal shares of the ten classes.
    values
        ``"grey"``: the 17 grey levels, scaled to [0, 1]. ``"binary"``: 0 or 1, a pixel
        is 1 where its grey is at least one half.

    Returns
    -------
    Split
        ``x`` float32 (N, 64), rows of pixels from top to bottom; ``y`` int64 (N,).

    Raises
    ------
    ValueError
        If ``split`` or ``values`` is none of these.

    Notes
    -----
    E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI.

    Examples
    --------
    >>> x, y = digits("test")
    >>> x.shape, y.shape
    (torch.Size([300, 64]), torch.Size([300]))
    """
    one_of(SPLITS, split=split)
    one_of(VALUES, values=values)
    x, y, index = _digits_arrays()
    rows = index[split]
    grey = x[rows]
    return Split((grey >= 0.5).float() if values == "binary" else grey, y[rows].clone())


# --- photograph patches -------------------------------------------------------------


@functools.cache
def _photographs() -> dict[str, torch.Tensor]:
    from sklearn.datasets import load_sample_images

    bundle = load_sample_images()
    # Rec. 601 weights of red, green, blue in the perceived brightness.
    weights = torch.tensor([0.299, 0.587, 0.114])
    photos = {}
    for name, image in zip(bundle.filenames, bundle.images, strict=True):
        short = name.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".jpg")
        photos[short] = torch.tensor(image, dtype=torch.float32) / 255.0 @ weights
    return photos


def photographs() -> dict[str, torch.Tensor]:
    """Return scikit-learn's two photographs in grey, float32 (427, 640) in [0, 1].

    Examples
    --------
    >>> {name: tuple(image.shape) for name, image in photographs().items()}
    {'china': (427, 640), 'flower': (427, 640)}
    """
    return {name: image.clone() for name, image in _photographs().items()}


def photo_region(name: str, split: str) -> torch.Tensor:
    """Return the part of a photograph that a split may use, float32 (H, W) in [0, 1].

    The columns 0–60 % are for training, 60–75 % for validation, 75–100 % for testing.

    Raises
    ------
    ValueError
        If there is no such photograph or split.

    Examples
    --------
    >>> photo_region("china", "test").shape
    torch.Size([427, 160])
    """
    one_of(SPLITS, split=split)
    photos = _photographs()
    one_of(photos, name=name)
    image = photos[name]
    left, right = (round(share * image.shape[1]) for share in PHOTO_COLUMNS[split])
    return image[:, left:right].clone()


def patches(
    split: str = "train",
    size: int = 8,
    count: int = 10_000,
    seed: int = 0,
    centred: bool = False,
) -> torch.Tensor:
    """Square grey patches cut at random places out of the two photographs.

    Parameters
    ----------
    split
        ``"train"``, ``"validation"`` or ``"test"``: disjoint columns of the
        photographs.
    size
        Side of a patch in pixels, 2 to 64.
    count
        How many patches, half of them from each photograph.
    seed
        Seed of the places.
    centred
        Subtract the mean patch of the *training* split (of the same size, 10 000
        patches, seed 0), whichever split is asked for.

    Returns
    -------
    Tensor
        float32 (count, size·size); in [0, 1] unless centred.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> patches("validation", size=4, count=6).shape
    torch.Size([6, 16])
    """
    one_of(SPLITS, split=split)
    whole_numbers(count=count)
    whole_number("size", size, 2, 64)
    x = _cut_patches(split, size, count, seed)
    if centred:
        x = x - _cut_patches("train", size, 10_000, 0).mean(0)
    return x


def _cut_patches(split: str, size: int, count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    names = list(_photographs())
    parts = []
    for place, name in enumerate(names):
        region = photo_region(name, split)
        share = count // len(names) + (place < count % len(names))
        windows = region.unfold(0, size, 1).unfold(1, size, 1)  # (rows, columns, s, s)
        rows = torch.randint(windows.shape[0], (share,), generator=generator)
        columns = torch.randint(windows.shape[1], (share,), generator=generator)
        parts.append(windows[rows, columns].reshape(share, size * size))
    mixed = torch.cat(parts)
    return mixed[torch.randperm(count, generator=generator)].contiguous()
