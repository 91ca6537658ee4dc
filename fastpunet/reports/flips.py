"""How often a model flips each class of a data set, beside how often it should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from fastpunet.data import Records
from fastpunet.metrics import flip_counts
from fastpunet.sampling import Sampler


@dataclass(frozen=True)
class FlipFrequencies:
    """frequencies float64 (images, classes), NaN where an image lacks the class; probabilities: of each class."""

    frequencies: NDArray[np.float64]
    probabilities: dict[int, float]

    def table(self, names: Mapping[int, str]) -> str:
        """Markdown: a row a class."""
        lines = [
            "| class | flipped in truth | of hypotheses | difference | images |",
            "| --- | --- | --- | --- | --- |",
        ]
        for column, (label, truth) in zip(self.frequencies.T, self.probabilities.items(), strict=True):
            known = column[~np.isnan(column)]
            mean = known.mean() if len(known) else float("nan")
            lines.append(f"| {names[label]} | {truth:.3f} | {mean:.3f} | {mean - truth:+.3f} | {len(known)} |")
        return "\n".join(lines)


def evaluate_flips(
    model: nn.Module,
    records: Records,
    probabilities: Mapping[int, float],
    first_new: int,
    *,
    n: int = 100,
    seed: int = 0,
) -> FlipFrequencies:
    """Draw n hypotheses of every record and count the flips of each class (see fastpunet.metrics.flip_counts).

    records: with their one, unflipped label map; probabilities and first_new as of fastpunet.data.flips.ClassFlips.
    """
    sampler = Sampler(model)
    twins = {label: first_new + i for i, label in enumerate(probabilities)}
    rows = []
    for record in tqdm(records, desc="scoring", unit="image", leave=False, disable=None):
        image = torch.from_numpy(record.image)[None].to(sampler.device)
        labels = torch.from_numpy(record.masks).to(sampler.device)
        drawn = sampler.draw(sampler.encode(image), n, seed=seed, ids=torch.tensor([record.id]))
        rows.append(flip_counts(drawn, labels, twins).frequencies[0].cpu().numpy())
    return FlipFrequencies(np.stack(rows), dict(probabilities))
