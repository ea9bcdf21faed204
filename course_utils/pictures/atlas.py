"""The map of generative models: the whole taxonomy, each leaf with its lesson."""

from __future__ import annotations

import html
from typing import Any

from course_utils.course import Course, Leaf, course
from course_utils.pictures._rows import row
from course_utils.plots import COLOURS


class Table:
    """The leaves as a table; a lesson that exists is a link, another says so."""

    def __init__(self, shown: Course | None = None) -> None:
        self.course = shown or course()

    def _lesson(self, leaf: Leaf) -> str:
        lesson = self.course.lesson(leaf.lesson)
        if lesson is None:
            return f"lesson {leaf.lesson}, not written yet"
        return f'<a href="{lesson.file}.ipynb">lesson {lesson.number}</a>'

    def __repr__(self) -> str:
        return "\n".join(
            f"{' › '.join(leaf.path)} › {leaf.family}: {leaf.sentence}"
            for leaf in self.course.leaves
        )

    def _repr_html_(self) -> str:
        titles = ("density", "how", "by", "family", "in one sentence", "where")
        rows = [row(titles, "th")]
        for leaf in self.course.leaves:
            branches = (*leaf.path, "")[:3]
            words = (*branches, leaf.family, leaf.sentence)
            cells = [html.escape(word) for word in words] + [self._lesson(leaf)]
            rows.append(row(cells))
        return f"<table>{''.join(rows)}</table>"


def draw(shown: Course | None = None) -> Any:
    """Draw the taxonomy as a tree from left to right.

    Parameters
    ----------
    shown
        The course, this one by default. Leaves whose lesson is not written yet have a
        dashed edge.

    Returns
    -------
    matplotlib.figure.Figure
        To be given to `course_utils.plots.show`.
    """
    import matplotlib.pyplot as plt

    shown = shown or course()
    leaves = shown.leaves
    fig, ax = plt.subplots(figsize=(8.0, 4.4))
    ax.set_axis_off()
    columns = (0.0, 0.19, 0.37, 0.52, 0.70)  # root, three branches, leaf
    count = len(leaves)
    heights = {index: 1 - (index + 0.5) / count for index in range(count)}
    paths: list[tuple[str, ...]] = [
        ("generative\nmodels", *leaf.path) for leaf in leaves
    ]
    places: dict[tuple[str, ...], tuple[float, float]] = {}
    for depth in range(4):
        groups: dict[tuple[str, ...], list[int]] = {}
        for index, path in enumerate(paths):
            if depth < len(path):
                groups.setdefault(path[: depth + 1], []).append(index)
        for path, members in groups.items():
            height = sum(heights[index] for index in members) / len(members)
            places[path] = (columns[depth], height)
    for path, (left, height) in places.items():
        if len(path) > 1:
            _edge(ax, places[path[:-1]], (left, height))
        label = path[-1].replace(" density", "\ndensity").replace(" of ", "\nof ")
        _box(ax, left, height, label, COLOURS["data"])
    for index, leaf in enumerate(leaves):
        place = (columns[4], heights[index])
        _edge(ax, places[paths[index]], place)
        built = shown.lesson(leaf.lesson) is not None
        note = f"lesson {leaf.lesson}" + ("" if built else ", not yet")
        colour = COLOURS["model"] if built else COLOURS["data"]
        text = f"{leaf.family}\n{note}"
        _box(ax, *place, text, colour, "-" if built else "--")
    ax.set(xlim=(-0.07, 0.95), ylim=(0, 1))
    return fig


def _edge(ax: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.plot(
        *zip(start, end, strict=True), color=COLOURS["muted"], linewidth=1, zorder=0
    )


def _box(
    ax: Any, left: float, height: float, text: str, colour: str, line: str = "-"
) -> None:
    box = {
        "boxstyle": "round,pad=0.25",
        "facecolor": "white",
        "edgecolor": colour,
        "linestyle": line,
    }
    align = "left" if left > 0.6 else "center"
    ax.text(
        left, height, text, fontsize=8, va="center", ha=align, color=colour, bbox=box
    )
