"""Exercises are found by the name of their function, in every lesson's module."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import course_utils.exercises
from course_utils.exercises import Exercise, all_exercises, find

MODULES = [
    module.name
    for module in pkgutil.iter_modules(course_utils.exercises.__path__)
    if re.fullmatch(r"lesson\d\d", module.name)
]


def test_every_lesson_module_is_found_in_order():
    assert list(all_exercises()) == [name.removeprefix("lesson") for name in MODULES]
    assert len(MODULES) >= 4 and MODULES == sorted(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_the_exercises_of_a_lesson_are_its_own_tuple(name):
    module = importlib.import_module(f"course_utils.exercises.{name}")
    found = all_exercises()[name.removeprefix("lesson")]
    assert found is module.EXERCISES and found
    assert all(isinstance(exercise, Exercise) for exercise in found)


def test_no_name_is_used_twice():
    names = [item.name for exercises in all_exercises().values() for item in exercises]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name.islower() for name in names)


def test_each_is_found_by_its_name():
    for exercises in all_exercises().values():
        for exercise in exercises:
            assert find(exercise.name) is exercise


def test_the_room_holds_lessons_alone_each_with_its_page():
    folder = Path(course_utils.exercises.__file__).parent
    names = {path.name for path in folder.iterdir() if path.is_file()}
    pages = {f"lesson{number}.md" for number in all_exercises()}
    modules = {f"lesson{number}.py" for number in all_exercises()}
    assert names == {"__init__.py", *pages, *modules}


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("square_error", "squared_error"), ("train_linea", "train_linear")],
)
def test_a_close_name_is_suggested(wrong, meant):
    said = f"no exercise is named '{wrong}'; did you mean .*{meant}"
    with pytest.raises(ValueError, match=said):
        find(wrong)


@pytest.mark.parametrize("wrong", ["", "zzzzzz"])
def test_where_none_is_close_all_are_listed(wrong):
    with pytest.raises(ValueError, match=f"no exercise is named '{wrong}'") as raised:
        find(wrong)
    names = [item.name for exercises in all_exercises().values() for item in exercises]
    assert f"did you mean {', '.join(sorted(names))}?" in str(raised.value)
