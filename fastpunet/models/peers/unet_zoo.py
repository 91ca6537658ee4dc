"""UNet-Zoo (gigantenbein/UNet-Zoo): the port with BatchNorm in its encoders and its combiner, and other up-sampling."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fastpunet.models.peers.found import Found
from fastpunet.models.peers.reading import Block, Reader, declared

_EPSILON = 1e-3  # of BatchNorm, in all its layers


def read(state: Mapping[str, Tensor]) -> Found:
    reader = Reader(state, ignored=("posterior.", "last_conv."))
    scales = reader.count("unet.contracting_path.{}.layers.{}")
    down, merge = [], []
    for i in range(scales):
        block = Block(reader, f"unet.down.{i}")
        if i:
            block.plain("average-pool", True)
        down.append(_convs(block, f"unet.contracting_path.{i}.layers", int(i > 0)))
    for i in range(scales - 1):
        merge.append(_convs(Block(reader, f"unet.merge.{i}"), f"unet.upsampling_path.{i}.conv_block.layers", 0))
    prior = Block(reader, "prior.layers")
    for i in range(reader.count("prior.encoder.layers.{}.convolution.{}", step=2)):
        if i:
            prior.plain("average-pool", True)
        for j in range(reader.count(f"prior.encoder.layers.{2 * i}.convolution.{{}}.convolution.0")):
            _normalised(prior, f"prior.encoder.layers.{2 * i}.convolution.{j}")
    prior.plain("global-mean").conv("prior.conv_layer")
    combiner = Block(reader, "fcomb.layers")
    for i in range(reader.count("fcomb.layers.{}.convolution.0")):
        _normalised(combiner, f"fcomb.layers.{i}")
    combiner.conv("fcomb.last_layer")
    unet = dict(down=down, up=[[["upsample", False]]] * (scales - 1), merge=merge, skip_first=False)
    return declared("UNet-Zoo", reader, unet, prior, combiner, assumed=(f"BatchNorm's epsilon is {_EPSILON}",))


def _convs(block: Block, name: str, first: int) -> list[list[object]]:
    for k in range(3):
        block.conv(f"{name}.{first + 2 * k}").plain("relu")
    return block.layers


def _normalised(block: Block, name: str) -> None:
    block.conv(f"{name}.convolution.0").batch_norm(f"{name}.convolution.1", _EPSILON).plain("relu")
