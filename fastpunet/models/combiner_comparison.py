"""Compares a combiner with its form in the kernels, in float32, for features and latents that may tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fastpunet.models.affine import leaves
from fastpunet.models.combiner_calls import Call, runs
from fastpunet.models.fcomb import SplitFComb
from fastpunet.models.twin import evaluation_twin
from fastpunet_kernels import decode_samples

_TOLERANCE = 1e-4  # relative, in float32
OF_IMAGE = 5  # rows of a probe that hold an image's own features; those behind it are random
ACTIVATIONS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda logits: logits,
    "sigmoid": torch.sigmoid,
    "softmax": lambda logits: logits.softmax(1),
    "log-softmax": lambda logits: logits.log_softmax(1),
}
ADVICE = "and pass that to fastpunet.adapt(model, encode=..., combiner=...)"


class Verified(NamedTuple):
    """A combiner whose flattened form agrees with its own forward pass."""

    split: SplitFComb
    latents_first: bool  # whether it concatenates z before the features
    last_activation: str | None  # the activation that its forward pass applies to the logits


class FasterForward(partial[Any]):
    """A forward pass that `fastpunet.accelerate` put in place of a combiner's own; it cannot verify the kernels."""


def probe(features: Tensor, latent_dim: int) -> tuple[Tensor, Tensor]:
    """Features float32 (8, C, *at most 3 positions) and latents float32 (8, latent_dim) for comparisons.

    An image alone proves little: the features of a black one may be 0, which hides what a combiner does to them. Its
    latents have both signs in every dimension, all signs alike, and two of them, on opposite sides, are far from all
    others.
    """
    crop = features[:1].detach().float()
    for axis, length in enumerate(features.shape[2:], start=2):
        places = sorted({0, length // 2, length - 1})
        crop = crop.index_select(axis, torch.tensor(places, device=crop.device))
    generator = torch.Generator().manual_seed(0)
    z, far, alone, farthest = torch.randn(4, latent_dim, generator=generator, dtype=torch.float32)
    z = torch.stack((z, -z, 8 * far, far.abs(), -far.abs(), alone, 100 * farthest, -100 * farthest))
    noise = torch.randn(crop.shape, generator=generator, dtype=torch.float32).to(crop.device)
    if (crop >= 0).all():  # as behind a ReLU
        noise = noise.abs()
    noise = noise * crop.abs().mean().clamp(min=1)
    return torch.cat((crop.expand(OF_IMAGE, *crop.shape[1:]), noise, 100 * noise, 100 * noise)), z.to(crop.device)


def one_for_each(features: Tensor, z: Tensor) -> Tensor:
    """Latents (B, latent_dim) of a probe, for the images whose features these are."""
    return z[torch.arange(len(features), device=z.device) % OF_IMAGE]


def in_float32(combiner: nn.Module) -> nn.Module:
    """The combiner's twin with float32 weights, so that rounding in half precision cannot hide a difference."""
    own = evaluation_twin(combiner)
    if isinstance(vars(own).get("forward"), FasterForward):
        del own.forward
    for module in own.modules():
        for name, value in _widened(module._parameters):
            module._parameters[name] = nn.Parameter(value)
        for name, value in _widened(module._buffers):
            module._buffers[name] = value
    return own


def _widened(values: Mapping[str, Tensor | None]) -> list[tuple[str, Tensor]]:
    return [
        (name, value.detach().float())
        for name, value in values.items()
        if value is not None and value.is_floating_point() and value.dtype != torch.float32
    ]


def agree(own: Tensor, ours: Tensor, tolerance: float = _TOLERANCE) -> bool:
    """Whether the logits (B, K, *size) of both forms are equal but for rounding, by default in float32."""
    if own.shape != ours.shape:
        return False
    difference, size = (values.float().flatten(1).norm(dim=1) for values in (own.float() - ours, own))
    size = size.clamp(min=size[:OF_IMAGE].amax())  # the logits of one latent alone may all but cancel out
    allowed = tolerance * size + torch.finfo(torch.float32).tiny  # saturated probabilities round away
    return bool((difference <= allowed).all())


def agree_everywhere(own: nn.Module, call: Call, verified: Verified, features: Tensor, z: Tensor) -> bool:
    """Whether both forms agree for features (B, C, *size) and one latent of each image, z (B, latent_dim)."""
    ran = next(runs([call], own, features, z), None)
    return ran is not None and not ran.choosing and agree(ran.output, decoded(verified, features, z))


def decoded(verified: Verified, features: Tensor, z: Tensor) -> Tensor:
    """What the kernels give for features (B, C, *size) and one latent for each image, z (B, latent_dim)."""
    base, decoder = verified.split.base(features), verified.split.decoder
    logits = decode_samples(base, decoder, z[:, None], output="logits", precision="ieee")[:, 0]
    return ACTIVATIONS[verified.last_activation](logits.unflatten(-1, features.shape[2:]))


def activations(combiner: nn.Module) -> int:
    """How many of a combiner's layers are activations that bend a function, for which the kernels' form accounts."""
    kinds = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Sigmoid)
    return sum(isinstance(module, kinds) for module in leaves(combiner))


def changeable(combiner: nn.Module) -> dict[str, Any]:
    """The numbers and buffers of a combiner, which its calls in evaluation mode should leave as they are."""
    values: dict[str, Any] = {name: buffer.clone() for name, buffer in combiner.named_buffers()}
    for path, module in combiner.named_modules():
        values |= {f"{path}.{key}": value for key, value in vars(module).items() if type(value) in (int, float, bool)}
    return values


def check_unchanged(combiner: nn.Module, before: Mapping[str, Any]) -> None:
    """Raise ValueError if calls have changed a number or a buffer, on which later calls may depend."""
    for name, value in changeable(combiner).items():
        old = before.get(name, value)
        if not (torch.equal(old, value) if isinstance(value, Tensor) else type(old) is not type(value) or old == value):
            raise ValueError(
                f"model: its combiner, a {type(combiner).__name__}, changes its attribute "
                f"{name.lstrip('.')} whenever it is called, so that its logits may depend on earlier "
                f"calls; wrap it in a module that keeps no state, {ADVICE}"
            )
