"""The line through a cloud: what it loses, painted where the numbers say."""

import math

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import ImageColor
from sklearn.decomposition import PCA

from course_utils.pictures import line_through_cloud as module
from course_utils.pictures.line_through_cloud import LineThroughCloud
from course_utils.plots import COLOURS

POINTS = torch.randn(
    60, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64
) @ torch.tensor([[2.0, 1.0], [0.0, 0.4]], dtype=torch.float64)
CLOUD = LineThroughCloud(POINTS + 5)


@pytest.fixture(autouse=True)
def clean():
    mpl.use("agg")
    yield
    plt.close("all")


@pytest.mark.parametrize("angle", [0, 17, 45, 90, 133.5])
def test_what_is_lost_is_the_mean_squared_distance_to_the_line(angle):
    normal = np.array([-math.sin(math.radians(angle)), math.cos(math.radians(angle))])
    centred = (POINTS - POINTS.mean(0)).numpy()
    assert CLOUD.lost(angle) == pytest.approx(((centred @ normal) ** 2).mean())
    error = ((CLOUD.points - CLOUD.kept(angle)) ** 2).sum(1).mean()
    assert CLOUD.lost(angle) == pytest.approx(float(error))


def test_the_least_is_lost_along_scikit_learns_axis():
    axis = PCA(1).fit(POINTS.numpy()).components_[0]
    angle = math.degrees(math.atan2(axis[1], axis[0])) % 180
    assert abs(CLOUD.angles[CLOUD.curve.argmin()] - angle) <= 0.5
    assert f"{angle:.0f}°: lost {CLOUD.lost(angle):.3f} of" in CLOUD.describe(angle)


def test_the_dot_moves_along_the_curve():
    """The place of the large dot, read off the pixels, is the lost variance."""
    left, right, low, high = module.CURVE
    orange = np.array(ImageColor.getrgb(COLOURS["reconstruction"]))
    for angle in (20.0, 100.0, 150.0):
        picture = CLOUD.render(angle).astype(int)
        near = np.abs(picture - orange).sum(2) < 30
        x = round(left + (right - left) * angle / 180)
        rows = np.flatnonzero(near[:, x - 2 : x + 3].all(1))
        expected = low - (low - high) * CLOUD.lost(angle) / CLOUD.total
        assert abs(rows.mean() - expected) < 2
        assert len(rows) >= 8  # the dot, not the thin curve


def test_the_figure_has_a_panel_an_angle_and_the_curve():
    fig = CLOUD.figure([0, 60])
    assert [ax.get_title() for ax in fig.axes[:2]] == [
        f"{angle}°: lost {CLOUD.lost(angle):.3f}" for angle in (0, 60)
    ]
    curve = fig.axes[2].lines[0].get_ydata()
    assert curve.min() == pytest.approx(CLOUD.curve.min())


def test_what_is_no_cloud_is_refused():
    with pytest.raises(ValueError, match=r"shape \(4, 3\); expected \(N, 2\)"):
        LineThroughCloud(torch.zeros(4, 3))
    with pytest.raises(ValueError, match="expected a cloud"):
        LineThroughCloud(torch.ones(4, 2))
