"""Probabilistic U-Nets of any make on large images: the windows' features are blended, slab by slab."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from fastpunet.latents import Noise
from fastpunet.memory import check_features, chunk_size, features_fit
from fastpunet.models.latent_method import LatentMethod
from fastpunet.models.method import Encoding, ImageEncoding, arithmetic
from fastpunet.models.priors import AxisAligned, Prior
from fastpunet.passes import check_finite
from fastpunet.uncompiled import not_compiled
from fastpunet.waits import may_wait
from fastpunet.windows.grid import Window, rows_over
from fastpunet.windows.joining import added, put, side_by_side
from fastpunet.windows.map_priors import maps_as_features, maps_of_features
from fastpunet.windows.methods import Windowed
from fastpunet.windows.pooling import check_gaussian, pooled
from fastpunet_kernels import Sums
from fastpunet_kernels.problem import empty_output


@dataclass(frozen=True, eq=False)
class Slab:
    """A part of images along their first axis, which no later window reaches.

    place     its interval along the first axis
    features  float32 (B, C, *size) of it, blended; they are overwritten when the next slab is computed
    priors    those of the windows that begin in it
    shares    the weights of these windows' priors
    """

    place: slice
    features: Tensor
    priors: list[Prior]
    shares: list[float]


@dataclass(frozen=True, eq=False)
class Slabs(ImageEncoding):
    """Images whose features are not kept, but computed slab by slab whenever hypotheses are drawn."""

    prior: Prior

    def parts(self) -> dict[str, Tensor]:
        return {**super().parts(), **self.prior.parts()}


class WindowedFeatures(Windowed):
    """A Probabilistic U-Net of any make, whose features are blended, so that one latent decodes the whole image.

    Where windows overlap, all of them count with weights that go to 0 at a window's edge, and the combiner sees
    features that change smoothly from one window to the next.
    """

    inner: Any

    def __init__(self, inner: LatentMethod, window: tuple[int, ...], overlap: float, by_slab: bool | None) -> None:
        super().__init__(inner, window, overlap)
        self.by_slab = by_slab

    @partial(not_compiled, what_it_calls=True)  # one window is compiled, not the loop over all
    def encode_large(self, images: Tensor) -> Encoding:
        slabs = self.slabs(images)
        first = next(slabs)
        if not self._kept(images, first.features.shape[1]):
            return Slabs(len(images), tuple(images.shape[2:]), images, self._prior(images))
        whole = _zeros(images, first.features.shape[1])
        priors: list[Prior] = []
        shares: list[float] = []
        for slab in chain([first], slabs):
            whole[:, :, slab.place] = slab.features
            priors += slab.priors
            shares += slab.shares
        prior = pooled(priors, shares, len(images))
        if maps := self.inner.latent_maps:
            assert isinstance(prior, AxisAligned)
            whole, prior = maps_of_features(whole, prior, maps, self.inner.grid_of(tuple(images.shape[2:])))
        return self.inner.encoding_of(whole, prior)

    def slabs(self, images: Tensor) -> Iterator[Slab]:
        """The blended features of large images (B, C, *size), from the first axis' beginning to its end.

        Each window passes the networks once, and no more features than a window is thick are kept.
        """
        size = tuple(images.shape[2:])
        thick = (min(self.window[0], size[0]), *size[1:])
        blended: Tensor | None = None
        for row in rows_over(size, self.window, self.overlap, images.device):
            priors: list[Prior] = []
            shares: list[float] = []
            while some := list(islice(row.windows, self.at_once(images))):
                features, prior = self._of_windows(images, some)
                if blended is None:
                    check_gaussian(prior)
                    blended = _zeros(images, features.shape[1], thick)
                for window, its in zip(some, features.split(len(images)), strict=True):
                    place = (..., *window.place[2:])
                    blended[place].addcmul_(its.float(), window.weights)
                priors.append(prior)
                shares += [window.share for window in some]
            assert blended is not None
            done = row.stop - row.start
            yield Slab(slice(row.start, row.stop), blended[:, :, :done], priors, shares)
            rest = thick[0] - done
            blended[:, :, :rest] = blended[:, :, done:].clone()
            blended[:, :, rest:] = 0

    def draw(self, encoding: Any, noise: Noise, **how: Any) -> Tensor:
        if not isinstance(encoding, Slabs):
            return super().draw(encoding, noise, **how)
        return self._joined(encoding, noise.n, noise.parts, self.inner.draw, how)

    def decode(self, encoding: Any, z: Any, **how: Any) -> Tensor:
        if not isinstance(encoding, Slabs):
            return super().decode(encoding, z, **how)
        return self._joined(encoding, z.shape[1], lambda chunk: z.split(chunk, dim=1), self.inner.decode, how)

    def logits(self, encoding: Any, noise: Noise) -> Tensor:
        if not isinstance(encoding, Slabs):
            return super().logits(encoding, noise)
        flat = self.draw(encoding, noise, output="logits", precision="ieee", backend="auto")
        return flat.unflatten(-1, encoding.size)

    def sums(self, encoding: Any, noise: Noise, **how: Any) -> Sums:
        if not isinstance(encoding, Slabs):
            return super().sums(encoding, noise, **how)
        of_slabs = []
        for part in self._encoded(encoding, how["precision"]):
            chunk = chunk_size(self.inner, part, noise.n, "logits", whole=False)
            of_slabs.append(added(self.inner.sums(part, some, **how) for some in noise.parts(chunk)))
        return side_by_side(of_slabs)

    def scratch_bytes(self, encoding: Encoding) -> int:
        return 1 if isinstance(encoding, Slabs) else super().scratch_bytes(encoding)  # of a slab, whose parts fit

    def draws_by_networks(self, encoding: Any) -> bool:
        return isinstance(encoding, Slabs) or super().draws_by_networks(encoding)

    def tune(self, encoding: Any, noise: Noise, **how: Any) -> dict[str, float]:
        if isinstance(encoding, Slabs):
            encoding = next(self._encoded(encoding, how["precision"]))
        return super().tune(encoding, noise, **how)

    def differentiable_logits(self, encoding: Any, z: Tensor, pixels: Tensor | None = None) -> Tensor:
        if isinstance(encoding, Slabs):
            raise ValueError(
                f"images: got {' x '.join(map(str, encoding.size))} pixels, whose features do not fit in memory, which "
                "gradients need; use a part of the image"
            )
        return super().differentiable_logits(encoding, z, pixels)

    def _joined(
        self,
        encoding: Slabs,
        n: int,
        parts: Callable[[int], Iterable[Any]],
        compute: Callable[..., Tensor],
        how: Mapping[str, Any],
    ) -> Tensor:
        """n hypotheses (B, n, ...), pixels flattened. `parts(chunk)` divides them, `compute` draws some of a slab."""
        output, first = how["output"], 0
        whole = empty_output(
            encoding.values.new_empty((encoding.images, encoding.pixels, 0)), n, self.num_classes, output
        )
        for part in self._encoded(encoding, how["precision"]):
            chunk, done = chunk_size(self.inner, part, n, output, whole=False), 0
            for some in parts(chunk):
                values = compute(part, some, **how)
                put(whole[:, done : done + values.shape[1]], values, first, output)
                done += values.shape[1]
            first += part.pixels
        return whole

    def _encoded(self, encoding: Slabs, precision: str) -> Iterator[Encoding]:
        """The encoding of every slab, each of which is used up before the next one is asked for."""
        slabs = self.slabs(encoding.values)
        while True:
            with arithmetic(precision, encoding.device):
                slab = next(slabs, None)
                if slab is None:
                    return
                part = self.inner.encoding_of(slab.features, encoding.prior)
            check_finite(part)
            yield part

    def _of_windows(self, images: Tensor, some: list[Window]) -> tuple[Tensor, Prior]:
        """Features of windows, with the moments of their latent maps as further features, and their prior."""
        features, prior = self.inner.features_and_prior(torch.cat([images[window.place] for window in some]))
        if not self.inner.latent_maps:
            return features, prior
        assert isinstance(prior, AxisAligned)
        return maps_as_features(features, prior, self.inner.latent_dim, self.inner.grid_of(tuple(features.shape[2:])))

    def _prior(self, images: Tensor) -> Prior:
        """The prior of large images, without their features."""
        priors: list[Prior] = []
        shares: list[float] = []
        for row in rows_over(tuple(images.shape[2:]), self.window, self.overlap, images.device):
            while some := list(islice(row.windows, self.at_once(images))):
                priors.append(self.inner.prior_for(torch.cat([images[window.place] for window in some])))
                shares += [window.share for window in some]
        return pooled(priors, shares, len(images))

    def _kept(self, images: Tensor, features: int) -> bool:
        """Whether the features of large images are kept; ValueError where they have to be, and do not fit."""
        size = tuple(images.shape[2:])
        if self.inner.latent_maps or self.by_slab is False:  # the priors of maps are features too
            if may_wait():
                check_features(features, size, len(images), images.device)
            return True
        if self.by_slab:
            return False
        return not may_wait() or features_fit(features, size, len(images), images.device)


def _zeros(images: Tensor, features: int, size: tuple[int, ...] | None = None) -> Tensor:
    """Zeros float32 (B, features, *size) with the channels last in memory, from where the combiner takes them."""
    shape = (len(images), *(images.shape[2:] if size is None else size), features)
    return torch.zeros(shape, device=images.device).movedim(-1, 1)
