"""A question before the run: what the reader sees, live and without a kernel."""

import re

import ipywidgets
import pytest

from course_utils.widgets import Prediction, predict
from widget_reading import MIMES, children, parsed


def question(**changes):
    arguments = {
        "question": "Which is <em>larger</em>, $p<q$ or not?",
        "options": ["the first", "the second", "neither, $p>q$"],
        "answer": 2,
        "why": "Because of <code>this</code> reason.",
        "in_order": True,
    }
    return Prediction(**(arguments | changes))


def test_a_question_is_one_output_with_three_views(monkeypatch):
    shown = []
    monkeypatch.setattr(
        "course_utils.widgets.prediction.display",
        lambda *a, **k: shown.append((a, k)),
    )
    predict("Up or down?", ["up", "down"], "down", "It falls.")
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


def test_the_order_of_the_options_is_drawn_once_from_the_question():
    options = ["the first", "the second", "neither, $p>q$"]
    shown = question(in_order=False)
    assert sorted(shown.options) == sorted(options)
    assert shown.options[shown.answer] == options[2]
    assert shown.options == question(in_order=False, answer=options[2]).options
    assert shown.options == question(in_order=False, options=options).options


def test_the_right_option_stands_at_every_place_alike():
    places = [
        question(question=f"Which, for {n}?", in_order=False).answer for n in range(900)
    ]
    counts = [places.count(place) for place in range(3)]
    assert all(abs(count - 300) < 60 for count in counts), counts  # 4 sigma


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


def test_raised_and_lowered_digits_stay_apart_in_plain_text():
    asked = Prediction("17<sup>64</sup> images?", ["x<sub>1</sub>", "b"], 0, "Many.")
    assert "17^64 images?" in asked.plain_text()
    assert "x_1" in asked.plain_text()
