"""The load of a lesson: an hour for the core path, short texts, minutes a section."""

from __future__ import annotations

import re

from nbformat import NotebookNode

from tools.lessons.minutes import sections, totals, words
from tools.lessons.reading import headings, named_cells

CORE_MOST = 60  # minutes
CORE_MOST_OF = {"00": 30}
WORDS_MOST = 200  # of a text cell, formulas not counted
TAKEAWAY = re.compile(r"## .+\n\n\*About \d+ minutes?\.\* \*\*")


def core_path(nb: NotebookNode, name: str) -> list[str]:
    """Let the core path take an hour at most, by the course's own estimate."""
    core, _ = totals(nb)
    most = CORE_MOST_OF.get(name[:2], CORE_MOST)
    return [f"the core path takes {core} minutes, most {most}"] if core > most else []


def short_texts(nb: NotebookNode, name: str) -> list[str]:
    """Refuse text cells of more than 200 words; references may be longer."""
    return [
        f"cell {where!r} has {words(cell.source)} words, most {WORDS_MOST}"
        for where, cell in named_cells(nb)
        if cell.cell_type == "markdown"
        and words(cell.source) > WORDS_MOST
        and "References" not in headings(cell)
    ]


def sections_apart(nb: NotebookNode, name: str) -> list[str]:
    """Require that a section begins a cell of its own, so that it can be folded."""
    found = []
    for where, cell in named_cells(nb):
        titles = headings(cell, 2)
        if titles[:1] == ["References"]:
            continue
        if titles and (len(titles) > 1 or not cell.source.startswith("## ")):
            found.append(f"cell {where!r}: a section must begin a cell of its own")
    return found


def says_minutes(nb: NotebookNode, name: str) -> list[str]:
    """Require minutes at the top, and on each numbered section with its takeaway."""
    found = []
    if "for the core path" not in " ".join(nb.cells[0].source.split()):
        found.append("the first cell does not give the minutes for the core path")
    for section in sections(nb)[1:]:
        if not re.match(r"\d+\. ", section.title):
            continue
        if not TAKEAWAY.match(section.cells[0].source):
            found.append(
                f"section {section.title!r} must open with '*About ? minutes.* "
                "**its takeaway**'"
            )
        if section.deeper != ("Deeper:" in section.title):
            found.append(
                f"section {section.title!r}: the tag 'deeper' and 'Deeper:' in the "
                "heading go together"
            )
    return found
