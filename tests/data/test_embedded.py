"""The embedded data: fixed and disjoint splits, patches of their region."""

import pytest
import torch
from sklearn.datasets import load_digits, load_sample_image

from course_utils.data import embedded as data

SPLITS = ("train", "validation", "test")
PAIRS = [("train", "validation"), ("train", "test"), ("validation", "test")]


def originals():
    images, labels = load_digits(return_X_y=True)
    return images, labels


def rows(x):
    """Give the images of a split as hashable tuples of the 17 grey levels."""
    return [tuple(row) for row in (x * 16).round().int().tolist()]


# --- digits -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "count"), [("train", 1200), ("validation", 297), ("test", 300)]
)
def test_digits_have_their_sizes_types_and_range(split, count):
    x, y = data.digits(split)
    assert x.shape == (count, 64) and x.dtype == torch.float32
    assert y.shape == (count,) and y.dtype == torch.int64
    assert float(x.min()) == 0 and float(x.max()) == 1
    assert torch.equal((x * 16).round() / 16, x)


def test_the_digits_of_all_splits_are_each_original_once():
    images, labels = originals()
    want = sorted(
        (*map(int, row), int(y)) for row, y in zip(images, labels, strict=True)
    )
    got = []
    for split in SPLITS:
        x, y = data.digits(split)
        got += [(*row, label) for row, label in zip(rows(x), y.tolist(), strict=True)]
    assert sorted(got) == want


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_no_digit_is_in_two_splits(one, other):
    _, _, index = data._digits_arrays()
    assert not set(index[one].tolist()) & set(index[other].tolist())
    assert not set(rows(data.digits(one).x)) & set(rows(data.digits(other).x))


@pytest.mark.parametrize("split", SPLITS)
def test_digits_are_stratified(split):
    _, labels = originals()
    _, y = data.digits(split)
    for label in range(10):
        share = (labels == label).mean()
        assert abs(int((y == label).sum()) - share * len(y)) <= 1.5


def test_binary_digits_are_the_grey_ones_cut_at_one_half():
    grey, binary = data.digits("test"), data.digits("test", "binary")
    assert torch.equal(grey.y, binary.y)
    assert binary.x.dtype == torch.float32
    levels = (grey.x * 16).round()
    assert torch.equal(binary.x == 1, levels >= 8)
    assert set(binary.x.unique().tolist()) == {0.0, 1.0}
    assert (levels == 8).any(), "the border case must occur"


def test_digits_are_the_same_every_time_and_the_callers_own():
    first = data.digits("validation")
    kept = first.x.clone(), first.y.clone()
    first.x.zero_(), first.y.zero_()
    data._digits_arrays.cache_clear()
    torch.manual_seed(5)
    again = data.digits("validation")
    assert torch.equal(again.x, kept[0]) and torch.equal(again.y, kept[1])
    again.x.zero_(), again.y.zero_()
    cached = data.digits("validation")
    assert torch.equal(cached.x, kept[0]) and torch.equal(cached.y, kept[1])


def test_digits_name_a_wrong_argument():
    with pytest.raises(ValueError, match="split is 'dev'; expected one of train, val"):
        data.digits("dev")
    with pytest.raises(ValueError, match="values is 'bool'; expected one of grey, bin"):
        data.digits("train", "bool")


# --- photographs --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["china", "flower"])
def test_photographs_are_the_brightness_of_the_originals(name):
    colour = load_sample_image(f"{name}.jpg").astype("float64") / 255
    want = 0.299 * colour[..., 0] + 0.587 * colour[..., 1] + 0.114 * colour[..., 2]
    got = data.photographs()[name]
    assert got.dtype == torch.float32 and got.shape == (427, 640)
    assert (got.double() - torch.tensor(want)).abs().max() < 1e-6
    assert 0 <= float(got.min()) and float(got.max()) <= 1


def test_photographs_are_the_callers_own():
    before = data.photographs()["china"].clone()
    data.photographs()["china"].zero_()
    data.photo_region("china", "train").zero_()
    assert torch.equal(data.photographs()["china"], before)


@pytest.mark.parametrize("name", ["china", "flower"])
def test_the_regions_side_by_side_are_the_photograph(name):
    regions = [data.photo_region(name, split) for split in SPLITS]
    assert torch.equal(torch.cat(regions, 1), data.photographs()[name])
    assert [region.shape[1] for region in regions] == [384, 96, 160]


def test_regions_name_a_wrong_argument():
    with pytest.raises(ValueError, match="name is 'paris'; expected one of china, flo"):
        data.photo_region("paris", "train")
    with pytest.raises(ValueError, match="split is 'all'; expected one of train"):
        data.photo_region("china", "all")


# --- patches ------------------------------------------------------------------------


def numbered():
    """Give two photographs in which every pixel holds its own number."""
    china = torch.arange(427.0 * 640).view(427, 640)
    return {"china": china, "flower": china + 427 * 640}


@pytest.mark.parametrize("size", [2, 8, 64])
@pytest.mark.parametrize(
    ("split", "first", "end"),
    [("train", 0, 384), ("validation", 384, 480), ("test", 480, 640)],
)
def test_patches_are_windows_of_their_region_only(split, first, end, size, monkeypatch):
    monkeypatch.setattr(data, "_photographs", numbered)
    x = data.patches(split, size=size, count=2000, seed=3)
    assert x.shape == (2000, size * size)
    assert x.dtype == torch.float32 and x.is_contiguous()
    corner = x[:, 0].long()
    row, column = corner % (427 * 640) // 640, corner % 640
    assert 0 <= int(row.min()) and int(row.max()) + size <= 427
    assert first <= int(column.min()) and int(column.max()) + size <= end
    steps = torch.arange(size)
    inside = (640 * steps[:, None] + steps).flatten()
    assert torch.equal(x.long(), corner[:, None] + inside)


def test_patches_are_cut_from_the_photographs_themselves():
    photos = data.photographs()
    x = data.patches("test", size=2, count=20)
    for patch in x.view(-1, 2, 2):
        assert any(
            ((image[:-1, :-1] == patch[0, 0]) & (image[:-1, 1:] == patch[0, 1])
             & (image[1:, :-1] == patch[1, 0]) & (image[1:, 1:] == patch[1, 1])).any()
            for image in photos.values()
        )  # fmt: skip


def test_the_patches_of_two_splits_differ():
    train = {row.numpy().tobytes() for row in data.patches("train", count=5000)}
    test = {row.numpy().tobytes() for row in data.patches("test", count=5000)}
    assert not train & test


def test_patches_reach_every_corner_of_the_region(monkeypatch):
    photo = torch.arange(30.0).view(3, 10)  # the train region is its first 6 columns
    monkeypatch.setattr(data, "_photographs", lambda: {"china": photo})
    seen = {tuple(row.tolist()) for row in data.patches("train", size=2, count=500)}
    assert seen == {
        (10 * i + j, 10 * i + j + 1, 10 * i + j + 10, 10 * i + j + 11)
        for i in range(2)
        for j in range(5)
    }


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_half_of_the_patches_come_from_each_photograph(count, monkeypatch):
    photos = {"china": torch.zeros(427, 640), "flower": torch.ones(427, 640)}
    monkeypatch.setattr(data, "_photographs", lambda: photos)
    x = data.patches("train", count=count)
    flowers = int(x[:, 0].sum())
    assert len(x) == count and flowers == count // 2
    if count == 100:
        assert 0 < int(x[:50, 0].sum()) < 50, "the two must be mixed"


def test_patches_follow_the_seed_alone():
    torch.manual_seed(1)
    first = data.patches("train", count=50, seed=4)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(data.patches("train", count=50, seed=4), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(data.patches("train", count=50, seed=5), first)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("size", [3, 8])
def test_centred_patches_lack_the_training_mean(split, size):
    mean = data.patches("train", size, 10_000, 0).double().mean(0)
    plain = data.patches(split, size, 200, 9)
    centred = data.patches(split, size, 200, 9, centred=True)
    assert (plain.double() - mean - centred.double()).abs().max() < 1e-5
    everything = data.patches("train", size, centred=True)
    assert float(everything.double().mean(0).abs().max()) < 1e-5


@pytest.mark.parametrize("size", [2, 64])
def test_patches_of_the_smallest_and_largest_size(size):
    x = data.patches("validation", size=size, count=3)
    assert x.shape == (3, size * size)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"split": "dev"}, "split is 'dev'; expected one of train, validation, test"),
        ({"size": 1}, "size is 1; expected a whole number from 2 to 64"),
        ({"size": 65}, "size is 65; expected a whole number from 2 to 64"),
        ({"size": 0}, "size is 0; expected a whole number from 2"),
        ({"size": 4.0}, "size is 4.0; expected a whole number"),
        ({"count": 0}, "count is 0; expected a whole number from 1"),
        ({"count": -3}, "count is -3"),
        ({"count": 2.5}, "count is 2.5; expected a whole number"),
        ({"count": True}, "count is True; expected a whole number"),
    ],
)
def test_patches_name_a_wrong_argument(arguments, said):
    with pytest.raises(ValueError, match=said):
        data.patches(**arguments)
