"""What a learner sees of a check: each as HTML and as plain text."""

from __future__ import annotations

import html
from typing import Any

from course_utils.check import memory
from course_utils.course import course
from course_utils.exercises import all_exercises
from course_utils.grading.exercise import Report

STILL_A_STUB = (
    "The line `raise NotImplementedError()` still runs. Once you have written your "
    "answer, delete it."
)


def show(view: Any) -> None:
    """Display one of the views below, in a notebook or in a terminal."""
    from IPython.display import display

    display(view)


class Note:
    """One line of text with a heading, as HTML and as plain text."""

    def __init__(self, heading: str, text: str) -> None:
        self.heading, self.text = heading, text

    def __repr__(self) -> str:
        return f"{self.heading}: {self.text}"

    def _repr_html_(self) -> str:
        heading, text = html.escape(self.heading), html.escape(self.text)
        return f"<p><strong>{heading}</strong>: {text}</p>"


class ReportView:
    """A report as a small table: a mark, the criterion, the points, what was wrong."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def verdict(self) -> str:
        """Say in one sentence what happens next."""
        name = self.report.exercise
        if self.report.status == "passed":
            return "Solved: your version is used from here on."
        begun = (
            "Not attempted yet" if self.report.status == "not attempted" else "Not yet"
        )
        return (
            f"{begun}: the course's own version steps in, so that the lesson runs on. "
            f'Stuck? Run hint("{name}").'
        )

    def messages(self) -> list[str]:
        """Return what was wrong, each message once, diagnosis first."""
        if self.report.status == "not attempted":
            return [STILL_A_STUB]
        found = [self.report.diagnosis] if self.report.diagnosis else []
        found += [row.message for row in self.report.rows if row.message]
        return list(dict.fromkeys(found))[:4] + list(self.report.notes)

    def marks(self) -> list[str]:
        """Return one mark a row."""
        if self.report.status == "not attempted":
            return ["·"] * len(self.report.rows)
        return ["✗" if row.message else "✓" for row in self.report.rows]

    def heading(self) -> str:
        """Return the name and the points."""
        report = self.report
        return f"{report.exercise}: {report.score:g} of {report.points:g} points"

    def __repr__(self) -> str:
        rows = zip(self.marks(), self.report.rows, strict=True)
        table = [
            f"  {mark} {row.text} ({row.earned:g}/{row.points:g})" for mark, row in rows
        ]
        said = [f"  → {message}" for message in self.messages()]
        return "\n".join([self.heading(), *table, *said, self.verdict()])

    def _repr_html_(self) -> str:
        colours = {"✓": "#00796b", "✗": "#b3261e", "·": "#757575"}
        cell = "padding:2px 10px 2px 0;text-align:left;vertical-align:top"
        rows = "".join(
            f'<tr><td style="{cell};color:{colours[mark]};font-weight:bold">{mark}</td>'
            f'<td style="{cell}">{html.escape(row.text)}</td>'
            f'<td style="{cell}">{row.earned:g} / {row.points:g}</td></tr>'
            for mark, row in zip(self.marks(), self.report.rows, strict=True)
        )
        said = "".join(f"<li>{html.escape(text)}</li>" for text in self.messages())
        return (
            f"<p><strong>{html.escape(self.heading())}</strong></p>"
            f'<table style="margin:0 0 .5em 0">{rows}</table>'
            + (f"<ul>{said}</ul>" if said else "")
            + f"<p>{html.escape(self.verdict())}</p>"
        )


class SolutionView:
    """The course's version of an exercise as code to read, and a line under it."""

    def __init__(self, name: str, source: str, text: str) -> None:
        self.name, self.source, self.text = name, source, text

    def __repr__(self) -> str:
        said = [f"{self.name}, the course's version:", self.source, self.text]
        return "\n".join(part for part in said if part)

    def _repr_html_(self) -> str:
        heading = f"{html.escape(self.name)}, the course's version"
        return (
            f"<p><strong>{heading}</strong></p>"
            f"<pre><code>{html.escape(self.source)}</code></pre>"
            + (f"<p>{html.escape(self.text)}</p>" if self.text else "")
        )


class ProgressView:
    """The exercises of all lessons and how far the learner is with each."""

    MARKS = {"solved": "✓", "tried": "✗", "not yet": "·"}

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return lesson, name, title and status of every exercise."""
        known = memory.load()
        return [
            (
                _lesson_name(number),
                item.name,
                item.title,
                memory.in_words(known.get(item.name)),
            )
            for number, exercises in all_exercises().items()
            for item in exercises
        ]

    def __repr__(self) -> str:
        lines = [
            f"  {self._mark(status)} {lesson[:2]} {name}: {status}"
            for lesson, name, _, status in self.rows()
        ]
        return "\n".join([self.summary(), *lines])

    def _mark(self, status: str) -> str:
        return self.MARKS[status.split(", ")[0]]

    def summary(self) -> str:
        """Return how many are solved."""
        rows = self.rows()
        solved = sum(status.startswith("solved") for *_, status in rows)
        return f"{solved} of {len(rows)} exercises solved"

    def _repr_html_(self) -> str:
        cell = "padding:2px 10px 2px 0;text-align:left"
        head = "".join(
            f'<th style="{cell}">{word}</th>'
            for word in ("lesson", "exercise", "about", "status")
        )
        rows = "".join(
            f'<tr><td style="{cell}">{html.escape(lesson)}</td>'
            f'<td style="{cell}"><code>{html.escape(name)}</code></td>'
            f'<td style="{cell}">{html.escape(title)}</td>'
            f'<td style="{cell}">{self._mark(status)} {status}</td></tr>'
            for lesson, name, title, status in self.rows()
        )
        return f"<p>{self.summary()}</p><table><tr>{head}</tr>{rows}</table>"


def _lesson_name(number: str) -> str:
    lesson = course().lesson(number)
    return f"{number} {lesson.title}" if lesson else number
