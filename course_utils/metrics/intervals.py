"""How sure a number is, over draws (Wilson, 1927) or seeds (Student's t); in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def wilson_interval(successes: float, n: float, c: float = 1.96) -> tuple[float, float]:
    """Wilson's interval for a proportion.

    All p for which the observed share lies within ``c`` standard errors, where the
    standard error is that of p itself: |k/n - p| <= c sqrt(p (1 - p) / n).

    Parameters
    ----------
    successes : float
        Number of successes k, in [0, n].
    n : float
        Number of independent draws, at least 1.
    c : float
        Number of standard errors, positive; 1.96 for 95 %.

    Returns
    -------
    low, high : float
        Within [0, 1]; never of width 0.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Wilson (1927), "Probable inference, the law of succession, and statistical
    inference".

    Examples
    --------
    >>> low, high = wilson_interval(0, 20)
    >>> f"{low:.3f} {high:.3f}"
    '0.000 0.161'
    """
    k, n, c = float(successes), float(n), float(c)
    if not n >= 1 or not 0 <= k <= n:
        raise ValueError(f"expected 0 <= successes <= n and n >= 1, got {k} and {n}")
    if not 0 < c < math.inf:
        raise ValueError(f"c must be positive and finite, got {c}")
    centre = (k + c**2 / 2) / (n + c**2)
    half = c * math.sqrt(k * (n - k) / n + c**2 / 4) / (n + c**2)
    return max(0.0, centre - half), min(1.0, centre + half)


def seed_interval(
    values: Sequence[float] | Tensor, level: float = 0.95
) -> tuple[float, float]:
    """Mean over seeds and the half-width of Student's t interval.

    Assumes that the seeds are independent and their values roughly normal. It answers
    how the mean would move with *other seeds*; more draws from one model do not.

    Parameters
    ----------
    values : sequence of float, (S,)
        One number per seed, at least two.
    level : float
        Confidence, in (0, 1).

    Returns
    -------
    mean, half_width : float

    Raises
    ------
    ValueError
        If there are fewer than two values, one is not finite, or ``level`` is out of
        range.

    Examples
    --------
    >>> mean, half = seed_interval([0.1, 0.2, 0.3])
    >>> f"{mean:.2f} ± {half:.2f}"
    '0.20 ± 0.25'
    """
    numbers = torch.as_tensor(values, dtype=torch.float64)
    if numbers.ndim != 1 or numbers.numel() < 2:
        raise ValueError(
            f"values must be at least two numbers, one per seed, got shape "
            f"{tuple(numbers.shape)}"
        )
    if not numbers.isfinite().all():
        raise ValueError("values must be finite, got NaN or infinity")
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}")
    from scipy.stats import t  # only here: the package stays light to import

    count = numbers.numel()
    quantile = float(t.ppf((1 + level) / 2, count - 1))
    half_width = quantile * numbers.std().item() / math.sqrt(count)
    return numbers.mean().item(), half_width


# --- in words -----------------------------------------------------------------------


def share(verdicts: Tensor) -> float:
    """Share of True among verdicts (N,).

    Examples
    --------
    >>> share(torch.tensor([True, False, False, False]))
    0.25
    """
    return verdicts.double().mean().item()


def share_in_words(verdicts: Tensor) -> str:
    """Share of True among verdicts (N,), with its 95 % interval over the draws.

    Examples
    --------
    >>> share_in_words(torch.arange(20) < 5)
    '25.0 % (95 %: 11.2 to 46.9 %)'
    """
    low, high = wilson_interval(int(verdicts.sum()), len(verdicts))
    middle = f"{100 * share(verdicts):.1f}"
    return f"{middle} % (95 %: {100 * low:.1f} to {100 * high:.1f} %)"


def mean_in_words(values: Sequence[float] | Tensor, digits: int = 2) -> str:
    """Mean over seeds (S,) and the half-width of its 95 % interval.

    Examples
    --------
    >>> mean_in_words([0.1, 0.2, 0.3])
    '0.20 ± 0.25'
    """
    mean, half = seed_interval(values)
    return f"{mean:z.{digits}f} ± {half:.{digits}f}"


def percent_in_words(shares: Sequence[float] | Tensor, digits: int = 1) -> str:
    """Mean over seeds of a share (S,), and its 95 % interval, in per cent.

    Examples
    --------
    >>> percent_in_words([0.1, 0.2, 0.3])
    '20.0 ± 24.8 %'
    """
    numbers = torch.as_tensor(shares, dtype=torch.float64)
    return f"{mean_in_words(100 * numbers, digits)} %"
