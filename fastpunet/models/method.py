"""What the five methods have in common: how they are asked for hypotheses, and what training minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fastpunet.arguments import check_count, check_images
from fastpunet.latents import check_ids, check_seed
from fastpunet_kernels import finish

_PASS_PIXELS = {"cpu": 1 << 18, "cuda": 1 << 22}  # of all hypotheses that are computed together


class Elbo(NamedTuple):
    """What training minimises, of each segmentation, in nats: reconstruction + kl.sum(-1), which is -ELBO if there is
    a latent. Methods without one have no KL."""

    reconstruction: Tensor  # (B, G), cross-entropy summed over the pixels of an image
    kl: Tensor  # (B, G, latent_dim), KL(posterior || prior), which is a sum over the latent's dimensions


class Method(nn.Module, ABC):
    """A method that answers an image with hypotheses. Nothing is kept between calls, and train() and eval() are one."""

    config: dict[str, Any]  # the constructor's arguments
    in_channels: int
    num_classes: int  # 1: binary, one logit
    latent_dim: int = 0  # 0: there is no latent, hence no prior and no posterior

    @abstractmethod
    def sample(self, images: Tensor, n: int = 16, *, seed: int | None = None, ids: Tensor | None = None) -> Tensor:
        """n hypotheses of every image, labels uint8 (B, n, H, W); arguments and errors as in `fastpunet.sample`."""

    @abstractmethod
    def loss_terms(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        ids: Tensor,
        ignore_index: int | None = None,
        class_weights: Tensor | None = None,
    ) -> Elbo:
        """What training minimises. images float (B, C, H, W); labels int (B, G, H, W), G graders an image.

        ids int64 (B,): with the seed they decide all that is random. class_weights float (K,), of the classes'
        cross-entropies; pixels labelled ignore_index do not count.
        """

    @abstractmethod
    def output_layers(self) -> Sequence[nn.Conv2d]:
        """The layers that give logits, (…, K) channels each."""

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


class Baseline(Method):
    """A method whose hypotheses do not come out of f_comb."""

    most: int | None = None  # hypotheses that there are of an image; None: any number

    @abstractmethod
    def _logits(self, images: Tensor, n: int, seed: int, ids: Tensor, chunk: int) -> Iterator[Tensor]:
        """Logits (B, m, K, H, W), m <= chunk, of the hypotheses in order."""

    def hypotheses(
        self,
        images: Tensor,
        n: int,
        *,
        seed: int | None = None,
        ids: Tensor | None = None,
        chunk: int | None = None,
    ) -> Iterator[Tensor]:
        """The logits of n hypotheses, float (B, m, K, H, W) at a time, m <= chunk. Arguments as in `sample`.

        Raises ValueError for more hypotheses than the method has.
        """
        images = check_images(images, self.in_channels, 2, self.device).to(next(self.parameters()))
        check_count("n", n)
        if self.most is not None and n > self.most:
            raise ValueError(
                f"n: got {n}, expected at most {self.most}: {type(self).__name__} has no more hypotheses of an image"
            )
        pixels = images.shape[0] * images.shape[-2] * images.shape[-1]
        together = max(1, _PASS_PIXELS.get(images.device.type, 1 << 18) // pixels)
        chunk = together if chunk is None else check_count("chunk", chunk)
        return self._logits(images, n, check_seed(seed), check_ids(ids, len(images), images.device), chunk)

    @torch.no_grad()
    def sample(self, images: Tensor, n: int = 16, *, seed: int | None = None, ids: Tensor | None = None) -> Tensor:
        return torch.cat([finished(part, "labels") for part in self.hypotheses(images, n, seed=seed, ids=ids)], dim=1)


def finished(logits: Tensor, output: str) -> Tensor:
    """Logits (B, n, K, H, W) to the named output of `fastpunet.sample`, but "bits" as words (B, n, K, words)."""
    images, _, _, *size = logits.shape
    whole = finish(logits.float().flatten(-2).movedim(-2, -1).flatten(0, 1), output).unflatten(0, (images, -1))
    return whole if output == "bits" else whole.unflatten(-1, size)


def spans(n: int, chunk: int) -> Iterator[tuple[int, int]]:
    """(first, count) of consecutive parts of n, `chunk` each but the last."""
    return ((first, min(chunk, n - first)) for first in range(0, n, chunk))
