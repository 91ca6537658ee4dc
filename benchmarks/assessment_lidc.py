"""Assessments and best fits on LIDC slices: are wrong masks told from graders' own, and do three clicks suffice?

python -m benchmarks.assessment_lidc intruders|fits lidc-tiny DIR/lidc_tiny_test_64.npz OUT.json [-n 500] ...

writes the values of every image and prints a table of docs/results/assessment.md.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

import fastpunet
from fastpunet import PackedMasks
from fastpunet.data import Record, Records
from fastpunet.data.splits import Subset
from fastpunet.hypotheses import Annotation, assess, best_fit, modes
from fastpunet.hypotheses.fits.annotation import CLICK_WEIGHT
from fastpunet.progress import Progress
from fastpunet.reports.tables import markdown

SHIFT = 6  # pixels
NEAR = 8  # pixels from the border, of the click outside
SIGNS = {"log_evidence": 1, "typicality": 1, "mean_distance": -1, "nearest_iou": 1, "mahalanobis": -1, "kl": -1}
ORDERS = {  # of annotations, the most suspicious first
    "nearest IoU": lambda row: row["nearest_iou"],
    "typicality": lambda row: row["typicality"],
    "mean distance": lambda row: -row["mean_distance"],
    "log p": lambda row: row["log_evidence"],
    "log p minus the other graders'": lambda row: row["relative"],
    "plausibility": lambda row: row["plausibility"],
    "KL": lambda row: -row["kl"],
}
CROSS = ndimage.generate_binary_structure(2, 1)


def with_interval(values: NDArray[np.float64], patients: list[str]) -> str:
    """The mean over images with its 95 % interval, of which patients are drawn anew with replacement (Efron 1979)."""
    groups = np.unique(patients, return_inverse=True)[1]
    count, total = np.bincount(groups), np.bincount(groups, values)
    drawn = np.random.default_rng(0).multinomial(len(count), np.full(len(count), 1 / len(count)), 2000)
    low, high = np.quantile(drawn @ total / (drawn @ count), (0.025, 0.975))
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def shifted(mask: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8] | None:
    """The mask moved by 6 pixels in a random direction; None if a pixel of it leaves the image."""
    angle = rng.uniform(0, 2 * math.pi)
    down, right = round(SHIFT * math.sin(angle)), round(SHIFT * math.cos(angle))
    padded = np.pad(mask, SHIFT)
    moved = np.roll(padded, (down, right), (0, 1))[SHIFT:-SHIFT, SHIFT:-SHIFT]
    return moved if moved.sum() == mask.sum() else None


def drawn_nonempty(masks: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    full = masks[masks.any((1, 2))]
    return full[rng.integers(len(full))]


def intruders(model: Any, records: Records, n: int, seed: int) -> Iterator[dict[str, Any]]:
    """For every image the assessment of its graders' masks, of another patient's, and of one of its own, shifted."""
    rng = np.random.default_rng(seed)
    patients = np.array([record.patient for record in records])
    with Progress(len(records), "assessing", "image") as progress:
        for record in records:
            others = np.flatnonzero(patients != record.patient)
            other = drawn_nonempty(records[int(rng.choice(others))].masks, rng)
            moved = shifted(drawn_nonempty(record.masks, rng), rng)
            masks = [*record.masks, other, *([] if moved is None else [moved])]
            found = assess(model, torch.tensor(record.image), torch.tensor(np.stack(masks)), n, seed=seed, id=record.id)
            rows = found.rows()
            graders = len(record.masks)
            yield {
                "patient": record.patient,
                "own": rows[:graders],
                "other": rows[graders],
                "shifted": rows[graders + 1] if moved is not None else None,
            }
            progress.update(1)


def clicks(mask: NDArray[np.bool_], rng: np.random.Generator, weight: float) -> Annotation:
    """Two random pixels of the mask without its border, or, if it has fewer, of the mask, and one outside near it."""
    inner = ndimage.binary_erosion(mask, CROSS)
    inside = np.argwhere(inner if inner.sum() >= 2 else mask)
    away = ndimage.distance_transform_edt(~mask)
    outside = np.argwhere((away > 0) & (away <= NEAR))
    include, exclude = (rng.permutation(places)[:count].tolist() for places, count in ((inside, 2), (outside, 1)))
    return Annotation.points(include, exclude, weight=weight)


def fits(model: Any, records: Records, n: int, seed: int, weight: float = CLICK_WEIGHT) -> Iterator[dict[str, Any]]:
    """For every image and grader who outlined anything, the IoU of what three clicks find, and of what needs none."""
    rng = np.random.default_rng(seed)
    with Progress(len(records), "fitting", "image") as progress:
        for record in records:
            yield {"patient": record.patient, "graders": list(_fits(model, record, n, seed, rng, weight))}
            progress.update(1)


def _fits(
    model: Any, record: Record, n: int, seed: int, rng: np.random.Generator, weight: float
) -> Iterator[dict[str, float]]:
    image, ids = torch.tensor(record.image), torch.tensor([record.id])
    summary = fastpunet.summarize(model, image[None], n, seed=seed, ids=ids)
    hypotheses = fastpunet.sample(model, image[None], n, seed=seed, ids=ids, output="bits")
    labels, found_modes = hypotheses.unpack()[0], modes(hypotheses)[0].masks
    outlined, with_outline = labels[labels.flatten(1).any(1)], found_modes[found_modes.flatten(1).any(1)]
    nothing = torch.zeros_like(labels[:1])
    without = {
        "mean map > 0.5": (summary.mean[0, 0] > 0.5).byte(),
        "most probable mode": found_modes[0],
        "mean of all hypotheses but empty ones > 0.5": (outlined.float().mean(0) > 0.5).byte(),
        "most probable mode but nothing": torch.cat((with_outline, nothing))[0],
    }
    for mask in record.masks:
        if not mask.any():
            continue
        found = best_fit(model, image, clicks(mask.astype(bool), rng, weight), n, seed=seed, id=record.id)
        whole = best_fit(model, image, Annotation.mask(mask), n, seed=seed, id=record.id)
        masks = without | {
            "three clicks, best hypothesis": found.drawn.mask,
            "three clicks, refined": found.mask,
            "the grader's mask, best hypothesis": whole.drawn.mask,
            "the grader's mask, refined": whole.mask,
        }
        packed = PackedMasks.pack(torch.stack(list(masks.values()))[None])
        ious = fastpunet.pairwise_iou(packed, PackedMasks.pack(torch.tensor(mask)[None, None]))[0, :, 0]
        yield dict(zip(masks, ious.tolist(), strict=True)) | {
            "clicks that hold": found.agreement,
            "plausibility": found.plausibility or 0.0,
        }


def intruder_table(images: list[dict[str, Any]]) -> str:
    """In how many images, or pairs with a grader, the intruder lies below: a row for each quantity."""
    rows = [["quantity", *(f"{kind}, {how}" for kind in ("other", "shifted") for how in ("mean", "lowest", "pairs"))]]
    for name, sign in SIGNS.items():
        cells = []
        for kind in ("other", "shifted"):
            kept = [image for image in images if image[kind] is not None]
            patients = [image["patient"] for image in kept]
            own = [sign * np.array([row[name] for row in image["own"]]) for image in kept]
            intruder = [sign * image[kind][name] for image in kept]
            for below in (lambda value, graders: value < graders.mean(), lambda value, graders: value < graders.min(),
                          lambda value, graders: (value < graders).mean()):  # fmt: skip
                shares = np.array([float(below(value, graders)) for value, graders in zip(intruder, own, strict=True)])
                cells.append(with_interval(shares, patients))
        rows.append([name, *cells])
    return markdown(rows)


def planted_table(images: list[dict[str, Any]]) -> str:
    """How early orders of all annotations list errors: one grader's mask of every tenth image is an intruder.

    The mean over 200 random choices of the average precision; an order without any idea has about 0.025.
    """
    rng, scores = np.random.default_rng(0), {name: {"other": [], "shifted": []} for name in ORDERS}
    for _ in range(200):
        for kind in ("other", "shifted"):
            kept = [image for image in images if image[kind] is not None]
            planted = set(rng.permutation(len(kept))[: len(kept) // 10].tolist())
            rows, wrong = [], []
            for i, image in enumerate(kept):
                own, place = list(image["own"]), int(rng.integers(len(image["own"])))
                if i in planted:
                    own[place] = image[kind]
                evidence = np.array([row["log_evidence"] for row in own])
                relative = [evidence[m] - np.delete(evidence, m).mean() for m in range(len(own))]
                rows += [row | {"relative": value} for row, value in zip(own, relative, strict=True)]
                wrong += [i in planted and m == place for m in range(len(own))]
            for name, order in ORDERS.items():
                found = np.array(wrong)[np.argsort([order(row) for row in rows], kind="stable")]
                precision = np.cumsum(found) / np.arange(1, len(found) + 1)
                scores[name][kind].append(precision[found].mean())
    rows_of_table = [["order by", "other", "shifted"]]
    rows_of_table += [[name, *(f"{np.mean(each):.2f}" for each in found.values())] for name, found in scores.items()]
    return markdown(rows_of_table)


def fit_table(images: list[dict[str, Any]]) -> str:
    """Mean over the graders of an image, then over images."""
    kept = [image for image in images if image["graders"]]
    patients = [image["patient"] for image in kept]
    rows = [["what", "value"]]
    for name in kept[0]["graders"][0]:
        values = np.array([np.mean([grader[name] for grader in image["graders"]]) for image in kept])
        rows.append([name, with_interval(values, patients)])
    return markdown(rows)


def print_intruders(images: list[dict[str, Any]]) -> None:
    lost = sum(image["shifted"] is None for image in images)
    print(f"{len(images)} images; {lost} shifted masks would leave their image and are left out\n")
    print(intruder_table(images), "\n")
    print(planted_table(images), "\n")
    for kind in ("own", "other", "shifted"):
        rows = [row for image in images if image[kind] for row in (image[kind] if kind == "own" else [image[kind]])]
        draws = np.array([row["effective_draws"] for row in rows])
        print(f"effective draws, {kind}: median {np.median(draws):.0f}, below 30 in {(draws < 30).mean():.1%}")


def print_fits(images: list[dict[str, Any]]) -> None:
    print(f"{sum(len(image['graders']) for image in images)} graders' masks of {len(images)} images\n")
    print(fit_table(images))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=("intruders", "fits"))
    options.add_argument("model")
    options.add_argument("data")
    options.add_argument("output", type=Path)
    options.add_argument("-n", type=int, default=500)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--weight", type=float, default=CLICK_WEIGHT, help="of each click")
    options.add_argument("--images", type=int, help="the first so many only")
    given = options.parse_args()
    model, records = fastpunet.load(given.model), fastpunet.data.lidc.read_npz(given.data)
    records = Subset(records, range(given.images or len(records)))
    if given.what == "intruders":
        found = list(intruders(model, records, given.n, given.seed))
        print_intruders(found)
    else:
        found = list(fits(model, records, given.n, given.seed, given.weight))
        print_fits(found)
    given.output.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
