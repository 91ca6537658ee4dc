"""A model card: what a model is, what is known of its making and its quality, and what it must not be used for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastpunet.models.hub import OWN_CARD

if TYPE_CHECKING:
    from fastpunet.models.method import Method

ABOUT = ("data", "split", "scores", "license", "config", "versions")  # what a model may know of its own making

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_COMMAND = "fastpunet train --config config.yaml --data DATA --output RUN"


def model_card(model: Method, *, license: str | None = None, name: str | None = None) -> str:
    """The card as Markdown with the YAML entries of the Hugging Face hub.

    It says what `model.about`, `intensity`, `spacing`, `orientation`, `image_size`, `calibration` and `familiarity`
    say, and of all that is unknown that it is; and whether there are `training_images`.

    license  an identifier of the hub, such as "apache-2.0"; by default that of `model.about`
    name     the title; by default the method's name

    Raises ValueError for a license that is no identifier.
    """
    about = model.about or {}
    licence = license or about.get("license") or "unknown"
    if not _LICENSE.fullmatch(licence):
        raise ValueError(
            f"license: got {licence!r}, expected an identifier of the hub such as apache-2.0, mit or other"
        )
    sections = {
        "How to use it": _usage(model),
        "Images": _images(model),
        "Training data": "\n\n".join(
            (
                about.get("data") or "It is unknown what the model was trained on.",
                about.get("split") or _NO_SPLIT,
                *([] if model.training_images is None else [_HASHES]),
            )
        ),
        "Scores": about.get("scores") or "No scores are kept with the model. `fastpunet evaluate` measures them.",
        "Calibration": f"{_sentence(str(model.calibration))} The errors are means over bins of probability."
        if model.calibration
        else "How far its probabilities can be trusted is unknown. `fastpunet calibrate` measures it.",
        "Familiar images": _sentence(str(model.familiarity))
        if model.familiarity
        else "Which images are like those that it was checked on is unknown. `fastpunet calibrate` measures it.",
        "Intended use": "Research on ambiguous segmentation: to draw many plausible segmentations of an image, and to "
        "say how probable each is.",
        "Limits": _LIMITS,
        "Licence": "The licence of the weights is unknown." if licence == "unknown" else f"{licence}.",
        "How it was made": _making(about),
    }
    entries = ("---", f'license: "{licence}"', "library_name: fastpunet", "pipeline_tag: image-segmentation", "tags:")
    tags = ("segmentation", "uncertainty", "fastpunet")
    head = "\n".join((*entries, *(f"- {tag}" for tag in tags), "---"))
    body = "\n\n".join(f"## {title}\n\n{text.strip()}" for title, text in sections.items())
    return f"{head}\n{OWN_CARD}\n\n# {' '.join((name or model.name).split())}\n\n{_what(model)}\n\n{body}\n"


_NO_SPLIT = "How these data were divided into parts for training, choosing and testing is unknown."
_HASHES = (
    "The weights' file holds hashes of these images, by which `fastpunet evaluate` recognises them. Whoever has one of "
    "the images can tell by its hash that it was used."
)
_LIMITS = (
    "The model is not a medical device, and must not be used for diagnosis. Its hypotheses are worth something only on "
    "images like those that it was trained on, scaled in the same way. Where graders of the training data agreed with "
    "each other wrongly, so does the model."
)


def _what(model: Method) -> str:
    classes = "one structure" if model.num_classes == 1 else f"{model.num_classes} classes"
    where = "volumes" if model.dims == 3 else "images"
    weights = sum(parameter.numel() for parameter in model.parameters())
    return (
        f"A {type(model).__name__} with {weights:,} weights. It draws many hypotheses of how {classes} may be "
        f"segmented in {where} with {model.in_channels} channel{'s' if model.in_channels > 1 else ''}."
    )


def _usage(model: Method) -> str:
    size = model.image_size or (64,) * model.dims
    shape = ", ".join(map(str, (1, model.in_channels, *size)))
    return (
        "```python\n"
        "import fastpunet, torch\n"
        'model = fastpunet.load("PATH")  # this folder, or OWNER/NAME of the hub\n'
        f"images = torch.zeros({shape})  # yours instead, scaled as written below\n"
        "masks = fastpunet.sample(model, images, n=1000, seed=0)\n"
        "```"
    )


def _images(model: Method) -> str:
    rule, spacing, size = model.intensity, model.spacing, model.image_size
    return " ".join(
        (
            "It is unknown how grey values were scaled in training."
            if rule is None
            else f"Grey values were scaled to 0 .. 1 by the rule `{rule}`.",
            "The distance between pixels is unknown."
            if spacing is None
            else f"Pixels were {_times(spacing)} mm apart along the axes of the image.",
            "The size of the images is unknown." if size is None else f"Images had {_times(size)} pixels.",
            *([] if model.orientation is None else [f"Their axes count to {model.orientation} in the body."]),
        )
    )


def _making(about: dict[str, str]) -> str:
    if "config" not in about:
        return "The command and the versions of the software are unknown."
    fence = "`" * max(3, *(1 + len(run) for run in re.findall("`+", about["config"])), 0)
    return (
        f"`{_COMMAND}`, with {about.get('versions') or 'unknown versions of the software'}. config.yaml is\n\n"
        f"{fence}yaml\n{about['config'].strip()}\n{fence}"
    )


def _times(numbers: tuple[float, ...]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
