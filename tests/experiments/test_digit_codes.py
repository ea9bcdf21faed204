"""Lesson 07's models against the length of training: complete, and rightly measured."""

import json

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from course_utils.data import digits
from course_utils.experiments import digit_codes
from course_utils.models import MixturePriorVAE


class Plane:
    """The first two columns of the data for a code."""

    def encode(self, x):
        return x[:, 20:22]

    def decode(self, z):
        return torch.zeros(len(z), 64)


def test_the_cache_is_complete():
    for family in digit_codes.FAMILIES:
        kept = digit_codes.load(family)
        shape = len(digit_codes.lengths(family)), len(digit_codes.SEEDS)
        assert all(values.shape == shape for values in kept.values())
        has_a_prior = "VAE" in family or "prior" in family
        assert ("test ELBO" in kept) == has_a_prior == ("off, prior" in kept)


def test_the_lead_at_eight_latents_shrinks_with_training_and_stays_above_0():
    """Two readings of one file: the sign and the trend that lesson 07 states."""
    above = {}
    for family, source in (("AE, K = 8", "Gaussian"), ("VAE, K = 8", "prior")):
        kept = digit_codes.load(family)
        above[family] = kept[f"off, {source}"] - kept["off, floor"]
    lead = (above["AE, K = 8"] - above["VAE, K = 8"]).mean(1)  # (lengths,)
    assert (lead > 0).all()
    assert lead[-1] < lead[0] - 0.02


def test_same_class_is_the_accuracy_of_a_nearest_neighbour_classifier():
    train, test = (digits(part) for part in ("train", "test"))
    classifier = KNeighborsClassifier(1).fit(train.x.numpy(), train.y.numpy())

    class Pixels(Plane):
        def encode(self, x):
            return x

    expected = classifier.score(test.x.numpy(), test.y.numpy())
    assert digit_codes.same_class(Pixels()) == pytest.approx(expected, abs=1e-9)


def test_the_learned_priors_loss_agrees_with_torch_distributions():
    torch.manual_seed(0)
    model = MixturePriorVAE(64, 3, (8,), "gaussian", components=4, noise="scalar")
    batch = digits("train").x[:7]
    terms = digit_codes.mixture_prior_loss(
        model, batch, torch.Generator().manual_seed(1)
    )
    mu, logvar = model.encode(batch)
    eps = torch.randn(mu.shape, generator=torch.Generator().manual_seed(1))
    sigma = (0.5 * logvar).exp()
    z = mu + sigma * eps
    prior = MixtureSameFamily(
        Categorical(logits=model.prior.logits),
        Independent(Normal(model.prior.mean, (0.5 * model.prior.logvar).exp()), 1),
    )
    rate = Normal(mu, sigma).log_prob(z).sum(1) - prior.log_prob(z)
    p = model.decode(z)
    sigma_x = (0.5 * p.logvar).exp()
    distortion = -Normal(p.mean, sigma_x).log_prob(batch).sum(1)
    assert terms["rate"].item() == pytest.approx(rate.mean().item(), abs=1e-4)
    expected = (distortion + rate).mean().item()
    assert terms["loss"].item() == pytest.approx(expected, abs=1e-3)


def test_qualities_of_a_code_without_a_decoder_are_as_bad_as_they_must_be():
    """All is decoded to white: the error is the data's square, one digit is reached."""
    torch.manual_seed(0)
    found = digit_codes.qualities(Plane(), torch.randn(20, 2), seed=0)
    square = (digits("test").x ** 2).sum(1).mean().item()
    assert found["squared error of reconstructions"] == pytest.approx(square, rel=1e-5)
    assert found["test digits reached by 600 draws"] <= 1 / 300 + 1e-9


def test_an_unknown_family_is_refused():
    for call in (digit_codes.load, lambda name: digit_codes.train(name, 1)):
        with pytest.raises(ValueError, match="family is 'GAN'; expected one of AE, K"):
            call("GAN")


@pytest.mark.long
def test_an_entry_can_be_reproduced():
    """Rounding differs between machines, and training amplifies it."""
    kept = json.loads(digit_codes.PLACE.read_text())["runs"]["VAE, K = 8/60"]
    again = digit_codes.run("VAE, K = 8/60")
    assert set(again) == set(kept)
    for quantity, values in again.items():
        old, new = torch.tensor(kept[quantity]), torch.tensor(values)
        limit = 1.5 if quantity == "test ELBO" else 0.1 if "off" in quantity else 0.5
        assert (old.double().mean() - new.double().mean()).abs() < limit, quantity
