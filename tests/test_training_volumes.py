"""A Probabilistic U-Net of volumes: trained from NIfTI files, sampled and scored."""

import nibabel
import numpy as np
import torch

from fastpunet import Sampler, load
from fastpunet.data import folder as folders
from fastpunet.scoring.evaluate import evaluate
from fastpunet.training.config import TrainingConfig
from fastpunet.training.run import train

SIZE = (8, 12, 10)


def write_balls(root, count):
    """Bright balls in noise, each outlined by two raters, of whom the second draws a smaller one."""
    rng = np.random.default_rng(0)
    places = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), -1)
    for k in range(count):
        distance = np.linalg.norm(places - rng.uniform((3, 4, 3), (5, 8, 7)), axis=-1)
        volumes = {"images": (distance < 3) + 0.1 * rng.random(SIZE), "masks/a": distance < 3, "masks/b": distance < 2}
        for name, volume in volumes.items():
            path = root / name / f"case{k}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            dtype = np.float32 if name == "images" else np.uint8
            nibabel.save(nibabel.Nifti1Image(volume.astype(dtype), np.eye(4)), path)


def test_a_model_of_volumes_trains_samples_and_is_scored(tmp_path):
    for part, count in (("train", 8), ("val", 3)):
        write_balls(tmp_path / part, count)
    config = TrainingConfig(
        kind="folder",
        data=str(tmp_path),
        file="train",
        validation="val",
        model=dict(channels=[6, 8], latent_dim=2, convs_per_block=1, dims=3),
        intensity="range:0:1.1",
        steps=80,
        validate_every=40,
        checkpoint_every=80,
        batch_size=4,
        learning_rate=5e-3,
        warmup_steps=5,
    )
    model = load(train(config, tmp_path / "run", say=lambda _: None))
    assert (model.dims, model.orientation, model.spacing) == (3, "RAS", (1.0, 1.0, 1.0))
    records = folders.read(tmp_path / "val", whole=True, intensity=model.intensity)
    assert records[0].image.shape[0] == 1
    scores = evaluate(model, records, ns=(8,), seed=0)
    assert scores.estimate(8, "unbiased").value < 0.2
    assert scores.estimate(8, "best_iou").value > 0.6
    drawn = Sampler(model).sample(torch.from_numpy(records[0].image)[None], 8, seed=0)
    assert drawn.shape == (1, 8, *records[0].image.shape[1:])
