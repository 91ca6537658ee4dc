"""The model of one rater, out of a model that tells raters apart."""

from __future__ import annotations

import torch

from fastpunet.models.header_entries import hand_on
from fastpunet.models.method import Method
from fastpunet.models.prior_names import DIAGONAL
from fastpunet.models.prob_unet import ProbabilisticUNet


@torch.no_grad()
def of_rater(model: Method, rater: str) -> ProbabilisticUNet:
    """A ProbabilisticUNet with a diagonal prior, that of one rater: its hypotheses are the rater's alone.

    It shares the weights of the model but for the prior's last layer, of which it has the rater's part. A file of it
    is one of the published architecture. What is known of the images and of the making is handed on; calibration and
    scores, which were those of all raters together, are not. Raises TypeError for a model that does not tell raters
    apart, and ValueError for an unknown rater.

    >>> model = ProbabilisticUNet(channels=(4, 6), latent_dim=2, prior="raters:ann,bob")
    >>> of_rater(model, "bob").prior.conv_layer.weight.shape
    torch.Size([4, 6, 1, 1])
    """
    raters: tuple[str, ...] = getattr(model, "raters", ())
    if not isinstance(model, ProbabilisticUNet) or not raters:
        raise TypeError(f'model: got a {model.name} without raters, expected one with a prior such as "raters:ann,bob"')
    if rater not in raters:
        raise ValueError(f"rater: got {rater!r}, expected one of {', '.join(raters)}")
    with torch.device("meta"):  # shapes alone, which take no time
        own = ProbabilisticUNet(**{**model.config, "prior": DIAGONAL})
    state = model.state_dict()
    for name in ("prior.conv_layer.weight", "prior.conv_layer.bias"):
        state[name] = state[name].chunk(len(raters))[raters.index(rater)]
    own.load_state_dict(state, assign=True)
    hand_on(model, own)
    return own.eval()
