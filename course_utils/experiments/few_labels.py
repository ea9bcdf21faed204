"""Accuracy against the number of labels: M2 beside classifiers that see labels alone.

Each run keeps some labels of the training digits, trains M2 and its rivals, and counts
the test digits that each names rightly. `make sweeps` runs all of them and keeps the
counts in ``data/few_labels.json``; `load` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from course_utils import training
from course_utils.data import digits
from course_utils.experiments.sweeps import alone
from course_utils.files import ROOT, write_atomically
from course_utils.models import mlp
from course_utils.models.conditional import M2, balanced_labels, m2_loss, with_labels

COUNTS = (10, 20, 50, 100, 300, 1200)
SEEDS = tuple(range(5))
METHODS = ("M2", "network", "logistic regression", "nearest neighbour")
SETTINGS: dict[str, Any] = {
    "K": 2,
    "hidden": [64],
    "epochs": 60,
    "batch_size": 128,
    "lr": 3e-3,
    "alpha": "10 * examples / labelled",
    "network_steps": 300,
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


def rivals(count: int, seed: int) -> dict[str, int]:
    """Test digits named rightly by classifiers that see the labelled digits alone."""
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
    return {name: int((labels == test.y).sum()) for name, labels in named.items()}


def run(count: int, seed: int) -> dict[str, int]:
    """Test digits named rightly, of 300, by each of `METHODS`, all on the same labels.

    Examples
    --------
    >>> sorted(rivals(10, 0))
    ['logistic regression', 'nearest neighbour', 'network']
    """
    test = digits("test", values="binary")
    with alone():
        named = train_m2(count, seed).log_q_y(test.x).argmax(1)
        return {"M2": int((named == test.y).sum()), **rivals(count, seed)}


def run_all(
    counts: Sequence[int] = COUNTS,
    seeds: Sequence[int] = SEEDS,
    place: Path = PLACE,
    workers: int | None = 1,
) -> None:
    """Run what ``place`` does not hold yet with these settings, and write it there.

    Runs are joblib tasks, as those of `sweeps.run`: ``workers=None`` leaves them to
    joblib's context, such as a Dask cluster.
    """
    from joblib import Parallel, delayed

    old = json.loads(place.read_text()) if place.exists() else {}
    runs = old.get("runs", {}) if old.get("settings") == SETTINGS else {}
    todo = [(c, s) for c in counts for s in seeds if f"{c}/{s}" not in runs]
    found = Parallel(workers)(delayed(run)(count, seed) for count, seed in todo)
    for (count, seed), result in zip(todo, found, strict=True):
        runs[f"{count}/{seed}"] = result
    text = json.dumps({"settings": SETTINGS, "runs": runs}, indent=1, sort_keys=True)
    write_atomically(place, text + "\n")


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
    kept = json.loads(place.read_text())
    wanted = [f"{count}/{seed}" for count in COUNTS for seed in SEEDS]
    if kept["settings"] != SETTINGS or not set(wanted) <= set(kept["runs"]):
        raise ValueError(f"{place.name} is not of these settings; run `make sweeps`")
    total = len(digits("test").y)
    return {
        name: torch.tensor([kept["runs"][key][name] / total for key in wanted]).reshape(
            len(COUNTS), len(SEEDS)
        )
        for name in METHODS
    }
