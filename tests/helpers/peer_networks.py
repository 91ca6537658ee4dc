"""Small networks of the structures that other people publish, written afresh: the names of their weights, what they do.

Each has `features(x)`, `prior_of(x)`, which gives mu and sigma (B, L), and `combined(features, z)`.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributions as D

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
LINEAR = {2: "bilinear", 3: "trilinear"}


def tiled(z: Tensor, like: Tensor) -> Tensor:
    return z.reshape(*z.shape[:2], *[1] * (like.ndim - 2)).expand(-1, -1, *like.shape[2:])


def holding(**children: nn.Module) -> nn.Module:
    module = nn.Module()
    for name, child in children.items():
        module.add_module(name, child)
    return module


def with_random_norms(network: nn.Module) -> nn.Module:
    """Running means and weights of BatchNorm that differ from what they begin with."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return network.eval()


def spatial_mean(x: Tensor) -> Tensor:
    return x.flatten(2).mean(2)


class _Port(nn.Module):
    """What the port and its relatives share: an encoder with a 1x1 convolution, and a combiner with a last layer."""

    def prior_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        encoded = self.prior.encoder(x).mean(dim=(2, 3), keepdim=True)
        mu, log_sigma = self.prior.conv_layer(encoded).flatten(1).chunk(2, 1)
        return mu, log_sigma.exp()

    def combined(self, features: Tensor, z: Tensor) -> Tensor:
        return self.fcomb.last_layer(self.fcomb.layers(torch.cat((features, tiled(z, features)), 1)))


class _Layers(nn.Module):
    """A Sequential under the name `layers`, or another."""

    def __init__(self, layers: list[nn.Module], name: str = "layers") -> None:
        super().__init__()
        self.add_module(name, nn.Sequential(*layers))
        self._only = name

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self._only)(x)


def _three(ins: int, out: int, *, pool: bool, norm: bool = False, padding: int = 1) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.AvgPool2d(2, 2, ceil_mode=True)] if pool else []
    for i in range(3):
        layers += [nn.Conv2d(ins if i == 0 else out, out, 3, padding=padding), nn.ReLU()]
    return [*layers, nn.BatchNorm2d(out)] if norm else layers


class _PortUnet(nn.Module):
    def __init__(self, widths: list[int], align_corners: bool, norm: bool) -> None:
        super().__init__()
        sizes = [1, *widths]
        self.contracting_path = nn.ModuleList(
            _Layers(_three(sizes[i], w, pool=i > 0, norm=norm)) for i, w in enumerate(widths)
        )
        self.upsampling_path = nn.ModuleList(
            holding(conv_block=_Layers(_three(widths[i + 1] + widths[i], widths[i], pool=False, norm=norm and i > 0)))
            for i in reversed(range(len(widths) - 1))
        )
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.contracting_path:
            x = block(x)
            skips.append(x)
        for up, skip in zip(self.upsampling_path, skips[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=self.align_corners)
            x = up.conv_block(torch.cat((x, skip), 1))
        return x


class Generalized(_Port):
    """GeneralizedProbabilisticUNet: BatchNorm behind each block but the last ones, and priors of several families."""

    def __init__(
        self, widths: list[int], latent: int = 3, classes: int = 2, *, covariance: str = "", components: int = 1
    ) -> None:
        super().__init__()
        self.unet = _PortUnet(widths, align_corners=True, norm=True)
        for name, channels in (("prior", 1), ("posterior", 1 + classes)):
            sizes, layers = [channels, *widths], []
            for i, w in enumerate(widths):
                layers += _three(sizes[i], w, pool=i > 0, norm=i < len(widths) - 1)
            self.add_module(name, holding(encoder=_Layers(layers), conv_layer=nn.Conv2d(widths[-1], 2 * latent, 1)))
        w = widths[0]
        layers = [nn.Conv2d(w + latent, w, 1), nn.ReLU()]
        for _ in range(2):
            layers += [nn.BatchNorm2d(w), nn.Conv2d(w, w, 1), nn.ReLU()]
        self.fcomb = holding(layers=nn.Sequential(*layers), last_layer=nn.Conv2d(w, classes, 1))
        self.latent, self.covariance, self.components = latent, covariance, components
        for net in (self.prior, self.posterior) if covariance or components > 1 else ():
            del net.conv_layer
            statistics = nn.Conv2d(widths[-1], components * 2 * latent, 1)
            net.add_module("mean_log_sigma_op" if covariance else "conv_layer", statistics)
            if covariance:
                name, columns = ("cov_tril_op", latent) if covariance == "full" else ("cov_factor_op", 2)
                net.add_module(name, nn.Conv2d(widths[-1], components * latent * columns, 1))
            if components > 1:
                net.mixture_weights_conv = nn.Conv2d(widths[-1], components, 1)

    def features(self, x: Tensor) -> Tensor:
        return self.unet(x)

    def distribution_of(self, x: Tensor) -> D.Distribution:
        """The prior, whose mixtures it draws from by a relaxation with the same values."""
        net, shape = self.prior, (len(x), *([self.components] if self.components > 1 else []), -1)
        encoded = net.encoder(x).mean(dim=(2, 3), keepdim=True)
        layer = net.mean_log_sigma_op if self.covariance else net.conv_layer
        mu, spread = layer(encoded).view(*shape).chunk(2, -1)
        if self.covariance == "full":
            below = net.cov_tril_op(encoded).view(*shape[:-1], self.latent, self.latent).tril(-1)
            each: D.Distribution = D.MultivariateNormal(mu, scale_tril=below + torch.diag_embed(spread.exp() + 1e-4))
        elif self.covariance == "low-rank":
            factor = net.cov_factor_op(encoded).view(*shape[:-1], self.latent, 2)
            each = D.LowRankMultivariateNormal(mu, factor, spread.exp() + 1e-4)
        else:
            each = D.Independent(D.Normal(mu, spread.exp()), 1)
        if self.components == 1:
            return each
        return D.MixtureSameFamily(D.Categorical(logits=net.mixture_weights_conv(encoded).flatten(1)), each)


def _zoo_conv(ins: int, out: int, side: int) -> nn.Module:
    conv = nn.Conv2d(ins, out, side, padding=side // 2)
    return _Layers([conv, nn.BatchNorm2d(out, eps=1e-3, momentum=0.01), nn.ReLU()], "convolution")


class Zoo(_Port):
    """UNet-Zoo: BatchNorm with an epsilon of its own in encoders and combiner, up-sampling without align_corners."""

    def __init__(self, widths: list[int], latent: int = 3, classes: int = 2) -> None:
        super().__init__()
        self.unet = _PortUnet(widths, align_corners=False, norm=False)
        for name, channels in (("prior", 1), ("posterior", 1 + classes)):
            sizes, layers = [channels, *widths], []
            for i, w in enumerate(widths):
                layers += [nn.AvgPool2d(2, 2, ceil_mode=True)] if i else []
                layers.append(_Layers([_zoo_conv(sizes[i] if j == 0 else w, w, 3) for j in range(3)], "convolution"))
            self.add_module(name, holding(encoder=_Layers(layers), conv_layer=nn.Conv2d(widths[-1], 2 * latent, 1)))
        w = widths[0]
        layers = [_zoo_conv(w + latent, w, 1), _zoo_conv(w, w, 1), _zoo_conv(w, w, 1)]
        self.fcomb = holding(layers=nn.Sequential(*layers), last_layer=nn.Conv2d(w, classes, 1))
        self.last_conv = holding(convolution=nn.Sequential(nn.Conv2d(w, classes, 1)))  # for its log of training

    def features(self, x: Tensor) -> Tensor:
        return self.unet(x)


class TorchEm(_Port):
    """torch-em: instance normalisation before each convolution, maximum pooling, and a prior net without padding."""

    def __init__(self, widths: list[int], latent: int = 3, classes: int = 2) -> None:
        super().__init__()
        down = [1, *widths]
        up = [2 * widths[-1], *reversed(widths)]
        block = lambda ins, out: _Layers(  # noqa: E731
            [
                nn.InstanceNorm2d(ins),
                nn.Conv2d(ins, out, 3, padding=1),
                nn.ReLU(),
                nn.InstanceNorm2d(out),
                nn.Conv2d(out, out, 3, padding=1),
                nn.ReLU(),
            ],
            "block",
        )
        pairs = list(pairwise(up))
        self.unet = holding(
            encoder=holding(blocks=nn.ModuleList(block(a, b) for a, b in pairwise(down))),
            base=block(widths[-1], 2 * widths[-1]),
            decoder=holding(
                blocks=nn.ModuleList(block(a, b) for a, b in pairs),
                samplers=nn.ModuleList(holding(conv=nn.Conv2d(a, b, 1)) for a, b in pairs),
            ),
        )
        for name, channels in (("prior", 1), ("posterior", 1 + classes)):
            sizes, layers = [channels, *widths], []
            for i, w in enumerate(widths):
                layers += _three(sizes[i], w, pool=i > 0, padding=0)
            self.add_module(name, holding(encoder=_Layers(layers), conv_layer=nn.Conv2d(widths[-1], 2 * latent, 1)))
        w = widths[0]
        layers = [nn.Conv2d(w + latent, w, 1), nn.ReLU(), nn.Conv2d(w, w, 1), nn.ReLU(), nn.Conv2d(w, w, 1), nn.ReLU()]
        self.fcomb = holding(layers=nn.Sequential(*layers), last_layer=nn.Conv2d(w, classes, 1))

    def features(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.unet.encoder.blocks:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.unet.base(x)
        for block, sampler, skip in zip(
            self.unet.decoder.blocks, self.unet.decoder.samplers, reversed(skips), strict=True
        ):
            x = sampler.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
            x = block(torch.cat((x, skip), 1))
        return x


class _PlatipyConv(nn.Module):
    def __init__(self, ins: int, out: int, dims: int, change: str) -> None:
        super().__init__()
        conv, pool = CONV[dims], {2: nn.MaxPool2d, 3: nn.MaxPool3d}[dims]
        transposed, drop = (
            {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims],
            {2: nn.Dropout2d, 3: nn.Dropout3d}[dims],
        )
        self.pre_op = {"": None, "down": pool(2, 2), "up": transposed(ins, out, 2, 2)}[change]
        first, second = conv(ins, out, 3, padding=1), conv(out, out, 3, padding=1)
        self.layers = nn.Sequential(first, nn.ReLU(), drop(0.1), second, drop(0.1), nn.ReLU())

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        x = x if self.pre_op is None else self.pre_op(x)
        return self.layers(x if skip is None else torch.cat((x, skip), 1))


class Platipy(nn.Module):
    """platipy, for images or volumes."""

    def __init__(self, widths: list[int], latent: int = 3, classes: int = 2, dims: int = 2) -> None:
        super().__init__()
        encoder = lambda channels: [  # noqa: E731
            _PlatipyConv([channels, *widths][i], w, dims, "down" if i else "") for i, w in enumerate(widths)
        ]
        up = list(reversed(widths))
        self.unet = holding(
            encoder=nn.ModuleList(encoder(1)),
            decoder=nn.ModuleList(_PlatipyConv(a, b, dims, "up") for a, b in pairwise(up)),
        )
        for name, channels in (("prior", 1), ("posterior", 1 + classes)):
            final = CONV[dims](widths[-1], 2 * latent, 1)
            self.add_module(name, holding(encoder=_Layers(encoder(channels)), final=final))
        w = widths[0]
        layers = [CONV[dims](w + latent, w, 1), nn.ReLU(), CONV[dims](w, w, 1), nn.ReLU()]
        self.fcomb = holding(layers=nn.Sequential(*layers), last_layer=CONV[dims](w, classes, 1))
        self.register_buffer("_pos_weight", torch.ones(classes))

    def features(self, x: Tensor) -> Tensor:
        skips = []
        for block in self.unet.encoder:
            x = block(x)
            skips.append(x)
        for block, skip in zip(self.unet.decoder, skips[-2::-1], strict=True):
            x = block(x, skip)
        return x

    def prior_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        encoded = spatial_mean(self.prior.encoder(x))
        mu, log_sigma = self.prior.final(encoded[(...,) + (None,) * (x.ndim - 2)]).flatten(1).chunk(2, 1)
        return mu.clamp(-1000, 1000), log_sigma.clamp(-10, 10).exp()

    def combined(self, features: Tensor, z: Tensor) -> Tensor:
        return self.fcomb.last_layer(self.fcomb.layers(torch.cat((features, tiled(z, features)), 1)))


class Injection(nn.Module):
    """jenspetersen's network: LeakyReLU, instance normalisation, transposed convolutions, z before the last layers."""

    def __init__(
        self,
        width: int = 4,
        depth: int = 3,
        latent: int = 3,
        classes: int = 2,
        dims: int = 2,
        norm: type[nn.Module] | None = nn.InstanceNorm2d,
        norm_depth: int = 2,
        bottom: bool = False,
        dropout: bool = False,
    ) -> None:
        super().__init__()
        conv, transposed = CONV[dims], {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
        pool, self.dims, self.depth, self.bottom = {2: nn.AvgPool2d, 3: nn.AvgPool3d}[dims], dims, depth, bottom

        def conv_block(ins: int, out: int, count: int, normed: bool, drop: bool) -> list[nn.Module]:
            layers: list[nn.Module] = []
            for i in range(count):
                layers.append(conv(ins if i == 0 else out, out, 3, padding=1))
                layers += [nn.Dropout(0.1)] if drop else []
                layers += [norm(out)] if normed and norm is not None else []
                layers.append(nn.LeakyReLU())
            return layers

        self.task_net = nn.Module()
        for d in range(depth):
            pooled = [pool(2)] if d else []
            ins, out = (1 if d == 0 else width * 2 ** (d - 1)), width * 2**d
            block = conv_block(ins, out, 1 if d == depth - 1 else 2, True, dropout)
            self.task_net.add_module(f"encode-{d}", nn.Sequential(*pooled, *block))
        for d in reversed(range(depth)):
            last, out = d == depth - 1, width * 2**d
            ins = out + latent * bottom if last else 2 * out
            block = conv_block(ins, out, 1 if last else 2, True, dropout)
            up = [transposed(out, out // 2, 3, 2, padding=1, output_padding=1)] if d else []
            self.task_net.add_module(f"decode-{d}", nn.Sequential(*block, *up))
        ins = width + latent * (not bottom)
        for i in range(3):
            self.task_net.add_module(f"reduce-{i}", conv(ins, classes if i == 2 else ins, 1))
        for name, channels in (("prior_net", 1), ("posterior_net", 1 + classes)):
            net = nn.Module()
            for d in range(depth):
                pooled = [pool(2)] if d else []
                ins, out = (channels if d == 0 else width * 2 ** (d - 1)), width * 2**d
                end = [conv(out, 2 * latent, 1, bias=False)] if d == depth - 1 else []
                net.add_module(
                    f"encode_{d}", nn.Sequential(*pooled, *conv_block(ins, out, 2, d < norm_depth, False), *end)
                )
            self.add_module(name, net)

    def features(self, x: Tensor) -> Tensor:
        blocks = self.task_net._modules
        skips = []
        for d in range(self.depth):
            x = blocks[f"encode-{d}"](x)
            skips.append(x)
        x = blocks[f"decode-{self.depth - 1}"](x)
        for d in reversed(range(self.depth - 1)):
            x = blocks[f"decode-{d}"](torch.cat((skips[d], x), 1))
        return x

    def prior_of(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for d in range(self.depth):
            x = self.prior_net._modules[f"encode_{d}"](x)
        mu, log_variance = spatial_mean(x).chunk(2, 1)
        return mu, (0.5 * log_variance).exp()

    def combined(self, features: Tensor, z: Tensor) -> Tensor:
        x = torch.cat((features, tiled(z, features)), 1)
        for i in range(3):
            x = self.task_net._modules[f"reduce-{i}"](x)  # without the activations that its constructor makes
        return x


class UqBox(_Port):
    """lightning-uq-box: the port's nets and combiner, over the class logits of any network."""

    def __init__(self, model: nn.Module, widths: list[int], latent: int = 3, classes: int = 2, width: int = 6) -> None:
        super().__init__()
        self.model = model
        for name, channels in (("prior", 1), ("posterior", 2)):
            sizes, layers = [channels, *widths], []
            for i, w in enumerate(widths):
                layers += _three(sizes[i], w, pool=i > 0)
            self.add_module(name, holding(encoder=_Layers(layers), conv_layer=nn.Conv2d(widths[-1], 2 * latent, 1)))
        layers = [nn.Conv2d(classes + latent, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU()]
        self.fcomb = holding(layers=nn.Sequential(*layers), last_layer=nn.Conv2d(width, classes, 1))

    def features(self, x: Tensor) -> Tensor:
        return self.model(x)
