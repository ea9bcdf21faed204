"""Lesson 05's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch
from torch import distributions

from course_utils.exercises import lesson05
from course_utils.exercises.lesson05 import em_step
from course_utils.oracles.linear_gaussian import LinearGaussian, maximum_likelihood


def posterior_by_inverse(x, W, b, sigma):
    precision = torch.eye(W.shape[1]) + W.T @ W / sigma**2  # float32 identity
    cov = torch.linalg.inv(precision)
    return (x - b) @ W @ cov / sigma**2, cov


def posterior_by_joint(x, W, b, sigma):
    """The conditional of the joint Gaussian of (z, x): D × D matrices."""
    K, D = W.shape[1], W.shape[0]
    gain = W.T @ torch.linalg.inv(W @ W.T + sigma**2 * torch.eye(D, dtype=x.dtype))
    return (gain @ (x - b).T).T, torch.eye(K, dtype=x.dtype) - gain @ W


def posterior_by_bishop(x, W, b, sigma):
    M = W.T @ W + sigma**2 * torch.eye(W.shape[1], dtype=W.dtype)
    mean = torch.stack([torch.linalg.solve(M, W.T @ (row - b)) for row in x])
    return mean, sigma**2 * torch.linalg.inv(M)


def posterior_by_ridge(x, W, b, sigma):
    """Least squares with K more rows, one for each latent's prior."""
    K = W.shape[1]
    tall = torch.cat([W / sigma, torch.eye(K, dtype=W.dtype)])
    right = torch.cat([(x - b) / sigma, torch.zeros(len(x), K, dtype=x.dtype)], 1)
    solution = torch.linalg.lstsq(tall, right.T).solution
    return [solution.T, torch.linalg.inv(tall.T @ tall)]


def posterior_by_numpy(x, W, b, sigma):
    W_, r = W.numpy(), (x - b).numpy()
    cov = np.linalg.inv(np.eye(W_.shape[1]) + W_.T @ W_ / sigma**2)
    return torch.tensor(r @ W_ @ cov / sigma**2), torch.tensor(cov)


def kl_by_formula(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)


def kl_by_torch(mu, logvar):
    q = distributions.Normal(mu, (logvar / 2).exp())
    p = distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return distributions.kl_divergence(q, p).sum(dim=-1)


def kl_by_matrices(mu, logvar):
    q = distributions.MultivariateNormal(mu, torch.diag_embed(logvar.exp()))
    zero = torch.zeros(mu.shape[1], dtype=mu.dtype)
    eye = torch.eye(mu.shape[1], dtype=mu.dtype)
    return distributions.kl_divergence(q, distributions.MultivariateNormal(zero, eye))


def kl_by_entropy(mu, logvar):
    K = mu.shape[1]
    cross = 0.5 * (mu.square() + logvar.exp()).sum(1) + K / 2 * math.log(2 * math.pi)
    return cross - 0.5 * (logvar + math.log(2 * math.pi * math.e)).sum(1)


def terms_by_formula(x, W, b, sigma, mu, logvar):
    square = ((x - b - mu @ W.T) ** 2).sum(1) + logvar.exp() @ (W**2).sum(0)
    constant = x.shape[1] / 2 * math.log(2 * math.pi * sigma**2)
    return constant + square / (2 * sigma**2), kl_by_formula(mu, logvar)


def terms_by_trace(x, W, b, sigma, mu, logvar):
    distortion = []
    for row, m, v in zip(x, mu, logvar, strict=True):
        log_p = distributions.Normal(W @ m + b, sigma).log_prob(row).sum()
        spread = torch.trace(W @ torch.diag(v.exp()) @ W.T)
        distortion.append(-log_p + spread / (2 * sigma**2))
    return torch.stack(distortion), kl_by_torch(mu, logvar)


def terms_by_dimensions(x, W, b, sigma, mu, logvar):
    """Each dimension of W z is a Gaussian with a mean and a variance of its own."""
    error = x - (mu @ W.T + b)
    variance = logvar.exp() @ (W**2).T  # (batch, D)
    per_dimension = 0.5 * (
        math.log(2 * math.pi) + 2 * math.log(sigma) + (error**2 + variance) / sigma**2
    )
    return [per_dimension.sum(1), kl_by_entropy(mu, logvar)]


def terms_by_expansion(x, W, b, sigma, mu, logvar):
    """E‖r − W z‖² = ‖r‖² − 2 rᵀWμ + tr(WᵀW E[z zᵀ])."""
    r = x - b
    second = torch.diag_embed(logvar.exp()) + mu[:, :, None] * mu[:, None, :]
    square = (r**2).sum(1) - 2 * ((r @ W) * mu).sum(1) + (W.T @ W * second).sum((1, 2))
    constant = len(W) * (0.5 * math.log(2 * math.pi) + math.log(sigma))
    return square / (2 * sigma**2) + constant, kl_by_formula(mu, logvar)


def em_by_moments(x, W, b, sigma):
    mean, cov = posterior_by_inverse(x, W, b, sigma)
    A = (x - b).T @ mean
    new_W = A @ torch.linalg.inv(len(x) * cov + mean.T @ mean)
    square = ((x - b) ** 2).sum() - (A * new_W).sum()
    return new_W, (square / x.numel()).sqrt()


def em_by_expected_square(x, W, b, sigma):
    mean, cov = posterior_by_joint(x, W, b, sigma)
    second = sum(cov + torch.outer(m, m) for m in mean)
    cross = sum(torch.outer(row - b, m) for row, m in zip(x, mean, strict=True))
    new_W = torch.linalg.solve(second, cross.T).T
    error = ((x - b - mean @ new_W.T) ** 2).sum()
    error = error + len(x) * torch.trace(new_W @ cov @ new_W.T)
    return new_W, math.sqrt(error / len(x) / x.shape[1])


def em_by_covariance(x, W, b, sigma):
    """In terms of the second moment of the data alone (Tipping and Bishop, 1999)."""
    S = (x - b).T @ (x - b) / len(x)
    K = W.shape[1]
    M = W.T @ W + sigma**2 * torch.eye(K, dtype=x.dtype)
    inner = sigma**2 * torch.eye(K, dtype=x.dtype) + torch.linalg.solve(M, W.T @ S @ W)
    new_W = S @ W @ torch.linalg.inv(inner)
    rest = S - S @ W @ torch.linalg.inv(M) @ new_W.T
    return [new_W, (torch.trace(rest) / len(S)) ** 0.5]


RIGHT = {
    "gaussian_posterior": (
        posterior_by_inverse,
        posterior_by_joint,
        posterior_by_bishop,
        posterior_by_ridge,
        posterior_by_numpy,
    ),
    "gaussian_kl": (
        kl_by_formula,
        kl_by_torch,
        kl_by_matrices,
        kl_by_entropy,
    ),
    "elbo_terms": (
        terms_by_formula,
        terms_by_trace,
        terms_by_dimensions,
        terms_by_expansion,
    ),
    "em_step": (em_by_moments, em_by_expected_square, em_by_covariance),
}


def plugged_in_mean(x, W, b, sigma, mu, logvar):
    decoded = distributions.Normal(mu @ W.T + b, sigma)
    return -decoded.log_prob(x).sum(1), kl_by_torch(mu, logvar)


def kl_with_a_scalar_for_all(mu, logvar):
    return kl_by_formula(mu, logvar).sum().repeat(len(mu))


def kl_at_log_sigma(mu, logvar):
    var = torch.exp(logvar) ** 2
    return 0.5 * (mu**2 + var - torch.log(var) - 1).sum(1)


def posterior_after_bishop_in_haste(x, W, b, sigma):
    M = W.T @ W + sigma**2 * torch.eye(W.shape[1])
    return (x - b) @ W @ torch.linalg.inv(M).T, torch.linalg.inv(M)


def em_as_two_regressions(x, W, b, sigma):
    mean, _ = posterior_by_joint(x, W, b, sigma)
    new_W = torch.linalg.lstsq(mean, x - b).solution.T
    return new_W, (x - b - mean @ new_W.T).square().mean().sqrt()


def decoder_with_variance_as_scale(x, W, b, sigma, mu, logvar):
    decoded = distributions.Normal(mu @ W.T + b, sigma**2)
    return -decoded.log_prob(x).sum(1), kl_by_torch(mu, logvar)


def decoder_averaged_before_the_log(x, W, b, sigma, mu, logvar):
    spread = torch.einsum("dk,nk,ek->nde", W, logvar.exp(), W)
    noise = sigma**2 * torch.eye(len(W), dtype=W.dtype)
    averaged = distributions.MultivariateNormal(mu @ W.T + b, spread + noise)
    return -averaged.log_prob(x), kl_by_torch(mu, logvar)


def error_sum_of_squares(x, W, b, sigma, mu, logvar):
    x_hat = mu @ W.T + b
    loss = torch.nn.functional.mse_loss(x_hat, x, reduction="none").sum(1)
    return loss, kl_by_formula(mu, logvar)


def kl_with_log_sigma(mu, logvar):
    sigma = (logvar / 2).exp()
    return 0.5 * (mu**2 + sigma**2 - sigma.log() - 1).sum(1)


def em_with_a_fresh_posterior_for_the_noise(x, W, b, sigma):
    new_W, _ = em_by_moments(x, W, b, sigma)
    mean, cov = posterior_by_joint(x, new_W, b, sigma)
    error = ((x - b - mean @ new_W.T) ** 2).sum(1).mean()
    return new_W, ((error + torch.trace(new_W @ cov @ new_W.T)) / x.shape[1]).sqrt()


def em_with_sums_and_one_covariance(x, W, b, sigma):
    mean, cov = posterior_by_joint(x, W, b, sigma)
    A, C = (x - b).T @ mean, cov + mean.T @ mean
    new_W = A @ torch.linalg.inv(C)
    return new_W, ((((x - b) ** 2).sum() - (A * new_W).sum()) / x.numel()).sqrt()


def one_sample(x, W, b, sigma, mu, logvar):
    z = mu + (logvar / 2).exp() * torch.randn_like(mu)
    decoded = distributions.Normal(z @ W.T + b, sigma)
    return -decoded.log_prob(x).sum(1), kl_by_torch(mu, logvar)


def kl_by_loops(mu, logvar):
    result = []
    for m, v in zip(mu.tolist(), logvar.tolist(), strict=True):
        parts = [a * a + math.exp(c) - c - 1 for a, c in zip(m, v, strict=True)]
        result.append(0.5 * sum(parts))
    return torch.tensor(result, dtype=mu.dtype)


def kl_of_some(cut):
    """Build a KL whose gradient in one argument is cut off."""
    return lambda mu, logvar: kl_by_formula(
        mu.detach() if cut == "mu" else mu,
        logvar.detach() if cut == "logvar" else logvar,
    )


def kl_with_bounds(mu, logvar):
    return kl_by_torch(mu, torch.clamp(logvar, -10, 10))


def kl_with_free_bits(mu, logvar):
    per_latent = (mu.square() + logvar.exp() - logvar - 1) / 2
    return torch.maximum(per_latent, torch.full_like(per_latent, 0.25)).sum(1)


def kl_with_one_floor(mu, logvar):
    return kl_by_formula(mu, logvar).clamp(min=0.3)


def kl_squeezed(mu, logvar):
    return kl_by_formula(mu, logvar).squeeze()


def kl_from_a_draw(mu, logvar):
    q = distributions.Normal(mu, (logvar / 2).exp())
    z = q.rsample()
    return (q.log_prob(z) + z**2 / 2 + 0.5 * math.log(2 * math.pi)).sum(1)


def kl_of_a_loss_function(mu, logvar):
    return -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


def kl_with_half_in_the_wrong_place(mu, logvar):
    return mu.square().sum(1) + 0.5 * (logvar.exp() - logvar - 1).sum(1)


def posterior_of_the_batch(x, W, b, sigma):
    precision = torch.eye(W.shape[1], dtype=W.dtype) + len(x) * W.T @ W / sigma**2
    cov = precision.inverse()
    return (x - b) @ W @ cov / sigma**2, cov


def posterior_of_each_latent(x, W, b, sigma):
    variance = 1 / (1 + (W**2).sum(0) / sigma**2)
    return (x - b) @ W * variance / sigma**2, variance.diag_embed()


def posterior_with_noise_in_both(x, W, b, sigma):
    K = W.shape[1]
    cov = torch.linalg.inv(sigma**2 * torch.eye(K) + W.T @ W / sigma**2)
    return (x - b) @ W @ cov / sigma**2, cov


def posterior_squeezed(x, W, b, sigma):
    mean, cov = posterior_by_bishop(x, W, b, sigma)
    return mean.squeeze(), cov


def terms_partly_detached(x, W, b, sigma, mu, logvar):
    distortion, _ = terms_by_formula(x, W, b, sigma, mu.detach(), logvar.detach())
    return distortion, kl_by_torch(mu, logvar)


def terms_with_decoder_detached(x, W, b, sigma, mu, logvar):
    return terms_by_formula(x, W.detach(), b, sigma, mu, logvar)


def terms_with_prior_spread(x, W, b, sigma, mu, logvar):
    return terms_by_formula(x, W, b, sigma, mu, 0 * logvar)[0], kl_by_torch(mu, logvar)


def terms_with_average_spread(x, W, b, sigma, mu, logvar):
    average = logvar.exp().mean(0).log().expand_as(logvar)
    distortion, _ = terms_by_formula(x, W, b, sigma, mu, average)
    return distortion, kl_by_torch(mu, logvar)


def terms_squeezed(x, W, b, sigma, mu, logvar):
    return [t.squeeze() for t in terms_by_formula(x, W, b, sigma, mu, logvar)]


def em_twice(x, W, b, sigma):
    W, sigma = em_by_moments(x, W, b, sigma)
    return em_by_moments(x, W, b, float(sigma))


def em_from_least_squares(x, W, b, sigma):
    mean = torch.linalg.lstsq(W, (x - b).T).solution.T
    second = sigma**2 * torch.linalg.inv(W.T @ W) + mean.T @ mean / len(x)
    A = (x - b).T @ mean / len(x)
    new_W = A @ second.inverse()
    square = ((x - b) ** 2).sum() / len(x) - (A * new_W).sum()
    return new_W, (square / x.shape[1]).sqrt()


def em_over_examples(x, W, b, sigma):
    new_W, new_sigma = em_by_moments(x, W, b, sigma)
    return new_W, new_sigma * math.sqrt(x.shape[1] / len(x))


def em_forgets_the_offset_once(x, W, b, sigma):
    mean, cov = posterior_by_joint(x, W, b, sigma)
    second = cov + mean.T @ mean / len(x)
    new_W = x.T @ mean / len(x) @ second.inverse()
    error = ((x - b - mean @ new_W.T) ** 2).sum(1).mean()
    return new_W, ((error + torch.trace(new_W @ cov @ new_W.T)) / x.shape[1]).sqrt()


NAMED = (
    ("gaussian_posterior", posterior_of_the_batch, "whole_batch"),
    ("gaussian_posterior", posterior_of_each_latent, "columns_apart"),
    ("gaussian_posterior", posterior_with_noise_in_both, "prior_times_noise"),
    ("gaussian_kl", kl_with_bounds, "clamped_10"),
    ("gaussian_kl", kl_with_free_bits, "floor_of_0.25"),
    ("gaussian_kl", kl_of_a_loss_function, "averaged_over_everything"),
    ("gaussian_kl", kl_with_half_in_the_wrong_place, "half_not_on_mean"),
    ("elbo_terms", terms_with_prior_spread, "trace_of_prior"),
    ("elbo_terms", terms_with_average_spread, "trace_of_average"),
    ("em_step", em_twice, "two_steps"),
    ("em_step", em_from_least_squares, "e_step_without_prior"),
    ("em_step", em_over_examples, "divided_by_count"),
    ("em_step", em_forgets_the_offset_once, "offset_in_e_step_only"),
    ("gaussian_posterior", posterior_after_bishop_in_haste, "noise_lost"),
    ("gaussian_kl", kl_with_log_sigma, "log_halved"),
    ("gaussian_kl", kl_with_a_scalar_for_all, "summed_over_batch"),
    ("gaussian_kl", kl_at_log_sigma, "read_as_log_sigma"),
    ("elbo_terms", decoder_with_variance_as_scale, "variance_for_scale"),
    ("elbo_terms", decoder_averaged_before_the_log, "predictive_for_distortion"),
    ("elbo_terms", error_sum_of_squares, "squared_error"),
    ("elbo_terms", plugged_in_mean, "trace_forgotten"),
    ("elbo_terms", one_sample, None),
    ("em_step", em_with_a_fresh_posterior_for_the_noise, "second_e_step"),
    ("em_step", em_with_sums_and_one_covariance, "covariance_counted_once_throughout"),
    ("em_step", em_as_two_regressions, "means_only"),
)

EXERCISES = {exercise.name: exercise for exercise in lesson05.EXERCISES}
CUT_OFF = (
    ("gaussian_kl", kl_of_some("mu"), "no gradient reaches mu"),
    ("gaussian_kl", kl_of_some("logvar"), "no gradient reaches logvar"),
    ("gaussian_kl", kl_by_loops, "no gradient reaches mu"),
    ("elbo_terms", terms_partly_detached, "the gradient in mu"),
    ("elbo_terms", terms_with_decoder_detached, "no gradient reaches W"),
)
SAYS = (
    *CUT_OFF,
    ("gaussian_kl", kl_with_one_floor, "a floor under the KL"),
    ("gaussian_kl", kl_from_a_draw, "drawn at random"),
    ("gaussian_kl", kl_squeezed, "axes of length 1"),
    ("gaussian_posterior", posterior_squeezed, "axes of length 1"),
    ("elbo_terms", terms_squeezed, "axes of length 1"),
    ("elbo_terms", one_sample, "drawn at random"),
)


def no_posterior(x, W, b, sigma):
    return x[:, : W.shape[1]] * 0, torch.eye(W.shape[1], dtype=x.dtype)


def no_kl(mu, logvar):
    return mu[:, 0] * 0


def no_terms(x, W, b, sigma, mu, logvar):
    return x[:, 0] * 0, x[:, 0] * 0


def no_step(x, W, b, sigma):
    return W.clone(), sigma


def only_distortion(x, W, b, sigma, mu, logvar):
    distortion, rate = terms_by_formula(x, W, b, sigma, mu, logvar)
    return distortion, torch.zeros_like(rate)


ROWS = (
    ("gaussian_posterior", no_posterior, 4 * (False,)),
    ("gaussian_kl", no_kl, 5 * (False,)),
    ("elbo_terms", no_terms, 6 * (False,)),
    ("em_step", no_step, 3 * (False,)),
    ("elbo_terms", only_distortion, (True, False, False, True, False, False)),
    ("gaussian_kl", kl_with_bounds, (True, True, True, False, True)),
    ("gaussian_kl", kl_squeezed, (True, True, True, False, False)),
    ("gaussian_posterior", posterior_squeezed, (True, True, False, False)),
    *(
        (name, answer, (len(EXERCISES[name].criteria) - 1) * (True,) + (False,))
        for name, answer, _ in CUT_OFF
    ),
)


def most_likely(x, K):
    return maximum_likelihood(x.mean(0), torch.cov(x.T, correction=0), K)


def em_stays_at_the_maximum(x, W, b, sigma):
    best = most_likely(x, W.shape[1])
    new_W, new_sigma = em_step(x, best.W, best.b, float(best.sigma))
    same_W = torch.allclose(new_W, best.W, atol=1e-10)
    return same_W and abs(new_sigma - float(best.sigma)) < 1e-10


def em_climbs_to_the_maximum(x, W, b, sigma):
    best = most_likely(x, W.shape[1])
    top, before = best.log_density(x).mean(), -math.inf
    for _ in range(2000):
        now = LinearGaussian(W, best.b, sigma).log_density(x).mean()
        if now < before - 1e-12:
            return False
        if abs(top - now) < 1e-9:
            return True
        W, sigma = em_step(x, W, best.b, sigma)
        before = now
    return False


INPUTS = (
    ("em_step", em_stays_at_the_maximum),
    ("em_step", em_climbs_to_the_maximum),
)
