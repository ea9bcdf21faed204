"""The map of generative models: every leaf is told, linked where its lesson exists."""

import re
from html.parser import HTMLParser

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from course_utils.pictures import atlas
from course_utils.pictures.atlas import LEAVES, Leaf, Table, draw, is_built
from course_utils.plots import COLOURS

ALT = "A tree from left to right: generative models branch into families."


@pytest.fixture(autouse=True)
def clean():
    mpl.use("agg")
    yield
    plt.close("all")


@pytest.fixture
def folder(tmp_path):
    """A folder in which one lesson is written."""
    (tmp_path / "14_diffusion.ipynb").write_text("{}")
    return tmp_path


# --- the taxonomy -------------------------------------------------------------------


def test_the_taxonomy_is_whole():
    told = " ".join(leaf.name.lower() for leaf in LEAVES)
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
        assert re.fullmatch(r"\d{2}_[a-z_]+", leaf.lesson)
    assert len({leaf.name for leaf in LEAVES}) == len(LEAVES)


def test_leaves_of_one_branch_stand_together():
    """Else the lines of the tree would cross."""
    for depth in (1, 2, 3):
        met = [leaf.path[:depth] for leaf in LEAVES]
        changes = [
            new for old, new in zip([None, *met], met, strict=False) if old != new
        ]
        assert len(changes) == len(set(changes))


def test_a_lesson_has_one_name_throughout():
    by_number = {}
    for leaf in LEAVES:
        assert by_number.setdefault(leaf.lesson[:2], leaf.lesson) == leaf.lesson


def test_a_leaf_names_a_lesson_that_exists_under_its_number(root):
    """A lesson written under another name would be called not written yet."""
    written = {
        path.stem[:2]: path.stem for path in (root / "notebooks").glob("*.ipynb")
    }
    for leaf in LEAVES:
        assert written.get(leaf.lesson[:2], leaf.lesson) == leaf.lesson


def test_only_a_written_lesson_is_built(folder):
    by_lesson = {leaf.lesson: is_built(leaf, folder) for leaf in LEAVES}
    assert [lesson for lesson, built in by_lesson.items() if built] == ["14_diffusion"]


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


def test_the_table_has_a_row_for_every_leaf(folder):
    page = Cells(Table(folder)._repr_html_())
    head, *rows = page.rows
    assert head == ["density", "how", "by", "family", "in one sentence", "where"]
    assert len(rows) == len(LEAVES)
    for row, leaf in zip(rows, LEAVES, strict=True):
        number = leaf.lesson[:2]
        built = leaf.lesson == "14_diffusion"
        where = f"lesson {number}" + ("" if built else ", not written yet")
        branches = [*leaf.path, ""][:3]
        assert row == [*branches, leaf.name, leaf.sentence, where]


def test_the_table_links_to_what_exists_only(folder):
    assert Cells(Table(folder)._repr_html_()).links == ["14_diffusion.ipynb"]
    assert Cells(Table(folder / "elsewhere")._repr_html_()).links == []


def test_the_table_escapes_its_words(folder):
    leaf = Leaf(("a<b", "c&d", '"e"'), "<b>f</b>", "p(x) < 1 & so on.", "01_x")
    page = Cells(Table(folder, [leaf])._repr_html_())
    assert page.rows[1][:5] == [*leaf.path, leaf.name, leaf.sentence]


def test_the_table_as_plain_text(folder):
    lines = repr(Table(folder)).splitlines()
    assert len(lines) == len(LEAVES)
    for line, leaf in zip(lines, LEAVES, strict=True):
        assert line == f"{' › '.join(leaf.path)} › {leaf.name}: {leaf.sentence}"


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


def test_the_tree_shows_every_branch_and_leaf_once(folder):
    shown = boxes(draw(folder))
    branches = {leaf.path[:depth] for leaf in LEAVES for depth in (1, 2, 3)}
    assert len(shown) == 1 + len(branches) + len(LEAVES)
    words = [text.replace("\n", " ") for text, _, _ in shown]
    assert words.count("generative models") == 1
    for name in {path[-1] for path in branches}:
        assert words.count(name) == sum(path[-1] == name for path in branches)
    for leaf in LEAVES:
        assert sum(word.startswith(f"{leaf.name} lesson") for word in words) == 1


def test_the_tree_says_and_colours_what_is_written(folder):
    colours = {text: colour for text, colour, _ in boxes(draw(folder))}
    assert colours["diffusion\nlesson 14"] == COLOURS["model"]
    assert colours["normalizing flow\nlesson 13, not yet"] == COLOURS["data"]
    blue = [text for text, colour in colours.items() if colour == COLOURS["model"]]
    assert blue == ["diffusion\nlesson 14"]


def test_every_box_but_the_root_hangs_on_its_branch(folder):
    fig = draw(folder)
    places = [tuple(round(float(v), 9) for v in place) for _, _, place in boxes(fig)]
    root = min(places)
    lines = edges(fig)
    assert len(lines) == len(places) - 1
    assert sorted(end for _, end in lines) == sorted(set(places) - {root})
    above = {end: start for start, end in lines}
    texts = [text.replace("\n", " ") for text, _, _ in boxes(fig)]
    words = dict(zip(places, texts, strict=True))
    for leaf in LEAVES:
        (place,) = [p for p, word in words.items() if word.startswith(f"{leaf.name} l")]
        climbed = []
        while place != root:
            place = above[place]
            climbed.append(words[place])
        assert climbed == [*reversed(leaf.path), "generative models"]


def test_a_parent_stands_in_the_middle_of_its_leaves(folder):
    leaves = [Leaf(("a", "b", "c"), name, "s.", "01_x") for name in ("one", "two")]
    leaves.append(Leaf(("d", "e", "f"), "three", "s.", "02_y"))
    heights = {text: place[1] for text, _, place in boxes(draw(folder, leaves))}
    assert heights["one\nlesson 01, not yet"] == pytest.approx(5 / 6)
    assert heights["two\nlesson 01, not yet"] == pytest.approx(1 / 2)
    assert heights["three\nlesson 02, not yet"] == pytest.approx(1 / 6)
    assert heights["c"] == heights["a"] == pytest.approx(2 / 3)
    assert heights["generative\nmodels"] == pytest.approx(1 / 2)


@pytest.mark.parametrize("style", [{}, {"figure.constrained_layout.use": True}])
def test_no_two_boxes_of_the_tree_overlap(folder, style):
    with mpl.rc_context(style):
        fig = draw(folder)
    fig.canvas.draw()
    renderer = fig.canvas.get_renderer()
    frames = [text.get_bbox_patch().get_window_extent(renderer) for text in
              fig.axes[0].texts]  # fmt: skip
    for i, one in enumerate(frames):
        for other in frames[:i]:
            assert not one.overlaps(other)
        assert fig.bbox.x0 <= one.x0 and one.x1 <= fig.bbox.x1
        assert fig.bbox.y0 <= one.y0 and one.y1 <= fig.bbox.y1


def test_the_tree_can_be_shown(folder):
    from course_utils.plots import render, use_style

    with mpl.rc_context():
        use_style()
        assert len(render(atlas.draw(folder), alt=ALT).png) < 150_000
