"""Two widgets for lessons: a question before the run, and sliders over a picture.

Both put *one* output into the notebook. It holds three views of the same thing: the
live widget, a static page that teaches without it (an export, a code-hosting site, a
notebook that was not run), and plain text. A reader sees the best one that works.
"""

from course_utils.widgets.pictures import picture
from course_utils.widgets.prediction import Prediction, predict
from course_utils.widgets.sliders import Explorer, explorer

__all__ = ["Explorer", "Prediction", "explorer", "picture", "predict"]
