"""From fitted terms to the rows and findings of the report."""

from __future__ import annotations

import math

from course_utils.linter.fitting import NEAR, nearly, plain
from course_utils.linter.inspector import Inspector
from course_utils.linter.kl import Rate
from course_utils.linter.likelihoods import LIKELIHOODS, POOLED, Reconstruction
from course_utils.linter.random_inputs import is_root, leaks
from course_utils.linter.report import Finding, LossReport
from course_utils.linter.scales import (
    both_reductions,
    list_equivalents,
    normaliser,
    reduction,
    scale_findings,
    without_sizes,
)


def shape_findings(inspector: Inspector, report: LossReport) -> bool:
    """Look at the shape of what the loss returns; tell if it is one per example."""
    out = inspector.call.output(*inspector.point())
    shape, n = tuple(out.shape), inspector.size.N
    if shape in ((), (1,), (1, 1)):
        return False
    if shape in ((n,), (n, 1)):
        report.notes.append(
            f"The loss returns one value per example, shape {shape}; take the mean "
            "over the batch before backward(). The inspection used its sum."
        )
        if leaks(inspector):
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


def name_likelihood(
    inspector: Inspector, rec: Reconstruction, report: LossReport,
    likelihood: str | None, output: str | None,
) -> None:  # fmt: skip
    """Write which likelihood the reconstruction is, and what is wrong with it."""
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
    if shape.likelihood == "Bernoulli" and inspector.grey:
        report.notes.append(
            "The cross-entropy is a log-likelihood for x in {0, 1} only; the loss "
            "takes grey values too."
        )


def name_reductions(
    report: LossReport, powers: dict[str, tuple[int | None, int | None]],
    rec: Reconstruction, rate: Rate, per_example: bool,
) -> None:  # fmt: skip
    """Write how both terms are reduced over data, latents and batch."""
    report.data_reduction = reduction(powers["D"][0])
    report.latent_reduction = reduction(powers["K"][1])
    if rec.shape is None and rec.weight == 0:
        report.data_reduction = "no reconstruction"
        report.batch_reduction = reduction(powers["N"][1])
    elif rate.weight == 0:
        report.latent_reduction = "no KL"
        report.batch_reduction = reduction(powers["N"][0])
    else:
        report.batch_reduction = both_reductions(*powers["N"])
    if per_example and powers["N"] == (0, 0):
        report.batch_reduction = "none"


def unlike(
    inspector: Inspector, report: LossReport, rec: Reconstruction
) -> Reconstruction:
    """Report a reconstruction that is no sum over pixels."""
    report.likelihood, report.parametrisation = "unknown", "unknown"
    report.findings.append(
        Finding(
            "square_root",
            "The reconstruction is the square root of a sum of squares, not the sum: "
            "no log-likelihood of independent pixels. No β is stated.",
        )
        if is_root(inspector)
        else Finding(
            "reconstruction_unexplained",
            "At random images the reconstruction is not the sum over pixels and "
            "examples that equal images suggest: some do not count, or they are mixed.",
        )
    )
    return Reconstruction(None, math.nan)


def name_beta(
    inspector: Inspector, report: LossReport, rec: Reconstruction, rate: Rate,
    powers: dict[str, tuple[int | None, int | None]], want: float,
    declared: dict[str, float | None],
) -> None:  # fmt: skip
    """Write the effective β, at which noise, and why it is not the one meant."""
    assert rec.shape is not None
    s, kind, kl = inspector.size, rec.shape.likelihood, rate.weight
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
        noise = normaliser(s, inspector, rec)
        told = noise is not None
    elif symbol and noise is not None:
        other = normaliser(s, inspector, rec)
        if other is not None and not nearly(other / noise, 1):
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
    k = without_sizes(rec.weight * (noise or 1.0), kl, powers, s)
    if k.powers["D"] != powers["D"]:
        report.data_reduction = reduction(k.powers["D"][0])
    rest = abs(k.kl / k.rec) / want
    slack = 0.05 if inspector.call.draws > 1 else NEAR
    if "sigma2_differs" in report.names:
        return
    if abs(abs(report.beta) / want - 1) > slack:
        report.findings += scale_findings(
            k, report.beta, want, kind, noise is not None or not symbol, s
        )
        report.equivalents = list_equivalents(kind, ratio, rest, noise)
    elif nearly(abs(k.rec), abs(k.kl) / want) and not nearly(abs(k.rec), 1):
        report.notes.append(
            f"Both terms carry a factor {plain(abs(k.rec))}: it does not change β."
        )
