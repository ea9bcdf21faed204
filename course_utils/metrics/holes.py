"""The hole meter: whether decoded draws look like the data, and how sure that is.

Two verdicts on an image, both from distances to the training images:

- *far*: the nearest training image is further away than for nearly all held-out images;
- *between*: a training image of another class is nearly as near as the nearest one
  (the ratio of the two distances, after Lowe, 2004).

An image is *off* when it is far or between. The two limits are quantiles of held-out
real images, so that real images are called off at a rate that one chooses.

Beside the verdicts stands what a fair comparison of codes needs: whitening, the cycle
error and straight paths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_utils.arguments import matrix

__all__ = [
    "HoleMeter",
    "Whitening",
    "cycle_error",
    "mixture_draws",
    "mixture_gain",
    "nearest_two",
    "random_pairs",
    "straight_path",
    "whiten",
]

ROWS_AT_ONCE = 4096  # keeps the table of distances small


# --- verdicts on images -------------------------------------------------------------


def nearest_two(x: Tensor, reference: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
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

    Returns
    -------
    distance : Tensor, (N,)
        Euclidean distance to the nearest reference.
    ratio : Tensor, (N,)
        That distance over the distance to the nearest reference of another class;
        1 where both are 0.

    Raises
    ------
    ValueError
        If a shape is wrong, a value is not finite, or there is only one class.

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
    parts = [_nearest_two(part, reference, labels) for part in x.split(ROWS_AT_ONCE)]
    return torch.cat([d for d, _ in parts]), torch.cat([r for _, r in parts])


def _nearest_two(x: Tensor, reference: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    distances = torch.cdist(  # (N, M); the exact way, not the fast one
        x, reference, compute_mode="donot_use_mm_for_euclid_dist"
    )
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

    def off(self, x: Tensor) -> Tensor:
        """Whether each image (N, D) is far or between: (N,) bool."""
        distance, ratio = nearest_two(x, self.reference, self.labels)
        return (distance > self.distance_limit) | (ratio > self.ratio_limit)

    def variety(self, x: Tensor, images: Tensor) -> float:
        """Share of the data x (N, D) that have one of the images (M, D) near them.

        Near is what is not far: within ``distance_limit``.
        """
        nearest = torch.cdist(x, images).min(1).values
        return (nearest <= self.distance_limit).double().mean().item()


# --- codes on one scale -------------------------------------------------------------


@dataclass(frozen=True)
class Whitening:
    """An invertible affine map after which codes have mean 0 and covariance I.

    Directions along which the codes do not vary have no scale to divide by; they are
    left out, and ``active`` says how many remain.

    Attributes
    ----------
    mean : Tensor, (K,)
    axes : Tensor, (K, A)
        Orthonormal columns: the principal axes of the codes that vary.
    scale : Tensor, (A,)
        Standard deviation of the codes along each axis.

    Examples
    --------
    >>> codes = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    >>> whitening = Whitening.fit(codes)
    >>> whitening.active
    1
    >>> whitening.colour(whitening.whiten(codes)).round().tolist() == codes.tolist()
    True
    """

    mean: Tensor
    axes: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, codes: Tensor, least: float = 1e-4) -> Whitening:
        """Fit to codes, keeping axes whose sd is above ``least`` times the largest.

        Parameters
        ----------
        codes : Tensor, (N, K)
            At least two rows that differ.
        least : float
            Share of the largest standard deviation below which an axis is inactive.

        Raises
        ------
        ValueError
            If the shape is wrong, or the codes do not vary at all.
        """
        codes = matrix("codes", codes, "(N, K)")
        mean = codes.mean(dim=0)
        _, sizes, axes = torch.linalg.svd(codes - mean, full_matrices=False)
        scale = sizes / math.sqrt(codes.shape[0])
        if codes.shape[0] < 2 or not scale[0] > 1e-12 * (1 + mean.abs().max()):
            raise ValueError("codes must vary: expected at least two different rows")
        active = scale > least * scale[0]
        return cls(mean, axes[active].T, scale[active])

    @property
    def active(self) -> int:
        """Number of directions along which the codes vary."""
        return self.scale.shape[0]

    def whiten(self, z: Tensor) -> Tensor:
        """Codes (N, K) to whitened codes (N, A)."""
        return (z - self.mean) @ self.axes / self.scale

    def colour(self, eps: Tensor) -> Tensor:
        """Whitened codes (N, A) to codes (N, K); N(0, I) gets the codes' moments."""
        return self.mean + (eps * self.scale) @ self.axes.T


def whiten(codes: Tensor) -> Tensor:
    """Whiten codes by their own mean and covariance (dividing by N).

    Parameters
    ----------
    codes : Tensor, (N, K)
        Covariance of full rank, N > K.

    Returns
    -------
    Tensor, (N, K)
        Mean 0, covariance I; an affine function of the codes, unique up to rotation.

    Raises
    ------
    ValueError
        If the covariance is not of full rank.

    Examples
    --------
    >>> w = whiten(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 5.0], [0.0, -5.0]]))
    >>> torch.allclose(w.T @ w / 4, torch.eye(2))
    True
    """
    whitening = Whitening.fit(codes)
    if whitening.active < codes.shape[1]:
        raise ValueError(
            f"codes must vary in all {codes.shape[1]} directions, got "
            f"{whitening.active}"
        )
    return whitening.whiten(codes)


def cycle_error(z: Tensor, z_cycled: Tensor) -> Tensor:
    """Root mean squared difference per unit between codes and their cycled versions.

    Pass both *whitened*, with inactive directions left out: then 1 is the distance
    that a unit's own standard deviation stands for, whatever the model or K.

    Parameters
    ----------
    z : Tensor, (N, K)
        Codes.
    z_cycled : Tensor, (N, K)
        The same codes after decoding and encoding, f(g(z)).

    Returns
    -------
    Tensor, (N,)
        One error per code, in standard deviations of the codes.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> cycle_error(torch.zeros(1, 2), torch.tensor([[1.0, 1.0]])).item()
    1.0
    """
    z, z_cycled = matrix("z", z, "(N, K)"), matrix("z_cycled", z_cycled, "(N, K)")
    if z.shape != z_cycled.shape:
        raise ValueError(
            f"z and z_cycled must have one shape, got {tuple(z.shape)} and "
            f"{tuple(z_cycled.shape)}"
        )
    return (z - z_cycled).square().mean(dim=1).sqrt()


def straight_path(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Points at equal distances on the straight line from ``start`` to ``end``.

    Parameters
    ----------
    start, end : Tensor, (N, K)
        Ends of N paths; both are on the path.
    steps : int
        Number of points, at least 2.

    Returns
    -------
    Tensor, (steps, N, K)

    Raises
    ------
    ValueError
        If the shapes differ or ``steps`` is below 2.

    Examples
    --------
    >>> straight_path(torch.tensor([[0.0]]), torch.tensor([[4.0]]), 3).flatten()
    tensor([0., 2., 4.])
    """
    if start.shape != end.shape:
        raise ValueError(
            f"start and end must have one shape, got {tuple(start.shape)} and "
            f"{tuple(end.shape)}"
        )
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    t = torch.linspace(0, 1, steps, dtype=start.dtype)
    t = t.reshape(-1, *[1] * start.ndim)
    return (1 - t) * start + t * end


# --- draws --------------------------------------------------------------------------


def random_pairs(
    labels: Tensor, same: bool, count: int, seed: int, drawn: int
) -> tuple[Tensor, Tensor]:
    """Draw pairs of different examples, all of one class or all of two.

    Parameters
    ----------
    labels : Tensor, (N,)
    same : bool
        Whether the two of a pair are of one class.
    count : int
        How many pairs are kept: the first that fit.
    seed : int
    drawn : int
        How many pairs are drawn to choose from.

    Returns
    -------
    i, j : Tensor, (count,)
        Places of the examples.

    Raises
    ------
    ValueError
        If fewer than ``count`` of the drawn pairs fit.

    Examples
    --------
    >>> i, j = random_pairs(torch.tensor([0, 0, 1, 1]), True, count=2, seed=0, drawn=50)
    >>> (i // 2 == j // 2).all().item()
    True
    """
    generator = torch.Generator().manual_seed(seed)
    i, j = torch.randint(len(labels), (2, drawn), generator=generator)
    fits = ((labels[i] == labels[j]) == same) & (i != j)
    if int(fits.sum()) < count:
        raise ValueError(
            f"{int(fits.sum())} of {drawn} pairs fit; expected at least {count}: draw "
            "more"
        )
    return i[fits][:count], j[fits][:count]


def mixture_draws(mixture: Any, count: int, generator: torch.Generator) -> Tensor:
    """Draw from scikit-learn's fitted Gaussian mixture, in random order.

    Its own draws come sorted by component, from its own ``random_state``.

    Parameters
    ----------
    mixture : sklearn.mixture.GaussianMixture
        Fitted to codes (N, K).
    count : int
    generator : torch.Generator
        Where the order comes from.

    Returns
    -------
    Tensor, (count, K)
        float32.
    """
    drawn, _ = mixture.sample(count)
    order = torch.randperm(count, generator=generator)
    return torch.tensor(drawn, dtype=torch.float32)[order]


def mixture_gain(mixture: Any, codes: Tensor) -> float:
    """Mean log-density of codes (N, K) under a mixture minus under N(0, I), in nats.

    Parameters
    ----------
    mixture : sklearn.mixture.GaussianMixture
        Fitted, best to other codes than these.
    codes : Tensor, (N, K)

    Examples
    --------
    >>> from sklearn.mixture import GaussianMixture
    >>> codes = torch.cat([torch.full((9, 1), -5.0), torch.full((9, 1), 5.0)])
    >>> mixture = GaussianMixture(2, random_state=0).fit(codes.numpy())
    >>> mixture_gain(mixture, codes) > 10
    True
    """
    standard = torch.distributions.Normal(0.0, 1.0)
    normal = standard.log_prob(codes.double()).sum(1).mean()
    return mixture.score(codes.double().numpy()) - normal.item()
