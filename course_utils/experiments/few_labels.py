"""What a few labels do: M2 beside its rivals, and what is left of y in M2's codes.

Each run keeps some labels of the training digits and trains M2 and its rivals on them:
classifiers that see the labelled digits alone, and label spreading, which sees all of
them. It counts the test digits that each names rightly. Of M2, and of a conditional VAE
told the labels that spreading filled in, it also measures what a probe finds of y in z,
and how many draws of a class are of that class. `make sweeps` runs all of it and keeps
the numbers in ``data/few_labels.json``; `load` and `load_codes` read them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from course_utils import training
from course_utils.data import digits
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

COUNTS = (10, 20, 50, 100, 300, 1200)
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
SETTINGS: dict[str, Any] = {
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
}
PLACE = ROOT / "data" / "few_labels.json"


def train_m2(count: int, seed: int) -> M2:
    """Train M2 on the black-and-white training digits with ``count`` labels.

    Settings were chosen on validation digits, with two seeds; the test digits were not
    looked at. α is ten times the number of examples for each label: a hundred times
    what Kingma et al. (2014) take, which on these 1200 digits was worse than no
    unlabelled digits at all.
    """
    train = digits("train", values="binary")
    kept = balanced_labels(train.y, count, seed)
    alpha = 10 * len(train.x) / count
    torch.manual_seed(seed)
    model = M2(64, SETTINGS["K"], 10, hidden=SETTINGS["hidden"])

    def loss(
        model: Any, batch: torch.Tensor, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        return m2_loss(model, batch, generator, alpha)

    training.fit(
        model, loss, with_labels(train.x, kept, 10), epochs=SETTINGS["epochs"],
        batch_size=SETTINGS["batch_size"], lr=SETTINGS["lr"], seed=seed,
    )  # fmt: skip
    return model.requires_grad_(False)


def train_network(x: torch.Tensor, y: torch.Tensor, seed: int) -> torch.nn.Module:
    """Train M2's classifier alone, on labelled examples (N, 64) and (N,)."""
    torch.manual_seed(seed)
    network = mlp([64, *SETTINGS["hidden"], 10])
    optimiser = torch.optim.Adam(network.parameters(), lr=SETTINGS["lr"], fused=True)
    for _ in range(SETTINGS["network_steps"]):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        optimiser.step()
    return network.requires_grad_(False)


def spread(count: int, seed: int, settings: str = "spreading") -> Any:
    """Fit scikit-learn's label spreading to all training digits, ``count`` labelled.

    The settings ``"spreading"`` were chosen on validation digits, as M2's were, from a
    grid of 33; ``"spreading, 7 neighbours"`` is the kernel as scikit-learn sets it.
    D. Zhou, O. Bousquet, T. Lal, J. Weston and B. Schölkopf (2004), Learning with local
    and global consistency.
    """
    from sklearn.semi_supervised import LabelSpreading

    train = digits("train", values="binary")
    kept = balanced_labels(train.y, count, seed)
    return LabelSpreading(**SETTINGS[settings]).fit(train.x.numpy(), kept.numpy())


def by_graph(graph: Any, x: torch.Tensor) -> torch.Tensor:
    """Name digits (N, 64) by a fitted label spreading: labels (N,).

    A digit that no label reaches is named 0, as scikit-learn does.
    """
    with np.errstate(invalid="ignore"):  # it divides 0 by 0 there
        return torch.from_numpy(graph.predict(x.numpy()))


def train_filled(labels: torch.Tensor, seed: int) -> ConditionalVAE:
    """Train a conditional VAE of M2's sizes on all training digits, labels (1200,)."""
    torch.manual_seed(seed)
    model = ConditionalVAE(64, SETTINGS["K"], 10, hidden=SETTINGS["hidden"])
    labelled = with_labels(digits("train", values="binary").x, labels, 10)
    loss: Any = conditional_elbo_loss
    training.fit(
        model, loss, labelled, epochs=SETTINGS["epochs"],
        batch_size=SETTINGS["batch_size"], lr=SETTINGS["lr"], seed=seed,
    )  # fmt: skip
    return model.requires_grad_(False)


def rivals(count: int, seed: int) -> dict[str, int]:
    """Test digits named rightly by M2's rivals.

    Examples
    --------
    >>> sorted(rivals(10, 0)) == sorted(set(METHODS) - {"M2"})
    True
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    train, test = digits("train", values="binary"), digits("test", values="binary")
    y = balanced_labels(train.y, count, seed)
    x, y = train.x[y >= 0], y[y >= 0]
    named = {"network": train_network(x, y, seed)(test.x).argmax(1)}
    for name, classifier in (
        ("logistic regression", LogisticRegression(C=1.0, max_iter=500)),
        ("nearest neighbour", KNeighborsClassifier(1)),
    ):
        found = classifier.fit(x.numpy(), y.numpy()).predict(test.x.numpy())
        named[name] = torch.from_numpy(found)
    for name in ("spreading, 7 neighbours", "spreading"):
        named[name] = by_graph(spread(count, seed, name), test.x)
    return {name: int((labels == test.y).sum()) for name, labels in named.items()}


def code_scores(
    model: ConditionalVAE,
    guess: Callable[[torch.Tensor], torch.Tensor],
    judge: torch.nn.Module,
    seed: int,
) -> dict[str, float]:
    """Measure what z tells of y, and how many draws of a class are of that class.

    Parameters
    ----------
    model
        M2, or another conditional VAE of the digits.
    guess
        Names digits (N, 64): labels (N,), for the encoder in place of the true ones.
    judge
        A classifier of decoded means (N, 64): logits (N, 10).
    seed
        Of the drawn codes and of the probes.

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
            part = digits(split, values="binary")
            mu, logvar = model.encode(part.x, F.one_hot(name(part), 10).float())
            return leakage.Codes(reparameterise(mu, logvar, generator), part.y)

        train, validation, test = map(codes, ("train", "validation", "test"))
        return leakage.probe(train, validation, test, kind="nonlinear", seed=seed)

    told = probed(lambda part: part.y)
    guessed = probed(lambda part: guess(part.x))
    asked = torch.arange(10).repeat_interleave(SETTINGS["draws of a class"])
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(len(asked), model.K, generator=generator)
    decoded = model.decode(z, F.one_hot(asked, 10).float()).mean
    drawn = (judge(decoded).argmax(1) == asked).float().mean()
    found = (told.accuracy, told.nats, guessed.accuracy, float(drawn))
    return {what: round(n, 5) for what, n in zip(MEASURES, found, strict=True)}


def run(count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Train everything on the same labels and measure it.

    Returns
    -------
    dict
        ``"named"``: test digits named rightly, of 300, by each of `METHODS`;
        ``"codes"``: the `code_scores` of each of `MODELS`. The judge is `train_network`
        with all 1200 labels.
    """
    train, test = digits("train", values="binary"), digits("test", values="binary")
    with alone():
        judge = train_network(train.x, train.y, seed)
        m2, graph = train_m2(count, seed), spread(count, seed)
        filled = train_filled(torch.from_numpy(graph.transduction_), seed)

        def by_m2(x: torch.Tensor) -> torch.Tensor:
            return m2.log_q_y(x).argmax(1)

        right = int((by_m2(test.x) == test.y).sum())
        return {
            "named": {"M2": right, **rivals(count, seed)},
            "codes": {
                "M2": code_scores(m2, by_m2, judge, seed),
                "spread first": code_scores(
                    filled, functools.partial(by_graph, graph), judge, seed
                ),
            },
        }


def run_all(
    counts: Sequence[int] = COUNTS,
    seeds: Sequence[int] = SEEDS,
    place: Path = PLACE,
    workers: int | None = 1,
) -> None:
    """Run what ``place`` does not hold yet: see `stored.run_missing`."""
    names = [f"{count}/{seed}" for count in counts for seed in seeds]
    stored.run_missing(place, SETTINGS, names, _run_named, workers)


def _run_named(name: str) -> dict[str, dict[str, Any]]:
    count, seed = map(int, name.split("/"))
    return run(count, seed)


def load(place: Path = PLACE) -> dict[str, torch.Tensor]:
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
    total = len(digits("test").y)
    runs = _complete(place)
    return {
        name: _by_count_and_seed([one["named"][name] / total for one in runs])
        for name in METHODS
    }


def load_codes(place: Path = PLACE) -> dict[tuple[str, str], torch.Tensor]:
    """Read the cached `code_scores`: for each model and measure (counts, seeds).

    Raises
    ------
    ValueError
        As `load`.

    Examples
    --------
    >>> load_codes()["M2", "nats"].shape
    torch.Size([6, 5])
    """
    runs = _complete(place)
    return {
        (model, what): _by_count_and_seed([one["codes"][model][what] for one in runs])
        for model in MODELS
        for what in MEASURES
    }


def _complete(place: Path) -> list[dict[str, Any]]:
    """All runs, counts slowest."""
    names = [f"{count}/{seed}" for count in COUNTS for seed in SEEDS]
    return list(stored.read(place, SETTINGS, names).values())


def _by_count_and_seed(values: list[float]) -> torch.Tensor:
    return torch.tensor(values).reshape(len(COUNTS), len(SEEDS))
