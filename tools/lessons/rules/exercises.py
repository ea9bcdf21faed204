"""The exercises of a lesson: each with its check, and no solution given away."""

from __future__ import annotations

from nbformat import NotebookNode

from tools.lessons.cells import (
    NotebookProblem,
    checked_function,
    has_solution,
    output_texts,
    solution_lines,
    solution_spans,
    squeezed,
)
from tools.lessons.reading import named_cells
from tools.lessons.workbook import leaks


def exercises(nb: NotebookNode, name: str) -> list[str]:
    """Require two exercises, each with its check in the very next cell."""
    found = []
    solved: list[str] = []
    cells = list(named_cells(nb))
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
    for where, cell in named_cells(nb):
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
    for where, cell in named_cells(nb):
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
