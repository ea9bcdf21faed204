"""Exercises of lesson 01: a proof ended, an autoencoder built and trained, mixing."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, linalg
from torch.nn.functional import normalize

from course_utils.grading.criteria import (
    agrees,
    at_the_edges,
    between,
    gradients,
    normal,
    orthogonal,
    output,
    rows_stand_alone,
    uniform,
)
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.descent import slopes
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.oracles import pca

WORDS = words_beside(__file__)

Memory = dict[str, Any]  # what a step keeps for the next one


def _covariance(generator: torch.Generator, D: int) -> Tensor:
    """Draw a covariance with distinct eigenvalues, so that its axes are defined."""
    gaps = 0.3 + uniform(generator, D)
    axes = orthogonal(generator, D)
    return axes @ torch.diag(gaps.cumsum(0)) @ axes.T


# --- excess_loss --------------------------------------------------------------------


def _line_inputs(generator: torch.Generator) -> list[Arguments]:
    def draw(count: int) -> Arguments:
        second = between(generator, 0.3, 1.5, torch.float64)
        first = second + between(generator, 0.5, 4.0, torch.float64)
        return first, second, 6 * uniform(generator, count) - 3

    return [draw(5), draw(8)]


def _line_edges(generator: torch.Generator) -> dict[str, Arguments]:
    first, second, _ = _line_inputs(generator)[0]
    quarters = torch.arange(-2, 5, dtype=torch.float64) * math.pi / 2
    return {
        "for a line along an axis of the cloud": (first, second, quarters),
        "for a round cloud, where no line is better": (first, first, quarters + 0.4),
        "for a cloud that is itself a line": (first, 0.0, quarters + 0.4),
    }


def excess_loss(first: float, second: float, angle: Tensor) -> Tensor:
    """Return what a line loses beyond the least, (A,), for angles to the long axis."""
    return (first - second) * angle.sin() ** 2


def _turned_cloud(trial: Trial) -> None:
    """Compare with matrices: the cloud turned anywhere, the line at the angle to it."""
    for first, second, angle in trial.inputs():
        axes = orthogonal(trial.generator, 2)
        cov = axes * torch.tensor([first, second], dtype=angle.dtype) @ axes.T
        lines = axes @ torch.stack([angle.cos(), angle.sin()])  # (2, A), of length 1
        lost = cov.trace() - (lines * (cov @ lines)).sum(0)
        trial.expect_close(
            second + trial.call(first, second, angle),
            lost,
            "λ₂ plus your excess must be tr((I − Π) Σ)",
        )


def _never_negative(trial: Trial) -> None:
    for first, second, angle in trial.inputs():
        excess = trial.call(first, second, angle)
        if float(excess.min()) < -1e-9:
            raise Refused(f"an excess is never negative, yours is {excess.min():.4g}.")
        along = trial.call(first, second, torch.zeros_like(angle))
        trial.expect_close(along, torch.zeros_like(angle), "along the long axis")


EXCESS_LOSS = declare(
    WORDS["excess_loss"],
    excess_loss,
    _line_inputs,
    criteria=(
        agrees("is what the line loses beyond λ₂, at any angle", 2.0),
        Criterion("fits the matrices of random clouds and lines", 1.0, _turned_cloud),
        Criterion("is never negative, and 0 along the axis", 1.0, _never_negative),
        at_the_edges(_line_edges, "holds for round and flat clouds, and on the axes"),
    ),
    steps={
        "sine": lambda angle: angle.sin(),
        "square": lambda sine: sine**2,
        "spread": lambda first, second: first - second,
        "answer": lambda spread, square: spread * square,
    },
    mistakes={
        "not_squared": instead(square=lambda sine: sine),
        "absolute_sine": instead(square=lambda sine: sine.abs()),
        "cosine": instead(sine=lambda angle: angle.cos()),
        "tangent": instead(sine=lambda angle: angle.tan()),
        "small_angles": instead(sine=lambda angle: angle),
        "double_angle": instead(sine=lambda angle: (2 * angle).sin()),
        "half_angle": instead(square=lambda angle: (1 - angle.cos()) / 2),
        "half_missing": instead(square=lambda angle: 1 - (2 * angle).cos()),
        "degrees": instead(angle=lambda angle: torch.deg2rad(angle)),
        "sum_of_eigenvalues": instead(spread=lambda first, second: first + second),
        "long_axis_only": instead(spread=lambda first: first),
        "short_axis_only": instead(spread=lambda second: second),
        "sign": lambda answer: -answer,
        "whole_loss": lambda answer, second: second + answer,
        "variance_kept": lambda answer, first: first - answer,
        "standard_deviations": instead(
            spread=lambda first, second: math.sqrt(first) - math.sqrt(second)
        ),
        "squared_eigenvalues": instead(
            spread=lambda first, second: first**2 - second**2
        ),
        "spread_squared": instead(spread=lambda spread: spread**2),
        "share": lambda answer, first, second: answer / (first + second),
        "one_half": lambda answer: answer / 2,
    },
    edges=lambda generator: list(_line_edges(generator).values()),
)


# --- linear_autoencoder -------------------------------------------------------------


def _maps(generator: torch.Generator, N: int, D: int, K: int) -> Arguments:
    sizes = ((N, D), (K, D), (D, K))
    x, F, G = (normal(generator, *size) for size in sizes)
    return x, F / D**0.5, G / K**0.5


def _maps_inputs(generator: torch.Generator) -> list[Arguments]:
    return [_maps(generator, 7, 5, 3), _maps(generator, 4, 9, 2)]


def _maps_edges(generator: torch.Generator) -> list[Arguments]:
    """One example; a code of one number; as many latents as dimensions."""
    return [_maps(generator, *size) for size in ((1, 5, 2), (6, 4, 1), (5, 3, 3))]


def linear_autoencoder(x: Tensor, F: Tensor, G: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes (N, K) and reconstructions (N, D) of centred data (N, D)."""
    z = x @ F.T
    return z, z @ G.T


LINEAR_AUTOENCODER = declare(
    WORDS["linear_autoencoder"],
    linear_autoencoder,
    _maps_inputs,
    criteria=(
        output(0, "encodes: z = F x, one row an example", 1.0, "the code z"),
        output(1, "decodes: x_hat = G z", 2.0, "the reconstruction x_hat"),
        agrees("holds for one example, one latent, and K = D", 1.0, inputs=_maps_edges),
        gradients("can be trained through, in F and in G"),
        rows_stand_alone(),
    ),
    steps={
        "z": lambda x, F: x @ F.T,
        "x_hat": lambda z, G: z @ G.T,
        "answer": lambda z, x_hat: (z, x_hat),
    },
    mistakes={
        "not_transposed": instead(z=lambda x, F: x @ F),
        "decoder_not_transposed": instead(x_hat=lambda z, G: z @ G),
        "maps_exchanged": instead(z=lambda x, G: x @ G, x_hat=lambda z, F: z @ F),
        "tied": instead(x_hat=lambda z, F: z @ F),
        "pseudo_inverse": instead(x_hat=lambda z, F: z @ linalg.pinv(F).T),
        "best_code": instead(z=lambda x, G: x @ linalg.pinv(G).T),
        "order_of_outputs": lambda z, x_hat: (x_hat, z),
        "columns_for_rows": lambda z, x_hat: (z.T, x_hat.T),
        "error_returned": lambda x, z, x_hat: (z, x - x_hat),
        "x_returned": lambda x, z: (z, x + 0),
        "input_added": lambda x, z, x_hat: (z, x + x_hat),
        "centred_by_the_batch": instead(
            z=lambda x, F: (x - x.mean(0)) @ F.T,
            x_hat=lambda x, z, G: z @ G.T + x.mean(0),
        ),
        "bent": instead(z=lambda z: z.tanh()),
        "cut_at_0": instead(z=lambda z: z.relu()),
        "clamped": lambda z, x_hat: (z, x_hat.clamp(0, 1)),
        "squashed": lambda z, x_hat: (z, x_hat.sigmoid()),
        "unit_codes": instead(z=lambda z: normalize(z)),
        "detached": instead(x_hat=lambda z, G: z.detach() @ G.T),
    },
    edges=_maps_edges,
    gradients=(1, 2),
)


# --- train_linear -------------------------------------------------------------------


def _training_inputs(generator: torch.Generator) -> list[Arguments]:
    """One step, and three, from given maps; small enough steps to be stable."""
    one, three = _maps(generator, 9, 6, 2), _maps(generator, 8, 5, 3)
    return [
        (*one, between(generator, 0.01, 0.03), 1),
        (*three, between(generator, 0.01, 0.03), 3),
    ]


def _error(x: Tensor, F: Tensor, G: Tensor) -> Tensor:
    return ((x - x @ F.T @ G.T) ** 2).sum(1).mean()


def _downhill(
    loss: Callable[..., Tensor], F: Tensor, G: Tensor, lr: float, memory: Memory
) -> tuple[Tensor, Tensor]:
    slope_F, slope_G = slopes(loss, F, G)
    return F - lr * slope_F, G - lr * slope_G


def _descend(
    x: Tensor,
    F: Tensor,
    G: Tensor,
    lr: float,
    steps: int,
    *,
    error: Callable[..., Tensor] = _error,
    step: Callable[..., tuple[Tensor, Tensor]] = _downhill,
) -> tuple[Tensor, Tensor, list[float]]:
    """Train both maps; a mistake has another error, or another step."""
    memory: Memory = {}
    losses = []
    for _ in range(steps):
        losses.append(float(error(x, F, G)))
        F, G = step(functools.partial(error, x), F, G, lr, memory)
    return F, G, losses


def train_linear(
    x: Tensor, F: Tensor, G: Tensor, lr: float, steps: int
) -> tuple[Tensor, Tensor, list[float]]:
    """Train by gradient descent: return the maps after it, and the loss of each step.

    Parameters
    ----------
    x
        Centred data (N, D).
    F, G
        Encoder (K, D) and decoder (D, K) to start from; they stay as they are.
    lr, steps
        Size and number of the steps, each with all data.

    Returns
    -------
    F, G, losses
        The trained maps, and a list with the loss before each step.
    """
    return _descend(x, F, G, lr, steps)


def _after(place: int) -> Callable[[Trial], None]:
    """Compare both maps after the steps of one of the inputs."""

    def test(trial: Trial) -> None:
        arguments = trial.inputs()[place]
        got, want = trial.call(*arguments), trial.reference(*arguments)
        for name, mine, right in zip("FG", got, want, strict=False):
            trial.expect_close(mine, right, f"{name} after {arguments[-1]} step(s)")

    return test


def _losses_before(trial: Trial) -> None:
    for arguments in trial.inputs():
        got, want = trial.call(*arguments)[2], trial.reference(*arguments)[2]
        trial.expect_close(got[0], want[0], "the loss before the first step")
        trial.expect_close(got, want, "the losses")


def _learns(trial: Trial) -> None:
    """Train a while, no more than a sign of life: the steps decide."""
    x, F, G, *_ = trial.inputs()[0]
    before = float(_error(x, F, G))
    F, G, _ = trial.call(x, F, G, 0.05, 300)
    least = float(pca.optimal_loss(x.T @ x / len(x), len(F)))
    after = float(_error(x, F.detach(), G.detach()))
    if not after < least + 0.1 * (before - least):
        raise Refused(
            f"after 300 steps the loss is {after:.4g}; it starts at {before:.4g}, and "
            f"the least is {least:.4g}."
        )


# Steps that are wrong.


def _uphill(loss: Any, F: Tensor, G: Tensor, lr: float, memory: Memory) -> Any:
    return _downhill(loss, F, G, -lr, memory)


def _added_up(loss: Any, F: Tensor, G: Tensor, lr: float, memory: Memory) -> Any:
    for name, slope in zip("FG", slopes(loss, F, G), strict=True):
        memory[name] = memory.get(name, 0) + slope
    return F - lr * memory["F"], G - lr * memory["G"]


def _decoder_first(loss: Any, F: Tensor, G: Tensor, lr: float, memory: Memory) -> Any:
    G = G - lr * slopes(loss, F, G)[1]
    return F - lr * slopes(loss, F, G)[0], G


def _encoder_first(loss: Any, F: Tensor, G: Tensor, lr: float, memory: Memory) -> Any:
    F = F - lr * slopes(loss, F, G)[0]
    return F, G - lr * slopes(loss, F, G)[1]


def _decoder_alone(loss: Any, F: Tensor, G: Tensor, lr: float, memory: Memory) -> Any:
    return F, _downhill(loss, F, G, lr, memory)[1]


def _encoder_alone(loss: Any, F: Tensor, G: Tensor, lr: float, memory: Memory) -> Any:
    return _downhill(loss, F, G, lr, memory)[0], G


def _standing(loss: Any, F: Tensor, G: Tensor, lr: float, memory: Memory) -> Any:
    return F, G


def _first_slopes(loss: Any, F: Tensor, G: Tensor, lr: float, memory: Memory) -> Any:
    if not memory:
        memory["F"], memory["G"] = slopes(loss, F, G)
    return F - lr * memory["F"], G - lr * memory["G"]


def _by(optimiser: Callable[..., torch.optim.Optimizer]) -> Callable[..., Any]:
    """Step with one of torch's optimisers."""

    def step(loss: Any, F: Tensor, G: Tensor, lr: float, memory: Memory) -> Any:
        if not memory:
            memory["maps"] = [one.clone().requires_grad_() for one in (F, G)]
            memory["optimiser"] = optimiser(memory["maps"], lr=lr)
        memory["optimiser"].zero_grad()
        loss(*memory["maps"]).backward()
        memory["optimiser"].step()
        return tuple(one.detach().clone() for one in memory["maps"])

    return step


def _unit_slopes(loss: Any, F: Tensor, G: Tensor, lr: float, memory: Memory) -> Any:
    slope_F, slope_G = slopes(loss, F, G)
    return F - lr * slope_F / slope_F.norm(), G - lr * slope_G / slope_G.norm()


def _on_the_leaf(x: Tensor, F: Tensor, G: Tensor, lr: float, steps: int) -> Any:
    F = F.clone().requires_grad_()
    F -= lr * F  # torch refuses, whatever the step
    return F, G, []


def _with(**changes: Any) -> Callable[..., Any]:
    return functools.partial(_descend, **changes)


def _late(x: Tensor, F: Tensor, G: Tensor, lr: float, steps: int) -> Any:
    return (*_descend(x, F, G, lr, steps)[:2], _descend(x, F, G, lr, steps + 1)[2][1:])


TRAIN_LINEAR = declare(
    WORDS["train_linear"],
    train_linear,
    _training_inputs,
    criteria=(
        Criterion("moves F and G by one step of gradient descent", 3.0, _after(0)),
        Criterion("is right after three steps as well", 2.0, _after(1)),
        Criterion("records the loss before each step", 2.0, _losses_before),
        Criterion("learns, when it goes on", 1.0, _learns),
    ),
    steps={
        "F_after": lambda x, F, G, lr, steps: _descend(x, F, G, lr, steps)[0],
        "G_after": lambda x, F, G, lr, steps: _descend(x, F, G, lr, steps)[1],
        "losses": lambda x, F, G, lr, steps: _descend(x, F, G, lr, steps)[2],
        "answer": lambda F_after, G_after, losses: (F_after, G_after, losses),
    },
    mistakes={
        "gradients_added_up": _with(step=_added_up),
        "ascent": _with(step=_uphill),
        "decoder_first": _with(step=_decoder_first),
        "encoder_first": _with(step=_encoder_first),
        "decoder_alone": _with(step=_decoder_alone),
        "encoder_alone": _with(step=_encoder_alone),
        "nothing_moves": _with(step=_standing),
        "first_slopes_kept": _with(step=_first_slopes),
        "adam": _with(step=_by(torch.optim.Adam)),
        "momentum": _with(step=_by(functools.partial(torch.optim.SGD, momentum=0.9))),
        "unit_slopes": _with(step=_unit_slopes),
        "mean_over_everything": _with(
            error=lambda x, F, G: ((x - x @ F.T @ G.T) ** 2).mean()
        ),
        "sum_over_everything": _with(
            error=lambda x, F, G: ((x - x @ F.T @ G.T) ** 2).sum()
        ),
        "one_half": _with(error=lambda x, F, G: _error(x, F, G) / 2),
        "root": _with(error=lambda x, F, G: (x - x @ F.T @ G.T).norm(dim=1).mean()),
        "absolute": _with(
            error=lambda x, F, G: (x - x @ F.T @ G.T).abs().sum(1).mean()
        ),
        "tied": _with(error=lambda x, F, G: _error(x, F, F.T)),
        "one_example": _with(error=lambda x, F, G: _error(x[:1], F, G)),
        "half_the_data": _with(error=lambda x, F, G: _error(x[: len(x) // 2], F, G)),
        "loss_after_the_step": _late,
        "one_step_too_many": lambda x, F, G, lr, steps, losses: (
            *_descend(x, F, G, lr, steps + 1)[:2],
            losses,
        ),
        "one_step_only": lambda x, F, G, lr, losses: (
            *_descend(x, F, G, lr, 1)[:2],
            losses,
        ),
        "the_start_returned": lambda F, G, losses: (F, G, losses),
        "best_loss_so_far": lambda F_after, G_after, losses: (
            F_after,
            G_after,
            [losses[-1]] * len(losses),
        ),
        "exchanged": lambda F_after, G_after, losses: (G_after, F_after, losses),
        "last_loss_alone": lambda F_after, G_after, losses: (
            F_after,
            G_after,
            losses[-1],
        ),
        "leaf_changed_in_place": _on_the_leaf,
    },
)


# --- mix_code -----------------------------------------------------------------------


def _mix_inputs(generator: torch.Generator) -> list[Arguments]:
    def draw(D: int, K: int) -> Arguments:
        mix = orthogonal(generator, K) + 0.5 * torch.eye(K, dtype=torch.float64)
        return normal(generator, K, D), normal(generator, D, K), mix

    return [draw(7, 3), draw(9, 4)]


def _mix_edges(generator: torch.Generator) -> list[Arguments]:
    """Mix by a matrix that stretches one direction fifty times as much as another."""
    K = 4
    stretch = torch.tensor([0.1, 0.6, 1.5, 5.0], dtype=torch.float64)
    mix = orthogonal(generator, K) * stretch @ orthogonal(generator, K)
    return [(normal(generator, K, 9), normal(generator, 9, K), mix)]


def mix_code(encoder: Tensor, decoder: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
    """Return the encoder (K, D) and decoder (D, K) of A z, where z is the old code."""
    return A @ encoder, linalg.solve(A, decoder, left=False)


def _uneven_mixing(trial: Trial) -> None:
    for arguments in _mix_edges(trial.generator):
        got, want = trial.call(*arguments), trial.reference(*arguments)
        trial.expect_close(
            got,
            want,
            "for an A that stretches one direction fifty times as much as another (is "
            "something added to A, or are small singular values cut off?)",
        )


def _same_reconstruction(trial: Trial) -> None:
    encoder, decoder, A = trial.inputs()[0]
    new_encoder, new_decoder = trial.call(encoder, decoder, A)
    trial.expect_close(
        new_decoder @ new_encoder,
        decoder @ encoder,
        "the decoder does not undo the encoder: new_decoder @ new_encoder must "
        "be decoder @ encoder",
    )


def _code_is_mixed(trial: Trial) -> None:
    encoder, decoder, A = trial.inputs()[0]
    x = normal(trial.generator, 5, encoder.shape[1])
    new_encoder, _ = trial.call(encoder, decoder, A)
    trial.expect_close(
        x @ new_encoder.T, x @ encoder.T @ A.T, "the code of x must become A z"
    )


MIX_CODE = declare(
    WORDS["mix_code"],
    mix_code,
    _mix_inputs,
    criteria=(
        agrees("returns A F and G A⁻¹", 2.0),
        Criterion("inverts any mixing, however uneven", 1.0, _uneven_mixing),
        Criterion("leaves every reconstruction as it was", 1.0, _same_reconstruction),
        Criterion("turns the code z into A z", 1.0, _code_is_mixed),
    ),
    steps={
        "inverse": lambda A: linalg.inv(A),
        "new_encoder": lambda encoder, A: A @ encoder,
        "new_decoder": lambda decoder, inverse: decoder @ inverse,
        "answer": lambda new_encoder, new_decoder: (new_encoder, new_decoder),
    },
    mistakes={
        "transpose_for_inverse": instead(inverse=lambda A: A.T),
        "same_on_both": instead(inverse=lambda A: A),
        "decoder_unchanged": instead(new_decoder=lambda decoder: decoder),
        "inverse_on_the_encoder": instead(A=lambda A: linalg.inv(A)),
        "transposed_mixing": instead(A=lambda A: A.T),
        "inverse_on_the_left": instead(
            new_decoder=lambda decoder, inverse: inverse @ decoder
        ),
        "order_of_outputs": lambda new_encoder, new_decoder: (new_decoder, new_encoder),
        "nothing_changed": lambda encoder, decoder: (encoder, decoder),
        "encoder_unchanged": instead(new_encoder=lambda encoder: encoder),
        "inverse_on_both": instead(
            new_encoder=lambda inverse, encoder: inverse @ encoder
        ),
        "inverse_transposed": instead(inverse=lambda inverse: inverse.T),
        "encoder_by_transpose": instead(new_encoder=lambda A, encoder: A.T @ encoder),
        "pseudo_inverse_of_the_encoder": instead(
            new_decoder=lambda new_encoder: linalg.pinv(new_encoder)
        ),
        "transpose_of_the_encoder": instead(
            new_decoder=lambda new_encoder: new_encoder.T
        ),
        "one_over_each_entry": instead(inverse=lambda A: 1 / A),
        "diagonal_of_the_mixing": instead(A=lambda A: A.diagonal().diag()),
        "mixing_made_orthogonal": instead(A=lambda A: linalg.qr(A).Q),
        "mixing_made_unit": instead(A=lambda A: A / A.norm()),
        "determinant_for_inverse": instead(
            new_decoder=lambda decoder, A: decoder / linalg.det(A)
        ),
    },
    edges=_mix_edges,
)

EXERCISES = (EXCESS_LOSS, LINEAR_AUTOENCODER, TRAIN_LINEAR, MIX_CODE)
