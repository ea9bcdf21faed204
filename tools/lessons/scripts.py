"""A lesson as a percent-format script, for editing it as text, and back."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_utils.files import write_atomically
from tools.lessons.normalise import dumps, normalise

__all__ = ["from_script", "to_script"]


def to_script(nb: NotebookNode) -> str:
    """Write a lesson as a script of ``# %%`` cells: tags and slides stay, no ids."""
    import jupytext

    plain = nbformat.v4.new_notebook()
    for cell in nb.cells:
        make = getattr(nbformat.v4, f"new_{cell.cell_type}_cell")
        kept = {
            k: cell.metadata[k] for k in ("tags", "slideshow") if k in cell.metadata
        }
        plain.cells.append(make(cell.source, metadata=kept))
    plain.metadata["jupytext"] = {
        "notebook_metadata_filter": "-all",
        "cell_metadata_filter": "tags,slideshow,-all",
    }
    return str(jupytext.writes(plain, fmt="py:percent"))


def from_script(text: str, old: NotebookNode | None = None) -> NotebookNode:
    """Read a script as a lesson without outputs.

    Parameters
    ----------
    text : str
        A percent-format script.
    old : NotebookNode, optional
        The lesson as it was: a cell whose source is unchanged keeps its id.

    Returns
    -------
    NotebookNode
        To be normalised and executed.
    """
    import jupytext

    nb = jupytext.reads(text, fmt="py:percent")
    ids: dict[tuple[str, str], list[str]] = {}
    for cell in old.cells if old else []:
        ids.setdefault((cell.cell_type, cell.source.strip("\n")), []).append(cell.id)
    for cell in nb.cells:
        same = ids.get((cell.cell_type, cell.source.strip("\n")))
        if same:
            cell.id = same.pop(0)
    nb.nbformat_minor = 5
    return nb


def write_script(notebook: Path, script: Path, *, force: bool = False) -> None:
    """Write the script of a lesson, unless a script with other cells is in the way.

    Raises
    ------
    ValueError
        If the script was edited since; ``force`` overwrites it.
    """
    nb = nbformat.read(notebook, as_version=4)
    text = to_script(nb)
    if script.exists() and not force:
        there = to_script(from_script(script.read_text(encoding="utf-8")))
        if there != text:
            raise ValueError(
                f"{script} differs from {notebook}: it may hold your edits. "
                "Take them over with from-script, or overwrite them with --force."
            )
    script.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(script, text.encode("utf-8"))


def read_script(script: Path, notebook: Path) -> None:
    """Make the lesson of a script, without outputs until it is executed."""
    old = nbformat.read(notebook, as_version=4) if notebook.exists() else None
    nb = from_script(script.read_text(encoding="utf-8"), old)
    content = dumps(normalise(nb, notebook.stem)).encode("utf-8")
    write_atomically(notebook, content)
