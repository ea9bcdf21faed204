"""A few labels on factors: who is labelled, what the loss weighs, what is stored."""

import pytest
import torch

from course_utils.data.factors import FACTORS
from course_utils.experiments import factor_labels as labels
from course_utils.experiments.sweeps import SWEEPS


def test_labelled_pictures_are_of_the_training_part_and_differ_by_seed():
    part = set(SWEEPS["sprites"].grid().split("train").tolist())
    drawn = [set(labels.labelled_rows(100, seed).tolist()) for seed in range(3)]
    assert all(len(rows) == 100 and rows <= part for rows in drawn)
    assert drawn[0] != drawn[1]
    few = set(labels.labelled_rows(20, 0).tolist())
    assert few < drawn[0]  # more labels are the same ones and others


def test_standardised_factors_have_mean_0_and_variance_1():
    classes = SWEEPS["sprites"].grid().factors(slice(None)).classes[:, [1, 2, 4, 5]]
    told = labels.standardised(classes)
    assert told.mean(0).abs().max() < 1e-6
    assert (told.var(0, correction=0) - 1).abs().max() < 1e-5


def test_each_seed_is_drawn_to_its_own_labels(monkeypatch):
    """Without pictures and after long enough, each encoder knows its own rows best."""
    monkeypatch.setitem(labels.KINDS, "few", (6, False))
    models = labels.train("few", seeds=(0, 1), epochs=25)
    grid = SWEEPS["sprites"].grid()
    told = labels.standardised(grid.factors(slice(None)).classes[:, [1, 2, 4, 5]])
    for mine, model in enumerate(models):
        errors = []
        for seed in (0, 1):
            rows = labels.labelled_rows(6, seed)
            mu = model.encode(grid[rows].x)[0]
            errors.append(float(((mu[:, :4] - told[rows]) ** 2).mean()))
        assert errors[mine] < 0.2 * errors[1 - mine]


def test_the_stored_runs_say_that_labels_settle_the_axes():
    found = labels.load()
    assert set(found) == set(labels.KINDS)
    for rows in found.values():
        assert rows["MIG"].shape == (len(labels.SEEDS),)
        leads = [rows[f"MIG {n}"] for n in FACTORS if f"MIG {n}" in rows]
        assert len(leads) == 4
        assert torch.allclose(torch.stack(leads).mean(0), rows["MIG"], atol=1e-4)
    assert found["no labels"]["told"].max() < found["20 labels"]["told"].min()


def test_other_kinds_are_refused():
    with pytest.raises(ValueError, match="expected one of no labels"):
        labels.train("7 labels")
