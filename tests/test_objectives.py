"""The squared error: summed over the pixels, averaged over the examples."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from course_utils.objectives import squared_error


def pair(N, D, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, N, D, generator=generator, dtype=torch.float64)


@given(N=st.integers(1, 7), D=st.integers(1, 7), seed=st.integers(0, 999))
@settings(max_examples=30)
def test_it_is_d_times_the_mean_of_torch(N, D, seed):
    x, x_hat = pair(N, D, seed)
    got = squared_error(x, x_hat)
    assert got.shape == () and got.dtype == torch.float64
    assert float(got) == pytest.approx(D * float(functional.mse_loss(x, x_hat)), 1e-12)
    loops = sum((float(x[n, d]) - float(x_hat[n, d])) ** 2
                for n in range(N) for d in range(D)) / N  # fmt: skip
    assert float(got) == pytest.approx(loops, rel=1e-12)


@given(N=st.integers(1, 6), D=st.integers(1, 6), seed=st.integers(0, 999))
@settings(max_examples=20)
def test_it_is_a_mean_over_the_batch(N, D, seed):
    x, x_hat = pair(N, D, seed)
    alone = [squared_error(x[n : n + 1], x_hat[n : n + 1]) for n in range(N)]
    assert torch.allclose(squared_error(x, x_hat), torch.stack(alone).mean())
    twice = squared_error(x.repeat(2, 1), x_hat.repeat(2, 1))
    assert torch.allclose(squared_error(x, x_hat), twice)
    assert float(squared_error(x, x.clone())) == 0


def test_its_gradient_is_that_of_finite_differences():
    x, x_hat = pair(4, 3, 0)
    assert torch.autograd.gradcheck(
        lambda a, b: squared_error(a, b),
        (x.requires_grad_(), x_hat.requires_grad_()),
    )
    (gradient,) = torch.autograd.grad(squared_error(x, x_hat), x_hat)
    assert torch.allclose(gradient, 2 * (x_hat - x) / 4)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((3, 4), (3, 5)),
        ((3, 4), (1, 4)),  # would broadcast
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (2, 3, 4)),
        ((0, 4), (0, 4)),  # the mean of nothing
    ],
)
def test_it_names_wrong_shapes(first, second):
    with pytest.raises(ValueError, match=r"x has shape \(.*\), x_hat \(.*\); expected"):
        squared_error(torch.zeros(first), torch.zeros(second))
