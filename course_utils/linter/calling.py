"""Calling a loss of any kind, safely: on copies, with its random numbers held still."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ORDER = ("x", "x_hat", "mu", "logvar")
Point = tuple[Tensor, Tensor, Tensor, Tensor]


class Failed(Exception):
    """The loss gave no finite number; the message says what it did."""


@dataclass(frozen=True)
class Size:
    """Sizes of the inputs: examples, shape of one example, shape of its latents."""

    N: int
    shape: tuple[int, ...]
    latents: tuple[int, ...]

    @property
    def D(self) -> int:
        """Data dimensions of one example."""
        return math.prod(self.shape)

    @property
    def K(self) -> int:
        """Latent dimensions of one example."""
        return math.prod(self.latents)

    def data(self, value: float | Tensor, like: torch.dtype) -> Tensor:
        """Fill (N, *shape) with one number, or give a tensor that shape."""
        return (torch.zeros(self.N, *self.shape, dtype=like) + value).clone()

    def latent(self, value: float | Tensor, like: torch.dtype) -> Tensor:
        """Fill (N, *latents) with one number."""
        return (torch.zeros(self.N, *self.latents, dtype=like) + value).clone()


class Caller:
    """Calls the loss on copies, with its random numbers held fixed."""

    def __init__(
        self,
        loss: Callable[..., Any],
        pack: Callable[[Tensor], Any] | None,
        order: tuple[str, ...] = ORDER,
    ):
        self.loss, self.pack, self.order = loss, pack or (lambda x_hat: x_hat), order
        self.dtype = torch.float64
        self.draws = 1
        self.changed: set[str] = set()  # arguments that the loss wrote into
        self.warned: list[str] = []
        self.single = False  # whether the loss answers in less than float64

    def output(self, point: Point, seed: int = 0) -> Tensor:
        """Call once, and return what the loss returns, as a tensor."""
        given = dict(zip(ORDER, point, strict=True))
        copies = {name: value.clone() for name, value in given.items()}
        # As torch.random.fork_rng and torch.manual_seed, several times faster.
        state = torch.default_generator.get_state()
        torch.default_generator.manual_seed(seed)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                packed: dict[str, Any] = dict(copies)
                packed["x_hat"] = self.pack(copies["x_hat"])
                out = self.loss(*(packed[name] for name in self.order))
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
            raise Failed(
                f"it returned a {type(out).__name__}; expected one number as a tensor"
                + _unwrap(out)
            )
        if not isinstance(out, Tensor) or not out.is_floating_point():
            out = torch.as_tensor(out, dtype=torch.float64)
        self.single |= out.dtype != torch.float64
        return out

    def each(self, *point: Tensor, draws: int | None = None) -> Tensor:
        """Return the loss as one number, its sum, for each of its draws: (R,)."""
        x, x_hat, mu, logvar = point
        totals = [
            float(self.output((x, x_hat, mu, logvar), seed).detach().sum())
            for seed in range(draws or self.draws)
        ]
        if not all(map(math.isfinite, totals)):
            raise Failed(
                f"it returned {next(t for t in totals if not math.isfinite(t))}"
            )
        return torch.tensor(totals, dtype=torch.float64)

    def __call__(self, *point: Tensor) -> float:
        """Return the loss as one number: its sum, and the mean over its draws."""
        return float(self.each(*point).mean())


def _unwrap(out: Any) -> str:
    """Say how to take the loss out of what else a function returns with it."""
    fields = getattr(out, "_fields", ())
    if isinstance(out, Mapping):
        named = [key for key in out if isinstance(key, str) and "loss" in key.lower()]
        key = "loss" if "loss" in out else (named or list(out) or ["loss"])[0]
        how = f'loss(*a)["{key}"]' if isinstance(key, str) else f"loss(*a)[{key!r}]"
    elif "loss" in fields or (not fields and hasattr(out, "loss")):
        how = "loss(*a).loss"
    elif fields:
        how = f"loss(*a).{fields[0]}"
    elif isinstance(out, tuple | list):
        how = "loss(*a)[0]"
    elif hasattr(out, "item"):
        return " (a number of another library has no gradient for torch)"
    else:
        return ""
    return f" (wrap it: lambda *a: {how})"
