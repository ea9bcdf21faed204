"""Whole lessons on right answers in other words: what passes must also carry on."""

import os

import nbformat
import pytest

from conftest import ROOT
from tools.lessons.cells import solved_function
from tools.run_lessons import find_lessons, run_notebook

ANSWERS = ROOT / "tests" / "exercises"
PLACES = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ANSWERS)))


def answered(nb, module):
    """Put one other right answer in place of each solution."""
    for cell in nb.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            name = solved_function(cell)
            cell.source = (
                f"from {module} import RIGHT\n"
                f"{name} = RIGHT[{name!r}][0]\n"
                f"{name}.__name__ = {name!r}"
            )
    return nb


@pytest.mark.long
@pytest.mark.parametrize("path", find_lessons([]), ids=lambda path: path.stem)
def test_a_lesson_runs_to_its_end_on_other_right_answers(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", PLACES)
    nb = answered(nbformat.read(path, as_version=4), f"answers{path.stem[:2]}")
    nbformat.write(nb, tmp_path / path.name)
    run = run_notebook(tmp_path / path.name, threads=1, cap=1200.0)
    assert run.ok, run.output


def test_an_answer_takes_the_place_of_its_solution():
    nb = answered(nbformat.read(find_lessons(["00"])[0], as_version=4), "answers00")
    placed = [cell for cell in nb.cells if "RIGHT['squared_error'][0]" in cell.source]
    assert len(placed) == 1 and "SOLUTION" not in placed[0].source
