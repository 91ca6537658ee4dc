"""The ops of fastpunet: decoding hypotheses from a latent, counting mask overlaps, counter-based noise."""

from fastpunet_kernels.dispatch import (
    BACKENDS,
    OUTPUTS,
    Decoder,
    Gaussian,
    decode_samples,
    pairwise_intersection,
    philox_normal,
    select_backend,
    why_unavailable,
)
from fastpunet_kernels.precision import PRECISIONS, automatic_precision, fixed_precision
from fastpunet_kernels.reference import WORD_BITS, pack_bits, unpack_bits

__all__ = [
    "BACKENDS",
    "OUTPUTS",
    "PRECISIONS",
    "WORD_BITS",
    "Decoder",
    "Gaussian",
    "automatic_precision",
    "decode_samples",
    "fixed_precision",
    "pack_bits",
    "pairwise_intersection",
    "philox_normal",
    "select_backend",
    "unpack_bits",
    "why_unavailable",
]
