"""The lessons, their parts, pages, and the map's leaves: what course.toml says."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_utils.files import ROOT


@dataclass(frozen=True)
class Lesson:
    """One lesson: what it asks and proves, what it needs, and how long it computes.

    Attributes
    ----------
    number, file, title
        Two digits; the notebook's name without suffix; its title without the number.
    part
        Number of its part, such as ``"II"``; empty for what stands outside.
    question, proves
        What it asks, as in its first cell, and what one will have proved and run.
    needs
        Numbers of the earlier lessons that it builds on.
    computing
        Seconds of a laptop.
    """

    number: str
    file: str
    title: str
    part: str
    question: str
    proves: str
    needs: tuple[str, ...]
    computing: int


@dataclass(frozen=True)
class Part:
    """A part of the course: its number, its title, and what happens in it."""

    number: str
    title: str
    what: str


@dataclass(frozen=True)
class Page:
    """A notebook beside the lessons, without exercises: a review, the glossary.

    Attributes
    ----------
    file, title
        The notebook's name without suffix; its title.
    part
        Number of the part that it reviews; empty for what belongs to the whole course.
    """

    file: str
    title: str
    part: str


@dataclass(frozen=True)
class Leaf:
    """One family of models on the map.

    Attributes
    ----------
    family
        Its name.
    path
        The branches that lead to it, from the root.
    sentence
        What it means, in one sentence.
    lesson
        Number of the lesson where it runs, written or not.
    """

    family: str
    path: tuple[str, ...]
    sentence: str
    lesson: str


@dataclass(frozen=True)
class Course:
    """Everything that course.toml says."""

    parts: tuple[Part, ...]
    lessons: tuple[Lesson, ...]
    pages: tuple[Page, ...]
    leaves: tuple[Leaf, ...]

    def lesson(self, number: str) -> Lesson | None:
        """Return the lesson of a number, None where it is not written yet."""
        return next((one for one in self.lessons if one.number == number), None)


def read(path: Path) -> Course:
    """Read a course from a file, and refuse one that does not fit together.

    Raises
    ------
    ValueError
        If a row lacks an entry or has one too many, a number stands twice or out of
        order, a lesson's file does not begin with its number or a page's with a letter,
        or a lesson needs one that does not come before it.
    """
    rows = tomllib.loads(path.read_text(encoding="utf-8"))
    course = Course(
        tuple(Part(**_entries(row, Part)) for row in rows["part"]),
        tuple(_lesson(row) for row in rows["lesson"]),
        tuple(Page(**_entries(row, Page)) for row in rows["page"]),
        tuple(_leaf(row) for row in rows["leaf"]),
    )
    numbers = [lesson.number for lesson in course.lessons]
    if numbers != sorted(set(numbers)):
        raise ValueError(f"the lessons are {numbers}; expected each once, in order")
    parts = {"", *(part.number for part in course.parts)}
    for place, lesson in enumerate(course.lessons):
        if not lesson.file.startswith(f"{lesson.number}_"):
            raise ValueError(f"{lesson.file} does not begin with {lesson.number}_")
        if lesson.part not in parts:
            raise ValueError(f"lesson {lesson.number}: there is no part {lesson.part}")
        later = sorted(set(lesson.needs) - set(numbers[:place]))
        if later:
            raise ValueError(
                f"lesson {lesson.number} needs {', '.join(later)}; expected lessons "
                "before it"
            )
    for page in course.pages:
        if not page.file[:1].isalpha():
            raise ValueError(f"the page {page.file} does not begin with a letter")
        if page.part not in parts:
            raise ValueError(f"page {page.file}: there is no part {page.part}")
    return course


@functools.cache
def course() -> Course:
    """Return this course, read once from ``course.toml``."""
    return read(ROOT / "course.toml")


def _lesson(row: dict[str, Any]) -> Lesson:
    question = " ".join(row.get("question", "").split())
    needs = tuple(row.get("needs", ()))
    return Lesson(**_entries({**row, "question": question, "needs": needs}, Lesson))


def _leaf(row: dict[str, Any]) -> Leaf:
    return Leaf(**_entries({**row, "path": tuple(row.get("path", ()))}, Leaf))


def _entries(row: dict[str, Any], kind: type) -> dict[str, Any]:
    wanted = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if set(row) != wanted:
        odd = ", ".join(sorted(set(row) ^ wanted))
        named = row.get("number") or row.get("family") or row.get("file")
        raise ValueError(f"the row of {named} lacks or has too many: {odd}")
    return row
