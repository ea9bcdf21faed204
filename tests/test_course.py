"""What course.toml says is what the lessons, README and the map say."""

import re
from pathlib import Path

import nbformat
import pytest

from conftest import ROOT
from course_utils import course as module
from course_utils.course import course, read
from tools.lessons.rules import defined_twice

LESSONS = course().lessons
lessons = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.number)


def cells(lesson):
    path = ROOT / "notebooks" / f"{lesson.file}.ipynb"
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def opening(lesson, what):
    """A paragraph of the first cell, by its bold first words."""
    found = re.search(rf"\*\*{what}\.?\*\*(.*?)(?:\n\n|\Z)", cells(lesson)[0], re.S)
    return " ".join(found.group(1).split())


# --- the lessons --------------------------------------------------------------------


def test_every_notebook_has_a_row_and_every_row_a_notebook():
    there = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert [lesson.file for lesson in LESSONS] == there


@lessons
def test_a_lesson_opens_with_its_title_and_question(lesson):
    assert cells(lesson)[0].startswith(f"# {lesson.number} · {lesson.title}\n")
    assert opening(lesson, "The question") == lesson.question


@lessons
def test_a_lesson_names_what_it_needs(lesson):
    said = opening(lesson, "You need")
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


# --- the front page -----------------------------------------------------------------


def test_the_front_page_has_a_row_a_lesson():
    readme = (ROOT / "README.md").read_text("utf-8")
    rows = [
        f"| {one.number} | [{one.title}](notebooks/{one.file}.ipynb) | {one.proves} |"
        for one in LESSONS
    ]
    assert re.findall(r"^\| \d\d \| .*$", readme, flags=re.MULTILINE) == rows


# --- reading ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('number = "03"', 'number = "13"', "expected each once, in order"),
        ('file = "03_holes', 'file = "holes', "does not begin with 03_"),
        ('needs = ["03"]', 'needs = ["05"]', "lesson 04 needs 05; expected lessons be"),
        ('part = "I"\n', 'part = "V"\n', "there is no part V"),
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
