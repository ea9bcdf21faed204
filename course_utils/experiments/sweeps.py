"""Sweeps over β × seeds: trained once, kept on the disk, read by the lessons.

A comparison needs several seeds for each setting, which takes minutes. `run` trains
what is not there yet, in parallel, and writes two small files a run: its scores, and
its codes of the whole grid (of a few runs also the weights). `load` reads them. `make
sweeps` runs all of `SWEEPS`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_utils import training
from course_utils.data.factors import FACTORS
from course_utils.data.sprites import Sprites
from course_utils.files import ROOT, write_atomically
from course_utils.metrics import disentanglement
from course_utils.models import VAE, elbo_loss
from course_utils.models.total_correlation import TCLoss
from course_utils.objectives import gaussian_kl
from course_utils.training import checkpoints
from course_utils.training.fit import Loss

LOSSES = ("beta-VAE", "beta-TCVAE")
SCORES = (
    "distortion",
    "rate",
    "MIG",
    "MIG of raw means",
    "MIG of samples",
    "SAP",
    "disentanglement",
    "completeness",
    "informativeness",
    "FactorVAE",
    "beta-VAE score",
)
DRAWS = 8  # of z for each test picture, in the distortion
LEAST = 0.05  # variance of the mean over the grid up to which a unit is unused
AS_IN_LIB: dict[str, Any] = {
    "bins": 20,
    "binning": "width",
}  # disentanglement_lib's MIG
LOCAL = 40  # pictures at whose codes the decoder is taken as linear


@dataclass(frozen=True)
class Sweep:
    """What is trained: one VAE for each loss, β and seed, on a grid of sprites.

    Attributes
    ----------
    name
        Of the sweep, and of its folder.
    losses
        ``"beta-VAE"`` (distortion + β · rate), ``"beta-TCVAE"`` (`TCLoss`: β weighs the
        total correlation alone), or both.
    betas
        β as the loss takes it: distortion and rate are sums over pixels and units, in
        nats, so it is the effective β.
    seeds
        Of the first weights, the order of the examples and the noise.
    size, shapes, scales, orientations, positions
        The grid of sprites: see `course_utils.data.sprites.Sprites`.
    K, hidden
        Sizes of the code and of the encoder's hidden layers.
    epochs, batch_size, lr
        As in `course_utils.training.fit`.
    weights_of
        The runs of which the weights are kept: loss, β and seed of each.

    Raises
    ------
    ValueError
        If a loss is unknown, or there is no loss, β or seed, or one stands twice.

    Examples
    --------
    >>> sweep = Sweep(name="two", betas=(1.0, 4.0), seeds=(0, 1, 2))
    >>> len(sweep.runs()), sweep.runs()[0]
    (12, Run(loss='beta-VAE', beta=1.0, seed=0))
    """

    name: str
    losses: tuple[str, ...] = LOSSES
    betas: tuple[float, ...] = (1.0, 4.0)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    size: int = 32
    shapes: tuple[str, ...] = ("square", "ellipse", "heart")
    scales: int | tuple[float, ...] = 4
    orientations: int | tuple[float, ...] = (0.0,)
    positions: int | tuple[float, ...] = 16
    K: int = 6
    hidden: tuple[int, ...] = (64,)
    epochs: int = 40
    batch_size: int = 64
    lr: float = 3e-3
    weights_of: tuple[tuple[str, float, int], ...] = ()

    def __post_init__(self) -> None:
        for what in ("losses", "betas", "seeds"):
            given = getattr(self, what)
            if not given or len(set(given)) < len(given):
                raise ValueError(
                    f"{what} are {given}; expected at least one, each once"
                )
        unknown = sorted(set(self.losses) - set(LOSSES))
        if unknown:
            raise ValueError(
                f"losses name {unknown[0]!r}; expected {' or '.join(LOSSES)}"
            )

    def grid(self) -> Sprites:
        """Return the grid of sprites."""
        return Sprites(
            self.size,
            shapes=self.shapes,
            scales=self.scales,
            orientations=self.orientations,
            positions=self.positions,
        )

    def runs(self) -> list[Run]:
        """List the runs: losses slowest, seeds fastest."""
        return [
            Run(loss, float(beta), seed)
            for loss in self.losses
            for beta in self.betas
            for seed in self.seeds
        ]


class Run(NamedTuple):
    """One run of a sweep."""

    loss: str
    beta: float
    seed: int

    @property
    def file(self) -> str:
        """Name of its files, without the ending."""
        return f"{self.loss}_beta_{self.beta:g}_seed_{self.seed}"


@dataclass(frozen=True)
class Entry:
    """What is kept of one run.

    Attributes
    ----------
    run
        Its loss, β and seed.
    scores
        A number for each of `SCORES`. Distortion and rate are those of the test part,
        in nats a picture, the distortion as a mean over 8 draws of z. All others are of
        the kept codes, on the whole grid, with the default estimators; a unit of which
        the mean has a variance of at most 0.05 over the grid counts as unused and is
        held at 0 (see `used_means`). Except "MIG of raw means", which is that of
        disentanglement_lib (means as they are, 20 bins of equal width), and "MIG of
        samples", that of Chen et al. (an integral over q).
    kl
        KL of each unit, mean over the test part, (K,), in nats. Their sum is the rate.
    gaps
        The information gap of each factor that varies; their mean is the MIG.
    seconds
        Seconds of the processor for the training. Nothing compares them.
    versions
        Of Python and torch, and the kind of processor.
    """

    run: Run
    scores: dict[str, float]
    kl: tuple[float, ...]
    gaps: dict[str, float]
    seconds: float
    versions: dict[str, str]


class Codes(NamedTuple):
    """What one run says of the whole grid, float32 (as kept: float16, see precision).

    Attributes
    ----------
    mu, logvar
        Means and log-variances of q(z|x), (N, K).
    precision
        Of the posterior at `local_rows`, (40, K, K): see `local_precision`.
    """

    mu: Tensor
    logvar: Tensor
    precision: Tensor


# --- the sweep of the lessons -------------------------------------------------------

# Half of the positions in either direction: from end to end two sprites may not overlap
# at all, and a network of this size then bends the way between them over several units.
SWEEPS = {
    "sprites": Sweep(
        name="sprites",
        betas=(1.0, 2.0, 4.0, 8.0, 16.0),
        positions=tuple(0.25 + place / 16 for place in range(9)),
        hidden=(64, 32),
        epochs=80,
        weights_of=(
            ("beta-VAE", 1.0, 0),
            ("beta-VAE", 4.0, 0),
            ("beta-VAE", 16.0, 0),
            ("beta-TCVAE", 16.0, 1),
        ),
    ),
}


# --- one run ------------------------------------------------------------------------


def varying(grid: Sprites) -> tuple[list[int], list[str], list[int]]:
    """Return which factors of a grid vary: their places, names, numbers of levels.

    Examples
    --------
    >>> varying(SWEEPS["sprites"].grid())[1]
    ['shape', 'scale', 'pos_x', 'pos_y']
    """
    places = [place for place, size in enumerate(grid.sizes) if size > 1]
    return places, [FACTORS[p] for p in places], [grid.sizes[p] for p in places]


def train(sweep: Sweep, loss: str, beta: float, seed: int) -> tuple[VAE, Entry, Codes]:
    """Train one run of a sweep, and measure it. Nothing is written.

    The same call gives the same numbers on the same machine. Another one rounds
    differently, and training enlarges that: weights changed by a millionth at the start
    moved the distortion by up to 0.1 nats at β = 1 and by up to 1 at β = 4 (seed 0).

    Parameters
    ----------
    sweep
        Its grid, sizes and settings.
    loss, beta, seed
        Which run; it need not be one of the sweep's own.

    Returns
    -------
    model, entry, codes
        The model has its weights rounded to float16, and the codes of the grid are
        rounded so too, as they are kept; both were measured so.

    Raises
    ------
    ValueError
        If there is no such loss, or β is out of range.

    Examples
    --------
    >>> tiny = Sweep(name="tiny", size=8, scales=2, positions=6, hidden=(8,), epochs=1)
    >>> model, entry, codes = train(tiny, "beta-VAE", beta=4.0, seed=0)
    >>> len(entry.kl), sorted(entry.gaps), codes.mu.shape
    (6, ['pos_x', 'pos_y', 'scale', 'shape'], torch.Size([216, 6]))
    """
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}; expected {' or '.join(LOSSES)}")
    grid = sweep.grid()
    x = grid[:].x
    part = x[grid.split("train")]
    objective: Loss = functools.partial(elbo_loss, beta=beta)
    if loss == "beta-TCVAE":
        objective = TCLoss(len(part), beta)
    began = time.process_time()
    with alone(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VAE(x.shape[1], sweep.K, sweep.hidden)
        training.fit(
            model, objective, part, epochs=sweep.epochs, seed=seed,
            batch_size=sweep.batch_size, lr=sweep.lr,
        )  # fmt: skip
        seconds = time.process_time() - began
        model.half().float()
        codes = _codes(model, x, beta if loss == "beta-VAE" else 1.0)
        one = Run(loss, float(beta), seed)
        entry = _measure(model, codes, grid, x, one, seconds)
    return model, entry, codes


def used_means(mu: Tensor) -> Tensor:
    """Return the means of q(z|x), (N, K), with 0 for units that are not used.

    The mean of a collapsed unit moves by next to nothing, but not at random, and binned
    information does not ask by how much: such a unit would count as a second one that
    tells the factor, though its samples are noise. Here a unit is unused if the
    variance of its mean over the rows is at most 0.05.

    Examples
    --------
    >>> used_means(torch.tensor([[0.1, -1.0], [-0.1, 1.0]]))
    tensor([[ 0., -1.],
            [ 0.,  1.]])
    """
    return torch.where(mu.var(0, correction=0) > LEAST, mu, torch.zeros_like(mu))


def local_rows(count: int) -> Tensor:
    """Draw the rows of ``count`` pictures at which `local_precision` is kept."""
    generator = torch.Generator().manual_seed(5)
    return torch.randperm(count, generator=generator)[:LOCAL]


def local_precision(model: VAE, z: Tensor, weight: float = 1.0) -> Tensor:
    """Precision of the posterior where the decoder is taken as linear: (N, K, K).

    I + Jᵀ diag(x̂ (1 − x̂)) J / weight at codes z (N, K), with J the Jacobian of the
    logits: what I + WᵀW/σ² is to a linear decoder with Gaussian pixels. The weight is
    that of the rate in the loss, β for a β-VAE.

    Examples
    --------
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator object at ...>
    >>> P = local_precision(VAE(4, 2), torch.zeros(1, 2))
    >>> P.shape, bool((P.diagonal(dim1=1, dim2=2) >= 1).all())
    (torch.Size([1, 2, 2]), True)
    """

    def logits(code: Tensor) -> Tensor:
        pixels: Any = model.decode(code[None])
        return pixels.logits[0]

    J = torch.func.vmap(torch.func.jacfwd(logits))(z)
    x_hat = model.decode(z).mean[:, :, None]
    inner = J.mT @ (x_hat * (1 - x_hat) * J)
    return (torch.eye(z.shape[1], dtype=z.dtype) + inner / weight).detach()


@torch.no_grad()
def _codes(model: VAE, x: Tensor, weight: float) -> Codes:
    """Codes of the whole grid, rounded as they are kept."""
    mu, logvar = (given.half().float() for given in model.encode(x))
    return Codes(mu, logvar, local_precision(model, mu[local_rows(len(x))], weight))


@torch.no_grad()
def _measure(
    model: VAE, codes: Codes, grid: Sprites, x: Tensor, run: Run, seconds: float
) -> Entry:
    places, names, levels = varying(grid)
    factors = grid.factors(slice(None)).classes[:, places]
    z = used_means(codes.mu)
    unordered = [names.index("shape")] if "shape" in names else []
    test = grid.split("test")
    draws = [
        training.evaluate_terms(model, elbo_loss, x[test], seed)
        for seed in range(DRAWS)
    ]
    mu, logvar = model.encode(x[test])
    units = [gaussian_kl(mu[:, [k]], logvar[:, [k]]).mean() for k in range(model.K)]
    kl = torch.stack(units)
    gaps = disentanglement.information_gaps(z, factors)
    dci = disentanglement.dci(z, factors, unordered)
    represent = disentanglement.from_table(z, levels)
    scores = {
        "distortion": sum(terms["distortion"] for terms in draws) / DRAWS,
        "rate": kl.sum().item(),
        "MIG": gaps.mean().item(),
        "MIG of raw means": disentanglement.mig(codes.mu, factors, **AS_IN_LIB),
        "MIG of samples": disentanglement.mig(codes.mu, factors, logvar=codes.logvar),
        "SAP": disentanglement.sap(z, factors, unordered),
        "disentanglement": dci.disentanglement,
        "completeness": dci.completeness,
        "informativeness": dci.informativeness,
        "FactorVAE": disentanglement.factor_vae_score(represent, levels),
        "beta-VAE score": disentanglement.beta_vae_score(represent, levels),
    }
    return Entry(
        run,
        {name: round(value, 6) for name, value in scores.items()},
        tuple(round(value, 6) for value in kl.tolist()),
        {n: round(value, 6) for n, value in zip(names, gaps.tolist(), strict=True)},
        round(seconds, 1),
        {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "processor": platform.machine(),
        },
    )


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Stay on one thread of one process: the runs are what goes in parallel.

    torch's second thread only waits on networks as small as these, and scikit-learn's
    forests would send their trees to the very cluster that trains the runs.
    """
    import joblib

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with joblib.parallel_config(backend="sequential"):
            yield
    finally:
        torch.set_num_threads(before)


# --- all runs -----------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """The entries of a sweep, run by run, and where its codes and weights are.

    Attributes
    ----------
    sweep
        The sweep.
    entries
        In the order of ``sweep.runs()``.
    folder
        Where the files are.
    """

    sweep: Sweep
    entries: tuple[Entry, ...]
    folder: Path

    def entry(self, loss: str, beta: float, seed: int = 0) -> Entry:
        """Return one entry.

        Raises
        ------
        ValueError
            If the sweep has no such run.
        """
        wanted = Run(loss, float(beta), seed)
        for entry in self.entries:
            if entry.run == wanted:
                return entry
        raise ValueError(
            f"the sweep {self.sweep.name!r} has no run {wanted}; it has losses "
            f"{self.sweep.losses}, betas {self.sweep.betas}, seeds {self.sweep.seeds}"
        )

    def scores(self, score: str, loss: str = "beta-VAE") -> Tensor:
        """Return one score of all runs of a loss, float64 (betas, seeds).

        Parameters
        ----------
        score
            One of `SCORES`.
        loss
            Which loss the models were trained with.

        Raises
        ------
        ValueError
            If there is no such score, or the sweep has no such loss.
        """
        if score not in SCORES:
            raise ValueError(f"score is {score!r}; expected one of {', '.join(SCORES)}")
        if loss not in self.sweep.losses:
            raise ValueError(
                f"loss is {loss!r}; the sweep has {', '.join(self.sweep.losses)}"
            )
        mine = [e.scores[score] for e in self.entries if e.run.loss == loss]
        shape = (len(self.sweep.betas), len(self.sweep.seeds))
        return torch.tensor(mine, dtype=torch.float64).reshape(shape)

    def kl(self, loss: str = "beta-VAE") -> Tensor:
        """Return the KL of each unit, float64 (betas, seeds, K), in nats."""
        mine = [entry.kl for entry in self.entries if entry.run.loss == loss]
        shape = (len(self.sweep.betas), len(self.sweep.seeds), self.sweep.K)
        return torch.tensor(mine, dtype=torch.float64).reshape(shape)

    def codes(self, loss: str, beta: float, seed: int = 0) -> Codes:
        """Return the codes of the whole grid that one run gives.

        Raises
        ------
        ValueError
            If the sweep has no such run, or its codes are damaged.
        """
        return _read_codes(self.sweep, self.entry(loss, beta, seed).run, self.folder)

    def model(self, loss: str, beta: float, seed: int = 0) -> VAE:
        """Return a trained model of which the weights are kept.

        Raises
        ------
        ValueError
            If the sweep has no such run, or its weights are not kept or damaged.
        """
        run = self.entry(loss, beta, seed).run
        if run not in self.sweep.weights_of:
            raise ValueError(
                f"weights are kept of the runs {self.sweep.weights_of}, not of {run}"
            )
        return _read_weights(self.sweep, run, self.folder)


def run(
    sweep: Sweep,
    workers: int | None = 2,
    folder: str | Path | None = None,
    after_each: Callable[[Entry], object] | None = None,
) -> Results:
    """Train every run of a sweep that is not on the disk yet, in parallel.

    A run that is there, undamaged and of the same configuration, is kept: an
    interrupted sweep goes on where it was. A damaged one is made anew. Each file is
    written whole or not at all, by the caller alone, as soon as its run is ready.

    Parameters
    ----------
    sweep
        What to train.
    workers
        How many processes at a time; 1 trains in this one. `None` leaves it to joblib's
        context.
    folder
        Where to write; ``data/sweeps/<name>`` of the course by default.
    after_each
        Called with each new entry, once it is written.

    Returns
    -------
    Results
        All entries, old and new.

    Raises
    ------
    ValueError
        If a file there is of another configuration: it is neither used nor replaced.

    Notes
    -----
    The work goes through ``joblib.Parallel``, so the same call runs on a Dask cluster:
    ``SCHEDULER=tcp://host:8786 make sweeps``. Its workers need this package, but no
    disk in common.

    Start the workers with one thread each (``dask worker --nthreads 1``), and use no
    backend of threads: each run seeds torch's generator, which threads share.

    Examples
    --------
    >>> sweep = Sweep(
    ...     name="tiny", losses=("beta-VAE",), betas=(1.0,), seeds=(0, 1), size=8,
    ...     scales=2, positions=6, hidden=(8,), epochs=1,
    ... )
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = run(sweep, workers=1, folder=folder)
    ...     again = run(sweep, workers=1, folder=folder)  # trains nothing
    >>> again.entries == first.entries, first.scores("rate").shape
    (True, torch.Size([1, 2]))
    """
    import joblib

    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise ValueError(f"workers is {workers!r}; expected a whole number from 1")
    place = _folder(sweep.name) if folder is None else Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    missing = [one for one in sweep.runs() if not _intact(sweep, one, place)]
    missing.sort(key=lambda one: one.seed)  # stopped early, it has whole seeds
    if missing:
        parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
        for entry, tensors in parallel(
            joblib.delayed(_work)(sweep, one) for one in missing
        ):
            file = place / f"{entry.run.file}.safetensors"
            checkpoints.save(file, tensors, _config(sweep, entry.run))
            _write(sweep, entry, place)
            if after_each is not None:
                after_each(entry)
    return _results(sweep, place)


def load(name: str = "sprites", folder: str | Path | None = None) -> Results:
    """Read a sweep from the disk; it trains nothing.

    Parameters
    ----------
    name
        One of `SWEEPS`.
    folder
        Where its files are; ``data/sweeps/<name>`` of the course by default.

    Returns
    -------
    Results
        ``.scores("MIG", "beta-VAE")`` is (betas, seeds), ``.kl("beta-VAE")`` (betas,
        seeds, K), ``.entry("beta-VAE", 4.0, seed=0)`` one run, ``.codes("beta-VAE",
        4.0, seed=0)`` its codes, ``.model("beta-VAE", 4.0)`` its trained VAE, if kept;
        ``.sweep`` the settings, ``.sweep.grid()`` the sprites.

    Raises
    ------
    ValueError
        If there is no such sweep, or a file is missing, damaged, or of another
        configuration.

    Examples
    --------
    >>> results = load("sprites")
    >>> results.scores("MIG", "beta-VAE").shape
    torch.Size([5, 5])
    """
    if name not in SWEEPS:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(SWEEPS)}")
    sweep = SWEEPS[name]
    return _results(sweep, _folder(name) if folder is None else Path(folder))


def _folder(name: str) -> Path:
    return ROOT / "data" / "sweeps" / name


def _work(sweep: Sweep, one: Run) -> tuple[Entry, dict[str, Tensor]]:
    model, entry, codes = train(sweep, *one)
    tensors = {CODE + "mu": codes.mu.half(), CODE + "logvar": codes.logvar.half()}
    tensors[CODE + "precision"] = codes.precision
    if one in sweep.weights_of:
        tensors |= {name: t.half() for name, t in model.state_dict().items()}
    return entry, tensors


def _results(sweep: Sweep, folder: Path) -> Results:
    entries = tuple(_read(sweep, one, folder) for one in sweep.runs())
    return Results(sweep, entries, folder)


# --- files --------------------------------------------------------------------------


CODE = "codes."  # before the names of tensors that are no weights


class Damaged(ValueError):
    """A file that is missing, cut short or altered: `run` makes it anew."""


def _config(sweep: Sweep, one: Run) -> dict[str, Any]:
    """All that decides the numbers of one run, as JSON has it."""
    left_out = ("name", "losses", "betas", "seeds", "weights_of")
    settings = {k: v for k, v in asdict(sweep).items() if k not in left_out}
    return json.loads(json.dumps({**settings, **one._asdict()}))


def _intact(sweep: Sweep, one: Run, folder: Path) -> bool:
    try:
        _read(sweep, one, folder)
        _read_codes(sweep, one, folder)
        if one in sweep.weights_of:
            _read_weights(sweep, one, folder)
    except Damaged:
        return False
    return True


def _write(sweep: Sweep, entry: Entry, folder: Path) -> None:
    content = {"config": _config(sweep, entry.run), **asdict(entry)}
    del content["run"]
    content["sha256"] = _checksum(content)
    path = folder / f"{entry.run.file}.json"
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def _read(sweep: Sweep, one: Run, folder: Path) -> Entry:
    path = folder / f"{one.file}.json"
    again = "`make sweeps` makes it anew"
    if not path.is_file():
        raise Damaged(f"there is no {path}; {again}")
    try:
        content = json.loads(path.read_text("utf-8"))
        intact = content.pop("sha256") == _checksum(content)
        there = content.pop("config")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{path} is damaged ({error}); {again}") from error
    if not intact:
        raise Damaged(f"{path} is damaged: it does not match its checksum; {again}")
    _agree(path, there, _config(sweep, one))
    content["kl"] = tuple(content["kl"])
    return Entry(run=one, **content)


def _agree(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    for key in sorted(set(there) | set(here)):
        if there.get(key) != here.get(key):
            raise ValueError(
                f"{path} is of another configuration: {key} is {there.get(key)!r} "
                f"there, {here.get(key)!r} here. Delete the folder to train anew, or "
                "give the sweep another name"
            )


def _read_tensors(sweep: Sweep, one: Run, folder: Path) -> dict[str, Tensor]:
    path = folder / f"{one.file}.safetensors"
    try:
        stored = checkpoints.load(path)
    except (FileNotFoundError, ValueError) as error:
        raise Damaged(f"{error}; `make sweeps` makes it anew") from error
    _agree(path, stored.config, _config(sweep, one))
    return {name: tensor.float() for name, tensor in stored.tensors.items()}


def _read_codes(sweep: Sweep, one: Run, folder: Path) -> Codes:
    tensors = _read_tensors(sweep, one, folder)
    return Codes(*(tensors[CODE + name] for name in Codes._fields))


def _read_weights(sweep: Sweep, one: Run, folder: Path) -> VAE:
    tensors = _read_tensors(sweep, one, folder)
    weights = {name: t for name, t in tensors.items() if not name.startswith(CODE)}
    if not weights:
        raise Damaged(f"{one.file} has no weights; `make sweeps` makes it anew")
    with torch.random.fork_rng(devices=[]):
        model = VAE(sweep.size**2, sweep.K, sweep.hidden)
    model.load_state_dict(weights)
    return model.eval()


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
