"""What a few labels do: M2 beside its rivals, and what is left of y in M2's codes.

Each run keeps some labels of the training digits and trains M2 and its rivals on them:
classifiers that see the labelled digits alone, and label spreading, which sees all of
them. It counts the test digits that each names rightly. Of M2, and of a conditional VAE
told the labels that spreading filled in, it also measures what a probe finds of y in z,
and how many draws of a class are of that class. All of it in two worlds: real digits of
8×8 pixels, and strokes of 28×28. `make sweeps` runs it and keeps the numbers in
``data/few_labels.json`` and ``data/few_strokes.json``; `load` and `load_codes` read
them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from course_utils import training
from course_utils.data import Split, digits
from course_utils.data.handwriting import handwriting
from course_utils.experiments import stored
from course_utils.experiments.sweeps import alone
from course_utils.files import ROOT
from course_utils.metrics import leakage
from course_utils.models import mlp, reparameterise
from course_utils.models.conditional import (
    M2,
    ConditionalVAE,
    balanced_labels,
    conditional_elbo_loss,
    m2_loss,
    with_labels,
)

SEEDS = tuple(range(5))
METHODS = (
    "M2",
    "network",
    "logistic regression",
    "nearest neighbour",
    "spreading, 7 neighbours",
    "spreading",
)
MODELS = ("M2", "spread first")
MEASURES = ("probe", "nats", "probe, guessed", "drawn")


@dataclass(frozen=True)
class World:
    """Black-and-white digits, how many labels are kept, and all settings of the runs.

    Settings were chosen on validation digits, with two seeds; the test digits were not
    looked at.
    """

    place: Path
    source: Callable[[str, str], Split]
    examples: int
    counts: tuple[int, ...]
    settings: dict[str, Any]

    def part(self, split: str) -> Split:
        """Return a split, x in {0, 1} (N, D) and y (N,); of train the first few."""
        x, y = self.source(split, "binary")
        count = self.examples if split == "train" else len(x)
        return Split(x[:count], y[:count])


DIGITS = World(
    ROOT / "data" / "few_labels.json",
    digits,
    1200,
    (10, 20, 50, 100, 300, 1200),
    {
        "K": 2,
        "hidden": [64],
        "epochs": 60,
        "batch_size": 128,
        "lr": 3e-3,
        "alpha": "10 * examples / labelled",
        "network_steps": 300,
        "spreading": {"kernel": "rbf", "gamma": 1.0, "alpha": 0.8, "max_iter": 200},
        "spreading, 7 neighbours": {"kernel": "knn", "n_neighbors": 7, "alpha": 0.2},
        "draws of a class": 500,
    },
)
STROKES = World(
    ROOT / "data" / "few_strokes.json",
    handwriting,
    2000,
    (20, 100),
    {
        **DIGITS.settings,
        "examples": 2000,
        "K": 6,
        "hidden": [160, 64],
        "epochs": 30,
        "spreading": {"kernel": "rbf", "gamma": 0.5, "alpha": 0.95, "max_iter": 200},
    },
)


def train_m2(count: int, seed: int, world: World = DIGITS) -> M2:
    """Train M2 on the black-and-white training digits with ``count`` labels.

    α is ten times the number of examples for each label: a hundred times what Kingma et
    al. (2014) take, which on 1200 real digits was worse than no unlabelled digits.
    """
    train, settings = world.part("train"), world.settings
    kept = balanced_labels(train.y, count, seed)
    alpha = 10 * len(train.x) / count
    D = train.x.shape[1]
    torch.manual_seed(seed)
    model = M2(D, settings["K"], 10, hidden=settings["hidden"])

    def loss(
        model: Any, batch: torch.Tensor, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        return m2_loss(model, batch, generator, alpha)

    training.fit(
        model, loss, with_labels(train.x, kept, 10), epochs=settings["epochs"],
        batch_size=settings["batch_size"], lr=settings["lr"], seed=seed,
    )  # fmt: skip
    return model.requires_grad_(False)


def train_network(
    x: torch.Tensor, y: torch.Tensor, seed: int, world: World = DIGITS
) -> torch.nn.Module:
    """Train M2's classifier alone, on labelled examples (N, D) and (N,)."""
    settings = world.settings
    torch.manual_seed(seed)
    network = mlp([x.shape[1], *settings["hidden"], 10])
    optimiser = torch.optim.Adam(network.parameters(), lr=settings["lr"], fused=True)
    for _ in range(settings["network_steps"]):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimiser.step()
    return network.requires_grad_(False)


def spread(
    count: int, seed: int, settings: str = "spreading", world: World = DIGITS
) -> Any:
    """Fit scikit-learn's label spreading to all training digits, ``count`` labelled.

    The settings ``"spreading"`` were chosen on validation digits, as M2's were, from a
    grid; ``"spreading, 7 neighbours"`` is the kernel as scikit-learn sets it.
    D. Zhou, O. Bousquet, T. Lal, J. Weston and B. Schölkopf (2004), Learning with local
    and global consistency.
    """
    from sklearn.semi_supervised import LabelSpreading

    train = world.part("train")
    kept = balanced_labels(train.y, count, seed)
    graph = LabelSpreading(**world.settings[settings])
    return graph.fit(train.x.numpy(), kept.numpy())


def by_graph(graph: Any, x: torch.Tensor) -> torch.Tensor:
    """Name digits (N, D) by a fitted label spreading: labels (N,).

    A digit that no label reaches is named 0, as scikit-learn does.
    """
    with np.errstate(invalid="ignore"):  # it divides 0 by 0 there
        return torch.from_numpy(graph.predict(x.numpy()))


def train_filled(
    labels: torch.Tensor, seed: int, world: World = DIGITS
) -> ConditionalVAE:
    """Train a conditional VAE of M2's sizes on all training digits, labels (N,)."""
    x, settings = world.part("train").x, world.settings
    torch.manual_seed(seed)
    model = ConditionalVAE(x.shape[1], settings["K"], 10, hidden=settings["hidden"])
    loss: Any = conditional_elbo_loss
    training.fit(
        model, loss, with_labels(x, labels, 10), epochs=settings["epochs"],
        batch_size=settings["batch_size"], lr=settings["lr"], seed=seed,
    )  # fmt: skip
    return model.requires_grad_(False)


def rivals(count: int, seed: int, world: World = DIGITS) -> dict[str, int]:
    """Test digits named rightly by M2's rivals.

    Examples
    --------
    >>> sorted(rivals(10, 0)) == sorted(set(METHODS) - {"M2"})
    True
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    train, test = world.part("train"), world.part("test")
    y = balanced_labels(train.y, count, seed)
    x, y = train.x[y >= 0], y[y >= 0]
    named = {"network": train_network(x, y, seed, world)(test.x).argmax(1)}
    for name, classifier in (
        ("logistic regression", LogisticRegression(C=1.0, max_iter=500)),
        ("nearest neighbour", KNeighborsClassifier(1)),
    ):
        found = classifier.fit(x.numpy(), y.numpy()).predict(test.x.numpy())
        named[name] = torch.from_numpy(found)
    for name in ("spreading, 7 neighbours", "spreading"):
        named[name] = by_graph(spread(count, seed, name, world), test.x)
    return {name: int((labels == test.y).sum()) for name, labels in named.items()}


def code_scores(
    model: ConditionalVAE,
    guess: Callable[[torch.Tensor], torch.Tensor],
    judge: torch.nn.Module,
    seed: int,
    world: World = DIGITS,
) -> dict[str, float]:
    """Measure what z tells of y, and how many draws of a class are of that class.

    Parameters
    ----------
    model
        M2, or another conditional VAE of the digits.
    guess
        Names digits (N, D): labels (N,), for the encoder in place of the true ones.
    judge
        A classifier of decoded means (N, D): logits (N, 10).
    seed
        Of the drawn codes and of the probes.
    world
        Whose digits they are.

    Returns
    -------
    dict
        ``"probe"``: share of test digits that a nonlinear probe names rightly from one
        draw of q(z|x, y), with y the true label; ``"nats"``: what it finds of I(z; y),
        in nats; ``"probe, guessed"``: with y from ``guess``; ``"drawn"``: share of
        draws that the judge names as the class asked for.
    """

    def probed(name: Callable[[Any], torch.Tensor]) -> leakage.Leak:
        generator = torch.Generator().manual_seed(seed)

        def codes(split: str) -> leakage.Codes:
            part = world.part(split)
            mu, logvar = model.encode(part.x, F.one_hot(name(part), 10).float())
            return leakage.Codes(reparameterise(mu, logvar, generator), part.y)

        train, validation, test = map(codes, ("train", "validation", "test"))
        return leakage.probe(train, validation, test, kind="nonlinear", seed=seed)

    told = probed(lambda part: part.y)
    guessed = probed(lambda part: guess(part.x))
    asked = torch.arange(10).repeat_interleave(world.settings["draws of a class"])
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(len(asked), model.K, generator=generator)
    decoded = model.decode(z, F.one_hot(asked, 10).float()).mean
    drawn = (judge(decoded).argmax(1) == asked).float().mean()
    found = (told.accuracy, told.nats, guessed.accuracy, float(drawn))
    return {what: round(n, 5) for what, n in zip(MEASURES, found, strict=True)}


def run(count: int, seed: int, world: World = DIGITS) -> dict[str, dict[str, Any]]:
    """Train everything on the same labels and measure it.

    Returns
    -------
    dict
        ``"named"``: test digits named rightly by each of `METHODS`; ``"codes"``: the
        `code_scores` of each of `MODELS`. The judge is `train_network` with all labels.
    """
    train, test = world.part("train"), world.part("test")
    with alone():
        judge = train_network(train.x, train.y, seed, world)
        m2, graph = train_m2(count, seed, world), spread(count, seed, world=world)
        filled = train_filled(torch.from_numpy(graph.transduction_), seed, world)

        def by_m2(x: torch.Tensor) -> torch.Tensor:
            return m2.log_q_y(x).argmax(1)

        right = int((by_m2(test.x) == test.y).sum())
        by_spreading = functools.partial(by_graph, graph)
        return {
            "named": {"M2": right, **rivals(count, seed, world)},
            "codes": {
                "M2": code_scores(m2, by_m2, judge, seed, world),
                "spread first": code_scores(filled, by_spreading, judge, seed, world),
            },
        }


def run_all(
    world: World = DIGITS,
    counts: Sequence[int] | None = None,
    seeds: Sequence[int] = SEEDS,
    place: Path | None = None,
    workers: int | None = 1,
) -> None:
    """Run what the world's file does not hold yet: see `stored.run_missing`."""
    names = _names(world.counts if counts is None else counts, seeds)
    work = functools.partial(_run_named, world=world)
    stored.run_missing(place or world.place, world.settings, names, work, workers)


def _names(counts: Sequence[int], seeds: Sequence[int]) -> list[str]:
    return [f"{count}/{seed}" for count in counts for seed in seeds]


def _run_named(name: str, world: World) -> dict[str, dict[str, Any]]:
    count, seed = map(int, name.split("/"))
    return run(count, seed, world)


def load(world: World = DIGITS, place: Path | None = None) -> dict[str, torch.Tensor]:
    """Read the cached runs: for each method the accuracies, (counts, seeds).

    Raises
    ------
    ValueError
        If a run is missing or was made with other settings: run ``make sweeps``.

    Examples
    --------
    >>> load()["M2"].shape
    torch.Size([6, 5])
    """
    total = len(world.part("test").y)
    runs = _complete(world, place)
    return {
        name: _by_count_and_seed([one["named"][name] / total for one in runs])
        for name in METHODS
    }


def load_codes(
    world: World = DIGITS, place: Path | None = None
) -> dict[tuple[str, str], torch.Tensor]:
    """Read the cached `code_scores`: for each model and measure (counts, seeds).

    Raises
    ------
    ValueError
        As `load`.

    Examples
    --------
    >>> load_codes(STROKES)["M2", "nats"].shape
    torch.Size([2, 5])
    """
    runs = _complete(world, place)
    return {
        (model, what): _by_count_and_seed([one["codes"][model][what] for one in runs])
        for model in MODELS
        for what in MEASURES
    }


def _complete(world: World, place: Path | None) -> list[dict[str, Any]]:
    """All runs, counts slowest."""
    names = _names(world.counts, SEEDS)
    return list(stored.read(place or world.place, world.settings, names).values())


def _by_count_and_seed(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).reshape(-1, len(SEEDS))
