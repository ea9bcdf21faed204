"""The runner of the lessons: budget, table, and what it does with a hanging one."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest

from conftest import ROOT
from course_utils.check import memory
from tools import run_lessons as lessons
from tools.lessons import judged


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


def test_pages_run_with_the_lessons_if_there_is_code_in_them(tmp_path):
    (tmp_path / "01_a.ipynb").touch()
    text, runs = nbformat.v4.new_markdown_cell("# G"), nbformat.v4.new_code_cell("1")
    written(tmp_path / "glossary.ipynb", [text])
    written(tmp_path / "review_1_compress.ipynb", [text, runs])
    found = [path.stem for path in lessons.find_lessons([], tmp_path)]
    assert found == ["01_a", "review_1_compress"]
    assert lessons.find_lessons(["01"], tmp_path) == [tmp_path / "01_a.ipynb"]


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
        "import sys\n"
        "from tools import run_lessons as lessons\n"
        f"done = lessons.run_command([sys.executable, '-c', {outer!r}], cap=60.0)\n"
        "print(done.code, done.stopped, done.gigabytes)"
    )
    said = subprocess.run(
        [sys.executable, "-c", measure],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said[:2] == ["0", "False"]
    assert 0.4 <= float(said[2]) < 0.5


# --- what makes a lesson fail: each fact is broken once ------------------------------


def code(source, *outputs, tags=(), **nbgrader):
    """A cell as an instructor stores it, run, with its outputs."""
    cell = nbformat.v4.new_code_cell(source, execution_count=1, outputs=list(outputs))
    cell.metadata.update({"tags": list(tags)} if tags else {})
    cell.metadata.update({"nbgrader": nbgrader} if nbgrader else {})
    return cell


def printed(text):
    return nbformat.v4.new_output("stream", name="stdout", text=text)


def valued(text):
    return nbformat.v4.new_output("execute_result", {"text/plain": text})


CHECKED = ["nbval-check-output"]
CHECK = 'squared_error = check(squared_error)\npoints("squared_error")'
SOLVED = (
    "def squared_error(x, x_hat):\n"
    "    ### BEGIN SOLUTION\n"
    "    return ((x - x_hat) ** 2).sum(1).mean()\n"
    "    ### END SOLUTION"
)
USED = "print(float(squared_error(torch.ones(3, 2), torch.zeros(3, 2))))"
TOLD = 'print("points of this lesson:", points("squared_error"), "of", 5)'
SOUND = [
    code("import sys\nimport torch\nfrom course_utils.check import check, points"),
    code(SOLVED, solution=True),
    code(CHECK, valued("5.0"), grade=True),
    code(USED, printed("2.0\n"), tags=CHECKED),
    code("print(torch.rand(1))", printed("tensor([0.5])\n")),  # not compared
    code(TOLD, printed("points of this lesson: 5.0 of 5\n"), tags=CHECKED),
]
BROKEN = {
    6: code("print(3)", printed("2\n"), tags=CHECKED),
    7: code("assert False, 'no such luck'"),
    8: code("print('a warning', file=sys.stderr)"),
    9: code("5.0", valued("5.0"), grade=True),
    10: code("None", valued("0.0"), grade=True),
    11: code("check(lambda x, x_hat: x.sum(), name='squared_error');"),
}
SAID = {
    6: "Cell outputs differ",
    7: "Cell execution caused an exception",
    8: "it wrote to stderr: 'a warning'",
    9: "it gave 5.0 points, not 0.0",
    10: "it gave None points, not 0.0",
    11: ".progress.json was written by this cell or one above it",
}


def written(path, cells):
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, path)
    return path


def test_each_way_to_break_a_lesson_fails_in_its_cell_and_the_others_pass(tmp_path):
    path = written(tmp_path / "02_bad.ipynb", [*SOUND, *BROKEN.values()])
    bad = lessons.run_lesson(path, threads=1, cap=300.0)
    said = {
        int(n): what for n, what in re.findall(r"^Cell (\d+): (.*)$", bad.output, re.M)
    }
    assert said == SAID, bad.output
    assert not bad.ok and not bad.stopped
    assert bad.cells == len(SOUND)
    assert "no such luck" in bad.output


def test_a_solved_lesson_must_give_the_points_that_it_stores(tmp_path):
    scores = [code("5.0", valued("5.0"), grade=True)]
    scores += [code("4.0", valued("5.0"), grade=True)]
    path = written(tmp_path / "02_solved.ipynb", scores)
    solved = lessons.run_lesson(path, threads=1, cap=300.0, solved=True)
    assert "Cell 1: it gave 4.0 points, not 5.0" in solved.output
    assert solved.cells == 1


def test_the_judged_copy_is_unsolved_and_keeps_only_what_judges(tmp_path):
    book = nbformat.v4.new_notebook(cells=SOUND)
    copied = judged.judged_copy(book)
    assert "raise NotImplementedError()" in copied.cells[1].source
    assert [len(cell.outputs) for cell in copied.cells] == [0, 0, 1, 1, 0, 1]
    assert judged.score(copied.cells[2].outputs) == "0.0"
    assert judged.score(book.cells[2].outputs) == "5.0", "the lesson stays as it is"
    assert copied.cells[-1].outputs[0].text == "points of this lesson: 0.0 of 5\n"
    assert "5.0 of 5" in book.cells[-1].outputs[0].text


def test_the_judge_knows_the_files_of_a_workbook():
    assert (judged.PROGRESS, judged.MANIFEST) == (memory.FILE, memory.MARK)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Run main on given runs instead of real lessons."""

    def run_main(runs, *arguments):
        by_name = {run.lesson: run for run in runs}
        paths = [Path(run.lesson + ".ipynb") for run in runs]
        monkeypatch.setattr(lessons, "find_lessons", lambda wanted: paths)
        monkeypatch.setattr(lessons, "measured_slowness", lambda jobs, threads: 1.0)
        monkeypatch.setattr(
            lessons, "run_lesson", lambda path, *_, **__: by_name[path.stem]
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
