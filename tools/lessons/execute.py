"""Run the lessons from top to bottom and keep what they showed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_utils.files import write_atomically
from tools.lessons.cells import ANSI, NotebookProblem
from tools.lessons.normalise import dumps, normalise

__all__ = ["execute", "execute_all", "run"]

CELL_SECONDS = 300


def execute(
    path: Path,
    *,
    timeout: int = CELL_SECONDS,
    points_of: Callable[[str], float] | None = None,
) -> NotebookNode:
    """Run one lesson in place, then normalise and write it.

    Parameters
    ----------
    path : Path
        The notebook. It is replaced whole, and only when every cell ran.
    timeout : int
        Seconds a cell may take.
    points_of : function, optional
        Passed on to :func:`normalise`.

    Returns
    -------
    NotebookNode
        What was written.

    Raises
    ------
    ValueError
        If a cell fails, or the notebook has no normal form; the message names lesson
        and cell.
    """
    nb = nbformat.read(path, as_version=4)
    nb = normalise(
        nb, path.stem, points_of=points_of
    )  # its problems first: it is quick
    nb = run(nb, path.stem, path.parent, timeout=timeout)
    nb = normalise(nb, path.stem, points_of=points_of)
    write_atomically(path, dumps(nb).encode("utf-8"))
    return nb


def run(
    nb: NotebookNode, name: str, folder: Path, *, timeout: int = CELL_SECONDS
) -> NotebookNode:
    """Run all cells in a fresh kernel of this Python, working in ``folder``.

    Raises
    ------
    NotebookProblem
        If a cell raises, takes longer than ``timeout`` seconds, or ends the kernel.
    """
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import (
        CellExecutionError,
        CellTimeoutError,
        DeadKernelError,
    )

    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    started: list[str] = ["(none)"]
    kernels = str(Path(sys.prefix) / "share" / "jupyter" / "kernels")
    manager = AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[kernels]),
    )
    client = NotebookClient(
        nb,
        km=manager,
        timeout=timeout,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],
        coalesce_streams=True,
    )
    client.on_cell_start = lambda cell, cell_index: started.append(cell.id)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # An empty profile: nothing that this user starts IPython with leaks in.
        environment = {**os.environ, "IPYTHONDIR": profile}
        try:
            return client.execute(env=environment)
        except CellExecutionError as error:
            what = _short(f"{error.ename}: {error.evalue}", error.traceback)
        except CellTimeoutError:
            what = f"it ran longer than {timeout} s"
        except DeadKernelError:
            what = "the kernel died (out of memory?)"
    raise NotebookProblem(name, started[-1], what)


def _short(headline: str, traceback: str, most: int = 14) -> str:
    lines = [line for line in ANSI.sub("", traceback).split("\n") if line.strip()]
    return "\n".join([headline, *(f"    {line}" for line in lines[-most:])])


def execute_all(paths: Sequence[Path], jobs: int | None = None) -> int:
    """Run several lessons at once, one process each; return how many failed."""
    jobs = min(jobs or os.cpu_count() or 1, len(paths)) or 1
    threads = max(1, (os.cpu_count() or 1) // jobs)
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}

    def one(path: Path) -> int:
        command = [sys.executable, "-m", "tools.lessons", "execute"]
        done = subprocess.run(
            [*command, "--jobs", "1", str(path)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        print(done.stdout, end="", flush=True)
        return done.returncode

    with ThreadPoolExecutor(jobs) as pool:
        return sum(code != 0 for code in pool.map(one, paths))


def execute_here(path: Path) -> int:
    """Run one lesson and say in a line how it went; return 0 when it went well."""
    from tools.lessons.rules import complaints

    begun = time.perf_counter()
    try:
        nb = execute(path)
    except (OSError, ValueError) as error:
        print(f"FAILED  {error}\n        {path.name} stays as it was.", flush=True)
        return 1
    seconds = time.perf_counter() - begun
    print(f"done    {path.name} in {seconds:.0f} s", flush=True)
    for complaint in complaints(nb, path.stem, path.parent):
        print(f"        to mend: {complaint}", flush=True)
    return 0
