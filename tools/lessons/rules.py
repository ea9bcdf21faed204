"""The rules every lesson keeps, each a small function from a notebook to complaints.

A rule returns what is wrong as plain sentences, and nothing when all is well.
"""

from __future__ import annotations

import ast
import base64
import binascii
import re
import struct
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.lessons.cells import (
    NotebookProblem,
    cell_name,
    checked_function,
    has_solution,
    output_texts,
    parse,
    solution_lines,
    solution_spans,
    squeezed,
)
from tools.lessons.normalise import (
    WIDGETS,
    dumps,
    is_descriptive,
    machine_traces,
    normalise,
)
from tools.lessons.workbook import leaks

__all__ = ["RULES", "complaints"]

TAGS = {"nbval-check-output", "expected-picture", "hide-input"}
ALT_LEAST = 40
CHECKED_LEAST = 5
CODE_LINES, CODE_COLUMNS = 25, 88
BYTES_MOST = 1_000_000
PICTURE_SIDE_MOST = 2000  # pixels: twice what is shown, for sharp screens
SHOWING = {
    *("print", "display", "show", "predict", "explorer", "check", "points", "hint"),
    "progress",
}


def complaints(nb: NotebookNode, name: str, folder: Path) -> list[str]:
    """Apply every rule to a lesson.

    Parameters
    ----------
    nb : NotebookNode
        The lesson as it is stored.
    name : str
        Its name without suffix, such as ``01_linear_autoencoder_is_pca``.
    folder : Path
        Where it lies, for the links to other files.

    Returns
    -------
    list of str
        Sentences, empty for a lesson in good order.
    """
    found = []
    for rule in RULES:
        found += [f"{rule.__name__}: {what}" for what in rule(nb, name)]
    return found + [f"links: {what}" for what in links(nb, name, folder)]


# ------------------------------------------------------------------------- the form


def valid(nb: NotebookNode, name: str) -> list[str]:
    """Require a valid notebook of format 4.5 with a unique id for each cell."""
    found = []
    if (nb.nbformat, nb.nbformat_minor) != (4, 5):
        found.append(f"the format is {nb.nbformat}.{nb.nbformat_minor}, expected 4.5")
    ids = [cell.get("id") for cell in nb.cells]
    found += [f"the id {i!r} stands twice" for i in _repeated(ids)]
    if found:
        return found
    try:
        nbformat.validate(nb)
    except nbformat.ValidationError as error:
        found.append(str(error).split("\n", 1)[0])
    return found


def normal_form(nb: NotebookNode, name: str) -> list[str]:
    """Require that normalising the lesson again changes no byte."""
    try:
        same = dumps(normalise(nb, name)) == dumps(nb)
    except ValueError as error:
        return [str(error)]
    return [] if same else ["not in normal form; run `make notebooks`"]


def descriptive_ids(nb: NotebookNode, name: str) -> list[str]:
    """Require that each cell id says what the cell holds."""
    return [
        f"the id {where!r} does not describe its cell"
        for where, _ in _cells(nb)
        if not is_descriptive(where)
    ]


def allowed_tags(nb: NotebookNode, name: str) -> list[str]:
    """Allow known tags only; expecting an exception is not one of them."""
    return [
        f"cell {where!r} has the unknown tag {tag!r}"
        for where, cell in _cells(nb)
        for tag in cell.metadata.get("tags", [])
        if tag not in TAGS
    ]


def projectable_code(nb: NotebookNode, name: str) -> list[str]:
    """Require code cells that fit on a slide: 25 lines of 88 columns."""
    found = []
    for where, cell in _code(nb):
        lines = cell.source.split("\n")
        longest = max(len(line) for line in lines)
        if len(lines) > CODE_LINES:
            found.append(f"cell {where!r} has {len(lines)} lines, most {CODE_LINES}")
        if longest > CODE_COLUMNS:
            found.append(f"cell {where!r} has {longest} columns, most {CODE_COLUMNS}")
    return found


def size(nb: NotebookNode, name: str) -> list[str]:
    """Require a file small enough to review and to load: a megabyte at most."""
    count = len(dumps(nb).encode("utf-8"))
    return [f"{count:,} bytes, most {BYTES_MOST:,}"] if count > BYTES_MOST else []


def machine_independent(nb: NotebookNode, name: str) -> list[str]:
    """Refuse absolute paths and memory addresses in cells and their outputs."""
    return [
        f"cell {where!r} has {trace}"
        for where, cell in _cells(nb)
        for trace in machine_traces(cell)
    ]


# ---------------------------------------------------------------------- the outputs


def executed(nb: NotebookNode, name: str) -> list[str]:
    """Require one run from top to bottom, and an output where something is shown."""
    found = []
    for count, (where, cell) in enumerate(_code(nb), start=1):
        if cell.execution_count != count:
            found.append(
                f"cell {where!r} has the count {cell.execution_count}, expected {count}"
            )
        if _shows(cell.source) and not cell.outputs:
            found.append(f"cell {where!r} shows something but has no stored output")
    return found


def _shows(source: str) -> bool:
    """Whether a cell calls something that shows, outside definitions and branches."""
    tree = parse(source)
    nodes: list[ast.AST] = list(tree.body) if tree else []
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.With | ast.For):
            nodes += node.body
        value = node.value if isinstance(node, ast.Expr | ast.Assign) else None
        if isinstance(value, ast.Call):
            function = value.func
            called = function.attr if isinstance(function, ast.Attribute) else None
            called = function.id if isinstance(function, ast.Name) else called
            if called in SHOWING:
                return True
    return False


def checked_outputs(nb: NotebookNode, name: str) -> list[str]:
    """Require five cells whose output is compared, none of it a picture."""
    checked = [
        (where, cell)
        for where, cell in _code(nb)
        if "nbval-check-output" in cell.metadata.get("tags", [])
    ]
    found = []
    if len(checked) < CHECKED_LEAST:
        found.append(f"{len(checked)} output-checked cells, at least {CHECKED_LEAST}")
    for where, cell in checked:
        texts = [text for output in cell.outputs for text in output_texts(output)]
        if not any(text.strip() for text in texts):
            found.append(f"cell {where!r} is output-checked but shows nothing")
        if any(_images(cell)):
            found.append(f"cell {where!r} is output-checked but shows a picture")
    return found


def no_errors(nb: NotebookNode, name: str) -> list[str]:
    """Refuse stored errors, and output that went to stderr."""
    found = []
    for where, cell in _code(nb):
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"cell {where!r} stores the error {output.ename}")
            elif output.output_type == "stream" and output.name != "stdout":
                text = squeezed(output.text)[:80]
                found.append(f"cell {where!r} wrote to {output.name}: {text!r}")
    return found


def no_widget_views(nb: NotebookNode, name: str) -> list[str]:
    """Refuse stored live widgets, which would log an error on opening."""
    found = [
        f"cell {where!r} stores a widget view"
        for where, cell in _code(nb)
        for output in cell.outputs
        if any(mime.startswith(WIDGETS) for mime in output.get("data", {}))
    ]
    if "widgets" in nb.metadata:
        found.append("the notebook's metadata store widget state")
    return found


# ---------------------------------------------------------------------- the figures


def described_figures(nb: NotebookNode, name: str) -> list[str]:
    """Require words for every figure, where browsers and exports keep them."""
    found = []
    for where, cell in _code(nb):
        for output in cell.outputs:
            bare = [
                mime for mime in output.get("data", {}) if mime.startswith("image/")
            ]
            found += [
                f"cell {where!r} stores a bare {mime} without words; use plots.show"
                for mime in bare
            ]
    for where, cell in _cells(nb):
        for image in _images(cell):
            alt = image.get("alt", "").strip()
            if len(alt) < ALT_LEAST:
                found.append(
                    f"cell {where!r} has a figure whose alt has {len(alt)} characters, "
                    f"at least {ALT_LEAST}: {alt!r}"
                )
    return found


def picture_sizes(nb: NotebookNode, name: str) -> list[str]:
    """Require pictures of a sane size: at most 2000 pixels a side."""
    found = []
    for where, cell in _code(nb):
        for image in _images(cell):
            sides = _png_sides(image.get("src", ""))
            if max(sides) > PICTURE_SIDE_MOST:
                found.append(f"cell {where!r} has a picture of {sides[0]}×{sides[1]}")
    return found


def _png_sides(source: str) -> tuple[int, int]:
    start = "data:image/png;base64,"
    if not source.startswith(start):
        return 0, 0
    try:
        header = base64.b64decode(source[len(start) : len(start) + 64])
        width, height = struct.unpack(">II", header[16:24])
    except (binascii.Error, struct.error):
        return 0, 0
    return width, height


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


def _images(cell: NotebookNode) -> Iterator[dict[str, str]]:
    """Find the pictures of a cell, with their attributes."""
    if cell.cell_type == "markdown":
        prose = _without_code(cell.source)
        for alt, source in re.findall(r"!\[([^\]]*)\]\(([^)\s]*)[^)]*\)", prose):
            yield {"alt": alt, "src": source}
        yield from images_in_html(prose)
    for output in cell.get("outputs", []):
        page = output.get("data", {}).get("text/html", "")
        if "<img" in page or "<svg" in page:
            yield from images_in_html(page)


# --------------------------------------------------------------------- the exercises


def exercises(nb: NotebookNode, name: str) -> list[str]:
    """Require two exercises, each with its check in the very next cell."""
    found = []
    solved: list[str] = []
    cells = list(_cells(nb))
    for position, (where, cell) in enumerate(cells):
        orphan = checked_function(cell)
        if orphan and not (position and has_solution(cells[position - 1][1])):
            found.append(
                f"cell {where!r} checks {orphan!r}, which is not defined above"
            )
        if not has_solution(cell):
            continue
        solved.append(where)
        following = cells[min(position + 1, len(cells) - 1)][1]
        checked = checked_function(following)
        if checked is None or f"def {checked}(" not in cell.source:
            found.append(f"cell {where!r} is not followed by its check")
        elif not following.source.rstrip().endswith(f'\npoints("{checked}")'):
            found.append(f'the check of {where!r} must end with points("{checked}")')
    least = 0 if name.startswith(("00", "99")) else 2
    if len(solved) < least:
        found.append(f"{len(solved)} exercises, at least {least}")
    return found


def solution_markers(nb: NotebookNode, name: str) -> list[str]:
    """Require solution markers in pairs, alone on their lines, in code cells."""
    found = []
    for where, cell in _cells(nb):
        try:
            spans = solution_spans(cell)
        except ValueError as error:
            found.append(f"cell {where!r}: {error}")
            continue
        lines = cell.source.split("\n")
        for first, last in spans:
            if not "".join(lines[first + 1 : last]).strip():
                found.append(f"cell {where!r}: the solution is empty")
    return found


def solutions_hidden(nb: NotebookNode, name: str) -> list[str]:
    """Refuse lines of a solution in the text, in another cell, or in an output."""
    try:
        found = leaks(nb, name)
        lines = solution_lines(nb)
    except (NotebookProblem, ValueError):
        return []  # malformed markers: another rule says so
    for where, cell in _cells(nb):
        texts = [
            text for output in cell.get("outputs", []) for text in output_texts(output)
        ]
        shown = squeezed("\n".join(texts))
        found += [
            f"an output of cell {where!r} gives away a line of {owner!r}: {line!r}"
            for owner, line in lines
            if line in shown
        ]
    return sorted(set(found))


# ------------------------------------------------------------------------ the anatomy


def anatomy(nb: NotebookNode, name: str) -> list[str]:
    """Require a title at the start, and the parts which every lesson has."""
    found = []
    first = nb.cells[0] if nb.cells else None
    titles = _headings(first, 1) if first else []
    if len(titles) != 1:
        found.append("the first cell must be a text with one title (# …)")
    elif not titles[0].startswith(f"{name[:2]} · "):
        found.append(f"the title must begin with the number, '{name[:2]} · '")
    opening = first.source.lower() if first else ""
    for part, phrase in OPENING.items():
        if part not in _optional(name) and phrase not in opening:
            found.append(f"the first cell does not give {part} ({phrase!r})")
    again = [t for cell in nb.cells[1:] for t in _headings(cell, 1)]
    found += [f"a second title: {title!r}" for title in again]
    headings = [h.lower() for cell in nb.cells for h in _headings(cell)]
    for part, words in PARTS.items():
        if part in _optional(name):
            continue
        if not any(word in heading for heading in headings for word in words):
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


def _headings(cell: NotebookNode, level: int | None = None) -> list[str]:
    if cell.cell_type != "markdown":
        return []
    marks = "#{1,6}" if level is None else "#" * level
    prose = _without_code(cell.source)
    return re.findall(rf"^{marks}\s+(.+?)\s*$", prose, flags=re.MULTILINE)


def _without_code(text: str) -> str:
    """Markdown without its code blocks and code words."""
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def links(nb: NotebookNode, name: str, folder: Path) -> list[str]:
    """Require that every link to a lesson, a file or a heading leads somewhere."""
    found = []
    for where, cell in _cells(nb):
        for target in _targets(cell):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue  # to the web, or a picture inside the page
            file, _, anchor = target.partition("#")
            path = folder / file if file else None
            if path is not None and not path.exists():
                found.append(f"cell {where!r} links to {file!r}, which is not there")
            elif anchor and (path is None or path.suffix == ".ipynb"):
                there = nb if path is None else nbformat.read(path, as_version=4)
                known = {_anchor(h) for other in there.cells for h in _headings(other)}
                if _anchor(anchor) not in known:
                    found.append(f"cell {where!r} links to no heading: {target!r}")
    return found


def _targets(cell: NotebookNode) -> list[str]:
    pages = [output.get("data", {}) for output in cell.get("outputs", [])]
    texts = [page.get("text/html", "") for page in pages]
    texts += [page.get("text/markdown", "") for page in pages]
    if cell.cell_type == "markdown":
        texts.append(_without_code(cell.source))
    targets = []
    for text in texts:
        targets += re.findall(r"\]\(\s*<?([^)\s>]+)[^)]*\)", text)
        targets += re.findall(r"<a\s[^>]*href=[\"']([^\"']+)[\"']", text)
    return targets


def _anchor(heading: str) -> str:
    """Spell a heading as part of an address, alike for all tools."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower().replace("%20", " ")).strip("-")


# --------------------------------------------------------------------------- helpers


def _cells(nb: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    for position, cell in enumerate(nb.cells):
        yield cell_name(cell, position), cell


def _code(nb: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    return ((where, cell) for where, cell in _cells(nb) if cell.cell_type == "code")


def _repeated(items: list[str | None]) -> list[str | None]:
    return sorted({item for item in items if items.count(item) > 1}, key=str)


RULES: tuple[Callable[[NotebookNode, str], list[str]], ...] = (
    valid,
    normal_form,
    descriptive_ids,
    allowed_tags,
    projectable_code,
    size,
    machine_independent,
    executed,
    checked_outputs,
    no_errors,
    no_widget_views,
    described_figures,
    picture_sizes,
    exercises,
    solution_markers,
    solutions_hidden,
    anatomy,
)
