"""Rows of the tables that show the course: its lessons, the leaves of its map."""

from __future__ import annotations

from collections.abc import Iterable

CELL = "text-align:left;padding:3px 10px 3px 0;vertical-align:top"


def row(cells: Iterable[str], tag: str = "td") -> str:
    """Put cells of HTML into a row of a table; those of its head have the tag th.

    Examples
    --------
    >>> row(["a", "b"]).count("<td")
    2
    """
    shown = "".join(f'<{tag} style="{CELL}">{text}</{tag}>' for text in cells)
    return f"<tr>{shown}</tr>"
