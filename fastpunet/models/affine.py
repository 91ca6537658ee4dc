"""Reads modules that act on each pixel separately as affine maps with (leaky) ReLUs between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd

_LAST = {nn.Sigmoid: "sigmoid", nn.Softmax: "softmax", nn.Softmax2d: "softmax", nn.LogSoftmax: "log-softmax"}
_WHOLE = (_ConvNd, nn.Linear, _BatchNorm, nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Identity, _DropoutNd, *_LAST)


@dataclass(frozen=True, eq=False)
class Affine:
    """x -> weight x + bias, then an activation that multiplies negative values by `slope`.

    A slope of 0 is a ReLU, a slope of 1 is no activation at all. A tensor (out,) holds one slope for each channel.
    """

    weight: Tensor  # (out, in)
    bias: Tensor  # (out,)
    slope: float | Tensor = 1.0

    def then(self, following: Affine) -> Affine:
        """This map followed by another, as one map, computed in float64. This one must have no activation."""
        outer, inner = following.weight.double(), self.weight.double()
        return Affine(outer @ inner, outer @ self.bias.double() + following.bias.double(), following.slope)


def leaves(module: nn.Module) -> Iterator[nn.Module]:
    """The modules inside in the order of their registration; those that this file can read are not divided further."""
    children = list(module.children())
    if isinstance(module, _WHOLE) or (not children and not isinstance(module, (nn.Sequential, nn.ModuleList))):
        yield module
    else:
        for child in children:
            yield from leaves(child)


def is_pointwise(module: nn.Module) -> bool:
    """Whether a module is one layer that this file can read, which acts on each pixel separately."""
    if isinstance(module, _ConvNd):
        return all(size == 1 for size in module.kernel_size)
    return isinstance(module, _WHOLE)


def read_layers(modules: Iterable[nn.Module]) -> tuple[list[Affine], str | None]:
    """Read modules that run one after another as affine maps; also name the last sigmoid or (log-)softmax, if any.

    Every map but the last has an activation. BatchNorm is read as in evaluation mode and folded into a neighbour.
    Raises ValueError, with the reason, for modules that cannot be read this way.
    """
    layers: list[Affine] = []
    pending: Affine | None = None  # the layers since the last activation, as one map
    last: str | None = None
    for module in modules:
        if isinstance(module, (nn.Identity, _DropoutNd)):  # dropout does nothing in evaluation mode
            continue
        if last is not None:
            raise ValueError(f"a {last} before the last layer")
        last = _last_activation(module)
        if last is not None:
            continue
        if isinstance(module, (nn.ReLU, nn.LeakyReLU, nn.PReLU)):
            pending = _identity_after(layers) if pending is None else pending
            layers.append(replace(pending, slope=_slope(module, pending.bias)))
            pending = None
        else:
            read = _read_affine(module)
            _check_width(layers if pending is None else [pending], read)
            pending = read if pending is None else pending.then(read)
    layers.append(_identity_after(layers) if pending is None else pending)
    return layers, last


def _check_width(before: list[Affine], after: Affine) -> None:
    if before and before[-1].weight.shape[0] != after.weight.shape[1]:
        raise ValueError(f"{before[-1].weight.shape[0]} channels before a layer that takes {after.weight.shape[1]}")


def _identity_after(layers: list[Affine]) -> Affine:
    """The identity map as wide as the output of these layers."""
    if not layers:
        raise ValueError("no layer of weights before its first activation")
    bias = layers[-1].bias
    return Affine(torch.eye(bias.numel(), dtype=bias.dtype, device=bias.device), torch.zeros_like(bias))


def _last_activation(module: nn.Module) -> str | None:
    name = next((name for kind, name in _LAST.items() if isinstance(module, kind)), None)
    if isinstance(module, (nn.Softmax, nn.LogSoftmax)) and module.dim == 0:
        raise ValueError(f"a {name} over the images of a batch")
    return name


def _slope(module: nn.Module, bias: Tensor) -> float | Tensor:
    if isinstance(module, nn.LeakyReLU):
        return float(module.negative_slope)
    if isinstance(module, nn.PReLU):
        if module.num_parameters not in (1, bias.numel()):
            raise ValueError(f"a PReLU of {module.num_parameters} slopes after {bias.numel()} channels")
        return module.weight.detach().expand_as(bias)
    return 0.0


def _read_affine(module: nn.Module) -> Affine:
    if isinstance(module, _BatchNorm):
        return _read_batch_norm(module)
    if isinstance(module, _ConvNd) and not isinstance(module, _ConvTransposeNd):
        _check_pointwise(module)
        weight, groups = module.weight.detach().flatten(1), module.groups
    elif isinstance(module, nn.Linear):
        weight, groups = module.weight.detach(), 1
    else:
        raise ValueError(f"the module {type(module).__name__}")
    if groups > 1:
        weight = torch.block_diag(*weight.chunk(groups))
    bias = weight.new_zeros(weight.shape[0]) if module.bias is None else module.bias.detach()
    return Affine(weight, bias)


def _check_pointwise(conv: _ConvNd) -> None:
    if any(size != 1 for size in conv.kernel_size):
        raise ValueError(f"a convolution of kernel size {_times(conv.kernel_size)}")
    if any(step != 1 for step in conv.stride):
        raise ValueError(f"a convolution with stride {_times(conv.stride)}")
    if not isinstance(conv.padding, str) and any(width != 0 for width in conv.padding):
        raise ValueError(f"a 1x1 convolution with padding {_times(conv.padding)}")


def _times(values: Iterable[int]) -> str:
    return " x ".join(map(str, values))


def _read_batch_norm(norm: _BatchNorm) -> Affine:
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError(f"a {type(norm).__name__} without running statistics, which depends on the whole batch")
    mean, scale = norm.running_mean.detach().double(), (norm.running_var.detach().double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    bias = 0 if norm.bias is None else norm.bias.detach().double()
    return Affine(torch.diag(scale), bias - mean * scale)
