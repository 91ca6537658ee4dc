"""All that a combiner's own forward pass computes with besides its arguments, to be compared by its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from fastpunet.acceleration.comparable import OF_EVERY_MODULE, PLAIN, classes_of, data_of, frozen, memory_of
from fastpunet.models.affine import leaves
from fastpunet.models.snapshot import Snapshot


class State:
    """What a combiner computes with, as it was when this was made: weights, buffers, structure, modes and attributes.

    Weights on a CPU are compared by their values. Others are compared by PyTorch's counts of their changes, for which
    the host need not wait. Attributes of modules and of their classes are compared by value, inside containers too, and
    methods and properties of the classes by identity. What these look up elsewhere, such as globals, is not compared.
    Raises TypeError for attributes that cannot be compared, and for tensors on other devices outside the layers.
    """

    def __init__(self, combiner: nn.Module) -> None:
        self._modules = list(combiner.modules())
        self._snapshot = Snapshot(combiner)
        self._classes = [vars(kind) for kind in {kind: None for m in self._modules for kind in classes_of(m)}]
        self._places = [*_places(combiner), *((held, name) for held in self._classes for name in data_of(held))]
        self._of_classes = [list(held.values()) for held in self._classes]  # kept, so that nothing else has their ids
        self._weights = [*combiner.parameters(), *combiner.buffers()]
        inside = {id(weight) for leaf in leaves(combiner) for weight in (*leaf.parameters(), *leaf.buffers())}
        if not all(weight.is_cpu or id(weight) in inside for weight in self._weights):
            raise TypeError("a weight outside the layers, whose values only the device knows")
        self._memory = [memory_of(w) if w.is_cpu and w.is_contiguous() else None for w in self._weights]
        self._then = self._read()

    def holds(self) -> bool:
        """Whether nothing of this has changed."""
        try:
            return self._snapshot.holds() and self._read() == self._then
        except (KeyError, TypeError, RuntimeError):  # an attribute is gone, or another thread is changing it
            return False

    def _read(self) -> tuple[Any, ...]:
        return (
            [(type(module), module.training) for module in self._modules],
            [list(map(id, held.values())) for held in self._classes],
            [frozen(held[name], self._modules) for held, name in self._places],
            [w._version for w in self._weights if not w.is_cpu],
            b"".join(
                [
                    (memory_of(w) if memory is None else memory).tobytes()
                    for w, memory in zip(self._weights, self._memory, strict=True)
                    if w.is_cpu
                ]
            ),
        )


def _places(combiner: nn.Module) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Where attributes and hooks are whose values a `Snapshot` does not compare."""
    for module in combiner.modules():
        held = vars(module)
        for name, value in held.items():
            known = name in OF_EVERY_MODULE or (module is combiner and name == "forward")
            if not known and not (type(value) in PLAIN or _is_plain_tuple(value)):
                yield held, name
        if module is not combiner and module._forward_pre_hooks:
            yield held, "_forward_pre_hooks"


def _is_plain_tuple(value: Any) -> bool:
    return type(value) is tuple and all(type(item) in PLAIN for item in value)
