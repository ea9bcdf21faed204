"""The hole meter: whether decoded draws look like the data, and how sure that is.

Two verdicts on an image, both from distances to the training images:

- *far*: the nearest training image is further away than for nearly all held-out images;
- *between*: a training image of another class is nearly as near as the nearest one
  (the ratio of the two distances, after Lowe, 2004).

An image is *off* when it is far or between. The two limits are quantiles of held-out
real images, so that real images are called off at a rate that one chooses.

Codes on one scale (`course_utils.metrics.whitening`) and draws
(`course_utils.metrics.draws`) are what it is used with; they have their names here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from course_utils.arguments import matrix
from course_utils.metrics.draws import mixture_draws, mixture_gain, random_pairs
from course_utils.metrics.whitening import (
    Whitening,
    cycle_error,
    straight_path,
)

__all__ = [
    "HoleMeter",
    "Whitening",
    "cycle_error",
    "mixture_draws",
    "mixture_gain",
    "nearest_two",
    "random_pairs",
    "straight_path",
]

ROWS_AT_ONCE = 4096  # keeps the table of distances small


def nearest_two(
    x: Tensor, reference: Tensor, labels: Tensor, without: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Distance to the nearest reference, and its ratio to that of another class.

    Let r be the reference nearest to x, and s the nearest one among those whose label
    differs from r's. The ratio |x - r| / |x - s| lies in [0, 1]; near 1, x stands
    between two classes.

    Parameters
    ----------
    x : Tensor, (N, D)
        Images to judge.
    reference : Tensor, (M, D)
        Images known to be real.
    labels : Tensor, (M,)
        Class of each reference; at least two classes.
    without : Tensor, (N,), optional
        For each image the index of one reference that does not count: the one it was
        made from. An image that was made from a reference is nearer to it than new
        images are.

    Returns
    -------
    distance : Tensor, (N,)
        Euclidean distance to the nearest reference.
    ratio : Tensor, (N,)
        That distance over the distance to the nearest reference of another class;
        1 where both are 0, and 0 where ``without`` leaves no other class.

    Raises
    ------
    ValueError
        If a shape is wrong, a value is not finite, there is only one class, or
        ``without`` is not an index of a reference for each image.

    References
    ----------
    Lowe (2004), "Distinctive image features from scale-invariant keypoints": the test
    of nearest against second-nearest.

    Examples
    --------
    >>> reference = torch.tensor([[0.0, 0.0], [1.0, 0.0], [4.0, 0.0]])
    >>> labels = torch.tensor([0, 0, 1])
    >>> distance, ratio = nearest_two(torch.tensor([[2.0, 0.0]]), reference, labels)
    >>> distance.item(), ratio.item()
    (1.0, 0.5)
    >>> x = torch.tensor([[1.0, 0.0]])  # the second reference itself
    >>> distance, ratio = nearest_two(x, reference, labels, without=torch.tensor([1]))
    >>> distance.item()
    1.0
    """
    x, reference = matrix("x", x), matrix("reference", reference)
    if x.shape[1] != reference.shape[1]:
        raise ValueError(
            f"x and reference must have the same number of columns, got "
            f"{x.shape[1]} and {reference.shape[1]}"
        )
    if not isinstance(labels, Tensor) or labels.shape != reference.shape[:1]:
        raise ValueError(
            f"labels must be a tensor with one label per reference "
            f"({reference.shape[0]},), got {getattr(labels, 'shape', labels)!r}"
        )
    if labels.unique().numel() < 2:
        raise ValueError("labels must name at least two classes, got one")
    if without is not None:
        _check_without(without, len(x), len(reference))
    parts = [
        _nearest_two(x[rows], reference, labels, own)
        for rows in torch.arange(len(x)).split(ROWS_AT_ONCE)
        for own in [None if without is None else without[rows]]
    ]
    return torch.cat([d for d, _ in parts]), torch.cat([r for _, r in parts])


def _check_without(without: Tensor, images: int, references: int) -> None:
    if not isinstance(without, Tensor) or without.dtype != torch.int64:
        kind = getattr(without, "dtype", type(without).__name__)
        raise ValueError(f"without must be a tensor of indices (int64), got {kind}")
    if without.shape != (images,):
        raise ValueError(
            f"without must have one index per image ({images},), "
            f"got {tuple(without.shape)}"
        )
    if images and not 0 <= without.min() <= without.max() < references:
        raise ValueError(
            f"without must have indices from 0 to {references - 1}, got "
            f"{int(without.min())} to {int(without.max())}"
        )


def _nearest_two(
    x: Tensor, reference: Tensor, labels: Tensor, without: Tensor | None
) -> tuple[Tensor, Tensor]:
    distances = torch.cdist(  # (N, M); the exact way, not the fast one
        x, reference, compute_mode="donot_use_mm_for_euclid_dist"
    )
    if without is not None:
        distances = distances.scatter(1, without[:, None], math.inf)
    nearest, index = distances.min(dim=1)
    same = labels[index][:, None] == labels[None, :]  # (N, M)
    other = distances.masked_fill(same, math.inf).min(dim=1).values
    ratio = torch.where(other > 0, nearest / other, torch.ones_like(other))
    return nearest, ratio


@dataclass(frozen=True)
class HoleMeter:
    """Verdicts on images: far from the data, between two classes, off (either).

    Make one with `HoleMeter.fit`, then validate it on images whose answer is known.

    Attributes
    ----------
    reference, labels
        Real images (M, D) and their classes (M,).
    distance_limit
        An image is far when its nearest reference is further away.
    ratio_limit
        An image is between when the ratio of `nearest_two` is larger.

    Examples
    --------
    >>> reference = torch.tensor([[0.0], [0.2], [1.0], [1.2]])
    >>> labels = torch.tensor([0, 0, 1, 1])
    >>> held_out = torch.tensor([[0.1], [1.1], [1.3], [0.3]])
    >>> meter = HoleMeter.fit(reference, labels, held_out)
    >>> x = torch.tensor([[0.05], [0.62], [9.0]])
    >>> meter.far(x).tolist(), meter.between(x).tolist(), meter.off(x).tolist()
    ([False, True, True], [False, True, True], [False, True, True])
    """

    reference: Tensor
    labels: Tensor
    distance_limit: float
    ratio_limit: float

    @classmethod
    def fit(
        cls,
        reference: Tensor,
        labels: Tensor,
        held_out: Tensor,
        level: float = 0.05,
    ) -> HoleMeter:
        """Set the two limits from held-out real images.

        Each limit is exceeded by ``level / 2`` of the held-out images, so that at most
        about ``level`` of new real images are off (the union bound).

        Parameters
        ----------
        reference : Tensor, (M, D)
        labels : Tensor, (M,)
        held_out : Tensor, (N, D)
            Real images that are not among the references.
        level : float
            Share of real images that may be called off, in (0, 1).

        Raises
        ------
        ValueError
            If ``level`` is out of range, or a shape is wrong.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must lie in (0, 1), got {level}")
        distance, ratio = nearest_two(held_out, reference, labels)
        keep = 1 - level / 2
        return cls(
            reference,
            labels,
            torch.quantile(distance, keep).item(),
            torch.quantile(ratio, keep).item(),
        )

    def far(self, x: Tensor) -> Tensor:
        """Whether each image (N, D) is far from every reference: (N,) bool."""
        return nearest_two(x, self.reference, self.labels)[0] > self.distance_limit

    def between(self, x: Tensor) -> Tensor:
        """Whether each image (N, D) stands between two classes: (N,) bool."""
        return nearest_two(x, self.reference, self.labels)[1] > self.ratio_limit

    def off(self, x: Tensor, without: Tensor | None = None) -> Tensor:
        """Whether each image (N, D) is far or between: (N,) bool.

        Images that were made from references are judged fairly without those: see
        `nearest_two`.
        """
        distance, ratio = nearest_two(x, self.reference, self.labels, without)
        return (distance > self.distance_limit) | (ratio > self.ratio_limit)

    def variety(self, x: Tensor, images: Tensor) -> float:
        """Share of the data x (N, D) that have one of the images (M, D) near them.

        Near is what is not far: within ``distance_limit``.
        """
        nearest = torch.cdist(x, images).min(1).values
        return (nearest <= self.distance_limit).double().mean().item()
