"""A loss at random inputs: its gradients, its roots, its examples."""

from __future__ import annotations

import torch
from torch import Tensor

from course_utils.linter.calling import Failed
from course_utils.linter.inspector import Inspector
from course_utils.linter.report import Finding


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
        out = inspector.call.output((point[0], x_hat, mu, logvar)).sum()
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


def reached(inspector: Inspector) -> set[str]:
    """Which arguments a gradient reaches, however small it is."""
    point = inspector.point()
    leaves = [value.clone().requires_grad_() for value in point[1:]]
    x_hat, mu, logvar = (leaf * 1 for leaf in leaves)
    try:
        out = inspector.call.output((point[0], x_hat, mu, logvar)).sum()
        slopes = torch.autograd.grad(out, leaves, allow_unused=True)
    except (Failed, RuntimeError):
        return set()
    names = ("x_hat", "mu", "logvar")
    pairs = zip(names, slopes, strict=True)
    return {name for name, slope in pairs if slope is not None and bool(slope.any())}


def _slope(
    inspector: Inspector, name: str, i: int, point: list[Tensor], slope: Tensor | None
) -> Finding | None:
    step = 1e-5 if not inspector.call.single else 2e-2
    sign = torch.rand(point[i].shape, generator=inspector.generator) < 0.5
    way = torch.where(sign, 1.0, -1.0).to(point[i])
    if slope is not None and float(slope.abs().sum()) > 0:
        way = torch.where(slope >= 0, 1.0, -1.0).to(point[i])  # adds, not cancels
    ends = []
    for side in (1, -1):
        moved = list(point)
        moved[i] = point[i] + side * step * way
        ends.append(inspector.call(*moved))
    seen = (ends[0] - ends[1]) / (2 * step)
    told = 0.0 if slope is None else float((slope * way).sum())
    dust = (1e-15 if not inspector.call.single else 1e-6) * abs(ends[0]) / step
    if (
        abs(seen - told)
        <= 0.02 * inspector.loose * max(abs(seen), abs(told)) + 10 * dust
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
        "of it is detached, or replaced by another.",
    )


def leaks(inspector: Inspector) -> str:
    """How one example's value hears of another's mu: not, as much as it, or else."""
    x, x_hat, mu, t = inspector.point()
    other = mu.clone()
    other[0] += 1.0
    try:
        one = inspector.call.output((x, x_hat, mu, t)).detach()
        two = inspector.call.output((x, x_hat, other, t)).detach()
    except Failed:
        return "not"
    change = (two - one).reshape(inspector.size.N, -1).sum(1)
    dust = (1e-9 if not inspector.call.single else 1e-5) * float(one.abs().max())
    if bool((change[1:].abs() <= dust).all()):
        return "not"
    # A KL already summed is added to every example, and weighs on each the same.
    own = float(change[0])
    return "alike" if bool(((change - own).abs() <= 1e-3 * abs(own)).all()) else "mixed"
