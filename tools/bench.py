"""Time the course's training against plain loops, on MNIST, and note what it reaches.

In turns, an epoch each, so that a machine that slows down does so for all:

a. the loop of common examples: a data set that turns one image at a time from bytes
   into floats by way of Pillow, as torchvision does, a DataLoader without workers,
   a sigmoid and binary_cross_entropy, Adam with its default settings;
t. the same loop with the shortest data set that there is: one tensor, one division;
b. the course's `training.fit`, its VAE and its `elbo_loss`;
c. the matrix products of (b), and nothing else.

The ratios a / b and b / c are taken turn by turn. Then a VAE is trained on MNIST with
pixels drawn afresh for every batch, for a given number of CPU seconds.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from course_utils.data import Split
from course_utils.data import mnist as downloads
from course_utils.models import VAE, elbo_loss
from course_utils.objectives import (
    bernoulli_log_prob,
    elbo,
    gaussian_kl,
    gaussian_log_prob,
    iwae_bound,
)
from course_utils.training import History, fit

ROOT = Path(__file__).resolve().parent.parent
HIDDEN, K, BATCH, RATE = 400, 20, 128, 1e-3
DRAWS = 8  # of z, for each test example
# Ratio: what it must reach at least (or at most), and what would be good.
BARS = {"a/b": (3.3, 4.0), "b/c": (2.8, 2.5), "test": (105.9, 105.9)}
NAMES = {
    "a": "common loop, Pillow for each item",
    "t": "common loop, one tensor operation for each item",
    "b": "training.fit",
    "c": "its matrix products alone",
}


# --- a and t: the common loop -------------------------------------------------------


class Items(Dataset):
    """Images as bytes (N, side, side), turned into floats when one is asked for."""

    def __init__(self, data: Split, pillow: bool) -> None:
        side = round(data.x.shape[1] ** 0.5)
        self.images = (data.x * 255).round().to(torch.uint8).view(-1, side, side)
        self.labels, self.pillow = data.y, pillow

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not self.pillow:
            return self.images[index].float() / 255, int(self.labels[index])
        # Step by step what torchvision's MNIST and its ToTensor do.
        image = Image.fromarray(self.images[index].numpy())
        pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
        pixels = pixels.view(image.size[1], image.size[0], 1).permute(2, 0, 1)
        pixels = pixels.contiguous().to(torch.float32).div(255)
        return pixels, int(self.labels[index])


class CommonVAE(nn.Module):
    """The VAE of common examples: it returns probabilities, mu and logvar."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.fc1, self.fc21 = nn.Linear(D, HIDDEN), nn.Linear(HIDDEN, K)
        self.fc22 = nn.Linear(HIDDEN, K)
        self.fc3, self.fc4 = nn.Linear(K, HIDDEN), nn.Linear(HIDDEN, D)

    def forward(
        self, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        h = functional.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        return torch.sigmoid(self.fc4(functional.relu(self.fc3(z)))), mu, logvar


class CommonLoop:
    """Training as common examples write it; call it for one epoch."""

    def __init__(self, data: Split, pillow: bool, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = CommonVAE(data.x.shape[1])
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE)
        items = Items(data, pillow)
        self.loader = DataLoader(items, batch_size=BATCH, shuffle=True)

    def __call__(self) -> float:
        self.model.train()
        train_loss = 0.0
        for data, _ in self.loader:
            data = data.view(len(data), -1)
            self.optimizer.zero_grad()
            x_hat, mu, logvar = self.model(data)
            bce = functional.binary_cross_entropy(x_hat, data, reduction="sum")
            kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
            loss = bce + kld
            loss.backward()
            train_loss += loss.item()
            self.optimizer.step()
        return train_loss / len(self.loader.dataset)  # type: ignore[arg-type]


# --- c: the matrix products alone ---------------------------------------------------

Product = tuple[int, int, int]  # (rows, inner, columns)


def products(layers: Sequence[tuple[int, int]], rows: int) -> list[Product]:
    """List the products of one step: forward, and backward to weights and inputs.

    The first layer's input is data and needs no gradient.

    >>> products([(784, 400)], 128)
    [(128, 784, 400), (400, 128, 784)]
    """
    found: list[Product] = []
    for place, (inputs, outputs) in enumerate(layers):
        found += [(rows, inputs, outputs), (outputs, rows, inputs)]
        if place > 0:
            found.append((rows, outputs, inputs))
    return found


def layers_of(model: nn.Module) -> list[tuple[int, int]]:
    """List the inputs and outputs of a model's linear layers, in their order."""
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return [(layer.in_features, layer.out_features) for layer in found]


class Products:
    """The matrix products of one epoch, into tensors that stay; call it for one."""

    def __init__(self, layers: Sequence[tuple[int, int]], examples: int) -> None:
        self.whole, rest = divmod(examples, BATCH)
        self.step = [self._tensors(p) for p in products(layers, BATCH)]
        self.last = [self._tensors(p) for p in products(layers, rest) if rest]
        operations = [2 * a * b * c for a, b, c in products(layers, BATCH)]
        self.operations = self.whole * sum(operations)
        if rest:
            self.operations += sum(2 * a * b * c for a, b, c in products(layers, rest))

    @staticmethod
    def _tensors(product: Product) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows, inner, columns = product
        left, right = torch.randn(rows, inner), torch.randn(inner, columns)
        return left, right, torch.empty(rows, columns)

    def __call__(self) -> None:
        for _ in range(self.whole):
            for left, right, out in self.step:
                torch.mm(left, right, out=out)
        for left, right, out in self.last:
            torch.mm(left, right, out=out)


# --- in turns -----------------------------------------------------------------------


@dataclass(frozen=True)
class Lap:
    """What one epoch took: seconds on the wall, and of all threads together."""

    wall: float
    cpu: float


def now() -> Lap:
    """Read both clocks."""
    return Lap(time.perf_counter(), time.process_time())


def take_turns(
    before: Mapping[str, Callable[[], object]],
    ours: Callable[[Callable[[History], None]], object],
    after: Mapping[str, Callable[[], object]],
    epochs: int,
    clock: Callable[[], Lap] = now,
) -> dict[str, list[Lap]]:
    """Time an epoch of each in turn; ``b`` is one call that trains all its epochs.

    ``ours`` has to call the function that it is given after each epoch: the others have
    their turn then, off the clock of ``b``.
    """
    laps: dict[str, list[Lap]] = {name: [] for name in [*before, "b", *after]}

    def note(name: str, start: Lap) -> None:
        end = clock()
        laps[name].append(Lap(end.wall - start.wall, end.cpu - start.cpu))

    def run(contestants: Mapping[str, Callable[[], object]]) -> None:
        for name, epoch in contestants.items():
            start = clock()
            epoch()
            note(name, start)

    def between(history: History) -> None:
        nonlocal began
        note("b", began)
        run(after)
        if len(laps["b"]) < epochs:
            run(before)
        began = clock()

    run(before)
    began = clock()
    ours(between)
    return laps


def ratios(top: Sequence[Lap], bottom: Sequence[Lap]) -> dict[str, float]:
    """Compare two contestants turn by turn.

    >>> ratios([Lap(3, 6), Lap(8, 8)], [Lap(1, 2), Lap(2, 4)])
    {'median': 3.5, 'least': 3.0, 'most': 4.0, 'median_cpu': 2.5}
    """
    wall = [one.wall / other.wall for one, other in zip(top, bottom, strict=True)]
    cpu = [one.cpu / other.cpu for one, other in zip(top, bottom, strict=True)]
    return {
        "median": statistics.median(wall),
        "least": min(wall),
        "most": max(wall),
        "median_cpu": statistics.median(cpu),
    }


# --- what it reaches ----------------------------------------------------------------


def mean_and_error(values: torch.Tensor) -> dict[str, float]:
    """Return the mean over examples (N,) and its standard error."""
    error = values.double().std() / len(values) ** 0.5
    return {"mean": float(values.double().mean()), "standard_error": float(error)}


@torch.no_grad()
def test_elbo(
    decode: Callable[[torch.Tensor], torch.Tensor],
    mu: torch.Tensor,
    logvar: torch.Tensor,
    x: torch.Tensor,
    generator: torch.Generator,
    draws: int = DRAWS,
) -> torch.Tensor:
    """ELBO of each example (N,): some draws of z, the rate in closed form.

    ``decode`` turns z (N, K) into logits (N, D).
    """
    total = torch.zeros(len(x))
    for _ in range(draws):
        eps = torch.randn(mu.shape, generator=generator)
        logits = decode(mu + (0.5 * logvar).exp() * eps)
        terms = elbo(bernoulli_log_prob(x, logits), gaussian_kl(mu, logvar))
        total += terms.elbo / draws
    return total


@torch.no_grad()
def elbo_of(model: nn.Module, x: torch.Tensor, seed: int) -> torch.Tensor:
    """ELBO of each example (N,) under the course's VAE or the common one."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(model, CommonVAE):
        h = functional.relu(model.fc1(x))
        mu, logvar = model.fc21(h), model.fc22(h)

        def decode(z: torch.Tensor) -> torch.Tensor:
            return model.fc4(functional.relu(model.fc3(z)))

        return test_elbo(decode, mu, logvar, x, generator)
    assert isinstance(model, VAE)
    mu, logvar = model.encode(x)
    return test_elbo(model.decoder, mu, logvar, x, generator)


@torch.no_grad()
def log_weights(
    model: VAE, x: torch.Tensor, samples: int, generator: torch.Generator
) -> torch.Tensor:
    """Draw log p(x|z) + log p(z) − log q(z|x), (S, N), for z from q(z|x)."""
    mu, logvar = model.encode(x)
    eps = torch.randn(samples, *mu.shape, generator=generator)
    z = mu + (0.5 * logvar).exp() * eps  # (S, N, K)
    logits = model.decoder(z.flatten(0, 1)).view(samples, *x.shape)
    prior = gaussian_log_prob(z, torch.zeros_like(mu), 0.0)
    return bernoulli_log_prob(x, logits) + prior - gaussian_log_prob(z, mu, logvar)


def iwae_of(model: VAE, x: torch.Tensor, samples: int, seed: int) -> torch.Tensor:
    """Importance-weighted bound of each example (N,), a few examples at a time."""
    generator = torch.Generator().manual_seed(seed)
    few = max(1, 10_000 // samples)
    bounds = [
        iwae_bound(log_weights(model, xs, samples, generator)) for xs in x.split(few)
    ]
    return torch.cat(bounds)


def drawn_elbo_loss(
    model: nn.Module, batch: torch.Tensor, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """`elbo_loss` of pixels that are drawn, with the grey as their probability."""
    return elbo_loss(model, torch.bernoulli(batch, generator=generator), generator)


class BudgetSpent(Exception):
    """The CPU seconds are over."""


def train_for(cpu_seconds: float, x: torch.Tensor, seed: int) -> tuple[VAE, int, float]:
    """Train on pixels drawn afresh until an epoch ends after so many CPU seconds.

    Returns the model, the epochs, and the CPU seconds they took.
    """
    torch.manual_seed(seed)
    model, start = VAE(x.shape[1], K, (HIDDEN,)), time.process_time()
    done: list[float] = []

    def look(history: History) -> None:
        done.append(time.process_time() - start)
        if done[-1] >= cpu_seconds:
            raise BudgetSpent

    try:
        fit(
            model, drawn_elbo_loss, x, epochs=10_000, batch_size=BATCH, lr=RATE,
            seed=seed, after_epoch=look,
        )  # fmt: skip
    except BudgetSpent:
        pass
    return model, len(done), done[-1]


# --- the two parts ------------------------------------------------------------------


def race(train: Split, test: Split, epochs: int, seed: int) -> dict[str, object]:
    """Time all four in turns, and score what two of them trained."""
    common = CommonLoop(train, pillow=True, seed=seed)
    short = CommonLoop(train, pillow=False, seed=seed)
    torch.manual_seed(seed)
    model = VAE(train.x.shape[1], K, (HIDDEN,))
    alone = Products(layers_of(model), len(train.x))
    ours = functools.partial(
        fit, model, elbo_loss, train.x, epochs=epochs, batch_size=BATCH, lr=RATE,
        seed=seed,
    )  # fmt: skip
    laps = take_turns(
        {"a": common, "t": short},
        lambda between: ours(after_epoch=between),
        {"c": alone},
        epochs,
    )
    pairs = {"a/b": "ab", "t/b": "tb", "b/c": "bc"}
    return {
        "epochs": epochs,
        "examples": len(train.x),
        "D": train.x.shape[1],
        "seconds": {name: [lap.wall for lap in laps[name]] for name in laps},
        "cpu_seconds": {name: [lap.cpu for lap in laps[name]] for name in laps},
        "ratios": {
            name: ratios(laps[top], laps[bottom])
            for name, (top, bottom) in pairs.items()
        },
        "operations_an_epoch": alone.operations,
        "test_negative_elbo_grey_bce_nats": {
            "b": mean_and_error(-elbo_of(model, test.x, seed)),
            "a": mean_and_error(-elbo_of(common.model, test.x, seed)),
        },
    }


def record(
    train: Split,
    test: Split,
    *,
    cpu_seconds: float,
    samples: int,
    weighted: int,
    seed: int,
) -> dict[str, object]:
    """Train on drawn pixels within the budget; bound log p of a drawn test set."""
    model, epochs, spent = train_for(cpu_seconds, train.x, seed)
    x = torch.bernoulli(test.x, generator=torch.Generator().manual_seed(seed))
    each, bound = elbo_of(model, x, seed), iwae_of(model, x[:weighted], samples, seed)
    return {
        "cpu_seconds": spent,
        "epochs": epochs,
        "test_examples": len(x),
        "elbo_nats": mean_and_error(each),
        "S": samples,
        "iwae_examples": len(bound),
        "iwae_nats": mean_and_error(bound),
        "iwae_minus_elbo_nats": mean_and_error(bound - each[: len(bound)]),
    }


def machine() -> dict[str, object]:
    """Describe the machine and the settings that the seconds depend on."""
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


# --- words --------------------------------------------------------------------------


def verdict(value: float, name: str) -> str:
    """Say how a number stands to its bar.

    >>> verdict(3.5, "a/b"), verdict(2.9, "b/c"), verdict(2.0, "b/c")
    ('bar 3.3 reached, goal 4 not', 'bar 2.8 missed', 'bar 2.8 and goal 2.5 reached')
    """
    bar, goal = BARS[name]
    sign = 1 if goal > bar else -1
    if sign * value < sign * bar:
        return f"bar {bar:g} missed"
    if bar == goal:
        return f"bar {bar:g} reached"
    if sign * value < sign * goal:
        return f"bar {bar:g} reached, goal {goal:g} not"
    return f"bar {bar:g} and goal {goal:g} reached"


def table(results: Mapping) -> str:
    """Lay the results out as text."""
    here, run, drawn = results["machine"], results["race"], results["drawn"]
    lines = [
        f"{run['examples']} images, {run['D']}-{HIDDEN}-{K} VAE, batch {BATCH}, Adam "
        f"{RATE:g}, {run['epochs']} epochs in turns; {here['threads']} threads on "
        f"{here['cores']} cores, load {here['load']} at the start",
        "",
        f"{'':<52}{'s an epoch':>10}{'CPU s':>8}",
    ]
    for name, seconds in run["seconds"].items():
        middle = statistics.median(run["cpu_seconds"][name])
        label = f"{name}  {NAMES[name]}"
        lines.append(f"{label:<52}{statistics.median(seconds):>10.2f}{middle:>8.2f}")
    lines.append("")
    for name, ratio in run["ratios"].items():
        said = f"{name}  {ratio['median']:.2f} ({ratio['least']:.2f} to "
        said += f"{ratio['most']:.2f}; of CPU seconds {ratio['median_cpu']:.2f})"
        if name in BARS:
            said += f"  {verdict(ratio['median'], name)}"
        lines.append(said)
    speed = run["operations_an_epoch"] / statistics.median(run["seconds"]["c"]) / 1e9
    lines.append(f"matrix products at {speed:.0f} GFLOP/s")
    lines += ["", "test −ELBO, grey cross-entropy in nats (to compare, no likelihood):"]
    for name, score in run["test_negative_elbo_grey_bce_nats"].items():
        said = f"{name}  {score['mean']:.2f} ± {score['standard_error']:.2f}"
        judged = f"  {verdict(score['mean'], 'test')}" if name == "b" else ""
        lines.append(said + judged)
    lines += [
        "",
        f"Pixels drawn afresh, {drawn['cpu_seconds']:.0f} CPU seconds "
        f"({drawn['epochs']} epochs); a fixed drawn test set; nats, standard errors:",
        _line("ELBO", drawn["elbo_nats"], drawn["test_examples"]),
        _line(f"IWAE, S = {drawn['S']}", drawn["iwae_nats"], drawn["iwae_examples"]),
        _line("IWAE − ELBO", drawn["iwae_minus_elbo_nats"], drawn["iwae_examples"]),
    ]
    return "\n".join(lines)


def _line(name: str, score: Mapping, count: int) -> str:
    number = f"{score['mean']:.2f} ± {score['standard_error']:.2f}"
    return f"{name:<16}{number:>16}  ({count} examples)"


# --- the command --------------------------------------------------------------------


def load(examples: int | None) -> tuple[Split, Split]:
    """Read MNIST; end with a message if it is not here and cannot be fetched."""
    try:
        train, test = downloads.mnist("train"), downloads.mnist("test")
    except (OSError, ValueError) as error:
        raise SystemExit(f"The bench needs MNIST. {error}") from None
    return Split(train.x[:examples], train.y[:examples]), test


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both parts, print the table, write the JSON file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--examples", type=int, help="train on fewer")
    parser.add_argument("--cpu-seconds", type=float, default=120.0)
    parser.add_argument("--samples", type=int, default=1000, help="S of the IWAE bound")
    parser.add_argument("--iwae-examples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=Path, default=ROOT / "build" / "bench.json")
    given = parser.parse_args(arguments)
    train, test = load(given.examples)
    results = {
        "machine": machine(),
        "race": race(train, test, given.epochs, given.seed),
        "drawn": record(
            train, test, cpu_seconds=given.cpu_seconds, samples=given.samples,
            weighted=given.iwae_examples, seed=given.seed,
        ),
    }  # fmt: skip
    given.target.parent.mkdir(parents=True, exist_ok=True)
    given.target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{table(results)}\n")


if __name__ == "__main__":
    main()
