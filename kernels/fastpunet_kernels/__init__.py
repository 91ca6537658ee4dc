"""The ops of fastpunet: decoding hypotheses from latents, packing masks and counting overlaps, counter-based noise."""

from fastpunet_kernels.backends import BACKENDS, select_backend, why_unavailable
from fastpunet_kernels.dispatch import (
    OUTPUTS,
    Decoder,
    Gaussian,
    Sums,
    area,
    decode_samples,
    decode_sums,
    distance_sums,
    mask_iou,
    pack_labels,
    pairwise_intersection,
    philox_normal,
    sums_of_logits,
    tune_decode,
    unpack_labels,
)
from fastpunet_kernels.precision import PRECISIONS, automatic_precision, fixed_precision
from fastpunet_kernels.reference import WORD_BITS, finish, pack_bits, unpack_bits

__all__ = [
    "BACKENDS",
    "OUTPUTS",
    "PRECISIONS",
    "WORD_BITS",
    "Decoder",
    "Gaussian",
    "Sums",
    "area",
    "automatic_precision",
    "decode_samples",
    "decode_sums",
    "distance_sums",
    "finish",
    "fixed_precision",
    "mask_iou",
    "pack_bits",
    "pack_labels",
    "pairwise_intersection",
    "philox_normal",
    "select_backend",
    "sums_of_logits",
    "tune_decode",
    "unpack_bits",
    "unpack_labels",
    "why_unavailable",
]
