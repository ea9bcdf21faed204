"""A question and its options, one of them right: for predictions and quizzes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import ipywidgets

from course_utils.widgets._views import as_html, as_plain, checked_text

LETTERS = "ABCDEFGH"


class Choices:
    """A question and its options, in an order that is drawn from the question.

    Parameters
    ----------
    question : str
        With simple HTML and ``$math$``, as the options.
    options : list of str
        Different answers, eight at most.
    answer : int or str
        The right option: its index in ``options``, or its text.
    least : int
        How many options there must be.
    in_order : bool
        Keep the options as they are given.

    Raises
    ------
    ValueError
        If a text is empty, the options are too few, too many or alike, or the answer
        is none of them.
    """

    def __init__(
        self,
        question: str,
        options: Sequence[str],
        answer: int | str,
        *,
        least: int = 2,
        in_order: bool = False,
    ) -> None:
        self.question = checked_text(question, "question")
        if isinstance(options, str) or not isinstance(options, Sequence):
            raise ValueError(f"options must be a list of strings, got {options!r}")
        self.options = [checked_text(option, "each option") for option in options]
        if not least <= len(self.options) <= len(LETTERS):
            raise ValueError(
                f"options must hold {least} to {len(LETTERS)} strings, "
                f"got {len(self.options)}"
            )
        if len(set(self.options)) < len(self.options):
            raise ValueError(f"options must differ from each other, got {options!r}")
        self.answer = self.index(answer)
        if not in_order:
            self._shuffle()

    def _shuffle(self) -> None:
        """Bring the options into an order that the question fixes."""
        right = self.options[self.answer]
        self.options.sort(key=self._lot)
        self.answer = self.options.index(right)

    def _lot(self, option: str) -> bytes:
        return hashlib.sha256(f"{self.question}|{option}".encode()).digest()

    def index(self, answer: int | str) -> int:
        """Return the place of an option that is given by its place or its text."""
        if isinstance(answer, str):
            if answer.strip() not in self.options:
                raise ValueError(
                    f"answer must be one of the options {self.options}, got {answer!r}"
                )
            return self.options.index(answer.strip())
        if isinstance(answer, bool) or not isinstance(answer, int):
            raise ValueError(
                f"answer must be the index or the text of an option, got {answer!r}"
            )
        if not 0 <= answer < len(self.options):
            raise ValueError(
                f"answer must be an index from 0 to {len(self.options) - 1}, "
                f"got {answer}"
            )
        return answer

    def question_html(self, heading: str) -> str:
        """Return the question with its lettered options, below a heading."""
        # Letters as text: a page that is not trusted shows <ol type="A"> as numbers.
        items = "".join(
            f"<li>{letter}. {as_html(option)}</li>"
            for letter, option in zip(LETTERS, self.options, strict=False)
        )
        return (
            f"<p><strong>{as_html(heading)}</strong></p>"
            f"<p>{as_html(self.question)}</p>"
            f"<ul>{items}</ul>"
        )

    def question_lines(self, heading: str) -> list[str]:
        """Return the question with its lettered options as lines of plain text."""
        lines = [as_plain(f"{heading}: {self.question}")]
        for letter, option in zip(LETTERS, self.options, strict=False):
            lines.append(f"  {letter}. {as_plain(option)}")
        return lines

    def buttons(self, verb: str) -> list[ipywidgets.Button]:
        """Make a button per option, which says in words what it stands for."""
        return [
            ipywidgets.Button(
                description=letter,
                tooltip=f"{verb} {letter}: {as_plain(option)}",
                layout=ipywidgets.Layout(width="4em"),
            )
            for letter, option in zip(LETTERS, self.options, strict=False)
        ]
