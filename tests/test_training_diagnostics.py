"""What validation while training reports, against metrics of single images."""

import numpy as np
import pytest
import torch

from fastpunet import sample
from fastpunet.data import Record
from fastpunet.metrics import convention, energy_distance, nestedness
from fastpunet.models import MHeads, ProbabilisticUNet
from fastpunet.training.batches import draw_graders
from fastpunet.training.diagnostics import diagnose
from fastpunet.training.objective import Objective, ObjectiveConfig


def records():
    """Of two sizes and numbers of graders, one with the exact distribution, one that nobody annotated."""
    rng = np.random.default_rng(0)
    shapes = [(2, 8, 8), (2, 8, 8), (3, 6, 9), (2, 8, 8), (0, 8, 8)]
    for i, (graders, *size) in enumerate(shapes):
        weights = np.float32([0.25, 0.75]) if i == 3 else None
        masks = rng.integers(0, 2, (graders, *size)).astype(np.uint8)
        yield Record(rng.random((1, *size)).astype(np.float32), masks, i, "", weights)


def build(method, **arguments):
    torch.manual_seed(0)
    return method(1, 1, (4, 6), convs_per_block=1, **arguments)


@pytest.mark.parametrize(
    ("model", "n"), [(build(ProbabilisticUNet, latent_dim=2), 16), (build(MHeads, heads=3), 3)], ids=["prob", "heads"]
)
def test_diagnostics_are_the_means_of_single_images(model, n):
    """Of a method with fewer hypotheses than asked for, all of them count."""
    everything = list(records())
    found = diagnose(
        model,
        everything,
        convention("kohl-lidc"),
        n=16,
        seed=4,
        objective=Objective(ObjectiveConfig(ignore_label=None)),
    )
    rows = []
    for record in everything[:4]:
        image, ids = torch.from_numpy(record.image)[None], torch.tensor([record.id])
        drawn = sample(model, image, n, seed=4, ids=ids)
        weights = None if record.weights is None else torch.from_numpy(record.weights)
        energy = energy_distance(drawn, torch.from_numpy(record.masks)[None], weights=weights)
        masks = record.masks[draw_graders(np.random.default_rng([4, record.id]), record, len(record.masks))]
        with torch.no_grad():
            terms = model.loss_terms(image, torch.from_numpy(masks)[None], seed=4, ids=ids)
        rows.append(
            {
                "energy_distance": energy.value.item(),
                "energy_distance_unbiased": energy.unbiased.item(),
                "sample_diversity": energy.sample_diversity.item(),
                "nestedness": nestedness(drawn).item(),
                "reconstruction": terms.reconstruction.mean().item(),
                "kl": terms.kl.sum(-1).mean().item(),
            }
        )
    for name in rows[0]:
        assert found[name] == pytest.approx(np.nanmean([row[name] for row in rows]), rel=1e-5, nan_ok=True), name
    assert ("active_units" in found) == (model.latent_dim > 0)
