"""Weights and architecture of state dicts with the PyTorch port's names, under any prefix that wrappers gave them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

_LAST = "fcomb.last_layer.weight"  # a name that every such state dict has
_WRAPPERS = ("_orig_mod", "module")  # of torch.compile; of DataParallel, DistributedDataParallel and AveragedModel
UNTOLD = ("posterior_input", "log_sigma_bound", "prior_scale")  # what the weights' shapes do not tell
UNTOLD_KEY = "fastpunet"  # where our models' state dicts hold it, in the metadata of the network's module


def untold(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a state dict of a ProbabilisticUNet says of its architecture beside the weights; {} of other models."""
    metadata = getattr(state, "_metadata", None)
    entries = metadata.values() if isinstance(metadata, Mapping) else ()
    said = (entry.get(UNTOLD_KEY) for entry in entries if isinstance(entry, Mapping))
    found = next((entry for entry in said if isinstance(entry, Mapping)), {})
    return {name: found[name] for name in UNTOLD if name in found}


def without_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove from the names the parts that wrappers added, and a common prefix such as "net." or "model.".

    Entries that do not belong to the network, such as AveragedModel's `n_averaged` or a loss, are left out. A state
    dict without the port's names is returned unchanged. Raises ValueError if it holds two networks.
    """
    plain = {".".join(part for part in name.split(".") if part not in _WRAPPERS): t for name, t in state.items()}
    prefixes = [name.removesuffix(_LAST) for name in plain if name == _LAST or name.endswith(f".{_LAST}")]
    if len(prefixes) > 1:
        raise ValueError(
            f"checkpoint: it holds {len(prefixes)} networks, {', '.join(repr(prefix) for prefix in prefixes)}; load "
            "the state dict of one of them"
        )
    if not prefixes:
        return plain
    if not prefixes[0]:
        return {name: tensor for name, tensor in plain.items() if name != "n_averaged"}
    return {name.removeprefix(prefixes[0]): t for name, t in plain.items() if name.startswith(prefixes[0])}


def infer_config(state: Mapping[str, Tensor]) -> dict[str, object]:
    """The architecture of a state dict with the PyTorch port's names. Raises ValueError for any other model's."""
    state = without_prefixes(state)
    try:
        first = _layers(state, "unet.contracting_path.0.layers.")
        scales = len({name.split(".")[2] for name in state if name.startswith("unet.contracting_path.")})
        fcomb = _layers(state, "fcomb.layers.")
        image_channels = first[0].shape[1]
        classes = state[_LAST].shape[0]
        width = fcomb[0].shape[0]
        mask_channels = state["posterior.encoder.layers.0.weight"].shape[1] - image_channels
        return dict(
            in_channels=image_channels,
            num_classes=classes,
            channels=[_layers(state, f"unet.contracting_path.{i}.layers.")[0].shape[0] for i in range(scales)],
            latent_dim=state["prior.conv_layer.weight"].shape[0] // 2,
            latent_maps=state["prior.map_layer.weight"].shape[0] // 2 if "prior.map_layer.weight" in state else 0,
            fcomb_channels=None if width == first[0].shape[0] else width,
            convs_per_block=len(first),
            fcomb_layers=len(fcomb) + 1,
            posterior_input="one-hot" if mask_channels == classes > 1 else "mask",
            log_sigma_bound=None,
            prior_scale=1.0,
            dims=first[0].ndim - 2,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            "checkpoint: not a Probabilistic U-Net with the PyTorch port's names (unet.contracting_path, prior, "
            f"posterior, fcomb): {error}; found {', '.join(list(state)[:4]) or 'nothing'} ..."
        ) from None


def _layers(state: Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    weights = [name for name in state if name.startswith(prefix) and name.endswith(".weight")]
    if not weights:
        raise KeyError(f"no {prefix}*.weight")
    return [state[name] for name in sorted(weights, key=lambda name: int(name.split(".")[-2]))]
