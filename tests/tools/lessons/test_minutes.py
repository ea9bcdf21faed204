"""The estimate of a learner's minutes, and where it is written."""

import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lesson_maker import check_cell, good_lesson, points_of, solution
from tools.lessons.minutes import fill_in, minutes, sections, totals, words
from tools.lessons.normalise import normalise


def text(source, *tags):
    return new_markdown_cell(source, metadata={"tags": list(tags)} if tags else {})


def folded(source):
    return new_code_cell(source, metadata={"tags": ["hide-input"]})


def lesson(*cells):
    first = text(
        "# 01 · Title\n\n**Time.** About ? minutes for the core\npath, ? for the "
        "deeper sections."
    )
    return new_notebook(cells=[first, *cells])


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (text("one " * 50), 0.5),
        (text("$$a\n= b$$"), 2.5),
        (text("then $a$ and $b$"), 0.02 + 0.1),
        (text("`code` and <b>bold</b>\n```\nno word\n```"), 0.02),
        (new_code_cell("a = 1\n\nb = 2"), 0.2),
        (folded("plots.show(fig, alt='x')"), 1),
        (new_code_cell("plots.show(fig, alt='x')"), 1.1),
        (new_code_cell("predict(\n  'Which?',\n  ['a', 'b'],\n)"), 2),
        (folded("assert a"), 0),
        (solution("alpha"), 3 + 2),
        (check_cell("alpha"), 0),
    ],
)
def test_each_kind_of_cell_has_its_price(cell, expected):
    assert minutes([cell]) == pytest.approx(expected)


def test_comments_of_a_solution_cost_nothing():
    plain, commented = solution("alpha"), solution("alpha")
    commented.source = commented.source.replace("    return", "    # why\n\n    return")
    assert minutes([commented]) == minutes([plain])


def test_words_leave_out_where_links_lead():
    assert words("see [lesson two](02_long_name.ipynb#a-b) now") == 4


def test_deeper_sections_and_references_are_counted_apart():
    nb = lesson(
        text("## 1. First\n\n" + "one " * 200),
        text("more " * 100),
        text("## 2. Deeper: second\n\n" + "one " * 500, "deeper"),
        text("and " * 200),
        text("## Summary\n\n" + "one " * 100),
        text("## References\n\n" + "one " * 900),
    )
    titles = [(one.title, one.deeper, len(one.cells)) for one in sections(nb)]
    assert titles == [
        ("01 · Title", False, 1),
        ("1. First", False, 2),
        ("2. Deeper: second", True, 2),
        ("Summary", False, 1),
        ("References", False, 1),
    ]
    assert totals(nb) == (4, 7)


def test_the_estimates_are_written_into_the_lesson_and_stay():
    nb = lesson(
        text("## 1. First\n\n*About ? minutes.* **Takeaway.** " + "one " * 300),
        text("## 2. Deeper: more\n\n*About 99 minutes.* **It is.** More.", "deeper"),
    )
    fill_in(nb)
    opening, first, deeper = (cell.source for cell in nb.cells)
    assert "About 3 minutes for the core path, 0 for the deeper" in opening
    assert first.startswith("## 1. First\n\n*About 3 minutes.* **Takeaway.**")
    assert deeper.startswith("## 2. Deeper: more\n\n*About 1 minute.* **It is.**")
    before = [cell.source for cell in nb.cells]
    fill_in(nb)
    assert [cell.source for cell in nb.cells] == before


def test_normalising_fills_the_minutes_in():
    nb = good_lesson()
    nb.cells.insert(1, text("## 1. New\n\n" + "one " * 500))
    for said in ("?", "90"):
        nb.cells[0].source = re.sub(r"About \S+", f"About {said}", nb.cells[0].source)
        again = normalise(nb, "01_small", points_of=points_of)
        assert "About 5 minutes for the core path" in again.cells[0].source


def test_words_in_the_question_of_a_text_are_no_estimate():
    nb = lesson(text("## 1. First\n\nIt took them about 30 minutes."))
    fill_in(nb)
    assert nb.cells[1].source.endswith("It took them about 30 minutes.")
