"""The package's modules import one way only, load little, and run no text as code."""

import ast
import graphlib
import json
import subprocess
import sys

import pytest

from conftest import ROOT

PACKAGE = ROOT / "course_utils"

# In the order data flows. A room imports from its own line and from those above it.
# A new module needs a place here.
ORDER = (
    ("files", "arguments", "objectives"),
    ("course", "data", "oracles"),
    ("models",),
    ("training", "metrics", "linter"),
    ("experiments", "plots", "widgets"),
    ("pictures", "grading"),
    ("exercises",),
    ("check",),
)
LINE = {room: number for number, rooms in enumerate(ORDER) for room in rooms}

# Rooms that the first cell of a lesson does not load, and what they work with.
HEAVY = {
    "widgets": {"ipywidgets", "IPython", "traitlets", "PIL"},
}

RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
UNPICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal"}


def module_name(path):
    """Turn a file of the package into the module's name, such as ``oracles.pca``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
SOURCES = {name: path.read_text("utf-8") for name, path in FILES.items()}


def imported(source, name, is_package=False):
    """List the full names of what a module imports, inside functions too."""
    home = ["course_utils", *name.split(".")] if name else ["course_utils"]
    package = home if is_package else home[:-1]
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            up = len(package) - node.level + 1
            base = package[:up] if node.level else []
            start = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            found += [f"{start}.{alias.name}" for alias in node.names]
    return found


def own_modules(source, name, is_package=False, known=FILES):
    """List the package's modules that a module imports, without the package itself."""
    found = set()
    for full in imported(source, name, is_package):
        root, _, rest = full.partition(".")
        if root != "course_utils":
            continue
        while rest and rest not in known:  # course_utils.data.digits is in data
            rest = rest.rpartition(".")[0]
        if rest and rest != name:
            found.add(rest)
    return found


def backward(source, name):
    """List the imports of a module that go against the order."""
    room = name.split(".")[0]
    return sorted(
        f"{name} imports {other}"
        for other in own_modules(source, name, FILES[name].name == "__init__.py")
        if LINE[other.split(".")[0]] > LINE[room]
    )


def at_top(source):
    """List the roots of what is imported when the module is, so outside functions."""
    found, waiting = set(), list(ast.parse(source).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
        waiting += ast.iter_child_nodes(node)
    return found


def dangers(source):
    """List what a module should not do: star imports, text run as code, pickles."""
    said = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names):
            said.append(f"line {node.lineno}: import *")
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] + [getattr(node, "module", "") or ""]
            if UNPICKLES & {part for name in names for part in name.split(".")}:
                said.append(f"line {node.lineno}: pickle")
        if isinstance(node, ast.Name) and node.id in RUNS_TEXT:
            said.append(f"line {node.lineno}: {node.id}")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in ("builtins", "__builtins__") and node.attr in RUNS_TEXT:
                said.append(f"line {node.lineno}: {node.attr}")
            if f"{node.value.id}.{node.attr}" == "torch.load":
                said.append(f"line {node.lineno}: torch.load")  # unpickles
    return said


# --- one way ------------------------------------------------------------------------


def test_every_module_has_its_place():
    rooms = {name.split(".")[0] for name in FILES if name}
    assert rooms - set(LINE) == set(), "give the new module a line in ORDER"
    assert set(LINE) - rooms == set(), "ORDER lists a module that is gone"
    assert sum(map(len, ORDER)) == len(LINE), "ORDER lists a module twice"


@pytest.mark.parametrize("name", [name for name in FILES if name])
def test_imports_go_one_way(name):
    assert backward(SOURCES[name], name) == []


def test_the_package_itself_imports_nothing():
    assert imported(SOURCES[""], "", is_package=True) == []


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        name: own_modules(source, name, FILES[name].name == "__init__.py")
        for name, source in SOURCES.items()
    }
    # A package's __init__ is loaded before its modules, which do not name it.
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) == set(FILES)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("data.embedded", "import course_utils.models"),
        ("data.embedded", "from course_utils import plots"),
        ("data.embedded", "from course_utils.plots import COLOURS"),
        ("data.embedded", "from .. import check"),
        ("data.embedded", "from ..training import fit"),
        ("oracles.pca", "from ..training import fit"),
        ("oracles.pca", "from course_utils.metrics.whitening import Whitening"),
        ("plots", "def f():\n    from course_utils.check import check"),
        (
            "training.fit",
            "class A:\n    def f(self):\n        import course_utils.pictures.atlas",
        ),
        ("grading.trial", "from course_utils.exercises import find"),
    ],
)
def test_an_import_against_the_order_is_seen(name, line):
    assert len(backward(line, name)) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("training.fit", "from course_utils.objectives import squared_error"),
        ("oracles.pca", "from course_utils.oracles.wiener import wiener_filter"),
        ("oracles.pca", "from . import wiener"),
        ("check.views", "from course_utils import exercises, __version__"),
        ("data.embedded", "import torch.nn, sklearn.datasets"),
    ],
)
def test_an_import_along_the_order_is_let_be(name, line):
    assert backward(line, name) == []


# --- light --------------------------------------------------------------------------

LIGHT = [name for name in FILES if name and name.split(".")[0] not in HEAVY]

LOADING = """
import importlib, json, sys
def roots():
    return {name.split(".")[0] for name in sys.modules}
seen = {}
before = roots()
def step(label, *names):
    global before
    for name in names:
        importlib.import_module(name)
    new = roots() - before - set(sys.stdlib_module_names) - {"course_utils"}
    seen[label], before = sorted(new), roots()
step("package", "course_utils")
step("torch", "torch")
step("check", "course_utils.check")
step("light", *json.loads(sys.argv[1]))
step("heavy", "course_utils.widgets")
importlib.import_module("course_utils.data").digits()
step("data")
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def loaded():
    """What each step of imports loads besides Python's own modules."""
    names = [f"course_utils.{name}" for name in LIGHT]
    done = subprocess.run(
        [sys.executable, "-c", LOADING, json.dumps(names)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_package_loads_nothing(loaded):
    assert loaded["package"] == []


def test_the_check_loads_nothing_but_torch(loaded):
    assert "torch" in loaded["torch"]
    assert loaded["check"] == []


def test_the_light_modules_load_nothing_but_torch(loaded):
    """None of scikit-learn, scipy, matplotlib, IPython, ipywidgets, nbformat, pooch."""
    assert loaded["light"] == []


def test_what_a_heavy_module_loads_is_seen(loaded):
    assert {"ipywidgets", "IPython"} <= set(loaded["heavy"])
    assert {"sklearn", "scipy"} <= set(loaded["data"])


@pytest.mark.parametrize("name", FILES)
def test_nothing_heavy_is_imported_at_the_top(name):
    light = sys.stdlib_module_names | {"course_utils", "torch", "numpy", "__future__"}
    assert at_top(SOURCES[name]) - light <= HEAVY.get(name.split(".")[0], set())


def test_only_imports_outside_functions_count_as_top():
    source = (
        "import a.b\nfrom c.d import e\ntry:\n    import f\nexcept ImportError:\n"
        "    import g\nclass H:\n    import h\n    def i(self):\n        import i\n"
        "if TYPE_CHECKING:\n    import j\nelse:\n    import k\n"
        "def m():\n    import m\n"
    )
    assert at_top(source) == set("acfghk")


# --- nothing that runs text as code -------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_no_module_runs_text_or_unpickles(name):
    assert dangers(SOURCES[name]) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from torch import *", "import *"),
        ("from .data import *", "import *"),
        ("x = eval('1')", "eval"),
        ("def f(s):\n    exec(s)", "exec"),
        ("import builtins\nbuiltins.exec('1')", "exec"),
        ("run = eval", "eval"),
        ("compile('1', 'f', 'eval')", "compile"),
        ("__import__('os')", "__import__"),
        ("import pickle", "pickle"),
        ("from pickle import loads", "pickle"),
        ("import json, marshal", "pickle"),
        ("def f():\n    from joblib.externals import cloudpickle", "pickle"),
        ("torch.load('weights.pt')", "torch.load"),
    ],
)
def test_what_runs_text_or_unpickles_is_seen(line, said):
    (found,) = dangers(line)
    assert found.endswith(said)


@pytest.mark.parametrize(
    "line",
    [
        "model.eval()",
        "re.compile('a')",
        "from torch import nn",
        "evaluate(1)",
        "'eval'",
    ],
)
def test_what_looks_alike_is_let_be(line):
    assert dangers(line) == []


def test_the_tests_see_the_whole_package():
    assert len(FILES) > 30 and FILES["check"].parent.name == "check"
