"""Any network in place of the U-Net: run on images of any size, and asked how many features it gives."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fastpunet.models.adapters.prior_forms import describe
from fastpunet.models.adapters.sizes import is_traced, with_size_that_fits
from fastpunet.models.twin import evaluation_twin

_ASKED = {2: 64, 3: 32}  # pixels along each axis of the image that a network is asked with


class OwnFeatures:
    """Runs a network of the user's own. It keeps which sizes have to be padded, so that each is found out once."""

    def __init__(self) -> None:
        self._padded: dict[torch.Size, torch.Size] = {}

    def __call__(self, unet: nn.Module, images: Tensor) -> Tensor:
        """The features (B, F, *size) of images (B, C, *size), padded by repeating the edge if they must be.

        Raises TypeError for a network that gives anything but one tensor, and ValueError if it takes no size.
        """
        if is_traced():
            return with_size_that_fits(unet, _tensor, images)[1]
        size = self._padded.get(images.shape[2:], images.shape[2:])
        if size != images.shape[2:]:
            amounts = [n for old, new in zip(images.shape[2:], size, strict=True) for n in (new - old, 0)][::-1]
            padded = nn.functional.pad(images, amounts, mode="replicate")
            own = (slice(None), slice(None), *(slice(0, length) for length in images.shape[2:]))
            return _tensor(unet(padded), padded)[own]
        _, features, used = with_size_that_fits(unet, _tensor, images)
        self._padded[images.shape[2:]] = used.shape[2:]
        return features


def feature_channels(unet: nn.Module, in_channels: int, dims: int) -> int:
    """How many features a network gives for each pixel, which it is asked with an image of zeros."""
    weights = next(unet.parameters(), torch.empty(0))
    image = weights.new_zeros(1, in_channels, *[_ASKED[dims]] * dims)
    with torch.no_grad():
        return OwnFeatures()(evaluation_twin(unet), image).shape[1]


def _tensor(returned: object, images: Tensor) -> Tensor:
    if not isinstance(returned, Tensor) or returned.ndim != images.ndim:
        raise TypeError(
            f"unet: gives {describe(returned)} for images {tuple(images.shape)}, expected one tensor of features "
            "(B, F, *size); wrap it in a module that returns that"
        )
    return returned
