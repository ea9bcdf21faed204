"""What z tells of class and style, where both are known: strokes.

A stroke's style is drawn independently of its class, so an ideal z carries the style
and nothing of y. VAEs that are told y, and one that is not, are held against that:
what probes find of y in z, how well each factor of the style can be read from z, and
what a code is worth in another class, where the renderer knows the right picture.
`make sweeps` runs it and keeps the numbers in ``data/stroke_codes.json``; `load` reads
them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils import training
from course_utils.data.handwriting import factors_of, handwriting
from course_utils.data.strokes import STYLE, draw_factors, render
from course_utils.experiments import stored
from course_utils.experiments.few_labels import SEEDS, STROKES
from course_utils.experiments.sweeps import alone
from course_utils.files import ROOT
from course_utils.metrics import leakage
from course_utils.models import VAE, elbo_loss, reparameterise
from course_utils.models.conditional import (
    ConditionalVAE,
    conditional_elbo_loss,
    with_labels,
)
from course_utils.models.likelihoods import log_likelihood
from course_utils.objectives import gaussian_kl

FAMILIES = (
    "truth",
    "VAE",
    "conditional",
    "conditional, 12000",
)
READ = (*STYLE, "wobble")  # the last is the mean over the eight
SETTINGS: dict[str, Any] = {
    **{name: STROKES.settings[name] for name in ("K", "hidden", "epochs")},
    **{name: STROKES.settings[name] for name in ("batch_size", "lr")},
    "strokes": STROKES.examples,
    "epochs of all strokes": 10,
    "ridge": 1e-3,
    "reader": {"hidden": 64, "alpha": 0.1, "epochs": 50},
}
PLACE = ROOT / "data" / "stroke_codes.json"


def train(family: str, seeds: Sequence[int] = SEEDS) -> list[Any]:
    """Train one model a seed, on black-and-white training strokes.

    The first 2000 of them, or all 12 000 where the family's name says so.

    Raises
    ------
    ValueError
        If no such family is trained.
    """
    if family not in FAMILIES[1:]:
        said = ", ".join(FAMILIES[1:])
        raise ValueError(f"family is {family!r}; expected one of {said}")
    every = family.endswith("12000")
    x, y = handwriting("train", "binary") if every else STROKES.part("train")
    sizes, made = (784, SETTINGS["K"]), []
    told = family.startswith("conditional")
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            hidden = SETTINGS["hidden"]
            made.append(
                ConditionalVAE(*sizes, 10, hidden) if told else VAE(*sizes, hidden)
            )
    loss: Any = conditional_elbo_loss if told else elbo_loss
    training.fit_side_by_side(
        made, loss, with_labels(x, y, 10) if told else x, seeds=seeds,
        epochs=SETTINGS["epochs of all strokes" if every else "epochs"],
        batch_size=SETTINGS["batch_size"], lr=SETTINGS["lr"],
    )  # fmt: skip
    return [model.requires_grad_(False) for model in made]


# --- what z tells of y --------------------------------------------------------------


class Coded(NamedTuple):
    """One split: means and draws of q (N, K), classes (N,), style values (N, 13)."""

    means: Tensor
    samples: Tensor
    y: Tensor
    style: Tensor


def encode(model: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Give mu and logvar (N, K) of x (N, 784); y (N,) goes to models that ask for it.

    Examples
    --------
    >>> encode(VAE(784, 2), torch.zeros(3, 784), torch.arange(3))[0].shape
    torch.Size([3, 2])
    """
    if isinstance(model, ConditionalVAE):
        return model.encode(x, F.one_hot(y, 10).float())
    mu, logvar = model.encode(x)
    return mu, logvar


def coded(model: Any, split: str, generator: torch.Generator) -> Coded:
    """Encode the strokes of a split, each with its true class."""
    x, y = STROKES.part(split)
    mu, logvar = encode(model, x, y)
    style = factors_of(split).values[: len(x), 1:].float()
    return Coded(mu, reparameterise(mu, logvar, generator), y, style)


def leaks(parts: Sequence[Coded], seed: int) -> dict[str, float]:
    """Probe y from codes: accuracy and nats, by code and by probe.

    ``parts`` are training, validation and test; see `leakage.probe`.
    """
    found = {}
    for what in ("means", "samples"):
        train, validation, test = (
            leakage.Codes(getattr(part, what), part.y) for part in parts
        )
        for kind in ("linear", "nonlinear"):
            leak = leakage.probe(train, validation, test, kind, seed)
            found[f"{what}, {kind}, named"] = leak.accuracy
            found[f"{what}, {kind}, nats"] = leak.nats
    return found


def true_style(seed: int) -> list[Coded]:
    """Code strokes by their own style, of which y is independent: a leak of 0.

    Fresh factors, as many as in the three splits.
    """
    generator = torch.Generator().manual_seed(1000 + seed)
    parts = []
    for count in (STROKES.examples, 2000, 2000):
        classes, values = draw_factors(count, generator)
        style = values[:, 1:].float()
        parts.append(Coded(style, style, classes[:, 0], style))
    return parts


# --- what z tells of the style ------------------------------------------------------


def style_read(train: Coded, test: Coded, seed: int) -> dict[str, float]:
    """Read the style from the means: R² of each factor on test strokes.

    Four readers: linear or a network of one hidden layer, each from z alone or from z
    and y. The linear one that is told y has coefficients of its own for every class.

    Returns
    -------
    dict
        ``"linear, z, slant"`` and so on; ``"wobble"`` is the mean over its eight.
    """
    scale = train.style.mean(0), train.style.std(0)
    want, truth = ((part.style - scale[0]) / scale[1] for part in (train, test))
    found = {}
    for asked, inputs in (("z", _alone), ("z and y", _beside)):
        network = _network(inputs(train), want, seed)
        guesses = {"nonlinear": network(inputs(test))}
        classes = asked == "z and y"
        guesses["linear"] = _ridge(train, want, test, classes)
        for kind, guess in guesses.items():
            r2 = 1 - ((guess - truth) ** 2).mean(0) / truth.var(0, correction=0)
            each = [*r2[: len(STYLE)].tolist(), float(r2[len(STYLE) :].mean())]
            for name, value in zip(READ, each, strict=True):
                found[f"{kind}, {asked}, {name}"] = value
    return found


def _alone(part: Coded) -> Tensor:
    return part.means


def _beside(part: Coded) -> Tensor:
    return torch.cat([part.means, F.one_hot(part.y, 10).float()], 1)


def _network(x: Tensor, want: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    from sklearn.neural_network import MLPRegressor

    settings, mean, spread = SETTINGS["reader"], x.mean(0), x.std(0).clamp(min=1e-8)
    network = MLPRegressor(
        hidden_layer_sizes=(settings["hidden"],), alpha=settings["alpha"],
        max_iter=settings["epochs"], learning_rate_init=5e-3, random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops after its epochs, as it should
        network.fit(((x - mean) / spread).numpy(), want.numpy())

    def read(x: Tensor) -> Tensor:
        guess = network.predict(((x - mean) / spread).numpy())
        return torch.from_numpy(guess).reshape(len(x), -1)

    return read


def _ridge(train: Coded, want: Tensor, test: Coded, classes: bool) -> Tensor:
    """Read linearly, with one set of coefficients or, told classes, one a class."""
    groups = range(10) if classes else [None]
    guess = torch.zeros(len(test.y), want.shape[1])
    for c in groups:
        here, there = ((p.y == p.y) if c is None else p.y == c for p in (train, test))
        ones = [torch.ones(int(rows.sum()), 1) for rows in (here, there)]
        A = torch.cat([ones[0], train.means[here]], 1)
        penalty = SETTINGS["ridge"] * len(A) * torch.eye(A.shape[1])
        B = torch.linalg.solve(A.T @ A + penalty, A.T @ want[here])
        guess[there] = torch.cat([ones[1], test.means[there]], 1) @ B
    return guess


# --- what a code is worth in another class ------------------------------------------


def analogies(model: ConditionalVAE, seed: int) -> dict[str, float]:
    """Distortion of test strokes, decoded from codes of the same or of other hands.

    Each test stroke's hand is drawn again in another class, by the renderer: that is
    the right answer. The codes are means, the label is that of the answer.

    Returns
    -------
    dict
        In nats a picture: ``"own"`` from the answer's own code; ``"same hand"`` from
        the code of the other class; ``"another hand"`` from the code of another answer
        of the same class.
    """
    x, y = STROKES.part("test")
    values = factors_of("test").values.clone()
    generator = torch.Generator().manual_seed(seed)
    other = (y + torch.randint(1, 10, (len(y),), generator=generator)) % 10
    values[:, 0] = other.double()
    answers = (render(values) >= 0.5).float()
    here, own = encode(model, x, y)[0], encode(model, answers, other)[0]
    stranger = own.clone()
    for c in range(10):
        mine = (other == c).nonzero()[:, 0]
        stranger[mine] = own[mine.roll(1)]
    hot = F.one_hot(other, 10).float()
    codes = {"own": own, "same hand": here, "another hand": stranger}
    return {
        name: -float(log_likelihood(answers, model.decode(z, hot)).mean())
        for name, z in codes.items()
    }


# --- all runs -----------------------------------------------------------------------


def measure(model: Any, seed: int) -> dict[str, float]:
    """Measure all of the above of one model, or of the true style (``model`` None)."""
    if model is None:
        return stored.rounded(leaks(true_style(seed), seed))
    generator = torch.Generator().manual_seed(seed)
    parts = [coded(model, part, generator) for part in ("train", "validation", "test")]
    found = leaks(parts, seed) | style_read(parts[0], parts[2], seed)
    x, y = STROKES.part("test")
    mu, logvar = encode(model, x, y)
    found["rate"] = float(gaussian_kl(mu, logvar).mean())
    if isinstance(model, ConditionalVAE):
        found |= analogies(model, seed)
    return stored.rounded(found)


def run(family: str) -> dict[str, list[float]]:
    """Train and measure a family: by quantity, one number a seed."""
    with alone():
        models = [None] * len(SEEDS) if family == "truth" else train(family)
        each = [measure(model, seed) for model, seed in zip(models, SEEDS, strict=True)]
    return stored.by_quantity(each)


def run_all(
    families: Sequence[str] = FAMILIES,
    workers: int | None = 1,
    after_each: Callable[[str], object] | None = None,
) -> None:
    """Run what the file does not hold yet: see `stored.run_missing`."""
    stored.run_missing(PLACE, SETTINGS, families, run, workers, after_each)


def load(family: str) -> dict[str, Tensor]:
    """Read a family's numbers: by quantity, one a seed (5,).

    Raises
    ------
    ValueError
        If the run is missing or was made with other settings: run ``make sweeps``.

    Examples
    --------
    >>> load("conditional")["samples, nonlinear, nats"].shape
    torch.Size([5])
    """
    numbers = stored.table(PLACE, SETTINGS, [family])
    return {quantity: values[0] for quantity, values in numbers.items()}
