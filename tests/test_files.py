"""A file is written whole or not at all."""

import os

import pytest

from course_utils.files import ROOT, write_atomically


def test_the_course_s_folder_holds_the_course():
    assert (ROOT / "course.toml").is_file() and (ROOT / "notebooks").is_dir()


@pytest.mark.parametrize("content", ["β = 4\r\n", b"\x00\xff", ""])
def test_what_is_written_comes_back_readable_for_everyone(tmp_path, content):
    path = tmp_path / "file"
    write_atomically(path, "old")
    write_atomically(path, content)
    wanted = content.encode("utf-8") if isinstance(content, str) else content
    assert path.read_bytes() == wanted
    assert path.stat().st_mode & 0o777 == 0o644
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("moment", ["fsync", "chmod", "replace"])
def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path, monkeypatch, moment):
    path = tmp_path / "file"
    path.write_text("old")

    def interrupted(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_atomically(tmp_path / "nowhere" / "file", "x")
