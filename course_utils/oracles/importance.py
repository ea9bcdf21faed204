"""The importance-weighted bound in expectation, exactly, for any number of samples.

IWAE_S = E[log (1/S) Σ_s w_s] is an average over S independent draws z_s ~ q, so a rule
over z would need S dimensions. One identity brings it back to one. For every a > 0

    log a = ∫₀^∞ (e^(−t) − e^(−a t)) / t dt        (Frullani's integral).

Put a = Σ_s w_s and take expectations. The w_s are independent and alike, so
E e^(−t Σ_s w_s) = φ(t)^S with φ(t) = E_q e^(−t w), which *one* rule over z gives:

    E log Σ_s w_s = ∫₀^∞ (e^(−t) − φ(t)^S) / t dt.

With t = e^u the integrand fades on both sides and is smooth: for complex u with
|Im u| < π/2 neither term exceeds 1, whatever S is. So the trapezoid rule with step h
errs by about e^(−π²/h), which is 1e-21 at h = 0.2. Nothing cancels either: near t = 0
both terms are written as 1 + expm1(...). What limits the result is the rule over z.

All of it in float64, with the weights divided by their largest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from course_utils.arguments import whole_numbers

STEP = 0.2  # of u
BLOCK = 4_000_000  # numbers held at a time
RARE = 1e-20  # nodes of this probability, all together, are left out


def normal_rule(
    K: int, points: int = 401, reach: float = 9.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give nodes and log-probabilities of N(0, I) in K = 1 or 2 dimensions.

    An even grid in each dimension, with the density at its points as probabilities (the
    trapezoid rule). With z = mu + σ · eps it is a rule for an encoder's q(z|x).

    Parameters
    ----------
    K
        1 or 2.
    points
        Points in each dimension, at least 3. Take twice as many and see whether the
        result stays.
    reach
        The grid ends at ±reach. Beyond 9 lies a mass of 2e-19.

    Returns
    -------
    eps, log_prob
        (M, K) and (M,), float64, with M = points to the power of K.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> eps, log_prob = normal_rule(1)
    >>> round(float((log_prob.exp() * eps[:, 0] ** 4).sum()), 12)  # of N(0, 1): 3
    3.0
    """
    if K not in (1, 2) or isinstance(K, bool):
        raise ValueError(f"K is {K!r}; expected 1 or 2")
    whole_numbers(least=3, points=points)
    if not 0 < reach < math.inf:
        raise ValueError(f"reach is {reach}; expected a finite number above 0")
    line = torch.linspace(-reach, reach, points, dtype=torch.float64)
    eps = torch.cartesian_prod(*[line] * K).reshape(-1, K)
    return eps, torch.log_softmax(-0.5 * (eps**2).sum(1), 0)


@torch.no_grad()
def expected_iwae(
    log_w: torch.Tensor, log_prob: torch.Tensor, S: int | Sequence[int]
) -> torch.Tensor:
    """Integrate the importance-weighted bound: E[log (1/S) Σ_s w_s], without draws.

    At S = 1 it is the ELBO, for S → ∞ it tends to log E[w] = log p(x), and in between
    it never falls. Each log w is log p(x|z) + log p(z) − log q(z|x) at one node z.

    Parameters
    ----------
    log_w
        (M, N), float64: M nodes of z for each of N examples; −∞ is the log of 0.
    log_prob
        (M,), or (M, N) if the examples differ: log-probabilities of the nodes under q.
        They are normalised here.
    S
        How many samples, at least 1; or several such numbers.

    Returns
    -------
    Tensor
        (N,), in nats; (len(S), N) if S is a sequence. It is −∞ where w = 0 has a
        positive probability.

    Raises
    ------
    ValueError
        If shapes do not fit, something is not float64 or NaN, all weights of an example
        are 0, or S is no whole number from 1.

    Notes
    -----
    For a q on M points the result is exact to about 1e-12 nat. For a density it is as
    good as the rule: nodes must resolve the weights (see `normal_rule`). Nodes with a
    probability below 1e-20 together are left out.

    Y. Burda, R. Grosse and R. Salakhutdinov (2016), Importance Weighted Autoencoders.

    Examples
    --------
    Two equally likely weights, 1 and 3. The ELBO is ½ log 3; two samples give
    ¼ (log 1 + 2 log 2 + log 3).

    >>> log_w = torch.tensor([[1.0], [3.0]]).double().log()
    >>> expected_iwae(log_w, torch.zeros(2).double(), [1, 2])[:, 0]
    tensor([0.5493, 0.6212], dtype=torch.float64)
    """
    several = isinstance(S, Sequence)
    counts: list[int] = list(S) if isinstance(S, Sequence) else [S]
    _check(log_w, log_prob, counts)
    log_prob = log_prob[:, None] if log_prob.ndim == 1 else log_prob
    log_prob = torch.log_softmax(log_prob, 0).expand_as(log_w)
    columns = [
        _one(log_w[:, n], log_prob[:, n], torch.tensor(counts).double())
        for n in range(log_w.shape[1])
    ]
    result = torch.stack(columns, 1)  # (len(S), N)
    return result if several else result[0]


def _one(
    log_w: torch.Tensor, log_prob: torch.Tensor, counts: torch.Tensor
) -> torch.Tensor:
    """Return the bound of one example for each count: (M,), (M,), (C,) to (C,)."""
    rarest = log_prob.argsort()
    kept = log_prob[rarest].exp().cumsum(0) > RARE
    log_w, log_prob = log_w[rarest][kept], log_prob[rarest][kept]
    if (log_w == -math.inf).any():
        return torch.full_like(counts, -math.inf)
    top = log_w.max()
    log_w, probs = log_w - top, log_prob.softmax(0)
    # Below the first u, |integrand| ≤ S e^u; above the last, e^(−t w) is 0 for every w.
    first = -40.0 - math.log(float(counts.max()))
    last = 4.0 - float(log_w.min())
    steps = torch.arange(math.ceil((last - first) / STEP) + 1, dtype=torch.float64)
    total = torch.zeros_like(counts)
    for u in (first + STEP * steps).split(max(BLOCK // len(log_w), 1)):
        t_times_w = (u[:, None] + log_w).clamp(max=40.0).exp()  # (U, M)
        t = u.clamp(max=40.0).exp()
        below_one = torch.expm1(-t_times_w) @ probs  # φ − 1, (U,)
        log_phi = torch.log1p(below_one.clamp(min=-1.0))
        power = torch.expm1(counts[:, None] * log_phi)  # φ^S − 1, (C, U)
        total += (torch.expm1(-t) - power).sum(1) * STEP
    return total + top - counts.log()


def _check(log_w: torch.Tensor, log_prob: torch.Tensor, counts: list[int]) -> None:
    if log_w.ndim != 2 or 0 in log_w.shape:
        raise ValueError(
            f"log_w has shape {tuple(log_w.shape)}; expected (M, N): M ≥ 1 nodes for "
            "each of N ≥ 1 examples"
        )
    if log_prob.shape not in (log_w.shape[:1], log_w.shape):
        raise ValueError(
            f"log_prob has shape {tuple(log_prob.shape)}; expected "
            f"{tuple(log_w.shape[:1])} or {tuple(log_w.shape)} to fit log_w"
        )
    for name, value in (("log_w", log_w), ("log_prob", log_prob)):
        if value.dtype != torch.float64:
            raise ValueError(f"{name} is {value.dtype}; expected torch.float64")
        if value.isnan().any() or (value == math.inf).any():
            raise ValueError(f"{name} holds NaN or +∞; expected numbers or −∞")
        if (value.max(0).values == -math.inf).any():
            raise ValueError(f"{name} is −∞ everywhere; expected a number somewhere")
    for count in counts:
        whole_numbers(S=count)
    if not counts:
        raise ValueError("S is empty; expected at least one whole number")
