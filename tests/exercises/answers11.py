"""Lesson 11's answers in other words, as `test_exercises` tries them."""

import math

import torch
from torch.distributions import Categorical, Independent, Normal, kl_divergence
from torch.nn import functional as F


def terms_by_distributions(x, y, mu, logvar, eps, means, W, sigma2):
    sigma = torch.exp(0.5 * logvar)
    z = mu + sigma * eps
    decoder = Independent(Normal(means[y] + z @ W.T, math.sqrt(sigma2)), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    q = Independent(Normal(mu, sigma), 1)
    return -decoder.log_prob(x), kl_divergence(q, prior)


def terms_by_one_hot(x, y, mu, logvar, eps, means, W, sigma2):
    hot = F.one_hot(y, len(means)).to(x.dtype)
    z = mu + logvar.exp().sqrt() * eps
    residual = x - hot @ means - torch.einsum("dk,nk->nd", W, z)
    D = x.shape[1]
    log_likelihood = -0.5 * (residual.square().sum(1) / sigma2)
    log_likelihood = log_likelihood - 0.5 * D * math.log(2 * math.pi * sigma2)
    rate = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(-1)
    return -log_likelihood, rate


def terms_by_loop(x, y, mu, logvar, eps, means, W, sigma2):
    distortions, rates = [], []
    for n in range(len(x)):
        z = mu[n] + (logvar[n] / 2).exp() * eps[n]
        mean = means[y[n]] + W @ z
        normaliser = 0.5 * math.log(2 * math.pi * sigma2)
        distortions.append(((x[n] - mean) ** 2 / (2 * sigma2) + normaliser).sum())
        kls = 0.5 * (mu[n] ** 2 + logvar[n].exp() - 1) - logvar[n] / 2
        rates.append(kls.sum())
    return [torch.stack(distortions), torch.stack(rates)]


def bound_by_entropy(joint_elbo, log_q_y):
    return (log_q_y.exp() * joint_elbo).sum(1) + Categorical(logits=log_q_y).entropy()


def bound_by_loop(joint_elbo, log_q_y):
    total = torch.zeros_like(joint_elbo[:, 0])
    for c in range(joint_elbo.shape[1]):
        q = log_q_y[:, c].exp()
        total = total + q * (joint_elbo[:, c] - log_q_y[:, c])
    return total


def bound_by_kl(joint_elbo, log_q_y):
    posterior = torch.log_softmax(joint_elbo, 1)
    kl = F.kl_div(posterior, log_q_y, reduction="none", log_target=True).sum(1)
    return torch.logsumexp(joint_elbo, 1) - kl


def nats_by_torch(log_probs, y):
    shares = torch.bincount(y).to(log_probs.dtype) / len(y)
    return Categorical(probs=shares).entropy() - F.nll_loss(log_probs, y)


def nats_by_ratio(log_probs, y):
    count = torch.bincount(y, minlength=log_probs.shape[1]).double()
    prior = (count / count.sum()).log()[y]
    return (log_probs[torch.arange(len(y)), y] - prior).mean().item()


def nats_by_one_hot(log_probs, y):
    hot = F.one_hot(y, log_probs.shape[1]).to(log_probs.dtype)
    shares = hot.mean(0)
    return torch.special.entr(shares).sum() + (hot * log_probs).sum(1).mean()


def nats_in_float32_steps(log_probs, y):
    shares = torch.bincount(y) / len(y)  # float32
    return -torch.special.xlogy(shares, shares).sum() - F.nll_loss(log_probs, y)


def bound_by_softmax(joint_elbo, log_q_y):
    q = log_q_y.softmax(1)  # another gradient in log_q_y, the same in the logits
    return (q * joint_elbo).sum(1) - torch.special.xlogy(q, q).sum(1)


RIGHT = {
    "conditional_terms": (terms_by_distributions, terms_by_one_hot, terms_by_loop),
    "unlabelled_bound": (
        bound_by_entropy,
        bound_by_loop,
        bound_by_kl,
        bound_by_softmax,
    ),
    "leaked_nats": (
        nats_by_torch,
        nats_by_ratio,
        nats_by_one_hot,
        nats_in_float32_steps,
    ),
}


def terms_with_noise_of_their_own(x, y, mu, logvar, eps, means, W, sigma2):
    drawn = torch.randn_like(eps)
    return terms_by_one_hot(x, y, mu, logvar, drawn, means, W, sigma2)


def terms_with_z_cut_off(x, y, mu, logvar, eps, means, W, sigma2):
    _, rate = terms_by_one_hot(x, y, mu, logvar, eps, means, W, sigma2)
    cut = mu.detach(), logvar.detach()
    return terms_by_one_hot(x, y, *cut, eps, means, W, sigma2)[0], rate


def terms_squeezed(x, y, mu, logvar, eps, means, W, sigma2):
    terms = terms_by_one_hot(x, y, mu, logvar, eps, means, W, sigma2)
    return tuple(term.squeeze() for term in terms)


def terms_with_a_clamp(x, y, mu, logvar, eps, means, W, sigma2):
    return terms_by_one_hot(x, y, mu, logvar.clamp(-20, 10), eps, means, W, sigma2)


def bound_with_weights_cut_off(joint_elbo, log_q_y):
    return (log_q_y.exp().detach() * (joint_elbo - log_q_y)).sum(1)


def bound_with_elbos_cut_off(joint_elbo, log_q_y):
    return (log_q_y.exp() * (joint_elbo.detach() - log_q_y)).sum(1)


def bound_of_one_draw(joint_elbo, log_q_y):
    drawn = Categorical(logits=log_q_y).sample()[:, None]
    return (joint_elbo - log_q_y).gather(1, drawn)[:, 0]


def bound_by_log_of_q(joint_elbo, log_q_y):
    q = log_q_y.exp()
    return (q * (joint_elbo - q.log())).sum(1)


def bound_that_overwrites(joint_elbo, log_q_y):
    bound = bound_by_loop(joint_elbo, log_q_y)
    with torch.no_grad():
        log_q_y.exp_()
    return bound


def bound_squeezed(joint_elbo, log_q_y):
    return bound_by_loop(joint_elbo, log_q_y).squeeze()


def nats_without_absent_classes(log_probs, y):
    shares = torch.bincount(y, minlength=log_probs.shape[1]) / len(y)
    return -(shares * shares.log()).sum() - F.nll_loss(log_probs, y)


def nats_of_digits(log_probs, y):
    return 2.302585092994046 - F.nll_loss(log_probs, y)


NAMED = [
    ("conditional_terms", terms_with_z_cut_off, "z_cut_off"),
    ("leaked_nats", nats_of_digits, "ten_classes"),
]

ROWS = [
    ("conditional_terms", terms_with_z_cut_off, (True, True, True, True, False, True)),
    ("conditional_terms", terms_squeezed, (True, True, True, True, True, False)),
    ("conditional_terms", terms_with_a_clamp, (True, True, True, False, True, True)),
    ("unlabelled_bound", bound_with_weights_cut_off, (True, True, True, False, True)),
    ("unlabelled_bound", bound_with_elbos_cut_off, (True, True, True, False, True)),
    ("unlabelled_bound", bound_by_log_of_q, (True, True, True, True, False)),
    ("unlabelled_bound", bound_squeezed, (True, True, True, True, False)),
    ("leaked_nats", nats_without_absent_classes, (True, True, True, False)),
]

SAYS = [
    ("conditional_terms", terms_with_noise_of_their_own, "inputs differ"),
    ("conditional_terms", terms_with_a_clamp, "with no clamp"),
    ("unlabelled_bound", bound_with_weights_cut_off, "the gradient in the classifier"),
    ("unlabelled_bound", bound_with_elbos_cut_off, "the gradient in joint_elbo"),
    ("unlabelled_bound", bound_of_one_draw, "no y is drawn"),
    ("unlabelled_bound", bound_by_log_of_q, "rounds to 0"),
    ("unlabelled_bound", bound_that_overwrites, "changes its inputs in place"),
    ("unlabelled_bound", bound_squeezed, "a batch of one"),
    ("leaked_nats", nats_without_absent_classes, "classes that no example has"),
]


def knows_something_of_every_class(log_probs, y):
    return nats_by_ratio(log_probs, y) > 0 and int(torch.bincount(y).min()) >= 1


def meets_every_class(x, y, mu, logvar, eps, means, W, sigma2):
    return len(y.unique()) == len(means) >= 3


INPUTS = [
    ("leaked_nats", knows_something_of_every_class),
    ("conditional_terms", meets_every_class),
]
