"""Lesson 00's answers in other words, as `test_exercises` tries them."""

import torch
from torch.nn.functional import mse_loss


def by_torch(x, x_hat):
    return mse_loss(x, x_hat, reduction="sum") / len(x)


def by_distance(x, x_hat):
    return torch.linalg.vector_norm(x - x_hat, dim=1).pow(2).mean()


def by_einsum(x, x_hat):
    gap = x_hat - x
    return torch.einsum("nd,nd->", gap, gap) / x.shape[0]


def by_loop(x, x_hat):
    total = 0.0
    for row, row_hat in zip(x, x_hat, strict=True):
        total += torch.dot(row - row_hat, row - row_hat)
    return total / len(x)


def by_numpy(x, x_hat):
    return float(((x.numpy() - x_hat.numpy()) ** 2).sum() / len(x))


def by_expansion(x, x_hat):
    return (x**2 - 2 * x * x_hat + x_hat**2).mean() * x.shape[1]


RIGHT = {
    "squared_error": (
        by_torch,
        by_distance,
        by_einsum,
        by_loop,
        by_numpy,
        by_expansion,
    )
}


def summed(x, x_hat):
    return mse_loss(x, x_hat, reduction="sum")


def never_zero(x, x_hat):
    return by_torch(x, x_hat) + 1


def one_number_per_example(x, x_hat):
    return ((x - x_hat) ** 2).sum(1)


def in_place(x, x_hat):
    x -= x_hat
    return (x**2).sum(1).mean()


def squeezed_first(x, x_hat):
    return mse_loss(x_hat.squeeze(), x.squeeze(), reduction="none").sum(1).mean()


def loop_that_overwrites(x, x_hat):
    for n in range(len(x)):
        loss = torch.dot(x[n] - x_hat[n], x[n] - x_hat[n])
    return loss


def made_for_digits(x, x_hat):
    return mse_loss(x, x_hat) * 64


def column_against_row(x, x_hat):
    return torch.cdist(x, x_hat).square().mean()


def signed(x, x_hat):
    return (x - x_hat).sum() / len(x)


def worst_example(x, x_hat):
    return torch.stack(
        [mse_loss(a, b, reduction="sum") for a, b in zip(x, x_hat, strict=True)]
    ).max()


NAMED = (
    ("squared_error", mse_loss, "mean_over_everything"),
    ("squared_error", summed, "sum_over_everything"),
    ("squared_error", never_zero, None),
    ("squared_error", squeezed_first, "squeezed"),
    ("squared_error", loop_that_overwrites, "last_example_only"),
    ("squared_error", made_for_digits, "fixed_size_64"),
    ("squared_error", column_against_row, "every_pair"),
    ("squared_error", signed, "not_squared"),
    ("squared_error", worst_example, "largest_of_examples"),
)

# Agrees, also at one example, a mean over the batch, zero for a perfect reconstruction.
ROWS = (
    ("squared_error", mse_loss, (False, False, True, True)),
    ("squared_error", summed, (False, False, False, True)),
    ("squared_error", never_zero, (False, False, True, False)),
    ("squared_error", one_number_per_example, (False, False, False, False)),
    ("squared_error", in_place, (False, False, False, False)),
    ("squared_error", squeezed_first, (True, False, True, True)),
)

SAYS = (
    ("squared_error", one_number_per_example, "expected one number"),
    ("squared_error", in_place, "changes its inputs in place"),
)


def sizes_differ(x, x_hat):
    """Else a mean over the wrong axis is right by accident."""
    same_kind = x.shape == x_hat.shape and x.dtype == torch.float64
    return same_kind and x.shape[0] != x.shape[1] and min(x.shape) > 1


INPUTS = (("squared_error", sizes_differ),)
