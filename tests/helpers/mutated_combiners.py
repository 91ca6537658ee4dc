"""Combiners and models around them, mutated along many axes at once; each is a function of its index.

Every value of every axis occurs in many of them. Some are refused, which is right where nothing else can be.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from helpers.peers import L, Peer, Prior, Unet

WIDTH = 12
Axis = dict[str, Any]


class _Functional(nn.Module):
    """An activation without a module of its own kind."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _tiled(z: Tensor, features: Tensor) -> Tensor:
    return z.reshape(*z.shape[:2], 1, 1).expand(-1, -1, *features.shape[2:])


CONCATENATIONS: Axis = {
    "z last": lambda f, z: torch.cat((f, _tiled(z, f)), 1),
    "z first": lambda f, z: torch.cat((_tiled(z, f), f), 1),
    "z in the middle": lambda f, z: torch.cat((f[:, :4], _tiled(z, f), f[:, 4:]), 1),
    "features reversed": lambda f, z: torch.cat((f.flip(1), _tiled(z, f)), 1),
    "z scaled": lambda f, z: torch.cat((f, 2 * _tiled(z, f)), 1),
    "z by repeat": lambda f, z: torch.cat((f, z.reshape(*z.shape[:2], 1, 1).repeat(1, 1, *f.shape[2:])), 1),
}
ACTIVATIONS: Axis = {
    "ReLU": nn.ReLU,
    "ReLU in place": partial(nn.ReLU, inplace=True),
    "LeakyReLU": partial(nn.LeakyReLU, 0.2),
    "PReLU": nn.PReLU,
    "SiLU": nn.SiLU,
    "GELU": nn.GELU,
    "ELU": nn.ELU,
    "ReLU6": nn.ReLU6,
    "Softplus": nn.Softplus,
    "F.relu": partial(_Functional, F.relu),
    "clamp": partial(_Functional, lambda x: x.clamp(min=0)),
    "none": nn.Identity,
}
LAYERS: Axis = {
    "two": lambda conv, _: [conv(WIDTH, WIDTH)],
    "five": lambda conv, act: [conv(WIDTH, WIDTH), act(), conv(WIDTH, WIDTH), act(), conv(WIDTH, WIDTH), act()],
    "BatchNorm": lambda conv, _: [conv(WIDTH, WIDTH), nn.BatchNorm2d(WIDTH)],
    "BatchNorm of the batch": lambda conv, _: [conv(WIDTH, WIDTH), nn.BatchNorm2d(WIDTH, track_running_stats=False)],
    "InstanceNorm": lambda conv, _: [conv(WIDTH, WIDTH), nn.InstanceNorm2d(WIDTH)],
    "GroupNorm": lambda conv, _: [nn.GroupNorm(3, WIDTH), conv(WIDTH, WIDTH)],
    "3 x 3": lambda *_: [nn.Conv2d(WIDTH, WIDTH, 3, padding=1)],
    "3 x 3, reflected": lambda *_: [nn.Conv2d(WIDTH, WIDTH, 3, padding=1, padding_mode="reflect")],
    "3 x 3, unpadded": lambda *_: [nn.Conv2d(WIDTH, WIDTH, 3)],
    "stride": lambda *_: [nn.Conv2d(WIDTH, WIDTH, 1, stride=2)],
    "stride and back": lambda *_: [nn.Conv2d(WIDTH, WIDTH, 1, stride=2), nn.Upsample(scale_factor=2)],
    "padding": lambda *_: [nn.Conv2d(WIDTH, WIDTH, 1, padding=1)],
    "groups": lambda *_: [nn.Conv2d(WIDTH, WIDTH, 1, groups=3, bias=False)],
    "dropout": lambda conv, _: [nn.Dropout2d(0.5), conv(WIDTH, WIDTH), nn.Dropout(0.3)],
    "residual": lambda conv, act: [_Residual(nn.Sequential(conv(WIDTH, WIDTH), act(), conv(WIDTH, WIDTH)))],
    "shared": lambda conv, act: _shared(conv(WIDTH, WIDTH), act),
    "transposed": lambda *_: [nn.ConvTranspose2d(WIDTH, WIDTH, 1)],
    "pooling of all": lambda *_: [_Functional(lambda x: x + x.mean((2, 3), keepdim=True))],
}
ENDS: Axis = {
    "nothing": lambda x: x,
    "scale": lambda x: 0.5 * x,
    "softmax": lambda x: x.softmax(1),
    "softmax module": nn.Softmax(1),
    "log-softmax": lambda x: x.log_softmax(1),
    "sigmoid": lambda x: x.sigmoid(),
    "clamp": lambda x: x.clamp(-3, 3),
    "flip of classes": lambda x: x.flip(1),
    "shift": lambda x: x.roll(1, 3),
    "tuple": lambda x: (x, x.mean()),
    "argmax": lambda x: x.argmax(1),
    "rounding": lambda x: x.round(decimals=1),
}
WEIGHTS: Axis = {
    "plain": lambda conv: conv,
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "old spectral norm": nn.utils.spectral_norm,
}
MODULES: Axis = {
    "plain": lambda _: None,
    "hook on the output": lambda combiner: combiner.register_forward_hook(lambda *seen: _times_two(seen[-1])),
    "hook on a layer": lambda combiner: combiner.net[0].register_forward_hook(lambda *seen: seen[-1] + 1),
    "hook on the input": lambda combiner: combiner.register_forward_pre_hook(lambda _, args: (args[0] / 2, args[1])),
    "forward replaced": lambda combiner: _negate_latents(combiner),
    "compiled": lambda combiner: combiner.compile(backend="eager"),
}
STATES: Axis = {
    "float32": lambda model: model,
    "in training": lambda model: model.train(),
    "float64": lambda model: model.double(),
    "bfloat16": lambda model: model.bfloat16(),
    "channels last": lambda model: model.to(memory_format=torch.channels_last),
}
CALLS: Axis = {
    "(f, z)": lambda combiner, f, z: combiner(f, z),
    "by keyword": lambda combiner, f, z: combiner(z=z, f=f),
    "with axes": lambda combiner, f, z: combiner(f, z[..., None, None]),
    "forward itself": lambda combiner, f, z: combiner.forward(f, z),
}
AXES = dict(
    concatenation=CONCATENATIONS,
    activation=ACTIVATIONS,
    layers=LAYERS,
    end=ENDS,
    weights=WEIGHTS,
    modules=MODULES,
    state=STATES,
    call=CALLS,
)


def _times_two(output: Any) -> Any:
    return 2 * output if isinstance(output, Tensor) else output


def _negate_latents(combiner: nn.Module) -> None:
    combiner.forward = lambda f, z: type(combiner).forward(combiner, f, -z)


def _shared(conv: nn.Module, activation: Callable[[], nn.Module]) -> list[nn.Module]:
    return [conv, activation(), conv, activation(), conv]


class _Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class MutatedCombiner(nn.Module):
    def __init__(self, axes: dict[str, str]) -> None:
        super().__init__()
        self.axes, weights, activation = axes, WEIGHTS[axes["weights"]], ACTIVATIONS[axes["activation"]]

        def conv(ins: int, outs: int) -> nn.Module:
            return weights(nn.Conv2d(ins, outs, 1))

        middle = LAYERS[axes["layers"]](conv, activation)
        self.net = nn.Sequential(conv(WIDTH + L, WIDTH), activation(), *middle, activation(), conv(WIDTH, 3))
        for module in self.net.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
        MODULES[axes["modules"]](self)

    def forward(self, f: Tensor, z: Tensor) -> Any:
        return ENDS[self.axes["end"]](self.net(CONCATENATIONS[self.axes["concatenation"]](f, z)))


class MutatedPeer(Peer):
    def __init__(self, axes: dict[str, str]) -> None:
        super().__init__(Unet(width=WIDTH), Prior(), MutatedCombiner(axes))
        self.call = axes["call"]

    def combined(self, x: Tensor, z: Tensor) -> Any:
        Peer.forward(self, x)
        return CALLS[self.call](self.fcomb, self.unet_features, z)

    def sample(self, testing: bool = False) -> Any:  # noqa: ARG002
        return CALLS[self.call](self.fcomb, self.unet_features, self.prior_latent_space.sample())


def mutation(index: int) -> dict[str, str]:
    """The values of all axes: those of the port but for one, which goes through all in turn, and up to three others."""
    usual = {name: next(iter(axis)) for name, axis in AXES.items()}
    everything = [(name, value) for name, axis in AXES.items() for value in axis]
    rng = random.Random(index)
    first = everything[index % len(everything)]
    others = rng.sample(everything, index // len(everything) % 4)
    return {**usual, **dict(others), first[0]: first[1]}


def mutated_model(index: int) -> MutatedPeer:
    torch.manual_seed(index)
    axes = mutation(index)
    model: MutatedPeer = STATES[axes["state"]](MutatedPeer(axes).eval())
    return model
