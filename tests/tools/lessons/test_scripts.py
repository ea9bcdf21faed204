"""Lessons as scripts and back."""

import os

import nbformat
import pytest

from lesson_maker import good_lesson, points_of
from tools.lessons import __main__ as command_line
from tools.lessons import normalise as normaliser
from tools.lessons.normalise import dumps, normalise
from tools.lessons.scripts import from_script, to_script


@pytest.fixture(autouse=True)
def any_exercise(monkeypatch):
    monkeypatch.setattr(normaliser, "_points_of", points_of)


def without_outputs(nb):
    nb = nbformat.from_dict(nb)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nb


def test_there_and_back_loses_outputs_only():
    nb = good_lesson()
    back = normalise(from_script(to_script(nb), nb), "01_small")
    assert dumps(back) == dumps(without_outputs(nb))


def test_the_script_is_plain():
    script = to_script(good_lesson())
    assert script.startswith("# %% [markdown]\n# # 01 · A small lesson\n")
    assert '# %% tags=["nbval-check-output"]\n# Fact 0\nprint(0)' in script
    assert "nbgrader" not in script and "kernelspec" not in script


def test_an_unchanged_cell_keeps_its_id_and_a_changed_one_gets_a_new_one():
    nb = good_lesson()
    fact = next(cell for cell in nb.cells if cell.id == "fact-3")
    fact.id = "my-own-name"
    script = to_script(nb).replace("# Fact 4\n", "# Number four\n")
    ids = [cell.id for cell in normalise(from_script(script, nb), "01_small").cells]
    assert "my-own-name" in ids and "number-four" in ids and "fact-4" not in ids


def test_the_command_line_takes_both_ways(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    notebook, script = (
        tmp_path / "notebooks/01_small.ipynb",
        tmp_path / "build/01_small.py",
    )
    notebook.write_text(dumps(good_lesson()), encoding="utf-8")
    assert command_line.main(["to-script", "01"]) == 0
    script.write_text(script.read_text().replace("# Fact 4", "# Number four"))
    assert command_line.main(["to-script", "01"]) == 1  # would lose the edit
    assert "may hold your edits" in capsys.readouterr().err
    assert "Number four" in script.read_text()
    assert command_line.main(["from-script", "01"]) == 0
    assert "number-four" in notebook.read_text()
    assert command_line.main(["to-script", "01", "--force"]) == 0
    assert "Number four" in script.read_text()


def test_a_newer_script_is_taken_back_and_an_older_one_is_not(tmp_path, capsys):
    build, source = tmp_path / "build", tmp_path / "notebooks"
    build.mkdir()
    source.mkdir()
    script = to_script(good_lesson())
    for number in ("01", "02", "03"):
        text = script.replace("01 ·", f"{number} ·").replace("# Fact 4", "# My edit")
        (build / f"{number}_small.py").write_text(text, encoding="utf-8")
    old = source / "02_small.ipynb"  # 01 and 03 are new lessons
    old.write_text(dumps(good_lesson()), encoding="utf-8")
    os.utime(build / "02_small.py", (1, 1))
    command_line.take_back(build, source, ["01", "02"])
    assert "my-edit" in (source / "01_small.ipynb").read_text("utf-8")
    assert "my-edit" not in old.read_text("utf-8")
    assert not (source / "03_small.ipynb").exists(), "was not asked for"
    assert "01_small.py back" in capsys.readouterr().out
    os.utime(build / "02_small.py")
    command_line.take_back(build, source, [])
    assert "my-edit" in old.read_text("utf-8") and (source / "03_small.ipynb").exists()
