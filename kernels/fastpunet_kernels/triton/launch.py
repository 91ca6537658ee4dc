"""The backend "triton": the functions of reference.py, done by the Triton kernels where there is one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from fastpunet_kernels.problem import Decoder, Gaussian, Maps, empty_output
from fastpunet_kernels.reference import iou_of_pairs, pack_labels, unpack_labels
from fastpunet_kernels.triton.decode import launch_decode, launch_decode_sums
from fastpunet_kernels.triton.gradients import launch_gradients as decode_logits_gradients
from fastpunet_kernels.triton.overlap import launch_area as area
from fastpunet_kernels.triton.overlap import launch_distance_sums as distance_sums
from fastpunet_kernels.triton.overlap import launch_mask_iou as mask_iou
from fastpunet_kernels.triton.overlap import launch_pairwise_intersection as pairwise_intersection
from fastpunet_kernels.triton.philox import launch_philox_normal as philox_normal
from fastpunet_kernels.triton.pruning import launch_pruned, prunes

__all__ = [
    "area",
    "decode_gaussian",
    "decode_latents",
    "decode_logits",
    "decode_logits_gradients",
    "decode_map_sums",
    "decode_maps",
    "decode_sums",
    "distance_sums",
    "iou_of_pairs",
    "mask_iou",
    "pack_labels",
    "pairwise_intersection",
    "philox_normal",
    "unpack_labels",
]


def decode_latents(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    output: str,
    precision: str,
) -> Tensor:
    return _decode(base, Decoder(z_weight, list(weights), list(biases)), z, z.shape[1], output, precision)


def decode_logits(
    base: Tensor, z_weight: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], z: Tensor
) -> Tensor:
    return decode_latents(base, z_weight, weights, biases, z, "logits", "ieee")


def decode_gaussian(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    mu: Tensor,
    sigma: Tensor,
    ids: Tensor,
    seed: int,
    first: int,
    n: int,
    output: str,
    precision: str,
) -> Tensor:
    decoder = Decoder(z_weight, list(weights), list(biases))
    return _decode(base, decoder, Gaussian(mu, sigma, ids, seed, first, n), n, output, precision)


def _decode(base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, n: int, output: str, precision: str) -> Tensor:
    classes = decoder.weights[-1].shape[0]
    launch = launch_pruned if prunes(output, classes, n) else launch_decode
    return launch(base, decoder, latents, empty_output(base, n, classes, output), output, precision)


def decode_sums(
    base: Tensor, z_weight: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], z: Tensor, precision: str
) -> tuple[Tensor, Tensor, Tensor]:
    return launch_decode_sums(base, Decoder(z_weight, list(weights), list(biases)), z, precision)


def decode_maps(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    values: Tensor,
    map_weight: Tensor,
    size: Sequence[int],
    output: str,
    precision: str,
) -> Tensor:
    out = empty_output(base, z.shape[1], weights[-1].shape[0], output)
    decoder, maps = Decoder(z_weight, list(weights), list(biases)), Maps(values, map_weight, tuple(size))
    return launch_decode(base, decoder, z, out, output, precision, maps=maps)


def decode_map_sums(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    values: Tensor,
    map_weight: Tensor,
    size: Sequence[int],
    precision: str,
) -> tuple[Tensor, Tensor, Tensor]:
    decoder, maps = Decoder(z_weight, list(weights), list(biases)), Maps(values, map_weight, tuple(size))
    return launch_decode_sums(base, decoder, z, precision, maps)
