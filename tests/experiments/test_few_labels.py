"""The cached runs with few labels: complete, reproducible, resumable."""

import json
import math

import pytest
import torch

from course_utils.data import digits
from course_utils.experiments import few_labels
from course_utils.models.conditional import balanced_labels
from course_utils.models.likelihoods import Bernoulli

WORLDS = [few_labels.DIGITS, few_labels.STROKES]


@pytest.mark.parametrize("world", WORLDS, ids=["digits", "strokes"])
def test_the_cache_is_complete(world):
    shape = (len(world.counts), len(few_labels.SEEDS))
    kept = few_labels.load(world)
    assert set(kept) == set(few_labels.METHODS)
    for accuracies in kept.values():
        assert accuracies.shape == shape
        assert ((accuracies > 0.3) & (accuracies <= 1)).all()
        assert (accuracies.mean(1).diff() > 0).all()  # more labels, more right
    codes = few_labels.load_codes(world)
    assert len(codes) == len(few_labels.MODELS) * len(few_labels.MEASURES)
    for (_, what), scores in codes.items():
        assert scores.shape == shape
        assert (scores <= (math.log(10) if what == "nats" else 1)).all()


@pytest.mark.parametrize("world", WORLDS, ids=["digits", "strokes"])
def test_a_world_is_black_and_white_and_has_its_size(world):
    train = world.part("train")
    assert len(train.x) == len(train.y) == world.examples >= world.counts[-1]
    assert set(train.x.unique().tolist()) == {0.0, 1.0}
    assert len(world.part("test").x) in (300, 2000)


def test_spreading_fills_in_labels_that_are_mostly_right_and_keeps_those_it_has():
    train = digits("train", values="binary")
    graph = few_labels.spread(100, 0)
    filled = torch.from_numpy(graph.transduction_)
    known = balanced_labels(train.y, 100, 0) >= 0
    assert (filled == train.y).float().mean() > 0.8
    assert (filled == train.y)[known].float().mean() > 0.95
    named = few_labels.by_graph(graph, train.x[:50])
    assert (named == filled[:50]).float().mean() > 0.9


class Oracle(torch.nn.Module):
    """A model whose z tells y or not, and which draws the class asked for or not."""

    K = 1

    def __init__(self, tells, draws):
        super().__init__()
        self.tells, self.draws = tells, draws

    def encode(self, x, y):
        mu = 20.0 * y.argmax(1, keepdim=True) * self.tells
        return mu, torch.zeros(len(x), 1)

    def decode(self, z, y):
        return Bernoulli(torch.logit(y if self.draws else y.roll(1, 1), eps=1e-6))


def first_pixels(x):
    return x[:, :10]


@pytest.mark.parametrize(("tells", "draws"), [(True, False), (False, True)])
def test_codes_are_scored_by_what_they_tell_and_by_what_is_drawn(tells, draws):
    def never_right(x):
        return torch.zeros(len(x), dtype=torch.long)

    model = Oracle(tells, draws)
    found = few_labels.code_scores(model, never_right, first_pixels, seed=0)
    assert found["drawn"] == float(draws)
    assert (found["probe"] > 0.95) == tells
    assert (found["nats"] > 1.5) == tells
    assert found["probe, guessed"] < 0.2  # told 0 for every digit, z tells nothing


def assert_reproduced(again):
    """Rounding differs between machines, and training amplifies it: to 15 digits."""
    kept = json.loads(few_labels.DIGITS.place.read_text())["runs"]["100/0"]["named"]
    assert all(abs(again[name] - kept[name]) <= 15 for name in again), again


def test_an_entry_of_the_rivals_can_be_reproduced():
    torch.set_num_threads(1)
    again = few_labels.rivals(100, 0)
    assert set(again) == set(few_labels.METHODS) - {"M2"}
    assert_reproduced(again)


@pytest.mark.long
def test_an_entry_can_be_reproduced():
    again = few_labels.run(100, 0)
    assert set(again["named"]) == set(few_labels.METHODS)
    assert set(again["codes"]) == set(few_labels.MODELS)
    assert_reproduced(again["named"])


def test_what_is_there_is_not_run_again(tmp_path, monkeypatch):
    calls = []

    def counted(count, seed, world):
        calls.append((count, seed))
        return {"named": dict.fromkeys(few_labels.METHODS, 200), "codes": {}}

    monkeypatch.setattr(few_labels, "run", counted)
    world, place = few_labels.DIGITS, tmp_path / "few.json"
    few_labels.run_all(world, [10], [0, 1], place)
    few_labels.run_all(world, [10, 20], [0, 1], place)
    assert calls == [(10, 0), (10, 1), (20, 0), (20, 1)]
    with pytest.raises(ValueError, match="make sweeps"):
        few_labels.load(world, place)  # runs are missing
    monkeypatch.setitem(world.settings, "K", 3)
    few_labels.run_all(world, [10], [0], place)
    assert calls[-1] == (10, 0) and len(calls) == 5
