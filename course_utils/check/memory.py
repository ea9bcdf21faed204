"""The learner's progress: which exercises are solved, tried, or not yet begun.

Kept in memory, and in ``.progress.json`` of the working folder when that folder is a
learner's workbook (it then holds ``.workbook.json``). A missing, broken or read-only
file is not an error: progress is a comfort, never a condition.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from course_utils.files import write_atomically

FILE = ".progress.json"
MARK = ".workbook.json"  # the workbook builder puts it into a learner's folder

_memory: dict[str, dict[str, float | str]] = {}


def _path() -> Path | None:
    folder = Path.cwd()
    return folder / FILE if (folder / MARK).exists() else None


def load() -> dict[str, dict[str, float | str]]:
    """Return what is known, as ``{name: {"status": ..., "score": ...}}``."""
    path = _path()
    stored: object = {}
    if path is not None:
        with contextlib.suppress(OSError, ValueError):
            stored = json.loads(path.read_text(encoding="utf-8"))
    entries = stored if isinstance(stored, dict) else {}
    known = {name: entry for name, entry in entries.items() if _is_entry(entry)}
    return _merged(known, _memory)


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("status") in ("solved", "tried")
        and isinstance(entry.get("score"), int | float)
    )


def _merged(
    first: dict[str, dict[str, float | str]], second: dict[str, dict[str, float | str]]
) -> dict[str, dict[str, float | str]]:
    merged = dict(first)
    for name, entry in second.items():
        old = merged.get(name)
        if old is None or float(entry["score"]) >= float(old["score"]):
            merged[name] = entry
    return merged


def record(name: str, status: str, score: float) -> None:
    """Note the outcome of one check; the best one so far is kept.

    Parameters
    ----------
    name
        Name of the exercise.
    status
        ``"passed"``, ``"failed"`` or ``"not attempted"``.
    score
        Points earned.
    """
    if status == "not attempted":
        return
    entry: dict[str, float | str] = {
        "status": "solved" if status == "passed" else "tried",
        "score": float(score),
    }
    _memory.update(
        _merged({name: _memory[name]} if name in _memory else {}, {name: entry})
    )
    path = _path()
    if path is None:
        return
    with contextlib.suppress(OSError):
        write_atomically(path, json.dumps(load(), indent=1, sort_keys=True) + "\n")


def status(name: str) -> str:
    """Return ``"solved"``, ``"tried"`` or ``"not yet"``."""
    entry = load().get(name)
    return str(entry["status"]) if entry else "not yet"


def forget() -> None:
    """Drop what this session remembers; the file stays."""
    _memory.clear()
