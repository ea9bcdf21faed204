"""The expected importance-weighted bound against enumeration, worlds and draws."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.objectives import gaussian_log_prob, iwae_bound
from course_utils.oracles.importance import expected_iwae, normal_rule
from course_utils.oracles.linear_gaussian import LinearGaussian
from course_utils.oracles.quadrature import QuadratureWorld

seeds = st.integers(0, 9999)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def enumerated(log_w, log_prob, S):
    """Sum over all M^S outcomes of S draws: (M,), (M,) -> number."""
    total = 0.0
    for outcome in itertools.product(range(len(log_w)), repeat=S):
        drawn = log_w[list(outcome)]
        chance = log_prob[list(outcome)].sum().exp()
        total += float(chance * (torch.logsumexp(drawn, 0) - math.log(S)))
    return total


# --- a few points, where all outcomes can be listed ---------------------------------


@pytest.mark.parametrize("S", [1, 2, 3])
@given(M=st.integers(1, 6), spread=st.sampled_from([0.0, 1.0, 30.0, 300.0]), seed=seeds)
@settings(max_examples=12, deadline=None)
def test_it_is_the_sum_over_all_outcomes(S, M, spread, seed):
    log_w = 50 + spread * normal(M, 2, seed=seed)
    log_prob = torch.log_softmax(2 * normal(M, seed=seed + 1), 0)
    got = expected_iwae(log_w, log_prob, S)
    for n in range(2):
        want = enumerated(log_w[:, n], log_prob, S)
        assert float(got[n]) == pytest.approx(want, abs=1e-11, rel=1e-13)


def test_many_draws_of_two_weights_are_a_binomial_sum():
    """With weights 1 and 3, Σ w = S + 2k with k binomial."""
    log_w = torch.tensor([[1.0], [3.0]], dtype=torch.float64).log()
    log_prob = torch.tensor([0.7, 0.3], dtype=torch.float64).log()
    for S in (10, 100, 1000):
        k = torch.arange(S + 1, dtype=torch.float64)
        chance = torch.distributions.Binomial(S, log_prob[1].exp()).log_prob(k)
        want = float((chance.exp() * (1 + 2 * k / S).log()).sum())
        assert float(expected_iwae(log_w, log_prob, S)) == pytest.approx(
            want, abs=1e-11
        )


def test_several_counts_and_probabilities_of_each_example():
    log_w, log_prob = normal(7, 3, seed=1), normal(7, 3, seed=2)
    both = expected_iwae(log_w, log_prob, [1, 4, 9])
    assert both.shape == (3, 3)
    for row, S in zip(both, (1, 4, 9), strict=True):
        assert torch.allclose(row, expected_iwae(log_w, log_prob, S), atol=1e-12)
    for n in range(3):
        alone = expected_iwae(log_w[:, n : n + 1], log_prob[:, n] - 5, [1, 4, 9])
        assert torch.allclose(both[:, n : n + 1], alone, atol=1e-12)


def test_equal_weights_give_log_p_at_once():
    log_w = torch.full((5, 1), -700.0, dtype=torch.float64)
    got = expected_iwae(log_w, torch.zeros(5).double(), [1, 10, 10_000])
    assert torch.allclose(got, torch.full((3, 1), -700.0).double(), atol=1e-11)


def test_a_weight_of_zero_gives_minus_infinity_unless_it_never_happens():
    log_w = torch.tensor([[0.0], [-math.inf]], dtype=torch.float64)
    assert expected_iwae(log_w, torch.zeros(2).double(), 3) == -math.inf
    never = torch.tensor([0.0, -math.inf], dtype=torch.float64)
    assert expected_iwae(log_w, never, 3).abs() < 1e-12


@given(seed=seeds, spread=st.sampled_from([0.5, 3.0, 20.0]))
@settings(max_examples=15, deadline=None)
def test_it_grows_with_s_from_the_elbo_towards_log_p(seed, spread):
    log_w, log_prob = spread * normal(40, 1, seed=seed), torch.zeros(40).double()
    counts = [1, 2, 3, 10, 100, 10_000, 10_000_000]
    bounds = expected_iwae(log_w, log_prob, counts)[:, 0]
    log_p = torch.logsumexp(log_w[:, 0], 0) - math.log(40)
    assert abs(bounds[0] - log_w.mean()) < 1e-11
    assert (bounds.diff() > -1e-12).all() and (bounds <= log_p + 1e-11).all()
    assert log_p - bounds[-1] < 1e-4


# --- the worlds ---------------------------------------------------------------------


def log_weights(log_likelihood, z, mu, logvar):
    log_prior = gaussian_log_prob(z, torch.zeros_like(mu), 0.0)
    return log_likelihood + log_prior - gaussian_log_prob(z, mu, logvar)


def curved(points=401):
    """Give a curved world, x, a q, and log weights at the rule's nodes."""
    world = QuadratureWorld(lambda z: torch.cat([torch.sin(2 * z), z], 1), 0.4)
    x = normal(3, 2, seed=3)
    mu, logvar = 0.3 * normal(3, 1, seed=4), -0.5 + 0.3 * normal(3, 1, seed=5)
    eps, log_prob = normal_rule(1, points)
    weights = curved_weights(world, x, mu, logvar, eps[:, None])
    return world, x, mu, logvar, weights, log_prob


def curved_weights(world, x, mu, logvar, eps):
    z = mu + (logvar / 2).exp() * eps  # (M, N, 1)
    mean = world.decoder(z.reshape(-1, 1)).reshape(*z.shape[:2], -1)
    log_likelihood = gaussian_log_prob(x, mean, 2 * math.log(world.sigma))
    return log_weights(log_likelihood, z, mu, logvar)


def test_in_the_quadrature_world_it_goes_from_the_elbo_to_log_p():
    world, x, mu, logvar, log_w, log_prob = curved()
    bounds = expected_iwae(log_w, log_prob, [1, 10, 1000])
    assert (bounds[0] - world.terms(x, mu, logvar).elbo).abs().max() < 1e-9
    assert (bounds.diff(dim=0) > 0).all()
    assert (bounds < world.log_density(x)).all()
    finer = expected_iwae(curved(801)[4], normal_rule(1, 801)[1], [1, 10, 1000])
    assert (finer - bounds).abs().max() < 1e-9
    log_p = torch.logsumexp(log_w + log_prob[:, None], 0)
    assert (log_p - world.log_density(x)).abs().max() < 1e-8


@pytest.mark.parametrize("S", [1, 5, 50])
def test_draws_agree_within_four_standard_errors(S):
    world, x, mu, logvar, log_w, log_prob = curved()
    draws = 20_000 // S
    eps = normal(S, draws * 3, 1, seed=S)
    repeated = [value.repeat(draws, 1) for value in (x, mu, logvar)]
    drawn = iwae_bound(curved_weights(world, *repeated, eps)).reshape(draws, 3)
    error = drawn.std(0) / math.sqrt(draws)
    gap = drawn.mean(0) - expected_iwae(log_w, log_prob, S)
    assert (gap.abs() < 4 * error).all()


@pytest.mark.parametrize("K", [1, 2])
def test_in_the_linear_world_it_goes_from_the_elbo_to_log_p(K):
    world = LinearGaussian(normal(4, K, seed=1), normal(4, seed=2), 0.8)
    _, x = world.sample(2, seed=3)
    mean, covariance = world.posterior(x)
    logvar = (1.7 * covariance.diagonal()).log().expand(2, K)  # wider than best
    mu = mean + 0.2
    eps, log_prob = normal_rule(K, 401 if K == 1 else 121)
    z = mu + (logvar / 2).exp() * eps[:, None]
    log_likelihood = gaussian_log_prob(x, z @ world.W.T + world.b, 2 * math.log(0.8))
    log_w = log_weights(log_likelihood, z, mu, logvar)
    bounds = expected_iwae(log_w, log_prob, [1, 3, 100, 100_000])
    assert (bounds[0] - world.diagonal_terms(x, mu, logvar).elbo).abs().max() < 1e-9
    log_p = world.log_density(x)
    assert (bounds.diff(dim=0) > 0).all() and (bounds[:3] < log_p).all()
    assert (log_p - bounds[-1]).abs().max() < 1e-4
    # For many samples the gap is Var(w / p(x)) / 2S, where that variance is finite.
    square = torch.logsumexp(2 * (log_w - log_p) + log_prob[:, None], 0).exp()
    want = (square - 1) / 2 / 100_000
    assert torch.allclose(log_p - bounds[-1], want, rtol=1e-3)


def test_the_rule_integrates_what_a_normal_gives():
    for K in (1, 2):
        eps, log_prob = normal_rule(K, 121)
        assert eps.shape == (121**K, K) and log_prob.shape == (121**K,)
        got = (log_prob.exp() * (1.5 * eps[:, 0]).exp()).sum()
        assert float(got) == pytest.approx(math.exp(1.125), rel=1e-11)


# --- what it refuses ----------------------------------------------------------------


def zeros(*shape):
    return torch.zeros(shape, dtype=torch.float64)


MISUSE = {
    "log_w": (lambda: expected_iwae(zeros(3), zeros(3), 1), r"log_w has shape \(3,\)"),
    "empty": (lambda: expected_iwae(zeros(3, 0), zeros(3), 1), "N ≥ 1"),
    "log_prob": (
        lambda: expected_iwae(zeros(3, 2), zeros(2), 1),
        r"log_prob has shape \(2,\); expected \(3,\) or \(3, 2\)",
    ),
    "single": (
        lambda: expected_iwae(torch.zeros(3, 2), zeros(3), 1),
        "log_w is torch.float32",
    ),
    "nan": (lambda: expected_iwae(zeros(3, 2) / 0, zeros(3), 1), "log_w holds NaN"),
    "infinite": (
        lambda: expected_iwae(zeros(3, 2), zeros(3) + math.inf, 1),
        "log_prob holds NaN or",
    ),
    "all zero": (
        lambda: expected_iwae(zeros(3, 2) - math.inf, zeros(3), 1),
        "log_w is −∞ everywhere",
    ),
    "S": (lambda: expected_iwae(zeros(3, 2), zeros(3), 0), "S is 0; expected a whole"),
    "S true": (lambda: expected_iwae(zeros(3, 2), zeros(3), True), "S is True"),
    "S in list": (lambda: expected_iwae(zeros(3, 2), zeros(3), [1, 2.5]), "S is 2.5"),
    "S empty": (lambda: expected_iwae(zeros(3, 2), zeros(3), []), "S is empty"),
    "K": (lambda: normal_rule(3), "K is 3; expected 1 or 2"),
    "points": (lambda: normal_rule(1, 2), "points is 2"),
    "reach": (lambda: normal_rule(1, reach=0.0), "reach is 0.0"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_named(name):
    call, said = MISUSE[name]
    with pytest.raises(ValueError, match=said):
        call()
