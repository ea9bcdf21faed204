"""From fitted weights to the effective β, and to words for what moved it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from course_utils.linter.calling import Size
from course_utils.linter.fitting import nearly, plain
from course_utils.linter.inspector import Inspector
from course_utils.linter.likelihoods import Reconstruction
from course_utils.linter.report import Finding


@dataclass
class Scales:
    """The weights without what they are divided by, and the σ² they are stated at."""

    rec: float
    kl: float
    powers: dict[str, tuple[int | None, int | None]]

    def power(self, name: str) -> tuple[int, int]:
        """Powers of one size in the two terms, 0 where unknown."""
        rec, kl = self.powers[name]
        return rec or 0, kl or 0


def without_sizes(
    rec: float, kl: float, powers: dict[str, tuple[int | None, int | None]], s: Size
) -> Scales:
    """Divide the sizes out of the weights; see a constant 1/D for what it is."""
    powers = dict(powers)
    for name, n in (("N", s.N), ("D", s.D), ("K", s.K)):
        for i in (0, 1):
            power = powers[name][i] or 0
            rec, kl = (rec * n**power, kl) if i == 0 else (rec, kl * n**power)
    p_rec, p_kl = powers["D"]
    if s.D >= 16 and p_rec in (0, None) and nearly(abs(rec) * s.D, 0.5, 1, 2):
        rec, powers["D"] = rec * s.D, (1, p_kl)
    elif s.D >= 16 and p_rec == 1 and nearly(abs(rec) / s.D, 0.5, 1, 2):
        rec, powers["D"] = rec / s.D, (0, p_kl)  # .view(-1, 784) made more rows
    p_rec, p_kl = powers["D"]
    if s.D >= 16 and p_kl in (0, None) and nearly(abs(kl) * s.D, 0.5, 1, 2):
        kl, powers["D"] = kl * s.D, (p_rec, 1)
    return Scales(rec, kl, powers)


def reduction(power: int | None) -> str:
    """Say in words which reduction divides by a size to this power."""
    if power is None:
        return "unknown (the loss takes one size only)"
    if power in (0, 1):
        return ("sum", "mean")[power]
    if power < 0:
        return "sum, then once more for each"
    return f"divided by the number {power} times"


def both_reductions(rec: int | None, kl: int | None) -> str:
    """Say it for two terms, once where they agree."""
    one, two = reduction(rec), reduction(kl)
    return one if one == two else f"reconstruction: {one}; KL: {two}"


def normaliser(s: Size, inspector: Inspector, rec: Reconstruction) -> float | None:
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


def scale_findings(
    k: Scales, beta: float, want: float, likelihood: str, known: bool, s: Size
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
    if not nearly(rest, 1):
        found.append(_rest_finding(k, rest, beta, likelihood, known))
    return found


def _axes(k: Scales, s: Size) -> int:
    """Count the data dimensions summed over, where some axes are averaged; else 0."""
    sizes = {1}
    for n in s.shape:
        sizes |= {n * size for size in sizes}
    averaged = k.power("D")[0] > k.power("D")[1]  # the last axis, by its values
    for size in sorted(sizes - {1, s.D}):
        if nearly(abs(k.rec), size if averaged else size / s.D):
            return size
    return 0


def _rest_finding(
    k: Scales, rest: float, beta: float, likelihood: str, known: bool
) -> Finding:
    scaled = likelihood in ("Gaussian", "Laplace")
    if nearly(rest, 2) and not nearly(abs(k.rec), 0.5):
        return Finding(
            "kl_half_dropped",
            "The KL counts twice: its ½ was dropped, or β = 2 is meant.",
            certain=known or not scaled,
        )
    if nearly(rest, 0.5) and likelihood == "Gaussian":
        return Finding(
            "squared_error_without_half",
            "The squared error lacks its ½, or β = ½ is meant"
            + ("." if known else ", or σ² = ½."),
            certain=known,
        )
    if nearly(rest * math.log(2), 1) or nearly(rest / math.log(2), 1):
        return Finding(
            "bits_and_nats",
            "The two terms differ by a factor log 2: one is in bits, the other in "
            "nats.",
        )
    if nearly(abs(k.kl), 1) and not nearly(abs(k.rec), 1) and (known or not scaled):
        return Finding(
            "factor_on_reconstruction",
            f"A factor {abs(k.rec):.4g} multiplies the reconstruction, not the KL: it "
            "acts as 1/β, and raising it weakens the regularisation.",
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
        f"A factor {k.kl / k.rec:.4g} stands on the KL and makes the effective β "
        f"{beta:.3g}; if you mean it, say so with beta=... .",
        certain=False,
    )


def list_equivalents(
    likelihood: str, ratio: float, rest: float, noise: float | None
) -> list[str]:
    """List the readings that give the same loss."""
    said = []
    symbol = {"Gaussian": "σ²", "Laplace": "scale"}.get(likelihood)
    if symbol and noise is None and not nearly(ratio, 1) and ratio > 0:
        said.append(
            f"β = {ratio:.3g} at {symbol} = 1, or β = 1 at {symbol} = {plain(ratio)}"
        )
    beta = abs(ratio if noise is None else ratio / noise)
    if nearly(rest, 2):
        said.append(f"β = {beta:.3g}, or the KL's ½ was dropped")
    if nearly(rest, 0.5) and likelihood == "Gaussian":
        said.append(f"β = {beta:.3g}, or the squared error's ½ was dropped")
    return said
