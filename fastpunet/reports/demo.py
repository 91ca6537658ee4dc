"""The demonstration: 1000 hypotheses per image, scored against the truth in a table, and shown in a picture."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastpunet.arguments import check_count
from fastpunet.data import Record, Records, lidc
from fastpunet.data.lesions import MODES, SyntheticLesions
from fastpunet.devices import find_device
from fastpunet.hypotheses import summarize
from fastpunet.masks import PackedMasks
from fastpunet.metrics import default_convention
from fastpunet.models import Method, checkpoint
from fastpunet.reports.figures import FigureRow, check_figure_path, hypothesis_figure, save_figure
from fastpunet.scoring.drawing import Drawn, draw_records
from fastpunet.scoring.mode_shares import mode_shares, nearest_modes
from fastpunet.scoring.scored_batch import ScoredBatch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LIDC_FILE = "lidc_tiny_test_64.npz"
HELD_OUT_SEED = 20260  # no recipe trains on these lesions
IMAGES, FIGURE_ROWS, PLAIN_LOOP_SAMPLES = 24, 4, 100
FEW = 16  # number of hypotheses for which the V-statistic is reported, as in the papers


@dataclass(frozen=True)
class Shown:
    """The hypotheses of one record."""

    record: Record
    samples: PackedMasks  # (1, n, H, W), in main memory
    value: float  # energy distance of the first 16, V-statistic
    unbiased: float  # energy distance of all n, U-statistic
    diversity: float  # E d(S, S') of the first 16


def demo(
    output: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    n: int = 1000,
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    precision: str = "auto",
    say: Callable[[str], None] = print,
) -> Path:
    """Run the demonstration and write its picture to `output` (PNG, PDF or SVG).

    Without `data` the images are synthetic lesions, whose distribution over masks is known. With `data` they are real
    lung CT from the folder's lidc_tiny_test_64.npz, with four radiologists. The weights come with the package. device,
    batch_size, precision: see `fastpunet.reports.comparison.compare`. Raises ValueError, naming the argument, before
    any work starts if an argument does not fit.
    """
    check_count("n", n, least=FEW)
    path = check_figure_path("output", output)
    chosen = find_device(device)
    name = "lesions" if data is None else "lidc-tiny"
    model = checkpoint.load(name).to(chosen)
    records = SyntheticLesions(IMAGES, HELD_OUT_SEED)[:] if data is None else _slices(Path(data) / LIDC_FILE, model)
    height, width = records[0].image.shape[-2:]
    say(f"{name}: {len(records)} images of {height} x {width}, {n} hypotheses each")
    batches = list(draw_records(model, records, n, seed=seed, precision=precision, batch_size=batch_size))
    shown = [one for drawn in batches for one in _score(drawn)]
    _say_speed(model, records[0], n * len(records) / sum(drawn.seconds for drawn in batches), say)
    _say_energy(shown, n, exact=data is None, say=say)
    if data is None:
        _say_modes(shown, say)
    else:
        _say_presence(shown, say)
    save_figure(_picture(model, shown, n, seed, exact=data is None), path)
    say(f"\npicture: {path}")
    return path


def _slices(bundle: Path, model: Method) -> Records:
    """Some of the bundle's slices, evenly spaced."""
    records = lidc.read_npz(bundle, intensity=model.intensity)
    return [records[int(i)] for i in np.linspace(0, len(records) - 1, IMAGES).astype(int)]


def _image(model: Method, record: Record) -> Tensor:
    return torch.from_numpy(record.image)[None].to(model.device)


def _score(drawn: Drawn) -> Iterator[Shown]:
    rule = default_convention(drawn.samples.num_planes)
    few = ScoredBatch(drawn.samples[:, :FEW], drawn.references, rule).energy
    unbiased = ScoredBatch(drawn.samples, drawn.references, rule).energy.unbiased.tolist()
    samples = drawn.samples.to("cpu")
    rows = zip(few.value.tolist(), unbiased, few.sample_diversity.tolist(), strict=True)
    for place, (record, row) in enumerate(zip(drawn.records, rows, strict=True)):
        yield Shown(record, samples[place : place + 1], *row)


@torch.no_grad()
def _say_speed(model: Any, record: Record, ours: float, say: Callable[[str], None]) -> None:
    """Report hypotheses per second, from images to packed masks, and those of the plain loop with cached features."""
    image = _image(model, record)
    started = time.perf_counter()
    features, prior = model.unet(image), model.prior_for(image)
    for _ in range(PLAIN_LOOP_SAMPLES):
        z = prior.of_normals(torch.randn(1, 1, prior.normals, device=image.device))[:, 0]
        (model.fcomb(features, z) > 0).cpu()
    plain = PLAIN_LOOP_SAMPLES / (time.perf_counter() - started)
    say(f"\n{'sampling':<34}{'hypotheses/s':>14}")
    say(f"{'plain loop, one f_comb per sample':<34}{plain:>14,.0f}")
    say(f"{'fastpunet':<34}{ours:>14,.0f}   {ours / plain:.1f} x")


def _say_energy(shown: Sequence[Shown], n: int, exact: bool, say: Callable[[str], None]) -> None:
    truth = "the known distribution" if exact else "four radiologists"
    say(f"\n{'energy distance to ' + truth:<46}{'mean':>8}")
    say(f"{'first 16 hypotheses, V-statistic':<46}{np.mean([d.value for d in shown]):>8.3f}")
    say(f"{f'all {n}, unbiased (0 is perfect)':<46}{np.nanmean([d.unbiased for d in shown]):>8.3f}")
    diversity = "diversity of hypotheses, E d(S, S')"
    say(f"{diversity:<46}{np.mean([d.diversity for d in shown]):>8.3f}")


def _say_modes(shown: Sequence[Shown], say: Callable[[str], None]) -> None:
    found = np.array([_mode_shares(d) for d in shown])
    known = np.array([np.append(_weights(d.record), 0.0) for d in shown])
    say(f"\n{'mode':<12}{'known':>8}{'drawn':>8}{'mean |error| per image':>26}")
    for index, mode in enumerate([*MODES, "other"]):
        error = np.abs(found - known)[:, index].mean()
        say(f"{mode:<12}{known[:, index].mean():>8.3f}{found[:, index].mean():>8.3f}{error:>26.3f}")


def _mode_shares(d: Shown) -> NDArray[np.float64]:
    masks = torch.from_numpy(d.record.masks)[None]
    return mode_shares(nearest_modes(d.samples, masks)[0], masks.shape[1])


def _say_presence(shown: Sequence[Shown], say: Callable[[str], None]) -> None:
    outlined = np.array([d.record.masks.any((1, 2)).mean() for d in shown])
    present = np.array([(d.samples.area() > 0).float().mean().item() for d in shown])
    graders = np.concatenate([d.record.masks.sum((1, 2)) for d in shown])
    areas = torch.cat([d.samples.area().flatten() for d in shown]).numpy()
    say(f"\n{'':<34}{'radiologists':>14}{'hypotheses':>14}")
    say(f"{'share that outlines a lesion':<34}{outlined.mean():>14.3f}{present.mean():>14.3f}")
    medians = np.median(graders[graders > 0]), np.median(areas[areas > 0])
    say(f"{'median area where outlined (px)':<34}{medians[0]:>14.0f}{medians[1]:>14.0f}")


def _picture(model: Method, shown: Sequence[Shown], n: int, seed: int, exact: bool) -> Figure:
    rows = []
    for d in _varied(shown):
        ids = torch.tensor([d.record.id])
        summary = summarize(model, _image(model, d.record), n, seed=seed, ids=ids)
        rows.append(
            FigureRow(
                image=d.record.image[0],
                graders=d.record.masks[1:] if exact else d.record.masks,
                hypotheses=d.samples[:, :6].unpack()[0].numpy(),
                mean=summary.mean[0, 0].cpu().numpy(),
                entropy=summary.entropy[0].cpu().numpy(),
                caption=_caption(d, float(summary.presence[0, 0])),
            )
        )
    what = "synthetic lesions, known distribution" if exact else "lung CT, four radiologists"
    title = f"{n} hypotheses per image from one U-Net pass: {what}"
    return hypothesis_figure(rows, title, "tight, medium, wide" if exact else "radiologists")


def _varied(shown: Sequence[Shown]) -> list[Shown]:
    """Some of the records, evenly spaced in order of how often the lesion is outlined."""
    by_presence = sorted(shown, key=_presence)
    return [by_presence[int(i)] for i in np.linspace(0, len(shown) - 1, FIGURE_ROWS)]


def _weights(record: Record) -> NDArray[np.float32]:
    """The record's weights, or equal weights if it has none."""
    count = len(record.masks)
    return np.full(count, 1 / count, np.float32) if record.weights is None else record.weights


def _presence(d: Shown) -> float:
    """The probability that the lesion is outlined at all, or the share of graders that outline it."""
    return float(_weights(d.record) @ d.record.masks.any((1, 2)))


def _caption(d: Shown, present: float) -> str:
    who = "known" if d.record.weights is not None else "radiologists"
    return f"lesion there:\n{who} {_presence(d):.0%}\nhypotheses {present:.0%}"
