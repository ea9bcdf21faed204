"""Right answers in other words: what a check accepts, the lesson must run with.

Quickly for each exercise: the cells that use the function, and the cells that use what
those made, run on another right answer (`tools.lessons.slices`). Left out are widgets,
cells that need a training, and what is not done `SECONDS` of the processor after the
check. The long test leaves out nothing.
"""

import contextlib
import importlib
import io
import os
import re
import signal

import matplotlib
import nbformat
import numpy as np
import pytest
import torch

from conftest import ROOT
from course_utils import check as check_module
from course_utils.check import points
from course_utils.exercises import all_exercises, find
from tools.lessons.cells import checked_function, solved_function
from tools.lessons.slices import Names, dependents, names_of, needs
from tools.run_lessons import find_lessons, run_notebook

ANSWERS = ROOT / "tests" / "exercises"
PLACES = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ANSWERS)))
SECONDS = 3.0
WIDGET = re.compile(r"\b(predict|explorer)\(")
TRAINS = re.compile(r"\btraining\.\w+\(|\.step\(\)|\bfit\w*\(|\btrain\w*\(")
EXERCISES = [
    pytest.param(lesson, exercise.name, id=f"{lesson}-{exercise.name}")
    for lesson, exercises in all_exercises().items()
    for exercise in exercises
]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Keep no points for the tests that come after."""
    monkeypatch.setattr(check_module, "_scores", {})


# --- some cells of a lesson ---------------------------------------------------------


class Lesson:
    """The code cells of a lesson, and the right answers in other words."""

    def __init__(self, number):
        (path,) = find_lessons([number])
        nb = nbformat.read(path, as_version=4)
        self.cells = [cell for cell in nb.cells if cell.cell_type == "code"]
        self.names = [names_of(cell.source) for cell in self.cells]
        self.solutions = {
            solved_function(cell): place
            for place, cell in enumerate(self.cells)
            if cell.metadata.get("nbgrader", {}).get("solution")
        }
        self.right = importlib.import_module(f"answers{number}").RIGHT

    def plan(self, name):
        """Cells to run for an answer in the place of a solution, and who uses it.

        Its check, and the cells that use what it gives; with all that these need.
        """
        start = self.solutions[name]
        names = [*self.names]
        names[start] = Names(frozenset(), frozenset({name}), frozenset())
        used = dependents(names, name, start + 1, steps=2)

        def is_quick(place):
            above = set(needs(names, [place])) - set(used)
            trains = any(TRAINS.search(self.cells[one].source) for one in above)
            return not trains and not WIDGET.search(self.cells[place].source)

        users = [used[0], *filter(is_quick, used[1:])]
        return needs(names, [start, *users]), users

    def run(self, places, answers):
        """Run cells, with answers in place of solutions; yield each once it ran."""
        space = {"__name__": "__main__"}
        for place in places:
            cell = self.cells[place]
            solved = cell.metadata.get("nbgrader", {}).get("solution")
            name = solved_function(cell) if solved else None
            if name in answers:
                space[name] = answers[name]
                space[name].__name__ = name
            else:
                exec(compile(cell.source, cell.id, "exec"), space)
            yield place


class Enough(BaseException):
    """The seconds of an exercise are over."""


@contextlib.contextmanager
def processor_limit(seconds):
    """Raise `Enough` after some seconds of the processor: as far on a slow machine."""

    def ring(number, frame):
        raise Enough

    before = signal.signal(signal.SIGPROF, ring)
    try:
        # It rings again, where a library swallows one.
        signal.setitimer(signal.ITIMER_PROF, seconds, 0.25)
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def go_on(running, check):
    """Run cells to the end of the check, and the rest within the limit."""
    assert check in iter(running)
    with contextlib.suppress(Enough), processor_limit(SECONDS):
        for _ in running:
            pass


@pytest.fixture
def as_in_a_lesson(tmp_path, monkeypatch):
    """Let cells set what they like, and put it back."""
    monkeypatch.chdir(tmp_path)
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    backend = matplotlib.get_backend()
    matplotlib.use("agg")
    with (
        matplotlib.rc_context(),
        torch.random.fork_rng(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        yield
        matplotlib.pyplot.close("all")
    matplotlib.use(backend)
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_the_cells_that_use_an_answer_run_on_another(number, name, as_in_a_lesson):
    lesson = Lesson(number)
    places, users = lesson.plan(name)
    assert checked_function(lesson.cells[users[0]]) == name
    go_on(lesson.run(places, {name: lesson.right[name][0]}), users[0])
    assert points(name) == find(name).points


def float_error(x, x_hat):
    return float(((x - x_hat) ** 2).flatten(1).sum(1).mean())


def numpy_error(x, x_hat):
    return np.float64(float_error(x, x_hat))


def eye_by_numpy(cov, sigma):
    noisy = cov.numpy() + sigma**2 * np.eye(len(cov))
    return cov.numpy() @ np.linalg.inv(noisy)


def rates_by_numpy(eigenvalues, beta, sigma2):
    signal = eigenvalues.numpy() / (beta * sigma2)
    return np.log(np.maximum(signal, 1.0)) / 2


KINDS = [
    ("00", "squared_error", float_error),
    ("00", "squared_error", numpy_error),
    ("02", "wiener_filter", eye_by_numpy),
    ("08", "linear_vae_rates", rates_by_numpy),
]


@pytest.mark.parametrize(("number", "name", "answer"), KINDS)
def test_an_answer_of_another_kind_is_refused_or_the_lesson_runs(
    number, name, answer, as_in_a_lesson
):
    """A right value in another container: full points and no cell raises, or none."""
    lesson = Lesson(number)
    places, users = lesson.plan(name)
    go_on(lesson.run(places, {name: answer}), users[0])


# --- whole lessons ------------------------------------------------------------------


def answered(nb, module, which):
    """Put one other right answer in place of each solution."""
    for cell in nb.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            name = solved_function(cell)
            cell.source = (
                f"from {module} import RIGHT\n"
                f"{name} = RIGHT[{name!r}][{which}]\n"
                f"{name}.__name__ = {name!r}"
            )
    return nb


@pytest.mark.long
@pytest.mark.parametrize("which", [0, 1], ids=["one", "another"])
@pytest.mark.parametrize("path", find_lessons([]), ids=lambda path: path.stem)
def test_a_lesson_runs_to_its_end_on_other_right_answers(
    path, which, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", PLACES)
    nb = nbformat.read(path, as_version=4)
    nb = answered(nb, f"answers{path.stem[:2]}", which)
    nbformat.write(nb, tmp_path / path.name)
    run = run_notebook(tmp_path / path.name, threads=1, cap=1200.0)
    assert run.ok, run.output


def test_an_answer_takes_the_place_of_its_solution():
    nb = nbformat.read(find_lessons(["00"])[0], as_version=4)
    nb = answered(nb, "answers00", 1)
    placed = [cell for cell in nb.cells if "RIGHT['squared_error'][1]" in cell.source]
    assert len(placed) == 1 and "SOLUTION" not in placed[0].source
