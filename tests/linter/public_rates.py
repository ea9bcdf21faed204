"""Losses of public projects with another divergence, prior, floor or clamp."""

from __future__ import annotations

import math

import torch
from public_record import Public, bce, draw, kl, log_normal, logits, rows
from torch import distributions as td
from torch.nn import functional as F

SMALL = dict(data_shape=16, latents=4)
CODE = dict(data_shape=16, latents=10)


# --- priors that are no standard normal ---------------------------------------------


def sampled_kl(x, h, m, s):
    q, p = td.Normal(m, s), td.Normal(0.0, 1.0)
    z = q.rsample()
    return (bce(x, h) + (q.log_prob(z) - p.log_prob(z)).sum(1)).mean()


def pseudo_inputs(x, h, m, v):
    """A mixture of five Gaussians for a prior."""
    z, k = draw(m, v), m.shape[1]
    centre = torch.linspace(-2, 2, 5 * k, dtype=m.dtype).view(5, k)
    spread = torch.full_like(centre, -0.5)
    prior = log_normal(z[:, None], centre, spread).sum(2).logsumexp(1) - math.log(5)
    return F.mse_loss(h, x) + 0.00025 * (log_normal(z, m, v).sum(1) - prior).mean()


def mixture_of_priors(x, h, m, v):
    """Standard normal, an old posterior and a wide normal, mixed."""
    z = draw(m, v)
    wide = torch.full_like(z, 10.0)
    parts = torch.stack([
        log_normal(z, 0.0, 0 * z) + math.log(3 / 20),
        log_normal(z, 0.3, -1 + 0 * z) + math.log(3 / 4),
        log_normal(z, 0.0, wide) + math.log(1 / 10),
    ])  # fmt: skip
    rate = (log_normal(z, m, v) - parts.logsumexp(0)).sum(1)
    scale = 0.005 * x.sum(1)
    return (-(F.log_softmax(h, 1) * x).sum(1) + rate * scale).mean()


def learned_prior(x, p, m, v):
    """Another mean and variance for each latent."""
    k = m.shape[1]
    mean = torch.linspace(-1, 1, k, dtype=m.dtype)
    logvar = torch.linspace(-0.5, 0.7, k, dtype=m.dtype)
    rate = logvar - v + (v.exp() + (m - mean) ** 2) / logvar.exp() - 1
    return (bce(x, p) + 0.5 * rate.sum(1)).mean()


def topics(x, p, m, v):
    """A Dirichlet's Laplace approximation; words of a normalised decoder."""
    k = m.shape[1]
    variance = (1 - 2 / k) / 0.2 + 1 / (k * 0.2)
    ratio = v.exp() / variance + m**2 / variance
    rate = 0.5 * ((ratio + math.log(variance) - v).sum(1) - k)
    return (-(x * (p + 1e-10).log()).sum(1) + rate).mean()


def laplace_code(x, p, m, s):
    rate = td.kl_divergence(td.Laplace(m, s), td.Laplace(0.0, 1.0))
    return (bce(x, p) + rate.sum(1)).mean()


def categorical_code(x, h, m, v):
    """Ten classes: softmax of the code, KL from the uniform."""
    q, k = m.softmax(1), m.shape[1]
    rate = (q * ((q + 1e-7).log() - math.log(1 / k + 1e-7))).sum(1).mean()
    return 30 * F.mse_loss(h, x) + 0.00025 * rate


def symmetric(x, p, m, v):
    back = 0.5 * ((1 + m**2) * (-v).exp() - 1 + v)
    return (bce(x, p) + 0.5 * rows(kl(m, v) + back)).mean()


def voices(x, h, z_mean, logs):
    """A flow's KL with the identity for a flow: one sample, averaged over time."""
    z = z_mean + torch.randn_like(z_mean) * logs.exp()
    rate = (-logs - 0.5 + 0.5 * z**2).sum((1, 2)) / z.shape[2]
    return 45 * F.l1_loss(h, x) + rate.mean()


# --- free bits, capacities, clamps --------------------------------------------------


def capacity(gamma, nats):
    return lambda x, h, m, v: (
        logits(x, h).mean() + gamma * (rows(kl(m, v)).mean() - nats).abs()
    )


def joint_capacities(x, h, m, v):
    q = m[:, :3].softmax(1)
    other = (q * (q.log() - math.log(1 / 3))).sum(1).mean()
    own = rows(kl(m[:, 3:], v[:, 3:])).mean()
    rate = 30 * (0.5 - other).abs() + 30 * (2.0 - own).abs()
    return 30 * F.mse_loss(h, x) + 0.00025 * rate


def softly_clamped(x, h, m, s):
    m, s = 5 * (m / 5).tanh(), (5 * (s / 5).tanh()).exp() + 1e-2
    rate = td.kl_divergence(td.Normal(m, s), td.Normal(0.0, 1.0))
    return (logits(x, h) + rate.sum(1)).mean()


def free_bits_of_the_batch(x, p, m, v):
    return bce(x, p).mean() + kl(m, v).mean(0).clamp_min(0.1).sum()


RATES = (
    Public(
        "torch.distributions, the KL by one sample, σ given", sampled_kl,
        dict(data_shape=20, latents=2, spread="sigma"), 1.0,
    ),
    Public("AntixK/PyTorch-VAE (Subramanian), VampPrior", pseudo_inputs, SMALL, None),
    Public("ilya-shenbin/RecVAE (Shenbin)", mixture_of_priors, SMALL, None),
    Public("edenton/svg (Denton), a learned prior", learned_prior, SMALL, None),
    Public("hyqneuron/pytorch-avitm, ProdLDA (Srivastava)", topics, SMALL, None),
    Public(
        "torch.distributions, Laplace codes", laplace_code,
        SMALL | dict(spread="sigma"), None,
    ),
    Public(
        "AntixK/PyTorch-VAE (Subramanian), categorical codes", categorical_code,
        CODE, None, may=("mean_over_pixels", "logvar_missing"),
    ),
    Public("a symmetric KL (Pu et al. 2017)", symmetric, SMALL, None),
    Public(
        "jaywalnut310/vits (Kim)", voices,
        dict(data_shape=(8, 6), latents=(4, 6), spread="logsigma"), 48 / 45 / 6,
        may=("mean_over_pixels", "kl_mean_over_latents"),
    ),
    Public("1Konny/Beta-VAE (Lee), B, capacity 25", capacity(1000.0, 25.0), CODE, None),
    Public(
        "google-research/disentanglement_lib (Locatello), annealed, capacity 0.2",
        capacity(10.0, 0.2), CODE, None,
    ),
    Public("AntixK/PyTorch-VAE (Subramanian), JointVAE", joint_capacities, CODE, None),
    Public(
        "hardmaru/WorldModelsExperiments (Ha), KL tolerance",
        lambda x, h, m, v: (
            rows((x - h) ** 2) + rows(kl(m, v)).clamp_min(0.5 * m.shape[1])
        ).mean(), SMALL, None,
    ),
    Public(
        "magenta/magenta (Roberts), MusicVAE's free bits",
        lambda x, p, m, v: (
            bce(x, p) + 0.2 * (rows(kl(m, v)) - 2 * math.log(2)).clamp_min(0)
        ).mean(), SMALL, None,
    ),
    Public(
        "danijar/dreamer (Hafner), free nats of the mean",
        lambda x, h, m, v: (
            0.5 * rows((x - h) ** 2).mean() + rows(kl(m, v)).mean().clamp_min(3.0)
        ), SMALL, None,
    ),
    Public(
        "openai/iaf (Kingma), free bits of the batch's mean", free_bits_of_the_batch,
        SMALL, None,
    ),
    Public(
        "a handwriting VAE: the KL clamped at 10",
        lambda x, h, m, v: F.mse_loss(h, x) + kl(m, v).sum().clamp(0, 10), SMALL, None,
    ),
    Public(
        "NVlabs/NVAE (Vahdat), soft clamps", softly_clamped,
        SMALL | dict(spread="logsigma"), None,
    ),
    Public(
        "ParthaEth/Regularized_autoencoders (Ghosh), RAE",
        lambda x, h, m, v: (
            rows((x - h) ** 2).mean() + 1e-2 * 0.5 * m.square().sum(1).mean()
        ), SMALL, None, says=("logvar_missing",),
    ),
    Public(
        "danijar/dreamerv2 (Hafner), KL balancing with a fixed prior",
        lambda x, h, m, v: (
            0.5 * rows((x - h) ** 2)
            + 0.8 * rows(kl(m, v).detach()) + 0.2 * rows(kl(m, v))
        ).mean(), SMALL, 1.0, says=("mu_gradient", "logvar_gradient"),
    ),
)  # fmt: skip
