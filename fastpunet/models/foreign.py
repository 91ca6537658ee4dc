"""Models written elsewhere: anything with `unet`, `prior` and `fcomb` is encoded as it is, and left as it was."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch.nn.functional as F
from torch import Tensor, nn

from fastpunet.models.method import Method
from fastpunet.models.prob_unet import ProbabilisticUNet

_PARTS = ("unet", "prior", "fcomb", "fcomb.layers", "fcomb.last_layer")


def check_model(model: object) -> nn.Module:
    """The model, out of torch.compile's wrapper; TypeError unless it is ours or has the parts of the PyTorch port's."""
    model = uncompiled(model)
    if isinstance(model, ProbabilisticUNet):
        return model
    if isinstance(model, Method):
        raise TypeError(
            f"model: got {type(model).__name__}, expected a Probabilistic U-Net, which is encoded once and drawn from "
            "often; of other methods take fastpunet.sample(model, images, n)"
        )
    missing = [part for part in _PARTS if not _has(model, part)]
    if not isinstance(model, nn.Module) or missing:
        raise TypeError(
            f"model: got {type(model).__name__}"
            + (f" without {', '.join(missing)}" if missing else "")
            + ", expected a fastpunet model or a torch.nn.Module with unet, prior and fcomb (fcomb.layers, "
            "fcomb.last_layer), as in the PyTorch port of the Probabilistic U-Net"
        )
    return model


def uncompiled(model: object) -> object:
    """What torch.compile wrapped, or the model itself."""
    return getattr(model, "_orig_mod", model)


def in_channels(model: nn.Module) -> int:
    """Channels of the images that the model takes."""
    if isinstance(model, ProbabilisticUNet):
        return model.in_channels
    first = next((module for module in model.unet.modules() if isinstance(module, nn.Conv2d)), None)  # type: ignore[union-attr]
    if first is None:
        raise TypeError("model: its unet has no Conv2d, so the channels of its images cannot be told")
    return first.in_channels


def encode(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """images (B, C, H, W) to features (B, F, H, W), mu and sigma (B, latent_dim), in the dtype the model computes.

    A foreign U-Net may take only multiples of 2 to the number of its poolings: images are padded at the bottom and
    right by repeating the edge, and features cropped. Our own takes any size.
    """
    features = _foreign_features(model, images)
    prior = model.prior(images)  # type: ignore[operator]
    return features, prior.mean, prior.stddev


_UNDISTURBED = threading.RLock()


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; on leaving, every module has the attributes and the mode it had before.

    Our own model keeps nothing and has no mode, so it is not touched. Threads wait for one another.
    """
    if isinstance(model, ProbabilisticUNet):
        yield
        return
    with _UNDISTURBED:
        modules = list(model.modules())
        before = [dict(vars(module)) for module in modules]
        try:
            for module in modules:
                module.training = False
            yield
        finally:
            for module, attributes in zip(modules, before, strict=True):
                vars(module).clear()
                vars(module).update(attributes)


def _has(model: object, dotted: str) -> bool:
    for name in dotted.split("."):
        model = getattr(model, name, None)
    return model is not None


def _foreign_features(model: nn.Module, images: Tensor) -> Tensor:
    unet: nn.Module = model.unet  # type: ignore[assignment]
    height, width = images.shape[-2:]
    poolings = sum(isinstance(module, (nn.AvgPool2d, nn.MaxPool2d)) for module in unet.modules())
    multiple = 2**poolings
    padded = F.pad(images, (0, -width % multiple, 0, -height % multiple), mode="replicate")
    forward = uncompiled(unet).forward  # type: ignore[attr-defined]
    parameters = inspect.signature(forward).parameters.values()
    required = [
        p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    features = unet(padded, False) if len(required) > 1 else unet(padded)  # the port's second argument: validation
    return features[..., :height, :width]
