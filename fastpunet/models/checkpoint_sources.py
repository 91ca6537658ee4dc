"""Finds the file that a name stands for: shipped weights, files, folders, and repositories of the Hugging Face hub."""

from __future__ import annotations

import os
import re
from importlib import resources
from pathlib import Path

from fastpunet.models.tensorflow import find_index

WEIGHTS_FILE = "model.safetensors"  # the name of the model in the folder of a training run, and in hub repositories
PICKLED_FILE = "pytorch_model.bin"  # the other name in hub repositories
BEST_FILE = "best.safetensors"  # the best model so far of a run that is not finished
RESUME_FILE = "last.ckpt"  # what a run goes on from
RUN_FILES = (WEIGHTS_FILE, RESUME_FILE)  # a folder that has one of them is that of a training run

_REPOSITORY = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?")


def shipped() -> dict[str, Path]:
    """Names and files of the weights that come with the package."""
    folder = Path(str(resources.files("fastpunet") / "weights"))
    return {path.stem: path for path in sorted(folder.glob("*.safetensors"))}


def find_file(source: str | os.PathLike[str]) -> Path:
    """The file of a checkpoint, a folder, a hub repository or shipped weights. Raises the errors of `load`."""
    path = shipped().get(str(source), Path(source))
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        index = find_index(path)
        if index is not None:
            return index
        repository = None if path.parent.exists() else _REPOSITORY.fullmatch(str(source))
        if repository is not None:
            return _download(repository["id"], repository["revision"])
        raise FileNotFoundError(
            f"source: no file {str(source)!r}, and no shipped weights of that name; shipped: "
            f"{', '.join(shipped()) or 'none'}; name one of these, a file, a folder, or OWNER/NAME of the Hugging Face "
            "hub"
        )
    if path.suffix == ".ckpt" and (path.parent / "config.yaml").is_file():
        raise ValueError(
            (
                f"checkpoint: {path} is a checkpoint for fastpunet train --resume, not a model; load its folder "
                f"{str(path.parent)!r}"
            )
            + ("" if (path.parent / WEIGHTS_FILE).is_file() else f" once it is finished{_best_so_far(path.parent)}")
        )
    return path


def _in_folder(folder: Path) -> Path:
    for name in (WEIGHTS_FILE, PICKLED_FILE):
        if (folder / name).is_file():
            return folder / name
    index = find_index(folder)
    if index is not None:
        return index
    if (folder / RESUME_FILE).is_file():
        raise FileNotFoundError(
            f"source: no {WEIGHTS_FILE} in {str(folder)!r}, whose training run is not finished; finish it with "
            f"fastpunet train --resume --output {folder}{_best_so_far(folder)}"
        )
    found = ", ".join(sorted(file.name for file in folder.glob("*.safetensors"))) or "no .safetensors file"
    raise FileNotFoundError(
        f"source: no {WEIGHTS_FILE} in the folder {str(folder)!r}, expected a finished run's or a hub repository's; "
        f"found {found}"
    )


def _best_so_far(folder: Path) -> str:
    """Say which other file of an unfinished run can be loaded."""
    best = folder / BEST_FILE
    return f", or load {best}, the best so far" if best.is_file() else ""


def _download(repository: str, revision: str | None) -> Path:
    """The weights of a hub repository, from the hub's cache on this machine or else from the hub; never its code."""
    try:
        import huggingface_hub
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ModuleNotFoundError:
        raise FileNotFoundError(
            f"source: no file {repository!r}; if it is a repository of the Hugging Face hub, pip install "
            "'fastpunet[hub]' first"
        ) from None
    reason: Exception | None = None
    for name in (WEIGHTS_FILE, PICKLED_FILE):
        try:
            return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision))
        except EntryNotFoundError as error:
            reason = error
        except (OSError, ValueError) as error:
            reason = error
            break
    if isinstance(reason, EntryNotFoundError) and not isinstance(reason, LocalEntryNotFoundError):
        raise FileNotFoundError(
            f"source: the repository {repository!r} of the Hugging Face hub has no {WEIGHTS_FILE} and no {PICKLED_FILE}"
        )
    line = " ".join(str(reason).split())
    raise FileNotFoundError(
        f"source: {repository!r} is not a file, and could not be downloaded from the Hugging Face hub: {line[:200]}"
    )
