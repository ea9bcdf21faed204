"""One style for all figures; colours that are what their names promise."""

import matplotlib as mpl
import matplotlib.colors
import matplotlib.pyplot as plt
import numpy as np

from course_utils import plots


def test_the_style_reaches_every_figure_that_follows():
    plots.use_style()
    fig, ax = plt.subplots()
    assert tuple(fig.get_size_inches()) == (7.0, 3.2) and fig.dpi == 100
    assert not ax.spines["top"].get_visible() and not ax.spines["right"].get_visible()
    drawn = [ax.plot([0, 1])[0].get_color() for _ in plots.CYCLE]
    assert drawn == [plots.COLOURS[name] for name in plots.CYCLE]
    assert ax.imshow(np.eye(2)).get_cmap().name == plots.IMAGES


def test_importing_sets_no_style():
    assert not mpl.rcParams["figure.constrained_layout.use"]


def test_the_colours_are_the_promised_ones():
    hues = {"reconstruction": "orange", "rate": "purple", "gap": "red"}
    hues |= {"model": "blue", "second": "green"}
    named = {"orange": (0.03, 0.12), "purple": (0.7, 0.85), "blue": (0.5, 0.65),
             "green": (0.3, 0.5)}  # fmt: skip
    for name, hue in hues.items():
        rgb = matplotlib.colors.to_rgb(plots.COLOURS[name])
        h, s, _ = matplotlib.colors.rgb_to_hsv(rgb)
        assert s > 0.5
        if hue == "red":
            assert h < 0.03 or h > 0.95
        else:
            assert named[hue][0] < h < named[hue][1], name
    for name in ("data", "muted"):
        assert len(set(matplotlib.colors.to_rgb(plots.COLOURS[name]))) == 1
    assert len(set(plots.COLOURS.values())) == len(plots.COLOURS)
    for name in (plots.IMAGES, plots.DIVERGING, plots.SEQUENTIAL):
        assert name in mpl.colormaps
