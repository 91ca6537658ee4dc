"""Times every GPU kernel by itself, in the tilings and precisions of interest, and checks what it computes.

    PYTHONPATH=.:kernels python -m benchmarks.gpu_kernels FOLDER

Random data: 1000 hypotheses of an image of 128 x 128 pixels by an f_comb of 32-32-32-1 units and a latent space of six
dimensions, and the IoU of 1000 masks with 1000. Worker processes compile all variants first. A time is the median of
replays of a CUDA graph that holds several launches, so that it has none of the host's work in it. Decisions and numbers
are compared with float64. Writes FOLDER/kernels.json and prints a table; a variant that fails is recorded with its
error.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, wait
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
from fastpunet_kernels import Decoder, Gaussian, decode_samples, mask_iou, pairwise_intersection
from fastpunet_kernels.problem import empty_output
from fastpunet_kernels.triton import decode
from fastpunet_kernels.triton.offsets import launch_offsets
from fastpunet_kernels.triton.philox import launch_philox_normal
from fastpunet_kernels.triton.tiling import Tiling

LATENT = 6
BINARY = (32, 32, 32, 1)
RULE = None  # the tiling that the rule takes
LAUNCHES, REPLAYS = 4, 9
WORKERS = 14


class Case(NamedTuple):
    """One way to decode: the precision of its products, where "3xtf32" is float32 by three products of TF32."""

    output: str
    precision: str
    widths: tuple[int, ...] = BINARY
    tiling: Tiling | None = RULE

    @property
    def name(self) -> str:
        tiling = "rule" if self.tiling is None else "-".join(map(str, self.tiling))
        return f"decode {'-'.join(map(str, self.widths))} {self.output} {self.precision} {tiling}"


def cases() -> list[Case]:
    """The most wanted first: pixels, warps, registers, unroll, run."""
    found = [Case("bits", precision) for precision in ("bf16", "tf32", "3xtf32", "ieee")]
    bf16 = [(128, 4, r, u, run) for r in (168, 128) for u in (1, 2) for run in (64, 256)] + [
        (128, 4, 255, 2, 64),
        (128, 4, 255, 4, 64),
    ]
    bf16 += [(64, 2, r, u, 64) for r in (168, 128) for u in (1, 2)] + [(64, 2, 255, 2, 64)]
    bf16 += [
        (128, 2, 255, 1, 64),
        (128, 2, 255, 2, 64),
        (64, 1, 255, 1, 64),
        (64, 4, 128, 1, 64),
        (64, 4, 128, 2, 64),
        (256, 8, 128, 1, 64),
        (128, 8, 128, 1, 64),
    ]
    bf16 += [(128, 4, 168, 1, 128), (128, 4, 168, 1, 512)]
    tf32 = [
        (128, 4, 168, 1, 64),
        (128, 4, 168, 1, 256),
        (128, 4, 255, 1, 64),
        (128, 4, 255, 2, 64),
        (64, 4, 128, 1, 64),
        (64, 4, 128, 2, 64),
        (64, 4, 168, 1, 64),
        (64, 4, 168, 2, 64),
        (64, 2, 255, 1, 64),
        (128, 4, 128, 1, 64),
        (256, 8, 168, 1, 64),
    ]
    three = [
        (128, 4, 255, 1, 64),
        (128, 4, 255, 1, 256),
        (128, 4, 168, 1, 64),
        (64, 4, 128, 1, 64),
        (64, 4, 168, 1, 64),
        (64, 4, 128, 2, 64),
        (64, 4, 168, 2, 64),
        (64, 4, 168, 1, 256),
        (64, 2, 255, 1, 64),
        (256, 8, 255, 1, 64),
    ]
    ieee = [(64, 4, 128, 1, 64), (128, 4, 255, 1, 64)]
    for precision, tilings in (("bf16", bf16), ("tf32", tf32), ("3xtf32", three), ("ieee", ieee)):
        found += [Case("bits", precision, tiling=Tiling(*each)) for each in tilings]
    found += [
        Case(output, precision)
        for precision in ("bf16", "tf32", "3xtf32", "ieee")
        for output in ("labels", "logits", "probs", "sums")
    ]
    found += [Case(output, "bf16", (32, 32, 32, classes)) for output in ("labels", "sums") for classes in (3, 24)]
    found += [
        Case("bits", precision, (width, width, width, 1))
        for width in (16, 64, 128)
        for precision in ("bf16", "tf32", "ieee")
    ]
    return list(dict.fromkeys(found))


class Problem(NamedTuple):
    base: Tensor  # (1, P, h)
    decoder: Decoder
    recipe: Gaussian
    z: Tensor  # (1, n, latent_dim), what the recipe draws


def problem(widths: tuple[int, ...], pixels: int, n: int) -> Problem:
    torch.manual_seed(0)
    layers = list(pairwise(widths))
    weights = [torch.randn(outs, ins) * (2 / ins) ** 0.5 for ins, outs in layers]
    biases = [torch.randn(outs) / 4 for _, outs in layers]
    decoder = Decoder(
        torch.randn(widths[0], LATENT).to(DEVICE) / LATENT**0.5,
        [w.to(DEVICE) for w in weights],
        [b.to(DEVICE) for b in biases],
    )
    ids = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    mu, sigma = torch.zeros(1, LATENT, device=DEVICE), torch.ones(1, LATENT, device=DEVICE)
    z = launch_philox_normal(1, ids, 0, n, LATENT)
    return Problem(torch.randn(1, pixels, widths[0]).to(DEVICE), decoder, Gaussian(mu, sigma, ids, 1, 0, n), z)


def launcher(case: Case, given: Problem) -> tuple[Callable[[], Any], Tensor | None]:
    """A function that decodes, and the tensor that it fills; sums are returned."""
    precision = "ieee" if case.precision == "3xtf32" else case.precision
    decode.THREE_PRODUCTS = case.precision == "3xtf32"
    if case.output == "sums":
        return lambda: decode.launch_decode_sums(given.base, given.decoder, given.z, precision), None
    out = empty_output(given.base, given.recipe.n, case.widths[-1], case.output)
    return lambda: decode.launch_decode(
        given.base, given.decoder, given.recipe, out, case.output, precision, case.tiling
    ), out


def compile_case(case: Case) -> tuple[float, str]:
    """In a worker: how long it took, and the error if there was one."""
    began = time.perf_counter()
    try:
        launcher(case, problem(case.widths, 256, 16))[0]()
        synchronize()
    except Exception as error:  # whatever it is, the others are still wanted
        return time.perf_counter() - began, f"{type(error).__name__}: {error}"[:300]
    return time.perf_counter() - began, ""


def milliseconds(run: Callable[[], Any]) -> float:
    """Of one launch, from a graph of several; without a GPU of one run, which tells nothing but that it runs."""
    run()
    if DEVICE.type != "cuda":
        began = time.perf_counter()
        run()
        return 1000 * (time.perf_counter() - began)
    stream = torch.cuda.Stream()
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream), torch.cuda.graph(graph, stream=stream):
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
    """float64 results of a problem, computed once for all its cases."""

    def __init__(self, given: Problem) -> None:
        self.given = given
        self.exact = torch.cat([self.logits(z) for z in given.z[0].double().split(100)])  # (n, K, P)

    def logits(self, z: Tensor) -> Tensor:
        decoder = self.given.decoder
        hidden = self.given.base[0].double() + (z @ decoder.z_weight.double().T)[:, None]
        for weight, bias in zip(decoder.weights, decoder.biases, strict=True):
            hidden = hidden.relu() @ weight.double().T + bias.double()
        return hidden.movedim(-1, -2)

    def labels(self) -> Tensor:
        exact = self.exact
        return (exact[:, 0] > 0).byte() if exact.shape[1] == 1 else exact.argmax(1).byte()

    def probs(self) -> Tensor:
        exact = self.exact
        return exact.sigmoid() if exact.shape[1] == 1 else exact.softmax(1)

    def faults(self, output: str, result: Any) -> dict[str, float]:
        """The share of flipped decisions, or the largest and the mean error."""
        if output == "sums":
            probability, entropy, _ = result
            probs = self.probs()
            each = torch.cat((1 - probs, probs), 1) if probs.shape[1] == 1 else probs
            wanted = torch.special.entr(each).sum((0, 1))
            return {
                "largest error": float((probability[0] - probs.sum(0)).abs().max() / len(probs)),
                "error of the entropy": float((entropy[0] - wanted).abs().max() / len(probs)),
            }
        if output == "labels":
            return {"flipped": float((result[0] != self.labels()).double().mean())}
        if output == "bits":
            shifts = torch.arange(32, device=result.device, dtype=torch.int32)
            planes = (result[0, :, 0, :, None] >> shifts & 1).flatten(1)[:, : self.given.base.shape[1]].byte()
            return {"flipped": float((planes != self.labels()).double().mean())}
        wrong = (result[0] - (self.probs() if output == "probs" else self.exact)).abs()
        return {"largest error": float(wrong.max()), "mean error": float(wrong.mean())}


def measured(compiled: Future[tuple[float, str]], case: Case, given: Problem, truth: Truth) -> dict[str, Any]:
    seconds, error = compiled.result(timeout=0.1)
    if error:
        raise RuntimeError(error)
    run, out = launcher(case, given)
    found = {"compiled in": round(seconds, 1), **timed(run)}
    result = run()
    return found | truth.faults(case.output, result if out is None else out)


def timed(run: Callable[[], Any]) -> dict[str, Any]:
    return {"ms": milliseconds(run)}


def benched(case: Case, given: Problem) -> dict[str, Any]:
    """By Triton's own stopwatch, which empties the cache first and may have some of the host's work in it."""
    return {"ms": do_bench(launcher(case, given)[0], return_mode="median")}


def peer(given: Problem, truth: Truth, precision: str) -> dict[str, Any]:
    """The flips and errors of plain PyTorch, the reference, in a precision."""
    options: dict[str, Any] = {"output": "logits", "precision": precision, "backend": "reference"}
    logits = decode_samples(given.base, given.decoder, given.z, **options)
    return truth.faults("logits", logits) | truth.faults("labels", (logits[:, :, 0] > 0).byte())


def others(given: Problem) -> list[tuple[str, Callable[[], Any]]]:
    """Kernels that do not decode."""
    (_, pixels, width), n = given.base.shape, given.recipe.n
    masks, ids = random_masks(n, pixels), torch.arange(16, device=DEVICE)
    more = masks.clone()
    return [
        ("offsets drawn", lambda: launch_offsets(given.decoder, given.recipe, 1, n, width)),
        ("offsets given", lambda: launch_offsets(given.decoder, given.z, 1, n, width)),
        (f"intersection {n} x {n} with itself", lambda: pairwise_intersection(masks, masks, backend="triton")),
        (f"intersection {n} x {n} of two sets", lambda: pairwise_intersection(masks, more, backend="triton")),
        (f"IoU {n} x {n} with itself", lambda: mask_iou(masks, masks, 1.0, backend="triton")),
        (f"IoU {n} x {n} of two sets", lambda: mask_iou(masks, more, 1.0, backend="triton")),
        (f"philox 16 x {10 * n} x {LATENT}", lambda: launch_philox_normal(1, ids, 0, 10 * n, LATENT)),
    ]


def random_masks(n: int, pixels: int) -> Tensor:
    return torch.randint(-(2**31), 2**31 - 1, (1, n, 1, pixels // 32), dtype=torch.int32, device=DEVICE)


def wrong_intersections(n: int, pixels: int) -> dict[str, Any]:
    """How many counts are not those of a product of the unpacked masks, of a set with itself and of two."""
    masks = random_masks(n, pixels)
    shifts = torch.arange(32, device=DEVICE, dtype=torch.int32)
    planes = (masks[0, :, 0, :, None] >> shifts & 1).flatten(1).double()
    wanted = (planes @ planes.T).int()
    with_itself, of_two = (pairwise_intersection(masks, b, backend="triton")[0, ..., 0] for b in (masks, masks.clone()))
    return {"with itself": int((with_itself != wanted).sum()), "of two sets": int((of_two != wanted).sum())}


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where kernels.json goes")
    parser.add_argument("--seconds", type=float, default=70, help="start no measurement after so many")
    parser.add_argument("--cases", type=int, help="only the first so many ways to decode")
    parser.add_argument("--pixels", type=int, default=128 * 128, help="a multiple of 32")
    parser.add_argument("-n", type=int, default=1000, help="hypotheses")
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

    def record(name: str, run: Callable[..., dict[str, Any]], *arguments: Any) -> None:
        """Keep what `run` returns, or its error, and all before it: one failure must not cost the others."""
        try:
            found = run(*arguments) if time.perf_counter() - began < options.seconds else {"error": "out of time"}
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"[:300]}
        rows.append({"name": name} | found)
        (options.folder / "kernels.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1))

    wanted = cases()[: options.cases]
    pool = ProcessPoolExecutor(min(WORKERS, os.cpu_count() or 1), mp_context=multiprocessing.get_context("spawn"))
    compiled = [pool.submit(compile_case, case) for case in wanted]
    given = problem(BINARY, options.pixels, options.n)
    truth = Truth(given)
    for precision in ("bf16", "tf32", "ieee"):
        record(f"PyTorch {precision}", peer, given, truth, precision)
    record("intersections that are wrong", wrong_intersections, 300, options.pixels)
    wait(compiled, timeout=0.6 * options.seconds)  # nothing else shall use the GPU while it is timed
    pool.shutdown(wait=False, cancel_futures=True)
    for name, run in others(given):
        record(name, timed, run)
    for case, future in zip(wanted, compiled, strict=True):
        if case.widths[0] != given.base.shape[2] or case.widths[1:] != layer_sizes(given):
            given = problem(case.widths, options.pixels, options.n)
            truth = Truth(given)
        record(case.name, measured, future, case, given, truth)
    if DEVICE.type == "cuda":
        record("instructions of a warp in a microsecond and multiprocessor", rates, milliseconds)
        given = problem(BINARY, options.pixels, options.n)
        for case in wanted[:3]:
            record(f"{case.name}, do_bench", benched, case, given)
    for row in rows:
        facts = (f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items())
        print(", ".join(facts).removeprefix("name "))
    print(f"{time.perf_counter() - began:.0f} s on {gpu}")


def layer_sizes(given: Problem) -> tuple[int, ...]:
    return tuple(len(bias) for bias in given.decoder.biases)


if __name__ == "__main__":
    main()
