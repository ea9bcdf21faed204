"""The map of generative models: every leaf is told, linked where its lesson exists."""

import re
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from course_utils.course import Course, Leaf, Lesson, course
from course_utils.pictures import atlas
from course_utils.pictures.atlas import Table, draw
from course_utils.plots import COLOURS

LEAVES = course().leaves
ALT = "A tree from left to right: generative models branch into families."


@pytest.fixture(autouse=True)
def clean():
    mpl.use("agg")
    yield
    plt.close("all")


def with_lessons(*files, leaves=LEAVES):
    """A course in which these lessons are written."""
    rest = {"title": "T", "part": "", "question": "?", "proves": "p", "needs": ()}
    lessons = tuple(Lesson(file[:2], file, **rest, computing=1) for file in files)
    return Course((), lessons, (), tuple(leaves))


@pytest.fixture
def shown():
    """A course in which one lesson is written."""
    return with_lessons("14_diffusion")


# --- the taxonomy -------------------------------------------------------------------


def test_the_taxonomy_is_whole():
    told = " ".join(leaf.family.lower() for leaf in LEAVES)
    for family in (
        "variational autoencoder", "diffusion", "boltzmann", "pixelrnn", "pixelcnn",
        "wavenet", "temporal convolutional", "large language model", "normalizing flow",
        "generative adversarial", "generative stochastic",
    ):  # fmt: skip
        assert family in told, family
    assert {leaf.path[:2] for leaf in LEAVES} == {
        ("explicit density", "approximate"),
        ("explicit density", "tractable"),
        ("implicit density", "direct"),
        ("implicit density", "Markov chain"),
    }


def test_every_leaf_has_its_branches_a_sentence_and_a_lesson():
    for leaf in LEAVES:
        assert len(leaf.path) in (2, 3) and all(leaf.path)
        assert leaf.sentence.endswith(".") and 40 <= len(leaf.sentence) <= 90
        assert re.fullmatch(r"\d{2}", leaf.lesson)
    assert len({leaf.family for leaf in LEAVES}) == len(LEAVES)


def test_leaves_of_one_branch_stand_together():
    """Else the lines of the tree would cross."""
    for depth in (1, 2, 3):
        met = [leaf.path[:depth] for leaf in LEAVES]
        changes = [
            new for old, new in zip([None, *met], met, strict=False) if old != new
        ]
        assert len(changes) == len(set(changes))


# --- the table ----------------------------------------------------------------------


class Cells(HTMLParser):
    """Collects the rows of a table, and where its links lead."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.links = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "a":
            self.links.append(dict(attributes)["href"])

    def handle_data(self, text):
        self.rows[-1][-1] += text


def test_the_table_has_a_row_for_every_leaf(shown):
    page = Cells(Table(shown)._repr_html_())
    head, *rows = page.rows
    assert head == ["density", "how", "by", "family", "in one sentence", "where"]
    assert len(rows) == len(LEAVES)
    for row, leaf in zip(rows, LEAVES, strict=True):
        number = leaf.lesson
        built = leaf.lesson == "14"
        where = f"lesson {number}" + ("" if built else ", not written yet")
        branches = [*leaf.path, ""][:3]
        assert row == [*branches, leaf.family, leaf.sentence, where]


def test_the_table_links_to_what_exists_only(shown):
    assert Cells(Table(shown)._repr_html_()).links == ["14_diffusion.ipynb"]
    assert Cells(Table(with_lessons())._repr_html_()).links == []


def test_the_table_escapes_its_words(shown):
    leaf = Leaf("<b>f</b>", ("a<b", "c&d", '"e"'), "p(x) < 1 & so on.", "01")
    page = Cells(Table(with_lessons(leaves=[leaf]))._repr_html_())
    assert page.rows[1][:5] == [*leaf.path, leaf.family, leaf.sentence]


def test_the_table_as_plain_text(shown):
    lines = repr(Table(shown)).splitlines()
    assert len(lines) == len(LEAVES)
    for line, leaf in zip(lines, LEAVES, strict=True):
        assert line == f"{' › '.join(leaf.path)} › {leaf.family}: {leaf.sentence}"


# --- the tree -----------------------------------------------------------------------


def boxes(fig):
    return [
        (text.get_text(), text.get_color(), text.get_position())
        for text in fig.axes[0].texts
    ]


def edges(fig):
    """Give the ends of every line, rounded so that they can be compared."""

    def place(x, y):
        return round(float(x), 9), round(float(y), 9)

    ends = [line.get_xydata() for line in fig.axes[0].lines]
    return [(place(*start), place(*end)) for start, end in ends]


def test_the_tree_shows_every_branch_and_leaf_once(shown):
    shown = boxes(draw(shown))
    branches = {leaf.path[:depth] for leaf in LEAVES for depth in (1, 2, 3)}
    assert len(shown) == 1 + len(branches) + len(LEAVES)
    words = [text.replace("\n", " ") for text, _, _ in shown]
    assert words.count("generative models") == 1
    for name in {path[-1] for path in branches}:
        assert words.count(name) == sum(path[-1] == name for path in branches)
    for leaf in LEAVES:
        assert sum(word.startswith(f"{leaf.family} lesson") for word in words) == 1


def test_the_tree_says_and_colours_what_is_written(shown):
    colours = {text: colour for text, colour, _ in boxes(draw(shown))}
    assert colours["diffusion\nlesson 14"] == COLOURS["model"]
    assert colours["normalizing flow\nlesson 13, not yet"] == COLOURS["data"]
    blue = [text for text, colour in colours.items() if colour == COLOURS["model"]]
    assert blue == ["diffusion\nlesson 14"]


def test_every_box_but_the_root_hangs_on_its_branch(shown):
    fig = draw(shown)
    places = [tuple(round(float(v), 9) for v in place) for _, _, place in boxes(fig)]
    root = min(places)
    lines = edges(fig)
    assert len(lines) == len(places) - 1
    assert sorted(end for _, end in lines) == sorted(set(places) - {root})
    above = {end: start for start, end in lines}
    texts = [text.replace("\n", " ") for text, _, _ in boxes(fig)]
    words = dict(zip(places, texts, strict=True))
    for leaf in LEAVES:
        (place,) = [
            p for p, word in words.items() if word.startswith(f"{leaf.family} l")
        ]
        climbed = []
        while place != root:
            place = above[place]
            climbed.append(words[place])
        assert climbed == [*reversed(leaf.path), "generative models"]


def test_a_parent_stands_in_the_middle_of_its_leaves(shown):
    leaves = [Leaf(name, ("a", "b", "c"), "s.", "01") for name in ("one", "two")]
    leaves.append(Leaf("three", ("d", "e", "f"), "s.", "02"))
    heights = {
        text: place[1] for text, _, place in boxes(draw(with_lessons(leaves=leaves)))
    }
    assert heights["one\nlesson 01, not yet"] == pytest.approx(5 / 6)
    assert heights["two\nlesson 01, not yet"] == pytest.approx(1 / 2)
    assert heights["three\nlesson 02, not yet"] == pytest.approx(1 / 6)
    assert heights["c"] == heights["a"] == pytest.approx(2 / 3)
    assert heights["generative\nmodels"] == pytest.approx(1 / 2)


@pytest.mark.parametrize("style", [{}, {"figure.constrained_layout.use": True}])
def test_no_two_boxes_of_the_tree_overlap(shown, style):
    with mpl.rc_context(style):
        fig = draw(shown)
    fig.canvas.draw()
    renderer = fig.canvas.get_renderer()
    frames = [text.get_bbox_patch().get_window_extent(renderer) for text in
              fig.axes[0].texts]  # fmt: skip
    for i, one in enumerate(frames):
        for other in frames[:i]:
            assert not one.overlaps(other)
        assert fig.bbox.x0 <= one.x0 and one.x1 <= fig.bbox.x1
        assert fig.bbox.y0 <= one.y0 and one.y1 <= fig.bbox.y1


def test_the_tree_can_be_shown(shown):
    from course_utils.plots import render, use_style

    with mpl.rc_context():
        use_style()
        assert len(render(atlas.draw(shown), alt=ALT).png) < 150_000
