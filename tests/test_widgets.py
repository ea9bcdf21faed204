"""The widgets: what the reader sees, live and without a kernel."""

import base64
import io
import re
from html.parser import HTMLParser

import ipywidgets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from course_utils import widgets
from course_utils.widgets import Explorer, Prediction, picture

MIMES = {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}
ALT = "A ramp of grey, dark on the left, whose brightness the slider sets"


class Balanced(HTMLParser):
    """Collects tags and complains when one is closed that was not opened."""

    def __init__(self):
        super().__init__()
        self.stack, self.seen, self.attributes = [], [], {}

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes[tag] = dict(attrs)
        if tag not in {"img", "br"}:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def parsed(page):
    reader = Balanced()
    reader.feed(page)
    reader.close()
    assert reader.stack == []
    return reader


def question(**changes):
    arguments = {
        "question": "Which is <em>larger</em>, $p<q$ or not?",
        "options": ["the first", "the second", "neither, $p>q$"],
        "answer": 2,
        "why": "Because of <code>this</code> reason.",
    }
    return Prediction(**(arguments | changes))


def ramp(**changes):
    arguments = {
        "render": lambda grey: np.linspace(0, grey, 64).reshape(8, 8),
        "sliders": {"grey": (0.0, 1.0, 0.05, "brightness")},
        "start": {"grey": 0.5},
        "alt": ALT,
        "describe": lambda grey: f"brightness {grey:.2f}",
    }
    return Explorer(**(arguments | changes))


def children(widget, kind):
    found = [widget] if isinstance(widget, kind) else []
    for child in getattr(widget, "children", ()):
        found += children(child, kind)
    return found


# ------------------------------------------------------------------------- predict


def test_a_question_is_one_output_with_three_views(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda *a, **k: shown.append((a, k)))
    widgets.predict("Up or down?", ["up", "down"], "down", "It falls.")
    (((bundle,), options),) = shown
    assert set(bundle) == MIMES and options == {"raw": True}
    assert set(bundle["application/vnd.jupyter.widget-view+json"]) == {
        "version_major",
        "version_minor",
        "model_id",
    }


def test_the_static_page_holds_question_options_and_reason():
    page = question(name="sizes").static_html()
    reader = parsed(page)
    assert {"details", "summary", "ul", "li", "em", "code"} <= set(reader.seen)
    assert "Make your guess, then open" in page
    for text in ("larger", "the first", "the second", "neither", "reason", "sizes"):
        assert text in page
    assert "<li>A. the first</li><li>B. the second</li><li>C. neither" in page
    before, after = page.split("<details>")
    assert "reason" not in before and "C: neither" in after


def test_comparison_signs_in_formulas_are_not_taken_for_tags():
    page = question().static_html()
    assert "$p&lt;q$" in page and "$p&gt;q$" in page and "<em>" in page


def test_the_plain_text_has_no_markup():
    text = question(options=["a < b", "$p<q$", "<b>c</b>"]).plain_text()
    assert not re.search(r"</?(em|b|code)>", text)
    assert "A. a < b" in text and "$p<q$" in text and "C. c" in text


@pytest.mark.parametrize("guess", [0, 1, 2])
def test_a_click_says_whether_it_was_right_and_then_why(guess):
    widget = question().widget()
    buttons = children(widget, ipywidgets.Button)
    texts = children(widget, ipywidgets.HTMLMath)
    assert not any("reason" in text.value for text in texts)
    buttons[guess].click()
    reveal = texts[-1].value
    assert "reason" in reveal and "ABC"[guess] in reveal
    assert ("Right." in reveal) == (guess == 2)
    assert buttons[guess].button_style == ("success" if guess == 2 else "warning")
    if guess != 2:
        assert "The answer is C: neither, $p&gt;q$" in reveal
    parsed(reveal)


def test_the_first_guess_counts():
    widget = question().widget()
    buttons = children(widget, ipywidgets.Button)
    buttons[0].click()
    first = children(widget, ipywidgets.HTMLMath)[-1].value
    buttons[2].click()
    assert children(widget, ipywidgets.HTMLMath)[-1].value == first
    assert buttons[2].button_style == ""


def test_buttons_say_in_words_what_they_stand_for():
    tips = [b.tooltip for b in children(question().widget(), ipywidgets.Button)]
    assert tips == [
        "Guess A: the first",
        "Guess B: the second",
        "Guess C: neither, $p>q$",
    ]


def test_the_answer_may_be_its_text():
    assert question(answer="the second").answer == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"question": "  "}, "question must be a non-empty"),
        ({"why": ""}, "why must be"),
        ({"why": None}, "why must be"),
        ({"name": ""}, "name must be"),
        ({"options": ["one"]}, "2 to 8"),
        ({"options": list("abcdefghi")}, "2 to 8"),
        ({"options": "ab"}, "list of strings"),
        ({"options": ["a", ""]}, "each option"),
        ({"options": ["a", "a"]}, "differ"),
        ({"options": ["a", 3]}, "each option"),
        ({"answer": 3}, "0 to 2"),
        ({"answer": -1}, "0 to 2"),
        ({"answer": "missing"}, "one of the options"),
        ({"answer": True}, "index or the text"),
        ({"answer": 1.0}, "index or the text"),
    ],
)
def test_unfit_questions_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        question(**changes)


# ------------------------------------------------------------------------- picture


def read(png):
    return np.asarray(Image.open(io.BytesIO(png)))


@given(
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    colour=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=30, deadline=None)
def test_a_picture_repeats_every_pixel_as_a_block(rows, columns, colour, seed):
    shape = (rows, columns, 3) if colour else (rows, columns)
    pixels = np.random.default_rng(seed).random(shape)
    got = read(picture(pixels, size=(5 * columns, 7 * rows)))
    blocks = np.repeat(np.repeat(pixels, 7, axis=0), 5, axis=1)
    assert got.shape == blocks.shape
    assert np.abs(got - 255 * blocks).max() <= 0.5 + 1e-9


def test_a_picture_takes_tensors_and_bytes():
    pixels = torch.linspace(0, 1, 64).reshape(8, 8).requires_grad_()
    eight_bits = (pixels.detach().numpy() * 255).round().astype(np.uint8)
    assert picture(pixels) == picture(eight_bits)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros(4), "shape"),
        (np.zeros((4, 4, 4)), "shape"),
        (np.zeros((0, 4)), "empty"),
        (np.full((2, 2), np.nan), "finite"),
        (np.full((2, 2), 1.01), "0, 1"),
        (np.full((2, 2), -0.01), "0, 1"),
        (np.zeros((2, 2), dtype=int), "uint8"),
    ],
)
def test_unfit_pixels_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        picture(pixels)


# ------------------------------------------------------------------------ explorer


def test_an_explorer_is_one_output_with_three_views(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda *a, **k: shown.append((a, k)))
    one = ramp()
    widgets.explorer(
        one.render, one.sliders, start=one.start, alt=ALT, describe=one.describe
    )
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


def test_raised_and_lowered_digits_stay_apart_in_plain_text():
    asked = Prediction("17<sup>64</sup> images?", ["x<sub>1</sub>", "b"], 0, "Many.")
    assert "17^64 images?" in asked.plain_text()
    assert "x_1" in asked.plain_text()
