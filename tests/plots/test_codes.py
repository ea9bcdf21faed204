"""Points of the latent plane, and codes drawn as their digits."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy import stats

from course_utils import plots


def test_a_quantile_grid_cuts_the_prior_into_equal_shares():
    n = 5
    grid = plots.quantile_grid(n)
    shares = stats.norm.cdf(grid.numpy().astype(float))
    places = np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=2).reshape(-1, 2)
    want = (places * [1, -1] + [0, n - 1] + 0.5) / n
    assert np.allclose(shares, want, atol=1e-6)


@pytest.mark.parametrize("n", [0, 2.0, True])
def test_a_quantile_grid_of_no_size_is_refused(n):
    with pytest.raises(ValueError, match="whole number"):
        plots.quantile_grid(n)


def test_digits_are_drawn_at_their_codes_with_their_class_as_marker():
    fig, ax = plt.subplots()
    codes, labels = torch.randn(30, 2), torch.arange(30) % 3
    plots.scatter_digits(ax, codes, labels)
    drawn = [collection.get_offsets() for collection in ax.collections]
    assert [len(part) for part in drawn] == [10, 10, 10] + [0] * 7
    assert np.allclose(drawn[1], codes[labels == 1])
