"""Losses of public projects whose reconstruction is no usual likelihood."""

from __future__ import annotations

import math

import torch
from public_record import Public, bce, kl, rows
from torch.nn import functional as F

SMALL = dict(data_shape=16, latents=4)
PICTURE = dict(data_shape=(1, 8, 8), latents=4)


def rate(m, v):
    """Give the mean KL, which is in order in all of these."""
    return rows(kl(m, v)).mean()


def log_cosh(x, h, m, v):
    t = 100 * (h - x)
    rec = (t + (1 + (-2 * t).exp()).log() - math.log(2)).mean() / 100
    return rec + 10 * 0.00025 * rate(m, v)


def softclip_sigma(x, h, m, v):
    log_sigma = ((x - h) ** 2).mean().sqrt().log()
    log_sigma = -6 + F.softplus(log_sigma + 6)
    error = 0.5 * ((x - h) / log_sigma.exp()) ** 2 + log_sigma
    return error.sum() + kl(m, v).sum()


def own_sigma_each(x, h, m, v):
    """σ² of each example set to its own mean squared error."""
    mse = ((x - h) ** 2).mean(1)
    return (x.shape[1] / 2 * mse.log()).mean() + rate(m, v)


def negative_binomial(x, h, m, v):
    theta, mean = 2.0, h.exp()
    total = (theta + mean).log()
    log_prob = theta * (math.log(theta) - total) + x * (h - total)
    return (-log_prob).sum(1).mean() + rate(m, v)


def graph_weighted(x, h, m, s):
    """Links weighted by 5, as in sparse graphs."""
    weight = torch.tensor(5.0, dtype=x.dtype)
    rec = 0.6 * F.binary_cross_entropy_with_logits(h, x, pos_weight=weight)
    return rec - 0.5 / len(m) * (1 + 2 * s - m**2 - s.exp() ** 2).sum(1).mean()


def structural(x, h):
    """One minus SSIM over windows of 3 by 3."""

    def mean(value):
        return F.avg_pool2d(value, 3, 1)

    a, b = mean(x), mean(h)
    var_a, var_b = mean(x * x) - a * a, mean(h * h) - b * b
    cov = mean(x * h) - a * b
    top = (2 * a * b + 1e-4) * (2 * cov + 9e-4)
    return 1 - (top / ((a * a + b * b + 1e-4) * (var_a + var_b + 9e-4))).mean()


def edges(x, h):
    """Differences of neighbours: nothing of equal images."""
    return rows((x.diff(dim=-1) - h.diff(dim=-1)) ** 2).mean()


def features(x, h):
    filters = torch.linspace(-1, 1, 36, dtype=x.dtype).sin().view(4, 1, 3, 3)
    return F.mse_loss(F.conv2d(h, filters).relu(), F.conv2d(x, filters).relu())


def words(x, h, m, v):
    """Four positions, four words each: a softmax over every four logits."""
    chosen = F.log_softmax(h.view(-1, 4, 4), 2) * x.view(-1, 4, 4)
    return -chosen.sum() / len(x) + rate(m, v)


def rated(x, h, m, v):
    """Only what was rated counts."""
    return (((x - h) ** 2) * (x > 0)).sum(1).mean() + rate(m, v)


def outliers(x, h, m, v):
    error = (h - x).abs()
    weight = torch.where(error > 2, 2.0, 1.0)
    return (weight * error**2).mean() + kl(m, v).sum() / len(x)


def two_parts(x, p, m, v):
    """A picture and a label, the label weighted by 10."""
    one = F.binary_cross_entropy(p, x, reduction="none")
    return (one[:, :12].sum(1) + 10 * one[:, 12:].sum(1)).mean() + rate(m, v)


def spectrum(x, p, m, v):
    """Itakura-Saito, for power spectra."""
    ratio = (x + 1e-9) / (p + 1e-9)
    return (ratio - ratio.log() - 1).sum(1).mean() + rate(m, v)


LIKELIHOODS = (
    Public(
        "AntixK/PyTorch-VAE (Subramanian), log-cosh", log_cosh, SMALL, None,
        may=("mean_over_pixels",),
    ),
    Public(
        "orybkin/sigma-vae-pytorch (Rybkin), optimal σ, clipped softly",
        softclip_sigma, SMALL, None,
    ),
    Public("σ² of each example (Rybkin's per-image form)", own_sigma_each, SMALL, None),
    Public(
        "scverse/scvi-tools (Lopez), negative binomial", negative_binomial, SMALL, None,
    ),
    Public(
        "zfjsail/gae-pytorch, weighted links (Kipf)", graph_weighted,
        dict(data_shape=12, batch=12, latents=8, spread="logsigma", output="logits"),
        None,
    ),
    Public(
        "AntixK/PyTorch-VAE (Subramanian), structural similarity",
        lambda x, h, m, v: structural(x, h) + 0.00025 * rate(m, v), PICTURE, None,
    ),
    Public(
        "mean squared error and structural similarity",
        lambda x, h, m, v: rows((x - h) ** 2).mean() + structural(x, h) + rate(m, v),
        PICTURE, None,
    ),
    Public(
        "differences of neighbours alone",
        lambda x, h, m, v: edges(x, h) + rate(m, v), PICTURE, None,
    ),
    Public(
        "squared error and differences of neighbours",
        lambda x, h, m, v: (
            0.5 * rows((x - h) ** 2).mean() + 0.3 * edges(x, h) + rate(m, v)
        ), PICTURE, None,
    ),
    Public(
        "AntixK/PyTorch-VAE (Subramanian), features of a network",
        lambda x, h, m, v: (
            0.5 * (F.mse_loss(h, x) + features(x, h)) + 0.00025 * rate(m, v)
        ), PICTURE, None,
    ),
    Public(
        "dawenl/vae_cf (Liang), multinomial, β = 0.2",
        lambda x, h, m, v: (
            -(F.log_softmax(h, 1) * x).sum(1).mean() + 0.2 * rate(m, v)
        ), SMALL, None,
    ),
    Public("timbmg/Sentence-VAE (Baumgärtner), words", words, SMALL, None),
    Public("a recommender: squared error of what was rated", rated, SMALL, None),
    Public(
        "an outlier-aware VAE: larger errors than those of pixels count twice",
        outliers, SMALL, 8.0, may=("mean_over_pixels",),
    ),
    Public("mhw32/multimodal-vae-public (Wu)", two_parts, SMALL, None),
    Public("a speech VAE: Itakura-Saito", spectrum, SMALL, None),
    Public(
        "counts: Poisson with a log rate",
        lambda x, h, m, v: F.poisson_nll_loss(h, x, reduction="sum") / len(x)
        + rate(m, v), SMALL, None,
    ),
    Public(
        "cross-entropy and squared error together",
        lambda x, p, m, v: (
            bce(x, p).mean() + rows((x - p) ** 2).mean() + rate(m, v)
        ), SMALL, None,
    ),
    Public(
        "foreground weighted by 10",
        lambda x, p, m, v: (
            F.binary_cross_entropy(p, x, weight=1 + 9 * x, reduction="sum") / len(x)
            + rate(m, v)
        ), SMALL, None,
    ),
    Public(
        "pixels near the middle count more",
        lambda x, h, m, v: (
            ((x - h) ** 2 * torch.linspace(0.9, 1.1, 16, dtype=x.dtype)).sum(1).mean()
            + rate(m, v)
        ), SMALL, None,
    ),
    Public(
        "Charbonnier, ε = 0.1",
        lambda x, h, m, v: (
            rows(((x - h) ** 2 + 0.01).sqrt()).mean() + rate(m, v)
        ), SMALL, None,
    ),
    Public(
        "Student's t with 5 degrees",
        lambda x, h, m, v: (
            3 * rows((1 + (x - h) ** 2 / 5).log()).mean() + rate(m, v)
        ), SMALL, None,
    ),
    Public(
        "labels smoothed by 0.1",
        lambda x, p, m, v: bce(0.05 + 0.9 * x, p).mean() + rate(m, v), SMALL, None,
    ),
    Public(
        "the KL times the reconstruction",
        lambda x, p, m, v: (bce(x, p) * (1 + rows(kl(m, v)))).mean(), SMALL, None,
    ),
)  # fmt: skip
