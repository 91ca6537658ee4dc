"""Where the time of a call on a GPU goes, and what PyTorch's own CUDA graphs would make of it.

    PYTHONPATH=.:kernels python -m benchmarks.gpu_graphs [--seconds 40]

One image of 128 x 128 pixels, the published network with random weights, 1000 masks as bits. "GPU" is the time that
the GPU alone needs, from replays of a CUDA graph; "host" that of the host until it would wait; "call" all of it. What
has to be compiled comes last.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.roofline import DEVICE, synchronize
from benchmarks.workloads import PRECISIONS, image
from fastpunet import ProbabilisticUNet, Sampler
from fastpunet.latents import Noise
from fastpunet.models.kept_casts import KeptCasts
from fastpunet.models.method import arithmetic
from fastpunet.models.snapshot import Snapshot
from fastpunet.models.twin import evaluation_twin
from fastpunet.passes import Passes
from fastpunet.replays import _Given
from fastpunet.waits import without_waiting

Run = Callable[[], Any]
ROUNDS = 30


def call(run: Run) -> str:
    return f"{_seconds(run, synchronize) * 1e3:9.3f} ms"


def host(run: Run) -> str:
    return f"{_seconds(run, lambda: None) * 1e6:9.0f} us"


def _seconds(run: Run, wait: Run) -> float:
    times = []
    for _ in range(ROUNDS):
        synchronize()
        start = time.perf_counter()
        run()
        wait()
        times.append(time.perf_counter() - start)
    return median(times[3:])


def gpu(run: Run) -> str:
    if DEVICE.type != "cuda":
        run()
        return "no GPU"
    side, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side), torch.no_grad(), without_waiting():
        for _ in range(3):
            run()
        with torch.cuda.graph(graph, stream=side):
            run()
    torch.cuda.current_stream().wait_stream(side)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    times = []
    for _ in range(ROUNDS):
        start.record()
        graph.replay()
        end.record()
        synchronize()
        times.append(start.elapsed_time(end))
    return f"{median(times):9.3f} ms"


def parts(precision: str, n: int) -> dict[str, Callable[[], str]]:
    """What a call consists of, each with a way to time it."""
    torch.manual_seed(0)
    model, last = (ProbabilisticUNet().to(DEVICE).eval() for _ in range(2))
    last.to(memory_format=torch.channels_last)
    picture, ids = image(128, 128).to(DEVICE), torch.arange(1, device=DEVICE)
    sampler, noise, casts = Sampler(model, precision=precision), Noise(0, ids, 0, n), KeptCasts(model)
    encode = partial(Passes().encode, evaluation_twin(model), picture, precision)
    in_last = partial(Passes().encode, evaluation_twin(last), picture.to(memory_format=torch.channels_last), precision)

    def encode_with_kept_casts() -> None:
        with casts.used():
            encode()

    how = {"output": "bits", "precision": precision, "backend": "auto"}
    draw = partial(model.draw, sampler.encode(picture), noise, **how)
    return {
        "call, replayed": partial(call, partial(sampler.sample, picture, n, seed=0, output="bits")),
        "host, replayed": partial(host, partial(sampler._sample, picture, n, 0, None, "bits", None)),
        "GPU, encoding": partial(gpu, encode),
        "GPU, encoding, weights cast together": partial(gpu, encode_with_kept_casts),
        "GPU, encoding, channels last": partial(gpu, in_last),
        "GPU, drawing": partial(gpu, draw),
        "host, whether the model has changed": partial(host, Snapshot(model).holds),
        "host, noise": partial(host, partial(noise.normals, model.latent_dim)),
    }


def reduced_overhead(precision: str, n: int) -> str:
    """The same work by torch.compile(mode="reduce-overhead"), with the noise outside, as in our own graphs."""
    torch.manual_seed(0)
    model, picture = ProbabilisticUNet().to(DEVICE).eval(), image(128, 128).to(DEVICE)
    noise = Noise(0, torch.arange(1, device=DEVICE), 0, n)

    def work(picture: Tensor, normals: Tensor) -> Tensor:
        given: Any = _Given([(model.latent_dim, 0)], [normals], noise)
        return model.draw(model.encode(picture), given, output="bits", precision=precision, backend="auto")

    compiled = torch.compile(work, mode="reduce-overhead", dynamic=False)

    @torch.no_grad()
    def run() -> Tensor:
        if DEVICE.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()
        with arithmetic(precision, DEVICE):
            return compiled(picture, noise.normals(model.latent_dim)).clone()

    return call(run)


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40, help="start nothing after so many")
    parser.add_argument("-n", type=int, default=1000, help="hypotheses")
    options = parser.parse_args()
    began = time.perf_counter()

    def show(name: str, measure: Callable[[], str]) -> None:
        try:
            found = measure() if time.perf_counter() - began < options.seconds else "out of time"
        except Exception as error:  # one part that fails must not cost the others
            found = f"{type(error).__name__}: {error}"[:300]
        print(f"{name:60s} {found}", flush=True)

    for precision in PRECISIONS:
        for name, measure in parts(precision, options.n).items():
            show(f"{precision}: {name}", measure)
    for precision in PRECISIONS:
        show(f"{precision}: call, torch.compile's reduce-overhead", partial(reduced_overhead, precision, options.n))


if __name__ == "__main__":
    main()
