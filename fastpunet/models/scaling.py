"""Changes of a trained model that calibrate it: a wider or narrower prior, a shift and a temperature of its logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fastpunet.models import Method
from fastpunet.models.header_entries import hand_on


@dataclass(frozen=True)
class Scaling:
    """What calibration changes; the default changes nothing.

    prior_scale  sigma of the prior is multiplied by it (`ProbabilisticUNet`)
    shift        is added to the logits of binary models: above 0 masks grow, and fewer of them are empty
    temperature  logits are divided by it, which changes probabilities but no label (Guo et al. 2017, arXiv 1706.04599)
    """

    prior_scale: float = 1.0
    shift: float = 0.0
    temperature: float = 1.0

    def __str__(self) -> str:
        """In words.

        >>> print(Scaling(1.25, -0.5))
        sigma of the prior x 1.25, logits - 0.50
        """
        parts = [
            f"sigma of the prior x {self.prior_scale:.2f}" if self.prior_scale != 1 else "",
            f"logits {'+' if self.shift > 0 else '-'} {abs(self.shift):.2f}" if self.shift else "",
            f"logits / {self.temperature:.2f}" if self.temperature != 1 else "",
        ]
        return ", ".join(filter(None, parts)) or "nothing"


def has_prior_scale(model: Method) -> bool:
    """Whether the prior of such a model can be scaled."""
    return "prior_scale" in model.config


@torch.no_grad()
def scaled(model: Method, scaling: Scaling) -> Method:
    """A copy of a model, on its device, with the scaling folded into its architecture and its last layers' weights.

    Every way to draw from the copy, and every file of it, has the scaling. What is known of the images of the training
    is kept; the calibration and the scores are not, because they were those of the other weights.
    """
    config = dict(model.config)
    if scaling.prior_scale != 1:
        config["prior_scale"] = model.config["prior_scale"] * scaling.prior_scale
    with torch.device("meta"):  # shapes alone, which take no time
        copy = type(model)(**config)
    copy.load_state_dict({name: tensor.clone() for name, tensor in model.state_dict().items()}, assign=True)
    copy.rescale(scaling.shift, scaling.temperature)
    hand_on(model, copy)
    return copy.eval()
