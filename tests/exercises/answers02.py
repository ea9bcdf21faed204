"""Lesson 02's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import scipy.linalg
import scipy.special
import torch


def wiener_by_inverse(cov, sigma):
    return cov @ torch.linalg.inv(cov + sigma**2 * torch.eye(len(cov)))


def wiener_by_eigenvectors(cov, sigma):
    values, axes = torch.linalg.eigh(cov)
    return (axes * (values / (values + sigma**2))) @ axes.T


def wiener_by_signal_to_noise(cov, sigma):
    identity = torch.eye(cov.shape[0], dtype=cov.dtype)
    return torch.linalg.inv(identity + sigma**2 * torch.linalg.inv(cov))


def wiener_by_scipy(cov, sigma):
    noisy = cov.numpy() + sigma**2 * np.eye(len(cov))
    return torch.from_numpy(scipy.linalg.solve(noisy, cov.numpy(), assume_a="pos"))


def wiener_by_what_is_removed(cov, sigma):
    identity = torch.eye(len(cov), dtype=cov.dtype)
    return identity - sigma**2 * torch.linalg.inv(cov + sigma**2 * identity)


def psnr_by_mse_loss(x, x_hat, peak):
    return 10 * torch.log10(peak**2 / torch.nn.functional.mse_loss(x_hat, x))


def psnr_by_root(x, x_hat, peak):
    root = ((x - x_hat) ** 2).mean().sqrt()
    return 20 * torch.log10(peak / root)


def psnr_as_a_float(x, x_hat, peak):
    error = float(((x_hat - x) ** 2).sum()) / x.numel()
    return 20 * math.log10(peak) - 10 * math.log10(error)


def psnr_by_natural_logarithm(x, x_hat, peak):
    scaled = (x - x_hat) / peak
    return -10 * torch.log((scaled * scaled).mean()) / math.log(10)


def inpaint_by_inverse(x, seen, mean, cov):
    weight = cov[~seen][:, seen] @ torch.linalg.inv(cov[seen][:, seen])
    filled = x.clone()
    filled[:, ~seen] = mean[~seen] + (x[:, seen] - mean[seen]) @ weight.T
    return filled


def inpaint_by_precision(x, seen, mean, cov):
    precision = torch.linalg.inv(cov)
    pull = precision[~seen][:, seen] @ (x - mean)[:, seen].T
    guess = mean[~seen] - torch.linalg.solve(precision[~seen][:, ~seen], pull).T
    return torch.empty_like(x).masked_scatter(~seen, guess).where(~seen, x)


def inpaint_row_by_row(x, seen, mean, cov):
    s, m = np.flatnonzero(seen.numpy()), np.flatnonzero(~seen.numpy())
    rows = []
    for row in x.numpy():
        row = row.copy()
        solved = np.linalg.solve(cov.numpy()[np.ix_(s, s)], row[s] - mean.numpy()[s])
        row[m] = mean.numpy()[m] + cov.numpy()[np.ix_(m, s)] @ solved
        rows.append(torch.from_numpy(row))
    return torch.stack(rows)


def score_by_loop(x, data, sigma):
    scores = []
    for point in x:
        log_weight = -((point - data) ** 2).sum(1) / (2 * sigma**2)
        weight = torch.exp(log_weight - torch.logsumexp(log_weight, 0))
        denoised = (weight[:, None] * data).sum(0)
        scores.append((denoised - point) / sigma**2)
    return torch.stack(scores)


def score_by_cdist(x, data, sigma):
    weights = (-(torch.cdist(x, data) ** 2) / (2 * sigma**2)).softmax(-1)
    return torch.einsum("mn,mnd->md", weights, data - x[:, None]) / sigma**2


def score_by_plain_exponentials(x, data, sigma):
    heights = torch.exp(-((x[:, None] - data) ** 2).sum(-1) / (2 * sigma**2))
    return (heights @ data / heights.sum(1, keepdim=True) - x) / sigma**2


def score_by_autograd(x, data, sigma):
    at = x.clone().requires_grad_()
    exponent = -0.5 * ((at[:, None] - data) / sigma).pow(2).sum(2)
    return torch.autograd.grad(exponent.logsumexp(1).sum(), at)[0]


RIGHT = {
    "wiener_filter": (
        wiener_by_inverse,
        wiener_by_eigenvectors,
        wiener_by_signal_to_noise,
        wiener_by_scipy,
        wiener_by_what_is_removed,
    ),
    "psnr": (
        psnr_by_mse_loss,
        psnr_by_root,
        psnr_as_a_float,
        psnr_by_natural_logarithm,
    ),
    "inpaint_gaussian": (inpaint_by_inverse, inpaint_by_precision, inpaint_row_by_row),
    "smoothed_score": (
        score_by_loop,
        score_by_cdist,
        score_by_plain_exponentials,
        score_by_autograd,
    ),
}


def four_sizes_differ(x, seen, mean, cov):
    """Examples, dimensions, seen and missing ones cannot be confused."""
    counts = [*x.shape, int(seen.sum()), int((~seen).sum())]
    return len(set(counts)) == 4 and min(counts) >= 3


def three_sizes_differ(x, data, sigma):
    """Points, dimensions and data points cannot be confused."""
    return len({*x.shape, len(data)}) == 3


def two_sizes_differ(x, x_hat, peak):
    """Images and pixels cannot be confused."""
    return x.shape[0] != x.shape[1]


INPUTS = (
    ("inpaint_gaussian", four_sizes_differ),
    ("smoothed_score", three_sizes_differ),
    ("psnr", two_sizes_differ),
)
