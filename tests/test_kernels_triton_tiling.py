"""Dividing the decoding kernel's work: the same answers however it is divided, and the fastest way remembered."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from decode_problems import COMPILED, random_decoder, random_gaussian
from torch import Tensor

from fastpunet import ProbabilisticUNet, Sampler
from fastpunet_kernels import decode_samples, decode_sums

pytest.importorskip("triton")

from triton.runtime.errors import OutOfResources

from fastpunet_kernels.triton import decode as triton_decode
from fastpunet_kernels.triton import tiling
from fastpunet_kernels.triton.tiling import by_rule, candidates, find_tiling


def test_tuning_measures_equals_and_remembers_the_fastest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    torch.manual_seed(8)
    base, decoder = torch.randn(1, 70, 16).to(device), random_decoder((16, 1), device)
    gaussian = random_gaussian(1, 3, device)
    expected = decode_samples(base, decoder, gaussian, backend="triton")
    times = iter(range(99, 0, -1))  # the later, the faster

    def measure(launch: Callable[[], Tensor]) -> float:
        assert torch.equal(launch(), expected)
        return next(times)

    capability = triton_decode.compute_capability(device)
    rounding = triton_decode.products("ieee", (16, 1), capability)
    tried = candidates((16, 1), rounding, capability)
    assert len(set(tried)) == len(tried) > 10
    if COMPILED:  # benchmarks/gpu_kernels.py measures and checks many more
        tried = tried[::18]
        monkeypatch.setattr(triton_decode, "candidates", lambda *_: tried)
    problem = (base, decoder, gaussian, torch.empty_like(expected), "labels", "ieee")
    took = triton_decode.tune_decode(*problem, measure=measure)
    assert list(took) == tried
    of = ("labels", rounding, capability, torch.device("cuda"))
    monkeypatch.setattr(tiling, "_key", lambda *of: str(of[:-1]))
    triton_decode.tune_decode(*problem, measure=lambda _: float(next(times)))
    assert find_tiling((16, 1), *of) == tried[-1]
    assert find_tiling((16, 2), *of) == by_rule((16, 2), rounding, capability)
    (path,) = tmp_path.glob("fastpunet/*")
    tiling._remembered.cache_clear()  # as in another process
    assert find_tiling((16, 1), *of) == tried[-1]
    path.write_text(path.read_text()[:-9])
    tiling._remembered.cache_clear()
    assert find_tiling((16, 1), *of) == by_rule((16, 1), rounding, capability)


def test_a_gpu_with_little_room_takes_fewer_pixels(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    torch.manual_seed(8)
    base, decoder = torch.randn(1, 70, 16).to(device), random_decoder((16, 1), device)
    gaussian, tried = random_gaussian(1, 3, device), []
    launch = triton_decode._launch

    def launch_if_it_fits(*arguments: Any) -> None:
        tried.append(arguments[6])
        if tried[-1].pixels > 32:
            raise OutOfResources(2, 1, "shared memory")
        if arguments[4] != "sums":  # which are not looked at
            launch(*arguments)

    expected = decode_samples(base, decoder, gaussian, backend="triton")
    monkeypatch.setattr(triton_decode, "_launch", launch_if_it_fits)
    ours = decode_samples(base, decoder, gaussian, backend="triton")
    assert (ours != expected).float().mean() <= 0.01
    assert [each.pixels for each in tried] == [32 << i for i in reversed(range(len(tried)))]
    assert tried[-1].warps == 2
    decode_sums(base, decoder, gaussian, backend="triton")
    assert tried[-1].pixels == 32

    def launch_nothing(_: tiling.Tiling) -> None:
        raise OutOfResources(2, 1, "shared memory")

    with pytest.raises(OutOfResources):
        triton_decode.launch_what_fits(launch_nothing, tried[0])


IMPOSSIBLE = (
    [100, 4, 128, 1, 64],
    [16, 4, 128, 1, 64],
    [-128, 4, 128, 1, 64],
    [128.0, 4, 128, 1, 64],
    ["128", 4, 128, 1, 64],
    [128, 3, 128, 1, 64],
    [128, 4, 1000, 1, 64],
    [128, 4, 128, 3, 64],
    [128, 4, 128, 1, 30],
    [128, 4],
)


@pytest.mark.parametrize("stored", IMPOSSIBLE)
def test_impossible_tilings_in_the_file_are_left_out(stored: list[object], tmp_path: Path) -> None:
    path = tmp_path / "tilings.json"
    path.write_text(json.dumps({"a": stored}))
    assert tiling._remembered(path) == {}


def test_every_candidate_is_possible(tmp_path: Path) -> None:
    """And is read as it was written."""
    path = tmp_path / "tilings.json"
    for widths in ((16, 1), (32, 32, 32, 1), (128, 128, 24)):
        for precision in ("ieee", "tf32", "bf16"):
            for capability in (0, 8, 9, 10):
                tried = candidates(widths, precision, capability)
                path.write_text(json.dumps(dict(enumerate(tried))))
                tiling._remembered.cache_clear()
                assert list(tiling._remembered(path).values()) == tried


def test_a_tiling_of_other_kernels_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = ((16, 1), "labels", "ieee", torch.device("cuda"))
    ours = tiling._key(*problem)
    monkeypatch.setattr(tiling, "_kernels", lambda: "others")
    assert tiling._key(*problem) != ours


@pytest.mark.gpu
def test_a_sampler_tunes_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    """In TF32, whose switch PyTorch's compiler must not mind; two tilings, for each takes seconds to compile."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(triton_decode, "candidates", lambda *of: candidates(*of)[:2])
    sampler = Sampler(ProbabilisticUNet(1, 1, channels=(32, 32), latent_dim=6).to(device), precision="tf32")
    image = torch.rand(1, 1, 64, 64, device=device)
    before = sampler.draw(sampler.encode(image), 100, seed=0)
    took = sampler.tune(image, 100)
    assert took["decoding, tuned"] <= took["decoding"]
    sampler._passes._compiled.add((image.shape, "tf32"))  # whichever proved faster here
    for _ in range(3):  # launched, captured and replayed
        assert (sampler.sample(image, 100, seed=0) != before).float().mean() < 1e-3
    assert len(list(tmp_path.glob("fastpunet/tilings.json"))) == 1
