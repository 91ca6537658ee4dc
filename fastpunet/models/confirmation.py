"""Confirms a combiner that was verified before, as long as nothing but its weights is seen to have changed since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fastpunet.models.combiner_calls import Call
from fastpunet.models.combiner_comparison import (
    Verified,
    agree,
    agree_everywhere,
    decoded,
    in_float32,
    one_for_each,
    probe,
)
from fastpunet.models.fcomb import flatten_combiner
from fastpunet.uncompiled import not_compiled
from fastpunet_kernels import fixed_precision


class Seen(NamedTuple):
    """A call of a combiner by the model's own code."""

    features: Tensor  # (B, C, *size)
    z: Tensor  # (B, latent_dim), one latent for each image
    logits: Tensor  # what it gave, (B, K, *size)

    def shows(self, features: Tensor) -> bool:
        """Whether this call was given these features, and computed with them in float32."""
        here, there = ((f.data_ptr(), f.shape, f.stride()) for f in (features, self.features))
        return here == there and all(values.dtype == torch.float32 for values in (features, *self))


class Known(NamedTuple):
    """What `verify` found of a combiner, and the structure that the combiner had then."""

    structure: Any
    latents_first: bool
    last_activation: str | None
    call: Call

    def describes(self, structure: Any, calls: Sequence[Call] | None) -> bool:
        """Whether a combiner of this structure, called in this way, is the one that was verified, but for weights."""
        return structure is not None and structure == self.structure and calls in (None, [self.call])

    def read(self, combiner: nn.Module, latent_dim: int) -> Verified:
        """The combiner in the kernels' form, with its weights of now."""
        split = flatten_combiner(combiner, latent_dim, latents_first=self.latents_first)
        return Verified(split, self.latents_first, self.last_activation, self.call)


@not_compiled
def confirm(combiner: nn.Module, features: Tensor, latent_dim: int, known: Known, seen: Seen | None) -> Verified | None:
    """The combiner in the kernels' form, if that still agrees with its own forward pass; else None.

    The logits of all images are compared at all positions, for one latent of each image: those that the model's own
    code has just computed, or else logits computed for this. What `verify` compares besides depends on the structure
    and on the features' shape, which are as they were.
    """
    verified = known.read(combiner, latent_dim)
    with torch.no_grad(), fixed_precision("ieee", features.device):
        if seen is not None and seen.shows(features):
            agrees = agree(seen.logits, decoded(verified, features, seen.z))
        else:
            z = one_for_each(features, probe(features, latent_dim)[1])
            agrees = agree_everywhere(in_float32(combiner), verified, features.float(), z)
    return verified if agrees else None
