"""The effective β of a loss, and words for what moved it."""

from __future__ import annotations

import math

from course_utils.linter.calling import Size
from course_utils.linter.fitting import NEAR, is_plain, nearly, plain
from course_utils.linter.inspector import Inspector
from course_utils.linter.kl import Rate
from course_utils.linter.likelihoods import LIKELIHOODS, POOLED, Reconstruction
from course_utils.linter.report import Finding, LossReport
from course_utils.linter.scales import (
    Scales,
    list_equivalents,
    normaliser,
    reduction,
    without_sizes,
)
from course_utils.linter.sizes import Powers


def name_beta(
    inspector: Inspector, report: LossReport, rec: Reconstruction, rate: Rate,
    powers: Powers, want: float, declared: dict[str, float | None],
) -> None:  # fmt: skip
    """Write the effective β, at which noise, and why it is not the one meant."""
    assert rec.shape is not None
    s, kind, kl = inspector.size, rec.shape.likelihood, rate.weight
    if kind not in LIKELIHOODS and kind != "continuous Bernoulli":
        return
    report.kl_sign = 1 if kl * rec.weight > 0 else -1
    report.findings += _signs(rec.weight, kl, report.names)
    ratio = kl / rec.weight
    noise, known = _noise(inspector, report, rec, declared, ratio)
    report.beta = ratio / (noise or 1.0)
    k = without_sizes(rec.weight * (noise or 1.0), kl, powers, s)
    if k.rec.powers["D"] != powers.of["D"][0]:
        report.data_reduction = reduction(k.rec.powers["D"])
    if k.kl.powers["K"] != powers.of["K"][1]:
        report.latent_reduction = reduction(k.kl.powers["K"])
    if "sigma2_differs" in report.names:
        return
    rest = abs(k.kl.weight / k.rec.weight) / want
    slack = NEAR + rate.error("mu" if rate.mu else "spread") / abs(kl)
    if abs(abs(report.beta) / want - 1) > slack:
        report.findings += scale_findings(k, report.beta, want, kind, known, s)
        report.equivalents = list_equivalents(kind, ratio, rest, noise)
    elif nearly(rest, 1) and not nearly(abs(k.rec.weight), 1):
        report.notes.append(
            f"Both terms carry a factor {plain(abs(k.rec.weight))}: it does not change "
            "β."
        )


def _signs(rec: float, kl: float, names: list[str]) -> list[Finding]:
    if rec < 0:
        return [
            Finding(
                "reconstruction_sign",
                "The reconstruction term falls as x_hat gets worse: the loss is an "
                "ELBO to maximise. Minimise its negative."
                if kl < 0
                else "The log-likelihood is added where it has to be subtracted: the "
                "loss falls as x_hat gets worse.",
            )
        ]
    if kl < 0 and "kl_term_sign" not in names:
        return [
            Finding(
                "kl_sign",
                "The KL's sign is flipped: the loss falls as q moves away from the "
                "prior.",
            )
        ]
    return []


def _noise(
    inspector: Inspector, report: LossReport, rec: Reconstruction,
    declared: dict[str, float | None], ratio: float,
) -> tuple[float | None, bool]:  # fmt: skip
    """Find the decoder's noise, declared or told; and whether β hangs on nothing."""
    assert rec.shape is not None
    kind = rec.shape.likelihood
    symbol = {"Gaussian": "σ²", "Laplace": "scale"}.get(kind, "")
    if rec.shape.parametrisation == POOLED:
        report.assumption = "at σ² = the mean squared error"
        return None, True
    if not symbol:
        return None, True
    given, told = declared.get(kind), normaliser(inspector.size, inspector, rec)
    if given is not None and told is not None and not nearly(told / given, 1):
        report.findings.append(
            Finding(
                "sigma2_differs",
                f"The loss's normaliser says {symbol} = {told:.3g}, but {given:.3g} "
                "was declared.",
            )
        )
    noise = told if given is None else given
    how = "as declared" if given is not None else "as the normaliser in the loss says"
    report.assumption = (
        f"at {symbol} = 1, assumed: only β·{symbol} = {ratio:.3g} can be told"
        if noise is None
        else f"at {symbol} = {noise:.3g}, {how}"
    )
    return noise, noise is not None


def scale_findings(
    k: Scales, beta: float, want: float, likelihood: str, known: bool, s: Size
) -> list[Finding]:
    """Say why the effective β is not the one that is meant."""
    share = f"It makes the effective β {beta:.3g}"
    rest = abs(k.kl.weight / k.rec.weight) / want
    found = _batch(k, share, s)
    if k.batch is not None:
        rest *= k.batch if k.kl.power("N") < k.rec.power("N") else 1 / k.batch
    if _divided(k, s)[0] != _divided(k, s)[1]:  # else the two factors cancel
        found += _latents(k, s) + _data(k, share, s)
    if not nearly(rest, 1):
        found.append(_rest_finding(k, rest, beta, likelihood, known))
    return found


def _divided(k: Scales, s: Size) -> tuple[int, int]:
    """Sizes over which the reconstruction and the KL are averaged, 1 for a sum."""
    d_rec, d_kl = k.rec.power("D"), k.kl.power("D")
    rec = s.D ** max(d_rec - d_kl, 0) * k.averaged["D"]
    kl = s.D ** max(d_kl - d_rec, 0) * k.averaged["K"]
    return rec, kl * s.K ** max(k.kl.power("K") - k.rec.power("K"), 0)


def _latents(k: Scales, s: Size) -> list[Finding]:
    """Say over which latent dimensions the KL is averaged."""
    over = k.averaged["K"]
    if over == 1 and k.kl.power("K") <= k.rec.power("K"):
        return []
    some = f"{over} of the {s.K}" if over > 1 else "the"
    factor = f"1/{over}" if over > 1 else f"1/K = {1 / s.K:.3g}"
    return [
        Finding(
            "kl_mean_over_latents",
            f"The KL is averaged over {some} latent dimensions, not summed: β carries "
            f"a factor {factor}.",
            certain="K" not in k.unsure,
        )
    ]


def _data(k: Scales, share: str, s: Size) -> list[Finding]:
    """Say over which data dimensions one term is averaged and the other is not."""
    d_rec, d_kl = k.rec.power("D"), k.kl.power("D")
    if k.averaged["D"] > 1:
        return [
            Finding(
                "mean_over_some_axes",
                f"The reconstruction is averaged over {k.averaged['D']} of the {s.D} "
                "data dimensions and summed over the rest (one axis too few in the "
                f"sum?). {share}.",
                certain="D" not in k.unsure,
            )
        ]
    if d_rec > d_kl:
        return [
            Finding(
                "mean_over_pixels",
                "The reconstruction is averaged over the data dimensions, not summed: "
                f"β carries a factor D = {s.D}. {share}.",
                certain="D" not in k.unsure | k.rec.written,
            )
        ]
    if d_rec < d_kl:
        written = "D" in k.kl.written
        return [
            Finding(
                "kl_over_pixels",
                f"The KL is divided by the data's size {s.D}, the reconstruction is "
                f"not{f' (or β = 1/{s.D} is meant)' if written else ''}. {share}.",
                certain="D" not in k.unsure and not written,
            )
        ]
    return []


def _batch(k: Scales, share: str, s: Size) -> list[Finding]:
    """Compare what the batch does to the two terms."""
    n_rec, n_kl = k.rec.power("N"), k.kl.power("N")
    if n_rec == n_kl:
        return []
    low, which = (k.kl, "KL") if n_kl < n_rec else (k.rec, "reconstruction")
    if k.batch is not None:
        return [
            Finding(
                "batch_size_fixed",
                f"The {which} is divided by {k.batch} whatever the batch, the other "
                f"term by the batch's size. 1/{k.batch}: your batch size? Then "
                f"inspect with batch={k.batch}. {share} at a batch of {s.N}.",
                certain=False,
            )
        ]
    certain = is_plain(low.weight)
    perhaps = "" if certain else " (Or is a batch's size among its factors?)"
    if n_kl < n_rec:
        return [
            Finding(
                "kl_sum_over_batch",
                "The KL is summed over the batch where the reconstruction is averaged "
                "(or a KL summed to one number is added to every example's loss). "
                f"{share} at a batch of {s.N}, and more with a larger one.{perhaps}",
                certain,
            )
        ]
    return [
        Finding(
            "kl_mean_over_batch",
            "The KL is averaged over the batch where the reconstruction is summed. "
            f"{share} at a batch of {s.N}, and less with a larger one.{perhaps}",
            certain,
        )
    ]


def _rest_finding(
    k: Scales, rest: float, beta: float, likelihood: str, known: bool
) -> Finding:
    scaled = likelihood in ("Gaussian", "Laplace")
    rec, kl = abs(k.rec.weight), abs(k.kl.weight)
    if nearly(rest, 2) and not nearly(rec, 0.5):
        return Finding(
            "kl_half_dropped",
            "The KL counts twice: its ½ was dropped, or β = 2 is meant.",
            certain=False,
        )
    if nearly(rest, 0.5) and likelihood == "Gaussian":
        return Finding(
            "squared_error_without_half",
            "The squared error lacks its ½, or β = ½ is meant"
            + ("." if known else ", or σ² = ½."),
            certain=False,
        )
    if nearly(rest * math.log(2), 1) or nearly(rest / math.log(2), 1):
        return Finding(
            "bits_and_nats",
            "The two terms differ by a factor log 2: one is in bits, the other in "
            "nats.",
            certain=False,
        )
    if nearly(kl, 1) and not nearly(rec, 1) and known:
        return Finding(
            "factor_on_reconstruction",
            f"A factor {rec:.4g} multiplies the reconstruction, not the KL: it acts as "
            "1/β, and raising it weakens the regularisation.",
            certain=not k.unsure,
        )
    if scaled and not known:
        return Finding(
            "scale_undeclared",
            "The two terms' factors leave β or the decoder's noise other than 1; which "
            "of the two, no input can tell. Declare the noise with "
            + ("sigma2=..." if likelihood == "Gaussian" else "scale=...")
            + ", or the β that you mean with beta=... .",
            certain=False,
        )
    return Finding(
        "beta",
        f"A factor {k.kl.weight / k.rec.weight:.4g} stands on the KL and makes the "
        f"effective β {beta:.3g}; if you mean it, say so with beta=... .",
        certain=False,
    )
