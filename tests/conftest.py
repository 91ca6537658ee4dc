"""Without a GPU the Triton kernels run in Triton's interpreter; that has to be said before triton is imported."""

import os
import re
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

collect_ignore = ["conftest.py"]  # it has no tests, and pytest would take it for the conftest of docs/

HAS_GPU = torch.cuda.is_available()
if not HAS_GPU:
    os.environ.setdefault("TRITON_INTERPRET", "1")

DEVICE = torch.device("cuda" if HAS_GPU else "cpu")

if "PYTEST_XDIST_WORKER" in os.environ:  # beside other workers each process has one thread, and so have those it starts
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_configure(config: pytest.Config) -> None:
    """A warning of fastpunet that a test does not expect is an error."""
    config.addinivalue_line("filterwarnings", "error::fastpunet.warning.FastpunetWarning")


QUICK = {  # the files behind `pytest -n 2 -m quick`: what most changes break first, in under a minute on two cores
    "test_acceleration",
    "test_adapters_combiner",
    "test_adapters_priors",
    "test_adapters_registry",
    "test_checkpoint",
    "test_data",
    "test_data_folder",
    "test_data_images",
    "test_data_nifti",
    "test_graphs",
    "test_replays",
    "test_inputs",
    "test_hypotheses_resolve",
    "test_kernels_reference",
    "test_masks",
    "test_metrics_golden",
    "test_metrics_iou",
    "test_metrics_matching",
    "test_models",
    "test_prediction_folders",
    "test_prediction_preparation",
    "test_sampling_errors",
    "test_scoring_drawing",
    "test_scoring_stored",
    "test_seam",
    "test_streams",
    "test_training_objective",
    "test_writing",
}


# Packages of the extras that a machine with a GPU may lack: the modules that import them are skipped there.
OPTIONAL = {
    "atheris",
    "fastapi",
    "highdicom",
    "huggingface_hub",
    "hypothesis",
    "jinja2",
    "jsonargparse",
    "monai",
    "nbformat",
    "nibabel",
    "onnx",
    "onnxruntime",
    "playwright",
    "psutil",
    "pyarrow",
    "pydicom",
    "ray",
    "sklearn",
    "tensorflow",
    "zarr",
}


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    missing = re.search(r"(?:No module named '|needs )(\w+)", str(report.longrepr)) if report.failed else None
    if missing and missing[1] in OPTIONAL:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 1, f"Skipped: {missing[1]} is not installed")
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n 2`, workers take whole files in their order, so that what the tests of a file share is made once."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # it would start the files with few but long tests last
    return LoadFileScheduling(config, log) if config.option.dist == "load" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in QUICK and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.quick)
    if HAS_GPU:
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    """The commands may change the number of threads, as their process is theirs; here several share one process."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def device() -> torch.device:
    """Where kernels under test run: the GPU if there is one, else the CPU through Triton's interpreter."""
    return DEVICE


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The LIDC and CamVid bundles, or a skip that says where they were looked for."""
    root = Path(os.environ.get("FASTPUNET_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no data at {root}; set FASTPUNET_DATA")
    return root


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium, or a skip where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no program chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Eight synthetic lesions in the layout of the LIDC bundles, two a patient."""
    from fastpunet.data.lesions import SyntheticLesions  # imports triton

    records = SyntheticLesions(8, seed=4)[:]
    path = tmp_path / "lidc_tiny_test_64.npz"
    np.savez(
        path,
        images=np.stack([(record.image[0] * 255).astype(np.uint8) for record in records]),
        masks_packed=np.packbits(np.stack([record.masks for record in records]), axis=-1),
        patient=np.array([f"p{i // 2}" for i in range(8)]),
    )
    return path


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A list that grows with every capture of a CUDA graph; replaying computes again in the captured memory."""
    from helpers.finished_events import FinishedEvents

    from fastpunet import graphs
    from fastpunet.waits import without_waiting

    made: list[object] = []

    def capture(function, inputs, _):  # type: ignore[no-untyped-def]
        own = tuple(tensor.clone() for tensor in inputs)
        with without_waiting():
            for _ in range(2):
                outputs = function(*own)
        made.append(function)

        def replay() -> None:
            with without_waiting():
                for output, again in zip(outputs, function(*own), strict=True):
                    output.copy_(again)

        return graphs.Captured(function, own, outputs, replay, None, FinishedEvents())

    monkeypatch.setattr(graphs, "capture", capture)
    return made
