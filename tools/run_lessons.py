"""Run the lessons with nbval and judge their time and memory against the budget.

    python -m tools.run_lessons             every lesson in notebooks/, every page
    python -m tools.run_lessons 01 03       these
    python -m tools.run_lessons --solved    with the instructor's solutions

What runs is the learner's copy with nothing solved, in a folder like a workbook; the
instructor's outputs are the judge (`tools.lessons.judged`). The course's version of
every exercise steps in, so the lesson must show what it shows solved.

Each lesson runs in a process of its own, two lessons at a time. A machine that is
slower than the reference gets more time: a fixed training loop is timed before and
after the lessons, and the time budget grows by the factor that it took longer.
Memory is not scaled. The peak is that of the largest single process of a lesson,
which is its kernel.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools.lessons.judged import place
from tools.lessons.pages import is_page, notebooks

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"

LESSON_SECONDS = 60.0
LESSON_GIGABYTES = 1.5
ALL_SECONDS = 480.0
STOP_AFTER = 5.0  # budgets: by then a lesson hangs, and it is stopped

# Seconds of `calibrate` where the budget was set: two cores, two processes at once.
REFERENCE_SECONDS = 1.2


@dataclass(frozen=True)
class Run:
    """What happened to one lesson."""

    lesson: str
    seconds: float
    processor: float
    gigabytes: float
    cells: int
    ok: bool
    stopped: bool = False
    output: str = ""


def peak_gigabytes(ru_maxrss: int, platform: str = sys.platform) -> float:
    """Peak memory in GB; macOS counts it in bytes, Linux in KiB."""
    return ru_maxrss * (1 if platform == "darwin" else 1024) / 1e9


def slowness(measured: float, reference: float = REFERENCE_SECONDS) -> float:
    """How much longer than the reference this machine takes, at least 1."""
    return max(1.0, measured / reference)


def cells_passed(output: str) -> int:
    """Cells that passed, read from pytest's closing line."""
    found = re.findall(r"(\d+) passed", output)
    return int(found[-1]) if found else 0


def verdict(run: Run, slow: float) -> str:
    """``ok``, or in words what is wrong with a run."""
    if run.stopped:
        return "STOPPED: it hangs"
    if not run.ok:
        return "FAILED"
    over = []
    if run.seconds > LESSON_SECONDS * slow:
        over.append("time")
    if run.gigabytes > LESSON_GIGABYTES:
        over.append("memory")
    return f"OVER BUDGET: {' and '.join(over)}" if over else "ok"


def over_in_all(runs: Sequence[Run], slow: float) -> bool:
    """Whether the lessons together take longer than they may."""
    return sum(run.seconds for run in runs) > ALL_SECONDS * slow


def table(runs: Sequence[Run], slow: float) -> str:
    """Lay out the closing table: a row for each lesson, and one for all of them."""
    width = max([len(run.lesson) for run in runs] + [len("all lessons")])
    total = sum(run.seconds for run in runs)
    processor = sum(run.processor for run in runs)
    peak = max((run.gigabytes for run in runs), default=0.0)
    cells = sum(run.cells for run in runs)
    rule = "-" * (width + 46)
    head = (
        f"{'lesson':<{width}} {'cells':>6} {'seconds':>8} {'CPU s':>7} {'peak GB':>8}"
        "  verdict"
    )
    rows = [
        f"{run.lesson:<{width}} {run.cells:>6} {run.seconds:>8.1f} "
        f"{run.processor:>7.1f} {run.gigabytes:>8.2f}  {verdict(run, slow)}"
        for run in runs
    ]
    together = "OVER BUDGET: time" if over_in_all(runs, slow) else "ok"
    return "\n".join(
        [
            head,
            rule,
            *rows,
            rule,
            f"{'all lessons':<{width}} {cells:>6} {total:>8.1f} "
            f"{processor:>7.1f} {peak:>8.2f}  {together}",
            f"{'budget':<{width}} {'':>6} {LESSON_SECONDS * slow:>8.1f} "
            f"{'':>7} {LESSON_GIGABYTES:>8.2f}  a lesson;"
            f" {ALL_SECONDS * slow:.0f} s in all",
            f"The seconds of the budget are scaled by {slow:.2f}: the time that this"
            " machine took for a fixed training loop, in units of the reference.",
        ]
    )


def calibrate() -> float:
    """Time a fixed training loop: the yardstick for the seconds of this machine."""
    import torch

    generator = torch.Generator().manual_seed(0)
    x = torch.rand(128, 64, generator=generator)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 128),
        torch.nn.ReLU(),
        torch.nn.Linear(128, 8),
        torch.nn.Linear(8, 128),
        torch.nn.ReLU(),
        torch.nn.Linear(128, 64),
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def steps(count: int) -> None:
        for _ in range(count):
            optimiser.zero_grad()
            loss = (model(x) - x).square().sum(dim=1).mean()
            loss.backward()
            optimiser.step()

    steps(50)  # the first steps also pay for starting up
    start = time.perf_counter()
    steps(1500)
    return time.perf_counter() - start


def environment(threads: int) -> dict[str, str]:
    """Give the environment in which lessons run: few threads, this kernel."""
    count = str(threads)
    return {
        **os.environ,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "JUPYTER_PREFER_ENV_PATH": "1",
    }


def measured_slowness(jobs: int, threads: int) -> float:
    """Calibrate with as many processes at once as there are lessons at once."""
    command = [sys.executable, "-m", "tools.run_lessons", "--calibrate"]
    env = environment(threads)
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT)
        for _ in range(jobs)
    ]
    seconds = [float(process.communicate()[0]) for process in processes]
    return slowness(sum(seconds) / len(seconds))


def stop(pid: int) -> None:
    """End a process that we started, and all that it started."""
    import psutil

    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            pass


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it used."""

    code: int
    seconds: float
    processor: float  # seconds of the processor, over all cores
    gigabytes: float
    stopped: bool
    output: str


def run_command(
    command: Sequence[str], cap: float, env: dict[str, str] | None = None
) -> Outcome:
    """Run a command, and stop it with all that it started after ``cap`` seconds."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out:
        start = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=env,
        )
        stopped = False
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if not stopped and time.monotonic() - start > cap:
                stopped = True
                stop(process.pid)
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return Outcome(
            code=process.returncode,
            seconds=time.monotonic() - start,
            processor=usage.ru_utime + usage.ru_stime,
            gigabytes=peak_gigabytes(usage.ru_maxrss),
            stopped=stopped,
            output=out.read(),
        )


def run_lesson(path: Path, threads: int, cap: float, *, solved: bool = False) -> Run:
    """Run one lesson with nbval: its unsolved copy, or the notebook as it is."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        notebook = path if solved else place(path, Path(folder))
        return run_notebook(notebook, threads, cap)


def run_notebook(path: Path, threads: int, cap: float) -> Run:
    """Run one notebook with nbval, in a kernel that works in its folder."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"),
        *("-c", str(ROOT / "pyproject.toml"), "-o", "addopts=", "-p", "no:xdist"),
        *("-o", "filterwarnings=default", "-p", "tools.lessons.judged", "--color=no"),
        *("--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "300"),
        str(path),
    ]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # An empty profile: nothing that this user starts IPython with leaks in.
        env = {**environment(threads), "IPYTHONDIR": profile}
        outcome = run_command(command, cap, env)
    cells = cells_passed(outcome.output)
    return Run(
        lesson=path.stem,
        seconds=outcome.seconds,
        processor=outcome.processor,
        gigabytes=outcome.gigabytes,
        cells=cells,
        ok=outcome.code == 0 and cells > 0,
        stopped=outcome.stopped,
        output=outcome.output,
    )


def find_lessons(wanted: Sequence[str], folder: Path = NOTEBOOKS) -> list[Path]:
    """Give the notebooks whose name begins with a wanted number; all if none is.

    Pages are among all of them, unless there is nothing in them to run.
    """
    paths = [path for path in notebooks(folder) if not is_page(path.stem) or runs(path)]
    if not wanted:
        return paths
    missing = [name for name in wanted if not any(p.stem[:2] == name for p in paths)]
    if missing:
        raise SystemExit(f"No lesson {', '.join(missing)} in {folder.name}/.")
    return [path for path in paths if path.stem[:2] in wanted]


def runs(path: Path) -> bool:
    """Whether a notebook has a cell of code."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return any(cell["cell_type"] == "code" for cell in cells)


def names(text: str) -> list[str]:
    """Split a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("lessons", nargs="*", help="two-digit numbers; all if none")
    parser.add_argument("--solved", action="store_true", help="run them as they are")
    parser.add_argument("--passed-before", default="", help="parts to count as passed")
    parser.add_argument("--failed-before", default="", help="parts to count as failed")
    parser.add_argument("--calibrate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.calibrate:
        print(calibrate())
        return 0

    paths = find_lessons(options.lessons)
    if not paths:
        print("No lessons in notebooks/.")
        return 1
    cores = os.cpu_count() or 1
    jobs = min(2, cores)
    threads = max(1, cores // jobs)

    before = measured_slowness(jobs, threads)
    cap = STOP_AFTER * LESSON_SECONDS * before
    runs = []

    def run_it(path: Path) -> Run:
        return run_lesson(path, threads, cap, solved=options.solved)

    with ThreadPoolExecutor(jobs) as pool:
        for run in pool.map(run_it, paths):
            runs.append(run)
            state = "passed" if run.ok else "FAILED"
            print(f"{run.lesson}: {state}, {run.seconds:.1f} s", flush=True)
            if not run.ok:
                print(run.output, flush=True)
    slow = max(before, measured_slowness(jobs, threads))

    print()
    print(table(runs, slow))
    earlier = names(options.failed_before)
    good = sum(verdict(run, slow) == "ok" for run in runs)
    passed = good + len(names(options.passed_before))
    failed = len(runs) - good + len(earlier) + over_in_all(runs, slow)
    if earlier:
        print(f"Failed before the lessons, see above: {', '.join(earlier)}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
