"""Checkpoints: one safetensors file with the architecture as JSON in its header. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialize
from torch import Tensor

from fastpunet.arguments import check_choice
from fastpunet.files import write_bytes
from fastpunet.models import METHODS, Method
from fastpunet.models.checkpoint_files import HEADER_KEY, one_line, read_file, state_dicts
from fastpunet.models.header_entries import describe, set_described
from fastpunet.models.port_state import infer_config, untold, without_prefixes
from fastpunet.models.prob_unet import POSTERIOR_INPUTS

WEIGHTS_FILE = "model.safetensors"  # the name of the model in the folder of a training run
BEST_FILE = "best.safetensors"  # the best model so far of a run that is not finished
RESUME_FILE = "last.ckpt"  # what a run goes on from
RUN_FILES = (WEIGHTS_FILE, RESUME_FILE)  # a folder that has one of them is that of a training run


def shipped() -> dict[str, Path]:
    """Names and files of the weights that come with the package."""
    folder = Path(str(resources.files("fastpunet") / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def save(model: Method, path: str | os.PathLike[str]) -> None:
    """Write a model to `path`, as safetensors, whole or not at all.

    The file holds the weights, the architecture, what is known of the images that the model was trained on
    (`intensity`, `spacing` and `image_size`) and its `calibration`. `load` reads it, with weights in float32. Raises
    OSError, and TypeError for anything but a fastpunet model; of other models, save the state dict.
    """
    model = getattr(model, "_orig_mod", model)  # out of torch.compile's wrapper
    if type(model).__name__ not in METHODS or not isinstance(model, Method):
        raise TypeError(
            f"model: got {type(model).__name__}, expected one of {', '.join(METHODS)}; save what is inside of windows, "
            "and others with torch.save(model.state_dict(), path), which load reads too"
        )
    header: dict[str, Any] = {"method": type(model).__name__, "config": model.config, **describe(model)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(path, serialize(tensors, metadata={HEADER_KEY: json.dumps(header)}))


def load(source: str | os.PathLike[str] | Mapping[str, Tensor], *, posterior_input: str | None = None) -> Method:
    """Load a model from shipped weights, a file, a run's folder or a state dict: on the CPU, for evaluation, float32.

    source           the name of shipped weights; a file, whose kind is recognised by its content; a folder that
                     `fastpunet train` wrote, for its model.safetensors; or a state dict
    posterior_input  only for a state dict with the PyTorch port's names: the form in which its posterior net sees a
                     segmentation. "one-hot" is one-hot minus 0.5, as in the authors' release; "plain-one-hot" subtracts
                     nothing; "mask" is the label map as one channel, as in the port. The default is "mask" if the net
                     has one channel for the segmentation. If it has one for each class, the default is "one-hot", and
                     a UserWarning says so. Hypotheses do not depend on it.

    Files are safetensors, or files of torch.save, which are opened with weights_only=True. Files of `save` have the
    architecture in their header. Other files hold a state dict with the PyTorch port's names, and the architecture is
    inferred from its shapes. The state dict may be the whole file or lie under a key such as "state_dict" or "model",
    and its names may have a common prefix, such as those of torch.compile, DataParallel, AveragedModel, or a
    LightningModule's attribute.
    Raises FileNotFoundError, and ValueError for a truncated, foreign or non-finite checkpoint.

    >>> load("lesions").num_classes
    1
    """
    if posterior_input is not None:
        check_choice("posterior_input", posterior_input, POSTERIOR_INPUTS)
    if isinstance(source, Mapping):
        return _of_state(source, "the state dict", posterior_input)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"source: got {type(source).__name__}, expected a name, a path or a state dict; "
            "a live model needs no loading: pass it to fastpunet.sample as it is"
        )
    path = find_file(source)
    header, held = read_file(path)
    if header is None:
        return _of_state(held, str(path), posterior_input)
    model = _build(str(header.get("method")), header["config"], held, str(path))
    try:
        set_described(model, header)
    except (TypeError, ValueError) as error:
        raise ValueError(f"checkpoint: {path}: {one_line(error)}") from None
    return model


def find_file(source: str | os.PathLike[str]) -> Path:
    """The file of a checkpoint, a run's folder or shipped weights. Raises FileNotFoundError or ValueError as `load`."""
    path = shipped().get(str(source), Path(source))
    if path.is_dir():
        if not (path / WEIGHTS_FILE).is_file():
            if (path / RESUME_FILE).is_file():
                raise FileNotFoundError(
                    f"source: no {WEIGHTS_FILE} in {str(source)!r}, whose training run is not finished; finish it with "
                    f"fastpunet train --resume --output {path}{_best_so_far(path)}"
                )
            found = ", ".join(sorted(file.name for file in path.glob("*.safetensors"))) or "no .safetensors file"
            raise FileNotFoundError(
                f"source: no {WEIGHTS_FILE} in the folder {str(source)!r}, expected a finished run's; found {found}"
            )
        return path / WEIGHTS_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"source: no file {str(source)!r}, and no shipped weights of that name; shipped: "
            f"{', '.join(shipped()) or 'none'}"
        )
    if path.suffix == ".ckpt" and (path.parent / "config.yaml").is_file():
        raise ValueError(
            f"checkpoint: {path} is what a training run goes on from (fastpunet train --resume), not a model; load its "
            f"folder {str(path.parent)!r}"
            + ("" if (path.parent / WEIGHTS_FILE).is_file() else f" once it is finished{_best_so_far(path.parent)}")
        )
    return path


def _best_so_far(folder: Path) -> str:
    """Say which other file of an unfinished run can be loaded."""
    best = folder / BEST_FILE
    return f", or load {best}, the best so far" if best.is_file() else ""


def _of_state(held: object, where: str, posterior_input: str | None) -> Method:
    """Build a Probabilistic U-Net from a state dict with the port's names, or from the entry that is such a dict."""
    states = state_dicts(held)
    if not states:
        raise ValueError(
            f"checkpoint: {where} is not a state dict of names and tensors, and holds none; save with "
            "torch.save(model.state_dict(), path)"
        )
    ours = [state for state in states if any(name.endswith("fcomb.last_layer.weight") for name in state)]
    if len(ours) > 1:
        raise ValueError(f"checkpoint: {where} holds {len(ours)} networks; load the state dict of one of them")
    state = (ours or states)[0]
    said = untold(state)
    config = {**infer_config(state), **said}
    if posterior_input is not None:
        config["posterior_input"] = posterior_input
    elif config["posterior_input"] == "one-hot" and not said:
        warnings.warn(
            f'{where} does not say in which form its posterior net sees a segmentation; took "one-hot", which '
            'subtracts 0.5. If its training subtracted nothing, load it with posterior_input="plain-one-hot"; '
            "hypotheses are the same",
            stacklevel=3,
        )
    return _build("ProbabilisticUNet", config, without_prefixes(state), where)


def _build(method: str, config: Mapping[str, Any], state: Mapping[str, Tensor], where: str) -> Method:
    if method not in METHODS:
        raise ValueError(f"checkpoint: {where} holds a {one_line(method, 40)}, expected one of {', '.join(METHODS)}")
    try:
        odd = [name for name, tensor in state.items() if not _is_plain(tensor)]
        if odd:
            raise ValueError(f"{odd[0]} is no plain tensor of real numbers")
        broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
        _check_counts(config, state)
        with torch.device("meta"):  # shapes alone, which take neither time nor memory
            model = METHODS[method](**config)
        weights = {name: tensor.to(torch.float32, copy=True) for name, tensor in state.items()}
        model.load_state_dict(weights, assign=True)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"checkpoint: {where} does not fit a {method}: {one_line(error)}") from None
    if broken:
        raise ValueError(f"checkpoint: {where} holds NaN or infinity in {', '.join(broken[:3])}; take an earlier one")
    return model.eval()


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
                raise ValueError(f"{name}: got {count}, and the file holds {len(state)} tensors")
    if layers > len(state):
        raise ValueError(f"config: got at least {layers} layers, and the file holds {len(state)} tensors")
