"""Arrays as pictures of a fixed size, pixel by pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.widgets import picture
from widget_reading import read


@given(
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    colour=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=30, deadline=None)
def test_a_picture_repeats_every_pixel_as_a_block(rows, columns, colour, seed):
    shape = (rows, columns, 3) if colour else (rows, columns)
    pixels = np.random.default_rng(seed).random(shape)
    got = read(picture(pixels, size=(5 * columns, 7 * rows)))
    blocks = np.repeat(np.repeat(pixels, 7, axis=0), 5, axis=1)
    assert got.shape == blocks.shape
    assert np.abs(got - 255 * blocks).max() <= 0.5 + 1e-9


def test_a_picture_takes_tensors_and_bytes():
    pixels = torch.linspace(0, 1, 64).reshape(8, 8).requires_grad_()
    eight_bits = (pixels.detach().numpy() * 255).round().astype(np.uint8)
    assert picture(pixels) == picture(eight_bits)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros(4), "shape"),
        (np.zeros((4, 4, 4)), "shape"),
        (np.zeros((0, 4)), "empty"),
        (np.full((2, 2), np.nan), "finite"),
        (np.full((2, 2), 1.01), "0, 1"),
        (np.full((2, 2), -0.01), "0, 1"),
        (np.zeros((2, 2), dtype=int), "uint8"),
    ],
)
def test_unfit_pixels_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        picture(pixels)
