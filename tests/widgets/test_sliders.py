"""Sliders over a picture: what the reader sees, live and without a kernel."""

import base64

import ipywidgets
import numpy as np
import pytest

from course_utils.widgets import Explorer, explorer
from widget_reading import MIMES, children, parsed, read

ALT = "A ramp of grey, dark on the left, whose brightness the slider sets"


def ramp(**changes):
    arguments = {
        "render": lambda grey: np.linspace(0, grey, 64).reshape(8, 8),
        "sliders": {"grey": (0.0, 1.0, 0.05, "brightness")},
        "start": {"grey": 0.5},
        "alt": ALT,
        "describe": lambda grey: f"brightness {grey:.2f}",
    }
    return Explorer(**(arguments | changes))


def test_an_explorer_is_one_output_with_three_views(monkeypatch):
    shown = []
    monkeypatch.setattr(
        "course_utils.widgets.sliders.display", lambda *a, **k: shown.append((a, k))
    )
    one = ramp()
    explorer(one.render, one.sliders, start=one.start, alt=ALT, describe=one.describe)
    (((bundle,), options),) = shown
    assert set(bundle) == MIMES and options == {"raw": True}


def test_the_static_page_is_the_picture_at_the_start_with_its_words():
    one = ramp(alt=ALT + ' "<&>"', describe=lambda grey: f"grey < {grey}")
    reader = parsed(one.static_html())
    attributes = reader.attributes["img"]
    assert attributes["alt"] == ALT + ' "<&>"'
    assert (attributes["width"], attributes["height"]) == ("280", "280")
    data = attributes["src"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(data) == one.update(grey=0.5)[0]
    assert "grey &lt; 0.5" in one.static_html() and "brightness" in one.static_html()
    assert ALT in one.plain_text() and "grey < 0.5" in one.plain_text()


def test_update_is_a_plain_function_of_the_values():
    one = ramp()
    png, text = one.update(grey=0.8)
    assert text == "brightness 0.80"
    assert read(png).shape == (280, 280) and read(png).max() == round(0.8 * 255)
    assert one.update(grey=0.8) == (png, text)


def test_a_moved_slider_changes_picture_and_words_in_place():
    one = ramp()
    widget = one.widget()
    (slider,) = children(widget, ipywidgets.FloatSlider)
    (image,) = children(widget, ipywidgets.Image)
    (line,) = children(widget, ipywidgets.HTML)
    assert slider.continuous_update
    assert image.value.tobytes() == one.update(grey=0.5)[0]
    slider.value = 0.75
    png, text = one.update(grey=0.75)
    assert image.value.tobytes() == png
    (words,) = children(widget, ipywidgets.HTMLMath)
    assert text in line.value and ALT in words.value
    assert text in image.tooltip and ALT in image.tooltip
    assert image.get_state()["description"] == ""  # without it the browser fails
    assert children(widget, ipywidgets.Image) == [image]
    assert children(widget, ipywidgets.Output) == []


def test_a_failing_render_is_said_in_the_line_and_keeps_the_picture():
    def render(grey):
        if grey > 0.9:
            raise RuntimeError("too <bright>")
        return np.full((4, 4), grey)

    widget = ramp(render=render).widget()
    (slider,) = children(widget, ipywidgets.FloatSlider)
    (image,) = children(widget, ipywidgets.Image)
    (line,) = children(widget, ipywidgets.HTML)
    before = image.value.tobytes()
    slider.value = 1.0
    assert "RuntimeError: too &lt;bright&gt;" in line.value
    assert image.value.tobytes() == before
    slider.value = 0.2
    assert "brightness 0.20" in line.value


def test_whole_numbers_make_a_slider_of_whole_numbers():
    one = Explorer(
        lambda row, column: np.eye(9)[row, column] * np.ones((3, 3)),
        {"row": (0, 8, 1, "row"), "column": (0, 8, 1, "column")},
        start={"column": 4, "row": 4},
        alt=ALT,
        describe=lambda row, column: f"row {row}, column {column}",
    )
    assert len(children(one.widget(), ipywidgets.IntSlider)) == 2
    assert one.update(row=1, column=2)[1] == "row 1, column 2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alt": "short"}, "at least 40"),
        ({"alt": None}, "alt must be"),
        ({"sliders": {}}, "sliders must be a dict"),
        ({"sliders": {"grey": (1.0, 0.0, 0.1, "g")}}, "min < max"),
        ({"sliders": {"grey": (0.0, 1.0, 0.0, "g")}}, "step"),
        ({"sliders": {"grey": (0.0, 1.0, 2.0, "g")}}, "step"),
        ({"sliders": {"grey": (0.0, 1.0, 0.1, "")}}, "label"),
        ({"sliders": {"grey": (0.0, 1.0)}}, "label"),
        ({"sliders": {"a b": (0.0, 1.0, 0.1, "g")}}, "argument name"),
        ({"start": {}}, "each slider"),
        ({"start": {"grey": 0.5, "blue": 1}}, "each slider"),
        ({"start": {"grey": 2.0}}, "between 0.0 and 1.0"),
        ({"start": {"grey": float("nan")}}, "between"),
        ({"render": None}, "functions"),
        ({"size": (0, 10)}, "width, height"),
        ({"size": 280}, "width, height"),
    ],
)
def test_unfit_explorers_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ramp(**changes)


def test_update_refuses_values_out_of_range_and_empty_words():
    with pytest.raises(ValueError, match="between"):
        ramp().update(grey=1.5)
    with pytest.raises(ValueError, match="describe"):
        ramp(describe=lambda grey: "").update(grey=0.5)
