"""Lesson 04's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch
from scipy import special, stats

from course_utils.exercises.lesson04 import EXERCISES


def kl_by_where(p, q):
    safe = torch.where(p > 0, p, torch.ones_like(p))
    terms = torch.where(p > 0, p * (safe.log() - q.log()), torch.zeros_like(p))
    return terms.sum(dim=1)


def kl_by_scipy(p, q):
    return torch.tensor(special.rel_entr(p.numpy(), q.numpy()).sum(axis=1))


def kl_by_loops(p, q):
    def term(a, b):
        if a == 0:
            return 0.0
        return math.inf if b == 0 else a * math.log(a / b)

    pairs = zip(p.tolist(), q.tolist(), strict=True)
    sums = [sum(map(term, first, second)) for first, second in pairs]
    return torch.tensor(sums, dtype=p.dtype)


def kl_by_entropies(p, q):
    return -torch.special.entr(p).sum(1) - torch.special.xlogy(p, q).sum(1)


def kl_by_categoricals(p, q):
    p, q = (torch.distributions.Categorical(probs=probs) for probs in (p, q))
    return torch.distributions.kl_divergence(p, q)


def kl_by_nansum(p, q):
    return (p * (p / q).log()).nansum(dim=1)


def kl_by_nan_to_num(p, q):
    return torch.nan_to_num(p * (p / q).log(), nan=0.0, posinf=math.inf).sum(1)


def pair_by_formula(mu_q, logvar_q, mu_p, logvar_p):
    square = (mu_q - mu_p) ** 2
    inside = logvar_p - logvar_q + (logvar_q.exp() + square) / logvar_p.exp() - 1
    return inside.sum(1) / 2


def pair_by_torch(mu_q, logvar_q, mu_p, logvar_p):
    q = torch.distributions.Normal(mu_q, (0.5 * logvar_q).exp())
    p = torch.distributions.Normal(mu_p, (0.5 * logvar_p).exp())
    return torch.distributions.kl_divergence(q, p).sum(-1)


def pair_by_matrices(mu_q, logvar_q, mu_p, logvar_p):
    rows = []
    for m_q, s_q, m_p, s_p in zip(
        mu_q, logvar_q.exp(), mu_p, logvar_p.exp(), strict=True
    ):
        A, B, d = torch.diag(s_q), torch.diag(s_p), m_p - m_q
        trace = (torch.linalg.inv(B) @ A).trace() - len(d)
        rows.append(
            0.5
            * (trace + d @ torch.linalg.solve(B, d) + torch.logdet(B) - torch.logdet(A))
        )
    return torch.stack(rows)


def pair_by_sigmas(mu_q, logvar_q, mu_p, logvar_p):
    s_q, s_p = torch.exp(logvar_q / 2), torch.exp(logvar_p / 2)
    per_dimension = torch.log(s_p / s_q) + (s_q**2 + (mu_q - mu_p) ** 2) / (2 * s_p**2)
    return (per_dimension - 0.5).sum(dim=1)


def pair_by_quadrature(mu_q, logvar_q, mu_p, logvar_p):
    nodes, weights = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(8))
    weights = weights / weights.sum()
    z = mu_q[..., None] + (logvar_q[..., None] / 2).exp() * nodes
    log_q = -0.5 * (nodes**2 + logvar_q[..., None])
    log_p = -0.5 * (
        (z - mu_p[..., None]) ** 2 / logvar_p.exp()[..., None] + logvar_p[..., None]
    )
    return ((log_q - log_p) * weights).sum(-1).sum(-1)


def mc_by_tensors(log_p, log_q):
    ratio = log_p - log_q
    return ratio.mean(), ratio.std() / len(ratio) ** 0.5


def mc_by_scipy(log_p, log_q):
    ratio = (log_p - log_q).numpy()
    return ratio.mean(), stats.sem(ratio)


def mc_by_loops(log_p, log_q):
    ratios = [float(a - b) for a, b in zip(log_p, log_q, strict=True)]
    mean = sum(ratios) / len(ratios)
    variance = sum((ratio - mean) ** 2 for ratio in ratios) / (len(ratios) - 1)
    return [mean, math.sqrt(variance / len(ratios))]


def mc_dividing_by_s(log_p, log_q):
    ratio = log_p - log_q
    return log_p.mean() - log_q.mean(), torch.sqrt(ratio.var(correction=0) / len(ratio))


def lme_by_logsumexp(values):
    return values.logsumexp(dim=0) - math.log(values.shape[0])


def lme_by_hand(values):
    largest = values.amax(0, keepdim=True)
    return (largest + (values - largest).exp().mean(0, keepdim=True).log()).squeeze(0)


def lme_by_shifting_first(values):
    return torch.logsumexp(values - math.log(len(values)), 0)


def lme_by_scipy(values):
    S = len(values)
    return torch.tensor(special.logsumexp(values.numpy(), axis=0, b=1 / S))


def lme_by_adding_one_at_a_time(values):
    total = values[0]
    for row in values[1:]:
        total = torch.logaddexp(total, row)
    return total - torch.log(torch.tensor(float(len(values)))).to(values.dtype)


def importance_by_softmax(log_joint, log_q):
    log_w = log_joint - log_q
    w = torch.softmax(log_w, dim=0)
    return lme_by_hand(log_w), 1 / (w * w).sum(0)


def importance_by_largest(log_joint, log_q):
    log_w = log_joint - log_q
    top = log_w.max(0).values
    w = torch.exp(log_w - top)
    return w.mean(0).log() + top, w.sum(0).square() / w.square().sum(0)


def importance_by_numpy(log_joint, log_q):
    log_w = (log_joint - log_q).numpy()
    total = special.logsumexp(log_w, axis=0)
    size = np.exp(2 * total - special.logsumexp(2 * log_w, axis=0))
    return [torch.tensor(total - np.log(len(log_w))), torch.tensor(size)]


def importance_by_coefficient_of_variation(log_joint, log_q):
    w = torch.softmax(log_joint - log_q, 0) * len(log_q)  # mean 1
    return lme_by_logsumexp(log_joint - log_q), len(w) / (1 + w.var(0, correction=0))


RIGHT = {
    "kl_discrete": (
        kl_by_where,
        kl_by_scipy,
        kl_by_loops,
        kl_by_entropies,
        kl_by_nan_to_num,
        kl_by_nansum,
        kl_by_categoricals,
    ),
    "gaussian_kl_pair": (
        pair_by_formula,
        pair_by_torch,
        pair_by_matrices,
        pair_by_sigmas,
        pair_by_quadrature,
    ),
    "monte_carlo_kl": (mc_by_tensors, mc_by_scipy, mc_by_loops, mc_dividing_by_s),
    "log_mean_exp": (
        lme_by_logsumexp,
        lme_by_hand,
        lme_by_scipy,
        lme_by_shifting_first,
        lme_by_adding_one_at_a_time,
    ),
    "importance_estimate": (
        importance_by_softmax,
        importance_by_largest,
        importance_by_numpy,
        importance_by_coefficient_of_variation,
    ),
}


def forward_by_reading_the_docs_too_fast(p, q):
    return torch.nn.functional.kl_div(p, q, reduction="none").sum(1)


def jeffreys(p, q):
    return ((p - q) * (p / q).log()).sum(1)


def half_protected(p, q):
    return (torch.special.xlogy(p, p) - p * q.log()).sum(1)


def nan_by_a_product(p, q):
    return torch.einsum("na,na->n", p, p.log() - q.log())


def infinity_made_finite(p, q):
    return torch.nan_to_num(p * (p.log() - q.log()), nan=0.0).sum(1)


def parentheses_forgotten(mu_q, logvar_q, mu_p, logvar_p):
    square = (mu_q - mu_p) ** 2
    inside = logvar_p - logvar_q + logvar_q.exp() + square / logvar_p.exp() - 1
    return inside.sum(1) / 2


def variance_as_sigma(mu_q, logvar_q, mu_p, logvar_p):
    q = torch.distributions.Normal(mu_q, logvar_q.exp())
    p = torch.distributions.Normal(mu_p, logvar_p.exp())
    return torch.distributions.kl_divergence(q, p).sum(1)


def doubled(mu_q, logvar_q, mu_p, logvar_p):
    return 2 * pair_by_torch(mu_q, logvar_q, mu_p, logvar_p)


def the_other_way(mu_q, logvar_q, mu_p, logvar_p):
    return pair_by_torch(mu_p, logvar_p, mu_q, logvar_q)


def sorted_then_paired(log_p, log_q):
    ratio = np.sort(log_p.numpy()) - np.sort(log_q.numpy())
    return abs(ratio.mean()), stats.sem(ratio)


def without_root(log_p, log_q):
    ratio = log_p - log_q
    return ratio.mean(), ratio.std()


def two_errors(log_p, log_q):
    ratio = (log_p - log_q).numpy()
    return ratio.mean(), 2 * stats.sem(ratio)


def one_shift_for_all_examples(log_joint, log_q):
    log_w = log_joint - log_q
    w = torch.exp(log_w - log_w.max())
    return log_w.max() + w.mean(0).log(), w.sum(0).square() / w.square().sum(0)


def jensen_the_wrong_way(log_joint, log_q):
    return (log_joint - log_q).mean(0), importance_by_softmax(log_joint, log_q)[1]


def prior_draws_forgotten(log_joint, log_q):
    return importance_by_softmax(log_joint, 0 * log_q)


def one_exp_for_all(values):
    return values.exp().sum(0).log() - math.log(len(values))


NAMED = [
    ("kl_discrete", forward_by_reading_the_docs_too_fast, "torch_in_reading_order"),
    ("kl_discrete", half_protected, "both_zero"),
    ("kl_discrete", jeffreys, "both_ways_in_one"),
    ("kl_discrete", nan_by_a_product, "zero_times_infinity"),
    ("kl_discrete", infinity_made_finite, "largest_float"),
    ("gaussian_kl_pair", parentheses_forgotten, "variance_not_divided"),
    ("gaussian_kl_pair", variance_as_sigma, "log_sigma"),
    ("gaussian_kl_pair", doubled, "half_dropped"),
    ("gaussian_kl_pair", the_other_way, "swapped"),
    ("monte_carlo_kl", sorted_then_paired, "sorted_with_abs"),
    ("monte_carlo_kl", without_root, "spread_of_one_draw"),
    ("monte_carlo_kl", two_errors, "half_width_of_two"),
    ("log_mean_exp", one_exp_for_all, "naive"),
    ("importance_estimate", jensen_the_wrong_way, "mean_of_log_weights"),
    ("importance_estimate", prior_draws_forgotten, "proposal_ignored"),
    ("importance_estimate", one_shift_for_all_examples, "one_maximum"),
]


def constant(exercise, value):
    """Build an answer of the right kind that is one number everywhere."""

    def answer(*arguments):
        like = exercise.reference(*arguments)
        if isinstance(like, tuple):
            return tuple(torch.full_like(part, value) for part in like)
        return torch.full_like(like, value)

    return answer


ROWS = [
    *[
        (exercise.name, constant(exercise, value), (False,) * len(exercise.criteria))
        for exercise in EXERCISES
        for value in (0.0, 1.0)
    ],
    ("log_mean_exp", lambda v: v.exp().mean(0).log(), (True, False, False)),
]


def hidden_by(size):
    """Build an answer that hides infinity by a small number."""
    return lambda p, q: (p * ((p + size) / (q + size)).log()).sum(1)


SAYS = [
    ("kl_discrete", hidden_by(size), "where q = 0 and p > 0 the divergence is infinite")
    for size in (1e-7, 1e-5, 1e-15)
]
