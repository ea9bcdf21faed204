"""Long runs on a Dask cluster: the same numbers, and no port that others can reach."""

import json

import psutil
import pytest
from dask.distributed import LocalCluster

from course_utils.experiments import few_labels, sweeps
from tools.sweeps import cluster

TINY = sweeps.Sweep(
    name="tiny", losses=("beta-VAE",), betas=(1.0, 4.0), seeds=(0,), size=8,
    scales=2, positions=6, hidden=(8,), epochs=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler with two workers, processes of their own."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # 8787 may be taken
    ) as workers:
        yield workers.scheduler_address


def refuse(*given):
    raise AssertionError("this was to run on the cluster")


def test_a_sweep_finds_the_numbers_of_one_process(scheduler, tmp_path, monkeypatch):
    here = sweeps.run(TINY, workers=1, folder=tmp_path / "here")
    monkeypatch.setattr(sweeps, "train", refuse)  # in this process alone
    with cluster(scheduler) as jobs:
        there = sweeps.run(TINY, workers=jobs, folder=tmp_path / "there")
    for mine, theirs in zip(here.entries, there.entries, strict=True):
        assert mine.run == theirs.run
        assert mine.scores == pytest.approx(theirs.scores, abs=1e-3)
        assert mine.kl == pytest.approx(theirs.kl, abs=1e-3)
    names = [
        {file.name for file in (tmp_path / d).iterdir()} for d in ("here", "there")
    ]
    assert names[0] == names[1]


@pytest.mark.long
def test_runs_with_few_labels_go_there_too(scheduler, tmp_path, monkeypatch):
    here = few_labels.run(10, 0)["named"]
    monkeypatch.setattr(few_labels, "train_m2", refuse)
    with cluster(scheduler) as jobs:
        world, place = few_labels.DIGITS, tmp_path / "few.json"
        few_labels.run_all(world, [10], [0], place, workers=jobs)
    there = json.loads(place.read_text())["runs"]["10/0"]["named"]
    assert set(there) == set(here)
    assert all(abs(there[name] - here[name]) <= 3 for name in here)


def test_every_port_is_of_this_machine_alone(scheduler):
    me = psutil.Process()
    family = [me, *me.children(recursive=True)]
    open_to = {
        connection.laddr.ip
        for process in family
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert open_to == {"127.0.0.1"}
