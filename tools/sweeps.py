"""Train what is missing of the sweeps in data/sweeps: `make sweeps`.

``make sweeps WORKERS=4`` takes four processes of this machine, two by default;
``SCHEDULER=tcp://host:8786 make sweeps`` takes the workers of a Dask scheduler.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

import joblib

from course_utils.experiments import (
    cures,
    digit_codes,
    factor_labels,
    few_labels,
    scribe,
    stroke_codes,
)
from course_utils.experiments.sweeps import SWEEPS, Entry, run


def main(workers: int, scheduler: str) -> None:
    with cluster(scheduler) if scheduler else contextlib.nullcontext(workers) as jobs:
        for name, sweep in SWEEPS.items():
            print(f"{name}: {len(sweep.runs())} runs; those on the disk are kept")
            results = run(sweep, workers=jobs, after_each=say)
            seconds = sum(entry.seconds for entry in results.entries)
            print(f"{name}: complete; {seconds:.0f} s of the processor in all")
        for world in (few_labels.DIGITS, few_labels.STROKES):
            few_labels.run_all(world, workers=jobs)
            count = len(world.counts) * len(few_labels.SEEDS)
            print(f"{world.place.stem}: {count} runs, complete")
        for longer in (digit_codes, cures, stroke_codes, factor_labels):
            longer.run_all(workers=jobs, after_each=print)
    scribe.run_all(after_each=print)


@contextlib.contextmanager
def cluster(scheduler: str) -> Iterator[None]:
    """Send what joblib runs to a Dask scheduler; its workers need this package."""
    from dask.distributed import Client

    with Client(scheduler), joblib.parallel_config(backend="dask"):
        yield None  # workers: as many as the scheduler has


def say(entry: Entry) -> None:
    scores = entry.scores
    print(
        f"  {entry.run.file}: distortion {scores['distortion']:.1f}, rate "
        f"{scores['rate']:.1f} nats, MIG {scores['MIG']:.2f}, {entry.seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    if len(sys.argv) > 2 or not all(given.isdigit() for given in sys.argv[1:]):
        sys.exit("usage: make sweeps WORKERS=2")
    asked = int(sys.argv[1]) if len(sys.argv) == 2 else 2
    main(asked, os.environ.get("SCHEDULER", ""))
