"""The reference's own loop, `model(patch, None, training=False)` then `model.sample()` again and again, made fast."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.models import ProbabilisticUNet, foreign
from fastpunet.models.fcomb import split_fcomb
from fastpunet_kernels import automatic_precision, decode_samples, fixed_precision


def accelerate(model: nn.Module) -> nn.Module:
    """Rebind `model.sample(testing=False)` so that it decodes on this engine; returns the model, changed in place.

    For models with the PyTorch port's interface: a forward pass that leaves `unet_features` and
    `prior_latent_space` behind, and `sample`. Latents come from that distribution, hence from torch's global
    generator, as before: the same hypotheses in the same order, to rounding. It works under torch.no_grad() or
    inference_mode; where gradients are recorded the model's own f_comb runs. `del model.sample` undoes it.
    Raises TypeError for a model without these parts.
    """
    foreign.check_model(model)
    if not callable(getattr(model, "sample", None)) or isinstance(model, ProbabilisticUNet):
        raise TypeError(
            f"model: got {type(model).__name__}, expected a model with the PyTorch port's forward and sample; "
            "for others call fastpunet.sample(model, images, n)"
        )
    model.sample = partial(_sample, model)  # type: ignore[assignment]
    return model


def _sample(model: Any, testing: bool = False) -> Tensor:
    """One fresh hypothesis an image, logits (B, K, H, W), of the features and the prior left by the forward pass."""
    features, prior = model.unet_features, model.prior_latent_space
    z = prior.sample() if testing else prior.rsample()
    model.z_prior_sample = z
    if torch.is_grad_enabled():
        return model.fcomb(features, z)
    precision = automatic_precision(features.device)
    split = split_fcomb(model.fcomb, z.shape[1])
    with fixed_precision(precision, features.device):
        base = split.base(features.float())
    logits = decode_samples(base, split.decoder, z.float()[:, None], output="logits", precision=precision)
    return logits[:, 0].unflatten(-1, features.shape[-2:]).to(features.dtype)
