"""Sweeps: each run once, kept whole, refused when it is of another configuration."""

import dataclasses
import json
import os

import joblib
import pytest
import torch
from joblib._parallel_backends import SequentialBackend

from conftest import ROOT
from course_utils.experiments import sweeps
from course_utils.experiments.sweeps import (
    LOSSES,
    SCORES,
    SWEEPS,
    Damaged,
    Run,
    Sweep,
    load,
    run,
    train,
)
from course_utils.metrics import disentanglement
from course_utils.models import VAE
from course_utils.objectives import bernoulli_log_prob, gaussian_kl

TINY = Sweep(
    name="tiny", betas=(0.5, 4.0), seeds=(0, 1), size=8, shapes=("square", "heart"),
    scales=2, positions=6, K=3, hidden=(16,), epochs=12, batch_size=16, lr=1e-2,
    weights_of=tuple((loss, beta, 0) for loss in LOSSES for beta in (0.5, 4.0)),
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny sweep on the disk, and what `run` returned."""
    folder = tmp_path_factory.mktemp("sweep")
    return folder, run(TINY, workers=1, folder=folder)


@pytest.fixture
def copied(made, tmp_path):
    """A copy that a test may damage, and what it holds."""
    for file in made[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path, made[1]


@pytest.fixture
def trained(monkeypatch):
    """The runs that are trained from now on, in this process."""
    seen = []

    def counted(sweep, *one):
        seen.append(Run(*one))
        return train(sweep, *one)

    monkeypatch.setattr(sweeps, "train", counted)
    return seen


# --- what one run says --------------------------------------------------------------


def test_the_scores_are_those_of_the_model():
    longer = dataclasses.replace(TINY, epochs=40)  # until z says something
    model, entry, codes = train(longer, "beta-TCVAE", 0.5, seed=1)
    grid = TINY.grid()
    test = grid[grid.split("test")].x
    with torch.no_grad():
        mu, logvar = model.encode(test)
        rate = gaussian_kl(mu, logvar).mean()
        generator = torch.Generator().manual_seed(7)
        eps = torch.randn(2000, *mu.shape, generator=generator)
        z = (mu + torch.exp(logvar / 2) * eps).flatten(0, 1)
        logits = model.decode(z).logits
        distortion = -bernoulli_log_prob(test.repeat(2000, 1), logits)
        mu, logvar = (given.half().float() for given in model.encode(grid[:].x))
    assert torch.equal(codes.mu, mu) and torch.equal(codes.logvar, logvar)
    z = sweeps.used_means(mu)
    assert z.any(), "otherwise all scores are those of no code"
    assert set(entry.scores) == set(SCORES) and len(entry.kl) == 3
    assert entry.scores["rate"] == pytest.approx(rate.item(), abs=1e-4)
    assert sum(entry.kl) == pytest.approx(rate.item(), abs=1e-4)
    deviation = distortion.reshape(2000, -1).mean(1).std()  # of a mean over the test
    error = 5 * deviation.item() / sweeps.DRAWS**0.5
    assert entry.scores["distortion"] == pytest.approx(
        distortion.mean().item(), abs=error
    )
    factors = grid.factors(slice(None)).classes[:, [1, 2, 4, 5]]
    assert list(entry.gaps) == ["shape", "scale", "pos_x", "pos_y"]
    assert entry.scores["MIG"] == pytest.approx(
        disentanglement.mig(z, factors), abs=1e-6
    )
    for name, found in {
        "MIG of raw means": disentanglement.mig(mu, factors, 20, "width"),
        "MIG of samples": disentanglement.mig(mu, factors, logvar=logvar),
    }.items():
        assert entry.scores[name] == pytest.approx(found, abs=1e-6)
    assert sum(entry.gaps.values()) / 4 == pytest.approx(entry.scores["MIG"], abs=1e-5)
    sap = disentanglement.sap(z, factors, categorical=(0,))
    assert entry.scores["SAP"] == pytest.approx(sap, abs=1e-6)


def test_a_unit_is_unused_if_its_mean_hardly_varies():
    mu = torch.tensor([[0.3, 2.2, -9.0], [-0.3, 2.6, -9.1]])  # variances 0.09, 0.04, 0
    assert sweeps.used_means(mu).tolist() == [
        [pytest.approx(0.3), 0, 0], [pytest.approx(-0.3), 0, 0],
    ]  # fmt: skip


@pytest.mark.parametrize("weight", [1.0, 4.0])
def test_the_local_precision_is_that_of_small_steps(weight):
    """How the mean of log p(x|z) over x ~ p(x|z₀) bends at z₀, by differences."""
    torch.manual_seed(1)
    model = VAE(5, 2, hidden=(7,)).double()
    z = torch.tensor([[0.3, -0.8]]).double()
    with torch.no_grad():
        x_hat = model.decode(z).mean[0]
        x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 5)
        p = (x * x_hat + (1 - x) * (1 - x_hat)).prod(1)  # of all 32 pictures

        def mean(step):
            logits = model.decode(z + step).logits
            return p @ bernoulli_log_prob(x, logits.expand(32, -1))

        found = sweeps.local_precision(model, z, weight)[0]
        for way in torch.tensor([[1.0, 0], [0, 1], [1, 1]]).double():
            h = 1e-3 * way
            bend = -(mean(h) - 2 * mean(0 * h) + mean(-h)) / 1e-6
            expected = way @ way + bend / weight
            assert float(way @ found @ way) == pytest.approx(float(expected), rel=1e-4)
    assert (found - torch.eye(2)).abs().max() > 1e-3, "otherwise nothing is compared"


def test_a_run_again_gives_the_same_and_leaves_torch_as_it_was():
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    first, one, codes = train(TINY, "beta-VAE", 0.5, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    second, two, again = train(TINY, "beta-VAE", 0.5, seed=0)
    assert one.scores == two.scores and one.kl == two.kl
    assert all(map(torch.equal, codes, again))
    other, _, _ = train(TINY, "beta-VAE", 0.5, seed=1)
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, second.state_dict()[name])
        assert torch.equal(weights, weights.half().float()), "as it is kept"
        assert not torch.equal(weights, other.state_dict()[name])


def test_a_seed_is_that_of_the_first_weights_too():
    still = dataclasses.replace(TINY, epochs=1, lr=1e-9)
    pair = [train(still, "beta-VAE", 1.0, seed)[0].state_dict() for seed in (0, 1)]
    for name, weights in pair[0].items():
        assert (weights - pair[1][name]).abs().max() > 0.01, name


def test_beta_and_the_loss_matter():
    runs = [("beta-VAE", 0.5), ("beta-VAE", 8.0), ("beta-TCVAE", 8.0)]
    rates = [train(TINY, loss, beta, seed=0)[1].scores["rate"] for loss, beta in runs]
    assert rates[1] < rates[0] and rates[1] < rates[2]


def test_at_beta_1_both_losses_give_the_same_run():
    plain, tc = (train(TINY, loss, 1.0, seed=0)[1:] for loss in LOSSES)
    assert plain[0].scores == tc[0].scores and plain[0].kl == tc[0].kl
    assert all(map(torch.equal, plain[1], tc[1]))


# --- what is kept -------------------------------------------------------------------


def test_what_was_run_is_read_back(made):
    folder, results = made
    again = sweeps._results(TINY, folder)
    assert again == results and [e.run for e in results.entries] == TINY.runs()
    entry = results.entry("beta-TCVAE", 4, seed=1)
    assert results.scores("MIG", "beta-TCVAE")[1, 1] == entry.scores["MIG"]
    assert results.kl("beta-TCVAE")[1, 1].tolist() == list(entry.kl)
    assert results.scores("rate").shape == (2, 2) and results.kl().shape == (2, 2, 3)
    names = {file.name for file in folder.iterdir()}
    assert len(names) == 2 * 8, "scores and codes of each run, nothing else"
    for one in TINY.runs():
        _, _, fresh = train(TINY, *one) if one.seed else (0, 0, results.codes(*one))
        assert all(map(torch.equal, results.codes(*one), fresh))


def test_the_weights_are_those_that_were_measured(made):
    results = made[1]
    model = results.model("beta-VAE", 4.0)
    fresh, _, _ = train(TINY, "beta-VAE", 4.0, seed=0)
    for name, weights in fresh.state_dict().items():
        assert torch.equal(weights, model.state_dict()[name])
    grid = TINY.grid()
    with torch.no_grad():
        mu, logvar = model.encode(grid[grid.split("test")].x)
    rate = gaussian_kl(mu, logvar).mean().item()
    assert results.entry("beta-VAE", 4).scores["rate"] == pytest.approx(rate, abs=1e-4)


@pytest.mark.long
def test_several_processes_give_the_same(made, tmp_path):
    two = dataclasses.replace(TINY, seeds=(0,), losses=("beta-VAE",))
    for entry in run(two, workers=2, folder=tmp_path).entries:
        there = made[1].entry(*entry.run)
        assert entry.scores == pytest.approx(there.scores, abs=1e-3)


def test_the_work_goes_to_the_backend_that_joblib_is_told(tmp_path):
    class Cluster(SequentialBackend):
        given = []

        def configure(self, n_jobs=1, parallel=None, **settings):
            Cluster.given.append(parallel.return_generator)
            return super().configure(n_jobs, parallel, **settings)

    joblib.register_parallel_backend("cluster", Cluster)
    one = dataclasses.replace(TINY, seeds=(0,), betas=(4.0,), losses=("beta-VAE",))
    with joblib.parallel_config(backend="cluster"):
        run(one, workers=None, folder=tmp_path)
    assert Cluster.given == [True], "the runs, and no forest of a metric"


# --- resuming -----------------------------------------------------------------------


def test_what_is_there_is_not_trained_again(copied, trained):
    folder, results = copied
    assert run(TINY, workers=1, folder=folder).entries == results.entries
    assert trained == []


def test_an_interrupted_sweep_goes_on_where_it_was(tmp_path, trained, monkeypatch):
    short = dataclasses.replace(TINY, losses=("beta-VAE",))
    counted = sweeps.train

    def stopping(sweep, *one):
        if len(trained) == 3:
            raise KeyboardInterrupt
        return counted(sweep, *one)

    monkeypatch.setattr(sweeps, "train", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(short, workers=1, folder=tmp_path)
    assert not list(tmp_path.glob(".*")), "no half-written file stays"
    kept = {file.stem for file in tmp_path.glob("*.json")}
    assert len(kept) >= 2 and kept <= {one.file for one in trained}
    trained.clear()
    monkeypatch.setattr(sweeps, "train", counted)
    run(short, workers=1, folder=tmp_path)
    assert {one.file for one in trained} == {one.file for one in short.runs()} - kept


def test_more_seeds_and_betas_train_only_what_is_new(copied, trained):
    folder, _ = copied
    more = dataclasses.replace(TINY, betas=(0.5, 2.0, 4.0), losses=("beta-VAE",))
    run(more, workers=1, folder=folder)
    assert trained == [Run("beta-VAE", 2.0, 0), Run("beta-VAE", 2.0, 1)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 3}, "epochs is 12 there, 3 here"),
        ({"lr": 1e-3}, "lr is 0.01 there, 0.001 here"),
        ({"hidden": (9,)}, r"hidden is \[16\] there, \[9\] here"),
        ({"positions": 5}, "positions is 6 there, 5 here"),
    ],
)
def test_another_configuration_is_refused(copied, trained, change, said):
    folder, _ = copied
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    other = dataclasses.replace(TINY, **change)
    with pytest.raises(
        ValueError, match=rf"json is of another configuration: {said}.*Delete"
    ):
        run(other, workers=1, folder=folder)
    assert trained == []
    assert before == {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("ending", ["json", "safetensors"])
@pytest.mark.parametrize("how", ["gone", "cut", "empty", "altered"])
def test_a_damaged_entry_is_made_anew(copied, trained, ending, how):
    folder, results = copied
    one = Run("beta-VAE", 4.0, 0)
    path = folder / f"{one.file}.{ending}"
    content = path.read_bytes()
    if how == "gone":
        os.unlink(path)
    elif how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif ending == "json":
        said = json.loads(content)
        said["scores"]["MIG"] = 0.99
        path.write_text(json.dumps(said))
    else:
        path.write_bytes(content[:-2] + b"\x01\x02")  # the last number
    with pytest.raises(Damaged, match="make sweeps"):
        sweeps._results(TINY, folder).model("beta-VAE", 4.0)
    again = run(TINY, workers=1, folder=folder)
    assert trained == [one]
    assert again.entry(*one).scores == results.entry(*one).scores
    assert again.model("beta-VAE", 4.0).K == 3


# --- bad input ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"losses": ("vae",)}, "losses name 'vae'"),
        ({"seeds": ()}, "seeds are"),
        ({"betas": (1.0, 1.0)}, "betas are"),
    ],
)
def test_a_sweep_of_nothing_or_of_twins_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(TINY, **change)


def test_what_is_not_there_is_said(made):
    results = made[1]
    with pytest.raises(ValueError, match="no run"):
        results.entry("beta-VAE", 3.0)
    with pytest.raises(ValueError, match="one of distortion"):
        results.scores("mig")
    with pytest.raises(ValueError, match="the sweep has"):
        results.scores("MIG", "FactorVAE")
    with pytest.raises(ValueError, match="weights are kept of the runs"):
        results.model("beta-VAE", 4.0, seed=1)
    with pytest.raises(ValueError, match="expected one of sprites"):
        load("dsprites")
    with pytest.raises(ValueError, match="loss is 'vae'"):
        train(TINY, "vae", 1.0, 0)
    with pytest.raises(ValueError, match="workers is 0"):
        run(TINY, workers=0)


def test_a_missing_cache_names_the_command(tmp_path):
    with pytest.raises(Damaged, match="make sweeps"):
        load("sprites", folder=tmp_path)


# --- the cache of the course --------------------------------------------------------


@pytest.mark.parametrize("name", SWEEPS)
def test_the_cache_is_whole_and_small(name):
    folder = ROOT / "data" / "sweeps" / name
    results = load(name)
    assert all(
        sweeps._intact(results.sweep, one, folder) for one in results.sweep.runs()
    )
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3e6
    assert len(list(folder.iterdir())) == 2 * len(results.sweep.runs())
    assert len(results.sweep.seeds) >= 5


def test_the_cached_weights_give_the_cached_rate_and_codes():
    results = load("sprites")
    grid = results.sweep.grid()
    x, test = grid[:].x, grid.split("test")
    for one in results.sweep.weights_of:
        model, codes = results.model(*one), results.codes(*one)
        with torch.no_grad():
            mu, logvar = model.encode(x)
        rate = gaussian_kl(mu[test], logvar[test]).mean().item()
        assert results.entry(*one).scores["rate"] == pytest.approx(rate, abs=1e-2), one
        torch.testing.assert_close(codes.mu, mu, atol=1e-3, rtol=2e-3)
        torch.testing.assert_close(codes.logvar, logvar, atol=1e-3, rtol=2e-3)
        z = codes.mu[sweeps.local_rows(len(x))]
        weight = one[1] if one[0] == "beta-VAE" else 1.0
        again = sweeps.local_precision(model, z, weight)
        torch.testing.assert_close(codes.precision, again, atol=1e-2, rtol=1e-2)


def test_the_cached_codes_give_the_cached_scores():
    results = load("sprites")
    places = sweeps.varying(results.sweep.grid())[0]
    factors = results.sweep.grid().factors(slice(None)).classes[:, places]
    for entry in results.entries[::7]:
        mu, logvar, _ = results.codes(*entry.run)
        for score, found in {
            "MIG": disentanglement.mig(sweeps.used_means(mu), factors),
            "MIG of raw means": disentanglement.mig(mu, factors, 20, "width"),
            "MIG of samples": disentanglement.mig(mu, factors, logvar=logvar),
        }.items():
            assert entry.scores[score] == pytest.approx(found, abs=1e-5), entry.run


def test_the_cached_runs_with_beta_1_are_the_same_for_both_losses():
    results = load("sprites")
    for seed in results.sweep.seeds:
        pair = [results.entry(loss, 1.0, seed) for loss in LOSSES]
        assert pair[0].scores == pair[1].scores


# Training enlarges what machines round differently. Weights changed by a millionth at
# the start moved this run's scores by a third of these at most.
NEAR = {"distortion": 0.4, "rate": 0.2, "MIG": 0.05, "informativeness": 0.05}
NEAR_KL = 0.25


def alike(one, other):
    """Whether two entries are the same run, up to what rounding can do."""
    scores = all(abs(one.scores[s] - other.scores[s]) < NEAR[s] for s in NEAR)
    apart = (abs(a - b) for a, b in zip(sorted(one.kl), sorted(other.kl), strict=True))
    return scores and max(apart) < NEAR_KL


@pytest.mark.long
def test_a_cached_entry_can_be_trained_again():
    results = load("sprites")
    wanted = results.entry("beta-VAE", 1.0, seed=0)
    _, entry, _ = train(results.sweep, *wanted.run)
    assert alike(entry, wanted), (entry, wanted)
    found = [one.run for one in results.entries if alike(entry, one)]
    assert found == [wanted.run, ("beta-TCVAE", 1.0, 0)]  # the same objective
