"""The map of generative models: the whole taxonomy, each leaf with its lesson."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Leaf:
    """One family of models.

    Parameters
    ----------
    path
        The branches that lead to it, from the root.
    name
        The family.
    sentence
        What it means, in one sentence.
    lesson
        File name of the lesson without suffix.
    """

    path: tuple[str, ...]
    name: str
    sentence: str
    lesson: str


LEAVES = (
    Leaf(
        ("explicit density", "approximate", "variational"),
        "variational autoencoder (VAE)",
        "A code is drawn and decoded; a bound on log p(x) is maximised.",
        "07_variational_autoencoder",
    ),
    Leaf(
        ("explicit density", "approximate", "variational"),
        "diffusion",
        "Noise is added in many small steps, then taken away: a VAE of many layers.",
        "14_diffusion",
    ),
    Leaf(
        ("explicit density", "approximate", "Markov chain"),
        "Boltzmann machine",
        "p(x) is exp(−energy) up to an unknown constant; a Markov chain draws from it.",
        "15_markov_chains",
    ),
    Leaf(
        ("explicit density", "tractable", "autoregressive"),
        "PixelRNN, PixelCNN",
        "p(x) is a product over pixels: each is predicted from those before it.",
        "12_autoregressive",
    ),
    Leaf(
        ("explicit density", "tractable", "autoregressive"),
        "WaveNet",
        "The same for sound, with convolutions that reach ever further back.",
        "12_autoregressive",
    ),
    Leaf(
        ("explicit density", "tractable", "autoregressive"),
        "temporal convolutional network (TCN)",
        "The same for any sequence: convolutions that never look ahead.",
        "12_autoregressive",
    ),
    Leaf(
        ("explicit density", "tractable", "autoregressive"),
        "large language model (LLM)",
        "The same for text: each word piece is predicted from all before it.",
        "12_autoregressive",
    ),
    Leaf(
        ("explicit density", "tractable", "change of variables"),
        "normalizing flow",
        "An invertible map turns simple noise into data; volumes are accounted for.",
        "13_normalizing_flows",
    ),
    Leaf(
        ("implicit density", "direct"),
        "generative adversarial network (GAN)",
        "Noise is mapped to data that a second network cannot tell from real data.",
        "16_gan",
    ),
    Leaf(
        ("implicit density", "Markov chain"),
        "generative stochastic network (GSN)",
        "Corrupt and denoise, again and again: the chain's visits are the samples.",
        "15_markov_chains",
    ),
)


def is_built(leaf: Leaf, folder: Path) -> bool:
    """Whether the lesson of a leaf exists in a folder."""
    return (folder / f"{leaf.lesson}.ipynb").exists()


class Table:
    """The leaves as a table; a lesson that exists is a link, another says so."""

    def __init__(self, folder: Path, leaves: Sequence[Leaf] = LEAVES) -> None:
        self.folder, self.leaves = folder, tuple(leaves)

    def _lesson(self, leaf: Leaf) -> str:
        number = leaf.lesson.split("_", 1)[0]
        if is_built(leaf, self.folder):
            return f'<a href="{leaf.lesson}.ipynb">lesson {number}</a>'
        return f"lesson {number}, not written yet"

    def __repr__(self) -> str:
        return "\n".join(
            f"{' › '.join(leaf.path)} › {leaf.name}: {leaf.sentence}"
            for leaf in self.leaves
        )

    def _repr_html_(self) -> str:
        cell = "text-align:left;padding:3px 10px 3px 0;vertical-align:top"
        titles = ("density", "how", "by", "family", "in one sentence", "where")
        head = "".join(f'<th style="{cell}">{title}</th>' for title in titles)
        rows = []
        for leaf in self.leaves:
            branches = (*leaf.path, "")[:3]
            words = (*branches, leaf.name, leaf.sentence)
            cells = [html.escape(word) for word in words] + [self._lesson(leaf)]
            row = "".join(f'<td style="{cell}">{text}</td>' for text in cells)
            rows.append(f"<tr>{row}</tr>")
        return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def draw(folder: Path, leaves: Sequence[Leaf] = LEAVES) -> Any:
    """Draw the taxonomy as a tree from left to right.

    Parameters
    ----------
    folder
        Where the lessons lie: leaves without a lesson there have a dashed edge.
    leaves
        What to draw.

    Returns
    -------
    matplotlib.figure.Figure
        To be given to `course_utils.plots.show`.
    """
    import matplotlib.pyplot as plt

    from course_utils.plots import COLOURS

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
        built = is_built(leaf, folder)
        number = leaf.lesson.split("_", 1)[0]
        note = f"lesson {number}" + ("" if built else ", not yet")
        colour = COLOURS["model"] if built else COLOURS["data"]
        text = f"{leaf.name}\n{note}"
        _box(ax, *place, text, colour, "-" if built else "--")
    ax.set(xlim=(-0.07, 0.95), ylim=(0, 1))
    return fig


def _edge(ax: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    from course_utils.plots import COLOURS

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
