"""Exercises of lesson 01: PCA by hand, its loss, subspaces, and mixing the code."""

from __future__ import annotations

import math

import torch

from course_utils.exercises.base import (
    Arguments,
    Criterion,
    Exercise,
    Misconception,
    Refused,
    Trial,
    agrees,
    as_float,
    difference,
    normal,
    rows_stand_alone,
)
from course_utils.metrics import subspaces
from course_utils.oracles import pca


def _orthogonal(generator: torch.Generator, D: int) -> torch.Tensor:
    return torch.linalg.qr(normal(generator, D, D)).Q


def _covariance(generator: torch.Generator, D: int) -> torch.Tensor:
    """Draw a covariance with distinct eigenvalues, so that its axes are defined."""
    gaps = 0.3 + torch.rand(D, generator=generator, dtype=torch.float64)
    axes = _orthogonal(generator, D)
    return axes @ torch.diag(gaps.cumsum(0)) @ axes.T


def _descending(cov: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    eigenvalues, axes = torch.linalg.eigh(cov)
    return eigenvalues.flip(0), axes.flip(1)


# --- pca_reconstruct ----------------------------------------------------------------


def _reconstruct_probes(generator: torch.Generator) -> list[Arguments]:
    def draw(N: int, D: int, K: int) -> Arguments:
        x = normal(generator, N, D) + 2.0
        return x, 1.0 + normal(generator, D), _covariance(generator, D), K

    return [draw(11, 7, 3), draw(5, 9, 4)]


def _is_projection(trial: Trial) -> None:
    x, mean, cov, K = trial.probes()[0]
    once = trial.call(x, mean, cov, K)
    rank = int(torch.linalg.matrix_rank(once - mean, rtol=1e-9))
    if rank != K:
        raise Refused(f"x_hat − mean spans {rank} dimensions, expected K = {K}.")
    twice = trial.call(once, mean, cov, K)
    trial.expect_close(twice, once, "a reconstruction, reconstructed, must stay")


def _all_components(trial: Trial) -> None:
    x, mean, cov, K = trial.probes()[0]
    if difference(trial.call(x, mean, cov, K), x) < 1e-6:
        raise Refused("with K < D something must be lost.")
    whole = trial.call(x, mean, cov, len(cov))
    trial.expect_close(whole, x, "with K = D nothing may be lost")


def _without_centring(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    U = _descending(cov)[1][:, :K]
    return x @ U @ U.T


def _mean_not_added(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    U = _descending(cov)[1][:, :K]
    return (x - mean) @ U @ U.T


def _mean_not_subtracted(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    U = _descending(cov)[1][:, :K]
    return mean + x @ U @ U.T


def _smallest(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    U = torch.linalg.eigh(cov).eigenvectors[:, :K]
    return mean + (x - mean) @ U @ U.T


def _rows_of_axes(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    V = torch.linalg.eigh(cov).eigenvectors[-K:]
    return mean + (x - mean) @ V.T @ V


def _first_rows_of_axes(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    V = _descending(cov)[1][:K]
    return mean + (x - mean) @ V.T @ V


def _batch_mean(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    U = _descending(cov)[1][:, :K]
    return x.mean(0) + (x - x.mean(0)) @ U @ U.T


def _whitened_codes(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    eigenvalues, axes = _descending(cov)
    U = axes[:, :K]
    return mean + ((x - mean) @ U / eigenvalues[:K].sqrt()) @ U.T


def _scaled_by_eigenvalues(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    eigenvalues, axes = _descending(cov)
    U = axes[:, :K]
    return mean + ((x - mean) @ U * eigenvalues[:K]) @ U.T


def _last_directions(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    U = torch.linalg.eigh(cov).eigenvectors[:, K:]
    return mean + (x - mean) @ U @ U.T


def _columns_of_vh(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    U = torch.linalg.svd(cov).Vh[:, :K]
    return mean + (x - mean) @ U @ U.T


def _axes_of_the_batch(
    x: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor, K: int
) -> torch.Tensor:
    U = torch.linalg.svd(x - mean, full_matrices=False).Vh[:K].T
    return mean + (x - mean) @ U @ U.T


PCA_RECONSTRUCT = Exercise(
    name="pca_reconstruct",
    title="encode and decode with the top-K eigenvectors",
    reference=pca.pca_reconstruct,
    returns="(N, D) reconstruction",
    probes=_reconstruct_probes,
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
    misconceptions=(
        Misconception(
            "smallest_eigenvectors",
            "You keep the K directions of *smallest* variance: torch.linalg.eigh sorts "
            "eigenvalues in ascending order, so the leading ones are the last columns.",
            _smallest,
        ),
        Misconception(
            "mean_not_added",
            "The mean is subtracted before encoding but not added back after decoding.",
            _mean_not_added,
        ),
        Misconception(
            "mean_not_subtracted",
            "The mean is added after decoding, but x was not centred before encoding: "
            "the part of the mean inside the subspace is counted twice.",
            _mean_not_subtracted,
        ),
        Misconception(
            "no_centring",
            "x is projected without centring: the subspace passes through the mean, "
            "not "
            "through the origin. Subtract the mean before, add it after.",
            _without_centring,
        ),
        Misconception(
            "rows_of_the_eigenvector_matrix",
            "You take rows of the eigenvector matrix. Its *columns* are the "
            "eigenvectors: "
            "use axes[:, -K:].",
            _rows_of_axes,
        ),
        Misconception(
            "first_rows_of_the_eigenvector_matrix",
            "You take the first K rows after sorting. The *columns* of the matrix are "
            "the "
            "eigenvectors: use axes[:, :K].",
            _first_rows_of_axes,
        ),
        Misconception(
            "d_minus_k_kept",
            "You keep the last D − K columns, eigenvectors[:, K:]. The K leading ones "
            "are "
            "eigenvectors[:, -K:].",
            _last_directions,
        ),
        Misconception(
            "columns_of_vh",
            "You take columns of Vh from torch.linalg.svd. Its *rows* are the axes: "
            "Vh[:K].T, or the columns of U.",
            _columns_of_vh,
        ),
        Misconception(
            "axes_of_the_batch",
            "You take the axes from the batch itself and do not use cov: the answer "
            "for "
            "one example then depends on the others beside it.",
            _axes_of_the_batch,
        ),
        Misconception(
            "mean_of_the_batch",
            "You centre with the mean of the batch instead of the mean that was passed "
            "in: the answer for one example then depends on the others beside it.",
            _batch_mean,
        ),
        Misconception(
            "whitened_codes",
            "You divide the codes by √λ (whitening) and do not multiply back when "
            "decoding. A reconstruction needs the codes at their own scale.",
            _whitened_codes,
        ),
        Misconception(
            "scaled_by_eigenvalues",
            "You multiply the codes by the eigenvalues: U Λ Uᵀ is (the leading part "
            "of) "
            "the covariance, the projection is U Uᵀ.",
            _scaled_by_eigenvalues,
        ),
    ),
    hints=(
        "Three steps: centre, encode to K numbers, decode and move back.",
        "torch.linalg.eigh(cov) gives eigenvalues in ascending order and the "
        "eigenvectors as columns. Which K columns belong to the largest eigenvalues?",
        "With U of shape (D, K): z = (x - mean) @ U has shape (N, K), and z @ U.T is "
        "back "
        "in (N, D). One thing is still missing.",
    ),
)


# --- optimal_loss -------------------------------------------------------------------


def _loss_probes(generator: torch.Generator) -> list[Arguments]:
    sizes = ((7, 3), (10, 4), (8, 3), (9, 5), (6, 4), (11, 5))
    return [(_covariance(generator, D), K) for D, K in sizes]


def _nothing_left(trial: Trial) -> None:
    cov, _ = trial.probes()[0]
    if not float(trial.call(cov, len(cov) - 1)) > 0:
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


OPTIMAL_LOSS = Exercise(
    name="optimal_loss",
    title="the best loss, read off the spectrum",
    reference=pca.optimal_loss,
    returns="one number, the mean squared error",
    probes=_loss_probes,
    criteria=(
        agrees("is the sum of the D − K smallest eigenvalues", 3.0),
        Criterion("equals the error of PCA measured on data", 1.0, _measured),
        Criterion("is zero when K = D, and only then", 1.0, _nothing_left),
    ),
    misconceptions=(
        Misconception(
            "variance_kept",
            "You sum the K largest eigenvalues: that is the variance *kept*. The loss "
            "is "
            "what is left over, the sum of the others.",
            lambda cov, K: torch.linalg.eigvalsh(cov)[-K:].sum(),
        ),
        Misconception(
            "order_of_eigvalsh",
            "You drop the first K eigenvalues of torch.linalg.eigvalsh, which sorts "
            "them "
            "in ascending order: the K *smallest* were dropped. Equally: you kept the "
            "largest D − K and summed those.",
            lambda cov, K: torch.linalg.eigvalsh(cov)[K:].sum(),
        ),
        Misconception(
            "smallest_k",
            "You sum the K smallest eigenvalues. K directions are kept, so D − K are "
            "lost: sum the D − K smallest.",
            lambda cov, K: torch.linalg.eigvalsh(cov)[:K].sum(),
        ),
        Misconception(
            "mean_over_dimensions",
            "You divide by D (a mean over pixels). The course sums over the data "
            "dimensions: the loss is the plain sum of the lost eigenvalues.",
            lambda cov, K: torch.linalg.eigvalsh(cov)[: len(cov) - K].sum() / len(cov),
        ),
        Misconception(
            "mean_of_the_lost",
            "You take the mean of the lost eigenvalues. Each lost direction adds its "
            "whole "
            "variance to the error: take their sum.",
            lambda cov, K: torch.linalg.eigvalsh(cov)[: len(cov) - K].mean(),
        ),
        Misconception(
            "standard_deviations",
            "You sum square roots of eigenvalues (standard deviations). Squared error "
            "adds variances, so sum the eigenvalues.",
            lambda cov, K: torch.linalg.eigvalsh(cov)[: len(cov) - K].sqrt().sum(),
        ),
        Misconception(
            "share_of_variance",
            "You return the share of the variance that is lost. The loss is in squared "
            "units of the data: do not divide by the total.",
            lambda cov, K: (
                torch.linalg.eigvalsh(cov)[: len(cov) - K].sum() / cov.trace()
            ),
        ),
        Misconception(
            "no_order",
            "You rely on the order of torch.linalg.eigvals, which has none. For "
            "symmetric "
            "matrices use eigvalsh: real, and in ascending order.",
            lambda cov, K: torch.linalg.eigvals(cov).real[K:].sum(),
        ),
        Misconception(
            "squared_eigenvalues",
            "You square the eigenvalues. Those of Σ are squared singular values of the "
            "data (over N) already: sum them as they are.",
            lambda cov, K: (torch.linalg.eigvalsh(cov)[: len(cov) - K] ** 2).sum(),
        ),
        Misconception(
            "largest_lost",
            "You take the largest lost eigenvalue only. Every lost direction adds its "
            "variance: sum them all.",
            lambda cov, K: torch.linalg.eigvalsh(cov)[len(cov) - K - 1],
        ),
        Misconception(
            "one_too_many",
            "You are off by one: K eigenvalues are kept and D − K lost, and you sum "
            "D − K + 1 of them.",
            lambda cov, K: torch.linalg.eigvalsh(cov)[: len(cov) - K + 1].sum(),
        ),
        Misconception(
            "one_too_few",
            "You are off by one: K eigenvalues are kept and D − K lost, and you sum "
            "only "
            "D − K − 1 of them.",
            lambda cov, K: torch.linalg.eigvalsh(cov)[: len(cov) - K - 1].sum(),
        ),
        Misconception(
            "one_half",
            "You have a factor ½ in front. The squared error of this lesson has none.",
            lambda cov, K: 0.5 * torch.linalg.eigvalsh(cov)[: len(cov) - K].sum(),
        ),
    ),
    hints=(
        "Which part of x − m does the projection throw away, and what is its variance?",
        "The error is E‖(I − U Uᵀ)(x − m)‖²: the variances of the directions that are "
        "not kept, added up.",
        "torch.linalg.eigvalsh(cov) is ascending: the lost ones are the first D − K.",
    ),
)


# --- largest_angle ------------------------------------------------------------------


def _angle_probes(generator: torch.Generator) -> list[Arguments]:
    def draw(D: int, K: int) -> Arguments:
        return 0.3 * normal(generator, D, K), 0.3 * normal(generator, D, K)

    return [draw(9, 3), draw(13, 4)]


def _mixing_is_harmless(trial: Trial) -> None:
    A, B = trial.probes()[0]
    if float(trial.call(A, B)) == 0:
        raise Refused("the angle between two random subspaces is not 0.")
    mix = _orthogonal(trial.generator, 3) + 0.5 * torch.eye(3, dtype=A.dtype)
    trial.expect_close(
        trial.call(A @ mix, B),
        trial.call(A, B),
        "the angle must not depend on which basis of the subspace is used",
        1e-6,
    )


def _known_angle(trial: Trial) -> None:
    """Turn one of three orthonormal directions by a known angle."""
    Q = _orthogonal(trial.generator, 8)
    share = torch.rand((), generator=trial.generator, dtype=torch.float64)
    angle = 0.2 + 1.1 * share
    turned = angle.cos() * Q[:, 2] + angle.sin() * Q[:, 3]
    A, B = Q[:, :3], torch.stack([Q[:, 0], Q[:, 1], turned], 1)
    trial.expect_close(trial.call(A, B), angle, "one direction of three turned", 1e-6)


def _same_subspace(trial: Trial) -> None:
    """Look at many pairs: rounding makes some cosines exceed 1."""
    A, B = trial.probes()[0]
    if not float(trial.call(A, B)) > 1e-6:
        raise Refused("two different subspaces: the angle must be more than 0.")
    for _ in range(60):
        A, _ = trial.probes()[0]
        turn = 2 * _orthogonal(trial.generator, 3)
        got = as_float(trial.raw(A.clone(), A @ turn))
        if math.isnan(got):
            raise Refused(
                "two bases of one subspace: NaN. Rounding can make a cosine "
                "1.0000000000000002, whose arc cosine is NaN: clamp it first."
            )
        if abs(got) > 1e-6:  # an arc cosine near 1 is good to about 1e-8 only
            raise Refused(
                f"two bases of one subspace: yours is {got:.2g}, expected 0 to within "
                "1e-6."
            )


def _overlap(A: torch.Tensor, B: torch.Tensor) -> torch.Tensor:
    return torch.linalg.svdvals(torch.linalg.qr(A).Q.T @ torch.linalg.qr(B).Q)


def _columns_scaled(A: torch.Tensor) -> torch.Tensor:
    return A / A.norm(dim=0)


LARGEST_ANGLE = Exercise(
    name="largest_angle",
    title="the largest principal angle between two subspaces",
    reference=subspaces.largest_principal_angle,
    returns="one number, an angle in radians",
    probes=_angle_probes,
    criteria=(
        agrees("is the largest principal angle, in radians", 3.0),
        Criterion("is 0 for two bases of one subspace only", 1.0, _same_subspace),
        Criterion("finds a known angle", 1.0, _known_angle),
        Criterion("does not depend on the basis", 1.0, _mixing_is_harmless),
    ),
    misconceptions=(
        Misconception(
            "smallest_angle",
            "You take the largest singular value, which is the cosine of the "
            "*smallest* "
            "angle. The largest angle has the smallest cosine.",
            lambda A, B: _overlap(A, B)[0].clamp(max=1.0).acos(),
        ),
        Misconception(
            "cosine_returned",
            "You return the cosine. Take its arc cosine to get an angle.",
            lambda A, B: _overlap(A, B)[-1],
        ),
        Misconception(
            "degrees",
            "You return degrees. The course measures angles in radians.",
            lambda A, B: _overlap(A, B)[-1].clamp(max=1.0).acos() * 180 / math.pi,
        ),
        Misconception(
            "no_orthonormal_basis",
            "You use the columns as they are (clamping what leaves [−1, 1]). The "
            "singular "
            "values of AᵀB are cosines only when both bases are orthonormal: take the "
            "Q of "
            "torch.linalg.qr first.",
            lambda A, B: torch.linalg.svdvals(A.T @ B)[-1].clamp(max=1.0).acos(),
        ),
        Misconception(
            "columns_only_normalised",
            "You scale the columns to length one but do not make them orthogonal to "
            "each "
            "other. torch.linalg.qr does both.",
            lambda A, B: (
                torch.linalg.svdvals(_columns_scaled(A).T @ _columns_scaled(B))[-1]
                .clamp(max=1.0)
                .acos()
            ),
        ),
        Misconception(
            "column_by_column",
            "You compare column i of A with column i of B. Two bases of one subspace "
            "may "
            "have no column in common: compare the subspaces, not the bases.",
            lambda A, B: (
                (_columns_scaled(A) * _columns_scaled(B)).sum(0).abs().min().acos()
            ),
        ),
        Misconception(
            "first_columns",
            "You measure the angle between the first columns only.",
            lambda A, B: (
                (_columns_scaled(A) * _columns_scaled(B)).sum(0).abs()[0].acos()
            ),
        ),
        Misconception(
            "entries_not_singular_values",
            "You take arc cosines of the entries of QaᵀQb. They compare single basis "
            "vectors; the cosines of the principal angles are its singular values.",
            lambda A, B: (
                (torch.linalg.qr(A).Q.T @ torch.linalg.qr(B).Q).abs().min().acos()
            ),
        ),
        Misconception(
            "sum_of_angles",
            "You add the angles up. The exercise asks for the largest one alone.",
            lambda A, B: _overlap(A, B).clamp(max=1.0).acos().sum(),
        ),
        Misconception(
            "sine_returned",
            "You return the sine of the largest angle (the distance between the two "
            "projections). Take its arc sine.",
            lambda A, B: (1 - _overlap(A, B)[-1] ** 2).sqrt(),
        ),
    ),
    hints=(
        "A subspace has many bases. Start by giving each an orthonormal one.",
        "With Qa, Qb from torch.linalg.qr, the singular values of Qa.T @ Qb are the "
        "cosines of the principal angles.",
        "The largest angle has the smallest cosine. Rounding can push a cosine over 1: "
        "clamp(max=1.0) before acos.",
    ),
    tolerance=1e-7,
)


# --- mix_code -----------------------------------------------------------------------


def _mix_probes(generator: torch.Generator) -> list[Arguments]:
    def draw(D: int, K: int) -> Arguments:
        mix = _orthogonal(generator, K) + 0.5 * torch.eye(K, dtype=torch.float64)
        return normal(generator, K, D), normal(generator, D, K), mix

    return [draw(7, 3), draw(9, 4)]


def _mixed(
    encoder: torch.Tensor, decoder: torch.Tensor, A: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    return A @ encoder, torch.linalg.solve(A, decoder, left=False)


def _same_reconstruction(trial: Trial) -> None:
    encoder, decoder, A = trial.probes()[0]
    new_encoder, new_decoder = trial.call(encoder, decoder, A)
    trial.expect_close(
        new_decoder @ new_encoder,
        decoder @ encoder,
        "the map x → x_hat must stay",
        1e-7,
    )


def _code_is_mixed(trial: Trial) -> None:
    encoder, decoder, A = trial.probes()[0]
    x = normal(trial.generator, 5, encoder.shape[1])
    new_encoder, _ = trial.call(encoder, decoder, A)
    trial.expect_close(x @ new_encoder.T, x @ encoder.T @ A.T, "the new code A z")


MIX_CODE = Exercise(
    name="mix_code",
    title="another code, the same autoencoder",
    reference=_mixed,
    returns="two matrices, the new encoder (K, D) and the new decoder (D, K)",
    probes=_mix_probes,
    criteria=(
        agrees("returns A F and G A⁻¹", 3.0),
        Criterion("leaves every reconstruction as it was", 1.0, _same_reconstruction),
        Criterion("turns the code z into A z", 1.0, _code_is_mixed),
    ),
    misconceptions=(
        Misconception(
            "transpose_for_inverse",
            "You undo A with its transpose. That works for rotations only; a general "
            "mixing is undone by its inverse.",
            lambda F, G, A: (A @ F, G @ A.T),
        ),
        Misconception(
            "same_on_both",
            "You apply A on both sides. The decoder receives A z, so it has to undo A "
            "first: multiply it by the inverse of A.",
            lambda F, G, A: (A @ F, G @ A),
        ),
        Misconception(
            "decoder_unchanged",
            "You mix the code and leave the decoder as it was: it now receives a code "
            "it "
            "was not made for.",
            lambda F, G, A: (A @ F, G),
        ),
        Misconception(
            "inverse_on_the_encoder",
            "You have the two exchanged: the code becomes A⁻¹ z. Multiply the encoder "
            "by "
            "A and the decoder by its inverse.",
            lambda F, G, A: (torch.linalg.inv(A) @ F, G @ A),
        ),
        Misconception(
            "transposed_mixing",
            "You use Aᵀ where A is meant: the code becomes Aᵀ z. With z as a column, "
            "the "
            "new code is A z, so the encoder becomes A @ encoder.",
            lambda F, G, A: (A.T @ F, G @ torch.linalg.inv(A.T)),
        ),
        Misconception(
            "inverse_on_the_left",
            "The sizes do not fit: the decoder is (D, K), so the inverse of A goes on "
            "its "
            "right, decoder @ torch.linalg.inv(A).",
            lambda F, G, A: (A @ F, torch.linalg.inv(A) @ G),
        ),
        Misconception(
            "order_of_outputs",
            "You return the decoder first. The encoder comes first, then the decoder.",
            lambda F, G, A: (G @ torch.linalg.inv(A), A @ F),
        ),
    ),
    hints=(
        "The decoder now receives A z. What does it have to do first?",
        "decoder @ encoder must stay the same: put A⁻¹ A between the two.",
        "The new encoder is A @ encoder; the new decoder is decoder @ "
        "torch.linalg.inv(A).",
    ),
)

EXERCISES = (PCA_RECONSTRUCT, OPTIMAL_LOSS, LARGEST_ANGLE, MIX_CODE)
