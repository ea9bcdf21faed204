"""The course's colours, and the style of its figures."""

from __future__ import annotations

# Distinguishable for colour-blind readers; the first three are the cheat sheet's.
COLOURS = {
    "reconstruction": "#e66100",  # orange: distortion
    "rate": "#5d3a9b",  # purple: KL to the prior
    "gap": "#c1121f",  # red: KL to the true posterior
    "data": "#4d4d4d",
    "model": "#0072b2",
    "second": "#009e73",
    "third": "#cc79a7",
    "muted": "#a6a6a6",
}
TERMS = {"loss": "model", "distortion": "reconstruction", "rate": "rate", "gap": "gap"}
CYCLE = ("model", "reconstruction", "second", "rate", "third", "data")
IMAGES = "gray_r"  # digits and patches: ink is dark
DIVERGING = "PuOr"
SEQUENTIAL = "viridis"
CLASSES = (  # one colour a class of digits; always with the digit as a second cue
    "#0072b2", "#17becf", "#2ca02c", "#9467bd", "#8c564b",
    "#e377c2", "#7f7f7f", "#bcbd22", "#000000", "#76b7e5",
)  # fmt: skip


def use_style() -> None:
    """Set the course's style for every figure that follows."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(
        {
            "figure.figsize": (7.0, 3.2),
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=[COLOURS[name] for name in CYCLE]),
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "axes.titlelocation": "left",
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.8,
            "image.cmap": IMAGES,
        }
    )
