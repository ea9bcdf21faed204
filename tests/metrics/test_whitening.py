"""Codes on one scale: whitening, cycle error, paths."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import rand
from course_utils.metrics.whitening import (
    Whitening,
    cycle_error,
    straight_path,
)

# --- whitening ----------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_whitened_codes_have_mean_zero_and_unit_covariance(seed, K):
    codes = rand(40, K, seed=seed) @ rand(K, K, seed=seed + 1) + 3
    whitening = Whitening.fit(codes)
    white = whitening.whiten(codes)
    covariance = white.T @ white / 40
    torch.testing.assert_close(white.mean(0), torch.zeros_like(white[0]))
    torch.testing.assert_close(covariance, torch.eye(whitening.active).double())
    if whitening.active == K:
        torch.testing.assert_close(whitening.colour(white), codes)


def test_distances_in_whitened_units_are_mahalanobis():
    codes = rand(50, 3) @ rand(3, 3, seed=1)
    inverse = np.linalg.inv(np.cov(codes.numpy().T, bias=True))
    expected = [
        (row - codes.mean(0)).numpy() @ inverse @ (row - codes.mean(0)).numpy()
        for row in codes
    ]
    white = Whitening.fit(codes).whiten(codes)
    np.testing.assert_allclose(white.square().sum(1), expected, rtol=1e-9)


def test_colour_gives_draws_the_codes_moments():
    codes = rand(200, 3) @ rand(3, 3, seed=1) - 5
    whitening = Whitening.fit(codes)
    noise = rand(500, 3, seed=2)
    eps = Whitening.fit(noise).whiten(noise)  # exactly mean 0 and covariance I
    draws = whitening.colour(eps)
    torch.testing.assert_close(draws.mean(0), codes.mean(0))
    torch.testing.assert_close(
        torch.cov(draws.T, correction=0), torch.cov(codes.T, correction=0)
    )


def test_a_latent_that_never_varies_is_inactive():
    codes = rand(30, 4)
    codes[:, 2] = 7.0
    whitening = Whitening.fit(codes)
    assert whitening.active == 3
    assert whitening.whiten(codes).shape == (30, 3)
    torch.testing.assert_close(whitening.colour(whitening.whiten(codes)), codes)


@pytest.mark.parametrize(
    "codes", [torch.ones(5, 2), torch.zeros(5, 2), torch.ones(1, 2)]
)
def test_codes_that_do_not_vary_are_named(codes):
    with pytest.raises(ValueError, match="vary"):
        Whitening.fit(codes)


# --- cycle error and paths ----------------------------------------------------------


def test_cycle_error_of_a_known_shift():
    z = rand(6, 4)
    shift = torch.tensor([3.0, -3.0, 3.0, 3.0]).double()
    torch.testing.assert_close(
        cycle_error(z, z + shift), torch.full((6,), 3.0).double()
    )
    with pytest.raises(ValueError, match="one shape"):
        cycle_error(z, z[:, :2])


def test_cycle_error_does_not_grow_with_the_number_of_latents():
    small, large = rand(4000, 2), rand(4000, 32, seed=1)
    for z in (small, large):
        mean_square = cycle_error(z, torch.zeros_like(z)).square().mean()
        assert mean_square == pytest.approx(1.0, abs=0.06)


def test_path_starts_ends_and_keeps_pace():
    start, end = rand(5, 3), rand(5, 3, seed=1)
    path = straight_path(start, end, 7)
    assert path.shape == (7, 5, 3)
    assert torch.equal(path[0], start) and torch.equal(path[-1], end)
    torch.testing.assert_close(path[3], (start + end) / 2)
    paces = (path[1:] - path[:-1]).norm(dim=2)
    torch.testing.assert_close(paces, paces[:1].expand(6, 5))
    with pytest.raises(ValueError, match="steps"):
        straight_path(start, end, 1)
    with pytest.raises(ValueError, match="one shape"):
        straight_path(start, end[:2], 3)
