"""A config for somebody's data: what can be read off the data is, and the rest are values that suit such data."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from fastpunet.arguments import check_channels, check_choice
from fastpunet.data import Records
from fastpunet.data.checking import check
from fastpunet.data.checking.report import several
from fastpunet.data.lazy import intensity_of
from fastpunet.data.parts import find_parts
from fastpunet.data.sources import read, recognise
from fastpunet.data.splits import graded
from fastpunet.devices import find_device
from fastpunet.files import check_folder, write_text
from fastpunet.intensity import Intensity
from fastpunet.models import METHODS, checkpoint
from fastpunet.optional import needed_for
from fastpunet.training.choices import (
    Choices,
    choose_classes,
    choose_crop,
    choose_network,
    choose_objective,
    choose_steps,
)
from fastpunet.training.config import TrainingConfig, plain
from fastpunet.training.datasets import training_data
from fastpunet.training.survey import Survey, survey

with needed_for("training", "train"):
    import yaml

_PATIENTS = 2  # of whom one can be spared for validation
_SHARE = 0.2
_STREETS = (256, 512)  # what street scenes are resized to
_AUGMENTATION = {"rotation": 15.0, "scale": [0.85, 1.15], "gamma": [0.8, 1.25]}


@dataclass(frozen=True)
class StartingConfig:
    """A config, as keys and values, with a line for each choice that says what was chosen and why."""

    values: dict[str, Any]
    reasons: list[str]

    @property
    def config(self) -> TrainingConfig:
        """Raises ValueError for values out of range."""
        return TrainingConfig(**self.values)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the file, with the reasons as comments, and return its path. Raises ValueError if it exists already."""
        file = Path(path)
        if file.exists():
            raise ValueError(f"output: {file} exists already; name another folder, or delete it")
        check_folder("output", file.parent)
        file.parent.mkdir(parents=True, exist_ok=True)
        reasons = "".join(f"# {reason}\n" for reason in self.reasons)
        text = yaml.safe_dump(plain(self.values), sort_keys=False, default_flow_style=None)
        write_text(file, f"# Chosen by fastpunet train. All keys: fastpunet train --help\n{reasons}{text}")
        return file


def choose(
    given: Mapping[str, Any], device: str, output: str | os.PathLike[str], say: Callable[[str], None]
) -> StartingConfig:
    """Check the data set at given["data"], choose a config for it, and say what was found and chosen.

    given: see `starting_config`. device: where training will run. output: the folder of the run, which must be free.
    Raises ValueError and FileNotFoundError as `starting_config`, and for a folder in which nothing can be written.
    """
    check_folder("output", Path(output))
    chosen = starting_config(given, gpu=find_device(device).type == "cuda")
    values = chosen.values
    others = [values[name] for name in ("validation", "test") if values.get(name)]
    report = check([training_data(values["data"], name) for name in (values.get("file", ""), *others)])
    say(report.text())
    say("\n".join(["", *chosen.reasons, ""]))
    return chosen


def starting_config(given: Mapping[str, Any], *, gpu: bool) -> StartingConfig:
    """Choose a config for the data set at given["data"].

    given: keys and values that are wanted as they are, also where they equal a default. Kind, parts, channels, classes,
    sizes, intensity rule and the number of graders are those of the data. gpu: whether the network may be as large as
    the published one. Raises ValueError and FileNotFoundError for data of no use and values out of range.
    """
    wanted = dict(given)
    data = str(wanted["data"])
    if "file" not in wanted:
        wanted = {**{name: part for name, part in find_parts(Path(data))._asdict().items() if part}, **wanted}
    place = training_data(data, wanted.get("file", ""))
    choices = Choices({"kind": wanted.get("kind") or recognise(place)}, [])
    records, facts = _look(choices, data, wanted)
    choices.reasons.insert(0, _data_in_words(facts, choices.values["kind"], place))
    _choose_validation(choices, facts, wanted)
    rule = intensity_of(records)
    if rule is not None:
        choices.take({"intensity": str(rule)}, f"grey values: {rule} becomes 0 .. 1")
    choose_crop(choices, facts, wanted, gpu=gpu)
    _choose_model(choices, facts, wanted, gpu=gpu)
    choose_objective(choices, facts, wanted)
    choose_steps(choices, facts, wanted, gpu=gpu)
    if facts.dims == 2:
        _choose_augmentation(choices, place)
    nested = {
        key: {**choices.values.get(key, {}), **wanted.get(key, {})} for key in ("model", "objective", "augmentation")
    }
    chosen = StartingConfig({**choices.values, **wanted, **nested}, choices.reasons)
    _ = chosen.config  # for its errors
    return chosen


def _look(choices: Choices, data: str, wanted: Mapping[str, Any]) -> tuple[Records, Survey]:
    """The records to train on, and the facts about them; labels are those of all parts."""
    kind, whole = choices.values["kind"], wanted.get("model", {}).get("dims") == 3
    form: dict[str, Any] = {"binary": False, "whole": whole}
    if wanted.get("intensity"):
        form["intensity"] = Intensity.parse(wanted["intensity"])
    if kind == "cityscapes":
        form["resize"] = tuple(wanted.get("resize", _STREETS))
        choices.take({"resize": form["resize"]}, "images are resized to {} x {}".format(*form["resize"]))
    place = training_data(data, wanted.get("file", ""))
    if not whole and _is_nifti(place):
        choices.say(
            "the volumes are taken slice by slice, those slices in which somebody marked something; "
            "model.dims=3 takes them whole"
        )
    records = graded(read(kind, place, **form))
    others = [wanted[name] for name in ("validation", "test") if wanted.get(name)]
    return records, survey(records, [read(kind, training_data(data, part), **form) for part in others])


def _choose_augmentation(choices: Choices, place: Path) -> None:
    """Random changes of images; those whose axes are known to be those of a body are not mirrored."""
    mirrored = not _is_nifti(place)
    how = "mirrored left and right (augmentation.flip=false where sides matter), " if mirrored else ""
    choices.take(
        {"augmentation": {"flip": mirrored, **_AUGMENTATION}},
        f"training changes images at random: {how}turned, scaled, brightened",
    )


def _is_nifti(place: Path) -> bool:
    return place.is_dir() and any((place / "images").glob("*.nii*"))


def _choose_model(choices: Choices, facts: Survey, wanted: Mapping[str, Any], *, gpu: bool) -> None:
    """The architecture: that of the weights to start from, or one for images of this size."""
    source = wanted.get("init_from")
    if source:
        start = checkpoint.load(source)
        choices.take(
            {"method": type(start).__name__, "model": dict(start.config), "learning_rate": 3e-4},
            f"the architecture is that of {source}, and the learning rate 3e-4, as its weights are not to be forgotten",
        )
        return
    method, own = wanted.get("method", "ProbabilisticUNet"), dict(wanted.get("model", {}))
    check_choice("method", method, tuple(METHODS))
    if "channels" in own:
        check_channels(own["channels"])
    classes = own.get("num_classes") or choose_classes(choices, facts.labels)
    network = choose_network(choices, facts, own, gpu=gpu)
    known = signature(METHODS[method]).parameters
    model = {"in_channels": facts.channels, "num_classes": classes, **network}
    choices.take({"model": {key: value for key, value in model.items() if key in known}})


def _choose_validation(choices: Choices, facts: Survey, known: Mapping[str, Any]) -> None:
    if known.get("validation"):
        choices.say(f"the weights are chosen by {known['validation']}")
    elif known.get("validation_share"):
        choices.say(f"the weights are chosen by {known['validation_share']:.0%} of the patients or images")
    elif facts.patients == 1 or facts.images < _PATIENTS:
        what = "one image" if facts.images == 1 else "images of one patient"
        choices.say(f"no validation: the data are {what}, so nothing says how good the model is on others")
    else:
        several = 0 < facts.patients < facts.images
        whom = f"{facts.patients} patients" if several else f"{facts.images} images, each counted as a patient"
        share = max(_SHARE, 1 / (facts.patients or facts.images))
        choices.take({"validation_share": round(share, 3)}, f"the weights are chosen by {share:.0%} of the {whom}")
    if known.get("test"):
        choices.say(f"the scores at the end are those of {known['test']}")


def _data_in_words(facts: Survey, kind: str, place: Path) -> str:
    least, most = facts.least, tuple(max(sides) for sides in zip(*facts.sizes, strict=True))
    sides = " x ".join(map(str, least)) + ("" if least == most else " to " + " x ".join(map(str, most)))
    masks = f"up to {facts.raters} masks for each image"
    if facts.raters == 1:
        masks = "one mask for each image, which shows how images differ but not how raters do"
    return (
        f"{place} ({kind}): {several(facts.images, 'image')} of {sides} pixels, {several(facts.channels, 'channel')}, "
        f"{masks}"
    )
