"""The harmonic fill, against solutions of Laplace's equation known by other means."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.oracles.harmonic import harmonic_fill


def hole(height, width, rows, columns):
    seen = torch.ones(height, width, dtype=torch.bool)
    seen[rows, columns] = False
    return seen


def neighbours(image):
    around = torch.nn.functional.pad(image, (1, 1, 1, 1))
    return around[1:-1, :-2] + around[1:-1, 2:] + around[:-2, 1:-1] + around[2:, 1:-1]


def test_one_missing_pixel_is_the_mean_of_its_neighbours():
    image = torch.arange(9.0).view(1, 3, 3) ** 2
    filled = harmonic_fill(image, hole(3, 3, slice(1, 2), slice(1, 2)))
    want = (image[0, 0, 1] + image[0, 2, 1] + image[0, 1, 0] + image[0, 1, 2]) / 4
    assert filled[0, 1, 1].item() == pytest.approx(want.item())


def test_discrete_harmonic_functions_come_back():
    """y, x, x y and x² − y² have a zero five-point Laplacian."""
    y, x = torch.meshgrid(
        torch.arange(7).double(), torch.arange(9).double(), indexing="ij"
    )
    images = torch.stack([y, x, x * y, x**2 - y**2])
    seen = hole(7, 9, slice(2, 5), slice(1, 7))
    assert torch.allclose(harmonic_fill(images * seen, seen), images, atol=1e-10)


def test_agrees_with_relaxation_also_at_the_border():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(5, 6, generator=generator, dtype=torch.float64)
    seen = hole(5, 6, slice(0, 3), slice(3, 6))  # touches two borders
    value = torch.where(seen, image, 0.5)
    inside = torch.ones_like(value)
    for _ in range(600):  # Jacobi: each missing pixel becomes its neighbours' mean
        mean = neighbours(value) / neighbours(inside)
        value = torch.where(seen, image, mean)
    assert torch.allclose(harmonic_fill(image[None], seen)[0], value, atol=1e-8)


@given(st.integers(0, 200))
def test_maximum_principle_and_seen_pixels_stay(seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(3, 6, 5, generator=generator, dtype=torch.float64)
    seen = torch.rand(6, 5, generator=generator) > 0.5
    seen[0, 0] = True
    filled = harmonic_fill(torch.where(seen, images, torch.nan), seen)
    assert torch.equal(filled[:, seen], images[:, seen])
    assert (filled.amax((1, 2)) <= images[:, seen].amax(1) + 1e-12).all()
    assert (filled.amin((1, 2)) >= images[:, seen].amin(1) - 1e-12).all()


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"expected \(N, H, W\)"):
        harmonic_fill(torch.ones(3, 3), torch.ones(3, 3).bool())
    with pytest.raises(ValueError, match="bool"):
        harmonic_fill(torch.ones(1, 3, 3), torch.ones(3, 3))
    with pytest.raises(ValueError, match="at least one seen pixel"):
        harmonic_fill(torch.ones(1, 3, 3), torch.zeros(3, 3).bool())
