"""The ELBO bars: distortion + rate beside −log p(x) + gap, for a q that you move.

Both stacks have the same height whatever q is, because
−log p(x) + gap = distortion + rate. Beside them, prior, posterior and q as curves over
the one latent z. `ElboBars.render` paints with NumPy and PIL, fast enough to follow a
slider; `ElboBars.figure` draws several q's side by side with matplotlib.

A stack cannot show a negative part. A log-density may be positive, and then the
distortion is negative; so only worlds are taken in which that cannot happen,
σ ≥ 1/√(2π).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from course_utils.oracles.linear_gaussian import LinearGaussian
from course_utils.oracles.quadrature import QuadratureWorld
from course_utils.plots import COLOURS

LEAST_SIGMA = 1 / math.sqrt(2 * math.pi)  # below it, log p(x|z) may be positive
LEVEL = 1e-6  # nats by which the two stacks may differ

WIDTH, HEIGHT = 700, 300  # of the painted picture, in pixels
CURVES = (12, 350)  # left and right end of the panel with the curves
TOP, BOTTOM = 34, 262
AXIS = 388
STACKS = ((494, 544), (548, 598))  # left and right end of the two bars
LABELS = (489, 603)  # where the words on the left end, and on the right begin
INK = (40, 40, 40)


class Parts(NamedTuple):
    """The four parts for one q, in nats: distortion + rate = nll + gap."""

    distortion: float
    rate: float
    nll: float
    gap: float

    @property
    def left(self) -> float:
        """Height of the left stack, distortion + rate = −ELBO."""
        return self.distortion + self.rate

    @property
    def right(self) -> float:
        """Height of the right stack, −log p(x) + gap."""
        return self.nll + self.gap


class ElboBars:
    """The bars for one x in a world with one latent.

    Parameters
    ----------
    world
        `LinearGaussian` with K = 1, or `QuadratureWorld`; σ at least 1/√(2π) ≈ 0.399,
        so that no part can be negative.
    x
        The one example, (1, D), float64.
    mu, logvar
        Ends of the two sliders, and so of the range of q.
    top
        Upper end of the axis of the stacks, in nats; by default, what the corners of
        the range need. A stack that is higher is cut, and says so.

    Raises
    ------
    ValueError
        If the world has more than one latent or too small a σ, or ``x`` is not one
        example.

    Examples
    --------
    >>> W, b = torch.tensor([[1.2]]).double(), torch.zeros(1).double()
    >>> bars = ElboBars(LinearGaussian(W, b, 0.8), torch.tensor([[1.8]]).double())
    >>> parts = bars.parts(mu=0.0, logvar=0.0)  # q = the prior
    >>> parts.rate, abs(parts.left - parts.right) < 1e-12
    (0.0, True)
    >>> bars.render(mu=0.0, logvar=0.0).shape
    (300, 700, 3)
    """

    def __init__(
        self,
        world: LinearGaussian | QuadratureWorld,
        x: torch.Tensor,
        *,
        mu: tuple[float, float] = (0.0, 2.0),
        logvar: tuple[float, float] = (-4.0, 0.5),
        top: float | None = None,
    ) -> None:
        if isinstance(world, LinearGaussian) and world.W.shape[1] != 1:
            raise ValueError(f"the world has {world.W.shape[1]} latents; expected one")
        if float(world.sigma) < LEAST_SIGMA:
            raise ValueError(
                f"sigma is {float(world.sigma):.3g}; expected at least 1/√(2π) ≈ "
                f"{LEAST_SIGMA:.3f}: below it a density may exceed 1, the distortion "
                "may be negative, and a stack cannot show that"
            )
        if x.ndim != 2 or len(x) != 1:
            raise ValueError(f"x has shape {tuple(x.shape)}; expected (1, D)")
        self.world, self.x = world, x
        self.mu, self.logvar = mu, logvar
        self.z = torch.linspace(
            min(mu[0] - 1, -2.5), max(mu[1] + 1, 2.5), 331, dtype=torch.float64
        )
        self.nll = -float(world.log_density(x))
        corners = [self.parts(m, v).left for m in mu for v in logvar]
        self.top = 1.05 * max(corners) if top is None else top

    def parts(self, mu: float, logvar: float) -> Parts:
        """Compute the four parts for q = N(mu, exp(logvar)), in nats.

        −log p(x) is computed without q; the gap by a rule of its own. So that the
        stacks end level is a check, and a stack that does not raises an error.

        Raises
        ------
        ValueError
            If the two stacks differ by more than 1e-6 nat.
        """
        q = [torch.tensor([[value]], dtype=torch.float64) for value in (mu, logvar)]
        if isinstance(self.world, LinearGaussian):
            terms = self.world.diagonal_terms(self.x, *q)
        else:
            terms = self.world.terms(self.x, *q)
        parts = Parts(
            float(terms.distortion), float(terms.rate), self.nll, float(terms.gap)
        )
        return check_level(parts)

    @cached_property
    def posterior(self) -> torch.Tensor:
        """The density p(z|x) at `z`."""
        if isinstance(self.world, QuadratureWorld):
            log_joint = self.world.log_joint(self.x, self.z)[0]
            return (log_joint + self.nll).exp()
        mean, cov = self.world.posterior(self.x)
        return _density(self.z, float(mean), float(cov))

    def density(self, mu: float, logvar: float) -> torch.Tensor:
        """The density of q at `z`."""  # noqa: D401
        return _density(self.z, mu, math.exp(logvar))

    def describe(self, mu: float, logvar: float) -> str:
        """Say the two sums and their difference in one line."""
        part = self.parts(mu, logvar)
        return (
            f"distortion {part.distortion:.3f} + rate {part.rate:.3f} = "
            f"{part.left:.3f} nats;  −log p(x) {part.nll:.3f} + gap {part.gap:.3f} = "
            f"{part.right:.3f};  difference {abs(part.left - part.right):.0e}"
        )

    # ----------------------------------------------------------------- painted, live

    def render(self, mu: float, logvar: float) -> np.ndarray:
        """Paint curves and stacks for one q: (300, 700, 3) uint8."""
        from PIL import Image, ImageDraw

        part = self.parts(mu, logvar)
        image = self._background.copy()
        draw = ImageDraw.Draw(image)
        self._curve(draw, self.density(mu, logvar), COLOURS["model"], 3)
        segments = (
            (0, 0.0, part.distortion, "distortion"),
            (0, part.distortion, part.left, "rate"),
            (1, 0.0, part.nll, "-log p(x)"),
            (1, part.nll, part.right, "gap"),
        )
        pixels = np.array(image)
        for stack, low, high, name in segments:
            self._fill(pixels, stack, low, high, name)
        image = Image.fromarray(pixels)
        draw = ImageDraw.Draw(image)
        font = _font(13)
        for stack, (anchor, at) in enumerate((("rm", LABELS[0]), ("lm", LABELS[1]))):
            mine = [segment for segment in segments if segment[0] == stack]
            middles = [self._height((low + high) / 2) for _, low, high, _ in mine]
            for y, (_, low, high, name) in zip(_apart(*middles), mine, strict=True):
                text = f"{name} {high - low:.2f}"
                draw.text((at, y), text, _PAINT[name][0], font, anchor=anchor)
        level = self._height(part.left)
        _dashes(draw, *STACKS[0], self._height(part.nll), INK)
        _dashes(draw, STACKS[0][0] - 8, STACKS[1][1] + 8, level, INK)
        if part.left > self.top:
            middle = (STACKS[0][0] + STACKS[1][1]) / 2
            text = f"^ {part.left:.1f} nats, beyond the axis"
            draw.text((middle, TOP - 4), text, INK, font, anchor="mb")
        return np.asarray(image)

    def _height(self, nats: float) -> int:
        share = min(max(nats / self.top, 0.0), 1.0)
        return round(BOTTOM - share * (BOTTOM - TOP))

    def _fill(
        self, pixels: np.ndarray, stack: int, low: float, high: float, name: str
    ) -> None:
        left, right = STACKS[stack]
        upper, lower = self._height(high), self._height(low)
        dark, light, hatch = _PAINT[name]
        block = pixels[upper:lower, left:right]
        y, x = np.mgrid[upper:lower, left:right]
        block[:] = np.where(hatch(x, y)[..., None], dark, light)
        if lower > upper:  # a frame, so that even a thin part is seen
            block[[0, -1]] = dark
            block[:, [0, -1]] = dark

    def _curve(
        self, draw: Any, density: torch.Tensor, colour: str, width: int, dash: int = 0
    ) -> None:
        left, right = CURVES
        z = self.z
        across = left + (z - z[0]) / (z[-1] - z[0]) * (right - left)
        peak = self._peak
        up = BOTTOM - density.clamp(max=1.08 * peak) / (1.1 * peak) * (BOTTOM - TOP)
        points = list(zip(across.tolist(), up.tolist(), strict=True))
        length = dash or len(points)
        for start in range(0, len(points), 2 * length):
            draw.line(points[start : start + length], colour, width)

    @property
    def _peak(self) -> float:
        return 1.6 * float(self.posterior.max())

    @cached_property
    def _background(self) -> Any:
        """Paint what no slider changes: axes, words, prior and posterior."""
        from PIL import Image, ImageDraw

        image = Image.new("RGB", (WIDTH, HEIGHT), "white")
        draw = ImageDraw.Draw(image)
        small = _font(13)
        left, right = CURVES
        draw.line([(left, BOTTOM), (right, BOTTOM)], INK)
        for tick in range(math.ceil(self.z[0]), math.floor(self.z[-1]) + 1):
            share = (tick - float(self.z[0])) / float(self.z[-1] - self.z[0])
            x = left + share * (right - left)
            draw.line([(x, BOTTOM), (x, BOTTOM + 4)], INK)
            draw.text((x, BOTTOM + 7), str(tick), INK, small, anchor="mt")
        draw.text(((left + right) / 2, BOTTOM + 22), "z", INK, small, anchor="mt")
        self._curve(draw, _density(self.z, 0.0, 1.0), COLOURS["data"], 2, dash=2)
        self._curve(draw, self.posterior, COLOURS["second"], 2, dash=6)
        for place, (text, name) in enumerate(
            (
                ("prior (dotted)", "data"),
                ("posterior (dashed)", "second"),
                ("q (solid)", "model"),
            )
        ):
            spot = (left + (0, 106, 240)[place], 12)
            draw.text(spot, text, COLOURS[name], small, anchor="lm")
        draw.line([(AXIS, TOP), (AXIS, BOTTOM)], INK)
        for tick in range(0, math.floor(self.top) + 1, max(1, round(self.top / 6))):
            y = self._height(tick)
            draw.line([(AXIS - 4, y), (AXIS, y)], INK)
            draw.text((AXIS - 7, y), str(tick), INK, small, anchor="rm")
        draw.text((AXIS - 8, 12), "nats", INK, small, anchor="lm")
        draw.line([(AXIS, BOTTOM), (STACKS[1][1] + 4, BOTTOM)], INK)
        return image

    # --------------------------------------------------------------- drawn, on a page

    def figure(self, qs: Sequence[tuple[str, float, float]]) -> Any:
        """Draw curves and stacks for several q's side by side.

        Parameters
        ----------
        qs
            For each a name, mu and logvar.

        Returns
        -------
        matplotlib.figure.Figure
            To be given to `course_utils.plots.show`.

        Raises
        ------
        ValueError
            If there is no q.
        """
        import matplotlib.pyplot as plt

        if not qs:
            raise ValueError("qs is empty; expected at least one (name, mu, logvar)")
        fig, axes = plt.subplots(
            2, len(qs), figsize=(8, 4), sharex="row", sharey="row", squeeze=False
        )
        for column, (name, mu, logvar) in enumerate(qs):
            curves, stacks = axes[:, column]
            curves.plot(
                self.z, _density(self.z, 0.0, 1.0), ":", color=COLOURS["data"],
                label="prior",
            )  # fmt: skip
            curves.plot(
                self.z, self.posterior, "--", color=COLOURS["second"],
                label="posterior",
            )  # fmt: skip
            curves.plot(
                self.z, self.density(mu, logvar), color=COLOURS["model"], label="q",
                zorder=1,  # below the others, so that they are seen where q covers them
            )  # fmt: skip
            curves.set(title=name, xlabel="z", ylim=(0, self._peak))
            draw_stacks(stacks, self.parts(mu, logvar))
        axes[1, 0].set_ylim(0, 1.06 * max(self.parts(*q[1:]).left for q in qs))
        axes[0, 0].set_ylabel("density")
        axes[1, 0].set_ylabel("nats")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=3)
        return fig


def draw_stacks(ax: Any, part: Parts) -> None:
    """Draw the two stacks of one q on a matplotlib axis, labelled."""
    segments = (
        (0, 0.0, part.distortion, "distortion", "reconstruction", "//"),
        (0, part.distortion, part.rate, "rate", "rate", "\\\\"),
        (1, 0.0, part.nll, "−log p(x)", "muted", ""),
        (1, part.nll, part.gap, "gap", "gap", "xx"),
    )
    for place, bottom, height, name, colour, hatch in segments:
        ax.bar(
            place, height, 0.9, bottom, facecolor="white", hatch=hatch,
            edgecolor=COLOURS[colour], linewidth=1.2,
        )  # fmt: skip
        if height > 0.05 * part.left:
            apart = "\n" if height > 0.3 * part.left else " "
            ax.text(
                place, bottom + height / 2, f"{name}{apart}{height:.2f}", ha="center",
                va="center", fontsize=7, linespacing=0.95,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
    ax.axhline(part.left, color="black", linestyle="--", linewidth=0.8)
    ax.set_xticks([])


def check_level(parts: Parts) -> Parts:
    """Return the parts if a stack can show them and both stacks end level.

    Raises
    ------
    ValueError
        If a part is negative, or the stacks differ by more than 1e-6 nat.

    Examples
    --------
    >>> check_level(Parts(2.0, 0.5, 2.25, 0.25)).left
    2.5
    """
    for name, value in parts._asdict().items():
        if not value >= -LEVEL:  # also refuses NaN
            raise ValueError(
                f"{name} is {value:.4g}; a stack cannot show a negative part"
            )
    if not abs(parts.left - parts.right) <= LEVEL:
        raise ValueError(
            f"the stacks end at {parts.left:.9g} and {parts.right:.9g} nats; expected "
            "the same height: distortion + rate = −log p(x) + gap"
        )
    return parts


def _density(z: torch.Tensor, mean: float, variance: float) -> torch.Tensor:
    return torch.exp(-0.5 * (z - mean) ** 2 / variance) / math.sqrt(
        2 * math.pi * variance
    )


def _rgb(colour: str) -> tuple[int, int, int]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))  # type: ignore[return-value]


def _light(colour: str) -> tuple[int, int, int]:
    return tuple(round(255 - 0.25 * (255 - part)) for part in _rgb(colour))  # type: ignore[return-value]


def _rising(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x + y) % 9 < 2


def _falling(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x - y) % 9 < 2


def _crossed(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _rising(x, y) | _falling(x, y)


def _plain(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.zeros(x.shape, dtype=bool)


_PAINT: dict[str, Any] = {
    name: (_rgb(COLOURS[colour]), _light(COLOURS[colour]), hatch)
    for name, colour, hatch in (
        ("distortion", "reconstruction", _rising),
        ("rate", "rate", _falling),
        ("-log p(x)", "data", _plain),
        ("gap", "gap", _crossed),
    )
}


def _apart(lower: int, upper: int, least: int = 15) -> tuple[float, float]:
    """Move the heights of two labels apart where they would overlap."""
    lack = max(0.0, least - (lower - upper)) / 2
    return min(lower + lack, BOTTOM - 7.0), upper - lack


def _dashes(draw: Any, left: int, right: int, y: int, colour: tuple[int, ...]) -> None:
    for x in range(left, right, 8):
        draw.line([(x, y), (min(x + 4, right), y)], colour, 1)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
