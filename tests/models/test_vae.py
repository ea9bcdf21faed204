"""Every VAE passes as the sheet draws it; its loss and terms are what torch says."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.models import (
    VAE,
    Bernoulli,
    ConvVAE,
    Gaussian,
    LinearVAE,
    elbo_loss,
)
from course_utils.objectives import bounded_logvar, gaussian_kl, gaussian_log_prob
from course_utils.training import TrainingStopped, fit


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


SIGMAS = [("fixed", 0.1), ("scalar", 0.3), ("pixel", 0.3)]
KINDS = [("bernoulli", "fixed", 1.0)] + [("gaussian", *pair) for pair in SIGMAS]


def build(kind, likelihood, noise, sigma):
    torch.manual_seed(0)
    settings = {"likelihood": likelihood, "noise": noise, "sigma": sigma}
    if kind is VAE:
        return VAE(64, 3, (7, 5), **settings).double()
    return ConvVAE(8, 3, (4, 5), **settings).double()


@pytest.mark.parametrize("kind", [VAE, ConvVAE])
@pytest.mark.parametrize("settings", KINDS)
def test_a_vae_passes_as_the_sheet_draws_it(kind, settings):
    model = build(kind, *settings)
    x = torch.rand(6, 64, generator=seeded(), dtype=torch.float64)
    x_given_z, mu, logvar, z = model(x, seeded(3))
    raw = model.encoder(x)
    assert torch.equal(mu, raw[:, :3]) and torch.equal(logvar, raw[:, 3:])
    eps = torch.randn(6, 3, generator=seeded(3), dtype=torch.float64)
    assert torch.allclose(z, mu + logvar.exp().sqrt() * eps, atol=1e-14)
    outputs = model.decoder(z)
    if settings[0] == "bernoulli":
        assert isinstance(x_given_z, Bernoulli)
        assert torch.equal(x_given_z.logits, outputs) and outputs.shape == (6, 64)
        assert torch.allclose(x_given_z.mean, 1 / (1 + (-outputs).exp()))
    else:
        assert isinstance(x_given_z, Gaussian)
        assert torch.equal(x_given_z.mean, outputs[:, :64])
        want = (6, 64) if settings[1] == "pixel" else ()
        assert x_given_z.logvar.shape == want
    means = model.decode(mu).mean
    assert torch.equal(model.reconstruct(x), means) and means.shape == (6, 64)


@pytest.mark.parametrize("kind", [VAE, ConvVAE])
@pytest.mark.parametrize("settings", KINDS)
def test_every_weight_of_a_vae_gets_a_gradient(kind, settings):
    model = build(kind, *settings)
    x_given_z, mu, logvar, _ = model(torch.rand(9, 64, dtype=torch.float64), seeded())
    total = gaussian_kl(mu, logvar).sum()
    for value in x_given_z:
        total = total + value.square().sum()
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("sigma", [0.02, 0.1, 1.0, 5.0])
def test_a_sigma_starts_where_it_should(sigma):
    z = torch.zeros(2, 3, dtype=torch.float64)
    for noise, error in (("fixed", 1e-15), ("scalar", 1e-6)):
        model = VAE(4, 3, (5,), "gaussian", noise=noise, sigma=sigma).double()
        logvar = model.decode(z).logvar
        assert logvar.exp().sqrt().item() == pytest.approx(sigma, rel=error)
    model = VAE(4, 3, (5,), "gaussian", noise="pixel", sigma=sigma).double()
    nn.init.zeros_(model.decoder[-1].weight)
    nn.init.zeros_(model.decoder[-1].bias)
    assert torch.allclose(model.decode(z).logvar.exp().sqrt(), z.new_tensor(sigma))


@pytest.mark.parametrize("noise", ["scalar", "pixel"])
def test_a_learned_sigma_stays_above_its_bound_and_keeps_a_slope(noise):
    model = VAE(4, 3, (5,), "gaussian", noise=noise, least_sigma=0.05).double()
    last = model.decoder[-1]
    raw = model.likelihood.raw if noise == "scalar" else last.bias
    for value in (-1000.0, -30.0, -8.0, 0.0, 3.0):
        with torch.no_grad():
            raw.fill_(value)
        logvar = model.decode(torch.zeros(1, 3, dtype=torch.float64)).logvar
        assert (logvar.exp().sqrt() >= 0.05 * (1 - 1e-12)).all()
        raw.grad = None
        logvar.sum().backward()
        assert value < -100 or (raw.grad[-4:] if raw.ndim else raw.grad).min() > 0


def test_the_bound_is_the_one_of_the_objectives():
    model = VAE(4, 3, (5,), "gaussian", noise="scalar", least_sigma=0.05).double()
    raw = torch.linspace(-20, 20, 9, dtype=torch.float64)
    assert torch.allclose(
        model.likelihood.bounded(raw), bounded_logvar(raw, 0.05), atol=1e-12
    )


def test_samples_follow_their_distribution():
    p = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    drawn = Bernoulli(torch.logit(p).expand(20_000, 3)).sample(seeded())
    assert set(drawn.unique().tolist()) == {0, 1}
    assert ((drawn.mean(0) - p).abs() < 4 * (p * (1 - p) / 20_000).sqrt()).all()
    for logvar in (torch.tensor(-2.0), torch.tensor([[-2.0, 0.0, 1.0]])):
        wide = logvar if logvar.ndim == 0 else logvar.expand(20_000, 3)
        drawn = Gaussian(p.float().expand(20_000, 3), wide).sample(seeded(1))
        sigma = logvar.exp().sqrt()
        assert ((drawn.mean(0) - p).abs() < 4 * sigma / math.sqrt(20_000)).all()
        assert ((drawn.std(0) / sigma - 1).abs() < 4 / math.sqrt(40_000)).all()


@pytest.mark.parametrize("settings", KINDS)
def test_a_model_s_sample_is_a_draw_and_its_mean_is_not(settings):
    model = build(VAE, *settings)
    with torch.no_grad():
        x, again = model.sample(50, seeded()), model.sample(50, seeded())
        mean = model.sample(50, seeded(), noise=False)
        z = torch.randn(50, 3, generator=seeded(), dtype=torch.float64)
        assert torch.equal(mean, model.decode(z).mean) and torch.equal(x, again)
    assert x.shape == mean.shape == (50, 64) and x.dtype == torch.float64
    assert not torch.equal(x, mean)
    with pytest.raises(ValueError, match="count is 0; expected a whole number from 1"):
        model.sample(0)


@pytest.mark.parametrize(("side", "colours"), [(8, 1), (28, 1), (32, 1), (32, 3)])
@pytest.mark.parametrize("noise", ["fixed", "pixel"])
def test_the_convolutional_vae_keeps_rows_of_pixels(side, colours, noise):
    model = ConvVAE(side, 5, (3, 4), "gaussian", colours=colours, noise=noise)
    x = torch.rand(2, colours * side**2)
    x_given_z, mu, _, _ = model(x, seeded())
    assert x_given_z.mean.shape == x.shape and mu.shape == (2, 5)
    if noise == "pixel":
        assert x_given_z.logvar.shape == x.shape


def test_the_convolutional_vae_sees_places():
    """Moving the ink by 4 pixels moves the maps by one place of the smallest grid."""
    torch.manual_seed(0)
    model = ConvVAE(28, 2)
    image = torch.zeros(1, 28, 28)
    image[:, 8:16, 8:16] = torch.rand(8, 8)
    convolutions = model.encoder[:5]
    first = convolutions(image.flatten(1))
    second = convolutions(image.roll(4, dims=2).flatten(1))
    assert first.shape == (1, 32, 7, 7)
    assert torch.allclose(first[..., 1:-2], second[..., 2:-1], atol=1e-6)


# --- the linear VAE -----------------------------------------------------------------


def test_the_linear_vae_s_terms_are_those_of_many_samples():
    torch.manual_seed(0)
    model = LinearVAE(5, 2, sigma2=0.3).double()
    with torch.no_grad():
        model.logvar.copy_(torch.tensor([-1.0, 0.5]))
        x = torch.randn(3, 5, generator=seeded(), dtype=torch.float64)
        distortion, rate = model.terms(x)
        many = x.repeat_interleave(20_000, 0)
        x_given_z, mu, logvar, _ = model(many, seeded(1))
        drawn = -gaussian_log_prob(many, x_given_z.mean, x_given_z.logvar)
        drawn = drawn.view(3, -1)
    error = drawn.std(1) / math.sqrt(20_000)
    assert ((drawn.mean(1) - distortion).abs() < 4 * error).all()
    assert torch.allclose(rate, gaussian_kl(mu, logvar)[::20_000], atol=1e-12)
    assert x_given_z.logvar.exp().item() == pytest.approx(0.3, rel=1e-12)


@given(seed=st.integers(0, 99), D=st.integers(1, 5), K=st.integers(1, 3))
@settings(max_examples=20)
def test_the_linear_vae_s_elbo_is_below_log_p(seed, D, K):
    """Probabilistic PCA's log p(x), from torch; equal where q is its posterior."""
    torch.manual_seed(seed)
    model = LinearVAE(D, K, sigma2=0.5).double()
    W, b = model.decoder.weight.detach(), model.decoder.bias.detach()
    W = torch.linalg.qr(torch.randn(max(D, K), K, dtype=torch.float64))[0][:D]
    x = torch.randn(4, D, dtype=torch.float64)
    covariance = W @ W.T + 0.5 * torch.eye(D)
    p = torch.distributions.MultivariateNormal(b, covariance)
    with torch.no_grad():
        model.decoder.weight.copy_(W)
        distortion, rate = model.terms(x)
        assert (-distortion - rate <= p.log_prob(x) + 1e-12).all()
        precision = torch.eye(K) + W.T @ W / 0.5
        model.logvar.copy_(-precision.diagonal().log())
        model.encoder.weight.copy_(torch.linalg.solve(precision, W.T / 0.5))
        model.encoder.bias.copy_(-model.encoder.weight @ b)
        distortion, rate = model.terms(x)
    if D >= K:  # orthogonal columns: the posterior is diagonal
        assert torch.allclose(-distortion - rate, p.log_prob(x), atol=1e-10)


# --- what goes wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: VAE(0, 2), "D is 0; expected a whole number from 1"),
        (lambda: VAE(4, 2.0), "K is 2.0; expected a whole number from 1"),
        (lambda: VAE(4, 2, (3, 0)), r"hidden\[1\] is 0; expected a whole number"),
        (lambda: VAE(4, 2, likelihood="mse"), "likelihood is 'mse'; expected one of b"),
        (lambda: VAE(4, 2, noise="full"), "noise is 'full'; expected one of fixed, sc"),
        (lambda: VAE(4, 2, sigma=0.1), "a Bernoulli likelihood has no sigma"),
        (lambda: VAE(4, 2, noise="pixel"), "a Bernoulli likelihood has no sigma"),
        (lambda: VAE(4, 2, (3,), "gaussian", sigma=0), "sigma is 0; expected a posit"),
        (
            lambda: VAE(4, 2, (3,), "gaussian", sigma=math.nan),
            "sigma is nan; expected a positive number",
        ),
        (
            lambda: VAE(4, 2, (3,), "gaussian", least_sigma=-1),
            "least_sigma is -1; expected a positive number",
        ),
        (
            lambda: VAE(4, 2, (3,), "gaussian", noise="scalar", sigma=0.01),
            "sigma starts at 0.01; expected more than least_sigma, 0.01",
        ),
        (lambda: ConvVAE(30, 2), "side is 30; expected a multiple of 4 from 8 to 64"),
        (lambda: ConvVAE(4, 2), "side is 4; expected a multiple of 4 from 8 to 64"),
        (lambda: ConvVAE(28, 2, (8,)), r"channels is \[8\]; expected two sizes"),
        (lambda: ConvVAE(28, 2, (8, 0)), r"channels\[1\] is 0; expected a whole"),
        (lambda: ConvVAE(28, 2, colours=2), "colours is 2; expected 1 or 3"),
        (lambda: LinearVAE(4, 0), "K is 0; expected a whole number from 1"),
        (lambda: LinearVAE(4, 2, sigma2=0.0), "sigma2 is 0.0; expected a positive"),
    ],
)
def test_variational_models_name_a_wrong_argument(make, said):
    with pytest.raises(ValueError, match=said):
        make()


# --- the loss ------------------------------------------------------------------------

VAES = [
    {"likelihood": "bernoulli"},
    {"likelihood": "gaussian", "sigma": 0.3},
    {"likelihood": "gaussian", "noise": "scalar", "sigma": 0.3},
    {"likelihood": "gaussian", "noise": "pixel", "sigma": 0.3},
]


def vae(seed=0, **settings):
    torch.manual_seed(seed)
    return VAE(6, 2, (5,), activation=nn.Tanh, **settings).double()


def ink(N=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(N, 6, generator=generator, dtype=torch.float64) < 0.4).double()


@pytest.mark.parametrize("settings", VAES)
@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_the_elbo_loss_is_what_torch_s_distributions_say(settings, beta):
    model, x = vae(**settings), ink()
    terms = elbo_loss(model, x, torch.Generator().manual_seed(3), beta)
    x_given_z, mu, logvar, _ = model(x, torch.Generator().manual_seed(3))
    if settings["likelihood"] == "bernoulli":
        p = torch.distributions.Bernoulli(logits=x_given_z.logits)
    else:
        p = torch.distributions.Normal(x_given_z.mean, x_given_z.logvar.exp().sqrt())
    q = torch.distributions.Normal(mu, logvar.exp().sqrt())
    prior = torch.distributions.Normal(torch.zeros_like(mu), 1.0)
    distortion = -p.log_prob(x).sum(1).mean()
    rate = torch.distributions.kl_divergence(q, prior).sum(1).mean()
    assert terms["distortion"].item() == pytest.approx(distortion.item(), rel=1e-12)
    assert terms["rate"].item() == pytest.approx(rate.item(), rel=1e-12)
    want = (distortion + beta * rate).item()
    assert terms["loss"].item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("settings", VAES)
def test_a_vae_learns_and_its_terms_add_up(settings):
    x, other = ink(100), ink(40, seed=1)
    run = {"validation": other, "batch_size": 20, "lr": 0.01}
    got = fit(vae(**settings), elbo_loss, x, epochs=6, **run)
    assert got.validation[-1] < got.validation[0]
    both = ((got.train_terms, got.train), (got.validation_terms, got.validation))
    for terms, losses in both:
        assert set(terms) == {"distortion", "rate"}
        for *parts, loss in zip(*terms.values(), losses, strict=True):
            assert sum(parts) == pytest.approx(loss, rel=1e-12)


def test_an_overflow_of_logvar_is_placed():
    model = vae()
    with torch.no_grad():
        model.encoder[-1].bias[2:] = 800.0  # exp of it is beyond double precision
    with pytest.raises(TrainingStopped, match="epoch 0, batch 0 .* term rate") as info:
        fit(model, elbo_loss, ink(), epochs=1)
    assert "exp of a large number such as an unbounded logvar" in str(info.value)


def test_the_sampled_elbo_of_a_linear_vae_is_its_exact_one():
    torch.manual_seed(0)
    model = LinearVAE(6, 2, sigma2=0.5).double()
    x = ink(50)
    with torch.no_grad():
        distortion, rate = (term.mean().item() for term in model.terms(x))
        generator = torch.Generator().manual_seed(0)
        drawn = [elbo_loss(model, x, generator) for _ in range(400)]
    got = torch.stack([terms["distortion"] for terms in drawn])
    assert abs(got.mean() - distortion) < 4 * got.std() / 400**0.5
    assert drawn[0]["rate"].item() == pytest.approx(rate, rel=1e-12)
