"""How often the shipped weights call an image unusual: images of other patients, and images of other kinds.

python -m benchmarks.familiarity [--data ../shared/data]

prints the tables of docs/results/familiarity.md. Each row is a kind of images, each column a description of an image
with which the same Gaussian is fitted to the validation images: the image's own statistics, which checkpoints keep,
and as many principal components of pooled features of the network.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fastpunet import ProbabilisticUNet, load
from fastpunet.data import Records
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.data.npz import read_members
from fastpunet.data.sources import read
from fastpunet.models.familiarity import LIMIT, Familiarity, judge
from fastpunet.models.image_statistics import image_statistics, statistics_of
from fastpunet.models.priors import AxisAligned
from fastpunet.reports.tables import markdown
from fastpunet.scoring.familiar_images import fit_familiarity

VALIDATION_SEED = 1 << 32  # of the validation images of synthetic sets
SIDE, AT_ONCE = 64, 50
NOISE = 0.1


def pooled(features: Tensor) -> Tensor:
    return torch.cat([features.mean((2, 3)), features.std((2, 3))], 1)


def last_features(model: ProbabilisticUNet, images: Tensor) -> Tensor:
    """Mean and standard deviation over the pixels of the U-Net's features, and mu and log sigma of the prior."""
    features, prior = model.features_and_prior(images)
    assert isinstance(prior, AxisAligned)
    mu, sigma = (values[:, : model.latent_dim] for values in (prior.mu, prior.sigma))
    return torch.cat([pooled(features), mu, sigma.log()], 1).double()


def coarsest_features(model: ProbabilisticUNet, images: Tensor) -> Tensor:
    """Mean over the pixels of the U-Net's coarsest scale (Gonzalez et al. 2021, arXiv 2107.05975)."""
    for scale in model.unet.contracting_path:
        images = scale(images)
    return images.mean((2, 3)).double()


DESCRIPTIONS: dict[str, Callable[[ProbabilisticUNet, Tensor], Tensor]] = {
    "statistics of the image": lambda _, images: image_statistics(images),
    "last features and prior": last_features,
    "coarsest features": coarsest_features,
}


def stacked(records: Records) -> Tensor:
    return torch.from_numpy(np.stack([record.image for record in records]))


def central(images: Tensor, down: int = 0, right: int = 0) -> Tensor:
    top, left = ((length - SIDE) // 2 for length in images.shape[2:])
    return images[:, :, top + down : top + down + SIDE, left + right : left + right + SIDE]


def street_crops(path: Path, count: int) -> Tensor:
    """Random crops of street scenes in grey."""
    (images,) = read_members(path, ("images",))
    grey = images.astype(np.float32) / 255 @ np.array([0.299, 0.587, 0.114], np.float32)
    rng = np.random.default_rng(0)
    corners = [(rng.integers(len(grey)), *(rng.integers(n - SIDE) for n in grey.shape[1:])) for _ in range(count)]
    return torch.from_numpy(np.stack([grey[i, y : y + SIDE, x : x + SIDE] for i, y, x in corners]))[:, None]


def changed(images: Tensor) -> dict[str, Tensor]:
    """The test images after changes; of the first ones a model should not be surprised."""
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape, generator=rng)
    return {
        "test images, turned by 90 degrees": images.rot90(1, (2, 3)),
        "test images, mirrored": images.flip(3),
        "test images, gamma 1.2": images**1.2,
        "test images, gamma 2": images**2,
        "test images, half the contrast": images / 2,
        "test images, a window of 40 % of the range": ((images - 0.3) / 0.4).clamp(0, 1),
        "test images, inverted": 1 - images,
        f"test images, with noise of sd {NOISE}": (images + NOISE * noise).clamp(0, 1),
        "test images, blurred over 5 x 5 pixels": F.avg_pool2d(images, 5, 1, 2, count_include_pad=False),
        "test images, magnified twice": F.interpolate(images[:, :, 16:48, 16:48], SIDE, mode="bilinear"),
        "uniform noise": torch.rand(images.shape, generator=rng),
        "one grey value": torch.full((1, 1, SIDE, SIDE), 0.5),
    }


def components(known: Tensor) -> Callable[[Tensor], Tensor]:
    """A projection to as many principal components as an image has statistics; nothing, for these themselves."""
    if known.shape[1] <= statistics_of(1):
        return lambda described: described
    mean, scale = known.mean(0), known.std(0).clamp(min=1e-6)
    axes = torch.linalg.svd((known - mean) / scale, full_matrices=False).Vh[: statistics_of(1)]
    return lambda described: ((described - mean) / scale) @ axes.T


@torch.no_grad()
def table(model: ProbabilisticUNet, usual: Records, kinds: dict[str, Tensor]) -> str:
    known, patients = stacked(usual), [record.patient or f"image {record.id}" for record in usual]
    rows: list[Sequence[str]] = [["unusual, % (n images)", *DESCRIPTIONS]]
    reduced = {name: components(describe(model, known)) for name, describe in DESCRIPTIONS.items()}
    fitted: dict[str, Familiarity] = {
        name: fit_familiarity(reduced[name](describe(model, known)), patients, "validation data", 0)
        for name, describe in DESCRIPTIONS.items()
    }
    kept = model.familiarity
    assert kept is not None
    assert np.allclose(kept.quantiles, fitted["statistics of the image"].quantiles, rtol=1e-4)
    for kind, images in kinds.items():
        shares = []
        for name, describe in DESCRIPTIONS.items():
            described = reduced[name](torch.cat([describe(model, some) for some in images.split(AT_ONCE)]))
            unusual = fitted[name].percent_nearer(described) == LIMIT
            shares.append(f"{100 * float(unusual.double().mean()):.1f}")
        rows.append([f"{kind} ({len(images)})", *shares])
    return markdown(rows)


def milliseconds(model: ProbabilisticUNet, image: Tensor, repeats: int = 200) -> float:
    """The least time that judging an image took."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        judge(model.familiarity, image)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = options.parse_args().data
    scans = read("lidc", data / "lidc" / "lidc_tiny_test_64.npz")
    larger = stacked(read("lidc", data / "lidc" / "lidc_test_128.npz"))
    streets = street_crops(data / "camvid" / "camvid_test_128x160.npz", 200)
    lesions = stacked(SyntheticLesions(200, seed=5))
    model = load("lidc-tiny")
    assert isinstance(model, ProbabilisticUNet)
    kinds = {
        "test images": stacked(scans),
        "all test slices": central(larger),
        "every fourth test slice, 8 pixels off the nodule": central(larger[::4], 8, -8),
        "every fourth test slice, 16 pixels off the nodule": central(larger[::4], 16, 16),
        "street scenes in grey": streets,
        "synthetic lesions": lesions,
        **changed(stacked(scans)),
    }
    print(f"lidc-tiny\n\n{table(model, read('lidc', data / 'lidc' / 'lidc_tiny_val_64.npz'), kinds)}\n")
    other = load("lesions")
    assert isinstance(other, ProbabilisticUNet)
    new = stacked(SyntheticLesions(500, seed=9))
    kinds = {"new images": new, "street scenes in grey": streets, "LIDC": stacked(scans), **changed(new[:200])}
    print(f"lesions\n\n{table(other, SyntheticLesions(100, VALIDATION_SEED), kinds)}\n")
    for side in (64, 128, 512):
        print(f"{side} x {side}: {milliseconds(model, torch.rand(1, 1, side, side)):.2f} ms an image")


if __name__ == "__main__":
    main()
