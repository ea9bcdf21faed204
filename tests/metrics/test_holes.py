"""The hole meter: distances, verdicts, and how much of the data the images reach."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from conftest import rand
from course_utils.metrics.holes import HoleMeter, nearest_two


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


def test_a_reference_left_out_is_as_if_it_had_never_been_there(monkeypatch):
    monkeypatch.setattr("course_utils.metrics.holes.ROWS_AT_ONCE", 4)  # over a seam
    reference, labels = rand(13, 3), torch.arange(13) % 3
    x, own = reference + 0.1 * rand(13, 3, seed=1), torch.arange(13).flip(0)
    distance, ratio = nearest_two(x, reference, labels, without=own)
    for i, gone in enumerate(own):
        rest = torch.arange(13) != gone
        alone = nearest_two(x[i : i + 1], reference[rest], labels[rest])
        torch.testing.assert_close((distance[i : i + 1], ratio[i : i + 1]), alone)


def test_references_without_themselves_lie_at_their_second_neighbour():
    reference, labels = rand(25, 4), torch.arange(25) % 4
    distance, _ = nearest_two(reference, reference, labels, torch.arange(25))
    tree = NearestNeighbors(n_neighbors=2).fit(reference.numpy())
    expected = tree.kneighbors(reference.numpy())[0][:, 1]
    np.testing.assert_allclose(distance, expected, rtol=1e-12)


def test_where_no_other_class_is_left_nothing_stands_between():
    reference, labels = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0, 0, 1])
    x = torch.tensor([[1.4]])
    assert nearest_two(x, reference, labels)[1] > 0.6
    assert nearest_two(x, reference, labels, without=torch.tensor([2]))[1] == 0


@pytest.mark.parametrize(
    ("without", "says"),
    [
        (torch.tensor([0.0, 1.0]), r"indices \(int64\), got torch.float32"),
        ([0, 1], r"indices \(int64\), got list"),
        (torch.tensor([0]), r"one index per image \(2,\), got \(1,\)"),
        (torch.tensor([0, 3]), "from 0 to 2, got 0 to 3"),
        (torch.tensor([-1, 0]), "from 0 to 2, got -1 to 0"),
    ],
)
def test_bad_indices_are_named(without, says):
    with pytest.raises(ValueError, match=says):
        nearest_two(torch.zeros(2, 1), torch.rand(3, 1), torch.arange(3), without)


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


def test_off_forgets_the_reference_that_an_image_was_made_from():
    reference, labels = clusters()
    meter = HoleMeter.fit(reference, labels, clusters(seed=1)[0])
    lonely = torch.cat([reference, torch.full((1, 2), 50.0, dtype=torch.float64)])
    meter = HoleMeter(
        lonely, torch.cat([labels, labels[:1]]), meter.distance_limit, meter.ratio_limit
    )
    x, own = lonely[-1:], torch.tensor([60])
    assert not meter.off(x).any()
    assert meter.off(x, without=own).all()


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, math.nan])
def test_level_out_of_range_is_named(level):
    reference, labels = clusters()
    with pytest.raises(ValueError, match="level"):
        HoleMeter.fit(reference, labels, reference, level=level)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 40))
def test_variety_is_the_share_of_the_data_that_an_image_comes_near(seed, N, M):
    x, images = rand(N, 3, seed=seed), rand(M, 3, seed=seed + 1)
    limit = 0.2 + 0.05 * (seed % 30)
    meter = HoleMeter(images, torch.zeros(M), distance_limit=limit, ratio_limit=0.0)
    near = sum(any(math.dist(a, b) <= limit for b in images) for a in x)
    assert meter.variety(x, images) == pytest.approx(near / N, abs=1e-12)


def test_variety_counts_the_data_and_not_the_images():
    """A thousand copies of one image reach one of four; the limit itself is near."""
    x = torch.tensor([[0.0], [2.0], [4.0], [6.5]])
    meter = HoleMeter(x, torch.zeros(4), distance_limit=2.0, ratio_limit=0.0)
    assert meter.variety(x, torch.zeros(1000, 1) - 1) == 0.25
    assert meter.variety(x, torch.tensor([[2.0]])) == 0.75
    assert meter.variety(x[:1], x) == 1.0
