"""Every lesson keeps every rule, in the repository, in exports, and as a workbook."""

import ast
from pathlib import Path

import nbformat
import pytest

from course_utils.exercises import all_exercises, find
from course_utils.grading.grade import grade
from tools.lessons.cells import parse, solution_lines, solved_function, squeezed
from tools.lessons.normalise import dumps
from tools.lessons.pages import is_page, notebooks
from tools.lessons.reading import images_in_html
from tools.lessons.rules import PAGE_RULES, RULES, described_figures, links
from tools.lessons.workbook import leaks, learner_copy

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
ALL = notebooks(FOLDER)
PATHS = [path for path in ALL if not is_page(path.stem)]
PAGES = [path for path in ALL if is_page(path.stem)]
lessons = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
pages = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
both = pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def test_lessons_are_numbered_without_gaps_or_doubles():
    numbers = [path.stem.split("_")[0] for path in PATHS]
    regular = [number for number in numbers if number != "99"]
    assert regular == [f"{number:02}" for number in range(len(regular))]
    assert regular, f"no lesson in {FOLDER}"


@lessons
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_lesson_keeps_the_rule(path, rule):
    assert rule(read(path), path.stem) == []


@pages
@pytest.mark.parametrize("rule", PAGE_RULES, ids=lambda rule: rule.__name__)
def test_a_page_keeps_the_rules_that_hold_for_it(path, rule):
    assert rule(read(path), path.stem) == []


@both
def test_every_link_leads_somewhere(path):
    assert links(read(path), path.stem, FOLDER) == []


@both
def test_the_stored_bytes_are_the_normal_ones(path):
    assert path.read_text(encoding="utf-8") == dumps(read(path))


@both
def test_an_export_keeps_the_words_of_every_figure(path):
    from nbconvert import HTMLExporter

    nb = read(path)
    alts = [
        image["alt"]
        for cell in nb.cells
        for output in cell.get("outputs", [])
        for image in images_in_html(output.get("data", {}).get("text/html", ""))
    ]
    page, _ = HTMLExporter().from_notebook_node(nb)
    exported = [image.get("alt", "") for image in images_in_html(page)]
    assert [alt for alt in exported if alt in alts] == alts
    assert described_figures(nb, path.stem) == []


@lessons
def test_the_learners_copy_gives_nothing_away(path):
    nb = read(path)
    copied = learner_copy(nb, path.stem)
    nbformat.validate(copied)
    assert dumps(copied) == dumps(learner_copy(read(path), path.stem))
    assert "SOLUTION" not in dumps(copied)
    assert leaks(nb, path.stem) == []
    everything = squeezed(dumps(copied).replace('\\"', '"'))
    for cell, line in solution_lines(nb):
        assert line not in everything, (cell, line)
    for cell in copied.cells:
        if cell.cell_type == "code":
            compile(cell.source, cell.id, "exec")


def functions(nb):
    """The functions of the solution cells, solved or stubs, by name.

    They stand on the imports above them, and on the course's versions of the exercises
    before them: a grader calls them without the lesson.
    """
    imported, found = {}, {}
    for cell in nb.cells:
        tree = parse(cell.source) if cell.cell_type == "code" else None
        if cell.metadata.get("nbgrader", {}).get("solution"):
            own = dict(imported)
            exec(compile(tree, cell.id, "exec"), own)
            name = solved_function(cell)
            found[name] = own[name]
            imported[name] = find(name).reference
        elif tree is not None:
            kinds = ast.Import | ast.ImportFrom
            tree.body = [node for node in tree.body if isinstance(node, kinds)]
            exec(compile(tree, cell.id, "exec"), imported)
    return found


def exercises_of(path):
    return {e.name: e for e in all_exercises().get(path.stem[:2], ())}


@lessons
def test_every_solution_earns_full_points_and_every_stub_is_not_attempted(path):
    nb, known = read(path), exercises_of(path)
    solved, stubs = functions(nb), functions(learner_copy(nb, path.stem))
    assert set(solved) == set(stubs) == set(known)
    for name, exercise in known.items():
        report = grade(exercise, solved[name], seed=0)
        assert (report.status, report.score) == ("passed", exercise.points), report
        assert grade(exercise, stubs[name], seed=0).status == "not attempted"


@lessons
def test_every_exercise_of_the_course_for_this_lesson_is_in_it(path):
    graded = {
        cell.metadata.nbgrader.grade_id.removesuffix("-check")
        for cell in read(path).cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }
    assert graded == set(exercises_of(path))
