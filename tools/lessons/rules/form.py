"""The form of a lesson: its cells, their ids and tags, what they import and define."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

import nbformat
from nbformat import NotebookNode

from tools.lessons.cells import (
    DEEPER,
    FOLDED,
    defined_names,
    parse,
)
from tools.lessons.normalise import (
    dumps,
    is_descriptive,
    machine_traces,
    normalise,
)
from tools.lessons.reading import code_cells, named_cells

TAGS = {"nbval-check-output", "expected-picture", FOLDED, DEEPER}
CODE_LINES, CODE_COLUMNS = 25, 88
PACKAGE, MODULES_MOST = "course_utils", 8
MORE_MODULES = {"07": 11, "08": 11, "09": 10, "11": 9}  # what was built comes together
BYTES_MOST = 1_000_000
CALLBACKS = {"render", "describe"}


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
        for where, _ in named_cells(nb)
        if not is_descriptive(where)
    ]


def allowed_tags(nb: NotebookNode, name: str) -> list[str]:
    """Allow known tags only; expecting an exception is not one of them."""
    return [
        f"cell {where!r} has the unknown tag {tag!r}"
        for where, cell in named_cells(nb)
        for tag in cell.metadata.get("tags", [])
        if tag not in TAGS
    ]


def projectable_code(nb: NotebookNode, name: str) -> list[str]:
    """Require code cells that fit on a slide: 25 lines of 88 columns."""
    found = []
    for where, cell in code_cells(nb):
        lines = cell.source.split("\n")
        longest = max(len(line) for line in lines)
        if len(lines) > CODE_LINES:
            found.append(f"cell {where!r} has {len(lines)} lines, most {CODE_LINES}")
        if longest > CODE_COLUMNS:
            found.append(f"cell {where!r} has {longest} columns, most {CODE_COLUMNS}")
    return found


def no_layout_switches(nb: NotebookNode, name: str) -> list[str]:
    """Refuse comments to a formatter that never sees the cells."""
    return [
        f"cell {where!r} has a '# fmt:' comment, which does nothing here"
        for where, cell in code_cells(nb)
        if re.search(r"#\s*fmt:", cell.source)
    ]


def asserts_apart(nb: NotebookNode, name: str) -> list[str]:
    """Require asserts to stand in folded cells of their own, away from what teaches."""
    found = []
    for where, cell in code_cells(nb):
        tree = parse(cell.source) or ast.Module([], [])
        asserts = any(isinstance(node, ast.Assert) for node in ast.walk(tree))
        if asserts and FOLDED not in cell.metadata.get("tags", []):
            found.append(f"cell {where!r} has an assert and is not folded ({FOLDED})")
    return found


def few_modules(nb: NotebookNode, name: str) -> list[str]:
    """Let a lesson import eight modules of the course at most."""
    taken: set[str] = set()
    for _, cell in code_cells(nb):
        for node in ast.walk(parse(cell.source) or ast.Module([], [])):
            if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
                taken |= {f"{PACKAGE}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                taken |= (
                    {node.module} if node.module.startswith(f"{PACKAGE}.") else set()
                )
    most = MORE_MODULES.get(name[:2], MODULES_MOST)
    if len(taken) <= most:
        return []
    return [f"{len(taken)} modules of the course, most {most}: {sorted(taken)}"]


def defined_twice(lessons: Mapping[str, NotebookNode]) -> list[str]:
    """Refuse a function that two lessons define: it belongs into the package.

    The callbacks of an explorer have the same name everywhere.
    """
    homes: dict[str, list[str]] = {}
    for name, nb in lessons.items():
        here = {one for _, cell in code_cells(nb) for one in defined_names(cell.source)}
        for one in here - CALLBACKS:
            homes.setdefault(one, []).append(name)
    return [
        f"{one} is defined in {' and '.join(names)}"
        for one, names in sorted(homes.items())
        if len(names) > 1
    ]


def size(nb: NotebookNode, name: str) -> list[str]:
    """Require a file small enough to review and to load: a megabyte at most."""
    count = len(dumps(nb).encode("utf-8"))
    return [f"{count:,} bytes, most {BYTES_MOST:,}"] if count > BYTES_MOST else []


def machine_independent(nb: NotebookNode, name: str) -> list[str]:
    """Refuse absolute paths and memory addresses in cells and their outputs."""
    return [
        f"cell {where!r} has {trace}"
        for where, cell in named_cells(nb)
        for trace in machine_traces(cell)
    ]


def _repeated(items: list[str | None]) -> list[str | None]:
    return sorted({item for item in items if items.count(item) > 1}, key=str)
