"""What the widgets share: their texts, and one output of three views."""

from __future__ import annotations

import html
import re
from typing import Any

import ipywidgets

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def checked_text(value: object, what: str) -> str:
    """Return a text without space around it; refuse an empty one."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} must be a non-empty string, got {value!r}")
    return value.strip()


def as_html(text: str) -> str:
    """Protect the < and > of formulas: in `$p < q$` they are no HTML tags."""

    def escape(match: re.Match[str]) -> str:
        return match.group().replace("<", "&lt;").replace(">", "&gt;")

    return re.sub(r"\$\$[^$]+\$\$|\$[^$\n]+\$", escape, text)


def as_plain(text: str) -> str:
    """Return the text without HTML tags, for the plain view and for screen readers."""
    raised = as_html(text).replace("<sup>", "^")
    lowered = raised.replace("<sub>", "_")
    without_tags = re.sub(r"</?[a-zA-Z][^<>]*>", "", lowered)
    return html.unescape(without_tags)


def three_views(widget: ipywidgets.Widget, page: str, text: str) -> dict[str, Any]:
    """Key the live view, the static page and the plain text by mime type."""
    view = widget._repr_mimebundle_()[WIDGET_VIEW]
    return {WIDGET_VIEW: view, "text/html": page, "text/plain": text}
