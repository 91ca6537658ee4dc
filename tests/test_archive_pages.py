"""`fastpunet report` and `fastpunet assess` of an archive: what they say of its model and its images themselves."""

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("zarr")
pytest.importorskip("pyarrow")
pytest.importorskip("jinja2")
import zarr
from helpers.page_case import read_case, unpack
from helpers.small_model import save_pictures, save_small_model
from PIL import Image

from fastpunet.archive.layout import item_path
from fastpunet.cli import main
from fastpunet.prediction.archiving.run import run_archive
from fastpunet.prediction.request import Request


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a model, three images, a mask of the first and an archive."""
    folder = tmp_path_factory.mktemp("made")
    save_small_model(folder / "m.safetensors")
    save_pictures(folder / "in", 3)
    Image.fromarray(np.eye(20, 24, dtype=np.uint8)).save(folder / "mask.png")
    request = Request(n=12, seed=3, mean=True, measures=("longest_diameter",))
    assert run_archive(folder / "m.safetensors", [folder / "in"], folder / "a.zarr", request) == {"done": 3}
    return folder


@pytest.fixture
def moved(made, tmp_path):
    """The same folder elsewhere, while the first one is not there."""
    hidden = made.with_name("hidden")
    made.rename(hidden)
    yield shutil.copytree(hidden, tmp_path / "moved")
    hidden.rename(made)


def case(path):
    """The content of a page, but for how it was made."""
    found = read_case(path.read_text(encoding="utf-8"))
    del found["made"]
    return found


def drawn(made, page, *more):
    """The page about the first image by the model itself."""
    arguments = [str(made / "m.safetensors"), str(made / "in" / "case00.png"), "-n", "12", "--seed", "3"]
    assert main(["report", *arguments, "-o", str(page), *more]) == 0
    return case(page)


def test_a_page_of_an_archive_is_that_of_its_model_and_image(made, tmp_path):
    annotation = ["--annotation", str(made / "mask.png"), "--modes", "2"]
    expected = drawn(made, tmp_path / "model.html", *annotation)
    page = tmp_path / "archive.html"
    assert main(["report", str(made / "a.zarr"), "case00", "-o", str(page), *annotation]) == 0
    assert case(page) == expected
    assert case(page)["hypotheses"]["n"] == 12


def test_its_hypotheses_are_the_stored_ones(made, tmp_path):
    path = shutil.copytree(made / "a.zarr", tmp_path / "a.zarr")
    words = zarr.open_array(path / item_path("case00") / "masks", mode="r+")
    words[5] = np.full_like(words[5], -1)
    assert main(["report", str(path), "case00", "-o", str(tmp_path / "page.html")]) == 0
    labels = unpack(read_case((tmp_path / "page.html").read_text())["hypotheses"]["labels"])
    assert labels[5].all()
    assert not labels[4].all()


def test_without_names_all_images_get_a_page(made, tmp_path, capsys):
    assert main(["report", str(made / "a.zarr"), "-o", str(tmp_path / "pages")]) == 0
    assert "3 of 3 images have a page" in capsys.readouterr().out
    assert sorted(path.stem for path in (tmp_path / "pages").glob("case*.html")) == ["case00", "case01", "case02"]


def test_the_slice_of_a_volume(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    model = save_small_model(tmp_path / "m.safetensors")
    volume = np.random.default_rng(1).integers(0, 256, (20, 21, 5), dtype=np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag((0.8, 0.7, 2.0, 1.0))), tmp_path / "scan.nii.gz")
    run_archive(model, [tmp_path / "scan.nii.gz"], tmp_path / "a.zarr", Request(n=12))
    pages = [tmp_path / "model.html", tmp_path / "archive.html"]
    assert main(["report", str(model), str(tmp_path / "scan.nii.gz"), "-n", "12", "-o", str(pages[0])]) == 0
    assert main(["report", str(tmp_path / "a.zarr"), "-o", str(pages[1])]) == 0
    assert case(pages[1]) == case(pages[0])


def test_an_assessment_of_an_archive_is_that_of_its_model_and_image(made, tmp_path, capsys):
    image, mask = str(made / "in" / "case00.png"), str(made / "mask.png")
    written = [str(tmp_path / "model"), str(tmp_path / "archive")]
    model = str(made / "m.safetensors")
    assert main(["assess", model, image, mask, "-n", "12", "--seed", "3", "--output", written[0]]) == 0
    expected = capsys.readouterr().out.splitlines()[:-2]
    for name in ("case00", image):
        assert main(["assess", str(made / "a.zarr"), name, mask, "--output", written[1]]) == 0
        assert capsys.readouterr().out.splitlines()[:-2] == expected
    found, wanted = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("archive", "model"))
    assert {**found, "model": model} == wanted


def test_what_has_moved_is_named(moved, made, tmp_path, capsys):
    page, archive = str(tmp_path / "page.html"), str(moved / "a.zarr")
    assert main(["report", archive, "case00", "-o", page]) == 2
    assert "m.safetensors' is not there, and" in capsys.readouterr().err
    model = ["--model", str(moved / "m.safetensors")]
    assert main(["report", archive, "case00", "-o", page, *model]) == 2
    said = capsys.readouterr().err
    assert said == f"fastpunet report: case00: its image {made}/in/case00.png is not there; name its present file\n"
    assert main(["report", archive, str(moved / "in" / "case00.png"), "-o", page, *model]) == 0
    assert main(["assess", archive, "case00", str(moved / "mask.png"), *model]) == 2
    assert "case00.png is not there; name its present file" in capsys.readouterr().err
    assert main(["assess", archive, str(moved / "in" / "case00.png"), str(moved / "mask.png"), *model]) == 0


def test_other_images_and_models_are_refused(moved, tmp_path, capsys):
    archive, images = str(moved / "a.zarr"), moved / "in"
    shutil.copy(images / "case01.png", images / "case00.png")
    shutil.copy(images / "case01.png", images / "other.png")
    model = ["--model", str(moved / "m.safetensors")]
    assert main(["report", archive, str(images), "-o", str(tmp_path / "pages"), *model]) == 1
    said = capsys.readouterr()
    assert "2 of 4 images have a page" in said.out
    assert f"case00: {images}/case00.png has changed since {archive} was drawn" in said.err
    assert f"other: {archive} has no hypotheses of an image of this name" in said.err
    other = save_small_model(tmp_path / "other.safetensors", num_classes=2)
    assert main(["report", archive, "-o", str(tmp_path / "page.html"), "--model", str(other)]) == 2
    assert "other.safetensors is not the model of" in capsys.readouterr().err
    assert main(["report", archive, "case99", "-o", str(tmp_path / "page.html"), *model]) == 2
    assert "no file or folder 'case99', and no image of that name in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["-n", "7"], "n: got 7 with an archive as MODEL, whose hypotheses are drawn already"),
        (["--sampler", "sobol"], "sampler: got sobol with an archive as MODEL"),
        (["--window", "32"], "window: got [32] with an archive as MODEL"),
        (["--data", "x"], "data: got x with an archive as MODEL"),
    ],
)
def test_an_archive_decides_how_it_was_drawn(made, tmp_path, capsys, more, message):
    assert main(["report", str(made / "a.zarr"), "-o", str(tmp_path / "page.html"), *more]) == 2
    assert message in capsys.readouterr().err


def test_what_goes_with_a_model_alone_and_with_independent_hypotheses_alone(made, tmp_path, capsys):
    model, mask = str(made / "m.safetensors"), str(made / "mask.png")
    assert main(["assess", model, "x.png", mask, "--model", model]) == 2
    assert "expected an archive; leave out --model" in capsys.readouterr().err
    run_archive(model, [made / "in" / "case00.png"], tmp_path / "s.zarr", Request(n=4, sampler="sobol"))
    assert main(["assess", str(tmp_path / "s.zarr"), "case00", mask]) == 2
    assert "are sobol and depend on each other, expected random ones" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value"), [("files", None), ("files", 3), ("sha256", None), ("n", "many"), ("image", {})]
)
def test_damaged_attributes_are_named(made, tmp_path, capsys, key, value):
    path = shutil.copytree(made / "a.zarr", tmp_path / "a.zarr")
    node = path / item_path("case00") / "zarr.json"
    document = json.loads(node.read_text())
    document["attributes"]["fastpunet"][key] = value
    node.write_text(json.dumps(document))
    assert main(["report", str(path), "case00", "-o", str(tmp_path / "page.html")]) in (1, 2)
    said = capsys.readouterr().err
    assert "case00 is damaged" in said
    assert said.count("\n") == 1
