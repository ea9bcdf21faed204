"""Sliders over a picture, and a line that says what it shows."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
import traitlets
from IPython.display import display

from course_utils.plots import SHORTEST_ALT
from course_utils.widgets._views import checked_text, three_views
from course_utils.widgets.pictures import checked_size, picture


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
    >>> import numpy as np
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
        self.size = checked_size(size)
        self.alt = checked_text(alt, "alt")
        if len(self.alt) < SHORTEST_ALT:
            raise ValueError(
                f"alt must say what one sees in at least {SHORTEST_ALT} characters, "
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
        return png, checked_text(self.describe(**values), "the result of describe")

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
        return three_views(self.widget(), self.static_html(), self.plain_text())


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
