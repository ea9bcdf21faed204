"""A quiz on a part of the course: it can be retried, and every option is explained."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
from IPython.display import display

from course_utils.widgets._choices import LETTERS, Choices
from course_utils.widgets._views import as_html, as_plain, checked_text, three_views

FOLDER = Path(__file__).parent / "quizzes"
OPTIONS_LEAST = 3
ENTRIES = {"asks", "right", "why", "lesson", "wrong"}


class Question:
    """A question with one right option, and a reason for each of the others too.

    Parameters
    ----------
    asks : str
        The question. Simple HTML and ``$math$`` are fine, here and in the options.
    right, why : str
        The right option, and why it is.
    wrong : mapping of str to str
        From each wrong option, two or more, to why one may think so and what is true.
    lesson : str
        Number of the lesson where it is answered.
    name : str
        What stands above it.

    Raises
    ------
    ValueError
        If a text is empty, or the options are too few or alike.

    Examples
    --------
    >>> wrong = {"yes": "A distance would be.", "for Gaussians": "Not for two widths."}
    >>> q = Question("Is KL symmetric?", "no", "Swap them.", wrong, "04", name="1")
    >>> q.reply(q.choices.index("no")).endswith("Right. Swap them.")
    True
    >>> q.reply(q.choices.index("yes")).endswith("Not this. A distance would be.")
    True
    """

    def __init__(
        self,
        asks: str,
        right: str,
        why: str,
        wrong: Mapping[str, str],
        lesson: str,
        *,
        name: str,
    ) -> None:
        self.choices = Choices(asks, [right, *wrong], right, least=OPTIONS_LEAST)
        self.lesson = checked_text(lesson, "lesson")
        self.name = checked_text(name, "name")
        self.reasons = {
            checked_text(option, "each option"): checked_text(reason, "each reason")
            for option, reason in [(right, why), *wrong.items()]
        }

    def reply(self, guess: int) -> str:
        """Say in HTML whether an option is right, and why."""
        place = self.choices.index(guess)
        verdict = "Right." if place == self.choices.answer else "Not this."
        reason = as_html(self.reasons[self.choices.options[place]])
        return f"{LETTERS[place]}. {verdict} {reason}"

    def html(self) -> str:
        """Return the question and its options."""
        return self.choices.question_html(self.name)

    def _replies(self) -> list[str]:
        """Give the replies to all options, the right one first."""
        places = sorted(
            range(len(self.choices.options)), key=lambda p: p != self.choices.answer
        )
        return [self.reply(place) for place in places]

    def static_html(self) -> str:
        """Return the view for pages without widgets: the replies behind a fold."""
        replies = "".join(f"<p>{reply}</p>" for reply in self._replies())
        return (
            f"{self.html()}<details><summary>Choose, then open</summary>"
            f"{replies}<p>Lesson {self.lesson}.</p></details>"
        )

    def plain_text(self) -> str:
        """Return the view for terminals and logs."""
        lines = self.choices.question_lines(self.name)
        return "\n".join([*lines, *map(as_plain, self._replies())])


class Quiz:
    """Questions in a row, with a score.

    The first choice for a question counts; every choice is answered.

    Parameters
    ----------
    questions : list of Question
        One or more.
    """

    def __init__(self, questions: Sequence[Question]) -> None:
        if not questions:
            raise ValueError("a quiz needs questions, got none")
        self.questions = list(questions)

    def score(self, first: Mapping[int, bool], right: Collection[int]) -> str:
        """Say in a line how far one is.

        Parameters
        ----------
        first : mapping of int to bool
            For each question that was tried, whether the first choice was right.
        right : collection of int
            The questions whose right option was found, sooner or later.
        """
        count, at_once = len(self.questions), sum(first.values())
        if len(right) < count:
            return f"{len(right)} of {count} found, {at_once} at the first try."
        missed = {self.questions[n].lesson for n, good in first.items() if not good}
        again = f" Worth another look: lesson {', '.join(sorted(missed))}."
        return (
            f"All {count} found, {at_once} at the first try.{again if missed else ''}"
        )

    def static_html(self) -> str:
        """Return the view for pages without widgets."""
        return "".join(question.static_html() for question in self.questions)

    def plain_text(self) -> str:
        """Return the view for terminals and logs."""
        return "\n\n".join(question.plain_text() for question in self.questions)

    def widget(self) -> ipywidgets.VBox:
        """Build the live view: a button per option, the score, a way to start anew."""
        first: dict[int, bool] = {}
        right: set[int] = set()
        score = ipywidgets.HTML()
        rows = [_Row(question) for question in self.questions]

        def show_score() -> None:
            said = self.score(first, right)
            score.value = f'<p role="status"><strong>{said}</strong></p>'

        def chosen(number: int, good: bool) -> None:
            first.setdefault(number, good)
            if good:
                right.add(number)
            show_score()

        def start_anew(_: ipywidgets.Button) -> None:
            first.clear()
            right.clear()
            for row in rows:
                row.clear()
            show_score()

        for number, row in enumerate(rows):
            row.on_choice = functools.partial(chosen, number)
        anew = ipywidgets.Button(description="Start again")
        anew.on_click(start_anew)
        show_score()
        return ipywidgets.VBox([*(row.box for row in rows), score, anew])

    def bundle(self) -> dict[str, Any]:
        """All three views of the quiz, keyed by mime type."""
        return three_views(self.widget(), self.static_html(), self.plain_text())


class _Row:
    """The live view of one question, which tells each choice to ``on_choice``."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.on_choice: Callable[[bool], None] = lambda good: None
        self.buttons = question.choices.buttons("Choose")
        self.outcome = ipywidgets.HTMLMath()
        for button in self.buttons:
            button.on_click(self._choose)
        asked = ipywidgets.HTMLMath(question.html())
        self.box = ipywidgets.VBox([asked, ipywidgets.HBox(self.buttons), self.outcome])

    def _choose(self, button: ipywidgets.Button) -> None:
        place = self.buttons.index(button)
        good = place == self.question.choices.answer
        button.button_style = "success" if good else "warning"
        reply = self.question.reply(place)
        self.outcome.value = f'<div role="status"><p>{reply}</p></div>'
        self.on_choice(good)

    def clear(self) -> None:
        self.outcome.value = ""
        for button in self.buttons:
            button.button_style = ""


def read(path: Path) -> Quiz:
    """Read a quiz: in TOML, a table ``question`` for each.

    Raises
    ------
    ValueError
        If a question lacks an entry or has one too many, or does not fit; the message
        names file and question.
    """
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("question", [])
    return Quiz([_question(row, n, path.name) for n, row in enumerate(rows, start=1)])


def _question(row: dict[str, Any], number: int, file: str) -> Question:
    odd = ", ".join(sorted(set(row) ^ ENTRIES))
    if odd:
        raise ValueError(f"{file}, question {number}: lacks or has too many: {odd}")
    wrong = {one["option"]: one["why"] for one in row["wrong"]}
    name = f"Question {number}"
    try:
        return Question(
            row["asks"], row["right"], row["why"], wrong, row["lesson"], name=name
        )
    except ValueError as error:
        raise ValueError(f"{file}, question {number}: {error}") from error


def quiz_on(part: str) -> None:
    """Show the quiz on a part of the course.

    Parameters
    ----------
    part : str
        Its number, such as ``"II"``.

    Raises
    ------
    ValueError
        If there is no quiz on this part.
    """
    files = {path.stem.removeprefix("part_"): path for path in FOLDER.glob("*.toml")}
    if part not in files:
        raise ValueError(f"part must be one of {sorted(files)}, got {part!r}")
    display(read(files[part]).bundle(), raw=True)
