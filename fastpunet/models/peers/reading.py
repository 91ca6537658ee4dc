"""Reads a peer's weights one layer after the other, and declares each layer as it is rebuilt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from fastpunet.models.declared.families import Family
from fastpunet.models.peers.found import Found


class Reader:
    """Takes the layers of a state dict by their names, and gives them ours.

    Raises ValueError for a layer that is not there, and, at the end, for one that nobody has asked for: a structure
    that only resembles the peer's is refused.
    """

    def __init__(self, state: Mapping[str, Tensor], ignored: tuple[str, ...] = ()) -> None:
        self._left = {name: t for name, t in state.items() if not name.startswith(ignored)} if ignored else dict(state)
        self.state: dict[str, Tensor] = {}

    def weight(self, name: str) -> Tensor:
        """The weight of a convolution, which is left where it is."""
        if not self.has(name):
            raise ValueError(f"no {name}.weight")
        weight = self._left[f"{name}.weight"]
        if weight.ndim not in (4, 5) or len(set(weight.shape[2:])) != 1:
            raise ValueError(f"{name}.weight has the shape {tuple(weight.shape)}, expected a convolution's")
        return weight

    def has(self, name: str) -> bool:
        return f"{name}.weight" in self._left

    def count(self, pattern: str, first: int = 0, step: int = 1) -> int:
        """How many layers there are whose names a pattern gives with the numbers first, first + step, ...

        With a second pair of braces the pattern stands for any layer whose name begins so.
        """
        start, *rest = pattern.split("{}")
        for found in count():
            name = f"{start}{first + step * found}{rest[0]}"
            if not (self.has(name) if len(rest) == 1 else any(left.startswith(name) for left in self._left)):
                return found
        raise AssertionError

    def positions(self, name: str) -> list[int]:
        """The positions of convolutions in a Sequential of this name."""
        inside = (left.removeprefix(f"{name}.") for left in self._left if left.startswith(f"{name}."))
        numbers = [int(found.removesuffix(".weight")) for found in inside if found.removesuffix(".weight").isdigit()]
        return sorted(number for number in numbers if not self.is_norm(f"{name}.{number}"))

    def has_bias(self, name: str) -> bool:
        return f"{name}.bias" in self._left

    def is_norm(self, name: str) -> bool:
        return f"{name}.running_mean" in self._left

    def move(self, name: str, ours: str) -> None:
        """Take the tensors of a layer, under our name."""
        for leaf in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            if f"{name}.{leaf}" in self._left:
                self.state[f"model.{ours}.{leaf}"] = self._left.pop(f"{name}.{leaf}")

    def join(self, names: Sequence[str], ours: str) -> None:
        """Take some layers with the same input as one under our name, whose output is theirs one after another."""
        for leaf in ("weight", "bias"):
            self.state[f"model.{ours}.{leaf}"] = torch.cat([self._left.pop(f"{name}.{leaf}") for name in names])

    def finish(self) -> dict[str, Tensor]:
        """The weights under our names."""
        if self._left:
            raise ValueError(f"{next(iter(self._left))} has no place in this structure")
        return self.state


class Block:
    """Declared layers under one name of ours, such as unet.down.0."""

    def __init__(self, reader: Reader, ours: str) -> None:
        self._reader, self._ours = reader, ours
        self.layers: list[list[Any]] = []

    def conv(self, name: str, padding: int | None = None, *, bias: bool = True) -> Block:
        """A convolution with the weights `name`, padded so that the size stays, or by `padding`."""
        weight = self._reader.weight(name)
        side = weight.shape[2]
        return self._take(name, "conv", weight.shape[0], side, side // 2 if padding is None else padding, bias)

    def joined(self, names: Sequence[str]) -> Block:
        """1x1 convolutions of the same input, as one."""
        weights = [self._reader.weight(name) for name in names]
        if any(weight.shape[1:] != weights[0].shape[1:] or weight.shape[2] != 1 for weight in weights):
            raise ValueError(f"{', '.join(names)} are not 1x1 convolutions of the same input")
        if not all(map(self._reader.has_bias, names)):
            raise ValueError(f"no bias of all of {', '.join(names)}")
        self._reader.join(names, f"{self._ours}.{len(self.layers)}")
        return self.plain("conv", sum(weight.shape[0] for weight in weights), 1, 0, True)

    def transposed(self, name: str, padding: int) -> Block:
        """A transposed convolution that doubles the size."""
        weight = self._reader.weight(name)
        return self._take(name, "transposed-conv", weight.shape[1], weight.shape[2], padding, True)

    def batch_norm(self, name: str, epsilon: float) -> Block:
        if not self._reader.is_norm(name):
            raise ValueError(f"no {name}.running_mean")
        self._reader.move(name, f"{self._ours}.{len(self.layers)}")
        return self.plain("batch-norm", epsilon)

    def plain(self, kind: str, *arguments: Any) -> Block:
        """A layer without weights."""
        self.layers.append([kind, *arguments])
        return self

    def _take(self, name: str, kind: str, *arguments: Any) -> Block:
        if arguments[-1] and not self._reader.has_bias(name):
            raise ValueError(f"no {name}.bias")
        self._reader.move(name, f"{self._ours}.{len(self.layers)}")
        return self.plain(kind, *arguments)


def declared(
    peer: str,
    reader: Reader,
    unet: Mapping[str, Any] | None,
    prior: Block,
    combiner: Block,
    *,
    spread: str = "log-sigma",
    clamp: Sequence[float] | None = None,
    family: Family | None = None,
    assumed: tuple[str, ...] = (),
) -> Found:
    """What was read, as a DeclaredUNet. The posterior net is left out: hypotheses do not need it."""
    state = reader.finish()
    widths = [arguments[0] for kind, *arguments in prior.layers if kind == "conv"]
    first = next(tensor for name, tensor in state.items() if name.startswith("model.prior.layers."))
    latent_dim = widths[-1] // 2 if family is None else family.latent_dim
    if len(combiner.layers) < 2 or combiner.layers[0][0] != "conv":
        raise ValueError("its combiner has no hidden layer")
    config: dict[str, Any] = dict(
        peer=peer,
        in_channels=int(first.shape[1]),
        features=int(state["model.fcomb.layers.0.weight"].shape[1]) - latent_dim,
        unet=unet,
        gaussian=prior.layers,
        combiner=combiner.layers,
        spread=spread,
        clamp=clamp,
        dims=first.ndim - 2,
    )
    if family is not None:
        config["family"] = family._asdict()
    return Found(peer, "DeclaredUNet", config, state, assumed)
