"""Drawing z, and the bounds of a learned σ."""

import math

import pytest
import torch

from course_utils.models import (
    reparameterise,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_z_has_the_mean_and_the_variance_it_should():
    mu = torch.tensor([[0.5, -1.0, 3.0]], dtype=torch.float64).expand(40_000, 3)
    logvar = torch.tensor([[0.0, -2.0, 1.5]], dtype=torch.float64).expand(40_000, 3)
    z = reparameterise(mu, logvar, seeded())
    var = logvar[0].exp()
    assert ((z.mean(0) - mu[0]).abs() < 4 * (var / 40_000).sqrt()).all()
    assert ((z.var(0) - var).abs() < 4 * var * math.sqrt(2 / 40_000)).all()
    correlation = torch.corrcoef(z.T) - torch.eye(3)
    assert correlation.abs().max() < 4 / math.sqrt(40_000), "one noise an element"
    neighbours = torch.corrcoef(torch.stack([z[:-1, 0], z[1:, 0]]))[0, 1]
    assert neighbours.abs() < 4 / math.sqrt(40_000), "other noise for other examples"


def test_z_follows_its_generator_and_lets_gradients_through():
    mu = torch.randn(4, 3, generator=seeded(), dtype=torch.float64, requires_grad=True)
    logvar = torch.randn(4, 3, generator=seeded(1), dtype=torch.float64)
    logvar.requires_grad_()
    z = reparameterise(mu, logvar, seeded(5))
    assert torch.equal(z, reparameterise(mu, logvar, seeded(5)))
    assert not torch.equal(z, reparameterise(mu, logvar, seeded(6)))
    z.sum().backward()
    eps = torch.randn(4, 3, generator=seeded(5), dtype=torch.float64)
    assert torch.equal(mu.grad, torch.ones_like(mu))
    want = 0.5 * (0.5 * logvar.detach()).exp() * eps  # d exp(l/2) ε / dl
    assert torch.allclose(logvar.grad, want, atol=1e-14)


def test_noise_may_be_given_itself():
    mu, logvar = torch.zeros(4, 3), torch.full((4, 3), 2 * math.log(3.0))
    eps = torch.randn(4, 3, generator=seeded())
    torch.testing.assert_close(reparameterise(mu, logvar, eps), 3 * eps)
    with pytest.raises(ValueError, match=r"noise has shape \(3,\)"):
        reparameterise(mu, logvar, eps[0])


def test_z_needs_one_shape():
    with pytest.raises(ValueError, match=r"mu has shape \(4, 3\), logvar \(3,\)"):
        reparameterise(torch.zeros(4, 3), torch.zeros(3))
