"""Figures arrive as HTML with a description; images are laid out as they are."""

import base64
import io
import re
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from course_utils import plots
from course_utils.training import History

ALT = "A red line rises from the lower left to the upper right, then falls."


@pytest.fixture(autouse=True)
def clean():
    mpl.use("agg")
    with mpl.rc_context():
        yield
    plt.close("all")


def line():
    fig, ax = plt.subplots(figsize=(4, 3), dpi=100)
    ax.plot([0, 1, 2], [0, 2, 1], color="#ff0000", linewidth=3)
    return fig


class Tags(HTMLParser):
    """Collects tags with their attributes, and the text of the caption."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.captions, self.open = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, text):
        assert self.open and self.open[-1] == "figcaption", f"text {text!r} got loose"
        self.captions.append(text)


def parts(view):
    """Give the tag names, the attributes of the image and the caption of a figure."""
    page = Tags(view._repr_html_())
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    return [tag for tag, _ in page.tags], image, "".join(page.captions)


def picture(image):
    kind, data = image["src"].split(",", 1)
    assert kind == "data:image/png;base64"
    png = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
    assert png.format == "PNG"
    return png


# --- figures ------------------------------------------------------------------------


def test_a_figure_is_html_with_alt_caption_and_picture():
    names, image, caption = parts(plots.render(line(), alt=ALT, caption="The loss"))
    assert names == ["figure", "img", "figcaption"]
    assert image["alt"] == ALT and caption == "The loss"
    png = picture(image)
    assert png.size == (800, 600), "twice the size on the page, for sharp screens"
    assert "width:400px" in image["style"] and "max-width:100%" in image["style"]
    pixels = np.asarray(png.convert("RGB")).astype(int)
    assert (pixels[0, 0] == 255).all(), "the ground is white"
    red = (pixels[..., 0] > 200) & (pixels[..., 1:].max(-1) < 60)
    assert red.sum() > 500, "the line must be seen"


def test_without_a_caption_there_is_none():
    names, _, caption = parts(plots.render(line(), alt=ALT))
    assert names == ["figure", "img"] and caption == ""


@given(
    alt=st.text("ab<>&\"'= \n", min_size=60, max_size=90),
    caption=st.text("ab<>&\"'= ", min_size=1, max_size=30),
)
@settings(max_examples=60)
def test_whatever_stands_in_alt_and_caption_is_escaped(alt, caption):
    words = " ".join(alt.split())
    view = plots.Figure(b"", words, caption, 100)
    names, image, got = parts(view)
    assert names == ["figure", "img", "figcaption"]
    assert image["alt"] == words and got == caption
    assert set(image) == {"alt", "style", "src"}


def test_its_plain_text_is_the_alt():
    view = plots.render(line(), alt=ALT, caption="elsewhere")
    assert repr(view) == f"[figure: {ALT}]"


def test_line_breaks_in_the_alt_become_spaces():
    view = plots.render(line(), alt=f"  {ALT}\n    And so on. ")
    assert view.alt == f"{ALT} And so on."


def test_a_figure_is_closed_once_drawn():
    other, fig = line(), line()
    plots.render(fig, alt=ALT)
    assert plt.get_fignums() == [other.number]


@pytest.mark.parametrize("alt", ["", "A plot.", "x" * 39, " x" + " " * 80 + "y "])
def test_a_short_alt_is_refused(alt):
    count = len(" ".join(alt.split()))
    with pytest.raises(ValueError, match=f"alt has {count} characters; expected at le"):
        plots.render(line(), alt=alt)
    with pytest.raises(ValueError, match="at least 40 that say what one sees"):
        plots.show(line(), alt=alt)


def test_forty_characters_are_enough():
    assert plots.render(line(), alt="x" * 40).alt == "x" * 40


def test_show_displays_one_figure_and_closes_it(monkeypatch):
    import IPython.display

    seen = []
    monkeypatch.setattr(IPython.display, "display", seen.append)
    assert plots.show(line(), alt=ALT, caption="The loss") is None
    (view,) = seen
    assert (view.alt, view.caption) == (ALT, "The loss")
    assert plt.get_fignums() == []


def test_show_sends_html_and_plain_text_to_the_notebook():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.clear_instance()
    InteractiveShell.instance()
    try:
        with capture_output() as captured:
            plots.show(line(), alt=ALT)
        (output,) = captured.outputs
    finally:
        InteractiveShell.clear_instance()
    assert set(output.data) == {"text/html", "text/plain"}
    assert output.data["text/plain"] == f"[figure: {ALT}]"
    assert output.data["text/html"].startswith("<figure")


def test_fewer_colours_make_the_picture_smaller_and_change_little():
    fig, ax = plt.subplots(figsize=(4, 3), dpi=100)
    ax.imshow(np.add.outer(np.arange(60), np.arange(80)), cmap="viridis")
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=200, facecolor="white")
    view = plots.render(fig, alt=ALT)
    assert len(view.png) < 0.7 * len(buffer.getvalue())
    before, after = (
        np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
        for png in (buffer.getvalue(), view.png)
    )
    assert np.abs(before - after).mean() < 2


# --- style and colours --------------------------------------------------------------


def test_the_style_reaches_every_figure_that_follows():
    plots.use_style()
    fig, ax = plt.subplots()
    assert tuple(fig.get_size_inches()) == (7.0, 3.2) and fig.dpi == 100
    assert not ax.spines["top"].get_visible() and not ax.spines["right"].get_visible()
    drawn = [ax.plot([0, 1])[0].get_color() for _ in plots.CYCLE]
    assert drawn == [plots.COLOURS[name] for name in plots.CYCLE]
    assert ax.imshow(np.eye(2)).get_cmap().name == plots.IMAGES


def test_importing_sets_no_style():
    assert not mpl.rcParams["figure.constrained_layout.use"]


def test_the_colours_are_the_promised_ones():
    hues = {"reconstruction": "orange", "rate": "purple", "gap": "red"}
    hues |= {"model": "blue", "second": "green"}
    named = {"orange": (0.03, 0.12), "purple": (0.7, 0.85), "blue": (0.5, 0.65),
             "green": (0.3, 0.5)}  # fmt: skip
    for name, hue in hues.items():
        rgb = matplotlib.colors.to_rgb(plots.COLOURS[name])
        h, s, _ = matplotlib.colors.rgb_to_hsv(rgb)
        assert s > 0.5
        if hue == "red":
            assert h < 0.03 or h > 0.95
        else:
            assert named[hue][0] < h < named[hue][1], name
    for name in ("data", "muted"):
        assert len(set(matplotlib.colors.to_rgb(plots.COLOURS[name]))) == 1
    assert len(set(plots.COLOURS.values())) == len(plots.COLOURS)
    for name in (plots.IMAGES, plots.DIVERGING, plots.SEQUENTIAL):
        assert name in mpl.colormaps


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
    view = plots.render(fig, alt=ALT)
    assert re.search(r'^<figure style="[^"]*"><img alt="A red', view._repr_html_())
    assert len(view.png) < 100_000


# --- training runs ------------------------------------------------------------------


def test_a_history_is_drawn_in_the_colours_of_its_terms():
    run = History(
        [3.0, 2.0, 1.5], [3.5, 2.5, 2.0],
        {"distortion": [2.0, 1.5, 1.0], "rate": [1.0, 0.5, 0.5], "size": [9.0, 8.0, 7]},
        {"distortion": [2.5, 1.5, 1.5]},
    )  # fmt: skip
    (ax,) = plots.history(run, ylabel="nats per image").axes
    lines = {line.get_label(): line for line in ax.lines}
    assert {name: list(line.get_ydata()) for name, line in lines.items()} == (
        run.columns()
    )
    assert all(list(line.get_xdata()) == [1, 2, 3] for line in ax.lines)
    for name, line in lines.items():
        assert line.get_linestyle() == ("-" if name.startswith("train") else "--")
    colours = {name: line.get_color() for name, line in lines.items()}
    assert colours["train distortion"] == plots.COLOURS["reconstruction"]
    assert colours["validation distortion"] == plots.COLOURS["reconstruction"]
    assert colours["train rate"] == plots.COLOURS["rate"]
    assert len(set(colours.values())) == 4
    assert ax.get_ylabel() == "nats per image" and ax.get_xlabel() == "epoch"
    assert len(ax.get_legend().get_texts()) == 6


def test_one_epoch_is_seen_and_none_is_named():
    (ax,) = plots.history(History([2.0])).axes
    assert ax.lines[0].get_marker() == "o"
    with pytest.raises(ValueError, match="the history is empty; expected at least one"):
        plots.history(History())


def test_a_quantile_grid_cuts_the_prior_into_equal_shares():
    n = 5
    grid = plots.quantile_grid(n)
    shares = stats.norm.cdf(grid.numpy().astype(float))
    places = np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=2).reshape(-1, 2)
    want = (places * [1, -1] + [0, n - 1] + 0.5) / n
    assert np.allclose(shares, want, atol=1e-6)


@pytest.mark.parametrize("n", [0, 2.0, True])
def test_a_quantile_grid_of_no_size_is_refused(n):
    with pytest.raises(ValueError, match="whole number"):
        plots.quantile_grid(n)


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


# --- tables -------------------------------------------------------------------------

ROWS = [["ours", 3, torch.tensor(1.234), True], ["theirs", 12, 10.5, False]]
COLUMNS = ["loss", "K", "nats", "below 2"]


def test_a_table_is_aligned_text_numbers_to_the_right():
    assert repr(plots.as_table(ROWS, COLUMNS)).splitlines() == [
        "loss     K   nats  below 2",
        "ours     3   1.23  yes",
        "theirs  12  10.50  no",
    ]


def test_a_table_is_html_with_the_same_cells():
    page = plots.as_table(ROWS, COLUMNS, caption="a < b")._repr_html_()
    assert re.findall(r"<t[hd] [^>]*>([^<]*)<", page) == [
        *COLUMNS, "ours", "3", "1.23", "yes", "theirs", "12", "10.50", "no",
    ]  # fmt: skip
    assert "a &lt; b" in page
    assert plots.as_table([["<b>"]], ["x"])._repr_html_().count("<b>") == 0


def test_each_column_may_have_its_own_format():
    rows = [[0.5, 1e-7, 0.123], [np.float64(0.25), np.float32(2e-7), torch.tensor(0.5)]]
    table = plots.as_table(rows, ["a", "b", "c"], digits=[1, ".0e", ".0%"])
    assert table.rows == [["0.5", "1e-07", "12 %"], ["0.2", "2e-07", "50 %"]]


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["1.0", "−2.5", "1e-07"], True),
        (["1.0 ± 0.2", "3.0 ± 0.1 %"], True),
        (["12 %", "", "nan", "-inf"], True),
        (["200 worlds", "1"], False),
        (["1.0", "no seed"], False),
        (["mean", "1"], False),
    ],
)
def test_a_column_is_flush_right_where_it_holds_numbers_alone(cells, numeric):
    table = plots.as_table([[cell] for cell in cells], ["x"])
    assert ("text-align:right" in table._repr_html_()) is numeric


@pytest.mark.parametrize(
    ("rows", "columns", "digits", "said"),
    [
        ([], ["a"], 2, "there is no row"),
        ([[1], [1, 2]], ["a"], 2, "row 1 has 2 cells; expected 1, one for each of a"),
        ([[1, 2]], ["a", "b"], [1], "digits has 1 entries; expected 2"),
        ([[True, 2.0]], ["ok", "x"], 2, "verdicts of 'ok' stand before numbers"),
        ([[np.True_, 2.0]], ["ok", "x"], 2, "verdicts of 'ok' stand before numbers"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(rows, columns, digits, said):
    with pytest.raises(ValueError, match=said):
        plots.as_table(rows, columns, digits=digits)


def test_digits_are_drawn_at_their_codes_with_their_class_as_marker():
    fig, ax = plt.subplots()
    codes, labels = torch.randn(30, 2), torch.arange(30) % 3
    plots.scatter_digits(ax, codes, labels)
    drawn = [collection.get_offsets() for collection in ax.collections]
    assert [len(part) for part in drawn] == [10, 10, 10] + [0] * 7
    assert np.allclose(drawn[1], codes[labels == 1])
    plt.close(fig)
