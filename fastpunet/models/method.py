"""The interface of every method: it encodes images, and draws hypotheses from an encoding and noise."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fastpunet.intensity import Intensity
from fastpunet.latents import Noise
from fastpunet.models.calibration import Calibration
from fastpunet.models.exportable import Exportable
from fastpunet.models.familiarity import Familiarity
from fastpunet.models.hub import HubModel
from fastpunet.models.priors import Prior
from fastpunet.models.training_images import TrainingImages
from fastpunet.models.unet import Conv
from fastpunet.waits import may_wait
from fastpunet_kernels import Sums, finish, fixed_precision, sums_of_logits

PIXEL_BYTES = 256  # memory that a pass of a U-Net takes for each pixel of an image: about 64 float32


class LossTerms(NamedTuple):
    """The terms that training minimises for each segmentation, in nats: reconstruction + kl.sum(-1).

    For a method with a latent the sum is the negative evidence lower bound. Methods without a latent have no KL.
    """

    reconstruction: Tensor  # (B, G), cross-entropy summed over the pixels of an image
    kl: Tensor  # (B, G, latent_dim), KL(posterior || prior), which is a sum over the latent's dimensions
    bound: Tensor | None = None  # (B, G), the negative importance-weighted bound, if it was asked for
    hypotheses: Tensor | None = None  # (B, n, K, *size), logits of hypotheses as they are drawn, if they were asked for


@dataclass(frozen=True, eq=False)
class Encoding:
    """What all hypotheses of a batch of images share. Each method has its own class of encoding.

    images  B, the number of images
    size    the images' own, (H, W) or (D, H, W)
    """

    images: int
    size: tuple[int, ...]

    def parts(self) -> dict[str, Tensor]:
        """The tensors that hypotheses are computed from, each under a name for error messages."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        return next(iter(self.parts().values())).device

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return math.prod(self.size)


@dataclass(frozen=True, eq=False)
class ImageEncoding(Encoding):
    """The images themselves (B, C, *size), for methods whose hypotheses share no computation."""

    values: Tensor

    def parts(self) -> dict[str, Tensor]:
        return {"the images": self.values}

    @staticmethod
    def of(images: Tensor) -> ImageEncoding:
        return ImageEncoding(len(images), tuple(images.shape[2:]), images)


class Method(HubModel, nn.Module, ABC):
    """A method that draws segmentation hypotheses of an image.

    Nothing is kept between calls. A hypothesis is a function of the weights, the image and (seed, id, k). Except for
    rounding, it does not depend on the other images and hypotheses that are computed with it.
    """

    config: dict[str, Any]  # the constructor's arguments
    # What is known of the images that it was trained on, for reading others in the same way; None if it is unknown.
    intensity: Intensity | None = None  # how stored grey values became floats in [0, 1]
    spacing: tuple[float, ...] | None = None  # mm between pixels along each axis of their size
    orientation: str | None = None  # of volumes: where rows, columns and slices count to in the body, such as "RAS"
    image_size: tuple[int, ...] | None = None  # (H, W) or (D, H, W) of the images, or of the parts that training took
    calibration: Calibration | None = None  # how far its probabilities agreed with graders, on other images
    familiarity: Familiarity | None = None  # which images are like those that it was checked on
    training_images: TrainingImages | None = None  # by which images of the training are recognised
    about: dict[str, str] | None = None  # how it was made and how good it is, in words (see `card.ABOUT`)
    in_channels: int
    num_classes: int  # 1: binary, one logit
    dims: int = 2  # of an image: 2 for (H, W), 3 for (D, H, W)
    latent_dim: int = 0  # 0: there is no latent, hence no prior and no posterior
    raters: tuple[str, ...] = ()  # those whose hypotheses it tells apart, each with a prior of its own
    gaussian_latent: bool = False  # whether Sobol points and antithetic pairs can take the place of its normals
    has_gradients: bool = False  # whether `differentiable_logits` has gradients with respect to a latent
    max_hypotheses: int | None = None  # the largest number of hypotheses of one image; None: no limit
    backends: tuple[str, ...] = (
        "auto",
        "reference",
    )  # backends that can compute the hypotheses; by default PyTorch alone
    encoding_kind: type[Encoding] = ImageEncoding
    # Which of these `loss_terms` takes besides: hypotheses, a number of hypotheses whose logits it shall return, and
    # bound_samples, the number of posterior samples of an importance-weighted bound (Burda et al. 2016, equation 8).
    loss_options: tuple[str, ...] = ()

    @abstractmethod
    def encode(self, images: Tensor) -> Encoding:
        """Compute what the hypotheses of images share; images float (B, in_channels, *size), in the weights' dtype."""

    @abstractmethod
    def logits(self, encoding: Any, noise: Noise) -> Tensor:
        """Hypotheses noise.first .. noise.first + noise.n - 1 of every image, as logits (B, n, K, *size)."""

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
    ) -> LossTerms:
        """The terms that training minimises.

        images float (B, C, *size); labels int (B, G, *size), from G graders for each image. ids int64 (B,) and the seed
        determine all random numbers. class_weights float (K,) weigh the cross-entropy of each class. Pixels labelled
        ignore_index do not count.
        """

    @abstractmethod
    def output_layers(self) -> Sequence[Conv]:
        """The convolutions that give logits, or their means, (…, K) channels each."""

    @torch.no_grad()
    def rescale(self, shift: float, temperature: float) -> None:
        """Change the weights so that all logits become (logits + shift) / temperature."""
        for layer in self.output_layers():
            assert layer.bias is not None
            layer.weight.div_(temperature)
            layer.bias.add_(shift).div_(temperature)

    def scratch_bytes(self, encoding: Encoding) -> int:
        """About how much memory each further hypothesis of these images takes while it is computed."""
        return PIXEL_BYTES * encoding.images * encoding.pixels

    def draw(self, encoding: Any, noise: Noise, *, output: str, precision: str, backend: str) -> Tensor:
        """The hypotheses noise.first .. noise.first + noise.n - 1 of every image, with their P pixels flattened.

        The forms are those of `fastpunet_kernels.decode_samples`: "labels" uint8 (B, n, P), "logits" or "probs" float32
        (B, n, K, P), or "bits" int32 (B, n, K, ceil(P / 32)).
        """
        return to_output(self._logits(encoding, noise, precision), output)

    def sums(self, encoding: Any, noise: Noise, *, precision: str, backend: str) -> Sums:
        """Sums over the hypotheses that `draw` would return, without keeping them."""
        return sums_of_logits(self._logits(encoding, noise, precision).float().flatten(3))

    def latent_dim_of(self, encoding: Any) -> int:
        """Dimensions of the latents that `decode` takes for these images; 0: there is no latent."""
        return self.latent_dim

    def prior_of(self, encoding: Any) -> Prior | None:
        """The distribution p(z | image) that hypotheses are drawn from; None: there is no latent."""
        return None

    def draws_by_networks(self, encoding: Any) -> bool:
        """Whether `draw` and `decode` run networks of the method, or compute everything from the encoding."""
        return True

    def decode(self, encoding: Any, z: Tensor, *, output: str, precision: str, backend: str) -> Tensor:
        """Hypotheses of given latents z float32 (B, n, latent_dim), in the form of `draw`."""
        raise TypeError(f"model: {self.name} has no latent that could be decoded; use draw")

    def differentiable_logits(self, encoding: Any, z: Tensor, pixels: Tensor | None = None) -> Tensor:
        """Logits of given latents with gradients with respect to them (see `LatentMethod`), else TypeError."""
        raise TypeError(
            f"model: hypotheses of {self.name} cannot be differentiated with respect to a latent, expected a "
            "Probabilistic U-Net; use draw"
        )

    def tune(self, encoding: Any, noise: Noise, *, output: str, precision: str) -> dict[str, float]:
        """Find the fastest way to compute such hypotheses on a GPU, and use it from now on. Returns seconds."""
        return {}

    def exportable(self, images: Tensor) -> Exportable:
        """The parts that run elsewhere, tried on images float32 (B, in_channels, *size); TypeError if there is none."""
        raise TypeError(
            f"model: {self.name} cannot be exported, because it does not say which of its networks to export "
            "(exportable)"
        )

    @property
    def name(self) -> str:
        """The model's name in messages."""
        return type(self).__name__

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._any_tensor.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights, in which the networks take images."""
        return self._any_tensor.dtype

    @property
    def _any_tensor(self) -> Tensor:
        floats = (tensor for tensor in chain(self.parameters(), self.buffers()) if tensor.is_floating_point())
        return next(floats, torch.empty(0))

    def _logits(self, encoding: Encoding, noise: Noise, precision: str) -> Tensor:
        with arithmetic(precision, encoding.device):
            logits = self.logits(encoding, noise)
        if may_wait() and not torch.isfinite(logits).all():
            raise ValueError(
                "model: got NaN or infinity in its logits; check the weights, and that images are scaled as in training"
            )
        return logits


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """A context in which networks compute in "ieee", "tf32" or, by autocast, "bf16"."""
    bf16 = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)
    with fixed_precision(precision, device), bf16:
        yield


def to_output(logits: Tensor, output: str) -> Tensor:
    """Convert logits (B, n, K, *size) to the named output of `Method.draw`."""
    flat = logits.float().flatten(3)
    return finish(flat.movedim(2, -1).flatten(0, 1), output).unflatten(0, flat.shape[:2])
