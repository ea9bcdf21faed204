"""Lesson 08's cures for idle latents against the length of their training.

Annealing and free bits beside plain training of VAEs of grey digits, five seeds each.
All are compared after equally many epochs *with the full weight on the rate*: annealing
has its ramp before. ``make sweeps`` runs them and keeps the numbers in
``data/cures.json``; `load` reads them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_utils import training
from course_utils.data import digits
from course_utils.experiments import stored
from course_utils.experiments.sweeps import alone
from course_utils.files import ROOT
from course_utils.models import VAE
from course_utils.objectives import (
    gaussian_kl,
    gaussian_kl_terms,
    gaussian_log_prob,
    iwae_bound,
)
from course_utils.training.fit import Loss

EPOCHS = (50, 100, 200, 400, 800)  # with the full weight on the rate
SEEDS = tuple(range(5))
FLOORS = {"plain": 0.0, "annealing": 0.0, "free bits 0.1": 0.1, "free bits 0.3": 0.3}
SETTINGS: dict[str, Any] = {
    "K": 10,
    "hidden": [64],
    "tau": 0.1,  # βσ²
    "ramp": 50,  # epochs in which annealing raises the weight from 0 to 1
    "batch_size": 128,
    "lr": 3e-3,
    "iwae": {"samples": 200, "digits": 150},
}
PLACE = ROOT / "data" / "cures.json"


def cure_loss(cure: str, models: int, batches: int) -> Loss:
    """½ squared error + τ · rate for models side by side, with one of the cures.

    Parameters
    ----------
    cure
        One of `FLOORS`.
    models
        How many models are side by side.
    batches
        In an epoch; annealing counts its steps by them.
    """
    step, ramp = itertools.count(), SETTINGS["ramp"] * batches

    def loss(model: Any, batch: Tensor, generator: torch.Generator) -> Tensor:
        x_given_z, mu, logvar, _ = model(batch, generator)
        error = 0.5 * ((batch - x_given_z.mean) ** 2).sum(1).mean()
        kl = gaussian_kl_terms(mu, logvar).reshape(models, -1, mu.shape[1])
        rate = kl.mean(1).clamp(min=FLOORS[cure]).sum(1).mean()  # floors by unit
        weight = min(1.0, next(step) / ramp) if cure == "annealing" else 1.0
        return error + SETTINGS["tau"] * weight * rate

    return loss


def train(cure: str, epochs: int, seeds: Sequence[int] = SEEDS) -> list[VAE]:
    """Train one VAE a seed for so many epochs at full weight.

    Raises
    ------
    ValueError
        If there is no such cure.

    Examples
    --------
    >>> len(train("free bits 0.1", epochs=1, seeds=(0, 1)))
    2
    """
    if cure not in FLOORS:
        raise ValueError(f"cure is {cure!r}; expected one of {', '.join(FLOORS)}")
    x = digits("train").x
    batches = math.ceil(len(x) / SETTINGS["batch_size"])
    made = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            made.append(VAE(64, SETTINGS["K"], SETTINGS["hidden"], "gaussian"))
        training.fit_side_by_side(
            made, cure_loss(cure, len(made), batches), x, seeds=seeds,
            epochs=epochs + SETTINGS["ramp"] * (cure == "annealing"),
            batch_size=SETTINGS["batch_size"], lr=SETTINGS["lr"],
        )  # fmt: skip
    return [model.requires_grad_(False) for model in made]


@torch.no_grad()
def log_weights(model: VAE, x: Tensor, S: int) -> Tensor:
    """Draw log p(x|z) + log p(z) − log q(z|x) at σ² = τ, z from q(z|x): (S, N)."""
    generator = torch.Generator().manual_seed(0)
    mu, logvar = model.encode(x)
    eps = torch.randn(S, *mu.shape, generator=generator)
    z = mu + (logvar / 2).exp() * eps  # (S, N, K)
    means = model.decode(z.flatten(0, 1)).mean.reshape(S, *x.shape)
    log_prior = gaussian_log_prob(z, torch.zeros_like(mu), 0.0)
    log_likelihood = gaussian_log_prob(x, means, math.log(SETTINGS["tau"]))
    return log_likelihood + log_prior - gaussian_log_prob(z, mu, logvar)


@torch.no_grad()
def elbo(model: VAE, x: Tensor, draws: int = 20) -> float:
    """Return the mean ELBO of data (N, D) at β = 1, σ² = τ, with the exact rate."""
    generator = torch.Generator().manual_seed(0)
    means = torch.stack([model(x, generator).x_given_z.mean for _ in range(draws)])
    log_likelihood = gaussian_log_prob(x, means, math.log(SETTINGS["tau"])).mean()
    return float(log_likelihood - gaussian_kl(*model.encode(x)).mean())


@torch.no_grad()
def measure(model: VAE) -> dict[str, float]:
    """Judge a model on validation digits, in nats a digit.

    ``"ELBO"`` is of all of them; ``"ELBO, IWAE's draws"`` and ``"IWAE"`` of 150 of
    them, from the same 200 draws; ``"active"`` counts the units with a mean KL above
    0.01 nat.

    Examples
    --------
    >>> found = measure(train("plain", epochs=1, seeds=(0,))[0])
    >>> found["ELBO, IWAE's draws"] < found["IWAE"]
    True
    """
    x, some = digits("validation").x, SETTINGS["iwae"]
    few = log_weights(model, x[: some["digits"]], some["samples"])
    units = gaussian_kl_terms(*model.encode(x)).mean(0)
    found = {
        "ELBO": elbo(model, x),
        "ELBO, IWAE's draws": float(few.mean()),
        "IWAE": float(iwae_bound(few).mean()),
        "active": int((units > 0.01).sum()),
    }
    return stored.rounded(found)


# --- all runs -----------------------------------------------------------------------


def names(cures: Sequence[str] = tuple(FLOORS)) -> list[str]:
    """Name the runs, ``cure/epochs``, the short ones first."""
    return [f"{cure}/{epochs}" for epochs in EPOCHS for cure in cures]


def run(name: str) -> dict[str, list[float]]:
    """Train the five seeds of a run and measure them: by quantity, one number a seed.

    Raises
    ------
    ValueError
        If there is no such cure.
    """
    cure, epochs = name.split("/")
    with alone():
        each = [measure(model) for model in train(cure, int(epochs))]
    return stored.by_quantity(each)


def run_all(
    place: Path = PLACE,
    workers: int | None = 1,
    after_each: Callable[[str], object] | None = None,
) -> None:
    """Run what ``place`` does not hold yet: see `stored.run_missing`."""
    stored.run_missing(place, SETTINGS, names(), run, workers, after_each)


def load(cure: str, place: Path = PLACE) -> dict[str, Tensor]:
    """Read a cure: by quantity one number for each length and seed.

    Returns
    -------
    dict of Tensor, float64 (lengths, seeds)
        Lengths as in `EPOCHS`; quantities as in `measure`.

    Raises
    ------
    ValueError
        If there is no such cure, or a run is missing or of other settings.

    Examples
    --------
    >>> load("annealing")["ELBO"].shape
    torch.Size([5, 5])
    """
    if cure not in FLOORS:
        raise ValueError(f"cure is {cure!r}; expected one of {', '.join(FLOORS)}")
    return stored.table(place, SETTINGS, names([cure]))
