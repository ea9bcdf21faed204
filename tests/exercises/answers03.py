"""Lesson 03's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch
from scipy import optimize, stats
from sklearn.decomposition import PCA


def whiten_by_eigenvectors(codes):
    centred = codes - codes.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(codes))
    return centred @ vectors / values.sqrt()


def whiten_by_cholesky(codes):
    lower = torch.linalg.cholesky(torch.cov(codes.T))  # divides by N - 1
    return torch.linalg.solve(lower, (codes - codes.mean(0)).T).T


def whiten_by_symmetric_root(codes):
    values, vectors = torch.linalg.eigh(torch.cov(codes.T, correction=0))
    root = vectors @ torch.diag(values**-0.5) @ vectors.T
    return torch.stack([root @ (row - codes.mean(0)) for row in codes])


def whiten_by_singular_vectors(codes):
    U, _, _ = torch.linalg.svd(codes - codes.mean(0), full_matrices=False)
    return U * len(codes) ** 0.5


def whiten_by_scikit_learn(codes):
    return torch.tensor(PCA(whiten=True).fit_transform(codes.numpy()))


def whiten_by_qr(codes):
    Q, _ = torch.linalg.qr(codes - codes.mean(dim=0, keepdim=True))
    return Q * math.sqrt(len(codes))


def nearest_by_mask(x, reference, labels):
    table = torch.cdist(x, reference)
    index = table.argmin(dim=1)
    nearest = table[torch.arange(len(x)), index]
    other = table + 1e9 * (labels[index][:, None] == labels)
    return nearest, nearest / other.min(dim=1)[0]


def nearest_by_loops(x, reference, labels):
    distances, ratios = [], []
    for point in x:
        gaps = ((point - reference) ** 2).sum(1).sqrt()
        home = labels[gaps.argmin()]
        distances.append(gaps.min())
        ratios.append(gaps.min() / gaps[labels != home].min())
    return torch.stack(distances), torch.stack(ratios)


def nearest_by_class(x, reference, labels):
    """The nearest of each class, sorted: the first two are all it takes."""
    per_class = [
        torch.cdist(x, reference[labels == c]).amin(1) for c in labels.unique()
    ]
    ordered = torch.stack(per_class, 1).sort(1).values
    return ordered[:, 0], ordered[:, 0] / ordered[:, 1]


def nearest_by_products(x, reference, labels):
    squares = (x**2).sum(1)[:, None] + (reference**2).sum(1) - 2 * x @ reference.T
    squares = squares.clamp(min=0)
    nearest, index = squares.min(1)
    other = torch.where(labels[index][:, None] != labels, squares, torch.inf).min(1)[0]
    return [nearest.sqrt(), (nearest / other).sqrt()]


def wilson_by_formula(k, n, c):
    p, below = k / n, 1 + c**2 / n
    centre = p + c**2 / (2 * n)
    half = c * math.sqrt(p * (1 - p) / n + c**2 / (4 * n**2))
    return (centre - half) / below, (centre + half) / below


def wilson_by_roots(k, n, c):
    p = k / n
    ends = np.roots([1 + c**2 / n, -(2 * p + c**2 / n), p**2])
    return float(ends.real.min()), float(ends.real.max())


def wilson_by_search(k, n, c):
    p = k / n

    def gap(q):
        return (p - q) ** 2 - c**2 * q * (1 - q) / n

    low = optimize.brentq(gap, 0, min(p, 1 - 1e-9), xtol=1e-14) if k else 0.0
    high = optimize.brentq(gap, max(p, 1e-9), 1, xtol=1e-14) if k < n else 1.0
    return low, high


def wilson_in_float32(k, n, c):
    k, n, c = torch.tensor(k), torch.tensor(n), torch.tensor(c)
    centre = (k + c**2 / 2) / (n + c**2)
    half = c * (k * (n - k) / n + c**2 / 4).sqrt() / (n + c**2)
    return centre - half, centre + half


def wilson_by_scipy(k, n, c):
    level = stats.norm.cdf(c) - stats.norm.cdf(-c)
    found = stats.binomtest(k, n).proportion_ci(float(level), method="wilson")
    return [found.low, found.high]


RIGHT = {
    "whiten": (
        whiten_by_eigenvectors,
        whiten_by_cholesky,
        whiten_by_symmetric_root,
        whiten_by_singular_vectors,
        whiten_by_scikit_learn,
        whiten_by_qr,
    ),
    "nearest_two": (
        nearest_by_mask,
        nearest_by_loops,
        nearest_by_class,
        nearest_by_products,
    ),
    "wilson_interval": (
        wilson_by_formula,
        wilson_by_roots,
        wilson_by_search,
        wilson_in_float32,
        wilson_by_scipy,
    ),
}


def standardised_dividing_by_n(codes):
    return (codes - codes.mean(0)) / codes.std(0, correction=0)


def inverse_covariance_dividing_by_n(codes):
    return (codes - codes.mean(0)) @ torch.linalg.inv(torch.cov(codes.T, correction=0))


def scatter_by_cholesky(codes):
    centred = codes - codes.mean(0)
    lower = torch.linalg.cholesky(centred.T @ centred)
    return torch.linalg.solve(lower, centred.T).T


def eigenvectors_as_rows(codes):  # their signs matter here: eigh's own
    centred = codes - codes.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(codes))
    return (vectors @ centred.T / values.sqrt()[:, None]).T


def all_that_min_returns(x, reference, labels):
    return torch.cdist(x, reference).min(1)


def other_classes_kept_by_a_product(x, reference, labels):
    table = torch.cdist(x, reference)
    nearest, index = table.min(1)
    kept = table * (labels[index][:, None] != labels)
    return nearest, nearest / kept.min(1).values


def distance_from_the_nearest_by_loops(x, reference, labels):
    nearest, other = [], []
    for gaps in torch.cdist(x, reference):
        best = gaps.argmin()
        nearest.append(gaps[best])
        others = reference[labels != labels[best]]
        other.append((others - reference[best]).norm(dim=1).min())
    return torch.stack(nearest), torch.stack(nearest) / torch.stack(other)


def share_of_the_sum(x, reference, labels):
    nearest, ratio = nearest_by_class(x, reference, labels)
    return nearest, ratio / (1 + ratio)


def wilson_with_95_inside(k, n, c):
    return wilson_by_formula(k, n, 1.96)


def wilson_without_brackets(k, n, c):
    a, b = 1 + c**2 / n, 2 * k / n + c**2 / n
    root = (b * b - 4 * a * k * k / n / n) ** 0.5
    return (b - root) / 2 * a, (b + root) / 2 * a


def wilson_with_a_sign_too_many(k, n, c):
    low, high = wilson_by_roots(k, n, c)
    return -high, -low


def agresti_with_four(k, n, c):
    p = (k + 2) / (n + 4)
    half = c * (p - p * p) ** 0.5 / (n + 4) ** 0.5
    return p - half, p + half


NAMED = [
    ("whiten", standardised_dividing_by_n, "standardised"),
    ("whiten", inverse_covariance_dividing_by_n, "divided_by_variance_by_n"),
    ("whiten", scatter_by_cholesky, "wrong_scale"),
    ("whiten", eigenvectors_as_rows, "eigenvectors_as_rows_by_n"),
    ("nearest_two", all_that_min_returns, "index"),
    ("nearest_two", other_classes_kept_by_a_product, "hidden_with_zero"),
    ("nearest_two", distance_from_the_nearest_by_loops, "from_the_nearest"),
    ("nearest_two", share_of_the_sum, "share_of_both"),
    ("wilson_interval", wilson_with_95_inside, "always_95"),
    ("wilson_interval", wilson_without_brackets, "halved_then_multiplied"),
    ("wilson_interval", wilson_with_a_sign_too_many, "wrong_sign"),
    ("wilson_interval", agresti_with_four, "plus_four"),
]


def rows_in_another_order(codes):
    return whiten_by_qr(codes).flip(0)


def only_distance(x, reference, labels):
    nearest, _ = nearest_by_mask(x, reference, labels)
    return nearest, torch.zeros_like(nearest)


def nearest_with_nan(x, reference, labels):
    squares = (x**2).sum(1)[:, None] + (reference**2).sum(1) - 2 * x @ reference.T
    table = squares.sqrt()  # rounding makes some squares negative
    nearest, index = table.min(1)
    same = labels[index][:, None] == labels
    return nearest, nearest / table.masked_fill(same, math.inf).amin(1)


def nearest_hidden_with_fifty(x, reference, labels):
    table = torch.cdist(x, reference)
    nearest, index = table.min(1)
    other = torch.where(labels[index][:, None] == labels, 50.0, table)
    return nearest, nearest / other.amin(1)


def nearest_without_copies(x, reference, labels):
    table = ((x[:, None] - reference) ** 2).sum(2).sqrt()
    return nearest_by_mask_of(torch.where(table > 0, table, math.inf), labels)


def nearest_by_mask_of(table, labels):
    nearest, index = table.min(1)
    other = table.masked_fill(labels[index][:, None] == labels, math.inf)
    return nearest, nearest / other.amin(1)


def nearest_to_the_mean_of_another_class(x, reference, labels):
    table = torch.cdist(x, reference)
    nearest, index = table.min(1)
    other = torch.full_like(nearest, math.inf)
    for one in labels.unique():
        gap = (x - reference[labels == one].mean(0)).norm(dim=1)
        other = torch.where(labels[index] == one, other, torch.minimum(other, gap))
    return nearest, nearest / other


def small_number_added(codes):
    centred = codes - codes.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(codes.T))
    return centred @ vectors / (values + 0.01).sqrt()


def singular_vectors_as_they_are(codes):
    return torch.linalg.svd(codes - codes.mean(0), full_matrices=False).U


def centred_and_one_scale(codes):
    centred = codes - codes.mean(0)
    return centred / centred.std()


def wilson_with_c_for_its_square(k, n, c):
    return wilson_by_formula(k, n, c**0.5)


def wilson_centre_undivided(k, n, c):
    low, high = wilson_by_formula(k, n, c)
    middle = k / n + c**2 / (2 * n)
    return middle - (high - low) / 2, middle + (high - low) / 2


def wilson_in_per_mille(k, n, c):
    low, high = wilson_by_formula(k, n, c)
    return round(low, 3), round(high, 3)


NAMED += [
    ("whiten", singular_vectors_as_they_are, "wrong_scale"),
    ("whiten", centred_and_one_scale, "one_scale_for_all"),
    ("nearest_two", nearest_without_copies, "copies_skipped"),
    ("nearest_two", nearest_to_the_mean_of_another_class, "mean_of_the_other_class"),
    ("wilson_interval", wilson_centre_undivided, "centre_not_divided"),
    ("wilson_interval", wilson_in_per_mille, "rounded_to_3"),
    ("wilson_interval", wilson_with_c_for_its_square, None),
]
ROWS = [
    ("whiten", rows_in_another_order, (True, True, False)),
    ("nearest_two", only_distance, (True, False, True, False)),
    ("nearest_two", nearest_with_nan, (True, True, True, False)),
    ("nearest_two", nearest_hidden_with_fifty, (True, True, True, False)),
    ("nearest_two", nearest_without_copies, (True, True, True, False)),
]
SAYS = [
    ("whiten", small_number_added, "with nothing added"),
    ("whiten", singular_vectors_as_they_are, "times the identity"),
    ("nearest_two", nearest_with_nan, "for exact copies of references"),
    ("nearest_two", nearest_hidden_with_fifty, "a thousand times as large"),
]
