"""Rules by which sizes, network and steps are chosen for data, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastpunet.data.checking.report import listed
from fastpunet.data.record import IGNORE
from fastpunet.data.streets import STREETS
from fastpunet.training.survey import Survey
from fastpunet_kernels.native import launch

_WIDTHS = {False: (16, 32, 48, 64, 96), True: (32, 64, 128, 192, 192)}  # channels of the scales, without and with a GPU
_CONVOLUTIONS = {False: 2, True: 3}  # a scale
_COARSEST = 6  # pixels a side at the coarsest scale, at least
_WHOLE = {False: 192, True: 320}  # longest side up to which images are not cropped
_CROPS = (64, 96, 128, 192, 256)
_LARGEST_CROP = {False: 128, True: 256}
_ROOM = 1.5  # sides of a crop over those of the marked things
_PIXELS = {False: 8 * 64**2, True: 16 * 128**2}  # in a step, about
_BATCHES = (4, 16)
_OBJECTIVE = {"energy_weight": 1000.0, "hypotheses": 8, "bound_graders": 1}  # as in the recipes for LIDC
_SEEN = 100  # times that each mask is to be seen
_STEPS = (1500, 10_000)
_CLASSES = 64  # above which labels are grey values, unless most of those below the highest occur
_OCCURRING = 4  # labels up to the highest over those that occur, at most, of classes


@dataclass
class Choices:
    """Keys and values chosen so far, and the reasons."""

    values: dict[str, Any]
    reasons: list[str]

    def take(self, values: Mapping[str, Any], reason: str = "") -> None:
        self.values.update(values)
        if reason:
            self.say(reason)

    def say(self, reason: str) -> None:
        self.reasons.append(reason)


def choose_classes(choices: Choices, labels: frozenset[int]) -> int:
    """1 for background and foreground, else the number of classes.

    Raises ValueError where masks mark nothing, or hold too many values to be classes.
    """
    kind = choices.values["kind"]
    if kind in STREETS:
        return len(STREETS[kind].classes)
    if labels <= {0}:
        raise ValueError(
            "data: all masks are empty, so there is nothing to learn and the number of classes is unknown; check them"
        )
    highest = max(labels - {IGNORE}, default=0)
    if highest >= _CLASSES and highest > _OCCURRING * len(labels):
        raise ValueError(
            f"data: masks hold {len(labels)} values up to {highest}, which look like grey values rather than classes; "
            f"store class indices, or give their number as model.num_classes={highest + 1}"
        )
    classes = 1 if highest <= 1 else highest + 1
    missing = sorted(set(range(classes)) - labels) if classes > 1 else []
    gaps = f"; nothing is labelled {listed(map(str, missing))}" if missing else ""
    choices.say("binary masks, one logit" if classes == 1 else f"{classes} classes, the labels 0 .. {highest}{gaps}")
    return classes


def choose_crop(choices: Choices, facts: Survey, wanted: Mapping[str, Any], *, gpu: bool) -> None:
    """What part of the images the model sees: all of it if they are small and of one size."""
    least = facts.least
    if "crop" in wanted or facts.dims == 3 or (len(facts.sizes) == 1 and max(least) <= _WHOLE[gpu]):
        return
    side = next((side for side in _CROPS if side >= _ROOM * facts.extent), _CROPS[-1])
    limit = max(least) if max(least) <= _WHOLE[gpu] else min(side, _LARGEST_CROP[gpu])
    crop = [min(limit, own) for own in least]
    why = "images have different sizes" if len(facts.sizes) > 1 else "images are large"
    text = f"parts of {crop[0]} x {crop[1]} pixels from anywhere in the image, because {why}"
    if facts.extent > min(crop) and facts.labels <= {0, 1, IGNORE}:
        text += (
            f"; what masks mark is up to {facts.extent:.0f} pixels long, more than the parts show: smaller copies of "
            "the images may give a better model"
        )
    choices.take({"crop": crop, "crop_anywhere": True}, text)


def choose_network(choices: Choices, facts: Survey, own: Mapping[str, Any], *, gpu: bool) -> dict[str, Any]:
    """Scales down to some pixels a side, of the published widths on a GPU and of half of them on a CPU."""
    sides = choices.values.get("crop", facts.least)
    scales = max(2, min(len(_WIDTHS[gpu]), 1 + int(math.log2(max(1, min(sides) / _COARSEST)))))
    network = {"channels": list(_WIDTHS[gpu][:scales]), "convs_per_block": _CONVOLUTIONS[gpu], **own}
    channels = network["channels"]
    width = "" if "channels" in own else ", as wide as published" if gpu else ", half as wide as published, for a CPU"
    size = "" if "channels" in own else ", for this size,"
    choices.say(f"a network of {len(channels)} scales{size} with {channels[0]} to {channels[-1]} channels{width}")
    return network


def choose_objective(choices: Choices, facts: Survey, wanted: Mapping[str, Any]) -> None:
    """Training through hypotheses, where masks are binary and several raters show what these shall be like."""
    method = choices.values.get("method", wanted.get("method", "ProbabilisticUNet"))
    if method != "ProbabilisticUNet" or choices.values["model"]["num_classes"] != 1 or facts.raters < 2:
        return
    choices.take(
        {"objective": _OBJECTIVE},
        "training draws hypotheses in each step and scores them by the raters' masks, besides the evidence lower bound",
    )


def choose_steps(choices: Choices, facts: Survey, wanted: Mapping[str, Any], *, gpu: bool) -> None:
    """Batches of as many images as a step can take, and steps until each mask has been seen a hundred times."""
    graders = wanted.get("graders_per_image") or min(4, facts.raters)
    pixels = math.prod(choices.values.get("crop") or wanted.get("crop") or facts.least)
    fewest, most = _BATCHES
    batch = wanted.get("batch_size") or max(fewest, min(most, _PIXELS[gpu] // pixels))
    share = 1 - choices.values.get("validation_share", wanted.get("validation_share", 0))
    seen = facts.images * share * facts.raters / (batch * graders)
    low, high = _STEPS
    steps = wanted.get("steps") or int(min(high, max(low, round(_SEEN * seen, -2))))
    rate = choices.values.get("learning_rate", 1e-3)
    choices.take(
        {
            "graders_per_image": graders,
            "batch_size": batch,
            "steps": steps,
            "learning_rate": rate,
            "warmup_steps": max(1, min(100, steps // 10)),
            "validate_every": max(1, min(500, steps // 10)),
            "precision": "bf16-mixed" if gpu or _has_amx() else "32-true",
        },
        f"{steps} steps of {batch} images with {graders} of their masks: each mask is seen {steps / seen:.0f} times; "
        f"learning rate {wanted.get('learning_rate', rate):g}, falling",
    )


def _has_amx() -> bool:
    """Whether the processor multiplies matrices of bfloat16 in tiles, with which training is faster."""
    kernels = launch.kernels
    return kernels is not None and kernels.CAPABILITIES[launch.capability()] == "amx"
