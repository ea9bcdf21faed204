"""How a wrong answer is related to the right one."""

import torch

from course_utils.grading.relations import relation


def test_a_right_answer_has_no_relation_to_the_right_one():
    """Positive numbers are their own absolute values: that explains no mistake."""
    want = torch.tensor([1.0, 2.0])
    assert relation(("x",), [((want,), want.clone(), want)]) is None
    wrong = torch.tensor([1.0, -2.0])
    said = relation(("x",), [((wrong,), wrong.abs(), wrong)])
    assert said == "the absolute value of the expected one"
