"""One training loop for every model of the course.

The data stay in memory as one tensor; each epoch visits them in a new order by indexing
a permutation, which is several times faster than loading one item at a time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from course_utils.arguments import whole_numbers

LossValue = torch.Tensor | Mapping[str, torch.Tensor]


Loss = Callable[[nn.Module, torch.Tensor, torch.Generator], LossValue]


LARGE = 1e4  # a weight beyond this has run away: data and codes are of size 1


@dataclass
class History:
    """Means per example after each epoch, on the training and the validation data.

    Attributes
    ----------
    train, validation
        The loss, one number an epoch. That of the training data is the mean over the
        epoch's batches, while the weights were still changing.
    train_terms, validation_terms
        The same of each further term that the loss named, such as ``distortion``.

    See Also
    --------
    course_utils.plots.history : draws it.
    """

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    train_terms: dict[str, list[float]] = field(default_factory=dict)
    validation_terms: dict[str, list[float]] = field(default_factory=dict)

    def columns(self) -> dict[str, list[float]]:
        """Return every curve under one name each, one number an epoch.

        Examples
        --------
        >>> History([2.0, 1.0], [3.0, 2.0], {"rate": [0.5, 0.4]}).columns()
        {'train loss': [2.0, 1.0], 'validation loss': [3.0, 2.0],
         'train rate': [0.5, 0.4]}
        """
        found = {"train loss": self.train, "validation loss": self.validation}
        found |= {f"train {name}": self.train_terms[name] for name in self.train_terms}
        terms = self.validation_terms
        found |= {f"validation {name}": terms[name] for name in terms}
        return {name: column for name, column in found.items() if column}


class TrainingStopped(FloatingPointError):
    """The loss became NaN or infinite. ``history`` has the epochs before that."""

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


def fit(
    model: nn.Module,
    loss: Loss,
    x: torch.Tensor,
    *,
    validation: torch.Tensor | None = None,
    epochs: int,
    batch_size: int = 128,
    lr: float = 1e-3,
    seed: int = 0,
    bar: bool = False,
    after_epoch: Callable[[History], object] | None = None,
) -> History:
    """Train a model in place by minibatch Adam.

    Parameters
    ----------
    model
        Any module.
    loss
        ``loss(model, batch, generator)``: one number, the mean over the batch, or a
        dict of such numbers, of which ``"loss"`` is minimised and the others are noted
        in the history. The generator is for losses that draw noise.
    x
        Training data (N, D).
    validation
        Data to evaluate the same loss on after each epoch, with a generator that starts
        from the same seed every time, so that its noise does not change.
    epochs, batch_size, lr
        Passes over the data, examples a step, step size of Adam.
    seed
        Seed of the order of the examples and of the loss's noise. The weights the model
        starts from are the caller's: seed them before building it.
    bar
        Show a bar with the time left, which disappears at the end.
    after_epoch
        Called with the history so far after every epoch: to look at the model while it
        changes. What it draws must not come from torch's global generator if the loss
        or the model uses that one.

    Returns
    -------
    History
        Mean loss of each epoch.

    Raises
    ------
    ValueError
        If the data are not (N, D), are not finite, a count is no whole number from 1,
        the step size is not positive, or the loss is not one number or a dict with
        ``"loss"``.
    TrainingStopped
        If the loss becomes NaN or infinite, before a step is made with it; names the
        epoch, the batch and the likely cause. It is a `FloatingPointError`.

    Examples
    --------
    >>> from course_utils.models import LinearAutoencoder, reconstruction_loss
    >>> x = torch.randn(256, 5)
    >>> history = fit(LinearAutoencoder(5, 2), reconstruction_loss, x, epochs=3)
    >>> len(history.train)
    3
    """
    check_settings(x, validation, epochs, batch_size, lr)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    history = History()
    batches = math.ceil(len(x) / batch_size)
    steps = _bar(bar, epochs * batches)
    try:
        for epoch in range(epochs):
            model.train()
            totals: dict[str, float] = {}
            order = torch.randperm(len(x), generator=generator).to(x.device)
            for step, rows in enumerate(order.split(batch_size)):
                terms = terms_of(loss(model, x.index_select(0, rows), generator))
                if not math.isfinite(terms["loss"].item()):
                    where = f"in epoch {epoch}, batch {step} (both counted from 0)"
                    cause = _likely_cause(model, terms, lr)
                    said = f"the loss is {terms['loss'].item()} {where}: {cause}"
                    raise TrainingStopped(said, history)
                optimiser.zero_grad()
                terms["loss"].backward()
                optimiser.step()
                add_terms(totals, terms, len(rows))
                steps.update()
            means = {name: total / len(x) for name, total in totals.items()}
            note_means(history.train, history.train_terms, means)
            if validation is not None:
                means = evaluate_terms(model, loss, validation, seed)
                note_means(history.validation, history.validation_terms, means)
            said = f"epoch {epoch + 1}/{epochs}, loss {history.train[-1]:.4g}"
            steps.set_postfix_str(said, refresh=False)
            if after_epoch is not None:
                after_epoch(history)
    finally:
        steps.close()
    return history


def evaluate(model: nn.Module, loss: Loss, x: torch.Tensor, seed: int = 0) -> float:
    """Return the loss of a model on data (N, D), with fixed noise."""
    return evaluate_terms(model, loss, x, seed)["loss"]


@torch.no_grad()
def evaluate_terms(
    model: nn.Module, loss: Loss, x: torch.Tensor, seed: int = 0
) -> dict[str, float]:
    """Return the loss of a model on data (N, D) and its terms, with fixed noise.

    Examples
    --------
    >>> def loss(model, batch, generator):
    ...     return {"loss": batch.sum(1).mean(), "largest": batch.max()}
    >>> evaluate_terms(nn.Identity(), loss, torch.eye(3))
    {'loss': 1.0, 'largest': 1.0}
    """
    was_training = model.training
    model.eval()
    try:
        terms = terms_of(loss(model, x, torch.Generator().manual_seed(seed)))
    finally:
        model.train(was_training)
    return {name: float(value) for name, value in terms.items()}


def check_settings(
    x: torch.Tensor,
    validation: torch.Tensor | None,
    epochs: int,
    batch_size: int,
    lr: float,
) -> None:
    """Refuse, with a ValueError, what `fit` cannot train on or with."""
    _check_data(x, "x")
    if validation is not None:
        _check_data(validation, "validation")
    whole_numbers(epochs=epochs, batch_size=batch_size)
    if not 0 < lr < math.inf:
        raise ValueError(f"lr is {lr}; expected a positive, finite step size")


def _check_data(x: torch.Tensor, name: str) -> None:
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; expected (N, D), N ≥ 1")
    # One pass without a copy; a NaN comes out as the least and the largest value.
    if x.numel() and not all(math.isfinite(v.item()) for v in torch.aminmax(x)):
        raise ValueError(f"{name} holds NaN or infinite values; expected finite data")


# --- terms --------------------------------------------------------------------------


def terms_of(value: LossValue) -> Mapping[str, torch.Tensor]:
    """Return what a loss gave as a dict of 0-d tensors that has ``"loss"``."""
    terms = {"loss": value} if isinstance(value, torch.Tensor) else value
    if not isinstance(terms, Mapping) or "loss" not in terms:
        got = (
            f"a dict of {', '.join(terms) or 'nothing'}"
            if isinstance(terms, Mapping)
            else f"a {type(terms).__name__}"
        )
        raise ValueError(
            f"the loss gave {got}; expected a tensor of one number, or a dict of such "
            "with 'loss', the one to minimise"
        )
    for name, term in terms.items():
        if not isinstance(term, torch.Tensor):
            raise ValueError(
                f"the {name} is a {type(term).__name__}; expected a tensor"
            )
        if term.ndim > 0:
            raise ValueError(
                f"the {name} has shape {tuple(term.shape)}; expected one number, "
                "the mean over the batch"
            )
    return terms


def add_terms(
    totals: dict[str, float], terms: Mapping[str, torch.Tensor], count: int
) -> None:
    """Add to the totals of an epoch the means over one batch, times its examples."""
    for name, term in terms.items():
        totals[name] = totals.get(name, 0.0) + term.item() * count


def note_means(
    losses: list[float], others: dict[str, list[float]], means: dict[str, float]
) -> None:
    """Append an epoch's means to the curve of the loss and those of the other terms."""
    losses.append(means["loss"])
    for name, mean in means.items():
        if name != "loss":
            others.setdefault(name, []).append(mean)


# --- what went wrong ----------------------------------------------------------------


@torch.no_grad()
def _likely_cause(
    model: nn.Module, terms: Mapping[str, torch.Tensor], lr: float
) -> str:
    """Say what most likely broke the loss, from the weights and the last gradient.

    The gradients are still those of the step before: they are cleared after the check.
    """
    large, largest = "", 0.0
    for name, weights in model.named_parameters():
        if not weights.isfinite().all():
            slope = weights.grad
            if slope is not None and not slope.isfinite().all():
                return (
                    f"the gradient of {name} was not finite in the step before. The "
                    "loss has an infinite slope somewhere: a square root or log at 0, "
                    "a division by 0, an overflow"
                )
            return (
                f"{name} is not finite after the step before: a step size of {lr:g} "
                "may be too large"
            )
        if weights.numel() and (size := float(weights.abs().max())) > largest:
            large, largest = name, size
    if largest > LARGE:
        return (
            f"the weights have run away ({large} reaches {largest:.2g}): a step size "
            f"of {lr:g} may be too large"
        )
    names = [name for name in terms if name != "loss"]
    broken = [name for name in names if not terms[name].isfinite()]
    which = (
        f"its term {' and its term '.join(broken)} is not finite, " if broken else ""
    )
    return (
        f"{which}though all weights are finite and small. Likely the log of 0, a "
        "division by 0, or exp of a large number such as an unbounded logvar; or a "
        f"step size of {lr:g} may be too large"
    )


def _bar(shown: bool, total: int) -> Any:
    """Make a progress bar on stdout that disappears; silent where it is not shown."""
    from tqdm import tqdm

    # Not stderr: nbgrader takes anything there for a failure.
    return tqdm(
        total=total,
        file=sys.stdout,
        leave=False,
        unit="batch",
        ncols=80,
        mininterval=0.25,
        disable=not shown,
    )
