"""How far the best latent of a factor is ahead of the second best (SAP)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from course_utils.metrics.disentanglement import codes


def sap_matrix(
    z: Tensor, factors: Tensor, categorical: Sequence[int] = (), seed: int = 0
) -> Tensor:
    """How well each latent, alone, predicts each factor; 0 by chance, 1 at best.

    Estimators:

    - a factor with an order: squared correlation of the latent with the class, which is
      the R² of a straight line, on all rows;
    - a factor without one: thresholds on the latent, one class between each two (a
      decision tree of at most as many leaves as classes, scikit-learn, classes weighted
      alike), fitted on half of the rows; balanced accuracy on the other half, put on a
      scale where guessing is 0 and no error 1. Kumar et al. do not change the scale:
      then a perfect code of three classes would end at 1 - 1/3.

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

    Returns
    -------
    Tensor, (K, F)
        Rows are latents, columns are factors; a latent that does not vary has zeros.

    Raises
    ------
    ValueError
        If a shape or value is wrong, or a factor does not vary.

    Examples
    --------
    >>> factors = torch.cartesian_prod(torch.arange(3), torch.arange(4))
    >>> sap_matrix(factors.flip(1).float(), factors).round().abs().tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    z, factors = codes.check_table(z, factors)
    unordered = codes.check_categorical(categorical, factors.shape[1])
    scores = _squared_correlation(z, factors.double())
    live = codes.live_latents(z)
    for k in unordered:
        for j in live.nonzero()[:, 0].tolist():
            scores[j, k] = _threshold_score(z[:, j], factors[:, k], seed)
    return torch.where(live[:, None], scores, torch.zeros_like(scores))


def _squared_correlation(z: Tensor, v: Tensor) -> Tensor:
    z, v = z - z.mean(dim=0), v - v.mean(dim=0)
    size = z.square().sum(dim=0)
    size = torch.where(size > 0, size, torch.ones_like(size))
    return (z.T @ v).square() / size[:, None] / v.square().sum(dim=0)


def _threshold_score(latent: Tensor, classes: Tensor, seed: int) -> float:
    from sklearn.tree import DecisionTreeClassifier  # only here: it loads slowly

    order = torch.randperm(len(latent), generator=torch.Generator().manual_seed(seed))
    fit, new = order[::2], order[1::2]
    count = int(classes.max()) + 1
    tree = DecisionTreeClassifier(
        max_leaf_nodes=count, class_weight="balanced", random_state=seed
    )
    tree.fit(latent[fit, None].numpy(), classes[fit].numpy())
    right = torch.from_numpy(tree.predict(latent[new, None].numpy())) == classes[new]
    recalls = [right[classes[new] == c].double().mean() for c in classes[new].unique()]
    accuracy = torch.stack(recalls).mean().item()
    return max(0.0, (accuracy - 1 / count) / (1 - 1 / count))


def sap(
    z: Tensor, factors: Tensor, categorical: Sequence[int] = (), seed: int = 0
) -> float:
    """Separated attribute predictability: mean over factors of best - second best.

    Estimator: see `sap_matrix`. With a single latent the second is 0.

    Parameters
    ----------
    z, factors, categorical, seed
        As for `sap_matrix`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If a shape or value is wrong, or a factor does not vary.

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
    scores = sap_matrix(z, factors, categorical, seed)
    padded = torch.cat([scores, torch.zeros_like(scores[:1])])
    first, second = padded.topk(2, dim=0).values
    return (first - second).mean().item()
