"""Figures arrive as HTML with a description."""

import base64
import io
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils import plots

ALT = "A red line rises from the lower left to the upper right, then falls."


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


class Place:
    """Takes what is displayed, as a notebook does."""

    def __init__(self):
        self.shown = []

    def display(self, figure, display_id=None):
        assert display_id
        self.shown.append([figure])
        return self

    def update(self, figure):
        self.shown[-1].append(figure)


def test_a_redrawn_figure_is_one_output_that_changes(monkeypatch):
    place = Place()
    monkeypatch.setattr("IPython.display.display", place.display)
    redraw = plots.redrawn(alt=ALT, caption="again")
    for _ in range(3):
        fig = line()
        redraw(fig)
        assert not plt.fignum_exists(fig.number)
    ((first, *_, last),) = place.shown
    assert len(place.shown[0]) == 3
    assert first.alt == last.alt == ALT and last.caption == "again"
    plots.redrawn(alt=ALT)(line())
    assert len(place.shown) == 2


def test_a_stored_notebook_keeps_the_last_drawing_alone(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    from nbclient import NotebookClient

    source = f"""
import matplotlib.pyplot as plt
from course_utils import plots
redraw = plots.redrawn(alt={ALT!r}, caption="last")
for width in (2, 3, 4):
    redraw(plt.figure(figsize=(width, 1), dpi=50))
"""
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(nb, kernel_name="python3").execute()
    (output,) = nb.cells[0].outputs
    assert "width:200px" in output.data["text/html"]
