"""Several models of one shape, trained side by side: seeds at a fraction of the price.

A comparison needs several seeds, and a small network keeps a processor busier with
bookkeeping than with arithmetic. Stacking the weights of S such networks turns S small
matrix products into one call, and the training of five seeds takes about the time of
two.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from course_utils.models import Gaussian, Likelihood, MixturePrior, mixture_log_prob
from course_utils.training.fit import (
    History,
    Loss,
    TrainingStopped,
    add_terms,
    check_settings,
    evaluate_terms,
    note_means,
    terms_of,
)


def stack(models: Sequence[nn.Module]) -> nn.Module:
    """Join S models of one shape into one, with a block of the rows for each.

    The joined model takes S · N rows: the first N go through the first model, the next
    N through the second, and so on.

    Parameters
    ----------
    models
        Models of the same class and sizes, made of ``nn.Linear``, activations, and the
        likelihoods and priors of `course_utils.models`.

    Returns
    -------
    Module
        A new model with copies of all weights. `unstack` puts them back.

    Raises
    ------
    ValueError
        If there is no model, their shapes differ, or a layer has weights that cannot be
        stacked.

    Examples
    --------
    >>> from course_utils.models import Autoencoder
    >>> pair = [Autoencoder(5, 2, hidden=(4,)) for _ in range(2)]
    >>> x = torch.randn(6, 5)
    >>> both = stack(pair)(torch.cat([x, x]))
    >>> torch.allclose(both, torch.cat([pair[0](x), pair[1](x)]), atol=1e-6)
    True
    """
    models = list(models)
    _check_alike(models)
    if isinstance(models[0], nn.Linear):
        return _Linears(models)
    joined = copy.deepcopy(models[0])
    for name, module in models[0].named_modules():
        alike: list[Any] = [model.get_submodule(name) for model in models]
        if isinstance(module, nn.Linear):
            joined.set_submodule(name, _Linears(alike))
        elif isinstance(module, Likelihood) and module.noise == "scalar":
            joined.set_submodule(name, _Noises(alike))
        elif isinstance(module, MixturePrior):
            joined.set_submodule(name, _Priors(alike))
        elif [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            raise ValueError(
                f"{name or 'the model'} is a {type(module).__name__} with weights of "
                "its own; expected weights in Linear layers, learned noise and learned "
                "priors only"
            )
    return joined


@torch.no_grad()
def unstack(joined: nn.Module, models: Sequence[nn.Module]) -> None:
    """Copy the weights of a joined model (see `stack`) back into its models.

    Examples
    --------
    >>> pair = [nn.Sequential(nn.Linear(3, 2)) for _ in range(2)]
    >>> unstack(stack(pair[::-1]), pair)  # the first gets the weights of the second
    """
    for name, module in joined.named_modules():
        if isinstance(module, (_Linears, _Noises, _Priors)):
            alike: list[Any] = [model.get_submodule(name) for model in models]
            module.give_back(alike)


def fit_side_by_side(
    models: Sequence[nn.Module],
    loss: Loss,
    x: torch.Tensor,
    *,
    seeds: Sequence[int],
    validation: torch.Tensor | None = None,
    epochs: int,
    batch_size: int = 128,
    lr: float = 1e-3,
) -> list[History]:
    """Train several models of one shape in place, as `training.fit` would train each.

    Model i meets the examples in the order of ``seeds[i]``, which is the order that
    ``fit`` would take. A loss without noise therefore ends at the same weights, up to
    rounding. The noise that a loss draws comes from one generator for all, so with
    noise the runs are as good as those of ``fit``, but other ones.

    Parameters
    ----------
    models
        Models that can be stacked: see `stack`.
    loss
        As for ``fit``, and the mean over the examples of something that each example
        decides by itself: no weight decay, no statistics of the batch.
    x, validation, epochs, batch_size, lr
        As for ``fit``.
    seeds
        One seed a model.

    Returns
    -------
    list of History
        One a model. ``validation`` is each model's own; ``train`` is the mean over all
        models, the same in each.

    Raises
    ------
    ValueError
        For what ``fit`` refuses, for models that cannot be stacked, or if there is not
        one seed a model.
    TrainingStopped
        If the loss becomes NaN or infinite in any of the models.

    Examples
    --------
    >>> from course_utils.models import LinearAutoencoder, reconstruction_loss
    >>> x = torch.randn(256, 5)
    >>> three = [LinearAutoencoder(5, 2) for _ in range(3)]
    >>> histories = fit_side_by_side(
    ...     three, reconstruction_loss, x, seeds=range(3), epochs=4
    ... )
    >>> len(histories), len(histories[0].train)
    (3, 4)
    """
    models, seeds = list(models), [int(seed) for seed in seeds]
    if len(seeds) != len(models):
        raise ValueError(
            f"there are {len(models)} models and {len(seeds)} seeds; expected one seed "
            "a model"
        )
    check_settings(x, validation, epochs, batch_size, lr)
    joined = stack(models).train()
    optimiser = torch.optim.Adam(joined.parameters(), lr=lr, fused=True)
    orders = [torch.Generator().manual_seed(seed) for seed in seeds]
    noise = torch.Generator().manual_seed(seeds[0])
    histories = [History() for _ in models]
    for epoch in range(epochs):
        order = torch.stack([torch.randperm(len(x), generator=g) for g in orders])
        order = order.to(x.device)
        totals: dict[str, float] = {}
        for step, rows in enumerate(order.split(batch_size, dim=1)):
            batch = x.index_select(0, rows.reshape(-1))
            terms = terms_of(loss(joined, batch, noise))
            if not math.isfinite(terms["loss"].item()):
                unstack(joined, models)
                said = (
                    f"the loss is {terms['loss'].item()} in epoch {epoch}, batch "
                    f"{step} (both counted from 0), in at least one of {len(models)} "
                    "models; training each alone, with training.fit, names the cause"
                )
                raise TrainingStopped(said, histories[0])
            optimiser.zero_grad()
            # The mean over S models has gradients S times too small for each.
            (len(models) * terms["loss"]).backward()
            optimiser.step()
            add_terms(totals, terms, rows.shape[1])
        means = {name: total / len(x) for name, total in totals.items()}
        if validation is not None:
            unstack(joined, models)
        for model, seed, history in zip(models, seeds, histories, strict=True):
            note_means(history.train, history.train_terms, means)
            if validation is not None:
                own = evaluate_terms(model, loss, validation, seed)
                note_means(history.validation, history.validation_terms, own)
    unstack(joined, models)
    return histories


def _check_alike(models: Sequence[nn.Module]) -> None:
    if not models:
        raise ValueError("there are no models; expected at least one")
    shapes = [
        {name: tuple(weights.shape) for name, weights in model.state_dict().items()}
        for model in models
    ]
    for place, (model, shape) in enumerate(zip(models, shapes, strict=True)):
        if type(model) is not type(models[0]) or shape != shapes[0]:
            raise ValueError(
                f"model {place} differs in class or in shapes from model 0; expected "
                "models of one class and one shape"
            )


class _Linears(nn.Module):
    """S linear layers: block s of the rows goes through layer s."""

    def __init__(self, layers: Sequence[Any]) -> None:
        super().__init__()
        weight = torch.stack([layer.weight.detach().T for layer in layers])
        self.weight = nn.Parameter(weight.contiguous())  # (S, inputs, outputs)
        self.bias = None
        if layers[0].bias is not None:
            bias = torch.stack([layer.bias.detach() for layer in layers])
            self.bias = nn.Parameter(bias[:, None])  # (S, 1, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        blocks = x.reshape(len(self.weight), -1, x.shape[1])
        if self.bias is None:
            return torch.bmm(blocks, self.weight).reshape(len(x), -1)
        return torch.baddbmm(self.bias, blocks, self.weight).reshape(len(x), -1)

    def give_back(self, layers: Sequence[nn.Linear]) -> None:
        for place, layer in enumerate(layers):
            layer.weight.copy_(self.weight[place].T)
            if self.bias is not None:
                layer.bias.copy_(self.bias[place, 0])


class _Noises(nn.Module):
    """S Gaussian likelihoods, each with one learned σ for all its pixels."""

    def __init__(self, likelihoods: Sequence[Likelihood]) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.stack([one.raw.detach() for one in likelihoods]))
        self.bounded = likelihoods[0].bounded

    def forward(self, outputs: torch.Tensor) -> Gaussian:
        raw = self.raw.repeat_interleave(len(outputs) // len(self.raw))  # (S · N,)
        return Gaussian(outputs, self.bounded(raw)[:, None].expand_as(outputs))

    def give_back(self, likelihoods: Sequence[Likelihood]) -> None:
        for place, one in enumerate(likelihoods):
            one.raw.copy_(self.raw[place])


class _Priors(nn.Module):
    """S learned priors: block s of the codes is judged by prior s."""

    def __init__(self, priors: Sequence[MixturePrior]) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.stack([one.mean.detach() for one in priors]))
        logvars = [one.logvar.detach() for one in priors]
        self.logvar = nn.Parameter(torch.stack(logvars))  # (S, C, K), as the mean
        logits = [one.logits.detach() for one in priors]
        self.logits = nn.Parameter(torch.stack(logits))  # (S, C)

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """Log-density of codes (S · N, K), (S · N,), each under its own prior."""
        blocks = z.reshape(len(self.mean), -1, z.shape[1])
        found = mixture_log_prob(blocks, self.mean, self.logvar, self.logits)
        return found.reshape(-1)

    def give_back(self, priors: Sequence[MixturePrior]) -> None:
        for place, prior in enumerate(priors):
            for name in ("mean", "logvar", "logits"):
                getattr(prior, name).copy_(getattr(self, name)[place])
