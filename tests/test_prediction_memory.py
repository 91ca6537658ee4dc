"""Requests that do not fit in memory are refused first, and where it runs out, half as much is done at a time."""

import hashlib

import numpy as np
import pytest
import torch
from helpers.small_model import save_pictures, save_small_model

from fastpunet.models.latent_method import LatentMethod
from fastpunet.prediction import fitting
from fastpunet.prediction.halving import RAN_OUT, halving
from fastpunet.prediction.request import Request
from fastpunet.prediction.run import run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture
def images(tmp_path):
    return save_pictures(tmp_path / "in", 2)


def test_the_rest_comes_in_halves():
    everything, said = torch.arange(2 * 23).view(2, 23), []

    def stream(chunk):
        for first in range(0, 23, chunk):
            if chunk > 3 and first + chunk > 10:
                raise MemoryError
            yield everything[:, first : first + chunk]

    parts = list(halving(stream, 23, 8, said.append))
    assert torch.equal(torch.cat(parts, 1), everything)
    assert said == [f"memory ran out with {some} hypotheses at a time; went on with {some // 2}" for some in (8, 4)]


def test_what_halving_does_not_help_is_raised():
    def never(_):
        raise MemoryError
        yield

    with pytest.raises(MemoryError):
        list(halving(never, 9, 4, lambda _: None))

    def wrong(_):
        raise RuntimeError("something else")
        yield

    with pytest.raises(RuntimeError, match="something else"):
        list(halving(wrong, 9, 4, lambda _: None))


ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried ..."),
]


def _short_of_memory(monkeypatch, error, most):
    draw = LatentMethod.draw

    def limited(self, encoding, noise, **options):
        if noise.n > most:
            raise error
        return draw(self, encoding, noise, **options)

    monkeypatch.setattr(LatentMethod, "draw", limited)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_folders_and_archives_go_on_with_less_at_a_time(error, model, images, tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    pytest.importorskip("pyarrow")
    from fastpunet.prediction.archiving.run import run_archive

    request = Request(n=24, seed=3)
    run(model, [images], tmp_path / "a", request)
    run_archive(model, [images], tmp_path / "a.zarr", request)
    _short_of_memory(monkeypatch, error, 5)
    outcomes = run(model, [images], tmp_path / "b", request)
    said = []
    assert run_archive(model, [images], tmp_path / "b.zarr", request, say=said.append) == {"done": 2}
    for outcome in [*outcomes, *said]:
        assert outcome.status == "done"
        assert outcome.warnings["memory"].endswith("memory ran out with 6 hypotheses at a time; went on with 3")
    assert _hashes(tmp_path / "a", "hypotheses*") == _hashes(tmp_path / "b", "hypotheses*")
    assert _hashes(tmp_path / "a.zarr/items", "*") == _hashes(tmp_path / "b.zarr/items", "*")
    assert (tmp_path / "b.zarr" / "log.jsonl").read_text().count("went on with 3") == 2


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_image_for_which_there_is_no_memory_at_all_fails_alone(error, model, images, tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    pytest.importorskip("pyarrow")
    from fastpunet.prediction.archiving.run import run_archive

    encode = LatentMethod.draw

    def limited(self, encoding, noise, **options):
        if encoding.size == (17, 31):
            raise error
        return encode(self, encoding, noise, **options)

    monkeypatch.setattr(LatentMethod, "draw", limited)
    said, message = [], f"case01: {RAN_OUT}"
    assert run_archive(model, [images], tmp_path / "a.zarr", Request(n=4), say=said.append) == {"done": 1, "failed": 1}
    assert next(one.message for one in said if one.status == "failed") == message
    outcomes = run(model, [images], tmp_path / "a", Request(n=4))
    assert [one.status for one in outcomes] == ["done", "failed"]
    assert outcomes[1].message == message


def test_what_cannot_fit_is_refused_with_what_would(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "free_memory", lambda _: 400_000)
    with pytest.raises(
        ValueError, match="^case00: 300 hypotheses of it take 0.0 GB, .* are free; pass at most -n 208; case01"
    ):
        run(model, [images], tmp_path / "out", Request(n=300))
    with pytest.raises(ValueError, match="^case00: 100 .* in batches of 8, .* at most --batch-size 2 or -n 26; case01"):
        run(model, [images], tmp_path / "out", Request(n=100), batch_size=8)
    assert not (tmp_path / "out").exists()
    assert [one.status for one in run(model, [images], tmp_path / "fits", Request(n=189))] == ["done"] * 2
    assert sorted(one.status for one in run(model, [images], tmp_path / "one", Request(n=190))) == ["done", "failed"]
    monkeypatch.setattr(fitting, "free_memory", lambda _: 100_000)
    with pytest.raises(ValueError, match="^case00: the networks take about 0.0 GB for 20 x 24 pixels, .* --window"):
        run(model, [images], tmp_path / "out", Request(n=1))


def test_volumes_in_archives_are_refused_by_their_packed_masks(model, tmp_path, monkeypatch):
    pytest.importorskip("zarr")
    pytest.importorskip("pyarrow")
    nibabel = pytest.importorskip("nibabel")
    from fastpunet.prediction.archiving.run import run_archive

    volume = np.zeros((20, 24, 40), np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "scan.nii.gz")
    monkeypatch.setattr(fitting, "free_memory", lambda _: 400_000)
    with pytest.raises(ValueError, match="^scan: 100 hypotheses .* are free; pass at most -n 55$"):
        run_archive(model, [tmp_path / "scan.nii.gz"], tmp_path / "a.zarr", Request(n=100))
    assert not (tmp_path / "a.zarr").exists()


def _hashes(folder, pattern):
    files = (path for path in folder.rglob(pattern) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
