"""A foreign model's own pass over images: its features, and what its prior net returns."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.models.adapters.observing import ATTRIBUTES, Memory, Network, Pass, latents_among, observe, required
from fastpunet.models.adapters.parts import Parts, attribute
from fastpunet.models.adapters.prior_forms import describe, find_distribution
from fastpunet.models.adapters.sizes import REFUSALS, with_size_that_fits
from fastpunet.models.sampled_prior import draw_once

_NOT_FOR_IMAGES_ALONE = (TypeError, ValueError, NotImplementedError, AttributeError, KeyError)


def run_model(model: nn.Module, parts: Parts, memory: Memory, images: Tensor) -> tuple[Tensor, Any]:
    """Return the features (B, F, *size) and the prior net's result for images (B, C, *size).

    `model` is a twin, so hooks and attributes may remain on it. If its own forward pass takes images alone, that runs,
    with all that it does to the images; otherwise U-Net and prior net are called one by one. The features are those
    that the model's own code hands to its combiner, or the U-Net's output if its code does not reach the combiner.
    Raises ValueError if the model takes no size of these images, and TypeError if the features are ambiguous.
    """
    inner = attribute(model, parts.inner)
    network = Network(inner, *(attribute(inner, name) for name in parts[1:]))
    outer = [] if inner is model else [model]
    for module in (*outer, inner):
        for run in _forwards(module, network, memory):
            try:
                return _run(run, network, memory, images)
            except _NOT_FOR_IMAGES_ALONE:
                if _is_ports(module.forward):
                    raise
    return _run(lambda images: _by_parts(network, images), network, memory, images)


def _forwards(module: nn.Module, network: Network, memory: Memory) -> Iterator[Callable[[Tensor], Pass]]:
    """The forward passes of the model and of the modules around it whose signature allows images alone."""
    needed = required(module.forward)
    if _is_ports(module.forward):
        arguments = {"training": False} if "training" in inspect.signature(module.forward).parameters else {}
        others = [None for name in needed[1:] if name not in arguments]
        yield lambda images: observe(network, memory, lambda: module(images, *others, **arguments))
    elif len(needed) == 1:
        yield lambda images: observe(network, memory, lambda: module(images))


def _by_parts(network: Network, images: Tensor) -> Pass:
    """Call U-Net and prior net one by one. Other required arguments of the U-Net, like the port's `val`, are False."""
    others = [False] * (len(required(network.unet.forward)) - 1)
    return Pass(network.unet(images, *others), network.prior(images), (images,))


def _run(run: Callable[[Tensor], Pass], network: Network, memory: Memory, images: Tensor) -> tuple[Tensor, Any]:
    done, features, used = with_size_that_fits(run, _features, images)
    if done.drawn_by_sample:
        _compare_latents(done, memory, images.ndim)
    if used.shape == images.shape:
        return features, done.prior
    return features, _prior_without_padding(done, network, used, images)


def _prior_without_padding(done: Pass, network: Network, used: Tensor, images: Tensor) -> Any:
    """The prior net's result for its input without the padding; with the padding only if it fails without."""
    inner = (slice(None), slice(None), *(slice(0, length) for length in images.shape[2:]))

    def cropped(value: Any) -> Any:
        return value[inner] if isinstance(value, Tensor) and value.shape[2:] == used.shape[2:] else value

    inputs, options = map(cropped, done.prior_inputs), {k: cropped(v) for k, v in done.prior_options.items()}
    with suppress(*REFUSALS):
        return network.prior(*inputs, **options) if done.prior_inputs or options else done.prior
    return done.prior


def _features(done: Pass, images: Tensor) -> Tensor:
    """The only map (B, F, *size) among the combiner's arguments, or else the largest one in the U-Net's output."""
    handed = [value for value in done.combined if isinstance(value, Tensor) and value.shape[2:] == images.shape[2:]]
    if len(done.combined) > 1 and len(handed) == 1:
        return handed[0]
    output = done.unet
    entries = list(output.values()) if isinstance(output, Mapping) else output
    entries = entries if isinstance(entries, (tuple, list)) else [entries]
    maps = [entry for entry in entries if isinstance(entry, Tensor) and entry.ndim == images.ndim]
    largest = max([0, *(entry.shape[2:].numel() for entry in maps)])
    found = [entry for entry in maps if entry.shape[2:].numel() == largest]
    if len(found) != 1:
        raise TypeError(
            f"model: its U-Net gives {describe(output)}, in which the features (B, F, *size) cannot be told; say which "
            "they are with fastpunet.adapt(model, encode=..., combiner=...)"
        )
    return found[0]


def _compare_latents(done: Pass, memory: Memory, ndim: int) -> None:
    """Warn, once, if the latents that `sample` hands to the combiner are neither a draw nor the mean of the prior."""
    z, prior = latents_among(done.combined, ndim), find_distribution(done.prior)
    if z is None or memory.told_latents:
        return
    known = [draw_once(prior, 0)]
    with suppress(AttributeError, NotImplementedError):
        known.append(prior.mean)
    z = z.detach().flatten().float()
    fits = any(v.numel() == z.numel() and torch.allclose(v.flatten().float(), z, 1e-3) for v in known)
    if not fits:
        memory.told_latents = True
        warnings.warn(
            "the model's own `sample` seems to change the latents of its prior before they reach its combiner; here "
            "they are decoded as they are, or as fastpunet.adapt(model, encode=..., combiner=...) says",
            stacklevel=2,
        )


def _is_ports(forward: Callable[..., Any]) -> bool:
    """Whether a forward pass has the PyTorch port's argument `training`, or sets the port's attributes on the model."""
    code = getattr(inspect.unwrap(forward), "__code__", None)
    sets_attributes = code is not None and set(ATTRIBUTES) <= set(code.co_names)
    return sets_attributes or "training" in inspect.signature(forward).parameters
