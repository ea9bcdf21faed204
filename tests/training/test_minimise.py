"""Smooth functions are minimised to the last digits; the answers are closed forms."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import rand
from course_utils.training import minimise


def bowl(size, seed):
    """A quadratic that is 0 where it is smallest, and that place."""
    root, lowest = rand(size, size, seed=seed), rand(size, seed=seed + 1)
    A = root @ root.T + torch.eye(size).double()
    return lambda u: 0.5 * (u - lowest) @ A @ (u - lowest), lowest


def start(*shape):
    return torch.zeros(*shape, dtype=torch.float64, requires_grad=True)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 8), seed=st.integers(0, 9999))
def test_a_quadratic_is_solved(size, seed):
    """Near its end a loss changes as the square of u: by 1e-18 where u is 1e-9 off."""
    loss, lowest = bowl(size, seed)
    u = start(size)
    assert minimise(lambda: loss(u), [u]) is None
    assert (u - lowest).abs().max() < 1e-8 and loss(u) < 1e-16
    u = start(size)
    minimise(lambda: loss(u), [u], change=1e-24)
    assert (u - lowest).abs().max() < 1e-10


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 8), seed=st.integers(0, 9999))
def test_a_loss_that_is_not_0_at_its_end_is_exact_to_its_last_digits(size, seed):
    """Numbers near 1 cannot tell u from u + 1e-8; the loss itself is as good as new."""
    root, b = rand(size, size, seed=seed), rand(size, seed=seed + 1)
    A = root @ root.T + torch.eye(size).double()
    answer = torch.linalg.solve(A, b)
    u = start(size)
    minimise(lambda: 0.5 * u @ A @ u - b @ u, [u])
    assert (u - answer).abs().max() < 1e-6
    lowest = -0.5 * (b @ answer).item()
    assert (0.5 * u @ A @ u - b @ u).item() == pytest.approx(lowest, rel=1e-13)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 9999))
def test_a_fitted_gaussian_has_the_mean_and_variance_of_its_data(seed):
    """Two parameters of two shapes, and no quadratic."""
    x = 3 * rand(20, 2, seed=seed) + 1
    mean, logvar = start(2), start(1, 2)

    def loss():
        return (logvar + (x - mean) ** 2 * (-logvar).exp()).sum(1).mean()

    minimise(loss, [mean, logvar])
    torch.testing.assert_close(mean.detach(), x.mean(0), rtol=0, atol=1e-6)
    variance = x.var(0, correction=0)
    torch.testing.assert_close(logvar.detach()[0].exp(), variance, rtol=1e-6, atol=0)


def test_the_narrow_valley_is_followed_to_its_end():
    """Rosenbrock's function, smallest at (1, 1), from its usual start."""
    u = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    minimise(lambda: 100 * (u[1] - u[0] ** 2) ** 2 + (1 - u[0]) ** 2, [u])
    assert (u - 1).abs().max() < 1e-8


def test_a_step_that_goes_too_far_is_taken_back():
    """From the flat side the curvature says little, and exp does not forgive."""
    u = torch.tensor([-3.0, -4.0], dtype=torch.float64, requires_grad=True)
    minimise(lambda: ((5 * u).exp() - 5 * u).sum(), [u])
    assert u.abs().max() < 1e-6


def test_what_is_not_listed_stays():
    u, other = start(1), start(1)
    minimise(lambda: ((u - 3) ** 2 + (other - 5) ** 2).sum(), [u])
    assert u.item() == pytest.approx(3, abs=1e-10) and other.item() == 0


def test_it_stops_where_no_slope_is_larger():
    loss, answer = bowl(8, seed=3)
    u = start(8)
    minimise(lambda: loss(u), [u], slope=1e-2)
    (slope,) = torch.autograd.grad(loss(u), u)
    assert slope.abs().max() <= 1e-2
    assert (u - answer).abs().max() > 1e-8, "a coarse limit ends early"


def test_it_stops_where_the_loss_changes_by_less():
    def left_over(change):
        u = start(2)
        with torch.no_grad():
            u += torch.tensor([-1.2, 1.0])
        minimise(
            lambda: 100 * (u[1] - u[0] ** 2) ** 2 + (1 - u[0]) ** 2, [u],
            rounds=1, change=change,
        )  # fmt: skip
        return (u - 1).abs().max().item()

    assert left_over(1e-1) > 1e-2 > 1e-6 > left_over(1e-18)


def test_a_round_starts_afresh_from_where_the_last_one_ended():
    calls = {}

    def after(rounds, steps):
        loss, answer = bowl(8, seed=1)
        u, count = start(8), 0

        def counted():
            nonlocal count
            count += 1
            return loss(u)

        minimise(counted, [u], rounds=rounds, steps=steps)
        calls[rounds, steps] = count
        return (u - answer).abs().max().item()

    errors = [after(rounds, 3) for rounds in (1, 2, 8)]
    assert errors == sorted(errors, reverse=True) and errors[0] > 10 * errors[2]
    assert after(1, 60) < 1e-8
    assert calls[1, 3] < calls[2, 3] < calls[8, 3]


def test_a_longer_memory_needs_fewer_calls():
    def calls(history):
        loss, answer = bowl(12, seed=5)
        u, count = start(12), 0

        def counted():
            nonlocal count
            count += 1
            return loss(u)

        minimise(counted, [u], history=history)
        assert (u - answer).abs().max() < 1e-7
        return count

    assert calls(12) < calls(1)
