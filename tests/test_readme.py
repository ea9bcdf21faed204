"""The front page says what is there: lessons, links, targets, and its figure."""

import re
import sys

import pytest


@pytest.fixture(scope="module")
def readme(root):
    """The text of the front page."""
    return (root / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "data/README.md"])
def test_links_to_files_resolve(root, page):
    text = (root / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    local = [target for target in targets if "://" not in target]
    missing = [t for t in local if not ((root / page).parent / t).exists()]
    assert missing == []


def test_the_targets_it_names_exist(root, readme):
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`?make ([a-z]+)", readme)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_it_fits_a_screen_and_a_half(readme):
    assert len(readme.splitlines()) < 80


def test_its_figure_is_the_lessons(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    sys.modules.pop("readme_figure", None)
    import readme_figure

    taken = readme_figure.figure(readme_figure.LESSON, readme_figure.BEGINS)
    assert readme_figure.TARGET.read_bytes() == taken


def test_its_figure_has_words(readme):
    (alt,) = re.findall(r"!\[([^\]]+)\]", readme)
    assert len(alt) > 80
