"""A question before the run: a guess, then the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets
from IPython.display import display

from course_utils.widgets._choices import LETTERS, Choices
from course_utils.widgets._views import as_html, as_plain, checked_text, three_views


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
        self.why = checked_text(why, "why")
        self.name = None if name is None else checked_text(name, "name")
        self._choices = Choices(question, options, answer, in_order=in_order)

    @property
    def options(self) -> list[str]:
        """The options as they are shown."""
        return self._choices.options

    @property
    def answer(self) -> int:
        """The place of the right option."""
        return self._choices.answer

    def reply(self, guess: int) -> str:
        """Say in one line (HTML) whether the guess was right."""
        guess = self._choices.index(guess)
        said = f"Your guess: {LETTERS[guess]}."
        if guess == self.answer:
            return f"{said} Right."
        return f"{said} The answer is {self._right()}"

    def _right(self) -> str:
        return f"{LETTERS[self.answer]}: {as_html(self.options[self.answer])}"

    def _heading(self) -> str:
        title = "Predict before you run"
        return title if self.name is None else f"{title}: {self.name}"

    def static_html(self) -> str:
        """Return the view for pages without widgets: the answer behind a fold."""
        return (
            f"{self._choices.question_html(self._heading())}"
            "<details><summary>Make your guess, then open</summary>"
            f"<p><strong>{self._right()}</strong></p>"
            f"<p>{as_html(self.why)}</p></details>"
        )

    def plain_text(self) -> str:
        """Return the view for terminals and logs."""
        lines = self._choices.question_lines(self._heading())
        lines.append(f"Answer: {LETTERS[self.answer]}. {as_plain(self.why)}")
        return "\n".join(lines)

    def widget(self) -> ipywidgets.VBox:
        """Build the live view: one button per option; the first guess counts."""
        buttons = self._choices.buttons("Guess")
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
        question = ipywidgets.HTMLMath(self._choices.question_html(self._heading()))
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
