"""Archives of inputs among which some are damaged, huge, or many in one file."""

import json
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest

pytest.importorskip("zarr")
pytest.importorskip("pyarrow")
from helpers.killing import REQUEST, contents
from helpers.small_model import save_pictures, save_small_model
from PIL import Image

import fastpunet
from fastpunet.cli import main
from fastpunet.data import npz
from fastpunet.data.inputs import arrays, find_inputs
from fastpunet.data.reading import UNPACKED_BYTES
from fastpunet.prediction import fitting
from fastpunet.prediction.archiving.engines import here
from fastpunet.prediction.archiving.run import run_archive
from fastpunet.prediction.request import Request


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("model") / "m.safetensors")


def huge_png(path, side=60_000):
    """A picture that says it has 3.6 billion pixels, and some MB of data."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"\0" * 3_500_000) + chunk(b"IEND", b""))


def huge_npz(path, side=60_000):
    """An array that says it has 3.6 billion values, and has a million."""
    header = np.lib.format.header_data_from_array_1_0(np.zeros((1, 1), np.uint8)) | {"shape": (side, side)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle, bundle.open("image.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(1 << 20))


def test_damaged_and_huge_inputs_fail_alone(model, tmp_path, capsys, monkeypatch):
    folder = save_pictures(tmp_path / "in", 4)
    huge_png(folder / "huge.png")
    huge_npz(folder / "less.npz")
    (folder / "cut.png").write_bytes((folder / "case00.png").read_bytes()[:300])
    (folder / "empty.png").touch()
    np.save(folder / "nan.npy", np.full((20, 24), np.nan))
    np.savez_compressed(folder / "large.npz", image=np.zeros((1500, 1500), np.uint8))
    monkeypatch.setitem(UNPACKED_BYTES, "bundle", 1 << 20)
    path = tmp_path / "a.zarr"
    assert main(["sample", str(model), str(folder), "-o", str(path), "-n", "4", "--window", "32"]) == 1
    said = capsys.readouterr()
    assert "4 of 10 images have hypotheses" in said.out
    lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    failed = [line["message"] for line in lines if line["status"] == "failed"]
    expected = {
        "huge.png": "is too large to be an image",
        "less.npz": "holds less of image than its header says",
        "cut.png": "truncated",
        "empty.png": "is empty (0 bytes)",
        "nan.npy": "has NaN or infinite values",
        "large.npz": "claims to unpack to 2 MiB",
    }
    assert len(failed) == len(expected)
    for name, message in expected.items():
        assert any(name in text and message in text for text in failed), (name, failed)
    assert sorted(fastpunet.open_samples(path)) == [f"case{place:02}" for place in range(4)]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_large_bundles_are_unpacked_to_the_disk_once(model, tmp_path, monkeypatch, order, save):
    images = np.random.default_rng(0).integers(0, 256, (6, 20, 24), np.uint8)
    save(tmp_path / "b.npz", images=np.asarray(images, order=order))
    run_archive(model, [tmp_path / "b.npz"], tmp_path / "held.zarr", REQUEST)
    monkeypatch.setattr(npz, "_HELD_BYTES", 100)
    arrays._member.cache_clear()
    opened = []
    monkeypatch.setattr(npz, "_mapped", lambda *given, mapped=npz._mapped: opened.append(mapped(*given)) or opened[-1])
    (first, *_) = found = find_inputs([tmp_path / "b.npz"])
    for image, expected in zip(found, images, strict=True):
        np.testing.assert_array_equal(image.read()[0], expected)
    assert type(first.read()) is np.ndarray
    run_archive(model, [tmp_path / "b.npz"], tmp_path / "mapped.zarr", REQUEST)
    assert len(opened) == 1
    assert isinstance(opened[0], np.memmap)
    assert contents(tmp_path / "mapped.zarr") == contents(tmp_path / "held.zarr")
    save(tmp_path / "b.npz", images=images[::-1])
    np.testing.assert_array_equal(find_inputs([tmp_path / "b.npz"])[0].read()[0], images[5])


def test_damage_and_a_full_disk_for_large_bundles(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_HELD_BYTES", 100)
    np.savez(tmp_path / "b.npz", images=np.zeros((6, 20, 24), np.uint8))
    content = bytearray((tmp_path / "b.npz").read_bytes())
    content[1000] ^= 1
    (tmp_path / "damaged.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged.npz is truncated or not an npz bundle \(Bad CRC-32"):
        find_inputs([tmp_path / "damaged.npz"])[0].read()

    monkeypatch.setattr(npz.tempfile, "TemporaryFile", lambda: _Unwritable())
    with pytest.raises(
        ValueError,
        match="b.npz has to be unpacked into .*, which cannot be written to .No space left on device.; set TMPDIR",
    ):
        find_inputs([tmp_path / "b.npz"])[0].read()


class _Unwritable:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def write(self, _):
        raise OSError(28, "No space left on device")


def test_a_file_of_many_images_is_hashed_once(tmp_path, monkeypatch):
    np.savez(tmp_path / "b.npz", images=np.zeros((6, 20, 24), np.uint8))
    hashed = []
    monkeypatch.setattr("fastpunet.data.inputs.input.sha256", lambda *files: hashed.append(files) or str(len(hashed)))
    assert {image.sha256() for image in find_inputs([tmp_path / "b.npz"])} == {"1"}
    os.utime(tmp_path / "b.npz", ns=(1, 1))
    assert {image.sha256() for image in find_inputs([tmp_path / "b.npz"])} == {"2"}


def test_images_are_drawn_together_as_far_as_they_fit(model, tmp_path, monkeypatch):
    folder = save_pictures(tmp_path / "in", 6, ((20, 24),))
    one = fitting.main_memory(find_inputs([folder])[0], fastpunet.load(model), Request(n=4), 0)
    assert one == (256 + 16) * 20 * 24
    together = []
    outcome = here._Crew.outcome

    def counted(crew):
        together.append(sum(hand.source is not None for hand in crew._hands) + crew.todo.qsize())
        return outcome(crew)

    monkeypatch.setattr(here._Crew, "outcome", counted)
    for free, most in ((1, 1), (2.6 * one, 2), (100 * one, 6)):
        monkeypatch.setattr(here, "free_memory", lambda _, free=free: free)
        together.clear()
        assert run_archive(model, [folder], tmp_path / f"{most}.zarr", Request(n=4)) == {"done": 6}
        assert max(together) <= most
    assert contents(tmp_path / "1.zarr") == contents(tmp_path / "6.zarr")


def test_images_whose_values_do_not_fit_are_refused(model, tmp_path, monkeypatch):
    Image.fromarray(np.zeros((200, 200), np.uint8)).save(tmp_path / "a.png")
    monkeypatch.setattr(fitting, "free_memory", lambda _: 500_000)
    with pytest.raises(ValueError, match="^a: its values take 0.0 GB, and 0.0 GB are free; crop it"):
        run_archive(model, [tmp_path / "a.png"], tmp_path / "a.zarr", Request(n=4, window=32))
