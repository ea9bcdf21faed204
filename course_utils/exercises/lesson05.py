"""Exercises of lesson 05: the posterior, the rate, the bound's two terms, a step of EM.

All of them live in the linear-Gaussian world: z ~ N(0, I), x = W z + b + σ · noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from course_utils.grading.criteria import (
    agrees,
    between,
    expect_no_draw,
    gradients,
    normal,
    output,
    rows_stand_alone,
)
from course_utils.grading.declare import Steps, declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.objectives import gaussian_kl
from course_utils.oracles.linear_gaussian import LinearGaussian

LOG_2PI = math.log(2 * math.pi)
LITTLE_AND_MUCH_NOISE = ((0.5, 0.75), (1.35, 1.8))  # σ, σ² and 1 differ in both
Pair = tuple[Tensor, Tensor]
WORDS = words_beside(__file__)
CLAMPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 20)  # bounds that people put on log-variances
FAR = (-0.8, -25.0, 21.0)  # levels of logvar: usual, near no variance, far above 1
F64 = torch.float64


def _world(
    generator: torch.Generator, sizes: tuple[int, int, int], sigma: tuple[float, float]
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Draw data, map, offset and noise; the data's own mean is not the offset."""
    batch, D, K = sizes
    W = 0.8 * normal(generator, D, K)
    b = 1.5 + normal(generator, D)
    noise = between(generator, *sigma, F64)
    signal = b + 0.4 + normal(generator, batch, K) @ W.T
    return signal + noise * normal(generator, batch, D), W, b, noise


def _worlds(generator: torch.Generator) -> list[Arguments]:
    sizes = ((7, 5, 3), (5, 9, 4))  # batch, data, latent: all different
    pairs = zip(sizes, LITTLE_AND_MUCH_NOISE, strict=True)
    return [_world(generator, size, sigma) for size, sigma in pairs]


def _one_latent(generator: torch.Generator) -> list[Arguments]:
    """Draw one example of a world with one latent."""
    return [_world(generator, (1, 4, 1), LITTLE_AND_MUCH_NOISE[0])]


def _clamped(size: float) -> Steps:
    return instead(logvar=lambda logvar: logvar.clamp(-size, size))


def _rows_alone(
    dims: tuple[int | None, ...], out: int | tuple[int | None, ...] = 0
) -> Criterion:
    """Build the criterion that an example's answer is its own, and nothing random."""
    alone = rows_stand_alone(dims=dims, out=out)

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            expect_no_draw(trial, arguments)
            once = trial.call(*arguments)
            if torch.allclose(once[0][0], once[0][1]):
                raise Refused("two different examples get the same answer.")
        alone.test(trial)

    return Criterion(alone.text, alone.points, test)


# --- gaussian_posterior -------------------------------------------------------------


def gaussian_posterior(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> Pair:
    """Mean (batch, K) and covariance (K, K) of p(z|x)."""
    return LinearGaussian(W, b, sigma).posterior(x)


def _eye(W: Tensor) -> Tensor:
    return torch.eye(W.shape[1], dtype=W.dtype)


def _mode_condition(trial: Trial) -> None:
    """Ask for the peak of the joint density: its gradient in z vanishes there."""
    for x, W, b, sigma in trial.inputs() + _one_latent(trial.generator):
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
    gaussian_posterior,
    _worlds,
    criteria=(
        output(0, "the mean is right", 1.5, "mean"),
        output(1, "the covariance is right", 1.5, "covariance"),
        Criterion("mean and covariance are those of the peak", 1.0, _mode_condition),
        _rows_alone((0,), out=(0, None)),
    ),
    steps={
        "centred": lambda x, b: x - b,
        "noise": lambda sigma: sigma**2,
        "gram": lambda W, noise: W.T @ W / noise,
        "precision": lambda W, gram: _eye(W) + gram,
        "linear": lambda centred, W, noise: centred @ W / noise,
        "cov": lambda precision: torch.linalg.inv(precision),
        "mean": lambda linear, cov: linear @ cov,
        "answer": lambda mean, cov: (mean, cov),
    },
    mistakes={
        "precision_returned": lambda mean, precision: (mean, precision),
        "precision_as_covariance": instead(cov=lambda precision: precision),
        "no_prior": instead(precision=lambda gram: gram),
        "prior_subtracted": instead(precision=lambda W, gram: _eye(W) - gram),
        "prior_times_noise": instead(
            precision=lambda W, gram, noise: noise * _eye(W) + gram
        ),
        "prior_over_noise": instead(
            precision=lambda W, gram, noise: _eye(W) / noise + gram
        ),
        "whole_batch": instead(gram=lambda gram, x: gram * len(x)),
        "columns_apart": instead(
            precision=lambda precision: torch.diag(precision.diag())
        ),
        "multiplied_by_precision": instead(
            mean=lambda linear, precision: linear @ precision
        ),
        "least_squares_mean": instead(
            mean=lambda centred, W: centred @ torch.linalg.pinv(W).T
        ),
        "sigma_for_variance": instead(noise=lambda sigma: sigma),
        "times_noise": instead(noise=lambda noise: 1 / noise),
        "offset_left": instead(centred=lambda x: x),
        "offset_added": instead(centred=lambda x, b: x + b),
        "batch_mean_for_offset": instead(centred=lambda x: x - x.mean(0)),
        "mean_not_over_noise": instead(mean=lambda mean, noise: mean * noise),
        "mean_over_sigma": instead(mean=lambda mean, sigma: mean * sigma),
        "mean_over_noise_twice": instead(mean=lambda mean, noise: mean / noise),
        "not_inverted": lambda mean, precision, noise: (mean, noise * precision),
        "covariance_of_data": lambda mean, W, noise: (
            mean,
            W @ W.T + noise * torch.eye(len(W), dtype=W.dtype),
        ),
        "deviations": lambda mean, cov: (mean, cov.diag().sqrt()),
        "two_forms_mixed": lambda mean, cov, noise: (mean / noise, cov / noise),
        "linear_term_for_mean": lambda linear, cov: (linear, cov),
        "noise_lost": lambda mean, cov, noise: (mean, cov / noise),
        "diagonal_inverted": lambda mean, precision: (
            mean,
            torch.diag(1 / precision.diag()),
        ),
        "only_diagonal": lambda mean, cov: (mean, torch.diag(cov.diag())),
        "entry_by_entry": instead(cov=lambda precision: 1 / precision),
        "root_of_covariance": lambda mean, cov: (mean, torch.linalg.cholesky(cov)),
        "ones_for_identity": instead(precision=lambda gram: 1 + gram),
    },
    edges=_one_latent,
)


# --- gaussian_kl --------------------------------------------------------------------


def _encodings(generator: torch.Generator) -> list[Arguments]:
    def draw(batch: int, K: int) -> Arguments:
        mu = 1.2 * normal(generator, batch, K)
        return mu, -0.6 + 0.8 * normal(generator, batch, K)

    return [draw(7, 3), draw(4, 5)]


def _far_encodings(generator: torch.Generator) -> list[Arguments]:
    """One example, one latent, at each level of its log-variance; a mean far off 0."""
    near = [(normal(generator, 1, 1), level + normal(generator, 1, 1)) for level in FAR]
    return [*near, (30 + normal(generator, 1, 1), normal(generator, 1, 1))]


def _zero_only_at_the_prior(trial: Trial) -> None:
    for mu, logvar in trial.inputs():
        zero = torch.zeros_like(mu)
        least = trial.call(zero, zero)
        expect_no_draw(trial, (mu, logvar))
        if least.abs().max() > 1e-5:
            raise Refused(
                "for q = N(0, I), the prior itself, the KL is 0; yours is "
                f"{float(least[0]):.4g} (a floor under the KL, or the −1 missing?)."
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
        what = "the parts of independent latents do not add up"
        trial.expect_close(left + right, whole, what)
        if torch.allclose(whole[0], whole[1]):
            raise Refused("two different encodings get the same KL.")


GAUSSIAN_KL = declare(
    WORDS["gaussian_kl"],
    gaussian_kl,
    _encodings,
    criteria=(
        agrees("agrees with the closed form", 2.0),
        Criterion(
            "zero at the prior, positive elsewhere", 0.5, _zero_only_at_the_prior
        ),
        Criterion("adds up over independent latents", 0.5, _adds_over_latents),
        agrees(
            "right for one example, and with no bound on logvar", 1.0, _far_encodings
        ),
        gradients("its gradient is right: no part is cut off", 1.0),
    ),
    steps={
        "square": lambda mu: mu**2,
        "var": lambda logvar: logvar.exp(),
        "log": lambda logvar: logvar,
        "spread": lambda var, log: var - log - 1,
        "terms": lambda square, spread: 0.5 * (square + spread),
        "reverse": lambda square, var, log: 0.5 * (log + (1 + square) / var - 1),
        "answer": lambda terms: terms.sum(1),
    },
    mistakes={
        "half_dropped": lambda answer: 2 * answer,
        "sign_flipped": lambda answer: -answer,
        "logvar_squared": instead(var=lambda logvar: logvar**2),
        "read_as_log_sigma": instead(logvar=lambda logvar: 2 * logvar),
        "sigma_for_variance": instead(var=lambda var: var.sqrt()),
        "logvar_for_variance": instead(var=lambda logvar: logvar),
        "log_halved": instead(log=lambda log: log / 2),
        "log_doubled": instead(log=lambda log: 2 * log),
        "mean_over_variance": instead(square=lambda square, var: square / var),
        "double_exponent": instead(var=lambda var: var**2),
        "averaged_over_latents": lambda terms: terms.mean(1),
        "averaged_over_everything": lambda terms: terms.mean(),
        "added_down_the_batch": lambda terms: terms.sum(0),
        "not_added": lambda terms: terms,
        "summed_over_batch": lambda answer: answer.sum().expand(len(answer)),
        "summed_to_one_number": lambda answer: answer.sum(),
        "mean_broadcast": lambda answer: answer.mean().expand(len(answer)),
        "averaged_to_one_number": lambda answer: answer.mean(),
        "wrong_direction": instead(terms=lambda reverse: reverse),
        "both_ways": instead(terms=lambda terms, reverse: (terms + reverse) / 2),
        "both_ways_added": instead(terms=lambda terms, reverse: terms + reverse),
        "mean_not_squared": instead(square=lambda mu: mu),
        "absolute_mean": instead(square=lambda mu: mu.abs()),
        "squared_after_sum": lambda mu, spread: 0.5 * (mu.sum(1) ** 2 + spread.sum(1)),
        "one_dropped": instead(spread=lambda spread: spread + 1),
        "one_added": instead(spread=lambda spread: spread + 2),
        "one_only_once": lambda terms: (terms + 0.5).sum(1) - 0.5,
        "log_added": instead(log=lambda log: -log),
        "half_on_mean_only": lambda square, spread: (0.5 * square + spread).sum(1),
        "half_not_on_mean": lambda square, spread: (square + 0.5 * spread).sum(1),
        "one_not_halved": instead(terms=lambda terms: terms - 0.5),
        "in_bits": lambda answer: answer / math.log(2),
        "entropy_forgotten": lambda square, var: 0.5 * (square + var).sum(1),
        "variance_forgotten": lambda square: 0.5 * square.sum(1),
        "mean_missing": instead(square=lambda: 0),
        "variance_missing": instead(var=lambda: 0),
        "log_missing": instead(log=lambda: 0),
        "variance_inverted": instead(var=lambda var: 1 / var),
        "logvar_for_variance_throughout": instead(
            var=lambda logvar: logvar, log=lambda logvar: logvar.abs().log()
        ),
        **{
            f"floor_of_{size:g}": instead(
                terms=lambda terms, size=size: terms.clamp(min=size)
            )
            for size in (0.05, 0.1, 0.2, 0.25, 0.5, 1, 2)
        },
        **{f"clamped_{size}": _clamped(size) for size in CLAMPS},
    },
    edges=_far_encodings,
    gradients=(0, 1),
)


# --- elbo_terms ---------------------------------------------------------------------


def _bounds(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for world in _worlds(generator):
        x, W = world[:2]
        mu = 0.7 * normal(generator, len(x), W.shape[1])
        drawn.append((*world, mu, -0.8 + 0.6 * normal(generator, *mu.shape)))
    return drawn


def _far_bounds(generator: torch.Generator) -> list[Arguments]:
    """One example of a world with one latent, at each level of its log-variance."""
    drawn: list[Arguments] = []
    for level in FAR:
        (world,) = _one_latent(generator)
        mu, logvar = normal(generator, 1, 1), level + normal(generator, 1, 1)
        drawn.append((*world, mu, logvar))
    return drawn


def elbo_terms(
    x: Tensor, W: Tensor, b: Tensor, sigma: float, mu: Tensor, logvar: Tensor
) -> Pair:
    """Distortion and rate of q = N(mu, diag exp(logvar)), (batch,) each, in nats."""
    distortion, rate, _ = LinearGaussian(W, b, sigma).diagonal_terms(x, mu, logvar)
    return distortion, rate


def _predictive(residual: Tensor, W: Tensor, noise: float, var: Tensor) -> Tensor:
    """−log E_q p(x|z): a Gaussian with the covariance σ²I + W diag(σ²_k) Wᵀ."""
    cov = (W * var[:, None]) @ W.T + noise * torch.eye(len(W), dtype=W.dtype)
    return -MultivariateNormal(torch.zeros_like(residual), cov).log_prob(residual)


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


ELBO_TERMS = declare(
    WORDS["elbo_terms"],
    elbo_terms,
    _bounds,
    criteria=(
        output(0, "the distortion is right", 1.0, "distortion"),
        output(1, "the rate is right", 1.0, "rate"),
        Criterion("log p(x) = −distortion − rate + gap", 0.5, _identity_holds),
        _rows_alone((0, None, None, None, 0, 0)),
        agrees("right for one example, and with no bound on logvar", 0.5, _far_bounds),
        gradients("its gradient is right: no part is cut off", 1.0),
    ),
    steps={
        "D": lambda W: len(W),
        "noise": lambda sigma: sigma**2,
        "residual": lambda x, W, b, mu: x - b - mu @ W.T,
        "square": lambda residual: (residual**2).sum(1),
        "var": lambda logvar: logvar.exp(),
        "trace": lambda W, var: var @ (W**2).sum(0),
        "error": lambda square, trace, noise: (square + trace) / (2 * noise),
        "constant": lambda D, noise: D / 2 * (LOG_2PI + math.log(noise)),
        "distortion": lambda constant, error: constant + error,
        "rate": gaussian_kl,
        "answer": lambda distortion, rate: (distortion, rate),
    },
    mistakes={
        "trace_forgotten": instead(trace=lambda: 0),
        "normaliser_dropped": instead(constant=lambda: 0),
        "squared_error": instead(distortion=lambda square: square),
        "half_squared_error": instead(distortion=lambda square: square / 2),
        "scaled_squared_error": instead(trace=lambda: 0, constant=lambda: 0),
        "log_likelihood_at_the_mean": instead(
            trace=lambda: 0, distortion=lambda distortion: -distortion
        ),
        "variance_for_scale": instead(trace=lambda: 0, sigma=lambda sigma: sigma**2),
        "constant_of_latents": instead(D=lambda W: W.shape[1]),
        "predictive_for_distortion": instead(distortion=_predictive),
        "normaliser_once": instead(D=lambda: 1),
        "two_pi_dropped": instead(constant=lambda D, noise: D / 2 * math.log(noise)),
        "log_noise_dropped": instead(constant=lambda D: D / 2 * LOG_2PI),
        "log_sigma_in_normaliser": instead(
            constant=lambda D, sigma: D / 2 * (LOG_2PI + math.log(sigma))
        ),
        "constant_without_half": instead(constant=lambda constant: 2 * constant),
        "square_without_half": instead(error=lambda error: 2 * error),
        "square_over_sigma": instead(error=lambda error, sigma: error * sigma),
        "square_not_over_noise": instead(error=lambda error, noise: error * noise),
        "trace_not_over_noise": instead(trace=lambda trace, noise: trace * noise),
        "trace_bare": instead(trace=lambda trace, noise: trace * 2 * noise),
        "trace_not_halved": instead(trace=lambda trace: 2 * trace),
        "trace_subtracted": instead(trace=lambda trace: -trace),
        "trace_with_sigma": instead(var=lambda var: var.sqrt()),
        "trace_read_as_log_sigma": instead(var=lambda var: var**2),
        "trace_of_logvar": instead(var=lambda logvar: logvar),
        "trace_of_prior": instead(trace=lambda W: (W**2).sum()),
        "trace_of_average": instead(trace=lambda W, var: (W**2).sum(0) @ var.mean(0)),
        "code_ignored": instead(residual=lambda x, b: x - b),
        "constant_subtracted": instead(constant=lambda constant: -constant),
        "error_averaged_over_data": instead(error=lambda error, D: error / D),
        "trace_without_map": instead(trace=lambda var: var.sum(1)),
        "variance_through_map": instead(trace=lambda W, var: ((var @ W.T) ** 2).sum(1)),
        "deviation_through_map": instead(
            trace=lambda W, var: ((var.sqrt() @ W.T) ** 2).sum(1)
        ),
        "averaged_over_data": instead(distortion=lambda distortion, D: distortion / D),
        "log_likelihood_returned": lambda distortion, rate: (-distortion, rate),
        "both_negative": lambda distortion, rate: (-distortion, -rate),
        "rate_negative": lambda distortion, rate: (distortion, -rate),
        "swapped": lambda distortion, rate: (rate, distortion),
        "elbo_returned": lambda distortion, rate: (distortion + rate, rate),
        "batch_mean": lambda distortion, rate: (
            distortion.mean().expand(len(distortion)),
            rate.mean().expand(len(rate)),
        ),
        "offset_left": instead(b=lambda: 0),
        "marginal_for_distortion": instead(
            distortion=lambda x, W, b, sigma: (
                -LinearGaussian(W, b, sigma).log_density(x)
            )
        ),
        "rate_without_half": instead(rate=lambda rate: 2 * rate),
        "rate_averaged": instead(rate=lambda rate, mu: rate / mu.shape[1]),
        "rate_one_missing": instead(rate=lambda rate, mu: rate + mu.shape[1] / 2),
        "rate_log_added": instead(rate=lambda rate, logvar: rate + logvar.sum(1)),
        "rate_of_mean": instead(rate=lambda mu: 0.5 * (mu**2).sum(1)),
        "rate_mean_not_squared": instead(
            rate=lambda rate, mu: rate + 0.5 * (mu - mu**2).sum(1)
        ),
        "rate_other_direction": instead(
            rate=lambda mu, logvar, var: 0.5 * (logvar + (1 + mu**2) / var - 1).sum(1)
        ),
        "gap_for_rate": instead(
            rate=lambda x, W, b, sigma, mu, logvar: (
                LinearGaussian(W, b, sigma).diagonal_terms(x, mu, logvar).gap
            )
        ),
        "rate_read_as_log_sigma": instead(
            rate=lambda mu, logvar: gaussian_kl(mu, 2 * logvar)
        ),
        **{f"clamped_{size}": _clamped(size) for size in CLAMPS},
    },
    edges=_far_bounds,
    gradients=(1, 2, 4, 5),
)


# --- em_step ------------------------------------------------------------------------


def em_step(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> tuple[Tensor, float]:
    """One step of EM for the linear-Gaussian world, b fixed: the new W and sigma.

    E-step: the posterior means μ_n and covariance S. M-step: with A the average of
    (x_n − b) μ_nᵀ and C = S + the average of μ_n μ_nᵀ, W = A C⁻¹ and
    σ² = (average of ‖x_n − b‖² − tr(A Wᵀ))/D.

    Source: M. E. Tipping and C. M. Bishop (1999), appendix B.
    """
    mean, cov = gaussian_posterior(x, W, b, sigma)
    A, C = (x - b).T @ mean / len(x), cov + mean.T @ mean / len(x)
    new_W = torch.linalg.solve(C, A, left=False)
    variance = (((x - b) ** 2).sum(1).mean() - (A * new_W).sum()) / len(W)
    return new_W, float(variance.sqrt())


def _em_worlds(generator: torch.Generator) -> list[Arguments]:
    """Draw data whose mean is not b, and parameters that are not the best ones."""
    drawn: list[Arguments] = []
    sizes = ((23, 5, 3), (31, 9, 4))
    for size, sigma in zip(sizes, LITTLE_AND_MUCH_NOISE, strict=True):
        x, _, b, _ = _world(generator, size, (0.6, 1.2))
        W = 0.8 * normal(generator, *size[1:])
        drawn.append((x, W, b, between(generator, *sigma, F64)))
    return drawn


def _em_one_latent(generator: torch.Generator) -> list[Arguments]:
    """Draw a world with one latent."""
    x, _, b, sigma = _world(generator, (17, 4, 1), LITTLE_AND_MUCH_NOISE[0])
    return [(x, 0.8 * normal(generator, 4, 1), b, sigma)]


def _least_squares(centred: Tensor, W: Tensor, noise: float) -> Pair:
    """Give the posterior that a flat prior has."""
    return centred @ torch.linalg.pinv(W).T, noise * torch.linalg.inv(W.T @ W)


def _mean_log_density(x: Tensor, W: Tensor, b: Tensor, sigma: float) -> float:
    return float(LinearGaussian(W, b, sigma).log_density(x).mean())


def _log_density_rises(trial: Trial) -> None:
    for x, W, b, sigma in trial.inputs() + _em_one_latent(trial.generator):
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
        output(0, "the new W is right", 1.5, "W"),
        output(1, "the new sigma is right", 1.5, "sigma"),
        Criterion(
            "the average log p(x) rises as far as it should", 1.0, _log_density_rises
        ),
    ),
    steps={
        "N": lambda x: len(x),
        "D": lambda W: len(W),
        "centred": lambda x, b: x - b,
        "noise": lambda sigma: sigma**2,
        "posterior": gaussian_posterior,
        "mean": lambda posterior: posterior[0],
        "S": lambda posterior: posterior[1],
        "A": lambda centred, mean, N: centred.T @ mean / N,
        "C": lambda S, mean, N: S + mean.T @ mean / N,
        "new_W": lambda A, C: torch.linalg.solve(C, A, left=False),
        # The noise: with a posterior and a map that some take from another step.
        "noise_posterior": lambda posterior: posterior,
        "noise_W": lambda new_W: new_W,
        "error": lambda centred, noise_posterior, noise_W: (
            ((centred - noise_posterior[0] @ noise_W.T) ** 2).sum(1).mean()
        ),
        "trace": lambda noise_posterior, noise_W: torch.trace(
            noise_W @ noise_posterior[1] @ noise_W.T
        ),
        "square": lambda error, trace: error + trace,
        "short_square": lambda centred, A, noise_W: (
            (centred**2).sum(1).mean() - (A * noise_W).sum()
        ),
        "short_twice": lambda centred, A, new_W: (
            (centred**2).sum(1).mean() - 2 * (A * new_W).sum()
        ),
        "new_sigma": lambda square, D: float((square / D).clamp(min=1e-12).sqrt()),
        "answer": lambda new_W, new_sigma: (new_W, new_sigma),
    },
    mistakes={
        "means_only": instead(S=lambda: 0, trace=lambda: 0),
        "covariance_missing_in_map": instead(S=lambda: 0),
        "covariance_counted_once": instead(S=lambda S, N: S / N),
        "trace_forgotten": instead(trace=lambda: 0),
        "old_map_in_noise": instead(noise_W=lambda W: W),
        "old_map_in_trace": instead(
            noise_W=lambda W: W, square=lambda short_square: short_square
        ),
        "covariance_counted_once_throughout": instead(
            S=lambda S, N: S / N, square=lambda short_square: short_square
        ),
        "trace_subtracted": instead(trace=lambda trace: -trace),
        "trace_without_map": instead(trace=lambda posterior: torch.trace(posterior[1])),
        "second_e_step": instead(
            noise_posterior=lambda x, new_W, b, sigma: gaussian_posterior(
                x, new_W, b, sigma
            )
        ),
        "divided_by_latents": instead(D=lambda W: W.shape[1]),
        "divided_twice": instead(D=lambda x: x.numel()),
        "divided_by_count": instead(D=lambda x: len(x)),
        "not_averaged": instead(D=lambda W, N: len(W) / N),
        "count_minus_one": instead(N=lambda N: N - 1),
        "count_minus_one_throughout": instead(
            N=lambda N: N - 1,
            square=lambda centred, N, A, new_W: (
                (centred**2).sum() / N - (A * new_W).sum()
            ),
        ),
        "cross_moment_summed": instead(A=lambda A, N: A * N),
        "second_moment_summed": instead(C=lambda S, mean: S + mean.T @ mean),
        "cross_term_twice": instead(
            new_sigma=lambda short_twice, D: float((short_twice / D).sqrt())
        ),
        "cross_term_twice_absolute": instead(
            new_sigma=lambda short_twice, D: float((short_twice / D).abs().sqrt())
        ),
        "variance_returned": lambda new_W, new_sigma: (new_W, new_sigma**2),
        "not_divided_by_data_size": instead(D=lambda: 1),
        "divided_by_what_is_left": instead(D=lambda W: W.shape[0] - W.shape[1]),
        "noise_kept": lambda new_W, sigma: (new_W, sigma),
        "map_kept": lambda W, new_sigma: (W, new_sigma),
        "map_kept_throughout": instead(
            noise_W=lambda W: W, answer=lambda W, new_sigma: (W, new_sigma)
        ),
        "posterior_returned": lambda posterior: posterior,
        "two_steps": lambda x, b, new_W, new_sigma: em_step(x, new_W, b, new_sigma),
        "e_step_without_prior": instead(posterior=_least_squares),
        "e_step_mean_not_over_noise": instead(
            posterior=lambda posterior, noise: (posterior[0] * noise, posterior[1])
        ),
        "e_step_without_noise": instead(
            posterior=lambda posterior, noise: (posterior[0], posterior[1] / noise)
        ),
        "e_step_precision": instead(
            posterior=lambda posterior: (posterior[0], posterior[1].inverse())
        ),
        "e_step_diagonal": instead(
            posterior=lambda posterior: (posterior[0], posterior[1].diag().diag())
        ),
        "offset_left": instead(b=lambda b: 0 * b),
        "offset_in_e_step_only": instead(A=lambda x, mean, N: x.T @ mean / N),
        "offset_in_e_step_only_short": instead(
            A=lambda x, mean, N: x.T @ mean / N,
            square=lambda short_square: short_square,
        ),
        "offset_in_m_step_only": instead(
            posterior=lambda x, W, b, sigma: gaussian_posterior(x, W, 0 * b, sigma)
        ),
        "batch_mean_for_offset": instead(b=lambda x: x.mean(0)),
        "sigma_for_variance": instead(sigma=lambda sigma: math.sqrt(sigma)),
        "not_inverted": instead(new_W=lambda A, C: A @ C),
        "cross_moment_for_map": instead(new_W=lambda A: A),
    },
    edges=_em_one_latent,
)

EXERCISES = (GAUSSIAN_POSTERIOR, GAUSSIAN_KL, ELBO_TERMS, EM_STEP)
