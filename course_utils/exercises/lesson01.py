"""Exercises of lesson 01: PCA by hand, its loss, subspaces, and mixing the code."""

from __future__ import annotations

import math

import torch
from torch import Tensor, linalg
from torch.nn.functional import cosine_similarity, normalize

from course_utils.grading.criteria import (
    agrees,
    normal,
    orthogonal,
    rows_stand_alone,
    uniform,
)
from course_utils.grading.declare import declare, instead, words_beside
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import Refused, Trial
from course_utils.grading.values import as_float, difference
from course_utils.metrics import subspaces
from course_utils.oracles import pca

WORDS = words_beside(__file__)


def _covariance(generator: torch.Generator, D: int) -> Tensor:
    """Draw a covariance with distinct eigenvalues, so that its axes are defined."""
    gaps = 0.3 + uniform(generator, D)
    axes = orthogonal(generator, D)
    return axes @ torch.diag(gaps.cumsum(0)) @ axes.T


# --- pca_reconstruct ----------------------------------------------------------------


def _reconstruct_inputs(generator: torch.Generator) -> list[Arguments]:
    # D − K is neither K nor K ± 1: no two mistakes about the axes keep the same ones.
    return [_data(generator, 11, 8, 3), _data(generator, 5, 12, 4)]


def _reconstruct_edges(generator: torch.Generator) -> list[Arguments]:
    """One example, one axis, all axes."""
    sizes = ((1, 8, 3), (6, 5, 1), (7, 4, 4))
    return [_data(generator, *size) for size in sizes]


def _data(generator: torch.Generator, N: int, D: int, K: int) -> Arguments:
    x = normal(generator, N, D) + 2.0
    return x, 1.0 + normal(generator, D), _covariance(generator, D), K


def _is_projection(trial: Trial) -> None:
    x, mean, cov, K = trial.inputs()[0]
    once = trial.call(x, mean, cov, K)
    rank = int(linalg.matrix_rank(once - mean, rtol=1e-5))
    if rank != K:
        raise Refused(f"x_hat − mean spans {rank} dimensions, expected K = {K}.")
    twice = trial.call(once, mean, cov, K)
    trial.expect_close(
        twice,
        once,
        "a reconstruction lies in the subspace, so reconstructing it again must not "
        "move it",
    )


def _all_components(trial: Trial) -> None:
    x, mean, cov, K = trial.inputs()[0]
    if difference(trial.call(x, mean, cov, K), x) < 1e-6:
        raise Refused(
            f"you return x itself, so nothing is lost; of D = {len(cov)} axes only the "
            f"K = {K} leading ones should be kept."
        )
    whole = trial.call(x, mean, cov, len(cov))
    trial.expect_close(
        whole, x, "with K = D all axes are kept, so x must come back as it was"
    )


PCA_RECONSTRUCT = declare(
    WORDS["pca_reconstruct"],
    pca.pca_reconstruct,
    _reconstruct_inputs,
    criteria=(
        agrees("projects onto the K leading eigenvectors", 3.0),
        Criterion(
            "is a projection of rank K: a second time changes nothing",
            1.0,
            _is_projection,
        ),
        Criterion("loses nothing when K = D, and only then", 1.0, _all_components),
        rows_stand_alone(),
    ),
    steps={
        "axes": lambda cov: linalg.eigh(cov).eigenvectors,  # smallest variance first
        "variances": lambda cov, K: linalg.eigvalsh(cov).flip(0)[:K],
        "sd": lambda cov: cov.diagonal().sqrt(),  # of each pixel
        "correlation": lambda cov, sd: cov / torch.outer(sd, sd),
        "identity": lambda cov: torch.eye(len(cov), dtype=cov.dtype),
        "U": lambda axes, K: axes.flip(1)[:, :K],
        "centred": lambda x, mean: x - mean,
        "z": lambda centred, U: centred @ U,
        "decoded": lambda z, U: z @ U.T,
        "answer": lambda mean, decoded: mean + decoded,
    },
    mistakes={
        "smallest_eigenvectors": instead(U=lambda axes, K: axes[:, :K]),
        "mean_not_added": lambda decoded: decoded,
        "mean_not_subtracted": instead(centred=lambda x: x),
        "no_centring": instead(mean=lambda: 0),
        "rows_of_the_eigenvector_matrix": instead(U=lambda axes, K: axes[-K:].T),
        "first_rows_of_the_eigenvector_matrix": instead(
            U=lambda axes, K: axes.flip(1)[:K].T
        ),
        "what_is_lost": instead(U=lambda axes, K: axes[:, : len(axes) - K]),
        "error_returned": lambda centred, decoded: centred - decoded,
        "one_axis_too_many": instead(U=lambda axes, K: axes.flip(1)[:, : K + 1]),
        "one_axis_too_few": instead(U=lambda axes, K: axes.flip(1)[:, : K - 1]),
        "top_axis_skipped": instead(U=lambda axes, K: axes.flip(1)[:, 1 : K + 1]),
        "top_axis_lost": instead(U=lambda axes, K: axes[:, -K:-1]),
        "kth_axis_only": instead(U=lambda axes, K: axes[:, [-K]]),
        "first_axis_only": instead(U=lambda axes: axes[:, [-1]]),
        "all_axes_kept": instead(U=lambda axes: axes),
        "only_the_mean": lambda x, mean: mean + 0 * x,
        "mean_subtracted_again": lambda mean, decoded: decoded - mean,
        "d_minus_k_kept": instead(U=lambda axes, K: axes[:, K:]),
        "columns_of_vh": instead(U=lambda cov, K: linalg.svd(cov).Vh[:, :K]),
        "axes_of_the_batch": instead(
            U=lambda centred, K: linalg.svd(centred, full_matrices=False).Vh[:K].T
        ),
        "mean_of_the_batch": instead(mean=lambda x: x.mean(0)),
        "batch_alone": instead(
            mean=lambda x: x.mean(0),
            U=lambda centred, K: linalg.svd(centred, full_matrices=False).Vh[:K].T,
        ),
        "whitened_codes": instead(z=lambda z, variances: z / variances.sqrt()),
        "whitened_by_eigenvalues": instead(z=lambda z, variances: z / variances),
        "scaled_by_eigenvalues": instead(z=lambda z, variances: z * variances),
        "scaled_by_roots": instead(z=lambda z, variances: z * variances.sqrt()),
        "pixels_of_largest_variance": instead(
            U=lambda identity, cov, K: identity[
                :, cov.diagonal().argsort(descending=True)[:K]
            ]
        ),
        "first_pixels": instead(U=lambda identity, K: identity[:, :K]),
        "qr_of_the_covariance": instead(U=lambda cov, K: linalg.qr(cov).Q[:, :K]),
        "standardised": instead(axes=lambda correlation: linalg.eigh(correlation)[1]),
        "standardised_and_back": instead(
            axes=lambda correlation: linalg.eigh(correlation)[1],
            centred=lambda centred, sd: centred / sd,
            decoded=lambda decoded, sd: decoded * sd,
        ),
        "clamped": lambda answer: answer.clamp(0, 1),
    },
    edges=_reconstruct_edges,
)


# --- optimal_loss -------------------------------------------------------------------


def _loss_inputs(generator: torch.Generator) -> list[Arguments]:
    sizes = ((7, 3), (10, 4), (8, 3), (9, 5), (6, 4), (11, 5))
    return [(_covariance(generator, D), K) for D, K in sizes]


def _nothing_left(trial: Trial) -> None:
    cov, _ = trial.inputs()[0]
    one, most = trial.call(cov, 1), trial.call(cov, len(cov) - 1)
    if difference(one, most) < 1e-6:
        raise Refused(
            f"K = 1 and K = {len(cov) - 1} give the same loss: it must depend on the K "
            "that is passed in."
        )
    if not float(most) > 0:
        raise Refused("with K = D − 1 the loss must be positive.")
    zero = torch.zeros((), dtype=cov.dtype)
    trial.expect_close(trial.call(cov, len(cov)), zero, "with K = D")


def _measured(trial: Trial) -> None:
    """Compare with the loss of PCA measured on data, not with the formula."""
    x = normal(trial.generator, 40, 6) @ normal(trial.generator, 6, 6)
    cov = pca.covariance(x)
    x_hat = pca.pca_reconstruct(x, x.mean(0), cov, 4)
    measured = ((x - x_hat) ** 2).sum(1).mean()
    trial.expect_close(trial.call(cov, 4), measured, "PCA's error on 40 examples")


OPTIMAL_LOSS = declare(
    WORDS["optimal_loss"],
    pca.optimal_loss,
    _loss_inputs,
    criteria=(
        agrees("is the sum of the D − K smallest eigenvalues", 3.0),
        Criterion("equals the error of PCA measured on data", 1.0, _measured),
        Criterion("is zero when K = D, and only then", 1.0, _nothing_left),
    ),
    steps={
        "D": lambda cov: len(cov),
        "values": lambda cov: linalg.eigvalsh(cov),  # ascending
        "variances": lambda cov: cov.diagonal().sort().values,  # of single pixels
        "lost": lambda values, D, K: values[: D - K],
        "answer": lambda lost: lost.sum(),
    },
    mistakes={
        "variance_kept": lambda values, K: values[-K:].sum(),
        "order_of_eigvalsh": lambda values, K: values[K:].sum(),
        "smallest_k": lambda values, K: values[:K].sum(),
        "mean_over_dimensions": lambda answer, D: answer / D,
        "mean_of_the_lost": lambda lost: lost.mean(),
        "standard_deviations": lambda lost: lost.sqrt().sum(),
        "share_of_variance": lambda answer, cov: answer / cov.trace(),
        "share_kept": lambda values, K: values[-K:].sum() / values.sum(),
        "lost_over_kept": lambda answer, values, K: answer / values[-K:].sum(),
        "total_variance": lambda cov: cov.trace(),
        "no_order": lambda cov, K: linalg.eigvals(cov).real[K:].sum(),
        "squared_eigenvalues": lambda lost: (lost**2).sum(),
        "frobenius": lambda lost: (lost**2).sum().sqrt(),
        "largest_lost": lambda lost: lost[-1],
        "smallest_alone": lambda values: values[0],
        "last_kept": lambda values, K: values[-K],
        "product_of_the_lost": lambda lost: lost.prod(),
        "pixels_of_smallest_variance": lambda variances, D, K: variances[: D - K].sum(),
        "pixels_after_the_first": lambda cov, K: cov.diagonal()[K:].sum(),
        "covariance_taken_for_data": instead(
            values=lambda cov: linalg.eigvalsh(torch.cov(cov.T))
        ),
        "covariance_taken_for_data_by_n": instead(
            values=lambda cov: linalg.eigvalsh(pca.covariance(cov))
        ),
        "one_too_many": lambda values, D, K: values[: D - K + 1].sum(),
        "one_too_few": lambda lost: lost[:-1].sum(),
        "one_half": lambda answer: 0.5 * answer,
    },
)


# --- largest_angle ------------------------------------------------------------------


def _angle_inputs(generator: torch.Generator) -> list[Arguments]:
    def draw(D: int, K: int) -> Arguments:
        return 0.3 * normal(generator, D, K), 0.3 * normal(generator, D, K)

    return [draw(9, 3), draw(13, 4)]


def _mixing_is_harmless(trial: Trial) -> None:
    A, B = trial.inputs()[0]
    if float(trial.call(A, B)) == 0:
        raise Refused("the angle between two random subspaces is not 0.")
    mix = orthogonal(trial.generator, 3) + 0.5 * torch.eye(3, dtype=A.dtype)
    trial.expect_close(
        trial.call(A @ mix, B),
        trial.call(A, B),
        "other columns that span the same subspace change your angle",
    )


def _known_angle(trial: Trial) -> None:
    """Turn one of three orthonormal directions by a known angle."""
    Q = orthogonal(trial.generator, 8)
    angle = 0.2 + 1.1 * uniform(trial.generator)
    turned = angle.cos() * Q[:, 2] + angle.sin() * Q[:, 3]
    A, B = Q[:, :3], torch.stack([Q[:, 0], Q[:, 1], turned], 1)
    trial.expect_close(
        trial.call(A, B), angle, "one direction of three turned by a known angle"
    )


def _same_subspace(trial: Trial) -> None:
    """Look at many pairs: rounding makes some cosines exceed 1."""
    A, B = trial.inputs()[0]
    if not float(trial.call(A, B)) > 1e-6:
        raise Refused("two different subspaces: the angle must be more than 0.")
    for _ in range(60):
        A, _ = trial.inputs()[0]
        line = A[:, :1]  # one cosine alone exceeds 1 more often than all of three
        _expect_no_angle(trial, A, 2 * A @ orthogonal(trial.generator, 3))
        _expect_no_angle(trial, line, -2 * line)


def _expect_no_angle(trial: Trial, A: Tensor, B: Tensor) -> None:
    got = as_float(trial.raw(A.clone(), B))
    if math.isnan(got):
        raise Refused(
            "two bases of one subspace: NaN. Rounding can make a cosine "
            "1.0000000000000002, whose arc cosine is NaN: clamp it first."
        )
    if abs(got) > 1e-6:  # an arc cosine near 1 is good to about 1e-8 only
        raise Refused(
            f"two bases of one subspace: yours is {got:.2g}, expected 0 to within "
            "1e-6. Is a basis not orthonormal, or a cosine clamped below 1?"
        )


LARGEST_ANGLE = declare(
    WORDS["largest_angle"],
    subspaces.largest_principal_angle,
    _angle_inputs,
    criteria=(
        agrees("is the largest principal angle, in radians", 3.0),
        Criterion("is 0 for two bases of one subspace only", 1.0, _same_subspace),
        Criterion("finds a known angle", 1.0, _known_angle),
        Criterion("does not depend on the basis", 1.0, _mixing_is_harmless),
    ),
    steps={
        "Qa": lambda A: linalg.qr(A).Q,
        "Qb": lambda B: linalg.qr(B).Q,
        "overlap": lambda Qa, Qb: Qa.T @ Qb,
        "cosines": lambda overlap: linalg.svdvals(overlap),  # descending
        "angles": lambda cosines: cosines.clamp(max=1.0).acos(),
        "cosine": lambda cosines: cosines[-1],
        "answer": lambda cosine: cosine.clamp(max=1.0).acos(),
        "by_column": lambda A, B: cosine_similarity(A, B, dim=0).abs(),
    },
    mistakes={
        "smallest_angle": instead(cosine=lambda cosines: cosines[0]),
        "cosine_returned": lambda cosine: cosine,
        "degrees": lambda answer: answer.rad2deg(),
        "no_orthonormal_basis": instead(Qa=lambda A: A, Qb=lambda B: B),
        "columns_only_normalised": instead(
            Qa=lambda A: normalize(A, dim=0), Qb=lambda B: normalize(B, dim=0)
        ),
        "column_by_column": instead(cosine=lambda by_column: by_column.min()),
        "first_columns": instead(cosine=lambda by_column: by_column[0]),
        "entries_not_singular_values": instead(
            cosine=lambda overlap: overlap.abs().min()
        ),
        "sum_of_angles": lambda angles: angles.sum(),
        "sine_returned": lambda cosine: (1 - cosine**2).sqrt(),
        "mean_of_angles": lambda angles: angles.mean(),
        "mean_of_cosines": instead(cosine=lambda cosines: cosines.mean()),
        "norm_of_angles": lambda angles: angles.norm(),
        "diagonal_of_the_overlap": instead(
            cosine=lambda overlap: overlap.diagonal().abs().min()
        ),
        "arc_sine": lambda cosine: cosine.clamp(max=1.0).asin(),
        "determinant": instead(cosine=lambda overlap: linalg.det(overlap).abs()),
        "eigenvalues": instead(
            cosine=lambda overlap: linalg.eigvals(overlap).abs().min()
        ),
        "whole_space": instead(
            Qa=lambda A: linalg.qr(A, mode="complete").Q,
            Qb=lambda B: linalg.qr(B, mode="complete").Q,
        ),
        "distance_of_projections": lambda Qa, Qb: (Qa @ Qa.T - Qb @ Qb.T).norm(),
        "distance_of_projections_by_root_2": lambda Qa, Qb: (
            (Qa @ Qa.T - Qb @ Qb.T).norm() / math.sqrt(2)
        ),
        "only_a_orthonormal": instead(Qb=lambda B: B),
        "only_b_orthonormal": instead(Qa=lambda A: A),
        "one_long_vector": lambda A, B: (
            cosine_similarity(A.flatten(), B.flatten(), dim=0).abs().acos()
        ),
        "one_long_vector_signed": lambda A, B: cosine_similarity(
            A.flatten(), B.flatten(), dim=0
        ).acos(),
    },
)


# --- mix_code -----------------------------------------------------------------------


def _mix_inputs(generator: torch.Generator) -> list[Arguments]:
    def draw(D: int, K: int) -> Arguments:
        mix = orthogonal(generator, K) + 0.5 * torch.eye(K, dtype=torch.float64)
        return normal(generator, K, D), normal(generator, D, K), mix

    return [draw(7, 3), draw(9, 4)]


def _mix_edges(generator: torch.Generator) -> list[Arguments]:
    """Mix by a matrix that stretches one direction fifty times as much as another."""
    K = 4
    stretch = torch.tensor([0.1, 0.6, 1.5, 5.0], dtype=torch.float64)
    mix = orthogonal(generator, K) * stretch @ orthogonal(generator, K)
    return [(normal(generator, K, 9), normal(generator, 9, K), mix)]


def mix_code(encoder: Tensor, decoder: Tensor, A: Tensor) -> tuple[Tensor, Tensor]:
    """Return the encoder (K, D) and decoder (D, K) of A z, where z is the old code."""
    return A @ encoder, linalg.solve(A, decoder, left=False)


def _uneven_mixing(trial: Trial) -> None:
    for arguments in _mix_edges(trial.generator):
        got, want = trial.call(*arguments), trial.reference(*arguments)
        trial.expect_close(
            got,
            want,
            "for an A that stretches one direction fifty times as much as another (is "
            "something added to A, or are small singular values cut off?)",
        )


def _same_reconstruction(trial: Trial) -> None:
    encoder, decoder, A = trial.inputs()[0]
    new_encoder, new_decoder = trial.call(encoder, decoder, A)
    trial.expect_close(
        new_decoder @ new_encoder,
        decoder @ encoder,
        "the decoder does not undo the encoder: new_decoder @ new_encoder must "
        "be decoder @ encoder",
    )


def _code_is_mixed(trial: Trial) -> None:
    encoder, decoder, A = trial.inputs()[0]
    x = normal(trial.generator, 5, encoder.shape[1])
    new_encoder, _ = trial.call(encoder, decoder, A)
    trial.expect_close(
        x @ new_encoder.T, x @ encoder.T @ A.T, "the code of x must become A z"
    )


MIX_CODE = declare(
    WORDS["mix_code"],
    mix_code,
    _mix_inputs,
    criteria=(
        agrees("returns A F and G A⁻¹", 2.0),
        Criterion("inverts any mixing, however uneven", 1.0, _uneven_mixing),
        Criterion("leaves every reconstruction as it was", 1.0, _same_reconstruction),
        Criterion("turns the code z into A z", 1.0, _code_is_mixed),
    ),
    steps={
        "inverse": lambda A: linalg.inv(A),
        "new_encoder": lambda encoder, A: A @ encoder,
        "new_decoder": lambda decoder, inverse: decoder @ inverse,
        "answer": lambda new_encoder, new_decoder: (new_encoder, new_decoder),
    },
    mistakes={
        "transpose_for_inverse": instead(inverse=lambda A: A.T),
        "same_on_both": instead(inverse=lambda A: A),
        "decoder_unchanged": instead(new_decoder=lambda decoder: decoder),
        "inverse_on_the_encoder": instead(A=lambda A: linalg.inv(A)),
        "transposed_mixing": instead(A=lambda A: A.T),
        "inverse_on_the_left": instead(
            new_decoder=lambda decoder, inverse: inverse @ decoder
        ),
        "order_of_outputs": lambda new_encoder, new_decoder: (new_decoder, new_encoder),
        "nothing_changed": lambda encoder, decoder: (encoder, decoder),
        "encoder_unchanged": instead(new_encoder=lambda encoder: encoder),
        "inverse_on_both": instead(
            new_encoder=lambda inverse, encoder: inverse @ encoder
        ),
        "inverse_transposed": instead(inverse=lambda inverse: inverse.T),
        "encoder_by_transpose": instead(new_encoder=lambda A, encoder: A.T @ encoder),
        "pseudo_inverse_of_the_encoder": instead(
            new_decoder=lambda new_encoder: linalg.pinv(new_encoder)
        ),
        "transpose_of_the_encoder": instead(
            new_decoder=lambda new_encoder: new_encoder.T
        ),
        "one_over_each_entry": instead(inverse=lambda A: 1 / A),
        "diagonal_of_the_mixing": instead(A=lambda A: A.diagonal().diag()),
        "mixing_made_orthogonal": instead(A=lambda A: linalg.qr(A).Q),
        "mixing_made_unit": instead(A=lambda A: A / A.norm()),
        "determinant_for_inverse": instead(
            new_decoder=lambda decoder, A: decoder / linalg.det(A)
        ),
    },
    edges=_mix_edges,
)

EXERCISES = (PCA_RECONSTRUCT, OPTIMAL_LOSS, LARGEST_ANGLE, MIX_CODE)
