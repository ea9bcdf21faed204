"""The table of contents: every lesson of a course, linked, with what it proves."""

from __future__ import annotations

import html

from course_utils.course import Course, Lesson, course


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
        cell = "text-align:left;padding:3px 10px 3px 0;vertical-align:top"
        titles = ("", "lesson", "what you will have proved and run")
        head = "".join(f'<th style="{cell}">{title}</th>' for title in titles)
        rows, part = [f"<tr>{head}</tr>"], ""
        for lesson in self.course.lessons:
            if lesson.part != part:
                part = lesson.part
                title = html.escape(self._titles()[part])
                rows.append(
                    f'<tr><td colspan="3" style="{cell}"><b>{title}</b></td></tr>'
                )
            rows.append(self._row(lesson, cell))
        return f"<table>{''.join(rows)}</table>"

    def _titles(self) -> dict[str, str]:
        return {"": ""} | {
            one.number: f"Part {one.number}, {one.title.lower()}"
            for one in self.course.parts
        }

    def _row(self, lesson: Lesson, cell: str) -> str:
        link = f'<a href="{lesson.file}.ipynb">{html.escape(lesson.title)}</a>'
        cells = (lesson.number, link, html.escape(lesson.proves))
        shown = "".join(f'<td style="{cell}">{text}</td>' for text in cells)
        return f"<tr>{shown}</tr>"
