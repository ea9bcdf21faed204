"""The three parts of the rate, against exact sums and integrals on small data."""

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal

from course_utils.models import VAE, elbo_loss
from course_utils.models.total_correlation import TCLoss, rate_parts
from course_utils.objectives import gaussian_kl
from course_utils.training import fit


def posteriors(N, K, seed):
    """Mean and log σ² of N posteriors, float64."""
    generator = torch.Generator().manual_seed(seed)
    mu, logvar = torch.randn(2, N, K, generator=generator, dtype=torch.float64)
    return 1.5 * mu, 0.7 * logvar - 0.5


def exact_parts(mu, logvar):
    """The three parts by a rule on a grid that holds all mass: K = 2."""
    N = len(mu)
    axis = torch.linspace(-18, 18, 1441, dtype=torch.float64)
    step = axis[1] - axis[0]
    each = Normal(mu, torch.exp(0.5 * logvar))  # (N, 2)
    one = each.log_prob(axis[:, None, None]).exp()  # (G, N, 2)
    joint = torch.einsum("an,bn->ab", one[:, :, 0], one[:, :, 1]) / N
    marginal = one.mean(1)  # (G, 2)
    product = marginal[:, None, 0] * marginal[None, :, 1]

    def kl(p, q, cell):
        return (cell * torch.xlogy(p, p / q.clamp(min=1e-300))).sum()

    total = kl(joint, product, step**2)
    prior = Normal(0.0, 1.0).log_prob(axis).exp()
    dimensionwise = sum(kl(marginal[:, k], prior, step) for k in range(2))
    entropy = -(step**2 * torch.xlogy(joint, joint)).sum()
    conditional = each.entropy().sum(1).mean()
    return entropy - conditional, total, dimensionwise


@pytest.mark.parametrize("seed", range(3))
def test_the_oracle_adds_up_to_the_rate(seed):
    mu, logvar = posteriors(5, 2, seed)
    rate = gaussian_kl(mu, logvar).mean()
    assert sum(exact_parts(mu, logvar)) == pytest.approx(rate.item(), abs=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_with_all_data_in_the_batch_only_z_is_drawn(seed):
    mu, logvar = posteriors(5, 2, seed)
    generator = torch.Generator().manual_seed(seed)
    draws = []
    for _ in range(4000):
        eps = torch.randn(mu.shape, generator=generator, dtype=torch.float64)
        parts = rate_parts(mu + torch.exp(0.5 * logvar) * eps, mu, logvar, N=5)
        draws.append(torch.stack(parts).mean(1))
    draws = torch.stack(draws)  # (4000, 3)
    error = draws.std(0) / math.sqrt(len(draws))
    exact = torch.tensor(exact_parts(mu, logvar))
    assert ((draws.mean(0) - exact).abs() < 4 * error).all()


@pytest.mark.parametrize("B", [2, 3, 4])
def test_the_estimate_of_the_density_is_unbiased_over_batches(B):
    N, K = 5, 2
    mu, logvar = posteriors(N, K, seed=7)
    z = torch.tensor([[0.3, -0.8]], dtype=torch.float64)
    exact = Normal(mu, torch.exp(0.5 * logvar)).log_prob(z).sum(1).exp().mean()
    estimates = []
    for others in itertools.combinations(range(1, N), B - 1):  # example 0 made z
        rows = [0, *others]
        draws = z.expand(B, K)
        parts = rate_parts(draws, mu[rows], logvar[rows], N)
        own = Normal(mu[0], torch.exp(0.5 * logvar[0])).log_prob(z[0]).sum()
        estimates.append((own - parts.mutual_information[0]).exp())
    assert torch.stack(estimates).mean() == pytest.approx(exact.item(), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    B=st.integers(2, 6), K=st.integers(1, 4), more=st.integers(0, 50),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_the_parts_add_up_whatever_the_batch(B, K, more, seed):
    mu, logvar = posteriors(B, K, seed)
    z, _ = posteriors(B, K, seed + 1)
    own = Normal(mu, torch.exp(0.5 * logvar)).log_prob(z).sum(1)
    want = own - Normal(0.0, 1.0).log_prob(z).sum(1)
    parts = rate_parts(z, mu, logvar, N=B + more)
    assert torch.allclose(sum(parts), want, atol=1e-9)


def test_independent_units_have_no_total_correlation():
    """Examples on a grid: z_1 says the row, z_2 the column."""
    grid = torch.cartesian_prod(torch.tensor([-9.0, 9.0]), torch.tensor([-9.0, 9.0]))
    parts = rate_parts(grid, grid, torch.zeros(4, 2), N=4)
    assert torch.allclose(parts.total_correlation, torch.zeros(4), atol=1e-5)
    assert torch.allclose(parts.mutual_information, torch.full((4,), math.log(4)))


def test_two_units_that_say_the_same_have_the_log_of_their_levels():
    line = torch.tensor([[-9.0, -9.0], [9.0, 9.0]])
    parts = rate_parts(line, line, torch.zeros(2, 2), N=2)
    assert torch.allclose(parts.total_correlation, torch.full((2,), math.log(2)))


# --- the loss -----------------------------------------------------------------------


def test_at_beta_1_it_is_the_elbo_and_trains_as_it():
    torch.manual_seed(0)
    x = torch.rand(40, 6).round()
    first = VAE(6, 3, hidden=(5,))
    both = [copy.deepcopy(first), copy.deepcopy(first)]
    for model, loss in zip(both, (TCLoss(40, 1.0), elbo_loss), strict=True):
        fit(model, loss, x, epochs=3, batch_size=8, lr=1e-2)
    for ours, plain in zip(*(model.parameters() for model in both), strict=True):
        assert torch.equal(ours, plain)


def test_its_mean_is_that_of_the_weighted_parts():
    torch.manual_seed(0)
    model = VAE(6, 3, hidden=(5,)).double()
    x = torch.rand(40, 6, dtype=torch.float64).round()
    differences = []
    for seed in range(1000):
        terms = TCLoss(40, 5.0)(model, x, torch.Generator().manual_seed(seed))
        weighted = terms["mutual information"] + 5 * terms["total correlation"]
        weighted = terms["distortion"] + weighted + terms["dimension-wise KL"]
        differences.append(terms["loss"] - weighted)
    difference = torch.stack(differences)
    error = difference.std() / math.sqrt(len(difference))
    assert 0 < difference.mean().abs() < 4 * error


def test_beta_weighs_the_total_correlation_alone():
    torch.manual_seed(0)
    model, x = VAE(6, 3, hidden=(5,)), torch.rand(20, 6)
    one, six = (
        TCLoss(50, beta)(model, x, torch.Generator().manual_seed(1))
        for beta in (1.0, 6.0)
    )
    more = six["loss"] - one["loss"]
    assert torch.allclose(more, 5 * one["total correlation"], atol=1e-5)
    assert torch.equal(one["distortion"], six["distortion"])


def test_it_trains():
    torch.manual_seed(0)
    x = (torch.rand(200, 6) < 0.2).float()
    history = fit(VAE(6, 2, hidden=(5,)), TCLoss(200, 4.0), x, epochs=15, lr=1e-2)
    assert history.train[-1] < history.train[0] - 0.5
    assert "total correlation" in history.train_terms


# --- what it refuses ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "N", "said"),
    [
        (((4, 2), (4, 3), (4, 2)), 10, "one shape"),
        (((4,), (4,), (4,)), 10, "one shape"),
        (((1, 2), (1, 2), (1, 2)), 10, "at least two"),
        (((4, 2), (4, 2), (4, 2)), 3, "N is 3"),
        (((4, 2), (4, 2), (4, 2)), 10.0, "N is 10.0"),
    ],
)
def test_bad_batches(shapes, N, said):
    with pytest.raises(ValueError, match=said):
        rate_parts(*(torch.zeros(shape) for shape in shapes), N)


@pytest.mark.parametrize("beta", [-1.0, math.inf, math.nan])
def test_bad_beta(beta):
    with pytest.raises(ValueError, match="beta is"):
        TCLoss(10, beta)
