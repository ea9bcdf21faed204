"""How far the best latent of a factor is ahead of the second best (SAP)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from course_utils.arguments import one_of
from course_utils.metrics.disentanglement import codes

CLASSIFIERS = ("tree", "svm")
A_LEVEL = 2  # rows for each level of a factor, on average


def sap_matrix(
    z: Tensor,
    factors: Tensor,
    categorical: Sequence[int] = (),
    seed: int = 0,
    *,
    classifier: str = "tree",
) -> Tensor:
    """How well each latent, alone, predicts each factor; 0 by chance, 1 at best.

    Estimators:

    - a factor with an order: squared correlation of the latent with the class, which is
      the R² of a straight line, on all rows;
    - a factor without one: a classifier fitted on half of the rows, with classes
      weighted alike, and scored on the other half. ``"tree"``: thresholds on the
      latent, one class between each two (a decision tree of at most as many leaves as
      classes, scikit-learn), by its balanced accuracy, put on a scale where guessing is
      0 and no error 1. ``"svm"``: a linear support vector machine, by its accuracy.

    Elsewhere: disentanglement_lib treats all factors alike. With
    ``continuous_factors=True`` its score is this one, to all digits, for factors with
    an order; with ``False``, its usual choice, each factor is one without order and the
    classifier the ``"svm"`` (C = 0.01), on the latent as it is; here it is standardised
    first, for else the score depends on the latent's scale. Their accuracy is not put
    on a scale: a perfect code of three classes ends at 1 − 1/3, as in Kumar et al.

    A factor that goes round, such as an angle, has no straight line: expect little of
    a latent that holds it.

    Parameters
    ----------
    z : Tensor, (N, K)
        Codes: means or samples of q(z|x), say which.
    factors : Tensor, (N, F)
        Integer classes, row by row those of z.
    categorical : sequence of int
        Which factors have no order, such as a shape.
    seed : int
        Seed of the halves.
    classifier : str
        See above.

    Returns
    -------
    Tensor, (K, F)
        Rows are latents, columns are factors; a latent that does not vary has zeros
        (with ``"svm"``, what guessing gives).

    Raises
    ------
    ValueError
        If a shape or value is wrong, a factor does not vary, or there are too few rows:
        below 10, below two for each level of a factor, or below 10 for a class of a
        factor without order.

    Examples
    --------
    >>> factors = torch.cartesian_prod(torch.arange(3), torch.arange(4))
    >>> sap_matrix(factors.flip(1).float(), factors).round().abs().tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    z, factors = codes.check_table(z, factors)
    one_of(CLASSIFIERS, classifier=classifier)
    least = max(codes.EACH_CLASS, A_LEVEL * (int(factors.max()) + 1))
    if len(z) < least:
        raise ValueError(
            f"{len(z)} rows are too few for factors of up to {int(factors.max()) + 1} "
            f"levels; expected at least {least}"
        )
    unordered = codes.check_categorical(categorical, factors)
    z = codes.on_scale(z)
    scores = _squared_correlation(z, factors.double())
    score = _threshold_score if classifier == "tree" else _linear_score
    for k in unordered:
        fit, new = codes.halves(factors[:, k], seed)
        for j, latent in enumerate(z.T):
            scores[j, k] = score(latent[:, None], factors[:, k], fit, new)
    return scores


def _squared_correlation(z: Tensor, v: Tensor) -> Tensor:
    z, v = z - z.mean(dim=0), v - v.mean(dim=0)
    size = z.square().sum(dim=0)
    size = torch.where(size > 0, size, torch.ones_like(size))
    return (z.T @ v).square() / size[:, None] / v.square().sum(dim=0)


def _threshold_score(z: Tensor, classes: Tensor, fit: Tensor, new: Tensor) -> float:
    from sklearn.tree import DecisionTreeClassifier  # only here: it loads slowly

    count = int(classes.max()) + 1
    tree = DecisionTreeClassifier(
        max_leaf_nodes=count, class_weight="balanced", random_state=0
    )
    tree.fit(z[fit].numpy(), classes[fit].numpy())
    right = torch.from_numpy(tree.predict(z[new].numpy())) == classes[new]
    recalls = [right[classes[new] == c].double().mean() for c in range(count)]
    accuracy = torch.stack(recalls).mean().item()
    return max(0.0, (accuracy - 1 / count) / (1 - 1 / count))


def _linear_score(z: Tensor, classes: Tensor, fit: Tensor, new: Tensor) -> float:
    from sklearn.svm import LinearSVC

    spread = z[fit].std(dim=0, correction=0)
    z = (z - z[fit].mean(dim=0)) / torch.where(spread > 0, spread, 1.0)
    machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
    machine.fit(z[fit].numpy(), classes[fit].numpy())
    return float(machine.score(z[new].numpy(), classes[new].numpy()))


def sap(
    z: Tensor,
    factors: Tensor,
    categorical: Sequence[int] = (),
    seed: int = 0,
    *,
    classifier: str = "tree",
) -> float:
    """Separated attribute predictability: mean over factors of best - second best.

    Estimator: see `sap_matrix`, also for how others take it. With a single latent the
    second is 0.

    Parameters
    ----------
    z, factors, categorical, seed, classifier
        As for `sap_matrix`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As for `sap_matrix`.

    References
    ----------
    Kumar, Sattigeri, Balakrishnan (2018), "Variational inference of disentangled latent
    concepts from unlabeled observations".

    Examples
    --------
    >>> factors = torch.cartesian_prod(torch.arange(3), torch.arange(4))
    >>> round(sap(factors.flip(1).float(), factors), 6)
    1.0
    """
    scores = sap_matrix(z, factors, categorical, seed, classifier=classifier)
    padded = torch.cat([scores, torch.zeros_like(scores[:1])])
    first, second = padded.topk(2, dim=0).values
    return (first - second).mean().item()
