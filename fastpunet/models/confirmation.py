"""Confirms a combiner that was verified before, by a call of it that the model's own code has just made."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fastpunet.models.combiner_comparison import Verified, activations, agree, decoded
from fastpunet.models.fcomb import flatten_combiner
from fastpunet.uncompiled import not_compiled
from fastpunet_kernels import fixed_precision


class Seen(NamedTuple):
    """A call of a combiner by the model's own code, in which no operator has chosen by the values of tensors."""

    features: Tensor  # (B, C, *size)
    z: Tensor  # (B, latent_dim)
    logits: Tensor  # what it gave, (B, K, *size)
    operators: tuple[str, ...]  # the names of those that ran, in order
    bends: int  # how many of them bend a function, such as ReLUs

    def shows(self, features: Tensor) -> bool:
        """Whether this call was given these very features, and a latent without zeros for each image, in float32."""
        here, there = ((f.data_ptr(), f.shape, f.stride()) for f in (features, self.features))
        floats = all(values.dtype == torch.float32 for values in (features, self.features, self.z, self.logits))
        return here == there and floats and len(self.z) == len(features) and bool((self.z != 0).all())


class Known(NamedTuple):
    """What `verify` found of a combiner for features of one shape."""

    latents_first: bool
    last_activation: str | None
    operators: tuple[str, ...] | None  # those of the model's own call at that time; None if they were not seen

    def read(self, combiner: nn.Module, latent_dim: int) -> Verified:
        """The combiner in the kernels' form, with its weights of now. ValueError if it cannot be read any more."""
        split = flatten_combiner(combiner, latent_dim, latents_first=self.latents_first)
        return Verified(split, self.latents_first, self.last_activation)


@not_compiled
def confirm(combiner: nn.Module, features: Tensor, latent_dim: int, known: Known, seen: Seen | None) -> Verified | None:
    """The combiner in the kernels' form, if the model's own call shows that it is as it was verified; else None.

    The same operators must have run as then, in the same order, and no more of them may bend a function than there are
    activations among the layers. As none chooses by value, the combiner then differs in its numbers alone from the one
    that was verified. With these numbers the logits must agree with the kernels' for all images at all positions.
    """
    if seen is None or not seen.shows(features) or seen.z.shape[1] != latent_dim:
        return None
    if seen.operators != known.operators or seen.bends > activations(combiner):
        return None
    try:
        verified = known.read(combiner, latent_dim)
    except ValueError:  # which `verify` explains
        return None
    if verified.split.feature_weight.shape[1] != features.shape[1]:
        return None
    with torch.no_grad(), fixed_precision("ieee", features.device):
        return verified if agree(seen.logits, decoded(verified, features, seen.z)) else None
