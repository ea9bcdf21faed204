"""Lesson 11's answers in other words, as `test_exercises` tries them."""

import math

import torch
from torch.distributions import (
    Bernoulli,
    Categorical,
    Independent,
    Normal,
    kl_divergence,
)
from torch.nn import functional as F


def layers(h, weights):
    """A network by hand: matrices and biases, one after the other."""
    for place in range(0, len(weights), 2):
        h = (h.relu() if place else h) @ weights[place].T + weights[place + 1]
    return h


def one_hot(y, weights, data):
    return F.one_hot(y, weights[0].shape[1] - data.shape[1]).to(data.dtype)


def terms_by_distributions(x, y, eps, encoder, decoder):
    hot = one_hot(y, encoder, x)
    mu, logvar = layers(torch.cat([x, hot], 1), encoder).chunk(2, 1)
    sigma = torch.exp(0.5 * logvar)
    logits = layers(torch.cat([mu + sigma * eps, hot], 1), decoder)
    x_given_z = Independent(Bernoulli(logits=logits), 1)
    prior = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    return -x_given_z.log_prob(x), kl_divergence(
        Independent(Normal(mu, sigma), 1), prior
    )


def terms_by_columns(x, y, eps, encoder, decoder):
    """The label's columns of the first matrix are a bias of its own for each class."""
    D, K = x.shape[1], eps.shape[1]

    def told(data, weights, size):
        bias = weights[1] + weights[0][:, size:].T[y]
        h = data @ weights[0][:, :size].T + bias
        return layers(h.relu(), weights[2:])

    both = told(x, encoder, D)
    mu, logvar = both[:, :K], both[:, K:]
    logits = told(mu + logvar.exp().sqrt() * eps, decoder, K)
    distortion = F.softplus(logits).sum(1) - (x * logits).sum(1)
    return [distortion, -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(-1)]


def terms_by_loop(x, y, eps, encoder, decoder):
    distortions, rates = [], []
    for n in range(len(x)):
        hot = one_hot(y, encoder, x)[n]
        mu, logvar = layers(torch.cat([x[n], hot])[None], encoder)[0].chunk(2)
        z = mu + (logvar / 2).exp() * eps[n]
        logits = layers(torch.cat([z, hot])[None], decoder)[0]
        coins = F.binary_cross_entropy_with_logits(logits, x[n], reduction="sum")
        distortions.append(coins)
        rates.append((0.5 * (mu**2 + logvar.exp() - 1) - logvar / 2).sum())
    return torch.stack(distortions), torch.stack(rates)


def elbos_by_hand(x, eps, encoder, decoder):
    each = []
    for c in range(eps.shape[1]):
        y = torch.full((len(x),), c)
        distortion, rate = terms_by_columns(x, y, eps[:, c], encoder, decoder)
        each.append(-distortion - rate - math.log(eps.shape[1]))
    return torch.stack(each, 1)


def step_by_loop(x, y, eps, encoder, decoder, classifier, alpha, lr):
    networks = [
        [w.clone().requires_grad_() for w in n] for n in (encoder, decoder, classifier)
    ]
    elbos = elbos_by_hand(x, eps, *networks[:2])
    log_q_y = torch.log_softmax(layers(x, networks[2]), 1)
    loss = 0.0
    for n, label in enumerate(y.tolist()):
        if label < 0:
            loss = loss - (log_q_y[n].exp() * (elbos[n] - log_q_y[n])).sum()
        else:
            loss = loss - elbos[n, label] - alpha * log_q_y[n, label]
    (loss / len(x)).backward()
    moved = []
    for weights in networks:
        slopes = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        moved.append([w.data - lr * s for w, s in zip(weights, slopes, strict=True)])
    return tuple(moved)


def step_by_optimiser(x, y, eps, encoder, decoder, classifier, alpha, lr):
    networks = [
        [torch.nn.Parameter(w.clone()) for w in n]
        for n in (encoder, decoder, classifier)
    ]
    optimiser = torch.optim.SGD([w for n in networks for w in n], lr=lr)
    elbos = elbos_by_hand(x, eps, *networks[:2])
    log_q_y = F.log_softmax(layers(x, networks[2]), 1)
    known, hot = y >= 0, F.one_hot(y.clamp(min=0), eps.shape[1])
    unlabelled = -bound_by_loop(elbos[~known], log_q_y[~known]).sum()
    labelled = -(hot * (elbos + alpha * log_q_y))[known].sum()
    optimiser.zero_grad()
    ((unlabelled + labelled) / len(y)).backward()
    optimiser.step()
    return [[w.detach() for w in n] for n in networks]


def step_in_flat_weights(x, y, eps, encoder, decoder, classifier, alpha, lr):
    flat = [
        w.detach().clone().requires_grad_() for w in (*encoder, *decoder, *classifier)
    ]
    first, second = len(encoder), len(encoder) + len(decoder)
    elbos = elbos_by_hand(x, eps, flat[:first], flat[first:second])
    log_q_y = layers(x, flat[second:]).log_softmax(1)
    q = torch.where((y >= 0)[:, None], F.one_hot(y % eps.shape[1], eps.shape[1]), 0)
    weights = torch.where((y >= 0)[:, None], q, log_q_y.exp())
    entropy = torch.where(y >= 0, 0, -(log_q_y.exp() * log_q_y).sum(1))
    rows = (weights * elbos).sum(1) + entropy + alpha * (q * log_q_y).sum(1)
    slopes = torch.autograd.grad(-rows.mean(), flat)
    new = [(w - lr * slope).detach() for w, slope in zip(flat, slopes, strict=True)]
    return new[:first], new[first:second], new[second:]


def bound_by_entropy(joint_elbo, log_q_y):
    return (log_q_y.exp() * joint_elbo).sum(1) + Categorical(logits=log_q_y).entropy()


def bound_by_loop(joint_elbo, log_q_y):
    total = torch.zeros_like(joint_elbo[:, 0])
    for c in range(joint_elbo.shape[1]):
        q = log_q_y[:, c].exp()
        total = total + q * (joint_elbo[:, c] - log_q_y[:, c])
    return total


def bound_by_kl(joint_elbo, log_q_y):
    posterior = torch.log_softmax(joint_elbo, 1)
    kl = F.kl_div(posterior, log_q_y, reduction="none", log_target=True).sum(1)
    return torch.logsumexp(joint_elbo, 1) - kl


def nats_by_torch(log_probs, y):
    shares = torch.bincount(y).to(log_probs.dtype) / len(y)
    return Categorical(probs=shares).entropy() - F.nll_loss(log_probs, y)


def nats_by_ratio(log_probs, y):
    count = torch.bincount(y, minlength=log_probs.shape[1]).double()
    prior = (count / count.sum()).log()[y]
    return (log_probs[torch.arange(len(y)), y] - prior).mean().item()


def nats_by_one_hot(log_probs, y):
    hot = F.one_hot(y, log_probs.shape[1]).to(log_probs.dtype)
    shares = hot.mean(0)
    return torch.special.entr(shares).sum() + (hot * log_probs).sum(1).mean()


def nats_in_float32_steps(log_probs, y):
    shares = torch.bincount(y) / len(y)  # float32
    return -torch.special.xlogy(shares, shares).sum() - F.nll_loss(log_probs, y)


def bound_by_softmax(joint_elbo, log_q_y):
    q = log_q_y.softmax(1)  # another gradient in log_q_y, the same in the logits
    return (q * joint_elbo).sum(1) - torch.special.xlogy(q, q).sum(1)


RIGHT = {
    "conditional_terms": (terms_by_distributions, terms_by_columns, terms_by_loop),
    "m2_step": (step_by_loop, step_by_optimiser, step_in_flat_weights),
    "unlabelled_bound": (
        bound_by_entropy,
        bound_by_loop,
        bound_by_kl,
        bound_by_softmax,
    ),
    "leaked_nats": (
        nats_by_torch,
        nats_by_ratio,
        nats_by_one_hot,
        nats_in_float32_steps,
    ),
}


def terms_with_noise_of_their_own(x, y, eps, encoder, decoder):
    return terms_by_columns(x, y, torch.randn_like(eps), encoder, decoder)


def terms_with_z_cut_off(x, y, eps, encoder, decoder):
    hot = one_hot(y, encoder, x)
    mu, logvar = layers(torch.cat([x, hot], 1), encoder).chunk(2, 1)
    z = (mu + (logvar / 2).exp() * eps).detach()
    logits = layers(torch.cat([z, hot], 1), decoder)
    coins = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return coins.sum(1), 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(1)


def terms_squeezed(x, y, eps, encoder, decoder):
    terms = terms_by_columns(x, y, eps, encoder, decoder)
    return tuple(term.squeeze() for term in terms)


def terms_of_classes_in_the_batch(x, y, eps, encoder, decoder):
    hot = F.one_hot(y).to(x.dtype)  # as many columns as the largest label asks for
    mu, logvar = layers(torch.cat([x, hot], 1), encoder).chunk(2, 1)
    logits = layers(torch.cat([mu + (logvar / 2).exp() * eps, hot], 1), decoder)
    coins = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return coins.sum(1), 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(1)


def terms_by_probabilities(x, y, eps, encoder, decoder):
    hot = one_hot(y, encoder, x)
    mu, logvar = layers(torch.cat([x, hot], 1), encoder).chunk(2, 1)
    z = mu + (logvar / 2).exp() * eps
    p = layers(torch.cat([z, hot], 1), decoder).sigmoid()
    coins = -(x * (p + 1e-9).log() + (1 - x) * (1 - p + 1e-9).log())
    return coins.sum(1), 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(1)


def step_that_drags_its_graph(x, y, eps, encoder, decoder, classifier, alpha, lr):
    given = encoder, decoder, classifier
    moved = step_by_loop(x, y, eps, *given, alpha, lr)
    return tuple([w.clone().requires_grad_() for w in weights] for weights in moved)


def step_in_place(x, y, eps, encoder, decoder, classifier, alpha, lr):
    given = encoder, decoder, classifier
    moved = step_by_loop(x, y, eps, *given, alpha, lr)
    for old, new in zip(given, moved, strict=True):
        for w, v in zip(old, new, strict=True):
            w.copy_(v)
    return given


def step_of_labelled_means(x, y, eps, encoder, decoder, classifier, alpha, lr):
    """Divides by how many labels there are, which may be none."""
    networks = [
        [w.clone().requires_grad_() for w in n] for n in (encoder, decoder, classifier)
    ]
    elbos = elbos_by_hand(x, eps, *networks[:2])
    log_q_y = layers(x, networks[2]).log_softmax(1)
    known = y >= 0
    own = (elbos + alpha * log_q_y)[known, y[known]]
    share = known.double().mean()
    bound = bound_by_entropy(elbos[~known], log_q_y[~known])
    loss = -share * own.mean() - (1 - share) * bound.mean()
    flat = [w for n in networks for w in n]
    moved = iter(
        w.detach() - lr * s
        for w, s in zip(flat, torch.autograd.grad(loss, flat), strict=True)
    )
    return [[next(moved) for _ in n] for n in networks]


def bound_with_weights_cut_off(joint_elbo, log_q_y):
    return (log_q_y.exp().detach() * (joint_elbo - log_q_y)).sum(1)


def bound_with_elbos_cut_off(joint_elbo, log_q_y):
    return (log_q_y.exp() * (joint_elbo.detach() - log_q_y)).sum(1)


def bound_of_one_draw(joint_elbo, log_q_y):
    drawn = Categorical(logits=log_q_y).sample()[:, None]
    return (joint_elbo - log_q_y).gather(1, drawn)[:, 0]


def bound_by_log_of_q(joint_elbo, log_q_y):
    q = log_q_y.exp()
    return (q * (joint_elbo - q.log())).sum(1)


def bound_that_overwrites(joint_elbo, log_q_y):
    bound = bound_by_loop(joint_elbo, log_q_y)
    with torch.no_grad():
        log_q_y.exp_()
    return bound


def bound_squeezed(joint_elbo, log_q_y):
    return bound_by_loop(joint_elbo, log_q_y).squeeze()


def nats_without_absent_classes(log_probs, y):
    shares = torch.bincount(y, minlength=log_probs.shape[1]) / len(y)
    return -(shares * shares.log()).sum() - F.nll_loss(log_probs, y)


def nats_of_digits(log_probs, y):
    return 2.302585092994046 - F.nll_loss(log_probs, y)


NAMED = [
    ("conditional_terms", terms_with_z_cut_off, "z_cut_off"),
    ("leaked_nats", nats_of_digits, "ten_classes"),
]

ROWS = [
    ("conditional_terms", terms_with_z_cut_off, (True, True, True, True, False, True)),
    ("conditional_terms", terms_squeezed, (True, True, True, True, True, False)),
    (
        "conditional_terms",
        terms_by_probabilities,
        (True, True, True, False, True, True),
    ),
    ("m2_step", step_that_drags_its_graph, (True, True, False, True)),
    ("m2_step", step_of_labelled_means, (True, True, True, False)),
    ("unlabelled_bound", bound_with_weights_cut_off, (True, True, True, False, True)),
    ("unlabelled_bound", bound_with_elbos_cut_off, (True, True, True, False, True)),
    ("unlabelled_bound", bound_by_log_of_q, (True, True, True, True, False)),
    ("unlabelled_bound", bound_squeezed, (True, True, True, True, False)),
    ("leaked_nats", nats_without_absent_classes, (True, True, True, False)),
]

SAYS = [
    ("conditional_terms", terms_with_noise_of_their_own, "inputs differ"),
    ("conditional_terms", terms_by_probabilities, "go from logits"),
    ("conditional_terms", terms_of_classes_in_the_batch, "raises RuntimeError"),
    ("m2_step", step_that_drags_its_graph, "detach them"),
    ("m2_step", step_in_place, "changes its inputs in place"),
    ("m2_step", step_of_labelled_means, "a batch with every label"),
    ("unlabelled_bound", bound_with_weights_cut_off, "the gradient in the classifier"),
    ("unlabelled_bound", bound_with_elbos_cut_off, "the gradient in joint_elbo"),
    ("unlabelled_bound", bound_of_one_draw, "no y is drawn"),
    ("unlabelled_bound", bound_by_log_of_q, "rounds to 0"),
    ("unlabelled_bound", bound_that_overwrites, "changes its inputs in place"),
    ("unlabelled_bound", bound_squeezed, "a batch of one"),
    ("leaked_nats", nats_without_absent_classes, "classes that no example has"),
]


def knows_something_of_every_class(log_probs, y):
    return nats_by_ratio(log_probs, y) > 0 and int(torch.bincount(y).min()) >= 1


def meets_every_class(x, y, eps, encoder, decoder):
    return len(y.unique()) == encoder[0].shape[1] - x.shape[1] >= 3


def has_rows_of_both_kinds(x, y, eps, encoder, decoder, classifier, alpha, lr):
    return 2 <= int((y >= 0).sum()) < len(y) - 1 and eps.shape[1] >= 3


INPUTS = [
    ("leaked_nats", knows_something_of_every_class),
    ("conditional_terms", meets_every_class),
    ("m2_step", has_rows_of_both_kinds),
]
