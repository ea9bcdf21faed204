"""Weights on the disk: safetensors files with their configuration, whole or not at all.

Reading one runs no code, which a pickled model would. The header of the file carries a
SHA-256 of its content, since the format itself does not notice a changed number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from course_utils.files import write_atomically


class Checkpoint(NamedTuple):
    """What a file holds: tensors by name, and the configuration they belong to."""

    tensors: dict[str, torch.Tensor]
    config: dict[str, Any]


def save(
    path: str | Path,
    tensors: Mapping[str, torch.Tensor],
    config: Mapping[str, Any] | None = None,
) -> Path:
    """Write tensors with their configuration: the whole file or none.

    Parameters
    ----------
    path
        The file; its folder must exist.
    tensors
        Tensors by name, such as a module's ``state_dict()``.
    config
        What they belong to (sizes, settings): numbers, texts, lists, dicts.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If a value is no tensor, or the configuration holds what JSON cannot.
    OSError
        If there is no such folder, or it cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save(f"{folder}/two.safetensors", {"w": torch.ones(2)}, {"D": 2})
    ...     load(file)
    Checkpoint(tensors={'w': tensor([1., 1.])}, config={'D': 2})
    """
    from safetensors.torch import save as as_bytes

    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{name} is a {type(tensor).__name__}; expected a tensor")
    try:
        said = json.dumps(dict(config or {}), sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"config is {config!r}; expected numbers, texts, lists or dicts ({error})"
        ) from error
    # Copies: the format refuses tensors that share memory, such as tied weights.
    packed = torch.contiguous_format
    plain = {n: t.detach().clone(memory_format=packed) for n, t in tensors.items()}
    header = {"config": said, "sha256": _checksum(plain, said)}
    write_atomically(Path(path), as_bytes(plain, metadata=header))
    return Path(path)


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint, and refuse one that is damaged.

    Returns
    -------
    Checkpoint
        Its tensors (on the CPU) and its configuration.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no checkpoint, is cut short, or was altered.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            header = file.metadata()
        said, checksum = header["config"], header["sha256"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged, or no checkpoint of this course ({error})"
        ) from error
    if checksum != _checksum(tensors, said):
        raise ValueError(
            f"{path} is damaged: its content does not match its checksum. Delete it, "
            "or put back a copy"
        )
    return Checkpoint(tensors, json.loads(said))


def _checksum(tensors: Mapping[str, torch.Tensor], config: str) -> str:
    digest = hashlib.sha256(config.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
