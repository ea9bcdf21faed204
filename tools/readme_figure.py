"""Copy the figure of the README out of lesson 03, so that the two stay the same."""

import base64
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LESSON = ROOT / "notebooks" / "03_holes_in_latent_space.ipynb"
BEGINS = "The plane of seed 0"  # of the figure's alt text
TARGET = ROOT / "docs" / "latent_plane.png"


def figure(lesson: Path, begins: str) -> bytes:
    """Return the PNG whose alt text begins so."""
    for cell in json.loads(lesson.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            page = "".join(output.get("data", {}).get("text/html", ""))
            found = re.search(
                rf'<img alt="{re.escape(begins)}[^>]*base64,([^"]+)"', page
            )
            if found:
                return base64.b64decode(found.group(1))
    raise SystemExit(f"{lesson.name} has no figure whose alt text begins {begins!r}")


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(figure(LESSON, BEGINS))
    sys.stdout.write(f"wrote {TARGET.relative_to(ROOT)}\n")
