"""The table of contents: each lesson once, in order, linked, under its part."""

import re

from course_utils.course import Course, Lesson, Part, course
from course_utils.pictures.contents import Contents


def lesson(number, part, title="T"):
    return Lesson(
        number=number, file=f"{number}_t", title=title, part=part, question="?",
        proves="a < b", needs=(), computing=1,
    )  # fmt: skip


def test_every_lesson_is_linked_once_in_order_with_what_it_proves():
    page = Contents()._repr_html_()
    files = [f"{one.file}.ipynb" for one in course().lessons]
    assert re.findall(r'href="([^"]+)"', page) == files
    text = repr(Contents())
    for one in course().lessons:
        assert f"{one.number} {one.title}: {one.proves}" in text


def test_a_part_stands_once_above_its_lessons_and_words_are_escaped():
    parts = (Part("I", "Compress", "w"), Part("II", "Believe", "w"))
    lessons = (lesson("00", ""), lesson("01", "I"), lesson("02", "I", "x & y"))
    page = Contents(Course(parts, (*lessons, lesson("03", "II")), (), ()))._repr_html_()
    places = [page.index(mark) for mark in (
        "00_t", "Part I, compress", "01_t", "02_t", "Part II, believe", "03_t"
    )]  # fmt: skip
    assert places == sorted(places)
    assert page.count("Part I, compress") == 1
    assert "a &lt; b" in page and "x &amp; y" in page
