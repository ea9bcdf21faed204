"""How sure a number is, over draws and over seeds; and the same in words."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from conftest import rand
from course_utils.metrics.intervals import (
    mean_in_words,
    percent_in_words,
    seed_interval,
    share,
    share_in_words,
    wilson_interval,
)

# --- over draws ---------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 500), st.floats(0, 1), st.floats(0.5, 0.999))
def test_wilson_agrees_with_scipy(n, share, level):
    k = round(share * n)
    z = stats.norm.ppf((1 + level) / 2)
    expected = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    got = wilson_interval(k, n, z)
    assert got == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_ends_solve_the_equation_they_come_from():
    k, n, z = 13, 40, 1.96
    for p in wilson_interval(k, n, z):
        assert abs(k / n - p) == pytest.approx(z * math.sqrt(p * (1 - p) / n))


def test_wilson_covers_near_the_edge_where_the_textbook_interval_does_not():
    n, p = 40, 0.02  # exact coverage, by enumeration of k
    chance = stats.binom.pmf(range(n + 1), n, p)

    def coverage(interval):
        inside = [low <= p <= high for low, high in map(interval, range(n + 1))]
        return float(chance @ np.array(inside))

    def textbook(k):
        half = 1.96 * math.sqrt(k / n * (1 - k / n) / n)
        return k / n - half, k / n + half

    assert coverage(lambda k: wilson_interval(k, n)) > 0.93
    assert coverage(textbook) < 0.6


@pytest.mark.parametrize(
    ("k", "n", "z"), [(-1, 5, 2.0), (6, 5, 2.0), (0, 0, 2.0), (1, 5, 0.0), (1, 5, -1.0)]
)
def test_wilson_names_bad_numbers(k, n, z):
    with pytest.raises(ValueError):
        wilson_interval(k, n, z)


def test_seed_interval_agrees_with_scipy():
    values = rand(5)
    mean, half = seed_interval(values)
    low, high = stats.t.interval(0.95, 4, loc=mean, scale=stats.sem(values.numpy()))
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_seed_interval_covers_at_its_level():
    values = rand(4000, 5)
    inside = sum(
        abs(mean) <= half for mean, half in (seed_interval(v, 0.9) for v in values)
    )
    assert inside / 4000 == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [[1.0, 2.0]]])
def test_seed_interval_names_bad_values(values):
    with pytest.raises(ValueError, match="values"):
        seed_interval(values)
    with pytest.raises(ValueError, match="level"):
        seed_interval([1.0, 2.0], level=1.0)


# --- in words -----------------------------------------------------------------------

verdicts = st.lists(st.booleans(), min_size=1, max_size=300)
several = st.lists(st.floats(0, 1), min_size=2, max_size=9)


def t_interval(values):
    """Mean and half-width by scipy."""
    half = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return np.mean(values), half


@settings(max_examples=60, deadline=None)
@given(verdicts)
def test_a_share_is_a_count_over_a_count(given_verdicts):
    said = torch.tensor(given_verdicts)
    assert share(said) == given_verdicts.count(True) / len(given_verdicts)
    assert share(said) + share(~said) == pytest.approx(1, abs=1e-15)


@settings(max_examples=60, deadline=None)
@given(verdicts)
def test_a_share_in_words_has_scipy_s_wilson_interval(given_verdicts):
    text = share_in_words(torch.tensor(given_verdicts))
    form = r"(\d+\.\d) % \(95 %: (\d+\.\d) to (\d+\.\d) %\)"
    middle, low, high = map(float, re.fullmatch(form, text).groups())
    k, n = given_verdicts.count(True), len(given_verdicts)
    level = 2 * stats.norm.cdf(1.96) - 1  # 95.0004 %
    wilson = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    wanted = (100 * k / n, 100 * wilson.low, 100 * wilson.high)
    assert (middle, low, high) == pytest.approx(wanted, abs=0.05001)


@settings(max_examples=60, deadline=None)
@given(several, st.integers(1, 4))
def test_a_mean_in_words_has_scipy_s_t_interval(values, digits):
    text = mean_in_words(values, digits)
    middle, half = text.split(" ± ")
    assert all(len(part.split(".")[1]) == digits for part in (middle, half))
    rounding = 0.501 * 10.0**-digits
    assert (float(middle), float(half)) == pytest.approx(
        t_interval(values), abs=rounding
    )
    assert mean_in_words(torch.tensor(values, dtype=torch.float64), digits) == text


@settings(max_examples=60, deadline=None)
@given(several, st.integers(1, 3))
def test_per_cent_are_a_hundred_times_the_shares(shares, digits):
    text = percent_in_words(shares, digits)
    middle, half = map(float, text.removesuffix(" %").split(" ± "))
    wanted = [100 * number for number in t_interval(shares)]
    assert text.endswith(" %")
    assert (middle, half) == pytest.approx(wanted, abs=0.501 * 10.0**-digits)


def test_words_by_example():
    assert share_in_words(torch.ones(20, dtype=torch.bool)).startswith("100.0 % (95 %")
    assert mean_in_words([1.0, 1.0, 1.0]) == "1.00 ± 0.00"
    assert mean_in_words([-3.0, -1.0], 1) == "-2.0 ± 12.7"
    assert percent_in_words([0.5, 0.5], 0) == "50 ± 0 %"


def test_one_seed_and_no_draw_have_no_interval():
    with pytest.raises(ValueError, match="at least two numbers"):
        mean_in_words([1.0])
    with pytest.raises(ValueError, match="at least two numbers"):
        percent_in_words([0.5])
    with pytest.raises(ValueError, match="n >= 1"):
        share_in_words(torch.zeros(0, dtype=torch.bool))
