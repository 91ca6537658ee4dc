"""One small network with priors of different kinds, trained alike on synthetic lesions whose distribution is known:

python -m benchmarks.priors OUTPUT [--priors diagonal full mixture:4 flow:4] [--seeds 3] [--steps 600] [--images 200]

trains each prior with each seed into OUTPUT, from where an interrupted call stopped, and prints a table: the negative
evidence lower bound and the energy distance on images that nothing was trained on, with 95 % intervals over images and
seeds, and the differences of each prior from the first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import fastpunet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.latents import Noise
from fastpunet.metrics import default_convention
from fastpunet.reports.tables import markdown
from fastpunet.scoring.drawing import draw_from
from fastpunet.scoring.estimates import Estimate, estimate, mean
from fastpunet.scoring.scored_batch import ScoredBatch
from fastpunet.scoring.sources import ModelSource
from fastpunet.training.config import TrainingConfig
from fastpunet.training.run import train

HELD_OUT_SEED = 20263  # no run trains on these images
SIZE, FEW, MANY = 32, 16, 100
POSTERIOR_SAMPLES = 8
NETWORK = {"channels": [8, 12, 16], "convs_per_block": 2, "latent_dim": 4}
ROWS = {
    "bound": "negative ELBO, nats an image",
    "few": f"GED^2, V, n = {FEW}",
    "many": f"GED^2, U, n = {MANY}",
}


def trained(prior: str, seed: int, steps: int, output: Path) -> torch.nn.Module:
    config = TrainingConfig(
        kind="lesions",
        size=SIZE,
        count=4000,
        model={**NETWORK, "prior": prior},
        graders_per_image=4,
        steps=steps,
        batch_size=8,
        learning_rate=2e-3,
        validate_every=steps,  # the weights of the last step, whatever they are worth
        validation_images=8,
        seed=seed,
    )
    return fastpunet.load(train(config, output / f"{prior.replace(':', '-')}-{seed}", resume=True, say=lambda _: None))


@torch.no_grad()
def negative_bounds(model: torch.nn.Module, records: SyntheticLesions) -> NDArray[np.float64]:
    """The negative ELBO of each image, averaged over its masks by their probabilities."""
    found = []
    for record in records:
        image, labels = torch.tensor(record.image)[None], torch.tensor(record.masks)[None].long()
        noise = Noise(0, torch.tensor([record.id]), 0, len(record.masks) * POSTERIOR_SAMPLES).normals(model.latent_dim)
        terms = model.elbo(image, labels, noise=noise.unflatten(1, (-1, POSTERIOR_SAMPLES)))
        found.append(float((terms.reconstruction + terms.kl.sum(-1))[0] @ torch.tensor(record.weights)))
    return np.array(found)


def energies(model: torch.nn.Module, records: SyntheticLesions) -> dict[str, NDArray[np.float64]]:
    values: dict[str, list[float]] = {"few": [], "many": []}
    for drawn in draw_from(ModelSource(model), records, MANY):
        rule = default_convention(1)
        values["few"] += ScoredBatch(drawn.samples[:, :FEW], drawn.references, rule).energy.value.tolist()
        values["many"] += ScoredBatch(drawn.samples, drawn.references, rule).energy.unbiased.tolist()
    return {name: np.array(column) for name, column in values.items()}


def _shown(found: Estimate, digits: int) -> str:
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--priors", nargs="+", default=["diagonal", "full", "mixture:4", "flow:4"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--images", type=int, default=200)
    options = parser.parse_args()
    records = SyntheticLesions(options.images, HELD_OUT_SEED, SIZE)
    ids = [str(record.id) for record in records]
    scores: dict[str, dict[str, list[NDArray[np.float64]]]] = {
        prior: {row: [] for row in ROWS} for prior in options.priors
    }
    for seed in range(options.seeds):  # all priors of one seed first, so that a part of the table is a fair one
        for prior in options.priors:
            model = trained(prior, seed, options.steps, options.output)
            found = {"bound": negative_bounds(model, records), **energies(model, records)}
            for row, values in found.items():
                scores[prior][row].append(values)
            print(prior, seed, *(f"{row} {values.mean():.4f}" for row, values in found.items()), flush=True)
    first = options.priors[0]
    table = [["prior", *ROWS.values(), *(f"{name}, minus {first}" for name in ROWS.values())]]
    for prior, rows in scores.items():
        digits = {"bound": 2, "few": 3, "many": 3}
        values = [_shown(estimate(rows[row], ids, mean), digits[row]) for row in ROWS]
        apart = [
            ""
            if prior == first
            else _shown(
                estimate([a - b for a, b in zip(rows[row], scores[first][row], strict=True)], ids, mean), digits[row]
            )
            for row in ROWS
        ]
        table.append([prior, *values, *apart])
    print(f"\n{len(records)} images of {SIZE} x {SIZE}, {options.steps} steps, {options.seeds} seeds\n")
    print(markdown(table))


if __name__ == "__main__":
    main()
