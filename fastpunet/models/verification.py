"""Verifies the kernels' form of a combiner: compares it with the combiner's own forward pass at a few pixels."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fastpunet.models.fcomb import SplitFComb, flatten_combiner
from fastpunet.models.sampled_prior import PrivateRandomness
from fastpunet.models.twin import evaluation_twin
from fastpunet_kernels import decode_samples, fixed_precision

P = ParamSpec("P")
R = TypeVar("R")

_TOLERANCE = 1e-4  # relative, in float32
_OF_IMAGE = 3  # rows of a probe that hold an image's own features; those behind it are random
ACTIVATIONS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda logits: logits,
    "sigmoid": torch.sigmoid,
    "softmax": lambda logits: logits.softmax(1),
    "log-softmax": lambda logits: logits.log_softmax(1),
}

Call = Callable[[nn.Module, Tensor, Tensor], Tensor]  # combiner, features (m, C, *size), z (m, latent_dim)


class Verified(NamedTuple):
    """A combiner whose flattened form agrees with its own forward pass."""

    split: SplitFComb
    latents_first: bool  # whether it concatenates z before the features
    last_activation: str | None  # the activation that its forward pass applies to the logits


class FasterForward(partial[Any]):
    """A forward pass that `fastpunet.accelerate` put in place of a combiner's own; it cannot verify the kernels."""


def not_compiled(function: Callable[P, R], *, what_it_calls: bool = False) -> Callable[P, R]:
    """Keep torch.compile out of a function, like torch.compiler.disable, whose import would load the compiler.

    what_it_calls: whether to compile the functions that it calls, each on its own.
    """

    @wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **options)
        uncompiled: Callable[P, R] = torch.compiler.disable(function, recursive=not what_it_calls)
        return uncompiled(*args, **options)

    return call


@not_compiled
def verify(combiner: nn.Module, features: Tensor, latent_dim: int) -> Verified | None:
    """The combiner in the kernels' form, if that agrees with the combiner's own forward pass; else None.

    Both compute the logits of the first image of features float32 (B, C, *size) at 3 positions of each axis, with the
    corners, and of random features, once as large as the image's and once 100 times as large; each time for three
    latents, one of them far from the others. Both orders of arguments and of concatenation are tried. Nothing is left
    on the combiner. Raises ValueError for more classes than labels can hold, and for NaN or infinity.
    """
    crop, z = _probe(features, latent_dim)
    own = _in_float32(combiner)
    with torch.no_grad(), fixed_precision("ieee", features.device):
        _check_finite("the U-Net's features", crop)
        for _, output in _calls_that_run(own, crop, z):
            _check_finite("what its combiner gives", output[:_OF_IMAGE])
            for verified, ours in _readings(combiner, crop, z):
                if _agree(output, ours):
                    return verified
        next(_readings(combiner, crop, z), None)  # for its errors, if no call has run
    return None


def _readings(combiner: nn.Module, crop: Tensor, z: Tensor) -> Iterator[tuple[Verified, Tensor]]:
    """For each order of concatenation and each last activation, the flattened form and its output for crop and z."""
    for latents_first in (False, True):
        try:
            split = flatten_combiner(combiner, z.shape[1], latents_first=latents_first)
        except ValueError as error:
            if "cannot be read" not in str(error):
                raise
            return
        if split.feature_weight.shape[1] != crop.shape[1]:
            return
        logits = decode_samples(split.base(crop), split.decoder, z[:, None], output="logits", backend="reference")
        logits = logits[:, 0].unflatten(-1, crop.shape[2:])
        for name, applied in ACTIVATIONS.items():
            yield Verified(split, latents_first, name), applied(logits)


def _check_finite(name: str, values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise ValueError(f"model: NaN or infinity in {name}; look for broken weights")


@not_compiled
def find_call(combiner: nn.Module, features: Tensor, latent_dim: int, classes: int) -> Call:
    """Find how to call a combiner that cannot be flattened: the first way in which it returns (B, classes, *size).

    Raises ValueError if there is none, or if the combiner returns probabilities or random numbers.
    """
    crop, z = _probe(features, latent_dim)
    own = _in_float32(combiner)
    with torch.no_grad(), fixed_precision("ieee", features.device):
        for call, output in _calls_that_run(own, crop, z):
            if output.shape == (len(z), classes, *crop.shape[2:]):
                _check_logits(own, call, crop, z)
                return call
    raise ValueError(
        f"model: its combiner, a {type(combiner).__name__}, gives no (B, {classes}, *size) when it is called with "
        f"features (B, C, *size) and latents (B, {latent_dim}); wrap it in a module that does, and pass that to "
        "fastpunet.adapt(model, encode=..., combiner=...)"
    )


def _probe(features: Tensor, latent_dim: int) -> tuple[Tensor, Tensor]:
    """Features float32 (5, C, *at most 3 positions) and latents float32 (5, latent_dim) for comparisons.

    An image alone proves little: the features of a black one may be 0, which hides what a combiner does to them.
    """
    crop = features[:1].detach().float()
    for axis, length in enumerate(features.shape[2:], start=2):
        places = sorted({0, length // 2, length - 1})
        crop = crop.index_select(axis, torch.tensor(places, device=crop.device))
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(_OF_IMAGE + 2, latent_dim, generator=generator, dtype=torch.float32)
    z = z * torch.tensor([[1.0], [1.0], [8.0], [1.0], [100.0]], dtype=torch.float32)
    noise = torch.randn(crop.shape, generator=generator, dtype=torch.float32).to(crop.device)
    if (crop >= 0).all():  # as behind a ReLU
        noise = noise.abs()
    noise = noise * crop.abs().mean().clamp(min=1)
    return torch.cat((crop.expand(_OF_IMAGE, *crop.shape[1:]), noise, 100 * noise)), z.to(crop.device)


def _in_float32(combiner: nn.Module) -> nn.Module:
    """The combiner's twin with float32 weights, so that rounding in half precision cannot hide a difference."""
    own = evaluation_twin(combiner)
    if isinstance(vars(own).get("forward"), FasterForward):
        del own.forward
    for module in own.modules():
        parameters, buffers = module._parameters, module._buffers
        parameters.update({name: nn.Parameter(value) for name, value in _widened(parameters)})
        buffers.update(_widened(buffers))
    return own


def _widened(values: Mapping[str, Tensor | None]) -> list[tuple[str, Tensor]]:
    return [
        (name, value.detach().float())
        for name, value in values.items()
        if value is not None and value.is_floating_point() and value.dtype != torch.float32
    ]


def _calls_that_run(combiner: nn.Module, features: Tensor, z: Tensor) -> Iterator[tuple[Call, Tensor]]:
    """Each way to call a combiner that returns a tensor, with that tensor."""
    for features_first in (True, False):
        for with_axes in (False, True):
            call = partial(_call, features_first, with_axes)
            try:
                with PrivateRandomness(0):
                    output: Any = call(combiner, features, z)
            except Exception:  # other people's code may fail in any way when it is called in a way it does not know
                continue
            if isinstance(output, Tensor):
                yield call, output


def _call(features_first: bool, with_axes: bool, combiner: nn.Module, features: Tensor, z: Tensor) -> Tensor:
    z = z.view(*z.shape, *[1] * (features.ndim - 2)) if with_axes else z
    result: Tensor = combiner(features, z) if features_first else combiner(z, features)
    return result


def _agree(own: Tensor, ours: Tensor) -> bool:
    if own.shape != ours.shape:
        return False
    difference, size = (values.float().flatten(1).norm(dim=1) for values in (own.float() - ours, own))
    size = size.clamp(min=size[:_OF_IMAGE].amax())  # the logits of one latent alone may all but cancel out
    allowed = _TOLERANCE * size + torch.finfo(torch.float32).tiny  # saturated probabilities round away
    return bool((difference <= allowed).all())


def _check_logits(combiner: nn.Module, call: Call, features: Tensor, z: Tensor) -> None:
    """Raise ValueError for a combiner that returns probabilities or random numbers."""
    advice = "and pass that to fastpunet.adapt(model, encode=..., combiner=...)"
    with PrivateRandomness(0) as private, _Operators() as operators:
        both = torch.cat((call(combiner, features, z), call(combiner, 100 * features, 100 * z)))
    if private.used:
        raise ValueError(f"model: its combiner draws random numbers; wrap it in a module that draws none, {advice}")
    if operators.names & {"sigmoid", "_softmax"} and bool(((both >= 0) & (both <= 1)).all()):
        raise ValueError(f"model: its combiner gives probabilities; wrap it in a module that gives logits, {advice}")


class _Operators(TorchDispatchMode):
    """A context that records the names of the operators that run inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__.rstrip("_"))
        return func(*args, **(kwargs or {}))
