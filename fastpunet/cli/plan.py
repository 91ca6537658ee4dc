"""fastpunet plan."""

from __future__ import annotations

import json

from fastpunet.cli.running import (
    add_device,
    add_drawing,
    add_model,
    add_precision,
    add_preparation,
    request_of,
    tell_grey_values_once,
)
from fastpunet.cli.telling import Teller
from fastpunet.parsing import Namespace, Parser

SUMMARY = "say what drawing an archive of many images would take: time, storage, memory and cost"


def parser() -> Parser:
    options = Parser(
        "fastpunet plan",
        "Say how long an archive of many images would take, how much storage and memory, and what it would cost. For "
        "that, some images are drawn for some seconds, as `fastpunet sample MODEL INPUT... -o OUT.zarr` would do it. "
        "What was measured and what is extrapolated are told apart. See docs/archive.md.",
    )
    add_model(options)
    options.add_argument("inputs", nargs="+", metavar="INPUT", help="typical images, as for fastpunet sample")
    options.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="number of images that the archive will have; without it, as many as are given",
    )
    options.add_argument(
        "--workers", type=int, default=1, metavar="W", help="number of machines like this one that will draw"
    )
    options.add_argument("--hourly", type=float, metavar="COST", help="cost of an hour of one worker, in any currency")
    options.add_argument(
        "--seconds",
        type=float,
        default=20.0,
        help="seconds for which to draw now; at least 24 images are drawn, however long they take",
    )
    options.add_argument(
        "--scratch",
        metavar="FOLDER",
        help="folder for what is drawn now, on the storage where the archive will be",
    )
    options.add_argument("--json", action="store_true", help="print the numbers as JSON, in seconds and bytes")
    add_drawing(options)
    options.add_argument("--mean", action="store_true", help="the archive will have the map of the mean probability")
    options.add_argument(
        "--entropy", action="store_true", help="the archive will have the map of that probability's entropy"
    )
    options.add_argument(
        "--measures",
        nargs="+",
        default=[],
        metavar="MEASURE",
        help="measures that the archive will keep besides the area or the volume",
    )
    add_preparation(options)
    add_device(options)
    add_precision(options)
    return options


def run(options: Namespace) -> None:
    from fastpunet.arguments import check_at_least_zero
    from fastpunet.prediction.archiving.plan import plan

    if options.hourly is not None:
        check_at_least_zero("hourly", options.hourly)
    tell_grey_values_once()
    request = request_of(options, mean=options.mean, entropy=options.entropy, measures=tuple(options.measures))
    found = plan(
        options.model,
        options.inputs,
        request,
        images=options.images,
        workers=options.workers,
        seconds=options.seconds,
        device=options.device,
        threads=options.threads,
        scratch=options.scratch,
        say=Teller("fastpunet plan", "").say,
    )
    print(json.dumps(found.to_dict(), indent=2) if options.json else found.text(options.hourly))
