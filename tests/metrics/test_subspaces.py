"""Principal angles against scipy's, down to angles far below single precision."""

import math

import pytest
import scipy.linalg
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from course_utils.metrics.subspaces import largest_principal_angle, principal_angles

shapes = st.integers(1, 7).flatmap(lambda D: st.tuples(st.just(D), st.integers(1, D)))


def draw(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def by_scipy(A, B):
    angles = scipy.linalg.subspace_angles(A.numpy(), B.numpy())  # descending
    return torch.tensor(angles[::-1].copy())


@given(shape=shapes, seed=st.integers(0, 9999))
@settings(max_examples=50)
def test_the_angles_are_scipys(shape, seed):
    A, B = draw(shape, seed), draw(shape, seed + 1)
    got = principal_angles(A, B)
    assert got.shape == (shape[1],) and got.dtype == torch.float64
    # SciPy gives some angles of 0 as 2e-8.
    assert (got - by_scipy(A, B)).abs().max() < 1e-7
    assert (got.diff() >= -1e-9).all()
    assert 0 <= float(got.min()) and float(got.max()) <= math.pi / 2
    assert torch.equal(largest_principal_angle(A, B), got[-1])


@given(shape=shapes, seed=st.integers(0, 9999))
@settings(max_examples=30)
def test_another_basis_of_the_same_space_changes_nothing(shape, seed):
    D, K = shape
    A, B, mix = draw(shape, seed), draw(shape, seed + 1), draw((K, K), seed + 2)
    for matrix in (mix, A, B):
        assume(float(torch.linalg.cond(matrix)) < 100)
    assert (principal_angles(A @ mix, B) - principal_angles(A, B)).abs().max() < 1e-8
    assert (principal_angles(B, A) - principal_angles(A, B)).abs().max() < 1e-8
    assert float(principal_angles(A, A @ mix).max()) < 1e-10
    turn = torch.linalg.qr(draw((D, D), seed + 3)).Q
    turned = principal_angles(turn @ A, turn @ B)
    assert (turned - principal_angles(A, B)).abs().max() < 1e-8


@pytest.mark.parametrize(
    "angle", [0.0, 1e-12, 1e-9, 1e-5, 0.3, math.pi / 4, 0.8, 1.5, math.pi / 2]
)
def test_known_angles_are_found_small_ones_too(angle):
    """Two planes in four dimensions that share nothing but one known turn each."""
    a, b = angle, angle / 3
    A = torch.eye(4, dtype=torch.float64)[:, :2]
    B = torch.tensor(
        [[math.cos(a), 0], [0, math.cos(b)], [math.sin(a), 0], [0, math.sin(b)]],
        dtype=torch.float64,
    )
    got = principal_angles(A, B)
    assert float(got[0]) == pytest.approx(b, rel=1e-7, abs=1e-15)
    assert float(got[1]) == pytest.approx(a, rel=1e-7, abs=1e-15)


def test_perpendicular_spaces_are_at_a_right_angle():
    eye = torch.eye(5, dtype=torch.float64)
    got = principal_angles(eye[:, :2], eye[:, 2:4])
    assert torch.allclose(got, torch.full((2,), math.pi / 2, dtype=torch.float64))
    got = principal_angles(eye[:, :2], eye[:, 1:3])
    want = torch.tensor([0, math.pi / 2], dtype=torch.float64)
    assert (got - want).abs().max() < 1e-12


def test_single_precision_sees_small_angles():
    B = torch.tensor([[1.0], [1e-6]])
    got = principal_angles(torch.tensor([[1.0], [0.0]]), B)
    assert got.dtype == torch.float32
    assert float(got) == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize(
    ("first", "second"),
    [((3, 2), (3, 1)), ((3,), (3,)), ((2, 3), (2, 3)), ((3, 0), (3, 0))],
)
def test_wrong_shapes_are_named(first, second):
    with pytest.raises(ValueError, match=r"expected one shape \(D, K\) with 1 ≤ K ≤ D"):
        principal_angles(torch.ones(first), torch.ones(second))


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ([1.0, 1.0, 0.0], "has linearly dependent columns; expected full rank"),
        ([0.0, 0.0, 0.0], "has linearly dependent columns; expected full rank"),
        ([math.nan, 0.0, 0.0], "holds NaN or infinite values; expected finite ones"),
        ([math.inf, 0.0, 0.0], "holds NaN or infinite values; expected finite ones"),
    ],
)
def test_unusable_matrices_are_named(column, said):
    good = torch.eye(3)[:, :2]
    bad = torch.tensor([[2.0, 2.0, 0.0], column]).T
    with pytest.raises(ValueError, match=f"^A {said}"):
        principal_angles(bad, good)
    with pytest.raises(ValueError, match=f"^B {said}"):
        largest_principal_angle(good, bad)
