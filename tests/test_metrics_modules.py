"""The torchmetrics modules: batches and processes add up to the scores of all images together."""

import pickle
import subprocess
import sys

import pytest
import torch
from torchmetrics import MetricCollection

from fastpunet import PackedMasks, energy_distance
from fastpunet.metrics import best_dice, best_iou, matched_iou, ncc, pixel_reliability, presence_reliability
from fastpunet.metrics.modules import (
    NCC,
    BestDice,
    BestIoU,
    EnergyDistanceMetric,
    MatchedIoU,
    PixelCalibrationError,
    PresenceCalibrationError,
)


def masks():
    """Twelve images; in the first nobody sees anything, so that its NCC is undefined."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(12, 9, 6, 6, generator=generator) < 0.3).to(torch.uint8)
    labels[3:6, 5:] = 0
    labels[0] = 0
    return labels[:, :5], labels[:, 5:]


def pooled(reliability):
    return float((reliability.predicted - reliability.observed).sum(0).abs().sum() / reliability.count.sum())


def mean(scores):
    return float(scores[~scores.isnan()].mean())


SAMPLES, REFERENCES = masks()
MODULES = {
    "energy": (EnergyDistanceMetric(), mean(energy_distance(SAMPLES, REFERENCES).value)),
    "unbiased": (EnergyDistanceMetric("phiseg", "unbiased"), mean(energy_distance(SAMPLES, REFERENCES).unbiased)),
    "matched": (MatchedIoU(), mean(matched_iou(SAMPLES, REFERENCES))),
    "best": (BestIoU(), mean(best_iou(SAMPLES, REFERENCES))),
    "dice": (BestDice(), mean(best_dice(SAMPLES, REFERENCES))),
    "ncc": (NCC(), mean(ncc(SAMPLES, REFERENCES))),
    "pixels": (PixelCalibrationError(), pooled(pixel_reliability(SAMPLES, REFERENCES))),
    "presence": (PresenceCalibrationError(bins=4), pooled(presence_reliability(SAMPLES, REFERENCES, bins=4))),
}


@pytest.mark.parametrize("name", MODULES)
def test_batches_add_up(name):
    metric, expected = MODULES[name][0].clone(), MODULES[name][1]
    assert ncc(SAMPLES, REFERENCES).isnan().any()
    for first, last in ((0, 5), (5, 6), (6, 12)):
        batch = SAMPLES[first:last], REFERENCES[first:last]
        metric.update(*(PackedMasks.pack(labels) if first == 5 else labels for labels in batch))
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-12)
    restored = pickle.loads(pickle.dumps(metric))
    assert float(restored.compute()) == pytest.approx(expected, abs=1e-12)
    metric.reset()
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        assert torch.isnan(metric.compute())


def test_a_collection_scores_a_batch_and_all_batches():
    collection = MetricCollection({name: metric.clone() for name, (metric, _) in MODULES.items()})
    batch = collection(SAMPLES[:6], REFERENCES[:6])
    assert float(batch["best"]) == pytest.approx(mean(best_iou(SAMPLES[:6], REFERENCES[:6])))
    collection.update(SAMPLES[6:], REFERENCES[6:])
    for name, value in collection.compute().items():
        assert float(value) == pytest.approx(MODULES[name][1], abs=1e-12)
    with pytest.raises(ValueError, match="statistic: got 'median'"):
        EnergyDistanceMetric(statistic="median")


def test_two_processes_have_the_scores_of_one(tmp_path):
    """Each sees six of the images; both compute the scores of all twelve."""
    torch.save({"samples": SAMPLES, "references": REFERENCES}, tmp_path / "masks.pt")
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, torch, torch.distributed as dist\n"
        "from fastpunet.metrics.modules import EnergyDistanceMetric, NCC, PixelCalibrationError\n"
        "dist.init_process_group('gloo')\n"
        "rank = dist.get_rank()\n"
        "masks = torch.load(sys.argv[1] + '/masks.pt')\n"
        "half = slice(6 * rank, 6 * rank + 6)\n"
        "found = []\n"
        "for metric in (EnergyDistanceMetric(), NCC(), PixelCalibrationError()):\n"
        "    metric.update(masks['samples'][half], masks['references'][half])\n"
        "    found.append(float(metric.compute()))\n"
        "torch.save(found, f'{sys.argv[1]}/{rank}.pt')\n"
        "dist.barrier()\n"
        "os._exit(0)\n"  # at a usual exit gloo's threads abort once in ten times (pytorch/pytorch issue 190489)
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    subprocess.run([*launch, str(script), str(tmp_path)], check=True, timeout=120)
    for rank in (0, 1):
        expected = [MODULES[name][1] for name in ("energy", "ncc", "pixels")]
        assert torch.load(tmp_path / f"{rank}.pt") == pytest.approx(expected, abs=1e-12)
