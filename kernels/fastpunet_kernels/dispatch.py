"""The ops as users call them: argument checks, the choice of backend, and registration as operators of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, float32, float64, int32, int64, library, uint8

from fastpunet_kernels import reference
from fastpunet_kernels.backends import implementation, select_backend
from fastpunet_kernels.low_rank import LowRankLogits, check_low_rank
from fastpunet_kernels.problem import (
    OUTPUTS,
    WORD_BITS,
    Decoder,
    Gaussian,
    Maps,
    Sums,
    check_maps,
    check_problem,
    check_same_dtype,
    empty_output,
    reparameterised,
)


def _op(fake: Callable[..., Any]) -> Any:
    """Register a PyTorch op `fastpunet::NAME` from a function NAME whose last argument is the backend.

    The function gives the op's signature. Its body is the op's fake implementation, which returns outputs of the right
    shape and dtype. The op itself calls the backend's function NAME with all arguments but the last.
    """
    name = fake.__name__.removeprefix("_")

    def run(*arguments: Any) -> Any:
        return implementation(arguments[-1], name)(*arguments[:-1])

    schema = library.infer_schema(fake, mutates_args=())
    op = library.custom_op(f"fastpunet::{name}", run, mutates_args=(), schema=schema)
    op.register_fake(fake)
    return op


@_op
def _philox_normal(seed: int, ids: Tensor, first: int, n: int, dim: int, backend: str) -> Tensor:
    return ids.new_empty((ids.shape[0], n, dim), dtype=float32)


@_op
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
    return empty_output(base, z.shape[1], weights[-1].shape[0], output)


@_op
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
    return empty_output(base, n, weights[-1].shape[0], output)


@_op
def _decode_maps(
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
    backend: str,
) -> Tensor:
    return empty_output(base, z.shape[1], weights[-1].shape[0], output)


@_op
def _decode_logits(
    base: Tensor, z_weight: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], z: Tensor, backend: str
) -> Tensor:
    return empty_output(base, z.shape[1], weights[-1].shape[0], "logits")


@_op
def _decode_logits_gradients(
    gradient: Tensor,
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    backend: str,
) -> list[Tensor]:
    return [part.new_empty(part.shape) for part in (base, z_weight, *weights, *biases, z)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    base, z_weight, weights, biases, z, ctx.backend = inputs
    ctx.save_for_backward(base, z_weight, *weights, *biases, z)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    base, z_weight, *layers, z = ctx.saved_tensors
    weights, biases = layers[: len(layers) // 2], layers[len(layers) // 2 :]
    found = _decode_logits_gradients(gradient.contiguous(), base, z_weight, weights, biases, z, ctx.backend)
    of_base, of_z_weight, *of_layers, of_z = found
    return of_base, of_z_weight, of_layers[: len(weights)], of_layers[len(weights) :], of_z, None


_decode_logits.register_autograd(_gradients, setup_context=_keep)


def _empty_sums(base: Tensor, weights: Sequence[Tensor], z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    images, pixels, classes = base.shape[0], base.shape[1], weights[-1].shape[0]
    return (
        base.new_empty((images, classes, pixels), dtype=float64),
        base.new_empty((images, pixels), dtype=float64),
        base.new_empty((images, z.shape[1], classes), dtype=int64),
    )


@_op
def _decode_sums(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    precision: str,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_sums(base, weights, z)


@_op
def _decode_map_sums(
    base: Tensor,
    z_weight: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    z: Tensor,
    values: Tensor,
    map_weight: Tensor,
    size: Sequence[int],
    precision: str,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_sums(base, weights, z)


@_op
def _draw_low_rank(
    mean: Tensor,
    factor: Tensor,
    sigma: Tensor,
    e: Tensor,
    ids: Tensor,
    seed: int,
    first: int,
    output: str,
    backend: str,
) -> Tensor:
    return empty_output(mean.mT, e.shape[1], mean.shape[1], output)


@_op
def _draw_low_rank_sums(
    mean: Tensor, factor: Tensor, sigma: Tensor, e: Tensor, ids: Tensor, seed: int, first: int, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    images, classes, pixels = mean.shape
    return (
        mean.new_empty((images, classes, pixels), dtype=float64),
        mean.new_empty((images, pixels), dtype=float64),
        mean.new_empty((images, e.shape[1], classes), dtype=int64),
    )


@_op
def _pack_labels(labels: Tensor, classes: Sequence[int], backend: str) -> Tensor:
    return labels.new_empty((*labels.shape[:-1], len(classes), -(-labels.shape[-1] // WORD_BITS)), dtype=int32)


@_op
def _unpack_labels(words: Tensor, pixels: int, backend: str) -> Tensor:
    return words.new_empty((*words.shape[:-2], pixels), dtype=uint8)


@_op
def _area(words: Tensor, backend: str) -> Tensor:
    return words.new_empty(words.shape[:-1])


@_op
def _pairwise_intersection(a: Tensor, b: Tensor, backend: str) -> Tensor:
    return a.new_empty((a.shape[0], a.shape[1], b.shape[1], a.shape[2]))


@_op
def _mask_iou(a: Tensor, b: Tensor, empty: float, backend: str) -> Tensor:
    return a.new_empty((a.shape[0], a.shape[1], b.shape[1], a.shape[2]), dtype=float32)


@_op
def _iou_of_pairs(masks: Tensor, first: Tensor, second: Tensor, empty: float, backend: str) -> Tensor:
    return masks.new_empty((masks.shape[0], first.shape[0], masks.shape[2]), dtype=float64)


@_op
def _distance_sums(a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor, empty: float, backend: str) -> Tensor:
    return weights_a.new_empty((a.shape[0], 2))


def philox_normal(seed: int, ids: Tensor, first: int, n: int, dim: int, *, backend: str = "auto") -> Tensor:
    """Standard normals float32 (B, n, dim); entry (b, k, d) is a function of (seed, ids[b], first + k, d) alone.

    Philox4x32-10 (Salmon et al., SC 2011) and Box-Muller. The result is on the device of `ids` int64 (B,).
    """
    return _philox_normal(seed, ids, first, n, dim, select_backend(backend, ids.device))


def decode_samples(
    base: Tensor,
    decoder: Decoder,
    latents: Tensor | Gaussian,
    *,
    maps: Maps | None = None,
    output: str = "labels",
    precision: str = "ieee",
    backend: str = "auto",
) -> Tensor:
    """Decode n latents per image through f_comb (Kohl et al. 2018, section 2): 1x1 convolutions of [features; z].

    base float32 (B, P, h) is the part of the first layer that all hypotheses share, Wf f + b1 for each pixel.
    latents: z float32 (B, n, latent_dim), or a `Gaussian` from which the op draws them.
    maps: latent maps of the same hypotheses, for which latents must be z.
    Returns "labels" uint8 (B, n, P), "logits" or "probs" float32 (B, n, K, P), or "bits" int32 (B, n, K, ceil(P/32)).
    precision: "ieee", "tf32" (GPU only) or "bf16" (operands of the matrix products; sums stay float32).

    A hypothesis has the same bits whatever n, `first` and the batch are. The error of float outputs against exact
    arithmetic is at most about twice that of plain PyTorch in the same precision.

    Raises ValueError, naming the argument, for shapes that do not fit, and on a CPU for NaN, infinity or numbers so
    large that float32 would overflow in f_comb. On a GPU values are not checked, because the host would have to wait
    for the result; NaN stays NaN there, as in PyTorch.
    """
    if output not in OUTPUTS:
        raise ValueError(f"output: got {output!r}, expected one of {', '.join(OUTPUTS)}")
    _check_precision(precision)
    check_problem(base, decoder, latents)
    chosen = select_backend(backend, base.device)
    if maps is not None:
        check_maps(base, latents, maps)
        return _decode_maps(base, *decoder, latents, *maps, output, precision, chosen)
    if isinstance(latents, Tensor):
        return _decode_latents(base, *decoder, latents, output, precision, chosen)
    return _decode_gaussian(base, *decoder, *latents, output, precision, chosen)


def decode_logits(base: Tensor, decoder: Decoder, z: Tensor, *, backend: str = "auto") -> Tensor:
    """The logits of `decode_samples`, with gradients of base, decoder and z (Kohl et al. 2018, equation 2).

    base (B, P, h), z (B, n, latent_dim) and the decoder's weights are all float32, or all float64, which only the
    reference computes. Returns logits (B, n, K, P) in that dtype. NaN stays NaN, as in PyTorch.

    The reference is plain autograd and keeps the activations of all layers. Other backends compute them again in the
    backward pass, which cannot be differentiated itself. The error of every gradient is at most about twice autograd's.

    Raises ValueError, naming the argument, for shapes and dtypes that do not fit.
    """
    check_problem(base, decoder, z, dtypes=(float32, float64))
    check_same_dtype(base, decoder, z)
    exact = base.dtype == float64
    chosen = select_backend("reference" if exact and backend == "auto" else backend, base.device)
    if chosen == "reference":
        return reference.decode_logits(base, *decoder, z)
    if exact:
        raise ValueError(f'backend: got {backend!r} for float64, which only "reference" computes; pass backend="auto"')
    return _decode_logits(base, *decoder, z, chosen)


def tune_decode(
    base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, *, output: str, precision: str
) -> dict[str, float]:
    """Find the fastest tiling of `decode_samples` for such a problem on a GPU, and use it from now on.

    Later processes use it too. Returns the seconds that the default tiling takes, and the fastest one.
    """
    from fastpunet_kernels.triton import decode

    n = latents.shape[1] if isinstance(latents, Tensor) else latents.n
    out = empty_output(base, n, decoder.weights[-1].shape[0], output)
    took = [ms / 1000 for ms in decode.tune_decode(base, decoder, latents, out, output, precision).values()]
    return {"decoding": took[0], "decoding, tuned": min(took)}


def decode_sums(
    base: Tensor,
    decoder: Decoder,
    latents: Tensor | Gaussian,
    *,
    maps: Maps | None = None,
    precision: str = "ieee",
    backend: str = "auto",
) -> Sums:
    """Sums over the hypotheses of `decode_samples`. Apart from the volumes, the memory does not grow with n."""
    _check_precision(precision)
    check_problem(base, decoder, latents)
    chosen = select_backend(backend, base.device)
    if maps is not None:
        check_maps(base, latents, maps)
        return Sums(*_decode_map_sums(base, *decoder, latents, *maps, precision, chosen))
    if isinstance(latents, Gaussian):
        mu, sigma, ids, seed, first, n = latents
        latents = reparameterised(mu, sigma, _philox_normal(seed, ids, first, n, mu.shape[1], chosen))
    return Sums(*_decode_sums(base, *decoder, latents, precision, chosen))


def draw_low_rank(
    normal: LowRankLogits,
    e: Tensor,
    ids: Tensor,
    *,
    seed: int,
    first: int = 0,
    output: str = "labels",
    backend: str = "auto",
) -> Tensor:
    """Draw n hypotheses per image whose logits are a low-rank normal (Monteiro et al. 2020, arXiv 2006.06015).

    logits = mean + sum_r factor[r] e[r] + sigma * e', see `LowRankLogits`. e float32 (B, n, R) are the standard normals
    of the factors, for hypotheses first .. first + n - 1. The op draws those of the pixels, e', one for each class and
    pixel: they are a function of (seed, ids[b], first + k, class, pixel) alone, see `low_rank.pixel_normals`.
    ids int64 (B,), 0 <= seed < 2**63.
    Returns "labels" uint8 (B, n, P), "logits" or "probs" float32 (B, n, K, P), or "bits" int32 (B, n, K, ceil(P/32)).
    Everything is computed in float32. A hypothesis has the same bits whatever n, `first` and the batch are.

    Raises ValueError, naming the argument, for shapes that do not fit, and on a CPU for NaN, infinity or numbers so
    large that float32 would overflow. On a GPU values are not checked, because the host would have to wait.
    """
    if output not in OUTPUTS:
        raise ValueError(f"output: got {output!r}, expected one of {', '.join(OUTPUTS)}")
    check_low_rank(normal, e, ids)
    return _draw_low_rank(*normal, e, ids, seed, first, output, select_backend(backend, normal.mean.device))


def draw_low_rank_sums(
    normal: LowRankLogits, e: Tensor, ids: Tensor, *, seed: int, first: int = 0, backend: str = "auto"
) -> Sums:
    """Sums over the hypotheses of `draw_low_rank`. Apart from the volumes, the memory does not grow with n."""
    check_low_rank(normal, e, ids)
    return Sums(*_draw_low_rank_sums(*normal, e, ids, seed, first, select_backend(backend, normal.mean.device)))


def pack_labels(labels: Tensor, classes: Sequence[int], *, backend: str = "auto") -> Tensor:
    """Pack bool or integer labels (..., P) to int32 (..., K, ceil(P / 32)); plane k marks label == classes[k]."""
    if not classes:
        raise ValueError("classes: got none, expected at least one label to pack")
    return _pack_labels(labels, list(classes), select_backend(backend, labels.device))


def unpack_labels(words: Tensor, pixels: int, *, backend: str = "auto") -> Tensor:
    """Unpack int32 (..., K, words) to labels uint8 (..., pixels): the first class whose bit is set, 255 if none is.

    With a single plane, K = 1, the label is the bit itself.
    """
    return _unpack_labels(words, pixels, select_backend(backend, words.device))


def pairwise_intersection(a: Tensor, b: Tensor, *, backend: str = "auto") -> Tensor:
    """Shared pixels of packed int32 masks a (B, Na, K, words) and b (B, Nb, K, words): int32 (B, Na, Nb, K), exact."""
    _check_pair(a, b)
    return _pairwise_intersection(a, b, select_backend(backend, a.device))


def area(words: Tensor, *, backend: str = "auto") -> Tensor:
    """Count the pixels of every mask and class: packed int32 (B, N, K, words) -> int32 (B, N, K)."""
    return _area(words, select_backend(backend, words.device))


def mask_iou(a: Tensor, b: Tensor, empty: float, *, backend: str = "auto") -> Tensor:
    """IoU of packed int32 a (B, Na, K, words) and b (B, Nb, K, words): float32 (B, Na, Nb, K).

    `empty` is the IoU of two empty masks.
    """
    _check_pair(a, b)
    return _mask_iou(a, b, empty, select_backend(backend, a.device))


def iou_of_pairs(masks: Tensor, first: Tensor, second: Tensor, empty: float, *, backend: str = "auto") -> Tensor:
    """IoU of chosen pairs of packed int32 masks (B, N, K, words), the same in every image: float64 (B, pairs, K).

    first, second: int64 (pairs,), places 0 .. N - 1 of their masks. `empty` is the IoU of two empty masks.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            f"second: got shape {tuple(second.shape)}, expected {tuple(first.shape)} = (pairs,) as in first"
        )
    return _iou_of_pairs(masks, first, second, empty, select_backend(backend, masks.device))


def distance_sums(
    a: Tensor, b: Tensor, weights_a: Tensor, weights_b: Tensor, empty: float, *, backend: str = "auto"
) -> Tensor:
    """Sums over all pairs of masks of d = 1 - (mean IoU over classes), without holding the distances.

    Packed int32 a (B, Na, K, words) and b (B, Nb, K, words), weights float64 (B, Na) and (B, Nb) in [0, 1]. Returns
    float64 (B, 2): the sum of w d and the sum of w, over pairs whose d is a number; w is the product of both weights.
    `empty` is the IoU of two empty masks; NaN leaves the class out of the mean.
    """
    _check_pair(a, b)
    return _distance_sums(a, b, weights_a, weights_b, empty, select_backend(backend, a.device))


def _check_precision(precision: str) -> None:
    if precision not in ("ieee", "tf32", "bf16"):
        raise ValueError(f"precision: got {precision!r}, expected ieee, tf32 or bf16")


def _check_pair(a: Tensor, b: Tensor) -> None:
    if a.shape[0] != b.shape[0] or a.shape[2:] != b.shape[2:]:
        raise ValueError(f"b: got shape {tuple(b.shape)}, expected {tuple(a.shape)} in all but the number of masks")
