"""Five metrics of disentanglement, and what they say of codes whose answer is known.

Two inputs serve all of them (see `codes`): a table of codes z (N, K) beside their
factors (N, F) for MIG, SAP and DCI; a function from factors to codes for the β-VAE and
FactorVAE scores. Each docstring states its estimator.
"""

from course_utils.metrics.disentanglement.answers import (
    CODES,
    SCORES,
    SPRITES,
    Answer,
    hadamard,
    known_answers,
    known_code,
    on_sample,
    random_rotation,
)
from course_utils.metrics.disentanglement.codes import (
    draw_factors,
    from_table,
    live_latents,
    unrelated,
)
from course_utils.metrics.disentanglement.fixed_factor import (
    beta_vae_score,
    factor_vae_score,
)
from course_utils.metrics.disentanglement.importances import (
    DCI,
    completeness,
    dci,
    disentanglement,
)
from course_utils.metrics.disentanglement.information import (
    bin_codes,
    default_bins,
    entropies,
    information_gap,
    information_gaps,
    information_matrix,
    mig,
    mutual_information,
)
from course_utils.metrics.disentanglement.posteriors import posterior_information
from course_utils.metrics.disentanglement.separability import sap, sap_matrix

__all__ = [
    "CODES",
    "DCI",
    "SCORES",
    "SPRITES",
    "Answer",
    "beta_vae_score",
    "bin_codes",
    "completeness",
    "dci",
    "default_bins",
    "disentanglement",
    "draw_factors",
    "entropies",
    "factor_vae_score",
    "from_table",
    "hadamard",
    "information_gap",
    "information_gaps",
    "information_matrix",
    "known_answers",
    "known_code",
    "live_latents",
    "mig",
    "mutual_information",
    "on_sample",
    "posterior_information",
    "random_rotation",
    "sap",
    "sap_matrix",
    "unrelated",
]
