"""torch-em: its own U-Net with instance normalisation, and a prior net whose convolutions are not padded."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fastpunet.models.peers.found import Found
from fastpunet.models.peers.reading import Block, Reader, declared

_EPSILON = 1e-5  # of instance normalisation, which has no weights


def read(state: Mapping[str, Tensor]) -> Found:
    reader = Reader(state, ignored=("posterior.",))
    scales = reader.count("unet.encoder.blocks.{}.block.1")
    down, up, merge = [], [], []
    for i in range(scales + 1):
        block = Block(reader, f"unet.down.{i}")
        if i:
            block.plain("max-pool")
        down.append(_convs(block, f"unet.encoder.blocks.{i}.block" if i < scales else "unet.base.block"))
    for i in range(scales):
        enlarging = Block(reader, f"unet.up.{i}").plain("upsample", False).conv(f"unet.decoder.samplers.{i}.conv")
        up.append(enlarging.layers)
        merge.append(_convs(Block(reader, f"unet.merge.{i}"), f"unet.decoder.blocks.{i}.block"))
    prior = Block(reader, "prior.layers")
    position = 0
    for i in range(scales):
        if i:
            prior.plain("average-pool", True)
            position += 1
        for _ in range(3):
            prior.conv(f"prior.encoder.layers.{position}", padding=0).plain("relu")
            position += 2
    prior.plain("global-mean").conv("prior.conv_layer")
    combiner = Block(reader, "fcomb.layers")
    for i in range(reader.count("fcomb.layers.{}", step=2)):
        combiner.conv(f"fcomb.layers.{2 * i}").plain("relu")
    combiner.conv("fcomb.last_layer")
    unet = dict(down=down, up=up, merge=merge, skip_first=False)
    assumed = ("the U-Net normalises by instance before each convolution, and pools the maximum",)
    return declared("torch-em", reader, unet, prior, combiner, assumed=assumed)


def _convs(block: Block, name: str) -> list[list[object]]:
    for k in (1, 4):
        block.plain("instance-norm", _EPSILON).conv(f"{name}.{k}").plain("relu")
    return block.layers
