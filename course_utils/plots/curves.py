"""Curves of a training run."""

from __future__ import annotations

from typing import Any

from course_utils.plots.style import COLOURS, CYCLE, TERMS
from course_utils.training import History


def history(history: History, *, ylabel: str = "mean per example") -> Any:
    """Draw the curves of a training run: solid on training, dashed on validation data.

    Parameters
    ----------
    history
        What `course_utils.training.fit` returned. The loss is blue; the terms
        ``distortion``, ``rate`` and ``gap`` have the course's colours.
    ylabel
        What the numbers are, such as ``"nats per image"``.

    Returns
    -------
    matplotlib.figure.Figure
        To be given to `show`.

    Raises
    ------
    ValueError
        If no epoch has ended.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    columns = history.columns()
    if not columns:
        raise ValueError("the history is empty; expected at least one epoch")
    names = list(dict.fromkeys(column.split(" ", 1)[1] for column in columns))
    others = [name for name in names if name not in TERMS]
    spare = [name for name in CYCLE if name not in TERMS.values()]
    role = TERMS | {n: spare[i % len(spare)] for i, n in enumerate(others)}
    fig, ax = plt.subplots()
    for column, values in columns.items():
        data, name = column.split(" ", 1)
        style = "-" if data == "train" else "--"
        marker = "o" if len(values) == 1 else None  # one point makes no line
        epochs = range(1, len(values) + 1)
        colour = COLOURS[role[name]]
        ax.plot(epochs, values, style, color=colour, marker=marker, label=column)
    ax.set_xlabel("epoch")
    ax.set_ylabel(ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig
