"""fastpunet sample."""

from __future__ import annotations

import sys
from collections import Counter

from fastpunet.cli.running import add_device, add_intensity, add_speed
from fastpunet.parsing import Namespace, Parser

SUMMARY = "draw hypotheses of images in files: masks, modes and measures"


def parser() -> Parser:
    options = Parser(
        "fastpunet sample",
        "Draw hypotheses of every image and write them to OUT/<name of the image>, in the format of the image: label "
        "maps (hypotheses), measures of each of them (measures.csv), and what they say together (answer.json). Images "
        "need no annotation. OUT/summary.json says what became of each image. The exit status is 0 if all images have "
        "an answer, and 1 if one of them failed. See docs/sample.md.",
    )
    options.add_argument(
        "model",
        metavar="MODEL",
        help="shipped weights (lesions, lidc-tiny), a checkpoint or the folder of a training run",
    )
    options.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="PNG, JPEG, TIFF, NIfTI, DICOM or .npz files, folders of them, or patterns such as 'scans/*.nii.gz'; the "
        "DICOM files of a series are one volume",
    )
    options.add_argument("-o", "--output", required=True, metavar="OUT", help="folder to write to")
    options.add_argument("-n", type=int, default=1000, help="hypotheses of each image")
    options.add_argument("--seed", type=int, default=0, help="seed of the hypotheses")
    options.add_argument(
        "--sampler",
        default="random",
        help="how latents are drawn: random, sobol (evenly spread) or antithetic (in pairs)",
    )
    options.add_argument("--format", help="png, tiff, nifti, seg (DICOM SEG) or npz; without it, that of the image")
    options.add_argument(
        "--modes",
        type=int,
        nargs="?",
        const=0,
        metavar="K",
        help="write representative hypotheses with their probabilities: K of them, or without K as many as there are",
    )
    options.add_argument("--mean", action="store_true", help="write the map of the mean probability")
    options.add_argument("--entropy", action="store_true", help="write the map of its entropy, in nats")
    options.add_argument(
        "--threshold",
        nargs="+",
        default=[],
        metavar="MEASURE:VALUE",
        help="say how probable it is that a measure (a column of measures.csv, without its unit) reaches a value in "
        "that unit, such as longest_diameter:8",
    )
    options.add_argument(
        "--spacing",
        type=float,
        nargs="+",
        metavar="MM",
        help="mm between pixels along each axis of the images, (slices,) rows, columns, or one number for all axes, if "
        "the files do not say it",
    )
    options.add_argument(
        "--unit",
        default="auto",
        help="of the measures: mm (an image of unknown spacing fails), px, or auto (mm where the spacing is known)",
    )
    options.add_argument(
        "--convert", action="store_true", help="turn colours into grey, or grey into colours, as the model wants them"
    )
    options.add_argument(
        "--window",
        type=int,
        metavar="PIXELS",
        help="pass large images through the networks in overlapping windows of this size; without it, as a whole",
    )
    options.add_argument("--overlap", type=float, default=0.5, help="share of a window that the next one covers too")
    options.add_argument("--overwrite", action="store_true", help="replace answers that are there already")
    options.add_argument(
        "--skip-existing", action="store_true", help="keep answers that are there already, for instance to go on"
    )
    add_intensity(options)
    add_device(options)
    add_speed(options)
    return options


def run(options: Namespace) -> int:
    from fastpunet.intensity import Intensity
    from fastpunet.models.checkpoint import load
    from fastpunet.prediction.request import Request
    from fastpunet.prediction.run import Outcome
    from fastpunet.prediction.run import run as predict

    request = Request(
        n=options.n,
        seed=options.seed,
        precision=options.precision,
        sampler=options.sampler,
        intensity=Intensity.parse(options.intensity) if options.intensity else None,
        spacing=tuple(options.spacing) if options.spacing else None,
        convert=options.convert,
        window=options.window,
        overlap=options.overlap,
        unit=options.unit,
        mean=options.mean,
        entropy=options.entropy,
        modes=options.modes,
        thresholds=tuple(map(_threshold, options.threshold)),
        format=options.format,
    )

    warned: Counter[str] = Counter()

    def say(outcome: Outcome) -> None:
        for kind, warning in outcome.warnings.items():
            if not warned[kind]:
                print(f"fastpunet sample: warning: {warning}", file=sys.stderr)
            warned[kind] += 1
        failed = outcome.status == "failed"
        line = f"{outcome.name}: {outcome.message}" if outcome.name and not failed else outcome.message
        print(f"fastpunet sample: {line}" if failed else line, file=sys.stderr if failed else sys.stdout, flush=True)

    outcomes = predict(
        options.model,
        options.inputs,
        options.output,
        request,
        device=options.device,
        batch_size=options.batch_size,
        overwrite=options.overwrite,
        skip_existing=options.skip_existing,
        say=say,
    )
    for kind, count in warned.items():
        if count > 1:
            print(
                f"fastpunet sample: warning: {count} images have such a warning about {kind}; summary.json lists them",
                file=sys.stderr,
            )
    calibration = load(options.model).calibration
    if calibration is not None:
        print(f"of this model: {calibration}")
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    print(f"{len(outcomes) - failed} of {len(outcomes)} images have an answer in {options.output}")
    return 1 if failed else 0


def _threshold(text: str) -> tuple[str, float]:
    name, _, value = text.partition(":")
    try:
        return name, float(value)
    except ValueError:
        raise ValueError(f"threshold: got {text!r}, expected MEASURE:VALUE, such as longest_diameter:8") from None
