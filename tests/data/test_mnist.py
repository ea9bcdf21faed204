"""MNIST-like files arrive whole and verified from wherever they are, or not at all.

Only addresses on 127.0.0.1 are asked for anything. The real files are read where
VAE_COURSE_DATA names a folder that has them.
"""

import gzip
import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as hnp

from course_utils.data import mnist as downloads
from course_utils.data.mnist import Source, fashion_mnist, mnist, parse_idx

REAL = os.environ.get(downloads.VARIABLE)
NAMES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip


def idx(array):
    """Write the idx format as its description says."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def fake_contents():
    random = np.random.default_rng(0)
    return {
        NAMES[0]: idx(random.integers(0, 256, (12, 4, 3))),
        NAMES[1]: idx(np.arange(12) % 10),
        NAMES[2]: idx(random.integers(0, 256, (5, 4, 3))),
        NAMES[3]: idx(np.array([9, 8, 7, 6, 5])),
    }


CONTENTS = fake_contents()


class Mirror:
    """A server on 127.0.0.1 whose answers a test decides, file by file."""

    def __init__(self):
        self.answers, self.asked = {}, []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.lstrip("/")
                mirror.asked.append(name)
                status, body, promised = mirror.answers.get(name, (404, b"", 0))
                self.send_response(status)
                self.send_header("Content-Length", str(promised))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        serve = self.server.serve_forever
        threading.Thread(target=serve, args=(0.01,), daemon=True).start()

    def give(self, name, body, status=200, promised=None):
        size = len(body) if promised is None else promised
        self.answers[f"{name}.gz"] = (status, body, size)

    def give_all(self):
        for name, content in CONTENTS.items():
            self.give(name, gzip.compress(content))

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Two mirrors, an empty cache, and a data set of a few tiny images."""
    first, second = Mirror(), Mirror()
    files = {
        name: (len(content), hashlib.sha256(content).hexdigest())
        for name, content in CONTENTS.items()
    }
    source = Source("Tiny MNIST", (first.address, second.address), files, held_out=4)
    monkeypatch.setattr(downloads, "SOURCES", {"mnist": source})
    monkeypatch.setattr(downloads, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv(downloads.VARIABLE, raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    first.cache = tmp_path / "cache" / "mnist"
    yield first, second
    first.close()
    second.close()


def put(folder, name, content, compress=gzip.compress):
    (folder / "mnist").mkdir(parents=True, exist_ok=True)
    (folder / "mnist" / f"{name}.gz").write_bytes(compress(content))


def put_all(folder):
    for name, content in CONTENTS.items():
        put(folder, name, content)
    return folder


# --- the idx format -----------------------------------------------------------------

shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)


@given(hnp.arrays(np.uint8, shapes))
def test_idx_comes_back(array):
    got = parse_idx(idx(array))
    assert got.shape == array.shape and (got == array).all() and got.dtype == np.uint8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"begins with b''; expected two zero bytes"),
        (b"\x1f\x8b\x08\0", "expected two zero bytes"),
        (b"\0\0\x0d\1\0\0\0\1\0\0\0\0", "type 0x0d; expected 0x08, bytes"),
        (b"\0\0\x08\0", "the header ends early"),
        (b"\0\0\x08\3\0\0\0\1", "the header ends early: it should name 3 sizes"),
        (b"\0\0\x08\1\0\0\0\3ab", r"2 values; expected 3 for the shape \(3,\)"),
        (b"\0\0\x08\1\0\0\0\3abcd", r"4 values; expected 3 for the shape \(3,\)"),
    ],
)
def test_other_content_is_named(content, said):
    with pytest.raises(ValueError, match=said):
        parse_idx(content)


# --- splits -------------------------------------------------------------------------


def test_splits_are_fixed_and_disjoint(world, tmp_path):
    folder = put_all(tmp_path / "own")
    images = np.frombuffer(CONTENTS[NAMES[0]][16:], np.uint8).reshape(12, 12)
    train, validation = (mnist(s, folder=folder) for s in ("train", "validation"))
    assert torch.equal(train.x, torch.tensor(images[:8]).float() / 255)
    assert torch.equal(validation.x, torch.tensor(images[8:]).float() / 255)
    assert train.y.tolist() == list(range(8)) and validation.y.tolist() == [8, 9, 0, 1]
    test = mnist("test", folder=folder)
    assert test.x.shape == (5, 12) and test.y.tolist() == [9, 8, 7, 6, 5]
    for x, y in (train, validation, test):
        assert x.dtype == torch.float32 and y.dtype == torch.int64
        assert 0 <= x.min() and x.max() <= 1
        x.zero_()  # one's own to change
    assert mnist("train", folder=folder).x.max() > 0


def test_binary_is_at_least_one_half(world, tmp_path):
    folder = put_all(tmp_path / "own")
    images = np.frombuffer(CONTENTS[NAMES[2]][16:], np.uint8).reshape(5, 12)
    x = mnist("test", "binary", folder).x
    assert x.dtype == torch.float32 and (x.numpy() == (images >= 128)).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("valid",), "split is 'valid'; expected one of train, validation, test"),
        (("test", "gray"), "values is 'gray'; expected one of grey, binary"),
    ],
)
def test_a_wrong_argument_is_named(world, given, said):
    with pytest.raises(ValueError, match=said):
        mnist(*given)


# --- where the files come from ------------------------------------------------------


def test_the_own_folder_is_first(world, tmp_path, monkeypatch):
    first, second = world
    first.give_all()
    monkeypatch.setenv(downloads.VARIABLE, str(put_all(tmp_path / "own")))
    assert len(mnist("test").x) == 5
    assert first.asked == [] and not first.cache.exists()


def test_the_argument_stands_in_for_the_variable(world, tmp_path, monkeypatch):
    monkeypatch.setenv(downloads.VARIABLE, str(tmp_path / "none"))
    assert len(mnist("test", folder=put_all(tmp_path / "own")).x) == 5
    with pytest.raises(FileNotFoundError, match="VAE_COURSE_DATA is .*none, which is"):
        mnist("test")
    with pytest.raises(FileNotFoundError, match=r"folder is .*gone, which is no fol"):
        mnist("test", folder=tmp_path / "gone")


def test_what_an_own_folder_lacks_is_looked_for_further(world, tmp_path):
    first, _ = world
    first.give_all()
    put(tmp_path / "own", NAMES[2], CONTENTS[NAMES[2]])
    assert len(mnist("test", folder=tmp_path / "own").x) == 5
    assert first.asked == [f"{NAMES[3]}.gz"]


def test_a_download_is_kept(world):
    first, second = world
    first.give_all()
    want = mnist("test")
    assert sorted(first.asked) == sorted(f"{name}.gz" for name in NAMES[2:])
    assert sorted(os.listdir(first.cache)) == sorted(first.asked)
    if os.name == "posix":
        modes = {os.stat(first.cache / file).st_mode & 0o777 for file in first.asked}
        assert modes == {0o644}, "readable by others who share the cache"
    first.answers.clear()
    again = mnist("test")
    assert torch.equal(want.x, again.x) and torch.equal(want.y, again.y)
    assert len(first.asked) == 2 and second.asked == []


def test_a_mirror_may_compress_anew(world):
    first, _ = world
    first.give_all()
    first.give(NAMES[2], gzip.compress(CONTENTS[NAMES[2]], compresslevel=1, mtime=7))
    assert len(mnist("test").x) == 5


CHANGED = CONTENTS[NAMES[2]][:-1] + bytes([CONTENTS[NAMES[2]][-1] ^ 1])
WHOLE = gzip.compress(CONTENTS[NAMES[2]])
BAD = {
    "missing": {"body": b"gone", "status": 404},
    "broken server": {"body": b"", "status": 503},
    "a page instead": {"body": b"<html>Please sign in</html>"},
    "one bit changed": {"body": gzip.compress(CHANGED)},
    "too long": {"body": gzip.compress(CONTENTS[NAMES[2]] + b"\0")},
    "too short": {"body": gzip.compress(CONTENTS[NAMES[2]][:-1])},
    "gzip cut short": {"body": WHOLE[:-9]},
    "interrupted": {"body": WHOLE[:30], "promised": len(WHOLE)},
    "empty": {"body": b""},
}


@pytest.mark.parametrize("kind", BAD)
def test_the_second_mirror_stands_in(world, kind):
    first, second = world
    first.give_all()
    second.give_all()
    first.give(NAMES[2], **BAD[kind])
    assert len(mnist("test").x) == 5
    assert second.asked == [f"{NAMES[2]}.gz"]
    assert sorted(os.listdir(first.cache)) == [f"{name}.gz" for name in NAMES[2:]]


@pytest.mark.parametrize("kind", BAD)
def test_wrong_content_is_refused_and_removed(world, kind):
    first, second = world
    for mirror in world:
        mirror.give_all()
        mirror.give(NAMES[2], **BAD[kind])
    with pytest.raises(ConnectionError, match=f"no mirror gave {NAMES[2]}.gz:") as info:
        mnist("test")
    assert first.address in str(info.value) and second.address in str(info.value)
    assert os.listdir(first.cache) == []
    second.give_all()  # the next call starts afresh
    assert len(mnist("test").x) == 5


def test_a_finished_file_is_not_fetched_again_after_an_interruption(world):
    first, second = world
    first.give(NAMES[2], WHOLE)
    with pytest.raises(ConnectionError):
        mnist("test")
    assert os.listdir(first.cache) == [f"{NAMES[2]}.gz"]
    first.give_all()
    mnist("test")
    assert first.asked.count(f"{NAMES[2]}.gz") == 1


def test_a_stop_by_hand_leaves_nothing(world, monkeypatch):
    first, _ = world

    def stop(address, folder):
        (folder / "half.gz").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "_fetch", stop)
    with pytest.raises(KeyboardInterrupt):
        mnist("test")
    assert os.listdir(first.cache) == []


def test_a_damaged_cache_is_fetched_again(world, tmp_path):
    first, _ = world
    first.give_all()
    want = mnist("test").x
    for damage in (lambda b: b[:-9], lambda b: gzip.compress(CHANGED), lambda b: b""):
        put(tmp_path / "cache", NAMES[2], WHOLE, compress=damage)
        assert torch.equal(mnist("test").x, want)
        kept = gzip.decompress((first.cache / f"{NAMES[2]}.gz").read_bytes())
        assert kept == CONTENTS[NAMES[2]]


@pytest.mark.parametrize("damage", [lambda b: WHOLE[:-9], lambda b: b, gzip.compress])
def test_a_wrong_file_of_one_s_own_is_named_and_stays(world, tmp_path, damage):
    first, _ = world
    first.give_all()
    folder = put_all(tmp_path / "own")
    put(folder, NAMES[2], CHANGED, compress=damage)
    file = folder / "mnist" / f"{NAMES[2]}.gz"
    before = file.read_bytes()
    with pytest.raises(ValueError, match=r"t10k-images.* (is cut short|is not the)"):
        mnist("test", folder=folder)
    assert file.read_bytes() == before and first.asked == []


def test_images_and_labels_must_belong_together(world, tmp_path, monkeypatch):
    contents = {**CONTENTS, NAMES[3]: idx(np.arange(4))}
    files = {n: (len(c), hashlib.sha256(c).hexdigest()) for n, c in contents.items()}
    monkeypatch.setitem(downloads.SOURCES, "mnist", Source("Tiny", (), files))
    for name, content in contents.items():
        put(tmp_path / "own", name, content)
    with pytest.raises(ValueError, match=r"shape \(5, 4, 3\), its labels \(4,\)"):
        mnist("test", folder=tmp_path / "own")


# --- offline ------------------------------------------------------------------------


def test_offline_says_what_still_works(world):
    for mirror in world:
        mirror.close()
    with pytest.raises(ConnectionError) as info:
        mnist("test")
    said = str(info.value)
    for part in (
        "Tiny MNIST is not on this computer",
        "data.digits, data.patches",
        "set VAE_COURSE_DATA to a folder",
        world[0].address,
    ):
        assert part in said
    assert len(said.splitlines()) <= 5, "one clear message"


def test_what_is_said_to_work_offline_does(world):
    from course_utils import data

    assert len(data.digits("test").x) == 300
    assert len(data.patches("test", size=4, count=3)) == 3


def test_a_cache_that_cannot_be_written_is_named(world, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(
        OSError, match=r"cannot write downloads into .*set VAE_COURSE_D"
    ):
        mnist("test")


def test_a_download_says_nothing(world, capfd):
    world[0].give_all()
    mnist("test")
    assert capfd.readouterr() == ("", "")


# --- the real sources ---------------------------------------------------------------


def test_every_real_source_has_two_mirrors_and_four_checksums():
    assert set(downloads.SOURCES) == {"mnist", "fashion_mnist"}
    checksums = set()
    for source in downloads.SOURCES.values():
        hosts = {mirror.split("/")[2] for mirror in source.mirrors}
        assert len(hosts) == len(source.mirrors) >= 2
        assert all(mirror.endswith("/") for mirror in source.mirrors)
        assert tuple(source.files) == NAMES and source.held_out == 5000
        checksums |= {checksum for _, checksum in source.files.values()}
    assert len(checksums) == 8 and {len(checksum) for checksum in checksums} == {64}


def test_downloads_land_in_the_ignored_folder(root):
    assert downloads.cache_folder() == root / "data" / "cache"
    assert "data/cache/" in (root / ".gitignore").read_text("utf-8").split()


@pytest.mark.skipif(REAL is None, reason="set VAE_COURSE_DATA to read the real files")
@pytest.mark.parametrize(
    ("load", "mean"),
    [(mnist, 0.1307), (fashion_mnist, 0.2860)],
    ids=["mnist", "fashion"],
)
def test_the_real_files(load, mean):
    """The published means of the 60 000 training images, to their four digits."""
    parts = {split: load(split) for split in ("train", "validation", "test")}
    assert [len(x) for x, _ in parts.values()] == [55_000, 5_000, 10_000]
    for x, y in parts.values():
        assert x.shape[1] == 784 and x.dtype == torch.float32 and y.dtype == torch.int64
        assert x.min() == 0 and x.max() == 1 and set(y.tolist()) == set(range(10))
    both = [parts["train"], parts["validation"]]
    got = sum(float(x.double().sum()) for x, _ in both) / (60_000 * 784)
    assert abs(got - mean) < 1e-4
    counts = sum(torch.bincount(y) for _, y in both)
    want = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # MNIST's own
    assert counts.tolist() == (want if load is mnist else [6000] * 10)
    assert set(load("test", "binary").x.unique().tolist()) == {0, 1}
