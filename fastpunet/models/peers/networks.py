"""Finds networks among the entries of a file: below keys such as "state_dict", and behind prefixes of wrappers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from fastpunet.models.adapters.parts import TRANSPARENT

_LANDMARKS = (  # names of which every network has one: of the port and its relatives, of the U-Nets that z is injected
    "fcomb.last_layer.weight",  # into, and of the authors' release
    "task_net.reduce-0.weight",
    "unet/vgg_enc/down_block_0/conv_2d/w",
)
_DEPTH = 4  # of entries inside entries


class Network(NamedTuple):
    """One network of a file: the keys and the prefix that lead to it, and its state dict without them."""

    where: str
    state: dict[str, Tensor]
    metadata: Mapping[str, Any]  # of the state dict that it was part of


def networks(held: object) -> list[Network]:
    """The networks that a file holds. A state dict without any landmark counts as one, for the message about it."""
    found = [network for where, state in _state_dicts(held) for network in _parts(where, state)]
    known = [network for network in found if _landmark(network.state) is not None]
    return known or found


def choose(found: list[Network], part: str | None) -> Network:
    """The network that `part` names, or the only one. ValueError, with the choices, if that does not decide."""
    fitting = [network for network in found if part is None or part in network.where.replace("/", ".").split(".")]
    fitting = fitting or [network for network in found if part == network.where]
    if len(fitting) == 1:
        return fitting[0]
    choices = ", ".join(repr(network.where) for network in found)
    if part is not None:
        raise ValueError(f"part: got {part!r}, which is in {len(fitting)} of {choices}; name one of them")
    raise ValueError(f"it holds {len(found)} networks, {choices}; name one of them, such as part={found[0].where!r}")


def _state_dicts(held: Any, where: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """The mappings of names to tensors, and the keys that lead to them."""
    if not isinstance(held, Mapping) or not depth:
        return
    tensors = OrderedDict((name, value) for name, value in held.items() if not str(name).endswith("_extra_state"))
    vars(tensors)["_metadata"] = getattr(held, "_metadata", {})  # of a module's own state dict
    if tensors and all(isinstance(n, str) and isinstance(t, Tensor) for n, t in tensors.items()):
        yield where, tensors
        return
    for key, value in held.items():
        yield from _state_dicts(value, f"{where}/{key}" if where else str(key), depth - 1)


def _parts(where: str, state: Mapping[str, Tensor]) -> Iterator[Network]:
    """The networks in one state dict, each without the names of wrappers and of the attributes that lead to it."""
    metadata = getattr(state, "_metadata", None) or {}
    plain = {".".join(part for part in name.split(".") if part not in TRANSPARENT): t for name, t in state.items()}
    prefixes = list(dict.fromkeys(_prefixes(plain)))
    for prefix in prefixes or [""]:
        inside = [other for other in prefixes if other != prefix and other.startswith(prefix)]
        own = {
            name.removeprefix(prefix): tensor
            for name, tensor in plain.items()
            if name.startswith(prefix) and not name.startswith(tuple(inside)) and name != "n_averaged"
        }
        yield Network("/".join(filter(None, (where, prefix.rstrip("./")))), own, metadata)


def _prefixes(names: Mapping[str, Tensor]) -> Iterator[str]:
    for name in names:
        for landmark in _LANDMARKS:
            prefix = name.removesuffix(landmark)
            if prefix != name and (not prefix or prefix[-1] in "./"):
                yield prefix


def _landmark(state: Mapping[str, Tensor]) -> str | None:
    return next((landmark for landmark in _LANDMARKS if landmark in state), None)
