"""A covariance may be rounded, but not wrong, and both oracles judge it alike."""

import math

import pytest
import torch

from course_utils.oracles._checks import LOPSIDED, checked_covariance
from course_utils.oracles.pca import linear_loss, principal_axes
from course_utils.oracles.wiener import (
    best_linear_loss,
    conditional_mean,
    linear_denoising_loss,
    wiener_filter,
)

TAKERS = {
    "principal_axes": lambda cov: principal_axes(cov),
    "linear_loss": lambda cov: linear_loss(torch.eye(2), torch.eye(2), cov),
    "wiener_filter": lambda cov: wiener_filter(cov, 1.0),
    "linear_denoising_loss": lambda cov: linear_denoising_loss(torch.eye(2), cov, 1.0),
    "best_linear_loss": lambda cov: best_linear_loss(cov, 1.0, 1),
    "conditional_mean": lambda cov: conditional_mean(
        torch.zeros(1, 2), torch.tensor([True, False]), torch.zeros(2), cov
    ),
}
WRONG = {
    "one axis": (torch.zeros(3), r"cov has shape \(3,\); expected \(D, D\) with D ≥ 1"),
    "oblong": (torch.zeros(2, 3), r"cov has shape \(2, 3\); expected \(D, D\)"),
    "empty": (torch.zeros(0, 0), r"cov has shape \(0, 0\); expected"),
    "NaN": (torch.full((2, 2), math.nan), "cov holds NaN or infinite values"),
    "infinite": (torch.diag(torch.tensor([1.0, math.inf])), "cov holds NaN or inf"),
    "lopsided": (torch.tensor([[1.0, 0.1], [0.0, 1.0]]), "cov is not symmetric"),
    "large": (torch.tensor([[9e6, 9e2], [0.0, 9e6]]), "cov is not symmetric"),
    "small": (torch.tensor([[9e-6, 9e-10], [0.0, 9e-6]]), "cov is not symmetric"),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("which", WRONG)
def test_a_wrong_covariance_is_named_by_every_oracle(which, taker):
    cov, said = WRONG[which]
    with pytest.raises(ValueError, match=said):
        TAKERS[taker](cov)


@pytest.mark.parametrize("seed", range(20))
def test_rounding_is_let_be_and_the_bound_is_far_from_it(seed):
    """The rounding of Q Λ Qᵀ in single precision, over six orders of eigenvalues."""
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(64, 64, generator=generator)).Q
    cov = Q @ torch.diag(torch.logspace(0, -6, 64)) @ Q.T
    assert checked_covariance(cov) is cov
    assert checked_covariance(cov.double()).dtype == torch.float64
    assert (cov - cov.T).abs().max() < 0.2 * LOPSIDED * cov.abs().max()
    wiener_filter(1e9 * cov, 1.0)
    principal_axes(1e-9 * cov)


def test_a_covariance_of_nothing_that_varies_is_one():
    assert float(best_linear_loss(torch.zeros(2, 2), 1.0, 1)) == 0
