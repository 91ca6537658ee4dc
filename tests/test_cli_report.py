"""`fastpunet report` as people call it."""

import sys

import numpy as np
import pytest
from helpers.page_case import read_case, unpack
from helpers.page_models import varied
from PIL import Image

import fastpunet
from fastpunet.cli import main
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.prediction.planning import id_of


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "slice.png"
    pixels = np.hypot(*(np.mgrid[:64, :64] - 32)) < 9
    Image.fromarray((SyntheticLesions(1, seed=1)[0].image[0] * 255).astype(np.uint8)).save(path)
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    return path


def report(*arguments):
    return main(["report", "lesions", *map(str, arguments)])


def test_one_image_becomes_one_page(image, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/fastpunet", "report", "lesions"])
    out = tmp_path / "out" / "report.html"
    annotations = ["--annotation", f"ann={tmp_path / 'mask.png'}", tmp_path / "mask.png"]
    assert report(image, "-o", out, "-n", "30", "--spacing", "0.5", *annotations, "--classes", "none", "lesion") == 0
    printed = capsys.readouterr()
    line, total = printed.out.splitlines()
    assert line.startswith("slice: ")
    assert " alternatives: " in line
    assert line.endswith(f" MB in {out}")
    assert total == f"1 of 1 images have a page in {out}"
    assert printed.err == ""
    case = read_case(out.read_text(encoding="utf-8"))
    assert (case["title"], case["source"], case["classes"]) == ("slice", "slice.png", ["none", "lesion"])
    assert [annotation["name"] for annotation in case["annotations"]] == ["ann", "mask.png"]
    assert case["made"]["command"] == "fastpunet report lesions"
    assert case["notes"] == []


def test_hypotheses_are_those_of_fastpunet_sample(image, tmp_path):
    assert report(image, "-o", tmp_path / "a.html", "-n", "6", "--seed", "4") == 0
    assert main(["sample", "lesions", str(image), "-o", str(tmp_path / "out"), "-n", "6", "--seed", "4"]) == 0
    masks = unpack(read_case((tmp_path / "a.html").read_text())["hypotheses"]["labels"])
    pictures = sorted((tmp_path / "out" / "slice").glob("hypotheses-*.png"))
    np.testing.assert_array_equal(masks, [np.asarray(Image.open(path)) for path in pictures])
    assert id_of("slice") != 0


def test_several_images_become_a_folder_and_one_failure_is_its_own(image, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    inputs = [image, tmp_path / "broken.png", tmp_path / "mask.png"]
    assert report(*inputs, "-o", tmp_path / "all.html", "-n", "2") == 2
    assert "all.html for 3 images, expected a folder; leave out .html" in capsys.readouterr().err
    assert report(*inputs, "-o", tmp_path / "out", "-n", "2") == 1
    printed = capsys.readouterr()
    assert "broken.png is truncated" in printed.err
    assert printed.out.splitlines()[-1] == f"2 of 3 images have a page in {tmp_path / 'out'}"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["index.html", "mask.html", "slice.html"]


def test_warnings_are_on_the_page_and_on_standard_error(image, tmp_path, capsys):
    assert main(["report", "lidc-tiny", str(image), "-o", str(tmp_path / "a.html"), "-n", "2"]) == 0
    warning = capsys.readouterr().err
    assert warning.startswith("fastpunet report: warning: slice: does not say how many mm are between its pixels")
    (note,) = read_case((tmp_path / "a.html").read_text())["notes"]
    assert note in warning


def test_pages_that_are_there_are_kept_replaced_or_an_error(image, tmp_path, capsys):
    page = tmp_path / "a.html"
    how = [image, "-o", page, "-n", "2", "--annotation", f"</meta>\"'={tmp_path / 'mask.png'}"]
    assert report(*how) == 0
    before = page.read_bytes()
    assert report(*how) == 2
    assert report(*how, "--skip-existing") == 0
    assert "slice: its page was there already" in capsys.readouterr().out
    assert page.read_bytes() == before
    assert report(*how, "--seed", "1", "--skip-existing") == 2
    assert "was made with other settings: seed was 0; name another file" in capsys.readouterr().err
    Image.fromarray(np.zeros((64, 64), bool)).save(tmp_path / "mask.png")
    assert report(*how, "--skip-existing") == 2
    assert "the image was a different one" in capsys.readouterr().err
    assert report(*how, "--seed", "1", "--overwrite") == 0
    assert page.read_bytes() != before
    page.write_text("<p>my own</p>")
    assert report(*how, "--overwrite") == 2
    assert "is not a page of fastpunet report" in capsys.readouterr().err
    assert page.read_text() == "<p>my own</p>"


def test_images_of_a_data_set_come_with_their_graders(bundle, tmp_path, capsys):
    assert report("--data", bundle, "--image", "3", "-o", tmp_path / "one.html", "-n", "20") == 0
    case = read_case((tmp_path / "one.html").read_text())
    assert (case["title"], case["source"]) == ("record 3 of patient p1", "lidc_tiny_test_64.npz, image 3")
    masks = np.unpackbits(np.load(bundle)["masks_packed"][3], axis=-1)
    assert len(case["annotations"]) == len(masks)
    for annotation, mask in zip(case["annotations"], masks, strict=True):
        np.testing.assert_array_equal(unpack(annotation["labels"]), mask)
        assert annotation["position"] is not None
    assert report("--data", bundle, "--image", "0", "2", "-o", tmp_path / "some", "-n", "2") == 0
    assert sorted(path.name for path in (tmp_path / "some").iterdir()) == ["image-0.html", "image-2.html", "index.html"]
    assert report("--data", bundle, "--image", "8", "-o", tmp_path / "none", "-n", "2") == 2
    assert "image: got 8, expected 0 .. 7, the numbers of images in the data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-n", "0"], "n: got 0"),
        (["--overwrite", "--skip-existing"], "skip-existing: got overwrite as well, expected one of them"),
        (["--image", "3"], "image: got [3], which goes with --data only"),
        (["--data", "x"], "IMAGE: expected either images, MODEL IMAGE..., or a data set, MODEL --data PATH"),
        (["--slice", "3"], "slice: got 3 for slice, which is a single image"),
        (["--annotation", "ann=missing.png"], "mask: no file 'missing.png'"),
        (["--classes", "one"], "classes: got ('one',), expected 2 names"),
    ],
)
def test_impossible_requests_are_one_line_and_leave_nothing(options, message, image, tmp_path, capsys):
    assert report(image, "-o", tmp_path / "out" / "a.html", *options) in (1, 2)
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not (tmp_path / "out" / "a.html").exists()


def test_classes_of_street_scenes_have_their_names(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "camvid.npz",
        images=rng.integers(0, 255, (2, 16, 24, 3), dtype=np.uint8),
        labels=rng.integers(0, 11, (2, 16, 24), dtype=np.uint8),
        names=np.array(["0016E5_1", "0016E5_2"]),
        ignore_index=11,
    )
    for classes, last in ((11, "Bicyclist"), (16, "Road, flipped"), (5, "class 4")):
        model = tmp_path / "street.safetensors"
        fastpunet.save(varied(3, classes), model)
        page = tmp_path / f"{classes}.html"
        arguments = ["--data", str(tmp_path / "camvid.npz"), "--image", "1", "-o", str(page), "-n", "3"]
        status = main(["report", str(model), *arguments])
        if classes == 5:
            assert status == 1  # its data have labels that the model does not know
            continue
        assert status == 0
        case = read_case(page.read_text())
        assert (case["classes"][-1], case["title"], case["model"]["name"]) == (last, "0016E5_2", "street")
