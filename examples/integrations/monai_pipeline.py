"""A MONAI pipeline that ends in hypotheses: load NIfTI files, resample, draw, go back to the files' own grid, save.

python examples/integrations/monai_pipeline.py FOLDER      # pip install monai nibabel pytorch-ignite
"""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, EnsureChannelFirstd, Invertd, LoadImaged, Orientationd, SaveImaged, Spacingd

import fastpunet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.integrations.monai import HypothesisInferer


def write_images(folder: Path, count: int = 2) -> list[Path]:
    """Synthetic lesions as NIfTI files: pixels of 0.8 mm, axes that lead to the left and to the back."""
    paths = [folder / f"lesion{number}.nii.gz" for number in range(count)]
    for path, record in zip(paths, SyntheticLesions(count, seed=1), strict=True):
        fine = np.kron(record.image[0], np.ones((2, 2), np.float32))[:-3, :-5]  # of an odd size
        nibabel.save(nibabel.Nifti1Image(fine, np.diag([-0.8, -0.8, 1, 1])), path)
    return paths


def main(folder: Path, n: int = 64) -> list[Path]:
    """Write n hypotheses of every image as the last axis of one file, and return the files."""
    files = [{"image": str(path)} for path in write_images(folder)]
    load = [LoadImaged("image"), EnsureChannelFirstd("image")]
    to_training = [Orientationd("image", "RA", labels=None), Spacingd("image", (1.6, 1.6))]  # what the model knows
    before = Compose([*load, *to_training])
    back = Invertd("pred", before, orig_keys="image", nearest_interp=True)
    names = {"output_dir": folder, "output_postfix": "hypotheses", "separate_folder": False}
    after = Compose([back, SaveImaged("pred", **names, resample=False, output_dtype=np.uint8)])
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(files, before), batch_size=1),
        network=fastpunet.load("lesions"),
        inferer=HypothesisInferer(n, roi_size=64, seed=0),
        postprocessing=after,
    ).run()
    return sorted(folder.glob("*_hypotheses.nii.gz"))


if __name__ == "__main__":
    for written in main(Path(sys.argv[1])):
        print(written, nibabel.load(written).shape)
