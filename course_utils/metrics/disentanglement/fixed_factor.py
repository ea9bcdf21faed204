"""The β-VAE and FactorVAE scores: guess which factor a group of examples shares.

Both draw groups of examples in which one factor, chosen at random, is held fixed, make
a few numbers of the codes of each group, and let a classifier guess the factor. The
score is its accuracy on new groups. By chance it is about 1 / F, not 0.

How far a rotation of the codes brings them down depends on the rotation. A random one
leaves each factor a latent on which it weighs most, and both scores stay high. One that
spreads every factor alike over all latents (a Hadamard matrix) brings them to chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from course_utils.metrics.disentanglement import codes
from course_utils.metrics.disentanglement.codes import Represent


def beta_vae_score(
    represent: Represent,
    levels: Sequence[int],
    *,
    pairs: int = 64,
    groups: int = 500,
    seed: int = 0,
) -> float:
    """Accuracy of a linear classifier on mean absolute differences (β-VAE metric).

    A group is made of pairs; the two of a pair share the value of factor k and differ
    at random in the others. Its numbers are the means of |z₁ - z₂| over the pairs, one
    for each latent: small for latents that tell factor k.

    Estimator: multinomial logistic regression (scikit-learn, C = 1) on these numbers,
    standardised; ``groups`` groups to fit, as many new ones to score. Higgins et al.
    do not standardise; here the scale of a latent plays no role. Latents that do not
    vary are left out.

    Parameters
    ----------
    represent : callable
        Factors (N, F) to codes (N, K): means or samples of q(z|x), say which.
        `codes.from_table` makes one from the codes of a full grid.
    levels : sequence of int, (F,)
        Number of levels of each factor.
    pairs : int
        Pairs in a group.
    groups : int
        Groups to fit, and groups to score; at least 2 for each factor.
    seed : int
        Seed of the groups.

    Returns
    -------
    float
        Accuracy in [0, 1]; about 1 / F by chance.

    Raises
    ------
    ValueError
        If an argument is out of range, or codes have a wrong shape or value.

    References
    ----------
    Higgins, Matthey, Pal, Burgess, Glorot, Botvinick, Mohamed, Lerchner (2017),
    "β-VAE: learning basic visual concepts with a constrained variational framework".

    Examples
    --------
    >>> levels = (3, 4)
    >>> table = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0))
    >>> beta_vae_score(codes.from_table(table, levels), levels, groups=50)
    1.0
    """
    from sklearn.linear_model import LogisticRegression  # only here: it loads slowly
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    levels = _check(levels, groups, pairs=pairs)
    generator = torch.Generator().manual_seed(seed)

    def draw() -> tuple[Tensor, Tensor]:
        fixed = _fixed(levels, groups, generator)
        one = codes.draw_factors(levels, groups * pairs, generator)
        two = codes.draw_factors(levels, groups * pairs, generator)
        which = fixed.repeat_interleave(pairs)[:, None]  # (groups · pairs, 1)
        two.scatter_(1, which, one.gather(1, which))
        z = codes.encode(represent, one)
        apart = (z - codes.encode(represent, two)).abs() * codes.live_latents(z)
        return apart.reshape(groups, pairs, -1).mean(dim=1), fixed

    seen, answers = draw()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(seen.numpy(), answers.numpy())
    new, answers = draw()
    return float(model.score(new.numpy(), answers.numpy()))


def factor_vae_score(
    represent: Represent,
    levels: Sequence[int],
    *,
    size: int = 64,
    groups: int = 500,
    least: float = 0.0,
    seed: int = 0,
) -> float:
    """Accuracy of a majority vote on the latent that varies least (FactorVAE score).

    The examples of a group share the value of factor k. Each latent's variance in the
    group is divided by its variance over all examples; the latent with the smallest
    quotient votes for k. A vote table learns which factor each latent stands for.

    Estimator: majority vote; ``groups`` groups to fit, as many new ones to score;
    variances over all examples from 10 000 draws. Latents that do not vary, or of
    variance at most ``least``, do not vote.

    Parameters
    ----------
    represent : callable
        Factors (N, F) to codes (N, K): means or samples of q(z|x), say which.
        `codes.from_table` makes one from the codes of a full grid.
    levels : sequence of int, (F,)
        Number of levels of each factor.
    size : int
        Examples in a group.
    groups : int
        Groups to fit, and groups to score; at least 2 for each factor.
    least : float
        Variance up to which a latent is unused. 0 leaves only constant latents out;
        with means of a VAE, whose unused latents scatter a little, 0.05 is usual.
    seed : int
        Seed of the groups.

    Returns
    -------
    float
        Accuracy in [0, 1]; about 1 / F by chance.

    Raises
    ------
    ValueError
        If an argument is out of range, or codes have a wrong shape or value.

    References
    ----------
    Kim, Mnih (2018), "Disentangling by factorising".

    Examples
    --------
    >>> levels = (3, 4)
    >>> table = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0))
    >>> factor_vae_score(codes.from_table(table, levels), levels, groups=50)
    1.0
    """
    levels = _check(levels, groups, size=size)
    if not 0 <= least < float("inf"):
        raise ValueError(f"least must be a variance of at least 0, got {least}")
    generator = torch.Generator().manual_seed(seed)
    z = codes.encode(represent, codes.draw_factors(levels, 10_000, generator))
    variance = z.var(dim=0)
    votes = codes.live_latents(z) & (variance > least)

    def draw() -> tuple[Tensor, Tensor]:
        fixed = _fixed(levels, groups, generator)
        factors = codes.draw_factors(levels, groups * size, generator)
        factors = factors.reshape(groups, size, -1)
        which = fixed[:, None, None].expand(-1, size, 1)
        factors.scatter_(
            2, which, factors[:, :1].gather(2, which[:, :1]).expand_as(which)
        )
        group = codes.encode(represent, factors.flatten(0, 1))
        quotient = group.reshape(groups, size, -1).var(dim=1) / variance
        return quotient.masked_fill(~votes, float("inf")).argmin(dim=1), fixed

    latent, fixed = draw()
    table = torch.zeros(z.shape[1], len(levels), dtype=torch.long)  # (K, F)
    table.index_put_((latent, fixed), torch.ones_like(latent), accumulate=True)
    guess = table.argmax(dim=1)
    latent, fixed = draw()
    return (guess[latent] == fixed).double().mean().item()


def _check(levels: Sequence[int], groups: int, **sizes: int) -> tuple[int, ...]:
    levels = codes.check_levels(levels)
    for name, value in sizes.items():
        if value < 2:
            raise ValueError(f"{name} must be at least 2, got {value}")
    if groups < 2 * len(levels):
        raise ValueError(
            f"groups must be at least {2 * len(levels)}, two for each factor, got "
            f"{groups}"
        )
    return levels


def _fixed(levels: Sequence[int], groups: int, generator: torch.Generator) -> Tensor:
    """Choose the factor that each group shares: every factor as often, in any order."""
    order = torch.randperm(groups, generator=generator)
    return order % len(levels)
