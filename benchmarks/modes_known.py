"""How well `modes` finds known modes, and how stable it is: the tables of docs/results/modes.md.

python -m benchmarks.modes_known [--images 240] [--n 1000] [--lidc DIR/lidc_tiny_test_64.npz]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise

import kmedoids
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

import fastpunet
from benchmarks.known_modes import found_shares
from fastpunet.data import Record, lidc
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.hypotheses import Modes, modes
from tests.helpers.lesion_hypotheses import draw_lesions

SEED = 20261  # no recipe trains on these lesions, and nothing was chosen on them
VARIATIONS = ("none", "edge", "wobble", "shift", "grow")
HEADERS = (
    "variation",
    "right number",
    "too few / too many",
    "right by true weights",
    "error to drawn: mean / largest (points)",
    "error to true: mean / largest (points)",
    "all within 3 points of true",
    "same for another seed",
    "right at 0.25",
    "right at 0.35",
    "right by silhouette",
)
RARE, SAME = 0.02, 0.9  # known masks with a smaller share, and those that overlap an earlier one more, do not count


def known_shares(record: Record, shares: NDArray[np.floating]) -> NDArray[np.float64]:
    """The share of each of the record's masks (4,). Masks that hardly differ count as one."""
    overlap = fastpunet.pairwise_iou(torch.from_numpy(record.masks)[None])[0].numpy()
    merged = np.zeros(len(shares))
    for mask, share in enumerate(shares):
        merged[int((overlap[mask] > SAME).argmax())] += share
    return merged


def silhouette_number(masks: Tensor, most: int = 5) -> int:
    """The number of modes by the highest average medoid silhouette (Lenssen and Schubert 2024), for comparison."""
    there = (masks[0] > 0).flatten(1).any(1)
    distances = 1 - fastpunet.pairwise_iou(masks[:, there])[0].double().numpy()
    return int(~there.all()) + int(kmedoids.dynmsc(distances, most - 1, random_state=0).bestk)


def same(a: Modes, b: Modes) -> bool:
    return len(a) == len(b) and torch.equal(a.members, b.members)


def known_row(records: Sequence[Record], n: int, variation: str) -> str:
    """A row of the first table."""
    wrong, errors, true_errors, right_truth, others, seeds = [], [], [], [], [], []
    for record in records:
        masks, which = draw_lesions(record, n, variation, seed=0)
        batch = torch.from_numpy(masks)[None]
        drawn = known_shares(record, np.bincount(which, minlength=len(record.masks)) / n)
        truth = known_shares(record, record.weights.astype(np.float64))
        found = modes(batch)[0]
        shares = found_shares(record, found)
        differ = (shares > 0).sum() == len(found)
        number = int((drawn >= RARE).sum())
        wrong.append(len(found) - number if differ or len(found) != number else 9)
        right_truth.append(len(found) == (truth >= RARE).sum())
        errors.append(np.abs(shares[:-1] - drawn))
        true_errors.append(np.abs(shares[:-1] - truth))
        seeds.append(same(found, modes(batch, seed=1)[0]))
        others.append(
            [len(modes(batch, apart=apart)[0]) == number for apart in (0.25, 0.35)]
            + [silhouette_number(batch) == number]
        )
    wrong, errors, true_errors = np.array(wrong), np.array(errors), np.array(true_errors)
    cells = [
        variation,
        f"{np.mean(wrong == 0):.1%}",
        f"{(wrong < 0).sum()} / {(wrong > 0).sum()}",
        f"{np.mean(right_truth):.1%}",
        f"{100 * errors.mean():.2f} / {100 * errors.max():.1f}",
        f"{100 * true_errors.mean():.2f} / {100 * true_errors.max():.1f}",
        f"{np.mean((true_errors <= 0.03).all(1)):.1%}",
        f"{np.mean(seeds):.1%}",
        *(f"{share:.1%}" for share in np.mean(others, 0)),
    ]
    return "| " + " | ".join(cells) + " |"


def stability(draws: Sequence[Sequence[Modes]]) -> str:
    """How much the modes of the same images differ between one draw and the next."""
    equal, overlaps, changes = [], [], []
    for first, second in pairwise(draws):
        for a, b in zip(first, second, strict=True):
            overlap = fastpunet.pairwise_iou(a.masks[None], b.masks[None])[0].double().numpy()
            rows, columns = linear_sum_assignment(overlap, maximize=True)
            equal.append(len(a) == len(b))
            overlaps.append(overlap[rows, columns].mean())
            changes.append((a.probabilities[rows] - b.probabilities[columns]).abs().numpy())
    changed = np.concatenate(changes)
    return (
        f"same number {np.mean(equal):.1%}; IoU of matched representatives {np.mean(overlaps):.3f}; change of a "
        f"probability: mean {100 * changed.mean():.1f}, 95th percentile {100 * np.quantile(changed, 0.95):.1f} points"
    )


def lidc_rows(path: str, n: int) -> Iterator[str]:
    """Stability on real images, and how many modes there are."""
    model = fastpunet.load("lidc-tiny")
    records = lidc.read_npz(path, intensity=model.intensity)
    chosen = [records[place] for place in range(0, len(records), 2)]
    images, ids = torch.from_numpy(np.stack([r.image for r in chosen])), torch.tensor([r.id for r in chosen])
    draws = [modes(fastpunet.sample(model, images, n, seed=seed, ids=ids)) for seed in (0, 1)]
    yield f"lidc-tiny, {len(chosen)} images, two draws of {n}: {stability(draws)}"
    numbers = np.bincount([len(found) for found in draws[0]], minlength=6)[1:]
    yield f"images with 1, 2, 3, 4, 5 modes: {', '.join(map(str, numbers))}"
    within = torch.cat([found.overlaps[(found.masks > 0).flatten(1).any(1)] for found in draws[0]])
    yield f"mean IoU of hypotheses with their mode's representative, 'nothing' aside: {within.mean():.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--lidc", metavar="FILE")
    options = parser.parse_args()
    records = SyntheticLesions(options.images, SEED)[:]
    overlaps = [fastpunet.pairwise_iou(torch.from_numpy(record.masks)[None])[0] for record in records]
    nearest = max(float(overlap.fill_diagonal_(0).max()) for overlap in overlaps)
    print(f"{len(records)} images, n = {options.n}; largest IoU of two known masks {nearest:.2f}")
    print("| " + " | ".join(HEADERS) + " |\n|" + " --- |" * len(HEADERS))
    for variation in VARIATIONS:
        print(known_row(records, options.n, variation), flush=True)
    if options.lidc:
        print(*lidc_rows(options.lidc, options.n), sep="\n")


if __name__ == "__main__":
    main()
