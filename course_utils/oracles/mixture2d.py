"""A mixture of Gaussians, where smoothing, score and denoising are all exact.

Adding noise N(0, σ²I) to a mixture gives a mixture again: each covariance grows by σ²I.
So the density of the noisy points, its score, and the best denoiser are closed forms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class GaussianMixture:
    """p(x) = Σ_k w_k N(x; m_k, C_k), exact at every noise level.

    Parameters
    ----------
    weights
        (M,), positive, summing to 1.
    means
        (M, D).
    covariances
        (M, D, D), symmetric and positive definite.

    Raises
    ------
    ValueError
        If shapes do not fit, weights are no distribution, or a covariance is not
        positive definite.

    Examples
    --------
    >>> mixture = three_blobs()
    >>> mixture.sample(5, seed=0).shape
    torch.Size([5, 2])
    """

    weights: torch.Tensor
    means: torch.Tensor
    covariances: torch.Tensor

    def __post_init__(self) -> None:
        M, D = self.means.shape if self.means.ndim == 2 else (0, 0)
        if self.weights.shape != (M,) or self.covariances.shape != (M, D, D):
            raise ValueError(
                f"weights, means, covariances have shapes {tuple(self.weights.shape)}, "
                f"{tuple(self.means.shape)}, {tuple(self.covariances.shape)}; expected "
                "(M,), (M, D), (M, D, D)"
            )
        if (self.weights <= 0).any() or abs(float(self.weights.sum()) - 1) > 1e-6:
            raise ValueError("weights must be positive and sum to 1")
        symmetric = torch.allclose(self.covariances, self.covariances.mT)
        if not symmetric or (torch.linalg.eigvalsh(self.covariances) <= 0).any():
            raise ValueError("covariances must be symmetric and positive definite")

    def sample(self, count: int, seed: int) -> torch.Tensor:
        """Draw points (count, D), with the dtype of the means."""
        generator = torch.Generator().manual_seed(seed)
        which = torch.multinomial(
            self.weights, count, replacement=True, generator=generator
        )
        eps = torch.randn(
            count, self.means.shape[1], generator=generator, dtype=self.means.dtype
        )
        roots = torch.linalg.cholesky(self.covariances)[which]  # (count, D, D)
        return self.means[which] + (roots @ eps[:, :, None])[:, :, 0]

    def log_density(self, x: torch.Tensor, sigma: float = 0.0) -> torch.Tensor:
        """Return log p_σ(x) in nats, (N,), of the density smoothed by N(0, σ²I)."""
        return torch.logsumexp(self._log_parts(x, sigma), 1)

    def score(self, x: torch.Tensor, sigma: float = 0.0) -> torch.Tensor:
        """Return ∇ₓ log p_σ(x), (N, D).

        Each component pulls towards its mean, −(C_k + σ²I)⁻¹(x − m_k), weighted by its
        responsibility for x.
        """
        pull = -torch.linalg.solve(
            self._smoothed(sigma), self._offsets(x)[..., None]
        ).squeeze(-1)  # (N, M, D)
        return (self.responsibilities(x, sigma)[..., None] * pull).sum(1)

    def responsibilities(self, x: torch.Tensor, sigma: float = 0.0) -> torch.Tensor:
        """Return the probability of each component given the noisy point, (N, M)."""
        return torch.softmax(self._log_parts(x, sigma), 1)

    def posterior_mean(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Return E[clean | noisy = x], (N, D): the best denoiser there is.

        Per component it is the Wiener filter around that component's mean,
        m_k + C_k (C_k + σ²I)⁻¹ (x − m_k); the responsibilities mix them.
        """
        shrunk = torch.linalg.solve(self._smoothed(sigma), self._offsets(x)[..., None])
        parts = self.means + (self.covariances @ shrunk).squeeze(-1)  # (N, M, D)
        return (self.responsibilities(x, sigma)[..., None] * parts).sum(1)

    def _offsets(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim != 2 or x.shape[1] != self.means.shape[1]:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; expected (N, {self.means.shape[1]})"
            )
        return x[:, None] - self.means  # (N, M, D)

    def _smoothed(self, sigma: float) -> torch.Tensor:
        if not 0 <= sigma < math.inf:
            raise ValueError(f"sigma is {sigma}; expected a finite number from 0")
        identity = torch.eye(self.means.shape[1], dtype=self.means.dtype)
        return self.covariances + sigma**2 * identity

    def _log_parts(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Return log w_k N(x; m_k, C_k + σ²I), (N, M)."""
        offsets, cov = self._offsets(x), self._smoothed(sigma)
        solved = torch.linalg.solve(cov, offsets[..., None]).squeeze(-1)
        square = (offsets * solved).sum(-1)
        constant = torch.logdet(cov) + self.means.shape[1] * math.log(2 * math.pi)
        return self.weights.log() - 0.5 * (square + constant)


def three_blobs() -> GaussianMixture:
    """Return three blobs of different shape in the plane, in float64.

    Examples
    --------
    >>> three_blobs().means.shape
    torch.Size([3, 2])
    """
    return GaussianMixture(
        weights=torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
        means=torch.tensor([[-1.5, -0.5], [1.2, -1.0], [0.5, 1.5]]).double(),
        covariances=torch.tensor(
            [
                [[0.30, 0.12], [0.12, 0.10]],
                [[0.08, 0.00], [0.00, 0.25]],
                [[0.15, -0.10], [-0.10, 0.20]],
            ],
            dtype=torch.float64,
        ),
    )


def smoothed_score(x: torch.Tensor, data: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return the score of points smoothed by noise, ∇ₓ log (1/N) Σₙ N(x; xₙ, σ²I).

    It is (r(x) − x)/σ² with r(x) = Σₙ wₙ xₙ, the best denoiser when the clean point is
    one of the xₙ; the weights wₙ are a softmax of −‖x − xₙ‖²/(2σ²) over the points.

    Parameters
    ----------
    x
        Where the score is wanted, (M, D).
    data
        The points, (N, D).
    sigma
        Standard deviation of the noise, above 0.

    Returns
    -------
    Tensor
        (M, D).

    Raises
    ------
    ValueError
        If shapes do not fit or ``sigma`` is not positive.

    Notes
    -----
    K. Miyasawa (1961), An empirical Bayes estimator of the mean of a normal population.

    Examples
    --------
    >>> smoothed_score(torch.tensor([[3.0]]), torch.tensor([[1.0]]), sigma=2.0)
    tensor([[-0.5000]])
    """
    if x.ndim != 2 or data.ndim != 2 or x.shape[1] != data.shape[1] or not len(data):
        raise ValueError(
            f"x has shape {tuple(x.shape)}, data {tuple(data.shape)}; expected (M, D) "
            "and (N, D)"
        )
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma is {sigma}; expected a finite number above 0")
    square = ((x[:, None] - data) ** 2).sum(2)  # (M, N)
    weights = torch.softmax(-square / (2 * sigma**2), dim=1)
    return (weights @ data - x) / sigma**2
