"""Every rule for lessons is seen to fail on a lesson that breaks it."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from lesson_maker import (
    ALT,
    cell_of,
    figure,
    good_lesson,
    picture,
    points_of,
    printed,
    shown,
)
from tools.lessons import normalise as normaliser
from tools.lessons import rules
from tools.lessons.normalise import dumps
from tools.lessons.rules import RULES, complaints, links

NAME = "01_small"


@pytest.fixture(autouse=True)
def any_exercise(monkeypatch):
    monkeypatch.setattr(normaliser, "_points_of", points_of)


def with_cell(nb, cell, position=None):
    nb.cells.insert(len(nb.cells) if position is None else position, cell)


def with_text(text):
    return lambda nb: with_cell(nb, new_markdown_cell(text, id="extra"))


def with_code(source, outputs=(), **metadata):
    def change(nb):
        count = 1 + sum(cell.cell_type == "code" for cell in nb.cells)
        cell = new_code_cell(source, id="extra", execution_count=count)
        cell.outputs, cell.metadata = list(outputs), nbformat.from_dict(metadata)
        with_cell(nb, cell)

    return change


def without(name):
    def change(nb):
        nb.cells = [cell for cell in nb.cells if cell.id != name]

    return change


def on(name, change):
    return lambda nb: change(cell_of(nb, name))


def put(**values):
    return lambda cell: cell.update(values)


CHECKED = {"tags": ["nbval-check-output"]}
WIDGET = {"application/vnd.jupyter.widget-view+json": {}, "text/html": "x"}

BROKEN = [
    ("valid", lambda nb: nb.update({"nbformat_minor": 4}), "the format is 4.4"),
    ("valid", on("fact-1", put(id="fact-2")), "'fact-2' stands twice"),
    ("valid", on("fact-1", put(outputs=[{"output_type": "?"}])), "output_type"),
    ("normal_form", on("fact-1", put(source="x = 1\n\n")), "not in normal form"),
    ("normal_form", on("fact-1", put(execution_count=9)), "not in normal form"),
    ("normal_form", with_code("def a(): ### BEGIN SOLUTION"), "cell 'extra'"),
    ("normal_form", lambda nb: nb.metadata.update({"a": 1}), "not in normal form"),
    ("descriptive_ids", on("fact-1", put(id="9f3c02ab")), "'9f3c02ab'"),
    ("allowed_tags", with_code("x = 1", tags=["raises-exception"]), "raises-exc"),
    ("allowed_tags", with_code("x = 1", tags=["remove-cell"]), "remove-cell"),
    ("projectable_code", with_code("x = 1\n" * 25 + "x"), "26 lines"),
    ("projectable_code", with_code("x" * 89), "89 columns"),
    ("no_layout_switches", with_code("x = [1]  # fmt: skip"), "'# fmt:' comment"),
    ("asserts_apart", with_code("assert x == 1"), "has an assert and is not folded"),
    ("asserts_apart", with_code("for y in x:\n    assert y"), "has an assert"),
    (
        "few_modules",
        with_code(
            "from course_utils import a, b, c, d as e\nfrom course_utils.f import g\n"
            "def h():\n    from course_utils.i.j import k\n"
            "from course_utils import l, m, n"
        ),
        "9 modules of the course, most 8",
    ),
    ("size", with_code("x = 1", printed("é" * 500_000)), "most 1,000,000"),
    ("machine_independent", with_text("see /home/me"), "an absolute path"),
    ("machine_independent", with_code("x", printed("at 0x7f0011223344")), "address"),
    (
        "executed",
        on("fact-1", put(execution_count=None)),
        "'fact-1' has the count None",
    ),
    ("executed", on("fact-1", put(execution_count=1)), "expected 2"),
    ("executed", on("fact-1", put(outputs=[])), "'fact-1' shows something"),
    ("executed", on("alpha-check", put(outputs=[])), "'alpha-check' shows"),
    ("executed", on("a-curve", put(outputs=[])), "'a-curve' shows something"),
    ("executed", with_code("with x:\n    a.show(b)"), "'extra' shows something"),
    ("checked_outputs", without("fact-1"), "4 output-checked cells"),
    ("checked_outputs", on("fact-1", put(outputs=[])), "shows nothing"),
    ("checked_outputs", on("fact-1", put(outputs=printed(" \n"))), "shows nothing"),
    (
        "checked_outputs",
        with_code("x", shown(text_html=figure()), **CHECKED),
        "picture",
    ),
    (
        "no_errors",
        with_code("x", [new_output("error", ename="E", evalue="", traceback=[])]),
        "stores the error E",
    ),
    (
        "no_errors",
        with_code("x", [new_output("stream", name="stderr", text="Warning")]),
        "'extra' wrote to stderr: 'Warning'",
    ),
    (
        "no_widget_views",
        with_code("x", [new_output("display_data", WIDGET)]),
        "'extra'",
    ),
    ("no_widget_views", lambda nb: nb.metadata.update({"widgets": {}}), "widget state"),
    ("described_figures", with_code("x", shown(image_png=picture())), "bare image/png"),
    ("described_figures", with_code("x", shown(text_html=figure("a cat"))), "5 char"),
    ("described_figures", with_code("x", shown(text_html="<img src='a'>")), "0 char"),
    ("described_figures", with_text("![a cat](a.png)"), "alt has 5 char"),
    ("described_figures", with_text('<img src="a.png">'), "alt has 0 char"),
    (
        "described_figures",
        with_text('<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>'),
        "alt has 0 char",
    ),
    ("picture_sizes", with_code("x", shown(text_html=figure(width=2001))), "2001×8"),
    ("picture_sizes", with_code("x", shown(text_html=figure(height=2001))), "8×2001"),
    ("exercises", without("alpha"), "1 exercises, at least 2"),
    ("exercises", without("alpha-check"), "'alpha' is not followed by its check"),
    ("exercises", without("beta-check"), "'beta' is not followed by its check"),
    (
        "exercises",
        lambda nb: with_cell(nb, new_markdown_cell("between", id="between"), 12),
        "'alpha' is not followed by its check",
    ),
    (
        "exercises",
        on("alpha-check", put(source="alpha = check(alpha)\npoints('alpha')")),
        'must end with points("alpha")',
    ),
    (
        "exercises",
        on("beta-check", put(source='gamma = check(gamma)\npoints("gamma")')),
        "'beta' is not followed by its check",
    ),
    ("exercises", with_code("delta = check(delta)"), "'extra' checks 'delta'"),
    ("solution_markers", with_text("### BEGIN SOLUTION"), "markdown cell"),
    ("solution_markers", with_code("### BEGIN SOLUTION"), "never ends"),
    ("solution_markers", with_code("### END SOLUTION"), "never began"),
    (
        "solution_markers",
        with_code("### BEGIN SOLUTION\n\n### END SOLUTION"),
        "the solution is empty",
    ),
    (
        "solutions_hidden",
        with_text("Write `secret_of_beta = x.sum(dim=-1) * 2`."),
        "a line of the solution 'beta'",
    ),
    (
        "solutions_hidden",
        with_code("x", printed("secret_of_beta = x.sum(dim=-1) * 2")),
        "'extra' gives away a line of 'beta'",
    ),
    ("anatomy", without("a-small-lesson"), "must be a text with one title"),
    ("anatomy", with_text("# Another title"), "a second title: 'Another title'"),
    ("anatomy", on("a-small-lesson", put(source="# A lesson")), "with the number, '01"),
    *(
        ("anatomy", on("a-small-lesson", put(source=f"# 01 · {rest}")), f"({words!r})")
        for words, rest in [
            ("the question", "You can you need minutes"),
            ("you can", "The question you need minutes"),
            ("minutes", "The question you can you need"),
            ("you need", "The question you can minutes"),
        ]
    ),
    (
        "anatomy",
        on("before-you-start", put(source="## Before you start\n\n<details>")),
        "1 retrieval questions",
    ),
    *(
        ("anatomy", without(part), f"no heading for the {words}")
        for part, words in [
            ("assumptions", "assumptions"),
            ("before-you-start", "retrieval"),
            ("common-mistakes", "common mistakes"),
            ("summary", "summary"),
            ("references", "references"),
            ("next", "next"),
        ]
    ),
    ("core_path", with_text("## Long\n\n" + "word " * 7000), "minutes, most 60"),
    ("short_texts", with_text("word " * 201), "'extra' has 201 words, most 200"),
    (
        "sections_apart",
        with_text("Some words.\n\n## 1. New"),
        "'extra': a section must begin a cell of its own",
    ),
    ("sections_apart", with_text("## 1. New\n\n## 2. Newer"), "'extra': a section"),
    (
        "says_minutes",
        on("a-small-lesson", put(source="# 01 · In 5 minutes")),
        "does not give the minutes for the core path",
    ),
    ("says_minutes", with_text("## 1. New\n\nWords."), "must open with '*About ?"),
    (
        "says_minutes",
        with_text("## 1. New\n\n*About 1 minute.* Words."),
        "'1. New' must open with '*About ?",
    ),
    (
        "says_minutes",
        with_text("## 1. Deeper: new\n\n*About 1 minute.* **So.**"),
        "go together",
    ),
]


def test_what_the_rules_of_load_allow():
    nb = good_lesson()
    with_text("## References\n\n" + "word " * 300 + "\n\n## Next\n\nOn.")(nb)
    deeper = new_markdown_cell("## 1. Deeper: so\n\n*About 1 minute.* **So.**", id="so")
    deeper.metadata["tags"] = ["deeper"]
    with_cell(nb, deeper)
    with_text("```\n## a comment\n```\n" + "word " * 200)(nb)
    for rule in (rules.core_path, rules.short_texts):
        assert rule(nb, NAME) == []
    for rule in (rules.sections_apart, rules.says_minutes, rules.allowed_tags):
        assert rule(nb, NAME) == []


def test_the_first_lesson_takes_half_an_hour():
    nb = good_lesson()
    with_text("## Long\n\n" + "word " * 4000)(nb)
    assert rules.core_path(nb, NAME) == []
    (found,) = rules.core_path(nb, "00_start_here")
    assert found.endswith("minutes, most 30")


def test_a_lesson_in_order_has_no_complaints(tmp_path):
    assert complaints(good_lesson(), NAME, tmp_path) == []


@pytest.mark.parametrize(("rule", "spoil", "message"), BROKEN)
def test_a_broken_lesson_is_complained_about(rule, spoil, message):
    nb = good_lesson()
    spoil(nb)
    found = getattr(rules, rule)(nb, NAME)
    assert any(message in what for what in found), found


def test_every_rule_is_broken_above():
    assert {rule.__name__ for rule in RULES} == {name for name, _, _ in BROKEN}


@pytest.mark.parametrize("name", sorted({name for name, _, _ in BROKEN}))
def test_a_rule_leaves_a_lesson_in_order_and_does_not_change_it(name):
    nb = good_lesson()
    before = dumps(nb)
    assert getattr(rules, name)(nb, NAME) == []
    assert dumps(nb) == before


def test_the_first_lesson_needs_no_exercise_and_no_retrieval():
    nb = good_lesson()
    for name in ("alpha", "alpha-check", "beta", "beta-check", "before-you-start"):
        without(name)(nb)
    assert rules.exercises(nb, "00_start_here") == []
    nb.cells[0].source = "# 00 · Start\n\nThe question, what you can do, the minutes."
    assert rules.anatomy(nb, "00_start_here") == []
    assert rules.exercises(nb, NAME) and rules.anatomy(nb, NAME)


@pytest.mark.parametrize(
    "source",
    [
        "print(1)",
        "plots.show(fig, alt=a)",
        "f = check(f)",
        "display(x)",
        "for x in y:\n    print(x)",
        "predict('a', ['b', 'c'], 0, 'd')",
    ],
)
def test_a_cell_that_shows_needs_an_output(source):
    nb = good_lesson()
    with_code(source)(nb)
    assert rules.executed(nb, NAME) == [
        "cell 'extra' shows something but has no stored output"
    ]


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    print(1)",
        "x = 1",
        "if x:\n    print(x)",
        "%matplotlib inline",
        "plots.use_style()",
    ],
)
def test_a_cell_that_may_show_nothing_needs_none(source):
    nb = good_lesson()
    with_code(source)(nb)
    assert rules.executed(nb, NAME) == []


@pytest.mark.parametrize(
    "text",
    [
        "`![a](b)` and `# no title`",
        "```\n# no title\n![a](b.png)\n[x](nowhere.md)\n```",
        f"![{ALT}](attachment:a.png)",
        "$[a](b)$ [x](https://example.org/a#b) <a href='mailto:a@b.c'>m</a>",
    ],
)
def test_code_and_addresses_in_text_are_not_taken_for_more(text, tmp_path):
    nb = good_lesson()
    with_text(text)(nb)
    found = complaints(nb, NAME, tmp_path)
    assert not [what for what in found if "normal_form" not in what] or "$[a]" in text


# ------------------------------------------------------------------------- links


def test_a_page_needs_no_exercise_and_no_clock_but_order(tmp_path):
    source = "### hole\n\nA place."
    nb = nbformat.v4.new_notebook(cells=[new_markdown_cell(source)])
    nb = normaliser.normalise(nb, "glossary")
    assert complaints(nb, "glossary", tmp_path) == []
    assert len(complaints(nb, NAME, tmp_path)) > 5
    nb.cells[0].source += " [x](gone.ipynb)" + " word" * 200
    found = complaints(nb, "glossary", tmp_path)
    assert [one.split(":")[0] for one in found] == ["short_texts", "links"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "README.md").write_text("x")
    other = tmp_path / "notebooks/02_other.ipynb"
    cell = new_markdown_cell("## The *red* gap, again", id="red-gap")
    nb = nbformat.v4.new_notebook(cells=[cell])
    other.write_text(dumps(nb), encoding="utf-8")
    return other.parent


@pytest.mark.parametrize(
    "text",
    [
        "[x](02_other.ipynb) [y](../README.md) [z](../README.md#part)",
        "[x](02_other.ipynb#cell-id=red-gap 'title')",
        "[x](02_other.ipynb#cell-id=red-gap) [y](#cell-id=summary)",
        "[x](#Before-you-start) <a href='02_other.ipynb'>y</a>",
    ],
)
def test_links_that_lead_somewhere(text, folder):
    nb = good_lesson()
    with_text(text)(nb)
    assert links(nb, NAME, folder) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_text("[x](03_gone.ipynb)"), "'03_gone.ipynb', which is not there"),
        (with_text("[x](02_other.ipynb#elsewhere)"), "no heading"),
        (with_text("[x](#elsewhere)"), "no heading"),
        (with_text("[x](02_other.ipynb#cell-id=summary)"), "no heading"),
        (with_text("[x](02_other.ipynb#The-red-gap,-again)"), "must name a cell"),
        (with_text("<a class='a' href='gone.md'>y</a>"), "'gone.md'"),
        (with_code("x", shown(text_html="<a href='gone.md'>y</a>")), "'gone.md'"),
        (with_code("x", shown(text_markdown="[x](gone.md)")), "'gone.md'"),
    ],
)
def test_links_that_lead_nowhere(change, message, folder):
    nb = good_lesson()
    change(nb)
    (found,) = links(nb, NAME, folder)
    assert message in found
    assert f"links: {found}" in complaints(nb, NAME, folder)


# --- lessons together ---------------------------------------------------------------


def test_asserts_are_at_home_in_a_folded_cell():
    nb = good_lesson()
    with_code("assert x == 1", tags=["hide-input"])(nb)
    assert rules.asserts_apart(nb, NAME) == []


def test_a_function_of_two_lessons_is_seen_and_a_callback_is_not():
    one, other = good_lesson(), good_lesson()
    with_code("def both():\n    pass\n\n\ndef render():\n    pass")(one)
    with_code("def mine():\n    pass")(one)
    with_code("def render():\n    pass\n\n\nclass both:\n    pass")(other)
    for nb in (one, other):
        without("alpha")(nb)
        without("beta")(nb)
    said = rules.defined_twice({"01_a": one, "02_b": other})
    assert said == ["both is defined in 01_a and 02_b"]
