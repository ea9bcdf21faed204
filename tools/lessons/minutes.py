"""Estimate the minutes that a learner takes for a lesson, a section at a time.

One formula, stated here and nowhere else. It was set by hand on the times of readers
who went through lessons 01, 02 and 03 of an earlier edition in 130, 150 and 140
minutes; it gives those 124, 158 and 128. A deeper section is one that no core section
needs; a tag on its heading says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from nbformat import NotebookNode

from tools.lessons.cells import (
    BEGIN,
    DEEPER,
    END,
    FOLDED,
    checked_function,
    has_solution,
)
from tools.lessons.reading import prose_of

__all__ = ["Section", "fill_in", "minutes", "sections", "totals", "words"]

WORDS_A_MINUTE = 100
DISPLAYED_FORMULA = 2.5  # minutes: it is worked through, not read
INLINE_FORMULA = 0.05
LINE_OF_CODE = 0.1
FIGURE = 1.0
PREDICTION = 2.0  # with its question and its reason
EXERCISE, LINE_OF_SOLUTION = 3.0, 1.0

UNCOUNTED = ("References", "Next")
_DISPLAYED = re.compile(r"\$\$.*?\$\$", re.DOTALL)
_INLINE = re.compile(r"\$[^$]+\$")
_FIGURE = re.compile(r"\bplots\.show\(|\bexplorer\(|\bplots\.redrawn\(")
_SECTION_TIME = re.compile(r"\*About (?:\?|\d+) minutes?\.\*")
_CORE_TIME = re.compile(r"About (?:\?|\d+) minutes?\s+for\s+the\s+core\s+path")
_DEEPER_TIME = re.compile(r"(?:\?|\d+)(\s+for\s+the\s+deeper\s+sections)")


class Section(NamedTuple):
    """The cells under one heading of level 2; the opening has the lesson's title."""

    title: str
    deeper: bool
    cells: list[NotebookNode]

    @property
    def minutes(self) -> float:
        """The estimate; nothing for references and where to go next."""
        return 0.0 if self.title in UNCOUNTED else minutes(self.cells)


def sections(nb: NotebookNode) -> list[Section]:
    """Split a lesson at the cells that begin with a heading of level 2."""
    found: list[Section] = []
    for cell in nb.cells:
        text = cell.cell_type == "markdown"
        heading = re.match(r"(##?) (.+)", cell.source) if text else None
        if heading or not found:
            title = heading.group(2).strip() if heading else ""
            deeper = DEEPER in cell.metadata.get("tags", [])
            found.append(Section(title, deeper, []))
        found[-1].cells.append(cell)
    return found


def minutes(cells: Iterable[NotebookNode]) -> float:
    """Estimate how long a learner takes for some cells, outputs included."""
    return sum(
        _text(cell.source) if cell.cell_type == "markdown" else _code(cell)
        for cell in cells
    )


def _text(source: str) -> float:
    displayed = len(_DISPLAYED.findall(source))
    inline = len(_INLINE.findall(_DISPLAYED.sub("", source)))
    return (
        words(source) / WORDS_A_MINUTE
        + displayed * DISPLAYED_FORMULA
        + inline * INLINE_FORMULA
    )


def words(source: str) -> int:
    r"""Count the words of a text, without formulas, code and tags.

    Examples
    --------
    >>> words("The mean $\mu$ of `x` is <b>exact</b>.")
    5
    """
    plain = _INLINE.sub("", _DISPLAYED.sub("", source))
    plain = re.sub(r"</?\w[^<>]*>|\]\([^)]*\)", " ", plain)
    return len(re.findall(r"[^\W\d_][\w’'-]*", prose_of(plain)))


def _code(cell: NotebookNode) -> float:
    figures = len(_FIGURE.findall(cell.source)) * FIGURE
    if re.search(r"^predict\(", cell.source, re.MULTILINE):
        return PREDICTION
    if has_solution(cell):
        return EXERCISE + LINE_OF_SOLUTION * sum(1 for _ in _solution(cell.source))
    if FOLDED in cell.metadata.get("tags", []) or checked_function(cell):
        return figures
    return figures + LINE_OF_CODE * len([x for x in cell.source.split("\n") if x])


def _solution(source: str) -> Iterator[str]:
    """Give the lines of code between the markers, without comments."""
    inside = False
    for line in map(str.strip, source.split("\n")):
        if line in (BEGIN, END):
            inside = line == BEGIN
        elif inside and line and not line.startswith("#"):
            yield line


def totals(nb: NotebookNode) -> tuple[int, int]:
    """Estimate the minutes of the core path, and of the deeper sections."""
    core = sum(one.minutes for one in sections(nb) if not one.deeper)
    deeper = sum(one.minutes for one in sections(nb) if one.deeper)
    return round(core), round(deeper)


def fill_in(nb: NotebookNode) -> None:
    """Write the estimates where a lesson says ``*About ? minutes.*``."""
    if not nb.cells:
        return
    core, deeper = totals(nb)
    first = nb.cells[0]
    first.source = _CORE_TIME.sub(
        f"About {_counted(core)} for the core path", first.source
    )
    first.source = _DEEPER_TIME.sub(rf"{deeper}\1", first.source)
    for section in sections(nb):
        if section.cells[0].cell_type == "markdown":
            said = f"*About {_counted(max(1, round(section.minutes)))}.*"
            heading = section.cells[0]
            heading.source = _SECTION_TIME.sub(said, heading.source)


def _counted(count: int) -> str:
    return f"{count} minute{'' if count == 1 else 's'}"
