"""From fitted terms to the rows and findings of the report."""

from __future__ import annotations

import math

from course_utils.linter.confirming import Verdict
from course_utils.linter.inspector import Inspector
from course_utils.linter.kl import Rate
from course_utils.linter.kl_findings import UNEXPLAINED, kl_findings
from course_utils.linter.likelihoods import POOLED, Reconstruction
from course_utils.linter.random_inputs import is_root, leaks, reached
from course_utils.linter.report import Finding, LossReport
from course_utils.linter.scales import both_reductions, reduction
from course_utils.linter.sizes import Powers

NO_SUM = Finding(
    "terms_mixed",
    "What x and x_hat add depends on mu and logvar: the loss is no reconstruction plus "
    "a rate (a product, weights of samples, a prior that knows x, a clamp of the "
    "whole?). No β is stated.",
    certain=False,
)
NO_SHAPE = Finding(
    "reconstruction_shape",
    "The reconstruction term has the shape of none of the likelihoods known here; no β "
    "is stated.",
    certain=False,
)
ROOT = Finding(
    "square_root",
    "The reconstruction is the square root of a sum of squares, not the sum: no "
    "log-likelihood of independent pixels. No β is stated.",
)
UNLIKE = Finding(
    "reconstruction_unexplained",
    "At random images the reconstruction is not the sum over pixels and examples that "
    "equal images suggest: some do not count as others do, or they are mixed, as in a "
    "mask, weights, edges or features. No β is stated.",
    certain=False,
)
# What is said to be absent, and which arguments' gradients speak against it.
ABSENT = {
    "no_reconstruction": {"x_hat"}, "no_kl": {"mu", "logvar"}, "mu_missing": {"mu"},
    "logvar_missing": {"logvar"},
}  # fmt: skip


def shape_findings(inspector: Inspector, report: LossReport) -> bool:
    """Look at the shape of what the loss returns; tell if it is one per example."""
    out = inspector.call.output(inspector.point())
    shape, n = tuple(out.shape), inspector.size.N
    if shape in ((), (1,), (1, 1)):
        return False
    if shape in ((n,), (n, 1)):
        report.notes.append(
            f"The loss returns one value per example, shape {shape}; take the mean "
            "over the batch before backward(). The inspection used its sum."
        )
        if leaks(inspector) == "alike":
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


def name_terms(
    inspector: Inspector, report: LossReport, rec: Reconstruction, rate: Rate,
    verdict: Verdict, wishes: tuple[str | None, str | None], spread: str,
) -> None:  # fmt: skip
    """Write what the two terms are, as far as the random points bear it out."""
    if not verdict.sums:
        report.findings.append(NO_SUM)
        return
    if not verdict.reconstruction:
        root = rec.shape is not None and is_root(inspector)
        report.findings.append(ROOT if root else UNLIKE)
    elif rec.shape is None:
        nothing = Finding("no_reconstruction", "The loss does not depend on x_hat.")
        known = not math.isnan(rec.weight)
        report.likelihood = "none" if known else "unknown"
        report.findings.append(nothing if known else NO_SHAPE)
    else:
        _name_likelihood(inspector, rec, report, *wishes)
    if verdict.rate or (not rate.known and inspector.rate_draws == 1):
        report.logvar_reading = rate.reading
        report.findings += kl_findings(rate, spread)
    else:
        report.findings.append(UNEXPLAINED)


def too_light(inspector: Inspector, report: LossReport) -> None:
    """Take back that a term is absent where only rounding hides it."""
    named = [name for name in report.names if name in ABSENT]
    reach = reached(inspector) if named else set()
    for name in named:
        if seen := ABSENT[name] & reach:
            report.findings[report.names.index(name)] = Finding(
                "term_too_light",
                f"What {' and '.join(sorted(seen))} change is lost in the rounding of "
                "the loss, though a gradient reaches them: a weight too small to be "
                "measured here. No β is stated.",
                certain=False,
            )


def _name_likelihood(
    inspector: Inspector, rec: Reconstruction, report: LossReport,
    likelihood: str | None, output: str | None,
) -> None:  # fmt: skip
    """Write which likelihood the reconstruction is, and what is wrong with it."""
    shape = rec.shape
    assert shape is not None
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
    if shape.likelihood == "Bernoulli" and inspector.grey:
        report.notes.append(
            "The cross-entropy is a log-likelihood for x in {0, 1} only; the loss "
            "takes grey values too."
        )
    if rec.clipped:
        report.notes.append(
            f"It is {shape.likelihood} for x and x_hat in (0, 1), and something else "
            "where they lie further apart."
        )


def name_reductions(
    report: LossReport, powers: Powers, rec: Reconstruction, rate: Rate,
    verdict: Verdict, per_example: bool,
) -> None:  # fmt: skip
    """Write how both terms are reduced over data, latents and batch."""
    of = powers.of
    no_rec = verdict.reconstruction and rec.shape is None and rec.weight == 0
    no_kl = verdict.rate and rate.unused
    if verdict.reconstruction:
        over = _over(of["D"][0], powers.averaged["D"])
        report.data_reduction = "no reconstruction" if no_rec else over
    if verdict.rate and rate.known:
        over = _over(of["K"][1], powers.averaged["K"])
        report.latent_reduction = "no KL" if no_kl else over
    if per_example and of["N"] == (0, 0):
        report.batch_reduction = "none"
    elif no_rec or not verdict.reconstruction:
        report.batch_reduction = reduction(of["N"][1]) if verdict.rate else "unknown"
    elif no_kl or not verdict.rate:
        report.batch_reduction = reduction(of["N"][0])
    else:
        report.batch_reduction = both_reductions(*of["N"])


def _over(power: int | None, averaged: int) -> str:
    return (
        reduction(power)
        if averaged == 1
        else f"mean over {averaged}, sum over the rest"
    )
