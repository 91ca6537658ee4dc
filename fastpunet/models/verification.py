"""Verifies the kernels' form of a combiner: compares it with the combiner's own forward pass, where they may differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from fastpunet.models.combiner_calls import Call, Ran, guesses, runs
from fastpunet.models.combiner_comparison import (
    ACTIVATIONS,
    ADVICE,
    OF_IMAGE,
    Verified,
    activations,
    agree,
    agree_everywhere,
    changeable,
    check_unchanged,
    in_float32,
    one_for_each,
    probe,
)
from fastpunet.models.fcomb import flatten_combiner
from fastpunet.uncompiled import not_compiled
from fastpunet_kernels import decode_samples, fixed_precision


@not_compiled
def verify(
    combiner: nn.Module, features: Tensor, latent_dim: int, calls: Sequence[Call] | None = None
) -> Verified | None:
    """The combiner in the kernels' form, if that agrees with the combiner's own forward pass; else None.

    Three things are compared, in float32:

    - the logits of the first image of features float (B, C, *size) at 3 positions of each axis, with the corners, and
      of random features, once as large as the image's and once 100 times as large, for latents of every sign and size;
    - the logits of all images at all positions, with one latent each, as the model itself would compute them: these
      depend on places, sizes and batches if anything does;
    - the operators: what chooses by value (such as `clamp` or `if z[0] > 2`) may differ where none of this looks.

    calls: the ways to call the combiner that are tried; None is those of published code. Both orders of concatenation
    are tried. Nothing is left on the combiner. Raises ValueError for more classes than labels can hold, for NaN or
    infinity, and for a combiner that changes itself from call to call.
    """
    features = features.float()
    crop, z = probe(features, latent_dim)
    own = in_float32(combiner)
    with torch.no_grad(), fixed_precision("ieee", features.device):
        _check_finite("the U-Net's features", crop)
        before = changeable(own)
        for ran in runs(calls or guesses(features), own, crop, z):
            _check_finite("what its combiner gives", ran.output[:OF_IMAGE])
            readings = () if ran.choosing or ran.bends > 1 + activations(own) else _readings(combiner, crop, z)
            for verified, ours in readings:
                each = one_for_each(features, z)
                if agree(ran.output, ours) and agree_everywhere(own, ran.call, verified, features, each):
                    check_unchanged(own, before)
                    return verified
        next(_readings(combiner, crop, z), None)  # for its errors, if no call has run
    return None


def _readings(combiner: nn.Module, crop: Tensor, z: Tensor) -> Iterator[tuple[Verified, Tensor]]:
    """For each order of concatenation and each last activation, the flattened form and its output for crop and z."""
    for latents_first in (False, True):
        try:
            split = flatten_combiner(combiner, z.shape[1], latents_first=latents_first)
        except ValueError as error:
            if "cannot be read" not in str(error):
                raise
            return
        if split.feature_weight.shape[1] != crop.shape[1]:
            return
        logits = decode_samples(split.base(crop), split.decoder, z[:, None], output="logits", backend="reference")
        logits = logits[:, 0].unflatten(-1, crop.shape[2:])
        for name, applied in ACTIVATIONS.items():
            if name is None or (name == "sigmoid") == (logits.shape[1] == 1):  # several sigmoids are several labels
                yield Verified(split, latents_first, name), applied(logits)


def _check_finite(name: str, values: Tensor) -> None:
    if not torch.isfinite(values).all():
        raise ValueError(f"model: got NaN or infinity in {name}; check the weights")


@not_compiled
def find_call(
    combiner: nn.Module, features: Tensor, latent_dim: int, classes: int, calls: Sequence[Call] | None = None
) -> tuple[Call, bool]:
    """Find how to call a combiner that cannot be flattened: the first of `calls` that returns (B, classes, *size).

    Returns the call, and whether it may decode a batch at once: if Python code in the combiner looks at values, it may
    decide for a whole batch by one of its images. Raises ValueError if there is no such call, or if the combiner
    returns probabilities or random numbers, or what depends on earlier calls or on the other images of its batch.
    """
    features = features.float()
    crop, z = probe(features, latent_dim)
    own = in_float32(combiner)
    with torch.no_grad(), fixed_precision("ieee", features.device):
        before = changeable(own)
        for ran in runs(calls or guesses(features), own, crop, z):
            if ran.output.shape == (len(z), classes, *crop.shape[2:]):
                _check_logits(own, ran, crop, z)
                _check_alone(own, ran.call, crop, z)
                _check_alone(own, ran.call, features, one_for_each(features, z))
                check_unchanged(own, before)
                return ran.call, not ran.reads
    raise ValueError(
        f"model: its combiner, a {type(combiner).__name__}, gives no (B, {classes}, *size) when it is called with "
        f"features (B, C, *size) and latents (B, {latent_dim}); wrap it in a module that does, {ADVICE}"
    )


def _check_logits(combiner: nn.Module, ran: Ran, features: Tensor, z: Tensor) -> None:
    """Raise ValueError for a combiner that returns probabilities or random numbers."""
    if ran.random:
        raise ValueError(f"model: its combiner draws random numbers; wrap it in a module that draws none, {ADVICE}")
    if ran.operators & {"sigmoid", "softmax", "_softmax"}:
        both = torch.cat((ran.output, ran.call(combiner, 100 * features, 100 * z)))
        if bool(((both >= 0) & (both <= 1)).all()):
            raise ValueError(
                f"model: its combiner gives probabilities; wrap it in a module that gives logits, {ADVICE}"
            )


def _check_alone(combiner: nn.Module, call: Call, features: Tensor, z: Tensor) -> None:
    """Raise ValueError if logits change when an image is alone, or when the combiner is called again."""
    together = call(combiner, features, z)
    alone = [call(combiner, features[i : i + 1], z[i : i + 1]) for i in range(len(z))]
    if not agree(together, torch.cat(alone)):
        raise ValueError(
            f"model: its combiner, a {type(combiner).__name__}, gives different logits for an image alone and in a "
            "batch, or when it is called again; wrap it in a module whose logits depend only on one image and one "
            f"latent, {ADVICE}"
        )
