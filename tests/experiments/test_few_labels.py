"""The cached runs with few labels: complete, reproducible, resumable."""

import json

import pytest
import torch

from course_utils.experiments import few_labels


def test_the_cache_is_complete():
    kept = few_labels.load()
    assert set(kept) == set(few_labels.METHODS)
    for accuracies in kept.values():
        assert accuracies.shape == (len(few_labels.COUNTS), len(few_labels.SEEDS))
        assert ((accuracies > 0.3) & (accuracies < 1)).all()
        assert (accuracies.mean(1).diff() > 0).all()  # more labels, more right


def assert_reproduced(again):
    """Rounding differs between machines, and training amplifies it: to 15 digits."""
    kept = json.loads(few_labels.PLACE.read_text())["runs"]["100/0"]
    assert all(abs(again[name] - kept[name]) <= 15 for name in again), again


def test_an_entry_of_the_rivals_can_be_reproduced():
    torch.set_num_threads(1)
    again = few_labels.rivals(100, 0)
    assert set(again) == set(few_labels.METHODS) - {"M2"}
    assert_reproduced(again)


@pytest.mark.long
def test_an_entry_can_be_reproduced():
    again = few_labels.run(100, 0)
    assert set(again) == set(few_labels.METHODS)
    assert_reproduced(again)


def test_what_is_there_is_not_run_again(tmp_path, monkeypatch):
    calls = []

    def counted(count, seed):
        calls.append((count, seed))
        return dict.fromkeys(few_labels.METHODS, 200)

    monkeypatch.setattr(few_labels, "run", counted)
    place = tmp_path / "few.json"
    few_labels.run_all([10], [0, 1], place)
    few_labels.run_all([10, 20], [0, 1], place)
    assert calls == [(10, 0), (10, 1), (20, 0), (20, 1)]
    with pytest.raises(ValueError, match="make sweeps"):
        few_labels.load(place)  # runs are missing
    monkeypatch.setitem(few_labels.SETTINGS, "K", 3)
    few_labels.run_all([10], [0], place)
    assert calls[-1] == (10, 0) and len(calls) == 5
