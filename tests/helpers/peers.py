"""Small stand-ins for Probabilistic U-Nets written elsewhere: their names, priors, combiners and calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent, Normal

C, L, K = 8, 3, 2  # features, latent dimensions, classes


class Unet(nn.Module):
    """Three scales with skips, so that sides must be multiples of 4; one pooling module serves twice."""

    def __init__(self, dims: int = 2, width: int = C) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.head = conv(4, width, 1)  # registered before the layer that sees the image
        self.first, self.second, self.third = conv(1, 4, 3, padding=1), conv(4, 4, 3, padding=1), conv(4, 4, 1)
        self.pool = nn.AvgPool2d(2) if dims == 2 else nn.AvgPool3d(2)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.first(x).relu()
        middle = self.second(self.pool(fine)).relu()
        coarse = self.third(self.pool(middle)).relu()
        middle = middle + F.interpolate(coarse, scale_factor=2)
        return self.head(fine + F.interpolate(middle, scale_factor=2))


def normal(mu: Tensor, log_sigma: Tensor) -> Independent:
    return Independent(Normal(mu, log_sigma.exp()), 1)


class Prior(nn.Module):
    """Statistics (B, L) of the image, and what `make` returns of mean and log sigma."""

    def __init__(self, make: Callable[[Tensor, Tensor], Any] = normal, dims: int = 2) -> None:
        super().__init__()
        self.conv = (nn.Conv2d if dims == 2 else nn.Conv3d)(1, 2 * L, 3, padding=1)
        self.make = make

    def forward(self, x: Tensor) -> Any:
        return self.make(*self.conv(x).flatten(2).mean(2).chunk(2, 1))


def layers(
    activation: Callable[[], nn.Module] = nn.ReLU, norm: str = "", dims: int = 2, width: int = C
) -> nn.Sequential:
    """Three 1x1 convolutions, with BatchNorm "before" or "after" the activations, or without."""
    conv, batch_norm = (nn.Conv2d, nn.BatchNorm2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
    made: list[nn.Module] = []
    for ins in (width + L, C):
        before = [batch_norm(C)] if norm == "before" else []
        after = [batch_norm(C)] if norm == "after" else []
        made += [conv(ins, C, 1), *before, activation(), *after]
    for module in made:
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return nn.Sequential(*made, conv(C, K, 1))


class Combiner(nn.Module):
    """Concatenates z after the features, or before them, and applies `net`; subclasses do it in their own way."""

    def __init__(self, net: nn.Module | None = None, latents_first: bool = False) -> None:
        super().__init__()
        self.net, self.latents_first = layers() if net is None else net, latents_first

    def join(self, features: Tensor, z: Tensor) -> Tensor:
        tiled = z.reshape(*z.shape[:2], *[1] * (features.ndim - 2)).expand(-1, -1, *features.shape[2:])
        return torch.cat((tiled, features) if self.latents_first else (features, tiled), 1)

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        return self.net(self.join(features, z))


class Swapped(Combiner):
    """Takes its arguments the other way round."""

    def forward(self, z: Tensor, features: Tensor) -> Tensor:
        return super().forward(features, z)


class NeedsAxes(Combiner):
    """Takes z (B, L, 1, 1)."""

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        assert z.shape[2:] == (1,) * (features.ndim - 2)
        return super().forward(features, z)


class Functional(Combiner):
    """Has its activations in its forward pass, where modules do not show them."""

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        x = self.join(features, z)
        for i, conv in enumerate(conv for conv in self.net if isinstance(conv, nn.Conv2d)):
            x = conv(x if i == 0 else x.tanh())
        return x


class Skip(Combiner):
    """Adds its features to its logits."""

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        return super().forward(features, z) + features[:, :K]


class Rolled(Combiner):
    """Puts z in another place than the last channels."""

    def join(self, features: Tensor, z: Tensor) -> Tensor:
        return super().join(features, z).roll(2, 1)


class WithEnd(Combiner):
    """Applies a function to its logits."""

    def __init__(self, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.end = end

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        return self.end(super().forward(features, z))


class Peer(nn.Module):
    """The port's interface around any parts, under any names."""

    def __init__(
        self,
        unet: nn.Module | None = None,
        prior: nn.Module | None = None,
        combiner: nn.Module | None = None,
        names: tuple[str, str, str] = ("unet", "prior", "fcomb"),
    ) -> None:
        super().__init__()
        self.names = names
        for name, part in zip(names, (unet or Unet(), prior or Prior(), combiner or Combiner()), strict=True):
            setattr(self, name, part)

    def prepared(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor, segm: Tensor | None = None, training: bool = False) -> None:  # noqa: ARG002
        x = self.prepared(x)
        unet, prior, _ = (getattr(self, name) for name in self.names)
        self.unet_features, self.prior_latent_space = unet(x), prior(x)

    def combined(self, x: Tensor, z: Tensor) -> Tensor:
        """What the model's own parts give for images (B, 1, *size) and latents (B, L): the right answer."""
        Peer.forward(self, x)
        return getattr(self, self.names[2])(self.unet_features, z)

    def sample(self, testing: bool = False) -> Tensor:
        prior = self.prior_latent_space
        return getattr(self, self.names[2])(self.unet_features, prior.sample() if testing else prior.rsample())


class Normalising(Peer):
    """Changes its images before its parts see them."""

    def prepared(self, x: Tensor) -> Tensor:
        return (x - 0.5) / 0.2


class ImageOnly(Normalising):
    """Its forward pass takes an image and gives one hypothesis, drawn from the global generator."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        features, prior = self.unet(self.prepared(x)), self.prior(self.prepared(x))
        return self.fcomb(features, prior.rsample())


class HooksAround(Peer):
    """Normalises its images in a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.register_forward_pre_hook(lambda _, inputs: ((inputs[0] - 0.5) / 0.2, *inputs[1:]))


class Finishing(Peer):
    """Changes its features between U-Net and combiner, in `sample`."""

    def sample(self, testing: bool = False) -> Tensor:
        prior = self.prior_latent_space
        return self.fcomb(2 * self.unet_features.tanh(), prior.sample() if testing else prior.rsample())


class Tempered(Peer):
    """Changes its latents before they reach the combiner."""

    def sample(self, testing: bool = False) -> Tensor:  # noqa: ARG002
        return self.fcomb(self.unet_features, 0.5 * self.prior_latent_space.sample())


class Lightning(nn.Module):
    """A LightningModule's shape: a network among other attributes, and a forward pass that may change the images."""

    def __init__(self, net: nn.Module, change: Callable[[Tensor], Tensor] | None) -> None:
        super().__init__()
        self.loss, self.net, self.change = nn.CrossEntropyLoss(), net, change

    def forward(self, x: Tensor) -> Any:
        if self.change is None:
            raise NotImplementedError
        return self.net(self.change(x), None)
