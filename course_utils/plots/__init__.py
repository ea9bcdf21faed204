"""The course's one way of drawing: style, figures with alt text, tables, images."""

from course_utils.plots.codes import quantile_grid, scatter_digits
from course_utils.plots.curves import history
from course_utils.plots.figures import SHORTEST_ALT, Figure, redrawn, render, show
from course_utils.plots.images import as_images, image_rows, tiles
from course_utils.plots.style import (
    CLASSES,
    COLOURS,
    CYCLE,
    DIVERGING,
    IMAGES,
    SEQUENTIAL,
    TERMS,
    use_style,
)
from course_utils.plots.tables import Table, as_table, table

__all__ = [
    "CLASSES",
    "COLOURS",
    "CYCLE",
    "DIVERGING",
    "Figure",
    "IMAGES",
    "SEQUENTIAL",
    "SHORTEST_ALT",
    "TERMS",
    "Table",
    "as_images",
    "as_table",
    "history",
    "image_rows",
    "quantile_grid",
    "redrawn",
    "render",
    "scatter_digits",
    "show",
    "table",
    "tiles",
    "use_style",
]
