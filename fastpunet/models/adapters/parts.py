"""Finds the parts of a Probabilistic U-Net by the names that published code uses, also inside wrappers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

from fastpunet.models.method import Method

UNET_NAMES = ("unet", "_unet", "model", "task_net")
PRIOR_NAMES = ("prior", "prior_net", "_prior")
TRANSPARENT = ("_orig_mod", "module")  # torch.compile; DataParallel, DistributedDataParallel, AveragedModel
REUSE = "reuse_last_activations"  # the argument by which a U-Net decodes another latent from what it has stored
COMBINER_NAMES = ("fcomb", "_fcomb", "f_comb", "_f_comb", "output_net")


class Parts(NamedTuple):
    """Names of attributes: of the network inside the modules that wrap it, and of the network's parts."""

    inner: str
    unet: str
    prior: str
    combiner: str


def find_parts(model: object) -> Parts | None:
    """The attributes of a model that are its U-Net, prior net and combiner; None if one of them is missing."""
    names = [first_module(model, choices) for choices in (UNET_NAMES, PRIOR_NAMES, COMBINER_NAMES)]
    return Parts("", *names) if all(name is not None for name in names) else None  # type: ignore[arg-type]


def find_injected(model: object) -> str | None:
    """The attribute of a model that is a U-Net with the combiner inside (see `injected`); None if there is none."""
    name = first_module(model, UNET_NAMES)
    if name is None or first_module(model, PRIOR_NAMES) is None:
        return None
    return name if REUSE in inspect.signature(getattr(model, name).forward).parameters else None


def is_network(model: object) -> bool:
    """Whether a model is a method of this package, or has the parts of a Probabilistic U-Net."""
    return isinstance(model, Method) or find_parts(model) is not None or find_injected(model) is not None


def missing_parts(model: object) -> list[str]:
    """The parts that `find_parts` did not find."""
    wanted = {"unet": UNET_NAMES, "prior": PRIOR_NAMES, "fcomb": COMBINER_NAMES}
    return [name for name, choices in wanted.items() if first_module(model, choices) is None]


def inside(model: object) -> Iterator[tuple[nn.Module, str]]:
    """The model and the modules that it wraps, outermost first, each with its path inside the model.

    Wrappers are those of torch.compile, DataParallel, DistributedDataParallel and AveragedModel, and any module that
    holds exactly one network, such as a LightningModule. A module that holds several networks is no wrapper.
    """
    seen: set[int] = set()
    path: list[str] = []
    while isinstance(model, nn.Module) and id(model) not in seen:
        seen.add(id(model))
        yield model, ".".join(path)
        name = _held(model)
        model = None if name is None else model._modules[name]
        path.append(name or "")


def attribute(model: nn.Module, path: str) -> nn.Module:
    """The module at a path of attributes. The path skips torch.compile's wrappers, because twins have none."""
    for name in path.split(".") if path else ():
        if name != "_orig_mod":
            model = getattr(getattr(model, "_orig_mod", model), name)
    return getattr(model, "_orig_mod", model)


def _held(model: nn.Module) -> str | None:
    for name in TRANSPARENT:
        if isinstance(model._modules.get(name), nn.Module):
            return name
    names = [name for name, child in model.named_children() if any(is_network(module) for module, _ in inside(child))]
    return names[0] if len(names) == 1 else None


def first_module(model: object, choices: tuple[str, ...]) -> str | None:
    """The first of these names of attributes under which a model has a module."""
    return next((name for name in choices if isinstance(getattr(model, name, None), nn.Module)), None)
