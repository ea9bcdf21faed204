"""What each metric says of codes whose answer is known: its calibration.

The codes are made of the factors themselves, so nothing is trained. A metric is worth
reading once one has seen it at its best, at chance, and on codes that hold all factors
but mix them.

What `known_answers` says by default (95 % over 20 new seeds, 8 for DCI), for codes that
score 1 (MIG: 0.99) before they are rotated:

=====================  ========  ================  ================
score                  chance    Hadamard-rotated  randomly rotated
=====================  ========  ================  ================
β-VAE                  0.20      0.20 ± 0.01       0.88 ± 0.03
FactorVAE              0.20      0.20 ± 0.01       0.79 ± 0.05
MIG                    0.00      0.00              0.07 ± 0.02
SAP                    0.00      0.00              0.18 ± 0.03
DCI disentanglement    0.00      0.01              0.44 ± 0.07
DCI completeness       0.00      0.01              0.39 ± 0.04
DCI informativeness    -0.08     0.73 ± 0.01       0.88 ± 0.02
=====================  ========  ================  ================

So the β-VAE and FactorVAE scores hardly fall under a random rotation. Under a Hadamard
matrix they fall to chance: each factor has the same share in every latent, so that
fixing any one of them changes all latents alike. DCI's informativeness is about all
latents together, which lose nothing by a rotation; it falls because the trees of a
forest cut along the axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_utils.arguments import whole_numbers
from course_utils.metrics.disentanglement.codes import (
    Represent,
    check_levels,
    draw_factors,
    encode,
    unrelated,
)
from course_utils.metrics.disentanglement.fixed_factor import (
    beta_vae_score,
    factor_vae_score,
)
from course_utils.metrics.disentanglement.importances import dci
from course_utils.metrics.disentanglement.information import mig
from course_utils.metrics.disentanglement.separability import sap
from course_utils.metrics.intervals import seed_interval

Score = Callable[[Represent, Sequence[int], int], float | Mapping[str, float]]

SPRITES = (3, 6, 40, 32, 32)  # shape, scale, orientation, position x and y
CODES = (
    "perfect",
    "permuted and rescaled",
    "Hadamard-rotated",
    "randomly rotated",
    "random",
)


# --- codes whose answer is known ----------------------------------------------------


def hadamard(latents: int) -> Tensor:
    """Orthogonal matrix (K, K) whose entries are all ±1/√K; K a power of two.

    Examples
    --------
    >>> 2 * hadamard(4)[3]
    tensor([ 1., -1., -1.,  1.], dtype=torch.float64)
    """
    whole_numbers(latents=latents)
    if latents < 2 or latents & (latents - 1):
        raise ValueError(f"latents must be a power of two, at least 2, got {latents}")
    matrix = torch.ones(1, 1, dtype=torch.float64)
    while len(matrix) < latents:
        block = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
        matrix = torch.kron(block, matrix)
    return matrix / math.sqrt(latents)


def random_rotation(latents: int, generator: torch.Generator) -> Tensor:
    """Orthogonal matrix (K, K), uniform over all: QR of normal draws, signs mended.

    Examples
    --------
    >>> q = random_rotation(3, torch.Generator().manual_seed(0))
    >>> torch.allclose(q @ q.T, torch.eye(3, dtype=torch.float64))
    True
    """
    whole_numbers(latents=latents)
    draws = torch.randn(latents, latents, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(draws)
    return q * r.diagonal().sign()


def known_code(
    name: str, levels: Sequence[int], latents: int, generator: torch.Generator
) -> Represent:
    """Make codes whose answer is known.

    Each factor is standardised (mean 0, variance 1 over its levels); latents beyond the
    factors hold normal noise of the same variance, new in each call. So the covariance
    of the perfect code is I, and rotations leave it so.

    Parameters
    ----------
    name : str
        ``"perfect"``: one latent a factor, then the noise. ``"permuted and rescaled"``:
        the perfect code's latents in random order, each times ±s with s between 0.1 and
        10. ``"Hadamard-rotated"``: the perfect code times `hadamard`, so that each
        latent holds the same share of all. ``"randomly rotated"``: times
        `random_rotation`. ``"random"``: noise only.
    levels : sequence of int, (F,)
        Number of levels of each factor.
    latents : int
        K, at least F; a power of two for the Hadamard matrix.
    generator : Generator
        Source of the noise, the order, the rotation.

    Raises
    ------
    ValueError
        If there is no such code or a number is out of range.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> represent = known_code("perfect", (2, 3), 4, generator)
    >>> represent(torch.tensor([[0, 1], [1, 1]]))[:, :2].tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    levels = check_levels(levels)
    if name not in CODES:
        raise ValueError(f"name must be one of {CODES}, got {name!r}")
    whole_numbers(latents=latents)
    if latents < len(levels):
        raise ValueError(
            f"latents must be at least the number of factors, {len(levels)}, got "
            f"{latents}"
        )
    sizes = torch.tensor(levels, dtype=torch.float64)
    centre, spread = (sizes - 1) / 2, ((sizes.square() - 1) / 12).sqrt()
    matrix = _matrix(name, latents, generator)

    def represent(factors: Tensor) -> Tensor:
        noise = torch.randn(
            len(factors), latents, generator=generator, dtype=torch.float64
        )
        if name != "random":
            noise[:, : len(levels)] = (factors - centre) / spread
        return noise @ matrix

    return represent


def _matrix(name: str, latents: int, generator: torch.Generator) -> Tensor:
    if name == "Hadamard-rotated":
        return hadamard(latents)
    if name == "randomly rotated":
        return random_rotation(latents, generator)
    matrix = torch.eye(latents, dtype=torch.float64)
    if name == "permuted and rescaled":
        scale = 10 ** (2 * torch.rand(latents, generator=generator) - 1).double()
        sign = 1 - 2.0 * torch.randint(2, (latents,), generator=generator)
        matrix = (sign * scale * matrix)[torch.randperm(latents, generator=generator)]
    return matrix


# --- metrics in one form ------------------------------------------------------------


def on_sample(
    metric: Callable[[Tensor, Tensor], float | Mapping[str, float]],
    count: int = 10_000,
) -> Score:
    """Let a metric of a table, ``metric(z, factors)``, be called like all others.

    Parameters
    ----------
    metric : callable
        Codes (N, K) and factors (N, F) to a score, or to scores by name.
    count : int
        Rows to draw.

    Returns
    -------
    callable
        ``score(represent, levels, seed)``.

    Examples
    --------
    >>> represent = known_code("perfect", (2, 3), 2, torch.Generator())
    >>> round(on_sample(mig, 1000)(represent, (2, 3), 0), 2)
    1.0
    """

    def score(
        represent: Represent, levels: Sequence[int], seed: int
    ) -> float | Mapping[str, float]:
        generator = torch.Generator().manual_seed(seed)
        factors = draw_factors(levels, count, generator)
        return metric(encode(represent, factors), factors)

    return score


def _beta_vae(represent: Represent, levels: Sequence[int], seed: int) -> float:
    return beta_vae_score(represent, levels, seed=seed)


def _factor_vae(represent: Represent, levels: Sequence[int], seed: int) -> float:
    return factor_vae_score(represent, levels, seed=seed)


def _sap(z: Tensor, factors: Tensor) -> float:
    return sap(z, factors, categorical=(0,))


def _dci(z: Tensor, factors: Tensor) -> dict[str, float]:
    scores = dci(z, factors, categorical=(0,))
    return {
        "disentanglement": scores.disentanglement,
        "completeness": scores.completeness,
        "informativeness": scores.informativeness,
    }


# Each with its default estimator; factor 0, the shape, has no order.
SCORES: dict[str, Score] = {
    "beta-VAE": _beta_vae,
    "FactorVAE": _factor_vae,
    "MIG": on_sample(mig),
    "SAP": on_sample(_sap),
    "DCI": on_sample(_dci, 2000),
}


# --- the table ----------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What a score says of a code over several seeds, and what it says by chance.

    Attributes
    ----------
    score, code
        Names.
    values
        One a seed.
    chance
        One a seed, for the same code of factors drawn anew (labels permuted).
    """

    score: str
    code: str
    values: tuple[float, ...]
    chance: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return seed_interval(self.values)[0]

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean over seeds (Student's t)."""
        mean, half = seed_interval(self.values)
        return mean - half, mean + half

    @property
    def chance_mean(self) -> float:
        """Mean by chance over the seeds."""
        return seed_interval(self.chance)[0]

    @property
    def chance_interval(self) -> tuple[float, float]:
        """95 % interval of the mean by chance (Student's t)."""
        mean, half = seed_interval(self.chance)
        return mean - half, mean + half


def known_answers(
    metric: str | Score,
    *,
    levels: Sequence[int] = SPRITES,
    latents: int = 8,
    seeds: Sequence[int] = range(5),
    names: Sequence[str] = CODES,
) -> list[Answer]:
    """Score codes whose answer is known, and the same codes by chance.

    Each seed draws factors, noise, order and rotation anew, so that an interval over
    seeds says how the mean would move with other draws.

    Parameters
    ----------
    metric : str or callable
        One of ``SCORES`` (``"beta-VAE"``, ``"FactorVAE"``, ``"MIG"``, ``"SAP"``,
        ``"DCI"``; the last two take factor 0, the shape, as one without order), or
        ``score(represent, levels, seed)`` returning a float or floats by name.
        `on_sample` makes one of a metric of a table.
    levels : sequence of int, (F,)
        Number of levels of each factor; by default those of dSprites without its
        colour.
    latents : int
        K, at least F, a power of two.
    seeds : sequence of int
        At least two.
    names : sequence of str
        Which codes; see `known_code`.

    Returns
    -------
    list of Answer
        Code by code; for DCI three scores each.

    Raises
    ------
    ValueError
        If a name is unknown or a number is out of range.

    Examples
    --------
    >>> metric = on_sample(mig, 1000)
    >>> answers = known_answers(metric, levels=(3, 4), latents=2, names=("perfect",))
    >>> answers[0].mean > 0.95, abs(answers[0].chance_mean) < 0.05
    (True, True)
    """
    levels = check_levels(levels)
    if isinstance(metric, str) and metric not in SCORES:
        raise ValueError(f"metric must be one of {tuple(SCORES)}, got {metric!r}")
    if isinstance(seeds, int) or len(seeds) < 2:
        raise ValueError(f"seeds is {seeds}; expected at least two seeds")
    score = SCORES[metric] if isinstance(metric, str) else metric
    label = metric if isinstance(metric, str) else ""
    answers = []
    for name in names:
        runs = [_both(score, name, levels, latents, seed) for seed in seeds]
        for part in runs[0][0]:
            values = tuple(real[part] for real, _ in runs)
            chance = tuple(lucky[part] for _, lucky in runs)
            answers.append(Answer(f"{label} {part}".strip(), name, values, chance))
    return answers


def _both(
    score: Score, name: str, levels: Sequence[int], latents: int, seed: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Scores by name of a code, and of the same code by chance."""
    generator = torch.Generator().manual_seed(seed)
    represent = known_code(name, levels, latents, generator)
    by_chance = unrelated(represent, levels, generator)
    # Seeds of factors and of codes differ: equal ones would give equal draws.
    return (
        _named(score(represent, levels, 1000 + seed)),
        _named(score(by_chance, levels, 1000 + seed)),
    )


def _named(scores: float | Mapping[str, float]) -> dict[str, float]:
    if isinstance(scores, Mapping):
        return {name: float(value) for name, value in scores.items()}
    return {"": float(scores)}
