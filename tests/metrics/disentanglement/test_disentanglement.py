"""What the metrics of disentanglement take: codes, factors, and a way between them."""

import itertools

import pytest
import torch

from course_utils.metrics import disentanglement
from course_utils.metrics.disentanglement import codes
from course_utils.metrics.disentanglement.codes import (
    draw_factors,
    encode,
    from_table,
    live_latents,
    unrelated,
)

NO = float("nan")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_package_offers_what_it_lists():
    assert sorted(disentanglement.__all__) == sorted(set(disentanglement.__all__))
    assert all(hasattr(disentanglement, name) for name in disentanglement.__all__)


def test_a_table_is_looked_up_with_the_last_factor_fastest():
    levels = (2, 3, 4)
    grid = list(itertools.product(*map(range, levels)))
    represent = from_table(torch.arange(24.0)[:, None], levels)
    found = represent(torch.tensor(grid)).flatten()
    assert found.tolist() == list(range(24))
    rows = torch.tensor([[1, 2, 3], [0, 1, 0], [1, 0, 2]])
    assert represent(rows).flatten().tolist() == [grid.index(tuple(r)) for r in rows]


def test_factors_are_drawn_uniformly_and_independently():
    factors = draw_factors((2, 5), 20_000, generator())
    counts = torch.bincount(factors[:, 0] * 5 + factors[:, 1], minlength=10)
    assert factors.dtype == torch.int64
    assert ((counts - 2000).abs() < 5 * 2000**0.5).all()  # 5 standard deviations
    assert torch.equal(factors, draw_factors((2, 5), 20_000, generator()))


def test_codes_are_asked_for_in_parts_without_a_seam(monkeypatch):
    monkeypatch.setattr(codes, "ROWS_AT_ONCE", 7)
    sizes = []

    def represent(factors):
        sizes.append(len(factors))
        return factors.float()

    factors = draw_factors((3, 4), 50, generator())
    assert torch.equal(encode(represent, factors), factors.double())
    assert sizes == [7] * 7 + [1]


def test_unrelated_codes_have_the_distribution_but_not_the_factors():
    levels = (2, 3)
    represent = unrelated(lambda factors: factors.float(), levels, generator(1))
    factors = torch.tensor([[1, 2]]).repeat(6000, 1)  # held fixed
    z = represent(factors)
    counts = torch.bincount((3 * z[:, 0] + z[:, 1]).long(), minlength=6)
    assert ((counts - 1000).abs() < 5 * 1000**0.5).all()


def test_a_latent_lives_when_it_varies_by_more_than_rounding():
    steps = torch.linspace(0, 1, 50)
    z = torch.stack([steps, 1e-9 * steps, 1e-8 * steps + 3, 0 * steps, 3 + steps], 1)
    assert live_latents(z.double()).tolist() == [True, True, False, False, True]
    jitter = torch.full((50,), 0.1) + 1e-8 * steps  # one rounding up or down
    assert not live_latents(jitter[:, None].double())


@pytest.mark.parametrize(
    ("table", "levels", "says"),
    [
        (torch.ones(5, 2), (2, 3), "5 rows; expected 6"),
        (torch.ones(6, 2).long(), (2, 3), "floating point"),
        (torch.ones(6), (2, 3), r"\(N, K\)"),
        (torch.full((6, 1), NO), (2, 3), "NaN"),
        (torch.ones(3, 2), (3,), "at least two factors"),
        (torch.ones(3, 2), (3, 1), "do not vary"),
    ],
)
def test_a_wrong_table_is_refused(table, levels, says):
    with pytest.raises(ValueError, match=says):
        from_table(table, levels)


@pytest.mark.parametrize(
    "metric",
    [
        disentanglement.mig,
        disentanglement.sap,
        disentanglement.dci,
        disentanglement.information_matrix,
        disentanglement.sap_matrix,
    ],
)
@pytest.mark.parametrize(
    ("z", "factors", "says"),
    [
        (torch.ones(30, 2), torch.zeros(29, 2).long(), "does not vary"),
        (torch.ones(30, 2), torch.arange(29)[:, None], "30 rows; expected 29"),
        (torch.ones(30, 2), torch.ones(30, 2), "integer tensor"),
        (torch.ones(30, 2), torch.arange(30), r"\(N, F\)"),
        (torch.ones(30), torch.arange(30)[:, None], r"\(N, K\)"),
        (torch.full((30, 2), NO), torch.arange(30)[:, None], "NaN"),
        (torch.ones(30, 2).long(), torch.arange(30)[:, None], "floating point"),
        ([1.0], torch.arange(30)[:, None], "z is list"),
    ],
)
def test_wrong_codes_and_factors_are_refused(metric, z, factors, says):
    with pytest.raises(ValueError, match=says):
        metric(z, factors)


def test_a_represent_that_returns_the_wrong_rows_is_refused():
    with pytest.raises(ValueError, match="9 rows; expected 10"):
        encode(lambda factors: torch.ones(9, 2), torch.ones(10, 2).long())
