"""Hypotheses that another program has stored, scored beside a model's and tested against them.

    python examples/score_stored.py HYPOTHESES DATA        # without arguments: thresholds of synthetic lesions

DATA is a data set with graders' masks. HYPOTHESES is a folder with NAME.npy (n, H, W), or .npz, .nii.gz, .tif or a
folder of PNG files, for each image; or one array (N, n, H, W). `fastpunet evaluate NAME=HYPOTHESES` makes reports.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import fastpunet
from fastpunet.data import sources
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.reports.tables import score_table
from fastpunet.scoring.comparing import Difference, compare
from fastpunet.scoring.evaluate import evaluate, evaluate_source
from fastpunet.scoring.stored import open_stored


def write_example(folder: Path, images: int = 40, n: int = 16) -> tuple[Path, Path]:
    """Lesions with four graders each, and what "another program" makes of them: n thresholds of the grey values."""
    cases, random = SyntheticLesions(images, seed=5)[:], np.random.default_rng(0)
    pictures = np.stack([(255 * case.image[0]).astype(np.uint8) for case in cases])
    graders = [case.masks[random.choice(4, 4, p=case.weights / case.weights.sum())] for case in cases]
    data, hypotheses = folder / "lesions.npz", folder / "thresholds.npy"
    np.savez(data, images=pictures, masks_packed=np.packbits(np.stack(graders), -1), patient=np.arange(images))
    np.save(hypotheses, pictures[:, None] > np.linspace(100, 220, n)[:, None, None])
    return hypotheses, data


def main(hypotheses: Path, data: Path, model: str = "lesions", n: int = 16) -> tuple[str, Difference]:
    """The scores of both as a table, with 95 % intervals over patients, and the difference in energy distance."""
    records = sources.read(None, data)
    theirs = evaluate_source(open_stored(hypotheses, data), records, (n,))
    ours = evaluate(fastpunet.load(model), records, ns=(n,))
    columns = {hypotheses.stem: (theirs, n), model: (ours, n)}
    return score_table(columns, f"n = {n}", images=len(records)), compare(theirs, ours, "expected_value", n)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        paths = map(Path, sys.argv[1:]) if len(sys.argv) > 1 else write_example(Path(folder))
        table, difference = main(*paths)
    print(table)
    interval = f"[{difference.low:+.3f}, {difference.high:+.3f}]"
    print(f"difference in energy distance: {difference.value:+.3f} {interval}, p = {difference.p:.2g}")
