"""The authors' TensorFlow release (SimonKohl/probabilistic_unet), by the names of its Sonnet scopes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import count

from torch import Tensor

from fastpunet.models.peers.found import Found
from fastpunet.models.peers.port import infer_config

LANDMARK = "unet/vgg_enc/down_block_0/conv_2d/w"


def read(variables: Mapping[str, Tensor]) -> Found:
    state = with_port_names(variables)
    config = {**infer_config(state), "posterior_input": "one-hot"}
    return Found("the authors' TensorFlow release", "ProbabilisticUNet", config, state)


def with_port_names(variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights as a state dict with the PyTorch port's names, kernels (H, W, in, out) as (out, in, H, W).

    Nothing else differs: the release too pools at the beginning of a block, and concatenates the up-sampled map before
    the skip and features before latents. Raises ValueError for a variable that the published network has not.
    """
    own, state = dict(variables), dict[str, Tensor]()
    scales = next(i for i in count() if f"unet/vgg_enc/down_block_{i}/conv_2d/w" not in own)

    def move(scope: str, ours: Iterable[str]) -> None:
        for name, conv in zip(ours, _convolutions(own, scope), strict=False):
            state[f"{name}.weight"] = own.pop(f"{conv}/w").movedim((3, 2), (0, 1)).contiguous()
            state[f"{name}.bias"] = own.pop(f"{conv}/b")

    for i in range(scales):
        move(f"unet/vgg_enc/down_block_{i}", _every_second(f"unet.contracting_path.{i}.layers", int(i > 0)))
    for i in range(scales - 1):
        path = f"unet.upsampling_path.{scales - 2 - i}.conv_block.layers"
        move(f"unet/vgg_dec/up_block_{i}", _every_second(path, 0))
    for net in ("prior", "posterior"):
        start = 0
        for i in range(scales):
            scope, start = f"{net}/vgg_enc/down_block_{i}", start + int(i > 0)  # the pooling
            layers = 2 * len(_convolutions(own, scope))
            move(scope, _every_second(f"{net}.encoder.layers", start))
            start += layers
        move(net, [f"{net}.conv_layer"])
    hidden = len(_convolutions(own, "conv_decoder")) - 1
    move("conv_decoder", [*(f"fcomb.layers.{2 * i}" for i in range(hidden)), "fcomb.last_layer"])
    if own:
        raise ValueError(f"the variable {next(iter(own))} has no place in the published network")
    return state


def _every_second(prefix: str, first: int) -> Iterable[str]:
    """Names of convolutions with a ReLU behind each."""
    return (f"{prefix}.{i}" for i in count(first, 2))


def _convolutions(own: Mapping[str, Tensor], scope: str) -> list[str]:
    """The convolutions right inside a scope, in the order that Sonnet's numbers give: conv_2d, conv_2d_1, ..."""
    matches = (re.fullmatch(rf"({re.escape(scope)}/conv_2d(?:_(\d+))?)/w", name) for name in own)
    numbered = {int(match[2] or 0): match[1] for match in matches if match}
    for conv in numbered.values():
        if own[f"{conv}/w"].ndim != 4 or f"{conv}/b" not in own:
            raise ValueError(f"the variables of {conv} are not those of a convolution with a bias")
    return [numbered[i] for i in sorted(numbered)]
