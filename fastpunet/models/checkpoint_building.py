"""Builds a model from an architecture and weights that a file holds, none of which is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fastpunet.models import METHODS, Method
from fastpunet.models.checkpoint_files import one_line
from fastpunet.models.declared import DeclaredUNet

STORED: dict[str, type[Method]] = {**METHODS, "DeclaredUNet": DeclaredUNet}  # the methods that files hold
_SHARED = 4  # times that stored values may be used: networks share some weights
_COUNTER = "num_batches_tracked"  # of BatchNorm, a whole number


def build(method: str, config: Mapping[str, Any], state: Mapping[str, Tensor], where: str) -> Method:
    """The model, on the CPU, for evaluation, in float32. Raises ValueError if anything does not fit."""
    if method not in STORED:
        raise ValueError(f"checkpoint: {where} holds a {one_line(method, 40)}, expected one of {', '.join(STORED)}")
    try:
        odd = [name for name, tensor in state.items() if not _is_plain(tensor)]
        if odd:
            raise ValueError(f"{odd[0]} is not a dense tensor of real numbers")
        whole = [n for n, tensor in state.items() if not (tensor.is_floating_point() or n.endswith(_COUNTER))]
        if whole:
            raise ValueError(
                f"{whole[0]} is {state[whole[0]].dtype}, expected floating-point weights; save them before quantization"
            )
        broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
        _check_counts(config, state)
        with torch.device("meta"):  # shapes alone, which take neither time nor memory
            model = STORED[method](**config)
        weights = {name: _copied(name, tensor) for name, tensor in state.items()}
        model.load_state_dict(weights, assign=True)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"checkpoint: {where} does not fit a {method}: {one_line(error)}") from None
    if broken:
        raise ValueError(
            f"checkpoint: {where} holds NaN or infinity in {', '.join(broken[:3])}; use an earlier checkpoint"
        )
    return model.eval()


def check_memory(state: Mapping[str, Tensor]) -> None:
    """Raise ValueError for tensors that take far more memory than their storage holds, as expanded ones may."""
    plain = {name: tensor for name, tensor in state.items() if _is_plain(tensor)}
    stored = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in plain.values()}
    sizes = {name: tensor.numel() * tensor.element_size() for name, tensor in plain.items()}
    if sum(sizes.values()) > _SHARED * sum(stored.values()):
        largest = max(sizes, key=lambda name: sizes[name])
        raise ValueError(
            f"{largest} has the shape {tuple(plain[largest].shape)}, and the weights take {sum(sizes.values())} bytes, "
            f"of which {sum(stored.values())} are stored; save the weights without expanded tensors"
        )


def _copied(name: str, tensor: Tensor) -> Tensor:
    return tensor.to(torch.int64 if name.endswith(_COUNTER) else torch.float32, copy=True)


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_complex() or tensor.is_quantized or tensor.is_meta)


def _check_counts(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Raise ValueError, before any layer is built, if the architecture has more layers than the file has tensors."""
    scales = config.get("channels", ())
    layers = len(scales) if isinstance(scales, list) else 1
    for name in ("convs_per_block", "fcomb_layers", "members"):
        count = config.get(name, 1)
        if isinstance(count, int):
            layers *= max(1, count) if name in ("convs_per_block", "members") else 1
            if count > len(state):
                raise ValueError(f"{name}: got {count}, but the file holds {len(state)} tensors")
    if layers > len(state):
        raise ValueError(f"config: got at least {layers} layers, but the file holds {len(state)} tensors")
