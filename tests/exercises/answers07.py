"""Lesson 07's answers in other words, as `test_exercises` tries them."""

import math

import numpy as np
import torch
from scipy import stats
from torch import distributions, nn
from torch.nn import functional as F

# --- vae_encoder --------------------------------------------------------------------


def encoder_with_two_heads(D, H, K):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(D, H), nn.ReLU())
            self.logvar_head = nn.Linear(H, K)
            self.mu_head = nn.Linear(H, K)

        def forward(self, x):
            h = self.body(x)
            return self.mu_head(h), self.logvar_head(h)

    return Encoder()


def encoder_by_slices(D, H, K):
    class Net(nn.Sequential):
        def forward(self, x):
            both = super().forward(x)
            return [both[:, :K], both[:, K:]]

    return Net(nn.Linear(D, H), nn.ReLU(), nn.Linear(H, 2 * K))


def encoder_by_matrices(D, H, K):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.W = nn.Parameter(torch.randn(D, H) / D**0.5)
            self.b = nn.Parameter(torch.zeros(H))
            self.V = nn.Parameter(torch.randn(H, 2 * K) / H**0.5)
            self.c = nn.Parameter(torch.zeros(2 * K))

        def forward(self, x):
            h = torch.clamp(x @ self.W + self.b, min=0)
            return torch.split(h @ self.V + self.c, K, dim=1)

    return Encoder()


# --- vae_decoder --------------------------------------------------------------------


def decoder_as_a_class(K, H, D):
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(K, H), nn.Linear(H, D)

        def forward(self, z):
            return self.fc2(F.relu(self.fc1(z)))

    return Decoder()


def decoder_in_a_list(K, H, D):
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(K, H), nn.ReLU(), nn.Linear(H, D)])

        def forward(self, z):
            for layer in self.layers:
                z = layer(z)
            return z

    return Decoder()


def decoder_lazy(K, H, D):
    return nn.Sequential(nn.LazyLinear(H), nn.ReLU(inplace=True), nn.LazyLinear(D))


# --- vae ----------------------------------------------------------------------------


class Parts(nn.Module):
    """What the lesson gives: the parts and the optimiser."""

    def __init__(self, D, H, K, lr):
        super().__init__()
        self.encoder = encoder_with_two_heads(D, H, K)
        self.decoder = decoder_as_a_class(K, H, D)
        self.optimiser = torch.optim.Adam(self.parameters(), lr=lr)

    def forward(self, x, eps):
        mu, logvar = self.encoder(x)
        return self.decoder(mu + torch.exp(logvar / 2) * eps), mu, logvar

    def loss(self, x, eps):
        logits, mu, logvar = self(x, eps)
        distortion = (F.softplus(logits) - x * logits).sum(1)
        rate = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)
        return (distortion + rate).mean()

    def step(self, x, eps):
        loss = self.loss(x, eps)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()


def vae_in_one_class(D, H, K, lr):
    return Parts(D, H, K, lr)


def vae_by_distributions(D, H, K, lr):
    class VAE(Parts):
        def loss(self, x, eps):
            logits, mu, logvar = self(x, eps)
            q = distributions.Normal(mu, torch.exp(0.5 * logvar))
            p = distributions.Normal(0.0, 1.0)
            log_p = distributions.Bernoulli(logits=logits).log_prob(x)
            return (distributions.kl_divergence(q, p).sum() - log_p.sum()) / len(x)

    return VAE(D, H, K, lr)


def vae_zeroed_afterwards(D, H, K, lr):
    class VAE(Parts):
        def step(self, x, eps):
            loss = self.loss(x, eps)
            loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad()
            return loss.detach()

    return VAE(D, H, K, lr)


def vae_with_a_late_optimiser(D, H, K, lr):
    class VAE(Parts):
        def __init__(self):
            super().__init__(D, H, K, lr)
            self.optimiser = None

        def step(self, x, eps):
            if self.optimiser is None:
                groups = [self.encoder.parameters(), self.decoder.parameters()]
                self.optimiser = torch.optim.Adam([{"params": g} for g in groups], lr)
            return super().step(x, eps)

    return VAE()


# --- prior_samples ------------------------------------------------------------------


def samples_by_normal(decode, count, K, generator):
    z = torch.normal(0.0, 1.0, (count, K), generator=generator)
    return 1 / (1 + torch.exp(-decode(z)))


def samples_one_by_one(decode, count, K, generator):
    rows = [torch.randn(1, K, generator=generator) for _ in range(count)]
    return decode(torch.cat(rows)).sigmoid()


def samples_by_filling(decode, count, K, generator):
    z = torch.empty(count, K).normal_(generator=generator)
    return torch.special.expit(decode(z))


# --- mixture_rate -------------------------------------------------------------------


def rate_by_distributions(z, mu, logvar, weights, means, logvars):
    q = distributions.Independent(distributions.Normal(mu, (logvar / 2).exp()), 1)
    parts = distributions.Normal(means, (logvars / 2).exp())
    prior = distributions.MixtureSameFamily(
        distributions.Categorical(weights), distributions.Independent(parts, 1)
    )
    return q.log_prob(z) - prior.log_prob(z)


def rate_by_loops(z, mu, logvar, weights, means, logvars):
    def log_normal(x, m, v):
        return -0.5 * ((x - m) ** 2 / v.exp() + v + math.log(2 * math.pi)).sum(-1)

    log_p = None
    for w, m, v in zip(weights, means, logvars, strict=True):
        one = torch.log(w) + log_normal(z, m, v)
        log_p = one if log_p is None else torch.logaddexp(log_p, one)
    return log_normal(z, mu, logvar) - log_p


def rate_without_the_constant(z, mu, logvar, weights, means, logvars):
    """The 2π of both densities cancel."""
    own = -0.5 * ((z - mu) ** 2 * torch.exp(-logvar) + logvar).sum(1)
    away = (z.unsqueeze(1) - means.unsqueeze(0)) ** 2 * torch.exp(-logvars)
    each = -0.5 * (away + logvars).sum(-1) + weights.log()
    top = each.max(1, keepdim=True).values.detach()
    return own - top.squeeze(1) - (each - top).exp().sum(1).log()


# --- gaussian_log_prob --------------------------------------------------------------


def density_by_distributions(x, mean, logvar):
    return distributions.Normal(mean, (logvar / 2).exp()).log_prob(x).sum(1)


def density_by_norms(x, mean, logvar):
    D = x.shape[1]
    normaliser = D / 2 * math.log(2 * math.pi) + D / 2 * logvar
    return -((x - mean).norm(dim=1) ** 2) / (2 * logvar.exp()) - normaliser


def density_pixel_by_pixel(x, mean, logvar):
    total = x.new_zeros(len(x))
    for d in range(x.shape[1]):
        z = (x[:, d] - mean[:, d]) / torch.sqrt(torch.exp(logvar))
        total = total - z * z / 2 - logvar / 2 - 0.5 * np.log(2 * np.pi)
    return total


def density_by_gaussian_nll(x, mean, logvar):
    variance = logvar.exp().expand_as(mean)
    nll = F.gaussian_nll_loss(mean, x, variance, full=True, reduction="none", eps=1e-45)
    return -nll.sum(1)


# --- effective_beta -----------------------------------------------------------------


def beta_by_rescaling(a, b, sigma2):
    scale = (1 / (2 * sigma2)) / a
    return scale * b


def beta_as_a_tensor(a, b, sigma2):
    return torch.tensor(b) / torch.tensor(2 * a * sigma2)


def beta_by_half(a, b, sigma2):
    return 0.5 * b / sigma2 / a


RIGHT = {
    "vae_encoder": (encoder_with_two_heads, encoder_by_slices, encoder_by_matrices),
    "vae_decoder": (decoder_as_a_class, decoder_in_a_list, decoder_lazy),
    "vae": (
        vae_in_one_class,
        vae_by_distributions,
        vae_zeroed_afterwards,
        vae_with_a_late_optimiser,
    ),
    "prior_samples": (samples_by_normal, samples_one_by_one, samples_by_filling),
    "gaussian_log_prob": (
        density_by_distributions,
        density_by_norms,
        density_pixel_by_pixel,
        density_by_gaussian_nll,
    ),
    "mixture_rate": (rate_by_distributions, rate_by_loops, rate_without_the_constant),
    "effective_beta": (beta_by_rescaling, beta_as_a_tensor, beta_by_half),
}


# --- mistakes in other words --------------------------------------------------------


def encoder_of_variances(D, H, K):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.m, self.v = (
                nn.Linear(D, H),
                nn.Linear(H, K),
                nn.Linear(H, K),
            )

        def forward(self, x):
            h = F.relu(self.fc(x))
            return self.m(h), torch.exp(self.v(h))

    return Encoder()


def encoder_in_a_plain_list(D, H, K):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(D, H), nn.Linear(H, 2 * K)]

        def forward(self, x):
            return self.layers[1](self.layers[0](x).relu()).chunk(2, dim=1)

    return Encoder()


def encoder_with_dropout(D, H, K):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = encoder_with_two_heads(D, H, K)

        def forward(self, x):
            return self.net(F.dropout(x, 0.3))

    return Encoder()


def encoder_chunked_along_the_batch(D, H, K):
    class Net(nn.Sequential):
        def forward(self, x):
            return super().forward(x).chunk(2, dim=0)

    return Net(nn.Linear(D, H), nn.ReLU(), nn.Linear(H, 2 * K))


def decoder_to_probabilities(K, H, D):
    return nn.Sequential(decoder_as_a_class(K, H, D), nn.Sigmoid())


def decoder_without_bias(K, H, D):
    return nn.Sequential(
        nn.Linear(K, H, bias=False), nn.ReLU(), nn.Linear(H, D, bias=False)
    )


def vae_that_accumulates(D, H, K, lr):
    class VAE(Parts):
        def step(self, x, eps):
            loss = self.loss(x, eps)
            loss.backward()
            self.optimiser.step()
            return loss.item()

    return VAE(D, H, K, lr)


def vae_with_adam_in_step(D, H, K, lr):
    class VAE(Parts):
        def step(self, x, eps):
            optimiser = torch.optim.Adam(self.parameters(), lr)
            loss = self.loss(x, eps)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return loss.item()

    return VAE(D, H, K, lr)


def vae_by_default_reductions(D, H, K, lr):
    class VAE(Parts):
        def loss(self, x, eps):
            logits, mu, logvar = self(x, eps)
            kld = -0.5 * torch.mean(1 + logvar - mu.pow(2) - logvar.exp())
            return F.binary_cross_entropy_with_logits(logits, x) + kld

    return VAE(D, H, K, lr)


def vae_of_the_tutorial(D, H, K, lr):
    """Both summed over everything, as one finds it in many places."""

    class VAE(Parts):
        def loss(self, x, eps):
            logits, mu, logvar = self(x, eps)
            bce = F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum")
            return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    return VAE(D, H, K, lr)


def vae_without_step(D, H, K, lr):
    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = Parts(D, H, K, lr)

        def forward(self, x, eps):
            return self.parts(x, eps)

    return VAE()


def vae_that_returns_nothing(D, H, K, lr):
    class VAE(Parts):
        def step(self, x, eps):
            super().step(x, eps)

    return VAE(D, H, K, lr)


def vae_with_its_own_noise(D, H, K, lr):
    class VAE(Parts):
        def forward(self, x, eps):
            return super().forward(x, torch.randn_like(eps))

    return VAE(D, H, K, lr)


def samples_as_logits(decode, count, K, generator):
    return decode(torch.randn(count, K, generator=generator))


def samples_without_the_generator(decode, count, K, generator):
    return decode(torch.randn(count, K)).sigmoid()


def samples_of_an_own_seed(decode, count, K, generator):
    own = torch.Generator().manual_seed(0)
    return decode(torch.randn(count, K, generator=own)).sigmoid()


def samples_too_wide(decode, count, K, generator):
    return decode(2 * torch.randn(count, K, generator=generator)).sigmoid()


def rate_by_a_plain_sum(z, mu, logvar, weights, means, logvars):
    q = distributions.Normal(mu, (logvar / 2).exp()).log_prob(z).sum(1)
    p = distributions.Normal(means, (logvars / 2).exp())
    return q - torch.log((weights * p.log_prob(z[:, None]).sum(2).exp()).sum(1))


def rate_by_mean_logarithms(z, mu, logvar, weights, means, logvars):
    q = distributions.Normal(mu, (logvar / 2).exp()).log_prob(z).sum(1)
    p = distributions.Normal(means, (logvars / 2).exp())
    return q - p.log_prob(z[:, None]).sum(2) @ weights


def density_by_scipy(x, mean, logvar):
    sigma = math.exp(0.5 * logvar.item())
    return torch.tensor(stats.norm.logpdf(x.numpy(), mean.numpy(), sigma).sum(1))


def density_by_products(x, mean, logvar):
    variance = logvar.exp()
    density = torch.exp(-((x - mean) ** 2) / (2 * variance))
    return torch.log((density / torch.sqrt(2 * math.pi * variance)).prod(1))


def density_with_an_epsilon(x, mean, logvar):
    log_p = distributions.Normal(mean, (logvar / 2).exp()).log_prob(x)
    return torch.log(log_p.exp() + 1e-12).sum(1)


def density_with_the_default_epsilon(x, mean, logvar):
    variance = logvar.exp().expand_as(mean)
    return -F.gaussian_nll_loss(mean, x, variance, full=True, reduction="none").sum(1)


def density_with_clamped_logvar(x, mean, logvar):
    return density_by_norms(x, mean, logvar.clamp(-30, 20))


def density_of_a_number(x, mean, logvar):
    return density_by_norms(x, mean, torch.tensor(logvar.item()))


def logvar_for_each_image(x, mean, logvar):
    square = ((x - mean) ** 2).sum(1) / torch.exp(logvar)
    return -0.5 * (square + logvar + x.shape[1] * math.log(2 * math.pi))


def beta_in_whole_numbers(a, b, sigma2):
    return b // (2 * a * sigma2)


def beta_rounded(a, b, sigma2):
    return float(f"{b / (2 * a * sigma2):.4f}")


def squares_over_variance(x, mean, logvar):
    return -((x - mean) ** 2 / (2 * logvar.exp())).sum(1)


def one_normaliser(x, mean, logvar):
    sigma = torch.exp(0.5 * logvar)
    log_root = torch.log(sigma * math.sqrt(2 * math.pi))
    return -((x - mean) ** 2).sum(1) / (2 * sigma**2) - log_root


def sigma_from_log_sigma(x, mean, logvar):
    return distributions.Normal(mean, logvar.exp()).log_prob(x).sum(1)


def unit_noise(a, b, sigma2):
    return b / a / 2


def times_the_noise(a, b, sigma2):
    return b * 0.5 / a * sigma2


NAMED = [
    ("vae_encoder", encoder_of_variances, "variance"),
    ("vae_decoder", decoder_to_probabilities, "sigmoid"),
    ("vae", vae_that_accumulates, "no_zero_grad"),
    ("vae", vae_with_adam_in_step, "optimiser_anew"),
    ("vae", vae_by_default_reductions, "both_means"),
    ("vae", vae_of_the_tutorial, "batch_sum"),
    ("prior_samples", samples_as_logits, "logits_as_they_are"),
    ("mixture_rate", rate_by_mean_logarithms, "logarithms_averaged"),
    ("gaussian_log_prob", density_of_a_number, "logvar_cut"),
    ("gaussian_log_prob", logvar_for_each_image, "logvar_once"),
    ("effective_beta", beta_in_whole_numbers, "whole"),
    ("gaussian_log_prob", squares_over_variance, "no_normaliser"),
    ("gaussian_log_prob", one_normaliser, "normaliser_once"),
    ("gaussian_log_prob", sigma_from_log_sigma, "as_log_sigma"),
    ("effective_beta", unit_noise, "unit_variance"),
    ("effective_beta", times_the_noise, "variance_wrong_side"),
]


# --- a constant earns nothing, a half right answer its part -------------------------


def no_density(x, mean, logvar):
    return x[:, 0] * 0


def always_one(a, b, sigma2):
    return 1.0


ROWS = [
    ("vae", vae_that_accumulates, (True, True, True, True, False)),
    ("vae", vae_by_default_reductions, (True, True, False, False, False)),
    ("vae", vae_without_step, (True, True, False, False, False)),
    ("prior_samples", samples_too_wide, (True, False, True)),
    ("prior_samples", samples_of_an_own_seed, (True, True, False)),
    ("mixture_rate", rate_by_a_plain_sum, (True, False, True, True)),
    ("gaussian_log_prob", no_density, (False,) * 5),
    ("effective_beta", always_one, (False, False, False)),
    ("gaussian_log_prob", logvar_for_each_image, (False, False, False, False, True)),
    ("gaussian_log_prob", density_by_scipy, (True, True, True, False, True)),
    ("gaussian_log_prob", density_by_products, (True, True, False, True, True)),
]

SAYS = [
    ("vae_encoder", encoder_in_a_plain_list, "layers in a plain list"),
    ("vae_encoder", encoder_with_dropout, "leave out dropout"),
    ("vae_encoder", encoder_chunked_along_the_batch, "forward returns shape"),
    ("vae_decoder", decoder_without_bias, "missing: ("),
    ("vae", vae_without_step, "no method `step`"),
    ("vae", vae_that_returns_nothing, "step returns None"),
    ("vae", vae_with_its_own_noise, "noise comes in as an argument"),
    ("prior_samples", samples_without_the_generator, "pass it to the draw"),
    ("prior_samples", samples_too_wide, "expected about 0 and 1"),
    ("mixture_rate", rate_by_a_plain_sum, "add logarithms"),
    ("gaussian_log_prob", density_with_clamped_logvar, "with no clamp"),
    ("gaussian_log_prob", density_with_the_default_epsilon, "with no clamp"),
    ("gaussian_log_prob", density_with_an_epsilon, "add logarithms"),
    ("effective_beta", beta_rounded, "with a ="),
]
