"""The dSprites archive, if you have it: read lazily, and without unpickling anything.

What is true of its file: an ``.npz`` is a zip of arrays, and the pictures in it are
compressed as one piece. No single picture can be read, nor can the file be mapped into
memory (``np.load`` ignores ``mmap_mode`` for it); reading the pictures means unpacking
all of them, 3.0 GB. So the first call unpacks them once, a few at a time, into a file
of one bit per pixel (377 MB), and that file is mapped into memory.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from course_utils.data.factors import FactorGrid, archive_levels
from course_utils.data.mnist import VARIABLE, cache_folder

FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
SIZE = 64
_AT_ONCE = 2048  # pictures unpacked together: 8 MB


class DSprites(FactorGrid):
    """The pictures of the archive; in all else as `course_utils.data.sprites.Sprites`.

    Made by `dsprites`. ``archive[index]`` reads those pictures only.
    """

    def __init__(self, packed: np.ndarray, levels: Sequence[Tensor], size: int) -> None:
        super().__init__(levels, size)
        self._packed = packed  # uint8 (N, size·size/8), mapped from the disk

    def _pictures(self, rows: Tensor) -> Tensor:
        packed = np.asarray(self._packed[rows.numpy()])
        bits = np.unpackbits(packed, axis=1, count=self.size * self.size)
        return torch.from_numpy(bits).float()


def dsprites(folder: str | Path | None = None) -> DSprites:
    """Open the dSprites archive: 737 280 binary pictures of 64×64 pixels.

    The course does not download it. The first call unpacks the pictures into
    ``data/cache/dsprites`` (377 MB), which takes seconds to a minute and less than
    500 MB of memory; later calls open that file at once.

    Parameters
    ----------
    folder
        The folder that holds the archive, itself or in ``dsprites/``, instead of the
        one that the environment variable ``VAE_COURSE_DATA`` names. What it lacks is
        looked for in ``data/cache``.

    Returns
    -------
    DSprites
        ``x, factors = archive[rows]`` with x float32 (N, 4096), 0 or 1; also
        ``.factors``, ``.index``, ``.sample`` and ``.split``.

    Raises
    ------
    FileNotFoundError
        If the archive is not there; says what works without it.
    ValueError
        If the file is damaged, or its arrays are not those of the archive.
    OSError
        If the cache cannot be written.

    Notes
    -----
    L. Matthey, I. Higgins, D. Hassabis and A. Lerchner (2017), dSprites:
    Disentanglement testing Sprites dataset. Its description says that all pictures
    differ; its orientations are 40 values from 0 to 2π inclusive, though, and the first
    and the last are the same angle.
    """
    return open_archive(_find(folder), archive_levels(), SIZE)


def open_archive(path: Path, levels: Sequence[Tensor], size: int) -> DSprites:
    """Open an archive of dSprites' kind, of whichever levels and size.

    Parameters
    ----------
    path
        The ``.npz`` file, with ``imgs``, ``latents_classes`` and ``latents_values``.
    levels
        The values that its factors should have, six tensors.
    size
        The side that its pictures should have, in pixels.

    Raises
    ------
    ValueError
        If the file is damaged or holds something else.
    OSError
        If the cache cannot be written.
    """
    grid = FactorGrid(levels, size)
    try:
        with zipfile.ZipFile(path) as archive:
            checksum = _member(archive, "imgs").CRC
            packed = cache_folder() / "dsprites" / f"imgs-{checksum:08x}.npy"
            pictures = _mapped(packed, grid)
            if pictures is None:
                _check_latents(archive, grid)
                _pack(archive, packed, grid)
                pictures = _mapped(packed, grid)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is cut short or no npz file ({error})") from error
    if pictures is None:
        raise OSError(f"cannot read back what was written into {packed}")
    return DSprites(pictures, levels, size)


def _find(folder: str | Path | None) -> Path:
    said, what = folder, "folder"
    if said is None:
        said, what = os.environ.get(VARIABLE) or None, VARIABLE
    places = [cache_folder() / "dsprites", cache_folder()]
    if said is not None:
        own = Path(said).expanduser()
        if not own.is_dir():
            raise FileNotFoundError(
                f"{what} is {said}, which is no folder; expected one with {FILE}"
            )
        places = [own / "dsprites", own, *places]
    for place in places:
        if (place / FILE).is_file():
            return place / FILE
    raise FileNotFoundError(
        f"dSprites is not on this computer: no {FILE} in "
        f"{', '.join(str(place) for place in places)}.\n"
        "Without it, sprites.Sprites() works: the same factors in the same order, "
        "drawn by the course.\n"
        f"The course does not download it. If you have it, put it into {places[-2]} or "
        f"name its folder in {VARIABLE}."
    )


# --- the arrays in the file ---------------------------------------------------------


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    try:
        return archive.getinfo(f"{name}.npy")
    except KeyError as error:
        raise ValueError(
            f"{archive.filename} has no array {name}; expected imgs, latents_classes "
            "and latents_values"
        ) from error


def _check_latents(archive: zipfile.ZipFile, grid: FactorGrid) -> None:
    """Refuse an archive whose order or values are not those of the grid.

    The array ``metadata`` is a pickle, which may run anything; it stays unread.
    """
    expected = grid.factors(slice(None))
    for name, want in (
        ("latents_classes", expected.classes.numpy()),
        ("latents_values", expected.values.numpy()),
    ):
        _member(archive, name)
        with archive.open(f"{name}.npy") as file:
            got = npy.read_array(file, allow_pickle=False)
        if got.shape != want.shape:
            raise ValueError(f"{name} has shape {got.shape}; expected {want.shape}")
        if not np.allclose(got, want, rtol=0, atol=1e-6):
            row = int((~np.isclose(got, want, rtol=0, atol=1e-6)).any(1).argmax())
            raise ValueError(
                f"{name} differs from dSprites' at row {row}: {got[row].tolist()}; "
                f"expected {want[row].tolist()}"
            )


def _pack(archive: zipfile.ZipFile, packed: Path, grid: FactorGrid) -> None:
    """Unpack the pictures into a file of one bit per pixel, whole or not at all."""
    try:
        packed.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=packed.parent, prefix=".arriving-")
    except OSError as error:
        raise OSError(f"cannot write into {packed.parent} ({error})") from error
    with temporary as folder, archive.open("imgs.npy") as file:
        _check_header(file, (len(grid), grid.size, grid.size))
        arriving = Path(folder) / packed.name
        with open(arriving, "wb") as target:
            header = {"descr": "|u1", "fortran_order": False, "shape": _shape(grid)}
            npy.write_array_header_1_0(target, header)
            for first in range(0, len(grid), _AT_ONCE):
                count = min(_AT_ONCE, len(grid) - first)
                pixels = _read(file, count * grid.size**2).reshape(count, -1)
                if pixels.max() > 1:
                    raise ValueError("imgs has values above 1; expected 0 and 1")
                target.write(np.packbits(pixels, axis=1).tobytes())
            if file.read(1):  # at the end the checksum is compared
                raise ValueError("imgs goes on after its last picture")
        os.replace(arriving, packed)


def _check_header(file: IO[bytes], want: tuple[int, ...]) -> None:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version[0] == 1 else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if shape != want or dtype != np.uint8 or fortran:
        order = "columns first" if fortran else "rows first"
        raise ValueError(
            f"imgs has shape {shape}, type {dtype}, {order}; expected {want}, uint8, "
            "rows first"
        )


def _read(file: IO[bytes], count: int) -> np.ndarray:
    content = file.read(count)
    if len(content) < count:
        raise EOFError("imgs ends early")
    return np.frombuffer(content, np.uint8)


def _shape(grid: FactorGrid) -> tuple[int, int]:
    return len(grid), -(-(grid.size**2) // 8)


def _mapped(packed: Path, grid: FactorGrid) -> np.ndarray | None:
    """Map the unpacked pictures into memory; None where they are not, or not whole."""
    try:
        pictures = np.load(packed, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = pictures.shape == _shape(grid) and pictures.dtype == np.uint8
    return pictures if whole else None
