"""Executing lessons: what is kept, what is said, and what stays when a cell fails."""

import os
import stat

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lesson_maker import points_of
from tools.lessons import __main__ as command_line
from tools.lessons.execute import execute, execute_all
from tools.lessons.normalise import dumps, normalise


def written(folder, name, *sources):
    nb = new_notebook(cells=[new_code_cell(source) for source in sources])
    path = folder / f"{name}.ipynb"
    path.write_text(dumps(nb), encoding="utf-8")
    return path


def test_a_lesson_runs_in_this_python_and_in_its_own_folder(tmp_path):
    (tmp_path / "beside.txt").write_text("here")
    path = written(
        tmp_path,
        "01_small",
        "import sys, ipywidgets\nfrom pathlib import Path\nprint('a')\nprint('b')",
        "print(Path('beside.txt').read_text(), len(sys.prefix))\n6 * 7",
        "ipywidgets.IntSlider()",
    )
    nb = execute(path, points_of=points_of)
    first, second, third = nb.cells
    assert [cell.execution_count for cell in nb.cells] == [1, 2, 3]
    assert [o.text for o in first.outputs] == ["a\nb\n"]
    import sys

    assert second.outputs[0].text == f"here {len(sys.prefix)}\n"
    assert second.outputs[1].data == {"text/plain": "42"}
    assert third.outputs == []
    text = path.read_text(encoding="utf-8")
    assert text == dumps(nb)
    assert dumps(normalise(nb, "01_small")) == text
    assert set(nb.metadata) == {"kernelspec", "language_info"}
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o644
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".txt"] == [path.name]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("# A bad cell\n1 / 0", r"cell 'a-bad-cell': ZeroDivisionError"),
        ("# A slow cell\nimport time\ntime.sleep(60)", "cell 'a-slow-cell'.*3 s"),
        ("# An end\nimport os\nos._exit(1)", "cell 'an-end': the kernel died"),
        ("# A place\nprint('/home/me')", "cell 'a-place': an absolute path"),
    ],
)
def test_on_an_error_the_cell_is_named_and_the_file_stays(tmp_path, source, message):
    path = written(tmp_path, "01_small", "x = 1", source)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"01_small, {message}") as caught:
        execute(path, timeout=3, points_of=points_of)
    assert len(str(caught.value).split("\n")) <= 16
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_several_lessons_run_at_once_and_each_says_how_it_went(tmp_path, capsys):
    good = written(tmp_path, "01_good", "print('fine')")
    bad = written(tmp_path, "02_bad", "raise KeyError('this one')")
    before = bad.read_bytes()
    assert execute_all([good, bad], jobs=2) == 1
    said = capsys.readouterr().out
    assert "done    01_good.ipynb" in said and "to mend: anatomy" in said
    assert "FAILED  02_bad" in said and "this one" in said
    assert bad.read_bytes() == before
    assert nbformat.read(good, as_version=4).cells[0].outputs[0].text == "fine\n"


# ---------------------------------------------------------------- the command line


def test_lessons_are_found_by_number_name_or_path(tmp_path):
    one, two = written(tmp_path, "01_one", "1"), written(tmp_path, "02_two", "2")
    page = written(tmp_path, "glossary", "3")
    written(tmp_path, "draft", "4")
    assert command_line.found(tmp_path, []) == [one, two, page]
    assert command_line.found(tmp_path, ["glossary"]) == [page]
    assert command_line.found(tmp_path, ["02"]) == [two]
    assert command_line.found(tmp_path, ["01_one", str(two)]) == [one, two]
    with pytest.raises(ValueError, match="no lesson '03'.*01_one, 02_two"):
        command_line.found(tmp_path, ["03"])
    with pytest.raises(ValueError, match="no lesson in"):
        command_line.found(tmp_path / "nowhere", [])


def test_normalise_on_the_command_line_writes_only_what_changes(tmp_path, capsys):
    path = tmp_path / "01_one.ipynb"
    cells = [new_markdown_cell("# One")]
    path.write_text(dumps(new_notebook(cells=cells)), encoding="utf-8")
    arguments = ["normalise", "--source", str(tmp_path)]
    assert command_line.main(arguments) == 0
    assert "normalised 01_one.ipynb" in capsys.readouterr().out
    first = path.stat().st_mtime_ns
    assert command_line.main(arguments) == 0
    assert path.stat().st_mtime_ns == first and capsys.readouterr().out == ""


def test_ids_are_derived_anew_where_asked(tmp_path, capsys):
    path = tmp_path / "01_one.ipynb"
    cells = [new_markdown_cell("# One thing", id="another-thing")]
    path.write_text(dumps(new_notebook(cells=cells)), encoding="utf-8")
    assert command_line.main(["normalise", "--source", str(tmp_path)]) == 0
    assert '"another-thing"' in path.read_text()
    assert command_line.main(["normalise", "--rename", "--source", str(tmp_path)]) == 0
    assert '"one-thing"' in path.read_text()


def test_a_problem_is_one_line_and_a_failure(tmp_path, capsys):
    assert command_line.main(["execute", "--source", str(tmp_path / "x")]) == 1
    assert "no lesson in" in capsys.readouterr().err
