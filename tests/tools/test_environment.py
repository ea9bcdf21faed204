"""The lock, pyproject.toml and environment.yml say the same."""

import importlib.metadata
import os
import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SETTINGS = [
    "requirements.lock",
    "requirements-teach.lock",
    "pyproject.toml",
    "environment.yml",
    "Makefile",
    "postBuild",
    ".ci/run",
]


def pins(name: str) -> dict[str, Requirement]:
    """Give the requirements of a lock by canonical name."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    by_name = {
        canonicalize_name(requirement.name): requirement for requirement in found
    }
    assert len(by_name) == len(found), "a package is locked twice"
    return by_name


def version(pin: Requirement) -> str:
    """Give the one exact version of a locked requirement."""
    (specifier,) = pin.specifier
    assert specifier.operator == "==", f"{pin} is not an exact version"
    return specifier.version


def complaints(wanted: list[str], locked: dict[str, Requirement]) -> list[str]:
    """List what a lock lacks of the wanted requirements."""
    said = []
    for requirement in map(Requirement, wanted):
        pin = locked.get(canonicalize_name(requirement.name))
        if pin is None:
            said.append(f"{requirement.name} is not locked")
        elif not requirement.specifier.contains(version(pin), prereleases=True):
            said.append(f"{pin} does not satisfy {requirement}")
    return said


def conda() -> dict:
    """Give the content of environment.yml."""
    return yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))


def test_the_lock_holds_what_the_project_needs():
    extras = PROJECT["optional-dependencies"]
    locked = pins("requirements.lock")
    assert complaints(PROJECT["dependencies"] + extras["dev"], locked) == []
    assert complaints(extras["teach"], pins("requirements-teach.lock")) == []


def test_a_missing_and_a_wrong_version_are_seen():
    locked = {"numpy": Requirement("numpy==1.26.0")}
    assert complaints(["numpy>=2", "scipy>=1"], locked) == [
        "numpy==1.26.0 does not satisfy numpy>=2",
        "scipy is not locked",
    ]


def test_everything_in_the_locks_is_one_exact_version():
    for name in ("requirements.lock", "requirements-teach.lock"):
        for pin in pins(name).values():
            assert version(pin)
            assert pin.url is None


def test_the_teachers_lock_adds_to_the_lock_and_repeats_nothing():
    assert not set(pins("requirements.lock")) & set(pins("requirements-teach.lock"))


def test_learners_get_no_grading_tools():
    assert "nbgrader" not in pins("requirements.lock")
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    assert not any(requirement.startswith("nbgrader") for requirement in wanted)


def test_torch_is_the_plain_version():
    assert str(pins("requirements.lock")["torch"].specifier) == "==2.13.0"
    assert [r for r in PROJECT["dependencies"] if r.startswith("torch")] == [
        "torch==2.13.0"
    ]


def test_setuptools_is_locked_so_that_the_package_builds_offline():
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    locked = pins("requirements.lock")
    assert complaints(needed["build-system"]["requires"], locked) == []


def test_the_conda_environment_uses_the_same_lock():
    environment = conda()
    assert environment["channels"] == ["conda-forge"]
    *plain, nested = environment["dependencies"]
    assert plain == ["python=3.11", "pip"]
    assert nested == {"pip": ["-r requirements.lock", "-e ."]}


def test_the_python_versions_agree():
    (python,) = [
        entry.removeprefix("python=")
        for entry in conda()["dependencies"]
        if isinstance(entry, str) and entry.startswith("python=")
    ]
    assert python in SpecifierSet(PROJECT["requires-python"])
    setup = (ROOT / "tools/setup.sh").read_text("utf-8")
    fitting = re.search(r"case \$1 in (.*)\) return 0", setup)
    assert fitting is not None
    versions = [part.strip().removesuffix(".*") for part in fitting[1].split("|")]
    assert versions[0] == python == "3.11"
    assert all(entry in SpecifierSet(PROJECT["requires-python"]) for entry in versions)
    for entry in versions:
        assert f"python{entry}" in setup
    assert "3.10" not in SpecifierSet(PROJECT["requires-python"])


@pytest.mark.parametrize("name", SETTINGS)
def test_no_local_build_and_no_package_host_is_named(name):
    text = (ROOT / name).read_text("utf-8")
    assert "+cpu" not in text
    assert "index-url" not in text and "find-links" not in text
    assert not re.search(r"https?://|file:", text)


@pytest.mark.parametrize("name", ["postBuild", ".ci/run", "tools/setup.sh"])
def test_scripts_are_executable_and_parse(name):
    assert os.access(ROOT / name, os.X_OK)
    shell = (ROOT / name).read_text("utf-8").split("\n")[0].split("/")[-1].split()[-1]
    subprocess.run([shell, "-n", str(ROOT / name)], check=True)


def test_this_environment_is_the_locked_one():
    wrong = []
    for name, pin in pins("requirements.lock").items():
        if pin.marker is not None and not pin.marker.evaluate():
            continue
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = "nothing"
        if installed.split("+")[0] != version(pin):
            wrong.append(f"{name}: locked {version(pin)}, installed {installed}")
    assert wrong == []
