"""A foreign model's own pass over images: its features, and what its prior net returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from fastpunet.models.adapters.evidence import check_result, draws_otherwise
from fastpunet.models.adapters.observing import ATTRIBUTES, LatentsOfModel, Memory, Network, Pass, observe, required
from fastpunet.models.adapters.parts import Parts, attribute
from fastpunet.models.adapters.prior_forms import describe
from fastpunet.models.adapters.sizes import REFUSALS, is_traced, with_size_that_fits, without_padding
from fastpunet.models.combiner_calls import Call, is_tiled, latents_of, observed_call
from fastpunet.models.confirmation import Seen
from fastpunet.waits import may_wait

_NOT_FOR_IMAGES_ALONE = (TypeError, ValueError, NotImplementedError, AttributeError, KeyError)


def run_model(model: nn.Module, parts: Parts, memory: Memory, images: Tensor) -> tuple[Tensor, Any]:
    """Return the features (B, F, *size) and the prior net's result for images (B, C, *size).

    `model` is a twin, so hooks and attributes may remain on it. If its own forward pass takes images alone, that runs,
    with all that it does to the images; otherwise U-Net and prior net are called one by one. The features are those
    that the model's own code hands to its combiner, or the U-Net's output if its code does not reach the combiner.
    Raises ValueError if the model takes no size of these images, and TypeError if the features are ambiguous.
    """
    memory.seen = None
    inner = attribute(model, parts.inner)
    network = Network(inner, *(attribute(inner, name) for name in parts[1:]))
    if is_traced():  # a program holds operators alone; whoever traces compares it with the model's own code
        done, features, used = with_size_that_fits(lambda images: _by_parts(network, images), _features, images)
        return features, _prior_without_padding(done, network, used, images)
    outer = [] if inner is model else [model]
    tried = 0
    for module in (*outer, inner):
        for forward, run in _forwards(module, network, memory):
            tried += 1
            if tried < memory.works:  # those before failed
                continue
            try:
                done, features, used = with_size_that_fits(run, _features, images)
            except _NOT_FOR_IMAGES_ALONE:
                if _is_ports(forward):
                    raise
                memory.works = 0
                continue
            memory.works = tried
            if may_wait():
                check_result(done, network)
            return features, _prior(done, network, memory, used, images)
    done, features, used = with_size_that_fits(lambda images: _by_parts(network, images), _features, images)
    return features, _prior(done, network, memory, used, images)


def _forwards(
    module: nn.Module, network: Network, memory: Memory
) -> Iterator[tuple[Callable[..., Any], Callable[[Tensor], Pass]]]:
    """The passes of the model and of the modules around it whose signature allows images alone, each with its function.

    They are `forward` and, of a LightningModule, `predict_step`.
    """
    forward, predict = module.forward, getattr(module, "predict_step", None)
    needed = required(forward)
    if _is_ports(forward):
        arguments = {"training": False} if "training" in inspect.signature(forward).parameters else {}
        others = [None for name in needed[1:] if name not in arguments]
        yield forward, lambda images: observe(network, memory, lambda: module(images, *others, **arguments))
    elif len(needed) == 1:
        yield forward, lambda images: observe(network, memory, lambda: module(images))
    if inspect.ismethod(predict) and len(required(predict)) == 1:
        yield predict, lambda images: observe(network, memory, lambda: predict(images))


def _by_parts(network: Network, images: Tensor) -> Pass:
    """Call U-Net and prior net one by one. Other required arguments of the U-Net, like the port's `val`, are False."""
    others = [False] * (len(required(network.unet.forward)) - 1)
    return Pass(network.unet(images, *others), network.prior(images), (images,))


def _prior(done: Pass, network: Network, memory: Memory, used: Tensor, images: Tensor) -> Any:
    """The prior net's result; or, if the model's own code draws other latents, what draws those."""
    if done.times:
        call = observed_call(done.arguments, _features(done, used), done.unet)
        memory.calls = None if call is None else [call]
        memory.seen = None if call is None else _seen(call, done, used, images)
        own = None if call is None or done.again is None else LatentsOfModel(network, done.again, call, done)
        if own is not None and may_wait() and draws_otherwise(done, own, memory):
            return own
        memory.asks_sample = done.edited or not any(value is done.unet for value in done.arguments.values())
    return done.prior if used.shape == images.shape else _prior_without_padding(done, network, used, images)


def _seen(call: Call, done: Pass, used: Tensor, images: Tensor) -> Seen | None:
    """The combiner's call in a pass, for these images; None if it was not watched, or gave no such logits."""
    logits = done.output
    if done.operators is None or not isinstance(logits, Tensor) or logits.ndim != images.ndim:
        return None
    features, logits = (without_padding(values, images) for values in (_features(done, used), logits))
    z = latents_of(call, done.arguments, done.unet)
    return Seen(features, z, logits, done.operators)


def _prior_without_padding(done: Pass, network: Network, used: Tensor, images: Tensor) -> Any:
    """The prior net's result for its input without the padding; with the padding only if it fails without."""

    def cropped(value: Any) -> Any:
        padded = isinstance(value, Tensor) and value.shape[2:] == used.shape[2:]
        return without_padding(value, images) if padded else value

    inputs, options = map(cropped, done.prior_inputs), {k: cropped(v) for k, v in done.prior_options.items()}
    with suppress(*REFUSALS):
        return network.prior(*inputs, **options) if done.prior_inputs or options else done.prior
    return done.prior


def _features(done: Pass, images: Tensor) -> Tensor:
    """The only map (B, F, *size) among the combiner's arguments, or else the largest one in the U-Net's output."""
    handed = {key: v for key, v in done.arguments.items() if isinstance(v, Tensor) and v.shape[2:] == images.shape[2:]}
    if len(handed) > 1:  # also latents, at every pixel
        handed = {key: value for key, value in handed.items() if not is_tiled(value)}
    if len(done.arguments) > 1 and len(handed) == 1:
        return next(iter(handed.values()))
    output = done.unet
    entries = list(output.values()) if isinstance(output, Mapping) else output
    entries = entries if isinstance(entries, (tuple, list)) else [entries]
    maps = [entry for entry in entries if isinstance(entry, Tensor) and entry.ndim == images.ndim]
    largest = max([0, *(entry.shape[2:].numel() for entry in maps)])
    found = [entry for entry in maps if entry.shape[2:].numel() == largest]
    if len(found) != 1:
        raise TypeError(
            f"model: its U-Net gives {describe(output)}, in which the features (B, F, *size) cannot be identified; say "
            "which they are with fastpunet.adapt(model, encode=..., combiner=...)"
        )
    return found[0]


def _is_ports(forward: Callable[..., Any]) -> bool:
    """Whether a forward pass has the PyTorch port's argument `training`, or sets the port's attributes on the model."""
    code = getattr(inspect.unwrap(forward), "__code__", None)
    sets_attributes = code is not None and set(ATTRIBUTES) <= set(code.co_names)
    return sets_attributes or "training" in inspect.signature(forward).parameters
