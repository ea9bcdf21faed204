"""PSNR and patchwise filtering, against known answers."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.metrics.images import by_patches, psnr


@pytest.mark.parametrize(("error", "want"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0)])
def test_known_decibels(error, want):
    x = torch.zeros(3, 5, dtype=torch.float64)
    assert psnr(x, x + error).item() == pytest.approx(want, abs=1e-9)


@given(st.integers(0, 100))
def test_bytes_and_units_agree(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(2, 6, 7, generator=generator, dtype=torch.float64)
    noisy = x + 0.2 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    got = psnr(x, noisy).item()
    assert psnr(255 * x, 255 * noisy, peak=255).item() == pytest.approx(got)
    root = np.sqrt(((x - noisy) ** 2).mean().item())
    assert got == pytest.approx(-20 * math.log10(root))


def test_perfect_is_infinite():
    assert psnr(torch.ones(2, 2), torch.ones(2, 2)).item() == math.inf


def test_doing_nothing_to_patches_changes_nothing():
    image = torch.rand(11, 9, dtype=torch.float64)
    assert torch.allclose(by_patches(image, lambda rows: rows, size=4), image)


def test_patch_means_become_a_double_box_filter_inside():
    """Averaging the means of all patches over a pixel is a box filter, twice."""
    image = torch.rand(20, 20, dtype=torch.float64)
    got = by_patches(image, lambda rows: rows.mean(1, keepdim=True).expand_as(rows), 3)
    once = scipy.ndimage.uniform_filter(image.numpy(), 3)
    want = scipy.ndimage.uniform_filter(once, 3)
    assert np.abs(got.numpy() - want)[4:-4, 4:-4].max() < 1e-12


def test_rows_are_patches_in_reading_order():
    image = torch.arange(12.0).view(3, 4)
    seen = []
    by_patches(image, lambda rows: seen.append(rows) or rows, size=2)
    assert seen[0][0].tolist() == [0, 1, 4, 5]
    assert seen[0].shape == (6, 4)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="one shape"):
        psnr(torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match="peak is 0"):
        psnr(torch.ones(2), torch.ones(2), peak=0)
    with pytest.raises(ValueError, match=r"expected \(H, W\)"):
        by_patches(torch.ones(3, 3), lambda rows: rows, size=8)
