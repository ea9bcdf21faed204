"""The table of known answers: each metric against codes whose answer is known."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard as scipy_hadamard

from course_utils.metrics.disentanglement.answers import (
    CODES,
    SCORES,
    SPRITES,
    Answer,
    hadamard,
    known_answers,
    known_code,
    on_sample,
    random_rotation,
)
from course_utils.metrics.disentanglement.codes import draw_factors
from course_utils.metrics.disentanglement.information import mig
from course_utils.metrics.disentanglement.separability import sap
from course_utils.metrics.intervals import seed_interval

FIFTH = 1 / len(SPRITES)  # the share of groups that a guess gets right


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# --- the codes ----------------------------------------------------------------------


@pytest.mark.parametrize("latents", [2, 4, 8, 16])
def test_the_hadamard_matrix_agrees_with_scipy_and_is_a_rotation(latents):
    matrix = hadamard(latents)
    expected = scipy_hadamard(latents) / math.sqrt(latents)
    np.testing.assert_allclose(matrix, expected, atol=1e-15)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(latents).double())


def test_random_rotations_are_uniform():
    """Entries have mean 0 and variance 1/K, and the diagonal is no exception."""
    draws = torch.stack([random_rotation(4, generator(s)) for s in range(2000)])
    torch.testing.assert_close(
        draws @ draws.mT, torch.eye(4).double().expand(2000, 4, 4), atol=1e-12, rtol=0
    )
    assert draws.mean(dim=0).abs().max() < 5 * 0.5 / math.sqrt(2000)
    np.testing.assert_allclose(draws.var(dim=0), np.full((4, 4), 1 / 4), atol=0.03)


@pytest.mark.parametrize("name", CODES)
def test_codes_have_the_covariance_they_should(name):
    represent = known_code(name, SPRITES, 8, generator(1))
    z = represent(draw_factors(SPRITES, 40_000, generator(2)))
    covariance = z.T.cov()
    sd = covariance.diagonal().sqrt()
    if name != "permuted and rescaled":
        np.testing.assert_allclose(sd, np.ones(8), atol=0.02)
    else:
        assert ((sd > 0.095) & (sd < 10.5)).all() and sd.max() > 2 * sd.min()
    correlation = covariance / sd / sd[:, None]
    torch.testing.assert_close(correlation, torch.eye(8).double(), atol=0.03, rtol=0)
    assert z.mean(dim=0).div(sd).abs().max() < 0.03


def test_codes_hold_the_factors_they_say():
    factors = draw_factors(SPRITES, 5000, generator())
    v = factors.double()

    def squared_correlations(name):
        z = known_code(name, SPRITES, 8, generator(3))(factors)
        return torch.corrcoef(torch.cat([z, v], dim=1).T)[:8, 8:].square()

    eye = torch.eye(8, 5).double()
    close = {"atol": 0.03, "rtol": 0}
    torch.testing.assert_close(squared_correlations("perfect"), eye, **close)
    moved = squared_correlations("permuted and rescaled")
    torch.testing.assert_close(moved.amax(dim=0), torch.ones(5).double(), **close)
    assert (moved > 0.5).sum() == 5 and not torch.equal((moved > 0.5), eye.bool())
    spread = squared_correlations("Hadamard-rotated")
    torch.testing.assert_close(spread, torch.full((8, 5), 1 / 8).double(), **close)
    rotated = squared_correlations("randomly rotated")
    torch.testing.assert_close(
        rotated.sum(dim=0), torch.ones(5).double(), atol=0.1, rtol=0
    )
    assert squared_correlations("random").max() < 0.01


def test_rotations_are_undone_by_their_inverse():
    factors = draw_factors(SPRITES, 100, generator())
    rotated = known_code("Hadamard-rotated", SPRITES, 8, generator(5))(factors)
    perfect = known_code("perfect", SPRITES, 8, generator(5))(factors)
    torch.testing.assert_close(rotated @ hadamard(8).T, perfect)


# --- the table of known answers -----------------------------------------------------


@pytest.fixture(scope="module")
def answers():
    """All metrics on all codes; more seeds where a random rotation scatters."""
    seeds = {"DCI": range(3)}
    table = [
        answer
        for metric in SCORES
        for answer in known_answers(metric, seeds=seeds.get(metric, range(5)))
    ]
    return {(answer.score, answer.code): answer for answer in table}


FALL_BY_ANY = ["MIG", "SAP", "DCI disentanglement", "DCI completeness"]
VOTES = ["beta-VAE", "FactorVAE"]
FROM_0 = [*FALL_BY_ANY, "DCI informativeness"]


def test_the_table_is_complete(answers):
    assert set(answers) == {(score, code) for score in FROM_0 + VOTES for code in CODES}


@pytest.mark.parametrize("score", FROM_0 + VOTES)
@pytest.mark.parametrize("code", ["perfect", "permuted and rescaled"])
def test_a_perfect_code_in_any_order_and_scale_scores_high(answers, score, code):
    low, high = answers[score, code].interval
    assert low >= 0.95 and high <= 1.000001


@pytest.mark.parametrize("score", FROM_0 + VOTES)
def test_random_codes_score_what_chance_scores(answers, score):
    """The two means differ by no more than their seeds' scatter allows, and are low."""
    answer = answers[score, "random"]
    close = 0.04 if score in VOTES else 0.02
    assert answer.mean == pytest.approx(answer.chance_mean, abs=close)
    level = FIFTH if score in VOTES else 0
    if score == "DCI informativeness":
        assert -0.15 < answer.mean < 0.0  # a forest fits noise: worse than a constant
    else:
        assert answer.mean == pytest.approx(level, abs=0.03)


@pytest.mark.parametrize("score", FROM_0 + VOTES)
@pytest.mark.parametrize("code", CODES)
def test_chance_is_low_whatever_the_code(answers, score, code):
    level = FIFTH if score in VOTES else 0
    assert abs(answers[score, code].chance_mean - level) < 0.15


@pytest.mark.parametrize("score", FALL_BY_ANY)
def test_a_hadamard_rotation_brings_the_score_to_nearly_nothing(answers, score):
    assert answers[score, "Hadamard-rotated"].interval[1] <= 0.1


@pytest.mark.parametrize("score", VOTES)
def test_a_hadamard_rotation_brings_the_votes_to_chance(answers, score):
    """Fixing a factor takes 1/8 of every latent's variance, whichever the factor."""
    answer = answers[score, "Hadamard-rotated"]
    assert answer.mean == pytest.approx(FIFTH, abs=0.04)
    assert answer.interval[1] < 0.3


@pytest.mark.parametrize(
    ("score", "most"),
    [
        ("MIG", 0.25),
        ("SAP", 0.35),
        ("DCI disentanglement", 0.65),
        ("DCI completeness", 0.6),
    ],
)
def test_a_random_rotation_costs_a_good_part(answers, score, most):
    """Not all: a random rotation is uneven, some latents keep a favourite factor."""
    answer = answers[score, "randomly rotated"]
    assert answer.mean < most < answers[score, "perfect"].interval[0]
    assert answer.mean > answers[score, "Hadamard-rotated"].interval[1]


@pytest.mark.parametrize("score", VOTES)
def test_a_random_rotation_costs_the_votes_little(answers, score):
    """Each factor still has a latent on which it weighs most: enough to be told by."""
    answer = answers[score, "randomly rotated"]
    assert answer.interval[0] > 2 * FIFTH > answer.chance_interval[1]
    assert answer.mean > 0.6


def test_votes_keep_more_under_a_random_rotation_than_the_others(answers):
    """As a share of what a perfect code has above chance."""

    def kept(score):
        chance = FIFTH if score in VOTES else 0
        return (answers[score, "randomly rotated"].mean - chance) / (1 - chance)

    assert min(map(kept, VOTES)) > max(map(kept, FALL_BY_ANY))


def test_a_rotation_loses_no_information(answers):
    """A forest reads the factors off rotated codes still, with steps along the axes."""
    for code in ("Hadamard-rotated", "randomly rotated"):
        assert answers["DCI informativeness", code].interval[0] > 0.6


def test_mig_of_the_table_is_sharp(answers):
    assert answers["MIG", "perfect"].interval[0] >= 0.95
    assert answers["MIG", "Hadamard-rotated"].interval[1] <= 0.01
    assert answers["MIG", "random"].interval[1] <= 0.01


# --- own metrics in the table -------------------------------------------------------


def reshaped(z, v):
    """A common slip: read by shape, not transposed."""
    return mig(z.reshape(z.shape[1], -1).T, v)


def rows_out_of_step(z, v):
    return mig(z.roll(1, dims=0), v)


def by_position(z, v):
    """Latent k is supposed to hold factor k."""
    return float(torch.corrcoef(torch.cat([z, v], 1).T)[:5, 8:].diagonal().abs().mean())


@pytest.mark.parametrize("slip", [reshaped, rows_out_of_step])
def test_the_table_shows_a_slip_that_loses_the_rows(slip):
    (answer,) = known_answers(on_sample(slip), seeds=range(2), names=("perfect",))
    assert answer.mean < 0.05


def test_the_table_shows_a_metric_that_looks_at_positions():
    names = ("perfect", "permuted and rescaled")
    perfect, moved = known_answers(on_sample(by_position), seeds=range(4), names=names)
    assert perfect.mean > 0.95 and moved.mean < 0.7


def test_a_metric_may_return_scores_by_name():
    both = on_sample(lambda z, v: {"mig": mig(z, v), "sap": sap(z, v)}, count=500)
    answers = known_answers(
        both, levels=(3, 4), latents=2, seeds=(1, 2), names=CODES[:2]
    )
    assert [(a.score, a.code) for a in answers] == [
        ("mig", "perfect"),
        ("sap", "perfect"),
        ("mig", "permuted and rescaled"),
        ("sap", "permuted and rescaled"),
    ]
    assert all(len(a.values) == len(a.chance) == 2 for a in answers)


def test_chance_draws_factors_anew_where_one_is_held_fixed():
    """Were rows permuted instead, a group would go on sharing its factor."""

    def shared(represent, levels, seed):
        z = represent(torch.full((200, 2), 2))
        return float((z[:, 0] == z[0, 0]).double().mean())

    (answer,) = known_answers(shared, levels=(8, 8), latents=2, names=("perfect",))
    assert answer.mean == 1 and answer.chance_mean < 0.25


def test_each_seed_is_handed_on():
    def told(represent, levels, seed):
        return seed

    (answer,) = known_answers(told, levels=(3, 4), latents=2, names=("perfect",))
    assert len(set(answer.values)) == 5 and answer.values == answer.chance


def test_the_table_is_the_same_each_time():
    arguments = {"levels": (3, 4), "latents": 4, "seeds": (0, 1)}
    assert known_answers("FactorVAE", **arguments) == known_answers(
        "FactorVAE", **arguments
    )


def test_intervals_are_students():
    answer = Answer("MIG", "perfect", (0.5, 0.6, 0.9), (0.0, 0.1, 0.1))
    mean, half = seed_interval([0.5, 0.6, 0.9])
    assert answer.mean == mean and answer.interval == (mean - half, mean + half)
    mean, half = seed_interval([0.0, 0.1, 0.1])
    assert answer.chance_mean == mean
    assert answer.chance_interval == (mean - half, mean + half)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: known_answers("IRS"), "metric must be one of"),
        (lambda: known_answers("MIG", seeds=(1,)), "two seeds"),
        (lambda: known_answers("MIG", names=("good",)), "name must be one of"),
        (lambda: known_answers("MIG", latents=4), "at least the number of factors"),
        (lambda: known_answers("MIG", levels=(3,)), "two factors"),
        (
            lambda: known_code("Hadamard-rotated", (2, 2), 3, generator()),
            "power of two",
        ),
        (lambda: hadamard(12), "power of two"),
        (lambda: hadamard(1), "power of two"),
    ],
)
def test_bad_arguments_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
