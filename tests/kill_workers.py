"""Kills workers of Ray, whole machines and the driver while an archive is drawn: `cd tests && python -m kill_workers`.

Machines are simulated: each is a Ray node of its own on this one. The archive must have the bytes of an undisturbed run
by one process in the end, with 1, 4 and 2 workers in between. Needs Ray; takes some minutes on two cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import tempfile
import time
from pathlib import Path

import psutil
import ray
from helpers.killing import REQUEST, check_whole, contents
from helpers.small_model import save_pictures, save_small_model
from ray.cluster_utils import Cluster

from fastpunet.archive.layout import TABLE
from fastpunet.prediction.archiving.run import run_archive


def draw(address: str, model: Path, images: Path, archive: Path, workers: int) -> None:
    """What the driver's process does."""
    ray.init(address=address, log_to_driver=False)
    run_archive(model, [images], archive, REQUEST, engine="ray", workers=workers, skip_existing=True)


def workers_now() -> list[psutil.Process]:
    """The processes of the pool that have a model, on this machine."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or ())
        if title.startswith("ray::") and "_Worker" in title:
            found.append(process)
    return found


def drawn(archive: Path) -> int:
    """How many images are there."""
    return sum(1 for _ in archive.glob("items/*/*/zarr.json"))


def kill(kills: int, images: int, folder: Path, seed: int) -> None:
    choose = random.Random(seed)
    model, pictures = save_small_model(folder / "m.safetensors"), save_pictures(folder / "in", images)
    run_archive(model, [pictures], folder / "expected.zarr", REQUEST)
    expected = contents(folder / "expected.zarr")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    context = multiprocessing.get_context("spawn")
    killed, lost, rounds = 0, 0, 0
    while killed < kills or rounds < 3:
        archive, workers = folder / f"{rounds}.zarr", (1, 4, 2)[rounds % 3]
        machine = cluster.add_node(num_cpus=2) if not lost else None
        while not (archive / TABLE).exists():
            driver = context.Process(target=draw, args=(cluster.address, model, pictures, archive, workers))
            driver.start()
            while driver.is_alive():
                wanted = drawn(archive) + choose.randrange(1, 12)  # there are new images before anything is killed
                while driver.is_alive() and drawn(archive) < wanted:
                    time.sleep(0.02)
                there = workers_now()
                if choose.random() < 0.1:
                    driver.kill()
                elif machine is not None and killed >= kills // 2:
                    cluster.remove_node(machine, allow_graceful=False)
                    machine, lost = None, lost + 1
                elif there and killed < kills:
                    choose.choice(there).send_signal(signal.SIGKILL)
                    killed += 1
            driver.join()
            check_whole(archive)
            workers = choose.choice((1, 4, 2))
        assert contents(archive) == expected, f"archive {rounds} has other bytes"
        rounds += 1
        print(f"archive {rounds}: the same bytes; {killed} workers and {lost} machines killed so far", flush=True)
    cluster.shutdown()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--images", type=int, default=600)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    with tempfile.TemporaryDirectory() as folder:
        kill(given.kills, given.images, Path(folder), given.seed)


if __name__ == "__main__":
    main()
