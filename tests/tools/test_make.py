"""Setting up, with Pythons that are too old, missing, broken or cut short.

The course's files are copied to an empty folder, and the PATH holds nothing but the
few standard tools that the scripts need and the Pythons of the test.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import ROOT

TOOLS = "sh awk cat cksum df dirname echo id mkdir mv rm sleep touch uname".split()

# A Python that answers what setup.sh asks; what it does as pip is up to the test.
FAKE = """#!/bin/sh
version={version}
case "$*" in
*'import sys; print('*) echo $version ;;
*realpath*) echo "$version {home}" ;;
*'import ensurepip, venv'*) exit {venv} ;;
*'import pip'*) exit 0 ;;
*platform.machine*) echo "{platform}" ;;
'-m venv --clear '*)
    echo made >>made
    rm -rf .venv && mkdir -p .venv/bin && cat "$0" >.venv/bin/python
    chmod +x .venv/bin/python ;;
'-m pip install'*)
    echo "$*" >>installed
    {pip} ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""


class Course:
    """A copy of what setting up needs, with a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a course"  # with a space
        self.path = folder / "bin"
        (self.folder / "tools").mkdir(parents=True)
        self.path.mkdir()
        for name in ("Makefile", "pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, self.folder / name)
        shutil.copy(ROOT / "tools/setup.sh", self.folder / "tools/setup.sh")
        for tool in [*TOOLS, "chmod"]:
            found = shutil.which(tool)
            if found is not None:
                (self.path / tool).symlink_to(found)

    def command(self, name: str, text: str) -> Path:
        """Put a command on the PATH."""
        path = self.path / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def python(
        self,
        name: str,
        version: str,
        *,
        venv: bool = True,
        pip: str = ":",
        platform: str = "Linux x86_64 64 ",
    ) -> Path:
        """Put a fake Python on the PATH."""
        return self.command(
            name,
            FAKE.format(
                version=version,
                home=f"/opt/{name}",
                venv=0 if venv else 1,
                pip=pip,
                platform=platform,
            ),
        )

    def environment(self, **more: str) -> dict[str, str]:
        return {"PATH": str(self.path), "HOME": str(self.folder), **more}

    def setup(self, **more: str) -> subprocess.CompletedProcess[str]:
        """Run tools/setup.sh."""
        return subprocess.run(
            ["/bin/sh", "tools/setup.sh"],
            cwd=self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    @property
    def stamp(self) -> Path:
        return self.folder / ".venv/.stamp"


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path)


def test_a_fitting_python_is_set_up_and_the_stamp_written(course):
    course.python("python3", "3.12.4")
    done = course.setup()
    assert done.returncode == 0, done.stderr
    assert course.stamp.exists()
    lock, package = course.lines("installed")
    assert lock.endswith("-r requirements.lock")
    assert package.endswith("--no-deps --no-build-isolation -e .")


def test_the_second_time_there_is_nothing_to_do(course):
    course.python("python3", "3.12.4")
    course.setup()
    done = course.setup()
    assert done.returncode == 0
    assert done.stdout + done.stderr == ""
    assert len(course.lines("installed")) == 2


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_changed_requirements_are_installed_into_the_same_place(course, name):
    course.python("python3", "3.12.4")
    course.setup()
    with (course.folder / name).open("a") as file:
        file.write("# changed\n")
    assert course.setup().returncode == 0
    assert len(course.lines("installed")) == 4
    assert len(course.lines("made")) == 1


def test_a_course_that_was_moved_is_installed_again(course):
    course.python("python3", "3.12.4")
    course.setup()
    course.folder = course.folder.rename(course.folder.with_name("moved"))
    assert course.setup().returncode == 0
    assert len(course.lines("installed")) == 4


def test_no_python(course):
    done = course.setup()
    assert done.returncode == 1
    assert "needs Python 3.11" in done.stderr
    assert "No Python was found" in done.stderr
    assert not (course.folder / ".venv").exists()


def test_too_old_pythons_are_named(course):
    course.python("python3", "3.9.2")
    course.python("python", "2.7.18")
    done = course.setup()
    assert done.returncode == 1
    assert "Found only: python3 (3.9.2), python (2.7.18)." in done.stderr
    assert not (course.folder / ".venv").exists()


def test_a_too_new_python_does_not_fit(course):
    course.python("python3", "3.15.0")
    assert "python3 (3.15.0)" in course.setup().stderr


def test_beside_an_old_python3_a_newer_one_is_found(course):
    course.python("python3", "3.9.2")
    course.python("python3.11", "3.11.9")
    done = course.setup()
    assert done.returncode == 0
    assert "with python3.11 (Python 3.11.9)" in done.stderr


def test_a_shim_with_nothing_behind_it_is_skipped(course):
    course.command("python3", "#!/bin/sh\necho 'pyenv: not found' >&2\nexit 127\n")
    course.command("python3.13", "#!/bin/sh\nexit 1\n")
    course.python("python3.12", "3.12.1")
    done = course.setup()
    assert done.returncode == 0
    assert "with python3.12 (Python 3.12.1)" in done.stderr
    assert "pyenv" not in done.stderr


def test_a_named_python_wins(course):
    course.python("python3", "3.11.2")
    named = course.python("mine", "3.13.1")
    done = course.setup(PYTHON=str(named))
    assert done.returncode == 0
    assert "(Python 3.13.1)" in done.stderr


def test_a_named_python_that_does_not_fit_is_not_replaced_by_another(course):
    course.python("python3", "3.11.2")
    course.python("old", "3.8.1")
    done = course.setup(PYTHON="old")
    assert done.returncode == 1 and "old (3.8.1)" in done.stderr
    done = course.setup(PYTHON="nowhere")
    assert done.returncode == 1 and "PYTHON=nowhere does not run" in done.stderr


def test_a_missing_venv_module_names_the_package_that_brings_it(course):
    course.python("python3", "3.11.2", venv=False)
    done = course.setup()
    assert done.returncode == 1
    assert "sudo apt install python3.11-venv" in done.stderr


def test_a_python_that_can_make_environments_is_preferred(course):
    course.python("python3", "3.11.2", venv=False)
    course.python("python3.12", "3.12.1")
    assert course.setup().returncode == 0


def test_a_broken_environment_is_made_again(course):
    course.python("python3", "3.11.2")
    course.setup()
    (course.folder / ".venv/bin/python").unlink()
    done = course.setup()
    assert done.returncode == 0
    assert "does not run: making it again" in done.stderr
    assert len(course.lines("made")) == 2 and course.stamp.exists()


def test_another_python_than_asked_for_makes_it_again_once(course):
    course.python("python3", "3.11.2")
    course.setup()
    course.python("python3.12", "3.12.1")
    assert len(course.lines("made")) == 1
    for _ in range(2):
        assert course.setup(PYTHON="python3.12").returncode == 0
    assert len(course.lines("made")) == 2
    course.setup()  # and with none asked for it stays as it is
    assert len(course.lines("made")) == 2


def test_without_the_network_it_says_so_and_writes_no_stamp(course):
    course.python("python3", "3.11.2", pip="echo 'no route to host' >&2; exit 1")
    done = course.setup()
    assert done.returncode == 1
    assert "no route to host" in done.stderr
    assert "needs the network" in done.stderr
    assert not course.stamp.exists()
    assert len(course.lines("installed")) == 1


def test_an_update_that_fails_keeps_the_environment(course):
    course.python("python3", "3.11.2", pip='test ! -e "offline"')
    assert course.setup().returncode == 0
    (course.folder / "offline").touch()
    with (course.folder / "requirements.lock").open("a") as file:
        file.write("# changed\n")
    assert course.setup().returncode == 1
    (course.folder / "offline").unlink()
    assert course.setup().returncode == 0
    assert len(course.lines("made")) == 1


def test_an_interrupted_install_leaves_no_stamp_and_starts_afresh(course):
    course.python("python3", "3.11.2", pip="touch begun; sleep 20")
    process = subprocess.Popen(
        ["/bin/sh", "tools/setup.sh"],
        cwd=course.folder,
        env=course.environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    begun = course.folder / "begun"
    for _ in range(500):
        if begun.exists():
            break
        time.sleep(0.02)
    assert begun.exists()
    os.killpg(process.pid, signal.SIGINT)  # as Control-C does
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Run the same command again" in said
    assert not course.stamp.exists()

    course.python("python3", "3.11.2")
    done = course.setup()
    assert done.returncode == 0
    assert "was not finished: making it again" in done.stderr
    assert course.stamp.exists()
    assert len(course.lines("made")) == 2


def test_an_install_that_was_killed_starts_afresh(course):
    course.python("python3", "3.11.2", pip='kill -9 "$PPID"; sleep 1')
    assert course.setup().returncode != 0
    assert not course.stamp.exists()
    course.python("python3", "3.11.2")
    assert course.setup().returncode == 0
    assert len(course.lines("made")) == 2


def test_too_little_disk_space(course):
    course.python("python3", "3.11.2")
    course.command(
        "df",
        "#!/bin/sh\necho 'Filesystem 1024-blocks Used Available Capacity Mounted on'\n"
        "echo '/dev/sda1 9000000 8000000 1048576 90% /'\n",
    )
    done = course.setup()
    assert done.returncode == 1
    assert "1024 MB free" in done.stderr and "needs 4 GB" in done.stderr
    assert not (course.folder / ".venv").exists()


@pytest.mark.parametrize(
    "platform, said",
    [
        ("Darwin x86_64 64 14.5", "Intel Macs"),
        ("Darwin arm64 64 13.6.1", "macOS 14"),
        ("Linux i686 32 ", "32-bit Python"),
    ],
)
def test_machines_without_torch_are_named(course, platform, said):
    course.python("python3", "3.11.2", platform=platform)
    done = course.setup()
    assert done.returncode == 1 and said in done.stderr


@pytest.mark.parametrize("platform", ["Darwin arm64 64 14.0", "Darwin arm64 64 26.1"])
def test_a_current_mac_fits(course, platform):
    course.python("python3", "3.11.2", platform=platform)
    assert course.setup().returncode == 0


def test_make_alone_lists_each_target_in_one_line(course):
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        [make],
        cwd=course.folder,
        env=course.environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not (course.folder / ".venv").exists()
    listed = re.findall(r"^  ([\w-]+) +\S.*$", done.stdout, flags=re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    targets = set(phony[1].split())
    assert set(listed) == targets - {"setup"}
    assert len(listed) == len(set(listed))
    assert {"lab", "test", "notebooks", "workbook"} <= set(listed)


@pytest.fixture
def integration(course):
    """Run .ci/run with a make that only says that it was called."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    shutil.copytree(ROOT / ".ci", course.folder / ".ci")
    (course.path / "bash").symlink_to(bash)
    course.command("make", '#!/bin/sh\necho "make $* with CI=$CI"\n')

    def run(user: int, apt_get: str | None = None) -> subprocess.CompletedProcess[str]:
        course.command("id", f"#!/bin/sh\necho {user}\n")
        if apt_get is not None:
            course.command("apt-get", f"#!/bin/sh\n{apt_get}\n")
        return subprocess.run(
            [bash, ".ci/run"],
            cwd=course.folder,
            env=course.environment(),
            capture_output=True,
            text=True,
        )

    return run


def test_integration_without_root_goes_on_without_a_browser(integration):
    done = integration(user=1000, apt_get="exit 1")
    assert done.returncode == 0
    assert "chromium bubblewrap" in done.stdout and "skipped" in done.stdout
    assert done.stdout.splitlines()[-1] == "make test with CI=true"


def test_integration_as_root_installs_what_is_missing(integration, course):
    install = (
        f"PATH={os.environ['PATH']}\n"
        f"cd '{course.path}'; for name in chromium bwrap; do\n"
        "printf '#!/bin/sh\\n' >$name; chmod +x $name; done"
    )
    done = integration(user=0, apt_get=install)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "make test with CI=true\n"


def test_integration_fails_only_where_something_missing_cannot_be_installed(
    integration, course
):
    for name in ("google-chrome", "bwrap"):
        course.command(name, "#!/bin/sh\n")
    done = integration(user=0, apt_get="exit 1")
    assert done.returncode == 0  # nothing is missing, so nothing is asked of apt-get
    (course.path / "bwrap").unlink()
    done = integration(user=0, apt_get="exit 1")
    assert done.returncode == 1
    assert "bubblewrap is still missing" in done.stderr


def test_the_scripts_use_nothing_that_only_gnu_tools_have():
    scripts = [*ROOT.glob("tools/*.sh"), ROOT / "Makefile"]
    beyond = re.compile(r"sed -i|realpath |readlink -f|\btimeout |date \+%N|grep -P")
    for script in scripts:
        lines = script.read_text("utf-8").splitlines()
        assert not [line for line in lines if beyond.search(line)], script.name
        if script.suffix == ".sh":
            assert lines[0] == "#!/bin/sh"
            assert os.access(script, os.X_OK)


def test_a_port_that_is_no_number_is_refused(tmp_path):
    done = subprocess.run(
        ["/bin/sh", str(ROOT / "tools/lab.sh")],
        env={**os.environ, "PORT": "eight", "PYTHON_OF_COURSE": sys.executable},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "PORT=eight is not a number" in done.stderr
