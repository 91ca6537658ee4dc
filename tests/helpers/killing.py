"""Runs of `fastpunet sample` into an archive that are killed at random moments, as by kill -9."""

import multiprocessing
import random
import shutil
import time
from pathlib import Path

from fastpunet.archive.checking import file_faults
from fastpunet.archive.layout import item_path, read_about
from fastpunet.archive.table import item_names
from fastpunet.files import sha256
from fastpunet.prediction.archiving.run import run_archive
from fastpunet.prediction.request import Request

REQUEST = Request(n=64, seed=3)


def contents(archive: Path) -> dict[str, str]:
    """SHA-256 of every file but the log."""
    files = (path for path in archive.rglob("*") if path.is_file() and path.name != "log.jsonl")
    return {str(path.relative_to(archive)): sha256(path) for path in files}


def sample(model: Path, images: Path, archive: Path) -> None:
    """Start or go on."""
    run_archive(model, [images], archive, REQUEST, skip_existing=True)


def kill_often(model: Path, images: Path, archive: Path, expected: dict[str, str], kills: int, seed: int = 0) -> int:
    """Kill runs at random moments until `kills` were killed while they worked; return how many ended by themselves.

    After each kill every image that is there must be whole, and whenever a run ends, the archive must have the expected
    contents; then another archive is begun.
    """
    context = multiprocessing.get_context("forkserver")  # its children need not import anything
    context.set_forkserver_preload([__name__])
    choose, longest, killed, ended = random.Random(seed), 1.0, 0, 0
    while killed < kills:
        process = context.Process(target=sample, args=(model, images, archive))
        process.start()
        while process.is_alive() and not archive.exists():
            time.sleep(0.01)  # it is loading the model
        start = time.monotonic()
        process.join(choose.uniform(0, longest))
        process.kill()
        process.join()
        if process.exitcode == 0:
            assert contents(archive) == expected
            shutil.rmtree(archive)
            longest, ended = (time.monotonic() - start) / 2, ended + 1
            continue
        assert process.exitcode == -9
        killed += 1
        check_whole(archive)
    sample(model, images, archive)
    assert contents(archive) == expected
    return ended


def check_whole(archive: Path) -> None:
    """Every image that is there is whole."""
    if archive.exists():
        for name in item_names(archive):
            node = archive / item_path(name)
            assert list(file_faults(node, read_about(node)["contents"])) == []
