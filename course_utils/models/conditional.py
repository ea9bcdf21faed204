"""VAEs that are told a label y: the conditional VAE, and M2 for data with few labels.

    p(x, y, z) = p(y) p(z) p(x|y, z):   z and y are independent in the prior.

A batch is one tensor, as everywhere in the course: the label stands beside the pixels
as one-hot columns, and a row whose label nobody knows has zeros there (see
`with_labels`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.models.autoencoders import mlp
from course_utils.models.likelihoods import (
    Bernoulli,
    Gaussian,
    Likelihood,
    log_likelihood,
    reparameterise,
)
from course_utils.objectives import bernoulli_log_prob, gaussian_kl

UNKNOWN = -1


def with_labels(x: torch.Tensor, y: torch.Tensor, classes: int) -> torch.Tensor:
    """Put one-hot labels beside the data: (N, D) and (N,) to (N, D + classes).

    Parameters
    ----------
    x
        Data (N, D).
    y
        Whole numbers from 0 to ``classes`` − 1, or −1 for a label that is not known,
        which becomes a row of zeros.
    classes
        How many classes, at least 2.

    Raises
    ------
    ValueError
        If shapes do not fit, labels are not whole numbers, or one is out of range.

    Examples
    --------
    >>> with_labels(torch.tensor([[0.5], [0.7]]), torch.tensor([2, -1]), classes=3)
    tensor([[0.5000, 0.0000, 0.0000, 1.0000],
            [0.7000, 0.0000, 0.0000, 0.0000]])
    """
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(
            f"x and y have shapes {tuple(x.shape)} and {tuple(y.shape)}; expected "
            "(N, D) and (N,)"
        )
    if classes < 2:
        raise ValueError(f"classes is {classes}; expected at least 2")
    if y.is_floating_point() or y.is_complex():
        raise ValueError(f"y has dtype {y.dtype}; expected whole numbers")
    if len(y) and not (y.min() >= UNKNOWN and y.max() < classes):
        raise ValueError(
            f"labels lie in [{int(y.min())}, {int(y.max())}]; expected 0 to "
            f"{classes - 1}, or {UNKNOWN} for unknown"
        )
    return torch.cat([x, _one_hot(y, classes, x)], 1)


def balanced_labels(y: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Keep ``count`` labels, as evenly over the classes as can be; the rest become −1.

    Parameters
    ----------
    y
        Labels (N,), whole numbers from 0.
    count
        How many to keep, at least one a class and at most N.
    seed
        Which ones. A smaller ``count`` with the same seed keeps a part of the larger's.

    Raises
    ------
    ValueError
        If ``count`` is out of range or labels are negative.

    Examples
    --------
    >>> y = torch.tensor([0, 1, 0, 1, 0, 1])
    >>> int((balanced_labels(y, 4, seed=0) >= 0).sum())
    4
    """
    if y.ndim != 1 or y.is_floating_point() or (len(y) and y.min() < 0):
        raise ValueError("y must be (N,), whole numbers from 0")
    classes = y.unique()
    if not len(classes) <= count <= len(y):
        raise ValueError(
            f"count is {count}; expected {len(classes)} to {len(y)}: at least one a "
            "class"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(y), generator=generator)
    turn = torch.empty_like(order)  # the how-manieth of its class an example is
    for label in classes:
        members = order[y[order] == label]
        turn[members] = torch.arange(len(members))
    place = torch.empty_like(order)
    place[order] = torch.arange(len(y))
    first = torch.argsort(turn * len(y) + place)[:count]
    kept = torch.full_like(y, UNKNOWN)
    kept[first] = y[first]
    return kept


class Conditioned(NamedTuple):
    """One pass through a VAE that is told y: p(x|y, z) at the drawn z, q(z|x, y), z."""

    x_given_z: Bernoulli | Gaussian
    mu: torch.Tensor
    logvar: torch.Tensor
    z: torch.Tensor


class ConditionalVAE(nn.Module):
    """(x, y) → q(z|x, y) → z; (z, y) → p(x|y, z). Each way a multilayer perceptron.

    Parameters
    ----------
    D, K, classes
        Sizes of data and code, number of classes.
    hidden
        Sizes of the hidden layers of the encoder; the decoder has them in reverse.
    likelihood, noise, sigma, least_sigma
        As for `course_utils.models.VAE`.

    Raises
    ------
    ValueError
        If a size is not a whole number from 1, or the likelihood is none.

    Notes
    -----
    K. Sohn, H. Lee and X. Yan (2015); in the form of D. Kingma, S. Mohamed, D. Rezende
    and M. Welling (2014), where z does not depend on y in the prior.

    Examples
    --------
    >>> model = ConditionalVAE(D=4, K=2, classes=3, hidden=(8,))
    >>> batch = with_labels(torch.rand(5, 4).round(), torch.tensor([0, 1, 2, 0, 1]), 3)
    >>> model(batch).mu.shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        D: int,
        K: int,
        classes: int,
        hidden: Sequence[int] = (128,),
        likelihood: str = "bernoulli",
        *,
        noise: str = "fixed",
        sigma: float = 1.0,
        least_sigma: float = 0.01,
    ) -> None:
        super().__init__()
        self.D, self.K, self.classes = D, K, classes
        self.likelihood = Likelihood(D, likelihood, noise, sigma, least_sigma)
        self.encoder = mlp([D + classes, *hidden, 2 * K])
        outputs = self.likelihood.outputs
        self.decoder = mlp([K + classes, *reversed(hidden), outputs])

    def split(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Part a batch (N, D + classes) into x (N, D) and one-hot y (N, classes).

        Raises
        ------
        ValueError
            If the batch has another width.
        """
        if batch.ndim != 2 or batch.shape[1] != self.D + self.classes:
            raise ValueError(
                f"the batch has shape {tuple(batch.shape)}; expected (N, "
                f"{self.D + self.classes}): {self.D} of data, {self.classes} of the "
                "label"
            )
        return batch[:, : self.D], batch[:, self.D :]

    def encode(
        self, x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map data (N, D) and one-hot labels to mu and logvar of q(z|x, y), (N, K)."""
        mu, logvar = self.encoder(torch.cat([x, y], 1)).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: torch.Tensor, y: torch.Tensor) -> Bernoulli | Gaussian:
        """Map codes (N, K) and one-hot labels to the parameters of p(x|y, z)."""
        likelihood: Bernoulli | Gaussian = self.likelihood(
            self.decoder(torch.cat([z, y], 1))
        )
        return likelihood

    def forward(
        self, batch: torch.Tensor, generator: torch.Generator | None = None
    ) -> Conditioned:
        """Encode a labelled batch (N, D + classes), draw one z each, decode it."""
        x, y = self.split(batch)
        mu, logvar = self.encode(x, y)
        z = reparameterise(mu, logvar, generator)
        return Conditioned(self.decode(z, y), mu, logvar, z)


def conditional_elbo_loss(
    model: ConditionalVAE,
    batch: torch.Tensor,
    generator: torch.Generator,
    beta: float = 1.0,
) -> dict[str, torch.Tensor]:
    """Distortion + β · rate of a conditional VAE: at β = 1, −ELBO of log p(x|y).

    Parameters
    ----------
    model, batch, generator
        The batch is (N, D + classes) with every label known.
    beta
        Weight of the rate alone.

    Returns
    -------
    dict
        ``loss``, ``distortion`` and ``rate``: means over the batch, in nats.

    Raises
    ------
    ValueError
        If a row has no label.

    Examples
    --------
    >>> model = ConditionalVAE(D=4, K=2, classes=2)
    >>> batch = with_labels(torch.ones(3, 4), torch.tensor([0, 1, 1]), 2)
    >>> sorted(conditional_elbo_loss(model, batch, torch.Generator()))
    ['distortion', 'loss', 'rate']
    """
    x, y = model.split(batch)
    if not bool((y.sum(1) == 1).all()):
        raise ValueError("a row has no label; expected exactly one 1 in its one-hot y")
    x_given_z, mu, logvar, _ = model(batch, generator)
    distortion = -log_likelihood(x, x_given_z)
    rate = gaussian_kl(mu, logvar)
    return {
        "loss": (distortion + beta * rate).mean(),
        "distortion": distortion.mean(),
        "rate": rate.mean(),
    }


def network(h: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """Pass rows through linear layers with a ReLU between: a network as its weights.

    Parameters
    ----------
    h
        (N, inputs).
    weights
        A matrix (outputs, inputs) and a bias (outputs,) a layer, one layer after the
        other, as ``[*mlp(sizes).parameters()]`` gives them.

    Raises
    ------
    ValueError
        If there are no weights, or a matrix has no bias.

    Examples
    --------
    >>> layers = mlp([3, 5, 2])
    >>> h = torch.randn(4, 3)
    >>> torch.allclose(network(h, [*layers.parameters()]), layers(h))
    True
    """
    if not weights or len(weights) % 2:
        raise ValueError(f"there are {len(weights)} weights; expected W, b a layer")
    h = F.linear(h, weights[0], weights[1])
    for W, b in zip(weights[2::2], weights[3::2], strict=True):
        h = F.linear(h.relu(), W, b)
    return h


def conditional_terms(
    x: torch.Tensor,
    y: torch.Tensor,
    eps: torch.Tensor,
    encoder: Sequence[torch.Tensor],
    decoder: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Distortion and rate of a conditional VAE that is given as its weights.

    Parameters
    ----------
    x, y
        Binary data (N, D) and classes (N,).
    eps
        Standard normal noise (N, K).
    encoder, decoder
        Weights of two `network`: D + C inputs and 2K outputs, K + C inputs and D
        outputs. The one-hot label comes after the data, and after the code; mu before
        logvar.

    Returns
    -------
    tuple of Tensor
        −log p(x|y, z) at the drawn z, and KL(q(z|x, y) ‖ p(z)): (N,) each, in nats.

    Examples
    --------
    >>> model = ConditionalVAE(D=4, K=2, classes=3, hidden=(8,))
    >>> weights = [*model.encoder.parameters()], [*model.decoder.parameters()]
    >>> x, y = torch.ones(5, 4), torch.tensor([0, 1, 2, 0, 1])
    >>> conditional_terms(x, y, torch.zeros(5, 2), *weights)[1].shape
    torch.Size([5])
    """
    hot = F.one_hot(y, encoder[0].shape[1] - x.shape[1]).to(x)
    mu, logvar = network(torch.cat([x, hot], 1), encoder).chunk(2, dim=1)
    z = reparameterise(mu, logvar, eps)
    logits = network(torch.cat([z, hot], 1), decoder)
    return -bernoulli_log_prob(x, logits), gaussian_kl(mu, logvar)


def elbos_by_class(
    x: torch.Tensor,
    eps: torch.Tensor,
    encoder: Sequence[torch.Tensor],
    decoder: Sequence[torch.Tensor],
) -> torch.Tensor:
    """Single-draw ELBO of log p(x, y) for each class y, with an even p(y), in nats.

    Parameters
    ----------
    x, encoder, decoder
        As for `conditional_terms`.
    eps
        Noise of its own for each class, (N, C, K).

    Returns
    -------
    Tensor
        (N, C).

    Examples
    --------
    >>> model = M2(D=4, K=2, classes=3, hidden=(8,))
    >>> weights = [*model.encoder.parameters()], [*model.decoder.parameters()]
    >>> elbos_by_class(torch.ones(5, 4), torch.zeros(5, 3, 2), *weights).shape
    torch.Size([5, 3])
    """
    N, C, _ = eps.shape
    every = torch.arange(C).repeat(N)  # x_1 with each y, then x_2, …
    repeated = x.repeat_interleave(C, 0)
    noise = eps.flatten(0, 1)
    distortion, rate = conditional_terms(repeated, every, noise, encoder, decoder)
    return -(distortion + rate).reshape(N, C) - math.log(C)


class M2(ConditionalVAE):
    """A conditional VAE with a classifier q(y|x) and an even p(y): it fills in labels.

    Parameters
    ----------
    D, K, classes, hidden, likelihood, noise, sigma, least_sigma
        As for `ConditionalVAE`. The classifier has the encoder's hidden sizes.

    Notes
    -----
    D. Kingma, S. Mohamed, D. Rezende and M. Welling (2014), Semi-supervised learning
    with deep generative models.

    Examples
    --------
    >>> sums = M2(D=4, K=2, classes=3).log_q_y(torch.rand(5, 4)).exp().sum(1)
    >>> torch.allclose(sums, torch.ones(5))
    True
    """

    def __init__(
        self,
        D: int,
        K: int,
        classes: int,
        hidden: Sequence[int] = (128,),
        likelihood: str = "bernoulli",
        *,
        noise: str = "fixed",
        sigma: float = 1.0,
        least_sigma: float = 0.01,
    ) -> None:
        super().__init__(
            D, K, classes, hidden, likelihood,
            noise=noise, sigma=sigma, least_sigma=least_sigma,
        )  # fmt: skip
        self.classifier = mlp([D, *hidden, classes])

    def log_q_y(self, x: torch.Tensor) -> torch.Tensor:
        """Log q(y|x) of every class, (N, classes)."""
        return torch.log_softmax(self.classifier(x), 1)

    def joint_elbos(
        self, x: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Single-draw ELBO of log p(x, y) for each class y, (N, classes), in nats."""
        N = len(x)
        repeated = x.repeat_interleave(self.classes, 0)  # x_1 with each y, then x_2, …
        every = torch.eye(self.classes, dtype=x.dtype, device=x.device).repeat(N, 1)
        return self.joint_elbo(repeated, every, generator).reshape(N, self.classes)

    def joint_elbo(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Single-draw ELBO of log p(x, y) for one-hot y, (N,), in nats."""
        mu, logvar = self.encode(x, y)
        z = reparameterise(mu, logvar, generator)
        reconstruction = log_likelihood(x, self.decode(z, y))
        return reconstruction - gaussian_kl(mu, logvar) - math.log(self.classes)


def unlabelled_bound(joint_elbo: torch.Tensor, log_q_y: torch.Tensor) -> torch.Tensor:
    """Lower bound on log p(x) with y summed out: Σ_y q(y|x) (ELBO(x, y) − log q(y|x)).

    By Jensen's inequality, log p(x) = log Σ_y q(y|x) [p(x, y)/q(y|x)] is at least
    Σ_y q(y|x) log [p(x, y)/q(y|x)], and ELBO(x, y) ≤ log p(x, y). The sum over the
    classes is exact: no y is drawn.

    Parameters
    ----------
    joint_elbo
        ELBO of log p(x, y) for each y, with log p(y) inside, (N, classes), in nats.
    log_q_y
        log q(y|x), (N, classes), each row normalised.

    Returns
    -------
    Tensor
        (N,), in nats. At most log Σ_y exp ELBO(x, y), with q(y|x) ∝ exp ELBO(x, y).

    Raises
    ------
    ValueError
        If the shapes differ or a row of q(y|x) does not sum to 1.

    Examples
    --------
    >>> elbos = torch.tensor([[-10.0, -12.0]])
    >>> sure = torch.tensor([[0.0, -torch.inf]])  # q says: the first class
    >>> unlabelled_bound(elbos, sure)
    tensor([-10.])
    """
    if joint_elbo.ndim != 2 or joint_elbo.shape != log_q_y.shape:
        raise ValueError(
            f"joint_elbo and log_q_y have shapes {tuple(joint_elbo.shape)} and "
            f"{tuple(log_q_y.shape)}; expected (N, classes) for both"
        )
    q = log_q_y.exp()
    if not torch.allclose(q.sum(1), torch.ones_like(q[:, 0]), atol=1e-4):
        raise ValueError("a row of exp(log_q_y) does not sum to 1; expected log q(y|x)")
    return (q * joint_elbo - torch.xlogy(q, q)).sum(1)


def m2_loss(
    model: M2, batch: torch.Tensor, generator: torch.Generator, alpha: float = 1.0
) -> dict[str, torch.Tensor]:
    """Loss of M2 on a batch where only some rows have a label.

    A labelled row gives −ELBO of log p(x, y), and α times −log q(y|x), because its
    bound does not train the classifier. A row without a label gives
    −`unlabelled_bound`.

    Parameters
    ----------
    model, batch, generator
        The batch is (N, D + classes), from `with_labels`.
    alpha
        Weight of the classifier's loss on a labelled row, at least 0. Kingma et al.
        (2014) take 0.1 · (examples)/(labelled examples).

    Returns
    -------
    dict
        ``loss`` is the mean over all rows. ``labelled``, ``unlabelled`` and
        ``classifier`` are those rows' parts of it, before α: they too are divided by
        the number of all rows.

    Raises
    ------
    ValueError
        If ``alpha`` is negative or not finite.

    Examples
    --------
    >>> batch = with_labels(torch.ones(3, 4), torch.tensor([0, -1, -1]), 2)
    >>> terms = m2_loss(M2(4, 2, 2), batch, torch.Generator(), alpha=5.0)
    >>> sum_of = terms["labelled"] + terms["unlabelled"] + 5 * terms["classifier"]
    >>> torch.allclose(terms["loss"], sum_of)
    True
    """
    if not 0 <= alpha < math.inf:
        raise ValueError(f"alpha is {alpha}; expected a finite number of at least 0")
    x, y = model.split(batch)
    known = y.sum(1) > 0
    log_q_y = model.log_q_y(x)
    labelled = unlabelled = x.new_zeros(())
    if known.any():
        labelled = -model.joint_elbo(x[known], y[known], generator).sum()
    if not known.all():
        elbos = model.joint_elbos(x[~known], generator)
        unlabelled = -unlabelled_bound(elbos, log_q_y[~known]).sum()
    classifier = -(y * log_q_y).sum()  # rows without a label add 0
    return {
        "loss": (labelled + unlabelled + alpha * classifier) / len(x),
        "labelled": labelled / len(x),
        "unlabelled": unlabelled / len(x),
        "classifier": classifier / len(x),
    }


def _one_hot(y: torch.Tensor, classes: int, like: torch.Tensor) -> torch.Tensor:
    """One-hot rows (N, classes); zeros where y is unknown."""
    rows = torch.zeros(len(y), classes, dtype=like.dtype, device=like.device)
    known = y != UNKNOWN
    rows[known, y[known]] = 1
    return rows
