"""The quiz on a part: its questions as data, its score, its three views."""

import re
import tomllib

import ipywidgets
import pytest

from course_utils.course import course
from course_utils.widgets import Question, Quiz, quiz_on
from course_utils.widgets.quiz import FOLDER, read
from widget_reading import MIMES, children, parsed

FILES = sorted(FOLDER.glob("*.toml"))
files = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
WRONG = {"$p<q$": "Often <em>said</em>.", "the third": "Nearly."}


def question(**changes):
    arguments = {
        "asks": "Which is <em>right</em>?",
        "right": "the first",
        "why": "It is.",
        "wrong": WRONG,
        "lesson": "05",
        "name": "Question 1",
    }
    return Question(**(arguments | changes))


def three():
    return Quiz(
        [question(asks=f"Which, for {n}?", lesson=f"0{n + 1}") for n in range(3)]
    )


def live(of):
    """The buttons of each question, right one first, its outcome, and the rest."""
    box = of.widget()
    *rows, score, anew = box.children
    buttons = []
    for one, row in zip(of.questions, rows, strict=True):
        row_buttons = children(row, ipywidgets.Button)
        buttons.append(
            [row_buttons[one.choices.answer]]
            + [b for n, b in enumerate(row_buttons) if n != one.choices.answer]
        )
    outcomes = [children(row, ipywidgets.HTMLMath)[-1] for row in rows]
    return buttons, outcomes, score, anew


# --- the questions of the course ------------------------------------------------------


@files
def test_a_quiz_asks_ten_questions_of_the_lessons_of_its_part(path):
    part = path.stem.removeprefix("part_")
    questions = read(path).questions
    asked = [one.lesson for one in questions]
    there = [lesson.number for lesson in course().lessons if lesson.part == part]
    assert len(questions) == 10
    assert asked == sorted(asked) and set(asked) == set(there)


@files
def test_every_option_is_explained_and_one_is_right(path):
    for row in tomllib.loads(path.read_text("utf-8"))["question"]:
        options = [row["right"], *(wrong["option"] for wrong in row["wrong"])]
        reasons = [row["why"], *(wrong["why"] for wrong in row["wrong"])]
        assert len(options) >= 3 and len(set(options)) == len(options), row["asks"]
        assert len(set(reasons)) == len(reasons) == len(options)
        assert all(len(reason) > 40 for reason in reasons), row["asks"]


@files
def test_no_text_counts_on_the_order_of_the_options(path):
    lettered = r"of the above|\b(option|answer) [A-D]\b"
    assert not re.search(lettered, path.read_text("utf-8"))


@files
def test_the_formulas_are_closed_and_the_pages_balanced(path):
    of = read(path)
    for one in of.questions:
        texts = [one.choices.question, *one.choices.options, *one.reasons.values()]
        assert all(text.count("$") % 2 == 0 for text in texts), one.choices.question
    parsed(of.static_html())


def test_the_right_option_stands_at_every_place_about_alike():
    choices = [one.choices for path in FILES for one in read(path).questions]
    sizes = [len(one.options) for one in choices]
    expected = [sum(1 / size for size in sizes if size > n) for n in range(max(sizes))]
    counts = [[one.answer for one in choices].count(n) for n in range(max(sizes))]
    distance = sum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True))
    assert distance < 7.8, (counts, expected)  # 95 % of chi-squared with 3 freedoms
    for path in FILES:
        places = [one.choices.answer for one in read(path).questions]
        assert max(map(places.count, places)) <= 5, path.stem


# --- what is shown --------------------------------------------------------------------


def test_a_quiz_is_one_output_with_three_views(monkeypatch):
    shown = []
    monkeypatch.setattr(
        "course_utils.widgets.quiz.display", lambda *a, **k: shown.append((a, k))
    )
    quiz_on("II")
    (((bundle,), options),) = shown
    assert set(bundle) == MIMES and options == {"raw": True}
    assert bundle["text/html"].count("<details>") == 10
    assert bundle["text/plain"].count("Right. ") == 10


def test_there_is_no_quiz_on_an_unknown_part():
    with pytest.raises(ValueError, match="one of .'I', 'II', 'III'., got 'V'"):
        quiz_on("V")


def test_the_static_page_folds_the_replies():
    page = question().static_html()
    before, after = page.split("<details>")
    assert "Right." not in before and "It is." not in before
    assert "Right. It is." in after and "Often <em>said</em>" in after
    assert "$p&lt;q$" in page and "Lesson 05" in after
    assert after.index("Right.") < after.index("Not this.")
    parsed(page)


def test_the_plain_text_has_no_markup():
    text = question().plain_text()
    assert not re.search(r"</?em>", text)
    assert "Question 1: Which is right?" in text and "Not this. Often said." in text


def test_every_choice_is_answered_and_one_may_try_again():
    one = Quiz([question()])
    ((right, wrong, other),), (outcome,), score, _ = live(one)
    assert outcome.value == "" and "0 of 1 found, 0 at the first try" in score.value
    wrong.click()
    assert "Not this." in outcome.value and wrong.button_style == "warning"
    assert "0 of 1 found" in score.value
    right.click()
    assert "Right. It is." in outcome.value and right.button_style == "success"
    assert "All 1 found, 0 at the first try" in score.value
    other.click()  # to see why it is wrong costs nothing
    assert "Not this." in outcome.value and "All 1 found" in score.value
    parsed(outcome.value)
    parsed(score.value)


def test_the_score_counts_first_choices_and_says_where_to_look_again():
    buttons, _, score, _ = live(three())
    buttons[0][0].click()
    buttons[1][1].click()
    assert "1 of 3 found, 1 at the first try" in score.value
    buttons[1][0].click()
    buttons[2][0].click()
    assert "All 3 found, 2 at the first try. Worth another look: lesson 02." in (
        score.value
    )


def test_all_right_at_once_leaves_nothing_to_look_at():
    buttons, _, score, _ = live(three())
    for row in buttons:
        row[0].click()
    assert "All 3 found, 3 at the first try." in score.value
    assert "another look" not in score.value


def test_one_can_start_again():
    buttons, outcomes, score, anew = live(three())
    buttons[0][1].click()
    buttons[1][0].click()
    anew.click()
    assert [outcome.value for outcome in outcomes] == ["", "", ""]
    assert {button.button_style for row in buttons for button in row} == {""}
    assert "0 of 3 found, 0 at the first try" in score.value
    buttons[0][0].click()
    assert "1 of 3 found, 1 at the first try" in score.value


def test_a_screen_reader_hears_outcome_and_score():
    buttons, outcomes, score, _ = live(three())
    buttons[0][0].click()
    assert 'role="status"' in outcomes[0].value and 'role="status"' in score.value
    assert all(button.tooltip.startswith("Choose ") for button in buttons[0])


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wrong": {"one": "Because."}}, "options must hold 3 to 8"),
        ({"wrong": {"the first": "a", "b": "c"}}, "options must differ"),
        ({"wrong": {**WRONG, "fourth": " "}}, "each reason must be"),
        ({"why": ""}, "each reason must be"),
        ({"asks": ""}, "question must be"),
        ({"lesson": ""}, "lesson must be"),
    ],
)
def test_unfit_questions_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        question(**changes)


def test_a_quiz_without_questions_is_refused(tmp_path):
    path = tmp_path / "part_I.toml"
    path.write_text("")
    with pytest.raises(ValueError, match="needs questions"):
        read(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lesson =", "leson =", r"part_I.toml, question 1: .*lesson, leson|leson"),
        ("right = ", "right = '' #", r"part_I.toml, question 1: each option"),
    ],
)
def test_a_broken_file_is_named_with_its_question(tmp_path, old, new, message):
    path = tmp_path / "part_I.toml"
    path.write_text(
        "[[question]]\nlesson = '01'\nasks = 'What?'\nright = 'a'\nwhy = 'b'\n"
        "wrong = [{option = 'c', why = 'd'}, {option = 'e', why = 'f'}]\n"
    )
    assert len(read(path).questions) == 1
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        read(path)
