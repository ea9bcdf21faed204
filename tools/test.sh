#!/bin/sh
# Every test, then every lesson once, unsolved. A part that fails does not keep the
# others from running; the exit code says in the end whether all of them passed.
#
#   tools/test.sh          what every change must pass
#   tools/test.sh long     what a delivery must pass on top: the solved lessons, whole
#                          lessons on other right answers, many seeds (COURSE_SEEDS)
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

if [ "${1:-}" = long ]; then
    part "long tests" "$python" -m pytest -q -n 2 --dist load -m long
    export COURSE_SEEDS="${COURSE_SEEDS:-100}"
    part "many seeds" "$python" -m pytest -q -n 2 --dist load tests/exercises
    set -- --solved
else
    part "style" "$python" -m ruff check .
    part "layout" "$python" -m ruff format --check .
    part "types" "$python" -m mypy
    # A few draws of each exercise's inputs; many are for the long tests.
    export COURSE_SEEDS="${COURSE_SEEDS:-3}"
    part "unit tests" "$python" -m pytest -q -n 2 --dist loadfile
    set --
fi
printf '\n== lessons\n'
exec "$python" -m tools.run_lessons "$@" \
    --passed-before "$passed" --failed-before "$failed"
