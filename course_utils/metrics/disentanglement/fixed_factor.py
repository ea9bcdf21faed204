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

from course_utils.arguments import whole_numbers
from course_utils.metrics.disentanglement import codes
from course_utils.metrics.disentanglement.codes import Represent

ALL = 10_000  # draws that stand for all examples
EACH_FACTOR = 10  # groups: fewer say little about an accuracy


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
    standardised; ``groups`` groups to fit, as many new ones to score. Latents that do
    not vary are left out.

    Elsewhere: disentanglement_lib does the same without standardising, so that there
    the scale of a latent plays a role: a latent that varies little tells little. Its
    usual numbers of groups are 10 000 and 5000, of ``pairs`` 64.

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
        Groups to fit, and groups to score; at least 10 for each factor.
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

    levels = _check(levels, groups, seed, pairs=pairs)
    generator = torch.Generator().manual_seed(seed)
    some = codes.draw_factors(levels, ALL, generator)
    scale = codes.scale_of(codes.encode(represent, some))

    def draw() -> tuple[Tensor, Tensor]:
        fixed = _fixed(levels, groups, generator)
        one = codes.draw_factors(levels, groups * pairs, generator)
        two = codes.draw_factors(levels, groups * pairs, generator)
        which = fixed.repeat_interleave(pairs)[:, None]  # (groups · pairs, 1)
        two.scatter_(1, which, one.gather(1, which))
        z_one = codes.on_scale(codes.encode(represent, one), scale)
        apart = z_one - codes.on_scale(codes.encode(represent, two), scale)
        return apart.abs().reshape(groups, pairs, -1).mean(dim=1), fixed

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

    Elsewhere: disentanglement_lib does the same. It leaves out latents by their
    standard deviation (``prune_dims.threshold`` t there is ``least=t**2`` here, but for
    a latent exactly at the limit, which votes there), and returns 0, not chance, where
    no latent is left. Its usual numbers of groups are 10 000 and 5000, of ``size`` 64.

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
        Groups to fit, and groups to score; at least 10 for each factor.
    least : float
        Variance up to which a latent is unused, in the codes' own units, so that it
        fits codes on the scale of a prior N(0, I). 0 leaves only constant latents out.
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
    levels = _check(levels, groups, seed, size=size)
    if not 0 <= least < float("inf"):
        raise ValueError(f"least must be a variance of at least 0, got {least}")
    generator = torch.Generator().manual_seed(seed)
    z = codes.encode(represent, codes.draw_factors(levels, ALL, generator))
    scale = codes.scale_of(z)
    variance = codes.on_scale(z, scale).var(dim=0)  # 0 for those that do not vary
    votes = variance.sqrt() * scale.reach > least**0.5

    def draw() -> tuple[Tensor, Tensor]:
        fixed = _fixed(levels, groups, generator)
        factors = codes.draw_factors(levels, groups * size, generator)
        factors = factors.reshape(groups, size, -1)
        which = fixed[:, None, None].expand(-1, size, 1)
        factors.scatter_(
            2, which, factors[:, :1].gather(2, which[:, :1]).expand_as(which)
        )
        group = codes.on_scale(codes.encode(represent, factors.flatten(0, 1)), scale)
        quotient = group.reshape(groups, size, -1).var(dim=1) / variance
        return quotient.masked_fill(~votes, float("inf")).argmin(dim=1), fixed

    latent, fixed = draw()
    table = torch.zeros(z.shape[1], len(levels), dtype=torch.long)  # (K, F)
    table.index_put_((latent, fixed), torch.ones_like(latent), accumulate=True)
    guess = table.argmax(dim=1)
    latent, fixed = draw()
    return (guess[latent] == fixed).double().mean().item()


def _check(
    levels: Sequence[int], groups: int, seed: int, **sizes: int
) -> tuple[int, ...]:
    levels = codes.check_levels(levels)
    whole_numbers(least=0, seed=seed)
    whole_numbers(groups=groups, **sizes)
    for name, value in sizes.items():
        if value < 2:
            raise ValueError(f"{name} must be at least 2, got {value}")
    if groups < EACH_FACTOR * len(levels):
        raise ValueError(
            f"groups must be at least {EACH_FACTOR * len(levels)}, {EACH_FACTOR} for "
            f"each factor, got {groups}"
        )
    return levels


def _fixed(levels: Sequence[int], groups: int, generator: torch.Generator) -> Tensor:
    """Choose the factor that each group shares: every factor as often, in any order."""
    order = torch.randperm(groups, generator=generator)
    return order % len(levels)
