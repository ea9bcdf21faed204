"""MNIST and Fashion-MNIST: the larger data rooms, which are downloaded once.

Each file is looked for in a folder of yours (``VAE_COURSE_DATA``), then in the course's
cache, then on public mirrors. Wherever it comes from, the SHA-256 of its decompressed
content must be the known one: a mirror may compress anew, but cannot change a pixel.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from course_utils.arguments import one_of
from course_utils.data.embedded import SPLITS, VALUES, Split
from course_utils.files import ROOT

VARIABLE = "VAE_COURSE_DATA"
PATIENCE = 30  # seconds without an answer until the next mirror is tried
_UNSIGNED_BYTE = 0x08


@dataclass(frozen=True)
class Source:
    """Where a data set lives: mirrors, and the SHA-256 of each file's content.

    ``files`` maps a file's name (without ``.gz``) to the size and the SHA-256 of its
    decompressed content; ``held_out`` is the size of the validation split.
    """

    title: str
    mirrors: tuple[str, ...]
    files: dict[str, tuple[int, str]]
    held_out: int = 5_000


_TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
_TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_SIZES = (47_040_016, 60_008, 7_840_016, 10_008)


def _files(*checksums: str) -> dict[str, tuple[int, str]]:
    pairs = zip(_SIZES, checksums, strict=True)
    return dict(zip((*_TRAIN, *_TEST), pairs, strict=True))


SOURCES = {
    # Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0.
    "mnist": Source(
        "MNIST",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        _files(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    # H. Xiao, K. Rasul, R. Vollgraf (2017), Zalando Research; MIT.
    "fashion_mnist": Source(
        "Fashion-MNIST",
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
            "master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        _files(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
}


def mnist(
    split: str = "train", values: str = "grey", folder: str | Path | None = None
) -> Split:
    """Handwritten digits, 28×28 pixels, of the MNIST database.

    The first call downloads 2 (test) or 10 MB into ``data/cache``, unless a folder of
    yours has the files. ``x, y = mnist("test")`` is all it takes. A file that arrived
    is kept; one whose download was interrupted leaves nothing and starts afresh with
    the next call (finished files are not fetched again, halves are not continued).

    Parameters
    ----------
    split
        ``"train"`` (the first 55 000 images of the training file), ``"validation"``
        (its last 5 000) or ``"test"`` (10 000); fixed.
    values
        ``"grey"``: the 256 grey levels, scaled to [0, 1]. ``"binary"``: 0 or 1, a pixel
        is 1 where its grey is at least one half. (Results in papers are often for
        pixels *drawn* with the grey as probability: another data set, other numbers.)
    folder
        A folder that holds ``mnist/train-images-idx3-ubyte.gz`` and so on, instead of
        the one that the environment variable ``VAE_COURSE_DATA`` names. What it lacks
        is looked for in the cache, then downloaded.

    Returns
    -------
    Split
        ``x`` float32 (N, 784), rows of pixels from top to bottom; ``y`` int64 (N,).

    Raises
    ------
    ValueError
        If ``split`` or ``values`` is none of these, or a file in your folder does not
        have the known content.
    FileNotFoundError
        If ``folder`` does not exist.
    ConnectionError
        If the files are not here and no mirror gives them; names what works offline.

    Notes
    -----
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998), Gradient-based learning
    applied to document recognition.
    """
    return _read_split("mnist", split, values, folder)


def fashion_mnist(
    split: str = "train", values: str = "grey", folder: str | Path | None = None
) -> Split:
    """Pieces of clothing, 28×28 pixels, of Fashion-MNIST.

    As `mnist` in every argument, result and error, in ``fashion_mnist/``; the downloads
    are 4 (test) and 26 MB. The classes are 0 T-shirt, 1 trouser, 2 pullover, 3 dress,
    4 coat, 5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 ankle boot.

    Notes
    -----
    H. Xiao, K. Rasul and R. Vollgraf (2017), Fashion-MNIST: a novel image dataset for
    benchmarking machine learning algorithms.
    """
    return _read_split("fashion_mnist", split, values, folder)


def parse_idx(content: bytes) -> np.ndarray:
    """Read the idx format: two zero bytes, a type, the number of axes, their sizes.

    Parameters
    ----------
    content
        A whole file, decompressed, whose values are unsigned bytes.

    Returns
    -------
    ndarray
        uint8, of the shape the file names.

    Raises
    ------
    ValueError
        If the content is no such file, or has fewer or more values than its header
        says.

    Examples
    --------
    >>> header = bytes([0, 0, 8, 2]) + bytes([0, 0, 0, 2]) + bytes([0, 0, 0, 3])
    >>> parse_idx(header + bytes(range(6)))
    array([[0, 1, 2],
           [3, 4, 5]], dtype=uint8)
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(
            f"the content begins with {content[:4]!r}; expected two zero bytes, a type "
            "and a number of axes, as idx files do"
        )
    kind, axes = content[2], content[3]
    if kind != _UNSIGNED_BYTE:
        raise ValueError(f"the values have type 0x{kind:02x}; expected 0x08, bytes")
    start = 4 + 4 * axes
    if axes == 0 or len(content) < start:
        raise ValueError(f"the header ends early: it should name {axes} sizes")
    shape = tuple(
        int.from_bytes(content[place : place + 4], "big")
        for place in range(4, start, 4)
    )
    expected = 1
    for size in shape:
        expected *= size
    if len(content) - start != expected:
        raise ValueError(
            f"there are {len(content) - start} values; expected {expected} for the "
            f"shape {shape} in the header"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


# --- from files to tensors ----------------------------------------------------------


def _read_split(name: str, split: str, values: str, folder: str | Path | None) -> Split:
    one_of(SPLITS, split=split)
    one_of(VALUES, values=values)
    source = SOURCES[name]
    images, labels = (
        parse_idx(_content(name, file, folder))
        for file in (_TEST if split == "test" else _TRAIN)
    )
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise ValueError(
            f"the images of {source.title} have shape {images.shape}, its labels "
            f"{labels.shape}; expected (N, H, W) and (N,)"
        )
    if split != "test":
        border = len(images) - source.held_out
        rows = slice(None, border) if split == "train" else slice(border, None)
        images, labels = images[rows], labels[rows]
    x = torch.tensor(images.reshape(len(images), -1), dtype=torch.float32) / 255.0
    y = torch.tensor(labels, dtype=torch.int64)
    return Split((x >= 0.5).float() if values == "binary" else x, y)


def _content(name: str, file: str, folder: str | Path | None) -> bytes:
    """Return a file's decompressed, verified content, from the first place that has it.

    A wrong file in the reader's own folder is an error and stays; one in the cache is
    removed and fetched again.
    """
    source = SOURCES[name]
    size, checksum = source.files[file]
    own = _own_folder(folder)
    if own is not None and (mine := own / name / f"{file}.gz").is_file():
        return _verified(mine, size, checksum)
    cached = cache_folder() / name / f"{file}.gz"
    if cached.is_file():
        try:
            return _verified(cached, size, checksum)
        except ValueError:
            cached.unlink(missing_ok=True)
    return _download(source, cached, size, checksum)


def _own_folder(folder: str | Path | None) -> Path | None:
    said, what = folder, "folder"
    if said is None:
        said, what = os.environ.get(VARIABLE) or None, VARIABLE
    if said is None:
        return None
    own = Path(said).expanduser()
    if not own.is_dir():
        raise FileNotFoundError(
            f"{what} is {said}, which is no folder; expected one that holds "
            f"{' and '.join(f'{name}/' for name in SOURCES)} with .gz files"
        )
    return own


def cache_folder() -> Path:
    """Return where downloads are kept: ``data/cache`` of the course.

    Where the package lies without the course's folder, the user's own cache folder.
    """
    data = ROOT / "data"
    if (data / "README.md").is_file():
        return data / "cache"
    import pooch

    return Path(pooch.os_cache("vae-course"))


def _verified(path: Path, size: int, checksum: str) -> bytes:
    try:
        with gzip.open(path) as file:
            content = file.read(size + 1)  # one more would be too many
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is cut short or no gzip file ({error})") from error
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ValueError(
            f"the content of {path} is not the known one (its SHA-256 differs): the "
            "file is damaged or another data set; delete it or put the right one there"
        )
    return content


def _download(source: Source, path: Path, size: int, checksum: str) -> bytes:
    """Fetch a file from the first mirror that gives the right content, and keep it.

    It arrives in a temporary folder beside its place and is moved there, in one step,
    once its content is verified.
    """
    failures = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=path.parent, prefix=".arriving-")
    except OSError as error:
        raise OSError(
            f"cannot write downloads into {path.parent} ({error}); set {VARIABLE} to a "
            "folder that holds the files"
        ) from error
    with temporary as arriving:
        for mirror, address in _addresses(source, path.name):
            try:
                arrived = _fetch(address, Path(arriving))
                content = _verified(arrived, size, checksum)
            except ValueError as error:  # not the right content
                said = str(error).replace(f"{arriving}{os.sep}", "")
                failures.append(f"{mirror}: {said}")
            except OSError as error:  # no network, no such file, cut short
                failures.append(f"{mirror}: {type(error).__name__}")
            else:
                arrived.chmod(0o644)  # others may share this cache
                os.replace(arrived, path)
                return content
    raise ConnectionError(_offline(source, path.name, failures))


def _addresses(source: Source, file: str) -> Iterator[tuple[str, str]]:
    for mirror in source.mirrors:
        yield mirror, f"{mirror}{file}"


def _fetch(address: str, folder: Path) -> Path:
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it would print the checksum of the gzip file
    try:
        return Path(
            pooch.retrieve(
                address,
                known_hash=None,  # the content's is verified instead
                fname=f"{hashlib.sha256(address.encode()).hexdigest()[:8]}.gz",
                path=folder,
                downloader=pooch.HTTPDownloader(timeout=PATIENCE, chunk_size=1 << 16),
            )
        )
    finally:
        logger.setLevel(level)


def _offline(source: Source, file: str, failures: list[str]) -> str:
    tried = "".join(f"\n  {failure}" for failure in failures)
    return (
        f"{source.title} is not on this computer, and no mirror gave {file}:{tried}\n"
        "Without a network, what is embedded still works: data.digits, data.patches. "
        f"Or set {VARIABLE} to a folder that holds "
        f"{'/ and '.join(SOURCES)}/ with the .gz files."
    )
