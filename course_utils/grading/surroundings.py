"""What a function may change beside its answer, put back after a check.

A learner's function can leave behind another default dtype, gradients switched off, a
seed, or `torch.exp` replaced by something else. The lesson after the check should not
feel it, and the learner should hear of it.
"""

from __future__ import annotations

import builtins
import contextlib
import math
import operator
import os
import random
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch


class Setting(NamedTuple):
    """A global setting: what it is called, how to read it, how to write it."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]


def _use_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)


def _use_deterministic(value: bool) -> None:
    torch.use_deterministic_algorithms(value)


def _numpy_state() -> Any:
    """Return NumPy's global state; nothing where its generators were never loaded."""
    loaded = sys.modules.get("numpy.random")
    return loaded.get_state() if loaded else None


def _to_numpy_state(state: Any) -> None:
    if state is not None:
        np.random.set_state(state)  # noqa: NPY002


SETTINGS = (
    Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Setting("torch's default device", torch.get_default_device, _use_device),
    Setting(
        "whether torch records gradients",
        torch.is_grad_enabled,
        torch.set_grad_enabled,
    ),
    Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    Setting(
        "torch's deterministic mode",
        torch.are_deterministic_algorithms_enabled,
        _use_deterministic,
    ),
    Setting("NumPy's handling of errors", np.geterr, lambda old: np.seterr(**old)),
    Setting("the working folder", os.getcwd, os.chdir),
    Setting("torch's seed", torch.initial_seed, lambda seed: None),  # see STATES
)
STATES: tuple[tuple[Callable[[], Any], Callable[[Any], None]], ...] = (
    (torch.get_rng_state, torch.set_rng_state),
    (_numpy_state, _to_numpy_state),
    (random.getstate, random.setstate),
)
PLACES: tuple[ModuleType | type, ...] = (
    builtins,
    math,
    np,
    np.linalg,
    torch,
    torch.linalg,
    torch.nn.functional,
    torch.distributions,
    torch.Tensor,
)


@contextlib.contextmanager
def restored(said: list[str]) -> Iterator[None]:
    """Put settings and replaced names back after the enclosed code.

    Parameters
    ----------
    said
        Takes a line for each thing that had been changed.
    """
    settings = [setting.read() for setting in SETTINGS]
    names = [dict(vars(place)) for place in PLACES]
    try:
        yield
    finally:
        for place, before in zip(PLACES, names, strict=True):
            said.extend(_names_back(place, before))
        for setting, old in zip(SETTINGS, settings, strict=True):
            if setting.read() != old:
                setting.write(old)
                said.append(f"it changes {setting.name}; that is put back.")


@contextlib.contextmanager
def generators_kept() -> Iterator[None]:
    """Put the states of the global random generators back after the enclosed code."""
    states = [read() for read, _ in STATES]
    try:
        yield
    finally:
        for (_, write), state in zip(STATES, states, strict=True):
            write(state)


def _names_back(place: ModuleType | type, before: dict[str, Any]) -> list[str]:
    now = vars(place)
    same = all(map(operator.is_, before.values(), now.values()))
    added = set(now) - set(before) if isinstance(place, type) else set()
    if same and not added:  # the usual case, fast
        return []
    changed = [name for name, value in before.items() if now.get(name) is not value]
    for name in changed:
        setattr(place, name, before[name])
    for name in added:  # it hides a method of the base class
        delattr(place, name)
    return [
        f"it replaces {place.__name__}.{name}; that is put back."
        for name in [*changed, *sorted(added)]
    ]
