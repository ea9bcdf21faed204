"""The rules every lesson keeps, each a small function from a notebook to complaints.

A rule returns what is wrong as plain sentences, and nothing when all is well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nbformat import NotebookNode

from tools.lessons.pages import is_page
from tools.lessons.rules.anatomy import anatomy, links
from tools.lessons.rules.exercises import (
    exercises,
    solution_markers,
    solutions_hidden,
)
from tools.lessons.rules.figures import described_figures, picture_sizes
from tools.lessons.rules.form import (
    allowed_tags,
    asserts_apart,
    defined_twice,
    descriptive_ids,
    few_modules,
    machine_independent,
    no_layout_switches,
    normal_form,
    projectable_code,
    size,
    valid,
)
from tools.lessons.rules.load import (
    core_path,
    says_minutes,
    sections_apart,
    short_texts,
)
from tools.lessons.rules.outputs import (
    checked_outputs,
    executed,
    no_errors,
    no_widget_views,
)

__all__ = ["PAGE_RULES", "RULES", "complaints", "defined_twice"]


def complaints(nb: NotebookNode, name: str, folder: Path) -> list[str]:
    """Apply every rule to a lesson, or to a page those that hold for it.

    Parameters
    ----------
    nb : NotebookNode
        The lesson as it is stored.
    name : str
        Its name without suffix, such as ``01_linear_autoencoder_is_pca``.
    folder : Path
        Where it lies, for the links to other files.

    Returns
    -------
    list of str
        Sentences, empty for a lesson in good order.
    """
    found = []
    for rule in PAGE_RULES if is_page(name) else RULES:
        found += [f"{rule.__name__}: {what}" for what in rule(nb, name)]
    return found + [f"links: {what}" for what in links(nb, name, folder)]


RULES: tuple[Callable[[NotebookNode, str], list[str]], ...] = (
    valid,
    normal_form,
    descriptive_ids,
    allowed_tags,
    projectable_code,
    no_layout_switches,
    asserts_apart,
    few_modules,
    size,
    machine_independent,
    executed,
    checked_outputs,
    no_errors,
    no_widget_views,
    described_figures,
    picture_sizes,
    exercises,
    solution_markers,
    solutions_hidden,
    anatomy,
    core_path,
    short_texts,
    sections_apart,
    says_minutes,
)

# What a page without exercises and without a clock need not have.
_OF_LESSONS = (anatomy, checked_outputs, core_path, exercises, says_minutes)
PAGE_RULES = tuple(rule for rule in RULES if rule not in _OF_LESSONS)
