"""The targets, by the module that declares them, and the modules whose branches lead the fuzzer besides `fastpunet`."""

from __future__ import annotations

from importlib import import_module

from fuzzing.target import Target

MODULES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # module -> its targets, and what is instrumented
    "safetensors_files": (("safetensors",), ()),
    "torch_files": (("torch-file", "torch-pickle"), ("torch._weights_only_unpickler", "torch.serialization")),
    "tensorflow_files": (("tensorflow-index", "tensorflow-entries"), ()),
    "bundles": (("npz", "npz-member"), ("numpy.lib", "zipfile")),
    "pickles": (("pickle",), ("pickle", "pickletools")),
    "pictures": (("png", "jpeg", "tiff"), ("PIL",)),
    "nifti_files": (("nifti", "nifti-in-gzip", "gzip"), ("nibabel", "gzip")),
    "dicom_files": (("dicom",), ("pydicom",)),
    "zarr_stores": (("zarr",), ("zarr",)),
    "archives": (("archive",), ("zarr",)),
    "databases": (("database",), ()),
    "configs": (("config", "split"), ("yaml", "jsonargparse")),
    "command_lines": (("command-line",), ("jsonargparse",)),
}
NAMES = tuple(name for names, _ in MODULES.values() for name in names)


def instrumented(name: str) -> tuple[str, ...]:
    """The modules whose branches lead the fuzzer of a target."""
    return "fastpunet", *MODULES[_module(name)][1]


def target(name: str) -> Target:
    """A target by its name; only its own module is imported."""
    module = import_module(f"fuzzing.readers.{_module(name)}")
    return next(found for found in module.targets() if found.name == name)


def _module(name: str) -> str:
    return next(module for module, (names, _) in MODULES.items() if name in names)
