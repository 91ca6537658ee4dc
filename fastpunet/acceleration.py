"""The reference's own loop, `model(patch, None, training=False)` then `model.sample()` again and again, made fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.models import ProbabilisticUNet, foreign
from fastpunet.models.fcomb import SplitFComb, split_fcomb
from fastpunet_kernels import automatic_precision, decode_samples, fixed_precision


def accelerate(model: nn.Module) -> nn.Module:
    """Rebind `model.sample(testing=False)` so that it decodes on this engine; returns the model, changed in place.

    For models with the PyTorch port's interface: a forward pass that leaves `unet_features` and
    `prior_latent_space` behind, and `sample`. Latents come from that distribution, hence from torch's global
    generator, as before: the same hypotheses in the same order, to rounding. The features' share of f_comb's first
    layer is computed once a forward pass. Where a gradient is wanted, the model's own f_comb runs.
    `del model.sample` undoes it.
    Raises TypeError for a model without these parts.
    """
    foreign.check_model(model)
    if not callable(getattr(model, "sample", None)) or isinstance(model, ProbabilisticUNet):
        raise TypeError(
            f"model: got {type(model).__name__}, expected a model with the PyTorch port's forward and sample; "
            "for others call fastpunet.sample(model, images, n)"
        )
    model.sample = _fast_sample(model)  # type: ignore[assignment]
    return model


def _fast_sample(model: Any) -> Callable[..., Tensor]:
    held: tuple[Tensor, tuple[object, ...], Tensor, SplitFComb] | None = None

    def sample(testing: bool = False) -> Tensor:
        nonlocal held
        features, prior = model.unet_features, model.prior_latent_space
        z = prior.sample() if testing else prior.rsample()
        model.z_prior_sample = z
        if torch.is_grad_enabled() and (features.requires_grad or z.requires_grad):
            return model.fcomb(features, z)
        precision = automatic_precision(features.device)
        parameters = model.fcomb.parameters()
        state = (precision, features._version, *(parameter._version for parameter in parameters))
        if held is None or held[0] is not features or held[1] != state:
            split = split_fcomb(model.fcomb, z.shape[1])
            with fixed_precision(precision, features.device), torch.no_grad():
                held = features, state, split.base(features.float()), split
        _, _, base, split = held
        logits = decode_samples(base, split.decoder, z.float()[:, None], output="logits", precision=precision)
        return logits[:, 0].unflatten(-1, features.shape[-2:]).to(features.dtype)

    return sample
