"""Lesson 10's question answered: a few labels on factors settle the axes.

The β-VAE of the sweep's sprites once more, now told the factors of a few pictures: the
means of its first latents are drawn to the labels (semi-supervised, as F. Locatello et
al., 2020, "Disentangling factors of variation using few labels"). Beside it stand the
same model without labels, and an encoder that sees the labelled pictures alone. ``make
sweeps`` runs what is missing and keeps the numbers in ``data/factor_labels.json``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_utils import training
from course_utils.experiments import stored
from course_utils.experiments.sweeps import SWEEPS, alone, used_means, varying
from course_utils.files import ROOT
from course_utils.metrics import disentanglement
from course_utils.models import VAE
from course_utils.models.likelihoods import log_likelihood
from course_utils.objectives import gaussian_kl

KINDS = {  # labels, and whether the pictures are modelled too
    "no labels": (0, True),
    "20 labels": (20, True),
    "100 labels": (100, True),
    "100 labels, no pictures modelled": (100, False),
}
SEEDS = tuple(range(5))
SETTINGS: dict[str, Any] = {
    "sweep": "sprites",
    "beta": 4.0,
    "weight": 10.0,  # of ½ squared error of a labelled picture's factors
    "epochs": 80,
    "seeds": list(SEEDS),
}
PLACE = ROOT / "data" / "factor_labels.json"


def standardised(factors: Tensor) -> Tensor:
    """Turn levels (N, M), whole numbers, to mean 0 and variance 1, float32.

    Examples
    --------
    >>> standardised(torch.tensor([[0], [2]]))
    tensor([[-1.],
            [ 1.]])
    """
    values = factors.double()
    return ((values - values.mean(0)) / values.std(0, correction=0)).float()


@functools.lru_cache
def _world() -> tuple[Tensor, Tensor, Tensor]:
    """Pictures (N, D) of the whole grid, factors (N, M) as classes, training rows."""
    grid = SWEEPS[SETTINGS["sweep"]].grid()
    classes = grid.factors(slice(None)).classes[:, varying(grid)[0]]
    return grid[:].x, classes, grid.split("train")


def labelled_rows(count: int, seed: int) -> Tensor:
    """Draw which training pictures are labelled, as rows of the grid."""
    rows = _world()[2]
    generator = torch.Generator().manual_seed(1000 + seed)
    return rows[torch.randperm(len(rows), generator=generator)[:count]]


def train(kind: str, seeds: Sequence[int] = SEEDS, epochs: int | None = None) -> Any:
    """Train one VAE a seed, each with labelled pictures of its own: a list.

    Raises
    ------
    ValueError
        If there is no such kind.

    Examples
    --------
    >>> len(train("20 labels", seeds=(0, 1), epochs=1))
    2
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
    count, modelled = KINDS[kind]
    x, classes, rows = _world()
    known = torch.zeros(len(x), len(seeds))
    for place, seed in enumerate(seeds):
        known[labelled_rows(count, seed), place] = 1
    told = standardised(classes)
    sizes = [x.shape[1], told.shape[1], len(seeds)]
    per_label = len(rows) / max(count, 1)  # a batch has few labelled pictures

    def loss(model: Any, batch: Tensor, generator: torch.Generator) -> Tensor:
        pictures, factors, all_known = batch.split(sizes, dim=1)
        blocks = all_known.reshape(len(seeds), -1, len(seeds))
        mine = torch.diagonal(blocks, dim1=0, dim2=2).T.reshape(-1)  # (batch,)
        x_given_z, mu, logvar, _ = model(pictures, generator)
        error = 0.5 * ((mu[:, : sizes[1]] - factors) ** 2).sum(1)
        total = SETTINGS["weight"] * per_label * (mine * error).mean()
        if modelled:
            rate = gaussian_kl(mu, logvar).mean()
            distortion = -log_likelihood(pictures, x_given_z).mean()
            total = total + distortion + SETTINGS["beta"] * rate
        return total

    sweep, made = SWEEPS[SETTINGS["sweep"]], []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            made.append(VAE(x.shape[1], sweep.K, sweep.hidden))
        training.fit_side_by_side(
            made, loss, torch.cat([x, told, known], 1)[rows], seeds=seeds,
            epochs=epochs or SETTINGS["epochs"],
            batch_size=sweep.batch_size, lr=sweep.lr,
        )  # fmt: skip
    return [model.requires_grad_(False) for model in made]


def measure(model: VAE) -> dict[str, float]:
    """MIG of means with its leads, and how far the factors can be read off, of 1.

    ``"told"`` is the mean over factors of the squared correlation of factor m with
    latent m (with the best latent each, ``"told by the best"``), on all pictures.
    """
    x, classes, _ = _world()
    mu, logvar = model.encode(x)
    z = used_means(mu)
    gaps = disentanglement.information_gaps(z, classes)
    told, grid = standardised(classes), SWEEPS[SETTINGS["sweep"]].grid()
    spread = (z - z.mean(0)) / z.std(0, correction=0).clamp(min=1e-9)
    squared = ((spread.T @ told) / len(told)) ** 2  # (K, M)
    names = varying(grid)[1]
    found = {"MIG": float(gaps.mean())}
    found |= {f"MIG {name}": float(g) for name, g in zip(names, gaps, strict=True)}
    found["told"] = float(squared.diagonal().mean())
    found["told by the best"] = float(squared.amax(0).mean())
    x_given_z = model.decode(mu)
    found["distortion of means"] = float(-log_likelihood(x, x_given_z).mean())
    found["rate"] = float(gaussian_kl(mu, logvar).mean())
    return stored.rounded(found)


def run(kind: str) -> dict[str, list[float]]:
    """Train the five seeds of a kind and measure them: by quantity, one number a seed.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    with alone():
        each = [measure(model) for model in train(kind)]
    return stored.by_quantity(each)


def run_all(
    place: Path = PLACE,
    workers: int | None = 1,
    after_each: Callable[[str], object] | None = None,
) -> None:
    """Run what ``place`` does not hold yet: see `stored.run_missing`."""
    stored.run_missing(place, SETTINGS, list(KINDS), run, workers, after_each)


def load(place: Path = PLACE) -> dict[str, dict[str, Tensor]]:
    """Read all kinds: by kind and quantity one number a seed, float64 (seeds,).

    Raises
    ------
    ValueError
        If a run is missing or of other settings.

    Examples
    --------
    >>> load()["100 labels"]["MIG"].shape
    torch.Size([5])
    """
    runs = stored.read(place, SETTINGS, list(KINDS))
    return {
        kind: {q: torch.tensor(row, dtype=torch.float64) for q, row in one.items()}
        for kind, one in runs.items()
    }
