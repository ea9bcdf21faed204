"""The ELBO bars: level stacks, drawn where their numbers say, and refusals."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.oracles.linear_gaussian import LinearGaussian
from course_utils.oracles.quadrature import QuadratureWorld
from course_utils.pictures import elbo_bars
from course_utils.pictures.elbo_bars import BOTTOM, STACKS, ElboBars, Parts, check_level
from course_utils.plots import COLOURS
from course_utils.widgets import Explorer, picture


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def line(sigma=0.8, **changes):
    world = LinearGaussian(double([[1.2]]), double([0.0]), sigma)
    return ElboBars(world, double([[1.8]]), **changes)


def parabola(**changes):
    world = QuadratureWorld(lambda z: torch.cat([z, z**2], 1), sigma=0.6)
    ends = {"mu": (-1.5, 1.5), "logvar": (-4.0, 0.0)}
    return ElboBars(world, double([[0.3, 1.5]]), **(ends | changes))


LINE, PARABOLA = line(), parabola()


@settings(max_examples=40, deadline=None)
@given(mu=st.floats(0, 2), logvar=st.floats(-4, 0.5))
def test_the_stacks_are_the_closed_forms_and_end_level(mu, logvar):
    part, variance = LINE.parts(mu, logvar), math.exp(logvar)
    noise = 0.64
    square = (1.8 - 1.2 * mu) ** 2 + 1.44 * variance
    distortion = 0.5 * math.log(2 * math.pi * noise) + square / (2 * noise)
    marginal = 1.44 + noise
    nll = 0.5 * math.log(2 * math.pi * marginal) + 1.8**2 / (2 * marginal)
    assert part.distortion == pytest.approx(distortion, abs=1e-12)
    assert part.rate == pytest.approx(0.5 * (mu**2 + variance - logvar - 1), abs=1e-12)
    assert part.nll == pytest.approx(nll, abs=1e-12)
    assert abs(part.left - part.right) < 1e-12
    assert min(part) >= -1e-12


@settings(max_examples=15, deadline=None)
@given(mu=st.floats(-1.5, 1.5), logvar=st.floats(-4, 0))
def test_they_end_level_in_a_curved_world(mu, logvar):
    part = PARABOLA.parts(mu, logvar)
    assert abs(part.left - part.right) < 1e-8
    assert min(part) >= -1e-8


def test_the_gap_is_zero_at_the_posterior_and_only_there():
    mean, cov = LINE.world.posterior(LINE.x)
    best = LINE.parts(float(mean), float(cov.log()))
    assert abs(best.gap) < 1e-12
    assert best.left == pytest.approx(LINE.nll, abs=1e-12)
    assert LINE.parts(float(mean), float(cov.log()) + 0.5).gap > 0.01
    assert LINE.parts(float(mean) + 0.3, float(cov.log())).gap > 0.01


@pytest.mark.parametrize("bars", [LINE, PARABOLA])
def test_the_densities_integrate_to_one(bars):
    step = float(bars.z[1] - bars.z[0])
    assert float(bars.posterior.sum()) * step == pytest.approx(1, abs=1e-3)
    assert float(bars.density(0.5, -1.5).sum()) * step == pytest.approx(1, abs=1e-3)


def heights(picture_, stack, colour):
    """How many rows of a stack's middle column hold a colour or its light shade."""
    left, right = STACKS[stack]
    column = picture_[:, (left + right) // 2].astype(int)
    shades = elbo_bars._rgb(colour), elbo_bars._light(colour)
    return sum(bool((column[row] == s).all()) for row in range(300) for s in shades)


@pytest.mark.parametrize(("mu", "logvar"), [(0.0, 0.0), (1.5, -4.0), (2.0, 0.5)])
def test_what_is_painted_has_the_height_of_its_number(mu, logvar):
    part, painted = LINE.parts(mu, logvar), LINE.render(mu, logvar)
    assert painted.shape == (300, 700, 3) and painted.dtype == np.uint8
    scale = (BOTTOM - elbo_bars.TOP) / LINE.top
    for stack, value, colour in (
        (0, part.distortion, "reconstruction"),
        (0, part.rate, "rate"),
        (1, part.nll, "data"),
        (1, part.gap, "gap"),
    ):
        # Two dashed lines, and a row where two parts meet, may hide up to four rows.
        assert abs(heights(painted, stack, COLOURS[colour]) - value * scale) <= 4.5


def test_moving_q_moves_the_left_stack_and_the_gap_only():
    one, other = LINE.render(0.0, 0.0), LINE.render(1.0, -1.0)
    grey = COLOURS["data"]
    assert abs(heights(one, 1, grey) - heights(other, 1, grey)) <= 1
    assert heights(one, 1, COLOURS["gap"]) > 5 + heights(other, 1, COLOURS["gap"])


def test_a_stack_beyond_the_axis_is_cut_and_says_so():
    low, enough = line(top=3.0), line(top=10.0)
    above = slice(0, elbo_bars.TOP - 4)
    words = slice(STACKS[0][0], STACKS[1][1])
    assert (low.render(0.0, 0.0)[above, words] < 128).any()
    assert not (enough.render(0.0, 0.0)[above, words] < 128).any()
    # Both stacks are cut at the same height, and nothing is painted above it.
    columns = [sum(STACKS[stack]) // 2 for stack in (0, 1)]
    painted = low.render(2.0, 0.5)
    assert (painted[elbo_bars.TOP + 2, columns] < 255).any(axis=1).all()


def test_it_says_both_sums():
    text = LINE.describe(0.0, 0.0)
    assert "distortion 4.352 + rate 0.000 = 4.352" in text
    assert "−log p(x) 2.064 + gap 2.288 = 4.352" in text


def test_it_works_in_an_explorer():
    sliders = {
        "mu": (*LINE.mu, 0.05, "mu of q"),
        "logvar": (*LINE.logvar, 0.05, "logvar of q"),
    }
    shown = Explorer(
        LINE.render, sliders, start={"mu": 0.0, "logvar": 0.0}, size=(700, 300),
        alt="Two stacks of bars that always end at the same height, beside curves",
        describe=LINE.describe,
    )  # fmt: skip
    png, text = shown.update(mu=1.0, logvar=-1.0)
    assert png == picture(LINE.render(1.0, -1.0), (700, 300))
    assert text == LINE.describe(1.0, -1.0)
    for mu in LINE.mu:
        for logvar in LINE.logvar:
            assert shown.update(mu=mu, logvar=logvar)[0] != png


def test_the_figure_has_curves_and_stacks_for_each_q():
    import matplotlib.pyplot as plt

    fig = LINE.figure([("one", 0.0, 0.0), ("two", 1.0, -1.0)])
    assert [ax.get_title() for ax in fig.axes[:2]] == ["one", "two"]
    for ax, q in zip(fig.axes[2:], ((0.0, 0.0), (1.0, -1.0)), strict=True):
        drawn = [bar.get_height() for bar in ax.patches]
        part = LINE.parts(*q)
        assert drawn == pytest.approx(list(part))
        assert len({bar.get_hatch() for bar in ax.patches}) == 4
    plt.close(fig)
    with pytest.raises(ValueError, match="at least one"):
        LINE.figure([])


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (Parts(-0.1, 0.5, 0.2, 0.2), "distortion is -0.1"),
        (Parts(1.0, 0.5, 1.0, math.nan), "gap is nan"),
        (Parts(1.0, 0.5, 1.0, 0.4), "the same height"),
    ],
)
def test_parts_that_no_stack_can_show_are_refused(parts, said):
    with pytest.raises(ValueError, match=said):
        check_level(parts)


def test_a_wrong_term_is_seen(monkeypatch):
    def no_half(self, x, mu, logvar):
        terms = self.terms(x, mu, torch.diag_embed(logvar.exp()))
        return terms._replace(rate=2 * terms.rate)

    monkeypatch.setattr(LinearGaussian, "diagonal_terms", no_half)
    with pytest.raises(ValueError, match="the same height"):
        LINE.parts(0.5, -1.0)


def test_worlds_and_data_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="sigma is 0.3;.*may be negative"):
        line(sigma=0.3)
    flat = LinearGaussian(double([[1.0, 2.0]]), double([0.0]), 1.0)
    with pytest.raises(ValueError, match="2 latents"):
        ElboBars(flat, double([[1.0]]))
    with pytest.raises(ValueError, match=r"expected \(1, D\)"):
        ElboBars(LINE.world, double([[1.0], [2.0]]))
