"""Lesson 06's answers in other words, as `test_exercises` tries them."""

import torch

# --- right answers ------------------------------------------------------------------


def score_by_autograd(f_values, z, mu, logvar):
    mu, logvar = mu.clone().requires_grad_(), logvar.clone().requires_grad_()
    q = torch.distributions.Normal(mu, (logvar / 2).exp())
    surrogate = (f_values * q.log_prob(z).sum(-1)).mean(0).sum()
    return torch.autograd.grad(surrogate, (mu, logvar))


def score_by_loops(f_values, z, mu, logvar):
    S = len(z)
    g_mu, g_logvar = torch.zeros_like(mu), torch.zeros_like(mu)
    for s in range(S):
        for b in range(len(mu)):
            eps = (z[s, b] - mu[b]) / logvar[b].exp().sqrt()
            g_mu[b] += f_values[s, b] * eps / logvar[b].exp().sqrt() / S
            g_logvar[b] += f_values[s, b] * (eps**2 - 1) / 2 / S
    return g_mu, g_logvar


def score_by_einsum(f_values, z, mu, logvar):
    precision = torch.exp(-logvar)
    away = z - mu
    g_mu = torch.einsum("sb,sbk->bk", f_values, away) * precision / len(z)
    square = away.square() * precision
    return [g_mu, torch.einsum("sb,sbk->bk", f_values, square - 1) / (2 * len(z))]


def by_variance(mu, logvar, eps):
    return mu + logvar.exp().sqrt() * eps


def by_addcmul(mu, logvar, eps):
    return torch.addcmul(mu, torch.exp(logvar / 2), eps)


def by_loops(mu, logvar, eps):
    rows = [m + (v.exp() ** 0.5) * e for m, v, e in zip(mu, logvar, eps, strict=True)]
    return torch.stack(rows)


def by_affine_transform(mu, logvar, eps):
    scale = torch.exp(0.5 * logvar)
    return torch.distributions.AffineTransform(mu, scale)(eps)


def others_by_loops(f_values):
    rows = []
    for i in range(len(f_values)):
        kept = torch.cat([f_values[:i], f_values[i + 1 :]])
        rows.append(kept.mean(0))
    return torch.stack(rows)


def others_by_matrix(f_values):
    S = len(f_values)
    weights = (torch.ones(S, S) - torch.eye(S)).to(f_values.dtype) / (S - 1)
    return weights @ f_values


def others_by_mean(f_values):
    S = f_values.shape[0]
    return (S * f_values.mean(0, keepdim=True) - f_values) / (S - 1)


def full_by_matmul(mu, L, eps):
    return mu + (L @ eps[..., None])[..., 0]


def full_by_rows(mu, L, eps):
    away = [eps[:, b] @ L[b].T for b in range(len(mu))]
    return mu + torch.stack(away, 1)


def full_by_sums(mu, L, eps):
    return mu[None] + (L[None] * eps[:, :, None, :]).sum(-1)


def full_by_bmm(mu, L, eps):
    return (mu[:, :, None] + L.bmm(eps.permute(1, 2, 0))).permute(2, 0, 1)


RIGHT = {
    "score_gradient": (score_by_autograd, score_by_loops, score_by_einsum),
    "reparameterise": (by_variance, by_addcmul, by_loops, by_affine_transform),
    "leave_one_out": (others_by_loops, others_by_matrix, others_by_mean),
    "reparameterise_full": (full_by_matmul, full_by_rows, full_by_sums, full_by_bmm),
}


# --- right numbers without their gradient -------------------------------------------


def detached(mu, logvar, eps):
    return (mu + torch.exp(0.5 * logvar) * eps).detach()


def under_no_grad(mu, logvar, eps):
    with torch.no_grad():
        return by_variance(mu, logvar, eps)


def sigma_detached(mu, logvar, eps):
    return mu + torch.exp(0.5 * logvar).detach() * eps


def mean_detached(mu, logvar, eps):
    return mu.detach() + torch.exp(0.5 * logvar) * eps


def full_detached(mu, L, eps):
    return full_by_matmul(mu, L, eps).detach()


def root_detached(mu, L, eps):
    return full_by_matmul(mu, L.detach(), eps)


def half_the_gradient(mu, logvar, eps):
    """The straight-through trick: right numbers, the gradient of something else."""
    z = by_variance(mu, logvar, eps)
    return z.detach() + 0.5 * (z - z.detach())


CUT_OFF = [
    ("reparameterise", detached, "no gradient comes back"),
    ("reparameterise", under_no_grad, "no gradient comes back"),
    ("reparameterise", sigma_detached, "no gradient reaches logvar"),
    ("reparameterise", mean_detached, "no gradient reaches mu"),
    ("reparameterise", half_the_gradient, "gradient with respect to mu"),
    ("reparameterise_full", full_detached, "no gradient comes back"),
    ("reparameterise_full", root_detached, "no gradient reaches L"),
]


# --- other wrong answers ------------------------------------------------------------


def noise_of_its_own(mu, logvar, eps):
    return by_variance(mu, logvar, torch.randn_like(mu))


def sample_by_torch(mu, logvar, eps):
    return torch.distributions.Normal(mu, (logvar / 2).exp()).rsample()


OWN_NOISE = [("reparameterise", f) for f in (noise_of_its_own, sample_by_torch)]


def no_score(f_values, z, mu, logvar):
    return torch.zeros_like(mu), torch.zeros_like(logvar)


def no_sample(mu, logvar_or_root, eps):
    return torch.zeros_like(eps)


def score_of_log_sigma(f_values, z, mu, logvar):
    log_sigma = (logvar / 2).clone().requires_grad_()
    q = torch.distributions.Normal(mu, log_sigma.exp())
    surrogate = (f_values * q.log_prob(z).sum(-1)).mean(0).sum()
    g_mu, _ = score_by_autograd(f_values, z, mu, logvar)
    return g_mu, torch.autograd.grad(surrogate, log_sigma)[0]


def rows_times_root(mu, L, eps):
    return mu + torch.stack([eps[:, b] @ L[b] for b in range(len(mu))], 1)


def mean_without_thought(f_values):
    return torch.zeros_like(f_values) + f_values.mean(0)


NAMED = [
    ("score_gradient", score_of_log_sigma, "no_half"),
    ("reparameterise_full", rows_times_root, "transposed"),
    ("leave_one_out", mean_without_thought, "mean_of_all"),
]

ROWS = [
    *((name, answer, (True, True, True, False)) for name, answer, _ in CUT_OFF),
    *((name, answer, (False, False, False, False)) for name, answer in OWN_NOISE),
    # A constant answer earns nearly nothing.
    ("score_gradient", no_score, (False, False, True, True)),
    ("reparameterise", no_sample, (False, False, True, False)),
    ("leave_one_out", torch.zeros_like, (False, True, False, True)),
    ("reparameterise_full", no_sample, (False, False, True, False)),
]

SAYS = [*CUT_OFF, *((name, answer, "noise of your own") for name, answer in OWN_NOISE)]
