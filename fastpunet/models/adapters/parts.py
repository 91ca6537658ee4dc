"""The parts of a Probabilistic U-Net, under the names that they have in the wild, inside whatever wraps the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

UNET_NAMES = ("unet", "_unet", "model", "task_net")
PRIOR_NAMES = ("prior", "prior_net", "_prior")
COMBINER_NAMES = ("fcomb", "_fcomb", "f_comb", "_f_comb", "output_net")


class Parts(NamedTuple):
    """Names of a model's attributes."""

    unet: str
    prior: str
    combiner: str


def find_parts(model: object) -> Parts | None:
    """The attributes of a model that are its U-Net, prior net and combiner; None if one of them is missing."""
    names = [_first(model, choices) for choices in (UNET_NAMES, PRIOR_NAMES, COMBINER_NAMES)]
    return Parts(*names) if all(name is not None for name in names) else None  # type: ignore[arg-type]


def missing_parts(model: object) -> list[str]:
    """What `find_parts` looked for in vain."""
    wanted = {"unet": UNET_NAMES, "prior": PRIOR_NAMES, "fcomb": COMBINER_NAMES}
    return [name for name, choices in wanted.items() if _first(model, choices) is None]


def inside(model: object) -> Iterator[nn.Module]:
    """The model, and what wrappers around it hold, outermost first.

    Wrappers are torch.compile's, DataParallel, DistributedDataParallel, AveragedModel, and any module that holds just
    one module, such as a LightningModule around a network. Of a module with several children none is taken.
    """
    seen: set[int] = set()
    while isinstance(model, nn.Module) and id(model) not in seen:
        seen.add(id(model))
        yield model
        model = _held(model)


def _held(model: nn.Module) -> nn.Module | None:
    for name in ("_orig_mod", "module"):  # torch.compile; DataParallel, DistributedDataParallel, AveragedModel
        if isinstance(model._modules.get(name), nn.Module):
            return model._modules[name]
    candidates = [child for child in model.children() if any(find_parts(module) for module in inside(child))]
    return candidates[0] if len(candidates) == 1 else None


def _first(model: object, choices: tuple[str, ...]) -> str | None:
    return next((name for name in choices if isinstance(getattr(model, name, None), nn.Module)), None)
