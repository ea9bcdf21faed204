"""Progress is kept in a learner's workbook, and never gets in the way."""

import json

import pytest

from course_utils import progress


@pytest.fixture(autouse=True)
def workbook(monkeypatch, tmp_path):
    """A folder that is a learner's workbook."""
    (tmp_path / progress.MARK).write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "_memory", {})
    return tmp_path


def test_it_outlives_the_session(workbook):
    progress.record("a", "passed", 3.0)
    progress.record("b", "failed", 1.0)
    progress.forget()
    assert progress.status("a") == "solved"
    assert progress.status("b") == "tried"
    assert progress.status("c") == "not yet"


def test_solved_stays_solved(workbook):
    progress.record("a", "passed", 3.0)
    progress.record("a", "failed", 1.0)
    assert progress.status("a") == "solved"
    progress.record("b", "failed", 1.0)
    progress.record("b", "passed", 3.0)
    assert progress.status("b") == "solved"


def test_not_attempted_is_not_noted(workbook):
    progress.record("a", "not attempted", 0.0)
    assert progress.load() == {}
    assert not (workbook / progress.FILE).exists()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"a": 3}', '{"a": {"status": "king", "score": 1}}', "\0"],
)
def test_a_broken_file_is_not_an_error(workbook, content):
    (workbook / progress.FILE).write_text(content)
    assert progress.load() == {}
    progress.record("b", "passed", 1.0)
    assert progress.status("b") == "solved"
    json.loads((workbook / progress.FILE).read_text())


def test_a_folder_in_its_place_is_not_an_error(workbook):
    (workbook / progress.FILE).mkdir()
    progress.record("a", "passed", 1.0)
    assert progress.status("a") == "solved"
    assert sorted(path.name for path in workbook.iterdir()) == [
        progress.FILE,
        progress.MARK,
    ]


def test_outside_a_workbook_nothing_is_written(monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    progress.record("a", "passed", 1.0)
    assert list(elsewhere.iterdir()) == []
    assert progress.status("a") == "solved"


def test_two_sessions_do_not_drop_each_others_entries(workbook):
    progress.record("a", "passed", 1.0)
    progress.forget()
    progress.record("b", "passed", 1.0)
    progress.forget()
    assert {progress.status("a"), progress.status("b")} == {"solved"}
