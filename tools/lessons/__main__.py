"""The command line of authoring: execute, workbook, to-script and back, minutes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.lessons.pages import is_page, notebooks


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0 when all went well."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.lessons",
        description="Make and keep the lessons.",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    run = commands.add_parser("execute", help="run lessons in place and normalise them")
    run.add_argument("lessons", nargs="*", help="numbers or paths; all by default")
    run.add_argument(
        "--jobs", type=int, help="how many at once; one per core by default"
    )

    tidy = commands.add_parser(
        "normalise", help="normalise lessons without running them"
    )
    tidy.add_argument("lessons", nargs="*", help="numbers or paths; all by default")
    tidy.add_argument("--rename", action="store_true", help="derive every id anew")

    copies = commands.add_parser("workbook", help="build the learner's copies")
    copies.add_argument("--target", type=Path, default=Path("workbook"))

    out = commands.add_parser("to-script", help="write build/NN_name.py from a lesson")
    out.add_argument("lessons", nargs="+", help="numbers or paths")
    out.add_argument("--force", action="store_true", help="overwrite an edited script")

    back = commands.add_parser("from-script", help="make lessons from build/NN_name.py")
    back.add_argument("lessons", nargs="+", help="numbers or paths of scripts")

    times = commands.add_parser("minutes", help="estimate the minutes of each section")
    times.add_argument("lessons", nargs="*", help="numbers or paths; all by default")

    for command in (run, tidy, copies, out, back, times):
        command.add_argument("--source", type=Path, default=Path("notebooks"))
    for command in (run, out, back):
        command.add_argument("--build", type=Path, default=Path("build"))

    options = parser.parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


def found(folder: Path, wanted: list[str], suffix: str = ".ipynb") -> list[Path]:
    """Find lessons and pages named by number, by name or by path; all for none.

    Raises
    ------
    ValueError
        If there is no such lesson.
    """
    everything = notebooks(folder, suffix)
    if not wanted:
        if not everything:
            raise ValueError(
                f"no lesson in {folder}; run this from the course's folder"
            )
        return everything
    paths = []
    for name in wanted:
        if name.endswith(suffix) and Path(name).is_file():
            paths.append(Path(name))
            continue
        fitting = [
            p for p in everything if p.stem == name or p.stem.startswith(f"{name}_")
        ]
        if len(fitting) != 1:
            known = ", ".join(p.stem for p in everything) or "none"
            raise ValueError(f"no lesson {name!r} in {folder}; there are: {known}")
        paths += fitting
    return paths


def _execute(options: argparse.Namespace) -> int:
    from tools.lessons.execute import execute_all, execute_here

    take_back(options.build, options.source, options.lessons)
    paths = found(options.source, options.lessons)
    if len(paths) == 1:
        return execute_here(paths[0])
    return 1 if execute_all(paths, options.jobs) else 0


def take_back(build: Path, source: Path, wanted: list[str]) -> None:
    """Make lessons from those of their scripts that were edited since."""
    from tools.lessons.scripts import read_script

    for script in notebooks(build, ".py"):
        notebook = source / f"{script.stem}.ipynb"
        asked = not wanted or script.stem[:2] in wanted or script.stem in wanted
        newer = (
            not notebook.exists() or script.stat().st_mtime > notebook.stat().st_mtime
        )
        if asked and newer:
            read_script(script, notebook)
            print(f"took {script} back")


def _normalise(options: argparse.Namespace) -> int:
    import nbformat

    from course_utils.files import write_atomically
    from tools.lessons.normalise import dumps, normalise, without_ids

    for path in found(options.source, options.lessons):
        nb = nbformat.read(path, as_version=4)
        if options.rename:
            nb = without_ids(nb)
        content = dumps(normalise(nb, path.stem)).encode("utf-8")
        if content != path.read_bytes():
            write_atomically(path, content)
            print(f"normalised {path.name}")
    return 0


def _workbook(options: argparse.Namespace) -> int:
    from tools.lessons.workbook import build

    for line in build(options.source, options.target):
        print(line)
    return 0


def _to_script(options: argparse.Namespace) -> int:
    from tools.lessons.scripts import write_script

    for path in found(options.source, options.lessons):
        script = options.build / f"{path.stem}.py"
        write_script(path, script, force=options.force)
        print(f"wrote {script}")
    return 0


def _from_script(options: argparse.Namespace) -> int:
    from tools.lessons.scripts import read_script

    for script in found(options.build, options.lessons, ".py"):
        notebook = options.source / f"{script.stem}.ipynb"
        notebook.parent.mkdir(parents=True, exist_ok=True)
        read_script(script, notebook)
        short = notebook.stem if is_page(notebook.stem) else notebook.stem[:2]
        print(f"wrote {notebook}; run it with: execute {short}")
    return 0


def _minutes(options: argparse.Namespace) -> int:
    import nbformat

    from tools.lessons.minutes import sections, totals

    for path in found(options.source, options.lessons):
        nb = nbformat.read(path, as_version=4)
        core, deeper = totals(nb)
        print(f"{path.stem}: core path {core} minutes, deeper sections {deeper}")
        for section in sections(nb):
            mark = "deeper" if section.deeper else ""
            print(f"{section.minutes:6.1f}  {mark:6}  {section.title}")
    return 0


COMMANDS = {
    "execute": _execute,
    "normalise": _normalise,
    "workbook": _workbook,
    "to-script": _to_script,
    "from-script": _from_script,
    "minutes": _minutes,
}

if __name__ == "__main__":
    sys.exit(main())
