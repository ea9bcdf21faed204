"""What the linter may be sure of: noise, coupled terms, shapes, orders, words."""

import math
from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from public_record import bce, draw, kl, rows
from torch import distributions as td
from torch.nn import functional as F

from course_utils.linter import inspect_loss


def good(x, p, m, v):
    return (bce(x, p) + rows(kl(m, v))).mean()


def sure(report):
    """Names of the findings without a question mark."""
    return {finding.name for finding in report.findings if finding.certain}


# --- random numbers -----------------------------------------------------------------

SIGMA = {
    "logvar": lambda v: (v / 2).exp(),
    "logsigma": torch.exp,
    "var": torch.sqrt,
    "sigma": lambda v: v,
    "softplus": F.softplus,
}


def sampled(read, factor=1.0, slip=1.0):
    """Cross-entropy and the KL by one sample; slip multiplies σ in the density."""

    def loss(x, p, m, v):
        s = SIGMA[read](v)
        z = m + s * torch.randn_like(s)
        log_q = -0.5 * ((z - m) / s) ** 2 - slip * s.log()
        return (bce(x, p) + factor * (log_q + 0.5 * z**2).sum(-1)).mean()

    return loss


@pytest.mark.parametrize(("spread", "latents", "batch"), [
    ("logvar", 2, 6), ("logvar", 1, 2), ("sigma", 2, 6), ("var", 1, 6),
    ("logsigma", 3, 2), ("softplus", 2, 6),
])  # fmt: skip
def test_one_sample_of_the_kl_is_in_order(spread, latents, batch):
    sizes = dict(data_shape=20, latents=latents, batch=batch, spread=spread)
    report = inspect_loss(sampled(spread), **sizes)
    assert report.ok, str(report)
    assert report.beta == pytest.approx(1, rel=1e-3)


def test_mistakes_show_through_the_noise():
    sizes = dict(data_shape=20, latents=4)
    assert inspect_loss(sampled("logsigma"), **sizes).names == ["reads_log_sigma"]
    # log σ² where log σ is meant, in the density's normaliser only.
    slip = inspect_loss(sampled("logvar", slip=2.0), **sizes)
    assert slip.names == ["kl_terms_unequal"], str(slip)
    four = inspect_loss(sampled("logvar", factor=4.0), **sizes)
    assert four.beta == pytest.approx(4, rel=1e-3) and four.names == ["beta"]
    assert any("for σ²" in note for note in four.notes)


# --- terms that couple examples or latents ------------------------------------------


@pytest.mark.parametrize("weight", [1e-3, 1e-2, 1.0])
@pytest.mark.parametrize("single", [False, True], ids=["float64", "float32"])
def test_a_term_that_mixes_the_batch_leaves_no_beta(weight, single):
    def loss(x, p, m, v):
        if single:
            x, p, m, v = (value.float() for value in (x, p, m, v))
        centred = m - m.mean(0)
        off = (centred.T @ centred / len(m)).triu(1)
        return good(x, p, m, v) + weight * off.square().sum()

    report = inspect_loss(loss, data_shape=20, latents=4)
    if single and weight < 0.1:  # below what 32 bits tell: undecided or unseen
        assert not sure(report)
        return
    assert report.names == ["kl_unexplained"] and report.beta is None
    assert not sure(report) and report.latent_reduction == "unknown"


def test_examples_that_hear_of_each_other_are_no_broadcast():
    def mixed(x, p, m, v):
        return bce(x, p) + rows(kl(m, v)) + (m - m.roll(1, 0)).square().sum(1)

    def broadcast(x, p, m, v):
        return bce(x, p) + kl(m, v).sum(1).mean()

    sizes = dict(data_shape=20, latents=4)
    assert inspect_loss(mixed, **sizes).names == ["kl_unexplained"]
    assert "kl_broadcast" in sure(inspect_loss(broadcast, **sizes))


@pytest.mark.parametrize("floor", [0.01, 0.05, 0.5])
def test_free_bits_of_any_size_are_seen(floor):
    losses = [
        lambda x, p, m, v: (bce(x, p) + kl(m, v).clamp_min(floor).sum(1)).mean(),
        lambda x, p, m, v: bce(x, p).mean() + rows(kl(m, v)).mean().clamp_min(floor),
        lambda x, p, m, v: bce(x, p).mean() + kl(m, v).mean(0).clamp_min(floor).sum(),
    ]
    for loss in losses:
        report = inspect_loss(loss, data_shape=20, latents=4)
        assert report.beta is None and not report.ok and not sure(report)


@pytest.mark.parametrize("name", ["mu", "logvar", "x_hat", "all"])
def test_nothing_is_called_absent_that_differences_of_neighbours_hold(name):
    """Equal inputs hide a term that only differences enter."""

    def differences(value):
        return value.flatten(1).diff(dim=1).square().sum(1)

    def loss(x, p, m, v):
        rec = differences(x - p) if name in ("x_hat", "all") else bce(x, p)
        one = differences(m) if name in ("mu", "all") else m.square().sum(1)
        two = differences(v) if name in ("logvar", "all") else (v.exp() - v).sum(1)
        return (rec + 0.5 * (one + two)).mean()

    report = inspect_loss(loss, data_shape=12, latents=4)
    assert not sure(report) and report.beta is None, str(report)
    assert not {"no_reconstruction", "no_kl", "mu_missing"} & set(report.names)


def test_a_kl_from_the_prior_is_told_from_a_log_precision():
    back = lambda x, p, m, v: (  # noqa: E731
        bce(x, p) + 0.5 * ((1 + m**2) * (-v).exp() - 1 + v).sum(1)
    ).mean()
    precision = lambda x, p, m, v: good(x, p, m, -v)  # noqa: E731
    sizes = dict(data_shape=20, latents=4)
    assert inspect_loss(back, **sizes).names == ["kl_reversed"]
    assert inspect_loss(precision, **sizes).names == ["reads_other"]


def test_parts_of_the_data_with_weights_of_their_own():
    weight = torch.ones(20, dtype=torch.float64)
    for index, value in ((slice(0, 10), 1.2), (slice(0, None, 2), 0.8), (19, 0.0)):
        used = weight.clone()
        used[index] = value

        def loss(x, h, m, v, used=used):
            return (0.5 * (x - h) ** 2 @ used).mean() + rows(kl(m, v)).mean()

        report = inspect_loss(loss, data_shape=20, latents=4)
        assert report.names == ["reconstruction_unexplained"], str(report)
        assert not sure(report)


@pytest.mark.parametrize("by_sample", [False, True])
def test_another_prior_leaves_beta_open(by_sample):
    def loss(x, p, m, v):
        q, prior = td.Normal(m, (v / 2).exp()), td.Normal(0.0, 2.0)
        z = q.rsample()
        sample = q.log_prob(z) - prior.log_prob(z)
        rate = sample if by_sample else td.kl_divergence(q, prior)
        return (bce(x, p) + rate.sum(1)).mean()

    report = inspect_loss(loss, data_shape=20, latents=4)
    assert report.names == ["kl_terms_unequal"] and report.beta is None
    assert not sure(report) and "a prior of variance 4" in str(report)


def test_a_prior_that_knows_x_is_no_sum():
    def loss(x, p, m, v):
        return (bce(x, p) + rows(kl(m - x[:, :4], v))).mean()

    report = inspect_loss(loss, data_shape=20, latents=4)
    assert report.names == ["terms_mixed"] and not sure(report)
    assert report.data_reduction == report.latent_reduction == "unknown"


# --- latents as maps, sizes ---------------------------------------------------------


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_latents_as_maps(beta):
    def maps(x, p, m, v):
        return (bce(x, p) + beta * kl(m, v).sum((1, 2, 3))).mean()

    def places(x, p, m, v):  # summed over channels, averaged over places
        return bce(x, p).mean() + beta * kl(m, v).mean((2, 3)).sum(1).mean()

    def viewed(x, p, m, v):
        m, v = m.view(-1, 4, 8, 8), v.view(-1, 4, 8, 8)
        return (bce(x, p) + beta * kl(m, v).sum((1, 2, 3))).mean()

    def apart(x, p, m, v):  # a rate of its own rows
        m, v = m.view(-1, 4, 8, 8), v.view(-1, 4, 8, 8)
        return bce(x, p).mean() + beta * kl(m, v).sum((1, 2, 3)).mean()

    names = [] if beta == 1 else ["beta"]
    for loss, latents in (
        (apart, 256),
        (apart, (4, 8, 8)),
        (maps, (4, 8, 8)),
        (viewed, 256),
        (viewed, (4, 8, 8)),
    ):
        report = inspect_loss(loss, data_shape=(1, 6, 6), latents=latents)
        assert report.names == names, str(report)
        assert report.beta == pytest.approx(beta)
    report = inspect_loss(places, data_shape=(1, 6, 6), latents=(4, 8, 8))
    assert report.names == ["kl_mean_over_latents", *names]
    assert "averaged over 64 of the 256 latent" in str(report)
    assert report.beta == pytest.approx(beta / 64)


@pytest.mark.parametrize("shape", [1, (1, 1, 1)])
def test_no_factor_of_one_is_a_finding(shape):
    def loss(x, p, m, v):
        return F.binary_cross_entropy(p, x) + 3 * kl(m, v).mean()

    report = inspect_loss(loss, data_shape=shape, latents=1)
    assert report.names == ["beta"] and report.beta == pytest.approx(3)
    assert "= 1." not in str(report)


@pytest.mark.parametrize("batch", [32, 64, 100])
@pytest.mark.parametrize("pixels", [False, True])
def test_a_batch_size_written_into_the_loss(batch, pixels):
    def loss(x, p, m, v):
        rec = F.binary_cross_entropy(p, x) if pixels else bce(x, p).mean()
        return rec + kl(m, v).sum() / (batch * (784 if pixels else 1))

    report = inspect_loss(loss, data_shape=784, latents=4)
    assert report.names == ["batch_size_fixed"] and not sure(report)
    assert f"1/{batch}: your batch size? Then inspect with batch={batch}" in str(report)
    assert report.beta == pytest.approx(6 / batch)
    assert inspect_loss(loss, data_shape=784, latents=4, batch=batch).ok


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_factors_that_cancel_are_no_findings(beta):
    """Sequences: both terms are averaged over time, summed within a step."""

    def loss(x, p, m, v):
        rec = F.binary_cross_entropy(p, x, reduction="none").sum(2).mean()
        return rec + beta * kl(m, v).sum(2).mean()

    report = inspect_loss(loss, data_shape=(7, 5), latents=(7, 3))
    assert report.beta == pytest.approx(beta)
    assert report.names == ([] if beta == 1 else ["beta"])
    assert report.data_reduction == "mean over 7, sum over the rest"


@pytest.mark.parametrize("weight", [1e-6, 1e-9])
def test_what_only_rounding_hides_is_not_called_absent(weight):
    def loss(x, p, m, v):
        x, p, m, v = (value.float() for value in (x, p, m, v))
        return (bce(x, p) + weight * rows(kl(m, v))).mean()

    report = inspect_loss(loss, data_shape=784, latents=4)
    assert not sure(report) and report.beta is None, str(report)
    assert report.names == ["term_too_light"]


# --- the decoder's noise, the encoder's spread --------------------------------------


@pytest.mark.parametrize("log_noise", [-1.0, 0.0, 0.4])
@pytest.mark.parametrize("full", [False, True])
def test_a_laplace_decoder_of_two_outputs(log_noise, full):
    def loss(x, out, m, v):
        h, log_b = out
        rec = (x - h).abs() / log_b.exp() + log_b + full * math.log(2)
        return (rec.sum(1) + rows(kl(m, v))).mean()

    pack = lambda h: (h, torch.full_like(h, log_noise))  # noqa: E731
    sizes = dict(data_shape=20, latents=4, pack=pack)
    told = inspect_loss(loss, **sizes)
    assert told.ok and told.likelihood == "Laplace", str(told)
    assert told.beta == pytest.approx(1)
    assert inspect_loss(loss, **sizes, scale=math.exp(log_noise)).ok
    if log_noise:
        other = inspect_loss(loss, **sizes, scale=3.0)
        assert other.names == ["sigma2_differs"]


@pytest.mark.parametrize("spread", ["var", "sigma"])
@pytest.mark.parametrize("guard", ["+ eps", "clamp", "none"])
def test_a_declared_spread_is_never_probed_below_zero(spread, guard):
    seen = []

    def loss(x, p, m, v):
        seen.append(float(v.min()))
        v = v if spread == "var" else v**2
        inside = {"+ eps": v + 1e-8, "clamp": v.clamp_min(1e-6), "none": v}[guard]
        rate = 0.5 * (m**2 + v - 1 - inside.log())
        return (bce(x, p) + rate.sum(1)).mean()

    report = inspect_loss(loss, data_shape=20, latents=4, spread=spread)
    assert report.ok, str(report)
    assert min(seen) > 0


def test_an_undeclared_variance_gives_no_crash():
    def loss(x, p, m, v):
        return (bce(x, p) + 0.5 * (m**2 + v - 1 - (v + 1e-8).log()).sum(1)).mean()

    report = inspect_loss(loss, data_shape=20, latents=4)
    assert report.names == ["reads_other"] and "“σ²”" in str(report)


# --- the order of the arguments -----------------------------------------------------


def test_the_reconstruction_first():
    def loss_function(recon_x, x, mu, logvar):
        return good(x, recon_x, mu, logvar)

    wrong = inspect_loss(loss_function, data_shape=20, latents=4)
    assert wrong.names == ["swapped_arguments"] and wrong.beta is None
    assert 'order=("x_hat", "x", "mu", "logvar")' in str(wrong)
    order = ("x_hat", "x", "mu", "logvar")
    assert inspect_loss(loss_function, data_shape=20, latents=4, order=order).ok


def test_mu_and_logvar_exchanged():
    def loss(x, p, v, m):
        return good(x, p, m, v)

    report = inspect_loss(loss, data_shape=20, latents=4)
    assert report.names == ["mu_logvar_swapped"] and report.beta is None
    order = ("x", "x_hat", "logvar", "mu")
    assert 'order=("x", "x_hat", "logvar", "mu")' in str(report)
    assert inspect_loss(loss, data_shape=20, latents=4, order=order).ok


def test_an_order_that_raises_is_found():
    def loss(m, v, x, p):
        return good(x, p, m, v)

    report = inspect_loss(loss, data_shape=20, latents=4)
    assert report.names == ["raises"]
    assert "It answers with order=('mu', 'logvar', 'x', 'x_hat')" in str(report)


@pytest.mark.parametrize("order", [("x", "x_hat", "mu"), ("x",) * 4, "x", 3])
def test_a_bad_order(order):
    with pytest.raises(ValueError, match="expected x, x_hat, mu and logvar in some"):
        inspect_loss(good, order=order)


@pytest.mark.parametrize("latents", [(), (4, 0), "4", (4.0,)])
def test_bad_latents(latents):
    with pytest.raises(ValueError, match="latents is"):
        inspect_loss(good, latents=latents)


# --- words --------------------------------------------------------------------------


@pytest.mark.parametrize(("wrap", "said"), [
    (lambda value: namedtuple("Out", "loss kl")(value, 1.0), "loss(*a).loss"),
    (lambda value: namedtuple("Out", "elbo kl")(value, 1.0), "loss(*a).elbo"),
    (lambda value: SimpleNamespace(loss=value), "loss(*a).loss"),
    (lambda value: {"total_loss": value}, 'loss(*a)["total_loss"]'),
    (lambda value: {"kl": 1.0, "loss": value}, 'loss(*a)["loss"]'),
    (lambda value: [value, 1.0], "loss(*a)[0]"),
    (lambda value: value.detach().float().numpy(), "no gradient"),
])  # fmt: skip
def test_what_a_loss_returns_with_it(wrap, said):
    report = inspect_loss(lambda *a: wrap(good(*a)), data_shape=20, latents=4)
    assert report.names == ["not_a_number"] and said in str(report)


def test_no_row_says_that_there_is_no_kl_beside_a_finding_about_it():
    capped = lambda x, p, m, v: (  # noqa: E731
        bce(x, p) + (rows(kl(m, v)) - 3).clamp_min(0)
    ).mean()
    laplace = lambda x, p, m, s: (  # noqa: E731
        bce(x, p) + td.kl_divergence(td.Laplace(m, s), td.Laplace(0.0, 1.0)).sum(1)
    ).mean()
    mixture = lambda x, p, m, v: (  # noqa: E731
        bce(x, p) + torch.stack([draw(m, v) ** 2, (m - 3) ** 2]).logsumexp(0).sum(1)
    ).mean()
    for loss in (capped, laplace, mixture):
        report = inspect_loss(loss, data_shape=20, latents=4)
        assert any(name.startswith("kl_") for name in report.names)
        assert "no KL" not in str(report) and "not found" not in str(report)
    without = inspect_loss(lambda x, p, m, v: bce(x, p).mean(), data_shape=20)
    assert without.names == ["no_kl"]
    assert "no KL" in str(without) and "not found" in str(without)
