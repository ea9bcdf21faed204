"""Read a lesson's cells: with their names, their headings, their pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from nbformat import NotebookNode

from tools.lessons.cells import (
    cell_name,
)


class _ImageReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.images: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag == "img":
            self.images.append(given)
        elif tag == "svg":
            self.images.append({"alt": given.get("aria-label", ""), "src": ""})


def images_in_html(page: str) -> list[dict[str, str]]:
    """Return the attributes of every ``<img>`` and ``<svg>`` of a page, in order.

    The words of an SVG, its ``aria-label``, are given as ``alt``.

    Examples
    --------
    >>> images_in_html('<p><img src="a.png" alt="a cat"></p>')
    [{'src': 'a.png', 'alt': 'a cat'}]
    """
    reader = _ImageReader()
    reader.feed(page)
    reader.close()
    return reader.images


def images_of(cell: NotebookNode) -> Iterator[dict[str, str]]:
    """Find the pictures of a cell, with their attributes."""
    if cell.cell_type == "markdown":
        prose = prose_of(cell.source)
        for alt, source in re.findall(r"!\[([^\]]*)\]\(([^)\s]*)[^)]*\)", prose):
            yield {"alt": alt, "src": source}
        yield from images_in_html(prose)
    for output in cell.get("outputs", []):
        page = output.get("data", {}).get("text/html", "")
        if "<img" in page or "<svg" in page:
            yield from images_in_html(page)


def headings(cell: NotebookNode, level: int | None = None) -> list[str]:
    """List the headings of a text cell, of one level or of all."""
    if cell.cell_type != "markdown":
        return []
    marks = "#{1,6}" if level is None else "#" * level
    prose = prose_of(cell.source)
    return re.findall(rf"^{marks}\s+(.+?)\s*$", prose, flags=re.MULTILINE)


def prose_of(text: str) -> str:
    """Markdown without its code blocks and code words."""
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def named_cells(nb: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Give every cell with its id, or its position where it has none."""
    for position, cell in enumerate(nb.cells):
        yield cell_name(cell, position), cell


def code_cells(nb: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Give every code cell with its name."""
    for where, cell in named_cells(nb):
        if cell.cell_type == "code":
            yield where, cell
