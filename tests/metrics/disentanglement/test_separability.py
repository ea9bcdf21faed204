"""SAP: squared correlations and thresholds, latent by latent."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import LinearRegression
from sklearn.svm import LinearSVC

from conftest import rand
from course_utils.metrics.disentanglement.codes import halves
from course_utils.metrics.disentanglement.separability import sap, sap_matrix


def grid(*levels, repeat=1):
    rows = list(itertools.product(*map(range, levels)))
    return torch.tensor(rows).repeat(repeat, 1)


def standardised(v):
    v = v.double()
    return (v - v.mean(dim=0)) / v.std(dim=0, correction=0)


def test_ordered_factors_agree_with_scikit_learns_regression():
    v = grid(3, 4, 5, repeat=3)
    z = v.double() @ rand(3, 4) + rand(180, 4, seed=1)
    found = sap_matrix(z, v)
    for j, k in itertools.product(range(4), range(3)):
        x, y = z[:, [j]].numpy(), v[:, k].numpy()
        expected = LinearRegression().fit(x, y).score(x, y)
        assert found[j, k] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("angle", [0, 0.3, math.pi / 4, 1.2])
def test_a_rotation_in_the_plane_in_closed_form(angle):
    """R² are cos² and sin²: the gap of either factor is |cos 2α|."""
    v = grid(4, 6)
    c, s = math.cos(angle), math.sin(angle)
    z = standardised(v) @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
    assert sap(z, v) == pytest.approx(abs(math.cos(2 * angle)), abs=1e-9)


def test_classes_without_an_order_need_thresholds():
    v = grid(3, 4, repeat=20)
    place = torch.tensor([5.0, -1.0, 2.0]).double()[v[:, 0]]  # 1, 2, 0 on the line
    z = torch.stack([place + 0.01 * rand(240), rand(240, seed=1)], dim=1)
    assert sap_matrix(z, v, categorical=(0,))[0, 0] == 1
    assert sap_matrix(z, v)[0, 0] < 0.8


def test_guessing_a_class_scores_about_zero():
    v = grid(3, 4, repeat=200)
    scores = sap_matrix(rand(2400, 5), v, categorical=(0, 1))
    assert (scores >= 0).all() and (scores < 0.06).all()


def test_rare_classes_count_as_much_as_frequent_ones():
    rare = torch.tensor([0] * 900 + [1] * 100)[torch.randperm(1000)]
    v = torch.stack([rare, torch.arange(1000) % 2], dim=1)
    blind = sap_matrix(rand(1000, 1), v, categorical=(0,))
    assert blind[0, 0] < 0.15  # not 0.9, which guessing class 0 would reach


def test_a_threshold_between_two_normal_classes_in_closed_form():
    """One standard deviation apart: half-way, each recall is Φ(1/2), rare or not."""
    rare = (torch.arange(20_000) % 20 == 0).long()
    v = torch.stack([rare, torch.arange(20_000) // 2 % 2], dim=1)
    z = rare[:, None] + rand(20_000, 6)  # six latents that differ by their noise
    expected = 2 * norm.cdf(0.5) - 1
    found = sap_matrix(z, v, categorical=(0,))[:, 0].mean()
    assert found == pytest.approx(expected, abs=0.04)


def test_latents_are_judged_on_rows_that_the_tree_has_not_seen():
    v = grid(8, 2, repeat=5)
    scores = sap_matrix(rand(80, 40), v, categorical=(0,))  # a value a row
    # Eight thresholds get a third of 40 rows right by heart, and 1 in 8 of the others.
    assert scores[:, 0].mean() < 0.15


def test_the_gap_is_between_latents_and_for_each_factor():
    v = grid(4, 6)
    s = standardised(v)
    z = torch.stack([s[:, 0], s[:, 0] + s[:, 1], 7 * s[:, 1]], dim=1)
    np.testing.assert_allclose(
        sap_matrix(z, v), [[1, 0], [0.5, 0.5], [0, 1]], atol=1e-9
    )
    assert sap(z, v) == pytest.approx(0.5)


def test_order_scale_and_sign_of_latents_do_not_matter():
    v = grid(3, 4, 5, repeat=3)
    z = v.double() @ rand(3, 4) + 0.1 * rand(180, 4, seed=1)
    moved = (z * torch.tensor([-1.0, 50, 1e-3, 2]) + 4)[:, [3, 1, 0, 2]]
    assert sap(moved, v) == pytest.approx(sap(z, v), abs=1e-9)
    with_classes = sap(z, v, categorical=(0,))
    assert sap(z[:, [3, 1, 0, 2]], v, (0,)) == pytest.approx(with_classes, abs=1e-12)


def test_a_constant_latent_scores_zero_and_changes_nothing():
    v = grid(3, 4, repeat=5)
    z = standardised(v)
    constant = torch.full((60, 1), 7.0).double()
    wider = torch.cat([constant, z, 0 * constant], dim=1)
    scores = sap_matrix(wider, v, categorical=(0,))
    assert not scores[[0, 3]].any()
    assert sap(wider, v, (0,)) == pytest.approx(sap(z, v, (0,)), abs=1e-12)
    assert sap(constant, v, (0,)) == 0


def test_a_single_latent_is_compared_with_nothing():
    v = grid(3, 4)
    assert sap(standardised(v)[:, :1], v) == pytest.approx(0.5)


def test_ordered_factors_agree_with_disentanglement_lib():
    """Its squared covariance over the product of the variances, best less second."""
    v = grid(3, 4, 5, repeat=3)
    z = v.double() @ rand(3, 4) + rand(180, 4, seed=1)
    table = np.zeros((4, 3))
    for j, k in itertools.product(range(4), range(3)):
        c = np.cov(z[:, j], v[:, k], ddof=1)
        table[j, k] = c[0, 1] ** 2 / (c[0, 0] * c[1, 1])
    ordered = np.sort(table, axis=0)
    assert sap(z, v) == pytest.approx(np.mean(ordered[-1] - ordered[-2]), abs=1e-12)


def test_the_svm_is_the_one_of_disentanglement_lib():
    v = grid(3, 4, repeat=40)
    z = v.double() @ rand(2, 3) + 0.5 * rand(480, 3, seed=1)
    found = sap_matrix(z, v, categorical=(0, 1), seed=3, classifier="svm")
    for j, k in itertools.product(range(3), range(2)):
        fit, new = halves(v[:, k], seed=3)
        own = ((z - z[fit].mean(0)) / z[fit].std(0, correction=0))[:, [j]].numpy()
        machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
        machine.fit(own[fit], v[fit, k])
        accuracy = (machine.predict(own[new]) == v[new, k].numpy()).mean()
        assert found[j, k] == pytest.approx(accuracy, abs=0.01)
    perfect = sap(v.double(), v, categorical=(0, 1), classifier="svm")
    assert perfect < sap(v.double(), v, categorical=(0, 1)) == 1


@pytest.mark.parametrize("categorical", [(2,), (-1,), (0.7,)])
def test_a_factor_that_is_not_there_is_refused(categorical):
    with pytest.raises(ValueError, match="categorical must name factors 0 to 1"):
        sap(torch.ones(12, 2), grid(3, 4), categorical)
