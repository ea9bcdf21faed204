"""Dual ascent under a bound on the rate, against exact answers."""

import math

import pytest
import torch

from course_utils.models import LinearVAE
from course_utils.models.constrained import (
    Infeasible,
    Kkt,
    Multiplier,
    kkt_residuals,
)
from course_utils.oracles import rate_distortion

VARIANCES = torch.tensor([5.0, 2.0, 0.7, 0.3]).double()


# --- the multiplier -----------------------------------------------------------------


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("delta", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("start", [0.01, 30.0])
def test_dual_ascent_finds_the_exact_multiplier(scale, delta, start):
    multiplier = Multiplier(delta, start, step=0.3, scale=scale)
    for _ in range(3000):
        beta = max(multiplier.beta, 1e-6)
        multiplier.update(rate_distortion.rate(VARIANCES, 4, 0.5, beta))
    want = rate_distortion.beta_for_rate(VARIANCES, 4, 0.5, delta)
    assert multiplier.beta == pytest.approx(want, rel=1e-4)


def test_a_constraint_that_does_not_bind_gets_the_multiplier_0():
    """With a code of C words no rate exceeds log C."""
    multiplier = Multiplier(delta=2.0, beta=3.0, step=0.5)
    for _ in range(40):
        multiplier.update(rate=math.log(4))
    assert multiplier.beta == 0.0


def test_a_bound_below_every_rate_is_called_infeasible():
    multiplier = Multiplier(delta=0.1, step=10.0, largest=50.0)
    with pytest.raises(Infeasible, match="still 0.5 nats, above δ = 0.1"):
        for _ in range(100):
            multiplier.update(rate=0.5)
    assert multiplier.beta == 50.0
    with pytest.raises(Infeasible):
        Multiplier(0.0, step=1e6, scale="log").update(1e6)  # no overflow


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"delta": -1.0}, "delta is -1.0"),
        ({"delta": math.nan}, "delta is nan"),
        ({"delta": 1.0, "beta": -1.0}, "beta starts at -1.0"),
        ({"delta": 1.0, "beta": 0.0, "scale": "log"}, "beta starts at 0.0"),
        ({"delta": 1.0, "beta": 9.0, "largest": 8.0}, "at most largest"),
        ({"delta": 1.0, "step": 0.0}, "step is 0.0"),
        ({"delta": 1.0, "scale": "root"}, "scale is 'root'"),
    ],
)
def test_bad_settings(settings, said):
    with pytest.raises(ValueError, match=said):
        Multiplier(**settings)


# --- the conditions -----------------------------------------------------------------


def linear_vae_at(beta, sigma2=0.5):
    """A linear VAE at the exact optimum for data with covariance diag(VARIANCES)."""
    model = LinearVAE(4, 4, sigma2=sigma2).double()
    level = beta * sigma2
    loading = (VARIANCES - level).clamp(min=0).sqrt()
    with torch.no_grad():
        model.decoder.weight.copy_(torch.diag(loading))
        model.encoder.weight.copy_(torch.diag(loading / VARIANCES))
        model.logvar.copy_((level / VARIANCES).clamp(max=1).log())
        model.decoder.bias.zero_()
        model.encoder.bias.zero_()
    return model


def exact_cloud():
    signs = torch.tensor([-1.0, 1.0]).double()
    corners = torch.cartesian_prod(signs, signs, signs, signs)  # covariance I, mean 0
    return corners * VARIANCES.sqrt()


@pytest.mark.parametrize("delta", [0.3, 1.0, 2.5])
def test_all_residuals_vanish_at_the_exact_optimum(delta):
    beta = rate_distortion.beta_for_rate(VARIANCES, 4, 0.5, delta)
    model = linear_vae_at(beta)
    terms = [term.mean() for term in model.terms(exact_cloud())]
    residuals = kkt_residuals(*terms, beta, delta, model.parameters())
    assert residuals.worst < 1e-12
    wrong = kkt_residuals(*terms, 1.3 * beta, delta, model.parameters())
    assert wrong.stationarity > 0.01


def test_each_condition_has_its_own_residual():
    u = torch.tensor(1.5, requires_grad=True)
    got = kkt_residuals((u - 3) ** 2, 1 * u, -2.0, 1.0, [u])
    assert got == Kkt(stationarity=5.0, primal=0.5, dual=2.0, slackness=1.0)
    assert got.worst == 5.0


def test_terms_that_are_not_means_are_refused():
    u = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="rate has shape"):
        kkt_residuals(u.sum(), u, 1.0, 1.0, [u])
