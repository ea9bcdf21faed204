"""Strokes are drawn as their factors say; their style tells nothing of the class."""

import math
from statistics import NormalDist

import pytest
import torch
from scipy import stats
from scipy.spatial import cKDTree

from course_utils.data.strokes import (
    BOX,
    FACTORS,
    LAWS,
    WOBBLES,
    _control_points,
    _spline,
    draw_factors,
    pen,
    render,
)


def plain(digit=range(10), **changed):
    """Upright digits without wobble, with some factors changed: (n, 14)."""
    table = torch.zeros(len(digit), len(FACTORS), dtype=torch.float64)
    table[:, 0] = torch.tensor(list(digit))
    for name, value in {"width": 0.9, "height": 1.0, "pen": 0.07, **changed}.items():
        table[:, FACTORS.index(name)] = value
    return table


def moments(x, size):
    """Ink, and the variances and covariance of its place, in shares of the side."""
    weight = x.double().reshape(-1, size, size)
    ink = weight.sum((1, 2))
    place = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    cols, rows = weight.sum(1) / ink[:, None], weight.sum(2) / ink[:, None]
    mean_x, mean_y = cols @ place, rows @ place
    var_x, var_y = cols @ place**2 - mean_x**2, rows @ place**2 - mean_y**2
    both = torch.einsum("nij,i,j->n", weight, place, place) / ink
    return ink / size**2, var_x, var_y, both - mean_x * mean_y


@pytest.mark.parametrize("size", [28, 32, 50])
def test_a_pixel_is_covered_as_its_distance_from_the_curve_says(size):
    x = render(plain(), size).reshape(10, size, size)
    grid = (torch.arange(size) + 0.5) / size
    y_, x_ = torch.meshgrid(grid, grid, indexing="ij")
    pixels = torch.stack([x_.flatten(), y_.flatten()], 1).numpy()
    for digit, strokes in enumerate(_control_points()):
        distance = math.inf
        for stroke in strokes:  # 400 points of each, not the renderer's 64
            curve = 0.5 + BOX * (_spline(stroke) - 0.5) * [0.9, 1.0]
            near, _ = cKDTree(curve).query(pixels)
            distance = torch.from_numpy(near).clamp(max=distance)
        covered = (0.07 * size / 2 - distance * size + 0.5).clamp(0, 1)
        gap = (x[digit].flatten() - covered).abs()
        assert gap.max() < 0.2 * size / 28  # at inner corners, half a step away
        assert gap.mean() < 0.006


@pytest.mark.parametrize("size", [28, 32])
def test_pictures_have_their_size_and_stay_inside(size):
    factors = draw_factors(500, torch.Generator().manual_seed(1)).values
    x = render(factors, size)
    assert x.shape == (500, size * size) and x.dtype == torch.float32
    assert x.min() == 0 and x.max() == 1
    frame = x.reshape(-1, size, size)
    edges = [frame[:, 0], frame[:, -1], frame[:, :, 0], frame[:, :, -1]]
    assert torch.cat(edges, 1).amax(1).gt(0.1).double().mean() < 0.01


def test_the_same_factors_give_the_same_picture_in_any_company():
    factors = draw_factors(120, torch.Generator().manual_seed(2)).values
    whole = render(factors)
    assert torch.equal(whole, render(factors))
    for row in (0, 57, 119):
        alone = render(factors[row : row + 1])
        torch.testing.assert_close(alone[0], whole[row], atol=2e-5, rtol=0)


def test_a_large_picture_is_the_small_one_in_more_detail():
    factors = draw_factors(50, torch.Generator().manual_seed(3)).values
    fine = render(factors, 112).reshape(-1, 28, 4, 28, 4).mean((2, 4))
    assert (fine.flatten(1) - render(factors, 28)).abs().mean() < 0.01


def test_each_factor_does_what_its_name_says():
    ink, var_x, var_y, cov = moments(render(plain(), 56), 56)
    assert (moments(render(plain(pen=0.09), 56), 56)[0] > 1.15 * ink).all()
    wide = moments(render(plain(width=1.0), 56), 56)[1] / var_x
    assert ((wide > 1.08) & (wide < 1.24)).all()  # (1/0.9)² and the pen's own width
    tall = moments(render(plain(height=0.9), 56), 56)[2] / var_y
    assert ((tall > 0.79) & (tall < 0.86)).all()  # 0.9² and the pen's
    leaning = (moments(render(plain(slant=0.3), 56), 56)[3] - cov) / var_y
    assert ((leaning < -0.2) & (leaning > -0.4)).all()  # −0.3 where ink is even
    _, turned_x, turned_y, turned = moments(render(plain(turn=0.3), 56), 56)
    torch.testing.assert_close(turned_x + turned_y, var_x + var_y, atol=2e-4, rtol=0)
    spread = torch.sin(torch.tensor(0.6)) * (var_x - var_y) / 2
    expected = spread + math.cos(0.6) * cov
    torch.testing.assert_close(turned, expected.double(), atol=2e-4, rtol=0.02)


def test_wobble_bends_the_curve_and_nothing_without_it():
    still = render(plain())
    for n in range(1, WOBBLES + 1):
        assert (render(plain(**{f"wobble_{n}": 1.0})) - still).abs().mean() > 0.003


def test_the_factors_follow_their_laws():
    classes, values = draw_factors(8000, torch.Generator().manual_seed(4))
    assert classes[:, 0].bincount().tolist() == [800] * 10
    for column, (name, (kind, first, second)) in enumerate(LAWS.items(), start=1):
        law = (
            stats.norm(first, second)
            if kind == "normal"
            else stats.uniform(first, second - first)
        )
        assert stats.kstest(values[:, column], law.cdf).pvalue > 1e-4, name
        tenth = (10 * law.cdf(values[:, column])).astype(int)
        assert (tenth == classes[:, column].numpy()).mean() > 0.999


def test_style_is_independent_of_the_class_and_of_other_style():
    classes, values = draw_factors(8000, torch.Generator().manual_seed(5))
    for column in range(1, len(FACTORS)):
        groups = [values[classes[:, 0] == digit, column] for digit in range(10)]
        assert stats.f_oneway(*groups).pvalue > 1e-4, FACTORS[column]
    correlation = torch.corrcoef(values.T) - torch.eye(len(FACTORS))
    assert correlation.abs().max() < 0.05


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        (torch.zeros(3, 4), "expected \\(N, 14\\), in the order class, slant"),
        (plain([3], width=0.0), "not above 0"),
        (plain([3], turn=math.nan), "NaN or infinity"),
        (plain([11]), "digits 0 to 9"),
    ],
)
def test_what_cannot_be_drawn_is_refused(factors, words):
    with pytest.raises(ValueError, match=words):
        render(factors)


def test_a_size_and_a_count_must_be_sensible():
    with pytest.raises(ValueError, match="size is 4; expected a whole number from 8"):
        render(plain(), size=4)
    with pytest.raises(ValueError, match="count is 0"):
        draw_factors(0, torch.Generator())
    assert render(plain([]), 28).shape == (0, 784)


def test_a_code_of_the_pen_means_the_factors_laws():
    z = torch.tensor([[0.0, 0.0], [1.0, -0.5]], dtype=torch.float64)
    rows = torch.zeros(2, 14, dtype=torch.float64)
    rows[:, 0] = 7
    rows[:, 3:6] = torch.tensor([0.85, 0.95, 0.072])  # the middle of the laws
    rows[1, 1] = 0.22  # one standard deviation of slant
    rows[1, 3] = 0.7 + 0.3 * NormalDist().cdf(-0.5)  # width is uniform
    got = pen(z, 7, names=("slant", "width"))
    assert got.dtype == torch.float64
    assert torch.allclose(got.float(), render(rows), atol=2e-3)


def test_gradients_flow_through_the_pen():
    names = ("slant", "turn", "pen")
    z = torch.tensor([[0.3, -0.4, 0.2]], dtype=torch.float64)
    target = pen(torch.zeros_like(z), 3, names)

    def loss(z):
        return ((pen(z, 3, names) - target) ** 2).sum()

    leaf = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(leaf), leaf)
    for k in range(3):
        step = torch.zeros_like(z)
        step[0, k] = 0.01
        by_difference = (loss(z + step) - loss(z - step)) / 0.02
        assert abs(slope[0, k] - by_difference) < 0.05 * slope.abs().max()


@pytest.mark.parametrize(
    ("z", "names", "said"),
    [
        (torch.zeros(2), ("slant", "turn"), r"shape \(2,\)"),
        (torch.zeros(2, 3), ("slant", "turn"), r"expected \(N, 2\)"),
        (torch.zeros(2, 1), ("colour",), "unknown factors"),
    ],
)
def test_the_pen_names_what_is_wrong(z, names, said):
    with pytest.raises(ValueError, match=said):
        pen(z, 1, names)


def test_a_lesson_may_work_in_float64():
    here = render(plain())
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(render(plain()), here)
    finally:
        torch.set_default_dtype(torch.float32)


def test_the_gradient_is_finite_where_a_pixel_lies_on_the_curve():
    names = ("slant", "turn", "width", "height", "pen")
    z = torch.linspace(-1.5, 1.5, 200, dtype=torch.float64)[:, None].repeat(1, 5)
    z.requires_grad_()
    pen(z, 4, names).sum().backward()
    assert z.grad.isfinite().all()
