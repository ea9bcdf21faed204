"""What course.toml says is what the lessons, README and the map say."""

import re
from pathlib import Path

import nbformat
import pytest

from conftest import ROOT
from course_utils import course as module
from course_utils.course import course, read
from course_utils.widgets.quiz import FOLDER
from tools.lessons.rules import defined_twice

LESSONS = course().lessons
PAGES = course().pages
lessons = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.number)
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.file)


def cells(lesson):
    path = ROOT / "notebooks" / f"{lesson.file}.ipynb"
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def opening(lesson, what):
    """A paragraph of the first cell, by its bold first words."""
    found = re.search(rf"\*\*{what}\.?\*\*(.*?)(?:\n\n|\Z)", cells(lesson)[0], re.S)
    said = " ".join(found.group(1).split())
    return re.sub(r"\[([^]]*)\]\(\S*\)", r"\1", said)  # a word may be a link


# --- the lessons --------------------------------------------------------------------


def test_every_notebook_has_a_row_and_every_row_a_notebook():
    there = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    rows = [lesson.file for lesson in LESSONS] + [page.file for page in PAGES]
    assert sorted(rows) == there


@lessons
def test_a_lesson_opens_with_its_title_and_question(lesson):
    assert cells(lesson)[0].startswith(f"# {lesson.number} · {lesson.title}\n")
    assert opening(lesson, "The question") == lesson.question


@lessons
def test_a_lesson_names_what_it_needs(lesson):
    said = " ".join(cells(lesson)[0].split("**You need**")[1].split())
    named = set(re.findall(r"lesson (\d\d)", said)) | set(
        re.findall(r"\((\d\d)_", said)
    )
    assert named == set(lesson.needs)


@lessons
def test_a_lesson_leads_back_and_on(lesson):
    last = cells(lesson)[-1]
    place = LESSONS.index(lesson)
    assert "(00_start_here.ipynb" in last or place == 0
    for other in LESSONS[max(place - 1, 0) : place] + LESSONS[place + 1 : place + 2]:
        assert f"({other.file}.ipynb)" in last, other.number
        assert other.title.split(":")[0] in " ".join(last.split()), other.number


@lessons
def test_a_lesson_shows_the_way_below_its_title(lesson):
    line = " ".join(cells(lesson)[0].split("\n\n")[1].split())
    place = LESSONS.index(lesson)
    near = LESSONS[max(place - 1, 0) : place] + LESSONS[place + 1 : place + 2]
    for other in near:
        assert f"[{other.number} {other.title}]({other.file}.ipynb)" in line
    assert "(glossary.ipynb)" in line
    home = "00_start_here.ipynb" if place else ""
    assert f"({home}#cell-id=the-lessons)" in line


@lessons
def test_the_last_lesson_of_a_part_leads_to_its_review(lesson):
    last = [one for one in LESSONS if one.part == lesson.part][-1]
    for page in PAGES:
        if lesson is last and page.part == lesson.part != "":
            assert f"({page.file}.ipynb)" in cells(lesson)[-1]


@lessons
def test_a_lesson_ends_with_the_learners_progress(lesson):
    path = ROOT / "notebooks" / f"{lesson.file}.ipynb"
    there = nbformat.read(path, as_version=4).cells
    code = [n for n, cell in enumerate(there) if cell.cell_type == "code"]
    summary = [n for n, cell in enumerate(there) if "## Summary" in cell.source]
    assert there[code[-1]].source == "progress()"
    assert code[-1] > summary[-1]


def test_no_function_is_defined_in_two_lessons():
    notebooks = ROOT / "notebooks"
    paths = {one.file: notebooks / f"{one.file}.ipynb" for one in LESSONS}
    read_ = {name: nbformat.read(path, as_version=4) for name, path in paths.items()}
    assert defined_twice(read_) == []


def test_lesson_00_tells_the_parts():
    text = "\n".join(cells(LESSONS[0]))
    for part in course().parts:
        assert re.search(
            rf"\| {part.number}, {part.title.lower()} \|.*\| {re.escape(part.what)} \|",
            text,
        ), part.number


# --- the pages ----------------------------------------------------------------------


@pages
def test_a_page_opens_with_its_title_and_the_way_back(page):
    first = cells(page)[0]
    assert first.startswith(f"# {page.title}\n")
    others = [one.file for one in PAGES if one.file != page.file]
    near = others if page.part == "" else [one for one in others if one == "glossary"]
    for file in ["00_start_here", *near]:
        assert f"({file}.ipynb)" in first, file


@pages
def test_a_review_leads_to_every_lesson_of_its_part_and_ends_in_its_quiz(page):
    if page.part == "":
        return
    text = "\n".join(cells(page))
    for lesson in LESSONS:
        if lesson.part == page.part:
            assert f"]({lesson.file}.ipynb)" in text, lesson.number
    assert cells(page)[-1].endswith(f'quiz_on("{page.part}")')


def test_every_part_that_is_written_has_a_review_and_a_quiz():
    written = {lesson.part for lesson in LESSONS} - {""}
    assert {page.part for page in PAGES} - {""} == written
    assert {path.stem for path in FOLDER.glob("*.toml")} == {
        f"part_{part}" for part in written
    }


def test_the_terms_of_the_glossary_are_in_order_and_say_their_lesson():
    terms = [cell for cell in cells(PAGES[-1]) if cell.startswith("### ")]
    names = [cell.split("\n")[0].removeprefix("### ") for cell in terms]
    assert len(names) > 30 and names == sorted(set(names), key=str.lower)
    files = {lesson.file for lesson in LESSONS}
    for cell in terms:
        (told,) = re.findall(r"\*\[Lesson \d\d\]\((\w+)\.ipynb\)\*\Z", cell)
        assert told in files, cell


# --- the front page -----------------------------------------------------------------


def test_the_front_page_has_a_row_a_lesson():
    readme = (ROOT / "README.md").read_text("utf-8")
    rows = [
        f"| {one.number} | [{one.title}](notebooks/{one.file}.ipynb) | {one.proves} |"
        for one in LESSONS
    ]
    assert re.findall(r"^\| \d\d \| .*$", readme, flags=re.MULTILINE) == rows


def test_the_front_page_links_every_page_and_says_where_to_write():
    readme = (ROOT / "README.md").read_text("utf-8")
    for page in PAGES:
        assert f"[{page.title}](notebooks/{page.file}.ipynb)" in readme, page.file
    before, _ = readme.split("| 00 |")
    assert "write in **`workbook/`**" in before and "with the solutions" in before


# --- reading ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('number = "03"', 'number = "13"', "expected each once, in order"),
        ('file = "03_holes', 'file = "holes', "does not begin with 03_"),
        ('needs = ["03"]', 'needs = ["05"]', "lesson 04 needs 05; expected lessons be"),
        ('part = "I"\n', 'part = "V"\n', "there is no part V"),
        (
            'part = ""\n\n[[leaf]]',
            'part = "V"\n\n[[leaf]]',
            "glossary: there is no part",
        ),
        ('file = "glossary"', 'file = "12_glossary"', "does not begin with a letter"),
        ('title = "Glossary"\n', "", "row of glossary lacks or has too many: title"),
        ('family = "diffusion"', 'famili = "diffusion"', "too many: famili"),
        ('title = "Start here"\n', "", "row of 00 lacks or has too many: title"),
    ],
)
def test_a_row_that_does_not_fit_is_named(tmp_path, old, new, said):
    text = (module.ROOT / "course.toml").read_text("utf-8")
    assert old in text
    path = Path(tmp_path, "course.toml")
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ValueError, match=said):
        read(path)
