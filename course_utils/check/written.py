"""The course's version of an exercise as a text to read, taken from its lesson."""

from __future__ import annotations

import inspect
import json
import textwrap
from pathlib import Path

from course_utils.course import course
from course_utils.exercises import lesson_of
from course_utils.files import ROOT
from course_utils.grading.exercise import Exercise

MARKERS = ("### BEGIN SOLUTION", "### END SOLUTION")


def source_of(exercise: Exercise, folder: Path = ROOT / "notebooks") -> str:
    """Return the function as its lesson writes it, comments and all.

    Where the lesson is not beside the package, the reference that the check uses.
    """
    lesson = course().lesson(lesson_of(exercise.name))
    path = folder / f"{lesson.file}.ipynb" if lesson else folder
    if not path.is_file():
        return textwrap.dedent(inspect.getsource(exercise.reference)).rstrip()
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    (source,) = ("".join(c["source"]) for c in cells if c["id"] == exercise.name)
    lines = source.split("\n")
    return "\n".join(line for line in lines if line.strip() not in MARKERS)
