"""What several oracles ask of their arguments."""

from __future__ import annotations

import torch

# Of the largest entry. A product such as A Σ Aᵀ in single precision rounds each entry
# by about √D · 1e-7 of the largest one, however small the entry itself is: 1e-6 at
# D = 64. A wrong matrix is lopsided by far more. The bound is the same in float64,
# because a covariance of that type is often one of single precision, cast.
LOPSIDED = 1e-5


def checked_covariance(cov: torch.Tensor) -> torch.Tensor:
    """Return a matrix (D, D) as it is; raise a ValueError if it is no covariance.

    It must be square, not empty, finite, and symmetric up to rounding. Eigenvalues
    below 0 are not looked for: rounding makes small ones of any covariance of low rank.

    Examples
    --------
    >>> checked_covariance(torch.eye(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if cov.ndim != 2 or cov.shape[0] != cov.shape[1] or len(cov) == 0:
        raise ValueError(
            f"cov has shape {tuple(cov.shape)}; expected (D, D) with D ≥ 1"
        )
    if not cov.isfinite().all():
        raise ValueError("cov holds NaN or infinite values; expected finite ones")
    if (cov - cov.T).abs().max() > LOPSIDED * cov.abs().max():
        raise ValueError("cov is not symmetric; expected a covariance matrix")
    return cov


def check_double(**named: torch.Tensor) -> None:
    """Raise a ValueError unless each tensor is float64 and finite.

    Examples
    --------
    >>> check_double(x=torch.ones(2))
    Traceback (most recent call last):
    ValueError: x is torch.float32; expected torch.float64
    """
    for name, value in named.items():
        if value.dtype != torch.float64:
            raise ValueError(f"{name} is {value.dtype}; expected torch.float64")
        if not value.detach().isfinite().all():
            raise ValueError(
                f"{name} holds NaN or infinite values; expected finite ones"
            )
