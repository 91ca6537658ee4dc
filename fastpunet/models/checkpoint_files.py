"""Reads weight files, whose kind is recognised by their content. Nothing is executed."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from fastpunet.models.tensorflow import is_index, read_variables
from fastpunet.pickles import check_pickle

HEADER_KEY = "fastpunet"
_ZIP, _PICKLE = b"PK", b"\x80"  # how files of torch.save begin, new and old
_OLD_PICKLES = 5  # at the beginning of an old one: a magic number, a version, the system, the content, the storages


def read_file(path: Path) -> tuple[dict[str, Any] | None, Any]:
    """Return the header that `fastpunet.save` wrote, or None, and the file's other content.

    Raises ValueError, in one line, for a file of another kind, a damaged one, and one that holds more than tensors.
    """
    with path.open("rb") as file:
        beginning = file.read(9)
    if beginning[8:9] == b"{":
        return _read_safetensors(path)
    if beginning.startswith((_ZIP, _PICKLE)):
        return None, _read_torch(path)
    if is_index(path):
        return None, _read_tensorflow(path)
    raise ValueError(
        f"checkpoint: {path} is truncated, or neither a safetensors file nor one of torch.save, nor the index of a "
        f"TensorFlow checkpoint; it begins with {beginning[:8]!r}"
    )


def one_line(error: object, limit: int = 200) -> str:
    """An error's text without line breaks, cut where it is long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _read_safetensors(path: Path) -> tuple[dict[str, Any] | None, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if text is None:
            return None, state
        header = json.loads(text)
        if not isinstance(header, dict) or not isinstance(header.get("config"), dict):
            raise ValueError(f"its header is {one_line(text, 60)}")
        return header, state
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError, MemoryError, OSError) as error:
        raise ValueError(f"checkpoint: {path} is truncated or not a safetensors file: {one_line(error)}") from None


def _read_torch(path: Path) -> Any:
    try:
        _check_pickles(path)
        with path.open("rb") as file:  # given a path, torch.load would choose the format by the suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may fail in any way
        raise ValueError(
            f"checkpoint: {path} is truncated, or holds more than tensors and was not opened: {_reason(error)}; save "
            "the weights alone with torch.save(model.state_dict(), path)"
        ) from None


def _read_tensorflow(index: Path) -> dict[str, torch.Tensor]:
    """The weights and biases; not what the optimiser keeps of them."""
    try:
        return read_variables(index, lambda name: name.endswith(("/w", "/b")))
    except (ValueError, OSError, OverflowError) as error:
        raise ValueError(f"checkpoint: {index} is damaged or not complete: {one_line(error)}") from None


def _check_pickles(path: Path) -> None:
    """Raise ValueError for pickles that PyTorch could take years to open, and for records that fill the memory."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            for _ in range(_OLD_PICKLES):
                check_pickle(file, path.stat().st_size)
        return
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        packed = next((item.filename for item in records if item.compress_type != zipfile.ZIP_STORED), None)
        if packed is not None:  # torch.save compresses none
            raise ValueError(f"its record {packed} is compressed")
        if sum(item.file_size for item in records) > path.stat().st_size:
            raise ValueError("its records share their bytes")
        for item in records:
            if item.filename.endswith(".pkl"):
                with archive.open(item) as file:
                    check_pickle(file, item.file_size)  # type: ignore[arg-type]


def _reason(error: Exception) -> str:
    """The error's first sentence; PyTorch's others advise to open the file without protection."""
    text = one_line(error, 1000)
    start = text.find("WeightsUnpickler error:")
    return one_line(text[start:].partition(". ")[0] if start >= 0 else text, 160)
