"""The objective of training: both terms of the evidence lower bound, weighted in one of three ways."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fastpunet.arguments import check_at_least_zero, check_positive, is_number
from fastpunet.models import LossTerms
from fastpunet.training.frozen import lists_to_tuples

_GECO_SPEED = 0.02  # largest relative change of the multiplier in a step
_GECO_LIMITS = (1e-3, 1e3)


@dataclass(frozen=True)
class ObjectiveConfig:
    """The `objective` of a config: how the terms of the evidence lower bound are weighted."""

    beta: float = 1.0
    """Weight of the Kullback-Leibler divergence (Higgins et al. 2017). With 1 the loss is the evidence lower bound."""
    beta_warmup: int = 0
    """Steps over which beta rises evenly from zero, so that the latent is used before it is pressed (Bowman et al.
    2016, arXiv 1511.06349, section 3.1)."""
    free_bits: float = 0.0
    """Nats of divergence in each latent dimension that cost nothing (Kingma et al. 2016, arXiv 1606.04934, section C.8;
    there of a batch's mean, here of each segmentation, so that the gradient does not depend on how a batch is
    divided)."""
    geco_target: float | None = None
    """Reconstruction loss, in nats an image, that is to be reached with the least divergence (Rezende and Viola 2018,
    arXiv 1810.00597). It takes the place of beta."""
    class_weights: tuple[float, ...] | None = None
    """One weight for each class, background first, of the pixels' cross-entropies."""
    ignore_label: int | None = 255
    """Label of pixels that do not count; null if all count."""

    def __post_init__(self) -> None:
        lists_to_tuples(self)
        check_at_least_zero("objective.beta", self.beta)
        if type(self.beta_warmup) is not int or self.beta_warmup < 0:
            raise ValueError(f"objective.beta_warmup: got {self.beta_warmup!r}, expected a number of steps, 0 for none")
        check_at_least_zero("objective.free_bits", self.free_bits)
        if self.geco_target is not None:
            check_positive("objective.geco_target", self.geco_target)
            if self.beta != 1 or self.beta_warmup or self.free_bits:
                raise ValueError("objective.geco_target: excludes beta, beta_warmup and free_bits; give one of them")
        weights = self.class_weights
        if weights is not None and not (
            isinstance(weights, list | tuple) and all(is_number(w) and w >= 0 for w in weights) and any(weights)
        ):
            raise ValueError(f"objective.class_weights: got {weights!r}, expected one number of at least 0 a class")
        if self.ignore_label is not None and (type(self.ignore_label) is not int or not 0 <= self.ignore_label < 256):
            raise ValueError(
                f"objective.ignore_label: got {self.ignore_label!r}, expected a label in 0 .. 255, or null"
            )


class Objective(nn.Module):
    """Computes the loss from its terms. A buffer holds GECO's multiplier, so that a resumed run keeps it."""

    def __init__(self, config: ObjectiveConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("multiplier", torch.ones(()))
        self.multiplier: Tensor

    def forward(self, terms: LossTerms, step: int) -> Tensor:
        """The loss of a step, averaged over images and graders."""
        config = self.config
        if config.geco_target is not None:
            return terms.kl.sum(-1).mean() + self.multiplier * (terms.reconstruction.mean() - config.geco_target)
        kl = terms.kl.clamp(min=config.free_bits) if config.free_bits else terms.kl
        beta = config.beta * min(1.0, (step + 1) / max(1, config.beta_warmup))
        return terms.reconstruction.mean() + beta * kl.sum(-1).mean()

    @torch.no_grad()
    def update(self, reconstruction: Tensor) -> None:
        """Update GECO's multiplier after a step: it rises if the mean reconstruction () misses its target, or falls."""
        target = self.config.geco_target
        if target is not None:
            miss = (reconstruction / target - 1).clamp(-1, 1)
            self.multiplier.mul_(torch.exp(_GECO_SPEED * miss)).clamp_(*_GECO_LIMITS)
