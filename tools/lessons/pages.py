"""The notebooks of the course in a folder: the lessons, then the pages beside them.

A page is a notebook without exercises: the glossary, the review of a part.
"""

from __future__ import annotations

from pathlib import Path

from course_utils.course import course

__all__ = ["is_page", "notebooks"]


def is_page(name: str) -> bool:
    """Whether course.toml has a page of this name (of a file without its suffix).

    Examples
    --------
    >>> is_page("glossary"), is_page("05_elbo")
    (True, False)
    """
    return name in {page.file for page in course().pages}


def notebooks(folder: Path, suffix: str = ".ipynb") -> list[Path]:
    """List the files of the lessons in a folder in order, then those of the pages."""
    lessons = sorted(folder.glob(f"[0-9][0-9]_*{suffix}"))
    pages = [folder / f"{page.file}{suffix}" for page in course().pages]
    return lessons + [page for page in pages if page.exists()]
