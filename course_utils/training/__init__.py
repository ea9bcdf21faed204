"""Training: one loop for any model and loss, and one for several seeds at once."""

from course_utils.models import reconstruction_loss
from course_utils.training.fit import (
    History,
    TrainingStopped,
    evaluate,
    evaluate_terms,
    fit,
)
from course_utils.training.minimise import minimise
from course_utils.training.side_by_side import fit_side_by_side

__all__ = [
    "History",
    "TrainingStopped",
    "evaluate",
    "evaluate_terms",
    "fit",
    "fit_side_by_side",
    "minimise",
    "reconstruction_loss",
]
