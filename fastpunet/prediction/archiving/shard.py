"""A share of the images, for one of several processes that draw into the same archive."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from fastpunet.data.inputs import Input
from fastpunet_kernels import environment


@dataclass(frozen=True)
class Shard:
    """Share `index` of `count`. Which share has an image depends on its name alone.

    >>> shards = [Shard(index, 3) for index in range(3)]
    >>> [shard.has("case01") for shard in shards].count(True)
    1
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"shard: got {self.index}/{self.count}, expected I/K with 0 <= I < K, such as 0/4")

    @staticmethod
    def parse(text: str) -> Shard:
        """A shard by its text I/K. Raises ValueError."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found:
            raise ValueError(f"shard: got {text!r}, expected I/K with 0 <= I < K, such as 0/4")
        return Shard(int(found[1]), int(found[2]))

    @staticmethod
    def of_torchrun() -> Shard:
        """The share of a process that torchrun started. Raises ValueError in any other."""
        rank = environment.rank()
        if rank is None:
            raise ValueError(
                "engine: torchrun sets RANK, which is missing; start the command with torchrun --nproc-per-node P -m "
                "fastpunet.cli sample ... --engine torchrun"
            )
        return Shard(rank, environment.processes()[0])

    def has(self, name: str) -> bool:
        """Whether the image of this name is in the share."""
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[-8:], "big") % self.count == self.index

    def of(self, sources: list[Input]) -> list[Input]:
        """The images of this share."""
        return [source for source in sources if self.has(source.name)]
