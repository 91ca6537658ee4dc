"""Training configs: what is refused, what the recipes say."""

import pytest
import yaml

from fastpunet.models import METHODS
from fastpunet.training.config import TrainingConfig, read_config, recipes

TINY = dict(data="lesions", count=12, size=16, steps=12)


def test_a_config_survives_its_yaml():
    config = TrainingConfig(
        data="lidc",
        file="a.npz",
        crop=[32, 64],
        augmentation={"scale": [0.8, 1.2], "elastic": [8, 2], "flip": True},
        objective={"free_bits": 0.1, "class_weights": [1, 2]},
        schedule="constant",
        learning_rates={80: 1e-4},
    )
    assert TrainingConfig(**yaml.safe_load(config.to_yaml())) == config
    assert config.crop == (32, 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(data="brats"), "data: got 'brats', expected one of lesions, lidc, camvid, cityscapes, folder"),
        (dict(data="lidc"), "file: missing"),
        (dict(precision="16"), "precision: got '16'"),
        (dict(steps=0), "steps: got 0"),
        (dict(batch_size="8"), "batch_size: got '8'"),
        (dict(learning_rate=0), "learning_rate: got 0"),
        (dict(learning_rate="1e-3"), "learning_rate: got '1e-3'"),
        (dict(gradient_clip=float("nan")), "gradient_clip: got nan"),
        (dict(seed=-1), "seed: got -1"),
        (dict(steps=True), "steps: got True"),
        (dict(learning_rate=float("inf")), "learning_rate: got inf"),
        (dict(model=[1]), r"model: got \[1\]"),
        (dict(file=5), "file: got 5"),
        (dict(learnign_rate=1), "unknown keys learnign_rate; known: data, file"),
        (dict(objective=dict(beta=-1)), "objective.beta: got -1"),
        (dict(objective=dict(beta_warmup=0.5)), "objective.beta_warmup: got 0.5"),
        (dict(objective=dict(bta=1)), "objective: unknown keys bta; known: beta"),
        (dict(objective=dict(geco_target=5.0, beta=2.0)), "objective.geco_target: excludes beta"),
        (dict(objective=dict(class_weights=[1, -1])), "objective.class_weights: got"),
        (dict(objective=dict(ignore_label=256)), "objective.ignore_label: got 256"),
        (dict(objective=3), "objective: got 3, expected keys and values"),
        (dict(augmentation=dict(scale=[1.2, 0.8])), "augmentation.scale: got .* expected 0 < low <= high"),
        (dict(augmentation=dict(scale=1)), r"augmentation.scale: got 1, expected \[low, high\]"),
        (dict(augmentation=dict(rotation=-5)), "augmentation.rotation: got -5"),
        (dict(augmentation=dict(probability=0)), "augmentation.probability: got 0"),
        (dict(augmentation=dict(flip=1)), "augmentation.flip: got 1, expected true or false"),
        (dict(crop=[5]), r"crop: got \[5\], expected \[height, width\]"),
        (
            dict(class_flips=True),
            "class_flips: got data of kind 'lesions', expected street scenes: camvid or cityscapes",
        ),
        (dict(resize=[4, 4]), "resize: got .* expected cityscapes"),
        (dict(learning_rates={5: 1e-3}), "learning_rates: got .* beside schedule 'cosine'"),
        (dict(learning_rates={-5: 1e-3}, schedule="constant"), "learning_rates: step: got -5"),
        (dict(validation_share=1.0), "validation_share: got 1.0"),
        (dict(data="lidc", file="a", patience=2), "patience: got 2 without validation data"),
        (dict(workers=-1), "workers: got -1"),
        (dict(graders_per_image=0), "graders_per_image: got 0"),
    ],
)
def test_impossible_configs_are_named(tmp_path, change, message):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**TINY, **change}))
    with pytest.raises((ValueError, TypeError), match=message):
        read_config(path)


def test_files_that_are_no_config_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no recipe of that name; camvid-flips, camvid-flips-small"):
        read_config("lidc-huge")
    path = tmp_path / "config.yaml"
    for text, message in (("[", "is not YAML"), ("- 1", "holds list"), ("steps: 3", "lacks the key data")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_config(path)


@pytest.mark.parametrize("name", sorted(recipes()))
def test_recipes_are_valid(name):
    config = read_config(name)
    METHODS[config.method](**config.model)
