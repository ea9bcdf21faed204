"""A loss at random inputs: what the fits leave out, its gradients, its examples."""

from __future__ import annotations

import torch
from torch import Tensor

from course_utils.linter.calling import Failed
from course_utils.linter.fitting import LEFT_OVER
from course_utils.linter.inspector import Inspector
from course_utils.linter.kl import Rate
from course_utils.linter.likelihoods import POOLED, Reconstruction
from course_utils.linter.report import Finding


def unexplained(inspector: Inspector, rec: Reconstruction, rate: Rate) -> set[str]:
    """Which terms the fitted formula fails to predict at random points."""
    x, x_hat, mu, t = inspector.point()
    limit = 5 * LEFT_OVER * inspector.noise
    wrong = set()
    near, base = inspector.point(), inspector.call(x, x_hat, mu, t)
    nearer = x + 0.3 * (near[1] - x)  # other sizes of error, not only other errors
    # Half of the examples, and within them of the dimensions, move.
    rows = torch.arange(inspector.size.N) % 2 == 0
    moves = {"all": torch.ones_like(rows), "half": rows}
    for which in moves.values():
        if rec.shape is not None and rec.shape.parametrisation != POOLED:
            other = x_hat.clone()
            other[which] = nearer[which]
            told = rec.weight * float(
                rec.shape.value(x.double(), other.double()).sum()
                - rec.shape.value(x.double(), x_hat.double()).sum()
            )
            size = abs(rec.weight) * float(
                (rec.shape.value(x.double(), other.double())
                - rec.shape.value(x.double(), x_hat.double())).abs().sum()
            )  # fmt: skip
            seen = inspector.call(x, other, mu, t) - base
            if abs(seen - told) > limit * size:
                wrong.add("reconstruction")
        if rate.mu_kind == "unknown" or rate.reading == "unknown":
            continue
        m2, t2 = mu.clone(), t.clone()
        m2[which], t2[which] = near[2][which], near[3][which]
        told = float(rate.value(m2.double(), t2.double()))
        told -= float(rate.value(mu.double(), t.double()))
        zero = torch.zeros_like(mu.double())
        size = abs(float(rate.value(zero, t2.double()) - rate.value(zero, t.double())))
        size += abs(told) + abs(rate.weight) * float((mu - m2).abs().sum())
        seen = inspector.call(x, x_hat, m2, t2) - base
        slack = (1e-12 if not inspector.call.single else 3e-6) * abs(base)
        if abs(seen - told) > limit * size + slack:
            wrong.add("rate")
    return wrong


def is_root(inspector: Inspector) -> bool:
    """Whether the reconstruction is the root of a summed square."""
    x, x_hat, mu, t = inspector.point()
    with_far = x + 3 * (x_hat - x)  # a root of squares grows threefold, as |.| does
    near = inspector.call(x, x + 1e-9 * (x_hat - x), mu, t)
    half = x_hat.clone()
    half.reshape(inspector.size.N, -1)[:, : inspector.size.D // 2] = x.reshape(
        inspector.size.N, -1
    )[:, : inspector.size.D // 2]
    rest = x + x_hat - half  # the other half
    try:
        whole, one, two, far = (
            inspector.call(x, value, mu, t) - near
            for value in (x_hat, half, rest, with_far)
        )
    except Failed:
        return False
    return (
        abs(far - 3 * whole) < 0.01 * abs(far)
        and abs(one + two) > 1.2 * abs(whole)
    )  # fmt: skip


def gradients(inspector: Inspector) -> list[Finding]:
    """Compare the gradients that training would use with finite differences."""
    names = ("x_hat", "mu", "logvar")
    point = inspector.point()
    leaves = [value.clone().requires_grad_() for value in point[1:]]
    try:
        x_hat, mu, logvar = (leaf * 1 for leaf in leaves)  # so that in-place is allowed
        out = inspector.call.output(point[0], x_hat, mu, logvar).sum()
    except Failed as failed:
        return [Finding("gradient_fails", f"With gradients on, {failed}.")]
    if not out.requires_grad:
        return [
            Finding(
                "no_gradient",
                "The loss has no gradient at all: it is detached, or turned into a "
                "plain number with .item(), so nothing would be trained.",
            )
        ]
    try:
        slopes = torch.autograd.grad(out, leaves, allow_unused=True)
    except RuntimeError as error:
        text = str(error).splitlines()[0]
        reason = (
            "an in-place operation overwrote a value that the gradient needs"
            if "inplace" in text
            else text
        )
        return [Finding("gradient_fails", f"backward() fails: {reason}.")]
    return [
        found
        for i, name in enumerate(names)
        if (found := _slope(inspector, name, i + 1, list(point), slopes[i])) is not None
    ]


def _slope(
    inspector: Inspector, name: str, i: int, point: list[Tensor], slope: Tensor | None
) -> Finding | None:
    step = 1e-5 if not inspector.call.single else 2e-2
    sign = torch.rand(point[i].shape, generator=inspector.generator) < 0.5
    way = torch.where(sign, 1.0, -1.0).to(point[i])
    if slope is not None and float(slope.abs().sum()) > 0:
        way = torch.where(slope >= 0, 1.0, -1.0).to(point[i])  # adds, not cancels
    ends = []
    draws, inspector.call.draws = inspector.call.draws, 1
    for side in (1, -1):
        moved = list(point)
        moved[i] = point[i] + side * step * way
        ends.append(inspector.call(*moved))
    inspector.call.draws = draws
    seen = (ends[0] - ends[1]) / (2 * step)
    told = 0.0 if slope is None else float((slope * way).sum())
    dust = (1e-15 if not inspector.call.single else 1e-6) * abs(ends[0]) / step
    if (
        abs(seen - told)
        <= 0.02 * inspector.noise * max(abs(seen), abs(told)) + 10 * dust
    ):
        return None
    if told == 0:
        return Finding(
            f"{name}_detached",
            f"The value depends on {name}, but no gradient reaches {name}: it is "
            "detached (or used under no_grad), so its encoder or decoder does not "
            "learn from it.",
        )
    return Finding(
        f"{name}_gradient",
        f"The gradient with respect to {name} is not the slope of the loss: part "
        "of it is detached.",
    )


def leaks(inspector: Inspector) -> bool:
    """Whether one example's value depends on another example."""
    x, x_hat, mu, t = inspector.point()
    other = mu.clone()
    other[0] += 1.0
    try:
        one = inspector.call.output(x, x_hat, mu, t).detach()
        two = inspector.call.output(x, x_hat, other, t).detach()
    except Failed:
        return False
    change = (one - two).abs().reshape(inspector.size.N, -1).sum(1)
    return bool((change[1:] > 1e-9 * one.abs().max()).any())
