"""`fastpunet sample` as people call it."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image

from fastpunet.cli import main


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "slice.png"
    pixels = np.hypot(*(np.mgrid[:64, :64] - 32)) < 9
    Image.fromarray((60 + 120 * pixels).astype(np.uint8)).save(path)
    return path


def test_one_line_says_the_answer(image, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["sample", "lidc-tiny", str(image), "-o", str(out), "-n", "32", "--spacing", "0.5", "--modes"]
    assert main([*arguments, "--threshold", "longest_diameter:8", "area:50"]) == 0
    printed = capsys.readouterr()
    line, calibration, total = printed.out.splitlines()
    assert line.startswith("slice: ")
    assert "% of 32 hypotheses outline something, with a median area of " in line
    assert "mm^2 (5 % to 95 %:" in line
    assert "probability that the longest diameter is >= 8 mm: " in line
    assert calibration.startswith(
        "this model's calibration on 200 images (100 patients, validation data): presence off by "
    )
    assert total == f"1 of 1 images have an answer in {out}"
    assert printed.err.startswith("fastpunet sample: warning: slice: is unlike those that the model was checked on")
    assert len(printed.err.splitlines()) == 1
    answer = json.loads((out / "slice" / "answer.json").read_text())
    assert len(answer["warnings"]) == 1
    assert [one["measure"] for one in answer["thresholds"]] == ["longest_diameter", "area"]


def test_warnings_and_failures_go_to_standard_error_and_decide_the_status(image, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    inputs = [str(image), str(tmp_path / "broken.png")]
    status = main(["sample", "lidc-tiny", *inputs, "-o", str(tmp_path / "out"), "-n", "2"])
    printed = capsys.readouterr()
    assert status == 1
    failure, warning, unusual = printed.err.splitlines()
    assert unusual.startswith("fastpunet sample: warning: slice: is unlike those that the model was checked on")
    assert warning.startswith("fastpunet sample: warning: slice: does not say how many mm are between its pixels")
    assert failure.startswith("fastpunet sample: file: ")
    assert "broken.png is truncated" in failure
    assert printed.out.splitlines()[-1] == f"1 of 2 images have an answer in {tmp_path / 'out'}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threshold", "area"], "threshold: got 'area', expected MEASURE:VALUE, such as longest_diameter:8"),
        (["--threshold", "girth:8"], "threshold: got 'girth', expected one of area, "),
        (["--sampler", "best"], "sampler: got 'best', expected one of random, sobol, antithetic"),
        (["--intensity", "hounsfield"], "intensity: got 'hounsfield', expected range:LOW:HIGH"),
        (["-n", "0"], "n: got 0"),
        (["--overwrite", "--skip-existing"], "skip-existing: got overwrite as well, expected one of them"),
    ],
)
def test_impossible_requests_are_one_line_and_leave_nothing(options, message, image, tmp_path, capsys):
    assert main(["sample", "lidc-tiny", str(image), "-o", str(tmp_path / "out"), *options]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"fastpunet sample: {message}")
    assert len(printed.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_one_doubt_about_many_images_is_said_once(image, tmp_path, capsys):
    for place in range(5):
        (tmp_path / f"copy{place}.png").write_bytes(image.read_bytes())
    inputs = sorted(str(path) for path in tmp_path.glob("copy*.png"))
    assert main(["sample", "lidc-tiny", *inputs, "-o", str(tmp_path / "out"), "-n", "2"]) == 0
    first, _, *counts = capsys.readouterr().err.splitlines()
    assert first.startswith("fastpunet sample: warning: copy0: does not say how many mm are between its pixels")
    assert counts == [
        f"fastpunet sample: warning: 5 images have such a warning about {kind}; summary.json lists them"
        for kind in ("spacing", "familiarity")
    ]
    listed = json.loads((tmp_path / "out" / "summary.json").read_text())["images"]
    assert [len(one["warnings"]) for one in listed] == [2] * 5


@pytest.mark.parametrize("output", ["out", "out.zarr"])
def test_grey_values_are_warned_of_once_and_by_name(tmp_path, capsys, output):
    np.save(tmp_path / "dark.npy", np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        command = ["sample", "lesions", str(tmp_path / "dark.npy"), "-o", str(tmp_path / output), "-n", "2"]
        assert main([*command, "--intensity", "range:0:255"]) == 0
    assert capsys.readouterr().err.count("got grey values") == 1
