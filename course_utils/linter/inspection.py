"""The linter itself: from a loss to its report."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from course_utils.arguments import one_of, whole_numbers
from course_utils.linter.calling import ORDER, Caller, Failed, Size
from course_utils.linter.inspector import Inspector
from course_utils.linter.kl import SPREADS
from course_utils.linter.likelihoods import LIKELIHOODS, OUTPUTS
from course_utils.linter.ordering import other_order
from course_utils.linter.report import Finding, LossReport
from course_utils.linter.stages import look


def inspect_loss(
    loss: Callable[..., Any],
    *,
    data_shape: int | tuple[int, ...] = 784,
    latents: int | tuple[int, ...] = 20,
    batch: int = 6,
    beta: float = 1.0,
    sigma2: float | None = None,
    scale: float | None = None,
    likelihood: str | None = None,
    output: str | None = None,
    spread: str = "logvar",
    order: tuple[str, ...] = ORDER,
    pack: Callable[[Tensor], Any] | None = None,
) -> LossReport:
    """Report, from its values alone, what a variational autoencoder's loss is.

    Works on your own project's loss: give it as it is, or wrapped so that it takes
    ``(x, x_hat, mu, logvar)`` and returns one number. Give the sizes that you train
    with, because the effective β depends on them as soon as something is averaged.

    Parameters
    ----------
    loss
        Called as ``loss(x, x_hat, mu, logvar)`` with x and x_hat of shape
        (batch, *data_shape), and mu, logvar of shape (batch, latents). Returns the loss
        in nats: one number, or one per example (then a note says so).
    data_shape, latents, batch
        Sizes to inspect at. D is the product of the data shape. Latents may have a
        shape too, such as ``(4, 8, 8)``.
    beta
        The β that you mean to run. Another effective β is a finding.
    sigma2
        σ² of a Gaussian decoder, if it is known (fixed, or the value that a learned one
        has now). Without it, and without a normaliser in the loss, only β·σ² can be
        told.
    scale
        The same for a Laplace decoder: b in exp(-|x - x_hat| / b) / 2b.
    likelihood
        ``"Bernoulli"``, ``"Gaussian"`` or ``"Laplace"``, if you mean one of them:
        another one found is then a finding.
    output
        What your decoder returns, ``"probabilities"``, ``"logits"`` or ``"mean"``; a
        loss that takes x_hat for something else is then a finding.
    spread
        What logvar is: ``"logvar"`` (log σ²), ``"logsigma"``, ``"var"``, ``"sigma"`` or
        ``"softplus"`` (what softplus makes σ of).
    order
        The order in which your loss takes the four:
        ``("x_hat", "x", "mu", "logvar")`` for one that takes the reconstruction first.
    pack
        Turns x_hat into what the loss takes in its place, for a decoder that returns
        more than one tensor: ``lambda x_hat: (x_hat, torch.zeros_like(x_hat))``.

    Returns
    -------
    LossReport
        Prints as text, shows as a table in a notebook. A loss that raises or returns
        NaN gives a report with that finding.

    Raises
    ------
    ValueError
        If a setting is not what it should be, or the loss cannot be called.

    Notes
    -----
    With the weight c that one pixel's unit-scale negative log-likelihood has in the
    loss, and the weight w of one latent's KL, β = w / c for a Bernoulli decoder. For a
    Gaussian one, c = s/σ² and w = sβ with some overall factor s, so w / c = β·σ²: a
    constant normaliser aside, nothing in the loss tells the two apart.

    It is called on generated inputs of moderate size. What the loss does elsewhere, how
    z is sampled, and your data stay unseen: the cross-entropy of grey pixels, for
    example, has a likelihood's formula and is none.

    What equal inputs suggest is stated only if it also holds at random points; a loss
    whose examples or latents do not add up is called unexplained, with no β. A finding
    is certain only where no harmless reading is left. Where the loss draws random
    numbers, weights count as unequal only beyond four standard errors of the draws.

    Examples
    --------
    A published loss: cross-entropy averaged over the pixels, a small weight on the KL.

    >>> from torch.nn.functional import binary_cross_entropy
    >>> def loss(x, x_hat, mu, logvar):
    ...     kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1).mean()
    ...     return binary_cross_entropy(x_hat, x) + 5e-4 * kl
    >>> report = inspect_loss(loss, data_shape=784, latents=20)
    >>> report.likelihood, report.data_reduction, round(report.beta, 3)
    ('Bernoulli', 'mean', 0.392)
    >>> report.names
    ['mean_over_pixels', 'beta']
    >>> print(report.findings[0].sentence)
    The reconstruction is averaged over the data dimensions, not summed: β carries a
    factor D = 784. It makes the effective β 0.392.

    A squared error does not say which σ² it stands for.

    >>> def loss(x, x_hat, mu, logvar):
    ...     kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
    ...     return (((x - x_hat) ** 2).sum(1) + kl).mean()
    >>> inspect_loss(loss).equivalents[0]
    'β = 0.5 at σ² = 1, or β = 1 at σ² = ½'
    >>> inspect_loss(loss, sigma2=0.5).ok
    True

    A loss of your own takes its arguments in another order and returns its terms too:
    wrap it. Here its β of 4 is meant.

    >>> def mine(out, target, beta):
    ...     x_hat, mu, log_sigma = out
    ...     rec = binary_cross_entropy(x_hat, target, reduction="none").sum(1).mean()
    ...     kl = (0.5 * (mu**2 + (2 * log_sigma).exp() - 1) - log_sigma).sum(1).mean()
    ...     return rec + beta * kl, rec, kl
    >>> wrapped = lambda x, x_hat, mu, s: mine((x_hat, mu, s), x, beta=4)[0]
    >>> inspect_loss(wrapped, latents=8, beta=4).names
    ['reads_log_sigma']
    >>> inspect_loss(wrapped, latents=8, beta=4, spread="logsigma").ok
    True
    """
    size = _check_settings(
        loss, data_shape, latents, batch, beta, sigma2, scale, likelihood, output,
        spread, order,
    )  # fmt: skip
    call = Caller(loss, pack, tuple(order))
    report = LossReport()
    try:
        look(
            Inspector(call, size), report, beta,
            {"Gaussian": sigma2, "Laplace": scale}, (likelihood, output), spread,
        )  # fmt: skip
    except Failed as failed:
        report.findings.append(_failure(failed, call, size, spread))
    if call.changed:
        report.findings.append(
            Finding(
                "changes_inputs",
                f"The loss writes into its arguments "
                f"({', '.join(sorted(call.changed))}) in place: what is computed from "
                "them afterwards is wrong.",
            )
        )
    report.notes += [f"torch warns: {text}" for text in call.warned]
    return report


def _check_settings(
    loss: Any, data_shape: Any, latents: Any, batch: Any, beta: Any, sigma2: Any,
    scale: Any, likelihood: Any, output: Any, spread: Any, order: Any,
) -> Size:  # fmt: skip
    if not callable(loss):
        raise ValueError(f"loss is a {type(loss).__name__}; expected a callable")
    shape = (data_shape,) if isinstance(data_shape, int) else data_shape
    if not isinstance(shape, tuple) or not shape:
        raise ValueError(
            f"data_shape is {data_shape!r}; expected sizes such as (28, 28)"
        )
    code = (latents,) if isinstance(latents, int) else latents
    if not isinstance(code, tuple) or not code:
        raise ValueError(
            f"latents is {latents!r}; expected a number or sizes such as (4, 8, 8)"
        )
    whole_numbers(least=2, batch=batch)
    for size in code:
        whole_numbers(latents=size)
    for size in shape:
        whole_numbers(data_shape=size)
    for name, value in (("beta", beta), ("sigma2", sigma2), ("scale", scale)):
        if value is None and name != "beta":
            continue
        if not isinstance(value, float | int) or not 0 < value < math.inf:
            raise ValueError(f"{name} is {value!r}; expected a positive number")
    if likelihood is not None:
        one_of(LIKELIHOODS, likelihood=likelihood)
    if output is not None:
        one_of(OUTPUTS, output=output)
    one_of(SPREADS, spread=spread)
    if not isinstance(order, tuple | list) or sorted(order) != sorted(ORDER):
        raise ValueError(
            f"order is {order!r}; expected x, x_hat, mu and logvar in some order, such "
            'as ("x_hat", "x", "mu", "logvar")'
        )
    return Size(batch, shape, code)


def _failure(failed: Failed, call: Caller, size: Size, spread: str) -> Finding:
    """Say that the loss gives no number, and which order of its arguments would."""
    name = "not_finite" if "it returned" in str(failed) else "raises"
    if "expected one number" in str(failed):
        name = "not_a_number"
    order = other_order(call, size, spread) if name == "raises" else None
    hint = f" It answers with order={order}." if order else ""
    return Finding(
        name,
        f"The loss could not be inspected: {failed}. It was given x and x_hat of shape "
        f"{(size.N, *size.shape)} with values in [0, 1], mu and logvar of shape "
        f"{(size.N, *size.latents)}.{hint}",
    )
