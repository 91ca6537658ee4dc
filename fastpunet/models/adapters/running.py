"""A foreign model's own pass over images: its features, and what its prior net returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.models.adapters.parts import Parts
from fastpunet.models.adapters.prior_forms import closed_form, describe, find_distribution
from fastpunet.models.adapters.sizes import with_size_that_fits
from fastpunet.models.sampled_prior import PrivateRandomness

_NOT_FOR_IMAGES_ALONE = (TypeError, ValueError, NotImplementedError, AttributeError, KeyError)
_ATTRIBUTES = ("unet_features", "prior_latent_space")  # what the PyTorch port's forward leaves on the model


@dataclass
class Memory:
    """What one pass of a model tells for the next ones. Twins of the model share it."""

    draws: bool = True  # whether its forward pass draws random numbers, which must not come from global generators
    told: bool = False  # whether the user has been warned
    verified: tuple[bool, str | None] | None = None  # of its combiner: whether z comes first, and what ends it


def run_model(model: nn.Module, parts: Parts, memory: Memory, images: Tensor) -> tuple[Tensor, Any]:
    """Features (B, F, *size) and what the prior net returned for images (B, C, *size).

    `model` is a twin, on which hooks and attributes may be left. Its own forward pass runs if that takes images alone,
    so that whatever it does to them is done; only otherwise are U-Net and prior net called one by one.
    Raises ValueError where no size of the images is taken, and TypeError where the features cannot be told.
    """
    *forward, by_parts = _ways(model, parts, memory)
    for run in forward:
        try:
            return _run(run, model, parts, images)
        except _NOT_FOR_IMAGES_ALONE:
            if _is_ports(model.forward):
                raise
    return _run(by_parts, model, parts, images)


def call_unet(unet: nn.Module, images: Tensor) -> Any:
    """The U-Net's output; further arguments that it requires, such as the port's `val`, are False."""
    return unet(images, *[False] * (len(_required(unet.forward)) - 1))


def _run(run: Callable[[Tensor], dict[str, Any]], model: nn.Module, parts: Parts, images: Tensor) -> tuple[Tensor, Any]:
    done, features, used = with_size_that_fits(run, lambda done: _features(done["unet"], images.ndim), images)
    prior = getattr(model, parts.prior)
    if used.shape != images.shape and _equal(done["prior"], prior(used)):  # so forward hands its images on as they are
        return features, prior(images)
    return features, done["prior"]


def _ways(model: nn.Module, parts: Parts, memory: Memory) -> Iterator[Callable[[Tensor], dict[str, Any]]]:
    """The model's own forward, if it looks as if it took images alone, then the parts one by one."""
    unet, prior = getattr(model, parts.unet), getattr(model, parts.prior)
    forward = model.forward
    required = _required(forward)
    if _is_ports(forward):
        arguments = {"training": False} if "training" in inspect.signature(forward).parameters else {}
        others = [None for name in required[1:] if name not in arguments]
        yield lambda images: _observed(model, parts, memory, lambda: forward(images, *others, **arguments))
    elif len(required) == 1:
        yield lambda images: _observed(model, parts, memory, lambda: forward(images))
    yield lambda images: {"unet": call_unet(unet, images), "prior": prior(images)}


def _observed(model: nn.Module, parts: Parts, memory: Memory, forward: Callable[[], Any]) -> dict[str, Any]:
    """What U-Net and prior net return while `forward` runs, or what it leaves of them on the model, as the port does.

    Raises AttributeError if it uses neither.
    """
    seen: dict[str, Any] = {}
    for name in _ATTRIBUTES:
        vars(model).pop(name, None)
    with ExitStack() as contexts:
        for name, part in (("unet", parts.unet), ("prior", parts.prior)):
            contexts.enter_context(getattr(model, part).register_forward_hook(_noting(seen, name)))
        if memory.draws:
            private = contexts.enter_context(PrivateRandomness(0))
        forward()
        if memory.draws:
            memory.draws = private.used
    for name, attribute in zip(("unet", "prior"), _ATTRIBUTES, strict=True):
        seen[name] = vars(model).get(attribute, seen.get(name))
        if seen[name] is None:
            raise AttributeError(f"model: its forward pass does not use its {name}")
    return seen


def _noting(seen: dict[str, Any], name: str) -> Callable[[Any, Any, Any], None]:
    def note(module: Any, inputs: Any, output: Any) -> None:  # noqa: ARG001
        seen[name] = output

    return note


def _features(output: Any, ndim: int) -> Tensor:
    """The one tensor (B, F, *size) of the largest size in a U-Net's output."""
    entries = list(output.values()) if isinstance(output, Mapping) else output
    entries = entries if isinstance(entries, (tuple, list)) else [entries]
    maps = [entry for entry in entries if isinstance(entry, Tensor) and entry.ndim == ndim]
    largest = max([0, *(entry.shape[2:].numel() for entry in maps)])
    found = [entry for entry in maps if entry.shape[2:].numel() == largest]
    if len(found) != 1:
        raise TypeError(
            f"model: its U-Net gives {describe(output)}, in which the features (B, F, *size) cannot be told; say which "
            "they are with fastpunet.adapt(model, encode=..., combiner=...)"
        )
    return found[0]


def _is_ports(forward: Callable[..., Any]) -> bool:
    """Whether a forward pass has the PyTorch port's `training`, or leaves its attributes on the model."""
    code = getattr(inspect.unwrap(forward), "__code__", None)
    sets_attributes = code is not None and set(_ATTRIBUTES) <= set(code.co_names)
    return sets_attributes or "training" in inspect.signature(forward).parameters


def _required(function: Callable[..., Any]) -> list[str]:
    """The positional arguments that have no default."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in positional and p.default is p.empty]


def _equal(one: Any, other: Any) -> bool:
    """Whether two outputs of a prior net are the same distribution of a family that is known."""
    try:
        both = [closed_form(find_distribution(output), _batch(output)) for output in (one, other)]
    except (TypeError, RuntimeError):
        return False
    if any(prior is None for prior in both):
        return False
    values = [prior.parts() for prior in both if prior is not None]
    return all(torch.equal(values[0][name], values[1][name]) for name in values[0])


def _batch(output: Any) -> int:
    distribution = find_distribution(output)
    return torch.Size(distribution.batch_shape + distribution.event_shape)[0]
