"""lightning-uq-box: the port's nets and combiner around any network, whose class logits are the features."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fastpunet.models.peers.found import Found
from fastpunet.models.peers.reading import Block, Reader, declared

UNET = "model."  # the names of the network that was chosen for it


def read(state: Mapping[str, Tensor]) -> Found:
    """Everything but the network itself, which names and shapes do not tell; its weights keep their names."""
    metrics = ("train_metrics.", "val_metrics.", "test_metrics.", "criterion.")
    reader = Reader(state, ignored=("posterior.", UNET, *metrics))
    prior, position = Block(reader, "prior.layers"), 0
    for k in reader.positions("prior.encoder.layers"):
        if k == position + 1:
            prior.plain("average-pool", True)
        elif k != position:
            raise ValueError(f"prior.encoder.layers.{k} stands where the layers before it cannot be told")
        prior.conv(f"prior.encoder.layers.{k}").plain("relu")
        position = k + 2
    prior.plain("global-mean").conv("prior.conv_layer")
    combiner = Block(reader, "fcomb.layers")
    for i in range(reader.count("fcomb.layers.{}", step=2)):
        combiner.conv(f"fcomb.layers.{2 * i}").plain("relu")
    combiner.conv("fcomb.last_layer")
    found = declared("lightning-uq-box", reader, None, prior, combiner)
    return found._replace(
        state={
            **found.state,
            **{
                f"model.unet.{name.removeprefix(UNET)}": tensor
                for name, tensor in state.items()
                if name.startswith(UNET)
            },
        }
    )
