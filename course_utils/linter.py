"""The loss linter: what a variational autoencoder's loss says, read off by probes.

`inspect_loss` calls a loss ``(x, x_hat, mu, logvar) -> number`` on inputs of its own
and looks at the numbers alone, never at the source. It works on any loss in torch, in
this course or in your own project. It reports which likelihood the reconstruction term
is, how each term is summed or averaged, how ``logvar`` is read, the sign of the KL, and
the *effective β*: rescale the loss until its reconstruction term is the negative
log-likelihood it stands for; the factor left on the KL is the β that you run.

How the two terms are taken apart: the reconstruction is what changes with ``x_hat``,
the KL is what changes with ``mu`` and ``logvar``. Constants drop out of all
differences, as they do out of training. Each shape is fitted by least squares; at the
end the fitted formula has to predict the loss at random points.
"""

from __future__ import annotations

import html
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, softplus

__all__ = ["Finding", "LossReport", "inspect_loss"]

LIKELIHOODS = ("Bernoulli", "Gaussian", "Laplace")
OUTPUTS = ("probabilities", "logits", "mean")
SPREADS = {"logvar": "log σ²", "logsigma": "log σ", "var": "σ²", "sigma": "σ"}
NEAR = 2e-3  # two weights are equal when they differ by less, relatively
SHAPE = 4e-3  # a shape fits when this much of its variation, or less, is left over
DRAWS = 64  # calls to average where the loss draws random numbers


# --- the report ---------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One thing to look at in a loss.

    Attributes
    ----------
    name
        A short name that stays the same, such as ``"kl_sign"``.
    sentence
        What it means, in plain words.
    certain
        False where the probes allow a harmless reading too; the report's equivalents
        list the readings.

    Examples
    --------
    >>> print(Finding("kl_sign", "The KL is subtracted."))
    kl_sign: The KL is subtracted.
    """

    name: str
    sentence: str
    certain: bool = True

    def __str__(self) -> str:
        """Return the name and the sentence."""
        return f"{self.name}{'' if self.certain else ' (?)'}: {self.sentence}"


@dataclass
class LossReport:
    """What `inspect_loss` read off a loss.

    Attributes
    ----------
    likelihood
        ``"Bernoulli"``, ``"Gaussian"``, ``"Laplace"``, another name where the shape is
        known, ``"none"`` without a reconstruction term, or ``"unknown"``.
    parametrisation
        What ``x_hat`` has to be: ``"probabilities"``, ``"logits"`` or ``"mean"``.
    data_reduction, latent_reduction, batch_reduction
        ``"sum"``, ``"mean"``, or a sentence; over the data dimensions, over the latent
        dimensions, over the examples (``"none"``: one value per example).
    logvar_reading
        What the loss takes its fourth argument for: ``"log σ²"``, ``"log σ"``, ...
    kl_sign
        1 if the KL is added to the reconstruction term, -1 if subtracted, 0 without.
    beta
        The effective β at the sizes probed; None where it could not be found.
    assumption
        Under which σ² (or Laplace scale) β is stated.
    equivalents
        Readings that no probe can tell apart.
    findings
        What to look at. Empty for a loss that is what it should be.
    notes
        Harmless remarks.

    Examples
    --------
    >>> report = LossReport(likelihood="Gaussian", beta=1.0)
    >>> report.ok, report.names
    (True, [])
    """

    likelihood: str = "unknown"
    parametrisation: str = "unknown"
    data_reduction: str = "unknown"
    latent_reduction: str = "unknown"
    batch_reduction: str = "unknown"
    logvar_reading: str = "unknown"
    kl_sign: int = 0
    beta: float | None = None
    assumption: str = ""
    equivalents: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is nothing to look at."""
        return not self.findings

    @property
    def names(self) -> list[str]:
        """The names of the findings."""
        return [finding.name for finding in self.findings]

    def _rows(self) -> list[tuple[str, str]]:
        beta = "unknown" if self.beta is None else f"{self.beta:.3g}"
        sign = {1: "added", -1: "subtracted", 0: "not found"}[self.kl_sign]
        return [
            ("likelihood", self.likelihood),
            ("x_hat is read as", self.parametrisation),
            ("over the data", self.data_reduction),
            ("over the latents", self.latent_reduction),
            ("over the batch", self.batch_reduction),
            ("logvar is read as", self.logvar_reading),
            ("the KL is", sign),
            ("effective β", f"{beta} {self.assumption}".strip()),
        ]

    def _lists(self) -> list[tuple[str, list[str]]]:
        return [
            ("No probe can tell apart", self.equivalents),
            ("To look at", [str(finding) for finding in self.findings]),
            ("Notes", self.notes),
        ]

    def __str__(self) -> str:
        """Return the report as text."""
        lines = [f"{name:<18} {value}" for name, value in self._rows()]
        for title, entries in self._lists():
            lines += [f"{title}:"] * bool(entries) + [f"  - {e}" for e in entries]
        return "\n".join(lines + ["Nothing to look at."] * self.ok)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row' style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
            for name, value in self._rows()
        )
        lists = "".join(
            f"<p>{title}:</p><ul>"
            + "".join(f"<li>{html.escape(entry)}</li>" for entry in entries)
            + "</ul>"
            for title, entries in self._lists()
            if entries
        )
        end = "<p>Nothing to look at.</p>" if self.ok else ""
        return f"<table>{rows}</table>{lists}{end}"


# --- calling the loss ---------------------------------------------------------------


class _Failed(Exception):
    """The loss gave no finite number; the message says what it did."""


@dataclass(frozen=True)
class _Size:
    """Sizes of one probe: examples, shape of one example, latent dimensions."""

    N: int
    shape: tuple[int, ...]
    K: int

    @property
    def D(self) -> int:
        return math.prod(self.shape)

    def data(self, value: float | Tensor, like: torch.dtype) -> Tensor:
        """Fill (N, *shape) with one number, or give a tensor that shape."""
        return (torch.zeros(self.N, *self.shape, dtype=like) + value).clone()

    def latent(self, value: float | Tensor, like: torch.dtype) -> Tensor:
        """Fill (N, K) with one number."""
        return (torch.zeros(self.N, self.K, dtype=like) + value).clone()


class _Caller:
    """Calls the loss on copies, with its random numbers held fixed."""

    def __init__(self, loss: Callable[..., Any], pack: Callable[[Tensor], Any] | None):
        self.loss, self.pack = loss, pack or (lambda x_hat: x_hat)
        self.dtype = torch.float64
        self.draws = 1
        self.changed: set[str] = set()  # arguments that the loss wrote into
        self.warned: list[str] = []
        self.single = False  # whether the loss answers in less than float64

    def output(
        self, x: Tensor, x_hat: Tensor, mu: Tensor, logvar: Tensor, seed: int = 0
    ) -> Tensor:
        """Call once, and return what the loss returns, as a tensor."""
        given = {"x": x, "x_hat": x_hat, "mu": mu, "logvar": logvar}
        copies = {name: value.clone() for name, value in given.items()}
        # As torch.random.fork_rng and torch.manual_seed, several times faster.
        state = torch.default_generator.get_state()
        torch.default_generator.manual_seed(seed)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                out = self.loss(
                    copies["x"],
                    self.pack(copies["x_hat"]),
                    copies["mu"],
                    copies["logvar"],
                )
        except Exception as error:  # whatever a learner's loss may raise
            text = str(error).strip().splitlines() or ["no message"]
            raise _Failed(f"it raised {type(error).__name__}: {text[0]}") from None
        finally:
            torch.default_generator.set_state(state)
        for warning in caught:
            said = (str(warning.message).strip().splitlines() or ["no message"])[0]
            if said not in self.warned:
                self.warned.append(said)
        for name, value in given.items():
            if not torch.equal(copies[name].detach(), value.detach()):
                self.changed.add(name)
        if isinstance(out, bool) or not isinstance(out, Tensor | float | int):
            wrap: dict[type, str] = {
                tuple: " (wrap it: lambda *a: loss(*a)[0])",
                dict: ' (wrap it: lambda *a: loss(*a)["loss"])',
            }
            raise _Failed(
                f"it returned a {type(out).__name__}; expected one number as a tensor"
                + wrap.get(type(out), "")
            )
        if not isinstance(out, Tensor) or not out.is_floating_point():
            out = torch.as_tensor(out, dtype=torch.float64)
        self.single |= out.dtype != torch.float64
        return out

    def __call__(self, x: Tensor, x_hat: Tensor, mu: Tensor, logvar: Tensor) -> float:
        """Return the loss as one number: its sum, and the mean over its draws."""
        total = 0.0
        for seed in range(self.draws):
            total += float(self.output(x, x_hat, mu, logvar, seed).detach().sum())
        if not math.isfinite(total):
            raise _Failed(f"it returned {total}")
        return total / self.draws


def _row(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _fit(values: Tensor, basis: Tensor) -> tuple[Tensor, float]:
    """Coefficients (B,) of values (M,) on columns (M, B); share of variation left."""
    scale = basis.abs().amax(0).clamp_min(1e-300)
    columns = basis / scale
    solution = torch.linalg.lstsq(columns, values[:, None], driver="gelsd").solution
    rest = values - (columns @ solution)[:, 0]
    left = rest.norm() / (values - values.mean()).norm().clamp_min(1e-300)
    return solution[:, 0] / scale, float(left)


# --- shapes of the reconstruction term ----------------------------------------------


@dataclass(frozen=True)
class _Shape:
    """A known reconstruction term for one pixel, as a function of x and x_hat."""

    likelihood: str
    parametrisation: str
    value: Callable[[Tensor, Tensor], Tensor]
    open: bool = True  # whether x_hat may lie outside (0, 1)
    finding: Finding | None = None


def _cross(target: Tensor, p: Tensor) -> Tensor:
    return -target * p.log() - (1 - target) * (1 - p).log()


def _continuous(x: Tensor, p: Tensor) -> Tensor:
    """Continuous Bernoulli: the cross-entropy less the log of its normaliser."""
    half = (p - 0.5).abs() < 1e-4
    away = torch.where(half, torch.full_like(p, 0.4), p)
    norm = 2 * torch.atanh(1 - 2 * away) / (1 - 2 * away)
    return _cross(x, p) - torch.where(half, torch.full_like(p, 2.0), norm).log()


SWAPPED = Finding(
    "swapped_arguments",
    "x and x_hat have changed places: the cross-entropy takes the reconstruction as "
    "the target. Give the reconstruction first, the data second.",
)
POOLED = "mean (σ² is set to the mean squared error)"
SHAPES = (
    _Shape("Gaussian", "mean", lambda a, b: 0.5 * (a - b) ** 2),
    _Shape("Laplace", "mean", lambda a, b: (a - b).abs()),
    _Shape("Bernoulli", "probabilities", _cross, open=False),
    _Shape("Bernoulli", "logits", lambda a, b: softplus(b) - a * b),
    _Shape("Gaussian", "logits", lambda a, b: 0.5 * (a - b.sigmoid()) ** 2),
    _Shape("Laplace", "logits", lambda a, b: (a - b.sigmoid()).abs()),
    _Shape("continuous Bernoulli", "probabilities", _continuous, open=False),
    _Shape("continuous Bernoulli", "logits", lambda a, b: _continuous(a, b.sigmoid())),
    _Shape(
        "Bernoulli", "logits",
        lambda a, b: softplus(b.sigmoid()) - a * b.sigmoid(),
        finding=Finding(
            "sigmoid_twice",
            "A sigmoid is applied twice: x_hat is squashed, and the cross-entropy from "
            "logits squashes it again. Remove one of the two.",
        ),
    ),
    _Shape("Bernoulli", "probabilities", lambda a, b: _cross(b, a), False, SWAPPED),
    _Shape("Bernoulli", "logits", lambda a, b: softplus(a) - a * b, True, SWAPPED),
    _Shape(
        "Bernoulli", "probabilities", lambda a, b: -a * b.log(), False,
        Finding(
            "cross_entropy_half_missing",
            "The cross-entropy lacks (1 − x)·log(1 − x_hat): dark pixels cost nothing, "
            "and x_hat = 1 everywhere is best.",
        ),
    ),
    _Shape("Gaussian", POOLED, lambda a, b: 0.5 * ((a - b) ** 2).log()),
    _Shape(
        "Huber", "mean", lambda a, b: huber_loss(b, a, reduction="none"),
        finding=Finding(
            "huber",
            "The reconstruction is a Huber (smooth L1) error: Gaussian near 0, Laplace "
            "far out. No β is stated for it.", certain=False,
        ),
    ),
)  # fmt: skip


@dataclass
class _Reconstruction:
    """The reconstruction term: its shape, and its weight for one pixel."""

    shape: _Shape | None
    weight: float


# --- shapes of the KL ---------------------------------------------------------------

# How the fourth argument t gives σ²: the KL's part is then ½(σ² − log σ²).
READINGS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "log σ²": (lambda t: t.exp(), False),
    "log σ": (lambda t: (2 * t).exp(), False),
    "log(1/σ²)": (lambda t: (-t).exp(), False),
    "softplus gives σ": (lambda t: softplus(t) ** 2, False),
    "softplus gives σ²": (softplus, False),
    "log σ², negative values cut off": (lambda t: t.relu().exp(), False),
    "σ²": (lambda t: t, True),
    "σ": (lambda t: t**2, True),
}
SQUARED, LINEAR, UNUSED = "log σ², squared", "log σ², without exp", "unused"
ROOT = "log σ², with σ where σ² is meant"
MU_SHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "square": lambda t: torch.stack([t, t**2], -1),
    "relu": lambda t: torch.stack([t.relu(), t.relu() ** 2], -1),
    "absolute": lambda t: t.abs()[..., None],
    "linear": lambda t: t[..., None],
}


@dataclass
class _Rate:
    """The KL: weights of mu², σ² and -log σ² for one latent (1 each if β = 1)."""

    mu_kind: str = "unused"
    mu_coefficients: Tensor | None = None
    mu: float = 0.0
    reading: str = UNUSED
    spread: float = 0.0
    log: float = 0.0

    def value(self, mu: Tensor, t: Tensor) -> Tensor:
        """Predict the summed KL term, up to a constant."""
        total = torch.zeros((), dtype=torch.float64)
        if self.mu_coefficients is not None:
            total = total + (MU_SHAPES[self.mu_kind](mu) @ self.mu_coefficients).sum()
        if self.reading != UNUSED:
            weights = _row([-self.log, self.spread])
            total = total + 0.5 * (_spread_basis(self.reading, t) @ weights).sum()
        return total

    @property
    def weight(self) -> float:
        """One weight for the whole term: the one of mu² where it has one."""
        return self.mu or self.spread or self.log


def _spread_basis(reading: str, t: Tensor) -> Tensor:
    """Columns log σ² and σ² (or what stands in their place) at t: (..., 2)."""
    if reading == SQUARED:
        return torch.stack([t, t**2], -1)
    if reading == ROOT:
        return torch.stack([t, (t / 2).exp()], -1)
    if reading == LINEAR:
        return torch.stack([t, torch.zeros_like(t)], -1)
    variance = READINGS[reading][0](t)
    return torch.stack([variance.log(), variance], -1)


# --- the probes ---------------------------------------------------------------------


class _Inspector:
    """Probes one loss at one size, and fits its two terms."""

    def __init__(self, call: _Caller, size: _Size):
        self.call, self.size = call, size
        self.generator = torch.Generator().manual_seed(20)
        self.grey = True  # whether the loss takes data strictly between 0 and 1
        self.wide = False  # whether the loss takes x_hat outside (0, 1)
        self.t0 = 0.0  # a value of logvar at which the loss is finite
        self.best = 0.5  # the x_hat at which to probe the KL, for x = 0.5
        self.changes = False  # whether the loss changes from call to call

    @property
    def noise(self) -> float:
        """How much wider the tolerances are than in float64 without random numbers."""
        return 25.0 if self.call.draws > 1 else 5.0 if self.call.single else 1.0

    def at(
        self, a: float, b: float, m: float, t: float, size: _Size | None = None
    ) -> float:
        """Call the loss with each argument filled with one number."""
        s, kind = size or self.size, self.call.dtype
        return self.call(
            s.data(a, kind), s.data(b, kind), s.latent(m, kind), s.latent(t, kind)
        )

    def works(self, a: float, b: float, m: float, t: float) -> bool:
        """Whether the loss gives a finite number there."""
        try:
            self.at(a, b, m, t)
        except _Failed:
            return False
        return True

    def start(self) -> None:
        """Find inputs that the loss takes; raise _Failed if there are none."""
        first = None
        for kind in (torch.float64, torch.float32):
            for a in (0.5, 1.0):
                for t in (0.0, 1.0):
                    self.call.dtype = kind
                    try:
                        self.at(a, 0.4, 0.5, t)
                    except _Failed as failed:
                        first = first or failed
                        continue
                    self.grey, self.t0 = a == 0.5, t
                    self._ranges()
                    return
        assert first is not None
        raise first

    def _ranges(self) -> None:
        if not self.grey and not self.works(0.0, 0.4, 0.5, self.t0):
            self.grey = True  # neither grey nor black: leave it to the fits to say so
        if not self.works(0.5, 0.5, 0.5, self.t0):
            self.best = 0.4  # the log of an error, perhaps
        self.wide = all(
            self.works(a, b, 0.5, self.t0) for a in self.greys for b in (-3, 3.0)
        )

    @property
    def greys(self) -> tuple[float, ...]:
        """Values of the data to probe."""
        return (0.2, 0.5, 0.8) if self.grey else (0.0, 1.0)

    def is_random(self) -> bool:
        """Whether two seeds give two values."""
        s, kind = self.size, self.call.dtype
        values = [
            self.call.output(
                s.data(self.greys[0], kind), s.data(0.4, kind), s.latent(0.5, kind),
                s.latent(self.t0, kind), seed,
            ).detach().sum().item()
            for seed in (0, 0, 1)
        ]  # fmt: skip
        self.changes = values[0] != values[1]
        return not self.changes and values[0] != values[2]

    # The reconstruction: x_hat moves, mu and logvar rest.

    def reconstruction(self) -> _Reconstruction:
        """Find the reconstruction's shape and weight."""
        inside = (0.1, 0.25, 0.4, 0.6, 0.75, 0.9)
        outside = (-3.0, -1.6, 1.7, 3.0) if self.wide else ()
        count = self.size.N * self.size.D
        table = {
            (a, b): self.at(a, b, 0.0, self.t0) / count
            for a in self.greys
            for b in (*inside, *outside)
        }
        values = list(table.values())
        if max(values) - min(values) <= 1e-12 * max(map(abs, values)):
            return _Reconstruction(None, 0.0)
        for grid in ((*inside, *outside), inside):  # some losses clip x_hat
            best = min(
                (
                    (
                        *self._compare(
                            shape, table, inside if not shape.open else grid
                        ),
                        i,
                    )
                    for i, shape in enumerate(SHAPES)
                ),
            )
            if best[0] <= SHAPE * min(self.noise, 5):
                return _Reconstruction(SHAPES[best[2]], best[1])
        return _Reconstruction(None, math.nan)

    def _compare(
        self,
        shape: _Shape,
        table: dict[tuple[float, float], float],
        grid: tuple[float, ...],
    ) -> tuple[float, float]:
        """Share of the variation with x_hat that a shape leaves over; its weight."""
        if shape.finding is SWAPPED and not self.grey:
            return math.inf, 0.0
        b = _row(grid)
        seen, told = [], []
        for a in self.greys:
            value = _row([table[a, v] for v in grid])
            form = shape.value(torch.full_like(b, a), b)
            seen.append(value - value.mean())
            told.append(form - form.mean())
        y, r = torch.cat(seen), torch.cat(told)
        weight = float(y @ r / (r @ r))
        return float((y - weight * r).norm() / y.norm()), weight

    # The KL: mu and logvar move, x and x_hat rest.

    def rest(self) -> tuple[float, float]:
        """Give x and x_hat where a squared or absolute error is smallest."""
        return (0.5, self.best) if self.grey else (1.0, 0.9)

    def rate(self) -> _Rate:
        """Find the KL's shape and weights."""
        rate, count = _Rate(), self.size.N * self.size.K
        a, b = self.rest()
        grid = _row([-3, -2, -1, -0.5, -0.2, 0, 0.2, 0.5, 1, 2, 3])
        values = _row([self.at(a, b, float(m), self.t0) for m in grid]) / count
        floor = 1e-11 if not self.call.single else 1e-6
        size = max(abs(self.at(a, b, 0.0, self.t0)) / count, 1e-300)
        if float(values.max() - values.min()) > floor * size:
            one = torch.ones(len(grid), 1, dtype=torch.float64)
            fits = {
                kind: _fit(values, torch.cat([form(grid), one], 1))
                for kind, form in MU_SHAPES.items()
            }
            kinds = [k for k, (_, left) in fits.items() if left <= SHAPE * self.noise]
            # A straight line is also a square without its square: prefer the simpler.
            rate.mu_kind = next(
                (k for k in ("linear", "absolute", "square", "relu") if k in kinds),
                "unknown",
            )
            if kinds:
                rate.mu_coefficients = fits[rate.mu_kind][0][:-1]
                rate.mu = 2 * float(rate.mu_coefficients[-1])
        self._spread(rate, floor)
        return rate

    def _spread(self, rate: _Rate, floor: float) -> None:
        a, b = self.rest()
        both = [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0]
        grid = _row(both if self.t0 == 0 else [0.3, 0.5, 0.8, 1, 1.5, 2, 3])
        count = self.size.N * self.size.K
        values = _row([self.at(a, b, 0.0, float(t)) for t in grid]) / count
        if float(values.max() - values.min()) <= floor * float(values.abs().max()):
            return
        names = [
            name for name, (_, positive) in READINGS.items()
            if not positive or self.t0 != 0
        ] + [SQUARED, ROOT]  # fmt: skip
        one = torch.ones(len(grid), 1, dtype=torch.float64)
        line, left = _fit(values, torch.cat([grid[:, None], one], 1))
        if left <= SHAPE * self.noise:
            rate.reading, rate.log = LINEAR, -2 * float(line[0])
            return
        fits = {}
        for name in names:
            basis = torch.cat([_spread_basis(name, grid), one], 1)
            fits[name] = _fit(values, basis)
        best = min(fits, key=lambda name: fits[name][1])
        solution, left = fits[best]
        if left > SHAPE * min(self.noise, 5):
            rate.reading = "unknown"
            return
        rate.reading = best
        rate.log, rate.spread = -2 * float(solution[0]), 2 * float(solution[1])

    # Sizes: what a weight is divided by.

    def powers(self, rate: _Rate) -> dict[str, tuple[int | None, int | None]]:
        """Powers of N, D, K that divide the weights of the two terms; None: unknown."""
        s = self.size
        wider = (*s.shape[:-1], 2 * s.shape[-1])
        sizes = {
            "N": _Size(2 * s.N, s.shape, s.K),
            "D": _Size(s.N, wider, s.K),
            "K": _Size(s.N, s.shape, 2 * s.K),
        }
        base = self._weights(s, rate)
        result: dict[str, tuple[int | None, int | None]] = {}
        for name, size in sizes.items():
            try:
                new = self._weights(size, rate)
            except _Failed:
                result[name] = (None, None)
                continue
            result[name] = (_power(base[0], new[0]), _power(base[1], new[1]))
        return result

    def _weights(self, s: _Size, rate: _Rate) -> tuple[float, float]:
        """Measure the changes of the two terms for each pixel and for each latent."""
        a = self.greys[-1]
        data = self.at(a, 0.7, 0, self.t0, s) - self.at(a, 0.3, 0, self.t0, s)
        c, b = self.rest()
        if rate.mu_kind != "unused":
            kl = self.at(c, b, 2.0, self.t0, s) - self.at(c, b, 0.0, self.t0, s)
        else:
            kl = self.at(c, b, 0, self.t0 + 1.5, s) - self.at(c, b, 0, self.t0, s)
        return data / (s.N * s.D), kl / (s.N * s.K)

    # Random points, gradients, and single examples.

    def point(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw x, x_hat, mu, logvar."""
        s, kind = self.size, self.call.dtype

        def uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
            draw = torch.rand(shape, generator=self.generator, dtype=torch.float64)
            return (low + (high - low) * draw).to(kind)

        x = uniform((s.N, *s.shape), 0.1, 0.9)
        x = x if self.grey else (x > 0.5).to(kind)
        x_hat = uniform((s.N, *s.shape), 0.1, 0.9)
        mu = uniform((s.N, s.K), -2, 2)
        low = -1.5 if self.t0 == 0 else 0.4
        return x, x_hat, mu, uniform((s.N, s.K), low, 1.8)

    def unexplained(self, rec: _Reconstruction, rate: _Rate) -> set[str]:
        """Which terms the fitted formula fails to predict at random points."""
        x, x_hat, mu, t = self.point()
        limit = 5 * SHAPE * self.noise
        wrong = set()
        near, base = self.point(), self.call(x, x_hat, mu, t)
        nearer = x + 0.3 * (near[1] - x)  # other sizes of error, not only other errors
        # Half of the examples, and within them of the dimensions, move.
        rows = torch.arange(self.size.N) % 2 == 0
        moves = {"all": torch.ones_like(rows), "half": rows}
        for which in moves.values():
            if rec.shape is not None and rec.shape.parametrisation != POOLED:
                other = x_hat.clone()
                other[which] = nearer[which]
                told = rec.weight * float(
                    rec.shape.value(x.double(), other.double()).sum()
                    - rec.shape.value(x.double(), x_hat.double()).sum()
                )
                size = abs(rec.weight) * float(
                    (rec.shape.value(x.double(), other.double())
                    - rec.shape.value(x.double(), x_hat.double())).abs().sum()
                )  # fmt: skip
                seen = self.call(x, other, mu, t) - base
                if abs(seen - told) > limit * size:
                    wrong.add("reconstruction")
            if rate.mu_kind == "unknown" or rate.reading == "unknown":
                continue
            m2, t2 = mu.clone(), t.clone()
            m2[which], t2[which] = near[2][which], near[3][which]
            told = float(rate.value(m2.double(), t2.double()))
            told -= float(rate.value(mu.double(), t.double()))
            zero = torch.zeros_like(mu.double())
            size = abs(
                float(rate.value(zero, t2.double()) - rate.value(zero, t.double()))
            )
            size += abs(told) + abs(rate.weight) * float((mu - m2).abs().sum())
            seen = self.call(x, x_hat, m2, t2) - base
            slack = (1e-12 if not self.call.single else 3e-6) * abs(base)
            if abs(seen - told) > limit * size + slack:
                wrong.add("rate")
        return wrong

    def is_root(self) -> bool:
        """Whether the reconstruction is the root of a summed square."""
        x, x_hat, mu, t = self.point()
        with_far = x + 3 * (x_hat - x)  # a root of squares grows threefold, as |.| does
        near = self.call(x, x + 1e-9 * (x_hat - x), mu, t)
        half = x_hat.clone()
        half.reshape(self.size.N, -1)[:, : self.size.D // 2] = x.reshape(
            self.size.N, -1
        )[:, : self.size.D // 2]
        rest = x + x_hat - half  # the other half
        try:
            whole, one, two, far = (
                self.call(x, value, mu, t) - near
                for value in (x_hat, half, rest, with_far)
            )
        except _Failed:
            return False
        return (
            abs(far - 3 * whole) < 0.01 * abs(far)
            and abs(one + two) > 1.2 * abs(whole)
        )  # fmt: skip

    def gradients(self) -> list[Finding]:
        """Compare the gradients that training would use with finite differences."""
        names = ("x_hat", "mu", "logvar")
        point = self.point()
        leaves = [value.clone().requires_grad_() for value in point[1:]]
        try:
            x_hat, mu, logvar = (
                leaf * 1 for leaf in leaves
            )  # so that in-place is allowed
            out = self.call.output(point[0], x_hat, mu, logvar).sum()
        except _Failed as failed:
            return [Finding("gradient_fails", f"With gradients on, {failed}.")]
        if not out.requires_grad:
            return [
                Finding(
                    "no_gradient",
                    "The loss has no gradient at all: it is detached, or turned into a "
                    "plain number with .item(), so nothing would be trained.",
                )
            ]
        try:
            slopes = torch.autograd.grad(out, leaves, allow_unused=True)
        except RuntimeError as error:
            text = str(error).splitlines()[0]
            reason = (
                "an in-place operation overwrote a value that the gradient needs"
                if "inplace" in text
                else text
            )
            return [Finding("gradient_fails", f"backward() fails: {reason}.")]
        return [
            found
            for i, name in enumerate(names)
            if (found := self._slope(name, i + 1, list(point), slopes[i])) is not None
        ]

    def _slope(
        self, name: str, i: int, point: list[Tensor], slope: Tensor | None
    ) -> Finding | None:
        step = 1e-5 if not self.call.single else 2e-2
        sign = torch.rand(point[i].shape, generator=self.generator) < 0.5
        way = torch.where(sign, 1.0, -1.0).to(point[i])
        if slope is not None and float(slope.abs().sum()) > 0:
            way = torch.where(slope >= 0, 1.0, -1.0).to(point[i])  # adds, not cancels
        ends = []
        draws, self.call.draws = self.call.draws, 1
        for side in (1, -1):
            moved = list(point)
            moved[i] = point[i] + side * step * way
            ends.append(self.call(*moved))
        self.call.draws = draws
        seen = (ends[0] - ends[1]) / (2 * step)
        told = 0.0 if slope is None else float((slope * way).sum())
        dust = (1e-15 if not self.call.single else 1e-6) * abs(ends[0]) / step
        if (
            abs(seen - told)
            <= 0.02 * self.noise * max(abs(seen), abs(told)) + 10 * dust
        ):
            return None
        if told == 0:
            return Finding(
                f"{name}_detached",
                f"The value depends on {name}, but no gradient reaches {name}: it is "
                "detached (or used under no_grad), so its encoder or decoder does not "
                "learn from it.",
            )
        return Finding(
            f"{name}_gradient",
            f"The gradient with respect to {name} is not the slope of the loss: part "
            "of it is detached.",
        )

    def leaks(self) -> bool:
        """Whether one example's value depends on another example."""
        x, x_hat, mu, t = self.point()
        other = mu.clone()
        other[0] += 1.0
        try:
            one = self.call.output(x, x_hat, mu, t).detach()
            two = self.call.output(x, x_hat, other, t).detach()
        except _Failed:
            return False
        change = (one - two).abs().reshape(self.size.N, -1).sum(1)
        return bool((change[1:] > 1e-9 * one.abs().max()).any())


def _power(small: float, large: float) -> int | None:
    """Power p of a size in weight ∝ size^(-p), from the size once and doubled."""
    if small == 0 or large == 0 or small / large <= 0:
        return None
    power = math.log2(small / large)
    return round(power) if abs(power - round(power)) < 0.05 else None


def _is(value: float, *targets: float) -> bool:
    return any(abs(value - t) <= NEAR * abs(t) for t in targets)


def _plain(value: float) -> str:
    """Write a number with three digits, and simple fractions as such."""
    for known, text in ((0.5, "½"), (0.25, "¼")):
        if abs(value - known) < 1e-4:
            return text
    return f"{value:.3g}"


# --- from weights to words ----------------------------------------------------------


@dataclass
class _Scales:
    """The weights without what they are divided by, and the σ² they are stated at."""

    rec: float
    kl: float
    powers: dict[str, tuple[int | None, int | None]]

    def power(self, name: str) -> tuple[int, int]:
        """Powers of one size in the two terms, 0 where unknown."""
        rec, kl = self.powers[name]
        return rec or 0, kl or 0


def _scales(
    rec: float, kl: float, powers: dict[str, tuple[int | None, int | None]], s: _Size
) -> _Scales:
    """Divide the sizes out of the weights; see a constant 1/D for what it is."""
    powers = dict(powers)
    for name, n in (("N", s.N), ("D", s.D), ("K", s.K)):
        for i in (0, 1):
            power = powers[name][i] or 0
            rec, kl = (rec * n**power, kl) if i == 0 else (rec, kl * n**power)
    p_rec, p_kl = powers["D"]
    if s.D >= 16 and p_rec in (0, None) and _is(abs(rec) * s.D, 0.5, 1, 2):
        rec, powers["D"] = rec * s.D, (1, p_kl)
    elif s.D >= 16 and p_rec == 1 and _is(abs(rec) / s.D, 0.5, 1, 2):
        rec, powers["D"] = rec / s.D, (0, p_kl)  # .view(-1, 784) made more rows
    p_rec, p_kl = powers["D"]
    if s.D >= 16 and p_kl in (0, None) and _is(abs(kl) * s.D, 0.5, 1, 2):
        kl, powers["D"] = kl * s.D, (p_rec, 1)
    return _Scales(rec, kl, powers)


def _reduction(power: int | None) -> str:
    if power is None:
        return "unknown (the loss takes one size only)"
    if power in (0, 1):
        return ("sum", "mean")[power]
    if power < 0:
        return "sum, then once more for each"
    return f"divided by the number {power} times"


def _both(rec: int | None, kl: int | None) -> str:
    one, two = _reduction(rec), _reduction(kl)
    return one if one == two else f"reconstruction: {one}; KL: {two}"


def _normaliser(s: _Size, inspector: _Inspector, rec: _Reconstruction) -> float | None:
    """σ² (or a Laplace scale) told by the normaliser, or None without one."""
    assert rec.shape is not None
    if rec.shape.likelihood not in ("Gaussian", "Laplace") or not inspector.grey:
        return None
    if rec.shape.parametrisation != "mean" or inspector.t0 != 0:
        return None
    value = inspector.at(0.5, 0.5, 0.0, 0.0) / (s.N * s.D)
    if abs(value) < 1e-9 * abs(rec.weight):
        return None
    for share in (1, 1 / s.N, 1 / (s.N * s.D)):
        scale = share / rec.weight
        if scale <= 0:
            continue
        if rec.shape.likelihood == "Gaussian":
            told = [0.5 * math.log(2 * math.pi * scale), 0.5 * math.log(scale)]
        else:
            told = [math.log(2 * scale)]
        if any(abs(value - share * t) < 1e-6 * abs(value) for t in told):
            return scale
    return None


def _kl_findings(rate: _Rate, spread: str) -> list[Finding]:
    """Find what is wrong with the KL's own shape."""
    found = []
    if rate.mu_kind == "unused" and rate.reading == UNUSED:
        return [
            Finding(
                "no_kl",
                "The loss depends neither on mu nor on logvar: it is an autoencoder's.",
            )
        ]
    if rate.mu_kind == "unused":
        found.append(
            Finding("mu_missing", "The KL does not depend on mu; ½·mu² is missing.")
        )
    if rate.mu_kind == "relu":
        found.append(
            Finding(
                "mu_relu",
                "Negative values of mu are cut off (a ReLU on mu): half of the latent "
                "space costs nothing. mu has to take both signs.",
            )
        )
    if rate.mu_kind in ("linear", "absolute"):
        found.append(
            Finding("mu_not_squared", "The KL is linear in mu, where mu² is meant.")
        )
    if rate.mu_kind == "unknown" or rate.reading == "unknown":
        which = "mu" if rate.mu_kind == "unknown" else "logvar"
        found.append(
            Finding(
                "kl_shape",
                f"As a function of {which} the term has no Gaussian KL's shape (free "
                "bits, a capacity, a clamp or another divergence?); no β is stated.",
                certain=False,
            )
        )
        return found
    found += _reading_findings(rate, spread)
    if rate.mu_kind == "square" and rate.mu_coefficients is not None and rate.mu:
        mean = -float(rate.mu_coefficients[0]) / rate.mu
        if abs(mean) > 0.1:
            found.append(
                Finding(
                    "prior_mean",
                    f"The KL is smallest at mu = {mean:.3g}: the prior's mean is not "
                    "0.",
                    certain=False,
                )
            )
    return found


def _reading_findings(rate: _Rate, spread: str) -> list[Finding]:
    if rate.reading == UNUSED:
        return [
            Finding(
                "logvar_missing",
                "The KL does not depend on logvar: it holds mu² alone, so nothing "
                "keeps the noise from vanishing.",
            )
        ]
    if rate.reading == SQUARED:
        return [
            Finding(
                "logvar_squared",
                "logvar is squared where exp(logvar) is meant.",
            )
        ]
    if rate.reading == ROOT:
        return [
            Finding(
                "std_for_variance",
                "The KL holds σ = exp(logvar / 2) where σ² = exp(logvar) is meant.",
            )
        ]
    if rate.reading == LINEAR:
        return [
            Finding(
                "exp_missing",
                "The KL is linear in logvar: exp(logvar) is missing, so it falls "
                "without end as the noise grows.",
            )
        ]
    if rate.reading == "log σ², negative values cut off":
        return [
            Finding(
                "logvar_relu",
                "Negative values of logvar are cut off (a ReLU on logvar): σ cannot be "
                "smaller than 1.",
            )
        ]
    if rate.reading == "log(1/σ²)":
        return [
            Finding(
                "kl_reversed",
                "The KL stands the wrong way round, KL(prior ‖ q) (or logvar is read "
                "as the log of 1/σ²). The ELBO has KL(q ‖ prior).",
            )
        ]
    return _unequal(rate, spread)


def _unequal(rate: _Rate, spread: str) -> list[Finding]:
    found = []
    parts = [part for part in (rate.mu, rate.spread, rate.log) if part]
    signs = {part > 0 for part in parts}
    size = max(map(abs, parts))
    odd = max(parts) - min(parts) > 0.02 * size
    if min(abs(rate.log), abs(rate.spread)) < 1e-3 * size:
        which = "−log σ²" if abs(rate.log) < abs(rate.spread) else "σ²"
        return [
            Finding(
                "kl_term_missing",
                f"The KL lacks its term in {which}: "
                + (
                    "it is smallest without any noise, so nothing stops σ → 0."
                    if which == "−log σ²"
                    else "it falls without end as the noise grows."
                ),
            )
        ]
    if rate.mu_kind == "square" and len(signs) > 1:
        found.append(
            Finding(
                "kl_term_sign",
                f"One of the KL's terms has the wrong sign: the weights of mu², σ² and "
                f"−log σ² are {rate.mu:.3g}, {rate.spread:.3g}, {rate.log:.3g}, and "
                "should be equal.",
            )
        )
    elif rate.mu_kind == "square" and odd:
        prior = rate.log / rate.mu
        same = abs(rate.mu - rate.spread) < 0.02 * size
        if same and rate.reading == SPREADS[spread]:
            other = f"a prior of variance {prior:.3g}, or "
        else:
            other = ""
        found.append(
            Finding(
                "kl_terms_unequal",
                f"The KL's terms have unequal weights: mu² {rate.mu:.3g}, σ² "
                f"{rate.spread:.3g}, −log σ² {rate.log:.3g}. That is {other}logvar "
                "read as log σ² in one place and as log σ in another.",
                certain=not other,
            )
        )
    if rate.reading != SPREADS[spread]:
        name = {"log σ": "reads_log_sigma", "log σ²": "reads_log_variance"}
        found.append(
            Finding(
                name.get(rate.reading, "reads_other"),
                f"The fourth argument is read as “{rate.reading}”, not as "
                f"{SPREADS[spread]}. If that is what your encoder gives, say so with "
                "spread=...; the sampling has to agree with it.",
            )
        )
    return found


def _scale_findings(
    k: _Scales, beta: float, want: float, likelihood: str, known: bool, s: _Size
) -> list[Finding]:
    """Say why the effective β is not the one that is meant."""
    found = []
    share = f"It makes the effective β {beta:.3g}"
    (n_rec, n_kl), (d_rec, d_kl) = k.power("N"), k.power("D")
    if n_kl < n_rec:
        found.append(
            Finding(
                "kl_sum_over_batch",
                "The KL is summed over the batch where the reconstruction is averaged "
                "(or a KL summed to one number is added to every example's loss). "
                f"{share} at a batch of {s.N}, and more with a larger one.",
            )
        )
    elif n_kl > n_rec:
        found.append(
            Finding(
                "kl_mean_over_batch",
                "The KL is averaged over the batch where the reconstruction is summed. "
                f"{share} at a batch of {s.N}, and less with a larger one.",
            )
        )
    if k.power("K")[1] > k.power("K")[0]:
        found.append(
            Finding(
                "kl_mean_over_latents",
                "The KL is averaged over the latent dimensions, not summed: β carries "
                f"a factor 1/K = {1 / s.K:.3g}.",
            )
        )
    rest = abs(k.kl / k.rec) / want
    axes = _axes(k, s)
    if axes:
        found.append(
            Finding(
                "mean_over_some_axes",
                f"The reconstruction is summed over {axes} of the {s.D} data "
                f"dimensions and averaged over the rest (one axis too few in the "
                f"sum?). {share}.",
            )
        )
        rest *= abs(k.rec)
    elif d_rec > d_kl:
        found.append(
            Finding(
                "mean_over_pixels",
                "The reconstruction is averaged over the data dimensions, not summed: "
                f"β carries a factor D = {s.D}. {share}.",
            )
        )
    elif d_rec < d_kl:
        found.append(
            Finding(
                "kl_over_pixels",
                f"The KL is divided by the data's size {s.D}, the reconstruction is "
                f"not. {share}.",
            )
        )
    if not _is(rest, 1):
        found.append(_rest_finding(k, rest, beta, likelihood, known))
    return found


def _axes(k: _Scales, s: _Size) -> int:
    """Count the data dimensions summed over, where some axes are averaged; else 0."""
    sizes = {1}
    for n in s.shape:
        sizes |= {n * size for size in sizes}
    averaged = k.power("D")[0] > k.power("D")[1]  # the last axis, by the probes
    for size in sorted(sizes - {1, s.D}):
        if _is(abs(k.rec), size if averaged else size / s.D):
            return size
    return 0


def _rest_finding(
    k: _Scales, rest: float, beta: float, likelihood: str, known: bool
) -> Finding:
    scaled = likelihood in ("Gaussian", "Laplace")
    if _is(rest, 2) and not _is(abs(k.rec), 0.5):
        return Finding(
            "kl_half_dropped",
            "The KL counts twice: its ½ was dropped, or β = 2 is meant.",
            certain=known or not scaled,
        )
    if _is(rest, 0.5) and likelihood == "Gaussian":
        return Finding(
            "squared_error_without_half",
            "The squared error lacks its ½, or β = ½ is meant"
            + ("." if known else ", or σ² = ½."),
            certain=known,
        )
    if _is(rest * math.log(2), 1) or _is(rest / math.log(2), 1):
        return Finding(
            "bits_and_nats",
            "The two terms differ by a factor log 2: one is in bits, the other in "
            "nats.",
        )
    if _is(abs(k.kl), 1) and not _is(abs(k.rec), 1) and (known or not scaled):
        return Finding(
            "factor_on_reconstruction",
            f"A factor {abs(k.rec):.4g} multiplies the reconstruction, not the KL: it "
            "acts as 1/β, and raising it weakens the regularisation.",
        )
    if scaled and not known:
        return Finding(
            "scale_undeclared",
            "The two terms' factors leave β or the decoder's noise other than 1; which "
            "of the two, no probe can tell. Declare the noise with "
            + ("sigma2=..." if likelihood == "Gaussian" else "scale=...")
            + ", or the β that you mean with beta=... .",
            certain=False,
        )
    return Finding(
        "beta",
        f"A factor {k.kl / k.rec:.4g} stands on the KL and makes the effective β "
        f"{beta:.3g}; if you mean it, say so with beta=... .",
        certain=False,
    )


def _equivalents(
    likelihood: str, ratio: float, rest: float, noise: float | None
) -> list[str]:
    """List the readings that give the same loss."""
    said = []
    symbol = {"Gaussian": "σ²", "Laplace": "scale"}.get(likelihood)
    if symbol and noise is None and not _is(ratio, 1) and ratio > 0:
        said.append(
            f"β = {ratio:.3g} at {symbol} = 1, or β = 1 at {symbol} = {_plain(ratio)}"
        )
    beta = abs(ratio if noise is None else ratio / noise)
    if _is(rest, 2):
        said.append(f"β = {beta:.3g}, or the KL's ½ was dropped")
    if _is(rest, 0.5) and likelihood == "Gaussian":
        said.append(f"β = {beta:.3g}, or the squared error's ½ was dropped")
    return said


# --- the linter ---------------------------------------------------------------------


def inspect_loss(
    loss: Callable[..., Any],
    *,
    data_shape: int | tuple[int, ...] = 784,
    latents: int = 20,
    batch: int = 6,
    beta: float = 1.0,
    sigma2: float | None = None,
    scale: float | None = None,
    likelihood: str | None = None,
    output: str | None = None,
    spread: str = "logvar",
    pack: Callable[[Tensor], Any] | None = None,
) -> LossReport:
    """Report, from probes alone, what a variational autoencoder's loss is.

    Works on your own project's loss: give it as it is, or wrapped so that it takes
    ``(x, x_hat, mu, logvar)`` and returns one number. Give the sizes that you train
    with, because the effective β depends on them as soon as something is averaged.

    Parameters
    ----------
    loss
        Called as ``loss(x, x_hat, mu, logvar)`` with x and x_hat of shape
        (batch, *data_shape), and mu, logvar of shape (batch, latents). Returns the loss
        in nats: one number, or one per example (then a note says so).
    data_shape, latents, batch
        Sizes to probe at. D is the product of the data shape.
    beta
        The β that you mean to run. Another effective β is a finding.
    sigma2
        σ² of a Gaussian decoder, if it is known (fixed, or the value that a learned one
        has now). Without it, and without a normaliser in the loss, only β·σ² can be
        told.
    scale
        The same for a Laplace decoder: b in exp(-|x - x_hat| / b) / 2b.
    likelihood
        ``"Bernoulli"``, ``"Gaussian"`` or ``"Laplace"``, if you mean one of them:
        another one found is then a finding.
    output
        What your decoder returns, ``"probabilities"``, ``"logits"`` or ``"mean"``; a
        loss that takes x_hat for something else is then a finding.
    spread
        What the fourth argument is: ``"logvar"`` (log σ²), ``"logsigma"``, ``"var"`` or
        ``"sigma"``.
    pack
        Turns x_hat into what the loss takes in its place, for a decoder that returns
        more than one tensor: ``lambda x_hat: (x_hat, torch.zeros_like(x_hat))``.

    Returns
    -------
    LossReport
        Prints as text, shows as a table in a notebook. A loss that raises or returns
        NaN gives a report with that finding.

    Raises
    ------
    ValueError
        If a setting is not what it should be, or the loss cannot be called.

    Notes
    -----
    With the weight c that one pixel's unit-scale negative log-likelihood has in the
    loss, and the weight w of one latent's KL, β = w / c for a Bernoulli decoder. For a
    Gaussian one, c = s/σ² and w = sβ with some overall factor s, so w / c = β·σ²: a
    constant normaliser aside, nothing in the loss tells the two apart.

    The probes use generated inputs of moderate size. They do not see what the loss does
    elsewhere, how z is sampled, or your data: the cross-entropy of grey pixels, for
    example, has a likelihood's formula and is none.

    Examples
    --------
    A published loss: cross-entropy averaged over the pixels, a small weight on the KL.

    >>> from torch.nn.functional import binary_cross_entropy
    >>> def loss(x, x_hat, mu, logvar):
    ...     kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
    ...     return binary_cross_entropy(x_hat, x) + 5e-4 * kl
    >>> report = inspect_loss(loss, data_shape=784, latents=20)
    >>> report.likelihood, report.data_reduction, round(report.beta, 3)
    ('Bernoulli', 'mean', 0.392)
    >>> report.names
    ['mean_over_pixels', 'beta']
    >>> print(report.findings[0].sentence)
    The reconstruction is averaged over the data dimensions, not summed: β carries a
    factor D = 784. It makes the effective β 0.392.

    A squared error does not say which σ² it stands for.

    >>> def loss(x, x_hat, mu, logvar):
    ...     kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
    ...     return (((x - x_hat) ** 2).sum(1) + kl).mean()
    >>> inspect_loss(loss).equivalents[0]
    'β = 0.5 at σ² = 1, or β = 1 at σ² = ½'
    >>> inspect_loss(loss, sigma2=0.5).ok
    True

    A loss of your own takes its arguments in another order and returns its terms too:
    wrap it. Here its β of 4 is meant.

    >>> def mine(out, target, beta):
    ...     x_hat, mu, log_sigma = out
    ...     rec = binary_cross_entropy(x_hat, target, reduction="none").sum(1).mean()
    ...     kl = (0.5 * (mu**2 + (2 * log_sigma).exp() - 1) - log_sigma).sum(1).mean()
    ...     return rec + beta * kl, rec, kl
    >>> wrapped = lambda x, x_hat, mu, s: mine((x_hat, mu, s), x, beta=4)[0]
    >>> inspect_loss(wrapped, latents=8, beta=4).names
    ['reads_log_sigma']
    >>> inspect_loss(wrapped, latents=8, beta=4, spread="logsigma").ok
    True
    """
    size = _check_settings(
        loss,
        data_shape,
        latents,
        batch,
        beta,
        sigma2,
        scale,
        likelihood,
        output,
        spread,
    )
    call = _Caller(loss, pack)
    report = LossReport()
    try:
        _inspect(
            call, size, report, beta, {"Gaussian": sigma2, "Laplace": scale},
            likelihood, output, spread,
        )  # fmt: skip
    except _Failed as failed:
        name = "not_finite" if "it returned" in str(failed) else "raises"
        if "expected one number" in str(failed):
            name = "not_a_number"
        report.findings.append(
            Finding(
                name,
                f"The loss could not be probed: {failed}. It was given x and x_hat of "
                f"shape {(size.N, *size.shape)} with values in [0, 1], mu and logvar "
                f"of shape {(size.N, size.K)}.",
            )
        )
    if call.changed:
        report.findings.append(
            Finding(
                "changes_inputs",
                f"The loss writes into its arguments "
                f"({', '.join(sorted(call.changed))}) in place: what is computed from "
                "them afterwards is wrong.",
            )
        )
    report.notes += [f"torch warns: {text}" for text in call.warned]
    return report


def _check_settings(
    loss: Any, data_shape: Any, latents: Any, batch: Any, beta: Any, sigma2: Any,
    scale: Any, likelihood: Any, output: Any, spread: Any,
) -> _Size:  # fmt: skip
    if not callable(loss):
        raise ValueError(f"loss is a {type(loss).__name__}; expected a callable")
    shape = (data_shape,) if isinstance(data_shape, int) else data_shape
    if not isinstance(shape, tuple) or not shape:
        raise ValueError(
            f"data_shape is {data_shape!r}; expected sizes such as (28, 28)"
        )
    counts = [("batch", batch, 2), ("latents", latents, 1)]
    for name, count, least in counts + [("data_shape", n, 1) for n in shape]:
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise ValueError(
                f"{name} is {count!r}; expected whole numbers from {least}"
            )
    for name, value in (("beta", beta), ("sigma2", sigma2), ("scale", scale)):
        if value is None and name != "beta":
            continue
        if not isinstance(value, float | int) or not 0 < value < math.inf:
            raise ValueError(f"{name} is {value!r}; expected a positive number")
    for name, choice, choices in (
        ("likelihood", likelihood, (None, *LIKELIHOODS)),
        ("output", output, (None, *OUTPUTS)),
        ("spread", spread, tuple(SPREADS)),
    ):
        if choice not in choices:
            raise ValueError(f"{name} is {choice!r}; expected one of {choices}")
    return _Size(batch, tuple(shape), latents)


def _inspect(
    call: _Caller, s: _Size, report: LossReport, want: float,
    declared: dict[str, float | None], likelihood: str | None, output: str | None,
    spread: str,
) -> None:  # fmt: skip
    """Fill in the report; raise _Failed when the loss gives no number."""
    probe = _Inspector(call, s)
    probe.start()
    if probe.is_random():
        call.draws = DRAWS
        report.notes.append(
            f"The loss draws random numbers; each value is the mean of {DRAWS} calls, "
            "and the weights are good to a few percent."
        )
    if probe.changes:
        report.findings.append(
            Finding(
                "changes_between_calls",
                "Called twice with the same inputs and the same seed, the loss gives "
                "two values: it counts its calls (a schedule of β?) or draws random "
                "numbers elsewhere. Hold that still and inspect again.",
            )
        )
        return
    per_example = _shape_findings(probe, report)
    rec, rate = probe.reconstruction(), probe.rate()
    report.logvar_reading = rate.reading
    powers = probe.powers(rate)
    if call.dtype == torch.float32:
        report.notes.append("The loss takes float32 only; probed with fewer digits.")
    _name_likelihood(probe, rec, report, likelihood, output)
    report.findings += _kl_findings(rate, spread)
    _name_reductions(report, powers, rec, rate, per_example)
    wrong = probe.unexplained(rec, rate)
    if "reconstruction" in wrong and rec.shape is not None:
        rec = _unlike(probe, report, rec)
    if "rate" in wrong and report.names == ["no_kl"]:
        report.findings.clear()
    if "rate" in wrong and not report.findings:
        report.findings.append(
            Finding(
                "kl_unexplained",
                "At random points the KL is not the sum over latents and examples that "
                "equal inputs suggest: some do not count, or they are mixed.",
            )
        )
        rate.mu = rate.spread = rate.log = math.nan
    report.findings += probe.gradients()
    kl = rate.weight
    if rec.shape is None or not math.isfinite(rec.weight * kl) or kl == 0:
        return
    if rate.reading == "unknown" or rate.mu_kind == "unknown":
        return
    _name_beta(probe, report, rec, rate, powers, want, declared)


def _shape_findings(probe: _Inspector, report: LossReport) -> bool:
    """Look at the shape of what the loss returns; tell if it is one per example."""
    out = probe.call.output(*probe.point())
    shape, n = tuple(out.shape), probe.size.N
    if shape in ((), (1,), (1, 1)):
        return False
    if shape in ((n,), (n, 1)):
        report.notes.append(
            f"The loss returns one value per example, shape {shape}; take the mean "
            "over the batch before backward(). The probes used its sum."
        )
        if probe.leaks():
            report.findings.append(
                Finding(
                    "kl_broadcast",
                    "One example's loss depends on another example's mu: a KL already "
                    "summed or averaged over the batch is added to every example.",
                )
            )
        return True
    report.findings.append(
        Finding(
            "not_reduced",
            f"The loss returns shape {shape}; expected one number (or one per example, "
            f"shape ({n},)). A sum or mean is missing, or two shapes were broadcast "
            "against each other, so that every pair is counted.",
        )
    )
    return False


def _name_likelihood(
    probe: _Inspector, rec: _Reconstruction, report: LossReport,
    likelihood: str | None, output: str | None,
) -> None:  # fmt: skip
    if rec.shape is None:
        report.likelihood = "unknown" if math.isnan(rec.weight) else "none"
        report.findings.append(
            Finding(
                "reconstruction_shape",
                "The reconstruction term has the shape of none of the likelihoods "
                "known here; no β is stated.",
                certain=False,
            )
            if math.isnan(rec.weight)
            else Finding("no_reconstruction", "The loss does not depend on x_hat.")
        )
        return
    shape = rec.shape
    report.likelihood, report.parametrisation = shape.likelihood, shape.parametrisation
    if shape.finding is not None:
        report.findings.append(shape.finding)
    if likelihood is not None and likelihood != shape.likelihood:
        report.findings.append(
            Finding(
                "likelihood_differs",
                f"The reconstruction term is {shape.likelihood}, not {likelihood}.",
            )
        )
    squashed = dict.fromkeys(("probabilities", "mean", POOLED), "probabilities")
    reads = squashed.get(shape.parametrisation, "logits")
    if output is not None and squashed.get(output, "logits") != reads:
        report.findings.append(
            Finding(
                "logits_for_probabilities"
                if reads == "logits"
                else "probabilities_for_logits",
                f"The loss takes x_hat for {shape.parametrisation}, but the decoder "
                f"gives {output}.",
            )
        )
    if shape.likelihood == "Bernoulli" and probe.grey:
        report.notes.append(
            "The cross-entropy is a log-likelihood for x in {0, 1} only; the loss "
            "takes grey values too."
        )


def _name_reductions(
    report: LossReport, powers: dict[str, tuple[int | None, int | None]],
    rec: _Reconstruction, rate: _Rate, per_example: bool,
) -> None:  # fmt: skip
    report.data_reduction = _reduction(powers["D"][0])
    report.latent_reduction = _reduction(powers["K"][1])
    if rec.shape is None and rec.weight == 0:
        report.data_reduction = "no reconstruction"
        report.batch_reduction = _reduction(powers["N"][1])
    elif rate.weight == 0:
        report.latent_reduction = "no KL"
        report.batch_reduction = _reduction(powers["N"][0])
    else:
        report.batch_reduction = _both(*powers["N"])
    if per_example and powers["N"] == (0, 0):
        report.batch_reduction = "none"


def _unlike(
    probe: _Inspector, report: LossReport, rec: _Reconstruction
) -> _Reconstruction:
    """Report a reconstruction that is no sum over pixels."""
    report.likelihood, report.parametrisation = "unknown", "unknown"
    report.findings.append(
        Finding(
            "square_root",
            "The reconstruction is the square root of a sum of squares, not the sum: "
            "no log-likelihood of independent pixels. No β is stated.",
        )
        if probe.is_root()
        else Finding(
            "reconstruction_unexplained",
            "At random images the reconstruction is not the sum over pixels and "
            "examples that equal images suggest: some do not count, or they are mixed.",
        )
    )
    return _Reconstruction(None, math.nan)


def _name_beta(
    probe: _Inspector, report: LossReport, rec: _Reconstruction, rate: _Rate,
    powers: dict[str, tuple[int | None, int | None]], want: float,
    declared: dict[str, float | None],
) -> None:  # fmt: skip
    assert rec.shape is not None
    s, kind, kl = probe.size, rec.shape.likelihood, rate.weight
    if kind not in LIKELIHOODS and kind != "continuous Bernoulli":
        return
    report.kl_sign = 1 if kl * rec.weight > 0 else -1
    if rec.weight < 0:
        report.findings.append(
            Finding(
                "reconstruction_sign",
                "The reconstruction term falls as x_hat gets worse: the loss is an "
                "ELBO to maximise. Minimise its negative."
                if kl < 0
                else "The log-likelihood is added where it has to be subtracted: the "
                "loss falls as x_hat gets worse.",
            )
        )
    elif kl < 0 and not {"kl_term_sign"} & set(report.names):
        report.findings.append(
            Finding(
                "kl_sign",
                "The KL's sign is flipped: the loss falls as q moves away from the "
                "prior.",
            )
        )
    symbol = {"Gaussian": "σ²", "Laplace": "scale"}.get(kind, "")
    noise, told = declared.get(kind), False
    if rec.shape.parametrisation == POOLED:
        symbol, noise = "", None
        report.assumption = "at σ² = the mean squared error"
    if symbol and noise is None:
        noise = _normaliser(s, probe, rec)
        told = noise is not None
    elif symbol and noise is not None:
        other = _normaliser(s, probe, rec)
        if other is not None and not _is(other / noise, 1):
            report.findings.append(
                Finding(
                    "sigma2_differs",
                    f"The loss's normaliser says {symbol} = {other:.3g}, but "
                    f"{noise:.3g} was declared.",
                )
            )
    ratio = kl / rec.weight
    report.beta = ratio / (noise or 1.0)
    if symbol:
        how = "as declared" if not told else "as the normaliser in the loss says"
        report.assumption = (
            f"at {symbol} = 1, assumed: only β·{symbol} = {ratio:.3g} can be told"
            if noise is None
            else f"at {symbol} = {noise:.3g}, {how}"
        )
    k = _scales(rec.weight * (noise or 1.0), kl, powers, s)
    if k.powers["D"] != powers["D"]:
        report.data_reduction = _reduction(k.powers["D"][0])
    rest = abs(k.kl / k.rec) / want
    slack = 0.05 if probe.call.draws > 1 else NEAR
    if "sigma2_differs" in report.names:
        return
    if abs(abs(report.beta) / want - 1) > slack:
        report.findings += _scale_findings(
            k, report.beta, want, kind, noise is not None or not symbol, s
        )
        report.equivalents = _equivalents(kind, ratio, rest, noise)
    elif _is(abs(k.rec), abs(k.kl) / want) and not _is(abs(k.rec), 1):
        report.notes.append(
            f"Both terms carry a factor {_plain(abs(k.rec))}: it does not change β."
        )
