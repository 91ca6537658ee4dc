"""Converts what prior nets return, in all the forms that published code uses, to the priors of `models.priors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from fastpunet.models.priors import AxisAligned, LowRank, Mixture, OfNormals

_ADVICE = "say what it means with fastpunet.adapt(model, encode=..., combiner=...)"
_MEANS = ("mu", "mean", "loc")
_SCALES = {
    **dict.fromkeys(("sigma", "std", "stddev", "scale"), lambda x: x),
    **dict.fromkeys(("log_sigma", "logsigma", "log_std", "logstd", "log_scale"), torch.exp),
    **dict.fromkeys(("log_var", "logvar", "log_variance"), lambda x: (x / 2).exp()),
    **dict.fromkeys(("var", "variance"), torch.sqrt),
}


def find_distribution(returned: Any) -> Any:
    """Find the distribution in what a prior net returned: itself, or the only one in a tuple, list or dict.

    Named statistics, such as {"mu": ..., "log_var": ...} or a namedtuple, become a Normal. Raises TypeError if there
    is no distribution, or more than one.
    """
    if is_distribution(returned):
        return returned
    named = returned._asdict() if hasattr(returned, "_asdict") else returned
    entries = list(named.values()) if isinstance(named, Mapping) else named
    if isinstance(entries, (tuple, list)):
        found = [entry for entry in entries if is_distribution(entry)]
        if len(found) == 1:
            return found[0]
        if not found and isinstance(named, Mapping):
            return _of_statistics(named)
    raise TypeError(
        f"model: its prior gives {describe(returned)}, from which its distribution cannot be found; {_ADVICE}"
    )


def is_distribution(value: Any) -> bool:
    return callable(getattr(value, "sample", None)) or callable(getattr(value, "rsample", None))


def closed_form(distribution: Any, images: int) -> OfNormals | None:
    """The distribution over (B, latent_dim) as a function of standard normals; None if it is of another family.

    Only the classes of torch.distributions themselves are read. A subclass, or an object whose `sample` has been
    replaced, may draw in another way.
    """
    kind = type(distribution)
    if {"sample", "rsample"} & vars(distribution).keys():
        return None
    if kind is Independent:
        inner = distribution.base_dist
        return closed_form(inner, images) if type(inner) is Normal else None
    if kind is Normal:
        return AxisAligned(_rows(distribution.loc, images), _rows(distribution.scale, images))
    if kind is MultivariateNormal and len(distribution.batch_shape) <= 1:
        return LowRank(_rows(distribution.loc, images), _matrices(distribution.scale_tril, images))
    if kind is LowRankMultivariateNormal and len(distribution.batch_shape) <= 1:
        mean, factor = _rows(distribution.loc, images), _matrices(distribution.cov_factor, images)
        return LowRank(mean, factor, _rows(distribution.cov_diag, images).sqrt())
    if kind is MixtureSameFamily and len(distribution.batch_shape) <= 1:
        return _mixture(distribution, images)
    return None


def describe(value: Any) -> str:
    """A short description of a value, for error messages."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {describe(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(describe, value))})"
    return f"a {type(value).__name__}"


def _of_statistics(named: Mapping[Any, Any]) -> Normal:
    values = {str(key).lower().removeprefix("prior_"): value for key, value in named.items()}
    means = [name for name in _MEANS if isinstance(values.get(name), Tensor)]
    scales = [name for name in _SCALES if isinstance(values.get(name), Tensor)]
    if len(means) != 1 or len(scales) != 1:
        raise TypeError(
            f"model: its prior gives {describe(named)}, expected a distribution, or one mean ({', '.join(_MEANS)}) and "
            f"one of {', '.join(_SCALES)}; {_ADVICE}"
        )
    return Normal(values[means[0]], _SCALES[scales[0]](values[scales[0]]), validate_args=False)


def _rows(parameter: Tensor, images: int) -> Tensor:
    """Bring (B, latent_dim), (B, latent_dim, 1, 1), or (latent_dim,) for all images alike, to (B, latent_dim)."""
    rows = parameter[None] if parameter.ndim == 1 else parameter
    if any(size != 1 for size in rows.shape[2:]) or rows.shape[0] not in (1, images) or rows.ndim < 2:
        raise TypeError(
            f"model: its prior has parameters {tuple(parameter.shape)}, expected (B, latent_dim) for {images} images; "
            "latents that differ from pixel to pixel are not supported"
        )
    return rows.flatten(1).expand(images, -1).float().contiguous()


def _matrices(parameter: Tensor, images: int) -> Tensor:
    matrices = parameter[None] if parameter.ndim == 2 else parameter
    return matrices.expand(images, -1, -1).float().contiguous()


def _mixture(distribution: MixtureSameFamily, images: int) -> Mixture | None:
    components = distribution.component_distribution
    parts = [_component(components, i) for i in range(components.batch_shape[-1])]
    read = [None if part is None else closed_form(part, images) for part in parts]
    if any(part is None for part in read):
        return None
    weights = distribution.mixture_distribution.probs
    weights = (weights[None] if weights.ndim == 1 else weights).expand(images, -1).float()
    return Mixture(weights.contiguous(), tuple(part for part in read if part is not None))


def _component(components: Distribution, i: int) -> Distribution | None:
    """Component i of a batch of distributions (..., components)."""
    if type(components) is Independent and type(components.base_dist) is Normal:
        inner = components.base_dist
        if components.reinterpreted_batch_ndims != 1:
            return None
        return Independent(
            Normal(inner.loc[..., i, :], inner.scale[..., i, :], validate_args=False), 1, validate_args=False
        )
    if type(components) is MultivariateNormal:
        return MultivariateNormal(
            components.loc[..., i, :], scale_tril=components.scale_tril[..., i, :, :], validate_args=False
        )
    if type(components) is LowRankMultivariateNormal:
        factor, diagonal = components.cov_factor[..., i, :, :], components.cov_diag[..., i, :]
        return LowRankMultivariateNormal(components.loc[..., i, :], factor, diagonal, validate_args=False)
    return None
