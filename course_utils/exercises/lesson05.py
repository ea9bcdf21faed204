"""Exercises of lesson 05: the posterior, the rate, the bound's two terms, a step of EM.

All of them live in the linear-Gaussian world: z ~ N(0, I), x = W z + b + σ · noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_utils.grading.criteria import agrees, normal
from course_utils.grading.declare import declare, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.objectives import gaussian_kl
from course_utils.oracles.linear_gaussian import LinearGaussian

WORDS = words_beside(__file__)


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
        for arguments in trial.inputs():
            got, want = trial.call(*arguments), trial.reference(*arguments)
            trial.expect_close(got[place], want[place], what)

    return Criterion(text, points, test)


def _rows_alone(rows: Callable[[Arguments, slice], Arguments]) -> Criterion:
    """Build the criterion that an example's answer is its own, and not everybody's."""

    def first(answer: object) -> list[Tensor]:
        parts = answer if isinstance(answer, tuple | list) else [answer]
        return [part for part in parts if isinstance(part, Tensor)]

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
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


def _mean_not_over_noise(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    mean, cov = _posterior(x, W, b, sigma)
    return sigma**2 * mean, cov


def _mean_over_sigma(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    mean, cov = _posterior(x, W, b, sigma)
    return sigma * mean, cov


def _two_forms_mixed(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    mean, cov = _posterior(x, W, b, sigma)
    return mean / sigma**2, cov / sigma**2


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
    for x, W, b, sigma in trial.inputs():
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


GAUSSIAN_POSTERIOR = declare(
    WORDS["gaussian_posterior"],
    _posterior,
    _worlds,
    criteria=(
        _one_of("the mean is right", 1.5, 0, "mean"),
        _one_of("the covariance is right", 1.5, 1, "covariance"),
        Criterion("mean and covariance are those of the peak", 1.0, _mode_condition),
        _rows_alone(lambda arguments, index: (arguments[0][index], *arguments[1:])),
    ),
    mistakes={
        "precision_returned": _precision_returned,
        "precision_as_covariance": _precision_as_covariance,
        "no_prior": _no_prior,
        "sigma_for_variance": lambda x, W, b, sigma: _posterior(
            x, W, b, math.sqrt(sigma)
        ),
        "times_noise": lambda x, W, b, sigma: _posterior(x, W, b, 1 / sigma),
        "offset_left": lambda x, W, b, sigma: _posterior(
            x, W, torch.zeros_like(b), sigma
        ),
        "offset_added": lambda x, W, b, sigma: _posterior(x, W, -b, sigma),
        "batch_mean_for_offset": lambda x, W, sigma: _posterior(x, W, x.mean(0), sigma),
        "mean_not_over_noise": _mean_not_over_noise,
        "mean_over_sigma": _mean_over_sigma,
        "two_forms_mixed": _two_forms_mixed,
        "linear_term_for_mean": lambda x, W, b, sigma: (
            (x - b) @ W / sigma**2,
            _posterior(x, W, b, sigma)[1],
        ),
        "noise_lost": _noise_lost,
        "diagonal_inverted": _diagonal_inverted,
        "only_diagonal": _only_diagonal,
        "entry_by_entry": _entry_by_entry,
        "root_of_covariance": _root_of_covariance,
        "ones_for_identity": _ones_for_identity,
    },
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
    for mu, logvar in trial.inputs():
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
    for mu, logvar in trial.inputs():
        left = trial.call(mu[:, :1], logvar[:, :1])
        right = trial.call(mu[:, 1:], logvar[:, 1:])
        whole = trial.call(mu, logvar)
        trial.expect_close(
            left + right, whole, "the parts of independent latents do not add up"
        )
        if torch.allclose(whole[0], whole[1]):
            raise Refused("two different encodings get the same KL.")


GAUSSIAN_KL = declare(
    WORDS["gaussian_kl"],
    gaussian_kl,
    _encodings,
    criteria=(
        agrees("agrees with the closed form", 3.0),
        Criterion(
            "zero at the prior, positive elsewhere", 1.0, _zero_only_at_the_prior
        ),
        Criterion("adds up over independent latents", 1.0, _adds_over_latents),
    ),
    mistakes={
        "half_dropped": lambda mu, logvar: _kl(mu, logvar, half=1.0).sum(1),
        "sign_flipped": lambda mu, logvar: -_kl(mu, logvar).sum(1),
        "logvar_squared": lambda mu, logvar: (
            0.5 * (mu**2 + logvar**2 - logvar - 1).sum(1)
        ),
        "read_as_log_sigma": lambda mu, logvar: _kl(mu, 2 * logvar).sum(1),
        "sigma_for_variance": lambda mu, logvar: (
            0.5 * (mu**2 + (logvar / 2).exp() - logvar - 1).sum(1)
        ),
        "logvar_for_variance": lambda mu, logvar: (
            0.5 * (mu**2 + logvar - logvar - 1).sum(1)
        ),
        "log_halved": lambda mu, logvar: (
            0.5 * (mu**2 + logvar.exp() - logvar / 2 - 1).sum(1)
        ),
        "log_doubled": lambda mu, logvar: (
            0.5 * (mu**2 + logvar.exp() - 2 * logvar - 1).sum(1)
        ),
        "mean_over_variance": lambda mu, logvar: (
            0.5 * (mu**2 / logvar.exp() + logvar.exp() - logvar - 1).sum(1)
        ),
        "double_exponent": lambda mu, logvar: (
            0.5 * (mu**2 + (2 * logvar).exp() - logvar - 1).sum(1)
        ),
        "averaged_over_latents": lambda mu, logvar: _kl(mu, logvar).mean(1),
        "summed_over_batch": lambda mu, logvar: (
            _kl(mu, logvar).sum() * torch.ones_like(mu[:, 0])
        ),
        "mean_broadcast": lambda mu, logvar: (
            _kl(mu, logvar).sum(1).mean() * torch.ones_like(mu[:, 0])
        ),
        "wrong_direction": lambda mu, logvar: (
            0.5 * (logvar + (1 + mu**2) / logvar.exp() - 1).sum(1)
        ),
        "mean_not_squared": lambda mu, logvar: (
            0.5 * (mu + logvar.exp() - logvar - 1).sum(1)
        ),
        "absolute_mean": lambda mu, logvar: (
            0.5 * (mu.abs() + logvar.exp() - logvar - 1).sum(1)
        ),
        "squared_after_sum": lambda mu, logvar: (
            0.5 * (mu.sum(1) ** 2 + (logvar.exp() - logvar - 1).sum(1))
        ),
        "one_dropped": lambda mu, logvar: _kl(mu, logvar, one=0.0).sum(1),
        "one_added": lambda mu, logvar: _kl(mu, logvar, one=-1.0).sum(1),
        "one_only_once": lambda mu, logvar: (
            0.5 * ((mu**2 + logvar.exp() - logvar).sum(1) - 1)
        ),
        "log_added": lambda mu, logvar: (
            0.5 * (mu**2 + logvar.exp() + logvar - 1).sum(1)
        ),
        "half_on_mean_only": lambda mu, logvar: (
            0.5 * mu**2 + logvar.exp() - logvar - 1
        ).sum(1),
        "in_bits": lambda mu, logvar: _kl(mu, logvar).sum(1) / math.log(2),
        "entropy_forgotten": lambda mu, logvar: 0.5 * (mu**2 + logvar.exp()).sum(1),
        "variance_forgotten": lambda mu: 0.5 * (mu**2).sum(1),
    },
    tolerance=1e-07,
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
    for arguments in trial.inputs():
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


ELBO_TERMS = declare(
    WORDS["elbo_terms"],
    _terms,
    _bounds,
    criteria=(
        _one_of("the distortion is right", 2.0, 0, "distortion"),
        _one_of("the rate is right", 1.0, 1, "rate"),
        Criterion("log p(x) = −distortion − rate + gap", 1.0, _identity_holds),
        _rows_alone(_first_rows),
    ),
    mistakes={
        "trace_forgotten": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: _normaliser(D, sigma) + s / 2 / sigma**2
        )(x, W, b, sigma, mu, logvar),
        "normaliser_dropped": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: (s + t) / 2 / sigma**2
        )(x, W, b, sigma, mu, logvar),
        "squared_error": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: s
        )(x, W, b, sigma, mu, logvar),
        "half_squared_error": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: s / 2
        )(x, W, b, sigma, mu, logvar),
        "scaled_squared_error": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: s / 2 / sigma**2
        )(x, W, b, sigma, mu, logvar),
        "log_likelihood_at_the_mean": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: -_normaliser(D, sigma) - s / 2 / sigma**2
        )(x, W, b, sigma, mu, logvar),
        "variance_for_scale": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: _normaliser(D, sigma**2) + s / 2 / sigma**4
        )(x, W, b, sigma, mu, logvar),
        "constant_of_latents": _constant_of_latents,
        "predictive_for_distortion": _predictive_for_distortion,
        "normaliser_once": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: _normaliser(1, sigma) + (s + t) / 2 / sigma**2
        )(x, W, b, sigma, mu, logvar),
        "two_pi_dropped": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: D * math.log(sigma) + (s + t) / 2 / sigma**2
        )(x, W, b, sigma, mu, logvar),
        "log_noise_dropped": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: D / 2 * LOG_2PI + (s + t) / 2 / sigma**2
        )(x, W, b, sigma, mu, logvar),
        "log_sigma_in_normaliser": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: (
                D / 2 * (LOG_2PI + math.log(sigma)) + (s + t) / 2 / sigma**2
            )
        )(x, W, b, sigma, mu, logvar),
        "constant_without_half": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: 2 * _normaliser(D, sigma) + (s + t) / 2 / sigma**2
        )(x, W, b, sigma, mu, logvar),
        "square_without_half": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: _normaliser(D, sigma) + (s + t) / sigma**2
        )(x, W, b, sigma, mu, logvar),
        "square_over_sigma": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: _normaliser(D, sigma) + (s + t) / 2 / sigma
        )(x, W, b, sigma, mu, logvar),
        "square_not_over_noise": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: _normaliser(D, sigma) + (s + t) / 2
        )(x, W, b, sigma, mu, logvar),
        "trace_not_over_noise": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: _normaliser(D, sigma) + s / 2 / sigma**2 + t / 2
        )(x, W, b, sigma, mu, logvar),
        "trace_bare": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: _normaliser(D, sigma) + s / 2 / sigma**2 + t
        )(x, W, b, sigma, mu, logvar),
        "trace_not_halved": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: _normaliser(D, sigma) + (s / 2 + t) / sigma**2
        )(x, W, b, sigma, mu, logvar),
        "trace_subtracted": lambda x, W, b, sigma, mu, logvar: _distorted(
            lambda s, t, D, sigma: _normaliser(D, sigma) + (s - t) / 2 / sigma**2
        )(x, W, b, sigma, mu, logvar),
        "trace_with_sigma": lambda x, W, b, sigma, mu, logvar: _distorted(
            _exact, variance=lambda logvar: (logvar / 2).exp()
        )(x, W, b, sigma, mu, logvar),
        "trace_read_as_log_sigma": lambda x, W, b, sigma, mu, logvar: _distorted(
            _exact, variance=lambda logvar: (2 * logvar).exp()
        )(x, W, b, sigma, mu, logvar),
        "trace_of_logvar": lambda x, W, b, sigma, mu, logvar: _distorted(
            _exact, variance=lambda logvar: logvar
        )(x, W, b, sigma, mu, logvar),
        "trace_without_map": _trace_without_map,
        "variance_through_map": _variance_through_map,
        "deviation_through_map": _deviation_through_map,
        "averaged_over_data": _averaged_over_data,
        "log_likelihood_returned": lambda x, W, b, sigma, mu, logvar: _after(
            lambda distortion, rate: (-distortion, rate)
        )(x, W, b, sigma, mu, logvar),
        "both_negative": lambda x, W, b, sigma, mu, logvar: _after(
            lambda distortion, rate: (-distortion, -rate)
        )(x, W, b, sigma, mu, logvar),
        "rate_negative": lambda x, W, b, sigma, mu, logvar: _after(
            lambda distortion, rate: (distortion, -rate)
        )(x, W, b, sigma, mu, logvar),
        "swapped": lambda x, W, b, sigma, mu, logvar: _after(
            lambda distortion, rate: (rate, distortion)
        )(x, W, b, sigma, mu, logvar),
        "elbo_returned": lambda x, W, b, sigma, mu, logvar: _after(
            lambda distortion, rate: (distortion + rate, rate)
        )(x, W, b, sigma, mu, logvar),
        "batch_mean": lambda x, W, b, sigma, mu, logvar: _after(
            lambda distortion, rate: (
                distortion.mean().expand(len(distortion)).clone(),
                rate.mean().expand(len(rate)).clone(),
            )
        )(x, W, b, sigma, mu, logvar),
        "offset_left": lambda x, W, b, sigma, mu, logvar: _terms(
            x, W, torch.zeros_like(b), sigma, mu, logvar
        ),
        "marginal_for_distortion": _marginal_for_distortion,
        "rate_without_half": lambda x, W, b, sigma, mu, logvar: _rated(
            lambda mu, logvar: 2 * gaussian_kl(mu, logvar)
        )(x, W, b, sigma, mu, logvar),
        "rate_averaged": lambda x, W, b, sigma, mu, logvar: _rated(
            lambda mu, logvar: gaussian_kl(mu, logvar) / mu.shape[1]
        )(x, W, b, sigma, mu, logvar),
        "rate_read_as_log_sigma": lambda x, W, b, sigma, mu, logvar: _rated(
            lambda mu, logvar: gaussian_kl(mu, 2 * logvar)
        )(x, W, b, sigma, mu, logvar),
    },
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
    for x, W, b, sigma in trial.inputs():
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


EM_STEP = declare(
    WORDS["em_step"],
    em_step,
    _em_worlds,
    criteria=(
        _one_of("the new W is right", 1.5, 0, "W"),
        _one_of("the new sigma is right", 1.5, 1, "sigma"),
        Criterion(
            "the average log p(x) rises as far as it should", 1.0, _log_density_rises
        ),
    ),
    mistakes={
        "means_only": lambda x, W, b, sigma: _em(
            x, W, b, sigma, covariance=0.0, trace=False
        ),
        "covariance_missing_in_map": lambda x, W, b, sigma: _em(
            x, W, b, sigma, covariance=0.0
        ),
        "covariance_counted_once": lambda x, W, b, sigma: _em(
            x, W, b, sigma, covariance=1 / len(x)
        ),
        "trace_forgotten": lambda x, W, b, sigma: _em(x, W, b, sigma, trace=False),
        "old_map_in_noise": lambda x, W, b, sigma: _em(x, W, b, sigma, old_map=True),
        "old_map_in_trace": _old_map_in_trace,
        "covariance_counted_once_throughout": _covariance_counted_once_throughout,
        "trace_without_map": _trace_without_map_in_noise,
        "second_e_step": _second_e_step,
        "divided_by_latents": lambda x, W, b, sigma: _em(
            x, W, b, sigma, divide_by=W.shape[1]
        ),
        "divided_twice": lambda x, W, b, sigma: _em(
            x, W, b, sigma, divide_by=x.numel()
        ),
        "variance_returned": lambda x, W, b, sigma: (
            em_step(x, W, b, sigma)[0],
            em_step(x, W, b, sigma)[1] ** 2,
        ),
        "not_divided_by_data_size": lambda x, W, b, sigma: _em(
            x, W, b, sigma, divide_by=1
        ),
        "divided_by_what_is_left": lambda x, W, b, sigma: _em(
            x, W, b, sigma, divide_by=W.shape[0] - W.shape[1]
        ),
        "noise_kept": lambda x, W, b, sigma: (em_step(x, W, b, sigma)[0], sigma),
        "map_kept": lambda x, W, b, sigma: (W.clone(), em_step(x, W, b, sigma)[1]),
        "offset_left": lambda x, W, b, sigma: em_step(x, W, torch.zeros_like(b), sigma),
        "batch_mean_for_offset": lambda x, W, sigma: em_step(x, W, x.mean(0), sigma),
        "sigma_for_variance": lambda x, W, b, sigma: _em(
            x, W, b, sigma, e_sigma=math.sqrt(sigma)
        ),
        "not_inverted": lambda x, W, b, sigma: _with_map(
            x, W, b, sigma, use=lambda A, C: A @ C
        ),
        "cross_moment_for_map": lambda x, W, b, sigma: _with_map(
            x, W, b, sigma, use=lambda A, C: A
        ),
    },
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
