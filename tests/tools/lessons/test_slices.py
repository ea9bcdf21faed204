"""Slices of a lesson: who uses a name, and what must run first."""

import pytest

from tools.lessons.slices import dependents, names_of, needs


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("y = x", {"x"}),
        ("x = 1\ny = x", set()),
        ("x = x + 1", {"x"}),
        ("x += 1", {"x"}),
        ("def f(a):\n    b = a\n    return b + c", {"c"}),
        ("def f():\n    return c\nc = 1", set()),
        ("rows = [g(v) for v in xs if v > least]", {"g", "xs", "least"}),
        ("for i in range(n):\n    total = i\nprint(total)", {"range", "n", "print"}),
        ("f = lambda t: t * scale", {"scale"}),
        (
            "class A(Base):\n    def run(self):\n        return self.x + k",
            {"Base", "k"},
        ),
        ("with open(p) as file:\n    text = file.read()", {"open", "p"}),
        ("import a.b as c\nfrom d import e\nc(e)", set()),
    ],
)
def test_a_name_is_read_where_nothing_in_the_cell_gave_it_before(source, reads):
    assert names_of(source).reads == reads


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("model.fit(x)", {"model", "x"}),
        ("fit(model, steps=n)", {"model", "n"}),
        ("y = f(x)", set()),
        ("x[0].y = 1", {"x"}),
        ("plots.show(fig)", set()),
        ("print(x)", set()),
    ],
)
def test_calls_that_stand_alone_may_change_what_they_are_given(source, changes):
    assert names_of(source).changes == changes


LESSON = [
    "import torch",  # 0
    "x = torch.ones(3)",  # 1
    "def f(x): return x",  # 2
    "def loss(m): return f(m) + later",  # 3
    "model = []",  # 4
    "model.append(x)",  # 5
    "later = 1",  # 6
    "value = loss(model)",  # 7
    "print(value)",  # 8
    "unused = torch.zeros(3)",  # 9
]
NAMES = [names_of(cell) for cell in LESSON]


def test_users_are_followed_through_functions_and_values():
    assert dependents(NAMES, "f", 3) == [3, 7, 8]
    assert dependents(NAMES, "f", 3, steps=2) == [3, 7]
    assert dependents(NAMES, "f", 3, steps=1) == [3]


def test_a_name_given_anew_is_no_longer_the_same():
    cells = ["a = f()", "a = 1", "print(a)"]
    assert dependents([names_of(cell) for cell in cells], "f") == [0]


def test_a_cell_needs_what_made_and_changed_its_names_and_no_more():
    assert needs(NAMES, [7]) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert needs(NAMES, [9]) == [0, 9]
    assert needs(NAMES, [3]) == [2, 3, 6]
