"""Lesson 10's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch


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


def codes_by_repeat(start, latent, values):
    z = start.repeat(len(values), 1)
    z[:, latent] = values
    return z


def codes_by_expand_and_clone(start, latent, values):
    z = start.expand(len(values), -1).clone()
    z[:, latent] = values
    return z


def codes_by_loop(start, latent, values):
    rows = []
    for value in values.tolist():
        row = start[0].clone()
        row[latent] = value
        rows.append(row)
    return torch.stack(rows)


def codes_by_parts(start, latent, values):
    V = len(values)
    left, right = start[:, :latent], start[:, latent + 1 :]
    return torch.cat([left.repeat(V, 1), values[:, None], right.repeat(V, 1)], 1)


def codes_by_a_difference(start, latent, values):
    step = torch.zeros_like(start)
    step[0, latent] = 1
    return start + (values - start[0, latent])[:, None] * step


def labels_by_mask(mu, told, known):
    error = 0.5 * (mu[:, : told.shape[1]] - told).square().sum(1)
    return (known * error).sum() / known.sum().clamp(min=1)


def labels_by_rows(mu, told, known):
    rows = known > 0
    if not rows.any():
        return (mu * 0).sum()
    error = 0.5 * ((mu[rows][:, : told.shape[1]] - told[rows]) ** 2).sum(1)
    return error.mean()


def labels_by_loops(mu, told, known):
    total, count = 0 * mu.sum(), 0
    for code, factors, there in zip(mu, told, known, strict=True):
        if there:
            count += 1
            total = total + sum(
                (z - v) ** 2 / 2 for z, v in zip(code, factors, strict=False)
            )
    return total / max(count, 1)


def labels_by_mse(mu, told, known):
    own = mu[:, : told.shape[1]]
    error = torch.nn.functional.mse_loss(own, told, reduction="none").sum(1)
    return 0.5 * (error @ known) / max(known.sum(), 1)


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
    "traversal_codes": (
        codes_by_repeat,
        codes_by_expand_and_clone,
        codes_by_loop,
        codes_by_parts,
        codes_by_a_difference,
    ),
    "factor_loss": (
        labels_by_mask,
        labels_by_rows,
        labels_by_loops,
        labels_by_mse,
    ),
    "information_gap": (
        gap_by_topk,
        gap_by_sort,
        gap_by_numpy,
        gap_by_masking,
        gap_by_loops,
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


def rotated_squeezed(W, mean, covariance, Q):
    return tuple(part.squeeze() for part in rotated_plainly(W, mean, covariance, Q))


def rotated_diagonal(W, mean, covariance, Q):
    variance = ((Q.T @ covariance) * Q.T).sum(1)
    return W @ Q, mean @ Q, torch.diag(variance)


def rotated_nothing(W, mean, covariance, Q):
    return W, mean, covariance


def codes_in_place(start, latent, values):
    """Every row is the same memory as the start."""
    start[:, latent] = values[-1]
    z = start.repeat(len(values), 1)
    z[:, latent] = values
    return z


def codes_of_nothing(start, latent, values):
    return torch.zeros(len(values), start.shape[1], dtype=start.dtype)


def labels_as_a_number(mu, told, known):
    return float(labels_by_mask(mu, told, known))


def labels_plain_mean(mu, told, known):
    rows = known > 0
    return 0.5 * ((mu[rows][:, : told.shape[1]] - told[rows]) ** 2).sum(1).mean()


def labels_zero(mu, told, known):
    return 0 * mu.sum()


def gap_none(information, entropy):
    return torch.zeros_like(entropy)


def gap_all(information, entropy):
    return torch.ones_like(entropy)


NAMED = [
    ("information_gap", gap_along_factors, "sorted_along_factors_in_columns"),
    (
        "information_gap",
        gap_along_factors_first_rows,
        "sorted_along_factors_in_rows",
    ),
    ("information_gap", gap_of_different_values, "ties_merged"),
    ("information_gap", the_published_bug, "sorted_along_factors"),
    ("rotate_model", rotated_diagonal, "diagonal_kept"),
]

# A code that does not turn earns nothing, and neither does a constant.
ROWS = [
    ("traversal_codes", codes_of_nothing, (False,) * 4),
    ("traversal_codes", codes_in_place, (False,) * 4),
    ("factor_loss", labels_as_a_number, (True, True, False, True)),
    ("factor_loss", labels_plain_mean, (True, True, True, False)),
    ("factor_loss", labels_zero, (False,) * 4),
    ("rotate_model", rotated_nothing, (False, False, False, False)),
    ("rotate_model", rotated_squeezed, (True, True, True, False)),
    ("information_gap", gap_none, (False,) * 4),
    ("information_gap", gap_all, (False,) * 4),
    ("information_gap", gap_squeezed, (True, True, True, False)),
    ("information_gap", gap_of_known_factors, (True, True, False, False)),
]

SAYS = [
    ("information_gap", gap_squeezed, "a single factor"),
    ("information_gap", gap_of_known_factors, "NaN or infinite"),
    ("rotate_model", rotated_squeezed, "one example"),
]
