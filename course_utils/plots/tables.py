"""Tables of numbers and verdicts, as HTML and as aligned text."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

_NUMBER = re.compile(r"[−+-]?(\d[\d,]*\.?\d*(e[+-]?\d+)?|inf|nan)( %)?")


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
    how = f"z.{how}f" if isinstance(how, int) else how  # z: no minus before 0.00
    return format(value, how).replace("%", " %")


def _is_numeric(cells: Sequence[str]) -> bool:
    """Whether a column is set flush right: numbers, with or without their error."""
    return all(
        _NUMBER.fullmatch(part) for cell in cells for part in cell.split(" ± ") if cell
    )
