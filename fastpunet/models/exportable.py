"""What of a method runs elsewhere: one network from images to what hypotheses share, and one from that to logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fastpunet.models.fcomb import SplitFComb
from fastpunet.models.latent_maps import interpolated
from fastpunet.models.priors import Prior


class Exportable(NamedTuple):
    """The networks of a method as a program outside of this library can hold them.

    encode  images float32 (B, in_channels, *size) to named tensors, which all hypotheses share
    decode  features (B, C, *size), the first of these tensors, and latents z float32 (B, n, latent_dim) to logits
            float32 (B, n, K, *size); None for a method whose `encode` gives logits, or all that they are drawn from
    prior   the prior of the images that this was tried on; None without a latent
    """

    encode: nn.Module
    decode: nn.Module | None = None
    prior: Prior | None = None


class NamedTensors(nn.Module):
    """A method's network, and the function that gives named tensors of images by it."""

    def __init__(self, network: nn.Module, tensors_of: Callable[[Tensor], dict[str, Tensor]]) -> None:
        super().__init__()
        self.network = network
        self._tensors_of = tensors_of

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self._tensors_of(images)


class SplitDecode(nn.Module):
    """A combiner whose first layer is split, as the kernels take it: z is added to every pixel, and never tiled.

    maps: latent maps that z has behind its latents of the whole image; grid_of: their cells for a size of images.
    """

    feature_weight: Tensor
    feature_bias: Tensor
    z_weight: Tensor
    map_weight: Tensor

    def __init__(self, split: SplitFComb, maps: int, grid_of: Callable[[tuple[int, ...]], tuple[int, ...]]) -> None:
        super().__init__()
        self.maps, self.layers = maps, len(split.decoder.weights)
        self._grid_of = grid_of
        z_weight, map_weight = split.decoder.z_weight.tensor_split([split.decoder.z_weight.shape[1] - maps], dim=1)
        tensors = {"feature_weight": split.feature_weight, "feature_bias": split.feature_bias, "z_weight": z_weight}
        for i, pair in enumerate(zip(split.decoder.weights, split.decoder.biases, strict=True)):
            tensors |= {f"weight_{i}": pair[0], f"bias_{i}": pair[1]}
        for name, tensor in {**tensors, "map_weight": map_weight}.items():
            self.register_buffer(name, tensor.detach().clone())

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        size = features.shape[2:]
        of_image = self.z_weight.shape[1]
        base = self.feature_weight @ features.flatten(2) + self.feature_bias[:, None]  # (B, h, P)
        hidden = base[:, None] + (z[:, :, :of_image] @ self.z_weight.T)[..., None]  # (B, n, h, P)
        if self.maps:
            hidden = hidden + self._of_maps(z[:, :, of_image:], size)
        for i in range(self.layers):
            hidden = getattr(self, f"weight_{i}") @ hidden.relu() + getattr(self, f"bias_{i}")[:, None]
        return hidden.unflatten(3, size)

    def _of_maps(self, cells: Tensor, size: torch.Size) -> Tensor:
        """The share of latent maps (B, n, maps * cells) in the first layer, (B, n, h, P); the layer is linear."""
        grid = self._grid_of(tuple(size))
        coarse = self.map_weight @ cells.unflatten(2, (self.maps, -1))
        fine = interpolated(coarse.flatten(0, 1).unflatten(2, grid), tuple(size))
        return fine.flatten(2).unflatten(0, cells.shape[:2])


class TiledDecode(nn.Module):
    """A network that takes features and z of one hypothesis at a time, on features repeated for each of them."""

    def __init__(self, network: nn.Module, logits_of: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self._logits_of = logits_of

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        n = z.shape[1]
        repeated = features[:, None].expand(-1, n, *features.shape[1:]).flatten(0, 1)
        return self._logits_of(repeated, z.flatten(0, 1)).unflatten(0, (-1, n))


def prior_tensors(prior: Prior) -> dict[str, Tensor]:
    """The tensors of a prior under the names of its fields; TypeError for one that is more than tensors.

    >>> from fastpunet.models.priors import AxisAligned
    >>> list(prior_tensors(AxisAligned(torch.zeros(1, 2), torch.ones(1, 2))))
    ['mu', 'sigma']
    """
    return dict(_named(prior, ""))


def with_tensors(prior: Prior, tensors: Mapping[str, Tensor], prefix: str = "") -> Prior:
    """A prior of the same kind with other tensors, which have the names that `prior_tensors` gives them."""
    changed: dict[str, Any] = {}
    for field in _fields(prior):
        value = getattr(prior, field.name)
        if isinstance(value, Tensor):
            changed[field.name] = tensors[prefix + field.name]
        elif isinstance(value, tuple):
            changed[field.name] = tuple(
                with_tensors(part, tensors, f"{prefix}{field.name}_{i}_") for i, part in enumerate(value)
            )
    return replace(prior, **changed)  # type: ignore[type-var]


def _fields(prior: Prior) -> tuple[Field[Any], ...]:
    return fields(prior) if is_dataclass(prior) else ()


def _named(prior: Prior, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for field in _fields(prior):
        value = getattr(prior, field.name)
        if isinstance(value, Tensor):
            yield prefix + field.name, value
        elif isinstance(value, tuple) and all(isinstance(part, Prior) for part in value):
            for i, part in enumerate(value):
                yield from _named(part, f"{prefix}{field.name}_{i}_")
        elif value is not None:
            raise TypeError(
                f"model: its prior, of the kind {type(prior).__name__}, cannot be exported, because it is not made of "
                "tensors alone"
            )
