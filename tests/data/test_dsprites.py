"""The dSprites archive is read as it is, lazily, and never unpickled.

The archive here is a small one of the same make: the arrays of the real one for a small
grid, with our own sprites as its pictures.
"""

import os
import warnings
import zipfile

import numpy as np
import pytest
import torch

from course_utils.data import dsprites as module
from course_utils.data import mnist as downloads
from course_utils.data.dsprites import FILE, dsprites, open_archive
from course_utils.data.sprites import Sprites

SPRITES = Sprites(16, scales=2, orientations=4, positions=5)  # 600 pictures


class Bomb:
    """A pickle that does something to its reader: a warning, which fails a test."""

    def __reduce__(self):
        return warnings.warn, ("a pickle was read",)


def arrays(**other):
    """The arrays of an archive, as `np.savez` wants them."""
    x, factors = SPRITES[:]
    return {
        "metadata": np.array(Bomb(), dtype=object),
        "imgs": x.reshape(-1, 16, 16).numpy().astype(np.uint8),
        "latents_classes": factors.classes.numpy(),
        "latents_values": factors.values.numpy(),
        **other,
    }


def write(folder, compressed=True, **other):
    folder.mkdir(parents=True, exist_ok=True)
    save = np.savez_compressed if compressed else np.savez
    save(folder / FILE, **{k: v for k, v in arrays(**other).items() if v is not None})
    return folder / FILE


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and an archive as small as the one written here."""
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(module, "archive_levels", lambda: SPRITES.levels)
    monkeypatch.setattr(module, "SIZE", 16)
    monkeypatch.setattr(module, "_AT_ONCE", 64)  # 600 is no multiple
    monkeypatch.delenv(downloads.VARIABLE, raising=False)
    return tmp_path / "cache"


def test_the_bomb_goes_off_where_pickles_are_read(tmp_path):
    with np.load(write(tmp_path), allow_pickle=True) as archive:
        with pytest.raises(UserWarning, match="a pickle was read"):
            archive["metadata"]


@pytest.mark.parametrize("compressed", [True, False])
def test_the_pictures_are_the_archive_s(cache, tmp_path, compressed):
    archive = dsprites(write(tmp_path / "own", compressed).parent)
    assert len(archive) == 600 and archive.sizes == (1, 3, 2, 4, 5, 5)
    for index in (0, -1, slice(3, 400, 7), [5, 5, 2], torch.arange(600) > 590):
        x, factors = archive[index]
        want = SPRITES[index]
        assert torch.equal(x, want.x) and x.dtype == torch.float32
        assert torch.equal(factors.classes, want.factors.classes)
        assert torch.equal(factors.values, want.factors.values)
    assert torch.equal(archive.sample(50, seed=3).x, SPRITES.sample(50, seed=3).x)
    assert torch.equal(archive.split("test"), SPRITES.split("test"))
    x.zero_()  # one's own to change
    assert archive[-1].x.sum() > 0


def test_a_size_that_does_not_fill_bytes(cache, tmp_path):
    odd = Sprites(9, scales=2, orientations=2, positions=2)
    x, factors = odd[:]
    imgs = x.reshape(-1, 9, 9).numpy().astype(np.uint8)
    path = write(
        tmp_path, imgs=imgs,
        latents_classes=factors.classes.numpy(), latents_values=factors.values.numpy(),
    )  # fmt: skip
    assert torch.equal(open_archive(path, odd.levels, 9)[:].x, x)


def test_pictures_are_unpacked_once_and_mapped(cache, tmp_path, monkeypatch):
    path = write(tmp_path / "own")
    first = dsprites(path.parent)
    (packed,) = (cache / "dsprites").iterdir()
    assert packed.stat().st_size == 128 + 600 * 16 * 16 // 8
    monkeypatch.setattr(module, "_pack", None)
    again = dsprites(path.parent)
    assert isinstance(again._packed, np.memmap) and isinstance(first._packed, np.memmap)
    assert torch.equal(again[:].x, SPRITES[:].x)


def test_another_archive_is_unpacked_anew(cache, tmp_path):
    dsprites(write(tmp_path / "own").parent)
    other = 1 - arrays()["imgs"]
    archive = dsprites(write(tmp_path / "other", imgs=other).parent)
    assert torch.equal(archive[:].x, 1 - SPRITES[:].x)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", None])
def test_damaged_unpacked_pictures_are_made_anew(cache, tmp_path, damage):
    path = write(tmp_path / "own")
    dsprites(path.parent)
    (packed,) = (cache / "dsprites").iterdir()
    content = packed.read_bytes()
    packed.write_bytes(content[:-5] if damage is None else damage)
    assert torch.equal(dsprites(path.parent)[:].x, SPRITES[:].x)
    assert packed.read_bytes() == content


def test_unpacked_pictures_of_another_shape_are_made_anew(cache, tmp_path):
    path = write(tmp_path / "own")
    dsprites(path.parent)
    (packed,) = (cache / "dsprites").iterdir()
    np.save(packed, np.zeros((600, 31), np.uint8))
    assert torch.equal(dsprites(path.parent)[:].x, SPRITES[:].x)


# --- where it is looked for ---------------------------------------------------------


@pytest.mark.parametrize("inner", ["", "dsprites"])
def test_the_places_it_is_looked_for(cache, tmp_path, monkeypatch, inner):
    own = tmp_path / "own"
    write(own / inner)
    assert len(dsprites(own)) == len(dsprites(str(own))) == 600
    monkeypatch.setenv(downloads.VARIABLE, str(own))
    assert len(dsprites()) == 600
    monkeypatch.delenv(downloads.VARIABLE)
    os.renames(own / inner / FILE, cache / inner / FILE)
    assert len(dsprites()) == 600
    (tmp_path / "empty").mkdir()
    assert len(dsprites(tmp_path / "empty")) == 600


def test_its_absence_says_what_works_instead(cache, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.setenv(downloads.VARIABLE, str(tmp_path / "own"))
    with pytest.raises(FileNotFoundError) as info:
        dsprites()
    said = str(info.value)
    for part in (
        "dSprites is not on this computer", FILE, "sprites.Sprites() works",
        "does not download it", str(tmp_path / "own"), str(cache / "dsprites"),
        downloads.VARIABLE,
    ):  # fmt: skip
        assert part in said
    assert len(said.splitlines()) <= 4, "one clear message"


def test_a_folder_that_is_none_is_named(cache, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="folder is .*gone, which is no folder"):
        dsprites(tmp_path / "gone")
    monkeypatch.setenv(downloads.VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match="VAE_COURSE_DATA is .*gone"):
        dsprites()


def test_the_real_archive_is_what_is_expected():
    assert module.SIZE == 64 and "64x64" in FILE
    assert [len(v) for v in module.archive_levels()] == [1, 3, 6, 40, 32, 32]


# --- what is refused ----------------------------------------------------------------

VALUES = arrays()["latents_values"]
CLASSES = arrays()["latents_classes"]
IMGS = arrays()["imgs"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"imgs": None}, "has no array imgs; expected imgs, latents_classes and"),
        ({"latents_values": None}, "has no array latents_values"),
        ({"latents_classes": None}, "has no array latents_classes"),
        ({"imgs": IMGS[:-1]}, r"imgs has shape \(599, 16, 16\), .*\(600, 16, 16\)"),
        ({"imgs": IMGS[:, :15]}, r"imgs has shape \(600, 15, 16\)"),
        ({"imgs": IMGS.astype(np.float32)}, "type float32, rows first; expected"),
        ({"imgs": np.asfortranarray(IMGS)}, "columns first; expected"),
        ({"imgs": IMGS * 255}, "imgs has values above 1; expected 0 and 1"),
        ({"imgs": IMGS.astype(object)}, "type object"),
        ({"latents_classes": CLASSES[:, :5]}, r"shape \(600, 5\); expected \(600, 6\)"),
        ({"latents_classes": CLASSES[::-1]}, "latents_classes differs .* at row 0"),
        ({"latents_values": VALUES + 1e-3}, "latents_values differs .* at row 0"),
        ({"latents_values": VALUES.astype(object)}, "Object arrays cannot be loaded"),
    ],
)  # fmt: skip
def test_other_arrays_are_named(cache, tmp_path, other, said):
    path = write(tmp_path / "own", **other)
    with pytest.raises(ValueError, match=said):
        dsprites(path.parent)
    assert not (cache / "dsprites").exists() or not os.listdir(cache / "dsprites")


def test_a_wrong_row_is_named(cache, tmp_path):
    values = VALUES.copy()
    values[17, 4] += 0.5
    path = write(tmp_path / "own", latents_values=values)
    with pytest.raises(ValueError, match="latents_values differs .* at row 17: "):
        dsprites(path.parent)


def test_values_need_not_agree_to_the_last_digit(cache, tmp_path):
    write(tmp_path / "own", latents_values=VALUES + 1e-9)
    assert len(dsprites(tmp_path / "own")) == 600


def test_a_file_cut_short_is_named(cache, tmp_path):
    path = write(tmp_path / "own")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"cut short or no npz file"):
        dsprites(path.parent)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"cut short or no npz file"):
        dsprites(path.parent)


def test_bytes_after_the_last_picture_are_noticed(cache, tmp_path):
    path = write(tmp_path / "own", imgs=None)
    np.save(tmp_path / "imgs.npy", IMGS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("imgs.npy", (tmp_path / "imgs.npy").read_bytes() + b"0")
    with pytest.raises(ValueError, match="imgs goes on after its last picture"):
        dsprites(path.parent)


@pytest.mark.parametrize("compressed", [True, False])
def test_one_changed_bit_is_noticed(cache, tmp_path, compressed):
    """The zip holds a checksum of each array; the last pixel too may be wrong."""
    path = write(tmp_path / "own", compressed)
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("imgs.npy")
    content = bytearray(path.read_bytes())
    name_and_extra = info.header_offset + 26
    start = info.header_offset + 30 + sum(
        int.from_bytes(content[at : at + 2], "little")
        for at in (name_and_extra, name_and_extra + 2)
    )  # fmt: skip
    content[start + info.compress_size - (1 if not compressed else 40)] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cut short or no npz file|above 1"):
        dsprites(path.parent)
    assert os.listdir(cache / "dsprites") == []


def test_a_stop_by_hand_leaves_nothing(cache, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    write(tmp_path / "own")
    monkeypatch.setattr(module, "_read", stop)
    with pytest.raises(KeyboardInterrupt):
        dsprites(tmp_path / "own")
    assert os.listdir(cache / "dsprites") == []


def test_a_cache_that_cannot_be_written_is_named(cache, tmp_path):
    cache.write_text("a file where a folder should be")
    write(tmp_path / "own")
    with pytest.raises(OSError, match=r"cannot write into .*dsprites"):
        dsprites(tmp_path / "own")
