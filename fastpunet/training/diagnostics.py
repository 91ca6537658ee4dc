"""Diagnostics of a model in training on validation images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastpunet.data import Record, Records
from fastpunet.metrics import Convention, nestedness
from fastpunet.models import Method
from fastpunet.scoring.drawing import Drawn, draw_records
from fastpunet.scoring.scored_batch import ScoredBatch
from fastpunet.training.batches import draw_graders
from fastpunet.training.objective import Objective
from fastpunet.training.rated import places_of

_ACTIVE = (
    0.01  # variance of a posterior mean above which a latent unit counts as active (Burda et al. 2016, section 5.2)
)
_SEGMENTATIONS = 4  # of an image at most, for the terms of the loss
_OF_THE_LOSS = ("reconstruction", "kl")
_OF_SAMPLES = ("energy_distance", "energy_distance_unbiased", "sample_diversity", "nestedness")


@torch.no_grad()
def diagnose(
    model: Method, records: Records, convention: Convention, *, n: int, seed: int, objective: Objective
) -> dict[str, float]:
    """Compute means over the records that anybody annotated:

    reconstruction, kl, and the objective's other terms   of at most four segmentations, drawn as in training
    active_units          latent dimensions whose posterior mean, in prior standard deviations from the prior's mean,
                          varies by more than 0.01 over images and graders; 0 means collapse (if there is a latent)
    energy_distance, energy_distance_unbiased, sample_diversity   under the convention, of n hypotheses, or of all that
                          the model has
    nestedness            see fastpunet.metrics.nestedness
    """
    columns: dict[str, list[float]] = {name: [] for name in (*_OF_THE_LOSS, *_OF_SAMPLES)}
    columns |= {name: [] for name in objective.config.score_weights}
    shifts = []
    for drawn in draw_records(model, records, n, seed=seed, fewer=True):
        if drawn.references.masks is None:
            continue
        for name, values in zip(_OF_SAMPLES, _score(drawn, convention), strict=True):
            columns[name] += values.tolist()
        for record in drawn.records:
            terms, shift = _loss_terms(model, record, seed, objective)
            for name, value in terms.items():
                columns[name].append(float(value))
            shifts += shift
    result = {name: _mean(np.array(column)) for name, column in columns.items()}
    if shifts:
        result["active_units"] = float((torch.cat(shifts).var(0, correction=0) > _ACTIVE).sum())
    return result


def _score(drawn: Drawn, convention: Convention) -> tuple[Tensor, ...]:
    """A value (B,) for each of `_OF_SAMPLES`."""
    energy = ScoredBatch(drawn.samples, drawn.references, convention).energy
    nested = nestedness(drawn.samples, num_classes=convention.num_classes, classes=convention.averaged)
    return energy.value, energy.unbiased, energy.sample_diversity, nested


def _loss_terms(
    model: Method, record: Record, seed: int, objective: Objective
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The loss's terms of some of the record's segmentations, and their posterior means if there is a latent."""
    rng = np.random.default_rng([seed, record.id])
    graders = draw_graders(rng, record, min(_SEGMENTATIONS, len(record.masks)))
    image, labels = (torch.from_numpy(array)[None].to(model.device) for array in (record.image, record.masks[graders]))
    ids = torch.tensor([record.id], device=model.device)
    raters = torch.tensor([places_of(record, graders, model.raters)]).to(ids) if model.raters else None
    terms = objective.terms_of(model, image, labels, seed=seed, ids=ids, raters=raters)
    shift = [_standardised_means(model, image, labels, objective.config.ignore_label)] if model.latent_dim else []
    means = {"reconstruction": terms.reconstruction.mean(), "kl": terms.kl.sum(-1).mean()}
    return means | objective.scores(terms, labels), shift


def _standardised_means(model: Any, image: Tensor, masks: Tensor, ignore_label: int | None) -> Tensor:
    """Posterior means of an image's segmentations, relative to the prior: (M, latent_dim)."""
    mean, deviation = model.prior_for(image).moments()
    images = image.expand(masks.shape[1], *image.shape[1:])
    posterior = model.posterior_of(images, masks[0], ignore_label).base_dist
    return (posterior.loc - mean) / deviation


def _mean(values: np.ndarray) -> float:
    """The mean without undefined values (NaN); NaN if there are no others."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
