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


def middle_man(p, q):
    half = 0.5 * (p + q)
    logs = [torch.special.xlogy(r, r) - torch.special.xlogy(r, half) for r in (p, q)]
    return 0.5 * sum(logs).sum(1)


def probabilities_as_logits(p, q):
    return torch.nn.functional.kl_div(
        q.log_softmax(1), p.softmax(1), reduction="none"
    ).sum(1)


def infinite_too_often(p, q):
    finite = kl_by_where(p, q)
    return torch.where((q > 0).all(1), finite, torch.full_like(finite, math.inf))


def a_row_for_each_symbol(p, q):
    return kl_by_where(p.T, q.T)


def pair_with_bounds(mu_q, logvar_q, mu_p, logvar_p):
    return pair_by_formula(mu_q, logvar_q.clamp(-10, 10), mu_p, logvar_p.clamp(-10, 10))


def pair_of_squares(mu_q, logvar_q, mu_p, logvar_p):
    inside = logvar_q.exp() + (mu_q.square() - mu_p.square())
    return 0.5 * (logvar_p - logvar_q - 1 + inside / logvar_p.exp()).sum(1)


def pair_without_means(mu_q, logvar_q, mu_p, logvar_p):
    return pair_by_torch(0 * mu_q, logvar_q, 0 * mu_p, logvar_p)


def pair_halved_in_part(mu_q, logvar_q, mu_p, logvar_p):
    s_q, s_p = torch.exp(logvar_q / 2), torch.exp(logvar_p / 2)
    inside = torch.log(s_p / s_q) + (s_q**2 + (mu_q - mu_p) ** 2) / s_p**2
    return (inside - 1).sum(1)


def jeffreys_of_gaussians(mu_q, logvar_q, mu_p, logvar_p):
    q, p = (mu_q, logvar_q), (mu_p, logvar_p)
    return (pair_by_torch(*q, *p) + pair_by_torch(*p, *q)) / 2


def middle_of_the_draws(log_p, log_q):
    ratio = log_p - log_q
    return ratio.quantile(0.5), mc_by_tensors(log_p, log_q)[1]


def half_a_square(log_p, log_q):
    ratio = 0.5 * (log_q - log_p).square()
    return ratio.mean(), ratio.std() / math.sqrt(len(ratio))


def root_mean_square(log_p, log_q):
    ratio = log_p - log_q
    return ratio.mean(), ratio.norm() / len(ratio)


def ten_thousand_draws(log_p, log_q):
    ratio = log_p - log_q
    return ratio.mean(), ratio.std() / 100


def lme_around_the_mean(values):
    centre = values.mean(0)
    return centre + lme_by_hand(0 * values) + (values - centre).exp().mean(0).log()


def lme_with_a_bound(values):
    return values.clamp(min=-700, max=700).exp().mean(0).log()


def lme_never_below(values):
    return torch.log(torch.exp(values).mean(0) + 1e-12)


def lme_of_a_share(values):
    return torch.logsumexp(values / len(values), 0)


def lme_of_what_is_finite(values):
    return torch.stack(
        [lme_by_hand(column[column > -math.inf, None])[0] for column in values.T]
    )


def sizes_of_a_softmax_of_shares(log_joint, log_q):
    log_p, _ = importance_by_softmax(log_joint, log_q)
    again = (log_joint - log_q).softmax(0).softmax(0)
    return log_p, 1 / again.square().sum(0)


def sizes_over_squares_alone(log_joint, log_q):
    log_p, _ = importance_by_softmax(log_joint, log_q)
    w = (log_joint - log_q - (log_joint - log_q).amax(0)).exp()
    return log_p, len(w) ** 2 / (w * w).sum(0)


def weights_below_one(log_joint, log_q):
    return importance_by_softmax(torch.minimum(log_joint, log_q), log_q)


NAMED = [
    ("kl_discrete", middle_man, "jensen_shannon"),
    ("kl_discrete", probabilities_as_logits, "read_as_logits"),
    ("kl_discrete", infinite_too_often, "infinite_at_every_zero"),
    ("kl_discrete", lambda p, q: kl_by_where(p, q).sum(), "summed_to_one_number"),
    ("gaussian_kl_pair", pair_with_bounds, "clamped_10"),
    ("gaussian_kl_pair", pair_of_squares, "squares_subtracted"),
    ("gaussian_kl_pair", pair_without_means, "means_missing"),
    ("gaussian_kl_pair", pair_halved_in_part, "half_on_logs_only"),
    ("gaussian_kl_pair", jeffreys_of_gaussians, "both_ways"),
    ("monte_carlo_kl", half_a_square, "half_square"),
    ("monte_carlo_kl", ten_thousand_draws, "count_fixed_at_10000"),
    ("monte_carlo_kl", root_mean_square, "second_moment"),
    ("monte_carlo_kl", middle_of_the_draws, "median"),
    ("log_mean_exp", lme_around_the_mean, "mean_taken_out"),
    ("log_mean_exp", lme_with_a_bound, "clamped_700"),
    ("log_mean_exp", lme_never_below, "epsilon_1e-12"),
    ("log_mean_exp", lme_of_a_share, "values_divided"),
    ("log_mean_exp", lme_of_what_is_finite, "zeros_left_out"),
    ("importance_estimate", sizes_of_a_softmax_of_shares, "size_of_softmax_twice"),
    ("importance_estimate", sizes_over_squares_alone, "size_with_count_on_top"),
    ("importance_estimate", weights_below_one, "cut_off_at_one"),
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


def squeezed_importance(log_joint, log_q):
    return tuple(x.squeeze() for x in importance_by_softmax(log_joint, log_q))


def kl_squeezed(p, q):
    return kl_by_where(p, q).squeeze()


def pair_by_numpy(*arguments):
    mu_q, logvar_q, mu_p, logvar_p = (a.detach().numpy() for a in arguments)
    square = np.exp(logvar_q) + (mu_q - mu_p) ** 2
    terms = logvar_p - logvar_q + square / np.exp(logvar_p) - 1
    return torch.from_numpy(0.5 * terms.sum(axis=1))


def prior_detached(mu_q, logvar_q, mu_p, logvar_p):
    return pair_by_formula(mu_q, logvar_q, mu_p.detach(), logvar_p.detach())


def logs_detached(mu_q, logvar_q, mu_p, logvar_p):
    gap = (logvar_p - logvar_q).sum(1) / 2
    return pair_by_formula(mu_q, logvar_q, mu_p, logvar_p) - gap + gap.detach()


CUT_OFF = [
    (prior_detached, "no gradient reaches mu_p"),
    (logs_detached, "the gradient in logvar_q"),
]

ROWS = [
    *[
        (exercise.name, constant(exercise, value), (False,) * len(exercise.criteria))
        for exercise in EXERCISES
        for value in (0.0, 1.0)
    ],
    ("log_mean_exp", lambda v: v.exp().mean(0).log(), (True,) + 3 * (False,)),
    ("log_mean_exp", lambda v: lme_by_hand(v).squeeze(), (True, True, True, False)),
    ("importance_estimate", squeezed_importance, (True, True, True, False)),
    ("gaussian_kl_pair", pair_by_numpy, 4 * (True,) + (False,)),
    *(("gaussian_kl_pair", f, 4 * (True,) + (False,)) for f, _ in CUT_OFF),
    ("gaussian_kl_pair", pair_with_bounds, (True, True, True, False, True)),
    ("kl_discrete", kl_squeezed, (True, True, True, True, False)),
]


def pair_from_a_draw(mu_q, logvar_q, mu_p, logvar_p):
    q = torch.distributions.Normal(mu_q, (logvar_q / 2).exp())
    p = torch.distributions.Normal(mu_p, (logvar_p / 2).exp())
    z = q.rsample()
    return (q.log_prob(z) - p.log_prob(z)).sum(1)


def hidden_by(size):
    """Build an answer that hides infinity by a small number."""
    return lambda p, q: (p * ((p + size) / (q + size)).log()).sum(1)


SAYS = [
    ("kl_discrete", hidden_by(size), "where q = 0 and p > 0 the divergence is infinite")
    for size in (1e-7, 1e-5, 1e-15)
]
SAYS += [
    *(("gaussian_kl_pair", answer, text) for answer, text in CUT_OFF),
    ("gaussian_kl_pair", pair_by_numpy, "no gradient reaches mu_q"),
    ("gaussian_kl_pair", pair_from_a_draw, "drawn at random"),
    ("log_mean_exp", lambda v: lme_by_hand(v).squeeze(), "axes of length 1"),
    ("importance_estimate", squeezed_importance, "axes of length 1"),
]
