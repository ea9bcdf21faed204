"""Exact linear answers for data spoilt by noise or with parts missing.

The data are centred, x has covariance Σ, and the noise is white: n ~ N(0, σ²I),
independent of x. Everything here follows from Σ and σ alone.
"""

from __future__ import annotations

import torch

from course_utils.arguments import whole_numbers
from course_utils.oracles._checks import checked_covariance


def wiener_filter(cov: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return the linear map that denoises best, A = Σ(Σ + σ²I)⁻¹.

    It minimises E‖x − A(x + n)‖² over all matrices A.

    Parameters
    ----------
    cov
        Covariance Σ of the clean, centred data, (D, D).
    sigma
        Standard deviation of the noise, in the units of the data.

    Returns
    -------
    Tensor
        The map (D, D), to be used as ``noisy @ A.T``.

    Raises
    ------
    ValueError
        If ``cov`` is not a symmetric finite (D, D) matrix, or ``sigma`` is not a
        positive number.

    Notes
    -----
    N. Wiener (1949), Extrapolation, Interpolation, and Smoothing of Stationary Time
    Series; here for vectors, by the normal equations.

    Examples
    --------
    >>> wiener_filter(torch.diag(torch.tensor([3.0, 1.0])), sigma=1.0)
    tensor([[0.7500, 0.0000],
            [0.0000, 0.5000]])
    """
    checked_covariance(cov)
    _check_sigma(sigma)
    noisy = cov + sigma**2 * torch.eye(len(cov), dtype=cov.dtype)
    # A (Σ + σ²I) = Σ, and both are symmetric: (Σ + σ²I) Aᵀ = Σ.
    return torch.linalg.solve(noisy, cov).T


def linear_denoising_loss(
    A: torch.Tensor, cov: torch.Tensor, sigma: float
) -> torch.Tensor:
    """Return the expected squared error of a linear denoiser, E‖x − A(x + n)‖².

    Equals tr((I − A) Σ (I − A)ᵀ) + σ² tr(A Aᵀ): what is lost of the data, plus what is
    let through of the noise. Differentiable in ``A``.

    Parameters
    ----------
    A
        The map (D, D).
    cov, sigma
        As in `wiener_filter`; ``sigma`` may be 0.

    Returns
    -------
    Tensor
        One number, 0-d, summed over the D dimensions.

    Raises
    ------
    ValueError
        If the shapes do not fit or ``sigma`` is negative.

    Examples
    --------
    >>> linear_denoising_loss(torch.eye(3), 2 * torch.eye(3), sigma=0.5)
    tensor(0.7500)
    """
    checked_covariance(cov)
    _check_sigma(sigma, zero_allowed=True)
    if A.shape != cov.shape:
        raise ValueError(
            f"A has shape {tuple(A.shape)}; expected that of cov, {tuple(cov.shape)}"
        )
    lost = torch.eye(len(cov), dtype=cov.dtype) - A
    return ((lost @ cov) * lost).sum() + sigma**2 * (A**2).sum()


def best_linear_loss(cov: torch.Tensor, sigma: float, K: int) -> torch.Tensor:
    """Smallest denoising loss of a linear autoencoder whose code has K numbers.

    With the eigenvalues λ₁ ≥ … ≥ λ_D of Σ it is
    Σᵢ λᵢσ²/(λᵢ+σ²) + Σ_{i>K} λᵢ²/(λᵢ+σ²): the Wiener filter's loss, plus what each
    direction that has no place in the code would have saved.

    Parameters
    ----------
    cov, sigma
        As in `wiener_filter`; ``sigma`` may be 0, which gives the eigenvalue tail.
    K
        Size of the code, at least 0; more than D changes nothing.

    Returns
    -------
    Tensor
        One number, 0-d.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Reduced-rank regression: A. J. Izenman (1975), Journal of Multivariate Analysis.

    Examples
    --------
    >>> best_linear_loss(torch.diag(torch.tensor([3.0, 1.0])), sigma=1.0, K=1)
    tensor(1.7500)
    """
    checked_covariance(cov)
    _check_sigma(sigma, zero_allowed=True)
    whole_numbers(least=0, K=K)
    values = torch.linalg.eigvalsh(cov).flip(0).clamp(min=0)
    total = values + sigma**2
    kept = torch.where(total > 0, values * sigma**2 / total, 0.0).sum()
    missed = torch.where(total > 0, values**2 / total, 0.0)[K:].sum()
    return kept + missed


def conditional_mean(
    x: torch.Tensor, seen: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor
) -> torch.Tensor:
    """Fill in missing dimensions with their Gaussian conditional mean.

    With m for the missing and s for the seen dimensions,
    x̂_m = μ_m + Σ_ms Σ_ss⁻¹ (x_s − μ_s): the best guess if the data are Gaussian, and
    the best *linear* guess whatever they are.

    Parameters
    ----------
    x
        Data (N, D); what stands in the missing dimensions is not looked at.
    seen
        Which dimensions are seen, bool (D,).
    mean, cov
        Mean (D,) and covariance (D, D) of the data; the seen block must be invertible.

    Returns
    -------
    Tensor
        (N, D): ``x`` where it is seen, the conditional mean where it is not.

    Raises
    ------
    ValueError
        If the shapes do not fit, or nothing is seen.

    Notes
    -----
    Any text on the multivariate normal, such as C. M. Bishop (2006), Pattern
    Recognition and Machine Learning, section 2.3.1.

    Examples
    --------
    >>> cov = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    >>> seen = torch.tensor([True, False])
    >>> conditional_mean(torch.tensor([[2.0, 9.0]]), seen, torch.zeros(2), cov)
    tensor([[2., 1.]])
    """
    checked_covariance(cov)
    D = len(cov)
    if x.ndim != 2 or x.shape[1] != D or mean.shape != (D,):
        raise ValueError(
            f"x has shape {tuple(x.shape)}, mean {tuple(mean.shape)}; expected "
            f"(N, {D}) and ({D},) to fit cov"
        )
    if seen.shape != (D,) or seen.dtype != torch.bool or not seen.any():
        raise ValueError(
            f"seen is {seen.dtype} of shape {tuple(seen.shape)}; expected bool ({D},) "
            "with at least one True"
        )
    missing = ~seen
    cross = cov[missing][:, seen]  # (missing, seen)
    gain = torch.linalg.solve(cov[seen][:, seen], cross.T).T  # Σ_ms Σ_ss⁻¹
    filled = x.clone()
    filled[:, missing] = mean[missing] + (x[:, seen] - mean[seen]) @ gain.T
    return filled


def _check_sigma(sigma: float, zero_allowed: bool = False) -> None:
    good = sigma >= 0 if zero_allowed else sigma > 0
    if not good or sigma == float("inf"):
        least = "of at least 0" if zero_allowed else "above 0"
        raise ValueError(f"sigma is {sigma}; expected a finite number {least}")
