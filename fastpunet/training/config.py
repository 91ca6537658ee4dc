"""A training run as one validated YAML file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from fastpunet.arguments import (
    check_at_least_zero,
    check_choice,
    check_count,
    check_positive,
    check_switch,
)
from fastpunet.data.streets import find_streets
from fastpunet.intensity import Intensity
from fastpunet.models import METHODS
from fastpunet.training.augmentation import AugmentationConfig
from fastpunet.training.frozen import lists_to_tuples
from fastpunet.training.objective import ObjectiveConfig

DATA_SETS = ("lesions", "lidc", "camvid", "cityscapes", "folder")
PRECISIONS = ("32-true", "bf16-mixed")
SCHEDULES = ("cosine", "constant")


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the weights of a run. Unknown keys and impossible values are errors."""

    # data
    data: str  # lesions (synthetic), lidc, camvid, cityscapes or folder
    file: str = ""  # what to train on, relative to the folder given as --data
    validation: str = ""  # what to select the model on, likewise; lesions: not needed
    validation_share: float = 0.0  # without `validation`: this share of the patients
    count: int = 4000  # lesions: number of training images
    size: int = 64  # lesions: pixels a side
    resize: tuple[int, int] | None = None  # cityscapes: (H, W)
    intensity: str = ""  # grey values that become 0 and 1, such as range:0:4095; see `Intensity.parse`
    class_flips: bool = False  # camvid, cityscapes: five classes turn into twins of theirs (Kohl et al. 2018, 4.2)
    uni_modal: bool = False  # one grader an image, the same throughout
    crop: tuple[int, int] | None = None  # (H, W) around the centre, after augmentation
    crop_anywhere: bool = False  # in training, anywhere in the image
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    workers: int = 0  # processes that prepare batches; 0: the training process does
    # model and objective
    method: str = "ProbabilisticUNet"  # or DropoutUNet, UNetEnsemble, MHeads, Image2ImageVAE
    model: dict[str, Any] = field(default_factory=dict)  # arguments of the method
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    graders_per_image: int = 1  # segmentations of an image that share one pass of U-Net and prior
    # optimisation
    steps: int = 5000
    batch_size: int = 16  # images a step, over all processes
    accumulate: int = 1  # parts in which a process takes its share of a step
    learning_rate: float = 1e-3  # after a linear warm-up
    schedule: str = "cosine"  # to zero, or constant
    learning_rates: dict[int, float] = field(default_factory=dict)  # constant: {step: rate from there on}
    warmup_steps: int = 100
    weight_decay: float = 1e-5  # L2, beside a loss in nats per image, as in the authors' release
    gradient_clip: float = 1000.0  # norm of the gradient of that loss
    precision: str = "32-true"
    seed: int = 0
    # checkpoints and validation
    checkpoint_every: int = 250  # steps
    validate_every: int = 500  # steps
    validation_images: int = 100
    patience: int = 0  # validations without a better energy distance that end the run; 0: none do

    def __post_init__(self) -> None:
        check_choice("data", self.data, DATA_SETS)
        check_choice("method", self.method, tuple(METHODS))
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("schedule", self.schedule, SCHEDULES)
        counts = ("count", "size", "steps", "checkpoint_every", "validate_every", "batch_size", "warmup_steps")
        for name in (*counts, "accumulate", "graders_per_image", "validation_images"):
            check_count(name, getattr(self, name))
        for name in ("workers", "patience"):
            check_count(name, getattr(self, name), least=0)
        for name in ("learning_rate", "gradient_clip"):
            check_positive(name, getattr(self, name))
        for name in ("weight_decay", "validation_share"):
            check_at_least_zero(name, getattr(self, name))
        for name in ("class_flips", "uni_modal", "crop_anywhere"):
            check_switch(name, getattr(self, name))
        lists_to_tuples(self)
        for name in ("crop", "resize"):
            _check_size(name, getattr(self, name))
        for name in ("file", "validation"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name}: got {getattr(self, name)!r}, expected the name of a file")
        if not isinstance(self.model, dict):
            raise ValueError(f"model: got {_plain(self.model)!r}, expected arguments of {self.method}, by name")
        if not isinstance(self.intensity, str):
            raise ValueError(f"intensity: got {_plain(self.intensity)!r}, expected text such as range:0:4095")
        if self.intensity:
            Intensity.parse(self.intensity)
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise ValueError(f"seed: got {self.seed!r}, expected an int in [0, 2**63)")
        object.__setattr__(self, "augmentation", _nested("augmentation", self.augmentation, AugmentationConfig))
        object.__setattr__(self, "objective", _nested("objective", self.objective, ObjectiveConfig))
        self._check_rates()
        self._check_data()

    def _check_rates(self) -> None:
        rates = self.learning_rates
        if not isinstance(rates, dict):
            raise ValueError(f"learning_rates: got {rates!r}, expected steps and the rates from there on")
        for step, rate in rates.items():
            check_count("learning_rates: step", step)
            check_positive(f"learning_rates: {step}", rate)
        if rates and self.schedule != "constant":
            raise ValueError(f"learning_rates: got {rates!r} beside schedule {self.schedule!r}, expected constant")

    def _check_data(self) -> None:
        if self.data in ("lidc", "camvid") and not self.file:
            raise ValueError(f"file: missing; with data: {self.data} it names what to train on")
        if self.class_flips:
            find_streets(self.data)
        if self.resize and self.data != "cityscapes":
            raise ValueError(f"resize: got {list(self.resize)} with data: {self.data}, expected cityscapes")
        if self.validation_share >= 1 or (self.validation_share and self.validation):
            raise ValueError(
                f"validation_share: got {self.validation_share} and validation {self.validation!r}, expected one of "
                "them, and a share below 1"
            )
        if self.patience and not (self.validation or self.validation_share or self.data == "lesions"):
            raise ValueError(f"patience: got {self.patience} without validation data; name some, or set it to 0")

    def to_yaml(self) -> str:
        return yaml.safe_dump(_plain(asdict(self)), sort_keys=False)


def _plain(value: Any) -> Any:
    """Tuples as lists."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _check_size(name: str, size: object) -> None:
    sides = size if isinstance(size, tuple) else ()
    if size is not None and (len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides)):
        raise ValueError(f"{name}: got {_plain(size)!r}, expected [height, width] in pixels")


def _nested(name: str, value: object, kind: type[Any]) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: got {value!r}, expected keys and values")
    _check_keys(name, value, kind)
    return kind(**value)


def _check_keys(name: str, values: Mapping[str, object], kind: type[Any]) -> None:
    known = [entry.name for entry in fields(kind)]
    unknown = [key for key in values if key not in known]
    if unknown:
        raise ValueError(f"{name}: unknown keys {', '.join(map(str, unknown))}; known: {', '.join(known)}")


def recipes() -> dict[str, Path]:
    """Names and files of the recipes that come with the package."""
    folder = Path(str(resources.files("fastpunet.training") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem)}


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
    _check_keys(f"config: {path}", values, TrainingConfig)
    if "data" not in values:
        raise ValueError(f"config: {path} lacks the key data; expected one of {', '.join(DATA_SETS)}")
    return TrainingConfig(**values)
