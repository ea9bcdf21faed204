"""An exercise is joined from its words and its code, and nothing of either is lost."""

import pytest
import torch

from course_utils.grading.criteria import agrees, normal
from course_utils.grading.declare import declare, evaluate, instead, words_beside
from course_utils.grading.grade import grade

PAGE = """# Exercises of lesson 50

A word to the teacher.

## mean_square

the mean of squares
→ one number

1. Square first,
   then average.
2. Divide by N.

- `halved`, `halved_again`: The half does not belong
  here.
- `root_*`: No root is taken.
"""


@pytest.fixture
def page(tmp_path):
    """Write a page beside a module; return the words that are read from it."""

    def read(text=PAGE):
        (tmp_path / "lesson50.md").write_text(text, encoding="utf-8")
        return words_beside(str(tmp_path / "lesson50.py"))

    return read


def mean_square(x):
    """The reference."""
    return (x**2).mean()


MISTAKES = {
    "halved": lambda answer: answer / 2,
    "halved_again": instead(square=lambda square: square / 2),
    "root_of_mean": lambda answer: answer.sqrt(),
}
STEPS = {"square": lambda x: x**2, "answer": lambda square: square.mean()}


def build(words, mistakes=MISTAKES, steps=STEPS):
    return declare(
        words, mean_square, lambda generator: [(normal(generator, 7),)],
        criteria=(agrees("right"), agrees("right again")),
        mistakes=mistakes, steps=steps,
    )  # fmt: skip


# --- the words ----------------------------------------------------------------------


def test_the_words_are_read_whole(page):
    words = page()["mean_square"]
    assert words.title == "the mean of squares" and words.returns == "one number"
    assert words.hints == ("Square first, then average.", "Divide by N.")
    assert words.diagnosis("halved") == words.diagnosis("halved_again")
    assert words.diagnosis("halved") == "The half does not belong here."
    assert words.diagnosis("root_of_mean") == "No root is taken."


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("→ one number", "one number", "mean_square: expected the name, a blank line"),
        ("2. Divide", "2 Divide", "'2 Divide by N.' is neither a hint nor a diagnosis"),
        ("- `root_*`:", "- root_*:", "'- root_.*' is neither a hint nor a diagnosis"),
        ("  here.", "here.", "'here.' is neither a hint nor a diagnosis"),
        ("- `root_*`:", "- `halved`:", "halved has two diagnoses"),
    ],
)
def test_a_line_that_would_be_lost_is_named(page, old, new, said):
    assert old in PAGE
    with pytest.raises(ValueError, match=said):
        page(PAGE.replace(old, new))


def test_an_exercise_twice_is_refused(page):
    again = PAGE[PAGE.index("## mean") :]
    with pytest.raises(ValueError, match="mean_square stands twice"):
        page(PAGE + "\n" + again)


# --- words and code -----------------------------------------------------------------


def test_a_mistake_is_the_right_answer_with_a_step_done_otherwise(page):
    exercise = build(page()["mean_square"])
    x = torch.tensor([1.0, 2.0, 3.0])
    wrong = {m.name: float(m.wrong(x)) for m in exercise.misconceptions}
    assert wrong["halved"] == wrong["halved_again"] == pytest.approx(14 / 6)
    assert wrong["root_of_mean"] == pytest.approx((14 / 3) ** 0.5)
    report = grade(exercise, lambda x: (x**2).mean() / 2, seed=0)
    assert report.diagnosis == "The half does not belong here."


def test_a_mistake_without_a_diagnosis_is_refused(page):
    with pytest.raises(ValueError, match="'doubled' has no diagnosis"):
        build(page()["mean_square"], {**MISTAKES, "doubled": lambda answer: 2 * answer})


def test_a_diagnosis_without_a_mistake_is_refused(page):
    fewer = {name: MISTAKES[name] for name in ("halved", "halved_again")}
    with pytest.raises(ValueError, match="no mistake is named 'root_\\*'"):
        build(page()["mean_square"], fewer)


# --- steps --------------------------------------------------------------------------


def test_a_step_is_worked_out_once():
    calls = []

    def square(x):
        calls.append(x)
        return x**2

    steps = {"square": square, "answer": lambda square, twice: square + twice}
    steps["twice"] = lambda square: 2 * square
    assert evaluate("answer", {"x": 3.0}, steps, {}) == 27.0
    assert calls == [3.0]


def test_a_changed_step_reaches_all_who_ask_for_it_and_may_ask_for_the_right_one():
    steps = {"square": lambda x: x**2, "answer": lambda square, x: square - x}
    changed = instead(square=lambda square: square + 1, x=lambda x: 2 * x)
    # The changed step asks for the right square, which is that of the changed x.
    assert evaluate("answer", {"x": 3.0}, steps, changed) == 37.0 - 6.0


def test_a_default_is_no_question():
    steps = {"answer": lambda x, factor=5.0: factor * x}
    assert evaluate("answer", {"x": 3.0, "factor": 1.0}, steps, {}) == 15.0


def test_steps_in_a_circle_are_named():
    steps = {"a": lambda b: b, "b": lambda a: a}
    with pytest.raises(ValueError, match="the step 'a' needs its own value"):
        evaluate("a", {}, steps, {})


def test_what_nobody_knows_is_named():
    with pytest.raises(KeyError, match="unknown"):
        evaluate("answer", {"x": 1.0}, {"answer": lambda unknown: unknown}, {})
