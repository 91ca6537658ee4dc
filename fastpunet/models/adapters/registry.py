"""Turns any model that is recognised into a method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from fastpunet.models.adapters.adapted import AdaptedModel, Encode
from fastpunet.models.adapters.parts import TRANSPARENT, find_injected, find_parts, inside, missing_parts
from fastpunet.models.adapters.prior_forms import describe
from fastpunet.models.fcomb import combiner_inputs
from fastpunet.models.method import Method

Recognise = Callable[[nn.Module], bool]
Wrap = Callable[[nn.Module], Method]

_registered: list[tuple[Recognise, Wrap]] = []


def register(recognise: Recognise, wrap: Wrap) -> None:
    """Register another kind of model, so that `sample`, `Sampler` and everything built on them take it as it is.

    recognise(model) says whether a torch.nn.Module is of this kind. wrap(model) turns it into a
    `fastpunet.models.Method`, for example by `adapt(model, encode=..., combiner=...)`. The kind registered last is
    tried first.

    >>> import fastpunet
    >>> fastpunet.register(lambda model: type(model).__name__ == "MyModel", lambda model: fastpunet.adapt(model.net))
    """
    _registered.insert(0, (recognise, wrap))


def adapt(model: object, encode: Encode | None = None, combiner: nn.Module | None = None) -> Method:
    """Turn a model into a method of this package. `sample` and `Sampler` do this for every model themselves.

    Methods of this package are returned unchanged. Wrappers are removed: those of torch.compile, DataParallel,
    DistributedDataParallel and AveragedModel, and a LightningModule around a network. In other models `adapt` looks for
    a U-Net, a prior net and a combiner by the names that published code uses, such as `unet`, `prior` and `fcomb`.

    For a model that is not recognised, say what it does:

    encode    a function of images float (B, C, *size) that returns features (B, F, *size) and a prior: a pair
              (mu, sigma) of tensors (B, latent_dim), a torch.distributions object over (B, latent_dim), any object
              with `sample`, or None for N(0, I)
    combiner  the module that is called with features and latents z (B, latent_dim), and gives logits (B, K, *size)

    Raises TypeError for a model that is not recognised.
    """
    if (encode is None) != (combiner is None):
        raise TypeError("encode, combiner: got one of them, expected both or neither")
    if encode is not None and combiner is not None:
        return _adapt_by_hand(model, encode, combiner)
    around: nn.Module | None = None  # the outermost module whose own forward pass may change the images
    start = ""
    for module, path in inside(model):
        if isinstance(module, Method):
            return module
        for recognise, wrap in _registered:
            if recognise(module):
                return wrap(module)
        injected = find_injected(module)
        if injected is not None:
            return AdaptedModel.of_injected(module, injected)
        parts = find_parts(module)
        if parts is not None and around is not None:
            return AdaptedModel.of_parts(around, parts._replace(inner=path[len(start) :].lstrip(".")))
        if parts is not None:
            return AdaptedModel.of_parts(module, parts)
        if around is None and not any(name in module._modules for name in TRANSPARENT):
            around, start = module, path
    missing = missing_parts(model)
    raise TypeError(
        f"model: got {type(model).__name__}"
        + (f" without {', '.join(missing)}" if isinstance(model, nn.Module) else "")
        + ", expected a fastpunet model or a torch.nn.Module with unet, prior and fcomb, as in the PyTorch port of the "
        "Probabilistic U-Net; load a checkpoint with fastpunet.load, and say what other models do with "
        "fastpunet.adapt(model, encode=..., combiner=...)"
    )


def _adapt_by_hand(model: object, encode: Encode, combiner: nn.Module) -> AdaptedModel:
    if not isinstance(model, nn.Module) or not isinstance(combiner, nn.Module):
        wrong = ("model", model) if not isinstance(model, nn.Module) else ("combiner", combiner)
        raise TypeError(f"{wrong[0]}: got {type(wrong[1]).__name__}, expected a torch.nn.Module")
    if not callable(encode):
        raise TypeError(f"encode: got {type(encode).__name__}, expected a function of images")
    return AdaptedModel(model, partial(_stated, encode, combiner), partial(_itself, combiner))


def _itself(module: nn.Module) -> nn.Module:
    return module


def _stated(encode: Encode, combiner: nn.Module, images: Tensor) -> tuple[Tensor, Any]:
    """The features and the prior that `encode` returns; a prior of None or (mu, sigma) becomes a distribution."""
    returned = encode(images)
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"encode: got {describe(returned)}, expected a pair of features and a prior")
    features, prior = returned
    if prior is None:
        zeros = features.new_zeros(len(features), combiner_inputs(combiner) - features.shape[1])
        return features, Normal(zeros, torch.ones_like(zeros), validate_args=False)
    if isinstance(prior, tuple) and len(prior) == 2 and all(isinstance(entry, Tensor) for entry in prior):
        return features, Normal(*prior, validate_args=False)
    return features, prior
