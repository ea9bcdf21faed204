"""Principal component analysis in closed form, the exact answer of Part I.

Sources: K. Pearson (1901); H. Hotelling (1933); C. Eckart and G. Young (1936); P. Baldi
and K. Hornik (1989) for the loss surface.
"""

from __future__ import annotations

import torch

from course_utils.arguments import whole_number
from course_utils.oracles._checks import checked_covariance


def covariance(x: torch.Tensor) -> torch.Tensor:
    """Compute the population covariance, Σ = (1/N) Σₙ (xₙ − m)(xₙ − m)ᵀ.

    The divisor is N: the mean squared error over these N examples is then a function of
    Σ exactly.

    Parameters
    ----------
    x
        Data (N, D).

    Returns
    -------
    Tensor
        (D, D).

    Raises
    ------
    ValueError
        If ``x`` is not (N, D) or not finite.

    Examples
    --------
    >>> covariance(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    tensor([[1., 0.],
            [0., 0.]])
    """
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, D) with N ≥ 1")
    if not x.isfinite().all():
        raise ValueError("x holds NaN or infinite values; expected finite ones")
    centred = x - x.mean(0)
    return centred.T @ centred / len(x)


def principal_axes(cov: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues and eigenvectors of a covariance, largest eigenvalue first.

    Parameters
    ----------
    cov
        Covariance (D, D).

    Returns
    -------
    eigenvalues, axes
        (D,), descending, and (D, D), whose column i is the unit eigenvector of
        eigenvalue i; its sign is arbitrary.

    Raises
    ------
    ValueError
        If ``cov`` is not a symmetric, finite matrix.

    Examples
    --------
    >>> principal_axes(torch.diag(torch.tensor([1.0, 3.0])))[0]
    tensor([3., 1.])
    """
    eigenvalues, axes = torch.linalg.eigh(checked_covariance(cov))
    return eigenvalues.flip(0), axes.flip(1)


def pca_reconstruct(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    """Reconstruct data from their first K principal components.

    x̂ = m + U Uᵀ(x − m) with the top-K eigenvectors of Σ as the columns of U.

    Parameters
    ----------
    x
        Data (N, D).
    mean
        Mean of the data (D,).
    cov
        Covariance (D, D).
    K
        How many components are kept.

    Returns
    -------
    Tensor
        Reconstruction (N, D).

    Raises
    ------
    ValueError
        If shapes do not fit or K is out of range.

    Examples
    --------
    >>> cov = torch.diag(torch.tensor([1.0, 3.0]))
    >>> pca_reconstruct(torch.tensor([[2.0, 5.0]]), torch.zeros(2), cov, K=1)
    tensor([[0., 5.]])
    """
    _, axes = principal_axes(cov)
    D = len(cov)
    if x.ndim != 2 or x.shape[1] != D or mean.shape != (D,):
        raise ValueError(
            f"x has shape {tuple(x.shape)}, mean {tuple(mean.shape)}; expected "
            f"(N, {D}) and ({D},)"
        )
    whole_number("K", K, 1, D, "D = ")
    U = axes[:, :K]
    z = (x - mean) @ U
    return mean + z @ U.T


def optimal_loss(cov: torch.Tensor, K: int) -> torch.Tensor:
    """Return the smallest mean squared error of any rank-K linear autoencoder.

    It is the sum of the D − K smallest eigenvalues of Σ (squared error summed over the
    data dimensions, averaged over the examples).

    Raises
    ------
    ValueError
        If ``cov`` is no covariance matrix or K is out of range.

    Examples
    --------
    >>> optimal_loss(torch.diag(torch.tensor([4.0, 2.0, 1.0])), K=1)
    tensor(3.)
    """
    eigenvalues, _ = principal_axes(cov)
    whole_number("K", K, 1, len(cov), "D = ")
    return eigenvalues[K:].sum()


def linear_loss(
    encoder: torch.Tensor, decoder: torch.Tensor, cov: torch.Tensor
) -> torch.Tensor:
    """Mean squared error of a linear autoencoder on centred data of covariance Σ.

    E‖x − D E x‖² = tr[(I − D E) Σ (I − D E)ᵀ], exact, without visiting the data.

    Parameters
    ----------
    encoder
        E, (K, D).
    decoder
        D, (D, K).
    cov
        Σ, (D, D).

    Returns
    -------
    Tensor
        One number, 0-d.

    Raises
    ------
    ValueError
        If shapes do not fit or ``cov`` is not a symmetric, finite matrix.

    Examples
    --------
    >>> cov = torch.diag(torch.tensor([4.0, 2.0, 1.0]))
    >>> encoder = torch.eye(3)[:1]
    >>> linear_loss(encoder, encoder.T, cov)
    tensor(3.)
    """
    D = len(checked_covariance(cov))
    K = len(encoder) if encoder.ndim else 0
    if encoder.shape != (K, D) or decoder.shape != (D, K):
        raise ValueError(
            f"encoder has shape {tuple(encoder.shape)}, decoder "
            f"{tuple(decoder.shape)}; expected (K, {D}) and ({D}, K)"
        )
    residual = torch.eye(D, dtype=cov.dtype) - decoder @ encoder
    return ((residual @ cov) * residual).sum()
