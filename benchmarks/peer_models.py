"""Other people's models against their own sampling loops: is it right, and how much faster?

    python -m benchmarks.peer_models            # models of every structure; about 5 minutes on an idle machine
    python -m benchmarks.peer_models --real     # the packages themselves, in an environment that has them
    python -m benchmarks.peer_models --errors   # without times, which need an idle machine; also with --real

Each run adds its rows to benchmarks/results/peers.json and writes all of them into the table of docs/models.md. A row
is one image of 128 x 128 pixels (volumes: 16 x 48 x 48), features and combiner 32 wide, 1000 hypotheses as labels. The
error is that of the logits for given latents, relative to float64 and measured before anything is timed. The own loop's
time is that of its networks and of 1000 hypotheses, of which 40 are timed. Both ways take turns; the table has medians.
The check is the whole comparison of the combiner's two forms, which only the first image of a size takes. The encoding
beside which it is shown is that of a later image.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import fastpunet
from fastpunet.models.adapters.adapted import VerifiedEncoding
from fastpunet.models.unet import CHANNELS_LAST
from fastpunet.models.verification import verify
from tests.helpers import real_peers, structures

WIDTH, N, TIMED, TURNS = 32, 1000, 40, 5
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "peers.json"
TABLE = ROOT / "docs" / "models.md"
_MARKED = re.compile(r"(<!-- peers -->\n).*?(<!-- /peers -->)", re.DOTALL)
_LOADS = {  # of the structures, those whose weights `fastpunet.load` reads (docs/checkpoints.md)
    *("PyTorch port", "UNet-Zoo", "torch-em", "platipy", "lightning-uq-box", "GeneralizedProbabilisticUNet"),
    *("jenspetersen, PULASki", "jenspetersen, PULASki, 3-D"),
}


@torch.no_grad()
def measured(model: nn.Module, own: Any, images: Tensor, latents: int) -> dict[str, Any]:
    """The error of given latents and the times of a model; `own` has its loop: begin, hypothesis and own_logits."""
    model.eval()
    sampler = fastpunet.Sampler(model, precision="ieee")
    encoding = sampler.encode(images)
    z = torch.randn(len(images), 8, latents, generator=torch.Generator().manual_seed(0))
    ours = sampler.decode(encoding, z, output="logits")
    layouts = (torch.contiguous_format, CHANNELS_LAST[images.ndim - 2])  # in which PyTorch rounds differently
    theirs = [_own(own, images.contiguous(memory_format=layout), z) for layout in layouts]
    exact = copy.deepcopy(own)
    (exact if isinstance(exact, nn.Module) else exact.model).double()
    truth = _own(exact, images.double(), z.double())
    error, *of_layouts = (float((values - truth).norm() / truth.norm()) for values in (ours, *theirs))
    assert error <= 2 * max(of_layouts), (error, of_layouts)
    found = {"kernels": type(encoding) is VerifiedEncoding, "error": error, "own_error": max(of_layouts)}
    if "--errors" in sys.argv[1:]:
        return found
    seconds: dict[str, list[float]] = {name: [] for name in ("networks", "hypothesis", "ours", "encoding", "check")}
    combiner, features = fastpunet.adapt(model).combiner, encoding.features
    for _ in range(TURNS + 1):  # the first one warms up
        seconds["networks"].append(_seconds(lambda: own.begin(images)))
        seconds["hypothesis"].append(_seconds(lambda: [own.hypothesis() for _ in range(TIMED)]) / TIMED)
        seconds["ours"].append(_seconds(lambda: fastpunet.sample(model, images, N, seed=0)))
        seconds["encoding"].append(_seconds(lambda: sampler.encode(images)))
        seconds["check"].append(_seconds(lambda: verify(combiner, features, latents)))
    times = {name: median(values[1:]) for name, values in seconds.items()}
    return {
        **found,
        "own_seconds": times["networks"] + N * times["hypothesis"],
        "seconds": times["ours"],
        "encoding_seconds": times["encoding"],
        "check_seconds": times["check"],
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def _own(own: Any, images: Tensor, z: Tensor) -> Tensor:
    return torch.stack([own.own_logits(images, z[:, k]) for k in range(z.shape[1])], 1)


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def of_structures() -> dict[str, dict[str, Any]]:
    rows = {}
    for name, structure in structures.STRUCTURES.items():
        torch.manual_seed(0)
        model = structure.make(WIDTH)
        images = torch.rand(1, 1, *((16, 48, 48) if len(structure.size) == 3 else (128, 128)))
        rows[name] = {"structure": structure.words, **measured(model, model, images, structures.LATENTS)}
        print(name, rows[name], flush=True)
    return rows


def of_packages() -> dict[str, dict[str, Any]]:
    rows = {}
    for name, make in real_peers.REAL_PEERS.items():
        torch.manual_seed(0)
        peer = make(WIDTH, (128, 128))
        row = measured(peer.model, peer, peer.images[:1], real_peers.LATENTS)
        rows[f"{name}, the package itself"] = {"structure": "", **row}
        print(name, row, flush=True)
    return rows


def table(rows: dict[str, dict[str, Any]]) -> str:
    columns = ("peer", "structure", "loads", "runs live, decoded by", "error for given z (its own in float32)")
    columns += ("own loop, 1000 hypotheses", "here", "times faster", "whole check, beside a later encoding")
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for name, row in rows.items():
        loads = "yes" if name.removesuffix(", the package itself") in _LOADS else "no"
        decoded = "the kernels" if row["kernels"] else "its own pass"
        error = f"{row['error']:.1e} ({row['own_error']:.1e})"
        times = ["not measured"] * 4
        if "seconds" in row:
            ours, theirs, check = row["seconds"], row["own_seconds"], row["check_seconds"] / row["encoding_seconds"]
            times = [f"{theirs:.2f} s", f"{ours:.2f} s", f"{theirs / ours:.1f}", f"{100 * check:.0f} %"]
        lines.append("| " + " | ".join((name, row["structure"], loads, decoded, error, *times)) + " |")
    return "\n".join(lines)


def main() -> None:
    rows = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    rows |= of_packages() if "--real" in sys.argv[1:] else of_structures()
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    text = TABLE.read_text()
    assert _MARKED.search(text), f"no <!-- peers --> in {TABLE}"
    TABLE.write_text(_MARKED.sub(lambda found: f"{found[1]}{table(rows)}\n{found[2]}", text))


if __name__ == "__main__":
    main()
