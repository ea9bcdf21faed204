"""VAEs that are told a label, against sums over classes and an exact small world."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import MultivariateNormal

from course_utils.models.conditional import (
    M2,
    ConditionalVAE,
    balanced_labels,
    conditional_elbo_loss,
    conditional_terms,
    elbos_by_class,
    m2_loss,
    network,
    unlabelled_bound,
    with_labels,
)
from course_utils.objectives import bernoulli_log_prob, gaussian_kl
from course_utils.training import fit

C, D, K, SIGMA = 3, 4, 2, 0.6


class Affine(torch.nn.Module):
    def __init__(self, matrix, bias):
        super().__init__()
        self.matrix, self.bias = matrix, bias

    def forward(self, x):
        return x @ self.matrix.T + self.bias


def exact_world():
    """p(x|y, z) = N(m_y + W z, σ²I) as an M2 with its true posteriors, float64.

    W has orthogonal columns, so that q(z|x, y) can be exact with a diagonal covariance.
    """
    generator = torch.Generator().manual_seed(0)
    m = 1.5 * torch.randn(C, D, generator=generator, dtype=torch.float64)
    W = torch.linalg.qr(torch.randn(D, K, generator=generator, dtype=torch.float64)).Q
    W = W * torch.tensor([1.5, 0.7], dtype=torch.float64)
    model = M2(D, K, C, hidden=(4,), likelihood="gaussian", sigma=SIGMA).double()
    model.decoder = Affine(torch.cat([W, m.T], 1), torch.zeros(D).double())
    variance = 1 / (1 + (W**2).sum(0) / SIGMA**2)  # of z given x and y, (K,)
    gain = variance[:, None] * W.T / SIGMA**2  # (K, D)
    top = torch.cat([gain, -gain @ m.T], 1)
    matrix = torch.cat([top, torch.zeros_like(top)])
    model.encoder = Affine(matrix, torch.cat([torch.zeros(K), variance.log()]).double())
    cov = W @ W.T + SIGMA**2 * torch.eye(D, dtype=torch.float64)
    x = torch.randn(6, D, generator=generator, dtype=torch.float64)
    each = torch.stack([MultivariateNormal(mean, cov).log_prob(x) for mean in m], 1)
    return model, x, each - math.log(C)  # log p(x, y), (6, C)


# --- labels beside the data ---------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=9))
def test_labels_can_be_read_back(labels):
    y = torch.tensor(labels)
    joined = with_labels(torch.rand(len(y), 2), y, classes=4)
    hot = joined[:, 2:]
    assert torch.equal(hot.sum(1) > 0, y >= 0)
    assert torch.equal(hot.argmax(1)[y >= 0], y[y >= 0])


@pytest.mark.parametrize(
    ("y", "classes", "said"),
    [
        (torch.tensor([0, 3]), 3, r"\[0, 3\]"),
        (torch.tensor([0, -2]), 3, r"\[-2, 0\]"),
        (torch.tensor([0.0, 1.0]), 3, "whole numbers"),
        (torch.tensor([0, 1, 2]), 3, "shapes"),
        (torch.tensor([0, 0]), 1, "classes is 1"),
    ],
)
def test_bad_labels(y, classes, said):
    with pytest.raises(ValueError, match=said):
        with_labels(torch.zeros(2, 4), y, classes)


@pytest.mark.parametrize("count", [3, 4, 17, 60])
def test_kept_labels_are_balanced_true_and_nested(count):
    y = torch.arange(60) % 3
    kept = balanced_labels(y, count, seed=1)
    here = kept >= 0
    assert torch.equal(kept[here], y[here]) and int(here.sum()) == count
    per_class = torch.bincount(kept[here], minlength=3)
    assert per_class.max() - per_class.min() <= 1
    smaller = balanced_labels(y, 3, seed=1) >= 0
    assert bool((here | ~smaller).all())
    if count == 17:
        assert not torch.equal(kept, balanced_labels(y, count, seed=2))


def test_when_a_class_runs_out_the_others_fill_up():
    y = torch.tensor([0] * 2 + [1] * 20)
    kept = balanced_labels(y, 10, seed=0)
    assert int((kept == 0).sum()) == 2 and int((kept == 1).sum()) == 8


@pytest.mark.parametrize("count", [1, 7])
def test_too_few_or_too_many_labels(count):
    with pytest.raises(ValueError, match="expected 2 to 6"):
        balanced_labels(torch.tensor([0, 1, 0, 1, 0, 1]), count, seed=0)


# --- the conditional VAE ------------------------------------------------------------


def test_with_the_true_posterior_the_elbo_is_exact():
    """Its draws scatter, its mean is log p(x, y): the gap is 0."""
    model, x, log_joint = exact_world()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        draws = torch.stack([model.joint_elbos(x, generator) for _ in range(1500)])
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - log_joint).abs() < 4.5 * error).all()
    assert error.max() < 0.08


def test_the_loss_is_made_of_the_published_parts():
    torch.manual_seed(0)
    model = ConditionalVAE(6, 2, 3, hidden=(5,))
    x, y = torch.rand(8, 6).round(), torch.arange(8) % 3
    batch = with_labels(x, y, 3)
    terms = conditional_elbo_loss(model, batch, torch.Generator().manual_seed(1), 2.0)
    x_given_z, mu, logvar, _ = model(batch, torch.Generator().manual_seed(1))
    distortion = -bernoulli_log_prob(x, x_given_z.logits).mean()
    assert torch.allclose(terms["distortion"], distortion)
    assert torch.allclose(terms["rate"], gaussian_kl(mu, logvar).mean())
    assert torch.allclose(terms["loss"], distortion + 2 * terms["rate"])


def test_encoder_and_decoder_are_told_the_label():
    torch.manual_seed(0)
    model, x = ConditionalVAE(6, 2, 3, hidden=(5,)), torch.rand(1, 6)
    zero, one = torch.eye(3)[:1], torch.eye(3)[1:2]
    assert not torch.equal(model.encode(x, zero)[0], model.encode(x, one)[0])
    z = torch.zeros(1, 2)
    assert not torch.equal(model.decode(z, zero).logits, model.decode(z, one).logits)


def test_weights_alone_give_the_terms_and_the_elbos_of_the_modules():
    torch.manual_seed(0)
    model = M2(6, 2, 3, hidden=(5, 4))
    weights = [*model.encoder.parameters()], [*model.decoder.parameters()]
    x, eps = torch.rand(8, 6).round(), torch.randn(8, 3, 2)
    elbos = elbos_by_class(x, eps, *weights)
    for c in range(3):
        labels = torch.full((8,), c)
        hot = torch.eye(3)[labels]
        mu, logvar = model.encode(x, hot)
        z = mu + (logvar / 2).exp() * eps[:, c]
        distortion = -bernoulli_log_prob(x, model.decode(z, hot).logits)
        rate = gaussian_kl(mu, logvar)
        terms = conditional_terms(x, labels, eps[:, c], *weights)
        assert torch.allclose(terms[0], distortion, atol=1e-5)
        assert torch.allclose(terms[1], rate, atol=1e-5)
        want = -distortion - rate - math.log(3)
        assert torch.allclose(elbos[:, c], want, atol=1e-5)
    with pytest.raises(ValueError, match="expected W, b"):
        network(x, weights[0][:3])


def test_a_row_without_a_label_is_refused():
    batch = with_labels(torch.zeros(2, 4), torch.tensor([0, -1]), 2)
    with pytest.raises(ValueError, match="no label"):
        conditional_elbo_loss(ConditionalVAE(4, 2, 2), batch, torch.Generator())
    with pytest.raises(ValueError, match="expected"):
        ConditionalVAE(4, 2, 2)(torch.zeros(2, 4))


# --- M2 -----------------------------------------------------------------------------


def test_the_unlabelled_bound_reaches_log_p_for_the_true_posterior_of_y():
    _, _, log_joint = exact_world()
    log_p = torch.logsumexp(log_joint, 1)
    best = unlabelled_bound(log_joint, log_joint.log_softmax(1))
    assert torch.allclose(best, log_p, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_unlabelled_bound_falls_short_by_the_kl_of_y(seed):
    _, _, log_joint = exact_world()
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(log_joint.shape, generator=generator, dtype=torch.float64)
    log_q = (3 * logits).log_softmax(1)
    truth = log_joint.log_softmax(1)
    kl = (log_q.exp() * (log_q - truth)).sum(1)
    short = torch.logsumexp(log_joint, 1) - unlabelled_bound(log_joint, log_q)
    assert torch.allclose(short, kl, atol=1e-10)


def test_the_loss_adds_up_row_by_row():
    model, x, _ = exact_world()
    y = torch.tensor([0, -1, 2, -1, -1, 1])
    batch = with_labels(x, y, C)
    terms = m2_loss(model, batch, torch.Generator().manual_seed(2), alpha=0.7)
    generator = torch.Generator().manual_seed(2)
    known = y >= 0
    labelled = model.joint_elbo(x[known], torch.eye(C).double()[y[known]], generator)
    elbos = model.joint_elbos(x[~known], generator)
    log_q = model.log_q_y(x)
    want = -labelled.sum() - 0.7 * log_q[known, y[known]].sum()
    for row, log_q_row in zip(elbos, log_q[~known], strict=True):
        want = want - sum(
            log_q_row[c].exp() * (row[c] - log_q_row[c]) for c in range(C)
        )
    assert torch.allclose(terms["loss"], want / 6)


@pytest.mark.parametrize("known", [[0, 1, 2, 0], [-1, -1, -1, -1]])
def test_a_batch_may_have_all_labels_or_none(known):
    model, x, _ = exact_world()
    terms = m2_loss(
        model, with_labels(x[:4], torch.tensor(known), C), torch.Generator()
    )
    terms["loss"].backward()
    assert terms["loss"].isfinite()
    quiet = "unlabelled" if known[0] == 0 else "labelled"
    assert terms[quiet] == 0 and (terms["classifier"] == 0) == (known[0] == -1)
    slope = model.classifier[0].weight.grad
    assert slope is not None and slope.abs().max() > 0


def test_it_learns_classes_from_six_labels():
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(300) % 3
    means = torch.eye(3).repeat(1, 3) * 0.8 + 0.1  # (3, 9)
    x = torch.bernoulli(means[y], generator=generator)
    torch.manual_seed(0)
    model = M2(9, 2, 3, hidden=(16,))
    batch = with_labels(x, balanced_labels(y, 6, seed=0), 3)

    def loss(model, batch, generator):
        return m2_loss(model, batch, generator, alpha=5.0)

    fit(model, loss, batch, epochs=60, lr=1e-2)
    with torch.no_grad():
        accuracy = (model.log_q_y(x).argmax(1) == y).float().mean()
    assert accuracy > 0.9


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: unlabelled_bound(torch.zeros(3), torch.zeros(3)), "shapes"),
        (lambda: unlabelled_bound(torch.zeros(3, 2), torch.zeros(3, 2)), "sum to 1"),
        (lambda: m2_loss(M2(2, 1, 2), torch.zeros(1, 4), torch.Generator(), -1), "alp"),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ValueError, match=said):
        call()
