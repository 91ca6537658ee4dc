"""Hypotheses as a MONAI inferer, for MONAI's evaluators and transforms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from torch import Tensor, nn, tensor

from fastpunet.arguments import check_choice, check_count
from fastpunet.hypotheses import summarize
from fastpunet.latents import check_seed
from fastpunet.optional import needed_for
from fastpunet.prediction.planning import id_of
from fastpunet.sampler import sample
from fastpunet.windows import windowed
from fastpunet_kernels import OUTPUTS

with needed_for("the inferer for MONAI", "train"):
    from monai.data import MetaTensor
    from monai.inferers import Inferer
    from monai.utils import convert_to_dst_type

MAPS = ("mean", "entropy", "mutual_information")
_CHOICES = (*OUTPUTS, *MAPS, "summary")


class HypothesisInferer(Inferer):
    """Draws n hypotheses of every image: `inferer(inputs, network)`, as MONAI calls all its inferers.

    n         hypotheses of each image
    output    what a call returns, for images (B, C, *size) of a model with K classes, and K' = K but 1 if it is binary:
              "labels"              class indices uint8 (B, n, *size): a hypothesis is a channel
              "probs", "logits"     float32 (B, n K', *size): the classes of the first hypothesis, then the next
              "mean"                mean probability float32 (B, K', *size)
              "entropy", "mutual_information"   float32 (B, 1, *size), nats
              "summary", "bits"     a `fastpunet.Summary`; `fastpunet.PackedMasks`. They hold plain tensors
    roi_size  the size of windows, as of `fastpunet.windowed`: windows share one latent for each hypothesis. None: the
              whole image passes the network at once
    overlap   of windows, 0 <= overlap < 1
    seed      as of `fastpunet.sample`; None takes a fresh one for each call

    The other arguments are those of `fastpunet.sample`. The id of an image is a function of its file's name, where
    MONAI's metadata has one, so that hypotheses do not depend on batches and their order; without a name it is the
    place in the batch. A MetaTensor gives MetaTensors with its affine and its applied transforms, so that `Invertd` and
    `SaveImaged` bring the channels back to the image's own grid. The network is any model that `fastpunet.sample`
    takes.

    Raises ValueError or TypeError, naming the argument, here or when called.

    >>> import fastpunet, torch
    >>> inferer = HypothesisInferer(n=16, seed=0)
    >>> inferer(torch.zeros(2, 1, 64, 64), fastpunet.load("lesions")).shape
    torch.Size([2, 16, 64, 64])
    """

    def __init__(
        self,
        n: int = 1000,
        output: str = "labels",
        *,
        roi_size: int | Sequence[int] | None = None,
        overlap: float = 0.5,
        seed: int | None = None,
        precision: str = "auto",
        backend: str = "auto",
        sampler: str = "random",
        chunk: int | None = None,
    ) -> None:
        self.n = check_count("n", n)
        check_choice("output", output, _CHOICES)
        if seed is not None:
            check_seed(seed)
        self.output, self.roi_size, self.overlap, self.seed = output, roi_size, overlap, seed
        self._options: dict[str, Any] = dict(precision=precision, backend=backend, sampler=sampler, chunk=chunk)

    def __call__(self, inputs: Tensor, network: nn.Module) -> Any:
        """What `output` says of images float (B, C, *size), on the network's device."""
        model = network if self.roi_size is None else windowed(network, self.roi_size, self.overlap)
        images = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        options = {**self._options, "seed": self.seed, "ids": _ids(inputs)}
        if self.output in OUTPUTS:
            drawn = sample(model, images, self.n, output=self.output, **options)
            if self.output == "bits":
                return drawn
            channels = drawn if self.output == "labels" else drawn.flatten(1, 2)
        else:
            summary = summarize(model, images, self.n, **options)
            if self.output == "summary":
                return summary
            channels = summary.mean if self.output == "mean" else getattr(summary, self.output)[:, None]
        return convert_to_dst_type(channels, inputs, dtype=channels.dtype)[0]


def _ids(inputs: Tensor) -> Tensor | None:
    """The ids int64 (B,) of images that know their files' names; None if they do not."""
    names = inputs.meta.get("filename_or_obj") if isinstance(inputs, MetaTensor) else None
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or len(names) != len(inputs) or not all(isinstance(name, str) for name in names):
        return None
    return tensor([id_of(PurePath(name).name) for name in names])
