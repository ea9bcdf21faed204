"""Calling a loss of any kind, safely: on copies, with its random numbers held still."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class Failed(Exception):
    """The loss gave no finite number; the message says what it did."""


@dataclass(frozen=True)
class Size:
    """Sizes of the inputs: examples, shape of one example, latent dimensions."""

    N: int
    shape: tuple[int, ...]
    K: int

    @property
    def D(self) -> int:
        """Data dimensions of one example."""
        return math.prod(self.shape)

    def data(self, value: float | Tensor, like: torch.dtype) -> Tensor:
        """Fill (N, *shape) with one number, or give a tensor that shape."""
        return (torch.zeros(self.N, *self.shape, dtype=like) + value).clone()

    def latent(self, value: float | Tensor, like: torch.dtype) -> Tensor:
        """Fill (N, K) with one number."""
        return (torch.zeros(self.N, self.K, dtype=like) + value).clone()


class Caller:
    """Calls the loss on copies, with its random numbers held fixed."""

    def __init__(self, loss: Callable[..., Any], pack: Callable[[Tensor], Any] | None):
        self.loss, self.pack = loss, pack or (lambda x_hat: x_hat)
        self.dtype = torch.float64
        self.draws = 1
        self.changed: set[str] = set()  # arguments that the loss wrote into
        self.warned: list[str] = []
        self.single = False  # whether the loss answers in less than float64

    def output(
        self, x: Tensor, x_hat: Tensor, mu: Tensor, logvar: Tensor, seed: int = 0
    ) -> Tensor:
        """Call once, and return what the loss returns, as a tensor."""
        given = {"x": x, "x_hat": x_hat, "mu": mu, "logvar": logvar}
        copies = {name: value.clone() for name, value in given.items()}
        # As torch.random.fork_rng and torch.manual_seed, several times faster.
        state = torch.default_generator.get_state()
        torch.default_generator.manual_seed(seed)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                out = self.loss(
                    copies["x"],
                    self.pack(copies["x_hat"]),
                    copies["mu"],
                    copies["logvar"],
                )
        except Exception as error:  # whatever a learner's loss may raise
            text = str(error).strip().splitlines() or ["no message"]
            raise Failed(f"it raised {type(error).__name__}: {text[0]}") from None
        finally:
            torch.default_generator.set_state(state)
        for warning in caught:
            said = (str(warning.message).strip().splitlines() or ["no message"])[0]
            if said not in self.warned:
                self.warned.append(said)
        for name, value in given.items():
            if not torch.equal(copies[name].detach(), value.detach()):
                self.changed.add(name)
        if isinstance(out, bool) or not isinstance(out, Tensor | float | int):
            wrap: dict[type, str] = {
                tuple: " (wrap it: lambda *a: loss(*a)[0])",
                dict: ' (wrap it: lambda *a: loss(*a)["loss"])',
            }
            raise Failed(
                f"it returned a {type(out).__name__}; expected one number as a tensor"
                + wrap.get(type(out), "")
            )
        if not isinstance(out, Tensor) or not out.is_floating_point():
            out = torch.as_tensor(out, dtype=torch.float64)
        self.single |= out.dtype != torch.float64
        return out

    def __call__(self, x: Tensor, x_hat: Tensor, mu: Tensor, logvar: Tensor) -> float:
        """Return the loss as one number: its sum, and the mean over its draws."""
        total = 0.0
        for seed in range(self.draws):
            total += float(self.output(x, x_hat, mu, logvar, seed).detach().sum())
        if not math.isfinite(total):
            raise Failed(f"it returned {total}")
        return total / self.draws
