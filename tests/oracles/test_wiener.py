"""Wiener filter, its loss, and the conditional mean, against independent answers."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.oracles.pca import optimal_loss
from course_utils.oracles.wiener import (
    best_linear_loss,
    conditional_mean,
    linear_denoising_loss,
    wiener_filter,
)


def normal(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def covariance(seed, D):
    root = normal(seed, D, D + 3)
    return root @ root.T / (D + 3)


def test_one_dimension_by_hand():
    A = wiener_filter(torch.tensor([[4.0]], dtype=torch.float64), 1.0)
    assert A.item() == pytest.approx(0.8)


def test_it_is_the_minimum_that_scipy_finds():
    cov, sigma, D = covariance(0, 4), 0.7, 4

    def loss(flat):
        A = torch.tensor(flat).view(D, D).requires_grad_()
        value = linear_denoising_loss(A, cov, sigma)
        return value.item(), torch.autograd.grad(value, A)[0].flatten().numpy()

    found = scipy.optimize.minimize(loss, np.zeros(D * D), jac=True, tol=1e-12)
    want = wiener_filter(cov, sigma)
    assert np.abs(found.x.reshape(D, D) - want.numpy()).max() < 1e-6
    assert found.fun == pytest.approx(best_linear_loss(cov, sigma, D).item(), rel=1e-9)


def test_it_is_the_least_squares_map_from_noisy_to_clean():
    """A finite world in which every x meets every ±n has exactly this covariance."""
    x = normal(1, 30, 3)
    x = x - x.mean(0)
    sigma = 0.5
    steps = sigma * 3**0.5 * torch.cat([torch.eye(3), -torch.eye(3)]).double()
    noisy = (x[:, None] + steps).reshape(-1, 3)
    clean = x[:, None].expand(-1, 6, -1).reshape(-1, 3)
    want = np.linalg.lstsq(noisy.numpy(), clean.numpy(), rcond=None)[0].T
    got = wiener_filter(x.T @ x / 30, sigma)
    assert np.abs(got.numpy() - want).max() < 1e-12
    loss = linear_denoising_loss(got, x.T @ x / 30, sigma)
    measured = ((clean - noisy @ got.T) ** 2).sum(1).mean()
    assert loss.item() == pytest.approx(measured.item(), rel=1e-12)


@given(st.integers(2, 8), st.floats(0.05, 3.0), st.integers(0, 100))
def test_no_other_map_is_better(D, sigma, seed):
    cov = covariance(seed, D)
    A = wiener_filter(cov, sigma)
    best = linear_denoising_loss(A, cov, sigma)
    worse = linear_denoising_loss(A + 0.01 * normal(seed + 1, D, D), cov, sigma)
    assert worse > best
    assert best.item() == pytest.approx(best_linear_loss(cov, sigma, D).item())


def test_without_noise_the_rank_k_loss_is_pcas():
    cov = covariance(3, 6)
    for K in (1, 3, 6):
        want = optimal_loss(cov, K).item()
        assert best_linear_loss(cov, 0.0, K).item() == pytest.approx(want, abs=1e-12)


def test_rank_k_loss_is_reached_and_not_beaten():
    """Eckart and Young on A S^½, with S the covariance of the noisy data."""
    cov, sigma, K = covariance(4, 6), 0.6, 2
    values, axes = torch.linalg.eigh(cov + sigma**2 * torch.eye(6))
    root = axes @ torch.diag(values.sqrt()) @ axes.T
    U, s, V = torch.linalg.svd(wiener_filter(cov, sigma) @ root)
    A = U[:, :K] @ torch.diag(s[:K]) @ V[:K] @ torch.linalg.inv(root)
    want = best_linear_loss(cov, sigma, K)
    assert linear_denoising_loss(A, cov, sigma).item() == pytest.approx(want.item())
    for seed in range(5):
        shift = 0.02 * normal(seed, 6, 6)
        other = (torch.eye(6) + shift) @ A  # still rank K
        assert linear_denoising_loss(other, cov, sigma) > want


def test_more_code_never_hurts_and_beyond_d_changes_nothing():
    cov = covariance(5, 5)
    losses = [best_linear_loss(cov, 0.4, K).item() for K in range(9)]
    assert losses == sorted(losses, reverse=True)
    assert losses[5] == losses[8]
    assert losses[0] == pytest.approx(cov.trace().item())


def test_dead_dimensions_are_no_trouble():
    cov = torch.diag(torch.tensor([2.0, 0.0], dtype=torch.float64))
    assert wiener_filter(cov, 1.0).isfinite().all()
    assert best_linear_loss(cov, 0.0, 1).item() == 0.0


def test_conditional_mean_is_the_regression_of_missing_on_seen():
    x = normal(6, 200, 5) @ normal(7, 5, 5)
    seen = torch.tensor([True, False, True, True, False])
    mean = x.mean(0)
    cov = torch.cov(x.T, correction=0)
    got = conditional_mean(x, seen, mean, cov)
    design = np.column_stack([np.ones(200), x[:, seen].numpy()])
    weights = np.linalg.lstsq(design, x[:, ~seen].numpy(), rcond=None)[0]
    assert np.abs(got[:, ~seen].numpy() - design @ weights).max() < 1e-10
    assert torch.equal(got[:, seen], x[:, seen])


def test_conditional_mean_is_the_mode_of_the_gaussian():
    cov, mean = covariance(8, 3), normal(9, 3)
    seen = torch.tensor([False, True, True])
    filled = conditional_mean(normal(10, 1, 3), seen, mean, cov)[0].numpy()
    density = scipy.stats.multivariate_normal(mean.numpy(), cov.numpy())
    best = density.logpdf(filled)
    for step in (-0.01, 0.01):
        assert density.logpdf(filled + np.array([step, 0, 0])) < best


def test_what_stands_in_the_hole_is_not_looked_at():
    x, seen = normal(11, 4, 3), torch.tensor([True, False, True])
    spoilt = torch.where(seen, x, torch.nan)
    cov, mean = covariance(12, 3), torch.zeros(3, dtype=torch.float64)
    got = conditional_mean(spoilt, seen, mean, cov)
    assert torch.equal(got, conditional_mean(x, seen, mean, cov))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wiener_filter(torch.ones(2, 3), 1.0), "expected (D, D)"),
        (lambda: wiener_filter(torch.eye(2), 0.0), "above 0"),
        (lambda: wiener_filter(torch.eye(2), float("nan")), "above 0"),
        (lambda: wiener_filter(torch.full((2, 2), torch.nan), 1.0), "NaN"),
        (
            lambda: wiener_filter(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), 1.0),
            "symmetric",
        ),
        (lambda: linear_denoising_loss(torch.eye(3), torch.eye(2), 1.0), "that of cov"),
        (lambda: linear_denoising_loss(torch.eye(2), torch.eye(2), -1.0), "at least 0"),
        (lambda: best_linear_loss(torch.eye(2), 1.0, -1), "from 0"),
        (lambda: best_linear_loss(torch.eye(2), 1.0, 1.5), "whole number"),
        (
            lambda: conditional_mean(
                torch.ones(4, 3), torch.ones(2).bool(), torch.ones(2), torch.eye(2)
            ),
            "(N, 2)",
        ),
        (
            lambda: conditional_mean(
                torch.ones(4, 2), torch.zeros(2).bool(), torch.ones(2), torch.eye(2)
            ),
            "at least one True",
        ),
        (
            lambda: conditional_mean(
                torch.ones(4, 2), torch.ones(2), torch.ones(2), torch.eye(2)
            ),
            "expected bool",
        ),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert words in str(caught.value)
