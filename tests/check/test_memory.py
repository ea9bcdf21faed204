"""Progress is kept in a learner's workbook, and never gets in the way."""

import json

import pytest

from course_utils.check import memory


@pytest.fixture(autouse=True)
def workbook(monkeypatch, tmp_path):
    """A folder that is a learner's workbook."""
    (tmp_path / memory.MARK).write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "_memory", {})
    return tmp_path


def test_it_outlives_the_session(workbook):
    memory.record("a", "passed", 3.0)
    memory.record("b", "failed", 1.0)
    memory.forget()
    assert memory.status("a") == "solved"
    assert memory.status("b") == "tried"
    assert memory.status("c") == "not yet"


def test_solved_stays_solved(workbook):
    memory.record("a", "passed", 3.0)
    memory.record("a", "failed", 1.0)
    assert memory.status("a") == "solved"
    memory.record("b", "failed", 1.0)
    memory.record("b", "passed", 3.0)
    assert memory.status("b") == "solved"


def test_not_attempted_is_not_noted(workbook):
    memory.record("a", "not attempted", 0.0)
    assert memory.load() == {}
    assert not (workbook / memory.FILE).exists()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"a": 3}', '{"a": {"status": "king", "score": 1}}', "\0"],
)
def test_a_broken_file_is_not_an_error(workbook, content):
    (workbook / memory.FILE).write_text(content)
    assert memory.load() == {}
    memory.record("b", "passed", 1.0)
    assert memory.status("b") == "solved"
    json.loads((workbook / memory.FILE).read_text())


def test_a_folder_in_its_place_is_not_an_error(workbook):
    (workbook / memory.FILE).mkdir()
    memory.record("a", "passed", 1.0)
    assert memory.status("a") == "solved"
    assert sorted(path.name for path in workbook.iterdir()) == [
        memory.FILE,
        memory.MARK,
    ]


def test_outside_a_workbook_nothing_is_written(monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    memory.record("a", "passed", 1.0)
    assert list(elsewhere.iterdir()) == []
    assert memory.status("a") == "solved"


def test_two_sessions_do_not_drop_each_others_entries(workbook):
    memory.record("a", "passed", 1.0)
    memory.forget()
    memory.record("b", "passed", 1.0)
    memory.forget()
    assert {memory.status("a"), memory.status("b")} == {"solved"}


def test_looked_up_outlives_the_session_and_every_later_outcome(workbook):
    memory.look_up("a")
    memory.forget()
    assert memory.status("a") == "not yet, looked up"
    memory.record("a", "failed", 0.0)
    assert memory.status("a") == "tried, looked up"
    memory.forget()
    memory.record("a", "passed", 3.0)
    memory.forget()
    assert memory.status("a") == "solved, looked up"


def test_looking_up_what_is_solved_changes_nothing(workbook):
    memory.record("a", "passed", 3.0)
    before = (workbook / memory.FILE).read_text()
    memory.look_up("a")
    assert (workbook / memory.FILE).read_text() == before
