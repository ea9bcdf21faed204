"""Lesson 02's answers in other words, as `test_exercises` tries them."""

import numpy as np
import scipy.linalg
import scipy.special
import torch


def wiener_by_inverse(cov, sigma):
    return cov @ torch.linalg.inv(cov + sigma**2 * torch.eye(len(cov)))


def wiener_by_eigenvectors(cov, sigma):
    values, axes = torch.linalg.eigh(cov)
    return (axes * (values / (values + sigma**2))) @ axes.T


def wiener_by_columns(cov, sigma):
    noisy = cov.clone()
    noisy.diagonal().add_(sigma**2)
    return torch.stack([torch.linalg.solve(noisy, row) for row in cov])


def wiener_by_scipy(cov, sigma):
    noisy = cov.numpy() + sigma**2 * np.eye(len(cov), dtype=cov.numpy().dtype)
    return torch.from_numpy(scipy.linalg.solve(noisy, cov.numpy(), assume_a="pos"))


def wiener_by_what_is_removed(cov, sigma):
    identity = torch.eye(len(cov), dtype=cov.dtype)
    return identity - sigma**2 * torch.linalg.inv(cov + sigma**2 * identity)


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


def score_by_autograd(x, data, sigma):
    at = x.clone().requires_grad_()
    exponent = -0.5 * ((at[:, None] - data) / sigma).pow(2).sum(2)
    return torch.autograd.grad(exponent.logsumexp(1).sum(), at)[0]


def loss_by_functions(x, eps, sigma, V, c, W, b):
    linear, relu = torch.nn.functional.linear, torch.nn.functional.relu
    x_hat = linear(relu(linear(torch.add(x, eps, alpha=sigma), V, c)), W, b)
    return torch.nn.functional.mse_loss(x_hat, x, reduction="sum") / len(x)


def loss_row_by_row(x, eps, sigma, V, c, W, b):
    total = 0.0
    for row, noise in zip(x, eps, strict=True):
        code = (V @ (row + sigma * noise) + c).clamp(min=0)
        total = total + (W @ code + b - row).square().sum()
    return total / len(x)


def loss_by_modules(x, eps, sigma, V, c, W, b):
    encoder, decoder = torch.nn.Linear(*V.T.shape), torch.nn.Linear(*W.T.shape)
    code = torch.func.functional_call(
        encoder, {"weight": V, "bias": c}, x + sigma * eps
    )
    answer = (decoder, {"weight": W, "bias": b}, torch.nn.ReLU()(code))
    return torch.cdist(torch.func.functional_call(*answer), x).diag().square().mean()


def loss_by_einsum(x, eps, sigma, V, c, W, b):
    before = torch.einsum("hd,nd->nh", V, x + sigma * eps) + c
    gap = torch.einsum("dh,nh->nd", W, before * (before > 0)) + b - x
    return torch.einsum("nd,nd->", gap, gap) / x.shape[0]


RIGHT = {
    "denoising_loss": (
        loss_by_functions,
        loss_row_by_row,
        loss_by_einsum,
        loss_by_modules,
    ),
    "wiener_filter": (
        wiener_by_inverse,
        wiener_by_eigenvectors,
        wiener_by_columns,
        wiener_by_scipy,
        wiener_by_what_is_removed,
    ),
    "inpaint_gaussian": (inpaint_by_inverse, inpaint_by_precision, inpaint_row_by_row),
    "smoothed_score": (
        score_by_loop,
        score_by_cdist,
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


def sizes_of_a_batch_differ(x, eps, sigma, V, c, W, b):
    """Examples, pixels and hidden numbers cannot be confused."""
    return len({*x.shape, *V.shape}) == 3 and eps.shape == x.shape


INPUTS = (
    ("denoising_loss", sizes_of_a_batch_differ),
    ("inpaint_gaussian", four_sizes_differ),
    ("smoothed_score", three_sizes_differ),
)


def wiener_by_inverse_of_the_covariance(cov, sigma):
    identity = torch.eye(cov.shape[0], dtype=cov.dtype)
    return torch.linalg.inv(identity + sigma**2 * torch.linalg.inv(cov))


def wiener_in_float64(cov, sigma):
    return cov @ torch.linalg.inv(cov + torch.from_numpy(sigma**2 * np.eye(len(cov))))


def wiener_of_correlations(cov, sigma):
    scale = cov.diagonal() ** -0.5
    return wiener_by_eigenvectors(scale[:, None] * cov * scale, sigma)


def wiener_twice(cov, sigma):
    return torch.linalg.matrix_power(wiener_by_eigenvectors(cov, sigma), 2)


def wiener_elementwise(cov, sigma):
    return cov / (cov + torch.diag(torch.full((len(cov),), sigma**2)))


def inpaint_with_ridge(x, seen, mean, cov):
    return inpaint_by_inverse(x, seen, mean, cov + 0.01 * torch.eye(len(cov)))


def inpaint_by_a_draw(x, seen, mean, cov):
    filled = inpaint_by_inverse(x, seen, mean, cov)
    return torch.where(seen, filled, filled + torch.randn_like(filled))


def inpaint_the_first(x, seen, mean, cov):
    filled = x.clone()
    filled[0] = inpaint_by_inverse(x, seen, mean, cov)[0]
    return filled


def inpaint_by_the_row(x, seen, mean, cov):
    return torch.stack([torch.where(seen, row, row[seen].mean()) for row in x])


def inpaint_by_precision_block(x, seen, mean, cov):
    pull = torch.linalg.inv(cov)[~seen][:, seen]
    filled = x.clone()
    filled[:, ~seen] = mean[~seen] - (x[:, seen] - mean[seen]) @ pull.T
    return filled


def score_by_plain_exponentials(x, data, sigma):
    heights = torch.exp(-((x[:, None] - data) ** 2).sum(-1) / (2 * sigma**2))
    return (heights @ data / heights.sum(1, keepdim=True) - x) / sigma**2


def score_with_epsilon(x, data, sigma):
    heights = torch.exp(-((x[:, None] - data) ** 2).sum(-1) / (2 * sigma**2))
    weights = heights / (heights.sum(1, keepdim=True) + 1e-12)
    return (weights @ data - x) / sigma**2


def score_squeezed(x, data, sigma):
    return score_by_loop(x, data, sigma).squeeze()


def score_of_one_gaussian(x, data, sigma):
    gap = data - data.mean(0)
    cov = gap.T @ gap / len(data) + sigma**2 * torch.eye(x.shape[1], dtype=x.dtype)
    return (data.mean(0) - x) @ torch.linalg.inv(cov)


def loss_with_noise_on_both(x, eps, sigma, V, c, W, b):
    noisy = x + sigma * eps
    return (((noisy @ V.T + c).relu() @ W.T + b - noisy) ** 2).sum(1).mean()


def loss_with_mse(x, eps, sigma, V, c, W, b):
    x_hat = (((x + sigma * eps) @ V.T + c).relu()) @ W.T + b
    return torch.nn.functional.mse_loss(x_hat, x)


def loss_of_the_noise(x, eps, sigma, V, c, W, b):
    guess = (((x + sigma * eps) @ V.T + c).relu()) @ W.T + b
    return ((guess - eps) ** 2).sum(1).mean()


def loss_scaled_twice(x, eps, sigma, V, c, W, b):
    noise = sigma * eps
    return loss_by_einsum(x, noise, sigma, V, c, W, b)


def loss_without_gradients(x, eps, sigma, V, c, W, b):
    with torch.no_grad():
        return loss_by_einsum(x, eps, sigma, V, c, W, b)


def loss_with_own_noise(x, eps, sigma, V, c, W, b):
    return loss_by_einsum(x, torch.randn_like(x), sigma, V, c, W, b)


def loss_with_one_gradient_less(x, eps, sigma, V, c, W, b):
    return loss_by_einsum(x, eps, sigma, V, c, W, b.detach())


NAMED = (
    ("denoising_loss", loss_with_noise_on_both, "target_noisy"),
    ("denoising_loss", loss_with_mse, "mean_over_everything"),
    ("denoising_loss", loss_of_the_noise, "target_is_eps"),
    ("denoising_loss", loss_scaled_twice, "sigma_squared"),
    ("wiener_filter", wiener_by_inverse_of_the_covariance, None),
    ("wiener_filter", wiener_of_correlations, "correlation"),
    ("wiener_filter", wiener_twice, "filtered_twice"),
    ("wiener_filter", wiener_elementwise, "elementwise_division"),
    ("inpaint_gaussian", inpaint_the_first, "first_example_only"),
    ("inpaint_gaussian", inpaint_by_the_row, "mean_of_what_is_seen"),
    ("inpaint_gaussian", inpaint_by_precision_block, "precision_not_inverted"),
    ("smoothed_score", score_of_one_gaussian, "one_gaussian_for_all"),
)
ROWS = (
    ("denoising_loss", loss_without_gradients, (True, True, False, False, True)),
    ("denoising_loss", loss_with_one_gradient_less, (True, True, False, False, True)),
    ("wiener_filter", wiener_by_inverse_of_the_covariance, (True, True, True, False)),
    ("smoothed_score", score_by_plain_exponentials, (True, True, True, True, False)),
    ("smoothed_score", score_with_epsilon, (True, True, True, True, False)),
)
SAYS = (
    ("denoising_loss", loss_with_own_noise, "noise of your own"),
    ("denoising_loss", loss_without_gradients, "cut off from the weights"),
    ("denoising_loss", loss_with_one_gradient_less, "no gradient reaches b"),
    (
        "wiener_filter",
        wiener_by_inverse_of_the_covariance,
        "only Σ + σ²I has an inverse",
    ),
    ("wiener_filter", wiener_in_float64, "to have the same dtype"),
    ("inpaint_gaussian", inpaint_with_ridge, "a ridge stands on"),
    ("inpaint_gaussian", inpaint_by_a_draw, "no random draw"),
    ("smoothed_score", score_by_plain_exponentials, "Use softmax"),
    ("smoothed_score", score_with_epsilon, "is something added to the weights"),
    ("smoothed_score", score_squeezed, "without its axes of length 1"),
)
