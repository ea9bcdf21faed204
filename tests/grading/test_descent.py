"""Slopes and steps: against finite differences and torch's own optimiser."""

import pytest
import torch

from conftest import rand
from course_utils.grading.descent import descended, slopes
from course_utils.grading.trial import Refused


def bent(u, v):
    return (u.sin() * v).sum() + (v**3).mean()


def test_slopes_are_finite_differences():
    u, v, step = rand(4), rand(4, seed=1), 1e-6
    for place, slope in enumerate(slopes(bent, u, v)):
        for n in range(4):
            moved = [u.clone(), v.clone()], [u.clone(), v.clone()]
            moved[0][place][n] += step
            moved[1][place][n] -= step
            finite = (bent(*moved[0]) - bent(*moved[1])) / (2 * step)
            assert slope[n] == pytest.approx(finite.item(), abs=1e-8)


def test_a_place_that_plays_no_part_has_slope_zero_and_nothing_is_left_behind():
    u, v = rand(3), rand(2, 2, seed=1)
    with torch.no_grad():
        of_u, of_v = slopes(lambda u, v: (u**2).sum(), u, v)
    assert torch.equal(of_u, 2 * u) and torch.equal(of_v, torch.zeros(2, 2).double())
    assert not u.requires_grad and u.grad is None


def test_steps_are_those_of_sgd():
    start = [rand(4), rand(4, seed=1)]
    leaves = [one.clone().requires_grad_() for one in start]
    optimiser = torch.optim.SGD(leaves, lr=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        bent(*leaves).backward()
        optimiser.step()
    for got, want in zip(descended([bent] * 3, start, 0.1), leaves, strict=True):
        assert torch.allclose(got, want.detach(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("cut", [lambda w: w.detach().sum(), lambda w: 3.0])
def test_a_loss_that_is_cut_off_is_refused(cut):
    with pytest.raises(Refused, match="cut off from the weights"):
        descended([cut], [rand(3)], 0.1)
