"""The course's one way of drawing: style, colours, figures with alt text.

A figure goes through `show`, which writes it as HTML with an ``alt`` attribute:
notebook viewers drop a description that is put anywhere else.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from course_utils.arguments import whole_numbers
from course_utils.training import History

# Distinguishable for colour-blind readers; the first three are the cheat sheet's.
COLOURS = {
    "reconstruction": "#e66100",  # orange: distortion
    "rate": "#5d3a9b",  # purple: KL to the prior
    "gap": "#c1121f",  # red: KL to the true posterior
    "data": "#4d4d4d",
    "model": "#0072b2",
    "second": "#009e73",
    "third": "#cc79a7",
    "muted": "#a6a6a6",
}
TERMS = {"loss": "model", "distortion": "reconstruction", "rate": "rate", "gap": "gap"}
CYCLE = ("model", "reconstruction", "second", "rate", "third", "data")
IMAGES = "gray_r"  # digits and patches: ink is dark
DIVERGING = "PuOr"
SEQUENTIAL = "viridis"
CLASSES = (  # one colour a class of digits; always with the digit as a second cue
    "#0072b2", "#17becf", "#2ca02c", "#9467bd", "#8c564b",
    "#e377c2", "#7f7f7f", "#bcbd22", "#000000", "#76b7e5",
)  # fmt: skip
SHORTEST_ALT = 40


def use_style() -> None:
    """Set the course's style for every figure that follows."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(
        {
            "figure.figsize": (7.0, 3.2),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=[COLOURS[name] for name in CYCLE]),
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "axes.titlelocation": "left",
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.8,
            "image.cmap": IMAGES,
        }
    )


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


class Table:
    """Rows of cells as HTML, and as aligned text where there is none."""

    def __init__(
        self, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str
    ) -> None:
        self.columns, self.rows, self.caption = columns, rows, caption

    def __repr__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = [_is_numeric(column) for column in zip(*self.rows, strict=True)]
        text = [
            "  ".join(
                cell.rjust(width) if flush else cell.ljust(width)
                for cell, width, flush in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.caption] * bool(self.caption) + text)

    def _repr_html_(self) -> str:
        right = [_is_numeric(column) for column in zip(*self.rows, strict=True)]
        sides = ["right" if flush else "left" for flush in right]

        def line(cells: Sequence[str], tag: str) -> str:
            return "".join(
                f'<{tag} style="text-align:{side};padding:2px 12px 2px 0">'
                f"{html.escape(cell)}</{tag}>"
                for cell, side in zip(cells, sides, strict=True)
            )

        caption = (
            f'<caption style="text-align:left">{html.escape(self.caption)}</caption>'
            if self.caption
            else ""
        )
        body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in self.rows)
        head = f"<thead><tr>{line(self.columns, 'th')}</tr></thead>"
        return f"<table>{caption}{head}<tbody>{body}</tbody></table>"


def table(
    rows: Sequence[Sequence[Any]],
    columns: Sequence[str],
    *,
    digits: int | Sequence[int | str] = 2,
    caption: str = "",
) -> None:
    """Show rows of numbers as a table; numbers first, verdicts in the last columns.

    Parameters
    ----------
    rows
        A row a line: texts, whole numbers, numbers (Python, NumPy or 0-d tensors), and
        verdicts. A verdict, True or False, is shown as "yes" or "no", and has its
        column behind those of the numbers it judges.
    columns
        What stands above each column, units included.
    digits
        Digits behind the point, for all columns or one entry a column; an entry may be
        a format such as ``".0e"`` or ``".0%"``.
    caption
        A line above the table.

    Raises
    ------
    ValueError
        If there is no row, a row has not one cell a column, a column of verdicts
        stands before one of numbers, or ``digits`` are not one a column.

    Examples
    --------
    >>> table([["ours", 1.234, True], ["theirs", 10.5, False]], ["loss", "nats", "ok"])
    loss     nats  ok
    ours     1.23  yes
    theirs  10.50  no
    """
    from IPython.display import display

    display(as_table(rows, columns, digits=digits, caption=caption))


def as_table(
    rows: Sequence[Sequence[Any]],
    columns: Sequence[str],
    *,
    digits: int | Sequence[int | str] = 2,
    caption: str = "",
) -> Table:
    """Lay rows out as a `Table` without displaying it; see `table`."""
    if not rows:
        raise ValueError("there is no row; expected at least one")
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(
                f"row {number} has {len(row)} cells; expected {len(columns)}, one for "
                f"each of {', '.join(columns)}"
            )
    formats = [digits] * len(columns) if isinstance(digits, int) else list(digits)
    if len(formats) != len(columns):
        raise ValueError(
            f"digits has {len(formats)} entries; expected {len(columns)}, one a column"
        )
    judged = [
        all(_is_verdict(row[place]) for row in rows) for place in range(len(columns))
    ]
    if judged != sorted(judged):
        first = columns[judged.index(True)]
        raise ValueError(
            f"the verdicts of {first!r} stand before numbers; expected them behind"
        )
    cells = [
        [_cell(value, how) for value, how in zip(row, formats, strict=True)]
        for row in rows
    ]
    return Table(list(columns), cells, caption)


def _is_verdict(value: Any) -> bool:
    kind = getattr(value, "dtype", None)
    return isinstance(value, bool | np.bool_) or kind == torch.bool


def _cell(value: Any, how: int | str) -> str:
    """Write one cell of a table."""
    if isinstance(value, str):
        return value
    if _is_verdict(value):
        return "yes" if value else "no"
    value = value.item() if isinstance(value, torch.Tensor | np.generic) else value
    if isinstance(value, int) and isinstance(how, int):
        return str(value)
    return format(value, f".{how}f" if isinstance(how, int) else how).replace("%", " %")


NUMBER = re.compile(r"[−+-]?(\d[\d,]*\.?\d*(e[+-]?\d+)?|inf|nan)( %)?")


def _is_numeric(cells: Sequence[str]) -> bool:
    """Whether a column is set flush right: numbers, with or without their error."""
    return all(
        NUMBER.fullmatch(part) for cell in cells for part in cell.split(" ± ") if cell
    )


def as_images(x: torch.Tensor, size: tuple[int, int] | None = None) -> np.ndarray:
    """Turn rows of pixels (N, D) into images (N, H, W); square by default.

    What is (N, H, W) already stays as it is.

    Raises
    ------
    ValueError
        If ``x`` has another number of axes, or its pixels make no image of the size.

    Examples
    --------
    >>> as_images(torch.zeros(3, 64)).shape
    (3, 8, 8)
    """
    array = np.asarray(x.detach() if isinstance(x, torch.Tensor) else x)
    if array.ndim == 3 and size in (None, array.shape[1:]):
        return array
    if array.ndim != 2:
        wanted = "H, W" if size is None else f"{size[0]}, {size[1]}"
        raise ValueError(f"x has shape {array.shape}; expected (N, D) or (N, {wanted})")
    side = round(array.shape[1] ** 0.5)
    height, width = size or (side, side)
    if height * width != array.shape[1]:
        raise ValueError(f"{array.shape[1]} pixels are no {height}×{width} image")
    return array.reshape(-1, height, width)


def image_rows(
    rows: Sequence[torch.Tensor],
    labels: Sequence[str],
    *,
    limits: Sequence[tuple[float, float]] = ((0.0, 1.0),),
    cmap: str = IMAGES,
    scale: float = 0.62,
) -> Any:
    """Draw rows of images, each row with its label at the left.

    Parameters
    ----------
    rows
        One tensor (N, D) or (N, H, W) a row.
    labels
        One label a row.
    limits
        The values at the two ends of the colour map (white and black by default), a
        pair a row; one pair serves all rows.
    cmap
        Name of a matplotlib colour map.
    scale
        Side of one image in inches.

    Returns
    -------
    matplotlib.figure.Figure
        To be given to `show`.

    Raises
    ------
    ValueError
        If there is no image, rows, labels and limits differ in number, or a row holds
        no images.
    """
    import matplotlib.pyplot as plt

    if len(rows) != len(labels):
        raise ValueError(f"{len(rows)} rows but {len(labels)} labels")
    if len(limits) not in (1, len(rows)):
        raise ValueError(
            f"{len(rows)} rows but {len(limits)} limits; expected one pair, or one a "
            "row"
        )
    images = [as_images(row) for row in rows]
    columns = max((len(row) for row in images), default=0)
    if columns == 0:
        raise ValueError("rows hold no image; expected at least one")
    pairs = list(limits) * (len(rows) if len(limits) == 1 else 1)
    fig, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(scale * columns + 1.3, scale * len(rows) + 0.1),
        squeeze=False,
        gridspec_kw={"wspace": 0.05, "hspace": 0.05},
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for line, row, label, (low, high) in zip(axes, images, labels, pairs, strict=True):
        for ax, image in zip(line, row, strict=False):
            ax.imshow(image, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
        line[0].text(
            -0.15, 0.5, label, transform=line[0].transAxes, ha="right", va="center",
            fontsize=9,
        )  # fmt: skip
    return fig


def scatter_digits(
    ax: Any, codes: torch.Tensor, labels: torch.Tensor, size: float = 18
) -> None:
    """Draw each code (N, 2) as its digit, in one colour a class.

    Parameters
    ----------
    ax
        A matplotlib axes.
    codes, labels
        (N, 2), and digits 0 to 9 (N,).
    size
        Of a digit, in square points.
    """
    for label, colour in enumerate(CLASSES):
        z = codes[labels == label]
        marker = f"${label}$"
        ax.scatter(
            z[:, 0], z[:, 1], s=size, linewidths=0.3, marker=marker, color=colour
        )


def quantile_grid(n: int) -> torch.Tensor:
    """Points of the latent plane, each in the middle of one of n² equal shares of it.

    Along each axis stand the quantiles of N(0, 1) at (i − ½)/n, so that every point
    stands for the share 1/n² of draws from N(0, I). Even steps over [−1, 1]² would show
    46.6 % of them.

    Parameters
    ----------
    n
        Points along each axis, from 1.

    Returns
    -------
    Tensor
        (n·n, 2) in reading order: z₁ grows within a row, z₂ falls from row to row.

    Raises
    ------
    ValueError
        If ``n`` is not a whole number from 1.

    Examples
    --------
    >>> quantile_grid(2)
    tensor([[-0.6745,  0.6745],
            [ 0.6745,  0.6745],
            [-0.6745, -0.6745],
            [ 0.6745, -0.6745]])
    """
    whole_numbers(n=n)
    axis = torch.special.ndtri((torch.arange(n) + 0.5) / n)
    rows, columns = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    return torch.stack([columns, rows], dim=2).reshape(-1, 2)


def tiles(x: torch.Tensor, columns: int, margin: int = 1) -> torch.Tensor:
    """Lay images out in rows as one picture, which draws faster than many axes.

    Parameters
    ----------
    x
        (N, D) or (N, H, W), in reading order; N is a multiple of ``columns``.
    columns
        Images in a row.
    margin
        Empty pixels around each image.

    Returns
    -------
    Tensor
        (rows · (H + 2 margin), columns · (W + 2 margin)).

    Raises
    ------
    ValueError
        If the images do not fill the rows, or are no images.

    Examples
    --------
    >>> tiles(torch.ones(6, 64), columns=3).shape
    torch.Size([20, 30])
    """
    images = torch.as_tensor(as_images(x))
    if columns < 1 or len(images) == 0 or len(images) % columns:
        raise ValueError(
            f"{len(images)} images do not fill rows of {columns}; expected a multiple"
        )
    framed = torch.nn.functional.pad(images, (margin,) * 4)
    _, height, width = framed.shape
    rows = framed.reshape(-1, columns, height, width).transpose(1, 2)
    return rows.reshape(-1, columns * width)


def history(history: History, *, ylabel: str = "mean per example") -> Any:
    """Draw the curves of a training run: solid on training, dashed on validation data.

    Parameters
    ----------
    history
        What `course_utils.training.fit` returned. The loss is blue; the terms
        ``distortion``, ``rate`` and ``gap`` have the course's colours.
    ylabel
        What the numbers are, such as ``"nats per image"``.

    Returns
    -------
    matplotlib.figure.Figure
        To be given to `show`.

    Raises
    ------
    ValueError
        If no epoch has ended.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    columns = history.columns()
    if not columns:
        raise ValueError("the history is empty; expected at least one epoch")
    names = list(dict.fromkeys(column.split(" ", 1)[1] for column in columns))
    others = [name for name in names if name not in TERMS]
    spare = [name for name in CYCLE if name not in TERMS.values()]
    role = TERMS | {n: spare[i % len(spare)] for i, n in enumerate(others)}
    fig, ax = plt.subplots()
    for column, values in columns.items():
        data, name = column.split(" ", 1)
        style = "-" if data == "train" else "--"
        marker = "o" if len(values) == 1 else None  # one point makes no line
        epochs = range(1, len(values) + 1)
        colour = COLOURS[role[name]]
        ax.plot(epochs, values, style, color=colour, marker=marker, label=column)
    ax.set_xlabel("epoch")
    ax.set_ylabel(ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig
