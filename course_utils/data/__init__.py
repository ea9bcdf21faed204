"""The data: what is embedded, what is drawn, and what is downloaded once."""

from course_utils.data.embedded import (
    Split,
    digits,
    patches,
    photo_region,
    photographs,
)

__all__ = ["Split", "digits", "patches", "photo_region", "photographs"]
