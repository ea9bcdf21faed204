"""The runner of the lessons: budget, table, and what it does with a hanging one."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest

from conftest import ROOT

specification = importlib.util.spec_from_file_location(
    "run_lessons", ROOT / "tools/run_lessons.py"
)
assert specification is not None and specification.loader is not None
lessons = importlib.util.module_from_spec(specification)
sys.modules["run_lessons"] = lessons
specification.loader.exec_module(lessons)


def run(seconds=10.0, gigabytes=0.5, ok=True, stopped=False, lesson="01_name"):
    return lessons.Run(lesson, seconds, 7.0, gigabytes, 12, ok, stopped)


def test_peak_memory_is_counted_in_the_unit_of_the_platform():
    assert lessons.peak_gigabytes(1_000_000_000, "darwin") == 1.0
    assert lessons.peak_gigabytes(1_000_000, "linux") == pytest.approx(1.024)


def test_a_slow_machine_gets_more_time_and_a_fast_one_no_less():
    assert lessons.slowness(3.0, reference=1.5) == 2.0
    assert lessons.slowness(0.5, reference=1.5) == 1.0


@pytest.mark.parametrize(
    "output, cells",
    [("12 passed in 3.1s", 12), ("1 failed, 11 passed in 3s", 11), ("error", 0)],
)
def test_cells_are_read_from_the_closing_line(output, cells):
    assert lessons.cells_passed(output) == cells


def test_verdicts():
    assert lessons.verdict(run(), 1.0) == "ok"
    assert lessons.verdict(run(seconds=61), 1.0) == "OVER BUDGET: time"
    assert lessons.verdict(run(seconds=61), 1.1) == "ok"
    assert lessons.verdict(run(gigabytes=1.6), 5.0) == "OVER BUDGET: memory"
    both = run(seconds=130, gigabytes=1.6)
    assert lessons.verdict(both, 2.0) == "OVER BUDGET: time and memory"
    assert lessons.verdict(run(ok=False), 1.0) == "FAILED"
    assert lessons.verdict(run(ok=False, stopped=True), 1.0) == "STOPPED: it hangs"


def test_the_lessons_together_have_a_budget_of_their_own():
    runs = [run(seconds=50)] * 10
    assert lessons.over_in_all(runs, 1.0)
    assert not lessons.over_in_all(runs, 1.1)
    assert not lessons.over_in_all(runs[:9], 1.0)


def test_the_table_has_a_row_for_each_lesson_and_the_budget():
    rows = lessons.table([run(lesson="00_a"), run(61, 2.0, lesson="01_b")], 1.0)
    lines = rows.splitlines()
    assert lines[2].split() == ["00_a", "12", "10.0", "7.0", "0.50", "ok"]
    assert lines[3].endswith("OVER BUDGET: time and memory")
    assert lines[5].split()[:6] == ["all", "lessons", "24", "71.0", "14.0", "2.00"]
    assert "60.0" in lines[6] and "1.50" in lines[6] and "480 s" in lines[6]


def test_lessons_are_found_by_number(tmp_path):
    for name in ("02_b.ipynb", "01_a.ipynb", "notes.ipynb"):
        (tmp_path / name).touch()
    found = lessons.find_lessons([], tmp_path)
    assert [path.name for path in found] == ["01_a.ipynb", "02_b.ipynb"]
    assert [p.name for p in lessons.find_lessons(["02"], tmp_path)] == ["02_b.ipynb"]
    with pytest.raises(SystemExit, match="No lesson 07"):
        lessons.find_lessons(["01", "07"], tmp_path)


def test_a_hanging_command_is_stopped_with_all_that_it_started(tmp_path):
    note = tmp_path / "pid"
    script = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time;time.sleep(99)'],"
        " start_new_session=True)\n"
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid))\n"
        "print('begun', flush=True)\n"
        "time.sleep(99)\n"
    )
    done = lessons.run_command([sys.executable, "-c", script], cap=3.0)
    assert done.stopped and done.code != 0 and "begun" in done.output
    child = int(note.read_text())
    gone = not psutil.pid_exists(child)
    assert gone or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_the_peak_counts_what_a_child_process_used():
    # As with nbval: the memory is used by a process that our process starts. It is
    # measured from a small process, because a child begins with its parent's peak.
    inner = "x = bytearray(400_000_000)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    measure = (
        "import sys, run_lessons as lessons\n"
        f"done = lessons.run_command([sys.executable, '-c', {outer!r}], cap=60.0)\n"
        "print(done.code, done.stopped, done.gigabytes)"
    )
    said = subprocess.run(
        [sys.executable, "-c", measure],
        cwd=ROOT / "tools",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said[:2] == ["0", "False"]
    assert 0.4 <= float(said[2]) < 0.5


def notebook(path: Path, *sources: str) -> Path:
    """Write a notebook with code cells."""
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, path)
    return path


def test_a_lesson_that_raises_fails_and_its_other_cells_count(tmp_path):
    path = notebook(tmp_path / "02_bad.ipynb", "1 + 1", "assert False, 'no such luck'")
    bad = lessons.run_lesson(path, threads=1, cap=100.0)
    assert not bad.ok and not bad.stopped
    assert bad.cells == 1
    assert "no such luck" in bad.output


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Run main on given runs instead of real lessons."""

    def run_main(runs, *arguments):
        by_name = {run.lesson: run for run in runs}
        paths = [Path(run.lesson + ".ipynb") for run in runs]
        monkeypatch.setattr(lessons, "find_lessons", lambda wanted: paths)
        monkeypatch.setattr(lessons, "measured_slowness", lambda jobs, threads: 1.0)
        monkeypatch.setattr(
            lessons, "run_lesson", lambda path, threads, cap: by_name[path.stem]
        )
        return lessons.main(list(arguments))

    return run_main


def test_the_last_line_counts_and_the_exit_code_tells(course, capsys):
    assert course([run(lesson="00_a"), run(lesson="01_b")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 passed, 0 failed"
    assert course([run(lesson="00_a"), run(seconds=61, lesson="01_b")]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 1 failed"


def test_what_failed_before_the_lessons_fails_the_whole(course, capsys):
    earlier = ("--passed-before", "style,layout", "--failed-before", "unit tests")
    assert course([run()], *earlier) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "Failed before the lessons, see above: unit tests"
    assert lines[-1] == "3 passed, 1 failed"


def test_no_lessons_is_a_failure(course, capsys):
    assert course([]) == 1
