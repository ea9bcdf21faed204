"""Autoencoders: x → z → x̂ by an encoder and a decoder, and their loss."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from course_utils.arguments import whole_numbers
from course_utils.objectives import squared_error


class EncoderDecoder(nn.Module):
    """x → z → x̂ by an encoder and a decoder, which the subclass builds."""

    encoder: nn.Module
    decoder: nn.Module

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Map data (N, D) to codes (N, K)."""
        return self.encoder(x)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Map codes (N, K) to data (N, D)."""
        return self.decoder(z)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reconstruct data (N, D)."""
        return self.decode(self.encode(x))


class LinearAutoencoder(EncoderDecoder):
    """x → z → x̂ with one linear map each way.

    Parameters
    ----------
    D, K
        Sizes of the data and of the code.
    bias
        Whether both maps have a bias. Without them the data should be centred.

    Raises
    ------
    ValueError
        If D or K is not a whole number from 1.

    Examples
    --------
    >>> model = LinearAutoencoder(D=64, K=3)
    >>> model(torch.zeros(5, 64)).shape
    torch.Size([5, 64])
    """

    def __init__(self, D: int, K: int, bias: bool = True) -> None:
        super().__init__()
        whole_numbers(D=D, K=K)
        self.encoder = nn.Linear(D, K, bias=bias)
        self.decoder = nn.Linear(K, D, bias=bias)


def mlp(sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Stack linear layers of the given sizes, with an activation between them.

    Raises
    ------
    ValueError
        If there are fewer than two sizes, or one is not a whole number from 1.

    Examples
    --------
    >>> mlp([64, 32, 2])
    Sequential(
      (0): Linear(in_features=64, out_features=32, bias=True)
      (1): ReLU()
      (2): Linear(in_features=32, out_features=2, bias=True)
    )
    """
    if len(sizes) < 2:
        raise ValueError(
            f"sizes is {list(sizes)}; expected at least an input and output"
        )
    whole_numbers(**{f"sizes[{place}]": size for place, size in enumerate(sizes)})
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class Autoencoder(EncoderDecoder):
    """x → z → x̂ with a multilayer perceptron each way.

    The encoder has the hidden sizes in order, the decoder in reverse. Codes and
    reconstructions are linear outputs: no activation bounds them.

    Parameters
    ----------
    D, K
        Sizes of the data and of the code.
    hidden
        Sizes of the hidden layers of the encoder.
    activation
        The activation between layers.

    Raises
    ------
    ValueError
        If a size is not a whole number from 1.

    Examples
    --------
    >>> model = Autoencoder(D=64, K=2, hidden=(32,))
    >>> model.encode(torch.zeros(5, 64)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        D: int,
        K: int,
        hidden: Sequence[int] = (64, 32),
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        whole_numbers(D=D, K=K)
        whole_numbers(**{f"hidden[{place}]": size for place, size in enumerate(hidden)})
        self.encoder = mlp([D, *hidden, K], activation)
        self.decoder = mlp([K, *reversed(hidden), D], activation)


def reconstruction_loss(
    model: nn.Module, batch: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Squared error of a model's reconstruction of a batch (N, D)."""
    return squared_error(batch, model(batch))


def denoising_at(
    sigma: float,
) -> Callable[[nn.Module, torch.Tensor, torch.Generator], torch.Tensor]:
    """Build the loss of a denoising autoencoder, for `training.fit`.

    The model sees x + σε, with fresh noise for every batch, and is compared with the
    clean x (Vincent et al. 2008).

    Parameters
    ----------
    sigma
        Standard deviation of the noise, in the units of the data.

    Returns
    -------
    Callable
        ``loss(model, batch, generator)``: one number, the squared error summed over the
        D dimensions and averaged over the batch (N, D).

    Raises
    ------
    ValueError
        If ``sigma`` is not a positive number.

    Examples
    --------
    >>> loss, copy = denoising_at(0.5), nn.Identity()
    >>> x, generator = torch.zeros(1000, 8), torch.Generator().manual_seed(0)
    >>> round(loss(copy, x, generator).item())  # a copier pays D σ²
    2
    """
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma is {sigma}; expected a finite number above 0")

    def loss(
        model: nn.Module, batch: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        eps = torch.randn(batch.shape, generator=generator)
        return squared_error(batch, model(batch + sigma * eps))

    return loss
