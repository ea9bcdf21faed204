"""PCA in closed form against numpy, scipy, scikit-learn and plain trying."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from course_utils.oracles.pca import (
    covariance,
    linear_loss,
    optimal_loss,
    pca_reconstruct,
    principal_axes,
)

seeds = st.integers(0, 9999)


def data(N=40, D=6, seed=0):
    """Give correlated data whose mean is not zero."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return normal(N, D) @ normal(D, D) + 3 * normal(D)


@given(N=st.integers(1, 20), D=st.integers(1, 6), seed=seeds)
@settings(max_examples=30)
def test_the_covariance_is_numpys_with_divisor_n(N, D, seed):
    x = data(N, D, seed)
    want = np.atleast_2d(np.cov(x.numpy(), rowvar=False, bias=True))
    assert np.abs(covariance(x).numpy() - want).max() < 1e-12 * max(1, want.max())


@given(D=st.integers(1, 7), seed=seeds)
@settings(max_examples=30)
def test_axes_are_those_of_scipy_largest_first(D, seed):
    cov = covariance(data(30, D, seed))
    eigenvalues, axes = principal_axes(cov)
    want, their_axes = scipy.linalg.eigh(cov.numpy())
    scale = want.max()
    assert np.abs(eigenvalues.numpy() - want[::-1]).max() < 1e-10 * scale
    assert (axes.T @ axes - torch.eye(D)).abs().max() < 1e-10
    assert (cov @ axes - axes * eigenvalues).abs().max() < 1e-9 * scale
    if D == 1 or np.diff(want).min() > 1e-2 * scale:  # else the axes are not unique
        overlap = np.abs(np.sum(their_axes[:, ::-1] * axes.numpy(), axis=0))
        assert np.abs(overlap - 1).max() < 1e-9


@pytest.mark.parametrize("K", [1, 3, 6])
def test_the_reconstruction_is_scikit_learns(K):
    x = data()
    pca = PCA(K).fit(x.numpy())
    want = pca.inverse_transform(pca.transform(x.numpy()))
    got = pca_reconstruct(x, x.mean(0), covariance(x), K)
    assert np.abs(got.numpy() - want).max() < 1e-10
    new = data(9, seed=1)  # other data than the axes come from
    want = pca.inverse_transform(pca.transform(new.numpy()))
    got = pca_reconstruct(new, x.mean(0), covariance(x), K)
    assert np.abs(got.numpy() - want).max() < 1e-10


@given(N=st.integers(2, 30), D=st.integers(1, 6), seed=seeds, part=st.data())
@settings(max_examples=30)
def test_the_optimal_loss_is_what_pca_reaches(N, D, seed, part):
    K = part.draw(st.integers(1, D))
    x = data(N, D, seed)
    cov = covariance(x)
    x_hat = pca_reconstruct(x, x.mean(0), cov, K)
    reached = float(((x - x_hat) ** 2).sum(1).mean())
    singular = np.linalg.svd((x - x.mean(0)).numpy(), compute_uv=False)
    eckart_young = float((singular[K:] ** 2).sum()) / N
    scale = float(cov.trace())
    assert float(optimal_loss(cov, K)) == pytest.approx(reached, abs=1e-9 * scale)
    assert float(optimal_loss(cov, K)) == pytest.approx(eckart_young, abs=1e-9 * scale)


@given(D=st.integers(2, 6), seed=seeds, part=st.data())
@settings(max_examples=40)
def test_no_linear_autoencoder_is_better(D, seed, part):
    K = part.draw(st.integers(1, D - 1))
    cov = covariance(data(30, D, seed))
    generator = torch.Generator().manual_seed(seed)
    encoder = torch.randn(K, D, generator=generator, dtype=torch.float64)
    # The best decoder for a given encoder: the regression of x on z = E x.
    decoder = cov @ encoder.T @ torch.linalg.inv(encoder @ cov @ encoder.T)
    limit = float(optimal_loss(cov, K)) * (1 - 1e-9)
    assert float(linear_loss(encoder, decoder, cov)) >= limit


@given(N=st.integers(1, 20), D=st.integers(1, 5), K=st.integers(1, 6), seed=seeds)
@settings(max_examples=40)
def test_the_linear_loss_is_the_mean_over_the_data(N, D, K, seed):
    x = data(N, D, seed)
    x = x - x.mean(0)
    generator = torch.Generator().manual_seed(seed + 1)
    encoder = torch.randn(K, D, generator=generator, dtype=torch.float64)
    decoder = torch.randn(D, K, generator=generator, dtype=torch.float64)
    want = sum(float((row - decoder @ (encoder @ row)).norm() ** 2) for row in x) / N
    got = float(linear_loss(encoder, decoder, covariance(x)))
    assert got == pytest.approx(want, rel=1e-9, abs=1e-12)


def test_the_linear_loss_has_the_gradient_of_finite_differences():
    cov = covariance(data(20, 4))
    generator = torch.Generator().manual_seed(0)
    encoder = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    decoder = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    inputs = encoder.requires_grad_(), decoder.requires_grad_()
    assert torch.autograd.gradcheck(lambda e, d: linear_loss(e, d, cov), inputs)


def test_all_components_lose_nothing():
    x = data()
    cov = covariance(x)
    assert float(optimal_loss(cov, 6)) == 0
    assert (pca_reconstruct(x, x.mean(0), cov, 6) - x).abs().max() < 1e-10


def test_a_covariance_of_single_precision_may_be_rounded():
    """Rounding is of the size of the largest entry, however small the others are."""
    cov = torch.tensor([[2.0, 4e-7], [3e-7, 1.0]])
    assert principal_axes(cov)[0].tolist() == pytest.approx([2.0, 1.0])
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        Q = torch.linalg.qr(torch.randn(64, 64, generator=generator)).Q
        want = torch.logspace(0, -6, 64)
        eigenvalues, _ = principal_axes(Q @ torch.diag(want) @ Q.T)
        assert (eigenvalues - want).abs().max() < 1e-5


# --- what goes wrong ----------------------------------------------------------------

NAN = torch.full((2, 2), math.nan)


@pytest.mark.parametrize(
    ("cov", "said"),
    [
        (torch.zeros(3), r"cov has shape \(3,\); expected \(D, D\)"),
        (torch.zeros(2, 3), r"cov has shape \(2, 3\); expected \(D, D\)"),
        (torch.zeros(0, 0), r"cov has shape \(0, 0\); expected \(D, D\) with D ≥ 1"),
        (NAN, "cov holds NaN or infinite values; expected finite ones"),
        (torch.tensor([[1.0, 0.1], [0.0, 1.0]]), "cov is not symmetric; expected a co"),
        (torch.tensor([[9e6, 9e2], [0.0, 9e6]]), "cov is not symmetric; expected a co"),
    ],
)
def test_they_name_what_is_no_covariance(cov, said):
    eye = torch.eye(len(cov))
    for call in (
        lambda: principal_axes(cov),
        lambda: optimal_loss(cov, 1),
        lambda: pca_reconstruct(torch.zeros(1, 2), torch.zeros(2), cov, 1),
        lambda: linear_loss(eye, eye, cov),
    ):
        with pytest.raises(ValueError, match=said):
            call()


@pytest.mark.parametrize("K", [0, 4, -1, 1.0, True, "2", None])
def test_they_name_a_wrong_number_of_components(K):
    said = f"K is {K!r}; expected a whole number from 1 to D = 3"
    with pytest.raises(ValueError, match=said):
        optimal_loss(torch.eye(3), K)
    with pytest.raises(ValueError, match=said):
        pca_reconstruct(torch.zeros(2, 3), torch.zeros(3), torch.eye(3), K)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.zeros(3), r"x has shape \(3,\); expected \(N, D\) with N ≥ 1"),
        (torch.zeros(0, 3), r"x has shape \(0, 3\)"),
        (torch.zeros(1, 2, 3), r"x has shape \(1, 2, 3\)"),
        (NAN, "x holds NaN or infinite values; expected finite ones"),
        (torch.full((2, 2), math.inf), "x holds NaN or infinite values"),
    ],
)
def test_the_covariance_names_wrong_data(x, said):
    with pytest.raises(ValueError, match=said):
        covariance(x)


@pytest.mark.parametrize(
    ("x", "mean"), [((2, 4), (3,)), ((3,), (3,)), ((2, 3), (2,)), ((2, 3), (1, 3))]
)
def test_the_reconstruction_names_wrong_shapes(x, mean):
    with pytest.raises(ValueError, match=r"expected \(N, 3\) and \(3,\)"):
        pca_reconstruct(torch.zeros(x), torch.zeros(mean), torch.eye(3), 1)


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [((2, 4), (4, 2)), ((2, 3), (2, 3)), ((3, 2), (3, 2)), ((3,), (3,)), ((), ())],
)
def test_the_linear_loss_names_wrong_shapes(encoder, decoder):
    with pytest.raises(ValueError, match=r"expected \(K, 3\) and \(3, K\)"):
        linear_loss(torch.zeros(encoder), torch.zeros(decoder), torch.eye(3))
