"""The learned prior is a mixture, draws as one, and serves a VAE."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from course_utils.models import (
    VAE,
    MixturePrior,
    MixturePriorVAE,
)
from course_utils.objectives import gaussian_log_prob


def test_the_mixture_prior_is_scipys_mixture_and_integrates_to_one():
    torch.manual_seed(0)
    prior = MixturePrior(2, 3).double()
    with torch.no_grad():
        prior.logvar.copy_(torch.randn(3, 2))
        prior.logits.copy_(torch.randn(3))
    weights = torch.softmax(prior.logits, 0).detach()
    parts = [
        stats.multivariate_normal(m.numpy(), np.diag(v.exp().numpy()))
        for m, v in zip(prior.mean.detach(), prior.logvar.detach(), strict=True)
    ]
    axis = torch.linspace(-12, 12, 241, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    pairs = zip(weights, parts, strict=True)
    want = sum(float(w) * part.pdf(z.numpy()) for w, part in pairs)
    got = prior.log_prob(z).exp().detach()
    assert torch.allclose(got, torch.as_tensor(want), atol=1e-12)
    assert abs(float(got.sum()) * 0.1**2 - 1) < 1e-6


def test_draws_of_the_mixture_prior_have_its_moments():
    torch.manual_seed(1)
    prior = MixturePrior(2, 3)
    with torch.no_grad():
        prior.logits.copy_(torch.tensor([0.0, 1.0, -1.0]))
        prior.logvar.fill_(-1.0)
    z = prior.sample(40_000, torch.Generator().manual_seed(0)).detach()
    weights = torch.softmax(prior.logits, 0).detach()
    mean = weights @ prior.mean.detach()
    away = prior.mean.detach() - mean
    variance = weights @ (away**2 + math.exp(-1))
    error = (variance / len(z)).sqrt()
    assert ((z.mean(0) - mean).abs() < 5 * error).all()
    assert torch.allclose(z.var(0), variance, rtol=0.05)


def test_one_component_at_its_start_is_a_gaussian_prior():
    prior = MixturePrior(3, 1)
    z = torch.randn(5, 3)
    want = gaussian_log_prob(z, prior.mean.expand(5, 3), 0.0)
    assert torch.allclose(prior.log_prob(z), want, atol=1e-5)


def test_a_vae_with_a_learned_prior_draws_from_it():
    torch.manual_seed(0)
    model = MixturePriorVAE(6, 2, (4,), components=3)
    with torch.no_grad():
        model.prior.mean.fill_(7.0)
        model.prior.logvar.fill_(-40.0)
    z = model.draw_prior(5, torch.Generator().manual_seed(0))
    assert torch.allclose(z, torch.full((5, 2), 7.0), atol=1e-4)
    drawn = model.sample(5, torch.Generator().manual_seed(0), noise=False)
    assert torch.allclose(drawn, model.decode(z).mean, atol=1e-5)
    plain = VAE(6, 2, (4,))
    same = torch.randn(5, 2, generator=torch.Generator().manual_seed(3))
    assert torch.equal(plain.draw_prior(5, torch.Generator().manual_seed(3)), same)


@pytest.mark.parametrize(
    "sizes_", [{"K": 0, "components": 2}, {"K": 2, "components": 0}]
)
def test_a_mixture_prior_of_no_size_is_refused(sizes_):
    with pytest.raises(ValueError, match="whole number"):
        MixturePrior(**sizes_)
