"""The arguments and results of the ops, which are the same for every backend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

OUTPUTS = ("labels", "logits", "probs", "bits")
WORD_BITS = 32  # pixels in a word of packed masks
MOST_CLASSES = 256  # labels are uint8


class Decoder(NamedTuple):
    """f_comb with its first layer split off: that layer's latent columns, then every later layer."""

    z_weight: Tensor  # (h, latent_dim)
    weights: list[Tensor]  # (out, in) each; the last one is (classes, h)
    biases: list[Tensor]  # (out,) each

    def to(self, dtype: torch.dtype) -> Decoder:
        """The same numbers in another dtype."""
        return Decoder(self.z_weight.to(dtype), [w.to(dtype) for w in self.weights], [b.to(dtype) for b in self.biases])


class Gaussian(NamedTuple):
    """A recipe for latents: that of hypothesis first + k of image b is mu[b] + sigma[b] * philox_normal(...)[b, k]."""

    mu: Tensor  # (B, latent_dim) float32
    sigma: Tensor  # (B, latent_dim) float32
    ids: Tensor  # (B,) int64
    seed: int
    first: int
    n: int


class Maps(NamedTuple):
    """Latent maps: latents in every cell of a grid over the image, beside those of the whole image.

    Interpolated to the image's size, linearly and with aligned corners, they are further inputs of the first layer.
    """

    values: Tensor  # (B, n, maps, *grid)
    weight: Tensor  # (h, maps), the first layer's columns of the maps
    size: tuple[int, ...]  # the image's own; P is their product


class Sums(NamedTuple):
    """Sums over n hypotheses of every image, which are not kept themselves. K classes, 1 for binary models."""

    probability: Tensor  # float64 (B, K, P), sum over hypotheses
    entropy: Tensor  # float64 (B, P), sum over hypotheses, in nats
    volume: Tensor  # int64 (B, n, K), number of pixels labelled with each class


def empty_output(base: Tensor, n: int, classes: int, output: str) -> Tensor:
    """An empty tensor for n hypotheses of every image of base (B, P, h), in the shape and dtype of the named output."""
    images, pixels = base.shape[0], base.shape[1]
    if output == "labels":
        return base.new_empty((images, n, pixels), dtype=torch.uint8)
    if output == "bits":
        return base.new_empty((images, n, classes, -(-pixels // WORD_BITS)), dtype=torch.int32)
    return base.new_empty((images, n, classes, pixels), dtype=torch.float32)


def reparameterised(mu: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """z = mu + sigma * noise for mu and sigma (B, latent_dim) and noise (B, n, latent_dim).

    Two operations, each rounded once, so that no bit of a latent depends on how many are computed together.
    """
    return mu[:, None] + sigma[:, None] * noise


def decoder_gradients(offset: Tensor, layers: Tensor, decoder: Decoder, z: Tensor) -> list[Tensor]:
    """The gradients of z_weight, of all weights, of all biases and of z, in their dtypes and shapes.

    offset: those of the first layer's part z_weight z, float64 (B, n, h). layers: those of every later layer's weight
    and then its bias, one after another, float64 (size,).
    """
    parts = [part for weight in decoder.weights for part in (weight.numel(), weight.shape[0])]
    weights_and_biases = layers.split(parts)
    found = (
        torch.einsum("bnh,bnd->hd", offset, z.double()),
        *weights_and_biases[::2],
        *weights_and_biases[1::2],
        offset @ decoder.z_weight.double(),
    )
    like = (decoder.z_weight, *decoder.weights, *decoder.biases, z)
    return [values.to(part.dtype).view(part.shape) for values, part in zip(found, like, strict=True)]


def check_problem(
    base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, dtypes: Sequence[torch.dtype] = (torch.float32,)
) -> None:
    """Raise ValueError, naming the argument, unless shapes and dtypes are those that `decode_samples` describes.

    dtypes: those that base may have.
    """
    z_weight, weights, biases = decoder
    if base.ndim != 3 or base.dtype not in dtypes:
        names = " or ".join(map(_name, dtypes))
        raise ValueError(f"base: got {_described(base)}, expected {names} of shape (B, P, h)")
    images, _, width = base.shape
    if z_weight.ndim != 2 or z_weight.shape[0] != width or z_weight.shape[1] < 1:
        raise ValueError(f"decoder.z_weight: got {_described(z_weight)}, expected ({width}, latent_dim) as base has it")
    if not weights or len(weights) != len(biases):
        raise ValueError(
            f"decoder: got {len(weights)} weights and {len(biases)} biases, expected one of each for every layer"
        )
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
            raise ValueError(
                f"decoder: got weights[{layer}] {_described(weight)} and biases[{layer}] {_described(bias)}, "
                f"expected (out, {width}) and (out,)"
            )
        width = weight.shape[0]
    if width > MOST_CLASSES:
        raise ValueError(f"decoder: got {width} classes, expected at most {MOST_CLASSES} (labels are uint8)")
    latent_dim = z_weight.shape[1]
    for name, part in zip(("mu", "sigma"), latents[:2], strict=True) if isinstance(latents, Gaussian) else ():
        if part.shape != (images, latent_dim):
            raise ValueError(f"latents.{name}: got {_described(part)}, expected ({images}, {latent_dim})")
    if isinstance(latents, Tensor) and (latents.ndim != 3 or latents.shape[::2] != (images, latent_dim)):
        raise ValueError(f"latents: got {_described(latents)}, expected ({images}, n, {latent_dim})")


def check_maps(base: Tensor, latents: Tensor | Gaussian, maps: Maps) -> None:
    """Raise ValueError, naming the argument, unless maps are those of the hypotheses and pixels of such a problem."""
    values, weight, size = maps
    if not isinstance(latents, Tensor):
        raise ValueError("latents: got a recipe and maps, expected z (B, n, latent_dim) beside maps; draw them first")
    if weight.ndim != 2 or weight.shape[0] != base.shape[2] or weight.shape[1] < 1 or weight.dtype != base.dtype:
        raise ValueError(
            f"maps.weight: got {_described(weight)}, expected ({base.shape[2]}, maps) in the dtype of base"
        )
    if math.prod(size) != base.shape[1] or not 1 <= len(size) <= 3:
        raise ValueError(
            f"maps.size: got {size}, expected one to three lengths whose product is {base.shape[1]} pixels"
        )
    expected = (*latents.shape[:2], weight.shape[1])
    grid = values.shape[3:]
    fits = len(grid) == len(size) and all(1 <= cells <= length for cells, length in zip(grid, size, strict=True))
    if values.shape[:3] != expected or not fits or values.dtype != base.dtype:
        raise ValueError(
            f"maps.values: got {_described(values)}, expected {expected} and a grid no finer than {size}, in the dtype "
            "of base"
        )


def check_same_dtype(base: Tensor, decoder: Decoder, z: Tensor) -> None:
    """Raise ValueError, naming the argument, unless weights and latents have the dtype of base."""
    parts = {"decoder.z_weight": decoder.z_weight, "z": z}
    parts |= {f"decoder.weights[{layer}]": weight for layer, weight in enumerate(decoder.weights)}
    parts |= {f"decoder.biases[{layer}]": bias for layer, bias in enumerate(decoder.biases)}
    for name, part in parts.items():
        if part.dtype != base.dtype:
            raise ValueError(f"{name}: got {_name(part.dtype)}, expected {_name(base.dtype)}, the dtype of base")


def _described(tensor: Tensor) -> str:
    return f"{_name(tensor.dtype)} {tuple(tensor.shape)}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
