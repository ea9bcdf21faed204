"""The models are the matrices they say they are, and name a wrong size."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from course_utils.models import (
    VAE,
    Autoencoder,
    Bernoulli,
    ConvVAE,
    Gaussian,
    LinearAutoencoder,
    LinearVAE,
    MixturePrior,
    MixturePriorVAE,
    mlp,
    reparameterise,
)
from course_utils.objectives import bounded_logvar, gaussian_kl, gaussian_log_prob

sizes = st.integers(1, 6)


@given(N=sizes, D=sizes, K=sizes, bias=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_the_linear_autoencoder_is_two_affine_maps(N, D, K, bias, seed):
    torch.manual_seed(seed)
    model = LinearAutoencoder(D, K, bias=bias).double()
    x = torch.randn(N, D, dtype=torch.float64)
    encoder, decoder = model.encoder, model.decoder
    assert encoder.weight.shape == (K, D) and decoder.weight.shape == (D, K)
    z = torch.einsum("nd,kd->nk", x, encoder.weight)
    if bias:
        z = z + encoder.bias
    x_hat = torch.einsum("nk,dk->nd", z, decoder.weight)
    if bias:
        x_hat = x_hat + decoder.bias
    assert torch.allclose(model.encode(x), z, atol=1e-12)
    assert torch.allclose(model.decode(z), x_hat, atol=1e-12)
    assert torch.allclose(model(x), x_hat, atol=1e-12)
    count = sum(p.numel() for p in model.parameters())
    assert count == 2 * D * K + bias * (D + K)


def by_hand(layers, x, activation):
    """Evaluate a stack of linear layers with activations between them only."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for place, layer in enumerate(linear):
        x = torch.einsum("ni,oi->no", x, layer.weight) + layer.bias
        if place < len(linear) - 1:
            x = activation(x)
    return x


@pytest.mark.parametrize("hidden", [(), (7,), (9, 5), (8, 6, 4)])
@pytest.mark.parametrize(
    ("kind", "function"),
    [(nn.ReLU, lambda a: a.clamp(min=0)), (nn.Tanh, torch.tanh)],
)
def test_the_autoencoder_is_its_layers_in_a_row(hidden, kind, function):
    torch.manual_seed(3)
    model = Autoencoder(11, 3, hidden, kind).double()
    x = torch.randn(6, 11, dtype=torch.float64)
    z = by_hand(model.encoder, x, function)
    x_hat = by_hand(model.decoder, z, function)
    assert z.shape == (6, 3) and x_hat.shape == (6, 11)
    assert torch.allclose(model.encode(x), z, atol=1e-12)
    assert torch.allclose(model.decode(z), x_hat, atol=1e-12)
    assert torch.allclose(model(x), x_hat, atol=1e-12)


def test_the_decoder_mirrors_the_encoder():
    def widths(stack):
        return [tuple(m.weight.shape) for m in stack if isinstance(m, nn.Linear)]

    model = Autoencoder(64, 2, hidden=(32, 16))
    assert widths(model.encoder) == [(32, 64), (16, 32), (2, 16)]
    assert widths(model.decoder) == [(16, 2), (32, 16), (64, 32)]


def test_codes_and_reconstructions_are_not_bounded():
    torch.manual_seed(0)
    model = Autoencoder(5, 4)
    x = 100 * torch.randn(200, 5)
    with torch.no_grad():
        for values in (model.encode(x), model(x)):
            assert (values.amin(0) < -1).any() and (values.amax(0) > 1).any()
    assert isinstance(model.encoder[-1], nn.Linear)
    assert isinstance(model.decoder[-1], nn.Linear)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    for model in (LinearAutoencoder(6, 2), Autoencoder(6, 2, (5, 4), nn.Tanh)):
        model(torch.randn(9, 6)).square().sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad.abs().sum() > 0, name


def test_an_mlp_puts_activations_between_layers_only():
    kinds = [type(layer) for layer in mlp([4, 3, 2], nn.Tanh)]
    assert kinds == [nn.Linear, nn.Tanh, nn.Linear]
    assert [type(layer) for layer in mlp([4, 3])] == [nn.Linear]


@pytest.mark.parametrize("wrong", [0, -1, 2.0, "3", True, None])
def test_models_name_a_wrong_size(wrong):
    said = "expected a whole number from 1"
    for model in (LinearAutoencoder, Autoencoder):
        with pytest.raises(ValueError, match=f"^D is {wrong!r}; {said}"):
            model(wrong, 2)
        with pytest.raises(ValueError, match=f"^K is {wrong!r}; {said}"):
            model(4, wrong)
    with pytest.raises(ValueError, match=rf"^hidden\[1\] is {wrong!r}; {said}"):
        Autoencoder(4, 2, hidden=(8, wrong))
    with pytest.raises(ValueError, match=rf"^sizes\[2\] is {wrong!r}; {said}"):
        mlp([4, 3, wrong])


@pytest.mark.parametrize("sizes", [[], [4]])
def test_an_mlp_needs_an_input_and_an_output(sizes):
    with pytest.raises(ValueError, match="expected at least an input and output"):
        mlp(sizes)


# --- drawing z ----------------------------------------------------------------------


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_z_has_the_mean_and_the_variance_it_should():
    mu = torch.tensor([[0.5, -1.0, 3.0]], dtype=torch.float64).expand(40_000, 3)
    logvar = torch.tensor([[0.0, -2.0, 1.5]], dtype=torch.float64).expand(40_000, 3)
    z = reparameterise(mu, logvar, seeded())
    var = logvar[0].exp()
    assert ((z.mean(0) - mu[0]).abs() < 4 * (var / 40_000).sqrt()).all()
    assert ((z.var(0) - var).abs() < 4 * var * math.sqrt(2 / 40_000)).all()
    correlation = torch.corrcoef(z.T) - torch.eye(3)
    assert correlation.abs().max() < 4 / math.sqrt(40_000), "one noise an element"
    neighbours = torch.corrcoef(torch.stack([z[:-1, 0], z[1:, 0]]))[0, 1]
    assert neighbours.abs() < 4 / math.sqrt(40_000), "other noise for other examples"


def test_z_follows_its_generator_and_lets_gradients_through():
    mu = torch.randn(4, 3, generator=seeded(), dtype=torch.float64, requires_grad=True)
    logvar = torch.randn(4, 3, generator=seeded(1), dtype=torch.float64)
    logvar.requires_grad_()
    z = reparameterise(mu, logvar, seeded(5))
    assert torch.equal(z, reparameterise(mu, logvar, seeded(5)))
    assert not torch.equal(z, reparameterise(mu, logvar, seeded(6)))
    z.sum().backward()
    eps = torch.randn(4, 3, generator=seeded(5), dtype=torch.float64)
    assert torch.equal(mu.grad, torch.ones_like(mu))
    want = 0.5 * (0.5 * logvar.detach()).exp() * eps  # d exp(l/2) ε / dl
    assert torch.allclose(logvar.grad, want, atol=1e-14)


def test_z_needs_one_shape():
    with pytest.raises(ValueError, match=r"mu has shape \(4, 3\), logvar \(3,\)"):
        reparameterise(torch.zeros(4, 3), torch.zeros(3))


# --- variational autoencoders -------------------------------------------------------

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


def test_a_vae_s_configuration_tells_models_apart():
    models = [
        VAE(4, 2), VAE(4, 2, (3,)), VAE(4, 2, likelihood="gaussian"),
        VAE(4, 2, likelihood="gaussian", sigma=0.1), VAE(4, 2, activation=nn.Tanh),
        ConvVAE(8, 2), ConvVAE(8, 2, colours=3), LinearVAE(4, 2), LinearVAE(4, 2, 0.1),
    ]  # fmt: skip
    said = {str(sorted(model.config.items(), key=str)) for model in models}
    assert len(said) == len(models)


# --- a learned prior ----------------------------------------------------------------


def test_the_mixture_prior_is_scipys_mixture_and_integrates_to_one():
    torch.manual_seed(0)
    prior = MixturePrior(2, 3).double()
    with torch.no_grad():
        prior.logvar.copy_(torch.randn(3, 2))
        prior.logits.copy_(torch.randn(3))
    weights = torch.softmax(prior.logits, 0).detach()
    parts = [
        stats.multivariate_normal(m.numpy(), np.diag(v.exp().numpy()))
        for m, v in zip(prior.mean.detach(), prior.logvar.detach(), strict=True)
    ]
    axis = torch.linspace(-12, 12, 241, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    pairs = zip(weights, parts, strict=True)
    want = sum(float(w) * part.pdf(z.numpy()) for w, part in pairs)
    got = prior.log_prob(z).exp().detach()
    assert torch.allclose(got, torch.as_tensor(want), atol=1e-12)
    assert abs(float(got.sum()) * 0.1**2 - 1) < 1e-6


def test_draws_of_the_mixture_prior_have_its_moments():
    torch.manual_seed(1)
    prior = MixturePrior(2, 3)
    with torch.no_grad():
        prior.logits.copy_(torch.tensor([0.0, 1.0, -1.0]))
        prior.logvar.fill_(-1.0)
    z = prior.sample(40_000, torch.Generator().manual_seed(0)).detach()
    weights = torch.softmax(prior.logits, 0).detach()
    mean = weights @ prior.mean.detach()
    away = prior.mean.detach() - mean
    variance = weights @ (away**2 + math.exp(-1))
    error = (variance / len(z)).sqrt()
    assert ((z.mean(0) - mean).abs() < 5 * error).all()
    assert torch.allclose(z.var(0), variance, rtol=0.05)


def test_one_component_at_its_start_is_a_gaussian_prior():
    prior = MixturePrior(3, 1)
    z = torch.randn(5, 3)
    want = gaussian_log_prob(z, prior.mean.expand(5, 3), 0.0)
    assert torch.allclose(prior.log_prob(z), want, atol=1e-5)


def test_a_vae_with_a_learned_prior_draws_from_it():
    torch.manual_seed(0)
    model = MixturePriorVAE(6, 2, (4,), components=3)
    assert model.config["components"] == 3
    with torch.no_grad():
        model.prior.mean.fill_(7.0)
        model.prior.logvar.fill_(-40.0)
    z = model.draw_prior(5, torch.Generator().manual_seed(0))
    assert torch.allclose(z, torch.full((5, 2), 7.0), atol=1e-4)
    drawn = model.sample(5, torch.Generator().manual_seed(0), noise=False)
    assert torch.allclose(drawn, model.decode(z).mean, atol=1e-5)
    plain = VAE(6, 2, (4,))
    same = torch.randn(5, 2, generator=torch.Generator().manual_seed(3))
    assert torch.equal(plain.draw_prior(5, torch.Generator().manual_seed(3)), same)


@pytest.mark.parametrize(
    "sizes_", [{"K": 0, "components": 2}, {"K": 2, "components": 0}]
)
def test_a_mixture_prior_of_no_size_is_refused(sizes_):
    with pytest.raises(ValueError, match="whole number"):
        MixturePrior(**sizes_)
