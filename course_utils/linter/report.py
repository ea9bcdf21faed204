"""What the linter says: findings, and the report that holds them."""

from __future__ import annotations

import html
from dataclasses import dataclass, field


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
        False where the values allow a harmless reading too; the report's equivalents
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
        1 if the KL is added to the reconstruction term, -1 if subtracted, 0 without one
        or where it cannot be told.
    beta
        The effective β at the sizes given; None where it could not be found.
    assumption
        Under which σ² (or Laplace scale) β is stated.
    equivalents
        Readings that no input can tell apart.
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
        none = "not found" if "no_kl" in self.names else "unknown"
        sign = {1: "added", -1: "subtracted", 0: none}[self.kl_sign]
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
            ("No input can tell apart", self.equivalents),
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
