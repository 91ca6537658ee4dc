"""Turns weights of any form into a checkpoint, a state dict of the PyTorch port or an exported model, and compares."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fastpunet.exporting import SUFFIXES, export
from fastpunet.exporting.comparing import AGREEMENT
from fastpunet.files import replacing
from fastpunet.models import Method, ProbabilisticUNet, checkpoint
from fastpunet.models.checkpoint import Loaded
from fastpunet.sampler import sample

_SIDES = (32, 64, 128, 256)  # of an image to compare with; some networks take no small ones
_OF_PORT = {
    "convs_per_block": 3,
    "fcomb_channels": None,
    "latent_maps": 0,
    "log_sigma_bound": None,
    "prior_scale": 1.0,
    "prior": "diagonal",
}


class Converted(NamedTuple):
    """What was found, built and checked, in words, and the files that were written."""

    report: str
    paths: list[Path]


def convert(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    part: str | None = None,
    posterior_input: str | None = None,
    for_port: bool = False,
) -> Converted:
    """Write the model of `source` to `output`, whole or not at all, and say what it is.

    What was written is loaded, and has to draw exactly the same hypotheses. part and posterior_input are those of
    `fastpunet.load`. for_port: write a state dict with the PyTorch port's names. An output that ends in .onnx or .pt2
    is written by `fastpunet.export`. Raises the errors of `fastpunet.load` and `fastpunet.export`, and ValueError for a
    network that the port cannot have.
    """
    told = {"part": part, "posterior_input": posterior_input}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is assumed, which the report says
        loaded = checkpoint.read(source, part=part, posterior_input=posterior_input)
    if for_port:
        _check_port(loaded.model)
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    if Path(output).suffix in SUFFIXES and not for_port:
        paths = export(loaded.model, output)
        return Converted(
            _report(loaded, told, f"the files give the model's labels in {AGREEMENT:.2%} of pixels or more"), paths
        )
    with replacing(output) as temporary:
        if for_port:
            torch.save({name: tensor.detach().clone() for name, tensor in loaded.model.state_dict().items()}, temporary)
        else:
            checkpoint.save(loaded.model, temporary)
        again = checkpoint.load(temporary, posterior_input=loaded.model.config["posterior_input"] if for_port else None)
        size = _compare(loaded.model, again)
    same = f"two hypotheses of an image of {' x '.join(map(str, size))} are the same after loading it again"
    return Converted(_report(loaded, told, same), [Path(output)])


def _check_port(model: Method) -> None:
    if not isinstance(model, ProbabilisticUNet):
        raise ValueError(
            f"--state-dict: got a {model.name}, but the PyTorch port has only the published network; leave out "
            "--state-dict"
        )
    for name, value in _OF_PORT.items():
        if (own := model.config.get(name, value)) != value:
            raise ValueError(
                f"--state-dict: its {name} is {own}, but that of the PyTorch port is {value}; leave out --state-dict"
            )
    if model.posterior_input != "mask" and model.num_classes > 1:
        raise ValueError(
            f"--state-dict: its posterior net sees {model.num_classes} channels of a segmentation, but that of the "
            "PyTorch port sees one; leave out --state-dict"
        )


def _compare(model: Method, again: Method) -> tuple[int, ...]:
    """The size of an image of which both draw the same hypotheses; ValueError if they do not."""
    generator = torch.Generator().manual_seed(0)
    for side in _SIDES:
        size = (side if model.dims == 2 else max(8, side // 4),) * model.dims
        image = torch.rand(1, model.in_channels, *size, generator=generator)
        try:
            own, other = (_drawn(method, image) for method in (model, again))
        except (ValueError, RuntimeError):
            if side == _SIDES[-1]:
                raise
            continue
        if not torch.equal(own, other):
            raise ValueError(
                "OUT: the written file draws other hypotheses than the model that was read, so it was not kept; load "
                "the original with fastpunet instead"
            )
        return size
    raise AssertionError


def _drawn(method: Method, image: Tensor) -> Tensor:
    return sample(method, image, 2, seed=0, output="logits", precision="ieee")


def _report(loaded: Loaded, told: Mapping[str, str | None], checked: str) -> str:
    found, model = loaded.found, loaded.model
    lines = [f"found    {'a checkpoint of fastpunet' if found is None else found.peer}"]
    config = {name: value for name, value in model.config.items() if not isinstance(value, (dict, list))}
    if "channels" in model.config:
        config["channels"] = model.config["channels"]
    config.setdefault("num_classes", model.num_classes)
    config.setdefault("latent_dim", model.latent_dim)
    lines += [f"built    {model.name}, {', '.join(f'{n}={v}' for n, v in config.items() if n != 'peer')}"]
    lines += [f"told     {name}: {value}" for name, value in told.items() if value is not None]
    lines += [f"assumed  {sentence}" for sentence in (() if found is None else found.assumed)]
    if found is not None and found.posterior_assumed and told.get("posterior_input") is None:
        lines.append("assumed  its posterior net sees one-hot minus 0.5, on which hypotheses do not depend")
    if found is not None and found.method == "DeclaredUNet":
        lines.append("left out its posterior net, on which hypotheses do not depend")
    return "\n".join([*lines, f"checked  {checked}"])
