"""fastpunet verify."""

from __future__ import annotations

import sys

from fastpunet.cli.running import add_device, tell_grey_values_once
from fastpunet.cli.telling import add_json, check_json, tell
from fastpunet.parsing import Namespace, Parser

SUMMARY = "check an archive: every file's hash, and on request the hypotheses themselves"


def parser() -> Parser:
    options = Parser(
        "fastpunet verify",
        "Recompute the SHA-256 of every file of an archive, compare it with what was recorded when it was written, and "
        "name every image with a fault. With --hypotheses, draw the first hypotheses of every image again, from the "
        "model and the image, and compare them bit by bit. The exit status is 0 without faults, and 1 with some. See "
        "docs/archive.md.",
    )
    options.add_argument("archive", metavar="ARCHIVE", help="archive that fastpunet sample ... -o NAME.zarr wrote")
    options.add_argument(
        "--hypotheses", type=int, metavar="K", help="draw the first K hypotheses of every image again, and compare them"
    )
    options.add_argument(
        "--model", metavar="FILE", help="with --hypotheses: where the model is now; without it, where it was"
    )
    options.add_argument(
        "--images",
        nargs="+",
        metavar="INPUT",
        help="with --hypotheses: where the images are now, as they were given to fastpunet sample; without it, where "
        "they were",
    )
    add_json(options, "the faults")
    add_device(options)
    return options


def run(options: Namespace) -> int:
    from fastpunet.archive import open_samples
    from fastpunet.archive.checking import check_items, faults_json
    from fastpunet.arguments import check_count
    from fastpunet.prediction.archiving.redrawing import Redrawing
    from fastpunet.progress import Progress

    tell_grey_values_once()
    check_json(options)
    if options.hypotheses is None and (options.model or options.images):
        raise ValueError(
            "hypotheses: missing, but --model or --images was given; say with --hypotheses K how many to draw again"
        )
    samples = open_samples(options.archive)
    redrawing = None
    if options.hypotheses is not None:
        few = check_count("hypotheses", options.hypotheses)
        redrawing = Redrawing(samples, few, model=options.model, images=options.images, device=options.device)
    faults, checked = [], 0
    with Progress(len(samples), "verifying", "image") as progress:
        for name, its in check_items(samples):
            if redrawing is not None and not its:
                its = redrawing.faults(name)
            for fault in its:
                print(f"fastpunet verify: {fault.name}: {fault.message}", file=sys.stderr, flush=True)
            faults += its
            checked += 1
            progress.update(1)
    wrong = len({fault.name for fault in faults})
    drawn = "" if redrawing is None else f", {options.hypotheses} hypotheses of each drawn again"
    text = f"{checked - wrong} of {checked} images in {options.archive} are as they were written{drawn}"
    tell(options, text, faults_json(checked, faults))
    return 1 if faults else 0
