"""Tells whether this kernel is the course's own environment, as it was tested.

A notebook can be opened with any Python that calls itself ``python3``. This looks at
the one that is running.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from course_utils.files import ROOT

LOCK = ROOT / "requirements.lock"
OLDEST_PYTHON = (3, 11)
MAIN_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "ipywidgets",
    "jupyterlab",
)


@dataclass(frozen=True)
class Finding:
    """One line of the self-test: what was looked at, whether it is well, what to do."""

    what: str
    well: bool
    advice: str = ""


def locked_versions(text: str) -> dict[str, str]:
    r"""Read the pinned versions out of a lock file.

    Examples
    --------
    >>> locked_versions("# exact\ntorch==2.13.0\nappnope==1.0 ; sys_platform == 'x'")
    {'torch': '2.13.0', 'appnope': '1.0'}
    """
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, flags=re.MULTILINE))


def installed_versions(names: tuple[str, ...]) -> dict[str, str | None]:
    """Return the installed version of each package, ``None`` where it is missing.

    The local part is dropped: the CPU build of torch 2.13.0 calls itself 2.13.0+cpu.
    """
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def differing(
    installed: Mapping[str, str | None], locked: Mapping[str, str]
) -> list[str]:
    """Say which packages are missing or have another version than the lock.

    Examples
    --------
    >>> differing({"torch": "2.5.1", "numpy": "2.4.6"}, {"torch": "2.13.0"})
    ['torch is 2.5.1, the course uses 2.13.0']
    """
    return [
        f"{name} is {version or 'missing'}, the course uses {locked[name]}"
        for name, version in installed.items()
        if name in locked and version != locked[name]
    ]


def is_own_environment(prefix: Path, root: Path) -> bool:
    """Whether a Python prefix is the environment that belongs to the course's folder.

    That is ``.venv`` in the folder where there is one (made by ``make lab``); else any
    virtual or conda environment that the course was installed into.
    """
    own = root / ".venv"
    if own.exists():
        return prefix.resolve() == own.resolve()
    is_virtual = (prefix / "pyvenv.cfg").exists()
    return is_virtual or (prefix / "conda-meta").exists()


def findings() -> list[Finding]:
    """Look at the running Python: its version, environment and packages."""
    lock = LOCK.read_text(encoding="utf-8") if LOCK.exists() else ""
    wrong = differing(installed_versions(MAIN_PACKAGES), locked_versions(lock))
    wanted = ".".join(map(str, OLDEST_PYTHON))
    return [
        Finding(
            f"Python {wanted} or newer",
            sys.version_info >= OLDEST_PYTHON,
            "run `make lab` in the course's folder; it finds a fitting Python",
        ),
        Finding(
            "the kernel is the course's own environment",
            is_own_environment(Path(sys.prefix), ROOT),
            "this is another Python: start with `make lab`, or choose the kernel "
            "'Python 3 (ipykernel)' of the course's environment (menu Kernel)",
        ),
        Finding(
            "the main packages have the tested versions",
            bool(lock) and not wrong,
            "; ".join(wrong) or "requirements.lock is missing",
        ),
    ]


def versions() -> str:
    """Return the versions of Python and the main packages, in one line.

    Examples
    --------
    >>> versions().startswith("Python 3.")
    True
    """
    python = ".".join(map(str, sys.version_info[:3]))
    installed = installed_versions(MAIN_PACKAGES)
    rest = [f"{name} {version or 'missing'}" for name, version in installed.items()]
    return ", ".join([f"Python {python}", *rest])


def self_test() -> bool:
    """Print what was found and a verdict; return whether all is well."""
    found = findings()
    for finding in found:
        mark = "✓" if finding.well else "✗"
        print(f"{mark} {finding.what}")
        if not finding.well:
            print(f"  {finding.advice}")
    well = all(finding.well for finding in found)
    print("Ready." if well else "Not ready: see the advice above.")
    return well
