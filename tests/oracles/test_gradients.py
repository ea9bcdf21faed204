"""Gradients of E_q[f] and the variances of their estimators, against quadrature."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from course_utils.oracles.gradients import (
    best_baseline,
    expectation,
    pathwise_moments,
    score_moments,
)

CASES = [
    ([1.0], 0.3, -0.4),
    ([0.5, -2.0], 1.2, 0.7),
    ([1.0, 2.0, -0.7], -0.8, -1.1),
    ([0.0, 1.0, 0.5, -0.3, 0.2], 0.6, 0.2),
]


def integral(function, mu, logvar):
    """E_q of a function of z, by adaptive quadrature."""
    q = stats.norm(mu, math.exp(logvar / 2))
    low, high = q.ppf(1e-18), q.isf(1e-18)
    value = integrate.quad(lambda z: function(z) * q.pdf(z), low, high, epsabs=1e-12)
    return value[0]


def estimators(c, mu, logvar, baseline=(0.0, 0.0)):
    """The four estimators as functions of z, written out with numpy's polynomials."""
    f = np.polynomial.Polynomial(c)
    slope = f.deriv()
    variance = math.exp(logvar)
    score = [
        lambda z: (f(z) - baseline[0]) * (z - mu) / variance,
        lambda z: (f(z) - baseline[1]) * ((z - mu) ** 2 / variance - 1) / 2,
    ]
    path = [slope, lambda z: slope(z) * (z - mu) / 2]
    return score, path


@pytest.mark.parametrize(("c", "mu", "logvar"), CASES)
def test_the_expectation_is_the_integral(c, mu, logvar):
    want = integral(np.polynomial.Polynomial(c), mu, logvar)
    assert expectation(c, mu, logvar).item() == pytest.approx(want, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("c", "mu", "logvar"), CASES)
@pytest.mark.parametrize("baseline", [(0.0, 0.0), (1.5, -0.4)])
def test_means_and_variances_are_integrals(c, mu, logvar, baseline):
    score, path = estimators(c, mu, logvar, baseline)
    for moments, functions in (
        (score_moments(c, mu, logvar, baseline), score),
        (pathwise_moments(c, mu, logvar), path),
    ):
        for i, g in enumerate(functions):
            mean = integral(g, mu, logvar)
            variance = integral(lambda z, g=g, m=mean: (g(z) - m) ** 2, mu, logvar)
            assert moments.mean[i].item() == pytest.approx(mean, rel=1e-8, abs=1e-8)
            assert moments.variance[i].item() == pytest.approx(
                variance, rel=1e-8, abs=1e-8
            )


numbers = st.floats(-2, 2, allow_nan=False)


@given(st.lists(numbers, min_size=1, max_size=6), numbers, numbers)
def test_both_estimators_have_the_gradient_as_mean(c, mu, logvar):
    step = 1e-4
    finite = [
        (expectation(c, mu + a * step, logvar + b * step)
         - expectation(c, mu - a * step, logvar - b * step)).item() / (2 * step)
        for a, b in ((1, 0), (0, 1))
    ]  # fmt: skip
    size = 1 + max(map(abs, c)) * 1000
    for moments in (score_moments(c, mu, logvar), pathwise_moments(c, mu, logvar)):
        assert moments.mean.tolist() == pytest.approx(finite, abs=1e-6 * size)
        assert (moments.variance >= 0).all()


@given(numbers, numbers, numbers)
def test_a_square_by_hand(a, mu, logvar):
    c, d, s2 = [a * a, -2 * a, 1.0], mu - a, math.exp(logvar)
    score = score_moments(c, mu, logvar)
    path = pathwise_moments(c, mu, logvar)
    assert path.variance.tolist() == pytest.approx(
        [4 * s2, d**2 * s2 + 2 * s2**2], rel=1e-7
    )
    assert score.variance.tolist() == pytest.approx(
        [
            d**4 / s2 + 14 * d**2 + 15 * s2,
            d**4 / 2 + 15 * d**2 * s2 + 18.5 * s2**2,
        ],
        rel=1e-7,
    )
    b = best_baseline(c, mu, logvar)
    assert b.tolist() == pytest.approx([d**2 + 3 * s2, d**2 + 5 * s2], rel=1e-7)
    assert score_moments(c, mu, logvar, b).variance.tolist() == pytest.approx(
        [8 * d**2 + 6 * s2, 10 * d**2 * s2 + 6 * s2**2], rel=1e-6
    )


@pytest.mark.parametrize(("c", "mu", "logvar"), CASES)
def test_no_baseline_beats_the_best(c, mu, logvar):
    best = best_baseline(c, mu, logvar)
    least = score_moments(c, mu, logvar, best).variance
    for step in (-0.1, 0.1):
        assert (score_moments(c, mu, logvar, best + step).variance > least).all()


def test_a_constant_costs_the_score_function_alone():
    for estimate in (score_moments, pathwise_moments):
        plain = estimate([0, 0, 1], 0.5, 0.0)
        raised = estimate([10, 0, 1], 0.5, 0.0)
        assert torch.allclose(plain.mean, raised.mean)
        same = torch.allclose(plain.variance, raised.variance)
        assert same == (estimate is pathwise_moments)


@pytest.mark.parametrize(
    ("c", "mu", "logvar", "baseline", "named"),
    [
        ([], 0.0, 0.0, 0.0, "coefficients are empty"),
        ([1.0, math.nan], 0.0, 0.0, 0.0, "coefficients hold"),
        ([1.0], math.inf, 0.0, 0.0, "mu hold"),
        ([1.0], 0.0, math.nan, 0.0, "logvar hold"),
        ([1.0], 0.0, 0.0, [1.0, 2.0, 3.0], "baseline"),
        ([1.0], 0.0, 0.0, math.nan, "baseline"),
    ],
)
def test_bad_input_is_named(c, mu, logvar, baseline, named):
    with pytest.raises(ValueError, match=named):
        score_moments(c, mu, logvar, baseline)
