"""The command line and what it prints."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastpunet import PackedMasks, ProbabilisticUNet, cli
from fastpunet.data import Record, camvid, sources
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.models.checkpoint import load, save
from fastpunet.reports.demo import Shown, mode_frequencies
from fastpunet_kernels import select_backend


@pytest.mark.parametrize("command", [[], ["demo"], ["train"], ["evaluate"], ["info"]])
def test_help_is_there_for_every_command(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, "--help"])
    assert stop.value.code == 0
    assert "usage: fastpunet" in capsys.readouterr().out


def test_demo_prints_its_tables_and_writes_its_picture(tmp_path, capsys):
    picture = tmp_path / "demo.png"
    assert cli.main(["demo", "--output", str(picture), "-n", "64"]) == 0
    text = capsys.readouterr().out
    for expected in ("plain loop", "energy distance to the known distribution", "absent", "tight", "medium", "wide"):
        assert expected in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["demo.png"]


def test_demo_takes_real_bundles(bundle, tmp_path, capsys):
    picture = tmp_path / "demo.png"
    assert cli.main(["demo", "--data", str(bundle.parent), "--output", str(picture), "-n", "64"]) == 0
    assert "share that outlines a lesion" in capsys.readouterr().out
    assert picture.is_file()


@pytest.mark.slow
def test_the_shipped_weights_know_the_distribution_of_the_lesions(tmp_path, capsys):
    cli.main(["demo", "--output", str(tmp_path / "demo.png"), "-n", "400"])
    lines = {line[:46].strip(): line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert float(lines["all 400, unbiased (0 is perfect)"][-1]) < 0.1
    modes = {name: line for line in lines.values() for name in ("absent", "tight", "medium", "wide") if line[0] == name}
    for line in modes.values():
        known, drawn = float(line[1]), float(line[2])
        assert abs(known - drawn) < 0.1
    assert len(modes) == 4


def test_mode_frequencies_of_the_exact_distribution():
    record = SyntheticLesions(1, seed=4)[0]
    counts = [5, 1, 3, 1]
    samples = np.repeat(record.masks, counts, axis=0)
    corner = np.zeros_like(record.masks[:1])
    corner[0, :2, :2] = 1
    drawn = PackedMasks.pack(torch.from_numpy(np.concatenate((samples, corner, corner)))[None])
    found = mode_frequencies(Shown(record, drawn, 0.0, 0.0, 0.0))
    np.testing.assert_allclose(found, np.array([*counts, 2]) / 12)


def test_info_says_what_is_missing_and_why(capsys, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert f"cpu: auto takes {select_backend('auto', torch.device('cpu'))}" in text
    assert "missing: the Triton kernels need a CUDA or ROCm device" in text
    assert "lesions, lidc-tiny" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "-n", "3"], "n: got 3"),
        (["demo", "--data", "/nowhere"], "path: no file '/nowhere/lidc_tiny_test_64.npz'"),
        (["demo", "--output", "/proc/demo.png", "-n", "16"], "output: got '/proc/demo.png'"),
        (["demo", "--output", "{folder}/..", "-n", "16"], "expected a name that ends in .png, .pdf, .svg"),
        (["demo", "--output", "{bundle}/x.png", "-n", "16"], "nothing can be written in"),
        (["train", "--config", "lesions", "--output", "{bundle}"], "File exists"),
        (["evaluate", "lesions", "--data", "/nowhere.npz"], "data: no file"),
        (["evaluate", "nothing", "--data", "{bundle}"], "no shipped weights of that name"),
        (["evaluate", "lesions", "--data", "{bundle}", "--convention", "mine"], "convention: got 'mine'"),
        (["evaluate", "lesions", "--data", "{bundle}", "-n", "0"], "ns: got 0, expected a whole number of at least 1"),
        (["evaluate", "lesions", "--data", "{bundle}", "--seed", "-1"], "seed: got -1"),
        (["train", "--config", "nothing", "--output", "{folder}"], "no recipe of that name"),
        (["train", "--config", "lesions", "--output", "{folder}", "--steps", "0"], "steps: got 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(arguments, message, bundle, tmp_path, capsys):
    filled = [argument.format(bundle=bundle, folder=tmp_path / "run") for argument in arguments]
    assert cli.main(filled) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith(f"fastpunet {arguments[0]}: ")
    assert not (tmp_path / "run").exists()


def test_the_code_in_the_readme_runs_as_it_says():
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["masks"].dtype == torch.uint8
    assert names["masks"].shape == (1, 1000, 64, 64)
    assert abs(float(names["score"])) < 0.3


def test_importing_has_no_side_effects():
    code = (
        "import sys, torch; state = torch.get_rng_state(); threads = torch.get_num_threads(); import fastpunet;"
        "assert torch.equal(state, torch.get_rng_state()) and threads == torch.get_num_threads();"
        "loaded = {'lightning', 'matplotlib', 'triton.language'} & set(sys.modules); assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_checkpoint_file_is_evaluated_like_a_name(bundle, tmp_path, capsys):
    save(load("lesions"), tmp_path / "own.safetensors")
    tables = []
    for model in ("lesions", str(tmp_path / "own.safetensors")):
        assert cli.main(["evaluate", model, "--data", str(bundle), "-n", "4"]) == 0
        tables.append(capsys.readouterr().out.split("\n\n")[0])
    assert tables[0] == tables[1]


def test_evaluate_counts_the_flips_of_street_scenes(tmp_path, capsys):
    """A model that predicts one twin everywhere flips its class always, and says nothing of the others."""
    model = ProbabilisticUNet(3, 16, (4, 6), latent_dim=2, convs_per_block=1)
    with torch.no_grad():
        model.fcomb.last_layer.weight.zero_()
        model.fcomb.last_layer.bias.copy_(torch.eye(16)[len(camvid.CLASSES)])  # the twin of the first class that flips
    save(model, tmp_path / "m.safetensors")
    labels = np.full((2, 8, 8), 4, np.uint8)
    labels[1] = 3
    np.savez(
        tmp_path / "streets.npz",
        images=np.zeros((2, 8, 8, 3), np.uint8),
        labels=labels,
        names=np.array(["a_1.png", "a_2.png"]),
        ignore_index=11,
    )
    command = ["evaluate", str(tmp_path / "m.safetensors"), "--data", str(tmp_path / "streets.npz"), "--kind", "camvid"]
    command += ["--class-flips"]
    assert cli.main([*command, "-n", "5"]) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert rows[2] == ["Pavement", "0.471", "1.000", "1.000 to 1.000", "1.000", "1.000 to 1.000", "0.000", "1"]
    assert [row[2] for row in rows[3:7]] == ["-"] * 4
    assert cli.main(["evaluate", "lesions", "--data", "x.npz", "--kind", "lidc", "--class-flips"]) == 2
    assert "class_flips: got data of kind 'lidc', expected street scenes: camvid or city" in capsys.readouterr().err


def test_evaluate_counts_the_flips_of_cityscapes(tmp_path, capsys, monkeypatch):
    save(ProbabilisticUNet(3, 24, (4,), latent_dim=2, convs_per_block=1), tmp_path / "m.safetensors")
    scene = Record(np.zeros((3, 8, 8), np.float32), np.full((1, 8, 8), 8, np.uint8), 0)
    monkeypatch.setattr(sources, "read", lambda *_, **__: [scene])
    command = ["evaluate", str(tmp_path / "m.safetensors"), "--data", "x", "--kind", "cityscapes", "--class-flips"]
    assert cli.main([*command, "-n", "2"]) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[2:7]] == ["sidewalk", "person", "car", "vegetation", "road"]
    assert [row[-1] for row in rows[2:7]] == ["0", "0", "0", "1", "0"]
