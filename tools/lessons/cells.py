"""What the cells of a lesson are: solutions, checks, and the problems they may have."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loading nbformat takes longer than all the work on a workbook
    from nbformat import NotebookNode

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
FOLDED = "hide-input"  # the tag that editors, slides and the site obey
DEEPER = "deeper"  # the tag of the heading of a section beside the core path
CHECK = re.compile(r"^(\w+) = check\(\1\b", re.MULTILINE)
DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+")
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class NotebookProblem(ValueError):
    """Something is wrong in one cell of one notebook; the message names both."""

    def __init__(self, notebook: str, cell: str, what: str) -> None:
        super().__init__(f"{notebook}, cell {cell!r}: {what}")


def cell_name(cell: NotebookNode, position: int) -> str:
    """Return the id of a cell, or its position where it has none."""
    return str(cell.get("id") or f"number {position + 1}")


def solution_spans(cell: NotebookNode) -> list[tuple[int, int]]:
    r"""Find the solutions of a cell as pairs of line numbers, markers included.

    Parameters
    ----------
    cell : NotebookNode
        Any cell.

    Returns
    -------
    list of (int, int)
        First and last line of each solution, from 0.

    Raises
    ------
    ValueError
        If a marker stands in a text cell, is misspelt, nested, or lacks its partner.

    Examples
    --------
    >>> from nbformat.v4 import new_code_cell
    >>> solution_spans(new_code_cell("a\n### BEGIN SOLUTION\nb\n### END SOLUTION"))
    [(1, 3)]
    """
    spans: list[tuple[int, int]] = []
    start: int | None = None
    for number, line in enumerate(cell.source.split("\n")):
        text = line.strip()
        if not re.search(r"\b(BEGIN|END)\s+SOLUTION\b", text, re.IGNORECASE):
            continue
        if cell.cell_type != "code":
            raise ValueError(f"a solution marker stands in a {cell.cell_type} cell")
        if text == BEGIN:
            if start is not None:
                raise ValueError(
                    f"line {number + 1}: a solution begins inside a solution"
                )
            start = number
        elif text == END:
            if start is None:
                raise ValueError(
                    f"line {number + 1}: a solution ends which never began"
                )
            spans.append((start, number))
            start = None
        else:
            raise ValueError(
                f"line {number + 1}: a marker must stand alone and read {BEGIN!r} or "
                f"{END!r}, got {text!r}"
            )
    if start is not None:
        raise ValueError(f"line {start + 1}: a solution begins which never ends")
    return spans


def has_solution(cell: NotebookNode) -> bool:
    """Whether a code cell holds a solution marker."""
    return cell.cell_type == "code" and BEGIN in cell.source


def solved_function(cell: NotebookNode) -> str:
    """Return the name of the function which a solution cell defines.

    Raises
    ------
    ValueError
        If it does not define exactly one function.
    """
    names = defined_names(cell.source)
    if len(names) != 1:
        raise ValueError(
            f"a solution cell must define exactly one function, found {names or 'none'}"
        )
    return names[0]


def checked_function(cell: NotebookNode) -> str | None:
    r"""Return ``name`` where the cell says ``name = check(name)``, else None.

    Examples
    --------
    >>> from nbformat.v4 import new_code_cell
    >>> checked_function(new_code_cell('elbo = check(elbo)\npoints("elbo")'))
    'elbo'
    """
    found = CHECK.search(cell.source) if cell.cell_type == "code" else None
    return found.group(1) if found else None


def defined_names(source: str) -> list[str]:
    """List the functions and classes at the top level of a cell."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    tree = parse(source)
    return [node.name for node in tree.body if isinstance(node, kinds)] if tree else []


def parse(source: str) -> ast.Module | None:
    """Parse a cell's source; None where it is not plain Python (magics)."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return None


def solution_lines(nb: NotebookNode) -> list[tuple[str, str]]:
    """List the telling lines of all solutions with the id of their cell.

    A line tells something when it is code of at least 20 characters; imports and bare
    closing lines do not.
    """
    lines = []
    for position, cell in enumerate(nb.cells):
        if not has_solution(cell):
            continue
        source = cell.source.split("\n")
        for first, last in solution_spans(cell):
            for line in source[first + 1 : last]:
                text = squeezed(line)
                if len(text) >= 20 and not text.startswith(("import ", "from ", "#")):
                    lines.append((cell_name(cell, position), text))
    return lines


def squeezed(text: str) -> str:
    """Return the text with each run of white space as one blank."""
    return " ".join(text.split())


def output_texts(output: NotebookNode) -> list[str]:
    """Return all the text of one output, pictures left out."""
    if output.output_type == "stream":
        texts = [output.text]
    elif output.output_type == "error":
        texts = [output.ename, output.evalue, *output.traceback]
    else:
        texts = [
            value if isinstance(value, str) else repr(value)
            for mime, value in output.data.items()
            if not mime.startswith("image/") or mime == "image/svg+xml"
        ]
    return [ANSI.sub("", DATA_URI.sub("(data)", text)) for text in texts]
