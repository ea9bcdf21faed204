#!/bin/sh
# Write requirements.lock and requirements-teach.lock from pyproject.toml.
#
#   tools/lock.sh             keep the versions that still fit, add what is new
#   tools/lock.sh --upgrade   take the newest versions
#
# It needs uv (https://docs.astral.sh/uv/), which the course itself does not.
# The libraries for graphics cards are left out of the lock: pip takes the ones
# its torch wheel asks for, and the CPU build of torch asks for none.
set -eu
cd "$(dirname "$0")/.."

if command -v uv >/dev/null 2>&1; then
    uv=uv
elif [ -x .venv/bin/uv ]; then
    uv=.venv/bin/uv
else
    echo "make lock needs uv. Install it outside of .venv: pipx install uv" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

compile() { # compile EXTRAS_AND_OPTIONS... ; the result is in $work/out
    "$uv" pip compile --quiet --universal --fork-strategy fewest \
        --python-version 3.11 --no-annotate --no-header "$@" \
        --output-file "$work/out" pyproject.toml >/dev/null
    grep -vE '^(#|nvidia-|cuda-|triton)' "$work/out" >"$work/clean"
}

if [ -f requirements.lock ]; then cp requirements.lock "$work/out"; fi
compile --extra dev "$@"
{
    echo "# Exact versions of everything the course needs;" \
        "\`make lock\` writes it from pyproject.toml."
    cat "$work/clean"
} >"$work/lock"

# What teachers need on top, at versions that agree with the lock.
if [ -f requirements-teach.lock ]; then cp requirements-teach.lock "$work/out"; fi
compile --extra dev --extra teach --constraint "$work/lock" "$@"
{
    echo "# What nbgrader needs beyond requirements.lock;" \
        "\`make lock\` writes it from pyproject.toml."
    grep -vxF -f "$work/lock" "$work/clean"
} >"$work/teach"

mv "$work/lock" requirements.lock
mv "$work/teach" requirements-teach.lock
echo "Wrote requirements.lock and requirements-teach.lock."
