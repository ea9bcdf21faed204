"""Losses of public projects: the linter is right or undecided, never sure and wrong.

Each loss is a formula, retyped, with its project and author; each has what is true of
it. A finding may be certain only if it holds, β is stated only where there is one, and
"nothing to look at" is said only where nothing is.
"""

import pytest
from public_likelihoods import LIKELIHOODS
from public_mixed import MIXED
from public_plain import PLAIN
from public_rates import RATES

from course_utils.linter import inspect_loss

LOSSES = {loss.by: loss for loss in (*PLAIN, *MIXED, *RATES, *LIKELIHOODS)}


def test_every_loss_is_there_once():
    lists = (PLAIN, MIXED, RATES, LIKELIHOODS)
    assert len(LOSSES) == sum(map(len, lists)) >= 90


@pytest.mark.parametrize("by", LOSSES)
def test_never_certain_and_wrong(by):
    public = LOSSES[by]
    report = inspect_loss(public.loss, **public.settings)
    certain = {finding.name for finding in report.findings if finding.certain}
    assert certain <= {*public.says, *public.may}, str(report)
    assert {*public.says} <= {*report.names}, str(report)
    if public.beta is None:
        assert report.beta is None and not report.ok, str(report)
        return
    assert report.beta == pytest.approx(public.beta, rel=1e-3), str(report)
    if public.beta == public.settings.get("beta", 1.0) and not public.says:
        assert report.ok, str(report)  # in order, and told so
