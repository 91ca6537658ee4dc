"""How a U-Net looks at each of its scales: the sides of its kernels, and by how much it pools.

Voxels are often longer along one axis, such as 5 x 1 x 1 mm. A network that leaves this axis alone in its first scales
(kernels of 1 x 3 x 3, pooling by 1 x 2 x 2) sees as many mm of each axis (Isensee et al. 2021, nnU-Net, appendix).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Sides = tuple[int, ...]  # one number for each axis of an image


class Scales(NamedTuple):
    """The scales of a U-Net, from the finest to the coarsest."""

    kernels: tuple[Sides, ...]  # the sides of the convolutions' kernels in each scale
    pools: tuple[Sides, ...]  # by how much images are pooled on their way to each scale but the first

    @staticmethod
    def of(
        count: int,
        dims: int,
        kernel_sizes: Sequence[Sequence[int]] | None = None,
        pool_sizes: Sequence[Sequence[int]] | None = None,
    ) -> Scales:
        """`count` scales of these sides; None: 3 for every kernel, and 2 for every pooling.

        Raises ValueError, naming the argument, unless there is one odd side for each axis and scale, or one side of at
        least 1 for each axis and scale but the first.

        >>> Scales.of(3, 2).pools
        ((2, 2), (2, 2))
        """
        kernels = ((3,) * dims,) * count if kernel_sizes is None else _read("kernel_sizes", kernel_sizes, count, dims)
        pools = ((2,) * dims,) * (count - 1) if pool_sizes is None else _read("pool_sizes", pool_sizes, count - 1, dims)
        if any(side % 2 == 0 for sides in kernels for side in sides):
            raise ValueError(f"kernel_sizes: got {kernel_sizes!r}, expected odd sides, such as 1 and 3")
        return Scales(kernels, pools)

    def grid_of(self, size: Sides) -> Sides:
        """The size of the coarsest scale for images of `size` pixels.

        Lengths are rounded up without negative numbers, which ONNX divides in another way.

        >>> Scales.of(4, 2).grid_of((64, 50)), Scales.of(2, 3, pool_sizes=[[1, 2, 2]]).grid_of((9, 9, 9))
        ((8, 7), (9, 5, 5))
        """
        for sides in self.pools:
            size = tuple((length + side - 1) // side for length, side in zip(size, sides, strict=True))
        return size


def _read(name: str, given: Sequence[Sequence[int]], count: int, dims: int) -> tuple[Sides, ...]:
    entries = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    if len(entries) != count or not all(
        isinstance(sides, Sequence)
        and len(sides) == dims
        and all(type(side) is int and 1 <= side < 64 for side in sides)
        for sides in entries
    ):
        raise ValueError(
            f"{name}: got {given!r:.120}, expected {count} entries, each of {dims} numbers of pixels, such as "
            f"{[1] + [3] * (dims - 1) if name == 'kernel_sizes' else [1] + [2] * (dims - 1)}"
        )
    return tuple(tuple(sides) for sides in entries)
