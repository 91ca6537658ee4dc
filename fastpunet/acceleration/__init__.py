"""Makes a model's own sampling loop fast: `model(patch, None, training=False)`, then `model.sample()` many times."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from fastpunet.acceleration.decoding import Memory, forward
from fastpunet.models import Method
from fastpunet.models.adapters.parts import attribute, find_parts, inside
from fastpunet.models.combiner_comparison import FasterForward
from fastpunet.models.fcomb import combiner_inputs

AnyModel = TypeVar("AnyModel", bound=nn.Module)

__all__ = ["accelerate"]


def accelerate(model: AnyModel) -> AnyModel:
    """Make the model's own `sample` fast: the kernels compute its combiner from now on. Returns the model.

    The model has a U-Net, a prior net and a combiner (`fcomb` in the PyTorch port). Only `combiner.forward` is
    replaced, so `sample` keeps its arguments, its result and its random numbers. What the features contribute is
    computed once. On a CPU, hypotheses are decoded ahead: the next latents of the loop are computed beforehand from the
    prior and a copy of the global generator's state, decoded together, and handed out when `sample` draws them. A
    hypothesis that was decoded ahead is used only if features, weights and latents are the very same values.

    The first call, and the first one after a change of the combiner's structure, mode, weights, attributes or methods,
    or of the features' shape, runs the combiner's own forward pass, and compares the kernels with it. That pass also
    runs if gradients are recorded, under autocast, if BatchNorm or dropout inside the combiner is in training mode, if
    layers inside it have forward hooks, if it holds objects whose values cannot be compared, or if the two differ. What
    its methods look up elsewhere, such as global variables, must not change.
    `del model.fcomb.forward` undoes the replacement. A pickled copy decodes ahead only after it is passed to
    `accelerate` again.

    Raises TypeError for a model without these parts, and ValueError for a combiner that cannot be read.
    """
    found = next(((module, parts) for module, _ in inside(model) if (parts := find_parts(module))), None)
    if found is None or isinstance(found[0], Method):
        raise TypeError(
            f"model: got {type(model).__name__}, expected a Probabilistic U-Net that fastpunet did not build, with a "
            "U-Net, a prior net and a combiner, such as the PyTorch port; call fastpunet.sample(model, images, n) for "
            "other models"
        )
    combiner: nn.Module = attribute(found[0], found[1].combiner)
    combiner_inputs(combiner)
    present = vars(combiner).get("forward")
    if present is not None and not isinstance(present, FasterForward):
        raise TypeError(
            "model: got a combiner whose forward was replaced by other code, expected the forward of its class; delete "
            "the replacement with del combiner.forward"
        )
    combiner.forward = FasterForward(forward, combiner, Memory(found[0]))  # type: ignore[method-assign]
    return model
