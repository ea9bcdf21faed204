"""The hole meter: verdicts, whitening, cycle error, paths, intervals."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from course_utils.metrics.holes import (
    HoleMeter,
    Whitening,
    cycle_error,
    nearest_two,
    straight_path,
    whiten,
)
from course_utils.metrics.intervals import seed_interval, wilson_interval


def rand(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def clusters(count=60, seed=0):
    """Three tight clusters in the plane, 10 apart."""
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], dtype=torch.float64)
    labels = torch.arange(count) % 3
    return centres[labels] + 0.5 * rand(count, 2, seed=seed), labels


# --- nearest_two --------------------------------------------------------------------


def test_distance_agrees_with_scikit_learn():
    x, reference = rand(23, 5), rand(31, 5, seed=1)
    labels = torch.arange(31) % 4
    distance, _ = nearest_two(x, reference, labels)
    tree = NearestNeighbors(n_neighbors=1).fit(reference.numpy())
    expected = tree.kneighbors(x.numpy())[0][:, 0]
    np.testing.assert_allclose(distance, expected, rtol=1e-12)


def test_ratio_agrees_with_a_search_by_hand():
    x, reference = rand(11, 4), rand(17, 4, seed=1)
    labels = torch.arange(17) % 3
    distance, ratio = nearest_two(x, reference, labels)
    for i, point in enumerate(x):
        gaps = [
            (math.dist(point, r), int(c))
            for r, c in zip(reference, labels, strict=True)
        ]
        near, near_class = min(gaps)
        other = min(gap for gap, c in gaps if c != near_class)
        assert distance[i] == pytest.approx(near, rel=1e-12)
        assert ratio[i] == pytest.approx(near / other, rel=1e-12)


def test_many_rows_are_split_without_a_seam(monkeypatch):
    x, reference = rand(50, 3), rand(9, 3, seed=1)
    labels = torch.arange(9) % 2
    whole = nearest_two(x, reference, labels)
    monkeypatch.setattr("course_utils.metrics.holes.ROWS_AT_ONCE", 7)
    split = nearest_two(x, reference, labels)
    assert all(map(torch.equal, whole, split))


def test_a_reference_itself_is_at_distance_exactly_zero():
    reference = rand(9, 3).float() + 1000  # where the fast formula would cancel
    distance, ratio = nearest_two(reference, reference, torch.arange(9) % 2)
    assert not distance.any() and not ratio.any()


def test_a_point_that_lies_in_both_classes_is_between():
    reference = torch.zeros(2, 3)
    _, ratio = nearest_two(torch.zeros(1, 3), reference, torch.tensor([0, 1]))
    assert ratio.item() == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_ratio_has_no_unit_and_the_distance_has(seed, scale):
    x, reference = rand(5, 3, seed=seed), rand(8, 3, seed=seed + 1)
    labels = torch.arange(8) % 3
    distance, ratio = nearest_two(x, reference, labels)
    scaled = nearest_two(scale * x, scale * reference, labels)
    torch.testing.assert_close(scaled[0], scale * distance)
    torch.testing.assert_close(scaled[1], ratio)
    assert (ratio >= 0).all() and (ratio <= 1).all()


@pytest.mark.parametrize(
    ("x", "reference", "labels", "says"),
    [
        (torch.ones(3), torch.ones(2, 3), torch.tensor([0, 1]), r"x has shape"),
        (torch.ones(1, 2), torch.ones(2, 3), torch.tensor([0, 1]), "columns"),
        (torch.ones(1, 3), torch.ones(2, 3), torch.tensor([0]), "one label"),
        (torch.ones(1, 3), torch.ones(2, 3), torch.tensor([4, 4]), "two classes"),
        (torch.full((1, 3), math.nan), torch.ones(2, 3), torch.tensor([0, 1]), "NaN"),
        (torch.ones(1, 3).long(), torch.ones(2, 3), torch.tensor([0, 1]), "float"),
    ],
)
def test_bad_images_are_named(x, reference, labels, says):
    with pytest.raises(ValueError, match=says):
        nearest_two(x, reference, labels)


# --- the meter ----------------------------------------------------------------------


def test_meter_knows_clusters_from_holes():
    reference, labels = clusters(600)
    meter = HoleMeter.fit(reference, labels, clusters(600, seed=1)[0], level=0.05)
    fresh = clusters(3000, seed=2)[0]
    assert 0.01 < meter.off(fresh).double().mean() < 0.1  # about 0.05
    middle = torch.tensor([[5.0, 0.0], [0.0, 5.0]], dtype=torch.float64)
    away = torch.tensor([[-30.0, 0.0]], dtype=torch.float64)
    assert meter.between(middle).all()
    assert meter.far(away).all() and meter.off(away).all()


def test_each_limit_is_exceeded_by_half_the_level():
    reference, labels = clusters(300)
    held_out = clusters(1000, seed=1)[0]
    meter = HoleMeter.fit(reference, labels, held_out, level=0.1)
    assert meter.far(held_out).sum() == 50
    assert meter.between(held_out).sum() == 50
    assert 50 <= meter.off(held_out).sum() <= 100


def test_off_is_far_or_between():
    reference, labels = clusters()
    meter = HoleMeter.fit(reference, labels, clusters(seed=1)[0])
    x = 10 * rand(400, 2, seed=3)
    far, between = meter.far(x), meter.between(x)
    assert torch.equal(meter.off(x), far | between)
    assert (far & ~between).any() and (between & ~far).any() and (~far & ~between).any()


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, math.nan])
def test_level_out_of_range_is_named(level):
    reference, labels = clusters()
    with pytest.raises(ValueError, match="level"):
        HoleMeter.fit(reference, labels, reference, level=level)


# --- whitening ----------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_whitened_codes_have_mean_zero_and_unit_covariance(seed, units):
    codes = rand(40, units, seed=seed) @ rand(units, units, seed=seed + 1) + 3
    whitening = Whitening.fit(codes)
    white = whitening.whiten(codes)
    covariance = white.T @ white / 40
    torch.testing.assert_close(white.mean(0), torch.zeros_like(white[0]))
    torch.testing.assert_close(covariance, torch.eye(whitening.active).double())
    if whitening.active == units:
        torch.testing.assert_close(whitening.colour(white), codes)


def test_distances_in_whitened_units_are_mahalanobis():
    codes = rand(50, 3) @ rand(3, 3, seed=1)
    inverse = np.linalg.inv(np.cov(codes.numpy().T, bias=True))
    expected = [
        (row - codes.mean(0)).numpy() @ inverse @ (row - codes.mean(0)).numpy()
        for row in codes
    ]
    np.testing.assert_allclose(whiten(codes).square().sum(1), expected, rtol=1e-9)


def test_colour_gives_draws_the_codes_moments():
    codes = rand(200, 3) @ rand(3, 3, seed=1) - 5
    whitening = Whitening.fit(codes)
    eps = whiten(rand(500, 3, seed=2))  # exactly mean 0 and covariance I
    draws = whitening.colour(eps)
    torch.testing.assert_close(draws.mean(0), codes.mean(0))
    torch.testing.assert_close(
        torch.cov(draws.T, correction=0), torch.cov(codes.T, correction=0)
    )


def test_a_unit_that_never_varies_is_inactive():
    codes = rand(30, 4)
    codes[:, 2] = 7.0
    whitening = Whitening.fit(codes)
    assert whitening.active == 3
    assert whitening.whiten(codes).shape == (30, 3)
    torch.testing.assert_close(whitening.colour(whitening.whiten(codes)), codes)
    with pytest.raises(ValueError, match="all 4 directions"):
        whiten(codes)


@pytest.mark.parametrize(
    "codes", [torch.ones(5, 2), torch.zeros(5, 2), torch.ones(1, 2)]
)
def test_codes_that_do_not_vary_are_named(codes):
    with pytest.raises(ValueError, match="vary"):
        Whitening.fit(codes)


# --- cycle error and paths ----------------------------------------------------------


def test_cycle_error_of_a_known_shift():
    z = rand(6, 4)
    shift = torch.tensor([3.0, -3.0, 3.0, 3.0]).double()
    torch.testing.assert_close(
        cycle_error(z, z + shift), torch.full((6,), 3.0).double()
    )
    with pytest.raises(ValueError, match="one shape"):
        cycle_error(z, z[:, :2])


def test_cycle_error_does_not_grow_with_the_number_of_units():
    small, large = rand(4000, 2), rand(4000, 32, seed=1)
    for z in (small, large):
        mean_square = cycle_error(z, torch.zeros_like(z)).square().mean()
        assert mean_square == pytest.approx(1.0, abs=0.06)


def test_path_starts_ends_and_keeps_pace():
    start, end = rand(5, 3), rand(5, 3, seed=1)
    path = straight_path(start, end, 7)
    assert path.shape == (7, 5, 3)
    assert torch.equal(path[0], start) and torch.equal(path[-1], end)
    torch.testing.assert_close(path[3], (start + end) / 2)
    paces = (path[1:] - path[:-1]).norm(dim=2)
    torch.testing.assert_close(paces, paces[:1].expand(6, 5))
    with pytest.raises(ValueError, match="steps"):
        straight_path(start, end, 1)
    with pytest.raises(ValueError, match="one shape"):
        straight_path(start, end[:2], 3)


# --- intervals ----------------------------------------------------------------------


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
