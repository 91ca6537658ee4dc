"""What a plan says: measured storage, and arithmetic that can be done by hand."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("zarr")
pytest.importorskip("pyarrow")
from helpers.small_model import save_pictures, save_small_model

from fastpunet.cli import main
from fastpunet.prediction.archiving.plan import Plan, plan
from fastpunet.prediction.archiving.run import run_archive
from fastpunet.prediction.request import Request

HAND = Plan(
    images=1_000_000,
    workers=4,
    refused=0,
    drawn=100,
    seconds=10.0,
    at_once=2,
    rate=25.0,
    rate_error=0.02,
    start=3.0,
    image_bytes=40_000.0,
    table_bytes=500.0,
    table_seconds=1e-4,
    memory_bytes=600_000_000,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "in", 5)


def test_the_arithmetic():
    assert HAND.time == 3 + 1_000_000 / (25 * 4) + 100
    assert HAND.storage == 40.5e9
    said = HAND.text(hourly=0.5)
    assert "100 images in 10.0 s, 2 at a time: 25 images/s +- 2 %" in said
    assert "1,000,000 images, 4 workers like this one (extrapolated)" in said
    assert "2.8 h" in said
    assert "40.5 GB" in said
    assert "600.0 MB for each worker" in said
    assert "5.61, at 0.5 an hour" in said  # 4 workers for 10 103 s
    assert "cannot be drawn" not in said
    assert "3 of the inputs cannot be drawn, and are left out" in replace(HAND, refused=3).text()
    assert "extrapolated" not in replace(HAND, images=100, workers=1).text()


def test_storage_is_that_of_an_archive(model, images, tmp_path):
    request = Request(n=64)
    found = plan(model, [images], request, seconds=0.1, scratch=tmp_path)
    assert found.images == 5
    assert found.drawn >= 24
    assert list(tmp_path.iterdir()) == []
    run_archive(model, [images], tmp_path / "a.zarr", request)
    files = [path for path in (tmp_path / "a.zarr").glob("items/*/*/**/*") if path.is_file()]
    assert found.image_bytes == pytest.approx(sum(path.stat().st_size for path in files) / 5, rel=0.05)
    assert found.rate > 0
    assert 0 <= found.rate_error < 2


def test_the_command(model, images, capsys):
    arguments = [str(model), str(images), "-n", "8", "--images", "1000", "--workers", "3", "--seconds", "0.1", "--json"]
    assert main(["plan", *arguments]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["images"] == 1000
    assert said["time"] == pytest.approx(
        said["start"] + 1000 / (3 * said["rate"]) + 1000 * said["table_seconds"], rel=1e-9
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0}, "seconds: got 0, expected a positive number"),
        ({"workers": 0}, "workers"),
        ({"images": -1}, "images"),
    ],
)
def test_requests_that_do_not_fit(model, images, options, message):
    with pytest.raises(ValueError, match=message):
        plan(model, [images], **options)


def test_a_cost_below_zero_is_refused(model, images, capsys):
    assert main(["plan", str(model), str(images), "--hourly", "-1"]) == 2
    assert "hourly: got -1.0, expected a number of at least 0" in capsys.readouterr().err


def test_inputs_that_cannot_be_drawn_are_named_and_left_out(model, images, tmp_path, capsys, monkeypatch):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    save_pictures(tmp_path / "large", 1, ((200, 200),))
    monkeypatch.setattr("fastpunet.prediction.fitting.free_memory", lambda _: 8 << 20)
    inputs = [str(images), str(tmp_path / "broken.png"), str(tmp_path / "large")]
    assert main(["plan", str(model), *inputs, "-n", "8", "--seconds", "0.1"]) == 0
    said = capsys.readouterr()
    assert "broken.png is truncated" in said.err
    assert "large_case00: the networks take about" in said.err
    assert "2 of the inputs cannot be drawn, and are left out" in said.out
    assert "\n5 images, 1 worker like this one" in said.out
