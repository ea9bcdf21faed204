"""Slopes, and steps of plain gradient descent, for exercises that train."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from course_utils.grading.trial import Refused

__all__ = ["descended", "slopes"]


def slopes(objective: Callable[..., Tensor], *places: Tensor) -> tuple[Tensor, ...]:
    """Differentiate a function at some tensors; 0 in those that it does not depend on.

    Examples
    --------
    >>> slopes(lambda u, v: (u**2).sum(), torch.tensor([3.0]), torch.tensor([1.0]))
    (tensor([6.]), tensor([0.]))
    """
    with torch.enable_grad():
        leaves = [place.detach().requires_grad_() for place in places]
        value = objective(*leaves)
        return torch.autograd.grad(value, leaves, materialize_grads=True)


def descended(
    losses: Iterable[Callable[..., Tensor]], start: Sequence[Tensor], lr: float
) -> list[Tensor]:
    """Take one plain step for each loss of a learner's, a function of all weights.

    Raises
    ------
    Refused
        If no gradient comes back from a loss.

    Examples
    --------
    >>> descended([lambda w: (w**2).sum()] * 2, [torch.tensor([8.0])], lr=0.25)
    [tensor([2.])]
    """
    weights = list(start)
    for loss in losses:
        moved = slopes(_connected(loss), *weights)
        weights = [w - lr * slope for w, slope in zip(weights, moved, strict=True)]
    return weights


def _connected(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def checked(*weights: Tensor) -> Tensor:
        value = loss(*weights)
        if not getattr(value, "requires_grad", False):
            raise Refused(
                "no step can be taken: your loss is cut off from the weights. Look for "
                ".detach(), .item(), float() or torch.no_grad()."
            )
        return value

    return checked
