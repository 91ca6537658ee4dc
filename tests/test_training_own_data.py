"""`fastpunet train --data FOLDER`: what is chosen for somebody's data, and what a run on them ends with."""

import numpy as np
import pytest
import torch
import yaml

from fastpunet import ProbabilisticUNet, load, save
from fastpunet.cli import main
from fastpunet.cli.train import parser
from fastpunet.data import Record
from fastpunet.data.npz import write_members
from fastpunet.data.parts import Parts, find_parts
from fastpunet.training.config import TrainingConfig
from fastpunet.training.config_file import given_keys
from fastpunet.training.datasets import read_data
from fastpunet.training.forecast import Forecast
from fastpunet.training.starting_config import starting_config
from fastpunet.training.survey import survey

Image = pytest.importorskip("PIL.Image")

SMALL = ["--model", "{channels: [3, 4], latent_dim: 2, convs_per_block: 1}", "batch_size=2"]


def write_pictures(root, sizes, raters=("ann", "ben"), label=1, channels=1):
    """A picture of each size, in which each rater marks the middle, the second a smaller part of it."""
    rng = np.random.default_rng(0)
    for number, size in enumerate(sizes):
        shape = size if channels == 1 else (*size, channels)
        planes = {"images": rng.integers(0, 256, shape, np.uint8)}
        for k, rater in enumerate(raters):
            mask = np.zeros(size, np.uint8)
            inner = tuple(slice(side // 4 + k, side - side // 4 - k) for side in size)
            mask[inner] = label
            planes[f"masks/{rater}"] = mask
        for name, values in planes.items():
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(root / name / f"p{number:02}.png")
    return root


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve 16 x 16 images with masks of two raters."""
    return write_pictures(tmp_path_factory.mktemp("pictures"), [(16, 16)] * 12)


def _chosen(data, gpu=False, **given):
    return starting_config({"data": str(data), **given}, gpu=gpu)


def test_data_alone_suffice(pictures, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", "--data", str(pictures), "--output", str(run), "steps=4", *SMALL]) == 0
    said = capsys.readouterr()
    assert said.out == f"{run}/model.safetensors\n"
    for text in (
        "agreement    two masks of an image share 56% of what either marks",
        "nothing suspicious",
        f"{pictures} (folder): 12 images of 16 x 16 pixels, 1 channel, up to 2 masks for each image",
        "the weights are chosen by 20% of the 12 images, each counted as a patient",
        "a network of 2 scales with 3 to 4 channels\n",
        "binary masks, one logit",
        "4 steps of 2 images with 2 of their masks",
        "finished at step 4, with the weights of step",
        "# Scores on the validation part, by which the weights were chosen",
        "| random training masks |",
        f"These and all other scores are in {run}/scores.md.",
    ):
        assert text in said.err
    summary, rest = (run / "scores.md").read_text().split("All scores of the model:\n\n")
    assert summary in said.err
    assert summary.index("| random training masks |") < summary.index("The scores rest on")
    assert "| AURC" in rest
    assert "| AURC" not in said.err
    assert load(run).config["latent_dim"] == 2
    card = (run / "README.md").read_text()
    assert (run / "scores.md").read_text().removeprefix("# ").strip() in card
    assert "a share of 0.2 of the patients" in card
    assert str(pictures.parent) not in card
    kept = yaml.safe_load((run / "config.yaml").read_text())
    assert (kept["kind"], kept["steps"], kept["validation_share"]) == ("folder", 4, 0.2)
    again = tmp_path / "again"
    assert main(["train", "--config", str(run / "config.yaml"), "--output", str(again), "seed=1"]) == 0
    assert yaml.safe_load((again / "config.yaml").read_text()) == {**kept, "seed": 1}


def test_the_choice_can_be_written_and_edited_first(pictures, tmp_path, capsys):
    run = tmp_path / "run"
    command = ["train", "--data", str(pictures), "--output", str(run), "--config-only", "steps=2", "seed=5"]
    assert main([*command, "model.latent_dim=3", "augmentation.flip=false"]) == 0
    assert f"fastpunet train --config {run}/config.yaml --output {run}" in capsys.readouterr().out
    assert not (run / "model.safetensors").exists()
    text = (run / "config.yaml").read_text()
    assert "# the weights are chosen by 20% of the 12 images, each counted as a patient\n" in text
    config = yaml.safe_load(text)
    assert config["model"] == {
        "in_channels": 1,
        "num_classes": 1,
        "channels": [16, 32],
        "convs_per_block": 2,
        "latent_dim": 3,
    }
    found = {key: config[key] for key in ("kind", "data", "validation_share", "intensity", "graders_per_image")}
    assert found == {
        "kind": "folder",
        "data": str(pictures),
        "validation_share": 0.2,
        "intensity": "range:0.0:255.0",
        "graders_per_image": 2,
    }
    assert config["objective"] == {"energy_weight": 1000.0, "hypotheses": 8, "bound_graders": 1}
    assert (config["steps"], config["seed"], config["augmentation"]) == (
        2,
        5,
        {"flip": False, "rotation": 15.0, "scale": [0.85, 1.15], "gamma": [0.8, 1.25]},
    )
    assert "crop" not in config
    assert main(command) == 2
    assert "config.yaml exists already" in capsys.readouterr().err


def test_what_is_given_is_taken_also_where_it_equals_a_default(pictures):
    options = parser().parse(
        ["--data", str(pictures), "--output", "x", "steps=5000", "batch_size=16", "validation_share=0"]
    )
    given = given_keys(options)
    assert given == {"data": str(pictures), "steps": 5000, "batch_size": 16, "validation_share": 0.0}
    values = starting_config(given, gpu=False).values
    assert (values["steps"], values["batch_size"], values["validation_share"]) == (5000, 16, 0.0)
    assert _chosen(pictures).values["steps"] != 5000


def test_parts_are_found_by_their_names(tmp_path):
    for part in ("train", "valid", "test", "other"):
        write_pictures(tmp_path / part, [(16, 16)] * 2)
    (tmp_path / "train_notes.txt").write_text("")
    assert find_parts(tmp_path) == Parts("train", "valid", "test")
    config = _chosen(tmp_path).config
    assert (config.file, config.validation, config.test, config.validation_share) == ("train", "valid", "test", 0)
    assert [len(part) for part in read_data(config)] == [2, 2, 2]
    write_pictures(tmp_path / "training", [(16, 16)])
    assert find_parts(tmp_path) == Parts()
    assert find_parts(tmp_path / "train") == Parts()


def test_the_test_part_is_what_is_scored_and_new_weights_are_scored_again(tmp_path, capsys):
    for part in ("train", "test"):
        write_pictures(tmp_path / part, [(16, 16)] * 3)
    run = tmp_path / "run"
    start = ["train", "--data", str(tmp_path), "--output", str(run), "steps=2", "validation_share=0", *SMALL]
    assert main(start) == 0
    assert (run / "scores.md").read_text().startswith("# Scores on the test part, test\n")
    said = capsys.readouterr().err
    assert "the scores at the end are those of test" in said
    assert "note: 3 names of patients both in train and in test: p00, p01, p02" in said
    assert "problem: the same image under several names" in said
    go_on = ["train", "--resume", "--output", str(run)]
    assert main(go_on) == 0
    assert capsys.readouterr().err == f"{run}/model.safetensors is finished; nothing to do\n"
    assert main([*go_on, "--steps", "3"]) == 0
    assert "finished at step 3" in (said := capsys.readouterr().err)
    assert "# Scores on the test part, test\n" in said


def test_bundles_are_parts_too(data_root):
    assert find_parts(data_root / "camvid") == Parts(
        "camvid_train_128x160.npz", "camvid_val_128x160.npz", "camvid_test_128x160.npz"
    )
    assert find_parts(data_root / "lidc") == Parts()  # two bundles could be the one to train on
    assert find_parts(data_root / "formats" / "cityscapes") == Parts("train", "val")
    config = _chosen(data_root / "formats" / "cityscapes").config
    assert (config.kind, config.resize, config.model["num_classes"]) == ("cityscapes", (256, 512), 19)
    assert config.crop == (128, 128)


def test_classes_and_sizes_are_read_off_the_data(tmp_path):
    write_pictures(tmp_path, [(20, 30), (24, 26)], raters=("ann",), label=4, channels=3)
    chosen = _chosen(tmp_path)
    assert chosen.values["model"] == {"in_channels": 3, "num_classes": 5, "channels": [16, 32], "convs_per_block": 2}
    assert (chosen.values["crop"], chosen.values["crop_anywhere"]) == ([20, 26], True)
    assert chosen.values["validation_share"] == 0.5
    assert "5 classes, the labels 0 .. 4; nothing is labelled 1, 2, 3" in chosen.reasons
    assert "one mask for each image, which shows how images differ but not how raters do" in chosen.reasons[0]
    wide = _chosen(tmp_path, gpu=True).values
    assert (wide["model"]["channels"], wide["precision"]) == ([32, 64], "bf16-mixed")
    assert not chosen.config.objective.energy_weight  # of one rater and several classes


@pytest.mark.parametrize(("inner", "side"), [(20, 64), (60, 96), (240, 128)])
def test_large_images_are_cropped_to_what_is_marked(tmp_path, inner, side):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    mask = np.zeros((300, 260), np.uint8)
    mask[10 : 10 + inner, 20:40] = 255
    Image.fromarray(np.zeros_like(mask)).save(tmp_path / "images" / "a.png")
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    chosen = _chosen(tmp_path)
    assert chosen.values["crop"] == [side, side]
    assert ("up to 240 pixels long, more than the parts show" in " ".join(chosen.reasons)) == (inner == 240)
    assert "validation_share" not in chosen.values
    assert any(reason.startswith("no validation: the data are one image") for reason in chosen.reasons)


def test_masks_that_mark_nothing_are_refused(tmp_path, capsys):
    write_pictures(tmp_path, [(8, 8)] * 3, label=0)
    assert main(["train", "--data", str(tmp_path), "--output", str(tmp_path / "run")]) == 2
    assert "data: all masks are empty, so there is nothing to learn" in capsys.readouterr().err
    config = TrainingConfig(kind="folder", data=str(tmp_path))
    with pytest.raises(ValueError, match="^data: all masks of all 3 images are empty"):
        read_data(config)


def test_grey_values_are_no_classes(tmp_path):
    write_pictures(tmp_path, [(8, 8)] * 2, label=200)
    with pytest.raises(
        ValueError, match="masks hold 2 values up to 200, which look like grey values .*num_classes=201"
    ):
        _chosen(tmp_path)


def test_volumes_are_said_to_be_taken_slice_by_slice(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    for name in ("images", "masks/ann"):
        (tmp_path / name).mkdir(parents=True)
        for case in range(2):
            values = np.zeros((12, 10, 8), np.uint8)
            values[3:9, 3:7, 2:5] = 1
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / name / f"case{case}.nii.gz")
    chosen = _chosen(tmp_path)
    assert any("volumes are taken slice by slice" in reason for reason in chosen.reasons)
    assert len(read_data(chosen.config).training) == 3  # marked slices of the one of two patients
    whole = _chosen(tmp_path, model={"dims": 3})
    assert not any("slice by slice" in reason for reason in whole.reasons)
    assert not whole.values["augmentation"]
    assert chosen.values["augmentation"]["flip"] is False
    assert read_data(whole.config).training[0].image.shape == (1, 8, 12, 10)


def test_weights_to_start_from_bring_their_architecture(pictures, tmp_path):
    torch.manual_seed(0)
    save(ProbabilisticUNet(channels=(3, 4), latent_dim=2, convs_per_block=1), tmp_path / "start.safetensors")
    start = str(tmp_path / "start.safetensors")
    values = _chosen(pictures, init_from=start).values
    assert values["model"]["channels"] == [3, 4]
    assert values["learning_rate"] == 3e-4
    run = tmp_path / "run"
    assert main(["train", "--data", str(pictures), "--init-from", start, "--output", str(run), "steps=1"]) == 0
    assert load(run).config == load(start).config


def test_images_without_patients_are_held_out_by_themselves(tmp_path):
    members = {
        "images": np.arange(8 * 40 * 48, dtype=np.uint32).reshape(8, 40, 48).astype(np.uint8),
        "masks_packed": np.full((8, 2, 40, 6), 255, np.uint8),
        "patient": np.array([""] * 8),
    }
    write_members(tmp_path / "own.npz", members)
    chosen = _chosen(tmp_path / "own.npz")
    assert "the weights are chosen by 20% of the 8 images, each counted as a patient" in chosen.reasons
    training, held_out, _ = read_data(chosen.config)
    assert (len(training), len(held_out)) == (6, 2)
    assert {record.id for record in training} | {record.id for record in held_out} == set(range(8))


def test_a_survey_measures_what_is_marked():
    masks = np.zeros((2, 9, 12), np.uint8)
    masks[0, 2:4, 3:10] = 1
    masks[1, 0, 0] = 255
    facts = survey([Record(np.zeros((1, 9, 12), np.float32), masks, 0)])
    assert (facts.labels, facts.raters, facts.least) == ({0, 1, 255}, 2, (9, 12))
    assert facts.extent == 7


def test_the_time_is_told_after_the_first_steps():
    class Trainer:
        global_step, max_steps, is_global_zero = 2, 102, True

    said, now = [], iter((5.0, 7.0))
    forecast = Forecast(said.append, clock=lambda: next(now))
    forecast.on_train_start(Trainer, None)
    for step in range(3, 103):
        forecast.after_step(Trainer, None, step)
    assert said == ["0.2 s per step: the other 87 steps take about 17 s"]
