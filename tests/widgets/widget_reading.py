"""What the tests of the widgets read: pages, pictures, live parts."""

import io
from html.parser import HTMLParser

import numpy as np
from PIL import Image

MIMES = {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"}


class Balanced(HTMLParser):
    """Collects tags and complains when one is closed that was not opened."""

    def __init__(self):
        super().__init__()
        self.stack, self.seen, self.attributes = [], [], {}

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes[tag] = dict(attrs)
        if tag not in {"img", "br"}:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def parsed(page):
    reader = Balanced()
    reader.feed(page)
    reader.close()
    assert reader.stack == []
    return reader


def children(widget, kind):
    found = [widget] if isinstance(widget, kind) else []
    for child in getattr(widget, "children", ()):
        found += children(child, kind)
    return found


def read(png):
    return np.asarray(Image.open(io.BytesIO(png)))
