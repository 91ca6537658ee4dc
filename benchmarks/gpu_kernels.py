"""Times every GPU kernel by itself, in the tilings and precisions of interest, and checks what it computes.

    PYTHONPATH=.:kernels python -m benchmarks.gpu_kernels FOLDER

Random data: 1000 hypotheses of an image of 128 x 128 pixels by an f_comb of 32-32-32-1 units and a latent space of six
dimensions, and overlaps of 1000 masks with 1000. Worker processes compile, the most wanted variants first. A time is
the median of replays of a CUDA graph that holds several launches, so that it has none of the host's work in it.
Decisions and numbers are compared with float64. FOLDER/kernels.json is written after every measurement, so that a run
that is cut off has told what it knows; a variant that fails is recorded with its error.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.testing import do_bench

from benchmarks.gpu_rates import rates
from benchmarks.roofline import DEVICE, synchronize
from fastpunet_kernels import Decoder, Gaussian, Maps, decode_samples, distance_sums, mask_iou, pairwise_intersection
from fastpunet_kernels.problem import empty_output
from fastpunet_kernels.triton import decode, intersection
from fastpunet_kernels.triton.offsets import launch_offsets
from fastpunet_kernels.triton.philox import launch_philox_normal
from fastpunet_kernels.triton.tiling import Tiling

LATENT = 6
BINARY = (32, 32, 32, 1)
LAUNCHES, REPLAYS = 4, 9
WORKERS = 14
FEWEST_MULTIPLIED = intersection.FEWEST_MULTIPLIED  # which tasks change
PRECISIONS = ("bf16", "tf32", "3xtf32", "ieee")  # 3xtf32 is float32 by three products of TF32


class Decoding(NamedTuple):
    """One way to decode, without a tiling by the rule; mapped: with a map of 8 x 8 zeros, which changes no label."""

    output: str
    precision: str
    widths: tuple[int, ...] = BINARY
    tiling: Tiling | None = None
    mapped: bool = False

    @property
    def name(self) -> str:
        tiling = "rule" if self.tiling is None else "-".join(map(str, self.tiling))
        name = "decode with a map" if self.mapped else "decode"
        return f"{name} {'-'.join(map(str, self.widths))} {self.output} {self.precision} {tiling}"


class Other(NamedTuple):
    """Another kernel, for so many masks or hypotheses, and how overlaps are counted, if that is forced."""

    kind: str
    n: int
    method: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind} {self.n} {self.method}".strip()


Task = Decoding | Other

# Pixels, warps, registers, unroll, run.
TILINGS = {
    "bf16": (
        *((128, 4, registers, unroll, 64) for registers in (168, 128) for unroll in (1, 2)),
        *((128, 4, 168, 2, run) for run in (32, 128, 256)),
        *((64, 2, registers, unroll, 64) for registers, unroll in ((168, 1), (255, 1), (255, 2), (128, 1))),
        *((128, 2, 255, unroll, 64) for unroll in (1, 2)),
        (128, 4, 255, 4, 64),
        (64, 4, 128, 1, 64),
        (64, 4, 128, 2, 64),
        (64, 4, 80, 1, 64),
        (256, 8, 128, 1, 64),
        (128, 8, 128, 2, 64),
    ),
    "tf32": (
        *((128, 4, registers, unroll, 64) for registers, unroll in ((168, 1), (255, 2), (128, 1))),
        *((64, 4, registers, unroll, 64) for registers, unroll in ((128, 1), (128, 2), (168, 2))),
        *((128, 4, 168, 1, run) for run in (32, 256)),
        (64, 2, 255, 1, 64),
        (256, 8, 168, 1, 64),
    ),
    "3xtf32": (
        *((128, 4, registers, 1, 64) for registers in (255, 168)),
        *((64, 4, registers, unroll, 64) for registers, unroll in ((128, 1), (128, 2), (168, 2))),
        *((128, 4, 255, 1, run) for run in (32, 256)),
        (64, 2, 255, 1, 64),
    ),
    "ieee": ((64, 4, 128, 1, 64), (128, 4, 255, 1, 64)),
}
WIDE = {
    (64, "bf16"): ((64, 4, 168, 1, 64), (128, 4, 255, 1, 64), (128, 8, 255, 1, 64)),
    (64, "tf32"): ((64, 4, 168, 1, 64), (64, 4, 255, 1, 64), (128, 8, 255, 1, 64)),
    (64, "3xtf32"): ((64, 4, 255, 1, 64),),
    (64, "ieee"): ((32, 8, 255, 1, 64),),
    (128, "bf16"): ((64, 4, 255, 1, 64), (128, 8, 255, 1, 64), (64, 8, 255, 1, 64)),
    (128, "tf32"): ((64, 4, 255, 1, 64), (64, 8, 255, 1, 64)),
    (128, "3xtf32"): ((64, 4, 255, 1, 64), (64, 8, 255, 1, 64)),
    (128, "ieee"): ((32, 8, 255, 1, 64),),
}


def tasks() -> list[Task]:
    """The most wanted first."""
    found: list[Task] = [Decoding("bits", precision) for precision in PRECISIONS]
    found += [Other(kind, 1000) for kind in ("IoU of a set with itself", "IoU of two sets", "distances of two sets")]
    found += [Decoding("logits", precision) for precision in PRECISIONS]
    found += [Other(kind, 1000) for kind in ("offsets drawn", "offsets given")]
    found += [Decoding(output, "bf16") for output in ("labels", "probs", "sums")]
    for precision, tilings in TILINGS.items():
        found += [Decoding("bits", precision, tiling=Tiling(*each)) for each in tilings]
    found += [Other("IoU of two sets", n, method) for n in (16, 32, 64, 128) for method in ("counted", "multiplied")]
    found += [Decoding(output, "3xtf32") for output in ("labels", "probs", "sums")]
    found += [Decoding("labels", "bf16", (32, 32, 32, classes)) for classes in (3, 24)]
    found += [Decoding("bits", precision, mapped=True) for precision in ("bf16", "3xtf32")]
    for (width, precision), tilings in WIDE.items():
        found += [Decoding("bits", precision, (width, width, width, 1), Tiling(*each)) for each in tilings]
    found += [Decoding("sums", precision, (32, 32, 32, 3)) for precision in ("bf16", "3xtf32")]
    found += [Decoding(output, "tf32") for output in ("labels", "probs", "sums")]
    found += [Other("philox of 16 images", 10000)]
    return list(dict.fromkeys(found))


class Problem(NamedTuple):
    base: Tensor  # (1, P, h)
    decoder: Decoder
    recipe: Gaussian
    z: Tensor  # (1, n, latent_dim), what the recipe draws


def problem(widths: tuple[int, ...], pixels: int, n: int) -> Problem:
    torch.manual_seed(0)
    weights = [torch.randn(outs, ins) * (2 / ins) ** 0.5 for ins, outs in pairwise(widths)]
    biases = [torch.randn(outs) / 4 for outs in widths[1:]]
    z_weight = torch.randn(widths[0], LATENT) / LATENT**0.5
    decoder = Decoder(z_weight.to(DEVICE), [w.to(DEVICE) for w in weights], [b.to(DEVICE) for b in biases])
    ids = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    mu, sigma = torch.zeros(1, LATENT, device=DEVICE), torch.ones(1, LATENT, device=DEVICE)
    recipe = Gaussian(mu, sigma, ids, 1, 0, n)
    base = torch.randn(1, pixels, widths[0]).to(DEVICE)
    return Problem(base, decoder, recipe, launch_philox_normal(1, ids, 0, n, LATENT))


def decoding(task: Decoding, given: Problem) -> tuple[Callable[[], Any], Tensor | None]:
    """A function that decodes, and the tensor that it fills; sums are returned."""
    precision = "ieee" if task.precision == "3xtf32" else task.precision
    decode.THREE_PRODUCTS = 1 << 30 if task.precision == "3xtf32" else 0
    if task.output == "sums":
        return lambda: decode.launch_decode_sums(given.base, given.decoder, given.z, precision), None
    out = empty_output(given.base, given.recipe.n, task.widths[-1], task.output)
    maps = zero_map(given) if task.mapped else None
    latents = given.z if task.mapped else given.recipe
    arguments = given.base, given.decoder, latents, out, task.output, precision, task.tiling, maps
    return lambda: decode.launch_decode(*arguments), out


def zero_map(given: Problem) -> Maps:
    """For an image whose pixels are in lines of 32, of which there are at least 8."""
    pixels, width = given.base.shape[1:]
    values = torch.zeros(1, given.recipe.n, 1, 8, 8, device=DEVICE)
    return Maps(values, torch.ones(width, 1, device=DEVICE), (pixels // 32, 32))


def random_masks(n: int, pixels: int) -> Tensor:
    return torch.randint(-(2**31), 2**31 - 1, (1, n, 1, pixels // 32), dtype=torch.int32, device=DEVICE)


def other(task: Other, n: int, pixels: int) -> Callable[[], Any]:
    """A function that runs the kernels of a task, for n masks or hypotheses."""
    intersection.FEWEST_MULTIPLIED = {"": FEWEST_MULTIPLIED, "counted": 1 << 30, "multiplied": 1}[task.method]
    if task.kind.startswith("offsets"):
        given = problem(BINARY, 32, n)
        latents = given.recipe if task.kind == "offsets drawn" else given.z
        return lambda: launch_offsets(given.decoder, latents, 1, n, BINARY[0])
    if task.kind.startswith("philox"):
        ids = torch.arange(16, device=DEVICE)
        return lambda: launch_philox_normal(1, ids, 0, n, LATENT)
    masks = random_masks(n, pixels)
    others = masks if "itself" in task.kind else masks.clone()
    if task.kind.startswith("IoU"):
        return lambda: mask_iou(masks, others, 1.0, backend="triton")
    weights = torch.full((1, n), 1 / n, dtype=torch.float64, device=DEVICE)
    return lambda: distance_sums(masks, others, weights, weights, 1.0, backend="triton")


def compile_only() -> None:
    """Of this process: kernels are compiled, not launched, so that others can time theirs."""
    if isinstance(decode.decode_kernel, triton.JITFunction):
        triton.JITFunction.__getitem__ = lambda kernel, grid: (
            lambda *arguments, **options: kernel.warmup(*arguments, grid=grid, **options)
        )


def compiled(task: Task) -> float:
    """In a worker: the seconds that it took to compile a task's kernels for a small problem."""
    began = time.perf_counter()
    if isinstance(task, Decoding):
        decoding(task, problem(task.widths, 256, 16))[0]()
    else:
        other(task, min(task.n, 64), 1024)()
    return time.perf_counter() - began


def milliseconds(run: Callable[[], Any]) -> float:
    """Of one launch, from a graph of several; without a GPU of one run, which tells nothing but that it runs."""
    run()
    synchronize()
    if DEVICE.type != "cuda":
        began = time.perf_counter()
        run()
        return 1000 * (time.perf_counter() - began)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(LAUNCHES):
            run()
    graph.replay()
    times = []
    for _ in range(REPLAYS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / LAUNCHES)
    return median(times)


class Truth:
    """float64 results of a problem, computed once for all its tasks."""

    def __init__(self, widths: tuple[int, ...], given: Problem) -> None:
        self.widths, self.given = widths, given
        self.logits = torch.cat([self._logits(z) for z in given.z[0].double().split(50)])  # (n, K, P)
        binary = widths[-1] == 1
        self.labels = ((self.logits[:, 0] > 0) if binary else self.logits.argmax(1)).byte()
        self.probs = self.logits.sigmoid() if binary else self.logits.softmax(1)

    def _logits(self, z: Tensor) -> Tensor:
        decoder = self.given.decoder
        hidden = self.given.base[0].double() + (z @ decoder.z_weight.double().T)[:, None]
        for weight, bias in zip(decoder.weights, decoder.biases, strict=True):
            hidden = hidden.relu() @ weight.double().T + bias.double()
        return hidden.movedim(-1, -2)

    def faults(self, output: str, result: Any) -> dict[str, float]:
        """The share of flipped decisions, or the largest and the mean error."""
        if output == "labels":
            return {"flipped": float((result[0] != self.labels).double().mean())}
        if output == "bits":
            return {"flipped": float((unpacked(result[0, :, 0], self.labels.shape[1]) != self.labels).double().mean())}
        if output == "sums":
            probability, entropy, _ = result
            each = torch.cat((1 - self.probs, self.probs), 1) if self.widths[-1] == 1 else self.probs
            entropy_error = entropy[0] - torch.special.entr(each).sum((0, 1))
            wrong = (probability[0] - self.probs.sum(0)).abs() / len(self.probs)
            return {"largest error": float(wrong.max()), "of entropy": float(entropy_error.abs().max()) / len(each)}
        wrong = (result[0] - (self.probs if output == "probs" else self.logits)).abs()
        return {"largest error": float(wrong.max()), "mean error": float(wrong.mean())}


def unpacked(words: Tensor, pixels: int) -> Tensor:
    """Packed int32 (n, words) to 0 and 1 uint8 (n, pixels)."""
    return (
        (words[:, :, None] >> torch.arange(32, device=words.device, dtype=torch.int32) & 1)
        .flatten(1)[:, :pixels]
        .byte()
    )


def waited(future: Future[float], seconds: float) -> dict[str, Any]:
    """How long the worker took. If it failed, the task is compiled here, and its error recorded by whoever runs it."""
    try:
        return {"compiled in": round(future.result(timeout=seconds), 1)}
    except Exception as error:
        return {"worker": f"{type(error).__name__}: {error}"[:200]}


def measured(task: Decoding, truth: Truth) -> dict[str, Any]:
    run, out = decoding(task, truth.given)
    ms = milliseconds(run)
    result = run()
    return {"ms": ms, **truth.faults(task.output, result if out is None else out)}


def timed(task: Other, n: int, pixels: int) -> dict[str, Any]:
    return {"ms": milliseconds(other(task, n, pixels))}


def host_microseconds() -> dict[str, Any]:
    """What the host does to launch the decoding of 16 hypotheses, for which the GPU takes less time."""
    run, _ = decoding(Decoding("bits", "bf16"), problem(BINARY, 1024, 16))
    run()
    synchronize()
    began = time.perf_counter()
    for _ in range(20):
        run()
    return {"microseconds": 1e6 * (time.perf_counter() - began) / 20}


def benched(task: Decoding, given: Problem) -> dict[str, Any]:
    """By Triton's own stopwatch, which empties the cache first and may have some of the host's work in it."""
    return {"ms": do_bench(decoding(task, given)[0], return_mode="median")}


def peer(precision: str, truth: Truth) -> dict[str, Any]:
    """The flips and errors of plain PyTorch, the reference, in a precision."""
    given, options = truth.given, {"output": "logits", "precision": precision, "backend": "reference"}
    logits = decode_samples(given.base, given.decoder, given.z, **options)
    return truth.faults("logits", logits) | truth.faults("labels", (logits[:, :, 0] > 0).byte())


def wrong_intersections(n: int, pixels: int) -> dict[str, Any]:
    """How many counts are not those of a product of the unpacked masks, by both methods."""
    masks = random_masks(n, pixels)
    planes = unpacked(masks[0, :, 0], pixels).double()
    wanted = (planes @ planes.T).int()
    found = {}
    for method, fewest in (("counted", 1 << 30), ("multiplied", 1)):
        intersection.FEWEST_MULTIPLIED = fewest
        for name, b in (("with itself", masks), ("of two sets", masks.clone())):
            shared = pairwise_intersection(masks, b, backend="triton")
            found[f"{method} {name}"] = int((shared[0, ..., 0] != wanted).sum())
    return found


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where kernels.json goes")
    parser.add_argument("--seconds", type=float, default=54, help="start no measurement after so many")
    parser.add_argument("--tasks", type=int, help="only the first so many")
    parser.add_argument("--pixels", type=int, default=128 * 128, help="a multiple of 32")
    parser.add_argument("-n", type=int, default=1000, help="at most so many hypotheses and masks")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    gpu = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "none"
    about = {
        "gpu": gpu,
        "torch": torch.__version__,
        "triton": triton.__version__,
        "n": options.n,
        "pixels": options.pixels,
    }
    rows: list[dict[str, Any]] = []

    def left() -> float:
        return began + options.seconds - time.perf_counter()

    def record(name: str, run: Callable[..., dict[str, Any]], *arguments: Any, **known: Any) -> None:
        """Keep what `run` returns, or its error: one failure must not cost the others."""
        try:
            found = run(*arguments) if left() > 0 else {"error": "out of time"}
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"[:300]}
        rows.append({"name": name, **found, **known, "at": round(time.perf_counter() - began, 1)})
        (options.folder / "kernels.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1))
        facts = (
            f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in rows[-1].items()
        )
        print(", ".join(facts).removeprefix("name "), flush=True)

    gc.freeze()  # every capture of a graph collects garbage, in all that was ever imported
    wanted = tasks()[: options.tasks]
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(WORKERS, os.cpu_count() or 1), mp_context=context, initializer=compile_only)
    compiling = [pool.submit(compiled, task) for task in wanted]
    truth = Truth(BINARY, problem(BINARY, options.pixels, options.n))
    for precision in ("bf16", "tf32", "ieee"):
        record(f"PyTorch {precision}", peer, precision, truth)
    for task, future in zip(wanted, compiling, strict=True):
        known = waited(future, min(15, max(0, left())))
        if isinstance(task, Other):
            record(task.name, timed, task, min(task.n, options.n), options.pixels, **known)
            continue
        if truth.widths != task.widths and left() > 0:
            truth = Truth(task.widths, problem(task.widths, options.pixels, options.n))
        record(task.name, measured, task, truth, **known)
    pool.shutdown(wait=False, cancel_futures=True)
    record("intersections that are wrong", wrong_intersections, 300, options.pixels)
    record("host's work to decode 16 hypotheses", host_microseconds)
    if DEVICE.type == "cuda":
        record("instructions of a warp in a microsecond and multiprocessor", rates, milliseconds)
        given = problem(BINARY, options.pixels, options.n)
        for precision in PRECISIONS[:3]:
            task = Decoding("bits", precision)
            record(f"{task.name}, do_bench", benched, task, given)
    print(f"{time.perf_counter() - began:.0f} s on {gpu}")


if __name__ == "__main__":
    main()
