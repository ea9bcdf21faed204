"""DCI: disentanglement, completeness, informativeness, from importances of latents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_utils.arguments import kind
from course_utils.metrics.disentanglement import codes

ESTIMATORS = ("forest", "boosting", "lasso", "classifier")
ROWS = 40  # a leaf of the forest holds at least 5 of the fitting half


@dataclass(frozen=True)
class DCI:
    """The three scores, and the importances they were made of.

    Attributes
    ----------
    disentanglement
        In [0, 1]; 1 when each latent matters for one factor only.
    completeness
        In [0, 1]; 1 when each factor is told by one latent only.
    informativeness
        How well all latents together predict the factors, on new rows: 1 at best, about
        0 (or a little below) by chance.
    importance : Tensor, (K, F)
        How much each latent matters for the prediction of each factor.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Tensor


def dci(
    z: Tensor,
    factors: Tensor,
    categorical: Sequence[int] = (),
    *,
    estimator: str = "forest",
    seed: int = 0,
) -> DCI:
    """Disentanglement, completeness, informativeness.

    Each factor is predicted from all latents, standardised, by scikit-learn. Half of
    the rows fit, the others score.

    Estimators:

    - ``"forest"``: random forest of 10 trees with at least 5 rows a leaf; importance is
      the decrease of impurity.
    - ``"boosting"``: gradient boosting, 100 trees of depth 3; the same importance. Slow
      on a categorical factor of many classes.
    - ``"lasso"``: straight lines with a penalty of 0.1 on standardised classes;
      importance is the absolute weight. Only what is linear is seen. Read its
      disentanglement beside the informativeness: of unrelated codes it leaves mostly no
      weight (a score of 0), but sometimes a single one, and that scores 1.

    - ``"classifier"``: gradient boosting that classifies every factor, ordered or not;
      its informativeness is plain accuracy, which by chance is a class's share. Slow.

    For all but the last: a factor with an order is regressed, one without is classified
    (the lasso regresses one indicator a class). Its informativeness is 1 - error /
    error of the best constant guess: squared errors in the first case, which makes it
    R², wrong classes in the second.

    Elsewhere: Eastwood and Williams take a lasso or a forest, and report errors.
    disentanglement_lib takes ``estimator="classifier"``, usually fitted on 10 000 rows
    and scored on 5000; its mean over factors in the completeness is weighted by their
    importances, which are alike here, where each factor's sum to 1.

    Parameters
    ----------
    z : Tensor, (N, K)
        Codes: means or samples of q(z|x), say which. At least two latents.
    factors : Tensor, (N, F)
        Integer classes, row by row those of z. At least two factors.
    categorical : sequence of int
        Which factors have no order, such as a shape.
    estimator : str
        See above.
    seed : int
        Seed of the halves and of the trees.

    Returns
    -------
    DCI

    Raises
    ------
    ValueError
        If a shape or value is wrong, there are too few rows (below 40, or below 10 for
        a class that is to be told, or outside a factor's most frequent level), or there
        is no such estimator.

    References
    ----------
    Eastwood, Williams (2018), "A framework for the quantitative evaluation of
    disentangled representations".

    Examples
    --------
    >>> factors = torch.cartesian_prod(torch.arange(8), torch.arange(8))
    >>> scores = dci(factors.flip(1).float(), factors, estimator="lasso")
    >>> round(scores.disentanglement, 1), round(scores.completeness, 1)
    (1.0, 1.0)
    """
    z, factors = codes.check_table(z, factors)
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {ESTIMATORS}, got {estimator!r}")
    if estimator == "classifier":
        categorical = range(factors.shape[1])
    unordered = codes.check_categorical(categorical, factors)
    _check_size(z, factors)
    z = codes.on_scale(z)
    size = z.std(dim=0)
    z = (z - z.mean(dim=0)) / torch.where(size > 0, size, torch.ones_like(size))
    columns, scores = [], []
    for k, classes in enumerate(factors.T):
        weight, score = _predict(z, classes, k in unordered, estimator, seed)
        columns.append(weight)
        scores.append(score)
    importance = torch.stack(columns, dim=1)
    return DCI(
        disentanglement(importance),
        completeness(importance),
        sum(scores) / len(scores),
        importance,
    )


def _check_size(z: Tensor, factors: Tensor) -> None:
    if z.shape[1] < 2 or factors.shape[1] < 2 or z.shape[0] < ROWS:
        raise ValueError(
            f"expected at least {ROWS} rows, two latents and two factors, got z "
            f"{tuple(z.shape)} and factors {tuple(factors.shape)}"
        )
    for place, classes in enumerate(factors.T):
        others = len(classes) - int(torch.bincount(classes).max())
        if others < codes.EACH_CLASS:
            raise ValueError(
                f"factor {place} leaves its most frequent level in {others} rows only; "
                f"expected at least {codes.EACH_CLASS}, half to fit and half to score"
            )


def disentanglement(importance: Tensor) -> float:
    """Mean over latents of 1 - entropy of its importances, weighted by their sum.

    The entropy is taken to base F, so that a latent that matters alike for all factors
    scores 0. Without any importance the score is 0.

    Examples
    --------
    >>> disentanglement(torch.tensor([[1.0, 0.0], [0.0, 3.0], [0.0, 0.0]]))
    1.0
    >>> disentanglement(torch.tensor([[1.0, 1.0], [0.0, 2.0]]))
    0.5
    """
    importance = _check_importance(importance)
    sums = importance.sum(dim=1)
    if not sums.sum() > 0:
        return 0.0
    return (sums / sums.sum() * _concentration(importance)).sum().item()


def completeness(importance: Tensor) -> float:
    """Mean over factors of 1 - entropy of a factor's importances, to base K.

    A factor for which no latent matters scores 0.

    Examples
    --------
    >>> completeness(torch.tensor([[1.0, 0.0], [0.0, 3.0], [0.0, 0.0]]))
    1.0
    >>> completeness(torch.tensor([[1.0, 0.0], [1.0, 2.0]]))
    0.5
    """
    return _concentration(_check_importance(importance).T).mean().item()


def _concentration(rows: Tensor) -> Tensor:
    """1 - entropy of each row, made a distribution, to base of its length; 0 for 0."""
    sums = rows.sum(dim=1, keepdim=True)
    p = rows / torch.where(sums > 0, sums, torch.ones_like(sums))
    entropy = -torch.special.xlogy(p, p).sum(dim=1) / math.log(rows.shape[1])
    return torch.where(sums[:, 0] > 0, 1 - entropy, torch.zeros_like(entropy))


def _check_importance(importance: Tensor) -> Tensor:
    if not isinstance(importance, Tensor):
        raise ValueError(f"importance is {kind(importance)}; expected a tensor (K, F)")
    if importance.ndim != 2 or min(importance.shape) < 2:
        raise ValueError(
            "importance must have shape (K, F) with K, F >= 2, got "
            f"{tuple(importance.shape)}"
        )
    if not importance.isfinite().all() or (importance < 0).any():
        raise ValueError("importance must be finite and not negative")
    largest = importance.max()  # only shares matter; a sum might overflow
    return importance.double() / torch.where(largest > 0, largest, 1).double()


def _predict(
    z: Tensor, classes: Tensor, unordered: bool, estimator: str, seed: int
) -> tuple[Tensor, float]:
    """Return the importance of each latent (K,), and the score on new rows."""
    fit, new = codes.halves(classes, seed)
    target = classes.double()
    target = (target - target[fit].mean()) / (target.std() or 1)
    if unordered and estimator == "lasso":
        target = torch.nn.functional.one_hot(classes).double()
        target = target - target[fit].mean(dim=0)
    elif unordered:
        target = classes
    model = _model(estimator, unordered, seed)
    model.fit(z[fit].numpy(), target[fit].numpy())
    if estimator == "lasso":
        weights = torch.as_tensor(model.coef_).abs().reshape(-1, z.shape[1])
        importance = weights.sum(dim=0)  # over the classes, if there are any
    else:
        # A split that gains nothing may come out at -1e-18.
        importance = torch.as_tensor(model.feature_importances_).clamp(min=0)
    guess = torch.as_tensor(model.predict(z[new].numpy()))
    if unordered:
        shares = torch.bincount(classes[fit]) / len(fit)
        if estimator == "lasso":
            guess = (guess + shares).argmax(dim=1)
        error = (guess != classes[new]).double().mean()
        constant = (shares.argmax() != classes[new]).double().mean()
    else:
        error = (guess - target[new]).square().mean()
        constant = target[new].square().mean()  # the fitting rows have mean 0
    if estimator == "classifier":
        return importance, (1 - error).item()
    return importance, (1 - error / constant).item()


def _model(estimator: str, unordered: bool, seed: int) -> Any:
    from sklearn import ensemble, linear_model  # only here: they load slowly

    if estimator == "lasso":
        return linear_model.Lasso(alpha=0.1)
    if estimator in ("boosting", "classifier"):
        if unordered:
            return ensemble.GradientBoostingClassifier(random_state=seed)
        return ensemble.GradientBoostingRegressor(random_state=seed)
    forest: dict[str, Any] = {"n_estimators": 10, "min_samples_leaf": 5}
    # Each split sees all latents.
    forest |= {"max_features": None, "random_state": seed}
    if unordered:
        return ensemble.RandomForestClassifier(**forest)
    return ensemble.RandomForestRegressor(**forest)
