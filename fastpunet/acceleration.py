"""Makes a model's own sampling loop fast: `model(patch, None, training=False)`, then `model.sample()` many times."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from fastpunet.models import Method
from fastpunet.models.adapters.parts import attribute, find_parts, inside
from fastpunet.models.fcomb import combiner_inputs, flatten_combiner
from fastpunet.models.verification import ACTIVATIONS, FasterForward, Verified, verify
from fastpunet_kernels import automatic_precision, decode_samples, fixed_precision

AnyModel = TypeVar("AnyModel", bound=nn.Module)

_RANDOM_OR_MOVING = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


def accelerate(model: AnyModel) -> AnyModel:
    """Make the model's own `sample` fast: the kernels compute its combiner from now on. Returns the model.

    The model has a U-Net, a prior net and a combiner (`fcomb` in the PyTorch port). Only `combiner.forward` is
    replaced, so `sample` keeps its arguments, its result and its random numbers. The first call, and the first one
    after a change of the combiner's structure, compares the kernels with the combiner's own forward pass at a few
    pixels. The combiner's own forward pass still runs if gradients are recorded, if BatchNorm or dropout inside it is
    in training mode, or if the two differ. `del model.fcomb.forward` undoes the replacement.

    Raises TypeError for a model without these parts, and ValueError for a combiner that cannot be read.
    """
    found = next(((module, parts) for module, _ in inside(model) if (parts := find_parts(module))), None)
    if found is None or isinstance(found[0], Method):
        raise TypeError(
            f"model: got {type(model).__name__}, expected a model written elsewhere with a U-Net, a prior net and a "
            "combiner, such as the PyTorch port; for others call fastpunet.sample(model, images, n)"
        )
    combiner: nn.Module = attribute(found[0], found[1].combiner)
    combiner_inputs(combiner)
    present = vars(combiner).get("forward")
    if present is not None and not isinstance(present, FasterForward):
        raise TypeError("model: the forward pass of its combiner has been replaced already, so that it stays as it is")
    combiner.forward = FasterForward(_forward, combiner, _Verdict())  # type: ignore[method-assign]
    return model


class _Verdict:
    """The result of the last comparison of a combiner's forward pass with the kernels."""

    structure: object = None
    verified: Verified | None = None


def _forward(combiner: nn.Module, verdict: _Verdict, *args: Any, **options: Any) -> Any:
    """The combiner's output for one latent per image, in the form of its own forward pass."""
    own = partial(type(combiner).forward, combiner, *args, **options)
    if torch.is_grad_enabled() or options or len(args) != 2 or not all(isinstance(value, Tensor) for value in args):
        return own()
    features, z = sorted(args, key=lambda value: (value.ndim, value.numel()), reverse=True)
    if features.ndim < 4 or z.numel() != len(z) * z[0].numel() or len(z) != len(features) or z.shape[2:].numel() != 1:
        return own()
    z, size = z.flatten(1), features.shape[2:]
    structure = _structure(combiner, z.shape[1])
    if structure is None:
        return own()
    if structure != verdict.structure:
        verdict.verified = verify(combiner, features, z.shape[1])
        verdict.structure = structure
    if verdict.verified is None:
        return own()
    latents_first, last_activation = verdict.verified.latents_first, verdict.verified.last_activation
    split = flatten_combiner(combiner, z.shape[1], latents_first=latents_first)
    precision = automatic_precision(features.device)
    with fixed_precision(precision, features.device):
        base = split.base(features.float())
    logits = decode_samples(base, split.decoder, z.float()[:, None], output="logits", precision=precision)
    return ACTIVATIONS[last_activation](logits[:, 0].unflatten(-1, size)).to(features.dtype)


def _structure(combiner: nn.Module, latent_dim: int) -> object:
    """A key of the structure that a comparison is valid for; None if the combiner is random or changes as it runs."""
    if any(module.training and isinstance(module, _RANDOM_OR_MOVING) for module in combiner.modules()):
        return None
    hooks = [
        (type(module), id(module), len(module._forward_hooks), len(module._forward_pre_hooks))
        for module in combiner.modules()
    ]
    return (latent_dim, hooks)
