"""Confirms a combiner that was verified before, by a call of it that the model's own code has just made."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from fastpunet.models.combiner_comparison import ADVICE, Verified, activations, agree, decoded
from fastpunet.models.fcomb import flatten_combiner
from fastpunet.models.operators import Operators
from fastpunet.uncompiled import not_compiled
from fastpunet_kernels import fixed_precision

_TOLERANCE = 5e-2  # relative, of layers in half precision, as autocast may have chosen them


class Seen(NamedTuple):
    """A call of a combiner by the model's own code."""

    features: Tensor  # (B, C, *size)
    z: Tensor  # (B, latent_dim)
    logits: Tensor  # what it gave, (B, K, *size)
    operators: Operators  # those that ran in it

    def shows(self, features: Tensor) -> bool:
        """Whether this call was given these very features, and a latent without zeros for each image, in float32."""
        here, there = ((f.data_ptr(), f.shape, f.stride()) for f in (features, self.features))
        floats = all(values.dtype == torch.float32 for values in (features, self.features, self.z, self.logits))
        return here == there and floats and len(self.z) == len(features) and bool((self.z != 0).all())


class Known(NamedTuple):
    """What `verify` found of a combiner for features of one shape."""

    latents_first: bool
    last_activation: str | None
    operators: list[str] | None  # the names of those that ran in the model's own call then; None if it was not seen

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
    ran = seen.operators
    if ran.calls != known.operators or ran.choosing or ran.bends > activations(combiner):
        return None
    try:
        verified = known.read(combiner, latent_dim)
    except ValueError:  # which `verify` explains
        return None
    if verified.split.feature_weight.shape[1] != features.shape[1]:
        return None
    with torch.no_grad(), fixed_precision("ieee", features.device):
        return verified if agree(seen.logits, decoded(verified, features, seen.z)) else None


@not_compiled
def check_seen(combiner: nn.Module, features: Tensor, verified: Verified, seen: Seen) -> None:
    """Raise ValueError if the model's own call gave something else than the combiner alone, which was verified."""
    latent_dim = verified.split.decoder.z_weight.shape[1]
    if not seen.shows(features) or seen.z.shape[1] != latent_dim or not torch.isfinite(seen.logits).all():
        return
    with torch.no_grad(), fixed_precision("ieee", features.device):
        same = agree(seen.logits, decoded(verified, features, seen.z), _TOLERANCE)
    if seen.operators.choosing or not same:
        raise ValueError(
            f"model: its combiner, a {type(combiner).__name__}, gives something else when the model's own code calls "
            "it than when it is called alone, as if that code changed it for the call, for example to training mode; "
            f"wrap it in a module that always does what it does there, {ADVICE}"
        )
