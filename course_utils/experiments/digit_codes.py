"""Lesson 07's models of grey digits against the length of their training.

Each run trains the five seeds of one family for a number of epochs and measures each
model as the lesson does. ``make sweeps`` runs all of them and keeps the numbers in
``data/digit_codes.json``; `load` reads them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_utils import training
from course_utils.data import digits
from course_utils.experiments import stored
from course_utils.experiments.sweeps import alone
from course_utils.files import ROOT
from course_utils.metrics import holes, intervals
from course_utils.models import (
    VAE,
    Autoencoder,
    MixturePriorVAE,
    elbo_loss,
    log_likelihood,
    reparameterise,
)
from course_utils.objectives import (
    elbo,
    gaussian_kl_terms,
    gaussian_log_prob,
    squared_error,
)
from course_utils.training.fit import Loss, terms_of

EPOCHS = (60, 100, 200, 400)
COMPARED = ("AE, K = 2", "VAE, K = 2", "AE, K = 8", "VAE, K = 8")
SEEDS = tuple(range(5))
SETTINGS: dict[str, Any] = {
    "batch_size": 128,
    "lr": 6e-3,
    "sigma": 0.3,  # of p(x|z), where training starts
    "hidden": [128],
    "deeper": [128, 64],
    "components": 20,  # of the mixture that is fitted to the codes
    "prior_components": 10,
    "draws": 600,
}
PLACE = ROOT / "data" / "digit_codes.json"


# --- the families -------------------------------------------------------------------


def _autoencoder(K: int, hidden: str = "hidden") -> nn.Module:
    return Autoencoder(64, K, SETTINGS[hidden])


def _vae(K: int, hidden: str = "hidden") -> nn.Module:
    sigma = SETTINGS["sigma"]
    return VAE(64, K, SETTINGS[hidden], "gaussian", noise="scalar", sigma=sigma)


def _mixture_vae(K: int) -> nn.Module:
    return MixturePriorVAE(
        64, K, SETTINGS["hidden"], "gaussian", noise="scalar", sigma=SETTINGS["sigma"],
        components=SETTINGS["prior_components"],
    )  # fmt: skip


def mixture_prior_loss(
    model: Any, batch: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """−ELBO of a VAE with a learned prior: the rate is estimated at the drawn z."""
    x_given_z, mu, logvar, z = model(batch, generator)
    rate = gaussian_log_prob(z, mu, logvar) - model.prior.log_prob(z)
    terms = elbo(log_likelihood(batch, x_given_z), rate)
    return {"loss": -terms.elbo.mean(), "rate": terms.rate.mean()}


FAMILIES: dict[str, tuple[Callable[[], nn.Module], Loss]] = {
    "AE, K = 2": (functools.partial(_autoencoder, 2), training.reconstruction_loss),
    "AE, K = 8": (functools.partial(_autoencoder, 8), training.reconstruction_loss),
    "deeper AE, K = 8": (
        functools.partial(_autoencoder, 8, "deeper"),
        training.reconstruction_loss,
    ),
    "VAE, K = 2": (functools.partial(_vae, 2), elbo_loss),
    "VAE, K = 8": (functools.partial(_vae, 8), elbo_loss),
    "deeper VAE, K = 8": (functools.partial(_vae, 8, "deeper"), elbo_loss),
    "learned prior, K = 2": (functools.partial(_mixture_vae, 2), mixture_prior_loss),
    "learned prior, K = 8": (functools.partial(_mixture_vae, 8), mixture_prior_loss),
}


def train(family: str, epochs: int, seeds: Sequence[int] = SEEDS) -> list[nn.Module]:
    """Train one model a seed, side by side, on the grey training digits.

    Raises
    ------
    ValueError
        If there is no such family.

    Examples
    --------
    >>> len(train("AE, K = 2", epochs=1, seeds=(0, 1)))
    2
    """
    if family not in FAMILIES:
        raise ValueError(f"family is {family!r}; expected one of {', '.join(FAMILIES)}")
    build, loss = FAMILIES[family]
    made = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            made.append(build())
        training.fit_side_by_side(
            made, loss, digits("train").x, seeds=seeds, epochs=epochs,
            batch_size=SETTINGS["batch_size"], lr=SETTINGS["lr"],
        )  # fmt: skip
    return [model.requires_grad_(False) for model in made]


# --- what is measured ---------------------------------------------------------------


def code_of(model: Any, x: Tensor) -> Tensor:
    """Return the code of an autoencoder, the mean of q(z|x) of a VAE: (N, K)."""
    found = model.encode(x)
    return found[0] if isinstance(found, tuple) else found


def image_of(model: Any, z: Tensor) -> Tensor:
    """Return the output of an autoencoder, the mean of p(x|z) of a VAE: (N, D)."""
    found = model.decode(z)
    return found if isinstance(found, Tensor) else found.mean


@functools.cache
def _meter() -> holes.HoleMeter:
    train_, validation = digits("train"), digits("validation")
    return holes.HoleMeter.fit(train_.x, train_.y, validation.x, level=0.05)


def _mixture(codes: Tensor, seed: int) -> Any:
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(SETTINGS["components"], reg_covar=1e-3, random_state=seed)
    return mixture.fit(codes.double().numpy())


def draws(model: Any, seed: int) -> dict[str, Tensor]:
    """Return codes by where they come from: (600, K) each, of test digits (300, K).

    ``"floor"``: the test digits' own; ``"mixture"`` and ``"Gaussian"``: drawn from what
    was fitted to the training codes; of a VAE also ``"prior"``.
    """
    generator = torch.Generator().manual_seed(1000 + seed)
    codes, count = code_of(model, digits("train").x), SETTINGS["draws"]
    whitening = holes.Whitening.fit(codes)
    mixture = _mixture(whitening.whiten(codes), seed)
    drawn = holes.mixture_draws(mixture, count, generator)
    eps = torch.randn(count, whitening.active, generator=generator)
    found = {
        "floor": code_of(model, digits("test").x),
        "mixture": whitening.colour(drawn),
        "Gaussian": whitening.colour(eps),
    }
    if isinstance(model, VAE):
        found["prior"] = model.draw_prior(count, generator)
    return found


def gain_on_codes(model: Any, seed: int) -> float:
    """Count the nats by which a mixture beats N(0, I) on codes of unseen digits.

    An autoencoder's codes are whitened first; a VAE's are drawn from q(z|x), in the
    units of its prior, and there the number estimates a lower bound on
    KL(q(z) ‖ N(0, I)).
    """
    train_, test = digits("train").x, digits("test").x
    if isinstance(model, VAE):
        generator = torch.Generator().manual_seed(seed)
        white, unseen = (
            reparameterise(*model.encode(x), generator) for x in (train_, test)
        )
    else:
        whitening = holes.Whitening.fit(code_of(model, train_))
        white, unseen = (whitening.whiten(code_of(model, x)) for x in (train_, test))
    return holes.mixture_gain(_mixture(white, seed), unseen)


def walk_minus_fade(model: Any) -> float:
    """Return the share off along straight lines in code, minus the cross-fade's."""
    test = digits("test")
    i, j = holes.random_pairs(test.y, same=False, count=60, seed=2, drawn=240)
    first, last = code_of(model, test.x[i]), code_of(model, test.x[j])
    walk = holes.straight_path(first, last, 9).reshape(-1, first.shape[1])
    fade = holes.straight_path(image_of(model, first), image_of(model, last), 9)
    off = [_meter().off(x) for x in (image_of(model, walk), fade.reshape(-1, 64))]
    return intervals.share(off[0]) - intervals.share(off[1])


def cycle(model: Any, z: Tensor) -> float:
    """Measure the cycle error of drawn codes (N, K), in the draws' deviations."""
    again = code_of(model, image_of(model, z))
    if not isinstance(model, VAE):  # a VAE's draws have standard deviation 1
        whitening = holes.Whitening.fit(code_of(model, digits("train").x))
        z, again = whitening.whiten(z), whitening.whiten(again)
    return holes.cycle_error(z, again).mean().item()


def qualities(model: Any, z: Tensor, seed: int) -> dict[str, float]:
    """Measure a model, its draws z (N, K) and its seed: what the space is good for.

    Examples
    --------
    >>> (model,) = train("AE, K = 2", epochs=1, seeds=(0,))
    >>> for name in qualities(model, torch.randn(600, 2), seed=0):
    ...     print(name)
    squared error of reconstructions
    nats a mixture gains on the codes
    cycle error of draws
    off, line in code minus cross-fade
    test digits reached by 600 draws
    """
    test = digits("test").x
    x_hat = image_of(model, code_of(model, test))
    return {
        "squared error of reconstructions": float(squared_error(test, x_hat)),
        "nats a mixture gains on the codes": gain_on_codes(model, seed),
        "cycle error of draws": cycle(model, z),
        "off, line in code minus cross-fade": walk_minus_fade(model),
        "test digits reached by 600 draws": _meter().variety(test, image_of(model, z)),
    }


def same_class(model: Any) -> float:
    """Return the share of test digits whose nearest training code has their class."""
    train_, test = digits("train"), digits("test")
    distances = torch.cdist(code_of(model, test.x), code_of(model, train_.x))
    return intervals.share(train_.y[distances.argmin(1)] == test.y)


def elbo_on_test(model: VAE, loss: Loss) -> float:
    """Return the mean ELBO of the test digits, over 16 draws of the codes, in nats."""
    generator, x = torch.Generator().manual_seed(0), digits("test").x
    losses = [terms_of(loss(model, x, generator))["loss"] for _ in range(16)]
    return -float(torch.stack(losses).mean())


def latents_used(model: VAE) -> int:
    """Count the latents whose mean KL to N(0, 1) on test digits is above 0.01 nat."""
    per_latent = gaussian_kl_terms(*model.encode(digits("test").x)).mean(0)  # (K,)
    return int((per_latent > 0.01).sum())


def measure(family: str, model: Any, seed: int) -> dict[str, float]:
    """Measure one model: `qualities`, shares off, and of a VAE its ELBO."""
    z = draws(model, seed)
    found = {
        f"off, {source}": intervals.share(_meter().off(image_of(model, codes)))
        for source, codes in z.items()
    }
    found["same class"] = same_class(model)
    if isinstance(model, VAE):
        found["test ELBO"] = elbo_on_test(model, FAMILIES[family][1])
        found["latents used"] = latents_used(model)
    source = "prior" if isinstance(model, VAE) else "Gaussian"
    found |= qualities(model, z[source], seed)
    return stored.rounded(found)


# --- all runs -----------------------------------------------------------------------


def lengths(family: str) -> tuple[int, ...]:
    """Return the lengths of a family's trainings, in epochs.

    Those that are compared go on for twice as long as the others.

    Examples
    --------
    >>> lengths("VAE, K = 8"), lengths("deeper VAE, K = 8")
    ((60, 100, 200, 400), (60, 100, 200))
    """
    return EPOCHS if family in COMPARED else EPOCHS[:-1]


def names(families: Sequence[str] = tuple(FAMILIES)) -> list[str]:
    """Name the runs, ``family/epochs``, the short ones first."""
    return [
        f"{family}/{epochs}"
        for epochs in EPOCHS
        for family in families
        if epochs in lengths(family)
    ]


def run(name: str) -> dict[str, list[float]]:
    """Train the five seeds of a run and measure them: by quantity, one number a seed.

    Raises
    ------
    ValueError
        If there is no such family.
    """
    family, epochs = name.split("/")
    with alone():
        made = train(family, int(epochs))
        each = [
            measure(family, model, seed)
            for model, seed in zip(made, SEEDS, strict=True)
        ]
    return stored.by_quantity(each)


def run_all(
    place: Path = PLACE,
    workers: int | None = 1,
    after_each: Callable[[str], object] | None = None,
) -> None:
    """Run what ``place`` does not hold yet: see `stored.run_missing`."""
    stored.run_missing(place, SETTINGS, names(), run, workers, after_each)


def load(family: str, place: Path = PLACE) -> dict[str, Tensor]:
    """Read a family: by quantity one number for each length and seed.

    Returns
    -------
    dict of Tensor, float64 (lengths, seeds)
        Lengths as in `lengths`.

    Raises
    ------
    ValueError
        If there is no such family, or a run is missing or of other settings.

    Examples
    --------
    >>> load("VAE, K = 8")["off, prior"].shape
    torch.Size([4, 5])
    """
    if family not in FAMILIES:
        raise ValueError(f"family is {family!r}; expected one of {', '.join(FAMILIES)}")
    return stored.table(place, SETTINGS, names([family]))
