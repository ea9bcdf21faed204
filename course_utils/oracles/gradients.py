"""Exact gradients of E_q[f] for a polynomial f under q = N(mu, exp(logvar)).

With z = mu + σε, a polynomial in z is a polynomial in ε. So are the two estimators of
the gradient below, times a power of σ, and every moment of them is a sum of moments of
a standard normal: E εⁿ = (n − 1)!! for even n, 0 for odd n. All of it is in float64.

The two components are always those for mu and for logvar = log σ², in this order.

Source of the two estimators: S. Mohamed, M. Rosca, M. Figurnov and A. Mnih (2020),
Monte Carlo gradient estimation in machine learning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch


class Moments(NamedTuple):
    """Mean and variance of an estimator from one sample, each (2,): mu, logvar."""

    mean: torch.Tensor
    variance: torch.Tensor


def expectation(
    coefficients: Sequence[float], mu: float, logvar: float
) -> torch.Tensor:
    """Return E_q[f(z)] for the polynomial f(z) = c₀ + c₁z + … + cₙzⁿ.

    Parameters
    ----------
    coefficients
        c₀, c₁, …: at least one.
    mu, logvar
        Mean of q and logarithm of its *variance*.

    Returns
    -------
    Tensor
        0-d, float64.

    Raises
    ------
    ValueError
        If there is no coefficient, or a number is not finite.

    Examples
    --------
    >>> expectation([0, 0, 1], mu=3.0, logvar=0.0)  # E z² = mu² + σ²
    tensor(10., dtype=torch.float64)
    """
    return _mean(_in_eps(coefficients, mu, logvar))


def score_moments(
    coefficients: Sequence[float],
    mu: float,
    logvar: float,
    baseline: float | Sequence[float] | torch.Tensor = 0.0,
) -> Moments:
    """Mean and variance of (f(z) − b) ∇log q(z), from one sample.

    The score is ε/σ for mu and ½(ε² − 1) for logvar. The mean is the gradient of
    `expectation`, whatever the baseline b.

    Parameters
    ----------
    coefficients, mu, logvar
        As in `expectation`.
    baseline
        b: one number, or one for mu and one for logvar.

    Returns
    -------
    Moments
        Mean and variance, each (2,).

    Raises
    ------
    ValueError
        If there is no coefficient, a number is not finite, or the baseline is neither
        one number nor two.

    Examples
    --------
    >>> score_moments([0, 0, 1], mu=0.0, logvar=0.0).variance
    tensor([15.0000, 18.5000], dtype=torch.float64)
    """
    f = _in_eps(coefficients, mu, logvar)
    b = torch.as_tensor(baseline, dtype=torch.float64)
    if b.shape not in ((), (2,)) or not b.isfinite().all():
        raise ValueError(
            f"baseline is {baseline!r}; expected one finite number, or two: for mu and "
            "for logvar"
        )
    return _moments(
        [
            _times(_minus_constant(f, constant), score)
            for constant, score in zip(b.expand(2), _scores(logvar), strict=True)
        ]
    )


def best_baseline(
    coefficients: Sequence[float], mu: float, logvar: float
) -> torch.Tensor:
    """Return the constants that minimise the variance, b = E[f s²] / E[s²], (2,).

    The variance of (f − b)s is E[(f − b)² s²] minus a constant; its derivative in b,
    −2 E[f s²] + 2 b E[s²], vanishes there. Arguments and errors as in `expectation`.

    Examples
    --------
    >>> best_baseline([0, 0, 1], mu=0.0, logvar=0.0)
    tensor([3., 5.], dtype=torch.float64)
    """
    f = _in_eps(coefficients, mu, logvar)
    squares = [_times(score, score) for score in _scores(logvar)]
    return torch.stack([_mean(_times(f, square)) / _mean(square) for square in squares])


def pathwise_moments(
    coefficients: Sequence[float], mu: float, logvar: float
) -> Moments:
    """Mean and variance of f′(z) ∇z with z = mu + σε, from one sample.

    ∇z is 1 for mu and ½σε for logvar. The mean is the gradient of `expectation`.
    Arguments, result and errors as in `score_moments`.

    Examples
    --------
    >>> pathwise_moments([0, 0, 1], mu=0.0, logvar=0.0).variance
    tensor([4., 2.], dtype=torch.float64)
    """
    c = _checked(coefficients, mu, logvar)
    slope = [power * value for power, value in enumerate(c)][1:] or [0.0]
    slope_in_eps = _in_eps(slope, mu, logvar)
    half_sigma = 0.5 * math.exp(0.5 * logvar)
    along_logvar = torch.tensor([0.0, half_sigma], dtype=torch.float64)
    return _moments([slope_in_eps, _times(slope_in_eps, along_logvar)])


# --- polynomials in ε: a vector of coefficients, lowest power first -------------------


def _checked(coefficients: Sequence[float], mu: float, logvar: float) -> list[float]:
    values = [float(value) for value in coefficients]
    if not values:
        raise ValueError("coefficients are empty; expected c0, c1, … of a polynomial")
    for name, numbers in (
        ("coefficients", values),
        ("mu", [mu]),
        ("logvar", [logvar]),
    ):
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"{name} hold {numbers}; expected finite numbers")
    return values


def _in_eps(coefficients: Sequence[float], mu: float, logvar: float) -> torch.Tensor:
    """Write f(mu + σε) as a polynomial in ε, by Horner's rule."""
    z = torch.tensor([mu, math.exp(0.5 * logvar)], dtype=torch.float64)
    total = torch.zeros(1, dtype=torch.float64)
    for value in reversed(_checked(coefficients, mu, logvar)):
        total = _minus_constant(_times(total, z), -value)
    return total


def _scores(logvar: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the derivatives of log q(z) in mu and logvar: ε/σ and ½(ε² − 1)."""
    sigma = math.exp(0.5 * logvar)
    return (
        torch.tensor([0.0, 1 / sigma], dtype=torch.float64),
        torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64),
    )


def _times(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    product = torch.zeros(len(a) + len(b) - 1, dtype=torch.float64)
    for power, value in enumerate(a):
        product[power : power + len(b)] += value * b
    return product


def _minus_constant(a: torch.Tensor, constant: float | torch.Tensor) -> torch.Tensor:
    result = a.clone()
    result[0] -= constant
    return result


def _mean(a: torch.Tensor) -> torch.Tensor:
    """E of a polynomial in ε ~ N(0, 1): E εⁿ = 1 · 3 · … · (n − 1) for even n."""
    total = torch.zeros((), dtype=torch.float64)
    moment = 1.0
    for power in range(0, len(a), 2):
        total = total + moment * a[power]
        moment *= power + 1
    return total


def _moments(estimators: list[torch.Tensor]) -> Moments:
    means = torch.stack([_mean(g) for g in estimators])
    # Around the mean: E g² − (E g)² would cancel where the variance is small.
    centred = [_minus_constant(g, m) for g, m in zip(estimators, means, strict=True)]
    return Moments(means, torch.stack([_mean(_times(g, g)) for g in centred]))
