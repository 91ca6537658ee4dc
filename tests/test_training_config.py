"""Training configs: what is refused, what the recipes say."""

import pytest
import yaml

from fastpunet.models import METHODS
from fastpunet.training.config import TrainingConfig
from fastpunet.training.config_file import read_config, recipes

TINY = dict(kind="lesions", count=12, size=16, steps=12)


def test_a_config_survives_its_yaml():
    config = TrainingConfig(
        kind="lidc",
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
        (
            dict(kind="brats"),
            "kind: got 'brats', expected one of lesions, lesion-pairs, lesions-3d, lidc, ",
        ),
        (dict(kind="lidc"), "file: missing"),
        (dict(precision="16"), "precision: got 16, expected one of 32-true, bf16-mixed"),
        (dict(steps=0), "steps: got 0"),
        (dict(batch_size="eight"), "batch_size: got eight, expected a whole number"),
        (dict(learning_rate=0), "learning_rate: got 0"),
        (dict(learning_rate="slow"), "learning_rate: got slow, expected a number"),
        (dict(gradient_clip=float("nan")), "gradient_clip: got nan"),
        (dict(seed=-1), "seed: got -1"),
        (dict(steps=True), "steps: got True"),
        (dict(learning_rate=float("inf")), "learning_rate: got inf"),
        (dict(model=[1]), r"model: got \[1\]"),
        (dict(file=5), "file: got 5"),
        (
            dict(learnign_rate=1),
            "unknown key learnign_rate; did you mean learning_rate. The keys are kind, data, file",
        ),
        (dict(objective=dict(beta=-1)), "objective.beta: got -1"),
        (dict(objective=dict(beta_warmup=0.5)), "objective.beta_warmup: got 0.5"),
        (dict(objective=dict(bta=1)), "objective: unknown key bta; did you mean beta. The keys are beta"),
        (dict(objective=dict(geco_target=5.0, beta=2.0)), "objective.geco_target: got it with beta"),
        (dict(objective=dict(class_weights=[1, -1])), "objective.class_weights: got"),
        (dict(objective=dict(ignore_label=256)), "objective.ignore_label: got 256"),
        (dict(objective=3), "objective: got 3, expected keys and values"),
        (dict(augmentation=dict(scale=[1.2, 0.8])), "augmentation.scale: got .* expected 0 < low <= high"),
        (dict(augmentation=dict(scale=1)), "augmentation.scale: got 1, expected"),
        (dict(augmentation=dict(rotation=-5)), "augmentation.rotation: got -5"),
        (dict(augmentation=dict(probability=0)), "augmentation.probability: got 0"),
        (dict(augmentation=dict(flip=1)), "augmentation.flip: got 1, expected true or false"),
        (dict(crop=[5]), r"crop: got \[5\], expected \[height, width\] in pixels"),
        (
            dict(class_flips=True),
            "class_flips: got data of kind 'lesions', expected street scenes: camvid or cityscapes",
        ),
        (dict(resize=[4, 4]), "resize: got .* expected kind cityscapes"),
        (dict(learning_rates={5: 1e-3}), "learning_rates: got .* with schedule 'cosine'"),
        (dict(learning_rates={-5: 1e-3}, schedule="constant"), "learning_rates: step: got -5"),
        (dict(validation_share=1.0), "validation_share: got 1.0"),
        (dict(kind="lidc", file="a", patience=2), "patience: got 2 without validation data"),
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
    with pytest.raises(FileNotFoundError, match="no recipe of that name; the recipes are camvid-flips, "):
        read_config("lidc-huge")
    path = tmp_path / "config.yaml"
    for text, message in (
        ("[", "is not a YAML file of keys and values: line 1: "),
        ("- 1", "holds list, expected keys and values"),
        ("", "holds NoneType, expected keys and values"),
        ("steps: 3", "kind: missing, expected one of lesions, "),
        ("a: " + 5000 * "[", "nested more than 20 levels deep"),
        ("a: &a [1]\nb: [*a, *a]", r"it uses the alias \*a; write out its value"),
        ("kind: !!python/name:os.system", "could not determine a constructor"),
        (
            "{kind: lesions, model: {latent_dims: 6}}",
            "model: unknown key latent_dims; did you mean latent_dim",
        ),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message) as refusal:
            read_config(path)
        assert "\n" not in str(refusal.value)


def test_numbers_of_every_spelling_are_numbers(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("{kind: lesions, learning_rate: 1e-4, schedule: constant, learning_rates: {80: 5e-5, 90: 1E-5}}")
    config = read_config(path, weight_decay=1)
    assert (config.learning_rate, config.weight_decay) == (1e-4, 1.0)
    assert config.learning_rates == {80: 5e-5, 90: 1e-5}


@pytest.mark.parametrize("name", sorted(recipes()))
def test_recipes_are_valid(name):
    config = read_config(name)
    METHODS[config.method](**config.model)
