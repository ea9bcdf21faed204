"""Every exercise of every lesson: right answers pass, mistakes are refused and named.

What is tried beyond the mistakes on file is data, in ``answersNN.py`` of each lesson:

- ``RIGHT``: by exercise, at least three right answers in other words.
- ``NAMED``: (exercise, answer, mistake): a wrong answer in other words, and its name.
- ``ROWS``: (exercise, answer, met): which of its criteria a wrong answer meets.
- ``SAYS``: (exercise, answer, text): what one of its messages contains.
- ``INPUTS``: (exercise, holds): what ``holds(*arguments)`` says of every draw.

A right answer is tried on `SEEDS` fresh draws, the wrong ones, which are many, on a
third of them; set COURSE_SEEDS=1000 for the long run.
"""

import contextlib
import importlib
import os
from pathlib import Path

import pytest
import torch

from course_utils.exercises import all_exercises
from course_utils.grading.grade import grade
from course_utils.grading.trial import copied

SEEDS = int(os.environ.get("COURSE_SEEDS", "8"))
FEW = max(1, SEEDS // 3)
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


def reports(name, answer, seeds=FEW):
    """Grade an answer on fresh draws: a report for each seed."""
    return [grade(EXERCISES[name], answer, seed) for seed in range(seeds)]


@pytest.mark.parametrize("name", EXERCISES)
def test_it_has_enough_of_everything(name):
    exercise = EXERCISES[name]
    assert len(exercise.criteria) >= 2
    assert len(exercise.misconceptions) >= 5
    assert len(exercise.hints) >= 3
    assert exercise.points > 0
    names = [misconception.name for misconception in exercise.misconceptions]
    assert len(set(names)) == len(names)
    for misconception in exercise.misconceptions:
        assert 30 <= len(misconception.diagnosis) <= 320, misconception.name
    assert len(RIGHT[name]) >= 3


def without_address(one):
    return one.initial_seed() if isinstance(one, torch.Generator) else one


@pytest.mark.parametrize("name", EXERCISES)
def test_other_seeds_give_other_inputs_and_the_same_seed_the_same(name):
    def inputs(seed):
        drawn = EXERCISES[name].inputs(torch.Generator().manual_seed(seed))
        return repr([[without_address(one) for one in given] for given in drawn])

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)


@pytest.mark.parametrize(
    ("name", "answer"),
    [*((name, exercise.reference) for name, exercise in EXERCISES.items()), *ANSWERS],
    ids=[*EXERCISES, *(f"{name}-{answer.__name__}" for name, answer in ANSWERS)],
)
def test_the_courses_own_version_and_right_answers_in_other_words_pass(name, answer):
    for seed, report in enumerate(reports(name, answer, SEEDS)):
        assert report.status == "passed", (seed, report)
        assert report.score == EXERCISES[name].points


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_mistakes_are_refused_and_named(name, mistake):
    known = {item.name: item for item in EXERCISES[name].misconceptions}[mistake]
    for seed, report in enumerate(reports(name, known.wrong)):
        assert report.status == "failed", (seed, report)
        assert report.score < EXERCISES[name].points
        # Two that are the same function share one diagnosis.
        assert report.diagnosis == known.diagnosis, (seed, report)


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_a_mistake_on_file_is_an_answer_and_no_error(name, mistake):
    known = {item.name: item for item in EXERCISES[name].misconceptions}[mistake]
    arguments = EXERCISES[name].inputs(torch.Generator().manual_seed(0))[0]
    with contextlib.suppress(RuntimeError, IndexError):  # torch's own, of wrong shapes
        known.wrong(*copied(arguments))


@pytest.mark.parametrize(("name", "answer", "mistake"), data("NAMED"))
def test_a_mistake_is_named_in_other_words(name, answer, mistake):
    for seed, report in enumerate(reports(name, answer)):
        assert report.misconception == mistake, (seed, report)


@pytest.mark.parametrize(("name", "answer", "met"), data("ROWS"))
def test_a_wrong_answer_earns_what_it_meets(name, answer, met):
    for seed, report in enumerate(reports(name, answer)):
        assert tuple(row.message is None for row in report.rows) == met, (seed, report)


@pytest.mark.parametrize(("name", "answer", "text"), data("SAYS"))
def test_a_wrong_answer_is_told_why(name, answer, text):
    for report in reports(name, answer):
        said = [row.message for row in report.rows if row.message]
        assert any(text in line for line in [*said, report.diagnosis or ""]), said


@pytest.mark.parametrize(("name", "holds"), data("INPUTS"))
def test_every_draw_is_what_the_exercise_needs(name, holds):
    for seed in range(SEEDS):
        generator = torch.Generator().manual_seed(seed)
        for arguments in EXERCISES[name].inputs(generator):
            assert holds(*arguments), (seed, arguments)
