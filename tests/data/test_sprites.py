"""Sprites are the shapes they claim to be, and never random.

The oracle of the pictures knows only the outlines as polygons of many corners; points
are judged by matplotlib, coverage by many points in every pixel.
"""

import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.path import Path

from course_utils.data.factors import FACTORS, SHAPES, archive_levels
from course_utils.data.sprites import Sprites, render

# Areas at scale 1, as shares of the canvas.
AREA = {
    "square": 0.34**2,
    "ellipse": math.pi * 0.24 * 0.14,
    "heart": (2 + math.pi / 2) * 0.18**2,  # a diamond and two half discs
}
PERIOD = {"square": math.pi / 2, "ellipse": math.pi, "heart": 2 * math.pi}


def outline(shape, corners=4000):
    """Corners of the outline at scale 1, x to the right, y down, (M, 2)."""
    t = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    if shape == "square":
        return 0.17 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    if shape == "ellipse":
        return np.stack([0.24 * np.cos(t), 0.14 * np.sin(t)], 1)
    q, half = 0.18, np.linspace(0, math.pi, corners // 2)
    radius = q / math.sqrt(2)
    # Upwards, counterclockwise: right lobe, left lobe, point at the bottom.
    right = half - math.pi / 4
    left = half + math.pi / 4
    up = np.concatenate(
        [
            np.stack(
                [q / 2 + radius * np.cos(right), q / 2 + radius * np.sin(right)], 1
            ),
            np.stack(
                [-q / 2 + radius * np.cos(left), q / 2 + radius * np.sin(left)], 1
            ),
            [[0, -q]],
        ]
    )
    down = up * [1, -1]
    return down - centroid(down)


def centroid(corners):
    """Centre of mass of a polygon (the shoelace formula)."""
    nxt = np.roll(corners, -1, axis=0)
    cross = corners[:, 0] * nxt[:, 1] - nxt[:, 0] * corners[:, 1]
    return ((corners + nxt) * cross[:, None]).sum(0) / (3 * cross.sum())


def inside(factors, size, points, corners=4000):
    """Whether points (x, y) in pixels lie in the sprite of these six factor values."""
    _, shape, scale, angle, x, y = factors
    turn = np.array([[math.cos(angle), -math.sin(angle)],
                     [math.sin(angle), math.cos(angle)]])  # fmt: skip
    centre = (16.5 + 31 * np.array([x, y])) / 64
    edge = scale * outline(SHAPES[int(shape) - 1], corners) @ turn.T + centre
    return Path(edge * size).contains_points(points)


def grid_points(count, size):
    """The centres of count × count cells over a picture, in pixels, (count², 2)."""
    axis = (np.arange(count) + 0.5) * size / count
    x, y = np.meshgrid(axis, axis)
    return np.stack([x.ravel(), y.ravel()], 1)


def random_factors(count, seed=0, **fixed):
    generator = torch.Generator().manual_seed(seed)
    table = torch.rand(count, 6, generator=generator, dtype=torch.float64)
    table[:, 0] = 1
    table[:, 1] = 1 + torch.arange(count) % 3
    table[:, 2] = 0.5 + table[:, 2] / 2
    table[:, 3] *= 2 * math.pi
    for name, value in fixed.items():
        table[:, FACTORS.index(name)] = value
    return table


def one(shape, scale=1.0, angle=0.0, x=0.5, y=0.5, size=64, values="grey"):
    row = [[1, SHAPES.index(shape) + 1, scale, angle, x, y]]
    table = torch.tensor(row, dtype=torch.float64)
    return render(table, size, values).reshape(size, size)


def middle(picture):
    """Centre of mass (x, y) in pixels, the left and top edges being 0."""
    at = torch.arange(len(picture)) + 0.5
    total = picture.sum()
    return (picture.sum(0) @ at / total).item(), (picture.sum(1) @ at / total).item()


# --- the levels asked for -----------------------------------------------------------


def test_a_sub_grid_has_the_levels_asked_for():
    sprites = Sprites(
        shapes=("heart", "square"),
        scales=[0.9],
        orientations=8,
        positions=3,
        pos_x=None,
    )
    _, shape, scale, orientation, x, y = sprites.levels
    assert shape.tolist() == [3, 1] and scale.tolist() == [0.9]
    assert torch.allclose(orientation, torch.arange(8).double() * math.pi / 4)
    assert x.tolist() == y.tolist() == [0, 0.5, 1]
    assert Sprites(scales=2).levels[2].tolist() == [0.5, 1]
    own = Sprites(orientations=torch.tensor([3.0, 1.0]), pos_x=[0.25], pos_y=5)
    assert own.levels[3].tolist() == [3, 1] and own.sizes[4:] == (1, 5)
    assert Sprites(shapes="ellipse").levels[1].tolist() == [2]


GRID = Sprites(size=16, shapes="heart", scales=2, orientations=4, positions=3)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Sprites(size=7), "size is 7; expected a whole number from 8 to 512"),
        (lambda: Sprites(size=64.0), "size is 64.0"),
        (lambda: Sprites(values="gray"), "values is 'gray'; expected binary or grey"),
        (
            lambda: Sprites(shapes="circle"),
            "shapes are 'circle'; expected different on",
        ),
        (lambda: Sprites(shapes=[]), "shapes are"),
        (lambda: Sprites(shapes=["heart", "heart"]), "expected different ones"),
        (lambda: Sprites(scales=1), r"scales is 1; .*in a list, such as \[1.0\]"),
        (lambda: Sprites(scales=0.5), "scales are 0.5; .*the values in a list"),
        (lambda: Sprites(scales=[0.5, 1.1]), r"a scale is outside \(0, 1\]"),
        (lambda: Sprites(scales=[0.0]), r"a scale is outside \(0, 1\]"),
        (lambda: Sprites(scales=[]), "scales are"),
        (lambda: Sprites(orientations=[1, 1]), "orientations are .*; expected differ"),
        (
            lambda: Sprites(orientations=[math.nan]),
            "expected different, finite numbers",
        ),
        (lambda: Sprites(positions=[1.01]), r"a position is outside \[0, 1\]"),
        (lambda: Sprites(pos_y=[-0.1]), r"a position is outside \[0, 1\]"),
        (lambda: Sprites(positions=3, pos_x=3), "expected no pos_x, pos_y"),
        (
            lambda: render(torch.ones(6)),
            r"factors have shape \(6,\); expected \(N, 6\)",
        ),
        (lambda: render(random_factors(3, colour=0.5)), "a colour is not 1"),
        (lambda: render(random_factors(3, shape=1.5)), "a shape is not 1, 2 or 3"),
        (lambda: render(random_factors(3, scale=1.2)), "a scale is outside"),
        (lambda: render(random_factors(3, pos_x=-1)), "a position is outside"),
        (lambda: render(random_factors(3, orientation=math.inf)), "NaN or infinity"),
        (lambda: render(random_factors(3), values="b"), "values is 'b'"),
        (lambda: render(random_factors(3), size=1), "size is 1"),
    ],
)
def test_what_is_wrong_is_named(call, said):
    with pytest.raises(ValueError, match=said):
        call()


# --- the pictures against the oracle ------------------------------------------------


@pytest.mark.parametrize("size", [16, 32, 33, 64])
def test_a_binary_pixel_says_whether_its_centre_is_inside(size):
    factors = random_factors(30, seed=size)
    x = render(factors, size)
    points = grid_points(size, size)
    for picture, row in zip(x, factors.tolist(), strict=True):
        assert (picture.numpy() == inside(row, size, points)).all()


@pytest.mark.parametrize(("size", "fine"), [(32, 32), (64, 16)])
def test_a_grey_pixel_is_the_share_that_is_inside(size, fine):
    factors = random_factors(3, seed=size)
    x = render(factors, size, "grey").reshape(-1, size, size).numpy()
    points = grid_points(fine * size, size)
    for picture, row in zip(x, factors.tolist(), strict=True):
        cells = inside(row, size, points, 200).reshape(size, fine, size, fine)
        wrong = np.abs(picture - cells.mean((1, 3)))
        assert wrong.max() < 0.07  # an edge along the rows of 8×8 points
        assert wrong[wrong > 0].mean() < 0.02
        assert ((picture > 0) & (picture < 1)).sum() > 20


def test_a_grey_pixel_counts_its_64_points():
    """Points in every pixel, also in those that are not looked at more closely."""
    factors = random_factors(3, seed=1)
    x = render(factors, 32, "grey").reshape(-1, 32, 32).numpy()
    points = grid_points(8 * 32, 32)
    for picture, row in zip(x, factors.tolist(), strict=True):
        cells = inside(row, 32, points).reshape(32, 8, 32, 8)
        assert (picture == cells.mean((1, 3))).all()


def test_grey_at_a_pixel_boundary():
    """An upright square whose edges cut known shares off the outermost pixels."""
    picture = one("square", x=0, y=0)  # edges at 16.5 ± 10.88 pixels: 5.62 and 27.38
    full = 3 / 8  # of 8 sample lines, those beyond 0.62 or before 0.38
    assert picture[5, 5] == full**2 and picture[27, 27] == full**2
    assert picture[5, 6] == full and (picture[6:27, 6:27] == 1).all()
    assert picture.sum() == (21 + 2 * full) ** 2


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [32, 64])
def test_area_grows_with_the_square_of_the_scale(shape, size):
    for scale in archive_levels()[2].tolist():
        for angle in (0.3, 1.1):
            area = one(shape, scale, angle, size=size).mean().item()
            assert area == pytest.approx(scale**2 * AREA[shape], rel=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_outline_reaches_the_border(shape):
    reach = np.hypot(*outline(shape).T).max()
    assert reach < 0.241 < 16.5 / 64  # from the centre to the nearest border


@pytest.mark.parametrize("size", [8, 10, 16, 20, 32, 33, 34, 64, 100])
def test_no_sprite_is_ever_cut_off(size):
    turns = torch.arange(36).double() * math.pi / 18
    for number, shape in enumerate(SHAPES, start=1):
        for x in (0.0, 1.0):
            for y in (0.0, 1.0):
                table = random_factors(36, shape=number, scale=1, pos_x=x, pos_y=y)
                table[:, 3] = turns
                area = render(table, size, "grey").mean(1)
                # Each of four sides may be off by half a sample line, 1/16 pixel.
                assert (area / AREA[shape] - 1).abs().max() < 0.75 / size


@pytest.mark.parametrize("shape", SHAPES)
def test_turns_that_leave_a_shape_as_it_is(shape):
    for angle in (0.2, 0.7, 2.5):
        for values in ("binary", "grey"):
            start = one(shape, 0.9, angle, 0.3, 0.8, values=values)
            again = one(shape, 0.9, angle + PERIOD[shape], 0.3, 0.8, values=values)
            half = one(shape, 0.9, angle + PERIOD[shape] / 2, 0.3, 0.8, values=values)
            assert (start - again).abs().max() <= 1 / 64
            assert (start - half).abs().sum() > 20


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [32, 64])
def test_the_centre_of_mass_is_the_position(shape, size):
    sprites = Sprites(size, shapes=shape, scales=[0.5, 1.0], values="grey")
    x, factors = sprites.sample(40, seed=3)
    for picture, values in zip(x, factors.values, strict=True):
        want = size * (16.5 + 31 * values[4:]) / 64
        got = torch.tensor(middle(picture.reshape(size, size)))
        assert (got - want).abs().max() < 0.05


def test_a_position_is_a_pixel_at_64_and_half_a_pixel_at_32():
    for size, step in ((64, 1.0), (32, 0.5)):
        sprites = Sprites(size, values="grey")
        start = middle(sprites[sprites.index([0, 2, 3, 7, 10, 20])].x.view(size, size))
        right = middle(sprites[sprites.index([0, 2, 3, 7, 11, 20])].x.view(size, size))
        down = middle(sprites[sprites.index([0, 2, 3, 7, 10, 21])].x.view(size, size))
        assert right == pytest.approx((start[0] + step, start[1]), abs=0.02)
        assert down == pytest.approx((start[0], start[1] + step), abs=0.02)


@pytest.mark.parametrize("values", ["binary", "grey"])
def test_at_64_pixels_a_move_copies_every_pixel(values):
    sprites = Sprites(64, values=values)
    rows = [sprites.index([0, s, 5, 3, 0, 0]).item() for s in range(3)]
    for row in rows:
        start = sprites[row].x.reshape(64, 64)
        for right, down in ((1, 0), (0, 1), (31, 31), (13, 4)):
            moved = sprites[row + 32 * right + down].x.reshape(64, 64)
            assert torch.equal(moved, start.roll((down, right), (0, 1)))


def test_the_first_sprite_is_at_the_top_left():
    picture = Sprites(64)[0].x.reshape(64, 64)
    assert middle(picture) == (16.5, 16.5)
    assert picture.sum() == 121 and (picture[11:22, 11:22] == 1).all()


def test_the_heart_is_upright_and_symmetric_at_orientation_0():
    for values in ("binary", "grey"):
        picture = one("heart", values=values)
        assert torch.equal(picture, picture.flip(1))
        assert not torch.equal(picture, picture.flip(0))
    picture = one("heart", values="binary")
    rows = picture[picture.sum(1) > 0]
    runs = [(row.diff(prepend=torch.zeros(1)) > 0).sum().item() for row in rows]
    assert runs[0] == 2 and runs[-1] == 1, "two lobes above, one point below"
    assert rows[-1].sum() <= 2 < rows[0].sum()


def test_a_positive_orientation_turns_clockwise():
    """A quarter turn takes the heart's point from below to the left."""
    upright, turned = one("heart"), one("heart", angle=math.pi / 2)
    assert torch.allclose(turned, upright.rot90(-1), atol=0.02)
    at = (turned > 0).nonzero() + 0.5 - 32
    far = at[(at**2).sum(1).argmax()]
    assert far[1] < -10 and abs(far[0]) < 2


def test_the_ellipse_lies_at_orientation_0():
    picture = one("ellipse", values="binary")
    assert picture.any(0).sum() == 30 and picture.any(1).sum() == 18  # of 30.7 and 17.9


def test_pictures_are_binary_or_multiples_of_a_64th():
    binary, grey = (Sprites(32, values=v).sample(300).x for v in ("binary", "grey"))
    assert set(binary.unique().tolist()) == {0, 1}
    assert torch.equal(grey * 64, (grey * 64).round()) and len(grey.unique()) > 30
    assert grey.min() == 0 and grey.max() == 1


def test_grey_and_binary_agree_away_from_the_outline():
    binary, grey = (Sprites(32, values=v).sample(200).x for v in ("binary", "grey"))
    assert ((binary - grey).abs() <= 0.75).all()
    whole = (grey == 0) | (grey == 1)
    assert torch.equal(binary[whole], grey[whole])


# --- the same everywhere, always ----------------------------------------------------


def test_many_at_once_are_as_one_by_one():
    for values in ("binary", "grey"):
        sprites = Sprites(64, values=values)
        x, factors = sprites.sample(150, seed=5)
        assert torch.equal(render(factors.values, 64, values), x)
        for picture, row in zip(x, sprites.index(factors), strict=True):
            assert torch.equal(sprites[row.item()].x, picture)


def test_the_area_counts_do_not_change():
    """White pixels of a small grid; a pixel may differ where arithmetic does."""
    sprites = Sprites(64, scales=3, orientations=[0, 0.5, 1.0], positions=[0.5])
    counts = sprites[:].x.sum(1).int().reshape(3, 3, 3)
    want = [
        [[100, 116, 120], [256, 268, 268], [484, 472, 476]],
        [[104, 106, 108], [248, 244, 234], [432, 434, 434]],
        [[118, 120, 118], [268, 267, 269], [482, 475, 474]],
    ]
    assert (counts - torch.tensor(want)).abs().max() <= 1


ELSEWHERE = """
import hashlib, torch
from course_utils.data.sprites import Sprites
torch.set_num_threads(2)
for size, values in ((32, "grey"), (64, "binary")):
    sprites = Sprites(size, values=values)
    x = sprites.sample(300, seed=1).x
    print(hashlib.sha256(x.numpy().tobytes()).hexdigest())
print(sum(sprites.split("test", seed=2).tolist()))
"""


def test_another_run_draws_the_same(root):
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, cwd=root,
        check=True,
    )  # fmt: skip
    here = []
    for size, values in ((32, "grey"), (64, "binary")):
        sprites = Sprites(size, values=values)
        x = sprites.sample(300, seed=1).x
        here.append(hashlib.sha256(x.numpy().tobytes()).hexdigest())
    here.append(str(sum(sprites.split("test", seed=2).tolist())))
    assert done.stdout.split() == here


def test_the_names_are_shown():
    assert repr(GRID) == (
        "Sprites(72 of 16×16 pixels, binary: colour 1, shape 1, scale 2, "
        "orientation 4, pos_x 3, pos_y 3)"
    )
