"""The gallery: one β-VAE of 64×64 sprites, trained for long.

`train` goes on where it was stopped: its whole state lies in one file, written whole or
not at all, and what a step sees depends on the number of the step alone. So it may be
killed at any moment, and ends with the same bits. ``make gallery`` trains and publishes
the weights in ``data/gallery.safetensors``; `load` reads them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from course_utils.data.sprites import Sprites, render
from course_utils.experiments.stored import rounded
from course_utils.files import ROOT
from course_utils.metrics import disentanglement
from course_utils.models.likelihoods import Likelihood
from course_utils.models.vae import Variational, elbo_loss
from course_utils.objectives import gaussian_kl_terms
from course_utils.training import checkpoints

STATE = ROOT / "data" / "cache" / "gallery_state.safetensors"
PLACE = ROOT / "data" / "gallery.safetensors"
AVERAGE, FIRST, SECOND = "average.", "first.", "second."


@dataclass(frozen=True)
class Gallery:
    """What is trained, and on what.

    Attributes
    ----------
    size
        Side of a picture in pixels, a multiple of 16.
    scales, orientations, pos_x, pos_y
        The grid of sprites, of all three shapes: numbers of levels, and of the
        positions also from where to where. The way along x is longer than along y: two
        positions of equal right have no axes of their own (lesson 10, section 9).
    K, channels, hidden, width
        Sizes of the code, of the encoder's three convolutions and its dense layer, and
        of the decoder's layers.
    beta, beta_first, steps_down
        The weight of the rate falls from the first to the last β, by equal factors.
    batch_size, lr, decay
        Of Adam, and of the running average of the weights that is published.
    seed
        Of the first weights, the pictures and the noise.
    """

    size: int = 64
    scales: int = 6
    orientations: int = 40
    pos_x: tuple[int, float, float] = (32, 0.0, 1.0)
    pos_y: tuple[int, float, float] = (16, 0.25, 0.75)
    K: int = 10
    channels: tuple[int, int, int] = (32, 32, 64)
    hidden: int = 256
    width: int = 64
    beta: float = 4.0
    beta_first: float = 30.0
    steps_down: int = 1500
    batch_size: int = 64
    lr: float = 1e-3
    decay: float = 0.998
    seed: int = 0

    def grid(self) -> Sprites:
        """Return the sprites of the grid, drawn when asked for."""

        def levels(count: int, first: float, last: float) -> list[float]:
            return [first + (last - first) * i / (count - 1) for i in range(count)]

        return Sprites(
            self.size,
            scales=self.scales,
            orientations=self.orientations,
            pos_x=levels(*self.pos_x),
            pos_y=levels(*self.pos_y),
        )

    def beta_at(self, step: int) -> float:
        """Return the weight of the rate at a step.

        Examples
        --------
        >>> falling = Gallery(beta=4.0, beta_first=16.0, steps_down=100)
        >>> falling.beta_at(0), falling.beta_at(50), falling.beta_at(1000)
        (16.0, 8.0, 4.0)
        """
        left = max(0.0, 1 - step / self.steps_down) if self.steps_down else 0.0
        return self.beta * (self.beta_first / self.beta) ** left


GALLERY = Gallery()


class BroadcastDecoder(nn.Module):
    """Codes (N, K) to logits (N, D): a small network asked at each place of a picture.

    It gets the code and the place, x and y in [−1, 1], and answers with 4×4 pixels.
    Moving a sprite is then a shift of what it is asked, so positions are learned first
    and apart from the rest (a spatial broadcast decoder: N. Watters, L. Matthey, C.
    Burgess and A. Lerchner, 2019; theirs answers with features for convolutions).

    Examples
    --------
    >>> BroadcastDecoder(side=16, K=3, width=8)(torch.zeros(5, 3)).shape
    torch.Size([5, 256])
    """

    where: Tensor

    def __init__(self, side: int, K: int, width: int) -> None:
        super().__init__()
        self.places = side // 4
        line = torch.linspace(-1, 1, self.places)
        y, x = torch.meshgrid(line, line, indexing="ij")
        where = torch.stack([x.flatten(), y.flatten()], 1)  # (places², 2)
        self.register_buffer("where", where, persistent=False)
        self.of_code, self.of_place = nn.Linear(K, width), nn.Linear(2, width)
        self.rest = nn.Sequential(
            nn.ReLU(),
            *(
                layer
                for _ in range(3)
                for layer in (nn.Linear(width, width), nn.ReLU())
            ),
            nn.Linear(width, 16),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map codes (N, K) to logits (N, D)."""
        asked = self.of_code(z)[:, None] + self.of_place(self.where)
        blocks = self.rest(asked).reshape(-1, self.places, self.places, 4, 4)
        return blocks.transpose(2, 3).reshape(len(z), -1)


class GalleryVAE(Variational):
    """A VAE of square black-and-white pictures, as rows (N, D).

    The encoder's first convolution strides by 4, the next two by 2, then a dense layer;
    the decoder is a `BroadcastDecoder`.

    Examples
    --------
    >>> model = GalleryVAE(Gallery(size=16, channels=(2, 2, 2), hidden=8, width=8, K=3))
    >>> model.reconstruct(torch.zeros(5, 256)).shape
    torch.Size([5, 256])
    """

    def __init__(self, settings: Gallery) -> None:
        super().__init__()
        side, K, hidden = settings.size, settings.K, settings.hidden
        one, two, three = settings.channels
        small = side // 16
        flat = three * small**2
        self.K = K
        self.likelihood = Likelihood(side**2, "bernoulli", "fixed", 1.0, 0.01)
        self.encoder = nn.Sequential(
            nn.Unflatten(1, (1, side, side)),
            nn.Conv2d(1, one, 8, stride=4, padding=2),
            nn.ReLU(),
            nn.Conv2d(one, two, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(two, three, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(flat, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * K),
        )
        self.decoder = BroadcastDecoder(side, K, settings.width)


def build(settings: Gallery = GALLERY) -> GalleryVAE:
    """Return the model with its first weights; torch's generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return GalleryVAE(settings)


class Progress(NamedTuple):
    """Where a training stands."""

    steps: int
    seconds: float  # of the processor, as far as they were counted
    log: tuple[dict[str, float], ...]  # what `measure` said at each saving


def train(
    steps: int,
    settings: Gallery = GALLERY,
    place: Path = STATE,
    every: int = 500,
    after_each: Callable[[dict[str, float]], object] | None = None,
) -> Progress:
    """Train until so many steps are done, from where ``place`` says it was stopped.

    Parameters
    ----------
    steps
        Counted from the very first; nothing happens if as many are done.
    settings
        What is trained.
    place
        The file of the state; its folder is made.
    every
        The state is measured and saved after so many steps, and at the end.
    after_each
        Called with what was measured, once it is saved.

    Returns
    -------
    Progress

    Raises
    ------
    ValueError
        If ``place`` holds a training with other settings, or is damaged.

    Notes
    -----
    The published weights are a running average, w̄ ← d w̄ + (1 − d) w after each step: as
    calm as after a falling step size, at whatever step one stops (B. Polyak and A.
    Juditsky, 1992, average evenly). The first averages lean on the first steps:
    d is at most step / (step + 10).
    """
    model, grid = build(settings), settings.grid()
    adam = torch.optim.Adam(model.parameters(), lr=settings.lr, fused=True)
    average = {name: w.detach().clone() for name, w in model.named_parameters()}
    done, seconds, log = _restore(place, settings, model, adam, average)
    began = time.process_time() - seconds
    for step in range(done, steps):
        generator = torch.Generator().manual_seed(settings.seed * 10**9 + step)
        rows = torch.randint(len(grid), (settings.batch_size,), generator=generator)
        terms = elbo_loss(model, grid[rows].x, generator, settings.beta_at(step))
        adam.zero_grad()
        terms["loss"].backward()
        adam.step()
        with torch.no_grad():
            share = 1 - min(settings.decay, step / (step + 10))
            for name, weights in model.named_parameters():
                average[name].lerp_(weights, share)
        if (step + 1) % every == 0 or step + 1 == steps:
            done, seconds = step + 1, time.process_time() - began
            found = {"step": done, "beta": settings.beta_at(step)}
            found |= measure(_with_weights(settings, average), grid)
            log = (*log, found)
            progress = Progress(done, seconds, log)
            _save(place, settings, model, adam, average, progress)
            if after_each is not None:
                after_each(found)
    return Progress(done, seconds, log)


@torch.no_grad()
def measure(model: Variational, grid: Sprites, count: int = 2000) -> dict[str, float]:
    """Distortion, rate, KL of each latent and MIG of means on sprites drawn once.

    In nats a picture; the distortion is of one draw of z. Latents with a KL below
    0.05 nat are held at 0 in the MIG (``"MIG shape"`` … are the leads of each factor).
    """
    rows = torch.randint(
        len(grid), (count,), generator=torch.Generator().manual_seed(99)
    )
    x, factors = grid[rows]
    terms = elbo_loss(model, x, torch.Generator().manual_seed(0))
    mu, logvar = model.encode(x)
    kl = gaussian_kl_terms(mu, logvar).mean(0)
    classes = factors.classes[:, 1:]
    z = torch.where(kl > 0.05, mu, torch.zeros_like(mu))
    gaps = disentanglement.information_gaps(z, classes)
    found = {"distortion": float(terms["distortion"]), "rate": float(terms["rate"])}
    found |= {f"KL {k}": float(nats) for k, nats in enumerate(kl)}
    names = ("shape", "scale", "orientation", "pos_x", "pos_y")
    found |= {f"MIG {n}": float(gap) for n, gap in zip(names, gaps, strict=True)}
    found["MIG"] = float(gaps.mean())
    return rounded(found, 4)


def turned_alike(settings: Gallery = GALLERY) -> tuple[Tensor, Tensor]:
    """Tell which turned sprites are the same picture, at one scale and place.

    Returns
    -------
    alike, orientation
        (3 · orientations,) each: the class of pictures that cannot be told apart, and
        the level of the orientation. A square repeats after a quarter turn, an ellipse
        after half a turn, a heart never.

    Examples
    --------
    >>> alike, orientation = turned_alike(Gallery(size=16, orientations=4))
    >>> len(alike), len(alike.unique())  # one square, two ellipses, four hearts
    (12, 7)
    """
    count = settings.orientations
    levels = torch.arange(count)
    factors = torch.tensor([[1.0, 1.0, 0.8, 0.0, 0.5, 0.5]]).repeat(3 * count, 1)
    factors[:, 1] = torch.arange(1.0, 4.0).repeat_interleave(count)
    factors[:, 3] = (levels * 2 * torch.pi / count).repeat(3)
    pictures = render(factors, settings.size, "grey")
    return torch.unique(pictures, dim=0, return_inverse=True)[1], levels.repeat(3)


# --- the files ----------------------------------------------------------------------


def publish(place: Path = STATE, target: Path = PLACE) -> Path:
    """Write the averaged weights of a stopped training as float16, with their story.

    Raises
    ------
    FileNotFoundError
        If nothing was trained yet.
    ValueError
        If the state is damaged.
    """
    stored = checkpoints.load(place)
    weights = {
        name.removeprefix(AVERAGE): tensor.half()
        for name, tensor in stored.tensors.items()
        if name.startswith(AVERAGE)
    }
    return checkpoints.save(target, weights, stored.config)


class Published(NamedTuple):
    """The model of the gallery and how it came about."""

    model: GalleryVAE
    settings: Gallery
    progress: Progress


def load(place: Path = PLACE) -> Published:
    """Read the published model: in float32, without gradients.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged.
    """
    stored = checkpoints.load(place)
    settings = _settings_of(stored.config)
    model = _with_weights(settings, {n: w.float() for n, w in stored.tensors.items()})
    return Published(model, settings, _progress_of(stored.config))


def _with_weights(settings: Gallery, weights: Mapping[str, Tensor]) -> GalleryVAE:
    model = build(settings)
    model.load_state_dict(dict(weights))
    return model.requires_grad_(False).eval()


def _settings_of(config: Mapping[str, Any]) -> Gallery:
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in config["settings"].items()
    }
    return Gallery(**given)


def _progress_of(config: Mapping[str, Any]) -> Progress:
    return Progress(config["steps"], config["seconds"], tuple(config["log"]))


def _save(
    place: Path,
    settings: Gallery,
    model: nn.Module,
    adam: torch.optim.Adam,
    average: Mapping[str, Tensor],
    progress: Progress,
) -> None:
    tensors: dict[str, Tensor] = {}
    for name, weights in model.named_parameters():
        moments = adam.state[weights]
        tensors[name] = weights
        tensors[AVERAGE + name] = average[name]
        tensors[FIRST + name] = moments["exp_avg"]
        tensors[SECOND + name] = moments["exp_avg_sq"]
    place.parent.mkdir(parents=True, exist_ok=True)
    config = {"settings": asdict(settings), **progress._asdict()}
    checkpoints.save(place, tensors, config)


def _restore(
    place: Path,
    settings: Gallery,
    model: nn.Module,
    adam: torch.optim.Adam,
    average: dict[str, Tensor],
) -> Progress:
    """Put everything where a saved state has it; without one leave it as it is."""
    if not place.exists():
        return Progress(0, 0.0, ())
    tensors, config = checkpoints.load(place)
    if _settings_of(config) != settings:
        raise ValueError(
            f"{place} is a training with other settings ({config['settings']}); "
            "delete it to train anew"
        )
    progress = _progress_of(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.copy_(tensors[name])
            average[name].copy_(tensors[AVERAGE + name])
            adam.state[weights] = {
                "step": torch.tensor(float(progress.steps)),
                "exp_avg": tensors[FIRST + name],
                "exp_avg_sq": tensors[SECOND + name],
            }
    return progress
