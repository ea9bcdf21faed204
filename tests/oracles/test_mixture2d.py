"""The mixture's densities, scores and denoisers, against scipy and quadrature."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.oracles.mixture2d import GaussianMixture, smoothed_score, three_blobs


def points(count, seed, D=2):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(count, D, generator=generator, dtype=torch.float64)


def in_three_dimensions():
    roots = points(12, 1, 3).view(4, 3, 3)
    return GaussianMixture(
        weights=torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64),
        means=points(4, 0, 3),
        covariances=roots @ roots.mT + 0.1 * torch.eye(3),
    )


@pytest.mark.parametrize("mixture", [three_blobs(), in_three_dimensions()])
@pytest.mark.parametrize("sigma", [0.0, 0.4])
def test_density_is_scipys(mixture, sigma):
    D = mixture.means.shape[1]
    x = points(20, 2, D)
    want = sum(
        w * scipy.stats.multivariate_normal(m, c + sigma**2 * np.eye(D)).pdf(x)
        for w, m, c in zip(
            mixture.weights.numpy(),
            mixture.means.numpy(),
            mixture.covariances.numpy(),
            strict=True,
        )
    )
    assert np.abs(mixture.log_density(x, sigma).exp().numpy() / want - 1).max() < 1e-10


@pytest.mark.parametrize("mixture", [three_blobs(), in_three_dimensions()])
def test_score_is_the_gradient_of_the_log_density(mixture):
    x = points(30, 3, mixture.means.shape[1]).requires_grad_()
    for sigma in (0.0, 0.5):
        want = torch.autograd.grad(mixture.log_density(x, sigma).sum(), x)[0]
        assert torch.allclose(mixture.score(x.detach(), sigma), want, atol=1e-10)


def test_posterior_mean_is_the_integral_over_clean_points():
    mixture, sigma = three_blobs(), 0.5
    axis = torch.linspace(-6, 6, 601, dtype=torch.float64)
    clean = torch.cartesian_prod(axis, axis)
    prior = mixture.log_density(clean)
    for x in points(5, 4):
        weight = torch.softmax(prior - ((clean - x) ** 2).sum(1) / (2 * sigma**2), 0)
        want = weight @ clean
        got = mixture.posterior_mean(x[None], sigma)[0]
        assert torch.allclose(got, want, atol=1e-8)


@given(st.integers(0, 50), st.floats(0.05, 3.0))
def test_residual_of_the_best_denoiser_is_the_smoothed_score(seed, sigma):
    mixture, x = in_three_dimensions(), points(10, seed, 3)
    residual = (mixture.posterior_mean(x, sigma) - x) / sigma**2
    score = mixture.score(x, sigma)
    assert (residual - score).abs().max() <= 1e-10 * max(1.0, score.abs().max().item())


def test_samples_have_the_mixtures_moments():
    mixture, count = three_blobs(), 200_000
    x = mixture.sample(count, seed=0)
    mean = mixture.weights @ mixture.means
    off = mixture.means - mean
    parts = mixture.covariances + off[:, :, None] * off[:, None]
    cov = (mixture.weights[:, None, None] * parts).sum(0)
    assert (x.mean(0) - mean).abs().max() < 5 * (cov.trace() / count).sqrt()
    assert torch.allclose(torch.cov(x.T), cov, atol=0.03)
    assert torch.equal(mixture.sample(5, seed=3), mixture.sample(5, seed=3))


def test_smoothed_points_are_a_mixture_of_equal_needles():
    data, x, sigma = points(6, 5, 3), points(9, 6, 3).requires_grad_(), 0.7
    square = ((x[:, None] - data) ** 2).sum(2)
    log_density = torch.logsumexp(-square / (2 * sigma**2), 1)
    want = torch.autograd.grad(log_density.sum(), x)[0]
    assert torch.allclose(smoothed_score(x.detach(), data, sigma), want, atol=1e-12)


def test_bad_arguments_are_named():
    good = three_blobs()
    with pytest.raises(ValueError, match="sum to 1"):
        GaussianMixture(2 * good.weights, good.means, good.covariances)
    with pytest.raises(ValueError, match="expected \\(M,\\)"):
        GaussianMixture(good.weights[:2], good.means, good.covariances)
    with pytest.raises(ValueError, match="positive definite"):
        GaussianMixture(good.weights, good.means, -good.covariances)
    with pytest.raises(ValueError, match=r"expected \(N, 2\)"):
        good.score(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="sigma is -1"):
        good.score(torch.zeros(3, 2).double(), -1.0)
    with pytest.raises(ValueError, match="above 0"):
        smoothed_score(torch.zeros(1, 2), torch.zeros(1, 2), 0.0)
    with pytest.raises(ValueError, match=r"expected \(M, D\)"):
        smoothed_score(torch.zeros(1, 2), torch.zeros(1, 3), 1.0)
