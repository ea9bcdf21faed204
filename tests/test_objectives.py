"""The losses and bounds against torch, scipy, quadrature, draws and differences."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import (
    Bernoulli,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)
from torch.nn import functional

from course_utils.objectives import (
    LEAST_SIGMA,
    bernoulli_log_prob,
    beta_objective,
    bounded_logvar,
    elbo,
    gaussian_kl,
    gaussian_kl_pair,
    gaussian_kl_terms,
    gaussian_log_prob,
    iwae_bound,
    log_mean_exp,
    squared_error,
)

sizes = st.integers(1, 6)
seeds = st.integers(0, 9999)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# --- squared error ------------------------------------------------------------------


def pair(N, D, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, N, D, generator=generator, dtype=torch.float64)


@given(N=st.integers(1, 7), D=st.integers(1, 7), seed=st.integers(0, 999))
@settings(max_examples=30)
def test_it_is_d_times_the_mean_of_torch(N, D, seed):
    x, x_hat = pair(N, D, seed)
    got = squared_error(x, x_hat)
    assert got.shape == () and got.dtype == torch.float64
    assert float(got) == pytest.approx(D * float(functional.mse_loss(x, x_hat)), 1e-12)
    loops = sum((float(x[n, d]) - float(x_hat[n, d])) ** 2
                for n in range(N) for d in range(D)) / N  # fmt: skip
    assert float(got) == pytest.approx(loops, rel=1e-12)


@given(N=st.integers(1, 6), D=st.integers(1, 6), seed=st.integers(0, 999))
@settings(max_examples=20)
def test_it_is_a_mean_over_the_batch(N, D, seed):
    x, x_hat = pair(N, D, seed)
    alone = [squared_error(x[n : n + 1], x_hat[n : n + 1]) for n in range(N)]
    assert torch.allclose(squared_error(x, x_hat), torch.stack(alone).mean())
    twice = squared_error(x.repeat(2, 1), x_hat.repeat(2, 1))
    assert torch.allclose(squared_error(x, x_hat), twice)
    assert float(squared_error(x, x.clone())) == 0


def test_its_gradient_is_that_of_finite_differences():
    x, x_hat = pair(4, 3, 0)
    assert torch.autograd.gradcheck(
        lambda a, b: squared_error(a, b),
        (x.requires_grad_(), x_hat.requires_grad_()),
    )
    (gradient,) = torch.autograd.grad(squared_error(x, x_hat), x_hat)
    assert torch.allclose(gradient, 2 * (x_hat - x) / 4)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((3, 4), (3, 5)),
        ((3, 4), (1, 4)),  # would broadcast
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (2, 3, 4)),
        ((0, 4), (0, 4)),  # the mean of nothing
    ],
)
def test_it_names_wrong_shapes(first, second):
    with pytest.raises(ValueError, match=r"x has shape \(.*\), x_hat \(.*\); expected"):
        squared_error(torch.zeros(first), torch.zeros(second))


# --- KL divergences -----------------------------------------------------------------


def torch_normal(mu, logvar):
    return Independent(Normal(mu, (logvar / 2).exp()), 1)


@given(N=sizes, K=sizes, seed=seeds)
@settings(max_examples=30)
def test_the_kls_are_those_of_torch(N, K, seed):
    mu_q, logvar_q, mu_p, logvar_p = normal(4, N, K, seed=seed)
    q, p = torch_normal(mu_q, logvar_q), torch_normal(mu_p, logvar_p)
    got = gaussian_kl_pair(mu_q, logvar_q, mu_p, logvar_p)
    assert got.shape == (N,)
    assert torch.allclose(got, kl_divergence(q, p), rtol=1e-12, atol=1e-12)
    prior = torch_normal(torch.zeros(N, K).double(), torch.zeros(N, K).double())
    got = gaussian_kl(mu_q, logvar_q)
    assert torch.allclose(got, kl_divergence(q, prior), rtol=1e-12, atol=1e-12)
    shared = gaussian_kl_pair(mu_q, logvar_q, mu_p[0], logvar_p[0])
    repeated = gaussian_kl_pair(
        mu_q, logvar_q, mu_p[:1].expand(N, K), logvar_p[:1].expand(N, K)
    )
    assert torch.equal(shared, repeated)


@given(N=sizes, K=sizes, seed=seeds)
@settings(max_examples=30)
def test_the_terms_are_those_of_torch_and_add_up_to_the_rate(N, K, seed):
    mu, logvar = normal(2, N, K, seed=seed)
    got = gaussian_kl_terms(mu, logvar)
    assert got.shape == (N, K)
    each = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0))
    assert torch.allclose(got, each, rtol=1e-12, atol=1e-12)
    rate = gaussian_kl(mu, logvar)
    assert torch.allclose(got.sum(1), rate, rtol=1e-14, atol=0)
    assert (got >= 0).all()
    # A latent's term does not see the others.
    assert torch.equal(got[:, :1], gaussian_kl_terms(mu[:, :1], logvar[:, :1]))


def test_the_terms_keep_their_digits_near_the_prior():
    """½ (v + v²/2 + …) − ½ v: a quarter of v² where v = log σ² is near 0."""
    v = torch.tensor([[1e-7, -1e-7, 1e-6]], dtype=torch.float64)
    got = gaussian_kl_terms(torch.zeros_like(v), v)
    assert torch.allclose(got, v**2 / 4, rtol=1e-4, atol=0)


def test_the_pair_is_the_integral_in_both_orders():
    numbers = [torch.tensor([[v]], dtype=torch.float64) for v in (0.4, -1.0, -0.8, 0.7)]
    first = scipy.stats.norm(0.4, math.exp(-0.5))
    second = scipy.stats.norm(-0.8, math.exp(0.35))

    def integral(q, p):
        return scipy.integrate.quad(
            lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -12, 12,
            epsabs=1e-13, epsrel=1e-13, points=(-1, 0, 1),
        )[0]  # fmt: skip

    there = float(gaussian_kl_pair(*numbers))
    back = float(gaussian_kl_pair(*numbers[2:], *numbers[:2]))
    assert there == pytest.approx(integral(first, second), abs=1e-10)
    assert back == pytest.approx(integral(second, first), abs=1e-10)
    assert abs(there - back) > 0.1  # or the order would not be tested


@given(N=sizes, K=sizes, seed=seeds, size=st.sampled_from([1e-9, 1e-4, 1.0, 5.0]))
@settings(max_examples=40)
def test_kl_is_not_negative_and_adds_over_dimensions(N, K, seed, size):
    mu_q, logvar_q, mu_p, logvar_p = normal(4, N, K, seed=seed)
    mu_q, logvar_q = mu_p + size * mu_q, logvar_p + size * logvar_q  # near p or far
    got = gaussian_kl_pair(mu_q, logvar_q, mu_p, logvar_p)
    assert (got > 0).all()
    each = sum(
        gaussian_kl_pair(*(t[:, [k]] for t in (mu_q, logvar_q, mu_p, logvar_p)))
        for k in range(K)
    )
    assert torch.allclose(got, each, rtol=1e-12, atol=0)
    same = gaussian_kl_pair(mu_p, logvar_p, mu_p, logvar_p)
    assert (same == 0).all()


def test_kl_keeps_its_digits_near_the_prior():
    logvar = torch.tensor([[1e-4]])  # float32, where exp(v) − v − 1 keeps no digit
    want = 0.5 * (math.expm1(1e-4) - 1e-4)
    assert float(gaussian_kl(torch.zeros(1, 1), logvar)) == pytest.approx(
        want, rel=1e-2
    )


def test_kl_is_the_mean_over_draws():
    mu, logvar, other, other_logvar = normal(4, 2, 3, seed=1)
    z = mu + (logvar / 2).exp() * normal(40_000, 2, 3, seed=2)
    log_q = gaussian_log_prob(z, mu, logvar)  # (S, N)
    log_p = gaussian_log_prob(z, other, other_logvar)
    draws = log_q - log_p
    error = draws.std(0) / math.sqrt(len(draws))
    exact = gaussian_kl_pair(mu, logvar, other, other_logvar)
    assert ((draws.mean(0) - exact).abs() < 4 * error).all()
    assert (error < 0.02 * exact).all()  # sharp enough to tell


# --- likelihoods --------------------------------------------------------------------


@given(N=sizes, D=sizes, seed=seeds, size=st.sampled_from([0.1, 3.0, 100.0]))
@settings(max_examples=30)
def test_the_bernoulli_is_that_of_torch(N, D, seed, size):
    logits = size * normal(N, D, seed=seed)
    x = (normal(N, D, seed=seed + 1) > 0).double()
    want = Bernoulli(logits=logits).log_prob(x).sum(1)
    got = bernoulli_log_prob(x, logits)
    assert torch.allclose(got, want, rtol=1e-12, atol=1e-12) and got.shape == (N,)
    loop = [
        sum(
            -np.logaddexp(0, -float(l)) if float(v) else -np.logaddexp(0, float(l))
            for v, l in zip(row, at, strict=True)
        )
        for row, at in zip(x, logits, strict=True)
    ]
    assert np.allclose(got.numpy(), loop, rtol=1e-12, atol=1e-12)


def test_the_bernoulli_sums_to_one_over_all_images():
    logits = normal(1, 4, seed=3)
    images = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 4)  # (16, 4)
    total = bernoulli_log_prob(images, logits.expand(16, 4)).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-13)


def test_on_grey_values_it_is_no_density():
    """The integral over [0, 1] is not 1: (e^l − 1) / (l (1 + e^l)) at logit l."""
    logit = torch.tensor([[2.0]], dtype=torch.float64)
    integral = scipy.integrate.quad(
        lambda v: float(bernoulli_log_prob(torch.full_like(logit, v), logit).exp()),
        0,
        1,
    )[0]
    assert integral == pytest.approx(math.tanh(1) / 2, abs=1e-10)
    assert integral < 0.5


def test_extreme_logits_stay_finite_in_single_precision():
    x = torch.tensor([[0.0, 1.0, 0.0, 1.0]])
    logits = torch.tensor([[-200.0, 200.0, 200.0, -200.0]], requires_grad=True)
    got = bernoulli_log_prob(x, logits)
    assert got.item() == -400
    got.sum().backward()
    assert logits.grad.tolist() == [[0, 0, -1, 1]]


@pytest.mark.parametrize("kind", ["number", "scalar", "pixel", "full"])
def test_the_gaussian_is_that_of_scipy(kind):
    x, mean = normal(2, 5, 3, seed=4)
    logvar = {
        "number": 0.6,
        "scalar": torch.tensor(0.6).double(),
        "pixel": normal(3, seed=5),
        "full": normal(5, 3, seed=6),
    }[kind]
    scale = np.exp(np.asarray(logvar) / 2)
    want = scipy.stats.norm.logpdf(x.numpy(), mean.numpy(), scale).sum(1)
    got = gaussian_log_prob(x, mean, logvar)
    assert got.shape == (5,) and np.allclose(got.numpy(), want, rtol=1e-12, atol=1e-12)


def test_a_single_precision_model_stays_in_single_precision():
    x = torch.zeros(2, 3)
    assert gaussian_log_prob(x, x, 0.5).dtype == torch.float32
    assert bernoulli_log_prob(x, x).dtype == torch.float32


@given(S=sizes, N=sizes, D=sizes, seed=seeds)
@settings(max_examples=20)
def test_samples_are_taken_one_by_one(S, N, D, seed):
    x, logvar = torch.sigmoid(normal(N, D, seed=seed)), normal(N, D, seed=seed + 1)
    mean = normal(S, N, D, seed=seed + 2)

    def density(x, mean):
        return gaussian_log_prob(x, mean, logvar)

    for got, one in [
        (bernoulli_log_prob(x, mean), bernoulli_log_prob),
        (density(x, mean), density),
        (density(mean, x), lambda x, mean: density(mean, x)),
    ]:
        assert got.shape == (S, N)
        for s in range(S):
            assert torch.allclose(got[s], one(x, mean[s]), rtol=1e-12)


@given(raw=st.floats(-1e4, 1e4), least=st.floats(1e-3, 1.0))
def test_the_bound_holds_and_lets_the_rest_pass(raw, least):
    got = float(bounded_logvar(torch.tensor(raw, dtype=torch.float64), least))
    low = 2 * math.log(least)
    assert got >= low - 1e-12
    assert max(raw, low) - 1e-9 <= got <= max(raw, low) + math.log(2) + 1e-9
    if raw > low + 20:
        assert got == pytest.approx(raw, abs=1e-8)


def test_without_the_bound_the_likelihood_has_no_limit():
    x = torch.rand(1, 3, generator=torch.Generator().manual_seed(0)).double()
    raw = torch.tensor(-40.0).double()
    assert float(gaussian_log_prob(x, x, raw)) > 50
    limit = -3 * math.log(LEAST_SIGMA * math.sqrt(2 * math.pi))
    assert float(gaussian_log_prob(x, x, bounded_logvar(raw))) <= limit
    raw = torch.linspace(-30, 10, 200).double().requires_grad_()
    bounded_logvar(raw).sum().backward()
    assert (raw.grad > 0).all() and (raw.grad <= 1).all()


# --- bounds -------------------------------------------------------------------------


def test_the_elbo_keeps_its_terms_apart():
    log_likelihood, rate = normal(4, 3, seed=7), normal(3, seed=8) ** 2
    terms = elbo(log_likelihood, rate)
    assert torch.allclose(terms.distortion, -log_likelihood.mean(0))
    assert torch.equal(terms.rate, rate)
    assert torch.allclose(terms.elbo, -terms.distortion - terms.rate)
    one = elbo(log_likelihood[0], rate)
    assert torch.equal(one.distortion, -log_likelihood[0]) and one.elbo.shape == (3,)
    assert torch.allclose(beta_objective(terms, 1.0), -terms.elbo)
    assert torch.allclose(beta_objective(terms, 4.0), terms.distortion + 4 * rate)
    assert torch.equal(beta_objective(terms, 0.0), terms.distortion)


@given(S=sizes, N=sizes, seed=seeds, shift=st.sampled_from([-1e4, 0.0, 1e4]))
@settings(max_examples=30)
def test_log_mean_exp_is_scipys_and_does_not_overflow(S, N, seed, shift):
    values = 3 * normal(S, N, seed=seed) + shift
    want = scipy.special.logsumexp(values.numpy(), axis=0, b=1 / S)
    assert np.allclose(log_mean_exp(values).numpy(), want, rtol=1e-13, atol=1e-12)
    assert torch.equal(iwae_bound(values), log_mean_exp(values))
    assert torch.allclose(log_mean_exp(values.T, dim=-1), log_mean_exp(values))
    assert (log_mean_exp(values) <= values.max(0).values + 1e-9).all()
    assert (log_mean_exp(values) >= values.mean(0) - 1e-9).all()  # Jensen


def test_a_weight_of_zero_counts():
    log_weights = torch.tensor([[-math.inf, -math.inf], [0.0, -math.inf]])
    assert iwae_bound(log_weights).tolist() == pytest.approx([-math.log(2), -math.inf])


def test_the_bounds_rise_towards_log_p_in_expectation():
    """For x = z + noise, log p(x) = log N(x; 0, 2), and q is too wide."""
    x = torch.tensor([[1.5]]).double()
    zero, mu = torch.zeros(1, 1).double(), torch.tensor([[0.2]]).double()
    exact = scipy.stats.norm.logpdf(1.5, 0, math.sqrt(2))
    means, errors = [], []
    for S in (1, 3, 30):
        z = mu + normal(S * 20_000, 1, 1, seed=S)
        log_weights = (
            gaussian_log_prob(x, z, 0.0)
            + gaussian_log_prob(z, zero, 0.0)
            - gaussian_log_prob(z, mu, 0.0)
        )
        bound = iwae_bound(log_weights.reshape(S, 20_000))
        means.append(float(bound.mean()))
        errors.append(float(bound.std()) / math.sqrt(20_000))
    # At S = 1 the expectation is the ELBO: E(x−z)² = 1.3² + 1, KL = ½·0.2².
    want = -0.5 * math.log(2 * math.pi) - 0.5 * (1.3**2 + 1) - 0.5 * 0.2**2
    assert abs(means[0] - want) < 4 * errors[0]
    for less, more, error in zip(means, [*means[1:], exact], errors, strict=True):
        assert more - less > -4 * error
    assert means[0] + 0.3 < means[1] < means[2]
    assert exact - means[2] < 0.1


def test_gradients_are_those_of_finite_differences():
    mu, logvar, other, other_logvar = normal(4, 2, 3, seed=9)
    x = torch.sigmoid(normal(2, 3, seed=10))
    logits = normal(4, 2, 3, seed=11)

    def check(f, *inputs):
        assert torch.autograd.gradcheck(f, [t.clone().requires_grad_() for t in inputs])

    check(gaussian_kl, mu, logvar)
    check(gaussian_kl_pair, mu, logvar, other, other_logvar)
    check(lambda l: bernoulli_log_prob(x, l), logits)
    check(lambda m, v: gaussian_log_prob(x, m, v), mu, logvar)
    check(lambda m, v: gaussian_log_prob(x, m, v), logits, logvar[0])
    check(lambda m, v: gaussian_log_prob(x, m, v), mu, torch.tensor(0.3).double())
    check(bounded_logvar, torch.linspace(-15, 3, 5).double())
    check(iwae_bound, logvar)


def test_the_whole_bound_is_below_log_p_of_a_full_gaussian():
    """The pieces together, against the marginal of a linear decoder."""
    W, b = normal(3, 2, seed=12), normal(3, seed=13)
    x = normal(4, 3, seed=14)
    cov = W @ W.T + 0.25 * torch.eye(3).double()
    exact = MultivariateNormal(b, cov).log_prob(x)
    mu, logvar = normal(4, 2, seed=15) * 0.3, torch.full((4, 2), -1.0).double()
    z = mu + (logvar / 2).exp() * normal(5000, 4, 2, seed=16)
    log_likelihood = gaussian_log_prob(x, z @ W.T + b, 2 * math.log(0.5))
    terms = elbo(log_likelihood, gaussian_kl(mu, logvar))
    error = log_likelihood.std(0) / math.sqrt(5000)
    assert (terms.elbo - 4 * error < exact).all()
    zero = torch.zeros(4, 2).double()
    bound = iwae_bound(
        log_likelihood
        + gaussian_log_prob(z, zero, 0.0)
        - gaussian_log_prob(z, mu, logvar)
    )
    assert (bound > terms.elbo).all()


# --- misuse -------------------------------------------------------------------------


def zeros(*shape):
    return torch.zeros(shape)


TERMS = elbo(zeros(2), zeros(2))
MISUSE = {
    "kl shapes": (lambda: gaussian_kl(zeros(2, 3), zeros(2, 1)), r"logvar \(2, 1\)"),
    "kl 1-d": (lambda: gaussian_kl(zeros(3), zeros(3)), r"\(N, K\)"),
    "kl terms": (lambda: gaussian_kl_terms(zeros(3), zeros(3)), r"\(N, K\)"),
    "kl empty": (lambda: gaussian_kl(zeros(0, 3), zeros(0, 3)), "N ≥ 1"),
    "pair q": (
        lambda: gaussian_kl_pair(zeros(2, 3), zeros(3), zeros(3), zeros(3)),
        r"mu_q has shape \(2, 3\), logvar_q \(3,\)",
    ),
    "pair p": (
        lambda: gaussian_kl_pair(*[zeros(2, 3)] * 2, zeros(1, 3), zeros(1, 3)),
        r"mu_p has shape \(1, 3\).*expected \(2, 3\) as mu_q, or \(3,\)",
    ),
    "pair p apart": (
        lambda: gaussian_kl_pair(*[zeros(2, 3)] * 2, zeros(2, 3), zeros(3)),
        "for both",
    ),
    "coin shapes": (
        lambda: bernoulli_log_prob(zeros(2, 3), zeros(2, 4)),
        r"x \(2, 3\), logits \(2, 4\)",
    ),
    "coin broadcast": (lambda: bernoulli_log_prob(zeros(1, 3), zeros(2, 3)), "fit"),
    "coin samples": (lambda: bernoulli_log_prob(zeros(4, 2, 3), zeros(5, 2, 3)), "fit"),
    "coin image": (lambda: bernoulli_log_prob(zeros(3), zeros(3)), r"\(N, D\)"),
    "coin empty": (lambda: bernoulli_log_prob(zeros(2, 0), zeros(2, 0)), "empty"),
    "coin integers": (
        lambda: bernoulli_log_prob(zeros(2, 3).long(), zeros(2, 3)),
        "floating-point numbers, got x torch.int64",
    ),
    "coin above": (
        lambda: bernoulli_log_prob(zeros(2, 3) + 16, zeros(2, 3)),
        r"x lies in \[16, 16\]; expected values in \[0, 1\]",
    ),
    "coin below": (
        lambda: bernoulli_log_prob(torch.tensor([[-0.5, 1]]), zeros(1, 2)),
        r"\[-0.5, 1\]",
    ),
    "coin nan": (
        lambda: bernoulli_log_prob(torch.tensor([[0.5, math.nan]]), zeros(1, 2)),
        "nan",
    ),
    "gauss shapes": (
        lambda: gaussian_log_prob(zeros(2, 3), zeros(2, 4), 0.0),
        r"mean \(2, 4\)",
    ),
    "gauss logvar": (
        lambda: gaussian_log_prob(zeros(2, 3), zeros(2, 3), zeros(2)),
        r"logvar has shape \(2,\); expected \(\), \(3,\)",
    ),
    "gauss logvar column": (
        lambda: gaussian_log_prob(zeros(2, 3), zeros(2, 3), zeros(2, 1)),
        r"logvar \(2, 1\)",
    ),
    "gauss number": (
        lambda: gaussian_log_prob(zeros(2, 3), zeros(2, 3), math.inf),
        "logvar is inf",
    ),
    "gauss nan": (
        lambda: gaussian_log_prob(zeros(2, 3) * math.nan, zeros(2, 3), 0.0),
        "x holds NaN",
    ),
    "bound zero": (lambda: bounded_logvar(zeros(1), 0.0), "least_sigma is 0.0"),
    "bound nan": (lambda: bounded_logvar(zeros(1), math.nan), "least_sigma is nan"),
    "elbo mean": (lambda: elbo(zeros(3).mean(), zeros(3)), r"shape \(\); expected \(3"),
    "elbo pixels": (lambda: elbo(zeros(3, 8), zeros(3)), r"shape \(3, 8\)"),
    "elbo rate": (lambda: elbo(zeros(3), zeros(3, 2)), "rate has shape"),
    "elbo rate mean": (lambda: elbo(zeros(3), zeros()), r"rate has shape \(\)"),
    "elbo samples": (lambda: elbo(zeros(0, 3), zeros(3)), "no sample"),
    "beta negative": (lambda: beta_objective(TERMS, -1.0), "beta is -1.0"),
    "beta nan": (lambda: beta_objective(TERMS, math.nan), "beta is nan"),
    "lme number": (lambda: log_mean_exp(zeros()), r"shape \(\)"),
    "lme empty": (lambda: log_mean_exp(zeros(0, 2)), "at least one value"),
    "lme dim": (lambda: log_mean_exp(zeros(2), dim=1), "dimension 1"),
    "iwae 1-d": (lambda: iwae_bound(zeros(3)), r"\(S, N\)"),
    "iwae empty": (lambda: iwae_bound(zeros(0, 3)), "S ≥ 1"),
    "iwae dims": (lambda: iwae_bound(zeros(2, 3, 4)), r"shape \(2, 3, 4\)"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_named(name):
    call, said = MISUSE[name]
    with pytest.raises(ValueError, match=said):
        call()


def test_a_models_nan_comes_out_as_nan():
    bad = torch.tensor([[math.nan]])
    assert gaussian_kl(bad, zeros(1, 1)).isnan().all()
    assert bernoulli_log_prob(zeros(1, 1), bad).isnan().all()
    assert gaussian_log_prob(zeros(1, 1), bad, 0.0).isnan().all()
