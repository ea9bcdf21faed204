"""Every exercise of every lesson: right answers pass, mistakes are refused and named.

A lesson's own test file, ``test_exercises_lessonNN.py``, gives its right answers in
other words as ``RIGHT``: at least three for each exercise.
"""

import importlib
from pathlib import Path

import pytest

from course_utils.exercises import all_exercises
from exercise_checks import (
    assert_accepted,
    assert_fresh,
    assert_rejected_and_named,
    assert_well_formed,
)

FILES = sorted(Path(__file__).parent.glob("test_lesson*.py"))
RIGHT = {
    name: answers
    for file in FILES
    for name, answers in importlib.import_module(file.stem).RIGHT.items()
}
EXERCISES = {
    exercise.name: exercise
    for lesson in all_exercises().values()
    for exercise in lesson
}
ANSWERS = [(name, answer) for name in RIGHT for answer in RIGHT[name]]
MISTAKES = [(e.name, m.name) for e in EXERCISES.values() for m in e.misconceptions]


def test_every_lesson_with_exercises_has_its_tests():
    tested = {file.stem.removeprefix("test_lesson") for file in FILES}
    assert tested == set(all_exercises())
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
