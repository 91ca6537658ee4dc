"""What `fastpunet check` says of files and data sets, on small ones with one fault each."""

import json
import re

import nibabel
import numpy as np
import pytest
from helpers.dicom_series import write_series
from PIL import Image

import fastpunet
from fastpunet.cli import main
from fastpunet.data.checking import check
from fastpunet.intensity import Intensity

RNG = np.random.default_rng(0)


def _grey(size=(8, 9), high=256, dtype=np.uint8):
    return RNG.integers(0, high, size).astype(dtype)


def _save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def root(tmp_path):
    """Four pictures and the masks of two raters, all of them sound."""
    for name in "abcd":
        _save(tmp_path / "images" / f"{name}.png", _grey())
        for rater in ("anna", "ben"):
            mask = np.zeros((8, 9), np.uint8)
            mask[2:5, 3:6] = rater == "anna" or name in "ab"
            _save(tmp_path / "masks" / rater / f"{name}.png", mask)
    return tmp_path


def test_a_sound_data_set(root):
    report = check([root])
    assert report.problems == report.notes == []
    facts = dict(report.facts)
    values = facts.pop("grey values")
    assert values.startswith("uint8 0 .. 25")
    assert values.endswith("(looked at 4 of 4)")
    assert facts == {
        "images": "4: png",
        "sizes": "8 x 9",
        "channels": "1",
        "spacing": "unknown",
        "masks": "2 per image",
        "raters": "2: anna, ben",
        "labels": "0, 1",
        "empty": "25.0% of 8 masks; 0 of the 4 images looked at have only empty masks",
        "agreement": "two masks of an image share 50% of what either marks (IoU; both empty count as 100 %), and 50% "
        "of the pairs share nothing",
    }
    assert report.images[1] == {
        "name": "b",
        "files": [str(root / "images" / "b.png")],
        "format": "png",
        "size": [8, 9],
        "channels": 1,
        "spacing_mm": None,
        "axes": None,
    }


def _write(name, values):
    return lambda root: _save(root / name, values)


def _copy(root):
    (root / "images" / "e.png").write_bytes((root / "images" / "a.png").read_bytes())


def _mixed_whites(root):
    _save(root / "masks" / "ben" / "c.png", np.eye(8, 9, dtype=np.uint8) * 255)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_write("images/a.png", _grey((8, 8))), r"1 of 4 images have other sizes than the rest, 8 x 9: a \(8 x 8\)"),
        (_write("images/a.png", _grey((8, 9, 3))), r"other channels than the rest, 1 channel: a \(3 channels\)"),
        (_copy, "the same image under several names: a, e; keep one of them"),
        (_write("images/a.png", np.full((8, 9), 7, np.uint8)), r"1 image with one value everywhere: a \(7\)"),
        (_write("images/a.png", _grey(high=3)), r"1 image of 8 bits with few of their 256 values: a \(0 .. 2\)"),
        (
            _write("images/a.png", np.eye(8, 9, dtype=np.uint8) * 255),
            r"1 image of two values: a \(0 and 255\); they may be masks",
        ),
        (
            _write("masks/ben/a.png", np.arange(72, dtype=np.uint8).reshape(8, 9)),
            "1 image with masks of more than 32 va",
        ),
        (
            _write("masks/ben/a.png", np.eye(8, dtype=np.uint8)),
            "masks/ben/a.png is 8 x 8, expected 8 x 9, the size of its image",
        ),
        (_write("masks/ben/a.png", np.zeros((8, 9, 3), np.uint8)), "expected one 8-bit class index per pixel"),
        (_write("masks/ben/z.png", np.eye(8, 9, dtype=np.uint8)), "z.png is a mask without its image, .* such as a;"),
        (_mixed_whites, "some masks hold 0 and 255, which means not annotated, others 0 and 1: c.png"),
        (lambda root: (root / "images" / "a.png").write_bytes(b""), "a.png is empty .0 bytes."),
        (lambda root: (root / "images" / "a.png").write_bytes(b"no"), "a.png is truncated or not a single image"),
        (lambda root: (root / "masks" / "ben" / "a.png").write_bytes(b"no"), "ben/a.png is truncated or not a single"),
    ],
)
def test_what_would_break_or_falsify_work_is_a_problem(root, change, message):
    change(root)
    report = check([root])
    found = [problem for problem in report.problems if re.search(message, problem)]
    assert len(found) == 1, report.problems
    assert main(["check", str(root)]) == 1


def test_every_broken_file_has_a_line(root):
    for name in "abc":
        (root / "images" / f"{name}.png").write_bytes(b"no")
    (root / "masks" / "ben" / "d.png").write_bytes(b"no")
    problems = check([root]).problems
    for name in ("images/a.png", "images/b.png", "images/c.png", "ben/d.png"):
        assert any(name in problem for problem in problems), problems
    assert all("\n" not in problem for problem in problems)


def test_masks_of_0_and_255(root):
    for rater in ("anna", "ben"):
        for name in "abcd":
            _save(root / "masks" / rater / f"{name}.png", np.eye(8, 9, dtype=np.uint8) * 255)
    report = check([root])
    assert report.problems == []
    assert report.notes == [
        "all masks of an image are the same, so that there is no disagreement to learn",
        "masks hold 0 and 255 alone: they are read as background and foreground, with num_classes 1 or 2",
    ]
    assert report.facts["empty"].startswith("0.0% of 8 masks")


def test_all_empty(root):
    for rater in ("anna", "ben"):
        for name in "abcd":
            _save(root / "masks" / rater / f"{name}.png", np.zeros((8, 9), np.uint8))
    assert check([root]).problems == ["all masks that were looked at are empty"]


def test_images_without_masks_are_counted(root):
    _save(root / "images" / "e.png", _grey())
    assert check([root]).facts["masks"] == "2 per image; 1 of 5 images have none"
    (root / "masks").rename(root / "outlines")
    report = check([root])
    assert report.facts["masks"] == "none"
    assert (
        "no image has a mask; masks are looked for in masks/<rater>/, under the names of their images" in report.notes
    )


@pytest.mark.parametrize(("high", "text"), [(4096, "as of 12 bits.*range:0:4095"), (200, "as of 8 bits.*range:0:255")])
def test_few_bits_in_many(tmp_path, high, text):
    values = _grey(high=high, dtype=np.uint16)
    values[0, 0] = high - 1
    _save(tmp_path / "a.png", values)
    (note,) = check([tmp_path]).notes
    assert re.search(text, note)


def test_images_on_another_scale(tmp_path):
    for index, factor in enumerate((1, 1, 1, 100)):
        _save(tmp_path / f"{index}.tif", (_grey(dtype=np.float32) * factor).astype(np.float32))
    (note,) = check([tmp_path]).notes
    assert note.startswith("1 image with values on another scale than the rest: 3 (")


def _nifti(path, affine=None, size=(8, 9, 4), values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = RNG.normal(size=size).astype(np.float32) if values is None else values
    image = nibabel.Nifti1Image(values, np.diag((0.5, 0.7, 2, 1)) if affine is None else affine)
    nibabel.save(image, path)


def test_axes_and_spacing_of_volumes(tmp_path):
    for name in "abc":
        _nifti(tmp_path / f"{name}.nii")
    _nifti(tmp_path / "d.nii", np.diag((-0.5, 0.7, 2, 1)))
    report = check([tmp_path])
    assert report.facts["axes"] == "RAS (3), LAS (1) (rows, columns, slices)"
    assert report.facts["spacing"] == "2 x 0.5 x 0.7 mm"
    assert report.problems == ["1 of 4 images have other axes than the rest, RAS: d (LAS)"]


def test_sheared_volumes(tmp_path):
    affine = np.diag((0.5, 0.7, 2, 1))
    affine[0, 1] = 0.2
    _nifti(tmp_path / "a.nii", affine)
    (problem,) = check([tmp_path]).problems
    assert problem.startswith("1 image with axes that are not at right angles")


def test_volumes_with_masks(tmp_path):
    _nifti(tmp_path / "images" / "a.nii")
    _nifti(tmp_path / "images" / "b.nii")
    mask = np.zeros((8, 9, 4), np.uint8)
    mask[3, 4, 1] = 1
    _nifti(tmp_path / "masks" / "anna" / "a.nii", values=mask)
    _nifti(tmp_path / "masks" / "anna" / "b.nii", np.diag((0.5, 0.7, 3, 1)), values=mask)
    report = check([tmp_path])
    assert report.facts["empty"] == "75.0% of 4 masks; 3 of the 4 images looked at have only empty masks"
    (problem,) = report.problems
    assert "b.nii lies on another grid" in problem


def test_nan_and_mixed_dimensions(tmp_path):
    _nifti(tmp_path / "a.nii", values=np.full((8, 9, 4), np.nan, np.float32))
    _save(tmp_path / "b.png", _grey())
    problems = check([tmp_path]).problems
    assert problems[0] == "1 image of two dimensions beside 1 volume; work on them separately"
    assert "a.nii has NaN or infinite voxels" in problems[1]


def test_dicom_series(tmp_path):
    pytest.importorskip("pydicom")
    write_series(tmp_path / "s", _grey((5, 8, 9), 2000, int))
    report = check([tmp_path])
    assert report.problems == report.notes == []
    assert (report.facts["images"], report.facts["axes"]) == ("1: dicom", "PLS (rows, columns, slices)")
    assert report.facts["grey values"].startswith("float32 -")


def test_bundles_and_images_in_them_that_are_there_twice(bundle, tmp_path):
    report = check([bundle])
    assert report.problems == []
    assert (report.facts["images"], report.facts["masks"]) == (
        "8: npz",
        f"{len(np.load(bundle)['masks_packed'][0])} per image",
    )
    images = np.stack([_grey()] * 2)
    np.savez(tmp_path / "twice.npz", images=images)
    assert check([tmp_path / "twice.npz"]).problems == [
        "the same image under several names: twice_0, twice_1; keep one of them"
    ]


def test_only_some_images_are_looked_at(tmp_path):
    np.savez(tmp_path / "many.npz", images=_grey((200, 8, 9)))
    assert check([tmp_path / "many.npz"]).facts["grey values"].endswith("(looked at 64 of 200)")


def test_what_a_model_takes(tmp_path):
    model = fastpunet.ProbabilisticUNet(in_channels=3, channels=(4, 8))
    model.intensity, model.spacing, model.image_size = Intensity.range(0, 4095), (0.5, 0.5), (64, 64)
    _save(tmp_path / "a.png", _grey())
    report = check([tmp_path], model)
    assert report.facts["model takes"] == (
        "3 channels, 2 dimensions, grey values range:0.0:4095.0, spacing 0.5 x 0.5 mm, size 64 x 64"
    )
    channels, values = report.problems
    assert channels == "1 image with other channels than the model's 3: a (1)"
    assert values.startswith("1 image with grey values unlike those of training, range:0.0:4095.0: a (")
    assert report.notes == ["1 image without a spacing, which was 0.5 x 0.5 mm in training: a"]
    _nifti(tmp_path / "volumes" / "v.nii")
    report = check([tmp_path / "volumes"], model)
    assert any("another spacing than in training, 0.5 x 0.5 mm, to which" in note for note in report.notes)
    assert "the model takes images of two dimensions: volumes can be segmented slice by slice" in report.notes
    deep = fastpunet.ProbabilisticUNet(in_channels=1, channels=(4, 8), dims=3)
    assert check([tmp_path / "a.png"], deep).problems == ["the model takes volumes, not 1 image of two dimensions: a"]


def test_the_command(root, capsys):
    target = root / "new" / "report.json"
    assert main(["check", str(root), "--json", str(target), "--model", "lesions"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == "images       4: png"
    assert shown.endswith("nothing suspicious\n")
    written = json.loads(target.read_text())
    assert (written["facts"]["images"], written["problems"], len(written["images"])) == ("4: png", [], 4)
    assert main(["check", str(root), "--model", "lesions", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == written
    (root / "images" / "a.png").write_bytes(b"")
    assert main(["check", str(root / "images")]) == 1
    assert f"problem: {root}/images/a.png is " in capsys.readouterr().out


def test_nothing_to_check(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 2
    assert "problem: there is no image that can be read" in capsys.readouterr().out
    _save(tmp_path / "Images" / "a.png", _grey())
    (tmp_path / "notes.txt").write_text("")
    (within, others) = check([tmp_path]).notes
    assert within.startswith(
        "1 file in subfolders passed over, because only DICOM files are taken from there: Images/a.png; "
    )
    assert others == "passed over, because they are not images: notes.txt"
    assert main(["check", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"fastpunet check: DATA: no file or folder '{tmp_path / 'none'}'\n"
    assert main(["check", str(tmp_path), "--json", str(tmp_path)]) == 2


def test_a_folder_of_parts_stands_for_its_parts(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("images", "masks/ann", "masks/ben"):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(3):
                pixels = rng.integers(0, 256 if name == "images" else 2, (16, 16), np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / name / f"{part}{number}.png")
    report = check([tmp_path])
    assert not report.problems
    assert "images" in report.text()
    assert "train: raters" in report.text()
    assert "test: raters" in report.text()
    Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(tmp_path / "beside.png")
    assert "12 more" in " ".join(check([tmp_path]).notes)  # 18 files in folders are passed over, of which six are named
