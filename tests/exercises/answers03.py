"""Lesson 03's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch


def decoded(z, W1, b1, W2, b2):
    return (z @ W1.T + b1).relu() @ W2.T + b2


def images_by_torch(codes, eps, W1, b1, W2, b2):
    root = torch.linalg.cholesky(torch.cov(codes.T, correction=0))
    return decoded(codes.mean(0) + eps @ root.T, W1, b1, W2, b2)


def images_one_by_one(codes, eps, W1, b1, W2, b2):
    mean = codes.mean(0)
    products = [torch.outer(code - mean, code - mean) for code in codes]
    root = torch.linalg.cholesky(torch.stack(products).mean(0))
    codes = [mean + root @ noise for noise in eps]
    return torch.stack([W2 @ (W1 @ z + b1).clamp(min=0) + b2 for z in codes])


def images_by_numpy(codes, eps, W1, b1, W2, b2):
    root = np.linalg.cholesky(np.cov(codes.numpy(), rowvar=False, bias=True))
    z = codes.numpy().mean(0) + eps.numpy() @ root.T
    return decoded(torch.from_numpy(z), W1, b1, W2, b2)


def images_by_an_upper_triangle(codes, eps, W1, b1, W2, b2):
    centred = codes - codes.mean(dim=0, keepdim=True)
    upper = torch.linalg.cholesky(centred.mT @ centred / codes.shape[0], upper=True)
    z = torch.addmm(codes.mean(0), eps, upper)
    hidden = torch.nn.functional.linear(z, W1, b1).relu()
    return torch.nn.functional.linear(hidden, W2, b2)


def images_by_scale_tril(codes, eps, W1, b1, W2, b2):
    fitted = torch.distributions.MultivariateNormal(
        codes.mean(0), torch.cov(codes.T, correction=0)
    )
    z = fitted.loc + torch.einsum("ij,nj->ni", fitted.scale_tril, eps)
    return decoded(z, W1, b1, W2, b2)


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


RIGHT = {
    "sample_images": (
        images_by_torch,
        images_one_by_one,
        images_by_numpy,
        images_by_an_upper_triangle,
        images_by_scale_tril,
    ),
    "nearest_two": (
        nearest_by_mask,
        nearest_by_loops,
        nearest_by_class,
        nearest_by_products,
    ),
}


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


def images_by_numpys_default(codes, eps, W1, b1, W2, b2):
    root = np.linalg.cholesky(np.cov(codes.numpy().T))
    z = codes.mean(0) + eps @ torch.from_numpy(root).T
    return decoded(z, W1, b1, W2, b2)


def images_by_deviations(codes, eps, W1, b1, W2, b2):
    return decoded(codes.mean(0) + codes.std(0) * eps, W1, b1, W2, b2)


def images_with_the_triangle_on_the_left(codes, eps, W1, b1, W2, b2):
    root = torch.linalg.cholesky(torch.cov(codes.T, correction=0))
    return decoded(codes.mean(0) + eps @ root, W1, b1, W2, b2)


def images_by_singular_vectors(codes, eps, W1, b1, W2, b2):
    _, sizes, axes = torch.linalg.svd(codes - codes.mean(0), full_matrices=False)
    z = codes.mean(0) + eps * sizes / len(codes) ** 0.5 @ axes
    return decoded(z, W1, b1, W2, b2)


def images_of_own_noise(codes, eps, W1, b1, W2, b2):
    return images_by_torch(codes, torch.randn_like(eps), W1, b1, W2, b2)


NAMED = [
    ("sample_images", images_by_numpys_default, "n_minus_one"),
    ("sample_images", images_by_deviations, "one_spread_a_latent_unbiased"),
    ("sample_images", images_with_the_triangle_on_the_left, "triangle_transposed"),
    ("nearest_two", all_that_min_returns, "index"),
    ("nearest_two", other_classes_kept_by_a_product, "hidden_with_zero"),
    ("nearest_two", distance_from_the_nearest_by_loops, "from_the_nearest"),
    ("nearest_two", share_of_the_sum, "share_of_both"),
]


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


NAMED += [
    ("nearest_two", nearest_without_copies, "copies_skipped"),
    ("nearest_two", nearest_to_the_mean_of_another_class, "mean_of_the_other_class"),
]
ROWS = [
    ("sample_images", images_by_singular_vectors, (False, True, True, True)),
    ("sample_images", images_by_numpys_default, (False, True, False, True)),
    ("nearest_two", only_distance, (True, False, True, False)),
    ("nearest_two", nearest_with_nan, (True, True, True, False)),
    ("nearest_two", nearest_hidden_with_fifty, (True, True, True, False)),
    ("nearest_two", nearest_without_copies, (True, True, True, False)),
]
SAYS = [
    ("sample_images", images_of_own_noise, "noise of your own"),
    ("nearest_two", nearest_with_nan, "for exact copies of references"),
    ("nearest_two", nearest_hidden_with_fifty, "a thousand times as large"),
]
