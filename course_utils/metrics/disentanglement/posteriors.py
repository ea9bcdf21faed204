"""Mutual information between factors and samples of q(z|x), without bins."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from course_utils.arguments import whole_numbers
from course_utils.metrics.disentanglement import codes

ROWS_AT_ONCE = 64  # keeps the table of densities small


def posterior_information(
    mu: Tensor, logvar: Tensor, factors: Tensor, *, draws: int = 4, seed: int = 0
) -> Tensor:
    """Mutual information of each latent's *samples* with each factor, in nats.

    A row is drawn at random, then z_j from its q(z_j|x). So q(z_j) is the mixture of
    the rows' densities, and q(z_j|v_k) that of the rows with this level:

        I(z_j; v_k) = E [log q(z_j|v_k) − log q(z_j)].

    Estimator: both mixtures are exact, the expectation is a mean over ``draws`` samples
    for each row (Chen et al., 2018). It says what the table's own rows hold, so let
    them be all pictures, or many. N² densities for each latent: seconds for some
    thousand rows.

    Parameters
    ----------
    mu, logvar : Tensor, (N, K)
        Means and log-variances of q(z|x).
    factors : Tensor, (N, F)
        Integer classes, row by row those of mu.
    draws : int
        Samples for each row.
    seed : int

    Returns
    -------
    Tensor, (K, F)
        At least 0; where the mean of the samples is below, 0.

    Raises
    ------
    ValueError
        If a shape or value is wrong, a factor does not vary, or a level has fewer than
        two rows: it would be told by that row's own density.

    References
    ----------
    Chen, Li, Grosse, Duvenaud (2018), "Isolating sources of disentanglement in
    variational autoencoders".

    Examples
    --------
    Two levels, told by latent 0, whose samples scatter; latent 1 is the prior.

    >>> factors = torch.arange(40)[:, None] % 2
    >>> mu = torch.cat([3.0 * factors, 0.0 * factors], dim=1)
    >>> posterior_information(mu, torch.zeros(40, 2), factors).shape
    torch.Size([2, 1])
    """
    mu, factors = codes.check_table(mu, factors)
    logvar = codes.check_codes(logvar, len(mu)).double()
    if logvar.shape != mu.shape:
        raise ValueError(
            f"mu and logvar have shapes {tuple(mu.shape)} and {tuple(logvar.shape)}; "
            "expected one shape (N, K)"
        )
    whole_numbers(draws=draws)
    whole_numbers(least=0, seed=seed)
    if min(int(torch.bincount(column).min()) for column in factors.T) < 2:
        raise ValueError("a level has a single row; expected at least two of each")
    scale = codes.scale_of(mu)
    mu, logvar = codes.on_scale(mu, scale), logvar - 2 * scale.reach.log()
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(mu.shape[1], factors.shape[1], dtype=torch.float64)
    for rows in torch.arange(len(mu)).repeat(draws).split(ROWS_AT_ONCE):
        eps = torch.randn(len(rows), mu.shape[1], generator=generator)
        z = mu[rows] + eps * (0.5 * logvar[rows]).exp()
        total += _log_ratios(z, rows, mu, logvar, factors)
    return (total / (draws * len(mu))).clamp(min=0)


def _log_ratios(
    z: Tensor, rows: Tensor, mu: Tensor, logvar: Tensor, factors: Tensor
) -> Tensor:
    """Sum over samples z (B, K) of rows (B,) of log q(z_j|v_k) − log q(z_j): (K, F)."""
    log_q = -0.5 * ((z[:, None] - mu).square() * (-logvar).exp() + logvar)
    q = (log_q - log_q.amax(dim=1, keepdim=True)).exp().mT  # (B, K, N)
    sums = []
    for column in factors.T:
        level = one_hot(column).double()  # (N, levels)
        given = q @ (level / level.sum(dim=0))  # (B, K, levels): means over a level
        own = given[torch.arange(len(rows)), :, column[rows]]
        sums.append((own / q.mean(dim=2)).log().sum(dim=0))
    return torch.stack(sums, dim=1)
