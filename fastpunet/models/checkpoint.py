"""Checkpoints: one safetensors file with the architecture as JSON in its header. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from fastpunet.files import write_bytes
from fastpunet.models import METHODS, Method

_HEADER_KEY = "fastpunet"


def shipped() -> dict[str, Path]:
    """Names and files of the weights that come with the package."""
    folder = Path(str(resources.files("fastpunet") / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def save(model: Method, path: str | os.PathLike[str]) -> None:
    """Write the model's weights and architecture to `path`, whole or not at all. `load` gives float32 weights.

    Raises TypeError for anything but a fastpunet model (of others, save the state dict), and OSError.
    """
    model = getattr(model, "_orig_mod", model)  # out of torch.compile's wrapper
    if not isinstance(model, Method):
        raise TypeError(
            f"model: got {type(model).__name__}, expected one of {', '.join(METHODS)}; save others with "
            "torch.save(model.state_dict(), path), which load reads too"
        )
    header = {_HEADER_KEY: json.dumps({"method": type(model).__name__, "config": model.config})}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(path, serialize(tensors, metadata=header))


def load(source: str | os.PathLike[str] | Mapping[str, Tensor]) -> Method:
    """A model from the name of shipped weights, a checkpoint file, or a state dict; on the CPU, in evaluation mode.

    Files: .safetensors written by `save`, or any .safetensors, .pt or .pth that holds a state dict with the PyTorch
    port's names, whose architecture is then read off its shapes. .pt files are opened with weights_only=True.
    Raises FileNotFoundError, and ValueError for a truncated, foreign or non-finite checkpoint.
    """
    if isinstance(source, Mapping):
        _check_state(source, "the state dict")
        return _build("ProbabilisticUNet", infer_config(source), source, "the state dict")
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"source: got {type(source).__name__}, expected a name, a path or a state dict; "
            "a live model needs no loading: pass it to fastpunet.sample as it is"
        )
    path = shipped().get(str(source), Path(source))
    if not path.is_file():
        raise FileNotFoundError(
            f"source: no file {str(source)!r}, and no shipped weights of that name; shipped: "
            f"{', '.join(shipped()) or 'none'}"
        )
    if path.suffix == ".safetensors":
        header, state = _read_safetensors(path)
    else:
        header, state = None, _read_torch(path)
    method, config = ("ProbabilisticUNet", infer_config(state)) if header is None else header
    return _build(method, config, state, str(path))


def infer_config(state: Mapping[str, Tensor]) -> dict[str, object]:
    """The architecture of a state dict with the PyTorch port's names. Raises ValueError if it is another model's."""
    state = _without_prefix(state)
    try:
        first = _layers(state, "unet.contracting_path.0.layers.")
        scales = len({name.split(".")[2] for name in state if name.startswith("unet.contracting_path.")})
        fcomb = _layers(state, "fcomb.layers.")
        image_channels = first[0].shape[1]
        classes = state["fcomb.last_layer.weight"].shape[0]
        mask_channels = state["posterior.encoder.layers.0.weight"].shape[1] - image_channels
        return dict(
            in_channels=image_channels,
            num_classes=classes,
            channels=[_layers(state, f"unet.contracting_path.{i}.layers.")[0].shape[0] for i in range(scales)],
            latent_dim=state["prior.conv_layer.weight"].shape[0] // 2,
            convs_per_block=len(first),
            fcomb_layers=len(fcomb) + 1,
            posterior_input="one-hot" if mask_channels == classes > 1 else "mask",
            log_sigma_bound=None,
            dims=first[0].ndim - 2,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            "checkpoint: not a Probabilistic U-Net with the PyTorch port's names (unet.contracting_path, prior, "
            f"posterior, fcomb): {error}; found {', '.join(list(state)[:4]) or 'nothing'} ..."
        ) from None


def _build(method: str, config: Mapping[str, object], state: Mapping[str, Tensor], where: str) -> Method:
    state = _without_prefix(state)
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ValueError(f"checkpoint: {where} holds NaN or infinity in {', '.join(broken[:3])}; take an earlier one")
    if method not in METHODS:
        raise ValueError(f"checkpoint: {where} holds a {method}, expected one of {', '.join(METHODS)}")
    try:
        with torch.random.fork_rng(devices=[]):  # the initial weights are overwritten; the caller's generator is not
            model = METHODS[method](**config)
        model.load_state_dict(state)
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"checkpoint: {where} does not fit a {method}: {error}") from None
    return model.eval()


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the "module." or "_orig_mod." that DataParallel and torch.compile put before each."""
    return {name.removeprefix("module.").removeprefix("_orig_mod."): tensor for name, tensor in state.items()}


def _layers(state: Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    weights = [name for name in state if name.startswith(prefix) and name.endswith(".weight")]
    if not weights:
        raise KeyError(f"no {prefix}*.weight")
    return [state[name] for name in sorted(weights, key=lambda name: int(name.split(".")[-2]))]


def _read_safetensors(path: Path) -> tuple[tuple[str, dict[str, object]] | None, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_HEADER_KEY)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if text is None:
            return None, state
        header = json.loads(text)
        return (str(header["method"]), dict(header["config"])), state
    except (SafetensorError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint: {path} is truncated or not a safetensors file: {error}") from None


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise ValueError(
            f"checkpoint: {path} is truncated, or holds more than tensors and was not opened: {str(error)[:200]}; "
            "save the weights alone with torch.save(model.state_dict(), path)"
        ) from None
    _check_state(state, str(path))
    return state  # type: ignore[no-any-return]


def _check_state(state: object, where: str) -> None:
    pairs = state.items() if isinstance(state, Mapping) else [(None, None)]
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in pairs):
        raise ValueError(
            f"checkpoint: {where} is not a state dict of names and tensors; save with "
            "torch.save(model.state_dict(), path)"
        )
