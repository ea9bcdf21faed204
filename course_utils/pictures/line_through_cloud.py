"""A line through a cloud in the plane: what it keeps of each point, and what it loses.

`LineThroughCloud.render` paints with PIL, fast enough to follow a slider;
`LineThroughCloud.figure` draws several angles with matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from course_utils.oracles.pca import covariance
from course_utils.plots import COLOURS

WIDTH, HEIGHT = 640, 320  # of the painted picture, in pixels
FINER = 2  # it is painted so much larger, and shrunk: smooth lines
CENTRE, REACH = (160, 160), 150  # of the panel with the cloud
CURVE = (376, 620, 282, 30)  # left, right, lower and upper end of the curve's panel
INK = (40, 40, 40)


class LineThroughCloud:
    """Points in the plane, and lines through their mean at any angle.

    Parameters
    ----------
    points
        (N, 2), float64; their mean is taken away.

    Raises
    ------
    ValueError
        If the points are not (N, 2), not finite, or all the same.

    Examples
    --------
    >>> cloud = LineThroughCloud(torch.tensor([[2.0, 0.0], [-2.0, 0.0]]).double())
    >>> cloud.lost(0.0), round(cloud.lost(90.0), 6)  # along the points, and across
    (0.0, 4.0)
    >>> cloud.render(30.0).shape
    (320, 640, 3)
    """

    def __init__(self, points: torch.Tensor) -> None:
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"points has shape {tuple(points.shape)}; expected (N, 2)")
        self.cov = covariance(points)
        self.points = points - points.mean(0)
        self.reach = 1.08 * float(self.points.norm(dim=1).max())
        if not self.reach > 0:
            raise ValueError("all points are the same; expected a cloud")
        self.total = float(self.cov.trace())
        self.angles = np.linspace(0, 180, 181)
        self.curve = np.array([self.lost(angle) for angle in self.angles])

    def along(self, angle: float) -> torch.Tensor:
        """Return the unit vector (2,) along the line at an angle in degrees."""
        psi = math.radians(angle)
        return torch.tensor([math.cos(psi), math.sin(psi)], dtype=self.points.dtype)

    def kept(self, angle: float) -> torch.Tensor:
        """Project the points onto the line: (N, 2)."""
        u = self.along(angle)
        return torch.outer(self.points @ u, u)

    def lost(self, angle: float) -> float:
        """Compute the variance that the projection loses, tr((I − Π) Σ)."""
        u = self.along(angle)
        return self.total - float(u @ self.cov @ u)

    def describe(self, angle: float) -> str:
        """Say what the line at an angle loses."""
        lost = self.lost(angle)
        share = 100 * lost / self.total
        return f"{angle:.0f}°: lost {lost:.3f} of {self.total:.3f} ({share:.0f} %)"

    # --- painting -------------------------------------------------------------------

    def render(self, angle: float) -> np.ndarray:
        """Paint the cloud with its line, and the curve with a dot: uint8 (H, W, 3)."""
        from PIL import Image, ImageDraw

        size = (WIDTH * FINER, HEIGHT * FINER)
        image = Image.new("RGB", size, "white")
        brush = _Brush(ImageDraw.Draw(image))
        self._paint_cloud(brush, angle)
        self._paint_curve(brush, angle)
        return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))

    def _place(self, point: torch.Tensor) -> tuple[float, float]:
        x, y = (float(part) for part in point)
        scale = REACH / self.reach
        return CENTRE[0] + scale * x, CENTRE[1] - scale * y

    def _paint_cloud(self, brush: _Brush, angle: float) -> None:
        end = self.reach * self.along(angle)
        brush.line([self._place(-end), self._place(end)], "model", 2)
        pairs = zip(self.points, self.kept(angle), strict=True)
        ends = [(self._place(point), self._place(kept)) for point, kept in pairs]
        for point, kept in ends:
            brush.line([point, kept], "reconstruction", 1)
        for point, kept in ends:
            brush.dot(kept, "model", 2)
            brush.dot(point, "data", 3)

    def _paint_curve(self, brush: _Brush, angle: float) -> None:
        left, right, low, high = CURVE

        def place(angle: float, lost: float) -> tuple[float, float]:
            return (
                left + (right - left) * angle / 180,
                low - (low - high) * lost / self.total,
            )

        brush.line([(left, high), (left, low), (right, low)], "data", 1)
        pairs = zip(self.angles, self.curve, strict=True)
        brush.line([place(*pair) for pair in pairs], "reconstruction", 2)
        brush.dot(place(angle % 180, self.lost(angle)), "reconstruction", 6)
        brush.text((left, high - 24), f"lost variance, of {self.total:.3f}")
        for degrees in (0, 90, 180):
            x, y = place(degrees, 0)
            brush.text((x - 8, y + 6), f"{degrees}°")

    # --- drawing --------------------------------------------------------------------

    def figure(self, angles: Sequence[float]) -> Any:
        """Draw the cloud at some angles, and the whole curve of lost variance.

        Returns
        -------
        matplotlib.figure.Figure
            To be given to `course_utils.plots.show`.
        """
        import matplotlib.pyplot as plt

        count = len(angles)
        ratios = [1.0] * count + [1.3]
        fig, panels = plt.subplots(
            1, count + 1, figsize=(2.1 * count + 2.7, 2.5), width_ratios=ratios
        )
        for ax, angle in zip(panels[:-1], angles, strict=True):
            self._draw(ax, angle)
        panels[0].set_ylabel("second pixel")
        curve = panels[-1]
        curve.plot(self.angles, self.curve, color=COLOURS["reconstruction"])
        for angle in angles:
            curve.plot(angle, self.lost(angle), "o", color=COLOURS["reconstruction"])
        curve.set(
            xlabel="angle of the line (°)", title="lost variance", xticks=[0, 90, 180],
            ylim=(0, 1.05 * self.total),
        )  # fmt: skip
        return fig

    def _draw(self, ax: Any, angle: float) -> None:
        end, kept = self.reach * self.along(angle), self.kept(angle)
        for point, foot in zip(self.points, kept, strict=True):
            ax.plot(
                *zip(point, foot, strict=True),
                color=COLOURS["reconstruction"], linewidth=0.8,
            )  # fmt: skip
        ends = zip(-end, end, strict=True)
        ax.plot(*ends, color=COLOURS["model"], linewidth=1.5)
        ax.plot(*self.points.T, ".", color=COLOURS["data"], markersize=4)
        ends_of_axes = (-self.reach, self.reach)
        title = f"{angle:.0f}°: lost {self.lost(angle):.3f}"
        ax.set(
            title=title, aspect=1, xlim=ends_of_axes, ylim=ends_of_axes,
            xlabel="first pixel",
        )  # fmt: skip


class _Brush:
    """Paint on a picture that is `FINER` times as large as it is shown."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw

    def line(
        self, places: Sequence[tuple[float, float]], colour: str, width: int
    ) -> None:
        at = [(FINER * x, FINER * y) for x, y in places]
        self.draw.line(at, COLOURS[colour], FINER * width, "curve")

    def dot(self, place: tuple[float, float], colour: str, radius: float) -> None:
        x, y = (FINER * part for part in place)
        r = FINER * radius
        box = (x - r, y - r, x + r, y + r)
        self.draw.ellipse(box, COLOURS[colour])

    def text(self, place: tuple[float, float], words: str) -> None:
        x, y = (FINER * part for part in place)
        self.draw.text((x, y), words, INK, font_size=FINER * 13)
