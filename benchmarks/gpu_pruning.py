"""Pruned decoding on a GPU beside decoding everything: what bounds leave open, and the time of both, for masks as bits.

    PYTHONPATH=.:kernels python -m benchmarks.gpu_pruning [--sizes 1000 10000 100000]

The shipped models with an image that suits them, and the published network with random weights, for which bounds prove
nothing. "Open" is the share of pixels of all groups that bounds leave to the decoder. A time is the median of replays
of a CUDA graph, without the host's work. The masks of both are compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor

import fastpunet
from benchmarks.gpu_kernels import milliseconds
from benchmarks.roofline import DEVICE, synchronize
from benchmarks.workloads import image
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.models.latent_method import LatentEncoding
from fastpunet.models.priors.gaussians import AxisAligned
from fastpunet_kernels import Gaussian
from fastpunet_kernels.problem import empty_output
from fastpunet_kernels.triton.decode import launch_decode
from fastpunet_kernels.triton.pruning import launch_bounds, launch_pruned


def lesion() -> Tensor:
    return torch.tensor(SyntheticLesions(1, seed=1)[0].image)[None]


PROBLEMS: dict[str, tuple[Callable[[], torch.nn.Module], Callable[[], Tensor]]] = {
    "lesions, 64 x 64": (lambda: fastpunet.load("lesions"), lesion),
    "random weights, 128 x 128": (fastpunet.ProbabilisticUNet, lambda: image(128, 128)),
}


@torch.no_grad()
def compare(name: str, n: int, precision: str) -> str:
    """A line of the table."""
    make, picture = PROBLEMS[name]
    encoding = fastpunet.Sampler(make().to(DEVICE)).encode(picture().to(DEVICE))
    assert isinstance(encoding, LatentEncoding)
    assert isinstance(encoding.prior, AxisAligned)
    base, decoder, ids = encoding.base, encoding.decoder, torch.zeros(1, dtype=torch.int64, device=DEVICE)
    latents = Gaussian(encoding.prior.mu, encoding.prior.sigma, ids, 0, 0, n)
    dense, pruned = (empty_output(base, n, 1, "bits") for _ in range(2))
    took = [
        milliseconds(lambda: launch_decode(base, decoder, latents, dense, "bits", precision)),
        milliseconds(lambda: launch_pruned(base, decoder, latents, pruned, "bits", precision)),
    ]
    counts = launch_bounds(base, decoder, latents, torch.empty_like(pruned), "bits", precision).counts
    synchronize()
    share = float(counts.double().mean() / base.shape[1])
    same = "the same masks" if torch.equal(dense, pruned) else "OTHER MASKS"
    return (
        f"{name:26} {precision:5} n = {n:<7} open {share:.3f}  all {took[0]:8.3f} ms  pruned {took[1]:8.3f} ms  {same}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000], help="hypotheses of an image")
    sizes = parser.parse_args().sizes
    for precision in ("bf16", "ieee"):
        for name in PROBLEMS:
            for n in sizes:
                print(compare(name, n, precision), flush=True)


if __name__ == "__main__":
    main()
