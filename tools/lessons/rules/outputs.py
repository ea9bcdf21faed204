"""What a lesson stores of its run: counts, outputs that are compared, no errors."""

from __future__ import annotations

import ast

from nbformat import NotebookNode

from tools.lessons.cells import (
    output_texts,
    parse,
    squeezed,
)
from tools.lessons.normalise import (
    WIDGETS,
)
from tools.lessons.reading import code_cells, images_of

CHECKED_LEAST = 5
SHOWING = {
    *("print", "display", "show", "predict", "explorer", "check", "points", "hint"),
    *("solution", "table", "quiz_on"),
}


def executed(nb: NotebookNode, name: str) -> list[str]:
    """Require one run from top to bottom, and an output where something is shown."""
    found = []
    for count, (where, cell) in enumerate(code_cells(nb), start=1):
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
        for where, cell in code_cells(nb)
        if "nbval-check-output" in cell.metadata.get("tags", [])
    ]
    found = []
    if len(checked) < CHECKED_LEAST:
        found.append(f"{len(checked)} output-checked cells, at least {CHECKED_LEAST}")
    for where, cell in checked:
        texts = [text for output in cell.outputs for text in output_texts(output)]
        if not any(text.strip() for text in texts):
            found.append(f"cell {where!r} is output-checked but shows nothing")
        if any(images_of(cell)):
            found.append(f"cell {where!r} is output-checked but shows a picture")
    return found


def no_errors(nb: NotebookNode, name: str) -> list[str]:
    """Refuse stored errors, and output that went to stderr."""
    found = []
    for where, cell in code_cells(nb):
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
        for where, cell in code_cells(nb)
        for output in cell.outputs
        if any(mime.startswith(WIDGETS) for mime in output.get("data", {}))
    ]
    if "widgets" in nb.metadata:
        found.append("the notebook's metadata store widget state")
    return found
