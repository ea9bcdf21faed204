"""Numbers that took long to train for, kept as JSON: run what is missing, read all.

One file holds the settings and one entry a run. A file of other settings is not used:
its runs are made anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_utils.files import write_atomically


def run_missing(
    place: Path,
    settings: dict[str, Any],
    names: Sequence[str],
    work: Callable[[str], Any],
    workers: int | None = 1,
    after_each: Callable[[str], object] | None = None,
) -> None:
    """Run what ``place`` does not hold yet with these settings, and write it there.

    Parameters
    ----------
    place
        The JSON file; it is written after each run.
    settings
        All that decides the numbers, as JSON can hold it.
    names
        The runs that are wanted.
    work
        From the name of a run to what is kept of it. It is a joblib task.
    workers
        How many processes at a time; `None` leaves it to joblib's context, such as a
        Dask cluster.
    after_each
        Called with the name of each new run, once it is written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     place = Path(folder) / "lengths.json"
    ...     run_missing(place, {}, ["a", "bc"], len)
    ...     read(place, {}, ["bc"])
    {'bc': 2}
    """
    from joblib import Parallel, delayed

    runs = _runs(place, settings)
    todo = [name for name in names if name not in runs]
    parallel = Parallel(workers, return_as="generator_unordered")
    for name, found in parallel(delayed(_named)(work, name) for name in todo):
        runs[name] = found
        content = {"settings": settings, "runs": runs}
        write_atomically(place, json.dumps(content, indent=1, sort_keys=True) + "\n")
        if after_each is not None:
            after_each(name)


def read(place: Path, settings: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return what is kept of each of these runs.

    Raises
    ------
    ValueError
        If a run is missing or was made with other settings: run ``make sweeps``.
    """
    runs = _runs(place, settings)
    missing = [name for name in names if name not in runs]
    if missing:
        raise ValueError(
            f"{place.name} has no run {missing[0]!r} of these settings; run "
            "`make sweeps`"
        )
    return {name: runs[name] for name in names}


def by_quantity(each: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    """Turn what was measured of each model into lists, by quantity.

    Examples
    --------
    >>> by_quantity([{"rate": 3.0}, {"rate": 4.0}])
    {'rate': [3.0, 4.0]}
    """
    return {quantity: [one[quantity] for one in each] for quantity in each[0]}


def rounded(found: Mapping[str, float | Tensor], digits: int = 5) -> dict[str, float]:
    """Round what was measured: the file is reviewed, and the rest is noise.

    Examples
    --------
    >>> rounded({"rate": 3.14159265})
    {'rate': 3.14159}
    """
    return {name: round(float(value), digits) for name, value in found.items()}


def table(
    place: Path, settings: dict[str, Any], names: Sequence[str]
) -> dict[str, Tensor]:
    """Read runs of several models each: by quantity, float64 (runs, models).

    Raises
    ------
    ValueError
        As `read`.
    """
    runs = list(read(place, settings, names).values())
    return {
        quantity: torch.tensor([one[quantity] for one in runs], dtype=torch.float64)
        for quantity in runs[0]
    }


def _named(work: Callable[[str], Any], name: str) -> tuple[str, Any]:
    return name, work(name)


def _runs(place: Path, settings: dict[str, Any]) -> dict[str, Any]:
    kept = json.loads(place.read_text("utf-8")) if place.exists() else {}
    same = kept.get("settings") == json.loads(json.dumps(settings))
    return kept["runs"] if same else {}
