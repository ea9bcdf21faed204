"""The β-VAE and FactorVAE scores: what is drawn, and what known codes must score."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from course_utils.metrics.disentanglement.codes import draw_factors, from_table
from course_utils.metrics.disentanglement.fixed_factor import (
    beta_vae_score,
    factor_vae_score,
)

LEVELS = (3, 4, 5)
BOTH = [beta_vae_score, factor_vae_score]


def grid(levels=LEVELS):
    return torch.tensor(list(itertools.product(*map(range, levels)))).double()


def standardised(levels=LEVELS):
    table = grid(levels)
    return (table - table.mean(dim=0)) / table.std(dim=0, correction=0)


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def rotation(latents, seed=0):
    return torch.linalg.qr(noise(latents, latents, seed=seed))[0]


# --- what is drawn ------------------------------------------------------------------


def watch(score, **sizes):
    """Run a score on a perfect code and keep the factors that it asked for."""
    asked = []

    def represent(factors):
        asked.append(factors.clone())
        return factors.double()

    score(represent, LEVELS, seed=3, **sizes)
    return torch.cat(asked)


def test_pairs_share_one_factor_and_nothing_else():
    groups, pairs = 30, 40
    asked = watch(beta_vae_score, groups=groups, pairs=pairs)
    blocks = asked[10_000:].reshape(2, 2, groups, pairs, 3)
    same = blocks[:, 0] == blocks[:, 1]
    shared = same.all(dim=2)  # (2, groups, F)
    assert (shared.sum(dim=2) == 1).all()
    counts = shared.sum(dim=(0, 1))
    assert counts.tolist() == [20, 20, 20]  # each factor as often
    others = same.double().sum(dim=(0, 1, 2)) - counts * pairs
    rates = others / (40 * pairs)  # the other factors agree by chance only
    np.testing.assert_allclose(rates, [1 / 3, 1 / 4, 1 / 5], atol=0.06)
    # a pair's value of the factor is its own: not one value for the whole group
    values = blocks[:, 0].amax(dim=2) > blocks[:, 0].amin(dim=2)
    assert values.all()
    assert not torch.equal(blocks[0], blocks[1])  # new groups to score


def test_a_group_shares_the_value_of_one_factor():
    groups, size = 30, 40
    asked = watch(factor_vae_score, groups=groups, size=size)
    blocks = asked[10_000:].reshape(2, groups, size, 3)
    constant = (blocks == blocks[:, :, :1]).all(dim=2)
    assert (constant.sum(dim=2) == 1).all()
    assert constant.sum(dim=(0, 1)).tolist() == [20, 20, 20]
    assert not torch.equal(blocks[0], blocks[1])
    everywhere = asked[:10_000].double()  # the variances over all examples
    expected = [(n**2 - 1) / 12 for n in LEVELS]
    np.testing.assert_allclose(everywhere.var(dim=0), expected, rtol=0.05)


@pytest.mark.parametrize("score", BOTH)
def test_the_seed_decides(score):
    represent = from_table(standardised() @ rotation(3), LEVELS)
    first = score(represent, LEVELS, groups=60, seed=1)
    assert score(represent, LEVELS, groups=60, seed=1) == first
    others = {score(represent, LEVELS, groups=60, seed=s) for s in range(2, 6)}
    assert others != {first}


# --- independent versions -----------------------------------------------------------


def slow_beta_vae(table, groups, pairs, rng):
    """Pair by pair, with a support vector machine for the logistic regression."""

    def draw():
        features, answers = [], []
        for _ in range(groups):
            k = rng.integers(3)
            total = 0
            for _ in range(pairs):
                one, two = rng.integers(LEVELS), rng.integers(LEVELS)
                two[k] = one[k]
                total = total + np.abs(lookup(table, one) - lookup(table, two))
            features.append(total / pairs)
            answers.append(k)
        return np.array(features), np.array(answers)

    seen, answers = draw()
    centre, spread = seen.mean(0), seen.std(0)
    model = LinearSVC(max_iter=20_000).fit((seen - centre) / spread, answers)
    new, answers = draw()
    return model.score((new - centre) / spread, answers)


def slow_factor_vae(table, groups, size, rng):
    """Group by group, with a dictionary of votes."""

    def draw():
        k = int(rng.integers(3))
        value = rng.integers(LEVELS[k])
        rows = []
        for _ in range(size):
            v = rng.integers(LEVELS)
            v[k] = value
            rows.append(lookup(table, v))
        return int(np.argmin(np.var(rows, axis=0) / table.var(axis=0))), k

    votes = {}
    for _ in range(groups):
        latent, k = draw()
        votes.setdefault(latent, []).append(k)
    guess = {latent: max(range(3), key=ks.count) for latent, ks in votes.items()}
    return np.mean(
        [guess.get(latent) == k for latent, k in (draw() for _ in range(groups))]
    )


def lookup(table, v):
    return table[(v[0] * 4 + v[1]) * 5 + v[2]]


@pytest.mark.parametrize(
    ("score", "slow", "size"),
    [
        (beta_vae_score, slow_beta_vae, "pairs"),
        (factor_vae_score, slow_factor_vae, "size"),
    ],
)
def test_the_score_agrees_with_a_slow_version(score, slow, size):
    table = standardised() @ rotation(3, seed=5) * torch.tensor([1.0, 3.0, 0.2])
    ours = score(from_table(table, LEVELS), LEVELS, groups=2000, **{size: 8})
    theirs = slow(table.numpy(), 500, 8, np.random.default_rng(0))
    assert (
        0.4 < ours < 0.95
    )  # neither chance nor perfect: there is something to agree on
    assert ours == pytest.approx(theirs, abs=0.08)


# --- known codes --------------------------------------------------------------------


@pytest.mark.parametrize("score", BOTH)
def test_a_perfect_code_scores_one(score):
    assert score(from_table(standardised(), LEVELS), LEVELS, groups=150) == 1


def test_factor_vae_ignores_order_scale_and_sign_of_latents():
    table = standardised() @ rotation(3)
    plain = factor_vae_score(from_table(table, LEVELS), LEVELS, groups=300)
    moved = (table * torch.tensor([-0.125, 8.0, 1.0]))[:, [2, 0, 1]] + 3
    assert factor_vae_score(from_table(moved, LEVELS), LEVELS, groups=300) == plain


def test_beta_vae_ignores_order_scale_and_sign_of_latents():
    table = standardised() @ rotation(3)
    plain = beta_vae_score(from_table(table, LEVELS), LEVELS, groups=300)
    moved = (table * torch.tensor([-0.125, 8.0, 1.0]))[:, [2, 0, 1]] + 3
    found = beta_vae_score(from_table(moved, LEVELS), LEVELS, groups=300)
    assert found == pytest.approx(plain, abs=0.01)


@pytest.mark.parametrize("score", BOTH)
@pytest.mark.parametrize(("scale", "offset"), [(1, 1e8), (1e200, 0), (1e-200, 0)])
def test_the_units_of_a_code_and_its_origin_do_not_matter(score, scale, offset):
    table = standardised() @ rotation(3)
    plain = score(from_table(table, LEVELS), LEVELS, groups=300)
    moved = score(from_table(scale * table + offset, LEVELS), LEVELS, groups=300)
    assert plain > 0.5 and moved == pytest.approx(plain, abs=0.011)


@pytest.mark.parametrize("score", BOTH)
def test_an_unused_latent_changes_nothing(score):
    table = standardised() @ rotation(3)
    plain = score(from_table(table, LEVELS), LEVELS, groups=300)
    jitter = 0.1 + 1e-8 * grid()[:, :1].float()  # rounding that follows a factor
    assert len(jitter.unique()) > 1
    constant = torch.full((60, 1), 7.0)
    wider = torch.cat([constant, table.float(), jitter], dim=1)
    found = score(from_table(wider, LEVELS), LEVELS, groups=300)
    assert found == pytest.approx(plain, abs=0.011)


@pytest.mark.parametrize("score", BOTH)
@pytest.mark.parametrize("latents", [1, 3])
def test_a_code_of_constants_scores_chance(score, latents):
    found = score(from_table(torch.ones(60, latents), LEVELS), LEVELS, groups=300)
    assert found == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("score", BOTH)
def test_pure_noise_scores_chance(score):
    generator = torch.Generator().manual_seed(0)

    def represent(factors):
        return torch.randn(len(factors), 4, generator=generator)

    scores = [score(represent, LEVELS, seed=seed) for seed in range(4)]
    # 2000 groups: a standard deviation of the mean of 0.011
    assert np.mean(scores) == pytest.approx(1 / 3, abs=0.04)


def test_a_missing_factor_costs_factor_vae_its_share_and_beta_vae_nothing():
    """Both varying means the third is fixed: the linear classifier knows it anyway."""
    represent = from_table(standardised()[:, :2], LEVELS)
    assert beta_vae_score(represent, LEVELS, groups=300) > 0.98
    found = factor_vae_score(represent, LEVELS, groups=300)
    assert found == pytest.approx(2 / 3, abs=0.02)


def test_a_latent_of_little_variance_is_left_out_on_demand():
    levels = (4, 4)
    table = standardised(levels) * torch.tensor([1.0, 0.1])
    represent = from_table(table, levels)
    assert factor_vae_score(represent, levels, groups=100) == 1
    found = factor_vae_score(represent, levels, groups=100, least=0.05)
    assert found == pytest.approx(1 / 2, abs=0.01)


def test_samples_scatter_and_cost_factor_vae_accuracy():
    levels, generator = (4, 4), torch.Generator().manual_seed(0)
    table = standardised(levels)

    def sample(factors):
        z = from_table(table, levels)(factors)
        return z + 5 * torch.randn(z.shape, generator=generator)

    assert 0.5 < factor_vae_score(sample, levels, groups=1000) < 0.8


@pytest.mark.parametrize("score", BOTH)
@pytest.mark.parametrize(
    ("levels", "arguments", "says"),
    [
        ((3,), {}, "at least two factors"),
        ((3, 1), {}, "do not vary"),
        ((3, 4), {"groups": 19}, "groups must be at least 20"),
        ((3, 4), {"groups": 50.5}, "groups is 50.5"),
        ((3, 4), {"seed": -1}, "seed is -1"),
        ((3, 4), {"seed": 0, "width": 1}, "at least 2"),
    ],
)
def test_bad_arguments_are_refused(score, levels, arguments, says):
    if "width" in arguments:
        name = "pairs" if score is beta_vae_score else "size"
        arguments = {name: arguments["width"]}
    with pytest.raises(ValueError, match=says):
        score(lambda factors: factors.double(), levels, **arguments)


@pytest.mark.parametrize("score", BOTH)
@pytest.mark.parametrize(
    ("represent", "says"),
    [
        (lambda factors: torch.full(factors.shape, float("nan")), "NaN"),
        (lambda factors: factors, "floating point"),
        (lambda factors: factors.double()[1:], "rows"),
    ],
)
def test_bad_codes_are_refused(score, represent, says):
    with pytest.raises(ValueError, match=says):
        score(represent, LEVELS)


def test_a_negative_variance_is_refused():
    with pytest.raises(ValueError, match="least"):
        factor_vae_score(lambda factors: factors.double(), LEVELS, least=-1)


def test_draws_do_not_depend_on_other_random_numbers():
    torch.manual_seed(1)
    represent = from_table(standardised() @ rotation(3), LEVELS)
    first = [score(represent, LEVELS, groups=60) for score in BOTH]
    torch.manual_seed(2)
    draw_factors(LEVELS, 5, torch.Generator())
    assert [score(represent, LEVELS, groups=60) for score in BOTH] == first
