"""The linear-Gaussian world, where every quantity of a VAE is a closed form.

z ~ N(0, I) with K latents, and x given z ~ N(W z + b, σ²I) with D dimensions: a VAE
whose decoder is linear, known as probabilistic PCA. All of it is in float64.

The density of x goes through its own D × D covariance; the posterior and the terms of
the bound go through K × K matrices. So log p(x) = −distortion − rate + gap compares two
different computations.

Sources: M. E. Tipping and C. M. Bishop (1999), Probabilistic principal component
analysis; C. M. Bishop (2006), Pattern Recognition and Machine Learning, section 12.2;
J. Lucas, G. Tucker, R. Grosse and M. Norouzi (2019), Don't blame the ELBO!
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from course_utils.arguments import whole_number
from course_utils.oracles._checks import check_double

from .pca import principal_axes

LOG_2PI = math.log(2 * math.pi)


class Terms(NamedTuple):
    """What log p(x) is made of, for one q: log p(x) = −distortion − rate + gap.

    Each is (N,), in nats: distortion = −E_q log p(x|z), rate = KL(q ‖ p(z)),
    gap = KL(q ‖ p(z|x)).
    """

    distortion: torch.Tensor
    rate: torch.Tensor
    gap: torch.Tensor

    @property
    def elbo(self) -> torch.Tensor:
        """The evidence lower bound, −distortion − rate, (N,)."""
        return -self.distortion - self.rate


@dataclass(frozen=True)
class LinearGaussian:
    """p(z) = N(0, I), p(x|z) = N(W z + b, σ²I), with everything exact.

    All methods are differentiable in ``W``, ``b``, ``sigma`` and in their arguments.

    Parameters
    ----------
    W
        (D, K), float64.
    b
        (D,), float64.
    sigma
        Standard deviation of the noise, above 0; a number or a 0-d tensor.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite or not float64, or ``sigma`` is not
        positive.

    Examples
    --------
    >>> world = LinearGaussian(torch.ones(1, 1).double(), torch.zeros(1).double(), 1.0)
    >>> x = torch.tensor([[3.0]]).double()
    >>> mean, cov = world.posterior(x)
    >>> mean, cov
    (tensor([[1.5000]], dtype=torch.float64), tensor([[0.5000]], dtype=torch.float64))
    >>> world.terms(x, mean, 2 * cov).gap  # a q that is too wide: ½(1 − log 2)
    tensor([0.1534], dtype=torch.float64)
    """

    W: torch.Tensor
    b: torch.Tensor
    sigma: float | torch.Tensor

    def __post_init__(self) -> None:
        if self.W.ndim != 2 or 0 in self.W.shape or self.b.shape != self.W.shape[:1]:
            raise ValueError(
                f"W has shape {tuple(self.W.shape)}, b {tuple(self.b.shape)}; expected "
                "(D, K) and (D,)"
            )
        check_double(W=self.W, b=self.b)
        _check_positive(self.sigma, "sigma")

    @property
    def variance(self) -> torch.Tensor:
        """σ², 0-d float64."""
        return torch.as_tensor(self.sigma, dtype=torch.float64) ** 2

    @property
    def covariance(self) -> torch.Tensor:
        """The covariance of x, W Wᵀ + σ²I, (D, D)."""
        return self.W @ self.W.T + self.variance * _identity(len(self.W))

    def sample(self, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw latents (count, K) and data (count, D) that belong together."""
        D, K = self.W.shape
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(count, K, generator=generator, dtype=torch.float64)
        eps = torch.randn(count, D, generator=generator, dtype=torch.float64)
        return z, z @ self.W.T + self.b + self.variance.sqrt() * eps

    def log_density(self, x: torch.Tensor) -> torch.Tensor:
        """Return log p(x) = log N(x; b, W Wᵀ + σ²I) in nats, (N, D) to (N,)."""
        return _log_normal(self._centred(x), self.covariance)

    def posterior(
        self, x: torch.Tensor, beta: float = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and covariance of the best q at β; at β = 1, of the posterior.

        S = (I + WᵀW/(βσ²))⁻¹ and mean = S Wᵀ(x − b)/(βσ²): completing the square in
        log p(z) + (1/β) log p(x|z). For β ≠ 1 it is the minimiser over all q of
        distortion + β · rate, which is what β-VAE trains: β only scales the noise that
        the encoder believes in. See `beta_optimum`.

        Parameters
        ----------
        x
            Data (N, D).
        beta
            Weight of the rate, above 0.

        Returns
        -------
        mean, covariance
            (N, K), and (K, K), the same for every x.
        """
        _check_positive(beta, "beta")
        root = torch.linalg.cholesky(self._precision(beta))
        right = (self._centred(x) @ self.W).T / (beta * self.variance)  # (K, N)
        return torch.cholesky_solve(right, root).T, torch.cholesky_inverse(root)

    def best_diagonal(
        self, x: torch.Tensor, beta: float = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the diagonal q with the largest ELBO (at β: smallest β objective).

        With P the precision of `posterior`, the objective for q = N(m, diag s) is, up
        to a constant, β · ½[Σ_k (P_kk s_k − log s_k) + (m − m*)ᵀP(m − m*)]. So m is the
        posterior mean, and s_k = 1/P_kk, which is never more than the posterior's own
        variance.

        Returns
        -------
        mean, logvar
            (N, K) and (K,); P and so ``logvar`` do not depend on x.
        """
        mean, _ = self.posterior(x, beta)
        return mean, -torch.log(torch.diagonal(self._precision(beta)))

    def terms(
        self, x: torch.Tensor, mean: torch.Tensor, covariance: torch.Tensor
    ) -> Terms:
        """Return distortion, rate and gap of q(z|x) = N(mean, covariance).

        - distortion = ½[D log 2πσ² + (‖x − b − W m‖² + tr(W S Wᵀ))/σ²]
        - rate = ½[tr S + ‖m‖² − K − log det S]
        - gap = ½[tr(PS) + (m − m*)ᵀP(m − m*) − K − log det P − log det S], with the
          posterior's mean m* and precision P = I + WᵀW/σ²

        Parameters
        ----------
        x
            Data (N, D).
        mean
            (N, K).
        covariance
            (K, K), the same for every example, or (N, K, K); positive definite.

        Returns
        -------
        Terms
            Each (N,), in nats.

        Raises
        ------
        ValueError
            If shapes do not fit, or a covariance is not symmetric, positive definite.
        """
        offset = self._centred(x)
        N, (D, K) = len(x), self.W.shape
        if mean.shape != (N, K) or covariance.shape not in ((K, K), (N, K, K)):
            raise ValueError(
                f"mean has shape {tuple(mean.shape)}, covariance "
                f"{tuple(covariance.shape)}; expected {(N, K)}, and {(K, K)} or "
                f"{(N, K, K)}"
            )
        check_double(mean=mean, covariance=covariance)
        logdet = 2 * _log_diagonal(_cholesky(covariance, "covariance"))

        def trace(matrix: torch.Tensor) -> torch.Tensor:  # tr(matrix · covariance)
            return (matrix * covariance.mT).sum((-2, -1))

        gram = self.W.T @ self.W
        square = ((offset - mean @ self.W.T) ** 2).sum(1) + trace(gram)
        distortion = 0.5 * (
            D * (LOG_2PI + self.variance.log()) + square / self.variance
        )
        rate = 0.5 * (trace(_identity(K)) + (mean**2).sum(1) - K - logdet)
        precision = self._precision(1.0)
        away = mean - self.posterior(x)[0]
        square = ((away @ precision) * away).sum(1) + trace(precision)
        gap = 0.5 * (square - K - torch.logdet(precision) - logdet)
        return Terms(distortion, rate, gap)

    def diagonal_terms(
        self, x: torch.Tensor, mu: torch.Tensor, logvar: torch.Tensor
    ) -> Terms:
        """Return the terms of q(z|x) = N(mu, diag exp(logvar)), as an encoder gives it.

        ``mu`` is (N, K); ``logvar`` is (N, K), or (K,) when it is the same for every
        example. The rest is as in `terms`.
        """
        K = self.W.shape[1]
        if logvar.shape not in ((K,), (len(x), K)):
            raise ValueError(
                f"logvar has shape {tuple(logvar.shape)}; expected {(len(x), K)} or "
                f"{(K,)}"
            )
        return self.terms(x, mu, torch.diag_embed(logvar.exp()))

    def best_beta_objective(self, x: torch.Tensor, beta: float) -> torch.Tensor:
        """Return the smallest distortion + β · rate over all q, (N,), in nats.

        It is −β log ∫ p(z) p(x|z)^(1/β) dz, which `beta_optimum` works out:
        −β log N(x; b, W Wᵀ + βσ²I) + (D/2)[(1 − β) log 2πσ² − β log β].
        """
        _check_positive(beta, "beta")
        D = len(self.W)
        noisier = self.W @ self.W.T + beta * self.variance * _identity(D)
        constant = (1 - beta) * (LOG_2PI + self.variance.log()) - beta * math.log(beta)
        return -beta * _log_normal(self._centred(x), noisier) + D / 2 * constant

    def _centred(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim != 2 or len(x) == 0 or x.shape[1] != len(self.W):
            raise ValueError(
                f"x has shape {tuple(x.shape)}; expected (N, {len(self.W)}), N ≥ 1"
            )
        check_double(x=x)
        return x - self.b

    def _precision(self, beta: float) -> torch.Tensor:
        scaled = self.W.T @ self.W / (beta * self.variance)
        return _identity(self.W.shape[1]) + scaled


def beta_optimum(
    mean: torch.Tensor, cov: torch.Tensor, K: int, sigma: float, beta: float = 1.0
) -> LinearGaussian:
    """Best W and b for data of given moments, σ fixed: W = U_K (Λ_K − βσ²I)₊^½.

    It minimises the average of distortion + β · rate over W, b *and* q. Column i lies
    along the i-th principal axis and is zero unless λ_i > βσ²: that is when direction i
    is **active**.

    Why, in four steps.

    1. For one x, distortion + β · rate = β E_q[log q(z) − log p(z) − (1/β) log p(x|z)]
       = β KL(q ‖ q_β) − β log ∫ p(z) p(x|z)^(1/β) dz, where q_β ∝ p(z) p(x|z)^(1/β).
       The best q is q_β, and the last term remains.
    2. p(x|z)^(1/β) is a Gaussian with the variance βσ² instead of σ², up to a factor
       without W, b and z. So the integral is N(x; b, W Wᵀ + βσ²I) times that factor.
    3. Minimising over W and b is therefore maximum likelihood in probabilistic PCA
       whose noise variance is fixed at βσ². b is the mean of the data.
    4. With W = U L along principal axes, a direction with loading l² contributes
       −½[log(l² + βσ²) + λ/(l² + βσ²)] to that log-likelihood. Its derivative in l² is
       ½(λ − l² − βσ²)/(l² + βσ²)². Where λ > βσ² it vanishes at l² = λ − βσ², the
       maximum. Where λ ≤ βσ² it is negative for every l² > 0, so l² = 0 is best: the
       decoder ignores this latent, and q_β equals the prior there. (That the axes are
       the principal ones with the K largest λ is Tipping and Bishop's theorem.)

    Parameters
    ----------
    mean, cov
        Mean (D,) and population covariance (D, D) of the data, float64.
    K
        How many latents, 1 to D.
    sigma, beta
        Noise and weight of the rate, both fixed and above 0.

    Returns
    -------
    LinearGaussian
        Its ``sigma`` is the one given; its W is unique up to a rotation of z.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> cov = torch.diag(torch.tensor([5.0, 2.0, 1.0])).double()
    >>> zero = torch.zeros(3).double()
    >>> (beta_optimum(zero, cov, K=2, sigma=1.0).W ** 2).sum(0)
    tensor([4., 1.], dtype=torch.float64)
    >>> (beta_optimum(zero, cov, K=2, sigma=1.0, beta=4.0).W ** 2).sum(0)
    tensor([1., 0.], dtype=torch.float64)
    """
    values, axes = _axes(mean, cov, K)
    _check_positive(sigma, "sigma")
    _check_positive(beta, "beta")
    loadings = (values[:K] - beta * sigma**2).clamp(min=0).sqrt()
    return LinearGaussian(axes[:, :K] * loadings, mean, sigma)


def active_rates(
    cov: torch.Tensor, K: int, sigma: float, beta: float = 1.0
) -> torch.Tensor:
    """Average rate of each latent at `beta_optimum`: ½ log(λ_i/(βσ²)), or 0.

    With l² = λ − βσ² along a principal axis, q_β has the variance s = βσ²/λ and a mean
    whose square is l²/λ = 1 − s on average over the data. The rate is then
    ½(s + 1 − s − 1 − log s) = −½ log s.

    Returns
    -------
    Tensor
        (K,), in nats, largest first.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> active_rates(torch.diag(torch.tensor([4.0, 0.5])).double(), K=2, sigma=1.0)
    tensor([0.6931, 0.0000], dtype=torch.float64)
    """
    values, _ = _axes(torch.zeros(len(cov), dtype=torch.float64), cov, K)
    _check_positive(sigma, "sigma")
    _check_positive(beta, "beta")
    return 0.5 * (values[:K] / (beta * sigma**2)).clamp(min=1).log()


def maximum_likelihood(mean: torch.Tensor, cov: torch.Tensor, K: int) -> LinearGaussian:
    """Return the world of largest likelihood for data of given moments, σ learned too.

    σ² is the mean of the D − K smallest eigenvalues, W = U_K (Λ_K − σ²I)^½, and b is
    the mean of the data (Tipping and Bishop, 1999).

    Parameters
    ----------
    mean, cov
        Mean (D,) and population covariance (D, D) of the data, float64.
    K
        How many latents, 1 to D − 1.

    Raises
    ------
    ValueError
        If an argument is out of range, or the smallest eigenvalues are all zero: the
        data then lie in K dimensions, and σ → 0 sends the likelihood to infinity.

    Examples
    --------
    >>> cov = torch.diag(torch.tensor([5.0, 2.0, 1.0])).double()
    >>> world = maximum_likelihood(torch.zeros(3).double(), cov, K=1)
    >>> world.variance, (world.W ** 2).sum()
    (tensor(1.5000, dtype=torch.float64), tensor(3.5000, dtype=torch.float64))
    """
    values, _ = _axes(mean, cov, K)
    if len(cov) == K:
        raise ValueError(f"K is {K}, which is D; expected at most D − 1 to learn sigma")
    variance = float(values[K:].mean())
    if not variance > 1e-12 * float(values[0]):
        raise ValueError(
            f"the data lie in {K} dimensions or fewer, so the likelihood has no "
            "maximum; expected variance in the others, or a fixed sigma (beta_optimum)"
        )
    return beta_optimum(mean, cov, K, math.sqrt(variance))


def maximum_log_likelihood(
    cov: torch.Tensor, K: int, sigma: float | None = None
) -> torch.Tensor:
    """Average log p(x) per example at the maximum, from the eigenvalues alone.

    −½[D log 2π + Σ_active (log λ_i + 1) + Σ_others (log σ² + λ_i/σ²)]; active are those
    of the K largest eigenvalues that exceed σ².

    Parameters
    ----------
    cov
        Population covariance (D, D) of the data.
    K
        How many latents.
    sigma
        Fixed noise, or None for the maximum-likelihood one.

    Returns
    -------
    Tensor
        0-d, in nats per example.

    Raises
    ------
    ValueError
        As in `maximum_likelihood` and `beta_optimum`.

    Examples
    --------
    >>> maximum_log_likelihood(torch.eye(2).double(), K=1)  # −log 2π − 1
    tensor(-2.8379, dtype=torch.float64)
    """
    mean = torch.zeros(len(cov), dtype=torch.float64)
    values, _ = _axes(mean, cov, K)
    if sigma is None:
        variance = maximum_likelihood(mean, cov, K).variance
    else:
        _check_positive(sigma, "sigma")
        variance = torch.tensor(sigma, dtype=torch.float64) ** 2
    used = torch.where(values > variance, values, variance)
    used[K:] = variance
    return -0.5 * (LOG_2PI + used.log() + values / used).sum()


def _axes(
    mean: torch.Tensor, cov: torch.Tensor, K: int
) -> tuple[torch.Tensor, torch.Tensor]:
    values, axes = principal_axes(cov)
    D = len(cov)
    if mean.shape != (D,):
        raise ValueError(f"mean has shape {tuple(mean.shape)}; expected {(D,)} as cov")
    check_double(mean=mean, cov=cov)
    whole_number("K", K, 1, D, "D = ")
    if values[-1] < -1e-9 * values[0].abs():
        raise ValueError(
            f"cov has the eigenvalue {float(values[-1]):.3g}; expected none below 0"
        )
    return values.clamp(min=0), axes


def _log_normal(offset: torch.Tensor, cov: torch.Tensor) -> torch.Tensor:
    """Return log N(offset; 0, cov), (N, D) to (N,)."""
    root = _cholesky(cov, "the covariance of x")
    white = torch.linalg.solve_triangular(root, offset.T, upper=False)  # (D, N)
    return -0.5 * ((white**2).sum(0) + len(cov) * LOG_2PI) - _log_diagonal(root)


def _cholesky(cov: torch.Tensor, name: str) -> torch.Tensor:
    root, failed = torch.linalg.cholesky_ex(cov)
    lopsided = (cov - cov.mT).abs().max() > 1e-8 * cov.abs().max()
    if failed.any() or lopsided:
        raise ValueError(f"{name} is not symmetric and positive definite")
    return root


def _log_diagonal(root: torch.Tensor) -> torch.Tensor:
    return torch.diagonal(root, dim1=-2, dim2=-1).log().sum(-1)


def _identity(size: int) -> torch.Tensor:
    return torch.eye(size, dtype=torch.float64)


def _check_positive(value: float | torch.Tensor, name: str) -> None:
    if isinstance(value, torch.Tensor):
        if value.ndim or value.dtype != torch.float64:
            raise ValueError(
                f"{name} is a tensor {value.dtype} of shape {tuple(value.shape)}; "
                "expected a number, or 0-d float64"
            )
        value = value.item()
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}; expected a finite number above 0")
