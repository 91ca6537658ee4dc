"""What `fastpunet plan` says beside what a run takes, for four settings:

    python -m benchmarks.plan [--seconds 20] [--setting 0 1 2 3]

Nothing else may run meanwhile. Each setting is planned from its images, then drawn into an archive, each by a command
in a process of its own. It prints JSON: time, storage and memory as planned and as measured, and planned / measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.archive import make_images
from benchmarks.machine import machine


@dataclass(frozen=True)
class Setting:
    model: str
    size: int
    images: int
    options: tuple[str, ...]


SETTINGS = (
    Setting("lidc-tiny", 64, 1500, ("-n", "1000")),
    Setting("lidc-tiny", 128, 400, ("-n", "256")),
    Setting("lesions", 64, 2500, ("-n", "100", "--mean", "--entropy")),
    Setting("checkpoints/lidc-128/Probabilistic-U-Net-seed0.safetensors", 128, 300, ("-n", "1000")),
)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--setting", type=int, nargs="+", default=list(range(len(SETTINGS))))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        results = [
            {**asdict(SETTINGS[place]), **compare(SETTINGS[place], Path(folder, str(place)), options.seconds)}
            for place in options.setting
        ]
    print(json.dumps({"schema": 1, **machine(), "seconds": options.seconds, "settings": results}, indent=1))


def compare(setting: Setting, folder: Path, seconds: float) -> dict[str, Any]:
    """Planned and measured seconds, bytes of the archive, and bytes of memory."""
    folder.mkdir()
    images = make_images(folder / "images", setting.images, setting.size)
    asked = [sys.executable, "-m", "fastpunet.cli", "plan", setting.model, str(images), *setting.options]
    said = subprocess.run([*asked, "--seconds", str(seconds), "--json"], check=True, stdout=subprocess.PIPE).stdout
    plan = json.loads(said)
    planned = {"seconds": plan["time"], "bytes": plan["storage"], "memory": plan["memory_bytes"]}
    measured = run(setting, images, folder / "out.zarr")
    ratios = {name: planned[name] / measured[name] for name in planned}
    return {"drawn for the plan": plan["drawn"], "planned": planned, "measured": measured, "planned / measured": ratios}


def run(setting: Setting, images: Path, archive: Path) -> dict[str, float]:
    """What drawing the archive took."""
    asked = [sys.executable, "-m", "fastpunet.cli", "sample", setting.model, str(images), *setting.options]
    start = time.perf_counter()
    process = subprocess.Popen([*asked, "-o", str(archive)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    memory = _peak(process)
    seconds = time.perf_counter() - start
    written = sum(file.stat().st_size for file in archive.glob("**/*") if file.is_file())
    return {"seconds": seconds, "bytes": written, "memory": memory}


def _peak(process: subprocess.Popen[bytes]) -> int:
    """Peak resident bytes of a process, once it has ended well."""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"the run ended with status {status}")
    return int(usage.ru_maxrss) * 1024


if __name__ == "__main__":
    main(sys.argv[1:])
