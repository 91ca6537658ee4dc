"""Recognises whose network a state dict is, by its names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from fastpunet.models.peers import generalized, injection, platipy, port, release, torch_em, unet_zoo, uq_box
from fastpunet.models.peers.found import Found

_PEERS: tuple[tuple[str, Callable[[Mapping[str, Tensor]], Found]], ...] = (  # a name that only this peer has
    (release.LANDMARK, release.read),
    ("task_net.reduce-0.weight", injection.read),
    ("fcomb.layers.0.convolution.0.weight", unet_zoo.read),
    ("unet.encoder.blocks.0.block.1.weight", torch_em.read),
    ("unet.encoder.0.layers.0.weight", platipy.read),
)


def recognise(state: Mapping[str, Tensor]) -> Found:
    """The network of a state dict without prefixes. Raises ValueError, with the reason, for any other."""
    for name, read in _PEERS:
        if name in state:
            return read(state)
    if any(name.startswith("model.") for name in state) and "prior.encoder.layers.0.weight" in state:
        return uq_box.read(state)
    if any(name.startswith("unet.contracting_path.") and name.endswith(".running_mean") for name in state):
        return generalized.read(state)
    return port.read(state)
