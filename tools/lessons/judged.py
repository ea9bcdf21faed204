"""The unsolved copy of a lesson that the tests run, and what they ask of every cell.

The instructor's stored outputs are the judge: nbval compares them in cells tagged
``nbval-check-output``. As a plugin of pytest this module asks for what nbval does not:
nothing goes to stderr, a graded cell gives the score that it stores, and nothing is
noted as tried.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.lessons.cells import squeezed
from tools.lessons.workbook import MANIFEST, learner_copy

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["judged_copy", "place"]

CHECKED_TAG = "nbval-check-output"
UNSOLVED = "0.0"
EARNED = re.compile(r"^(points of this lesson: )\S+", re.MULTILINE)
PROGRESS = ".progress.json"  # as in course_utils.check.memory, which loads torch


# --------------------------------------------------------------------- the copy


def judged_copy(nb: NotebookNode, name: str = "notebook") -> NotebookNode:
    r"""Return the learner's copy with the outputs that its cells must give unsolved.

    Parameters
    ----------
    nb : NotebookNode
        The lesson with its outputs, which stays as it is.
    name : str
        The name used in messages.

    Returns
    -------
    NotebookNode
        Compared cells keep the instructor's output, graded ones store no points.

    Examples
    --------
    >>> from nbformat.v4 import new_code_cell, new_notebook, new_output
    >>> said = new_output("stream", text="A\n")
    >>> cell = new_code_cell("print('A')", outputs=[said], execution_count=1)
    >>> cell.metadata.tags = ["nbval-check-output"]
    >>> judged_copy(new_notebook(cells=[cell])).cells[0].outputs[0].text
    'A\n'
    """
    from nbformat.v4 import new_output

    new = learner_copy(nb, name)
    for cell, solved in zip(new.cells, nb.cells, strict=True):
        if cell.cell_type != "code":
            continue
        # nbval compares nothing in a cell without a count.
        cell.execution_count = solved.execution_count
        cell.outputs = []
        if CHECKED_TAG in cell.metadata.get("tags", []):
            cell.outputs = [_without_points(output) for output in solved.outputs]
        elif is_graded(cell):
            score = {"text/plain": UNSOLVED}
            cell.outputs = [new_output("execute_result", score, execution_count=1)]
    return new


def _without_points(output: NotebookNode) -> NotebookNode:
    """Return a stored output in which the lesson's sum of points is that of nothing."""
    new = copy.deepcopy(output)
    if new.output_type == "stream":
        new.text = EARNED.sub(rf"\g<1>{UNSOLVED}", new.text)
    return new


def place(lesson: Path, folder: Path) -> Path:
    """Write the judged copy of a lesson into a folder that counts as a workbook."""
    import nbformat

    copied = judged_copy(nbformat.read(lesson, as_version=4), lesson.stem)
    (folder / MANIFEST).write_text("{}", encoding="utf-8")
    path = folder / lesson.name
    nbformat.write(copied, path)
    return path


def is_graded(cell: NotebookNode) -> bool:
    """Whether a cell gives points."""
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


# ------------------------------------------------------------------- the judgement


def complaints(cell: NotebookNode, outputs: list[Any]) -> list[str]:
    """Say what is wrong with the outputs that a cell gave, beyond what nbval compares.

    Examples
    --------
    >>> from nbformat.v4 import new_code_cell, new_output
    >>> complaints(new_code_cell(), [new_output("stream", name="stderr", text="Oh")])
    ["it wrote to stderr: 'Oh'"]
    """
    found = [
        f"it wrote to stderr: {squeezed(output.text)[:300]!r}"
        for output in outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    if is_graded(cell) and score(outputs) != score(cell.outputs):
        found.append(f"it gave {score(outputs)} points, not {score(cell.outputs)}")
    return found


def score(outputs: list[Any]) -> str | None:
    """Return the value that a cell ended with, as text."""
    last = outputs[-1] if outputs else None
    if last is None or last.output_type != "execute_result":
        return None
    return str(last.data.get("text/plain"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: Any) -> Iterator[None]:
    """Judge a cell of a notebook after nbval has run it."""
    result = yield
    found = complaints(item.cell, item.test_outputs)
    if (item.path.parent / PROGRESS).exists():
        found.append(f"{PROGRESS} was written by this cell or one above it")
    if found:
        item.raise_cell_error("\n".join(found))
    return result
