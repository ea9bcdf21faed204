"""Two widgets for lessons: a question before the run, and sliders over a picture.

Both put *one* output into the notebook. It holds three views of the same thing: the
live widget, a static page that teaches without it (an export, a code-hosting site, a
notebook that was not run), and plain text. A reader sees the best one that works.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import traitlets
from IPython.display import display
from PIL import Image

__all__ = ["Explorer", "Prediction", "explorer", "picture", "predict"]

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
ALT_LEAST = 40  # characters: what a figure's description needs to say what one sees
LETTERS = "ABCDEFGH"


# --------------------------------------------------------------------------- text


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} must be a non-empty string, got {value!r}")
    return value.strip()


def _as_html(text: str) -> str:
    """Protect the < and > of formulas: in `$p < q$` they are no HTML tags."""

    def escape(match: re.Match[str]) -> str:
        return match.group().replace("<", "&lt;").replace(">", "&gt;")

    return re.sub(r"\$\$[^$]+\$\$|\$[^$\n]+\$", escape, text)


def _as_plain(text: str) -> str:
    """Text without HTML tags, for the plain view and for screen readers."""
    raised = _as_html(text).replace("<sup>", "^")
    lowered = raised.replace("<sub>", "_")
    without_tags = re.sub(r"</?[a-zA-Z][^<>]*>", "", lowered)
    return html.unescape(without_tags)


# ----------------------------------------------------------- predict before you run


class Prediction:
    """A question with options, one of which is right, and the reason.

    Parameters are those of :func:`predict`.

    Examples
    --------
    >>> p = Prediction("Is KL symmetric?", ["yes", "no"], "no", "Swap the arguments.")
    >>> p.reply(1)
    'Your guess: B. Right.'
    >>> p.reply(0)
    'Your guess: A. The answer is B: no'
    """

    def __init__(
        self,
        question: str,
        options: Sequence[str],
        answer: int | str,
        why: str,
        *,
        name: str | None = None,
    ) -> None:
        self.question = _text(question, "question")
        self.why = _text(why, "why")
        self.name = None if name is None else _text(name, "name")
        if isinstance(options, str) or not isinstance(options, Sequence):
            raise ValueError(f"options must be a list of strings, got {options!r}")
        self.options = [_text(option, "each option") for option in options]
        if not 2 <= len(self.options) <= len(LETTERS):
            raise ValueError(
                f"options must hold 2 to {len(LETTERS)} strings, "
                f"got {len(self.options)}"
            )
        if len(set(self.options)) < len(self.options):
            raise ValueError(f"options must differ from each other, got {options!r}")
        self.answer = self._index(answer)

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
        right = f"{LETTERS[self.answer]}: {_as_html(self.options[self.answer])}"
        return f"{said} The answer is {right}"

    def _heading(self) -> str:
        title = "Predict before you run"
        return title if self.name is None else f"{title}: {self.name}"

    def _question_html(self) -> str:
        # Letters as text: a page that is not trusted shows <ol type="A"> as numbers.
        items = "".join(
            f"<li>{letter}. {_as_html(option)}</li>"
            for letter, option in zip(LETTERS, self.options, strict=False)
        )
        return (
            f"<p><strong>{_as_html(self._heading())}</strong></p>"
            f"<p>{_as_html(self.question)}</p>"
            f"<ul>{items}</ul>"
        )

    def static_html(self) -> str:
        """Return the view for pages without widgets: the answer behind a fold."""
        right = f"{LETTERS[self.answer]}: {_as_html(self.options[self.answer])}"
        return (
            f"{self._question_html()}"
            "<details><summary>Make your guess, then open</summary>"
            f"<p><strong>{right}</strong></p>"
            f"<p>{_as_html(self.why)}</p></details>"
        )

    def plain_text(self) -> str:
        """Return the view for terminals and logs."""
        lines = [_as_plain(f"{self._heading()}: {self.question}")]
        for letter, option in zip(LETTERS, self.options, strict=False):
            lines.append(f"  {letter}. {_as_plain(option)}")
        lines.append(f"Answer: {LETTERS[self.answer]}. {_as_plain(self.why)}")
        return "\n".join(lines)

    def widget(self) -> ipywidgets.VBox:
        """Build the live view: one button per option; the first guess counts."""
        buttons = [
            ipywidgets.Button(
                description=letter,
                tooltip=f"Guess {letter}: {_as_plain(option)}",
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
                f"<p>{_as_html(self.why)}</p></div>"
            )

        for button in buttons:
            button.on_click(guess)
        question = ipywidgets.HTMLMath(self._question_html())
        return ipywidgets.VBox([question, ipywidgets.HBox(buttons), outcome])

    def bundle(self) -> dict[str, Any]:
        """All three views of the question, keyed by mime type."""
        return _bundle(self.widget(), self.static_html(), self.plain_text())


def predict(
    question: str,
    options: Sequence[str],
    answer: int | str,
    why: str,
    *,
    name: str | None = None,
) -> None:
    """Ask before the cell is run, take a guess, then reveal the reason.

    Parameters
    ----------
    question : str
        What the reader should predict. Simple HTML and ``$math$`` are fine.
    options : list of str
        Two to eight different answers.
    answer : int or str
        The right option: its index, or its text.
    why : str
        The reason, shown after the guess.
    name : str, optional
        A short title.

    Raises
    ------
    ValueError
        If a text is empty, the options are too few or alike, or the answer is none
        of them.
    """
    prediction = Prediction(question, options, answer, why, name=name)
    display(prediction.bundle(), raw=True)


# ------------------------------------------------------------- sliders over a picture


def picture(pixels: Any, size: tuple[int, int] = (280, 280)) -> bytes:
    """Turn an array into the bytes of a PNG of a fixed size.

    Parameters
    ----------
    pixels : array or tensor, (H, W) or (H, W, 3)
        Grey or RGB; floats in [0, 1], or uint8.
    size : (int, int)
        Width and height of the picture in pixels; every array pixel becomes a block.

    Returns
    -------
    bytes
        A PNG.

    Raises
    ------
    ValueError
        If the shape, the range or the size is wrong, or a value is not finite.

    Examples
    --------
    >>> picture(np.zeros((8, 8)), size=(80, 80))[1:4]
    b'PNG'
    """
    width, height = _size(size)
    if hasattr(pixels, "detach"):
        pixels = pixels.detach().cpu().numpy()
    array = np.asarray(pixels)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(
            f"pixels must have shape (H, W) or (H, W, 3), got {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"pixels must not be empty, got shape {array.shape}")
    if array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"pixels must be floats in [0, 1] or uint8, got {array.dtype}"
            )
        if not np.isfinite(array).all():
            raise ValueError("pixels must be finite, got NaN or infinity")
        low, high = float(array.min()), float(array.max())
        if low < 0 or high > 1:
            raise ValueError(
                f"pixels must lie in [0, 1], got values from {low:.4g} to {high:.4g}"
            )
        array = np.rint(array * 255).astype(np.uint8)
    image = Image.fromarray(array).resize((width, height), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def _size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        width, height = size
        good = all(int(n) == n and 1 <= n <= 2000 for n in (width, height))
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            f"size must be (width, height) in pixels, each 1 to 2000, got {size!r}"
        )
    return int(width), int(height)


class _Picture(ipywidgets.Image):
    """An image that may have a tooltip.

    The browser's side sets a tooltip only where a description is empty, and shows an
    error in place of a picture that has none at all.
    """

    description = traitlets.Unicode("").tag(sync=True)


class Explorer:
    """A picture and a line of text, both plain functions of slider values.

    Parameters are those of :func:`explorer`.

    Examples
    --------
    >>> dots = Explorer(
    ...     render=lambda grey: np.full((8, 8), grey),
    ...     sliders={"grey": (0.0, 1.0, 0.1, "grey level")},
    ...     start={"grey": 0.5},
    ...     alt="A square of one grey level, which the slider sets from black to white",
    ...     describe=lambda grey: f"grey level {grey:.1f}",
    ... )
    >>> png, text = dots.update(grey=0.2)
    >>> text
    'grey level 0.2'
    """

    def __init__(
        self,
        render: Callable[..., Any],
        sliders: Mapping[str, tuple[float, float, float, str]],
        *,
        start: Mapping[str, float],
        alt: str,
        describe: Callable[..., str],
        size: tuple[int, int] = (280, 280),
    ) -> None:
        if not callable(render) or not callable(describe):
            raise ValueError("render and describe must be functions")
        self.render = render
        self.describe = describe
        self.size = _size(size)
        self.alt = _text(alt, "alt")
        if len(self.alt) < ALT_LEAST:
            raise ValueError(
                f"alt must say what one sees in at least {ALT_LEAST} characters, "
                f"got {len(self.alt)}: {self.alt!r}"
            )
        if not isinstance(sliders, Mapping) or not sliders:
            raise ValueError(
                "sliders must be a dict from a name to (min, max, step, label), "
                f"got {sliders!r}"
            )
        self.sliders = {name: _slider(name, sliders[name]) for name in sliders}
        self.start = self._values(start)

    def _values(self, values: Mapping[str, float]) -> dict[str, float]:
        if not isinstance(values, Mapping) or set(values) != set(self.sliders):
            raise ValueError(
                f"values must name each slider {sorted(self.sliders)} once, "
                f"got {values!r}"
            )
        for name, value in values.items():
            low, high, _, _ = self.sliders[name]
            if not low <= value <= high:  # also refuses NaN
                raise ValueError(
                    f"{name} must lie between {low} and {high}, got {value}"
                )
        return {name: values[name] for name in self.sliders}

    def update(self, **values: float) -> tuple[bytes, str]:
        """Compute the picture and its description for these slider values.

        Parameters
        ----------
        **values : float
            One value for each slider, within its range.

        Returns
        -------
        png : bytes
            The picture.
        text : str
            One line which says what it shows.

        Raises
        ------
        ValueError
            If a slider is missing or out of range, or ``render`` or ``describe``
            returns something unfit.
        """
        values = self._values(values)
        png = picture(self.render(**values), self.size)
        return png, _text(self.describe(**values), "the result of describe")

    def static_html(self) -> str:
        """Return the view for pages without widgets: the picture at the start."""
        png, text = self.update(**self.start)
        width, height = self.size
        source = base64.b64encode(png).decode("ascii")
        names = ", ".join(label for *_, label in self.sliders.values())
        note = f"Run the cell to move it yourself: {names}."
        return (
            f'<figure><img alt="{html.escape(self.alt)}" '
            f'src="data:image/png;base64,{source}" '
            f'width="{width}" height="{height}">'
            f"<figcaption>{html.escape(text)}<br>{html.escape(note)}</figcaption>"
            "</figure>"
        )

    def plain_text(self) -> str:
        """Return the view for terminals and logs."""
        return f"{self.alt}\n{self.describe(**self.start)}"

    def widget(self) -> ipywidgets.VBox:
        """Build the live view: the sliders, the picture, the line of text."""
        sliders = {
            name: _slider_widget(spec, self.start[name])
            for name, spec in self.sliders.items()
        }
        png, text = self.update(**self.start)
        width, height = self.size
        image = _Picture(
            value=png,
            format="png",
            width=width,
            height=height,
            tooltip=f"{self.alt} {text}",  # read aloud by screen readers
            layout=ipywidgets.Layout(
                width=f"{width}px", height=f"{height}px", flex="0 0 auto"
            ),
        )
        line = ipywidgets.HTML(_line(text))
        words = ipywidgets.HTMLMath(
            "<details><summary>The picture in words</summary>"
            f"{html.escape(self.alt)}</details>"
        )

        def moved(_change: Any) -> None:
            try:
                png, text = self.update(**{n: s.value for n, s in sliders.items()})
            except (
                Exception
            ) as error:  # say it where the reader looks; keep the old one
                line.value = _line(f"No picture here. {type(error).__name__}: {error}")
                return
            image.value = png
            image.tooltip = f"{self.alt} {text}"
            line.value = _line(text)

        for slider in sliders.values():
            slider.observe(moved, names="value")
        return ipywidgets.VBox([*sliders.values(), image, line, words])

    def bundle(self) -> dict[str, Any]:
        """All three views of the explorer, keyed by mime type."""
        return _bundle(self.widget(), self.static_html(), self.plain_text())


def _slider(name: str, spec: Any) -> tuple[float, float, float, str]:
    try:
        low, high, step, label = spec
        good = bool(low < high and 0 < step <= high - low)
    except (TypeError, ValueError):
        good = False
    if not good or not isinstance(label, str) or not label.strip():
        raise ValueError(
            f"slider {name!r} must be (min, max, step, label) with min < max and "
            f"0 < step <= max - min, got {spec!r}"
        )
    if not name.isidentifier():
        raise ValueError(f"a slider's name must be an argument name, got {name!r}")
    return low, high, step, label.strip()


def _slider_widget(
    spec: tuple[float, float, float, str], value: float
) -> ipywidgets.Widget:
    low, high, step, label = spec
    whole = all(isinstance(number, int) for number in (low, high, step, value))
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return kind(
        value=value,
        min=low,
        max=high,
        step=step,
        description=label,
        continuous_update=True,
        style={"description_width": "initial"},
        layout=ipywidgets.Layout(width="min(28em, 95%)"),
    )


def _line(text: str) -> str:
    return f'<span role="status">{html.escape(text)}</span>'


def explorer(
    render: Callable[..., Any],
    sliders: Mapping[str, tuple[float, float, float, str]],
    *,
    start: Mapping[str, float],
    alt: str,
    describe: Callable[..., str],
    size: tuple[int, int] = (280, 280),
) -> None:
    """Show a picture which follows sliders, with a line that says what it shows.

    Parameters
    ----------
    render : function
        ``render(**values)`` returns the picture, (H, W) or (H, W, 3): floats in
        [0, 1], or uint8. A plain function of the slider values. Clip what may leave
        the range yourself.
    sliders : dict
        From an argument name to ``(min, max, step, label)``. All whole numbers give
        a slider of whole numbers.
    start : dict
        The first value of each slider; the static page shows this picture.
    alt : str
        What one sees, at least 40 characters.
    describe : function
        ``describe(**values)`` returns the line of text under the picture.
    size : (int, int)
        Width and height of the shown picture in pixels.

    Raises
    ------
    ValueError
        If an argument is unfit; the message names it.
    """
    shown = Explorer(
        render, sliders, start=start, alt=alt, describe=describe, size=size
    )
    display(shown.bundle(), raw=True)


# ------------------------------------------------------------------------ the bundle


def _bundle(widget: ipywidgets.Widget, page: str, text: str) -> dict[str, Any]:
    view = widget._repr_mimebundle_()[WIDGET_VIEW]
    return {WIDGET_VIEW: view, "text/html": page, "text/plain": text}
