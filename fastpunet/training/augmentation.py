"""Random changes of an image and its masks together (Kohl et al. 2018, appendix), by MONAI.

Every example has a generator of its own, so the result depends neither on workers, nor on processes, nor on resuming.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpunet.arguments import check_at_least_zero, check_range, check_switch, is_number
from fastpunet.optional import require
from fastpunet.training.frozen import lists_to_tuples

Example = tuple[NDArray[np.float32], NDArray[np.uint8]]  # (C, *size), (G, *size)


@dataclass(frozen=True)
class AugmentationConfig:
    """The `augmentation` of a config: random changes of an image and its masks. What is not named does nothing.

    Volumes are mirrored, turned and shifted within their slices, and not sheared or deformed.
    """

    flip: bool = False
    """Mirror the last axis, left and right in pictures, with probability 1/2."""
    quarter_turns: bool = False
    """Turn square images, or volumes of square slices, by a random number of quarter turns."""
    rotation: float = 0.0
    """Turn by an angle in degrees, uniform between minus and plus this."""
    shear: float = 0.0
    """Shear by a factor, uniform between minus and plus this."""
    translation: float = 0.0
    """Shift in both directions by pixels, uniform between minus and plus this."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Enlarge by a factor, uniform in [low, high]."""
    elastic: tuple[float, float] | None = None
    """Shift the points of a grid at random and interpolate between them: [spacing, magnitude], both in pixels."""
    gamma: tuple[float, float] = (1.0, 1.0)
    """Raise the intensities, which lie in [0, 1], to a power that is uniform in [low, high]."""
    probability: float = 1.0
    """Probability of gamma, and of the geometric changes other than flips and quarter turns."""

    def __post_init__(self) -> None:
        lists_to_tuples(self)
        check_switch("augmentation.flip", self.flip)
        check_switch("augmentation.quarter_turns", self.quarter_turns)
        for name in ("rotation", "shear", "translation"):
            check_at_least_zero(f"augmentation.{name}", getattr(self, name))
        check_range("augmentation.scale", self.scale)
        check_range("augmentation.gamma", self.gamma)
        if self.elastic is not None:
            check_range("augmentation.elastic", tuple(self.elastic)[::-1])
        if not is_number(self.probability) or not 0 < self.probability <= 1:
            raise ValueError(f"augmentation.probability: got {self.probability!r}, expected 0 < p <= 1")


class Augmentation:
    """Changes an example by a seed. Images are interpolated bilinearly, masks by nearest neighbour, edges repeated."""

    def __init__(self, config: AugmentationConfig) -> None:
        self._config = config
        self._transform: Any = None

    def __call__(self, seed: int, example: Example) -> Example:
        height, width = example[0].shape[-2:]
        if self._config.quarter_turns and height != width:
            raise ValueError(
                f"augmentation.quarter_turns: got images of {height} x {width}, expected square ones; set it false"
            )
        if self._config == AugmentationConfig():
            return example
        with _without_records():
            if self._transform is None:
                self._transform = _monai("transforms").Compose(_transforms(self._config, example[0].ndim - 1))
            self._transform.set_random_state(seed=seed)
            changed = self._transform({"image": torch.from_numpy(example[0]), "masks": torch.from_numpy(example[1])})
        return changed["image"].numpy(), changed["masks"].to(torch.uint8).numpy()


@contextmanager
def _without_records() -> Iterator[None]:
    """A context in which MONAI keeps no records of how to undo a transform, which would take half the time."""
    data = _monai("data")
    before = data.get_track_meta()
    data.set_track_meta(False)
    try:
        yield
    finally:
        data.set_track_meta(before)


def _monai(module: str) -> Any:
    return require(f"monai.{module}", "augmentation", "train")


def _transforms(config: AugmentationConfig, dims: int) -> list[Any]:
    both = ("image", "masks")
    if dims == 3 and (config.shear or config.elastic is not None):
        raise ValueError("augmentation: got shear or elastic for volumes, expected neither; leave them out")
    within = (0.0,) * (dims - 2)  # nothing along the axis of the slices
    affine = dict(
        rotate_range=(math.radians(config.rotation), *within * 2),
        shear_range=None if dims == 3 else (config.shear, config.shear),
        translate_range=(*within, config.translation, config.translation),
        scale_range=tuple((low - 1, high - 1) for low, high in [config.scale] * dims),
    )
    moves = any((config.rotation, config.shear, config.translation)) or tuple(config.scale) != (1, 1)
    sampling = dict(prob=config.probability, mode=("bilinear", "nearest"), padding_mode="border")
    steps: list[Any] = []
    transforms = _monai("transforms")
    if config.elastic is not None:
        spacing, magnitude = config.elastic
        steps.append(transforms.Rand2DElasticd(both, (spacing, spacing), (0, magnitude), **affine, **sampling))
    elif moves:
        steps.append(transforms.RandAffined(both, **affine, **sampling))
    if config.flip or config.quarter_turns:
        if config.flip:
            steps.append(transforms.RandFlipd(both, prob=0.5, spatial_axis=dims - 1))
        if config.quarter_turns:
            steps.append(transforms.RandRotate90d(both, prob=0.75, spatial_axes=(dims - 2, dims - 1)))
    if tuple(config.gamma) != (1, 1):
        steps.append(transforms.RandAdjustContrastd("image", prob=config.probability, gamma=tuple(config.gamma)))
    return steps
