"""The learner's workbook: no solution in it, and nothing of the learner's lost."""

import copy
import json
import shutil
import subprocess
import sys

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lesson_maker import cell_of, good_lesson, points_of, printed
from tools.lessons import __main__ as command_line
from tools.lessons.normalise import dumps, normalise
from tools.lessons.workbook import (
    MANIFEST,
    build,
    leaks,
    learner_copy,
    meaning,
)

STUB = "# YOUR CODE HERE\nraise NotImplementedError()"


def code(source, **more):
    return new_notebook(cells=[new_code_cell(source, **more)])


# ----------------------------------------------------------------------- the copy


def test_solutions_become_stubs_at_their_margin():
    source = (
        "def f(x):\n"
        '    """Do."""\n'
        "    if x:\n"
        "        ### BEGIN SOLUTION\n"
        "        return 1\n"
        "        ### END SOLUTION\n"
        "    ### BEGIN SOLUTION\n"
        "    return 2\n"
        "    ### END SOLUTION\n"
        "    # after"
    )
    got = learner_copy(code(source)).cells[0].source
    assert got == (
        "def f(x):\n"
        '    """Do."""\n'
        "    if x:\n"
        "        # YOUR CODE HERE\n"
        "        raise NotImplementedError()\n"
        "    # YOUR CODE HERE\n"
        "    raise NotImplementedError()\n"
        "    # after"
    )
    compile(got, "cell", "exec")


def test_outputs_are_cleared_except_the_expected_picture():
    nb = good_lesson()
    result = new_output("execute_result", data={"text/plain": "1"}, execution_count=10)
    cell_of(nb, "a-curve").outputs.append(result)
    copied = learner_copy(nb)
    for cell in copied.cells:
        if cell.cell_type == "code":
            assert cell.execution_count is None
            assert bool(cell.outputs) == (cell.id == "a-curve")
    kept = cell_of(copied, "a-curve").outputs
    assert kept[0] == cell_of(nb, "a-curve").outputs[0]
    assert kept[1].execution_count is None
    nbformat.validate(copied)


def test_deeper_sections_are_folded_in_the_copy_alone():
    nb = good_lesson()
    cell_of(nb, "summary").metadata["tags"] = ["deeper"]
    copied = learner_copy(nb)
    folded = [c.id for c in copied.cells if "jp-MarkdownHeadingCollapsed" in c.metadata]
    assert folded == ["summary"]
    assert "jp-MarkdownHeadingCollapsed" not in cell_of(nb, "summary").metadata


def test_the_copy_is_pure_and_the_same_every_time():
    nb = good_lesson()
    before = copy.deepcopy(nb)
    assert dumps(learner_copy(nb)) == dumps(learner_copy(nb))
    assert nb == before
    again = normalise(learner_copy(nb), "x", points_of=points_of)
    assert [c.id for c in again.cells] == [c.id for c in nb.cells]


def test_ids_and_the_graders_metadata_stay():
    nb = good_lesson()
    copied = learner_copy(nb)
    assert [c.metadata for c in copied.cells] == [c.metadata for c in nb.cells]
    assert [c.id for c in copied.cells] == [c.id for c in nb.cells]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            new_code_cell("### BEGIN SOLUTION\nx"),
            "line 1: a solution begins which never",
        ),
        (new_code_cell("x\n### END SOLUTION"), "line 2: a solution ends which never"),
        (
            new_code_cell("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION"),
            "line 2: a solution begins inside",
        ),
        (new_code_cell("## BEGIN SOLUTION\nx\n### END SOLUTION"), "stand alone"),
        (new_code_cell("### begin solution\nx\n### end solution"), "stand alone"),
        (new_code_cell("x = 1  ### BEGIN SOLUTION\n### END SOLUTION"), "stand alone"),
        (new_code_cell("### BEGIN  SOLUTION\n### END SOLUTION"), "stand alone"),
        (new_markdown_cell("### BEGIN SOLUTION\nx\n### END SOLUTION"), "markdown cell"),
    ],
)
def test_malformed_markers_name_notebook_and_cell(cell, message):
    cell.id = "the-cell"
    with pytest.raises(ValueError, match=f"07_flow, cell 'the-cell': .*{message}"):
        learner_copy(new_notebook(cells=[cell]), "07_flow")


def test_nothing_leaks_from_a_lesson_in_order_and_every_leak_is_found():
    nb = good_lesson()
    assert leaks(nb) == []
    assert "secret_of_" in dumps(nb) and "secret_of_" not in dumps(learner_copy(nb))
    line = "secret_of_alpha  =  x.sum(dim=-1) * 2"
    for spoil in (
        lambda nb: nb.cells.append(new_markdown_cell(f"Hint: `{line}`")),
        lambda nb: nb.cells.append(new_code_cell(f"if True:\n    {line}")),
        lambda nb: cell_of(nb, "a-curve").outputs.extend(printed(line)),
        lambda nb: cell_of(nb, "a-curve").metadata.update({"hint": line}),
        lambda nb: nb.metadata.update({"hint": line}),
    ):
        spoilt = good_lesson()
        spoil(spoilt)
        (found,) = leaks(spoilt)
        assert "'alpha'" in found and "secret_of_alpha" in found


# --------------------------------------------------------------------- the folder

NAME = "01_small.ipynb"


def lesson(version):
    return new_notebook(
        cells=[
            new_markdown_cell("# Title", id="title"),
            new_code_cell(f"version = {version}", id="version"),
        ]
    )


def save(nb):
    return dumps(nb).encode("utf-8")


@pytest.fixture
def course(tmp_path):
    class Course:
        source, target = tmp_path / "notebooks", tmp_path / "workbook"

        def teach(self, nb, name=NAME):
            (self.source / name).write_bytes(save(nb))

        def build(self):
            return build(self.source, self.target)

        def path(self, name=NAME):
            return self.target / name

        def files(self):
            return sorted(p.name for p in self.target.iterdir())

    course = Course()
    course.source.mkdir()
    course.teach(lesson(1))
    return course


def test_pages_are_copied_beside_the_lessons_and_drafts_are_not(course):
    course.teach(lesson(2), "glossary.ipynb")
    course.teach(lesson(3), "draft.ipynb")
    assert len(course.build()) == 2
    assert course.files() == [MANIFEST, NAME, "glossary.ipynb"]


def edited(content, line="mine = 1"):
    nb = nbformat.reads(content.decode(), as_version=4)
    nb.cells[1].source += f"\n{line}"
    return save(nb)


def test_a_first_build_makes_every_copy_and_a_second_does_nothing(course):
    course.teach(lesson(5), "02_other.ipynb")
    said = course.build()
    assert len(said) == 2 and all(line.endswith(": new") for line in said)
    assert course.files() == [MANIFEST, NAME, "02_other.ipynb"]
    assert course.path().read_bytes() == save(learner_copy(lesson(1)))
    manifest = course.path(MANIFEST).read_bytes()
    assert course.build() == []
    assert course.path(MANIFEST).read_bytes() == manifest


def test_an_untouched_copy_is_renewed(course):
    course.build()
    course.teach(lesson(2))
    assert course.build() == [f"{course.path()}: renewed"]
    assert course.path().read_bytes() == save(lesson(2))


def test_a_touched_copy_stays_and_the_newer_lesson_arrives_beside_it(course):
    course.build()
    mine = edited(course.path().read_bytes())
    course.path().write_bytes(mine)
    assert course.build() == []  # there is nothing newer
    course.teach(lesson(2))
    (said,) = course.build()
    assert said.endswith(
        "yours, kept; the newer lesson is beside it as 01_small.new.ipynb"
    )
    assert course.path().read_bytes() == mine
    assert course.path("01_small.new.ipynb").read_bytes() == save(lesson(2))
    assert course.build() == []
    course.path("01_small.new.ipynb").unlink()
    assert course.build() == []  # seen and thrown away: not offered again
    course.teach(lesson(3))
    assert len(course.build()) == 1
    assert course.path("01_small.new.ipynb").read_bytes() == save(lesson(3))


def test_an_untouched_offer_is_replaced_and_a_touched_one_kept(course):
    course.build()
    course.path().write_bytes(edited(course.path().read_bytes()))
    offer, second = (
        course.path("01_small.new.ipynb"),
        course.path("01_small.new2.ipynb"),
    )
    course.teach(lesson(2))
    course.build()
    course.teach(lesson(3))
    course.build()
    assert offer.read_bytes() == save(lesson(3)) and not second.exists()
    mine = edited(offer.read_bytes())
    offer.write_bytes(mine)
    course.teach(lesson(4))
    (said,) = course.build()
    assert said.endswith("01_small.new2.ipynb")
    assert offer.read_bytes() == mine and second.read_bytes() == save(lesson(4))


def run_by_jupyter(content):
    """What running and saving does: outputs, counts, metadata, an empty last cell."""
    nb = nbformat.reads(content.decode(), as_version=4)
    nb.cells[1].execution_count = 4
    nb.cells[1].outputs = printed("hello")
    nb.cells[1].metadata["trusted"] = True
    nb.metadata["widgets"] = {}
    nb.cells.append(new_code_cell(""))
    return json.dumps(nb, indent=2).encode()


def test_a_copy_that_was_merely_run_keeps_its_outputs_until_the_lesson_changes(course):
    course.build()
    ran = run_by_jupyter(course.path().read_bytes())
    course.path().write_bytes(ran)
    assert course.build() == [] and course.path().read_bytes() == ran
    course.teach(lesson(2))
    assert course.build() == [f"{course.path()}: renewed"]
    assert course.path().read_bytes() == save(lesson(2))


def test_a_new_picture_alone_does_not_cost_the_learners_outputs(course):
    def pictured(text):
        nb = lesson(1)
        nb.cells[1].metadata["tags"] = ["expected-picture"]
        nb.cells[1].outputs = printed(text)
        return nb

    course.teach(pictured("old"))
    course.build()
    ran = run_by_jupyter(course.path().read_bytes())
    course.path().write_bytes(ran)
    course.teach(pictured("new"))
    assert course.build() == [] and course.path().read_bytes() == ran
    course.path().write_bytes(save(pictured("old")))


@pytest.mark.parametrize("manifest", [None, "", "{", "[]", '{"files": 3}', "\x00"])
def test_without_a_good_manifest_everything_counts_as_touched(course, manifest):
    course.build()
    before = course.path().read_bytes()
    if manifest is None:
        course.path(MANIFEST).unlink()
    else:
        course.path(MANIFEST).write_text(manifest)
    assert course.build() == []  # it is the newest lesson
    course.path(MANIFEST).unlink()
    course.teach(lesson(2))
    (said,) = course.build()
    assert "01_small.new.ipynb" in said
    assert course.path().read_bytes() == before
    assert json.loads(course.path(MANIFEST).read_text())["version"] == 1


@pytest.mark.parametrize(
    "content", [b"", b"not json", b"\xff\xfe", b'{"cells": 3}', b"[]"]
)
def test_a_file_that_is_no_notebook_is_the_learners(course, content):
    course.build()
    course.path().write_bytes(content)
    course.build()
    assert course.path().read_bytes() == content
    course.teach(lesson(2))
    assert len(course.build()) == 1
    assert course.path().read_bytes() == content
    assert course.path("01_small.new.ipynb").exists()


def test_folders_and_links_in_the_way_are_left_alone(course):
    elsewhere = course.source.parent / "elsewhere.ipynb"
    elsewhere.write_bytes(b"precious")
    course.target.mkdir()
    course.path().symlink_to(elsewhere)
    course.path("01_small.new.ipynb").mkdir()
    course.build()
    assert course.path().is_symlink() and elsewhere.read_bytes() == b"precious"
    assert course.path("01_small.new2.ipynb").read_bytes() == save(lesson(1))


def test_a_copy_that_was_moved_and_linked_to_keeps_its_link(course):
    course.build()
    elsewhere = course.source.parent / "elsewhere.ipynb"
    course.path().replace(elsewhere)
    course.path().symlink_to(elsewhere)
    course.teach(lesson(2))
    course.build()
    assert course.path().is_symlink() and elsewhere.read_bytes() == save(lesson(1))
    assert course.path("01_small.new.ipynb").read_bytes() == save(lesson(2))


def test_a_copy_found_to_be_the_newest_is_known_again(course):
    course.build()
    course.path(MANIFEST).unlink()
    course.build()
    course.teach(lesson(2))
    assert course.build() == [f"{course.path()}: renewed"]


def test_an_offer_that_took_the_place_of_the_old_copy_is_renewed_later(course):
    course.build()
    course.path().write_bytes(edited(course.path().read_bytes()))
    course.teach(lesson(2))
    course.build()
    course.path("01_small.new.ipynb").replace(course.path())
    assert course.build() == []
    course.teach(lesson(3))
    assert course.build() == [f"{course.path()}: renewed"]


def test_a_second_build_loads_no_notebook_library(course):
    course.build()
    program = (
        "import sys; from pathlib import Path\n"
        "from tools.lessons.__main__ import main\n"
        "assert main(['workbook', *sys.argv[1:]]) == 0\n"
        "assert not {'nbformat', 'jsonschema', 'torch'} & set(sys.modules)"
    )
    folders = ["--source", str(course.source), "--target", str(course.target)]
    subprocess.run([sys.executable, "-c", program, *folders], check=True)


def test_progress_and_the_learners_other_files_are_never_touched(course):
    course.target.mkdir()
    others = {".progress.json": b"{", "notes.txt": b"n", "99_old.ipynb": b"x"}
    for name, content in others.items():
        course.path(name).write_bytes(content)
    course.build()
    course.teach(lesson(2))
    course.build()
    for name, content in others.items():
        assert course.path(name).read_bytes() == content


def test_a_malformed_lesson_leaves_the_whole_folder_as_it_was(course):
    course.build()
    course.teach(lesson(2))
    course.teach(code("### BEGIN SOLUTION", id="open-end"), "02_bad.ipynb")
    before = {name: course.path(name).read_bytes() for name in course.files()}
    with pytest.raises(ValueError, match="02_bad, cell 'open-end'"):
        course.build()
    assert {name: course.path(name).read_bytes() for name in course.files()} == before


def test_the_command_line_says_what_happened_in_plain_lines(
    course, monkeypatch, capsys
):
    monkeypatch.chdir(course.source.parent)
    assert command_line.main(["workbook"]) == 0
    assert capsys.readouterr().out == "workbook/01_small.ipynb: new\n"
    assert command_line.main(["workbook"]) == 0
    assert capsys.readouterr().out == ""
    assert command_line.main(["workbook", "--source", "nowhere"]) == 1
    assert "no lesson in nowhere" in capsys.readouterr().err


def test_pictures_pasted_into_a_text_cell_are_the_learners_work():
    plain = new_notebook(cells=[new_markdown_cell("look")])
    pasted = copy.deepcopy(plain)
    pasted.cells[0]["attachments"] = {"a.png": {"image/png": "aaaa"}}
    assert meaning(save(plain)) != meaning(save(pasted))


@given(source=st.text(max_size=30), other=st.text(max_size=30))
def test_only_what_a_person_wrote_has_meaning(source, other):
    def fingerprint(text):
        nb = new_notebook()
        nb.cells = [new_code_cell(text, outputs=printed("x"), execution_count=3)]
        return meaning(save(nb))

    assert fingerprint(source) == fingerprint(source) is not None
    if source.strip() != other.strip():
        assert fingerprint(source) != fingerprint(other)


class LearnersLife(RuleBasedStateMachine):
    """Any sequence of edits, new lessons, lost manifests and builds.

    What the learner wrote, in any file, is there after every build, byte for byte,
    until the learner writes there again.
    """

    names = (NAME, "01_small.new.ipynb", "01_small.new2.ipynb")

    def __init__(self):
        super().__init__()
        import tempfile
        from pathlib import Path

        self.root = Path(tempfile.mkdtemp())
        self.source, self.target = self.root / "notebooks", self.root / "workbook"
        self.source.mkdir()
        (self.source / NAME).write_bytes(save(lesson(0)))
        self.mine = {}
        self.count = 0

    @rule(version=st.integers(0, 3))
    def new_lesson(self, version):
        (self.source / NAME).write_bytes(save(lesson(version)))

    @rule()
    def build(self):
        build(self.source, self.target)

    @rule(name=st.sampled_from(names))
    def edit(self, name):
        path = self.target / name
        if path.exists() and meaning(path.read_bytes()):
            self.count += 1
            self.mine[name] = edited(path.read_bytes(), f"mine = {self.count}")
            path.write_bytes(self.mine[name])

    @rule(name=st.sampled_from(names))
    def run_cells(self, name):
        path = self.target / name
        if path.exists() and meaning(path.read_bytes()):
            path.write_bytes(run_by_jupyter(path.read_bytes()))
            if name in self.mine:
                self.mine[name] = path.read_bytes()

    @rule(name=st.sampled_from(names), content=st.binary(max_size=5))
    def write_anything(self, name, content):
        self.target.mkdir(exist_ok=True)
        (self.target / name).write_bytes(content)
        self.mine[name] = content

    @rule(old=st.sampled_from(names), new=st.sampled_from(names))
    def rename(self, old, new):
        if old != new and (self.target / old).exists():
            (self.target / old).replace(self.target / new)
            self.mine.pop(new, None)
            if old in self.mine:
                self.mine[new] = self.mine.pop(old)

    @rule(name=st.sampled_from(names))
    def delete(self, name):
        (self.target / name).unlink(missing_ok=True)
        self.mine.pop(name, None)

    @rule(content=st.sampled_from([None, b"", b"{}", b'{"files": {"x": 1}}']))
    def lose_the_manifest(self, content):
        if self.target.exists():
            (self.target / MANIFEST).unlink(missing_ok=True)
            if content is not None:
                (self.target / MANIFEST).write_bytes(content)

    @invariant()
    def nothing_of_the_learners_is_lost(self):
        for name, content in self.mine.items():
            assert (self.target / name).read_bytes() == content, name

    def teardown(self):
        build(self.source, self.target)
        self.nothing_of_the_learners_is_lost()
        newest = meaning((self.source / NAME).read_bytes())
        build(self.source, self.target)
        if NAME not in self.mine:
            path = self.target / NAME
            assert path.exists() and newest is not None
        shutil.rmtree(self.root)


TestLearnersLife = LearnersLife.TestCase
TestLearnersLife.settings = settings(max_examples=60, stateful_step_count=25)
