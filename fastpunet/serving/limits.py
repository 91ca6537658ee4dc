"""What a service takes at most, and what it says to a request that asks for more."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from fastpunet.arguments import check_count
from fastpunet.data.inputs import Input
from fastpunet.serving.refusals import Refusal


@dataclass(frozen=True)
class Limits:
    """The most that one request may ask for, and how many requests there may be.

    mebibytes   of the file that a request sends
    pixels      of an image, or of all slices of a volume together
    n           hypotheses of an image
    labels  bytes of the label maps that are drawn, n times the pixels
    waiting     requests beyond those that are computed
    seconds     from the arrival of a request to its answer
    """

    mebibytes: int = 64
    pixels: int = 1 << 24
    n: int = 10_000
    labels: int = 1 << 30
    waiting: int = 32
    seconds: int = 120

    def __post_init__(self) -> None:
        for limit in fields(self):
            check_count(limit.name, getattr(self, limit.name), least=0 if limit.name == "waiting" else 1)

    @property
    def body(self) -> int:
        """Bytes of the file that a request sends."""
        return self.mebibytes << 20

    def too_large(self) -> Refusal:
        """The refusal of a larger file."""
        return Refusal(413, f"file: has more than {self.mebibytes} MiB, the limit here (--max-mebibytes)", "file size")

    def check_n(self, n: int) -> None:
        """Raise Refusal for more hypotheses than the limit."""
        if n > self.n:
            raise Refusal(422, f"n: got {n}, expected at most {self.n}, the limit here (--max-n)", "n")

    def check_image(self, image: Input, n: int) -> None:
        """Raise Refusal, before any pixels are read, for an image that is too large, or too large for n hypotheses."""
        pixels = math.prod(image.size)
        if pixels > self.pixels:
            raise Refusal(
                413,
                f"file: has {pixels} pixels, expected at most {self.pixels}, the limit here (--max-pixels)",
                "pixels",
            )
        if n * pixels > self.labels:
            raise Refusal(
                422,
                f"n: got {n}, expected at most {self.labels // pixels} for an image of {pixels} pixels, because "
                f"{self.labels} labels in all are the limit here (--max-labels)",
                "labels",
            )
