"""What decides the outcome of a training run, as one checked dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from inspect import signature
from typing import Any, Literal, get_args

from fastpunet.arguments import (
    check_at_least_zero,
    check_choice,
    check_count,
    check_positive,
    check_switch,
)
from fastpunet.data import kinds
from fastpunet.data.streets import find_streets
from fastpunet.data.synthetic_sets import SYNTHETIC_SETS
from fastpunet.intensity import Intensity
from fastpunet.models import METHODS
from fastpunet.models.orientation import check_orientation
from fastpunet.models.prior_names import DIAGONAL, RATERS, read_prior
from fastpunet.optional import needed_for
from fastpunet.parsing import unknown_key
from fastpunet.training.augmentation import AugmentationConfig
from fastpunet.training.frozen import lists_to_tuples
from fastpunet.training.objective import ObjectiveConfig

with needed_for("training", "train"):
    import yaml

KINDS = (*SYNTHETIC_SETS, *kinds.KINDS)
Precision = Literal["32-true", "bf16-mixed"]
Schedule = Literal["cosine", "constant"]
ModelArgument = bool | int | float | str | None | list[int] | list[float] | list[list[int]]


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that decides the weights of a run. Unknown keys and impossible values are errors."""

    kind: str = ""
    """Kind of data set: lesions, lesion-pairs or lesions-3d (all synthetic), lidc, camvid, cityscapes or folder. In a
    config file or on the command line it may be left out, and is then recognised by what the data hold."""
    data: str = ""
    """Folder that holds the data, or the data set itself, where no file is named. Not needed for synthetic ones."""
    file: str = ""
    """What to train on: a file or folder, relative to the folder given as data."""
    validation: str = ""
    """What to choose the weights by: a file or folder, relative to the folder given as data."""
    validation_share: float = 0.0
    """Share of the patients, or of the images where the data name no patients, to choose the weights by, if no
    validation data are named, for example 0.2."""
    test: str = ""
    """What to score the chosen weights on at the end: a file or folder, relative to the folder given as data. Without
    it, the validation data."""
    count: int = 4000
    """Number of synthetic training images. Only for synthetic data sets."""
    size: int = 64
    """Height and width of synthetic images in pixels; synthetic volumes have half as many slices. Only for synthetic
    data sets."""
    resize: tuple[int, int] | None = None
    """Size [height, width] that images are resized to. Only for cityscapes."""
    intensity: str = ""
    """Which grey values become 0 and 1: range:LOW:HIGH, window:CENTRE:WIDTH or percentiles:LOW:HIGH, such as
    range:0:4095. Without it, what suits the format of the files."""
    spacing: tuple[float, ...] | None = None
    """Distance in mm between pixels along each axis of the images, such as [0.5, 0.5], if the files do not say it. The
    model's checkpoint keeps it."""
    orientation: str = ""
    """Orientation in the body that NIfTI volumes are turned to, such as RAS: the directions in which rows, columns and
    slices count. Without it they stay as stored. The model's checkpoint keeps the orientation that all volumes have."""
    class_flips: bool = False
    """Flip five classes to new classes at random, as in Kohl et al. 2018, section 4.2. For camvid and cityscapes."""
    uni_modal: bool = False
    """Train on one grader of each image, the same throughout. Validation still sees all."""
    crop: tuple[int, ...] | None = None
    """Part [height, width] of each image, or [slices, height, width] of each volume, that the model sees: the central
    one, taken after augmentation."""
    crop_anywhere: bool = False
    """In training, take the part from anywhere in the image."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """Random changes of images and masks in training; without any, there are none."""
    workers: int = 0
    """Extra processes that prepare batches. With 0 the training process prepares them."""
    method: str = "ProbabilisticUNet"
    """Which model to train: ProbabilisticUNet, DropoutUNet, UNetEnsemble, MHeads, Image2ImageVAE or
    SSN."""
    model: dict[str, ModelArgument] = field(default_factory=dict)
    """Arguments of the method, such as in_channels, num_classes, channels, latent_dim and prior (diagonal, full,
    low-rank:2, mixture:4, flow:4 or raters:ann,bob)."""
    init_from: str = ""
    """Weights to start from, of the same method and architecture: a checkpoint, the folder of a finished run, or the
    name of shipped weights. Without it, training starts from random weights."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """What training minimises; without any key, the negative evidence lower bound."""
    graders_per_image: int = 1
    """Segmentations of an image, drawn at random, that share one pass of U-Net and prior."""
    steps: int = 5000
    """Optimiser steps of the run."""
    batch_size: int = 16
    """Images in a step, over all processes."""
    accumulate: int = 1
    """Number of parts in which each process computes its share of a step, to save memory."""
    learning_rate: float = 1e-3
    """Learning rate of Adam, after a linear warm-up."""
    schedule: Schedule = "cosine"
    """How the learning rate changes after the warm-up: constant, or cosine, which falls to zero at the last step."""
    learning_rates: dict[int, float] = field(default_factory=dict)
    """With schedule constant: the learning rates from some steps on, such as {80000: 5e-5}."""
    warmup_steps: int = 100
    """Steps in which the learning rate rises from zero."""
    weight_decay: float = 1e-5
    """Weight of the L2 penalty, relative to a loss in nats per image."""
    gradient_clip: float = 1000.0
    """Largest norm of the gradient of that loss; longer gradients are shortened to it."""
    precision: Precision = "32-true"
    """Numbers that the network computes with. bf16-mixed is faster on GPUs, and on processors with AMX."""
    seed: int = 0
    """Seed of the initial weights, the order of the images, augmentation and noise."""
    checkpoint_every: int = 250
    """Steps between checkpoints, from which an interrupted run can be resumed."""
    validate_every: int = 500
    """Steps between validations."""
    validation_images: int = 100
    """Largest number of images in a validation."""
    patience: int = 0
    """Number of validations without a better energy distance after which the run ends early; 0 never ends it early."""

    def __post_init__(self) -> None:
        if not self.kind:
            raise ValueError(f"kind: missing, expected one of {', '.join(KINDS)}; or name the data, with --data")
        check_choice("kind", self.kind, KINDS)
        check_choice("method", self.method, tuple(METHODS))
        check_choice("precision", self.precision, get_args(Precision))
        check_choice("schedule", self.schedule, get_args(Schedule))
        counts = ("count", "size", "steps", "checkpoint_every", "validate_every", "batch_size", "warmup_steps")
        for name in (*counts, "accumulate", "graders_per_image", "validation_images"):
            check_count(name, getattr(self, name))
        for name in ("workers", "patience"):
            check_count(name, getattr(self, name), least=0)
        check_count("seed", self.seed, least=0, limit=2**63 - 1)
        for name in ("learning_rate", "gradient_clip"):
            check_positive(name, getattr(self, name))
        for name in ("weight_decay", "validation_share"):
            check_at_least_zero(name, getattr(self, name))
        for name in ("class_flips", "uni_modal", "crop_anywhere"):
            check_switch(name, getattr(self, name))
        lists_to_tuples(self)
        _check_size("resize", self.resize, 2)
        _check_size("crop", self.crop, 3 if isinstance(self.model, dict) and self.model.get("dims") == 3 else 2)
        if self.spacing is not None:
            for step in self.spacing:
                check_positive("spacing", step)
        if not isinstance(self.intensity, str):
            raise ValueError(f"intensity: got {plain(self.intensity)!r}, expected text such as range:0:4095")
        if self.intensity:
            Intensity.parse(self.intensity)
        if self.orientation:
            check_orientation(self.orientation)
        for name in ("data", "file", "validation", "test", "init_from"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name}: got {getattr(self, name)!r}, expected the name of a file or folder")
        object.__setattr__(self, "augmentation", _nested("augmentation", self.augmentation, AugmentationConfig))
        object.__setattr__(self, "objective", _nested("objective", self.objective, ObjectiveConfig))
        self._check_model()
        self._check_prior()
        self._check_objective()
        self._check_rates()
        self._check_data()

    def _check_model(self) -> None:
        known = list(signature(METHODS[self.method]).parameters)
        if not isinstance(self.model, dict):
            raise ValueError(
                f"model: got {plain(self.model)!r}, expected arguments of {self.method}: {', '.join(known)}"
            )
        for key in self.model:
            if key not in known:
                raise ValueError(unknown_key("model", key, known))

    def _check_prior(self) -> None:
        text = self.model.get("prior", DIAGONAL)
        if text == DIAGONAL or self.method != "ProbabilisticUNet":
            return
        prior = read_prior(text)
        if self.objective.free_bits and prior.kind != RATERS:
            raise ValueError(
                f"objective.free_bits: got {self.objective.free_bits} with prior {text!r}, whose divergence is not a "
                "sum over latent dimensions; use beta, beta_warmup or geco_target"
            )
        if prior.kind == RATERS and self.kind != "folder":
            raise ValueError(
                f"model.prior: got {text!r} with kind {self.kind}, expected kind folder, with masks/<rater>/: the "
                f"segmentations of {self.kind} do not say who made them (the four of LIDC are other radiologists from "
                "image to image)"
            )

    @property
    def raters(self) -> tuple[str, ...]:
        """The raters that the model tells apart, in the order of its priors; none for most models."""
        text = self.model.get("prior", DIAGONAL)
        return read_prior(text).raters if str(text).startswith(RATERS) else ()

    def _check_objective(self) -> None:
        asked = {
            "hypotheses": [f"{name.removesuffix('_score')}_weight" for name in self.objective.score_weights],
            "bound_samples": ["bound_samples"] if self.objective.bound_samples > 1 else [],
        }
        for option, keys in asked.items():
            able = [name for name, method in METHODS.items() if option in method.loss_options]
            if keys and self.method not in able:
                raise ValueError(
                    f"objective.{keys[0]}: got {getattr(self.objective, keys[0])} with method {self.method}, expected "
                    f"method {' or '.join(able)}"
                )

    def _check_rates(self) -> None:
        rates = self.learning_rates
        if not isinstance(rates, dict):
            raise ValueError(
                f"learning_rates: got {rates!r}, expected a rate for each step from which it holds, such as {{5000: "
                "1.0e-5}"
            )
        for step, rate in rates.items():
            check_count("learning_rates: step", step)
            check_positive(f"learning_rates: {step}", rate)
        if rates and self.schedule != "constant":
            raise ValueError(
                f"learning_rates: got {rates!r} with schedule {self.schedule!r}, expected schedule constant"
            )

    def _check_data(self) -> None:
        if self.kind in ("lidc", "camvid") and not self.file and not self.data:
            raise ValueError(f"file: missing; with kind {self.kind} it names the data to train on")
        if self.class_flips:
            find_streets(self.kind)
        if self.resize and self.kind != "cityscapes":
            raise ValueError(f"resize: got {list(self.resize)} with kind {self.kind}, expected kind cityscapes")
        if self.validation_share >= 1 or (self.validation_share and self.validation):
            raise ValueError(
                f"validation_share: got {self.validation_share} and validation {self.validation!r}, expected one of "
                "them, and a share below 1"
            )
        if self.patience and not (self.validation or self.validation_share or self.kind in SYNTHETIC_SETS):
            raise ValueError(f"patience: got {self.patience} without validation data; name some, or set it to 0")

    def to_yaml(self) -> str:
        """All keys, as a file that `read_config` reads."""
        return yaml.safe_dump(plain(asdict(self)), sort_keys=False)


def plain(value: Any) -> Any:
    """Keys and values with lists for tuples, as YAML has them."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _check_size(name: str, size: object, dims: int) -> None:
    sides = size if isinstance(size, tuple) else ()
    if size is not None and (len(sides) != dims or any(type(side) is not int or side < 1 for side in sides)):
        expected = "[height, width]" if dims == 2 else "[slices, height, width]"
        raise ValueError(f"{name}: got {plain(size)!r}, expected {expected} in pixels")


def _nested(name: str, value: object, kind: type[Any]) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: got {value!r}, expected keys and values")
    known = [entry.name for entry in fields(kind)]
    for key in value:
        if key not in known:
            raise ValueError(unknown_key(name, key, known))
    return kind(**value)
