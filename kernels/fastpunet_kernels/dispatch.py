"""The ops as users call them: argument checks, the choice of backend, and registration with torch.library."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fastpunet_kernels import reference
from fastpunet_kernels.precision import fixed_precision
from fastpunet_kernels.reference import WORD_BITS

BACKENDS = ("auto", "triton", "reference")
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


def why_unavailable(backend: str, device: torch.device) -> str | None:
    """Why `backend` cannot run on tensors of `device`, or None if it can."""
    if backend == "reference":
        return None
    try:
        importlib.import_module("triton")
    except ImportError as error:
        return f"triton cannot be imported ({error}); install it with: pip install triton"
    if device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1":
        return None
    return f"the Triton kernels need a CUDA or ROCm device, not {device.type!r}; move model and images to a GPU"


def select_backend(backend: str, device: torch.device) -> str:
    """The backend that will run: "auto" takes Triton on a GPU and the PyTorch reference elsewhere.

    Raises ValueError for an unknown name and RuntimeError, with the reason, for a backend that cannot run here.
    """
    if backend not in BACKENDS:
        raise ValueError(f"backend: got {backend!r}, expected one of {', '.join(BACKENDS)}")
    if backend == "auto":
        gpu = device.type == "cuda" and why_unavailable("triton", device) is None
        return "triton" if gpu else "reference"
    reason = why_unavailable(backend, device)
    if reason is not None:
        raise RuntimeError(f'backend: {backend!r} cannot run: {reason}; or pass backend="auto"')
    return backend


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
    if precision not in ("ieee", "tf32", "bf16"):
        raise ValueError(f"precision: got {precision!r}, expected ieee, tf32 or bf16")
    chosen = select_backend(backend, base.device)
    if isinstance(latents, Tensor):
        return torch.ops.fastpunet.decode_latents(base, *decoder, latents, output, precision, chosen)
    return torch.ops.fastpunet.decode_gaussian(base, *decoder, *latents, output, precision, chosen)


def pairwise_intersection(a: Tensor, b: Tensor, *, backend: str = "auto") -> Tensor:
    """Pixels that masks share: packed int32 a (B, Na, K, words), b (B, Nb, K, words) -> int32 (B, Na, Nb, K), exact."""
    if a.shape[0] != b.shape[0] or a.shape[2:] != b.shape[2:]:
        raise ValueError(f"b: got shape {tuple(b.shape)}, expected {tuple(a.shape)} but for the number of masks")
    return torch.ops.fastpunet.pairwise_intersection(a, b, select_backend(backend, a.device))


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


@torch.library.custom_op("fastpunet::philox_normal", mutates_args=())
def _philox_normal(seed: int, ids: Tensor, first: int, n: int, dim: int, backend: str) -> Tensor:
    if backend == "triton":
        from fastpunet_kernels.triton.philox import launch_philox_normal

        return launch_philox_normal(seed, ids, first, n, dim)
    return reference.philox_normal(seed, ids, first, n, dim)


@_philox_normal.register_fake
def _(seed: int, ids: Tensor, first: int, n: int, dim: int, backend: str) -> Tensor:
    return ids.new_empty((ids.shape[0], n, dim), dtype=torch.float32)


@torch.library.custom_op("fastpunet::decode_latents", mutates_args=())
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


@torch.library.custom_op("fastpunet::decode_gaussian", mutates_args=())
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
    noise = reference.philox_normal(seed, ids, first, n, mu.shape[1])
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


@torch.library.custom_op("fastpunet::pairwise_intersection", mutates_args=())
def _pairwise_intersection(a: Tensor, b: Tensor, backend: str) -> Tensor:
    if backend == "triton":
        from fastpunet_kernels.triton.intersection import launch_pairwise_intersection

        return launch_pairwise_intersection(a, b)
    with fixed_precision("ieee", a.device):
        return reference.pairwise_intersection(a, b)


@_pairwise_intersection.register_fake
def _(a: Tensor, b: Tensor, backend: str) -> Tensor:
    return a.new_empty((a.shape[0], a.shape[1], b.shape[1], a.shape[2]))
