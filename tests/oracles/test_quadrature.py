"""The quadrature world against the linear one, scipy, draws and finite differences."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.objectives import gaussian_kl, gaussian_log_prob
from course_utils.oracles.linear_gaussian import LinearGaussian
from course_utils.oracles.quadrature import QuadratureWorld

seeds = st.integers(0, 9999)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


DECODERS = {
    "parabola": lambda z: torch.cat([z, z**2], 1),
    "step": lambda z: torch.tanh(3 * z),
    "circle": lambda z: torch.cat([torch.cos(2 * z), torch.sin(2 * z)], 1),
    "growth": lambda z: torch.exp(z / 2),
}


def drawn(name, sigma, N=4, seed=0):
    """Give a world, data from it, and a q that has nothing to do with them."""
    world = QuadratureWorld(DECODERS[name], sigma)
    mean = world.decoder(normal(N, 1, seed=seed))
    x = mean + sigma * normal(*mean.shape, seed=seed + 1)
    return world, x, normal(N, 1, seed=seed + 2), normal(N, 1, seed=seed + 3) - 1


# --- the linear decoder, where everything is known ----------------------------------


@given(
    D=st.integers(1, 4), sigma=st.sampled_from([0.2, 0.5, 2.0]), seed=seeds
)  # fmt: skip
@settings(max_examples=8)
def test_with_a_linear_decoder_it_is_the_linear_world(D, sigma, seed):
    W, b = normal(D, 1, seed=seed), normal(D, seed=seed + 1)
    exact = LinearGaussian(W, b, sigma)
    world = QuadratureWorld(lambda z: z @ W.T + b, sigma)
    _, x = exact.sample(3, seed)
    mu, logvar = normal(3, 1, seed=seed + 2), normal(3, 1, seed=seed + 3) - 1
    want = exact.log_density(x)
    assert (world.log_density(x) - want).abs().max() < 1e-9
    assert (world.grid_log_density(x) - want).abs().max() < 1e-9
    ours, theirs = world.terms(x, mu, logvar), exact.diagonal_terms(x, mu, logvar)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)
    mean, cov = exact.posterior(x)
    moments = world.posterior_moments(x)
    assert torch.allclose(moments[0], mean, atol=1e-9)
    assert torch.allclose(moments[1], cov.expand(3, 1), atol=1e-9)
    want = scipy.stats.norm(mean.numpy(), math.sqrt(cov)).pdf(world.grid.numpy())
    assert np.abs(world.posterior(x).numpy() - want).max() < 1e-9 * want.max()
    assert world.terms(x, mean, cov.log().expand(3, 1)).gap.abs().max() < 1e-9


# --- curved decoders ----------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("name", DECODERS)
def test_the_identity_holds_between_the_rules(name, sigma):
    world, x, mu, logvar = drawn(name, sigma)
    terms = world.terms(x, mu, logvar)
    assert all(term.shape == (len(x),) for term in terms)
    residual = world.log_density(x) - (-terms.distortion - terms.rate + terms.gap)
    assert residual.abs().max() < 1e-8
    assert (terms.gap > 1e-3).all()


@pytest.mark.parametrize("name", DECODERS)
def test_log_p_is_what_scipys_quad_finds(name):
    world, x, _, _ = drawn(name, 0.4, N=2, seed=7)

    def joint(z, n):  # in plain numpy
        mean = world.decoder(torch.tensor([[z]], dtype=torch.float64)).numpy()[0]
        return scipy.stats.norm.pdf(z) * np.prod(
            np.exp(-((x[n].numpy() - mean) ** 2) / 0.32) / math.sqrt(0.32 * math.pi)
        )

    for n in range(2):
        value, _ = scipy.integrate.quad(
            joint, -9, 9, args=(n,), limit=500, epsabs=1e-14, epsrel=1e-11
        )
        assert float(world.log_density(x)[n]) == pytest.approx(
            math.log(value), abs=1e-9
        )


def test_log_p_is_a_density():
    """The integral of p(x) over x is 1."""
    world = QuadratureWorld(DECODERS["step"], 0.2)
    x = torch.linspace(-3, 3, 1201, dtype=torch.float64)[:, None]
    total = float(world.grid_log_density(x).exp().sum()) * 0.005
    assert total == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("name", DECODERS)
def test_the_terms_are_means_over_draws(name):
    world, x, mu, logvar = drawn(name, 0.3, seed=11)
    terms = world.terms(x, mu, logvar)
    z = mu + (logvar / 2).exp() * normal(40_000, *mu.shape, seed=1)
    mean = world.decoder(z.reshape(-1, 1)).reshape(*z.shape[:2], -1)
    log_q = gaussian_log_prob(z, mu, logvar)
    log_likelihood = gaussian_log_prob(x, mean, 2 * math.log(0.3))
    log_prior = gaussian_log_prob(z, torch.zeros_like(mu), 0.0)
    log_posterior = log_prior + log_likelihood - world.log_density(x)
    for term, draws in [
        (terms.distortion, -log_likelihood),
        (terms.rate, log_q - log_prior),
        (terms.gap, log_q - log_posterior),
    ]:
        error = draws.std(0) / math.sqrt(len(draws))
        assert ((draws.mean(0) - term).abs() < 4 * error).all()
    assert torch.equal(terms.rate, gaussian_kl(mu, logvar))


@pytest.mark.parametrize("name", DECODERS)
def test_the_posterior_is_a_density_with_those_moments(name):
    world, x, _, _ = drawn(name, 0.3)
    density, z = world.posterior(x), world.grid
    assert density.shape == (4, len(z)) and (density >= 0).all()
    mass = torch.trapezoid(density, z)
    mean = torch.trapezoid(density * z, z)
    variance = torch.trapezoid(density * z**2, z) - mean**2
    assert torch.allclose(mass, torch.ones(4).double(), atol=1e-12)
    assert torch.allclose(world.posterior_moments(x)[0][:, 0], mean, atol=1e-10)
    assert torch.allclose(world.posterior_moments(x)[1][:, 0], variance, atol=1e-9)


def test_a_posterior_with_two_peaks_keeps_a_gap_under_every_gaussian():
    """Where x = z² + noise, both z and −z explain x."""
    world = QuadratureWorld(lambda z: z**2, 0.3)
    x = torch.tensor([[2.0]], dtype=torch.float64)
    mean, variance = world.posterior_moments(x)
    assert abs(float(mean)) < 1e-12 and float(variance) > 1
    gaps = [
        float(world.terms(x, mu.view(1, 1), logvar.view(1, 1)).gap)
        for mu in torch.linspace(-2, 2, 21).double()
        for logvar in torch.linspace(-5, 1, 21).double()
    ]
    # One peak, perfectly: half the mass is missed, log 2 nats.
    assert math.log(2) - 0.01 < min(gaps) < math.log(2) + 0.05


@pytest.mark.parametrize("name", DECODERS)
def test_gradients_in_q_are_those_of_finite_differences(name):
    world, x, mu, logvar = drawn(name, 0.5, N=2)
    inputs = [tensor.clone().requires_grad_() for tensor in (mu, logvar)]
    assert torch.autograd.gradcheck(lambda m, v: tuple(world.terms(x, m, v)), inputs)
    # log p does not depend on q: distortion + rate and gap have the same slope.
    terms = world.terms(x, *inputs)
    bound = torch.autograd.grad(terms.elbo.sum(), inputs, retain_graph=True)
    gap = torch.autograd.grad(terms.gap.sum(), inputs)
    for one, other in zip(bound, gap, strict=True):
        assert torch.allclose(one, -other, rtol=1e-7, atol=1e-8)


def test_gradients_reach_the_decoders_weights():
    """Elbo + gap is log p, and so are their slopes; against central differences."""
    weight = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    x, mu, logvar = torch.ones(1, 1).double(), *normal(2, 1, 1, seed=3)
    terms = QuadratureWorld(lambda z: torch.tanh(weight * z), 0.3).terms(x, mu, logvar)
    (slope,) = torch.autograd.grad((terms.elbo + terms.gap).sum(), weight)

    def log_p(value):
        return QuadratureWorld(lambda z: torch.tanh(value * z), 0.3).log_density(x)

    difference = float(log_p(1.3 + 1e-4) - log_p(1.3 - 1e-4)) / 2e-4
    assert slope.item() == pytest.approx(difference, abs=1e-6)


def test_a_networks_decode_serves_as_it_is():
    torch.manual_seed(0)
    decoder = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 5)).double()
    world = QuadratureWorld(decoder, 0.3)
    x = normal(2, 5, seed=1)
    terms = world.terms(x, torch.zeros(2, 1).double(), torch.zeros(2, 1).double())
    residual = world.log_density(x) - (terms.elbo + terms.gap).detach()
    assert residual.abs().max() < 1e-8
    terms.elbo.sum().backward()
    assert decoder[0].weight.grad.abs().max() > 0


# --- what it refuses ----------------------------------------------------------------


def zeros(*shape):
    return torch.zeros(shape, dtype=torch.float64)


def make(decoder=lambda z: z, sigma=1.0, **more):
    return QuadratureWorld(decoder, sigma, **more)


MISUSE = {
    "sigma": (lambda: make(sigma=0.0), "sigma is 0.0"),
    "reach": (lambda: make(reach=math.inf), "reach is inf"),
    "points even": (lambda: make(points=100), "points is 100; expected an odd"),
    "points true": (lambda: make(points=True), "points is True"),
    "decoder single": (
        lambda: make(lambda z: z.float()),
        "the decoder gives torch.float32; expected torch.float64",
    ),
    "decoder list": (lambda: make(lambda z: [0.0]), "the decoder gives list"),
    "decoder shape": (
        lambda: make(lambda z: z[:, 0]),
        r"turns \(2, 1\) into \(2,\); expected \(M, 1\) into \(M, D\)",
    ),
    "decoder nan": (lambda: make(lambda z: z / 0), "decoder gives NaN"),
    "x": (lambda: make().log_density(zeros(3, 2)), r"\(3, 2\); expected \(N, 1\)"),
    "x terms": (
        lambda: make().terms(zeros(3, 2), zeros(3, 1), zeros(3, 1)),
        r"\(3, 2\); expected \(N, 1\)",
    ),
    "x empty": (lambda: make().posterior(zeros(0, 1)), "N ≥ 1"),
    "x single": (lambda: make().posterior(torch.zeros(1, 1)), "x is torch.float32"),
    "x nan": (lambda: make().log_density(zeros(1, 1) / 0), "x holds NaN"),
    "mu": (
        lambda: make().terms(zeros(3, 1), zeros(3), zeros(3, 1)),
        r"mu has shape \(3,\), logvar \(3, 1\); expected \(3, 1\) for both",
    ),
    "logvar nan": (
        lambda: make().terms(zeros(3, 1), zeros(3, 1), zeros(3, 1) / 0),
        "logvar holds NaN",
    ),
    "x far away": (
        lambda: make(sigma=0.1).log_density(zeros(1, 1) + 50),
        "x lies where z is beyond the grid, which ends at ±20; expected a larger reach",
    ),
    "q far away": (
        lambda: make().terms(zeros(1, 1), zeros(1, 1) + 19, zeros(1, 1)),
        "q lies beyond the grid",
    ),
    "narrow posterior": (
        lambda: make(sigma=1e-3).grid_log_density(zeros(1, 1)),
        r"too coarse \(the posterior is narrow",
    ),
    "narrow q": (
        lambda: make().terms(zeros(1, 1), zeros(1, 1) + 0.001, zeros(1, 1) - 14),
        r"too coarse \(q is narrow",
    ),
    "kink": (
        lambda: make(torch.relu).terms(zeros(1, 1) + 1, zeros(1, 1) + 0.1, zeros(1, 1)),
        "the decoder is not smooth",
    ),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_named(name):
    call, said = MISUSE[name]
    with pytest.raises(ValueError, match=said):
        call()


def test_more_points_help_where_the_posterior_is_narrow():
    exact = LinearGaussian(torch.ones(1, 1).double(), zeros(1), 1e-3)
    world = make(sigma=1e-3, points=160_001)
    x = torch.tensor([[0.3]], dtype=torch.float64)
    want = float(exact.log_density(x))
    assert float(world.grid_log_density(x)) == pytest.approx(want, abs=1e-9)
    assert float(world.log_density(x)) == pytest.approx(want, abs=1e-9)
