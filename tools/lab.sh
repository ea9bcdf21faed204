#!/bin/sh
# Start JupyterLab on the learner's workbook.
#
#   PORT=8889       the port to begin with; a taken one is followed by the next
#   LAB_ARGS='...'  passed on to `jupyter lab`, as are the arguments of this script
#   WORKBOOK=...    the folder to open instead of workbook/
#   PYTHON_OF_COURSE=...  the Python that runs it instead of the one in .venv
#
# The settings in tools/jupyter keep JupyterLab from asking the network for news,
# for updates and for extensions.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON_OF_COURSE:-$(pwd)/.venv/bin/python}
workbook=${WORKBOOK:-workbook}
port=${PORT:-8888}
case $port in
*[!0-9]*)
    echo "PORT=$port is not a number. Example: make lab PORT=8889" >&2
    exit 2
    ;;
esac

JUPYTER_CONFIG_PATH=$(pwd)/tools/jupyter${JUPYTER_CONFIG_PATH:+:$JUPYTER_CONFIG_PATH}
JUPYTER_PREFER_ENV_PATH=1 # the kernel of this .venv, not one of the same name elsewhere
export JUPYTER_CONFIG_PATH JUPYTER_PREFER_ENV_PATH

set -- "--port=$port" "$@"

# JupyterLab refuses to run as root unless told.
if [ "$(id -u)" -eq 0 ]; then
    set -- --allow-root "$@"
fi

# No browser is opened where there is no display to show it.
opens=yes
if [ "$(uname -s)" != Darwin ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    opens=no
fi
if [ "$(id -u)" -eq 0 ] || [ -n "${CI:-}" ]; then opens=no; fi
if [ "$opens" = no ]; then
    set -- --no-browser "$@"
    echo "Starting JupyterLab. Open the last of the addresses it prints in a browser."
else
    echo "Starting JupyterLab. If no browser opens: the last of the addresses it prints."
fi
echo "To stop it: Control-C, twice."

cd "$workbook"
# shellcheck disable=SC2086
exec "$python" -m jupyterlab --ServerApp.log_level=WARN --LabApp.log_level=WARN \
    --LabApp.default_url=/lab/tree/00_start_here.ipynb "$@" ${LAB_ARGS:-}
