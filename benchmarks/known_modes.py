"""How close a model's hypotheses are to a known distribution, on synthetic images that nothing was trained on:

python -m benchmarks.known_modes SET MODEL [MODEL ...] [--images 60] [--seed S] [--n 1000] [--json FILE]

SET is lesions, lesion-pairs or lesions-3d. It prints two tables with a column for each model (a checkpoint, the folder
of a run, a shipped name), and first the known distribution itself, drawn as often as the models, which shows what a
perfect model would get.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import fastpunet
from fastpunet.data import Record
from fastpunet.data.synthetic_sets import SYNTHETIC_SETS
from fastpunet.hypotheses import Modes, modes
from fastpunet.metrics import default_convention, nestedness, presence
from fastpunet.reports.json_values import json_values
from fastpunet.reports.tables import markdown
from fastpunet.scoring.drawing import draw_from
from fastpunet.scoring.mode_shares import mode_shares, nearest_modes
from fastpunet.scoring.scored_batch import ScoredBatch
from fastpunet.scoring.sources import ModelSource, Source
from fastpunet.scoring.stored import Stream
from tests.helpers.lesion_hypotheses import draw_lesions

HELD_OUT_SEED = 20262  # no recipe trains on these images
SIZE = 64  # of images, for models that do not know their own
LIKELY = 0.05  # modes that are to be found are at least as probable
EXACT = "known distribution"


@dataclass(frozen=True)
class Found:
    """What hypotheses of B images with M known modes are like.

    known         (B, M), the probabilities of the modes
    presence      (B,), the share of hypotheses that are not empty
    shares        (B, M + 1), the share of hypotheses nearest to each mode, and last to none
    mode_shares   (B, M + 1), the same for what `modes` finds: the sum of the probabilities of its representatives
    energy        (B,), the energy distance to the known distribution, unbiased
    nestedness    (B,), NaN where no two hypotheses with foreground differ
    """

    known: NDArray[np.float64]
    presence: NDArray[np.float64]
    shares: NDArray[np.float64]
    mode_shares: NDArray[np.float64]
    energy: NDArray[np.float64]
    nestedness: NDArray[np.float64]

    def summary(self) -> dict[str, float]:
        """Each row of the table; errors and shares are in percentage points. Mode 0 of every set is "absent"."""
        likely = self.known >= LIKELY
        found, errors = self.mode_shares[:, :-1] > 0, np.abs(self.mode_shares[:, :-1] - self.known)
        nested = self.nestedness[~np.isnan(self.nestedness)]
        return {
            "presence: mean error, points": 100 * np.abs(self.presence - (1 - self.known[:, 0])).mean(),
            "share of a mode: mean error, points": 100 * np.abs(self.shares[:, :-1] - self.known).mean(),
            "hypotheses near to no mode, %": 100 * self.shares[:, -1].mean(),
            "images whose likely modes are all found, %": 100 * (found | ~likely).all(1).mean(),
            "probability of a likely mode: mean error, points": 100 * errors[likely].mean(),
            "energy distance (U)": self.energy.mean(),
            "nestedness": nested.mean() if len(nested) else float("nan"),
        }


def score(source: Source, records: Sequence[Record], n: int) -> Found:
    """Draw n hypotheses of each record and compare them with its known distribution."""
    rows: list[tuple[object, ...]] = []
    for drawn in draw_from(source, records, n):
        known = drawn.references.masks
        assert known is not None
        energy = ScoredBatch(drawn.samples, drawn.references, default_convention(1)).energy.unbiased
        near, count = nearest_modes(drawn.samples, known), known.shape[1]
        outlined, nested = presence(drawn.samples), nestedness(drawn.samples)
        for i, record in enumerate(drawn.records):
            rows.append(
                (
                    record.weights,
                    outlined[i].item(),
                    mode_shares(near[i], count),
                    found_shares(record, modes(drawn.samples[i : i + 1])[0]),
                    energy[i].item(),
                    nested[i].item(),
                )
            )
    return Found(*(np.asarray(column, dtype=np.float64) for column in zip(*rows, strict=True)))


def found_shares(record: Record, found: Modes) -> NDArray[np.float64]:
    """The probability of the found modes that are nearest to each of the record's M masks, and last of others."""
    nearest = nearest_modes(found.masks[None].cpu(), torch.from_numpy(record.masks)[None])[0]
    return mode_shares(nearest, len(record.masks), found.probabilities)


def exact_source(records: Sequence[Record], n: int) -> Stream:
    """Hypotheses drawn from the known distribution."""
    return Stream((torch.from_numpy(draw_lesions(record, n, "none", 0)[0])[None] for record in records), n)


def tables(results: dict[str, Found], names: Sequence[str]) -> str:
    """The scores, and how often each mode is known to be and is drawn, on average over images."""
    summaries = {column: found.summary() for column, found in results.items()}
    scores = [[name, *(f"{row[name]:.3g}" for row in summaries.values())] for name in next(iter(summaries.values()))]
    shares = [
        [name, *(f"{100 * found.shares[:, mode].mean():.1f}" for found in results.values())]
        for mode, name in enumerate([*names, "none of them"])
    ]
    head = [["", *results], ["share of hypotheses, %", *results]]
    return markdown([head[0], *scores]) + "\n\n" + markdown([head[1], *shares])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=SYNTHETIC_SETS)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED, help="of the images")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the summaries and every image's values go")
    options = parser.parse_args()
    models = {name: fastpunet.load(name) for name in options.models}
    sizes = {model.image_size[-1] if model.image_size else SIZE for model in models.values()}
    if len(sizes) > 1:
        parser.error(f"MODEL: got models of images of {sorted(sizes)} pixels a side, expected models of one size")
    records = SYNTHETIC_SETS[options.set](options.images, options.seed, sizes.pop())
    sources = {EXACT: exact_source(records, options.n)} | {name: ModelSource(model) for name, model in models.items()}
    results = {name: score(source, records, options.n) for name, source in sources.items()}
    size = " x ".join(map(str, records.shape))
    print(f"{options.set}: {len(records)} images of {size}, {options.n} hypotheses each\n")
    print(tables(results, records.modes))
    if options.json:
        values = {name: {"summary": found.summary(), **vars(found)} for name, found in results.items()}
        content = json_values({"set": options.set, "n": options.n, "models": values})
        options.json.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
