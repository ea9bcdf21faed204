"""Lesson 06's answers in other words, as `test_exercises` tries them."""

import torch

from course_utils.exercises import lesson06
from course_utils.objectives import gaussian_kl

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


def ascent_by_hand(x, W, b, sigma, mu, logvar, eps, lr):
    """The slope of log p(x|z) in z, carried to mu and logvar."""
    for noise in eps:
        width = (logvar / 2).exp()
        slope = (x - b - (mu + width * noise) @ W.T) @ W / sigma**2
        up_logvar = slope * noise * width / 2 - (logvar.exp() - 1) / 2
        mu, logvar = mu + lr * (slope - mu), logvar + lr * up_logvar
    return mu, logvar


def ascent_by_sgd(x, W, b, sigma, mu, logvar, eps, lr):
    leaves = [mu.clone().requires_grad_(), logvar.clone().requires_grad_()]
    optimiser = torch.optim.SGD(leaves, lr=lr)
    for noise in eps:
        z = by_variance(*leaves, noise)
        decoded = torch.distributions.Normal(z @ W.T + b, sigma)
        loss = gaussian_kl(*leaves).sum() - decoded.log_prob(x).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return [leaf.detach() for leaf in leaves]


def ascent_by_examples(x, W, b, sigma, mu, logvar, eps, lr):
    """Each example on its own, with the squared error over 2 σ²."""
    rows = []
    for n in range(len(x)):
        m, v = mu[n], logvar[n]
        for t in range(len(eps)):
            m, v = m.detach().requires_grad_(), v.detach().requires_grad_()
            x_hat = W @ (m + torch.sqrt(v.exp()) * eps[t, n]) + b
            loss = ((x[n] - x_hat) ** 2).sum() / (2 * sigma**2)
            loss = loss + 0.5 * (m**2 + v.exp() - v - 1).sum()
            down = torch.autograd.grad(loss, (m, v))
            m, v = m - lr * down[0], v - lr * down[1]
        rows.append((m.detach(), v.detach()))
    return tuple(torch.stack(column) for column in zip(*rows, strict=True))


def ascent_without_sampling(x, W, b, sigma, mu, logvar, eps, lr):
    """The exact gradient, which one draw only estimates."""
    for _ in eps:
        slope = (x - b - mu @ W.T) @ W / sigma**2
        spread = logvar.exp() * (W**2).sum(0) / sigma**2
        up_logvar = -spread / 2 - (logvar.exp() - 1) / 2
        mu, logvar = mu + lr * (slope - mu), logvar + lr * up_logvar
    return mu, logvar


def ascent_through_a_detached_draw(x, W, b, sigma, mu, logvar, eps, lr):
    leaves = [mu.clone().requires_grad_(), logvar.clone().requires_grad_()]
    optimiser = torch.optim.SGD(leaves, lr=lr)
    for noise in eps:
        z = by_variance(*leaves, noise).detach()
        decoded = torch.distributions.Normal(z @ W.T + b, sigma)
        loss = gaussian_kl(*leaves).sum() - decoded.log_prob(x).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return [leaf.detach() for leaf in leaves]


def ascent_of_a_mean(x, W, b, sigma, mu, logvar, eps, lr):
    return ascent_by_hand(x, W, b, sigma, mu, logvar, eps, lr / len(x))


def ascent_with_its_own_noise(x, W, b, sigma, mu, logvar, eps, lr):
    return ascent_by_hand(x, W, b, sigma, mu, logvar, torch.randn_like(eps), lr)


def ascent_that_rests(x, W, b, sigma, mu, logvar, eps, lr):
    return mu.clone(), logvar.clone()


RIGHT = {
    "pathwise_ascent": (ascent_by_hand, ascent_by_sgd, ascent_by_examples),
    "score_gradient": (
        score_by_autograd,
        score_by_einsum,
        score_by_numpy,
        score_by_loops,
    ),
    "reparameterise": (by_variance, by_addcmul, by_loops, by_affine_transform),
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


def half_the_gradient(mu, logvar, eps):
    """The straight-through trick: right numbers, the gradient of something else."""
    z = by_variance(mu, logvar, eps)
    return z.detach() + 0.5 * (z - z.detach())


CUT_OFF = [
    ("reparameterise", detached, "no gradient reaches mu"),
    ("reparameterise", under_no_grad, "no gradient reaches mu"),
    ("reparameterise", sigma_detached, "no gradient reaches logvar"),
    ("reparameterise", mean_detached, "no gradient reaches mu"),
    ("reparameterise", half_the_gradient, "the gradient in mu"),
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


def score_of_log_sigma(f_values, z, mu, logvar):
    log_sigma = (logvar / 2).clone().requires_grad_()
    q = torch.distributions.Normal(mu, log_sigma.exp())
    surrogate = (f_values * q.log_prob(z).sum(-1)).mean(0).sum()
    g_mu, _ = score_by_autograd(f_values, z, mu, logvar)
    return g_mu, torch.autograd.grad(surrogate, log_sigma)[0]


NAMED = [
    ("pathwise_ascent", ascent_through_a_detached_draw, "z_detached"),
    ("pathwise_ascent", ascent_of_a_mean, "averaged_over_the_batch"),
    ("pathwise_ascent", ascent_that_rests, "start_returned"),
    ("pathwise_ascent", ascent_without_sampling, None),
    ("pathwise_ascent", ascent_with_its_own_noise, None),
    ("score_gradient", score_as_in_games, "standardised"),
    ("score_gradient", score_of_the_samples, "law_of_samples"),
    ("score_gradient", score_times_density, "log_forgotten_for_each_latent"),
    ("reparameterise", wide_sample, "double_exponent"),
    ("reparameterise", bounded, "clamped_10"),
    ("score_gradient", score_of_log_sigma, "no_half"),
]

LAST = {name: len(EXERCISES[name].criteria) - 1 for name in RIGHT}

ROWS = [
    ("pathwise_ascent", ascent_that_rests, 4 * (False,)),
    *((name, answer, LAST[name] * (True,) + (False,)) for name, answer, _ in CUT_OFF),
    *((name, answer, 5 * (False,)) for name, answer in OWN_NOISE),
    ("score_gradient", score_by_autograd_alone, 5 * (True,) + (False,)),
    ("reparameterise", bounded, (True, True, True, False, True)),
    # A constant answer earns nothing.
    ("score_gradient", no_score, 6 * (False,)),
    ("reparameterise", no_sample, 5 * (False,)),
]

SAYS = [
    ("pathwise_ascent", ascent_that_rests, "in 80 steps the mean ELBO changes by"),
    *CUT_OFF,
    *((name, answer, "noise of your own") for name, answer in OWN_NOISE),
    ("score_gradient", score_by_autograd_alone, "torch.enable_grad()"),
    ("score_gradient", score_squeezed, "expected (1, 3)"),
]
