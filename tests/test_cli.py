"""The command line and what it prints."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from fastpunet import ProbabilisticUNet, save
from fastpunet.cli import main
from fastpunet.data import lidc
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.training.config import TrainingConfig
from fastpunet.training.run import new_model

Image = pytest.importorskip("PIL.Image")

SMALL = ["--model", "{channels: [3, 4], latent_dim: 2, convs_per_block: 1}", "batch_size=2", "warmup_steps=1"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve 16 x 16 images with masks of two raters."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(12):
        for name, peak in (("images", 256), ("masks/ann", 2), ("masks/ben", 2)):
            (root / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, peak, (16, 16), np.uint8)).save(root / name / f"p{number}.png")
    return root


def test_training_recognises_its_data(pictures, tmp_path, capsys):
    (tmp_path / "own.yaml").write_text(f"data: {pictures}\nsteps: 1\n")
    run = tmp_path / "run"
    assert main(["train", "--config", str(tmp_path / "own.yaml"), "--output", str(run), *SMALL]) == 0
    assert "kind: folder\n" in (run / "config.yaml").read_text()
    said = capsys.readouterr()
    assert said.out == f"{run}/model.safetensors\n"
    assert said.err == "finished at step 1, with the weights of that step\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--output", "{tmp}/run"],
            "kind: missing, expected one of lesions, lesion-pairs, lesions-3d, lidc, ",
        ),
        (
            ["--data", "{data}", "--output", "{tmp}/file"],
            "output: got '{tmp}/file', where nothing can be written ({tmp}/file: Not a directory); name another folder",
        ),
        (
            ["--config", "lesions", "--output", "{tmp}/run", "--config-only"],
            "--config-only: expected --data without --config",
        ),
        (
            ["--kind", "lesions", "--output", "{tmp}/run", "--device", "gpu"],
            """device: got 'gpu', expected "auto", "cpu", "cuda" or "cuda:0", "cuda:1", ...""",
        ),
        (["--kind", "lesions", "--output", "{tmp}/run", "--threads", "0"], "threads: got 0"),
        (["--data", "{tmp}", "--output", "{tmp}/run"], "is not a data set that fastpunet knows"),
        (
            ["--data", "{data}", "--kind", "cityscapes", "--output", "{tmp}/run"],
            "it looks like data of the kind folder: --kind folder",
        ),
        (
            ["--kind", "folder", "--data", "{tmp}/none", "--output", "{tmp}/file/run"],
            "output: got '{tmp}/file/run', where nothing can be written ({tmp}/file: Not a directory)",
        ),
    ],
)
def test_training_names_what_it_cannot_start_with(pictures, tmp_path, capsys, arguments, message):
    (tmp_path / "file").write_text("")
    places = {"tmp": tmp_path, "data": pictures}
    assert main(["train", *(argument.format(**places) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert message.format(**places) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [["evaluate", "--data", "none"], ["latent", "--output", "a.png"]])
def test_a_runs_checkpoint_is_no_model(tmp_path, capsys, command):
    (tmp_path / "config.yaml").write_text("kind: lesions")
    (tmp_path / "last.ckpt").write_bytes(b"PK")
    if command[0] == "evaluate":
        command = ["evaluate", "--data", str(tmp_path), "--kind", "folder"]
    assert main([*command, str(tmp_path / "last.ckpt")]) == 2
    error = capsys.readouterr().err
    assert "is a checkpoint for fastpunet train --resume, not a model; load its folder" in error
    assert main([*command, str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"training run is not finished; finish it with fastpunet train --resume --output {tmp_path}\n" in error
    save(ProbabilisticUNet(channels=(3,)), tmp_path / "best.safetensors")
    assert main([*command, str(tmp_path)]) == 2
    assert f", or load {tmp_path}/best.safetensors, the best so far" in capsys.readouterr().err


def test_a_run_goes_on_by_its_own_config(pictures, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", "--data", str(pictures), "--output", run, "steps=1", *SMALL, "schedule=constant"]) == 0
    before = (tmp_path / "run" / "config.yaml").read_text()
    assert main(["train", "--resume", f"output={run}", "--steps", "2"]) == 0
    assert (tmp_path / "run" / "config.yaml").read_text() == before.replace("steps: 1\n", "steps: 2\n", 1)
    assert main(["train", "--resume", "--output", run, "steps=2", "seed=1"]) == 2
    assert "holds a run of another config" in capsys.readouterr().err


def test_training_starts_from_given_weights(tmp_path):
    architecture = dict(channels=[3, 4], latent_dim=2, convs_per_block=1)
    torch.manual_seed(7)
    start = ProbabilisticUNet(**architecture)
    save(start, tmp_path / "start.safetensors")
    config = TrainingConfig(
        kind="lesions", size=16, count=4, model=architecture, init_from=str(tmp_path / "start.safetensors")
    )
    records = SyntheticLesions(4, 0, 16)
    for name, value in new_model(config, records).state_dict().items():
        assert torch.equal(value, start.state_dict()[name])
    for change, message in (
        (
            {"model": {**architecture, "latent_dim": 3}},
            r".*start.safetensors has {'latent_dim': 2}, expected {'latent_dim': 3}",
        ),
        ({"init_from": "nowhere"}, "no file 'nowhere', and no shipped weights"),
        ({"method": "MHeads", "model": {}}, r".*start.safetensors is a ProbabilisticUNet, expected a MHeads"),
    ):
        with pytest.raises(ValueError, match=f"^init_from: {message}"):
            new_model(replace(config, **change), records)


@pytest.mark.parametrize("command", ["evaluate", "latent"])
def test_a_rule_for_grey_values_is_checked(pictures, tmp_path, capsys, command):
    output = ["--output", str(tmp_path / "x.png")] if command == "latent" else []
    assert main([command, "lesions", "--data", str(pictures), "--intensity", "range:5", *output]) == 2
    assert "intensity: got 'range:5', expected range:LOW:HIGH" in capsys.readouterr().err


def test_small_bundles_are_made_of_large_ones(tmp_path, capsys):
    rng = np.random.default_rng(0)
    images, masks = rng.integers(0, 256, (3, 72, 80), np.uint8), rng.integers(0, 2, (3, 2, 72, 80), np.uint8)
    patients = np.array(["a", "b", "c"])
    np.savez(tmp_path / "lidc_val_72.npz", images=images, masks_packed=np.packbits(masks, axis=-1), patient=patients)
    given = ["prepare", "lidc-tiny", "--bundles", str(tmp_path), "--size", "72"]
    assert main([*given, "--output", str(tmp_path / "small")]) == 0
    path = tmp_path / "small" / "lidc_tiny_val_64.npz"
    assert capsys.readouterr().out == f"{path}\n"
    for record, image, outlines in zip(lidc.read_npz(path), images, masks, strict=True):
        np.testing.assert_array_equal(record.image[0] * 255, image[4:68, 8:72])
        np.testing.assert_array_equal(record.masks, outlines[:, 4:68, 8:72])
    for arguments, message in (
        ([*given, "--output", str(tmp_path / "small")], "holds lidc_tiny_val_64.npz already"),
        ([*given[:-1], "90"], "bundles: none of lidc_train_90.npz, lidc_val_90.npz, lidc_test_90.npz in"),
        ([*given, "--dicom", "x"], "--dicom: got it with source lidc-tiny"),
        (["prepare", "lidc", "--dicom", "x"], "missing --database, --output; see fastpunet prepare --help"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "lesions"], "missing INPUT, --output; see fastpunet sample --help"),
        (["completion", "fish"], "shell: got fish, expected one of bash, zsh, tcsh"),
        (["prepare", "lung"], "SOURCE: got lung, expected one of lidc, lidc-tiny"),
        (
            ["sample", "lesions", "{tmp}", "-o", "{tmp}/out"],
            "input: no image in {tmp}; expected png, jpeg, tiff, nifti",
        ),
    ],
)
def test_what_is_missing_or_no_choice_is_named_in_one_line(tmp_path, capsys, arguments, message):
    assert main([argument.format(tmp=tmp_path) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert message.format(tmp=tmp_path) in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "beginning"),
    [
        ("evaluate lesions --data {data}", "data: {data}/masks/ann/p99.png is a mask without its image"),
        ("train --data {data} --output {out}", "data: {data}/masks/ann/p99.png is a mask without its image"),
        ("report lesions --data {data} -o {out}", "data: {data}/masks/ann/p99.png is a mask without its image"),
        ("evaluate lesions --data {part}", "data: no images '{part}/images/<patient>/*.png'"),
        ("evaluate lesions --data {good} -n 0", "n: got 0, expected a whole number of at least 1"),
        ("sample lesions {data} -o {out} --batch-size 0", "batch-size: got 0"),
        ("sample lesions {data} -o {out} --threshold girth:8", "threshold: got 'girth'"),
        ("sample lesions {data} -o {out} --overwrite --skip-existing", "skip-existing: got overwrite as well"),
        ("sample nowhere {data} -o {out}", "MODEL: no file 'nowhere'"),
        ("evaluate nowhere --data {good}", "MODEL: no file 'nowhere'"),
        ("assess nowhere {data}/images/p1.png {data}/masks/ann/p1.png", "MODEL: no file 'nowhere'"),
        ("convert nowhere {out}", "IN: no file 'nowhere'"),
        ("convert {data}/images/p1.png {out}", "IN: {data}/images/p1.png is truncated"),
        ("sample lesions {data} -o {out} --window 0", "window: got 0"),
        ("sample lesions {data} -o {out} --stall-seconds 3", "stall-seconds: got 3.0 for a folder"),
        ("report lesions nowhere -o {out}", "IMAGE: no file or folder 'nowhere'"),
        ("check nowhere", "DATA: no file or folder 'nowhere'"),
        ("train --data {good} --output {out} method=Foo", "method: got 'Foo', expected one of ProbabilisticUNet"),
        ("train --data {good} --output {out} model.channels=[]", "channels: got [], expected a positive number"),
        ("train --data {good} --output {out} batch_size=0", "batch_size: got 0"),
        ("train --data {good} --output {out} init_from=nowhere", "init_from: no file 'nowhere'"),
    ],
)
def test_errors_name_what_was_typed(pictures, tmp_path, capsys, arguments, beginning):
    """And no argument of a Python function that has another name."""
    folders = {"data": tmp_path / "data", "good": pictures, "part": tmp_path / "part", "out": tmp_path / "out"}
    shutil.copytree(pictures, folders["data"])
    (folders["data"] / "masks" / "ann" / "p1.png").rename(folders["data"] / "masks" / "ann" / "p99.png")
    (folders["part"] / "images").mkdir(parents=True)
    (folders["part"] / "gt").mkdir()
    assert main(arguments.format(**folders).split()) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"fastpunet {arguments.split()[0]}: {beginning.format(**folders)}")
