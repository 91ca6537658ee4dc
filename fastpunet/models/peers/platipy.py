"""platipy: two convolutions a scale, maximum pooling, transposed convolutions, and a prior whose values are clamped."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fastpunet.models.peers.found import Found
from fastpunet.models.peers.reading import Block, Reader, declared

_CLAMP = (1000.0, 10.0)  # of mean and log sigma


def read(state: Mapping[str, Tensor]) -> Found:
    reader = Reader(state, ignored=("posterior.", "_pos_weight", "_lambda"))
    if not reader.has("prior.final"):
        raise ValueError("its network has no prior net, but takes a segmentation as context")
    scales = reader.count("unet.encoder.{}.layers.0")
    down, up, merge = [], [], []
    for i in range(scales):
        down.append(_convs(_pooled(Block(reader, f"unet.down.{i}"), i), reader, f"unet.encoder.{i}"))
    for i in range(scales - 1):
        up.append(Block(reader, f"unet.up.{i}").transposed(f"unet.decoder.{i}.pre_op", padding=0).layers)
        merge.append(_convs(Block(reader, f"unet.merge.{i}"), reader, f"unet.decoder.{i}"))
    prior = Block(reader, "prior.layers")
    for i in range(reader.count("prior.encoder.layers.{}.layers.0")):
        _convs(_pooled(prior, i), reader, f"prior.encoder.layers.{i}")
    prior.plain("global-mean").conv("prior.final")
    combiner = Block(reader, "fcomb.layers")
    for i in range(reader.count("fcomb.layers.{}", step=2)):
        combiner.conv(f"fcomb.layers.{2 * i}").plain("relu")
    combiner.conv("fcomb.last_layer")
    unet = dict(down=down, up=up, merge=merge, skip_first=False)
    assumed = ("scales are pooled by the maximum, and mean and log sigma clamped to 1000 and 10",)
    return declared("platipy", reader, unet, prior, combiner, clamp=_CLAMP, assumed=assumed)


def _pooled(block: Block, scale: int) -> Block:
    return block.plain("max-pool") if scale else block


def _convs(block: Block, reader: Reader, name: str) -> list[list[object]]:
    second = 3 if reader.has(f"{name}.layers.3") else 2  # versions before 2022 had no dropout between
    block.conv(f"{name}.layers.0").plain("relu").conv(f"{name}.layers.{second}").plain("relu")
    return block.layers
