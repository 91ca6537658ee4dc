"""Many calls in one process, many threads on one model, and processes that fork, spawn, and write to one place."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from soak import soak

from fastpunet import ProbabilisticUNet, Sampler, load, sample, save

ROOT = Path(__file__).parents[1]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ProbabilisticUNet(1, 1, channels=(4, 6), latent_dim=2).eval()


def test_calls_leave_no_files_and_no_threads(tmp_path):
    before, after = soak(150, 0, tmp_path)
    assert after.files == before.files
    assert after.threads == before.threads
    assert before.memory > 1 << 20
    assert after.memory < 2 * before.memory


def test_sixteen_threads_on_one_sampler_and_one_model(model):
    sampler, images = Sampler(model), torch.rand(2, 1, 24, 20)

    def call(seed):
        return sampler.sample(images, 40, seed=seed) if seed % 2 else sample(model, images, 40, seed=seed)

    alone = [call(seed) for seed in range(16)]
    with ThreadPoolExecutor(16) as threads:
        together = list(threads.map(call, range(16)))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


_FORKED = """
import os, signal, sys, torch, fastpunet
from fastpunet.metrics import energy_distance
torch.set_num_threads(2)
torch.manual_seed(0)
model = fastpunet.ProbabilisticUNet(1, 1, channels=(8, 16), latent_dim=2).eval()
images = torch.rand(2, 1, 128, 128)
def call():
    masks = fastpunet.sample(model, images, 100, seed=1)
    return masks, energy_distance(masks, masks[:, :4])
masks, scores = call()
child = os.fork()
if child == 0:
    signal.alarm(120)  # ends a child that hangs
    again, same = call()
    equal = torch.equal(masks, again) and torch.equal(scores.value, same.value)
    os._exit(0 if equal and torch.get_num_threads() == 1 else 3)
status = os.waitpid(child, 0)[1]
assert torch.get_num_threads() == 2
sys.exit(status and 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_draws_the_same_on_one_thread():
    done = subprocess.run([sys.executable, "-c", _FORKED], cwd=ROOT, env=_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _draw_and_save(path):
    torch.manual_seed(0)
    net = ProbabilisticUNet(1, 1, channels=(4, 6), latent_dim=2).eval()
    for _ in range(20):
        save(net, path)
    return sample(net, torch.ones(1, 1, 16, 16) / 2, 20, seed=3).numpy()


def test_spawned_processes_draw_the_same_and_write_one_file(tmp_path):
    path = tmp_path / "m.safetensors"
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(_draw_and_save, [path, path])
    assert (first == second).all()
    assert (first == sample(load(path), torch.ones(1, 1, 16, 16) / 2, 20, seed=3).numpy()).all()
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]


def _environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "kernels")))}
