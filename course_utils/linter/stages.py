"""From a loss to its report, stage by stage."""

from __future__ import annotations

import math

import torch

from course_utils.linter.confirming import Verdict, add_up, confirm
from course_utils.linter.curves import rate_of, reconstruction
from course_utils.linter.effective_beta import name_beta
from course_utils.linter.inspector import DRAWS, Inspector
from course_utils.linter.kl import POSITIVE, UNUSED, Rate
from course_utils.linter.kl_findings import SWAPPED_CODE
from course_utils.linter.likelihoods import NO_BETA, Reconstruction
from course_utils.linter.naming import (
    name_reductions,
    name_terms,
    shape_findings,
    too_light,
)
from course_utils.linter.ordering import code_swapped
from course_utils.linter.random_inputs import gradients
from course_utils.linter.report import Finding, LossReport
from course_utils.linter.sizes import powers_of


def look(
    inspector: Inspector, report: LossReport, want: float,
    declared: dict[str, float | None], wishes: tuple[str | None, str | None],
    spread: str,
) -> None:  # fmt: skip
    """Fill in the report; raise Failed when the loss gives no number."""
    inspector.start(spread in POSITIVE)
    if inspector.changes:
        report.findings.append(
            Finding(
                "changes_between_calls",
                "Called twice with the same inputs and the same seed, the loss gives "
                "two values: it counts its calls (a schedule of β?) or draws random "
                "numbers elsewhere. Hold that still and inspect again.",
            )
        )
        return
    per_example = shape_findings(inspector, report)
    verdict = add_up(inspector)
    rec = reconstruction(inspector)
    # Curves of a rate that mixes examples say little, and cost many draws.
    curves = verdict.sums and (verdict.rate or inspector.rate_draws == 1)
    rate = rate_of(inspector) if curves else Rate("unknown", reading="unknown")
    if verdict.sums:
        confirm(inspector, rec, rate, verdict)
    name_terms(inspector, report, rec, rate, verdict, wishes, spread)
    too_light(inspector, report)
    if "kl_shape" in report.names and code_swapped(inspector, spread):
        report.findings[report.names.index("kl_shape")] = SWAPPED_CODE
    if inspector.is_random:
        report.notes.append(_drawn(inspector, rate))
    if inspector.call.dtype == torch.float32:
        report.notes.append("The loss takes float32 only; inspected to fewer digits.")
    report.findings += gradients(inspector)
    if not verdict.sums:
        return
    powers = powers_of(inspector, rate)
    name_reductions(report, powers, rec, rate, verdict, per_example)
    if _whole(rec, rate, verdict) and _has_a_beta(report):
        name_beta(inspector, report, rec, rate, powers, want, declared)


def _whole(rec: Reconstruction, rate: Rate, verdict: Verdict) -> bool:
    """Whether both terms are there, and are what the random points say they are."""
    return (
        verdict.reconstruction
        and verdict.rate
        and rec.shape is not None
        and rate.known
        and rate.mu_kind != "unused"
        and rate.reading != UNUSED
        and math.isfinite(rec.weight * rate.weight)
    )


def _has_a_beta(report: LossReport) -> bool:
    """Whether no finding leaves open which of two losses it is."""
    unsure = {finding.name for finding in report.findings if not finding.certain}
    return not (NO_BETA & set(report.names) or "kl_terms_unequal" in unsure)


def _drawn(inspector: Inspector, rate: Rate) -> str:
    error, weight = rate.errors.get("spread", 0.0), abs(rate.weight)
    known = f", good to {100 * error / weight:.1g} % for σ²" if error and weight else ""
    return (
        f"The loss draws random numbers; what they enter is the mean of {DRAWS} calls"
        f"{known}."
    )
