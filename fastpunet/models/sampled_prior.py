"""Priors that are known only by their `sample` method: each latent is drawn with random numbers of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fastpunet.latents import Noise
from fastpunet.models.priors import Prior


class Drawable(Protocol):
    """The part of torch.distributions.Distribution that is used here; some have `rsample` alone, or it alone works."""

    def sample(self) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Sampled(Prior):
    """One distribution of any family for each image, so that an image's draws do not depend on other images.

    Each latent is drawn by its own call of `sample`, with a generator seeded by (seed, id, k). That takes 0.1 ms
    per latent or more, longer than priors that are a function of normals.
    """

    distributions: Sequence[Drawable]
    latent_dim: int

    @torch.no_grad()
    def latents(self, noise: Noise) -> Tensor:
        device = noise.ids.device
        z = torch.empty(len(self.distributions), noise.n, self.latent_dim, device=device, dtype=torch.float32)
        for row, image_id, distribution in zip(z, noise.ids.tolist(), self.distributions, strict=True):
            for k in range(noise.n):
                row[k] = draw_once(distribution, noise.seed, image_id, noise.first + k)
            if not torch.equal(row[0], draw_once(distribution, noise.seed, image_id, noise.first)):
                raise TypeError(
                    f"model: its prior, a {type(distribution).__name__}, draws from a source of random numbers other "
                    "than PyTorch's, so that its hypotheses cannot be repeated"
                )
        if not torch.isfinite(z).all():
            raise ValueError("model: got NaN or infinity in latents drawn from the prior; check the weights")
        return z

    def parts(self) -> dict[str, Tensor]:
        return {}


def draw_once(distribution: Drawable, *key: int, times: int = 1) -> Tensor:
    """One latent float32 (latent_dim,), a function of `key` alone: the last of so many in a row."""
    draws = [draw for name in ("sample", "rsample") if (draw := getattr(distribution, name, None)) is not None]
    with torch.no_grad():
        for draw in draws[:-1]:
            with suppress(Exception), PrivateRandomness(*key):  # as of mixtures whose choice is relaxed
                return [draw() for _ in range(times)][-1].flatten().float()
        with PrivateRandomness(*key):
            return [draws[-1]() for _ in range(times)][-1].flatten().float()


class PrivateRandomness(TorchDispatchMode):
    """A context in which PyTorch's random numbers, in this thread, are a function of `key` alone.

    Every operator that would draw from a global generator draws from a generator of this context instead.
    """

    def __init__(self, *key: int) -> None:
        super().__init__()
        digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
        self._seed = int.from_bytes(digest, "big") >> 1
        self._generators: dict[torch.device, torch.Generator] = {}

    @property
    def used(self) -> bool:
        """Whether anything has been drawn."""
        return bool(self._generators)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        drawing = _with_generator(func)
        if drawing is None:
            return func(*args, **(kwargs or {}))
        kwargs = dict(kwargs or {})
        if kwargs.get("generator") is None:
            first = next((value for value in args if isinstance(value, Tensor)), None)
            device = torch.device(kwargs.get("device") or "cpu") if first is None else first.device
            if device not in self._generators:
                self._generators[device] = torch.Generator(device).manual_seed(self._seed)
            kwargs["generator"] = self._generators[device]
        return drawing(*args, **kwargs)


@cache
def _with_generator(func: Any) -> Any:
    """The form of an operator that takes a generator; None if the operator draws no random numbers."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    name = "generator" if func._overloadname == "default" else f"{func._overloadname}_generator"
    return getattr(func.overloadpacket, name) if name in func.overloadpacket.overloads() else None
