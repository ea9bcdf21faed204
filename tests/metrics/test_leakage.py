"""Probes of labels from codes, on codes whose leakage is known."""

import math

import pytest
import torch
from sklearn.metrics import log_loss, mutual_info_score

from course_utils.metrics.leakage import Codes, leaked_nats, probe


def drawn(make, seed=0, counts=(600, 200, 400), classes=3):
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for count in counts:
        y = torch.randint(classes, (count,), generator=generator)
        parts.append(Codes(make(y, generator), y))
    return parts


def noise(y, generator, K=4):
    return torch.randn(len(y), K, generator=generator)


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
def test_independent_codes_leak_nothing(kind):
    leak = probe(*drawn(noise), kind)
    assert leak.interval[0] < 0.4 < leak.interval[1] + 0.1
    assert leak.nats < 0.05 and abs(leak.permuted - leak.chance) < 0.1


@pytest.mark.parametrize("kind", ["linear", "nonlinear"])
def test_codes_that_are_the_label_leak_all(kind):
    leak = probe(*drawn(lambda y, g: torch.eye(3)[y] + 0.01 * noise(y, g, 3)), kind)
    assert leak.accuracy == 1 and leak.interval[0] > 0.98 and leak.interval[1] == 1
    assert leak.nats > 0.9 * math.log(3)
    assert leak.permuted < 0.45 and abs(leak.chance - 1 / 3) < 0.1


def test_a_shell_is_hidden_from_the_linear_probe_only():
    """The class is the radius, so every class has the mean 0."""

    def shell(y, generator):
        z = noise(y, generator, 2)
        return z / z.norm(dim=1, keepdim=True) * (1 + y)[:, None]

    parts = drawn(shell)
    linear, nonlinear = probe(*parts, "linear"), probe(*parts, "nonlinear")
    assert linear.accuracy < linear.chance + 0.15 and linear.nats < 0.03
    assert nonlinear.accuracy > 0.97


def test_the_scale_of_the_codes_does_not_matter():
    parts = drawn(lambda y, g: y[:, None] + noise(y, g))
    scale = torch.tensor([1e-3, 1.0, 1e3, 7.0])
    shifted = [Codes(5 + part.z * scale, part.y) for part in parts]
    assert abs(probe(*parts).nats - probe(*shifted).nats) < 1e-4


def test_it_is_repeatable():
    parts = drawn(lambda y, g: y[:, None] + noise(y, g))
    assert probe(*parts, "nonlinear", 3) == probe(*parts, "nonlinear", 3)


def test_nats_are_entropy_minus_log_loss():
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(4, (50,), generator=generator)
    log_probs = torch.randn(50, 4, generator=generator).double().log_softmax(1)
    entropy = mutual_info_score(y, y)
    want = entropy - log_loss(y, log_probs.exp().numpy(), labels=range(4))
    assert leaked_nats(log_probs, y) == pytest.approx(want, abs=1e-12)


def test_the_true_posterior_gives_the_mutual_information():
    """On a table: z in {0, 1, 2}, p(y|z) known, examples in exact proportions."""
    table = torch.tensor([[6, 1, 3], [2, 5, 3]])  # of y, z
    y = torch.repeat_interleave(torch.arange(2), table.sum(1))
    z = torch.cat([torch.repeat_interleave(torch.arange(3), row) for row in table])
    posterior = (table / table.sum(0)).log().T.double()  # (z, y)
    got = leaked_nats(posterior[z].log_softmax(1), y)
    assert got == pytest.approx(mutual_info_score(y, z), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "cubic"}, "kind is 'cubic'"),
        ({"test": Codes(torch.zeros(5, 3), torch.zeros(5).long())}, "test has z"),
        ({"test": Codes(torch.full((5, 4), torch.nan), torch.zeros(5).long())}, "NaN"),
        ({"test": Codes(torch.zeros(5, 4), torch.full((5,), 7))}, "whole numbers"),
        ({"train": Codes(torch.zeros(5, 4), torch.zeros(5).long())}, "every class"),
    ],
)
def test_bad_input(change, said):
    train, validation, test = drawn(noise, counts=(30, 20, 20))
    parts = {"train": train, "validation": validation, "test": test, **change}
    with pytest.raises(ValueError, match=said):
        probe(**parts)


@pytest.mark.parametrize(
    ("log_probs", "y", "said"),
    [
        (torch.zeros(3, 2), torch.tensor([0, 1, 0]), "sum to 1"),
        (torch.full((3, 2), 0.5).log(), torch.tensor([0, 1, 2]), "whole numbers"),
        (torch.full((3, 2), 0.5).log(), torch.tensor([0, 1]), "shapes"),
    ],
)
def test_nats_refuse_bad_input(log_probs, y, said):
    with pytest.raises(ValueError, match=said):
        leaked_nats(log_probs, y)
