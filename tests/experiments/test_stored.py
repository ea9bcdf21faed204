"""Stored runs: made once, kept with their settings, refused with other ones."""

import json

import pytest

from course_utils.experiments import stored


def test_only_what_is_missing_is_run(tmp_path):
    place, calls = tmp_path / "kept.json", []

    def work(name):
        calls.append(name)
        return {"length": [len(name)]}

    told = []
    stored.run_missing(place, {"lr": 0.1}, ["a", "bb"], work, after_each=told.append)
    stored.run_missing(place, {"lr": 0.1}, ["bb", "a", "ccc"], work)
    assert calls == ["a", "bb", "ccc"] and told == ["a", "bb"]
    kept = stored.read(place, {"lr": 0.1}, ["ccc", "a"])
    assert kept == {"ccc": {"length": [3]}, "a": {"length": [1]}}
    assert list(kept) == ["ccc", "a"]  # in the order that was asked for


def test_other_settings_are_neither_read_nor_mixed(tmp_path):
    place = tmp_path / "kept.json"
    stored.run_missing(place, {"lr": 0.1}, ["a"], len)
    with pytest.raises(
        ValueError, match=r"kept\.json has no run 'a' of these set.*make"
    ):
        stored.read(place, {"lr": 0.2}, ["a"])
    stored.run_missing(place, {"lr": 0.2}, ["bb"], len)
    assert json.loads(place.read_text())["runs"] == {"bb": 2}


def test_tuples_in_the_settings_are_what_json_makes_of_them(tmp_path):
    place = tmp_path / "kept.json"
    stored.run_missing(place, {"hidden": (1, 2)}, ["a"], len)
    assert stored.read(place, {"hidden": (1, 2)}, ["a"]) == {"a": 1}


def test_a_missing_file_or_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="make sweeps"):
        stored.read(tmp_path / "none.json", {}, ["a"])
    stored.run_missing(tmp_path / "one.json", {}, ["a"], len)
    with pytest.raises(ValueError, match="has no run 'b'"):
        stored.read(tmp_path / "one.json", {}, ["a", "b"])


def test_an_interrupted_call_keeps_what_was_ready(tmp_path):
    place = tmp_path / "kept.json"

    def work(name):
        if name == "bb":
            raise RuntimeError("interrupted")
        return len(name)

    with pytest.raises(RuntimeError, match="interrupted"):
        stored.run_missing(place, {}, ["a", "bb"], work)
    assert stored.read(place, {}, ["a"]) == {"a": 1}
