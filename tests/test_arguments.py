"""Arguments that do not fit are refused with what was wrong and what was expected."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.arguments import matrix, one_of, whole_number, whole_numbers

NO_WHOLE_NUMBERS = [True, 2.0, "2", None, np.float64(2), torch.tensor(2)]


@given(value=st.integers(-5, 9), least=st.integers(-2, 3), more=st.integers(0, 4))
def test_whole_numbers_are_let_through_from_the_least_to_the_most(value, least, more):
    def refused(call):
        try:
            call()
        except ValueError as error:
            return str(error).startswith(f"K is {value}; expected a whole number from")
        return False

    most = least + more
    assert refused(lambda: whole_numbers(least=least, K=value)) == (value < least)
    outside = not least <= value <= most
    assert refused(lambda: whole_number("K", value, least, most)) == outside


@pytest.mark.parametrize("value", NO_WHOLE_NUMBERS)
def test_what_only_looks_like_a_whole_number_is_refused(value):
    with pytest.raises(ValueError, match="D is .*; expected a whole number from 1"):
        whole_numbers(K=3, D=value)
    with pytest.raises(ValueError, match="from 1 to D = 4"):
        whole_number("K", value, 1, 4, "D = ")


def test_a_name_must_be_one_of_the_allowed():
    one_of(("a", "b"), first="a", second="b")
    with pytest.raises(ValueError, match="second is 'c'; expected one of a, b"):
        one_of({"a": 1, "b": 2}, first="a", second="c")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([[1.0]], "z is list; expected a tensor of floating point"),
        (torch.ones(2, 2, dtype=torch.int64), "z is torch.int64; expected a tensor of"),
        (torch.ones(3), r"z has shape \(3,\); expected \(N, K\), neither of them 0"),
        (torch.ones(0, 3), r"z has shape \(0, 3\); expected \(N, K\)"),
        (torch.tensor([[torch.nan]]), "z holds NaN or infinite values"),
        (torch.tensor([[-torch.inf]]), "z holds NaN or infinite values"),
    ],
)
def test_a_matrix_is_of_floats_finite_and_not_empty(value, said):
    with pytest.raises(ValueError, match=said):
        matrix("z", value, "(N, K)")


def test_a_good_matrix_comes_back_as_it_is():
    z = torch.randn(3, 2, dtype=torch.float64)
    assert matrix("z", z) is z
