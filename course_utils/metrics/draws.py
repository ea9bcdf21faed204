"""Draws: pairs of examples, and codes from a mixture fitted to codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


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
