"""What an archive costs beside the sampler alone, and how much memory it takes for how many images.

    python -m benchmarks.archive time [--images 5000] [--n 256] [--model lidc-tiny] [--size 128]
    python -m benchmarks.archive memory [--images 500 50000] [--n 16] [--model lesions] [--size 64]

Nothing else may run meanwhile. `time` draws the same images in three ways, part by part in turns: batch after batch
with `Sampler.sample_batches` and all processors; one by one, with one thread for each processor; and from files into an
archive, which must hold the same masks. `memory` makes an archive of each number of images in a process of its own.
Both write JSON to standard output.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import fastpunet
from benchmarks.machine import machine
from benchmarks.peak_memory import peak_mib
from fastpunet.data.inputs import find_inputs
from fastpunet.prediction.archiving.run import run_archive
from fastpunet.prediction.archiving.threads import processors, threads
from fastpunet.prediction.planning import id_of
from fastpunet.prediction.preparation import prepare
from fastpunet.prediction.request import Request

_PARTS = 5
_BATCH = 16


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("time", "memory"))
    parser.add_argument("--images", type=int, nargs="+")
    parser.add_argument("--n", type=int)
    parser.add_argument("--model")
    parser.add_argument("--size", type=int)
    options = vars(parser.parse_args(arguments))
    usual: dict[str, dict[str, Any]] = {
        "time": {"images": [5000], "n": 256, "model": "lidc-tiny", "size": 128},
        "memory": {"images": [500, 50000], "n": 16, "model": "lesions", "size": 64},
    }
    what = options.pop("what")
    chosen = usual[what] | {name: value for name, value in options.items() if value is not None}
    with tempfile.TemporaryDirectory() as folder:
        result = {"time": measure_time, "memory": measure_memory}[what](Path(folder), **chosen)
    print(json.dumps({"schema": 1, "what": what, **machine(), **chosen, **result}, indent=1))


def measure_time(folder: Path, images: list[int], n: int, model: str, size: int) -> dict[str, Any]:
    """Seconds of each way, and the archive's as a multiple of the faster of the two others."""
    seconds = dict.fromkeys(("batches", "one by one", "archive"), 0.0)
    sampler = fastpunet.Sampler(fastpunet.load(model))
    request = Request(n=n)
    warm = make_images(folder / "warm", 2, size)
    run_archive(model, [warm], folder / "warm.zarr", request)
    for part, count in enumerate([images[0] // _PARTS] * _PARTS):
        files = make_images(folder / f"part{part}", count, size, seed=part)
        inputs = find_inputs([files])
        pictures = torch.cat([prepare(source, sampler.method, request).images for source in inputs])
        ids = torch.tensor([id_of(source.name) for source in inputs])
        archive = folder / f"part{part}.zarr"
        ways: dict[str, Callable[[], Any]] = {
            "batches": partial(_in_batches, sampler, pictures, ids, n),
            "one by one": partial(_one_by_one, sampler, pictures, ids, n),
            "archive": partial(run_archive, model, [files], archive, request),
        }
        for name in sorted(ways, key=lambda name: (list(ways).index(name) + part) % len(ways)):
            start = time.perf_counter()
            ways[name]()
            seconds[name] += time.perf_counter() - start
        _check(archive, sampler, pictures, ids, [source.name for source in inputs], n)
    fastest = min(seconds["batches"], seconds["one by one"])
    return {"seconds": seconds, "archive / sampler alone": seconds["archive"] / fastest}


def measure_memory(folder: Path, images: list[int], n: int, model: str, size: int) -> dict[str, Any]:
    """Peak resident MiB of a process that makes an archive of so many images."""
    context = multiprocessing.get_context("spawn")
    peaks = {}
    for count in images:
        files = make_images(folder / f"{count}", count, size)
        with context.Pool(1) as pool:
            peaks[str(count)] = pool.apply(_peak_of_archive, (model, files, folder / f"{count}.zarr", n))
    return {"peak MiB": peaks, "difference MiB": max(peaks.values()) - min(peaks.values())}


def make_images(folder: Path, count: int, size: int, seed: int = 0) -> Path:
    """Smooth noise with a bright spot, in PNG files."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    axis = np.linspace(-1, 1, size)
    for place in range(count):
        row, column = rng.uniform(-0.5, 0.5, 2)
        spot = np.exp(-8 * ((axis[:, None] - row) ** 2 + (axis - column) ** 2))
        values = 90 + 110 * spot + rng.normal(0, 8, (size, size))
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(folder / f"image{seed}-{place:06}.png")
    return folder


def _in_batches(sampler: fastpunet.Sampler, pictures: torch.Tensor, ids: torch.Tensor, n: int) -> None:
    batches = zip(pictures.split(_BATCH), ids.split(_BATCH), strict=True)
    for _ in sampler.sample_batches(batches, n, seed=0, output="bits"):
        pass


def _one_by_one(sampler: fastpunet.Sampler, pictures: torch.Tensor, ids: torch.Tensor, n: int) -> None:
    def draw(place: int) -> None:
        sampler.sample(pictures[place : place + 1], n, seed=0, ids=ids[place : place + 1], output="bits")

    with threads(1), ThreadPoolExecutor(processors()) as pool:
        list(pool.map(draw, range(len(pictures))))


def _check(archive: Path, sampler: Any, pictures: torch.Tensor, ids: torch.Tensor, names: list[str], n: int) -> None:
    """A few images of the archive must hold what the sampler draws."""
    samples = fastpunet.open_samples(archive)
    if len(samples) != len(names):
        raise AssertionError(f"{len(samples)} of {len(names)} images are in {archive}")
    with threads(1):
        for place in range(0, len(names), max(1, len(names) // 4)):
            some = slice(place, place + 1)
            drawn = sampler.sample(pictures[some], n, seed=0, ids=ids[some], output="bits")
            if not torch.equal(samples[names[place]][:].words, drawn.words):
                raise AssertionError(f"{names[place]} has other masks in {archive}")


def _peak_of_archive(model: str, files: Path, archive: Path, n: int) -> float:
    run_archive(model, [files], archive, Request(n=n))
    return peak_mib()


if __name__ == "__main__":
    main(sys.argv[1:])
