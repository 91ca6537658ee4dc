"""Verifies the kernels' form of a combiner: compares it with the combiner's own forward pass, where they may differ."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from fastpunet.models.affine import leaves
from fastpunet.models.combiner_calls import Call, Ran, guesses, runs
from fastpunet.models.fcomb import SplitFComb, flatten_combiner
from fastpunet.models.twin import evaluation_twin
from fastpunet_kernels import decode_samples, fixed_precision

P = ParamSpec("P")
R = TypeVar("R")

_TOLERANCE = 1e-4  # relative, in float32
_OF_IMAGE = 5  # rows of a probe that hold an image's own features; those behind it are random
ACTIVATIONS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda logits: logits,
    "sigmoid": torch.sigmoid,
    "softmax": lambda logits: logits.softmax(1),
    "log-softmax": lambda logits: logits.log_softmax(1),
}
_ADVICE = "and pass that to fastpunet.adapt(model, encode=..., combiner=...)"


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
def verify(
    combiner: nn.Module, features: Tensor, latent_dim: int, calls: Sequence[Call] | None = None
) -> Verified | None:
    """The combiner in the kernels' form, if that agrees with the combiner's own forward pass; else None.

    Three things are compared, in float32:

    - the logits of the first image of features float (B, C, *size) at 3 positions of each axis, with the corners, and
      of random features, once as large as the image's and once 100 times as large, for latents of every sign and size;
    - the logits of all images at all positions, with one latent each, as the model itself would compute them: these
      depend on places, sizes and batches if anything does;
    - the operators: what chooses by value (such as `clamp` or `if z[0] > 2`) may differ where none of this looks.

    calls: the ways to call the combiner that are tried; None is those of published code. Both orders of concatenation
    are tried. Nothing is left on the combiner. Raises ValueError for more classes than labels can hold, for NaN or
    infinity, and for a combiner that changes itself from call to call.
    """
    features = features.float()
    crop, z = _probe(features, latent_dim)
    own = _in_float32(combiner)
    with torch.no_grad(), fixed_precision("ieee", features.device):
        _check_finite("the U-Net's features", crop)
        before = _changeable(own)
        for ran in runs(calls or guesses(features), own, crop, z):
            _check_finite("what its combiner gives", ran.output[:_OF_IMAGE])
            readings = () if ran.choosing or ran.bends > _activations(own) else _readings(combiner, crop, z)
            for verified, ours in readings:
                if _agree(ran.output, ours) and _agree_everywhere(own, ran.call, verified, features, z):
                    _check_unchanged(own, before)
                    return verified
        next(_readings(combiner, crop, z), None)  # for its errors, if no call has run
    return None


def _agree_everywhere(own: nn.Module, call: Call, verified: Verified, features: Tensor, z: Tensor) -> bool:
    """Whether both forms agree for all images of a batch at all positions, one latent for each image."""
    z = _one_for_each(features, z)
    ran = next(runs([call], own, features, z), None)
    if ran is None or ran.choosing:
        return False
    base, decoder = verified.split.base(features), verified.split.decoder
    logits = decode_samples(base, decoder, z[:, None], output="logits", precision="ieee")[:, 0]
    return _agree(ran.output, ACTIVATIONS[verified.last_activation](logits.unflatten(-1, features.shape[2:])))


def _activations(combiner: nn.Module) -> int:
    """How many activations the kernels' form accounts for, with one at the end that is no module."""
    kinds = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Sigmoid)
    return 1 + sum(isinstance(module, kinds) for module in leaves(combiner))


def _one_for_each(features: Tensor, z: Tensor) -> Tensor:
    """Latents (B, latent_dim) of a probe, for the images whose features these are."""
    return z[torch.arange(len(features), device=z.device) % _OF_IMAGE]


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
            if name is None or (name == "sigmoid") == (logits.shape[1] == 1):  # several sigmoids are several labels
                yield Verified(split, latents_first, name), applied(logits)


def _check_finite(name: str, values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise ValueError(f"model: NaN or infinity in {name}; look for broken weights")


@not_compiled
def find_call(
    combiner: nn.Module, features: Tensor, latent_dim: int, classes: int, calls: Sequence[Call] | None = None
) -> tuple[Call, bool]:
    """Find how to call a combiner that cannot be flattened: the first of `calls` that returns (B, classes, *size).

    Returns the call, and whether it may decode a batch at once: if Python code in the combiner looks at values, it may
    decide for a whole batch by one of its images. Raises ValueError if there is no such call, or if the combiner
    returns probabilities or random numbers, or what depends on earlier calls or on the other images of its batch.
    """
    features = features.float()
    crop, z = _probe(features, latent_dim)
    own = _in_float32(combiner)
    with torch.no_grad(), fixed_precision("ieee", features.device):
        before = _changeable(own)
        for ran in runs(calls or guesses(features), own, crop, z):
            if ran.output.shape == (len(z), classes, *crop.shape[2:]):
                _check_logits(own, ran, crop, z)
                _check_alone(own, ran.call, crop, z)
                _check_alone(own, ran.call, features, _one_for_each(features, z))
                _check_unchanged(own, before)
                return ran.call, not ran.reads
    raise ValueError(
        f"model: its combiner, a {type(combiner).__name__}, gives no (B, {classes}, *size) when it is called with "
        f"features (B, C, *size) and latents (B, {latent_dim}); wrap it in a module that does, {_ADVICE}"
    )


def _probe(features: Tensor, latent_dim: int) -> tuple[Tensor, Tensor]:
    """Features float32 (7, C, *at most 3 positions) and latents float32 (7, latent_dim) for comparisons.

    An image alone proves little: the features of a black one may be 0, which hides what a combiner does to them. Its
    latents have both signs in every dimension, all signs alike, and one of them is far from the others.
    """
    crop = features[:1].detach().float()
    for axis, length in enumerate(features.shape[2:], start=2):
        places = sorted({0, length // 2, length - 1})
        crop = crop.index_select(axis, torch.tensor(places, device=crop.device))
    generator = torch.Generator().manual_seed(0)
    z, far, alone, farthest = torch.randn(4, latent_dim, generator=generator, dtype=torch.float32)
    z = torch.stack((z, -z, 8 * far, far.abs(), -far.abs(), alone, 100 * farthest))
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


def _agree(own: Tensor, ours: Tensor) -> bool:
    if own.shape != ours.shape:
        return False
    difference, size = (values.float().flatten(1).norm(dim=1) for values in (own.float() - ours, own))
    size = size.clamp(min=size[:_OF_IMAGE].amax())  # the logits of one latent alone may all but cancel out
    allowed = _TOLERANCE * size + torch.finfo(torch.float32).tiny  # saturated probabilities round away
    return bool((difference <= allowed).all())


def _changeable(combiner: nn.Module) -> dict[str, Any]:
    """The numbers and buffers of a combiner, which its calls in evaluation mode should leave as they are."""
    values: dict[str, Any] = {name: buffer.clone() for name, buffer in combiner.named_buffers()}
    for path, module in combiner.named_modules():
        values |= {f"{path}.{key}": value for key, value in vars(module).items() if type(value) in (int, float, bool)}
    return values


def _check_unchanged(combiner: nn.Module, before: Mapping[str, Any]) -> None:
    """Raise ValueError if calls have changed a number or a buffer, on which later calls may depend."""
    for name, value in _changeable(combiner).items():
        old = before.get(name, value)
        if not (torch.equal(old, value) if isinstance(value, Tensor) else type(old) is not type(value) or old == value):
            raise ValueError(
                f"model: its combiner, a {type(combiner).__name__}, changes its attribute {name.lstrip('.')} whenever "
                f"it is called, so that its logits may depend on earlier calls; wrap it in a module without, {_ADVICE}"
            )


def _check_logits(combiner: nn.Module, ran: Ran, features: Tensor, z: Tensor) -> None:
    """Raise ValueError for a combiner that returns probabilities or random numbers."""
    if ran.random:
        raise ValueError(f"model: its combiner draws random numbers; wrap it in a module that draws none, {_ADVICE}")
    if ran.operators & {"sigmoid", "softmax", "_softmax"}:
        both = torch.cat((ran.output, ran.call(combiner, 100 * features, 100 * z)))
        if bool(((both >= 0) & (both <= 1)).all()):
            raise ValueError(
                f"model: its combiner gives probabilities; wrap it in a module that gives logits, {_ADVICE}"
            )


def _check_alone(combiner: nn.Module, call: Call, features: Tensor, z: Tensor) -> None:
    """Raise ValueError if logits change when an image is alone, or when the combiner is called again."""
    together = call(combiner, features, z)
    alone = [call(combiner, features[i : i + 1], z[i : i + 1]) for i in range(len(z))]
    if not _agree(together, torch.cat(alone)):
        raise ValueError(
            f"model: its combiner, a {type(combiner).__name__}, gives something else for an image alone than beside "
            "others, or when it is called again; wrap it in a module whose logits depend on one image and one latent "
            f"alone, {_ADVICE}"
        )
