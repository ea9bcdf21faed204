"""The training loop is the plain one, follows its seed, and says where it broke."""

import contextlib
import functools
import math

import nbclient
import nbformat
import pytest
import torch
from torch import nn

from course_utils.models import (
    VAE,
    Autoencoder,
    LinearAutoencoder,
    LinearVAE,
    elbo_loss,
    reconstruction_loss,
)
from course_utils.training import (
    History,
    TrainingStopped,
    evaluate,
    evaluate_terms,
    fit,
)
from tools.lessons import normalise


def make(seed=0, D=4, K=2):
    torch.manual_seed(seed)
    return Autoencoder(D, K, hidden=(5,), activation=nn.Tanh).double()


def draw(N=23, D=4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, D, generator=generator, dtype=torch.float64)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def noisy_loss(model, batch, generator):
    eps = torch.randn(batch.shape, generator=generator, dtype=batch.dtype)
    return ((batch - model(batch + 0.3 * eps)) ** 2).sum(1).mean()


def adam_by_hand(model, x, *, epochs, batch_size, lr, seed, noise=0.0):
    """Train as Kingma and Ba (2015) write it; return the mean loss of each epoch."""
    generator = torch.Generator().manual_seed(seed)
    parameters = list(model.parameters())
    first = [torch.zeros_like(p) for p in parameters]
    second = [torch.zeros_like(p) for p in parameters]
    losses, step = [], 0
    for _ in range(epochs):
        order, seen = torch.randperm(len(x), generator=generator).tolist(), 0.0
        for start in range(0, len(x), batch_size):
            batch = torch.stack([x[i] for i in order[start : start + batch_size]])
            shown = batch
            if noise:
                eps = torch.randn(batch.shape, generator=generator, dtype=batch.dtype)
                shown = batch + noise * eps
            value = len(batch[0]) * nn.functional.mse_loss(model(shown), batch)
            seen += float(value.detach()) * len(batch)
            step += 1
            gradients = torch.autograd.grad(value, parameters)
            for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
                m.copy_(0.9 * m + 0.1 * g)
                v.copy_(0.999 * v + 0.001 * g**2)
                m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
                p.data -= lr * m_hat / (v_hat.sqrt() + 1e-8)
        losses.append(seen / len(x))
    return losses


@pytest.mark.parametrize("batch_size", [1, 5, 23, 64])
@pytest.mark.parametrize(
    ("loss", "noise"), [(reconstruction_loss, 0), (noisy_loss, 0.3)]
)
def test_fit_is_the_plain_loop(batch_size, loss, noise):
    settings = {"epochs": 3, "batch_size": batch_size, "lr": 0.02, "seed": 7}
    x, ours, plain = draw(), make(), make()
    history = fit(ours, loss, x, **settings)
    want = adam_by_hand(plain, x, noise=noise, **settings)
    assert (weights(ours) - weights(plain)).abs().max() < 1e-9
    assert history.train == pytest.approx(want, rel=1e-9)
    assert (weights(ours) - weights(make())).abs().max() > 1e-3
    assert history.validation == []


def test_the_defaults_are_the_documented_ones():
    x = draw(300)
    ours, plain = make(), make()
    fit(ours, reconstruction_loss, x, epochs=2)
    fit(plain, reconstruction_loss, x, epochs=2, batch_size=128, lr=1e-3, seed=0)
    assert torch.equal(weights(ours), weights(plain))


def test_fit_follows_its_seed_alone():
    x, before = draw(), draw()
    runs = []
    for global_seed, seed in [(0, 3), (1, 3), (0, 4)]:
        model = make()
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        history = fit(model, noisy_loss, x, validation=x, epochs=3, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        runs.append((weights(model), history))
    assert torch.equal(runs[0][0], runs[1][0]) and runs[0][1] == runs[1][1]
    assert not torch.equal(runs[0][0], runs[2][0])
    assert torch.equal(x, before), "the data must stay as they are"


def test_each_epoch_visits_every_example_once_in_a_new_order():
    x, visits = torch.arange(10.0).view(10, 1), []

    def loss(model, batch, generator):
        visits.append(batch.flatten().int().tolist())
        return reconstruction_loss(model, batch, generator)

    fit(LinearAutoencoder(1, 1), loss, x, epochs=3, batch_size=4)
    assert [len(batch) for batch in visits] == [4, 4, 2] * 3
    orders = [sum(visits[start : start + 3], []) for start in (0, 3, 6)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] != orders[2] and orders[0] != list(range(10))


def test_the_gradients_of_an_earlier_step_are_forgotten():
    model, x = make(), draw()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e6)
    fit(model, reconstruction_loss, x, epochs=1, seed=2)
    fresh = make()
    fit(fresh, reconstruction_loss, x, epochs=1, seed=2)
    assert torch.equal(weights(model), weights(fresh))


def test_training_reaches_the_optimum_it_can_reach():
    x = draw(200, 3) * torch.tensor([2.0, 1.0, 0.1], dtype=torch.float64)
    x = x - x.mean(0)
    torch.manual_seed(0)
    model = LinearAutoencoder(3, 2).double()
    history = fit(model, reconstruction_loss, x, epochs=150, batch_size=50, lr=0.01)
    smallest = torch.linalg.svdvals(x)[2] ** 2 / len(x)
    assert evaluate(model, reconstruction_loss, x) < 1.05 * float(smallest)
    assert history.train[-1] < 0.1 * history.train[0]


def test_after_each_epoch_the_history_so_far_is_shown():
    seen, x = [], draw()
    watched, alone = make(), make()

    def look(history):
        seen.append((list(history.train), list(history.validation), weights(watched)))

    history = fit(
        watched, noisy_loss, x, validation=x, epochs=3, seed=4, after_epoch=look
    )
    want = fit(alone, noisy_loss, x, validation=x, epochs=3, seed=4)
    assert history == want and torch.equal(weights(watched), weights(alone))
    for epochs, (train, validation, then) in enumerate(seen, start=1):
        model = make()
        fit(model, noisy_loss, x, epochs=epochs, seed=4)
        assert train == want.train[:epochs]
        assert validation == want.validation[:epochs]
        assert torch.equal(then, weights(model))
    assert len(seen) == 3


def test_after_an_epoch_its_checkpoint_is_there(tmp_path):
    path = tmp_path / "run.safe"
    settings = {"seed": 4, "checkpoint": path}

    def pause(history):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(make(), noisy_loss, draw(), epochs=3, after_epoch=pause, **settings)
    resumed, shown = make(), []
    fit(resumed, noisy_loss, draw(), epochs=3, after_epoch=shown.append, **settings)
    whole = make()
    fit(whole, noisy_loss, draw(), epochs=3, seed=4)
    assert torch.equal(weights(resumed), weights(whole)) and len(shown) == 2


# --- the history --------------------------------------------------------------------


def test_the_history_keeps_the_digits_of_double_precision():
    third, x = torch.tensor(1 / 3, dtype=torch.float64), draw(7)

    def loss(model, batch, generator):
        return third + 0 * model(batch).sum()

    history = fit(make(), loss, x, epochs=2, batch_size=3)
    assert history.train == pytest.approx([1 / 3, 1 / 3], rel=1e-15)


def test_the_training_loss_weighs_every_example_the_same():
    x = torch.arange(5.0).view(5, 1)

    def loss(model, batch, generator):
        return batch.mean() + 0 * model(batch).sum()

    history = fit(LinearAutoencoder(1, 1), loss, x, epochs=2, batch_size=4)
    assert history.train == pytest.approx([2.0, 2.0])


def test_the_validation_loss_is_that_of_the_model_after_each_epoch():
    x, other = draw(), draw(11, seed=5)
    history = fit(make(), noisy_loss, x, validation=other, epochs=3, lr=0.05, seed=8)
    for epochs, got in enumerate(history.validation, start=1):
        model = make()
        fit(model, noisy_loss, x, epochs=epochs, lr=0.05, seed=8)
        with torch.no_grad():
            want = noisy_loss(model, other, torch.Generator().manual_seed(8))
        assert got == float(want)


def test_the_noise_of_the_validation_is_fixed_and_changes_nothing():
    def pure_noise(model, batch, generator):
        return torch.randn((), generator=generator) + 0 * model(batch).sum()

    x = draw()
    history = fit(make(), pure_noise, x, validation=x, epochs=4, seed=3)
    assert len(set(history.validation)) == 1 and len(set(history.train)) == 4
    with_it, without = make(), make()
    fit(with_it, noisy_loss, x, validation=draw(9), epochs=3)
    fit(without, noisy_loss, x, epochs=3)
    assert torch.equal(weights(with_it), weights(without))


def test_a_history_starts_empty_and_is_its_own():
    first, second = History(), History()
    first.train.append(1.0)
    assert second.train == [] and second.validation == []


# --- evaluation ---------------------------------------------------------------------


class Modes(nn.Module):
    """Remembers in which mode it was called, and whether gradients were kept."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen = []

    def forward(self, x):
        self.seen.append((self.training, torch.is_grad_enabled()))
        return self.weight * x


def test_validation_is_without_gradients_and_dropout():
    model, x = Modes(), draw(6)
    model.eval()
    fit(model, reconstruction_loss, x, validation=x, epochs=2, batch_size=3)
    assert model.seen == [(True, True), (True, True), (False, False)] * 2
    assert model.training


@pytest.mark.parametrize("training", [True, False])
def test_evaluate_leaves_the_model_in_its_mode(training):
    model, x = Modes().train(training), draw(6)
    assert evaluate(model, reconstruction_loss, x) == 0
    assert model.training is training and model.seen == [(False, False)]


def test_evaluate_has_fixed_noise():
    model, x = make(), draw()
    state = torch.get_rng_state()
    first, again = (evaluate(model, noisy_loss, x, seed=2) for _ in range(2))
    assert first == again != evaluate(model, noisy_loss, x, seed=3)
    assert torch.equal(torch.get_rng_state(), state)


# --- what goes wrong ----------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_broken_loss_is_placed(value):
    calls = []

    def loss(model, batch, generator):
        calls.append(len(batch))
        broken = value if len(calls) == 7 else 1.0  # there are 4 batches an epoch
        return broken + 0 * model(batch).sum()

    model, before = make(), weights(make())
    with pytest.raises(FloatingPointError, match=f"is {value} in epoch 1, batch 2 "):
        fit(model, loss, draw(16), epochs=3, batch_size=4, lr=0.25)
    assert torch.equal(weights(model), before), "no step with a broken gradient"


def test_too_large_a_step_is_said_to_be_one():
    with pytest.raises(FloatingPointError, match=r"a step size of 1e\+200 may be too"):
        fit(make(), reconstruction_loss, draw(), epochs=50, lr=1e200)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 0}, "epochs is 0; expected a whole number from 1"),
        ({"epochs": 1.5}, "epochs is 1.5; expected a whole number from 1"),
        ({"epochs": True}, "epochs is True; expected a whole number"),
        ({"batch_size": 0}, "batch_size is 0; expected a whole number from 1"),
        ({"batch_size": 8.0}, "batch_size is 8.0; expected a whole number"),
        ({"lr": 0.0}, "lr is 0.0; expected a positive, finite step size"),
        ({"lr": -1e-3}, "lr is -0.001; expected a positive"),
        ({"lr": math.nan}, "lr is nan; expected a positive"),
        ({"lr": math.inf}, "lr is inf; expected a positive, finite"),
        ({"x": torch.zeros(4)}, r"x has shape \(4,\); expected \(N, D\)"),
        ({"x": torch.zeros(0, 4)}, r"x has shape \(0, 4\); expected \(N, D\), N ≥ 1"),
        ({"x": torch.full((3, 4), math.nan)}, "x holds NaN or infinite values; exp"),
        ({"validation": torch.zeros(1, 2, 4)}, r"validation has shape \(1, 2, 4\)"),
        ({"validation": torch.full((3, 4), math.inf)}, "validation holds NaN or inf"),
        (
            {"loss": lambda model, batch, generator: (batch - model(batch)).sum(1)},
            r"the loss has shape \(23,\); expected one number, the mean over the batch",
        ),
    ],
)
def test_fit_names_a_wrong_argument(change, said):
    given = {"loss": reconstruction_loss, "x": draw(), "epochs": 1, **change}
    model = make()
    with pytest.raises(ValueError, match=said):
        fit(model, given.pop("loss"), given.pop("x"), **given)
    assert torch.equal(weights(model), weights(make()))


# --- terms --------------------------------------------------------------------------


def terms_loss(model, batch, generator):
    value = noisy_loss(model, batch, generator)
    size = sum((p**2).sum() for p in model.parameters())
    return {"size": size, "loss": value + 0.1 * size, "error": value}


def test_terms_are_noted_and_the_loss_alone_is_minimised():
    def total_loss(model, batch, generator):
        return terms_loss(model, batch, generator)["loss"]

    x, other, ours, plain = draw(), draw(9, seed=5), make(), make()
    settings = {"epochs": 3, "batch_size": 5, "lr": 0.02}
    history = fit(ours, terms_loss, x, validation=other, **settings)
    want = fit(plain, total_loss, x, validation=other, **settings)
    assert torch.equal(weights(ours), weights(plain))
    assert history.train == want.train and history.validation == want.validation
    for terms, losses in (
        (history.train_terms, history.train),
        (history.validation_terms, history.validation),
    ):
        assert set(terms) == {"size", "error"}
        for size, error, loss in zip(
            terms["size"], terms["error"], losses, strict=True
        ):
            assert error + 0.1 * size == pytest.approx(loss, rel=1e-12)
    assert want.train_terms == want.validation_terms == {}
    assert evaluate(ours, terms_loss, other) == history.validation[-1]
    assert evaluate_terms(ours, terms_loss, other)["size"] == pytest.approx(
        float((weights(ours) ** 2).sum())
    )


def test_the_columns_are_the_curves():
    history = fit(make(), terms_loss, draw(), validation=draw(9), epochs=2)
    columns = history.columns()
    assert list(columns) == [
        "train loss", "validation loss", "train size", "train error",
        "validation size", "validation error",
    ]  # fmt: skip
    assert {len(column) for column in columns.values()} == {2}
    assert columns["validation size"] == history.validation_terms["size"]
    assert list(fit(make(), noisy_loss, draw(), epochs=1).columns()) == ["train loss"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"rate": torch.ones(())}, "gave a dict of rate; expected .* with 'loss'"),
        ({}, "gave a dict of nothing"),
        (3.0, "the loss gave a float; expected a tensor of one number, or a dict"),
        ({"loss": torch.ones(()), "rate": torch.ones(4)}, r"the rate has shape \(4,\)"),
        ({"loss": torch.ones(()), "rate": 1.0}, "the rate is a float; expected a tens"),
    ],
)
def test_wrong_terms_are_named(value, said):
    model = make()
    with pytest.raises(ValueError, match=said):
        fit(model, lambda *given: value, draw(), epochs=1)
    with pytest.raises(ValueError, match=said):
        evaluate(model, lambda *given: value, draw())
    assert model.training


# --- the likely cause ---------------------------------------------------------------


def broken(loss, model=None, **settings):
    """Return the error of a run that breaks."""
    settings = {"epochs": 4, "batch_size": 8, "lr": 0.01, **settings}
    with pytest.raises(TrainingStopped) as info:
        fit(model or make(), loss, draw(), **settings)
    return info.value


def test_an_infinite_slope_is_named():
    """The root of 0 is 0, its slope infinite: the loss breaks one step later."""

    def rooted(model, batch, generator):
        return (0 * model(batch)).abs().sum().sqrt() + reconstruction_loss(
            model, batch, generator
        )

    said = str(broken(rooted))
    assert "in epoch 0, batch 1 " in said and "infinite slope" in said
    assert "gradient of encoder.0.weight was not finite in the step before" in said


def test_a_term_that_breaks_is_named():
    calls = []

    def loss(model, batch, generator):
        calls.append(0)
        error = reconstruction_loss(model, batch, generator)
        rate = 0 * error + math.log(2) * (math.inf if len(calls) == 5 else 1)
        return {"loss": error + rate, "distortion": error, "rate": rate}

    error = broken(loss)
    assert "in epoch 1, batch 1 " in str(error)
    assert "its term rate is not finite, though all weights are finite" in str(error)
    assert len(error.history.train) == 1 and math.isfinite(error.history.train[0])


def test_weights_that_ran_away_are_named():
    said = str(broken(reconstruction_loss, LinearAutoencoder(4, 2).double(), lr=1e90))
    assert "weights have run away" in said or "is not finite after the step" in said
    assert "a step size of 1e+90 may be too large" in said


# --- progress -----------------------------------------------------------------------


def test_a_run_says_nothing_unless_asked(capfd):
    fit(make(), reconstruction_loss, draw(), epochs=2)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("breaks", [False, True])
def test_the_bar_is_on_stdout_and_disappears(capfd, breaks):
    lr = 1e200 if breaks else 1e-3
    with contextlib.suppress(FloatingPointError):
        fit(make(), reconstruction_loss, draw(), epochs=3, lr=lr, progress=True)
    out, err = capfd.readouterr()
    assert err == "" and "batch" in out and "<" in out  # time passed < time left
    assert out.endswith("\r") and "\n" not in out
    assert out.rstrip("\r").rsplit("\r", 1)[-1].strip() == "", "nothing stays in sight"


def test_the_bar_leaves_nothing_in_a_saved_notebook():
    cell = nbformat.v4.new_code_cell(
        "from course_utils.training import fit, reconstruction_loss\n"
        "from course_utils.models import LinearAutoencoder\nimport torch\n"
        "fit(LinearAutoencoder(2, 1), reconstruction_loss, torch.ones(9, 2),"
        " epochs=3, progress=True);"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    assert notebook.cells[0].outputs != [], "the bar was there"
    assert normalise._outputs(notebook.cells[0]) == []


def test_the_bar_changes_nothing():
    ours, plain = make(), make()
    fit(ours, noisy_loss, draw(), epochs=2, progress=True)
    fit(plain, noisy_loss, draw(), epochs=2)
    assert torch.equal(weights(ours), weights(plain))


# --- resuming -----------------------------------------------------------------------


class WithMemory(nn.Module):
    """Has what is easily forgotten: running means, dropout, a weight never used."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(
            nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 4)
        )
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.inner(x)


def remembering(seed=0):
    torch.manual_seed(seed)
    return WithMemory().double()


RUN = {"batch_size": 5, "lr": 0.02, "seed": 4, "validation": draw(9, seed=2)}


def same_state(first, second):
    return all(
        torch.equal(first.state_dict()[name], second.state_dict()[name])
        for name in first.state_dict()
    )


@pytest.mark.parametrize("build", [make, remembering])
@pytest.mark.parametrize("pauses", [(1,), (2, 3), (1, 2, 3, 4)])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(
    tmp_path, build, pauses
):
    whole = build()
    want = fit(whole, terms_loss, draw(), epochs=5, **RUN)
    state = torch.get_rng_state()
    model = build()
    for place, epochs in enumerate((*pauses, 5)):
        if place:
            model = build(seed=epochs)  # other weights, which the file replaces
            torch.manual_seed(99)  # and other global noise
        got = fit(
            model, terms_loss, draw(), epochs=epochs, checkpoint=tmp_path / "r", **RUN
        )
    assert same_state(model, whole) and got == want
    assert torch.equal(torch.get_rng_state(), state)


def test_a_run_killed_in_mid_epoch_is_resumed(tmp_path):
    whole, model, calls = make(), make(), []
    want = fit(whole, noisy_loss, draw(), epochs=4, **RUN)

    def killed(model, batch, generator):
        calls.append(0)
        if len(calls) == 14:  # 5 batches and a validation an epoch
            raise KeyboardInterrupt
        return noisy_loss(model, batch, generator)

    killed.__qualname__ = noisy_loss.__qualname__
    path = tmp_path / "run.npz"
    with pytest.raises(KeyboardInterrupt):
        fit(model, killed, draw(), epochs=4, checkpoint=path, **RUN)
    model = make(seed=1)
    got = fit(model, noisy_loss, draw(), epochs=4, checkpoint=path, **RUN)
    assert same_state(model, whole) and got == want


def test_a_checkpoint_changes_nothing_and_a_finished_run_stays(tmp_path):
    plain, model = make(), make()
    want = fit(plain, noisy_loss, draw(), epochs=3, **RUN)
    path = tmp_path / "run.npz"
    fit(model, noisy_loss, draw(), epochs=3, checkpoint=path, **RUN)
    assert same_state(model, plain)
    before = path.read_bytes()
    again = make(seed=3)
    assert fit(again, noisy_loss, draw(), epochs=3, checkpoint=path, **RUN) == want
    assert same_state(again, plain) and path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lr": 0.01}, "lr is 0.02 there, 0.01 here"),
        ({"batch_size": 6}, "batch_size is 5 there, 6 here"),
        ({"seed": 5}, "seed is 4 there, 5 here"),
        ({"validation": None}, "the checksum of validation is"),
        ({"x": draw(seed=8)}, "the checksum of x is"),
        (
            {"loss": reconstruction_loss},
            "loss is 'noisy_loss' there, 'reconstruction_l",
        ),
        ({"model": remembering()}, "model is 'Autoencoder' there, 'WithMemory' here"),
        ({"model": Autoencoder(4, 3, (5,)).double()}, "does not fit the model: "),
        ({"epochs": 1}, "has 2 epochs already; expected at most 1"),
    ],
)
def test_another_run_s_checkpoint_is_refused(tmp_path, change, said):
    path = tmp_path / "run.npz"
    given = {"model": make(), "loss": noisy_loss, "x": draw(), "epochs": 2}
    given |= {"checkpoint": path, **RUN}
    fit(**given)
    before = path.read_bytes()
    changed = {**given, "model": make(seed=1), "epochs": 3, **change}
    start = {name: t.clone() for name, t in changed["model"].state_dict().items()}
    with pytest.raises(ValueError, match=f"{said}.* delete it or name another file"):
        fit(**changed)
    assert path.read_bytes() == before
    state = changed["model"].state_dict()
    assert all(torch.equal(start[name], state[name]) for name in start)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    fit(make(), noisy_loss, draw(), epochs=1, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut short.* To start afresh, delete it"):
        fit(make(), noisy_loss, draw(), epochs=2, checkpoint=path)


def test_a_broken_run_leaves_the_last_good_epoch(tmp_path):
    calls = []

    def loss(model, batch, generator):
        calls.append(0)
        broken = math.nan if len(calls) == 12 else 0.0
        return noisy_loss(model, batch, generator) + broken

    model, path = make(), tmp_path / "run.npz"
    with pytest.raises(TrainingStopped):
        fit(model, loss, draw(), epochs=9, batch_size=5, checkpoint=path)
    good, resumed = make(), make(seed=1)
    want = fit(good, noisy_loss, draw(), epochs=2, batch_size=5)
    history = fit(resumed, loss, draw(), epochs=2, batch_size=5, checkpoint=path)
    assert same_state(good, resumed) and history == want


# --- variational autoencoders -------------------------------------------------------

VAES = [
    {"likelihood": "bernoulli"},
    {"likelihood": "gaussian", "sigma": 0.3},
    {"likelihood": "gaussian", "noise": "scalar", "sigma": 0.3},
    {"likelihood": "gaussian", "noise": "pixel", "sigma": 0.3},
]


def vae(seed=0, **settings):
    torch.manual_seed(seed)
    return VAE(6, 2, (5,), activation=nn.Tanh, **settings).double()


def ink(N=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(N, 6, generator=generator, dtype=torch.float64) < 0.4).double()


@pytest.mark.parametrize("settings", VAES)
@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_the_elbo_loss_is_what_torch_s_distributions_say(settings, beta):
    model, x = vae(**settings), ink()
    terms = elbo_loss(model, x, torch.Generator().manual_seed(3), beta)
    x_given_z, mu, logvar, _ = model(x, torch.Generator().manual_seed(3))
    if settings["likelihood"] == "bernoulli":
        p = torch.distributions.Bernoulli(logits=x_given_z.logits)
    else:
        p = torch.distributions.Normal(x_given_z.mean, x_given_z.logvar.exp().sqrt())
    q = torch.distributions.Normal(mu, logvar.exp().sqrt())
    prior = torch.distributions.Normal(torch.zeros_like(mu), 1.0)
    distortion = -p.log_prob(x).sum(1).mean()
    rate = torch.distributions.kl_divergence(q, prior).sum(1).mean()
    assert terms["distortion"].item() == pytest.approx(distortion.item(), rel=1e-12)
    assert terms["rate"].item() == pytest.approx(rate.item(), rel=1e-12)
    want = (distortion + beta * rate).item()
    assert terms["loss"].item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("settings", VAES)
def test_a_vae_learns_and_is_resumed_to_the_last_bit(tmp_path, settings):
    x, other = ink(100), ink(40, seed=1)
    run = {"validation": other, "batch_size": 20, "lr": 0.01}
    whole = vae(**settings)
    want = fit(whole, elbo_loss, x, epochs=6, **run)
    assert want.validation[-1] < want.validation[0]
    for terms, losses in (
        (want.train_terms, want.train), (want.validation_terms, want.validation),
    ):  # fmt: skip
        assert set(terms) == {"distortion", "rate"}
        for *parts, loss in zip(*terms.values(), losses, strict=True):
            assert sum(parts) == pytest.approx(loss, rel=1e-12)
    path = tmp_path / "run.npz"
    fit(vae(**settings), elbo_loss, x, epochs=2, checkpoint=path, **run)
    model = vae(seed=7, **settings)
    got = fit(model, elbo_loss, x, epochs=6, checkpoint=path, **run)
    assert same_state(model, whole) and got == want


def test_the_checkpoint_knows_beta_and_sigma(tmp_path):
    path, x = tmp_path / "run.npz", ink()
    gaussian = {"likelihood": "gaussian", "sigma": 0.3}
    four = functools.partial(elbo_loss, beta=4.0)
    fit(vae(**gaussian), four, x, epochs=1, checkpoint=path)
    two = functools.partial(elbo_loss, beta=2.0)
    said = r"loss is 'elbo_loss\(beta=4.0\)' there, 'elbo_loss\(beta=2.0\)' here"
    with pytest.raises(ValueError, match=said):
        fit(vae(**gaussian), two, x, epochs=2, checkpoint=path)
    with pytest.raises(ValueError, match=r"sigma is 0.3 there, 0.5 here"):
        fit(vae(**gaussian | {"sigma": 0.5}), four, x, epochs=2, checkpoint=path)
    with pytest.raises(ValueError, match=r"noise is 'fixed' there, 'pixel' here"):
        fit(vae(**gaussian, noise="pixel"), four, x, epochs=2, checkpoint=path)


def test_an_overflow_of_logvar_is_placed():
    model = vae()
    with torch.no_grad():
        model.encoder[-1].bias[2:] = 800.0  # exp of it is beyond double precision
    with pytest.raises(TrainingStopped, match="epoch 0, batch 0 .* term rate") as info:
        fit(model, elbo_loss, ink(), epochs=1)
    assert "exp of a large number such as an unbounded logvar" in str(info.value)


def test_the_sampled_elbo_of_a_linear_vae_is_its_exact_one():
    torch.manual_seed(0)
    model = LinearVAE(6, 2, sigma2=0.5).double()
    x = ink(50)
    with torch.no_grad():
        distortion, rate = (term.mean().item() for term in model.terms(x))
        generator = torch.Generator().manual_seed(0)
        drawn = [elbo_loss(model, x, generator) for _ in range(400)]
    got = torch.stack([terms["distortion"] for terms in drawn])
    assert abs(got.mean() - distortion) < 4 * got.std() / 400**0.5
    assert drawn[0]["rate"].item() == pytest.approx(rate, rel=1e-12)
