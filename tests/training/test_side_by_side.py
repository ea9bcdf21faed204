"""Several models trained side by side, against the same models trained one by one."""

from functools import partial

import pytest
import torch
from torch import nn

from course_utils import training
from course_utils.models import (
    VAE,
    Autoencoder,
    ConvVAE,
    LinearVAE,
    MixturePriorVAE,
    elbo_loss,
)
from course_utils.training import side_by_side

SEEDS = (3, 1, 4)


def autoencoders(count=3, **sizes):
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(Autoencoder(**{"D": 7, "K": 2, "hidden": (6, 5)} | sizes))
    return made


def vaes(count=3, **options):
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(VAE(7, 3, hidden=(6,), **options))
    return made


def data(count=50, D=7):
    return torch.rand(count, D, generator=torch.Generator().manual_seed(0))


# --- joining ------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_each_block_of_rows_goes_through_its_own_layer(bias):
    layers = [nn.Linear(4, 3, bias=bias) for _ in range(3)]
    x = torch.randn(3, 5, 4)
    want = torch.cat([layer(rows) for layer, rows in zip(layers, x, strict=True)])
    got = side_by_side.stack(layers)(x.reshape(15, 4))
    assert torch.allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{}, {"likelihood": "gaussian", "noise": "scalar", "sigma": 0.3},
     {"likelihood": "gaussian", "noise": "pixel", "sigma": 0.3}],
)  # fmt: skip
def test_a_joined_vae_is_its_models_side_by_side(options):
    models = vaes(**options)
    for place, model in enumerate(models):  # a different learned σ in each
        if options.get("noise") == "scalar":
            model.likelihood.raw.data += place
    joined, x = side_by_side.stack(models), data(12)
    mu, logvar = joined.encode(x)
    x_given_z = joined.decode(mu)
    for place, model in enumerate(models):
        rows = slice(4 * place, 4 * place + 4)
        alone = model.encode(x[rows])
        assert torch.allclose(mu[rows], alone[0], atol=1e-6)
        assert torch.allclose(logvar[rows], alone[1], atol=1e-6)
        for got, want in zip(x_given_z, model.decode(alone[0]), strict=True):
            assert torch.allclose(got[rows], want.expand(4, 7), atol=1e-6)


def test_unstack_gives_back_what_stack_took():
    models = vaes(likelihood="gaussian", noise="scalar", sigma=0.3)
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in models]
    joined = side_by_side.stack(models)
    for model in models:
        for weights in model.parameters():
            weights.data.zero_()
    side_by_side.unstack(joined, models)
    for model, old in zip(models, before, strict=True):
        for name, weights in model.state_dict().items():
            assert torch.equal(weights, old[name])


def test_joining_copies_and_leaves_the_models_alone():
    models = autoencoders()
    joined = side_by_side.stack(models)
    for weights in joined.parameters():
        weights.data += 1
    assert torch.equal(models[0](data()), autoencoders()[0](data()))


# --- training -----------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [16, 25, 200])
def test_without_noise_it_ends_where_fit_ends(batch_size):
    x, settings = data(), {"epochs": 4, "batch_size": batch_size, "lr": 3e-3}
    apart, together = autoencoders(), autoencoders()
    loss, validation = training.reconstruction_loss, data(9)
    want = [
        training.fit(model, loss, x, validation=validation, seed=seed, **settings)
        for model, seed in zip(apart, SEEDS, strict=True)
    ]
    got = training.fit_side_by_side(
        together, loss, x, validation=validation, seeds=SEEDS, **settings
    )
    for one, other in zip(apart, together, strict=True):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.allclose(a, b, atol=2e-5)
    for one, other in zip(want, got, strict=True):
        assert other.validation == pytest.approx(one.validation, rel=1e-4)
    means = torch.tensor([one.train for one in want]).mean(0)
    assert torch.allclose(torch.tensor(got[0].train), means, rtol=1e-4)


def test_a_different_seed_takes_a_different_order():
    alike = [autoencoders(1)[0] for _ in range(2)]
    loss = training.reconstruction_loss
    training.fit_side_by_side(alike, loss, data(), seeds=[0, 1], epochs=1, batch_size=8)
    first, second = (next(model.parameters()) for model in alike)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("noise", ["scalar", "pixel"])
def test_vaes_learn_and_note_their_terms(noise):
    models = vaes(likelihood="gaussian", noise=noise, sigma=0.5)
    raw = [model.likelihood.raw.item() for model in models if noise == "scalar"]
    histories = training.fit_side_by_side(
        models, partial(elbo_loss, beta=0.5), data(200), seeds=SEEDS,
        validation=data(40), epochs=30, lr=1e-2,
    )  # fmt: skip
    for history in histories:
        assert history.validation[-1] < history.validation[0] - 1
        assert history.train_terms["rate"] == histories[0].train_terms["rate"]
        terms = history.validation_terms
        sums = [d + 0.5 * r for d, r in zip(*terms.values(), strict=True)]
        assert history.validation == pytest.approx(sums)
    assert len({history.validation[-1] for history in histories}) == 3
    for model, start in zip(models, raw, strict=False):
        assert model.likelihood.raw.item() < start - 0.05  # a smaller σ


def test_a_loss_that_breaks_stops_the_training():
    def broken(model, batch, generator):
        return model(batch).sum(1).mean() * torch.nan

    with pytest.raises(training.TrainingStopped, match="epoch 0, batch 0"):
        training.fit_side_by_side(autoencoders(), broken, data(), seeds=SEEDS, epochs=1)


# --- what it refuses ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([], "no models"),
        ([Autoencoder(7, 2), Autoencoder(7, 3)], "model 1 differs"),
        ([Autoencoder(7, 2), VAE(7, 2)], "model 1 differs"),
        ([ConvVAE(28, 2), ConvVAE(28, 2)], "Conv2d"),
        ([LinearVAE(5, 2), LinearVAE(5, 2)], "LinearVAE"),
    ],
)
def test_models_that_cannot_be_joined(models, said):
    with pytest.raises(ValueError, match=said):
        side_by_side.stack(models)


def test_seeds_and_settings_are_checked():
    loss = training.reconstruction_loss
    with pytest.raises(ValueError, match="3 models and 2 seeds"):
        training.fit_side_by_side(autoencoders(), loss, data(), seeds=[0, 1], epochs=1)
    with pytest.raises(ValueError, match="epochs is 0"):
        training.fit_side_by_side(autoencoders(), loss, data(), seeds=SEEDS, epochs=0)


# --- learned priors -----------------------------------------------------------------


def test_joined_priors_are_the_priors_side_by_side_and_go_back():
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        models.append(MixturePriorVAE(7, 2, hidden=(6,), components=4))
        models[-1].prior.logits.data += torch.randn(4)
        models[-1].prior.logvar.data += torch.randn(4, 2)
    z = torch.randn(15, 2)
    want = torch.cat(
        [m.prior.log_prob(rows) for m, rows in zip(models, z.split(5), strict=True)]
    )
    joined = side_by_side.stack(models)
    assert torch.allclose(joined.prior.log_prob(z), want, atol=1e-5)
    with torch.no_grad():
        joined.prior.mean += 1
    before = models[1].prior.mean.detach().clone()
    side_by_side.unstack(joined, models)
    assert torch.allclose(models[1].prior.mean, before + 1)


def test_a_learned_prior_learns_side_by_side():
    def loss(model, batch, generator):
        return -model.prior.log_prob(batch[:, :2]).mean()

    models = []
    for seed in range(2):
        torch.manual_seed(seed)
        models.append(MixturePriorVAE(7, 2, hidden=(6,), components=3))
    alone = [training.evaluate(model, loss, data()) for model in models]
    training.fit_side_by_side(models, loss, data(), seeds=(0, 1), epochs=40, lr=0.05)
    after = [training.evaluate(model, loss, data()) for model in models]
    assert all(a < b - 0.5 for a, b in zip(after, alone, strict=True))
