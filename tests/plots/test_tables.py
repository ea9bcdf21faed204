"""Tables say the same as HTML and as text; verdicts come last."""

import re

import numpy as np
import pytest
import torch

from course_utils import plots

ROWS = [["ours", 3, torch.tensor(1.234), True], ["theirs", 12, 10.5, False]]
COLUMNS = ["loss", "K", "nats", "below 2"]


def test_a_table_is_aligned_text_numbers_to_the_right():
    assert repr(plots.as_table(ROWS, COLUMNS)).splitlines() == [
        "loss     K   nats  below 2",
        "ours     3   1.23  yes",
        "theirs  12  10.50  no",
    ]


def test_a_table_is_html_with_the_same_cells():
    page = plots.as_table(ROWS, COLUMNS, caption="a < b")._repr_html_()
    assert re.findall(r"<t[hd] [^>]*>([^<]*)<", page) == [
        *COLUMNS, "ours", "3", "1.23", "yes", "theirs", "12", "10.50", "no",
    ]  # fmt: skip
    assert "a &lt; b" in page
    assert plots.as_table([["<b>"]], ["x"])._repr_html_().count("<b>") == 0


def test_each_column_may_have_its_own_format():
    rows = [[0.5, 1e-7, 0.123], [np.float64(0.25), np.float32(2e-7), torch.tensor(0.5)]]
    table = plots.as_table(rows, ["a", "b", "c"], digits=[1, ".0e", ".0%"])
    assert table.rows == [["0.5", "1e-07", "12 %"], ["0.2", "2e-07", "50 %"]]


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["1.0", "−2.5", "1e-07"], True),
        (["1.0 ± 0.2", "3.0 ± 0.1 %"], True),
        (["12 %", "", "nan", "-inf"], True),
        (["200 worlds", "1"], False),
        (["1.0", "no seed"], False),
        (["mean", "1"], False),
    ],
)
def test_a_column_is_flush_right_where_it_holds_numbers_alone(cells, numeric):
    table = plots.as_table([[cell] for cell in cells], ["x"])
    assert ("text-align:right" in table._repr_html_()) is numeric


@pytest.mark.parametrize(
    ("rows", "columns", "digits", "said"),
    [
        ([], ["a"], 2, "there is no row"),
        ([[1], [1, 2]], ["a"], 2, "row 1 has 2 cells; expected 1, one for each of a"),
        ([[1, 2]], ["a", "b"], [1], "digits has 1 entries; expected 2"),
        ([[True, 2.0]], ["ok", "x"], 2, "verdicts of 'ok' stand before numbers"),
        ([[np.True_, 2.0]], ["ok", "x"], 2, "verdicts of 'ok' stand before numbers"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(rows, columns, digits, said):
    with pytest.raises(ValueError, match=said):
        plots.as_table(rows, columns, digits=digits)
