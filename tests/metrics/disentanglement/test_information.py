"""Mutual information and the gap: exact tables, and slips that must be caught."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import mutual_info_score

from course_utils.metrics.disentanglement.codes import draw_factors
from course_utils.metrics.disentanglement.information import (
    bin_codes,
    default_bins,
    entropies,
    information_gap,
    information_gaps,
    information_matrix,
    mig,
    mutual_information,
)

LOG2 = math.log(2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def grid(*levels, repeat=1):
    """All combinations of factors, the last fastest, each ``repeat`` times."""
    rows = list(itertools.product(*map(range, levels)))
    return torch.tensor(rows).repeat(repeat, 1)


# --- mutual information against enumeration -----------------------------------------


def enumerated(joint):
    """The definition, term by term."""
    total = sum(map(sum, joint))
    p = [[entry / total for entry in row] for row in joint]
    a = [sum(row) for row in p]
    b = [sum(column) for column in zip(*p, strict=True)]
    return sum(
        p[i][j] * math.log(p[i][j] / (a[i] * b[j]))
        for i in range(len(a))
        for j in range(len(b))
        if p[i][j] > 0
    )


@settings(max_examples=60)
@given(
    st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.lists(st.integers(0, 9), min_size=width, max_size=width),
            min_size=1,
            max_size=5,
        )
    )
)
def test_information_agrees_with_enumeration(joint):
    if not any(map(any, joint)):
        joint[0][0] = 1
    found = mutual_information(torch.tensor(joint))
    assert found == pytest.approx(enumerated(joint), abs=1e-12)
    assert mutual_information(torch.tensor(joint).T) == pytest.approx(found, abs=1e-12)


def test_counts_may_be_very_large_or_small():
    joint = torch.tensor([[3.0, 1], [0, 2]]).double()
    for scale in (1e307, 1e-300):
        assert mutual_information(scale * joint) == pytest.approx(
            mutual_information(joint), abs=1e-12
        )


def test_information_of_a_noisy_channel_in_closed_form():
    flip = 0.11
    joint = torch.tensor([[1 - flip, flip], [flip, 1 - flip]]) / 2
    h = -flip * math.log(flip) - (1 - flip) * math.log(1 - flip)
    assert mutual_information(joint) == pytest.approx(LOG2 - h, abs=1e-7)


def test_matrix_agrees_with_scikit_learn():
    factors = torch.randint(6, (500, 4), generator=generator())
    z = torch.cat([rand(500, 2), factors[:, :1] + rand(500, 1, seed=1)], dim=1)
    found = information_matrix(z, factors, bins=9)
    binned = bin_codes(z, 9)
    for j, k in itertools.product(range(3), range(4)):
        expected = mutual_info_score(binned[:, j].numpy(), factors[:, k].numpy())
        assert found[j, k] == pytest.approx(expected, abs=1e-12)


def test_entropies_agree_with_scipy():
    factors = torch.stack([torch.arange(60) % 7, torch.arange(60) // 50], dim=1)
    expected = [scipy_entropy(torch.bincount(v).numpy()) for v in factors.T]
    np.testing.assert_allclose(entropies(factors), expected, rtol=1e-12)


def test_the_names_of_the_classes_do_not_matter():
    factors = torch.randint(4, (300, 2), generator=generator())
    z = factors + rand(300, 2)
    renamed = torch.tensor([70, -3, 1000, 8])[factors]
    assert mig(z, renamed) == pytest.approx(mig(z, factors), abs=1e-12)


@pytest.mark.parametrize("binning", ["mass", "width"])
def test_unrelated_variables_seem_to_inform_by_what_miller_says(binning):
    bins, levels, count = 10, 8, 4000
    values = []
    for seed in range(30):
        factors = torch.randint(levels, (count, 1), generator=generator(seed))
        z = torch.rand(count, 1, generator=generator(100 + seed))
        values.append(information_matrix(z, factors, bins, binning).item())
    expected = (bins - 1) * (levels - 1) / (2 * count)
    # chi² with 63 degrees of freedom over 2N: sd 18 % of the mean, over 30 draws 3.3 %
    assert np.mean(values) == pytest.approx(expected, rel=0.15)


# --- bins ---------------------------------------------------------------------------


def test_bins_of_equal_mass_are_ranks_cut_into_equal_parts():
    z = rand(60, 3)
    ranks = z.argsort(dim=0).argsort(dim=0)
    assert torch.equal(bin_codes(z, 12), ranks // 5)


def test_bins_of_equal_width_agree_with_numpy():
    z = rand(200, 1)
    edges = np.histogram_bin_edges(z.numpy(), bins=9)
    expected = np.digitize(z.numpy()[:, 0], edges[1:-1])
    assert bin_codes(z, 9, "width").flatten().tolist() == expected.tolist()


def test_few_values_keep_a_bin_each_however_often_they_occur():
    z = torch.tensor([0.0] * 97 + [1.0, 2.0, 3.0])[:, None]
    assert bin_codes(z, 4).unique().tolist() == [0, 1, 2, 3]


def test_equal_values_share_a_bin():
    z = torch.tensor([0.0, 1, 1, 1, 1, 2, 3, 4, 5, 6])[:, None]
    binned = bin_codes(z, 5).flatten()
    assert binned[1:5].unique().numel() == 1
    assert (binned.diff() >= 0).all() and binned.max() == 4


@pytest.mark.parametrize("binning", ["mass", "width"])
def test_a_constant_latent_tells_nothing(binning):
    factors = grid(3, 4, repeat=5)
    jitter = 0.1 + 1e-8 * factors[:, 0].float()  # steps of rounding, by a factor
    z = torch.stack([factors[:, 1], torch.full_like(jitter, 7.0), jitter], dim=1)
    information = information_matrix(z, factors, binning=binning)
    assert not information[1:].any() and information[0, 1] > 1


MONOTONE = {
    "affine": lambda z: 3 * z - 1,
    "cube": lambda z: z**3,
    "exp": torch.exp,
    "arctan": torch.arctan,
}


@settings(max_examples=25)
@given(st.integers(0, 9999), st.sampled_from(sorted(MONOTONE)), st.integers(2, 30))
def test_equal_mass_does_not_notice_a_monotone_map(seed, name, bins):
    factors = torch.randint(5, (180, 2), generator=generator(seed))
    z = factors + 0.5 * rand(180, 2, seed=seed)
    mapped = MONOTONE[name](z)
    assert torch.equal(bin_codes(mapped, bins), bin_codes(z, bins))
    assert mig(mapped, factors, bins) == mig(z, factors, bins)


@settings(max_examples=25)
@given(st.integers(0, 9999), st.sampled_from([2, 4, 9, 20]))
def test_a_sign_and_the_order_of_latents_do_not_matter(seed, bins):
    factors = torch.randint(5, (180, 3), generator=generator(seed))
    z = torch.cat([factors, factors[:, :1]], 1) + 0.5 * rand(180, 4, seed=seed)
    score = mig(z, factors, bins)
    order = torch.randperm(4, generator=generator(seed))
    signs = torch.tensor([-1.0, 1.0, -1.0, -1.0])
    # bins divide 180: no value stands on a border that a change of sign would move
    assert mig((signs * z)[:, order], factors, bins) == pytest.approx(score, abs=1e-12)
    rows = torch.randperm(180, generator=generator(seed))
    assert mig(z[rows], factors[rows], bins) == pytest.approx(score, abs=1e-12)
    turned = factors.flip(1)  # the order of the factors
    assert mig(z, turned, bins) == pytest.approx(score, abs=1e-12)


@settings(max_examples=15)
@given(st.integers(0, 9999), st.floats(0.01, 100), st.floats(-1, 1))
def test_equal_width_does_not_notice_an_affine_map(seed, scale, shift):
    factors = torch.randint(5, (150, 2), generator=generator(seed))
    z = factors + 0.5 * rand(150, 2, seed=seed)
    moved = scale * z + shift
    found = information_matrix(moved, factors, 10, "width")
    # rounding may push a value that stands on a border over it
    torch.testing.assert_close(
        found, information_matrix(z, factors, 10, "width"), atol=0.02, rtol=0
    )


def test_default_bins_are_never_fewer_than_the_levels():
    assert default_bins(grid(3, 7)) == 20
    assert default_bins(grid(2, 40)) == 40


def test_too_few_bins_cost_a_perfect_code_what_the_docstring_says():
    factors = grid(2, 40, repeat=8)
    z = factors.double()
    gap = information_gap(information_matrix(z, factors, 20), entropies(factors))
    assert gap[1] == pytest.approx(1 - LOG2 / math.log(40), abs=1e-9)
    assert mig(z, factors) == pytest.approx(1, abs=1e-12)


# --- the gap: tables whose answer is known in closed form, and slips ----------------


def shuffled(z, factors):
    order = torch.randperm(len(z), generator=generator(3))
    return z[order].double(), factors[order]


def exact_cases():
    """Codes, factors, and each factor's gap in closed form."""
    v = grid(3, 4, 5)
    dead = torch.ones(60, 1).long()
    yield "perfect", torch.cat([v[:, [2]], dead, -v[:, :2]], 1), v, [1, 1, 1]

    v = grid(4, 8)
    half = torch.stack([v[:, 1] // 4, v[:, 0], v[:, 0] % 2, v[:, 1]], 1)
    yield "a second latent holds one bit", half, v, [1 / 2, 2 / 3]

    v = grid(4, 4, repeat=16)  # 256 rows, and a gap of one half
    half = torch.stack([v[:, 0], v[:, 0] % 2, v[:, 1], v[:, 1] // 2, v[:, 1] % 2], 1)
    yield "one half", half, v, [1 / 2, 1 / 2]

    v = grid(3, 4, repeat=3)
    yield "both in one latent", (4 * v[:, :1] + v[:, 1:]), v, [1, 1]
    twice = torch.cat([v, v.flip(1)], 1)
    yield "everything twice", twice, v, [0, 0]

    v = grid(2, 2, 3)
    exclusive = torch.stack([v[:, 0] ^ v[:, 1], v[:, 2]], 1)
    yield "exclusive or", exclusive, v, [0, 0, 1]

    v = grid(2, 5, repeat=4)  # factor 0 is right three times out of four
    wrong = (torch.arange(40) >= 30).long()
    h = 0.25 * math.log(4) + 0.75 * math.log(4 / 3)
    noisy = torch.stack([v[:, 0] ^ wrong, v[:, 1]], 1)
    yield "noisy", noisy, v, [1 - h / LOG2, 1]

    v = torch.tensor([[0, 0]] * 6 + [[1, 0]] * 2 + [[0, 1]] * 3 + [[1, 1]])  # uneven
    third = torch.tensor([0, 1, 2] * 2 + [0, 0] + [0, 1, 2] + [0])  # blind to both
    yield "uneven levels", torch.stack([third, v[:, 1]], 1), v, None


def gaps_of(case):
    """Gaps of a case; enumerated where there is no closed form."""
    _, z, v, gaps = case
    if gaps is not None:
        return gaps
    table = [
        [enumerated(_table(latent, factor)) for factor in v.T.tolist()]
        for latent in z.T.tolist()
    ]
    own = [enumerated(_table(factor, factor)) for factor in v.T.tolist()]
    best = [sorted(column, reverse=True) for column in zip(*table, strict=True)]
    return [(b[0] - b[1]) / h for b, h in zip(best, own, strict=True)]


def _table(a, b):
    joint = [[0] * (max(b) + 1) for _ in range(max(a) + 1)]
    for i, j in zip(a, b, strict=True):
        joint[i - min(a)][j] += 1
    return joint


def check_mig(metric):
    """Hold a function ``metric(z, factors)`` against every exact case."""
    for case in exact_cases():
        name, z, v, _ = case
        expected = np.mean(gaps_of(case))
        assert metric(*shuffled(z, v)) == pytest.approx(expected, abs=1e-9), name


def test_mig_of_exact_cases():
    check_mig(mig)


def test_mig_of_exact_cases_with_bins_of_equal_width():
    check_mig(lambda z, v: mig(z, v, bins=40, binning="width"))


@pytest.mark.parametrize("case", exact_cases(), ids=lambda case: case[0])
def test_gap_of_each_factor(case):
    z, v = shuffled(case[1], case[2])
    found = information_gap(information_matrix(z, v), entropies(v))
    np.testing.assert_allclose(found, gaps_of(case), atol=1e-9)


def sorted_information(z, v):
    return information_matrix(z, v).sort(dim=0, descending=True).values, entropies(v)


def pad(information):
    return torch.cat([information, torch.zeros(1, information.shape[1])])


def reshaped(z, v):
    """A common slip: (N, K) is read as (K, N) by its shape, not transposed."""
    return mig(z.reshape(z.shape[1], -1).T, v)


def factors_reshaped(z, v):
    return mig(z, v.reshape(v.shape[1], -1).T.contiguous())


def along_factors(z, v):
    """The two largest factors of each latent, instead of latents of each factor."""
    information = information_matrix(z, v).sort(dim=1, descending=True).values
    first, second = information[:, 0], information[:, 1]
    return float(((first - second) / entropies(v).max()).mean())


def the_two_smallest(z, v):
    information = pad(information_matrix(z, v)).sort(dim=0).values
    return float(((information[1] - information[0]) / entropies(v)).mean())


def second_and_third(z, v):
    information = pad(pad(information_matrix(z, v))).sort(dim=0, descending=True).values
    return float(((information[1] - information[2]) / entropies(v)).mean())


def first_and_last(z, v):
    information, h = sorted_information(z, v)
    return float(((information[0] - pad(information)[-1]) / h).mean())


def first_and_mean(z, v):
    information, h = sorted_information(z, v)
    return float(((information[0] - information.mean(dim=0)) / h).mean())


def first_two_latents(z, v):
    """Not sorted at all."""
    information = pad(information_matrix(z, v))
    return float(((information[0] - information[1]) / entropies(v)).mean())


def entropy_of_another_factor(z, v):
    information, h = sorted_information(z, v)
    information = pad(information)
    return float(((information[0] - information[1]) / h.roll(1)).mean())


def entropy_of_the_latent(z, v):
    information = pad(information_matrix(z, v))
    best = information.argmax(dim=0).clamp(max=z.shape[1] - 1)
    binned = bin_codes(z, default_bins(v))
    h = torch.stack([entropy_of(binned[:, j]) for j in best.tolist()])
    top = information.topk(2, dim=0).values
    return float(((top[0] - top[1]) / h.clamp(min=1e-12)).mean())


def entropy_of(column):
    return torch.tensor(enumerated(_table(column.tolist(), column.tolist())))


def largest_entropy(z, v):
    information, h = sorted_information(z, v)
    information = pad(information)
    return float(((information[0] - information[1]) / h.max()).mean())


def mean_of_gaps_over_mean_entropy(z, v):
    information, h = sorted_information(z, v)
    information = pad(information)
    return float((information[0] - information[1]).mean() / h.mean())


def log_of_levels(z, v):
    """As if all levels were equally frequent."""
    information, _ = sorted_information(z, v)
    information = pad(information)
    h = (v.max(dim=0).values + 1.0).log()
    return float(((information[0] - information[1]) / h).mean())


def nats_over_bits(z, v):
    return mig(z, v) * LOG2


def no_entropy(z, v):
    information, _ = sorted_information(z, v)
    information = pad(information)
    return float((information[0] - information[1]).mean())


def summed(z, v):
    return mig(z, v) * v.shape[1]


def gap_of_the_mean_factor(z, v):
    share = pad(information_matrix(z, v) / entropies(v)).mean(dim=1)
    top = share.topk(2).values
    return float(top[0] - top[1])


def gap_over_the_whole_table(z, v):
    share = (information_matrix(z, v) / entropies(v)).flatten().sort(descending=True)
    return float(share.values[0] - share.values[1])


SLIPS = [
    reshaped,
    factors_reshaped,
    along_factors,
    the_two_smallest,
    second_and_third,
    first_and_last,
    first_and_mean,
    first_two_latents,
    entropy_of_another_factor,
    entropy_of_the_latent,
    largest_entropy,
    mean_of_gaps_over_mean_entropy,
    log_of_levels,
    nats_over_bits,
    no_entropy,
    summed,
    gap_of_the_mean_factor,
    gap_over_the_whole_table,
]


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.__name__)
def test_a_slip_is_caught(slip):
    with pytest.raises(AssertionError):
        check_mig(slip)


def test_reading_by_shape_turns_one_half_into_about_nothing():
    v = torch.randint(4, (10_000, 2), generator=generator())
    z = torch.stack([v[:, 0], v[:, 0] % 2, v[:, 1], v[:, 1] // 2], 1).double()
    assert mig(z, v) == pytest.approx(0.5, abs=0.005)
    assert reshaped(z, v) < 0.005


def test_few_examples_cost_a_perfect_code_what_the_docstring_says():
    levels = (3, 6, 40, 32, 32)
    scores = {}
    for count in (2000, 5000, 10_000):
        v = draw_factors(levels, count, generator())
        z = torch.cat([v.double(), rand(count, 3)], dim=1)
        scores[count] = mig(z, v)
    assert scores[2000] == pytest.approx(0.92, abs=0.01)
    assert scores[5000] == pytest.approx(0.97, abs=0.01)
    assert scores[10_000] == pytest.approx(0.99, abs=0.01)


def test_narrow_clusters_cost_what_the_docstring_says():
    levels = (3, 6, 40, 32, 32)
    v = draw_factors(levels, 10_000, generator())
    z = (v - v.double().mean(dim=0)) / v.double().std(dim=0)
    z = torch.cat([z + 0.01 * rand(10_000, 5), rand(10_000, 3, seed=1)], dim=1)
    assert mig(z, v) == pytest.approx(0.91, abs=0.015)
    assert mig(z, v, binning="width") == pytest.approx(0.98, abs=0.01)


# --- as others take it ---------------------------------------------------------------


def histogram_mig(z, v):
    """As disentanglement_lib: numpy's histogram, scikit-learn's information."""
    table = np.zeros((z.shape[1], v.shape[1]))
    for j, k in itertools.product(*map(range, table.shape)):
        edges = np.histogram(z[:, j], 20)[1][:-1]
        table[j, k] = mutual_info_score(v[:, k], np.digitize(z[:, j], edges))
    entropy = [mutual_info_score(column, column) for column in v.T]
    ordered = np.sort(table, axis=0)
    return np.mean((ordered[-1] - ordered[-2]) / entropy)


@pytest.mark.parametrize("seed", range(3))
def test_twenty_bins_of_width_agree_with_disentanglement_lib(seed):
    v = draw_factors((3, 6, 30), 4000, generator(seed))
    z = v.double() @ rand(3, 5, seed=seed) + rand(4000, 5, seed=seed + 9)
    theirs = histogram_mig(z.numpy(), v.numpy())
    assert mig(z, v, bins=20, binning="width") == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: mutual_information(torch.ones(3)), "table"),
        (lambda: mutual_information(1j * torch.eye(2)), "real"),
        (lambda: information_gap(-torch.ones(3, 2), torch.ones(2)), "between 0 and"),
        (lambda: information_gap(torch.full((3, 2), 2.0), torch.ones(2)), "between 0"),
        (lambda: information_gap(torch.ones(2, 1), torch.tensor([math.inf])), "posit"),
        (lambda: information_gap(torch.ones(0, 2), torch.ones(2)), "expected inform"),
        (lambda: information_gap(np.ones((3, 2)), torch.ones(2)), "a NumPy array"),
        (lambda: bin_codes(torch.ones(3, 1), True), "bins must"),
        (lambda: mutual_information(torch.tensor([[1.0, -1.0]])), "not negative"),
        (lambda: mutual_information(torch.zeros(2, 2)), "positive sum"),
        (lambda: mutual_information(torch.tensor([[math.nan]])), "finite"),
        (lambda: bin_codes(torch.ones(3, 1), 1), "bins must"),
        (lambda: bin_codes(torch.ones(3, 1), 2.5), "bins must"),
        (lambda: bin_codes(torch.ones(3, 1), 2, "log"), "binning must"),
        (lambda: information_gap(torch.ones(3, 2), torch.ones(3)), "expected inform"),
        (lambda: information_gap(torch.ones(3, 2), torch.zeros(2)), "positive"),
    ],
)
def test_bad_arguments_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_the_gaps_of_codes_are_scikit_learns_information():
    z = torch.randint(0, 3, (500, 3), generator=generator()).double()
    factors = torch.stack([z[:, 0], (z[:, 1] + z[:, 2]) % 2], 1).long()
    told = np.array([[mutual_info_score(f, c) for c in z.T] for f in factors.T])
    told.sort(axis=1)
    size = [scipy_entropy(np.bincount(f)) for f in factors.T]
    want = (told[:, -1] - told[:, -2]) / size
    gaps = information_gaps(z, factors, bins=3)
    assert gaps.tolist() == pytest.approx(want.tolist(), abs=1e-12)
    assert mig(z, factors, bins=3) == pytest.approx(want.mean(), abs=1e-12)
