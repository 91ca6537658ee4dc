"""GeneralizedProbabilisticUNet: the port with BatchNorm behind each block, and with priors of several families."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fastpunet.models.declared.families import DIAGONAL, FULL, LOW_RANK, Family
from fastpunet.models.peers.found import Found
from fastpunet.models.peers.reading import Block, Reader, declared

_EPSILON = 1e-5


def read(state: Mapping[str, Tensor]) -> Found:
    reader = Reader(state, ignored=("posterior.",))
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
    names, family = _family(reader)
    prior.plain("global-mean").joined(names)
    combiner = Block(reader, "fcomb.layers").conv("fcomb.layers.0").plain("relu")
    for i in range(reader.count("fcomb.layers.{}", first=3, step=3)):
        combiner.batch_norm(f"fcomb.layers.{3 * i + 2}", _EPSILON).conv(f"fcomb.layers.{3 * i + 3}").plain("relu")
    combiner.conv("fcomb.last_layer")
    unet = dict(down=down, up=[[["upsample", True]]] * (scales - 1), merge=merge, skip_first=False)
    assumed = (f"BatchNorm's epsilon is {_EPSILON}",)
    return declared("GeneralizedProbabilisticUNet", reader, unet, prior, combiner, family=family, assumed=assumed)


def _family(reader: Reader) -> tuple[list[str], Family | None]:
    """The last layers of its prior net, and what their widths tell of the prior; None for a diagonal Gaussian."""
    mixed = reader.has("prior.mixture_weights_conv")
    if reader.has("prior.mean_log_sigma_op"):
        kind, other = (FULL, "cov_tril_op") if reader.has("prior.cov_tril_op") else (LOW_RANK, "cov_factor_op")
        names = ["prior.mean_log_sigma_op", f"prior.{other}"]
    else:
        kind, names = DIAGONAL, ["prior.conv_layer"]
    if kind == DIAGONAL and not mixed:
        return names, None
    names += ["prior.mixture_weights_conv"] * mixed
    widths = [reader.weight(name).shape[0] for name in names]
    components = widths[-1] if mixed else 1
    latent_dim = widths[0] // (2 * components)
    rank = widths[1] // max(1, components * latent_dim) if kind == LOW_RANK else 0
    family = Family(kind, latent_dim, components, rank)
    if latent_dim == 0 or family.numbers != sum(widths):
        raise ValueError(f"{' and '.join(names)} give {widths} numbers, which are of no {kind} covariance together")
    return names, family


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
