"""The figures of a lesson: words for every one, and a sane size."""

from __future__ import annotations

import base64
import binascii
import struct

from nbformat import NotebookNode

from tools.lessons.reading import code_cells, images_of, named_cells

ALT_LEAST = 40
PICTURE_SIDE_MOST = 2000  # pixels: twice what is shown, for sharp screens


def described_figures(nb: NotebookNode, name: str) -> list[str]:
    """Require words for every figure, where browsers and exports keep them."""
    found = []
    for where, cell in code_cells(nb):
        for output in cell.outputs:
            bare = [
                mime for mime in output.get("data", {}) if mime.startswith("image/")
            ]
            found += [
                f"cell {where!r} stores a bare {mime} without words; use plots.show"
                for mime in bare
            ]
    for where, cell in named_cells(nb):
        for image in images_of(cell):
            alt = image.get("alt", "").strip()
            if len(alt) < ALT_LEAST:
                found.append(
                    f"cell {where!r} has a figure whose alt has {len(alt)} characters, "
                    f"at least {ALT_LEAST}: {alt!r}"
                )
    return found


def picture_sizes(nb: NotebookNode, name: str) -> list[str]:
    """Require pictures of a sane size: at most 2000 pixels a side."""
    found = []
    for where, cell in code_cells(nb):
        for image in images_of(cell):
            sides = _png_sides(image.get("src", ""))
            if max(sides) > PICTURE_SIDE_MOST:
                found.append(f"cell {where!r} has a picture of {sides[0]}×{sides[1]}")
    return found


def _png_sides(source: str) -> tuple[int, int]:
    start = "data:image/png;base64,"
    if not source.startswith(start):
        return 0, 0
    try:
        header = base64.b64decode(source[len(start) : len(start) + 64])
        width, height = struct.unpack(">II", header[16:24])
    except (binascii.Error, struct.error):
        return 0, 0
    return width, height
