"""Lesson 05's answers in other words, as `test_exercises` tries them."""

import math

import torch
from torch import distributions

from course_utils import objectives
from course_utils.exercises import lesson05


def kl_by_formula(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)


def kl_by_torch(mu, logvar):
    q = distributions.Normal(mu, (logvar / 2).exp())
    p = distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return distributions.kl_divergence(q, p).sum(dim=-1)


def kl_by_matrices(mu, logvar):
    q = distributions.MultivariateNormal(mu, torch.diag_embed(logvar.exp()))
    zero = torch.zeros(mu.shape[1], dtype=mu.dtype)
    eye = torch.eye(mu.shape[1], dtype=mu.dtype)
    return distributions.kl_divergence(q, distributions.MultivariateNormal(zero, eye))


def kl_by_entropy(mu, logvar):
    K = mu.shape[1]
    cross = 0.5 * (mu.square() + logvar.exp()).sum(1) + K / 2 * math.log(2 * math.pi)
    return cross - 0.5 * (logvar + math.log(2 * math.pi * math.e)).sum(1)


def terms_by_ratio(log_lik, log_prior, log_posterior, log_q):
    q = log_q.exp()
    return [log_lik, (q / log_prior.exp()).log(), (q / log_posterior.exp()).log()]


def terms_by_minus(log_lik, log_prior, log_posterior, log_q):
    return log_lik, -(log_prior - log_q), -(log_posterior - log_q)


def terms_by_evidence(log_lik, log_prior, log_posterior, log_q):
    """Red is whatever is missing to log p(x)."""
    log_p = (log_lik + log_prior - log_posterior)[0]
    purple = log_q - log_prior
    return log_lik, purple, log_p - log_lik + purple


def terms_by_rows(log_lik, log_prior, log_posterior, log_q):
    rows = [
        (a.item(), (d - b).item(), (d - c).item())
        for a, b, c, d in zip(log_lik, log_prior, log_posterior, log_q, strict=True)
    ]
    return tuple(torch.tensor(rows, dtype=log_q.dtype).T)


def climb_by_backward(z, log_lik, mu, logvar, steps, lr):
    mu, logvar = mu.clone().requires_grad_(), logvar.clone().requires_grad_()
    for _ in range(steps):
        q = torch.exp(-0.5 * ((z - mu) ** 2 * (-logvar).exp()).sum(1))
        distortion = -(q * log_lik).sum() / q.sum()
        rate = 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum()
        (distortion + rate).backward()
        with torch.no_grad():
            mu -= lr * mu.grad
            logvar -= lr * logvar.grad
        mu.grad, logvar.grad = None, None
    return mu.detach(), logvar.detach()


def climb_by_sgd(z, log_lik, mu, logvar, steps, lr):
    mu, logvar = mu.clone().requires_grad_(), logvar.clone().requires_grad_()
    optimiser = torch.optim.SGD([mu, logvar], lr=lr)
    for _ in range(steps):
        q = distributions.Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(1)
        elbo = torch.softmax(q, 0) @ log_lik
        elbo = elbo - objectives.gaussian_kl(mu[None], logvar[None]).sum()
        optimiser.zero_grad()
        (-elbo).backward()
        optimiser.step()
    return mu.detach(), logvar.detach()


def climb_by_hand(z, log_lik, mu, logvar, steps, lr):
    """The slopes by calculus: those of a softmax are covariances."""
    for _ in range(steps):
        away = (z - mu) / logvar.exp()  # d log q / d mu
        tall = 0.5 * (z - mu) ** 2 / logvar.exp()  # d log q / d logvar
        q = (-tall.sum(1)).softmax(0)
        lift = q * (log_lik - q @ log_lik)
        up_mu = lift @ away - mu
        up_logvar = lift @ tall - 0.5 * (logvar.exp() - 1)
        mu, logvar = mu + lr * up_mu, logvar + lr * up_logvar
    return mu, logvar


def climb_by_areas(z, log_lik, mu, logvar, steps, lr):
    """Weights are densities times the area of a place."""
    sides = [torch.unique(column) for column in z.T]
    area = math.prod(float(side[1] - side[0]) for side in sides)
    for _ in range(steps):
        leaves = [mu.detach().requires_grad_(), logvar.detach().requires_grad_()]
        q = distributions.Normal(leaves[0], (leaves[1] / 2).exp())
        mass = q.log_prob(z).sum(1).exp() * area
        prior = distributions.Normal(0.0, 1.0)
        kl = distributions.kl_divergence(q, prior).sum()
        up = torch.autograd.grad((mass * log_lik).sum() - kl, leaves)
        mu, logvar = (a + lr * b for a, b in zip(leaves, up, strict=True))
    return [mu.detach(), logvar.detach()]


RIGHT = {
    "three_terms": (
        terms_by_ratio,
        terms_by_minus,
        terms_by_evidence,
        terms_by_rows,
    ),
    "gaussian_kl": (
        kl_by_formula,
        kl_by_torch,
        kl_by_matrices,
        kl_by_entropy,
    ),
    "climb_elbo": (
        climb_by_backward,
        climb_by_sgd,
        climb_by_hand,
        climb_by_areas,
    ),
}


def kl_with_a_scalar_for_all(mu, logvar):
    return kl_by_formula(mu, logvar).sum().repeat(len(mu))


def kl_at_log_sigma(mu, logvar):
    var = torch.exp(logvar) ** 2
    return 0.5 * (mu**2 + var - torch.log(var) - 1).sum(1)


def kl_with_log_sigma(mu, logvar):
    sigma = (logvar / 2).exp()
    return 0.5 * (mu**2 + sigma**2 - sigma.log() - 1).sum(1)


def kl_by_loops(mu, logvar):
    result = []
    for m, v in zip(mu.tolist(), logvar.tolist(), strict=True):
        parts = [a * a + math.exp(c) - c - 1 for a, c in zip(m, v, strict=True)]
        result.append(0.5 * sum(parts))
    return torch.tensor(result, dtype=mu.dtype)


def kl_of_some(cut):
    """Build a KL whose gradient in one argument is cut off."""
    return lambda mu, logvar: kl_by_formula(
        mu.detach() if cut == "mu" else mu,
        logvar.detach() if cut == "logvar" else logvar,
    )


def kl_with_bounds(mu, logvar):
    return kl_by_torch(mu, torch.clamp(logvar, -10, 10))


def kl_with_free_bits(mu, logvar):
    per_latent = (mu.square() + logvar.exp() - logvar - 1) / 2
    return torch.maximum(per_latent, torch.full_like(per_latent, 0.25)).sum(1)


def kl_with_one_floor(mu, logvar):
    return kl_by_formula(mu, logvar).clamp(min=0.3)


def kl_squeezed(mu, logvar):
    return kl_by_formula(mu, logvar).squeeze()


def kl_from_a_draw(mu, logvar):
    q = distributions.Normal(mu, (logvar / 2).exp())
    z = q.rsample()
    return (q.log_prob(z) + z**2 / 2 + 0.5 * math.log(2 * math.pi)).sum(1)


def kl_of_a_loss_function(mu, logvar):
    return -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())


def kl_with_half_in_the_wrong_place(mu, logvar):
    return mu.square().sum(1) + 0.5 * (logvar.exp() - logvar - 1).sum(1)


def terms_of_line_three(log_lik, log_prior, log_posterior, log_q):
    q = log_q.exp()
    return log_lik.exp(), q / log_prior.exp(), q / log_posterior.exp()


def terms_without_a_gap(log_lik, log_prior, log_posterior, log_q):
    return log_lik, log_q - log_prior, torch.zeros_like(log_q)


def terms_with_red_left_over(log_lik, log_prior, log_posterior, log_q):
    return log_lik, log_q - log_posterior, log_q - log_prior


def terms_with_zero_everywhere(log_lik, log_prior, log_posterior, log_q):
    return 0 * log_lik, 0 * log_q, 0 * log_q


def climb_that_lost_the_likelihood(z, log_lik, mu, logvar, steps, lr):
    for _ in range(steps):
        leaves = [mu.detach().requires_grad_(), logvar.detach().requires_grad_()]
        with torch.no_grad():
            q = distributions.Normal(mu, (logvar / 2).exp()).log_prob(z).sum(1)
        elbo = torch.softmax(q, 0) @ log_lik - kl_by_formula(*(a[None] for a in leaves))
        up = torch.autograd.grad(elbo.sum(), leaves)
        mu, logvar = (a + lr * b for a, b in zip(leaves, up, strict=True))
    return mu.detach(), logvar.detach()


def climb_downhill(z, log_lik, mu, logvar, steps, lr):
    return climb_by_hand(z, log_lik, mu, logvar, steps, -lr)


def climb_with_adam(z, log_lik, mu, logvar, steps, lr):
    mu, logvar = mu.clone().requires_grad_(), logvar.clone().requires_grad_()
    optimiser = torch.optim.Adam([mu, logvar], lr=lr)
    for _ in range(steps):
        q = distributions.Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(1)
        elbo = torch.softmax(q, 0) @ log_lik
        elbo = elbo - objectives.gaussian_kl(mu[None], logvar[None]).sum()
        optimiser.zero_grad()
        (-elbo).backward()
        optimiser.step()
    return mu.detach(), logvar.detach()


def climb_that_keeps_old_gradients(z, log_lik, mu, logvar, steps, lr):
    mu, logvar = mu.clone().requires_grad_(), logvar.clone().requires_grad_()
    for _ in range(steps):
        q = distributions.Normal(mu, (0.5 * logvar).exp()).log_prob(z).sum(1)
        elbo = torch.softmax(q, 0) @ log_lik
        elbo = elbo - objectives.gaussian_kl(mu[None], logvar[None]).sum()
        elbo.backward()
        with torch.no_grad():
            mu += lr * mu.grad
            logvar += lr * logvar.grad
    return mu.detach(), logvar.detach()


def climb_that_stands_still(z, log_lik, mu, logvar, steps, lr):
    return mu.clone(), logvar.clone()


NAMED = (
    ("three_terms", terms_of_line_three, "all_exponentiated"),
    ("three_terms", terms_without_a_gap, "nothing_missing"),
    ("three_terms", terms_with_red_left_over, "swapped"),
    ("gaussian_kl", kl_with_bounds, "clamped_10"),
    ("gaussian_kl", kl_with_free_bits, "floor_of_0.25"),
    ("gaussian_kl", kl_of_a_loss_function, "averaged_over_everything"),
    ("gaussian_kl", kl_with_half_in_the_wrong_place, "half_not_on_mean"),
    ("gaussian_kl", kl_with_log_sigma, "log_halved"),
    ("gaussian_kl", kl_with_a_scalar_for_all, "summed_over_batch"),
    ("gaussian_kl", kl_at_log_sigma, "read_as_log_sigma"),
    ("climb_elbo", climb_that_lost_the_likelihood, "weights_detached"),
    ("climb_elbo", climb_downhill, "descent"),
    ("climb_elbo", climb_that_keeps_old_gradients, "old_gradients_kept"),
    ("climb_elbo", climb_with_adam, "by_adam"),
    ("climb_elbo", climb_that_stands_still, "start_returned"),
)

EXERCISES = {exercise.name: exercise for exercise in lesson05.EXERCISES}
CUT_OFF = (
    ("gaussian_kl", kl_of_some("mu"), "no gradient reaches mu"),
    ("gaussian_kl", kl_of_some("logvar"), "no gradient reaches logvar"),
    ("gaussian_kl", kl_by_loops, "no gradient reaches mu"),
)
SAYS = (
    *CUT_OFF,
    ("gaussian_kl", kl_with_one_floor, "a floor under the KL"),
    ("gaussian_kl", kl_from_a_draw, "drawn at random"),
    ("gaussian_kl", kl_squeezed, "axes of length 1"),
    ("three_terms", terms_without_a_gap, "is not log p(x) at every z"),
    ("three_terms", terms_with_red_left_over, "the KL divergence is"),
    ("climb_elbo", climb_that_stands_still, "after 60 steps the ELBO has changed by"),
)


def no_kl(mu, logvar):
    return mu[:, 0] * 0


ROWS = (
    ("three_terms", terms_with_zero_everywhere, 4 * (False,)),
    ("three_terms", terms_with_red_left_over, (False, True, False, False)),
    ("three_terms", terms_without_a_gap, (False, True, False, False)),
    ("gaussian_kl", no_kl, 5 * (False,)),
    ("gaussian_kl", kl_with_bounds, (True, True, True, False, True)),
    ("gaussian_kl", kl_squeezed, (True, True, True, False, False)),
    ("climb_elbo", climb_that_stands_still, 4 * (False,)),
    ("climb_elbo", climb_that_keeps_old_gradients, (True, False, False, False)),
    *(
        (name, answer, (len(EXERCISES[name].criteria) - 1) * (True,) + (False,))
        for name, answer, _ in CUT_OFF
    ),
)


def every_distribution_adds_to_one(log_lik, log_prior, log_posterior, log_q):
    totals = [torch.logsumexp(log, 0) for log in (log_prior, log_posterior, log_q)]
    return torch.stack(totals).abs().max() < 1e-12


def the_grid_is_fine_enough(z, log_lik, mu, logvar, steps, lr):
    """The answer does not hang on how the weights are normalised."""
    one = climb_by_areas(z, log_lik, mu, logvar, steps, lr)
    other = climb_by_hand(z, log_lik, mu, logvar, steps, lr)
    return all(torch.allclose(a, b, rtol=1e-7) for a, b in zip(one, other, strict=True))


INPUTS = (
    ("three_terms", every_distribution_adds_to_one),
    ("climb_elbo", the_grid_is_fine_enough),
)
