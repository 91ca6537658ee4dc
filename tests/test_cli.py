"""The command line and what it prints."""

import numpy as np
import pytest

from fastpunet.cli import main

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
    run = tmp_path / "run"
    assert main(["train", "--data", str(pictures), "--output", str(run), "steps=1", *SMALL]) == 0
    assert "kind: folder\n" in (run / "config.yaml").read_text()
    assert capsys.readouterr().out.endswith("run/model.safetensors\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "{tmp}/run"], "kind: missing, expected one of lesions, lidc, camvid, cityscapes, folder"),
        (["--data", "{tmp}", "--output", "{tmp}/run"], "is no data set that fastpunet knows"),
        (
            ["--data", "{data}", "--kind", "cityscapes", "--output", "{tmp}/run"],
            "it looks like data of the kind folder: --kind folder",
        ),
        (
            ["--kind", "folder", "--data", "{tmp}/none", "--output", "{tmp}/file/run"],
            "output: got '{tmp}/file/run', and nothing can be written in {tmp}/file: Not a directory",
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
    assert "is what a training run goes on from (fastpunet train --resume), not a model; load its folder" in error


def test_a_run_goes_on_by_its_own_config(pictures, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", "--data", str(pictures), "--output", run, "steps=1", *SMALL, "schedule=constant"]) == 0
    before = (tmp_path / "run" / "config.yaml").read_text()
    assert main(["train", "--resume", f"output={run}", "--steps", "2"]) == 0
    assert (tmp_path / "run" / "config.yaml").read_text() == before.replace("steps: 1\n", "steps: 2\n", 1)
    assert main(["train", "--resume", "--output", run, "steps=2", "seed=1"]) == 2
    assert "holds a run of another config" in capsys.readouterr().err
