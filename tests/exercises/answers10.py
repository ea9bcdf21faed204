"""Lesson 10's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch
from scipy import stats


def information_by_ratio(joint):
    p = joint / joint.sum()
    product = p.sum(1, keepdim=True) * p.sum(0, keepdim=True)
    keep = p > 0
    return (p[keep] * (p[keep] / product[keep]).log()).sum()


def information_by_entropies(joint):
    p = (joint / joint.sum()).numpy()
    rows, columns = stats.entropy(p.sum(1)), stats.entropy(p.sum(0))
    return rows + columns - stats.entropy(p.flatten())


def information_by_loops(joint):
    total, answer = float(joint.sum()), 0.0
    for row in joint:
        for column, cell in enumerate(row.tolist()):
            if cell > 0:
                expected = float(row.sum() * joint[:, column].sum()) / total
                answer += cell / total * math.log(cell / expected)
    return answer


def information_by_xlogx(joint):
    def xlogx(values):
        return torch.special.xlogy(values, values).sum()

    N = joint.sum()
    return (xlogx(joint) - xlogx(joint.sum(0)) - xlogx(joint.sum(1))) / N + N.log()


def information_without_nan(joint):
    p = joint / joint.sum()
    terms = p * (p.log() - p.sum(1, keepdim=True).log() - p.sum(0).log())
    return torch.nan_to_num(terms).sum()


def gap_by_topk(information, entropy):
    best = information.topk(2, dim=0).values
    return (best[0] - best[1]) / entropy


def gap_by_sort(information, entropy):
    ordered, _ = torch.sort(information / entropy, dim=0, descending=True)
    return ordered[0] - ordered[1]


def gap_by_numpy(information, entropy):
    ordered = np.sort(information.numpy(), axis=0)
    return torch.from_numpy((ordered[-1] - ordered[-2]) / entropy.numpy())


def gap_by_masking(information, entropy):
    rest = information.clone()
    best = rest.argmax(0)
    top = rest.gather(0, best[None])[0]
    rest[best, torch.arange(len(entropy))] = -math.inf
    return (top - rest.max(0).values) / entropy


def gap_by_loops(information, entropy):
    gaps = []
    for column, size in zip(information.T.tolist(), entropy.tolist(), strict=True):
        *_, second, first = sorted(column)
        gaps.append((first - second) / size)
    return torch.tensor(gaps, dtype=information.dtype)


def dci_by_xlogy(importance):
    sums = importance.sum(1)
    p = importance / torch.where(sums > 0, sums, 1.0)[:, None]
    entropy = -torch.special.xlogy(p, p).sum(1) / math.log(importance.shape[1])
    return ((1 - entropy) * sums).sum() / sums.sum()


def dci_by_scipy(importance):
    used = importance[importance.sum(1) > 0].numpy()
    entropy = stats.entropy(used, base=used.shape[1], axis=1)
    return float(np.average(1 - entropy, weights=used.sum(1)))


def dci_by_loops(importance):
    total, score = float(importance.sum()), 0.0
    for row in importance.tolist():
        if sum(row) == 0:
            continue
        shares = [value / sum(row) for value in row if value > 0]
        entropy = -sum(p * math.log(p, len(row)) for p in shares)
        score += (1 - entropy) * sum(row) / total
    return score


def dci_by_distributions(importance):
    used = importance[importance.sum(1) > 0]
    entropy = torch.distributions.Categorical(probs=used).entropy()
    weight = used.sum(1) / used.sum()
    return (weight * (1 - entropy / math.log(used.shape[1]))).sum()


def rotated_plainly(W, mean, covariance, Q):
    return W @ Q, mean @ Q, Q.T @ covariance @ Q


def rotated_by_columns(W, mean, covariance, Q):
    R = Q.T  # for codes as columns
    return (R @ W.T).T, (R @ mean.T).T, R @ covariance @ R.T


def rotated_by_the_inverse(W, mean, covariance, Q):
    back = torch.linalg.inv(Q)
    return W @ back.T, mean @ back.T, back @ covariance @ back.T


def rotated_by_a_root(W, mean, covariance, Q):
    root = torch.linalg.cholesky(covariance).T @ Q
    return torch.einsum("dk,kl->dl", W, Q), mean.matmul(Q), root.T @ root


RIGHT = {
    "mutual_information": (
        information_by_ratio,
        information_by_entropies,
        information_by_loops,
        information_by_xlogx,
        information_without_nan,
    ),
    "information_gap": (
        gap_by_topk,
        gap_by_sort,
        gap_by_numpy,
        gap_by_masking,
        gap_by_loops,
    ),
    "disentanglement": (
        dci_by_xlogy,
        dci_by_scipy,
        dci_by_loops,
        dci_by_distributions,
    ),
    "rotate_model": (
        rotated_plainly,
        rotated_by_columns,
        rotated_by_the_inverse,
        rotated_by_a_root,
    ),
}


def the_published_bug(information, entropy):
    """Sorted along the wrong axis, then indexed as if it had been the right one."""
    ordered = -np.sort(-information.numpy(), axis=1)
    return torch.from_numpy((ordered[0, :] - ordered[1, :]) / entropy.numpy())


def information_naive(joint):
    p = joint / joint.sum()
    return torch.sum(p * torch.log(p / torch.outer(p.sum(1), p.sum(0))))


def dci_naive(importance):
    p = importance / importance.sum(dim=1, keepdim=True)
    entropy = -(p * p.log()).sum(1) / math.log(p.shape[1])
    return (importance.sum(1) * (1 - entropy)).sum() / importance.sum()


def information_by_torch(joint):
    p = joint / joint.sum()
    product = torch.outer(p.sum(1), p.sum(0))
    return torch.nn.functional.kl_div(product.log(), p, reduction="sum")


def information_by_an_epsilon(joint):
    p = joint / joint.sum()
    product = torch.outer(p.sum(1), p.sum(0))
    return (p * torch.log(p / product + 1e-300)).sum()


def information_of_smoothed_cells(joint):
    p = joint / joint.sum() + 1e-3
    return information_by_ratio(p)


def gap_along_factors(information, entropy):
    best = torch.topk(information, 2, dim=-1).values
    return (best[:, 0] - best[:, 1]) / entropy


def gap_along_factors_first_rows(information, entropy):
    best = torch.topk(information, 2, dim=-1).values
    return (best[0] - best[1]) / entropy


def gap_of_different_values(information, entropy):
    gaps = []
    for column, size in zip(information.T, entropy, strict=True):
        second, first = column.unique()[-2:]
        gaps.append((first - second) / size)
    return torch.stack(gaps)


def gap_squeezed(information, entropy):
    return gap_by_topk(information, entropy).squeeze()


def gap_of_known_factors(information, entropy):
    best = information.topk(2, dim=0).values
    return (best[0] - best[1]) / best[0] * (best[0] / entropy)


def dci_with_the_base_of_used(importance):
    sums = importance.sum(1)
    p = importance / torch.where(sums > 0, sums, 1.0)[:, None]
    base = torch.count_nonzero(p, dim=1).clamp(min=2)
    scores = 1 + torch.special.xlogy(p, p).sum(1) / base.to(p.dtype).log()
    return (scores * sums).sum() / sums.sum()


def dci_smoothed(importance):
    return dci_by_xlogy(importance + 1e-9 * (importance.sum(1, keepdim=True) > 0))


def rotated_squeezed(W, mean, covariance, Q):
    return tuple(part.squeeze() for part in rotated_plainly(W, mean, covariance, Q))


def rotated_diagonal(W, mean, covariance, Q):
    variance = ((Q.T @ covariance) * Q.T).sum(1)
    return W @ Q, mean @ Q, torch.diag(variance)


def rotated_nothing(W, mean, covariance, Q):
    return W, mean, covariance


def information_none(joint):
    return 0.0


def gap_none(information, entropy):
    return torch.zeros_like(entropy)


def gap_all(information, entropy):
    return torch.ones_like(entropy)


def dci_perfect(importance):
    return 1.0


NAMED = [
    ("mutual_information", information_naive, "nan_at_zero"),
    ("information_gap", gap_along_factors, "sorted_along_factors_in_columns"),
    (
        "information_gap",
        gap_along_factors_first_rows,
        "sorted_along_factors_in_rows",
    ),
    ("information_gap", gap_of_different_values, "ties_merged"),
    ("disentanglement", dci_with_the_base_of_used, "base_of_used"),
    ("information_gap", the_published_bug, "sorted_along_factors"),
    ("disentanglement", dci_naive, "nan_at_zero"),
    ("rotate_model", rotated_diagonal, "diagonal_kept"),
]

# A code that does not turn earns nothing, and neither does a constant.
ROWS = [
    ("rotate_model", rotated_nothing, (False, False, False, False)),
    ("rotate_model", rotated_squeezed, (True, True, True, False)),
    ("mutual_information", information_none, (False,) * 4),
    ("mutual_information", information_by_torch, (True, True, True, False)),
    ("information_gap", gap_none, (False,) * 4),
    ("information_gap", gap_all, (False,) * 4),
    ("information_gap", gap_squeezed, (True, True, True, False)),
    ("information_gap", gap_of_known_factors, (True, True, False, False)),
    ("disentanglement", dci_perfect, (False,) * 4),
    ("disentanglement", dci_smoothed, (True, True, True, False)),
    ("disentanglement", dci_with_the_base_of_used, (True, True, True, False)),
]

SAYS = [
    ("mutual_information", information_by_torch, "a level that never occurs"),
    ("mutual_information", information_by_an_epsilon, "a level that never occurs"),
    ("mutual_information", information_of_smoothed_cells, "where H(a) ="),
    ("information_gap", gap_squeezed, "a single factor"),
    ("information_gap", gap_of_known_factors, "NaN or infinite"),
    ("disentanglement", dci_smoothed, "only their shares count"),
    ("rotate_model", rotated_squeezed, "one example"),
]
