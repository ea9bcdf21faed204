"""The table of contents: every lesson of a course, linked, with what it proves."""

from __future__ import annotations

import html

from course_utils.course import Course, Lesson, course
from course_utils.pictures._rows import CELL, row


class Contents:
    """The lessons as a table, a line above those of each part.

    Parameters
    ----------
    shown
        The course, this one by default.
    """

    def __init__(self, shown: Course | None = None) -> None:
        self.course = shown or course()

    def __repr__(self) -> str:
        return "\n".join(
            f"{one.number} {one.title}: {one.proves}" for one in self.course.lessons
        )

    def _repr_html_(self) -> str:
        titles = ("", "lesson", "what you will have proved and run")
        rows, part = [row(titles, "th")], ""
        for lesson in self.course.lessons:
            if lesson.part != part:
                part = lesson.part
                title = html.escape(self._titles()[part])
                rows.append(
                    f'<tr><td colspan="3" style="{CELL}"><b>{title}</b></td></tr>'
                )
            rows.append(self._row(lesson))
        return f"<table>{''.join(rows)}</table>"

    def _titles(self) -> dict[str, str]:
        return {"": ""} | {
            one.number: f"Part {one.number}, {one.title.lower()}"
            for one in self.course.parts
        }

    def _row(self, lesson: Lesson) -> str:
        link = f'<a href="{lesson.file}.ipynb">{html.escape(lesson.title)}</a>'
        return row((lesson.number, link, html.escape(lesson.proves)))
