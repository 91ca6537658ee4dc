"""The ops as users call them: argument checks, the choice of backend, and registration as operators of PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, library

from fastpunet_kernels import reference
from fastpunet_kernels.backends import select_backend
from fastpunet_kernels.native import launch as native
from fastpunet_kernels.precision import fixed_precision
from fastpunet_kernels.reference import WORD_BITS

OUTPUTS = ("labels", "logits", "probs", "bits")


class Decoder(NamedTuple):
    """f_comb with its first layer split off: that layer's latent columns, then every later layer."""

    z_weight: Tensor  # (h, latent_dim)
    weights: list[Tensor]  # (out, in) each; the last one is (classes, h)
    biases: list[Tensor]  # (out,) each


class Gaussian(NamedTuple):
    """Latents as a recipe: hypothesis first + k of image ids[b] is mu[b] + sigma[b] * philox_normal(...)[b, k]."""

    mu: Tensor  # (B, latent_dim) float32
    sigma: Tensor  # (B, latent_dim) float32
    ids: Tensor  # (B,) int64
    seed: int
    first: int
    n: int


class Sums(NamedTuple):
    """What n hypotheses of every image leave behind when none of them is kept. K classes, 1 for binary models."""

    probability: Tensor  # float64 (B, K, P), sum over hypotheses
    entropy: Tensor  # float64 (B, P), sum over hypotheses, in nats
    volume: Tensor  # int64 (B, n, K), pixels decided for each class


def philox_normal(seed: int, ids: Tensor, first: int, n: int, dim: int, *, backend: str = "auto") -> Tensor:
    """Standard normals float32 (B, n, dim); entry (b, k, d) is a function of (seed, ids[b], first + k, d) alone.

    Philox4x32-10 (Salmon et al., SC 2011) and Box-Muller. `ids` int64 (B,) says where the result lives.
    """
    return torch.ops.fastpunet.philox_normal(seed, ids, first, n, dim, select_backend(backend, ids.device))


def decode_samples(
    base: Tensor,
    decoder: Decoder,
    latents: Tensor | Gaussian,
    *,
    output: str = "labels",
    precision: str = "ieee",
    backend: str = "auto",
) -> Tensor:
    """Decode n latents per image through f_comb (Kohl et al. 2018, section 2): 1x1 convolutions of [features; z].

    base float32 (B, P, h) is the first layer's share that all hypotheses have in common, Wf f + b1 per pixel.
    latents: z float32 (B, n, latent_dim), or a `Gaussian` to draw them from inside the op.
    Returns "labels" uint8 (B, n, P), "logits" or "probs" float32 (B, n, K, P), or "bits" int32 (B, n, K, ceil(P/32)).
    precision: "ieee", "tf32" (GPU only) or "bf16" (operands of the matrix products; sums stay float32).
    """
    if output not in OUTPUTS:
        raise ValueError(f"output: got {output!r}, expected one of {', '.join(OUTPUTS)}")
    _check_precision(precision)
    chosen = select_backend(backend, base.device)
    if isinstance(latents, Tensor):
        return torch.ops.fastpunet.decode_latents(base, *decoder, latents, output, precision, chosen)
    return torch.ops.fastpunet.decode_gaussian(base, *decoder, *latents, output, precision, chosen)


def tune_decode(
    base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, *, output: str, precision: str
) -> dict[str, float]:
    """Find how a GPU best divides `decode_samples` of such a problem, and do so from now on, in later processes too.

    Returns the seconds that the rule's division takes, and the fastest one.
    """
    from fastpunet_kernels.triton import decode

    n = latents.shape[1] if isinstance(latents, Tensor) else latents.n
    out = _empty_decoded(base, n, decoder.weights[-1].shape[0], output)
    took = [ms / 1000 for ms in decode.tune_decode(base, decoder, latents, out, output, precision).values()]
    return {"decoding": took[0], "decoding, tuned": min(took)}


def decode_sums(
    base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, *, precision: str = "ieee", backend: str = "auto"
) -> Sums:
    """Sums over the same hypotheses as `decode_samples`, in memory that does not grow with n but for the volumes."""
    _check_precision(precision)
    chosen = select_backend(backend, base.device)
    if isinstance(latents, Gaussian):
        mu, sigma, ids, seed, first, n = latents
        noise = torch.ops.fastpunet.philox_normal(seed, ids, first, n, mu.shape[1], chosen)
        latents = torch.addcmul(mu[:, None], sigma[:, None], noise)
    return Sums(*torch.ops.fastpunet.decode_sums(base, *decoder, latents, precision, chosen))


def sums_of_logits(logits: Tensor) -> Sums:
    """The same sums over hypotheses whose logits (B, n, K, P) are at hand."""
    return Sums(*reference.sums_of_logits(logits))


def pack_labels(labels: Tensor, classes: Sequence[int], *, backend: str = "auto") -> Tensor:
    """Bool or integer labels (..., P) to int32 (..., K, ceil(P / 32)): plane k has a bit where label == classes[k]."""
    if not classes:
        raise ValueError("classes: got none, expected at least one label to pack")
    return torch.ops.fastpunet.pack_labels(labels, list(classes), select_backend(backend, labels.device))


def unpack_labels(words: Tensor, pixels: int, *, backend: str = "auto") -> Tensor:
    """int32 (..., K, words) to labels uint8 (..., pixels): the first class whose bit is set, 255 if none is.

    Of a single plane, K = 1, the bit itself.
    """
    return torch.ops.fastpunet.unpack_labels(words, pixels, select_backend(backend, words.device))


def pairwise_intersection(a: Tensor, b: Tensor, *, backend: str = "auto") -> Tensor:
    """Pixels that masks share: packed int32 a (B, Na, K, words), b (B, Nb, K, words) -> int32 (B, Na, Nb, K), exact."""
    _check_pair(a, b)
    return torch.ops.fastpunet.pairwise_intersection(a, b, select_backend(backend, a.device))


def area(words: Tensor, *, backend: str = "auto") -> Tensor:
    """Pixels of every mask and class: packed int32 (B, N, K, words) -> int32 (B, N, K)."""
    return reference.area(lambda a, b: pairwise_intersection(a, b, backend=backend), words)


def mask_iou(a: Tensor, b: Tensor, empty: float, *, backend: str = "auto") -> Tensor:
    """IoU of packed int32 a (B, Na, K, words) and b (B, Nb, K, words): float32 (B, Na, Nb, K); `empty` if both are."""
    _check_pair(a, b)
    return torch.ops.fastpunet.mask_iou(a, b, empty, select_backend(backend, a.device))


def distance_sums(
    a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor, empty: float, *, backend: str = "auto"
) -> Tensor:
    """Sums over all pairs of masks of d = 1 - (mean IoU over classes), without holding the distances.

    Packed int32 a (B, Na, K, words) and b (B, Nb, K, words), weights float64 (B, Na) and (B, Nb) in [0, 1]. Returns
    float64 (B, 2): the sum of w d and the sum of w, over pairs whose d is a number; w is the product of both weights.
    `empty` is the IoU of two empty masks; NaN leaves the class out of the mean.
    """
    _check_pair(a, b)
    return torch.ops.fastpunet.distance_sums(a, b, weights_a, weights_b, empty, select_backend(backend, a.device))


def _check_precision(precision: str) -> None:
    if precision not in ("ieee", "tf32", "bf16"):
        raise ValueError(f"precision: got {precision!r}, expected ieee, tf32 or bf16")


def _check_pair(a: Tensor, b: Tensor) -> None:
    if a.shape[0] != b.shape[0] or a.shape[2:] != b.shape[2:]:
        raise ValueError(f"b: got shape {tuple(b.shape)}, expected {tuple(a.shape)} but for the number of masks")


def _decoded_shape(base: Tensor, n: int, classes: int, output: str) -> tuple[tuple[int, ...], torch.dtype]:
    images, pixels = base.shape[0], base.shape[1]
    if output == "labels":
        return (images, n, pixels), torch.uint8
    if output == "bits":
        return (images, n, classes, -(-pixels // WORD_BITS)), torch.int32
    return (images, n, classes, pixels), torch.float32


def _empty_decoded(base: Tensor, n: int, classes: int, output: str) -> Tensor:
    shape, dtype = _decoded_shape(base, n, classes, output)
    return base.new_empty(shape, dtype=dtype)


@library.custom_op("fastpunet::philox_normal", mutates_args=())
def _philox_normal(seed: int, ids: Tensor, first: int, n: int, dim: int, backend: str) -> Tensor:
    if backend == "triton":
        from fastpunet_kernels.triton.philox import launch_philox_normal

        return launch_philox_normal(seed, ids, first, n, dim)
    if backend == "native":
        return native.launch_philox_normal(seed, ids, first, n, dim)
    return reference.philox_normal(seed, ids, first, n, dim)


@_philox_normal.register_fake
def _(seed: int, ids: Tensor, first: int, n: int, dim: int, backend: str) -> Tensor:
    return ids.new_empty((ids.shape[0], n, dim), dtype=torch.float32)


@library.custom_op("fastpunet::decode_latents", mutates_args=())
def _decode_latents(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    output: str,
    precision: str,
    backend: str,
) -> Tensor:
    out = _empty_decoded(base, z.shape[1], weights[-1].shape[0], output)
    if backend == "triton":
        from fastpunet_kernels.triton.decode import launch_decode

        return launch_decode(base, Decoder(z_weight, list(weights), list(biases)), z, out, output, precision)
    if backend == "native":
        with fixed_precision("ieee", base.device):
            return native.launch_decode(base, z @ z_weight.T, weights, biases, out, output, precision)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with fixed_precision(precision, base.device):
        layers = [w.to(dtype) for w in weights], [b.to(dtype) for b in biases]
        return reference.decode_samples(base, z @ z_weight.T, *layers, out, output)


@_decode_latents.register_fake
def _(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    output: str,
    precision: str,
    backend: str,
) -> Tensor:
    return _empty_decoded(base, z.shape[1], weights[-1].shape[0], output)


@library.custom_op("fastpunet::decode_gaussian", mutates_args=())
def _decode_gaussian(
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
    backend: str,
) -> Tensor:
    if backend == "triton":
        from fastpunet_kernels.triton.decode import launch_decode

        out = _empty_decoded(base, n, weights[-1].shape[0], output)
        decoder = Decoder(z_weight, list(weights), list(biases))
        return launch_decode(base, decoder, Gaussian(mu, sigma, ids, seed, first, n), out, output, precision)
    noise = _philox_normal(seed, ids, first, n, mu.shape[1], backend)
    z = torch.addcmul(mu[:, None], sigma[:, None], noise)
    return _decode_latents(base, z_weight, weights, biases, z, output, precision, backend)


@_decode_gaussian.register_fake
def _(
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
    backend: str,
) -> Tensor:
    return _empty_decoded(base, n, weights[-1].shape[0], output)


@library.custom_op("fastpunet::decode_sums", mutates_args=())
def _decode_sums(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    precision: str,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    if backend == "triton":
        from fastpunet_kernels.triton.decode import launch_decode_sums

        return launch_decode_sums(base, Decoder(z_weight, list(weights), list(biases)), z, precision)
    if backend == "native":
        with fixed_precision("ieee", base.device):
            return native.launch_decode_sums(base, z @ z_weight.T, weights, biases, precision)

    def logits(some: Tensor) -> Tensor:
        return _decode_latents(base, z_weight, weights, biases, some, "logits", precision, backend)

    return reference.decode_sums(logits, z, base.shape[1], weights[-1].shape[0])


@_decode_sums.register_fake
def _(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    precision: str,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    images, pixels, classes = base.shape[0], base.shape[1], weights[-1].shape[0]
    return (
        base.new_empty((images, classes, pixels), dtype=torch.float64),
        base.new_empty((images, pixels), dtype=torch.float64),
        base.new_empty((images, z.shape[1], classes), dtype=torch.int64),
    )


@library.custom_op("fastpunet::pack_labels", mutates_args=())
def _pack_labels(labels: Tensor, classes: Sequence[int], backend: str) -> Tensor:
    bytes_ = labels.to(torch.uint8)
    fits = (
        min(classes) >= 0
        and max(classes) < 256
        and (labels.dtype in (torch.bool, torch.uint8) or torch.equal(bytes_, labels))
    )
    if backend == "native" and fits:
        return native.launch_pack_labels(bytes_, torch.tensor(classes, dtype=torch.uint8))
    return reference.pack_labels(labels, classes)


@_pack_labels.register_fake
def _(labels: Tensor, classes: Sequence[int], backend: str) -> Tensor:
    return labels.new_empty((*labels.shape[:-1], len(classes), -(-labels.shape[-1] // WORD_BITS)), dtype=torch.int32)


@library.custom_op("fastpunet::unpack_labels", mutates_args=())
def _unpack_labels(words: Tensor, pixels: int, backend: str) -> Tensor:
    if backend == "native":
        return native.launch_unpack_labels(words, pixels)
    return reference.unpack_labels(words, pixels)


@_unpack_labels.register_fake
def _(words: Tensor, pixels: int, backend: str) -> Tensor:
    return words.new_empty((*words.shape[:-2], pixels), dtype=torch.uint8)


@library.custom_op("fastpunet::pairwise_intersection", mutates_args=())
def _pairwise_intersection(a: Tensor, b: Tensor, backend: str) -> Tensor:
    if backend == "triton":
        from fastpunet_kernels.triton.intersection import launch_pairwise_intersection

        return launch_pairwise_intersection(a, b)
    if backend == "native":
        return native.launch_pairwise_intersection(a, b)
    with fixed_precision("ieee", a.device):
        return reference.pairwise_intersection(a, b)


@_pairwise_intersection.register_fake
def _(a: Tensor, b: Tensor, backend: str) -> Tensor:
    return a.new_empty((a.shape[0], a.shape[1], b.shape[1], a.shape[2]))


@library.custom_op("fastpunet::mask_iou", mutates_args=())
def _mask_iou(a: Tensor, b: Tensor, empty: float, backend: str) -> Tensor:
    if backend == "native":
        return native.launch_mask_iou(a, b, empty)
    return reference.mask_iou(lambda some, others: _pairwise_intersection(some, others, backend), a, b, empty)


@_mask_iou.register_fake
def _(a: Tensor, b: Tensor, empty: float, backend: str) -> Tensor:
    return a.new_empty((a.shape[0], a.shape[1], b.shape[1], a.shape[2]), dtype=torch.float32)


@library.custom_op("fastpunet::distance_sums", mutates_args=())
def _distance_sums(a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor, empty: float, backend: str) -> Tensor:
    if backend == "native":
        return native.launch_distance_sums(a, b, weights_a, weights_b, empty)

    return reference.distance_sums(
        lambda some, others: _pairwise_intersection(some, others, backend), a, b, weights_a, weights_b, empty
    )


@_distance_sums.register_fake
def _(a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor, empty: float, backend: str) -> Tensor:
    return weights_a.new_empty((a.shape[0], 2))
