"""The normaliser: one lesson, one sequence of bytes."""

import copy
import json
import re

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
    new_raw_cell,
)

from lesson_maker import check_cell, points_of, printed, raw_lesson, solution
from tools.lessons import normalise as module
from tools.lessons.normalise import dumps, is_descriptive

VIEW = "application/vnd.jupyter.widget-view+json"


def normalise(nb, name="01_small"):
    return module.normalise(nb, name, points_of=points_of)


def notebook(cells):
    nb = new_notebook()  # which would repair equal ids by itself
    nb.cells = list(cells)
    return nb


def ids(*cells):
    return [cell.id for cell in normalise(notebook(cells)).cells]


def ran(source, *outputs, count=7):
    return new_code_cell(source, execution_count=count, outputs=list(outputs))


def only(cell):
    return normalise(new_notebook(cells=[cell])).cells[0]


# ------------------------------------------------------------------- the whole


def test_the_progress_of_whoever_ran_it_is_not_kept():
    assert only(ran("progress()", *printed("3 of 40 solved"))).outputs == []
    assert only(ran("progress()", *printed("3 of 40 solved"))).execution_count == 1
    assert only(ran("print(progress)", *printed("3 of 40 solved"))).outputs != []


def test_the_notebook_passed_in_stays_as_it_is():
    nb = raw_lesson()
    before = copy.deepcopy(nb)
    normalise(nb)
    assert nb == before


def test_twice_is_once():
    once = normalise(raw_lesson())
    assert dumps(normalise(once)) == dumps(once)


def test_bytes_survive_writing_and_reading():
    text = dumps(normalise(raw_lesson()))
    again = normalise(nbformat.reads(text, as_version=4))
    assert dumps(again) == text
    assert text.endswith("}\n") and not text.endswith("\n\n")
    assert text.startswith('{\n "cells"')


def test_random_ids_do_not_reach_the_bytes():
    assert dumps(normalise(raw_lesson())) == dumps(normalise(raw_lesson()))


def test_keys_are_sorted_everywhere():
    def walk(value):
        if isinstance(value, dict):
            assert list(value) == sorted(value)
            for inner in value.values():
                walk(inner)
        if isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(json.loads(dumps(normalise(raw_lesson()))))


texts = st.text(max_size=60) | st.sampled_from(
    ["# A title", "## Über uns", "x = 1", "def f(x):\n    return x", "deadbeef", "%ls"]
)
cells = st.one_of(
    st.builds(lambda s, i: new_markdown_cell(s, id=i), texts, st.just("9f3c02ab")),
    st.builds(
        lambda s, i: new_code_cell(s, id=i),
        texts,
        st.sampled_from(["keep-me", "00000000", "a", "Big_One", "text"]),
    ),
    st.builds(new_raw_cell, texts),
)


@given(st.lists(cells, max_size=8))
def test_any_notebook_gets_valid_descriptive_unique_ids_and_a_fixed_point(many):
    nb = notebook(many)
    try:
        once = normalise(nb)
    except ValueError:
        return  # a path or an address by chance
    names = [cell.id for cell in once.cells]
    assert len(set(names)) == len(names)
    assert all(is_descriptive(name) for name in names), names
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,50}", name) for name in names)
    assert dumps(normalise(once)) == dumps(once)
    nbformat.validate(once)


# ------------------------------------------------------------------------- ids


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (new_markdown_cell("text\n\n## The *gap*, again\nmore"), "the-gap-again"),
        (new_markdown_cell("Wörter sind [hier](http://a.b/c) zu lesen"), None),
        (new_markdown_cell("## See [lesson 3](03_x.ipynb#y)"), "see-lesson-3"),
        (new_markdown_cell("## Don't"), "dont"),
        (new_markdown_cell("42"), "text-42"),
        (new_markdown_cell("## deadbeef"), "text-deadbeef"),
        (new_code_cell("import a\n\ndef to_codes(x):\n    return x"), "to_codes"),
        (new_code_cell("# Train the model\nfit(model)"), "train-the-model"),
        (new_code_cell("model = Autoencoder(64, 2)"), "model-autoencoder-64-2"),
        (new_code_cell("%matplotlib inline"), "matplotlib-inline"),
        (new_code_cell("1 + 1"), "code-1-1"),
        (new_raw_cell("a b"), "raw-a-b"),
        (new_markdown_cell("## 2.1 The gap: $D_{KL}(q)$ again"), "the-gap-again"),
        (new_markdown_cell("# 01 · The map"), "the-map"),
        (new_markdown_cell("## $x < 3 y$"), "text-x-3-y"),
        (
            new_code_cell("x = 1\nprint(f'largest angle {x:.3f} rad')"),
            "largest-angle-rad",
        ),
        (new_code_cell("x = 1\nprint(x)"), "code-x-1"),
        (
            new_code_cell("print('a b')\nplots.show(f, alt='A curve' ' that rises')"),
            "figure-a-curve-that-rises",
        ),
        (
            new_code_cell("predict('Is $p<q$ always larger?', ['a', 'b'], 0, 'c')"),
            "predict-is-always-larger",
        ),
    ],
)
def test_an_id_says_what_the_cell_holds(cell, name):
    (got,) = ids(cell)
    assert got == (name or "worter-sind-hier-zu-lesen")


def test_long_headings_are_cut_at_a_word():
    heading = "# " + "wonderful " * 20
    (got,) = ids(new_markdown_cell(heading))
    assert len(got) <= 50 and set(got.split("-")) == {"wonderful"}


def test_equal_cells_are_numbered():
    same = [new_code_cell("show(x)") for _ in range(3)]
    assert ids(*same) == ["show-x", "show-x-2", "show-x-3"]


def test_a_descriptive_id_is_kept_when_the_text_changes():
    assert ids(new_markdown_cell("# New title", id="old-title")) == ["old-title"]


def test_a_kept_id_goes_before_a_derived_one():
    first = new_markdown_cell("# The title", id="9f3c02ab")
    second = new_markdown_cell("text", id="the-title")
    assert ids(first, second) == ["the-title-2", "the-title"]


def test_the_first_of_two_equal_ids_keeps_it():
    first, second = (
        new_code_cell("a = 10", id="same"),
        new_code_cell("bb = 1", id="same"),
    )
    assert ids(first, second) == ["same", "bb-1"]


def test_exercise_cells_are_named_after_their_function():
    named = [solution("alpha"), check_cell("alpha")]
    named[0].id, named[1].id = "something-else", "alpha"
    other = new_code_cell("y = 1", id="alpha-check")
    assert ids(other, *named) == ["code-y-1", "alpha", "alpha-check"]


def test_an_exercise_twice_is_refused():
    with pytest.raises(ValueError, match="01_small.*'alpha'.*twice"):
        ids(solution("alpha"), solution("alpha"))


@pytest.mark.parametrize(
    "name",
    [
        *("9f3c02ab", "a", "12", "A-Title", "x_", "-x", "a" * 51, "", "3-4"),
        "0b1c2d3e-aaaa-bbbb-cccc-0123456789ab",
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_random_and_odd_ids_are_not_descriptive(name):
    assert not is_descriptive(name)


# -------------------------------------------------------------------- metadata


def test_the_kernel_and_language_are_fixed_and_the_rest_is_dropped():
    nb = raw_lesson()
    nb.metadata.update(
        {
            "kernelspec": {"name": "other", "display_name": "My Python"},
            "language_info": {"name": "python", "version": "3.11.4"},
            "widgets": {"state": {}},
            "jupytext": {"formats": "ipynb,py"},
            "vscode": {},
        }
    )
    metadata = normalise(nb).metadata
    assert set(metadata) == {"kernelspec", "language_info"}
    assert metadata.kernelspec == {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    assert "version" not in metadata.language_info


def test_cell_metadata_keep_tags_slides_and_nothing_of_the_editor():
    cell = new_code_cell(
        "x = 1",
        metadata={
            "tags": ["b", "a"],
            "slideshow": {"slide_type": "slide", "more": 1},
            "collapsed": True,
            "scrolled": True,
            "execution": {"iopub.status.busy": "now"},
            "nbgrader": {"grade": True},
        },
    )
    assert only(cell).metadata == {
        "tags": ["a", "b"],
        "slideshow": {"slide_type": "slide"},
    }


def test_a_folded_cell_hides_its_code_and_not_its_output():
    cell = new_code_cell("plt.plot(x)")
    cell.metadata.update(tags=["hide-input"], jupyter={"outputs_hidden": True})
    kept = only(cell).metadata
    assert kept == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    unfolded = new_code_cell("plt.plot(x)")
    unfolded.metadata["jupyter"] = {"source_hidden": True}
    assert only(unfolded).metadata == {}


def test_an_unknown_slide_type_is_refused():
    cell = new_markdown_cell("# T", metadata={"slideshow": {"slide_type": "big"}})
    with pytest.raises(ValueError, match="slide_type must be one of"):
        only(cell)


def test_exercises_get_what_nbgrader_needs():
    nb = normalise(new_notebook(cells=[solution("alpha"), check_cell("alpha")]))
    written, checked = (cell.metadata.nbgrader for cell in nb.cells)
    assert written == {
        "grade": False,
        "grade_id": "alpha",
        "locked": False,
        "schema_version": 3,
        "solution": True,
        "task": False,
    }
    assert checked == {
        "grade": True,
        "grade_id": "alpha-check",
        "locked": True,
        "points": 2,
        "schema_version": 3,
        "solution": False,
        "task": False,
    }


def test_points_come_from_the_course_and_a_missing_exercise_is_named():
    from course_utils.exercises import all_exercises

    known = [exercise for lesson in all_exercises().values() for exercise in lesson]
    for exercise in known[:2]:
        nb = new_notebook(cells=[check_cell(exercise.name)])
        got = module.normalise(nb, "01_small").cells[0].metadata.nbgrader.points
        assert got == exercise.points
    with pytest.raises(ValueError, match="01_small.*'no_such_thing-check'"):
        module.normalise(new_notebook(cells=[check_cell("no_such_thing")]), "01_small")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "exactly one function"),
        (
            "def a():\n  ### BEGIN SOLUTION\n  ### END SOLUTION\ndef b():\n  pass",
            "exactly one function",
        ),
        ("def a():\n    ### BEGIN SOLUTION\n    pass", "never ends"),
    ],
)
def test_unfit_solution_cells_are_refused_by_name(source, message):
    with pytest.raises(ValueError, match=f"01_small, cell 'here'.*{message}"):
        only(new_code_cell(source, id="here"))


# --------------------------------------------------------------------- outputs


def test_execution_counts_are_renumbered():
    result = new_output("execute_result", data={"text/plain": "1"}, execution_count=40)
    nb = new_notebook(
        cells=[ran("a = 1", count=9), new_markdown_cell("# M"), ran("1", result)]
    )
    _, _, last = normalise(nb).cells
    assert [c.get("execution_count") for c in normalise(nb).cells] == [1, None, 2]
    assert last.outputs[0].execution_count == 2


def test_a_cell_that_was_not_run_has_no_count():
    nb = new_notebook(cells=[new_code_cell("a = 1"), ran("b = 1")])
    assert [cell.execution_count for cell in normalise(nb).cells] == [None, 2]


def test_adjacent_streams_are_joined_and_empty_ones_dropped():
    cell = ran("f()", *printed("a"), *printed(""), *printed("b\n"))
    cell.outputs.append(new_output("stream", name="stderr", text="c"))
    cell.outputs += printed("d")
    got = [(o.name, o.text) for o in only(cell).outputs]
    assert got == [("stdout", "ab\n"), ("stderr", "c"), ("stdout", "d")]


def test_of_a_progress_bar_the_last_state_stays():
    cell = ran("f()", *printed("start\r\n 10%\r 50%\r"), *printed("100%\r\ndone\n"))
    assert only(cell).outputs[0].text == "start\n100%\ndone\n"


def test_live_widgets_are_dropped_and_what_stands_beside_them_stays():
    view = {VIEW: {"model_id": "x"}}
    with_page = new_output(
        "display_data", data={**view, "text/html": "<p>", "text/plain": "p"}
    )
    alone = new_output("display_data", data={**view, "text/plain": "VBox()"})
    bare = new_output("display_data", data=view)
    plain = new_output("display_data", data={"text/plain": "VBox()"})
    got = only(ran("f()", with_page, alone, bare, plain)).outputs
    assert [dict(o.data) for o in got] == [
        {"text/html": "<p>", "text/plain": "p"},
        {"text/plain": "VBox()"},
    ]


def test_output_metadata_are_dropped():
    output = new_output("display_data", data={"text/html": "x"})
    output.metadata["needs_background"] = "light"
    assert only(ran("f()", output)).outputs[0].metadata == {}


# --------------------------------------------------------------- other machines


@pytest.mark.parametrize(
    "text",
    [
        "<object at 0x7f3a2c1d>",
        "0x7f3a2c1d4e50",
        "in /home/me/course.py",
        "('/root/x',)",
        "/tmp/tmp1",
        "/Users/me/x",
        "C:\\Users\\me",
        "C:\\\\Users\\\\me",
        "data:image/png;base64,AAAA /home/me",
        "\x1b[31mfile\x1b[0m /private/var/x",
    ],
)
def test_traces_of_a_machine_are_refused_with_notebook_and_cell(text):
    for cell in (
        ran("f()", *printed(text)),
        ran("f()", new_output("display_data", data={"text/html": f"<p>{text}</p>"})),
        new_markdown_cell(text),
    ):
        cell.id = "this-cell"
        with pytest.raises(ValueError, match="01_small, cell 'this-cell': a"):
            only(cell)


@pytest.mark.parametrize(
    "text",
    [
        "http://example.org/home/page",
        "a/tmp/b and ../home/x",
        "0x1F and 0xFFFF",
        "at 0x",
        "$F:\\mathbb{R} \\to \\mathbb{R}$",
        '<img src="data:image/png;base64,AA+/tmp/AAA+0x7f3a2c1d4e50==">',
        "/homework/x",
    ],
)
def test_what_only_looks_like_a_trace_is_let_through(text):
    page = new_output("display_data", data={"text/html": text})
    assert only(ran("f()", page)).outputs
    only(new_markdown_cell(text))


def test_empty_cells_and_outer_blank_lines_go_but_inner_blanks_stay():
    nb = new_notebook(
        cells=[new_code_cell("  \n"), new_markdown_cell("\n\na b  \nline two \n\n")]
    )
    (cell,) = normalise(nb).cells
    assert cell.source == "a b  \nline two"
