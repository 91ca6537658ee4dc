"""Observes the inputs and outputs of a foreign model's parts while its own code runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fastpunet.models.combiner_calls import Call, Key, latents_of
from fastpunet.models.combiner_comparison import FasterForward
from fastpunet.models.confirmation import Known, Seen
from fastpunet.models.operators import Operators
from fastpunet.models.sampled_prior import PrivateRandomness
from fastpunet.waits import may_wait

ATTRIBUTES = ("unet_features", "prior_latent_space")  # the attributes that the PyTorch port's forward sets on the model


class Network(NamedTuple):
    """A model and its parts, all of them twins."""

    model: nn.Module
    unet: nn.Module
    prior: nn.Module
    combiner: nn.Module


@dataclass
class Memory:
    """What is remembered of a model from one pass to the next. All twins of the model share it."""

    draws: bool = True  # its forward draws random numbers, which must not come from global generators
    works: int = 0  # which of its passes, from 1, takes images alone; 0: it is not known
    asks_sample: bool = True  # its `sample` may hand other features to its combiner than its U-Net returns, so that a
    # CUDA graph has to contain it; elsewhere `sample` is observed whenever images are encoded
    draws_own: bool = False  # its own code has been seen to draw other latents than its prior does
    told_own: bool = False  # the user has been warned that the model's own combiner decodes
    unobserved: str | None = None  # why its `sample` cannot be observed
    told_sample: bool = False  # the user has been warned of that
    told_latents: bool = False  # the user has been warned that its own code changes latents
    calls: list[Call] | None = None  # how its own code calls its combiner; None: that was not observed
    seen: Seen | None = None  # the combiner's last call by the model's own code, until it is compared with the kernels
    draws_compared: int = 0  # how many of its own draws were compared with those of its prior, and were the same
    known: dict[torch.Size, Known] = field(default_factory=dict)  # for features of a shape, if the kernels decode them
    ran: list[str] = field(default_factory=list)  # layers that ran of a combiner inside the U-Net, in order


_MEMORIES: WeakKeyDictionary[nn.Module, Memory] = WeakKeyDictionary()


def memory_of(model: nn.Module) -> Memory:
    """The memory of a live model, however often it is adapted."""
    return _MEMORIES.setdefault(model, Memory())


@dataclass
class Pass:
    """What was observed in one pass."""

    unet: Any = None  # the U-Net's output
    prior: Any = None  # the prior net's output
    prior_inputs: tuple[Any, ...] = ()  # the positional arguments of the prior net, before its own hooks change them
    prior_options: dict[str, Any] = field(default_factory=dict)  # its keyword arguments
    version: int | None = None  # how often the U-Net's output had been edited in place when forward was done
    # The combiner's last call, by the model's forward or else by its `sample`, in the context PrivateRandomness(0):
    arguments: dict[Key, Any] = field(default_factory=dict)  # by their index or keyword, before its own hooks
    output: Any = None  # a copy of what it gave, which the model may edit afterwards
    operators: Operators | None = None  # those that ran in it; None if they were not watched
    versions: list[int | None] = field(default_factory=list)  # how often each argument had been edited by its end
    times: int = 0  # how often it was called
    again: Callable[[], Any] | None = None  # runs the function that called it
    result: Any = None  # what that function returned
    samples: bool = False  # whether that function is the model's `sample`

    @property
    def edited_later(self) -> bool:
        """Whether an argument of the combiner's last call has been edited in place after that call."""
        return bool(self.versions) and self.versions != list(map(_version, self.arguments.values()))

    @property
    def edited(self) -> bool:
        """Whether the U-Net's output was edited in place since, as by `F.relu_`."""
        return self.version != _version(self.unet)


class _ReachedError(Exception):
    """Ends a pass as soon as the combiner has been called, because nothing later is needed."""


def observe(network: Network, memory: Memory, forward: Callable[[], Any]) -> Pass:
    """Run `forward`; if it has not called the combiner, run the model's `sample` until it does.

    Raises AttributeError if `forward` uses no U-Net or no prior net, and sets no attributes as the port's forward does.
    """
    seen = Pass()
    for name in ATTRIBUTES:
        vars(network.model).pop(name, None)
    with ExitStack() as contexts:
        for name in ("unet", "prior"):
            contexts.enter_context(getattr(network, name).register_forward_hook(_noting(seen, name)))
        note_inputs = partial(_note_inputs, seen)
        contexts.enter_context(network.prior.register_forward_pre_hook(note_inputs, prepend=True, with_kwargs=True))
        contexts.enter_context(_recording(network.combiner, seen))
        private = contexts.enter_context(PrivateRandomness(0)) if memory.draws else None
        before, unexpected = torch.get_rng_state(), False
        try:
            result = forward()
        finally:
            if private is None and _bytes(before) != _bytes(torch.get_rng_state()):
                unexpected = True
                torch.set_rng_state(before)
    memory.draws = unexpected or (private is not None and private.used)
    if unexpected:  # it has begun to draw random numbers since the last pass
        return observe(network, memory, forward)
    if seen.times:
        seen.again, seen.result = forward, result
    for name, attribute in zip(("unet", "prior"), ATTRIBUTES, strict=True):
        setattr(seen, name, vars(network.model).get(attribute, getattr(seen, name)))
        if getattr(seen, name) is None:
            raise AttributeError(f"model: its forward pass does not use its {name}")
    seen.version = _version(seen.unet)
    if not seen.times and (memory.asks_sample or may_wait()):
        _run_sample(network, seen, memory)
    return seen


def _version(value: Any) -> int | None:
    return value._version if isinstance(value, Tensor) and not value.is_inference() else None


def _bytes(state: Tensor) -> bytes:
    """Its bytes, which are compared without an operator of PyTorch: in a graph those must not ask for values."""
    return state.numpy().tobytes()


def _run_sample(network: Network, seen: Pass, memory: Memory) -> None:
    sample = getattr(network.model, "sample", None)
    if not callable(sample):
        return
    options = {"testing": True} if "testing" in inspect.signature(sample).parameters else {}
    state = dict(vars(network.model))

    def again() -> Any:
        vars(network.model).update(state)
        return sample(**options)

    # It is other people's code, and may fail in any way, for example because forward has not seen a segmentation.
    with suppress(Exception), _recording(network.combiner, seen), PrivateRandomness(0):
        seen.result = again()
    if seen.output is None:  # the combiner was not reached, or failed
        seen.arguments, seen.times = {}, 0
        missing = [name for name in required(sample) if name not in options]
        memory.unobserved = f"it needs {', '.join(missing)}" if missing else "it fails, or does not call the combiner"
        return
    seen.again, seen.samples = again, True


class LatentsOfModel:
    """The latents that a model's own code draws and hands to its combiner, for the images of one of its passes."""

    def __init__(self, network: Network, again: Callable[[], Any], call: Call, done: Pass) -> None:
        self._network, self._again, self._call, self._done = network, again, call, done

    def sample(self) -> Tensor:
        """One latent (B, latent_dim) of each image, as the model draws it with PyTorch's random numbers."""
        seen = Pass()
        with suppress(_ReachedError), _recording(self._network.combiner, seen, stop=self._done.times):
            self._again()
        return self.of(seen)

    def of(self, seen: Pass) -> Tensor:
        """The latents (B, latent_dim) of a pass."""
        return latents_of(self._call, seen.arguments, self._done.unet)


def results_of(done: Pass, network: Network, logits: Tensor) -> Any:
    """What the model's own code returns if its combiner gives these logits."""
    assert done.again is not None
    with PrivateRandomness(0), _recording(network.combiner, Pass(), instead=logits):
        return done.again()


@contextmanager
def _recording(
    combiner: nn.Module, seen: Pass, *, stop: int | None = None, instead: Tensor | None = None
) -> Iterator[None]:
    """Record each call of the combiner, or of `combiner.forward` itself.

    stop     the number of the call, from 1, at which the pass ends
    instead  what the combiner's forward gives in place of its own logits
    """
    before = vars(combiner).get("forward")
    own = combiner.forward
    hooked = bool(combiner._forward_hooks or combiner._forward_pre_hooks)
    watched = may_wait() and not isinstance(before, FasterForward)
    called, given = False, None

    def note(args: tuple[Any, ...], options: dict[str, Any]) -> None:
        seen.arguments = dict(enumerate(args))
        seen.arguments.update(options)
        seen.versions, seen.operators = [], None
        seen.times += 1
        if seen.times == stop:
            raise _ReachedError

    def note_call(module: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:  # noqa: ARG001
        nonlocal called
        called = True
        note(args, options)

    def forward(*args: Any, **options: Any) -> Any:
        nonlocal called, given
        if not called:
            note(args, options)
        called = False
        operators = Operators()
        with operators if watched else nullcontext():
            given = own(*args, **options) if instead is None else instead
        seen.output, seen.operators = _copy(given), operators if watched and not hooked else None
        seen.versions = list(map(_version, seen.arguments.values()))
        return given

    def note_output(module: Any, args: Any, output: Any) -> None:  # noqa: ARG001
        if hooked or output is not given:
            seen.output, seen.operators = _copy(output), None

    vars(combiner)["forward"] = forward
    before_call = combiner.register_forward_pre_hook(note_call, prepend=True, with_kwargs=True)
    try:
        with before_call, combiner.register_forward_hook(note_output):
            yield
    finally:
        del vars(combiner)["forward"]
        if before is not None:
            vars(combiner)["forward"] = before


def _copy(output: Any) -> Any:
    return output.detach().clone() if isinstance(output, Tensor) and may_wait() else output


def _noting(seen: Pass, name: str) -> Callable[[Any, Any, Any], None]:
    def note(module: Any, inputs: Any, output: Any) -> None:  # noqa: ARG001
        setattr(seen, name, output)

    return note


def _note_inputs(seen: Pass, module: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:  # noqa: ARG001
    seen.prior_inputs, seen.prior_options = inputs, options


def required(function: Callable[..., Any]) -> list[str]:
    """The positional arguments that have no default."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in positional and p.default is p.empty]
