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
