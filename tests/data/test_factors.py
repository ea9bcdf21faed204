"""The grid has the archive's factors in the archive's order; draws and parts are fixed.

Judged on `Sprites`, the grid whose pictures are drawn.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data.factors import SHAPES, Factors
from course_utils.data.sprites import Sprites

GRID = Sprites(size=16, shapes="heart", scales=2, orientations=4, positions=3)


# --- the grid and its order ---------------------------------------------------------


def test_the_factors_are_the_archive_s():
    """Sizes and values as its description prints them, to eight digits."""
    sprites = Sprites()
    assert len(sprites) == 737_280 and sprites.sizes == (1, 3, 6, 40, 32, 32)
    colour, shape, scale, orientation, x, y = sprites.levels
    assert colour.tolist() == [1] and shape.tolist() == [1, 2, 3]
    assert torch.allclose(scale, torch.tensor([0.5, 0.6, 0.7, 0.8, 0.9, 1.0]).double())
    printed = [0, 0.16110732, 0.32221463, 0.48332195]
    assert np.allclose(orientation[:4], printed, rtol=0, atol=6e-9)
    assert np.allclose(orientation[-2:], [6.12207799, 6.28318531], rtol=0, atol=6e-9)
    for position in (x, y):
        assert np.allclose(position[:3], [0, 0.03225806, 0.06451613], rtol=0, atol=6e-9)
        assert position[31] == 1


@pytest.mark.parametrize(
    ("place", "classes"),
    [
        (0, [0, 0, 0, 0, 0, 0]),
        (1, [0, 0, 0, 0, 0, 1]),
        (32, [0, 0, 0, 0, 1, 0]),
        (1024, [0, 0, 0, 1, 0, 0]),
        (40 * 1024, [0, 0, 1, 0, 0, 0]),
        (6 * 40 * 1024, [0, 1, 0, 0, 0, 0]),
        (737_279, [0, 2, 5, 39, 31, 31]),
    ],
)
def test_position_y_is_fastest(place, classes):
    sprites = Sprites()
    assert sprites.factors(place).classes.tolist() == classes
    assert sprites.index(classes).item() == place


sizes = st.tuples(st.integers(1, 3), *(st.integers(2, 7) for _ in range(4)))


@given(sizes=sizes, seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_index_and_factors_are_inverse(sizes, seed):
    shapes, scales, orientations, x, y = sizes
    sprites = Sprites(
        shapes=SHAPES[:shapes], scales=scales, orientations=orientations,
        pos_x=x, pos_y=y,
    )  # fmt: skip
    rows = torch.randint(len(sprites), (20,), generator=torch.manual_seed(seed))
    classes, values = sprites.factors(rows)
    assert (classes.numpy().T == np.unravel_index(rows, (1, *sizes))).all()
    assert torch.equal(sprites.index(classes), rows)
    assert torch.equal(sprites.index(Factors(classes, values)), rows)
    for f, level in enumerate(sprites.levels):
        assert torch.equal(values[:, f], level[classes[:, f]])
    assert classes.dtype == torch.int64 and values.dtype == torch.float64


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (slice(None), range(72)),
        (slice(60, None, 5), range(60, 72, 5)),
        (slice(-2, None), [70, 71]),
        (slice(5, 2, -1), [5, 4, 3]),
        ([3, 3, -1], [3, 3, 71]),
        (range(4, 8), range(4, 8)),
        (np.array([1, 0]), [1, 0]),
        (torch.tensor([5], dtype=torch.int32), [5]),
        ([], []),
        (torch.arange(72) == 9, [9]),
    ],
)
def test_what_can_index(index, rows):
    x, factors = GRID[index]
    assert x.shape == (len(rows), 256) and x.dtype == torch.float32
    assert torch.equal(factors.classes, GRID.factors(torch.tensor(list(rows))).classes)
    for picture, row in zip(x, rows, strict=True):
        assert torch.equal(picture, GRID[row].x)


def test_one_number_gives_one_picture():
    x, (classes, values) = GRID[7]
    assert x.shape == (256,) and classes.shape == values.shape == (6,)
    assert torch.equal(GRID[-65].x, x)
    assert sum(1 for _ in GRID) == 72


@pytest.mark.parametrize("index", [72, -73, [0, 72], torch.tensor([-73])])
def test_a_place_outside_the_grid_is_an_index_error(index):
    with pytest.raises(IndexError, match="expected places 0 to 71"):
        GRID[index]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: GRID[0.5], "index: got type torch.float32; expected whole numbers"),
        (lambda: GRID["a"], "index: got 'a'; expected whole numbers"),
        (lambda: GRID[[True, False]], "index: got type torch.bool"),
        (lambda: GRID[torch.ones(3, dtype=bool)], r"mask has shape \(3,\); .*\(72,\)"),
        (lambda: GRID[torch.zeros(2, 2).long()], r"index has shape \(2, 2\)"),
        (
            lambda: GRID.index([0, 0, 0]),
            r"classes have shape \(3,\); expected \(N, 6\)",
        ),
        (lambda: GRID.index([0, 0, 0, 4, 0, 0]), "orientation .*; expected 0 to 3"),
        (lambda: GRID.index([0, 0, -1, 0, 0, 0]), "class of scale .*; expected 0 to 1"),
        (lambda: GRID.index(torch.zeros(1, 6)), "classes: got type torch.float32"),
        (lambda: GRID.sample(0), "count is 0; expected a whole number from 1"),
        (lambda: GRID.sample(True), "count is True"),
        (lambda: GRID.sample(3, rows=[]), "rows are empty"),
        (lambda: GRID.split("valid"), "part is 'valid'; expected one of train, valid"),
    ],
)
def test_what_is_wrong_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# --- draws and parts ----------------------------------------------------------------


def test_draws_are_seeded_and_uniform():
    sprites = Sprites(8, scales=2, orientations=4, positions=2)  # 96 places
    x, factors = sprites.sample(9600, seed=1)
    again, other = sprites.sample(9600, seed=1), sprites.sample(9600, seed=2)
    assert torch.equal(x, again.x) and torch.equal(factors.values, again.factors.values)
    assert not torch.equal(factors.classes, other.factors.classes)
    rows = sprites.index(factors)
    assert torch.equal(sprites[rows].x, x)
    counts = torch.bincount(rows, minlength=96)
    assert ((counts - 100.0) ** 2 / 100).sum() < 150  # chi squared: 95 ± 14


def test_draws_from_some_places_stay_there():
    rows = torch.tensor([3, 40, 71])
    _, factors = GRID.sample(200, rows=rows)
    assert set(GRID.index(factors).tolist()) == {3, 40, 71}


def test_nothing_touches_the_global_generator():
    torch.manual_seed(7)
    want = torch.rand(1)
    torch.manual_seed(7)
    GRID.sample(5)
    GRID.split("test")
    assert torch.equal(torch.rand(1), want)


def test_splits_are_disjoint_complete_and_fixed():
    parts = {part: GRID.split(part, seed=4) for part in ("train", "validation", "test")}
    together = torch.cat(list(parts.values()))
    assert torch.equal(together.sort().values, torch.arange(72))
    assert [len(rows) for rows in parts.values()] == [58, 7, 7]
    for part, rows in parts.items():
        assert torch.equal(rows, rows.sort().values)
        assert torch.equal(rows, GRID.split(part, seed=4))
        assert not torch.equal(rows, GRID.split(part, seed=5))
    larger = Sprites(64, shapes="heart", scales=2, orientations=4, positions=3)
    assert torch.equal(larger.split("train", seed=4), parts["train"])


def test_no_test_picture_was_trained_on():
    """Eight orientations: four squares are alike, and two ellipses."""
    grid = Sprites(32, scales=2, orientations=8, positions=3, values="grey")
    parts = [grid[grid.split(part)].x for part in ("train", "validation", "test")]
    for some, other in ((0, 1), (0, 2), (1, 2)):
        apart = torch.cdist(parts[some], parts[other], p=math.inf)
        assert apart.min() > 0.1
    # A split that knows nothing of symmetry would fail this.
    x = grid[torch.randperm(len(grid), generator=torch.manual_seed(0))].x
    assert torch.cdist(x[:345], x[345:], p=math.inf).min() < 0.02


def test_the_whole_grid_is_split_too():
    """The archive's orientations 0 and 2π are one picture, and share a part."""
    sprites = Sprites()
    counts = {p: len(sprites.split(p)) for p in ("train", "validation", "test")}
    assert sum(counts.values()) == 737_280
    shares = [count / 737_280 for count in counts.values()]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.002)
    test = torch.zeros(737_280, dtype=torch.bool)
    test[sprites.split("test")] = True
    by_turn = test.reshape(3, 6, 40, 1024)
    assert torch.equal(by_turn[:, :, 0], by_turn[:, :, 39])
    assert not torch.equal(by_turn[:, :, 0], by_turn[:, :, 38])
