"""What every test gets: one thread, a fixed order of hypothesis, a place for files."""

import os
from pathlib import Path

import pytest

# Before torch is imported: the tests run several at a time on few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "course",
    deadline=None,  # a slow machine is no failure
    derandomize=True,  # the same examples on every machine
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("course")

ROOT = Path(__file__).resolve().parent.parent


def rand(*shape, seed=0):
    """Draw float64 numbers from N(0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the course."""
    return ROOT
