"""What codes of strokes tell: against codes whose answers are known."""

import pytest
import torch

from course_utils.data.strokes import STYLE
from course_utils.experiments import stroke_codes
from course_utils.models.conditional import ConditionalVAE
from course_utils.models.likelihoods import Bernoulli

LEAN = stroke_codes.READ.index("slant")


@pytest.fixture(scope="module")
def truth():
    torch.set_num_threads(1)
    return stroke_codes.true_style(seed=7)


def test_the_cache_is_complete_and_says_what_the_lesson_says():
    leak = {}
    for family in stroke_codes.FAMILIES:
        kept = stroke_codes.load(family)
        assert all(seeds.shape == (5,) for seeds in kept.values())
        assert all(seeds.isfinite().all() for seeds in kept.values())
        leak[family] = kept["samples, nonlinear, nats"]
    assert leak["truth"].abs().max() < 0.02
    assert leak["VAE"].min() > 1.5 > leak["conditional"].max()
    assert leak["conditional, 12000"].min() > leak["truth"].max()


def test_the_true_style_tells_nothing_of_the_class(truth):
    found = stroke_codes.leaks(truth, seed=0)
    for kind in ("linear", "nonlinear"):
        assert abs(found[f"samples, {kind}, named"] - 0.1) < 0.03
        assert abs(found[f"samples, {kind}, nats"]) < 0.03


def test_a_style_in_the_code_is_read_and_one_that_is_not_is_not(truth):
    def only_slant(part):
        return part._replace(means=part.style[:, LEAN : LEAN + 1])

    found = stroke_codes.style_read(only_slant(truth[0]), only_slant(truth[2]), 0)
    for kind in ("linear", "nonlinear"):
        for asked in ("z", "z and y"):
            assert found[f"{kind}, {asked}, slant"] > 0.97
            assert found[f"{kind}, {asked}, pen"] < 0.03


def test_a_code_that_means_another_thing_in_each_class_asks_for_the_class(truth):
    """The slant, with its sign turned in every other class."""

    def signed(part):
        sign = 1 - 2 * (part.y % 2)[:, None]
        return part._replace(means=sign * part.style[:, :1])

    found = stroke_codes.style_read(signed(truth[0]), signed(truth[2]), 0)
    assert found["linear, z, slant"] < 0.05 < 0.9 < found["linear, z and y, slant"]
    assert found["nonlinear, z, slant"] < 0.1 < 0.9 < found["nonlinear, z and y, slant"]


class ByPixels(ConditionalVAE):
    """Its code is the picture itself, and it decodes what the code says."""

    def encode(self, x, y):
        return x, torch.zeros_like(x)

    def decode(self, z, y):
        return Bernoulli(torch.logit(z, eps=0.01))


def test_the_answers_own_code_is_the_cheapest_and_the_costs_are_distortions():
    costs = stroke_codes.analogies(ByPixels(784, 784, 10), seed=0)
    assert costs["own"] == pytest.approx(
        -784 * torch.tensor(0.99).log().item(), rel=1e-3
    )
    assert costs["own"] < costs["another hand"]
    again = stroke_codes.analogies(ByPixels(784, 784, 10), seed=0)
    assert again == costs


def test_factors_are_named_in_the_order_of_the_strokes():
    assert stroke_codes.READ[:-1] == STYLE


@pytest.mark.parametrize("family", ["truth", "GAN"])
def test_what_is_not_trained_is_refused(family):
    with pytest.raises(ValueError, match="expected one of"):
        stroke_codes.train(family)


@pytest.mark.long
def test_a_family_can_be_reproduced():
    kept = stroke_codes.load("conditional")
    model = stroke_codes.train("conditional")[0]
    again = stroke_codes.measure(model, 0)
    for name in ("samples, nonlinear, nats", "nonlinear, z, slant"):
        assert abs(again[name] - float(kept[name][0])) < 0.15
