"""The ways in which models call their combiner: the order of its arguments, and the shape that latents have there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fastpunet.models.operators import Operators
from fastpunet.models.sampled_prior import PrivateRandomness

Key = int | str  # a positional argument's index, or a keyword


@dataclass(frozen=True)
class Call:
    """One way to call a combiner with features (m, C, *size) and latents z (m, latent_dim).

    features, latents  the arguments that these are; latents is None if the one argument is both, concatenated
    axes               how many axes of one pixel z has besides: (m, latent_dim, 1, 1) with two
    tiled              whether z is given at every pixel, (m, latent_dim, *size)
    latents_first      where both are concatenated, whether z comes first
    others             the other arguments, which are no tensors
    """

    features: Key = 0
    latents: Key | None = 1
    axes: int = 0
    tiled: bool = False
    latents_first: bool = False
    others: Mapping[Key, Any] = field(default_factory=dict)

    def __call__(self, combiner: nn.Module, features: Tensor, z: Tensor) -> Any:
        given: dict[Key, Any] = dict(self.others)
        tiled = z.view(*z.shape, *[1] * (features.ndim - 2)).expand(-1, -1, *features.shape[2:])
        if self.latents is None:
            given[self.features] = torch.cat((tiled, features) if self.latents_first else (features, tiled), dim=1)
        else:
            given[self.features] = features
            given[self.latents] = tiled if self.tiled else z.view(*z.shape, *[1] * self.axes)
        positional = [given[key] for key in sorted(key for key in given if isinstance(key, int))]
        return combiner(*positional, **{key: value for key, value in given.items() if isinstance(key, str)})


def guesses(features: Tensor) -> list[Call]:
    """The calls that published code uses, for a combiner that was not observed."""
    axes = features.ndim - 2
    return [Call(*order, axes=count) for order in ((0, 1), (1, 0)) for count in (0, axes)]


def observed_call(arguments: Mapping[Key, Any], features: Tensor, output: Any) -> Call | None:
    """The call that a model made with these arguments, where features (B, C, *size) are as the model handed them.

    output is the U-Net's. Returns None if the latents among the arguments cannot be told, or if there are others.
    """
    tensors = {key: value for key, value in arguments.items() if isinstance(value, Tensor)}
    others = {key: value for key, value in arguments.items() if key not in tensors}
    if len(tensors) == 1 and isinstance(output, Tensor) and output.shape[2:] == features.shape[2:]:
        return _joined(*next(iter(tensors.items())), output, others)
    place = next((key for key, value in tensors.items() if value is features), None)
    rest = [key for key in tensors if key != place]
    if place is None or len(rest) != 1:
        return None
    z = tensors[rest[0]]
    if z.ndim == features.ndim and z.shape[2:] == features.shape[2:] and z.shape[2:].numel() > 1:
        return Call(place, rest[0], tiled=True, others=others) if is_tiled(z) else None
    return Call(place, rest[0], axes=z.ndim - 2, others=others) if z.shape[2:].numel() == 1 and z.ndim > 1 else None


def _joined(key: Key, handed: Tensor, output: Tensor, others: Mapping[Key, Any]) -> Call | None:
    """The call of a combiner that is given the features and z, already concatenated."""
    channels = output.shape[1]
    if handed.shape[1] <= channels or handed.shape[2:].numel() == 1:
        return None
    for latents_first in (False, True):
        features, z = handed[:, :channels], handed[:, channels:]
        if latents_first:
            z, features = handed[:, :-channels], handed[:, -channels:]
        if torch.equal(features, output) and is_tiled(z):
            return Call(key, None, latents_first=latents_first, others=others)
    return None


def is_tiled(z: Tensor) -> bool:
    """Whether a map (B, C, *size) has one value for all pixels in each channel."""
    pixels = z.flatten(2)
    return bool((pixels == pixels[..., :1]).all())


def latents_of(call: Call, arguments: Mapping[Key, Any], output: Any) -> Tensor:
    """The latents (B, latent_dim) in the arguments that were observed."""
    if call.latents is not None:
        z: Tensor = arguments[call.latents]
    else:
        channels = output.shape[1]
        z = arguments[call.features]
        z = z[:, :-channels] if call.latents_first else z[:, channels:]
    return z.reshape(*z.shape[:2], -1)[..., 0]


class Ran(NamedTuple):
    """A call that returned a tensor."""

    call: Call
    output: Tensor
    operators: set[str]  # the names of those that ran
    choosing: list[str]  # those among them through which the output may depend on values where no comparison looks
    bends: int  # how many activations and the like ran
    reads: bool  # whether Python code looked at values, by which it may decide for a whole batch
    random: bool  # whether random numbers were drawn


def runs(calls: Iterable[Call], combiner: nn.Module, features: Tensor, z: Tensor) -> Iterator[Ran]:
    """Each of the calls that returns a tensor. Raises ValueError for a combiner that edits its arguments."""
    for call in calls:
        try:
            given = features.clone(), z.clone()  # which the combiner may edit in place
            with PrivateRandomness(0) as private, Operators() as operators:
                output = call(combiner, *given)
            edited = not all(map(torch.equal, given, (features, z)))
        except Exception:  # other people's code may fail in any way when it is called in a way it does not know
            continue
        if edited and bool(torch.isfinite(features).all()):
            raise ValueError(
                f"model: its combiner, a {type(combiner).__name__}, edits its features or latents in place, so that "
                "its logits depend on earlier calls; wrap it in a module that copies them, and pass that to "
                "fastpunet.adapt(model, encode=..., combiner=...)"
            )
        if isinstance(output, Tensor):
            yield Ran(call, output, operators.names, operators.choosing, operators.bends, operators.reads, private.used)
