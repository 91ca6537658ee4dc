"""Small models with the structures of published Probabilistic U-Nets, written afresh: their names, calls and parts.

`STRUCTURES` lists them. A model's `begin(images)` and then many times `hypothesis()` is its own loop, and its
`own_logits` runs its networks for given latents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import (
    Independent,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    RelaxedOneHotCategorical,
)

from benchmarks.port import PortModel

LATENTS = 3
CLASSES = 2


def _conv(dims: int, *args: Any, **options: Any) -> nn.Module:
    return (nn.Conv2d if dims == 2 else nn.Conv3d)(*args, **options)


class SmallUNet(nn.Module):
    """Two scales; `refuses` makes it raise for sides that are no multiples of 4, as torch-em's does."""

    def __init__(self, width: int, outputs: int | None = None, *, norm: bool = False, refuses: bool = False) -> None:
        super().__init__()
        outputs = width if outputs is None else outputs
        after = [nn.InstanceNorm2d(width)] if norm else []
        self.fine = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), *after, nn.ReLU(inplace=True))
        self.coarse = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True))
        self.last = nn.Conv2d(2 * width, outputs, 3, padding=1)
        self.refuses = refuses

    def forward(self, x: Tensor, val: bool = False) -> Tensor:  # noqa: ARG002
        if self.refuses and any(side % 4 for side in x.shape[2:]):
            raise ValueError(f"Invalid shape: {tuple(x.shape[2:])} is not divisible by 4")
        fine = self.fine(x)
        up = F.interpolate(self.coarse(fine), scale_factor=2, mode="bilinear", align_corners=True)
        return self.last(torch.cat((up, fine), 1))


class PriorNet(nn.Module):
    """An encoder, and a distribution of its global mean. `encoding_too` returns both, as generalised networks do."""

    def __init__(self, width: int, family: str = "axis-aligned", *, encoding_too: bool = False, clamp: bool = False):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2, ceil_mode=True)
        )
        self.family, self.encoding_too, self.clamp = family, encoding_too, clamp
        self.components = 4 if "mixture" in family else 1
        self.statistics = nn.Conv2d(width, self.components * 2 * LATENTS, 1)
        self.covariance = nn.Conv2d(width, self.components * LATENTS**2, 1)
        self.weights = nn.Conv2d(width, self.components, 1)

    def forward(self, x: Tensor, segm: Tensor | None = None) -> Any:  # noqa: ARG002
        encoding = self.encoder(x).mean((2, 3), keepdim=True)
        shape = (len(x), self.components) if "mixture" in self.family else (len(x),)
        mu, log_sigma = self.statistics(encoding).view(*shape, 2 * LATENTS).chunk(2, -1)
        if self.clamp:
            mu, log_sigma = mu.clamp(-1000, 1000), log_sigma.clamp(-10, 10)
        below = self.covariance(encoding).view(*shape, LATENTS, LATENTS)
        if "full" in self.family:
            made: Any = MultivariateNormal(mu, scale_tril=below.tril(-1) + torch.diag_embed(log_sigma.exp()))
        elif "low-rank" in self.family:
            made = LowRankMultivariateNormal(mu, below[..., :2], (2 * log_sigma).exp())
        else:
            made = Independent(Normal(mu, log_sigma.exp()), 1)
        if "mixture" in self.family:
            weights = self.weights(encoding).flatten(1)
            made = RelaxedMixture(RelaxedOneHotCategorical(torch.tensor([0.1]), logits=weights), made)
        return (encoding.flatten(1), made) if self.encoding_too else made


class RelaxedMixture(MixtureSameFamily):
    """A mixture whose choice is a straight-through relaxation, so that only its `rsample` works."""

    has_rsample = True

    def __init__(self, mixture: RelaxedOneHotCategorical, components: Any) -> None:
        self._mixture_distribution, self._component_distribution = mixture, components
        self._num_component, self._event_ndims = mixture.logits.shape[-1], 1
        torch.distributions.Distribution.__init__(
            self, components.batch_shape[:-1], components.event_shape, validate_args=False
        )

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        relaxed = self.mixture_distribution.rsample(sample_shape)
        chosen = F.one_hot(relaxed.argmax(-1), relaxed.shape[-1]) - relaxed.detach() + relaxed
        return (self.component_distribution.rsample(sample_shape) * chosen[..., None]).sum(-2)


class Fcomb(nn.Module):
    """1x1 convolutions, with BatchNorm "before" ReLU, "after" it, or "between" ReLU and the next convolution."""

    def __init__(self, inputs: int, width: int, *, norm: str = "", convs: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(convs - 1):
            if norm == "between" and i > 0:
                layers.append(_used(nn.BatchNorm2d(width)))
            layers.append(nn.Conv2d(inputs if i == 0 else width, width, 1))
            if norm == "before":
                layers += [_used(nn.BatchNorm2d(width, eps=1e-3)), nn.ReLU()]
            elif norm == "after":
                layers += [nn.ReLU(), _used(nn.BatchNorm2d(width))]
            else:
                layers.append(nn.ReLU(inplace=True))
        self.layers, self.last_layer = nn.Sequential(*layers), nn.Conv2d(width, CLASSES, 1)

    def forward(self, feature_map: Tensor, z: Tensor) -> Tensor:
        order = torch.arange(z.shape[1])  # tiles by an index, as the port does
        tiled = z[:, :, None].repeat(1, 1, feature_map.shape[2])[..., None].repeat(1, 1, 1, feature_map.shape[3])
        return self.last_layer(self.layers(torch.cat((feature_map, tiled.index_select(1, order)), 1)))


def _used(norm: nn.Module) -> nn.Module:
    """A BatchNorm with the statistics of some training."""
    norm.running_mean.normal_(generator=torch.Generator().manual_seed(0))
    norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(1))
    return norm


class PortLike(nn.Module):
    """The PyTorch port's interface, whose forward pass has other arguments in many forks."""

    def __init__(self, unet: nn.Module, prior: nn.Module, fcomb: nn.Module) -> None:
        super().__init__()
        self.unet, self.prior, self.fcomb = unet, prior, fcomb

    def forward(self, patch: Tensor, segm: Tensor | None = None, training: bool = True) -> None:  # noqa: ARG002
        returned = self.prior(patch)
        self.prior_latent_space = returned[1] if isinstance(returned, tuple) else returned
        self.unet_features = self.unet(patch, False)

    def draw(self, testing: bool) -> Tensor:
        return self.prior_latent_space.sample() if testing else self.prior_latent_space.rsample()

    def sample(self, testing: bool = False) -> Tensor:
        return self.fcomb.forward(self.unet_features, self.draw(testing))

    def begin(self, images: Tensor) -> None:
        self.forward(images, None, training=False)

    def hypothesis(self) -> Tensor:
        return self.sample(testing=True)

    def own_logits(self, images: Tensor, z: Tensor) -> Tensor:
        PortLike.forward(self, images)
        return self.fcomb.forward(self.unet_features, z)


class UNetZoo(PortLike):
    """Its forward pass returns something of its own."""

    def __init__(self, width: int) -> None:
        super().__init__(SmallUNet(width), PriorNet(width), Fcomb(width + LATENTS, width, norm="before"))
        self.last_conv = nn.Conv2d(width, CLASSES, 1)

    def forward(self, patch: Tensor, segm: Tensor | None = None, training: bool = True) -> Tensor:
        super().forward(patch, segm, training)
        return self.last_conv(self.unet_features)


class TorchEm(PortLike):
    """Takes images of certain sizes only, and its `sample` no arguments."""

    def __init__(self, width: int) -> None:
        super().__init__(SmallUNet(width, norm=True, refuses=True), PriorNet(width), Fcomb(width + LATENTS, width))

    def forward(self, patch: Tensor, segm: Tensor | None = None) -> None:  # type: ignore[override]
        super().forward(patch, segm)

    def sample(self) -> Tensor:  # type: ignore[override]
        return self.fcomb(self.unet_features, self.prior_latent_space.sample())

    def begin(self, images: Tensor) -> None:
        self.forward(images)

    def hypothesis(self) -> Tensor:
        return self.sample()


class Platipy(PortLike):
    """Clamps its statistics, and takes further arguments in `sample`."""

    def __init__(self, width: int) -> None:
        super().__init__(SmallUNet(width), PriorNet(width, clamp=True), Fcomb(width + LATENTS, width))
        self.posterior_latent_space = self.prior_latent_space = self.unet_features = None

    def forward(self, img: Tensor, seg: Tensor | None = None, training: bool = False) -> None:  # type: ignore[override]
        super().forward(img, seg, training)

    def sample(self, testing: bool = False, use_mean: bool = False, sample_x_stddev_from_mean: Any = None) -> Tensor:
        assert sample_x_stddev_from_mean is None
        z = self.prior_latent_space.base_dist.loc if use_mean else self.draw(testing)
        return self.fcomb.forward(self.unet_features, z)


class Generalised(PortLike):
    """GeneralizedProbabilisticUNet: its `sample` returns the latents' density as well."""

    def __init__(self, width: int, family: str) -> None:
        prior = PriorNet(width, family, encoding_too=True)
        super().__init__(SmallUNet(width), prior, Fcomb(width + LATENTS, width, norm="between"))

    def forward(self, patch: Tensor, segm: Tensor | None, training: bool = True) -> None:
        super().forward(patch, segm, training)

    def sample(self, testing: bool = False) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        z = self.draw(testing and not isinstance(self.prior_latent_space, RelaxedMixture))
        return self.fcomb.forward(self.unet_features, z), z.sum(1)

    def hypothesis(self) -> Tensor:
        return self.sample(testing=True)[0]


class CFlow(PortLike):
    """cFlow: its `sample` needs a posterior, which only training makes."""

    def __init__(self, width: int) -> None:
        super().__init__(SmallUNet(width), PriorNet(width, encoding_too=True), Fcomb(width + LATENTS, width))

    def sample(self, testing: bool = False) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        z = self.draw(testing)
        return self.fcomb.forward(self.unet_features, z), self.posterior_latent_space.log_prob(z)

    def hypothesis(self) -> Tensor:
        return self.fcomb.forward(self.unet_features, self.draw(testing=True))


class FlowPrior(nn.Module):
    """Planar flows on a Gaussian, each with parameters of the image: returns what cFlow's flow densities return."""

    def __init__(self, width: int, flows: int = 2) -> None:
        super().__init__()
        self.base, self.flows = PriorNet(width, encoding_too=True), flows
        self.parameters_of = nn.Linear(width, flows * (2 * LATENTS + 1))

    def forward(self, x: Tensor, segm: Tensor | None = None) -> Any:  # noqa: ARG002
        h, density = self.base(x)
        z0 = z = density.rsample()
        log_det = torch.zeros(len(x))
        for u, w, b in (part.split((LATENTS, LATENTS, 1), 1) for part in self.parameters_of(h).chunk(self.flows, 1)):
            inside = ((w * z).sum(1, keepdim=True) + b).tanh()
            log_det = log_det + (1 + (1 - inside**2) * (u * w).sum(1, keepdim=True)).abs().log().flatten()
            z = z + 2 * u * inside
        return log_det, z0, z, density


class FlowModel(PortLike):
    """A flow prior: `sample` runs the prior net again, for another z."""

    def __init__(self, width: int) -> None:
        super().__init__(SmallUNet(width), FlowPrior(width), Fcomb(width + LATENTS, width))

    def forward(self, patch: Tensor, segm: Tensor | None = None, training: bool = True) -> None:  # noqa: ARG002
        self.patch = patch
        self.log_det_j, self.z0, self.z, self.prior_latent_space = self.prior(patch)
        self.unet_features = self.unet(patch, False)

    def sample(self, testing: bool = False) -> Tensor:  # noqa: ARG002
        return self.fcomb.forward(self.unet_features, self.prior(self.patch)[2])


class UqBox(nn.Module):
    """lightning-uq-box, a LightningModule: class logits are the features, and `forward` is the U-Net's alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.model, self.prior = SmallUNet(width, CLASSES), PriorNet(width)
        self.fcomb, self.num_samples = Fcomb(CLASSES + LATENTS, width), 5

    def forward(self, X: Tensor) -> Tensor:
        return self.model(X)

    def sample(self, testing: bool = False) -> Tensor:
        z = self.prior_latent_space.sample() if testing else self.prior_latent_space.rsample()
        return self.fcomb.forward(self.unet_features, z)

    def predict_step(self, X: Tensor, batch_idx: int = 0, dataloader_idx: int = 0) -> dict[str, Tensor]:  # noqa: ARG002
        self.begin(X)
        samples = torch.stack([self.sample(testing=True) for _ in range(self.num_samples)], -1)
        return {"pred": samples.softmax(1).mean(-1)}

    def begin(self, images: Tensor) -> None:
        self.prior_latent_space, self.unet_features = self.prior.forward(images), self.model.forward(images)

    def hypothesis(self) -> Tensor:
        return self.sample(testing=True)

    def own_logits(self, images: Tensor, z: Tensor) -> Tensor:
        return self.fcomb(self.model(images), z)


class InjectionUNet(nn.Module):
    """The U-Net of jenspetersen and PULASki, with z concatenated before its last 1x1 convolutions."""

    def __init__(self, width: int, dims: int, *, activations: bool) -> None:
        super().__init__()
        self.add_module("encode-0", nn.Sequential(_conv(dims, 1, width, 3, padding=1), nn.LeakyReLU()))
        pool = nn.AvgPool2d(2) if dims == 2 else nn.AvgPool3d(2)
        self.add_module("encode-1", nn.Sequential(pool, _conv(dims, width, width, 3, padding=1), nn.LeakyReLU()))
        self.add_module("decode-0", nn.Sequential(_conv(dims, 2 * width, width, 3, padding=1), nn.LeakyReLU()))
        self.depth, self.activations, self.last_activations = 3, activations, None
        for i in range(self.depth):
            outputs = CLASSES if i == self.depth - 1 else width + LATENTS
            self.add_module(f"reduce-{i}", _conv(dims, width + LATENTS, outputs, 1))
            if i < self.depth - 1:
                self.add_module(f"reduce-{i}-nonlin", nn.LeakyReLU(inplace=True))
        self.add_module("output-activation", nn.LogSoftmax(dim=1))

    def reset(self) -> None:
        self.last_activations = None

    def forward(
        self,
        x: Tensor | None,
        injection: Tensor | None = None,
        reuse_last_activations: bool = False,
        store_activations: bool = False,
    ) -> Tensor:
        if self.last_activations is None or not reuse_last_activations:
            fine = self._modules["encode-0"](x)
            up = F.interpolate(self._modules["encode-1"](fine), scale_factor=2)
            x = self._modules["decode-0"](torch.cat((fine, up), 1))
            if store_activations:
                self.last_activations = x.detach()
        else:
            x = self.last_activations
        x = torch.cat((x, injection.expand(-1, -1, *x.shape[2:])), 1)
        for i in range(self.depth):
            x = self._modules[f"reduce-{i}"](x)
            if self.activations and i < self.depth - 1:
                x = self._modules[f"reduce-{i}-nonlin"](x)
        return self._modules["output-activation"](x)


class Injection(nn.Module):
    """jenspetersen's network, and PULASki's. The published forward pass skips its activations (`activations=False`)."""

    def __init__(self, width: int, dims: int = 2, *, activations: bool = False) -> None:
        super().__init__()
        self.task_net = InjectionUNet(width, dims, activations=activations)
        pool = nn.AdaptiveAvgPool2d(1) if dims == 2 else nn.AdaptiveAvgPool3d(1)
        self.prior_net = nn.Sequential(_conv(dims, 1, 2 * LATENTS, 3, padding=1), pool)
        self.dims, self._prior = dims, None

    @property
    def prior(self) -> Normal | None:
        return self._prior

    def train(self, mode: bool = True) -> Injection:
        super().train(mode)
        self.task_net.reset()
        self._prior = None
        return self

    def encode_prior(self, input_: Tensor) -> None:
        mean, log_variance = self.prior_net(input_).chunk(2, 1)
        self._prior = Normal(mean, log_variance.mul(0.5).exp())

    def forward(self, input_: Tensor, seg: Tensor | None = None, make_onehot: bool = True) -> Tensor:  # noqa: ARG002
        self.encode_prior(input_)
        if self.training:
            raise ValueError("a segmentation is needed in training")
        return self.task_net(input_, self._prior.loc, store_activations=True)

    def begin(self, images: Tensor) -> None:
        self.forward(images)

    def hypothesis(self) -> Tensor:
        return self.task_net(None, self._prior.sample(), reuse_last_activations=True)

    def own_logits(self, images: Tensor, z: Tensor) -> Tensor:
        self.forward(images)
        return self.task_net(None, z.view(*z.shape, *[1] * self.dims), reuse_last_activations=True)


class Port(PortModel):
    """The PyTorch port itself, as benchmarks/port.py has it."""

    def begin(self, images: Tensor) -> None:
        self.forward(images, None, training=False)

    def hypothesis(self) -> Tensor:
        return self.sample(testing=True)

    def own_logits(self, images: Tensor, z: Tensor) -> Tensor:
        self.forward(images, None, training=False)
        return self.fcomb(self.unet_features, z)


class Structure(NamedTuple):
    """A published structure.

    words  what is particular about it
    make   a model of it, of a given width
    size   of images
    """

    words: str
    make: Callable[[int], nn.Module]
    size: Sequence[int] = (16, 24)


def _generalised(family: str) -> Callable[[int], nn.Module]:
    return lambda width: Generalised(width, family)


STRUCTURES: dict[str, Structure] = {
    "PyTorch port": Structure(
        "`unet`, `prior`, `fcomb`, `forward(patch, segm, training)`",
        lambda width: Port(1, CLASSES, (width, 2 * width, 4 * width, 6 * width), LATENTS),
    ),
    "UNet-Zoo": Structure("BatchNorm before each ReLU of f_comb; `forward` returns a map of its own", UNetZoo),
    "torch-em": Structure("certain image sizes only; `sample()` without arguments", TorchEm),
    "platipy": Structure("clamped statistics; more arguments of `sample`", Platipy),
    "lightning-uq-box": Structure("class logits as features; `predict_step`", UqBox),
    "GeneralizedProbabilisticUNet": Structure("BatchNorm between; `(encoding, prior)`", _generalised("axis-aligned")),
    "GeneralizedProbabilisticUNet, full covariance": Structure("`MultivariateNormal`", _generalised("full")),
    "GeneralizedProbabilisticUNet, low rank": Structure("`LowRankMultivariateNormal`", _generalised("low-rank")),
    "GeneralizedProbabilisticUNet, mixture": Structure("relaxed mixture, `rsample` alone", _generalised("mixture")),
    "GeneralizedProbabilisticUNet, mixture of full": Structure(
        "the same of full Gaussians", _generalised("full mixture")
    ),
    "cFlow": Structure("flow in the posterior alone; `sample` needs a segmentation", CFlow),
    "a flow prior": Structure("planar flows; `sample` runs the prior net again", FlowModel),
    "jenspetersen, PULASki": Structure("combiner inside the U-Net, whose published pass skips activations", Injection),
    "jenspetersen, PULASki, 3-D": Structure(
        "the same for volumes", lambda width: Injection(width, dims=3), size=(4, 8, 12)
    ),
    "jenspetersen, mended": Structure(
        "the same with its activations", lambda width: Injection(width, activations=True)
    ),
}
