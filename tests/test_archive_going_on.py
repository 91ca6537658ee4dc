"""Archives that another run goes on with: other inputs, other ways to name them, another backend."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("zarr")
pytest.importorskip("pyarrow")
from helpers.killing import REQUEST, contents
from helpers.small_model import save_pictures, save_small_model

import fastpunet
from fastpunet.cli import main
from fastpunet.prediction.archiving.run import run_archive

SOURCES = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "in", 4)


@pytest.mark.parametrize(
    ("before", "after", "names"), [("a", "ab", ("case00", "a_case00")), ("ab", "a", ("a_case00", "case00"))]
)
def test_inputs_that_give_an_image_another_name_are_refused(model, tmp_path, before, after, names):
    """Not drawn twice under two names, with other noise."""
    folders = {name: save_pictures(tmp_path / name, 1) for name in "ab"}
    (tmp_path / "b" / "case00.png").write_bytes(save_pictures(tmp_path / "c", 2).joinpath("case01.png").read_bytes())
    path = tmp_path / "a.zarr"
    run_archive(model, [folders[name] for name in before], path, REQUEST)
    there = contents(path)
    message = (
        f"^output: .*a.zarr has .*case00.png under the name {names[0]}, but among these inputs its name is {names[1]};"
    )
    with pytest.raises(ValueError, match=message):
        run_archive(model, [folders[name] for name in after], path, REQUEST, skip_existing=True)
    assert contents(path) == there


def test_a_file_of_the_same_name_but_another_ending_gives_an_image_another_name(model, tmp_path):
    folder, path = save_pictures(tmp_path / "a", 1), tmp_path / "a.zarr"
    run_archive(model, [folder], path, REQUEST)
    np.save(folder / "case00.npy", np.asarray(Image.open(folder / "case00.png")))
    with pytest.raises(ValueError, match="under the name case00, but among these inputs its name is case00_png;"):
        run_archive(model, [folder], path, REQUEST, skip_existing=True)
    run_archive(model, [folder], path, REQUEST, overwrite=True)
    assert sorted(fastpunet.open_samples(path)) == ["case00_npy", "case00_png"]
    with pytest.raises(ValueError, match="under the name case00_png, but among these inputs its name is case00;"):
        run_archive(model, [folder / "case00.png"], path, REQUEST, skip_existing=True)


def test_a_file_of_the_same_name_gives_an_image_a_number(model, tmp_path):
    folder, path = save_pictures(tmp_path / "a", 2), tmp_path / "a.zarr"
    (folder / "case00.png").rename(folder / "x y.png")
    (folder / "case01.png").rename(folder / "x_y.png")
    run_archive(model, [folder / "x_y.png"], path, REQUEST)
    with pytest.raises(ValueError, match="x_y.png under the name x_y, but among these inputs its name is x_y-2;"):
        run_archive(model, [folder], path, REQUEST, skip_existing=True)


def test_more_inputs_of_other_names_are_gone_on_with(model, images, tmp_path):
    """The bytes are those of one run, however the files are given."""
    first = [images / f"case{place:02}.png" for place in range(3)]
    more = [os.path.relpath(images / "case03.png"), *first]
    run_archive(model, first, tmp_path / "a.zarr", REQUEST)
    assert run_archive(model, more, tmp_path / "a.zarr", REQUEST, skip_existing=True) == {"done": 1, "kept": 3}
    run_archive(model, [*first, images / "case03.png"], tmp_path / "b.zarr", REQUEST)
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")


def test_an_archive_that_another_backend_goes_on_with_says_so(model, images, tmp_path, capsys):
    """And each image says on which one it was computed."""
    inputs = [str(images / f"case{place:02}.png") for place in range(2)]
    path = tmp_path / "a.zarr"
    paths = os.pathsep.join((str(SOURCES), str(SOURCES / "kernels"), os.environ.get("PYTHONPATH", "")))
    environment = os.environ | {"PYTHONPATH": paths, "FASTPUNET_CPU_CAPABILITY": "portable"}
    first = ["sample", str(model), inputs[0], "-o", str(path), "-n", "64", "--seed", "3"]
    subprocess.run([sys.executable, "-m", "fastpunet.cli", *first], env=environment, check=True)
    assert not (path / "log.jsonl").exists()
    assert main(["sample", str(model), *inputs, "-o", str(path), "-n", "64", "--seed", "3", "--skip-existing"]) == 0
    here = fastpunet.open_samples(path)["case01"].about["computed"]["instructions"]
    if here == "portable":
        pytest.skip("this processor has nothing else")
    assert fastpunet.open_samples(path)["case00"].about["computed"]["instructions"] == "portable"
    warning = f"was begun with another backend (instructions portable then, {here} now)"
    assert warning in capsys.readouterr().err
    (line,) = map(json.loads, (path / "log.jsonl").read_text().splitlines())
    assert warning in line["message"]
    assert main(["verify", str(path), "--hypotheses", "4"]) in (0, 1)  # a pixel may differ
    assert all("rounding may explain it" in text for text in capsys.readouterr().err.splitlines())
