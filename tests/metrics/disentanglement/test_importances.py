"""DCI: the two entropies, the estimators, and what is predicted."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier

from conftest import rand
from course_utils.metrics.disentanglement.codes import halves
from course_utils.metrics.disentanglement.importances import (
    ESTIMATORS,
    completeness,
    dci,
    disentanglement,
)


def grid(*levels, repeat=1):
    rows = list(itertools.product(*map(range, levels)))
    return torch.tensor(rows).repeat(repeat, 1)


def standardised(v):
    v = v.double()
    return (v - v.mean(dim=0)) / v.std(dim=0, correction=0)


# --- the two entropies --------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(2, 6), st.integers(2, 5), st.integers(0, 9999))
def test_scores_of_importances_agree_with_scipy(latents, factors, seed):
    table = rand(latents, factors, seed=seed).abs()
    table[seed % latents] = 0  # an unused latent
    rows = [(row.sum(), 1 - entropy(row, base=factors)) for row in table if row.sum()]
    weights = np.array([w for w, _ in rows])
    expected = np.average([d for _, d in rows], weights=weights)
    assert disentanglement(table) == pytest.approx(expected, abs=1e-9)
    columns = [1 - entropy(column, base=latents) for column in table.T]
    assert completeness(table) == pytest.approx(np.mean(columns), abs=1e-9)


def test_a_latent_for_all_factors_and_a_factor_over_all_latents():
    one_latent_for_all = torch.tensor([[1.0, 1, 1], [0, 0, 0], [0, 0, 0]])
    assert disentanglement(one_latent_for_all) == pytest.approx(0, abs=1e-12)
    assert completeness(one_latent_for_all) == pytest.approx(1)
    two_latents_each = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert disentanglement(two_latents_each) == pytest.approx(1)
    assert completeness(two_latents_each) == pytest.approx(0.5)  # log 2 of log 4


def test_importances_may_be_very_large():
    table = torch.tensor([[2.0, 1, 0], [0, 3, 4]]).double()
    for scale in (1e308 / 4, 1e-300):
        assert disentanglement(scale * table) == pytest.approx(disentanglement(table))
        assert completeness(scale * table) == pytest.approx(completeness(table))


def test_nothing_that_matters_scores_zero():
    assert disentanglement(torch.zeros(3, 2)) == completeness(torch.zeros(3, 2)) == 0
    assert completeness(torch.tensor([[1.0, 0], [0, 0]])) == 0.5


@pytest.mark.parametrize("score", [disentanglement, completeness])
@pytest.mark.parametrize(
    ("table", "says"),
    [
        (torch.ones(3), "shape"),
        (torch.ones(3, 1), "K, F >= 2"),
        (-torch.ones(2, 2), "not negative"),
        (torch.full((2, 2), math.inf), "finite"),
        (np.ones((2, 2)), "a NumPy array"),
    ],
)
def test_bad_importances_are_refused(score, table, says):
    with pytest.raises(ValueError, match=says):
        score(table)


# --- from codes ---------------------------------------------------------------------


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("categorical", [(), (0,)])
def test_a_perfect_code(estimator, categorical):
    v = grid(3, 4, 5, repeat=8)
    z = torch.cat([rand(480, 1), standardised(v)[:, [2, 0, 1]]], dim=1)
    scores = dci(z, v, categorical, estimator=estimator)
    assert scores.disentanglement > 0.97 and scores.completeness > 0.97
    blind = estimator == "lasso" and categorical  # the middle class is on no line
    assert scores.informativeness > (0.8 if blind else 0.97)
    assert scores.importance.argmax(dim=0).tolist() == [2, 3, 1]
    assert scores.importance.shape == (4, 3)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_unrelated_codes_inform_of_nothing(estimator):
    v = grid(3, 4, repeat=70)
    scores = dci(rand(840, 4), v, (0,), estimator=estimator)
    chance = (1 / 3 + 1 / 4) / 2 if estimator == "classifier" else 0
    assert -0.25 < scores.informativeness - chance < 0.05
    if estimator != "lasso":
        assert scores.disentanglement < 0.15


def test_lasso_weights_in_closed_form():
    """Uncorrelated latents: each weight is its covariance less the penalty, or 0."""
    v = grid(4, 6, repeat=2000)
    c, s = math.cos(0.05), math.sin(0.05)
    z = standardised(v) @ torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
    scores = dci(z, v, estimator="lasso")
    # sin 0.05 lies below the penalty of 0.1
    np.testing.assert_allclose(
        scores.importance, [[c - 0.1, 0], [0, c - 0.1]], atol=0.02
    )
    assert scores.importance[0, 1] == scores.importance[1, 0] == 0
    # what is left: the penalty squared, and the small latent
    lost = (1 - c * (c - 0.1)) ** 2 + (s * (c - 0.1)) ** 2
    assert scores.informativeness == pytest.approx(1 - lost, abs=0.005)


def test_classes_without_an_order_are_classified():
    v = grid(3, 4, repeat=30)
    place = torch.tensor([5.0, -1.0, 2.0]).double()[v[:, 0]]
    z = torch.stack([place, v[:, 1].double()], dim=1)
    scores = dci(z, v, categorical=(0,))
    assert scores.informativeness == pytest.approx(1, abs=1e-6)


def test_lasso_adds_up_what_tells_each_class():
    """One latent a class: all three matter alike, and together the class is known."""
    v = grid(3, 4, repeat=100)
    z = torch.cat([torch.nn.functional.one_hot(v[:, 0]), v[:, 1:]], dim=1).double()
    scores = dci(z, v, categorical=(0,), estimator="lasso")
    shares = scores.importance[:, 0] / scores.importance[:, 0].sum()
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, 1 / 3, 0], atol=0.03)
    assert scores.informativeness > 0.99


def test_guessing_the_most_frequent_class_informs_of_nothing():
    rare = torch.tensor([0] * 450 + [1] * 50)
    v = torch.stack([rare, torch.arange(500) % 2], dim=1)
    z = torch.stack([torch.zeros(500), v[:, 1].float()], dim=1)
    scores = dci(z, v, categorical=(0, 1))
    assert scores.informativeness == pytest.approx(0.5, abs=1e-9)  # 0 and 1


@pytest.mark.parametrize("estimator", ["forest", "lasso"])
def test_scale_and_sign_of_latents_do_not_matter(estimator):
    v = grid(3, 4, 5, repeat=6)
    z = standardised(v) @ rand(3, 3) + 0.1 * rand(360, 3, seed=1)
    plain = dci(z, v, estimator=estimator)
    moved = dci(z * torch.tensor([64.0, -0.125, 1]), v, estimator=estimator)
    for name in ("disentanglement", "completeness", "informativeness"):
        close = (
            0.02 if estimator == "forest" else 1e-9
        )  # a tree's ties turn with the sign
        assert getattr(moved, name) == pytest.approx(getattr(plain, name), abs=close)


@pytest.mark.parametrize("estimator", ["forest", "lasso"])
def test_unused_latents_matter_for_nothing(estimator):
    v = grid(3, 4, repeat=10)
    jitter = 0.1 + 1e-8 * v[:, :1].float()  # steps of rounding
    constant = torch.full((120, 1), 7.0)
    z = torch.cat([constant, standardised(v).float(), jitter], dim=1)
    scores = dci(z, v, (0,), estimator=estimator)
    assert not scores.importance[[0, 3]].any()
    assert scores.disentanglement == pytest.approx(1, abs=0.01)
    dead = dci(torch.cat([constant, constant], dim=1), v, (0,), estimator=estimator)
    assert dead.disentanglement == dead.completeness == 0
    assert dead.informativeness == pytest.approx(0, abs=0.02)


def test_the_seed_decides():
    v = grid(3, 4, repeat=20)
    z = v.double() @ rand(2, 3) + rand(240, 3, seed=1)
    first, again, other = dci(z, v, seed=1), dci(z, v, seed=1), dci(z, v, seed=2)
    assert torch.equal(first.importance, again.importance)
    assert first.informativeness == again.informativeness != other.informativeness


def test_the_classifier_is_what_disentanglement_lib_fits():
    """GradientBoostingClassifier on every factor, and its plain accuracy."""
    v = grid(3, 4, repeat=20)
    z = v.double() @ rand(2, 3) + rand(240, 3, seed=1)
    found = dci(z, v, estimator="classifier", seed=2)
    accuracies = []
    for k, classes in enumerate(v.T):
        fit, new = halves(classes, seed=2)
        model = GradientBoostingClassifier(random_state=2).fit(z[fit], classes[fit])
        np.testing.assert_allclose(
            found.importance[:, k], model.feature_importances_, atol=0.02
        )
        accuracies.append(model.score(z[new], classes[new]))
    assert found.informativeness == pytest.approx(np.mean(accuracies), abs=0.02)
    theirs = 1 - entropy(found.importance.numpy() + 1e-11, base=3)  # not weighted
    assert found.completeness == pytest.approx(theirs.mean(), abs=1e-6)


@pytest.mark.parametrize(
    ("z", "v", "more", "says"),
    [
        (torch.ones(24, 2), grid(4, 6), {"estimator": "oracle"}, "estimator must be"),
        (torch.ones(24, 1), grid(4, 6), {}, "two latents"),
        (torch.ones(24, 2), grid(24), {}, "two factors"),
        (torch.ones(36, 2), grid(6, 6), {}, "40 rows"),
        (torch.ones(24, 2), grid(4, 6), {"categorical": (2,)}, "categorical"),
    ],
)
def test_bad_arguments_are_refused(z, v, more, says):
    with pytest.raises(ValueError, match=says):
        dci(z, v, **more)
