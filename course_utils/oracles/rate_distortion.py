"""The exact rate–distortion curve of the linear-Gaussian world, σ² fixed.

Give the decoder and q the best values for each β (`linear_gaussian.beta_optimum`).
Along a principal axis with the variance λ > βσ² the decoder has the loading
l² = λ − βσ², q has the mean l x/λ and the variance βσ²/λ, and the expected squared
error is

    λ (1 − l²/λ)² + l² βσ²/λ = (βσ²)²/λ + βσ² − (βσ²)²/λ = βσ².

Along any other axis it is λ. So each axis is left with the error min(λ, βσ²): the water
level βσ² of Shannon's reverse water-filling (T. Cover and J. Thomas, *Elements of
Information Theory*, 2006, section 10.3).
"""

from __future__ import annotations

import math

import torch


def rate(variances: torch.Tensor, K: int, sigma2: float, beta: float) -> float:
    """Average rate at the best W and q: Σ_{i ≤ K} ½ log(λ_i/(βσ²)) over λ_i > βσ².

    Parameters
    ----------
    variances
        λ, the eigenvalues of the data's covariance, (D,), in any order.
    K
        How many latents, 1 to D.
    sigma2, beta
        Noise variance of the decoder and weight of the rate, above 0.

    Returns
    -------
    float
        In nats per example.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> rate(torch.tensor([4.0, 1.0, 0.5]), K=2, sigma2=0.5, beta=2.0)  # ½ log 4
    0.6931471805599453
    """
    kept, _ = _split(variances, K)
    level = _positive(beta, "beta") * _positive(sigma2, "sigma2")
    return float(0.5 * (kept / level).clamp(min=1).log().sum())


def distortion(variances: torch.Tensor, K: int, sigma2: float, beta: float) -> float:
    """Average distortion at the best W and q, in nats per example.

    D/2 log 2πσ² + (Σ_{i ≤ K} min(λ_i, βσ²) + Σ_{i > K} λ_i)/2σ².

    Parameters and errors are those of `rate`.

    Examples
    --------
    >>> variances = torch.tensor([4.0, 1.0, 0.5])
    >>> constant = 1.5 * math.log(2 * math.pi * 0.5)
    >>> distortion(variances, K=2, sigma2=0.5, beta=2.0) - constant  # (1 + 1 + ½)/1
    2.5
    """
    kept, lost = _split(variances, K)
    level = _positive(beta, "beta") * _positive(sigma2, "sigma2")
    error = float(kept.clamp(max=level).sum() + lost.sum())
    constant = 0.5 * len(variances) * math.log(2 * math.pi * sigma2)
    return constant + error / (2 * sigma2)


def beta_for_rate(
    variances: torch.Tensor, K: int, sigma2: float, delta: float
) -> float:
    """Return the multiplier of the constraint rate ≤ δ: the β whose optimum has rate δ.

    Suppose the j largest directions are active. Solve their rate
    ½ Σ_{i ≤ j} log λ_i − (j/2) log βσ² = δ for the water level:
    log βσ² = (Σ_{i ≤ j} log λ_i − 2δ)/j. It is right for the one j with
    λ_{j+1} ≤ βσ² < λ_j. With δ = 0 every β from λ_1/σ² on will do; that one is
    returned. With λ_i = 0 direction i is never active.

    Parameters
    ----------
    variances, K, sigma2
        As for `rate`.
    delta
        δ ≥ 0, in nats per example.

    Raises
    ------
    ValueError
        If an argument is out of range; δ < 0 is infeasible: no rate is negative.

    Examples
    --------
    >>> beta_for_rate(torch.tensor([4.0, 1.0, 0.5]), K=2, sigma2=0.5, delta=math.log(2))
    2.0
    """
    kept, _ = _split(variances, K)
    _positive(sigma2, "sigma2")
    if not 0 <= delta < math.inf:
        raise ValueError(
            f"delta is {delta}; expected a finite number of at least 0: no rate is "
            "negative"
        )
    kept = kept[kept > 0]
    if len(kept) == 0:
        raise ValueError("all variances are 0; expected one above 0")
    if delta == 0:
        return float(kept[0]) / sigma2
    for j in range(1, len(kept) + 1):
        level = math.exp((float(kept[:j].log().sum()) - 2 * delta) / j)
        if j == len(kept) or level >= kept[j]:
            break
    return level / sigma2


def _split(variances: torch.Tensor, K: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the K largest variances, largest first, and the others, float64."""
    if variances.ndim != 1 or not 1 <= K <= len(variances):
        raise ValueError(
            f"variances have shape {tuple(variances.shape)} and K is {K}; expected "
            "(D,) and K from 1 to D"
        )
    if not (variances.isfinite().all() and (variances >= 0).all()):
        raise ValueError("variances must be finite and at least 0")
    ordered = variances.double().sort(descending=True).values
    return ordered[:K], ordered[K:]


def _positive(value: float, name: str) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}; expected a positive, finite number")
    return value
