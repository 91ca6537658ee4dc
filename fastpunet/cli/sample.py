"""fastpunet sample."""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fastpunet.cli.running import (
    add_device,
    add_drawing,
    add_existing,
    add_model,
    add_preparation,
    add_speed,
    request_of,
    tell_grey_values_once,
)
from fastpunet.cli.telling import Teller
from fastpunet.parsing import Namespace, Parser

if TYPE_CHECKING:
    from fastpunet.prediction.request import Request

SUMMARY = "draw hypotheses for images in files: masks, modes and measures"


def parser() -> Parser:
    options = Parser(
        "fastpunet sample",
        "Draw hypotheses for every image and write them to OUT/NAME, where NAME is that of the image: the label maps "
        "of all hypotheses in the format of the image, their measures (measures.csv), and what they say together "
        "(answer.json). Images need no annotation. OUT/summary.json says what became of each image. The exit status "
        "is 0 if all images have an answer, and 1 if one of them failed. See docs/sample.md.",
    )
    add_model(options)
    options.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="PNG, JPEG, TIFF, NIfTI, DICOM or .npz files, folders of them, or patterns such as 'scans/*.nii.gz'; the "
        "DICOM files of a series are one volume",
    )
    options.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="folder to write to; or an archive NAME.zarr, which holds the packed masks of millions of images (see "
        "docs/archive.md)",
    )
    add_drawing(options)
    options.add_argument(
        "--format",
        help="format of what is written: png, tiff, nifti, seg (DICOM SEG) or npz; without it, that of the image",
    )
    options.add_argument(
        "--modes",
        type=int,
        nargs="?",
        const=0,
        metavar="K",
        help="write the modes, which are the typical alternatives among the hypotheses, with their probabilities: K of "
        "them, or without K as many as are found",
    )
    options.add_argument("--mean", action="store_true", help="write the map of the mean probability")
    options.add_argument("--entropy", action="store_true", help="write the map of that probability's entropy, in nats")
    options.add_argument(
        "--threshold",
        nargs="+",
        default=[],
        metavar="MEASURE:VALUE",
        help="print the probability that a measure reaches a value, such as longest_diameter:8. MEASURE is a column of "
        "measures.csv without its unit, and VALUE is in that unit",
    )
    options.add_argument(
        "--measures",
        nargs="+",
        default=[],
        metavar="MEASURE",
        help="for an archive: measures to keep besides the area or the volume, such as longest_diameter",
    )
    options.add_argument(
        "--engine",
        default="local",
        help="for an archive, who draws: local (threads of this process), ray (the Ray cluster at RAY_ADDRESS, or else "
        "this machine) or torchrun (the processes that torchrun starts)",
    )
    options.add_argument(
        "--shard",
        metavar="I/K",
        help="for an archive: draw share I of K, counted from 0, such as 0/4; other processes draw the other shares",
    )
    options.add_argument("--workers", type=int, metavar="W", help="with --engine ray: largest number of workers")
    options.add_argument(
        "--stall-seconds",
        type=float,
        metavar="S",
        help="for an archive: give up an image on which nothing has been done for S seconds, and draw the others; "
        "without it, 3600",
    )
    add_preparation(options)
    add_existing(options, "answers")
    add_device(options)
    add_speed(options)
    return options


def run(options: Namespace) -> int:
    tell_grey_values_once()
    request = request_of(
        options,
        mean=options.mean,
        entropy=options.entropy,
        modes=options.modes,
        thresholds=tuple(map(threshold, options.threshold)),
        format=options.format,
        measures=tuple(options.measures),
    )
    to_archive = Path(options.output).name.lower().endswith(".zarr")  # also of "OUT.zarr/"
    return _archive(options, request) if to_archive else _folder(options, request)


def _folder(options: Namespace, request: Request) -> int:
    from fastpunet.prediction.run import run as predict

    if options.measures:
        raise ValueError(
            f"measures: got {', '.join(options.measures)} for a folder, whose measures.csv has all measures; leave it "
            "out"
        )
    for name in ("engine", "shard", "workers", "stall_seconds"):
        if options[name] != parser().get_default(name):
            raise ValueError(
                f"{name}: got {options[name]} for a folder, which goes with an archive only; leave it out, or name an "
                "archive, such as OUT.zarr"
            )
    teller = Teller("fastpunet sample", "summary.json lists them")
    calibration = _calibration(options)
    outcomes = predict(
        options.model,
        options.inputs,
        options.output,
        request,
        device=options.device,
        batch_size=options.batch_size,
        overwrite=options.overwrite,
        skip_existing=options.skip_existing,
        say=teller.say,
    )
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    teller.count_warnings()
    print(f"{calibration}{len(outcomes) - failed} of {len(outcomes)} images have an answer in {options.output}")
    return 1 if failed else 0


def _archive(options: Namespace, request: Request) -> int:
    from fastpunet.prediction.archiving.engines.here import any_hangs
    from fastpunet.prediction.archiving.life import STALL_SECONDS
    from fastpunet.prediction.archiving.run import run_archive
    from fastpunet.prediction.archiving.shard import Shard

    if options.batch_size is not None:
        raise ValueError(
            "batch_size: images go into an archive one by one, so that none depends on others; leave it out"
        )
    teller = Teller("fastpunet sample", "log.jsonl lists them", quiet=True)
    calibration = _calibration(options)
    tally = run_archive(
        options.model,
        options.inputs,
        options.output,
        request,
        device=options.device,
        threads=options.threads,
        overwrite=options.overwrite,
        skip_existing=options.skip_existing,
        engine=options.engine,
        shard=Shard.parse(options.shard) if options.shard else None,
        workers=options.workers,
        stall_seconds=STALL_SECONDS if options.stall_seconds is None else options.stall_seconds,
        say=teller.say,
    )
    teller.count_warnings()
    print(
        f"{calibration}{tally.total() - tally['failed']} of {tally.total()} images have hypotheses in {options.output}"
    )
    if any_hangs():
        atexit.register(_leave)
    return 1 if tally["failed"] else 0


def _leave() -> None:
    """End the process at once, in spite of threads that hang in native code."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)  # an image was given up


def _calibration(options: Namespace) -> str:
    """What is said of the model in the end, a line, if it knows how well it is calibrated."""
    from fastpunet.models.checkpoint import load

    calibration = load(options.model).calibration
    return "" if calibration is None else f"this model's {calibration}\n"


def threshold(text: str) -> tuple[str, float]:
    name, _, value = text.partition(":")
    try:
        return name, float(value)
    except ValueError:
        raise ValueError(f"threshold: got {text!r}, expected MEASURE:VALUE, such as longest_diameter:8") from None
