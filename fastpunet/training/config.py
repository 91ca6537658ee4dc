"""A training run as one validated YAML file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

DATA_SETS = ("lesions", "lidc")
PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the weights of a run. Unknown keys and impossible values are errors."""

    data: str  # "lesions" (synthetic) or "lidc" (an npz bundle)
    file: str = ""  # lidc: the bundle, relative to the folder given as --data
    count: int = 4000  # lesions: number of training images
    size: int = 64  # lesions: pixels a side
    model: dict[str, Any] = field(default_factory=dict)  # arguments of ProbabilisticUNet
    steps: int = 5000
    checkpoint_every: int = 250  # steps
    batch_size: int = 16
    learning_rate: float = 1e-3  # peak; linear warm-up, then cosine to zero
    warmup_steps: int = 100
    weight_decay: float = 1e-5  # L2, beside a loss in nats per image, as in the authors' release
    gradient_clip: float = 1000.0  # norm of the gradient of that loss
    beta: float = 1.0
    precision: str = "32-true"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.data not in DATA_SETS:
            raise ValueError(f"data: got {self.data!r}, expected one of {', '.join(DATA_SETS)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: got {self.precision!r}, expected one of {', '.join(PRECISIONS)}")
        for name in ("count", "size", "steps", "checkpoint_every", "batch_size", "warmup_steps"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, expected a whole number of at least 1")
        for name in ("learning_rate", "gradient_clip"):
            if not _is_number(getattr(self, name)) or getattr(self, name) <= 0:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, expected a positive number")
        for name in ("weight_decay", "beta"):
            if not _is_number(getattr(self, name)) or getattr(self, name) < 0:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, expected a number of at least 0")
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: got {self.seed!r}, expected an int in [0, 2**63)")
        if not isinstance(self.model, dict):
            raise ValueError(f"model: got {self.model!r}, expected arguments of ProbabilisticUNet, by name")
        if not isinstance(self.file, str):
            raise ValueError(f"file: got {self.file!r}, expected the name of a file")
        if self.data == "lidc" and not self.file:
            raise ValueError("file: missing; with data: lidc it names the npz bundle to train on")

    def to_yaml(self) -> str:
        return yaml.safe_dump(asdict(self), sort_keys=False)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def recipes() -> dict[str, Path]:
    """Names and files of the recipes that come with the package."""
    folder = Path(str(resources.files("fastpunet.training") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_config(name_or_path: str | os.PathLike[str], **overrides: Any) -> TrainingConfig:
    """A recipe by name, or a YAML file, with some keys replaced. Raises FileNotFoundError or ValueError."""
    path = recipes().get(str(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise FileNotFoundError(
            f"config: no file {str(name_or_path)!r}, and no recipe of that name; {', '.join(recipes())}"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"config: {path} is not YAML: {error}") from None
    if not isinstance(values, Mapping):
        raise ValueError(f"config: {path} holds {type(values).__name__}, expected keys and values")
    values = {**values, **overrides}
    known = [entry.name for entry in fields(TrainingConfig)]
    unknown = [key for key in values if key not in known]
    if unknown:
        raise ValueError(f"config: {path} has unknown keys {', '.join(map(str, unknown))}; known: {', '.join(known)}")
    if "data" not in values:
        raise ValueError(f"config: {path} lacks the key data; expected one of {', '.join(DATA_SETS)}")
    return TrainingConfig(**values)
