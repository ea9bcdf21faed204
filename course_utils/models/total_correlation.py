"""The rate in three parts, and the β-TCVAE, which weighs one of them.

Let n be the index of an example, drawn evenly from N, z a draw from q(z|n), and
q(z) = (1/N) Σ_n q(z|n) the aggregate posterior. Multiply and divide inside the log of
the rate by q(z) and by the product of its marginals q(z_k):

    E_n KL(q(z|n) ‖ p(z)) = KL(q(z, n) ‖ q(z) q(n))        index-code mutual information
                          + KL(q(z) ‖ Π_k q(z_k))          total correlation
                          + Σ_k KL(q(z_k) ‖ p(z_k))        dimension-wise KL

(R. Chen, X. Li, R. Grosse and D. Duvenaud, 2018; M. Hoffman and M. Johnson, 2016, for
the first step.) q(z) is a mixture of N Gaussians, too many for every step of training:
from a minibatch it is estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from course_utils.models.likelihoods import log_likelihood
from course_utils.objectives import gaussian_kl

LOG_2PI = math.log(2 * math.pi)


class Parts(NamedTuple):
    """The three parts of the rate, per example (B,), in nats; single draws of z.

    Their sum is log q(z|x) − log p(z), whose expectation is the rate.
    """

    mutual_information: torch.Tensor
    total_correlation: torch.Tensor
    dimensionwise: torch.Tensor


def rate_parts(
    z: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor, N: int
) -> Parts:
    """Estimate the three parts of the rate from a minibatch, one draw of z an example.

    For the draw z of example i, q(z) is estimated by

        (1/N) q(z|i) + (N − 1)/(N (B − 1)) Σ_{j ≠ i} q(z|j),

    and each marginal q(z_k) likewise. Over random batches that hold i and B − 1 *other*
    examples, this has the expectation q(z): each other example is met with the
    probability (B − 1)/(N − 1). It is the minibatch-stratified estimator of Chen et
    al., averaged over which example takes the odd weight. Its logarithm is biased
    downwards, as every log of an average is, so the parts are biased too; not their
    sum. With B = N nothing is estimated but the expectation over z.

    Parameters
    ----------
    z
        One draw from each q(z|x), (B, K).
    mu, logvar
        Of q(z|x) for the examples of the batch, which must differ from each other,
        (B, K).
    N
        How many examples the data have, at least B.

    Returns
    -------
    Parts
        Each (B,), in nats.

    Raises
    ------
    ValueError
        If shapes differ, the batch has fewer than two examples, or N is less than B.

    Examples
    --------
    Two examples with far and narrow posteriors: z tells which one it came from, log 2.

    >>> mu, logvar = torch.tensor([[-9.0], [9.0]]), torch.zeros(2, 1)
    >>> parts = rate_parts(mu, mu, logvar, N=2)
    >>> parts.mutual_information, parts.total_correlation
    (tensor([0.6931, 0.6931]), tensor([0., 0.]))
    """
    if z.ndim != 2 or z.shape != mu.shape or z.shape != logvar.shape:
        raise ValueError(
            f"z, mu, logvar have shapes {tuple(z.shape)}, {tuple(mu.shape)}, "
            f"{tuple(logvar.shape)}; expected one shape (B, K)"
        )
    B = len(z)
    if B < 2:
        raise ValueError(f"the batch has {B} example; expected at least two")
    if isinstance(N, bool) or not isinstance(N, int) or N < B:
        raise ValueError(f"N is {N!r}; expected a whole number from {B}, the batch")
    residual = (z[:, None] - mu) * torch.exp(-0.5 * logvar)  # (B of z, B of q, K)
    log_q = -0.5 * (residual**2 + logvar + LOG_2PI)
    log_weights = _log_weights(B, N, z)
    joint = torch.logsumexp(log_weights + log_q.sum(2), 1)  # log q(z), (B,)
    marginals = torch.logsumexp(log_weights[:, :, None] + log_q, 1).sum(1)
    own = log_q.diagonal().sum(0)  # log q(z|its own x), (B,)
    prior = -0.5 * (z**2 + LOG_2PI).sum(1)
    return Parts(own - joint, joint - marginals, marginals - prior)


def _log_weights(B: int, N: int, like: torch.Tensor) -> torch.Tensor:
    """Log weight of example j in the estimate for a draw of example i, (B, B)."""
    weights = like.new_full((B, B), (N - 1) / (N * (B - 1)))
    return weights.fill_diagonal_(1 / N).log()


@dataclass(frozen=True)
class TCLoss:
    """Loss of the β-TCVAE: the total correlation in the rate is weighed by β.

    distortion + rate + (β − 1) · total correlation, the rate in closed form. That is
    distortion + mutual information + β · total correlation + dimension-wise KL, since
    the three parts add up to the rate; but only the total correlation is estimated, and
    at β = 1 the loss is −ELBO and no other: `elbo_loss` to the last digit. It uses
    statistics of the batch, so it is for `training.fit`, not for models trained side by
    side.

    Parameters
    ----------
    N
        How many training examples there are.
    beta
        Weight of the total correlation alone, at least 0.

    Raises
    ------
    ValueError
        If ``beta`` is negative or not finite, or a batch is larger than N.

    Notes
    -----
    R. Chen, X. Li, R. Grosse and D. Duvenaud (2018), Isolating Sources of
    Disentanglement in Variational Autoencoders. The code they published estimates all
    three parts at the drawn z: the same on average, with more noise. Called, it returns
    ``loss``, ``distortion``, ``rate`` (in closed form), ``mutual information``, ``total
    correlation`` and ``dimension-wise KL``: means over the batch, in nats.

    Examples
    --------
    >>> from course_utils.models import VAE
    >>> terms = TCLoss(N=100, beta=6.0)(VAE(4, 2), torch.rand(8, 4), torch.Generator())
    >>> sorted(terms)
    ['dimension-wise KL', 'distortion', 'loss', 'mutual information', 'rate',
     'total correlation']
    """

    N: int
    beta: float

    def __post_init__(self) -> None:
        if not 0 <= self.beta < math.inf:
            raise ValueError(
                f"beta is {self.beta}; expected a finite number of at least 0"
            )

    def __call__(
        self, model: nn.Module, batch: torch.Tensor, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """Give the loss of a VAE on a batch (B, D), and its terms."""
        x_given_z, mu, logvar, z = model(batch, generator)
        distortion = -log_likelihood(batch, x_given_z)
        rate = gaussian_kl(mu, logvar)
        parts = rate_parts(z, mu, logvar, self.N)
        loss = distortion + rate + (self.beta - 1) * parts.total_correlation
        return {
            "loss": loss.mean(),
            "distortion": distortion.mean(),
            "rate": rate.mean(),
            "mutual information": parts.mutual_information.mean(),
            "total correlation": parts.total_correlation.mean(),
            "dimension-wise KL": parts.dimensionwise.mean(),
        }
