"""Build exercises: right modules in any style pass, each wrong one is told apart.

The exercise is a small VAE with a step of its own, and a decoder without one.
"""

import math
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from course_utils.grading.apart import grade_apart
from course_utils.grading.building import (
    GRADIENTS,
    LOSS,
    ONE_STEP,
    OUTPUTS,
    THREE_STEPS,
    Build,
    Weights,
    built,
    fits,
)
from course_utils.grading.criteria import between, normal, uniform
from course_utils.grading.exercise import Exercise, Misconception
from course_utils.grading.grade import grade
from course_utils.grading.trial import copied, is_stub, unharmed

# --- the exercise -------------------------------------------------------------------


class Machine(nn.Module):
    """The course's own VAE; the wrong ones below override one method."""

    def __init__(self, D, H, K, lr):
        super().__init__()
        self.hidden, self.mu, self.logvar = (
            nn.Linear(D, H),
            nn.Linear(H, K),
            nn.Linear(H, K),
        )
        self.up, self.out = nn.Linear(K, H), nn.Linear(H, D)
        self.optimiser = self.made(lr)

    def made(self, lr):
        return torch.optim.Adam(self.parameters(), lr)

    def encode(self, x):
        h = self.hidden(x).relu()
        return self.mu(h), self.logvar(h)

    def drawn(self, mu, logvar, eps):
        return mu + (logvar / 2).exp() * eps

    def decode(self, z):
        return self.out(self.up(z).relu())

    def forward(self, x, eps):
        mu, logvar = self.encode(x)
        return self.decode(self.drawn(mu, logvar, eps)), mu, logvar

    def loss(self, x, logits, mu, logvar):
        entropy = functional.binary_cross_entropy_with_logits(
            logits, x, reduction="none"
        )
        rate = 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(1)
        return (entropy.sum(1) + rate).mean()

    def step(self, x, eps):
        loss = self.loss(x, *self(x, eps))
        self.update(loss)
        return loss.item()

    def update(self, loss):
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def machine(D, H, K, lr):
    return Machine(D, H, K, lr)


def sizes(generator):
    return [(7, 5, 3, between(generator, 0.02, 0.1)), (6, 4, 2, 0.05)]


def batches(generator, D, H, K, lr):
    return [
        (uniform(generator, N, D).round(), normal(generator, N, K)) for N in (5, 8, 5)
    ]


def wrong(**methods):
    return lambda *arguments: type("Wrong", (Machine,), methods)(*arguments)


def without_zeroing(self, loss):
    loss.backward()
    self.optimiser.step()


def new_optimiser_each_time(self, loss):
    self.optimiser = self.made(self.optimiser.param_groups[0]["lr"])
    Machine.update(self, loss)


def step_before_backward(self, loss):
    self.optimiser.step()
    self.optimiser.zero_grad()
    loss.backward()


def ascent(self, loss):
    Machine.update(self, -loss)


def half_dropped(self, x, logits, mu, logvar):
    return Machine.loss(self, x, logits, 0 * mu, 0 * logvar) + (
        (mu**2 + logvar.exp() - logvar - 1).sum(1).mean()
    )


WRONG = {
    "no_zero_grad": wrong(update=without_zeroing),
    "new_optimiser": wrong(update=new_optimiser_each_time),
    "step_first": wrong(update=step_before_backward),
    "ascent": wrong(update=ascent),
    "half_dropped": wrong(loss=half_dropped),
    "decoder_only": wrong(
        made=lambda self, lr: torch.optim.Adam(
            [*self.up.parameters(), *self.out.parameters()], lr
        )
    ),
    "plain_descent": wrong(made=lambda self, lr: torch.optim.SGD(
        self.parameters(), lr)),
    "sigma_is_variance": wrong(drawn=lambda self, mu, lv, eps: mu + lv.exp() * eps),
    "no_noise": wrong(drawn=lambda self, mu, lv, eps: mu),
    "detached": wrong(drawn=lambda self, mu, lv, eps: Machine.drawn(
        self, mu, lv, eps).detach()),
    "no_activation": wrong(decode=lambda self, z: self.out(self.up(z))),
    "sigmoid_twice": wrong(decode=lambda self, z: Machine.decode(self, z).sigmoid()),
}  # fmt: skip

EXERCISE = Exercise(
    name="machine",
    title="a VAE",
    reference=machine,
    returns="a module: forward(x, eps) gives logits, mu and logvar",
    inputs=sizes,
    criteria=(
        built(OUTPUTS, "outputs"),
        built(GRADIENTS, "gradients"),
        built(LOSS, "loss"),
        built(ONE_STEP, "one step"),
        built(THREE_STEPS, "three steps"),
    ),
    misconceptions=tuple(Misconception(n, f"It is {n}.", v) for n, v in WRONG.items()),
    hints=("Think.",),
    probe=Build(machine, batches),
)


def decoder(K, H, D):
    return nn.Sequential(nn.Linear(K, H), nn.ReLU(), nn.Linear(H, D))


def squares(logits, z):
    return (logits**2).sum(1).mean()


DECODER = replace(
    EXERCISE,
    name="decoder",
    reference=decoder,
    inputs=lambda generator: [(3, 5, 7), (2, 4, 6)],
    criteria=EXERCISE.criteria,
    misconceptions=(
        Misconception(
            "sigmoid",
            "It ends in a sigmoid.",
            lambda K, H, D: nn.Sequential(decoder(K, H, D), nn.Sigmoid()),
        ),
        Misconception(
            "one_layer", "The hidden layer is missing.", lambda K, H, D: nn.Linear(K, D)
        ),
    ),
    probe=Build(decoder, lambda g, K, H, D: [(normal(g, 5, K),)] * 3, loss=squares),
)


def messages(report):
    return " ".join(row.message or "" for row in report.rows)


# --- right modules in other styles --------------------------------------------------


def chunked(D, H, K, lr):
    """One head of 2K, nn.Sequential, lists, another order of the layers."""

    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = nn.Sequential(nn.Linear(K, H), nn.ReLU(), nn.Linear(H, D))
            self.encoder = nn.Sequential(
                nn.Linear(D, H), nn.ReLU(), nn.Linear(H, 2 * K)
            )
            self.adam = torch.optim.Adam(self.parameters(), lr=lr)

        def forward(self, x, eps):
            mu, logvar = torch.chunk(self.encoder(x), 2, dim=-1)
            return [self.decoder(mu + torch.exp(0.5 * logvar) * eps), mu, logvar]

        def step(self, x, eps):
            self.adam.zero_grad(set_to_none=False)
            logits, mu, logvar = self(x, eps)
            distortion = functional.binary_cross_entropy_with_logits(
                logits, x, reduction="sum"
            )
            rate = -0.5 * torch.sum(1 + logvar - mu**2 - logvar.exp())
            loss = (distortion + rate) / len(x)
            loss.backward()
            self.adam.step()
            return loss

    return Other()


def heads_in_another_order(D, H, K, lr):
    class Other(Machine):
        def __init__(self):
            nn.Module.__init__(self)
            self.out, self.up = nn.Linear(H, D), nn.Linear(K, H)
            self.logvar, self.mu = nn.Linear(H, K), nn.Linear(H, K)
            self.hidden = nn.Linear(D, H)
            self.optimiser = self.made(lr)

    return Other()


def by_bare_tensors(D, H, K, lr):
    """(in, out) matrices in a ParameterDict, one head of 2K, logvar before mu."""

    class Other(Machine):
        def __init__(self):
            nn.Module.__init__(self)
            shapes = {"b": (H,), "W": (D, H), "W2": (H, 2 * K), "b2": (2 * K,)}
            shapes |= {"V": (K, H), "c": (H,), "V2": (H, D), "c2": (D,)}
            self.w = nn.ParameterDict({k: torch.randn(s) for k, s in shapes.items()})
            self.optimiser = self.made(lr)

        def encode(self, x):
            h = torch.relu(x @ self.w["W"] + self.w["b"])
            logvar, mu = (h @ self.w["W2"] + self.w["b2"]).chunk(2, 1)
            return mu, logvar

        def decode(self, z):
            h = torch.relu(z @ self.w["V"] + self.w["c"])
            return h @ self.w["V2"] + self.w["c2"]

    return Other()


def lazy_and_shared(D, H, K, lr):
    """Lazy layers, and one layer under two names; a buffer beside them."""

    class Other(Machine):
        def __init__(self):
            super().__init__(D, H, K, lr)
            self.hidden = nn.LazyLinear(H)
            self.net = nn.Sequential(self.hidden, nn.ReLU())
            self.register_buffer("pi", torch.tensor(math.pi))
            self.optimiser = self.made(lr)

        def encode(self, x):
            h = self.net(x)
            return self.mu(h), self.logvar(h)

    return Other()


def optimiser_made_late(D, H, K, lr):
    class Other(Machine):
        def update(self, loss):
            if self.optimiser is None:
                self.optimiser = torch.optim.Adam(self.parameters(), lr)
            super().update(loss)

        def made(self, lr):
            return None

    return Other(D, H, K, lr)


def gradients_by_hand(D, H, K, lr):
    class Other(Machine):
        def update(self, loss):
            grads = torch.autograd.grad(loss, list(self.parameters()))
            for parameter, grad in zip(self.parameters(), grads, strict=True):
                parameter.grad = grad
            self.optimiser.step()

    return Other(D, H, K, lr)


RIGHT = [
    machine,
    Machine,
    chunked,
    heads_in_another_order,
    by_bare_tensors,
    lazy_and_shared,
    optimiser_made_late,
    gradients_by_hand,
]


@pytest.mark.parametrize("answer", RIGHT, ids=lambda answer: answer.__name__)
def test_right_modules_in_any_style_pass(answer):
    for seed in range(2):
        report = grade(EXERCISE, answer, seed)
        assert report.status == "passed", report
        assert report.score == EXERCISE.points


def hidden_by_functional(K, H, D):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(K, H), nn.Linear(H, D)])

        def forward(self, z):
            first, second = self.layers
            return second(functional.relu(first(z)))

    return Other()


def test_a_module_without_a_step_is_stepped_by_the_engine():
    for answer in (decoder, hidden_by_functional):
        assert grade(DECODER, answer, 0).status == "passed"
    parts = DECODER.ask(decoder, (3, 5, 7), (3, 5, 7))
    assert list(parts) == [OUTPUTS, GRADIENTS, LOSS, ONE_STEP, THREE_STEPS]


def test_the_steps_of_the_engine_are_those_of_torch():
    model = decoder(3, 5, 7)
    seen = [(torch.randn(4, 3).double(),) for _ in range(3)]
    build = Build(decoder, lambda g, *sizes: seen, loss=squares, lr=0.1)
    parts = build(model, (3, 5, 7))
    build = replace(build, last=OUTPUTS)
    other = decoder(3, 5, 7)
    assert list(build(other, (3, 5, 7))) == [OUTPUTS]  # it has the drawn weights
    optimiser = torch.optim.SGD(other.parameters(), lr=0.1)
    for (z,) in seen:
        optimiser.zero_grad()
        squares(other(z), z).backward()
        optimiser.step()
    for read, want in zip(parts[THREE_STEPS].values(), other.parameters(), strict=True):
        torch.testing.assert_close(read, want.detach())


# --- wrong modules ------------------------------------------------------------------


@pytest.mark.parametrize("name", WRONG)
def test_wrong_modules_are_named(name):
    report = grade(EXERCISE, WRONG[name], 3)
    assert (report.status, report.misconception) == ("failed", name), report


@pytest.mark.parametrize("exercise", ["sigmoid", "one_layer"])
def test_wrong_decoders_are_named(exercise):
    known = {m.name: m.wrong for m in DECODER.misconceptions}
    assert grade(DECODER, known[exercise], 0).misconception == exercise


def test_a_mistake_is_named_in_a_module_of_another_style():
    def answer(D, H, K, lr):
        model = heads_in_another_order(D, H, K, lr)
        model.update = lambda loss: without_zeroing(model, loss)
        return model

    assert grade(EXERCISE, answer, 0).misconception == "no_zero_grad"


@pytest.mark.parametrize(
    ("name", "met"),
    [
        ("no_zero_grad", (True, True, True, True, False)),
        ("new_optimiser", (True, True, True, True, False)),
        ("step_first", (True, True, True, False, False)),
        ("ascent", (True, True, True, False, False)),
        ("half_dropped", (True, True, False, False, False)),
        ("detached", (True, False, True, False, False)),
        ("no_activation", (False,) * 5),
    ],
)
def test_each_part_earns_its_own_points(name, met):
    report = grade(EXERCISE, WRONG[name], 1)
    assert tuple(row.message is None for row in report.rows) == met, report


def test_an_argument_read_in_another_way_is_said():
    report = grade(EXERCISE, lambda D, H, K, lr: Machine(D, H, K, 2 * lr), 0)
    assert "with 2·lr in the place of lr" in report.diagnosis


# --- what is said of a module that cannot be compared -------------------------------


def module(forward, *layers):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(layers)

    Other.forward = forward
    return Other()


def hidden_away(K, H, D):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(K, H), nn.Linear(H, D)]

        def forward(self, z):
            return self.layers[1](self.layers[0](z).relu())

    return Other()


class NoModule:
    def __init__(self, K, H, D):
        self.D = D

    def __call__(self, z):
        return torch.zeros(len(z), self.D)


def changes_inputs(K, H, D):
    def forward(self, z):
        z += 1
        return self.layers[0](z - 1)

    return module(forward, decoder(K, H, D))


def without_forward(K, H, D):
    class Other(nn.Module):
        pass

    return Other()


CANNOT = [
    (lambda K, H, D: None, "returns None"),
    (lambda K, H, D: nn.Sequential, "returns the class itself"),
    (lambda K, H, D: (nn.Linear(K, H), nn.Linear(H, D)), "a tuple of 2, expected one"),
    (lambda K, H, D: lambda z: z, "a function, expected one nn.Module"),
    (NoModule, "class Name\\(nn.Module\\)"),
    (without_forward, "no method `forward"),
    (hidden_away, "no parameters: layers in a plain list"),
    (lambda K, H, D: nn.Linear(K, D), r"missing: \(5, 3\), \(5,\)"),
    (lambda K, H, D: nn.Sequential(nn.Linear(K, H, bias=False), nn.ReLU(),
     nn.Linear(H, D)), r"missing: \(5,\)\."),
    (lambda K, H, D: nn.Sequential(decoder(K, H, D), nn.Linear(D, 2 * D)),
     r"not expected: \(14, 7\), \(14,\)"),
    (lambda K, H, D: decoder(K, H, D).double(), "in float64, expected"),
    (lambda K, H, D: module(lambda self, z: self.layers[0](z.double().float()).double(),
     decoder(K, H, D)), "in float64, expected"),
    (lambda K, H, D: nn.Sequential(decoder(K, H, D), nn.Dropout(0.5)),
     "leave out dropout"),
    (lambda K, H, D: module(lambda self, z: self.layers[0](z + torch.randn_like(z)),
     decoder(K, H, D)), "noise comes in as an argument"),
    (lambda K, H, D: nn.Sequential(decoder(K, H, D), nn.BatchNorm1d(D, affine=False)),
     "(with the others in its batch|more than 1 value per channel)"),
    (lambda K, H, D: module(lambda self, z: self.layers[0](z) - z.mean(),
     decoder(K, H, D)), "with the others in its batch"),
    (changes_inputs, "forward changes its inputs in place"),
    (lambda K, H, D: module(lambda self, z: self.layers[0](z)[0], decoder(K, H, D)),
     r"forward returns shape \(7,\), expected \(5, 7\)"),
    (lambda K, H, D: module(lambda self, z: None, decoder(K, H, D)),
     "forward returns None"),
    (lambda K, H, D: module(lambda self, z: self.layers[0](z, z), decoder(K, H, D)),
     "raises TypeError: .*forward"),
    (lambda K, H, D: module(lambda self, z: self.layers[0](z).detach(),
     decoder(K, H, D)), "no gradient reaches the parameter 1 of shape"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "words"), CANNOT)
def test_what_cannot_be_compared_is_said_in_words(answer, words):
    report = grade(DECODER, answer, 0)
    assert report.status == "failed"
    assert re.search(words, messages(report)), messages(report)


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"step": None}, "no method `step`"),
        ({"step": lambda self, x, eps: None}, "step returns None"),
        (
            {"step": lambda self, x, eps: self(x, eps)},
            "a tuple of 3, expected",
        ),
        ({"step": lambda self, x, eps: x.mul_(0).sum()}, "step changes its inputs"),
        ({"step": lambda self, x: 0.0}, "raises TypeError"),
    ],
)
def test_a_step_that_is_none_is_said_in_words(methods, words):
    report = grade(EXERCISE, wrong(**methods), 0)
    met = [row.message is None for row in report.rows]
    assert met == [True, True, False, False, False]
    assert words in messages(report)


# --- stubs --------------------------------------------------------------------------


def stub_in_forward(D, H, K, lr):
    class Stub(nn.Module):
        def forward(self, x, eps):
            raise NotImplementedError()

    return Stub()


class StubOfAClass(nn.Module):
    def __init__(self, D, H, K, lr):
        super().__init__()
        raise NotImplementedError()


def stub_in_step(D, H, K, lr):
    class Stub(Machine):
        def step(self, x, eps):
            raise NotImplementedError()

    return Stub(D, H, K, lr)


def test_a_stub_in_a_method_is_not_attempted():
    for stub in (stub_in_forward, StubOfAClass):
        assert grade(EXERCISE, stub, 0).status == "not attempted"
    report = grade(EXERCISE, stub_in_step, 0)
    assert report.status == "failed"
    assert report.score == 2.0
    assert "still the stub" in messages(report)


def test_an_error_of_torch_is_no_stub():
    def answer(D, H, K, lr):
        raise NotImplementedError("not for this kind of tensor")

    assert grade(EXERCISE, answer, 0).status == "failed"
    assert not is_stub(answer, NotImplementedError())


def test_the_line_of_an_error_in_forward_is_named():
    def answer(D, H, K, lr):
        class Other(Machine):
            def forward(self, x, eps):
                return self.nothing(x)

        return Other(D, H, K, lr)

    assert "`return self.nothing(x)`" in messages(grade(EXERCISE, answer, 0))


# --- the weights --------------------------------------------------------------------


@given(st.permutations(range(5)), st.lists(st.booleans(), min_size=5, max_size=5))
def test_weights_are_loaded_and_read_whatever_their_order(order, turned):
    drawn = [torch.randn(s).double() for s in ((4, 3), (4,), (2, 4), (2,), (6, 5, 3))]
    own = [drawn[one].T if turn and drawn[one].ndim == 2 else drawn[one]
           for one, turn in zip(order, turned, strict=True)]  # fmt: skip
    holder = nn.Module()
    for place, one in enumerate(own):
        holder.register_parameter(f"p{place}", nn.Parameter(torch.zeros(one.shape)))
    weights = Weights(holder, drawn)
    weights.load(weights.way)
    for parameter, one in zip(holder.parameters(), own, strict=True):
        assert torch.equal(parameter.detach(), one)
    for read, one in zip(weights.read().values(), drawn, strict=True):
        assert torch.equal(read, one)


def test_all_ways_to_place_two_heads_are_tried():
    heads = [(2, 4), (2,), (2, 4), (2,)]
    assert len(list(fits(heads, heads))) == 4
    assert len(list(fits([(4, 4), (4,)], heads))) == 8  # turned, too: (4, 4) is square
    assert not list(fits([(2, 4), (2,)], heads))
    assert not list(fits([*heads, (3,)], heads))


def test_the_seed_of_the_data_is_in_the_arguments():
    one = EXERCISE.ask(machine, (7, 5, 3, 0.1), (7, 5, 3, 0.1))
    other = EXERCISE.ask(machine, (7, 5, 3, 0.1), (7, 5, 3, 0.2))
    again = EXERCISE.ask(machine, (7, 5, 3, 0.1), (7, 5, 3, 0.1))
    assert one[LOSS] == again[LOSS] != other[LOSS]


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="expected one of outputs, gradients"):
        built("weights", "the weights")


# --- the copy of the process, and generators ----------------------------------------


def test_a_module_is_graded_in_a_copy_of_the_process():
    assert grade_apart(EXERCISE, chunked, 0).status == "passed"
    report = grade_apart(EXERCISE, WRONG["no_zero_grad"], 0)
    assert report.diagnosis == "It is no_zero_grad."


def test_a_step_that_never_ends_is_stopped():
    def forever(self, x, eps):
        while True:
            pass

    report = grade_apart(EXERCISE, wrong(step=forever), 0, seconds=0.5, together=2.0)
    assert "took too long" in messages(report)


def test_a_generator_is_copied_in_its_state():
    generator = torch.Generator().manual_seed(3)
    copy = copied((generator,))[0]
    assert torch.equal(
        torch.rand(2, generator=copy), torch.rand(2, generator=generator)
    )
    assert unharmed(copy, generator)
