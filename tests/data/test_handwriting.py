"""The 28-pixel digits: fixed splits, kept on disk; the real thing by one argument."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from course_utils.data import handwriting as module
from course_utils.data.embedded import SPLITS, Split
from course_utils.data.handwriting import COUNTS, factors_of, handwriting
from course_utils.data.strokes import render

# The first digit of the test part: a nine with its slant, turn, width, height and pen.
FIRST_OF_TEST = [9, -0.194229443144, 0.0258305865198, 0.906948473223, 1.02546142358]
FIRST_OF_TEST += [0.0795013339444]


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    """Give the test a cache of its own, and small splits."""
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(module, "COUNTS", {"train": 60, "validation": 20, "test": 30})
    module._stored.cache_clear()
    yield tmp_path
    module._stored.cache_clear()


def test_the_splits_are_fixed_and_different():
    seen = [factors_of(split) for split in SPLITS]
    assert [len(factors.classes) for factors in seen] == list(COUNTS.values())
    assert not torch.equal(seen[1].values, seen[2].values)
    first = factors_of("test").values[0]
    expected = torch.tensor(FIRST_OF_TEST, dtype=torch.float64)
    torch.testing.assert_close(first[:6], expected, atol=1e-9, rtol=0)


def test_pictures_are_those_of_their_factors_to_one_grey_level(own_cache):
    x, y = handwriting("test")
    factors = factors_of("test")
    assert torch.equal(y, factors.classes[:, 0])
    assert (x - render(factors.values)).abs().max() <= 0.5 / 255 + 1e-6
    binary, same = handwriting("test", values="binary")
    assert torch.equal(binary, (x >= 0.5).float()) and torch.equal(same, y)


def test_what_is_kept_is_read_again_and_what_is_broken_is_drawn_again(own_cache):
    x, _ = handwriting("validation")
    (file,) = (own_cache / "strokes").iterdir()
    changed = np.load(file)
    changed[0] = 255
    np.save(file, changed)
    module._stored.cache_clear()
    assert handwriting("validation").x[0].eq(1).all()  # it was read
    for content in (b"", b"no array", file.read_bytes()[:300]):
        file.write_bytes(content)
        module._stored.cache_clear()
        assert torch.equal(handwriting("validation").x, x)
    np.save(file, changed[:5])  # another shape
    module._stored.cache_clear()
    assert torch.equal(handwriting("validation").x, x)


def test_a_folder_that_cannot_be_written_is_no_error(own_cache, monkeypatch):
    def refuse(path, content):
        raise PermissionError(path)

    monkeypatch.setattr(module, "write_atomically", refuse)
    assert handwriting("validation").x.shape == (20, 784)


def test_what_is_given_out_is_not_what_is_kept(own_cache):
    x, y = handwriting("validation")
    x.zero_(), y.zero_()
    again = handwriting("validation")
    assert again.x.sum() > 0 and again.y.sum() > 0


@pytest.mark.parametrize(
    ("source", "reader"), [("mnist", "mnist"), ("fashion", "fashion_mnist")]
)
def test_the_real_thing_is_one_argument_away(source, reader, monkeypatch):
    asked = []
    answer = Split(torch.zeros(2, 784), torch.zeros(2, dtype=torch.int64))
    monkeypatch.setattr(module, reader, lambda *args: asked.append(args) or answer)
    assert handwriting("test", "binary", source=source) is answer
    assert asked == [("test", "binary")]


def test_the_digits_are_told_by_their_pixels_and_not_by_their_style():
    x, y = handwriting("validation")
    test_x, test_y = handwriting("test")
    fit = LogisticRegression(max_iter=200).fit(x[:, ::2], y)
    assert fit.score(test_x[:, ::2], test_y) > 0.9
    style, other = (factors_of(s).values[:, 1:] for s in ("validation", "test"))
    guess = LogisticRegression(max_iter=200).fit(style, y).score(other, test_y)
    assert abs(guess - 0.1) < 0.03  # 4.5 standard errors of chance


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "tests"}, "split is 'tests'"),
        ({"values": "gray"}, "values is 'gray'"),
        ({"source": "emnist"}, "source is 'emnist'; expected one of strokes, mnist"),
    ],
)
def test_an_unknown_name_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        handwriting(**arguments)
    with pytest.raises(ValueError, match="split is 'x'"):
        factors_of("x")
