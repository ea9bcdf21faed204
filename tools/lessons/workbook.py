"""The learner's workbook: the lessons with stubs in place of solutions.

The learner's own work is sacred. A file is replaced only while its cells are those
which were built; once a cell was changed, a newer lesson arrives beside it.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_utils.files import write_atomically
from tools.lessons.cells import (
    DEEPER,
    NotebookProblem,
    cell_name,
    output_texts,
    solution_lines,
    solution_spans,
    squeezed,
)
from tools.lessons.pages import notebooks

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["build", "learner_copy", "leaks"]

MANIFEST = ".workbook.json"
PICTURE_TAG = "expected-picture"
COLLAPSED = "jp-MarkdownHeadingCollapsed"  # the editor folds the whole section
STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")


# --------------------------------------------------------------------- the copy


def learner_copy(nb: NotebookNode, name: str = "notebook") -> NotebookNode:
    r"""Return the learner's copy: stubs for solutions, no outputs, deeper parts folded.

    Outputs stay in cells tagged ``expected-picture``, so that one sees what to aim at.

    Parameters
    ----------
    nb : NotebookNode
        The lesson, which stays as it is.
    name : str
        The name used in messages.

    Returns
    -------
    NotebookNode
        The same bytes for the same lesson, always.

    Raises
    ------
    ValueError
        If a solution marker is malformed; the message names notebook and cell.

    Examples
    --------
    >>> from nbformat.v4 import new_code_cell, new_notebook
    >>> source = "### BEGIN SOLUTION\nanswer = 42\n### END SOLUTION"
    >>> nb = new_notebook(cells=[new_code_cell(source)])
    >>> print(learner_copy(nb).cells[0].source)
    # YOUR CODE HERE
    raise NotImplementedError()
    """
    new = copy.deepcopy(nb)
    for position, cell in enumerate(new.cells):
        try:
            cell.source = _with_stubs(cell)
        except ValueError as error:
            raise NotebookProblem(
                name, cell_name(cell, position), str(error)
            ) from error
        if cell.cell_type != "code":
            if DEEPER in cell.metadata.get("tags", []):
                cell.metadata[COLLAPSED] = True
            continue
        cell.execution_count = None
        if PICTURE_TAG not in cell.metadata.get("tags", []):
            cell.outputs = []
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = None
    return new


def _with_stubs(cell: NotebookNode) -> str:
    lines = cell.source.split("\n")
    for first, last in reversed(solution_spans(cell)):
        margin = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
        lines[first : last + 1] = [margin + line for line in STUB]
    return "\n".join(lines)


def leaks(nb: NotebookNode, name: str = "notebook") -> list[str]:
    """Say where a telling line of a solution is still found in the learner's copy."""
    copied = learner_copy(nb, name)
    places = [("the notebook's metadata", squeezed(repr(dict(copied.metadata))))]
    for position, cell in enumerate(copied.cells):
        where = f"cell {cell_name(cell, position)!r}"
        texts = [cell.source, repr(dict(cell.metadata))]
        for output in cell.get("outputs", []):
            texts += output_texts(output)
        places += [(where, squeezed(text)) for text in texts]
    return [
        f"{where} gives away a line of the solution {solution!r}: {line!r}"
        for solution, line in solution_lines(nb)
        for where, text in places
        if line in text
    ]


# ------------------------------------------------------------------- the folder


def build(source: Path, target: Path) -> list[str]:
    """Build or renew the learner's copies of all lessons and pages.

    Parameters
    ----------
    source : Path
        The folder of the lessons.
    target : Path
        The learner's folder; made where it is missing.

    Returns
    -------
    list of str
        What happened, a line for each file that is new, renewed or offered.

    Raises
    ------
    ValueError
        If there is no lesson, or one has a malformed solution marker. Nothing is
        written then.
    """
    paths = notebooks(source)
    if not paths:
        raise ValueError(f"no lesson in {source}; run this from the course's folder")
    folder = _Folder(target)
    lessons = {path.name: path.read_bytes() for path in paths}
    changed = [name for name in lessons if not folder.knows(name, lessons[name])]
    copies = {name: _built(lessons[name], name) for name in changed}
    target.mkdir(parents=True, exist_ok=True)
    said = []
    for name, fresh in copies.items():
        said += folder.place(name, fresh)
        folder.known[name]["lesson"] = _signature(lessons[name])
    folder.save()
    return said


def _built(lesson: bytes, name: str) -> bytes:
    import nbformat

    from tools.lessons.normalise import dumps

    nb = nbformat.reads(lesson.decode("utf-8"), as_version=4)
    return dumps(learner_copy(nb, name.removesuffix(".ipynb"))).encode("utf-8")


def _signature(lesson: bytes) -> str:
    """Fingerprint a lesson together with the way copies are made of it."""
    return hashlib.sha256("\n".join((*STUB, COLLAPSED)).encode() + lesson).hexdigest()


def meaning(content: bytes) -> str | None:
    """Fingerprint what a person wrote in a notebook: the sources of its cells.

    Running it, saving it, or adding an empty cell does not change it. None for a file
    that is no notebook.
    """
    try:
        cells = [
            (cell["cell_type"], "".join(cell["source"]), cell.get("attachments") or {})
            for cell in json.loads(content)["cells"]
        ]
        written = [
            (kind, source.rstrip().lstrip("\n"), pictures)
            for kind, source, pictures in cells
            if source.strip() or pictures
        ]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    text = json.dumps(written, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class _Folder:
    """The learner's folder, with what was built there before.

    The manifest keeps for each file the fingerprints of what was built (``built``: the
    cells, ``bytes``: the file), of the copy that was offered beside it (``offered``),
    and of the lesson seen last (``lesson``). What it does not know counts as the
    learner's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known = self._load()

    def _load(self) -> dict[str, dict[str, str]]:
        stored: Any = None
        with contextlib.suppress(OSError, ValueError):
            stored = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        files = stored.get("files") if isinstance(stored, dict) else None
        if not isinstance(files, dict):
            return {}
        return {
            name: {key: value for key, value in entry.items() if isinstance(value, str)}
            for name, entry in files.items()
            if isinstance(entry, dict)
        }

    def save(self) -> None:
        text = json.dumps({"files": self.known, "version": 1}, indent=1, sort_keys=True)
        write_atomically(self.path / MANIFEST, f"{text}\n".encode())

    def knows(self, name: str, lesson: bytes) -> bool:
        """Whether this very lesson was placed before, so that nothing is to be done."""
        seen = self.known.get(name, {}).get("lesson")
        return seen == _signature(lesson) and _exists(self.path / name)

    def place(self, name: str, fresh: bytes) -> list[str]:
        """Put the newest lesson where it belongs; say what the learner should know."""
        path, newest = self.path / name, meaning(fresh)
        if not _exists(path):
            self._write(name, fresh)
            return [f"{path}: new"]
        if self._replaceable(name, fresh):
            if _read(path) == fresh:
                return []
            self._write(name, fresh)
            return [f"{path}: renewed"]
        entry = self.known.setdefault(name, {})
        if self._meaning(name) == newest:  # already the newest, perhaps with outputs
            entry["built"] = str(newest)
            return []
        if newest in (entry.get("built"), entry.get("offered")):
            return []  # nothing newer than what the learner started from or was given
        beside = self._beside(name, fresh)
        self._write(beside, fresh)
        entry["offered"] = str(newest)
        self.save()
        return [f"{path}: yours, kept; the newer lesson is beside it as {beside}"]

    def _beside(self, name: str, fresh: bytes) -> str:
        stem, number = name.removesuffix(".ipynb"), 1
        while True:
            beside = f"{stem}.new{number if number > 1 else ''}.ipynb"
            if not _exists(self.path / beside) or self._replaceable(beside, fresh):
                return beside
            number += 1

    def _replaceable(self, name: str, fresh: bytes) -> bool:
        """Whether a file holds nothing of the learner's that ``fresh`` would lose.

        It may be exactly what was built; or its cells are, it was merely run, and the
        lesson has changed since, so that its outputs are out of date.
        """
        content, entry = _read(self.path / name), self.known.get(name, {})
        if content is None:
            return False
        if hashlib.sha256(content).hexdigest() == entry.get("bytes"):
            return True
        cells = meaning(content)
        given = (entry.get("built"), entry.get("offered"))
        return cells is not None and cells in given and cells != meaning(fresh)

    def _meaning(self, name: str) -> str | None:
        content = _read(self.path / name)
        return None if content is None else meaning(content)

    def _write(self, name: str, content: bytes) -> None:
        write_atomically(self.path / name, content)
        self.known[name] = {
            "built": str(meaning(content)),
            "bytes": hashlib.sha256(content).hexdigest(),
        }
        self.save()  # after the file: when interrupted, it counts as the learner's


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _read(path: Path) -> bytes | None:
    """Read a plain file; None for a link, a folder, an unreadable file."""
    if path.is_symlink():
        return None
    try:
        return path.read_bytes()
    except OSError:
        return None
