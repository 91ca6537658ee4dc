"""A training run: what it writes, how it resumes, what the model learns."""

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
import torch
import yaml

from fastpunet import ProbabilisticUNet, load
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.training import validation
from fastpunet.training.batches import Batches
from fastpunet.training.config import TrainingConfig
from fastpunet.training.config_file import read_config
from fastpunet.training.module import learning_rate
from fastpunet.training.run import new_model, train
from fastpunet.training.start import set_output_bias

TINY = dict(
    kind="lesions",
    count=12,
    size=16,
    model=dict(channels=[4, 6], latent_dim=2, convs_per_block=1),
    steps=12,
    checkpoint_every=4,
    validate_every=6,
    validation_images=3,
    batch_size=4,
    warmup_steps=2,
)


def _quiet(_):
    pass


def _same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def _curve(folder):
    with (folder / "curve.csv").open() as file:
        return list(csv.DictReader(file))


def _command(config, folder):
    return [*f"{sys.executable} -m fastpunet.cli train --resume --config {config} --output {folder}".split()]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_writes_weights_settings_and_its_curve(tmp_path, precision):
    config = TrainingConfig(**{**TINY, "precision": precision})
    weights = train(config, tmp_path / "run", say=_quiet)
    assert set(os.listdir(tmp_path / "run")) == {
        "README.md",
        "config.json",
        "config.yaml",
        "curve.csv",
        "last.ckpt",
        "model.safetensors",
        "run.json",
        "tensorboard",
    }
    assert load(weights).config["channels"] == [4, 6]
    assert (load(weights).spacing, load(weights).image_size) == (None, (TINY["size"],) * 2)
    assert TrainingConfig(**yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())) == config
    about = load(weights).about
    assert about["data"].startswith("It was trained on ")
    assert "synthetic, of the kind lesions" in about["data"]
    assert "images, made with another seed." in about["split"]
    assert about["config"] in (tmp_path / "run" / "README.md").read_text()
    curve = _curve(tmp_path / "run")
    assert [row["step"] for row in curve] == ["6", "12"]
    assert all(float(row["loss"]) > 0 and float(row["validation_energy_distance"]) > 0 for row in curve)
    report = json.loads((tmp_path / "run" / "run.json").read_text())
    best = min(curve, key=lambda row: float(row["validation_energy_distance"]))
    assert report["best_step"] == int(best["step"])


def test_runs_of_one_seed_are_equal_and_of_two_differ(tmp_path):
    settings = {**TINY, "validate_every": 12}
    states = [
        load(train(TrainingConfig(**{**settings, "seed": seed}), tmp_path / name, say=_quiet)).state_dict()
        for seed, name in ((0, "a"), (0, "b"), (1, "c"))
    ]
    assert _same(states[0], states[1])
    assert not any(torch.equal(states[0][name], states[2][name]) for name in states[0])


def test_the_best_weights_are_kept_and_patience_ends_a_run(tmp_path, monkeypatch):
    scores = iter([0.5, 0.3, 0.4, 0.6, 0.1])
    monkeypatch.setattr("fastpunet.training.validation.diagnose", lambda *_, **__: {"energy_distance": next(scores)})
    config = TrainingConfig(**{**TINY, "steps": 20, "validate_every": 2, "patience": 2})
    train(config, tmp_path / "run", say=_quiet)
    report = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (report["steps"], report["best_step"], report["best_validation_energy_distance"]) == (8, 4, 0.3)
    four = TrainingConfig(**{**TINY, "steps": 20, "validate_every": 2, "patience": 1})
    monkeypatch.setattr("fastpunet.training.validation.diagnose", lambda model, *_, **__: _record(model, states))
    states = []
    train(four, tmp_path / "again", say=_quiet)
    assert _same(load(tmp_path / "run" / "model.safetensors").state_dict(), states[1])


def test_scores_that_are_undefined_select_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("fastpunet.training.validation.diagnose", lambda *_, **__: {"energy_distance": float("nan")})
    assert train(TrainingConfig(**TINY), tmp_path / "run", say=_quiet).exists()


def _record(model, states):
    states.append({name: value.clone() for name, value in model.state_dict().items()})
    return {"energy_distance": -len(states)}


@pytest.mark.parametrize("accumulate", [2, 4])
def test_parts_of_a_step_add_up(tmp_path, accumulate):
    whole, parts = (
        load(train(TrainingConfig(**{**TINY, "steps": 6, "accumulate": n}), tmp_path / str(n), say=_quiet)).state_dict()
        for n in (1, accumulate)
    )
    for name, expected in whole.items():
        torch.testing.assert_close(parts[name], expected, rtol=1e-3, atol=1e-5)
    assert _curve(tmp_path / "1")[0]["loss"][:6] == _curve(tmp_path / str(accumulate))[0]["loss"][:6]


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path):
    """Gloo sums float32 in another order; Adam's first steps hide nothing: they follow the sign of each gradient."""
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**TINY, "steps": 3, "graders_per_image": 2, "validate_every": 3}))
    one = load(train(read_config(config), tmp_path / "one", say=_quiet)).state_dict()
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    subprocess.run([*command, *_command(config, tmp_path / "two")[1:]], check=True, env=_environment(), timeout=300)
    two = load(tmp_path / "two" / "model.safetensors").state_dict()
    for name, expected in one.items():
        torch.testing.assert_close(two[name], expected, rtol=1e-4, atol=1e-5)
    a, b = (_curve(tmp_path / name)[0] for name in ("one", "two"))
    assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=1e-5)
    assert json.loads((tmp_path / "two" / "run.json").read_text())["processes"] == 2


def _environment():
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_curve_and_weights(tmp_path):
    config = tmp_path / "config.yaml"
    geco = {"geco_target": 60.0}
    settings = {**TINY, "steps": 60, "checkpoint_every": 10, "validate_every": 20, "accumulate": 2, "objective": geco}
    config.write_text(yaml.safe_dump({**settings, "augmentation": {"flip": True}}))
    whole = tmp_path / "whole"
    subprocess.run(_command(config, whole), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = tmp_path / "killed"
    moments = random.Random(0)
    for kills in range(2):
        process = subprocess.Popen(_command(config, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        written = (folder / "last.ckpt").stat().st_mtime if kills else 0.0
        while process.poll() is None and not _newer(folder / "last.ckpt", written):
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(_command(config, folder), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert _same(load(whole / "model.safetensors").state_dict(), load(folder / "model.safetensors").state_dict())
    assert (folder / "curve.csv").read_text() == (whole / "curve.csv").read_text()


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
    loss_terms = ProbabilisticUNet.loss_terms

    def broken(self, *batch, **options):
        terms = loss_terms(self, *batch, **options)
        return terms._replace(reconstruction=terms.reconstruction * torch.nan)

    monkeypatch.setattr(ProbabilisticUNet, "loss_terms", broken)
    with pytest.raises(FloatingPointError, match="loss became nan at step 0: lower learning_rate"):
        train(TrainingConfig(**TINY), tmp_path, say=_quiet)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.slow
def test_training_lowers_the_loss_and_does_not_collapse(tmp_path):
    settings = {"count": 60, "steps": 300, "checkpoint_every": 100, "validate_every": 300, "learning_rate": 3e-3}
    config = TrainingConfig(**{**TINY, **settings})
    model = load(train(config, tmp_path, say=_quiet))
    records = SyntheticLesions(60, seed=9, size=16)
    held_out = Batches(records, TrainingConfig(**{**TINY, "batch_size": 60}))[0]
    start = ProbabilisticUNet(**config.model)
    set_output_bias(start, records)
    noise = torch.randn(60, 1, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = (m.elbo(held_out.images, held_out.labels, noise=noise) for m in (start, model))
    assert after.reconstruction.mean() + after.kl.sum(-1).mean() < 0.7 * before.reconstruction.mean()
    assert after.kl.sum(-1).mean() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("rate", [1e-3, 1e-2])
def test_high_learning_rates_stay_finite(tmp_path, rate):
    settings = {"learning_rate": rate, "batch_size": 2, "precision": "bf16-mixed", "steps": 300, "validate_every": 300}
    train(TrainingConfig(**{**TINY, **settings}), tmp_path, say=_quiet)
    assert all(float(row["loss"]) < 1e4 for row in _curve(tmp_path))


def test_training_starts_from_the_frequency_of_the_classes():
    records = SyntheticLesions(20, size=32)
    expected = sum((r.weights[:, None, None] * r.masks).sum(0).mean() for r in records) / 20
    model = ProbabilisticUNet(channels=(4, 6))
    set_output_bias(model, records)
    assert float(model.fcomb.last_layer.bias.detach().sigmoid()) == pytest.approx(expected, rel=0.02)
    multi = ProbabilisticUNet(1, 3, channels=(4, 6))
    set_output_bias(multi, records)
    frequency = multi.fcomb.last_layer.bias.detach().softmax(0)
    assert float(frequency[1]) == pytest.approx(expected, rel=0.02)
    assert frequency[2] < 1e-3
    cropped = new_model(TrainingConfig(**{**TINY, "size": 32, "crop": [16, 16]}), records)
    inside = sum((r.weights[:, None, None] * r.masks).sum(0)[8:24, 8:24].mean() for r in records) / 20
    assert float(cropped.fcomb.last_layer.bias.detach().sigmoid()) == pytest.approx(inside, rel=0.02)


def test_learning_rates():
    cosine = TrainingConfig(**{**TINY, "steps": 100, "warmup_steps": 10, "learning_rate": 1.0})
    assert [learning_rate(cosine, step) for step in (0, 50, 100)] == pytest.approx([0.1, 0.5, 0.0], abs=1e-3)
    paper = {"schedule": "constant", "learning_rates": {80: 0.5, 160: 0.1}, "learning_rate": 1.0, "warmup_steps": 1}
    constant = TrainingConfig(**{**TINY, **paper})
    assert [learning_rate(constant, step) for step in (0, 79, 80, 159, 160, 999)] == [1, 1, 0.5, 0.5, 0.1, 0.1]


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
    with pytest.raises(ValueError, match=r"last\.ckpt cannot be read .* delete it to start this run again"):
        train(config, tmp_path, resume=True, say=_quiet)


@pytest.mark.parametrize(
    ("moment", "number", "accumulate"),
    [
        ("step", signal.SIGINT, 2),
        ("step", signal.SIGTERM, 1),
        ("batch", signal.SIGINT, 1),
        ("batch", signal.SIGTERM, 2),
        ("validation", signal.SIGINT, 1),
    ],
)
def test_an_interrupted_run_is_saved_and_goes_on_as_if_nothing_had_happened(
    tmp_path, monkeypatch, moment, number, accumulate
):
    config = TrainingConfig(**{**TINY, "accumulate": accumulate})
    whole = train(config, tmp_path / "whole", say=_quiet)
    owner, name, at = {
        "step": (ProbabilisticUNet, "loss_terms", 5 * accumulate),
        "batch": (Batches, "__getitem__", 5 * accumulate),
        "validation": (validation, "diagnose", 1),
    }[moment]
    before = signal.getsignal(number)
    original, calls = getattr(owner, name), iter(range(1, 99))

    def signalled(*values, **options):
        if next(calls) == at:
            os.kill(os.getpid(), number)
        return original(*values, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, signalled)
        with pytest.raises(KeyboardInterrupt) as stop:
            train(config, tmp_path / "run", say=_quiet)
    step = 6 if moment == "validation" else 5
    assert str(stop.value) == f"stopped at step {step} of 12; --resume goes on from step {step}"
    assert signal.getsignal(number) == before
    resumed = train(config, tmp_path / "run", resume=True, say=_quiet)
    assert _same(load(whole).state_dict(), load(resumed).state_dict())
    assert (tmp_path / "run" / "curve.csv").read_text() == (tmp_path / "whole" / "curve.csv").read_text()


def test_a_finished_run_is_prolonged(tmp_path, capsys):
    """With a constant learning rate, 6 steps and 6 more are the same as 12."""
    settings = {**TINY, "schedule": "constant", "accumulate": 2}
    whole = train(TrainingConfig(**settings), tmp_path / "whole", say=_quiet)
    first = train(TrainingConfig(**{**settings, "steps": 6}), tmp_path / "run", say=_quiet)
    prolonged = train(TrainingConfig(**settings), tmp_path / "run", resume=True, say=_quiet)
    assert prolonged == first
    assert _same(load(whole).state_dict(), load(prolonged).state_dict())
    assert _curve(tmp_path / "run")[-1] == _curve(tmp_path / "whole")[-1]
    assert "step" not in capsys.readouterr().out  # no bars where there is no terminal


def test_a_run_that_died_before_its_first_checkpoint_does_not_block_its_name(tmp_path, monkeypatch):
    config = TrainingConfig(**TINY)

    def broken(*_, **__):
        raise FloatingPointError("no")

    with monkeypatch.context() as patch:
        patch.setattr(ProbabilisticUNet, "loss_terms", broken)
        with pytest.raises(FloatingPointError):
            train(config, tmp_path / "run", say=_quiet)
    assert (tmp_path / "run" / "config.yaml").exists()
    assert train(TrainingConfig(**{**TINY, "seed": 3}), tmp_path / "run", say=_quiet).exists()


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path):
    steps, config = 1_000_000, tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**TINY, "steps": steps}))
    command = _command(config, tmp_path / "run")
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs are started deaf to it
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    try:
        while not (tmp_path / "run" / "curve.csv").exists():
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=300)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert re.search(rf"stopped at step (\d+) of {steps}; --resume goes on from step \1\n$", error)
