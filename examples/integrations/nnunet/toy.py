"""Plans, trains for a moment, predicts and draws hypotheses on ten synthetic cases: two raters of five volumes.

python toy.py FOLDER 3d_fullres          # or 2d; needs nnunetv2 2.8
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import torch

HERE = Path(__file__).parent
NAME = "Dataset900_Toy"
AFFINE = np.diag([-0.8, 0.9, 2.0, 1.0])


def environment(folder: Path) -> dict[str, str]:
    """nnU-Net's folders, one process for each of its tasks, and this folder, in which it finds the trainer."""
    folders = {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    return {**folders, "nnUNet_extTrainer": str(HERE), "nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1"}


def write_dataset(folder: Path, images: int = 5) -> None:
    """A bright ball in noise, which rater A outlines closely, and rater B with the grey rim around it."""
    rng = np.random.default_rng(0)
    places = {part: folder / NAME / part for part in ("imagesTr", "labelsTr", "imagesTs")}
    for place in places.values():
        place.mkdir(parents=True)
    grid = np.stack(np.meshgrid(*(np.arange(side) for side in (37, 33, 18)), indexing="ij"), -1)
    for number in range(images):
        centre = rng.uniform((14, 13, 7), (22, 20, 11))
        distance = np.linalg.norm((grid - centre) * (0.8, 0.9, 2.0), axis=-1)
        values = (0.6 * (distance < 5) + 0.3 * (distance < 7.5) + rng.normal(0, 0.1, distance.shape)).astype(np.float32)
        for rater, radius in (("A", 5), ("B", 7.5)):
            case = f"ball{number}__{rater}"
            save(values, places["imagesTr"] / f"{case}_0000.nii.gz")
            save((distance < radius).astype(np.uint8), places["labelsTr"] / f"{case}.nii.gz")
        if number == 0:
            save(values, places["imagesTs"] / "new_0000.nii.gz")
    about = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "ball": 1}, "file_ending": ".nii.gz"}
    (folder / NAME / "dataset.json").write_text(json.dumps({**about, "numTraining": 2 * images}), encoding="utf-8")


def save(values: np.ndarray, path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)


def train(configuration: str, epochs: int, iterations: int) -> Path:
    """Do what `nnUNetv2_train 900 CONFIGURATION 0 -tr nnUNetTrainerProbabilistic` does, but shorter."""
    from nnunetv2.run.run_training import get_trainer_from_args

    trainer = get_trainer_from_args(NAME, configuration, 0, "nnUNetTrainerProbabilistic", device=torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = epochs, iterations, 2
    trainer.run_training()
    trainer.perform_actual_validation()
    return Path(trainer.output_folder_base)


def main(folder: Path, configuration: str, n: int = 4, epochs: int = 2, iterations: int = 3) -> None:
    os.environ.update(environment(folder))
    write_dataset(folder / "raw")

    def run(command: str, *arguments: object) -> None:
        subprocess.run([Path(sys.executable).with_name(command), *map(str, arguments)], check=True)

    run(
        "nnUNetv2_plan_and_preprocess",
        "-d",
        900,
        "-c",
        configuration,
        "-np",
        1,
        "-npfp",
        1,
        "--verify_dataset_integrity",
    )
    model = train(configuration, epochs, iterations)
    images = folder / "raw" / NAME / "imagesTs"
    chosen = ("-d", 900, "-c", configuration, "-f", 0, "-tr", "nnUNetTrainerProbabilistic", "-device", "cpu")
    run("nnUNetv2_predict", "-i", images, "-o", folder / "predicted", *chosen, "-npp", 1, "-nps", 1)
    run("python", HERE / "draw_hypotheses.py", "-i", images, "-o", folder / "hypotheses", "-m", model, "-n", n)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
