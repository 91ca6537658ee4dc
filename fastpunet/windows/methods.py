"""Methods around another method, which they run on windows of images that are larger than a window."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fastpunet.latents import Noise
from fastpunet.memory import how_many
from fastpunet.models.exportable import Exportable
from fastpunet.models.method import PIXEL_BYTES, Encoding, ImageEncoding, LossTerms, Method, arithmetic, to_output
from fastpunet.models.priors import Prior
from fastpunet.waits import may_wait
from fastpunet.windows.grid import Window, windows_over
from fastpunet_kernels import Gaussian, Sums

_AS_INSIDE = (
    "config",
    "intensity",
    "spacing",
    "orientation",
    "image_size",
    "familiarity",
    "in_channels",
    "num_classes",
    "dims",
    "latent_dim",
    "gaussian_latent",
    "has_gradients",
    "max_hypotheses",
    "backends",
)


class Windowed(Method):
    """A method around another one, `inner`, which computes everything for images no larger than a window."""

    encoding_kind = Encoding

    def __init__(self, inner: Method, window: tuple[int, ...], overlap: float) -> None:
        super().__init__()
        self.inner: Any = inner
        self.window, self.overlap = window, overlap
        for name in _AS_INSIDE:
            setattr(self, name, getattr(inner, name))

    @property
    def name(self) -> str:
        return self.inner.name

    def fits(self, images: Tensor) -> bool:
        """Whether images (B, C, *size) are no larger than a window."""
        return all(length <= side for length, side in zip(images.shape[2:], self.window, strict=True))

    def windows(self, size: tuple[int, ...], device: torch.device) -> Iterator[Window]:
        """The windows of images of this size, with their weights on the images' device."""
        return windows_over(size, self.window, self.overlap, device)

    def at_once(self, images: Tensor) -> int:
        """How many windows pass the networks together."""
        if not may_wait():  # a graph launches kernels at no cost, and may not ask for the memory that is free
            return 1
        pixels = math.prod(map(min, images.shape[2:], self.window))
        return max(1, how_many(PIXEL_BYTES * pixels, images.device) // len(images))

    def encode(self, images: Tensor) -> Encoding:
        return self.inner.encode(images) if self.fits(images) else self.encode_large(images)

    @abstractmethod
    def encode_large(self, images: Tensor) -> Encoding:
        """The encoding of images (B, C, *size) that are larger than a window."""

    def logits(self, encoding: Any, noise: Noise) -> Tensor:
        return self.inner.logits(encoding, noise)

    def draw(self, encoding: Any, noise: Noise, **how: Any) -> Tensor:
        return self.inner.draw(encoding, noise, **how)

    def sums(self, encoding: Any, noise: Noise, **how: Any) -> Sums:
        return self.inner.sums(encoding, noise, **how)

    def decode(self, encoding: Any, z: Tensor | Gaussian, **how: Any) -> Tensor:
        return self.inner.decode(encoding, z, **how)

    def prior_of(self, encoding: Any) -> Prior | None:
        return self.inner.prior_of(encoding)

    def differentiable_logits(self, encoding: Any, z: Tensor, pixels: Tensor | None = None) -> Tensor:
        return self.inner.differentiable_logits(encoding, z, pixels)

    def tune(self, encoding: Any, noise: Noise, **how: Any) -> dict[str, float]:
        return self.inner.tune(encoding, noise, **how)

    def scratch_bytes(self, encoding: Encoding) -> int:
        return self.inner.scratch_bytes(encoding)

    def latent_dim_of(self, encoding: Any) -> int:
        return self.inner.latent_dim_of(encoding)

    def draws_by_networks(self, encoding: Any) -> bool:
        return self.inner.draws_by_networks(encoding)

    def loss_terms(self, *args: Any, **options: Any) -> LossTerms:  # noqa: ARG002
        raise TypeError(f"model: a windowed model cannot be trained; train the {self.name} inside it")

    def exportable(self, images: Tensor) -> Exportable:  # noqa: ARG002
        raise TypeError(f"model: a windowed model cannot be exported; export the {self.name} inside it")

    def output_layers(self) -> Sequence[Any]:
        return self.inner.output_layers()


@dataclass(frozen=True, eq=False)
class LargeImages(ImageEncoding):
    """Images (B, C, *size) that are larger than a window."""


class WindowedLogits(Windowed):
    """A method without features that hypotheses share. Its logits are blended, with the same noise in each window."""

    def encode_large(self, images: Tensor) -> LargeImages:
        return LargeImages(len(images), tuple(images.shape[2:]), images)

    def logits(self, encoding: Any, noise: Noise) -> Tensor:
        if not isinstance(encoding, LargeImages):
            return super().logits(encoding, noise)
        return self._blended(encoding, noise.n, lambda window: self.inner.logits(window, noise))

    def draw(self, encoding: Any, noise: Noise, **how: Any) -> Tensor:
        draw = Method.draw if isinstance(encoding, LargeImages) else Windowed.draw
        return draw(self, encoding, noise, **how)

    def sums(self, encoding: Any, noise: Noise, **how: Any) -> Sums:
        sums = Method.sums if isinstance(encoding, LargeImages) else Windowed.sums
        return sums(self, encoding, noise, **how)

    def decode(self, encoding: Any, z: Any, **how: Any) -> Tensor:
        if not isinstance(encoding, LargeImages):
            return super().decode(encoding, z, **how)

        def logits(window: Encoding) -> Tensor:
            return self.inner.decode(window, z, **{**how, "output": "logits"}).unflatten(-1, window.size)

        with arithmetic(how["precision"], encoding.device):
            return to_output(self._blended(encoding, z.shape[1], logits), how["output"])

    def scratch_bytes(self, encoding: Encoding) -> int:
        if not isinstance(encoding, LargeImages):
            return super().scratch_bytes(encoding)
        one = Encoding(encoding.images, tuple(map(min, encoding.size, self.window)))
        return self.inner.scratch_bytes(one) + 4 * self.num_classes * encoding.images * encoding.pixels

    def draws_by_networks(self, encoding: Any) -> bool:
        return isinstance(encoding, LargeImages) or super().draws_by_networks(encoding)

    def _blended(self, encoding: LargeImages, n: int, logits_of: Callable[[Encoding], Tensor]) -> Tensor:
        """Logits float32 (B, n, K, *size), blended from those of each window."""
        values = encoding.values
        blended = torch.zeros((len(values), n, self.num_classes, *encoding.size), device=values.device)
        for window in self.windows(encoding.size, values.device):
            logits = logits_of(self.inner.encode(values[window.place]))
            blended[window.place].addcmul_(logits.float(), window.weights)
        return blended
