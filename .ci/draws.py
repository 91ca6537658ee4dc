"""Draws hypotheses with the installed package, checks them against the reference, says what ran, and prints a digest.

python .ci/draws.py [BACKEND]    BACKEND is the one that has to run: native, or reference where no kernels were built
"""

import hashlib
import sys
from pathlib import Path

import torch

import fastpunet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet_kernels import select_backend
from fastpunet_kernels.native import launch

expected = sys.argv[1] if len(sys.argv) > 1 else "native"
backend = select_backend("auto", torch.device("cpu"))
assert backend == expected, f"got the backend {backend}, expected {expected}: {launch.WHY_MISSING}"

images = torch.stack([torch.from_numpy(record.image) for record in SyntheticLesions(2)[:]])
reference, sampler = (
    fastpunet.Sampler(fastpunet.load("lesions"), precision="ieee", backend=name) for name in ("reference", backend)
)
encoding = reference.encode(images)
hypotheses = reference.draw(encoding, 64, seed=0)
clear = reference.draw(encoding, 64, seed=0, output="logits").abs().amax(2) > 1e-4  # the rest is float32's rounding
assert clear.float().mean() > 0.99
for threads in (1, 2, 4):
    torch.set_num_threads(threads)
    drawn = sampler.draw(encoding, 64, seed=0)
    assert torch.equal(drawn[clear], hypotheses[clear]), f"other hypotheses with {threads} threads"

loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "omp" in line.split("/")[-1]}
openmp = "no kernels" if launch.kernels is None else f"OpenMP {bool(launch.kernels.OPENMP)}"
print(f"fastpunet {fastpunet.__version__} in {Path(fastpunet.__file__).parent}: {backend}, {openmp}", *sorted(loaded))
print(hashlib.sha256(hypotheses.numpy().tobytes()).hexdigest())
