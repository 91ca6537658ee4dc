"""The ops of fastpunet: decode hypotheses from latents, pack masks, count overlaps, and draw counter-based noise."""

from fastpunet_kernels.backends import BACKENDS, select_backend, why_unavailable
from fastpunet_kernels.dispatch import (
    area,
    decode_logits,
    decode_samples,
    decode_sums,
    distance_sums,
    draw_low_rank,
    draw_low_rank_sums,
    iou_of_pairs,
    mask_iou,
    pack_labels,
    pairwise_intersection,
    philox_normal,
    tune_decode,
    unpack_labels,
)
from fastpunet_kernels.low_rank import LowRankLogits
from fastpunet_kernels.precision import PRECISIONS, automatic_precision, fixed_precision
from fastpunet_kernels.problem import OUTPUTS, WORD_BITS, Decoder, Gaussian, Maps, Sums
from fastpunet_kernels.reference import (
    finish,
    maps_in_first_layer,
    pack_bits,
    sums_of_logits,
    unpack_bits,
    with_own_bases,
)

__all__ = [
    "BACKENDS",
    "OUTPUTS",
    "PRECISIONS",
    "WORD_BITS",
    "Decoder",
    "Gaussian",
    "LowRankLogits",
    "Maps",
    "Sums",
    "area",
    "automatic_precision",
    "decode_logits",
    "decode_samples",
    "decode_sums",
    "distance_sums",
    "draw_low_rank",
    "draw_low_rank_sums",
    "finish",
    "fixed_precision",
    "iou_of_pairs",
    "maps_in_first_layer",
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
    "with_own_bases",
]
