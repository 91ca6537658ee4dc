"""The objective of training: the evidence lower bound, its terms weighted, and scores of hypotheses from the prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fastpunet.arguments import check_at_least_zero, check_count, check_positive, is_number
from fastpunet.models import LossTerms, Method
from fastpunet.models.cross_entropy import cross_entropy_of_each
from fastpunet.training.energy_score import energy_score
from fastpunet.training.frozen import lists_to_tuples

_GECO_SPEED = 0.02  # largest relative change of the multiplier in a step
_GECO_LIMITS = (1e-3, 1e3)


@dataclass(frozen=True)
class ObjectiveConfig:
    """The `objective` of a config: how the evidence lower bound is weighted, and what is added to it."""

    beta: float = 1.0
    """Weight of the Kullback-Leibler divergence (Higgins et al. 2017). With 1 the loss is the evidence lower bound."""
    beta_warmup: int = 0
    """Steps over which beta rises evenly from zero, so that the model learns to use the latent first (Bowman et al.
    2016, arXiv 1511.06349, section 3.1)."""
    free_bits: float = 0.0
    """Nats of divergence in each latent dimension that cost nothing (Kingma et al. 2016, arXiv 1606.04934, section C.8;
    there of a batch's mean, here of each segmentation, so that the gradient does not depend on how a batch is
    divided)."""
    geco_target: float | None = None
    """Reconstruction loss, in nats per image, to reach with the least divergence (Rezende and Viola 2018,
    arXiv 1810.00597). It takes the place of beta."""
    bound_samples: int = 1
    """Posterior samples of a segmentation in an importance-weighted bound, which is the tighter the more there are
    (Burda et al. 2016, arXiv 1509.00519, equation 8). With 1 it is the evidence lower bound; more exclude beta,
    beta_warmup, free_bits and geco_target. For ProbabilisticUNet."""
    bound_graders: int | None = None
    """Number of segmentations of an image that have a posterior and count in the bound; null for all. The posterior net
    runs once for each, which takes about a third of a step with four; the scores of hypotheses use all."""
    energy_weight: float = 0.0
    """Weight of the energy score, in nats per image: 2 E d(S, Y) - E d(S, S') of hypotheses from the prior, with
    d = 1 - soft IoU. It trains the distribution that is evaluated; 100 to 1000 are worth a try. For ProbabilisticUNet,
    and for MHeads, of which all heads count."""
    energy_smoothing: float = 2.0
    """Pixels that are added to intersection and union in the soft IoU of the energy score."""
    best_of_weight: float = 0.0
    """Weight of the cross-entropy of each segmentation with the best of the hypotheses from the prior (Guzman-Rivera et
    al. 2012). Alone it spreads hypotheses, however unlikely. For the same methods."""
    hypotheses: int = 16
    """Hypotheses of an image that are drawn from the prior for these two scores, 2 to 256."""
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
            if self._weighted:
                raise ValueError(
                    "objective.geco_target: got it with beta, beta_warmup or free_bits, expected one of them; leave "
                    "out the others"
                )
        check_count("objective.bound_samples", self.bound_samples)
        if self.bound_graders is not None:
            check_count("objective.bound_graders", self.bound_graders)
        if self.bound_samples > 1 and (self._weighted or self.geco_target is not None):
            raise ValueError(
                f"objective.bound_samples: got {self.bound_samples}, which excludes beta, beta_warmup, free_bits and "
                "geco_target, because the terms of that bound cannot be weighted; leave out one of the two"
            )
        check_at_least_zero("objective.energy_weight", self.energy_weight)
        check_at_least_zero("objective.best_of_weight", self.best_of_weight)
        check_positive("objective.energy_smoothing", self.energy_smoothing)
        check_count("objective.hypotheses", self.hypotheses, least=2, limit=256)
        weights = self.class_weights
        if weights is not None and not (
            isinstance(weights, list | tuple) and all(is_number(w) and w >= 0 for w in weights) and any(weights)
        ):
            raise ValueError(
                f"objective.class_weights: got {weights!r}, expected one number of at least 0 for each class"
            )
        if self.ignore_label is not None and (type(self.ignore_label) is not int or not 0 <= self.ignore_label < 256):
            raise ValueError(
                f"objective.ignore_label: got {self.ignore_label!r}, expected a label in 0 .. 255, or null"
            )

    @property
    def _weighted(self) -> bool:
        return self.beta != 1 or self.beta_warmup > 0 or self.free_bits > 0

    @property
    def score_weights(self) -> dict[str, float]:
        """The scores of hypotheses that count, and their weights."""
        weights = {"energy_score": self.energy_weight, "best_of": self.best_of_weight}
        return {name: weight for name, weight in weights.items() if weight}

    @property
    def loss_options(self) -> dict[str, int]:
        """The arguments of `Method.loss_terms` that only some methods take, as far as they are needed."""
        hypotheses = {"hypotheses": self.hypotheses} if self.score_weights else {}
        return hypotheses if self.bound_samples == 1 else {**hypotheses, "bound_samples": self.bound_samples}


class Objective(nn.Module):
    """Computes the loss from its terms. A buffer holds GECO's multiplier, so that a resumed run keeps it.

    classes: those whose IoU the energy score averages, by default the foreground of binary masks.
    """

    def __init__(self, config: ObjectiveConfig, classes: Sequence[int] = (1,)) -> None:
        super().__init__()
        self.config, self._classes = config, classes
        self.register_buffer("multiplier", torch.ones(()))
        self.multiplier: Tensor
        self.register_buffer("class_weights", None, persistent=False)
        self.class_weights: Tensor | None
        if config.class_weights is not None:
            self.class_weights = torch.tensor(config.class_weights)

    def terms_of(
        self, model: Method, images: Tensor, labels: Tensor, *, seed: int, ids: Tensor, raters: Tensor | None = None
    ) -> LossTerms:
        """What the objective needs of a model and images (B, C, *size) with labels (B, G, *size).

        raters: int64 (B, G), whose labels they are, for a model that tells raters apart.
        """
        told = {} if raters is None else {"raters": raters[:, : self.config.bound_graders]}
        return model.loss_terms(
            images,
            labels[:, : self.config.bound_graders],
            seed=seed,
            ids=ids,
            ignore_index=self.config.ignore_label,
            class_weights=self.class_weights,
            **self.config.loss_options,
            **told,
        )

    def scores(self, terms: LossTerms, labels: Tensor) -> dict[str, Tensor]:
        """Those of `score_weights`, averaged over images and graders: the energy score, and best_of in nats."""
        config = self.config
        found: dict[str, Tensor] = {}
        if terms.hypotheses is None:
            return found
        if config.energy_weight:
            options: dict[str, Any] = {"classes": self._classes, "ignore_label": config.ignore_label}
            found["energy_score"] = energy_score(
                terms.hypotheses, labels, smoothing=config.energy_smoothing, **options
            ).mean()
        if config.best_of_weight:
            each = cross_entropy_of_each(terms.hypotheses, labels, config.ignore_label, self.class_weights)
            found["best_of"] = each.amin(1).mean()
        return found

    def forward(self, terms: LossTerms, step: int, scores: Mapping[str, Tensor] = {}) -> Tensor:
        """The loss of a step, in nats an image, averaged over images and graders."""
        loss = self._bound(terms, step)
        for name, weight in self.config.score_weights.items():
            loss = loss + weight * scores[name]
        return loss

    def _bound(self, terms: LossTerms, step: int) -> Tensor:
        config = self.config
        if terms.bound is not None:
            return terms.bound.mean()
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
