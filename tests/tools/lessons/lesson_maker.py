"""A small lesson in good order, for tests which then break it."""

import base64
import io
import struct

from nbformat import NotebookNode
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
)
from PIL import Image

from tools.lessons.normalise import normalise

ALT = "A curve which rises from left to right and levels off near one"
PARTS = ["Assumptions", "Before you start", "Common mistakes", "Summary", "References"]

OPENING = (
    "**The question.** What? **You can** do it. **You need** nothing.\n\n"
    "**Time.** About ? minutes for the core path, ? for the deeper sections."
)
QUESTIONS = "<details><summary>Answer</summary>Yes.</details>\n" * 2


def points_of(name: str) -> float:
    """Two points for every exercise, whatever its name."""
    return 2.0


def picture(width: int = 8, height: int = 8) -> str:
    """A PNG as base64."""
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, format="PNG")
    data = buffer.getvalue()
    assert struct.unpack(">II", data[16:24]) == (width, height)
    return base64.b64encode(data).decode()


def figure(alt: str = ALT, **size: int) -> str:
    """A figure as `plots.show` writes it."""
    source = f"data:image/png;base64,{picture(**size)}"
    return (
        f'<figure><img alt="{alt}" src="{source}"><figcaption>x</figcaption></figure>'
    )


def printed(text: str) -> list[NotebookNode]:
    return [new_output("stream", name="stdout", text=text)]


def shown(**data: str) -> list[NotebookNode]:
    named = {key.replace("_", "/"): value for key, value in data.items()}
    return [new_output("display_data", data=named)]


def solution(name: str) -> NotebookNode:
    return new_code_cell(
        f"def {name}(x):\n"
        f'    """Do {name}."""\n'
        "    ### BEGIN SOLUTION\n"
        f"    secret_of_{name} = x.sum(dim=-1) * 2\n"
        f"    return secret_of_{name}\n"
        "    ### END SOLUTION",
        execution_count=1,
    )


def check_cell(name: str) -> NotebookNode:
    cell = new_code_cell(f'{name} = check({name})\npoints("{name}")', execution_count=1)
    cell.outputs = shown(text_html="<table></table>", text_plain=f"{name}: 2 points")
    return cell


def raw_lesson() -> NotebookNode:
    """The lesson before it is normalised."""
    cells = [new_markdown_cell(f"# 01 · A small lesson\n\n{OPENING}")]
    for part in PARTS:
        words = QUESTIONS if part == "Before you start" else "Some words."
        cells.append(new_markdown_cell(f"## {part}\n\n{words}"))
    for number in range(5):
        cell = new_code_cell(f"# Fact {number}\nprint({number})", execution_count=1)
        cell.metadata["tags"] = ["nbval-check-output"]
        cell.outputs = printed(f"{number}\n")
        cells.append(cell)
    for name in ("alpha", "beta"):
        cells += [solution(name), check_cell(name)]
    cells.append(
        new_code_cell(
            "# A curve\nplots.show(fig, alt=words)",
            execution_count=1,
            metadata={"tags": ["expected-picture"]},
            outputs=shown(text_html=figure(), text_plain=ALT),
        )
    )
    cells.append(new_markdown_cell("## Next\n\n[Above](#Assumptions)."))
    return new_notebook(cells=cells)


def good_lesson() -> NotebookNode:
    """The lesson in its normal form; it keeps every rule."""
    return normalise(raw_lesson(), "01_small", points_of=points_of)


def cell_of(nb: NotebookNode, name: str) -> NotebookNode:
    return next(cell for cell in nb.cells if cell.id == name)
