"""The scribe of lesson 00: a small VAE that writes strokes, kept with its weights.

It is told which digit to write, and has two numbers of its own for the hand. `run_all`
trains it where ``data/scribe.safetensors`` is missing or of other settings: a minute or
two of one core. The weights are kept as float16, below 300 kB.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils import training
from course_utils.data.handwriting import handwriting
from course_utils.experiments.stored import rounded
from course_utils.files import ROOT
from course_utils.models.autoencoders import mlp
from course_utils.models.conditional import (
    ConditionalVAE,
    conditional_elbo_loss,
    with_labels,
)
from course_utils.training import checkpoints

PLACE = ROOT / "data" / "scribe.safetensors"
SETTINGS: dict[str, Any] = {
    "data": "strokes, grey, 28 × 28",
    "encoder": [32, 32],
    "decoder": [96, 128],
    "K": 2,
    "lr": [2e-3, 1e-3, 5e-4, 2e-4],  # one after the other
    "epochs": 15,  # with each
    "batch_size": 128,
    "seed": 0,
}
DIGITS = 10


class Scribe(ConditionalVAE):
    """A conditional VAE of 28×28 pixels, with a larger decoder than encoder.

    Pixels are shares of ink from 0 to 1. It is trained by their cross-entropy, which is
    a likelihood of ink drawn or not drawn, and not of the shares themselves: its loss
    compares one run with another, and is no bound on anything of the grey pictures.

    Examples
    --------
    >>> Scribe().write(3, torch.zeros(5, 2)).shape
    torch.Size([5, 784])
    """

    def __init__(self) -> None:
        K = SETTINGS["K"]
        super().__init__(28 * 28, K, DIGITS)
        inputs, outputs = 28 * 28 + DIGITS, K + DIGITS
        self.encoder = mlp([inputs, *SETTINGS["encoder"], 2 * K], nn.SiLU)
        self.decoder = mlp([outputs, *SETTINGS["decoder"], 28 * 28], nn.SiLU)

    def write(self, digit: int, z: Tensor) -> Tensor:
        """Write one digit with the hands z (N, 2): ink (N, 784) in [0, 1]."""
        told = F.one_hot(torch.full((len(z),), digit), DIGITS).to(z)
        return self.decode(z, told).mean


def train(epochs: int = SETTINGS["epochs"]) -> Scribe:
    """Train a scribe on the training strokes, so many epochs with each step size."""
    batch = with_labels(*handwriting("train"), DIGITS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SETTINGS["seed"])
        model = Scribe()
    loss: Any = conditional_elbo_loss
    for stage, lr in enumerate(SETTINGS["lr"]):
        training.fit(
            model,
            loss,
            batch,
            epochs=epochs,
            lr=lr,
            batch_size=SETTINGS["batch_size"],
            seed=10 * SETTINGS["seed"] + stage,
        )
    return model.eval().requires_grad_(False)


def measure(model: Scribe) -> dict[str, float]:
    """Measure a scribe on the validation strokes: means per picture.

    Returns
    -------
    dict
        ``distortion``, ``rate`` and their sum ``loss``, in nats, at one drawn code each
        (see `Scribe` for what they are not); ``squared error`` of reconstructions from
        the mean of q(z|x, y).
    """
    x, y = handwriting("validation")
    batch = with_labels(x, y, DIGITS)
    terms = conditional_elbo_loss(model, batch, torch.Generator().manual_seed(0))
    told = batch[:, 28 * 28 :]
    x_hat = model.decode(model.encode(x, told)[0], told).mean
    error = ((x - x_hat) ** 2).sum(1).mean()
    return rounded({**terms, "squared error": error}, 3)


def run_all(
    place: Path = PLACE, after_each: Callable[[str], object] | None = None
) -> None:
    """Train the scribe, unless ``place`` holds one of these settings."""
    if _kept(place) is not None:
        return
    model = train()
    weights = {name: w.half() for name, w in model.state_dict().items()}
    model.load_state_dict(weights)  # measured as it will be read
    config = {"settings": SETTINGS, "measured": measure(model)}
    checkpoints.save(place, weights, config)
    if after_each is not None:
        after_each("scribe")


def load(place: Path = PLACE) -> Scribe:
    """Read the scribe.

    Raises
    ------
    ValueError
        If the file is missing or of other settings: run ``make sweeps``.

    Examples
    --------
    >>> seven = load().write(7, torch.tensor([[0.0, 0.0]])).reshape(28, 28)
    >>> bool(seven[:14].sum() > seven[14:].sum())  # the bar of a 7 lies above
    True
    """
    kept = _known(place)
    model = Scribe()
    model.load_state_dict(kept.tensors)
    return model.eval().requires_grad_(False)


def measured(place: Path = PLACE) -> dict[str, float]:
    """Read what `measure` found of the stored scribe when it was made.

    Raises
    ------
    ValueError
        As `load`.
    """
    found: dict[str, float] = _known(place).config["measured"]
    return found


def _kept(place: Path) -> checkpoints.Checkpoint | None:
    if not place.exists():
        return None
    kept = checkpoints.load(place)
    return kept if kept.config.get("settings") == SETTINGS else None


def _known(place: Path) -> checkpoints.Checkpoint:
    kept = _kept(place)
    if kept is None:
        raise ValueError(
            f"{place.name} is missing or of other settings; run `make sweeps`"
        )
    return kept
