"""Where the course's folder is, and how a file is written: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_atomically(path: Path, content: bytes | str) -> None:
    r"""Write a file whole or not at all, readable for everyone.

    It is written under another name in the same folder and takes its own name when it
    is complete: whoever is killed meanwhile leaves the old file as it was. Text is
    written as UTF-8.

    Raises
    ------
    OSError
        If the folder is missing or cannot be written to.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(Path(folder, "a.txt"), "β = 4\n")
    ...     Path(folder, "a.txt").read_text("utf-8")
    'β = 4\n'
    """
    if isinstance(content, str):
        content = content.encode("utf-8")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
