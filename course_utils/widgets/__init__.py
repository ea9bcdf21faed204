"""Widgets: a question before the run, sliders over a picture, the quiz on a part.

Each puts *one* output into the notebook. It holds three views of the same thing: the
live widget, a static page that teaches without it (an export, a code-hosting site, a
notebook that was not run), and plain text. A reader sees the best one that works.
"""

from course_utils.widgets.pictures import picture
from course_utils.widgets.prediction import Prediction, predict
from course_utils.widgets.quiz import Question, Quiz, quiz_on
from course_utils.widgets.sliders import Explorer, explorer

__all__ = [
    "Explorer",
    "Prediction",
    "Question",
    "Quiz",
    "explorer",
    "picture",
    "predict",
    "quiz_on",
]
