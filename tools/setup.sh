#!/bin/sh
# Make .venv and install the exact versions of requirements.lock into it.
#
# PYTHON=...  the Python to use; otherwise the first fitting one on the PATH.
#
# The stamp .venv/.stamp is written last and names what was installed. When it
# agrees with the lock there is nothing to do. An install that was cut short
# leaves .venv/.installing behind, and the next run starts afresh.
set -eu
cd "$(dirname "$0")/.."

VENV=.venv
STAMP=$VENV/.stamp           # checksum of what is installed
MADE_WITH=$VENV/.made-with   # the Python it was made with
UNFINISHED=$VENV/.installing # here only while pip runs
NEEDED_KB=4194304            # 4 GB of free disk for the first install

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "$@"
    exit 1
}

# What a Python is: its version, its home, and whether it can make a .venv.
# Prints nothing where the command exists but does not run.
version_of() {
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || :
}
identity_of() {
    "$1" -c 'import os, sys; print("%d.%d.%d" % sys.version_info[:3],
        os.path.realpath(sys.base_prefix))' 2>/dev/null || :
}
makes_venvs() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }
fits() { # torch has wheels for these
    case $1 in 3.11.* | 3.12.* | 3.13.* | 3.14.*) return 0 ;; esac
    return 1
}
short() { printf '%s' "${1%.*}"; } # 3.11.7 -> 3.11

no_venv_module() { # no_venv_module COMMAND VERSION
    say "$1 is Python $2, which fits, but its venv module is missing."
    say "On Debian and Ubuntu a package brings it:"
    say ""
    say "    sudo apt install python$(short "$2")-venv"
    say ""
    fail "Then run the same command again."
}

no_python() { # no_python SEEN
    say "The course needs Python 3.11, 3.12, 3.13 or 3.14 (64-bit)."
    if [ -n "$1" ]; then
        say "Found only: $1."
    else
        say "No Python was found."
    fi
    say "Install one of them, for example with"
    say ""
    say "    sudo apt install python3.11 python3.11-venv    (Debian, Ubuntu)"
    say "    brew install python@3.12                       (macOS)"
    say ""
    fail "or name one that is not on the PATH: make lab PYTHON=/path/to/python3.12"
}

# Sets `python` to the Python that makes .venv.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        version=$(version_of "$PYTHON")
        [ -n "$version" ] || fail "PYTHON=$PYTHON does not run."
        fits "$version" || no_python "$PYTHON ($version)"
        makes_venvs "$PYTHON" || no_venv_module "$PYTHON" "$version"
        python=$PYTHON
        return
    fi
    seen=
    lacking=
    for candidate in python3 python3.13 python3.12 python3.11 python3.14 python; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        version=$(version_of "$candidate")
        [ -n "$version" ] || continue # such as a shim with nothing behind it
        seen="$seen${seen:+, }$candidate ($version)"
        fits "$version" || continue
        if makes_venvs "$candidate"; then
            python=$candidate
            return
        fi
        [ -n "$lacking" ] || { lacking=$candidate && lacking_version=$version; }
    done
    [ -z "$lacking" ] || no_venv_module "$lacking" "$lacking_version"
    no_python "$seen"
}

# Why .venv cannot be used as it is; empty when it can.
venv_problem() {
    [ -e "$VENV" ] || { echo "is missing" && return; }
    version=$(version_of "$VENV/bin/python")
    [ -n "$version" ] || { echo "does not run" && return; }
    fits "$version" || { echo "has Python $version, which does not fit" && return; }
    [ ! -e "$UNFINISHED" ] || { echo "was not finished" && return; }
    case ${PYTHON:-} in '' | "$VENV"/*) return ;; esac
    asked=$(identity_of "$PYTHON")
    made_with=$(cat "$MADE_WITH" 2>/dev/null || identity_of "$VENV/bin/python")
    [ "$asked" = "$made_with" ] || echo "was made with another Python ($made_with)"
}

check_platform() {
    case $("$1" -c 'import platform, struct; print(platform.system(),
        platform.machine(), struct.calcsize("P") * 8, platform.mac_ver()[0])') in
    *" 32 "*) fail "$1 is a 32-bit Python; torch needs a 64-bit one." ;;
    "Darwin x86_64 "*)
        say "torch has no wheels for Intel Macs any more."
        fail "On an Apple-silicon Mac, use a Python built for arm64; $1 is not."
        ;;
    "Darwin "*" 64 "[1-9].* | "Darwin "*" 64 1"[0-3].*)
        fail "torch needs macOS 14 or newer."
        ;;
    esac
}

check_disk() {
    free=$(df -Pk . | awk 'NR == 2 { print $4 }')
    case $free in '' | *[!0-9]*) return ;; esac # no such number on this system
    [ "$free" -lt "$NEEDED_KB" ] || return 0
    say "Not enough disk space here: $((free / 1024)) MB free."
    say "The course needs 4 GB for its Python packages, and on Linux about 8 GB"
    say "unless the CPU build of torch is taken (the README says how)."
    fail "Free some space, then run the same command again."
}

cannot_install() {
    rm -f "$UNFINISHED"
    say ""
    say "Installing the Python packages failed; pip says why above."
    say "The first time needs the network: connect, then run the same command again"
    say "(what is downloaded is kept). Later the course runs offline."
    say "On Linux the CPU build of torch saves gigabytes: the README says how."
    fail "If it keeps failing: rm -r $VENV, then run the same command again."
}

interrupted() {
    trap - INT TERM HUP
    say ""
    say "Interrupted. Run the same command again to finish the set-up."
    exit 130
}

# The folder counts too: a course that was moved is installed again.
wanted="$(cat requirements.lock pyproject.toml | cksum) $(pwd)"
problem=$(venv_problem)
if [ -z "$problem" ]; then
    [ "$(cat "$STAMP" 2>/dev/null)" != "$wanted" ] || exit 0
    "$VENV/bin/python" -c 'import pip' 2>/dev/null || problem="has no pip"
fi

trap interrupted INT TERM HUP
if [ -n "$problem" ]; then
    choose_python
    check_platform "$python"
    check_disk
    [ "$problem" = "is missing" ] || say "$VENV $problem: making it again."
    say "Making $VENV with $python (Python $(version_of "$python"))."
    # The stamp goes first, so that a half-made .venv is never taken for a whole one.
    rm -f "$STAMP"
    "$python" -m venv --clear "$VENV" || fail "$python could not make $VENV (see above)."
    identity_of "$python" >"$MADE_WITH"
fi

say "Installing the packages of requirements.lock. The first time this takes minutes."
if [ -t 2 ]; then quiet=; else quiet=--quiet; fi
pip() {
    # shellcheck disable=SC2086
    PIP_USER=0 "$VENV/bin/python" -m pip install --disable-pip-version-check \
        --no-input $quiet "$@"
}
rm -f "$STAMP"
: >"$UNFINISHED"
pip -r requirements.lock || cannot_install
pip --no-deps --no-build-isolation -e . || cannot_install
printf '%s\n' "$wanted" >"$STAMP.new"
rm -f "$UNFINISHED"
mv "$STAMP.new" "$STAMP"
say "Ready."
