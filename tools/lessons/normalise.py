"""Bring a notebook into the one form in which it is kept and reviewed.

Two saves of the same lesson give the same bytes, and a change of one line shows as a
change of one line: cell ids describe their cells, keys are sorted, and nothing of the
editor, of the widgets, or of the machine stays.
"""

from __future__ import annotations

import ast
import copy
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
from nbformat import NotebookNode

from tools.lessons.cells import (
    DATA_URI,
    FOLDED,
    NotebookProblem,
    cell_name,
    checked_function,
    defined_names,
    has_solution,
    output_texts,
    parse,
    solution_spans,
    solved_function,
)
from tools.lessons.minutes import fill_in

__all__ = ["dumps", "normalise", "without_ids"]

KERNELSPEC = {
    "display_name": "Python 3 (ipykernel)",
    "language": "python",
    "name": "python3",
}
LANGUAGE_INFO = {
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
SLIDE_TYPES = {"slide", "subslide", "fragment", "skip", "notes", "-"}
WIDGETS = "application/vnd.jupyter.widget-"  # views and states of live widgets
ID_MOST = 50
PERSONAL = re.compile(r"^progress\(\)$", re.MULTILINE)  # shows what the reader has done

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{4,}|\b0x[0-9a-fA-F]{9,}")
_PATH = re.compile(
    r"(?<![\w/.:-])/(?:home|root|tmp|Users|private|var)/[\w.~-]+"
    r"|\b[A-Za-z]:\\{1,2}(?:Users|Windows|Program|Documents|Temp)\b"
)


def normalise(
    nb: NotebookNode,
    lesson_name: str,
    *,
    points_of: Callable[[str], float] | None = None,
) -> NotebookNode:
    """Return the normal form of a lesson; the notebook passed in stays as it is.

    Applying it twice changes nothing more.

    Parameters
    ----------
    nb : NotebookNode
        A notebook of format 4.
    lesson_name : str
        The name used in messages.
    points_of : function, optional
        From an exercise's name to its points; the course's own exercises by default.

    Returns
    -------
    NotebookNode
        With descriptive ids, estimated minutes, nbgrader's metadata on exercises, and
        clean outputs.

    Raises
    ------
    ValueError
        If a solution marker is malformed, an exercise is unknown, or a memory address
        or an absolute path stands in a cell or its output.

    Examples
    --------
    >>> from nbformat.v4 import new_markdown_cell, new_notebook
    >>> nb = new_notebook(cells=[new_markdown_cell("# The map of models")])
    >>> normalise(nb, "example").cells[0].id
    'the-map-of-models'
    """
    points_of = points_of or _points_of
    new = copy.deepcopy(nb)
    new.nbformat, new.nbformat_minor = 4, 5
    new.metadata = nbformat.from_dict(
        {"kernelspec": KERNELSPEC, "language_info": LANGUAGE_INFO}
    )
    for cell in new.cells:
        cell.source = cell.source.rstrip().lstrip("\n")
    new.cells = [cell for cell in new.cells if cell.source.strip()]
    fill_in(new)
    _name_cells(new, lesson_name)
    count = 0
    for position, cell in enumerate(new.cells):
        try:
            cell.metadata = _cell_metadata(cell, points_of)
        except ValueError as error:
            where = cell_name(cell, position)
            raise NotebookProblem(lesson_name, where, str(error)) from error
        if cell.cell_type == "code":
            count += 1
            ran = cell.get("execution_count") is not None or bool(cell.outputs)
            cell.execution_count = count if ran else None
            cell.outputs = [] if PERSONAL.search(cell.source) else _outputs(cell)
        _refuse_machine_traces(cell, lesson_name)
    return new


def dumps(nb: NotebookNode) -> str:
    """Write a notebook as text: sorted keys, indent 1, one newline at the end."""
    return nbformat.writes(nb, version=4).rstrip("\n") + "\n"


def without_ids(nb: NotebookNode) -> NotebookNode:
    """Return a copy without cell ids: normalising it derives each one anew."""
    new = copy.deepcopy(nb)
    for cell in new.cells:
        cell.pop("id", None)
    return new


# ------------------------------------------------------------------------------ ids


def _name_cells(nb: NotebookNode, lesson_name: str) -> None:
    """Give every cell an id which says what it holds, unique in the notebook."""
    wanted = [_fixed_id(cell, i, lesson_name) for i, cell in enumerate(nb.cells)]
    taken = {name for name in wanted if name}
    if len(taken) < sum(name is not None for name in wanted):
        twice = sorted({name for name in wanted if name and wanted.count(name) > 1})
        raise NotebookProblem(lesson_name, twice[0], "the exercise stands here twice")
    for position, cell in enumerate(nb.cells):
        old = cell.get("id", "")
        if wanted[position] is None and is_descriptive(old) and old not in taken:
            wanted[position] = old
            taken.add(old)
    for position, cell in enumerate(nb.cells):
        name = wanted[position]
        if name is None:
            name = _unique(_described(cell), taken)
            taken.add(name)
        cell.id = name


def _fixed_id(cell: NotebookNode, position: int, lesson_name: str) -> str | None:
    """Exercise cells are named after their function, always."""
    try:
        if solution_spans(cell):
            return solved_function(cell)
    except ValueError as error:
        raise NotebookProblem(
            lesson_name, cell_name(cell, position), str(error)
        ) from error
    checked = checked_function(cell)
    return f"{checked}-check" if checked else None


def is_descriptive(name: str) -> bool:
    """Whether an id reads as words, not as a random number.

    Examples
    --------
    >>> is_descriptive("principal-angles"), is_descriptive("9f3c02ab")
    (True, False)
    """
    words = re.fullmatch(r"[a-z0-9]+(?:[-_]+[a-z0-9]+)*", name) is not None
    random = re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]+)+", name)
    return (
        words
        and not random
        and 2 <= len(name) <= ID_MOST
        and re.search(r"[a-z]{2}", name) is not None
    )


def _unique(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name[: ID_MOST - 4]}-{number}" in taken:
        number += 1
    return f"{name[: ID_MOST - 4]}-{number}"


def _described(cell: NotebookNode) -> str:
    """Derive an id from what a cell says."""
    slug = _slug(_gist(cell))
    if is_descriptive(slug):
        return slug
    kind = "text" if cell.cell_type == "markdown" else cell.cell_type
    return _slug(f"{kind} {slug}")


def _gist(cell: NotebookNode) -> str:
    if cell.cell_type != "code":
        text = re.sub(r"<!--.*?-->", "", cell.source, flags=re.DOTALL)
        heading = re.search(r"^#{1,6}\s+(.+?)\s*#*$", text, flags=re.MULTILINE)
        return _unnumbered(heading.group(1)) if heading else _first_words(text)
    names = defined_names(cell.source)
    if names:
        return names[0]
    first = cell.source.lstrip().split("\n", 1)[0]
    if first.startswith("#"):
        return first
    tree = parse(cell.source)
    if tree is None:
        return _first_words(first)
    return _said(tree) or _first_words(ast.unparse(tree.body[0]).split("\n", 1)[0])


def _unnumbered(heading: str) -> str:
    """Drop the number and the formulas of a heading, unless nothing else is there."""
    words = re.sub(r"^[\d.]+\s*[·:)]?\s+|\$[^$]*\$", " ", heading)
    return words if re.search(r"[a-zA-Z]{2}", words) else heading


SPEAKING = {"show": "figure", "predict": "predict", "explorer": "explore", "print": ""}


def _said(tree: ast.Module) -> str:
    """Describe a cell by what it shows: the words of a figure, a question, a line."""
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _called(node) in SPEAKING
    ]
    calls.sort(key=lambda call: list(SPEAKING).index(_called(call)))
    for call in calls:
        arguments = [word.value for word in call.keywords if word.arg == "alt"]
        words = " ".join(map(_literal, arguments or call.args[:1]))
        words = _first_words(re.sub(r"\$[^$]*\$", " ", words), 5)
        if len(words.split()) >= 2:
            return f"{SPEAKING[_called(call)]} {words}"
    return ""


def _called(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _literal(node: ast.AST) -> str:
    """Return the literal words of a string, formatted or not."""
    if isinstance(node, ast.JoinedStr):
        return " ".join(map(_literal, node.values))
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


def _first_words(text: str, count: int = 6) -> str:
    words = re.findall(
        r"[^\W_]+", re.sub(r"</?[a-zA-Z][^<>]*>|https?://\S+", " ", text)
    )
    return " ".join(words[:count])


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"\]\([^)]*\)|<[^<>]*>", " ", plain).replace("'", "").lower()
    words = re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)*", plain)
    slug = ""
    for word in words:
        longer = f"{slug}-{word}" if slug else word[: ID_MOST - 4]
        if len(longer) > ID_MOST - 4:  # leaves room for -2
            break
        slug = longer
    return slug


# ------------------------------------------------------------------------- metadata


def _cell_metadata(
    cell: NotebookNode, points_of: Callable[[str], float]
) -> NotebookNode:
    kept: dict[str, Any] = {}
    tags = cell.metadata.get("tags")
    if tags:
        kept["tags"] = sorted(set(tags))
    if FOLDED in kept.get("tags", ()) and cell.cell_type == "code":
        kept["jupyter"] = {"source_hidden": True}  # its output stays in sight
    slide = cell.metadata.get("slideshow", {}).get("slide_type")
    if slide:
        if slide not in SLIDE_TYPES:
            raise ValueError(
                f"slide_type must be one of {sorted(SLIDE_TYPES)}, got {slide!r}"
            )
        kept["slideshow"] = {"slide_type": slide}
    nbgrader = _nbgrader(cell, points_of)
    if nbgrader:
        kept["nbgrader"] = nbgrader
    return nbformat.from_dict(kept)


def _nbgrader(
    cell: NotebookNode, points_of: Callable[[str], float]
) -> dict[str, Any] | None:
    """Say what nbgrader needs: a solution to write, or a locked check with points."""
    common = {"schema_version": 3, "task": False}
    if has_solution(cell):
        role = {"grade": False, "locked": False, "solution": True}
        return {**common, **role, "grade_id": solved_function(cell)}
    checked = checked_function(cell)
    if checked is None:
        return None
    points = points_of(checked)
    role = {"grade": True, "locked": True, "solution": False}
    return {
        **common,
        **role,
        "grade_id": f"{checked}-check",
        "points": int(points) if float(points).is_integer() else float(points),
    }


def _points_of(name: str) -> float:
    from course_utils.exercises import find

    return find(name).points


# -------------------------------------------------------------------------- outputs


def _outputs(cell: NotebookNode) -> list[NotebookNode]:
    kept: list[NotebookNode] = []
    for output in cell.outputs:
        if output.output_type == "stream":
            last = kept[-1] if kept else None
            if last and last.output_type == "stream" and last.name == output.name:
                last.text += output.text
            elif output.text:
                kept.append(output)
            continue
        if output.output_type in ("display_data", "execute_result"):
            live = [mime for mime in output.data if mime.startswith(WIDGETS)]
            for mime in live:
                del output.data[mime]
            if not output.data or (live and set(output.data) == {"text/plain"}):
                continue  # nothing stays that a reader could use
            output.metadata = nbformat.from_dict({})
            output.pop("transient", None)
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
        kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = _without_overwritten(output.text)
    return [output for output in kept if output.get("text") != ""]


def _without_overwritten(text: str) -> str:
    """Keep of a progress bar what a terminal would still show at the end."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(
        line.rstrip("\r").rsplit("\r", 1)[-1].rstrip() if "\r" in line else line
        for line in lines  # a bar that disappears writes spaces over itself
    )


def machine_traces(cell: NotebookNode) -> Iterator[str]:
    """Find what would differ on another machine: memory addresses, absolute paths."""
    texts = [("source", DATA_URI.sub("(data)", cell.source))]
    for output in cell.get("outputs", []):
        texts += [("output", text) for text in output_texts(output)]
    for where, text in texts:
        for match in _ADDRESS.finditer(text):
            yield f"a memory address in its {where}: {match.group()!r}"
        for match in _PATH.finditer(text):
            yield f"an absolute path in its {where}: {match.group()!r}"


def _refuse_machine_traces(cell: NotebookNode, lesson_name: str) -> None:
    for trace in machine_traces(cell):
        raise NotebookProblem(lesson_name, cell.id, trace)
