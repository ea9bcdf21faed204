"""Leakage: how well the label y can be told from a code z, with errors and chance.

A probe is a classifier trained on codes. Its accuracy on fresh codes shows that z knows
something about y; a probe at chance shows only that *this* probe found nothing.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_utils.arguments import one_of
from course_utils.metrics.intervals import wilson_interval

__all__ = ["Codes", "Leak", "leaked_nats", "probe"]

KINDS = ("linear", "nonlinear")
PENALTIES = {"linear": (0.01, 0.1, 1.0), "nonlinear": (1.0, 10.0)}
HIDDEN, EPOCHS = 64, 50  # of the nonlinear probe


class Codes(NamedTuple):
    """Codes z (N, K) and their labels y (N,)."""

    z: Tensor
    y: Tensor


@dataclass(frozen=True)
class Leak:
    """What a probe found.

    Attributes
    ----------
    correct, total
        Test examples named rightly, and all of them.
    chance
        Accuracy on the test examples of always naming the class that is the most
        frequent in training.
    permuted
        Accuracy of the same probe trained on shuffled labels: chance again, with the
        noise of finite data.
    nats
        `leaked_nats` of the probe: an estimate of a lower bound on I(z; y).
    """

    correct: int
    total: int
    chance: float
    permuted: float
    nats: float

    @property
    def accuracy(self) -> float:
        """Share of test examples named rightly."""
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy, over test examples."""
        return wilson_interval(self.correct, self.total)


def leaked_nats(log_probs: Tensor, y: Tensor) -> float:
    """Entropy of y minus the cross-entropy of a probe, in nats.

    For any probe r, I(z; y) = H(y) − H(y|z) ≥ H(y) − E[−log r(y|z)], because the
    cross-entropy exceeds H(y|z) by E KL(p(y|z) ‖ r(y|z)) ≥ 0. Both terms are estimated
    from the examples given; H(y) from the shares of the classes among them. Below 0 the
    probe is worse than no probe.

    Parameters
    ----------
    log_probs
        log r(y|z) of every class on examples that the probe has not seen, (N, classes).
    y
        Their labels, (N,), whole numbers from 0.

    Returns
    -------
    float
        In nats, at most H(y).

    Raises
    ------
    ValueError
        If shapes do not fit, a row of probabilities does not sum to 1, or a label is
        out of range.

    Examples
    --------
    >>> y = torch.tensor([0, 1, 0, 1])
    >>> round(leaked_nats(torch.full((4, 2), 0.5).log(), y), 6)  # knows nothing
    0.0
    """
    if log_probs.ndim != 2 or y.shape != log_probs.shape[:1] or len(y) == 0:
        raise ValueError(
            f"log_probs and y have shapes {tuple(log_probs.shape)} and "
            f"{tuple(y.shape)}; expected (N, classes) and (N,), N ≥ 1"
        )
    _check_labels(y, log_probs.shape[1])
    total = log_probs.exp().sum(1)
    if not torch.allclose(total, torch.ones_like(total), atol=1e-4):
        raise ValueError("a row of exp(log_probs) does not sum to 1")
    shares = torch.bincount(y).to(log_probs) / len(y)
    entropy = -torch.xlogy(shares, shares).sum()
    cross_entropy = -log_probs[torch.arange(len(y)), y].mean()
    return float(entropy - cross_entropy)


def probe(
    train: Codes, validation: Codes, test: Codes, kind: str = "linear", seed: int = 0
) -> Leak:
    """Train a probe of y from z, and test it on codes that it has not seen.

    Codes are standardised by the mean and spread of the training codes. The strength of
    the weight penalty is the one with the lowest cross-entropy on ``validation``.

    Parameters
    ----------
    train, validation, test
        Codes and labels. One code for each test example, so that the interval's draws
        are independent; means or samples, say which.
    kind
        ``"linear"``: multinomial logistic regression. ``"nonlinear"``: a network with
        one hidden layer of 64 units.
    seed
        Of the network's weights and of the shuffled labels.

    Raises
    ------
    ValueError
        If the kind is unknown, shapes do not fit, a code is not finite, or there are
        not at least two classes.

    Examples
    --------
    >>> y = torch.arange(60) % 3
    >>> z = torch.eye(3)[y] + 0.01 * torch.randn(60, 3)
    >>> probe(Codes(z, y), Codes(z, y), Codes(z, y)).accuracy
    1.0
    """
    one_of(KINDS, kind=kind)
    for name, part in (("train", train), ("validation", validation), ("test", test)):
        _check_codes(name, part, train.z)
    classes = int(train.y.max()) + 1
    if len(train.y.unique()) != classes or classes < 2:
        raise ValueError("train must hold every class from 0, at least two of them")
    for part in (validation, test):
        _check_labels(part.y, classes)
    mean, spread = train.z.mean(0), train.z.std(0).clamp(min=1e-8)
    at = [((part.z - mean) / spread).double().numpy() for part in (train, validation)]
    at_test = ((test.z - mean) / spread).double().numpy()
    y = train.y.numpy()
    found = [_fitted(kind, penalty, at[0], y, seed) for penalty in PENALTIES[kind]]
    scores = [leaked_nats(_log_probs(one, at[1]), validation.y) for one in found]
    best = int(np.argmax(scores))
    log_probs = _log_probs(found[best], at_test)
    order = np.random.default_rng(seed).permutation(len(y))
    shuffled = _fitted(kind, PENALTIES[kind][best], at[0], y[order], seed)
    common = int(torch.bincount(train.y).argmax())
    return Leak(
        correct=int((log_probs.argmax(1) == test.y).sum()),
        total=len(test.y),
        chance=float((test.y == common).double().mean()),
        permuted=float((shuffled.predict(at_test) == test.y.numpy()).mean()),
        nats=leaked_nats(log_probs, test.y),
    )


def _fitted(kind: str, penalty: float, z: Any, y: Any, seed: int) -> Any:
    """Fit one probe to standardised codes."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    if kind == "linear":
        return LogisticRegression(C=penalty, max_iter=500).fit(z, y)
    network = MLPClassifier(
        (HIDDEN,), alpha=penalty, max_iter=EPOCHS, learning_rate_init=5e-3,
        random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops after EPOCHS, as it should
        return network.fit(z, y)


def _log_probs(found: Any, z: Any) -> Tensor:
    probs = torch.from_numpy(found.predict_proba(z))
    return probs.clamp(min=1e-12).log().log_softmax(1)


def _check_codes(name: str, part: Codes, like: Tensor) -> None:
    z, y = part
    if (
        z.ndim != 2
        or len(z) == 0
        or z.shape[1] != like.shape[1]
        or y.shape != (len(z),)
    ):
        raise ValueError(
            f"{name} has z {tuple(z.shape)} and y {tuple(y.shape)}; expected (N, K) "
            f"and (N,), N ≥ 1, with the same K in each"
        )
    if not z.isfinite().all():
        raise ValueError(f"{name} has codes that are NaN or infinite")
    _check_labels(y, math.inf)


def _check_labels(y: Tensor, classes: float) -> None:
    if y.is_floating_point() or y.min() < 0 or y.max() >= classes:
        raise ValueError(f"labels must be whole numbers from 0 to {classes} − 1")
