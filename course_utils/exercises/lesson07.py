"""Exercises of lesson 07: the parts of a VAE, a density, a prior, the effective β."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_utils import objectives
from course_utils.grading.building import (
    GRADIENTS,
    LOSS,
    ONE_STEP,
    OUTPUTS,
    THREE_STEPS,
    Build,
    built,
)
from course_utils.grading.criteria import (
    agrees,
    at_the_edges,
    between,
    gradients,
    normal,
    orthogonal,
    rows_stand_alone,
    uniform,
)
from course_utils.grading.declare import (
    Step,
    Steps,
    declare,
    evaluate,
    instead,
    words_beside,
)
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.grading.values import as_float
from course_utils.models.likelihoods import reparameterise

LOG_2PI = math.log(2 * math.pi)
WORDS = words_beside(__file__)


def _own_row(dims: tuple[int, ...]) -> Criterion:
    """Each example on its own, and not the same answer for all of them."""
    alone = rows_stand_alone(dims=dims)

    def test(trial: Trial) -> None:
        for arguments in trial.inputs():
            got = trial.call(*arguments)
            for part in got if isinstance(got, tuple | list) else (got,):
                if part.max() - part.min() < 1e-9:
                    raise Refused("your function gives every example the same number.")
        alone.test(trial)

    return Criterion(alone.text, alone.points, test)


# The rate in named steps, and the slips in them, which lesson 08 has.
RATE_STEPS: dict[str, Step] = {
    "square": lambda mu: mu**2,
    "variance": lambda logvar: logvar.exp(),
    "log_variance": lambda logvar: logvar,
}
RATE_SLIPS: dict[str, Steps] = {
    "log_sigma": instead(logvar=lambda logvar: 2 * logvar),
    "variance_squared": instead(variance=lambda variance: variance**2),
    "sigma_for_variance": instead(variance=lambda variance: variance.sqrt()),
    "no_exp": instead(variance=lambda logvar: logvar),
    "mu_not_squared": instead(square=lambda mu: mu),
    "mu_size": instead(square=lambda mu: mu.abs()),
    "mu_left_out": instead(square=lambda: 0),
    "logvar_left_out": instead(log_variance=lambda: 0),
    "logvar_added": instead(log_variance=lambda logvar: -logvar),
    "logvar_halved": instead(log_variance=lambda logvar: logvar / 2),
    "logvar_doubled": instead(log_variance=lambda logvar: 2 * logvar),
}


def _cut(value: Tensor) -> Tensor:
    return value.detach()


# --- the parts of a machine ---------------------------------------------------------


class Encoder(nn.Module):
    """x -> mu, logvar of q(z|x); the wrong ones below change one method."""

    def __init__(self, D: int, H: int, K: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(D, H)
        self.mu, self.logvar = nn.Linear(H, K), nn.Linear(H, K)

    def features(self, x: Tensor) -> Tensor:
        """Hidden layer (N, H)."""
        return self.hidden(x).relu()

    def ends(self, mu: Tensor, logvar: Tensor) -> Any:
        """Return the two heads, as asked."""
        return mu, logvar

    def forward(self, x: Tensor) -> Any:
        """Map data (N, D) to mu and logvar of q(z|x), each (N, K)."""
        h = self.features(x)
        return self.ends(self.mu(h), self.logvar(h))


def vae_encoder(D: int, H: int, K: int) -> nn.Module:
    """Encode data (N, D) through H hidden units as mu and logvar, (N, K) each."""
    return Encoder(D, H, K)


def vae_decoder(K: int, H: int, D: int) -> nn.Module:
    """Decode codes (N, K) through H hidden units as the logits of p(x|z), (N, D)."""
    return nn.Sequential(nn.Linear(K, H), nn.ReLU(), nn.Linear(H, D))


class Machine(nn.Module):
    """A VAE that trains itself; the wrong ones below change one method."""

    def __init__(self, D: int, H: int, K: int, lr: float) -> None:
        super().__init__()
        self.encoder, self.decoder = vae_encoder(D, H, K), vae_decoder(K, H, D)
        self.optimiser = self.chosen(lr)

    def chosen(self, lr: float) -> torch.optim.Optimizer:
        """Make the optimiser."""
        return torch.optim.Adam(self.parameters(), lr=lr)

    def forward(self, x: Tensor, eps: Tensor) -> Any:
        """Encode (N, D), draw z with the noise (N, K), decode: logits, mu, logvar."""
        mu, logvar = self.encoder(x)
        return self.decoder(self.drawn(mu, logvar, eps)), mu, logvar

    def drawn(self, mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
        """Draw z."""
        return reparameterise(mu, logvar, eps)

    def step(self, x: Tensor, eps: Tensor) -> float:
        """Make one optimiser step; return the loss before it, nats per example."""
        logits, mu, logvar = self(x, eps)
        loss = self.loss(self.entropies(x, logits), mu, logvar)
        self.update(loss)
        return loss.item()

    def entropies(self, x: Tensor, logits: Tensor) -> Tensor:
        """Cross-entropy of each pixel, (N, D)."""
        return functional.binary_cross_entropy_with_logits(logits, x, reduction="none")

    def loss(self, entropies: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        """−ELBO, mean over the batch."""
        return (entropies.sum(1) + objectives.gaussian_kl(mu, logvar)).mean()

    def update(self, loss: Tensor) -> None:
        """Move the weights."""
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


def vae(D: int, H: int, K: int, lr: float) -> nn.Module:
    """Put encoder, decoder and Adam into a module that has ``step(x, eps)``."""
    return Machine(D, H, K, lr)


def _changed(kind: type[nn.Module], **methods: Any) -> Step:
    """Build the same with other methods: a mistake."""
    wrong = type("Wrong", (kind,), methods)
    if kind is Encoder:
        return lambda D, H, K: wrong(D, H, K)
    return lambda D, H, K, lr: wrong(D, H, K, lr)


# --- vae_encoder --------------------------------------------------------------------


def _sizes(generator: torch.Generator) -> list[Arguments]:
    """D, H and K: none is another, none twice another."""
    more = int(torch.randint(3, (), generator=generator))
    return [(11 + 2 * more, 7, 2), (13, 8 + more, 3)]


def _images(generator: torch.Generator, D: int, H: int, K: int) -> list[Arguments]:
    return [(uniform(generator, 5, D).round(),)] * 3


def _with_mlp(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, _Halves())


class _Halves(nn.Module):
    """The two halves of each row."""

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = h.chunk(2, dim=1)
        return mu, logvar


def _one_layer(D: int, H: int, K: int) -> nn.Module:
    return _with_mlp(nn.Linear(D, 2 * K))


def _two_hidden(D: int, H: int, K: int) -> nn.Module:
    return _with_mlp(
        nn.Linear(D, H), nn.ReLU(), nn.Linear(H, H), nn.ReLU(), nn.Linear(H, 2 * K)
    )


VAE_ENCODER = declare(
    WORDS["vae_encoder"],
    vae_encoder,
    _sizes,
    criteria=(
        built(OUTPUTS, "mu and logvar", 2.0),
        built(GRADIENTS, "it can be trained", 1.0),
    ),
    probe=Build(vae_encoder, _images),
    mistakes={
        "no_activation": _changed(Encoder, features=lambda self, x: self.hidden(x)),
        "tanh": _changed(Encoder, features=lambda self, x: self.hidden(x).tanh()),
        "sigmoid_inside": _changed(
            Encoder, features=lambda self, x: self.hidden(x).sigmoid()
        ),
        "relu_at_the_end": _changed(
            Encoder, ends=lambda self, mu, logvar: (mu.relu(), logvar.relu())
        ),
        "relu_on_mu": _changed(
            Encoder, ends=lambda self, mu, logvar: (mu.relu(), logvar)
        ),
        "relu_on_logvar": _changed(
            Encoder, ends=lambda self, mu, logvar: (mu, logvar.relu())
        ),
        "softplus": _changed(
            Encoder, ends=lambda self, mu, logvar: (mu, functional.softplus(logvar))
        ),
        "variance": _changed(Encoder, ends=lambda self, mu, logvar: (mu, logvar.exp())),
        "deviation": _changed(
            Encoder, ends=lambda self, mu, logvar: (mu, (0.5 * logvar).exp())
        ),
        "tanh_on_mu": _changed(
            Encoder, ends=lambda self, mu, logvar: (mu.tanh(), logvar)
        ),
        "clamped": _changed(
            Encoder, ends=lambda self, mu, logvar: (mu, logvar.clamp(-0.1, 0.1))
        ),
        "one_tensor": _changed(
            Encoder, ends=lambda self, mu, logvar: torch.cat([mu, logvar], 1)
        ),
        "mu_alone": _changed(Encoder, ends=lambda self, mu, logvar: mu),
        "detached": _changed(
            Encoder, ends=lambda self, mu, logvar: (mu.detach(), logvar.detach())
        ),
        "features_cut": _changed(
            Encoder, features=lambda self, x: self.hidden(x).relu().detach()
        ),
        "one_layer": _one_layer,
        "two_hidden": _two_hidden,
    },
)


# --- vae_decoder --------------------------------------------------------------------


def _decoder_sizes(generator: torch.Generator) -> list[Arguments]:
    return [(K, H, D) for D, H, K in _sizes(generator)]


def _codes(generator: torch.Generator, K: int, H: int, D: int) -> list[Arguments]:
    return [(normal(generator, 5, K),)] * 3


VAE_DECODER = declare(
    WORDS["vae_decoder"],
    vae_decoder,
    _decoder_sizes,
    criteria=(
        built(OUTPUTS, "the logits of the pixels", 2.0),
        built(GRADIENTS, "it can be trained", 1.0),
    ),
    probe=Build(vae_decoder, _codes),
    steps={"hidden": lambda K, H: nn.Linear(K, H), "out": lambda H, D: nn.Linear(H, D)},
    mistakes={
        "sigmoid": lambda hidden, out: nn.Sequential(
            hidden, nn.ReLU(), out, nn.Sigmoid()
        ),
        "relu_at_the_end": lambda hidden, out: nn.Sequential(
            hidden, nn.ReLU(), out, nn.ReLU()
        ),
        "tanh_at_the_end": lambda hidden, out: nn.Sequential(
            hidden, nn.ReLU(), out, nn.Tanh()
        ),
        "softmax": lambda hidden, out: nn.Sequential(
            hidden, nn.ReLU(), out, nn.Softmax(dim=1)
        ),
        "no_activation": lambda hidden, out: nn.Sequential(hidden, out),
        "sigmoid_inside": lambda hidden, out: nn.Sequential(hidden, nn.Sigmoid(), out),
        "tanh": lambda hidden, out: nn.Sequential(hidden, nn.Tanh(), out),
        "one_layer": lambda K, D: nn.Linear(K, D),
        "turned_round": lambda K, H, D: nn.Sequential(
            nn.Linear(D, H), nn.ReLU(), nn.Linear(H, K)
        ),
        "two_heads": lambda K, H, D: nn.Sequential(
            nn.Linear(K, H), nn.ReLU(), nn.Linear(H, 2 * D)
        ),
    },
)


# --- vae ----------------------------------------------------------------------------


def _settings(generator: torch.Generator) -> list[Arguments]:
    """Draw sizes, and a learning rate of its own each."""
    return [(*sizes, between(generator, 0.02, 0.1)) for sizes in _sizes(generator)]


def _batches(
    generator: torch.Generator, D: int, H: int, K: int, lr: float
) -> list[Arguments]:
    """Draw three batches: binary images, and noise."""
    return [
        (uniform(generator, N, D).round(), normal(generator, N, K)) for N in (5, 8, 5)
    ]


def _loss(of: Step) -> Step:
    """Change the loss: ``of`` asks for entropies (N, D), kls (N, K), mu, logvar."""

    def loss(self: Machine, entropies: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        known = {"entropies": entropies, "mu": mu, "logvar": logvar}
        value: Tensor = evaluate("loss", known, {**RATE_STEPS, **TERMS}, {"loss": of})
        return value

    return _changed(Machine, loss=loss)


TERMS: dict[str, Step] = {
    "kls": lambda square, variance, log_variance: (
        0.5 * (square + variance - log_variance - 1)
    ),
    "distortion": lambda entropies: entropies.sum(1),
    "rate": lambda kls: kls.sum(1),
    "loss": lambda distortion, rate: (distortion + rate).mean(),
}


def _no_zero_grad(self: Machine, loss: Tensor) -> None:
    loss.backward()
    self.optimiser.step()


def _optimiser_anew(self: Machine, loss: Tensor) -> None:
    self.optimiser = self.chosen(self.optimiser.param_groups[0]["lr"])
    Machine.update(self, loss)


def _step_first(self: Machine, loss: Tensor) -> None:
    self.optimiser.zero_grad()
    self.optimiser.step()
    loss.backward()


def _zeroed_late(self: Machine, loss: Tensor) -> None:
    loss.backward()
    self.optimiser.zero_grad()
    self.optimiser.step()


def _no_step(self: Machine, loss: Tensor) -> None:
    self.optimiser.zero_grad()
    loss.backward()


def _ascent(self: Machine, loss: Tensor) -> None:
    Machine.update(self, -loss)


def _loss_after(self: Machine, x: Tensor, eps: Tensor) -> float:
    Machine.step(self, x, eps)
    logits, mu, logvar = self(x, eps)
    return float(self.loss(self.entropies(x, logits), mu, logvar))


def _loss_at_mu(self: Machine, x: Tensor, eps: Tensor) -> float:
    return Machine.step(self, x, torch.zeros_like(eps))


def _part_of_the_machine(part: str) -> Step:
    return _changed(
        Machine,
        chosen=lambda self, lr: torch.optim.Adam(getattr(self, part).parameters(), lr),
    )


VAE = declare(
    WORDS["vae"],
    vae,
    _settings,
    criteria=(
        built(OUTPUTS, "forward: encode, draw, decode", 2.0),
        built(GRADIENTS, "gradients reach the encoder through the draw", 1.0),
        built(LOSS, "step returns −ELBO of the batch", 2.0),
        built(ONE_STEP, "one step moves the weights where it should", 1.0),
        built(THREE_STEPS, "three steps do", 1.0),
    ),
    probe=Build(vae, _batches),
    mistakes={
        "variance_for_sigma": _changed(
            Machine, drawn=lambda self, mu, logvar, eps: mu + logvar.exp() * eps
        ),
        "logvar_for_sigma": _changed(
            Machine, drawn=lambda self, mu, logvar, eps: mu + logvar * eps
        ),
        "no_noise": _changed(Machine, drawn=lambda self, mu, logvar, eps: mu),
        "noise_alone": _changed(Machine, drawn=lambda self, mu, logvar, eps: eps),
        "sigma_missing": _changed(
            Machine, drawn=lambda self, mu, logvar, eps: mu + eps
        ),
        "draw_detached": _changed(
            Machine,
            drawn=lambda self, mu, logvar, eps: (
                reparameterise(mu, logvar, eps).detach()
            ),
        ),
        "sigmoid_in_forward": _changed(
            Machine,
            forward=lambda self, x, eps: (
                Machine.forward(self, x, eps)[0].sigmoid(),
                *self.encoder(x),
            ),
        ),
        "outputs_reordered": _changed(
            Machine,
            forward=lambda self, x, eps: Machine.forward(self, x, eps)[::-1],
        ),
        "mean_over_pixels": _loss(lambda entropies, rate: (
            entropies.mean(1) + rate).mean()),
        "mean_over_latents": _loss(lambda distortion, kls: (
            distortion + kls.mean(1)).mean()),
        "both_means": _loss(lambda entropies, kls: entropies.mean() + kls.mean()),
        "batch_sum": _loss(lambda distortion, rate: (distortion + rate).sum()),
        "rate_of_the_batch": _loss(lambda distortion, rate: (
            distortion.mean() + rate.sum())),
        "distortion_of_the_batch": _loss(lambda distortion, rate: (
            distortion.sum() + rate.mean())),
        "no_rate": _loss(lambda distortion: distortion.mean()),
        "no_distortion": _loss(lambda rate: rate.mean()),
        "negative_kl": _loss(lambda distortion, rate: (distortion - rate).mean()),
        "elbo_itself": _loss(lambda distortion, rate: -(distortion + rate).mean()),
        "log_likelihood": _loss(lambda distortion, rate: (-distortion + rate).mean()),
        "half_dropped": _loss(lambda distortion, rate: (distortion + 2 * rate).mean()),
        "rate_detached": _loss(lambda distortion, rate: (
            distortion + rate.detach()).mean()),
        "distortion_detached": _loss(lambda distortion, rate: (
            distortion.detach() + rate).mean()),
        "sigmoid_twice": _changed(Machine, entropies=lambda self, x, logits: (
            Machine.entropies(self, x, logits.sigmoid()))),
        "arguments_swapped": _changed(Machine, entropies=lambda self, x, logits: (
            functional.softplus(x) - x * logits)),
        "squared_error": _changed(Machine, entropies=lambda self, x, logits: (
            (x - logits.sigmoid()) ** 2)),
        "squared_error_of_logits": _changed(Machine, entropies=lambda self, x, logits: (
            (x - logits) ** 2)),
        "no_zero_grad": _changed(Machine, update=_no_zero_grad),
        "optimiser_anew": _changed(Machine, update=_optimiser_anew),
        "step_first": _changed(Machine, update=_step_first),
        "zeroed_late": _changed(Machine, update=_zeroed_late),
        "no_step": _changed(Machine, update=_no_step),
        "ascent": _changed(Machine, update=_ascent),
        "loss_after": _changed(Machine, step=_loss_after),
        "loss_at_mu": _changed(Machine, step=_loss_at_mu),
        "encoder_alone": _part_of_the_machine("encoder"),
        "decoder_alone": _part_of_the_machine("decoder"),
        "plain_descent": _changed(
            Machine, chosen=lambda self, lr: torch.optim.SGD(self.parameters(), lr)
        ),
    },
)  # fmt: skip


# --- prior_samples ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Decoder:
    """A decoder with a known inverse: the codes can be read off its logits."""

    weight: Tensor  # (D, K), with orthogonal columns
    bias: Tensor  # (D,)

    def __call__(self, z: Tensor) -> Tensor:
        """Map codes (N, K) to logits (N, D)."""
        if z.ndim != 2 or z.shape[1] != self.weight.shape[1]:
            K = self.weight.shape[1]
            shape = tuple(z.shape)
            raise RuntimeError(f"decode wants codes (count, {K}), got shape {shape}")
        return z @ self.weight.T + self.bias

    def codes(self, images: Tensor) -> Tensor:
        """Read the codes (N, K) off probabilities (N, D)."""
        logits = torch.logit(images.double(), eps=1e-9) - self.bias
        return logits @ self.weight.double()


def _decoders(generator: torch.Generator) -> list[Arguments]:
    drawn: list[Arguments] = []
    for count, D, K in ((4000, 7, 3), (4000, 6, 2)):
        weight = orthogonal(generator, D)[:, :K].float()
        decode = Decoder(weight, 0.5 * normal(generator, D).float())
        seed = int(torch.randint(1000, (), generator=generator))
        drawn.append((decode, count, K, torch.Generator().manual_seed(seed)))
    return drawn


def prior_samples(
    decode: Step, count: int, K: int, generator: torch.Generator
) -> Tensor:
    """Draw codes from the prior; return the probabilities of ink, (count, D)."""
    return torch.sigmoid(decode(torch.randn(count, K, generator=generator)))


def _are_probabilities(trial: Trial) -> None:
    for decode, count, K, generator in trial.inputs():
        got = trial.call(decode, count, K, generator)
        if got.min() < 0 or got.max() > 1:
            raise Refused(
                f"its values go from {got.min():.3g} to {got.max():.3g}: expected "
                "probabilities. The decoder gives logits."
            )
        trial.expect_close(
            torch.sigmoid(decode(decode.codes(got).float())),
            got,
            "the images are not those of any codes that went through the decoder once",
            tolerance=1e-3,
        )


def _from_the_prior(trial: Trial) -> None:
    for decode, count, K, generator in trial.inputs():
        z = decode.codes(trial.call(decode, count, K, generator))
        mean, cov = z.mean(0), torch.cov(z.T)
        if mean.abs().max() > 0.1 or (cov - torch.eye(K)).abs().max() > 0.15:
            raise Refused(
                f"the {count} codes have the means {_in_words(mean)} and the variances "
                f"{_in_words(cov.diag())}; expected about 0 and 1, unrelated."
            )
        fourth = ((z - mean) ** 4).mean(0) / cov.diag() ** 2
        if (fourth - 3).abs().max() > 0.7:
            raise Refused("the codes have mean 0 and variance 1, and are no Gaussian.")


def _in_words(values: Tensor) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _by_the_generator(trial: Trial) -> None:
    (decode, count, K, generator), *_ = trial.inputs()
    other = torch.Generator().manual_seed(generator.initial_seed() + 1)
    once, again, new = (
        trial.call(decode, count, K, g) for g in (generator, generator, other)
    )
    if not torch.equal(once, again):
        raise Refused("the same generator gives other images: pass it to the draw.")
    if torch.equal(once, new):
        raise Refused("another generator gives the same images: pass it to the draw.")


PRIOR_SAMPLES = declare(
    WORDS["prior_samples"],
    prior_samples,
    _decoders,
    criteria=(
        Criterion("decoded once, to probabilities", 1.0, _are_probabilities),
        Criterion("the codes come from N(0, I)", 2.0, _from_the_prior),
        Criterion("drawn by the generator", 1.0, _by_the_generator),
    ),
    tolerance=1e-4,
    steps={
        "z": lambda count, K, generator: torch.randn(count, K, generator=generator),
        "logits": lambda decode, z: decode(z),
        "answer": lambda logits: logits.sigmoid(),
    },
    mistakes={
        "logits_as_they_are": lambda logits: logits,
        "sigmoid_twice": lambda answer: answer.sigmoid(),
        "softmax": lambda logits: logits.softmax(1),
        "exp": lambda logits: logits.exp(),
        "tossed": lambda answer: (answer > 0.5).float(),
        "uniform": instead(
            z=lambda count, K, generator: torch.rand(count, K, generator=generator)
        ),
        "uniform_square": instead(
            z=lambda count, K, generator: (
                2 * torch.rand(count, K, generator=generator) - 1
            )
        ),
        "the_mean_alone": instead(z=lambda count, K: torch.zeros(count, K)),
        "one_code": instead(
            z=lambda count, K, generator: torch.randn(1, K, generator=generator).expand(
                count, K
            )
        ),
        "one_number_a_code": instead(
            z=lambda count, K, generator: torch.randn(
                count, 1, generator=generator
            ).expand(count, K)
        ),
        "codes_alone": lambda z: z,
        "one_image": instead(
            z=lambda K, generator: torch.randn(1, K, generator=generator)
        ),
    },
)


# --- mixture_rate -------------------------------------------------------------------


def _mixtures(generator: torch.Generator) -> list[Arguments]:
    """Draw codes with their q, and a mixture: N, K and C all differ."""
    drawn: list[Arguments] = []
    for N, K, C in ((5, 3, 4), (7, 2, 3)):
        mu, logvar = normal(generator, N, K), normal(generator, N, K) - 1
        z = reparameterise(mu, logvar, normal(generator, N, K))
        weights = torch.softmax(normal(generator, C), 0)
        means, logvars = 1.5 * normal(generator, C, K), normal(generator, C, K) - 0.5
        drawn.append((z, mu, logvar, weights, means, logvars))
    return drawn


def _far_codes(generator: torch.Generator) -> dict[str, Arguments]:
    (z, mu, logvar, *mixture), _ = _mixtures(generator)
    said = "codes far from all components, whose densities round to 0 (add logarithms)"
    return {said: (z + 60, mu + 60, logvar, *mixture)}


def _log_normal(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """Log-density of each coordinate."""
    return -0.5 * ((x - mean) ** 2 / logvar.exp() + logvar + LOG_2PI)


def mixture_rate(
    z: Tensor,
    mu: Tensor,
    logvar: Tensor,
    weights: Tensor,
    means: Tensor,
    logvars: Tensor,
) -> Tensor:
    """KL(q ‖ mixture), estimated at one drawn z an example, (N,)."""
    log_q = _log_normal(z, mu, logvar).sum(1)
    each = _log_normal(z[:, None], means, logvars).sum(2)  # (N, C)
    return log_q - (each + weights.log()).logsumexp(1)


MIXTURE_RATE = declare(
    WORDS["mixture_rate"],
    mixture_rate,
    _mixtures,
    criteria=(
        agrees("equal to log q(z|x) − log p(z)", 2.0),
        at_the_edges(_far_codes, "far from all components, too"),
        gradients("networks and prior can be trained through it"),
        rows_stand_alone(dims=(0, 0, 0)),
    ),
    gradients=(0, 1, 2, 4, 5),  # of weights that sum to 1 there are two, both right
    steps={
        "log_q": lambda z, mu, logvar: _log_normal(z, mu, logvar).sum(1),
        "each": lambda z, means, logvars: (  # (N, C)
            _log_normal(z[:, None], means, logvars).sum(2)
        ),
        "joint": lambda each, weights: each + weights.log(),
        "log_p": lambda joint: joint.logsumexp(1),
        "answer": lambda log_q, log_p: log_q - log_p,
    },
    mistakes={
        "wrong_sign": lambda answer: -answer,
        "prior_alone": lambda log_p: -log_p,
        "code_alone": lambda log_q: log_q,
        "added": lambda log_q, log_p: log_q + log_p,
        "weights_forgotten": instead(joint=lambda each: each),
        "equal_weights": instead(joint=lambda each: each - math.log(each.shape[1])),
        "weights_not_log": instead(joint=lambda each, weights: each + weights),
        "logarithms_averaged": instead(
            log_p=lambda each, weights: (weights * each).sum(1)
        ),
        "logarithms_summed": instead(log_p=lambda joint: joint.sum(1)),
        "best_component": instead(log_p=lambda joint: joint.max(1).values),
        "sigma_for_variance": instead(logvars=lambda logvars: 2 * logvars),
        "standard_normal": lambda log_q, z: log_q - _log_normal(
            z, 0 * z, 0 * z).sum(1),
        "at_the_mean": instead(z=lambda mu: mu),
        "mean_over_latents": instead(
            log_q=lambda z, mu, logvar: _log_normal(z, mu, logvar).mean(1)
        ),
        "of_the_batch": lambda answer: answer.mean(),
        "q_cut": instead(log_q=lambda log_q: _cut(log_q)),
        "prior_cut": instead(log_p=lambda log_p: _cut(log_p)),
        "draw_cut": instead(z=lambda z: _cut(z)),
    },
)  # fmt: skip


# --- gaussian_log_prob --------------------------------------------------------------


def _pixels(generator: torch.Generator) -> list[Arguments]:
    """Draw data, means and one logvar for all pixels, not near 0."""
    drawn: list[Arguments] = []
    for count, D, sign in ((5, 7, -1.0), (4, 11, 1.0)):
        mean = normal(generator, count, D)
        logvar = torch.tensor(sign * between(generator, 0.4, 1.6), dtype=torch.float64)
        x = mean + normal(generator, count, D)
        drawn.append((x, mean, logvar))
    return drawn


def _hard_pixels(generator: torch.Generator) -> dict[str, Arguments]:
    (_, _, logvar), _ = _pixels(generator)
    eps = normal(generator, 4, 5)
    tiny, huge = logvar - 40, logvar.abs() + 30
    near = (tiny / 2).exp() * eps, 0 * eps, tiny
    wide = (huge / 2).exp() * eps, 0 * eps, huge
    far = 30 * normal(generator, 3, 12)
    return {
        f"logvar = {float(tiny):.0f} (take it as it is, with no clamp)": near,
        f"logvar = {float(huge):.0f} (take it as it is, with no clamp)": wide,
        "pixels far from their mean, whose density rounds to 0 (add logarithms, do "
        "not take the logarithm of a density)": (far, 0 * far, 0 * logvar),
    }


def _integrates_to_one(trial: Trial) -> None:
    """Over the plane of two pixels, where what counts once and what D times differ."""
    for _, _, logvar in trial.inputs():
        sigma = float(torch.exp(0.5 * logvar))
        axis = torch.linspace(-10, 10, 81, dtype=torch.float64) * sigma
        x = torch.cartesian_prod(axis, axis)
        density = trial.call(x, torch.zeros_like(x), logvar).exp()
        mass = float(density.sum()) * (sigma / 4) ** 2
        if not abs(mass - 1) < 1e-5:
            raise Refused(
                f"for images of two pixels the density integrates to {mass:.4g}, "
                "expected 1: is every pixel's normaliser there, and right?"
            )


GAUSSIAN_LOG_PROB = declare(
    WORDS["gaussian_log_prob"],
    objectives.gaussian_log_prob,
    _pixels,
    criteria=(
        agrees("equal to the closed form"),
        Criterion("a density: it integrates to 1", 1.0, _integrates_to_one),
        at_the_edges(_hard_pixels, "at any σ, and far from the mean"),
        gradients("the mean and σ can be trained through it"),
        _own_row((0, 0)),
    ),
    gradients=(1, 2),
    steps={
        "D": lambda x: x.shape[1],
        "variance": lambda logvar: logvar.exp(),
        "square": lambda x, mean: (x - mean) ** 2,
        "error": lambda square, variance: square / variance,
        "errors": lambda error: error.sum(1),
        "normaliser": lambda logvar: logvar + LOG_2PI,
        "pixels": lambda error, normaliser: -0.5 * (error + normaliser),
        "answer": lambda pixels: pixels.sum(1),
    },
    mistakes={
        "normaliser_once": lambda errors, normaliser: -0.5 * (errors + normaliser),
        "logvar_once": lambda errors, logvar, D: -0.5 * (errors + logvar + D * LOG_2PI),
        "constant_once": lambda errors, logvar, D: (
            -0.5 * (errors + D * logvar + LOG_2PI)
        ),
        "normaliser_64": lambda errors, normaliser: -0.5 * (errors + 64 * normaliser),
        "normaliser_784": lambda errors, normaliser: -0.5 * (errors + 784 * normaliser),
        "batch_times_pixels": lambda x, errors, normaliser: (
            -0.5 * (errors + x.numel() * normaliser)
        ),
        "no_2pi": instead(normaliser=lambda logvar: logvar),
        "no_logvar": instead(normaliser=lambda: LOG_2PI),
        "no_normaliser": instead(normaliser=lambda: 0),
        "plain_squares": lambda x, mean: -((x - mean) ** 2).sum(1),
        "square_without_half": instead(error=lambda error: 2 * error),
        "all_without_half": lambda answer: 2 * answer,
        "half_on_square_only": instead(normaliser=lambda normaliser: 2 * normaliser),
        "as_log_sigma": instead(logvar=lambda logvar: 2 * logvar),
        "normaliser_sign": instead(normaliser=lambda normaliser: -normaliser),
        "log_sigma_is_logvar": instead(normaliser=lambda logvar: 2 * logvar + LOG_2PI),
        "batch_for_pixels": lambda x, errors, normaliser: (
            -0.5 * (errors + len(x) * normaliser)
        ),
        "sigma_in_normaliser": instead(normaliser=lambda logvar: logvar / 2 + LOG_2PI),
        "logvar_sign": instead(normaliser=lambda logvar: LOG_2PI - logvar),
        "constant_sign": instead(normaliser=lambda logvar: logvar - LOG_2PI),
        "pi_without_log": instead(normaliser=lambda logvar: logvar + 2 * math.pi),
        "variance_without_log": instead(normaliser=lambda variance: variance + LOG_2PI),
        "two_missing": instead(normaliser=lambda logvar: logvar + math.log(math.pi)),
        "error_sign": instead(error=lambda error: -error),
        "error_not_squared": instead(square=lambda x, mean: (x - mean).abs()),
        "distance_not_squared": instead(
            errors=lambda square, variance: square.sum(1).sqrt() / variance,
            answer=lambda errors, normaliser, D: -0.5 * (errors + D * normaliser),
        ),
        "over_variance_squared": instead(variance=lambda variance: variance**2),
        "mean_cut": instead(mean=lambda mean: _cut(mean)),
        "logvar_cut": instead(logvar=lambda logvar: _cut(logvar)),
        "over_sigma": instead(variance=lambda variance: variance.sqrt()),
        "times_variance": instead(variance=lambda variance: 1 / variance),
        "negative_log": lambda answer: -answer,
        "pixel_mean": lambda pixels: pixels.mean(1),
        "half_squares": lambda square: -0.5 * square.sum(1),
        "laplace": lambda x, mean, logvar: (
            torch.distributions.Laplace(mean, (logvar / 2).exp()).log_prob(x).sum(1)
        ),
        "density": lambda answer: answer.exp(),
        "one_number": lambda answer: answer.mean(),
        "each_pixel": lambda pixels: pixels,
    },
)


# --- effective_beta -----------------------------------------------------------------


def _weights(generator: torch.Generator) -> list[Arguments]:
    """Weights of the two terms and σ²: none is 1, none is twice another."""
    small, large = (0.05, 0.4), (1.5, 4.0)
    return [
        tuple(between(generator, *span) for span in ((1.3, 3.0), (0.2, 0.9), noise))
        for noise in (small, large, small)
    ]


def effective_beta(a: float, b: float, sigma2: float) -> float:
    """β that the loss a · Σ_d (x − x̂)² + b · Σ_k KL_k runs, if the noise is σ²."""
    return b / (2 * a * sigma2)


def _edge_weights(generator: torch.Generator) -> list[Arguments]:
    """No KL at all, whole numbers, a mean over many pixels, and a heavy KL."""
    sigma2 = between(generator, 0.2, 0.8)
    return [
        (1.7, 0.0, sigma2),
        (1, 1, 1),
        (1, 3, 2),
        (1 / 12288, 0.00025, sigma2),
        (0.5, 250.0, sigma2),
    ]


def _for_any_weights(trial: Trial) -> None:
    for a, b, sigma2 in [*trial.inputs(), *_edge_weights(trial.generator)]:
        got, want = trial.call(a, b, sigma2), trial.reference(a, b, sigma2)
        trial.expect_close(
            got, want, f"with a = {a:.4g}, b = {b:.4g} and sigma2 = {sigma2:.4g}"
        )


def _scale_free(trial: Trial) -> None:
    for a, b, sigma2 in trial.inputs():
        once = as_float(trial.call(a, b, sigma2))
        trial.expect_close(as_float(trial.call(10 * a, 10 * b, sigma2)), once)
        if abs(as_float(trial.call(a, 2 * b, sigma2)) - 2 * once) > 1e-6 * abs(once):
            raise Refused("twice the weight on the KL must give twice the β.")
        if once == 0:
            raise Refused("β is 0 although the KL has a weight.")


def _own_loss(trial: Trial) -> None:
    for _, beta, sigma2 in trial.inputs():
        got = trial.call(1 / (2 * sigma2), beta, sigma2)
        trial.expect_close(
            as_float(got), beta, "the loss is already −log p(x|z) + β · KL"
        )


EFFECTIVE_BETA = declare(
    WORDS["effective_beta"],
    effective_beta,
    _weights,
    criteria=(
        Criterion("right for any weights and any σ²", 3.0, _for_any_weights),
        Criterion("only the ratio of the two weights counts", 1.0, _scale_free),
        Criterion("a loss that is in order keeps its β", 1.0, _own_loss),
    ),
    mistakes={
        "only_b": lambda b: b,
        "ratio": lambda a, b: b / a,
        "no_half": lambda a, b, sigma2: b / (a * sigma2),
        "unit_variance": instead(sigma2=lambda: 1),
        "upside_down": lambda answer: 1 / answer,
        "ratio_upside_down": lambda a, b: a / b,
        "half_wrong_side": lambda a, b, sigma2: 2 * b / (a * sigma2),
        "variance_wrong_side": instead(sigma2=lambda sigma2: 1 / sigma2),
        "both_wrong_side": lambda a, b, sigma2: 2 * sigma2 * b / a,
        "sigma_squared_again": instead(sigma2=lambda sigma2: sigma2**2),
        "deviation": instead(sigma2=lambda sigma2: math.sqrt(sigma2)),
        "scale_alone": instead(b=lambda: 1),
        "a_wrong_side": instead(a=lambda a: 1 / a),
        "a_forgotten": instead(a=lambda: 1),
        "brackets_missing": lambda a, b, sigma2: b / 2 * a * sigma2,
        "all_multiplied": lambda a, b, sigma2: 2 * a * b * sigma2,
        "half_too_many": lambda answer: answer / 2,
        "at_least_one": lambda answer: max(1.0, answer),
        "at_most_one": lambda answer: min(1.0, answer),
        "whole": lambda answer: float(math.floor(answer)),
        "rounded": lambda answer: round(answer, 1),
        "rounded_twice": lambda answer: round(answer, 2),
        "rounded_thrice": lambda answer: round(answer, 3),
        "share": lambda a, b, sigma2: b / (b + 2 * a * sigma2),
        "share_of_weights": lambda a, b: b / (a + b),
        "pixels_64": lambda answer: 64 * answer,
        "pixels_784": lambda answer: 784 * answer,
        "pixels_averaged": lambda answer: answer / 64,
    },
)

EXERCISES = (
    VAE_ENCODER,
    VAE_DECODER,
    VAE,
    PRIOR_SAMPLES,
    GAUSSIAN_LOG_PROB,
    MIXTURE_RATE,
    EFFECTIVE_BETA,
)
