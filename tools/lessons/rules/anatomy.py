"""The anatomy of a lesson: its parts, and where its links lead."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.lessons.reading import headings, named_cells, prose_of


def anatomy(nb: NotebookNode, name: str) -> list[str]:
    """Require a title at the start, and the parts which every lesson has."""
    found = []
    first = nb.cells[0] if nb.cells else None
    titles = headings(first, 1) if first else []
    if len(titles) != 1:
        found.append("the first cell must be a text with one title (# …)")
    elif not titles[0].startswith(f"{name[:2]} · "):
        found.append(f"the title must begin with the number, '{name[:2]} · '")
    opening = first.source.lower() if first else ""
    for part, phrase in OPENING.items():
        if part not in _optional(name) and phrase not in opening:
            found.append(f"the first cell does not give {part} ({phrase!r})")
    again = [t for cell in nb.cells[1:] for t in headings(cell, 1)]
    found += [f"a second title: {title!r}" for title in again]
    there = [h.lower() for cell in nb.cells for h in headings(cell)]
    for part, words in PARTS.items():
        if part in _optional(name):
            continue
        if not any(word in heading for heading in there for word in words):
            found.append(f"no heading for {part} (one with {' or '.join(words)})")
    if "the retrieval questions" not in _optional(name):
        asked = sum(_section(nb, word).count("<details>") for word in RETRIEVAL)
        if asked < 2:
            found.append(
                f"{asked} retrieval questions with a folded answer, at least 2"
            )
    return found


def _section(nb: NotebookNode, word: str) -> str:
    """Return the text under the first heading which has the word in it."""
    texts = [cell.source for cell in nb.cells if cell.cell_type == "markdown"]
    parts = re.split(r"^(?=#{1,6}\s)", "\n".join(texts), flags=re.MULTILINE)
    fitting = [part for part in parts if word in part.split("\n", 1)[0].lower()]
    return fitting[0] if fitting else ""


OPENING = {
    "the question": "the question",
    "what one can do afterwards": "you can",
    "the time it takes": "minutes",
    "what is needed": "you need",
}


RETRIEVAL = ("before you start", "retriev", "recall")
PARTS = {
    "the assumptions": ("assum",),
    "the retrieval questions": RETRIEVAL,
    "the common mistakes": ("mistake",),
    "the summary": ("summary",),
    "the references": ("reference",),
    "the next lesson": ("next",),
}


def _optional(name: str) -> set[str]:
    if name.startswith(("00", "99")):
        return {
            *("the assumptions", "the retrieval questions", "the common mistakes"),
            "what is needed",
        }
    return set()


def links(nb: NotebookNode, name: str, folder: Path) -> list[str]:
    """Require that every link to a lesson, a file or a cell of one leads somewhere.

    JupyterLab finds a heading of another notebook only where that one is open already,
    a cell at the first click.
    """
    found = []
    for where, cell in named_cells(nb):
        for target in _targets(cell):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue  # to the web, or a picture inside the page
            file, _, anchor = target.partition("#")
            path = folder / file if file else None
            if path is not None and not path.exists():
                found.append(f"cell {where!r} links to {file!r}, which is not there")
            elif anchor and (path is None or path.suffix == ".ipynb"):
                there = nb if path is None else nbformat.read(path, as_version=4)
                if not _leads(anchor, there):
                    found.append(f"cell {where!r} links to no heading: {target!r}")
                elif file and not anchor.startswith(CELL):
                    found.append(
                        f"cell {where!r}: {target!r} must name a cell, #{CELL}…"
                    )
    return found


CELL = "cell-id="  # the anchor of a cell: JupyterLab finds it at the first click


def _leads(anchor: str, there: NotebookNode) -> bool:
    """Whether an anchor is that of a cell of a notebook, or of a heading in it."""
    if anchor.startswith(CELL):
        return anchor.removeprefix(CELL) in {cell.id for cell in there.cells}
    known = {_anchor(title) for cell in there.cells for title in headings(cell)}
    return _anchor(anchor) in known


def _targets(cell: NotebookNode) -> list[str]:
    pages = [output.get("data", {}) for output in cell.get("outputs", [])]
    texts = [page.get("text/html", "") for page in pages]
    texts += [page.get("text/markdown", "") for page in pages]
    if cell.cell_type == "markdown":
        texts.append(prose_of(cell.source))
    targets = []
    for text in texts:
        targets += re.findall(r"\]\(\s*<?([^)\s>]+)[^)]*\)", text)
        targets += re.findall(r"<a\s[^>]*href=[\"']([^\"']+)[\"']", text)
    return targets


def _anchor(heading: str) -> str:
    """Spell a heading as part of an address, alike for all tools."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower().replace("%20", " ")).strip("-")
