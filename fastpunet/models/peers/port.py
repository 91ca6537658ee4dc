"""The PyTorch port (stefanknegt/Probabilistic-Unet-Pytorch) and its forks, whose names our ProbabilisticUNet shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from fastpunet.models.peers.found import Found

ASSUMED = (
    "blocks begin with average pooling and consist of 3x3 convolutions with a ReLU behind each",
    "up-sampling is linear with align_corners, and comes before the skip in the concatenation",
    "f_comb concatenates the features before the latents, and has a ReLU between its layers",
)


def read(state: Mapping[str, Tensor]) -> Found:
    config = infer_config(state)
    return Found(
        "the PyTorch port", "ProbabilisticUNet", config, state, ASSUMED, config["posterior_input"] == "one-hot"
    )


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The architecture of a state dict with the port's names. Raises ValueError for any other model's."""
    try:
        first = _layers(state, "unet.contracting_path.0.layers.")
        scales = len({name.split(".")[2] for name in state if name.startswith("unet.contracting_path.")})
        fcomb = _layers(state, "fcomb.layers.")
        image_channels = first[0].shape[1]
        classes = state["fcomb.last_layer.weight"].shape[0]
        width = fcomb[0].shape[0]
        mask_channels = state["posterior.encoder.layers.0.weight"].shape[1] - image_channels
        return dict(
            in_channels=image_channels,
            num_classes=classes,
            channels=[_layers(state, f"unet.contracting_path.{i}.layers.")[0].shape[0] for i in range(scales)],
            latent_dim=state["posterior.conv_layer.weight"].shape[0] // 2,
            latent_maps=state["prior.map_layer.weight"].shape[0] // 2 if "prior.map_layer.weight" in state else 0,
            fcomb_channels=None if width == first[0].shape[0] else width,
            convs_per_block=len(first),
            fcomb_layers=len(fcomb) + 1,
            posterior_input="one-hot" if mask_channels == classes > 1 else "mask",
            log_sigma_bound=None,
            prior_scale=1.0,
            dims=first[0].ndim - 2,
            kernel_sizes=None,
            pool_sizes=None,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            "not a Probabilistic U-Net whose names are known (those of the PyTorch port are unet.contracting_path, "
            f"prior, posterior, fcomb): {error}; found {', '.join(list(state)[:4]) or 'nothing'} ..."
        ) from None


def _layers(state: Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    weights = [name for name in state if name.startswith(prefix) and name.endswith(".weight")]
    if not weights:
        raise KeyError(f"no {prefix}*.weight")
    return [state[name] for name in sorted(weights, key=lambda name: int(name.split(".")[-2]))]
