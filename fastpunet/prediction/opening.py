"""What a run starts from: the model, and the inputs that it takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from fastpunet.data.inputs import Input
from fastpunet.data.inputs.finding import look, no_image_in
from fastpunet.data.reading import one_line
from fastpunet.devices import find_device
from fastpunet.files import sha256
from fastpunet.models import checkpoint
from fastpunet.models.method import Method
from fastpunet.prediction.request import Request
from fastpunet.sampler import Sampler
from fastpunet.windows import windowed

_NAMED = 3


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    name      of the input; empty for files that are not even recognised as images
    status    "done", "kept" (its answer was there already) or "failed"
    message   the answer in a sentence, or why there is none
    warnings  what may make the answer worthless: a sentence for each kind of doubt, such as "spacing"
    """

    name: str
    status: str
    message: str = ""
    warnings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model that was asked for something.

    method   as it was loaded; the sampler's may look at images in windows
    about    the version, the model and the request, for what is written and for comparing it with another run's
    """

    method: Method
    sampler: Sampler
    about: dict[str, Any]


def open_model(model: str | os.PathLike[str], request: Request, device: str) -> OpenedModel:
    """Load a model as a request wants it. Raises ValueError, TypeError or OSError, naming the argument."""
    where = find_device(device)
    file = checkpoint.find_file(model)
    method = checkpoint.load(file).to(where)
    about = {
        "version": metadata.version("fastpunet"),
        "model": {
            "source": os.fspath(model),
            "sha256": sha256(file),
            "method": method.name,
            "calibration": None if method.calibration is None else method.calibration.errors(),
        },
        "request": request.to_dict(),
    }
    looking = method if request.window is None else windowed(method, request.window, request.overlap)
    return OpenedModel(method, Sampler(looking, precision=request.precision, sampler=request.sampler), about)


@dataclass(frozen=True, eq=False)
class OpenedInputs:
    """The inputs of a run that a request can be met for, and what became of the others."""

    inputs: list[Input]
    refused: list[Outcome]


def open_inputs(
    paths: Sequence[str | os.PathLike[str]], passed_over: Callable[[Path], bool], check: Callable[[Input], None]
) -> OpenedInputs:
    """Find the inputs at some paths, of which no pixels are read.

    passed_over: whether a file is no input, though it may be an image. check: raises ValueError or OSError for an input
    that the request cannot be met for. Raises ValueError if there is none for which it can.
    """
    found = look(paths, passed_over)
    if not found.inputs:
        raise ValueError(_some(found.refused) or no_image_in(paths))
    inputs, refused = [], []
    for source in found.inputs:
        try:
            _check_names(source)
            check(source)
            inputs.append(source)
        except (ValueError, OSError) as error:
            refused.append(Outcome(source.name, "failed", one_line(error, 1000)))
    if not inputs:
        raise ValueError(_some([*found.refused, *(outcome.message for outcome in refused)]))
    return OpenedInputs(inputs, [*(Outcome("", "failed", message) for message in found.refused), *refused])


def _check_names(source: Input) -> None:
    """Raise ValueError for files whose names cannot be written into JSON and tables."""
    for file in source.files:
        try:
            os.fspath(file).encode()
        except UnicodeEncodeError:
            raise ValueError(f"file: the name of {os.fspath(file)!r} is not UTF-8; rename it") from None


def _some(messages: list[str]) -> str:
    """The first messages of many in one line."""
    more = len(messages) - _NAMED
    return "; ".join(messages[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
