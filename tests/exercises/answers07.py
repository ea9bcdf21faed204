"""Lesson 07's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch
from scipy import special, stats
from torch import distributions
from torch.nn import functional as F

# --- negative_elbo ------------------------------------------------------------------


def terms_by_distributions(x, logits, mu, logvar):
    coins = distributions.Independent(distributions.Bernoulli(logits=logits), 1)
    q = distributions.Normal(mu, torch.exp(logvar / 2))
    prior = distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return -coins.log_prob(x), distributions.kl_divergence(q, prior).sum(-1)


def terms_by_loops(x, logits, mu, logvar):
    distortions, rates = [], []
    for i in range(len(x)):
        reconstruction = F.binary_cross_entropy_with_logits(
            logits[i], x[i], reduction="sum"
        )
        distortions.append(reconstruction)
        kl = mu.new_zeros(())
        for m, v in zip(mu[i], logvar[i], strict=True):
            sigma = v.mul(0.5).exp()
            kl = kl + (m**2 + sigma**2) / 2 - sigma.log() - 0.5
        rates.append(kl)
    return [torch.stack(distortions), torch.stack(rates)]


def terms_by_softplus(x, logits, mu, logvar):
    distortion = (F.softplus(logits) - x * logits).sum(-1)
    return distortion, 0.5 * (mu.square() + torch.expm1(logvar) - logvar).sum(-1)


def terms_by_logaddexp(x, logits, mu, logvar):
    nothing = torch.zeros_like(logits)
    black, white = torch.logaddexp(nothing, -logits), torch.logaddexp(nothing, logits)
    distortion = torch.where(x > 0.5, black, white).sum(1)
    return distortion, ((mu**2 + logvar.exp()) / 2 - logvar / 2 - 0.5).sum(1)


def terms_with_a_float32_half(x, logits, mu, logvar):
    half = torch.tensor(0.5)  # float32
    distortion = -(x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(1)
    return distortion, (half * (mu**2 + logvar.exp() - logvar - 1)).sum(1)


# --- quantile_grid ------------------------------------------------------------------


def grid_by_scipy(n):
    axis = stats.norm.ppf((np.arange(1, n + 1) - 0.5) / n)
    points = [(right, up) for up in axis[::-1] for right in axis]
    return torch.tensor(points, dtype=torch.float32)


def grid_by_erfinv(n):
    p = torch.linspace(1 / (2 * n), 1 - 1 / (2 * n), n)
    axis = math.sqrt(2) * torch.erfinv(2 * p - 1)
    return torch.cartesian_prod(axis.flip(0), axis).flip(1)


def grid_by_icdf(n):
    normal = torch.distributions.Normal(0.0, 1.0)
    axis = normal.icdf((torch.arange(n) + 0.5) / n)
    x, y = torch.meshgrid(axis, -axis, indexing="xy")
    return torch.stack([x.flatten(), y.flatten()], dim=1)


# --- gaussian_log_prob --------------------------------------------------------------


def density_by_distributions(x, mean, logvar):
    return distributions.Normal(mean, (logvar / 2).exp()).log_prob(x).sum(1)


def density_by_norms(x, mean, logvar):
    D = x.shape[1]
    normaliser = D / 2 * math.log(2 * math.pi) + D / 2 * logvar
    return -((x - mean).norm(dim=1) ** 2) / (2 * logvar.exp()) - normaliser


def density_pixel_by_pixel(x, mean, logvar):
    total = x.new_zeros(len(x))
    for d in range(x.shape[1]):
        z = (x[:, d] - mean[:, d]) / torch.sqrt(torch.exp(logvar))
        total = total - z * z / 2 - logvar / 2 - 0.5 * np.log(2 * np.pi)
    return total


def density_by_gaussian_nll(x, mean, logvar):
    variance = logvar.exp().expand_as(mean)
    nll = F.gaussian_nll_loss(mean, x, variance, full=True, reduction="none", eps=1e-45)
    return -nll.sum(1)


# --- effective_beta -----------------------------------------------------------------


def beta_by_rescaling(a, b, sigma2):
    scale = (1 / (2 * sigma2)) / a
    return scale * b


def beta_as_a_tensor(a, b, sigma2):
    return torch.tensor(b) / torch.tensor(2 * a * sigma2)


def beta_by_half(a, b, sigma2):
    return 0.5 * b / sigma2 / a


RIGHT = {
    "negative_elbo": (
        terms_by_distributions,
        terms_by_loops,
        terms_by_softplus,
        terms_by_logaddexp,
        terms_with_a_float32_half,
    ),
    "quantile_grid": (grid_by_scipy, grid_by_erfinv, grid_by_icdf),
    "gaussian_log_prob": (
        density_by_distributions,
        density_by_norms,
        density_pixel_by_pixel,
        density_by_gaussian_nll,
    ),
    "effective_beta": (beta_by_rescaling, beta_as_a_tensor, beta_by_half),
}


# --- mistakes in other words --------------------------------------------------------


def terms_by_probabilities(x, logits, mu, logvar):
    p = torch.sigmoid(logits)
    distortion = -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum(1)
    rate = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(dim=1)
    return distortion, rate


def terms_by_sigmoid_and_cross_entropy(x, logits, mu, logvar):
    _, rate = terms_by_softplus(x, logits, mu, logvar)
    pi = torch.sigmoid(logits)
    return F.binary_cross_entropy(pi, x, reduction="none").sum(1), rate


def terms_with_an_epsilon(x, logits, mu, logvar):
    _, rate = terms_by_softplus(x, logits, mu, logvar)
    p = torch.sigmoid(logits)
    cross_entropy = x * torch.log(p + 1e-9) + (1 - x) * torch.log(1 - p + 1e-9)
    return -cross_entropy.sum(1), rate


def terms_with_clamped_logits(x, logits, mu, logvar):
    return terms_by_softplus(x, logits.clamp(-15, 15), mu, logvar)


def terms_with_clamped_logvar(x, logits, mu, logvar):
    return terms_by_softplus(x, logits, mu, logvar.clamp(-30, 20))


def terms_by_a_plain_exponential(x, logits, mu, logvar):
    _, rate = terms_by_softplus(x, logits, mu, logvar)
    return (torch.log1p(torch.exp(logits)) - x * logits).sum(1), rate


def logits_for_the_data(x, logits, mu, logvar):
    _, rate = terms_by_softplus(x, logits, mu, logvar)
    swapped = F.binary_cross_entropy_with_logits(x, logits, reduction="none")
    return swapped.sum(1), rate


def rate_cut_off(x, logits, mu, logvar):
    distortion, rate = terms_by_softplus(x, logits, mu, logvar)
    return distortion, rate.detach()


def nothing_to_train(x, logits, mu, logvar):
    with torch.no_grad():
        return terms_by_softplus(x, logits, mu, logvar)


def terms_squeezed(x, logits, mu, logvar):
    distortion, rate = terms_by_softplus(x, logits, mu, logvar)
    return distortion.squeeze(), rate.squeeze()


def density_by_scipy(x, mean, logvar):
    sigma = math.exp(0.5 * logvar.item())
    return torch.tensor(stats.norm.logpdf(x.numpy(), mean.numpy(), sigma).sum(1))


def density_by_products(x, mean, logvar):
    variance = logvar.exp()
    density = torch.exp(-((x - mean) ** 2) / (2 * variance))
    return torch.log((density / torch.sqrt(2 * math.pi * variance)).prod(1))


def density_with_an_epsilon(x, mean, logvar):
    log_p = distributions.Normal(mean, (logvar / 2).exp()).log_prob(x)
    return torch.log(log_p.exp() + 1e-12).sum(1)


def density_with_the_default_epsilon(x, mean, logvar):
    variance = logvar.exp().expand_as(mean)
    return -F.gaussian_nll_loss(mean, x, variance, full=True, reduction="none").sum(1)


def density_with_clamped_logvar(x, mean, logvar):
    return density_by_norms(x, mean, logvar.clamp(-30, 20))


def density_of_a_number(x, mean, logvar):
    return density_by_norms(x, mean, torch.tensor(logvar.item()))


def logvar_for_each_image(x, mean, logvar):
    square = ((x - mean) ** 2).sum(1) / torch.exp(logvar)
    return -0.5 * (square + logvar + x.shape[1] * math.log(2 * math.pi))


def beta_in_whole_numbers(a, b, sigma2):
    return b // (2 * a * sigma2)


def beta_rounded(a, b, sigma2):
    return float(f"{b / (2 * a * sigma2):.4f}")


def functional_mean(x, logits, mu, logvar):
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
    rows = zip(logits, x, strict=True)
    reconstruction = [F.binary_cross_entropy_with_logits(o, t) for o, t in rows]
    return torch.stack(reconstruction), kl


def the_tutorial(x, logits, mu, logvar):
    """Both summed over everything, as one finds it in many places."""
    bce = F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce, kld


def kl_averaged_over_latents(x, logits, mu, logvar):
    distortion, _ = terms_by_softplus(x, logits, mu, logvar)
    return distortion, -0.5 * torch.mean(1 + logvar - mu**2 - logvar.exp(), dim=-1)


def sigma_taken_for_log_sigma(x, logits, mu, logvar):
    distortion, _ = terms_by_softplus(x, logits, mu, logvar)
    sigma = logvar.exp()
    return distortion, (0.5 * (mu**2 + sigma**2 - 1) - logvar).sum(1)


def sigmoid_by_hand_then_with_logits(x, logits, mu, logvar):
    _, rate = terms_by_softplus(x, logits, mu, logvar)
    p = 1 / (1 + torch.exp(-logits))
    return F.binary_cross_entropy_with_logits(p, x, reduction="none").sum(1), rate


def a_one_for_all_latents(x, logits, mu, logvar):
    distortion, _ = terms_by_softplus(x, logits, mu, logvar)
    parts = (mu**2).sum(1) + logvar.exp().sum(1) - logvar.sum(1)
    return distortion, (parts - 1) / 2


def reductions_as_they_come(x, logits, mu, logvar):
    kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
    return F.binary_cross_entropy_with_logits(logits, x), kl.mean()


def grid_in_double(n):
    axis = torch.tensor(stats.norm.ppf((np.arange(n) + 0.5) / n))
    return torch.cartesian_prod(axis.flip(0), axis).flip(1)


def even_steps(n):
    axis = torch.tensor(np.linspace(-3, 3, n), dtype=torch.float32)
    points = [torch.stack([x, y]) for y in axis.flip(0) for x in axis]
    return torch.stack(points)


def half_a_root(n):
    p = (np.arange(n) + 0.5) / n
    axis = torch.tensor(special.erfinv(2 * p - 1), dtype=torch.float32)
    return torch.cartesian_prod(axis.flip(0), axis).flip(1)


def rows_as_meshgrid_gives_them(n):
    axis = torch.special.ndtri((torch.arange(n) + 0.5) / n)
    first, second = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([first.reshape(-1), second.reshape(-1)], dim=1)


def squares_over_variance(x, mean, logvar):
    return -((x - mean) ** 2 / (2 * logvar.exp())).sum(1)


def one_normaliser(x, mean, logvar):
    sigma = torch.exp(0.5 * logvar)
    log_root = torch.log(sigma * math.sqrt(2 * math.pi))
    return -((x - mean) ** 2).sum(1) / (2 * sigma**2) - log_root


def sigma_from_log_sigma(x, mean, logvar):
    return distributions.Normal(mean, logvar.exp()).log_prob(x).sum(1)


def unit_noise(a, b, sigma2):
    return b / a / 2


def times_the_noise(a, b, sigma2):
    return b * 0.5 / a * sigma2


NAMED = [
    ("negative_elbo", functional_mean, "mean_over_pixels"),
    ("negative_elbo", the_tutorial, "batch_sum"),
    ("negative_elbo", kl_averaged_over_latents, "mean_over_latents"),
    ("negative_elbo", sigma_taken_for_log_sigma, "log_sigma"),
    ("negative_elbo", sigmoid_by_hand_then_with_logits, "sigmoid_twice"),
    ("negative_elbo", a_one_for_all_latents, "one_subtracted_once"),
    ("negative_elbo", reductions_as_they_come, "default_reduction"),
    ("quantile_grid", grid_in_double, "double"),
    ("quantile_grid", even_steps, "square_of_three"),
    ("quantile_grid", half_a_root, "root_missing"),
    ("quantile_grid", rows_as_meshgrid_gives_them, "meshgrid_as_is"),
    ("negative_elbo", logits_for_the_data, "arguments_swapped_with_logits"),
    ("negative_elbo", rate_cut_off, "rate_detached"),
    ("gaussian_log_prob", density_of_a_number, "logvar_cut"),
    ("gaussian_log_prob", logvar_for_each_image, "logvar_once"),
    ("effective_beta", beta_in_whole_numbers, "whole"),
    ("gaussian_log_prob", squares_over_variance, "no_normaliser"),
    ("gaussian_log_prob", one_normaliser, "normaliser_once"),
    ("gaussian_log_prob", sigma_from_log_sigma, "as_log_sigma"),
    ("effective_beta", unit_noise, "unit_variance"),
    ("effective_beta", times_the_noise, "variance_wrong_side"),
]


# --- a constant earns nothing, a half right answer its part -------------------------


def no_terms(x, logits, mu, logvar):
    return x[:, 0] * 0, x[:, 0] * 0


def no_grid(n):
    return torch.zeros(n * n, 2)


def no_density(x, mean, logvar):
    return x[:, 0] * 0


def always_one(a, b, sigma2):
    return 1.0


def distortion_right(x, logits, mu, logvar):
    return terms_by_softplus(x, logits, mu, logvar)[0], mu.sum(1)


ROWS = [
    ("negative_elbo", no_terms, (False,) * 5),
    ("quantile_grid", no_grid, (False, False, False)),
    ("gaussian_log_prob", no_density, (False,) * 5),
    ("effective_beta", always_one, (False, False, False)),
    ("negative_elbo", distortion_right, (True, False, False, False, True)),
    ("negative_elbo", rate_cut_off, (True, True, True, False, True)),
    ("negative_elbo", nothing_to_train, (True, True, True, False, True)),
    ("negative_elbo", terms_by_probabilities, (True, True, False, True, True)),
    ("negative_elbo", terms_with_clamped_logits, (True, True, False, True, True)),
    ("negative_elbo", terms_with_clamped_logvar, (True, True, False, True, True)),
    ("negative_elbo", terms_with_an_epsilon, (True, True, False, True, True)),
    ("negative_elbo", terms_squeezed, (True, True, True, True, False)),
    ("gaussian_log_prob", logvar_for_each_image, (False, False, False, False, True)),
    ("gaussian_log_prob", density_by_scipy, (True, True, True, False, True)),
    ("gaussian_log_prob", density_by_products, (True, True, False, True, True)),
    ("quantile_grid", even_steps, (False, True, False)),
]

SAYS = [
    ("negative_elbo", terms_by_probabilities, "a sigmoid rounds to 0 or 1"),
    ("negative_elbo", terms_by_sigmoid_and_cross_entropy, "work on the logits"),
    ("negative_elbo", terms_by_a_plain_exponential, "an exponential overflows"),
    ("negative_elbo", terms_with_clamped_logits, "a sigmoid rounds to 0 or 1"),
    ("negative_elbo", terms_with_clamped_logvar, "with no clamp"),
    ("negative_elbo", nothing_to_train, "no gradient reaches logits"),
    ("negative_elbo", terms_squeezed, "shape (), expected (1,)"),
    ("gaussian_log_prob", density_with_clamped_logvar, "with no clamp"),
    ("gaussian_log_prob", density_with_the_default_epsilon, "with no clamp"),
    ("gaussian_log_prob", density_with_an_epsilon, "add logarithms"),
    ("effective_beta", beta_rounded, "with a ="),
]
