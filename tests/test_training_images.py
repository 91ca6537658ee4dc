"""Models that know the images of their training, and what is said where they are scored on these."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("PIL.Image")
pytest.importorskip("lightning")
from PIL import Image

from fastpunet import load, save
from fastpunet.cli import main
from fastpunet.data import folder
from fastpunet.models import training_images
from fastpunet.models.training_images import MOST, TrainingImages

TINY = ["steps=1", "model.channels=[3,4]", "model.latent_dim=2", "model.convs_per_block=1", "validation_share=0"]
RNG = np.random.default_rng(0)


def _images(count, shape=(1, 3, 4)):
    return list(RNG.random((count, *shape), np.float32))


def _pictures(root, count):
    """Pictures of 16 x 16 pixels with the masks of one rater. Those of another root differ."""
    for place in range(count):
        mask = np.zeros((16, 16), np.uint8)
        mask[4:12, 4 + place % 3 : 12] = 1
        for name, values in (("images", RNG.integers(0, 256, (16, 16), np.uint8)), ("masks/ann", mask)):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(root / name / f"p{place}.png")
    return root


def _train(data, run, *options):
    assert main(["train", "--data", str(data), "--output", str(run), *TINY, *options]) == 0
    return load(run)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A model trained on five pictures, and where they are."""
    root = tmp_path_factory.mktemp("runs")
    _train(_pictures(root / "data", 5), root / "run")
    return root


def _said(capsys, *arguments):
    assert main([*map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_images_are_recognised_by_their_pixels_and_shape():
    images = _images(5)
    known = TrainingImages.of(images[:3])
    assert [image in known for image in images] == [True] * 3 + [False] * 2
    assert images[0].reshape(1, 4, 3) not in known
    assert images[0].astype(np.float64) in known
    changed = images[0].copy()
    changed[0, 0, 0] = np.nextafter(changed[0, 0, 0], np.float32(2))
    assert changed not in known
    assert TrainingImages.from_dict(json.loads(json.dumps(known.to_dict()))) == known
    empty = np.zeros((1, 3, 4), np.float32)
    assert empty not in TrainingImages.of([empty])  # many scans have such a slice


def test_images_of_two_trainings_are_joined(monkeypatch):
    images = _images(8)
    first, second = TrainingImages.of(images[:4]), TrainingImages.of(images[3:6])
    both = first | second
    assert [image in both for image in images] == [True] * 6 + [False] * 2
    assert both.complete
    assert first | None == first
    monkeypatch.setattr(training_images, "MOST", 5)
    part = TrainingImages.of(images[:5]) | second
    assert not part.complete
    assert sum(image in part for image in images) == 5
    assert not (TrainingImages.of(images[:2], complete=False) | second).complete


@pytest.mark.parametrize(
    "values",
    [
        [],
        {"hashes": 3},
        {"hashes": "AAAA"},
        {"hashes": "ü"},
        {"hashes": "A" * 32 * MOST},
        {"hashes": "", "complete": 1},
        {"hashes": "", "images": 3},
        {"complete": True},
    ],
)
def test_damaged_entries_are_refused(values):
    with pytest.raises(ValueError, match=r"^training_images: "):
        TrainingImages.from_dict(values)


def test_a_model_that_is_scored_on_images_of_its_training_says_so(runs, tmp_path, capsys):
    mixed = _pictures(tmp_path / "mixed", 4)
    for place in range(3):
        for name in ("images", "masks/ann"):
            (mixed / name / f"old{place}.png").write_bytes((runs / "data" / name / f"p{place}.png").read_bytes())
    sentence = "- run was trained on 3 of these 7 images, so its scores are too good."
    assert sentence in _said(capsys, "evaluate", runs / "run", "--data", mixed, "-n", "2", "--output", tmp_path / "x")
    assert sentence in (tmp_path / "x.md").read_text()
    assert json.loads((tmp_path / "x.json").read_text())["trained_on"] == {"run": "3 of these 7 images"}
    unseen = _pictures(tmp_path / "unseen", 3)
    assert "was trained on" not in _said(capsys, "evaluate", runs / "run", "--data", unseen, "-n", "2")


def test_each_checkpoint_of_a_method_says_what_it_was_trained_on(runs, tmp_path, capsys):
    model, images = load(runs / "run"), [record.image for record in folder.read(runs / "data")]
    for seed, count in enumerate((4, 1, 0)):
        model.training_images = TrainingImages.of(images[:count])
        save(model, tmp_path / f"m-seed{seed}.safetensors")
    said = _said(capsys, "evaluate", tmp_path, "--data", runs / "data", "-n", "2")
    trained_on = [line for line in said.splitlines() if "was trained on" in line]
    assert trained_on == [
        "- m-seed0 was trained on 4 of these 5 images, so its scores are too good.",
        "- m-seed1 was trained on 1 of these 5 images, so its scores are too good.",
    ]


def test_whether_the_images_are_known_is_told_and_survives_a_conversion(runs, tmp_path, capsys):
    assert "fastpunet evaluate recognises the images that it was trained on" in _said(capsys, "info", runs / "run")
    assert "holds hashes of these images" in (runs / "run" / "README.md").read_text()
    converted, without = tmp_path / "converted.safetensors", tmp_path / "without.safetensors"
    _said(capsys, "convert", runs / "run", converted)
    assert load(converted).training_images == load(runs / "run").training_images
    model = load(converted)
    model.training_images = None
    save(model, without)
    assert "which images it was trained on is unknown" in _said(capsys, "info", without)
    assert "was trained on" not in _said(capsys, "evaluate", without, "--data", runs / "data", "-n", "2")


def test_a_calibration_on_images_of_the_training_says_so(runs, tmp_path, capsys):
    given = ["--data", runs / "data", "--output", tmp_path / "c.safetensors", "-n", "2"]
    said = _said(capsys, "calibrate", runs / "run", *given, "--measure-only")
    assert "data given to calibrate; but the model was trained on 5 of these 5 images" in said
    calibrated = load(tmp_path / "c.safetensors")
    assert calibrated.calibration.data.endswith("trained on 5 of these 5 images")
    assert calibrated.training_images == load(runs / "run").training_images


def test_images_of_the_weights_that_a_training_starts_from_are_known_too(runs, tmp_path):
    """Also after the run is resumed, when these weights may be gone."""
    old, new = (list(folder.read(path)) for path in (runs / "data", _pictures(tmp_path / "new", 2)))
    start = tmp_path / "start.safetensors"
    save(load(runs / "run"), start)
    model = _train(tmp_path / "new", tmp_path / "run", f"init_from={start}")
    assert all(record.image in model.training_images for record in (*old, *new))
    start.unlink()
    assert main(["train", "--resume", "--output", str(tmp_path / "run"), "steps=2"]) == 0
    assert load(tmp_path / "run").training_images == model.training_images


def test_a_run_that_goes_on_with_other_data_knows_the_earlier_ones(runs, tmp_path):
    shutil.copytree(runs / "run", tmp_path / "run")
    other = _pictures(tmp_path / "other", 3)
    assert main(["train", "--resume", "--data", str(other), "--output", str(tmp_path / "run"), "steps=2"]) == 0
    known = load(tmp_path / "run").training_images
    assert all(record.image in known for path in (runs / "data", other) for record in folder.read(path))
    assert known.complete


def test_a_test_part_with_images_of_the_training_is_told_at_the_end(tmp_path, capsys):
    data = _pictures(tmp_path / "data" / "train", 3)
    test = _pictures(tmp_path / "data" / "test", 2)
    (test / "images" / "p0.png").write_bytes((data / "images" / "p0.png").read_bytes())
    _train(tmp_path / "data", tmp_path / "run")
    assert "- the model was trained on 1 of these 2 images, so its scores are too good." in capsys.readouterr().err


def test_of_many_images_a_sample_is_kept(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fastpunet.training.origin.MOST", 2)
    model = _train(runs / "data", tmp_path / "run")
    known = [record.image in model.training_images for record in folder.read(runs / "data")]
    assert (sum(known), model.training_images.complete) == (2, False)
    said = _said(capsys, "evaluate", tmp_path / "run", "--data", runs / "data", "-n", "2")
    assert "run was trained on at least 2 of these 5 images, so its scores are too good." in said
    assert "recognises 2 of the images that it was trained on" in _said(capsys, "info", tmp_path / "run")
