"""Each test draws on a clean slate, and leaves no figure open."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def clean():
    mpl.use("agg")
    with mpl.rc_context():
        yield
    plt.close("all")
