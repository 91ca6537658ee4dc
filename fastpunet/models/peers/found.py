"""What a state dict was recognised as."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor


class Found(NamedTuple):
    """A network in the form in which it is built here.

    peer     the code that trained it
    method   the name of the method here
    config   the constructor's arguments
    state    the weights, under that method's names
    assumed  what neither names and shapes nor the caller say, and the peer's code does: one sentence each
    posterior_assumed  whether the form in which its posterior net sees a segmentation is not known either
    """

    peer: str
    method: str
    config: dict[str, Any]
    state: Mapping[str, Tensor]
    assumed: tuple[str, ...] = ()
    posterior_assumed: bool = False
