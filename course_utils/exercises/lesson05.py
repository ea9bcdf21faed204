"""Exercises of lesson 05: the posterior, the rate, the bound's two terms, a step of EM.

All of them live in the linear-Gaussian world: z ~ N(0, I), x = W z + b + σ · noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_utils.exercises.base import (
    Arguments,
    Criterion,
    Exercise,
    Misconception,
    Refused,
    Trial,
    agrees,
    normal,
)
from course_utils.objectives import gaussian_kl
from course_utils.oracles.linear_gaussian import LinearGaussian

LOG_2PI = math.log(2 * math.pi)
SIZES = ((7, 5, 3), (5, 9, 4))  # batch, data, latent: all different

Pair = tuple[Tensor, Tensor]


def _between(generator: torch.Generator, low: float, high: float) -> float:
    share = float(torch.rand((), generator=generator, dtype=torch.float64))
    return low + (high - low) * share


def _world(
    generator: torch.Generator, sizes: tuple[int, int, int], sigma: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Draw data, map, offset and noise; the data's own mean is not the offset."""
    batch, D, K = sizes
    W = 0.8 * normal(generator, D, K)
    b = 1.5 + normal(generator, D)
    noise = _between(generator, *sigma)
    x = (
        b
        + 0.4
        + normal(generator, batch, K) @ W.T
        + noise * normal(generator, batch, D)
    )
    return x, W, b, noise


def _worlds(generator: torch.Generator) -> list[Arguments]:
    """One world with little noise, one with much: σ, σ² and 1 differ in both."""
    scales = ((0.5, 0.75), (1.35, 1.8))
    return [
        _world(generator, sizes, scale)
        for sizes, scale in zip(SIZES, scales, strict=True)
    ]


def _eye(like: Tensor) -> Tensor:
    return torch.eye(like.shape[1], dtype=like.dtype)


def _one_of(text: str, points: float, place: int, what: str) -> Criterion:
    """Build the criterion that one of the two values returned is right."""

    def test(trial: Trial) -> None:
        for arguments in trial.probes():
            got, want = trial.call(*arguments), trial.reference(*arguments)
            trial.expect_close(got[place], want[place], what)

    return Criterion(text, points, test)


def _rows_alone(rows: Callable[[Arguments, slice], Arguments]) -> Criterion:
    """Build the criterion that an example's answer is its own, and not everybody's."""

    def first(answer: object) -> list[Tensor]:
        parts = answer if isinstance(answer, tuple | list) else [answer]
        return [part for part in parts if isinstance(part, Tensor)]

    def test(trial: Trial) -> None:
        for arguments in trial.probes():
            whole = first(trial.call(*arguments))
            for once, again in zip(whole, first(trial.call(*arguments)), strict=True):
                trial.expect_close(
                    again,
                    once,
                    "two calls with the same inputs differ, so something is drawn at "
                    "random where an exact value is asked for",
                )
            for index in (slice(0, 1), slice(1, 3)):
                part = first(trial.call(*rows(arguments, index)))
                for all_rows, some in zip(whole, part, strict=True):
                    trial.expect_close(
                        some,
                        all_rows[index] if len(all_rows) != len(some) else all_rows,
                        "the answer for an example changes with the others in its "
                        "batch",
                    )
            if torch.allclose(whole[0][0], whole[0][1]):
                raise Refused("two different examples get the same answer.")

    return Criterion("treats each example on its own, at any batch size", 1.0, test)


# --- gaussian_posterior -------------------------------------------------------------


def _posterior(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    return LinearGaussian(W, b, sigma).posterior(x)


def _precision_returned(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    mean, _ = _posterior(x, W, b, sigma)
    return mean, _eye(W) + W.T @ W / sigma**2


def _precision_as_covariance(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    cov = _eye(W) + W.T @ W / sigma**2
    return (x - b) @ W @ cov / sigma**2, cov


def _no_prior(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    gram = torch.linalg.inv(W.T @ W)
    return (x - b) @ W @ gram, sigma**2 * gram


def _sigma_for_variance(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    return _posterior(x, W, b, math.sqrt(sigma))


def _times_noise(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    return _posterior(x, W, b, 1 / sigma)


def _offset_left(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    return _posterior(x, W, torch.zeros_like(b), sigma)


def _offset_added(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    return _posterior(x, W, -b, sigma)


def _batch_mean_for_offset(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    return _posterior(x, W, x.mean(0), sigma)


def _mean_not_over_noise(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    mean, cov = _posterior(x, W, b, sigma)
    return sigma**2 * mean, cov


def _mean_over_sigma(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    mean, cov = _posterior(x, W, b, sigma)
    return sigma * mean, cov


def _two_forms_mixed(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    mean, cov = _posterior(x, W, b, sigma)
    return mean / sigma**2, cov / sigma**2


def _linear_term_for_mean(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    return (x - b) @ W / sigma**2, _posterior(x, W, b, sigma)[1]


def _noise_lost(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    mean, cov = _posterior(x, W, b, sigma)
    return mean, cov / sigma**2


def _diagonal_inverted(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    mean, _ = _posterior(x, W, b, sigma)
    precision = _eye(W) + W.T @ W / sigma**2
    return mean, torch.diag(1 / precision.diag())


def _only_diagonal(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    mean, cov = _posterior(x, W, b, sigma)
    return mean, torch.diag(cov.diag())


def _entry_by_entry(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    cov = 1 / (_eye(W) + W.T @ W / sigma**2)
    return (x - b) @ W @ cov / sigma**2, cov


def _root_of_covariance(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    mean, cov = _posterior(x, W, b, sigma)
    return mean, torch.linalg.cholesky(cov)


def _ones_for_identity(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    cov = torch.linalg.inv(1 + W.T @ W / sigma**2)
    return (x - b) @ W @ cov / sigma**2, cov


def _mode_condition(trial: Trial) -> None:
    """Ask for the peak of the joint density: its gradient in z vanishes there."""
    for x, W, b, sigma in trial.probes():
        mean, cov = trial.call(x, W, b, sigma)
        pull = (x - b - mean @ W.T) @ W / sigma**2 - mean  # gradient of log p(x, z)
        if pull.abs().max() > 1e-6 * (1 + mean.abs().max()):
            raise Refused(
                "at your mean the gradient of log p(x|z) + log p(z) in z is as large "
                f"as {pull.abs().max():.3g}, expected 0."
            )
        change = cov @ (_eye(W) + W.T @ W / sigma**2) - _eye(W)
        if change.abs().max() > 1e-6:
            raise Refused(
                "your covariance times minus the second derivative of log p(x, z) is "
                f"not the identity: it is off by {change.abs().max():.3g}."
            )


GAUSSIAN_POSTERIOR = Exercise(
    name="gaussian_posterior",
    title="the exact posterior of a linear-Gaussian world",
    reference=_posterior,
    returns="two tensors: mean (batch, K), covariance (K, K)",
    probes=_worlds,
    criteria=(
        _one_of("the mean is right", 1.5, 0, "mean"),
        _one_of("the covariance is right", 1.5, 1, "covariance"),
        Criterion("mean and covariance are those of the peak", 1.0, _mode_condition),
        _rows_alone(lambda arguments, index: (arguments[0][index], *arguments[1:])),
    ),
    misconceptions=(
        Misconception(
            "precision_returned",
            "The mean is right, but the second output is the *precision* I + WᵀW/σ²: "
            "the covariance is its inverse.",
            _precision_returned,
        ),
        Misconception(
            "precision_as_covariance",
            "I + WᵀW/σ² is the *precision*, the inverse of the covariance: invert it "
            "before you use it in the mean, too.",
            _precision_as_covariance,
        ),
        Misconception(
            "no_prior",
            "This is least squares, which knows the likelihood only: the prior N(0, I) "
            "adds I to the precision and pulls the mean towards 0.",
            _no_prior,
        ),
        Misconception(
            "sigma_for_variance",
            "You divided by σ where σ² is meant: `sigma` is the standard deviation of "
            "the noise.",
            _sigma_for_variance,
        ),
        Misconception(
            "times_noise",
            "You multiplied by σ² where it divides: more noise makes x say *less* "
            "about z.",
            _times_noise,
        ),
        Misconception(
            "offset_left",
            "The offset b is still in x: what z explains is x − b.",
            _offset_left,
        ),
        Misconception(
            "offset_added",
            "The sign of b is wrong: x = W z + b + noise, so subtract it.",
            _offset_added,
        ),
        Misconception(
            "batch_mean_for_offset",
            "You subtracted the mean of the batch: the offset of the world is the "
            "argument b, whatever the other examples are.",
            _batch_mean_for_offset,
        ),
        Misconception(
            "mean_not_over_noise",
            "The covariance is right; the mean lacks its division by σ²: it is "
            "S Wᵀ(x − b)/σ².",
            _mean_not_over_noise,
        ),
        Misconception(
            "mean_over_sigma",
            "The covariance is right; in the mean you divided by σ where it is σ²: "
            "S Wᵀ(x − b)/σ².",
            _mean_over_sigma,
        ),
        Misconception(
            "two_forms_mixed",
            "Two forms are mixed: (WᵀW + σ²I)⁻¹ goes with S = σ² (WᵀW + σ²I)⁻¹ and a "
            "mean *without* /σ²; (I + WᵀW/σ²)⁻¹ goes with a mean with it.",
            _two_forms_mixed,
        ),
        Misconception(
            "linear_term_for_mean",
            "Wᵀ(x − b)/σ² is the linear term of the exponent, P μ*: multiply it by the "
            "covariance S = P⁻¹ to get the mean.",
            _linear_term_for_mean,
        ),
        Misconception(
            "noise_lost",
            "The mean is right; your covariance is (WᵀW + σ²I)⁻¹: a factor σ² is "
            "missing, S = σ² (WᵀW + σ²I)⁻¹.",
            _noise_lost,
        ),
        Misconception(
            "diagonal_inverted",
            "You inverted the diagonal of the precision only: that is the best "
            "*diagonal* q, not the posterior, whose latents are correlated.",
            _diagonal_inverted,
        ),
        Misconception(
            "only_diagonal",
            "The variances are right, but the covariances between latents are gone: "
            "return the full matrix (K, K).",
            _only_diagonal,
        ),
        Misconception(
            "entry_by_entry",
            "`1 / P` inverts each entry: the inverse of a matrix is "
            "torch.linalg.inv(P).",
            _entry_by_entry,
        ),
        Misconception(
            "root_of_covariance",
            "The second output is the Cholesky factor L of the covariance: asked for "
            "is L Lᵀ itself.",
            _root_of_covariance,
        ),
        Misconception(
            "ones_for_identity",
            "`1 + W.T @ W / sigma**2` adds 1 to *every* entry: the prior adds the "
            "identity matrix, torch.eye(K).",
            _ones_for_identity,
        ),
    ),
    hints=(
        "The exponent of p(z|x) is quadratic in z. Its second-order part gives the "
        "covariance, its first-order part the mean.",
        "Build the precision first: P = torch.eye(K, dtype=x.dtype) + W.T @ W / "
        "sigma**2. The covariance is torch.linalg.inv(P).",
        "Each mean solves P mean = Wᵀ(x − b)/σ². For rows: (x − b) @ W / sigma**2, "
        "then @ the covariance, which is symmetric.",
    ),
)


# --- gaussian_kl --------------------------------------------------------------------


def _encodings(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for batch, K in ((7, 3), (4, 5)):
        mu = 1.2 * normal(generator, batch, K)
        drawn.append((mu, -0.6 + 0.8 * normal(generator, batch, K)))
    return drawn


def _kl(mu: Tensor, logvar: Tensor, *, half: float = 0.5, one: float = 1.0) -> Tensor:
    """Return the KL of each latent, (N, K); factor and constant may be wrong."""
    return half * (mu**2 + logvar.exp() - logvar - one)


def _zero_only_at_the_prior(trial: Trial) -> None:
    for mu, logvar in trial.probes():
        zero = torch.zeros_like(mu)
        trial.expect_close(
            trial.call(zero, zero), torch.zeros(len(mu), dtype=mu.dtype), "q = prior"
        )
        for what, value in (
            ("a mean off 0", trial.call(mu, zero)),
            ("a variance below 1", trial.call(zero, -0.3 - logvar.abs())),
            ("a variance above 1", trial.call(zero, 0.3 + logvar.abs())),
        ):
            if not (value > 1e-3).all():
                raise Refused(
                    f"with {what} the KL is {float(value.min()):.3g}, expected above 0."
                )


def _adds_over_latents(trial: Trial) -> None:
    for mu, logvar in trial.probes():
        left = trial.call(mu[:, :1], logvar[:, :1])
        right = trial.call(mu[:, 1:], logvar[:, 1:])
        whole = trial.call(mu, logvar)
        trial.expect_close(
            left + right, whole, "the parts of independent latents do not add up"
        )
        if torch.allclose(whole[0], whole[1]):
            raise Refused("two different encodings get the same KL.")


GAUSSIAN_KL = Exercise(
    name="gaussian_kl",
    title="the rate: KL to the standard normal",
    reference=gaussian_kl,
    returns="(batch,) KL in nats, one number per example",
    probes=_encodings,
    criteria=(
        agrees("agrees with the closed form", 3.0),
        Criterion(
            "zero at the prior, positive elsewhere", 1.0, _zero_only_at_the_prior
        ),
        Criterion("adds up over independent latents", 1.0, _adds_over_latents),
    ),
    misconceptions=(
        Misconception(
            "half_dropped",
            "The ½ in front is missing: with it dropped, the loss is a VAE's at β = 2.",
            lambda mu, logvar: _kl(mu, logvar, half=1.0).sum(1),
        ),
        Misconception(
            "sign_flipped",
            "The sign is flipped: a KL is never negative. (Some papers write −KL, "
            "which is *maximised*.)",
            lambda mu, logvar: -_kl(mu, logvar).sum(1),
        ),
        Misconception(
            "logvar_squared",
            "`logvar` was squared where it should be exponentiated: σ² = exp(logvar).",
            lambda mu, logvar: 0.5 * (mu**2 + logvar**2 - logvar - 1).sum(1),
        ),
        Misconception(
            "read_as_log_sigma",
            "You read `logvar` as log σ: it is log σ², so σ² = exp(logvar), and the "
            "last term is logvar itself.",
            lambda mu, logvar: _kl(mu, 2 * logvar).sum(1),
        ),
        Misconception(
            "sigma_for_variance",
            "You used σ = exp(logvar/2) in the place of σ² = exp(logvar).",
            lambda mu, logvar: 0.5 * (mu**2 + (logvar / 2).exp() - logvar - 1).sum(1),
        ),
        Misconception(
            "logvar_for_variance",
            "`logvar` stands where σ² is meant: exponentiate it there.",
            lambda mu, logvar: 0.5 * (mu**2 + logvar - logvar - 1).sum(1),
        ),
        Misconception(
            "log_halved",
            "The last term is log σ = logvar/2: log σ² is asked for, which is logvar.",
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - logvar / 2 - 1).sum(1),
        ),
        Misconception(
            "log_doubled",
            "The last term is 2 · logvar, which is log σ⁴: log σ² is logvar itself.",
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 2 * logvar - 1).sum(1),
        ),
        Misconception(
            "mean_over_variance",
            "μ² was divided by q's σ²: that fraction belongs to KL(p ‖ q). Here "
            "E_q[z²] = μ² + σ².",
            lambda mu, logvar: (
                0.5 * (mu**2 / logvar.exp() + logvar.exp() - logvar - 1).sum(1)
            ),
        ),
        Misconception(
            "double_exponent",
            "exp(2·logvar) is σ⁴: `logvar` is log σ² already, so σ² = exp(logvar).",
            lambda mu, logvar: 0.5 * (mu**2 + (2 * logvar).exp() - logvar - 1).sum(1),
        ),
        Misconception(
            "averaged_over_latents",
            "You averaged over the latents: the KLs of independent latents *add*. The "
            "mean runs a VAE at β = 1/K.",
            lambda mu, logvar: _kl(mu, logvar).mean(1),
        ),
        Misconception(
            "summed_over_batch",
            "Every example has the same number, the sum over the whole batch: sum over "
            "the latents (dim 1) only.",
            lambda mu, logvar: _kl(mu, logvar).sum() * torch.ones_like(mu[:, 0]),
        ),
        Misconception(
            "mean_broadcast",
            "Every example has the same number, the mean over the batch: return one KL "
            "per example; average last.",
            lambda mu, logvar: (
                _kl(mu, logvar).sum(1).mean() * torch.ones_like(mu[:, 0])
            ),
        ),
        Misconception(
            "wrong_direction",
            "This is KL(p ‖ q), the prior against q: the rate is KL(q ‖ p), with the "
            "expectation under q.",
            lambda mu, logvar: 0.5 * (logvar + (1 + mu**2) / logvar.exp() - 1).sum(1),
        ),
        Misconception(
            "mean_not_squared",
            "The mean enters squared: E_q[z²] = μ² + σ².",
            lambda mu, logvar: 0.5 * (mu + logvar.exp() - logvar - 1).sum(1),
        ),
        Misconception(
            "absolute_mean",
            "The mean enters squared, not as |μ|: E_q[z²] = μ² + σ².",
            lambda mu, logvar: 0.5 * (mu.abs() + logvar.exp() - logvar - 1).sum(1),
        ),
        Misconception(
            "squared_after_sum",
            "The means were summed first and squared then: each latent's mean is "
            "squared on its own.",
            lambda mu, logvar: (
                0.5 * (mu.sum(1) ** 2 + (logvar.exp() - logvar - 1).sum(1))
            ),
        ),
        Misconception(
            "one_dropped",
            "The −1 is missing: without it the KL of the prior to itself is K/2 and "
            "not 0.",
            lambda mu, logvar: _kl(mu, logvar, one=0.0).sum(1),
        ),
        Misconception(
            "one_added",
            "The 1 has the wrong sign: it is −1, so that the KL of the prior to itself "
            "is 0.",
            lambda mu, logvar: _kl(mu, logvar, one=-1.0).sum(1),
        ),
        Misconception(
            "one_only_once",
            "The −1 belongs to each latent: you subtract it once for all of them.",
            lambda mu, logvar: 0.5 * ((mu**2 + logvar.exp() - logvar).sum(1) - 1),
        ),
        Misconception(
            "log_added",
            "The log-variance has the wrong sign: −½ log σ² comes from the *entropy* "
            "of q, a narrow q costs more.",
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() + logvar - 1).sum(1),
        ),
        Misconception(
            "half_on_mean_only",
            "The ½ stands before the whole bracket, not before μ² alone.",
            lambda mu, logvar: (0.5 * mu**2 + logvar.exp() - logvar - 1).sum(1),
        ),
        Misconception(
            "in_bits",
            "This is the KL in bits: the course counts in nats, so do not divide by "
            "log 2.",
            lambda mu, logvar: _kl(mu, logvar).sum(1) / math.log(2),
        ),
        Misconception(
            "entropy_forgotten",
            "Only E_q[z²]/2 is there, from −log p(z): E_q[log q(z)] is missing.",
            lambda mu, logvar: 0.5 * (mu**2 + logvar.exp()).sum(1),
        ),
        Misconception(
            "variance_forgotten",
            "The −log σ² − 1 part and the variance are missing: you return ½‖μ‖², "
            "which is the KL of a q with variance 1.",
            lambda mu, logvar: 0.5 * (mu**2).sum(1),
        ),
    ),
    hints=(
        "q and p are products over the latents, so the KL is a sum over the latents. "
        "Work out one of them.",
        "In one dimension it is ½(μ² + σ² − log σ² − 1). Which of these does `logvar` "
        "give directly, and which after an exponential?",
        "0.5 * (mu**2 + logvar.exp() - …), summed over the latents with .sum(1).",
    ),
    tolerance=1e-7,
)


# --- elbo_terms ---------------------------------------------------------------------


def _bounds(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for world in _worlds(generator):
        x, W = world[:2]
        mu = 0.7 * normal(generator, len(x), W.shape[1])
        drawn.append((*world, mu, -0.8 + 0.6 * normal(generator, *mu.shape)))
    return drawn


def _terms(
    x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
) -> Pair:
    distortion, rate, _ = LinearGaussian(W, b, sigma).diagonal_terms(x, mu, logvar)
    return distortion, rate


def _square(x: Tensor, W: Tensor, b: Tensor, mu: Tensor) -> Tensor:
    return ((x - b - mu @ W.T) ** 2).sum(1)


def _trace(W: Tensor, variance: Tensor) -> Tensor:
    """tr(W diag(variance) Wᵀ), (N,)."""
    return variance @ (W**2).sum(0)


Wrong = Callable[[Tensor, Tensor, Tensor, float, Tensor, Tensor], Pair]


def _distorted(
    distortion: Callable[[Tensor, Tensor, int, float], Tensor],
    variance: Callable[[Tensor], Tensor] = torch.exp,
) -> Wrong:
    """Wrong distortion, right rate: distortion(square, trace, D, sigma)."""

    def wrong(
        x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
    ) -> Pair:
        square, trace = _square(x, W, b, mu), _trace(W, variance(logvar))
        return distortion(square, trace, len(W), sigma), gaussian_kl(mu, logvar)

    return wrong


def _normaliser(D: int, sigma: float) -> float:
    return D / 2 * (LOG_2PI + 2 * math.log(sigma))


def _exact(square: Tensor, trace: Tensor, D: int, sigma: float) -> Tensor:
    return _normaliser(D, sigma) + (square + trace) / (2 * sigma**2)


def _rated(rate: Callable[[Tensor, Tensor], Tensor]) -> Wrong:
    """Right distortion, wrong rate."""

    def wrong(
        x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
    ) -> Pair:
        return _terms(x, W, b, sigma, mu, logvar)[0], rate(mu, logvar)

    return wrong


def _after(change: Callable[[Tensor, Tensor], Pair]) -> Wrong:
    """Change both right terms."""

    def wrong(
        x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
    ) -> Pair:
        return change(*_terms(x, W, b, sigma, mu, logvar))

    return wrong


def _terms_without_offset(
    x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
) -> Pair:
    return _terms(x, W, torch.zeros_like(b), sigma, mu, logvar)


def _trace_without_map(
    x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
) -> Pair:
    square, trace = _square(x, W, b, mu), logvar.exp().sum(1)
    return _exact(square, trace, len(W), sigma), gaussian_kl(mu, logvar)


def _variance_through_map(
    x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
) -> Pair:
    square = _square(x, W, b, mu)
    trace = ((logvar.exp() @ W.T) ** 2).sum(1)
    return _exact(square, trace, len(W), sigma), gaussian_kl(mu, logvar)


def _deviation_through_map(
    x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
) -> Pair:
    square = _square(x, W, b, mu)
    trace = (((logvar / 2).exp() @ W.T) ** 2).sum(1)
    return _exact(square, trace, len(W), sigma), gaussian_kl(mu, logvar)


def _marginal_for_distortion(
    x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
) -> Pair:
    nll = -LinearGaussian(W, b, sigma).log_density(x)
    return nll, gaussian_kl(mu, logvar)


def _constant_of_latents(
    x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
) -> Pair:
    distortion, rate = _terms(x, W, b, sigma, mu, logvar)
    D, K = W.shape
    return distortion - _normaliser(D, sigma) + _normaliser(K, sigma), rate


def _predictive_for_distortion(
    x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
) -> Pair:
    """−log E_q p(x|z): a Gaussian with the covariance σ²I + W diag(σ²_k) Wᵀ."""
    cov = sigma**2 * torch.eye(len(W), dtype=W.dtype)
    cov = cov + torch.einsum("dk,nk,ek->nde", W, logvar.exp(), W)
    r = x - b - mu @ W.T
    square = (r * torch.linalg.solve(cov, r)).sum(1)
    nll = 0.5 * (len(W) * LOG_2PI + torch.logdet(cov) + square)
    return nll, gaussian_kl(mu, logvar)


def _averaged_over_data(
    x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
) -> Pair:
    distortion, rate = _terms(x, W, b, sigma, mu, logvar)
    return distortion / len(W), rate


def _identity_holds(trial: Trial) -> None:
    """−distortion − rate must lie below log p(x) by exactly the gap."""
    for arguments in trial.probes():
        x, W, b, sigma, mu, logvar = arguments
        world = LinearGaussian(W, b, sigma)
        distortion, rate = trial.call(*arguments)
        gap = world.diagonal_terms(x, mu, logvar).gap
        residual = world.log_density(x) - (gap - distortion - rate)
        if residual.abs().max() > 1e-5:
            raise Refused(
                "log p(x) = −distortion − rate + gap is off by "
                f"{residual.abs().max():.3g} nats, expected 0."
            )


def _first_rows(arguments: Arguments, index: slice) -> Arguments:
    x, W, b, sigma, mu, logvar = arguments
    return x[index], W, b, sigma, mu[index], logvar[index]


ELBO_TERMS = Exercise(
    name="elbo_terms",
    title="distortion and rate of a Gaussian q, exactly",
    reference=_terms,
    returns="two tensors (batch,): distortion, rate",
    probes=_bounds,
    criteria=(
        _one_of("the distortion is right", 2.0, 0, "distortion"),
        _one_of("the rate is right", 1.0, 1, "rate"),
        Criterion("log p(x) = −distortion − rate + gap", 1.0, _identity_holds),
        _rows_alone(_first_rows),
    ),
    misconceptions=(
        Misconception(
            "trace_forgotten",
            "You put the mean of q into the decoder, which leaves out "
            "tr(W diag(σ²) Wᵀ)/2σ²: the spread of z costs distortion, so this is not "
            "an ELBO.",
            _distorted(lambda s, t, D, sigma: _normaliser(D, sigma) + s / 2 / sigma**2),
        ),
        Misconception(
            "normaliser_dropped",
            "The constant (D/2) log 2πσ² of the Gaussian density is missing: without "
            "it the distortion is no −E log p(x|z).",
            _distorted(lambda s, t, D, sigma: (s + t) / 2 / sigma**2),
        ),
        Misconception(
            "squared_error",
            "This is the bare squared error at q's mean: ½, 1/σ², the trace and the "
            "constant (D/2) log 2πσ² are missing.",
            _distorted(lambda s, t, D, sigma: s),
        ),
        Misconception(
            "half_squared_error",
            "This is half the squared error at q's mean: 1/σ², the trace and the "
            "constant (D/2) log 2πσ² are missing.",
            _distorted(lambda s, t, D, sigma: s / 2),
        ),
        Misconception(
            "scaled_squared_error",
            "This is the squared error at q's mean over 2σ²: the trace and the "
            "constant (D/2) log 2πσ² are missing.",
            _distorted(lambda s, t, D, sigma: s / 2 / sigma**2),
        ),
        Misconception(
            "log_likelihood_at_the_mean",
            "The first output is log p(x|z) at q's mean: distortion has a minus, and "
            "the trace that the spread of z adds.",
            _distorted(
                lambda s, t, D, sigma: -_normaliser(D, sigma) - s / 2 / sigma**2
            ),
        ),
        Misconception(
            "variance_for_scale",
            "You gave σ² where the density wants σ, the standard deviation, and the "
            "trace is missing.",
            _distorted(
                lambda s, t, D, sigma: _normaliser(D, sigma**2) + s / 2 / sigma**4
            ),
        ),
        Misconception(
            "constant_of_latents",
            "The constant counts the K latents: it is D/2 times log 2πσ², D the "
            "dimensions of x.",
            _constant_of_latents,
        ),
        Misconception(
            "predictive_for_distortion",
            "The first output is −log E_q[p(x|z)], the log of an average: distortion "
            "is −E_q[log p(x|z)], the average of the log.",
            _predictive_for_distortion,
        ),
        Misconception(
            "normaliser_once",
            "The constant is there once: each of the D dimensions has its own "
            "½ log 2πσ².",
            _distorted(
                lambda s, t, D, sigma: _normaliser(1, sigma) + (s + t) / 2 / sigma**2
            ),
        ),
        Misconception(
            "two_pi_dropped",
            "log 2π is missing from the constant: (D/2)(log 2π + log σ²).",
            _distorted(
                lambda s, t, D, sigma: D * math.log(sigma) + (s + t) / 2 / sigma**2
            ),
        ),
        Misconception(
            "log_noise_dropped",
            "log σ² is missing from the constant: (D/2)(log 2π + log σ²).",
            _distorted(lambda s, t, D, sigma: D / 2 * LOG_2PI + (s + t) / 2 / sigma**2),
        ),
        Misconception(
            "log_sigma_in_normaliser",
            "The constant has log σ where it has log σ²: (D/2)(log 2π + 2 log σ).",
            _distorted(
                lambda s, t, D, sigma: (
                    D / 2 * (LOG_2PI + math.log(sigma)) + (s + t) / 2 / sigma**2
                )
            ),
        ),
        Misconception(
            "constant_without_half",
            "The constant lacks its ½: it is D/2, not D, times log 2πσ².",
            _distorted(
                lambda s, t, D, sigma: (
                    2 * _normaliser(D, sigma) + (s + t) / 2 / sigma**2
                )
            ),
        ),
        Misconception(
            "square_without_half",
            "The squared error lacks its ½: the exponent of a Gaussian is "
            "−(square)/(2σ²).",
            _distorted(
                lambda s, t, D, sigma: _normaliser(D, sigma) + (s + t) / sigma**2
            ),
        ),
        Misconception(
            "square_over_sigma",
            "The squared error was divided by 2σ: the noise enters as σ².",
            _distorted(
                lambda s, t, D, sigma: _normaliser(D, sigma) + (s + t) / 2 / sigma
            ),
        ),
        Misconception(
            "square_not_over_noise",
            "The squared error is not divided by σ²: small noise makes the same error "
            "much less likely.",
            _distorted(lambda s, t, D, sigma: _normaliser(D, sigma) + (s + t) / 2),
        ),
        Misconception(
            "trace_not_over_noise",
            "The trace is part of the expected squared error: it is divided by 2σ² as "
            "well.",
            _distorted(
                lambda s, t, D, sigma: _normaliser(D, sigma) + s / 2 / sigma**2 + t / 2
            ),
        ),
        Misconception(
            "trace_bare",
            "The trace was added as it is: it is part of the expected squared error, "
            "and is divided by 2σ² with it.",
            _distorted(
                lambda s, t, D, sigma: _normaliser(D, sigma) + s / 2 / sigma**2 + t
            ),
        ),
        Misconception(
            "trace_not_halved",
            "The trace is part of the expected squared error: the ½ stands before it "
            "as well.",
            _distorted(
                lambda s, t, D, sigma: _normaliser(D, sigma) + (s / 2 + t) / sigma**2
            ),
        ),
        Misconception(
            "trace_subtracted",
            "The trace has the wrong sign: the spread of z *adds* to the expected "
            "squared error.",
            _distorted(
                lambda s, t, D, sigma: _normaliser(D, sigma) + (s - t) / 2 / sigma**2
            ),
        ),
        Misconception(
            "trace_with_sigma",
            "The trace uses q's σ = exp(logvar/2): variances go through the map, "
            "σ² = exp(logvar).",
            _distorted(_exact, variance=lambda logvar: (logvar / 2).exp()),
        ),
        Misconception(
            "trace_read_as_log_sigma",
            "The trace uses exp(2·logvar): `logvar` is log σ² of q, not log σ.",
            _distorted(_exact, variance=lambda logvar: (2 * logvar).exp()),
        ),
        Misconception(
            "trace_of_logvar",
            "The trace uses `logvar` itself: exponentiate it first.",
            _distorted(_exact, variance=lambda logvar: logvar),
        ),
        Misconception(
            "trace_without_map",
            "The trace is that of q's covariance alone: in the space of x it is "
            "tr(W diag(σ²) Wᵀ) = Σ_k σ²_k ‖w_k‖².",
            _trace_without_map,
        ),
        Misconception(
            "variance_through_map",
            "You sent the variances through W as if they were a latent: the trace is "
            "Σ_k σ²_k ‖w_k‖², linear in the variances.",
            _variance_through_map,
        ),
        Misconception(
            "deviation_through_map",
            "‖W σ‖² would need all noises ε_k to be the same number: independent ones "
            "give Σ_k σ²_k ‖w_k‖².",
            _deviation_through_map,
        ),
        Misconception(
            "averaged_over_data",
            "The distortion was averaged over the D dimensions of x: log-densities of "
            "independent dimensions *add*.",
            _averaged_over_data,
        ),
        Misconception(
            "log_likelihood_returned",
            "The first output is E_q[log p(x|z)]: distortion is *minus* that.",
            _after(lambda distortion, rate: (-distortion, rate)),
        ),
        Misconception(
            "both_negative",
            "Both terms have the wrong sign: the ELBO is −distortion − rate, so "
            "distortion is −E_q[log p(x|z)] and rate is +KL.",
            _after(lambda distortion, rate: (-distortion, -rate)),
        ),
        Misconception(
            "rate_negative",
            "The rate has the wrong sign: a KL is never negative.",
            _after(lambda distortion, rate: (distortion, -rate)),
        ),
        Misconception(
            "swapped",
            "The two are swapped: first the distortion, then the rate.",
            _after(lambda distortion, rate: (rate, distortion)),
        ),
        Misconception(
            "elbo_returned",
            "The first output is distortion + rate, −ELBO itself: return the two terms "
            "apart.",
            _after(lambda distortion, rate: (distortion + rate, rate)),
        ),
        Misconception(
            "batch_mean",
            "Every example has the mean over the batch: return one number per example; "
            "average last.",
            _after(
                lambda distortion, rate: (
                    distortion.mean().expand(len(distortion)).clone(),
                    rate.mean().expand(len(rate)).clone(),
                )
            ),
        ),
        Misconception(
            "offset_left",
            "The offset b is not subtracted: the decoder's mean is W z + b.",
            _terms_without_offset,
        ),
        Misconception(
            "marginal_for_distortion",
            "The first output is −log p(x), which has integrated z out: the distortion "
            "is an average of −log p(x|z) under q.",
            _marginal_for_distortion,
        ),
        Misconception(
            "rate_without_half",
            "The distortion is right; the rate lacks its ½.",
            _rated(lambda mu, logvar: 2 * gaussian_kl(mu, logvar)),
        ),
        Misconception(
            "rate_averaged",
            "The distortion is right; the rate was averaged over the latents: it is a "
            "sum.",
            _rated(lambda mu, logvar: gaussian_kl(mu, logvar) / mu.shape[1]),
        ),
        Misconception(
            "rate_read_as_log_sigma",
            "The distortion is right; the rate reads `logvar` as log σ.",
            _rated(lambda mu, logvar: gaussian_kl(mu, 2 * logvar)),
        ),
    ),
    hints=(
        "−log p(x|z) is a constant plus ‖x − b − W z‖²/(2σ²). Only the square needs "
        "an expectation under q.",
        "E‖r − Wσε‖² = ‖r‖² + Σ_k σ²_k ‖w_k‖², with r = x − b − Wμ, because the ε_k "
        "are independent with mean 0 and variance 1. The w_k are the columns of W.",
        "r = x - b - mu @ W.T; square = (r**2).sum(1) + logvar.exp() @ "
        "(W**2).sum(0). distortion = square / (2 * sigma**2) + D / 2 * math.log(2 * "
        "math.pi * sigma**2). The rate is exercise 2's.",
    ),
)


# --- em_step ------------------------------------------------------------------------


def _em_worlds(generator: torch.Generator) -> list[Arguments]:
    """Draw data whose mean is not b, and parameters that are not the best ones."""
    drawn: list[Arguments] = []
    for count, D, K, sigma in ((23, 5, 3, (0.5, 0.75)), (31, 9, 4, (1.35, 1.8))):
        x, _, b, _ = _world(generator, (count, D, K), (0.6, 1.2))
        W = 0.8 * normal(generator, D, K)
        drawn.append((x, W, b, _between(generator, *sigma)))
    return drawn


def em_step(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> tuple[Tensor, float]:
    """One step of EM for the linear-Gaussian world, b fixed: the new W and sigma.

    E-step: the posterior means μ_n and covariance S. M-step: with A the average of
    (x_n − b) μ_nᵀ and C = S + the average of μ_n μ_nᵀ, W = A C⁻¹ and
    σ² = (average of ‖x_n − b‖² − tr(A Wᵀ))/D.

    Source: M. E. Tipping and C. M. Bishop (1999), appendix B.
    """
    mean, cov = _posterior(x, W, b, sigma)
    A, C = (x - b).T @ mean / len(x), cov + mean.T @ mean / len(x)
    new_W = torch.linalg.solve(C, A, left=False)
    variance = (((x - b) ** 2).sum(1).mean() - (A * new_W).sum()) / len(W)
    return new_W, float(variance.sqrt())


def _em(
    x: Tensor,
    W: Tensor,
    b: Tensor,
    sigma: float,
    *,
    covariance: float = 1.0,
    trace: bool = True,
    old_map: bool = False,
    divide_by: int | None = None,
    e_sigma: float | None = None,
) -> tuple[Tensor, float]:
    """EM with a part to get wrong."""
    mean, cov = _posterior(x, W, b, e_sigma or sigma)
    r = x - b
    A, C = r.T @ mean / len(x), covariance * cov + mean.T @ mean / len(x)
    new_W = torch.linalg.solve(C, A, left=False)
    M = W if old_map else new_W
    square = ((r - mean @ M.T) ** 2).sum(1).mean()
    if trace:
        square = square + torch.trace(M @ cov @ M.T)
    return new_W, float((square / (divide_by or len(W))).clamp(min=1e-12).sqrt())


def _moments(
    x: Tensor, W: Tensor, b: Tensor, sigma: float
) -> tuple[Tensor, Tensor, Tensor]:
    """E-step: posterior means, covariance S, and A = average of (x − b) μᵀ."""
    mean, cov = _posterior(x, W, b, sigma)
    return mean, cov, (x - b).T @ mean / len(x)


def _noise(square: Tensor, D: int) -> float:
    return float((square / D).clamp(min=1e-12).sqrt())


def _old_map_in_trace(
    x: Tensor, W: Tensor, b: Tensor, sigma: float
) -> tuple[Tensor, float]:
    _, _, A = _moments(x, W, b, sigma)
    square = ((x - b) ** 2).sum(1).mean() - (A * W).sum()
    return em_step(x, W, b, sigma)[0], _noise(square, len(W))


def _covariance_counted_once_throughout(
    x: Tensor, W: Tensor, b: Tensor, sigma: float
) -> tuple[Tensor, float]:
    mean, cov, A = _moments(x, W, b, sigma)
    C = (cov + mean.T @ mean) / len(x)
    new_W = torch.linalg.solve(C, A, left=False)
    square = ((x - b) ** 2).sum(1).mean() - (A * new_W).sum()
    return new_W, _noise(square, len(W))


def _trace_without_map_in_noise(
    x: Tensor, W: Tensor, b: Tensor, sigma: float
) -> tuple[Tensor, float]:
    mean, cov, _ = _moments(x, W, b, sigma)
    new_W, _ = em_step(x, W, b, sigma)
    square = ((x - b - mean @ new_W.T) ** 2).sum(1).mean() + torch.trace(cov)
    return new_W, _noise(square, len(W))


def _second_e_step(
    x: Tensor, W: Tensor, b: Tensor, sigma: float
) -> tuple[Tensor, float]:
    new_W, _ = em_step(x, W, b, sigma)
    mean, cov = _posterior(x, new_W, b, sigma)
    square = ((x - b - mean @ new_W.T) ** 2).sum(1).mean()
    square = square + torch.trace(new_W @ cov @ new_W.T)
    return new_W, float((square / len(W)).sqrt())


def _mean_log_density(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> float:
    return float(LinearGaussian(W, b, sigma).log_density(x).mean())


def _log_density_rises(trial: Trial) -> None:
    for x, W, b, sigma in trial.probes():
        new_W, new_sigma = trial.call(x, W, b, sigma)
        new_sigma = float(new_sigma)
        if not 0 < new_sigma < math.inf:
            raise Refused(f"the new sigma is {new_sigma:.3g}, expected above 0.")
        best_W, best_sigma = trial.reference(x, W, b, sigma)
        before = _mean_log_density(x, W, b, sigma)
        rise = _mean_log_density(x, new_W.detach(), b, new_sigma) - before
        needed = _mean_log_density(x, best_W, b, best_sigma) - before
        if rise < 0.999 * needed:
            raise Refused(
                f"the average log p(x) changes by {rise:.4f} nats in your step, "
                f"expected {needed:.4f}."
            )


EM_STEP = Exercise(
    name="em_step",
    title="one step of EM for probabilistic PCA",
    reference=em_step,
    returns="the new W (D, K), and the new sigma, one number",
    probes=_em_worlds,
    criteria=(
        _one_of("the new W is right", 1.5, 0, "W"),
        _one_of("the new sigma is right", 1.5, 1, "sigma"),
        Criterion(
            "the average log p(x) rises as far as it should", 1.0, _log_density_rises
        ),
    ),  # fmt: skip
    misconceptions=(
        Misconception(
            "means_only",
            "The posterior's covariance S is missing everywhere: this treats the "
            "latents as if they were known to be μ_n.",
            lambda *a: _em(*a, covariance=0.0, trace=False),
        ),
        Misconception(
            "covariance_missing_in_map",
            "The E-step's second moment is S + average of μ μᵀ: S is missing where W "
            "is computed.",
            lambda *a: _em(*a, covariance=0.0),
        ),
        Misconception(
            "covariance_counted_once",
            "S belongs to *every* example: in the average of second moments it is S, "
            "not S/N.",
            lambda *a: _em(*a, covariance=1 / len(a[0])),
        ),
        Misconception(
            "trace_forgotten",
            "W is right; σ² uses the error at the posterior means only: the spread of "
            "z adds tr(W S Wᵀ).",
            lambda *a: _em(*a, trace=False),
        ),
        Misconception(
            "old_map_in_noise",
            "W is right; σ² was computed with the old W: the M-step's σ² uses the new "
            "one.",
            lambda *a: _em(*a, old_map=True),
        ),
        Misconception(
            "old_map_in_trace",
            "W is right; σ² was computed with the old W: the M-step's σ² uses the new "
            "one.",
            _old_map_in_trace,
        ),
        Misconception(
            "covariance_counted_once_throughout",
            "S belongs to *every* example: in the average of second moments it is S, "
            "not S/N.",
            _covariance_counted_once_throughout,
        ),
        Misconception(
            "trace_without_map",
            "W is right; in σ² the spread of z reaches x through W: it adds "
            "tr(W S Wᵀ), not tr(S).",
            _trace_without_map_in_noise,
        ),
        Misconception(
            "second_e_step",
            "W is right; σ² was computed with a new E-step at the new W: keep q fixed "
            "through the whole M-step.",
            _second_e_step,
        ),
        Misconception(
            "divided_by_latents",
            "W is right; the expected square was divided by K: it is a sum over the D "
            "dimensions of x.",
            lambda *a: _em(*a, divide_by=a[1].shape[1]),
        ),
        Misconception(
            "divided_twice",
            "W is right; σ² was divided by N twice: the averages over the examples "
            "hold it already.",
            lambda *a: _em(*a, divide_by=a[0].numel()),
        ),
        Misconception(
            "variance_returned",
            "The second output is σ²: asked for is σ, its square root.",
            lambda *a: (em_step(*a)[0], em_step(*a)[1] ** 2),
        ),
        Misconception(
            "not_divided_by_data_size",
            "W is right; the expected square was not divided by D: σ² is the variance "
            "of *one* dimension.",
            lambda *a: _em(*a, divide_by=1),
        ),
        Misconception(
            "divided_by_what_is_left",
            "W is right; σ² was divided by D − K, as in the closed-form solution: in "
            "the M-step all D dimensions count.",
            lambda *a: _em(*a, divide_by=a[1].shape[0] - a[1].shape[1]),
        ),
        Misconception(
            "noise_kept",
            "σ was left as it was: the M-step updates both W and σ.",
            lambda *a: (em_step(*a)[0], a[3]),
        ),
        Misconception(
            "map_kept",
            "W was left as it was: the M-step updates both W and σ.",
            lambda *a: (a[1].clone(), em_step(*a)[1]),
        ),
        Misconception(
            "offset_left",
            "The offset b is still in x: what z explains is x − b.",
            lambda x, W, b, sigma: em_step(x, W, torch.zeros_like(b), sigma),
        ),
        Misconception(
            "batch_mean_for_offset",
            "You centred by the mean of the data: here b is given, and kept.",
            lambda x, W, b, sigma: em_step(x, W, x.mean(0), sigma),
        ),
        Misconception(
            "sigma_for_variance",
            "The E-step divides by σ where σ² is meant.",
            lambda *a: _em(*a, e_sigma=math.sqrt(a[3])),
        ),
        Misconception(
            "not_inverted",
            "W = A C multiplies by the second moment: W C = A, so W = A C⁻¹.",
            lambda *a: _with_map(*a, use=lambda A, C: A @ C),
        ),
        Misconception(
            "cross_moment_for_map",
            "W = A, the average of (x − b) μᵀ, is not yet the regression: multiply by "
            "C⁻¹, the inverse of the average of E[z zᵀ].",
            lambda *a: _with_map(*a, use=lambda A, C: A),
        ),
    ),
    hints=(
        "E-step: the posterior of exercise 1 gives the means μ_n and the covariance S. "
        "All that the M-step needs are averages: of (x − b) μᵀ and of E[z zᵀ].",
        "A = (x - b).T @ mean / N is (D, K); C = cov + mean.T @ mean / N is (K, K). "
        "The new W solves W C = A.",
        "sigma² = (average of ‖x − b‖² − tr(A Wᵀ)) / D with the *new* W; tr(A Wᵀ) is "
        "(A * W).sum(). Return W and the square root.",
    ),
)


def _with_map(
    x: Tensor,
    W: Tensor,
    b: Tensor,
    sigma: float,
    *,
    use: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, float]:
    """EM with another W from the averages A and C; σ is then its best partner."""
    mean, cov = _posterior(x, W, b, sigma)
    r = x - b
    M = use(r.T @ mean / len(x), cov + mean.T @ mean / len(x))
    square = ((r - mean @ M.T) ** 2).sum(1).mean() + torch.trace(M @ cov @ M.T)
    return M, float((square / len(W)).sqrt())


EXERCISES = (GAUSSIAN_POSTERIOR, GAUSSIAN_KL, ELBO_TERMS, EM_STEP)
