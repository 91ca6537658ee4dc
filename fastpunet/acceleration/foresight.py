"""Foresees the latents that a model's `sample` draws next from the global generator, without touching that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

_FIRST = 4  # latents that are foreseen after the first one that came as expected


class Foresight(NamedTuple):
    """latents: the next ones, (B, L) each. after: which latent of which distribution comes behind them, by its key."""

    latents: list[Tensor]
    after: dict[bytes, str]


def foresee(model: nn.Module | None, z: Tensor, key: bytes, before: Foresight | None, most: int) -> Foresight | None:
    """What is drawn after latents z (B, L), whose key is given, if the loop goes on as it did.

    If z came as expected `before`, it foresees twice as many latents as then, at most `most` with z. Else it foresees
    none, but what would come first from each Gaussian among the model's attributes. None if there is no Gaussian.
    """
    drawn = {} if model is None else dict(_gaussians(model, z))
    if not drawn:
        return None
    came = None if before is None else before.after.get(key)
    if before is None or came is None or came not in drawn:
        return Foresight([], {key_of(_draw(gaussian, _fork())): name for name, gaussian in drawn.items()})
    count = min(most - 1, max(_FIRST, 2 * len(before.latents)))
    generator = _fork()
    *latents, last = [_draw(drawn[came], generator) for _ in range(max(0, count) + 1)]
    return Foresight(latents, {key_of(last): came})


def key_of(z: Tensor) -> bytes:
    """The bytes of latents on a CPU."""
    return z.detach().contiguous().view(torch.uint8).numpy().tobytes()


def _gaussians(model: nn.Module, z: Tensor) -> Iterator[tuple[str, Normal]]:
    """The diagonal Gaussians over latents like z that the model's last pass has left on it."""
    for name, value in list(vars(model).items()):
        base = value.base_dist if type(value) is Independent else value
        if type(base) is Normal and base.loc.shape == z.shape and base.loc.dtype == z.dtype and base.loc.is_cpu:
            yield name, base


def _fork() -> torch.Generator:
    generator = torch.Generator()
    generator.set_state(torch.get_rng_state())
    return generator


def _draw(gaussian: Normal, generator: torch.Generator) -> Tensor:
    """As `gaussian.sample()` does it, with the same numbers for the same state."""
    return torch.normal(gaussian.loc.detach(), gaussian.scale.detach(), generator=generator)
