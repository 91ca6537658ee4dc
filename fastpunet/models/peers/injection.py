"""probabilistic-unet of jenspetersen and PULASki of soumickmj, 2-D and 3-D: z is injected before the last layers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from fastpunet.models.peers.found import Found
from fastpunet.models.peers.reading import Block, Reader, declared

_PEER = "probabilistic-unet of jenspetersen, or PULASki"
_SLOPE, _EPSILON = 0.01, 1e-5  # of LeakyReLU and of normalisation
_ASSUMED = (
    "activations are LeakyReLU of slope 0.01; the last 1x1 convolutions have none between them",
    "a layer without weights between a convolution and its activation normalises by instance",
    "what the network does to its logits (a sigmoid of one class, a log-softmax of several) is left out",
)


def read(state: Mapping[str, Tensor]) -> Found:
    reader = Reader(state, ignored=("posterior_net.",))
    found = (re.match(r"task_net\.decode-(\d+)\.", name) for name in state)
    last = max((int(match[1]) for match in found if match), default=0)
    bottom = reader.positions(f"task_net.decode-{last}")
    step = bottom[1] - bottom[0] if len(bottom) > 1 else 0  # how many layers there are from one convolution to the next
    down, up, merge = [], [], []
    for d in range(last + 1):
        block = Block(reader, f"unet.down.{d}")
        _convs(block, reader, f"task_net.encode-{d}", step, pool=d > 0)
        if d == last:
            _convs(block, reader, f"task_net.decode-{d}", step, more=True)
        down.append(block.layers)
    for i, d in enumerate(range(last, 0, -1)):
        name = _rest(reader, f"task_net.decode-{d}")
        up.append(Block(reader, f"unet.up.{i}").transposed(name, padding=reader.weight(name).shape[2] // 2).layers)
        block = Block(reader, f"unet.merge.{i}")
        _convs(block, reader, f"task_net.decode-{d - 1}", step, more=d > 1)
        merge.append(block.layers)
    prior = Block(reader, "prior.layers")
    scales = reader.count("prior_net.encode_{}.{}")
    if not scales:
        raise ValueError("no prior_net.encode_0")
    for d in range(scales):
        name, more = f"prior_net.encode_{d}", d == scales - 1
        positions = reader.positions(name)
        if len(positions) < 2:
            raise ValueError(f"{name} has one convolution, so that names do not tell whether it is normalised")
        _convs(prior, reader, name, positions[1] - positions[0], pool=d > 0, more=more)
    prior.conv(_rest(reader, name), bias=False).plain("global-mean")
    combiner, layers = Block(reader, "fcomb.layers"), reader.count("task_net.reduce-{}")
    for i in range(layers):
        combiner.conv(f"task_net.reduce-{i}")
    unet = dict(down=down, up=up, merge=merge, skip_first=True)
    return declared(_PEER, reader, unet, prior, combiner, spread="log-variance", assumed=_ASSUMED)


def _convs(block: Block, reader: Reader, name: str, step: int, *, pool: bool = False, more: bool = False) -> None:
    """Read convolutions with their activations, `step` layers from one to the next; `more`: another layer follows.

    A step of 2 is a convolution and its activation, 3 with a normalisation between, 4 with dropout besides.
    """
    positions = reader.positions(name)
    if not 2 <= step <= 4 or positions != list(range(int(pool), int(pool) + step * len(positions), step)):
        raise ValueError(f"the convolutions of {name} are at {positions}, so that the layers between cannot be told")
    if pool:
        block.plain("average-pool", False)
    for k in positions[:-1] if more else positions:
        block.conv(f"{name}.{k}")
        norm = next((f"{name}.{k + i}" for i in (1, 2) if reader.is_norm(f"{name}.{k + i}")), None)
        if norm is not None:
            block.batch_norm(norm, _EPSILON)
        elif step > 2:
            block.plain("instance-norm", _EPSILON)
        block.plain("leaky-relu", _SLOPE)


def _rest(reader: Reader, name: str) -> str:
    """The layer of a Sequential that has not been read yet."""
    left = reader.positions(name)
    if len(left) != 1:
        raise ValueError(f"{name} ends in {len(left)} layers that have no place in this structure")
    return f"{name}.{left[0]}"
