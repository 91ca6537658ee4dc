"""What inputs must be for a request to be met, as far as it is known before any pixels are read."""

from __future__ import annotations

import math

import torch

from fastpunet.arguments import check_choice
from fastpunet.data.inputs import Input
from fastpunet.data.writing import check_format
from fastpunet.hypotheses.measures import applicable
from fastpunet.memory import free_memory
from fastpunet.models.method import PIXEL_BYTES, Method
from fastpunet.prediction.request import Request

VALUE_BYTES = 16  # of main memory for each value of an image: as it is stored, as float32, and what is made of these


def check_fits(source: Input, method: Method, request: Request) -> None:
    """Raise ValueError, naming the input, for one that the model does not take, or of which too much is asked.

    Beside what `check_taken` wants, the thresholds must be of measures that the input has, and the format of the files
    one that holds its hypotheses.
    """
    check_taken(source, method, request)
    for name, _ in request.thresholds:
        check_choice(f"{source.name}: threshold", name, applicable(len(source.size)))
    check_format(source, request.format)


def check_taken(source: Input, method: Method, request: Request) -> None:
    """Raise ValueError, naming the input, unless its dimensions, channels and spacing are what is needed."""
    if len(source.size) < method.dims:
        raise ValueError(f"{source.name}: is a single slice, expected a volume (D, H, W), as the model was trained on")
    _check_channels(source, method.in_channels, request.convert)
    spacing = spacing_of(source, request)
    if spacing is None and request.unit == "mm":
        raise ValueError(
            f"{source.name}: does not say how many mm are between its pixels; give --spacing, or --unit px"
        )


def check_memory(
    source: Input, method: Method, request: Request, bytes_each: int, batch_size: int | None = None
) -> None:
    """Raise ValueError, naming the input and what would fit, if a request needs more memory than is free now.

    bytes_each: of main memory for each hypothesis of the input. batch_size: how many such inputs are drawn together.
    """
    passed = _passed(source, method, request)
    networks, there = PIXEL_BYTES * math.prod(passed), free_memory(method.device)
    if networks > there:
        raise ValueError(
            f"{source.name}: the networks take about {networks / 1e9:.1f} GB for {' x '.join(map(str, passed))} "
            f"pixels, and {there / 1e9:.1f} GB are free; crop it, or pass --window"
        )
    together, free = batch_size or 1, free_memory(torch.device("cpu"))
    if _image_bytes(source) > free:
        raise ValueError(
            f"{source.name}: its values take {_image_bytes(source) / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free; "
            "crop it"
        )
    needed = together * request.n * bytes_each
    if needed > free:
        smaller = free // (request.n * bytes_each)
        fewer = free // (together * bytes_each)
        advice = [f"--batch-size {smaller}"] if 0 < smaller < together else []
        advice += [f"-n {fewer}"] if fewer else []
        raise ValueError(
            f"{source.name}: {request.n} hypotheses of it take {needed / 1e9:.1f} GB"
            f"{f' in batches of {together}' if together > 1 else ''}, and {free / 1e9:.1f} GB are free; "
            + (f"pass at most {' or '.join(advice)}" if advice else "crop the image")
        )


def main_memory(source: Input, method: Method, request: Request, bytes_each: int) -> int:
    """Bytes of main memory that an input takes while it is drawn, roughly."""
    networks = PIXEL_BYTES * math.prod(_passed(source, method, request)) if method.device.type == "cpu" else 0
    return networks + _image_bytes(source) + request.n * bytes_each


def _passed(source: Input, method: Method, request: Request) -> tuple[int, ...]:
    """The size of what passes the networks at a time."""
    return source.size[-method.dims :] if request.window is None else request.window_of(method.dims)


def _image_bytes(source: Input) -> int:
    return VALUE_BYTES * source.channels * math.prod(source.size)


def spacing_of(source: Input, request: Request) -> tuple[float, ...] | None:
    """The input's mm between pixels, or what the request says instead. Raises ValueError for too many numbers."""
    if request.spacing is None:
        return source.spacing
    if len(request.spacing) not in (1, len(source.size)):
        raise ValueError(
            f"{source.name}: has {len(source.size)} axes, but the spacing has {len(request.spacing)} numbers; give one "
            "for each axis, or one for all"
        )
    return request.spacing * (len(source.size) // len(request.spacing))


def _check_channels(source: Input, wanted: int, convert: bool) -> None:
    if source.channels == wanted:
        return
    kinds = {1: "grey values", 3: "colours (RGB)"}
    if {source.channels, wanted} != {1, 3}:
        raise ValueError(f"{source.name}: has {source.channels} channels, but the model takes {wanted}; convert it")
    if not convert:
        raise ValueError(
            f"{source.name}: has {kinds[source.channels]}, but the model takes {kinds[wanted]}; pass --convert to "
            "convert them"
        )
