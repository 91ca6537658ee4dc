"""Initialises a model before training: with random weights, or with those of a checkpoint."""

from __future__ import annotations

import numpy as np
import torch

from fastpunet.arguments import named_argument
from fastpunet.data import Records
from fastpunet.models import Method, checkpoint

_LOOKED_AT = 256


def set_weights_of(model: Method, source: str) -> None:
    """Take the weights of a checkpoint, or of shipped weights by their name, and what is known of its training images.

    Raises ValueError if there is none, or it is of another method or architecture.
    """
    try:
        other = checkpoint.load(source)
    except (ValueError, OSError) as error:
        raise ValueError(f"init_from: {named_argument(str(error))[1]}") from None
    if type(other) is not type(model):
        raise ValueError(
            f"init_from: {source} is a {type(other).__name__}, expected a {type(model).__name__}, the method of the "
            "config"
        )
    keys = {**other.config, **model.config}
    odd = {key: other.config.get(key) for key in keys if other.config.get(key) != model.config.get(key)}
    if odd:
        wanted = {key: model.config.get(key) for key in odd}
        raise ValueError(
            f"init_from: {source} has {odd}, expected {wanted} as in the config; set these keys of model to those of "
            "the weights"
        )
    model.load_state_dict(other.state_dict())
    model.training_images = other.training_images


@torch.no_grad()
def set_output_bias(model: Method, records: Records) -> None:
    """Set the output layers' biases to the log odds (binary) or log frequency (multi-class) of the labels.

    Before training the network then predicts how frequent each class is, instead of one half everywhere (the
    initialisation of Lin et al. 2017, arXiv 1708.02002, section 4.1). Otherwise the model learns these frequencies in
    the first hundred steps by means of the latent, and sigma of prior and posterior diverge.
    """
    counts = np.zeros(max(2, model.num_classes))
    for index in np.linspace(0, len(records) - 1, min(len(records), _LOOKED_AT)).astype(int):
        record = records[int(index)]
        weights = np.ones(len(record.masks)) if record.weights is None else record.weights
        for mask, weight in zip(record.masks, weights, strict=True):
            counts += weight * np.bincount(mask.ravel(), minlength=len(counts))[: len(counts)]
    frequency = torch.from_numpy((counts + 1) / (counts + 1).sum()).float()
    bias = frequency.log() if model.num_classes > 1 else (frequency[1:] / frequency[:1]).log()
    for layer in model.output_layers():
        assert layer.bias is not None
        layer.bias.copy_(bias.repeat(layer.out_channels // len(bias)))
