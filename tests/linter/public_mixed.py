"""Losses of public projects whose rate mixes examples, latents or samples."""

from __future__ import annotations

import math

import torch
from public_record import Public, bce, draw, kl, log_normal, logits, rows
from torch.nn import functional as F

SMALL = dict(data_shape=16, latents=4)
CODE = dict(data_shape=16, latents=10)


def network(width: int, out: int, seed: int = 0) -> torch.nn.Module:
    """Make an untrained network of 64-bit weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Linear(width, 32), torch.nn.LeakyReLU(0.2),
            torch.nn.Linear(32, out),
        ).double()  # fmt: skip


# --- the total correlation and its relatives ----------------------------------------


def marginals(z, m, v, weights=None):
    """Give log q(z) and the sum of log q(z_k), from the batch."""
    each = log_normal(z[:, None], m[None], v[None])
    joint, single = each.sum(2), each
    if weights is not None:
        joint, single = joint + weights, single + weights[..., None]
    return joint.logsumexp(1), single.logsumexp(1).sum(1)


def total_correlation(alpha, beta, gamma, data=0, stratified=False):
    def loss(x, h, m, v):
        z, n, weights = draw(m, v), len(m), None
        if stratified:
            own, rest = 1 / data, (data - n + 1) / (data * (n - 1))
            one = torch.eye(n, dtype=m.dtype)
            follower = one.roll(1, 1)
            other = (1 - one - follower) / (n - 1)
            weights = (own * one + rest * follower + other).log()
        qz, product = marginals(z, m, v, weights)
        constant = math.log(n * data) if data and not stratified else 0.0
        qz, product = qz - constant, product - constant * m.shape[1]
        cond = log_normal(z, m, v).sum(1)
        prior = log_normal(z, 0.0, torch.zeros_like(v)).sum(1)
        rate = alpha * (cond - qz) + beta * (qz - product) + gamma * (product - prior)
        return (logits(x, h) + rate).mean()

    return loss


def per_example_total_correlation(x, p, m, v):
    """Closed KL and 5 times the total correlation, one value per example."""
    qz, product = marginals(draw(m, v), m, v)
    return bce(x, p) + rows(kl(m, v)) + 5 * (qz - product)


def factor(gamma):
    judge = network(10, 2)

    def loss(x, h, m, v):
        score = judge(draw(m, v))
        return (
            logits(x, h).mean() + rows(kl(m, v)).mean()
            + gamma * (score[:, 0] - score[:, 1]).mean()
        )  # fmt: skip

    return loss


def dip(second):
    def loss(x, p, m, v):
        centred = m - m.mean(0)
        cov = centred.T @ centred / len(m)
        if second:
            cov = cov + torch.diag(v.exp().mean(0))
        diagonal = torch.diagonal(cov)
        off = cov - torch.diag(diagonal)
        extra = 10 * (off**2).sum() + 5 * ((diagonal - 1) ** 2).sum()
        return bce(x, p).mean() + rows(kl(m, v)).mean() + extra

    return loss


# --- divergences of samples ---------------------------------------------------------


def imq(a, b, c):
    return c / (c + (a[:, None] - b[None]).square().sum(-1))


def mmd_imq(z):
    y, c = torch.randn_like(z), 4.0 * z.shape[1]
    return imq(z, z, c).mean() + imq(y, y, c).mean() - 2 * imq(z, y, c).mean()


def mmd_rbf(z):
    y = torch.randn_like(z)

    def kernel(a, b):
        return (-(a[:, None] - b[None]).square().mean(2) / z.shape[1]).exp().mean()

    return kernel(z, z) + kernel(y, y) - 2 * kernel(z, y)


def sliced(z):
    way = F.normalize(torch.randn(20, z.shape[1], dtype=z.dtype), dim=1)
    y = torch.randn_like(z)
    return ((z @ way.T).sort(0)[0] - (y @ way.T).sort(0)[0]).square().mean()


def info(x, h, m, v):
    rest = 98.5 / (len(x) * (len(x) - 1)) * mmd_imq(draw(m, v))
    return 5 * F.mse_loss(h, x) + 1.5 * 0.00025 * rows(kl(m, v)).mean() + rest


# --- bounds of many samples ---------------------------------------------------------


def many_samples(x, p, m, v):
    m, v = m.expand(5, *m.shape), v.expand(5, *v.shape)
    z = draw(m, v)
    weight = log_normal(z, 0.0, 0 * v).sum(2) - log_normal(z, m, v).sum(2)
    return (bce(x, p) - weight.logsumexp(0) + math.log(5)).mean()


def weighted_samples(x, h, m, v):
    """Weights of 5 reconstructions from squared errors and the KL."""
    shift = torch.linspace(-0.2, 0.2, 5, dtype=x.dtype).view(5, 1, 1)
    weight = (h + shift - x).square().mean(2) + 0.00025 * rows(kl(m, v))
    return (weight.softmax(0).detach() * weight).sum(0).mean()


MIXED = (
    Public(
        "AntixK/PyTorch-VAE (Subramanian), β-TCVAE with β = 6",
        total_correlation(1, 6, 1), CODE, None,
    ),
    Public(
        "YannDubs/disentangling-vae (Dubois), weighted sampling",
        total_correlation(1, 6, 1, data=60000), CODE, None,
    ),
    Public(
        "YannDubs/disentangling-vae (Dubois), stratified sampling",
        total_correlation(1, 6, 1, data=60000, stratified=True), CODE, None,
    ),
    Public(
        "rtqichen/beta-tcvae (Chen), without the mutual information",
        total_correlation(0, 4, 1, data=60000), SMALL, None,
    ),
    Public(
        "rtqichen/beta-tcvae (Chen), all weights 1",
        total_correlation(1, 1, 1, data=60000), SMALL, 1.0,
    ),
    Public(
        "probtorch (Esmaeili), HFVAE's weights", total_correlation(1, 7, 2), CODE, None,
    ),
    Public(
        "YannDubs/disentangling-vae (Dubois), one value per example",
        per_example_total_correlation, SMALL, None,
    ),
    Public("1Konny/FactorVAE (Lee), γ = 6.4", factor(6.4), CODE, None),
    Public("1Konny/FactorVAE (Lee), γ = 0.5", factor(0.5), CODE, None),
    Public(
        "google-research/disentanglement_lib (Locatello), DIP I", dip(False),
        SMALL, None,
    ),
    Public(
        "google-research/disentanglement_lib (Locatello), DIP II", dip(True),
        SMALL, None,
    ),
    Public(
        "AntixK/PyTorch-VAE (Subramanian), WAE",
        lambda x, h, m, v: F.mse_loss(h, x) + 100 * mmd_imq(m), SMALL, None,
        may=("mean_over_pixels", "logvar_missing"),
    ),
    Public("AntixK/PyTorch-VAE (Subramanian), InfoVAE", info, SMALL, None),
    Public(
        "ShengjiaZhao/MMD-Variational-Autoencoder (Zhao)",
        lambda x, h, m, v: F.mse_loss(h, x) + mmd_rbf(draw(m, v)), SMALL, None,
    ),
    Public(
        "AntixK/PyTorch-VAE (Subramanian), sliced Wasserstein",
        lambda x, h, m, v: (
            F.mse_loss(h, x) + F.l1_loss(h, x) + 100 * sliced(m)
        ), SMALL, None,
    ),
    Public(
        "a batch's moments matched to 0 and 1",
        lambda x, h, m, v: (
            rows((x - h) ** 2).mean() + m.mean(0).square().sum()
            + (v.exp().mean(0) - 1).square().sum()
        ), SMALL, None,
    ),
    Public(
        "xqding/Importance_Weighted_Autoencoders (Ding), 5 samples", many_samples,
        SMALL, None,
    ),
    Public(
        "AntixK/PyTorch-VAE (Subramanian), IWAE's weights", weighted_samples,
        SMALL, None,
        may=("x_hat_gradient", "mu_gradient", "logvar_gradient"),
    ),
)  # fmt: skip
