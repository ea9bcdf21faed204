"""Pairs of examples, draws from a mixture, and what a mixture gains on N(0, I)."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from course_utils.metrics.draws import mixture_draws, mixture_gain, random_pairs


def fitted(K=2, parts=3, kind="full", seed=0):
    """A mixture fitted to random codes of random scale."""
    codes = np.random.default_rng(seed).normal(size=(80, K)) * (1 + np.arange(K))
    codes[:40] += 3
    return GaussianMixture(parts, covariance_type=kind, random_state=seed).fit(codes)


# --- pairs --------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=2, max_size=25),
    same=st.booleans(),
    seed=st.integers(0, 999),
    count=st.integers(1, 12),
)
def test_the_pairs_are_the_first_of_the_drawn_that_fit(labels, same, seed, count):
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(len(labels), (2, 60), generator=generator).tolist()
    fitting = [
        (i, j)
        for i, j in zip(first, second, strict=True)
        if i != j and (labels[i] == labels[j]) is same
    ]
    arguments = (torch.tensor(labels), same, count, seed, 60)
    if len(fitting) < count:
        with pytest.raises(
            ValueError, match=f"{len(fitting)} of 60 pairs fit; .* {count}"
        ):
            random_pairs(*arguments)
    else:
        i, j = random_pairs(*arguments)
        assert list(zip(i.tolist(), j.tolist(), strict=True)) == fitting[:count]


@pytest.mark.parametrize("same", [True, False])
def test_every_pair_that_may_be_drawn_is_equally_likely(same):
    labels = torch.tensor([0, 1, 0, 2, 1, 0])
    i, j = random_pairs(labels, same, count=4000, seed=3, drawn=40_000)
    counts = Counter(zip(i.tolist(), j.tolist(), strict=True))
    allowed = [
        (a, b)
        for a, b in itertools.permutations(range(6), 2)
        if (labels[a] == labels[b]).item() is same
    ]
    assert set(counts) == set(allowed)
    wanted = 4000 / len(allowed)
    chi_squared = sum((count - wanted) ** 2 / wanted for count in counts.values())
    freedom = len(allowed) - 1
    assert chi_squared < freedom + 5 * (2 * freedom) ** 0.5


# --- draws from a mixture -----------------------------------------------------------


def test_the_draws_are_the_mixture_s_own_in_another_order():
    mixture = fitted()
    own, _ = mixture.sample(300)
    drawn = mixture_draws(mixture, 300, torch.Generator().manual_seed(0))
    assert drawn.shape == (300, 2) and drawn.dtype == torch.float32
    rows = sorted(map(tuple, drawn.tolist()))
    assert rows == sorted(map(tuple, torch.tensor(own).float().tolist()))
    assert not np.allclose(drawn, own)


def test_the_order_follows_the_generator_and_mixes_the_components():
    mixture = fitted(parts=2)
    drawn, again, other = (
        mixture_draws(mixture, 400, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(drawn, again) and not torch.equal(drawn, other)
    part = mixture.predict(drawn.double().numpy())
    changes = (part[1:] != part[:-1]).mean()
    share = (part == 0).mean()
    # sorted draws change once; shuffled ones as often as two independent draws differ
    assert changes == pytest.approx(2 * share * (1 - share), abs=0.1)


def test_the_draws_have_the_mixture_s_moments():
    mixture = fitted(parts=2)
    drawn = mixture_draws(mixture, 40_000, torch.Generator().manual_seed(0)).double()
    mean = mixture.weights_ @ mixture.means_
    spread = mixture.means_ - mean
    cov = np.einsum("c,cij->ij", mixture.weights_, mixture.covariances_)
    cov += spread.T * mixture.weights_ @ spread
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.1)
    np.testing.assert_allclose(drawn.T.cov(), cov, rtol=0.05, atol=0.1)


# --- what a mixture gains -----------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 999))
def test_the_gain_is_a_difference_of_scipy_s_log_densities(K, parts, seed):
    mixture = fitted(K, parts, seed=seed)
    codes = np.random.default_rng(seed + 1).normal(size=(12, K)) * 2 + 1
    log_parts = [
        np.log(weight) + multivariate_normal(mean, cov).logpdf(codes)
        for weight, mean, cov in zip(
            mixture.weights_, mixture.means_, mixture.covariances_, strict=True
        )
    ]
    log_mixture = logsumexp(np.stack(log_parts), axis=0)
    log_normal = multivariate_normal(np.zeros(K), np.eye(K)).logpdf(codes)
    got = mixture_gain(mixture, torch.tensor(codes))
    assert got == pytest.approx((log_mixture - log_normal).mean(), rel=1e-9, abs=1e-9)


def test_a_mixture_that_is_the_standard_normal_gains_nothing():
    mixture = fitted(K=3, parts=2, kind="diag")
    mixture.means_ = np.zeros((2, 3))
    mixture.covariances_ = mixture.precisions_cholesky_ = np.ones((2, 3))
    codes = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert mixture_gain(mixture, codes) == pytest.approx(0, abs=1e-12)
