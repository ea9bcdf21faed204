"""What is asked of a module that a build exercise returns.

A build exercise is a function from sizes (tensors, a generator) to a module. Its layers
may be written and named in any way, so four things are asked of it, and no more: its
forward, its state dict read, its state dict loaded, and ``step(*inputs)``, which makes
one optimiser step and returns the loss. `Build` turns them into named tensors, with the
same weights, data and noise for every version, and the engine compares those.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from course_utils.grading.containers import converted, kind_of
from course_utils.grading.exercise import Arguments, Criterion
from course_utils.grading.trial import (
    NotAttempted,
    Refused,
    Trial,
    WrongKind,
    copied,
    gradients_of,
    unharmed,
)
from course_utils.grading.values import (
    as_float,
    describe,
    difference,
    is_number,
    structure_problem,
)

OUTPUTS, GRADIENTS, LOSS = "outputs", "gradients", "loss"
ONE_STEP, THREE_STEPS = "parameters after one step", "parameters after three steps"
PARTS = (OUTPUTS, GRADIENTS, LOSS, ONE_STEP, THREE_STEPS)
ROUNDING = 1e-9  # relative, in float64
MOST_FITS = 120  # ways to put the drawn weights into a module that are tried
HALF_A_STUB = "a part of your module is still the stub that it came as."
Shape = tuple[int, ...]
Named = dict[str, Tensor]


# --- what is asked ------------------------------------------------------------------


@dataclass(frozen=True)
class Build:
    """The probe of a build exercise: a module in, named tensors out.

    Parameters
    ----------
    like
        The course's own builder. Its parameters say which weights there are. Write its
        parts as small as they come (two heads of K rather than one of 2K): a module
        that joins two of them is recognised, one that splits them is not. Where it has
        a ``step``, the answer must have one.
    inputs
        ``inputs(generator, *arguments)``: what forward and step are called with, in
        float64, for three steps. Tensors have the examples along axis 0.
    loss
        ``loss(outputs, *inputs)``, where the module has no ``step`` of its own: the
        engine makes the steps then, by plain gradient descent.
    lr
        The learning rate of those.
    last
        The last of the `PARTS` to work out.

    Examples
    --------
    >>> build = Build(
    ...     lambda D, K: nn.Linear(D, K),
    ...     lambda g, D, K: [(torch.randn(5, D, generator=g).double(),)],
    ... )
    >>> build(nn.Linear(3, 2), (3, 2))["outputs"].shape
    torch.Size([5, 2])
    """

    like: Callable[..., nn.Module]
    inputs: Callable[..., Sequence[Arguments]]
    loss: Callable[..., Tensor] | None = None
    lr: float = 0.1
    last: str = THREE_STEPS

    def __call__(self, answer: Any, arguments: Arguments) -> dict[str, Any]:
        """Ask a module for its parts.

        Raises
        ------
        WrongKind
            If it is no module, has weights that are hidden, of other shapes or of
            another dtype, or its forward returns another kind of value.
        Refused
            If it draws noise of its own, mixes the examples, changes its inputs, or
            its step is not what was asked for.
        """
        module, like = _a_module(answer), self.like(*copied(arguments))
        generator = torch.Generator().manual_seed(_seed(arguments))
        batches = self.inputs(generator, *arguments)
        _expect_single_precision(module, batches[0])
        weights = Weights(module, _drawn(like, generator))
        outputs = _fitted(module, weights, like.double(), batches[0])
        _expect_steady(module, batches[0], outputs)
        parts = {OUTPUTS: copied(outputs)}
        if self._goes_to(GRADIENTS):
            parts[GRADIENTS] = weights.gradients(outputs)
        if hasattr(like, "step") or self.loss:
            parts |= self._steps(module, weights, batches)
        return parts

    def _goes_to(self, part: str) -> bool:
        return PARTS.index(part) <= PARTS.index(self.last)

    def _steps(
        self, module: nn.Module, weights: Weights, batches: Sequence[Arguments]
    ) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if self._goes_to(LOSS):
            parts[LOSS] = self._step(module, batches[0])
        if self._goes_to(ONE_STEP):
            parts[ONE_STEP] = weights.read()
        if self._goes_to(THREE_STEPS):
            for batch in batches[1:3]:
                self._step(module, batch)
            parts[THREE_STEPS] = weights.read()
        return parts

    def _step(self, module: nn.Module, batch: Arguments) -> float:
        if self.loss:
            return _descend(module, batch, self.loss, self.lr)
        step = getattr(module, "step", None)
        if not callable(step):
            raise Refused("your module has no method `step`, which trains it.")
        loss = _call(step, batch, "step")
        if loss is None:
            raise Refused("step returns None, expected the loss: is `return` missing?")
        if not is_number(loss):
            raise Refused(
                f"step returns {describe(loss)}, expected the loss, a number."
            )
        return as_float(loss)


def built(part: str, text: str, points: float = 1.0) -> Criterion:
    """Build the criterion that one of the `PARTS` of a module is right.

    The parts after it are not asked for, so that each earns its own points. The first
    criterion of an exercise asks for the outputs: a stub is told by them.

    Raises
    ------
    ValueError
        If there is no such part.
    """
    if part not in PARTS:
        raise ValueError(f"part is {part!r}; expected one of {', '.join(PARTS)}")

    def test(trial: Trial) -> None:
        probe = replace(trial.exercise.probe, last=part)  # type: ignore[type-var]
        exercise = replace(trial.exercise, probe=probe)
        asked = Trial(exercise, trial.function, trial.generator, trial.limits)
        asked.heard = trial.heard
        for arguments in trial.inputs():
            try:
                got = asked.raw(*copied(arguments))[part]
            except NotAttempted:
                if part == OUTPUTS:
                    raise
                raise Refused(HALF_A_STUB) from None
            want = asked.reference(*arguments)[part]
            if part == GRADIENTS:
                _expect_reached(got, want)
            trial.expect_close(got, want, f"the {part}")

    return Criterion(text, points, test)


def _expect_reached(got: Named, want: Named) -> None:
    for name in want:
        if want[name].any() and not got[name].any():
            raise Refused(
                f"no gradient reaches the {name}: look for .detach(), .item(), .data "
                "or torch.no_grad() on the way."
            )


# --- the module ---------------------------------------------------------------------


def _a_module(answer: Any) -> nn.Module:
    """Refuse what is no module, and say what it is."""
    if isinstance(answer, nn.Module):
        if type(answer).forward is nn.Module.forward:
            raise WrongKind("your module has no method `forward(self, ...)`.")
        return answer
    if answer is None:
        raise WrongKind("your function returns None: is the `return` missing?")
    if isinstance(answer, type):
        raise WrongKind(
            f"your function returns the class itself: make one, {answer.__name__}()."
        )
    raise WrongKind(
        f"your function returns {describe(answer)}, expected one nn.Module: a class "
        "must say class Name(nn.Module), several layers go into one module."
    )


def _seed(arguments: Arguments) -> int:
    """Turn the arguments of a builder into a seed, the same for every version."""
    said = [
        one.detach().tolist()
        if isinstance(one, Tensor)
        else one.initial_seed()
        if isinstance(one, torch.Generator)
        else one
        for one in arguments
    ]
    return zlib.crc32(repr(said).encode())


def _call(method: Callable[..., Any], batch: Arguments, name: str) -> Any:
    """Call forward or step on copies, and refuse a change of the inputs in place."""
    given = copied(batch)
    answer = method(*given)
    if not unharmed(given, batch):
        raise Refused(
            f"{name} changes its inputs in place: work on new tensors "
            "(h = h + x instead of x += h)."
        )
    return answer


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for v in value for t in _tensors(v)] if isinstance(value, tuple) else []


def _expect_single_precision(module: nn.Module, batch: Arguments) -> None:
    """Refuse a module that would not run in a lesson, whose data are float32."""
    _expect_float32(list(module.parameters()))
    given = (x.float() if isinstance(x, Tensor) else x for x in copied(batch))
    _expect_float32(_tensors(module(*given)))  # this also makes lazy layers known


def _expect_float32(tensors: list[Tensor]) -> None:
    for tensor in tensors:
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise WrongKind(
                f"your module works in {str(tensor.dtype).removeprefix('torch.')}, "
                "expected torch's default, float32: leave out .double(), .half() and "
                "dtype=..., in the layers and in forward."
            )


def _expect_steady(module: nn.Module, batch: Arguments, outputs: Any) -> None:
    """Refuse noise of the module's own, and examples that depend on each other."""
    kind = kind_of(outputs)
    again = converted(_call(module, batch, "forward"), kind)
    if difference(again, outputs) > ROUNDING:
        raise Refused(
            "two calls of forward with the same inputs differ: leave out dropout, and "
            "draw nothing inside (noise comes in as an argument)."
        )
    count = len(batch[0])
    alone = converted(module(*_first(copied(batch), count)), kind)
    if difference(alone, _first(outputs, count)) > ROUNDING:
        raise Refused(
            "the outputs for an example change with the others in its batch: leave out "
            "batch normalisation, and every sum or mean over the batch."
        )


def _first(value: Any, count: int) -> Any:
    """Take the first example of each tensor that has one row an example."""
    if isinstance(value, Tensor):
        return value[:1] if value.ndim and len(value) == count else value
    return tuple(_first(v, count) for v in value) if isinstance(value, tuple) else value


def _descend(
    module: nn.Module, batch: Arguments, loss: Callable[..., Tensor], lr: float
) -> float:
    """Make one step of plain gradient descent; return the loss before it."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    value = loss(_call(module, batch, "forward"), *copied(batch))
    grads = torch.autograd.grad(value, parameters, allow_unused=True)
    with torch.no_grad():
        for parameter, grad in zip(parameters, grads, strict=True):
            if grad is not None:
                parameter.sub_(lr * grad)
    return as_float(value)


# --- the same weights, whatever their names -----------------------------------------


class Place(NamedTuple):
    """Which of the drawn weights stand in one of the module's, and how.

    Several stand one behind the other; ``turned`` is (in, out) for (out, in).
    """

    drawn: tuple[int, ...]
    turned: bool


def fits(have: Sequence[Shape], want: Sequence[Shape]) -> Iterator[list[Place]]:
    """Find the ways to put tensors of some shapes into others, in order first.

    Examples
    --------
    >>> next(fits([(4, 3), (4,)], [(2, 3), (2,), (2, 3), (2,)]))
    [Place(drawn=(0, 2), turned=False), Place(drawn=(1, 3), turned=False)]
    """
    return _fits(have, want, frozenset())


def _fits(
    have: Sequence[Shape], want: Sequence[Shape], used: frozenset[int]
) -> Iterator[list[Place]]:
    if not have:
        if len(used) == len(want):
            yield []
        return
    free = [place for place in range(len(want)) if place not in used]
    for place in _places(have[0], want, free):
        for others in _fits(have[1:], want, used.union(place.drawn)):
            yield [place, *others]


def _places(shape: Shape, want: Sequence[Shape], free: list[int]) -> Iterator[Place]:
    for turned in (False, True) if len(shape) == 2 else (False,):
        inner = shape[::-1] if turned else shape
        yield from (Place((one,), turned) for one in free if want[one] == inner)
        for pair in itertools.permutations(free, 2):
            first, second = (want[one] for one in pair)
            if not (first and second and first[1:] == second[1:] == inner[1:]):
                continue
            if first[0] + second[0] == inner[0]:
                yield Place(pair, turned)


class Weights:
    """A module's parameters, read and loaded as the drawn ones, whatever their names.

    Raises
    ------
    WrongKind
        If there are none, or no way to put the drawn ones into them.
    """

    def __init__(self, module: nn.Module, drawn: list[Tensor]) -> None:
        self.module, self.drawn = module, drawn
        self.names = _aliases(module)
        self.have = [tuple(one.shape) for one in self.tensors()]
        self.want = [tuple(one.shape) for one in drawn]
        self.way = next(self.ways(), [])
        if not self.way:
            raise WrongKind(_other_shapes(self.have, self.want))
        module.double()

    def ways(self) -> Iterator[list[Place]]:
        """Find the ways to put the drawn weights in, as many as are tried."""
        return itertools.islice(fits(self.have, self.want), MOST_FITS)

    def tensors(self) -> list[Tensor]:
        """Return the parameters, each once, in the order of the state dict."""
        return _in_order(self.module, self.names)

    def load(self, way: list[Place]) -> None:
        """Load the drawn weights in one of the ways."""
        self.way = way
        state = self.module.state_dict()
        for names, place in zip(self.names, way, strict=True):
            value = torch.cat([self.drawn[one] for one in place.drawn])
            state |= dict.fromkeys(names, value.T if place.turned else value)
        self.module.load_state_dict(state)

    def read(self) -> Named:
        """Return the parameters as they are now, under names that tell their shape."""
        return self._named(self.tensors())

    def gradients(self, outputs: Any) -> Named:
        """Differentiate the outputs in the parameters; zeros where nothing arrives."""
        tensors = self.tensors()
        asked = [place for place, one in enumerate(tensors) if one.requires_grad]
        found = [torch.zeros_like(one) for one in tensors]
        grads = gradients_of(tuple(_tensors(outputs)), tuple(tensors), tuple(asked))
        for place, grad in zip(asked, grads, strict=True):
            found[place] = grad
        return self._named(found)

    def _named(self, tensors: list[Tensor]) -> Named:
        values: dict[int, Tensor] = {}
        for tensor, (drawn, turned) in zip(tensors, self.way, strict=True):
            whole = tensor.detach().T if turned else tensor.detach()
            sizes = [len(self.drawn[one]) for one in drawn]
            values |= zip(drawn, whole.clone().split(sizes), strict=True)
        return {
            f"parameter {place + 1} of shape {tuple(value.shape)}": value
            for place, value in sorted(values.items(), key=lambda item: item[0])
        }


def _aliases(module: nn.Module) -> list[list[str]]:
    """List the names of each parameter in the state dict; a layer may have two."""
    names: dict[int, list[str]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, nn.Parameter):
            names.setdefault(id(tensor), []).append(name)
    return list(names.values())


def _other_shapes(have: list[Shape], want: list[Shape]) -> str:
    if not have:
        return (
            "your module has no parameters: layers in a plain list or dict are not "
            "seen by torch (take nn.Sequential or nn.ModuleList), and a tensor must be "
            "an nn.Parameter."
        )
    missing, more = Counter(want) - Counter(have), Counter(have) - Counter(want)
    said = (
        f"the weights of your module have the shapes {_listed(have)}; expected, in any "
        f"order, {_listed(want)}"
    )
    if missing:
        said += f"; missing: {_listed(missing.elements())}"
    if more:
        said += f"; not expected: {_listed(more.elements())}"
    return said + "."


def _listed(shapes: Any) -> str:
    return ", ".join(map(str, shapes))


def _in_order(module: nn.Module, names: list[list[str]]) -> list[Tensor]:
    state = module.state_dict(keep_vars=True)
    return [state[first] for first, *_ in names]


def _drawn(like: nn.Module, generator: torch.Generator) -> list[Tensor]:
    """Draw weights of a sane size, and load them into the course's own module."""
    drawn = []
    like.double()
    for parameter in _in_order(like, _aliases(like)):
        inputs = parameter.numel() / max(len(parameter), 1)
        scale = 0.4 if parameter.ndim < 2 else 1 / math.sqrt(inputs)
        value = scale * torch.randn(
            parameter.shape, generator=generator, dtype=torch.float64
        )
        with torch.no_grad():
            parameter.copy_(value)
        drawn.append(value)
    return drawn


def _fitted(
    module: nn.Module, weights: Weights, like: nn.Module, batch: Arguments
) -> Any:
    """Load the weights in the way in which most outputs are right; return them.

    Two heads may stand in another order: the module is right if one way makes it so.
    """
    want = like(*copied(batch))
    kind = kind_of(want)
    best, most = weights.way, -1
    for way in weights.ways():
        weights.load(way)
        got = converted(_call(module, batch, "forward"), kind)
        problem = structure_problem(got, want, "what the docstring says")
        if problem:
            raise WrongKind(problem.replace("your function", "forward"))
        parts = zip(_tensors(got), _tensors(want), strict=True)
        right = sum(difference(g, w) <= ROUNDING for g, w in parts)
        if right > most:
            best, most = way, right
        if right == len(_tensors(want)):
            break
    weights.load(best)
    return converted(_call(module, batch, "forward"), kind)
