"""The loss linter: what a variational autoencoder's loss says, by its values.

`inspect_loss` calls a loss ``(x, x_hat, mu, logvar) -> number`` on inputs of its own
and looks at the numbers alone, never at the source. It works on any loss in torch, in
this course or in your own project. It reports which likelihood the reconstruction term
is, how each term is summed or averaged, how ``logvar`` is read, the sign of the KL, and
the *effective β*: rescale the loss until its reconstruction term is the negative
log-likelihood it stands for; the factor left on the KL is the β that you run.

How the two terms are taken apart: the reconstruction is what changes with ``x_hat``,
the KL is what changes with ``mu`` and ``logvar``. Constants drop out of all
differences, as they do out of training. Each shape is fitted by least squares at equal
inputs. Then random points are asked whether the terms, the examples and the latents add
up, and whether the fitted formula predicts the loss. What they do not bear out is not
stated: a total correlation, a mask or another prior leaves β untold. A finding without
a question mark has no harmless reading.
"""

from course_utils.linter.inspection import inspect_loss
from course_utils.linter.report import Finding, LossReport

__all__ = ["Finding", "LossReport", "inspect_loss"]
