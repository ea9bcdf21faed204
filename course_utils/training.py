"""One training loop for every model of the course.

The data stay in memory as one tensor; each epoch visits them in a new order by indexing
a permutation, which is several times faster than loading one item at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from course_utils.objectives import squared_error

Loss = Callable[[nn.Module, torch.Tensor, torch.Generator], torch.Tensor]


@dataclass
class History:
    """Mean loss per example after each epoch, on the training and validation data."""

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)


def reconstruction_loss(
    model: nn.Module, batch: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Squared error of a model's reconstruction of a batch (N, D)."""
    return squared_error(batch, model(batch))


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
) -> History:
    """Train a model in place by minibatch Adam.

    Parameters
    ----------
    model
        Any module.
    loss
        ``loss(model, batch, generator)``: one number, the mean over the batch. The
        generator is for losses that draw noise.
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

    Returns
    -------
    History
        Mean loss of each epoch.

    Raises
    ------
    ValueError
        If the data are not (N, D), are not finite, a count is no whole number from 1,
        the step size is not positive, or the loss is not one number.
    FloatingPointError
        If the loss becomes NaN or infinite; names the epoch and the batch.

    Examples
    --------
    >>> from course_utils.models import LinearAutoencoder
    >>> x = torch.randn(256, 5)
    >>> history = fit(LinearAutoencoder(5, 2), reconstruction_loss, x, epochs=3)
    >>> len(history.train)
    3
    """
    _check_data(x, "x")
    if validation is not None:
        _check_data(validation, "validation")
    for name, count in (("epochs", epochs), ("batch_size", batch_size)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} is {count!r}; expected a whole number from 1")
    if not 0 < lr < math.inf:
        raise ValueError(f"lr is {lr}; expected a positive, finite step size")
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    history = History()
    for epoch in range(epochs):
        model.train()
        total = torch.zeros((), dtype=torch.float64)
        order = torch.randperm(len(x), generator=generator)
        for step, rows in enumerate(order.split(batch_size)):
            optimiser.zero_grad()
            value = loss(model, x[rows], generator)
            if value.ndim > 0:
                raise ValueError(
                    f"the loss has shape {tuple(value.shape)}; expected one number, "
                    "the mean over the batch"
                )
            if not torch.isfinite(value):
                raise FloatingPointError(
                    f"the loss is {value.item()} in epoch {epoch}, batch {step} "
                    f"(both counted from 0): a step size of {lr:g} may be too large, "
                    "or the loss takes log of 0"
                )
            value.backward()
            optimiser.step()
            total += value.detach() * len(rows)
        history.train.append(float(total) / len(x))
        if validation is not None:
            history.validation.append(evaluate(model, loss, validation, seed))
    return history


@torch.no_grad()
def evaluate(model: nn.Module, loss: Loss, x: torch.Tensor, seed: int = 0) -> float:
    """Return the loss of a model on data (N, D), with fixed noise."""
    was_training = model.training
    model.eval()
    value = float(loss(model, x, torch.Generator().manual_seed(seed)))
    model.train(was_training)
    return value


def _check_data(x: torch.Tensor, name: str) -> None:
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; expected (N, D), N ≥ 1")
    if not x.isfinite().all():
        raise ValueError(f"{name} holds NaN or infinite values; expected finite data")
