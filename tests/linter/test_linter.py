"""The loss linter: published losses, seeded mistakes, right losses in other words."""

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from torch import distributions as td
from torch.nn import functional as F

from course_utils.linter import Finding, LossReport, inspect_loss


def kl(mu, logvar):
    """The KL of each latent of each example, (N, K)."""
    return -0.5 * (1 + logvar - mu**2 - logvar.exp())


def rows(value):
    """Sum over everything but the examples."""
    return value.reshape(len(value), -1).sum(1)


def bce(x, x_hat):
    return rows(F.binary_cross_entropy(x_hat, x, reduction="none"))


def sse(x, x_hat):
    return rows((x - x_hat) ** 2)


# --- published losses: the effective β, to three digits -----------------------------

PUBLISHED = {
    "BCE summed, KL averaged over latents": (
        lambda x, h, m, v: (bce(x, h) + kl(m, v).mean(1)).mean(),
        dict(data_shape=784, latents=2), 0.5,
    ),
    "BCE averaged over 784 pixels + 5e-4 KL": (
        lambda x, h, m, v: F.binary_cross_entropy(h, x) + 5e-4 * kl(m, v).sum(1).mean(),
        dict(data_shape=784, latents=20), 0.392,
    ),
    "squared error without its half": (
        lambda x, h, m, v: (sse(x, h) + kl(m, v).sum(1)).mean(),
        dict(data_shape=784, latents=20), 0.5,
    ),
    "KL without its half, squared error with": (
        lambda x, h, m, v: (
            0.5 * sse(x, h) - (1 + v - m**2 - v.exp()).sum(1)
        ).mean(),
        dict(data_shape=784, latents=20), 2.0,
    ),
    "both without their halves": (
        lambda x, h, m, v: (sse(x, h) - (1 + v - m**2 - v.exp()).sum(1)).mean(),
        dict(data_shape=784, latents=20), 1.0,
    ),
    "500 times the mean BCE of 32 by 32": (
        lambda x, h, m, v: 500 * F.binary_cross_entropy(h, x) + rows(kl(m, v)).mean(),
        dict(data_shape=(1, 32, 32), latents=200), 1024 / 500,
    ),
    "squared error averaged over 64 by 64 by 3 + 0.00025 KL": (
        lambda x, h, m, v: F.mse_loss(h, x) + 0.00025 * kl(m, v).sum(1).mean(),
        dict(data_shape=(3, 64, 64), latents=128), 12288 * 0.00025 / 2,
    ),
    "its beta of 10": (
        lambda x, h, m, v: F.mse_loss(h, x) + 10 * 0.00025 * kl(m, v).sum(1).mean(),
        dict(data_shape=(3, 64, 64), latents=128), 15.36,
    ),
    "absolute error averaged over 64 by 64 by 3 + 5e-4 KL": (
        lambda x, h, m, v: F.l1_loss(h, x) + 5e-4 * kl(m, v).sum(1).mean(),
        dict(data_shape=(3, 64, 64), latents=128), 6.144,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("single", [False, True], ids=["float64", "float32"])
def test_effective_beta_of_published_losses(name, single):
    loss, sizes, beta = PUBLISHED[name]
    used = (lambda *a: loss(*(v.float() for v in a))) if single else loss
    report = inspect_loss(used, **sizes)
    assert report.beta == pytest.approx(beta, rel=5e-4)
    assert report.ok == (beta == 1)  # every other one is worth a look
    assert report.kl_sign == 1 and report.logvar_reading == "log σ²"
    assert f"{report.beta:.3g}" in str(report)


def test_the_published_losses_are_explained():
    reports = {n: inspect_loss(f, **sizes) for n, (f, sizes, _) in PUBLISHED.items()}
    names = [report.names for report in reports.values()]
    assert names == [
        ["kl_mean_over_latents"],
        ["mean_over_pixels", "beta"],
        ["squared_error_without_half"],
        ["kl_half_dropped"],
        [],
        ["mean_over_pixels", "factor_on_reconstruction"],
        ["mean_over_pixels", "scale_undeclared"],
        ["mean_over_pixels", "scale_undeclared"],
        ["mean_over_pixels", "scale_undeclared"],
    ]
    half = reports["squared error without its half"]
    assert half.equivalents[0] == "β = 0.5 at σ² = 1, or β = 1 at σ² = ½"
    assert "only β·σ² = 0.5" in half.assumption
    two = reports["KL without its half, squared error with"]
    assert "β = 2, or the KL's ½ was dropped" in two.equivalents
    both = reports["both without their halves"]
    assert any("factor 2" in note for note in both.notes)


# --- seeded mistakes ----------------------------------------------------------------


def good(x, h, m, v):
    return (bce(x, h) + kl(m, v).sum(1)).mean()


def inplace(x, h, m, v):
    value = (bce(x, h) + kl(m, v).sum(1)).mean()
    m.pow_(2)
    return value


def overwritten(x, h, m, v):
    spread = v.exp()
    part = -0.5 * (1 + v - m**2 - spread.log() * 0 - spread**1)
    spread_used = spread * m
    spread.mul_(1.0)
    return (bce(x, h) + part.sum(1)).mean() + 0 * spread_used.sum()


KL_LOG_SIGMA = lambda m, s: 0.5 * (m**2 + (2 * s).exp() - 1 - 2 * s)  # noqa: E731
MISTAKES = {
    "log σ read for log σ²": (
        lambda x, h, m, v: (bce(x, h) + KL_LOG_SIGMA(m, v).sum(1)).mean(),
        {}, "reads_log_sigma",
    ),
    "log σ in the log only": (
        lambda x, h, m, v: (
            bce(x, h) - 0.5 * (1 + 2 * v - m**2 - v.exp()).sum(1)
        ).mean(),
        {}, "kl_terms_unequal",
    ),
    "log σ in the exp only": (
        lambda x, h, m, v: (
            bce(x, h) - 0.5 * (1 + v - m**2 - (2 * v).exp()).sum(1)
        ).mean(),
        {}, "kl_terms_unequal",
    ),
    "the KL's sign": (
        lambda x, h, m, v: (bce(x, h) - kl(m, v).sum(1)).mean(), {}, "kl_sign",
    ),
    "mu's sign in the KL": (
        lambda x, h, m, v: (
            bce(x, h) - 0.5 * (1 + v + m**2 - v.exp()).sum(1)
        ).mean(),
        {}, "kl_term_sign",
    ),
    "the KL's half dropped": (
        lambda x, h, m, v: (bce(x, h) + 2 * kl(m, v).sum(1)).mean(),
        {}, "kl_half_dropped",
    ),
    "logvar squared": (
        lambda x, h, m, v: (bce(x, h) - 0.5 * (1 + v - m**2 - v**2).sum(1)).mean(),
        {}, "logvar_squared",
    ),
    "no exp": (
        lambda x, h, m, v: (bce(x, h) - 0.5 * (1 - m**2 - v).sum(1)).mean(),
        {}, "exp_missing",
    ),
    "KL mean over latents": (
        lambda x, h, m, v: bce(x, h).mean() + kl(m, v).mean(),
        {}, "kl_mean_over_latents",
    ),
    "KL summed over the batch too": (
        lambda x, h, m, v: bce(x, h).mean() + kl(m, v).sum(), {}, "kl_sum_over_batch",
    ),
    "KL averaged over the batch, reconstruction summed": (
        lambda x, h, m, v: bce(x, h).sum() + kl(m, v).sum(1).mean(),
        {}, "kl_mean_over_batch",
    ),
    "mean over pixels": (
        lambda x, h, m, v: F.binary_cross_entropy(h, x) + kl(m, v).sum(1).mean(),
        {}, "mean_over_pixels",
    ),
    "scalar KL broadcast, then averaged": (
        lambda x, h, m, v: (bce(x, h) + kl(m, v).sum()).mean(),
        {}, "kl_sum_over_batch",
    ),
    "scalar KL broadcast, then summed": (
        lambda x, h, m, v: (bce(x, h) + kl(m, v).sum()).sum(),
        {}, "kl_sum_over_batch",
    ),
    "scalar KL broadcast, not reduced": (
        lambda x, h, m, v: bce(x, h) + kl(m, v).sum(), {}, "kl_broadcast",
    ),
    "column plus row": (
        lambda x, h, m, v: bce(x, h)[:, None] + kl(m, v).sum(1), {}, "not_reduced",
    ),
    "squared error without half": (
        lambda x, h, m, v: (sse(x, h) + kl(m, v).sum(1)).mean(),
        dict(sigma2=1.0), "squared_error_without_half",
    ),
    "BCE with logits on probabilities": (
        lambda x, h, m, v: F.binary_cross_entropy_with_logits(
            h, x, reduction="sum") / len(x) + kl(m, v).sum(1).mean(),
        dict(output="probabilities"), "logits_for_probabilities",
    ),
    "BCE on logits": (
        good, dict(output="logits"), "probabilities_for_logits",
    ),
    "sigmoid twice": (
        lambda x, h, m, v: F.binary_cross_entropy_with_logits(
            h.sigmoid(), x, reduction="sum") / len(x) + kl(m, v).sum(1).mean(),
        {}, "sigmoid_twice",
    ),
    "mu detached": (
        lambda x, h, m, v: good(x, h, m.detach(), v), {}, "mu_detached",
    ),
    "logvar detached": (
        lambda x, h, m, v: good(x, h, m, v.detach()), {}, "logvar_detached",
    ),
    "x_hat detached": (
        lambda x, h, m, v: good(x, h.detach(), m, v), {}, "x_hat_detached",
    ),
    "logvar half detached": (
        lambda x, h, m, v: (
            bce(x, h) - 0.5 * (1 + v - m**2 - v.detach().exp()).sum(1)
        ).mean(),
        {}, "logvar_gradient",
    ),
    "item": (lambda *a: good(*a).item(), {}, "no_gradient"),
    "x and x_hat swapped": (
        lambda x, h, m, v: good(h, x, m, v), {}, "swapped_arguments",
    ),
    "x and x_hat swapped, logits": (
        lambda x, h, m, v: F.binary_cross_entropy_with_logits(
            x, h, reduction="sum") / len(x) + kl(m, v).sum(1).mean(),
        {}, "swapped_arguments",
    ),
    "KL of mu only": (
        lambda x, h, m, v: (bce(x, h) + 0.5 * (m**2).sum(1)).mean(),
        {}, "logvar_missing",
    ),
    "KL of logvar only": (
        lambda x, h, m, v: good(x, h, 0 * m, v), {}, "mu_missing",
    ),
    "no KL": (lambda x, h, m, v: bce(x, h).mean(), {}, "no_kl"),
    "no reconstruction": (
        lambda x, h, m, v: kl(m, v).sum(1).mean(), {}, "no_reconstruction",
    ),
    "ReLU on mu": (lambda x, h, m, v: good(x, h, m.relu(), v), {}, "mu_relu"),
    "ReLU on logvar": (
        lambda x, h, m, v: good(x, h, m, v.relu()), {}, "logvar_relu",
    ),
    "mu not squared": (
        lambda x, h, m, v: (bce(x, h) - 0.5 * (1 + v - m - v.exp()).sum(1)).mean(),
        {}, "mu_not_squared",
    ),
    "absolute mu": (
        lambda x, h, m, v: (
            bce(x, h) - 0.5 * (1 + v - m.abs() - v.exp()).sum(1)
        ).mean(),
        {}, "mu_not_squared",
    ),
    "β on the reconstruction": (
        lambda x, h, m, v: (4 * bce(x, h) + kl(m, v).sum(1)).mean(),
        dict(beta=4.0), "factor_on_reconstruction",
    ),
    "KL the wrong way round": (
        lambda x, h, m, v: (
            bce(x, h) + 0.5 * ((1 + m**2) * (-v).exp() - 1 + v).sum(1)
        ).mean(),
        {}, "kl_reversed",
    ),
    "ELBO instead of loss": (
        lambda *a: -good(*a), {}, "reconstruction_sign",
    ),
    "log-likelihood added": (
        lambda x, h, m, v: (kl(m, v).sum(1) - bce(x, h)).mean(),
        {}, "reconstruction_sign",
    ),
    "root of the squared error": (
        lambda x, h, m, v: (sse(x, h).sqrt() + kl(m, v).sum(1)).mean(),
        {}, "square_root",
    ),
    "half of the cross-entropy": (
        lambda x, h, m, v: (-rows(x * h.log()) + kl(m, v).sum(1)).mean(),
        {}, "cross_entropy_half_missing",
    ),
    "half of the latents": (
        lambda x, h, m, v: (bce(x, h) + 2 * kl(m, v)[:, ::2].sum(1)).mean(),
        {}, "kl_unexplained",
    ),
    "one row of the images": (
        lambda x, h, m, v: (
            bce(x[..., :4], h[..., :4]) + kl(m, v).sum(1)
        ).mean(),
        dict(data_shape=(4, 8)), "reconstruction_unexplained",
    ),
    "argument overwritten": (inplace, {}, "changes_inputs"),
    "value overwritten in place": (overwritten, {}, "gradient_fails"),
    "free bits": (
        lambda x, h, m, v: (bce(x, h) + kl(m, v).clamp_min(0.5).sum(1)).mean(),
        {}, "kl_shape",
    ),
    "smooth L1": (
        lambda x, h, m, v: (
            rows(F.smooth_l1_loss(h, x, reduction="none")) + kl(m, v).sum(1)
        ).mean(),
        {}, "huber",
    ),
    "KL of deviations from the batch's mean": (
        lambda x, h, m, v: (bce(x, h) + (m - m.mean(0)).pow(2).sum(1)).mean(),
        {}, "kl_unexplained",
    ),
    "the largest latent's KL": (
        lambda x, h, m, v: (bce(x, h) + kl(m, v).amax(1)).mean(),
        {}, "kl_unexplained",
    ),
    "σ for σ²": (
        lambda x, h, m, v: (
            bce(x, h) - 0.5 * (1 + v - m**2 - (v / 2).exp()).sum(1)
        ).mean(),
        {}, "std_for_variance",
    ),
    "no log σ²": (
        lambda x, h, m, v: (bce(x, h) + 0.5 * (m**2 + v.exp()).sum(1)).mean(),
        {}, "kl_term_missing",
    ),
    "no σ²": (
        lambda x, h, m, v: (bce(x, h) + 0.5 * (m**2 - v).sum(1)).mean(),
        {}, "exp_missing",
    ),
    "channels summed, pixels averaged": (
        lambda x, h, m, v: F.binary_cross_entropy(h, x, reduction="none")
        .sum(1).mean() + kl(m, v).sum(1).mean(),
        dict(data_shape=(3, 8, 8)), "mean_over_some_axes",
    ),
    "the last axis summed": (
        lambda x, h, m, v: F.binary_cross_entropy(h, x, reduction="none")
        .sum(-1).mean() + kl(m, v).sum(1).mean(),
        dict(data_shape=(3, 8, 8)), "mean_over_some_axes",
    ),
    "norm over the batch": (
        lambda x, h, m, v: torch.norm(x - h) + kl(m, v).sum(1).mean(),
        dict(data_shape=784), "square_root",
    ),
    "root of the mean squared error": (
        lambda x, h, m, v: F.mse_loss(h, x).sqrt() + kl(m, v).sum(1).mean(),
        dict(data_shape=784), "square_root",
    ),
    "square of the sum": (
        lambda x, h, m, v: ((x - h).sum(1) ** 2).mean() + kl(m, v).sum(1).mean(),
        {}, "reconstruction_unexplained",
    ),
    "bits and nats": (
        lambda x, h, m, v: (bce(x, h) / math.log(2) + kl(m, v).sum(1)).mean(),
        {}, "bits_and_nats",
    ),
    "variance given for the scale": (
        lambda x, h, m, v: (
            -td.Normal(h, 0.09).log_prob(x).sum(1) + kl(m, v).sum(1)
        ).mean(),
        dict(sigma2=0.09), "sigma2_differs",
    ),
    "softplus": (
        lambda x, h, m, v: good(x, h, m, 2 * F.softplus(v).log()), {}, "reads_other",
    ),
    "KL over the pixels": (
        lambda x, h, m, v: bce(x, h).mean() + kl(m, v).sum(1).mean() / x.shape[1],
        {}, "kl_over_pixels",
    ),
    "another likelihood than meant": (
        good, dict(likelihood="Gaussian"), "likelihood_differs",
    ),
    "log σ² where log σ is meant": (
        good, dict(spread="logsigma"), "reads_log_variance",
    ),
    "another β than meant": (good, dict(beta=4.0), "beta"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name):
    loss, settings, finding = MISTAKES[name]
    report = inspect_loss(loss, **{"data_shape": 36, "latents": 5} | settings)
    assert finding in report.names, str(report)
    assert len(report.findings) <= 2  # and little else is


# --- right losses -------------------------------------------------------------------


def by_distributions(x, h, m, v):
    q, p = td.Normal(m, (v / 2).exp()), td.Normal(0.0, 1.0)
    rate = td.kl_divergence(q, p).sum(1)
    return (rate - td.Bernoulli(probs=h).log_prob(x).sum(1)).mean()


def by_independent(x, h, m, v):
    q = td.Independent(td.Normal(m, (v / 2).exp()), 1)
    p = td.Independent(td.Normal(torch.zeros_like(m), torch.ones_like(v)), 1)
    px = td.Independent(td.Bernoulli(logits=h), 1)
    return -(px.log_prob(x) - td.kl_divergence(q, p)).mean()


def by_loops(x, h, m, v):
    total = 0.0
    for n in range(len(x)):
        for d in range(x.shape[1]):
            total = total + 0.5 * (x[n, d] - h[n, d]) ** 2
        for k in range(m.shape[1]):
            total = total + kl(m[n, k], v[n, k])
    return total / len(x)


def by_manual_logs(x, h, m, v):
    rec = -(x * torch.log(h + 1e-8) + (1 - x) * torch.log(1 - h + 1e-8))
    return rec.sum() / len(x) + kl(m, v).sum() / len(x)


def learned_sigma(log_sigma, full):
    def loss(x, h, m, v):
        z = (x - h) / math.exp(log_sigma)
        rec = (0.5 * z**2 + log_sigma + (0.5 * math.log(2 * math.pi) * full)).sum(1)
        return (rec + kl(m, v).sum(1)).mean()

    return loss


def single(x, h, m, v):
    weight = torch.ones(x.shape[1], 1)  # float32, as a layer's weights are
    return ((0.5 * (x - h) ** 2) @ weight).mean() + kl(m, v).sum(1).mean()


def by_matrices(x, h, m, v):
    q = td.MultivariateNormal(m, torch.diag_embed(v.exp()))
    one = torch.eye(m.shape[1], dtype=m.dtype)
    rate = td.kl_divergence(q, td.MultivariateNormal(torch.zeros_like(m), one))
    return (rate - td.Independent(td.Normal(h, 0.1), 1).log_prob(x)).mean()


def clamps(x, h, m, v):
    return good(x, h.clamp(1e-6, 1 - 1e-6), m, v.clamp(-10, 10))


RIGHT = {
    "the rule of the course": (good, {}),
    "Bernoulli of torch.distributions": (by_distributions, {}),
    "Independent, from logits": (by_independent, dict(output="logits")),
    "loops": (by_loops, dict(data_shape=3, latents=2)),
    "logs by hand": (by_manual_logs, {}),
    "sums over everything": (
        lambda x, h, m, v: F.binary_cross_entropy(h, x, reduction="sum")
        + kl(m, v).sum(), {},
    ),
    "means with both sizes divided out": (
        lambda x, h, m, v: F.binary_cross_entropy(h, x)
        + kl(m, v).sum(1).mean() / x.shape[1], {},
    ),
    "the same with 784 written out": (
        lambda x, h, m, v: F.binary_cross_entropy(h, x.view(-1, 784))
        + kl(m, v).sum(1).mean() / 784, dict(data_shape=784),
    ),
    "sums over rows of 784": (
        lambda x, h, m, v: F.binary_cross_entropy(
            h.view(-1, 784), x.view(-1, 784), reduction="sum") / len(m)
        + kl(m, v).sum(1).mean(), dict(data_shape=784),
    ),
    "rows of 784, averaged": (
        lambda x, h, m, v: (bce(x.view(-1, 784), h.view(-1, 784))).mean()
        + kl(m, v).sum(1).mean(), dict(data_shape=784),
    ),
    "without the −1": (
        lambda x, h, m, v: (
            bce(x, h) - 0.5 * (v - m**2 - v.exp()).sum(1)
        ).mean(), {},
    ),
    "another constant": (lambda *a: good(*a) + 17.0, {}),
    "less the data's entropy": (
        lambda x, h, m, v: (bce(x, h) - bce(x, x) + kl(m, v).sum(1)).mean(), {},
    ),
    "both halves dropped": (
        lambda x, h, m, v: (sse(x, h) + 2 * kl(m, v).sum(1)).mean(), {},
    ),
    "learned σ, declared": (learned_sigma(-0.6, False), dict(sigma2=math.exp(-1.2))),
    "learned σ, normalised": (learned_sigma(-0.6, True), {}),
    "learned σ, without log 2π": (learned_sigma(0.4, False), {}),
    "Normal of torch.distributions": (
        lambda x, h, m, v: (
            -td.Normal(h, 0.3).log_prob(x).sum(1) + kl(m, v).sum(1)
        ).mean(), {},
    ),
    "gaussian_nll_loss": (
        lambda x, h, m, v: F.gaussian_nll_loss(
            h, x, torch.full_like(h, 0.2), full=True, reduction="sum") / len(x)
        + kl(m, v).sum(1).mean(), {},
    ),
    "mean and variance from the decoder": (
        lambda x, p, m, v: (
            0.5 * ((x - p[0]) ** 2 * (-p[1]).exp() + p[1]).sum(1) + kl(m, v).sum(1)
        ).mean(),
        dict(pack=lambda h: (h, torch.zeros_like(h))),
    ),
    "Laplace": (
        lambda x, h, m, v: ((x - h).abs().sum(1) + kl(m, v).sum(1)).mean(), {},
    ),
    "Laplace of torch.distributions": (
        lambda x, h, m, v: (
            -td.Laplace(h, 0.2).log_prob(x).sum(1) + kl(m, v).sum(1)
        ).mean(), {},
    ),
    "Laplace, declared": (
        lambda x, h, m, v: (5 * (x - h).abs().sum(1) + kl(m, v).sum(1)).mean(),
        dict(scale=0.2),
    ),
    "squared error of a sigmoid": (
        lambda x, h, m, v: (0.5 * sse(x, h.sigmoid()) + kl(m, v).sum(1)).mean(),
        dict(output="logits"),
    ),
    "continuous Bernoulli": (
        lambda x, h, m, v: (
            -td.ContinuousBernoulli(h, validate_args=False).log_prob(x).sum(1)
            + kl(m, v).sum(1)
        ).mean(), {},
    ),
    "β that is meant": (
        lambda x, h, m, v: (bce(x, h) + 4 * kl(m, v).sum(1)).mean(), dict(beta=4.0),
    ),
    "log σ that is meant": (
        lambda x, h, m, v: (bce(x, h) + KL_LOG_SIGMA(m, v).sum(1)).mean(),
        dict(spread="logsigma"),
    ),
    "σ² that is meant": (
        lambda x, h, m, v: good(x, h, m, v.log()), dict(spread="var"),
    ),
    "σ that is meant": (
        lambda x, h, m, v: good(x, h, m, 2 * v.log()), dict(spread="sigma"),
    ),
    "float32 only": (single, {}),
    "clamps": (clamps, {}),
    "one value per example": (
        lambda x, h, m, v: bce(x, h) + kl(m, v).sum(1), {},
    ),
    "standard deviations": (
        lambda x, h, m, v: (
            bce(x, h) - 0.5 * v.sum(1) + ((0.5 * v).exp() ** 2 + m**2).sum(1) / 2
        ).mean(), {},
    ),
    "full covariances": (by_matrices, {}),
    "batch written out": (
        lambda x, h, m, v: F.binary_cross_entropy(h, x, reduction="sum") / 32
        + kl(m, v).sum() / 32, dict(batch=32),
    ),
    "latents written out": (
        lambda x, h, m, v: (bce(x, h) + kl(m, v).view(-1, 5).sum(1)).mean(), {},
    ),
    "σ² set to the mean squared error": (
        lambda x, h, m, v: x.shape[1] / 2 * F.mse_loss(h, x).log()
        + kl(m, v).sum(1).mean(), {},
    ),
    "a distribution for x_hat": (
        lambda x, p, m, v: (-p.log_prob(x).sum(1) + kl(m, v).sum(1)).mean(),
        dict(pack=lambda h: td.Normal(h, 0.7)),
    ),
    "vmap": (
        lambda x, h, m, v: torch.vmap(
            lambda a, b, c, d: 0.5 * ((a - b) ** 2).sum() + kl(c, d).sum()
        )(x, h, m, v).mean(), {},
    ),
    "a tiny σ": (
        lambda x, h, m, v: (sse(x, h) / 2e-4 + kl(m, v).sum(1)).mean(),
        dict(sigma2=1e-4),
    ),
    "one pixel, one latent": (good, dict(data_shape=1, latents=1, batch=2)),
    "images": (good, dict(data_shape=(3, 8, 8))),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_loss_is_understood_without_alarm(name):
    loss, settings = RIGHT[name]
    report = inspect_loss(loss, **{"data_shape": 36, "latents": 5} | settings)
    assert report.ok, str(report)
    assert report.beta == pytest.approx(settings.get("beta", 1.0), rel=1e-3)
    told = {
        "Laplace": "Laplace", "continuous": "continuous Bernoulli",
        "learned": "Gaussian", "Normal": "Gaussian", "gaussian": "Gaussian",
        "squared": "Gaussian", "mean and": "Gaussian",
        "both": "Gaussian", "loops": "Gaussian",
        "float32": "Gaussian", "full": "Gaussian", "σ² set": "Gaussian",
        "a dist": "Gaussian", "vmap": "Gaussian", "a tiny": "Gaussian",
    }  # fmt: skip
    expected = next((k for p, k in told.items() if name.startswith(p)), "Bernoulli")
    assert report.likelihood == expected
    reads = {"Independent, from logits", "squared error of a sigmoid"}
    assert (report.parametrisation == "logits") == (name in reads)


@given(
    overall=st.floats(0.01, 100),
    beta=st.floats(0.01, 50),
    sigma2=st.floats(0.01, 10),
    reductions=st.tuples(*[st.booleans()] * 3),
    seed=st.integers(0, 2),
)
@with_settings(max_examples=15, deadline=None)
def test_beta_times_sigma2_whatever_the_scales(overall, beta, sigma2, reductions, seed):
    """A loss put together from its definition: the product, and β once σ² is known."""
    D, K = 7, 3
    mean_batch, mean_data, mean_latents = reductions

    def loss(x, h, m, v):
        rec = (x - h) ** 2 / (2 * sigma2) if seed else (x - h).abs() / sigma2
        rec = rec.mean(1) if mean_data else rec.sum(1)
        rate = kl(m, v).mean(1) if mean_latents else kl(m, v).sum(1)
        each = overall * (rec + beta * rate)
        return each.mean() if mean_batch else each.sum()

    true = beta * (D if mean_data else 1) / (K if mean_latents else 1)
    sizes = dict(data_shape=D, latents=K)
    free = inspect_loss(loss, **sizes)
    known = dict(sigma2=sigma2) if seed else dict(scale=sigma2)
    told = inspect_loss(loss, **sizes, **known)
    assert free.beta == pytest.approx(true * sigma2, rel=1e-6)
    assert told.beta == pytest.approx(true, rel=1e-6)
    assert told.data_reduction == ("mean" if mean_data else "sum")
    assert told.latent_reduction == ("mean" if mean_latents else "sum")
    assert told.batch_reduction == ("mean" if mean_batch else "sum")
    assert told.likelihood == ("Gaussian" if seed else "Laplace")
    assert told.ok == (abs(true - 1) < 2e-3)


def test_a_kl_estimated_by_sampling():
    def loss(x, h, m, v):
        q = td.Normal(m, (v / 2).exp())
        z = q.rsample()
        rate = (q.log_prob(z) - td.Normal(0.0, 1.0).log_prob(z)).sum(1)
        return (bce(x, h) + rate).mean()

    state = torch.get_rng_state()
    report = inspect_loss(loss, data_shape=9, latents=5)
    assert torch.equal(torch.get_rng_state(), state)  # yours is left alone
    assert report.ok, str(report)
    assert report.beta == pytest.approx(1, abs=0.02)
    assert any("random numbers" in note for note in report.notes)


def test_a_loss_that_counts_its_calls():
    calls = []

    def loss(x, h, m, v):
        calls.append(1)
        return (bce(x, h) + len(calls) / 1000 * kl(m, v).sum(1)).mean()

    report = inspect_loss(loss)
    assert report.names == ["changes_between_calls"] and report.beta is None


@pytest.mark.parametrize("name", ["the rule of the course", "Laplace", "a tiny σ"])
def test_float32_at_the_size_of_photographs(name):
    loss, settings = RIGHT[name]
    used = lambda *a: loss(*(v.float() for v in a))  # noqa: E731
    report = inspect_loss(used, data_shape=12288, latents=2, **settings)
    assert report.ok, str(report)
    assert report.beta == pytest.approx(1, rel=5e-4)


# --- losses that do not answer ------------------------------------------------------


def raises(x, h, m, v):
    raise KeyError("beta")


@pytest.mark.parametrize(
    ("loss", "name", "said"),
    [
        (raises, "raises", "raised KeyError: 'beta'"),
        (lambda x, h: x.sum(), "raises", "takes 2 positional arguments"),
        (lambda x, h, m, v: good(x[:, :3], h, m, v), "raises", "(6, 784)"),
        (lambda *a: good(*a) * float("nan"), "not_finite", "returned nan"),
        (lambda *a: good(*a) / 0, "not_finite", "returned inf"),
        (lambda *a: (good(*a), 1.0), "not_a_number", "loss(*a)[0]"),
        (lambda *a: {"loss": good(*a)}, "not_a_number", 'loss(*a)["loss"]'),
        (lambda *a: None, "not_a_number", "returned a NoneType"),
        (lambda *a: "one", "not_a_number", "returned a str"),
        (lambda *a: True, "not_a_number", "returned a bool"),
    ],
)
def test_a_loss_that_gives_no_number(loss, name, said):
    report = inspect_loss(loss)
    assert report.names == [name]
    assert said in report.findings[0].sentence
    assert report.beta is None and not report.ok
    assert "effective β        unknown" in str(report)


def test_a_loss_that_breaks_at_some_probes_only():
    def loss(x, h, m, v):
        if m.abs().max() > 2.5:
            raise RuntimeError("mu is large\nwith details")
        return good(x, h, m, v)

    report = inspect_loss(loss)
    (found,) = report.findings
    assert found.name == "raises" and "RuntimeError: mu is large." in found.sentence


def test_a_constant_loss():
    report = inspect_loss(lambda x, h, m, v: 0 * good(x, h, m, v))
    assert report.names[:2] == ["no_reconstruction", "no_kl"]
    assert report.beta is None and report.kl_sign == 0


def test_what_torch_warns_of_is_a_note():
    def loss(x, h, m, v):
        warnings.warn("", stacklevel=1)
        F.mse_loss(h[:, :1], x)  # broadcasts
        return good(x, h, m, v)

    report = inspect_loss(loss)
    assert report.ok
    assert any("target size" in note for note in report.notes)


def test_an_unknown_reconstruction_has_no_beta():
    loss = lambda x, h, m, v: ((x - h) ** 4).sum(1).mean() + kl(m, v).sum(1).mean()  # noqa: E731
    report = inspect_loss(loss)
    assert report.likelihood == "unknown" and report.beta is None
    assert report.names == ["reconstruction_shape"]
    assert (report.data_reduction, report.latent_reduction) == ("sum", "sum")


def test_a_prior_of_another_mean_or_variance():
    def loss(mean, variance):
        def value(x, h, m, v):
            p = td.Normal(mean, variance**0.5)
            rate = td.kl_divergence(td.Normal(m, (v / 2).exp()), p)
            return (bce(x, h) + rate.sum(1)).mean()

        return value

    shifted = inspect_loss(loss(1.0, 1.0))
    assert shifted.names == ["prior_mean"] and "mu = 1:" in shifted.findings[0].sentence
    wide = inspect_loss(loss(0.0, 4.0))
    assert "a prior of variance 4" in str(wide) and not wide.findings[0].certain


@pytest.mark.parametrize(
    ("loss", "batch"),
    [
        (good, "mean"),
        (lambda *a: 6 * good(*a), "mean"),
        (lambda *a: good(*a) * len(a[0]), "sum"),
        (lambda *a: good(*a) * len(a[0]) ** 2, "sum, then once more for each"),
        (lambda *a: good(*a) / len(a[0]), "divided by the number 2 times"),
        (lambda x, h, m, v: bce(x, h) + kl(m, v).sum(1), "none"),
        (
            lambda x, h, m, v: bce(x, h).mean() + kl(m, v).sum(),
            "reconstruction: mean; KL: sum",
        ),
    ],
)
def test_the_batch_reduction(loss, batch):
    report = inspect_loss(loss, data_shape=5, latents=3)
    assert report.batch_reduction == batch
    assert (report.data_reduction, report.latent_reduction) == ("sum", "sum")


@pytest.mark.parametrize("divide", ["rec", "kl", "both", "neither"])
@pytest.mark.parametrize("view", [True, False])
def test_sizes_written_out_as_numbers(divide, view):
    """Divided by 784, not by a shape: no other size of data tells."""

    def loss(x, h, m, v):
        if view:
            x, h = x.view(-1, 784), h.view(-1, 784)
        rec = bce(x, h).mean()
        rec = rec / 784 if divide in ("rec", "both") else rec
        rate = kl(m, v).sum(1).mean()
        return rec + (rate / 784 if divide in ("kl", "both") else rate)

    report = inspect_loss(loss)
    over = "mean" if divide in ("rec", "both") else "sum"
    names = {"rec": ["mean_over_pixels"], "kl": ["kl_over_pixels"]}.get(divide, [])
    assert (report.data_reduction, report.names) == (over, names), str(report)


# --- the report, the settings -------------------------------------------------------


def test_the_report_as_text_and_html():
    def loss(x, h, m, v):
        return (sse(x, h) + kl(m, v).sum(1)).mean()

    report = inspect_loss(loss)
    text, page = str(report), report._repr_html_()
    assert "effective β        0.5 at σ² = 1, assumed" in text
    assert "squared_error_without_half (?): " in text
    assert "No input can tell apart:\n  - β = 0.5 at σ² = 1" in text
    assert page.startswith("<table><tr><th scope='row'") and "<li>" in page
    assert page.count("<ul>") == page.count("</ul>") == 2
    fine = inspect_loss(loss, sigma2=0.5)
    assert str(fine).endswith("Nothing to look at.")
    assert "Nothing to look at." in fine._repr_html_()


def test_what_a_loss_says_is_escaped():
    def loss(x, h, m, v):
        raise ValueError("<script>")

    assert "<script>" not in inspect_loss(loss)._repr_html_()
    report = LossReport(findings=[Finding("a", "b & c", certain=False)])
    assert "a (?): b &amp; c" in report._repr_html_()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (dict(data_shape=0), "data_shape is 0"),
        (dict(data_shape=()), "expected sizes such as"),
        (dict(data_shape=[28, 28]), "expected sizes such as"),
        (dict(data_shape=(28, 2.0)), "data_shape is 2.0"),
        (dict(latents=0), "latents is 0"),
        (dict(latents=True), "latents is True"),
        (dict(batch=1), "batch is 1; expected a whole number from 2"),
        (dict(beta=0), "beta is 0"),
        (dict(beta=None), "beta is None"),
        (dict(beta=math.nan), "beta is nan"),
        (dict(sigma2=-1.0), "sigma2 is -1.0"),
        (dict(scale=math.inf), "scale is inf"),
        (dict(likelihood="gaussian"), "likelihood is 'gaussian'; expected one of"),
        (dict(output="pixels"), "output is 'pixels'"),
        (dict(spread="std"), "spread is 'std'"),
    ],
)
def test_bad_settings(changed, said):
    with pytest.raises(ValueError, match=said):
        inspect_loss(good, **changed)


def test_a_loss_has_to_be_callable():
    with pytest.raises(ValueError, match="loss is a int; expected a callable"):
        inspect_loss(3)
