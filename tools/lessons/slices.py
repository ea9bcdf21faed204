"""Which cells of a lesson use a name, and which cells those need to run.

A cell is judged by its names alone, nothing is run: what it reads, what it binds, and
what it may change in place. What a function reads counts as read by the cell that
defines the function.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Names", "dependents", "names_of", "needs"]

# What only shows its arguments: a call of these changes none of them.
SHOWS = {"print", "display", "points", "check", "predict", "explorer", "plots"}
Scope = (
    ast.FunctionDef | ast.Lambda | ast.ClassDef
    | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
)  # fmt: skip


@dataclass(frozen=True)
class Names:
    """The names of one cell at the top level.

    Attributes
    ----------
    reads
        Read, now or when a function runs, and not bound in the same cell before.
    binds
        Assigned, imported or defined.
    changes
        What the cell may change in place: ``x[0] = 1``, ``x += 1``, and the ``x`` of
        calls that stand alone, ``x.step()`` and ``fit(x)``.
    """

    reads: frozenset[str]
    binds: frozenset[str]
    changes: frozenset[str]


def names_of(source: str) -> Names:
    r"""Find the names of a cell.

    Raises
    ------
    SyntaxError
        If the cell is not plain Python.

    Examples
    --------
    >>> found = names_of("model = f(x)\nfit(model, steps=n)\nlosses[0] = 1")
    >>> sorted(found.reads), sorted(found.binds), sorted(found.changes)
    (['f', 'fit', 'losses', 'n', 'x'], ['model'], ['losses', 'model', 'n'])
    """
    tree = ast.parse(source)
    reader = _Reader()
    reader.visit(tree)
    reads = reader.reads | (reader.later - reader.bound)
    changes = {name for node in ast.walk(tree) for name in _changed(node)}
    return Names(frozenset(reads), frozenset(reader.bound), frozenset(changes))


class _Reader(ast.NodeVisitor):
    """Collects names in the order in which a cell runs."""

    def __init__(self) -> None:
        self.reads: set[str] = set()
        self.later: set[str] = set()  # by a function, when it is called
        self.bound: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bound.add(node.id)
        elif node.id not in self.bound:
            self.reads.add(node.id)

    def visit_alias(self, node: ast.alias) -> None:
        self.bound.add((node.asname or node.name).split(".")[0])

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, Scope):
            self._scope(node)
        elif isinstance(node, ast.Assign | ast.For | ast.NamedExpr):
            # What is assigned is computed first.
            first = node.iter if isinstance(node, ast.For) else node.value
            self.visit(first)
            for part in ast.iter_child_nodes(node):
                if part is not first:
                    self.visit(part)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self.visit(ast.Name(node.target.id, ast.Load()))
            self.visit(node.value)
        else:
            super().visit(node)

    def _scope(self, node: Scope) -> None:
        """A function, class or comprehension: its own names stay inside."""
        inner = _Reader()
        for part in ast.iter_child_nodes(node):
            inner.visit(part)
        own = {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
        free = inner.reads | inner.later
        if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            self.later |= free - own - inner.bound
        else:  # a comprehension runs at once; its target is written after its use
            self.reads |= free - own - inner.bound - self.bound
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            self.bound.add(node.name)


def _changed(node: ast.AST) -> Iterator[str]:
    """Names whose values a piece of code may change in place."""
    if isinstance(node, ast.Attribute | ast.Subscript):
        if not isinstance(node.ctx, ast.Load):
            yield from _base(node)
    elif isinstance(node, ast.AugAssign):
        yield from _base(node.target)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call = node.value
        if SHOWS.isdisjoint(_base(call.func)):
            if not isinstance(call.func, ast.Name):
                yield from _base(call.func)
            for given in (*call.args, *(word.value for word in call.keywords)):
                yield from _base(given)


def _base(node: ast.expr) -> Iterator[str]:
    """The name that an expression such as ``a.b[0].c()`` begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    if isinstance(node, ast.Name):
        yield node.id


def dependents(
    cells: Sequence[Names], name: str, start: int = 0, steps: float = math.inf
) -> list[int]:
    """List the cells from ``start`` on that use a name, or what was made with it.

    Parameters
    ----------
    cells
        All cells of the lesson, in order.
    name
        Bound above ``start``.
    start
        Where to begin.
    steps
        How far to follow: 1 for the cells that read the name itself, 2 for those that
        read what these bind or change, and so on.

    Examples
    --------
    >>> lesson = ["def f(): ...", "a = f()", "b = 1", "print(a)", "a = 2", "print(a)"]
    >>> dependents([names_of(cell) for cell in lesson], "f", start=1)
    [1, 3]
    >>> dependents([names_of(cell) for cell in lesson], "f", start=1, steps=1)
    [1]
    """
    away: dict[str, float] = {name: 0}
    found = []
    for place in range(start, len(cells)):
        cell = cells[place]
        near = [away[read] for read in cell.reads if read in away]
        for bound in cell.binds:
            away.pop(bound, None)
        if near and min(near) < steps:
            found.append(place)
            made = cell.binds | (cell.changes - set(away))
            away |= dict.fromkeys(made, min(near) + 1)
        away[name] = 0
    return found


def needs(cells: Sequence[Names], wanted: Sequence[int]) -> list[int]:
    """List the cells that must run, in order, so that the wanted ones can.

    Of each name that a cell reads: the last cell above that binds it, and those that
    change it from there on. A function may read what is bound below it; then it is the
    first cell below.

    Examples
    --------
    >>> lesson = ["a = []", "b = 1", "a.append(2)", "print(a)", "a.append(3)"]
    >>> needs([names_of(cell) for cell in lesson], [3])
    [0, 2, 3]
    """
    found, todo = set(wanted), [*wanted]
    while todo:
        place = todo.pop()
        for name in cells[place].reads:
            makers = set(_makers(cells, name, place))
            todo += makers - found
            found |= makers
    return sorted(found)


def _makers(cells: Sequence[Names], name: str, place: int) -> Iterator[int]:
    for above in range(place - 1, -1, -1):
        if name in cells[above].binds:
            yield above
            return
        if name in cells[above].changes:
            yield above
    for below in range(place + 1, len(cells)):
        if name in cells[below].binds:
            yield below
            return
