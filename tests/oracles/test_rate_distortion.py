"""The exact rate–distortion curve, against the world it comes from."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.oracles import linear_gaussian
from course_utils.oracles import rate_distortion as rd

VARIANCES = torch.tensor([5.0, 2.0, 0.7, 0.3, 0.1]).double()


def cloud(variances, count=4000):
    """Data whose covariance has exactly these eigenvalues."""
    D = len(variances)
    x = torch.randn(count, D, generator=torch.Generator().manual_seed(0)).double()
    x = x - x.mean(0)
    x = torch.linalg.qr(x).Q * math.sqrt(count)  # covariance I
    turn = torch.linalg.qr(torch.randn(D, D).double()).Q
    return x * variances.sqrt() @ turn.T


@pytest.mark.parametrize("beta", [0.3, 1.0, 2.5, 20.0])
@pytest.mark.parametrize("K", [1, 3, 5])
def test_it_is_what_the_best_model_reaches(beta, K):
    x, sigma2 = cloud(VARIANCES), 0.5
    cov = x.T @ x / len(x)
    zero = torch.zeros(len(VARIANCES)).double()
    world = linear_gaussian.beta_optimum(zero, cov, K, math.sqrt(sigma2), beta)
    objective = world.best_beta_objective(x, beta).mean().item()
    d = rd.distortion(VARIANCES, K, sigma2, beta)
    r = rd.rate(VARIANCES, K, sigma2, beta)
    assert d + beta * r == pytest.approx(objective, abs=1e-9)
    rates = linear_gaussian.active_rates(cov, K, math.sqrt(sigma2), beta)
    assert r == pytest.approx(rates.sum().item(), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    logs=st.lists(st.floats(-3, 3), min_size=1, max_size=6),
    sigma2=st.floats(0.05, 5), delta=st.floats(1e-3, 20), data=st.data(),
)  # fmt: skip
def test_beta_for_rate_turns_rate_around(logs, sigma2, delta, data):
    variances = torch.tensor(logs).double().exp()
    K = data.draw(st.integers(1, len(logs)))
    beta = rd.beta_for_rate(variances, K, sigma2, delta)
    assert rd.rate(variances, K, sigma2, beta) == pytest.approx(delta, rel=1e-9)


def test_the_slope_is_minus_beta():
    for low in (0.05, 0.2, 0.9, 3.0):
        high = 1.02 * low
        d = [rd.distortion(VARIANCES, 4, 0.5, beta) for beta in (low, high)]
        r = [rd.rate(VARIANCES, 4, 0.5, beta) for beta in (low, high)]
        slope = (d[1] - d[0]) / (r[1] - r[0])
        assert slope == pytest.approx(-math.sqrt(low * high), rel=1e-3)


def test_no_rate_at_all():
    beta = rd.beta_for_rate(VARIANCES, 3, 0.5, 0.0)
    assert beta == 10.0
    assert rd.rate(VARIANCES, 3, 0.5, beta) == 0.0
    assert rd.rate(VARIANCES, 3, 0.5, 0.99 * beta) > 0.0
    with_zero = torch.tensor([1.0, 0.0]).double()
    assert rd.beta_for_rate(with_zero, 2, 1.0, 1.0) == pytest.approx(math.exp(-2))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: rd.rate(VARIANCES, 6, 1.0, 1.0), "K is 6"),
        (lambda: rd.rate(VARIANCES[None], 1, 1.0, 1.0), "shape"),
        (lambda: rd.rate(-VARIANCES, 1, 1.0, 1.0), "at least 0"),
        (lambda: rd.rate(VARIANCES, 1, 0.0, 1.0), "sigma2 is 0.0"),
        (lambda: rd.distortion(VARIANCES, 1, 1.0, -1.0), "beta is -1.0"),
        (lambda: rd.beta_for_rate(VARIANCES, 1, 1.0, -0.1), "delta is -0.1"),
        (lambda: rd.beta_for_rate(0 * VARIANCES, 1, 1.0, 1.0), "all variances are 0"),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ValueError, match=said):
        call()
