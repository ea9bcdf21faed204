"""Lesson 01's answers in other words, as `test_exercises` tries them."""

import numpy as np
import scipy.linalg
import torch
from sklearn.decomposition import PCA


def reconstruct_by_projection(x, mean, cov, K):
    axes = torch.linalg.eigh(cov).eigenvectors[:, -K:]
    return x - (x - mean) @ (torch.eye(len(cov), dtype=x.dtype) - axes @ axes.T)


def reconstruct_by_svd(x, mean, cov, K):
    U, _, _ = torch.linalg.svd(cov)
    return torch.stack([mean + U[:, :K] @ (U[:, :K].T @ (row - mean)) for row in x])


def reconstruct_by_numpy(x, mean, cov, K):
    values, axes = np.linalg.eig(cov.numpy())  # unsorted, real for a symmetric matrix
    U = torch.tensor(axes.real[:, np.argsort(-values.real)[:K]], dtype=x.dtype)
    z = torch.einsum("nd,dk->nk", x - mean, U)
    return torch.einsum("nk,dk->nd", z, U) + mean


def reconstruct_by_scikit_learn(x, mean, cov, K):
    spread = np.linalg.cholesky(cov.numpy()).T * len(cov) ** 0.5
    data = mean.numpy() + np.concatenate([spread, -spread])  # with this mean and cov
    pca = PCA(K).fit(data)
    return torch.from_numpy(pca.inverse_transform(pca.transform(x.numpy())))


def loss_by_trace(cov, K):
    return cov.trace() - torch.linalg.eigvalsh(cov).flip(0)[:K].sum()


def loss_by_svd(cov, K):
    return float(torch.linalg.svdvals(cov)[K:].sum())


def loss_by_projection(cov, K):
    U = torch.linalg.eigh(cov)[1][:, -K:]
    rest = torch.eye(len(cov), dtype=cov.dtype) - U @ U.T
    return torch.trace(rest @ cov @ rest)


def angle_by_scipy(A, B):
    return float(scipy.linalg.subspace_angles(A.numpy(), B.numpy()).max())


def angle_by_cosine(A, B):
    Qa, Qb = torch.linalg.qr(A)[0], torch.linalg.qr(B)[0]
    return torch.acos(torch.linalg.svdvals(Qa.T @ Qb).clamp(-1, 1).min())


def angle_by_projections(A, B):
    def projection(M):
        return M @ torch.linalg.pinv(M)

    sine = torch.linalg.matrix_norm(projection(A) - projection(B), ord=2)
    return torch.asin(sine.clamp(max=1.0))


def mix_by_inverse(encoder, decoder, A):
    return A @ encoder, decoder @ torch.linalg.inv(A)


def mix_by_solve(encoder, decoder, A):
    return torch.einsum("ij,jd->id", A, encoder), torch.linalg.solve(A.T, decoder.T).T


def mix_as_list(encoder, decoder, A):
    inverse = torch.linalg.solve(A, torch.eye(len(A), dtype=A.dtype))
    return [(encoder.T @ A.T).T, decoder @ inverse]


RIGHT = {
    "pca_reconstruct": (
        reconstruct_by_projection,
        reconstruct_by_svd,
        reconstruct_by_numpy,
        reconstruct_by_scikit_learn,
    ),
    "optimal_loss": (loss_by_trace, loss_by_svd, loss_by_projection),
    "largest_angle": (angle_by_scipy, angle_by_cosine, angle_by_projections),
    "mix_code": (mix_by_inverse, mix_by_solve, mix_as_list),
}


def reconstruct_in_float32_axes(x, mean, cov, K):
    U = torch.linalg.eigh(cov.float()).eigenvectors[:, -K:].to(x.dtype)
    return (x - mean) @ U @ U.T + mean


def mix_by_pseudo_inverse(encoder, decoder, A):
    return A @ encoder, decoder @ torch.linalg.pinv(A)


RIGHT["pca_reconstruct"] += (reconstruct_in_float32_axes,)
RIGHT["mix_code"] += (mix_by_pseudo_inverse,)


def pca_of_the_batch_by_scikit_learn(x, mean, cov, K):
    if len(x) < 2:  # it asks for more than one example
        return x
    found = PCA(min(K, *x.shape)).fit(x.numpy())
    return torch.from_numpy(found.inverse_transform(found.transform(x.numpy())))


def one_axis_too_few(x, mean, cov, K):
    values, axes = torch.linalg.eigh(cov)
    U = axes[:, values.argsort(descending=True)][:, 1 : K + 1]
    return mean + torch.einsum("nd,dk,ek->ne", x - mean, U, U)


def largest_pixels(x, mean, cov, K):
    kept = torch.zeros(len(cov), dtype=torch.bool)
    kept[cov.diagonal().topk(K).indices] = True
    return torch.where(kept, x, mean)


def squeezed(x, mean, cov, K):
    return reconstruct_by_projection(x, mean, cov, K).squeeze()


def k_of_the_lesson(cov, K):
    return torch.linalg.eigvalsh(cov).flip(0)[3:].sum()


def variance_of_pixels(cov, K):
    return sum(sorted(cov.diagonal().tolist())[: len(cov) - K])


def frobenius(cov, K):
    return torch.linalg.svdvals(cov)[K:].norm()


def clamped_below_one(A, B):
    Qa, Qb = torch.linalg.qr(A)[0], torch.linalg.qr(B)[0]
    return torch.linalg.svdvals(Qa.T @ Qb).clamp(-0.9999, 0.9999).acos().max()


def not_clamped(A, B):
    return torch.linalg.svdvals(torch.linalg.qr(A)[0].T @ torch.linalg.qr(B)[0]).acos()[
        -1
    ]


def mean_angle(A, B):
    return float(scipy.linalg.subspace_angles(A.numpy(), B.numpy()).mean())


def column_i_with_column_i(A, B):
    Qa, Qb = torch.linalg.qr(A)[0], torch.linalg.qr(B)[0]
    return (Qa * Qb).sum(0).abs().clamp(max=1).acos().max()


def small_singular_values_cut(encoder, decoder, A):
    return A @ encoder, decoder @ torch.linalg.pinv(A, rtol=0.3)


def decoder_from_the_new_encoder(encoder, decoder, A):
    mixed = A @ encoder
    return mixed, mixed.T @ torch.linalg.inv(mixed @ mixed.T)


def inverse_transposed(encoder, decoder, A):
    return A @ encoder, torch.linalg.solve(A, decoder.T).T


NAMED = (
    ("pca_reconstruct", one_axis_too_few, "top_axis_skipped"),
    ("pca_reconstruct", largest_pixels, "pixels_of_largest_variance"),
    ("optimal_loss", variance_of_pixels, "pixels_of_smallest_variance"),
    ("optimal_loss", frobenius, "frobenius"),
    ("largest_angle", mean_angle, "mean_of_angles"),
    ("largest_angle", column_i_with_column_i, "diagonal_of_the_overlap"),
    ("largest_angle", clamped_below_one, None),
    ("mix_code", decoder_from_the_new_encoder, "pseudo_inverse_of_the_encoder"),
    ("mix_code", inverse_transposed, "inverse_transposed"),
)
ROWS = (
    ("pca_reconstruct", squeezed, (True, True, True, False)),
    ("mix_code", small_singular_values_cut, (True, False, True, True)),
)
SAYS = (
    ("pca_reconstruct", squeezed, "without its axes of length 1"),
    ("pca_reconstruct", pca_of_the_batch_by_scikit_learn, "changes with the others"),
    ("optimal_loss", k_of_the_lesson, "must depend on the K"),
    ("largest_angle", clamped_below_one, "clamped below 1"),
    ("largest_angle", not_clamped, "clamp it first"),
    ("mix_code", small_singular_values_cut, "small singular values cut off"),
)


def keeps_another_number_than_it_loses(x, mean, cov, K):
    """Mistakes about which axes are kept cannot coincide."""
    N, D = x.shape
    return len({N, D, K, D - K}) == 4 and D - K not in {K - 1, K, K + 1}


INPUTS = (("pca_reconstruct", keeps_another_number_than_it_loses),)
