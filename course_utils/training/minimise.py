"""Minimise a smooth function of a few tensors to the last digits: L-BFGS."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch


def minimise(
    loss: Callable[[], torch.Tensor],
    parameters: Sequence[torch.Tensor],
    *,
    rounds: int = 2,
    steps: int = 500,
    history: int = 30,
    slope: float = 1e-13,
    change: float = 1e-18,
) -> None:
    """Minimise ``loss()`` over the parameters in place, by L-BFGS with line search.

    For exact answers in small worlds: no minibatches, no noise. Data in float64.
    The loss is exact to its last digits, the place to about half as many: nearer than
    that, the loss does not tell two places apart.

    Parameters
    ----------
    loss
        Returns one number, 0-d, without randomness.
    parameters
        What it is minimised over, with ``requires_grad``.
    rounds
        How often L-BFGS starts afresh from where it ended.
    steps
        Most steps a round.
    history
        How many steps it remembers.
    slope, change
        It stops where no slope is larger, or the loss changes by less.

    Examples
    --------
    >>> u = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    >>> minimise(lambda: ((u - 3) ** 2).sum(), [u])
    >>> u.detach()
    tensor([3., 3.], dtype=torch.float64)
    """
    optimiser = torch.optim.LBFGS(
        parameters,
        max_iter=steps,
        history_size=history,
        tolerance_grad=slope,
        tolerance_change=change,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    for _ in range(rounds):
        optimiser.step(closure)
