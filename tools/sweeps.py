"""Train what is missing of the sweeps in data/sweeps: `make sweeps`."""

import sys

from course_utils.experiments import few_labels
from course_utils.experiments.sweeps import SWEEPS, Entry, run


def main(workers: int) -> None:
    for name, sweep in SWEEPS.items():
        print(f"{name}: {len(sweep.runs())} runs; those on the disk are kept")
        results = run(sweep, workers=workers, after_each=say)
        seconds = sum(entry.seconds for entry in results.entries)
        print(f"{name}: complete; {seconds:.0f} s of the processor in all")
    few_labels.run_all(workers=workers)
    print(
        f"few labels: {len(few_labels.COUNTS) * len(few_labels.SEEDS)} runs, complete"
    )


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
    main(int(sys.argv[1]) if len(sys.argv) == 2 else 2)
