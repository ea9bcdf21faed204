"""Lesson 06's right answers in other words, and what its exercises alone must do."""

import pytest
import torch

from course_utils.exercises.lesson06 import EXERCISES
from course_utils.grading.grade import grade
from exercise_checks import SEEDS

BY_NAME = {exercise.name: exercise for exercise in EXERCISES}


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


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("reparameterise", detached, "no gradient comes back"),
        ("reparameterise", under_no_grad, "no gradient comes back"),
        ("reparameterise", sigma_detached, "no gradient reaches logvar"),
        ("reparameterise", mean_detached, "no gradient reaches mu"),
        ("reparameterise_full", full_detached, "no gradient comes back"),
        ("reparameterise_full", root_detached, "no gradient reaches L"),
    ],
)
def test_right_numbers_without_a_gradient_are_refused_in_words(name, answer, said):
    for seed in range(SEEDS):
        report = grade(BY_NAME[name], answer, seed)
        assert report.status == "failed"
        assert [row.message is None for row in report.rows] == [True, True, True, False]
        assert said in report.rows[-1].message


def half_the_gradient(mu, logvar, eps):
    """The straight-through trick: right numbers, the gradient of something else."""
    z = by_variance(mu, logvar, eps)
    return z.detach() + 0.5 * (z - z.detach())


def test_right_numbers_with_another_gradient_are_refused():
    report = grade(BY_NAME["reparameterise"], half_the_gradient, 0)
    assert "gradient with respect to mu" in report.rows[-1].message


def noise_of_its_own(mu, logvar, eps):
    return by_variance(mu, logvar, torch.randn_like(mu))


def test_own_noise_is_refused_in_words():
    report = grade(BY_NAME["reparameterise"], noise_of_its_own, 0)
    assert report.status == "failed"
    assert "noise of your own" in report.rows[1].message


def sample_by_torch(mu, logvar, eps):
    return torch.distributions.Normal(mu, (logvar / 2).exp()).rsample()


def test_the_library_s_sampler_ignores_eps():
    report = grade(BY_NAME["reparameterise"], sample_by_torch, 0)
    assert report.rows[0].message is not None
    assert "noise of your own" in report.rows[1].message


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


@pytest.mark.parametrize(
    ("name", "answer", "mistake"),
    [
        ("score_gradient", score_of_log_sigma, "no_half"),
        ("reparameterise_full", rows_times_root, "transposed"),
        ("leave_one_out", mean_without_thought, "mean_of_all"),
    ],
)
def test_a_mistake_is_named_in_other_words(name, answer, mistake):
    for seed in range(SEEDS):
        assert grade(BY_NAME[name], answer, seed).misconception == mistake


@pytest.mark.parametrize("name", BY_NAME)
def test_a_constant_answer_earns_nearly_nothing(name):
    exercise = BY_NAME[name]

    def zeros(*arguments):
        want = exercise.reference(*arguments)
        if isinstance(want, tuple):
            return tuple(torch.zeros_like(part) for part in want)
        return torch.zeros_like(want)

    report = grade(exercise, zeros, 0)
    assert report.status == "failed"
    assert report.score <= 2
