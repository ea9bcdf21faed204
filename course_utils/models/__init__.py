"""The models, a family a file: its networks, what they decode to, and its loss."""

from course_utils.models.autoencoders import (
    Autoencoder,
    EncoderDecoder,
    LinearAutoencoder,
    denoising_at,
    mlp,
    reconstruction_loss,
)
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
from course_utils.models.constrained import Infeasible, Kkt, Multiplier, kkt_residuals
from course_utils.models.likelihoods import (
    Bernoulli,
    Gaussian,
    Likelihood,
    log_likelihood,
    reparameterise,
)
from course_utils.models.priors import MixturePrior, MixturePriorVAE, mixture_log_prob
from course_utils.models.total_correlation import TCLoss, rate_parts
from course_utils.models.vae import VAE, ConvVAE, LinearVAE, elbo_loss

__all__ = [
    "M2",
    "VAE",
    "Autoencoder",
    "Bernoulli",
    "ConditionalVAE",
    "ConvVAE",
    "EncoderDecoder",
    "Gaussian",
    "Infeasible",
    "Kkt",
    "Likelihood",
    "LinearAutoencoder",
    "LinearVAE",
    "MixturePrior",
    "MixturePriorVAE",
    "Multiplier",
    "TCLoss",
    "balanced_labels",
    "conditional_elbo_loss",
    "denoising_at",
    "conditional_terms",
    "elbos_by_class",
    "elbo_loss",
    "kkt_residuals",
    "log_likelihood",
    "m2_loss",
    "mixture_log_prob",
    "mlp",
    "network",
    "rate_parts",
    "reconstruction_loss",
    "reparameterise",
    "unlabelled_bound",
    "with_labels",
]
