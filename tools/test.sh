#!/bin/sh
# Every test, then every lesson once, unsolved. A part that fails does not keep the
# others from running; the exit code says in the end whether all of them passed.
set -u
cd "$(dirname "$0")/.."

python=${PYTHON_OF_COURSE:-$(pwd)/.venv/bin/python}
passed=
failed=

part() { # part NAME COMMAND...
    name=$1
    shift
    printf '\n== %s\n' "$name"
    if "$@"; then
        passed="$passed${passed:+,}$name"
    else
        failed="$failed${failed:+,}$name"
    fi
}

trap 'exit 130' INT

part "style" "$python" -m ruff check .
part "layout" "$python" -m ruff format --check .
part "types" "$python" -m mypy
part "unit tests" "$python" -m pytest -q -n 2 --dist loadfile
printf '\n== lessons\n'
exec "$python" -m tools.run_lessons \
    --passed-before "$passed" --failed-before "$failed"
