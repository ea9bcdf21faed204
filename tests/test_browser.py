"""The lessons in a real browser: JupyterLab as `make lab` starts it, in Chromium."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest

from conftest import ROOT

BROWSER = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here: install one, or name it with CHROMIUM="
)

LESSON = "01_linear_autoencoder_is_pca.ipynb"
PATIENCE = 240_000  # milliseconds; a lesson may run for a minute on a quiet machine
PICTURES = ROOT / "build/browser"

# What JupyterLab says about itself, which is no fault of the course.
NOT_OURS = re.compile(r"favicon|404 \(Not Found\)|ResizeObserver|/api/kernels")

WIDGETS = (
    """\
import numpy as np

from course_utils.widgets import explorer, predict

why = "It has corners, and a circle none."
predict("Is a square round?", ["yes", "no"], "no", why, in_order=True)
""",
    """\
explorer(
    lambda grey: np.full((8, 8), grey),
    {"grey": (0.0, 1.0, 0.1, "grey level")},
    start={"grey": 0.5},
    alt="A square of one grey level, which the slider sets from black to white",
    describe=lambda grey: f"grey level {grey:.1f}",
)
""",
    """\
import matplotlib.pyplot as plt

from course_utils import plots

fig, ax = plt.subplots(figsize=(3, 2))
ax.plot([0, 1], [0, 1])
plots.show(fig, alt="A straight line that rises from the lower left to the upper right")
""",
)


# Every Python of the server writes down the names and addresses that it looks for.
GUARD = """\
import sys

HERE = {{None, "", "localhost", "127.0.0.1", "0.0.0.0", "::1", "::"}}


def note(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if (host.decode() if isinstance(host, bytes) else host) not in HERE:
        with open({note!r}, "a") as file:
            print(event, host, file=file)


sys.addaudithook(note)
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def widget_notebook(path: Path) -> None:
    """Write a notebook with a question, a slider and a figure."""
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(source) for source in WIDGETS]
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, path)


class Lab:
    """A running JupyterLab, and the note of what its Pythons ask the network for."""

    def __init__(self, url: str, workbook: Path, asked: Path) -> None:
        self.asked = asked
        parts = urlsplit(url)
        self.host = parts.netloc
        self.token = parts.query.removeprefix("token=")
        self.url = url
        self.workbook = workbook

    def address(self, notebook: str) -> str:
        # A workspace of its own, so that no tab of another test is open.
        space = notebook.split(".")[0]
        tree = f"lab/workspaces/{space}/tree/{notebook}"
        return f"http://{self.host}/{tree}?token={self.token}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a fresh workbook, started by the script of `make lab`."""
    folder = tmp_path_factory.mktemp("browser")
    workbook = folder / "workbook"
    build = [sys.executable, "-m", "tools.lessons", "workbook"]
    subprocess.run([*build, "--target", str(workbook)], cwd=ROOT, check=True)
    widget_notebook(workbook / "widgets.ipynb")
    # All cells in the page, not only those in sight, so that the test can look at them.
    settings = folder / ".jupyter/lab/user-settings/@jupyterlab/notebook-extension"
    settings.mkdir(parents=True)
    text = '{"windowingMode": "none"}'
    (settings / "tracker.jupyterlab-settings").write_text(text)

    port = free_port()
    asked = folder / "asked"
    guard = folder / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD.format(note=str(asked)))
    with socket.socket() as taken, (folder / "log").open("w+") as log:
        taken.bind(("127.0.0.1", port))  # the wished-for port is not free
        taken.listen()
        process = subprocess.Popen(
            ["/bin/sh", str(ROOT / "tools/lab.sh"), "--no-browser"]
            + ["--LabApp.expose_app_in_browser=True"],
            env={
                **os.environ,
                "PYTHONPATH": str(guard),
                "HOME": str(folder),
                "CI": "true",
                "PORT": str(port),
                "LAB_ARGS": "--ServerApp.quit_button=False",
                "WORKBOOK": str(workbook),
                "PYTHON_OF_COURSE": sys.executable,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield Lab(printed_url(process, folder / "log"), workbook, asked)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def printed_url(process: subprocess.Popen, log: Path, seconds: float = 120) -> str:
    """Wait for the address that JupyterLab prints."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        found = re.findall(r"http://127\.0\.0\.1:\S+", log.read_text())
        if found:
            return found[-1]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")


class Visit:
    """A page, what it asked for, and what it complained about."""

    def __init__(self, page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._console)

    def _console(self, message) -> None:
        if message.type == "error":
            where = message.location.get("url", "")
            self.complaints.append(f"{message.text} {where}")

    def open(self, url: str) -> None:
        """Open a notebook and wait until its kernel is connected and idle."""
        self.page.goto(url)
        self.page.wait_for_function(
            """() => {
                const panel = window.jupyterapp?.shell?.currentWidget;
                const kernel = panel?.sessionContext?.session?.kernel;
                return panel?.content?.model && kernel?.status === 'idle'
                    && kernel.connectionStatus === 'connected';
            }""",
            timeout=PATIENCE,
        )

    def run_all(self) -> None:
        """Run all cells, and wait until each of them has run."""
        # The promise of the command is not returned: it may take very long.
        self.page.evaluate(
            "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
        )
        self.page.wait_for_function(
            """() => {
                const panel = window.jupyterapp.shell.currentWidget;
                const cells = Array.from(panel.content.model.cells)
                    .filter(cell => cell.type === 'code').map(cell => cell.toJSON());
                const failed = cells.some(cell =>
                    cell.outputs.some(output => output.output_type === 'error'));
                const kernel = panel.sessionContext.session.kernel;
                return failed || (kernel.status === 'idle'
                    && cells.every(cell => cell.execution_count !== null));
            }""",
            timeout=PATIENCE,
        )

    def outputs(self) -> list[dict]:
        """All outputs of the open notebook."""
        return self.page.evaluate(
            """() => {
                const panel = window.jupyterapp.shell.currentWidget;
                return Array.from(panel.content.model.cells)
                    .filter(cell => cell.type === 'code')
                    .flatMap(cell => cell.toJSON().outputs);
            }"""
        )

    def alts(self) -> list[str]:
        """The descriptions of the figures that are in the page."""
        return self.page.eval_on_selector_all(
            ".jp-OutputArea figure img", "images => images.map(image => image.alt)"
        )

    def picture(self, name: str) -> None:
        """Keep a screenshot for looking at."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(PICTURES / f"{name}.png"))

    def elsewhere(self) -> list[str]:
        """Requests that left this machine."""
        here = ("127.0.0.1", "localhost", None)
        return [url for url in self.requests if urlsplit(url).hostname not in here]

    def ours(self) -> list[str]:
        """Complaints that JupyterLab does not make by itself."""
        return [text for text in self.complaints if not NOT_OURS.search(text)]


@pytest.fixture
def visit() -> Iterator[Visit]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER,
            args=[
                "--no-sandbox",
                "--headless",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
            ],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        yield Visit(page)
        browser.close()


def test_a_slider_moves_the_picture_and_a_question_answers(lab, visit):
    visit.open(lab.address("widgets.ipynb"))
    visit.run_all()
    assert [o for o in visit.outputs() if o["output_type"] == "error"] == []

    image = visit.page.locator(".jp-OutputArea img.widget-image").first
    image.wait_for(timeout=PATIENCE)
    before = image.get_attribute("src")
    handle = visit.page.locator(".noUi-handle").first
    handle.focus()
    visit.page.keyboard.press("ArrowRight")
    visit.page.wait_for_function(
        "before => document.querySelector('img.widget-image').src !== before",
        arg=before,
        timeout=PATIENCE,
    )
    visit.page.get_by_text("grey level 0.6").wait_for(timeout=PATIENCE)

    visit.page.get_by_role("button", name="B", exact=True).focus()
    visit.page.keyboard.press("Enter")
    visit.page.get_by_text("Your guess: B. Right.").wait_for(timeout=PATIENCE)
    assert any("straight line that rises" in alt for alt in visit.alts())
    visit.picture("widgets")
    assert visit.ours() == []
    assert visit.elsewhere() == []


def test_a_lesson_with_nothing_solved_runs_to_its_end(lab, visit):
    visit.open(lab.address(LESSON))
    visit.run_all()
    outputs = visit.outputs()
    assert [o for o in outputs if o["output_type"] == "error"] == []
    assert [o for o in outputs if o.get("name") == "stderr"] == []
    alts = visit.alts()
    assert alts and all(len(alt) >= 40 for alt in alts)
    visit.picture("lesson_01_end")
    visit.page.locator(".jp-OutputArea figure").first.scroll_into_view_if_needed()
    visit.picture("lesson_01_figure")
    assert visit.ours() == []
    assert visit.elsewhere() == []


def test_the_course_opens_on_its_first_page(lab, visit):
    assert "/lab/tree/00_start_here.ipynb" in lab.url
    visit.open(lab.url)
    tab = visit.page.locator(".lm-DockPanel-tabBar .lm-TabBar-tabLabel").first
    assert "00_start_here" in tab.inner_text()
    visit.picture("first_page")
    assert visit.ours() == []
    assert visit.elsewhere() == []


def test_neither_the_server_nor_a_kernel_asks_the_network(lab):
    for service in ("news", "update"):
        address = f"http://{lab.host}/lab/api/{service}?token={lab.token}"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            address, timeout=60
        ) as answer:
            assert answer.status == 200
    assert not lab.asked.exists(), lab.asked.read_text()
