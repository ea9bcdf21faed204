"""A question before the run: a guess, then the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import ipywidgets
from IPython.display import display

from course_utils.widgets._views import as_html, as_plain, checked_text, three_views

LETTERS = "ABCDEFGH"


class Prediction:
    """A question with options, one of which is right, and the reason.

    Parameters are those of :func:`predict`.

    Examples
    --------
    >>> p = Prediction("Is KL symmetric?", ["yes", "no"], "no", "Swap the arguments.")
    >>> p.options
    ['no', 'yes']
    >>> p.reply(0)
    'Your guess: A. Right.'
    >>> p.reply(1)
    'Your guess: B. The answer is A: no'
    """

    def __init__(
        self,
        question: str,
        options: Sequence[str],
        answer: int | str,
        why: str,
        *,
        name: str | None = None,
        in_order: bool = False,
    ) -> None:
        self.question = checked_text(question, "question")
        self.why = checked_text(why, "why")
        self.name = None if name is None else checked_text(name, "name")
        if isinstance(options, str) or not isinstance(options, Sequence):
            raise ValueError(f"options must be a list of strings, got {options!r}")
        self.options = [checked_text(option, "each option") for option in options]
        if not 2 <= len(self.options) <= len(LETTERS):
            raise ValueError(
                f"options must hold 2 to {len(LETTERS)} strings, "
                f"got {len(self.options)}"
            )
        if len(set(self.options)) < len(self.options):
            raise ValueError(f"options must differ from each other, got {options!r}")
        self.answer = self._index(answer)
        if not in_order:
            self._shuffle()

    def _shuffle(self) -> None:
        """Bring the options into an order that the question fixes."""
        right = self.options[self.answer]
        self.options.sort(key=self._lot)
        self.answer = self.options.index(right)

    def _lot(self, option: str) -> bytes:
        return hashlib.sha256(f"{self.question}|{option}".encode()).digest()

    def _index(self, answer: int | str) -> int:
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

    def reply(self, guess: int) -> str:
        """Say in one line (HTML) whether the guess was right."""
        guess = self._index(guess)
        said = f"Your guess: {LETTERS[guess]}."
        if guess == self.answer:
            return f"{said} Right."
        right = f"{LETTERS[self.answer]}: {as_html(self.options[self.answer])}"
        return f"{said} The answer is {right}"

    def _heading(self) -> str:
        title = "Predict before you run"
        return title if self.name is None else f"{title}: {self.name}"

    def _question_html(self) -> str:
        # Letters as text: a page that is not trusted shows <ol type="A"> as numbers.
        items = "".join(
            f"<li>{letter}. {as_html(option)}</li>"
            for letter, option in zip(LETTERS, self.options, strict=False)
        )
        return (
            f"<p><strong>{as_html(self._heading())}</strong></p>"
            f"<p>{as_html(self.question)}</p>"
            f"<ul>{items}</ul>"
        )

    def static_html(self) -> str:
        """Return the view for pages without widgets: the answer behind a fold."""
        right = f"{LETTERS[self.answer]}: {as_html(self.options[self.answer])}"
        return (
            f"{self._question_html()}"
            "<details><summary>Make your guess, then open</summary>"
            f"<p><strong>{right}</strong></p>"
            f"<p>{as_html(self.why)}</p></details>"
        )

    def plain_text(self) -> str:
        """Return the view for terminals and logs."""
        lines = [as_plain(f"{self._heading()}: {self.question}")]
        for letter, option in zip(LETTERS, self.options, strict=False):
            lines.append(f"  {letter}. {as_plain(option)}")
        lines.append(f"Answer: {LETTERS[self.answer]}. {as_plain(self.why)}")
        return "\n".join(lines)

    def widget(self) -> ipywidgets.VBox:
        """Build the live view: one button per option; the first guess counts."""
        buttons = [
            ipywidgets.Button(
                description=letter,
                tooltip=f"Guess {letter}: {as_plain(option)}",
                layout=ipywidgets.Layout(width="4em"),
            )
            for letter, option in zip(LETTERS, self.options, strict=False)
        ]
        outcome = ipywidgets.HTMLMath()

        def guess(button: ipywidgets.Button) -> None:
            if outcome.value:
                return
            index = buttons.index(button)
            button.button_style = "success" if index == self.answer else "warning"
            outcome.value = (
                f'<div role="status"><p><strong>{self.reply(index)}</strong></p>'
                f"<p>{as_html(self.why)}</p></div>"
            )

        for button in buttons:
            button.on_click(guess)
        question = ipywidgets.HTMLMath(self._question_html())
        return ipywidgets.VBox([question, ipywidgets.HBox(buttons), outcome])

    def bundle(self) -> dict[str, Any]:
        """All three views of the question, keyed by mime type."""
        return three_views(self.widget(), self.static_html(), self.plain_text())


def predict(
    question: str,
    options: Sequence[str],
    answer: int | str,
    why: str,
    *,
    name: str | None = None,
    in_order: bool = False,
) -> None:
    """Ask before the cell is run, take a guess, then reveal the reason.

    Parameters
    ----------
    question : str
        What the reader should predict. Simple HTML and ``$math$`` are fine.
    options : list of str
        Two to eight different answers.
    answer : int or str
        The right option: its text, or its index in ``options``.
    why : str
        The reason, shown after the guess.
    name : str, optional
        A short title.
    in_order : bool
        Show the options as they are given, such as growing numbers. Without it their
        order is drawn at random from the question, the same at every run.

    Raises
    ------
    ValueError
        If a text is empty, the options are too few or alike, or the answer is none
        of them.
    """
    prediction = Prediction(
        question, options, answer, why, name=name, in_order=in_order
    )
    display(prediction.bundle(), raw=True)
