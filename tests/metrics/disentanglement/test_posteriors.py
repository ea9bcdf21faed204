"""Information of samples of q(z|x): against quadrature, bins, and closed limits."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from scipy.stats import norm

from conftest import rand
from course_utils.metrics.disentanglement.information import (
    entropies,
    information_gap,
    information_matrix,
    mig,
)
from course_utils.metrics.disentanglement.posteriors import posterior_information

V = torch.stack([torch.arange(24) % 2, torch.arange(24) // 2 % 3], dim=1)
MU = rand(24, 3) + V[:, :1] * torch.tensor([2.0, 0, 0.5])
LOGVAR = rand(24, 3, seed=1) - 1


def by_quadrature(mu, sd, classes):
    """Σ_v p(v) ∫ q(z|v) log [q(z|v) / q(z)] dz of one latent, on a fine grid."""
    z = np.linspace(-14, 14, 5001)
    q = norm.pdf(z[:, None], mu, sd)  # (grid, N)
    total = 0.0
    for level in np.unique(classes):
        given = q[:, classes == level].mean(1)
        inner = given * (np.log(given + 1e-300) - np.log(q.mean(1) + 1e-300))
        total += (classes == level).mean() * trapezoid(inner, z)
    return total


def test_information_agrees_with_quadrature():
    found = posterior_information(MU, LOGVAR, V, draws=400)
    sd = (0.5 * LOGVAR).exp().numpy()
    for j in range(3):
        for k in range(2):
            exact = by_quadrature(MU[:, j].numpy(), sd[:, j], V[:, k].numpy())
            # log-ratios have a spread below 0.7: 4 standard errors of 9600 draws
            assert found[j, k] == pytest.approx(exact, abs=0.03)


def test_information_agrees_with_bins_of_many_samples():
    found = posterior_information(MU, LOGVAR, V, draws=400)
    times = 2000
    z = MU.repeat(times, 1) + (0.5 * LOGVAR).exp().repeat(times, 1) * rand(
        24 * times, 3, seed=2
    )
    binned = information_matrix(z, V.repeat(times, 1), bins=60)
    torch.testing.assert_close(found, binned, atol=0.03, rtol=0)


def test_narrow_posteriors_tell_what_their_means_tell():
    narrow = torch.full_like(MU[:, :2], -20.0)
    found = posterior_information(V.double(), narrow, V)
    expected = information_matrix(V.double(), V)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    assert mig(V.double(), V, logvar=narrow) == pytest.approx(1, abs=1e-9)


def test_a_unit_that_is_the_prior_tells_nothing_however_its_mean_moves():
    """Its mean follows factor 0, by a thousandth: bins see that, samples do not."""
    v = V.repeat(4, 1)
    mu = torch.stack([v[:, 0], v[:, 1], 1e-3 * v[:, 0]], dim=1).double()
    logvar = torch.tensor([-8.0, -8.0, 0.0]).double().expand_as(mu)
    assert mig(mu, v) == pytest.approx(0.5, abs=0.01)
    assert mig(mu, v, logvar=logvar) == pytest.approx(1, abs=0.01)


def test_the_units_of_a_code_and_its_origin_do_not_matter():
    plain = posterior_information(MU, LOGVAR, V)
    for scale, offset in ((1e6, 1e6), (1e-9, 1), (1e150, 0)):
        moved = posterior_information(
            scale * MU + offset, LOGVAR + 2 * math.log(scale), V
        )
        torch.testing.assert_close(moved, plain, atol=1e-5, rtol=0)


def test_mig_takes_the_gap_of_it():
    information = posterior_information(MU, LOGVAR, V, seed=3)
    expected = information_gap(information, entropies(V)).mean()
    assert mig(MU, V, logvar=LOGVAR, seed=3) == pytest.approx(expected.item())
    assert mig(MU, V, logvar=LOGVAR, seed=4) != mig(MU, V, logvar=LOGVAR, seed=3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: posterior_information(MU, LOGVAR[:, :2], V), "one shape"),
        (lambda: posterior_information(MU, LOGVAR[:9], V), "9 rows; expected 24"),
        (lambda: posterior_information(MU, LOGVAR * math.nan, V), "NaN"),
        (lambda: posterior_information(MU, LOGVAR, V, draws=0), "draws is 0"),
        (
            lambda: posterior_information(MU, LOGVAR, torch.arange(24)[:, None]),
            "single row",
        ),
        (lambda: mig(MU, V, 20, logvar=LOGVAR), "bins is 20 beside a logvar"),
    ],
)
def test_bad_arguments_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
