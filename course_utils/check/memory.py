"""What is remembered of a learner: which exercises are solved, tried, looked up.

Kept in memory, and in ``.progress.json`` of the working folder when that folder is a
learner's workbook (it then holds ``.workbook.json``). A missing, broken or read-only
file is not an error: progress is a comfort, never a condition.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from course_utils.files import write_atomically

FILE = ".progress.json"
MARK = ".workbook.json"  # the workbook builder puts it into a learner's folder
RELEASED = ".release.json"  # stands in the folder of an assignment that is graded
STATES = {"passed": "solved", "failed": "tried"}  # of a check, of an exercise

Entry = dict[str, Any]  # status, score, and looked_up where the solution was seen

_memory: dict[str, Entry] = {}


def load() -> dict[str, Entry]:
    """Return what is known, as ``{name: {"status": ..., "score": ...}}``."""
    path = _path()
    stored: object = {}
    if path is not None:
        with contextlib.suppress(OSError, ValueError):
            stored = json.loads(path.read_text(encoding="utf-8"))
    entries = stored if isinstance(stored, dict) else {}
    known = {name: entry for name, entry in entries.items() if _is_entry(entry)}
    for name, entry in _memory.items():
        known[name] = _best(known.get(name), entry)
    return known


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
    if status in STATES:
        _note(name, {"status": STATES[status], "score": float(score)})


def look_up(name: str) -> None:
    """Note that the solution was seen, unless the exercise was solved before."""
    if not status(name).startswith("solved"):
        _note(name, {"status": "not yet", "score": 0.0, "looked_up": True})


def status(name: str) -> str:
    """Say how far an exercise is: solved, tried or not yet, and whether looked up."""
    return in_words(load().get(name))


def in_words(entry: Entry | None) -> str:
    """Say what `load` knows of an exercise, such as ``"solved, looked up"``."""
    entry = entry or {"status": "not yet"}
    return str(entry["status"]) + (", looked up" if entry.get("looked_up") else "")


def solutions_are_open() -> bool:
    """Whether the course's versions may be shown: not in a graded assignment."""
    return not (Path.cwd() / RELEASED).exists()


def forget() -> None:
    """Drop what this session remembers; the file stays."""
    _memory.clear()


def _path() -> Path | None:
    folder = Path.cwd()
    return folder / FILE if (folder / MARK).exists() else None


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("status") in ("solved", "tried", "not yet")
        and isinstance(entry.get("score"), int | float)
    )


def _best(old: Entry | None, new: Entry) -> Entry:
    """Take the better outcome; what was looked up stays so."""
    if old is None:
        return new
    rank = ("not yet", "tried", "solved")
    best = max(old, new, key=lambda one: (one["score"], rank.index(one["status"])))
    seen = {"looked_up": True} if {**old, **new}.get("looked_up") else {}
    return {**best, **seen}


def _note(name: str, entry: Entry) -> None:
    _memory[name] = _best(_memory.get(name), entry)
    path = _path()
    if path is not None:
        with contextlib.suppress(OSError):
            text = json.dumps(load(), indent=1, sort_keys=True)
            write_atomically(path, text + "\n")
