"""What the metrics of disentanglement take: codes, factors, and a way between them."""

import itertools

import numpy as np
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
    assert torch.equal(encode(represent, factors), factors.float())
    assert sizes == [7] * 7 + [1]


def test_unrelated_codes_have_the_distribution_but_not_the_factors():
    levels = (2, 3)
    represent = unrelated(lambda factors: factors.float(), levels, generator(1))
    factors = torch.tensor([[1, 2]]).repeat(6000, 1)  # held fixed
    z = represent(factors)
    counts = torch.bincount((3 * z[:, 0] + z[:, 1]).long(), minlength=6)
    assert ((counts - 1000).abs() < 5 * 1000**0.5).all()


def test_a_latent_lives_when_it_varies_by_more_than_rounding():
    """A step of float32 near 0.1 is 7e-9, one of float64 1e-17."""
    steps = torch.linspace(0, 1, 50).double()
    z = torch.stack([steps, 1e-9 * steps, 1e-8 * steps + 0.1, 0 * steps, 3 + steps], 1)
    assert live_latents(z).tolist() == [True, True, True, False, True]
    assert live_latents(z.float()).tolist() == [True, True, False, False, True]


FACTORS = draw_factors((3, 4, 5), 1200, generator(1))
CODES = FACTORS.double() + 0.2 * torch.randn(
    1200, 3, generator=generator(2), dtype=torch.float64
)


def told(z):
    """All that the metrics of a table say of a code, in one row."""
    trees = disentanglement.dci(z, FACTORS, (0,))
    lines = disentanglement.dci(z, FACTORS, (0,), estimator="lasso")
    return [
        disentanglement.mig(z, FACTORS),
        disentanglement.mig(z, FACTORS, 15, "width"),
        disentanglement.sap(z, FACTORS),
        disentanglement.sap(z, FACTORS, (0,)),
        disentanglement.sap(z, FACTORS, (0,), classifier="svm"),
        *(getattr(d, s) for d in (trees, lines) for s in PARTS),
    ]


PARTS = ("disentanglement", "completeness", "informativeness")


@pytest.mark.parametrize(
    ("scale", "offset"),
    [
        (1, 1e6), (1, -1e9), (1e-12, 1e-3), (1e200, 0), (1e300, 1e300), (1e-200, 0),
        (1e-300, 1e-300), (-1, 0),
    ],
)  # fmt: skip
def test_the_units_of_a_code_and_its_origin_do_not_matter(scale, offset):
    """Also not those of one latent alone, beside others."""
    before = told(CODES)
    assert min(before[:3]) > 0.5, "otherwise there is nothing to lose"
    each = torch.tensor([scale, 1.0, scale], dtype=torch.float64)
    shift = torch.tensor([offset, 0.0, offset], dtype=torch.float64)
    for moved in (scale * CODES + offset, each * CODES + shift):
        # borders of bins and thresholds may pass a value that rounding moved
        assert told(moved) == pytest.approx(before, abs=0.01)


@pytest.mark.parametrize("rows", [2, 10, 20, 40])
@pytest.mark.parametrize(
    "metric",
    [
        lambda z, v: disentanglement.mig(z, v),
        lambda z, v: disentanglement.mig(z, v, binning="width"),
        lambda z, v: disentanglement.information_matrix(z, v),
        lambda z, v: disentanglement.sap(z, v),
        lambda z, v: disentanglement.sap(z, v, (0,)),
        lambda z, v: disentanglement.dci(z, v, (0,)),
    ],
)
def test_tables_too_short_are_refused_even_of_a_perfect_code(metric, rows):
    v = draw_factors((6, 40, 32), rows, generator(3))
    noise = torch.randn(rows, 2, generator=generator(4))
    with pytest.raises(ValueError, match=r"expected (about|at least) \d+"):
        metric(torch.cat([v.double(), noise], 1), v)


@pytest.mark.parametrize("binning", ["mass", "width"])
@pytest.mark.parametrize("levels", [(2, 2), (3, 4), (2, 8), (9, 9, 4, 3), (6, 40, 32)])
def test_what_is_not_refused_for_its_rows_is_far_from_chance(levels, binning):
    """At the least number of rows a perfect code that scatters keeps half its score."""

    def score(rows, seed=0):
        v = draw_factors(levels, rows, generator(seed))
        noise = torch.randn(rows, len(levels) + 3, generator=generator(seed + 50))
        noise[:, : len(levels)] *= 0.05
        z = torch.nn.functional.pad(v, (0, 3)) + noise
        return disentanglement.mig(z, v, 40, binning)

    rows = 16
    while True:
        try:
            score(rows)
            break
        except ValueError as error:
            assert "too few" in str(error)
            rows = int(1.1 * rows)
    assert rows > 3 * max(levels)
    kept = [score(int(1.1 * rows), seed) for seed in range(5)]
    assert sum(kept) / 5 > 0.45


def test_a_class_that_is_rare_is_refused_where_it_has_to_be_told():
    v = FACTORS.clone()
    v[v[:, 0] == 2, 0] = 1
    v[:3, 0] = 2
    for metric in (disentanglement.sap, disentanglement.dci):
        with pytest.raises(ValueError, match="factor 0 has a class of 3 rows"):
            metric(CODES, v, (0,))
    v = torch.stack([(torch.arange(1200) == 7).long(), v[:, 1]], 1)
    for estimator in ("forest", "boosting", "lasso"):
        with pytest.raises(ValueError, match="factor 0 leaves .* in 1 rows only"):
            disentanglement.dci(CODES, v, estimator=estimator)
    with pytest.raises(ValueError, match="1200 rows are too few .* of factor 0"):
        disentanglement.mig(CODES, v)


def test_halves_share_every_class():
    classes = torch.tensor([0] * 30 + [1] * 2 + [2] * 5)[torch.randperm(37)]
    fit, new = codes.halves(classes, seed=4)
    assert sorted(torch.cat([fit, new]).tolist()) == list(range(37))
    counts = [torch.bincount(classes[part]) for part in (fit, new)]
    assert (counts[0] - counts[1]).abs().max() <= 1
    assert not torch.equal(fit, codes.halves(classes, seed=5)[0])


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (torch.tensor([[0, 3]]), "on the grid"),
        (torch.tensor([[-1, 0]]), "on the grid"),
        (torch.tensor([[0.0, 1.0]]), "on the grid"),
        (torch.tensor([[0, 0, 1]]), r"\(N, 2\)"),
    ],
)
def test_factors_off_the_grid_are_refused(rows, says):
    with pytest.raises(ValueError, match=says):
        from_table(torch.ones(6, 2), (2, 3))(rows)


@pytest.mark.parametrize(
    ("table", "levels", "says"),
    [
        (torch.ones(5, 2), (2, 3), "5 rows; expected 6"),
        (torch.ones(6, 2).long(), (2, 3), "floating point"),
        (torch.ones(6), (2, 3), r"\(N, K\)"),
        (torch.full((6, 1), NO), (2, 3), "NaN"),
        (torch.ones(3, 2), (3,), "at least two factors"),
        (torch.ones(3, 2), (3, 1), "do not vary"),
        (torch.ones(6, 2), (2.9, 3), "whole numbers"),
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
        (np.ones((30, 2)), torch.arange(30)[:, None], "z is a NumPy array"),
        (torch.ones(30, 2), np.ones((30, 2), int), "a NumPy array of int64: give"),
    ],
)
def test_wrong_codes_and_factors_are_refused(metric, z, factors, says):
    with pytest.raises(ValueError, match=says):
        metric(z, factors)


def test_a_represent_that_returns_the_wrong_rows_is_refused():
    with pytest.raises(ValueError, match="9 rows; expected 10"):
        encode(lambda factors: torch.ones(9, 2), torch.ones(10, 2).long())
