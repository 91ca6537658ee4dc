"""fastpunet report."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from fastpunet.cli.running import (
    add_archive,
    add_data,
    add_device,
    add_drawing,
    add_existing,
    add_precision,
    add_preparation,
    is_archive,
    request_of,
)
from fastpunet.cli.telling import Teller
from fastpunet.parsing import Namespace, Parser

SUMMARY = "make a page about an image, for any browser: alternatives, sizes, uncertainty, annotations"


def parser() -> Parser:
    options = Parser(
        "fastpunet report",
        "Make a page about each image that opens in any browser, without a server or a network. It shows the "
        "alternatives with their probabilities, the distribution of sizes, the certain and the possible outline, a map "
        "of the latent space to move in, and annotations among the hypotheses. A volume is shown by one of its slices. "
        "A folder of pages gets an index of pictures that can be sorted and searched. The exit status is 0 if all "
        "images have a page, and 1 if one of them failed. See docs/report.md.",
    )
    add_archive(options)
    options.add_argument(
        "inputs",
        nargs="*",
        default=[],
        metavar="IMAGE",
        help="files, folders or patterns, as for fastpunet sample; for an archive: names of its images, or where "
        "they are now; without it, all of them",
    )
    options.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="for one image, the file of its page, such as report.html; for several, the folder of their pages and "
        "index.html",
    )
    options.add_argument(
        "--annotation",
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help="annotations of a single image, to show among its hypotheses; without NAME=, they are called as the file",
    )
    add_data(options, "; in place of files, with the masks of its graders as annotations")
    options.add_argument(
        "--image",
        type=int,
        nargs="+",
        default=[],
        metavar="I",
        help="with --data: numbers of images in the data, counted from 0; without it, all of them",
    )
    options.add_argument(
        "--scores",
        metavar="CSV",
        help="with --data: STEM.csv, as written by fastpunet evaluate --output STEM for this model; the index then "
        "begins with the images that are scored worst, in place of the most ambiguous ones",
    )
    options.add_argument(
        "--slice",
        type=int,
        metavar="K",
        help="which slice of a volume to show, counted from 0; without it, the one in which hypotheses disagree most",
    )
    options.add_argument(
        "--classes", nargs="+", metavar="NAME", help="names of the labels 0, 1, ...; without it, those of the data set"
    )
    options.add_argument(
        "--modes", type=int, metavar="K", help="how many alternatives to show; without it, as many as are found"
    )
    add_drawing(options)
    add_preparation(options)
    add_existing(options, "pages")
    add_device(options)
    add_precision(options)
    return options


def run(options: Namespace) -> int:
    from fastpunet.reports.page.image_scores import read_scores
    from fastpunet.reports.page.page_archive import report_archive
    from fastpunet.reports.page.page_files import report_files, report_records
    from fastpunet.reports.page.page_run import Manner
    from fastpunet.reports.records import DataSet

    archived = is_archive(options, parser())
    if not archived and (options.data is None) == (not options.inputs):
        raise ValueError("inputs: expected either images, MODEL IMAGE..., or a data set, MODEL --data PATH")
    for name in ("annotation", "slice") if options.data else ("image", "kind", "scores"):
        if options[name] not in (None, []):
            raise ValueError(
                f"{name}: got {options[name]!r}, which goes with {'files' if options.data else '--data'} only; leave "
                "it out"
            )
    teller = Teller("fastpunet report", "each page lists its own")
    manner = Manner(
        command=shlex.join(["fastpunet", *sys.argv[1:]]),
        classes=tuple(options.classes) if options.classes else None,
        overwrite=options.overwrite,
        skip_existing=options.skip_existing,
        say=teller.say,
        scores=None if options.scores is None else read_scores(options.scores),
    )
    request = request_of(options, modes=options.modes)
    annotations = dict(map(_named, options.annotation))
    if archived:
        outcomes = report_archive(
            options.model_or_archive,
            options.inputs,
            options.output,
            manner,
            model=options.model,
            modes=options.modes,
            annotations=annotations,
            place=options.slice,
            device=options.device,
        )
    elif options.data:
        data = DataSet(options.data, options.kind, intensity=options.intensity)
        outcomes = report_records(
            options.model_or_archive, data, options.image, options.output, request, manner, device=options.device
        )
    else:
        outcomes = report_files(
            options.model_or_archive,
            options.inputs,
            options.output,
            request,
            manner,
            annotations=annotations,
            place=options.slice,
            device=options.device,
        )
    teller.count_warnings()
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    print(f"{len(outcomes) - failed} of {len(outcomes)} images have a page in {options.output}")
    return 1 if failed else 0


def _named(text: str) -> tuple[str, str]:
    """NAME=FILE; or a file, which is called by its own name."""
    name, separator, file = text.partition("=")
    return (name, file) if separator and not Path(text).exists() else (Path(text).name, text)
