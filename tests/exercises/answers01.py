"""Lesson 01's answers in other words, as `test_exercises` tries them."""

import numpy as np
import torch


def mix_by_inverse(encoder, decoder, A):
    return A @ encoder, decoder @ torch.linalg.inv(A)


def mix_by_solve(encoder, decoder, A):
    return torch.einsum("ij,jd->id", A, encoder), torch.linalg.solve(A.T, decoder.T).T


def mix_as_list(encoder, decoder, A):
    inverse = torch.linalg.solve(A, torch.eye(len(A), dtype=A.dtype))
    return [(encoder.T @ A.T).T, decoder @ inverse]


def excess_by_double_angle(first, second, angle):
    return (first - second) * (1 - torch.cos(2 * angle)) / 2


def excess_by_subtraction(first, second, angle):
    kept = first * torch.cos(angle) ** 2 + second * torch.sin(angle) ** 2
    return first + second - kept - second


def excess_by_matrices(first, second, angle):
    cov = torch.diag(torch.tensor([first, second], dtype=angle.dtype))
    lost = []
    for psi in angle:
        line = torch.stack([psi.cos(), psi.sin()])
        rest = torch.eye(2, dtype=angle.dtype) - torch.outer(line, line)
        lost.append(torch.trace(rest @ cov) - min(first, second))
    return torch.stack(lost)


def excess_by_numpy(first, second, angle):
    return np.sin(angle.numpy()) ** 2 * (first - second)


def maps_by_einsum(x, F, G):
    z = torch.einsum("nd,kd->nk", x, F)
    return z, torch.einsum("nk,dk->nd", z, G)


def maps_by_columns(x, F, G):
    z = F @ x.T
    return [z.T, (G @ z).T]


def maps_by_linear(x, F, G):
    z = torch.nn.functional.linear(x, F)
    return z, torch.nn.functional.linear(z, G)


def train_by_backward(x, F, G, lr, steps):
    F, G = F.clone().requires_grad_(), G.clone().requires_grad_()
    losses = []
    for _ in range(steps):
        loss = ((x - x @ F.T @ G.T) ** 2).sum(1).mean()
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            F -= lr * F.grad
            G -= lr * G.grad
        F.grad = G.grad = None
    return F.detach(), G.detach(), losses


def train_by_sgd(x, F, G, lr, steps):
    F, G = (torch.nn.Parameter(one.clone()) for one in (F, G))
    optimiser = torch.optim.SGD([F, G], lr=lr)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (x - x @ F.T @ G.T).pow(2).sum() / len(x)
        losses.append(loss.detach())
        loss.backward()
        optimiser.step()
    return F, G, torch.stack(losses)


def train_by_formulas(x, F, G, lr, steps):
    cov, losses = x.T @ x / len(x), []
    for _ in range(steps):
        R = torch.eye(len(cov), dtype=x.dtype) - G @ F
        losses.append(float(torch.trace(R @ cov @ R.T)))
        slope_F, slope_G = -2 * G.T @ R @ cov, -2 * R @ cov @ F.T
        F, G = F - lr * slope_F, G - lr * slope_G
    return F, G, torch.tensor(losses)


def train_by_new_leaves(x, F, G, lr, steps):
    losses = np.zeros(steps)
    for step in range(steps):
        F = F.detach().clone().requires_grad_(True)
        G = G.detach().clone().requires_grad_(True)
        loss = torch.nn.functional.mse_loss(x @ F.T @ G.T, x, reduction="sum") / len(x)
        losses[step] = loss
        dF, dG = torch.autograd.grad(loss, [F, G])
        F, G = F - lr * dF, G - lr * dG
    return F, G, losses


def train_by_modules(x, F, G, lr, steps):
    model = torch.nn.Sequential(
        torch.nn.Linear(F.shape[1], len(F), bias=False),
        torch.nn.Linear(len(F), F.shape[1], bias=False),
    ).to(x.dtype)
    model.load_state_dict({"0.weight": F, "1.weight": G})
    optimiser, losses = torch.optim.SGD(model.parameters(), lr=lr), []
    for _ in range(steps):
        loss = ((x - model(x)) ** 2).sum(dim=-1).mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model[0].weight.data, model[1].weight.data, losses


RIGHT = {
    "excess_loss": (
        excess_by_double_angle,
        excess_by_subtraction,
        excess_by_matrices,
        excess_by_numpy,
    ),
    "linear_autoencoder": (maps_by_einsum, maps_by_columns, maps_by_linear),
    "train_linear": (
        train_by_backward,
        train_by_sgd,
        train_by_formulas,
        train_by_new_leaves,
        train_by_modules,
    ),
    "mix_code": (mix_by_inverse, mix_by_solve, mix_as_list),
}


def mix_by_pseudo_inverse(encoder, decoder, A):
    return A @ encoder, decoder @ torch.linalg.pinv(A)


RIGHT["mix_code"] += (mix_by_pseudo_inverse,)


def small_singular_values_cut(encoder, decoder, A):
    return A @ encoder, decoder @ torch.linalg.pinv(A, rtol=0.3)


def decoder_from_the_new_encoder(encoder, decoder, A):
    mixed = A @ encoder
    return mixed, mixed.T @ torch.linalg.inv(mixed @ mixed.T)


def inverse_transposed(encoder, decoder, A):
    return A @ encoder, torch.linalg.solve(A, decoder.T).T


def excess_at_the_start_alone(first, second, angle):
    return (first - second) * angle**2 * (1 - angle**2 / 3)


def maps_by_batch_norm(x, F, G):
    z = x @ F.T
    z = (z - z.mean(0)) / (z.std(0, correction=0) + 1e-5)
    return z, z @ G.T


def maps_without_gradient(x, F, G):
    with torch.no_grad():
        return x @ F.T, x @ F.T @ G.T


def train_without_emptying(x, F, G, lr, steps):
    F, G = F.clone().requires_grad_(), G.clone().requires_grad_()
    losses = []
    for _ in range(steps):
        loss = ((x - x @ F.T @ G.T) ** 2).sum(1).mean()
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            F -= lr * F.grad
            G -= lr * G.grad
    return F.detach(), G.detach(), losses


def train_in_the_graph(x, F, G, lr, steps):
    F, G = F.clone().requires_grad_(), G.clone().requires_grad_()
    losses = []
    for _ in range(steps):
        loss = ((x - x @ F.T @ G.T) ** 2).sum(1).mean()
        loss.backward()
        F -= lr * F.grad
        G -= lr * G.grad
        losses.append(loss.item())
    return F, G, losses


def train_the_given_maps(x, F, G, lr, steps):
    losses = []
    F.requires_grad_()
    G.requires_grad_()
    for _ in range(steps):
        loss = ((x - x @ F.T @ G.T) ** 2).sum(1).mean()
        losses.append(loss.item())
        dF, dG = torch.autograd.grad(loss, (F, G))
        with torch.no_grad():
            F -= lr * dF
            G -= lr * dG
    return F.detach().clone(), G.detach().clone(), losses


def train_with_the_default_loss(x, F, G, lr, steps):
    F, G = F.clone().requires_grad_(), G.clone().requires_grad_()
    optimiser, losses = torch.optim.SGD([F, G], lr=lr), []
    for _ in range(steps):
        loss = torch.nn.functional.mse_loss(x @ F.T @ G.T, x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return F.detach(), G.detach(), losses


def train_lost_updates(x, F, G, lr, steps):
    F0, G0, losses = F, G, []
    for _ in range(steps):
        F, G = F0.clone().requires_grad_(), G0.clone().requires_grad_()
        loss = ((x - x @ F.T @ G.T) ** 2).sum(1).mean()
        loss.backward()
        losses.append(loss.item())
        F, G = F - lr * F.grad, G - lr * G.grad
    return F.detach(), G.detach(), losses


def train_one_map_after_the_other(x, F, G, lr, steps):
    losses = []
    for _ in range(steps):
        R = x - x @ F.T @ G.T
        losses.append((R**2).sum(1).mean().item())
        G = G + lr * 2 / len(x) * R.T @ (x @ F.T)
        F = F + lr * 2 / len(x) * G.T @ (x - x @ F.T @ G.T).T @ x
    return F, G, losses


NAMED = (
    ("train_linear", train_without_emptying, "gradients_added_up"),
    ("train_linear", train_in_the_graph, "leaf_changed_in_place"),
    ("train_linear", train_with_the_default_loss, "mean_over_everything"),
    ("train_linear", train_one_map_after_the_other, "decoder_first"),
    ("mix_code", decoder_from_the_new_encoder, "pseudo_inverse_of_the_encoder"),
    ("mix_code", inverse_transposed, "inverse_transposed"),
)
ROWS = (
    ("excess_loss", excess_at_the_start_alone, (False, False, False, False)),
    ("linear_autoencoder", maps_by_batch_norm, (False, False, False, False, False)),
    ("linear_autoencoder", maps_without_gradient, (True, True, True, False, True)),
    ("train_linear", train_without_emptying, (True, False, False, False)),
    ("train_linear", train_lost_updates, (True, False, False, False)),
    ("mix_code", small_singular_values_cut, (True, False, True, True)),
)
SAYS = (
    ("linear_autoencoder", maps_without_gradient, "no gradient reaches F"),
    ("train_linear", train_in_the_graph, "with torch.no_grad()"),
    ("train_linear", train_the_given_maps, "changes its inputs in place"),
    ("mix_code", small_singular_values_cut, "small singular values cut off"),
)
