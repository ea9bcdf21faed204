"""Codes on one scale: whitening, the cycle error and straight paths.

What a fair comparison of two models' codes needs, because each model has a scale of its
own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from course_utils.arguments import matrix


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


def cycle_error(z: Tensor, z_cycled: Tensor) -> Tensor:
    """Root mean squared difference per latent of codes and their cycled versions.

    Pass both *whitened*, with inactive directions left out: then 1 is the distance
    that a latent's own standard deviation stands for, whatever the model or K.

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
