"""Figures as HTML with alt text.

A figure goes through `show`, which writes it as HTML with an ``alt`` attribute:
notebook viewers drop a description that is put anywhere else.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from typing import Any

SHORTEST_ALT = 40


class Figure:
    """A drawn figure as HTML with alt text; its plain text is the alt text."""

    def __init__(self, png: bytes, alt: str, caption: str, width: int) -> None:
        self.png, self.alt, self.caption, self.width = png, alt, caption, width

    def __repr__(self) -> str:
        return f"[figure: {self.alt}]"

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        caption = (
            self.caption and f"<figcaption>{html.escape(self.caption)}</figcaption>"
        )
        return (
            '<figure style="margin:0.5em 0">'
            f'<img alt="{html.escape(self.alt, quote=True)}" '
            f'style="max-width:100%;width:{self.width}px" '
            f'src="data:image/png;base64,{data}">{caption}</figure>'
        )


def show(fig: Any, *, alt: str, caption: str = "") -> None:
    """Display a matplotlib figure with a description, and close it.

    Parameters
    ----------
    fig
        The figure.
    alt
        What one sees, for a reader who does not see it: at least 40 characters.
    caption
        A line under the figure.

    Raises
    ------
    ValueError
        If ``alt`` is too short to describe anything.
    """
    from IPython.display import display

    display(render(fig, alt=alt, caption=caption))


def redrawn(*, alt: str, caption: str = "") -> Callable[[Any], None]:
    """Prepare a place for one figure that is drawn again and again, as a model learns.

    Nothing is cleared: the output is updated in its place, and a stored notebook keeps
    the last drawing alone.

    Parameters
    ----------
    alt, caption
        As in `show`; they hold for the last drawing.

    Returns
    -------
    callable
        Takes a matplotlib figure, displays it in the place of the one before, and
        closes it.
    """
    from IPython.display import display

    place: Any = None

    def draw(fig: Any) -> None:
        nonlocal place
        figure = render(fig, alt=alt, caption=caption)
        if place is None:
            place = display(figure, display_id=True)
        else:
            place.update(figure)

    return draw


def render(fig: Any, *, alt: str, caption: str = "") -> Figure:
    """Turn a figure into a `Figure` and close it, without displaying it; see `show`."""
    import matplotlib.pyplot as plt

    alt = " ".join(alt.split())
    if len(alt) < SHORTEST_ALT:
        raise ValueError(
            f"alt has {len(alt)} characters; expected at least {SHORTEST_ALT} that say "
            "what one sees"
        )
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=2 * fig.dpi, facecolor="white")
    width = round(fig.get_size_inches()[0] * fig.dpi)
    plt.close(fig)
    return Figure(_small_png(buffer.getvalue()), alt, caption, width)


def _small_png(png: bytes) -> bytes:
    """Reduce a PNG to 256 colours: about a third of the size, no visible difference."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    small = image.quantize(
        256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
