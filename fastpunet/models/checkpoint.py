"""Checkpoints: one safetensors file with the architecture as JSON in its header. Nothing is ever unpickled."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from safetensors.torch import save as serialize
from torch import Tensor, nn

from fastpunet.arguments import check_choice
from fastpunet.files import write_bytes
from fastpunet.models import Method
from fastpunet.models.checkpoint_building import STORED, build, check_memory
from fastpunet.models.checkpoint_files import HEADER_KEY, one_line, read_file
from fastpunet.models.checkpoint_sources import (
    BEST_FILE,
    RESUME_FILE,
    RUN_FILES,
    WEIGHTS_FILE,
    find_file,
    shipped,
)
from fastpunet.models.header_entries import describe, set_described, untold
from fastpunet.models.peers import Found, choose, networks, recognise
from fastpunet.models.prob_unet import POSTERIOR_INPUTS
from fastpunet.warning import warn

__all__ = [
    "BEST_FILE",
    "RESUME_FILE",
    "RUN_FILES",
    "WEIGHTS_FILE",
    "Loaded",
    "find_file",
    "load",
    "read",
    "save",
    "shipped",
]


class Loaded(NamedTuple):
    """A model, and what its file was recognised as; None for a file of `save`."""

    model: Method
    found: Found | None


def save(model: Method, path: str | os.PathLike[str]) -> None:
    """Write a model to `path`, as safetensors, whole or not at all.

    The file holds the weights, the architecture, what is known of the images that the model was trained on
    (`intensity`, `spacing`, `orientation`, `image_size`, `familiarity` and `training_images`), its `calibration` and
    what it says `about` its making. `load` reads it, with weights in float32. Raises OSError, and TypeError for
    anything but a fastpunet model; of other models, save the state dict.
    """
    model = getattr(model, "_orig_mod", model)  # out of torch.compile's wrapper
    if type(model).__name__ not in STORED or not isinstance(model, Method):
        raise TypeError(
            f"model: got {type(model).__name__}, expected one of {', '.join(STORED)}; save the model inside a windowed "
            "one; save other models with torch.save(model.state_dict(), path), which load reads too"
        )
    module = next((name for name, value in model.config.items() if isinstance(value, nn.Module)), None)
    if module is not None:
        raise TypeError(
            f"model: its {module} is a module of your own, which a file cannot describe; save model.state_dict(), and "
            f"load_state_dict it into a model that was made with the same {module}"
        )
    header: dict[str, Any] = {"method": type(model).__name__, "config": model.config, **describe(model)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(path, serialize(tensors, metadata={HEADER_KEY: json.dumps(header)}))


def load(
    source: str | os.PathLike[str] | Mapping[str, Tensor],
    *,
    posterior_input: str | None = None,
    part: str | None = None,
    unet: nn.Module | None = None,
) -> Method:
    """Load a model for evaluation, on the CPU: of shipped weights, a file, a folder, a hub repository or a state dict.

    source           the name of shipped weights; a file, whose kind is recognised by its content; a folder that
                     `fastpunet train` wrote, or one with the files of a Hugging Face repository or of a TensorFlow
                     checkpoint; OWNER/NAME or OWNER/NAME@REVISION of a Hugging Face repository; or a state dict
    posterior_input  only for a state dict with the PyTorch port's names: the form in which its posterior net sees a
                     segmentation. "one-hot" is one-hot minus 0.5, as in the authors' release; "plain-one-hot" subtracts
                     nothing; "mask" is the label map as one channel, as in the port. The default is "mask" if the net
                     has one channel for the segmentation. If it has one for each class, the default is "one-hot", and
                     a UserWarning says so. Hypotheses do not depend on it.
    part             which network to take from a file with several, such as "ema": a key or an attribute that leads to
                     it
    unet             only for a state dict of lightning-uq-box: a module of the kind that its `model` was, which gets
                     its weights

    Files are safetensors; files of torch.save, which are opened with weights_only=True; or the index of a TensorFlow
    checkpoint with its data beside it. Files of `save` have the architecture in their header. Other files hold a state
    dict, and the architecture follows from its names and shapes: those of the PyTorch port and of the code that
    docs/checkpoints.md lists. The state dict may be the whole file or lie under keys such as "state_dict", and its
    names may have prefixes, such as those of torch.compile, DataParallel, AveragedModel, or a LightningModule's
    attribute. Weights are float32. Raises FileNotFoundError, and ValueError, with the reason, for a truncated, foreign
    or non-finite checkpoint.

    >>> load("lesions").num_classes
    1
    """
    return read(source, posterior_input=posterior_input, part=part, unet=unet).model


def read(
    source: str | os.PathLike[str] | Mapping[str, Tensor],
    *,
    posterior_input: str | None = None,
    part: str | None = None,
    unet: nn.Module | None = None,
) -> Loaded:
    """`load`, and what the file was recognised as."""
    if posterior_input is not None:
        check_choice("posterior_input", posterior_input, POSTERIOR_INPUTS)
    if isinstance(source, Mapping):
        return _of_state(source, "the state dict", posterior_input, part, unet)
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"source: got {type(source).__name__}, expected a name, a path or a state dict; "
            "a live model needs no loading: pass it to fastpunet.sample as it is"
        )
    path = find_file(source)
    header, held = read_file(path)
    if header is None:
        return _of_state(held, str(path), posterior_input, part, unet)
    model = build(str(header.get("method")), header["config"], held, str(path))
    try:
        set_described(model, header)
    except (TypeError, ValueError) as error:
        raise ValueError(f"checkpoint: {path}: {one_line(error)}") from None
    return Loaded(model, None)


def _of_state(
    held: object, where: str, posterior_input: str | None, part: str | None, unet: nn.Module | None
) -> Loaded:
    """Build the network that a file holds, of whichever peer."""
    candidates = networks(held)
    if not candidates:
        raise ValueError(
            f"checkpoint: {where} is not a state dict of names and tensors, and contains none; save with "
            "torch.save(model.state_dict(), path)"
        )
    try:
        network = choose(candidates, part)
        check_memory(network.state)
        found = recognise(network.state)
        said = untold(network.metadata) if found.method == "ProbabilisticUNet" else {}
        config = {**found.config, **said}
        if posterior_input is not None:
            if "posterior_input" not in config:
                raise ValueError(
                    f"posterior_input: got {posterior_input!r}, but {found.peer} has no such choice here; leave it out"
                )
            config["posterior_input"] = posterior_input
        if unet is not None or config.get("unet", {}) is None:
            config["unet"] = _own_unet(found, unet)
    except ValueError as error:
        raise ValueError(f"checkpoint: {where}: {error}") from None
    if posterior_input is None and found.posterior_assumed and not said:
        warn(
            f'{where} does not say in which form its posterior net sees a segmentation; took "one-hot", which '
            'subtracts 0.5. If its training subtracted nothing, load it with posterior_input="plain-one-hot"; '
            "hypotheses are the same"
        )
    return Loaded(build(found.method, config, found.state, where), found)


def _own_unet(found: Found, unet: nn.Module | None) -> nn.Module:
    """A copy of the module that the caller chose, which the weights are loaded into."""
    if found.config.get("unet", {}) is not None:
        raise ValueError(
            f"unet: got {type(unet).__name__}, but the U-Net of {found.peer} is built from the names and shapes in the "
            "file; leave it out"
        )
    if unet is None:
        raise ValueError(
            f"it is a network of {found.peer}, whose U-Net may be any module, which names and shapes do not describe; "
            "load it with unet=MODULE, a module of the same kind"
        )
    return copy.deepcopy(unet)
