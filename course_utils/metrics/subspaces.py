"""How far apart two subspaces are."""

from __future__ import annotations

import torch


def principal_angles(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """Principal angles between the column spaces of two matrices, in radians.

    The cosines of the angles are the singular values of QₐᵀQᵦ, where Q is an
    orthonormal basis (Å. Björck and G. Golub 1973). Small angles are taken from their
    sines, the singular values of Qᵦ − QₐQₐᵀQᵦ, because an arc cosine loses half of the
    digits there.

    Parameters
    ----------
    A, B
        (D, K), full column rank, 1 ≤ K ≤ D.

    Returns
    -------
    Tensor
        (K,), ascending, each in [0, π/2].

    Raises
    ------
    ValueError
        If the shapes differ, K is not from 1 to D, or a matrix is rank-deficient or not
        finite.

    Examples
    --------
    >>> A = torch.tensor([[1.0], [0.0]])
    >>> principal_angles(A, torch.tensor([[1.0], [1.0]]))
    tensor([0.7854])
    """
    if A.shape != B.shape or A.ndim != 2 or not 1 <= A.shape[1] <= A.shape[0]:
        raise ValueError(
            f"A has shape {tuple(A.shape)}, B {tuple(B.shape)}; expected one shape "
            "(D, K) with 1 ≤ K ≤ D"
        )
    for name, matrix in (("A", A), ("B", B)):
        if not matrix.isfinite().all():
            raise ValueError(
                f"{name} holds NaN or infinite values; expected finite ones"
            )
        if torch.linalg.matrix_rank(matrix) < matrix.shape[1]:
            raise ValueError(
                f"{name} has linearly dependent columns; expected full rank"
            )
    Qa, Qb = torch.linalg.qr(A).Q, torch.linalg.qr(B).Q
    overlap = Qa.T @ Qb
    cosines = torch.linalg.svdvals(overlap).clamp(max=1.0)  # descending
    sines = torch.linalg.svdvals(Qb - Qa @ overlap).clamp(max=1.0).flip(0)
    return torch.where(cosines**2 > 0.5, sines.asin(), cosines.acos())


def largest_principal_angle(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    """Return the largest principal angle, in radians; see `principal_angles`.

    Examples
    --------
    >>> A = torch.eye(3)[:, :2]
    >>> largest_principal_angle(A, A @ torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    tensor(0.)
    """
    return principal_angles(A, B)[-1]
