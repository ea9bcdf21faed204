"""Lesson 06's answers in other words, as `test_exercises` tries them."""

import torch

from course_utils.exercises import lesson06

EXERCISES = {exercise.name: exercise for exercise in lesson06.EXERCISES}

# --- right answers ------------------------------------------------------------------


def score_by_autograd(f_values, z, mu, logvar):
    with torch.enable_grad():  # the lesson calls it under no_grad
        mu, logvar = (t.detach().requires_grad_() for t in (mu, logvar))
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


def score_by_numpy(f_values, z, mu, logvar):
    var = logvar.exp().numpy()
    away = z.numpy() - mu.numpy()
    f = f_values.numpy()[..., None]
    squares = 0.5 * (away**2 / var - 1)
    return torch.tensor((f * away / var).mean(0)), torch.tensor((f * squares).mean(0))


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


def full_through_the_triangle(mu, L, eps):
    return mu + torch.einsum("bij,sbj->sbi", torch.tril(L), eps)


def full_by_entries(mu, L, eps):
    z = mu.expand_as(eps).clone()
    for i in range(L.shape[1]):
        for j in range(i + 1):
            z[..., i] = z[..., i] + L[:, i, j] * eps[..., j]
    return z


RIGHT = {
    "score_gradient": (
        score_by_autograd,
        score_by_einsum,
        score_by_numpy,
        score_by_loops,
    ),
    "reparameterise": (by_variance, by_addcmul, by_loops, by_affine_transform),
    "leave_one_out": (others_by_loops, others_by_matrix, others_by_mean),
    "reparameterise_full": (
        full_by_matmul,
        full_through_the_triangle,
        full_by_rows,
        full_by_sums,
        full_by_bmm,
        full_by_entries,
    ),
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


def full_after_the_fact(mu, L, eps):
    z = full_by_matmul(mu, L, eps)
    eps.copy_(z.detach())  # which the gradient of L still needs
    return z


CUT_OFF = [
    ("reparameterise", detached, "no gradient reaches mu"),
    ("reparameterise", under_no_grad, "no gradient reaches mu"),
    ("reparameterise", sigma_detached, "no gradient reaches logvar"),
    ("reparameterise", mean_detached, "no gradient reaches mu"),
    ("reparameterise", half_the_gradient, "the gradient in mu"),
    ("reparameterise_full", full_detached, "no gradient reaches mu"),
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


def score_by_autograd_alone(f_values, z, mu, logvar):
    mu, logvar = mu.clone().requires_grad_(), logvar.clone().requires_grad_()
    q = torch.distributions.Normal(mu, (logvar / 2).exp())
    surrogate = (f_values * q.log_prob(z).sum(-1)).mean(0).sum()
    return torch.autograd.grad(surrogate, (mu, logvar))


def score_squeezed(f_values, z, mu, logvar):
    return [g.squeeze() for g in score_by_einsum(f_values, z, mu, logvar)]


def score_as_in_games(f_values, z, mu, logvar):
    away = f_values - f_values.mean(0, keepdim=True)
    return score_by_einsum(away / (f_values.std(0) + 1e-8), z, mu, logvar)


def score_of_the_samples(f_values, z, mu, logvar):
    return score_by_einsum(f_values, z, z.mean(0), z.var(0).log())


def score_times_density(f_values, z, mu, logvar):
    eps = (z - mu) * (-logvar / 2).exp()
    density = (-0.5 * eps**2 - logvar / 2).exp() * 0.3989422804014327
    weight = f_values.unsqueeze(-1) * density
    g_mu = (weight * eps * (-logvar / 2).exp()).mean(0)
    return g_mu, (weight * (eps**2 - 1)).mean(0) / 2


def wide_sample(mu, logvar, eps):
    return mu + torch.exp(logvar * 2) * eps


def bounded(mu, logvar, eps):
    return by_variance(mu, torch.clamp(logvar, -10.0, 10.0), eps)


def full_by_torch(mu, L, eps):
    q = torch.distributions.MultivariateNormal(mu, scale_tril=L)
    return q.rsample(eps.shape[:1])


def full_squeezed(mu, L, eps):
    return mu + (L @ eps[..., None]).squeeze()


def full_by_row_sums(mu, L, eps):
    return mu + (L * eps[..., None]).sum(-1)


def full_by_view(mu, L, eps):
    S, batch, K = eps.shape
    return mu + (eps.view(batch, S, K) @ L.mT).view(S, batch, K)


def full_positive_again(mu, L, eps):
    diagonal = torch.diag_embed(L.diagonal(dim1=1, dim2=2).exp())
    return full_by_matmul(mu, diagonal + L.tril(-1), eps)


def others_by_value(f_values):
    different = f_values[:, None] != f_values[None]  # (S, S, batch)
    return (different * f_values).sum(1) / different.sum(1)


def others_squeezed(f_values):
    return others_by_mean(f_values).squeeze()


def others_of_four(f_values):
    return (f_values.sum(0) - f_values) / 3


def others_without_the_next(f_values):
    S = len(f_values)
    kept = [[j for j in range(S) if j not in (i, i + 1)] for i in range(S)]
    return torch.stack([f_values[rows].mean(0) for rows in kept])


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
    ("score_gradient", score_as_in_games, "standardised"),
    ("score_gradient", score_of_the_samples, "law_of_samples"),
    ("score_gradient", score_times_density, "log_forgotten_for_each_latent"),
    ("reparameterise", wide_sample, "double_exponent"),
    ("reparameterise", bounded, "clamped_10"),
    ("reparameterise_full", full_by_row_sums, "row_sums"),
    ("reparameterise_full", full_by_view, "reshaped"),
    ("reparameterise_full", full_positive_again, "diagonal_exponentiated"),
    ("leave_one_out", others_of_four, "over_fixed_3"),
    ("leave_one_out", others_without_the_next, "two_left_out"),
    ("score_gradient", score_of_log_sigma, "no_half"),
    ("reparameterise_full", rows_times_root, "transposed"),
    ("leave_one_out", mean_without_thought, "mean_of_all"),
]

LAST = {name: len(EXERCISES[name].criteria) - 1 for name in RIGHT}

ROWS = [
    *((name, answer, LAST[name] * (True,) + (False,)) for name, answer, _ in CUT_OFF),
    *((name, answer, 5 * (False,)) for name, answer in OWN_NOISE),
    ("score_gradient", score_by_autograd_alone, 5 * (True,) + (False,)),
    ("reparameterise", bounded, (True, True, True, False, True)),
    ("leave_one_out", others_by_value, 4 * (True,) + (False,)),
    # A constant answer earns nothing.
    ("score_gradient", no_score, 6 * (False,)),
    ("reparameterise", no_sample, 5 * (False,)),
    ("leave_one_out", torch.zeros_like, 5 * (False,)),
    ("reparameterise_full", no_sample, 5 * (False,)),
]

SAYS = [
    *CUT_OFF,
    *((name, answer, "noise of your own") for name, answer in OWN_NOISE),
    ("score_gradient", score_by_autograd_alone, "torch.enable_grad()"),
    ("score_gradient", score_squeezed, "expected (1, 3)"),
    ("reparameterise_full", full_by_torch, "noise of your own"),
    ("reparameterise_full", full_squeezed, "expected (6, 1, 3)"),
    ("reparameterise_full", full_after_the_fact, "changes its inputs in place"),
    ("reparameterise_full", full_after_the_fact, "no gradient can be taken"),
    ("leave_one_out", others_squeezed, "expected (7, 1)"),
    ("leave_one_out", others_by_value, "by place, not by value"),
]
