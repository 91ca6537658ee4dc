"""Training: batches, the run, resuming, and what the model learns."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import yaml

from fastpunet import ProbabilisticUNet, load
from fastpunet.data import Record
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.training.batches import Batches
from fastpunet.training.config import TrainingConfig, read_config, recipes
from fastpunet.training.run import train
from fastpunet.training.start import set_output_bias

TINY = dict(
    data="lesions",
    count=12,
    size=16,
    model=dict(channels=[4, 6], latent_dim=2, convs_per_block=1),
    steps=12,
    checkpoint_every=4,
    batch_size=3,
    warmup_steps=2,
)


def _quiet(_):
    pass


def test_batches_are_a_function_of_seed_and_step():
    records = SyntheticLesions(7, size=16)
    whole = Batches(records, 3, seed=5, steps=9)
    later = Batches(records, 3, seed=5, steps=9, first_step=4)
    for a, b in zip(list(whole)[4:], later, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    other = Batches(records, 3, seed=6, steps=9)
    assert not torch.equal(whole[0].images, other[0].images)
    assert whole[2].ids.tolist() == [6, 7, 8]


def test_every_record_is_seen_once_a_round_and_augmented_with_its_mask():
    rng = np.random.default_rng(0)
    records = []
    for i in range(5):
        mask = rng.integers(0, 2, (1, 8, 8), dtype=np.uint8)
        records.append(Record(mask.astype(np.float32) + i, mask, id=i))
    seen, orientations = [], set()
    for batch in Batches(records, 1, seed=0, steps=200):
        index = int(batch.images.min())
        torch.testing.assert_close(batch.images[0, 0], batch.labels[0].float() + index)
        seen.append(index)
        orientations.add((index, batch.labels.numpy().tobytes()))
    assert all(sorted(seen[i : i + 5]) == [0, 1, 2, 3, 4] for i in range(0, 200, 5))
    assert len(orientations) > 5 * 6  # of the eight symmetries of a square


def test_graders_are_drawn_by_weight():
    masks = np.arange(3, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    image = np.zeros((1, 4, 4), np.float32)
    weighted = Record(image, masks, 0, weights=np.array([0.7, 0.0, 0.3], np.float32))
    for record, expected in ((weighted, [0.7, 0.0, 0.3]), (Record(image, masks, 0), [1 / 3] * 3)):
        labels = [int(batch.labels[0, 0, 0]) for batch in Batches([record], 1, seed=0, steps=600)]
        np.testing.assert_allclose(np.bincount(labels, minlength=3) / 600, expected, atol=0.07)


def test_training_starts_from_the_frequency_of_the_classes():
    records = SyntheticLesions(20, size=32)
    expected = np.mean([np.tensordot(r.weights, r.masks, 1).mean() for r in records])
    model = ProbabilisticUNet(channels=(4, 6))
    set_output_bias(model, records)
    assert float(model.fcomb.last_layer.bias.detach().sigmoid()) == pytest.approx(expected, rel=0.02)
    multi = ProbabilisticUNet(1, 3, channels=(4, 6))
    set_output_bias(multi, records)
    frequency = multi.fcomb.last_layer.bias.detach().softmax(0)
    assert float(frequency[1]) == pytest.approx(expected, rel=0.02)
    assert frequency[2] < 1e-3


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_writes_weights_settings_and_metrics(tmp_path, precision):
    config = TrainingConfig(**{**TINY, "precision": precision})
    weights = train(config, tmp_path / "run", say=_quiet)
    assert set(os.listdir(tmp_path / "run")) == {
        "config.yaml",
        "last.ckpt",
        "metrics",
        "model.safetensors",
        "run.json",
    }
    assert load(weights).config["channels"] == [4, 6]
    assert TrainingConfig(**yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())) == config


def test_runs_of_one_seed_are_equal_and_of_two_differ(tmp_path):
    states = [
        load(train(TrainingConfig(**{**TINY, "seed": seed}), tmp_path / name, say=_quiet)).state_dict()
        for seed, name in ((0, "a"), (0, "b"), (1, "c"))
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not any(torch.equal(states[0][name], states[2][name]) for name in states[0])


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**TINY, "steps": 400, "checkpoint_every": 40}))
    whole = load(train(read_config(config), tmp_path / "whole", say=_quiet)).state_dict()
    folder = tmp_path / "killed"
    command = [
        sys.executable,
        "-m",
        "fastpunet.cli",
        "train",
        "--config",
        str(config),
        "--output",
        str(folder),
        "--resume",
    ]
    for kills in range(2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        written = (folder / "last.ckpt").stat().st_mtime if kills else 0.0
        while process.poll() is None and not _newer(folder / "last.ckpt", written):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (folder / "model.safetensors").exists(), "the run ended before it could be killed"
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    resumed = load(folder / "model.safetensors").state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def _newer(path, than):
    return path.exists() and path.stat().st_mtime > than


def test_a_run_is_never_overwritten(tmp_path):
    config = TrainingConfig(**TINY)
    weights = train(config, tmp_path, say=_quiet)
    before = weights.read_bytes()
    with pytest.raises(ValueError, match="holds a run already; pass --resume"):
        train(config, tmp_path, say=_quiet)
    with pytest.raises(ValueError, match="holds a run of another config"):
        train(TrainingConfig(**{**TINY, "seed": 1}), tmp_path, resume=True, say=_quiet)
    assert train(config, tmp_path, resume=True, say=_quiet) == weights
    assert weights.read_bytes() == before


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    forward = ProbabilisticUNet.encode

    def broken(self, images):
        features, prior = forward(self, images)
        return features * torch.nan, prior

    monkeypatch.setattr(ProbabilisticUNet, "encode", broken)
    with pytest.raises(FloatingPointError, match="loss became nan at step 0: lower learning_rate"):
        train(TrainingConfig(**TINY), tmp_path, say=_quiet)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.slow
def test_training_lowers_the_loss_and_does_not_collapse(tmp_path):
    config = TrainingConfig(**{**TINY, "count": 60, "steps": 300, "checkpoint_every": 100, "learning_rate": 3e-3})
    model = load(train(config, tmp_path, say=_quiet))
    held_out = Batches(SyntheticLesions(60, seed=9, size=16), 60, seed=0, steps=1)[0]
    start = ProbabilisticUNet(**config.model)
    set_output_bias(start, SyntheticLesions(60, seed=9, size=16))
    noise = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = (m.elbo(held_out.images, held_out.labels, noise=noise) for m in (start, model))
    assert after.loss < 0.7 * before.loss
    assert after.kl > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(data="brats"), "data: got 'brats', expected one of lesions, lidc"),
        (dict(data="lidc"), "file: missing"),
        (dict(precision="16"), "precision: got '16'"),
        (dict(steps=0), "steps: got 0"),
        (dict(batch_size="8"), "batch_size: got '8'"),
        (dict(learning_rate=0), "learning_rate: got 0"),
        (dict(learning_rate="1e-3"), "learning_rate: got '1e-3'"),
        (dict(beta=-1), "beta: got -1"),
        (dict(gradient_clip=float("nan")), "gradient_clip: got nan"),
        (dict(seed=-1), "seed: got -1"),
        (dict(steps=True), "steps: got True"),
        (dict(learning_rate=float("inf")), "learning_rate: got inf"),
        (dict(model=[1]), r"model: got \[1\]"),
        (dict(file=5), "file: got 5"),
        (dict(learnign_rate=1), "unknown keys learnign_rate; known: data, file"),
    ],
)
def test_impossible_configs_are_named(tmp_path, change, message):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**TINY, **change}))
    with pytest.raises(ValueError, match=message):
        read_config(path)


def test_files_that_are_no_config_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no recipe of that name; lesions, lidc-tiny"):
        read_config("lidc-huge")
    path = tmp_path / "config.yaml"
    for text, message in (("[", "is not YAML"), ("- 1", "holds list"), ("steps: 3", "lacks the key data")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_config(path)


def test_an_impossible_model_leaves_no_run_behind(tmp_path):
    for model in ({"chanels": [4]}, {"channels": 5}, {"channels": [4], "in_channels": 3}):
        with pytest.raises((TypeError, ValueError), match="chan"):
            train(TrainingConfig(**{**TINY, "model": model}), tmp_path / "run", say=_quiet)
        assert not (tmp_path / "run").exists()


def test_a_broken_checkpoint_is_named(tmp_path):
    config = TrainingConfig(**TINY)
    train(config, tmp_path, say=_quiet)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "last.ckpt").write_bytes((tmp_path / "last.ckpt").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"last\.ckpt cannot be read .* delete it to start this run anew"):
        train(config, tmp_path, resume=True, say=_quiet)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path):
    command = [sys.executable, "-m", "fastpunet.cli", "train", "--config", "lesions", "--output", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "run").glob("metrics/*/metrics.csv")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "go on with --resume" in error


def test_lidc_needs_its_folder(tmp_path):
    with pytest.raises(
        ValueError, match="data: missing; pass the folder that holds lidc_tiny_train_64.npz with --data"
    ):
        train(read_config("lidc-tiny"), tmp_path / "run", say=_quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", sorted(recipes()))
def test_recipes_are_valid(name):
    config = read_config(name)
    ProbabilisticUNet(**config.model)
