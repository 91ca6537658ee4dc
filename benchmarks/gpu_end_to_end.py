"""Image in, masks and scores out on a GPU, beside the peers, in less than a minute: the rows of the README.

    PYTHONPATH=.:kernels python -m benchmarks.gpu_end_to_end FOLDER

An image of 128 x 128 pixels, the published network with random weights, 1000 masks; the IoU of 1000 masks with 1000;
the energy distance of 1000 masks and four graders. Worker processes compile the peers' code meanwhile. A time is the
median of turns, in which each way takes its turn and is waited for, so it includes the host's work. Nothing is timed
that has not given the right answer. Writes FOLDER/end-to-end.json after every row, and prints a table.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

import fastpunet
from benchmarks import strongest
from benchmarks.bench_end_to_end import port_loop, split_and_batched
from benchmarks.bench_energy_distance import LOOPED, loop
from benchmarks.bench_pairwise import MASKS, SIDE, matrix_product
from benchmarks.port import PortModel
from benchmarks.roofline import DEVICE, synchronize
from benchmarks.workloads import PRECISIONS, blobs, image, port_model
from fastpunet import PackedMasks, energy_distance, pairwise_iou

Way = Callable[[], Any]


class Race:
    """Rows of ways to do the same work, timed in turns and written down at once."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.began, self.seconds, self.folder = time.perf_counter(), seconds, folder
        gpu = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "none"
        self.about = {"gpu": gpu, "torch": torch.__version__, "date": time.strftime("%Y-%m-%d")}
        self.rows: list[dict[str, Any]] = []

    @property
    def left(self) -> float:
        return self.seconds - (time.perf_counter() - self.began)

    def run(self, name: str, ways: Callable[[], dict[str, Way]], scales: dict[str, float], turns: int = 7) -> None:
        """Time the ways, ours first; scales: how many times as much work there is than a way does."""
        row: dict[str, Any] = {"name": name}
        try:
            if self.left < 0:
                raise TimeoutError("out of time")
            row["seconds"] = self._medians(ways(), scales, turns)
        except Exception as error:  # one row that fails must not cost the others
            row["error"] = f"{type(error).__name__}: {error}"[:400]
        self.rows.append(row)
        text = json.dumps({"about": self.about, "rows": self.rows}, indent=1)
        (self.folder / "end-to-end.json").write_text(text)
        self._print(row)

    def _medians(self, ways: dict[str, Way], scales: dict[str, float], turns: int) -> dict[str, float]:
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(turns + 1):  # the first one warms up
            for name, way in ways.items():
                if name in scales and turn > 2:  # slow ones
                    continue
                synchronize()
                start = time.perf_counter()
                way()
                synchronize()
                seconds[name].append((time.perf_counter() - start) * scales.get(name, 1.0))
        return {name: median(times[1:]) for name, times in seconds.items()}

    def _print(self, row: dict[str, Any]) -> None:
        print(f"\n{row['name']} ({time.perf_counter() - self.began:.0f} s)  {row.get('error', '')}", flush=True)
        ours = next(iter(row.get("seconds", {}).values()), 1.0)
        for name, seconds in row.get("seconds", {}).items():
            print(f"    {name:40s} {seconds * 1000:10.3f} ms {seconds / ours:10.2f} x", flush=True)


def images_to_masks(port: PortModel, picture: Tensor, n: int, precision: str) -> dict[str, Way]:
    sampler = fastpunet.Sampler(port, precision=precision)
    check(sampler, port, picture)
    replayed = partial(sampler.sample, picture, n, seed=0, output="bits")
    first = replayed().words
    for _ in range(3):  # as launched, then as captured
        different = (first ^ replayed().words) != 0
        assert different.float().mean() < 0.01, "replayed masks differ from the launched ones"
    return {
        "ours, replayed": replayed,
        "ours, sampled afresh": partial(fastpunet.sample, port, picture, n, seed=0, output="bits", precision=precision),
        "port's loop": partial(port_loop, port, picture, n),
        "PyTorch, split and batched": partial(split_and_batched, port, picture, n, precision, strongest.decode),
    }


def encoded_to_masks(port: PortModel, picture: Tensor, n: int, precision: str) -> dict[str, Way]:
    sampler = fastpunet.Sampler(port, precision=precision)
    encoding = sampler.encode(picture)
    return {"ours, draw": partial(sampler.draw, encoding, n, seed=0, output="bits")}


def compiled_peers(port: PortModel, picture: Tensor, n: int, precision: str, compiled: Future[None]) -> dict[str, Way]:
    compiled.result(timeout=0)
    sampler = fastpunet.Sampler(port, precision=precision)
    return {
        "ours, replayed": partial(sampler.sample, picture, n, seed=0, output="bits"),
        "PyTorch, split, batched, compiled": partial(
            split_and_batched, port, picture, n, precision, strongest.compiled_decode
        ),
    }


def compile_peer(n: int, precision: str) -> None:
    """Leaves the code in the compiler's cache on the disk, where the process that times finds it."""
    split_and_batched(port_model().to(DEVICE), image(128, 128).to(DEVICE), n, precision, strongest.compiled_decode)


def check(sampler: fastpunet.Sampler, port: PortModel, picture: Tensor) -> None:
    """On the same latents our masks are the port's, but for pixels on the boundary."""
    with torch.no_grad():
        port(picture, None, training=False)
        z = port.prior_latent_space.sample((8,)).transpose(0, 1)
        theirs = torch.stack([port.fcomb(port.unet_features, z[:, k])[:, 0] > 0 for k in range(8)], dim=1)
    wrong = (sampler.decode(sampler.encode(picture), z) != theirs).float().mean()
    assert wrong < {"ieee": 1e-2, "tf32": 1e-2, "bf16": 5e-2}[sampler.precision], f"{float(wrong):.3g} of pixels differ"


def overlaps() -> dict[str, Way]:
    labels = blobs(MASKS, SIDE, SIDE)
    packed, flat = PackedMasks.pack(labels.to(DEVICE)), labels[0].flatten(1).float().to(DEVICE)
    bf16 = flat.to(torch.bfloat16)
    assert torch.equal(pairwise_iou(packed)[0], matrix_product(flat)), "IoU differs from the matrix product's"
    return {
        "ours": lambda: pairwise_iou(packed),
        "float32 matmul": lambda: matrix_product(flat),
        "bf16 matmul, counts rounded": lambda: matrix_product(bf16),
    }


def distances() -> dict[str, Way]:
    samples, graders = blobs(1000, SIDE, SIDE), blobs(4, SIDE, SIDE, seed=1)
    packed, references = PackedMasks.pack(samples.to(DEVICE)), PackedMasks.pack(graders.to(DEVICE))
    few = samples[0, :LOOPED].bool().numpy(), graders[0].bool().numpy()
    value = energy_distance(packed[:, :LOOPED], references).value.item()
    assert abs(value - loop(*few)) < 1e-9, "the energy distance differs from the loop's"
    return {"ours": lambda: energy_distance(packed, references), "NumPy loop": lambda: loop(*few)}


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where end-to-end.json goes")
    parser.add_argument("--seconds", type=float, default=40, help="start no row after so many")
    parser.add_argument("-n", type=int, default=1000, help="hypotheses")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    race = Race(options.folder, options.seconds)
    n = options.n
    pool = ProcessPoolExecutor(len(PRECISIONS), mp_context=multiprocessing.get_context("spawn"))
    compiled = [pool.submit(compile_peer, n, precision) for precision in PRECISIONS]
    port, picture = port_model().to(DEVICE), image(128, 128).to(DEVICE)
    ways = {precision: partial(images_to_masks, port, picture, n, precision) for precision in PRECISIONS}
    prepared: dict[str, Any] = {}
    for precision, prepare in ways.items():  # our kernels are compiled while the peers' are
        try:
            prepared[precision] = prepare()
        except Exception as error:
            print(f"{precision}: {type(error).__name__}: {error}", flush=True)
    wait(compiled, timeout=max(0.0, 0.5 * options.seconds - (options.seconds - race.left)))
    loops = {"port's loop": 1.0}
    for precision in PRECISIONS:
        if precision in prepared:
            race.run(f"image in, {n} masks out, {precision}", partial(prepared.get, precision), loops)
    race.run(f"IoU of {MASKS} x {MASKS} masks", overlaps, {})
    race.run("energy distance of 1000 masks and 4 graders", distances, {"NumPy loop": 1000**2 / LOOPED**2})
    for precision in PRECISIONS:
        race.run(
            f"encoded image in, {n} masks out, {precision}", partial(encoded_to_masks, port, picture, n, precision), {}
        )
    for precision, future in zip(PRECISIONS, compiled, strict=True):
        peers = partial(compiled_peers, port, picture, n, precision, future)
        race.run(f"image in, {n} masks out, beside what torch.compile makes, {precision}", peers, {})
    for process in multiprocessing.active_children():
        process.terminate()


if __name__ == "__main__":
    main()
