"""What is wrong with a KL's own shape, in words."""

from __future__ import annotations

from course_utils.linter.kl import LINEAR, ROOT, SPREADS, SQUARED, UNUSED, Rate
from course_utils.linter.report import Finding

KNOWN_READINGS = {
    UNUSED: Finding(
        "logvar_missing",
        "The KL does not depend on logvar: it holds mu² alone, so nothing keeps the "
        "noise from vanishing. (Right if σ is fixed, or without noise at all: then it "
        "is a penalty on the code, and no KL.) No β is stated.",
        certain=False,
    ),
    SQUARED: Finding("logvar_squared", "logvar is squared where exp(logvar) is meant."),
    ROOT: Finding(
        "std_for_variance",
        "The KL holds σ = exp(logvar / 2) where σ² = exp(logvar) is meant.",
    ),
    LINEAR: Finding(
        "exp_missing",
        "The KL is linear in logvar: exp(logvar) is missing, so it falls without end "
        "as the noise grows.",
    ),
    "log σ², negative values cut off": Finding(
        "logvar_relu",
        "Negative values of logvar are cut off (a ReLU on logvar): σ cannot be smaller "
        "than 1.",
    ),
}
SWAPPED_CODE = Finding(
    "mu_logvar_swapped",
    "mu and logvar have changed places: the loss squares its fourth argument and "
    "exponentiates its third. If yours comes in that order, say so with order=(\"x\", "
    "\"x_hat\", \"logvar\", \"mu\").",
)  # fmt: skip
REVERSED = Finding(
    "kl_reversed",
    "The KL stands the wrong way round, KL(prior ‖ q). The ELBO has KL(q ‖ prior).",
)
UNEXPLAINED = Finding(
    "kl_unexplained",
    "At random points the KL is not the sum over latents and examples that equal "
    "inputs suggest: some do not count, or they are mixed, as a total correlation, a "
    "discrepancy of samples or another prior does. What it is, and its β, cannot be "
    "told.",
    certain=False,
)


def kl_findings(rate: Rate, spread: str) -> list[Finding]:
    """Find what is wrong with the KL's own shape."""
    if rate.unused:
        return [
            Finding(
                "no_kl",
                "The loss depends neither on mu nor on logvar: it is an autoencoder's.",
            )
        ]
    if not rate.known:
        which = "mu" if rate.mu_kind == "unknown" else "logvar"
        return [
            Finding(
                "kl_shape",
                f"As a function of {which} the term has no Gaussian KL's shape (free "
                "bits, a capacity, a clamp or another divergence?); no β is stated.",
                certain=False,
            )
        ]
    return _mu_findings(rate) + _reading_findings(rate, spread)


def _mu_findings(rate: Rate) -> list[Finding]:
    kind = rate.mu_kind
    if kind == "unused":
        return [
            Finding("mu_missing", "The KL does not depend on mu; ½·mu² is missing.")
        ]
    if kind == "relu":
        return [
            Finding(
                "mu_relu",
                "Negative values of mu are cut off (a ReLU on mu): half of the latent "
                "space costs nothing. mu has to take both signs.",
            )
        ]
    if kind in ("linear", "absolute"):
        return [
            Finding(
                "mu_not_squared",
                "The KL is linear in mu, where mu² is meant"
                + (" (or is a penalty on |mu| meant?)." * (kind == "absolute") or "."),
                certain=kind == "linear",
            )
        ]
    if kind == "square" and rate.mu_coefficients is not None and rate.mu:
        mean = -float(rate.mu_coefficients[0]) / rate.mu
        if abs(mean) > 0.1 + rate.error("mean") / abs(rate.mu):
            return [
                Finding(
                    "prior_mean",
                    f"The KL is smallest at mu = {mean:.3g}: the prior's mean is not "
                    "0.",
                    certain=False,
                )
            ]
    return []


def _reading_findings(rate: Rate, spread: str) -> list[Finding]:
    if rate.reading in KNOWN_READINGS:
        return [KNOWN_READINGS[rate.reading]]
    if rate.over_variance:
        return [REVERSED]
    found = _weight_findings(rate, spread)
    missing = [finding.name for finding in found] == ["kl_term_missing"]
    if rate.reading != SPREADS[spread] and not missing:
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


def _weight_findings(rate: Rate, spread: str) -> list[Finding]:
    """Compare the weights of mu², σ² and −log σ², as far as the draws allow."""
    weights = {"mu": rate.mu, "spread": rate.spread, "log": rate.log}
    size = max(map(abs, weights.values()))
    for name, which, cost in (
        ("log", "−log σ²", "it is smallest without any noise, so nothing stops σ → 0"),
        ("spread", "σ²", "it falls without end as the noise grows"),
    ):
        if abs(weights[name]) < 1e-3 * size + rate.error(name):
            sure = rate.error(name) < 0.3 * size
            text = f"The KL lacks its term in {which}: {cost}."
            return [Finding("kl_term_missing", text)] if sure else []
    if rate.mu_kind != "square":
        return []
    used = {name: weight for name, weight in weights.items() if weight}
    if len({weight > 0 for weight in used.values()}) > 1:
        return [
            Finding(
                "kl_term_sign",
                f"One of the KL's terms has the wrong sign: the weights of mu², σ² and "
                f"−log σ² are {rate.mu:.3g}, {rate.spread:.3g}, {rate.log:.3g}, and "
                "should be equal.",
            )
        ]
    low, high = min(used, key=used.__getitem__), max(used, key=used.__getitem__)
    if used[high] - used[low] <= 0.02 * size + rate.error(low, high):
        return []
    same = abs(rate.mu - rate.spread) < 0.02 * size + rate.error("mu", "spread")
    prior = same and rate.reading == SPREADS[spread]
    prior_variance = rate.log / rate.mu
    other = f"a prior of variance {prior_variance:.3g}, or " if prior else ""
    open_beta = " Which of the two is open, and so is β." if prior else ""
    return [
        Finding(
            "kl_terms_unequal",
            f"The KL's terms have unequal weights: mu² {rate.mu:.3g}, σ² "
            f"{rate.spread:.3g}, −log σ² {rate.log:.3g}. That is {other}logvar read as "
            f"log σ² in one place and as log σ in another.{open_beta}",
            certain=not prior,
        )
    ]
