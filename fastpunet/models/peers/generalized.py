"""GeneralizedProbabilisticUNet with an axis-aligned prior: the port with BatchNorm behind each block."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fastpunet.models.peers.found import Found
from fastpunet.models.peers.reading import Block, Reader, declared

_EPSILON = 1e-5


def read(state: Mapping[str, Tensor]) -> Found:
    reader = Reader(state, ignored=("posterior.",))
    if reader.has("prior.mean_log_sigma_op") or reader.has("prior.mixture_weights_conv"):
        raise ValueError(
            "its prior is a mixture, or a Gaussian with a full or low-rank covariance, which is drawn from the live "
            "model alone; build it with its own code, and pass it to fastpunet.sample"
        )
    scales = reader.count("unet.contracting_path.{}.layers.{}")
    down, merge = [], []
    for i in range(scales):
        block = Block(reader, f"unet.down.{i}")
        _block(block, f"unet.contracting_path.{i}.layers", 0, pool=i > 0, norm=True)
        down.append(block.layers)
    for i in range(scales - 1):
        block = Block(reader, f"unet.merge.{i}")
        _block(block, f"unet.upsampling_path.{i}.conv_block.layers", 0, pool=False, norm=i < scales - 2)
        merge.append(block.layers)
    prior, position = Block(reader, "prior.layers"), 0
    for i in range(scales):
        position = _block(prior, "prior.encoder.layers", position, pool=i > 0, norm=i < scales - 1)
    prior.plain("global-mean").conv("prior.conv_layer")
    combiner = Block(reader, "fcomb.layers").conv("fcomb.layers.0").plain("relu")
    for i in range(reader.count("fcomb.layers.{}", first=3, step=3)):
        combiner.batch_norm(f"fcomb.layers.{3 * i + 2}", _EPSILON).conv(f"fcomb.layers.{3 * i + 3}").plain("relu")
    combiner.conv("fcomb.last_layer")
    unet = dict(down=down, up=[[["upsample", True]]] * (scales - 1), merge=merge, skip_first=False)
    assumed = (f"BatchNorm's epsilon is {_EPSILON}",)
    return declared("GeneralizedProbabilisticUNet", reader, unet, prior, combiner, assumed=assumed)


def _block(block: Block, name: str, position: int, *, pool: bool, norm: bool) -> int:
    """Read a scale from a position of a Sequential on; returns the next position."""
    if pool:
        block.plain("average-pool", True)
        position += 1
    for _ in range(3):
        block.conv(f"{name}.{position}").plain("relu")
        position += 2
    if norm:
        block.batch_norm(f"{name}.{position}", _EPSILON)
        position += 1
    return position
