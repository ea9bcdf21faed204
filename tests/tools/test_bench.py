"""The bench times what it says: turns, ratios, products and scores, on tiny images."""

import contextlib
import doctest
import gzip
import hashlib
import importlib.util
import json
import sys

import numpy as np
import pytest
import torch
from torch import distributions as td
from torch.utils.flop_counter import FlopCounterMode

from conftest import ROOT
from course_utils.data import Split
from course_utils.data import mnist as downloads
from course_utils.models import VAE, elbo_loss
from course_utils.training import fit

specification = importlib.util.spec_from_file_location("bench", ROOT / "tools/bench.py")
assert specification is not None and specification.loader is not None
bench = importlib.util.module_from_spec(specification)
sys.modules["bench"] = bench
specification.loader.exec_module(bench)

SIDE, D = 4, 16


@pytest.fixture
def tiny(monkeypatch):
    """A smaller net and batch."""
    for name, value in (("HIDDEN", 6), ("K", 3), ("BATCH", 8)):
        monkeypatch.setattr(bench, name, value)


@pytest.fixture
def no_network(tmp_path, monkeypatch):
    """An empty cache, and a mirror that does not answer."""
    source = downloads.Source("Tiny MNIST", ("http://127.0.0.1:9/",), FILES, held_out=4)
    monkeypatch.setattr(downloads, "SOURCES", {"mnist": source})
    monkeypatch.setattr(downloads, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv(downloads.VARIABLE, raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def contents():
    random = np.random.default_rng(0)
    parts = {}
    for name, count in (("train", 25), ("t10k", 11)):
        images = random.integers(0, 256, (count, SIDE, SIDE))
        parts[f"{name}-images-idx3-ubyte"] = idx(images)
        parts[f"{name}-labels-idx1-ubyte"] = idx(np.arange(count) % 10)
    return parts


CONTENTS = contents()
FILES = {
    name: (len(content), hashlib.sha256(content).hexdigest())
    for name, content in CONTENTS.items()
}


def draw(count=21, seed=0):
    generator = torch.Generator().manual_seed(seed)
    grey = torch.randint(0, 256, (count, D), generator=generator) / 255
    return Split(grey, torch.arange(count) % 10)


def test_its_examples_run():
    done = doctest.testmod(bench)
    assert done.attempted >= 3 and done.failed == 0


# --- the command --------------------------------------------------------------------


def test_the_command_writes_a_table_and_a_small_file(
    tiny, no_network, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "own" / "mnist"
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setenv(downloads.VARIABLE, str(tmp_path / "own"))
    target = tmp_path / "build" / "bench.json"
    bench.main(
        [
            "--epochs",
            "3",
            "--cpu-seconds",
            "0",
            "--samples",
            "5",
            "--iwae-examples",
            "4",
        ]
        + ["--target", str(target)]
    )
    got = json.loads(target.read_text("utf-8"))
    assert set(got) == {"machine", "race", "drawn"}
    assert {"cores", "threads", "torch", "load"} <= set(got["machine"])
    race, drawn = got["race"], got["drawn"]
    assert race["epochs"] == 3 and race["examples"] == 21 and race["D"] == D
    for clock in ("seconds", "cpu_seconds"):
        assert {name: len(laps) for name, laps in race[clock].items()} == {
            "a": 3, "t": 3, "b": 3, "c": 3,
        }  # fmt: skip
    assert set(race["ratios"]) == {"a/b", "t/b", "b/c"}
    for name, (top, bottom) in (("a/b", "ab"), ("b/c", "bc"), ("t/b", "tb")):
        each = np.array(race["seconds"][top]) / np.array(race["seconds"][bottom])
        assert race["ratios"][name]["median"] == pytest.approx(np.median(each))
        assert race["ratios"][name]["most"] == pytest.approx(each.max())
    assert drawn["S"] == 5 and drawn["iwae_examples"] == 4
    assert drawn["test_examples"] == 11 and drawn["epochs"] == 1
    scores = [*race["test_negative_elbo_grey_bce_nats"].values(), drawn["elbo_nats"]]
    for score in [*scores, drawn["iwae_nats"], drawn["iwae_minus_elbo_nats"]]:
        assert set(score) == {"mean", "standard_error"}
    assert target.stat().st_size < 5000
    said = capsys.readouterr().out
    for part in ("training.fit", "a/b", "b/c", "test −ELBO", "IWAE, S = 5", "16-6-3"):
        assert part in said


def test_fewer_examples_can_be_asked_for(tiny, no_network, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "mnist", lambda split: draw(21))
    train, test = bench.load(5)
    assert len(train.x) == len(train.y) == 5 and len(test.x) == 21


def test_without_mnist_it_says_so(no_network, tmp_path):
    with pytest.raises(SystemExit) as info:
        bench.main(["--target", str(tmp_path / "bench.json")])
    said = str(info.value)
    assert said.startswith("The bench needs MNIST. Tiny MNIST is not on this computer")
    assert "VAE_COURSE_DATA" in said and not (tmp_path / "bench.json").exists()


def test_a_wrong_folder_is_named(no_network, monkeypatch, tmp_path):
    monkeypatch.setenv(downloads.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match="needs MNIST.*which is no folder"):
        bench.main([])


def test_make_lists_it(root):
    lines = (root / "Makefile").read_text("utf-8")
    assert "\nbench: setup ## " in lines and "tools/bench.py" in lines


# --- turns and ratios ---------------------------------------------------------------


def test_all_take_turns_and_are_timed_apart():
    """Each event moves a clock by a known time; nothing is counted twice."""
    time, events = [0.0], []

    def clock():
        return bench.Lap(time[0], 10 * time[0])

    def epoch(name, takes):
        def run():
            events.append(name)
            time[0] += takes * (1 + events.count(name))

        return run

    def ours(between):
        for _ in range(3):
            epoch("b", 1.0)()
            between(None)

    others = {"a": epoch("a", 100.0), "t": epoch("t", 1000.0)}
    laps = bench.take_turns(others, ours, {"c": epoch("c", 0.5)}, 3, clock)
    assert events == ["a", "t", "b", "c"] * 3
    wall = {name: [lap.wall for lap in laps[name]] for name in laps}
    assert wall == {
        "a": [200, 300, 400], "t": [2000, 3000, 4000], "b": [2, 3, 4],
        "c": [1, 1.5, 2],
    }  # fmt: skip
    assert [lap.cpu for lap in laps["b"]] == [20, 30, 40]


def test_training_in_turns_is_the_training_of_fit(tiny):
    """What the others do in between must not reach our model."""
    train = draw()
    torch.manual_seed(3)
    model = VAE(D, bench.K, (bench.HIDDEN,))
    fit(model, elbo_loss, train.x, epochs=2, batch_size=bench.BATCH, seed=3)
    want = bench.mean_and_error(-bench.elbo_of(model, train.x, 3))
    got = bench.race(train, train, epochs=2, seed=3)
    assert got["test_negative_elbo_grey_bce_nats"]["b"] == want


@pytest.mark.parametrize(
    ("value", "name", "said"),
    [
        (3.29, "a/b", "bar 3.3 missed"),
        (4.0, "a/b", "bar 3.3 and goal 4 reached"),
        (2.8, "b/c", "bar 2.8 reached, goal 2.5 not"),
        (2.81, "b/c", "bar 2.8 missed"),
        (105.9, "test", "bar 105.9 reached"),
        (106.0, "test", "bar 105.9 missed"),
    ],
)
def test_verdicts(value, name, said):
    assert bench.verdict(value, name) == said


# --- a and t: the common loop -------------------------------------------------------


@pytest.mark.parametrize("pillow", [True, False])
def test_the_items_are_the_images(pillow):
    data = draw(5)
    items = bench.Items(data, pillow)
    assert items.images.dtype == torch.uint8 and len(items) == 5
    for index in range(5):
        pixels, label = items[index]
        assert pixels.dtype == torch.float32 and label == int(data.y[index])
        assert torch.allclose(pixels.flatten(), data.x[index], atol=1e-7)


@pytest.mark.parametrize("pillow", [True, False])
def test_the_common_loop_learns(tiny, pillow):
    loop = bench.CommonLoop(draw(40), pillow, seed=0)
    losses = [loop() for _ in range(30)]
    assert losses[0] > losses[-1] > 0.5 * losses[0]


# --- c: the matrix products ---------------------------------------------------------


@pytest.mark.parametrize("count", [16, 21, 5])
def test_the_products_are_those_of_fit(tiny, count):
    """Torch's own counter of operations, on an epoch of fit and on ours."""
    data, model = draw(count), VAE(D, bench.K, (bench.HIDDEN,))
    alone = bench.Products(bench.layers_of(model), count)
    seen = []
    for epoch in (
        lambda: fit(model, elbo_loss, data.x, epochs=1, batch_size=bench.BATCH),
        alone,
    ):
        with FlopCounterMode(display=False) as counter:
            epoch()
        seen.append(counter.get_total_flops())
    assert seen[0] == seen[1] == alone.operations > 0


def test_the_shapes_of_the_products():
    found = bench.products([(784, 400), (400, 40), (20, 400), (400, 784)], 128)
    assert len(found) == 11 and len(set(found)) >= 8
    assert (128, 784, 400) in found and (400, 128, 784) in found
    assert found.count((128, 400, 784)) == 1, "no gradient of the data"
    assert sum(a * b * c for a, b, c in found) == 128 * (3 * 651_200 - 784 * 400)


# --- scores -------------------------------------------------------------------------


def test_both_models_are_scored_alike(tiny):
    common, ours, x = bench.CommonVAE(D), VAE(D, bench.K, (bench.HIDDEN,)), draw().x
    with torch.no_grad():
        ours.encoder[0].load_state_dict(common.fc1.state_dict())
        for part in ("weight", "bias"):
            both = [getattr(layer, part) for layer in (common.fc21, common.fc22)]
            getattr(ours.encoder[2], part).copy_(torch.cat(both))
        ours.decoder[0].load_state_dict(common.fc3.state_dict())
        ours.decoder[2].load_state_dict(common.fc4.state_dict())
    one, other = (bench.elbo_of(model, x, seed=1) for model in (common, ours))
    assert torch.allclose(one, other, atol=1e-4)
    with torch.no_grad():
        terms = elbo_loss(ours, x, torch.Generator().manual_seed(1))
    assert abs(float(-terms["loss"] - other.mean())) < 0.5, "other draws of z"


def test_where_nothing_is_encoded_both_bounds_are_log_p(tiny):
    """With q = p(z) and a decoder that ignores z, every weight is p(x) itself."""
    model, x = VAE(D, bench.K, (bench.HIDDEN,)), draw().x.round()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.decoder[2].bias.copy_(torch.linspace(-2, 2, D))
    coins = td.Bernoulli(logits=torch.linspace(-2, 2, D))
    want = coins.log_prob(x).sum(1)
    assert torch.allclose(bench.elbo_of(model, x, 0), want, atol=1e-4)
    assert torch.allclose(bench.iwae_of(model, x, 7, 0), want, atol=1e-4)


def test_the_weights_are_those_of_torch_distributions(tiny):
    model, x = VAE(D, bench.K, (bench.HIDDEN,)), draw(4).x.round()
    with torch.no_grad():
        got = bench.log_weights(model, x, 6, torch.Generator().manual_seed(2))
        mu, logvar = model.encode(x)
        eps = torch.randn(6, 4, bench.K, generator=torch.Generator().manual_seed(2))
        q = td.Normal(mu, (0.5 * logvar).exp())
        z = mu + q.scale * eps
        want = (
            td.Bernoulli(logits=model.decoder(z)).log_prob(x).sum(-1)
            + td.Normal(0, 1).log_prob(z).sum(-1)
            - q.log_prob(z).sum(-1)
        )
    assert got.shape == (6, 4) and torch.allclose(got, want, atol=1e-4)


def test_the_mean_has_its_standard_error():
    values = torch.arange(9.0)
    got = bench.mean_and_error(values)
    assert got["mean"] == 4.0
    assert got["standard_error"] == pytest.approx(np.std(np.arange(9), ddof=1) / 3)


# --- drawn pixels -------------------------------------------------------------------


def test_pixels_are_drawn_afresh_with_the_grey_as_probability(tiny, monkeypatch):
    seen = []

    def look(model, batch, generator):
        seen.append(batch)
        return {"loss": 0 * model(batch, generator).mu.sum()}

    monkeypatch.setattr(bench, "elbo_loss", look)
    x = torch.tensor([[0.0, 1.0, 0.25, 0.75]]).repeat(8, 4)
    model = VAE(D, bench.K, (bench.HIDDEN,))
    with contextlib.suppress(bench.BudgetSpent):
        fit(model, bench.drawn_elbo_loss, x, epochs=300, batch_size=8)
    drawn = torch.stack(seen)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(drawn[0], drawn[1])
    mean = drawn.reshape(-1, 4).mean(0)
    assert (mean - x[0, :4]).abs().max() < 0.03  # 5 standard errors of 9600 draws


def test_the_budget_ends_training(tiny, monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(bench.time, "process_time", lambda: float(next(ticks)))
    model, epochs, spent = bench.train_for(3.0, draw().x, seed=0)
    assert (epochs, spent) == (3, 3.0) and isinstance(model, VAE)
