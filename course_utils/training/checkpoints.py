"""Weights on the disk: plain arrays and JSON, with a checksum, written whole or not.

A checkpoint is a NumPy ``.npz`` archive: one array a tensor, and a header in JSON with
the tensors' names, the configuration and a SHA-256 over all of it. Reading one runs no
code, which a pickled model would, and needs neither the class that was saved nor one
particular version of torch: the file outlives both.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import nn

FORMAT = 1
HEADER = "header"

M = TypeVar("M", bound=nn.Module)


class Checkpoint(NamedTuple):
    """What a file holds: tensors by name, the configuration, and notes."""

    tensors: dict[str, torch.Tensor]
    config: dict[str, Any]
    notes: dict[str, Any]


def save(
    path: str | Path,
    tensors: Mapping[str, torch.Tensor],
    config: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Write tensors with their configuration: the whole file or none.

    The file is written under another name in the same folder and takes its own name
    when it is complete: a run that is killed meanwhile leaves the old file as it was.

    Parameters
    ----------
    path
        The file; its folder must exist.
    tensors
        Tensors by name, such as a module's ``state_dict()``.
    config
        What a reader must agree with (sizes, settings): numbers, texts, lists, dicts.
    notes
        What a reader need not agree with (a history, a date), of the same kinds.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If a value is no tensor or has a type that NumPy lacks, or the configuration or
        the notes hold what JSON cannot.
    FileNotFoundError
        If there is no such folder.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save(f"{folder}/two.npz", {"w": torch.ones(2)}, {"D": 2})
    ...     load(file, {"D": 2}).tensors
    {'w': tensor([1., 1.])}
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write into")
    arrays = {name: _array(name, tensor) for name, tensor in tensors.items()}
    header = {
        "format": FORMAT,
        "names": list(arrays),
        "config": _plain(config or {}, "config"),
        "notes": _plain(notes or {}, "notes"),
    }
    header["sha256"] = _checksum(header, list(arrays.values()))
    members = {f"tensor{place}": a for place, a in enumerate(arrays.values())}
    members[HEADER] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, **members)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return path


def load(path: str | Path, config: Mapping[str, Any] | None = None) -> Checkpoint:
    """Read a checkpoint, and refuse one that is damaged or of another configuration.

    Parameters
    ----------
    path
        The file.
    config
        What the file's configuration must say. Entries that are not named here may be
        anything; `None` accepts every file.

    Returns
    -------
    Checkpoint
        Its tensors (on the CPU), configuration and notes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no checkpoint, is damaged, or an entry of its configuration
        differs from ``config``; names the entry and both values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    header, arrays = _read(path)
    if config is not None:
        _agree(path, header["config"], _plain(config, "config"))
    tensors = {
        name: torch.from_numpy(array)
        for name, array in zip(header["names"], arrays, strict=True)
    }
    return Checkpoint(tensors, header["config"], header["notes"])


def save_model(
    path: str | Path, model: nn.Module, notes: Mapping[str, Any] | None = None
) -> Path:
    """Write a model's weights, with its class's name and its ``config``, if it has one.

    Examples
    --------
    >>> import tempfile
    >>> from torch import nn
    >>> first, second = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     second = load_model(save_model(f"{folder}/line.npz", first), second)
    >>> torch.equal(first.weight, second.weight)
    True
    """
    return save(path, model.state_dict(), model_config(model), notes)


def load_model(path: str | Path, model: M) -> M:
    """Put the weights of a file into a model of the same class and sizes.

    Returns
    -------
    Module
        The model itself.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or is of another class, configuration or shape. The
        model is then as it was.
    """
    stored = load(path, model_config(model))
    put(model, stored.tensors, str(path))
    return model


def model_config(model: nn.Module) -> dict[str, Any]:
    """Describe a model: its class's name, and the ``config`` that it may carry."""
    return {"model": type(model).__name__, **dict(getattr(model, "config", {}))}


def put(model: nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Put tensors into a model's state, all or none.

    Raises
    ------
    ValueError
        If a name is missing or too many, or a shape or a type differs.
    """
    here = model.state_dict()
    missing, extra = sorted(set(here) - set(tensors)), sorted(set(tensors) - set(here))
    if missing or extra:
        said = [f"lacks {', '.join(missing)}"] if missing else []
        said += [f"has {', '.join(extra)} too many"] if extra else []
        raise ValueError(f"{source} does not fit the model: it {' and '.join(said)}")
    for name, tensor in tensors.items():
        want, got = here[name], tensor
        if (want.shape, want.dtype) != (got.shape, got.dtype):
            raise ValueError(
                f"{source} does not fit the model: {name} is {tuple(got.shape)} "
                f"{got.dtype} there, {tuple(want.shape)} {want.dtype} here"
            )
    model.load_state_dict(dict(tensors))


def checksum_of(*tensors: torch.Tensor) -> str:
    """Return a SHA-256 of tensors' types, shapes and values, in hexadecimal.

    Examples
    --------
    >>> checksum_of(torch.zeros(2)) == checksum_of(torch.zeros(2))
    True
    >>> checksum_of(torch.zeros(2)) == checksum_of(torch.zeros(1, 2))
    False
    """
    arrays = [_array(str(place), tensor) for place, tensor in enumerate(tensors)]
    return _checksum({}, arrays)


def _array(name: str, tensor: torch.Tensor) -> np.ndarray:
    if not isinstance(tensor, torch.Tensor):
        raise ValueError(f"{name} is a {type(tensor).__name__}; expected a tensor")
    try:
        return np.ascontiguousarray(tensor.detach().cpu().numpy()).reshape(tensor.shape)
    except TypeError as error:
        raise ValueError(
            f"{name} is of type {tensor.dtype}, which NumPy lacks; convert it first"
        ) from error


def _plain(values: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return what JSON makes of the values, with tuples as lists."""
    plain = {}
    for key, value in values.items():
        try:
            plain[str(key)] = json.loads(json.dumps(value))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{what}[{key!r}] is {value!r}; expected numbers, texts, lists or dicts"
            ) from error
    return plain


def _checksum(header: Mapping[str, Any], arrays: list[np.ndarray]) -> str:
    said = {key: value for key, value in header.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no checkpoint of this course, or was cut short")
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = json.loads(archive[HEADER].tobytes())
            count = len(header["names"])
            arrays = [archive[f"tensor{place}"] for place in range(count)]
        written = header["format"]
        intact = header["sha256"] == _checksum(header, arrays)
    except Exception as error:  # a damaged archive raises nearly anything
        raise ValueError(
            f"{path} is damaged, or no checkpoint of this course ({error})"
        ) from error
    if written != FORMAT:
        raise ValueError(f"{path} has format {written}; this course reads {FORMAT}")
    if not intact:
        raise ValueError(
            f"{path} is damaged: its content does not match its checksum. Delete it, "
            "or put back a copy"
        )
    return header, arrays


def _agree(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    for key, value in here.items():
        if key not in there:
            raise ValueError(
                f"{path} is of another configuration: it says nothing of {key}, which "
                f"is {value!r} here"
            )
        if json.dumps(there[key], sort_keys=True) != json.dumps(value, sort_keys=True):
            raise ValueError(
                f"{path} is of another configuration: {key} is {there[key]!r} there, "
                f"{value!r} here"
            )
