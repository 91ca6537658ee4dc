"""Windows of methods whose logits are a normal distribution."""

from __future__ import annotations

from functools import partial
from itertools import islice

import torch
from torch import Tensor

from fastpunet.models.method import Encoding
from fastpunet.models.ssn import SSN, NormalLogits
from fastpunet.uncompiled import not_compiled
from fastpunet.windows.methods import Windowed
from fastpunet_kernels import LowRankLogits


class WindowedNormal(Windowed):
    """A stochastic segmentation network, whose mean, factors and standard deviation are blended.

    The blended logits are those of all windows, drawn with the same noise of the factors in every window and the same
    noise at a pixel. So the variance of the pixels' own noise does not fall where windows overlap.
    """

    inner: SSN

    @partial(not_compiled, what_it_calls=True)  # one window is compiled, not the loop over all
    def encode_large(self, images: Tensor) -> Encoding:
        count, size, inner = len(images), tuple(images.shape[2:]), self.inner
        leads = ((count, inner.num_classes), (count, inner.rank, inner.num_classes), (count, inner.num_classes))
        blended = [torch.zeros((*lead, *size), device=images.device) for lead in leads]
        windows = self.windows(size, images.device)
        while some := list(islice(windows, self.at_once(images))):
            normal = inner.distribution(torch.cat([images[window.place] for window in some]))
            for whole, parts in zip(blended, normal, strict=True):
                for window, its in zip(some, parts.split(count), strict=True):
                    whole[window.place].addcmul_(its.unflatten(-1, window.weights.shape), window.weights)
        return NormalLogits(count, size, LowRankLogits(*(part.flatten(-len(size)) for part in blended)))
