"""The self-test tells the course's own environment from every other Python."""

import os
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement

from course_utils.check import self_test as module
from course_utils.check.self_test import (
    LOCK,
    MAIN_PACKAGES,
    differing,
    findings,
    installed_versions,
    is_own_environment,
    locked_versions,
    self_test,
)

words = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,3})?", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,2}\.[0-9]{1,2}(\.[0-9])?(rc1)?", fullmatch=True)


# --- reading the lock ---------------------------------------------------------------


def test_the_lock_of_the_course_is_read_whole():
    lines = LOCK.read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    want = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}
    assert locked_versions(LOCK.read_text("utf-8")) == want
    assert set(MAIN_PACKAGES) <= set(want), "the self-test would pass over a package"


@given(st.dictionaries(words, versions, max_size=6))
@settings(max_examples=30)
def test_pins_are_read_among_comments_and_markers(pins):
    ends = ["", " ; sys_platform == 'win32'", "  # why", ";python_version<'3.13'"]
    lines = ["# exact versions", "-r other.txt", "# torch==0.1"]
    for place, (name, version) in enumerate(pins.items()):
        lines += [f"{name}=={version}{ends[place % 4]}", "    # via torch==9"]
    assert locked_versions("\n".join(lines)) == pins


# --- comparing ----------------------------------------------------------------------


def test_installed_versions_are_the_metadata_without_local_part(monkeypatch):
    def version(name):
        if name == "absent":
            raise metadata.PackageNotFoundError(name)
        return {"torch": "2.13.0+cpu", "numpy": "2.4.6"}[name]

    monkeypatch.setattr(module.metadata, "version", version)
    got = installed_versions(("torch", "absent", "numpy"))
    assert got == {"torch": "2.13.0", "absent": None, "numpy": "2.4.6"}


def test_the_packages_that_run_are_seen():
    import numpy
    import torch

    got = installed_versions(("numpy", "torch", "no-such-package-at-all"))
    assert got["numpy"] == numpy.__version__
    assert got["torch"] == torch.__version__.split("+")[0]
    assert got["no-such-package-at-all"] is None


@given(
    locked=st.dictionaries(words, versions, max_size=5),
    installed=st.dictionaries(words, st.none() | versions, max_size=5),
)
@settings(max_examples=40)
def test_only_locked_packages_of_another_version_differ(locked, installed):
    want = [
        f"{name} is {installed[name] or 'missing'}, the course uses {locked[name]}"
        for name in installed
        if name in locked and installed[name] != locked[name]
    ]
    assert differing(installed, locked) == want
    assert differing(locked, locked) == []
    assert len(differing(dict.fromkeys(locked), locked)) == len(locked)


# --- whose environment --------------------------------------------------------------


def test_the_courses_own_folder_decides_where_there_is_one(tmp_path):
    own, other = tmp_path / ".venv", tmp_path / "other"
    for place in (own, other):
        place.mkdir()
        (place / "pyvenv.cfg").touch()
    assert is_own_environment(own, tmp_path)
    assert is_own_environment(tmp_path / "other" / ".." / ".venv", tmp_path)
    assert not is_own_environment(other, tmp_path)
    assert not is_own_environment(Path("/usr"), tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_to_the_environment_is_the_environment(tmp_path):
    real = tmp_path / "elsewhere"
    real.mkdir()
    (tmp_path / ".venv").symlink_to(real)
    assert is_own_environment(real, tmp_path)
    assert is_own_environment(tmp_path / ".venv", tmp_path)


@pytest.mark.parametrize(
    ("holds", "own"), [("pyvenv.cfg", True), ("conda-meta", True), ("bin", False)]
)
def test_elsewhere_any_virtual_environment_will_do(tmp_path, holds, own):
    prefix = tmp_path / "env"
    (prefix / holds).mkdir(parents=True)
    assert is_own_environment(prefix, tmp_path / "course") is own


# --- the whole ----------------------------------------------------------------------


@pytest.fixture
def good(monkeypatch, tmp_path):
    """Give a Python in which all is well."""
    (tmp_path / ".venv").mkdir()
    lock = tmp_path / "requirements.lock"
    lock.write_text("".join(f"{name}==1.0\n" for name in MAIN_PACKAGES), "utf-8")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "LOCK", lock)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setattr(sys, "version_info", (3, 11, 0))
    monkeypatch.setattr(module.metadata, "version", lambda name: "1.0")
    return monkeypatch


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_a_good_environment_is_ready(good, capsys):
    assert self_test() is True
    *found, verdict = lines(capsys)
    assert [line[0] for line in found] == ["✓"] * 3 and verdict == "Ready."
    assert [line[2:] for line in found] == [item.what for item in findings()]
    assert found[0] == "✓ Python 3.11 or newer"


@pytest.mark.parametrize("version", [(3, 10, 14), (3, 9), (2, 7, 18)])
def test_an_old_python_is_named(good, capsys, version):
    good.setattr(sys, "version_info", version)
    assert self_test() is False
    said = lines(capsys)
    assert said[0] == "✗ Python 3.11 or newer" and "make lab" in said[1]
    assert sum(line.startswith("✗") for line in said) == 1
    assert said[-1] == "Not ready: see the advice above."


def test_another_environment_is_named(good, capsys, tmp_path):
    good.setattr(sys, "prefix", str(tmp_path / "anaconda"))
    assert self_test() is False
    said = lines(capsys)
    assert said[1] == "✗ the kernel is the course's own environment"
    assert "menu Kernel" in said[2] and "make lab" in said[2]
    assert sum(line.startswith("✗") for line in said) == 1


def test_another_version_is_named(good, capsys):
    def version(name):
        if name == "scipy":
            raise metadata.PackageNotFoundError(name)
        return "2.0+cu130" if name == "torch" else "1.0"

    good.setattr(module.metadata, "version", version)
    assert self_test() is False
    said = lines(capsys)
    assert said[2] == "✗ the main packages have the tested versions"
    want = "torch is 2.0, the course uses 1.0; scipy is missing, the course uses 1.0"
    assert said[3] == f"  {want}"


def test_a_missing_lock_is_named(good, capsys, tmp_path):
    (tmp_path / "requirements.lock").unlink()
    assert self_test() is False
    assert "  requirements.lock is missing" in lines(capsys)


def test_a_later_python_will_do(good):
    good.setattr(sys, "version_info", (3, 14, 0))
    assert self_test()


def test_this_very_python_has_the_tested_versions():
    """Runs in the course's environment; whether it is .venv depends on who tests."""
    found = {finding.what: finding for finding in findings()}
    assert found["Python 3.11 or newer"].well
    packages = found["the main packages have the tested versions"]
    assert packages.well, packages.advice
