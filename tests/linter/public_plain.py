"""Losses of public projects: a known likelihood and a Gaussian's KL in closed form."""

from __future__ import annotations

import math

import torch
from public_record import Public, bce, kl, logits, rows
from torch import distributions as td
from torch.nn import functional as F

FACES = dict(data_shape=(3, 64, 64), latents=128)
DIGITS = dict(data_shape=784, latents=20)
BCE = F.binary_cross_entropy
RECON_FIRST = ("x_hat", "x", "mu", "logvar")


def pytorch_example(p, x, m, v):
    wide = (p.view(-1, 784), x.view(-1, 784))
    return BCE(*wide, reduction="sum") + kl(m, v).sum()


def sigma_vae(x, h, m, s):
    """A shared log σ, here -0.7: the density with its normaliser."""
    error = 0.5 * ((x - h) / math.exp(-0.7)) ** 2 - 0.7 + 0.5 * math.log(2 * math.pi)
    return error.sum() + kl(m, s).sum()


def first_stage(x, h, m, v):
    """Absolute error over the scale exp(0), summed; the KL of maps."""
    rec = ((x - h).abs() / math.exp(0.0) + 0.0).sum() / len(x)
    v = v.clamp(-30, 20)
    return rec + 1e-6 * kl(m, v).sum((1, 2, 3)).sum() / len(m)


def recurrent(x, p, m, s):
    """The KL of two Gaussians given by σ, the second fixed at 0 and 1."""
    one, eps = torch.ones_like(s), 1e-9
    ratio = (s**2 + m**2) / one**2
    rate = 0.5 * (2 * torch.log(one + eps) - 2 * torch.log(s + eps) + ratio - 1)
    return bce(x, p).sum() + rate.sum()


def graph(x, h, m, s):
    """Mean cross-entropy of the links, KL over the number of nodes, twice."""
    rate = -0.5 * (1 + 2 * s - m**2 - s.exp() ** 2).sum(1).mean()
    return F.binary_cross_entropy_with_logits(h, x) + rate / len(m)


PLAIN = (
    Public(
        "pytorch/examples, VAE, as it is", pytorch_example, DIGITS, None,
        says=("swapped_arguments",),
    ),
    Public(
        "pytorch/examples, VAE, its order told", pytorch_example,
        DIGITS | dict(order=RECON_FIRST), 1.0,
    ),
    Public(
        "pytorch/examples, VAE of 2017, batches of 64",
        lambda x, p, m, v: BCE(p, x) + kl(m, v).sum() / (64 * 784),
        DIGITS | dict(batch=64), 1.0,
    ),
    Public(
        "pytorch/examples, VAE of 2017, inspected at 6",
        lambda x, p, m, v: BCE(p, x) + kl(m, v).sum() / (64 * 784),
        DIGITS, 6 / 64, says=("batch_size_fixed",),
    ),
    Public(
        "edenton/svg (Denton), batches of 100",
        lambda x, h, m, v: F.mse_loss(h, x) + 1e-4 * kl(m, v).sum() / 100,
        dict(data_shape=(1, 16, 16), latents=10, batch=100), 256 * 1e-4 / 2,
        may=("mean_over_pixels",),
    ),
    Public(
        "edenton/svg (Denton), inspected at 6",
        lambda x, h, m, v: F.mse_loss(h, x) + 1e-4 * kl(m, v).sum() / 100,
        dict(data_shape=(1, 16, 16), latents=10), 256 * 1e-4 / 2 * 6 / 100,
        may=("mean_over_pixels", "kl_sum_over_batch"),
    ),
    Public(
        "wiseodd/generative-models (Kristiadi), batches of 64",
        lambda x, p, m, v: BCE(p, x, reduction="sum") / 64 + kl(m, v).sum(1).mean(),
        DIGITS | dict(batch=64), 1.0,
    ),
    Public(
        "wiseodd/generative-models (Kristiadi), inspected at 6",
        lambda x, p, m, v: BCE(p, x, reduction="sum") / 64 + kl(m, v).sum(1).mean(),
        DIGITS, 64 / 6, says=("batch_size_fixed",),
    ),
    Public(
        "timbmg/VAE-CVAE-MNIST (Baumgärtner)",
        lambda x, p, m, v: (
            BCE(p.view(-1, 784), x.view(-1, 784), reduction="sum") + kl(m, v).sum()
        ) / x.size(0),
        dict(data_shape=(28, 28), latents=2), 1.0,
    ),
    Public(
        "AntixK/PyTorch-VAE (Subramanian), vanilla",
        lambda x, h, m, v: F.mse_loss(h, x) + 0.00025 * kl(m, v).sum(1).mean(0),
        FACES, 12288 * 0.00025 / 2, may=("mean_over_pixels",),
    ),
    Public(
        "1Konny/Beta-VAE (Lee), H",
        lambda x, h, m, v: F.binary_cross_entropy_with_logits(
            h, x, reduction="sum").div(len(x)) + 4 * kl(m, v).sum(1).mean(0, True),
        dict(data_shape=(1, 16, 16), latents=10, output="logits"), 4.0,
        says=("beta",),
    ),
    Public(
        "YannDubs/disentangling-vae (Dubois), Laplace",
        lambda x, h, m, v: (
            3 * F.l1_loss(h, x, reduction="sum") / len(x) + 4 * kl(m, v).mean(0).sum()
        ),
        dict(data_shape=(1, 32, 32), latents=10), 4 / 3,
    ),
    Public(
        "YannDubs/disentangling-vae (Dubois), Gaussian on 0 to 255",
        lambda x, h, m, v: (
            F.mse_loss(255 * h, 255 * x, reduction="sum") / 255 / len(x)
            + 4 * kl(m, v).mean(0).sum()
        ),
        dict(data_shape=(1, 32, 32), latents=10), 4 / 510,
    ),
    Public(
        "keras.io, VAE (Chollet)",
        lambda x, p, m, v: (
            BCE(p, x, reduction="none").mean(-1).sum((1, 2)).mean()
            + kl(m, v).sum(1).mean()
        ),
        dict(data_shape=(28, 28, 1), latents=2), 1.0,
    ),
    Public(
        "blog.keras.io of 2016 (Chollet)",
        lambda x, p, m, v: (
            BCE(p, x, reduction="none").mean(-1) + kl(m, v).mean(-1)
        ).mean(),
        dict(data_shape=784, latents=2), 784 / 2,
        says=("mean_over_pixels", "kl_mean_over_latents"),
    ),
    Public(
        "ctallec/world-models (Tallec)",
        lambda x, h, m, s: (
            F.mse_loss(h, x, reduction="sum")
            - 0.5 * (1 + 2 * s - m.pow(2) - (2 * s).exp()).sum()
        ),
        dict(data_shape=(3, 16, 16), latents=32, spread="logsigma"), 0.5,
        says=("squared_error_without_half",),
    ),
    Public(
        "podgorskiy/VAE (Pidhorskyi)",
        lambda x, h, m, v: ((h - x) ** 2).mean() + 0.1 * kl(m, v).mean(1).mean(),
        dict(data_shape=(3, 32, 32), latents=128), 0.05 * 3072 / 128,
        says=("mean_over_pixels", "kl_mean_over_latents"),
    ),
    Public(
        "sksq96/pytorch-vae (Chandel)",
        lambda x, p, m, v: BCE(p, x, reduction="sum") + kl(m, v).mean(),
        dict(data_shape=(3, 16, 16), latents=32), 1 / (6 * 32),
        says=("kl_mean_over_batch", "kl_mean_over_latents"),
    ),
    Public(
        "aksub99/molecular-vae (Subramanian)",
        lambda x, p, m, v: 12 * BCE(p, x) + kl(m, v).mean(),
        dict(data_shape=(12, 5), latents=8), 5 / 8,
        says=("kl_mean_over_latents",),
        may=("mean_over_pixels", "factor_on_reconstruction"),
    ),
    Public(
        "theislab/scgen (Lotfollahi)",
        lambda x, h, m, v: (
            0.5 * rows((x - h) ** 2) + 5e-5 * 0.5 * rows(m**2 + v.exp() - 1 - v)
        ).mean(),
        dict(data_shape=200, latents=100), 5e-5,
    ),
    Public(
        "orybkin/sigma-vae-pytorch (Rybkin), shared σ", sigma_vae, DIGITS, 1.0,
    ),
    Public(
        "CompVis/latent-diffusion (Rombach), first stage, the KL of maps", first_stage,
        dict(data_shape=(3, 16, 16), latents=(4, 4, 4)), 1e-6,
    ),
    Public(
        "CompVis/latent-diffusion (Rombach), its scale declared", first_stage,
        dict(data_shape=(3, 16, 16), latents=(4, 4, 4), scale=1.0, beta=1e-6), 1e-6,
    ),
    Public(
        "huggingface/diffusers, KL autoencoder with a mean squared error",
        lambda x, h, m, v: (
            F.mse_loss(h, x) + 1e-6 * kl(m, v).sum((1, 2, 3)).mean()
        ),
        dict(data_shape=(3, 16, 16), latents=(4, 4, 4)), 1e-6 * 768 / 2,
        may=("mean_over_pixels",),
    ),
    Public(
        "tonyzhaozh/act (Zhao)",
        lambda x, h, m, v: F.l1_loss(h, x) + 10 * kl(m, v).sum(1).mean(0, True),
        dict(data_shape=(20, 14), latents=32), 2800.0, may=("mean_over_pixels",),
    ),
    Public(
        "emited/VariationalRecurrentNeuralNetwork (de Bézenac), given σ", recurrent,
        dict(data_shape=28, latents=16, spread="sigma"), 1.0,
    ),
    Public(
        "pyg-team/pytorch_geometric (Fey), VGAE on 12 nodes", graph,
        dict(data_shape=12, batch=12, latents=16, spread="logsigma", output="logits"),
        1.0,
    ),
    Public(
        "torch.distributions all the way, as in pyro-ppl/pyro",
        lambda x, h, m, v: -(
            td.Independent(td.Bernoulli(logits=h), 3).log_prob(x)
            - td.kl_divergence(
                td.Independent(td.Normal(m, v.mul(0.5).exp()), 1),
                td.Independent(td.Normal(m * 0, v * 0 + 1), 1))
        ).mean(),
        dict(data_shape=(1, 8, 8), latents=4), 1.0,
    ),
    Public(
        "shj1987/ControlVAE (Shao), at the controller's value",
        lambda x, h, m, v: (
            logits(x, h).sum() / len(x) + 0.17 * kl(m, v).sum(1).mean(0)
        ),
        dict(data_shape=(1, 16, 16), latents=10, beta=0.17), 0.17,
    ),
    Public(
        "jaanli/variational-autoencoder (Altosaar): the two densities' sum",
        lambda x, h, m, v: (
            td.Bernoulli(logits=h).log_prob(x).sum(1).neg()
            + td.kl_divergence(
                td.Normal(m, F.softplus(v)), td.Normal(0.0, 1.0)).sum(1)
        ).sum(),
        dict(data_shape=49, latents=8), 1.0, says=("reads_other",),
    ),
    Public(
        "GECO (Rezende & Viola 2018), at λ = 3",
        lambda x, h, m, v: (
            3 * (rows((x - h) ** 2) - 0.1).mean() + rows(kl(m, v)).mean()
        ),
        dict(data_shape=64, latents=8), 1 / 6,
    ),
)  # fmt: skip
