"""Images are laid out as they are."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import plots

# --- rows of pixels as images -------------------------------------------------------


@given(N=st.integers(1, 4), H=st.integers(1, 5), W=st.integers(1, 5))
@settings(max_examples=25)
def test_pixels_go_row_by_row_from_the_top(N, H, W):
    x = torch.arange(N * H * W, dtype=torch.float64).view(N, H * W)
    got = plots.as_images(x, (H, W))
    assert isinstance(got, np.ndarray) and got.shape == (N, H, W)
    for n in range(N):
        for i in range(H):
            for j in range(W):
                assert got[n, i, j] == n * H * W + i * W + j


def test_images_are_square_unless_told():
    x = torch.arange(72.0).view(2, 36)
    assert plots.as_images(x).shape == (2, 6, 6)
    assert plots.as_images(x, (4, 9)).shape == (2, 4, 9)
    assert plots.as_images(x.numpy()).shape == (2, 6, 6)
    assert plots.as_images(x.clone().requires_grad_()).shape == (2, 6, 6)


def test_images_stay_as_they_are():
    x = torch.rand(2, 3, 5)
    assert np.array_equal(plots.as_images(x), x.numpy())
    assert np.array_equal(plots.as_images(x, (3, 5)), x.numpy())


@pytest.mark.parametrize(
    ("shape", "size", "said"),
    [
        ((2, 10), None, "10 pixels are no 3×3 image"),
        ((2, 12), (3, 5), "12 pixels are no 3×5 image"),
        ((4,), None, r"x has shape \(4,\); expected \(N, D\) or \(N, H, W\)"),
        ((1, 1, 2, 2), None, r"x has shape \(1, 1, 2, 2\); expected"),
        ((2, 3, 5), (5, 3), r"x has shape \(2, 3, 5\); expected .* or \(N, 5, 3\)"),
    ],
)
def test_wrong_shapes_of_images_are_named(shape, size, said):
    with pytest.raises(ValueError, match=said):
        plots.as_images(torch.zeros(shape), size)


# --- rows of images -----------------------------------------------------------------


def drawn(fig, columns):
    """Give the images of a figure by row; None where a place stays empty."""
    found = [ax.get_images() for ax in fig.axes]
    found = [images[0] if images else None for images in found]
    return [found[i : i + columns] for i in range(0, len(found), columns)]


def test_image_rows_draws_each_image_in_its_place():
    first, second = torch.rand(3, 16), torch.rand(2, 4, 4)
    fig = plots.image_rows([first, second], ["data", "model"])
    rows = drawn(fig, 3)
    assert [[image is None for image in row] for row in rows] == [
        [False] * 3,
        [False, False, True],
    ]
    for row, x in zip(rows, (first, second), strict=True):
        for image, pixels in zip(row, x, strict=False):
            assert np.array_equal(image.get_array(), pixels.view(4, 4).numpy())
            assert image.get_clim() == (0.0, 1.0)
            assert image.get_cmap().name == "gray_r"
            assert image.get_interpolation() == "nearest"
    labels = [ax.texts[0].get_text() for ax in fig.axes if ax.texts]
    assert labels == ["data", "model"]
    assert [bool(ax.texts) for ax in fig.axes] == [True, False, False] * 2
    assert all(not ax.axison for ax in fig.axes)


def test_each_row_has_its_own_limits_where_given():
    x = torch.rand(2, 4)
    fig = plots.image_rows([x, x], ["a", "b"], limits=[(0, 1), (-2, 2)], cmap="PuOr")
    limits = [[image.get_clim() for image in row] for row in drawn(fig, 2)]
    assert limits == [[(0, 1)] * 2, [(-2, 2)] * 2]
    assert drawn(fig, 2)[0][0].get_cmap().name == "PuOr"
    fig = plots.image_rows([x, x, x], list("abc"), limits=[(-1, 3)])
    assert {image.get_clim() for row in drawn(fig, 2) for image in row} == {(-1, 3)}


def test_the_scale_sets_the_size_of_the_images():
    x = torch.rand(5, 4)
    small, large = (plots.image_rows([x], ["a"], scale=s) for s in (0.5, 1.0))
    growth = large.get_size_inches() - small.get_size_inches()
    assert growth == pytest.approx([5 * 0.5, 0.5])


@pytest.mark.parametrize(
    ("rows", "labels", "limits", "said"),
    [
        (2, 1, 1, "2 rows but 1 labels"),
        (1, 2, 1, "1 rows but 2 labels"),
        (3, 3, 2, "3 rows but 2 limits; expected one pair, or one a row"),
        (3, 3, 0, "3 rows but 0 limits"),
        (1, 1, 2, "1 rows but 2 limits"),
        (0, 0, 1, "rows hold no image; expected at least one"),
    ],
)
def test_rows_labels_and_limits_must_fit(rows, labels, limits, said):
    with pytest.raises(ValueError, match=said):
        plots.image_rows(
            [torch.rand(2, 4)] * rows, ["a"] * labels, limits=[(0, 1)] * limits
        )
    assert plt.get_fignums() == [], "a figure that nobody closes is shown twice"


def test_a_row_without_pixels_is_named():
    with pytest.raises(ValueError, match="rows hold no image"):
        plots.image_rows([torch.zeros(0, 4)], ["a"])
    with pytest.raises(ValueError, match="5 pixels are no 2×2 image"):
        plots.image_rows([torch.zeros(3, 5)], ["a"])
    assert plt.get_fignums() == []


def test_a_figure_of_image_rows_can_be_shown():
    plots.use_style()
    fig = plots.image_rows([torch.rand(6, 64)] * 2, ["data", "model"])
    alt = "Two rows of six images of grey noise, one for the data, one for the model"
    view = plots.render(fig, alt=alt)
    assert re.search(r'^<figure style="[^"]*"><img alt="Two rows', view._repr_html_())
    assert len(view.png) < 100_000


# --- many images as one -------------------------------------------------------------


def test_tiles_keep_the_reading_order_and_the_margin():
    x = torch.arange(6.0)[:, None].expand(6, 4) + 1
    picture = plots.tiles(x, columns=3, margin=1)
    assert picture.shape == (8, 12)
    assert picture[1::4, 1::4].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert picture[2::4, 2::4].tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert picture.sum() == 4 * 21


@pytest.mark.parametrize(("count", "columns"), [(5, 2), (0, 2), (4, 0)])
def test_tiles_that_fill_no_rows_are_refused(count, columns):
    with pytest.raises(ValueError, match="do not fill rows"):
        plots.tiles(torch.zeros(count, 4), columns)
