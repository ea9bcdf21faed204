"""The autoencoders are the matrices they say they are, and name a wrong size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils.models import (
    Autoencoder,
    LinearAutoencoder,
    denoising_at,
    mlp,
)

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


def test_the_denoising_loss_sees_noise_and_wants_the_clean_data():
    x, seen = 3 + torch.rand(4000, 5), []

    def half(noisy):
        seen.append(noisy)
        return noisy / 2

    loss = denoising_at(0.7)
    generator = torch.Generator().manual_seed(0)
    got = [loss(half, x, generator).item() for _ in range(2)]
    noise = seen[0] - x
    assert noise.std().item() == pytest.approx(0.7, abs=0.02)
    assert abs(noise.mean().item()) < 0.02
    assert not torch.equal(seen[0], seen[1])  # fresh for every batch
    exact = (x**2).sum(1).mean().item() / 4 + 5 * 0.7**2 / 4  # E|x - (x + n)/2|²
    assert got == pytest.approx([exact, exact], rel=0.02)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_the_denoising_loss_wants_noise(sigma):
    with pytest.raises(ValueError, match="finite number above 0"):
        denoising_at(sigma)
