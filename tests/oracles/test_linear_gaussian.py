"""The linear-Gaussian world against scipy, scikit-learn, torch, draws, and itself."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch.distributions import MultivariateNormal, kl_divergence

from course_utils.objectives import gaussian_kl, gaussian_log_prob
from course_utils.oracles.linear_gaussian import (
    LinearGaussian,
    active_rates,
    beta_optimum,
    maximum_likelihood,
    maximum_log_likelihood,
)
from course_utils.oracles.pca import covariance

sizes = st.integers(1, 5)
seeds = st.integers(0, 9999)
sigmas = st.sampled_from([0.05, 0.5, 2.0])
betas = st.sampled_from([0.2, 1.0, 4.0])


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def world(D=4, K=2, sigma=0.5, seed=0):
    return LinearGaussian(normal(D, K, seed=seed), normal(D, seed=seed + 1), sigma)


def spread(*shape, seed=0):
    """Give random covariances, (…, K, K)."""
    root = normal(*shape, shape[-1], seed=seed)
    return root @ root.mT + 0.1 * torch.eye(shape[-1]).double()


def data(N=60, D=5, seed=0):
    """Give correlated data, with their mean and covariance."""
    x = normal(N, D, seed=seed) @ normal(D, D, seed=seed + 1) + normal(D, seed=seed + 2)
    return x, x.mean(0), covariance(x)


# --- density and posterior ----------------------------------------------------------


@given(D=sizes, K=sizes, sigma=sigmas, seed=seeds)
@settings(max_examples=30)
def test_the_density_is_scipys(D, K, sigma, seed):
    model = world(D, K, sigma, seed)
    x = normal(3, D, seed=seed + 2)
    W = model.W.numpy()
    cov = W @ W.T + sigma**2 * np.eye(D)
    want = scipy.stats.multivariate_normal(model.b.numpy(), cov).logpdf(x.numpy())
    want = torch.as_tensor(np.atleast_1d(want))
    assert torch.allclose(model.log_density(x), want, rtol=1e-9, atol=1e-10)


@given(D=sizes, K=sizes, sigma=sigmas, seed=seeds)
@settings(max_examples=30)
def test_the_posterior_is_the_conditional_of_the_joint_gaussian(D, K, sigma, seed):
    """From the joint covariance of (z, x): a D × D system, no square completed."""
    model = world(D, K, sigma, seed)
    x = normal(3, D, seed=seed + 2)
    W, noise = model.W.numpy(), sigma**2 * np.eye(D)
    gain = np.linalg.solve(W @ W.T + noise, W).T  # (K, D)
    mean, cov = model.posterior(x)
    want = (x - model.b).numpy() @ gain.T
    assert np.abs(mean.numpy() - want).max() < 1e-8 * (1 + np.abs(want).max())
    assert np.abs(cov.numpy() - (np.eye(K) - gain @ W)).max() < 1e-9
    at_z = normal(3, K, seed=seed + 3)  # Bayes at any z
    log_joint = MultivariateNormal(torch.zeros(K).double(), torch.eye(K).double())
    log_posterior = MultivariateNormal(mean, cov).log_prob(at_z)
    log_likelihood = gaussian_log_prob(
        x, at_z @ model.W.T + model.b, 2 * math.log(sigma)
    )
    bayes = log_joint.log_prob(at_z) + log_likelihood - model.log_density(x)
    assert torch.allclose(log_posterior, bayes, rtol=1e-8, atol=1e-8)


def test_samples_have_the_moments_of_the_world():
    model = world(seed=5)
    z, x = model.sample(100_000, seed=1)
    assert torch.equal(x, model.sample(100_000, seed=1)[1])
    assert not torch.equal(x, model.sample(100_000, seed=2)[1])
    joint = torch.cat([z, x], 1)
    exact = torch.zeros(6, 6).double()
    exact[:2, :2], exact[2:, 2:] = torch.eye(2), model.covariance
    exact[2:, :2], exact[:2, 2:] = model.W, model.W.T
    centre = torch.cat([torch.zeros(2).double(), model.b])
    variances = torch.diagonal(exact)
    error = (variances / 100_000).sqrt()
    assert ((joint.mean(0) - centre).abs() < 4.5 * error).all()
    # The variance of an entry of a sample covariance is (c_ii c_jj + c_ij²)/N.
    error = ((torch.outer(variances, variances) + exact**2) / 100_000).sqrt()
    assert ((covariance(joint) - exact).abs() < 4.5 * error).all()


# --- the identity and its terms -----------------------------------------------------


@given(N=sizes, D=sizes, K=sizes, sigma=sigmas, seed=seeds, each=st.booleans())
@settings(max_examples=60)
def test_the_identity_holds_for_every_q(N, D, K, sigma, seed, each):
    model = world(D, K, sigma, seed)
    x, mean = normal(N, D, seed=seed + 2), normal(N, K, seed=seed + 3)
    cov = spread(N, K, seed=seed + 4) if each else spread(K, seed=seed + 4)
    terms = model.terms(x, mean, cov)
    assert all(term.shape == (N,) for term in terms)
    residual = model.log_density(x) - (terms.elbo + terms.gap)
    # 1e-10 nat; where sigma is 0.05 the terms reach 1e5 nats: there 12 digits of them.
    assert residual.abs().max() < max(1e-10, 1e-12 * float(terms.distortion.max()))
    assert (terms.gap > -1e-10).all() and (terms.rate > 0).all()


def test_the_identity_holds_to_ten_digits_at_the_sizes_of_the_lesson():
    model = world(D=8, K=3, sigma=0.5, seed=3)
    _, x = model.sample(200, seed=4)
    terms = model.terms(x, normal(200, 3, seed=5), spread(200, 3, seed=6))
    residual = model.log_density(x) - (-terms.distortion - terms.rate + terms.gap)
    assert residual.abs().max() < 1e-10


@given(N=sizes, D=sizes, K=sizes, seed=seeds)
@settings(max_examples=30)
def test_rate_and_gap_are_torchs_divergences(N, D, K, seed):
    model = world(D, K, 0.7, seed)
    x, mean = normal(N, D, seed=seed + 2), normal(N, K, seed=seed + 3)
    cov = spread(N, K, seed=seed + 4)
    terms = model.terms(x, mean, cov)
    q = MultivariateNormal(mean, cov)
    prior = MultivariateNormal(torch.zeros(N, K).double(), torch.eye(K).double())
    true = MultivariateNormal(*model.posterior(x))
    assert torch.allclose(terms.rate, kl_divergence(q, prior), rtol=1e-9, atol=1e-9)
    assert torch.allclose(terms.gap, kl_divergence(q, true), rtol=1e-8, atol=1e-8)


def test_the_distortion_is_the_mean_over_draws():
    model = world(seed=7)
    x, mean, cov = normal(3, 4, seed=8), normal(3, 2, seed=9), spread(3, 2, seed=10)
    z = mean + (torch.linalg.cholesky(cov) @ normal(50_000, 3, 2, 1, seed=11))[..., 0]
    draws = -gaussian_log_prob(x, z @ model.W.T + model.b, 2 * math.log(0.5))
    error = draws.std(0) / math.sqrt(len(draws))
    assert (
        (draws.mean(0) - model.terms(x, mean, cov).distortion).abs() < 4 * error
    ).all()


@given(N=sizes, D=sizes, K=sizes, sigma=sigmas, seed=seeds)
@settings(max_examples=30)
def test_the_gap_is_zero_at_the_posterior_and_nowhere_near_it(N, D, K, sigma, seed):
    model = world(D, K, sigma, seed)
    x = normal(N, D, seed=seed + 2)
    mean, cov = model.posterior(x)
    best = model.terms(x, mean, cov)
    assert (best.gap.abs() < 1e-9).all()
    assert (model.terms(x, mean + 0.01, cov).gap > 1e-6).all()
    assert (model.terms(x, mean, 1.1 * cov).gap > 1e-4).all()


@given(N=sizes, D=sizes, K=sizes, seed=seeds)
@settings(max_examples=20)
def test_a_diagonal_q_is_a_full_one_with_zeros(N, D, K, seed):
    model = world(D, K, 0.7, seed)
    x, mu = normal(N, D, seed=seed + 2), normal(N, K, seed=seed + 3)
    logvar = normal(N, K, seed=seed + 4)
    terms = model.diagonal_terms(x, mu, logvar)
    assert torch.allclose(terms.rate, gaussian_kl(mu, logvar), rtol=1e-10, atol=1e-12)
    full = model.terms(x, mu, torch.stack([row.exp().diag() for row in logvar]))
    for ours, theirs in zip(terms, full, strict=True):
        assert torch.allclose(ours, theirs)
    shared = model.diagonal_terms(x, mu, logvar[0])
    repeated = model.diagonal_terms(x, mu, logvar[:1].expand(N, K))
    for ours, theirs in zip(shared, repeated, strict=True):
        assert torch.allclose(ours, theirs)


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_the_best_diagonal_q_is_what_a_search_finds(beta):
    model, x = world(seed=12), normal(1, 4, seed=13)

    def objective(numbers):
        inputs = torch.tensor(numbers, requires_grad=True)
        terms = model.diagonal_terms(x, inputs[None, :2], inputs[2:])
        value = (terms.distortion + beta * terms.rate).sum()
        (slope,) = torch.autograd.grad(value, inputs)
        return value.item(), slope.numpy()

    found = scipy.optimize.minimize(objective, np.zeros(4), jac=True, tol=1e-12).x
    mu, logvar = model.best_diagonal(x, beta)
    assert np.abs(found[:2] - mu[0].numpy()).max() < 1e-5
    assert np.abs(found[2:] - logvar.numpy()).max() < 1e-5
    _, cov = model.posterior(x, beta)
    assert (logvar.exp() < torch.diagonal(cov)).all()  # too sure of itself
    assert objective(np.concatenate([mu[0], logvar]))[0] <= objective(found)[0] + 1e-10


def test_gradients_are_those_of_finite_differences():
    W, b, x = normal(3, 2, seed=14), normal(3, seed=15), normal(2, 3, seed=16)
    mu, logvar = normal(2, 2, seed=17), normal(2, 2, seed=18)
    root, sigma = normal(2, 2, 2, seed=19), torch.tensor(0.6).double()

    def diagonal(W, b, sigma, mu, logvar):
        return tuple(LinearGaussian(W, b, sigma).diagonal_terms(x, mu, logvar))

    def full(W, b, sigma, mu, root):
        cov = root @ root.mT + torch.eye(2).double()
        return tuple(LinearGaussian(W, b, sigma).terms(x, mu, cov))

    def density(W, b, sigma, x):
        return LinearGaussian(W, b, sigma).log_density(x)

    def best(W, b, sigma, x):
        return LinearGaussian(W, b, sigma).best_beta_objective(x, beta=2.5)

    def ready(*tensors):
        return [tensor.clone().requires_grad_() for tensor in tensors]

    assert torch.autograd.gradcheck(diagonal, ready(W, b, sigma, mu, logvar))
    assert torch.autograd.gradcheck(full, ready(W, b, sigma, mu, root))
    assert torch.autograd.gradcheck(density, ready(W, b, sigma, x))
    assert torch.autograd.gradcheck(best, ready(W, b, sigma, x))


def test_at_the_posterior_the_bound_has_the_slope_of_log_p():
    """There the gap is smallest, so its slope in θ vanishes (q held fixed)."""
    W = normal(3, 2, seed=20).requires_grad_()
    model, x = LinearGaussian(W, normal(3, seed=21), 0.6), normal(5, 3, seed=22)
    mean, cov = (tensor.detach() for tensor in model.posterior(x))
    (bound,) = torch.autograd.grad(model.terms(x, mean, cov).elbo.sum(), W)
    (exact,) = torch.autograd.grad(model.log_density(x).sum(), W)
    assert torch.allclose(bound, exact, rtol=1e-9, atol=1e-9)
    (other,) = torch.autograd.grad(model.terms(x, mean, 2 * cov).elbo.sum(), W)
    assert (other - exact).abs().max() > 0.1


# --- β ------------------------------------------------------------------------------


@given(D=sizes, K=sizes, sigma=sigmas, beta=betas, seed=seeds)
@settings(max_examples=40)
def test_the_best_q_at_beta_reaches_the_best_objective_and_none_is_better(
    D, K, sigma, beta, seed
):
    model = world(D, K, sigma, seed)
    x = normal(3, D, seed=seed + 2)
    mean, cov = model.posterior(x, beta)
    terms = model.terms(x, mean, cov)
    reached = terms.distortion + beta * terms.rate
    assert torch.allclose(reached, model.best_beta_objective(x, beta), rtol=1e-9)
    for other in (
        model.terms(x, mean + 0.05 * normal(3, K, seed=seed + 3), cov),
        model.terms(x, mean, cov * 1.2),
        model.terms(x, mean, cov * 0.8),
        model.terms(x, normal(3, K, seed=seed + 4), spread(K, seed=seed + 5)),
    ):
        assert (other.distortion + beta * other.rate > reached).all()


def test_at_beta_one_the_best_objective_is_minus_log_p():
    model, x = world(seed=23), normal(4, 4, seed=24)
    assert torch.allclose(model.best_beta_objective(x, 1.0), -model.log_density(x))


def average(model, x, beta):
    return float(model.best_beta_objective(x, beta).mean())


@pytest.mark.parametrize("beta", [0.3, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("K", [1, 3, 5])
def test_the_beta_optimum_is_what_a_search_finds(K, beta):
    """Minimising over W and b from random starts never gets below; it gets there."""
    x, mean, cov = data(seed=30)
    sigma = float(torch.linalg.eigvalsh(cov)[2]) ** 0.5  # in the middle
    best = beta_optimum(mean, cov, K, sigma, beta)
    target = average(best, x, beta)

    def objective(numbers):
        inputs = torch.tensor(numbers, requires_grad=True)
        model = LinearGaussian(inputs[5:].reshape(5, K), inputs[:5], sigma)
        value = model.best_beta_objective(x, beta).mean()
        (slope,) = torch.autograd.grad(value, inputs)
        return value.item(), slope.numpy()

    found = [
        scipy.optimize.minimize(
            objective, normal(5 + 5 * K, seed=seed).numpy(), jac=True, method="BFGS"
        ).fun
        for seed in (1, 2)
    ]
    assert min(found) > target - 1e-9
    assert min(found) < target + 1e-4


@given(D=st.integers(1, 5), seed=seeds, beta=betas, sigma=st.sampled_from([0.3, 1.0]))
@settings(max_examples=40)
def test_a_direction_is_active_exactly_above_beta_sigma_squared(D, seed, beta, sigma):
    x, mean, cov = data(40, D, seed)
    K = max(1, D - 1)
    model = beta_optimum(mean, cov, K, sigma, beta)
    eigenvalues = np.linalg.eigvalsh(cov.numpy())[::-1][:K]
    active = eigenvalues > beta * sigma**2
    loadings = (model.W**2).sum(0).numpy()
    assert ((loadings > 0) == active).all()
    assert np.allclose(loadings, np.clip(eigenvalues - beta * sigma**2, 0, None))
    rates = active_rates(cov, K, sigma, beta)
    assert ((rates > 0).numpy() == active).all()
    # The formula against the world's own rates, averaged over the data.
    mu, logvar = model.best_diagonal(x, beta)
    each = [gaussian_kl(mu[:, [k]], logvar[k].expand(len(x), 1)) for k in range(K)]
    averages = torch.stack(each, 1).mean(0)
    assert torch.allclose(rates, averages, rtol=1e-9, atol=1e-12)
    _, full = model.posterior(x, beta)  # along principal axes q_β is diagonal anyway
    assert torch.allclose(full, torch.diag(logvar.exp()), atol=1e-12)


# --- maximum likelihood -------------------------------------------------------------


@pytest.mark.parametrize("K", [1, 2, 4])
def test_the_maximum_is_scikit_learns(K):
    x, mean, cov = data(seed=40)
    N, D = x.shape
    model = maximum_likelihood(mean, cov, K)
    # scikit-learn divides by N − 1; on moments with divisor N its answer is ours.
    pca = PCA(K).fit(x.numpy())
    theirs = pca.get_covariance() * (N - 1) / N
    assert np.abs(model.covariance.numpy() - theirs).max() < 1e-9
    want = (
        scipy.stats.multivariate_normal(mean.numpy(), theirs).logpdf(x.numpy()).mean()
    )
    assert float(model.log_density(x).mean()) == pytest.approx(want, abs=1e-9)
    assert float(maximum_log_likelihood(cov, K)) == pytest.approx(want, abs=1e-9)


@given(D=st.integers(2, 5), seed=seeds, part=st.data())
@settings(max_examples=40)
def test_the_likelihood_is_flat_at_the_maximum_and_lower_elsewhere(D, seed, part):
    K = part.draw(st.integers(1, D - 1))
    x, mean, cov = data(40, D, seed)
    best = maximum_likelihood(mean, cov, K)
    W, b = best.W.clone().requires_grad_(), best.b.clone().requires_grad_()
    sigma = torch.as_tensor(best.sigma, dtype=torch.float64).requires_grad_()
    top = LinearGaussian(W, b, sigma).log_density(x).mean()
    slopes = torch.autograd.grad(top, (W, b, sigma))
    size = 1 / float(sigma.detach())  # slopes are in nats per unit of x
    assert all(slope.abs().max() < 1e-7 * size for slope in slopes)
    assert top.item() == pytest.approx(float(maximum_log_likelihood(cov, K)), abs=1e-8)
    generator = torch.Generator().manual_seed(seed)
    for change in (0.01, 0.3):
        shift = torch.randn(D, K, generator=generator, dtype=torch.float64)
        other = LinearGaussian(
            best.W + change * shift, best.b, best.sigma * (1 + change)
        )
        assert float(other.log_density(x).mean()) < top.item()


@given(D=st.integers(1, 5), seed=seeds, sigma=st.sampled_from([0.2, 1.0, 5.0]))
@settings(max_examples=30)
def test_with_sigma_fixed_the_maximum_is_the_optimum_at_beta_one(D, seed, sigma):
    x, mean, cov = data(40, D, seed)
    for K in range(1, D + 1):
        model = beta_optimum(mean, cov, K, sigma)
        want = float(model.log_density(x).mean())
        got = float(maximum_log_likelihood(cov, K, sigma))
        assert got == pytest.approx(want, rel=1e-9, abs=1e-9)


# --- misuse -------------------------------------------------------------------------


def zeros(*shape):
    return torch.zeros(shape, dtype=torch.float64)


GOOD = world()
EYE = torch.eye(2, dtype=torch.float64)
NAN = torch.full((4, 2), math.nan, dtype=torch.float64)
MISUSE = {
    "W": (lambda: LinearGaussian(zeros(3), zeros(3), 1.0), r"W has shape \(3,\)"),
    "b": (lambda: LinearGaussian(zeros(3, 2), zeros(2), 1.0), r"b \(2,\); expected"),
    "empty": (lambda: LinearGaussian(zeros(3, 0), zeros(3), 1.0), r"\(3, 0\)"),
    "single": (
        lambda: LinearGaussian(torch.zeros(3, 2), zeros(3), 1.0),
        "W is torch.float32; expected torch.float64",
    ),
    "nan": (lambda: LinearGaussian(NAN, zeros(4), 1.0), "W holds NaN"),
    "sigma": (lambda: LinearGaussian(zeros(3, 2), zeros(3), 0.0), "sigma is 0.0"),
    "sigma nan": (
        lambda: LinearGaussian(zeros(3, 2), zeros(3), math.nan),
        "sigma is nan",
    ),
    "sigma shape": (
        lambda: LinearGaussian(zeros(3, 2), zeros(3), zeros(1) + 1),
        r"sigma is a tensor torch.float64 of shape \(1,\)",
    ),
    "x": (lambda: GOOD.log_density(zeros(3, 5)), r"x has shape \(3, 5\).*\(N, 4\)"),
    "x empty": (lambda: GOOD.log_density(zeros(0, 4)), "N ≥ 1"),
    "x single": (lambda: GOOD.posterior(torch.zeros(3, 4)), "x is torch.float32"),
    "x nan": (lambda: GOOD.log_density(NAN.T.repeat(2, 1)), "x holds NaN"),
    "mean": (lambda: GOOD.terms(zeros(3, 4), zeros(2), EYE), r"mean has shape \(2,\)"),
    "cov": (
        lambda: GOOD.terms(zeros(3, 4), zeros(3, 2), zeros(3, 2)),
        r"covariance \(3, 2\); expected \(3, 2\), and \(2, 2\) or \(3, 2, 2\)",
    ),
    "cov negative": (
        lambda: GOOD.terms(zeros(3, 4), zeros(3, 2), -EYE),
        "covariance is not symmetric and positive definite",
    ),
    "cov lopsided": (
        lambda: GOOD.terms(
            zeros(3, 4), zeros(3, 2), EYE + torch.tensor([[0, 0.1], [0, 0]])
        ),
        "not symmetric",
    ),
    "logvar": (
        lambda: GOOD.diagonal_terms(zeros(3, 4), zeros(3, 2), zeros(3)),
        r"logvar has shape \(3,\); expected \(3, 2\) or \(2,\)",
    ),
    "beta": (lambda: GOOD.posterior(zeros(3, 4), beta=0.0), "beta is 0.0"),
    "beta best": (lambda: GOOD.best_beta_objective(zeros(3, 4), -1.0), "beta is -1.0"),
    "K": (lambda: beta_optimum(zeros(2), EYE, 3, 1.0), "K is 3; expected .* D = 2"),
    "K true": (lambda: beta_optimum(zeros(2), EYE, True, 1.0), "K is True"),
    "moments": (lambda: beta_optimum(zeros(3), EYE, 1, 1.0), r"mean has shape \(3,\)"),
    "no covariance": (
        lambda: beta_optimum(zeros(2), -EYE, 1, 1.0),
        "cov has the eigenvalue -1; expected none below 0",
    ),
    "rates": (lambda: active_rates(EYE, 1, -1.0), "sigma is -1.0"),
    "K is D": (lambda: maximum_likelihood(zeros(2), EYE, 2), "at most D − 1"),
    "no noise": (
        lambda: maximum_likelihood(zeros(2), torch.diag(EYE[0]), 1),
        "lie in 1 dimensions or fewer, so the likelihood has no maximum",
    ),
    "likelihood": (lambda: maximum_log_likelihood(EYE, 1, 0.0), "sigma is 0.0"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_named(name):
    call, said = MISUSE[name]
    with pytest.raises(ValueError, match=said):
        call()
