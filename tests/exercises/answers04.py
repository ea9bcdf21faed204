"""Lesson 04's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch
from torch import distributions
from torch.nn import functional

from course_utils import objectives
from course_utils.exercises.lesson04 import mean_log_p
from course_utils.oracles.linear_gaussian import LinearGaussian


def prototypes_by_responsibilities(x, logits, steps, lr):
    """The slope by calculus: each prototype meets its share of the pictures."""
    for _ in range(steps):
        log_lik = x @ logits.T - torch.log1p(logits.exp()).sum(1)
        share = log_lik.softmax(1) / len(x)  # (N, M)
        logits = logits + lr * (share.T @ x - share.sum(0)[:, None] * logits.sigmoid())
    return logits


def prototypes_by_sgd(x, logits, steps, lr):
    logits = logits.clone().requires_grad_()
    optimiser = torch.optim.SGD([logits], lr=lr)
    for _ in range(steps):
        each = functional.binary_cross_entropy_with_logits(
            logits.expand(len(x), -1, -1),
            x[:, None].expand(-1, len(logits), -1),
            reduction="none",
        )
        loss = -torch.logsumexp(-each.sum(2), 1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return logits.detach()


def prototypes_by_products(x, logits, steps, lr):
    for _ in range(steps):
        leaf = logits.detach().requires_grad_()
        ink = leaf.sigmoid()
        each = ink ** x[:, None] * (1 - ink) ** (1 - x[:, None])
        each.prod(2).mean(1).log().mean().backward()
        logits = leaf + lr * leaf.grad
    return logits.detach()


def prototypes_by_distributions(x, logits, steps, lr):
    for _ in range(steps):
        leaf = logits.detach().requires_grad_()
        coins = distributions.Bernoulli(logits=leaf)
        log_lik = coins.log_prob(x[:, None]).sum(2)
        choice = math.log(1 / len(leaf))
        (log_lik + choice).logsumexp(1).mean().backward()
        logits = leaf + lr * leaf.grad
    return logits.detach()


def prototypes_by_library(x, logits, steps, lr):
    for _ in range(steps):
        leaf = logits.detach().requires_grad_()
        S = len(leaf)
        log_lik = objectives.bernoulli_log_prob(x, leaf[:, None].expand(S, *x.shape))
        log_p = objectives.log_mean_exp(log_lik)
        (up,) = torch.autograd.grad(log_p.mean(), leaf)
        logits = leaf + lr * up
    return logits.detach()


def estimate_in_one_go(x, z, W, b, sigma, mu, logvar):
    log_lik = distributions.Normal(z @ W.T + b, sigma).log_prob(x).sum(2)
    log_prior = distributions.Normal(0.0, 1.0).log_prob(z).sum(2)
    log_q = distributions.Normal(mu, (logvar / 2).exp()).log_prob(z).sum(2)
    return torch.logsumexp(log_lik + log_prior - log_q - math.log(len(z)), 0)


def estimate_by_formula(x, z, W, b, sigma, mu, logvar):
    """The 2π of prior and proposal cancel."""
    D = x.shape[1]
    log_w = []
    for draw in z:
        square = ((x - draw @ W.T - b) ** 2).sum(1) / sigma**2
        log_lik = -0.5 * (square + D * math.log(2 * math.pi * sigma**2))
        ratio = (draw - mu) ** 2 / logvar.exp() + logvar - draw**2
        log_w.append(log_lik + 0.5 * ratio.sum(1))
    return torch.logsumexp(torch.stack(log_w), dim=0) - math.log(len(log_w))


def estimate_with_the_largest_out(x, z, W, b, sigma, mu, logvar):
    log_w = torch.stack(
        [
            objectives.gaussian_log_prob(x, draw @ W.T + b, 2 * math.log(sigma))
            + objectives.gaussian_log_prob(draw, 0 * draw, 0.0)
            - objectives.gaussian_log_prob(draw, mu, logvar)
            for draw in z
        ]
    )
    top = log_w.max(0).values
    return top + (log_w - top).exp().mean(0).log()


def estimate_by_adding_up(x, z, W, b, sigma, mu, logvar):
    total = torch.full((len(x),), -math.inf, dtype=x.dtype)
    for draw in z:
        one = estimate_in_one_go(x, draw[None], W, b, sigma, mu, logvar)
        total = torch.logaddexp(total, one)
    return total - np.log(len(z))


RIGHT = {
    "train_prototypes": (
        prototypes_by_responsibilities,
        prototypes_by_sgd,
        prototypes_by_distributions,
        prototypes_by_library,
    ),
    "importance_estimate": (
        estimate_in_one_go,
        estimate_by_formula,
        estimate_with_the_largest_out,
        estimate_by_adding_up,
    ),
}


def prototypes_that_descend(x, logits, steps, lr):
    for _ in range(steps):
        leaf = logits.detach().requires_grad_()
        mean_log_p(x, leaf).backward()
        logits = leaf - lr * leaf.grad
    return logits.detach()


def prototypes_that_never_clear(x, logits, steps, lr):
    leaf = logits.clone().requires_grad_()
    for _ in range(steps):
        mean_log_p(x, leaf).backward()
        with torch.no_grad():
            leaf += lr * leaf.grad
    return leaf.detach()


def prototypes_each_on_its_own(x, logits, steps, lr):
    """Every prototype becomes the average picture."""
    for _ in range(steps):
        logits = logits + lr / len(logits) * (x.mean(0) - logits.sigmoid())
    return logits


def prototypes_that_underflow(x, logits, steps, lr):
    for _ in range(steps):
        leaf = logits.detach().requires_grad_()
        ink = leaf.sigmoid()
        each = ink * x[:, None] + (1 - ink) * (1 - x[:, None])  # (N, M, D)
        each.prod(2).mean(1).log().mean().backward()
        logits = leaf + lr * leaf.grad
    return logits.detach()


def prototypes_that_stay(x, logits, steps, lr):
    return logits.clone()


def estimate_from_the_prior(x, z, W, b, sigma, mu, logvar):
    log_lik = distributions.Normal(z @ W.T + b, sigma).log_prob(x).sum(2)
    return torch.logsumexp(log_lik, 0) - math.log(len(z))


def estimate_by_the_bound(x, z, W, b, sigma, mu, logvar):
    singles = [estimate_in_one_go(x, d[None], W, b, sigma, mu, logvar) for d in z]
    return torch.stack(singles).mean(0)


def estimate_naively(x, z, W, b, sigma, mu, logvar):
    singles = [estimate_in_one_go(x, d[None], W, b, sigma, mu, logvar) for d in z]
    return torch.stack(singles).exp().mean(0).log()


def estimate_of_nothing(x, z, W, b, sigma, mu, logvar):
    return 0 * x[:, 0]


def the_exact_answer(x, z, W, b, sigma, mu, logvar):
    """No estimate at all: right for the posterior, and for no other q."""
    return LinearGaussian(W, b, sigma).log_density(x)


NAMED = (
    ("train_prototypes", prototypes_that_descend, "descent"),
    ("train_prototypes", prototypes_that_never_clear, "old_gradients_kept"),
    ("train_prototypes", prototypes_each_on_its_own, "mean_of_logs"),
    ("train_prototypes", prototypes_that_stay, "start_returned"),
    ("train_prototypes", prototypes_by_products, "underflow"),
    ("importance_estimate", estimate_from_the_prior, "likelihood_alone"),
    ("importance_estimate", estimate_by_the_bound, "mean_of_logs"),
    ("importance_estimate", estimate_naively, "underflow"),
    ("importance_estimate", the_exact_answer, None),
)
SAYS = (
    ("train_prototypes", prototypes_that_stay, "in 40 steps the mean log p(x) changes"),
    ("importance_estimate", estimate_of_nothing, "q is the posterior, one draw"),
)
ROWS = (
    ("train_prototypes", prototypes_that_stay, 4 * (False,)),
    ("train_prototypes", prototypes_that_never_clear, (True, False, False, False)),
    ("importance_estimate", estimate_of_nothing, 3 * (False,)),
    ("importance_estimate", estimate_naively, (True, True, False)),
    ("importance_estimate", the_exact_answer, (False, True, False)),
)


def likelihoods_underflow_somewhere(x, logits, steps, lr):
    """Pictures are of 0 and 1, and no size equals another."""
    sizes = (*x.shape, len(logits))
    return len(set(sizes)) == 3 and bool(((x == 0) | (x == 1)).all())


INPUTS = (("train_prototypes", likelihoods_underflow_somewhere),)
