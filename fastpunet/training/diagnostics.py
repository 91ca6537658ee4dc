"""How a model in training does on validation images, by our own engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastpunet.data import IGNORE, Record, Records
from fastpunet.latents import check_ids
from fastpunet.metrics import Convention, energy_distance, nestedness
from fastpunet.models import Method
from fastpunet.sampling import sample
from fastpunet.training.batches import draw_masks

_ACTIVE = (
    0.01  # variance of a posterior mean above which a latent unit counts as active (Burda et al. 2016, section 5.2)
)

_SEGMENTATIONS = 4


@torch.no_grad()
def diagnose(
    model: Method, records: Records, convention: Convention, *, n: int, seed: int, ignore_label: int | None
) -> dict[str, float]:
    """Means over the records of

    reconstruction, kl    in nats an image, of at most four segmentations, drawn as in training
    active_units          latent dimensions whose posterior mean, in prior standard deviations from the prior's mean,
                          varies by more than 0.01 over images and graders; 0 means collapse (if there is a latent)
    energy_distance, energy_distance_unbiased, sample_diversity   under the convention, of n hypotheses
    nestedness            see fastpunet.metrics.nestedness
    """
    rows, shifts = [], []
    for record, image, masks in _tensors(records, model.device):
        ids = check_ids(torch.tensor([record.id]), 1, model.device)
        rng = np.random.default_rng([seed, record.id])
        some = torch.from_numpy(draw_masks(rng, record, min(_SEGMENTATIONS, len(record.masks))))[None].to(model.device)
        terms = model.loss_terms(image, some, seed=seed, ids=ids, ignore_index=ignore_label)
        if model.latent_dim:
            shifts.append(_standardised_means(model, image, some, ignore_label))
        drawn = sample(model, image, n, seed=seed, ids=ids, output="bits")
        score = energy_distance(
            drawn,
            masks.masked_fill(masks == IGNORE, 0),
            convention=convention,
            weights=None if record.weights is None else torch.from_numpy(record.weights).to(model.device),
            ignore=(masks == IGNORE).any(1),
        )
        values = (
            terms.reconstruction.mean(),
            terms.kl.sum(-1).mean(),
            score.value,
            score.unbiased,
            score.sample_diversity,
            nestedness(drawn, num_classes=convention.num_classes, classes=convention.averaged),
        )
        rows.append([float(value) for value in values])
    names = ("reconstruction", "kl", "energy_distance", "energy_distance_unbiased", "sample_diversity", "nestedness")
    result = {name: _mean(column) for name, column in zip(names, np.array(rows).T, strict=True)}
    if shifts:
        result["active_units"] = float((torch.cat(shifts).var(0, correction=0) > _ACTIVE).sum())
    return result


def _tensors(records: Records, device: torch.device) -> Iterator[tuple[Record, Tensor, Tensor]]:
    """Every record with its image (1, C, H, W) and masks (1, M, H, W)."""
    for record in records:
        yield record, torch.from_numpy(record.image)[None].to(device), torch.from_numpy(record.masks)[None].to(device)


def _standardised_means(model: Any, image: Tensor, masks: Tensor, ignore_label: int | None) -> Tensor:
    """Posterior means of an image's segmentations, relative to the prior: (M, latent_dim)."""
    prior = model.prior(image).base_dist
    posterior = model.posterior_of(image.expand(masks.shape[1], -1, -1, -1), masks[0], ignore_label).base_dist
    return (posterior.loc - prior.loc) / prior.scale


def _mean(values: np.ndarray) -> float:
    """Without undefined values (NaN); NaN if there are no others."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
