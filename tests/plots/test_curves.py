"""The curves of a training run, in the course's colours."""

import pytest

from course_utils import plots
from course_utils.training import History


def test_a_history_is_drawn_in_the_colours_of_its_terms():
    run = History(
        [3.0, 2.0, 1.5], [3.5, 2.5, 2.0],
        {"distortion": [2.0, 1.5, 1.0], "rate": [1.0, 0.5, 0.5], "size": [9.0, 8.0, 7]},
        {"distortion": [2.5, 1.5, 1.5]},
    )  # fmt: skip
    (ax,) = plots.history(run, ylabel="nats per image").axes
    lines = {line.get_label(): line for line in ax.lines}
    assert {name: list(line.get_ydata()) for name, line in lines.items()} == (
        run.columns()
    )
    assert all(list(line.get_xdata()) == [1, 2, 3] for line in ax.lines)
    for name, line in lines.items():
        assert line.get_linestyle() == ("-" if name.startswith("train") else "--")
    colours = {name: line.get_color() for name, line in lines.items()}
    assert colours["train distortion"] == plots.COLOURS["reconstruction"]
    assert colours["validation distortion"] == plots.COLOURS["reconstruction"]
    assert colours["train rate"] == plots.COLOURS["rate"]
    assert len(set(colours.values())) == 4
    assert ax.get_ylabel() == "nats per image" and ax.get_xlabel() == "epoch"
    assert len(ax.get_legend().get_texts()) == 6


def test_one_epoch_is_seen_and_none_is_named():
    (ax,) = plots.history(History([2.0])).axes
    assert ax.lines[0].get_marker() == "o"
    with pytest.raises(ValueError, match="the history is empty; expected at least one"):
        plots.history(History())
