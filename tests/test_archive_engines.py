"""Archives by several processes: shards, torchrun and Ray give the bytes of one process, whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("zarr")
pytest.importorskip("pyarrow")
from helpers.killing import contents
from helpers.small_model import save_pictures, save_small_model

from fastpunet.archive import open_samples
from fastpunet.archive.layout import PARTIAL, TABLE
from fastpunet.cli import main
from fastpunet.data.inputs import find_inputs
from fastpunet.prediction.archiving.engines.ray_data import draw_by_ray
from fastpunet.prediction.archiving.run import run_archive
from fastpunet.prediction.archiving.shard import Shard
from fastpunet.prediction.archiving.task import Task
from fastpunet.prediction.folders import alone, among_others
from fastpunet.prediction.request import Request

IMAGES = 12
REQUEST = Request(n=24, seed=3)
SOURCES = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "in", IMAGES)


@pytest.fixture(scope="module")
def expected(model, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "a.zarr"
    assert run_archive(model, [images], path, REQUEST) == {"done": IMAGES}
    return contents(path)


def command(model, images, path, *more):
    options = ["-n", "24", "--seed", "3", "-o", str(path), *more]
    return ["fastpunet.cli", "sample", str(model), str(images), *options]


def start(module, *arguments):
    paths = os.pathsep.join((str(SOURCES), str(SOURCES / "kernels"), os.environ.get("PYTHONPATH", "")))
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )


def test_shards_one_after_the_other(model, images, expected, tmp_path):
    path = tmp_path / "a.zarr"
    tallies = [run_archive(model, [images], path, REQUEST, shard=Shard(index, 3)) for index in (1, 0, 2)]
    assert sum(tally["done"] for tally in tallies) == IMAGES
    assert all(tally["done"] for tally in tallies)
    assert contents(path) == expected


def test_shards_side_by_side_after_a_kill(model, images, expected, tmp_path):
    path = tmp_path / "a.zarr"
    first = start(*command(model, images, path, "--shard", "0/2"))
    while first.poll() is None and not list(path.glob("items/*/case*")):
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    both = [start(*command(model, images, path, "--shard", f"{index}/2")) for index in range(2)]
    for process in both:
        assert process.wait() == 0, process.stderr.read()
    assert contents(path) == expected
    assert not (path / PARTIAL).exists()


def test_torchrun(model, images, expected, tmp_path):
    path = tmp_path / "a.zarr"
    run = ["--standalone", "--nproc-per-node", "2", "-m", *command(model, images, path, "--engine", "torchrun")]
    process = start("torch.distributed.run", *run)
    assert process.wait() == 0, process.stderr.read()
    assert contents(path) == expected


@pytest.mark.slow
def test_a_cluster_that_loses_machines(model, images, expected, tmp_path):
    """Two machines with a worker each, of which one is lost while it draws; then one machine with two workers."""
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    other = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        lost = False

        def lose(_):
            nonlocal lost
            if not lost:
                lost = True
                cluster.remove_node(other, allow_graceful=False)

        tally = run_archive(model, [images], tmp_path / "a.zarr", REQUEST, engine="ray", workers=2, say=lose)
        assert lost
        assert tally["done"] + tally["kept"] == IMAGES
        assert contents(tmp_path / "a.zarr") == expected
        cluster.add_node(num_cpus=2)
        run_archive(model, [images], tmp_path / "b.zarr", REQUEST, engine="ray", workers=2)
        assert contents(tmp_path / "b.zarr") == expected
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "harm", "message"),
    [
        (("case03",), partial(time.sleep, 600), "nothing was done for it for 60 s"),
        (("case05",), partial(os._exit, 1), "5 workers ended while they drew it; draw it by itself"),
    ],
    ids=("hang", "end"),
)
def test_images_that_make_workers_of_ray_hang_or_end_fail_alone(model, images, tmp_path, names, harm, message):
    ray = pytest.importorskip("ray")
    run_archive(model, [images / "case00.png"], tmp_path / "a.zarr", REQUEST)
    tries = tmp_path / "a.zarr" / PARTIAL / "case05.tries"
    tries.parent.mkdir()
    tries.write_bytes(b"...")  # three workers have ended before, each of which takes long to start
    about = open_samples(tmp_path / "a.zarr").about
    task = Task(os.fspath(model), REQUEST, "cpu", 1, 60.0, tmp_path / "a.zarr", about)
    sources = [replace(one, load=harm) if one.name in names else one for one in find_inputs([images])]
    try:
        outcomes = {outcome.name: outcome for outcome in draw_by_ray(task, sources, 1)}
    finally:
        ray.shutdown()
    failed = {name: outcome.message for name, outcome in outcomes.items() if outcome.status == "failed"}
    assert set(failed) == set(names)
    assert all(text.startswith(f"{name}: {message}") for name, text in failed.items())
    assert set(outcomes) == {f"case{place:02}" for place in range(IMAGES)}


def test_every_image_is_in_one_share():
    names = [f"case{number}" for number in range(3000)]
    shares = [[name for name in names if Shard(index, 3).has(name)] for index in range(3)]
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert all(900 < len(share) < 1100 for share in shares)


def test_the_last_of_several_processes_is_alone(tmp_path):
    with among_others(tmp_path) as first_is_last:
        with pytest.raises(ValueError, match="another process is writing"), alone(tmp_path):
            pass
        with among_others(tmp_path) as second_is_last:
            assert not second_is_last()
            assert first_is_last()
    with alone(tmp_path):
        pass


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--shard", "3/3"], "shard: got 3/3, expected I/K"),
        (["--shard", "a"], "shard: got 'a', expected I/K"),
        (
            ["--shard", "0/2", "--overwrite"],
            "overwrite: got a share of an archive as well, and each share would delete what the others wrote",
        ),
        (["--engine", "slurm"], "engine: got 'slurm', expected one of local, ray, torchrun"),
        (["--engine", "torchrun"], "torchrun sets RANK, which is missing"),
        (["--engine", "torchrun", "--shard", "0/2"], "torchrun, which gives each of its processes a share"),
        (["--workers", "2"], "workers: got 2 for engine local, expected engine ray"),
    ],
)
def test_requests_that_do_not_fit(model, images, tmp_path, capsys, monkeypatch, more, message):
    monkeypatch.delenv("RANK", raising=False)
    assert main(command(model, images, tmp_path / "a.zarr", *more)[1:]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.zarr").exists()


def test_a_folder_of_answers_has_no_engines(model, images, tmp_path, capsys):
    assert main(command(model, images, tmp_path / "out", "--shard", "0/2")[1:]) == 2
    assert "which goes with an archive only" in capsys.readouterr().err


def test_a_share_without_images_leaves_a_whole_archive(model, images, tmp_path):
    one = [images / "case00.png"]
    index = next(index for index in range(2) if not Shard(index, 2).has("case00"))
    assert run_archive(model, one, tmp_path / "a.zarr", REQUEST, shard=Shard(index, 2)) == {}
    assert (tmp_path / "a.zarr" / TABLE).is_file()
    assert list(open_samples(tmp_path / "a.zarr")) == []


def test_a_missing_package_is_named_before_anything_is_made(model, images, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(command(model, images, tmp_path / "a.zarr")[1:]) == 2
    said = capsys.readouterr().err
    assert "writing archives needs pyarrow; install it with pip install 'fastpunet[cluster]'" in said
    assert said.count("pip install") == 1
    assert not (tmp_path / "a.zarr").exists()
