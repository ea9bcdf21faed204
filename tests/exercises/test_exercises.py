"""Every exercise of every lesson: right answers pass, mistakes are refused and named.

What is tried beyond the mistakes on file is data, in ``answersNN.py`` of each lesson:

- ``RIGHT``: by exercise, at least three right answers in other words.
- ``NAMED``: (exercise, answer, mistake): a wrong answer in other words, and its name.
- ``ROWS``: (exercise, answer, met): which of its criteria a wrong answer meets.
- ``SAYS``: (exercise, answer, text): what one of its messages contains.
- ``INPUTS``: (exercise, holds): what ``holds(*arguments)`` says of every draw.
"""

import importlib
from pathlib import Path

import pytest
import torch

from course_utils.exercises import all_exercises
from course_utils.grading.grade import grade
from exercise_checks import (
    SEEDS,
    assert_accepted,
    assert_fresh,
    assert_rejected_and_named,
    assert_well_formed,
)

FILES = sorted(Path(__file__).parent.glob("answers??.py"))
MODULES = [importlib.import_module(file.stem) for file in FILES]
EXERCISES = {e.name: e for lesson in all_exercises().values() for e in lesson}
RIGHT = {name: answers for m in MODULES for name, answers in m.RIGHT.items()}
ANSWERS = [(name, answer) for name in RIGHT for answer in RIGHT[name]]
MISTAKES = [(e.name, m.name) for e in EXERCISES.values() for m in e.misconceptions]


def data(kind):
    """Collect what the lessons' files have of one kind, with ids for pytest."""
    rows = [row for module in MODULES for row in getattr(module, kind, ())]
    return [
        pytest.param(*row, id=f"{row[0]}-{getattr(row[1], '__name__', place)}-{place}")
        for place, row in enumerate(rows)
    ]


def test_every_lesson_with_exercises_has_its_answers():
    assert {file.stem[-2:] for file in FILES} == set(all_exercises())
    assert set(RIGHT) == set(EXERCISES)


@pytest.mark.parametrize("name", EXERCISES)
def test_it_is_well_formed_and_its_inputs_are_fresh(name):
    assert_well_formed(EXERCISES[name])
    assert_fresh(EXERCISES[name])
    assert len(RIGHT[name]) >= 3


@pytest.mark.parametrize("name", EXERCISES)
def test_the_courses_own_version_passes(name):
    assert_accepted(EXERCISES[name], EXERCISES[name].reference)


@pytest.mark.parametrize(
    ("name", "answer"), ANSWERS, ids=[f"{name}-{a.__name__}" for name, a in ANSWERS]
)
def test_right_answers_in_other_words_pass(name, answer):
    assert_accepted(EXERCISES[name], answer)


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_mistakes_are_refused_and_named(name, mistake):
    assert_rejected_and_named(EXERCISES[name], mistake)


@pytest.mark.parametrize(("name", "answer", "mistake"), data("NAMED"))
def test_a_mistake_is_named_in_other_words(name, answer, mistake):
    for seed in range(SEEDS):
        report = grade(EXERCISES[name], answer, seed)
        assert report.misconception == mistake, (seed, report)


@pytest.mark.parametrize(("name", "answer", "met"), data("ROWS"))
def test_a_wrong_answer_earns_what_it_meets(name, answer, met):
    for seed in range(SEEDS):
        report = grade(EXERCISES[name], answer, seed)
        assert tuple(row.message is None for row in report.rows) == met, (seed, report)


@pytest.mark.parametrize(("name", "answer", "text"), data("SAYS"))
def test_a_wrong_answer_is_told_why(name, answer, text):
    for seed in range(SEEDS):
        report = grade(EXERCISES[name], answer, seed)
        said = [row.message for row in report.rows if row.message]
        assert any(text in line for line in [*said, report.diagnosis or ""]), said


@pytest.mark.parametrize(("name", "holds"), data("INPUTS"))
def test_every_draw_is_what_the_exercise_needs(name, holds):
    for seed in range(SEEDS):
        generator = torch.Generator().manual_seed(seed)
        for arguments in EXERCISES[name].inputs(generator):
            assert holds(*arguments), (seed, arguments)
