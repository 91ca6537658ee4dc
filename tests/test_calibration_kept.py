"""The calibration that is kept with a model: how it is measured, stored and shown."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import fastpunet
from fastpunet import ProbabilisticUNet, load, save, summarize
from fastpunet.cli import main
from fastpunet.data import Record
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.masks import PackedMasks
from fastpunet.models.calibration import Calibration, Reliability
from fastpunet.scoring.calibrating import measure_calibration, volume_tables
from fastpunet.scoring.evaluate import evaluate
from fastpunet.scoring.references import References
from fastpunet.training.config import TrainingConfig
from fastpunet.training.run import train

HALF = Reliability((4.0, 1.0), (0.5, 1.0), (0.25, 1.0))
KNOWN = Calibration("test data", 5, 2, 16, pixels=HALF, presence=HALF, volume=HALF)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = ProbabilisticUNet(channels=(3, 4), latent_dim=2, convs_per_block=1)
    model.calibration = KNOWN
    return model


def test_errors_and_biases():
    assert HALF.error == pytest.approx(0.2)
    assert HALF.bias == pytest.approx(0.2)
    under = Reliability((1.0, 1.0), (0.2, 0.6), (0.5, 0.5))
    assert (under.error, under.bias) == (pytest.approx(0.2), pytest.approx(-0.1))
    assert "presence off by 20.0 points on average (10.0 too seldom)" in str(
        Calibration("x", 1, 1, 1, pixels=HALF, presence=under)
    )
    right = Reliability((1.0,), (1.0,), (1.0,))
    assert "presence off by 0.0 points on average, pixels" in str(
        Calibration("x", 1, 1, 1, pixels=HALF, presence=right)
    )


def test_it_survives_files_and_is_shown(model, tmp_path, capsys):
    save(model, tmp_path / "a.safetensors")
    loaded = load(tmp_path / "a.safetensors")
    assert loaded.calibration == KNOWN
    save(loaded, tmp_path / "b.safetensors")
    assert load(tmp_path / "b.safetensors").calibration == KNOWN
    assert main(["info", str(tmp_path / "b.safetensors")]) == 0
    said = capsys.readouterr().out
    assert "ProbabilisticUNet" in said
    assert str(KNOWN) in said
    assert "| 0.500 | 0.250 | 4 |" in said
    summary = summarize(loaded, torch.zeros(3, 1, 8, 8), n=4, seed=0)
    assert summary.calibration == KNOWN
    assert str(KNOWN) in summary._repr_html_()


def test_answers_show_it(model, tmp_path, capsys):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    save(model, tmp_path / "m.safetensors")
    out = tmp_path / "out"
    assert main(["sample", str(tmp_path / "m.safetensors"), str(tmp_path / "a.png"), "-o", str(out), "-n", "4"]) == 0
    assert f"this model's {KNOWN}\n" in capsys.readouterr().out
    answer = json.loads((out / "a" / "answer.json").read_text())
    assert answer["model"]["calibration"] == {
        "data": "test data",
        "images": 5,
        "patients": 2,
        "hypotheses": 16,
        "presence": {"error": 0.2, "bias": 0.2},
        "pixels": {"error": 0.2, "bias": 0.2},
        "volume": {"error": 0.2, "bias": 0.2},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 0}, "images is 0"),
        ({"pixels": None}, "pixels is None"),
        ({"pixels": {"count": [1], "predicted": [0.5]}}, "observed"),
        ({"pixels": {"count": [1], "predicted": [0.5], "observed": ["x"]}}, "observed is"),
        ({"pixels": {"count": [0], "predicted": [0.5], "observed": [0.5]}}, "count is"),
        ({"trust": 1}, "expected data, hypotheses, images"),
    ],
)
def test_odd_entries_of_a_file_are_named(model, tmp_path, change, message):
    save(model, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["fastpunet"])
    header["calibration"].update(change)
    save_file(dict(model.state_dict()), tmp_path / "b.safetensors", metadata={"fastpunet": json.dumps(header)})
    with pytest.raises(ValueError, match=f"b.safetensors: calibration: .*{message}"):
        load(tmp_path / "b.safetensors")


def test_places_of_volumes_by_hand():
    own = torch.tensor([[[[0, 0, 0, 0]], [[0, 0, 0, 0]], [[1, 1, 0, 0]], [[1, 1, 1, 1]]]])  # 0, 0, 2 and 4 pixels
    record = Record(
        np.zeros((1, 1, 4), np.float32), np.array([[[0, 0, 0, 0]], [[1, 1, 1, 0]]], np.uint8), 0
    )  # 0 and 3 pixels: spread over 0 .. 0.5, and exactly 0.75
    table = volume_tables(PackedMasks.pack(own), References.of([record], 1, torch.device("cpu")))
    first = [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1]
    second = [0, 0, 0, 0, 0, 0, 0, 1, 1]
    expected = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    torch.testing.assert_close(table[0, 2], torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(table[0, 1], torch.arange(1, 10, dtype=torch.float64) / 10)


def test_it_is_what_evaluation_measures():
    model, records = load("lesions"), SyntheticLesions(12, seed=3)
    found = measure_calibration(model, records, "new lesions", n=16)
    scores = evaluate(model, records, ns=(16,))
    assert (found.images, found.patients, found.hypotheses) == (12, 12, 16)
    assert found.presence.error == pytest.approx(scores.estimate(16, "presence_calibration_error").value)
    assert found.pixels.error == pytest.approx(scores.estimate(16, "pixel_calibration_error").value)
    assert sum(found.presence.count) == 12


def test_hypotheses_drawn_as_graders_draw_are_calibrated():
    rng = np.random.default_rng(0)

    def masks(images, n):
        areas = rng.integers(0, 33, (images, n))
        return (np.arange(64) < areas[..., None]).astype(np.uint8).reshape(images, n, 8, 8)

    graders, hypotheses = masks(400, 4), PackedMasks.pack(torch.from_numpy(masks(400, 50)))
    records = [Record(np.zeros((1, 8, 8), np.float32), its, k) for k, its in enumerate(graders)]
    table = volume_tables(hypotheses, References.of(records, 1, torch.device("cpu"))).mean(0)
    assert (table[1] - table[2]).abs().max() < 0.03


def test_training_ends_with_it(tmp_path):
    said = []
    config = TrainingConfig(
        kind="lesions",
        count=8,
        size=16,
        model=dict(channels=[4, 6], latent_dim=2, convs_per_block=1),
        steps=4,
        validate_every=2,
        validation_images=3,
        batch_size=4,
    )
    model = load(train(config, tmp_path / "run", say=said.append))
    assert (model.calibration.data, model.calibration.images) == ("validation data", 3)
    assert str(model.calibration) in said
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_a_run_that_is_interrupted_while_it_measures_goes_on(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    config = TrainingConfig(
        kind="lesions",
        count=8,
        size=16,
        model=dict(channels=[4, 6], latent_dim=2, convs_per_block=1),
        steps=2,
        validation_images=3,
        batch_size=4,
    )
    with monkeypatch.context() as patched:
        patched.setattr("fastpunet.training.run.measure_calibration", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "run", say=lambda _: None)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert load(train(config, tmp_path / "run", resume=True, say=lambda _: None)).calibration.images == 3


def test_several_classes_have_no_presence():
    torch.manual_seed(0)
    model = fastpunet.models.MHeads(num_classes=3, channels=(3, 4), convs_per_block=1, heads=4)
    labels = np.random.default_rng(0).integers(0, 3, (2, 8, 8)).astype(np.uint8)
    labels[0, 0, 0] = 255
    found = measure_calibration(model, [Record(np.zeros((1, 8, 8), np.float32), labels, 0)], "x")
    assert (found.presence, found.volume, found.hypotheses) == (None, None, 4)
    assert sum(found.pixels.count) == 63
    assert measure_calibration(model, [Record(np.zeros((1, 8, 8), np.float32), labels[:0], 0)], "x") is None
