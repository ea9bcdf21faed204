"""The training loop is the plain one, follows its seed, and says where it broke."""

import contextlib
import math

import nbclient
import nbformat
import pytest
import torch
from torch import nn

from course_utils.models import (
    Autoencoder,
    LinearAutoencoder,
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


# --- the bar -------------------------------------------------------------------------


def test_a_run_says_nothing_unless_asked(capfd):
    fit(make(), reconstruction_loss, draw(), epochs=2)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("breaks", [False, True])
def test_the_bar_is_on_stdout_and_disappears(capfd, breaks):
    lr = 1e200 if breaks else 1e-3
    with contextlib.suppress(FloatingPointError):
        fit(make(), reconstruction_loss, draw(), epochs=3, lr=lr, bar=True)
    out, err = capfd.readouterr()
    assert err == "" and "batch" in out and "<" in out  # time passed < time left
    assert out.endswith("\r") and "\n" not in out
    assert out.rstrip("\r").rsplit("\r", 1)[-1].strip() == "", "nothing stays in sight"


def test_the_bar_leaves_nothing_in_a_saved_notebook():
    cell = nbformat.v4.new_code_cell(
        "from course_utils.training import fit, reconstruction_loss\n"
        "from course_utils.models import LinearAutoencoder\nimport torch\n"
        "fit(LinearAutoencoder(2, 1), reconstruction_loss, torch.ones(9, 2),"
        " epochs=3, bar=True);"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    assert notebook.cells[0].outputs != [], "the bar was there"
    assert normalise._outputs(notebook.cells[0]) == []


def test_the_bar_changes_nothing():
    ours, plain = make(), make()
    fit(ours, noisy_loss, draw(), epochs=2, bar=True)
    fit(plain, noisy_loss, draw(), epochs=2)
    assert torch.equal(weights(ours), weights(plain))
